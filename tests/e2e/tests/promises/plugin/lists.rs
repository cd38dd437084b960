//! Lists: `get rollouts`, labels, formats, and watching.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use greenlight_e2e::{Lab, rollout};
use serde_json::{Value, json};

use super::{admin, ended};

fn labelled(name: &str, tier: &str) -> Value {
    let mut object = rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
    object["metadata"] = json!({"name": name, "labels": {"tier": tier}});
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_chosen_and_printed_as_kubectl_does_it() {
    let lab = Lab::without_operator("lists").await;
    for (name, tier) in [("shop", "front"), ("cart", "front"), ("stock", "back")] {
        lab.apply(&labelled(name, tier)).expect("applied");
    }
    let list = |args: &[&str]| ended(admin(&[args, &["-n", "lists"]].concat())).well();
    for words in
        [["get", "rollouts"].as_slice(), &["get", "rollout"], &["get", "bgr"], &["get", "bluegreenrollouts"], &["list"]]
    {
        let all = list(words);
        assert!(all.starts_with("NAME ") && all.lines().count() == 4, "{words:?}: {all}");
    }
    assert_eq!(
        list(&["get", "rollouts", "-l", "tier=front", "-o", "name"]).lines().collect::<Vec<_>>(),
        ["bluegreenrollout.greenlight.dev/cart", "bluegreenrollout.greenlight.dev/shop"]
    );
    assert_eq!(list(&["get", "rollouts", "--selector", "tier notin (front)"]).lines().count(), 2);
    let wide = list(&["get", "rollouts", "-o", "wide"]);
    assert!(wide.contains("IMAGES") && wide.contains("web:v1"), "{wide}");
    let json: Value = serde_json::from_str(&list(&["list", "-o", "json"])).expect("JSON");
    assert_eq!((&json["kind"], json["items"].as_array().map(Vec::len)), (&Value::from("List"), Some(3)));
    assert_eq!(json["items"][0]["metadata"].get("managedFields"), None, "as kubectl leaves them out");
    let yaml: Value = serde_saphyr::from_str(&list(&["list", "-o", "yaml"])).expect("YAML");
    assert_eq!(yaml, json);
    let everywhere = ended(admin(&["get", "rollouts", "-A", "-l", "tier=back"])).well();
    assert!(everywhere.starts_with("NAMESPACE") && everywhere.contains("lists      stock"), "{everywhere}");
    assert_eq!(list(&["get", "rollout", "shop", "-o", "name"]), "bluegreenrollout.greenlight.dev/shop\n");

    let none = ended(admin(&["get", "rollouts", "-n", "lists", "-l", "tier=none"]));
    assert_eq!(
        (none.code, none.out.as_str(), none.err.as_str()),
        (0, "", "No rollouts with tier=none in namespace lists.\n")
    );
    let wrong = ended(admin(&["get", "rollouts", "-n", "lists", "-l", "a b"])).with(1);
    assert!(wrong.contains("cannot list rollouts: ") && wrong.contains("unable to parse"), "{wrong}");
    for args in [["get", "rollout", "shop", "-l", "tier=front"].as_slice(), &["get", "rollout", "shop", "-A"]] {
        let refused = ended(admin(args)).with(1);
        assert!(refused.contains("cannot be used with"), "{refused}");
    }
    let refused = ended(admin(&["get", "rollouts", "--watch", "-o", "json"])).with(1);
    assert!(refused.contains("kubectl get bgr -o json --watch -n "), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_watched_prints_what_changes() {
    let lab = Lab::without_operator("listwatch").await;
    lab.apply(&labelled("shop", "front")).expect("applied");
    let mut command = admin(&["get", "rollouts", "--watch", "-n", "listwatch"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().starts_with("NAME "));
    assert!(next().starts_with("shop "));
    lab.apply(&labelled("cart", "front")).expect("applied");
    assert!(next().starts_with("cart "));
    // What nobody sees in a line does not make one.
    lab.kubectl(&["label", "bgr", "shop", "more=1"]);
    lab.kubectl(&["delete", "bgr", "cart", "--wait=false"]);
    assert_eq!(next(), "cart  deleted");
    child.kill().expect("it ends");
    child.wait().expect("it ends");
}

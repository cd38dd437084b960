//! What is said when something is wrong around the plugin, or with what it is given.

use std::time::Duration;

use greenlight_e2e::{Door, Lab, cluster, rollout};
use serde_json::json;

use super::{admin, bare, ended};

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_trouble_says_what_it_is_and_what_to_do() {
    let nothing = ended(bare(&["list"])).with(1);
    assert!(nothing.contains("no cluster: there is no kubeconfig") && nothing.contains("--server"), "{nothing}");
    let mut elsewhere = bare(&["list"]);
    elsewhere.env("KUBECONFIG", "/nowhere/kubeconfig");
    assert!(ended(elsewhere).with(1).contains("no cluster: there is no kubeconfig"));
    let missing = ended(bare(&["list", "--kubeconfig", "/nowhere/kubeconfig"])).with(1);
    assert!(
        missing.contains("cannot read /nowhere/kubeconfig") && missing.matches("No such file").count() == 1,
        "{missing}"
    );
    let broken = cluster().dir().join("broken.kubeconfig");
    std::fs::write(&broken, "clusters: {").expect("written");
    let broken = ended(bare(&["list", "--kubeconfig", &broken.display().to_string()])).with(1);
    assert!(broken.contains("cannot read") && broken.contains("broken.kubeconfig"), "{broken}");
    let unreachable = ended(bare(&["get", "rollout", "web", "--server", "https://127.0.0.1:1"])).with(1);
    assert!(
        unreachable.contains("the API server cannot be reached") && unreachable.contains("--server"),
        "{unreachable}"
    );
    let unreachable = ended(admin(&["list", "--server", "not an address"])).with(1);
    assert!(unreachable.contains("cluster url"), "{unreachable}");
    let no_namespace = ended(admin(&["get", "rollout", "web", "-n", "nowhere"])).with(1);
    assert!(no_namespace.contains("no rollout web in namespace nowhere: there is no such namespace"), "{no_namespace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_object_has_are_told_at_once_and_ask_nobody() {
    for (name, wanted) in [
        ("Web", "there is a 'W' in it"),
        ("wéb", "there is a 'é' in it"),
        ("bgr/web", "write the name alone"),
        ("../secrets", "write the name alone"),
        ("a,b", "there is a ',' in it"),
        ("", "write the name of a rollout"),
    ] {
        for command in [["status"].as_slice(), &["get", "rollout"], &["promote"], &["logs"], &["doctor"]] {
            let told = ended(bare(&[command, &[name]].concat())).with(1);
            assert!(told.contains(wanted), "{command:?} {name:?}: {told}");
        }
    }
    let flag = ended(bare(&["promote", "--now"])).with(1);
    assert!(flag.contains("unexpected argument '--now'"), "{flag}");
    let flag = ended(bare(&["promote", "--", "--now"])).with(1);
    assert!(flag.contains("no cluster"), "after -- it is a name: {flag}");
    for (args, wanted) in [
        (["status", "web", "--timeout", "soon"].as_slice(), "write a number and a unit, such as 30s, 5m or 1h30m"),
        (&["status", "web", "--timeout", "9999999999999999999h"], "write a shorter time"),
        (&["set", "image", "web", "web"], "write CONTAINER=IMAGE"),
        (&["undo", "web", "--to-revision", "last"], "invalid digit"),
        (&["get", "pods"], "unrecognized subcommand"),
    ] {
        let told = ended(bare(args)).with(1);
        assert!(told.contains(wanted), "{args:?}: {told}");
    }
    assert_eq!((ended(bare(&["--help"])).code, ended(bare(&["--version"])).code), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_crds_it_says_what_to_install() {
    let instead = |uri: &str| uri.contains("greenlight.dev").then(|| (404, "404 page not found\n".to_owned()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    for args in
        [["list"].as_slice(), &["get", "rollout", "web"], &["promote", "web"], &["doctor", "web"], &["list", "--watch"]]
    {
        let told = ended(bare(&[args, &["--server", &door.url()]].concat())).with(1);
        assert!(told.contains("install Greenlight first"), "{args:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_which_half_is_missing_are_shown_as_far_as_they_go() {
    let _lab = Lab::without_operator("halfthere").await;
    let owner =
        json!([{"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u"}]);
    let mut object = rollout(json!({}));
    object["metadata"] = json!({"name": "web", "namespace": "halfthere", "uid": "u"});
    object["status"] = json!({"phase": "Paused", "message": "half of it \u{1b}[2J", "activeRevision": "gone"});
    let rs = json!({"metadata": {"name": "web-x", "uid": "r", "ownerReferences": owner}});
    let pods = json!([{"metadata": {"name": "web-x-1", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-x", "uid": "r"}]}}]);
    let list = |kind: &str, items: &serde_json::Value| {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": items}).to_string()
    };
    let (sets, pods, none) = (list("ReplicaSetList", &json!([rs])), list("PodList", &pods), list("List", &json!([])));
    let (one, all) = (object.to_string(), list("BlueGreenRolloutList", &json!([object])));
    let instead = move |uri: &str| {
        let path = uri.split('?').next().unwrap_or(uri);
        let resource = path.rsplit('/').next().unwrap_or_default();
        Some(match resource {
            "web" => (200, one.clone()),
            "bluegreenrollouts" => (200, all.clone()),
            "replicasets" => (200, sets.clone()),
            "pods" => (200, pods.clone()),
            "services" | "ingresses" | "endpointslices" => (200, none.clone()),
            _ => (404, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "none", "details": {"kind": "services"}}).to_string()),
        })
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let plugin = |args: &[&str]| ended(bare(&[args, &["-n", "halfthere", "--server", &door.url()]].concat()));
    let tree = plugin(&["get", "rollout", "web"]).well();
    assert!(tree.contains("Half of it �[2J") && tree.contains("does not exist") && tree.contains("└─ …-1"), "{tree}");
    plugin(&["history", "web"]).well();
    plugin(&["list", "-o", "wide"]).well();
    assert_eq!(plugin(&["status", "web"]).code, 3);
    assert_eq!(plugin(&["doctor", "web"]).code, 2);
    let diff = plugin(&["diff", "web"]).with(1);
    assert!(diff.contains("nothing of rollout web serves"), "{diff}");
    let logs = plugin(&["logs", "web"]);
    assert!(logs.code == 0 && logs.err.contains("No pod of revision 0"), "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_view_sees_what_there_is_to_see() {
    let lab = Lab::new("viewer").await;
    lab.deploy(json!({})).await;
    lab.kubectl(&[
        "create",
        "role",
        "viewer",
        "--verb=get,list,watch",
        "--resource=bluegreenrollouts.greenlight.dev,replicasets.apps,pods,services",
    ]);
    lab.kubectl(&["create", "rolebinding", "viewer", "--role=viewer", "--user=vera"]);
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "viewer", "--as", "vera"]].concat()));
    for args in
        [["get", "rollout", "web"].as_slice(), &["list"], &["history", "web"], &["status", "web"], &["doctor", "web"]]
    {
        plugin(args).well();
    }
    for (args, verb) in [
        (["promote", "web"].as_slice(), "promote"),
        (&["abort", "web"], "abort"),
        (&["undo", "web"], "rollback"),
        (&["restart", "web"], "restart"),
    ] {
        let refused = plugin(args).with(1);
        assert!(refused.contains(&format!("cannot ask rollout web to {verb}: ")), "{refused}");
        assert!(
            refused.contains(r#"User "vera" cannot patch"#) && refused.contains("greenlight-operator"),
            "{refused}"
        );
    }
    for args in [["pause", "web"].as_slice(), &["set", "image", "web", "web=web:v2"]] {
        assert!(plugin(args).with(1).contains("--verb=patch --resource=bluegreenrollouts.greenlight.dev -n viewer"));
    }
    let logs = plugin(&["logs", "web"]).with(1);
    assert!(logs.contains("--verb=get --resource=pods/log -n viewer") || logs.contains("--resource=pods"), "{logs}");
    let everywhere = plugin(&["list", "-A"]).with(1);
    assert!(everywhere.contains("kubectl create clusterrole NAME --verb=list"), "{everywhere}");
    // Pods are not for everybody.
    lab.kubectl(&["create", "role", "few", "--verb=get,list,watch", "--resource=bluegreenrollouts.greenlight.dev"]);
    lab.kubectl(&["create", "rolebinding", "few", "--role=few", "--user=finn"]);
    let few = ended(admin(&["get", "rollout", "web", "-n", "viewer", "--as", "finn"])).with(1);
    assert!(
        few.contains("What would allow it: a binding of what this makes: kubectl create role NAME --verb="),
        "{few}"
    );
    assert!(ended(admin(&["status", "web", "-n", "viewer", "--as", "finn"])).well().contains("Healthy"));
}

//! What the plugin asks of the API server: little, at once, and only for what belongs to the rollout.

use std::time::{Duration, Instant};

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Door, Lab, Passed, eventually, rollout};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{bare, ended};

/// With a kubeconfig of its own, of which the plugin knows nothing else.
async fn through(door: &Door, args: &[&str]) -> super::Ended {
    let args: Vec<String> =
        args.iter().map(|arg| (*arg).to_owned()).chain(["--server".to_owned(), door.url()]).collect();
    tokio::task::spawn_blocking(move || ended(bare(&args.iter().map(String::as_str).collect::<Vec<_>>())))
        .await
        .expect("it ends")
}

fn what(passed: &[Passed]) -> Vec<&str> {
    passed.iter().map(|passed| passed.what.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn get_takes_two_rounds_and_asks_for_nothing_of_others() {
    let lab = Lab::new("frugal").await;
    lab.deploy(json!({})).await;
    let delay = Duration::from_millis(1500);
    let door = Door::open(delay, |_| None).await.expect("a door");
    let started = Instant::now();
    let shown = through(&door, &["get", "rollout", "web", "-n", "frugal"]).await.well();
    let took = started.elapsed();
    assert!(shown.contains("Healthy"), "{shown}");
    assert!(took < delay * 3, "two rounds, one after the other: {took:?}");
    let passed = door.passed();
    let asked = what(&passed);
    assert!(asked.len() <= 6, "{asked:#?}");
    for of in ["replicasets?", "pods?"] {
        let list = asked.iter().find(|what| what.contains(of)).expect("it is listed");
        assert!(list.contains("labelSelector=app%3Dweb%2Crollouts-pod-template-hash"), "{list}");
    }
    assert!(!asked.iter().any(|what| what.ends_with("/services") || what.contains("/services?")), "{asked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_among_very_many_costs_a_line_of_each_and_shows_three() {
    const MANY: usize = 300;
    const NAMES: &str = "/apis/greenlight.dev/v1alpha1/namespaces/manynames/bluegreenrollouts";
    let lab = Lab::without_operator("manynames").await;
    let create = |number: usize| {
        let api = lab.api::<BlueGreenRollout>();
        async move {
            let mut object =
                rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
            object["metadata"] =
                json!({"name": format!("shop-{number:04}"), "annotations": {"long": "x".repeat(2000)}});
            let object: BlueGreenRollout = serde_json::from_value(object).expect("a rollout");
            api.create(&PostParams::default(), &object).await.expect("created");
        }
    };
    futures::future::join_all((0..MANY).map(create)).await;
    // The server's cache, which a hint is taken from, may be a moment behind.
    eventually("all are in the cache", async || {
        lab.kubectl(&["get", "--raw", &format!("{NAMES}?resourceVersion=0")]).matches("\"shop-0").count() >= MANY
    })
    .await;
    let door = Door::open(Duration::ZERO, |_| None).await.expect("a door");
    let told = through(&door, &["get", "rollout", "shop-0042x", "-n", "manynames"]).await.with(1);
    assert!(told.contains("of 300 there the nearest are: shop-0042, "), "{told}");
    assert_eq!(told.matches("shop-").count(), 4, "the wrong one and three: {told}");
    let bytes: usize = door.passed().iter().map(|passed| passed.bytes).sum();
    assert!(bytes < MANY * 500, "{bytes} bytes for {MANY} rollouts of more than 2000 each");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_read_hides_no_other() {
    let lab = Lab::without_operator("onebad").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    // As an older CRD has let it in.
    let listed = lab.kubectl(&["get", "bgr", "-o", "json"]);
    let mut listed: Value = serde_json::from_str(&listed).expect("JSON");
    let mut bad = listed["items"][0].clone();
    bad["metadata"]["name"] = "bad".into();
    bad["spec"]["restartAt"] = "9999-12-31T23:59:59Z".into();
    let one = bad.to_string();
    listed["items"].as_array_mut().expect("a list").push(bad);
    listed["kind"] = "BlueGreenRolloutList".into();
    let listed = listed.to_string();
    let instead = move |uri: &str| match uri {
        _ if uri.contains("watch=true") => None,
        _ if uri.contains("/bluegreenrollouts/bad") => Some((200, one.clone())),
        _ if uri.ends_with("/bluegreenrollouts") || uri.contains("/bluegreenrollouts?") => Some((200, listed.clone())),
        _ => None,
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let list = through(&door, &["list", "-n", "onebad"]).await;
    assert_eq!(list.code, 0, "{list:?}");
    assert!(list.out.contains("\nweb ") && list.out.contains("\nbad   Unreadable"), "{list:?}");
    assert!(list.err.contains("Rollout bad in namespace onebad cannot be read: spec.restartAt: "), "{list:?}");
    let json: Value =
        serde_json::from_str(&through(&door, &["list", "-n", "onebad", "-o", "json"]).await.out).expect("JSON");
    assert_eq!(json["items"][1]["spec"]["restartAt"], "9999-12-31T23:59:59Z", "for machines it is there as it is");
    let told = through(&door, &["get", "rollout", "bad", "-n", "onebad"]).await.with(1);
    assert!(
        told.contains("rollout bad cannot be read: spec.restartAt: ")
            && told.contains("kubectl edit bgr bad -n onebad"),
        "{told}"
    );
    // What the other one is doing is told all the same, also to who watches.
    let status = through(&door, &["status", "web", "-n", "onebad", "--timeout", "0s"]).await;
    assert_eq!((status.code, status.out.trim()), (4, "Pending: The operator has not looked at it yet."));
}

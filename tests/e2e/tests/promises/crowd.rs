//! Many rollouts at once: what one of them waits for keeps no other one waiting.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use greenlight_api::{BlueGreenRollout, Verb};
use greenlight_e2e::{Lab, eventually, operator_kubeconfig, rollout};
use greenlight_test_cluster::{BEHAVIOUR, Request};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

/// More than the streams that an API server gives to a connection.
const CROWD: usize = 110;
/// Less than a turn of those that wait to be explained: a deadline, no measurement.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_secs(20);

/// A rollout with one pod, and its Service, if it has one.
async fn create(lab: &Lab, name: &str, service: Option<&str>, annotations: Value) {
    let ports = json!([{"port": 80}]);
    if let Some(service) = service {
        let service = json!({"metadata": {"name": service}, "spec": {"selector": {"app": name}, "ports": ports}});
        let service = serde_json::from_value(service).expect("a Service");
        lab.api::<Service>().create(&PostParams::default(), &service).await.expect("created");
    }
    let mut object = rollout(json!({
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "strategy": {"blueGreen": {"activeService": service, "previewService": null}},
        "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}},
    }));
    object["metadata"]["name"] = name.into();
    let object: BlueGreenRollout = serde_json::from_value(object).expect("a rollout");
    lab.api().create(&PostParams::default(), &object).await.expect("created");
}

/// The names of the rollouts whose message holds this.
async fn that_say(lab: &Lab, text: &str) -> BTreeSet<String> {
    let rollouts = lab.api::<BlueGreenRollout>().list(&Default::default()).await.expect("rollouts").items;
    let says = |rollout: &BlueGreenRollout| rollout.status.as_ref().is_some_and(|status| status.message.contains(text));
    rollouts.iter().filter(|rollout| says(rollout)).map(ResourceExt::name_any).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_pods_do_not_start_a_switch_is_proven_at_once_and_each_is_explained() {
    let lab = Lab::new("stuckcrowd").await;
    lab.deploy(json!({})).await;
    let names: Vec<String> = (0..CROWD).map(|number| format!("stuck-{number}")).collect();
    join_all(names.iter().map(|name| create(&lab, name, None, json!({BEHAVIOUR: "hang"})))).await;
    let started = Instant::now();
    let mut explained = BTreeSet::new();
    let mut proven = false;
    while explained.len() < CROWD || !proven {
        assert!(started.elapsed() < Duration::from_secs(90), "{} of {CROWD} explained", explained.len());
        explained.extend(that_say(&lab, "pod stuck-").await);
        // As many as can be are being looked at.
        if explained.len() > 90 && !proven {
            lab.release("web:v2").await;
            let switch = lab.now().await.status().switch.expect("a switch");
            let took = switch.proven_at.expect("proven").duration_since(switch.switched_at);
            assert!(took < SOON, "the proof took {took:#}");
            proven = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_switches_at_once_are_proven_by_a_handful_of_watches() {
    let lab = Lab::new("switchcrowd").await;
    let (audit, mark) = lab.audit();
    let names: Vec<String> = (0..CROWD).map(|number| format!("shop-{number}")).collect();
    join_all(names.iter().map(|name| create(&lab, name, Some(name.as_str()), json!({})))).await;
    let started = Instant::now();
    while that_say(&lab, "is active").await.len() < CROWD {
        assert!(started.elapsed() < Duration::from_secs(90), "not all are proven");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rollouts = lab.api::<BlueGreenRollout>().list(&Default::default()).await.expect("rollouts").items;
    for rollout in rollouts {
        let switch = rollout.status.as_ref().and_then(|status| status.switch.clone()).expect("a switch");
        assert!(switch.proven_at.is_some(), "{}: the switch is not proven", rollout.name_any());
    }
    let requests = audit.since(mark).expect("the audit log");
    let of_slices = requests.iter().filter(|request| {
        request.user_agent.starts_with("greenlight/")
            && request.resource == "endpointslices"
            && request.verb == "watch"
            && request.namespace == lab.namespace
    });
    let watches = of_slices.count();
    // While there are newcomers, one watch follows the other, and each is at least two seconds long by then: with the time that a busy
    // machine takes, they may be more, but never as many as there are switches.
    println!("{CROWD} switches in {:?}, {watches} watches of EndpointSlices", started.elapsed());
    assert!((1..=CROWD / 2).contains(&watches), "{watches} watches of EndpointSlices for {CROWD} switches");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_waits_for_nothing_that_others_begin() {
    let mut lab = Lab::without_operator("urgent").await;
    lab.start_operator_with(&operator_kubeconfig(), &["--parallel", "2"]);
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    lab.release("web:v2").await;
    let second = lab.now().await.status().active_revision.clone();
    let (audit, mark) = lab.audit();
    let names: Vec<String> = (0..CROWD).map(|number| format!("shop-{number}")).collect();
    join_all(names.iter().map(|name| create(&lab, name, Some(name.as_str()), json!({})))).await;
    assert!(lab.ask(Verb::Rollback, &second, "ann").await.accepted);
    lab.until("back", |now| now.status().active_revision != second).await;
    let all_healthy = async || that_say(&lab, "is active").await.len() == CROWD;
    eventually("all are healthy", all_healthy).await;

    let requests = audit.since(mark).expect("the audit log");
    let requests: Vec<_> = requests.iter().filter(|request| request.namespace == lab.namespace).collect();
    let is_ours = |request: &&&Request| request.user_agent.starts_with("greenlight/") && request.verb != "watch";
    let asked = requests.iter().position(|request| {
        request.resource == "bluegreenrollouts" && request.name == "web" && request.verb == "patch"
    });
    let asked = asked.expect("the request");
    // How long the news of it takes is the API server's business.
    let heard = requests[asked + 1..].iter().position(|request| is_ours(&request) && request.name.starts_with("web"));
    let heard = asked + 1 + heard.expect("the first write for it");
    let moved = requests[heard..].iter().position(|request| {
        is_ours(&request) && request.resource == "services" && request.name == "web-active" && request.verb == "patch"
    });
    let moved = heard + moved.expect("the move");
    let others = |request: &&&Request| is_ours(request) && !request.name.starts_with("web");
    let unheard = requests[asked..heard].iter().filter(others).count();
    let between = requests[heard..moved].iter().filter(others).count();
    let after = requests[moved..].iter().filter(others).count();
    println!("{unheard} requests for others until the undo was heard of, {between} until its move, {after} after it");
    assert!(after > CROWD, "there was no crowd to wait for: {after}");
    assert!(unheard <= after / 2, "it was heard of after {unheard} requests of others, before {after} more");
    assert!(between <= 20, "the undo waited for {between} requests of others");
}

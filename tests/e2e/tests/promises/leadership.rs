//! Who leads, and for how long: whatever becomes of the leader, it stops before another begins, and another does.

use std::time::Duration;

use greenlight_e2e::{Fate, FaultProxy, Lab, Wire, Write, WriteCountingProxy, operator_kubeconfig};
use greenlight_test_cluster::{Audit, Process};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use serde_json::{Value, json};

/// A lease that nobody renews is taken after this time.
const LEASE_SECONDS: i64 = 15;

fn elect(lab: &Lab) -> [&str; 3] {
    ["--leader-elect", "--lease-namespace", &lab.namespace]
}

/// The first operator leads, by way of this kubeconfig, and the second stands by.
async fn two(lab: &Lab, kubeconfig: &std::path::Path) -> (Process, Process) {
    let first = lab.operator_process("first", kubeconfig, &elect(lab));
    until(lab, "the first leads", || says(&first, "leading").is_some()).await;
    let second = lab.operator_process("second", &operator_kubeconfig(), &elect(lab));
    until(lab, "the second stands by", || says(&second, "waiting to lead").is_some()).await;
    (first, second)
}

async fn until(lab: &Lab, what: &str, holds: impl Fn() -> bool) {
    lab.until(what, |_| holds()).await;
}

/// When it first said so.
fn says(operator: &Process, message: &str) -> Option<Timestamp> {
    let lines = operator.log();
    let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == message)?;
    line["timestamp"].as_str()?.parse().ok()
}

async fn lease(lab: &Lab) -> LeaseSpec {
    let leases: Api<Lease> = lab.api();
    leases.get("greenlight").await.expect("a lease").spec.unwrap_or_default()
}

/// How often whoever took the lease last had looked at it since the write before: who leads does not look, and who stands by does each second
/// ([`the_lease_is_renewed_every_two_seconds_and_looked_at_every_second_and_that_is_all`]).
fn looks_until_taken(lab: &Lab, audit: &Audit, mark: u64) -> usize {
    let requests = audit.of_namespace(mark, &lab.namespace).expect("the audit log");
    let of_lease = requests.iter().filter(|request| request.resource == "leases");
    let is_look: Vec<bool> = of_lease.map(|request| request.verb == "get").collect();
    let last = is_look.iter().rposition(|is_look| *is_look).expect("who stood by has looked");
    is_look[..=last].iter().rev().take_while(|is_look| **is_look).count()
}

/// Asks for a promotion that only who takes over can carry out.
async fn promoted_by_the_next(lab: &Lab, image: &str) {
    lab.until("it is carried out", |now| now.image_of("web-active") == image && now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_renew_stops_before_another_begins() {
    let lab = Lab::without_operator("frozen").await;
    let wire = FaultProxy::start().await.expect("a proxy");
    let (mut first, second) = two(&lab, &wire.kubeconfig("frozen").expect("a kubeconfig")).await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    wire.set(Wire::Frozen);
    lab.annotate_request("promote").await;
    promoted_by_the_next(&lab, "web:v2").await;
    let mut code = None;
    for _ in 0..200 {
        code = first.exit_code();
        if code.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(code, Some(1), "it ends by itself: {}", first.log_tail());
    let (lost, leading) = (says(&first, "cannot go on"), says(&second, "leading"));
    assert!(lost.is_some() && lost < leading, "{lost:?} {leading:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_wire_ends_it_too_and_a_short_cut_does_not() {
    let lab = Lab::without_operator("cut").await;
    let wire = FaultProxy::start().await.expect("a proxy");
    let (mut first, second) = two(&lab, &wire.kubeconfig("cut").expect("a kubeconfig")).await;
    lab.deploy(json!({})).await;
    wire.set(Wire::Cut);
    until(&lab, "a renewal fails", || says(&first, "the lease is not renewed").is_some()).await;
    wire.set(Wire::Whole);
    lab.release("web:v2").await;
    assert_eq!((first.exit_code(), says(&second, "leading")), (None, None), "{}", first.log_tail());
    wire.set(Wire::Cut);
    lab.set_image("web:v3").await;
    lab.until("the second goes on", |now| now.image_of("web-preview") == "web:v3").await;
    let (lost, leading) = (says(&first, "cannot go on"), says(&second, "leading"));
    assert!(lost.is_some() && lost < leading, "{lost:?} {leading:?}");
}

/// What nobody was there to see is seen by who takes over.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_after_a_kill_does_what_was_asked_for_meanwhile() {
    let lab = Lab::without_operator("killed").await;
    let (mut first, second) = two(&lab, &operator_kubeconfig()).await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    first.kill();
    let killed = Timestamp::now();
    lab.annotate_request("promote").await;
    promoted_by_the_next(&lab, "web:v2").await;
    let took = says(&second, "leading").expect("it leads").duration_since(killed).as_secs_f64();
    println!("a kill handed over in {took:.1} s");
    assert!(took < 20.0, "{took} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_end_gives_the_lease_away_even_if_a_write_hangs() {
    let lab = Lab::without_operator("hangs").await;
    let fate = |write: &Write| match write.path.as_str() {
        path if path.ends_with("/services/web-active") => Fate::Lost,
        _ => Fate::Passed,
    };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    let (mut first, second) = two(&lab, &proxy.kubeconfig("hangs").expect("a kubeconfig")).await;
    lab.apply(&greenlight_e2e::rollout(json!({}))).expect("applied");
    proxy.withheld().await;
    let (audit, mark) = lab.audit();
    assert_eq!(first.terminate().expect("it ends"), 0, "{}", first.log_tail());
    promoted_by_the_next(&lab, "web:v1").await;
    let looks = looks_until_taken(&lab, &audit, mark);
    assert!((1..=2).contains(&looks), "taken at look {looks} after it was given away");
    let (stopping, leading) = (says(&first, "stopping").expect("said"), says(&second, "leading").expect("it leads"));
    let took = leading.duration_since(stopping).as_secs_f64();
    println!("a SIGTERM with a write that hangs handed over in {took:.1} s");
    assert!(took < 10.0, "it waits a while for the write, and not for the end of the lease: {took} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_to_end_and_has_nothing_to_do_hands_over_at_once() {
    let lab = Lab::without_operator("handover").await;
    let (mut first, second) = two(&lab, &operator_kubeconfig()).await;
    lab.deploy(json!({})).await;
    let before = lease(&lab).await;
    let (audit, mark) = lab.audit();
    assert_eq!(first.terminate().expect("it ends"), 0, "{}", first.log_tail());
    lab.set_image("web:v2").await;
    lab.until("the second goes on", |now| now.image_of("web-preview") == "web:v2").await;
    let (stopping, leading) = (says(&first, "stopping").expect("said"), says(&second, "leading").expect("it leads"));
    let took = leading.duration_since(stopping).as_secs_f64();
    println!("a SIGTERM handed over in {took:.1} s");
    // Two seconds are two looks of who stands by. By the clock it may take longer, where a machine is busy; and never as long as a lease.
    let looks = looks_until_taken(&lab, &audit, mark);
    assert!((1..=2).contains(&looks), "taken at look {looks} after it was given away");
    assert!(took < LEASE_SECONDS as f64 / 3.0, "{took} s");
    let after = lease(&lab).await;
    assert_ne!(before.holder_identity, after.holder_identity);
    assert_eq!(after.lease_transitions, before.lease_transitions.map(|number| number + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_up_after_its_term_writes_nothing() {
    let lab = Lab::without_operator("asleep").await;
    let proxy = WriteCountingProxy::start(|_| false).await.expect("a proxy");
    let (mut first, second) = two(&lab, &proxy.kubeconfig("asleep").expect("a kubeconfig")).await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let pid = first.pid().expect("it runs").to_string();
    let signal = |name: &str| {
        std::process::Command::new("kill").args([name, &pid]).status().expect("kill runs");
    };
    signal("-STOP");
    lab.annotate_request("promote").await;
    promoted_by_the_next(&lab, "web:v2").await;
    lab.settled().await;
    assert!(says(&second, "leading").is_some());
    let written = proxy.writes();
    // It has a change of its rollout to look at, and believes to lead.
    lab.set_image("web:v3").await;
    signal("-CONT");
    for _ in 0..400 {
        if first.exit_code().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(first.exit_code(), Some(1), "{}", first.log_tail());
    let since = proxy.seen().split_off(written);
    let others: Vec<&Write> = since.iter().filter(|write| !write.path.contains("/leases/")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_renewed_every_two_seconds_and_looked_at_every_second_and_that_is_all() {
    let lab = Lab::without_operator("frugalelection").await;
    let _two = two(&lab, &operator_kubeconfig()).await;
    // Whatever belongs to the beginning is over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (audit, mark) = lab.audit();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let requests = audit.since(mark).expect("the audit log");
    let of_leases =
        requests.iter().filter(|request| request.resource == "leases" && request.namespace == lab.namespace);
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    of_leases.for_each(|request| *counts.entry(&request.verb).or_default() += 1);
    println!("leases in ten seconds: {counts:?}");
    assert!(counts.keys().all(|verb| ["get", "update"].contains(verb)), "{counts:?}");
    assert!((1..=6).contains(&counts["update"]) && (1..=11).contains(&counts["get"]), "{counts:?}");
}

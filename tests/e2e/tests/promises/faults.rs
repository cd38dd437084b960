//! The way to the API server is bad: it is told, and it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_e2e::{Fate, FaultProxy, Lab, Wire, Write, WriteCountingProxy, http_get, rollout};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_fail_are_told_by_readyz_and_go_on_by_themselves() {
    let mut lab = Lab::without_operator("cutwatches").await;
    let wire = FaultProxy::start().await.expect("a proxy");
    lab.start_operator_with(&wire.kubeconfig("cutwatches").expect("a kubeconfig"), &[]);
    lab.is_ready().await;
    lab.deploy(json!({})).await;
    let address = lab.address();
    let get = |path: &str| http_get(&address, path).expect("it answers");
    assert!(get("/metrics").contains(r#"greenlight_watch_heard_timestamp_seconds{resource="services"}"#));
    wire.set(Wire::Cut);
    lab.until("it is told", |_| get("/readyz").starts_with("nothing was heard of ")).await;
    assert_eq!(get("/healthz"), "ok", "its workers have nothing to do with that");
    assert!(get("/metrics").contains(r#"greenlight_watch_errors_total{resource="services"}"#));
    wire.set(Wire::Whole);
    lab.is_ready().await;
    lab.release("web:v2").await;
}

/// Whoever holds a write for ever does not hold the worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_never_answered_is_made_again() {
    let mut lab = Lab::without_operator("unanswered").await;
    let once = AtomicBool::new(true);
    let fate = move |write: &Write| {
        let lost = write.path.ends_with("/services/web-active") && once.swap(false, Ordering::SeqCst);
        if lost { Fate::Lost } else { Fate::Passed }
    };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("unanswered").expect("a kubeconfig"), &[]);
    lab.apply(&rollout(json!({}))).expect("applied");
    proxy.withheld().await;
    lab.until("it is made again", |now| now.is_healthy_on("web:v1")).await;
    assert!(lab.operator().log().contains("has not answered within"), "{}", lab.operator().log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn conflict_after_conflict_is_a_warning_and_stands_in_the_status() {
    let mut lab = Lab::without_operator("conflicts").await;
    let disputed = Arc::new(AtomicBool::new(true));
    let still = disputed.clone();
    let fate = move |write: &Write| {
        let refused = write.path.ends_with("/services/web-active") && still.load(Ordering::SeqCst);
        if refused { Fate::Conflicting } else { Fate::Passed }
    };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("conflicts").expect("a kubeconfig"), &[]);
    lab.apply(&rollout(json!({}))).expect("applied");
    let address = lab.address();
    let ten = |text: &str| {
        let conflicts = text.lines().find(|line| line.contains(r#"controller="rollouts",result="conflict""#));
        conflicts.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).is_some_and(|count| count >= 10.0)
    };
    lab.until("ten conflicts", |_| ten(&http_get(&address, "/metrics").expect("it answers"))).await;
    assert!(lab.operator().log().contains("conflict after conflict"), "{}", lab.operator().log_tail());
    let told = lab.until("the status says so", |now| now.condition("Stalled") == "True/WriteRefused").await;
    assert!(told.message().contains("cannot point Service web-active"), "{}", told.message());
    disputed.store(false, Ordering::SeqCst);
    lab.until("it goes on", |now| now.is_healthy_on("web:v1")).await;
}

//! How many API requests a release costs, by the API server's own account. Watches and leases aside.

use std::collections::BTreeMap;
use std::time::Duration;

use greenlight_e2e::{Lab, cluster, rollout};
use greenlight_test_cluster::streams_lists;
use serde_json::json;

const OPERATOR: &str = "greenlight/";

fn check(what: &str, counts: &BTreeMap<String, usize>, limit: usize) {
    // Where lists are not streamed, each watch begins with one that is a request of its own.
    let lists: usize = counts.iter().filter(|(what, _)| what.starts_with("list ")).map(|(_, count)| count).sum();
    let limit = if streams_lists() { limit } else { limit + lists };
    let total: usize = counts.values().sum();
    println!("{what}: {total} requests (at most {limit}): {counts:?}");
    assert!(total <= limit, "{what} took {total} requests, at most {limit}: {counts:?}");
    assert!(total > 0, "{what} took no requests: the count is broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_takes_no_more_requests_than_the_documents_say_and_rest_takes_none() {
    let lab = Lab::new("budget").await;
    let settled = Duration::from_millis(1500);
    // The operator is up and has listed everything.
    tokio::time::sleep(settled).await;
    let (audit, mark) = lab.audit();
    let count = |mark| audit.counts(mark, OPERATOR, Some("budget")).expect("the audit log");

    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}}))).expect("applied");
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    tokio::time::sleep(settled).await;
    check("creation to healthy", &count(mark), 9);

    let mark = audit.mark();
    lab.preview("web:v2").await;
    tokio::time::sleep(settled).await;
    check("update to paused with preview", &count(mark), 6);

    let mark = audit.mark();
    lab.greenlight(&["promote", "web"]).expect("promoted");
    tokio::time::sleep(settled).await;
    let now = lab.now().await;
    assert!(now.annotation_of_image("web:v1", "greenlight.dev/scale-down-at").is_some());
    check("promotion to healthy, proof and mark included", &count(mark), 5);

    let mark = audit.mark();
    lab.greenlight(&["undo", "web"]).expect("undone");
    tokio::time::sleep(settled).await;
    check("undo", &count(mark), 6);

    let mark = audit.mark();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(count(mark), BTreeMap::new(), "requests while nothing changed");

    let mark = audit.mark();
    lab.preview("web:v3").await;
    tokio::time::sleep(settled).await;
    check("update after an undo, which takes the rejection off its ReplicaSet", &count(mark), 7);

    let log = std::fs::read_to_string(cluster().dir().join("budget-operator-1.log")).expect("the operator's log");
    let of_it = |line: &&str| line.contains("\"rollout\":\"budget/web\"");
    let alarming = |line: &&str| line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"");
    let mut told = log.lines().filter(of_it).peekable();
    assert!(told.peek().is_some(), "the log tells of the release");
    // The client library warns of the test's kubeconfig.
    let alarming: Vec<&str> = told.filter(alarming).filter(|line| !line.contains("cert bypassed")).collect();
    assert!(alarming.is_empty(), "an ordinary release alarms nobody: {alarming:#?}");
}

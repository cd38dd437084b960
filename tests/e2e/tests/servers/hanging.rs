//! Promise 8: what hangs in some namespaces, a webhook or a server that is measured, holds up nothing in another.

use std::time::{Duration, Instant};

use futures::future::join_all;
use greenlight_api::BlueGreenRollout;
use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::bombs::{food, run_of};
use greenlight_e2e::{Lab, Web, cluster, eventually, http_get, rollout};
use greenlight_test_cluster::Process;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{ALONE, apply_template, deploy_measured, operator};

/// Each of them could have more workers than there are.
const ROLLOUTS: usize = 20;
/// A release takes two seconds, and what hangs hangs for thirty.
const SOON: Duration = Duration::from_secs(15);
/// Together they could measure as much as can be measured at a time.
const DEAD_SERVERS: usize = 17;
const RUNS: usize = 5;

/// A webhook that takes connections and says nothing.
fn hanging_webhook(namespaces: &[&str], port: u16) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "hangs"},
        "webhooks": [{
            "name": "hangs.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 30, "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces},
            ]},
            "rules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["replicasets"],
            }],
        }],
    })
}

/// How much of this is worked on at this moment.
fn running(operator: &Process, controller: &str) -> usize {
    let log = operator.log();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == "serving health and metrics").expect("it serves");
    let metrics = http_get(line["address"].as_str().expect("an address"), "/metrics").expect("it answers");
    let series = format!(r#"greenlight_reconciles_running{{controller="{controller}"}} "#);
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_hang_in_three_namespaces_hold_up_no_release_in_another() {
    let _alone = ALONE.lock().await;
    let town = Lab::without_operator("hang-town").await;
    let names = ["hang-a", "hang-b", "hang-c"];
    let labs: Vec<Lab> = join_all(names.iter().map(|name| Lab::without_operator(name))).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let configuration = hanging_webhook(&names, port);
    let accepts = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            kept.push(connection);
        }
    });
    labs[0].apply(&configuration).expect("applied");
    for lab in &labs {
        for number in 0..ROLLOUTS {
            let mut object =
                rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
            object["metadata"]["name"] = format!("web-{number}").into();
            let object: BlueGreenRollout = serde_json::from_value(object).expect("a rollout");
            lab.api().create(&PostParams::default(), &object).await.expect("created");
        }
    }
    let operator = operator("hanging-webhooks");
    eventually("all workers hang", async || {
        operator.log().contains("\"ready\"") && running(&operator, "rollouts") >= 14
    })
    .await;
    let started = Instant::now();
    town.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "scaleDownDelaySeconds": 0}}})).await;
    let deployed = started.elapsed();
    town.set_image("web:v2").await;
    town.until("v2 serves", |now| now.is_healthy_on("web:v2") && now.is_down("web:v1")).await;
    let took = started.elapsed();
    println!("deployed after {deployed:?}, released after {took:?}; {} hang", running(&operator, "rollouts"));
    assert!(running(&operator, "rollouts") >= 3, "nothing hangs any more");
    cluster().kubectl(&["delete", "validatingwebhookconfiguration", "hangs"]).expect("deleted");
    accepts.abort();
    assert!(took < SOON, "deployed after {deployed:?}, released after {took:?}");
    for lab in &labs {
        lab.until("it heals", |now| now.sets.len() == ROLLOUTS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_servers_in_seventeen_namespaces_hold_up_no_measurement_in_another() {
    let _alone = ALONE.lock().await;
    let town = Lab::without_operator("measured-town").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hole = format!("http://{}", silent.local_addr().expect("an address"));
    let hole = json!({"provider": {"web": {"url": hole, "timeoutSeconds": 60}}});
    for namespace in 0..DEAD_SERVERS {
        let lab = Lab::without_operator(&format!("dead-{namespace}")).await;
        for number in 0..RUNS {
            let run = run_of(&format!("hole-{number}"), &hole);
            lab.api::<AnalysisRun>().create(&PostParams::default(), &run).await.expect("created");
        }
    }
    let web = Web::start(&food()).await;
    apply_template(&town, &web);
    let operator = operator("dead-servers");
    eventually("all measurements hang", async || {
        operator.log().contains("\"ready\"") && running(&operator, "analysis") >= 60
    })
    .await;
    deploy_measured(&town).await;
    let started = Instant::now();
    town.set_image("web:v2").await;
    town.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    let took = started.elapsed();
    println!("released after {took:?}; {} measurements hang", running(&operator, "analysis"));
    assert!(running(&operator, "analysis") >= 60, "nothing hangs any more");
    assert!(took < SOON, "released after {took:?}");
}

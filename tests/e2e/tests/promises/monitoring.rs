//! What is seen from outside: a real Prometheus scrapes the operator, alerts fire and resolve, every panel has data.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use greenlight_e2e::{Lab, Prometheus, Receiver, cluster, operator_kubeconfig};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring")
}

#[test]
fn promtool_finds_the_alerts_right() {
    if !Prometheus::is_there() {
        return;
    }
    let output = Command::new("promtool")
        .args(["test", "rules", "alerts_test.yaml"])
        .current_dir(folder())
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_resolve_and_every_panel_has_data() {
    if !Prometheus::is_there() {
        return;
    }
    let mut lab = Lab::without_operator("monitoring").await;
    let sink = Receiver::start(0).await;
    let config = cluster().dir().join("monitoring-sinks.yaml");
    std::fs::write(&config, json!({"sinks": [{"name": "sink", "url": sink.url()}]}).to_string()).expect("written");
    lab.start_operator_with(&operator_kubeconfig(), &["--notifications", config.to_str().expect("UTF-8")]);
    let rules = std::fs::read_to_string(folder().join("alerts.yaml")).expect("the alerts");
    let dir = cluster().dir().join("monitoring");
    std::fs::create_dir_all(&dir).expect("a folder");
    // The same rules without the patience.
    std::fs::write(dir.join("alerts.yaml"), rules.replace("for: 5m", "for: 1s").replace("for: 2m", "for: 1s"))
        .expect("written");
    let prometheus = Prometheus::start(
        "monitoring",
        &format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs: [{{job_name: greenlight, honor_labels: true, static_configs: [{{targets: ['{}']}}]}}]\n",
            lab.address()
        ),
    )
    .expect("it starts");
    let until = async |query: &str, wanted: bool| {
        for _ in 0..120 {
            let there = prometheus.query(query).await.is_ok_and(|samples| !samples.is_empty());
            if there == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("waited in vain: {query} is {wanted}");
    };
    // Counters are seen to grow only from the second scrape on.
    lab.deploy(json!({"progressDeadlineSeconds": 2})).await;
    until(r#"greenlight_promotions_total{rollout="web"} == 1"#, true).await;
    lab.release("web:v2").await;
    lab.preview("web:v3").await;
    lab.greenlight(&["promote", "web", "--revision", "nonsense"]).expect_err("refused");
    until(r#"greenlight_rollout_preview_ready_timestamp_seconds{rollout="web"}"#, true).await;

    let dashboard = std::fs::read_to_string(folder().join("dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut queries = 0;
    for target in targets {
        let query = target["expr"].as_str().expect("a query");
        let query = query.replace("$namespace", ".*").replace("$rollout", ".*").replace("$__rate_interval", "5m");
        until(&query, true).await;
        queries += 1;
    }
    assert!(queries >= 20, "only {queries} panels were asked");

    let firing = |alert: &str| format!(r#"ALERTS{{alertname="{alert}", alertstate="firing", namespace="monitoring"}}"#);
    lab.set_template("web:v4", &[(greenlight_test_cluster::BEHAVIOUR, "hang")]).await;
    until(&firing("GreenlightRolloutStuck"), true).await;
    lab.set_image("web:v5").await;
    until(&firing("GreenlightRolloutStuck"), false).await;
    lab.until("v5 waits", |now| now.phase() == "Paused").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    until(&firing("GreenlightRolledBack"), true).await;
    let down = r#"ALERTS{alertname="GreenlightDown", alertstate="firing"}"#;
    assert!(prometheus.query(down).await.expect("it answers").is_empty());
    lab.kill_operator();
    until(down, true).await;
}

//! The operator as a process: health, metrics, leadership, and its end.

use std::time::Duration;

use greenlight_e2e::{Lab, cluster};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_health_and_metrics_and_stops_gracefully() {
    let mut lab = Lab::new("health").await;
    lab.deploy(json!({})).await;
    let log = lab.operator().log();
    let line = log.lines().find(|line| line.contains("serving health and metrics")).expect("it says where").to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON, because it is not a terminal");
    let address = line["address"].as_str().expect("an address").to_owned();
    let text = |path: &str| http_get(&address, path).expect("it answers");
    assert_eq!(text("/healthz"), "ok");
    assert_eq!(text("/readyz"), "ok");
    assert!(
        text("/metrics").contains("greenlight_reconciles_total{controller=\"rollouts\",result=\"ok\"}"),
        "{}",
        text("/metrics")
    );
    assert_eq!(lab.operator().terminate().expect("it ends"), 0, "{}", lab.operator().log_tail());
}

/// The body of an answer.
fn http_get(address: &str, path: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_stands_by_and_takes_over() {
    let mut lab = Lab::without_operator("leader").await;
    let kubeconfig = cluster().kubeconfig();
    let elect = ["--leader-elect", "--lease-namespace", "leader"];
    lab.start_operator_with(&kubeconfig, &elect);
    lab.deploy(json!({})).await;
    let second = lab.operator_process("second", &kubeconfig, &elect);
    lab.preview("web:v2").await;
    assert!(!second.log().contains("\"message\":\"leading\""), "{}", second.log_tail());
    assert_eq!(lab.operator().terminate().expect("it ends"), 0);
    lab.annotate_request("promote").await;
    lab.until("the second carries it out", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy")
        .await;
    assert!(second.log().contains("\"message\":\"leading\""), "{}", second.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_operator_goes_on_where_it_was() {
    let mut lab = Lab::new("restarted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 3}}})).await;
    lab.preview("web:v2").await;
    lab.kill_operator();
    lab.annotate_request("promote").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    lab.start_operator();
    lab.until("carried out", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    lab.kill_operator();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(lab.now().await.replicas_of_image("web:v1"), 2, "nobody is there to scale it down");
    lab.start_operator();
    lab.until("scaled down", |now| now.replicas_of_image("web:v1") == 0).await;
}

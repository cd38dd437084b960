//! The operator as a process: health, metrics, leadership, and its end.

use std::time::{Duration, Instant};

use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::bombs::run_of;
use greenlight_e2e::{FaultProxy, Lab, binary, cluster, eventually, http_get, operator_kubeconfig};
use greenlight_test_cluster::Process;
use kube::api::PostParams;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_health_and_metrics_and_stops_gracefully() {
    let mut lab = Lab::new("health").await;
    lab.deploy(json!({})).await;
    let address = lab.address();
    let text = |path: &str| http_get(&address, path).expect("it answers");
    assert_eq!(text("/healthz"), "ok");
    assert_eq!(text("/readyz"), "ok");
    assert_eq!(lab.operator().terminate().expect("it ends"), 0, "{}", lab.operator().log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_measured_and_the_series_of_a_deleted_rollout_go() {
    let mut lab = Lab::new("metrics").await;
    let address = lab.address();
    let metrics = || http_get(&address, "/metrics").expect("it answers");
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let all_said = async |lines: &[&str]| {
        let missing = || {
            let text = metrics();
            lines.iter().find(|line| !text.contains(**line)).map(|line| format!("{line}\n{text}"))
        };
        // What happened is counted once the status that says so is written.
        for _ in 0..100 {
            if missing().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(missing(), None);
    };
    all_said(&[
        r#"greenlight_rollout_info{namespace="metrics",phase="Paused",reason="AwaitingPromotion",rollout="web"} 1"#,
        r#"greenlight_rollout_preview_ready_timestamp_seconds{namespace="metrics",rollout="web"} 1"#,
        // What has not happened yet is there as a zero: the first time is a rise.
        r#"greenlight_rollbacks_total{namespace="metrics",rollout="web"} 0"#,
    ])
    .await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.greenlight(&["promote", "web", "--revision", "nonsense"]).expect_err("refused");
    lab.greenlight(&["undo", "web"]).expect("undone");
    all_said(&[
        r#"greenlight_deployments_total{namespace="metrics",rollout="web"} 2"#,
        r#"greenlight_promotions_total{namespace="metrics",rollout="web"} 2"#,
        r#"greenlight_rollbacks_total{namespace="metrics",rollout="web"} 1"#,
        r#"greenlight_rollout_duration_seconds_count{namespace="metrics"} 2"#,
        r#"greenlight_preview_test_duration_seconds_count{namespace="metrics"} 1"#,
        r#"greenlight_promotion_duration_seconds_count{namespace="metrics"} 2"#,
        r#"greenlight_requests_total{accepted="true",action="promote",by="admin",namespace="metrics"} 1"#,
        r#"greenlight_requests_total{accepted="false",action="promote",by="admin",namespace="metrics"} 1"#,
        r#"greenlight_requests_total{accepted="true",action="rollback",by="admin",namespace="metrics"} 1"#,
        r#"greenlight_rollout_info{namespace="metrics",phase="Degraded",reason="RevisionRejected",rollout="web"} 1"#,
        r#"greenlight_reconciles_total{controller="rollouts",result="ok"}"#,
        r#"greenlight_queue_depth{controller="rollouts"} 0"#,
        r#"greenlight_api_request_duration_seconds_count{code="200",verb="patch"}"#,
        "greenlight_leader 1",
        "greenlight_shards 1",
        "greenlight_shards_held 1",
        "process_resident_memory_bytes",
    ])
    .await;
    cluster().kubectl(&["-n", "metrics", "delete", "bgr", "web"]).expect("deleted");
    // It was the only one, so those of its namespace go too.
    for _ in 0..100 {
        if !metrics().contains(r#"namespace="metrics""#) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something is left: {}", metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_stands_by_and_takes_over() {
    let mut lab = Lab::without_operator("leader").await;
    let kubeconfig = operator_kubeconfig();
    let elect = ["--leader-elect", "--lease-namespace", "leader"];
    lab.start_operator_with(&kubeconfig, &elect);
    lab.deploy(json!({})).await;
    let second = lab.operator_process("second", &kubeconfig, &elect);
    eventually("the second waits", async || second.log().contains("waiting to lead")).await;
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
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 10}}})).await;
    lab.preview("web:v2").await;
    lab.kill_operator();
    lab.annotate_request("promote").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    lab.start_operator();
    lab.until("carried out", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    lab.kill_operator();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(lab.now().await.replicas_of_image("web:v1"), 2, "nobody is there to scale it down");
    lab.start_operator();
    lab.until("scaled down", |now| now.replicas_of_image("web:v1") == 0).await;
}

/// The API server stands behind a proxy, under a name that is not its certificate's, and the certificate is checked.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_through_a_proxy_and_checks_the_name_that_it_is_told_to() {
    let mut lab = Lab::without_operator("proxied").await;
    let proxy = FaultProxy::start_tunnel().await.expect("a proxy");
    let (_, token) = cluster().endpoint();
    let authority = cluster().dir().join("certs/apiserver.crt");
    let kubeconfig = |server_name: &str| {
        let path = cluster().dir().join(format!("proxied-{server_name}.kubeconfig"));
        let cluster = json!({
            "server": "https://behind-the-proxy.test:6443", "proxy-url": proxy.proxy_url(),
            "tls-server-name": server_name, "certificate-authority": authority,
        });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxied",
            "clusters": [{"name": "proxied", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "admin"}}],
        });
        std::fs::write(&path, config.to_string()).expect("written");
        path
    };
    lab.start_operator_with(&kubeconfig("somebody-else.test"), &[]);
    let refused = |log: String| log.contains("somebody-else.test") || log.contains("NotValidForName");
    let started = Instant::now();
    while !refused(lab.operator().log()) {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", lab.operator().log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lab.kill_operator();
    lab.start_operator_with(&kubeconfig("kubernetes.default.svc"), &[]);
    lab.is_ready().await;
    lab.deploy(json!({})).await;
    lab.release("web:v2").await;
}

/// How it ended, once it has by itself.
async fn ended(operator: &mut Process) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(code) = operator.exit_code() {
            return code;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it does not end: {}", operator.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nobody would see its health or its metrics: better that somebody sees that it does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_ends_it_and_it_says_why() {
    let lab = Lab::without_operator("port").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let args = ["controller", "--namespace", &lab.namespace, "--listen", &address].map(str::to_owned);
    let kubeconfig = operator_kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let operator = Process::start(cluster().dir(), "port-operator", &binary("greenlight"), &args, &env);
    let mut operator = operator.expect("it starts");
    assert_eq!(ended(&mut operator).await, 1);
    assert!(operator.log().contains("health and metrics are not served (--listen)"), "{}", operator.log_tail());
}

/// As when a backup of etcd is restored: what it knows is from a time that never was.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_gone_or_older_ends_whoever_knew_it() {
    let lab = Lab::without_operator("wentback").await;
    let elect = ["--leader-elect", "--lease-namespace", "wentback"];
    let mut first = lab.operator_process("first", &operator_kubeconfig(), &elect);
    eventually("it leads", async || first.log().contains("\"message\":\"leading\"")).await;
    let mut second = lab.operator_process("second", &operator_kubeconfig(), &elect);
    eventually("it waits", async || second.log().contains("waiting to lead")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.kubectl(&["delete", "lease", "greenlight"]);
    // Whoever is quicker makes a new one; the other one has seen that it was gone, or sees a holder that it does not know.
    let codes = (ended(&mut first).await, ended(&mut second).await);
    assert_eq!(codes, (1, 1));
    let said = "went back in time";
    assert!(first.log().contains(said) || second.log().contains(said), "{}", first.log_tail());
}

/// What is measured is measured again by whoever comes next, and whoever ends does not wait for somebody else's server.
#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_that_hangs_does_not_hold_up_a_handover() {
    let mut lab = Lab::new("measuring").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let run = run_of("hole", &json!({"provider": {"web": {"url": url, "timeoutSeconds": 60}}}));
    lab.api::<AnalysisRun>().create(&PostParams::default(), &run).await.expect("created");
    let _asked = silent.accept().await.expect("it is asked");
    let started = Instant::now();
    assert_eq!(lab.operator().terminate().expect("it ends"), 0, "{}", lab.operator().log_tail());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

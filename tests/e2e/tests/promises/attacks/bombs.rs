//! Analyses that are made to cost more than they may: whoever may write one, in whichever namespace, holds up nobody.

use std::time::{Duration, Instant};

use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::bombs::{bombs, food, run_of};
use greenlight_e2e::{Lab, Web, http_get};
use kube::api::PostParams;
use serde_json::json;
use tokio::net::TcpListener;

/// More than there are workers.
const BLACK_HOLES: usize = 20;
/// What the chart lets the operator have, in bytes.
const MEMORY: f64 = 256.0 * 1024.0 * 1024.0;

fn memory(address: &str) -> f64 {
    let metrics = http_get(address, "/metrics").expect("metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.expect("it is measured").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_and_black_holes_in_analyses_hold_up_no_release_and_the_operator_lives() {
    let mut lab = Lab::new("bombs").await;
    lab.deploy(json!({})).await;
    let usual = Instant::now();
    lab.release("web:v2").await;
    let usual = usual.elapsed();
    let web = Web::start(&food()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bombs = bombs(web.url());
    let runs = lab.api::<AnalysisRun>();
    for (name, metric) in &bombs {
        runs.create(&PostParams::default(), &run_of(name, metric))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    let hole = json!({"provider": {"web": {"url": silent, "timeoutSeconds": 10}}});
    for number in 0..BLACK_HOLES {
        runs.create(&PostParams::default(), &run_of(&format!("hole-{number}"), &hole)).await.expect("created");
    }
    let bombed = Instant::now();
    lab.release("web:v3").await;
    let bombed = bombed.elapsed();
    println!("a release takes {usual:?}, with bombs {bombed:?}");
    assert!(bombed < usual * 2 + Duration::from_secs(3), "a release takes {usual:?}, with bombs {bombed:?}");
    let address = lab.address();
    let started = Instant::now();
    loop {
        assert!(memory(&address) < MEMORY, "{} bytes", memory(&address));
        assert_eq!(http_get(&address, "/healthz").expect("it answers"), "ok");
        let status = |run: &AnalysisRun| run.status.clone().unwrap_or_default();
        let runs = lab.runs().await;
        let of_bombs =
            runs.iter().filter(|run| bombs.iter().any(|(name, _)| run.metadata.name.as_deref() == Some(*name)));
        let over: Vec<String> =
            of_bombs.map(status).filter(|status| status.phase.is_completed()).map(|status| status.message).collect();
        if over.len() == bombs.len() {
            let stopped = over.iter().filter(|message| message.contains("take too long")).count();
            assert!(stopped >= 3, "they are no bombs: {over:#?}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(200), "the bombs are not over: {over:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn analyses_do_not_ask_loopback_or_the_api_server_whatever_the_name() {
    let lab = Lab::without_operator("insidejob").await;
    let kubeconfig = greenlight_e2e::cluster().kubeconfig();
    // Without the exception that tests make for their own servers.
    let default = lab.operator_process_with("default", &kubeconfig, &[]);
    let web = Web::start("true").await;
    let port = web.url().rsplit(':').next().expect("a port").to_owned();
    let (server, _) = greenlight_e2e::cluster().endpoint();
    let urls = [
        web.url().to_owned(),
        format!("http://localhost:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("{server}/api"),
    ];
    for (number, url) in urls.iter().enumerate() {
        let metric = json!({"provider": {"web": {"url": url, "insecure": true}}});
        let runs = lab.api::<AnalysisRun>();
        runs.create(&PostParams::default(), &run_of(&format!("inside-{number}"), &metric)).await.expect("created");
    }
    let started = Instant::now();
    loop {
        let runs = lab.runs().await;
        let over: Vec<String> = runs
            .iter()
            .filter_map(|run| run.status.clone())
            .filter(|status| status.phase.is_completed())
            .map(|status| status.message)
            .collect();
        if over.len() == urls.len() {
            assert!(over.iter().all(|message| message.contains("analyses may not ask")), "{over:#?}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{over:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(web.questions(), 0, "nobody asked");
    drop(default);
}

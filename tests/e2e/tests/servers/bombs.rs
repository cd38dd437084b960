//! Promise 8: a rollout's trouble is its own. One operator for all namespaces, bombs in the one and releases in the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::bombs::{bombs, food, run_of};
use greenlight_e2e::{Lab, Web, cluster, eventually};
use kube::api::PostParams;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{ALONE, apply_template, deploy_measured, operator};

/// What the chart lets the operator have, in bytes: the process and its children.
const MEMORY: u64 = 256 << 20;
/// Of so many releases the one in the middle counts.
const RELEASES: usize = 15;
/// More than a namespace may wait for at a time.
const BLACK_HOLES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn bombs_in_one_namespace_hold_up_no_release_in_another() {
    let _alone = ALONE.lock().await;
    let quarry = Lab::without_operator("quarry").await;
    let town = Lab::without_operator("town").await;
    let operator = operator("bombed-operator");
    let peak = Peak::watch(operator.pid().expect("it runs"));

    // The releases have an analysis of their own, with a condition that takes a process: its places are what bombs fight for.
    let web = Web::start(&food()).await;
    apply_template(&town, &web);
    deploy_measured(&town).await;
    let usual = releases(&town, "usual").await;

    // Black holes have a namespace of their own: what waits for them takes its places.
    let void = Lab::without_operator("void").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hole = format!("http://{}", silent.local_addr().expect("an address"));
    let hole = json!({"provider": {"web": {"url": hole, "timeoutSeconds": 60}}});
    for number in 0..BLACK_HOLES {
        let runs = void.api::<AnalysisRun>();
        runs.create(&PostParams::default(), &run_of(&format!("hole-{number}"), &hole)).await.expect("created");
    }
    // Again and again, for as long as there are releases.
    let planted = bombs(web.url());
    let runs = quarry.api::<AnalysisRun>();
    let plant = async {
        for round in 0_usize.. {
            for (name, bomb) in &planted {
                let run = run_of(&format!("{name}-{round}"), bomb);
                runs.create(&PostParams::default(), &run).await.expect("created");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let while_bombs_go_off = async {
        let first = Instant::now();
        while stopped(&quarry).await == 0 {
            assert!(first.elapsed() < Duration::from_secs(120), "no bomb goes off");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let before = stopped(&quarry).await;
        let bombed = releases(&town, "bombed").await;
        (bombed, stopped(&quarry).await - before)
    };
    let (bombed, went_off) = tokio::select! {
        bombed = while_bombs_go_off => bombed,
        () = plant => unreachable!("it never ends"),
    };
    let peak = peak.end();
    println!("a release takes {usual:?}, while {went_off} bombs go off {bombed:?}; at most {} MiB", peak >> 20);
    assert!(bombed <= usual * 2, "a release takes {usual:?}, with bombs in another namespace {bombed:?}");
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    assert!(went_off > 0, "none of the bombs went off while releases went on");
}

/// As many as a tenant without quotas makes in a minute.
const LARGE_RUNS: usize = 300;
/// For so many of them there is one that is half as large.
const HALF_AS_LARGE: usize = 5;
/// So many are created at the same time.
const AT_ONCE: usize = 8;

/// A run whose body has so many bytes that no compression makes fewer.
fn run_of_bytes(name: &str, bytes: usize, url: &str) -> AnalysisRun {
    let mut state = name.bytes().fold(1_u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let text: Vec<u8> = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'A' + u8::try_from((state >> 33) % 26).unwrap_or_default()
        })
        .collect();
    let text = String::from_utf8_lossy(&text);
    run_of(
        name,
        &json!({"provider": {"web": {"url": url, "timeoutSeconds": 60, "method": "POST", "jsonBody": {"a": text}}}}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_large_runs_fit_into_the_memory_that_the_chart_gives() {
    let _alone = ALONE.lock().await;
    let flood = Lab::without_operator("flood").await;
    let coast = Lab::without_operator("coast").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let runs = flood.api::<AnalysisRun>();
    let create = &async |name: String, bytes: usize| {
        let run = run_of_bytes(&name, bytes, &url);
        runs.create(&PostParams::default(), &run).await.expect("created");
    };
    // Those of a megabyte are too large, and those of half of it are just small enough. Half of each are there before the operator is.
    let create_all = async |numbers: std::ops::Range<usize>| {
        let create_both = |number: usize| async move {
            create(format!("large-{number}"), 1_000_000).await;
            if number.is_multiple_of(HALF_AS_LARGE) {
                create(format!("half-{number}"), 500_000).await;
            }
        };
        stream::iter(numbers).map(create_both).buffer_unordered(AT_ONCE).collect::<()>().await;
    };
    create_all(0..LARGE_RUNS / 2).await;
    let operator = operator("flooded-operator");
    let peak = Peak::watch(operator.pid().expect("it runs"));
    coast.deploy(json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true, "scaleDownDelaySeconds": 0}}})).await;
    let _asked = silent.accept().await.expect("one of them is measured");
    create_all(LARGE_RUNS / 2..LARGE_RUNS).await;
    let took = releases(&coast, "flooded").await;
    let told = async || {
        let events: kube::Api<k8s_openapi::api::events::v1::Event> = flood.api();
        let events = events.list(&Default::default()).await.expect("events").items;
        events.iter().filter(|event| event.reason.as_deref() == Some("Unreadable")).count()
    };
    eventually("each that is too large is told", async || told().await == LARGE_RUNS).await;
    let peak = peak.end();
    println!(
        "{LARGE_RUNS} runs of 1 MB and a fifth as many of 0.5: at most {} MiB; a release takes {took:?}",
        peak >> 20
    );
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    cluster().kubectl(&["delete", "namespace", "flood", "--timeout=120s"]).expect("gone");
}

/// How many bombs were stopped.
async fn stopped(lab: &Lab) -> usize {
    let statuses = lab.runs().await.into_iter().filter_map(|run| run.status);
    statuses.filter(|status| status.message.contains("take too long")).count()
}

/// How long a release takes: the one in the middle of some.
async fn releases(lab: &Lab, name: &str) -> Duration {
    let mut took = Vec::new();
    for number in 0..RELEASES {
        let image = format!("web:{name}-{number}");
        let started = Instant::now();
        lab.set_image(&image).await;
        lab.until(&image, |now| now.is_healthy_on(&image)).await;
        took.push(started.elapsed());
    }
    println!("{name}: {took:?}");
    took.sort();
    took[RELEASES / 2]
}

/// The largest memory of a process and its children together.
struct Peak {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Peak {
    fn watch(pid: u32) -> Peak {
        let peak = Peak { most: Arc::default(), over: Arc::default() };
        let (most, over) = (peak.most.clone(), peak.over.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(memory_of_family(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        peak
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed)
    }
}

fn memory_of_family(pid: u32) -> u64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|other| {
        let status = std::fs::read_to_string(format!("/proc/{other}/status")).ok()?;
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let ours = other == pid || number("PPid:") == Some(u64::from(pid));
        // Of a child what is its own: it shares the program with its parent.
        ours.then(|| number(if other == pid { "VmRSS:" } else { "RssAnon:" }).unwrap_or(0) << 10)
    })
    .sum()
}

//! Real pods, real traffic: the operator runs in its own pod, installed by the chart, and moves production between versions of the
//! example while requests come in. Needs root; says so and skips where it cannot run, except in CI.

mod dashboard;
mod docs;
mod earlier;
mod site;
mod traffic;
mod upgrade;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use greenlight_e2e::Receiver;
use greenlight_test_cluster::{Cluster, NODE_ADDRESS, Process, TRAEFIK, enter_namespaces, missing_for_real_node};
use serde_json::{Value, json};
use site::{ACTIVE_HOST, Site};
use tokio::time::Instant;
use traffic::Traffic;

/// In this order they are one story.
const DOCUMENTS: [&str; 8] = [
    "quick-start.md",
    "guide.md",
    "runbooks.md",
    "monitoring.md",
    "security.md",
    "gitops.md",
    "pipelines.md",
    "migrating.md",
];
/// The folder that each program's image is in, by the program's name.
const IMAGES: &str = "GREENLIGHT_IMAGES";
const PROGRAMS: [&str; 2] = ["greenlight", "greenlight-dashboard"];
const REQUESTS_PER_SECOND: u32 = 200;
const REQUESTS_PER_SECOND_BY_INGRESS: u32 = 20;
/// Shorter than the example's, so that the test is.
const DELAY: Duration = Duration::from_secs(8);
/// A leader that is killed without a word keeps its lease for so long.
const LEASE: Duration = Duration::from_secs(15);

fn main() -> Result<()> {
    let images = std::env::var_os(IMAGES).map(PathBuf::from);
    let without_images = || format!("no images: `cargo xtask test` builds them, and sets {IMAGES}");
    let missing = missing_for_real_node().or_else(|| images.is_none().then(without_images));
    let Some(images) = images.filter(|_| missing.is_none()) else {
        let missing = missing.unwrap_or_default();
        if std::env::var_os("GREENLIGHT_SKIP_NOTHING").is_some() {
            bail!("CI skips nothing, but: {missing}");
        }
        println!("SKIPPED: the tests on a real node: {missing}");
        return Ok(());
    };
    // Built outside: inside there is no network.
    let traefik = greenlight_test_cluster::ensure(&TRAEFIK)?.path("traefik");
    greenlight_test_cluster::ensure(&greenlight_test_cluster::HELM)?;
    greenlight_test_cluster::ensure(&greenlight_test_cluster::NODE)?;
    greenlight_test_cluster::ensure(&greenlight_test_cluster::CONTROL_PLANE)?;
    enter_namespaces()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&images, &traefik))
}

async fn run(images: &Path, traefik: &Path) -> Result<()> {
    let started = Instant::now();
    PROGRAMS.iter().try_for_each(|program| check_bill_of_materials(&images.join(program), program))?;
    let archives: Vec<PathBuf> = PROGRAMS
        .map(|program| archive(&images.join(program), &format!("docker.io/library/{program}:0.1.0"), program))
        .into_iter()
        .chain(earlier::folder().map(|earlier| archive(&earlier.join("rootfs"), &earlier::image(), PROGRAMS[0])))
        .collect::<Result<_>>()?;
    let cluster = Cluster::start_with_real_node(&archives).await?;
    println!("a real node is ready after {} s", started.elapsed().as_secs());
    let site = Site::new(cluster);
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Err(error) = scenes(&site, traefik, &only).await {
        site.describe();
        return Err(error);
    }
    println!("\nnode tests: all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// All of them, or those with these names: each stands for itself. The one with an earlier version takes that version.
async fn scenes(site: &Site, traefik: &Path, only: &[String]) -> Result<()> {
    let ingress = start_traefik(site, traefik)?;
    site.create_restricted_namespace("greenlight")?;
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    if let Some(earlier) = earlier::folder().filter(|_| is_wanted("earlier")) {
        say("an earlier version, upgraded and returned to in each phase of a release, under 200 requests a second");
        earlier::run(site, &earlier, DELAY).await?;
    }
    if is_wanted("upgrade") {
        say("an older chart, upgraded under a rollout: the CRD learns a field, no pod is restarted, and it all goes");
        upgrade::run(site, DELAY).await?;
    }
    if is_wanted("dashboard") {
        say("the dashboard in its pod, behind a proxy with two people");
        dashboard::run(site, DELAY).await?;
    }
    if is_wanted("releases") {
        documents_and_releases(site).await?;
    }
    drop(ingress);
    Ok(())
}

/// One story: what the documents install is what is used afterwards.
async fn documents_and_releases(site: &Site) -> Result<()> {
    say("the documents, as they are written: quick start, guide, runbooks, and so on");
    for page in DOCUMENTS {
        docs::run(site, page)?;
    }

    say(
        "the chart, upgraded: two replicas of the operator, each in its pod, with the chart's ServiceAccount and security context",
    );
    let chart = site::chart().display().to_string();
    let sink = Receiver::start_at(NODE_ADDRESS, 0).await;
    site.kubectl(&["create", "secret", "generic", "events", "-n", "greenlight", "--from-literal=token=s3cret"])?;
    let values = site.cluster().dir().join("values.json");
    let told = json!({"name": "sink", "url": sink.url(), "tokenSecret": {"name": "events", "key": "token"}});
    std::fs::write(&values, json!({"notifications": {"sinks": [told]}}).to_string())?;
    let values = values.display().to_string();
    let upgrade =
        ["upgrade", "greenlight", &chart, "-n", "greenlight", "--values", &values, "--wait", "--timeout", "120s"];
    site.helm(&upgrade)?;
    site.check_operator_pods().await?;

    say("the example, by way of Traefik");
    site.deploy(DELAY).await?;
    site.shows("v1", "v1").await?;
    // Traefik goes to the pods; the load goes through kube-proxy, which writes the first endpoints in its own time.
    site.until_served("v1").await?;

    say("200 requests a second, a new connection each, and 20 by way of the ingress");
    let direct = Traffic::start(format!("{}:80", site.active_address()?), "blue-green-active", REQUESTS_PER_SECOND);
    let by_ingress = Traffic::start(site::INGRESS.to_owned(), ACTIVE_HOST, REQUESTS_PER_SECOND_BY_INGRESS);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let switches = switches(site, &direct).await?;
    let rate = direct.rate();
    let (answers, failures) = direct.stop().await;
    let (answers_by_ingress, failures_by_ingress) = by_ingress.stop().await;
    println!("\n{} switches", switches.len());
    println!("{answers} requests answered, {rate:.0} a second, {} failed: {:?}", failures.len(), some(&failures));
    println!(
        "{answers_by_ingress} requests by way of the ingress answered, {} failed: {:?}",
        failures_by_ingress.len(),
        some(&failures_by_ingress)
    );
    let mut times = switches;
    times.sort();
    println!(
        "from the request to the last answer of the old version: median {} ms, longest {} ms",
        times[times.len() / 2].as_millis(),
        times[times.len() - 1].as_millis()
    );
    ensure!(times.len() >= 10 && answers > 10_000, "too little to show anything");
    ensure!(
        rate > 0.75 * f64::from(REQUESTS_PER_SECOND),
        "only {rate:.0} requests a second: whoever waits sees no gap"
    );
    ensure!(failures.is_empty() && failures_by_ingress.is_empty(), "requests were lost");

    let told = sink.wait_for(20).await;
    ensure!(
        told.iter().all(|(headers, _)| headers["authorization"] == "Bearer s3cret"),
        "the token is that of the Secret"
    );
    println!("{} notifications arrived, with the token of the Secret", told.len());

    say("uninstalling leaves nothing stuck");
    print!("{}", site.helm(&["uninstall", "greenlight", "-n", "greenlight", "--wait"])?);
    ensure!(site.version_served().await? == "v8", "production goes on without the operator");
    site.kubectl(&["delete", "bgr", "--all", "-n", site::NAMESPACE, "--timeout=60s"])?;
    site.kubectl(&["delete", "namespace", site::NAMESPACE, "--timeout=60s"])?;
    site.kubectl(&["delete", "namespace", "greenlight", "--timeout=60s"]).map(drop)
}

/// At least ten switches, of every kind; the time that each took.
async fn switches(site: &Site, traffic: &Traffic) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut note = |what: &str, took: Duration| {
        println!("{what:<64} {:>6} ms", took.as_millis());
        times.push(took);
    };
    let promote: &[&str] = &["promote", "blue-green-app"];
    let undo: &[&str] = &["undo", "blue-green-app"];
    println!("{:<64} request to last answer of the old version", "");

    site.preview("v2", "seagreen").await?;
    site.shows("v1", "v2").await?;
    let download = site.start_download(2 * DELAY)?;
    note("promote v2", site.switch(promote, "v1", "v2", traffic).await?);
    let before = site.pods()?;
    note("undo, inside the delay", site.switch(undo, "v2", "v1", traffic).await?);
    ensure!(site.pods()? == before, "a rollback restarts no pod");

    site.preview("v3", "darkorange").await?;
    note("promote v3", site.switch(promote, "v1", "v3", traffic).await?);
    note("undo, inside the delay", site.switch(undo, "v3", "v1", traffic).await?);

    site.preview("v4", "crimson").await?;
    note("promote v4", site.switch(promote, "v1", "v4", traffic).await?);
    ensure!(download.await?? == 2 * DELAY.as_secs() * 4 * 1024, "a download was cut off");
    site.until_scaled_down().await?;
    note("undo, after the delay", site.switch(undo, "v4", "v1", traffic).await?);

    site.preview("v5", "teal").await?;
    let delete_leader = || {
        let leader = site.leader()?;
        site.kubectl(&["delete", "pod", "-n", "greenlight", &leader, "--wait=false"]).map(drop)
    };
    let took = site.promote_while("v1", "v5", traffic, delete_leader).await?;
    note("promote v5, in the middle of it the leader's pod deleted", took);

    site.preview("v6", "purple").await?;
    let took = site.promote_while("v5", "v6", traffic, || site.kill_leader()).await?;
    note("promote v6, in the middle of it the leader's process killed", took);
    ensure!(took < LEASE + Duration::from_secs(15), "the other one took {took:?}");

    // People are asked for each promotion, also of what is still up inside its delay.
    site.preview("v5", "teal").await?;
    note("back to v5 by the spec, promoted", site.switch(promote, "v6", "v5", traffic).await?);

    site.preview("v7", "goldenrod").await?;
    note("promote v7", site.switch(promote, "v5", "v7", traffic).await?);
    note("undo, inside the delay", site.switch(undo, "v7", "v5", traffic).await?);
    site.preview("v8", "slateblue").await?;
    note("promote v8", site.switch(promote, "v5", "v8", traffic).await?);
    Ok(times)
}

/// What a static binary was made of stands in its image (CycloneDX), with the versions that were locked. A release writes its SPDX from this.
fn check_bill_of_materials(rootfs: &Path, program: &str) -> Result<()> {
    let file = rootfs.join(format!("usr/share/sbom/{program}_bin.cdx.json"));
    let bill = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let bill: Value = serde_json::from_str(&bill)?;
    let locked = std::fs::read_to_string(site::repository().join("Cargo.lock"))?;
    let components = bill["components"].as_array().context("components")?;
    for krate in ["kube-client", "rustls", "tokio"] {
        let listed = components.iter().find(|component| component["name"] == krate);
        let version = listed.and_then(|component| component["version"].as_str()).unwrap_or_default();
        ensure!(
            locked.contains(&format!("name = \"{krate}\"\nversion = \"{version}\"\n")),
            "{} lists {krate} {version:?}, which is not what was locked",
            file.display()
        );
    }
    println!("{program}: {} components in its bill of materials", components.len());
    Ok(())
}

/// An image of a root file system, with this reference, that runs a program.
fn archive(rootfs: &Path, reference: &str, program: &str) -> Result<PathBuf> {
    let archive = std::env::temp_dir().join(format!("{}.tar", reference.replace(['/', ':'], "-")));
    greenlight_test_cluster::write_archive(rootfs, reference, &[&format!("/{program}")], &archive)?;
    Ok(archive)
}

/// An ingress controller on the node.
fn start_traefik(site: &Site, program: &Path) -> Result<Process> {
    let (server, token) = site.cluster().endpoint();
    let authority = site.cluster().dir().join("certs/apiserver.crt");
    let args = [
        format!("--entrypoints.web.address={}", site::INGRESS),
        "--providers.kubernetesingress=true".to_owned(),
        format!("--providers.kubernetesingress.endpoint={server}"),
        format!("--providers.kubernetesingress.token={token}"),
        format!("--providers.kubernetesingress.certauthfilepath={}", authority.display()),
        "--global.checknewversion=false".to_owned(),
        "--global.sendanonymoususage=false".to_owned(),
    ];
    ensure!(server.contains(NODE_ADDRESS), "the API server listens on the node");
    Process::start(site.cluster().dir(), "traefik", program, &args, &[]).context("Traefik")
}

/// The first ones, and the last.
fn some(failures: &[String]) -> Vec<&String> {
    failures.iter().take(3).chain(failures.iter().skip(3).last()).collect()
}

fn say(text: &str) {
    println!("\n== {text}");
}

//! From an earlier version of Greenlight that was really released from, and back to it: its operator, chart and CRDs, built of its commit,
//! are exchanged for today's and the other way round in each phase of a release, while requests come in.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
pub use greenlight_e2e::earlier::folder;
use greenlight_e2e::merge;
use serde_json::{Value, json};

use crate::site::{NAMESPACE, ROLLOUT, Site, chart};
use crate::traffic::Traffic;
use crate::{REQUESTS_PER_SECOND, some};

/// The tag of its image.
const TAG: &str = "earlier";
/// A field of the record that only today's CRD has, and one that only the earlier one has.
const FIELDS: [&str; 2] = ["\"servedWith\"", "\"heard_at\""];
const CRD: &str = "bluegreenrollouts.greenlight.dev";
/// An exchange of the operators takes about this long, so that a phase should take longer.
const PHASE_SECONDS: u64 = 25;

/// The phase in which the operators are exchanged.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The pods of the new revision start.
    ComesUp,
    /// One of two people has approved it.
    WaitsForApproval,
    /// It is analysed in preview.
    PrePromotionAnalysis,
    /// Production moves: both revisions are selected.
    Switch,
    /// It is analysed in production.
    PostPromotionAnalysis,
    /// The revision before waits out its delay.
    Delay,
    /// Production returns to a revision whose pods have to start first.
    Undo,
}

/// So many that the second time each phase has the exchange in the other direction.
const PHASES: [Phase; 7] = [
    Phase::ComesUp,
    Phase::WaitsForApproval,
    Phase::PrePromotionAnalysis,
    Phase::Switch,
    Phase::PostPromotionAnalysis,
    Phase::Delay,
    Phase::Undo,
];

/// The reference of its image.
pub fn image() -> String {
    format!("docker.io/library/greenlight:{TAG}")
}

/// Which version is installed.
struct Versions<'a> {
    site: &'a Site,
    earlier: &'a Path,
    is_today: bool,
}

impl Versions<'_> {
    /// Installs the other version, and sees that the CRDs are that version's, too, and that the pods of what serves stay.
    async fn exchange(&mut self, serves: &str) -> Result<()> {
        let before = self.site.pods_of(serves)?;
        self.is_today = !self.is_today;
        let began = Instant::now();
        self.install()?;
        self.site.check_operator_pods().await?;
        // If this takes longer, the exchange was not within the phase, and the phase has to be made longer.
        println!("{} came within {} s, in a phase of {PHASE_SECONDS} s", self.name(), began.elapsed().as_secs());
        let crd = self.site.kubectl(&["get", "crd", CRD, "-o", "json"])?;
        let has = FIELDS.map(|field| crd.contains(field));
        ensure!(has == [self.is_today, !self.is_today], "the CRD has {FIELDS:?}: {has:?}");
        let after = self.site.pods_of(serves)?;
        ensure!(before.iter().all(|pod| after.contains(pod)), "a pod was restarted: {before:?} {after:?}");
        Ok(())
    }

    fn install(&self) -> Result<()> {
        if self.is_today {
            self.site.install(&chart(), &["--reset-values"])
        } else {
            self.site.install(&self.earlier.join("charts/greenlight"), &["--set", &format!("image.tag={TAG}")])
        }
    }

    /// Whether the earlier version gives another value to the label by which an overlap selects pods. When that version comes in the middle of an
    /// overlap of today's, it changes the label of all pods while the Service still selects the other value: tried, production had no endpoints for 21 seconds.
    fn labels_overlaps_otherwise(&self) -> Result<bool> {
        let overlap = std::fs::read_to_string(self.earlier.join("crates/core/src/overlap.rs"))?;
        Ok(overlap.contains(r#"(names::SERVING_LABEL.to_owned(), "true".to_owned())"#))
    }

    fn name(&self) -> &'static str {
        if self.is_today { "today's" } else { "the earlier one" }
    }
}

/// Each phase twice: once today's operator goes on with what the earlier one has begun, and once the other way round.
pub async fn run(site: &Site, earlier: &Path, delay: Duration) -> Result<()> {
    let mut versions = Versions { site, earlier, is_today: false };
    versions.install()?;
    site.deploy(delay).await?;
    site.until_served("v1").await?;
    apply_analysis(site)?;
    let (mut serves, mut all_answers, mut failed) = ("v1".to_owned(), 0, Vec::new());
    for (phase, next) in [PHASES, PHASES].concat().into_iter().zip(2..) {
        let next = format!("v{next}");
        println!("{phase:?}: {} begins, from {serves} to {next}", versions.name());
        let traffic =
            Traffic::start(format!("{}:80", site.active_address()?), "blue-green-active", REQUESTS_PER_SECOND);
        // What this version has answered is known before it is left.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let release = Release { site, from: &serves, to: &next, delay, traffic: &traffic };
        let ends = release.through(phase, &mut versions).await;
        let (answers, failures) = traffic.stop().await;
        println!("{phase:?}: {} ended it; {answers} answered, {} failed", versions.name(), failures.len());
        all_answers += answers;
        failed.extend(failures.into_iter().map(|failure| format!("{phase:?}: {failure}")));
        serves = ends?;
    }
    println!("{all_answers} requests answered, {} failed: {:?}", failed.len(), some(&failed));
    ensure!(all_answers > 20_000, "too little to show anything");
    ensure!(failed.is_empty(), "requests were lost");
    site.uninstall()
}

/// A Job that asks the preview, again and again for about [`PHASE_SECONDS`].
fn apply_analysis(site: &Site) -> Result<()> {
    let smoke_test = crate::site::repository().join("deploy/examples/smoke-test/template.yaml").display().to_string();
    site.kubectl(&["apply", "-f", &smoke_test])?;
    let several = json!([
        {"op": "add", "path": "/spec/metrics/0/count", "value": PHASE_SECONDS / 5},
        {"op": "add", "path": "/spec/metrics/0/interval", "value": "5s"},
    ]);
    let patch = several.to_string();
    site.kubectl(&["patch", "analysistemplate", "smoke-test", "-n", NAMESPACE, "--type=json", "-p", &patch]).map(drop)
}

/// A release of one version, while another serves.
struct Release<'a> {
    site: &'a Site,
    from: &'a str,
    to: &'a str,
    delay: Duration,
    traffic: &'a Traffic,
}

impl Release<'_> {
    /// Takes it into a phase, exchanges the operators there, and takes it to its end; the version that serves then.
    async fn through(&self, phase: Phase, versions: &mut Versions<'_>) -> Result<String> {
        let site = self.site;
        let analysed = json!({"templates": [{"templateName": "smoke-test"}]});
        let changed = match phase {
            Phase::ComesUp | Phase::Undo => json!({"minReadySeconds": PHASE_SECONDS}),
            Phase::WaitsForApproval => blue_green(json!({"requiredApprovals": 2})),
            Phase::PrePromotionAnalysis => blue_green(json!({"prePromotionAnalysis": analysed})),
            Phase::Switch => blue_green(json!({
                "switchMode": "Overlap", "overlapSeconds": PHASE_SECONDS, "scaleDownDelaySeconds": 2 * PHASE_SECONDS,
            })),
            Phase::PostPromotionAnalysis => blue_green(json!({"postPromotionAnalysis": analysed})),
            // What is undone keeps its pods for as long, and the next release waits for that.
            Phase::Delay => blue_green(json!({"scaleDownDelaySeconds": 3 * PHASE_SECONDS})),
        };
        site.until_scaled_down().await?;
        self.settings(&changed)?;
        let promote = ["promote", ROLLOUT];
        match phase {
            Phase::ComesUp => {
                site.set_version(self.to, "teal")?;
                versions.exchange(self.from).await?;
                site.until_in_preview(self.to).await?;
                self.is_still(self.from).await?;
                site.switch(&promote, self.from, self.to, self.traffic).await?;
            }
            Phase::WaitsForApproval => {
                let by = |name: &'static str| ["promote", ROLLOUT, "--as", name, "--as-group", "system:masters"];
                let one_of_two = || site.status()["message"].as_str().is_some_and(|text| text.contains("(1 of 2"));
                site.preview(self.to, "teal").await?;
                site.greenlight(&[&by("ann")[..], &["--no-wait"]].concat())?;
                site.until("one has approved", async || one_of_two()).await?;
                versions.exchange(self.from).await?;
                site.until("one has approved still", async || one_of_two()).await?;
                self.is_still(self.from).await?;
                site.switch(&by("bob"), self.from, self.to, self.traffic).await?;
            }
            Phase::PrePromotionAnalysis => {
                site.set_version(self.to, "teal")?;
                self.until_analysed().await?;
                versions.exchange(self.from).await?;
                self.is_still(self.from).await?;
                site.until_in_preview(self.to).await?;
                site.switch(&promote, self.from, self.to, self.traffic).await?;
            }
            Phase::Switch => {
                site.preview(self.to, "teal").await?;
                site.greenlight(&["promote", ROLLOUT, "--no-wait"])?;
                let both = || site.json(&["get", "service", "blue-green-active", "-n", NAMESPACE]).unwrap_or_default();
                let are_selected = || both()["spec"]["selector"]["greenlight.dev/serving"].is_string();
                site.until("both revisions are selected", async || are_selected()).await?;
                if versions.is_today && versions.labels_overlaps_otherwise()? {
                    println!("{phase:?}: the way back waits for the end of the overlap, as docs/runbooks.md has it");
                    site.until("one revision is selected", async || !are_selected()).await?;
                }
                versions.exchange(self.to).await?;
                site.until("one revision is selected", async || !are_selected()).await?;
            }
            Phase::PostPromotionAnalysis => {
                site.preview(self.to, "teal").await?;
                site.greenlight(&["promote", ROLLOUT, "--no-wait"])?;
                site.until_served(self.to).await?;
                self.until_analysed().await?;
                versions.exchange(self.to).await?;
            }
            Phase::Delay => {
                site.preview(self.to, "teal").await?;
                site.switch(&promote, self.from, self.to, self.traffic).await?;
                let before = site.pods_of(self.from)?;
                versions.exchange(self.to).await?;
                site.switch(&["undo", ROLLOUT], self.to, self.from, self.traffic).await?;
                ensure!(site.pods_of(self.from)? == before, "an undo inside the delay restarts no pod");
                return Ok(self.from.to_owned());
            }
            Phase::Undo => {
                site.preview(self.to, "teal").await?;
                site.switch(&promote, self.from, self.to, self.traffic).await?;
                site.until_scaled_down().await?;
                site.greenlight(&["undo", ROLLOUT, "--no-wait"])?;
                site.until("the revision before gets pods", async || {
                    site.pods_of(self.from).is_ok_and(|pods| pods.len() == 3)
                })
                .await?;
                self.is_still(self.to).await?;
                versions.exchange(self.from).await?;
                site.until_served(self.from).await?;
                return Ok(self.from.to_owned());
            }
        }
        site.until("the release is over", async || site.status()["phase"] == "Healthy").await?;
        site.until_served(self.to).await?;
        Ok(self.to.to_owned())
    }

    /// The settings of the example, with these merged into them.
    fn settings(&self, changed: &Value) -> Result<()> {
        let mut spec = blue_green(json!({
            "scaleDownDelaySeconds": self.delay.as_secs(), "requiredApprovals": null, "switchMode": null, "overlapSeconds": null,
            "prePromotionAnalysis": null, "postPromotionAnalysis": null,
        }));
        spec["minReadySeconds"] = Value::Null;
        merge(&mut spec, changed);
        self.site.patch("merge", &json!({"spec": spec}))
    }

    async fn until_analysed(&self) -> Result<()> {
        let runs = || self.site.json(&["get", "analysisruns", "-n", NAMESPACE]).unwrap_or_default();
        let one_runs = || runs()["items"].as_array().is_some_and(|runs| runs.iter().any(is_running));
        self.site.until("an analysis is running", async || one_runs()).await
    }

    /// Production was not moved.
    async fn is_still(&self, version: &str) -> Result<()> {
        let serves = self.site.version_served().await?;
        ensure!(serves == version, "{serves} serves, and not {version}: {}", self.site.status());
        Ok(())
    }
}

fn is_running(run: &Value) -> bool {
    run["status"]["phase"] == "Running"
}

/// Blue-green settings, as a spec to merge.
fn blue_green(settings: Value) -> Value {
    json!({"strategy": {"blueGreen": settings}})
}

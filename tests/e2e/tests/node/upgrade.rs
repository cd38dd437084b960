//! From the version before: a chart as it could have been, with a CRD that lacks a field of today's.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::site::{Site, chart};

/// Where the settings are in the CRD that has them.
const BLUE_GREEN: &str =
    "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/strategy/properties/blueGreen";
const NEW_FIELD: &str = "requiredApprovals";

/// Installs it, takes a rollout through the upgrade, and uninstalls: the CRDs stay, and the next installation takes them over.
pub async fn run(site: &Site, delay: Duration) -> Result<()> {
    site.install(&older_chart(site)?, &[])?;
    site.deploy(delay).await?;
    let knows = || {
        let path = format!("bluegreenrollout.spec.strategy.blueGreen.{NEW_FIELD}");
        site.kubectl(&["explain", &path]).is_ok()
    };
    ensure!(!knows(), "the older CRD does not know {NEW_FIELD}");
    let before = site.pods()?;
    site.install(&chart(), &[])?;
    site.until(&format!("the CRD knows {NEW_FIELD}"), async || knows()).await?;
    site.preview("v2", "seagreen").await?;
    let after = site.pods()?;
    ensure!(before.iter().all(|pod| after.contains(pod)), "a pod was restarted: {before:?} {after:?}");
    println!("upgraded; the three pods of before are still there, and the next revision came up in preview");
    site.uninstall()
}

fn older_chart(site: &Site) -> Result<PathBuf> {
    let chart = site.cluster().dir().join("older-chart");
    let copied = Command::new("cp").arg("-r").arg(self::chart()).arg(&chart).status()?;
    ensure!(copied.success(), "cp: {copied}");
    let manifest = chart.join("Chart.yaml");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, text.replace("\nversion: 0.1.0\n", "\nversion: 0.0.9\n"))?;
    let mut crds = String::new();
    for crd in greenlight_api::crds() {
        let mut crd = serde_json::to_value(&crd)?;
        crd["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
        if let Some(blue_green) = crd.pointer_mut(BLUE_GREEN) {
            let properties = blue_green["properties"].as_object_mut().context("properties")?;
            ensure!(properties.remove(NEW_FIELD).is_some(), "there is no {NEW_FIELD} any more");
            let rules = blue_green["x-kubernetes-validations"].as_array_mut().context("rules")?;
            rules.retain(|rule| !rule["rule"].as_str().unwrap_or_default().contains(NEW_FIELD));
        }
        crds.push_str(&format!("---\n{crd}\n"));
    }
    std::fs::write(chart.join("crds.yaml"), crds)?;
    Ok(chart)
}

//! From an earlier version of Greenlight that was really released from: its operator, chart and CRDs, built of its commit, are upgraded
//! to today's in the middle of a release, while requests come in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::site::{Site, chart};
use crate::traffic::Traffic;
use crate::{REQUESTS_PER_SECOND, some};

/// A folder with `rootfs`, the root file system of its image, and `charts/greenlight`.
const VARIABLE: &str = "GREENLIGHT_EARLIER";
/// The tag of its image.
const TAG: &str = "earlier";

/// Where the earlier version is.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// The reference of its image.
pub fn image() -> String {
    format!("docker.io/library/greenlight:{TAG}")
}

/// Upgrades while a preview waits, and again while the old revision waits out its delay; no request is lost.
pub async fn run(site: &Site, earlier: &Path, delay: Duration) -> Result<()> {
    let install_earlier = || site.install(&earlier.join("charts/greenlight"), &["--set", &format!("image.tag={TAG}")]);
    install_earlier()?;
    site.deploy(delay).await?;
    site.until_served("v1").await?;
    let traffic = Traffic::start(format!("{}:80", site.active_address()?), "blue-green-active", REQUESTS_PER_SECOND);

    site.preview("v2", "seagreen").await?;
    let before = site.pods()?;
    site.install(&chart(), &["--reset-values"])?;
    site.check_operator_pods().await?;
    ensure!(site.pods()? == before, "a pod was restarted");
    ensure!(site.status()["phase"] == "Paused", "what waits goes on waiting: {}", site.status());
    println!("upgraded while v2 waits in preview");
    let took = site.switch(&["promote", "blue-green-app"], "v1", "v2", &traffic).await?;
    println!("promote v2, that the earlier operator has prepared: {} ms", took.as_millis());
    let took = site.switch(&["undo", "blue-green-app"], "v2", "v1", &traffic).await?;
    println!("undo, inside the delay: {} ms", took.as_millis());

    site.preview("v3", "crimson").await?;
    install_earlier()?;
    println!("back to the earlier version while v3 waits in preview");
    let took = site.switch(&["promote", "blue-green-app"], "v1", "v3", &traffic).await?;
    println!("promote v3, that today's operator has prepared: {} ms", took.as_millis());
    site.install(&chart(), &["--reset-values"])?;
    site.check_operator_pods().await?;
    println!("upgraded again, after the switch of the earlier version");
    site.until_scaled_down().await?;
    let took = site.switch(&["undo", "blue-green-app"], "v3", "v1", &traffic).await?;
    println!("undo, after the delay: {} ms", took.as_millis());

    let (answers, failures) = traffic.stop().await;
    println!("{answers} requests answered, {} failed: {:?}", failures.len(), some(&failures));
    ensure!(answers > 2_000, "too little to show anything");
    ensure!(failures.is_empty(), "requests were lost");
    site.uninstall()
}

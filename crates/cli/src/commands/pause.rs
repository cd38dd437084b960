//! `pause` and `resume`: whether anything is promoted at all.

use anyhow::{Context, Result};
use greenlight_api::BlueGreenRollout;
use greenlight_overview::Session;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use crate::commands::{params, plan};
use crate::exit::Exit;

/// Holds promotions back, or lets them go on.
pub async fn run(session: &Session, name: &str, paused: bool, dry_run: bool) -> Result<Exit> {
    session.rollout(name).await?;
    let api: Api<BlueGreenRollout> = session.api();
    let verb = if paused { "pause" } else { "resume" };
    let after = api.patch(name, &params(dry_run), &Patch::Merge(json!({"spec": {"paused": paused}}))).await;
    let after = after.with_context(|| format!("cannot {verb} rollout {name}"))?;
    if dry_run {
        return plan::tell_what_would_come_of(session, after, &format!("To {verb} rollout {name}")).await;
    }
    println!("Rollout {name} {}.", if paused { "holds back promotions" } else { "promotes again" });
    Ok(Exit::Done)
}

//! `pause` and `resume`: whether anything is promoted at all.

use anyhow::Result;
use greenlight_api::BlueGreenRollout;
use greenlight_api::names::CHANGE_CAUSE;
use greenlight_overview::{Session, SpecChange, Whole};
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use crate::commands::{cause, params, plan, written};
use crate::exit::Exit;
use crate::options::Change;

/// Holds promotions back, or lets them go on.
pub async fn run(session: &Session, name: &str, paused: bool, change: &Change) -> Result<Exit> {
    let rollout = session.rollout(name).await?;
    let api: Api<Whole<BlueGreenRollout>> = session.api();
    let (verb, of_spec) = if paused { ("pause", SpecChange::Pause) } else { ("resume", SpecChange::Resume) };
    let mut patch = json!({"spec": {"paused": paused}});
    if let Some(cause) = cause(session, of_spec, &rollout, change).await? {
        patch["metadata"] = json!({"annotations": {CHANGE_CAUSE: cause}});
    }
    let after = api.patch(name, &params(change.dry_run), &Patch::Merge(patch)).await;
    let Whole(after) = written(session, name, &format!("{verb} rollout {name}"), after)?;
    if change.dry_run {
        return plan::tell_what_would_come_of(session, after, &format!("To {verb} rollout {name}"), None).await;
    }
    println!("Rollout {name} {}.", if paused { "holds back promotions" } else { "promotes again" });
    Ok(Exit::Done)
}

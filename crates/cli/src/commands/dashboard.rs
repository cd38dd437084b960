//! `dashboard`: rollouts in a browser, with the caller's kubeconfig.

use anyhow::Result;
use greenlight_dashboard::local::{self, LocalOptions};
use greenlight_overview::Session;

use crate::exit::Exit;

/// Serves it until Ctrl-C. It begins with the namespace that was named, or else with all.
pub async fn run(session: &Session, namespace: Option<&str>, options: LocalOptions) -> Result<Exit> {
    local::run(session, namespace, options).await?;
    Ok(Exit::Done)
}

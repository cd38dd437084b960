//! `dashboard`: rollouts in a browser, with the caller's kubeconfig.

use anyhow::Result;
use greenlight_dashboard::local::{self, LocalOptions};
use greenlight_overview::Session;

use crate::exit::Exit;

/// Serves it until Ctrl-C.
pub async fn run(session: &Session, options: LocalOptions) -> Result<Exit> {
    local::run(session, options).await?;
    Ok(Exit::Done)
}

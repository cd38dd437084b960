//! `dashboard`: rollouts in a browser, with the caller's kubeconfig.

use anyhow::Result;
use greenlight_dashboard::local::{self, LocalOptions};
use greenlight_overview::Session;

use crate::exit::Exit;
use crate::options::ClusterOptions;

/// Serves it until Ctrl-C. It begins with the namespace that was named, or else with all.
pub async fn run(session: Session, cluster: &ClusterOptions, options: LocalOptions) -> Result<Exit> {
    let session = Session { flags: cluster.lasting_flags(&session.cluster), ..session };
    local::run(&session, cluster.namespace.as_deref(), options).await?;
    Ok(Exit::Done)
}

//! The cluster that a command talks to.

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub use greenlight_overview::Session;

use crate::options::ClusterOptions;

/// Opens it as kubectl would.
pub async fn open(options: &ClusterOptions) -> Result<Session> {
    let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let config = match &options.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &choice).await?
        }
        None if options.context.is_some() => Config::from_kubeconfig(&choice).await?,
        None => Config::infer().await.context("no cluster: set KUBECONFIG or --kubeconfig")?,
    };
    let namespace = options.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    Ok(Session { client: Client::try_from(config)?, namespace })
}

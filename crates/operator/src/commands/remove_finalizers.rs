//! `helm uninstall`: without an operator nobody takes its finalizers away, and nothing that has one could be deleted. What serves is not
//! touched: the Services keep their hashes, the ReplicaSets their pods. An operator that is installed again goes on from there.

use clap::Args;
use std::time::Duration;

use anyhow::{Result, bail};
use greenlight_api::{BlueGreenRollout, names};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An operator that is just ending may still put one on.
const QUIET: Duration = Duration::from_secs(5);
const MOST_ROUNDS: usize = 12;

/// Whose finalizers to take away.
#[derive(Clone, Debug, Args)]
pub struct RemoveFinalizersOptions {
    /// Only in this namespace [default: all]
    #[arg(long)]
    pub namespace: Option<String>,
}

/// Takes the finalizers away until none comes back.
///
/// # Errors
/// The API server refuses, or somebody puts them on again and again.
pub async fn run(options: &RemoveFinalizersOptions) -> Result<()> {
    let client = Client::try_default().await?;
    for _ in 0..MOST_ROUNDS {
        let rollouts =
            sweep::<BlueGreenRollout>(&client, options, &ListParams::default(), names::SERVICES_FINALIZER).await?;
        let ours = ListParams::default().labels(names::HASH_LABEL);
        let sets = sweep::<ReplicaSet>(&client, options, &ours, names::SCALE_DOWN_FINALIZER).await?;
        if rollouts + sets == 0 {
            return Ok(());
        }
        println!("let go of {rollouts} rollouts and {sets} ReplicaSets");
        tokio::time::sleep(QUIET).await;
    }
    bail!("somebody puts the finalizers on again: is another operator running?")
}

async fn sweep<K>(
    client: &Client,
    options: &RemoveFinalizersOptions,
    which: &ListParams,
    finalizer: &str,
) -> Result<usize>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let all: Api<K> = match &options.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut count = 0;
    for object in all.list_metadata(which).await?.items {
        let kept: Vec<&String> = object.finalizers().iter().filter(|other| *other != finalizer).collect();
        if kept.len() == object.finalizers().len() {
            continue;
        }
        let patch = json!({"metadata": {"finalizers": kept, "resourceVersion": object.resource_version()}});
        let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
        match api.patch_metadata(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            // It was changed, or is gone: the next round looks again.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
            answer => drop(answer?),
        }
        count += 1;
    }
    Ok(count)
}

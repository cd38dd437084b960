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

/// Takes the finalizers away until none comes back. What is refused holds up nothing else, and is tried again with each round.
///
/// # Errors
/// The API server refuses to the end, or somebody puts them on again and again.
pub async fn run(options: &RemoveFinalizersOptions) -> Result<()> {
    let client = Client::try_default().await?;
    let mut refused = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let rollouts =
            sweep::<BlueGreenRollout>(&client, options, &ListParams::default(), names::SERVICES_FINALIZER).await?;
        let ours = ListParams::default().labels(names::HASH_LABEL);
        let sets = sweep::<ReplicaSet>(&client, options, &ours, names::SCALE_DOWN_FINALIZER).await?;
        refused = [rollouts.refused, sets.refused].concat();
        if rollouts.removed + sets.removed + refused.len() == 0 {
            return Ok(());
        }
        println!("let go of {} rollouts and {} ReplicaSets, {} refused", rollouts.removed, sets.removed, refused.len());
        tokio::time::sleep(QUIET).await;
    }
    if refused.is_empty() {
        bail!("somebody puts the finalizers on again: is another operator running?")
    }
    bail!(
        "{} objects keep a finalizer of Greenlight's. Mend what refuses it, and run this again:\n{}",
        refused.len(),
        refused.join("\n")
    )
}

/// What came of looking at each object of a kind once.
#[derive(Default)]
struct Swept {
    /// So many lost the finalizer, or were changed meanwhile.
    removed: usize,
    /// Which did not, and why.
    refused: Vec<String>,
}

async fn sweep<K>(
    client: &Client,
    options: &RemoveFinalizersOptions,
    which: &ListParams,
    finalizer: &str,
) -> Result<Swept>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let all: Api<K> = match &options.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut swept = Swept::default();
    for object in all.list_metadata(which).await?.items {
        let kept: Vec<&String> = object.finalizers().iter().filter(|other| *other != finalizer).collect();
        if kept.len() == object.finalizers().len() {
            continue;
        }
        let patch = json!({"metadata": {"finalizers": kept, "resourceVersion": object.resource_version()}});
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let api: Api<K> = Api::namespaced(client.clone(), &namespace);
        match api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => swept.removed += 1,
            // It was changed, or is gone: the next round looks again.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => swept.removed += 1,
            Err(error) => swept.refused.push(format!("{} {namespace}/{name}: {error}", K::kind(&()))),
        }
    }
    Ok(swept)
}

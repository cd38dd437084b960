//! `helm uninstall`: without an operator nobody takes its finalizers away, and nothing that has one could be deleted. What serves is not
//! touched: the Services keep their hashes, the ReplicaSets their pods. An operator that is installed again goes on from there.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::time::Duration;

use anyhow::{Result, bail};
use greenlight_api::{BlueGreenRollout, names};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{ListParams, ObjectList, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::api_server::pages::by_pages;
use crate::cluster::objects::narrow::MetadataView;

/// An operator that is just ending may still put one on.
const QUIET: Duration = Duration::from_secs(5);
const MOST_ROUNDS: usize = 12;

/// Whose finalizers to take away.
#[derive(Clone, Debug, Args)]
pub struct RemoveFinalizersOptions {
    /// Only in this namespace [default: all]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
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
        let rollouts = sweep_rollouts(&client, options).await?;
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
    /// How many lost the finalizer, or were changed meanwhile.
    removed: usize,
    /// Which did not, and why.
    refused: Vec<String>,
}

/// Of rollouts. If their CRD is gone, all of them are.
async fn sweep_rollouts(client: &Client, options: &RemoveFinalizersOptions) -> Result<Swept> {
    let is_gone =
        |error: &anyhow::Error| matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404);
    match sweep::<BlueGreenRollout>(client, options, &ListParams::default(), names::SERVICES_FINALIZER).await {
        Err(error) if is_gone(&error) => Ok(Swept::default()),
        swept => swept,
    }
}

async fn sweep<K>(
    client: &Client,
    options: &RemoveFinalizersOptions,
    which: &ListParams,
    finalizer: &str,
) -> Result<Swept>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    // Of ten thousand, or of some that a tenant has written a quarter of a megabyte on, a list would be more than the hook's memory.
    let list = |page: ListParams| {
        let request = Request::new(K::url_path(&(), options.namespace.as_deref())).list_metadata(&page);
        client.request::<ObjectList<MetadataView>>(request.expect("it asks for nothing that contradicts itself"))
    };
    let mut found = Vec::new();
    let take = |MetadataView { metadata }: MetadataView| {
        let finalizers = metadata.finalizers.unwrap_or_default();
        let kept: Vec<String> = finalizers.iter().filter(|other| *other != finalizer).cloned().collect();
        if kept.len() < finalizers.len() {
            let patch = json!({"metadata": {"finalizers": kept, "resourceVersion": metadata.resource_version}});
            found.push((metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default(), patch));
        }
    };
    by_pages("", which.clone(), list, take).await?;
    let mut swept = Swept::default();
    for (namespace, name, patch) in found {
        let at = Request::new(K::url_path(&(), Some(&namespace)));
        let patch = at.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch))?;
        match client.request::<IgnoredAny>(patch).await {
            Ok(_) => swept.removed += 1,
            // It was changed, or is gone: the next round looks again.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => swept.removed += 1,
            Err(error) => swept.refused.push(format!("{} {namespace}/{name}: {error}", K::kind(&()))),
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};

    /// Whoever may patch an object writes there what they like, in the namespace of one tenant.
    #[tokio::test]
    async fn what_nobody_can_read_of_one_object_keeps_the_finalizer_on_no_other() {
        let nested = (0..200).fold(json!({}), |fields, _| json!({"f:a": fields}));
        let object = |name: &str, managed: Value| {
            json!({"metadata": {
                "name": name, "namespace": "shop", "resourceVersion": "7", "managedFields": managed,
                "finalizers": [names::SERVICES_FINALIZER],
            }})
        };
        let items = [object("deep", json!([{"manager": "someone", "fieldsV1": nested}])), object("web", json!([]))];
        let list = json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "9"}, "items": items,
        });
        let client = api_server(move |Asked { method, .. }| {
            let answer = if method == "GET" { list.clone() } else { json!({"metadata": {"managedFields": []}}) };
            std::future::ready((200, answer))
        });
        let options = RemoveFinalizersOptions { namespace: Some("shop".to_owned()) };
        let all = ListParams::default();
        let swept = sweep::<BlueGreenRollout>(&client, &options, &all, names::SERVICES_FINALIZER).await.expect("swept");
        assert_eq!((swept.removed, swept.refused), (2, Vec::new()));
    }

    #[tokio::test]
    async fn however_many_there_are_a_page_of_them_is_read_at_a_time_and_none_is_left_out() {
        const MADE: usize = 100;
        let changed: Arc<AtomicUsize> = Arc::default();
        let counted = changed.clone();
        let client = api_server(move |Asked { method, query, .. }| {
            let asked = |what: &str| {
                let mut parts = form_urlencoded::parse(query.as_bytes());
                parts.find(|(key, _)| key == what).and_then(|(_, value)| value.parse::<usize>().ok())
            };
            std::future::ready(if method == "GET" {
                let (from, limit) = (asked("continue").unwrap_or(0), asked("limit").unwrap_or(MADE));
                assert!(limit < MADE / 4, "all of them at once");
                let until = MADE.min(from + limit);
                let object = |number: usize| {
                    json!({"metadata": {
                        "name": format!("web-{number}"), "namespace": "shop", "resourceVersion": "7",
                        "finalizers": [names::SERVICES_FINALIZER],
                    }})
                };
                let next = if until < MADE { until.to_string() } else { String::new() };
                let items: Vec<Value> = (from..until).map(object).collect();
                (200, json!({"metadata": {"resourceVersion": "9", "continue": next}, "items": items}))
            } else {
                counted.fetch_add(1, Ordering::Relaxed);
                (200, json!({"metadata": {}}))
            })
        });
        let options = RemoveFinalizersOptions { namespace: None };
        let swept = sweep_rollouts(&client, &options).await.expect("swept");
        assert_eq!((swept.removed, changed.load(Ordering::Relaxed)), (MADE, MADE));
    }

    /// Whoever deletes the CRDs before the chart has ReplicaSets left, perhaps. Those there are everywhere: who does not find them asks the wrong server.
    #[tokio::test]
    async fn without_the_crds_there_are_no_rollouts_and_without_replica_sets_it_is_no_cluster() {
        let client = api_server(|_| std::future::ready(failure(404, "NotFound")));
        let options = RemoveFinalizersOptions { namespace: None };
        let swept = sweep_rollouts(&client, &options).await.expect("swept");
        assert_eq!((swept.removed, swept.refused), (0, Vec::new()));
        let all = ListParams::default();
        let swept = sweep::<ReplicaSet>(&client, &options, &all, names::SCALE_DOWN_FINALIZER).await;
        assert!(swept.is_err(), "nothing was looked at");
    }
}

//! The scale-down controller: owns the finalizer on retired ReplicaSets, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenlight_api::BlueGreenRollout;
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::world::ReplicaSet;
use jiff::Timestamp;
use kube::{Api, Client};

use crate::api_server::error::{Doing, Error};
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::live::read_metadata;
use crate::cluster::objects::{ReplicaSetView, ServiceView};
use crate::controllers::rollouts::change_replica_set;

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub caches: Arc<Caches>,
}

/// Looks at one ReplicaSet. Returns when to look again.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Option<Timestamp>, Error> {
    let Context { client, caches } = &*context;
    let Some(owned) = caches.sets.outline(&key) else { return Ok(None) };
    let set = &owned.set;
    // What is only too large has an outline, by which it goes: it would hold up its namespace. What is known of any other was so before.
    if caches.sets.unreadable(&key).is_some_and(|newest| newest.resource_version() != set.resource_version) {
        return Ok(None);
    }
    // A rollout that cannot be read is there all the same, and so are its Services.
    let rollout = caches.rollouts.outline(&owned.owner).filter(|rollout| rollout.uid == owned.owner_uid);
    let owner = match &rollout {
        Some(rollout) if !rollout.is_deleting() => Owner::Exists(rollout),
        // A list that is behind may lack it.
        None if exists(client, &owned.owner, &owned.owner_uid).await? => return Ok(None),
        _ => Owner::Deleted,
    };
    let named = rollout.iter().flat_map(|rollout| rollout.spec.blue_green().services()).map(str::to_owned);
    // A Service that the spec does not name any more keeps its selection until it can be let go.
    let marked = caches.services.group_keys(&owned.owner).into_iter().map(|service| service.name);
    let services: BTreeSet<String> = named.chain(marked).collect();
    let mut selected = selected_as_far_as_known(caches, &key, &services, set);
    loop {
        match scale_down(set, owner, &selected, Timestamp::now()) {
            ScaleDown::Nothing => return Ok(None),
            ScaleDown::Wait(until) => return Ok(Some(until)),
            ScaleDown::CheckServices => selected = selected_live(client, &key, &services, set).await?,
            ScaleDown::Shrink(change) | ScaleDown::Finish(change) | ScaleDown::RemoveFinalizer(change) => {
                let changed = change_replica_set(client, &key, &set.resource_version, &change).await;
                if changed.as_ref().is_err_and(Error::is_conflict) {
                    // The watch is behind, and may stay so.
                    read_again(client, caches, &key, &set.resource_version).await?;
                }
                let view = changed?;
                tracing::info!(replica_set = %key, replicas = ?change.replicas, "scaled down");
                view.keep().into_iter().for_each(|owned| caches.sets.put_answer(owned));
                return Ok(None);
            }
        }
    }
}

/// Whether this rollout exists, and is not being deleted.
async fn exists(client: &Client, rollout: &Key, uid: &str) -> Result<bool, Error> {
    if rollout.name.is_empty() {
        // It belongs to nobody: somebody deleted the rollout, and wanted to keep its pods.
        return Ok(false);
    }
    let found = read_metadata::<BlueGreenRollout>(client, rollout).await?;
    let metadata = found.filter(|metadata| metadata.uid.as_deref() == Some(uid));
    Ok(metadata.is_some_and(|metadata| metadata.deletion_timestamp.is_none()))
}

async fn read_again(client: &Client, caches: &Caches, key: &Key, known: &str) -> Result<(), Error> {
    let api: Api<ReplicaSetView> = Api::namespaced(client.clone(), &key.namespace);
    match api.get_opt(&key.name).await.doing(|| format!("read ReplicaSet {key}"))? {
        Some(view) => view.keep().into_iter().for_each(|owned| caches.sets.put_answer(owned)),
        None => caches.sets.remove(key, known),
    }
    Ok(())
}

fn selected_as_far_as_known(caches: &Caches, key: &Key, services: &BTreeSet<String>, set: &ReplicaSet) -> Selected {
    let by = services.iter().find(|name| {
        let service = caches.services.get(&key.sibling(name));
        service.is_some_and(|kept| kept.service.selects(set))
    });
    by.map_or(Selected::Unverified, |name| Selected::By(name.clone()))
}

async fn selected_live(
    client: &Client,
    key: &Key,
    services: &BTreeSet<String>,
    set: &ReplicaSet,
) -> Result<Selected, Error> {
    let api: Api<ServiceView> = Api::namespaced(client.clone(), &key.namespace);
    for name in services {
        let view = api.get_opt(name).await.doing(|| format!("read Service {name}"))?;
        if view.is_some_and(|view| view.keep().service.selects(set)) {
            return Ok(Selected::By(name.clone()));
        }
    }
    Ok(Selected::No)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use greenlight_api::names;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};
    use crate::cluster::arrived::Unreadable;

    /// Whoever may edit a ReplicaSet writes a quarter of a megabyte on it, and deletes the namespace.
    #[tokio::test]
    async fn what_is_only_too_large_to_be_kept_holds_up_no_namespace_and_what_cannot_be_read_is_left_alone() {
        // No compression makes it short.
        let next = |state: &u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let states = std::iter::successors(Some(1_u64), |state| Some(next(state)));
        let letter = |state: u64| char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or_default());
        let noise: String = states.map(letter).take(250_000).collect();
        let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u", "controller": true});
        let set = json!({
            "metadata": {
                "name": "web-abc", "namespace": "shop", "uid": "s", "resourceVersion": "7", "ownerReferences": [owner],
                "finalizers": [names::SCALE_DOWN_FINALIZER, "example.com/other"], "annotations": {"greenlight.dev/note": noise},
            },
            "spec": {},
        });
        let patched: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (hears, answer) = (patched.clone(), set.clone());
        let client = api_server(move |Asked { method, body, .. }| {
            std::future::ready(if method == "PATCH" {
                hears.lock().expect("no panic while locked").push(body["metadata"]["finalizers"].clone());
                (200, answer.clone())
            } else {
                failure(404, "NotFound")
            })
        });
        let caches = Arc::new(Caches::default());
        caches.sets.put(serde_json::from_value::<ReplicaSetView>(set).expect("one").keep().expect("it has an owner"));
        let key = Key { namespace: "shop".to_owned(), name: "web-abc".to_owned() };
        assert!(caches.sets.unreadable(&key).is_some() && caches.sets.get(&key).is_none(), "it is too large");
        let context = Arc::new(Context { client, caches: caches.clone() });
        reconcile(context.clone(), key.clone()).await.expect("it is let go");
        assert_eq!(*patched.lock().expect("no panic while locked"), [json!(["example.com/other"])]);
        let text = |text: &str| Some(text.to_owned());
        let metadata = ObjectMeta {
            namespace: text("shop"),
            name: text("web-abc"),
            resource_version: text("8"),
            ..ObjectMeta::default()
        };
        caches.sets.put_unreadable(Unreadable { metadata, error: "spec: broken".to_owned() }, None);
        assert_eq!(reconcile(context, key).await.expect("nothing is done"), None);
        assert_eq!(patched.lock().expect("no panic while locked").len(), 1);
    }
}

//! Reading live what is otherwise cached, where a plan is in doubt.

use greenlight_api::BlueGreenRollout;
use greenlight_core::World;
use greenlight_core::hash::replica_set_name;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use kube::{Api, Client, Resource};

use crate::api_server::error::{Doing, Error};
use crate::api_server::pages::by_pages;
use crate::cluster::arrived::Arrived;
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::objects::narrow::MetadataView;
use crate::cluster::objects::{DeploymentView, ReplicaSetView, RolloutView, ServiceView, WholeRollout};

/// Reads the rollout, its ReplicaSets, its Services and its Deployment from the API server into the caches.
pub async fn read_live(client: &Client, caches: &Caches, world: &World) -> Result<(), Error> {
    let rollout = &world.rollout;
    let (key, namespace) = (rollout.key(), &rollout.namespace);
    read_replica_sets(client, caches, world, &key).await?;
    read_workload(client, caches, world, &key).await?;
    let services: Api<ServiceView> = Api::namespaced(client.clone(), namespace);
    let known = world.services.keys().map(String::as_str);
    let names = rollout.spec.blue_green().services().chain(known);
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        match services.get_opt(name).await.doing(|| format!("read Service {name}"))? {
            Some(view) => caches.services.put_answer(view.keep()),
            None => {
                if let Some(known) = world.services.get(name) {
                    caches.services.remove(&key.sibling(name), &known.resource_version);
                }
            }
        }
    }
    // Last: so no ReplicaSet says that it was planned from a later state, unless somebody forged that.
    let rollouts: Api<Arrived<RolloutView>> = Api::namespaced(client.clone(), namespace);
    match rollouts.get_opt(&rollout.name).await.doing(|| "read the rollout".to_owned())? {
        Some(Arrived::Readable(view)) => caches.rollouts.put_answer(view.keep()),
        Some(Arrived::Unreadable(unreadable, outline)) => {
            caches.rollouts.put_unreadable(*unreadable, outline.map(RolloutView::keep));
        }
        None => caches.rollouts.remove(&key, &rollout.resource_version),
    }
    Ok(())
}

/// A rollout with its template, as it is now.
pub async fn read_rollout(client: &Client, key: &Key) -> Result<BlueGreenRollout, Error> {
    let request = Request::new(RolloutView::url_path(&(), Some(&key.namespace)));
    let request = request.get(&key.name, &GetParams::default()).expect("the URL is made of valid names");
    let WholeRollout(rollout) = client.request(request).await.doing(|| format!("read rollout {key}"))?;
    Ok(rollout)
}

/// The metadata of an object as it is now, whatever is said of who manages which field of it; none if it does not exist.
pub async fn read_metadata<K: Resource<DynamicType = ()>>(
    client: &Client,
    key: &Key,
) -> Result<Option<ObjectMeta>, Error> {
    let what = || format!("read {} {key}", K::kind(&()));
    let request = Request::new(K::url_path(&(), Some(&key.namespace)));
    let request = request.get_metadata(&key.name, &GetParams::default());
    match client.request::<MetadataView>(request.map_err(kube::Error::BuildRequest).doing(what)?).await {
        Ok(found) => Ok(Some(found.metadata)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error).doing(what),
    }
}

async fn read_workload(client: &Client, caches: &Caches, world: &World, key: &Key) -> Result<(), Error> {
    let Some(name) = world.rollout.spec.workload_ref.as_ref().map(|workload| &workload.name) else { return Ok(()) };
    let api: Api<DeploymentView> = Api::namespaced(client.clone(), &key.namespace);
    match api.get_opt(name).await.doing(|| format!("read Deployment {name}"))? {
        Some(view) => caches.workloads.put_answer(view.keep()),
        None => {
            if let Some(known) = &world.workload {
                caches.workloads.remove(&key.sibling(name), &known.resource_version);
            }
        }
    }
    Ok(())
}

async fn read_replica_sets(client: &Client, caches: &Caches, world: &World, key: &Key) -> Result<(), Error> {
    let api: Api<ReplicaSetView> = Api::namespaced(client.clone(), &key.namespace);
    let all = ListParams::default().labels(&world.rollout.spec.selector_of(None));
    let mut exist = Vec::new();
    let take = |view: ReplicaSetView| {
        if let Some(owned) = view.keep() {
            exist.push(owned.key());
            caches.sets.put_found(owned);
        }
    };
    let api = &api;
    let version = by_pages(&key.namespace, all, |page| async move { api.list(&page).await }, take).await;
    let version = version.doing(|| "read the ReplicaSets".to_owned())?;
    // The list goes by labels of the ReplicaSets, which anybody may change; that one exists is a question of its name.
    let serving = world.rollout.record().map(|record| &record.serving).filter(|serving| !serving.is_empty());
    let serving = serving.map(|hash| replica_set_name(&world.rollout.name, hash));
    let known = world.replica_sets.iter().map(|rs| rs.name.clone()).chain(serving);
    for known in known.map(|name| key.sibling(&name)).filter(|known| !exist.contains(known)) {
        match api
            .get_opt(&known.name)
            .await
            .doing(|| format!("read ReplicaSet {known}"))?
            .and_then(ReplicaSetView::keep)
        {
            Some(owned) => caches.sets.put_found(owned),
            None => caches.sets.remove(&known, &version),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};
    use crate::cluster::fake;

    const NAME: &str = "a-rollout-whose-name-is-so-long-that-its-replica-sets-have-a-part-of-it-only";

    fn world() -> World {
        World::of(fake::rollout("shop", NAME, "web", &json!({"decisions": {"serving": "bcdfghjklm"}})))
    }

    fn replica_set(name: &str) -> Value {
        let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": NAME, "uid": "u", "controller": true});
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "5", "ownerReferences": [owner]},
            "spec": {"selector": {}, "template": {}},
        })
    }

    /// Each may have a megabyte, and there are as many as somebody likes.
    #[tokio::test]
    async fn however_many_replica_sets_somebody_makes_a_page_of_them_is_read_at_a_time() {
        const MADE: usize = 100;
        let serving = replica_set_name(NAME, "bcdfghjklm");
        let unlabelled = serving.clone();
        let client = api_server(move |Asked { path, query, .. }| {
            let asked = |what: &str| {
                let mut parts = form_urlencoded::parse(query.as_bytes());
                parts.find(|(key, _)| key == what).and_then(|(_, value)| value.parse::<usize>().ok())
            };
            std::future::ready(if path.ends_with("/replicasets") {
                let (from, limit) = (asked("continue").unwrap_or(0), asked("limit").unwrap_or(MADE));
                assert!(limit < MADE / 4, "all of them at once");
                let until = MADE.min(from + limit);
                let items: Vec<Value> = (from..until).map(|number| replica_set(&format!("rs-{number}"))).collect();
                let next = if until < MADE { until.to_string() } else { String::new() };
                (200, json!({"metadata": {"resourceVersion": "9", "continue": next}, "items": items}))
            } else if path.ends_with(&unlabelled) {
                (200, replica_set(&unlabelled))
            } else {
                failure(404, "NotFound")
            })
        });
        let caches = Caches::default();
        read_live(&client, &caches, &world()).await.expect("read");
        assert_eq!(caches.sets.len(), MADE + 1);
        let key = Key { namespace: "shop".to_owned(), name: serving };
        assert!(caches.sets.get(&key).is_some(), "what serves is asked for by its name");
    }
    #[tokio::test]
    async fn metadata_is_read_whatever_is_said_of_who_manages_which_field_and_what_is_gone_is_an_answer() {
        let client = api_server(|Asked { path, .. }| {
            let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
            let managed =
                json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": deep}]);
            std::future::ready(if path.ends_with("/web") {
                (200, json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "managedFields": managed}}))
            } else {
                failure(404, "NotFound")
            })
        });
        let read = async |name: &str| {
            let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
            read_metadata::<BlueGreenRollout>(&client, &key).await.expect("an answer")
        };
        assert_eq!(read("web").await.and_then(|metadata| metadata.uid).as_deref(), Some("u"));
        assert_eq!(read("gone").await, None);
    }
}

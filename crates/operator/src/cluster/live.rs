//! Reading live what is otherwise cached, where a plan is in doubt.

use greenlight_core::World;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api_server::error::{Doing, Error};
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::objects::{DeploymentView, ReplicaSetView, RolloutView, ServiceView};

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
    let rollouts: Api<RolloutView> = Api::namespaced(client.clone(), namespace);
    match rollouts.get_opt(&rollout.name).await.doing(|| "read the rollout".to_owned())? {
        Some(view) => caches.rollouts.put_answer(view.keep()),
        None => caches.rollouts.remove(&key, &rollout.resource_version),
    }
    Ok(())
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
    let list = api.list(&all).await.doing(|| "read the ReplicaSets".to_owned())?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut exist = Vec::new();
    for owned in list.items.into_iter().filter_map(ReplicaSetView::keep) {
        exist.push(owned.key());
        caches.sets.put_found(owned);
    }
    // The list goes by labels of the ReplicaSets, which anybody may change; that one exists is a question of its name.
    let serving = world.rollout.record().map(|record| &record.serving).filter(|serving| !serving.is_empty());
    let serving = serving.map(|hash| format!("{}-{hash}", world.rollout.name));
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

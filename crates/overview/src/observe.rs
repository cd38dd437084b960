//! The core's world of one rollout, read from the API server. So what a command says of roles and next steps is what the operator
//! decides, and not a second opinion.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::world::{Pod, ReplicaSet, Rival, Service};
use greenlight_core::{World, from_api};
use k8s_openapi::api::apps::v1::ReplicaSet as KubeReplicaSet;
use k8s_openapi::api::core::v1::{Pod as KubePod, Service as KubeService};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::core::Selector;

use crate::found::Place;
use crate::session::{Session, is_forbidden};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A world, and the whole objects behind it.
pub struct Observed {
    /// What the core knows of the rollout. Its rivals and runs are not read, see [`add_neighbours`].
    pub world: World,
    /// Its ReplicaSets.
    pub replica_sets: Vec<KubeReplicaSet>,
    /// The pods of its ReplicaSets.
    pub pods: Vec<KubePod>,
    /// The reason that was given for the last change of its spec.
    pub change_cause: Option<String>,
}

/// Reads what belongs to a rollout. A template that comes from a Deployment is not looked up: it counts as unknown, and the core
/// takes the one that the operator recorded.
pub async fn observe(session: &Session, rollout: BlueGreenRollout) -> Result<Observed> {
    let ((replica_sets, pods), services) =
        tokio::try_join!(replica_sets_and_pods(session, &rollout), services(session, &rollout))?;
    let change_cause = rollout.annotations().get(names::CHANGE_CAUSE).cloned();
    let rollout = from_api::rollout(rollout);
    let has = |hash: &str| replica_sets.iter().any(|rs| hash_of(rs) == hash);
    let services = services.into_iter().map(service_of).filter(|service| rollout.looks_after(service, has));
    let services = services.map(|service| (service.name.clone(), service)).collect();
    let world = World {
        replica_sets: replica_sets.iter().map(replica_set_of).collect(),
        services,
        workload: None,
        rivals: Vec::new(),
        endpoints: BTreeMap::new(),
        pods: replica_sets.iter().map(|rs| (hash_of(rs), pods_of(rs, &pods))).collect(),
        runs: Vec::new(),
        refused: None,
        refused_writes: Vec::new(),
        troubles: Vec::new(),
        published_at: None,
        live: true,
        rollout,
    };
    Ok(Observed { world, replica_sets, pods, change_cause })
}

/// The ReplicaSets of a rollout, and the pods of these.
pub async fn replica_sets_and_pods(
    session: &Session,
    rollout: &BlueGreenRollout,
) -> Result<(Vec<KubeReplicaSet>, Vec<KubePod>)> {
    let labelled = ListParams::default().labels(&selector(rollout));
    let (replica_sets, pods) = (session.api::<KubeReplicaSet>(), session.api::<KubePod>());
    let replica_sets = async { replica_sets.list(&labelled).await.context("cannot list ReplicaSets") };
    let pods = async { pods.list(&labelled).await.context("cannot list pods") };
    let (replica_sets, pods) = tokio::try_join!(replica_sets, pods)?;
    let (mut replica_sets, mut pods) = (replica_sets.items, pods.items);
    let uid = rollout.metadata.uid.clone().unwrap_or_default();
    replica_sets.retain(|rs| is_owned_by(&rs.metadata, &uid));
    pods.retain(|pod| replica_sets.iter().any(|rs| is_owned_by(&pod.metadata, &rs.uid().unwrap_or_default())));
    Ok((replica_sets, pods))
}

/// The Services that a rollout names, each by its name: there may be thousands of others. While one of them is new to the rollout,
/// another may still be marked for it, and all have to be looked through.
async fn services(session: &Session, rollout: &BlueGreenRollout) -> Result<Vec<KubeService>> {
    let api = session.api::<KubeService>();
    let name = rollout.name_any();
    let named: BTreeSet<&str> = rollout.spec.blue_green().services().collect();
    let found = try_join_all(named.iter().map(|service| api.get_opt(service))).await.context("cannot read Services")?;
    let is_known = |service: &KubeService| service.annotations().get(names::MANAGED_BY) == Some(&name);
    if found.iter().flatten().filter(|service| is_known(service)).count() == named.len() {
        return Ok(found.into_iter().flatten().collect());
    }
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.items),
        // Those that are named can be told about all the same.
        Err(error) if is_forbidden(&error) => Ok(found.into_iter().flatten().collect()),
        Err(error) => Err(error).context("cannot list Services"),
    }
}

/// The labels that all of a rollout's ReplicaSets and pods have.
pub fn selector(rollout: &BlueGreenRollout) -> String {
    let own: Selector = rollout.spec.selector.clone().try_into().unwrap_or_default();
    let mut labels = own.to_string();
    if !labels.is_empty() {
        labels.push(',');
    }
    labels + names::HASH_LABEL
}

/// Reads the other rollouts that name one of the Services, and the analysis runs. Some people may not; then there are none as
/// far as they can tell.
pub async fn add_neighbours(session: &Session, world: &mut World) {
    let everything = ListParams::default();
    let runs = session.api::<AnalysisRun>();
    // One that cannot be read is no rival that could be known of.
    let (rollouts, runs) = tokio::join!(Place::Namespace.list(session, None), runs.list(&everything));
    let ours: Vec<&str> = world.rollout.spec.blue_green().services().collect();
    let rollouts = rollouts.map(|list| list.items).unwrap_or_default().into_iter();
    let others = rollouts.filter_map(|found| found.rollout.ok()).filter(|other| {
        other.name_any() != world.rollout.name
            && other.metadata.deletion_timestamp.is_none()
            && other.spec.blue_green().services().any(|service| ours.contains(&service))
    });
    world.rivals = others
        .map(|other| Rival {
            name: other.name_any(),
            created: from_api::time(other.metadata.creation_timestamp.as_ref()),
            services: other.spec.blue_green().services().map(str::to_owned).collect(),
        })
        .collect();
    let runs = runs.map(|list| list.items).unwrap_or_default();
    let ours = runs.iter().filter(|run| run.annotations().get(names::ROLLOUT) == Some(&world.rollout.name));
    world.runs = ours.filter_map(from_api::run).collect();
}

/// The hash of a ReplicaSet.
pub fn hash_of(rs: &KubeReplicaSet) -> String {
    rs.labels().get(names::HASH_LABEL).cloned().unwrap_or_default()
}

/// What decisions need of a ReplicaSet.
pub fn replica_set_of(rs: &KubeReplicaSet) -> ReplicaSet {
    let spec = rs.spec.clone().unwrap_or_default();
    let status = rs.status.clone().unwrap_or_default();
    let mut annotations = rs.annotations().clone();
    annotations.retain(|key, _| key.starts_with("greenlight.dev/"));
    let mut pod_labels =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    pod_labels.remove(names::HASH_LABEL);
    let mut conditions = status.conditions.into_iter().flatten();
    let failure = conditions.find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    ReplicaSet {
        name: rs.name_any(),
        uid: rs.uid().unwrap_or_default(),
        hash: hash_of(rs),
        digest: annotations.get(names::TEMPLATE_DIGEST).cloned().unwrap_or_default(),
        resource_version: rs.resource_version().unwrap_or_default(),
        created: from_api::time(rs.metadata.creation_timestamp.as_ref()),
        deleting: rs.metadata.deletion_timestamp.is_some(),
        finalizers: rs.finalizers().to_vec(),
        annotations,
        pod_labels,
        replicas: spec.replicas.unwrap_or(1),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
        settled: status.observed_generation >= rs.metadata.generation,
        current: status.replicas,
        ready: status.ready_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        failure: failure.and_then(|condition| condition.message),
        fresh: false,
    }
}

fn service_of(service: KubeService) -> Service {
    let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
    from_api::service(service.metadata, selector)
}

fn pods_of(rs: &KubeReplicaSet, pods: &[KubePod]) -> Vec<Pod> {
    let uid = rs.uid().unwrap_or_default();
    pods.iter().filter(|pod| is_owned_by(&pod.metadata, &uid)).map(pod_of).collect()
}

/// A pod without why it is not ready: the commands that look at a world do not ask for that.
fn pod_of(pod: &KubePod) -> Pod {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    Pod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        created: from_api::time(pod.metadata.creation_timestamp.as_ref()),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        deletion_cost: pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        reason: String::new(),
        message: String::new(),
    }
}

fn is_owned_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.uid == uid)
}

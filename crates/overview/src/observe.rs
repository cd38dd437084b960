//! The core's world of one rollout, read from the API server. So what a command says of roles and next steps is what the operator
//! decides, and not a second opinion.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::world::{Pod, ReplicaSet, Rival, Service};
use greenlight_core::{World, from_api, hash, stall};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet as KubeReplicaSet;
use k8s_openapi::api::core::v1::{Pod as KubePod, Service as KubeService};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::found::Place;
use crate::session::{Session, is_forbidden};
use crate::unseen::Unseen;
use crate::whole::Whole;

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
    /// The ReplicaSets of its name that belong to nobody.
    pub left_behind: Vec<LeftBehind>,
    /// The kinds of which the caller may see none, see [`observe_visible`]. Here they seem to have no objects.
    pub denied: Vec<Denied>,
}

/// A kind that the API server does not give the caller.
pub struct Denied {
    /// The kind.
    pub what: &'static str,
    /// How the API server says so.
    pub error: kube::Error,
}

/// A ReplicaSet that an earlier rollout of the same name left behind. The operator takes it over when it is to create what that is.
pub struct LeftBehind {
    /// The ReplicaSet.
    pub replica_set: ReplicaSet,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Why the operator does not take it over, if it does not.
    pub kept_by: Option<String>,
}

/// Reads what belongs to a rollout. A template that comes from a Deployment is not looked up: it counts as unknown, and the core
/// takes the one that the operator recorded.
///
/// # Errors
/// The caller may not read what belongs to it.
pub async fn observe(session: &Session, rollout: BlueGreenRollout) -> Result<Observed> {
    let mut observed = observe_visible(session, rollout).await?;
    none_is(std::mem::take(&mut observed.denied))?;
    Ok(observed)
}

/// Reads what the caller may see of it. That is enough to be shown, if it is told what is missing, and not enough to decide by.
///
/// # Errors
/// The API server does not answer.
pub async fn observe_visible(session: &Session, rollout: BlueGreenRollout) -> Result<Observed> {
    let (mut labelled, services) = tokio::try_join!(labelled(session, &rollout), services(session, &rollout))?;
    let (services, denied_services) = services;
    let denied = std::mem::take(&mut labelled.denied).into_iter().chain(denied_services).collect();
    let left_behind = left_behind(session, &rollout, &labelled).await?;
    let (replica_sets, pods) = labelled.own();
    let change_cause = rollout.annotations().get(names::CHANGE_CAUSE).cloned();
    let rollout = from_api::rollout(rollout);
    let has = |hash: &str| replica_sets.iter().any(|rs| hash_of(rs) == hash);
    let services = services.into_iter().map(service_of).filter(|service| rollout.looks_after(service, has));
    let services = services.map(|service| (service.name.clone(), service)).collect();
    let world = World {
        replica_sets: replica_sets.iter().map(replica_set_of).collect(),
        services,
        pods: replica_sets.iter().map(|rs| (hash_of(rs), pods_of(rs, &pods))).collect(),
        live: true,
        ..World::of(rollout)
    };
    Ok(Observed { world, replica_sets, pods, change_cause, left_behind, denied })
}

impl Observed {
    /// The whole ReplicaSets.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn into_replica_sets(mut self) -> Result<Vec<KubeReplicaSet>> {
        self.denied.retain(|denied| denied.what == Unseen::REPLICA_SETS);
        none_is(self.denied)?;
        Ok(self.replica_sets)
    }
}

/// Fails with the first of them.
fn none_is(denied: Vec<Denied>) -> Result<()> {
    match denied.into_iter().next() {
        Some(Denied { what, error }) => Err(error).with_context(|| format!("cannot list {what}")),
        None => Ok(()),
    }
}

/// Those ReplicaSets that belong to nobody, and have the name that the rollout would give them.
async fn left_behind(session: &Session, rollout: &BlueGreenRollout, labelled: &Labelled) -> Result<Vec<LeftBehind>> {
    let is_left_behind = |rs: &&KubeReplicaSet| {
        let is_nobodys = rs.metadata.owner_references.as_ref().is_none_or(Vec::is_empty);
        is_nobodys && rs.name_any() == hash::replica_set_name(&rollout.name_any(), &hash_of(rs))
    };
    let found: Vec<&KubeReplicaSet> = labelled.others.iter().filter(is_left_behind).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // Those that the rollout does not name tell, too.
    let services = all_services(session).await?.unwrap_or_default();
    let services: Vec<Service> = services.into_iter().map(service_of).collect();
    let rollout = from_api::rollout(rollout.clone());
    let left_behind = found.into_iter().map(|rs| {
        let replica_set = replica_set_of(rs);
        let name = &replica_set.name;
        let goes = || format!("ReplicaSet {name} is being deleted. See what its finalizers wait for");
        let kept_by = replica_set.deleting.then(goes);
        let kept_by = kept_by.or_else(|| stall::adoption(&rollout, name, &replica_set.hash, &services));
        LeftBehind { replica_set, pods: pods_of(rs, &labelled.pods), kept_by }
    });
    Ok(left_behind.collect())
}

/// What has the labels of a rollout, whoever owns it.
struct Labelled {
    /// The rollout's ReplicaSets.
    own: Vec<KubeReplicaSet>,
    /// The ReplicaSets of others.
    others: Vec<KubeReplicaSet>,
    /// The pods of all of them.
    pods: Vec<KubePod>,
    /// Which of the two kinds the caller may not list.
    denied: Vec<Denied>,
}

impl Labelled {
    /// The rollout's ReplicaSets, and the pods of these.
    fn own(self) -> (Vec<KubeReplicaSet>, Vec<KubePod>) {
        let Labelled { own, mut pods, .. } = self;
        pods.retain(|pod| own.iter().any(|rs| is_owned_by(&pod.metadata, &rs.uid().unwrap_or_default())));
        (own, pods)
    }
}

async fn labelled(session: &Session, rollout: &BlueGreenRollout) -> Result<Labelled> {
    let labelled = ListParams::default().labels(&selector(rollout));
    let replica_sets = visible::<KubeReplicaSet>(session, &labelled, Unseen::REPLICA_SETS);
    let pods = visible::<KubePod>(session, &labelled, Unseen::PODS);
    let ((replica_sets, denied_sets), (pods, denied_pods)) = tokio::try_join!(replica_sets, pods)?;
    let uid = rollout.metadata.uid.clone().unwrap_or_default();
    let (own, others) = replica_sets.into_iter().partition(|rs| is_owned_by(&rs.metadata, &uid));
    Ok(Labelled { own, others, pods, denied: denied_sets.into_iter().chain(denied_pods).collect() })
}

/// The objects of a kind, or that the caller may see none.
async fn visible<K>(session: &Session, params: &ListParams, what: &'static str) -> Result<(Vec<K>, Option<Denied>)>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    match session.list::<K>(params).await {
        Ok(objects) => Ok((objects, None)),
        Err(error) if is_forbidden(&error) => Ok((Vec::new(), Some(Denied { what, error }))),
        Err(error) => Err(error).with_context(|| format!("cannot list {what}")),
    }
}

/// The ReplicaSets of a rollout, and the pods of these.
///
/// # Errors
/// The caller may not read them.
pub async fn replica_sets_and_pods(
    session: &Session,
    rollout: &BlueGreenRollout,
) -> Result<(Vec<KubeReplicaSet>, Vec<KubePod>)> {
    let mut labelled = labelled(session, rollout).await?;
    none_is(std::mem::take(&mut labelled.denied))?;
    Ok(labelled.own())
}

/// The Services that a rollout names, each by its name: there may be thousands of others. While one of them is new to the rollout,
/// another may still be marked for it, and all have to be looked through.
async fn services(session: &Session, rollout: &BlueGreenRollout) -> Result<(Vec<KubeService>, Option<Denied>)> {
    let api = session.api::<Whole<KubeService>>();
    let name = rollout.name_any();
    let named: BTreeSet<&str> = rollout.spec.blue_green().services().collect();
    let found = match try_join_all(named.iter().map(|service| api.get_opt(service))).await {
        Ok(found) => found.into_iter().flatten().map(|Whole(service)| service).collect::<Vec<_>>(),
        Err(error) if is_forbidden(&error) => return Ok((Vec::new(), Some(Denied { what: Unseen::SERVICES, error }))),
        Err(error) => return Err(error).context("cannot read Services"),
    };
    let is_known = |service: &KubeService| service.annotations().get(names::MANAGED_BY) == Some(&name);
    if found.iter().filter(|service| is_known(service)).count() == named.len() {
        return Ok((found, None));
    }
    // Those that are named can be told about all the same.
    let all = all_services(session).await?;
    Ok((all.unwrap_or(found), None))
}

/// All Services of the namespace, unless the caller may not list them.
async fn all_services(session: &Session) -> Result<Option<Vec<KubeService>>> {
    match session.list::<KubeService>(&ListParams::default()).await {
        Ok(all) => Ok(Some(all)),
        Err(error) if is_forbidden(&error) => Ok(None),
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
    // One that cannot be read is no rival that could be known of, and no analysis that decides anything.
    let (rollouts, runs) = tokio::join!(Place::Namespace.list(session, None), session.runs());
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
    let (runs, _) = runs.unwrap_or_default();
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
    let mut set = ReplicaSet {
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
        fully_labeled: status.fully_labeled_replicas.unwrap_or(0),
        failure: failure.and_then(|condition| condition.message),
        fresh: false,
    };
    set.count_out_what_leaves();
    set
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
        resource_version: pod.resource_version().unwrap_or_default(),
        created: from_api::time(pod.metadata.creation_timestamp.as_ref()),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        over: from_api::is_over(pod.status.as_ref().and_then(|status| status.phase.as_deref())),
        ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        deletion_cost: pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        reason: String::new(),
        message: String::new(),
    }
}

fn is_owned_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.uid == uid)
}

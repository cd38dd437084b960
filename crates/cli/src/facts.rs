//! What there is to say about a rollout, gathered from the API server.

use std::collections::BTreeMap;

use anyhow::Result;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, PodTemplate, Rejection, conditions, names};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use crate::session::Session;

/// A rollout and everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The operator has not yet seen the newest spec.
    pub outdated: bool,
    /// The operator's status.
    pub status: BlueGreenRolloutStatus,
    /// Reason of the condition that explains the phase.
    pub reason: String,
    /// Since when the phase is what it is.
    pub since: Option<Timestamp>,
    /// The Services, the active one first.
    pub services: Vec<ServiceFact>,
    /// The revisions, newest first.
    pub revisions: Vec<Revision>,
}

/// A Service of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFact {
    /// `active` or `preview`.
    pub role: &'static str,
    /// Name.
    pub name: String,
    /// It exists.
    pub exists: bool,
    /// The hash that it selects.
    pub hash: Option<String>,
    /// Where an Ingress shows it.
    pub urls: Vec<String>,
}

/// What a revision is to its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It carries production.
    Active,
    /// It is next.
    Preview,
    /// It is on its way back into production.
    Returning,
    /// It goes away at its deadline.
    Retiring,
    /// It is kept to roll back to.
    Old,
}

/// A revision with its ReplicaSet and pods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Revision number.
    pub number: i64,
    /// Hash.
    pub hash: String,
    /// Name of the ReplicaSet.
    pub replica_set: String,
    /// Images of its containers.
    pub images: Vec<String>,
    /// What tells it from others at a glance.
    pub title: String,
    /// What it is.
    pub role: Role,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that should be.
    pub desired: i32,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was promoted last.
    pub promoted_at: Option<Timestamp>,
    /// When it is scaled down.
    pub scale_down_at: Option<Timestamp>,
    /// Why it was rejected.
    pub rejected: Option<Rejection>,
    /// Its pods.
    pub pods: Vec<PodFact>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFact {
    /// Name.
    pub name: String,
    /// Ready.
    pub ready: bool,
    /// `Running`, or why it is not.
    pub state: String,
    /// Restarts of its containers.
    pub restarts: i32,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// Gathers the facts of one rollout.
pub async fn gather(session: &Session, name: &str) -> Result<Facts> {
    let rollout = session.rollout(name).await?;
    let status = rollout.status.clone().unwrap_or_default();
    let labelled = ListParams::default().labels(names::HASH_LABEL);
    let (sets, pods) = (session.api::<ReplicaSet>(), session.api::<Pod>());
    let (sets, pods) = tokio::try_join!(sets.list(&labelled), pods.list(&labelled))?;
    // Some people may not read Ingresses; then there are no addresses to show.
    let ingresses =
        session.api::<Ingress>().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let mut services = Vec::new();
    let blue_green = rollout.spec.blue_green();
    let active = blue_green.active_services().map(|name| ("active", name));
    for (role, name) in active.chain(blue_green.preview_service.as_deref().map(|name| ("preview", name))) {
        let service = session.api::<Service>().get_opt(name).await?;
        let selector = service.as_ref().and_then(|service| service.spec.as_ref()?.selector.clone()).unwrap_or_default();
        services.push(ServiceFact {
            role,
            name: name.to_owned(),
            exists: service.is_some(),
            hash: selector.get(names::HASH_LABEL).filter(|hash| *hash != names::NO_HASH).cloned(),
            urls: urls(&ingresses, name),
        });
    }
    let mut by_set = pods_by_set(pods.items);
    let owned = sets.items.into_iter().filter(|set| is_owned(&set.metadata, &rollout));
    let mut revisions: Vec<Revision> = owned.map(|set| revision(&set, &status, &mut by_set)).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let explains = [conditions::STALLED, conditions::PAUSED, conditions::RECONCILING, conditions::READY];
    let condition = explains.iter().find_map(|type_| {
        status.conditions.iter().find(|condition| condition.type_ == *type_ && condition.status == "True")
    });
    Ok(Facts {
        name: name.to_owned(),
        namespace: session.namespace.clone(),
        outdated: rollout.metadata.generation.unwrap_or_default() > status.observed_generation,
        reason: condition.map(|condition| condition.reason.clone()).unwrap_or_default(),
        since: condition.map(|condition| condition.last_transition_time.0),
        status,
        services,
        revisions,
    })
}

fn is_owned(meta: &ObjectMeta, rollout: &BlueGreenRollout) -> bool {
    meta.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == rollout.metadata.uid.as_ref())
}

fn pods_by_set(pods: Vec<Pod>) -> BTreeMap<String, Vec<PodFact>> {
    let mut by_set: BTreeMap<String, Vec<PodFact>> = BTreeMap::new();
    for pod in pods {
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.kind == "ReplicaSet");
        if let Some(owner) = owner {
            by_set.entry(owner.uid.clone()).or_default().push(pod_fact(&pod));
        }
    }
    by_set
}

fn revision(set: &ReplicaSet, status: &BlueGreenRolloutStatus, pods: &mut BTreeMap<String, Vec<PodFact>>) -> Revision {
    let annotation = |key: &str| set.annotations().get(key);
    let time = |key: &str| annotation(key).and_then(|text| text.parse().ok());
    let hash = set.labels().get(names::HASH_LABEL).cloned().unwrap_or_default();
    let spec = set.spec.as_ref();
    let desired = spec.and_then(|spec| spec.replicas).unwrap_or(1);
    let scale_down_at = time(names::SCALE_DOWN_AT);
    let rejected = annotation(names::REJECTED).and_then(|json| serde_json::from_str(json).ok());
    let role = if hash == status.active_revision {
        Role::Active
    } else if scale_down_at.is_some() {
        Role::Retiring
    } else if hash == status.updated_revision && rejected.is_none() {
        Role::Preview
    } else if desired > 0 && !status.rejected_revision.is_empty() && rejected.is_none() {
        Role::Returning
    } else {
        Role::Old
    };
    let template =
        spec.and_then(|spec| spec.template.as_ref()).and_then(|template| serde_json::to_value(template).ok());
    let template: PodTemplate = template.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let mut pods = pods.remove(&set.uid().unwrap_or_default()).unwrap_or_default();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Revision {
        number: annotation(names::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0),
        hash,
        replica_set: set.name_any(),
        title: template.title(),
        images: template.images().into_iter().map(|(_, image)| image).collect(),
        role,
        ready: set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0),
        desired,
        created: set.metadata.creation_timestamp.as_ref().map(|time| time.0),
        promoted_at: time(names::PROMOTED_AT),
        scale_down_at,
        rejected,
        pods,
    }
}

fn pod_fact(pod: &Pod) -> PodFact {
    let status = pod.status.clone().unwrap_or_default();
    let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let containers: Vec<_> = status.container_statuses.iter().flatten().collect();
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    let waiting = containers.iter().find_map(|container| {
        let state = container.state.as_ref()?;
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
        waiting.or_else(|| state.terminated.as_ref().and_then(|terminated| terminated.reason.clone()))
    });
    let unschedulable = condition("PodScheduled").filter(|c| c.status == "False").and_then(|c| c.reason.clone());
    let phase = status.phase.clone().unwrap_or_default();
    let state = if pod.metadata.deletion_timestamp.is_some() {
        "Terminating".to_owned()
    } else if let Some(reason) = waiting.or(unschedulable) {
        reason
    } else if phase == "Running" && !ready {
        "not ready".to_owned()
    } else {
        phase
    };
    PodFact {
        name: pod.name_any(),
        ready,
        state,
        restarts: containers.iter().map(|container| container.restart_count).sum(),
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
    }
}

/// The addresses at which Ingresses show a Service.
fn urls(ingresses: &[Ingress], service: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for spec in ingresses.iter().filter_map(|ingress| ingress.spec.as_ref()) {
        let tls: Vec<&String> = spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten()).collect();
        for rule in spec.rules.iter().flatten() {
            let Some(host) = &rule.host else { continue };
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                if path.backend.service.as_ref().is_some_and(|backend| backend.name == service) {
                    let scheme = if tls.contains(&host) { "https" } else { "http" };
                    let path = path.path.as_deref().filter(|path| *path != "/").unwrap_or_default();
                    urls.push(format!("{scheme}://{host}{path}"));
                }
            }
        }
    }
    urls
}

//! What there is to say about a rollout, gathered from the API server.

use std::collections::BTreeMap;

use anyhow::Result;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, PodTemplate, Rejection, RevisionRecord, conditions};
use greenlight_core::roles::Roles;
use greenlight_core::world::{ReplicaSet, Selection};
use greenlight_core::{decisions, hash};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet as KubeReplicaSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use serde::Serialize;

use crate::containers::{initial, is_sidecar};
use crate::observe::{Observed, observe_visible, replica_set_of};
use crate::session::Session;
use crate::status::of_newest_spec;
use crate::surroundings::{cached, ingresses};
use crate::unseen::Unseen;

/// A rollout and everything that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The status is not of the newest spec yet.
    pub outdated: bool,
    /// It is being deleted. The operator answers no request any more.
    pub deleting: bool,
    /// The operator's status, without what it says of an older spec.
    pub status: BlueGreenRolloutStatus,
    /// Reason of the condition that explains the phase.
    pub reason: String,
    /// Since when the phase is what it is.
    pub since: Option<Timestamp>,
    /// The reason that was given for the last change of the spec: the annotation `kubernetes.io/change-cause`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_cause: Option<String>,
    /// The Services, the active one first.
    pub services: Vec<ServiceFact>,
    /// The revisions, newest first.
    pub revisions: Vec<Revision>,
    /// What of this the caller does not see.
    pub unseen: Vec<Unseen>,
}

/// A Service of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFact {
    /// `active` or `preview`.
    pub role: &'static str,
    /// Name.
    pub name: String,
    /// It exists, as far as the caller sees Services.
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
    /// It may take over.
    Preview,
    /// Production is to go back to it, and has not arrived there.
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
    /// When it was last proven to carry production. Where the operator has no record of it, when it was last about to.
    pub promoted_at: Option<Timestamp>,
    /// When it is scaled down.
    pub scale_down_at: Option<Timestamp>,
    /// Why it was rejected.
    pub rejected: Option<Rejection>,
    /// Its pods.
    pub pods: Vec<PodFact>,
}

/// What is known of a revision also without its ReplicaSet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Revision number.
    pub number: i64,
    /// Hash.
    pub hash: String,
    /// Name of the ReplicaSet.
    pub replica_set: String,
    /// What it is.
    pub role: Role,
    /// When it was last proven to carry production.
    pub promoted_at: Option<Timestamp>,
    /// Why it was rejected.
    pub rejected: Option<Rejection>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodFact {
    /// Name.
    pub name: String,
    /// Ready.
    pub ready: bool,
    /// `Running`, or why it is not, as kubectl says it: `Init:0/2` while the first of two init containers runs.
    pub state: String,
    /// Restarts of its containers, init containers included.
    pub restarts: i32,
    /// When it was created.
    pub created: Option<Timestamp>,
}

/// Gathers the facts of one rollout, as far as the caller may see them.
///
/// # Errors
/// It does not exist, the caller may not read it, or the API server does not answer.
pub async fn gather(session: &Session, name: &str) -> Result<Facts> {
    gather_of(session, session.rollout(name).await?).await
}

/// Gathers the facts of a rollout that was already read.
///
/// # Errors
/// The API server does not answer.
pub async fn gather_of(session: &Session, rollout: BlueGreenRollout) -> Result<Facts> {
    let all = cached();
    let (ingresses, observed) = tokio::join!(ingresses(session, &all), observe_visible(session, rollout));
    Ok(facts(observed?, &ingresses))
}

/// The facts of what was read.
pub fn facts(observed: Observed, ingresses: &kube::Result<Vec<Ingress>>) -> Facts {
    let Observed { world, replica_sets, pods, change_cause, denied, .. } = observed;
    let mut unseen: Vec<Unseen> = denied.iter().map(|denied| Unseen::new(denied.what, &denied.error)).collect();
    unseen.extend(Unseen::of(Unseen::INGRESSES, ingresses));
    let ingresses = ingresses.as_deref().unwrap_or_default();
    let status = world.rollout.status.clone().unwrap_or_default();
    let outdated = world.rollout.generation > status.observed_generation;
    let deleting = world.rollout.is_deleting();
    let status = of_newest_spec(status, world.rollout.generation, deleting);
    // As it is written, and not as the operator is about to write it: what is shown has happened.
    let decisions = decisions::read(&world, Timestamp::now()).written;
    let roles = Roles::read(&world, &decisions);
    let blue_green = world.rollout.spec.blue_green();
    let active = blue_green.active_services().map(|name| ("active", name));
    let named = active.chain(blue_green.preview_service.as_deref().map(|name| ("preview", name)));
    let services = named.map(|(role, name)| {
        let service = world.services.get(name);
        let hash = match service.map(|service| service.selection()) {
            Some(Selection::Revision(hash)) => Some(hash),
            _ => None,
        };
        ServiceFact { role, name: name.to_owned(), exists: service.is_some(), hash, urls: urls(ingresses, name) }
    });
    let services = services.collect();
    let mut by_owner = pods_by_owner(&pods);
    let mut revisions: Vec<Revision> =
        replica_sets.iter().map(|rs| revision(rs, &status, &roles, &mut by_owner)).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let explains = [conditions::STALLED, conditions::PAUSED, conditions::RECONCILING, conditions::READY];
    let condition = explains.iter().find_map(|type_| {
        status.conditions.iter().find(|condition| condition.type_ == *type_ && condition.status == "True")
    });
    Facts {
        name: world.rollout.name.clone(),
        namespace: world.rollout.namespace.clone(),
        outdated,
        deleting,
        reason: condition.map(|condition| condition.reason.clone()).unwrap_or_default(),
        since: condition.map(|condition| condition.last_transition_time.0),
        change_cause,
        status,
        services,
        revisions,
        unseen,
    }
}

impl Facts {
    /// Whether the caller sees this, one of the kinds that belong to a rollout.
    pub fn shows(&self, what: &str) -> bool {
        self.unseen.iter().all(|unseen| unseen.what != what)
    }

    /// The revisions, newest first. To whoever does not see the ReplicaSets the operator's record tells of them.
    pub fn known(&self) -> Vec<Known> {
        if self.shows(Unseen::REPLICA_SETS) {
            return self.revisions.iter().map(Known::of).collect();
        }
        let Some(decisions) = &self.status.decisions else { return Vec::new() };
        let role = |record: &RevisionRecord| match record.hash.as_str() {
            hash if hash == decisions.serving => Role::Active,
            hash if hash == self.status.updated_revision && record.rejection.is_none() => Role::Preview,
            _ => Role::Old,
        };
        let mut known: Vec<Known> = decisions
            .revisions
            .iter()
            .map(|record| Known {
                number: record.number,
                hash: record.hash.clone(),
                replica_set: hash::replica_set_name(&self.name, &record.hash),
                role: role(record),
                promoted_at: record.served_at,
                rejected: record.rejection.clone(),
            })
            .collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.number));
        known
    }
}

impl Known {
    fn of(revision: &Revision) -> Known {
        Known {
            number: revision.number,
            hash: revision.hash.clone(),
            replica_set: revision.replica_set.clone(),
            role: revision.role,
            promoted_at: revision.promoted_at,
            rejected: revision.rejected.clone(),
        }
    }
}

fn pods_by_owner(pods: &[Pod]) -> BTreeMap<String, Vec<PodFact>> {
    let mut by_owner: BTreeMap<String, Vec<PodFact>> = BTreeMap::new();
    for pod in pods {
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.kind == "ReplicaSet");
        if let Some(owner) = owner {
            by_owner.entry(owner.uid.clone()).or_default().push(pod_fact(pod));
        }
    }
    by_owner
}

/// A revision: what was decided about it stands in the record of the status. Of one that has no entry there (yet), the
/// ReplicaSet's annotations tell.
fn revision(
    object: &KubeReplicaSet,
    status: &BlueGreenRolloutStatus,
    roles: &Roles,
    pods: &mut BTreeMap<String, Vec<PodFact>>,
) -> Revision {
    let rs = replica_set_of(object);
    let template = object.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let template = template.and_then(|template| serde_json::to_value(template).ok());
    let template: PodTemplate = template.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let mut pods = pods.remove(&rs.uid).unwrap_or_default();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    let (number, promoted_at, rejected) =
        match status.decisions.as_ref().and_then(|decisions| decisions.revision(&rs.hash)) {
            Some(record) => (record.number, record.served_at, record.rejection.clone()),
            None => (rs.shown_number(), rs.claimed_at(), rs.mirrored_rejection()),
        };
    Revision {
        number,
        replica_set: rs.name.clone(),
        title: template.title(),
        images: template.images().into_iter().map(|(_, image)| image).collect(),
        role: role(roles, &rs),
        ready: rs.ready,
        desired: rs.replicas,
        created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        promoted_at,
        scale_down_at: rs.scale_down_at(),
        rejected,
        hash: rs.hash,
        pods,
    }
}

/// The first role that applies.
fn role(roles: &Roles, rs: &ReplicaSet) -> Role {
    if roles.is_serving(rs) {
        Role::Active
    } else if roles.is_home(rs) {
        Role::Returning
    } else if rs.is_retired() {
        Role::Retiring
    } else if roles.is_candidate(rs) {
        Role::Preview
    } else {
        Role::Old
    }
}

fn pod_fact(pod: &Pod) -> PodFact {
    let status = pod.status.clone().unwrap_or_default();
    let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let containers: Vec<_> = status.container_statuses.iter().flatten().collect();
    let restarted = status.init_container_statuses.iter().flatten().chain(containers.iter().copied());
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    let waiting = containers.iter().find_map(|container| {
        let state = container.state.as_ref()?;
        let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
        waiting.or_else(|| state.terminated.as_ref().and_then(|terminated| terminated.reason.clone()))
    });
    let unschedulable = condition("PodScheduled").filter(|c| c.status == "False").and_then(|c| c.reason.clone());
    let initialising = if ready { None } else { initialising(pod) };
    let phase = status.phase.clone().unwrap_or_default();
    let state = if pod.metadata.deletion_timestamp.is_some() {
        "Terminating".to_owned()
    } else if let Some(reason) = initialising.or(waiting).or(unschedulable) {
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
        restarts: restarted.map(|container| container.restart_count).sum(),
        created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
    }
}

/// What the init container is at that the others wait for; `None` if they wait for none.
fn initialising(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.init_container_statuses.as_deref()?;
    let (done, status) = statuses.iter().enumerate().find(|(_, status)| !is_done(pod, status))?;
    let state = status.state.clone().unwrap_or_default();
    let waiting = state.waiting.and_then(|waiting| waiting.reason).filter(|reason| reason != "PodInitializing");
    Some(match state.terminated.and_then(|terminated| terminated.reason).or(waiting) {
        Some(reason) => format!("Init:{reason}"),
        None => format!("Init:{done}/{}", statuses.len()),
    })
}

/// Whether nothing waits for an init container any more: it has ended well, or it is a sidecar that has started.
fn is_done(pod: &Pod, status: &ContainerStatus) -> bool {
    let terminated = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let is_of_sidecar = || initial(pod).any(|container| container.name == status.name && is_sidecar(container));
    terminated.is_some_and(|terminated| terminated.exit_code == 0) || (status.started == Some(true) && is_of_sidecar())
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
                    let scheme = if tls.iter().any(|name| covers(name, host)) { "https" } else { "http" };
                    let path = path.path.as_deref().filter(|path| *path != "/").unwrap_or_default();
                    urls.push(format!("{scheme}://{host}{path}"));
                }
            }
        }
    }
    urls
}

/// Whether a certificate of this name is one of a host: `*.example.com` is one of `shop.example.com`.
fn covers(name: &str, host: &str) -> bool {
    let domain = host.split_once('.').map(|(_, domain)| domain);
    name == host || (domain.is_some() && name.strip_prefix("*.") == domain)
}

#[cfg(test)]
mod tests {
    use greenlight_api::names;
    use greenlight_core::roles::Production;
    use serde_json::json;

    use super::*;

    fn replica_set(name: &str, retires: bool) -> KubeReplicaSet {
        let annotations = if retires { json!({names::SCALE_DOWN_AT: "2026-01-01T00:00:00Z"}) } else { json!({}) };
        let annotated = json!({
            "metadata": {"name": format!("web-{name}"), "labels": {names::HASH_LABEL: name}, "annotations": annotations},
        });
        serde_json::from_value(annotated).expect("a ReplicaSet")
    }

    #[test]
    fn what_production_goes_back_to_is_returning_until_it_serves() {
        let [v1, v2, v3, v4] = [("v1", true), ("v2", false), ("v3", false), ("v4", true)]
            .map(|(name, retires)| replica_set_of(&replica_set(name, retires)));
        let production = Production::Away { home: &v1, serving: Some(&v2) };
        let roles = Roles { production, updated: Some(&v3), candidate: Some(&v3) };
        let seen = [&v1, &v2, &v3, &v4].map(|rs| role(&roles, rs));
        assert_eq!(seen, [Role::Returning, Role::Active, Role::Preview, Role::Retiring]);
        let roles = Roles { production: Production::AtHome(&v1), updated: Some(&v2), candidate: None };
        assert_eq!([&v1, &v2].map(|rs| role(&roles, rs)), [Role::Active, Role::Old]);
    }

    #[test]
    fn what_the_record_says_counts_and_not_what_the_replica_set_shows() {
        let mut object = replica_set("v1", false);
        let shown = object.metadata.annotations.get_or_insert_default();
        shown.insert(names::REVISION.into(), "7".into());
        shown.insert(names::PROMOTED_AT.into(), "2026-01-01T00:00:00Z".into());
        shown.insert(names::REJECTED.into(), "forged".into());
        let roles = Roles { production: Production::Nowhere, updated: None, candidate: None };
        let read = |status: &BlueGreenRolloutStatus| revision(&object, status, &roles, &mut BTreeMap::new());
        let without = read(&BlueGreenRolloutStatus::default());
        assert_eq!((without.number, without.promoted_at.is_some(), without.rejected.is_some()), (7, true, true));
        let revisions = json!([{"hash": "v1", "digest": "1", "number": 2}]);
        let status = json!({"decisions": {"revisions": revisions}});
        let with = read(&serde_json::from_value(status).expect("a status"));
        assert_eq!((with.number, with.promoted_at.is_some(), with.rejected.is_some()), (2, false, false));
    }

    #[test]
    fn a_certificate_for_a_whole_domain_makes_its_hosts_safe() {
        let of = |name: &str| {
            let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
            let paths = json!([{"pathType": "Prefix", "path": "/", "backend": backend}]);
            let rule = json!({"host": "shop.example.com", "http": {"paths": paths}});
            let ingress = json!({"metadata": {"name": "web"}, "spec": {"tls": [{"hosts": [name]}], "rules": [rule]}});
            urls(&[serde_json::from_value(ingress).expect("an Ingress")], "web")
        };
        for safe in ["shop.example.com", "*.example.com"] {
            assert_eq!(of(safe), ["https://shop.example.com"]);
        }
        for other in ["*.com", "example.com", "*.shop.example.com"] {
            assert_eq!(of(other), ["http://shop.example.com"], "{other}");
        }
    }

    #[test]
    fn a_pod_that_initialises_says_how_far_it_is_and_what_is_in_its_way() {
        let of = |started: bool, state: serde_json::Value| {
            let status = |name: &str, started: bool, state: serde_json::Value| {
                json!({
                    "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 2, "started": started,
                    "state": state,
                })
            };
            let waiting = json!({"waiting": {"reason": "PodInitializing"}});
            let initial = [status("proxy", started, json!({"running": {}})), status("migrate", false, state)];
            let pod = json!({
                "metadata": {"name": "web-1"},
                "spec": {
                    "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}],
                    "containers": [{"name": "web"}],
                },
                "status": {
                    "phase": "Pending", "initContainerStatuses": initial,
                    "containerStatuses": [status("web", false, waiting)],
                },
            });
            let fact = pod_fact(&serde_json::from_value(pod).expect("a pod"));
            (fact.state, fact.restarts)
        };
        let told = |state: &str| (state.to_owned(), 6);
        assert_eq!(of(false, json!({"waiting": {"reason": "PodInitializing"}})), told("Init:0/2"));
        assert_eq!(of(true, json!({"running": {}})), told("Init:1/2"), "the sidecar runs beside it");
        assert_eq!(of(true, json!({"waiting": {"reason": "CrashLoopBackOff"}})), told("Init:CrashLoopBackOff"));
        assert_eq!(of(true, json!({"terminated": {"exitCode": 1, "reason": "Error"}})), told("Init:Error"));
        let done = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        assert_eq!(of(true, done), told("PodInitializing"), "as kubectl has it");
    }

    #[test]
    fn the_record_tells_of_revisions_whose_replica_sets_are_not_seen() {
        let revision = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number});
        let revisions = json!([revision("v1", 1), revision("v2", 2), revision("v3", 3)]);
        let status = json!({"updatedRevision": "v3", "decisions": {"serving": "v2", "revisions": revisions}});
        let facts = Facts {
            name: "web".to_owned(),
            status: serde_json::from_value(status).expect("a status"),
            unseen: vec![Unseen { what: Unseen::REPLICA_SETS, denied: true, why: String::new() }],
            ..Facts::default()
        };
        let known: Vec<_> =
            facts.known().into_iter().map(|known| (known.number, known.replica_set, known.role)).collect();
        let of = |number: i64, role: Role| (number, format!("web-v{number}"), role);
        assert_eq!(known, [of(3, Role::Preview), of(2, Role::Active), of(1, Role::Old)]);
        let seen = Facts { unseen: Vec::new(), ..facts };
        assert!(seen.known().is_empty(), "whoever sees that there are none is told so");
    }
}

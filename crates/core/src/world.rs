//! What was observed, reduced to what decisions need.

use std::collections::BTreeMap;

use greenlight_api::{
    AnalysisPhase, BlueGreenRolloutSpec, BlueGreenRolloutStatus, Decisions, PodTemplate, Rejection, names,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::Digest;
use crate::words::brief;

/// The time `by` after `at`, and [`Timestamp::MAX`] where that would overflow: people write times and durations, too.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time that is this many seconds after `at`, see [`later`].
pub fn seconds_after(at: Timestamp, seconds: i32) -> Timestamp {
    later(at, SignedDuration::from_secs(seconds.into()))
}

/// How far the clocks of two machines may be apart before one of them counts as wrong.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// A moment after `at`: for the second of two events whose order is known, and whose times are of different clocks.
pub fn just_after(at: Timestamp) -> Timestamp {
    later(at, SignedDuration::from_millis(1))
}

/// Everything that a plan is made from.
#[derive(Clone, Debug)]
pub struct World {
    /// The rollout.
    pub rollout: Rollout,
    /// The ReplicaSets that it controls.
    pub replica_sets: Vec<ReplicaSet>,
    /// The Services that it names, by name, and those that still carry its mark. Missing ones are absent.
    pub services: BTreeMap<String, Service>,
    /// The Deployment that the template comes from, if it exists.
    pub workload: Option<Workload>,
    /// The other rollouts of the namespace that name one of its Services.
    pub rivals: Vec<Rival>,
    /// The endpoints of each Service that the last plan asked to watch; absent until they are known.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// The pods of each ReplicaSet that the last plan asked to watch, by its hash; absent until they are known.
    pub pods: BTreeMap<String, Vec<Pod>>,
    /// Its analysis runs.
    pub runs: Vec<Run>,
    /// The template that the API server refused to make a ReplicaSet of, if it did, since the operator started.
    pub refused: Option<Refusal>,
    /// Other writes that the API server refused, and analyses that could not begin, since the operator started.
    pub refused_writes: Vec<RefusedWrite>,
    /// What the operator tries in vain for this rollout beside the rollouts controller, in words: to scale down what is retired, to measure.
    pub troubles: Vec<String>,
    /// The endpoints that were asked for cannot be seen; one of the troubles tells why.
    pub blind: bool,
    /// When the operator last wrote the status, if it did so since it started.
    pub published_at: Option<Timestamp>,
    /// The rollout, its ReplicaSets and its Services were all read from the API server for this very plan, not from a cache.
    pub live: bool,
}

impl World {
    /// A world in which there is this rollout, and nothing else is known.
    pub fn of(rollout: Rollout) -> World {
        World {
            rollout,
            replica_sets: Vec::new(),
            services: BTreeMap::new(),
            workload: None,
            rivals: Vec::new(),
            endpoints: BTreeMap::new(),
            pods: BTreeMap::new(),
            runs: Vec::new(),
            refused: None,
            refused_writes: Vec::new(),
            troubles: Vec::new(),
            blind: false,
            published_at: None,
            live: false,
        }
    }

    /// The template comes from a workload that does not exist: nobody knows what is asked for.
    pub fn template_is_unknown(&self) -> bool {
        self.rollout.spec.workload_ref.is_some() && self.workload.is_none()
    }

    /// The API server refuses the ReplicaSet of the template that the spec asks for.
    pub fn template_is_refused(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.digest == self.rollout.template.digest.as_str())
    }

    /// The pods of the template carry the label by which production selects two revisions in an overlap: they would get traffic then.
    pub fn template_has_serving_label(&self) -> bool {
        self.rollout.template.labels.contains_key(names::SERVING_LABEL)
    }

    /// What `spec.selector` asks for and the template of the workload that it comes from does not carry, as `key=value`.
    pub fn missing_in_workload(&self) -> Vec<String> {
        let Some(workload) = &self.workload else { return Vec::new() };
        let wanted = self.rollout.spec.selector.match_labels.iter().flatten();
        let missing = wanted.filter(|(key, value)| workload.template.labels.get(*key) != Some(value));
        missing.map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// A ReplicaSet of the template that the spec asks for could be made now, as far as is known.
    pub fn template_can_be_made(&self) -> bool {
        !self.template_is_unknown()
            && !self.template_is_refused()
            && !self.template_has_serving_label()
            && self.missing_in_workload().is_empty()
    }

    /// The refusal of the last write to this object, if it is not to be tried again yet.
    pub fn refused_write(&self, target: &str, now: Timestamp) -> Option<&RefusedWrite> {
        self.refused_writes.iter().find(|refused| refused.target == target && now < refused.retry_at)
    }

    /// The Service that the spec names as the active one, if it exists.
    pub fn first_active_service(&self) -> Option<&Service> {
        self.services.get(self.rollout.spec.blue_green().active_service.as_ref()?)
    }

    /// The ReplicaSets that are not being deleted. One that is cannot be brought back.
    pub fn existing(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.replica_sets.iter().filter(|rs| !rs.deleting)
    }

    /// The ReplicaSet of a hash, if it exists.
    pub fn replica_set(&self, hash: &str) -> Option<&ReplicaSet> {
        self.existing().find(|rs| rs.hash == hash)
    }

    /// The Services that carry production: those that the spec names, the first one first, and those that it named before and
    /// that could not be let go yet, also if it names one of those as a preview by now.
    pub fn production_services(&self) -> impl Iterator<Item = &Service> {
        let named: Vec<&str> = self.rollout.spec.blue_green().active_services().collect();
        let former = self.services.values().filter(move |service| {
            service.is_marked_for(&self.rollout.name)
                && service.production.is_some()
                && !named.contains(&service.name.as_str())
        });
        self.active_services().chain(former)
    }

    /// The other rollout that a Service belongs to: the one whose mark it carries, as long as that one names it; without a mark, the oldest
    /// that names it, if that is not this one.
    pub fn owner(&self, service: &Service) -> Option<&Rival> {
        let rivals = || self.rivals.iter().filter(|rival| rival.services.contains(&service.name));
        let marked = service.managed_by.as_ref();
        rivals().find(|rival| marked == Some(&rival.name)).or_else(|| {
            let unmarked = marked != Some(&self.rollout.name);
            let us = (self.rollout.created, &self.rollout.name);
            rivals().filter(|rival| unmarked && (rival.created, &rival.name) < us).min_by_key(|rival| rival.created)
        })
    }

    /// The Argo Rollout that moves a Service, if one does: its controller left its name there. On a Service that this rollout moves the name
    /// alone takes nothing away, whoever wrote it. Together with a hash that is none of this rollout's it shows that Argo Rollouts'
    /// controller has moved the Service; to move it back would begin a fight that only production loses.
    pub fn argo_rollout<'a>(&self, service: &'a Service) -> Option<&'a str> {
        let is_known = |hash: &str| {
            let recorded = self.rollout.record().is_some_and(|record| record.revision(hash).is_some());
            let given = service.production.as_deref() == Some(hash);
            recorded || given || self.replica_sets.iter().any(|rs| rs.hash == hash)
        };
        let leads_elsewhere = matches!(service.selection(), Selection::Revision(hash) if !is_known(&hash));
        let is_ours = service.is_marked_for(&self.rollout.name) && !leads_elsewhere;
        if is_ours { None } else { service.argo_rollout.as_deref() }
    }

    /// Somebody else moves a Service: another rollout, or an Argo Rollout.
    pub fn is_anothers(&self, service: &Service) -> bool {
        self.owner(service).is_some() || self.argo_rollout(service).is_some()
    }

    /// Another rollout's is one of the Services that the spec names to carry production. One that an Argo Rollout moves is not meant: who
    /// takes the annotation away hands it over, as who adds a rollout to a Deployment does.
    pub fn comes_second(&self) -> bool {
        self.active_services().any(|service| self.owner(service).is_some())
    }

    /// The Service leads to pods of a revision, other than this one, or to those of the Deployment that was taken over from.
    pub fn leads_to_others(&self, service: &Service, than: Option<&str>) -> bool {
        let of_revision = |rs: &ReplicaSet| rs.has_pods() && Some(rs.hash.as_str()) != than && service.selects(rs);
        let by_its_labels = service.selection() == Selection::Unmanaged;
        let of_workload = |workload: &Workload| {
            by_its_labels && workload.replicas > 0 && service.lacking(&workload.template.labels).is_empty()
        };
        self.replica_sets.iter().any(of_revision) || self.workload.as_ref().is_some_and(of_workload)
    }

    /// Nothing served before, as far as is known: there is nothing that a gate could protect.
    pub fn is_first_deployment(&self, decisions: &Decisions) -> bool {
        let carried = self.production_services().any(|service| service.production.is_some());
        let served = decisions.revisions.iter().any(|revision| revision.served_at.is_some());
        decisions.serving.is_empty() && !served && !carried && !decisions.not_the_first
    }

    /// The spec names it to carry production.
    pub fn is_named(&self, service: &Service) -> bool {
        self.rollout.spec.blue_green().active_services().any(|name| name == service.name)
    }

    /// The spec names it no more, and it does not select these pods: it stays where it is until it can be let go.
    pub fn stays_behind(&self, service: &Service, rs: &ReplicaSet) -> bool {
        !self.is_named(service) && !service.missing_labels(rs).is_empty()
    }

    /// The Services that the spec names to carry production, as far as they exist; the first one first.
    pub fn active_services(&self) -> impl Iterator<Item = &Service> {
        self.rollout.spec.blue_green().active_services().filter_map(|name| self.services.get(name))
    }
}

/// A rollout, without its template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// `metadata.labels`; for choosing who is told of it.
    pub labels: BTreeMap<String, String>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Creation time.
    pub created: Timestamp,
    /// Since when it is being deleted, if it is.
    pub deleting_since: Option<Timestamp>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// Value of the annotation `greenlight.dev/request`.
    pub request: Option<String>,
    /// The spec; its template is empty.
    pub spec: BlueGreenRolloutSpec,
    /// What decisions need of the template; that of the workload, if it comes from one.
    pub template: Template,
    /// The status that was last written, if there is one.
    pub status: Option<BlueGreenRolloutStatus>,
}

impl Rollout {
    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deleting_since.is_some()
    }

    /// The record as it is written, if there is one.
    pub fn record(&self) -> Option<&Decisions> {
        self.status.as_ref()?.decisions.as_ref()
    }

    /// Whether a Service is this rollout's to look after: the spec names it, or it carries its mark still. The mark is a name, and an earlier
    /// rollout may have had the same: a Service that leads to a revision of which neither the record nor a ReplicaSet tells was left behind
    /// by that one (`--cascade=orphan`), and nobody asked whoever made this one whether they may move it. `has` says whether there is a
    /// ReplicaSet of a hash.
    pub fn looks_after(&self, service: &Service, has: impl Fn(&str) -> bool) -> bool {
        if self.spec.blue_green().services().any(|name| name == service.name) {
            return true;
        }
        let is_known = |hash: &str| has(hash) || self.record().is_some_and(|record| record.revision(hash).is_some());
        let leads_to_ours = match service.selection() {
            Selection::Revision(hash) => is_known(&hash),
            Selection::Both(_) | Selection::Nothing | Selection::Unmanaged => service.production.is_none(),
        };
        service.is_marked_for(&self.name) && (leads_to_ours || service.production.as_deref().is_some_and(is_known))
    }

    /// What keeps this rollout from taking over the ReplicaSet of a hash that an earlier one of its name left behind, if anything does:
    /// a Service that the earlier one moved leads to its pods, and this one does not name that. It would be this one's with the
    /// ReplicaSet, and nobody asked whoever made this one whether they may move it.
    pub fn may_not_adopt<'a>(
        &self,
        hash: &str,
        services: impl IntoIterator<Item = &'a Service>,
    ) -> Option<&'a Service> {
        let is_named = |service: &Service| self.spec.blue_green().services().any(|name| name == service.name);
        let leads_there =
            |service: &Service| service.hash() == Some(hash) || service.production.as_deref() == Some(hash);
        let mut services = services.into_iter();
        services.find(|service| service.is_marked_for(&self.name) && leads_there(service) && !is_named(service))
    }
}

/// A Deployment that a template comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Name.
    pub name: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// What decisions need of its template.
    pub template: Template,
}

/// What decisions need of a pod template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Digest of the template as stored.
    pub digest: Digest,
    /// Labels of its pods, without the hash.
    pub labels: BTreeMap<String, String>,
    /// The first container's image and the version, for messages: the beginning, if they are long. Whoever may edit the template writes it.
    pub image: String,
}

impl From<&PodTemplate> for Template {
    fn from(template: &PodTemplate) -> Template {
        Template { digest: Digest::of(template), labels: template.labels(), image: brief(template.title()) }
    }
}

/// A ReplicaSet of the rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Value of the hash label.
    pub hash: String,
    /// Digest of its template, as its annotation says; empty if somebody removed that.
    pub digest: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Creation time.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// Its annotations of the group `greenlight.dev`.
    pub annotations: BTreeMap<String, String>,
    /// Labels of its pods.
    pub pod_labels: BTreeMap<String, String>,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// The ReplicaSet controller has seen the current spec.
    pub settled: bool,
    /// `status.replicas`.
    pub current: i32,
    /// `status.readyReplicas`, as far as they [stay](ReplicaSet::count_out_what_leaves).
    pub ready: i32,
    /// `status.availableReplicas`, as far as they stay.
    pub available: i32,
    /// `status.fullyLabeledReplicas`: how many of its pods carry all labels of its template.
    pub fully_labeled: i32,
    /// Why pods cannot be created, in the words of the ReplicaSet controller.
    pub failure: Option<String>,
    /// These facts come from an answer of the API server within this very reconcile, not from a cache.
    pub fresh: bool,
}

impl ReplicaSet {
    /// The revision number that its annotation shows; 0 if it has none.
    pub fn shown_number(&self) -> i64 {
        self.annotation(names::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// When it was last claimed for the active Services. Anybody may write this: it is for display, and for being careful.
    pub fn claimed_at(&self) -> Option<Timestamp> {
        self.timestamp(names::PROMOTED_AT)
    }

    /// The mirror of its rejection. A value that does not parse still counts as one.
    pub fn mirrored_rejection(&self) -> Option<Rejection> {
        let value = self.annotation(names::REJECTED)?;
        let unreadable = || Rejection {
            by: "unknown".into(),
            at: self.created,
            reason: format!("the annotation {} is not readable", names::REJECTED),
            to: None,
            of_attempt: false,
        };
        Some(mirror_of(serde_json::from_str(value).unwrap_or_else(|_| unreadable())))
    }

    /// It carries the scale-down finalizer or a deadline, readable or not: it is the scale-down controller's.
    pub fn is_retired(&self) -> bool {
        self.has_scale_down_finalizer() || self.annotation(names::SCALE_DOWN_AT).is_some()
    }

    /// It carries the scale-down finalizer.
    pub fn has_scale_down_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == names::SCALE_DOWN_FINALIZER)
    }

    /// When it is to be scaled down; `None` also if the deadline does not parse.
    pub fn scale_down_at(&self) -> Option<Timestamp> {
        self.timestamp(names::SCALE_DOWN_AT)
    }

    /// When its size was last changed by the operator.
    pub fn scaled_at(&self) -> Timestamp {
        self.timestamp(names::SCALED_AT).unwrap_or(self.created)
    }

    /// The same, as far as it can be told: by a clock that is a little ahead it is now. What is further in the future (anybody may have written it)
    /// says nothing: it would be now at every look until then.
    pub fn scaled_by(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.scaled_at()).filter(|at| *at <= later(now, AHEAD)).map(|at| at.min(now))
    }

    /// The rollout's `replicas` that it was last meant to serve, as its annotation says.
    pub fn shown_replicas(&self) -> i32 {
        self.annotation(names::DESIRED_REPLICAS).and_then(|number| number.parse().ok()).unwrap_or(self.replicas)
    }

    /// All of `wanted` pods are available, and the ReplicaSet controller has seen that so many are wanted.
    pub fn is_available(&self, wanted: i32) -> bool {
        self.settled && self.replicas >= wanted && self.available >= wanted
    }

    /// Its controller has not counted out all pods that were taken from it when it was made smaller: some that it counts as available may be on their way
    /// out. Where it says why it cannot delete them, they are not; what it says of an older size is about pods that it could not make.
    pub fn is_shrinking(&self) -> bool {
        let cannot_delete = self.settled && self.failure.is_some();
        self.current > self.replicas && !cannot_delete
    }

    /// Takes those of its pods that are on their way out from what its status counts as ready and as available. Its controller takes those that are not ready
    /// first. Which of the others go it decides: it may be any of them.
    pub fn count_out_what_leaves(&mut self) {
        if self.is_shrinking() {
            let leaving = self.ready.saturating_sub(self.replicas).max(0);
            for count in [&mut self.ready, &mut self.available] {
                *count = count.saturating_sub(leaving).max(0);
            }
        }
    }

    /// The controllers of Kubernetes have seen the labels of its template on all its pods: that of ReplicaSets counts them in the same cache
    /// in which that of EndpointSlices looks for what a Service selects.
    pub fn are_labels_seen(&self) -> bool {
        self.settled && self.fully_labeled >= self.current
    }

    /// It has pods, or should have some.
    pub fn has_pods(&self) -> bool {
        self.replicas > 0 || self.current > 0
    }

    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// The time in one of its annotations; `None` also if it does not parse.
    pub fn timestamp(&self, key: &str) -> Option<Timestamp> {
        self.annotation(key)?.parse().ok()
    }
}

/// A Service that the rollout names, or that carries its mark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Name.
    pub name: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// It is being deleted.
    pub deleting: bool,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// The rollout that last moved it ([`names::MANAGED_BY`]).
    pub managed_by: Option<String>,
    /// The revision that the operator last gave it as production ([`names::PRODUCTION`]); `None` if it never carried that.
    pub production: Option<String>,
    /// The field manager that wrote the selector last, if it was not the operator.
    pub moved_by: Option<String>,
    /// The claims that nobody follows any more ([`names::WITHDRAWN`]).
    pub withdrawn: Option<String>,
    /// The rejections that its last move carries ([`names::REJECTED`]), by the hash of what is rejected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejections: BTreeMap<String, Rejection>,
    /// The Argo Rollout that moves it, as its annotation says ([`names::MANAGED_BY_ARGO`]); `None` if that is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argo_rollout: Option<String>,
    /// This state is the answer to a write of this very operator process, and not what a watch brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
}

/// What a Service selects, of the revisions of a rollout. Read here, and written by the action `SelectRevision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The pods of the revision with this hash.
    Revision(String),
    /// The pods of both revisions that serve while one takes over from the other (`switchMode: Overlap`), by this value of the label.
    Both(String),
    /// No pod at all.
    Nothing,
    /// All pods that carry its own labels: nothing of the selector is ours.
    Unmanaged,
}

impl Service {
    /// What it selects.
    pub fn selection(&self) -> Selection {
        match self.hash() {
            Some(names::NO_HASH) => Selection::Nothing,
            Some(hash) => Selection::Revision(hash.to_owned()),
            None => match self.selector.get(names::SERVING_LABEL) {
                Some(label) => Selection::Both(label.clone()),
                None => Selection::Unmanaged,
            },
        }
    }

    /// It selects two revisions at once.
    pub fn is_overlapping(&self) -> bool {
        matches!(self.selection(), Selection::Both(_))
    }

    /// Who moved it by hand, as a record may name them. A field manager is a tool, and whoever uses one gives it the name that they like: it is not to
    /// be taken for a person's.
    pub fn moved_by_hand(&self) -> Option<String> {
        self.moved_by.as_ref().map(|manager| format!("field manager {manager:?}"))
    }

    /// The value of the hash label in its selector.
    pub fn hash(&self) -> Option<&str> {
        self.selector.get(names::HASH_LABEL).map(String::as_str)
    }

    /// This rollout moved it.
    pub fn is_marked_for(&self, rollout: &str) -> bool {
        self.managed_by.as_deref() == Some(rollout)
    }

    /// The labels that it selects and the pods of a ReplicaSet do not carry: it would have no endpoints there.
    pub fn missing_labels(&self, rs: &ReplicaSet) -> Vec<String> {
        self.lacking(&rs.pod_labels)
    }

    /// What it selects, and these labels are not.
    pub fn lacking(&self, labels: &BTreeMap<String, String>) -> Vec<String> {
        let missing = self.own_selector().filter(|(key, value)| labels.get(*key).map(String::as_str) != Some(value));
        missing.map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// It leads to the pods of a ReplicaSet. One without a selector leads to none by itself.
    pub fn selects(&self, rs: &ReplicaSet) -> bool {
        if self.selector.is_empty() || !self.missing_labels(rs).is_empty() {
            return false;
        }
        match self.selection() {
            Selection::Revision(hash) => hash == rs.hash,
            Selection::Both(label) => {
                let noted = rs.annotation(names::ROLE_METADATA).is_some_and(|it| it.contains(names::SERVING_LABEL));
                noted || rs.pod_labels.get(names::SERVING_LABEL) == Some(&label)
            }
            // It lost the hash, or has none yet: until it has one it leads to all that carry its own labels.
            Selection::Unmanaged => true,
            Selection::Nothing => false,
        }
    }

    /// As it is when everything of ours is out of its selector.
    pub fn without_hash(&self) -> Service {
        let selector = self.own_selector().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Service { selector, ..self.clone() }
    }

    /// What its owner wrote into the selector, without what we did.
    pub fn own_selector(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = [names::HASH_LABEL, names::SERVING_LABEL];
        let theirs = self.selector.iter().filter(move |(key, _)| !ours.contains(&key.as_str()));
        theirs.map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A rejection as it is written to a ReplicaSet or a Service, and read from there. What opens a way back stands in the record alone: others may
/// write these.
pub fn mirror_of(rejection: Rejection) -> Rejection {
    let Rejection { by, at, reason, to, .. } = rejection;
    Rejection { by: brief(by), at, reason: brief(reason), to, of_attempt: false }
}

/// Another rollout that names one of the same Services.
#[derive(Clone, Debug, PartialEq)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its creation time.
    pub created: Timestamp,
    /// The Services that it names.
    pub services: Vec<String>,
}

/// An endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod that it leads to; empty if it is none.
    pub pod: String,
    /// It gets traffic.
    pub ready: bool,
}

/// The pods that ready endpoints lead to, as often as they do.
pub fn ready_pods(endpoints: &[Endpoint]) -> impl Iterator<Item = &str> {
    let ready = endpoints.iter().filter(|endpoint| endpoint.ready && !endpoint.pod.is_empty());
    ready.map(|endpoint| endpoint.pod.as_str())
}

/// A pod of a ReplicaSet that does not become available, or whose pods are being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Creation time.
    pub created: Timestamp,
    /// It is being deleted.
    pub deleting: bool,
    /// It has ended (`Failed`, `Succeeded`): only the object is left, until somebody deletes that.
    pub over: bool,
    /// It is ready.
    pub ready: bool,
    /// Value of `controller.kubernetes.io/pod-deletion-cost`; the cheapest goes first.
    pub deletion_cost: i32,
    /// Why it is not, in one word (`ImagePullBackOff`, `Unschedulable`), if it says so.
    pub reason: String,
    /// More words to it, possibly none.
    pub message: String,
}

impl Pod {
    /// The controller of ReplicaSets counts it, and makes no other one in its place.
    pub fn counts(&self) -> bool {
        !self.deleting && !self.over
    }
}

/// An analysis run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name.
    pub name: String,
    /// Outcome so far.
    pub phase: AnalysisPhase,
    /// Why, or how far it is.
    pub message: String,
    /// When it was made, by the API server's clock.
    pub created: Option<Timestamp>,
    /// When it was over.
    pub completed_at: Option<Timestamp>,
    /// It was asked to stop.
    pub terminating: bool,
}

/// A template that the API server refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Digest of the template.
    pub digest: String,
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}

/// A write that the API server refused, an eviction that a PodDisruptionBudget does not allow, or an analysis that could not begin: and
/// would be again until something changes.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedWrite {
    /// Kind and name of the object.
    pub target: String,
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}

impl RefusedWrite {
    /// A pod was to go, and a PodDisruptionBudget has its say: that is no fault.
    pub fn is_eviction(&self) -> bool {
        self.target.starts_with("Pod ")
    }
}

//! What must hold at every write, kept in a book of its own: it knows who asked for what, what was rejected and what served from
//! what people did and what the API server has, and believes the core only where the core says no.

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{
    AnalysisPhase, BlueGreenRolloutSpec, BlueGreenRolloutStatus, Decisions, PodTemplate, Request, Verb,
    WorkloadScaleDown, names,
};
use greenlight_core::events::Event;
use greenlight_core::hash::is_pod_of;
use greenlight_core::world::{Endpoint, Pod, ReplicaSet, Rollout, Selection, Service, Template};
use greenlight_core::{Action, Change, Plan, World};
use jiff::Timestamp;

use super::ARGOS_HASH;
use super::pods::{carries_label, selects};

/// The endpoints of Services, by name.
type Endpoints = BTreeMap<String, Vec<Endpoint>>;

/// The book.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// How many people have to ask for a promotion; 0 where it needs nobody.
    needed: usize,
    /// Each revision is measured before its promotion.
    measures: bool,
    /// The hash that the operator gave production last, or that the status says serves.
    serving: Option<String>,
    /// What provably served, the last one last: hash and UID.
    served: Vec<(String, String)>,
    /// Digests that were rejected, and not asked for anew.
    rejected: BTreeSet<String>,
    /// Digests of what served, and was given up by the operator when it was to do so again: production may only go back to it.
    given_up: BTreeSet<String>,
    /// Who asked for the promotion of a hash, with the value of the request.
    promoters: BTreeMap<String, Vec<(Request, String)>>,
    /// Names of the runs that were good.
    good_runs: BTreeSet<String>,
    /// The hashes whose rejection the move carries that is checked.
    carried: BTreeSet<String>,
    /// What persons pointed the Service at.
    by_hand: BTreeSet<String>,
    /// Digest that the spec asked for when a status was last published.
    seen: Option<String>,
    /// Digests of the ReplicaSets that were created, by hash.
    created: BTreeMap<String, String>,
    /// Something was lost: the status, or the place of production.
    lost: bool,
    /// The spec has asked for no pods at some time.
    zero: bool,
    /// Whoever writes now has slept between the answer to its claim and the move: what it was answered may be so no more.
    pub asleep: bool,
    /// All events that were recorded.
    pub events: Vec<Event>,
    announced: BTreeSet<(String, Timestamp)>,
}

impl Ledger {
    /// An empty book. The gate stays as this spec has it.
    pub fn new(spec: &BlueGreenRolloutSpec) -> Ledger {
        let blue_green = spec.blue_green();
        let timed = blue_green.auto_promotion_seconds.unwrap_or(0) > 0;
        let manual = !blue_green.auto_promotion_enabled() && !timed || blue_green.required_approvals() > 1;
        Ledger {
            needed: if manual { blue_green.required_approvals() } else { 0 },
            measures: blue_green.pre_promotion_analysis.is_some(),
            serving: None,
            served: Vec::new(),
            rejected: BTreeSet::new(),
            given_up: BTreeSet::new(),
            promoters: BTreeMap::new(),
            good_runs: BTreeSet::new(),
            carried: BTreeSet::new(),
            by_hand: BTreeSet::new(),
            seen: None,
            created: BTreeMap::new(),
            lost: false,
            zero: false,
            asleep: false,
            events: Vec::new(),
            announced: BTreeSet::new(),
        }
    }

    /// Somebody asked for something.
    pub fn asked(&mut self, request: &Request) {
        if matches!(request.action, Verb::Promote | Verb::PromoteFull) {
            let promoters = self.promoters.entry(request.revision.clone()).or_default();
            promoters.push((request.clone(), request.to_value()));
        }
    }

    /// A run ended well.
    pub fn measured(&mut self, run: &str) {
        self.good_runs.insert(run.to_owned());
    }

    /// A person points production at this.
    pub fn pointed_by_hand(&mut self, hash: &str) {
        self.by_hand.insert(hash.to_owned());
    }

    /// The status was lost. What served before is not believed any more; what was rejected is, by its mirror.
    pub fn status_wiped(&mut self, truth: &World) {
        self.lost |= self.serving.is_some();
        self.seen = None;
        self.served.retain(|(hash, _)| Some(hash) == self.serving.as_ref());
        let mirrored: BTreeSet<&str> = truth
            .existing()
            .filter(|rs| rs.mirrored_rejection().is_some())
            .filter_map(|rs| self.created.get(&rs.hash).map(String::as_str))
            .collect();
        self.rejected.retain(|digest| mirrored.contains(digest.as_str()));
    }

    /// Somebody restored an older status: what was decided since may be forgotten.
    pub fn status_restored(&mut self, status: &BlueGreenRolloutStatus) {
        self.lost = true;
        self.seen = None;
        let known = |digest: &String| {
            status.decisions.as_ref().is_some_and(|record| record.rejection_of_template(digest).is_some())
        };
        self.rejected.retain(known);
    }

    /// A status is published: what it says is checked against what is so, and what it decides goes into the book.
    pub fn published(&mut self, seen: &Rollout, truth: &World, plan: &Plan, endpoints: Option<&Endpoints>) {
        let status = &plan.status;
        let decisions = status.decisions.as_ref().expect("a status has a record");
        self.zero |= seen.spec.replicas() == 0;
        let digest = seen.template.digest.as_str();
        // Without its Deployment nobody asks for another one.
        let is_unknown = seen.template == Template::from(&PodTemplate::default());
        if !is_unknown && self.seen.as_deref().is_some_and(|before| before != digest) {
            self.start_over(digest, seen.request.as_deref());
        }
        if !is_unknown {
            self.seen = Some(digest.to_owned());
        }
        if let Some(answer) = &status.observed_request {
            if !answer.accepted {
                self.promoters.values_mut().for_each(|requests| requests.retain(|(_, value)| *value != answer.value));
            } else if let Ok(Request { action: Verb::Retry, revision, .. }) = serde_json::from_str(&answer.value) {
                let new = truth.rollout.status.as_ref().and_then(|before| before.observed_request.as_ref());
                if new.is_none_or(|before| before.value != answer.value)
                    && let Some(digest) = self.digest_of(&revision, truth)
                {
                    self.start_over(&digest, None);
                }
            }
        }
        for digest in &self.rejected {
            let matters = digest == seen.template.digest.as_str()
                || truth.existing().any(|rs| self.created.get(&rs.hash) == Some(digest));
            let kept = decisions.revisions.iter().any(|known| known.digest == *digest && known.rejection.is_some());
            assert!(kept || !matters, "a rejection was forgotten: {digest}, {decisions:?}");
        }
        for revision in &decisions.revisions {
            let Some(rejection) = &revision.rejection else { continue };
            let has_served = self.served.contains(&(revision.hash.clone(), revision.uid.clone()));
            let waited = has_served && self.serving.as_deref() != Some(&revision.hash);
            let known = self.rejected.contains(&revision.digest) || self.given_up.contains(&revision.digest);
            if !known {
                let given_up = waited && rejection.by == names::FIELD_MANAGER;
                let book = if given_up { &mut self.given_up } else { &mut self.rejected };
                book.insert(revision.digest.clone());
                self.promoters.remove(&revision.hash);
            }
        }
        let before = truth.rollout.status.as_ref().and_then(|status| status.switch.as_ref());
        if let Some(switch) = status.switch.as_ref().filter(|switch| switch.proven_at.is_some())
            && before.is_none_or(|before| before.to != switch.to || before.proven_at != switch.proven_at)
        {
            let rs = truth.replica_sets.iter().find(|rs| rs.hash == switch.to);
            if let (Some(rs), Some(endpoints)) = (rs, endpoints) {
                let wanted = enough_without_room(truth, decisions, rs).unwrap_or(decisions.replicas);
                check_proof(truth, seen, rs, endpoints, wanted);
            }
            if let Some(rs) = rs {
                let served = (rs.hash.clone(), rs.uid.clone());
                self.served.retain(|known| *known != served);
                self.served.push(served);
            }
        }
        self.serving = Some(decisions.serving.clone()).filter(|serving| !serving.is_empty());
        if let Some(serving) = decisions.revision(&decisions.serving) {
            self.given_up.remove(&serving.digest);
        }
        self.record(plan);
    }

    /// No switch is announced twice.
    fn record(&mut self, plan: &Plan) {
        for event in &plan.events {
            if matches!(event.reason, "Promoted" | "RolledBack")
                && let Some(switch) = &plan.status.switch
            {
                let new = self.announced.insert((switch.to.clone(), switch.switched_at));
                assert!(new || self.lost, "announced twice: {event:?}");
            }
            self.events.push(event.clone());
        }
    }

    /// A template is asked for anew, or started over. The request that is seen together with it may have come after it.
    fn start_over(&mut self, digest: &str, together: Option<&str>) {
        self.rejected.remove(digest);
        self.given_up.remove(digest);
        for (hash, created) in &self.created {
            if created == digest
                && let Some(requests) = self.promoters.get_mut(hash)
            {
                requests.retain(|(_, value)| Some(value.as_str()) == together);
            }
        }
    }

    fn digest_of(&self, hash: &str, truth: &World) -> Option<String> {
        let recorded = || {
            let decisions = truth.rollout.status.as_ref()?.decisions.as_ref()?;
            decisions.revision(hash).map(|revision| revision.digest.clone())
        };
        self.created.get(hash).cloned().or_else(recorded)
    }

    /// Checks a write of the operator: the API server had `before`, and the operator had seen `seen`.
    pub fn check(&mut self, before: &World, seen: &World, action: &Action, endpoints_are_old: bool, now: Timestamp) {
        match action {
            Action::CreateReplicaSet { hash, digest, event, .. } => {
                self.created.insert(hash.clone(), digest.clone());
                self.events.push(event.clone());
                assert!(!self.rejected.contains(digest), "a rejected template gets a ReplicaSet");
            }
            Action::SelectRevision { name, selection, production, rejections, event, .. } => {
                self.events.extend(event.clone());
                self.carried = rejections.keys().cloned().collect();
                self.check_selection(before, seen, name, selection, production.as_deref(), now);
            }
            Action::ChangeReplicaSet { name, change, .. } => {
                let rs = before.replica_sets.iter().find(|rs| rs.name == *name).expect("it was changed");
                self.zero |= seen.rollout.spec.replicas() == 0;
                self.check_change(before, rs, change, endpoints_are_old);
            }
            Action::DeleteReplicaSet { name, .. } => {
                let rs = before.replica_sets.iter().find(|rs| rs.name == *name).expect("it was deleted");
                self.check_deletion(before, rs);
            }
            Action::EvictPod { hash, name, .. } => {
                let rs = before.replica_sets.iter().find(|rs| rs.hash == *hash).expect("it has a pod");
                let pod = before.pods[hash].iter().find(|pod| pod.name == *name).expect("it was evicted");
                let serves = production(before).any(|service| selects(service, rs));
                let others = rs.available - i32::from(pod.ready);
                let enough = others >= (rs.replicas - 1).min(self.wanted(before, seen, rs));
                assert!(!serves || !pod.ready || enough || self.asleep, "a restart takes too many pods: {rs:?}");
            }
            Action::AddFinalizer
            | Action::WithdrawClaims { .. }
            | Action::RemoveMarks { .. }
            | Action::RemoveFinalizer
            | Action::CompleteRequest { .. }
            | Action::ChangePodMetadata { .. }
            | Action::ScaleWorkload { .. }
            | Action::StartAnalysis { .. }
            | Action::StopAnalysis { .. } => {}
        }
    }

    fn check_selection(
        &mut self,
        before: &World,
        seen: &World,
        name: &str,
        selection: &Selection,
        given: Option<&str>,
        now: Timestamp,
    ) {
        let service = &before.services[name];
        let rivals = before.rivals.iter().filter(|rival| seen.rivals.contains(rival));
        let owner = rivals.filter(|rival| rival.services.iter().any(|named| named == name)).find(|rival| {
            service.managed_by.as_ref() == Some(&rival.name)
                || service.managed_by.is_none() && rival.created < before.rollout.created
        });
        assert!(owner.is_none(), "a Service is taken from {owner:?}: {service:?}");
        let is_known = |hash: &str| {
            hash == names::NO_HASH
                || self.created.contains_key(hash)
                || before.replica_sets.iter().any(|rs| rs.hash == hash)
        };
        let is_marked = service.managed_by.as_ref() == Some(&before.rollout.name);
        let is_ours = is_marked && service.hash().is_none_or(is_known);
        assert!(service.argo_rollout.is_none() || is_ours, "a Service is taken from an Argo Rollout: {service:?}");
        let named = seen.rollout.spec.blue_green().services().any(|named| named == name);
        match (selection, given) {
            (Selection::Revision(hash), Some(given)) => {
                assert_eq!(hash, given);
                if self.asleep {
                    // Only the Service's resourceVersion protects here: see the story of the operator that slept.
                    return;
                }
                self.check_move(before, seen, service, hash, now);
                if seen.rollout.spec.blue_green().active_service.as_deref() == Some(name) {
                    self.serving = Some(hash.clone());
                }
            }
            (Selection::Both(_), Some(given)) => {
                if self.asleep {
                    return;
                }
                let rs = existing(before, given);
                assert!(rs.settled && rs.available >= rs.replicas, "an unavailable revision is to serve too: {rs:?}");
                self.check_gate(before, seen, rs);
                let served = before.replica_sets.iter().filter(|rs| service.hash() == Some(&rs.hash));
                for rs in served.chain([rs]) {
                    assert!(carries_label(rs), "without the label it serves no more: {rs:?}");
                }
            }
            (Selection::Nothing | Selection::Unmanaged, Some(_)) => {
                panic!("production is pointed at nothing: {service:?}")
            }
            (Selection::Unmanaged, None) if before.rollout.is_deleting() => {}
            (Selection::Unmanaged, None) => {
                assert!(!named, "a Service that the spec names is let go: {service:?}");
                let mut after = service.clone();
                after.selector.remove(names::HASH_LABEL);
                after.selector.remove(names::SERVING_LABEL);
                let reached = before.replica_sets.iter().filter(|rs| rs.current > 0 && selects(&after, rs)).count();
                assert!(service.production.is_none() || reached < 2, "production is mixed: {service:?}");
            }
            (selection, None) => {
                assert!(service.production.is_none(), "what carried production shows a preview: {service:?}");
                let active = seen.rollout.spec.blue_green().active_services().any(|active| active == name);
                assert!(!active, "what the spec calls active shows a preview: {service:?}");
                // A preview is shown from the cache, so what a person has just deleted may be shown for a moment.
                if let Selection::Revision(hash) = selection
                    && let Some(rs) = existing_hash(before, hash)
                {
                    let serves = self.serves(before, hash);
                    let was_up = existing_hash(seen, hash).is_some_and(|rs| rs.available > 0);
                    assert!(serves || was_up || rs.replicas == 0, "the preview shows what is not available: {rs:?}");
                }
            }
        }
    }

    /// Promises 1, 3, 4, 5 and 7 at the very write: the revision that production moves to is there with all its pods, is not about
    /// to go, is reached by the Service, was not rejected, and is what people and the gate have let through.
    fn check_move(&self, before: &World, seen: &World, service: &Service, hash: &str, _now: Timestamp) {
        let rs = existing(before, hash);
        assert!(!rs.deleting && !rs.is_retired(), "production is moved to what is about to go: {rs:?}");
        let missing = service.missing_labels(rs);
        // What it lost it gets back, so that it does not lead to what nobody promoted.
        let lost = service.production.as_deref() == Some(hash) && service.selection() == Selection::Unmanaged;
        let lets_in = lost && before.existing().any(|other| other.hash != hash && service.selects(other));
        assert!(missing.is_empty() || lets_in, "production is moved to what has no {missing:?}: {rs:?}");
        let decided = self.serves(before, hash) || self.by_hand.contains(hash);
        let other = before.existing().find(|other| service.hash() == Some(&other.hash) && other.hash != hash);
        let leaves = other.is_some_and(|other| {
            let rejected = self.created.get(&other.hash).is_some_and(|digest| self.rejected.contains(digest));
            seen.existing().any(|seen| seen.hash == other.hash && seen.available > 0) && !rejected
        });
        // Nothing is lost where nothing served.
        let seen_ready = |hash: &str| existing_hash(seen, hash).is_some_and(|rs| rs.ready > 0 || rs.available > 0);
        let bereft = seen.live && service.hash().is_some_and(|left| !seen_ready(left));
        if (decided || bereft) && !leaves {
            assert!(rs.ready > 0 || rs.replicas == 0 || lets_in, "production is put back on no pods: {rs:?}");
            if !decided {
                self.check_gate(before, seen, rs);
            }
            return;
        }
        // The additional pod of a restart is not waited for.
        let restarts = [names::RESTART_AT, names::EVICTING].iter().any(|note| rs.annotation(note).is_some());
        let additional = i32::from(restarts);
        let enough = before.rollout.record().and_then(|record| enough_without_room(before, record, rs));
        let enough = enough.unwrap_or(rs.replicas - additional);
        let ready = rs.replicas == 0 || rs.settled && rs.available >= enough;
        assert!(ready, "production is moved to an unavailable revision: {rs:?}");
        assert!(rs.replicas >= self.wanted(before, seen, rs), "production is moved to too few pods: {rs:?}");
        if !decided {
            self.check_gate(before, seen, rs);
        }
    }

    fn check_gate(&self, before: &World, seen: &World, rs: &ReplicaSet) {
        let hash = &rs.hash;
        let digest = &self.created[hash];
        assert!(!self.rejected.contains(digest), "production is moved to what was rejected: {rs:?}");
        let leaves_bad = || {
            let decisions = before.rollout.record()?;
            let is_left =
                decisions.rejection(&decisions.serving).is_some() || self.carried.contains(&decisions.serving);
            is_left.then_some(())
        };
        let given_up = self.given_up.contains(digest) && leaves_bad().is_none();
        assert!(!given_up, "production is moved on to what was given up: {rs:?}");
        let served = self.served.contains(&(hash.clone(), rs.uid.clone()));
        if served || self.by_hand.contains(hash) {
            return;
        }
        assert_eq!(*digest, seen.rollout.template.digest.as_str(), "what moves is not what the spec asks for: {rs:?}");
        assert!(seen.rollout.spec.paused != Some(true), "it is promoted although paused: {rs:?}");
        // Status, ReplicaSets and Services were all deleted: nothing is left that could tell that something served.
        let traceless = self.lost && production(before).next().is_none();
        if traceless || self.serving.is_none() && !self.lost {
            return;
        }
        let promoters = self.promoters.get(hash).map(Vec::as_slice).unwrap_or_default();
        let people: BTreeSet<&str> = promoters.iter().map(|(request, _)| request.by.as_str()).collect();
        assert!(people.len() >= self.needed, "nobody approved of {rs:?}: {promoters:?}");
        let of_this = |run: &str| run.starts_with(&rs.name) && run.ends_with("-pre");
        let good = self.good_runs.iter().any(|run| of_this(run));
        let inconclusive = || {
            let mut runs = before.runs.iter().filter(|run| of_this(&run.name));
            runs.any(|run| run.phase == AnalysisPhase::Inconclusive) && !promoters.is_empty()
        };
        let full = promoters.iter().any(|(request, _)| request.action == Verb::PromoteFull);
        let home_is_gone = existing_hash(before, self.serving.as_deref().unwrap_or_default()).is_none();
        let exempt = full || inconclusive() || home_is_gone;
        assert!(!self.measures || good || exempt, "nobody measured {rs:?}");
    }

    /// Pods that production is to have with this revision.
    fn wanted(&self, before: &World, seen: &World, rs: &ReplicaSet) -> i32 {
        let spec = seen.rollout.spec.replicas();
        let status = before.rollout.status.as_ref().and_then(|status| status.decisions.as_ref());
        let decided = status.map_or(spec, |decisions| decisions.replicas);
        let updated = self.created.get(&rs.hash).is_some_and(|digest| *digest == seen.rollout.template.digest.as_str());
        if updated { spec } else { decided.min(spec) }
    }

    fn serves(&self, before: &World, hash: &str) -> bool {
        let status = before.rollout.status.as_ref().and_then(|status| status.decisions.as_ref());
        self.serving.as_deref() == Some(hash) || status.is_some_and(|decisions| decisions.serving == hash)
    }

    fn check_change(&self, before: &World, rs: &ReplicaSet, change: &Change, endpoints_are_old: bool) {
        let marked = change.annotations.get(names::SCALE_DOWN_AT).is_some_and(Option::is_some);
        let served = self.served.iter().any(|(hash, _)| *hash == rs.hash) || rs.claimed_at().is_some();
        if marked && !rs.is_retired() && served && !endpoints_are_old {
            for service in production(before) {
                let endpoints = before.endpoints.get(&service.name).into_iter().flatten();
                let reached = endpoints.filter(|endpoint| endpoint.ready && is_pod_of(&endpoint.pod, &rs.name)).count();
                assert_eq!(reached, 0, "{} still leads to what is retired: {rs:?}", service.name);
            }
        }
        let selected = production(before).any(|service| service.hash() == Some(&rs.hash));
        let emptied = change.replicas == Some(0) && rs.replicas > 0;
        assert!(!emptied || !selected || self.zero, "production loses its pods: {rs:?}");
    }

    /// A Deployment keeps its pods as long as production reaches them; or as many of ours stand in for them, where the spec says so.
    pub fn check_workload(&self, before: &World, seen: &World, replicas: i32, is_old: bool) {
        let (Some(workload), Some(named)) = (&before.workload, &seen.rollout.spec.workload_ref) else { return };
        let mode = named.scale_down.unwrap_or_default();
        assert_ne!(mode, WorkloadScaleDown::Never, "a Deployment is scaled that is to be left alone");
        let endpoints = before.active_services().filter_map(|service| before.endpoints.get(&service.name)).flatten();
        let reached = endpoints.filter(|endpoint| endpoint.ready && endpoint.pod.starts_with("app-")).count();
        if is_old || self.asleep || reached == 0 || replicas >= workload.replicas {
            return;
        }
        let ours = seen.existing().map(|rs| rs.available).max().unwrap_or(0);
        let enough = replicas > 0 && ours + replicas >= workload.replicas.min(seen.rollout.spec.replicas());
        let stands_in = mode == WorkloadScaleDown::Progressively && enough;
        assert!(stands_in, "a Deployment is scaled to {replicas}, and production reaches {reached} of {workload:?}");
    }

    /// No pods are taken from what a Service selects.
    pub fn check_scale_down(&self, before: &World, name: &str) {
        let rs = before.replica_sets.iter().find(|rs| rs.name == *name).expect("it was changed");
        let leads_there =
            |service: &&Service| service.hash() == Some(&rs.hash) && service.missing_labels(rs).is_empty();
        let by = production(before).find(leads_there);
        assert!(by.is_none() || before.rollout.is_deleting(), "pods are taken from what {by:?} selects: {rs:?}");
    }

    fn check_deletion(&self, before: &World, rs: &ReplicaSet) {
        assert_eq!(rs.replicas, 0, "a ReplicaSet with pods is deleted");
        let by = production(before).find(|service| service.hash() == Some(&rs.hash));
        assert!(by.is_none(), "what {by:?} selects is deleted: {rs:?}");
        let good = |known: &&(String, String)| {
            let (hash, uid) = known;
            let exists = existing_hash(before, hash).is_some_and(|rs| rs.uid == *uid);
            let rejected = self.created.get(hash).is_some_and(|digest| self.rejected.contains(digest));
            exists && !rejected && Some(hash) != self.serving.as_ref()
        };
        let last = self.served.iter().rev().find(good);
        let is_last = last.is_some_and(|(hash, _)| *hash == rs.hash);
        assert!(!is_last, "the last revision that served is deleted: {rs:?}");
    }
}

/// Promise 2: every ready endpoint is a pod of the revision, and there are enough pods. An additional Service that cannot follow leads to none
/// of this rollout's pods.
fn check_proof(truth: &World, seen: &Rollout, rs: &ReplicaSet, endpoints: &Endpoints, wanted: i32) {
    let blue_green = seen.spec.blue_green();
    let exists =
        |name: &&str| truth.services.contains_key(*name) || blue_green.active_service.as_deref() == Some(*name);
    for name in blue_green.active_services().filter(exists) {
        let endpoints = endpoints.get(name).into_iter().flatten();
        let ready = endpoints.filter(|endpoint| endpoint.ready && !endpoint.pod.is_empty());
        let (ours, others): (BTreeSet<&str>, BTreeSet<&str>) =
            ready.map(|endpoint| endpoint.pod.as_str()).partition(|pod| is_pod_of(pod, &rs.name));
        let is_rivals = truth.rivals.iter().any(|rival| rival.services.iter().any(|service| service == name));
        let service = truth.services.get(name);
        let misfits = service
            .is_some_and(|service| service.own_selector().next().is_none() || !service.missing_labels(rs).is_empty());
        // It may have been let go a moment ago.
        let is_argos = service.is_some_and(|it| it.argo_rollout.is_some() || it.hash() == Some(ARGOS_HASH));
        if blue_green.active_service.as_deref() != Some(name) && (is_rivals || is_argos || misfits) {
            let is_ours = |pod: &&str| truth.replica_sets.iter().any(|rs| is_pod_of(pod, &rs.name));
            assert!(!others.iter().any(is_ours), "it counts as proven, and {name} still leads to {others:?}");
            continue;
        }
        assert!(others.is_empty(), "it counts as proven, and {name} still leads to {others:?}");
        let enough = usize::try_from(wanted).expect("not negative");
        assert!(ours.len() >= enough, "it counts as proven, and {name} leads to {ours:?} of {wanted}");
    }
}

/// Where more pods have no room: as many as it served with, and no more than production is to have.
fn enough_without_room(truth: &World, decisions: &Decisions, rs: &ReplicaSet) -> Option<i32> {
    let is_pending = |pod: &Pod| !pod.ready && pod.reason == "Unschedulable";
    let has_no_room = rs.failure.is_some() || truth.pods.get(&rs.hash).into_iter().flatten().any(is_pending);
    let served_with = decisions.revision(&rs.hash).map_or(0, |record| record.served_with);
    (has_no_room && served_with > 0).then(|| served_with.min(decisions.replicas))
}

fn existing<'a>(world: &'a World, hash: &str) -> &'a ReplicaSet {
    existing_hash(world, hash).unwrap_or_else(|| panic!("a Service is pointed at {hash}, which does not exist"))
}

fn existing_hash<'a>(world: &'a World, hash: &str) -> Option<&'a ReplicaSet> {
    world.replica_sets.iter().find(|rs| rs.hash == hash)
}

/// The Services that carry production.
fn production(world: &World) -> impl Iterator<Item = &Service> {
    world.services.values().filter(|service| service.production.is_some())
}

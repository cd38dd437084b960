//! From the world to a plan.

use std::collections::BTreeMap;

use greenlight_api::{BlueGreenRolloutStatus, PodMetadata, Progress, Rejection, names};
use jiff::Timestamp;

use crate::actions::{Action, Change, Plan, Watches};
use crate::analysis::{self, Kind, Outcome};
use crate::gate::{self, Gate};
use crate::request::{self, Asked};
use crate::restart::Restart;
use crate::scale::{self, Size};
use crate::stall::Stall;
use crate::status::{self, Findings};
use crate::switch::{self, Proof};
use crate::target::{self, Target};
use crate::world::{ReplicaSet, World};
use crate::{
    events, hash, history, leave, metadata, overlap, pods, progress, restart, retire, rollback, stall, workload,
};

/// Decides what to do next. Pure: the same world at the same time gives the same plan.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    if world.rollout.deleting {
        return idle_plan(leave::actions(world), world);
    }
    let asked = target::asked(world);
    let standing = asked.and_then(ReplicaSet::rejection);
    let before = Target::read(world, asked, standing.clone());
    let request = request::read(world, asked, before.active, now);
    let rejection = if request.retry {
        None
    } else {
        let by_itself = || {
            gave_up(world, &before, &request, now)
                .or_else(|| rollback::due(world, &before, now))
                .or_else(|| analysis::rejection(world, &before, &request, now))
        };
        request.reject.clone().or(standing).or_else(by_itself)
    };
    let target = Target::read(world, asked, rejection);
    let round = Round::new(world, &target, &request, now);

    // Each step waits for the one before: after its actions the world is observed again.
    let steps: [&dyn Fn() -> Vec<Action>; 10] = [
        &|| round.note_decisions(),
        &|| round.create(),
        &|| round.shape_wanted_sets(),
        &|| round.move_preview(),
        &|| round.analyse(),
        &|| round.move_active(),
        &|| round.change_pod_metadata(),
        &|| round.restart(),
        &|| round.retire_and_prune(),
        &|| workload::scale(world, &target, &round.proof).into_iter().collect(),
    ];
    let actions = steps.into_iter().map(|step| step()).find(|actions| !actions.is_empty()).unwrap_or_default();
    round.conclude(actions)
}

/// A plan without a status to publish.
fn idle_plan(actions: Vec<Action>, world: &World) -> Plan {
    Plan {
        actions,
        status: world.rollout.status.clone().unwrap_or_default(),
        events: Vec::new(),
        publish_at: None,
        watches: Watches::default(),
        next: None,
    }
}

/// `progressDeadlineAbort`: the rejection of a candidate that made no progress, if there is something to go back to.
fn gave_up(world: &World, target: &Target, request: &Asked, now: Timestamp) -> Option<Rejection> {
    if world.rollout.spec.progress_deadline_abort != Some(true) {
        return None;
    }
    let candidate = target.candidate()?;
    target::fallback(world, candidate, target.active, None)?;
    let gate = gate::check(world, target, candidate, request, now);
    let size = scale::candidate(world, target, candidate, gate.is_open());
    if candidate.replicas == size.replicas && candidate.is_available(size.replicas) {
        return None;
    }
    let progress = progress::read(world.rollout.status.as_ref(), candidate, now);
    if now < progress::deadline(world, &progress) {
        return None;
    }
    let seconds = world.rollout.spec.progress_deadline_seconds();
    let cause = pods::cause(world, candidate).map(|cause| format!(" ({cause})")).unwrap_or_default();
    let reason = format!("no progress for {seconds} s{cause}");
    Some(Rejection { by: names::FIELD_MANAGER.to_owned(), at: now, reason, to: None })
}

/// One round of planning, with what its steps share.
struct Round<'a> {
    world: &'a World,
    target: &'a Target<'a>,
    request: &'a Asked,
    now: Timestamp,
    gate: Option<Gate>,
    /// What the candidate should have.
    candidate_size: Option<Size>,
    proof: Proof,
    stall: Option<Stall>,
}

impl<'a> Round<'a> {
    fn new(world: &'a World, target: &'a Target<'a>, request: &'a Asked, now: Timestamp) -> Round<'a> {
        let candidate = target.candidate();
        let gate = candidate.map(|candidate| gate::check(world, target, candidate, request, now));
        let open = gate.as_ref().is_some_and(Gate::is_open);
        let candidate_size = candidate.map(|candidate| scale::candidate(world, target, candidate, open));
        let proof = switch::proof(world, target, now);
        Round {
            world,
            target,
            request,
            now,
            gate,
            candidate_size,
            proof,
            stall: stall::workload(world).or_else(|| stall::services(world)),
        }
    }

    /// What protects and what was decided, before anything is done about it.
    fn note_decisions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.world.rollout.finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER) {
            actions.push(Action::HoldServices);
        }
        if let Some(request) = &self.request.completed {
            actions.push(Action::CompleteRequest { value: request.to_value() });
        }
        for set in target::living(self.world) {
            let mut change = Change::default();
            if !self.target.is_asked(set) {
                change.unset(set, names::REJECTED);
            } else {
                match &self.target.rejection {
                    Some(rejection) if set.rejection().as_ref() != Some(rejection) => {
                        let value = serde_json::to_string(rejection).expect("a rejection has only strings in it");
                        change.set(names::REJECTED, value);
                    }
                    Some(_) => {}
                    None => self.asked_for_again(set, &mut change),
                }
                if set.digest.is_empty() {
                    change.set(names::TEMPLATE_DIGEST, &self.world.rollout.template.digest);
                }
            }
            if let Some(approval) = self.request.approval.clone().filter(|_| self.target.is_asked(set)) {
                let mut approvals = set.approvals();
                approvals.push(approval);
                change
                    .set(names::APPROVALS, serde_json::to_string(&approvals).expect("they have only strings in them"));
            }
            let accepted = self.request.full || self.accepts_analysis(set);
            if self.target.is_asked(set) && accepted && set.annotation(names::RETURNED).is_none() {
                change.set(names::RETURNED, true);
            }
            if let Some(due) = restart::due(self.world, self.request, self.now)
                && self.serves_or_will(set)
                // First it serves: a pod more would make it wait for that.
                && (self.target.active_selected || self.target.active.is_none())
            {
                restart::note(set, due, &mut change);
            }
            push_change(&mut actions, set, change);
        }
        actions
    }

    /// A person promotes what an analysis could not decide.
    fn accepts_analysis(&self, set: &ReplicaSet) -> bool {
        let kind = if self.target.is_active(set) { Kind::Post } else { Kind::Pre };
        let outcome = |request| analysis::outcome(self.world, self.target, set, kind, request);
        let nobody = Asked::default();
        matches!(outcome(&nobody), Outcome::Inconclusive(_)) && outcome(self.request) == Outcome::Good
    }

    fn serves_or_will(&self, set: &ReplicaSet) -> bool {
        self.target.is_active(set) || self.target.is_desired(set)
    }

    /// The asked-for set gets the highest number when the spec comes back to it or its rejection is taken back, and takes
    /// note of the request that stood by then.
    fn asked_for_again(&self, set: &ReplicaSet, change: &mut Change) {
        let newest = self.world.sets.iter().map(ReplicaSet::revision).max().unwrap_or(0);
        let comes_back = set.revision() < newest || set.revision() == 0;
        if !comes_back && !self.request.retry {
            return;
        }
        if comes_back {
            change.set(names::REVISION, newest + 1);
        }
        change.unset(set, names::REJECTED);
        change.unset(set, names::PREVIEW_READY_AT);
        change.unset(set, names::APPROVALS);
        if self.request.retry {
            let attempt: u32 = set.annotation(names::ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or(0);
            change.set(names::ATTEMPT, attempt + 1);
        }
        match &self.world.rollout.request {
            Some(request) => change.set(names::SEEN_REQUEST, request),
            None => change.unset(set, names::SEEN_REQUEST),
        }
        let window = self.world.rollout.spec.rollback_window.as_ref().map_or(0, |window| window.revisions);
        let within = set.replicas > 0 || newest - set.revision() <= window;
        if within && set.promoted_at().is_some() && !self.target.is_active(set) {
            change.set(names::RETURNED, true);
        } else {
            change.unset(set, names::RETURNED);
        }
    }

    fn create(&self) -> Vec<Action> {
        let refused = stall::template(self.world).is_some();
        let retry_due = self.world.refused.as_ref().is_none_or(|refused| self.now >= refused.retry_at);
        if stall::workload(self.world).is_some() || self.target.asked.is_some() || (refused && !retry_due) {
            return Vec::new();
        }
        let template = &self.world.rollout.template;
        let taken = |hash: &String| self.world.sets.iter().any(|set| set.hash == *hash);
        let hash = (0..).map(|n| template.digest.hash(n)).find(|hash| !taken(hash)).expect("some hash is free");
        let revision = self.world.sets.iter().map(ReplicaSet::revision).max().unwrap_or(0) + 1;
        let size = scale::new(self.world, self.target);
        let mut annotations = BTreeMap::from([
            (names::TEMPLATE_DIGEST, template.digest.to_string()),
            (names::REVISION, revision.to_string()),
            (names::DESIRED_REPLICAS, size.desired.to_string()),
            (names::SCALED_AT, self.now.to_string()),
        ]);
        annotations.extend(self.world.rollout.request.clone().map(|request| (names::SEEN_REQUEST, request)));
        let event = events::revision_created(revision, &hash, &template.image);
        let pod_metadata = metadata::new(self.world, self.target);
        if pod_metadata != PodMetadata::default() {
            let value = serde_json::to_string(&pod_metadata).expect("it has only strings in it");
            annotations.insert(names::ROLE_METADATA, value);
        }
        let create = Action::CreateReplicaSet {
            name: hash::set_name(&self.world.rollout.name, &hash),
            hash,
            digest: template.digest.to_string(),
            replicas: size.replicas,
            annotations,
            pod_metadata,
        };
        vec![create, Action::Record(event)]
    }

    /// Sizes and marks of the active set and of the candidate.
    fn shape_wanted_sets(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(active) = self.target.active.filter(|active| !active.deleting) {
            let mut change = self.wanted(active, scale::active(self.world, self.target, active));
            if active.promoted_at().is_none() {
                change.set(names::PROMOTED_AT, self.now);
            }
            rollback::note(self.world, self.target, active, self.now, &mut change);
            push_change(&mut actions, active, change);
        }
        if let (Some(candidate), Some(size)) = (self.target.candidate(), self.candidate_size) {
            let mut change = self.wanted(candidate, size);
            let timed = self.world.rollout.spec.blue_green().auto_promotion_seconds.is_some_and(|seconds| seconds > 0);
            let ready = self.candidate_is_ready();
            if timed && ready && gate::preview_ready_at(candidate).is_none() {
                change.set(names::PREVIEW_READY_AT, self.now);
            }
            // One that comes back ready is claimed by the write that brings it back.
            let open = self.gate.as_ref().is_some_and(Gate::is_open);
            if !change.is_empty() && ready && open && self.stall.is_none() {
                change.set(names::PROMOTED_AT, switch::claim_time(self.world, self.now));
            }
            push_change(&mut actions, candidate, change);
        }
        actions
    }

    /// What makes a set one that is wanted: alive, at this size.
    fn wanted(&self, set: &ReplicaSet, size: Size) -> Change {
        let mut change = Change::default();
        if set.replicas != size.replicas {
            change.replicas = Some(size.replicas);
            change.set(names::SCALED_AT, self.now);
        }
        if set.annotation(names::DESIRED_REPLICAS) != Some(&size.desired.to_string()) {
            change.set(names::DESIRED_REPLICAS, size.desired);
        }
        let min_ready_seconds = self.world.rollout.spec.min_ready_seconds();
        if set.min_ready_seconds != min_ready_seconds {
            change.min_ready_seconds = Some(min_ready_seconds);
        }
        if let Some(restart) = Restart::of(self.world, set).filter(Restart::is_done) {
            restart.finish(&mut change);
        }
        retire::revive(set, &mut change);
        change
    }

    fn change_pod_metadata(&self) -> Vec<Action> {
        target::living(self.world).filter_map(|set| metadata::step(self.world, self.target, set)).collect()
    }

    fn restart(&self) -> Vec<Action> {
        self.restarts().filter_map(|restart| restart.next(self.world, self.now)).collect()
    }

    fn restarts(&self) -> impl Iterator<Item = Restart<'a>> {
        let sets = target::living(self.world).filter(|set| self.serves_or_will(set));
        sets.filter_map(|set| Restart::of(self.world, set))
    }

    fn move_preview(&self) -> Vec<Action> {
        if self.stall.is_some() {
            return Vec::new();
        }
        let preview = switch::preview(self.world, self.target, self.candidate_size.map(|size| size.replicas));
        preview.into_iter().chain(switch::release_unnamed(self.world)).collect()
    }

    fn analyse(&self) -> Vec<Action> {
        let begin =
            analysis::begin(self.world, self.target, self.candidate_is_ready(), &self.proof, self.request, self.now);
        analysis::stop(self.world, self.target).chain(begin).collect()
    }

    /// The candidate has all the pods that it should have, and they are available.
    fn candidate_is_ready(&self) -> bool {
        let sized = self.target.candidate().zip(self.candidate_size);
        sized.is_some_and(|(set, size)| set.replicas == size.replicas && set.is_available(size.replicas))
    }

    fn move_active(&self) -> Vec<Action> {
        if self.stall.is_some() {
            return Vec::new();
        }
        let open = self.gate.as_ref().is_some_and(Gate::is_open);
        let next = match (self.target.candidate(), self.candidate_size) {
            (Some(candidate), Some(size)) if open => Some((candidate, size.replicas)),
            _ => None,
        };
        // Without a way forward, the active Service at least selects what is active.
        let step = |(set, wanted)| switch::active(self.world, self.target, set, wanted, self.now);
        if let Some((candidate, _)) = next.filter(|_| self.candidate_is_ready())
            && let Some(label) = overlap::prepare(self.world, self.target, candidate)
        {
            return vec![label];
        }
        let forward = next.map(step).unwrap_or_default();
        if !forward.is_empty() {
            return forward;
        }
        let overlapping = |active| overlap::ends(self.world, self.target, active);
        let unselected = self.target.active.filter(|active| !self.target.active_selected || overlapping(active));
        unselected.map(|set| step((set, set.replicas))).unwrap_or_default()
    }

    fn retire_and_prune(&self) -> Vec<Action> {
        if self.stall.is_some() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for set in target::living(self.world) {
            let kept_for_analysis = set.promoted_at().is_some() && !set.retired() && self.is_analysed();
            if !self.serves_or_will(set) && !kept_for_analysis {
                push_change(&mut actions, set, retire::mark(self.world, self.target, set, &self.proof, self.now));
            }
        }
        actions.extend(history::prune(self.world, self.target));
        actions
    }

    /// The active set still has to show that it is good; the one before stays up meanwhile.
    fn is_analysed(&self) -> bool {
        let outcome =
            self.target.active.map(|set| analysis::outcome(self.world, self.target, set, Kind::Post, self.request));
        outcome.is_some_and(|outcome| outcome != Outcome::Good)
    }

    /// The desired set, if it is not available or its pods are being replaced.
    fn unfinished(&self) -> Option<&'a ReplicaSet> {
        let set = self.target.desired?;
        let size = self.wanted_size()?;
        let restarts = Restart::of(self.world, set).is_some();
        (restarts || set.replicas != size.replicas || !set.is_available(size.needed)).then_some(set)
    }

    /// The size of the desired set.
    fn wanted_size(&self) -> Option<Size> {
        let active = || self.target.active.map(|active| scale::active(self.world, self.target, active));
        self.candidate_size.or_else(active)
    }

    fn conclude(&self, actions: Vec<Action>) -> Plan {
        let progress = self.unfinished().map(|set| progress::read(self.world.rollout.status.as_ref(), set, self.now));
        let template_stall = stall::template(self.world).filter(|_| self.target.asked.is_none());
        let findings = Findings {
            target: self.target,
            gate: self.gate.clone(),
            wanted: self.wanted_size().map_or(0, |size| size.needed),
            proof: self.proof.clone(),
            request: self.request,
            stall: self.stall.clone().or(template_stall).or_else(|| stall::analysis(self.world)),
            post: self
                .target
                .active
                .filter(|set| self.target.is_desired(set))
                .map(|set| analysis::outcome(self.world, self.target, set, Kind::Post, self.request)),
            progress: progress.clone(),
            restart: self.target.desired.and_then(|desired| Restart::of(self.world, desired)),
        };
        let status = status::compose(self.world, &findings, self.now);
        let publish_at = status::publish_at(self.world, &status, &findings, self.now);
        let look_at_pods = progress.as_ref().zip(self.unfinished()).map(|(progress, set)| {
            let at = if set.failure.is_some() { self.now } else { pods::look_at(set, progress.since) };
            (at, set.hash.clone())
        });
        // Until the proof stands in the status, the endpoints are what it rests on.
        let to_prove = self.target.active.filter(|_| self.target.active_selected);
        let to_prove = to_prove.filter(|active| switch::noted(self.world, active).is_none());
        let watches = Watches {
            endpoints: to_prove
                .iter()
                .flat_map(|_| self.world.rollout.spec.blue_green().active_services())
                .map(str::to_owned)
                .collect(),
            pods: look_at_pods
                .clone()
                .filter(|(at, _)| self.now >= *at)
                .map(|(_, hash)| hash)
                .into_iter()
                .chain(self.restarts().map(|restart| restart.hash().to_owned()))
                .collect(),
        };
        let next = self.next(progress.as_ref(), publish_at, look_at_pods.map(|(at, _)| at));
        let events = self.events(&status);
        Plan { actions, status, events, publish_at, watches, next }
    }

    fn events(&self, status: &BlueGreenRolloutStatus) -> Vec<events::Event> {
        events::between(self.world.rollout.status.as_ref(), status)
    }

    /// The next moment at which the plan could be another one without any change of the world.
    fn next(
        &self,
        progress: Option<&Progress>,
        publish_at: Option<Timestamp>,
        look_at_pods: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let gate = match &self.gate {
            Some(Gate::Closed { until, .. }) => *until,
            _ => None,
        };
        let deadline = progress.map(|progress| progress::deadline(self.world, progress));
        let refused =
            self.world.refused.as_ref().filter(|_| self.target.asked.is_none()).map(|refused| refused.retry_at);
        let eviction = self.world.eviction_refused.as_ref().map(|refused| refused.retry_at);
        let analysis = self.world.analysis_refused.as_ref().map(|refused| refused.retry_at);
        let overlap = self.target.active.filter(|active| overlap::ends(self.world, self.target, active));
        let overlap = overlap.and_then(|active| overlap::until(self.world, active));
        let restart = restart::begins(self.world, self.now);
        let rollback = self.target.active.and_then(|active| rollback::at(self.world, active));
        [gate, deadline, publish_at, look_at_pods, refused, eviction, analysis, overlap, restart, rollback]
            .into_iter()
            .flatten()
            .filter(|at| *at > self.now)
            .min()
    }
}

fn push_change(actions: &mut Vec<Action>, set: &ReplicaSet, change: Change) {
    if !change.is_empty() {
        let (name, resource_version) = (set.name.clone(), set.resource_version.clone());
        actions.push(Action::ChangeReplicaSet { name, resource_version, change });
    }
}

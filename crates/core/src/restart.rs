//! Replacing the pods of a revision without making a new one.
//!
//! The ReplicaSet gets one pod more than it needs. Whenever all of them are available, one old pod is evicted, and the ReplicaSet
//! controller makes a new one in its place; when none is old any more, the additional one goes. So there are never fewer
//! pods than before, also with a single replica, and a PodDisruptionBudget has its say.
//!
//! Worked example, `replicas: 2`, revision 1 serves:
//!
//! | | old pods | new pods |
//! |---|---|---|
//! | a person asks for a restart | 2 | 0 |
//! | the ReplicaSet gets a pod more, and that is available | 2 | 1 |
//! | an old pod is evicted | 1 | 1 |
//! | its successor is available | 1 | 2 |
//! | the other old pod is evicted | 0 | 2 |
//! | its successor is made: none is old any more, so the ReplicaSet is to have two again | 0 | 3 |
//!
//! The additional pod goes only once the ReplicaSet controller has made up for each pod that went, also where nobody asks for the restart any more.
//!
//! Which pods are old is a matter of their age, so that another operator can take up a restart. The pod to
//! evict is first noted on the ReplicaSet: the next one is chosen only after that one has gone, or may not go, so that two operators, or
//! one with an old picture of the pods, do not take two at once.
//!
//! An API server takes no account of other pods when it evicts one. So the note is written right before each eviction, with the version that the
//! ReplicaSet was seen at, also where it stands there already: an operator that has not heard that another pod is down meets a conflict. The
//! eviction itself names the version of the pod: one that was seen to be down, and is ready by now, stays.

use greenlight_api::{Decisions, names};
use jiff::Timestamp;

use crate::actions::{Action, Change};
use crate::situation::Situation;
use crate::world::{Pod, RefusedWrite, ReplicaSet, World};

/// The restart of a revision, while it is under way.
#[derive(Clone, Debug)]
pub struct Restart<'a> {
    rs: &'a ReplicaSet,
    /// When it was asked for; `None` if nobody asks for it any more. Then no pod is old to it, and it ends as soon as those that it evicted have their
    /// successors.
    at: Option<Timestamp>,
    /// Pods created before this are to be replaced.
    before: Timestamp,
    /// Its pods, as soon as they are known.
    pods: Option<&'a [Pod]>,
}

/// The time before which pods must not have been created: the later of what the spec and what a person asks for.
fn requested_at(situation: &Situation, decisions: &Decisions) -> Option<Timestamp> {
    let in_spec = situation.world.rollout.spec.restart_at;
    let by_person = decisions.restart_requested_at;
    [in_spec, by_person].into_iter().flatten().filter(|at| *at <= situation.now).max()
}

/// A restart that a person asked for in the future is by another operator's clock, or was before somebody set this one back. It is asked for now: else
/// it would stop in the middle, and nobody would be woken when that time comes. One that is done is not begun again.
pub fn bring_back(situation: &Situation, decisions: &mut Decisions) {
    let Some(at) = decisions.restart_requested_at.filter(|at| *at > situation.now) else { return };
    let has = |note: &str| situation.world.existing().any(|rs| rs.timestamp(note) == Some(at));
    if has(names::RESTART_AT) || !has(names::RESTARTED_AT) {
        decisions.restart_requested_at = Some(situation.now);
    }
}

/// Whether the spec or a person asks for a restart of this time: the annotation can be written by anybody who may edit ReplicaSets.
fn is_requested(situation: &Situation, decisions: &Decisions, at: Timestamp) -> bool {
    let in_spec = situation.world.rollout.spec.restart_at;
    in_spec == Some(at) || decisions.restart_requested_at == Some(at)
}

/// When a restart that the spec asks for begins, if that is still to come.
pub fn scheduled_at(situation: &Situation) -> Option<Timestamp> {
    let in_spec = situation.world.rollout.spec.restart_at;
    in_spec.filter(|at| *at > situation.now)
}

/// Records on a ReplicaSet that its pods are to be replaced, unless they are younger, or that was done or is by this change.
pub fn record(situation: &Situation, rs: &ReplicaSet, change: &mut Change) {
    if change.annotations.contains_key(names::RESTARTED_AT) {
        return;
    }
    if let Some(at) = due(situation, situation.decisions, rs) {
        change.annotate(names::RESTART_AT, at);
    }
}

/// When a restart was asked for that is not noted on this ReplicaSet, or not any more: it is under way all the same. None begins on the way back.
fn due(situation: &Situation, decisions: &Decisions, rs: &ReplicaSet) -> Option<Timestamp> {
    if situation.roles.going_back() {
        return None;
    }
    let at = requested_at(situation, decisions)?;
    // Notes of what nobody asks for any more, or from the future, say nothing.
    let begun = rs.timestamp(names::RESTART_AT).filter(|begun| is_requested(situation, decisions, *begun));
    let done = rs.timestamp(names::RESTARTED_AT).filter(|done| *done <= situation.now);
    let is_new = [Some(rs.created), begun, done].into_iter().flatten().all(|known| known < at);
    is_new.then_some(at)
}

impl<'a> Restart<'a> {
    /// The restart of this ReplicaSet, if one is under way.
    pub fn of(situation: &Situation<'a>, rs: &'a ReplicaSet) -> Option<Restart<'a>> {
        let Situation { world, now, .. } = *situation;
        // Only what is on record.
        let nothing = Decisions::default();
        let record = world.rollout.record().unwrap_or(&nothing);
        let noted = rs.timestamp(names::RESTART_AT).filter(|at| *at <= now && is_requested(situation, record, *at));
        let at = due(situation, record, rs).or(noted);
        if at.is_none() && rs.annotation(names::EVICTING).is_none() {
            return None;
        }
        // Creation times are in whole seconds: without this, a pod made in the same second would seem too old for ever.
        let whole_second = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let before = at.map_or(Timestamp::MIN, whole_second);
        Some(Restart { rs, at, before, pods: world.pods.get(&rs.hash).map(Vec::as_slice) })
    }

    /// How many pods it has beyond `needed` while its pods are being replaced.
    pub fn surge(&self, needed: i32) -> i32 {
        let additional = (self.rs.replicas - needed).clamp(0, 1);
        match self.pods {
            _ if needed == 0 => 0,
            None => additional,
            Some(_) if self.old().next().is_some() => 1,
            Some(_) if self.lacks_successor() => additional,
            Some(_) => 0,
        }
    }

    /// Hash of its ReplicaSet.
    pub fn hash(&self) -> &'a str {
        &self.rs.hash
    }

    /// No pod is old any more, and each has its successor.
    pub fn is_done(&self) -> bool {
        self.pods.is_some() && self.old().next().is_none() && !self.lacks_successor()
    }

    /// The controller of ReplicaSets has not made the successor of the last pod that went, whoever took that. Until it has, it may not know that the pod
    /// went, and would take one of those that are left for the additional one. Where it says why it cannot make one, it knows.
    fn lacks_successor(&self) -> bool {
        let pods = self.pods.into_iter().flatten().filter(|pod| pod.counts()).count();
        self.rs.failure.is_none() && i32::try_from(pods).unwrap_or(i32::MAX) < self.rs.replicas
    }

    /// Takes note that it is done, or that nobody asks for it any more.
    pub fn finish(&self, change: &mut Change) {
        if let Some(at) = self.at {
            change.annotate(names::RESTARTED_AT, at);
        }
        change.remove_annotation(self.rs, names::RESTART_AT);
        change.remove_annotation(self.rs, names::EVICTING);
    }

    /// The next step: noting the pod to evict, or evicting it right after that. Where the API server refuses, each other pod is tried
    /// before it is asked again, and after a pause: a budget may be of all of them, and a policy of one.
    pub fn next(&self, world: &World, now: Timestamp) -> Option<Action> {
        let is_noted = |pod: &Pod| self.rs.annotation(names::EVICTING) == Some(&pod.name);
        let rests = self.old().find(|pod| refusal(world, pod).is_some_and(|refused| now < refused.retry_at));
        let next = || self.old().min_by_key(|pod| (refusal(world, pod).is_some(), !is_noted(pod), in_turn(pod)));
        let pod = rests.or_else(next).filter(|pod| self.may_take(pod))?;
        if rests.is_some() || is_noted(pod) && self.rs.fresh {
            return Some(Action::EvictPod {
                hash: self.rs.hash.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                resource_version: pod.resource_version.clone(),
            });
        }
        let mut change = Change::default();
        change.annotate(names::EVICTING, &pod.name);
        change.into_action(self.rs)
    }

    /// How far it is, as it completes "restarting revision 2 (image): ...".
    pub fn progress(&self, world: &World) -> String {
        let Some(pods) = self.pods else { return "reading its pods".to_owned() };
        let old = self.old().count();
        let refused = self.old().filter_map(|pod| Some((pod, refusal(world, pod)?)));
        // Not the last one that was tried: that would be another one in each status.
        let first = refused.min_by_key(|(pod, _)| in_turn(pod));
        let stays = first.map(|(pod, refused)| format!("; pod {} stays for now: {}", pod.name, refused.message));
        let young = pods.iter().filter(|pod| pod.counts() && pod.ready && pod.created >= self.before).count();
        let waits =
            if old == 0 && self.lacks_successor() { "; Kubernetes has not replaced the last one yet" } else { "" };
        format!("{young} new pods ready, {old} old ones to go{waits}{}", stays.unwrap_or_default())
    }

    fn old(&self) -> impl Iterator<Item = &'a Pod> {
        let before = self.before;
        self.pods.into_iter().flatten().filter(move |pod| pod.counts() && pod.created < before)
    }

    /// Without this pod there are as many available as before the restart: it is not ready, or all others are. While fewer are known to
    /// be ready than the ReplicaSet has available, what is known of the pods is older. While the ReplicaSet shrinks, others may be on their way out.
    fn may_take(&self, pod: &Pod) -> bool {
        let ready = || self.pods.into_iter().flatten().filter(|other| other.counts() && other.ready);
        let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
        let others = count(ready().filter(|other| other.name != pod.name).count());
        if pod.ready {
            let all = self.rs.replicas;
            self.rs.is_available(all) && !self.rs.is_shrinking() && others >= all - 1
        } else {
            others >= self.rs.available
        }
    }
}

/// How the last try to evict this pod was answered, if it was refused.
fn refusal<'a>(world: &'a World, pod: &Pod) -> Option<&'a RefusedWrite> {
    let target = format!("Pod {}", pod.name);
    world.refused_writes.iter().find(|refused| refused.target == target)
}

/// Pods that are not ready go first, then those that are the cheapest, then the oldest.
fn in_turn(pod: &Pod) -> (bool, i32, Timestamp, &str) {
    (pod.ready, pod.deletion_cost, pod.created, &pod.name)
}

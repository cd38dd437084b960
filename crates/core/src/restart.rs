//! Replacing the pods of a revision without making a new one.
//!
//! The set gets one pod more than it needs. Whenever all of them are available, one old pod is evicted, and the ReplicaSet
//! controller makes a new one in its place; when none is old any more, the additional one goes. So there are never fewer
//! pods than before, also with a single replica, and a PodDisruptionBudget has its say.
//!
//! Which pods are old is a matter of their age, so that a restart can be taken up again by whoever comes next. The pod to
//! evict is first noted on the set: the next one is chosen only after that one has gone, so that two operators, or one with
//! an old picture of the pods, do not take two at once.

use greenlight_api::names;
use jiff::Timestamp;

use crate::actions::{Action, Change};
use crate::request::Asked;
use crate::world::{Pod, ReplicaSet, World};

/// The restart of a set, while it is under way.
#[derive(Clone, Debug)]
pub struct Restart<'a> {
    set: &'a ReplicaSet,
    /// When it was asked for.
    at: Timestamp,
    /// Pods created before this are to be replaced.
    before: Timestamp,
    /// The set's pods, as soon as they are known.
    pods: Option<&'a [Pod]>,
}

/// The time before which pods must not have been created: the later of what the spec and what a person asks for.
pub fn due(world: &World, request: &Asked, now: Timestamp) -> Option<Timestamp> {
    let in_spec = world.rollout.spec.restart_at.as_ref().map(|time| time.0);
    [in_spec, request.restart].into_iter().flatten().filter(|at| *at <= now).max()
}

/// When a restart that the spec asks for begins, if that is still to come.
pub fn begins(world: &World, now: Timestamp) -> Option<Timestamp> {
    world.rollout.spec.restart_at.as_ref().map(|time| time.0).filter(|at| *at > now)
}

/// Notes on a set that its pods are to be replaced, unless they are younger or that was done.
pub fn note(set: &ReplicaSet, due: Timestamp, change: &mut Change) {
    let known = [Some(set.created), set.timestamp(names::RESTART_AT), set.timestamp(names::RESTARTED_AT)];
    if known.into_iter().flatten().all(|at| at < due) {
        change.set(names::RESTART_AT, due);
    }
}

impl<'a> Restart<'a> {
    /// The restart of this set, if one is under way.
    pub fn of(world: &'a World, set: &'a ReplicaSet) -> Option<Restart<'a>> {
        let at = set.timestamp(names::RESTART_AT)?;
        // Creation times are in whole seconds: without this, a pod made in the same second would seem too old for ever.
        let before = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Some(Restart { set, at, before, pods: world.pods.get(&set.hash).map(Vec::as_slice) })
    }

    /// How many pods the set has beyond `needed` while its pods are being replaced.
    pub fn surge(&self, needed: i32) -> i32 {
        match self.pods {
            None => (self.set.replicas - needed).clamp(0, 1),
            Some(_) => i32::from(needed > 0 && self.old().next().is_some()),
        }
    }

    /// Hash of the set.
    pub fn hash(&self) -> &'a str {
        &self.set.hash
    }

    /// No pod is old any more.
    pub fn is_done(&self) -> bool {
        self.pods.is_some() && self.old().next().is_none()
    }

    /// Takes note that it is done.
    pub fn finish(&self, change: &mut Change) {
        change.set(names::RESTARTED_AT, self.at);
        change.unset(self.set, names::RESTART_AT);
        change.unset(self.set, names::EVICTING);
    }

    /// The next step: choosing the pod to evict, or evicting the chosen one.
    pub fn next(&self, world: &World, now: Timestamp) -> Option<Action> {
        let chosen = self.set.annotation(names::EVICTING);
        let chosen = self.old().find(|pod| Some(pod.name.as_str()) == chosen);
        let pod = match chosen {
            Some(pod) => pod,
            None => {
                let next = self.old().min_by_key(|pod| (pod.ready, pod.deletion_cost, pod.created, &pod.name))?;
                let mut change = Change::default();
                change.set(names::EVICTING, &next.name);
                let (name, resource_version) = (self.set.name.clone(), self.set.resource_version.clone());
                return self.may_take(next).then_some(Action::ChangeReplicaSet { name, resource_version, change });
            }
        };
        let refused = world.eviction_refused.as_ref().filter(|refused| refused.pod == pod.name);
        let wait = refused.is_some_and(|refused| now < refused.retry_at) || !self.may_take(pod);
        (!wait).then(|| Action::EvictPod { hash: self.set.hash.clone(), name: pod.name.clone(), uid: pod.uid.clone() })
    }

    /// How far it is, as it completes "restarting revision 2 (image): ...".
    pub fn progress(&self, world: &World) -> String {
        let Some(pods) = self.pods else { return "reading its pods".to_owned() };
        let old = self.old().count();
        let chosen = self.set.annotation(names::EVICTING);
        let refused = world.eviction_refused.as_ref().filter(|refused| Some(refused.pod.as_str()) == chosen);
        let refused = refused.map(|refused| format!("; pod {} stays for now: {}", refused.pod, refused.message));
        let young = pods.iter().filter(|pod| !pod.deleting && pod.ready && pod.created >= self.before).count();
        format!("{young} pods replaced, {old} to go{}", refused.unwrap_or_default())
    }

    fn old(&self) -> impl Iterator<Item = &'a Pod> {
        let before = self.before;
        self.pods.into_iter().flatten().filter(move |pod| !pod.deleting && pod.created < before)
    }

    /// Without this pod there are as many available as before the restart.
    fn may_take(&self, pod: &Pod) -> bool {
        let others =
            self.pods.into_iter().flatten().filter(|other| !other.deleting && other.ready && other.name != pod.name);
        let enough = usize::try_from(self.set.replicas - 1).unwrap_or(0);
        !pod.ready || (self.set.is_available(self.set.replicas) && others.count() >= enough)
    }
}

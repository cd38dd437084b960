//! When an old revision goes away.
//!
//! Two writers share this, so that no single stale picture can take pods away. The rollouts controller only *marks*: a finalizer
//! and a deadline. The scale-down controller only acts on what is marked, at the deadline, and after it has read live, after
//! the mark, that no Service selects the set.

use greenlight_api::names;
use jiff::{SignedDuration, Timestamp};

use crate::actions::Change;
use crate::switch::Proof;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, World};

/// The mark that this set should get: it is neither active nor next, and not yet (properly) marked.
pub fn mark(world: &World, target: &Target, set: &ReplicaSet, proof: &Proof, now: Timestamp) -> Change {
    let mut change = Change::default();
    let Some(deadline) = deadline(world, target, set, proof, now) else { return change };
    if set.scale_down_at() != Some(deadline) {
        change.set(names::SCALE_DOWN_AT, deadline);
    }
    if !set.has_scale_down_finalizer() {
        let mut finalizers = set.finalizers.clone();
        finalizers.push(names::SCALE_DOWN_FINALIZER.to_owned());
        change.finalizers = Some(finalizers);
    }
    if !change.is_empty() {
        match world.rollout.spec.blue_green().retired_replica_count.filter(|_| set.promoted_at().is_some()) {
            Some(count) => change.set(names::RETIRED_REPLICAS, count),
            None => change.unset(set, names::RETIRED_REPLICAS),
        }
        change.unset(set, names::RETURNED);
        change.unset(set, names::PREVIEW_READY_AT);
    }
    change
}

/// When this set is to be scaled down; `None` while it must stay up or is down already.
fn deadline(world: &World, target: &Target, set: &ReplicaSet, proof: &Proof, now: Timestamp) -> Option<Timestamp> {
    let blue_green = world.rollout.spec.blue_green();
    let after = |seconds: i32| now + SignedDuration::from_secs(seconds.into());
    if set.retired() {
        let deadline = set.scale_down_at().unwrap_or_else(|| after(blue_green.scale_down_delay_seconds()));
        return Some(if is_surplus(world, set) { deadline.min(now) } else { deadline });
    }
    if set.replicas == 0 {
        return None;
    }
    if set.promoted_at().is_some() {
        // It may still get traffic until the proof that it does not.
        return matches!(proof, Proof::Proven(_)).then(|| after(blue_green.scale_down_delay_seconds()));
    }
    if target.is_asked(set) && target.rejection.is_some() {
        let delay = blue_green.abort_scale_down_delay_seconds();
        return (delay > 0).then(|| after(delay));
    }
    // A preview that was superseded. It stays as long as the preview Service shows it.
    let preview = blue_green.preview_service.as_ref().and_then(|name| world.services.get(name));
    let shown = preview.is_some_and(|service| service.hash() == Some(&set.hash));
    (!shown).then_some(now)
}

/// There are `scaleDownDelayRevisionLimit` newer ones that are still up inside their delay.
fn is_surplus(world: &World, set: &ReplicaSet) -> bool {
    let Some(limit) = world.rollout.spec.blue_green().scale_down_delay_revision_limit else { return false };
    let rank = |set: &ReplicaSet| (set.promoted_at(), set.revision());
    let newer =
        target::living(world).filter(|other| other.retired() && other.replicas > 0 && rank(other) > rank(set)).count();
    newer >= usize::try_from(limit).unwrap_or(0)
}

/// What takes the marks off a set that is wanted again.
pub fn revive(set: &ReplicaSet, change: &mut Change) {
    change.unset(set, names::SCALE_DOWN_AT);
    change.unset(set, names::RETIRED_REPLICAS);
    if set.has_scale_down_finalizer() {
        change.finalizers = Some(without_finalizer(set));
    }
}

/// The rollout that a retired set belongs to, as far as the scale-down controller cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It exists.
    Living,
    /// It is being deleted, or is gone.
    Leaving,
}

/// What the scale-down controller knows of the Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// As far as the cache knows, none selects the set.
    PerhapsNot,
    /// Read live, after the mark: none selects the set.
    No,
    /// This one does.
    By(String),
}

/// What the scale-down controller should do with a set.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleDown {
    /// Nothing, until the set or a Service changes.
    Nothing,
    /// Look again at the deadline.
    Wait(Timestamp),
    /// Read the rollout's Services live and ask again.
    CheckServices,
    /// Take the pods away that it does not keep until the deadline.
    Shrink(Change),
    /// Take the pods and the marks away.
    Finish(Change),
    /// Take the finalizer away: the set goes with its rollout.
    LetGo(Change),
}

/// Decides for one set.
pub fn scale_down(set: &ReplicaSet, owner: Owner, selected: &Selected, now: Timestamp) -> ScaleDown {
    if !set.has_scale_down_finalizer() {
        return ScaleDown::Nothing;
    }
    let mut change = Change { finalizers: Some(without_finalizer(set)), ..Change::default() };
    if owner == Owner::Leaving {
        return ScaleDown::LetGo(change);
    }
    // A deadline that does not parse is rewritten by the rollouts controller, or, when the set is being deleted, over.
    let deadline = match set.scale_down_at() {
        Some(deadline) => deadline,
        None if set.deleting => now,
        None => return ScaleDown::Nothing,
    };
    if now < deadline {
        let kept = set.annotation(names::RETIRED_REPLICAS).and_then(|count| count.parse().ok());
        return match (kept.filter(|kept| *kept < set.replicas), selected) {
            (Some(_), Selected::PerhapsNot) => ScaleDown::CheckServices,
            (Some(kept), Selected::No) => ScaleDown::Shrink(Change { replicas: Some(kept), ..Change::default() }),
            _ => ScaleDown::Wait(deadline),
        };
    }
    match selected {
        Selected::By(_) => ScaleDown::Nothing,
        Selected::PerhapsNot => ScaleDown::CheckServices,
        Selected::No => {
            change.replicas = (set.replicas != 0).then_some(0);
            change.unset(set, names::SCALE_DOWN_AT);
            change.unset(set, names::RETIRED_REPLICAS);
            ScaleDown::Finish(change)
        }
    }
}

fn without_finalizer(set: &ReplicaSet) -> Vec<String> {
    set.finalizers.iter().filter(|finalizer| *finalizer != names::SCALE_DOWN_FINALIZER).cloned().collect()
}

//! When an old revision goes away.
//!
//! Two writers share this, so that no single stale picture can take pods away. The rollouts controller only *marks*: a finalizer
//! and a deadline. The scale-down controller only acts on what is marked, at the deadline, and after it has read live, after
//! the mark, that no Service selects the ReplicaSet. (Before anything has served, the first one takes pods that are not ready from an attempt that
//! another one follows: nothing leads to them.)
//!
//! Worked example, `scaleDownDelaySeconds: 600`, `retiredReplicaCount: 1`, revision 1 served with 3 pods:
//!
//! | time | | pods of revision 1 |
//! |---|---|---|
//! | 12:00:00 | the Service moves to revision 2 | 3 |
//! | 12:00:01 | that is proven: revision 1 is marked, deadline 12:10:01 | 3 |
//! | 12:00:31 | proxies have followed, and no Service selects it: the scale-down controller keeps one | 1 |
//! | 12:10:01 | the scale-down controller takes that one and the mark away | 0 |

use greenlight_api::{RevisionRecord, names};
use jiff::{SignedDuration, Timestamp};

use crate::actions::Change;
use crate::rollback;
use crate::situation::Situation;
use crate::world::{ReplicaSet, Rollout, Selection, later, seconds_after};

/// The mark that a ReplicaSet should get which has no role (any more).
pub fn mark(situation: &Situation, rs: &ReplicaSet, proven: bool) -> Change {
    let mut change = Change::default();
    // Also if its delay was running when the spec came to say that it stays.
    if abort_delay(situation, rs).is_some_and(|delay| delay <= 0) {
        revive(rs, &mut change);
        return change;
    }
    let is_forged = rs.is_retired() && !rs.has_scale_down_finalizer();
    if is_forged && situation.world.production_services().any(|service| service.selects(rs)) {
        // It would be over at once as soon as production left.
        revive(rs, &mut change);
        return change;
    }
    let Some(deadline) = deadline(situation, rs, proven) else {
        take_what_is_not_ready(situation, rs, &mut change);
        return change;
    };
    if rs.scale_down_at() != Some(deadline) {
        change.annotate(names::SCALE_DOWN_AT, deadline);
    }
    if !rs.has_scale_down_finalizer() {
        let mut finalizers = rs.finalizers.clone();
        finalizers.push(names::SCALE_DOWN_FINALIZER.to_owned());
        change.finalizers = Some(finalizers);
    }
    if !change.is_empty() {
        match situation.world.rollout.spec.blue_green().retired_replica_count {
            Some(count) if may_get_traffic(situation, rs) => change.annotate(names::RETIRED_REPLICAS, count),
            _ => change.remove_annotation(rs, names::RETIRED_REPLICAS),
        }
    }
    change
}

/// Of an attempt at a first deployment that another one follows, the pods that are not ready: no Service leads to them, and the next attempt may
/// need their room. Those that are ready stay until something serves. Whoever read it before one became ready meets a conflict.
fn take_what_is_not_ready(situation: &Situation, rs: &ReplicaSet, change: &mut Change) {
    let is_first = situation.world.is_first_deployment(situation.decisions);
    let is_followed = situation.roles.candidate.is_some_and(|candidate| candidate.name != rs.name);
    if is_first && is_followed && rs.settled && rs.ready < rs.replicas {
        change.replicas = Some(rs.ready);
        change.annotate(names::SCALED_AT, situation.now);
    }
}

/// It served, or was about to, or an active Service selects nothing of ours yet, and so all: until the proof that others serve it
/// may still get traffic.
pub fn may_get_traffic(situation: &Situation, rs: &ReplicaSet) -> bool {
    let mut services = situation.world.active_services();
    let by_its_labels = services.any(|s| s.selection() == Selection::Unmanaged && s.missing_labels(rs).is_empty());
    situation.served(rs) || rs.claimed_at().is_some() || by_its_labels
}

/// When this ReplicaSet is to be scaled down; `None` while it must stay up or is down already.
fn deadline(situation: &Situation, rs: &ReplicaSet, proven: bool) -> Option<Timestamp> {
    let Situation { world, now, .. } = situation;
    let blue_green = world.rollout.spec.blue_green();
    let after = |seconds: i32| seconds_after(*now, seconds);
    if rs.is_retired() {
        // A deadline that we did not write is no reason to let go of what may get traffic.
        if !rs.has_scale_down_finalizer() && may_get_traffic(situation, rs) && !proven {
            return None;
        }
        let promised = promised_until(&world.rollout, rs, *now);
        let longest = match abort_delay(situation, rs) {
            Some(delay) => after(delay).max(promised),
            None => after(blue_green.scale_down_delay_seconds().max(blue_green.abort_scale_down_delay_seconds())),
        };
        // One that does not parse is set anew; one that somebody put far into the future is brought back, and so is the one of an aborted preview
        // whose delay was made shorter meanwhile.
        let deadline = rs.scale_down_at().unwrap_or_else(|| after(blue_green.scale_down_delay_seconds())).min(longest);
        if let Some(until) = refuge_until(situation, rs) {
            return Some(deadline.max(until));
        }
        if is_surplus(situation, rs) {
            return Some(deadline.min(*now));
        }
        let promised = promised.max(aborted_until(situation, rs));
        return Some(if promised > later(deadline, RECORDED_WITHIN) { promised } else { deadline });
    }
    if rs.replicas == 0 {
        return None;
    }
    // Where production is not known to be at home, any pod may be what it gets.
    let waits = (situation.roles.home().is_some() || may_get_traffic(situation, rs)) && !proven;
    if waits && !is_out_of_reach(situation, rs) {
        return None;
    }
    if let Some(delay) = abort_delay(situation, rs) {
        return Some(after(delay));
    }
    if may_get_traffic(situation, rs) {
        return Some(after(blue_green.scale_down_delay_seconds()));
    }
    // A preview that was superseded. It stays as long as a Service shows it.
    let shown = world.services.values().any(|service| service.hash() == Some(&rs.hash));
    // Before the first deployment, and on the way back, there is nothing that could be proven: the delay has to do, and a moment at least.
    // Before the first deployment there has to be another one.
    let replaced = situation.roles.updated.is_some() || situation.roles.home().is_some();
    (!shown && replaced).then(|| if proven { *now } else { after(blue_green.scale_down_delay_seconds().max(1)) })
}

/// What serves still has to show that it is good, and production would go back to this one: it stays up meanwhile, so that no way back
/// starts pods. Where production is scaled to nothing, none would.
pub fn waits_for_verdict(situation: &Situation, rs: &ReplicaSet) -> bool {
    let serving = situation.roles.at_home().and_then(|home| situation.record(home));
    let is_analysed =
        serving.is_some_and(|serving| serving.post_promotion.is_none()) && situation.decisions.replicas > 0;
    is_analysed && situation.fallback().is_some_and(|back_to| back_to.name == rs.name)
}

/// Production is on its way back, and this gets none of its traffic, whatever was begun: its pods may take the room of what production
/// goes to.
fn is_out_of_reach(situation: &Situation, rs: &ReplicaSet) -> bool {
    let mut services = situation.world.production_services();
    situation.roles.going_back() && !may_get_traffic(situation, rs) && !services.any(|service| service.selects(rs))
}

/// When production left a revision goes on record some moments after that is marked: a deadline that is this much earlier is not put off.
const RECORDED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// What served stays up for the delay that the spec has now, counted from when production left it: one that was made longer meanwhile, too.
/// Only what is written down counts: until then it has left at another time in every plan.
pub fn promised_until(rollout: &Rollout, rs: &ReplicaSet, now: Timestamp) -> Timestamp {
    let delay = rollout.spec.blue_green().scale_down_delay_seconds();
    let written =
        rollout.record().and_then(|written| written.revision(&rs.hash)).filter(|written| written.uid == rs.uid);
    let left_at = written.filter(|written| written.served_at.is_some()).and_then(|written| written.left_at);
    // From the future it is by another operator's clock.
    let counts = left_at.filter(|left_at| rs.replicas > 0 && *left_at <= now);
    counts.map_or(Timestamp::MIN, |left_at| seconds_after(left_at, delay))
}

/// The delay of a preview that was aborted, and that the spec still asks for; 0 if it is to be kept.
fn abort_delay(situation: &Situation, rs: &ReplicaSet) -> Option<i32> {
    let is_aborted = waited(situation, rs) && situation.roles.is_updated(rs) && situation.is_rejected(rs);
    is_aborted.then(|| situation.world.rollout.spec.blue_green().abort_scale_down_delay_seconds())
}

/// The end of the delay of an aborted preview, as the spec has that now: one that was made longer meanwhile, too. It is marked some moments
/// after it was rejected.
fn aborted_until(situation: &Situation, rs: &ReplicaSet) -> Timestamp {
    let rejection = situation.record(rs).and_then(|record| record.rejection.as_ref());
    // From the future it is by another operator's clock.
    let rejected_at = rejection.map(|rejection| rejection.at).filter(|at| *at <= situation.now);
    let until = rejected_at.zip(abort_delay(situation, rs));
    until.map_or(Timestamp::MIN, |(at, delay)| seconds_after(at, delay))
}

/// It was rejected as what waited, and not as what served: it has not served at all, or left production before it was rejected.
fn waited(situation: &Situation, rs: &ReplicaSet) -> bool {
    let Some(record) = situation.record(rs).filter(|record| record.served_at.is_some()) else { return true };
    let rejected_at = record.rejection.as_ref().map(|rejection| rejection.at);
    record.left_at.is_some_and(|left_at| rejected_at > Some(left_at))
}

/// While production has no pods and the time until an automatic rollback runs, what it would go back to stays up, and a delay longer. Only
/// what is written down counts: until then the outage has begun at another time in every plan.
fn refuge_until(situation: &Situation, rs: &ReplicaSet) -> Option<Timestamp> {
    let Situation { world, decisions, .. } = situation;
    let is_written =
        world.rollout.record().is_some_and(|written| written.unavailable_since == decisions.unavailable_since);
    let is_refuge = rs.replicas > 0 && situation.fallback().is_some_and(|refuge| refuge.name == rs.name);
    if !is_written || !is_refuge {
        return None;
    }
    let due = rollback::due_at(situation)?;
    Some(seconds_after(due, world.rollout.spec.blue_green().scale_down_delay_seconds()))
}

/// There are `scaleDownDelayRevisionLimit` newer ones that are still up inside their delay. Of what served that is to be on record, since
/// the scale-down controller believes nothing else.
fn is_surplus(situation: &Situation, rs: &ReplicaSet) -> bool {
    let world = situation.world;
    let Some(limit) = world.rollout.spec.blue_green().scale_down_delay_revision_limit else { return false };
    let rank = |rs: &ReplicaSet| (situation.record(rs).and_then(RevisionRecord::served_order), situation.number(rs));
    let newer = world.existing().filter(|other| other.is_retired() && other.replicas > 0 && rank(other) > rank(rs));
    let is_promised = situation.now < promised_until(&world.rollout, rs, situation.now);
    newer.count() >= usize::try_from(limit).unwrap_or(0)
        && (!is_promised || may_be_cut(&world.rollout, rs, situation.now))
}

/// What takes the marks off a ReplicaSet that is wanted again.
pub fn revive(rs: &ReplicaSet, change: &mut Change) {
    change.remove_annotation(rs, names::SCALE_DOWN_AT);
    change.remove_annotation(rs, names::RETIRED_REPLICAS);
    if rs.has_scale_down_finalizer() {
        change.finalizers = Some(without_finalizer(rs));
    }
}

/// The rollout that a retired ReplicaSet belongs to, as far as the scale-down controller cares.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// It exists.
    Exists(&'a Rollout),
    /// It is being deleted, or is gone.
    Deleted,
}

/// What the scale-down controller knows of the Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// As far as the cache knows, none selects it.
    Unverified,
    /// Read live, after the mark: none selects it.
    No,
    /// This one does.
    By(String),
}

/// What the scale-down controller should do with a ReplicaSet.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleDown {
    /// Nothing, until the ReplicaSet or a Service changes.
    Nothing,
    /// Look again at the deadline.
    Wait(Timestamp),
    /// Read the rollout's Services live and ask again.
    CheckServices,
    /// Take the pods away that it does not keep until the deadline.
    Shrink(Change),
    /// Take the pods and the marks away.
    Finish(Change),
    /// Take the finalizer away: the ReplicaSet goes with its rollout.
    RemoveFinalizer(Change),
}

/// For how long after the proof of a switch also those pods stay that are not kept until the deadline, in seconds: proxies follow the EndpointSlices a
/// moment later than the proof does. This is the default of the delay, which is there for the same reason. A shorter delay is over before.
const PROXIES_FOLLOW: i32 = 30;

/// Decides for one ReplicaSet. Its deadline may be anybody's: what served keeps its pods as long as the record says.
pub fn scale_down(rs: &ReplicaSet, owner: Owner<'_>, selected: &Selected, now: Timestamp) -> ScaleDown {
    if !rs.has_scale_down_finalizer() {
        return ScaleDown::Nothing;
    }
    let mut change = Change { finalizers: Some(without_finalizer(rs)), ..Change::default() };
    let Owner::Exists(rollout) = owner else { return ScaleDown::RemoveFinalizer(change) };
    // A deadline that does not parse is rewritten by the rollouts controller, or, when the ReplicaSet is being deleted,
    // over.
    let deadline = match rs.scale_down_at() {
        Some(deadline) => deadline,
        None if rs.deleting => now,
        None => return ScaleDown::Nothing,
    };
    let deadline = if may_be_cut(rollout, rs, now) { deadline } else { deadline.max(promised_until(rollout, rs, now)) };
    if now < deadline {
        let kept =
            rs.annotation(names::RETIRED_REPLICAS).and_then(|count| count.parse().ok()).map(|count: i32| count.max(0));
        let rest = rollout.spec.blue_green().scale_down_delay_seconds().saturating_sub(PROXIES_FOLLOW).max(0);
        let shrinks_at = seconds_after(deadline, -rest);
        return match (kept.filter(|kept| *kept < rs.replicas), selected) {
            (Some(_), _) if now < shrinks_at => ScaleDown::Wait(shrinks_at),
            (Some(_), Selected::Unverified) => ScaleDown::CheckServices,
            (Some(kept), Selected::No) => ScaleDown::Shrink(Change { replicas: Some(kept), ..Change::default() }),
            _ => ScaleDown::Wait(deadline),
        };
    }
    match selected {
        Selected::By(_) => ScaleDown::Nothing,
        Selected::Unverified => ScaleDown::CheckServices,
        Selected::No => {
            change.replicas = (rs.replicas != 0).then_some(0);
            change.remove_annotation(rs, names::SCALE_DOWN_AT);
            change.remove_annotation(rs, names::RETIRED_REPLICAS);
            ScaleDown::Finish(change)
        }
    }
}

/// By the record, `scaleDownDelayRevisionLimit` newer ones are inside their delay: that ends the one of this.
fn may_be_cut(rollout: &Rollout, rs: &ReplicaSet, now: Timestamp) -> bool {
    let blue_green = rollout.spec.blue_green();
    let (Some(limit), Some(record)) = (blue_green.scale_down_delay_revision_limit, rollout.record()) else {
        return false;
    };
    let delay = blue_green.scale_down_delay_seconds();
    let order = record.revision(&rs.hash).and_then(RevisionRecord::served_order);
    let is_inside = |left_at: Timestamp| now < seconds_after(left_at, delay);
    let newer = record.revisions.iter().filter(|other| other.hash != record.serving && other.served_order() > order);
    let newer = newer.filter(|other| other.left_at.is_some_and(is_inside)).count();
    newer >= usize::try_from(limit).unwrap_or(0)
}

fn without_finalizer(rs: &ReplicaSet) -> Vec<String> {
    rs.finalizers.iter().filter(|finalizer| *finalizer != names::SCALE_DOWN_FINALIZER).cloned().collect()
}

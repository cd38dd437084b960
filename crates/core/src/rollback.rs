//! Going back without being asked: the new revision lost all its pods while the old one still runs (`autoRollback`). That a newer
//! commit waits, or what it asks for, does not matter.
//!
//! Worked example, `autoRollback.unavailableSeconds: 30`, `scaleDownDelaySeconds: 3600`, revision 2 took over from revision 1 ten minutes ago:
//!
//! | time | | serves |
//! |---|---|---|
//! | 12:00:00 | revision 2 loses its last available pod: the record notes since when | 2 |
//! | 12:00:20 | a pod of it is available: the note goes | 2 |
//! | 12:01:00 | it loses that pod: noted anew | 2 |
//! | 12:01:30 | still none: revision 2 is rejected by `greenlight`, and the pods of revision 1 are still up | 1 |

use greenlight_api::{Decisions, Rejection};
use jiff::Timestamp;

use crate::decisions;
use crate::situation::Situation;
use crate::world::{ReplicaSet, seconds_after};

/// Takes note of when production lost its last available pod, or that it has some again: also where the spec does not ask for a way back
/// yet, and however often a pod is ready for a moment. Pods that are ready are not lost: the spec may have come to ask for more `minReadySeconds`.
/// What has had none yet since it was scaled up from nothing has lost none.
pub fn record_outage(situation: &Situation, decisions: &mut Decisions) {
    let had_pods = situation.world.rollout.status.as_ref().is_some_and(|status| status.ready_replicas > 0);
    let begins = had_pods && is_out(situation).is_some();
    // From the future it is by another operator's clock.
    let before = decisions.unavailable_since.map(|since| since.min(situation.now));
    let since = before.or(begins.then_some(situation.now));
    decisions.unavailable_since = if lacks_pods(situation).is_some() { since } else { None };
}

/// When production goes back, if it does not recover.
pub fn due_at(situation: &Situation) -> Option<Timestamp> {
    Some(seconds_after(situation.decisions.unavailable_since?, seconds(situation)?))
}

/// The rejection of the revision that serves, when it is time.
pub fn rejection(situation: &Situation) -> Option<Rejection> {
    is_out(situation)?;
    let refuge = refuge(situation)?;
    if situation.now < due_at(situation)? {
        return None;
    }
    let reason = format!("no available pod for {} s after the switch", seconds(situation)?);
    Some(decisions::by_itself(situation.now, reason, Some(refuge.hash.clone())))
}

/// Why production stays although it is time to go back, if that is so.
pub fn held_up(situation: &Situation) -> Option<String> {
    is_out(situation)?;
    if situation.now < due_at(situation)? || refuge(situation).is_some() {
        return None;
    }
    let why = match situation.fallback() {
        Some(rs) => {
            let number = situation.number(rs);
            format!("revision {number} ({}) has no ready pod. An undo starts its pods", rs.hash)
        }
        None => "no earlier revision can serve".to_owned(),
    };
    Some(format!("production does not go back by itself: {why}"))
}

fn seconds(situation: &Situation) -> Option<i32> {
    situation.world.rollout.spec.blue_green().auto_rollback.as_ref().map(|auto| auto.unavailable_seconds)
}

/// The revision that serves, if it has no available pod although it should have some.
fn lacks_pods<'a>(situation: &Situation<'a>) -> Option<&'a ReplicaSet> {
    situation.roles.staying().filter(|home| home.available == 0 && situation.decisions.replicas > 0)
}

/// The same, if no pod gets traffic either.
fn is_out<'a>(situation: &Situation<'a>) -> Option<&'a ReplicaSet> {
    lacks_pods(situation).filter(|home| home.ready == 0)
}

/// The revision to go back to, if it is still up: any pod of it is better than none.
fn refuge<'a>(situation: &Situation<'a>) -> Option<&'a ReplicaSet> {
    situation.fallback().filter(|rs| rs.replicas > 0 && rs.ready > 0)
}

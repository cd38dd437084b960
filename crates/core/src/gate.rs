//! May the next revision be promoted, and if not, what is it waiting for?

use greenlight_api::{conditions, names};
use jiff::{SignedDuration, Timestamp};

use crate::analysis::{self, Kind, Outcome};
use crate::request::Asked;
use crate::target::Target;
use crate::world::{ReplicaSet, World};

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// It may be promoted as soon as it is fully available.
    Open,
    /// It waits.
    Closed {
        /// Reason of the condition.
        reason: &'static str,
        /// What it waits for, as it completes "revision 2 (image) is ready in preview and ...".
        waits_for: String,
        /// When that is over by itself.
        until: Option<Timestamp>,
    },
}

impl Gate {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        *self == Gate::Open
    }
}

/// Checks the gate for the candidate. The first rule that applies decides.
pub fn check(world: &World, target: &Target, candidate: &ReplicaSet, request: &Asked, now: Timestamp) -> Gate {
    let spec = &world.rollout.spec;
    let blue_green = spec.blue_green();
    let closed = |reason, waits_for: String, until| Gate::Closed { reason, waits_for, until };

    // Going back is never held up.
    if target.rolled_back() {
        return Gate::Open;
    }
    if spec.paused == Some(true) {
        return closed(conditions::REASON_PAUSED, "is held back by spec.paused".into(), None);
    }
    // Nothing serves: there is nothing that a gate could protect.
    if target.active.is_none() {
        return Gate::Open;
    }
    // It served before, and is still up.
    if candidate.annotation(names::RETURNED).is_some() || request.full {
        return Gate::Open;
    }
    match analysis::outcome(world, target, candidate, Kind::Pre, request) {
        Outcome::Good => {}
        Outcome::Inconclusive(run) => {
            let waits_for = format!("waits: its analysis came to no conclusion ({}). Promote or abort it", run.message);
            return closed(conditions::REASON_INCONCLUSIVE, waits_for, None);
        }
        Outcome::UnderWay(run) => {
            let waits_for = format!("is being analysed{}", told(&run.message));
            return closed(conditions::REASON_PRE_PROMOTION_ANALYSIS, waits_for, None);
        }
        Outcome::Absent | Outcome::Bad(_) => {
            return closed(conditions::REASON_PRE_PROMOTION_ANALYSIS, "is to be analysed".into(), None);
        }
    }
    if request.promote {
        return Gate::Open;
    }
    let seconds = blue_green.auto_promotion_seconds.unwrap_or(0);
    if seconds > 0 {
        let Some(ready_at) = preview_ready_at(candidate) else {
            return closed(conditions::REASON_AWAITING_TIMER, format!("will be promoted {seconds} s later"), None);
        };
        let due = ready_at + SignedDuration::from_secs(seconds.into());
        if now >= due {
            return Gate::Open;
        }
        let clock = due.strftime("%H:%M:%S UTC");
        return closed(conditions::REASON_AWAITING_TIMER, format!("will be promoted at {clock}"), Some(due));
    }
    if blue_green.auto_promotion_enabled() {
        return Gate::Open;
    }
    let needed = blue_green.required_approvals();
    let approvals = candidate.approvals();
    let waits_for = if needed > 1 {
        let names: Vec<_> = approvals.iter().map(|approval| approval.by.as_str()).collect();
        let by = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        format!("waits for promotion ({} of {needed} approvals{by})", names.len())
    } else {
        "waits for promotion".to_owned()
    };
    closed(conditions::REASON_AWAITING_PROMOTION, waits_for, None)
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

/// When the preview of this set became available.
pub fn preview_ready_at(set: &ReplicaSet) -> Option<Timestamp> {
    set.annotation(names::PREVIEW_READY_AT)?.parse().ok()
}

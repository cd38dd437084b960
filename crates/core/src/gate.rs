//! May the next revision be promoted, and if not, what is it waiting for?

use greenlight_api::{RevisionRecord, conditions};
use jiff::Timestamp;

use crate::analysis::{self, Kind, Outcome};
use crate::approvals;
use crate::situation::Situation;
use crate::world::{ReplicaSet, seconds_after};

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

/// Checks the gate of the candidate. The first rule that applies decides.
pub fn check(situation: &Situation, candidate: &ReplicaSet) -> Gate {
    let Situation { world, decisions, .. } = situation;
    let spec = &world.rollout.spec;
    let blue_green = spec.blue_green();
    if spec.paused == Some(true) {
        return closed(conditions::REASON_PAUSED, "is held back by spec.paused".into(), None);
    }
    // With no pods it would be available at once, and production would have no endpoints.
    let production_is_empty = situation.roles.home().is_some() && decisions.replicas == 0;
    if spec.replicas() == 0 && !production_is_empty {
        return awaits_people("waits: spec.replicas is 0. Scale it up".into());
    }
    if world.is_first_deployment(decisions) {
        return Gate::Open;
    }
    let Some(record) = situation.record(candidate) else { return awaits_people("is to be looked at".into()) };
    if approvals::needs_none(blue_green, record) || approvals::skip_analyses(blue_green, record) {
        return Gate::Open;
    }
    if let Some(closed) = of_analysis(situation, candidate, record) {
        return closed;
    }
    let needed = blue_green.required_approvals();
    let approvals = approvals::counted(blue_green, record);
    let approved = approvals.len() >= needed;
    if approved {
        return Gate::Open;
    }
    let by_itself = needed < 2 && (blue_green.auto_promotion_enabled() || blue_green.auto_promotion_seconds > Some(0));
    if by_itself && decisions.held_template == record.digest {
        let why = "waits for promotion: the status was lost, and with it what had been decided about this revision";
        return awaits_people(why.to_owned());
    }
    if let Some(seconds) = blue_green.auto_promotion_seconds.filter(|seconds| *seconds > 0) {
        return of_timer(situation, record, seconds);
    }
    if blue_green.auto_promotion_enabled() && needed < 2 {
        return Gate::Open;
    }
    if needed < 2 {
        return awaits_people("waits for promotion".to_owned());
    }
    let names: Vec<_> = approvals.iter().map(|approval| approval.by.as_str()).collect();
    let by = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    awaits_people(format!("waits for promotion ({} of {needed} approvals{by})", names.len()))
}

/// What the pre-promotion analysis keeps closed; `None` once it is good.
fn of_analysis(situation: &Situation, candidate: &ReplicaSet, record: &RevisionRecord) -> Option<Gate> {
    let spec = &situation.world.rollout.spec;
    match analysis::outcome(situation, candidate, Kind::Pre) {
        Outcome::Good => None,
        Outcome::Inconclusive(run) => {
            let blue_green = spec.blue_green();
            let since = approvals::given_since(blue_green, record, run);
            let todo = match blue_green.required_approvals() {
                0..2 => "Promote or abort it".to_owned(),
                needed => format!("It takes {needed} promotions from now on ({since} given), or an abort"),
            };
            let waits_for = format!("waits: its analysis came to no conclusion ({}). {todo}", run.message);
            Some(closed(conditions::REASON_INCONCLUSIVE, waits_for, None))
        }
        Outcome::Running(run) => {
            let waits_for = format!("is being analysed{}", in_brackets(&run.message));
            Some(closed(conditions::REASON_PRE_PROMOTION_ANALYSIS, waits_for, None))
        }
        Outcome::NotStarted if candidate.replicas == 0 && spec.replicas() == 0 => {
            Some(awaits_people("waits: there are no pods to analyse, since spec.replicas is 0. Scale it up".into()))
        }
        Outcome::NotStarted | Outcome::Failed(_) => {
            let lacks = situation.preview_lacks(candidate).unwrap_or_default();
            let waits_for = format!("is to be analysed{}", in_brackets(&lacks));
            Some(closed(conditions::REASON_PRE_PROMOTION_ANALYSIS, waits_for, None))
        }
    }
}

/// `autoPromotionSeconds`: they count from when the preview was ready.
fn of_timer(situation: &Situation, record: &RevisionRecord, seconds: i32) -> Gate {
    let now = situation.now;
    if situation.world.rollout.spec.replicas() == 0 {
        let why = "waits: spec.replicas is 0, and what has no pods is not promoted by a timer. Scale it up";
        return awaits_people(why.to_owned());
    }
    let Some(ready_at) = record.preview_ready_at else {
        return closed(conditions::REASON_AWAITING_TIMER, format!("will be promoted {seconds} s later"), None);
    };
    let due = seconds_after(ready_at, seconds);
    if now >= due {
        return Gate::Open;
    }
    let today = due.strftime("%F").to_string() == now.strftime("%F").to_string();
    let clock = due.strftime(if today { "%H:%M:%S UTC" } else { "%F %H:%M:%S UTC" });
    closed(conditions::REASON_AWAITING_TIMER, format!("will be promoted at {clock}"), Some(due))
}

fn closed(reason: &'static str, waits_for: String, until: Option<Timestamp>) -> Gate {
    Gate::Closed { reason, waits_for, until }
}

fn awaits_people(waits_for: String) -> Gate {
    closed(conditions::REASON_AWAITING_PROMOTION, waits_for, None)
}

fn in_brackets(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

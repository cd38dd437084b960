//! What is told to whoever runs `kubectl describe`: one event a transition, read off the difference of two statuses.

use greenlight_api::{BlueGreenRolloutStatus, Phase, Request, conditions};

/// An event of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Something is wrong.
    pub warning: bool,
    /// Reason: part of the API.
    pub reason: &'static str,
    /// What the operator was doing.
    pub action: &'static str,
    /// What happened, in a sentence.
    pub note: String,
    /// Who asked for it; empty if nobody did.
    pub by: String,
}

/// Every reason that an event can have.
pub const REASONS: [&str; 15] = [
    "RevisionCreated",
    "PreviewReady",
    "Promoted",
    "RolledBack",
    "RevisionRejected",
    "RequestRefused",
    conditions::REASON_DEADLINE,
    conditions::REASON_SERVICE_MISSING,
    conditions::REASON_SERVICE_CLAIMED,
    conditions::REASON_SERVICE_MISMATCH,
    conditions::REASON_TEMPLATE_REFUSED,
    conditions::REASON_WORKLOAD_MISSING,
    conditions::REASON_ANALYSIS_REFUSED,
    conditions::REASON_WORKLOAD_MISMATCH,
    "Stalled",
];

/// A ReplicaSet was created for a new template.
pub fn revision_created(revision: i64, hash: &str, image: &str) -> Event {
    normal("RevisionCreated", "Create", format!("created revision {revision} ({hash}) of {image}"))
}

/// The events of the way from one status to the next. None from no status at all: then it is only being restored.
pub fn between(before: Option<&BlueGreenRolloutStatus>, after: &BlueGreenRolloutStatus) -> Vec<Event> {
    let Some(before) = before else { return Vec::new() };
    let mut events = Vec::new();
    let proven = |status: &BlueGreenRolloutStatus| status.switch.clone().filter(|switch| switch.proven_at.is_some());
    let rejected = !after.rejected_revision.is_empty();
    let newly_rejected = rejected && before.rejected_revision != after.rejected_revision;
    match proven(after) {
        // A status that was wiped has no switch to compare with; what it names as active was announced already.
        Some(switch) if proven(before).as_ref() != Some(&switch) && before.stable_revision != switch.to => {
            let event = if rejected {
                warning("RolledBack", "Switch", after.message.clone())
            } else if switch.requested_by.is_empty() {
                normal("Promoted", "Switch", after.message.clone())
            } else {
                normal("Promoted", "Switch", format!("{}, promoted by {}", after.message, switch.requested_by))
            };
            events.push(Event { by: switch.requested_by, ..event });
        }
        _ if newly_rejected => {
            events.push(Event { by: asker(after), ..warning("RevisionRejected", "Reject", after.message.clone()) });
        }
        _ => {}
    }
    let waits_for_new = before.phase != Phase::Paused || before.updated_revision != after.updated_revision;
    if after.phase == Phase::Paused && waits_for_new {
        events.push(normal("PreviewReady", "Preview", after.message.clone()));
    }
    let stalled = |status: &BlueGreenRolloutStatus| {
        let stalled = status.conditions.iter().find(|condition| condition.type_ == conditions::STALLED);
        stalled.map(|condition| condition.reason.clone()).filter(|reason| reason != conditions::REASON_REJECTED)
    };
    if let Some(reason) = stalled(after).filter(|reason| stalled(before).as_ref() != Some(reason)) {
        events.push(warning(stall_reason(&reason), "Reconcile", after.message.clone()));
    }
    if let Some(request) = &after.observed_request
        && !request.accepted
        && before.observed_request.as_ref() != Some(request)
    {
        events.push(Event { by: asker(after), ..warning("RequestRefused", "Request", request.answer.clone()) });
    }
    events
}

/// Who made the last request.
fn asker(status: &BlueGreenRolloutStatus) -> String {
    let request =
        status.observed_request.as_ref().and_then(|request| serde_json::from_str::<Request>(&request.value).ok());
    request.map(|request| request.by).unwrap_or_default()
}

/// The reasons of `Stalled` are also reasons of events.
fn stall_reason(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or("Stalled")
}

fn normal(reason: &'static str, action: &'static str, note: String) -> Event {
    Event { warning: false, reason, action, note, by: String::new() }
}

fn warning(reason: &'static str, action: &'static str, note: String) -> Event {
    Event { warning: true, reason, action, note, by: String::new() }
}

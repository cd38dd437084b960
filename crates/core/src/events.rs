//! The events that `kubectl describe` shows: one a transition, read off the difference of two statuses.

use greenlight_api::events::{
    MOVED_BACK, PREVIEW_READY, PROMOTED, REQUEST_REFUSED, REVISION_CREATED, REVISION_REJECTED, ROLLED_BACK, STALLED,
};
use greenlight_api::names::FIELD_MANAGER;
use greenlight_api::{
    BlueGreenRolloutStatus, Decisions, Phase, Rejection, Request, RevisionRecord, Switch, conditions,
};

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
pub const REASONS: [&str; 18] = [
    REVISION_CREATED,
    PREVIEW_READY,
    PROMOTED,
    ROLLED_BACK,
    MOVED_BACK,
    REVISION_REJECTED,
    REQUEST_REFUSED,
    conditions::REASON_INCONCLUSIVE,
    conditions::REASON_DEADLINE,
    conditions::REASON_SERVICE_MISSING,
    conditions::REASON_SERVICE_CLAIMED,
    conditions::REASON_SERVICE_MISMATCH,
    conditions::REASON_TEMPLATE_REFUSED,
    conditions::REASON_WORKLOAD_MISSING,
    conditions::REASON_ANALYSIS_REFUSED,
    conditions::REASON_WORKLOAD_MISMATCH,
    conditions::REASON_WRITE_REFUSED,
    STALLED,
];

/// A ReplicaSet was created for a new template.
pub fn revision_created(revision: i64, hash: &str, image: &str) -> Event {
    normal(REVISION_CREATED, "Create", format!("created revision {revision} ({hash}) of {image}"))
}

/// A Service that a person moved by hand was moved back, and why.
pub fn moved_back(note: String) -> Event {
    warning(MOVED_BACK, "Switch", note)
}

/// The events of the way from one status to the next. None from no status at all: then it is only being restored. `is_there` tells whether a revision,
/// by its hash, has a ReplicaSet that is not being deleted.
pub fn between(
    before: Option<&BlueGreenRolloutStatus>,
    after: &BlueGreenRolloutStatus,
    is_there: impl Fn(&str) -> bool,
) -> Vec<Event> {
    let Some(before) = before else { return Vec::new() };
    let mut events = Vec::new();
    let named = |status: &BlueGreenRolloutStatus, hash: &str| name(status.decisions.as_ref(), hash);
    let proven = |status: &BlueGreenRolloutStatus| status.switch.clone().filter(|switch| switch.proven_at.is_some());
    let is_rejected =
        |hash: &str| after.decisions.as_ref().is_some_and(|decisions| decisions.rejection(hash).is_some());
    // A status that was wiped, or only told why the rollout could not be read, has no switch to compare with; what it names as active, if
    // anything, was announced already.
    let restored = |to: &str| before.switch.is_none() && (before.decisions.is_none() || before.active_revision == to);
    if let Some(switch) = proven(after)
        && proven(before).as_ref() != Some(&switch)
        && (before.stable_revision != switch.to || is_rejected(&switch.from) && !was_proven(before, &switch))
        && !restored(&switch.to)
    {
        // What never served was promoted, whoever rejected what it takes over from.
        let known = before.decisions.as_ref().and_then(|it| it.revision(&switch.to));
        let is_back = known.is_none_or(|known| known.served_at.is_some());
        let rejection = after.decisions.as_ref().and_then(|it| it.rejection(&switch.from));
        let event = if let Some(rejection) = rejection
            && is_back
        {
            let Rejection { by, reason, .. } = rejection;
            let (from, to) = (named(after, &switch.from), named(after, &switch.to));
            warning(ROLLED_BACK, "Switch", format!("{from} was rejected by {by} ({reason}); {to} serves"))
        } else if !is_there(&switch.from) && is_way_back(before, after, &switch) {
            let (from, to) = (named(before, &switch.from), named(after, &switch.to));
            warning(ROLLED_BACK, "Switch", format!("the ReplicaSet of {from} is gone; {to} serves"))
        } else {
            // The message may speak of a newer revision by now.
            let by = if switch.requested_by.is_empty() {
                String::new()
            } else {
                format!(", promoted by {}", switch.requested_by)
            };
            let plain = after.updated_revision == switch.to && after.phase == Phase::Healthy;
            let note = if plain { after.message.clone() } else { format!("{} is active", named(after, &switch.to)) };
            normal(PROMOTED, "Switch", note + &by)
        };
        events.push(Event { by: switch.requested_by, ..event });
    } else if let Some((revision, Rejection { by, reason, .. })) = newly_rejected(before, after) {
        // The message may speak of what serves, or of a stall.
        let how = format!("was rejected by {by} ({reason})");
        let is_told = after.message.contains(&how);
        let note = if is_told { after.message.clone() } else { format!("{} {how}", named(after, &revision.hash)) };
        let by = if by == FIELD_MANAGER { String::new() } else { by.clone() };
        events.push(Event { by, ..warning(REVISION_REJECTED, "Reject", note) });
    }
    let waits_for_new = before.phase != Phase::Paused || before.updated_revision != after.updated_revision;
    if after.phase == Phase::Paused && waits_for_new {
        // Where what the spec asks for serves, nothing waits in preview: people are asked about what serves.
        let serves = after.decisions.as_ref().is_some_and(|decisions| decisions.serving == after.updated_revision);
        events.push(if serves {
            warning(conditions::REASON_INCONCLUSIVE, "Analyse", after.message.clone())
        } else {
            normal(PREVIEW_READY, "Preview", after.message.clone())
        });
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
        events.push(Event { by: asker(after), ..warning(REQUEST_REFUSED, "Request", request.answer.clone()) });
    }
    events
}

/// This very move was proven, and told, before; only its proof was made again.
fn was_proven(before: &BlueGreenRolloutStatus, switch: &Switch) -> bool {
    let record = before.decisions.as_ref().and_then(|decisions| decisions.revision(&switch.to));
    record.and_then(|record| record.served_at).is_some_and(|served_at| served_at >= switch.switched_at)
}

/// Production went from one revision to another that served before, and that the spec does not ask for. If nobody rejected the first, its ReplicaSet was
/// deleted.
fn is_way_back(before: &BlueGreenRolloutStatus, after: &BlueGreenRolloutStatus, switch: &Switch) -> bool {
    let back_to = before.decisions.as_ref().and_then(|decisions| decisions.revision(&switch.to));
    let has_served = back_to.is_some_and(|revision| revision.served_at.is_some());
    has_served && !switch.from.is_empty() && switch.to != after.updated_revision
}

/// `revision 2 (5shpm7h2q6)`; `revision 5shpm7h2q6` if its number is not known.
pub fn name(decisions: Option<&Decisions>, hash: &str) -> String {
    match decisions.and_then(|decisions| decisions.revision(hash)) {
        Some(revision) => format!("revision {} ({hash})", revision.number),
        None => format!("revision {hash}"),
    }
}

/// The rejection of a revision that does not serve, if it is new. That one which served was rejected is told when production has
/// left it.
fn newly_rejected<'a>(
    before: &BlueGreenRolloutStatus,
    after: &'a BlueGreenRolloutStatus,
) -> Option<(&'a RevisionRecord, &'a Rejection)> {
    let (before, after) = (before.decisions.as_ref()?, after.decisions.as_ref()?);
    let others =
        after.revisions.iter().filter(|revision| revision.hash != after.serving && revision.hash != before.serving);
    let new = others.filter(|revision| before.rejection(&revision.hash) != revision.rejection.as_ref());
    new.filter_map(|revision| Some((revision, revision.rejection.as_ref()?))).next()
}

/// Who made the last request.
fn asker(status: &BlueGreenRolloutStatus) -> String {
    let request =
        status.observed_request.as_ref().and_then(|request| serde_json::from_str::<Request>(&request.value).ok());
    request.map(|request| request.by).unwrap_or_default()
}

/// The reasons of `Stalled` are also reasons of events.
fn stall_reason(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or(STALLED)
}

fn normal(reason: &'static str, action: &'static str, note: String) -> Event {
    Event { warning: false, reason, action, note, by: String::new() }
}

fn warning(reason: &'static str, action: &'static str, note: String) -> Event {
    Event { warning: true, reason, action, note, by: String::new() }
}

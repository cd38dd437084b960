//! What is reported: one phase, one sentence, five conditions, and the facts. A reader must be able to act on the sentence alone.

use greenlight_api::conditions as names;
use greenlight_api::names as annotations;
use greenlight_api::{BlueGreenRolloutStatus, Phase, Progress, Rejection, Release, Switch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::analysis::Outcome;
use crate::gate::Gate;
use crate::request::Asked;
use crate::restart::Restart;
use crate::stall::Stall;
use crate::switch::Proof;
use crate::target::Target;
use crate::world::{ReplicaSet, World};
use crate::{pods, progress};

/// A change of counts and words alone is written at most this often.
const DETAIL_INTERVAL: SignedDuration = SignedDuration::from_secs(2);
/// A proof usually takes less than this; only one that takes longer is worth a status of its own.
const USUAL_PROOF: SignedDuration = SignedDuration::from_secs(1);

/// What the rest of the plan found out.
pub struct Findings<'a> {
    /// The roles.
    pub target: &'a Target<'a>,
    /// The gate of the candidate, if there is one.
    pub gate: Option<Gate>,
    /// The pods that the candidate, or else the active set, should have.
    pub wanted: i32,
    /// The proof of the last move.
    pub proof: Proof,
    /// The request.
    pub request: &'a Asked,
    /// What only somebody outside can mend.
    pub stall: Option<Stall>,
    /// The progress of the desired set, if it is not available or its pods are being replaced.
    pub progress: Option<Progress>,
    /// The post-promotion analysis, if the desired set serves.
    pub post: Option<Outcome<'a>>,
    /// The restart of the desired set, if one is under way.
    pub restart: Option<Restart<'a>>,
}

/// The headline of a status.
struct Verdict {
    phase: Phase,
    reason: &'static str,
    message: String,
}

/// Composes the status.
pub fn compose(world: &World, findings: &Findings, now: Timestamp) -> BlueGreenRolloutStatus {
    let before = world.rollout.status.clone().unwrap_or_default();
    let target = findings.target;
    let verdict = verdict(world, findings, now);
    let hash = |set: Option<&ReplicaSet>| set.map(|set| set.hash.clone()).unwrap_or_default();
    let active = target.active;
    let selected = active.filter(|_| target.active_selected);
    let wanted_active = active.map_or(0, |set| set.replicas);
    let preview = world.rollout.spec.blue_green().preview_service.as_ref();
    let preview = preview.and_then(|name| world.services.get(name)?.hash());
    let preview = preview.filter(|hash| *hash != annotations::NO_HASH).unwrap_or_default();
    let proven = matches!(findings.proof, Proof::Proven(_));
    let rejected = if target.rejection.is_some() { hash(target.asked) } else { String::new() };
    let mut status = BlueGreenRolloutStatus {
        phase: verdict.phase,
        observed_generation: world.rollout.generation,
        replicas: active.map_or(0, |set| set.current),
        ready_replicas: active.map_or(0, |set| set.ready),
        available_replicas: active.map_or(0, |set| set.available),
        ready: format!("{}/{wanted_active}", active.map_or(0, |set| set.ready)),
        selector: world.rollout.spec.selector_of(active.map(|set| set.hash.as_str())),
        restarted_at: active.and_then(|set| set.timestamp(annotations::RESTARTED_AT)),
        current_revision: target.asked.map_or(before.current_revision, ReplicaSet::revision),
        updated_revision: hash(target.asked),
        active_revision: hash(selected),
        preview_revision: preview.to_owned(),
        stable_revision: if proven { hash(selected) } else { before.stable_revision.clone() },
        rejected_revision: rejected,
        release: release(&before, findings, &verdict, now),
        switch: switch(&before, selected, findings, proven),
        progress: findings.progress.clone(),
        observed_request: findings.request.observed.clone(),
        conditions: Vec::new(),
        message: String::new(),
    };
    let available = active.is_some_and(|set| set.is_available(set.replicas));
    status.conditions = conditions(&before, &verdict, available, world.rollout.generation, now);
    status.message = verdict.message;
    status
}

/// When to publish: `None` if nothing changed, or not before something more is known.
pub fn publish_at(
    world: &World,
    status: &BlueGreenRolloutStatus,
    findings: &Findings,
    now: Timestamp,
) -> Option<Timestamp> {
    let unproven = matches!(findings.proof, Proof::Missing(_));
    let Some(before) = &world.rollout.status else {
        // A lost status is restored as a whole: a switch that was proven before does not look like a new one.
        return (!unproven || !world.endpoints.is_empty()).then_some(now);
    };
    if before == status {
        return None;
    }
    let moved_at = findings.target.active.and_then(ReplicaSet::promoted_at);
    let proving = unproven && findings.target.candidate().is_none();
    if let (true, Some(moved_at)) = (proving, moved_at) {
        return Some(now.max(moved_at + USUAL_PROOF));
    }
    let only_details = headline(before) == headline(status);
    let last = world.published_at.filter(|_| only_details);
    Some(last.map_or(now, |last| now.max(last + DETAIL_INTERVAL)))
}

/// The status without what may change every moment.
fn headline(status: &BlueGreenRolloutStatus) -> BlueGreenRolloutStatus {
    let mut status = status.clone();
    status.message.clear();
    status.ready.clear();
    status.progress = None;
    (status.replicas, status.ready_replicas, status.available_replicas) = (0, 0, 0);
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

fn verdict(world: &World, findings: &Findings, now: Timestamp) -> Verdict {
    let target = findings.target;
    let say = |phase, reason, message: String| Verdict { phase, reason, message };
    if let Some(stall) = &findings.stall {
        return say(Phase::Degraded, stall.reason, stall.message.clone());
    }
    let Some(desired) = target.desired else {
        return say(Phase::Pending, names::REASON_PROGRESSING, "creating the first revision".into());
    };
    let waiting = waiting(world, findings, desired, now);
    if let Some(rejection) = &target.rejection {
        return say(Phase::Degraded, names::REASON_REJECTED, rejected(world, findings, rejection, waiting));
    }
    if let Some(verdict) = waiting {
        return verdict;
    }
    let revision = describe(world, target, desired);
    if target.candidate().is_none() {
        match &findings.post {
            Some(Outcome::Inconclusive(run)) => {
                let message = format!(
                    "{revision} serves, but its analysis came to no conclusion ({}). Promote it to keep it, or undo",
                    run.message
                );
                return say(Phase::Paused, names::REASON_INCONCLUSIVE, message);
            }
            Some(Outcome::UnderWay(run)) => {
                let message = format!("{revision} serves and is being analysed; {}", run.message);
                return say(Phase::Progressing, names::REASON_POST_PROMOTION_ANALYSIS, message);
            }
            Some(Outcome::Absent | Outcome::Bad(_)) => {
                let message = format!("{revision} serves and is to be analysed");
                return say(Phase::Progressing, names::REASON_POST_PROMOTION_ANALYSIS, message);
            }
            Some(Outcome::Good) | None => {}
        }
        return say(Phase::Healthy, names::REASON_HEALTHY, format!("{revision} is active"));
    }
    match &findings.gate {
        Some(Gate::Closed { reason, waits_for, .. }) => {
            let shown = if world.rollout.spec.blue_green().preview_service.is_some() { " in preview" } else { "" };
            let by_itself = *reason == names::REASON_PRE_PROMOTION_ANALYSIS;
            let phase = if by_itself { Phase::Progressing } else { Phase::Paused };
            say(phase, reason, format!("{revision} is ready{shown} and {waits_for}"))
        }
        _ => say(Phase::Progressing, names::REASON_PROGRESSING, format!("moving production to {revision}")),
    }
}

/// What the desired set still lacks, if anything.
fn waiting(world: &World, findings: &Findings, set: &ReplicaSet, now: Timestamp) -> Option<Verdict> {
    let target = findings.target;
    let revision = describe(world, target, set);
    let wanted = findings.wanted;
    if let Some(progress) = &findings.progress {
        let cause = pods::cause(world, set).map(|cause| format!("; {cause}")).unwrap_or_default();
        let restart = findings.restart.as_ref().filter(|_| set.is_available(wanted));
        let (reason, count) = match restart {
            Some(restart) => (names::REASON_RESTARTING, format!("restarting {revision}: {}", restart.progress(world))),
            None => (names::REASON_PROGRESSING, format!("{} of {wanted} pods of {revision} available", set.available)),
        };
        let seconds = world.rollout.spec.progress_deadline_seconds();
        return Some(if now >= progress::deadline(world, progress) {
            let message = format!("{count}, no progress for {seconds} s{cause}");
            Verdict { phase: Phase::Degraded, reason: names::REASON_DEADLINE, message }
        } else {
            Verdict { phase: Phase::Progressing, reason, message: format!("{count}{cause}") }
        });
    }
    match &findings.proof {
        Proof::Missing(missing) if target.is_active(set) => Some(Verdict {
            phase: Phase::Progressing,
            reason: names::REASON_PROVING,
            message: format!("moved to {revision}; {missing}"),
        }),
        _ => None,
    }
}

fn rejected(world: &World, findings: &Findings, rejection: &Rejection, waiting: Option<Verdict>) -> String {
    let target = findings.target;
    let asked = target.asked.map(|set| describe(world, target, set)).unwrap_or_default();
    let serving = target.desired.map(|set| describe(world, target, set)).unwrap_or_default();
    let state = match waiting {
        Some(waiting) => format!("on the way back to {serving}: {}", waiting.message),
        None if target.candidate().is_some() => format!("{serving} is about to serve"),
        None => format!("{serving} serves"),
    };
    format!("{asked} was rejected by {} ({}); {state}. Change spec.template, or retry", rejection.by, rejection.reason)
}

/// `revision 2 (app:v2)`; the image is only known of the revision that the spec asks for.
fn describe(world: &World, target: &Target, set: &ReplicaSet) -> String {
    if target.is_asked(set) && !world.rollout.template.image.is_empty() {
        format!("revision {} ({})", set.revision(), world.rollout.template.image)
    } else {
        format!("revision {} ({})", set.revision(), set.hash)
    }
}

fn switch(
    before: &BlueGreenRolloutStatus,
    active: Option<&ReplicaSet>,
    findings: &Findings,
    proven: bool,
) -> Option<Switch> {
    let Some((active, switched_at)) = active.and_then(|set| Some((set, set.promoted_at()?))) else {
        return before.switch.clone();
    };
    let proven_at = match findings.proof {
        Proof::Proven(at) if proven => Some(at),
        _ => None,
    };
    let same = before.switch.as_ref().filter(|last| last.to == active.hash && last.switched_at == switched_at);
    if let Some(same) = same {
        return Some(Switch { proven_at, ..same.clone() });
    }
    let from = if before.active_revision == active.hash { String::new() } else { before.active_revision.clone() };
    let requested_at = findings.request.requested_at.filter(|at| *at <= switched_at);
    let requested_by = requested_at.map(|_| findings.request.requested_by.clone()).unwrap_or_default();
    Some(Switch { from, to: active.hash.clone(), requested_at, requested_by, switched_at, proven_at })
}

fn release(before: &BlueGreenRolloutStatus, findings: &Findings, verdict: &Verdict, now: Timestamp) -> Option<Release> {
    let asked = findings.target.asked?;
    let same = before.release.clone().filter(|release| release.revision == asked.hash);
    let mut release = same.unwrap_or_else(|| {
        // A status that was lost begins anew: the set knows since when it is wanted.
        let lost = before.updated_revision.is_empty() || before.updated_revision == asked.hash;
        let seen_at = asked.timestamp(annotations::SCALED_AT).filter(|_| lost).unwrap_or(now);
        Release { revision: asked.hash.clone(), seen_at, preview_ready_at: None }
    });
    let waits = matches!(findings.gate, Some(Gate::Closed { .. })) && verdict.phase != Phase::Degraded;
    if waits && findings.progress.is_none() && release.preview_ready_at.is_none() {
        release.preview_ready_at = Some(now);
    }
    Some(release)
}

fn conditions(
    before: &BlueGreenRolloutStatus,
    verdict: &Verdict,
    available: bool,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let reconciling = matches!(verdict.phase, Phase::Pending | Phase::Progressing | Phase::Paused);
    let available_reason = if available { "PodsAvailable" } else { "PodsUnavailable" };
    let shown = [
        (names::READY, verdict.phase == Phase::Healthy, true, verdict.reason),
        (names::AVAILABLE, available, true, available_reason),
        (names::PAUSED, verdict.phase == Phase::Paused, true, verdict.reason),
        (names::RECONCILING, reconciling, reconciling, verdict.reason),
        (names::STALLED, verdict.phase == Phase::Degraded, verdict.phase == Phase::Degraded, verdict.reason),
    ];
    let condition = |(type_, value, _, reason): (&str, bool, bool, &str)| {
        let status = if value { "True" } else { "False" };
        let since = before.conditions.iter().find(|old| old.type_ == type_ && old.status == status);
        let about_pods = type_ == names::AVAILABLE;
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: if about_pods { String::new() } else { verdict.message.clone() },
            last_transition_time: since.map_or(Time(now), |old| old.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    shown.into_iter().filter(|(_, _, shown, _)| *shown).map(condition).collect()
}

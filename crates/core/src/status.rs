//! What is reported: one phase, one sentence, five conditions, and the facts. A reader must be able to act on the sentence alone.

use greenlight_api::conditions as names;
use greenlight_api::names as annotations;
use greenlight_api::{BlueGreenRolloutStatus, Decisions, ObservedRequest, Phase, Progress, Rejection, Release};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::analysis::Outcome;
use crate::approvals;
use crate::decisions;
use crate::gate::Gate;
use crate::overlap;
use crate::request;
use crate::restart::Restart;
use crate::rollback;
use crate::situation::Situation;
use crate::stall::Stall;
use crate::switch::{self, Proof};
use crate::words::brief;
use crate::world::{ReplicaSet, Rollout, Run, Selection, World};
use crate::{pods, progress};

/// A change of counts and words alone is written at most this often.
const DETAIL_INTERVAL: SignedDuration = SignedDuration::from_secs(2);
/// A proof usually takes less than this; only one that takes longer is worth a status of its own.
const USUAL_PROOF: SignedDuration = SignedDuration::from_secs(1);

/// What the rest of the plan found out.
pub struct Findings<'a> {
    /// The situation.
    pub situation: Situation<'a>,
    /// The gate of the candidate, if there is one.
    pub gate: Option<Gate>,
    /// The revision that things wait for: the one that production goes back to, else the candidate, else what serves.
    pub focus: Option<&'a ReplicaSet>,
    /// The pods that it should have.
    pub wanted: i32,
    /// The proof of the last move.
    pub proof: Proof,
    /// What one of production's Services lacks.
    pub lacking: Option<String>,
    /// The preview Service does not show yet what it should.
    pub moves_preview: bool,
    /// The answer to the request in the register.
    pub answer: Option<ObservedRequest>,
    /// What only somebody outside can mend.
    pub stall: Option<Stall>,
    /// The progress of the revision in focus, if it is not available or its pods are being replaced.
    pub progress: Option<Progress>,
    /// The progress of the proof of the last move, or of that of the preview before an analysis, if nothing else is waited for.
    pub proving: Option<Progress>,
    /// The post-promotion analysis of what serves.
    pub post: Option<Outcome<'a>>,
    /// The restart of the revision in focus, if one is under way.
    pub restart: Option<Restart<'a>>,
}

/// The headline of a status.
struct Verdict {
    phase: Phase,
    reason: &'static str,
    message: String,
}

/// Composes the status.
pub fn compose(findings: &Findings) -> BlueGreenRolloutStatus {
    let Situation { world, decisions, roles, now } = findings.situation;
    let none = BlueGreenRolloutStatus::default();
    let before = world.rollout.status.as_ref().unwrap_or(&none);
    let mut verdict = verdict(findings);
    let beside = beside(findings).into_iter().filter(|told| !verdict.message.contains(told));
    let told: Vec<String> = trouble(findings).into_iter().chain([verdict.message.clone()]).chain(beside).collect();
    verdict.message = brief(told.join("; "));
    let serving = roles.serving().or(roles.home());
    let preview = world.rollout.spec.blue_green().preview_service.as_ref();
    let preview = match preview.and_then(|name| world.services.get(name)).map(|service| service.selection()) {
        Some(Selection::Revision(hash)) => hash,
        _ => String::new(),
    };
    let updated = if world.template_is_unknown() && roles.updated.is_none() {
        String::new()
    } else {
        request::updated_hash(&findings.situation)
    };
    let stable = match roles.at_home() {
        Some(home) if findings.proof.is_there() => &home.hash,
        _ => &before.stable_revision,
    };
    let mut status = BlueGreenRolloutStatus {
        phase: verdict.phase,
        observed_generation: world.rollout.generation,
        replicas: serving.map_or(0, |rs| rs.current),
        ready_replicas: serving.map_or(0, |rs| rs.ready),
        available_replicas: serving.map_or(0, |rs| rs.available),
        ready: format!("{}/{}", serving.map_or(0, |rs| rs.ready), serving.map_or(0, |rs| rs.replicas)),
        selector: world.rollout.spec.selector_of(serving.map(|rs| rs.hash.as_str())),
        restarted_at: serving.and_then(|rs| rs.timestamp(annotations::RESTARTED_AT)),
        current_revision: decisions.revision(&updated).map_or(before.current_revision, |revision| revision.number),
        active_revision: active(findings.situation).unwrap_or_default(),
        preview_revision: preview,
        stable_revision: stable.clone(),
        rejected_revision: decisions.rejection(&updated).map(|_| updated.clone()).unwrap_or_default(),
        release: release(before, findings, &verdict, &updated),
        updated_revision: updated,
        switch: switch::last(&findings.situation, &findings.proof),
        progress: findings.progress.clone().or_else(|| findings.proving.clone()),
        observed_request: findings.answer.clone(),
        decisions: Some(decisions::pruned(world, decisions.clone())),
        conditions: Vec::new(),
        message: String::new(),
    };
    // The additional pod of a restart is not needed; and no pod is not enough, whoever took them all.
    let needed = |rs: &ReplicaSet| rs.replicas.clamp(decisions.replicas.min(1), decisions.replicas);
    // As they were counted last, also while its controller has not seen a change: it would be called unavailable whenever it is scaled down.
    let available = serving.is_some_and(|rs| rs.available >= needed(rs));
    status.conditions = conditions(before, &verdict, available, world.rollout.generation, now);
    status.message = verdict.message;
    status
}

/// The status of a rollout that is being deleted: as it was, unless something holds the deletion up, or did. Whether it `waits` for what is seen behind its
/// Services.
pub fn of_deletion(world: &World, held_up: Option<Stall>, waits: bool, now: Timestamp) -> BlueGreenRolloutStatus {
    let before = world.rollout.status.clone().unwrap_or_default();
    let generation = world.rollout.generation;
    let was_held_up = || before.conditions.iter().any(|old| old.reason == names::REASON_WRITE_REFUSED);
    let verdict = match held_up {
        Some(Stall { reason, message }) => Verdict { phase: Phase::Degraded, reason, message: brief(message) },
        None if was_held_up() => {
            let rest = if waits { "looks at which pods its Services still lead to" } else { "has let it go" };
            let message = format!("is being deleted; the operator {rest}");
            Verdict { phase: Phase::Progressing, reason: names::REASON_PROGRESSING, message }
        }
        None => return before,
    };
    let available = was_available(&before);
    BlueGreenRolloutStatus {
        phase: verdict.phase,
        observed_generation: generation,
        conditions: conditions(&before, &verdict, available, generation, now),
        message: verdict.message,
        ..before
    }
}

/// The status of a rollout on which work fails again and again, so that there is no plan whose status could say so: as it was, with what keeps the
/// operator from going on. Nothing else of it is new: what was found out since may rest on what could not be read. So the conditions speak of the spec of
/// this generation, on which work failed last, and the rest of the status of the one that it spoke of before. `None` without a record: a status that has
/// none is taken for an older version's.
pub fn of_trouble(
    rollout: &Rollout,
    failed_on: i64,
    message: String,
    now: Timestamp,
) -> Option<BlueGreenRolloutStatus> {
    let before = rollout.status.clone().filter(|before| before.decisions.is_some())?;
    let verdict = Verdict { phase: Phase::Degraded, reason: names::REASON_WRITE_REFUSED, message: brief(message) };
    let available = was_available(&before);
    // An operator that just took over does not know yet on what the one before it failed.
    let told_of = before.conditions.iter().filter_map(|old| old.observed_generation).max();
    let generation = failed_on.max(told_of.unwrap_or(before.observed_generation));
    Some(BlueGreenRolloutStatus {
        phase: verdict.phase,
        conditions: conditions(&before, &verdict, available, generation, now),
        message: verdict.message,
        ..before
    })
}

fn was_available(before: &BlueGreenRolloutStatus) -> bool {
    before.conditions.iter().any(|old| old.type_ == names::AVAILABLE && old.status == "True")
}

/// The revision that production really is with: the first active Service leads there, and its ReplicaSet exists.
fn active(situation: Situation) -> Option<String> {
    let Situation { world, decisions, .. } = situation;
    let hash = match world.production_services().next().map(|service| (service.selection(), service)) {
        Some((Selection::Revision(hash), _)) => hash,
        Some((Selection::Both(_), service)) => service.production.clone()?,
        Some((Selection::Nothing | Selection::Unmanaged, _)) => return None,
        None if world.rollout.spec.blue_green().active_service.is_some() => return None,
        None => decisions.serving.clone(),
    };
    world.replica_sets.iter().any(|rs| rs.hash == hash).then_some(hash)
}

/// When to publish: `None` if nothing changed, or not before something more is known.
pub fn publish_at(status: &BlueGreenRolloutStatus, findings: &Findings, replan: bool) -> Option<Timestamp> {
    let Situation { world, roles, now, .. } = findings.situation;
    let unproven = matches!(findings.proof, Proof::Missing(_));
    let Some(before) = world.rollout.status.as_ref().filter(|before| decisions::tells_of_revisions(before)) else {
        // A lost status is restored as a whole: a switch that was proven before does not look like a new one. What keeps the endpoints from
        // being seen is told all the same.
        let is_read = || switch::to_prove(world).into_iter().any(|service| world.endpoints.contains_key(service));
        return (!unproven || is_read() || world.blind).then_some(now);
    };
    if before == status {
        return None;
    }
    let overlapping = world.active_services().any(|service| service.is_overlapping());
    if replan || overlapping {
        return Some(now);
    }
    // From the future it is by another operator's clock, or forged: it would be now at every look.
    let moved_at = roles.at_home().and_then(ReplicaSet::claimed_at).filter(|at| *at <= now);
    let proving = unproven && roles.candidate.is_none();
    if let (true, Some(moved_at)) = (proving, moved_at) {
        return Some(now.max(moved_at + USUAL_PROOF));
    }
    let only_details = headline(before) == headline(status);
    // From the future it is by a clock that was set back since.
    let last = world.published_at.filter(|last| only_details && *last <= now);
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

fn say(phase: Phase, reason: &'static str, message: String) -> Verdict {
    Verdict { phase, reason, message }
}

/// The headline: the first of these that applies. What is wrong comes before what is waited for, and that before what is well.
fn verdict(findings: &Findings) -> Verdict {
    let Situation { world, roles, .. } = findings.situation;
    if let Some(stall) = &findings.stall {
        let told = [Some(stall.message.clone()), behind_a_stall(findings)];
        return say(Phase::Degraded, stall.reason, told.into_iter().flatten().collect::<Vec<_>>().join("; "));
    }
    let Some(focus) = findings.focus else {
        return match rejection_of_updated(&findings.situation) {
            Some((hash, rejection)) => {
                say(Phase::Degraded, names::REASON_REJECTED, rejected(findings, &hash, rejection, None))
            }
            None => say(Phase::Pending, names::REASON_PROGRESSING, "creating the first revision".into()),
        };
    };
    let waiting = waiting(findings, focus);
    if let Some(message) = stays_although_rejected(&findings.situation) {
        return say(Phase::Degraded, names::REASON_REJECTED, message);
    }
    if let Some((hash, rejection)) = rejection_of_updated(&findings.situation) {
        return say(Phase::Degraded, names::REASON_REJECTED, rejected(findings, &hash, rejection, waiting));
    }
    if let Some((hash, rejection)) = rejection_of_what_is_left(&findings.situation) {
        let message = rejected(findings, &hash, rejection, waiting);
        return say(Phase::Progressing, names::REASON_ROLLING_BACK, message);
    }
    if let Some(verdict) = waiting {
        return verdict;
    }
    let revision = describe(&findings.situation, focus);
    if roles.updated.is_none() && !world.template_is_unknown() {
        let message = format!("{revision} serves; creating the revision of {}", world.rollout.template.image);
        return say(Phase::Progressing, names::REASON_PROGRESSING, message);
    }
    match &findings.gate {
        Some(gate) => of_candidate(findings, focus, gate),
        None => of_production(findings, focus),
    }
}

/// The headline of a rollout with a candidate, when the pods in focus lack nothing.
fn of_candidate(findings: &Findings, focus: &ReplicaSet, gate: &Gate) -> Verdict {
    let Situation { world, decisions, roles, .. } = findings.situation;
    let revision = describe(&findings.situation, focus);
    match gate {
        // Who is asked to promote it can look at it.
        Gate::Closed { .. } if findings.moves_preview => {
            say(Phase::Progressing, names::REASON_PROGRESSING, format!("moving the preview to {revision}"))
        }
        Gate::Closed { reason, waits_for, .. } => {
            let shown = if world.rollout.spec.blue_green().preview_service.is_some() { " in preview" } else { "" };
            let by_itself = *reason == names::REASON_PRE_PROMOTION_ANALYSIS;
            let (phase, late) = if by_itself {
                let preview = findings.situation.shown_by(focus);
                let is_seen = preview.is_some_and(|service| world.endpoints.contains_key(service));
                of_proof(findings, reason, is_seen)
            } else {
                (Phase::Paused, String::new())
            };
            let gone = if decisions.serving.is_empty() || roles.serving().is_some() || roles.home().is_some() {
                String::new()
            } else {
                match decisions.revision(&decisions.serving) {
                    Some(lost) => format!("production is down: the ReplicaSet of revision {} is gone; ", lost.number),
                    // Only a Service tells of it, and may lead to its pods still.
                    None => format!("{}; ", findings.situation.where_nowhere()),
                }
            };
            let ready = if focus.replicas > 0 { format!(" is ready{shown} and") } else { String::new() };
            say(phase, reason, format!("{gone}{revision}{ready} {waits_for}{late}"))
        }
        Gate::Open if switch::waits_for_overlap(&findings.situation, focus) => {
            let message = format!("{revision} is ready; it follows when the overlap before it is over");
            say(Phase::Progressing, names::REASON_PROGRESSING, message)
        }
        Gate::Open => {
            let unseen = unseen(&findings.situation, overlap::waits_for(&findings.situation, focus));
            say(Phase::Progressing, names::REASON_PROGRESSING, format!("moving production to {revision}{unseen}"))
        }
    }
}

/// What the controllers of Kubernetes have not seen yet of the ReplicaSet that a move by way of both revisions waits for.
fn unseen(situation: &Situation, kept_by: Option<&ReplicaSet>) -> String {
    let Some(rs) = kept_by else { return String::new() };
    let (revision, seen, all) = (describe(situation, rs), rs.fully_labeled, rs.current);
    if !rs.settled {
        return format!("; Kubernetes has not seen the last change of the ReplicaSet of {revision} yet");
    }
    // Where somebody has changed another label of a pod, a webhook say, people would look at the wrong one.
    format!(
        "; Kubernetes has seen the labels of the overlap on {seen} of {all} pods of {revision}. A pod without all labels \
         of its template does not count"
    )
}

/// The headline of a rollout without a candidate, when the pods in focus lack nothing.
fn of_production(findings: &Findings, focus: &ReplicaSet) -> Verdict {
    let Situation { decisions, roles, .. } = findings.situation;
    let revision = describe(&findings.situation, focus);
    match &findings.post {
        Some(Outcome::Inconclusive(run)) => {
            say(Phase::Paused, names::REASON_INCONCLUSIVE, no_conclusion(&findings.situation, focus, run))
        }
        Some(Outcome::Running(run)) => {
            let message = format!("{revision} serves and is being analysed; {}", run.message);
            say(Phase::Progressing, names::REASON_POST_PROMOTION_ANALYSIS, message)
        }
        Some(Outcome::Failed(run)) => {
            let message = nowhere_to_go(&findings.situation, focus, run);
            say(Phase::Degraded, names::REASON_POST_PROMOTION_ANALYSIS, message)
        }
        Some(Outcome::NotStarted) if decisions.replicas == 0 && roles.at_home().is_some() => {
            let message = format!("{revision} is active; it is to be analysed when spec.replicas is more than 0");
            say(Phase::Healthy, names::REASON_HEALTHY, message)
        }
        Some(Outcome::NotStarted) => {
            let message = format!("{revision} serves and is to be analysed");
            say(Phase::Progressing, names::REASON_POST_PROMOTION_ANALYSIS, message)
        }
        Some(Outcome::Good) | None if roles.at_home().is_none() => {
            let is_kept = overlap::is_under_way(&findings.situation);
            let kept_by = if is_kept { overlap::unseen(&findings.situation) } else { None };
            let unseen = unseen(&findings.situation, kept_by);
            say(Phase::Progressing, names::REASON_PROGRESSING, format!("moving production to {revision}{unseen}"))
        }
        Some(Outcome::Good) | None => say(Phase::Healthy, names::REASON_HEALTHY, format!("{revision} is active")),
    }
}

/// The rejection of the revision that the spec asks for, unless production comes back to that.
fn rejection_of_updated<'a>(situation: &Situation<'a>) -> Option<(String, &'a Rejection)> {
    let Situation { world, decisions, roles, .. } = *situation;
    let updated = request::updated_hash(situation);
    let comes_back = roles.going_back() && roles.home().is_some_and(|home| home.hash == updated);
    let rejection = if world.template_is_unknown() || comes_back { None } else { decisions.rejection(&updated) };
    rejection.map(|rejection| (updated, rejection))
}

/// The rejection of the revision that production is about to leave.
fn rejection_of_what_is_left<'a>(situation: &Situation<'a>) -> Option<(String, &'a Rejection)> {
    let Situation { decisions, roles, .. } = *situation;
    let rejection = if roles.going_back() { decisions.rejection(&decisions.serving) } else { None };
    rejection.map(|rejection| (decisions.serving.clone(), rejection))
}

/// That what serves was rejected, and stays.
fn stays_although_rejected(situation: &Situation) -> Option<String> {
    let home = situation.roles.at_home()?;
    let Rejection { by, reason, .. } = situation.decisions.rejection(&home.hash)?;
    let revision = describe(situation, home);
    Some(format!(
        "{revision} serves, although it was rejected by {by} ({reason}): nothing is known to go back to. \
         Promote another revision"
    ))
}

/// What a stall does not hide: that a revision was rejected, or a deadline that was missed meanwhile.
fn behind_a_stall(findings: &Findings) -> Option<String> {
    let situation = &findings.situation;
    if let Some(message) = stays_although_rejected(situation) {
        return Some(message);
    }
    let waiting = findings.focus.and_then(|focus| waiting(findings, focus));
    match rejection_of_updated(situation).or_else(|| rejection_of_what_is_left(situation)) {
        Some((hash, rejection)) => Some(rejected(findings, &hash, rejection, waiting)),
        None => waiting.filter(|waiting| waiting.reason == names::REASON_DEADLINE).map(|late| late.message),
    }
}

/// What else is to be known of what serves, while the message speaks of a candidate, of a stall, or of a rejection: what its proof
/// and its restart wait for, that it is being analysed or needs a person for that, what production has come back from, and why it does not go back
/// by itself.
fn beside(findings: &Findings) -> Vec<String> {
    let situation = &findings.situation;
    let Some(home) = situation.roles.staying() else { return Vec::new() };
    let is_spoken_of = findings.stall.is_none() && findings.focus.is_some_and(|focus| focus.name == home.name);
    let restart = if is_spoken_of { None } else { Restart::of(situation, home) };
    let restart = restart.map(|restart| {
        let progress = restart.progress(situation.world);
        format!("restarting {}: {progress}", describe(situation, home))
    });
    let proof = match &findings.proof {
        Proof::Missing(missing) if !is_spoken_of => Some(format!("moved to {}; {missing}", describe(situation, home))),
        _ => None,
    };
    let analysis = match &findings.post {
        // What was rejected nobody can keep.
        _ if situation.is_rejected(home) => None,
        Some(Outcome::Inconclusive(run)) => Some(no_conclusion(situation, home, run)),
        Some(Outcome::Failed(run)) => Some(nowhere_to_go(situation, home, run)),
        // Who promotes another one meanwhile ends that.
        Some(Outcome::Running(_)) => Some(format!("{} serves and is being analysed", describe(situation, home))),
        _ => None,
    };
    let told = [proof, restart, analysis, came_back_from(findings, home), rollback::held_up(situation)];
    told.into_iter().flatten().collect()
}

/// That production is back at this revision since the one that it left was rejected. Where the spec asks for this one that is over, and of the one
/// that it asks for the message speaks by itself.
fn came_back_from(findings: &Findings, home: &ReplicaSet) -> Option<String> {
    let Situation { decisions, roles, .. } = findings.situation;
    let switch = switch::last(&findings.situation, &findings.proof).filter(|switch| switch.to == home.hash)?;
    let is_told = rejection_of_updated(&findings.situation).is_some_and(|(told, _)| told == switch.from);
    if is_told || roles.is_updated(home) {
        return None;
    }
    // What was aborted later, as a candidate, production had left before.
    let rejection = decisions.rejection(&switch.from).filter(|rejection| rejection.at <= switch.switched_at)?;
    let (number, Rejection { by, reason, .. }) = (number(decisions, &switch.from), rejection);
    Some(format!("revision {number} ({}) was rejected by {by} ({reason})", switch.from))
}

/// What is asked of people when the analysis of what serves failed, and production has nowhere to go back to.
fn nowhere_to_go(situation: &Situation, rs: &ReplicaSet, run: &Run) -> String {
    format!(
        "{} serves, although its analysis failed ({}): there is no revision that production could go back to. \
         Promote another one",
        describe(situation, rs),
        run.message
    )
}

/// What is asked of people when the analysis of what serves came to no conclusion.
fn no_conclusion(situation: &Situation, rs: &ReplicaSet, run: &Run) -> String {
    let blue_green = situation.world.rollout.spec.blue_green();
    let since = situation.record(rs).map_or(0, |record| approvals::given_since(blue_green, record, run));
    let todo = match blue_green.required_approvals() {
        0..2 => "Promote it to keep it, or undo".to_owned(),
        needed => format!("It takes {needed} promotions from now on ({since} given) to keep it, or an undo"),
    };
    let revision = describe(situation, rs);
    format!("{revision} serves, but its analysis came to no conclusion ({}). {todo}", run.message)
}

/// What production lacks while the message speaks of something else: of a candidate, of a stall, or of a rejection with nothing to go back to.
fn trouble(findings: &Findings) -> Option<String> {
    let Situation { world, decisions, roles, .. } = findings.situation;
    let is_told = |lacking: &&String| findings.stall.as_ref().is_none_or(|stall| stall.message != **lacking);
    if let Some(lacking) = findings.lacking.as_ref().filter(is_told) {
        return Some(lacking.clone());
    }
    let home = roles.staying()?;
    let is_rejected = roles.at_home().is_some_and(|home| findings.situation.is_rejected(home));
    let speaks_of_home = roles.candidate.is_none() && findings.stall.is_none() && !is_rejected;
    if speaks_of_home || home.is_available(decisions.replicas) || !home.settled {
        return None;
    }
    let cause = pods::cause(world, home).map(|cause| format!(" ({cause})")).unwrap_or_default();
    Some(format!("production has {} of {} pods available{cause}", home.available, decisions.replicas))
}

/// What the revision in focus still lacks, if anything.
fn waiting(findings: &Findings, rs: &ReplicaSet) -> Option<Verdict> {
    let Situation { world, roles, now, .. } = findings.situation;
    let revision = describe(&findings.situation, rs);
    let wanted = findings.wanted;
    if let Some(progress) = &findings.progress {
        let leaving = if rs.replicas < wanted { pods::leaving(rs) } else { None };
        let cause = leaving.or_else(|| pods::cause(world, rs)).map(|cause| format!("; {cause}")).unwrap_or_default();
        let (reason, count) = match &findings.restart {
            Some(restart) if rs.is_available(wanted) => {
                (names::REASON_RESTARTING, format!("restarting {revision}: {}", restart.progress(world)))
            }
            _ => (names::REASON_PROGRESSING, format!("{} of {wanted} pods of {revision} available", rs.available)),
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
        Proof::Missing(missing) if roles.is_home(rs) => {
            let reason = names::REASON_PROVING;
            let (phase, late) = of_proof(findings, reason, switch::sees_endpoints(world));
            Some(say(phase, reason, format!("moved to {revision}; {missing}{late}")))
        }
        _ => None,
    }
}

/// The phase while a proof is waited for, which this reason tells, and what is added to the message once it is late. `sees_endpoints`: those that it rests on
/// were seen.
fn of_proof(findings: &Findings, reason: &str, sees_endpoints: bool) -> (Phase, String) {
    let Situation { world, now, .. } = findings.situation;
    let is_late = |proving: &Progress| now >= progress::deadline(world, proving);
    let is_due = findings.proving.as_ref().is_some_and(is_late);
    // Until this operator has looked, they may have followed while there was none; and what was told stays told.
    let is_told = sees_endpoints || is_told_late(world, reason);
    let phase = if is_due && is_told { Phase::Degraded } else { Phase::Progressing };
    let seconds = world.rollout.spec.progress_deadline_seconds();
    let late = if is_due && sees_endpoints { format!(", for {seconds} s") } else { String::new() };
    (phase, late)
}

/// The status that is published says for this reason that a proof is late.
fn is_told_late(world: &World, reason: &str) -> bool {
    let Some(before) = &world.rollout.status else { return false };
    before.phase == Phase::Degraded && before.conditions.iter().any(|old| old.reason == reason)
}

/// That a revision was rejected, and what serves instead.
fn rejected(findings: &Findings, hash: &str, rejection: &Rejection, waiting: Option<Verdict>) -> String {
    let Situation { world, decisions, roles, .. } = findings.situation;
    let subject = match world.replica_set(hash) {
        Some(rs) => describe(&findings.situation, rs),
        None => format!("revision {} ({hash})", number(decisions, hash)),
    };
    let serving = roles.home().map(|home| describe(&findings.situation, home)).unwrap_or_default();
    let state = match waiting {
        _ if serving.is_empty() => findings.situation.where_nowhere(),
        Some(waiting) if roles.going_back() => format!("on the way back to {serving}: {}", waiting.message),
        Some(waiting) if findings.proof.is_there() => format!("{serving} serves; {}", waiting.message),
        Some(waiting) => waiting.message,
        None if roles.at_home().is_none() => format!("{serving} is about to serve"),
        None => format!("{serving} serves"),
    };
    let by = format!("{subject} was rejected by {} ({}); {state}", rejection.by, rejection.reason);
    if request::updated_hash(&findings.situation) != hash {
        return by;
    }
    let is_left = roles.going_back() && decisions.serving == hash;
    let todo = if is_left { request::INSTEAD_OF_WHAT_IS_LEFT } else { "Change spec.template, or retry" };
    format!("{by}. {todo}")
}

fn number(decisions: &Decisions, hash: &str) -> i64 {
    decisions.revision(hash).map_or(0, |revision| revision.number)
}

/// `revision 2 (app:v2)`; the image is only known of the revision that the spec asks for.
fn describe(situation: &Situation, rs: &ReplicaSet) -> String {
    let image = &situation.world.rollout.template.image;
    let known = situation.roles.is_updated(rs) && !image.is_empty();
    format!("revision {} ({})", situation.number(rs), if known { image } else { &rs.hash })
}

fn release(before: &BlueGreenRolloutStatus, findings: &Findings, verdict: &Verdict, updated: &str) -> Option<Release> {
    let Situation { roles, now, .. } = findings.situation;
    let rs = roles.updated?;
    let same = before.release.clone().filter(|release| release.revision == updated);
    let mut release = same.unwrap_or_else(|| {
        // A status that was lost begins anew: the ReplicaSet knows since when it is wanted.
        let lost = before.updated_revision.is_empty() || before.updated_revision == updated;
        let scaled_at = if lost { rs.timestamp(annotations::SCALED_AT) } else { None };
        Release { revision: updated.to_owned(), seen_at: scaled_at.unwrap_or(now), preview_ready_at: None }
    });
    let waits = matches!(findings.gate, Some(Gate::Closed { .. })) && verdict.phase != Phase::Degraded;
    if waits && findings.progress.is_none() && !findings.moves_preview && release.preview_ready_at.is_none() {
        release.preview_ready_at = Some(now);
    }
    Some(release)
}

/// As Kubernetes writes the times of conditions: a status with more in it would not be the one that is read back.
fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
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
            last_transition_time: since.map_or_else(|| whole_seconds(now), |old| old.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    shown.into_iter().filter(|(_, _, shown, _)| *shown).map(condition).collect()
}

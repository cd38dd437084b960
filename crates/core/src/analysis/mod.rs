//! Measuring a revision before it is promoted, and after. How a run goes on by itself is in [`run`], what its
//! conditions mean in [`expression`].

pub mod expression;
pub mod kind;
pub mod name;
pub mod run;

pub use kind::Kind;

use greenlight_api::{AnalysisPhase, Rejection, RevisionRecord, Verdict};

use self::name::run_name;
use crate::actions::Action;
use crate::approvals;
use crate::decisions;
use crate::situation::Situation;
use crate::world::{ReplicaSet, Run};

/// How far the analysis of a revision is.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// None is asked for, or it was good, or a person accepted it.
    Good,
    /// It has not begun.
    NotStarted,
    /// It is under way.
    Running(&'a Run),
    /// It came to no conclusion.
    Inconclusive(&'a Run),
    /// It was bad, or could not be made.
    Failed(&'a Run),
}

/// How far the analysis of this kind is for a revision.
///
/// Once it has ended well that stands in the record, so that a run which somebody deletes is not made again, and what serves
/// and was good is not measured again because its number changed.
pub fn outcome<'a>(situation: &Situation<'a>, rs: &ReplicaSet, kind: Kind) -> Outcome<'a> {
    let Some(record) = situation.record(rs) else { return Outcome::NotStarted };
    if verdict(record, kind).is_some() {
        return Outcome::Good;
    }
    let name = run_name(rs, record, kind);
    let run = situation.world.runs.iter().find(|run| run.name == name);
    if !is_needed(situation, record, kind) {
        // What it was needed for may have gone before anybody saw how it ended.
        let is_told = kind == Kind::Post && is_asked_for(situation, record, kind);
        return run.filter(|run| is_told && is_bad(run)).map_or(Outcome::Good, Outcome::Failed);
    }
    let Some(run) = run else { return Outcome::NotStarted };
    let blue_green = situation.world.rollout.spec.blue_green();
    let accepted = kind == Kind::Pre && approvals::accept_analysis(blue_green, record, run);
    match run.phase {
        AnalysisPhase::Pending | AnalysisPhase::Running => Outcome::Running(run),
        // Who stops a run before it is over does not make it good.
        AnalysisPhase::Successful if run.terminating && !accepted => Outcome::Inconclusive(run),
        AnalysisPhase::Successful => Outcome::Good,
        AnalysisPhase::Inconclusive if accepted => Outcome::Good,
        AnalysisPhase::Inconclusive => Outcome::Inconclusive(run),
        AnalysisPhase::Error | AnalysisPhase::Failed => Outcome::Failed(run),
    }
}

/// What is to be recorded of an analysis that ended well, or that is not needed.
pub fn verdict_of(situation: &Situation, rs: &ReplicaSet, kind: Kind) -> Option<Verdict> {
    let record = situation.record(rs)?;
    if let Some(verdict) = verdict(record, kind) {
        return Some(verdict);
    }
    if outcome(situation, rs, kind) != Outcome::Good {
        return None;
    }
    let name = run_name(rs, record, kind);
    match situation.world.runs.iter().find(|run| run.name == name).map(|run| run.phase) {
        Some(AnalysisPhase::Successful) => Some(Verdict::Passed),
        Some(AnalysisPhase::Inconclusive) => Some(Verdict::Accepted),
        // Before the promotion it may still be asked for.
        _ => (kind == Kind::Post).then_some(Verdict::NotNeeded),
    }
}

fn verdict(record: &RevisionRecord, kind: Kind) -> Option<Verdict> {
    match kind {
        Kind::Pre => record.pre_promotion,
        Kind::Post => record.post_promotion,
    }
}

/// It is asked for, and nobody exempted this revision. After the switch there must be a revision to go back to; before it, only
/// the very first deployment is not measured.
fn is_needed(situation: &Situation, record: &RevisionRecord, kind: Kind) -> bool {
    let Situation { world, decisions, .. } = situation;
    let has_point = match kind {
        Kind::Pre => !world.is_first_deployment(decisions),
        // Whether it can be gone back to at the moment does not matter: a Service's label may be wrong for a while.
        Kind::Post => decisions.revisions.iter().any(|other| {
            let is_way_back = other.hash != record.hash && other.may_serve_again();
            is_way_back && world.replica_set(&other.hash).is_some()
        }),
    };
    has_point && is_asked_for(situation, record, kind)
}

/// The spec asks for it, and nobody exempted this revision.
fn is_asked_for(situation: &Situation, record: &RevisionRecord, kind: Kind) -> bool {
    let spec = &situation.world.rollout.spec;
    let blue_green = spec.blue_green();
    // What came back without a gate was good, or was production's before anybody knew: then it is still measured after the switch.
    let exempted =
        kind == Kind::Pre && approvals::needs_none(blue_green, record) || approvals::skip_analyses(blue_green, record);
    kind.spec(spec).is_some() && !exempted
}

fn is_bad(run: &Run) -> bool {
    matches!(run.phase, AnalysisPhase::Error | AnalysisPhase::Failed)
}

/// The rejection of a revision whose analysis was bad: of the one that serves, or of the candidate.
pub fn rejection(situation: &Situation, rs: &ReplicaSet, kind: Kind) -> Option<Rejection> {
    let Outcome::Failed(run) = outcome(situation, rs, kind) else { return None };
    let what = if run.phase == AnalysisPhase::Error { "could not be made" } else { "failed" };
    let reason = format!("{} analysis {what}: {}", kind.as_str(), run.message);
    Some(decisions::by_itself(situation.now, reason, None))
}

/// The analyses that are due: of what serves, provably, and of the candidate when it is ready and shown, provably, too: what is measured by the preview
/// Service is to be the candidate. What has no pods is not measured.
fn due<'a>(situation: &Situation<'a>, ready: bool, proven: bool) -> impl Iterator<Item = (&'a ReplicaSet, Kind)> {
    let serving = situation.roles.at_home().filter(|serving| proven && has_pods(situation, serving));
    let serving = serving.map(|rs| (rs, Kind::Post));
    let is_shown = |rs: &ReplicaSet| situation.is_shown(rs) && situation.preview_lacks(rs).is_none();
    let is_due = |candidate: &&ReplicaSet| ready && candidate.replicas > 0 && is_shown(candidate);
    let candidate = situation.roles.candidate.filter(is_due).map(|rs| (rs, Kind::Pre));
    serving.into_iter().chain(candidate)
}

/// The preview Service that shows a candidate whose analysis has not begun: first its endpoints have to show that, too.
pub fn preview_to_look_at<'a>(situation: &Situation<'a>) -> Option<&'a str> {
    let candidate = situation.roles.candidate.filter(|candidate| candidate.replicas > 0)?;
    let is_to_begin = outcome(situation, candidate, Kind::Pre) == Outcome::NotStarted;
    if is_to_begin { situation.shown_by(candidate) } else { None }
}

/// The analysis of this candidate begins once the endpoints of the preview Service show it, and they do not yet.
pub fn waits_for_preview(situation: &Situation, candidate: &ReplicaSet) -> bool {
    preview_to_look_at(situation).is_some() && situation.preview_lacks(candidate).is_some()
}

/// What serves has pods, or has lost them all: that is measured, too. What is scaled to nothing, or has had none yet since, has nothing to
/// measure.
fn has_pods(situation: &Situation, serving: &ReplicaSet) -> bool {
    let decisions = situation.decisions;
    decisions.replicas > 0 && (serving.available > 0 || decisions.unavailable_since.is_some())
}

/// The analyses that are to begin.
pub fn begin(situation: &Situation, ready: bool, proven: bool) -> Vec<Action> {
    let mut actions = Vec::new();
    for (rs, kind) in due(situation, ready, proven) {
        let Some(record) = situation.record(rs) else { continue };
        let name = run_name(rs, record, kind);
        if outcome(situation, rs, kind) != Outcome::NotStarted {
            continue;
        }
        let stable = match kind {
            Kind::Pre => situation.roles.home(),
            Kind::Post => situation.fallback(),
        };
        actions.push(Action::StartAnalysis {
            name,
            kind,
            replica_set: rs.name.clone(),
            latest: rs.hash.clone(),
            stable: stable.map(|rs| rs.hash.clone()).unwrap_or_default(),
        });
    }
    actions
}

/// Runs under way that nobody waits for any more, and that is on record: until then what they are stopped for may be taken back, and the
/// attempt is still the same.
pub fn stop(situation: &Situation) -> Vec<Action> {
    let world = situation.world;
    let Some(record) = world.rollout.record() else { return Vec::new() };
    if record.template != situation.decisions.template {
        return Vec::new();
    }
    let on_record = Situation::new(world, record, situation.now);
    let wanted: Vec<String> = waited_for(situation).chain(waited_for(&on_record)).collect();
    let under_way = situation.world.runs.iter().filter(|run| !run.phase.is_completed() && !run.terminating);
    let stopped = under_way.filter(|run| !wanted.contains(&run.name));
    stopped.map(|run| Action::StopAnalysis { name: run.name.clone() }).collect()
}

/// The names of the runs that decide something now: of what serves, and of the candidate.
pub fn waited_for(situation: &Situation) -> impl Iterator<Item = String> {
    let roles = situation.roles;
    let serving = roles.serving().filter(|rs| roles.is_home(rs)).map(|rs| (rs, Kind::Post));
    let candidate = roles.candidate.map(|rs| (rs, Kind::Pre));
    serving.into_iter().chain(candidate).filter_map(|(rs, kind)| {
        let record = situation.record(rs)?;
        let decides = verdict(record, kind).is_none() && is_needed(situation, record, kind);
        decides.then(|| run_name(rs, record, kind))
    })
}

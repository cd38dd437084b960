//! Measuring a revision before it is promoted, and after. How a run goes on by itself is in [`crate::measure`].

use greenlight_api::{AnalysisPhase, BlueGreenRolloutSpec, Rejection, RolloutAnalysis, names};
use jiff::Timestamp;

use crate::actions::Action;
use crate::request::Asked;
use crate::switch::Proof;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, Run, World};

/// Which analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Before the promotion.
    Pre,
    /// After the switch.
    Post,
}

impl Kind {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Pre => "pre-promotion",
            Kind::Post => "post-promotion",
        }
    }

    /// What the spec asks for.
    pub fn spec(self, spec: &BlueGreenRolloutSpec) -> Option<&RolloutAnalysis> {
        let blue_green = spec.blue_green();
        match self {
            Kind::Pre => blue_green.pre_promotion_analysis.as_ref(),
            Kind::Post => blue_green.post_promotion_analysis.as_ref(),
        }
    }
}

/// How far the analysis of a set is.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// None is asked for, or it was good, or a person accepted it.
    Good,
    /// It has not begun.
    Absent,
    /// It is under way.
    UnderWay(&'a Run),
    /// It came to no conclusion.
    Inconclusive(&'a Run),
    /// It was bad, or could not be made.
    Bad(&'a Run),
}

/// How far the analysis of this kind is for a set.
pub fn outcome<'a>(world: &'a World, target: &Target, set: &ReplicaSet, kind: Kind, request: &Asked) -> Outcome<'a> {
    if !is_needed(world, target, set, kind) {
        return Outcome::Good;
    }
    let Some(run) = world.runs.iter().find(|run| run.name == run_name(set, kind)) else { return Outcome::Absent };
    let accepted = request.promote && request.requested_at > run.completed_at;
    match run.phase {
        AnalysisPhase::Pending | AnalysisPhase::Running => Outcome::UnderWay(run),
        AnalysisPhase::Successful => Outcome::Good,
        AnalysisPhase::Inconclusive if accepted => Outcome::Good,
        AnalysisPhase::Inconclusive => Outcome::Inconclusive(run),
        AnalysisPhase::Error | AnalysisPhase::Failed => Outcome::Bad(run),
    }
}

/// An earlier revision is there to compare with and to go back to, and the set does not come back from there.
fn is_needed(world: &World, target: &Target, set: &ReplicaSet, kind: Kind) -> bool {
    let other = target::living(world).any(|other| other.name != set.name && other.promoted_at().is_some());
    kind.spec(&world.rollout.spec).is_some()
        && other
        && target.is_asked(set)
        && target.rejection.is_none()
        && set.annotation(names::RETURNED).is_none()
}

/// The rejection of the asked-for set, when an analysis of it was bad.
pub fn rejection(world: &World, target: &Target, request: &Asked, now: Timestamp) -> Option<Rejection> {
    let asked = target.asked?;
    let kind = if target.is_active(asked) { Kind::Post } else { Kind::Pre };
    let Outcome::Bad(run) = outcome(world, target, asked, kind, request) else { return None };
    target::fallback(world, asked, target.active, None)?;
    let what = if run.phase == AnalysisPhase::Error { "could not be made" } else { "failed" };
    let reason = format!("{} analysis {what}: {}", kind.as_str(), run.message);
    Some(Rejection { by: names::FIELD_MANAGER.to_owned(), at: now, reason, to: None })
}

/// The analysis that is to begin: of the candidate when it is ready and shown, of the active set when it provably serves.
pub fn begin(
    world: &World,
    target: &Target,
    ready: bool,
    proof: &Proof,
    request: &Asked,
    now: Timestamp,
) -> Option<Action> {
    let asked = target.asked?;
    let blue_green = world.rollout.spec.blue_green();
    let shown = blue_green
        .preview_service
        .as_ref()
        .is_none_or(|name| world.services.get(name).is_some_and(|service| service.hash() == Some(&asked.hash)));
    let kind = if target.is_active(asked) {
        matches!(proof, Proof::Proven(_)).then_some(Kind::Post)?
    } else {
        (ready && shown && target.active.is_some()).then_some(Kind::Pre)?
    };
    let name = run_name(asked, kind);
    let refused = world.analysis_refused.as_ref().is_some_and(|refused| refused.run == name && now < refused.retry_at);
    let begins = !refused && outcome(world, target, asked, kind, request) == Outcome::Absent;
    let stable =
        target.active.filter(|active| active.name != asked.name).or_else(|| target::fallback(world, asked, None, None));
    begins.then(|| Action::StartAnalysis {
        name,
        kind,
        set: asked.name.clone(),
        latest: asked.hash.clone(),
        stable: stable.map(|set| set.hash.clone()).unwrap_or_default(),
    })
}

/// Analyses under way of revisions that are not asked for any more.
pub fn stop<'a>(world: &'a World, target: &'a Target) -> impl Iterator<Item = Action> + 'a {
    let wanted = move |run: &Run| {
        let asked = target.asked.filter(|_| target.rejection.is_none());
        asked.is_some_and(|asked| {
            let kind = if target.is_active(asked) { Kind::Post } else { Kind::Pre };
            run.name == run_name(asked, kind)
        })
    };
    let stopped = world.runs.iter().filter(move |run| !run.phase.is_completed() && !run.terminating && !wanted(run));
    stopped.map(|run| Action::StopAnalysis { name: run.name.clone() })
}

/// Each revision and attempt has runs of its own.
fn run_name(set: &ReplicaSet, kind: Kind) -> String {
    let attempt = set.annotation(names::ATTEMPT).unwrap_or("0");
    format!("{}-{}-{attempt}-{}", set.name, set.revision(), if kind == Kind::Pre { "pre" } else { "post" })
}

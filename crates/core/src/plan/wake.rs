//! When to look again, and at what meanwhile.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::round::Round;
use crate::actions::Watches;
use crate::gate::Gate;
use crate::situation::Situation;
use crate::world::RefusedWrite;
use crate::{analysis, metadata, overlap, pods, progress, restart, retire, rollback, switch};

/// What to watch until the next plan: the endpoints that a proof rests on, as long as it does not stand in the status, those of a preview that is about to
/// be measured, and the pods of what does not become available or is being restarted.
pub(super) fn watches(round: &Round) -> Watches {
    let world = round.situation.world;
    let at_home = round.situation.roles.at_home();
    let unproven =
        at_home.is_some_and(|home| switch::noted(world, home).is_none()) || overlap::is_under_way(&round.situation);
    let to_prove = if unproven { switch::to_prove(world) } else { BTreeSet::new() };
    let endpoints = to_prove.into_iter().chain(analysis::preview_to_look_at(&round.situation));
    let explained = [look_at_pods(round), look_at_home(round)].into_iter().flatten();
    let explained = explained.filter(|(at, _)| round.situation.now >= *at).map(|(_, hash)| hash);
    let restarted = round.restarts().map(|restart| restart.hash().to_owned());
    Watches { endpoints: endpoints.map(str::to_owned).collect(), pods: restarted.collect(), stuck: explained.collect() }
}

/// The next moment at which the plan could be another one without any change of the world.
pub(super) fn at(round: &Round, publish_at: Option<Timestamp>, refused: &[&RefusedWrite]) -> Option<Timestamp> {
    reasons(round, publish_at, refused)
        .into_iter()
        .filter_map(|(_, at)| at)
        .filter(|at| *at > round.situation.now)
        .min()
}

/// All such moments, each with what it is for.
fn reasons(
    round: &Round,
    publish_at: Option<Timestamp>,
    refused_writes: &[&RefusedWrite],
) -> [(&'static str, Option<Timestamp>); 11] {
    let situation = &round.situation;
    let world = situation.world;
    let gate = match round.candidate.as_ref().map(|candidate| &candidate.gate) {
        Some(Gate::Closed { until, .. }) => *until,
        _ => None,
    };
    let progress = round.progress().or_else(|| round.proving());
    let refused = if situation.roles.updated.is_none() { world.refused.as_ref() } else { None };
    let overlap = if overlap::is_under_way(situation) { situation.roles.home() } else { None };
    [
        ("the gate opens", gate),
        ("the progress deadline", progress.map(|progress| progress::deadline(world, &progress))),
        ("the status may be published", publish_at),
        ("look at pods that do not start", look_at_pods(round).map(|(at, _)| at)),
        ("look at pods that a proof or a Service waits for", look_at_home(round).map(|(at, _)| at)),
        ("try a refused template again", refused.map(|refused| refused.retry_at)),
        ("try a refused write again", refused_writes.iter().map(|refused| refused.retry_at).min()),
        ("the overlap ends", overlap.and_then(|home| overlap::ends_at(situation, home))),
        (
            "the candidate may have its preview size",
            situation.roles.candidate.map(|rs| retire::promised_until(&situation.world.rollout, rs, situation.now)),
        ),
        ("a restart begins", restart::scheduled_at(situation)),
        ("production goes back by itself", rollback::due_at(situation)),
    ]
}

fn look_at_pods(round: &Round) -> Option<(Timestamp, String)> {
    let (rs, _) = round.unfinished()?;
    let now = round.situation.now;
    let since = progress::read(round.situation.world.rollout.status.as_ref(), rs, now).since;
    Some((if rs.failure.is_some() { now } else { pods::look_at(rs, since, now) }, rs.hash.clone()))
}

/// When to look at the pods of what serves, and of which: a Service that does not lead there, a proof, or the end of an overlap, waits for
/// those that it lacks, whatever else waits in preview.
fn look_at_home(round: &Round) -> Option<(Timestamp, String)> {
    let Situation { world, roles, decisions, now } = round.situation;
    let home = roles.staying().filter(|home| !metadata::is_available_meanwhile(home, decisions.replicas))?;
    let is_proven = roles.at_home().is_some() && switch::noted(world, home).is_some();
    let is_waited_for = !is_proven || overlap::is_under_way(&round.situation);
    is_waited_for.then(|| (pods::look_at(home, Timestamp::MIN, now), home.hash.clone()))
}

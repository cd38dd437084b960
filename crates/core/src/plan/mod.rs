//! From the world to a plan: what was decided ([`decide`]), what is to be done ([`steps`]), and when to look again ([`wake`]).

mod decide;
mod round;
pub mod steps;
mod wake;

use jiff::Timestamp;

use crate::actions::{Action, Plan};
use crate::decisions;
use crate::events;
use crate::finalize;
use crate::situation::Situation;
use crate::status;
use crate::world::World;
use round::Round;

/// Decides what to do next. Pure: the same world at the same time gives the same plan.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    if world.rollout.deleting {
        return last_plan(world);
    }
    let decided = decide::decide(world, now);
    let situation = Situation::new(world, &decided.read.now, now);
    let round = Round::new(situation, &decided.heard);
    // A bare verb is written out before anything else: once the status is published nobody knows any more what it was meant for.
    let verb = decided.heard.completed.as_ref().map(|request| Action::CompleteRequest { value: request.to_value() });
    let replan = verb.is_none() && decisions::precede(world, &decided.read);
    let actions = match verb {
        Some(verb) => vec![verb],
        None if replan => Vec::new(),
        None => steps::next(&round),
    };
    let findings = round.findings();
    let status = status::compose(&findings);
    let publish_at = status::publish_at(&status, &findings, replan);
    let events = events::between(world.rollout.status.as_ref(), &status);
    let watches = wake::watches(&round);
    let next = wake::at(&round, publish_at);
    Plan { actions, status, replan, events, publish_at, watches, next }
}

/// The plan of a rollout that is being deleted: no status to publish.
fn last_plan(world: &World) -> Plan {
    let (actions, watches) = finalize::actions(world);
    Plan {
        actions,
        status: world.rollout.status.clone().unwrap_or_default(),
        replan: false,
        events: Vec::new(),
        publish_at: None,
        watches,
        next: None,
    }
}

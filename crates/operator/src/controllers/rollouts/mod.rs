//! The rollouts controller: observe, plan, carry out, until a plan has nothing to do; then publish.

mod adopt;
mod affinity;
mod execute;
mod memory;
mod observe;
mod older_crd;

pub use execute::change_replica_set;

use std::sync::Arc;

use greenlight_core::world::Rollout;
use greenlight_core::{Urgency, World};
use jiff::Timestamp;
use kube::Client;

use crate::api_server::error::{Error, in_full};
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::live::read_live;
use crate::cluster::on_demand::OnDemand;
use crate::controllers::queue::Outcome;
use crate::controllers::schedule::Turn;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recorder::Recorder;
use execute::Executor;

pub use memory::Memories;
use observe::{Fresh, Observed, observe};

/// A release needs at most a handful of plans in a row.
const MOST_PLANS: usize = 30;

/// After so many conflicts in a row it is not a watch that is a little behind: they take longer and longer pauses.
const MANY_CONFLICTS: u32 = 3;

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub caches: Arc<Caches>,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// What is watched when asked for.
    pub on_demand: Arc<OnDemand>,
    /// Where events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
}

/// Brings one rollout as far as it can go now, and as others let it.
pub async fn reconcile(context: Arc<Context>, key: Key, turn: Turn) -> Result<Outcome, Error> {
    let result = work_on(&context, &key, &turn).await;
    let before = context.memories.of(&key).conflicts;
    let conflicts = match &result {
        Err(error) if error.is_conflict() => before + 1,
        // Whatever else went wrong says nothing of the watches.
        Err(_) => before,
        Ok(_) => 0,
    };
    if conflicts != before {
        context.memories.update(&key, |memory| memory.conflicts = conflicts % MANY_CONFLICTS);
    }
    if conflicts == MANY_CONFLICTS {
        look_again(&context, &key).await;
    }
    result
}

/// Reads what the watches should have brought: one of them hangs, and without its news each plan would conflict as the last did.
async fn look_again(context: &Context, key: &Key) {
    let Context { client, caches, memories, on_demand, .. } = context;
    let Some(Observed { world, .. }) =
        observe(caches, memories, on_demand, key, &Fresh::new(), false, Timestamp::now())
    else {
        return;
    };
    tracing::info!(rollout = %key, "several conflicts in a row: reading the rollout and what it works with again");
    if let Err(error) = read_live(client, caches, &world).await {
        tracing::warn!(rollout = %key, error = %in_full(&error), "cannot read it");
    }
}

async fn work_on(context: &Context, key: &Key, turn: &Turn) -> Result<Outcome, Error> {
    let Context { client, caches, memories, on_demand, recorder, metrics } = context;
    let mut fresh = Fresh::new();
    let mut live = false;
    let mut last = String::new();
    for _ in 0..MOST_PLANS {
        // What it asks for is not known: everything stays as it is, and [`crate::controllers::unreadable`] tells why.
        if caches.rollouts.unreadable(key).is_some() {
            turn.is_in_flight(false, false);
            return Ok(Outcome::Rests(None));
        }
        let now = Timestamp::now();
        let Some(Observed { world, unknown }) = observe(caches, memories, on_demand, key, &fresh, live, now) else {
            if caches.rollouts.knows(key) {
                continue;
            }
            memories.forget(key);
            metrics.forget(key);
            on_demand.set(key, &Default::default());
            turn.is_in_flight(false, false);
            return Ok(Outcome::Rests(None));
        };
        let plan = greenlight_core::plan(&world, now);
        let is_to_be_read = plan.doubt.is_some() || !unknown.is_empty() && !live;
        if !is_to_be_read {
            on_demand.set(key, &plan.watches);
        }
        let due = plan.publish_at.is_some_and(|at| at <= now) && !memories.is_cut(&world.rollout, &plan.status);
        // Not between a claim and the move that rests on its answer, and not after reading, which would be for nothing.
        if fresh.is_empty() && !live && (is_to_be_read || due || !plan.actions.is_empty()) {
            // What is not believed yet is as urgent as if it were.
            let believed = is_to_be_read.then(|| greenlight_core::plan(&World { live: true, ..world.clone() }, now));
            let plan = believed.as_ref().unwrap_or(&plan);
            if let Some(urgency) = turn.gives_way(plan.urgency) {
                return Ok(Outcome::Yields(urgency, plan.next));
            }
        }
        if !unknown.is_empty() {
            if live {
                let some: Vec<&String> = unknown.iter().take(5).collect();
                tracing::warn!(rollout = %key, count = unknown.len(), ?some, "ReplicaSets say that they are this rollout's, and its record does not");
                let there = caches.sets.group(key).into_iter().map(|owned| owned.set.uid).collect();
                memories.update(key, |memory| memory.note_strangers(unknown, &there));
            } else {
                read_live(client, caches, &world).await?;
                live = true;
            }
            continue;
        }
        if let Some(doubt) = plan.doubt {
            tracing::info!(rollout = %key, doubt = doubt.as_str(), "reading the rollout and what it works with again");
            read_live(client, caches, &world).await?;
            live = true;
            continue;
        }
        turn.is_in_flight(plan.in_flight || plan.urgency == Urgency::FirstDeployment, plan.is_first_deployment);
        let executor = Executor { client, caches, memories, on_demand, recorder, rollout: &world.rollout };
        if plan.actions.is_empty() {
            if due {
                executor.publish(&plan.status).await?;
                metrics.published(&world.rollout, &plan.status, &plan.events);
                let rollout = Rollout { status: Some(plan.status), ..world.rollout };
                plan.events.iter().for_each(|event| recorder.record(&rollout, event));
            }
            // What was decided stands in the status now, and can be acted upon.
            if due && plan.replan {
                if caches.rollouts.get(key).is_some_and(|kept| kept.status.is_none_or(|kept| kept.decisions.is_none()))
                {
                    return Err(Error::RecordNotKept);
                }
                last.clear();
                continue;
            }
            return Ok(Outcome::Rests(plan.next));
        }
        fresh.clear();
        for (number, action) in plan.actions.iter().enumerate() {
            tracing::debug!(rollout = %key, ?action, "carrying out");
            // An action on the rollout itself changes its resourceVersion: what follows is planned anew.
            let rollout_changed = number > 0 && caches.rollouts.get(key).is_none_or(|now| now != world.rollout);
            if rollout_changed {
                break;
            }
            if !executor.execute_unless_refused(action, &mut fresh).await? {
                break;
            }
        }
        last = format!("{:?}", plan.actions);
    }
    Err(Error::DidNotConverge(MOST_PLANS, last))
}

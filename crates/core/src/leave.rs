//! What happens when the rollout is deleted: its hash goes out of the Services, so that whatever comes next (a Deployment, a new
//! rollout) can serve behind them. The pods go with the ReplicaSets, by garbage collection.

use greenlight_api::names;

use crate::actions::Action;
use crate::switch;
use crate::world::World;

/// The actions that let a deleted rollout go; none if there is nothing left to do.
pub fn actions(world: &World) -> Vec<Action> {
    if !world.rollout.finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER) {
        return Vec::new();
    }
    let is_ours = |hash: &str| world.sets.iter().any(|set| set.hash == hash);
    let services = world.services.values().filter(|service| match &service.managed_by {
        Some(rollout) => *rollout == world.rollout.name,
        None => service.hash().is_some_and(is_ours),
    });
    services.map(|service| switch::point(service, None)).chain([Action::LetGo]).collect()
}

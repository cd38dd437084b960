//! Which old revisions are kept to roll back to.

use crate::actions::Action;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, World};

/// Deletes the oldest sets without pods beyond `revisionHistoryLimit`. The set that the spec asks for is not history, even
/// when it was rejected and scaled down.
pub fn prune(world: &World, target: &Target) -> Vec<Action> {
    let limit = usize::try_from(world.rollout.spec.revision_history_limit()).unwrap_or(0);
    let in_use = |set: &ReplicaSet| target.is_active(set) || target.is_desired(set) || target.is_asked(set);
    let mut old: Vec<&ReplicaSet> = target::living(world)
        .filter(|set| !in_use(set) && !set.retired() && set.replicas == 0 && set.current == 0 && set.settled)
        .collect();
    old.sort_by_key(|set| std::cmp::Reverse(set.revision()));
    old.into_iter()
        .skip(limit)
        .map(|set| Action::DeleteReplicaSet { name: set.name.clone(), resource_version: set.resource_version.clone() })
        .collect()
}

//! Which old revisions are kept to roll back to.

use std::cmp::Reverse;

use greenlight_api::RevisionRecord;

use crate::actions::Action;
use crate::situation::Situation;
use crate::world::ReplicaSet;

/// Deletes what is beyond `revisionHistoryLimit` among the ReplicaSets that have neither a role nor pods. What served is kept
/// before what did not, the last one that served always, so that there is something to go back to. What the spec asks for is
/// not history, even when it was rejected and scaled down.
pub fn prune(situation: &Situation) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let limit = usize::try_from(world.rollout.spec.revision_history_limit()).unwrap_or(0);
    let good = world.existing().filter(|rs| !roles.is_serving(rs) && !roles.is_home(rs) && !situation.is_rejected(rs));
    let last_served = |rs: &ReplicaSet| situation.record(rs).and_then(RevisionRecord::last_served);
    let last_good = good.filter(|rs| last_served(rs).is_some()).max_by_key(|rs| last_served(rs));
    let kept = |rs: &ReplicaSet| last_good.is_some_and(|last_good| last_good.name == rs.name);
    let mut old: Vec<&ReplicaSet> = world
        .existing()
        .filter(|rs| !roles.is_serving(rs) && !roles.is_home(rs) && !roles.is_updated(rs))
        .filter(|rs| !rs.is_retired() && !rs.has_pods() && rs.settled)
        .collect();
    old.sort_by_key(|rs| Reverse((situation.served(rs) && !situation.is_rejected(rs), situation.number(rs))));
    let surplus = old.into_iter().skip(limit).filter(|rs| !kept(rs));
    surplus
        .map(|rs| Action::DeleteReplicaSet { name: rs.name.clone(), resource_version: rs.resource_version.clone() })
        .collect()
}

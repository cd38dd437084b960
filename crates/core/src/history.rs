//! Which old revisions are kept to roll back to.

use std::cmp::Reverse;

use greenlight_api::RevisionRecord;

use crate::actions::Action;
use crate::situation::Situation;
use crate::world::ReplicaSet;

/// Deletes what is beyond `revisionHistoryLimit` among the ReplicaSets that have neither a role nor pods. What served is kept
/// before what did not; always the last one that served, and the one that production would go back to: Services may ask for labels
/// that not all carry. What the spec asks for is not history, even when it was rejected and scaled down.
pub fn prune(situation: &Situation) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let limit = usize::try_from(world.rollout.spec.revision_history_limit()).unwrap_or(0);
    let good = || {
        let others = world.existing().filter(|rs| !roles.is_serving(rs) && !roles.is_home(rs));
        others.filter(|rs| !situation.is_rejected(rs) || situation.may_serve_again(rs))
    };
    let served_order = |rs: &ReplicaSet| situation.record(rs).and_then(RevisionRecord::served_order);
    let last_good = good().filter(|rs| served_order(rs).is_some()).max_by_key(|rs| served_order(rs));
    // After a lost status nobody knows what served; what was claimed last may have been it, for a person to go back to.
    let claimed = || good().filter(|rs| rs.claimed_at().is_some()).max_by_key(|rs| rs.claimed_at());
    let back_to = [last_good.or_else(claimed), situation.fallback()];
    let kept = |rs: &ReplicaSet| back_to.into_iter().flatten().any(|kept| kept.name == rs.name);
    let mut old: Vec<&ReplicaSet> = world
        .existing()
        .filter(|rs| !roles.is_serving(rs) && !roles.is_home(rs) && !roles.is_updated(rs))
        .filter(|rs| !rs.is_retired() && !rs.has_pods() && rs.settled)
        .collect();
    old.sort_by_key(|rs| Reverse((situation.may_serve_again(rs), situation.number(rs))));
    let surplus = old.into_iter().skip(limit).filter(|rs| !kept(rs));
    surplus
        .map(|rs| Action::DeleteReplicaSet { name: rs.name.clone(), resource_version: rs.resource_version.clone() })
        .collect()
}

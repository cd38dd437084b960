//! How many pods each revision should have.
//!
//! Production has as many as was decided for it (`status.decisions.replicas`, see [`crate::decisions`]); the candidate has what the
//! spec says, or the preview count until its gate is open. Worked example: `replicas: 4`, `previewReplicaCount: 1`, revision 1
//! serves with 3 pods because the spec's 4 came together with template 2.
//!
//! | | revision 1 | revision 2 |
//! |---|---|---|
//! | revision 2 waits | 3 | 1 |
//! | it is promoted: its gate is open | 3 | 4 |
//! | a restart of revision 2, while old pods are left | | 4 + 1 |

use crate::restart::Restart;
use crate::retire;
use crate::situation::Situation;
use crate::switch;
use crate::world::ReplicaSet;

/// How many pods a revision should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its pods now, the additional one of a restart included.
    pub replicas: i32,
    /// Its pods without that one.
    pub needed: i32,
    /// The `replicas` of the rollout that it is meant to serve, for its annotation.
    pub shown: i32,
}

impl Size {
    /// The ReplicaSet has this size, and all pods that are needed are available. The additional pod of a restart is not waited for.
    pub fn is_there(self, rs: &ReplicaSet) -> bool {
        rs.replicas == self.replicas && rs.is_available(self.needed)
    }

    fn of(situation: &Situation, rs: &ReplicaSet, needed: i32, shown: i32) -> Size {
        let surge = Restart::of(situation, rs).map_or(0, |restart| restart.surge(needed));
        Size { replicas: needed.saturating_add(surge), needed, shown }
    }
}

/// The size of the revision that carries production, or is to.
pub fn home_size(situation: &Situation, home: &ReplicaSet) -> Size {
    let replicas = situation.decisions.replicas;
    Size::of(situation, home, replicas, replicas)
}

/// The size of the candidate. No pods are taken from one that may get traffic: it has just left production, or a Service of
/// production leads to it by its labels, or it was claimed; until it is proven that others serve. One that is inside its delay, or that
/// production would go back to if the analysis of what serves failed, keeps as many as production has: that may still go back at once.
pub fn candidate_size(situation: &Situation, candidate: &ReplicaSet, gate_is_open: bool) -> Size {
    let spec = &situation.world.rollout.spec;
    let preview = if gate_is_open { None } else { spec.blue_green().preview_replica_count };
    let asked_for = preview.unwrap_or(spec.replicas());
    let kept = if gate_is_open { 0 } else { kept_for_a_way_back(situation, candidate) };
    // What is kept for a way back the preview does not wait for; it shows one of these pods, though the spec asks for none.
    let size = Size::of(situation, candidate, asked_for.max(kept.min(1)), spec.replicas());
    // The pod that a restart adds comes to what is needed: to what is kept it would come again in each plan, since it is kept itself by then.
    let replicas = size.replicas.max(kept);
    // Where nothing has served yet, fewer may be asked for since there is no room for all: those that are not ready get no traffic, and go.
    let is_first = situation.world.is_first_deployment(situation.decisions);
    let up = if is_first { candidate.ready.min(candidate.replicas) } else { candidate.replicas };
    let keeps = up > replicas && retire::may_get_traffic(situation, candidate) && !switch::proof(situation).is_there();
    if !keeps {
        return Size { replicas, ..size };
    }
    let additional = size.replicas - size.needed;
    Size { replicas: up, needed: up - additional, ..size }
}

/// The pods of a candidate to which production may still go back at once.
fn kept_for_a_way_back(situation: &Situation, candidate: &ReplicaSet) -> i32 {
    let Situation { world, decisions, now, .. } = *situation;
    let is_inside_its_delay = now < retire::promised_until(&world.rollout, candidate, now);
    let is_kept = is_inside_its_delay || retire::waits_for_verdict(situation, candidate);
    if is_kept { candidate.replicas.min(decisions.replicas) } else { 0 }
}

/// The size of a candidate that is to be created, and will wait in preview or not.
pub fn initial_size(situation: &Situation, waits_for_nothing: bool) -> Size {
    let spec = &situation.world.rollout.spec;
    let preview = if waits_for_nothing { None } else { spec.blue_green().preview_replica_count };
    let needed = preview.unwrap_or(spec.replicas());
    Size { replicas: needed, needed, shown: spec.replicas() }
}

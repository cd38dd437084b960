//! What the runs of a revision are called.

use greenlight_api::RevisionRecord;

use super::kind::Kind;
use crate::world::{ReplicaSet, Run, World};

/// Each revision and attempt has runs of its own.
pub fn run_name(rs: &ReplicaSet, record: &RevisionRecord, kind: Kind) -> String {
    format!("{}{}", rs.name, run_suffix(record, kind))
}

/// How the name of a run ends; before it is the name of the ReplicaSet.
pub fn run_suffix(record: &RevisionRecord, kind: Kind) -> String {
    let suffix = if kind == Kind::Pre { "pre" } else { "post" };
    format!("-{}-{}-{suffix}", record.number, record.attempt)
}

/// How many attempts of this revision had runs before this ReplicaSet was made, by their names: an earlier rollout of this name had them, and
/// whoever may edit runs may keep them from going with it. `all`: of those that are there nobody knows what they were for.
pub fn attempts(world: &World, rs: &ReplicaSet, all: bool) -> u32 {
    let counts = |run: &&Run| all || run.created.is_some_and(|at| at < rs.created);
    let of_run = |run: &Run| {
        let rest = run.name.strip_prefix(&rs.name)?;
        let rest = rest.strip_suffix("-pre").or_else(|| rest.strip_suffix("-post"))?;
        rest.rsplit('-').next()?.parse::<u32>().ok()
    };
    world.runs.iter().filter(counts).filter_map(of_run).map(|attempt| attempt.saturating_add(1)).max().unwrap_or(0)
}

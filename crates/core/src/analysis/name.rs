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

/// How many attempts of this revision have had runs, by their names.
pub fn attempts(world: &World, rs: &ReplicaSet) -> u32 {
    let of_run = |run: &Run| {
        let rest = run.name.strip_prefix(&rs.name)?;
        let rest = rest.strip_suffix("-pre").or_else(|| rest.strip_suffix("-post"))?;
        rest.rsplit('-').next()?.parse::<u32>().ok()
    };
    world.runs.iter().filter_map(of_run).map(|attempt| attempt.saturating_add(1)).max().unwrap_or(0)
}

//! When does it give up? A set that should be available and is not has `progressDeadlineSeconds` from its last progress: from
//! when it was scaled, or from when its number of available pods last changed.

use greenlight_api::{BlueGreenRolloutStatus, Progress};
use jiff::{SignedDuration, Timestamp};

use crate::world::{ReplicaSet, World};

/// The progress of a set that is not available yet.
pub fn read(status: Option<&BlueGreenRolloutStatus>, set: &ReplicaSet, now: Timestamp) -> Progress {
    let before = status.and_then(|status| status.progress.as_ref()).filter(|before| before.revision == set.hash);
    let since = match before {
        Some(before) if before.available_replicas == set.available => before.since.max(set.scaled_at()),
        // Without a status nobody knows; the time of the last scaling is on the set.
        None if status.is_none() => set.scaled_at(),
        _ => now,
    };
    Progress { revision: set.hash.clone(), available_replicas: set.available, since }
}

/// When it is too late.
pub fn deadline(world: &World, progress: &Progress) -> Timestamp {
    progress.since + SignedDuration::from_secs(world.rollout.spec.progress_deadline_seconds().into())
}

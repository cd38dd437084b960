//! When does it give up? A revision that should be available and is not has `progressDeadlineSeconds` from its last progress:
//! from when it was scaled, or from when its number of available pods last changed. Worked example, a deadline of 60 s:
//!
//! | time | available | it gives up at |
//! |---|---|---|
//! | 12:00:00, scaled to 3 | 0 of 3 | 12:01:00 |
//! | 12:00:50 | 1 of 3 | 12:01:50 |
//! | 12:01:50 | 1 of 3 | now |

use greenlight_api::{BlueGreenRolloutStatus, Progress};
use jiff::{SignedDuration, Timestamp};

use crate::world::{ReplicaSet, World, later};

/// The progress of a revision that is not available yet.
pub fn read(status: Option<&BlueGreenRolloutStatus>, rs: &ReplicaSet, now: Timestamp) -> Progress {
    let before = status.and_then(|status| status.progress.as_ref()).filter(|before| before.revision == rs.hash);
    // Anybody may have written the annotation.
    let scaled_at = rs.scaled_at().min(now);
    let since = match before {
        Some(before) if before.available_replicas == rs.available => before.since.max(scaled_at),
        // Without a status nobody knows; the time of the last scaling is on the rs.
        None if status.is_none() => scaled_at,
        _ => now,
    };
    Progress { revision: rs.hash.clone(), available_replicas: rs.available, since }
}

/// When this progress is too old.
pub fn deadline(world: &World, progress: &Progress) -> Timestamp {
    later(progress.since, SignedDuration::from_secs(world.rollout.spec.progress_deadline_seconds().into()))
}

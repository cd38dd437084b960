//! When does it give up? A revision that should be available and is not has `progressDeadlineSeconds` from its last progress:
//! from when it was scaled, from when its number of available pods last changed, or from when more pods were ready than before. Worked
//! example, a deadline of 60 s and `minReadySeconds: 20`:
//!
//! | time | ready | available | it gives up at |
//! |---|---|---|---|
//! | 12:00:00, scaled to 3 | 0 | 0 | 12:01:00 |
//! | 12:00:50 | 1 | 0 | 12:01:50 |
//! | 12:00:55, it crashed | 0 | 0 | 12:01:50 |
//! | 12:01:10, and is ready again: no more than before | 1 | 0 | 12:01:50 |
//! | 12:01:30 | 1 | 1 | 12:02:30 |
//!
//! The proof that traffic followed to a revision has as long, from when the status first says that it waits for that; and so has the one that the preview
//! followed, before an analysis.

use greenlight_api::{BlueGreenRolloutStatus, Progress};
use jiff::Timestamp;

use crate::world::{ReplicaSet, World, seconds_after};

/// The progress of a revision that is not available yet.
pub fn read(status: Option<&BlueGreenRolloutStatus>, rs: &ReplicaSet, now: Timestamp) -> Progress {
    let before = status.and_then(|status| status.progress.as_ref()).filter(|before| before.revision == rs.hash);
    let scaled_at = rs.scaled_by(now);
    let same = before.filter(|before| before.available_replicas == rs.available);
    // A pod that starts and crashes again and again comes no further. An older version has not counted them.
    let most_ready = same.map(|before| before.ready_replicas.unwrap_or(rs.ready));
    let since = match same {
        // What stands there may be from the future, too. It becomes now, and is written down so.
        Some(before) if most_ready >= Some(rs.ready) => {
            scaled_at.map_or(before.since, |at| at.max(before.since)).min(now)
        }
        // Without a status nobody knows; the time of the last scaling is on the ReplicaSet.
        None if status.is_none() => scaled_at.unwrap_or(now),
        _ => now,
    };
    Progress {
        revision: rs.hash.clone(),
        available_replicas: rs.available,
        ready_replicas: most_ready.max(Some(rs.ready)),
        since,
    }
}

/// The progress of the proof that traffic followed to a revision that has all its pods: none since the status says that it waits for that, as long as
/// its pods are the same.
pub fn of_proof(status: Option<&BlueGreenRolloutStatus>, rs: &ReplicaSet, now: Timestamp) -> Progress {
    let is_told = |status: &&BlueGreenRolloutStatus| {
        status.switch.as_ref().is_some_and(|switch| switch.to == rs.hash && switch.proven_at.is_none())
    };
    since_told(status.filter(is_told), rs, now)
}

/// The same of the proof that the preview followed to a candidate that has all its pods, and is to be analysed: since the status says that the preview
/// Service selects it.
pub fn of_preview(status: Option<&BlueGreenRolloutStatus>, rs: &ReplicaSet, now: Timestamp) -> Progress {
    since_told(status.filter(|status| status.preview_revision == rs.hash), rs, now)
}

fn since_told(told: Option<&BlueGreenRolloutStatus>, rs: &ReplicaSet, now: Timestamp) -> Progress {
    let before = told.and_then(|status| status.progress.as_ref());
    let same = before.filter(|before| before.revision == rs.hash && before.available_replicas == rs.available);
    Progress {
        revision: rs.hash.clone(),
        available_replicas: rs.available,
        ready_replicas: Some(rs.ready),
        // From the future it is by another operator's clock.
        since: same.map_or(now, |before| before.since.min(now)),
    }
}

/// When this progress is too old.
pub fn deadline(world: &World, progress: &Progress) -> Timestamp {
    seconds_after(progress.since, world.rollout.spec.progress_deadline_seconds())
}

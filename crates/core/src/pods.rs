//! Why the pods of a revision do not become available, in their own words.

use jiff::{SignedDuration, Timestamp};

use crate::words::brief;
use crate::world::{ReplicaSet, World, later};

/// How long a revision's pods may take to start before they are watched. Those that start normally are not looked at.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// How Kubernetes says that a quota refuses a pod.
const EXCEEDED_QUOTA: &str = "exceeded quota";

/// How the scheduler says that a pod fits on no node.
const UNSCHEDULABLE: &str = "Unschedulable";

/// How many of its pods wait for a node with room for them, as far as its pods are looked at.
fn without_node(world: &World, rs: &ReplicaSet) -> usize {
    let pods = world.pods.get(&rs.hash).into_iter().flatten();
    pods.filter(|pod| !pod.ready && !pod.deleting && pod.reason == UNSCHEDULABLE).count()
}

/// No node has room for one of its pods, as far as its pods are looked at.
pub fn fit_on_no_node(world: &World, rs: &ReplicaSet) -> bool {
    without_node(world, rs) > 0
}

/// Some of its pods cannot be made, since a quota has no room for them.
pub fn are_over_quota(rs: &ReplicaSet) -> bool {
    rs.failure.as_deref().is_some_and(|failure| failure.contains(EXCEEDED_QUOTA))
}

/// How many of its pods have room, if some have none: a quota refuses them, or they fit on no node. Whatever else keeps them from
/// being made, a webhook that is down for a moment say, is no lack of room.
pub fn with_room(world: &World, rs: &ReplicaSet) -> Option<i32> {
    let without_node = without_node(world, rs);
    let lacks_room = are_over_quota(rs) || without_node > 0;
    lacks_room.then(|| rs.current.saturating_sub(i32::try_from(without_node).unwrap_or(i32::MAX)))
}

/// When to start to look at the pods of a revision that is not available.
pub fn look_at(rs: &ReplicaSet, since: Timestamp, now: Timestamp) -> Timestamp {
    later(rs.scaled_by(now).map_or(since, |at| at.max(since)), PATIENCE)
}

/// What keeps it from getting more pods, if that is those that were taken from it before.
pub fn leaving(rs: &ReplicaSet) -> Option<String> {
    let left = rs.current.saturating_sub(rs.replicas);
    let text = || {
        format!("new ones are made once those are gone that were taken from ReplicaSet {}: {left} are left", rs.name)
    };
    rs.is_shrinking().then(text)
}

/// The cause, if one is known: `pod web-…-x2k9d: ImagePullBackOff: …`.
pub fn cause(world: &World, rs: &ReplicaSet) -> Option<String> {
    if let Some(failure) = &rs.failure {
        return Some(brief(failure.clone()));
    }
    // What has ended, maybe long ago, says at most why others are missing.
    let is_short = rs.available < rs.replicas;
    let pods = world.pods.get(&rs.hash).into_iter().flatten();
    let stuck = pods.filter(|pod| !pod.ready && !pod.deleting && (is_short || !pod.over));
    // The pod that says most: one with a reason that has not ended, then one with a reason, and words to it, before one that is merely not ready.
    let pod = stuck.max_by_key(|pod| {
        let (has_reason, has_message) = (!pod.reason.is_empty(), !pod.message.is_empty());
        (has_reason && !pod.over, has_reason, has_message, std::cmp::Reverse(&pod.name))
    })?;
    let mut text = format!("pod {}", pod.name);
    for part in [&pod.reason, &pod.message] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    Some(brief(text))
}

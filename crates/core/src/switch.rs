//! Moving the Services, and proving that traffic followed.
//!
//! The active Service moves in three steps, each a write or a read of its own:
//!
//! 1. *claim*: the set is marked as promoted, with the resourceVersion it was read at. The answer is the set as the API server
//!    has it at that moment, and whoever still holds an older picture of it (another operator about to scale it down) can
//!    no longer write to it;
//! 2. *move*: if that answer says that all pods are available, the selector is patched, with the Service's resourceVersion, so
//!    a change by somebody else in between is a conflict and not a loss;
//! 3. *proof*: the Service's EndpointSlices are watched until every ready endpoint is a pod of the set, and there are enough.

use greenlight_api::{PreviewServiceIdle, names};
use jiff::{SignedDuration, Timestamp};

use crate::actions::{Action, Change};
use crate::hash::is_pod_of;
use crate::overlap;
use crate::target::{self, Target};
use crate::world::{ReplicaSet, Service, World};

/// The next writes on the way of the active Services to this set; none if they are there or may not go there yet.
pub fn active(world: &World, target: &Target, set: &ReplicaSet, wanted: i32, now: Timestamp) -> Vec<Action> {
    let services = world.rollout.spec.blue_green().active_services().filter_map(|name| world.services.get(name));
    let mut to_move: Vec<_> =
        services.filter(|service| !service.deleting && service.hash() != Some(&set.hash)).collect();
    if overlap::is_under_way(world, target, set, now) {
        to_move.retain(|service| !service.is_overlapping());
    }
    // Without a Service the claim is all there is to it.
    let only_claim = world.rollout.spec.blue_green().active_service.is_none() && !target.is_active(set);
    if to_move.is_empty() && !only_claim {
        return Vec::new();
    }
    // Putting back a hash that somebody took out is not a move: any pod of that set is better than a mix of all.
    let was_there = world.rollout.status.as_ref().is_some_and(|status| status.active_revision == set.hash);
    let restores = !target.active_selected && target.is_active(set) && was_there;
    let available = if restores { set.available > 0 } else { set.replicas == wanted && set.is_available(wanted) };
    if !available {
        return Vec::new();
    }
    if !set.live || !is_claimed(world, set) {
        let mut change = Change::default();
        if overlap::ends(world, target, set) && is_claimed(world, set) {
            // A new claim would begin the overlap anew.
            change.set(names::OVERLAPPED_AT, now);
        } else {
            change.set(names::PROMOTED_AT, claim_time(world, now));
        }
        let (name, resource_version) = (set.name.clone(), set.resource_version.clone());
        return vec![Action::ChangeReplicaSet { name, resource_version, change }];
    }
    if overlap::begins(world, target, set) {
        return to_move.into_iter().map(overlap::point).collect();
    }
    to_move.into_iter().map(|service| point(service, Some(&set.hash))).collect()
}

/// The move of the preview Service, if it has to.
///
/// It shows the candidate once that is available at its preview size. Until then it keeps what it had; when there is no
/// candidate, it shows what is active, or nothing, as `previewServiceIdle` says.
pub fn preview(world: &World, target: &Target, gate_size: Option<i32>) -> Option<Action> {
    let blue_green = world.rollout.spec.blue_green();
    let service = world.services.get(blue_green.preview_service.as_deref()?)?;
    if service.deleting {
        return None;
    }
    let shown = service.hash();
    let candidate = target.candidate().filter(|_| !target.rolled_back());
    let hash = match (candidate, gate_size) {
        (Some(candidate), Some(size)) if candidate.is_available(size.min(candidate.replicas)) && size > 0 => {
            Some(candidate.hash.as_str())
        }
        // Showing a preview that was superseded, or that lost pods, is better than jumping to production and back.
        (Some(_), _) if shown.is_some_and(|hash| is_up(world, target, hash)) => return None,
        _ if blue_green.preview_service_idle == Some(PreviewServiceIdle::None) => Some(names::NO_HASH),
        _ => target.active.filter(|_| target.active_selected).map(|active| active.hash.as_str()),
    }?;
    (shown != Some(hash)).then(|| point(service, Some(hash)))
}

fn is_up(world: &World, target: &Target, hash: &str) -> bool {
    target::living(world).any(|set| {
        let rejected = target.rejection.is_some() && target.is_asked(set);
        set.hash == hash && set.replicas > 0 && !set.retired() && !rejected
    })
}

/// Services that carry this rollout's mark but are not named by its spec any more: the hash goes out again.
pub fn release_unnamed(world: &World) -> impl Iterator<Item = Action> {
    let named: Vec<&str> = world.rollout.spec.blue_green().services().collect();
    world
        .services
        .values()
        .filter(move |service| {
            service.managed_by.as_ref() == Some(&world.rollout.name) && !named.contains(&service.name.as_str())
        })
        .map(|service| point(service, None))
}

/// Points a Service at a hash, or at none.
pub fn point(service: &Service, hash: Option<&str>) -> Action {
    Action::PointService {
        name: service.name.clone(),
        resource_version: service.resource_version.clone(),
        hash: hash.map(str::to_owned),
        overlap: false,
    }
}

/// The set was promoted after all others.
fn is_claimed(world: &World, set: &ReplicaSet) -> bool {
    target::living(world).all(|other| other.name == set.name || other.promoted_at() < set.promoted_at())
}

/// Now, or just after the last claim, should another operator's clock be ahead.
pub fn claim_time(world: &World, now: Timestamp) -> Timestamp {
    let last = target::living(world).filter_map(ReplicaSet::promoted_at).max();
    last.map_or(now, |last| now.max(last + SignedDuration::from_nanos(1)))
}

/// How far the proof of the last move is.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// All ready endpoints are pods of the active set, and there are enough of them; since when that is known.
    Proven(Timestamp),
    /// Not yet, and what is missing.
    Missing(String),
    /// There is no active set, or the active Service does not select it.
    Nothing,
}

/// When the last move was proven, if the status has noted it for this very move.
pub fn noted(world: &World, active: &ReplicaSet) -> Option<Timestamp> {
    let switch = world.rollout.status.as_ref()?.switch.as_ref()?;
    let same = switch.to == active.hash && Some(switch.switched_at) == active.promoted_at();
    switch.proven_at.filter(|_| same)
}

/// Reads the proof: from the status if it was noted for this very move, else from the endpoints.
pub fn proof(world: &World, target: &Target, now: Timestamp) -> Proof {
    let Some(active) = target.active.filter(|_| target.active_selected) else { return Proof::Nothing };
    if let Some(proven_at) = noted(world, active) {
        return Proof::Proven(proven_at);
    }
    let mut services = world.rollout.spec.blue_green().active_services();
    services.find_map(|service| missing(world, service, active)).map_or(Proof::Proven(now), Proof::Missing)
}

/// What this Service lacks until every ready endpoint of it is a pod of the set, and there are enough.
fn missing(world: &World, service: &str, active: &ReplicaSet) -> Option<String> {
    if world.services.get(service).is_some_and(Service::is_overlapping) {
        return Some("both revisions serve for a while".to_owned());
    }
    let Some(endpoints) = world.endpoints.get(service) else {
        return Some(format!("reading the endpoints of Service {service}"));
    };
    let ready = || endpoints.iter().filter(|endpoint| endpoint.ready);
    let ours = ready().filter(|endpoint| is_pod_of(&endpoint.pod, &active.name)).count();
    let others = ready().count() - ours;
    if others > 0 {
        return Some(format!("Service {service} still has {others} ready endpoints of other pods"));
    }
    let enough = usize::try_from(active.replicas).unwrap_or(0);
    if ours < enough {
        return Some(format!("Service {service} has {ours} of {enough} ready endpoints of the new pods"));
    }
    None
}

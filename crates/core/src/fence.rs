//! What keeps an operator with an old picture from acting on it.
//!
//! Each write carries the resourceVersion that its own object was read at, so nobody writes over what they have not seen. That says
//! nothing of the *other* objects that the decision was made from. Between them there are four fences:
//!
//! | an operator that | is kept from acting by |
//! |---|---|
//! | has an old picture of the rollout (its spec, a request, the record) | each change of a ReplicaSet says which rollout it was planned from; who has an older one [doubts](doubt) it and reads again |
//! | has old pictures of both | what closes is [written to the ReplicaSet](announce) *before* it is published, so that the older one's claim is a conflict |
//! | has claimed, and sleeps before it moves the Services | [withdrawal](withdraw): before anything is published, claims that are not followed are noted on the Services, and the late move is a conflict |
//! | misses what serves in its cache, or its pods, or finds production moved, or a Deployment's template changed | [doubt]: who serves, and what is asked for, changes only after a look at the API server |
//! | does not know yet what a request speaks of, or what a Deployment asks for since | the same: a request is refused, or carried out on a Deployment's template, only after a look at the API server |

use greenlight_api::{BlueGreenRolloutStatus, names};

use crate::actions::{Action, Change, Doubt};
use crate::decisions::{Read, Source, telling_service};
use crate::roles::Roles;
use crate::situation::Situation;
use crate::stall;
use crate::world::{ReplicaSet, Selection, Service, World};

/// Whether what was observed has to be read live before anything is planned.
pub fn doubt(world: &World, read: &Read) -> Option<Doubt> {
    if world.live {
        return None;
    }
    if world.replica_sets.iter().any(|rs| planned_from(rs) > version(&world.rollout.resource_version)) {
        return Some(Doubt::RolloutIsOld);
    }
    let Read { written, now, source } = read;
    let exists = world.replica_sets.iter().any(|rs| rs.hash == now.serving);
    if !now.serving.is_empty() && !exists {
        return Some(Doubt::ProductionIsMissing);
    }
    let whole = |rs: &ReplicaSet| rs.is_available(now.replicas);
    if Roles::read(world, now).rescue().is_some_and(|rescue| !whole(rescue)) {
        return Some(Doubt::ProductionHasNoPods);
    }
    // Nothing tells an old picture of a Deployment from a new one; and to ask for a template anew lifts its rejection.
    let by_workload = world.rollout.spec.workload_ref.is_some() && *source == Source::Record;
    if by_workload && written.template != now.template {
        return Some(Doubt::TemplateHasChanged);
    }
    // It leads elsewhere, or its mark names another revision, and that is no move yet: what would make it one, a ReplicaSet, its claim or its pods,
    // may only not have been seen.
    let is_another = |hash: &str| !now.serving.is_empty() && hash != now.serving;
    let is_elsewhere = |service: &Service| {
        let is_marked = service.production.as_deref().is_some_and(is_another);
        is_marked || matches!(service.selection(), Selection::Revision(hash) if is_another(&hash))
    };
    let moved = written.serving != now.serving || telling_service(world, written).is_some_and(is_elsewhere);
    // Also those that the spec named until now: where it names none, they alone tell.
    let answered = || world.production_services().all(|service| service.answered);
    (*source == Source::Record && moved && !answered()).then_some(Doubt::ProductionHasMoved)
}

/// Notes in each change of a ReplicaSet which rollout it was planned from.
pub fn stamp(world: &World, actions: &mut [Action]) {
    for action in actions {
        let value = world.rollout.resource_version.clone();
        match action {
            Action::ChangeReplicaSet { change, .. } => change.annotate(names::PLANNED_FROM, value),
            Action::CreateReplicaSet { annotations, .. } => drop(annotations.insert(names::PLANNED_FROM, value)),
            _ => {}
        }
    }
}

/// What has to be written before a status is published that answers a request, or that says that another spec was seen: either may
/// have closed the gate. Each ReplicaSet that could be promoted by an older picture gets a new version.
pub fn announce(situation: &Situation, status: &BlueGreenRolloutStatus) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let Some(before) = &world.rollout.status else { return Vec::new() };
    let seen = |status: &BlueGreenRolloutStatus| (status.observed_generation, status.observed_request.clone());
    if seen(before) == seen(status) {
        return Vec::new();
    }
    let known = version(&world.rollout.resource_version);
    let promotable = world.existing().filter(|rs| {
        let of_production = roles.is_home(rs) || roles.is_serving(rs);
        let waits = roles.is_candidate(rs) || !situation.served(rs);
        let is_up = rs.replicas > 0 && !rs.is_retired();
        // The candidate of the picture that is published until now, wherever it came from. What serves there is none; and since it does, it was claimed, or
        // the Services were moved, which an older picture does not know.
        let served = before.decisions.as_ref().is_some_and(|record| record.serving == rs.hash);
        let was_asked_for = before.updated_revision == rs.hash && before.rejected_revision != rs.hash && !served;
        // A later version than is known was forged: it would keep this fence down for ever.
        !of_production && (is_up && waits || was_asked_for) && planned_from(rs) != known
    });
    promotable.filter_map(|rs| touch(world, rs)).collect()
}

/// Notes the claims that nobody follows on the Services that carry production: the operator that made one may still be about to move them, also
/// those that the spec named until a moment ago. `followed` is the ReplicaSet that is being promoted.
pub fn withdraw(situation: &Situation, followed: Option<&ReplicaSet>) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let open = |rs: &&ReplicaSet| {
        let used = situation.record(rs).and_then(|record| record.claim);
        let in_use = roles.is_serving(rs) || roles.is_home(rs) || followed.is_some_and(|of| of.name == rs.name);
        rs.claimed_at().is_some() && rs.claimed_at() != used && !in_use
    };
    // As the operator writes a time: what stands there may be anybody's text, and a time can be as long as they like.
    let claim = |rs: &ReplicaSet| Some(format!("{}@{}", rs.hash, rs.claimed_at()?));
    let mut claims: Vec<String> = world.existing().filter(open).filter_map(claim).collect();
    claims.sort();
    if claims.is_empty() {
        return Vec::new();
    }
    let claims = claims.join(" ");
    let ours = world.production_services().filter(|service| stall::service_stall(world, &service.name).is_none());
    ours.filter(|service| service.withdrawn.as_ref() != Some(&claims))
        .map(|service| Action::WithdrawClaims {
            name: service.name.clone(),
            resource_version: service.resource_version.clone(),
            claims: claims.clone(),
        })
        .collect()
}

/// Puts right what says that it was planned from a later state of the rollout than the API server has: somebody forged that, or the
/// cluster was restored from a backup. Until then everything is read live, again and again.
pub fn correct(situation: &Situation) -> Vec<Action> {
    let world = situation.world;
    let known = version(&world.rollout.resource_version);
    let ahead = world.replica_sets.iter().filter(|rs| world.live && planned_from(rs) > known);
    ahead.filter_map(|rs| touch(world, rs)).collect()
}

/// Writes nothing but which rollout is known, so that an operator that has not seen that state meets a conflict.
fn touch(world: &World, rs: &ReplicaSet) -> Option<Action> {
    let mut change = Change::default();
    change.annotate(names::PLANNED_FROM, &world.rollout.resource_version);
    change.into_action(rs)
}

fn planned_from(rs: &ReplicaSet) -> u64 {
    rs.annotation(names::PLANNED_FROM).map_or(0, version)
}

/// Kubernetes promises that the versions of one kind can be compared as numbers. What has none, forged or not, is older than all.
fn version(resource_version: &str) -> u64 {
    resource_version.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

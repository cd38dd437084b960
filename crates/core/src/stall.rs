//! What is wrong that only somebody outside can mend. Each heals by itself as soon as it is mended.

use greenlight_api::{conditions, names};

use crate::hash;
use crate::roles::{self, Production};
use crate::situation::Situation;
use crate::world::{RefusedWrite, ReplicaSet, Rival, Rollout, Service, World};

/// A reason to stand still.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What keeps the candidate from being promoted, of the Services: all of them have to be there and to fit its pods. What is wrong
/// with one does not keep production from going back by the others, see [`keeps_from_moving`]. Where production is down, nobody waits
/// for a preview, or for more than the first Service.
pub fn services(situation: &Situation) -> Option<Stall> {
    let Situation { world, roles, .. } = situation;
    let blue_green = world.rollout.spec.blue_green();
    let is_down = situation.is_down();
    let preview = if is_down { None } else { blue_green.preview_service.as_deref() };
    let named = || situation.needed_services().chain(preview);
    named()
        .find_map(|name| missing(world, name))
        .or_else(|| named().find_map(|name| claimed(world, name)))
        .or_else(|| named().find_map(|name| mismatched(situation, name)))
        .or_else(|| if is_down || roles.candidate.is_none() { None } else { shows_production(world) })
}

/// What is wrong with one Service by itself: it is missing, or moved by somebody else.
pub fn service_stall(world: &World, name: &str) -> Option<Stall> {
    missing(world, name).or_else(|| claimed(world, name))
}

/// Why a Service must not be moved to this ReplicaSet: somebody else moves it, or it would have no endpoints there.
pub fn keeps_from_moving(world: &World, service: &Service, rs: &ReplicaSet) -> Option<Stall> {
    if let Some(stall) = claimed(world, &service.name).or_else(|| without_selector(service)) {
        return Some(stall);
    }
    let missing = service.missing_labels(rs);
    (!missing.is_empty()).then(|| {
        mismatch(format!(
            "Service {} selects {}, which the pods of ReplicaSet {} do not carry, so it would have no endpoints. \
             Change its selector",
            service.name,
            missing.join(", "),
            rs.name
        ))
    })
}

/// What keeps production, or one of its Services, from where it should be.
pub fn home(situation: &Situation) -> Option<Stall> {
    let Situation { world, roles, .. } = situation;
    let (home, is_away) = match roles.production {
        Production::Nowhere => return None,
        Production::AtHome(home) => (home, false),
        Production::Away { home, .. } => (home, true),
    };
    let concerned = world.production_services().filter(|service| is_away || world.is_named(service));
    concerned.filter(|service| !service.selects(home)).find_map(|service| keeps_from_moving(world, service, home))
}

/// What is wrong with the workload that the template comes from, if anything is.
pub fn workload(world: &World) -> Option<Stall> {
    let name = &world.rollout.spec.workload_ref.as_ref()?.name;
    if world.workload.is_none() {
        let message = format!("Deployment {name} does not exist in namespace {}. Create it", world.rollout.namespace);
        return Some(Stall { reason: conditions::REASON_WORKLOAD_MISSING, message });
    }
    let missing = world.missing_in_workload();
    if missing.is_empty() {
        return None;
    }
    let message = format!(
        "the template of Deployment {name} does not carry {}, which spec.selector requires. Change either",
        missing.join(", ")
    );
    Some(Stall { reason: conditions::REASON_WORKLOAD_MISMATCH, message })
}

/// What the API server does not let the operator do, or keeps an analysis from beginning.
pub fn write(refused: &RefusedWrite) -> Stall {
    if refused.target.starts_with("AnalysisRun ") {
        return Stall { reason: conditions::REASON_ANALYSIS_REFUSED, message: refused.message.clone() };
    }
    let message = format!("the API server refuses to change {}: {}", refused.target, refused.message);
    Stall { reason: conditions::REASON_WRITE_REFUSED, message }
}

/// What the operator tries in vain beside all that is planned.
pub fn trouble(world: &World) -> Option<Stall> {
    let message = world.troubles.first()?.clone();
    Some(Stall { reason: conditions::REASON_WRITE_REFUSED, message })
}

/// What keeps the ReplicaSet of the asked-for template from being created, if anything does.
pub fn template(world: &World) -> Option<Stall> {
    let (digest, rollout) = (&world.rollout.template.digest, &world.rollout.name);
    let leaving = |hash: &str| world.replica_sets.iter().any(|rs| rs.hash == hash && rs.deleting);
    let wrong = if world.template_has_serving_label() {
        Some(format!("remove {} from the labels of the template: greenlight sets it", names::SERVING_LABEL))
    } else if hash::free(digest, rollout, leaving).is_none() {
        let last = hash::replica_set_name(rollout, &digest.hash(rollout, 0));
        Some(format!(
            "{} ReplicaSets of the template are being deleted and do not go, ReplicaSet {last} among them. See what their finalizers wait for",
            hash::COLLISIONS
        ))
    } else {
        None
    };
    if let Some(message) = wrong {
        return Some(Stall { reason: conditions::REASON_TEMPLATE_REFUSED, message });
    }
    if !world.template_is_refused() {
        return None;
    }
    let refused = world.refused.as_ref()?;
    let message = format!("the API server refuses pods of spec.template: {}", refused.message);
    Some(Stall { reason: conditions::REASON_TEMPLATE_REFUSED, message })
}

/// What keeps a rollout from taking over a ReplicaSet that an earlier one of its name left behind, see [`Rollout::may_not_adopt`].
pub fn adoption<'a>(
    rollout: &Rollout,
    name: &str,
    hash: &str,
    services: impl IntoIterator<Item = &'a Service>,
) -> Option<String> {
    let service = rollout.may_not_adopt(hash, services)?;
    Some(format!(
        "an earlier rollout of this name left ReplicaSet {name} behind, and Service {}, which leads to its pods. Name that Service in \
         strategy.blueGreen, or take rollouts-pod-template-hash out of its selector and the annotations of greenlight.dev off it",
        service.name
    ))
}

fn missing(world: &World, name: &str) -> Option<Stall> {
    let namespace = &world.rollout.namespace;
    let message = match world.services.get(name) {
        None => format!("Service {name} does not exist in namespace {namespace}. Create it"),
        Some(service) if service.deleting => {
            format!("Service {name} in namespace {namespace} is being deleted. Let it go, and create it again")
        }
        Some(_) => return None,
    };
    Some(Stall { reason: conditions::REASON_SERVICE_MISSING, message })
}

/// Somebody else moves it: another rollout, or an Argo Rollout.
fn claimed(world: &World, name: &str) -> Option<Stall> {
    let service = world.services.get(name)?;
    let of_rival = |rival: &Rival| {
        format!("Service {name} is moved by rollout {} already. Give this rollout a Service of its own", rival.name)
    };
    let of_argo = |argo: &str| {
        format!(
            "Service {name} is moved by the Argo Rollout {argo}. To hand it over, set spec.paused: true in that Rollout, and then remove \
             the annotation {} from the Service",
            names::MANAGED_BY_ARGO
        )
    };
    let message = world.owner(service).map(of_rival).or_else(|| world.argo_rollout(service).map(of_argo))?;
    Some(Stall { reason: conditions::REASON_SERVICE_CLAIMED, message })
}

/// What the Service selects, and the pods of the spec's template do not carry.
fn mismatched(situation: &Situation, name: &str) -> Option<Stall> {
    let world = situation.world;
    let service = world.services.get(name)?;
    if let Some(stall) = without_selector(service) {
        return Some(stall);
    }
    let missing = service.lacking(&world.rollout.template.labels);
    // What was rejected is not to serve, whatever it lacks.
    let is_rejected = situation.decisions.rejection_of_template(roles::asked_for(world, situation.decisions)).is_some();
    if missing.is_empty() || is_rejected {
        return None;
    }
    Some(mismatch(format!(
        "Service {name} selects {}, which spec.template does not carry, so it would have no endpoints. Change either",
        missing.join(", ")
    )))
}

/// The Service selects nothing by itself: with a hash alone it would lead to whatever pods carry that.
fn without_selector(service: &Service) -> Option<Stall> {
    if service.own_selector().next().is_some() {
        return None;
    }
    Some(mismatch(format!("Service {} has no selector. Give it labels of spec.template", service.name)))
}

/// The preview Service carried production before, of this rollout or of one that is gone: it shows no preview.
fn shows_production(world: &World) -> Option<Stall> {
    let name = world.rollout.spec.blue_green().preview_service.as_ref()?;
    world.services.get(name)?.production.as_ref()?;
    Some(mismatch(format!(
        "Service {name} carried production, so it shows no preview: whoever still uses it would get what nobody promoted. \
         Name another Service as previewService; or, when nobody uses it as production any more, remove its annotation {}",
        names::PRODUCTION
    )))
}

fn mismatch(message: String) -> Stall {
    Stall { reason: conditions::REASON_SERVICE_MISMATCH, message }
}

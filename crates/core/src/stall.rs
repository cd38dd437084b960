//! What is wrong that only somebody outside can mend. Each heals by itself as soon as it is mended.

use std::collections::BTreeMap;

use greenlight_api::{conditions, names};

use crate::world::{Service, World};

/// A reason to stand still.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// Reason of the condition.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// What keeps the Services from being moved, if anything does. Production stays where it is meanwhile.
pub fn services(world: &World) -> Option<Stall> {
    let named = || world.rollout.spec.blue_green().services();
    named()
        .find_map(|name| missing(world, name))
        .or_else(|| named().find_map(|name| claimed(world, name)))
        .or_else(|| named().find_map(|name| mismatched(world, name)))
}

/// What is wrong with the workload that the template comes from, if anything is.
pub fn workload(world: &World) -> Option<Stall> {
    let name = &world.rollout.spec.workload_ref.as_ref()?.name;
    let Some(workload) = &world.workload else {
        let message = format!("Deployment {name} does not exist in namespace {}. Create it", world.rollout.namespace);
        return Some(Stall { reason: conditions::REASON_WORKLOAD_MISSING, message });
    };
    let wanted = world.rollout.spec.selector.match_labels.iter().flatten();
    let missing: Vec<String> = wanted
        .filter(|(key, value)| workload.template.labels.get(*key) != Some(value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let message = format!(
        "the template of Deployment {name} does not carry {}, which spec.selector asks for. Change either",
        missing.join(", ")
    );
    Some(Stall { reason: conditions::REASON_WORKLOAD_MISMATCH, message })
}

/// What keeps an analysis from beginning, if anything does.
pub fn analysis(world: &World) -> Option<Stall> {
    let refused = world.analysis_refused.as_ref()?;
    Some(Stall { reason: conditions::REASON_ANALYSIS_REFUSED, message: refused.message.clone() })
}

/// What keeps the ReplicaSet of the asked-for template from being created, if anything does.
pub fn template(world: &World) -> Option<Stall> {
    let refused = world.refused.as_ref().filter(|refused| refused.digest == world.rollout.template.digest.as_str())?;
    let message = format!("the API server refuses pods of spec.template: {}", refused.message);
    Some(Stall { reason: conditions::REASON_TEMPLATE_REFUSED, message })
}

fn missing(world: &World, name: &str) -> Option<Stall> {
    let message = format!("Service {name} does not exist in namespace {}. Create it", world.rollout.namespace);
    (!world.services.contains_key(name)).then_some(Stall { reason: conditions::REASON_SERVICE_MISSING, message })
}

/// A Service belongs to the rollout whose mark it carries, as long as that one names it; without a mark, to the oldest.
fn claimed(world: &World, name: &str) -> Option<Stall> {
    let service = world.services.get(name)?;
    let rivals = || world.rivals.iter().filter(|rival| rival.services.iter().any(|named| named == name));
    let marked = service.managed_by.as_ref();
    let owner = rivals().find(|rival| marked == Some(&rival.name)).or_else(|| {
        let unmarked = marked != Some(&world.rollout.name);
        let us = (world.rollout.created, &world.rollout.name);
        rivals().filter(|rival| unmarked && (rival.created, &rival.name) < us).min_by_key(|rival| rival.created)
    })?;
    let message =
        format!("Service {name} is moved by rollout {} already. Give this rollout a Service of its own", owner.name);
    Some(Stall { reason: conditions::REASON_SERVICE_CLAIMED, message })
}

fn mismatched(world: &World, name: &str) -> Option<Stall> {
    let service = world.services.get(name)?;
    let stall = |message| Some(Stall { reason: conditions::REASON_SERVICE_MISMATCH, message });
    let wanted = own_selector(service);
    if wanted.is_empty() {
        return stall(format!("Service {name} has no selector. Give it labels of spec.template"));
    }
    let labels = &world.rollout.template.labels;
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(key, value)| labels.get(**key) != Some(value))
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    if missing.is_empty() {
        return None;
    }
    stall(format!(
        "Service {name} selects {}, which spec.template does not carry, so it would have no endpoints. Change either",
        missing.join(", ")
    ))
}

/// What the Service's owner wrote, without what we did.
fn own_selector(service: &Service) -> BTreeMap<&str, &String> {
    let ours = [names::HASH_LABEL, names::SERVING_LABEL];
    let theirs = service.selector.iter().filter(|(key, _)| !ours.contains(&key.as_str()));
    theirs.map(|(key, value)| (key.as_str(), value)).collect()
}

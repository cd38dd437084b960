//! What an action does to a world, as the API server would do it. For `kubectl greenlight plan`, and for the explorer: what is proven
//! there is what is shown here.

use greenlight_api::{PodMetadata, names};
use jiff::Timestamp;

use crate::actions::{Action, Change};
use crate::metadata;
use crate::world::{Pod, ReplicaSet, Run, Selection, Service, Workload, World};

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was carried out.
    Done,
    /// The object is not as it was read, or not there (any more): nothing changed.
    Conflict,
}

/// Carries out an action. `version` is the resourceVersion that the changed object gets.
pub fn apply(world: &mut World, action: &Action, version: &str, now: Timestamp) -> Written {
    match action {
        Action::AddFinalizer => {
            let finalizers = &mut world.rollout.finalizers;
            if !finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER) {
                finalizers.push(names::SERVICES_FINALIZER.to_owned());
            }
            version.clone_into(&mut world.rollout.resource_version);
        }
        Action::RemoveFinalizer => {
            world.rollout.finalizers.retain(|finalizer| finalizer != names::SERVICES_FINALIZER);
            version.clone_into(&mut world.rollout.resource_version);
        }
        Action::CompleteRequest { value } => {
            world.rollout.request = Some(value.clone());
            version.clone_into(&mut world.rollout.resource_version);
        }
        Action::CreateReplicaSet { .. } => return create(world, action, version, now),
        Action::ChangeReplicaSet { name, resource_version, change } => {
            return on_replica_set(world, name, resource_version, version, |rs| change_replica_set(rs, change));
        }
        Action::DeleteReplicaSet { name, resource_version } => return delete(world, name, resource_version, version),
        Action::SelectRevision { name, resource_version, selection, production, rejections, .. } => {
            let rollout = world.rollout.name.clone();
            return on_service(world, name, resource_version, version, |service| {
                select(service, rollout, selection, production.as_deref());
                service.rejections.clone_from(rejections);
            });
        }
        Action::WithdrawClaims { name, resource_version, claims } => {
            return on_service(world, name, resource_version, version, |service| {
                service.withdrawn = Some(claims.clone());
            });
        }
        Action::RemoveMarks { name, resource_version } => {
            return on_service(world, name, resource_version, version, |service| {
                (service.managed_by, service.production, service.withdrawn) = (None, None, None);
                service.rejections.clear();
            });
        }
        Action::ChangePodMetadata { name, resource_version, from, to, .. } => {
            let json = |metadata: &PodMetadata| serde_json::to_string(metadata).expect("it has only strings in it");
            return on_replica_set(world, name, resource_version, version, |rs| {
                // The template first. Its pods follow in a second one, once no others are made of the template before.
                let has_begun = metadata::has_begun(rs, from, to);
                rs.settled &= has_begun;
                let noted = if has_begun { json(to) } else { json(&metadata::either(from, to)) };
                rs.annotations.insert(names::ROLE_METADATA.to_owned(), noted);
                rs.pod_labels.retain(|key, _| !from.labels.contains_key(key));
                rs.pod_labels.extend(to.labels.clone());
            });
        }
        Action::ScaleWorkload { name, resource_version, replicas } => {
            let is_as_it_was =
                |workload: &&mut Workload| (&workload.name, &workload.resource_version) == (name, resource_version);
            let Some(workload) = world.workload.as_mut().filter(is_as_it_was) else { return Written::Conflict };
            workload.replicas = *replicas;
            version.clone_into(&mut workload.resource_version);
        }
        Action::StartAnalysis { name, .. } => {
            if !world.runs.iter().any(|run| run.name == *name) {
                world.runs.push(Run { name: name.clone(), ..Run::default() });
            }
        }
        Action::StopAnalysis { name } => match world.runs.iter_mut().find(|run| run.name == *name) {
            Some(run) => run.terminating = true,
            None => return Written::Conflict,
        },
        Action::EvictPod { hash, name, uid, resource_version } => {
            let is_as_it_was =
                |pod: &&mut Pod| (&pod.name, &pod.uid, &pod.resource_version) == (name, uid, resource_version);
            match world.pods.get_mut(hash).and_then(|pods| pods.iter_mut().find(is_as_it_was)) {
                Some(pod) => pod.deleting = true,
                None => return Written::Conflict,
            }
        }
    }
    Written::Done
}

/// Publishes a status. Whether the rollout still is as it was read is for the caller to ask.
pub fn publish(world: &mut World, status: greenlight_api::BlueGreenRolloutStatus, version: &str) {
    world.rollout.status = Some(status);
    version.clone_into(&mut world.rollout.resource_version);
}

fn create(world: &mut World, action: &Action, version: &str, now: Timestamp) -> Written {
    let Action::CreateReplicaSet { name, hash, digest, replicas, annotations, pod_metadata, .. } = action else {
        return Written::Conflict;
    };
    let taken = world.replica_sets.iter().any(|rs| rs.name == *name);
    if taken || world.rollout.template.digest.as_str() != digest {
        return Written::Conflict;
    }
    let mut pod_labels = world.rollout.template.labels.clone();
    pod_labels.extend(pod_metadata.labels.clone());
    world.replica_sets.push(ReplicaSet {
        name: name.clone(),
        uid: format!("uid-{version}"),
        hash: hash.clone(),
        digest: digest.clone(),
        resource_version: version.to_owned(),
        created: now,
        deleting: false,
        finalizers: Vec::new(),
        annotations: annotations.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        pod_labels,
        replicas: *replicas,
        min_ready_seconds: world.rollout.spec.min_ready_seconds(),
        settled: false,
        current: 0,
        ready: 0,
        available: 0,
        fully_labeled: 0,
        failure: None,
        fresh: true,
    });
    Written::Done
}

/// Deletes a ReplicaSet. While a finalizer holds it, it is only marked.
fn delete(world: &mut World, name: &str, resource_version: &str, version: &str) -> Written {
    let Some(position) = world.replica_sets.iter().position(|rs| rs.name == name) else { return Written::Conflict };
    let rs = &mut world.replica_sets[position];
    if rs.resource_version != resource_version {
        return Written::Conflict;
    }
    if rs.finalizers.is_empty() {
        world.replica_sets.remove(position);
    } else {
        rs.deleting = true;
        version.clone_into(&mut rs.resource_version);
    }
    Written::Done
}

fn on_replica_set(
    world: &mut World,
    name: &str,
    resource_version: &str,
    version: &str,
    change: impl FnOnce(&mut ReplicaSet),
) -> Written {
    let Some(rs) = world.replica_sets.iter_mut().find(|rs| rs.name == name) else { return Written::Conflict };
    if rs.resource_version != resource_version {
        return Written::Conflict;
    }
    change(rs);
    version.clone_into(&mut rs.resource_version);
    rs.fresh = true;
    // The last finalizer of what is being deleted was all that held it.
    if rs.deleting && rs.finalizers.is_empty() {
        world.replica_sets.retain(|rs| rs.name != name);
    }
    Written::Done
}

/// Changes a ReplicaSet. Its controller has not seen that yet; pods beyond the new size count no more.
pub fn change_replica_set(rs: &mut ReplicaSet, change: &Change) {
    for (key, value) in &change.annotations {
        match value {
            Some(value) => rs.annotations.insert((*key).to_owned(), value.clone()),
            None => rs.annotations.remove(*key),
        };
    }
    if let Some(digest) = rs.annotation(names::TEMPLATE_DIGEST) {
        rs.digest = digest.to_owned();
    }
    if let Some(finalizers) = &change.finalizers {
        rs.finalizers.clone_from(finalizers);
    }
    if let Some(seconds) = change.min_ready_seconds {
        rs.min_ready_seconds = seconds;
    }
    if let Some(replicas) = change.replicas {
        rs.settled = rs.settled && replicas == rs.replicas;
        rs.replicas = replicas;
        for count in [&mut rs.current, &mut rs.ready, &mut rs.available] {
            *count = (*count).min(replicas);
        }
    }
}

/// Points a Service of this rollout at a selection. Without one, it carries none of the rollout's marks.
fn select(service: &mut Service, rollout: String, selection: &Selection, production: Option<&str>) {
    for (key, value) in selector_patch(selection) {
        match value {
            Some(value) => service.selector.insert(key.to_owned(), value),
            None => service.selector.remove(key),
        };
    }
    service.managed_by = (*selection != Selection::Unmanaged).then_some(rollout);
    service.production = production.map(str::to_owned);
    service.moved_by = None;
    if *selection == Selection::Unmanaged {
        service.withdrawn = None;
    }
}

fn on_service(
    world: &mut World,
    name: &str,
    resource_version: &str,
    version: &str,
    change: impl FnOnce(&mut Service),
) -> Written {
    let Some(service) = world.services.get_mut(name) else { return Written::Conflict };
    if service.resource_version != resource_version {
        return Written::Conflict;
    }
    change(service);
    service.answered = true;
    version.clone_into(&mut service.resource_version);
    Written::Done
}

/// The keys of a selector that are ours, as they are to be for this selection; `None` takes one out.
pub fn selector_patch(selection: &Selection) -> [(&'static str, Option<String>); 2] {
    let (hash, both) = match selection {
        Selection::Revision(hash) => (Some(hash.clone()), None),
        Selection::Both(label) => (None, Some(label.clone())),
        Selection::Nothing => (Some(names::NO_HASH.to_owned()), None),
        Selection::Unmanaged => (None, None),
    };
    [(names::HASH_LABEL, hash), (names::SERVING_LABEL, both)]
}

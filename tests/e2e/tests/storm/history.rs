//! What really happened in one namespace: every version of every object, in the order in which they were written. All kinds are in
//! one etcd, so their resourceVersions are places in one order.

use std::collections::{BTreeMap, BTreeSet};

/// One version of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its resourceVersion.
    pub version: u64,
    /// When the recorder saw it, in seconds.
    pub at: f64,
    /// What it is now.
    pub what: What,
}

/// An object as it is from now on.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a history of a storm is short")]
pub enum What {
    /// A Service.
    Service(Service),
    /// A ReplicaSet.
    Set(Set),
    /// An EndpointSlice.
    Slice(Slice),
    /// A pod.
    Pod(Pod),
    /// The rollout.
    Rollout(Rollout),
    /// An event of the rollout.
    Told(Told),
    /// It is gone.
    Gone(Kind, String),
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Service.
    Service,
    /// ReplicaSet.
    Set,
    /// EndpointSlice.
    Slice,
    /// Pod.
    Pod,
    /// BlueGreenRollout.
    Rollout,
    /// Event.
    Told,
}

/// What a Service selects of our revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Whatever has its own labels.
    #[default]
    Everything,
    /// Nothing at all.
    Nothing,
    /// What serves and what is about to.
    Both,
    /// One revision.
    Hash(String),
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it selects.
    pub selection: Selection,
    /// The revision that it was given as production.
    pub production: String,
    /// The revisions whose rejection it carries.
    pub rejected: Vec<String>,
}

impl Service {
    /// The hash that it carries, or is on its way to.
    pub fn carries(&self) -> Option<&str> {
        match &self.selection {
            Selection::Hash(hash) => Some(hash),
            Selection::Both => Some(&self.production),
            Selection::Everything | Selection::Nothing => None,
        }
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
    /// The image of its pods.
    pub image: String,
    /// How many pods it is to have.
    pub replicas: i32,
    /// How many are available.
    pub available: i32,
    /// It is being deleted.
    pub deleting: bool,
    /// It has the finalizer or the deadline of one that retires.
    pub retires: bool,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Its name.
    pub name: String,
    /// Its Service.
    pub service: String,
    /// The pods that are ready there.
    pub ready: BTreeSet<String>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The ReplicaSet that it is of.
    pub set: String,
    /// It is being deleted.
    pub deleting: bool,
}

/// The rollout, what is asked of it and what it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Counts the specs.
    pub generation: i64,
    /// The image that the spec asks for.
    pub image: String,
    /// How many pods it asks for.
    pub replicas: i32,
    /// Nobody has to promote.
    pub auto: bool,
    /// What stands in the annotation.
    pub request: String,
    /// Its status, once it has one.
    pub status: Option<Status>,
}

/// The status of the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The spec that it speaks of.
    pub observed_generation: i64,
    /// The state in one word.
    pub phase: String,
    /// The state in a sentence.
    pub message: String,
    /// Status and reason of the condition Ready.
    pub ready: String,
    /// The revision that serves.
    pub active: String,
    /// The revision behind the preview Service.
    pub preview: String,
    /// The revision of the spec.
    pub updated: String,
    /// Value, whether it was accepted, and the answer.
    pub answer: Option<(String, bool, String)>,
    /// The revision that the last move went to, and when that was proven.
    pub switch: Option<(String, Option<String>)>,
    /// What is rejected, and by whom.
    pub rejected: BTreeMap<String, String>,
    /// The revisions that are on record.
    pub recorded: BTreeSet<String>,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Its reason.
    pub reason: String,
    /// What it says.
    pub note: String,
}

/// The namespace at one moment.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// ReplicaSets by name.
    pub sets: BTreeMap<String, Set>,
    /// EndpointSlices by name.
    pub slices: BTreeMap<String, Slice>,
    /// Pods by name.
    pub pods: BTreeMap<String, Pod>,
    /// The rollout.
    pub rollout: Option<Rollout>,
    /// Events by name.
    pub told: BTreeMap<String, Told>,
}

impl World {
    /// What it is after a change.
    pub fn apply(&mut self, what: &What) {
        match what.clone() {
            What::Service(it) => drop(self.services.insert(it.name.clone(), it)),
            What::Set(it) => drop(self.sets.insert(it.name.clone(), it)),
            What::Slice(it) => drop(self.slices.insert(it.name.clone(), it)),
            What::Pod(it) => drop(self.pods.insert(it.name.clone(), it)),
            What::Rollout(it) => self.rollout = Some(it),
            What::Told(it) => drop(self.told.insert(it.name.clone(), it)),
            What::Gone(Kind::Service, name) => drop(self.services.remove(&name)),
            What::Gone(Kind::Set, name) => drop(self.sets.remove(&name)),
            What::Gone(Kind::Slice, name) => drop(self.slices.remove(&name)),
            What::Gone(Kind::Pod, name) => drop(self.pods.remove(&name)),
            What::Gone(Kind::Told, name) => drop(self.told.remove(&name)),
            What::Gone(Kind::Rollout, _) => self.rollout = None,
        }
    }

    /// The ReplicaSet of a hash.
    pub fn set(&self, hash: &str) -> Option<&Set> {
        self.sets.values().find(|set| set.hash == hash)
    }

    /// The ReplicaSets with pods that are not on record: whoever made one died before it was, and nobody asked for it since.
    pub fn left_behind(&self) -> Vec<String> {
        let recorded = self.status().recorded;
        let sets = self.sets.values().filter(|set| set.replicas > 0 && !recorded.contains(&set.hash));
        sets.map(|set| set.name.clone()).collect()
    }

    /// The hash of an image.
    pub fn hash_of(&self, image: &str) -> Option<&str> {
        self.sets.values().find(|set| set.image == image).map(|set| set.hash.as_str())
    }

    /// The image of a hash, or the hash if there is no ReplicaSet of it.
    pub fn image_of<'a>(&'a self, hash: &'a str) -> &'a str {
        self.set(hash).map_or(hash, |set| &set.image)
    }

    /// The hash that a Service carries.
    pub fn carried_by(&self, service: &str) -> Option<&str> {
        self.services.get(service)?.carries()
    }

    /// The pods that are ready behind a Service.
    pub fn ready_behind(&self, service: &str) -> BTreeSet<&str> {
        let of_service = self.slices.values().filter(|slice| slice.service == service);
        of_service.flat_map(|slice| slice.ready.iter().map(String::as_str)).collect()
    }

    /// UIDs of the pods of a ReplicaSet that stay.
    pub fn pods_of(&self, set: &str) -> BTreeSet<String> {
        self.pods.values().filter(|pod| pod.set == set && !pod.deleting).map(|pod| pod.uid.clone()).collect()
    }

    /// The status; empty if there is none, or none that speaks of the spec as it is.
    pub fn status(&self) -> Status {
        let Some(rollout) = &self.rollout else { return Status::default() };
        let current = rollout.status.clone().filter(|status| status.observed_generation >= rollout.generation);
        current.unwrap_or_default()
    }
}

/// The history in words, as a person would tell it: what does not matter to a release is left out.
pub fn in_words(history: &[Change]) -> Vec<(f64, String)> {
    let mut world = World::default();
    let mut lines = Vec::new();
    for change in history {
        if let Some(words) = words(&world, &change.what) {
            lines.push((change.at, format!("{:>7}  {words}", change.version)));
        }
        world.apply(&change.what);
    }
    lines
}

fn words(before: &World, what: &What) -> Option<String> {
    match what {
        What::Service(it) => {
            let was = before.services.get(&it.name);
            if was.is_some_and(|was| was.selection == it.selection) {
                return None;
            }
            let selection = match &it.selection {
                Selection::Hash(hash) => format!("{} ({hash})", before.image_of(hash)),
                Selection::Both => format!("both, on the way to {}", before.image_of(&it.production)),
                other => format!("{other:?}").to_lowercase(),
            };
            Some(format!("Service {} selects {selection}", it.name))
        }
        What::Set(it) => {
            let was = before.sets.get(&it.name).cloned().unwrap_or_default();
            if was == *it {
                return None;
            }
            let retires = if it.retires { ", retires" } else { "" };
            let deleting = if it.deleting { ", is being deleted" } else { "" };
            let Set { image, hash, replicas, available, .. } = it;
            Some(format!("ReplicaSet of {image} ({hash}): {available} of {replicas} available{retires}{deleting}"))
        }
        What::Slice(it) => {
            if before.slices.get(&it.name).is_some_and(|was| was.ready == it.ready) {
                return None;
            }
            Some(format!(
                "EndpointSlice of {}: ready {}",
                it.service,
                it.ready.iter().cloned().collect::<Vec<_>>().join(" ")
            ))
        }
        What::Pod(it) => match before.pods.get(&it.name) {
            None => Some(format!("pod {} is made", it.name)),
            Some(was) if was.deleting != it.deleting => Some(format!("pod {} is being deleted", it.name)),
            Some(_) => None,
        },
        What::Rollout(it) => rollout_words(before.rollout.as_ref(), it),
        What::Told(it) if before.told.contains_key(&it.name) => None,
        What::Told(it) => Some(format!("event {}: {}", it.reason, it.note)),
        What::Gone(kind, name) => Some(format!("{kind:?} {name} is gone")),
    }
}

fn rollout_words(was: Option<&Rollout>, it: &Rollout) -> Option<String> {
    let mut words = Vec::new();
    let empty = Rollout::default();
    let was = was.unwrap_or(&empty);
    if (&was.image, was.replicas) != (&it.image, it.replicas) {
        words.push(format!("asks for {} of {} (generation {})", it.replicas, it.image, it.generation));
    }
    if was.request != it.request {
        words.push(format!("is asked: {}", it.request));
    }
    let (before, after) = (was.status.clone().unwrap_or_default(), it.status.clone().unwrap_or_default());
    if (&before.phase, &before.message) != (&after.phase, &after.message) {
        words.push(format!("says {}: {}", after.phase, after.message));
    }
    if before.answer != after.answer
        && let Some((_, accepted, answer)) = &after.answer
    {
        words.push(format!("{}: {answer}", if *accepted { "accepts" } else { "refuses" }));
    }
    if before.rejected != after.rejected {
        words.push(format!("rejected: {:?}", after.rejected));
    }
    if before.switch != after.switch {
        words.push(format!("switch: {:?}", after.switch));
    }
    (!words.is_empty()).then(|| format!("the rollout {}", words.join("; ")))
}

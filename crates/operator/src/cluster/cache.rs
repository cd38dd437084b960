//! The newest known state of each object, from its watch or from the answer to a write of the operator's own. So a reconcile
//! sees what it wrote, and does not act twice on what it already changed.
//!
//! Most objects are looked at once in a long while, so they are kept packed, as compressed JSON, and unpacked at each look: a
//! tenth of the memory, for some ten microseconds. While a rollout is worked on, it and what belongs to it are looked at by one plan after
//! the other, with each write: so what was looked at last is at hand unpacked, too.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::cluster::arrived::Unreadable;
pub use crate::cluster::key::Key;

/// How many objects of a kind are at hand, not compressed: those of all the rollouts that are worked on at a time, and some more.
const AT_HAND: usize = 64;
/// The largest object that is at hand, in bytes of JSON.
const LARGEST_AT_HAND: usize = 16 << 10;
/// The largest group whose objects are at hand: a larger one would push out what others work on.
const MOST_OF_A_GROUP: usize = AT_HAND / 4;
/// The longest sample, in bytes of JSON: a rollout with a history of ten revisions.
const LONGEST_SAMPLE: usize = 8 << 10;

/// What can be kept. It reads back from JSON as it was written.
pub trait Cached: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug {
    /// Its key.
    fn key(&self) -> Key;
    /// Its resourceVersion.
    fn resource_version(&self) -> &str;
    /// What it can be looked up by, besides its key.
    fn groups(&self) -> Vec<Key>;
    /// One that takes more bytes than this, packed, is not kept: it counts as one that cannot be read. A few hundred are usual, and whoever may write a
    /// Service, say, writes a megabyte on each of hundreds, of labels and annotations.
    const LARGEST: usize = 64 << 10;
    /// As little of it as is needed while it cannot be read.
    fn outlined(self) -> Option<Self> {
        None
    }
    /// Whether it is one of the few of its group that [`Cache::marked`] is asked for.
    fn is_marked(&self) -> bool {
        false
    }
}

type Listener<T> = Box<dyn Fn(Option<&T>, Option<&T>) + Send + Sync>;

/// Objects of one kind.
pub struct Cache<T> {
    samples: Samples,
    state: RwLock<State>,
    /// Only of what is in `state`, and as it is there: it is changed by whoever may write that, and added to by whoever may read it.
    at_hand: Mutex<AtHand<T>>,
    listeners: RwLock<Vec<Listener<T>>>,
    /// Wakes the task that tells of objects that cannot be read.
    unreadable: Notify,
}

/// Those that were looked at last, unpacked, and when that was.
struct AtHand<T> {
    objects: HashMap<Key, (u64, T)>,
    looks: u64,
}

impl<T: Clone> AtHand<T> {
    fn get(&mut self, key: &Key) -> Option<T> {
        let (looked_at, object) = self.objects.get_mut(key)?;
        self.looks += 1;
        *looked_at = self.looks;
        Some(object.clone())
    }

    fn put(&mut self, key: &Key, object: &T) {
        if self.objects.len() >= AT_HAND && !self.objects.contains_key(key) {
            let longest_ago = self.objects.iter().min_by_key(|(_, (looked_at, _))| *looked_at);
            let longest_ago = longest_ago.map(|(key, _)| key.clone());
            longest_ago.map(|key| self.objects.remove(&key));
        }
        self.looks += 1;
        self.objects.insert(key.clone(), (self.looks, object.clone()));
    }

    fn take(&mut self, key: &Key) -> Option<T> {
        self.objects.remove(key).map(|(_, object)| object)
    }
}

#[derive(Default)]
struct State {
    objects: HashMap<Arc<Key>, Entry>,
    /// Groups have one or two members, so a list is smaller than any set. They share their members' keys with `objects`.
    groups: HashMap<Key, Vec<Arc<Key>>>,
    /// Objects whose newest state cannot be read.
    unreadable: HashMap<Key, Unreadable>,
    /// Versions of objects that are gone, so that a late answer to a write does not bring them back.
    gone: HashMap<Key, (u64, Instant)>,
    /// The same, the oldest first.
    gone_since: VecDeque<(Instant, Key)>,
}

struct Entry {
    packed: Box<[u8]>,
    /// The number of the sample that it was packed by.
    sample: u8,
    version: u64,
    put_at: Instant,
    marked: bool,
    /// It stands for an object that cannot be read as a whole.
    outline: bool,
}

/// Objects of a kind, as JSON, each longer than the one before: what an object has in common with the last of them takes no room. One would not do: the
/// first rollout of a cluster has no status yet, and the names of all fields of a status would be kept for each of the others.
struct Samples(Mutex<Vec<Arc<[u8]>>>);

impl Default for Samples {
    /// With an empty one, for what is too long to be one.
    fn default() -> Samples {
        Samples(Mutex::new(vec![Arc::default()]))
    }
}

impl Samples {
    /// The sample for an object of this JSON, and its number: the last one, or the object itself if it is half as long again.
    fn of(&self, json: &[u8]) -> (u8, Arc<[u8]>) {
        let mut samples = self.0.lock().expect("no panic while locked");
        let longest = samples.last().map_or(0, |sample| sample.len());
        if json.len() <= LONGEST_SAMPLE && json.len() > longest + longest / 2 {
            samples.push(json.into());
        }
        let last = samples.len() - 1;
        (u8::try_from(last).expect("some twenty at most, as they grow so"), samples[last].clone())
    }

    /// The sample of this number.
    fn get(&self, number: u8) -> Arc<[u8]> {
        self.0.lock().expect("no panic while locked")[usize::from(number)].clone()
    }

    fn pack<T: Cached>(&self, object: &T) -> Entry {
        let json = serde_json::to_vec(object).expect("it came from JSON");
        let (number, sample) = self.of(&json);
        let packed = compress_prepend_size_with_dict(&json, &sample).into_boxed_slice();
        let entry = Entry {
            packed,
            sample: number,
            version: version(object.resource_version()),
            put_at: Instant::now(),
            marked: object.is_marked(),
            outline: false,
        };
        debug_assert_eq!(self.unpack::<T>(&entry), *object);
        entry
    }

    /// In bytes of JSON: that is what the packed object begins with.
    fn length(entry: &Entry) -> usize {
        let length = entry.packed.first_chunk::<4>().map(|length| u32::from_le_bytes(*length));
        length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX)
    }

    fn unpack<T: Cached>(&self, entry: &Entry) -> T {
        let sample = self.get(entry.sample);
        let json = decompress_size_prepended_with_dict(&entry.packed, &sample).expect("it was packed by us");
        let mut deserializer = serde_json::Deserializer::from_slice(&json);
        // Some kinds are kept inside of something: what was just not too deep to arrive would be too deep to be unpacked.
        deserializer.disable_recursion_limit();
        T::deserialize(&mut deserializer).expect("it was packed by us")
    }
}

/// How long an answer may be late.
const GONE_FOR: Duration = Duration::from_secs(60);

impl<T: Cached> Default for Cache<T> {
    fn default() -> Self {
        let at_hand = Mutex::new(AtHand { objects: HashMap::new(), looks: 0 });
        let (samples, state, listeners) = (Samples::default(), RwLock::default(), RwLock::default());
        Cache { samples, state, at_hand, listeners, unreadable: Notify::new() }
    }
}

impl<T: Cached> Cache<T> {
    /// Calls `listener` with every object that changes: as it was, if it was there, and as it is, if it is.
    pub fn listen(&self, listener: impl Fn(&T) + Send + Sync + 'static) {
        self.listen_to_changes(move |before, after| before.into_iter().chain(after).for_each(&listener));
    }

    /// Calls `listener` with both at a time.
    pub fn listen_to_changes(&self, listener: impl Fn(Option<&T>, Option<&T>) + Send + Sync + 'static) {
        self.listeners.write().expect("no panic while locked").push(Box::new(listener));
    }

    /// Keeps this object, as a watch brought it, unless this state or a newer one is known.
    pub fn put(&self, object: T) {
        // Half of what watches bring are our own writes, whose answers are here before.
        let is_news = {
            let state = self.state.read().expect("no panic while locked");
            let known = state.objects.get(&object.key());
            known.is_none_or(|known| known.version < version(object.resource_version()))
        };
        if is_news {
            self.keep(object, false);
        }
    }

    /// Keeps this object, as a request of our own was answered, unless a newer state is known. Of two readings of one state it is the
    /// better one: a watch may have read it by another schema, while a CRD is being changed.
    pub fn put_answer(&self, object: T) {
        self.keep(object, true);
    }

    /// Keeps this object, as it was just read. That a watch has lost sight of it, because somebody has taken its label away, does not mean
    /// that it is gone.
    pub fn put_found(&self, object: T) {
        let key = object.key();
        {
            let mut state = self.state.write().expect("no panic while locked");
            let lost_at = state.gone.get(&key).map(|(gone, _)| *gone);
            if lost_at == Some(version(object.resource_version())) {
                state.gone.remove(&key);
            }
        }
        self.keep(object, true);
    }

    fn keep(&self, object: T, answered: bool) {
        let entry = self.samples.pack(&object);
        if entry.packed.len() > T::LARGEST {
            self.put_too_large(object);
        } else {
            self.put_entry(&object, entry, None, answered);
        }
    }

    fn put_too_large(&self, object: T) {
        let key = object.key();
        let metadata = ObjectMeta {
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            resource_version: Some(object.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        // Not by how much: that is another with each change of its status, and each would be told anew.
        let error = format!(
            "without its template it takes more than {} bytes of memory. Make its labels, arguments and annotations shorter",
            T::LARGEST
        );
        let outline = object.outlined().filter(|outline| self.samples.pack(outline).packed.len() <= T::LARGEST);
        if self.put_unreadable(Unreadable { metadata, error: error.clone() }, outline) {
            tracing::warn!(object = %key, error, "is left alone until it can be read");
        }
    }

    /// Notes that the newest state of an object cannot be read. What was known of it stays, or this outline takes its place. Returns
    /// whether anything is new about that.
    pub fn put_unreadable(&self, unreadable: Unreadable, outline: Option<T>) -> bool {
        let is_new = self.keep_unreadable(unreadable, outline);
        if is_new {
            self.unreadable.notify_one();
        }
        is_new
    }

    fn keep_unreadable(&self, unreadable: Unreadable, outline: Option<T>) -> bool {
        let key = unreadable.key();
        if let Some(outline) = outline {
            let before = self.unreadable(&key);
            let is_new = before.is_none_or(|before| before.error != unreadable.error);
            let entry = Entry { outline: true, ..self.samples.pack(&outline) };
            return self.put_entry(&outline, entry, Some(unreadable), false) && is_new;
        }
        let known: Option<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            let version = version(unreadable.resource_version());
            if !state.admits(&key, version) {
                return false;
            }
            let known = state.objects.get(&key).map(|entry| self.look(&key, entry));
            let error = unreadable.error.clone();
            if state.unreadable.insert(key, unreadable).is_some_and(|before| before.error == error) {
                return false;
            }
            known
        };
        known.iter().for_each(|known| self.tell(Some(known), Some(known)));
        true
    }

    fn put_entry(&self, object: &T, entry: Entry, unreadable: Option<Unreadable>, answered: bool) -> bool {
        let key = object.key();
        let before: Option<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            let same = state.objects.get(&key).filter(|known| known.version == entry.version);
            let better = answered && same.is_some_and(|known| known.packed != entry.packed);
            if !better && !state.admits(&key, entry.version) {
                return false;
            }
            match unreadable {
                Some(unreadable) => drop(state.unreadable.insert(key.clone(), unreadable)),
                None => drop(state.unreadable.remove(&key)),
            }
            let is_at_hand = self.at_hand().objects.contains_key(&key);
            let before = self.take(&mut state, &key);
            if is_at_hand && Samples::length(&entry) <= LARGEST_AT_HAND {
                self.at_hand().put(&key, object);
            }
            let key = Arc::new(key);
            for group in object.groups() {
                let members = state.groups.entry(group).or_default();
                if !members.contains(&key) {
                    members.reserve_exact(1);
                    members.push(key.clone());
                }
            }
            state.objects.insert(key, entry);
            before
        };
        self.tell(before.as_ref(), Some(object));
        true
    }

    /// Forgets the object of this key, unless a state newer than this version is known.
    pub fn remove(&self, key: &Key, resource_version: &str) {
        let version = version(resource_version);
        let before: Option<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            if state.objects.get(key).is_some_and(|known| known.version > version) {
                return;
            }
            state.bury(key, version, Instant::now());
            state.unreadable.remove(key);
            self.take(&mut state, key)
        };
        before.iter().for_each(|before| self.tell(Some(before), None));
    }

    /// Forgets what was last put before `since` and is not in `seen`: a new list did not show it any more.
    pub fn retain(&self, seen: &BTreeSet<Key>, since: Instant) {
        let gone: Vec<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            let stale =
                |(key, entry): (&Arc<Key>, &Entry)| (entry.put_at < since && !seen.contains(key)).then(|| key.clone());
            let keys: Vec<Arc<Key>> = state.objects.iter().filter_map(stale).collect();
            let gone = keys.iter().filter_map(|key| self.take(&mut state, key)).collect();
            // What an answer has brought since the list began is not in the list, either: its outline is no object without this.
            let State { objects, unreadable, .. } = &mut *state;
            let is_outlined = |key: &Key| objects.get(key).is_some_and(|entry| entry.outline);
            unreadable.retain(|key, _| seen.contains(key) || is_outlined(key));
            gone
        };
        gone.iter().for_each(|object| self.tell(Some(object), None));
    }

    /// The object of this key; none if only an outline of it is known.
    pub fn get(&self, key: &Key) -> Option<T> {
        let state = self.state.read().expect("no panic while locked");
        state.objects.get(key).filter(|entry| !entry.outline).map(|entry| self.look(key, entry))
    }

    /// The object of this key, or its outline.
    pub fn outline(&self, key: &Key) -> Option<T> {
        let state = self.state.read().expect("no panic while locked");
        state.objects.get(key).map(|entry| self.look(key, entry))
    }

    /// The object of this key, or its outline, for a look at all of them one after the other: that leaves none at hand.
    pub fn glance(&self, key: &Key) -> Option<T> {
        let state = self.state.read().expect("no panic while locked");
        state.objects.get(key).map(|entry| self.samples.unpack(entry))
    }

    /// What keeps the object of this key from being read, if anything does.
    pub fn unreadable(&self, key: &Key) -> Option<Unreadable> {
        self.state.read().expect("no panic while locked").unreadable.get(key).cloned()
    }

    /// Whether every object can be read.
    pub fn is_readable(&self) -> bool {
        self.state.read().expect("no panic while locked").unreadable.is_empty()
    }

    /// Returns when something is new about what cannot be read. What was new before it was first waited for counts, too.
    pub async fn until_unreadable(&self) {
        self.unreadable.notified().await;
    }

    /// Every object that cannot be read.
    pub fn all_unreadable(&self) -> Vec<Unreadable> {
        self.state.read().expect("no panic while locked").unreadable.values().cloned().collect()
    }

    /// The objects of this group, outlines among them.
    pub fn group(&self, group: &Key) -> Vec<T> {
        let state = self.state.read().expect("no panic while locked");
        let keys = state.groups.get(group).map(Vec::as_slice).unwrap_or_default();
        let entries = keys.iter().filter_map(|key| Some((key, state.objects.get(key)?)));
        if keys.len() > MOST_OF_A_GROUP {
            return entries.map(|(_, entry)| self.samples.unpack(entry)).collect();
        }
        entries.map(|(key, entry)| self.look(key, entry)).collect()
    }

    /// The keys of this group: that costs nothing to speak of, as nothing is unpacked.
    pub fn group_keys(&self, group: &Key) -> Vec<Key> {
        let state = self.state.read().expect("no panic while locked");
        state.groups.get(group).into_iter().flatten().map(|key| Key::clone(key)).collect()
    }

    /// The keys of those in this group that are marked.
    pub fn marked(&self, group: &Key) -> Vec<Key> {
        let state = self.state.read().expect("no panic while locked");
        let is_marked = |key: &&Arc<Key>| state.objects.get(*key).is_some_and(|entry| entry.marked);
        state.groups.get(group).into_iter().flatten().filter(is_marked).map(|key| Key::clone(key)).collect()
    }

    /// The keys of all that are marked, of whatever group.
    pub fn all_marked(&self) -> Vec<Key> {
        let state = self.state.read().expect("no panic while locked");
        state.objects.iter().filter(|(_, entry)| entry.marked).map(|(key, _)| Key::clone(key)).collect()
    }

    /// The keys of all objects, in order, of outlines too.
    pub fn keys(&self) -> Vec<Key> {
        let state = self.state.read().expect("no panic while locked");
        let mut keys: Vec<Key> = state.objects.keys().map(|key| Key::clone(key)).collect();
        keys.sort_unstable();
        keys
    }

    /// Whether anything is known of this key.
    pub fn knows(&self, key: &Key) -> bool {
        let state = self.state.read().expect("no panic while locked");
        state.objects.contains_key(key) || state.unreadable.contains_key(key)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().expect("no panic while locked").objects.len()
    }

    /// The object of this entry, of a state that is locked. It is at hand from now on.
    fn look(&self, key: &Key, entry: &Entry) -> T {
        if let Some(object) = self.at_hand().get(key) {
            return object;
        }
        let object = self.samples.unpack(entry);
        if Samples::length(entry) <= LARGEST_AT_HAND {
            self.at_hand().put(key, &object);
        }
        object
    }

    /// Takes an object out of the state, and what was at hand of it.
    fn take(&self, state: &mut State, key: &Key) -> Option<T> {
        let entry = state.objects.remove(key)?;
        let at_hand = self.at_hand().take(key);
        let object = at_hand.unwrap_or_else(|| self.samples.unpack(&entry));
        for group in object.groups() {
            if let Some(members) = state.groups.get_mut(&group) {
                members.retain(|member| **member != *key);
                if members.is_empty() {
                    state.groups.remove(&group);
                }
            }
        }
        Some(object)
    }

    fn at_hand(&self) -> MutexGuard<'_, AtHand<T>> {
        self.at_hand.lock().expect("no panic while locked")
    }

    fn tell(&self, before: Option<&T>, after: Option<&T>) {
        self.listeners.read().expect("no panic while locked").iter().for_each(|listener| listener(before, after));
    }
}

impl State {
    /// Whether this version of an object is news.
    fn admits(&mut self, key: &Key, entry: u64) -> bool {
        if let Some((gone, _)) = self.gone.get(key) {
            if entry <= *gone {
                return false;
            }
            self.gone.remove(key);
        }
        let known = self.objects.get(key).map(|known| known.version);
        let unreadable = self.unreadable.get(key).map(|unreadable| version(unreadable.resource_version()));
        known.max(unreadable).is_none_or(|known| entry > known)
    }

    /// Remembers that an object is gone, and forgets what went long ago.
    fn bury(&mut self, key: &Key, version: u64, now: Instant) {
        self.gone.insert(key.clone(), (version, now));
        self.gone_since.push_back((now, key.clone()));
        let is_old = |(since, _): &(Instant, Key)| now.duration_since(*since) >= GONE_FOR;
        while self.gone_since.front().is_some_and(is_old) {
            let Some((since, key)) = self.gone_since.pop_front() else { return };
            // It may have gone a second time since.
            if self.gone.get(&key).is_some_and(|(_, last)| *last == since) {
                self.gone.remove(&key);
            }
        }
    }
}

/// Kubernetes promises that the versions of one kind can be compared as numbers.
fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use greenlight_api::analysis::AnalysisRun;
    use greenlight_api::names;
    use greenlight_core::from_api;
    use greenlight_core::world::Rollout;
    use serde_json::json;

    use super::*;
    use crate::cluster::caches::Caches;
    use crate::cluster::fake;
    use crate::cluster::objects::{
        DeploymentView, JobView, KeptRun, KeptService, OwnedSet, ReplicaSetView, RolloutView, ServiceView,
    };

    /// So many characters that no compression makes fewer.
    fn noise(length: usize) -> String {
        let mut state = 1_u64;
        let mut character = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from((state >> 33) % 43).unwrap_or_default())
        };
        (0..length).map(|_| character()).collect()
    }

    /// A rollout with so much in its spec, at this version.
    fn rollout(length: usize, version: u64) -> Rollout {
        of_image("web:v1", length, version)
    }

    /// The same with this image.
    fn of_image(image: &str, length: usize, version: u64) -> Rollout {
        let text = noise(length);
        let analysis = json!({"templates": [{"templateName": "smoke"}], "args": [{"name": "a", "value": text}]});
        let rollout = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string()},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "web", "image": image}]}},
                "strategy": {"blueGreen": {"activeService": "web-active", "prePromotionAnalysis": analysis}},
            },
            "status": {"activeRevision": "abc"},
        });
        serde_json::from_value::<RolloutView>(rollout).expect("a rollout").keep()
    }

    #[test]
    fn of_a_rollout_that_is_too_large_its_claims_and_its_decisions_are_kept_until_it_is_smaller() {
        let cache = Cache::<Rollout>::default();
        cache.put(rollout(10, 1));
        let key = rollout(10, 1).key();
        cache.put(rollout(1_000_000, 2));
        assert!(cache.get(&key).is_none() && cache.unreadable(&key).is_some());
        let outline = cache.outline(&key).expect("an outline");
        assert_eq!(outline.spec.blue_green().services().collect::<Vec<_>>(), ["web-active"]);
        assert_eq!(outline.status.map(|status| status.active_revision).as_deref(), Some("abc"));
        let held: usize = cache.state.read().expect("no panic").objects.values().map(|entry| entry.packed.len()).sum();
        assert!(held < 1000, "{held} bytes");
        cache.put(rollout(20, 3));
        assert!(cache.get(&key).is_some() && cache.unreadable(&key).is_none());
    }

    /// Hundreds of a megabyte each would be more than the chart gives the operator, which would end, and end again, for everybody.
    #[test]
    fn of_what_somebody_has_written_a_megabyte_on_none_is_kept_whatever_its_kind() {
        let (caches, noise) = (Caches::default(), noise(1_000_000));
        let owner = |kind: &str, name: &str| json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": kind, "name": name, "uid": "u", "controller": true});
        let metadata = |owner: serde_json::Value, annotations: serde_json::Value| {
            json!({
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1", "ownerReferences": [owner],
                "annotations": annotations,
            })
        };
        let (rollout, none) = (|| owner("BlueGreenRollout", "web"), || json!({}));
        let labelled = json!({"metadata": {"labels": {"app": noise}}, "spec": {}});
        let service = json!({"metadata": metadata(rollout(), none()), "spec": {"selector": {"app": noise}}});
        let set = json!({"metadata": metadata(rollout(), none()), "spec": {"template": labelled}});
        let deployment = json!({"metadata": metadata(rollout(), none()), "spec": {"template": labelled}});
        let job = json!({"metadata": metadata(owner("AnalysisRun", &noise), none())});
        caches.services.put(serde_json::from_value::<ServiceView>(service).expect("a Service").keep());
        caches.workloads.put(serde_json::from_value::<DeploymentView>(deployment).expect("a Deployment").keep());
        caches.jobs.put(serde_json::from_value::<JobView>(job).expect("a Job").keep());
        let replica_set =
            |set| serde_json::from_value::<ReplicaSetView>(set).expect("one").keep().expect("it has an owner");
        caches.sets.put(replica_set(set));
        let sizes = [caches.services.len(), caches.workloads.len(), caches.jobs.len(), caches.sets.len()];
        assert_eq!(sizes, [0; 4], "none is kept");
        let told = caches.unreadable().map(|(_, unreadable)| unreadable.len());
        assert_eq!(told.iter().sum::<usize>(), 2, "the ReplicaSet and the Job are told; no rollout names the others");

        // What serves is still seen: of a ReplicaSet that somebody annotates at such length the rest is kept.
        let annotations = json!({"greenlight.dev/note": noise, "greenlight.dev/revision": "7"});
        let mut set = json!({"metadata": metadata(rollout(), annotations), "spec": {}});
        set["metadata"]["resourceVersion"] = "2".into();
        caches.sets.put(replica_set(set));
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let [kept] = &caches.sets.group(&key)[..] else { panic!("it is its rollout's") };
        assert_eq!(kept.set.annotations.len(), 1, "{:?}", kept.set.annotations.keys());
        assert!(
            caches.sets.unreadable(&key).is_some_and(|unreadable| unreadable.error.contains("more than 131072 bytes"))
        );
    }

    /// A ReplicaSet with these annotations besides its revision, as it is kept.
    fn replica_set(annotations: &[(&str, &str)]) -> OwnedSet {
        let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u", "controller": true});
        let mut set = json!({
            "metadata": {
                "name": "web-abc", "namespace": "shop", "uid": "s", "resourceVersion": "1", "ownerReferences": [owner],
                "annotations": {names::REVISION: "7"},
            },
        });
        for (key, value) in annotations {
            set["metadata"]["annotations"][key] = (*value).into();
        }
        serde_json::from_value::<ReplicaSetView>(set).expect("a ReplicaSet").keep().expect("it has an owner")
    }

    /// What the operator does not know to be noted it does again, and again.
    #[test]
    fn what_pods_carry_for_their_role_is_known_however_long_it_is_and_whatever_else_stands_there() {
        let noise = noise(300_000);
        let of_role = |length: usize| json!({"annotations": {"config": noise[..length]}}).to_string();
        let sets = Cache::<OwnedSet>::default();
        let long = replica_set(&[(names::ROLE_METADATA, of_role(110_000).as_str())]);
        sets.put(long.clone());
        assert_eq!(sets.get(&long.key()), Some(long.clone()), "a rollout may ask for so much");

        // Each is short, and together they are not: what is not the operator's own is enough.
        let keys: Vec<String> = (0..28).map(|number| format!("greenlight.dev/note-{number}")).collect();
        let note = |number: usize| &noise[number * 7_000..(number + 1) * 7_000];
        let notes = || keys.iter().enumerate().map(|(number, key)| (key.as_str(), note(number)));
        let whole = of_role(110_000);
        let sets = Cache::<OwnedSet>::default();
        sets.put(replica_set(&notes().chain([(names::ROLE_METADATA, whole.as_str())]).collect::<Vec<_>>()));
        assert_eq!(sets.group(&long.owner), [long], "all that its pods carry is still known");

        // Nor are the operator's own as it wrote them.
        let (of_role, long) = (of_role(40_000), &noise[200_000..]);
        let own = [(names::ROLE_METADATA, of_role.as_str()), (names::REVISION, long), (names::TEMPLATE_DIGEST, long)];
        let sets = Cache::<OwnedSet>::default();
        sets.put(replica_set(&notes().chain(own).collect::<Vec<_>>()));
        let [kept] = &sets.group(&replica_set(&[]).owner)[..] else { panic!("it is its rollout's") };
        let lengths: Vec<(&str, usize)> =
            kept.set.annotations.iter().map(|(key, value)| (key.as_str(), value.len())).collect();
        assert_eq!(lengths, [(names::REVISION, 3 << 10), (names::ROLE_METADATA, of_role.len())]);
        assert_eq!(kept.set.digest.len(), 3 << 10);
    }

    /// In JSON it is six times as long.
    #[test]
    fn nothing_that_has_to_be_escaped_hides_a_replica_set() {
        let escaped = "\u{1}".repeat(64 << 10);
        let own = [names::ROLE_METADATA, names::REVISION, names::REJECTED, names::TEMPLATE_DIGEST];
        let outline = replica_set(&own.map(|key| (key, escaped.as_str()))).outlined().expect("an outline");
        let json = serde_json::to_vec(&outline).expect("it came from JSON").len();
        assert!(json < OwnedSet::LARGEST, "{json}");
    }

    /// What cannot be unpacked would stop everybody who looks at all rollouts.
    #[test]
    fn at_whatever_time_a_rollout_asks_for_a_restart_it_is_unpacked_as_it_was_packed() {
        // The first one is in the year before the first by universal time. An API server takes all of them.
        for at in ["0000-01-01T00:00:00+14:00", "2026-11-25T12:00:00.5Z", "9998-12-31T23:59:59Z"] {
            let object = json!({
                "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}, "restartAt": at},
            });
            let rollout = serde_json::from_value::<RolloutView>(object).expect(at).keep();
            let cache = Cache::<Rollout>::default();
            cache.put(rollout.clone());
            assert_eq!(cache.glance(&rollout.key()), Some(rollout), "{at}");
        }
    }

    /// Its spec would have another digest, and the run would end as one that somebody has changed while it was under way.
    #[test]
    fn a_number_of_an_analysis_is_unpacked_as_it_was_packed() {
        let number: f64 = "3.4336685287480932e-9".parse().expect("a number");
        let web = json!({"url": "http://a", "jsonBody": {"tolerance": number}});
        let run = json!({
            "metadata": {"name": "smoke", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
            "spec": {"metrics": [{"name": "smoke", "provider": {"web": web}}]},
        });
        let run = KeptRun::from(serde_json::from_value::<AnalysisRun>(run).expect("a run"));
        let cache = Cache::<KeptRun>::default();
        cache.put(run.clone());
        assert_eq!(cache.get(&run.key()), Some(run));
    }

    #[test]
    fn what_an_answer_has_brought_since_a_list_began_is_as_unreadable_after_it() {
        let cache = Cache::<Rollout>::default();
        let key = rollout(10, 1).key();
        let since = Instant::now();
        cache.put_answer(rollout(1_000_000, 2));
        cache.retain(&BTreeSet::new(), since);
        assert!(cache.get(&key).is_none() && cache.outline(&key).is_some());
        assert!(cache.unreadable(&key).is_some(), "nobody would know why it is left alone");
        cache.retain(&BTreeSet::new(), Instant::now() + Duration::from_secs(1));
        assert!(!cache.knows(&key) && cache.all_unreadable().is_empty(), "the next list does not show it");
    }

    /// The first rollout of a cluster has no status yet, and of ten thousand each would be kept as if it had nothing in common with the others.
    #[test]
    fn how_little_is_kept_of_the_others_does_not_depend_on_what_was_seen_first() {
        let (hash, at) = ("bcdfghjklm", "2026-01-01T00:00:00Z");
        let status = json!({
            "phase": "Healthy", "message": "revision 1 (web:v1) is active", "ready": "2/2", "replicas": 2, "readyReplicas": 2,
            "activeRevision": hash, "previewRevision": hash, "stableRevision": hash, "updatedRevision": hash,
            "switch": {"to": hash, "switchedAt": at, "provenAt": at},
            "decisions": {
                "serving": hash, "replicas": 2, "specReplicas": 2,
                "revisions": [{"hash": hash, "digest": "9f86d081884c7d65", "number": 1, "uid": "u", "servedAt": at}],
            },
        });
        let new = fake::rollout("shop", "new", "web:v1", &json!(null));
        let released = (0..50).map(|number| fake::rollout("shop", &format!("web-{number}"), "web:v1", &status));
        let released: Vec<Rollout> = released.collect();
        let kept = |first: &Rollout| {
            let cache = Cache::<Rollout>::default();
            cache.put(first.clone());
            released.iter().for_each(|rollout| cache.put(rollout.clone()));
            for rollout in released.iter().chain([first]) {
                assert_eq!(cache.glance(&rollout.key()).as_ref(), Some(rollout));
            }
            let state = cache.state.read().expect("no panic");
            state.objects.values().map(|entry| entry.packed.len()).sum::<usize>()
        };
        let (after_new, after_released) = (kept(&new), kept(&released[0]));
        assert!(after_new < 2 * after_released, "{after_new} bytes, and {after_released}");
    }

    #[test]
    fn what_is_too_long_to_be_a_sample_is_unpacked_as_it_was_packed_and_so_is_what_follows() {
        let cache = Cache::<Rollout>::default();
        for (length, version) in [(2 * LONGEST_SAMPLE, 1), (10, 2), (3_000, 3), (2 * LONGEST_SAMPLE, 4)] {
            cache.put(rollout(length, version));
            let key = rollout(length, version).key();
            assert_eq!(cache.glance(&key), Some(rollout(length, version)), "{length}");
        }
        let samples = cache.samples.0.lock().expect("no panic").len();
        assert_eq!(samples, 3, "the empty one, a short one, and a longer one");
    }

    /// Who may only edit the template would keep everybody from rolling back otherwise.
    #[test]
    fn no_template_makes_a_rollout_too_large() {
        let cache = Cache::<Rollout>::default();
        let rollout = of_image(&noise(1_000_000), 10, 1);
        let key = rollout.key();
        cache.put(rollout);
        assert_eq!(cache.unreadable(&key).map(|unreadable| unreadable.error), None);
        assert!(cache.get(&key).is_some());
    }

    fn service(version: u64) -> KeptService {
        let metadata = unreadable(version).metadata;
        KeptService { namespace: "shop".to_owned(), service: from_api::service(metadata, [].into()) }
    }

    fn unreadable(version: u64) -> Unreadable {
        let text = |text: &str| Some(text.to_owned());
        let (namespace, name) = (text("shop"), text("web"));
        let metadata =
            ObjectMeta { namespace, name, resource_version: Some(version.to_string()), ..ObjectMeta::default() };
        Unreadable { metadata, error: "spec: broken".to_owned() }
    }

    #[test]
    fn what_a_watch_brings_of_an_own_write_wakes_nobody_and_what_others_write_does() {
        let cache = Cache::default();
        let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let hears = told.clone();
        cache.listen(move |_: &KeptService| {
            hears.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let times_told = || told.swap(0, std::sync::atomic::Ordering::Relaxed);
        cache.put_answer(service(2));
        assert_eq!(times_told(), 1, "others may wait for it");
        // The watch is behind, and then repeats the answer.
        for version in [1, 2, 2] {
            cache.put(service(version));
        }
        assert_eq!(times_told(), 0);
        cache.put(service(3));
        assert_eq!(times_told(), 2, "as it was and as it is");
    }

    #[test]
    fn only_a_newer_state_makes_an_object_readable_again() {
        let cache = Cache::default();
        let key = service(1).key();
        cache.put(service(1));
        assert!(cache.put_unreadable(unreadable(3), None), "it is news");
        assert!(!cache.put_unreadable(unreadable(4), None), "the same again is none");
        cache.put(service(2));
        assert!(cache.unreadable(&key).is_some(), "a late answer says nothing about now");
        assert_eq!(cache.get(&key), Some(service(1)), "what was known stays");
        cache.put(service(5));
        assert_eq!((cache.unreadable(&key), cache.get(&key)), (None, Some(service(5))));
    }

    #[test]
    fn what_is_as_deep_as_can_be_read_can_be_kept() {
        let run = |depth: usize| {
            let body = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let metric = format!(
                r#"{{"name":"m","provider":{{"web":{{"url":"http://a","jsonPath":"{{$}}","jsonBody":{body}}}}}}}"#
            );
            let json = format!(
                r#"{{"apiVersion":"greenlight.dev/v1alpha1","kind":"AnalysisRun","metadata":{{"namespace":"shop","name":"deep","resourceVersion":"{depth}"}},"spec":{{"metrics":[{metric}]}}}}"#
            );
            serde_json::from_str::<AnalysisRun>(&json)
        };
        run(1).expect("a run");
        let deepest = (1..200).rev().find(|depth| run(*depth).is_ok()).expect("some can be read");
        assert!(deepest > 100, "{deepest}");
        let cache = Cache::<KeptRun>::default();
        let kept = KeptRun::from(run(deepest).expect("it can be read"));
        let key = kept.key();
        cache.put(kept.clone());
        assert_eq!(cache.get(&key), Some(kept));
        cache.remove(&key, "1000");
        assert!(!cache.knows(&key));
    }

    #[test]
    fn what_a_watch_has_lost_sight_of_can_be_found_and_what_is_gone_cannot_come_back() {
        let cache = Cache::default();
        let key = service(1).key();
        cache.put(service(1));
        // Somebody has taken its label away: a DELETED, with the version that it has now.
        cache.remove(&key, "2");
        cache.put_answer(service(2));
        assert!(!cache.knows(&key), "a late answer to a write");
        cache.put_found(service(2));
        assert_eq!(cache.get(&key), Some(service(2)));
        cache.remove(&key, "3");
        cache.put_found(service(2));
        assert!(!cache.knows(&key), "it was read before it went");
    }

    #[test]
    fn what_is_at_hand_is_what_is_kept_whatever_becomes_of_it() {
        let cache = Cache::<Rollout>::default();
        let key = rollout(10, 1).key();
        let get = || cache.get(&key).map(|rollout| rollout.resource_version);
        cache.put(rollout(10, 1));
        assert!(cache.at_hand().objects.is_empty(), "nobody has looked at it");
        assert_eq!([get(), get()], [1, 1].map(|version: i32| Some(version.to_string())));
        cache.put(rollout(10, 2));
        assert!(cache.at_hand().objects.contains_key(&key), "somebody works on it");
        assert_eq!(get().as_deref(), Some("2"));
        // Another reading of the same state.
        cache.put_answer(of_image("web:v2", 10, 2));
        assert_eq!(cache.get(&key), Some(of_image("web:v2", 10, 2)));
        cache.put(rollout(LARGEST_AT_HAND, 3));
        assert!(cache.at_hand().objects.is_empty(), "it is too large");
        assert_eq!([get(), get()], [3, 3].map(|version: i32| Some(version.to_string())));
        assert!(cache.at_hand().objects.is_empty(), "it is still too large");
        cache.put(rollout(10, 4));
        assert_eq!(get().as_deref(), Some("4"));
        cache.remove(&key, "5");
        assert_eq!(get(), None);
        assert!(cache.at_hand().objects.is_empty());
    }

    #[test]
    fn those_that_were_looked_at_last_are_at_hand() {
        let cache = Cache::default();
        let named = |number: usize| {
            let mut service = service(1);
            service.service.name = format!("web-{number}");
            service
        };
        (0..=AT_HAND).for_each(|number| cache.put(named(number)));
        let look = |number: usize| assert_eq!(cache.get(&named(number).key()), Some(named(number)));
        let is_at_hand = |number: usize| cache.at_hand().objects.contains_key(&named(number).key());
        (0..AT_HAND).for_each(look);
        look(0);
        look(AT_HAND);
        assert_eq!([0, 1, 2, AT_HAND].map(is_at_hand), [true, false, true, true]);
        assert_eq!(cache.at_hand().objects.len(), AT_HAND);
    }

    #[test]
    fn a_large_group_pushes_nothing_out_of_hand() {
        let cache = Cache::default();
        let of_group = |group: &str, number: usize| {
            let mut service = service(1);
            service.service.name = format!("{group}-{number}");
            service.service.managed_by = Some(group.to_owned());
            service
        };
        (0..2).for_each(|number| cache.put(of_group("small", number)));
        (0..100).for_each(|number| cache.put(of_group("large", number)));
        let look = |group: &str| cache.group(&of_group(group, 0).key().sibling(group)).len();
        assert_eq!([look("small"), look("large")], [2, 100]);
        assert_eq!(cache.at_hand().objects.len(), 2);
    }

    #[test]
    fn an_outline_is_not_the_object() {
        let cache = Cache::default();
        let key = service(1).key();
        cache.put(service(1));
        assert!(cache.put_unreadable(unreadable(2), Some(service(2))));
        assert_eq!((cache.get(&key), cache.outline(&key)), (None, Some(service(2))));
        cache.remove(&key, "3");
        assert!(!cache.knows(&key) && cache.all_unreadable().is_empty());
    }

    #[test]
    fn what_went_long_ago_is_forgotten_one_by_one() {
        let mut state = State::default();
        let key = |number: u64| Key { namespace: "shop".to_owned(), name: format!("web-{number}") };
        let start = Instant::now();
        for second in 0..600 {
            state.bury(&key(second), second, start + Duration::from_secs(second));
            state.bury(&key(0), second, start + Duration::from_secs(second));
            assert!(state.gone.len() <= 61, "a minute's worth and the one that goes again and again");
            assert!(state.gone.contains_key(&key(0)));
        }
        assert_eq!(state.gone_since.len(), 120);
    }
}

//! The newest known state of each object, whoever brought it: the watch, or the answer to a write of our own. So a reconcile
//! sees what it wrote, and does not act twice on what it already changed.
//!
//! Most objects are looked at once in a long while, so they are kept packed, as compressed JSON, and unpacked at each look: a
//! fifth of the memory, for some ten microseconds.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Namespace and name of an object; of which kind, the cache knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// Another name in the same namespace.
    pub fn sibling(&self, name: &str) -> Key {
        Key { namespace: self.namespace.clone(), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What can be kept. It reads back from JSON as it was written.
pub trait Cached: Serialize + DeserializeOwned + PartialEq + fmt::Debug {
    /// Its key.
    fn key(&self) -> Key;
    /// Its resourceVersion.
    fn resource_version(&self) -> &str;
    /// What it can be looked up by, besides its key.
    fn groups(&self) -> Vec<Key>;
}

type Listener<T> = Box<dyn Fn(&T) + Send + Sync>;

/// Objects of one kind.
pub struct Cache<T> {
    state: RwLock<State>,
    listeners: RwLock<Vec<Listener<T>>>,
}

#[derive(Default)]
struct State {
    objects: HashMap<Key, Entry>,
    /// Groups have one or two members, so a list is smaller than any set.
    groups: HashMap<Key, Vec<Key>>,
    /// Versions of objects that are gone, so that a late answer to a write does not bring them back.
    gone: HashMap<Key, (u64, Instant)>,
}

struct Entry {
    packed: Box<[u8]>,
    version: u64,
    put_at: Instant,
}

impl Entry {
    fn pack<T: Cached>(object: &T) -> Entry {
        let json = serde_json::to_vec(object).expect("it came from JSON");
        let packed = lz4_flex::compress_prepend_size(&json).into_boxed_slice();
        let entry = Entry { packed, version: version(object.resource_version()), put_at: Instant::now() };
        debug_assert_eq!(entry.unpack::<T>(), *object);
        entry
    }

    fn unpack<T: Cached>(&self) -> T {
        let json = lz4_flex::decompress_size_prepended(&self.packed).expect("it was packed by us");
        serde_json::from_slice(&json).expect("it was packed by us")
    }
}

/// How long an answer may be late.
const GONE_FOR: Duration = Duration::from_secs(60);

impl<T: Cached> Default for Cache<T> {
    fn default() -> Self {
        Cache { state: RwLock::default(), listeners: RwLock::default() }
    }
}

impl<T: Cached> Cache<T> {
    /// Calls `listener` with every object that changes: as it was, if it was there, and as it is.
    pub fn listen(&self, listener: impl Fn(&T) + Send + Sync + 'static) {
        self.listeners.write().expect("no panic while locked").push(Box::new(listener));
    }

    /// Keeps this object, as a watch brought it, unless this state or a newer one is known.
    pub fn put(&self, object: T) {
        self.keep(object, false);
    }

    /// Keeps this object, as a request of our own was answered, unless a newer state is known. Of two readings of one state it is the
    /// better one: a watch may have read it by another schema, while a CRD is being changed.
    pub fn put_answer(&self, object: T) {
        self.keep(object, true);
    }

    fn keep(&self, object: T, answered: bool) {
        let key = object.key();
        let entry = Entry::pack(&object);
        let before: Option<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            if let Some((gone, _)) = state.gone.get(&key) {
                if entry.version <= *gone {
                    return;
                }
                state.gone.remove(&key);
            }
            if let Some(known) = state.objects.get(&key) {
                let better = answered && entry.version == known.version && entry.packed != known.packed;
                if entry.version <= known.version && !better {
                    return;
                }
            }
            let before = state.take(&key);
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
        before.iter().for_each(|before| self.tell(before));
        self.tell(&object);
    }

    /// Forgets the object of this key, unless a state newer than this version is known.
    pub fn remove(&self, key: &Key, resource_version: &str) {
        let version = version(resource_version);
        let before: Option<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            if state.objects.get(key).is_some_and(|known| known.version > version) {
                return;
            }
            let now = Instant::now();
            state.gone.retain(|_, (_, since)| now.duration_since(*since) < GONE_FOR);
            state.gone.insert(key.clone(), (version, now));
            state.take(key)
        };
        before.iter().for_each(|before| self.tell(before));
    }

    /// Forgets what was last put before `since` and is not in `seen`: a new list did not show it any more.
    pub fn retain(&self, seen: &BTreeSet<Key>, since: Instant) {
        let gone: Vec<T> = {
            let mut state = self.state.write().expect("no panic while locked");
            let stale =
                |(key, entry): (&Key, &Entry)| (entry.put_at < since && !seen.contains(key)).then(|| key.clone());
            let keys: Vec<Key> = state.objects.iter().filter_map(stale).collect();
            keys.iter().filter_map(|key| state.take(key)).collect()
        };
        gone.iter().for_each(|object| self.tell(object));
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<T> {
        let state = self.state.read().expect("no panic while locked");
        state.objects.get(key).map(Entry::unpack)
    }

    /// The objects of this group.
    pub fn group(&self, group: &Key) -> Vec<T> {
        let state = self.state.read().expect("no panic while locked");
        let keys = state.groups.get(group).into_iter().flatten();
        keys.filter_map(|key| state.objects.get(key)).map(Entry::unpack).collect()
    }

    /// Every object.
    pub fn all(&self) -> Vec<T> {
        self.state.read().expect("no panic while locked").objects.values().map(Entry::unpack).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().expect("no panic while locked").objects.len()
    }

    fn tell(&self, object: &T) {
        self.listeners.read().expect("no panic while locked").iter().for_each(|listener| listener(object));
    }
}

impl State {
    fn take<T: Cached>(&mut self, key: &Key) -> Option<T> {
        let object: T = self.objects.remove(key)?.unpack();
        for group in object.groups() {
            if let Some(members) = self.groups.get_mut(&group) {
                members.retain(|member| member != key);
                if members.is_empty() {
                    self.groups.remove(&group);
                }
            }
        }
        Some(object)
    }
}

/// Kubernetes promises that the versions of one kind can be compared as numbers.
fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

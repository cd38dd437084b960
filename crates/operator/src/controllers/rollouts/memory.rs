//! What the operator remembers of rollouts, and may forget.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use greenlight_api::BlueGreenRolloutStatus;
use greenlight_core::world::{Refusal, Rollout};
use jiff::Timestamp;

use crate::cluster::cache::{Cached, Key};

/// What the operator remembers of a rollout and may forget: after a restart it does a little more work, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// When it last wrote the status.
    pub published_at: Option<Timestamp>,
    /// The status that it wrote last, and the version of the rollout since, if the API server has cut it: its CRD is older than the operator.
    pub cut: Option<(String, BlueGreenRolloutStatus)>,
    /// How often in a row somebody else had written in between.
    pub conflicts: u32,
    /// The template that the API server refused.
    pub refused: Option<Refusal>,
    /// Other writes that it refused, and analyses that could not begin, by what they were to change.
    pub refused_writes: BTreeMap<String, Refused>,
    /// What other controllers of the operator cannot do for it, in words, by the object that they work on.
    pub troubles: BTreeMap<Key, String>,
    /// The Services that it moved itself, as they were then: name and resourceVersion.
    pub moved: BTreeMap<String, String>,
    /// UIDs of ReplicaSets that it created itself, or whose template it has compared with what it would create.
    pub ours: BTreeSet<String>,
    /// UIDs of ReplicaSets that name the rollout as their owner and of which the record, read live, knows nothing.
    pub strangers: BTreeSet<String>,
}

impl Memory {
    /// Another controller has, or no longer has, trouble with this object.
    pub fn tell(&mut self, about: &Key, words: Option<String>) {
        match words {
            Some(words) => drop(self.troubles.insert(about.clone(), words)),
            None => drop(self.troubles.remove(about)),
        }
    }
}

/// A write that was refused, and how often in a row.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// Memories by rollout.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<Key, Memory>>);

impl Memories {
    /// The memory of one rollout.
    pub fn of(&self, key: &Key) -> Memory {
        self.0.lock().expect("no panic while locked").get(key).cloned().unwrap_or_default()
    }

    /// This status was written already, and is what the API server has by now, as far as its CRD lets it.
    pub fn is_cut(&self, rollout: &Rollout, status: &BlueGreenRolloutStatus) -> bool {
        let memories = self.0.lock().expect("no panic while locked");
        let cut = memories.get(&rollout.key()).and_then(|memory| memory.cut.as_ref());
        cut.is_some_and(|(version, cut)| *version == rollout.resource_version && cut == status)
    }

    /// Changes the memory of one rollout.
    pub fn update(&self, key: &Key, change: impl FnOnce(&mut Memory)) {
        change(self.0.lock().expect("no panic while locked").entry(key.clone()).or_default());
    }

    /// Forgets a rollout.
    pub fn forget(&self, key: &Key) {
        self.0.lock().expect("no panic while locked").remove(key);
    }
}

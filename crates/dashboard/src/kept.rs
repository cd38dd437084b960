//! Things that are made when somebody asks for them, shared by whoever asks, and forgotten a while after the last one has gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long a thing is kept that nobody uses: from one page to the next.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Shared things by key.
pub struct Kept<K, V>(Mutex<HashMap<K, (Arc<V>, Instant)>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Kept<K, V> {
    /// The thing of this key, made now if there is none.
    pub fn get_or(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (thing, used) = things.entry(key).or_insert_with(|| (Arc::new(make()), Instant::now()));
        *used = Instant::now();
        thing.clone()
    }

    /// The thing of this key, if there is one.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (thing, used) = things.get_mut(key)?;
        *used = Instant::now();
        Some(thing.clone())
    }

    /// Forgets what nobody has used for a while.
    pub fn sweep(&self) {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (thing, used) in things.values_mut() {
            if Arc::strong_count(thing) > 1 {
                *used = Instant::now();
            }
        }
        things.retain(|_, (_, used)| used.elapsed() < KEPT_FOR);
    }

    /// Every thing.
    pub fn all(&self) -> Vec<Arc<V>> {
        let things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        things.values().map(|(thing, _)| thing.clone()).collect()
    }

    /// Forgets the thing of this key.
    pub fn forget(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

//! Things that are made when somebody asks for them, shared by whoever asks, and forgotten a while after the last one has gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thing is kept that nobody uses: from one page to the next.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Shared things by key.
pub struct Kept<K, V>(Mutex<HashMap<K, (Arc<V>, Instant)>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V> Kept<K, V> {
    /// The thing of this key, made now if there is none. Of more than `most`, one that nobody uses makes room; `None`: all are used.
    pub fn get_or(&self, key: K, most: usize, make: impl FnOnce() -> Arc<V>) -> Option<Arc<V>> {
        let mut things = self.lock();
        if !things.contains_key(&key) && things.len() >= most {
            let unused = things.iter().filter(|(_, (thing, _))| Arc::strong_count(thing) == 1);
            let oldest = unused.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())?;
            things.remove(&oldest);
        }
        let (thing, used) = things.entry(key).or_insert_with(|| (make(), Instant::now()));
        *used = Instant::now();
        Some(thing.clone())
    }

    /// The thing of this key, if there is one.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut things = self.lock();
        let (thing, used) = things.get_mut(key)?;
        *used = Instant::now();
        Some(thing.clone())
    }

    /// Forgets what nobody has used for a while.
    pub fn sweep(&self) {
        let mut things = self.lock();
        for (thing, used) in things.values_mut() {
            if Arc::strong_count(thing) > 1 {
                *used = Instant::now();
            }
        }
        things.retain(|_, (_, used)| used.elapsed() < KEPT_FOR);
    }

    /// Every thing.
    pub fn all(&self) -> Vec<Arc<V>> {
        self.lock().values().map(|(thing, _)| thing.clone()).collect()
    }

    /// Forgets the thing of this key.
    pub fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Arc<V>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_so_many_and_none_that_is_used_is_taken_away() {
        let kept: Kept<u8, u8> = Kept::default();
        let used = kept.get_or(1, 2, || Arc::new(1)).expect("room");
        assert!(kept.get_or(2, 2, || Arc::new(2)).is_some());
        let third = kept.get_or(3, 2, || Arc::new(3)).expect("2 makes room");
        assert!(kept.get(&2).is_none() && kept.get(&1).is_some());
        assert!(kept.get_or(4, 2, || Arc::new(4)).is_none(), "both are used");
        assert_eq!(kept.get_or(1, 2, || Arc::new(9)), Some(used), "who is there is let in");
        drop(third);
        assert!(kept.get_or(4, 2, || Arc::new(4)).is_some());
    }
}

//! What a namespace may have of something that all of them use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

/// As many places for each namespace. Clones share them.
#[derive(Clone, Debug)]
pub struct Shares {
    each: usize,
    by_namespace: Arc<Mutex<HashMap<Arc<str>, Arc<Semaphore>>>>,
}

impl Shares {
    /// `each`: how many places a namespace has.
    pub fn new(each: usize) -> Shares {
        Shares { each, by_namespace: Arc::default() }
    }

    /// The places of a namespace. Nothing is kept of them once nobody has or wants one.
    pub fn of(&self, namespace: impl Into<Arc<str>>) -> Arc<Semaphore> {
        let mut places = self.by_namespace.lock().expect("no panic while locked");
        places.retain(|_, places| Arc::strong_count(places) > 1);
        places.entry(namespace.into()).or_insert_with(|| Arc::new(Semaphore::new(self.each))).clone()
    }

    /// Of how many namespaces anything is kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.by_namespace.lock().expect("no panic while locked").len()
    }
}

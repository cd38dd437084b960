//! What a plan asks to see, and only as long as it does: endpoints while a switch is being proven, pods of a set that is being
//! restarted or does not become available. The rest of the time it costs nothing.
//!
//! Each question has a watch of its own, shared by all rollouts: however many sets do not start, no proof waits for that.

mod pod;
mod shared;
mod slice;

use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_core::Watches;
use greenlight_core::world::Endpoint;
use kube::Client;

use crate::cluster::cache::Key;
use crate::cluster::scope::Scope;
pub use pod::OwnedPod;
use pod::PodView;
pub use shared::Observer;
use shared::{LONGEST_SELECTOR, Shared};
use slice::SliceView;

/// Of so many sets that do not start, the pods are looked at at a time: a registry that is down stops thousands.
const EXPLAINED_AT_ONCE: usize = 100;

/// What all rollouts ask to see.
pub struct OnDemand {
    endpoints: Shared<SliceView>,
    restarted: Shared<PodView>,
    stuck: Shared<PodView>,
}

impl OnDemand {
    /// Nothing is asked for yet.
    pub fn new(client: &Client, scope: &Scope, observer: Arc<dyn Observer>) -> OnDemand {
        let pods = |places| Shared::start(client.clone(), scope.clone(), observer.clone(), places);
        OnDemand {
            // More would be a list of everybody's slices, again and again.
            endpoints: Shared::start(client.clone(), scope.clone(), observer.clone(), LONGEST_SELECTOR),
            restarted: pods(LONGEST_SELECTOR),
            stuck: pods(EXPLAINED_AT_ONCE),
        }
    }

    /// From now on this rollout asks for just this.
    pub fn set(&self, key: &Key, watches: &Watches) {
        self.endpoints.ask(key, &watches.endpoints);
        self.restarted.ask(key, &watches.pods);
        self.stuck.ask(key, &watches.stuck.difference(&watches.pods).cloned().collect());
    }

    /// What was seen for this rollout so far: endpoints by Service, pods by hash.
    pub fn seen(&self, key: &Key) -> (BTreeMap<String, Vec<Endpoint>>, BTreeMap<String, Vec<OwnedPod>>) {
        let mut pods = self.stuck.seen(key);
        // What is not looked at at this moment may have pods by now; without any there is nothing to explain.
        pods.retain(|_, pods| !pods.is_empty());
        pods.extend(self.restarted.seen(key));
        (self.endpoints.seen(key), pods)
    }

    /// What keeps this rollout from seeing what it has asked for, if somebody has to do something about it.
    pub fn troubles(&self, key: &Key) -> Vec<String> {
        let OnDemand { endpoints, restarted, stuck } = self;
        let mut troubles: Vec<String> =
            [endpoints.trouble(key), restarted.trouble(key), stuck.trouble(key)].into_iter().flatten().collect();
        troubles.dedup();
        troubles
    }

    /// The endpoints that this rollout has asked for cannot be seen: that is one of its troubles.
    pub fn is_blind(&self, key: &Key) -> bool {
        self.endpoints.trouble(key).is_some()
    }

    /// This pod is on its way out, as the answer to an eviction says; the watch will say so a little later.
    pub fn evicted(&self, key: &Key, hash: &str, pod: &str) {
        self.restarted.amend(&key.sibling(hash), pod, |owned| owned.pod.deleting = true);
    }
}

//! The watches that a plan asks for, and only as long as it does: endpoints while a switch is being proven, pods of a set that
//! does not become available. The rest of the time they cost nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use greenlight_api::names::HASH_LABEL;
use greenlight_core::Watches;
use greenlight_core::world::{Endpoint, Pod};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::task::AbortHandle;

use crate::arrived::{Arrived, Watched};
use crate::cache::Key;
use crate::error::in_full;
use crate::feed::{Observers, Scope};
use crate::queue::Sender;
use crate::supervise;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The watches of all rollouts.
pub struct OnDemand {
    client: Client,
    scope: Scope,
    wake: Sender,
    observers: Observers,
    running: Mutex<HashMap<Key, Running>>,
}

#[derive(Default)]
struct Running {
    endpoints: BTreeMap<String, Watching<Endpoint>>,
    pods: BTreeMap<String, Watching<OwnedPod>>,
}

/// A pod, and the UID of what controls it: labels anybody may write, and another rollout with the same template writes the same.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedPod {
    /// UID of its ReplicaSet.
    pub owner: String,
    /// The pod.
    pub pod: Pod,
}

/// What a watch has seen so far; `None` until it has seen everything once.
type Seen<T> = Arc<Mutex<Option<Vec<T>>>>;

struct Watching<T> {
    seen: Seen<T>,
    task: AbortHandle,
}

impl<T: Clone> Watching<T> {
    fn seen(&self) -> Option<Vec<T>> {
        self.seen.lock().expect("no panic while locked").clone()
    }
}

impl<T> Drop for Watching<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OnDemand {
    /// Wakes up a rollout through `wake` when something is seen.
    pub fn new(client: Client, scope: Scope, wake: Sender, observers: Observers) -> OnDemand {
        OnDemand { client, scope, wake, observers, running: Mutex::default() }
    }

    /// Runs just these watches for this rollout from now on.
    pub fn set(&self, key: &Key, watches: &Watches) {
        let mut all = self.running.lock().expect("no panic while locked");
        if *watches == Watches::default() {
            all.remove(key);
            return;
        }
        let running = all.entry(key.clone()).or_default();
        running.endpoints.retain(|service, _| watches.endpoints.contains(service));
        for service in &watches.endpoints {
            running.endpoints.entry(service.clone()).or_insert_with(|| {
                let labels = format!("kubernetes.io/service-name={service}");
                let endpoints =
                    |slices: &BTreeMap<String, EndpointSlice>| slices.values().flat_map(endpoints_of).collect();
                self.watch(key, &labels, endpoints, |slice| vec![unknown_endpoint(slice)])
            });
        }
        running.pods.retain(|hash, _| watches.pods.contains(hash));
        for hash in &watches.pods {
            running.pods.entry(hash.clone()).or_insert_with(|| {
                let labels = format!("{HASH_LABEL}={hash}");
                let pods = |pods: &BTreeMap<String, KubePod>| pods.values().map(owned).collect();
                self.watch(key, &labels, pods, |_| Vec::new())
            });
        }
    }

    /// What the watches of this rollout have seen.
    pub fn seen(&self, key: &Key) -> (BTreeMap<String, Vec<Endpoint>>, BTreeMap<String, Vec<OwnedPod>>) {
        let all = self.running.lock().expect("no panic while locked");
        let Some(running) = all.get(key) else { return Default::default() };
        (seen_by_name(&running.endpoints), seen_by_name(&running.pods))
    }

    /// This pod is on its way out, as the answer to an eviction says; the watch will say so a little later.
    pub fn evicted(&self, key: &Key, hash: &str, pod: &str) {
        let all = self.running.lock().expect("no panic while locked");
        let Some(watching) = all.get(key).and_then(|running| running.pods.get(hash)) else { return };
        let mut seen = watching.seen.lock().expect("no panic while locked");
        let pods = seen.iter_mut().flatten();
        pods.filter(|known| known.pod.name == pod).for_each(|known| known.pod.deleting = true);
    }

    fn watch<K, T>(
        &self,
        key: &Key,
        labels: &str,
        reduce: fn(&BTreeMap<String, K>) -> Vec<T>,
        instead: fn(&str) -> Vec<T>,
    ) -> Watching<T>
    where
        K: Watched + Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T: PartialEq + Send + 'static,
    {
        let seen = Seen::default();
        let api: Api<Arrived<K>> = Api::namespaced(self.client.clone(), &key.namespace);
        let mut watch = self.scope.watch(api, watcher::Config::default().labels(labels));
        let (wake, key, result) = (self.wake.clone(), key.clone(), Arc::clone(&seen));
        let metrics = self.observers.metrics.clone();
        let task = async move {
            let mut known = Known { objects: BTreeMap::new(), unreadable: BTreeSet::new() };
            let mut listed = BTreeSet::new();
            let mut complete = false;
            loop {
                match watch.next().await {
                    Ok(Event::Init) => listed.clear(),
                    Ok(Event::InitApply(arrived)) => {
                        listed.insert(arrived.name_any());
                        known.take(arrived);
                    }
                    Ok(Event::InitDone) => {
                        known.objects.retain(|name, _| listed.contains(name));
                        known.unreadable.retain(|name| listed.contains(name));
                        complete = true;
                    }
                    Ok(Event::Apply(arrived)) => known.take(arrived),
                    Ok(Event::Delete(arrived)) => {
                        known.objects.remove(&arrived.name_any());
                        known.unreadable.remove(&arrived.name_any());
                    }
                    Err(error) => {
                        metrics.watch_failed(&K::plural(&()));
                        tracing::warn!(kind = %K::kind(&()), rollout = %key, error = in_full(&error), "watch interrupted");
                    }
                }
                if complete {
                    let mut now = reduce(&known.objects);
                    now.extend(known.unreadable.iter().flat_map(|name| instead(name)));
                    let now = Some(now);
                    let mut seen = result.lock().expect("no panic while locked");
                    if *seen != now {
                        *seen = now;
                        wake.now(key.clone());
                    }
                }
            }
        };
        let what = format!("a watch of {}", K::plural(&()));
        let task = supervise::forever(&self.observers.failed, what, task);
        Watching { seen, task: task.abort_handle() }
    }
}

/// The objects of a watch.
struct Known<K> {
    objects: BTreeMap<String, K>,
    unreadable: BTreeSet<String>,
}

impl<K: Watched> Known<K> {
    fn take(&mut self, arrived: Arrived<K>) {
        let name = arrived.name_any();
        match arrived {
            Arrived::Readable(object) => {
                self.unreadable.remove(&name);
                self.objects.insert(name, object);
            }
            Arrived::Unreadable(unreadable, _) => {
                tracing::warn!(kind = %K::kind(&()), object = %unreadable.key(), unreadable.error, "cannot be read");
                self.objects.remove(&name);
                self.unreadable.insert(name);
            }
        }
    }
}

fn seen_by_name<T: Clone>(watches: &BTreeMap<String, Watching<T>>) -> BTreeMap<String, Vec<T>> {
    watches.iter().filter_map(|(name, watching)| Some((name.clone(), watching.seen()?))).collect()
}

/// Who is behind a slice that cannot be read is not known: nothing is proven with it.
fn unknown_endpoint(slice: &str) -> Endpoint {
    Endpoint { pod: format!("of EndpointSlice {slice}, which cannot be read"), ready: true }
}

fn endpoints_of(slice: &EndpointSlice) -> Vec<Endpoint> {
    let endpoints = slice.endpoints.iter().flatten();
    endpoints
        .map(|endpoint| Endpoint {
            pod: endpoint.target_ref.as_ref().and_then(|target| target.name.clone()).unwrap_or_default(),
            // The API: a missing condition means ready.
            ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
        })
        .collect()
}

fn owned(pod: &KubePod) -> OwnedPod {
    let controller = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    OwnedPod { owner: controller.map(|owner| owner.uid.clone()).unwrap_or_default(), pod: reduce(pod) }
}

/// The pod, and why it is not ready in its own words.
fn reduce(pod: &KubePod) -> Pod {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    let containers = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
    let from_container = containers.filter(|container| !container.ready).find_map(|container| {
        let state = container.state?;
        let ended = |t: &k8s_openapi::api::core::v1::ContainerStateTerminated| {
            (t.reason.clone().unwrap_or_default(), format!("exit code {}", t.exit_code))
        };
        if let Some(waiting) = state.waiting {
            let last = container.last_state.and_then(|state| state.terminated).map(|t| ended(&t).1);
            let message = waiting.message.or(last).unwrap_or_default();
            return Some((waiting.reason.unwrap_or_default(), message));
        }
        if let Some(terminated) = state.terminated.filter(|terminated| terminated.exit_code != 0) {
            return Some(ended(&terminated));
        }
        let name = container.name;
        state.running.map(|_| ("NotReady".to_owned(), format!("container {name} runs, its readiness probe fails")))
    });
    let from_scheduler = || {
        let condition = condition("PodScheduled").filter(|condition| condition.status == "False")?;
        Some((condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default()))
    };
    let from_status = || Some((status.reason.clone()?, status.message.clone().unwrap_or_default()));
    let (reason, message) =
        from_container.or_else(from_scheduler).or_else(from_status).filter(|_| !ready).unwrap_or_default();
    let cost = pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok());
    Pod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        created: pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        ready,
        deletion_cost: cost.unwrap_or(0),
        reason,
        message,
    }
}

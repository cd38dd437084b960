//! Who looks at production: what each Service of a namespace selects, and which endpoints are ready behind it, from one moment on and however short it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use greenlight_api::names;
use greenlight_e2e::ready_endpoints;
use greenlight_overview::Whole;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// How far behind the API server a watch may be.
const BEHIND: Duration = Duration::from_secs(60);

/// The Services of a namespace.
pub(super) struct Production {
    services: Arc<Mutex<Services>>,
    watches: [JoinHandle<()>; 2],
}

/// By name.
type Services = BTreeMap<String, Seen>;

/// What was seen of one Service.
#[derive(Default)]
struct Seen {
    /// Each selector that it had.
    selectors: Vec<BTreeMap<String, String>>,
    /// The ready endpoints in each of its slices, as it is now.
    slices: BTreeMap<String, BTreeSet<String>>,
    /// The ready endpoints behind it, each time that they changed.
    ready: Vec<BTreeSet<String>>,
}

impl Production {
    /// Begins to watch.
    pub(super) fn watch(client: &Client, namespace: &str) -> Production {
        let services = Arc::new(Mutex::new(Services::new()));
        let watches = [
            tokio::spawn(follow::<Service>(Api::namespaced(client.clone(), namespace), services.clone(), note_service)),
            tokio::spawn(follow::<EndpointSlice>(
                Api::namespaced(client.clone(), namespace),
                services.clone(),
                note_slice,
            )),
        ];
        Production { services, watches }
    }

    /// From now on it counts what this Service does: it leads to the pods of this revision of this rollout, and to no others.
    pub(super) async fn begin(&self, service: &str, rollout: &str, hash: &str) {
        let started = Instant::now();
        loop {
            if let Some(seen) = self.services().get_mut(service).filter(|seen| seen.leads_to(rollout, hash)) {
                seen.selectors.drain(..seen.selectors.len() - 1);
                seen.ready.drain(..seen.ready.len() - 1);
                return;
            }
            assert!(started.elapsed() < BEHIND, "nobody sees that {service} leads to revision {hash}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each selector that it had since, if it had more than one.
    pub(super) fn selected(&self, service: &str) -> Option<String> {
        let services = self.services();
        let selectors = &services[service].selectors;
        (selectors.len() > 1).then(|| format!("{service} was seen to select {selectors:?}"))
    }

    /// Whether it led from the one revision to the other since, and selected no third one on the way.
    pub(super) fn went(&self, service: &str, from: &str, to: &str) -> bool {
        let services = self.services();
        let selected =
            |selector: &BTreeMap<String, String>| selector.get(names::HASH_LABEL).cloned().unwrap_or_default();
        let hashes: Vec<String> = services[service].selectors.iter().map(selected).collect();
        hashes.last().is_some_and(|last| last == to) && hashes.iter().all(|hash| hash == from || hash == to)
    }

    /// Which endpoints were ready behind it since that are no pods of this revision of this rollout; or that none was, unless that may be.
    pub(super) fn led_to(&self, service: &str, rollout: &str, hash: &str, may_be_empty: bool) -> Option<String> {
        let services = self.services();
        let is_wrong = |ready: &&BTreeSet<String>| ready.is_empty() && !may_be_empty || !are_of(ready, rollout, hash);
        let wrong = services[service].ready.iter().find(is_wrong)?;
        Some(format!("there was a moment when {service} led to {wrong:?}, and not only to pods of revision {hash}"))
    }

    /// Fails if somebody has stopped looking: what was seen then proves nothing.
    pub(super) fn assert_watched(&self) {
        assert!(!self.watches.iter().any(JoinHandle::is_finished), "nobody looked at production");
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().expect("no panic while locked")
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    fn leads_to(&self, rollout: &str, hash: &str) -> bool {
        let selected = self.selectors.last().and_then(|selector| selector.get(names::HASH_LABEL));
        let ready = self.ready.last().is_some_and(|ready| !ready.is_empty() && are_of(ready, rollout, hash));
        ready && selected.is_some_and(|selected| selected == hash)
    }
}

fn are_of(pods: &BTreeSet<String>, rollout: &str, hash: &str) -> bool {
    let replica_set = format!("{rollout}-{hash}-");
    pods.iter().all(|pod| pod.starts_with(&replica_set))
}

fn note_service(services: &mut Services, service: &Service, exists: bool) {
    if !exists {
        return;
    }
    let spec = service.spec.clone().unwrap_or_default();
    // One that leads to a name elsewhere selects nothing, whatever stands there.
    let selector = match spec.external_name {
        Some(name) => BTreeMap::from([("externalName".to_owned(), name)]),
        None => spec.selector.unwrap_or_default(),
    };
    let seen = services.entry(service.name_any()).or_default();
    if seen.selectors.last() != Some(&selector) {
        seen.selectors.push(selector);
    }
}

fn note_slice(services: &mut Services, slice: &EndpointSlice, exists: bool) {
    let Some(service) = slice.labels().get("kubernetes.io/service-name") else { return };
    let seen = services.entry(service.clone()).or_default();
    // One that is no pod is shown by where it is.
    let ready = ready_endpoints(slice).map(|endpoint| {
        let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
        pod.unwrap_or_else(|| endpoint.addresses.join(","))
    });
    if exists {
        seen.slices.insert(slice.name_any(), ready.collect());
    } else {
        seen.slices.remove(&slice.name_any());
    }
    let ready: BTreeSet<String> = seen.slices.values().flatten().cloned().collect();
    if seen.ready.last() != Some(&ready) {
        seen.ready.push(ready);
    }
}

/// Watches one kind. It ends at the first error, since something may have happened meanwhile.
async fn follow<K>(api: Api<Whole<K>>, services: Arc<Mutex<Services>>, note: fn(&mut Services, &K, bool))
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Ok(Some(event)) = events.try_next().await {
        let (Whole(object), exists) = match event {
            Event::Apply(object) | Event::InitApply(object) => (object, true),
            Event::Delete(object) => (object, false),
            Event::Init | Event::InitDone => continue,
        };
        note(&mut services.lock().expect("no panic while locked"), &object, exists);
    }
}

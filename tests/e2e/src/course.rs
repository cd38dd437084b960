//! Everything that a Service did, from one moment on. What is to be *never* is shown with this: each value that the selector
//! had and each set of pods behind it is there, however short it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use greenlight_api::names;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::lab::Lab;

/// How far behind the API server a watch may be.
const BEHIND: Duration = Duration::from_secs(20);

/// The course of one Service. It begins with a list and goes on from that very version, so that nothing falls in between; a
/// watch that ends or fails, fails whatever is asked afterwards.
pub struct Course {
    service: String,
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// Every selection, in order.
    selections: Vec<Selection>,
    /// The Service's version; `None` if it does not exist.
    version: Option<String>,
    /// Version and ready pods of each of its EndpointSlices.
    slices: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The ready pods behind it, each time that they changed.
    ready: Vec<BTreeSet<String>>,
    /// Images of ReplicaSets by name, also of deleted ones.
    images: BTreeMap<String, String>,
    /// What went wrong with watching.
    error: Option<String>,
}

/// What a Service selects.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Selection {
    Missing,
    Everything,
    Nothing,
    Both,
    Hash(String),
}

impl Selection {
    fn of(service: &Service) -> Selection {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        match selector.get(names::HASH_LABEL) {
            Some(hash) if hash == names::NO_HASH => Selection::Nothing,
            Some(hash) => Selection::Hash(hash.clone()),
            None if selector.contains_key(names::SERVING_LABEL) => Selection::Both,
            None => Selection::Everything,
        }
    }
}

impl Course {
    /// Begins to watch a Service of the lab, and its endpoints.
    pub async fn start(lab: &Lab, service: &str) -> Course {
        let (services, slices) = (lab.api::<Service>(), lab.api::<EndpointSlice>());
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let labelled = format!("kubernetes.io/service-name={service}");
        let tasks = vec![
            follow(lab.api::<ReplicaSet>(), ("", ""), &seen, Seen::replica_set, Seen::replica_set).await,
            follow(services.clone(), (&format!("metadata.name={service}"), ""), &seen, Seen::service, Seen::service)
                .await,
            follow(slices.clone(), ("", &labelled), &seen, Seen::slice, Seen::watched_slice).await,
        ];
        {
            let mut seen = lock(&seen);
            if seen.selections.is_empty() {
                seen.selections.push(Selection::Missing);
            }
            // A list is one moment, however many slices are in it; a watch of them may have begun meanwhile.
            if seen.ready.is_empty() {
                seen.note_ready();
            }
        }
        Course { service: service.to_owned(), services, slices, seen, tasks }
    }

    /// Everything that it selected up to now, by image, as `["web:v1", "web:v2"]`. Where it is no single revision: `every
    /// revision` without a hash, `both revisions` in an overlap, `no revision`, `no Service`.
    pub async fn images(&self) -> Vec<String> {
        self.catch_up().await;
        let seen = self.seen();
        let mut images: Vec<String> = seen.selections.iter().map(|selection| seen.name(selection)).collect();
        images.dedup();
        images
    }

    /// Images of all the pods that were ready behind it at any time up to now.
    pub async fn served(&self) -> BTreeSet<String> {
        self.catch_up().await;
        let seen = self.seen();
        seen.ready.iter().flatten().map(|pod| seen.image_of_pod(pod)).collect()
    }

    /// The fewest pods that were ready behind it at any time up to now.
    pub async fn fewest(&self) -> usize {
        self.catch_up().await;
        self.seen().ready.iter().map(BTreeSet::len).min().expect("at least how it began")
    }

    /// The most pods that were ready behind it at a time.
    pub async fn most(&self) -> usize {
        self.catch_up().await;
        self.seen().ready.iter().map(BTreeSet::len).max().expect("at least how it began")
    }

    /// Fails unless it served only pods of this image, and never fewer than so many.
    pub async fn assert_only(&self, image: &str, pods: usize) {
        let served = self.served().await;
        assert_eq!(served, BTreeSet::from([image.to_owned()]), "{}: something else served", self.service);
        self.assert_never_below(pods).await;
    }

    /// Fails if it ever had fewer ready pods behind it.
    pub async fn assert_never_below(&self, pods: usize) {
        self.catch_up().await;
        let seen = self.seen();
        let Some(at) = seen.ready.iter().position(|ready| ready.len() < pods) else { return };
        let around: Vec<BTreeSet<String>> = seen.ready[at.saturating_sub(1)..]
            .iter()
            .take(3)
            .map(|ready| ready.iter().map(|pod| format!("{pod} ({})", seen.image_of_pod(pod))).collect())
            .collect();
        panic!(
            "{}: there was a moment with {} endpoints; before it, then, and after it: {around:?}; it selected {:?}",
            self.service,
            seen.ready[at].len(),
            seen.selections
        );
    }

    /// Waits until everything that has happened by now has been seen.
    async fn catch_up(&self) {
        let started = Instant::now();
        loop {
            let service = self.services.get_opt(&self.service).await.expect("the Service can be read");
            let version = service.and_then(|service| service.resource_version());
            let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.service));
            let slices = self.slices.list(&labelled).await.expect("EndpointSlices can be read").items;
            let slices: BTreeMap<_, _> =
                slices.iter().map(|slice| (slice.name_any(), slice.resource_version().unwrap_or_default())).collect();
            {
                let seen = self.seen();
                let known: BTreeMap<_, _> =
                    seen.slices.iter().map(|(name, (version, _))| (name.clone(), version.clone())).collect();
                if seen.version == version && known == slices {
                    return;
                }
            }
            assert!(started.elapsed() < BEHIND, "{}: the watch is behind", self.service);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was seen, if nothing went wrong.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = lock(&self.seen);
        assert_eq!(seen.error, None, "{}: the watch broke, what was seen proves nothing", self.service);
        seen
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    fn service(&mut self, service: &Service, exists: bool) {
        self.version = service.resource_version().filter(|_| exists);
        self.selections.push(if exists { Selection::of(service) } else { Selection::Missing });
    }

    fn slice(&mut self, slice: &EndpointSlice, exists: bool) {
        if exists {
            let pods =
                ready_endpoints(slice).filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone()).collect();
            self.slices.insert(slice.name_any(), (slice.resource_version().unwrap_or_default(), pods));
        } else {
            self.slices.remove(&slice.name_any());
        }
    }

    fn note_ready(&mut self) {
        let ready = self.slices.values().flat_map(|(_, pods)| pods.clone()).collect();
        self.ready.push(ready);
    }

    fn watched_slice(&mut self, slice: &EndpointSlice, exists: bool) {
        // The first event finds the list as it was.
        if self.ready.is_empty() {
            self.note_ready();
        }
        self.slice(slice, exists);
        self.note_ready();
    }

    fn replica_set(&mut self, set: &ReplicaSet, exists: bool) {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let image = template.and_then(|template| template.spec.as_ref()?.containers[0].image.clone());
        if exists {
            self.images.insert(set.name_any(), image.unwrap_or_default());
        }
    }

    fn name(&self, selection: &Selection) -> String {
        match selection {
            Selection::Missing => "no Service".to_owned(),
            Selection::Everything => "every revision".to_owned(),
            Selection::Nothing => "no revision".to_owned(),
            Selection::Both => "both revisions".to_owned(),
            Selection::Hash(hash) => {
                let set = self.images.iter().find(|(name, _)| name.ends_with(&format!("-{hash}")));
                set.map_or(hash, |(_, image)| image).clone()
            }
        }
    }

    fn image_of_pod(&self, pod: &str) -> String {
        let set = pod.rsplit_once('-').map_or(pod, |(set, _)| set);
        self.images.get(set).cloned().unwrap_or_else(|| pod.to_owned())
    }
}

/// Lists and then watches one kind, by fields and labels. When this returns, the list has been seen.
async fn follow<K>(
    api: Api<K>,
    (fields, labels): (&str, &str),
    seen: &Arc<Mutex<Seen>>,
    listed: fn(&mut Seen, &K, bool),
    note: fn(&mut Seen, &K, bool),
) -> JoinHandle<()>
where
    K: kube::Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let list = api.list(&ListParams::default().fields(fields).labels(labels)).await.expect("a list");
    let version = list.metadata.resource_version.clone().expect("a list has a version");
    list.items.iter().for_each(|object| listed(&mut lock(seen), object, true));
    let params = WatchParams::default().fields(fields).labels(labels).timeout(290);
    let seen = seen.clone();
    tokio::spawn(async move {
        let events = match api.watch(&params, &version).await {
            Ok(events) => events,
            Err(error) => {
                lock(&seen).error = Some(error.to_string());
                return;
            }
        };
        let mut events = pin!(events);
        loop {
            match events.try_next().await {
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    note(&mut lock(&seen), &object, true);
                }
                Ok(Some(WatchEvent::Deleted(object))) => note(&mut lock(&seen), &object, false),
                Ok(Some(WatchEvent::Bookmark(_))) => {}
                end => {
                    lock(&seen).error = Some(format!("{end:?}"));
                    return;
                }
            }
        }
    })
}

/// The endpoints of a slice that get traffic.
pub fn ready_endpoints(slice: &EndpointSlice) -> impl Iterator<Item = &Endpoint> {
    let endpoints = slice.endpoints.iter().flatten();
    endpoints.filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready != Some(false)))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("no panic while locked")
}

//! What every Service of a namespace leads to, at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

/// How far behind the API server a watch may be.
const BEHIND: Duration = Duration::from_secs(20);

/// Watches all EndpointSlices of a namespace. It begins with a list and goes on from that very version, so that nothing falls in
/// between; a watch that fails, fails whatever is asked afterwards.
pub struct Production {
    slices: Api<EndpointSlice>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Service, version and ready pods of each slice.
    slices: BTreeMap<String, (String, String, BTreeSet<String>)>,
    /// The ReplicaSets of the ready pods behind each Service, each time that they changed.
    courses: BTreeMap<String, Vec<BTreeSet<String>>>,
    /// What went wrong with watching.
    error: Option<String>,
}

impl Production {
    /// Begins to watch.
    pub async fn watch(slices: Api<EndpointSlice>) -> Production {
        let list = slices.list(&ListParams::default()).await.expect("a list");
        let version = list.metadata.resource_version.clone().expect("a list has a version");
        let mut seen = Seen::default();
        // A list is one moment: what is behind a Service is known when all of it is read.
        list.items.iter().for_each(|slice| seen.read(slice));
        let services: BTreeSet<String> = list.items.iter().map(service_of).collect();
        services.iter().for_each(|service| seen.note(service));
        let seen = Arc::new(Mutex::new(seen));
        let task = tokio::spawn(follow(slices.clone(), version, seen.clone()));
        Production { slices, seen, task }
    }

    /// The ReplicaSets that a Service led to, one after the other. Fails if it ever led to none, or to two at once.
    pub async fn course(&self, service: &str) -> Vec<String> {
        self.catch_up().await;
        let seen = self.seen();
        let course = seen.courses.get(service).unwrap_or_else(|| panic!("{service} has no EndpointSlice"));
        let one = |sets: &BTreeSet<String>| {
            assert_eq!(sets.len(), 1, "{service}: a moment without endpoints, or of two versions: {course:?}");
            sets.first().cloned().expect("there is one")
        };
        let mut sets: Vec<String> = course.iter().map(one).collect();
        sets.dedup();
        sets
    }

    /// Waits until everything that has happened by now has been seen.
    async fn catch_up(&self) {
        let started = Instant::now();
        loop {
            let slices = self.slices.list(&ListParams::default()).await.expect("EndpointSlices can be read").items;
            let slices: BTreeMap<_, _> =
                slices.iter().map(|slice| (slice.name_any(), slice.resource_version().unwrap_or_default())).collect();
            let known: BTreeMap<_, _> =
                self.seen().slices.iter().map(|(name, (_, version, _))| (name.clone(), version.clone())).collect();
            if known == slices {
                return;
            }
            assert!(started.elapsed() < BEHIND, "the watch is behind");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = self.seen.lock().expect("not poisoned");
        assert_eq!(seen.error, None, "the watch broke, what was seen proves nothing");
        seen
    }
}

impl Drop for Production {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    fn read(&mut self, slice: &EndpointSlice) {
        let endpoints = slice.endpoints.iter().flatten();
        let ready = endpoints.filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready != Some(false)));
        let pods = ready.filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone()).collect();
        let version = slice.resource_version().unwrap_or_default();
        self.slices.insert(slice.name_any(), (service_of(slice), version, pods));
    }

    fn note(&mut self, service: &str) {
        let of_service = self.slices.values().filter(|(of, _, _)| of == service);
        let set_of = |pod: &String| pod.rsplit_once('-').map_or(pod.as_str(), |(set, _)| set).to_owned();
        let sets = of_service.flat_map(|(_, _, pods)| pods.iter().map(set_of)).collect();
        self.courses.entry(service.to_owned()).or_default().push(sets);
    }
}

async fn follow(slices: Api<EndpointSlice>, mut version: String, seen: Arc<Mutex<Seen>>) {
    let fail = |error: String| seen.lock().expect("not poisoned").error = Some(error);
    loop {
        // The API server ends each watch after a while.
        let events = match slices.watch(&WatchParams::default(), &version).await {
            Ok(events) => events,
            Err(error) => return fail(error.to_string()),
        };
        let mut events = pin!(events);
        loop {
            match events.try_next().await {
                Ok(Some(WatchEvent::Added(slice) | WatchEvent::Modified(slice))) => {
                    version = slice.resource_version().unwrap_or_default();
                    let mut seen = seen.lock().expect("not poisoned");
                    seen.read(&slice);
                    seen.note(&service_of(&slice));
                }
                Ok(Some(WatchEvent::Deleted(slice))) => {
                    version = slice.resource_version().unwrap_or_default();
                    let mut seen = seen.lock().expect("not poisoned");
                    seen.slices.remove(&slice.name_any());
                    seen.note(&service_of(&slice));
                }
                Ok(Some(WatchEvent::Bookmark(bookmark))) => version = bookmark.metadata.resource_version,
                Ok(None) => break,
                other => return fail(format!("{other:?}")),
            }
        }
    }
}

fn service_of(slice: &EndpointSlice) -> String {
    slice.labels().get("kubernetes.io/service-name").cloned().unwrap_or_default()
}

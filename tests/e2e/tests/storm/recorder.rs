//! Writes down what really happens: it watches every kind directly at the API server, not through a proxy, from one moment on. A
//! watch that ends goes on from the version where it ended. Where the server has forgotten what came after that, it is seen from a
//! new list which objects have changed meanwhile: their namespaces have a gap, and are not judged by their history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::TryStreamExt;
use greenlight_api::{BlueGreenRollout, names};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::{apps, discovery, events};
use kube::api::{ListParams, ObjectList, WatchEvent, WatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::task::JoinHandle;

use crate::again::answered;
use crate::history::{Change, Kind, Pod, Rollout, Selection, Service, Set, Slice, Status, Told, What, World};
use crate::weather::Weather;

/// How far behind the API server a watch may be.
const BEHIND: Duration = Duration::from_secs(30);

/// A recorder of these namespaces.
pub struct Recorder {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    client: Client,
    weather: Arc<Weather>,
    namespaces: BTreeSet<String>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By namespace, in the order in which it came.
    history: BTreeMap<String, Vec<Change>>,
    world: BTreeMap<String, World>,
    /// Versions of what exists, by kind, namespace and name.
    versions: BTreeMap<(Kind, String, String), u64>,
    gaps: BTreeMap<String, Vec<String>>,
    resumed: usize,
}

/// What is recorded of a kind.
trait Recorded: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static {
    const KIND: Kind;

    /// What it is; `None` if it does not matter.
    fn what(&self) -> Option<What>;
}

impl Recorder {
    /// Begins. When this returns, nothing that happens from now on is missed.
    pub async fn start(
        client: &Client,
        weather: &Arc<Weather>,
        namespaces: impl IntoIterator<Item = String>,
    ) -> Result<Recorder> {
        let shared = Arc::new(Shared {
            client: client.clone(),
            weather: weather.clone(),
            namespaces: namespaces.into_iter().collect(),
            seen: Mutex::default(),
        });
        let tasks = vec![
            follow::<core::Service>(&shared).await?,
            follow::<apps::v1::ReplicaSet>(&shared).await?,
            follow::<discovery::v1::EndpointSlice>(&shared).await?,
            follow::<core::Pod>(&shared).await?,
            follow::<BlueGreenRollout>(&shared).await?,
            follow::<events::v1::Event>(&shared).await?,
        ];
        Ok(Recorder { shared, tasks })
    }

    /// The namespace as far as it is known by now, and what holds of it.
    pub fn see<T>(&self, namespace: &str, look: impl FnOnce(&World) -> T) -> T {
        look(self.seen().world.entry(namespace.to_owned()).or_default())
    }

    /// Everything that happened there, in the order of its versions.
    pub fn history(&self, namespace: &str) -> Vec<Change> {
        let mut history = self.seen().history.get(namespace).cloned().unwrap_or_default();
        history.sort_by_key(|change| change.version);
        history
    }

    /// Why its history is not whole.
    pub fn gaps(&self, namespace: &str) -> Vec<String> {
        self.seen().gaps.get(namespace).cloned().unwrap_or_default()
    }

    /// How often a watch had to be taken up again.
    pub fn resumed(&self) -> usize {
        self.seen().resumed
    }

    /// Waits until everything that has happened by now has been seen.
    pub async fn catch_up(&self) -> Result<()> {
        let mut left = BEHIND.as_millis() / 200;
        loop {
            let behind = [
                self.shared.behind::<core::Service>().await?,
                self.shared.behind::<apps::v1::ReplicaSet>().await?,
                self.shared.behind::<discovery::v1::EndpointSlice>().await?,
                self.shared.behind::<core::Pod>().await?,
                self.shared.behind::<BlueGreenRollout>().await?,
                self.shared.behind::<events::v1::Event>().await?,
            ];
            let Some(behind) = behind.into_iter().flatten().next() else { return Ok(()) };
            if left == 0 {
                bail!("the recorder is behind: {behind}");
            }
            left -= 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic while locked")
    }

    fn take<K: Recorded>(&self, object: &K, exists: bool) {
        let namespace = object.namespace().unwrap_or_default();
        if !self.namespaces.contains(&namespace) {
            return;
        }
        let Some(what) = object.what() else { return };
        let name = object.name_any();
        let what = if exists { what } else { What::Gone(K::KIND, name.clone()) };
        let version = version_of(object.meta().resource_version.as_ref());
        let mut seen = self.seen();
        let key = (K::KIND, namespace.clone(), name);
        if exists {
            seen.versions.insert(key, version);
        } else {
            seen.versions.remove(&key);
        }
        seen.world.entry(namespace.clone()).or_default().apply(&what);
        seen.history.entry(namespace).or_default().push(Change { version, at: self.weather.now(), what });
    }

    /// All that there is of a kind.
    async fn list<K: Recorded>(&self) -> kube::Result<ObjectList<K>> {
        let (api, params) = (Api::<K>::all(self.client.clone()), ListParams::default());
        answered(|| api.list(&params)).await
    }

    /// What of a kind has not been seen yet.
    async fn behind<K: Recorded>(&self) -> Result<Option<String>> {
        let list = self.list::<K>().await?;
        let ours = |object: &&K| object.namespace().is_some_and(|namespace| self.namespaces.contains(&namespace));
        let mut exists = BTreeSet::new();
        let seen = self.seen();
        for object in list.items.iter().filter(ours).filter(|object| object.what().is_some()) {
            let key = (K::KIND, object.namespace().unwrap_or_default(), object.name_any());
            if seen.versions.get(&key).is_none_or(|known| *known < version_of(object.meta().resource_version.as_ref()))
            {
                return Ok(Some(format!("{key:?}")));
            }
            exists.insert(key);
        }
        let gone = seen.versions.keys().filter(|key| key.0 == K::KIND).find(|key| !exists.contains(*key));
        Ok(gone.map(|key| format!("{key:?} is gone")))
    }

    /// Takes up again after the server has forgotten: what changed meanwhile is not known in between.
    async fn list_anew<K: Recorded>(&self) -> Result<String> {
        let list = self.list::<K>().await?;
        let mut exists = BTreeSet::new();
        for object in &list.items {
            let key = (K::KIND, object.namespace().unwrap_or_default(), object.name_any());
            let version = version_of(object.meta().resource_version.as_ref());
            let known = self.seen().versions.get(&key).copied();
            if self.namespaces.contains(&key.1) && object.what().is_some() && known != Some(version) {
                self.seen().gaps.entry(key.1.clone()).or_default().push(format!("{key:?}"));
                self.take(object, true);
            }
            exists.insert(key);
        }
        let mut seen = self.seen();
        let gone: Vec<_> =
            seen.versions.keys().filter(|key| key.0 == K::KIND && !exists.contains(*key)).cloned().collect();
        for key in gone {
            seen.versions.remove(&key);
            let what = What::Gone(K::KIND, key.2.clone());
            let version = version_of(list.metadata.resource_version.as_ref());
            seen.world.entry(key.1.clone()).or_default().apply(&what);
            seen.history.entry(key.1.clone()).or_default().push(Change { version, at: self.weather.now(), what });
            seen.gaps.entry(key.1.clone()).or_default().push(format!("{key:?} is gone"));
        }
        Ok(list.metadata.resource_version.unwrap_or_default())
    }
}

/// Lists and then watches one kind, for as long as the recorder lives.
async fn follow<K: Recorded>(shared: &Arc<Shared>) -> Result<JoinHandle<()>> {
    let list = shared.list::<K>().await?;
    list.items.iter().for_each(|object| shared.take(object, true));
    let mut version = list.metadata.resource_version.unwrap_or_default();
    let (shared, api) = (shared.clone(), Api::<K>::all(shared.client.clone()));
    Ok(tokio::spawn(async move {
        loop {
            if let Err(forgotten) = watch(&shared, &api, &mut version).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if forgotten && let Ok(newer) = shared.list_anew::<K>().await {
                    version = newer;
                }
            }
            shared.seen().resumed += 1;
        }
    }))
}

/// Watches from a version on; `Err(true)` if the server has forgotten what came after it, `Err(false)` for other errors.
async fn watch<K: Recorded>(shared: &Shared, api: &Api<K>, version: &mut String) -> Result<(), bool> {
    let params = WatchParams::default().timeout(290);
    let is_forgotten = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 410);
    let mut events = pin!(api.watch(&params, version).await.map_err(|error| is_forgotten(&error))?);
    while let Some(event) = events.try_next().await.map_err(|error| is_forgotten(&error))? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                version.clone_from(&object.resource_version().unwrap_or_default());
                shared.take(&object, true);
            }
            WatchEvent::Deleted(object) => {
                version.clone_from(&object.resource_version().unwrap_or_default());
                shared.take(&object, false);
            }
            WatchEvent::Bookmark(bookmark) => version.clone_from(&bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(status.code == 410),
        }
    }
    Ok(())
}

fn version_of(version: Option<&String>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

impl Recorded for core::Service {
    const KIND: Kind = Kind::Service;

    fn what(&self) -> Option<What> {
        let selector = self.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        let selection = match selector.get(names::HASH_LABEL) {
            Some(hash) if hash == names::NO_HASH => Selection::Nothing,
            Some(hash) => Selection::Hash(hash.clone()),
            None if selector.contains_key(names::SERVING_LABEL) => Selection::Both,
            None => Selection::Everything,
        };
        let production = self.annotations().get(names::PRODUCTION).cloned().unwrap_or_default();
        let rejected = self.annotations().get(names::REJECTED).map(String::as_str).unwrap_or("{}");
        let rejected: BTreeMap<String, IgnoredAny> = serde_json::from_str(rejected).unwrap_or_default();
        let rejected = rejected.into_keys().collect();
        Some(What::Service(Service { name: self.name_any(), selection, production, rejected }))
    }
}

impl Recorded for apps::v1::ReplicaSet {
    const KIND: Kind = Kind::Set;

    fn what(&self) -> Option<What> {
        let hash = self.labels().get(names::HASH_LABEL)?.clone();
        let spec = self.spec.clone().unwrap_or_default();
        let template = spec.template.and_then(|template| template.spec);
        let finalizers = self.metadata.finalizers.as_deref().unwrap_or_default();
        let retires = self.annotations().contains_key(names::SCALE_DOWN_AT)
            || finalizers.iter().any(|finalizer| finalizer == names::SCALE_DOWN_FINALIZER);
        Some(What::Set(Set {
            name: self.name_any(),
            hash,
            image: template.and_then(|spec| spec.containers.first()?.image.clone()).unwrap_or_default(),
            replicas: spec.replicas.unwrap_or(1),
            available: self.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default(),
            deleting: self.metadata.deletion_timestamp.is_some(),
            retires,
        }))
    }
}

impl Recorded for discovery::v1::EndpointSlice {
    const KIND: Kind = Kind::Slice;

    fn what(&self) -> Option<What> {
        let service = self.labels().get("kubernetes.io/service-name")?.clone();
        let ready = |endpoint: &&discovery::v1::Endpoint| {
            endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
        };
        let endpoints = self.endpoints.iter().flatten().filter(ready);
        let ready = endpoints.filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.clone()).collect();
        Some(What::Slice(Slice { name: self.name_any(), service, ready }))
    }
}

impl Recorded for core::Pod {
    const KIND: Kind = Kind::Pod;

    fn what(&self) -> Option<What> {
        let set = self.owner_references().iter().find(|owner| owner.kind == "ReplicaSet")?.name.clone();
        Some(What::Pod(Pod {
            name: self.name_any(),
            uid: self.uid().unwrap_or_default(),
            set,
            deleting: self.metadata.deletion_timestamp.is_some(),
        }))
    }
}

impl Recorded for BlueGreenRollout {
    const KIND: Kind = Kind::Rollout;

    fn what(&self) -> Option<What> {
        let template = serde_json::to_value(self.spec.template()).unwrap_or_default();
        let image = template.pointer("/spec/containers/0/image").and_then(|image| image.as_str());
        let image = image.unwrap_or_default().to_owned();
        let blue_green = self.spec.blue_green();
        let auto =
            blue_green.auto_promotion_enabled() || blue_green.auto_promotion_seconds.is_some_and(|seconds| seconds > 0);
        let status = self.status.as_ref().map(|status| {
            let ready = status.conditions.iter().find(|condition| condition.type_ == greenlight_api::conditions::READY);
            let revisions = || status.decisions.iter().flat_map(|decisions| &decisions.revisions);
            Status {
                observed_generation: status.observed_generation,
                phase: status.phase.as_str().to_owned(),
                message: status.message.clone(),
                ready: ready.map(|ready| format!("{}/{}", ready.status, ready.reason)).unwrap_or_default(),
                active: status.active_revision.clone(),
                preview: status.preview_revision.clone(),
                updated: status.updated_revision.clone(),
                answer: status.observed_request.clone().map(|it| (it.value, it.accepted, it.answer)),
                switch: status.switch.clone().map(|it| (it.to, it.proven_at.map(|at| at.to_string()))),
                // What was rejected before it was found has an entry, which knows no ReplicaSet.
                recorded: revisions().filter(|it| !it.uid.is_empty()).map(|it| it.hash.clone()).collect(),
                rejected: revisions().filter_map(|it| Some((it.hash.clone(), it.rejection.clone()?.by))).collect(),
            }
        });
        Some(What::Rollout(Rollout {
            generation: self.metadata.generation.unwrap_or_default(),
            image,
            replicas: self.spec.replicas(),
            auto,
            request: self.annotations().get(names::REQUEST).cloned().unwrap_or_default(),
            status,
        }))
    }
}

impl Recorded for events::v1::Event {
    const KIND: Kind = Kind::Told;

    fn what(&self) -> Option<What> {
        self.regarding.as_ref().filter(|object| object.kind.as_deref() == Some("BlueGreenRollout"))?;
        Some(What::Told(Told {
            name: self.name_any(),
            reason: self.reason.clone().unwrap_or_default(),
            note: self.note.clone().unwrap_or_default(),
        }))
    }
}

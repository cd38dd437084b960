//! What tells a test that waits that there may be something new in its namespace.

use std::fmt::Debug;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use greenlight_api::BlueGreenRollout;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Watches of everything that a [`Snapshot`](crate::Snapshot) shows. They only say that something has changed: who waits reads live what it is by now.
pub(crate) struct Changes {
    changed: watch::Receiver<()>,
    task: JoinHandle<()>,
}

impl Changes {
    /// Of one namespace, from now on.
    pub(crate) fn of(client: &Client, namespace: &str) -> Changes {
        let mut changes = select_all([
            of_kind::<BlueGreenRollout>(client, namespace),
            of_kind::<ReplicaSet>(client, namespace),
            of_kind::<Service>(client, namespace),
            of_kind::<Pod>(client, namespace),
        ]);
        let (tell, changed) = watch::channel(());
        let task = tokio::spawn(async move {
            while changes.next().await.is_some() {
                tell.send_modify(|_| {});
            }
        });
        Changes { changed, task }
    }

    /// For one who waits.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.clone()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn of_kind<K>(client: &Client, namespace: &str) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), namespace);
    watcher(api, watcher::Config::default()).default_backoff().map(drop).boxed()
}

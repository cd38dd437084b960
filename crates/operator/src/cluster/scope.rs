//! Where to look, and how.

use kube::runtime::watcher;
use kube::{Api, Client, Resource};

use super::arrived::{Arrived, Watched};
use super::watch::{StreamingLists, Watch};

/// Where to look, and how.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The only namespace, if it is only one.
    pub namespace: Option<String>,
    /// What is known of the server's streaming lists.
    pub streaming_lists: StreamingLists,
}

impl Scope {
    /// An API of a namespaced kind in this scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }

    /// A watch of these.
    pub fn watch<V: Watched>(&self, api: Api<Arrived<V>>, config: watcher::Config) -> Watch<V> {
        Watch::new(api, config, &self.streaming_lists)
    }
}

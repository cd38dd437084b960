//! Somebody who looks at every move of the active Service.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use greenlight_api::names;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};

/// Watches a Service. At every hash that it selects, it counts the ready pods of that hash, live. What it could not see, it says.
pub struct Witness {
    seen: Arc<Mutex<Vec<(String, usize)>>>,
    errors: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Witness {
    /// Starts to watch.
    pub fn start(client: Client, namespace: &str, service: &str) -> Witness {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let errors = Arc::new(Mutex::new(Vec::new()));
        let (moves, namespace, service) = (seen.clone(), namespace.to_owned(), service.to_owned());
        let unseen = errors.clone();
        let task = tokio::spawn(async move {
            let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let config = watcher::Config::default().fields(&format!("metadata.name={service}"));
            let mut changes = pin!(watcher(services, config).default_backoff().applied_objects());
            let note = |error: String| unseen.lock().expect("no panic while locked").push(error);
            loop {
                let service = match changes.try_next().await {
                    Ok(Some(service)) => service,
                    Ok(None) => return note("the watch ended".to_owned()),
                    Err(error) => {
                        note(error.to_string());
                        continue;
                    }
                };
                let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
                let Some(hash) = selector.get(names::HASH_LABEL) else { continue };
                let list = ListParams::default().labels(&format!("{}={hash}", names::HASH_LABEL));
                let list = match pods.list(&list).await {
                    Ok(list) => list,
                    Err(error) => {
                        note(error.to_string());
                        continue;
                    }
                };
                let ready = list.items.iter().filter(|pod| is_ready(pod)).count();
                moves.lock().expect("no panic while locked").push((hash.clone(), ready));
            }
        });
        Witness { seen, errors, task }
    }

    /// Every hash that was selected, with its ready pods at that moment.
    pub fn seen(&self) -> Vec<(String, usize)> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// Fails if the Service ever selected a set with fewer ready pods.
    pub fn assert_never_below(&self, pods: usize) {
        let seen = self.seen();
        assert!(!seen.is_empty(), "the witness saw no selection at all");
        let errors = self.errors.lock().expect("no panic while locked").clone();
        assert!(errors.is_empty(), "the witness could not see everything: {errors:?}");
        assert!(
            seen.iter().all(|(_, ready)| *ready >= pods),
            "selected a set with fewer than {pods} ready pods: {seen:?}"
        );
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

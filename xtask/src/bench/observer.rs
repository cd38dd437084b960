//! What a watch from outside sees: when a Service moved, and when a rollout was at the end of a phase. It is the same for whatever is
//! measured.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Phase;
use super::subject::Subject;

/// Sees what happens.
pub(super) struct Observer {
    seen: Arc<Seen>,
    watches: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The last change of what a Service selects.
    moves: HashMap<String, Instant>,
    rollouts: HashMap<String, DynamicObject>,
    /// The phase that is waited for, the generations before it, and when each rollout was at its end.
    phase: Option<Phase>,
    before: HashMap<String, i64>,
    over: HashMap<String, Instant>,
}

impl Observer {
    /// Begins to watch.
    pub fn start(client: &Client, subject: Subject) -> Observer {
        let seen: Arc<Seen> = Arc::default();
        let services = watch_services(client.clone(), subject, seen.clone());
        let rollouts = watch_rollouts(client.clone(), subject, seen.clone());
        Observer { seen, watches: [tokio::spawn(services), tokio::spawn(rollouts)] }
    }

    /// From now on the end of this phase is waited for.
    pub fn begin(&self, phase: Phase) {
        let mut state = self.seen.state();
        state.before = state.rollouts.iter().map(|(name, rollout)| (name.clone(), generation(rollout))).collect();
        state.over.clear();
        state.phase = Some(phase);
    }

    /// Waits until so many rollouts are at its end. Returns when each was.
    ///
    /// # Errors
    /// They are not within that time.
    pub async fn end(&self, rollouts: usize, within: Duration) -> Result<HashMap<String, Instant>> {
        let all = async {
            loop {
                let changed = self.seen.changed.notified();
                if self.seen.state().over.len() >= rollouts {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            let over = self.seen.state().over.len();
            bail!("after {} s {over} of {rollouts} rollouts are at the end of the phase", within.as_secs());
        }
        Ok(self.seen.state().over.clone())
    }

    /// When this Service last moved, if that was after this.
    pub fn moved(&self, service: &str, after: Instant) -> Option<Instant> {
        self.seen.state().moves.get(service).copied().filter(|moved| *moved >= after)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}

fn generation(rollout: &DynamicObject) -> i64 {
    rollout.metadata.generation.unwrap_or_default()
}

async fn watch_services(client: Client, subject: Subject, seen: Arc<Seen>) {
    let api: Api<Service> = Api::all(client);
    let mut hashes: HashMap<String, Option<String>> = HashMap::new();
    let mut changes = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        // It tries again by itself.
        let Ok(service) = change else { continue };
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let hash = selector.and_then(|selector| selector.get(subject.hash_label()).cloned());
        let name = service.name_any();
        if hashes.get(&name) != Some(&hash) {
            seen.state().moves.insert(name.clone(), Instant::now());
            hashes.insert(name, hash);
        }
    }
}

async fn watch_rollouts(client: Client, subject: Subject, seen: Arc<Seen>) {
    let api = subject.all(&client);
    let mut changes = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        let Ok(mut rollout) = change else { continue };
        // Of ten thousand, that would be the most.
        rollout.data["spec"].take();
        rollout.metadata.managed_fields = None;
        let name = rollout.name_any();
        let mut state = seen.state();
        // A template has to be seen before what was said of the one before counts: whoever goes back by a template looks done at once.
        let is_new = match state.phase {
            Some(Phase::Undo) if subject == Subject::ArgoRollouts => {
                generation(&rollout) > state.before.get(&name).copied().unwrap_or_default()
            }
            _ => true,
        };
        if is_new && state.phase.is_some_and(|phase| subject.is_over(phase, &rollout)) {
            state.over.entry(name.clone()).or_insert_with(Instant::now);
            seen.changed.notify_waiters();
        }
        state.rollouts.insert(name, rollout);
    }
}

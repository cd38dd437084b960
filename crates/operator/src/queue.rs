//! The work queue of a controller: a key is worked on by one task at a time, keys in parallel, and only so many.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cache::Key;
use crate::error::Error;
use crate::metrics::Metrics;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// The end of a queue where keys go in.
#[derive(Clone, Debug)]
pub struct Sender {
    requests: mpsc::UnboundedSender<ScheduleRequest<Key>>,
    /// What is to be looked at now, until it is.
    waiting: Arc<Mutex<HashSet<Key>>>,
}

impl Sender {
    /// Look at this key now.
    pub fn now(&self, key: Key) {
        self.waiting().insert(key.clone());
        self.at(key, Instant::now());
    }

    /// Look at this key then, or before.
    fn at(&self, message: Key, run_at: Instant) {
        // The queue is gone only when the process ends.
        let _ = self.requests.unbounded_send(ScheduleRequest { message, run_at });
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.waiting.lock().expect("no panic while locked")
    }
}

/// The end of a queue where work comes out.
pub struct Queue {
    requests: mpsc::UnboundedReceiver<ScheduleRequest<Key>>,
    sender: Sender,
}

/// Makes a queue.
pub fn queue() -> (Sender, Queue) {
    let (sender, requests) = mpsc::unbounded();
    let sender = Sender { requests: sender, waiting: Arc::default() };
    (sender.clone(), Queue { requests, sender })
}

impl Queue {
    /// Works until cancelled, then waits for what is under way. `work` says when to look at the key again; after an error
    /// it is tried again, later and later.
    pub async fn run<W, F>(
        self,
        name: &'static str,
        parallel: usize,
        metrics: Metrics,
        stop: CancellationToken,
        work: W,
    ) where
        W: Fn(Key) -> F,
        F: Future<Output = Result<Option<Timestamp>, Error>> + Send + 'static,
    {
        let Queue { requests, sender } = self;
        let mut scheduler = std::pin::pin!(scheduler(requests));
        let mut running: HashSet<Key> = HashSet::new();
        let mut failures: HashMap<Key, u32> = HashMap::new();
        let mut tasks = JoinSet::new();
        // Keys that failed rest until their time has come, whatever wakes them: the answer to the write before the refused one
        // does, and would have it tried again at once, for ever.
        let mut resting: JoinSet<Key> = JoinSet::new();
        loop {
            let room = tasks.len() < parallel;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = tasks.join_next() => {
                    let (key, result, took): (Key, Result<Option<Timestamp>, Error>, Duration) =
                        done.expect("panics are caught in the task");
                    metrics.reconciled(name, &result, took);
                    metrics.load(name, tasks.len(), sender.waiting().len());
                    match result {
                        Ok(again) => {
                            running.remove(&key);
                            failures.remove(&key);
                            if let Some(at) = again {
                                sender.at(key, Instant::now() + until(at));
                            }
                        }
                        Err(error) => {
                            let count = failures.entry(key.clone()).or_insert(0);
                            let delay = (FIRST_RETRY * 2u32.saturating_pow(*count)).min(LONGEST_RETRY);
                            *count = (*count + 1).min(16);
                            report(name, &key, &error, delay);
                            resting.spawn(async move {
                                tokio::time::sleep(delay).await;
                                key
                            });
                        }
                    }
                }
                Some(Ok(key)) = resting.join_next() => {
                    running.remove(&key);
                    sender.at(key, Instant::now());
                }
                Some(key) = async { scheduler.as_mut().hold_unless(|key| !running.contains(key)).next().await }, if room => {
                    running.insert(key.clone());
                    let waiting = {
                        let mut waiting = sender.waiting();
                        waiting.remove(&key);
                        waiting.len()
                    };
                    metrics.load(name, tasks.len() + 1, waiting);
                    let future = work(key.clone());
                    tasks.spawn(async move {
                        let started = Instant::now();
                        // One rollout's bug must not stop the others.
                        let result = AssertUnwindSafe(future).catch_unwind().await.unwrap_or(Err(Error::Panicked));
                        (key, result, started.elapsed())
                    });
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// A conflict is the design at work, anything else is worth a look.
fn report(name: &str, key: &Key, error: &Error, delay: Duration) {
    let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    if error.is_conflict() {
        tracing::debug!(controller = name, rollout = %key, %error, retry_ms, "conflict, planning again");
    } else {
        tracing::warn!(controller = name, rollout = %key, error = %error.in_full(), retry_ms, "reconcile failed");
    }
}

/// From now until then; a little more, so that it is really over.
fn until(at: Timestamp) -> Duration {
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    left + Duration::from_millis(1)
}

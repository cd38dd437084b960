//! The work queue of a controller: a key is worked on by one task at a time, keys in parallel, and only so many.
//!
//! Not kube's `Controller`: that puts every event into a channel without a bound, reads its own watches, and tries a failed key again
//! as soon as anything wakes it. Its scheduler, which keeps a key once and wakes at the time, is the one used here.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::api_server::backoff::pause;
use crate::api_server::error::{Error, in_full};
use crate::cluster::cache::Key;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
const MANY_CONFLICTS: u32 = 10;
/// How often a queue shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// The end of a queue where keys go in. However often a key goes in, it is there once; and nothing goes in while nobody works: who
/// begins to work looks at everything.
#[derive(Clone, Debug, Default)]
pub struct Sender(Arc<Mutex<Inbox>>);

#[derive(Debug, Default)]
struct Inbox {
    /// Somebody works.
    open: bool,
    /// What the scheduler has not seen yet, and when to look at it.
    new: HashMap<Key, Instant>,
    /// What is to be looked at now, until it is.
    waiting: HashSet<Key>,
    reader: Option<Waker>,
}

impl Sender {
    /// Look at this key now.
    pub fn now(&self, key: Key) {
        let mut inbox = self.inbox();
        if inbox.open {
            inbox.waiting.insert(key.clone());
            inbox.put(key, Instant::now());
        }
    }

    /// Look at this key then, or before.
    fn at(&self, key: Key, at: Instant) {
        self.inbox().put(key, at);
    }

    /// It is looked at. Returns how many still wait.
    fn begun(&self, key: &Key) -> usize {
        let mut inbox = self.inbox();
        inbox.waiting.remove(key);
        inbox.waiting.len()
    }

    fn waiting(&self) -> usize {
        self.inbox().waiting.len()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.0.lock().expect("no panic while locked")
    }
}

impl Inbox {
    fn put(&mut self, key: Key, at: Instant) {
        let known = self.new.entry(key).or_insert(at);
        *known = at.min(*known);
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

/// What goes in, as the scheduler reads it.
struct Requests {
    sender: Sender,
    taken: Vec<(Key, Instant)>,
}

impl Stream for Requests {
    type Item = ScheduleRequest<Key>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.taken.is_empty() {
            let taken = {
                let mut inbox = self.sender.inbox();
                inbox.reader = Some(context.waker().clone());
                std::mem::take(&mut inbox.new)
            };
            self.taken = taken.into_iter().collect();
        }
        match self.taken.pop() {
            Some((message, run_at)) => Poll::Ready(Some(ScheduleRequest { message, run_at })),
            None => Poll::Pending,
        }
    }
}

/// How much work at a time, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many keys at the same time.
    pub parallel: usize,
    /// So many of them in one namespace, if there is a limit to that.
    pub share: Option<usize>,
    /// What the log says of work on a key.
    pub span: fn(&Key) -> tracing::Span,
    /// After so long, work on a key is given up, and tried again later. Every request has a deadline of its own: what reaches
    /// this one is a bug.
    pub deadline: Duration,
}

/// The end of a queue where work comes out.
pub struct Queue(Sender);

/// Makes a queue.
pub fn queue() -> (Sender, Queue) {
    let sender = Sender::default();
    (sender.clone(), Queue(sender))
}

impl Queue {
    /// Works until cancelled, at first on `everything`, then waits for what is under way. `work` says when to look at the key
    /// again; after an error it is tried again, later and later.
    pub async fn run<W, F>(
        self,
        name: &'static str,
        limits: Limits,
        watched: (Metrics, Health),
        stop: CancellationToken,
        everything: impl FnOnce() -> Vec<Key>,
        work: W,
    ) where
        W: Fn(Key) -> F,
        F: Future<Output = Result<Option<Timestamp>, Error>> + Send + 'static,
    {
        let Queue(sender) = self;
        let (metrics, health) = watched;
        // First open, then look: what changes in between is looked at twice.
        sender.inbox().open = true;
        everything().into_iter().for_each(|key| sender.now(key));
        let requests = Requests { sender: sender.clone(), taken: Vec::new() };
        let mut scheduler = std::pin::pin!(scheduler(requests));
        let mut running: HashMap<Key, Instant> = HashMap::new();
        let mut at_rest: HashSet<Key> = HashSet::new();
        let mut failures: HashMap<Key, Failures> = HashMap::new();
        let mut tasks = JoinSet::new();
        // Keys that failed rest until their time has come, whatever wakes them: the answer to the write before the refused one
        // does, and would have it tried again at once, for ever.
        let mut resting: JoinSet<Key> = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT);
        loop {
            let room = tasks.len() < limits.parallel;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = beat.tick() => {
                    let oldest = running.values().min();
                    health.beat(name, oldest.map(|started| (*started + limits.deadline).into_std()));
                }
                Some(done) = tasks.join_next() => {
                    let (key, result, took): (Key, Result<Option<Timestamp>, Error>, Duration) =
                        done.expect("panics are caught in the task");
                    metrics.reconciled(name, &result, took);
                    metrics.load(name, tasks.len(), sender.waiting());
                    match result {
                        Ok(again) => {
                            running.remove(&key);
                            failures.remove(&key);
                            if let Some(at) = again {
                                sender.at(key, Instant::now() + until(at));
                            }
                        }
                        Err(error) => {
                            let failed = failures.entry(key.clone()).or_default();
                            failed.count(&error);
                            let delay = pause(failed.in_a_row, FIRST_RETRY, LONGEST_RETRY);
                            (limits.span)(&key).in_scope(|| failed.report(name, &error, delay));
                            at_rest.insert(key.clone());
                            resting.spawn(async move {
                                tokio::time::sleep(delay).await;
                                key
                            });
                        }
                    }
                }
                Some(Ok(key)) = resting.join_next() => {
                    at_rest.remove(&key);
                    running.remove(&key);
                    sender.at(key, Instant::now());
                }
                Some(key) = async { scheduler.as_mut().hold_unless(|key| !running.contains_key(key) && limits.share.is_none_or(|share| has_share(&running, &at_rest, key, share))).next().await }, if room => {
                    running.insert(key.clone(), Instant::now());
                    metrics.load(name, tasks.len() + 1, sender.begun(&key));
                    let future = work(key.clone()).instrument((limits.span)(&key));
                    tasks.spawn(async move {
                        let started = Instant::now();
                        // One rollout's bug must not stop the others, and neither must what it waits for.
                        let work = tokio::time::timeout(limits.deadline, AssertUnwindSafe(future).catch_unwind());
                        let result = match work.await {
                            Ok(result) => result.unwrap_or(Err(Error::Panicked)),
                            Err(_) => Err(Error::TookTooLong(limits.deadline.as_secs())),
                        };
                        (key, result, started.elapsed())
                    });
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Whether there is room for one more key of this namespace. Those that failed and rest take none.
fn has_share(running: &HashMap<Key, Instant>, at_rest: &HashSet<Key>, key: &Key, share: usize) -> bool {
    let worked_on = |other: &&Key| other.namespace == key.namespace && !at_rest.contains(*other);
    running.len() < share || running.keys().filter(worked_on).count() < share
}

/// How often work on a key has failed in a row.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    conflicts: u32,
}

impl Failures {
    fn count(&mut self, error: &Error) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.conflicts = if error.is_conflict() { self.conflicts.saturating_add(1) } else { 0 };
    }

    /// A conflict is the design at work; many in a row, and anything else, are worth a look.
    fn report(&self, name: &str, error: &Error, delay: Duration) {
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        if self.conflicts == 0 {
            tracing::warn!(controller = name, error = %in_full(error), retry_ms, "reconcile failed");
        } else if self.conflicts.is_multiple_of(MANY_CONFLICTS) {
            let conflicts = self.conflicts;
            tracing::warn!(controller = name, conflicts, error = %in_full(error), retry_ms,
                "conflict after conflict: who else writes this object?");
        } else {
            tracing::debug!(controller = name, %error, retry_ms, "conflict, planning again");
        }
    }
}

/// From now until then; a little more, so that it is really over.
fn until(at: Timestamp) -> Duration {
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    left + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { parallel: 1, share: None, span: |_| tracing::Span::none(), deadline: Duration::from_secs(300) };

    fn key(number: usize) -> Key {
        Key { namespace: "shop".to_owned(), name: format!("web-{number}") }
    }

    fn held(sender: &Sender) -> [usize; 2] {
        let inbox = sender.inbox();
        [inbox.new.len(), inbox.waiting.len()]
    }

    #[test]
    fn a_standby_keeps_nothing_of_what_it_sees() {
        let (sender, _queue) = queue();
        (0..100_000).for_each(|number| sender.now(key(number)));
        assert_eq!(held(&sender), [0, 0]);
    }

    #[tokio::test]
    async fn however_many_events_there_are_while_all_are_busy_each_object_waits_once() {
        let (sender, queue) = queue();
        let metrics = Metrics::new(Arc::default());
        let (stop, release) = (CancellationToken::new(), CancellationToken::new());
        let worked_on: Arc<Mutex<Vec<Key>>> = Arc::default();
        let work = {
            let (worked_on, release) = (worked_on.clone(), release.clone());
            move |key: Key| {
                let (worked_on, release) = (worked_on.clone(), release.clone());
                async move {
                    release.cancelled().await;
                    worked_on.lock().expect("no panic while locked").push(key);
                    Ok(None)
                }
            }
        };
        // Before anybody works: lost, and made up for by looking at everything.
        (0..5).for_each(|number| sender.now(key(number)));
        let everything = || (0..10).map(key).collect();
        let running =
            tokio::spawn(queue.run("test", LIMITS, (metrics, Health::default()), stop.clone(), everything, work));
        while held(&sender) != [0, 9] {
            tokio::task::yield_now().await;
        }
        for number in 0..100_000 {
            sender.now(key(number % 10));
        }
        assert_eq!(held(&sender), [10, 10]);
        release.cancel();
        while held(&sender) != [0, 0] {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.expect("it ends");
        let worked_on = worked_on.lock().expect("no panic while locked");
        for number in 0..10 {
            let times = worked_on.iter().filter(|worked_on| **worked_on == key(number)).count();
            assert!((1..=2).contains(&times), "{number}: {times} times");
        }
    }

    #[tokio::test]
    async fn a_namespace_whose_work_hangs_has_its_share_and_others_go_on() {
        let (_sender, queue) = queue();
        let stop = CancellationToken::new();
        let hanging: Arc<Mutex<usize>> = Arc::default();
        let work = {
            let (hanging, stop) = (hanging.clone(), stop.clone());
            move |key: Key| {
                let (hanging, stop) = (hanging.clone(), stop.clone());
                async move {
                    if key.namespace == "other" {
                        stop.cancel();
                        return Ok(None);
                    }
                    *hanging.lock().expect("no panic while locked") += 1;
                    stop.cancelled().await;
                    Ok(None)
                }
            }
        };
        let other = Key { namespace: "other".to_owned(), name: "web".to_owned() };
        let everything = || (0..10).map(key).chain([other]).collect();
        let limits = Limits { parallel: 4, share: Some(3), ..LIMITS };
        queue.run("test", limits, (Metrics::new(Arc::default()), Health::default()), stop, everything, work).await;
        assert!(*hanging.lock().expect("no panic while locked") <= 3);
    }

    #[tokio::test]
    async fn work_that_hangs_is_given_up_and_tried_again() {
        let (_sender, queue) = queue();
        let stop = CancellationToken::new();
        let attempts: Arc<Mutex<HashMap<Key, usize>>> = Arc::default();
        let work = {
            let (attempts, stop) = (attempts.clone(), stop.clone());
            move |key: Key| {
                let mut attempts = attempts.lock().expect("no panic while locked");
                *attempts.entry(key).or_default() += 1;
                if attempts.len() == 3 && attempts.values().all(|attempts| *attempts >= 2) {
                    stop.cancel();
                }
                std::future::pending()
            }
        };
        let limits = Limits { deadline: Duration::from_millis(20), ..LIMITS };
        let metrics = Metrics::new(Arc::default());
        let everything = || (0..3).map(key).collect();
        let run = queue.run("test", limits, (metrics.clone(), Health::default()), stop, everything, work);
        tokio::time::timeout(Duration::from_secs(10), run).await.expect("each is tried again");
        let text = metrics.text();
        assert!(text.contains(r#"greenlight_reconciles_total{controller="test",result="timeout"}"#), "{text}");
    }
}

//! The work queue of a controller: a key is worked on by one task at a time, keys in parallel, and only so many.
//!
//! Not kube's `Controller`: that puts every event into a channel without a bound, reads its own watches, and tries a failed key again
//! as soon as anything wakes it; and neither it nor its scheduler knows that one key may be more urgent than another.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use greenlight_core::Urgency;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::api_server::backoff::pause;
use crate::api_server::error::{Error, in_full};
use crate::api_server::leadership::Leadership;
use crate::cluster::cache::Key;
use crate::controllers::lanes::{Lanes, Places};
use crate::controllers::schedule::{Schedule, Turn};
use crate::controllers::trouble::{MANY_CONFLICTS, MANY_DELAYS, Trouble};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How often a queue shows that it is alive, which wakes it up: thrice in the time after which it counts as dead.
const BEAT: Duration = Duration::from_secs(20);

/// What became of work on a key.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// There is nothing to do now. When to look again, if nothing wakes it before.
    Rests(Option<Timestamp>),
    /// There is something to do that is this urgent, and others come first. When to look again, if its turn does not come before.
    Yields(Urgency, Option<Timestamp>),
}

impl From<Option<Timestamp>> for Outcome {
    fn from(again: Option<Timestamp>) -> Outcome {
        Outcome::Rests(again)
    }
}

/// How much work at a time, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many keys at the same time: a webhook that takes its time, or a server that is measured, holds up its own namespace.
    pub places: Places,
    /// What the log says of work on a key.
    pub span: fn(&Key) -> tracing::Span,
    /// How long work on a key may take. After that it is given up, and tried again later. Every request has a deadline of its own: what reaches
    /// this one is a bug.
    pub deadline: Duration,
}

/// A queue: which key is next, and nothing else. The triggers that wake keys up and the tasks that work on them share it.
#[derive(Clone, Debug)]
pub struct Queue(Schedule);

impl Queue {
    /// Of keys that this instance may work on.
    pub fn new(leadership: Leadership) -> Queue {
        Queue(Schedule::new(leadership))
    }

    /// Look at this key now. However often a key goes in, it is there once; and nothing goes in while nobody here works on it: who begins
    /// to looks at everything.
    pub fn now(&self, key: Key) {
        self.0.now(key);
    }

    /// Works until cancelled, at first on `everything`, then waits for what is under way. `work` says when to look at the key
    /// again; after an error it is tried again, later and later.
    pub async fn run<W, F, O>(
        self,
        name: &'static str,
        limits: Limits,
        watched: (Metrics, Health, Option<Trouble>),
        stop: CancellationToken,
        everything: impl FnOnce() -> Vec<Key>,
        work: W,
    ) where
        W: Fn(Key, Turn) -> F,
        F: Future<Output = Result<O, Error>> + Send + 'static,
        O: Into<Outcome> + Send + 'static,
    {
        let Queue(schedule) = self;
        let (metrics, health, trouble) = watched;
        // First open, then look: what changes in between is looked at twice.
        schedule.open();
        everything().into_iter().for_each(|key| schedule.now(key));
        // What is worked on; keys that failed and rest are not.
        let mut lanes = Lanes::new(limits.places);
        let mut failures: HashMap<Key, Failures> = HashMap::new();
        let mut tasks = JoinSet::new();
        // Keys that failed rest until their time has come, whatever wakes them: the answer to the write before the refused one
        // does, and would have it tried again at once, for ever.
        let mut resting: JoinSet<Key> = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT);
        loop {
            let now = Instant::now();
            lanes.look(now);
            while !lanes.is_full() {
                let Some((key, turn)) = schedule.take(|namespace| lanes.may_begin(namespace, now)) else { break };
                let Some(begun) = schedule.leadership().begin(&key.namespace) else {
                    turn.note_landed();
                    forget(&mut failures, trouble.as_ref(), &key);
                    schedule.done(key, None);
                    continue;
                };
                lanes.begin(key.clone(), now);
                let future = work(key.clone(), turn).instrument((limits.span)(&key));
                tasks.spawn(async move {
                    let started = Instant::now();
                    let result = bounded(future, limits.deadline).await;
                    drop(begun);
                    (key, result, started.elapsed())
                });
            }
            metrics.load(name, tasks.len(), schedule.waiting());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = beat.tick() => {
                    health.beat(name, lanes.oldest().map(|started| started + limits.deadline));
                }
                Some(done) = tasks.join_next() => {
                    let (key, result, took): (Key, Result<O, Error>, Duration) =
                        done.expect("panics are caught in the task");
                    let result = result.map(O::into);
                    lanes.end(&key, Instant::now());
                    metrics.reconciled(name, &result, took);
                    match result {
                        Ok(Outcome::Rests(again)) => {
                            forget(&mut failures, trouble.as_ref(), &key);
                            schedule.done(key, instant(again));
                        }
                        // Nothing was done: what failed before counts as it did.
                        Ok(Outcome::Yields(urgency, again)) => schedule.yielded(key, urgency, instant(again)),
                        Err(error) => {
                            let failed = failures.entry(key.clone()).or_default();
                            failed.count(&error);
                            let delay = pause(failed.in_a_row, FIRST_RETRY, LONGEST_RETRY).max(error.respite());
                            (limits.span)(&key).in_scope(|| failed.report(name, &error, delay));
                            if let Some(trouble) = &trouble {
                                trouble.tell(&key, &error, failed.like(&error));
                            }
                            resting.spawn(async move {
                                tokio::time::sleep(delay).await;
                                key
                            });
                        }
                    }
                }
                Some(Ok(key)) = resting.join_next() => {
                    schedule.done(key, Some(Instant::now()));
                }
                () = schedule.changed(), if !lanes.is_full() => {}
                // Whoever waits for a place, or comes while there is none: what is found to be slow gives its own back, and who is on
                // probation is not for ever.
                () = until_then(lanes.next_look()) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Does work until its deadline. One rollout's bug must not stop the others, and neither must what it waits for: a panic is an error like others.
async fn bounded<O>(work: impl Future<Output = Result<O, Error>>, deadline: Duration) -> Result<O, Error> {
    match tokio::time::timeout(deadline, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(result) => result.unwrap_or(Err(Error::Panicked)),
        Err(_) => Err(Error::TookTooLong(deadline.as_secs())),
    }
}

/// How often work on a key has failed since it was last done.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    conflicts: u32,
    /// Those that will be the same the next time. What came between them says nothing of these: an API server that is out of reach, say.
    lasting: u32,
    /// Other answers: that somebody has too much to do, say.
    delays: u32,
}

impl Failures {
    fn count(&mut self, error: &Error) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if error.is_conflict() {
            self.conflicts = self.conflicts.saturating_add(1);
        } else if error.lasts() {
            (self.conflicts, self.lasting) = (0, self.lasting.saturating_add(1));
        } else if error.is_answer() {
            // A respite counts as the tries that it takes the place of, so that a key that keeps to it is told of no later. One answer alone may be a
            // moment's.
            let tries = u32::try_from(error.respite().as_secs()).map_or(1, |seconds| 1 + seconds);
            let most = if self.delays < MANY_DELAYS { MANY_DELAYS } else { u32::MAX };
            self.delays = self.delays.saturating_add(tries.min(MANY_DELAYS - 1)).min(most);
        }
    }

    /// How many were like this one, which is counted.
    fn like(&self, error: &Error) -> u32 {
        if error.is_conflict() {
            self.conflicts
        } else if error.lasts() {
            self.lasting
        } else {
            self.delays
        }
    }

    /// A conflict is the design at work; many in a row, and anything else, are worth a look.
    fn report(&self, name: &str, error: &Error, delay: Duration) {
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        if !error.is_conflict() {
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

/// Work on this key was done, or is another instance's: nothing that failed before counts any more, nor is it told.
fn forget(failures: &mut HashMap<Key, Failures>, trouble: Option<&Trouble>, key: &Key) {
    if failures.remove(key).is_some()
        && let Some(trouble) = trouble
    {
        trouble.is_over(key);
    }
}

/// Sleeps until then; without a time, for ever.
async fn until_then(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// That time by the clock that timers use; a little later, so that it is really over.
fn instant(at: Option<Timestamp>) -> Option<Instant> {
    let left = Duration::try_from(at?.duration_since(Timestamp::now())).unwrap_or_default();
    Some(Instant::now() + left + Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use greenlight_api::BlueGreenRollout;
    use kube::Client;
    use tokio::sync::Notify;

    use super::*;
    use crate::api_server::fake::{api_server, event_written};
    use crate::api_server::leadership::Term;
    use crate::controllers::lanes::{PROBATION, SLOW};
    use crate::telemetry::notify::{Config, Notifier};
    use crate::telemetry::recorder::{Events, reference};
    use crate::web::client::WebClient;

    const LIMITS: Limits = Limits {
        places: Places { parallel: 1, share: None },
        span: |_| tracing::Span::none(),
        deadline: Duration::from_secs(300),
    };

    fn key(number: usize) -> Key {
        Key { namespace: "shop".to_owned(), name: format!("web-{number}") }
    }

    /// Nobody looks at what is measured.
    fn watched() -> (Metrics, Health, Option<Trouble>) {
        (Metrics::new(Arc::default(), Leadership::undisputed()), Health::default(), None)
    }

    /// Who tells of trouble by events, as long as the first is there.
    fn trouble(client: &Client) -> (Events, Trouble) {
        let (metrics, ..) = watched();
        let events = Events::start(client, &metrics);
        let notifier = Notifier::start(Config::default(), &WebClient::default(), &metrics);
        let recorder = events.recorder("test".to_owned(), metrics, notifier.tell());
        let about = |key: &Key| Some(reference::<BlueGreenRollout>(&key.namespace, &key.name, "uid"));
        (events, Trouble::new(recorder, about))
    }

    /// How many keys are kept, and how many of them wait.
    fn held(queue: &Queue) -> [usize; 2] {
        [queue.0.kept(), queue.0.waiting()]
    }

    #[test]
    fn a_standby_keeps_nothing_of_what_it_sees() {
        let queue = Queue::new(Leadership::by_terms(1).1);
        queue.0.open();
        (0..100_000).for_each(|number| queue.now(key(number)));
        assert_eq!(held(&queue), [0, 0]);
    }

    #[tokio::test]
    async fn however_many_events_there_are_while_all_are_busy_each_object_waits_once() {
        let queue = Queue::new(Leadership::undisputed());
        let (stop, release) = (CancellationToken::new(), CancellationToken::new());
        let worked_on: Arc<Mutex<Vec<Key>>> = Arc::default();
        let work = {
            let (worked_on, release) = (worked_on.clone(), release.clone());
            move |key: Key, _: Turn| {
                let (worked_on, release) = (worked_on.clone(), release.clone());
                async move {
                    release.cancelled().await;
                    worked_on.lock().expect("no panic while locked").push(key);
                    Ok(Outcome::Rests(None))
                }
            }
        };
        // Before anybody works: lost, and made up for by looking at everything.
        (0..5).for_each(|number| queue.now(key(number)));
        let everything = || (0..10).map(key).collect();
        let running = tokio::spawn(queue.clone().run("test", LIMITS, watched(), stop.clone(), everything, work));
        while held(&queue) != [10, 9] {
            tokio::task::yield_now().await;
        }
        for number in 0..100_000 {
            queue.now(key(number % 10));
        }
        assert_eq!(held(&queue), [10, 9], "nine wait, and one is worked on");
        release.cancel();
        while held(&queue) != [0, 0] {
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
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let hanging: Arc<Mutex<usize>> = Arc::default();
        let work = {
            let (hanging, stop) = (hanging.clone(), stop.clone());
            move |key: Key, _: Turn| {
                let (hanging, stop) = (hanging.clone(), stop.clone());
                async move {
                    if key.namespace == "other" {
                        stop.cancel();
                        return Ok(Outcome::Rests(None));
                    }
                    *hanging.lock().expect("no panic while locked") += 1;
                    stop.cancelled().await;
                    Ok(Outcome::Rests(None))
                }
            }
        };
        let other = Key { namespace: "other".to_owned(), name: "web".to_owned() };
        let everything = || (0..10).map(key).chain([other]).collect();
        let limits = Limits { places: Places { parallel: 4, share: Some(3) }, ..LIMITS };
        queue.run("test", limits, watched(), stop, everything, work).await;
        assert!(*hanging.lock().expect("no panic while locked") <= 3);
    }

    #[tokio::test]
    async fn two_namespaces_whose_work_hangs_hold_up_nobody_for_long() {
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let work = {
            let stop = stop.clone();
            move |key: Key, _: Turn| {
                let stop = stop.clone();
                async move {
                    if key.namespace == "other" {
                        stop.cancel();
                    }
                    stop.cancelled().await;
                    Ok(Outcome::Rests(None))
                }
            }
        };
        let key = |number: usize| Key { namespace: format!("hangs-{}", number % 2), name: format!("web-{number}") };
        let other = Key { namespace: "other".to_owned(), name: "web".to_owned() };
        let everything = || (0..20).map(key).collect();
        let limits = Limits { places: Places { parallel: 4, share: Some(3) }, ..LIMITS };
        let run = queue.clone().run("test", limits, watched(), stop, everything, work);
        let comes_later = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            queue.now(other);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = run => {}
            () = comes_later => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => panic!("it waits for what hangs"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_all_places_hang_waits_for_no_longer_than_it_takes_to_find_that_out() {
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let begun: Arc<Mutex<Option<Instant>>> = Arc::default();
        let work = {
            let (stop, begun) = (stop.clone(), begun.clone());
            move |key: Key, _: Turn| {
                let (stop, begun) = (stop.clone(), begun.clone());
                async move {
                    if key.namespace == "other" {
                        *begun.lock().expect("no panic while locked") = Some(Instant::now());
                        stop.cancel();
                    }
                    stop.cancelled().await;
                    Ok(Outcome::Rests(None))
                }
            }
        };
        let key = |namespace: &str, name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let run = queue.clone().run("test", LIMITS, watched(), stop, Vec::new, work);
        let events = async {
            // One in the slow lane, and one in the quick one.
            queue.now(key("hangs", "a"));
            tokio::time::sleep(SLOW * 11 / 10).await;
            queue.now(key("hangs", "b"));
            queue.now(key("hangs-too", "a"));
            tokio::time::sleep(SLOW / 10).await;
            queue.now(key("other", "a"));
            Instant::now()
        };
        let ((), came) = tokio::join!(run, events);
        let begun = begun.lock().expect("no panic while locked").expect("it has begun");
        assert!(begun - came <= SLOW, "{:?}", begun - came);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_on_probation_waits_for_what_hangs_no_longer_than_that_lasts() {
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let begun: Arc<Mutex<Option<Instant>>> = Arc::default();
        let work = {
            let (stop, begun) = (stop.clone(), begun.clone());
            move |key: Key, _: Turn| {
                let (stop, begun) = (stop.clone(), begun.clone());
                async move {
                    if key.name == "slow" {
                        tokio::time::sleep(SLOW * 2).await;
                        return Ok(Outcome::Rests(None));
                    }
                    if key.namespace == "shop" {
                        *begun.lock().expect("no panic while locked") = Some(Instant::now());
                        stop.cancel();
                    }
                    stop.cancelled().await;
                    Ok(Outcome::Rests(None))
                }
            }
        };
        let key = |namespace: &str, name: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let limits = Limits { deadline: PROBATION * 10, ..LIMITS };
        let run = queue.clone().run("test", limits, watched(), stop, Vec::new, work);
        let events = async {
            let came = Instant::now();
            queue.now(key("hangs", "slow"));
            queue.now(key("shop", "slow"));
            tokio::time::sleep(SLOW * 4).await;
            // It takes the slow lane, so that the other one, which is on probation, too, has no place in it.
            queue.now(key("hangs", "web"));
            tokio::time::sleep(SLOW).await;
            queue.now(key("shop", "web"));
            came
        };
        let ((), came) = tokio::join!(run, events);
        let begun = begun.lock().expect("no panic while locked").expect("it has begun");
        let waited = begun - came;
        assert!(waited >= PROBATION, "the slow lane is full: {waited:?}");
        assert!(waited <= PROBATION + SLOW * 4, "its probation is over: {waited:?}");
    }

    /// A rollout of this test: it begins, is in flight until somebody wakes it, tells that it has landed, and rests.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Stage {
        New,
        InFlight,
        Done,
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_waits_for_whom_in_the_end_all_is_done_and_nothing_kept() {
        const ALL: usize = 400;
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let stages: Arc<Mutex<HashMap<Key, Stage>>> = Arc::default();
        let peak: Arc<Mutex<usize>> = Arc::default();
        let work = {
            let (queue, stages, peak, stop) = (queue.clone(), stages.clone(), peak.clone(), stop.clone());
            move |key: Key, turn: Turn| {
                let (queue, stages, peak, stop) = (queue.clone(), stages.clone(), peak.clone(), stop.clone());
                async move {
                    let stage = stages.lock().expect("no panic while locked").get(&key).copied().unwrap_or(Stage::New);
                    let urgency = if stage == Stage::New { Urgency::FirstDeployment } else { Urgency::Follow };
                    if let Some(urgency) = turn.gives_way(urgency) {
                        return Ok(Outcome::Yields(urgency, None));
                    }
                    turn.note_flight(stage == Stage::New, stage == Stage::New);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let next = if stage == Stage::New { Stage::InFlight } else { Stage::Done };
                    let mut stages = stages.lock().expect("no panic while locked");
                    stages.insert(key.clone(), next);
                    let count = |wanted| stages.values().filter(|stage| **stage == wanted).count();
                    let mut peak = peak.lock().expect("no panic while locked");
                    *peak = (*peak).max(count(Stage::InFlight));
                    if count(Stage::Done) == ALL {
                        stop.cancel();
                    }
                    if next == Stage::InFlight {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(200)).await;
                            queue.now(key);
                        });
                    }
                    Ok(Outcome::Rests(None))
                }
            }
        };
        let key = |number: usize| Key { namespace: format!("shop-{}", number % 3), name: format!("web-{number}") };
        let everything = || (0..ALL).map(key).collect();
        let limits = Limits { places: Places { parallel: 4, share: None }, ..LIMITS };
        let run = queue.clone().run("test", limits, watched(), stop, everything, work);
        tokio::time::timeout(Duration::from_secs(30), run).await.expect("all is done");
        assert_eq!(held(&queue)[1], 0);
        let peak = *peak.lock().expect("no panic while locked");
        assert!((50..=120).contains(&peak), "a hundred are in flight, and a few that trickled: {peak}");
    }

    #[tokio::test]
    async fn work_that_hangs_is_given_up_and_tried_again() {
        let queue = Queue::new(Leadership::undisputed());
        let stop = CancellationToken::new();
        let attempts: Arc<Mutex<HashMap<Key, usize>>> = Arc::default();
        let work = {
            let (attempts, stop) = (attempts.clone(), stop.clone());
            move |key: Key, _: Turn| {
                let mut attempts = attempts.lock().expect("no panic while locked");
                *attempts.entry(key).or_default() += 1;
                if attempts.len() == 3 && attempts.values().all(|attempts| *attempts >= 2) {
                    stop.cancel();
                }
                std::future::pending::<Result<Outcome, Error>>()
            }
        };
        let limits = Limits { deadline: Duration::from_millis(20), ..LIMITS };
        let everything = || (0..3).map(key).collect();
        let watched = watched();
        let metrics = watched.0.clone();
        let run = queue.run("test", limits, watched, stop, everything, work);
        tokio::time::timeout(Duration::from_secs(10), run).await.expect("each is tried again");
        let text = metrics.text();
        assert!(text.contains(r#"greenlight_reconciles_total{controller="test",result="timeout"}"#), "{text}");
    }

    /// As whoever waits for something within the thread, where no deadline reaches it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn a_queue_tells_when_work_has_no_end_and_when_it_stands_still_itself() {
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let work = move |_: Key, _: Turn| {
            let (begun, released) = (begun.clone(), released.clone());
            async move {
                begun.send(()).expect("the test listens");
                let _ = released.lock().expect("no panic while locked").recv();
                Ok(Outcome::Rests(None))
            }
        };
        let (stop, health) = (CancellationToken::new(), Health::default());
        let watched = (watched().0, health.clone(), None);
        let limits = Limits { deadline: Duration::from_millis(1), ..LIMITS };
        let queue = Queue::new(Leadership::undisputed());
        let running = tokio::spawn(queue.run("test", limits, watched, stop.clone(), || vec![key(0)], work));
        tokio::task::spawn_blocking(move || has_begun.recv()).await.expect("no panic").expect("it begins");
        let is_told = || health.alive_after(Duration::from_secs(62)).is_err_and(|why| why.contains("test has no end"));
        for _ in 0..1_000 {
            if is_told() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(is_told(), "{:?}", health.alive_after(Duration::from_secs(62)));
        assert_eq!(health.alive_after(Duration::from_secs(30)), Ok(()), "it may take a little longer");
        release.send(()).expect("it waits");
        stop.cancel();
        running.await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_beats_as_long_as_it_gets_on_and_no_longer() {
        let health = Health::default();
        let watched = (watched().0, health.clone(), None);
        let work = |_: Key, _: Turn| std::future::pending::<Result<Outcome, Error>>();
        let queue = Queue::new(Leadership::undisputed());
        let run = queue.run("test", LIMITS, watched, CancellationToken::new(), || vec![key(0)], work);
        let running = tokio::spawn(run);
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!(health.alive(), Ok(()), "what hangs is given up");
        }
        running.abort();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(health.alive().is_err_and(|why| why.contains("test stands still")), "{:?}", health.alive());
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_wrote_itself_before_it_failed_does_not_have_a_key_tried_again_at_once() {
        let queue = Queue::new(Leadership::undisputed());
        let attempts = Arc::new(AtomicUsize::new(0));
        let work = {
            let (queue, attempts) = (queue.clone(), attempts.clone());
            move |key: Key, _: Turn| {
                let (queue, attempts) = (queue.clone(), attempts.clone());
                async move {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    // As the answer to the claim of a ReplicaSet does, before the move of the Service is refused.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    queue.now(key);
                    Err::<Outcome, Error>(Error::answered(403))
                }
            }
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(queue.run("test", LIMITS, watched(), stop.clone(), || vec![key(0)], work));
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.cancel();
        running.await.expect("it ends");
        let attempts = attempts.load(Ordering::Relaxed);
        assert!((5..=40).contains(&attempts), "{attempts} attempts in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_told_when_to_come_back_does_not_come_before_and_others_come_meanwhile() {
        // In nineteen seconds. Without being told it would come ten times.
        for (says, expected) in [(3, 7), (3600, 2)] {
            let attempts: Arc<Mutex<HashMap<Key, usize>>> = Arc::default();
            let counted = attempts.clone();
            let work = move |key: Key, _: Turn| {
                let put_off = key.name == "web-0";
                *counted.lock().expect("no panic while locked").entry(key).or_default() += 1;
                let again = Timestamp::now() + Duration::from_secs(1);
                std::future::ready(if put_off {
                    Err(Error::put_off(429, says))
                } else {
                    Ok(Outcome::Rests(Some(again)))
                })
            };
            let stop = CancellationToken::new();
            let queue = Queue::new(Leadership::undisputed());
            let everything = || (0..2).map(key).collect();
            let running = tokio::spawn(queue.run("test", LIMITS, watched(), stop.clone(), everything, work));
            tokio::time::sleep(Duration::from_secs(19)).await;
            stop.cancel();
            running.await.expect("it ends");
            let attempts = attempts.lock().expect("no panic while locked");
            let [put_off, other] = [0, 1].map(|number| attempts[&key(number)]);
            assert_eq!(put_off, expected, "{says} s");
            assert!(other >= 15, "{other}");
        }
    }

    /// Whether somebody is told of work whose attempts, counted from 0, end so; within this time.
    async fn is_told(ends: impl Fn(usize) -> Result<Outcome, Error>, within: Duration) -> bool {
        let told = Arc::new(Notify::new());
        let hears = told.clone();
        let client = api_server(move |_| {
            hears.notify_one();
            std::future::ready(event_written())
        });
        let (_events, trouble) = trouble(&client);
        let attempts = AtomicUsize::new(0);
        let work = move |_: Key, _: Turn| std::future::ready(ends(attempts.fetch_add(1, Ordering::Relaxed)));
        let stop = CancellationToken::new();
        let queue = Queue::new(Leadership::undisputed());
        let (metrics, health, _) = watched();
        let watched = (metrics, health, Some(trouble));
        let run = queue.run("test", LIMITS, watched, stop.clone(), || vec![key(0)], work);
        let heard = async {
            let heard = tokio::time::timeout(within, told.notified()).await;
            stop.cancel();
            heard.is_ok()
        };
        tokio::join!(run, heard).1
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_change_by_itself_is_told_whatever_went_wrong_before_it() {
        for before in [[503, 504, 503, 504, 503], [409, 503, 409, 503, 409], [403, 503, 503, 503, 503]] {
            let ends = move |attempt| Err(Error::answered(before.get(attempt).copied().unwrap_or(403)));
            assert!(is_told(ends, Duration::from_secs(600)).await, "nobody knows of it after {before:?}");
        }
    }

    /// As by a proxy that gives up before the webhooks of one Service do.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_put_off_again_and_again_is_told_within_seconds_and_one_that_nobody_answers_is_not() {
        for code in [429, 503, 504] {
            assert!(is_told(|_| Err(Error::answered(code)), Duration::from_secs(5)).await, "{code}");
            let ends =
                move |attempt: usize| if attempt < 5 { Err(Error::answered(code)) } else { Ok(Outcome::Rests(None)) };
            assert!(!is_told(ends, Duration::from_secs(60)).await, "{code} was over soon");
        }
        let out_of_reach = |_: usize| {
            let source = kube::Error::Service("connection refused".into());
            Err(Error::Api { what: "change it".to_owned(), source })
        };
        assert!(!is_told(out_of_reach, Duration::from_secs(60)).await);
    }

    /// Who keeps to it tries less often, and would be told of after a minute.
    #[tokio::test(start_paused = true)]
    async fn that_a_write_is_put_off_is_told_no_later_where_the_answer_says_when_to_come_back() {
        for (says, within) in [(1, 5), (2, 5), (3600, 15)] {
            let put_off = move |_: usize| Err(Error::put_off(429, says));
            assert!(is_told(put_off, Duration::from_secs(within)).await, "{says} s");
        }
        let once = |attempt: usize| if attempt == 0 { Err(Error::put_off(503, 10)) } else { Ok(Outcome::Rests(None)) };
        assert!(!is_told(once, Duration::from_secs(60)).await, "it was over the next time");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_lets_others_go_first_has_failed_as_often_as_before() {
        let ends = |attempt: usize| {
            let fails = attempt.is_multiple_of(2);
            if fails { Err(Error::answered(403)) } else { Ok(Outcome::Yields(Urgency::Begin, None)) }
        };
        assert!(is_told(ends, Duration::from_secs(60)).await, "nobody knows of it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_of_work_that_is_anothers_by_now_is_not_kept() {
        const LONG: Duration = Duration::from_secs(60);
        let (terms, leadership) = Leadership::by_terms(1);
        terms[0].send_replace(Term::Until(Instant::now() + LONG * 10));
        let client = api_server(|_| std::future::ready(event_written()));
        let (_events, trouble) = trouble(&client);
        let words: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let hears = words.clone();
        let trouble = trouble.in_status(move |_, _, told| hears.lock().expect("no panic while locked").push(told));
        let is_told = || words.lock().expect("no panic while locked").iter().map(Option::is_some).collect::<Vec<_>>();
        let work = |_: Key, _: Turn| std::future::ready(Err::<Outcome, Error>(Error::answered(403)));
        let stop = CancellationToken::new();
        let (metrics, health, _) = watched();
        let watched = (metrics, health, Some(trouble));
        let queue = Queue::new(leadership);
        let running = tokio::spawn(queue.run("test", LIMITS, watched, stop.clone(), || vec![key(0)], work));
        tokio::time::sleep(LONG).await;
        assert_eq!(is_told(), [true]);
        terms[0].send_replace(Term::None);
        tokio::time::sleep(LONG).await;
        assert_eq!(is_told(), [true, false]);
        stop.cancel();
        running.await.expect("it ends");
    }
}

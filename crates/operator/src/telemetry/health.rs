//! Whether the operator does what it is there for: `/healthz` asks whether its workers get on, `/readyz` whether what it knows is what is.
//! A process that answers is not enough: a frozen watch and a worker that waits for ever look well from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// A queue looks around at least every twenty seconds.
const NO_BEAT: Duration = Duration::from_secs(60);
/// How much longer than its deadline work may last: whatever waits is given up at the deadline, so this one does not even wait.
const OVERTIME: Duration = Duration::from_secs(60);
/// How long a watch may go without success before it counts as behind. A restart of the API server takes less.
const FAILING: Duration = Duration::from_secs(20);
/// How long all watches may go without success before the operator counts as dead, so that the kubelet starts it anew. It may not be the API
/// server's trouble: its authority, or how the operator authenticates, was changed, and both are read at the start. It is longer than what a
/// kubelet counts as one failure after the other, so that it never waits to start anew.
const DEAF: Duration = Duration::from_secs(900);
/// A watch is heard of at least every [`crate::cluster::watch::LONGEST`], if only because it begins anew.
const SILENT: Duration = Duration::from_secs(150);

/// What is known of the operator's health; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    queues: BTreeMap<&'static str, Beat>,
    /// By resource: `services`.
    watches: BTreeMap<String, Watching>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Instant,
    /// When the oldest work under way has to be over.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Watching {
    listed: bool,
    heard_at: Instant,
    failing_since: Option<Instant>,
}

impl Health {
    /// A queue is alive, and the oldest of its work under way has to be over then.
    pub fn beat(&self, queue: &'static str, due: Option<Instant>) {
        self.inner().queues.insert(queue, Beat { at: Instant::now(), due });
    }

    /// From now on what is known depends on a watch of this resource.
    pub fn depends_on(&self, resource: &str) {
        let watching = Watching { listed: false, heard_at: Instant::now(), failing_since: None };
        self.inner().watches.insert(resource.to_owned(), watching);
    }

    /// Everything of this resource was listed.
    pub fn listed(&self, resource: &str) {
        self.inner().watches.get_mut(resource).into_iter().for_each(|watching| watching.listed = true);
    }

    /// The API server was heard of on the watch of this resource. Returns whether anything depends on it.
    pub fn heard(&self, resource: &str) -> bool {
        let mut inner = self.inner();
        let Some(watching) = inner.watches.get_mut(resource) else { return false };
        watching.heard_at = Instant::now();
        watching.failing_since = None;
        true
    }

    /// The watch of this resource has failed, and will be tried again.
    pub fn failed(&self, resource: &str) {
        let mut inner = self.inner();
        let Some(watching) = inner.watches.get_mut(resource) else { return };
        watching.failing_since.get_or_insert_with(Instant::now);
    }

    /// Whether the workers get on, or who does not.
    pub fn alive(&self) -> Result<(), String> {
        alive_at(&self.inner(), Instant::now())
    }

    /// Whether everything was listed and the watches go on, or which of them does not.
    pub fn in_step(&self) -> Result<(), String> {
        in_step_at(&self.inner(), Instant::now())
    }

    /// Whether the workers get on, if nothing more is heard of them until so much later.
    #[cfg(test)]
    pub fn alive_after(&self, silence: Duration) -> Result<(), String> {
        alive_at(&self.inner(), Instant::now() + silence)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while locked")
    }
}

fn alive_at(inner: &Inner, now: Instant) -> Result<(), String> {
    for (name, beat) in &inner.queues {
        if beat.due.is_some_and(|due| now.duration_since(due) > OVERTIME) {
            return Err(format!("work of the queue {name} has no end"));
        }
        if now.duration_since(beat.at) > NO_BEAT {
            return Err(format!("the queue {name} stands still"));
        }
    }
    let is_deaf = |watching: &Watching| watching.failing_since.is_some_and(|then| now.duration_since(then) > DEAF);
    if !inner.watches.is_empty() && inner.watches.values().all(is_deaf) {
        return Err("no watch has succeeded for 15 min: what was read at the start may be old".to_owned());
    }
    Ok(())
}

fn in_step_at(inner: &Inner, now: Instant) -> Result<(), String> {
    if inner.watches.is_empty() {
        return Err("nothing is watched yet".to_owned());
    }
    for (resource, watching) in &inner.watches {
        if !watching.listed {
            return Err(format!("still listing {resource}"));
        }
        let since = |then| now.duration_since(then);
        if watching.failing_since.is_some_and(|then| since(then) > FAILING) || since(watching.heard_at) > SILENT {
            return Err(format!("nothing was heard of {resource} for {} s", since(watching.heard_at).as_secs()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_queue_that_stands_still_and_work_without_end_are_told() {
        let health = Health::default();
        assert_eq!(health.alive(), Ok(()), "nobody works yet");
        health.beat("rollouts", Some(later(300)));
        assert_eq!(alive_at(&health.inner(), later(50)), Ok(()));
        assert!(alive_at(&health.inner(), later(70)).is_err_and(|why| why.contains("stands still")));
        health.beat("rollouts", Some(Instant::now()));
        assert_eq!(health.alive(), Ok(()), "it is only just due");
        health.beat("rollouts", Instant::now().checked_sub(Duration::from_secs(70)));
        assert!(health.alive().is_err_and(|why| why.contains("rollouts has no end")));
    }

    /// Those who lead end when they cannot renew their lease; who stands by would wait for ever with an authority that signs nothing any more.
    #[test]
    fn whoever_hears_nothing_at_all_for_long_starts_anew_and_whoever_hears_something_does_not() {
        let health = Health::default();
        ["services", "jobs"].iter().for_each(|resource| health.depends_on(resource));
        assert_eq!(alive_at(&health.inner(), later(10_000)), Ok(()), "a long list");
        health.failed("services");
        assert_eq!(alive_at(&health.inner(), later(10_000)), Ok(()), "it may not see them, say");
        health.failed("jobs");
        assert_eq!(alive_at(&health.inner(), later(600)), Ok(()), "the API server is down, say");
        assert!(alive_at(&health.inner(), later(1_000)).is_err_and(|why| why.contains("no watch")));
        health.heard("jobs");
        assert_eq!(alive_at(&health.inner(), later(10_000)), Ok(()));
    }

    #[test]
    fn a_watch_that_fails_or_says_nothing_is_not_in_step() {
        let health = Health::default();
        assert!(health.in_step().is_err(), "nothing is known");
        health.depends_on("services");
        assert!(health.in_step().is_err_and(|why| why == "still listing services"));
        health.listed("services");
        assert_eq!(in_step_at(&health.inner(), later(100)), Ok(()), "a quiet cluster");
        assert!(in_step_at(&health.inner(), later(200)).is_err_and(|why| why.contains("heard of services")));
        health.failed("services");
        assert_eq!(health.in_step(), Ok(()), "once is nothing");
        assert!(in_step_at(&health.inner(), later(30)).is_err());
        assert!(health.heard("services") && !health.heard("pods"));
        assert_eq!(in_step_at(&health.inner(), later(30)), Ok(()), "it is over");
    }
}

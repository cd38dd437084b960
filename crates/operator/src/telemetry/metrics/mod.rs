//! What is counted: the releases, by namespace and rollout, and the operator's own work.
//!
//! Labels are bounded: what is measured per release is kept by namespace and goes with its last rollout, what is counted per
//! rollout ([`rollouts`]) goes with the rollout.

mod rollouts;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use greenlight_api::{BlueGreenRolloutStatus, Request};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::api_server::error::Error;
use crate::api_server::leadership::Leadership;
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use rollouts::Rollouts;

/// How many names of people are counted each by itself; others are counted as `other`. Without the chart's policy they are free text.
const MOST_NAMES: usize = 200;
/// From a second to a day: people take part in it.
const RELEASE_SECONDS: [f64; 12] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 86_400.0];
/// A switch is a write and its proof.
const PROMOTION_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
const WORK_SECONDS: [f64; 7] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// The operator's metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    rollouts: Rollouts,
    rollout_seconds: HistogramVec,
    preview_seconds: HistogramVec,
    promotion_seconds: HistogramVec,
    requests: IntCounterVec,
    notifications: IntCounterVec,
    events_lost: IntCounter,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    running: IntGaugeVec,
    queued: IntGaugeVec,
    api_seconds: HistogramVec,
    watch_errors: IntCounterVec,
    watch_heard: GaugeVec,
    leader: IntGauge,
    shards_held: IntGauge,
    known: Mutex<Known>,
}

/// Whose series there are.
#[derive(Default)]
struct Known {
    namespaces: HashMap<String, InNamespace>,
    people: BTreeSet<String>,
}

/// Those of one namespace; they go with its last rollout.
#[derive(Default)]
struct InNamespace {
    rollouts: BTreeSet<String>,
    /// Action, by, accepted.
    requests: BTreeSet<[String; 3]>,
}

impl Known {
    /// Something of this rollout is counted from now on.
    fn note(&mut self, rollout: &Rollout) -> &mut InNamespace {
        let namespace = self.namespaces.entry(rollout.namespace.clone()).or_default();
        namespace.rollouts.insert(rollout.name.clone());
        namespace
    }

    /// The name as it is counted.
    fn person(&mut self, name: &str) -> String {
        if self.people.contains(name) || self.people.len() < MOST_NAMES {
            self.people.insert(name.to_owned());
            return name.to_owned();
        }
        "other".to_owned()
    }
}

impl Metrics {
    /// Fresh metrics; the state of rollouts is read from these caches.
    pub fn new(caches: Arc<Caches>, leadership: Leadership) -> Metrics {
        let registry = Registry::new();
        let of_namespace = ["namespace"];
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            register(&registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
        };
        let leader = register(
            &registry,
            IntGauge::new("greenlight_leader", "1 while this instance does the work, 0 while it stands by."),
        );
        let shards = register(
            &registry,
            IntGauge::new("greenlight_shards", "Into how many shards the namespaces are divided; usually one."),
        );
        shards.set(i64::try_from(leadership.shards()).unwrap_or(i64::MAX));
        let shards_held =
            register(&registry, IntGauge::new("greenlight_shards_held", "The shards whose work this instance does."));
        let rollouts = Rollouts::new(caches, leadership);
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");
        Metrics(Arc::new(Inner {
            rollouts,
            rollout_seconds: histogram(
                "greenlight_rollout_duration_seconds",
                "From a change of the template, as the operator saw it, to its proven promotion.",
                &of_namespace,
                &RELEASE_SECONDS,
            ),
            preview_seconds: histogram(
                "greenlight_preview_test_duration_seconds",
                "From a preview that was ready to its promotion.",
                &of_namespace,
                &RELEASE_SECONDS,
            ),
            promotion_seconds: histogram(
                "greenlight_promotion_duration_seconds",
                "From the request (without one: from the switch) to the proof that the active Service serves it.",
                &of_namespace,
                &PROMOTION_SECONDS,
            ),
            requests: counter(
                "greenlight_requests_total",
                "Requests of people.",
                &["namespace", "action", "by", "accepted"],
            ),
            notifications: counter("greenlight_notifications_total", "Notifications by sink.", &["sink", "result"]),
            events_lost: register(
                &registry,
                IntCounter::new("greenlight_events_lost_total", "Kubernetes events that could not be written."),
            ),
            reconciles: counter(
                "greenlight_reconciles_total",
                "Reconciles by controller and result.",
                &["controller", "result"],
            ),
            reconcile_seconds: histogram(
                "greenlight_reconcile_duration_seconds",
                "Duration of reconciles by controller.",
                &["controller"],
                &WORK_SECONDS,
            ),
            running: gauge("greenlight_reconciles_running", "Reconciles under way by controller.", &["controller"]),
            queued: gauge("greenlight_queue_depth", "Objects that wait for their turn by controller.", &["controller"]),
            api_seconds: histogram(
                "greenlight_api_request_duration_seconds",
                "Requests to the API server until they are answered, by verb and code; watches left out.",
                &["verb", "code"],
                &WORK_SECONDS,
            ),
            watch_errors: counter(
                "greenlight_watch_errors_total",
                "Watches that were interrupted, by resource; the operator resumes each by itself.",
                &["resource"],
            ),
            watch_heard: register(
                &registry,
                GaugeVec::new(
                    Opts::new(
                        "greenlight_watch_heard_timestamp_seconds",
                        "When the API server was last heard of on a watch, by resource: an event, a bookmark, a new start. At least every minute.",
                    ),
                    &["resource"],
                ),
            ),
            leader,
            shards_held,
            known: Mutex::default(),
            registry,
        }))
    }

    /// Notes a transition of a rollout that was announced by `event`.
    pub fn happened(&self, rollout: &Rollout, event: &Event) {
        self.0.rollouts.happened(rollout, event.reason);
    }

    /// Notes what a new status says of a promotion and of a request.
    pub fn published(&self, rollout: &Rollout, after: &BlueGreenRolloutStatus, events: &[Event]) {
        let namespace = [rollout.namespace.as_str()];
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
        let switch = after.switch.as_ref().and_then(|switch| Some((switch, switch.proven_at?)));
        if let Some((switch, proven_at)) = switch
            && events.iter().any(|event| event.reason == "Promoted")
        {
            let from = switch.requested_at.unwrap_or(switch.switched_at);
            self.known().note(rollout);
            self.0.promotion_seconds.with_label_values(&namespace).observe(seconds(from, proven_at));
            if let Some(release) = after.release.as_ref().filter(|release| release.revision == switch.to) {
                self.0.rollout_seconds.with_label_values(&namespace).observe(seconds(release.seen_at, proven_at));
                if let Some(ready_at) = release.preview_ready_at {
                    self.0.preview_seconds.with_label_values(&namespace).observe(seconds(ready_at, switch.switched_at));
                }
            }
        }
        let before = rollout.status.as_ref().and_then(|status| status.observed_request.as_ref());
        if let Some(observed) = after.observed_request.as_ref().filter(|observed| before != Some(observed)) {
            let request = serde_json::from_str::<Request>(&observed.value).ok();
            let action = request.as_ref().map_or("unreadable", |request| request.action.as_str()).to_owned();
            let accepted = observed.accepted.to_string();
            let mut known = self.known();
            let by = known.person(request.as_ref().map_or("", |request| request.by.as_str()));
            self.0.requests.with_label_values(&[&rollout.namespace, &action, &by, &accepted]).inc();
            known.note(rollout).requests.insert([action, by, accepted]);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().expect("no panic while locked")
    }

    /// A rollout is gone, and its series with it.
    pub fn forget(&self, key: &Key) {
        let inner = &*self.0;
        inner.rollouts.forget(key);
        let mut known = self.known();
        let Some(namespace) = known.namespaces.get_mut(&key.namespace) else { return };
        namespace.rollouts.remove(&key.name);
        if namespace.rollouts.is_empty() {
            // Whether there are any is not known: removing tells.
            for [action, by, accepted] in &namespace.requests {
                let _ = inner.requests.remove_label_values(&[&key.namespace, action, by, accepted]);
            }
            for histogram in [&inner.rollout_seconds, &inner.preview_seconds, &inner.promotion_seconds] {
                let _ = histogram.remove_label_values(&[&key.namespace]);
            }
            known.namespaces.remove(&key.namespace);
        }
    }

    /// Notes what became of a notification: `delivered`, or `dropped`.
    pub fn notified(&self, sink: &str, result: &str) {
        self.0.notifications.with_label_values(&[sink, result]).inc();
    }

    /// Notes that an event could not be written.
    pub fn lost_event(&self) {
        self.0.events_lost.inc();
    }

    /// Notes a finished reconcile.
    pub fn reconciled<T>(&self, controller: &str, result: &Result<T, Error>, took: Duration) {
        let word = match result {
            Ok(_) => "ok",
            Err(error) if error.is_conflict() => "conflict",
            Err(Error::TookTooLong(_)) => "timeout",
            Err(_) => "error",
        };
        self.0.reconciles.with_label_values(&[controller, word]).inc();
        self.0.reconcile_seconds.with_label_values(&[controller]).observe(took.as_secs_f64());
    }

    /// Notes how much work there is.
    pub fn load(&self, controller: &str, running: usize, queued: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.0.running.with_label_values(&[controller]).set(number(running));
        self.0.queued.with_label_values(&[controller]).set(number(queued));
    }

    /// Notes an answer of the API server; no code if there was none.
    pub fn answered(&self, verb: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.0.api_seconds.with_label_values(&[verb, &code]).observe(took.as_secs_f64());
    }

    /// Notes that a watch of this resource was interrupted.
    pub fn watch_failed(&self, resource: &str) {
        self.0.watch_errors.with_label_values(&[resource]).inc();
    }

    /// Notes that the API server was heard of on the watch of this resource.
    pub fn watch_heard(&self, resource: &str) {
        let now = Timestamp::now().as_duration().as_secs_f64();
        self.0.watch_heard.with_label_values(&[resource]).set(now);
    }

    /// Notes of how many shards this instance does the work.
    pub fn leads(&self, held: usize) {
        self.0.leader.set(i64::from(held > 0));
        self.0.shards_held.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let gathered = self.0.registry.gather();
        let mut text = TextEncoder::new().encode_to_string(&gathered).expect("metrics can be written as text");
        self.0.rollouts.write(&mut text);
        text
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("the metric's name is valid");
    registry.register(Box::new(collector.clone())).expect("registered once");
    collector
}

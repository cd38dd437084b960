//! What is counted: the releases, by namespace and rollout, and the operator's own work.
//!
//! Labels are bounded: what is measured per release is kept by namespace, what is counted per rollout goes away with the
//! rollout, and the state of rollouts is read off the cache when somebody scrapes, so that it cannot be stale.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenlight_api::{BlueGreenRolloutStatus, Phase, Request, conditions};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cache::Key;
use crate::error::Error;
use crate::world::Caches;

/// Names of people beyond so many are counted as `other`: without the chart's policy they are free text.
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
    deployments: IntCounterVec,
    promotions: IntCounterVec,
    rollbacks: IntCounterVec,
    rollout_seconds: HistogramVec,
    preview_seconds: HistogramVec,
    promotion_seconds: HistogramVec,
    requests: IntCounterVec,
    notifications: IntCounterVec,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    running: IntGaugeVec,
    queued: IntGaugeVec,
    api_seconds: HistogramVec,
    leader: IntGauge,
    known: Mutex<Known>,
}

/// Whose series there are.
#[derive(Default)]
struct Known {
    rollouts: HashMap<String, BTreeSet<String>>,
    people: BTreeSet<String>,
}

impl Metrics {
    /// Fresh metrics; the state of rollouts is read from these caches.
    pub fn new(caches: Arc<Caches>) -> Metrics {
        let registry = Registry::new();
        let of_rollout = ["namespace", "rollout"];
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
        register(&registry, Ok(States::new(caches)));
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");
        Metrics(Arc::new(Inner {
            deployments: counter("greenlight_deployments_total", "Revisions created.", &of_rollout),
            promotions: counter("greenlight_promotions_total", "Promotions whose switch was proven.", &of_rollout),
            rollbacks: counter("greenlight_rollbacks_total", "Switches back that were proven.", &of_rollout),
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
                "What people asked for.",
                &["namespace", "action", "by", "accepted"],
            ),
            notifications: counter("greenlight_notifications_total", "Notifications by sink.", &["sink", "result"]),
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
            leader: register(
                &registry,
                IntGauge::new("greenlight_leader", "1 while this instance does the work, 0 while it stands by."),
            ),
            known: Mutex::default(),
            registry,
        }))
    }

    /// Notes a transition of a rollout that was announced by `event`.
    pub fn happened(&self, rollout: &Rollout, event: &Event) {
        let inner = &*self.0;
        let labels = [rollout.namespace.as_str(), rollout.name.as_str()];
        let counter = match event.reason {
            "RevisionCreated" => &inner.deployments,
            "Promoted" => &inner.promotions,
            "RolledBack" => &inner.rollbacks,
            _ => return,
        };
        let mut known = inner.known.lock().expect("no panic while locked");
        known.rollouts.entry(rollout.namespace.clone()).or_default().insert(rollout.name.clone());
        counter.with_label_values(&labels).inc();
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
            let action = request.as_ref().map_or("unreadable", |request| request.action.as_str());
            let by = self.person(request.as_ref().map_or("", |request| request.by.as_str()));
            let accepted = if observed.accepted { "true" } else { "false" };
            self.0.requests.with_label_values(&[&rollout.namespace, action, &by, accepted]).inc();
        }
    }

    fn person(&self, name: &str) -> String {
        let mut known = self.0.known.lock().expect("no panic while locked");
        if known.people.contains(name) || known.people.len() < MOST_NAMES {
            known.people.insert(name.to_owned());
            return name.to_owned();
        }
        "other".to_owned()
    }

    /// A rollout is gone, and its series with it.
    pub fn forget(&self, key: &Key) {
        let inner = &*self.0;
        let mut known = inner.known.lock().expect("no panic while locked");
        let Some(names) = known.rollouts.get_mut(&key.namespace) else { return };
        if names.remove(&key.name) {
            for counter in [&inner.deployments, &inner.promotions, &inner.rollbacks] {
                // It may never have been counted.
                let _ = counter.remove_label_values(&[&key.namespace, &key.name]);
            }
        }
        if names.is_empty() {
            known.rollouts.remove(&key.namespace);
            for histogram in [&inner.rollout_seconds, &inner.preview_seconds, &inner.promotion_seconds] {
                let _ = histogram.remove_label_values(&[&key.namespace]);
            }
        }
    }

    /// Notes what became of a notification: `delivered`, or `dropped`.
    pub fn notified(&self, sink: &str, result: &str) {
        self.0.notifications.with_label_values(&[sink, result]).inc();
    }

    /// Notes a finished reconcile.
    pub fn reconciled(&self, controller: &str, result: &Result<Option<Timestamp>, Error>, took: Duration) {
        let word = match result {
            Ok(_) => "ok",
            Err(error) if error.is_conflict() => "conflict",
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

    /// Notes whether this instance does the work.
    pub fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).expect("metrics can be written as text")
    }
}

/// The state of every rollout, as it is at the time of the scrape.
#[derive(Clone)]
struct States {
    caches: Arc<Caches>,
    descriptions: Vec<Desc>,
}

impl States {
    fn new(caches: Arc<Caches>) -> States {
        let descriptions = States::gauges().iter().flat_map(|gauge| gauge.desc()).cloned().collect();
        States { caches, descriptions }
    }

    fn gauges() -> [GaugeVec; 2] {
        let gauge = |name, help, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels).expect("a valid name");
        [
            gauge(
                "greenlight_rollout_info",
                "1 for each rollout, with its phase and the reason of its condition Ready.",
                &["namespace", "rollout", "phase", "reason"],
            ),
            gauge(
                "greenlight_rollout_preview_ready_timestamp_seconds",
                "Since when a preview waits for its promotion, for each rollout that waits.",
                &["namespace", "rollout"],
            ),
        ]
    }
}

impl Collector for States {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let [info, ready] = States::gauges();
        for rollout in self.caches.rollouts.all() {
            let status = rollout.status.clone().unwrap_or_default();
            let condition = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
            let reason = condition.map_or("", |condition| condition.reason.as_str());
            let (namespace, name) = (rollout.namespace.as_str(), rollout.name.as_str());
            info.with_label_values(&[namespace, name, status.phase.as_str(), reason]).set(1.0);
            let ready_at = status.release.as_ref().and_then(|release| release.preview_ready_at);
            if let Some(ready_at) = ready_at.filter(|_| status.phase == Phase::Paused) {
                #[expect(clippy::cast_precision_loss, reason = "a time in milliseconds fits")]
                ready.with_label_values(&[namespace, name]).set(ready_at.as_millisecond() as f64 / 1000.0);
            }
        }
        [info, ready].iter().flat_map(Collector::collect).collect()
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("the metric's name is valid");
    registry.register(Box::new(collector.clone())).expect("registered once");
    collector
}

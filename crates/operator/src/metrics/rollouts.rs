//! What is said of each rollout when somebody scrapes: its state, read off the cache, so that it cannot be stale, and what
//! happened to it while this instance leads.
//!
//! A rollout that nothing has happened to has a zero, so that the first thing that does is seen as a rise. Nothing is kept
//! for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use greenlight_api::{Phase, conditions};
use greenlight_core::world::Rollout;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::cache::{Cached, Key};
use crate::world::Caches;

const NAMESPACE: &str = "namespace";
const ROLLOUT: &str = "rollout";
const PHASE: &str = "phase";
const REASON: &str = "reason";

const KIND: &str = "kind";

type Family = (&'static str, &'static str, &'static [&'static str]);

const INFO: Family = (
    "greenlight_rollout_info",
    "1 for each rollout, with its phase and the reason of its condition Ready.",
    &[NAMESPACE, PHASE, REASON, ROLLOUT],
);
const PREVIEW_READY: Family = (
    "greenlight_rollout_preview_ready_timestamp_seconds",
    "Since when a preview waits for its promotion, for each rollout that waits.",
    &[NAMESPACE, ROLLOUT],
);
const DEPLOYMENTS: Family = ("greenlight_deployments_total", "Revisions created.", &[NAMESPACE, ROLLOUT]);
const PROMOTIONS: Family =
    ("greenlight_promotions_total", "Promotions whose switch was proven.", &[NAMESPACE, ROLLOUT]);
const ROLLBACKS: Family = ("greenlight_rollbacks_total", "Switches back that were proven.", &[NAMESPACE, ROLLOUT]);
const UNREADABLE: Family = (
    "greenlight_unreadable_objects",
    "Objects that cannot be read, and are left alone; an event of each says why.",
    &[KIND],
);

/// What happened to one rollout.
#[derive(Clone, Copy, Default)]
struct Counts {
    deployments: u32,
    promotions: u32,
    rollbacks: u32,
}

/// The collector; clones share what they know.
#[derive(Clone)]
pub struct Rollouts(Arc<Inner>);

struct Inner {
    caches: Arc<Caches>,
    counts: Mutex<HashMap<Key, Counts>>,
    leader: IntGauge,
    descriptions: Vec<Desc>,
}

impl Rollouts {
    /// Reads the state of rollouts from these caches. Who is not the leader counts nothing.
    pub fn new(caches: Arc<Caches>, leader: IntGauge) -> Rollouts {
        let describe = |(name, help, labels): Family| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new()).expect("a valid name")
        };
        let descriptions = [INFO, PREVIEW_READY, DEPLOYMENTS, PROMOTIONS, ROLLBACKS, UNREADABLE].map(describe).to_vec();
        Rollouts(Arc::new(Inner { caches, counts: Mutex::default(), leader, descriptions }))
    }

    /// Counts an event, if it is one that is counted.
    pub fn happened(&self, rollout: &Rollout, reason: &str) {
        let count: fn(&mut Counts) -> &mut u32 = match reason {
            "RevisionCreated" => |counts| &mut counts.deployments,
            "Promoted" => |counts| &mut counts.promotions,
            "RolledBack" => |counts| &mut counts.rollbacks,
            _ => return,
        };
        *count(self.counts().entry(rollout.key()).or_default()) += 1;
    }

    /// A rollout is gone.
    pub fn forget(&self, key: &Key) {
        self.counts().remove(key);
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, Counts>> {
        self.0.counts.lock().expect("no panic while locked")
    }
}

impl Collector for Rollouts {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let [mut info, mut ready, mut deployments, mut promotions, mut rollbacks] = [const { Vec::new() }; 5];
        let leads = self.0.leader.get() == 1;
        for rollout in self.0.caches.rollouts.all() {
            let status = rollout.status.clone().unwrap_or_default();
            let condition = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
            let reason = condition.map_or("", |condition| condition.reason.as_str());
            let (namespace, name) = (rollout.namespace.as_str(), rollout.name.as_str());
            info.push(gauge(&INFO, &[namespace, status.phase.as_str(), reason, name], 1.0));
            let ready_at = status.release.as_ref().and_then(|release| release.preview_ready_at);
            if let Some(ready_at) = ready_at.filter(|_| status.phase == Phase::Paused) {
                #[expect(clippy::cast_precision_loss, reason = "a time in milliseconds fits")]
                ready.push(gauge(&PREVIEW_READY, &[namespace, name], ready_at.as_millisecond() as f64 / 1000.0));
            }
            if leads {
                let counts = self.counts().get(&rollout.key()).copied().unwrap_or_default();
                deployments.push(counter(&DEPLOYMENTS, &[namespace, name], counts.deployments));
                promotions.push(counter(&PROMOTIONS, &[namespace, name], counts.promotions));
                rollbacks.push(counter(&ROLLBACKS, &[namespace, name], counts.rollbacks));
            }
        }
        let unreadable = self.0.caches.unreadable();
        let unreadable = unreadable.iter().map(|(kind, objects)| {
            gauge(&UNREADABLE, &[kind], f64::from(u32::try_from(objects.len()).unwrap_or(u32::MAX)))
        });
        vec![
            family(&UNREADABLE, MetricType::GAUGE, unreadable.collect()),
            family(&INFO, MetricType::GAUGE, info),
            family(&PREVIEW_READY, MetricType::GAUGE, ready),
            family(&DEPLOYMENTS, MetricType::COUNTER, deployments),
            family(&PROMOTIONS, MetricType::COUNTER, promotions),
            family(&ROLLBACKS, MetricType::COUNTER, rollbacks),
        ]
    }
}

fn gauge(family: &Family, values: &[&str], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    labelled(family, values, |metric| metric.set_gauge(gauge))
}

fn counter(family: &Family, values: &[&str], value: u32) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value.into());
    labelled(family, values, |metric| metric.set_counter(counter))
}

fn labelled((_, _, names): &Family, values: &[&str], set: impl FnOnce(&mut Metric)) -> Metric {
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::from_label(names.iter().zip(values).map(pair).collect());
    set(&mut metric);
    metric
}

fn family((name, help, _): &Family, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name((*name).to_owned());
    family.set_help((*help).to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

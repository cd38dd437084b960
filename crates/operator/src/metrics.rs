//! What the operator counts of itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

use crate::error::Error;

/// The operator's metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    running: IntGaugeVec,
}

impl Metrics {
    /// Fresh metrics.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let reconciles = register(
            &registry,
            IntCounterVec::new(
                Opts::new("greenlight_reconciles_total", "Reconciles by controller and result."),
                &["controller", "result"],
            ),
        );
        let reconcile_seconds = register(
            &registry,
            HistogramVec::new(
                HistogramOpts::new("greenlight_reconcile_duration_seconds", "Duration of reconciles by controller.")
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
                &["controller"],
            ),
        );
        let running = register(
            &registry,
            IntGaugeVec::new(
                Opts::new("greenlight_reconciles_running", "Reconciles under way by controller."),
                &["controller"],
            ),
        );
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");
        Metrics(Arc::new(Inner { registry, reconciles, reconcile_seconds, running }))
    }

    /// Notes a finished reconcile.
    pub fn reconciled(
        &self,
        controller: &str,
        result: &Result<Option<Timestamp>, Error>,
        took: Duration,
        running: usize,
    ) {
        let word = match result {
            Ok(_) => "ok",
            Err(error) if error.is_conflict() => "conflict",
            Err(_) => "error",
        };
        self.0.reconciles.with_label_values(&[controller, word]).inc();
        self.0.reconcile_seconds.with_label_values(&[controller]).observe(took.as_secs_f64());
        self.0.running.with_label_values(&[controller]).set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).expect("metrics can be written as text")
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("the metric's name is valid");
    registry.register(Box::new(collector.clone())).expect("registered once");
    collector
}

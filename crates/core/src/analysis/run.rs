//! How an analysis run goes on: which metric is to be measured when, and what its outcome is.
//!
//! Delays and intervals count from times in the run's status, which another operator may have written, by another clock, or this one before
//! its clock was set back. None of them is in the future: such a time becomes now, and is written down so. What it holds up it holds up for one delay
//! or interval more, and not until the clock is there.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{
    AnalysisRunSpec, AnalysisRunStatus, BY_HAND, Measurement, Metric, MetricResult, duration,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::from_api;
use crate::world::later;

const DEFAULT_RETENTION: usize = 10;
/// In bytes. A run of which the measurements take more is soon too large to be read: its templates and arguments may take as much.
const LARGEST_RECORD: usize = 224 << 10;
/// What a measurement takes at most beside what it says: its times, its names, its Job.
const OF_EACH: usize = 320;
const DEFAULT_CONSECUTIVE_ERRORS: i64 = 4;
/// Time between an error and the next try, when the metric has no interval.
const ERROR_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// Nothing is measured more often.
const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// What is to be done for a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The status as it is now.
    pub status: AnalysisRunStatus,
    /// Metrics to begin a measurement of, by position.
    pub begin: Vec<usize>,
    /// Metrics whose measurement is under way.
    pub under_way: Vec<usize>,
    /// When to look again.
    pub next: Option<Timestamp>,
}

/// What comes next in a run.
pub fn step(spec: &AnalysisRunSpec, status: &AnalysisRunStatus, now: Timestamp) -> Step {
    let mut step = Step { status: status.clone(), begin: Vec::new(), under_way: Vec::new(), next: None };
    let status = &mut step.status;
    if status.phase.is_completed() {
        return step;
    }
    // A run that nobody has marked before it begins is no release's, and never becomes one's: what it measured may be something else.
    if status.spec_digest.is_empty() && status.started_at.is_none() {
        BY_HAND.clone_into(&mut status.spec_digest);
    }
    let decides = !status.spec_digest.is_empty() && status.spec_digest != BY_HAND;
    // What was measured of one spec does not count for another; also not when it is changed back.
    if decides && status.spec_digest != from_api::spec_digest(spec) {
        status.phase = AnalysisPhase::Inconclusive;
        status.message = "its spec was changed while it was under way, so nothing that it measured counts".to_owned();
        status.completed_at = Some(now);
        return step;
    }
    let started_at = (*status.started_at.get_or_insert(now)).min(now);
    status.started_at = Some(started_at);
    status.phase = AnalysisPhase::Running;
    add_missing_results(spec, &mut status.metric_results);
    let terminate = spec.terminate == Some(true);
    let mut cut_short = false;
    for (position, metric) in spec.metrics.iter().enumerate() {
        let Some(result) = status.metric_results.iter_mut().find(|result| result.name == metric.name) else { continue };
        if result.phase.is_completed() {
            continue;
        }
        if let Some(finished_at) = result.measurements.last_mut().and_then(|last| last.finished_at.as_mut()) {
            *finished_at = now.min(*finished_at);
        }
        (result.phase, result.message) = outcome(metric, result);
        if result.phase.is_completed() {
            continue;
        }
        let under_way = result.measurements.last().filter(|last| last.finished_at.is_none());
        if terminate {
            // Who stops one that a release waits for has not shown that the revision is good, whatever they write afterwards.
            result.phase = if decides { AnalysisPhase::Inconclusive } else { AnalysisPhase::Successful };
            result.message = "terminated".to_owned();
            cut_short = decides;
        } else if under_way.is_some() {
            step.under_way.push(position);
        } else {
            match due(metric, result, started_at) {
                Ok(at) if at <= now => step.begin.push(position),
                Ok(at) => step.next = step.next.into_iter().chain([at]).min(),
                Err(message) => (result.phase, result.message) = (AnalysisPhase::Error, message),
            }
        }
    }
    // The first that is not good ends the run; those that are only reported do not.
    let results = &status.metric_results;
    let counted = || results.iter().filter(|result| !result.dry_run);
    let bad = counted().filter(|result| result.phase > AnalysisPhase::Successful).max_by_key(|result| result.phase);
    let all_done = results.iter().all(|result| result.phase.is_completed());
    if let Some(bad) = bad {
        status.message = format!("metric {}: {}", bad.name, bad.message);
        status.phase = bad.phase;
    } else if cut_short {
        status.message = "terminated".to_owned();
        status.phase = AnalysisPhase::Inconclusive;
    } else if all_done || counted().count() > 0 && terminate {
        status.phase = AnalysisPhase::Successful;
    }
    if status.phase.is_completed() {
        status.completed_at = Some(now);
        (step.begin, step.under_way, step.next) = (Vec::new(), Vec::new(), None);
    }
    step
}

/// Gives each metric that has none a result.
fn add_missing_results(spec: &AnalysisRunSpec, results: &mut Vec<MetricResult>) {
    for metric in &spec.metrics {
        if !results.iter().any(|result| result.name == metric.name) {
            let dry_run = spec.dry_run.iter().any(|dry| matches(&dry.metric_name, &metric.name));
            results.push(MetricResult { name: metric.name.clone(), dry_run, ..MetricResult::default() });
        }
    }
}

/// Notes the beginning or the end of a metric's measurement.
pub fn record(spec: &AnalysisRunSpec, status: &mut AnalysisRunStatus, position: usize, measurement: Measurement) {
    let metric = &spec.metrics[position];
    let Some(result) = status.metric_results.iter_mut().find(|result| result.name == metric.name) else { return };
    if measurement.finished_at.is_some() {
        let count = match measurement.phase {
            AnalysisPhase::Successful => &mut result.successful,
            AnalysisPhase::Failed => &mut result.failed,
            AnalysisPhase::Inconclusive => &mut result.inconclusive,
            _ => &mut result.error,
        };
        *count += 1;
        if measurement.phase == AnalysisPhase::Error {
            result.consecutive_error += 1;
        } else {
            result.consecutive_error = 0;
            result.count += 1;
        }
    }
    match result.measurements.last_mut().filter(|last| last.finished_at.is_none()) {
        Some(under_way) => *under_way = measurement,
        None => result.measurements.push(measurement),
    }
    let retention = spec.measurement_retention.iter().find(|rule| matches(&rule.metric_name, &metric.name));
    let limit = retention.map_or(DEFAULT_RETENTION, |rule| usize::try_from(rule.limit).unwrap_or(DEFAULT_RETENTION));
    let surplus = result.measurements.len().saturating_sub(limit);
    result.measurements.drain(..surplus);
    forget_oldest(status);
}

/// Forgets the oldest measurements, of whichever metric has most of them, until the others have room. The last of each stays: what comes next depends on it.
fn forget_oldest(status: &mut AnalysisRunStatus) {
    // In JSON a quote takes two bytes.
    let size = |measurement: &Measurement| OF_EACH + 2 * (measurement.message.len() + measurement.value.len());
    let all = status.metric_results.iter().flat_map(|result| &result.measurements);
    let mut taken: usize = all.map(size).sum();
    while taken > LARGEST_RECORD {
        let most = status.metric_results.iter_mut().max_by_key(|result| result.measurements.len());
        let Some(most) = most.filter(|most| most.measurements.len() > 1) else { return };
        taken -= size(&most.measurements.remove(0));
    }
}

fn outcome(metric: &Metric, result: &MetricResult) -> (AnalysisPhase, String) {
    let exceeded = |count: i64, limit: i64| limit >= 0 && count > limit;
    let last = || result.measurements.last().map(|last| last.message.clone()).filter(|message| !message.is_empty());
    let detail = || last().map(|message| format!(": {message}")).unwrap_or_default();
    let (failures, errors) =
        (limit(&metric.failure_limit, 0), limit(&metric.consecutive_error_limit, DEFAULT_CONSECUTIVE_ERRORS));
    if exceeded(result.failed, failures) {
        let message = format!("{} bad measurements, tolerated are {failures}{}", result.failed, detail());
        return (AnalysisPhase::Failed, message);
    }
    if exceeded(result.consecutive_error, errors) {
        let message = format!("{} errors in a row, tolerated are {errors}{}", result.consecutive_error, detail());
        return (AnalysisPhase::Error, message);
    }
    if exceeded(result.inconclusive, limit(&metric.inconclusive_limit, 0)) {
        return (AnalysisPhase::Inconclusive, format!("{} measurements neither good nor bad", result.inconclusive));
    }
    // As in Argo Rollouts, 0 counts as left out: nothing is good that was not measured.
    let wanted = match limit(&metric.count, 0) {
        count @ 1.. => count,
        _ if metric.interval.is_some() => i64::MAX,
        _ => 1,
    };
    if result.count >= wanted {
        return (AnalysisPhase::Successful, String::new());
    }
    (AnalysisPhase::Running, String::new())
}

fn due(metric: &Metric, result: &MetricResult, started_at: Timestamp) -> Result<Timestamp, String> {
    let Some(last) = result.measurements.last().and_then(|last| last.finished_at) else {
        let delay = metric.initial_delay.as_deref().map(duration).transpose()?.unwrap_or_default();
        return Ok(later(started_at, delay));
    };
    let pause = metric.interval.as_deref().map(duration).transpose()?;
    let error = result.measurements.last().is_some_and(|last| last.phase == AnalysisPhase::Error);
    match pause {
        Some(pause) => Ok(later(last, pause.max(SHORTEST_INTERVAL))),
        None if error => Ok(later(last, ERROR_PAUSE)),
        None => Ok(later(last, SHORTEST_INTERVAL)),
    }
}

fn limit(value: &Option<IntOrString>, default: i64) -> i64 {
    match value {
        Some(IntOrString::Int(number)) => (*number).into(),
        Some(IntOrString::String(text)) => text.trim().parse().unwrap_or(default),
        None => default,
    }
}

/// Whether this is the metric's whole name, in which `.*` stands for any text. Argo's examples have no other regular expression.
pub fn matches(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split(".*").collect();
    let [first, between @ .., last] = &parts[..] else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(*first).and_then(|rest| rest.strip_suffix(*last)) else { return false };
    for part in between {
        let Some((_, after)) = rest.split_once(*part) else { return false };
        rest = after;
    }
    true
}

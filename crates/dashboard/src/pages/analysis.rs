//! An analysis, with a chart of each metric: its measurements, and the limit where the condition has one.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{AnalysisRun, MetricResult};
use kube::ResourceExt;
use maud::{Markup, html};

use super::{ago, plain};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;

/// One analysis.
pub fn run(run: &AnalysisRun) -> Markup {
    let status = run.status.clone().unwrap_or_default();
    html! {
        article class="run" {
            h3 { (run.name_any()) " " span class={ "phase " (class(status.phase)) } { (word(status.phase)) }
                @if let Some(at) = status.started_at { " " span class="dim" { (ago(at)) } } }
            @if !status.message.is_empty() { p { (plain(&status.message)) } }
            @for result in &status.metric_results {
                @let condition = run.spec.metrics.iter().find(|metric| metric.name == result.name)
                    .and_then(|metric| metric.success_condition.clone().or_else(|| metric.failure_condition.clone()));
                (metric(result, condition.as_deref()))
            }
        }
    }
}

fn metric(result: &MetricResult, condition: Option<&str>) -> Markup {
    let values: Vec<f64> = result.measurements.iter().filter_map(|measurement| number(&measurement.value)).collect();
    html! {
        div class="metric" {
            div {
                strong { (plain(&result.name)) } " " span class={ "phase " (class(result.phase)) } { (word(result.phase)) }
                @if result.dry_run { " " span class="tag" { "dry run" } }
                p class="dim" {
                    (result.successful) " good, " (result.failed) " bad"
                    @if result.error > 0 { ", " (result.error) " errors" }
                    @if let Some(condition) = condition { " · " code { (plain(condition)) } }
                }
                @if !result.message.is_empty() { p { (plain(&result.message)) } }
                @if let Some(last) = result.measurements.last() {
                    p class="dim" { "last: " code { (plain(&last.value)) } @if !last.message.is_empty() { " " (plain(&last.message)) } }
                }
            }
            @if values.len() > 1 { (chart(&result.name, &values, condition.and_then(limit))) }
        }
    }
}

fn chart(name: &str, values: &[f64], limit: Option<f64>) -> Markup {
    let (least, most) = range(values.iter().copied());
    let (low, high) = range(values.iter().copied().chain(limit));
    let span = if high > low { high - low } else { 1.0 };
    let y = |value: f64| HEIGHT - 4.0 - (value - low) / span * (HEIGHT - 8.0);
    #[expect(clippy::cast_precision_loss, reason = "there are a few dozen measurements")]
    let x = |index: usize| 4.0 + index as f64 / (values.len() - 1) as f64 * (WIDTH - 8.0);
    let points: Vec<String> =
        values.iter().enumerate().map(|(index, value)| format!("{:.1},{:.1}", x(index), y(*value))).collect();
    let of_limit = limit.map_or(String::new(), |limit| format!(", limit {limit}"));
    let label = format!("{}: {} measurements from {least} to {most}{of_limit}", plain(name), values.len());
    html! {
        svg class="chart" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
            @if let Some(limit) = limit {
                line class="limit" x1="0" x2=(WIDTH) y1={ (format!("{:.1}", y(limit))) } y2={ (format!("{:.1}", y(limit))) } {}
            }
            polyline points=(points.join(" ")) {}
        }
    }
}

/// The least and the greatest of some numbers.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| (least.min(number), most.max(number)))
}

/// A measured value as a number: `0.03`, or `[0.03]` as Prometheus answers.
fn number(value: &str) -> Option<f64> {
    value.trim_matches(['[', ']', '"', ' ']).parse().ok().filter(|number: &f64| number.is_finite())
}

/// The number that a condition compares what was measured with: 0.05 in `result[0] < 0.05`. A condition that compares more than once, or
/// something else than that (a length, a product), has no single limit that could be drawn beside the measurements.
fn limit(condition: &str) -> Option<f64> {
    let (measured, compared) = condition.split_once(['<', '>'])?;
    let is_measured = matches!(measured.trim(), "result" | "result[0]");
    compared.trim_start_matches('=').trim().parse().ok().filter(|limit: &f64| is_measured && limit.is_finite())
}

fn word(phase: AnalysisPhase) -> String {
    format!("{phase:?}")
}

fn class(phase: AnalysisPhase) -> &'static str {
    match phase {
        AnalysisPhase::Successful => "healthy",
        AnalysisPhase::Failed | AnalysisPhase::Error => "degraded",
        AnalysisPhase::Inconclusive => "paused",
        _ => "moving",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_number_that_a_condition_compares_with() {
        assert_eq!(limit("result[0] < 0.05"), Some(0.05));
        assert_eq!(limit("result >= 95"), Some(95.0));
        assert_eq!(limit("result == 'ok'"), None);
        let without =
            ["result > 2 && result < 5", "result[0] < 0.05 || result[0] > 7", "size(result) > 0", "result * 100.0 < 5"];
        assert_eq!(without.map(limit), [None; 4], "there is no one limit of what is shown");
        assert_eq!((number("[0.03]"), number("12"), number("{\"a\":1}")), (Some(0.03), Some(12.0), None));
    }
}

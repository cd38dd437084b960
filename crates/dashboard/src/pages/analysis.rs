//! An analysis, with a chart of each metric: its measurements, and the limits of its conditions.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{AnalysisRun, Metric, MetricResult};
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
            // While it goes well, it says what the metrics say below.
            @if status.phase > AnalysisPhase::Successful && !status.message.is_empty() { p { (plain(&status.message)) } }
            @for result in &status.metric_results {
                (metric(result, run.spec.metrics.iter().find(|metric| metric.name == result.name)))
            }
        }
    }
}

fn metric(result: &MetricResult, metric: Option<&Metric>) -> Markup {
    let values: Vec<f64> = result.measurements.iter().filter_map(|measurement| number(&measurement.value)).collect();
    let good_if = metric.and_then(|metric| metric.success_condition.as_deref());
    let bad_if = metric.and_then(|metric| metric.failure_condition.as_deref());
    let limits: Vec<f64> = good_if.into_iter().chain(bad_if).flat_map(limits).collect();
    html! {
        div class="metric" {
            div {
                strong { (plain(&result.name)) } " " span class={ "phase " (class(result.phase)) } { (word(result.phase)) }
                @if result.dry_run { " " span class="tag" { "dry run" } }
                p class="dim" {
                    (result.successful) " good, " (result.failed) " bad"
                    @if result.error > 0 { ", " (result.error) " errors" }
                    @if result.inconclusive > 0 { ", " (result.inconclusive) " neither" }
                    @if let Some(condition) = good_if { " · good if " code { (plain(condition)) } }
                    @if let Some(condition) = bad_if { " · bad if " code { (plain(condition)) } }
                }
                @if !result.message.is_empty() { p { (plain(&result.message)) } }
                @if let Some(last) = result.measurements.last() {
                    p class="dim" { "last: " code { (plain(&last.value)) } @if !last.message.is_empty() { " " (plain(&last.message)) } }
                }
            }
            @if values.len() > 1 { (chart(&result.name, &values, &limits)) }
        }
    }
}

fn chart(name: &str, values: &[f64], limits: &[f64]) -> Markup {
    let (least, most) = range(values.iter().copied());
    let (low, high) = range(values.iter().chain(limits).copied());
    let span = if high > low { high - low } else { 1.0 };
    let y = |value: f64| format!("{:.1}", HEIGHT - 4.0 - (value - low) / span * (HEIGHT - 8.0));
    #[expect(clippy::cast_precision_loss, reason = "there are a few dozen measurements")]
    let x = |index: usize| 4.0 + index as f64 / (values.len() - 1) as f64 * (WIDTH - 8.0);
    let points: Vec<String> =
        values.iter().enumerate().map(|(index, value)| format!("{:.1},{}", x(index), y(*value))).collect();
    let of_limits = match limits {
        [] => String::new(),
        [limit] => format!(", limit {limit}"),
        limits => format!(", limits {}", limits.iter().map(f64::to_string).collect::<Vec<_>>().join(" and ")),
    };
    let measured = format!("{} measurements from {least} to {most}{of_limits}", values.len());
    html! {
        div {
            svg class="chart" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (plain(name)) ": " (measured) } {
                @for limit in limits { line class="limit" x1="0" x2=(WIDTH) y1=(y(*limit)) y2=(y(*limit)) {} }
                polyline points=(points.join(" ")) {}
            }
            // Who hears the page has heard it.
            p class="dim" aria-hidden="true" { (measured) }
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

/// The numbers that a condition compares what was measured with: 2 and 5 in `result > 2 && result < 5`. What else it compares (a length, a
/// product) has no place beside the measurements.
fn limits(condition: &str) -> Vec<f64> {
    let comparisons = condition.split("&&").flat_map(|part| part.split("||"));
    let mut limits: Vec<f64> = comparisons.filter_map(limit).collect();
    limits.sort_by(f64::total_cmp);
    limits.dedup();
    limits
}

/// The number that one comparison has: 0.05 in `result[0] < 0.05`, and in `0.05 > result[0]`.
fn limit(comparison: &str) -> Option<f64> {
    let comparison = comparison.trim_matches(['(', ')', ' ']);
    let (left, right) = comparison.split_once(['<', '>'])?;
    let (left, right) = (left.trim(), right.trim_start_matches('=').trim());
    let is_measured = |word: &str| matches!(word, "result" | "result[0]");
    let compared = if is_measured(left) {
        right
    } else if is_measured(right) {
        left
    } else {
        return None;
    };
    compared.parse().ok().filter(|limit: &f64| limit.is_finite())
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
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_the_numbers_that_what_was_measured_is_compared_with() {
        for (condition, wanted) in [
            ("result[0] < 0.05", &[0.05][..]),
            ("result >= 95", &[95.0]),
            ("0.05>=result[0]", &[0.05]),
            ("result > 2 && result < 5", &[2.0, 5.0]),
            ("(result[0] > 7.5) || (result[0] < -1)", &[-1.0, 7.5]),
            ("size(result) > 0 && result[0] < 0.05", &[0.05]),
            ("result < 5 || result < 5", &[5.0]),
        ] {
            assert_eq!(limits(condition), wanted, "{condition}");
        }
        for condition in [
            "result == 'ok'",
            "size(result) > 0",
            "result * 100.0 < 5",
            "result < 5 * 100",
            "!(result < 5)",
            "(result < 5) == false",
            "result > 1 ? true : false",
            "result < inf",
        ] {
            assert_eq!(limits(condition), [0.0; 0], "{condition}: there is no limit of what is shown");
        }
        assert_eq!((number("[0.03]"), number("12"), number("{\"a\":1}")), (Some(0.03), Some(12.0), None));
    }

    #[test]
    fn every_limit_is_drawn_where_it_is_among_the_measurements() {
        let drawn = chart("errors", &[0.0, 4.0], &[2.0, 8.0]).into_string();
        assert!(drawn.contains("aria-label=\"errors: 2 measurements from 0 to 4, limits 2 and 8\""), "{drawn}");
        for line in ["y1=\"34.0\" y2=\"34.0\"", "y1=\"4.0\" y2=\"4.0\"", "points=\"4.0,44.0 236.0,24.0\""] {
            assert!(drawn.contains(line), "{line} is missing in {drawn}");
        }
        let drawn = chart("errors", &[1.0, 1.0], &[]).into_string();
        assert!(!drawn.contains("limit"), "{drawn}");
    }

    #[test]
    fn an_analysis_says_why_it_failed_and_not_twice_how_far_it_is() {
        let of = |phase: &str, message: &str, conditions: serde_json::Value| {
            let mut metric = json!({"name": "errors", "provider": {"web": {"url": "http://127.0.0.1:1"}}});
            metric.as_object_mut().expect("an object").extend(conditions.as_object().expect("an object").clone());
            let result = json!({"name": "errors", "phase": phase, "successful": 3, "failed": 1});
            let object = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "web-1"},
                "spec": {"metrics": [metric]},
                "status": {"phase": phase, "message": message, "metricResults": [result]},
            });
            run(&serde_json::from_value(object).expect("a run")).into_string()
        };
        let good = of("Successful", "errors 2 good, 1 bad", json!({"successCondition": "result < 5"}));
        assert!(!good.contains("2 good") && good.contains("3 good, 1 bad · good if <code>result &lt; 5"), "{good}");
        let bad = of("Failed", "metric errors: 1 bad measurements", json!({"failureCondition": "result > 5"}));
        assert!(bad.contains("metric errors: 1 bad") && bad.contains("bad if <code>result &gt; 5"), "{bad}");
    }
}

//! How an analysis run goes on, whatever is measured and however often the operator dies.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{AnalysisRunSpec, AnalysisRunStatus, DryRun, Measurement, MeasurementRetention, Metric};
use greenlight_core::analysis::run::{matches, record, step};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;

fn metric(name: &str, count: i32, failures: i32, errors: i32) -> Metric {
    Metric {
        name: name.into(),
        interval: Some("5s".into()),
        count: Some(IntOrString::Int(count)),
        failure_limit: Some(IntOrString::Int(failures)),
        consecutive_error_limit: Some(IntOrString::Int(errors)),
        ..Metric::default()
    }
}

fn outcome(number: u8) -> AnalysisPhase {
    [AnalysisPhase::Successful, AnalysisPhase::Failed, AnalysisPhase::Error, AnalysisPhase::Inconclusive]
        [usize::from(number % 4)]
}

/// Runs to the end with these outcomes; `dies` says before which notes the operator dies: the measurement is not counted.
fn run(spec: &AnalysisRunSpec, outcomes: &[u8], dies: &[bool]) -> (AnalysisRunStatus, Vec<AnalysisPhase>) {
    let mut status = AnalysisRunStatus::default();
    let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let (mut outcomes, mut dies) = (outcomes.iter().cycle(), dies.iter().cycle());
    let mut counted = Vec::new();
    for _ in 0..500 {
        let next = step(spec, &status, now);
        status = next.status;
        if status.phase.is_completed() {
            break;
        }
        for position in &next.begin {
            if *dies.next().expect("a cycle") {
                continue;
            }
            let phase = outcome(*outcomes.next().expect("a cycle"));
            let measurement = Measurement { phase, finished_at: Some(now), ..Measurement::default() };
            record(spec, &mut status, *position, measurement);
            counted.push(phase);
        }
        now = next.next.unwrap_or(now).max(now) + SignedDuration::from_millis(10);
    }
    (status, counted)
}

proptest! {
    /// A run comes to an end, its counts are those of the measurements, and its outcome is what its limits say.
    #[test]
    fn a_run_ends_as_its_limits_say(
        count in 1..6i32, failures in 0..3i32, errors in 0..3i32,
        outcomes in prop::collection::vec(0..4u8, 1..12),
        dies in prop::collection::vec(prop::bool::weighted(0.2), 1..8),
    ) {
        prop_assume!(!dies.iter().all(|dies| *dies));
        let spec = AnalysisRunSpec { metrics: vec![metric("m", count, failures, errors)], ..Default::default() };
        let (status, counted) = run(&spec, &outcomes, &dies);
        let number = |phase| i64::try_from(counted.iter().filter(|counted| **counted == phase).count()).expect("few");
        let result = &status.metric_results[0];
        prop_assert_eq!(result.successful, number(AnalysisPhase::Successful));
        prop_assert_eq!(result.failed, number(AnalysisPhase::Failed));
        prop_assert_eq!(result.error, number(AnalysisPhase::Error));
        match status.phase {
            AnalysisPhase::Successful => {
                prop_assert_eq!(result.count, i64::from(count));
                prop_assert!(result.failed <= i64::from(failures));
            }
            AnalysisPhase::Failed => prop_assert_eq!(result.failed, i64::from(failures) + 1),
            AnalysisPhase::Error => prop_assert_eq!(result.consecutive_error, i64::from(errors) + 1),
            AnalysisPhase::Inconclusive => prop_assert_eq!(result.inconclusive, 1),
            other => prop_assert!(false, "it never ends: {other:?}"),
        }
        prop_assert!(result.measurements.len() <= 10);
        // What is over stays as it is.
        let later = status.completed_at.expect("over") + SignedDuration::from_hours(1);
        let again = step(&spec, &status, later);
        prop_assert_eq!(again.status, status);
        prop_assert!(again.begin.is_empty());
    }
}

#[test]
fn a_dry_run_is_only_reported() {
    let spec = AnalysisRunSpec {
        metrics: vec![metric("good", 1, 0, 0), metric("maybe-bad", 1, 0, 0)],
        dry_run: vec![DryRun { metric_name: "maybe.*".into() }],
        ..Default::default()
    };
    let (status, _) = run(&spec, &[0, 1], &[false]);
    assert_eq!(status.phase, AnalysisPhase::Successful);
    assert_eq!(status.metric_results[1].phase, AnalysisPhase::Failed);
    assert!(status.metric_results[1].dry_run);
}

/// As an argument may bring it along.
#[test]
fn a_count_of_nothing_passes_nothing_that_was_not_measured() {
    for count in [IntOrString::Int(0), IntOrString::String("0".into()), IntOrString::String("-1".into())] {
        let once = Metric { count: Some(count.clone()), interval: None, ..metric("m", 1, 0, 0) };
        let spec = AnalysisRunSpec { metrics: vec![once], ..Default::default() };
        let (status, counted) = run(&spec, &[0], &[false]);
        assert_eq!((status.phase, counted.len()), (AnalysisPhase::Successful, 1), "{count:?}");
        let (status, _) = run(&spec, &[1], &[false]);
        assert_eq!(status.phase, AnalysisPhase::Failed, "{count:?}");
    }
    // With an interval it goes on until the run ends.
    let spec = AnalysisRunSpec { metrics: vec![metric("m", 0, 0, 0)], ..Default::default() };
    let (status, counted) = run(&spec, &[0], &[false]);
    assert_eq!(status.phase, AnalysisPhase::Running);
    assert!(counted.len() > 100, "measured {} times", counted.len());
}

/// It would decide nothing any more, and nobody could make it smaller.
#[test]
fn however_many_measurements_are_to_be_kept_their_run_can_be_read() {
    let metrics = (0..50).map(|number| metric(&format!("m{number}"), 0, 0, 0)).collect();
    let rule = MeasurementRetention { metric_name: ".*".into(), limit: 1000 };
    let spec = AnalysisRunSpec { metrics, measurement_retention: vec![rule], ..Default::default() };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut status = step(&spec, &AnalysisRunStatus::default(), now).status;
    for number in 0..2_000 {
        let measurement = Measurement {
            phase: AnalysisPhase::Successful,
            message: format!("{number}{}", "x".repeat(300)),
            value: "\"".repeat(300),
            finished_at: Some(now),
            ..Measurement::default()
        };
        record(&spec, &mut status, number % 50, measurement);
    }
    let size = serde_json::to_string(&status).expect("it is JSON").len();
    assert!(size < 256 << 10, "{size} bytes");
    let last = &status.metric_results[49];
    assert_eq!(last.count, 40, "what is not kept counts all the same");
    assert!(last.measurements.last().is_some_and(|last| last.message.starts_with("1999")), "{last:?}");
}

#[test]
fn a_dot_and_a_star_in_a_rule_stand_for_any_text() {
    for (rule, name, is_meant) in [
        ("latency", "latency", true),
        ("latency", "latency-p99", false),
        (".*", "latency", true),
        (".*latency.*", "http-latency-p99", true),
        (".*latency.*p99", "http-latency-p50", false),
        ("a.*a", "a", false),
        ("a.*b.*b", "ab", false),
        ("", "latency", false),
    ] {
        assert_eq!(matches(rule, name), is_meant, "{rule:?} for {name:?}");
    }
}

#[test]
fn a_run_that_is_asked_to_stop_stops() {
    let mut spec = AnalysisRunSpec { metrics: vec![metric("m", 5, 0, 0)], ..Default::default() };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let begun = step(&spec, &AnalysisRunStatus::default(), now).status;
    spec.terminate = Some(true);
    let stopped = step(&spec, &begun, now);
    assert_eq!((stopped.status.phase, stopped.begin.len()), (AnalysisPhase::Successful, 0));
}

#[test]
fn the_first_measurement_waits_for_its_delay_and_the_next_for_the_interval() {
    let delayed = Metric { initial_delay: Some("1m".into()), ..metric("m", 2, 0, 0) };
    let spec = AnalysisRunSpec { metrics: vec![delayed], ..Default::default() };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let first = step(&spec, &AnalysisRunStatus::default(), now);
    assert_eq!((first.begin.len(), first.next), (0, Some(now + SignedDuration::from_secs(60))));
    let later = now + SignedDuration::from_secs(61);
    let mut second = step(&spec, &first.status, later);
    assert_eq!(second.begin, [0]);
    let measured = Measurement { phase: AnalysisPhase::Successful, finished_at: Some(later), ..Measurement::default() };
    record(&spec, &mut second.status, 0, measured);
    assert_eq!(step(&spec, &second.status, later).next, Some(later + SignedDuration::from_secs(5)));
}

#[test]
fn nothing_is_measured_more_often_than_once_a_second() {
    for interval in [Some("1ms"), Some("999ms"), None] {
        let hurried = Metric { interval: interval.map(str::to_owned), ..metric("m", 3, 0, 0) };
        let spec = AnalysisRunSpec { metrics: vec![hurried], ..Default::default() };
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut first = step(&spec, &AnalysisRunStatus::default(), now);
        assert_eq!(first.begin, [0]);
        let measured =
            Measurement { phase: AnalysisPhase::Successful, finished_at: Some(now), ..Measurement::default() };
        record(&spec, &mut first.status, 0, measured);
        let second = step(&spec, &first.status, now);
        let a_second_later = Some(now + SignedDuration::from_secs(1));
        assert_eq!((second.begin.len(), second.next), (0, a_second_later), "{interval:?}");
    }
}

/// As when the clock is set back, or another operator's was ahead.
#[test]
fn a_time_in_the_future_holds_up_a_measurement_for_one_interval_and_no_longer() {
    let delayed = Metric { initial_delay: Some("1m".into()), ..metric("m", 3, 0, 0) };
    let spec = AnalysisRunSpec { metrics: vec![delayed], ..Default::default() };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let soon = now + SignedDuration::from_secs(60);
    for ahead in [SignedDuration::from_secs(5), SignedDuration::from_hours(1), SignedDuration::from_hours(24 * 365)] {
        let begun = step(&spec, &AnalysisRunStatus::default(), now + ahead).status;
        let first = step(&spec, &begun, now);
        assert_eq!((first.begin.len(), first.next, first.status.started_at), (0, Some(soon), Some(now)));
        let mut second = step(&spec, &first.status, soon);
        assert_eq!(second.begin, [0]);
        let finished_at = Some(soon + ahead);
        let measured = Measurement { phase: AnalysisPhase::Successful, finished_at, ..Measurement::default() };
        record(&spec, &mut second.status, 0, measured);
        let waits = step(&spec, &second.status, soon);
        let due = soon + SignedDuration::from_secs(5);
        assert_eq!((waits.begin.len(), waits.next), (0, Some(due)));
        // Looked at in between, it does not begin to wait again.
        let meanwhile = step(&spec, &waits.status, due - SignedDuration::from_secs(1));
        assert_eq!((meanwhile.begin.len(), meanwhile.next), (0, Some(due)));
        assert_eq!(step(&spec, &meanwhile.status, due).begin, [0]);
    }
}

//! Attacks of 28 November on the gate, and on what changed that day.

mod model;

use greenlight_api::analysis::{AnalysisRun, AnalysisRunSpec};
use greenlight_api::{AnalysisPhase, BlueGreen, RolloutAnalysis};
use greenlight_core::analysis::run::step;
use greenlight_core::from_api;
use jiff::Timestamp;
use model::Model;
use model::people::{assert_serves, end_runs, manual, promoted, push_and_promote, say, serves_one};
use serde_json::json;

fn analysis() -> Option<RolloutAnalysis> {
    Some(RolloutAnalysis::default())
}

/// What is in `spec.terminate` of every run, as `from_api::run` reads it.
fn terminate(model: &mut Model, terminate: bool) {
    model.truth.runs.iter_mut().for_each(|run| run.terminating = terminate);
}

/// The run as the API server has it: stopped before anything was measured, and then said to be not stopped. With the built-in `edit` one may
/// write both.
#[test]
fn a_run_that_was_stopped_and_is_said_to_go_on_has_measured_nothing() {
    let spec = json!({"metrics": [{"name": "smoke", "provider": {"web": {"url": "http://smoke.example/"}}}]});
    let spec: AnalysisRunSpec = serde_json::from_value(spec).expect("a spec");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let stopped = AnalysisRunSpec { terminate: Some(true), ..spec.clone() };
    let mut status = step(&stopped, &Default::default(), now).status;
    status.spec_digest = from_api::spec_digest(&spec);
    let mut object = AnalysisRun::new("web-1-0-pre", AnalysisRunSpec { terminate: Some(false), ..spec });
    object.status = Some(status);
    let run = from_api::run(&object).expect("it decides something");
    assert!(run.phase != AnalysisPhase::Successful || run.terminating, "it passes for good: {run:?}");
}

#[test]
fn who_stops_an_analysis_and_takes_that_back_does_not_promote() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: analysis(), ..BlueGreen::default() });
    model.push(2);
    model.work();
    terminate(&mut model, true);
    end_runs(&mut model, "-pre", AnalysisPhase::Running);
    model.work();
    assert_serves(&model, 1);
    terminate(&mut model, false);
    model.work();
    assert_eq!(model.serving(), Some(model.hash(1)), "nothing was measured, nobody promoted: {}", say(&model));
}

/// Design: "a change of scale alone applies at once to the new one where no preview count holds it".
#[test]
fn a_change_of_scale_alone_reaches_a_candidate_inside_its_delay() {
    let mut model = promoted(manual(), &[2]);
    model.scale(6);
    model.work();
    push_and_promote(&mut model, 3);
    model.pass(5);
    model.work();
    model.push(2);
    model.work();
    model.scale(1);
    for _ in 0..5 {
        model.work();
    }
    assert_serves(&model, 3);
    assert_eq!((model.rs(3).replicas, model.rs(2).replicas), (1, 1), "{}", say(&model));
}

#[test]
fn a_candidate_inside_its_delay_is_not_scaled_by_hand() {
    let mut model = promoted(manual(), &[2]);
    model.pass(5);
    model.work();
    model.push(1);
    model.work();
    let one = model.hash(1);
    model.edit(&one, |rs| rs.replicas = 50);
    for _ in 0..5 {
        model.work();
    }
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

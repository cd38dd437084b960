//! Attacks of 28 November on the gate, and on what changed that day.

mod model;

use greenlight_api::analysis::{AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement};
use greenlight_api::{AnalysisPhase, BlueGreen, RolloutAnalysis};
use greenlight_core::analysis::run::{record, step};
use greenlight_core::from_api;
use greenlight_core::hash::replica_set_name;
use greenlight_core::world::{Run, Template};
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

/// The run as the API server has it: stopped before anything was measured, and then said to be not stopped. With the built-in
/// `edit` one may write both.
#[test]
fn a_run_that_was_stopped_and_is_said_to_go_on_has_measured_nothing() {
    let spec = json!({"metrics": [{"name": "smoke", "provider": {"web": {"url": "http://smoke.example/"}}}]});
    let spec: AnalysisRunSpec = serde_json::from_value(spec).expect("a spec");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let stopped = AnalysisRunSpec { terminate: Some(true), ..spec.clone() };
    let marked = AnalysisRunStatus { spec_digest: from_api::spec_digest(&spec), ..AnalysisRunStatus::default() };
    let status = step(&stopped, &marked, now).status;
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

/// A rollout of this name was deleted, and somebody who may edit runs took the owner of one away, so that it stays. Its name is that of the run that the
/// second revision of the next rollout is to have, in its first attempt or in the next, and it was good.
#[test]
fn a_run_that_an_earlier_rollout_of_this_name_had_is_no_analysis_of_a_new_revision() {
    for phase in [AnalysisPhase::Successful, AnalysisPhase::Running] {
        counts_for_nothing(phase);
    }
}

fn counts_for_nothing(phase: AnalysisPhase) {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: analysis(), ..BlueGreen::default() });
    let hash = Template::from(&model::template(2)).digest.hash("web", 0);
    let created = Some(model.now);
    model.truth.runs = (0..2)
        .map(|attempt| Run {
            name: format!("{}-2-{attempt}-pre", replica_set_name("web", &hash)),
            phase,
            created,
            ..Run::default()
        })
        .collect();
    model.pass(60);
    model.push(2);
    model.work();
    assert_eq!(model.hash(2), hash, "the name is the one that it would have");
    assert_serves(&model, 1);
    assert_eq!(model.truth.runs.len(), 3, "one of its own: {:?}", model.truth.runs);
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 2);
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

/// A run of this spec, with what the controller published of it: the mark that the operator gave it, and what came of it since.
fn published(spec: AnalysisRunSpec, mark: &AnalysisRunSpec, status: AnalysisRunStatus) -> AnalysisRun {
    let mut object = AnalysisRun::new("web-1-0-pre", spec);
    object.status = Some(AnalysisRunStatus { spec_digest: from_api::spec_digest(mark), ..status });
    object
}

fn smoke() -> AnalysisRunSpec {
    let provider = json!({"web": {"url": "http://smoke.example/"}});
    let metric = json!({"name": "smoke", "count": 3, "successCondition": "result == 'good'", "provider": provider});
    serde_json::from_value(json!({ "metrics": [metric] })).expect("a spec")
}

/// The controller steps whatever spec the run has at that moment (`controllers/analysis/mod.rs`, `reconcile`, asks for no digest); the
/// digest is compared only when the outcome is read. So an edit that is taken back leaves its outcome behind.
#[test]
fn a_run_that_was_edited_measured_and_edited_back_is_no_gate_passed() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let honest = smoke();
    let edited = AnalysisRunSpec { metrics: Vec::new(), ..honest.clone() };
    let marked = AnalysisRunStatus { spec_digest: from_api::spec_digest(&honest), ..AnalysisRunStatus::default() };
    let meanwhile = step(&edited, &marked, now).status;
    assert!(
        from_api::run(&published(edited, &honest, meanwhile.clone())).is_none(),
        "while it is edited it decides nothing"
    );
    let run = from_api::run(&published(honest.clone(), &honest, meanwhile)).map(|run| run.phase);
    assert_ne!(run, Some(AnalysisPhase::Successful), "nothing of what was asked for was measured");
}

/// The same under way: a metric of the same name whose condition is always true, and then the one that was asked for.
#[test]
fn a_measurement_by_another_condition_does_not_count_for_the_one_that_was_asked_for() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let honest = smoke();
    let mut edited = honest.clone();
    edited.metrics[0].success_condition = Some("true".into());
    edited.metrics[0].count = Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(1));
    let marked = AnalysisRunStatus { spec_digest: from_api::spec_digest(&honest), ..AnalysisRunStatus::default() };
    let mut status = step(&honest, &marked, now).status;
    let good = Measurement {
        phase: AnalysisPhase::Successful,
        started_at: Some(now),
        finished_at: Some(now),
        ..Measurement::default()
    };
    record(&edited, &mut status, 0, good);
    let status = step(&edited, &status, now).status;
    let run = from_api::run(&published(honest.clone(), &honest, status)).map(|run| run.phase);
    assert_ne!(run, Some(AnalysisPhase::Successful), "the condition that was asked for was never evaluated");
}

/// A person promoted revision 1 again; for minutes the EndpointSlices lag, so that it is not proven. What served last
/// before 3 is 1, and not 2.
#[test]
fn undo_goes_to_what_served_last_where_its_return_was_not_proven_yet() {
    let mut model = promoted(manual(), &[2]);
    model.push(1);
    model.work();
    let one = model.hash(1);
    model.request(greenlight_api::Verb::Promote, &one, "ann", None);
    model.operate(None);
    assert_eq!(model.serving(), Some(one.clone()));
    model.push(3);
    for _ in 0..5 {
        model.operate(None);
        model.run_all_pods();
        model.pass(60);
    }
    let three = model.hash(3);
    model.request(greenlight_api::Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert_eq!(model.serving(), Some(three), "{}", say(&model));
    model.work();
    model::people::undo(&mut model);
    let answer = model.status().observed_request.clone();
    assert_eq!(model.serving(), Some(one), "{answer:?}");
}

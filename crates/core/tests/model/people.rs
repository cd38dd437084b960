//! How most stories begin, and how they end: releases by a person, and what is to be true of a revision then.

use greenlight_api::{AnalysisPhase, BlueGreen, Verb};
use greenlight_core::world::Template;

use super::Model;

/// A person has to promote, and old revisions stay up for an hour.
pub fn manual() -> BlueGreen {
    BlueGreen { auto_promotion_enabled: Some(false), scale_down_delay_seconds: Some(3600), ..BlueGreen::default() }
}

/// Revision 1 serves.
pub fn serves_one(blue_green: BlueGreen) -> Model {
    let mut model = Model::new(blue_green);
    model.work();
    assert_serves(&model, 1);
    model
}

/// Each of these templates was pushed and promoted by a person.
pub fn promoted(blue_green: BlueGreen, templates: &[u8]) -> Model {
    let mut model = serves_one(blue_green);
    for number in templates {
        push_and_promote(&mut model, *number);
    }
    model
}

/// A template is pushed, and promoted by a person.
pub fn push_and_promote(model: &mut Model, number: u8) {
    model.push(number);
    model.work();
    let hash = model.hash(number);
    model.request(Verb::Promote, &hash, "ann", None);
    model.work();
    assert_serves(model, number);
}

/// Production overlaps: the second revision was promoted, and both serve. Returns the hashes of the two.
pub fn both_serve(overlapping: BlueGreen) -> (Model, [String; 2]) {
    let mut model = serves_one(overlapping);
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping());
    (model, [one, two])
}

/// A person undoes what serves.
pub fn undo(model: &mut Model) {
    let serving = model.serving().expect("something serves");
    model.request(Verb::Rollback, &serving, "ann", None);
    model.work();
}

/// Every active Service leads to the revision of this template, and its pods are available.
#[track_caller]
pub fn assert_serves(model: &Model, number: u8) {
    let hash = model.hash(number);
    let services: Vec<_> = model.truth.active_services().map(|service| service.hash()).collect();
    assert!(
        services.iter().all(|selected| *selected == Some(&hash)),
        "not {number}: {services:?} {:?}",
        model.status()
    );
    let rs = model.rs(number);
    assert!(rs.is_available(rs.replicas), "{rs:?}");
}

/// Whether the record has a rejection of this template.
#[track_caller]
pub fn assert_rejected(model: &Model, number: u8, rejected: bool) {
    let digest = Template::from(&super::template(number)).digest.to_string();
    let decisions = model.status().decisions.as_ref().expect("a record");
    let found = decisions.revisions.iter().any(|known| known.digest == digest && known.rejection.is_some());
    assert_eq!(found, rejected, "{decisions:?}");
}

/// The runs whose names end like this end, as this; there are some.
pub fn end_runs(model: &mut Model, suffix: &str, phase: AnalysisPhase) {
    let runs: Vec<usize> =
        (0..model.truth.runs.len()).filter(|at| model.truth.runs[*at].name.ends_with(suffix)).collect();
    assert!(!runs.is_empty(), "{:?}", model.truth.runs);
    runs.into_iter().for_each(|run| model.end_run(run, phase));
}

/// What the status says, for a failed assertion.
pub fn say(model: &Model) -> String {
    let status = model.status();
    format!("{:?} {} | {:?}", status.phase, status.message, status.observed_request)
}

/// The operator works for a while; pods stay as they are.
pub fn operate_for(model: &mut Model, seconds: usize) {
    for _ in 0..seconds {
        assert!(model.operate(None), "it never rests");
        model.catch_up();
        model.pass(1);
    }
    assert!(model.operate(None), "it never rests");
}

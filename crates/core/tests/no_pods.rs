//! What has no pods measures nothing and shows nothing, and is told whatever else there is to tell; and who accepts a measurement that says
//! nothing: the findings of an attack on the core.

mod model;

use greenlight_api::{AnalysisPhase, BlueGreen, Phase, RolloutAnalysis, Verb, names};
use model::people::{assert_serves, end_runs, manual, operate_for, promoted, push_and_promote, say, serves_one};
use model::{Event, Kind, Model};

#[track_caller]
fn assert_says(model: &Model, words: &[&str]) {
    assert!(words.iter().all(|words| model.status().message.contains(words)), "{}", say(model));
}

#[test]
fn a_stall_does_not_hide_that_what_waits_was_aborted() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    model.have_service("preview", false);
    let two = model.hash(2);
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert_says(&model, &["Service preview does not exist", "revision 2 (web:v2) was rejected by ann (aborted); "]);
    assert_eq!(model.status().message.matches("was rejected").count(), 1, "{}", say(&model));
}

#[test]
fn a_stall_does_not_hide_that_production_is_on_its_way_back() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    model.have_service("active", false);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    model.work();
    assert_says(&model, &["Service active does not exist", "was rejected by ann (rolled back); revision 1 ("]);
    model.have_service("active", true);
    model.work();
    assert_serves(&model, 1);
}

fn analysed_after() -> BlueGreen {
    BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() }
}

#[test]
fn a_stall_does_not_hide_that_production_is_down() {
    let mut model = serves_one(manual());
    model.have_service("preview", false);
    let one = model.hash(1);
    model.run_pods(&one, 0);
    operate_for(&mut model, 10);
    assert_says(&model, &["production has 0 of 2 pods available", "Service preview does not exist"]);
}

#[test]
fn a_rejection_with_nothing_to_go_back_to_does_not_hide_that_production_is_down() {
    let mut model = promoted(manual(), &[2]);
    let (one, two) = (model.hash(1), model.hash(2));
    model.run_pods(&one, 0);
    model.request(Verb::Rollback, &two, "ann", None);
    operate_for(&mut model, 5);
    model.delete_replica_set(&one);
    operate_for(&mut model, 5);
    model.run_pods(&two, 0);
    operate_for(&mut model, 10);
    assert_says(&model, &["production has 0 of 2 pods available", "nothing is known to go back to"]);
}

#[test]
fn a_stall_does_not_hide_that_the_candidate_missed_its_deadline() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.progress_deadline_seconds = Some(60));
    model.push(2);
    operate_for(&mut model, 1);
    let two = model.hash(2);
    model.run_pods(&two, 0);
    model.have_service("preview", false);
    operate_for(&mut model, 100);
    assert_says(&model, &["Service preview does not exist", "0 of 2 pods of revision 2", "no progress for 60 s"]);
}

#[test]
fn a_stall_does_not_hide_the_person_who_is_asked_after_the_promotion() {
    let mut model = serves_one(analysed_after());
    push_and_promote(&mut model, 2);
    end_runs(&mut model, "-post", AnalysisPhase::Inconclusive);
    operate_for(&mut model, 5);
    model.have_service("preview", false);
    operate_for(&mut model, 5);
    assert_says(&model, &["Service preview does not exist", "Promote it to keep it, or undo"]);
}

#[test]
fn what_waits_or_was_aborted_does_not_hide_the_person_who_is_asked_after_the_promotion() {
    let mut model = being_analysed();
    end_runs(&mut model, "-post", AnalysisPhase::Inconclusive);
    operate_for(&mut model, 5);
    model.push(3);
    model.work();
    assert_says(&model, &["waits for promotion", "revision 2", "Promote it to keep it, or undo"]);
    let three = model.hash(3);
    model.request(Verb::Abort, &three, "ann", None);
    model.work();
    assert_says(&model, &["was rejected by ann", "Promote it to keep it, or undo"]);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(!model.status().message.contains("Promote it to keep it"), "{}", say(&model));
}

#[test]
fn what_waits_does_not_hide_that_production_has_come_back_from_what_was_rejected() {
    let mut model = being_analysed();
    model.push(3);
    model.work();
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert_serves(&model, 1);
    assert_says(
        &model,
        &["waits for promotion", "revision 2", "was rejected by greenlight (post-promotion analysis failed"],
    );
    // Nor does what was aborted.
    let three = model.hash(3);
    model.request(Verb::Abort, &three, "ann", None);
    model.work();
    assert_says(&model, &["revision 3 (web:v3) was rejected by ann", "was rejected by greenlight"]);
    model.request(Verb::Retry, &three, "ann", None);
    model.work();
    // Until something else is promoted.
    model.request(Verb::Promote, &three, "ann", None);
    model.work();
    assert!(!model.status().message.contains("rejected"), "{}", say(&model));
}

#[test]
fn after_a_lost_status_what_is_gone_is_called_by_its_hash_and_not_said_to_be_down() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let one = model.hash(1);
    model.wipe_status();
    model.delete_replica_set(&one);
    operate_for(&mut model, 5);
    // Its pods may be there: so it is where an earlier rollout of this name left them behind.
    assert_says(&model, &[&format!("Service active leads to revision {one}, of which this rollout has no ReplicaSet")]);
    assert!(!model.status().message.contains("down"), "{}", say(&model));
}

#[test]
fn what_an_earlier_rollout_left_behind_is_not_said_to_be_down() {
    let mut model = Model::new(manual());
    model.edit_service("active", |service| {
        service.managed_by = Some("web".into());
        service.production = Some("b2c4d6f8g2".into());
        service.selector.insert(names::HASH_LABEL.into(), "b2c4d6f8g2".into());
    });
    model.work();
    assert_says(&model, &["Service active leads to revision b2c4d6f8g2, of which this", "waits for promotion"]);
    assert!(!model.status().message.contains("down"), "{}", say(&model));
    let one = model.hash(1);
    model.request(Verb::Restart, &one, "ann", None);
    model.work();
    assert!(say(&model).contains("has no ReplicaSet, so there is nothing to restart"), "{}", say(&model));
}

#[test]
fn an_analysis_of_what_serves_without_a_conclusion_is_not_told_as_a_preview() {
    let mut model = promoted(analysed_after(), &[2]);
    end_runs(&mut model, "-post", AnalysisPhase::Inconclusive);
    model.work();
    let told = |reason: &str| model.ledger.events.iter().filter(|event| event.reason == reason).count();
    assert_eq!((told("PreviewReady"), told("AnalysisInconclusive")), (1, 1), "{:?}", model.ledger.events);
}

/// The last event that tells of a move of production.
fn last_move(model: &Model) -> &greenlight_core::events::Event {
    let moves = |reason: &&str| ["Promoted", "RolledBack"].contains(reason);
    model.ledger.events.iter().rfind(|event| moves(&event.reason)).expect("it is told")
}

#[test]
fn going_back_since_a_replica_set_was_deleted_is_not_told_as_a_promotion() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let two = model.hash(2);
    model.delete_replica_set(&two);
    model.work();
    assert_serves(&model, 1);
    let last = last_move(&model);
    assert_eq!(last.reason, "RolledBack", "{last:?}");
    assert!(last.note.contains(&two) && last.note.contains("is gone; revision 1"), "{last:?}");
}

/// In the foreground a ReplicaSet is there until the last of its pods is gone.
#[test]
fn nor_is_it_while_the_replica_set_is_still_being_deleted() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let two = model.hash(2);
    model.edit(&two, |rs| {
        rs.finalizers.push("foregroundDeletion".into());
        rs.deleting = true;
    });
    model.truth.pods.insert(two.clone(), Vec::new());
    model.work();
    assert_serves(&model, 1);
    let last = last_move(&model);
    assert_eq!(last.reason, "RolledBack", "{last:?}");
    assert!(last.note.contains(&two) && last.note.contains("is gone; revision 1"), "{last:?}");
}

/// Nobody went back: what was promoted is what the spec asks for.
#[test]
fn a_promotion_stays_one_if_the_replica_set_that_it_leaves_is_deleted_before_it_is_proven() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let (two, three) = (model.hash(2), model.hash(3));
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert_eq!(model.truth.services["active"].hash(), Some(three.as_str()), "it has moved");
    assert!(model.status().switch.as_ref().is_none_or(|switch| switch.to != three || switch.proven_at.is_none()));
    model.delete_replica_set(&two);
    model.work();
    assert_serves(&model, 3);
    let last = last_move(&model);
    assert_eq!(last.reason, "Promoted", "{last:?}");
}

#[test]
fn what_waits_does_not_hide_a_switch_that_is_not_proven() {
    let mut model = serves_one(manual());
    model.happen(&Event::Behind(Kind::Endpoints, true));
    push_and_promote(&mut model, 2);
    model.push(3);
    model.work();
    assert_says(&model, &["waits for promotion", "moved to revision 2"]);
    model.happen(&Event::Behind(Kind::Endpoints, false));
    model.work();
    assert!(!model.status().message.contains("moved to"), "{}", say(&model));
}

#[test]
fn production_is_not_said_to_come_back_from_what_was_aborted() {
    let mut model = serves_one(manual());
    model.happen(&Event::Behind(Kind::Endpoints, true));
    push_and_promote(&mut model, 2);
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Abort, &three, "ann", None);
    model.work();
    assert_says(&model, &["was rejected by ann (aborted); moved to revision 2", "or retry"]);
    assert!(!model.status().message.contains("way back"), "{}", say(&model));
}

#[test]
fn nobody_is_told_to_retry_what_production_is_still_leaving() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    assert_says(&model, &["on the way back to revision 1", "change an annotation of it in the spec"]);
    assert!(!model.status().message.contains("retry"), "{}", say(&model));
    model.work();
    assert_says(&model, &["revision 1", "serves. Change spec.template, or retry"]);
}

/// Revision 2 was promoted, and is being analysed.
fn being_analysed() -> Model {
    let mut model = serves_one(analysed_after());
    push_and_promote(&mut model, 2);
    assert_eq!(under_way(&model), 1, "{}", say(&model));
    model
}

/// So many runs are under way, and are to go on.
fn under_way(model: &Model) -> usize {
    model.truth.runs.iter().filter(|run| !run.phase.is_completed() && !run.terminating).count()
}

#[test]
fn what_waits_does_not_hide_that_what_serves_is_being_analysed() {
    let mut model = being_analysed();
    model.push(3);
    model.work();
    assert_says(&model, &["waits for promotion; revision 2 (", "serves and is being analysed"]);
    end_runs(&mut model, "-post", AnalysisPhase::Successful);
    model.work();
    assert!(!model.status().message.contains("analysed"), "{}", say(&model));
}

#[test]
fn whoever_promotes_what_serves_in_full_keeps_it_without_its_analysis() {
    let mut model = being_analysed();
    let two = model.hash(2);
    model.request(Verb::PromoteFull, &two, "bob", None);
    model.work();
    assert!(say(&model).contains("without its analysis"), "{}", say(&model));
    assert_eq!((model.status().phase, under_way(&model)), (Phase::Healthy, 0), "{}", say(&model));
    assert!(model.rs(1).is_retired(), "{}", say(&model));
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn one_of_two_people_does_not_keep_what_serves_without_its_analysis() {
    let mut model = serves_one(BlueGreen { required_approvals: Some(2), ..analysed_after() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    for by in ["ann", "bob"] {
        model.request(Verb::Promote, &two, by, None);
        model.work();
    }
    model.request(Verb::PromoteFull, &two, "ann", None);
    model.work();
    assert!(say(&model).contains("without its analysis, 1 of 2"), "{}", say(&model));
    assert_eq!(under_way(&model), 1, "{}", say(&model));
    model.request(Verb::PromoteFull, &two, "bob", None);
    model.work();
    assert_eq!((model.status().phase, under_way(&model)), (Phase::Healthy, 0), "{}", say(&model));
}

#[test]
fn what_has_no_pods_is_not_measured_until_it_has_some() {
    let mut model = serves_one(analysed_after());
    model.scale(0);
    model.work();
    push_and_promote(&mut model, 2);
    assert_eq!(model.truth.runs.len(), 0, "{}", say(&model));
    assert_eq!(model.status().phase, Phase::Healthy, "{}", say(&model));
    assert_says(&model, &["is to be analysed when spec.replicas is more than 0"]);
    model.scale(2);
    // No pod is there yet.
    operate_for(&mut model, 5);
    assert_eq!(model.truth.runs.len(), 0, "{}", say(&model));
    model.work();
    assert_eq!(under_way(&model), 1, "{}", say(&model));
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn production_that_loses_its_pods_before_its_analysis_begins_is_measured_all_the_same() {
    let mut model = serves_one(analysed_after());
    model.refuses_analyses = true;
    push_and_promote(&mut model, 2);
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 5);
    model.refuses_analyses = false;
    operate_for(&mut model, 60);
    assert_eq!(under_way(&model), 1, "{}", say(&model));
}

#[test]
fn an_analysis_under_way_of_what_is_scaled_to_nothing_decides_nothing() {
    for phase in [AnalysisPhase::Successful, AnalysisPhase::Failed] {
        let mut model = being_analysed();
        model.scale(0);
        model.work();
        assert_eq!(under_way(&model), 0, "{}", say(&model));
        end_runs(&mut model, "-post", phase);
        model.work();
        assert_serves(&model, 2);
        model.scale(2);
        model.work();
        assert_serves(&model, 2);
        assert_eq!(under_way(&model), 1, "{phase:?}: {}", say(&model));
    }
}

#[test]
fn an_analysis_under_way_of_a_preview_that_is_scaled_to_nothing_promotes_nothing() {
    let analysed = BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..BlueGreen::default() };
    let mut model = serves_one(analysed);
    model.push(2);
    model.work();
    assert_eq!(under_way(&model), 1, "{}", say(&model));
    model.scale(0);
    model.work();
    assert_eq!(under_way(&model), 0, "{}", say(&model));
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 1);
    model.scale(2);
    model.work();
    assert_eq!(under_way(&model), 1, "{}", say(&model));
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_timer_does_not_count_while_no_pod_of_the_preview_is_ready() {
    let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(60), ..BlueGreen::default() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 60);
    model.run_pods(&two, usize::MAX);
    operate_for(&mut model, 30);
    assert_serves(&model, 1);
    // One pod is enough for it to go on.
    model.run_pods(&two, 1);
    operate_for(&mut model, 10);
    model.run_pods(&two, usize::MAX);
    operate_for(&mut model, 25);
    assert_serves(&model, 2);
}

#[test]
fn an_analysis_without_a_conclusion_is_accepted_by_as_many_people_as_a_promotion_takes() {
    let mut model = serves_one(BlueGreen { required_approvals: Some(2), ..analysed_after() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    let promote = |model: &mut Model, by: &str| {
        model.request(Verb::Promote, &two, by, None);
        model.work();
        model.status().observed_request.as_ref().is_some_and(|answer| answer.accepted)
    };
    assert!(promote(&mut model, "ann") && promote(&mut model, "bob"));
    assert_serves(&model, 2);
    end_runs(&mut model, "-post", AnalysisPhase::Inconclusive);
    operate_for(&mut model, 5);
    assert_says(&model, &["It takes 2 promotions from now on (0 given)"]);
    assert!(promote(&mut model, "ann"), "{}", say(&model));
    assert!(promote(&mut model, "ann"), "{}", say(&model));
    assert!(!promote(&mut model, ""), "somebody without a name: {}", say(&model));
    assert_says(&model, &["It takes 2 promotions from now on (1 given)"]);
    assert!(promote(&mut model, "bob"), "{}", say(&model));
    assert_eq!(model.status().phase, Phase::Healthy, "{}", say(&model));
}

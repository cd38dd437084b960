//! Bad days of another kind than going back: two operators, lost answers, a status from a backup, policies that refuse, texts without
//! end, forged marks, and a spec that is edited at any moment. Each story is named for what it promises.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{
    AnalysisPhase, Approval, AutoRollback, BlueGreen, BlueGreenRolloutStatus, Phase, PodMetadata, PreviewServiceIdle,
    Rejection, RollbackWindow, RolloutAnalysis, SwitchMode, Verb, Verdict, WorkloadRef, WorkloadScaleDown, conditions,
    names,
};
use greenlight_core::actions::Doubt;
use greenlight_core::decisions;
use greenlight_core::metadata;
use greenlight_core::overlap;
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::situation::Situation;
use greenlight_core::world::{Endpoint, Pod, RefusedWrite, ReplicaSet, Run, Template, Workload};
use greenlight_core::{Action, Change, World, plan, status as reported};
use jiff::{SignedDuration, Timestamp};
use model::people::{
    assert_rejected, assert_serves, both_serve, end_runs, manual, operate_for, promoted, push_and_promote, say,
    serves_one, undo,
};
use model::{Event, Kind, Model, Second};

fn automatic() -> BlueGreen {
    BlueGreen { scale_down_delay_seconds: Some(3600), ..BlueGreen::default() }
}

fn overlapping() -> BlueGreen {
    BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(60), ..manual() }
}

fn with_extra(blue_green: BlueGreen) -> BlueGreen {
    BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..blue_green }
}

fn status(model: &Model) -> BlueGreenRolloutStatus {
    model.status().clone()
}

fn answer(model: &Model) -> (bool, String) {
    let answer = model.status().observed_request.clone().expect("an answer");
    (answer.accepted, answer.answer)
}

#[track_caller]
fn assert_active(model: &Model, number: u8) {
    let hash = model.hash(number);
    assert_eq!(model.serving().as_deref(), Some(hash.as_str()), "not {number}: {:#?}", model.status());
}

fn is_true(model: &Model, condition: &str) -> bool {
    model.status().conditions.iter().any(|known| known.type_ == condition && known.status == "True")
}

fn labels(of: &[(&str, &str)]) -> Option<PodMetadata> {
    let labels = of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Some(PodMetadata { labels, annotations: BTreeMap::new() })
}

fn size_of_status(model: &Model) -> usize {
    serde_json::to_string(model.status()).expect("it is JSON").len()
}

// Two operators, one of which has not heard.

#[test]
fn an_old_picture_does_not_move_to_what_the_spec_asks_for_no_more() {
    for writes in 0..8 {
        let mut model = promoted(automatic(), &[]);
        model.push(2);
        model.work();
        assert_active(&model, 2);
        // Revision 1 is up inside its delay. Git goes back to it, and an operator begins to follow.
        model.push(1);
        model.operate(Some(writes));
        let mut old = model.second();
        if model.serving() == Some(model.hash(1)) {
            continue;
        }
        model.push(2);
        model.operate(None);
        let before = status(&model);
        if before.observed_generation < model.truth.rollout.generation {
            continue;
        }
        assert_active(&model, 2);
        model.as_second(&mut old, &Kind::ALL, |model| {
            for _ in 0..4 {
                model.operate(None);
            }
        });
        assert_active(&model, 2);
    }
}

#[test]
fn who_does_not_know_what_production_was_moved_to_does_not_move_it_back() {
    let mut moved = 0;
    for writes in 0..8 {
        let mut model = promoted(automatic(), &[]);
        let mut other = model.second();
        model.push(2);
        model.operate(None);
        let two = model.hash(2);
        model.run_pods(&two, usize::MAX);
        // It has moved the Service, and dies before that is on record.
        model.operate(Some(writes));
        let record = status(&model).decisions.expect("a record");
        if model.serving() != Some(two.clone()) || record.serving == two {
            continue;
        }
        moved += 1;
        operate_unaware(&mut model, &mut other);
        assert_active(&model, 2);
    }
    assert!(moved > 0, "none died in between");
}

#[test]
fn an_old_picture_does_not_promote_what_was_superseded() {
    for writes in 0..8 {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.request(Verb::Promote, &two, "ann", None);
        model.operate(Some(writes));
        if model.serving() == Some(two.clone()) {
            continue;
        }
        let mut old = model.second();
        model.push(3);
        model.operate(None);
        model.as_second(&mut old, &Kind::ALL, |model| {
            for _ in 0..4 {
                model.operate(None);
            }
        });
        assert_ne!(model.serving(), Some(two), "{writes}");
    }
}

#[test]
fn a_forged_planned_from_does_not_switch_the_fence_off() {
    for writes in 0..8 {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.edit(&two, |rs| drop(rs.annotations.insert(names::PLANNED_FROM.into(), "99999999".into())));
        model.request(Verb::Promote, &two, "ann", None);
        model.operate(Some(writes));
        if model.serving() == Some(two.clone()) {
            continue;
        }
        let mut old = model.second();
        model.change_spec(|spec| spec.paused = Some(true));
        model.operate(None);
        if model.status().phase != Phase::Paused {
            continue;
        }
        model.as_second(&mut old, &Kind::ALL, |model| {
            model.go_on();
        });
        assert_ne!(model.serving(), Some(two), "{writes}: it is paused");
    }
}

#[test]
fn a_forged_planned_from_is_put_right() {
    let mut model = promoted(manual(), &[2]);
    for number in [1, 2] {
        let hash = model.hash(number);
        model.edit(&hash, |rs| drop(rs.annotations.insert(names::PLANNED_FROM.into(), "99999999".into())));
    }
    model.work();
    let world = World { live: false, ..model.seen() };
    assert_eq!(plan(&world, model.now).doubt, None, "everything is read live in each reconcile for ever");
}

/// Revision 1 is promoted once more, and production has moved. With it a second operator, which has seen everything up to the request.
fn promoted_once_more() -> (Model, Second) {
    let mut model = promoted(manual(), &[2]);
    model.push(1);
    model.work();
    let one = model.hash(1);
    model.request(Verb::Promote, &one, "ann", None);
    let other = model.second();
    // The claim, and the move.
    model.operate(Some(2));
    assert_active(&model, 1);
    (model, other)
}

/// The second operator works, and has heard nothing of ReplicaSets.
fn operate_unaware(model: &mut Model, other: &mut Second) {
    model.as_second(other, &[Kind::ReplicaSets], |model| {
        model.operate(None);
    });
}

/// What is promoted once more has a claim of before: who hears nothing of ReplicaSets takes that for the last one.
#[test]
fn who_has_not_seen_the_claim_of_a_promotion_does_not_take_it_back() {
    let (mut model, mut other) = promoted_once_more();
    operate_unaware(&mut model, &mut other);
    assert_active(&model, 1);
}

/// What the Service selects tells nothing of the move then; its mark does.
#[test]
fn a_promotion_whose_claim_was_not_seen_is_not_taken_back_where_the_service_lost_its_hash_since() {
    let (mut model, mut other) = promoted_once_more();
    model.lose_hash("active");
    operate_unaware(&mut model, &mut other);
    assert_active(&model, 1);
}

#[test]
fn a_promotion_whose_claim_was_not_seen_is_not_taken_back_where_the_spec_names_no_service_since() {
    let (mut model, mut other) = promoted_once_more();
    model.change_spec(|spec| spec.strategy.blue_green.active_service = None);
    operate_unaware(&mut model, &mut other);
    let decisions = model.status().decisions.as_ref().expect("a record");
    assert_eq!(decisions.serving, model.hash(1), "{}", say(&model));
}

#[test]
fn a_move_by_hand_back_from_a_promotion_whose_claim_was_not_seen_is_a_decision() {
    let (mut model, mut other) = promoted_once_more();
    let two = model.hash(2);
    model.point_by_hand("active", &two);
    operate_unaware(&mut model, &mut other);
    model.work();
    assert_serves(&model, 2);
    assert_rejected(&model, 1, true);
}

#[test]
fn a_move_by_hand_to_pods_that_were_not_seen_yet_is_not_taken_back() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    let one = model.hash(1);
    assert_eq!(model.rs(1).replicas, 0);
    model.happen(&Event::Behind(Kind::ReplicaSets, true));
    model.edit(&one, |rs| rs.replicas = 2);
    model.run_pods(&one, usize::MAX);
    model.point_by_hand("active", &one);
    model.operate(None);
    model.happen(&Event::Behind(Kind::ReplicaSets, false));
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn what_is_retried_while_its_undo_was_not_seen_yet_does_not_serve_again() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    // The mirror, and the record.
    model.operate(Some(2));
    let mut other = model.second();
    // The claim, and the move.
    model.operate(Some(2));
    assert_active(&model, 1);
    model.request(Verb::Retry, &two, "ann", None);
    operate_unaware(&mut model, &mut other);
    assert_active(&model, 1);
    assert_rejected(&model, 2, false);
}

#[test]
fn two_operators_with_the_same_picture_promote_once() {
    for writes in 0..10 {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.request(Verb::Promote, &two, "ann", None);
        let mut other = model.second();
        model.operate(Some(writes));
        model.as_second(&mut other, &[Kind::ReplicaSets, Kind::Services], |model| {
            model.operate(None);
        });
        model.work();
        assert_serves(&model, 2);
        assert!(answer(&model).0);
    }
}

#[test]
fn an_old_scale_down_takes_no_pods_from_what_comes_back() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(10), ..manual() }, &[2]);
    let (one, two) = (model.rs(1).clone(), model.hash(2));
    model.pass(60);
    // It looks, finds that no Service selects it, and falls asleep.
    let decided = scale_down(&one, Owner::Exists(&model.truth.rollout), &Selected::No, model.now);
    let ScaleDown::Finish(change) = decided else { panic!("{decided:?}") };
    model.request(Verb::Rollback, &two, "ann", None);
    model.work();
    assert_active(&model, 1);
    let action = Action::ChangeReplicaSet { name: one.name, resource_version: one.resource_version, change };
    let written = greenlight_core::simulate::apply(&mut model.truth, &action, "999999", model.now);
    assert_eq!(written, greenlight_core::simulate::Written::Conflict);
    assert_eq!(model.rs(1).replicas, 2);
}

#[test]
fn what_comes_back_without_a_service_carries_no_mark_when_it_serves() {
    let mut model = Model::new(manual());
    model.change_spec(|spec| {
        spec.strategy.blue_green.active_service = None;
        spec.strategy.blue_green.preview_service = None;
    });
    model.work();
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(model.rs(1).is_retired());
    model.request(Verb::Rollback, &two, "ann", None);
    for writes in 0..12 {
        model.operate(Some(writes % 2 + 1));
        let serving = model.status().decisions.as_ref().map(|decisions| decisions.serving.clone());
        assert!(serving.as_ref() != Some(&one) || !model.rs(1).is_retired());
    }
    model.work();
    assert_eq!(model.status().decisions.as_ref().map(|decisions| decisions.serving.clone()), Some(one));
}

// An answer is lost, although the write was carried out.

#[test]
fn a_lost_answer_changes_no_promotion() {
    for writes in 0..14 {
        let mut model = serves_one(BlueGreen { preview_replica_count: Some(1), ..automatic() });
        model.push(2);
        model.operate_and_lose_an_answer(writes);
        model.work();
        assert_serves(&model, 2);
        assert_eq!(model.truth.replica_sets.len(), 2);
        assert_eq!(model.status().phase, Phase::Healthy);
    }
}

#[test]
fn a_lost_answer_changes_no_undo() {
    for (writes, behind) in (0..10).flat_map(|writes| [(writes, false), (writes, true)]) {
        let mut model = promoted(with_extra(manual()), &[2]);
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        if behind {
            for kind in [Kind::ReplicaSets, Kind::Services] {
                model.happen(&Event::Behind(kind, true));
            }
        }
        model.operate_and_lose_an_answer(writes);
        model.operate(None);
        model.mend();
        model.work();
        assert_serves(&model, 1);
        assert_rejected(&model, 2, true);
    }
}

#[test]
fn a_lost_answer_carries_no_request_out_twice() {
    for writes in 0..6 {
        let mut model = promoted(manual(), &[2]);
        model.truth.rollout.request = Some("rollback".into());
        model.truth.rollout.resource_version = "900000".into();
        model.operate_and_lose_an_answer(writes);
        model.work();
        assert_serves(&model, 1);
        assert_rejected(&model, 1, false);
    }
}

#[test]
fn the_status_may_be_lost_after_any_write_of_a_release() {
    for writes in 0..16 {
        let mut model = promoted(BlueGreen { preview_replica_count: Some(1), ..manual() }, &[2]);
        model.push(3);
        model.work();
        let three = model.hash(3);
        model.request(Verb::Promote, &three, "ann", None);
        model.operate(Some(writes));
        model.wipe_status();
        model.work();
        assert!(model.serves_something(), "{writes}: {:#?}", model.status());
        let serving = model.serving().expect("something serves");
        let rs = model.truth.replica_sets.iter().find(|rs| rs.hash == serving).expect("it exists");
        assert_eq!(rs.replicas, 2, "{writes}");
    }
}

// The status is restored from a backup.

#[test]
fn a_status_from_a_backup_does_not_promote_again_what_was_undone() {
    let mut model = serves_one(automatic());
    model.push(2);
    model.work();
    assert_active(&model, 2);
    let backup = status(&model);
    undo(&mut model);
    assert_active(&model, 1);
    model.restore_status(backup);
    model.work();
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn a_status_from_a_backup_tells_who_undid_it() {
    let mut model = serves_one(automatic());
    model.push(2);
    model.work();
    let backup = status(&model);
    undo(&mut model);
    // Who asked is known by the request; without that, by what the move carries; and where somebody took that off, by the ReplicaSet.
    for (without, by) in
        [("", "ann "), ("request", "ann, as its Service says "), ("move", "ann, as its ReplicaSet says ")]
    {
        match without {
            "request" => model.truth.rollout.request = None,
            "move" => model.edit_service("active", |active| active.rejections.clear()),
            _ => {}
        }
        model.restore_status(backup.clone());
        // Another operator, which has moved nothing itself.
        model.operate(Some(0));
        model.work();
        let message = &model.status().message;
        assert!(message.contains(&format!("rejected by {by}")), "{without}: {message}");
    }
}

// The leader ended between the move of an undo and its record, and something else happened, too.

/// Revision 2 served, and production has left it on request: the Service says so, and the record does not yet.
fn left_without_a_record(blue_green: BlueGreen, writes: usize) -> (Model, [String; 2]) {
    let mut model = serves_one(blue_green);
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(Some(writes));
    assert_active(&model, 1);
    assert_rejected(&model, 2, false);
    (model, [one, two])
}

#[test]
fn what_was_undone_stays_rejected_when_its_replica_set_and_the_hash_go_before_that_is_on_record() {
    let (mut model, [_, two]) = left_without_a_record(automatic(), 2);
    model.delete_replica_set(&two);
    model.lose_hash("active");
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn what_was_undone_stays_rejected_when_the_status_is_lost_and_the_spec_names_another_service() {
    let (mut model, _) = left_without_a_record(automatic(), 2);
    model.wipe_status();
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.work();
    assert_rejected(&model, 2, true);
}

#[test]
fn what_was_undone_stays_rejected_by_what_an_additional_service_carries() {
    let (mut model, [_, two]) = left_without_a_record(with_extra(automatic()), 3);
    model.request(Verb::Promote, &two, "bob", None);
    model.have_service("active", false);
    model.have_service("active", true);
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn what_was_undone_stays_rejected_without_the_claim_and_the_hash_of_what_serves() {
    let (mut model, [one, two]) = left_without_a_record(automatic(), 2);
    model.request(Verb::Promote, &two, "bob", None);
    model.edit(&one, |rs| drop(rs.annotations.remove(names::PROMOTED_AT)));
    model.lose_hash("active");
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

/// Production leaves revision 2 on request, and whenever the operator dies meanwhile, that is on record by then.
#[track_caller]
fn assert_leaves_by_the_record(prepare: impl Fn() -> Model) {
    let mut has_left = false;
    for writes in 1..12 {
        let mut model = prepare();
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        model.operate(Some(writes));
        if model.serving() != Some(two) {
            has_left = true;
            assert_rejected(&model, 2, true);
        }
    }
    assert!(has_left, "production has not left revision 2");
}

#[test]
fn an_undo_is_on_record_first_where_an_operator_of_before_would_not_see_it_by_the_services() {
    // The switch is not proven yet: nobody knows that revision 2 served.
    assert_leaves_by_the_record(|| {
        let mut model = serves_one(automatic());
        model.push(2);
        model.operate(None);
        model.run_all_pods();
        model.operate(None);
        model.pass(5);
        model.operate(None);
        let two = model.hash(2);
        let record = status(&model).decisions.expect("a record");
        let known = record.revision(&two).expect("it is known");
        assert_eq!((&record.serving, known.served_at), (&two, None));
        model
    });
    // The spec asks for something else: what is left for that need not be bad.
    assert_leaves_by_the_record(|| {
        let mut model = promoted(manual(), &[2]);
        model.push(3);
        model.work();
        model
    });
}

#[test]
fn an_undo_is_on_record_first_where_the_service_is_being_deleted() {
    assert_leaves_by_the_record(|| {
        let mut model = promoted(automatic(), &[2]);
        model.edit_service("active", |active| active.deleting = true);
        model
    });
}

/// The leader ended between the move and its record, and another person asks for the same before the next one looks.
#[test]
fn whoever_has_a_name_that_begins_another_is_not_named_for_what_that_one_undid() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "anna", None);
    // The claim and the move.
    model.operate(Some(2));
    assert_active(&model, 1);
    model.request(Verb::Rollback, &two, "ann", None);
    model.work();
    let message = &model.status().message;
    assert!(message.contains("rejected by anna, as its Service says"), "{message}");
}

/// The leader ended between the move and its record, and the next one saw that move after it had heard the retry.
#[test]
fn who_retries_what_was_undone_is_heard_also_if_the_move_was_not_seen_yet() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    let mut heard = status(&model);
    undo(&mut model);
    let rejection = status(&model).decisions.and_then(|record| record.rejection(&two).cloned());
    let retried = heard.decisions.as_mut().and_then(|record| record.revision_mut(&two)).expect("a record");
    retried.rejection = rejection;
    decisions::try_again(retried);
    model.restore_status(heard);
    // It was on record before production moved, or nobody could have retried it: so the move did not carry it.
    model.edit_service("active", |active| active.rejections.clear());
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, false);
}

/// A status that is lost later would else be made anew with that rejection.
#[test]
fn what_was_started_over_is_no_longer_told_as_rejected_by_the_move_that_left_it() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    let is_told = |model: &Model| model.truth.services["active"].rejections.contains_key(&two);
    undo(&mut model);
    assert!(is_told(&model), "the move carries it");
    model.request(Verb::Retry, &two, "ann", None);
    model.work();
    assert_rejected(&model, 2, false);
    assert!(!is_told(&model));
}

/// Whoever may edit ReplicaSets and Services can make it look as if production had gone back, and somebody had asked for that.
#[test]
fn a_way_back_that_somebody_feigned_is_in_nobody_elses_name() {
    let mut model = promoted(manual(), &[2]);
    let (one, two, now) = (model.hash(1), model.hash(2), model.now);
    let rejection = Rejection { by: "adam".into(), at: now, reason: "bad".into(), to: None, of_attempt: false };
    let mirror = serde_json::to_string(&rejection).expect("JSON");
    model.edit(&two, |rs| drop(rs.annotations.insert(names::REJECTED.into(), mirror)));
    model.edit(&one, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), now.to_string())));
    model.point_by_hand("active", &one);
    model.edit_service("active", |active| active.production = Some(one.clone()));
    model.catch_up();
    assert!(model.settle());
    assert_active(&model, 1);
    let record = status(&model).decisions.expect("a record");
    assert_ne!(record.rejection(&two).expect("production was moved away from it").by, "adam");
}

#[test]
fn a_status_from_a_backup_does_not_reject_what_was_left_for_a_promotion() {
    let mut model = promoted(manual(), &[2]);
    let backup = status(&model);
    push_and_promote(&mut model, 3);
    model.restore_status(backup);
    model.work();
    assert_serves(&model, 3);
    assert_rejected(&model, 2, false);
    undo(&mut model);
    assert_serves(&model, 2);
}

#[test]
fn a_status_from_a_backup_does_not_take_a_move_by_hand_back() {
    let mut model = promoted(manual(), &[2]);
    let (one, backup) = (model.hash(1), status(&model));
    model.point_by_hand("active", &one);
    model.work();
    assert_serves(&model, 1);
    model.restore_status(backup);
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn a_status_from_before_the_promotion_moves_nothing() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let backup = status(&model);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    model.restore_status(backup);
    model.work();
    assert_serves(&model, 2);
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn a_status_from_before_the_first_deployment_moves_nothing() {
    let mut model = Model::new(manual());
    model.operate(None);
    let backup = status(&model);
    model.work();
    push_and_promote(&mut model, 2);
    model.restore_status(backup);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_status_from_a_backup_does_not_reject_what_git_went_back_from() {
    // Promoted, and not recorded any more; meanwhile Git went back.
    for writes in 4..12 {
        let mut model = serves_one(automatic());
        model.push(2);
        model.work();
        model.push(1);
        model.operate(Some(writes));
        model.push(2);
        model.work();
        model.work();
        assert_active(&model, 2);
        assert_rejected(&model, 1, false);
        assert_rejected(&model, 2, false);
    }
}

#[test]
fn what_serves_is_not_rejected_because_its_replica_set_was_deleted_and_the_move_not_recorded() {
    for writes in 0..8 {
        let mut model = promoted(automatic(), &[]);
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.delete_replica_set(&two);
        model.operate(Some(writes));
        model.work();
        model.work();
        assert_rejected(&model, 2, false);
    }
}

// Clocks apart.

#[test]
fn a_timer_that_began_by_a_clock_ahead_is_not_an_hour_longer() {
    let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(20), ..manual() });
    model.push(2);
    model.work();
    let (two, mut ahead) = (model.hash(2), status(&model));
    let record = ahead.decisions.as_mut().and_then(|record| record.revision_mut(&two)).expect("it is known");
    record.preview_ready_at = record.preview_ready_at.map(|at| at + SignedDuration::from_hours(1));
    model.restore_status(ahead);
    for _ in 0..4 {
        model.work();
    }
    assert_active(&model, 2);
}

#[test]
fn a_deadline_that_was_written_down_by_a_clock_ahead_is_not_an_hour_longer() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.progress_deadline_seconds = Some(60));
    model.push(2);
    operate_for(&mut model, 3);
    let mut ahead = status(&model);
    let progress = ahead.progress.as_mut().expect("its pods do not start");
    progress.since += SignedDuration::from_hours(1);
    model.restore_status(ahead);
    let (two, later) = (model.hash(2), model.now + SignedDuration::from_hours(1));
    model.edit(&two, |rs| drop(rs.annotations.insert(names::SCALED_AT.into(), later.to_string())));
    operate_for(&mut model, 70);
    assert_eq!(model.status().phase, Phase::Degraded, "{}", say(&model));
}

#[test]
fn the_number_of_pods_is_told_after_the_clock_was_set_back() {
    let mut model = serves_one(manual());
    model.scale(4);
    model.work();
    let one = model.hash(1);
    model.happen(&Event::ClockAhead(3600));
    model.run_pods(&one, 3);
    model.operate(None);
    model.happen(&Event::ClockAhead(0));
    model.run_pods(&one, 2);
    operate_for(&mut model, 5);
    assert_eq!(model.status().available_replicas, 2, "{}", say(&model));
}

#[test]
fn an_outage_that_began_by_a_clock_ahead_is_not_an_hour_longer() {
    let auto_rollback = Some(AutoRollback { unavailable_seconds: 10 });
    let mut model = promoted(BlueGreen { auto_rollback, ..manual() }, &[2]);
    let two = model.hash(2);
    model.now += SignedDuration::from_hours(1);
    model.run_pods(&two, 0);
    operate_for(&mut model, 1);
    model.now -= SignedDuration::from_hours(1);
    operate_for(&mut model, 30);
    assert_active(&model, 1);
}

#[test]
fn a_deadline_that_began_by_a_clock_ahead_is_not_an_hour_longer() {
    let mut model = serves_one(BlueGreen::default());
    model.change_spec(|spec| {
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    model.push(2);
    model.now += SignedDuration::from_hours(1);
    operate_for(&mut model, 1);
    model.now -= SignedDuration::from_hours(1);
    operate_for(&mut model, 10);
    let two = model.hash(2);
    assert!(model.plan().watches.stuck.contains(&two), "nobody looks why its pods do not start");
    operate_for(&mut model, 80);
    assert_rejected(&model, 2, true);
}

#[test]
fn an_overlap_that_began_by_a_clock_ahead_is_not_an_hour_longer() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.now += SignedDuration::from_hours(1);
    model.request(Verb::Promote, &two, "ann", None);
    operate_for(&mut model, 2);
    assert!(model.truth.services["active"].is_overlapping());
    model.now -= SignedDuration::from_hours(1);
    operate_for(&mut model, 90);
    assert_serves(&model, 2);
}

#[test]
fn an_overlap_is_not_cut_short_when_the_clock_is_set_back() {
    let (mut model, _) = both_serve(overlapping());
    assert!(model.settle());
    assert_serves(&model, 2);
    // When production left revision 1 is on record still.
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.happen(&Event::ClockAhead(3600));
    model.request(Verb::Promote, &three, "ann", None);
    operate_for(&mut model, 2);
    assert!(model.truth.services["active"].is_overlapping(), "{}", say(&model));
    model.happen(&Event::ClockAhead(0));
    operate_for(&mut model, 50);
    assert!(model.truth.services["active"].is_overlapping(), "{}", say(&model));
    operate_for(&mut model, 30);
    assert_serves(&model, 3);
}

/// What is on record of a restart of revision 1, and what such an annotation of its ReplicaSet says of it, is by a clock that is ten minutes ahead.
fn put_restart_ahead(model: &mut Model, note: Option<&str>) -> Timestamp {
    let mut ahead = status(model);
    let record = ahead.decisions.as_mut().expect("a record");
    let at = record.restart_requested_at.expect("somebody asked for it") + SignedDuration::from_mins(10);
    record.restart_requested_at = Some(at);
    model.restore_status(ahead);
    let one = model.hash(1);
    model.edit(&one, |rs| {
        for known in [names::RESTART_AT, names::RESTARTED_AT] {
            rs.annotations.remove(known);
        }
        if let Some(note) = note {
            rs.annotations.insert(note.to_owned(), at.to_string());
        }
    });
    at
}

fn names_of_pods(model: &Model, number: u8) -> Vec<String> {
    let hash = model.hash(number);
    model.truth.pods[&hash].iter().map(|pod| pod.name.clone()).collect()
}

#[test]
fn a_restart_that_began_by_a_clock_ahead_goes_on() {
    for (replaced, note) in [(1, Some(names::RESTART_AT)), (0, None)] {
        let mut model = serves_one(manual());
        model.pass(3600);
        let (one, first) = (model.hash(1), names_of_pods(&model, 1));
        let left = |model: &Model| names_of_pods(model, 1).iter().filter(|name| first.contains(name)).count();
        let work = |model: &mut Model| {
            assert!(model.operate(None), "it never rests");
            assert!(model.rs(1).available >= 2, "{:?}", model.rs(1));
            model.run_all_pods();
            model.catch_up();
            model.pass(1);
        };
        model.request(Verb::Restart, &one, "ann", None);
        work(&mut model);
        for _ in 0..10 {
            if left(&model) > 2 - replaced {
                work(&mut model);
            }
        }
        assert_eq!(left(&model), 2 - replaced, "{}", say(&model));
        put_restart_ahead(&mut model, note);
        for _ in 0..30 {
            work(&mut model);
        }
        assert_eq!((left(&model), model.rs(1).replicas), (0, 2), "{}", say(&model));
        let asked_at = model.status().decisions.as_ref().and_then(|record| record.restart_requested_at);
        assert!(
            asked_at.is_some() && model.status().restarted_at == asked_at,
            "whoever waits for it hears that it is done"
        );
    }
}

#[test]
fn a_restart_that_was_done_by_a_clock_ahead_does_not_begin_again() {
    let mut model = serves_one(manual());
    model.pass(3600);
    let one = model.hash(1);
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..4 {
        model.work();
    }
    let young = names_of_pods(&model, 1);
    let at = put_restart_ahead(&mut model, Some(names::RESTARTED_AT));
    operate_for(&mut model, 20);
    assert_eq!((names_of_pods(&model, 1), model.status().restarted_at), (young, Some(at)), "{}", say(&model));
}

#[test]
fn a_promotion_within_an_overlap_waits_for_its_end_and_overlaps_itself() {
    let (mut model, [_, two]) = both_serve(overlapping());
    operate_for(&mut model, 5);
    model.push(3);
    operate_for(&mut model, 1);
    let three = model.hash(3);
    model.run_pods(&three, usize::MAX);
    operate_for(&mut model, 3);
    model.request(Verb::Promote, &three, "ann", None);
    operate_for(&mut model, 10);
    let carried = |model: &Model| {
        let service = &model.truth.services["active"];
        if service.is_overlapping() { service.production.clone() } else { None }
    };
    assert_eq!(carried(&model), Some(two), "{}", say(&model));
    assert!(model.rs(3).claimed_at().is_none(), "{}", say(&model));
    assert!(model.status().message.contains("when the overlap before it is over"), "{}", say(&model));
    operate_for(&mut model, 50);
    assert_eq!(carried(&model), Some(three), "{}", say(&model));
    operate_for(&mut model, 70);
    assert_serves(&model, 3);
}

#[test]
fn an_overlap_is_over_when_production_is_scaled_to_nothing() {
    let (mut model, _) = both_serve(overlapping());
    model.scale(0);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_revert_within_an_overlap_does_not_wait_for_its_end() {
    let mut model = serves_one(BlueGreen { auto_promotion_enabled: None, ..overlapping() });
    model.push(2);
    model.work();
    assert!(model.truth.services["active"].is_overlapping(), "{}", say(&model));
    model.push(1);
    operate_for(&mut model, 5);
    assert_active(&model, 1);
}

#[test]
fn the_answer_to_a_restart_says_which_pods_are_replaced() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    model.pass(60);
    // Ten minutes behind, and the pods are a minute old.
    model.now -= SignedDuration::from_mins(10);
    model.request(Verb::Restart, &one, "ann", None);
    model.now += SignedDuration::from_mins(10);
    model.work();
    assert!(answer(&model).1.contains("from before 2025-12-31 23:51"), "{}", answer(&model).1);
}

#[test]
fn a_restart_goes_on_when_somebody_asks_for_another_by_a_clock_that_is_behind() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    model.pass(60);
    model.request(Verb::Restart, &one, "ann", None);
    let asked_at = model.now;
    model.operate(None);
    model.now -= SignedDuration::from_mins(10);
    model.request(Verb::Restart, &one, "bob", None);
    model.now += SignedDuration::from_mins(10);
    for _ in 0..4 {
        model.work();
    }
    assert!(answer(&model).0, "{}", say(&model));
    let pods = &model.truth.pods[&one];
    assert!(pods.iter().all(|pod| pod.created.as_second() >= asked_at.as_second()), "{asked_at}: {pods:?}");
}

// No request is lost, and what is shown is there.

#[test]
fn the_preview_does_not_move_to_no_pods_while_its_replica_set_cannot_be_written() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    model.refuse(Some(|action| matches!(action, Action::ChangeReplicaSet { .. })));
    model.push(1);
    operate_for(&mut model, 20);
    let one = model.hash(1);
    assert_ne!(model.truth.services["preview"].hash(), Some(one.as_str()), "{}", model.status().message);
    model.refuse(None);
    model.work();
    model.work();
    assert_eq!(model.truth.services["preview"].hash(), Some(one.as_str()), "it heals");
}

/// Revision 1 serves, revision 2 waits, and a restart of both cannot go on: there is no room for an additional pod. The hash of revision 2.
fn restarts_without_room() -> (Model, String) {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    model.pass(60);
    let two = model.hash(2);
    model.request(Verb::Restart, &two, "ann", None);
    for _ in 0..4 {
        model.operate(None);
        for number in [1, 2] {
            let hash = model.hash(number);
            model.run_pods(&hash, 2);
        }
        model.pass(2);
    }
    assert_eq!((model.rs(2).replicas, model.rs(2).available), (3, 2));
    (model, two)
}

/// What becomes of the pods of a revision.
type Fill = fn(&mut Model, &str);

/// The first so many pods are ready, and no node has room for the others.
fn run_pods_without_room(model: &mut Model, hash: &str, ready: usize) {
    model.run_pods(hash, ready);
    let pending = model.truth.pods.get_mut(hash).into_iter().flatten().filter(|pod| !pod.ready);
    for pod in pending {
        pod.reason = "Unschedulable".to_owned();
        pod.message = "0/3 nodes are available: 3 Insufficient cpu".to_owned();
    }
}

/// Revision 2 waits in preview and is superseded by 3, and there is room for two revisions: while 2 has pods, those of 3 are as `fill` has
/// them. The preview Service shows 2 for so many seconds at least, and 3 in the end.
fn supersedes_without_room(fill: Fill, shown_for: i64) {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.progress_deadline_seconds = Some(30));
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.push(3);
    let until = model.now + SignedDuration::from_secs(shown_for);
    for _ in 0..40 {
        assert!(model.operate(None), "it never rests");
        let three = model.hash(3);
        if model.rs(2).current > 0 {
            fill(&mut model, &three);
            let shows = model.truth.services["preview"].hash() == Some(two.as_str());
            assert!(shows || model.now >= until, "{}", say(&model));
        } else {
            model.edit(&three, |rs| rs.failure = None);
            model.run_pods(&three, usize::MAX);
        }
        model.catch_up();
        model.scale_down();
        model.pass(2);
    }
    let three = model.hash(3);
    assert_eq!(model.truth.services["preview"].hash(), Some(three.as_str()), "{}", say(&model));
    assert_serves(&model, 1);
}

#[test]
fn a_superseded_preview_does_not_keep_the_next_one_from_its_pods_by_a_quota() {
    let quota: Fill = |model, three| {
        model.edit(three, |rs| {
            rs.settled = true;
            rs.failure = Some("pods \"web-x\" is forbidden: exceeded quota: pods, limited: pods=4".to_owned());
        });
    };
    supersedes_without_room(quota, 0);
}

#[test]
fn a_superseded_preview_does_not_keep_the_next_one_from_its_pods_where_nodes_have_no_room() {
    let no_nodes: Fill = |model, three| run_pods_without_room(model, three, 0);
    // Until the progress deadline a node may be on its way.
    supersedes_without_room(no_nodes, 25);
}

#[test]
fn an_overlap_does_not_wait_for_pods_that_have_no_room() {
    let (mut model, [_, two]) = both_serve(overlapping());
    // An autoscaler; the nodes are full with what serves. A newer commit waits for room, too.
    model.scale(3);
    model.operate(None);
    model.push(3);
    for _ in 0..90 {
        assert!(model.operate(None), "it never rests");
        run_pods_without_room(&mut model, &two, 2);
        let three = model.hash(3);
        run_pods_without_room(&mut model, &three, 0);
        model.catch_up();
        model.pass(1);
    }
    assert_eq!(model.truth.services["active"].hash(), Some(two.as_str()), "{}", say(&model));
    assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_some()), "{}", say(&model));
    assert!(model.rs(1).is_retired(), "its pods take the room: {}", say(&model));
    assert_eq!(model.rs(2).replicas, 3);
}

#[test]
fn a_proof_waits_for_as_many_pods_as_were_promoted_also_where_more_have_no_room() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_active(&model, 2);
    model.scale(3);
    for ready in [1, 2] {
        for _ in 0..20 {
            assert!(model.operate(None), "it never rests");
            run_pods_without_room(&mut model, &two, ready);
            model.catch_up();
            model.pass(1);
        }
        assert_eq!(model.rs(1).is_retired(), ready == 2, "{}", say(&model));
    }
}

#[test]
fn a_service_that_was_moved_away_comes_back_to_production_that_has_no_room_for_all_of_its_pods() {
    let mut model = serves_one(with_extra(manual()));
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    // An autoscaler, and the nodes are full.
    model.scale(4);
    model.operate(None);
    model.point_by_hand("extra", &two);
    for _ in 0..30 {
        assert!(model.operate(None), "it never rests");
        run_pods_without_room(&mut model, &one, 2);
        run_pods_without_room(&mut model, &two, 2);
        model.catch_up();
        model.pass(1);
    }
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "nobody promoted 2: {}", say(&model));
    assert_active(&model, 1);
}

/// Revision 2 serves with twice as many pods as 1 had, and is undone inside the delay of 1. For half a minute its pods are as `fill` has them.
fn undone_after_a_scale(fill: Fill) -> Model {
    let mut model = promoted(manual(), &[2]);
    model.scale(4);
    model.work();
    assert_serves(&model, 2);
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    for _ in 0..30 {
        assert!(model.operate(None), "it never rests");
        fill(&mut model, &one);
        model.catch_up();
        model.pass(1);
    }
    assert_eq!(model.rs(1).replicas, 4, "{}", say(&model));
    model
}

#[test]
fn an_undo_does_not_wait_for_pods_that_have_no_room() {
    let no_nodes: Fill = |model, one| run_pods_without_room(model, one, 2);
    let no_quota: Fill = |model, one| {
        model.edit(one, |rs| {
            rs.settled = true;
            rs.failure = Some("pods \"web-x\" is forbidden: exceeded quota: pods, limited: pods=6".to_owned());
        });
    };
    for fill in [no_nodes, no_quota] {
        let model = undone_after_a_scale(fill);
        assert_active(&model, 1);
        assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_some()), "{}", say(&model));
        assert!(model.rs(2).is_retired(), "its pods take the room: {}", say(&model));
        // It has arrived, and says what it lacks.
        assert!(model.status().message.contains(" serves; 2 of 4 pods"), "{}", say(&model));
    }
}

#[test]
fn an_undo_waits_for_pods_that_are_on_their_way_and_for_those_that_it_served_with() {
    let they_start: Fill = |model, one| model.run_pods(one, 2);
    // That may pass in a moment, and is no lack of room.
    let a_webhook_is_down: Fill = |model, one| {
        model.edit(one, |rs| {
            rs.settled = true;
            rs.failure = Some("Internal error occurred: failed calling webhook \"pods.example.com\"".to_owned());
        });
    };
    let one_is_down: Fill = |model, one| run_pods_without_room(model, one, 1);
    // Of the others one starts.
    let one_starts: Fill = |model, one| {
        run_pods_without_room(model, one, 2);
        model.truth.pods.get_mut(one).expect("it has pods")[2].reason.clear();
    };
    for fill in [they_start, a_webhook_is_down, one_is_down, one_starts] {
        let model = undone_after_a_scale(fill);
        assert_active(&model, 2);
    }
}

#[test]
fn an_undo_that_has_nowhere_to_go_names_what_was_rejected_and_how_it_comes_back() {
    let mut model = promoted(manual(), &[2]);
    model.push(1);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Abort, &one, "ann", None);
    model.work();
    model.request(Verb::Rollback, &two, "bob", None);
    model.work();
    let (accepted, answer) = answer(&model);
    assert!(!accepted && answer.contains("rejected by ann: to serve it again, ask for its template"), "{answer}");
    assert_serves(&model, 2);
}

/// Revision 2 serves and was undone, and 1 has no pods any more and does not get any: for some seconds.
fn goes_back_to_nothing(model: &mut Model, seconds: usize, fill: Fill) {
    let one = model.hash(1);
    for _ in 0..seconds {
        assert!(model.operate(None), "it never rests");
        fill(model, &one);
        if let Some(three) = model.updated().filter(|updated| *updated != model.hash(2)) {
            model.run_pods(&three, usize::MAX);
        }
        model.catch_up();
        model.pass(1);
    }
}

#[test]
fn what_serves_follows_the_scale_while_an_undo_cannot_arrive_and_a_newer_template_can_be_promoted() {
    let they_crash: Fill = |model, one| model.run_pods(one, 0);
    // What cannot start for want of room gets it first.
    let no_nodes: Fill = |model, one| run_pods_without_room(model, one, 0);
    for (fill, replicas) in [(they_crash, 4), (no_nodes, 2)] {
        let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
        assert!(model.settle());
        assert_eq!(model.rs(1).replicas, 0);
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        goes_back_to_nothing(&mut model, 10, fill);
        model.scale(4);
        goes_back_to_nothing(&mut model, 10, fill);
        assert_active(&model, 2);
        assert_eq!(model.rs(2).replicas, replicas, "{}", say(&model));
        for verb in [Verb::Promote, Verb::Retry] {
            model.request(verb, &two, "ann", None);
            model.operate(None);
            let (accepted, said) = answer(&model);
            assert!(!accepted && said.contains("change an annotation of it in the spec"), "{said}");
        }
        model.push(3);
        goes_back_to_nothing(&mut model, 10, fill);
        let three = model.hash(3);
        model.request(Verb::Promote, &three, "ann", None);
        goes_back_to_nothing(&mut model, 10, fill);
        assert_active(&model, 3);
    }
}

#[test]
fn who_promotes_while_an_undo_cannot_arrive_is_named_and_nothing_is_told_to_be_back() {
    let they_crash: Fill = |model, one| model.run_pods(one, 0);
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    goes_back_to_nothing(&mut model, 10, they_crash);
    model.push(3);
    goes_back_to_nothing(&mut model, 10, they_crash);
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "bob", None);
    goes_back_to_nothing(&mut model, 10, they_crash);
    assert_active(&model, 3);
    let switch = status(&model).switch.expect("a switch");
    assert_eq!((switch.from, switch.requested_by.as_str()), (two, "bob"));
    let told = model.ledger.events.iter().rfind(|event| event.action == "Switch").expect("it is told");
    assert_eq!(told.reason, "Promoted", "{told:?}");
}

#[test]
fn a_preview_that_was_aborted_or_superseded_gives_its_room_to_an_undo() {
    for superseded in [false, true] {
        let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
        assert!(model.settle());
        assert_eq!(model.rs(1).replicas, 0);
        model.push(3);
        model.work();
        let (one, two, three) = (model.hash(1), model.hash(2), model.hash(3));
        // The nodes are full with four pods: two revisions.
        let go_on = |model: &mut Model, seconds: usize| {
            for _ in 0..seconds {
                assert!(model.operate(None), "it never rests");
                if model.rs(3).current > 0 {
                    run_pods_without_room(model, &one, 0);
                } else {
                    model.run_pods(&one, usize::MAX);
                }
                model.catch_up();
                model.scale_down();
                model.pass(1);
            }
        };
        model.request(Verb::Rollback, &two, "ann", None);
        go_on(&mut model, 10);
        assert_active(&model, 2);
        if superseded {
            model.push(2);
        } else {
            model.request(Verb::Abort, &three, "ann", None);
        }
        go_on(&mut model, 60);
        assert_serves(&model, 1);
        assert_rejected(&model, 2, true);
    }
}

#[test]
fn an_undo_to_what_cannot_start_can_be_sent_to_another_revision() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2, 3]);
    assert!(model.settle());
    let (one, two, three) = (model.hash(1), model.hash(2), model.hash(3));
    for to in [None, Some(one.clone())] {
        assert_active(&model, 3);
        model.request(Verb::Rollback, &three, "ann", to);
        for _ in 0..10 {
            assert!(model.operate(None), "it never rests");
            model.run_pods(&one, usize::MAX);
            model.run_pods(&two, 0);
            model.catch_up();
            model.pass(1);
        }
    }
    assert_serves(&model, 1);
    assert_rejected(&model, 3, true);
}

#[test]
fn a_second_undo_goes_where_the_first_one_goes_and_leaves_its_name() {
    let mut model = promoted(manual(), &[2, 3]);
    let (one, three) = (model.hash(1), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", Some(one));
    // The mirror, and the record.
    model.operate(Some(2));
    model.request(Verb::Rollback, &three, "bob", None);
    model.work();
    assert_active(&model, 1);
    let (accepted, answer) = answer(&model);
    assert!(accepted && answer.contains("was rejected already, by ann"), "{answer}");
}

#[test]
fn an_undo_to_what_cannot_start_is_over_when_that_is_deleted_and_a_retry_keeps_what_serves() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    goes_back_to_nothing(&mut model, 10, |model, one| model.run_pods(one, 0));
    assert_active(&model, 2);
    model.delete_replica_set(&one);
    model.work();
    assert_serves(&model, 2);
    assert_rejected(&model, 2, true);
    assert!(model.status().message.contains("nothing is known to go back to"), "{}", say(&model));
    model.request(Verb::Retry, &two, "ann", None);
    model.work();
    assert!(answer(&model).0, "{}", say(&model));
    assert_serves(&model, 2);
    assert_rejected(&model, 2, false);
    assert_eq!(model.status().phase, Phase::Healthy, "{}", say(&model));
}

#[test]
fn a_longer_delay_of_what_was_aborted_counts_while_it_is_up() {
    // 0 keeps it.
    for longer in [3600, 0] {
        let mut model = serves_one(BlueGreen { abort_scale_down_delay_seconds: Some(60), ..manual() });
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.request(Verb::Abort, &two, "ann", None);
        model.work();
        assert!(model.rs(2).is_retired(), "{}", say(&model));
        model.change_spec(|spec| spec.strategy.blue_green.abort_scale_down_delay_seconds = Some(longer));
        for _ in 0..10 {
            model.work();
            model.scale_down();
            model.pass(20);
        }
        assert_eq!(model.rs(2).replicas, 2, "{longer}: {}", say(&model));
        assert_eq!(model.rs(2).is_retired(), longer > 0, "{}", say(&model));
    }
}

#[test]
fn a_shorter_delay_of_what_was_aborted_counts_from_then_on_whatever_the_delay_of_what_served_is() {
    let delays =
        BlueGreen { abort_scale_down_delay_seconds: Some(3600), scale_down_delay_seconds: Some(3600), ..manual() };
    let mut model = serves_one(delays);
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert!(model.rs(2).is_retired(), "{}", say(&model));
    model.change_spec(|spec| spec.strategy.blue_green.abort_scale_down_delay_seconds = Some(60));
    for _ in 0..10 {
        model.work();
        model.scale_down();
        model.pass(20);
    }
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn a_restart_that_cannot_go_on_does_not_keep_the_preview_from_what_waits() {
    let (mut model, two) = restarts_without_room();
    model.lose_hash("preview");
    operate_for(&mut model, 20);
    assert_eq!(model.truth.services["preview"].hash(), Some(two.as_str()), "{}", say(&model));
}

#[test]
fn a_restart_that_cannot_go_on_does_not_keep_the_candidate_from_its_promotion() {
    let (mut model, two) = restarts_without_room();
    model.request(Verb::Promote, &two, "ann", None);
    operate_for(&mut model, 20);
    assert_active(&model, 2);
}

#[test]
fn production_is_available_while_its_pods_are_replaced() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..4 {
        model.operate(None);
        model.run_pods(&one, 2);
        model.pass(2);
    }
    assert_eq!((model.rs(1).replicas, model.rs(1).available), (3, 2), "the additional pod finds no room");
    assert!(is_true(&model, conditions::AVAILABLE), "two are needed, and two are available");
}

#[test]
fn a_restart_after_a_restart_never_takes_what_is_needed() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    for round in 0..12 {
        model.pass(3);
        if round % 3 == 0 {
            model.request(Verb::Restart, &one, "ann", None);
        }
        model.operate(None);
        assert!(model.rs(1).available >= 2, "{:?}", model.rs(1));
        model.run_pods(&one, usize::MAX);
    }
    for _ in 0..8 {
        model.work();
    }
    assert_eq!(model.rs(1).replicas, 2);
}

#[test]
fn a_restart_whose_additional_pod_is_refused_takes_no_pod() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.refuse(Some(grows));
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..10 {
        assert!(model.operate(None));
        assert_eq!(model.rs(1).available, 2, "{}", model.status().message);
        model.pass(2);
    }
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
}

/// Revision 1 serves with two pods, and its restart has evicted the last old one: the ReplicaSet controller has not made the successor. The hash of
/// revision 1.
fn restarted_but_for_a_successor() -> (Model, String) {
    let mut model = serves_one(manual());
    let (one, old, at) = (model.hash(1), names_of_pods(&model, 1), model.now);
    model.change_spec(|spec| spec.restart_at = Some(at));
    for _ in 0..3 {
        model.run_all_pods();
        assert!(model.operate(None));
    }
    let left = names_of_pods(&model, 1);
    assert!(left.len() == 2 && left.iter().all(|pod| !old.contains(pod)), "{left:?}");
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    (model, one)
}

#[test]
fn a_restart_says_that_it_waits_for_the_last_successor() {
    let (mut model, one) = restarted_but_for_a_successor();
    let words = "0 old ones to go; Kubernetes has not replaced the last one yet";
    let message = model.plan().status.message;
    assert!(message.contains(words), "{message}");
    model.run_pods(&one, usize::MAX);
    let message = model.plan().status.message;
    assert!(!message.contains("has not replaced"), "{message}");
}

#[test]
fn production_that_is_scaled_to_nothing_in_a_restart_keeps_no_pod_until_its_pods_are_known() {
    let (mut model, _) = restarted_but_for_a_successor();
    model.scale(0);
    // An operator writes down how many it is to have, and dies. The next one does not know the pods yet.
    model.operate(Some(1));
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    let plan = model.plan();
    let sizes = plan.actions.iter().filter_map(|action| match action {
        Action::ChangeReplicaSet { change, .. } => change.replicas,
        _ => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [0], "{:?}", plan.actions);
}

#[test]
fn a_restart_takes_no_pod_that_has_ended_for_a_successor() {
    let (mut model, one) = restarted_but_for_a_successor();
    // A node was low on memory. The object of its pod stays.
    let mut ended = model.truth.pods[&one][0].clone();
    (ended.name, ended.uid, ended.ready, ended.over) = ("web-ended".into(), "ended".into(), false, true);
    model.truth.pods.get_mut(&one).expect("it has pods").push(ended);
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
}

#[test]
fn a_restart_whose_last_successor_is_refused_is_done() {
    let (mut model, one) = restarted_but_for_a_successor();
    model.edit(&one, |rs| rs.failure = Some("exceeded quota".into()));
    assert!(model.operate(None));
    assert_eq!((model.rs(1).replicas, model.rs(1).annotation(names::RESTART_AT)), (2, None), "{}", say(&model));
}

#[test]
fn a_restart_that_nobody_asks_for_any_more_keeps_its_additional_pod_until_the_last_successor_is_made() {
    let (mut model, one) = restarted_but_for_a_successor();
    model.change_spec(|spec| spec.restart_at = None);
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    model.run_pods(&one, usize::MAX);
    assert!(model.operate(None));
    let rs = model.rs(1);
    let notes = [names::RESTART_AT, names::RESTARTED_AT, names::EVICTING].map(|note| rs.annotation(note));
    assert_eq!((rs.replicas, notes), (2, [None; 3]), "{}", say(&model));
}

#[test]
fn a_restart_whose_notes_somebody_deletes_keeps_its_additional_pod_until_the_last_successor_is_made() {
    let (mut model, one) = restarted_but_for_a_successor();
    model.edit(&one, |rs| {
        rs.annotations.remove(names::RESTART_AT);
        rs.annotations.remove(names::EVICTING);
    });
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    model.run_pods(&one, usize::MAX);
    assert!(model.operate(None));
    assert_eq!((model.rs(1).replicas, model.rs(1).annotation(names::RESTART_AT)), (2, None), "{}", say(&model));
}

#[test]
fn a_restart_of_a_later_time_keeps_the_additional_pod_of_the_one_before() {
    let (mut model, _) = restarted_but_for_a_successor();
    model.pass(5);
    let at = model.now;
    model.change_spec(|spec| spec.restart_at = Some(at));
    for writes in 0..8 {
        let mut model = model.clone();
        model.operate(Some(writes));
        assert_eq!(model.rs(1).replicas, 3, "after {writes} writes: {}", say(&model));
    }
}

// A budget keeps the only pod from being drained until a restart has added one.

#[test]
fn a_restart_keeps_its_additional_pod_until_what_somebody_else_evicted_has_a_successor() {
    let mut model = serves_one(manual());
    model.scale(1);
    model.work();
    let (one, old, at) = (model.hash(1), names_of_pods(&model, 1), model.now);
    model.change_spec(|spec| spec.restart_at = Some(at));
    assert!(model.operate(None));
    model.run_all_pods();
    assert_eq!(model.rs(1).available, 2, "one more than it needs");
    // The ReplicaSet controller has not seen that it went.
    model.truth.pods.get_mut(&one).expect("it has pods").retain(|pod| !old.contains(&pod.name));
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 2, "it may take the only one that is left: {}", say(&model));
    model.run_all_pods();
    assert!(model.operate(None));
    assert_eq!((model.rs(1).replicas, model.rs(1).annotation(names::RESTART_AT)), (1, None), "{}", say(&model));
}

#[test]
fn a_restart_takes_no_pod_while_others_may_be_on_their_way_out() {
    let mut model = serves_one(manual());
    model.scale(4);
    model.work();
    let (one, at) = (model.hash(1), model.now);
    model.change_spec(|spec| spec.restart_at = Some(at));
    assert!(model.operate(None));
    model.run_all_pods();
    model.scale(2);
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    // Its controller has begun to delete two, and counts them still.
    model.edit(&one, |rs| counts_still(rs, true, 5));
    assert!(model.operate(None));
    assert_eq!(model.rs(1).annotation(names::EVICTING), None, "{}", say(&model));
    for _ in 0..6 {
        model.work();
    }
    assert_eq!((model.rs(1).replicas, model.rs(1).annotation(names::RESTART_AT)), (2, None), "{}", say(&model));
}

// Whoever undoes at the moment at which the delay is over.

/// Its controller counts pods that it should not have any more, as it saw them before; `settled` if it has begun to delete them.
fn counts_still(rs: &mut ReplicaSet, settled: bool, pods: i32) {
    (rs.settled, rs.current, rs.ready, rs.available) = (settled, pods, pods, pods);
    rs.count_out_what_leaves();
}

/// Revision 2 serves, and the delay of revision 1 is over just now. The hash of revision 1.
fn scaled_down_just_now() -> (Model, String) {
    let mut model = promoted(manual(), &[2]);
    model.pass(3700);
    model.operate(None);
    model.scale_down();
    let one = model.hash(1);
    assert_eq!(model.rs(1).replicas, 0, "{}", say(&model));
    (model, one)
}

#[test]
fn production_does_not_go_back_to_pods_that_are_on_their_way_out() {
    // What its controller said before it saw the new size is about a pod that it could not make.
    for (settled, failure) in [(true, None), (false, Some("a webhook says no".to_owned()))] {
        let (mut model, one) = scaled_down_just_now();
        let two = model.hash(2);
        // Its controller has begun to delete them, and counts them still. With a larger size it would call them available.
        model.edit(&one, |rs| {
            rs.failure = failure;
            counts_still(rs, settled, 2);
        });
        model.request(Verb::Rollback, &two, "ann", None);
        assert!(model.operate(None));
        assert_eq!(model.rs(1).replicas, 0, "{}", say(&model));
        assert_active(&model, 2);
        let message = model.plan().status.message;
        assert!(message.contains("0 of 2 pods of revision 1"), "{message}");
        assert!(message.contains("taken from ReplicaSet") && message.contains("2 are left"), "{message}");
        model.work();
        assert_serves(&model, 1);
    }
}

#[test]
fn a_move_by_hand_counts_also_where_the_record_does_not_know_the_claim_of_what_it_left() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    // The version before kept no claims in it.
    let record = model.truth.rollout.status.as_mut().and_then(|status| status.decisions.as_mut()).expect("a record");
    record.revisions.iter_mut().for_each(|revision| revision.claim = None);
    let two = model.hash(2);
    model.point_by_hand("active", &two);
    for _ in 0..3 {
        model.work();
    }
    assert_serves(&model, 2);
    assert_rejected(&model, 2, false);
}

#[test]
fn a_move_by_hand_to_pods_that_are_on_their_way_out_is_put_back() {
    let (mut model, one) = scaled_down_just_now();
    model.edit(&one, |rs| counts_still(rs, true, 2));
    model.point_by_hand("active", &one);
    assert!(model.operate(None));
    assert_active(&model, 2);
    assert_rejected(&model, 2, false);
}

// Somebody's webhook lets no pod go: then none is on its way out, and nobody waits for that.

#[test]
fn production_goes_back_to_pods_that_cannot_be_deleted() {
    let (mut model, one) = scaled_down_just_now();
    let two = model.hash(2);
    model.edit(&one, |rs| {
        rs.failure = Some("a webhook says no".to_owned());
        counts_still(rs, true, 2);
    });
    model.request(Verb::Rollback, &two, "ann", None);
    assert!(model.operate(None));
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

/// A node was low on memory, maybe long ago.
fn ended(pod: &Pod) -> Pod {
    Pod {
        // In the order of names it comes first.
        name: "web-0-ended".into(),
        uid: "ended".into(),
        over: true,
        ready: false,
        reason: "Evicted".into(),
        message: "The node was low on resource: memory".into(),
        ..pod.clone()
    }
}

#[test]
fn a_pod_that_has_ended_does_not_hide_why_another_one_does_not_start() {
    let mut model = serves_one(manual());
    model.push(2);
    assert!(model.operate(None));
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 10);
    let pods = model.truth.pods.get_mut(&two).expect("it has pods");
    let ended = ended(&pods[0]);
    pods.push(ended);
    let message = model.plan().status.message;
    assert!(message.contains("web-0-ended: Evicted"), "nothing else tells why: {message}");
    let pods = model.truth.pods.get_mut(&two).expect("it has pods");
    (pods[0].reason, pods[0].message) = ("ImagePullBackOff".into(), "no such image".into());
    let message = model.plan().status.message;
    assert!(message.contains("no such image") && !message.contains("Evicted"), "{message}");
}

#[test]
fn a_pod_that_has_ended_is_no_cause_where_none_is_missing() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.refuse(Some(|action| matches!(action, Action::EvictPod { .. })));
    model.request(Verb::Restart, &one, "ann", None);
    model.work();
    let pods = model.truth.pods.get_mut(&one).expect("it has pods");
    let ended = ended(&pods[0]);
    pods.push(ended);
    let message = model.plan().status.message;
    assert!(message.contains("restarting revision 1") && !message.contains("low on resource"), "{message}");
}

#[test]
fn what_serves_gets_its_pods_back_at_once() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    // Somebody scales the ReplicaSet, and its controller has not seen that yet.
    model.edit(&one, |rs| (rs.replicas, rs.settled) = (1, false));
    assert!(model.operate(Some(1)));
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

#[test]
fn what_git_went_back_from_is_not_rejected_and_can_be_gone_back_to() {
    let mut model = serves_one(automatic());
    model.push(2);
    model.work();
    undo(&mut model);
    for number in [1, 4, 1] {
        model.push(number);
        model.work();
        model.work();
    }
    assert_active(&model, 1);
    assert_rejected(&model, 4, false);
    undo(&mut model);
    assert_serves(&model, 4);
}

#[test]
fn an_eviction_that_is_refused_for_ever_is_told_and_holds_nothing_up() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.refuse(Some(|action| matches!(action, Action::EvictPod { .. })));
    model.request(Verb::Restart, &one, "ann", None);
    model.work();
    let message = &model.status().message;
    assert!(message.contains("a policy says no"), "{message}");
    // None is replaced yet: the new one is the additional one.
    assert!(message.contains("1 new pods ready, 2 old ones to go"), "{message}");
    push_and_promote(&mut model, 2);
}

#[test]
fn an_eviction_that_is_refused_is_told_beside_what_waits() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.refuse(Some(|action| matches!(action, Action::EvictPod { .. })));
    model.request(Verb::Restart, &one, "ann", None);
    model.work();
    // Its pods are younger than the restart.
    model.push(2);
    model.work();
    let message = &model.status().message;
    assert!(message.contains("waits for promotion"), "{message}");
    assert!(message.contains("restarting revision 1") && message.contains("a policy says no"), "{message}");
}

#[test]
fn a_pod_that_may_not_be_evicted_holds_up_no_other_of_its_restart() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    let first: Vec<String> = model.truth.pods[&one].iter().map(|pod| pod.name.clone()).collect();
    let old = |model: &Model| -> Vec<String> {
        let names = model.truth.pods[&one].iter().map(|pod| pod.name.clone());
        names.filter(|name| first.contains(name)).collect()
    };
    // The one that would go first.
    model.refuse(Some(|action| matches!(action, Action::EvictPod { uid, .. } if uid.ends_with("x0"))));
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..4 {
        model.work();
    }
    let left = old(&model);
    assert_eq!(left.len(), 1, "{}", say(&model));
    let message = &model.status().message;
    assert!(message.contains(&left[0]) && message.contains("a policy says no"), "{message}");
    model.refuse(None);
    for _ in 0..4 {
        model.work();
    }
    assert_eq!((old(&model).len(), model.rs(1).replicas), (0, 2), "{}", say(&model));
}

#[test]
fn a_restart_takes_no_pod_while_another_is_down_that_the_operator_has_not_heard_of() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.refuse(Some(|action| matches!(action, Action::EvictPod { .. })));
    model.request(Verb::Restart, &one, "ann", None);
    model.work();
    assert_eq!(model.rs(1).available, 3, "one more than it needs");
    model.refuse(None);
    let mut old = model.second();
    model.run_pods(&one, 2);
    model.pass(60);
    model.as_second(&mut old, &Kind::ALL, |model| assert!(model.operate(None)));
    assert_eq!(model.rs(1).available, 2, "{}", say(&model));
}

#[test]
fn pods_that_were_only_half_labelled_get_no_traffic_in_an_overlap() {
    let mut model = serves_one(BlueGreen { abort_scale_down_delay_seconds: Some(0), ..overlapping() });
    model.push(2);
    model.work();
    // An operator that prepared an overlap died after the template and the pods, and before its note.
    let two = model.hash(2);
    model.edit(&two, |rs| drop(rs.pod_labels.insert(names::SERVING_LABEL.into(), "true".into())));
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert!(model.rs(2).replicas > 0);
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping());
    assert!(!model.rs(2).pod_labels.contains_key(names::SERVING_LABEL), "what was aborted gets traffic");
}

#[test]
fn an_overlap_selects_by_a_label_that_pods_of_no_other_rollout_carry() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    let uid = Some(&model.truth.rollout.uid);
    assert_eq!(model.truth.services["active"].selector.get(names::SERVING_LABEL), uid);
    for number in [1, 2] {
        assert_eq!(model.rs(number).pod_labels.get(names::SERVING_LABEL), uid, "revision {number}");
    }
}

#[test]
fn an_overlap_that_an_older_version_began_keeps_its_label_until_it_is_over() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping());
    // As version 0.1 had it.
    let older = "true".to_owned();
    let label = |labels: &mut BTreeMap<String, String>| drop(labels.insert(names::SERVING_LABEL.into(), older.clone()));
    label(&mut model.truth.services.get_mut("active").expect("it is there").selector);
    for hash in [model.hash(1), two.clone()] {
        model.edit(&hash, |rs| {
            label(&mut rs.pod_labels);
            let note = format!(r#"{{"labels":{{"{}":"true"}}}}"#, names::SERVING_LABEL);
            rs.annotations.insert(names::ROLE_METADATA.into(), note);
        });
    }
    model.operate(None);
    for number in [1, 2] {
        assert_eq!(model.rs(number).pod_labels.get(names::SERVING_LABEL), Some(&older), "revision {number} serves");
    }
    assert!(model.settle());
    assert_serves(&model, 2);
    assert!(!model.rs(1).pod_labels.contains_key(names::SERVING_LABEL));
}

#[test]
fn a_replica_set_that_an_older_version_made_is_not_made_anew_when_the_status_is_lost() {
    let mut model = serves_one(manual());
    let (hash, older) = (model.hash(1), model.truth.rollout.template.digest.hash_of_older_version(0));
    model.edit(&hash, |rs| {
        rs.hash.clone_from(&older);
        rs.pod_labels.insert(names::HASH_LABEL.into(), older.clone());
    });
    for service in model.truth.services.values_mut().filter(|service| service.hash() == Some(&hash)) {
        service.selector.insert(names::HASH_LABEL.into(), older.clone());
        service.production = service.production.take().map(|_| older.clone());
    }
    model.wipe_status();
    assert!(model.settle());
    assert_serves(&model, 1);
    assert_eq!(model.hash(1), older);
    assert_eq!(model.truth.replica_sets.len(), 1);
}

/// It kept approvals on ReplicaSets. A status of it that tells of revisions is read once, and what it decided goes on.
#[test]
fn what_an_older_version_kept_on_replica_sets_counts_after_the_upgrade() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let three = model.hash(3);
    let approvals = serde_json::json!([{"by": "ann", "at": model.now}]).to_string();
    model.edit(&three, |rs| drop(rs.annotations.insert(names::before_the_record::APPROVALS.to_owned(), approvals)));
    model.truth.services.values_mut().for_each(|service| service.production = None);
    let mut world = model.truth.clone();
    world.rollout.status.as_mut().expect("it has a status").decisions = None;
    let read = decisions::read(&world, model.now);
    assert_eq!(read.source, decisions::Source::OlderVersion);
    let approved = &read.now.revision(&three).expect("it is on record").approvals;
    assert_eq!(approved.iter().map(|approval| approval.by.as_str()).collect::<Vec<_>>(), ["ann"]);
    assert_eq!(read.now.serving, model.hash(2));
}

/// Its ReplicaSets would count as an older version's: with the approvals that somebody wrote on them, and with a first deployment that waits for nobody.
#[test]
fn a_status_that_only_tells_why_a_rollout_cannot_be_read_opens_no_more_than_none() {
    let mut model = Model::new(manual());
    model.change_spec(|spec| {
        spec.strategy.blue_green.active_service = None;
        spec.strategy.blue_green.preview_service = None;
    });
    model.work();
    model.push(2);
    model.work();
    let two = model.hash(2);
    let approvals = serde_json::json!([{"by": "ann", "at": model.now}]).to_string();
    model.edit(&two, |rs| drop(rs.annotations.insert(names::before_the_record::APPROVALS.to_owned(), approvals)));
    let read = |status: Option<BlueGreenRolloutStatus>| {
        let mut world = model.truth.clone();
        world.rollout.status = status;
        decisions::read(&world, model.now).now
    };
    let told = BlueGreenRolloutStatus {
        phase: Phase::Degraded,
        message: "greenlight cannot read this object".to_owned(),
        observed_generation: 1,
        ..BlueGreenRolloutStatus::default()
    };
    let told = read(Some(told));
    assert_eq!(told, read(None));
    assert!(told.revision(&two).is_none_or(|revision| revision.approvals.is_empty()), "{told:#?}");
    assert!(!told.held_template.is_empty(), "a person has to say what is served: {told:#?}");
}

#[test]
fn what_serves_is_not_told_as_promoted_after_a_status_that_only_told_why_the_rollout_could_not_be_read() {
    let mut model = promoted(manual(), &[2]);
    model.restore_status(BlueGreenRolloutStatus {
        phase: Phase::Degraded,
        message: "greenlight cannot read this object".to_owned(),
        observed_generation: 1,
        ..BlueGreenRolloutStatus::default()
    });
    let told_before = model.ledger.events.len();
    model.work();
    assert_serves(&model, 2);
    assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_some()), "{}", say(&model));
    let told = &model.ledger.events[told_before..];
    assert!(told.iter().all(|event| event.reason != "Promoted"), "{told:?}");
}

#[test]
fn a_lost_status_is_made_anew_also_while_endpoints_cannot_be_read() {
    let mut model = promoted(manual(), &[2]);
    model.wipe_status();
    let mut world = World { live: true, ..model.seen() };
    world.endpoints.clear();
    assert_eq!(plan(&world, model.now).publish_at, None, "they are about to be read");
    let words = "the operator may not see endpointslices: forbidden";
    world.troubles = vec![words.to_owned()];
    assert_eq!(plan(&world, model.now).publish_at, None, "nothing else keeps them from being read");
    world.blind = true;
    let told = plan(&world, model.now);
    assert_eq!(told.publish_at, Some(model.now));
    assert!(told.status.message.contains(words), "{}", told.status.message);
}

#[test]
fn a_replica_set_without_pods_loses_the_label_before_an_overlap() {
    let mut model = serves_one(BlueGreen { scale_down_delay_seconds: Some(0), ..overlapping() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    assert!(model.settle());
    assert_serves(&model, 2);
    assert_eq!(model.rs(1).replicas, 0);
    let one = model.hash(1);
    model.edit(&one, |rs| {
        rs.pod_labels.insert(names::SERVING_LABEL.into(), "true".into());
        let note = format!(r#"{{"labels":{{"{}":"true"}}}}"#, names::SERVING_LABEL);
        rs.annotations.insert(names::ROLE_METADATA.into(), note);
    });
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping());
    assert!(!model.rs(1).pod_labels.contains_key(names::SERVING_LABEL), "its next pods would get traffic");
}

#[test]
fn a_template_that_says_that_it_serves_is_not_made() {
    let mut model = serves_one(overlapping());
    let mut template = Template::from(&model::template(2));
    template.labels.insert(names::SERVING_LABEL.into(), "true".into());
    model.truth.rollout.template = template;
    model.change_spec(|_| {});
    model.work();
    assert_eq!(model.truth.replica_sets.len(), 1, "in an overlap it would get traffic without a promotion");
    assert_eq!(model.status().phase, Phase::Degraded);
    assert!(model.status().message.contains(names::SERVING_LABEL), "{}", model.status().message);
    model.push(3);
    model.work();
    assert_eq!(model.status().phase, Phase::Paused, "it heals");
}

#[test]
fn metadata_of_a_preview_does_not_make_it_serve() {
    for key in [names::SERVING_LABEL, names::HASH_LABEL] {
        let preview_metadata = labels(&[(key, "true"), ("role", "preview")]);
        let mut model = serves_one(BlueGreen { preview_metadata, ..overlapping() });
        model.push(2);
        model.work();
        assert!(!model.rs(2).pod_labels.contains_key(key), "{:?}", model.rs(2).pod_labels);
        assert_eq!(model.rs(2).pod_labels.get("role").map(String::as_str), Some("preview"));
    }
}

#[test]
fn metadata_that_is_added_later_does_not_make_a_preview_serve() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let metadata = labels(&[(names::SERVING_LABEL, "true"), ("role", "preview")]);
    model.change_spec(|spec| spec.strategy.blue_green.preview_metadata = metadata);
    model.work();
    assert!(!model.rs(2).pod_labels.contains_key(names::SERVING_LABEL));
    assert_eq!(model.rs(2).pod_labels.get("role").map(String::as_str), Some("preview"));
}

#[test]
fn a_label_of_a_template_is_not_taken_over_by_the_metadata_of_a_role() {
    let mut model = serves_one(manual());
    model.ask_for_tier(true);
    model.work();
    // The next template lacks the label, and the spec says what active pods carry in its place.
    model.change_spec(|spec| spec.strategy.blue_green.active_metadata = labels(&[("tier", "back")]));
    model.push(6);
    model.work();
    let tier = model.rs(1).pod_labels.get("tier").cloned();
    assert_eq!(tier.as_deref(), Some("front"), "production's Service selects it");
    model.change_spec(|spec| spec.strategy.blue_green.active_metadata = None);
    model.work();
    assert_eq!(model.rs(1).pod_labels.get("tier").map(String::as_str), Some("front"));
}

#[test]
fn a_role_has_no_note_of_a_change_that_is_under_way() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| {
        let mut active = labels(&[("role", "active")]);
        active
            .iter_mut()
            .for_each(|role| drop(role.annotations.insert(names::UNSETTLED.to_owned(), "true".to_owned())));
        spec.strategy.blue_green.active_metadata = active;
    });
    model.work();
    assert_eq!(model.rs(1).pod_labels.get("role").map(String::as_str), Some("active"));
    assert!(plan(&model.seen(), model.now).actions.is_empty(), "the pods are not changed again and again");
}

#[test]
fn pods_that_were_only_half_labelled_get_the_labels_of_their_role() {
    let settings = BlueGreen { preview_metadata: labels(&[("role", "preview")]), ..manual() };
    let mut model = serves_one(settings);
    let active = labels(&[("role", "active")]);
    model.change_spec(|spec| spec.strategy.blue_green.active_metadata = active);
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.edit(&two, |rs| drop(rs.annotations.remove(names::ROLE_METADATA)));
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_eq!(model.rs(2).pod_labels.get("role").map(String::as_str), Some("active"));
}

#[test]
fn an_endpoint_of_two_families_is_one_pod() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_active(&model, 2);
    let name = model.rs(2).name.clone();
    // One pod, in both families, and one of a neighbour's whose name begins in the same way.
    let endpoint = |pod: String| Endpoint { pod, ready: true };
    let pod = model.truth.pods[&two][0].name.clone();
    model
        .truth
        .endpoints
        .insert("active".into(), vec![endpoint(pod.clone()), endpoint(pod), endpoint(format!("{name}-worker-x1"))]);
    operate_for_without_endpoints(&mut model);
    assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_none()), "{:?}", model.status());
    assert!(!model.rs(1).is_retired());
}

fn operate_for_without_endpoints(model: &mut Model) {
    for _ in 0..5 {
        assert!(model.operate(None));
        model.pass(1);
    }
}

#[test]
fn what_is_kept_of_the_old_revision_shrinks_only_after_the_proof() {
    let mut model = Model::new(BlueGreen { retired_replica_count: Some(1), ..manual() });
    model.change_spec(|spec| spec.replicas = Some(3));
    model.work();
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_active(&model, 2);
    model.scale_down();
    operate_for_without_endpoints(&mut model);
    model.scale_down();
    assert_eq!(model.rs(1).replicas, 3, "the endpoints have not followed");
    model.work();
    model.scale_down();
    assert_eq!(model.rs(1).replicas, 3, "a proxy may not have followed");
    model.pass(30);
    model.scale_down();
    assert_eq!(model.rs(1).replicas, 1);
    undo(&mut model);
    model.work();
    assert_serves(&model, 1);
    assert_eq!(model.rs(1).replicas, 3);
}

#[test]
fn a_limit_of_no_old_revisions_takes_no_pods_that_serve() {
    let mut model = promoted(BlueGreen { scale_down_delay_revision_limit: Some(0), ..manual() }, &[2, 3]);
    for _ in 0..3 {
        model.scale_down();
        model.work();
    }
    assert_serves(&model, 3);
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas, model.rs(3).replicas), (0, 0, 2));
}

#[test]
fn a_limit_of_old_revisions_ends_the_delay_of_the_oldest_at_once() {
    let mut model = promoted(BlueGreen { scale_down_delay_revision_limit: Some(1), ..manual() }, &[2, 3]);
    for _ in 0..3 {
        model.scale_down();
        model.work();
    }
    assert_serves(&model, 3);
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas, model.rs(3).replicas), (0, 2, 2));
}

#[test]
fn a_preview_larger_than_production_is_promoted_with_what_production_needs() {
    let mut model = serves_one(BlueGreen { preview_replica_count: Some(5), ..manual() });
    model.push(2);
    model.work();
    assert_eq!(model.rs(2).replicas, 5);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
    assert_eq!(model.rs(2).replicas, 2);
}

#[test]
fn what_returns_within_the_window_serves_only_with_all_its_pods() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    model.change_spec(|spec| spec.rollback_window = Some(RollbackWindow { revisions: 3 }));
    assert!(model.settle());
    model.push(1);
    let one = model.hash(1);
    for ready in [0, 1] {
        operate_for(&mut model, 3);
        model.run_pods(&one, ready);
        operate_for(&mut model, 3);
        assert_active(&model, 2);
    }
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn an_overlap_ends_also_when_the_spec_asks_for_a_swap_in_the_middle() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping());
    model.change_spec(|spec| {
        spec.strategy.blue_green.switch_mode = None;
        spec.strategy.blue_green.overlap_seconds = None;
    });
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn an_overlap_ends_also_where_nothing_tells_when_it_began() {
    let (mut model, [one, two]) = both_serve(overlapping());
    // A finalizer of somebody else holds it, so that what takes its place has another hash.
    model.edit(&two, |rs| rs.finalizers.push("example.com/forever".into()));
    for hash in [one, two] {
        model.delete_replica_set(&hash);
    }
    for _ in 0..20 {
        model.work();
    }
    assert!(!model.truth.services["active"].is_overlapping(), "{}", model.status().message);
}

// Writes that are refused for ever.

fn grows(action: &Action) -> bool {
    matches!(action, Action::ChangeReplicaSet { change: Change { replicas: Some(replicas), .. }, .. } if *replicas > 2)
}

#[test]
fn a_lost_hash_comes_back_while_the_size_of_production_is_refused() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    model.refuse(Some(grows));
    model.scale(5);
    operate_for(&mut model, 10);
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
    model.lose_hash("active");
    operate_for(&mut model, 30);
    assert_active(&model, 1);
}

#[test]
fn what_serves_loses_its_mark_while_its_size_is_refused() {
    let mut model = promoted(manual(), &[2]);
    assert!(model.rs(1).is_retired());
    model.refuse(Some(grows));
    model.scale(5);
    operate_for(&mut model, 10);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    operate_for(&mut model, 30);
    assert!(!model.rs(1).is_retired(), "its pods go at the deadline: {}", model.status().message);
}

#[test]
fn production_without_pods_is_not_available_while_its_size_is_refused() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    model.refuse(Some(changes_size));
    model.edit(&one, |rs| rs.replicas = 0);
    model.run_pods(&one, 0);
    operate_for(&mut model, 10);
    assert_eq!(model.rs(1).replicas, 0);
    assert!(!is_true(&model, conditions::AVAILABLE), "{}", say(&model));
}

#[test]
fn a_refused_size_is_tried_again_and_heals() {
    let mut model = serves_one(manual());
    model.refuse(Some(grows));
    model.scale(5);
    operate_for(&mut model, 20);
    assert_eq!(model.status().phase, Phase::Degraded);
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
    model.refuse(None);
    for _ in 0..3 {
        model.work();
    }
    assert_eq!((model.rs(1).replicas, model.status().phase), (5, Phase::Healthy));
}

#[test]
fn pods_that_may_not_be_changed_hold_neither_the_mark_of_what_retires_nor_an_undo_up() {
    let mut model = serves_one(BlueGreen { active_metadata: labels(&[("role", "active")]), ..manual() });
    model.refuse(Some(|action| matches!(action, Action::ChangePodMetadata { .. })));
    push_and_promote(&mut model, 2);
    operate_for(&mut model, 20);
    assert!(model.rs(1).is_retired(), "its delay never ends: {}", say(&model));
    // They were refused a moment ago.
    model.pass(6);
    model.operate(None);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    assert_active(&model, 1);
}

fn lets_preview_go(action: &Action) -> bool {
    use greenlight_core::world::Selection;
    matches!(action, Action::SelectRevision { name, selection: Selection::Unmanaged, .. } if name == "preview")
}

#[test]
fn a_service_that_cannot_be_let_go_holds_no_promotion_up() {
    let mut model = serves_one(manual());
    model.refuse(Some(lets_preview_go));
    model.change_spec(|spec| spec.strategy.blue_green.preview_service = Some("other".into()));
    model.work();
    model.push(2);
    operate_for(&mut model, 2);
    let two = model.hash(2);
    model.run_pods(&two, usize::MAX);
    operate_for(&mut model, 2);
    model.request(Verb::Promote, &two, "ann", None);
    operate_for(&mut model, 30);
    assert_active(&model, 2);
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
}

#[test]
fn a_deleted_rollout_lets_the_other_services_go_while_one_cannot_be_written() {
    let mut model = serves_one(manual());
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "active")));
    model.delete_rollout(None);
    operate_for(&mut model, 20);
    assert_eq!(model.truth.services["preview"].hash(), None, "it selects a hash that dies with the rollout");
    assert!(model.is_held(), "one Service still selects its hash");
}

#[test]
fn a_deletion_that_is_held_up_says_why() {
    let mut model = serves_one(manual());
    model.refuse(Some(lets_preview_go));
    model.delete_rollout(None);
    operate_for(&mut model, 20);
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
    assert!(is_true(&model, conditions::STALLED));
    model.refuse(None);
    operate_for(&mut model, 20);
    assert!(!model.is_held(), "it heals");
}

#[test]
fn a_deletion_that_is_held_up_reads_the_api_server_when_it_tries_again_and_not_before() {
    let mut model = serves_one(manual());
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { .. })));
    model.delete_rollout(None);
    model.operate(None);
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
    let doubt = |model: &mut Model| plan(&World { live: false, ..model.seen() }, model.now).doubt;
    assert_eq!(doubt(&mut model), None, "nothing is taken out of a Service now");
    model.pass(10);
    assert_eq!(doubt(&mut model), Some(Doubt::ReplicaSetsMayStay));
}

#[test]
fn a_refused_move_of_the_preview_is_told_in_the_words_of_the_refuser_and_heals() {
    let mut model = serves_one(manual());
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "preview")));
    model.push(2);
    model.work();
    assert!(model.status().message.contains("a policy says no"), "{}", model.status().message);
    model.refuse(None);
    for _ in 0..3 {
        model.work();
    }
    assert_eq!(model.status().phase, Phase::Paused, "{}", model.status().message);
}

#[test]
fn undo_works_while_the_finalizer_is_refused() {
    let mut model = promoted(manual(), &[2]);
    model.refuse(Some(|action| matches!(action, Action::AddFinalizer)));
    model.truth.rollout.finalizers.clear();
    model.change_spec(|_| {});
    model.work();
    undo(&mut model);
    operate_for(&mut model, 10);
    assert_serves(&model, 1);
}

#[test]
fn a_refused_note_of_a_claim_holds_no_undo_up() {
    let mut model = promoted(manual(), &[2]);
    model.refuse(Some(|action| matches!(action, Action::WithdrawClaims { .. })));
    model.push(3);
    model.work();
    let three = model.hash(3);
    let now = model.now;
    model.edit(&three, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), now.to_string())));
    model.work();
    undo(&mut model);
    assert_active(&model, 1);
}

// Texts and lists without end.

#[test]
fn the_words_of_others_do_not_make_the_status_too_large() {
    let mut model = serves_one(manual());
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.edit(&two, |rs| rs.failure = Some("no ".repeat(500_000)));
    operate_for(&mut model, 10);
    assert!(model.status().message.contains("no no"), "{}", model.status().message);
    assert!(size_of_status(&model) < 64 * 1024, "{}", size_of_status(&model));
}

#[test]
fn the_words_of_others_do_not_make_the_record_or_its_mirror_too_large() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| {
        spec.progress_deadline_seconds = Some(5);
        spec.progress_deadline_abort = Some(true);
    });
    model.work();
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.edit(&two, |rs| rs.failure = Some("Nö ".repeat(500_000)));
    operate_for(&mut model, 20);
    assert_rejected(&model, 2, true);
    let mirror = model.rs(2).annotation(names::REJECTED).expect("it is mirrored").len();
    assert!(mirror < 8 * 1024, "annotations have 256 KB together, and this one {mirror}");
    assert!(size_of_status(&model) < 64 * 1024, "{}", size_of_status(&model));
}

#[test]
fn the_message_of_an_analysis_does_not_make_the_record_too_large() {
    let mut model = promoted(BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() }, &[2]);
    let run = model.truth.runs.iter().position(|run| run.name.ends_with("-post")).expect("it was started");
    model.end_run(run, AnalysisPhase::Failed);
    model.truth.runs[run].message = "bad ".repeat(300_000);
    model.work();
    assert_active(&model, 1);
    assert!(size_of_status(&model) < 64 * 1024, "{}", size_of_status(&model));
}

#[test]
fn a_request_without_end_is_answered_and_not_copied() {
    let mut model = serves_one(manual());
    model.truth.rollout.request = Some(format!("{{\"action\":\"{}\"}}", "é".repeat(100_000)));
    model.change_spec(|_| {});
    model.work();
    assert!(!answer(&model).0);
    assert!(size_of_status(&model) < 64 * 1024, "{}", size_of_status(&model));
    let version = model.truth.rollout.resource_version.clone();
    model.work();
    assert_eq!(model.truth.rollout.resource_version, version, "it is answered once");
}

#[test]
fn an_answer_in_the_words_of_others_does_not_make_the_status_too_large() {
    let mut model = serves_one(manual());
    model.refuse(Some(|action| matches!(action, Action::CompleteRequest { .. })));
    model.truth.rollout.request = Some("restart".into());
    model.change_spec(|_| {});
    let now = model.now;
    let mut world = model.seen();
    world.live = true;
    world.refused_writes.push(RefusedWrite {
        target: "BlueGreenRollout web".into(),
        message: "no ".repeat(500_000),
        retry_at: now + SignedDuration::from_secs(5),
    });
    let plan = plan(&world, now);
    assert!(plan.status.observed_request.is_some());
    let size = serde_json::to_string(&plan.status).expect("it is JSON").len();
    assert!(size < 64 * 1024, "{size}");
}

#[test]
fn approvals_do_not_grow_without_end() {
    let settings = BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = serves_one(settings);
    model.push(2);
    model.work();
    let two = model.hash(2);
    for number in 0..200 {
        model.request(Verb::Promote, &two, &format!("person {number}"), None);
        model.operate(None);
    }
    let record = model.status().decisions.as_ref().expect("a record").revision(&two).expect("it is known").clone();
    let last = |approval: &Approval| approval.by == "person 199";
    assert!(record.approvals.len() <= 20, "{}", record.approvals.len());
    assert!(record.approvals.iter().any(last));
}

#[test]
fn the_record_stays_small_after_many_releases() {
    let mut model = serves_one(BlueGreen { scale_down_delay_seconds: Some(0), ..BlueGreen::default() });
    let mut sizes = Vec::new();
    for number in 10..60 {
        model.push(number);
        model.work();
        if number % 3 == 0 {
            undo(&mut model);
        }
        for _ in 0..2 {
            model.pass(40);
            model.scale_down();
            model.work();
        }
        sizes.push(size_of_status(&model));
    }
    assert!(sizes[49] < 24 * 1024 && sizes[49] < sizes[35] + 2048, "{sizes:?}");
}

// What is said is so.

#[test]
fn a_promotion_in_two_days_names_the_day() {
    let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(2 * 86_400), ..manual() });
    model.push(2);
    model.work();
    assert!(model.status().message.contains("2026-01-03"), "{}", model.status().message);
}

#[test]
fn what_has_no_pods_is_not_called_ready() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.replicas = Some(0));
    model.push(2);
    model.work();
    assert!(!model.status().message.contains("is ready"), "{}", model.status().message);
    assert!(model.status().message.contains("spec.replicas is 0"), "{}", model.status().message);
}

#[test]
fn a_request_that_names_nothing_is_refused_and_leaves_no_trace() {
    for verb in Verb::ALL {
        let mut model = Model::new(manual());
        model.operate(None);
        model.request(verb, "", "ann", None);
        model.work();
        let accepted = answer(&model).0;
        assert!(!accepted || verb == Verb::Restart, "{verb:?}");
        let record = model.status().decisions.clone().expect("a record");
        assert!(record.revision("").is_none(), "{record:?}");
        assert_serves(&model, 1);
    }
}

#[test]
fn every_request_in_every_state_has_one_answer() {
    let states: [fn(&mut Model); 6] = [
        |model| model.push(2),
        |model| {
            model.push(2);
            model.work();
        },
        |model| push_and_promote(model, 2),
        |model| {
            push_and_promote(model, 2);
            undo(model);
        },
        |model| model.scale(0),
        |model| model.have_service("active", false),
    ];
    for state in states {
        for (verb, of) in Verb::ALL.into_iter().flat_map(|verb| [(verb, 1), (verb, 2)]) {
            let mut model = serves_one(manual());
            state(&mut model);
            let hash = if model.has(of) { model.hash(of) } else { "nothing".to_owned() };
            model.request(
                verb,
                &hash,
                "ann",
                Some("elsewhere".to_owned()).filter(|_| verb == Verb::Rollback && of == 2),
            );
            model.work();
            let first = answer(&model);
            assert!(!first.1.is_empty());
            model.work();
            assert_eq!(answer(&model), first);
        }
    }
}

// Forged marks.

const FORGED: [&str; 15] = [
    names::REJECTED,
    names::SCALE_DOWN_AT,
    names::PROMOTED_AT,
    names::DESIRED_REPLICAS,
    names::REVISION,
    names::RETIRED_REPLICAS,
    names::RESTART_AT,
    names::RESTARTED_AT,
    names::EVICTING,
    names::SCALED_AT,
    names::PREVIEW_READY_AT,
    names::CONFIRMED_AT,
    names::PLANNED_FROM,
    names::ROLE_METADATA,
    names::TEMPLATE_DIGEST,
];

const VALUES: [&str; 8] = [
    "",
    "nonsense",
    "-9223372036854775808",
    "18446744073709551615",
    "9999-12-30T22:00:00Z",
    "-009999-01-02T01:59:59Z",
    r#"{"by":"eve","at":"9999-12-30T22:00:00Z","reason":"forged","to":"nothing"}"#,
    r#"{"labels":{"app":"eve","tier":"eve","rollouts-pod-template-hash":"eve","greenlight.dev/serving":"true"}}"#,
];

#[test]
fn no_forged_annotation_moves_production_or_keeps_the_operator_from_rest() {
    for (key, value) in FORGED.into_iter().flat_map(|key| VALUES.map(|value| (key, value))) {
        let mut model = promoted(manual(), &[2]);
        model.push(3);
        model.work();
        for number in [1, 2, 3] {
            let hash = model.hash(number);
            model.edit(&hash, |rs| {
                if key == names::TEMPLATE_DIGEST {
                    rs.digest = value.to_owned();
                }
                rs.annotations.insert(key.to_owned(), value.to_owned());
            });
            model.scale_down();
            model.work();
        }
        assert!(model.settle(), "{key}={value}: it never rests");
        assert_active(&model, 2);
        assert!(model.rs(2).pod_labels.contains_key("app"), "{key}={value}");
        assert!(model.rs(2).is_available(2), "{key}={value}: {:?}", model.rs(2));
        assert_eq!(model.status().phase, Phase::Paused, "{key}={value}: {}", model.status().message);
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        model.work();
        model.work();
        assert_serves(&model, 1);
    }
}

#[test]
fn no_forged_annotation_opens_the_gate_after_a_lost_status() {
    for (key, value) in FORGED.into_iter().flat_map(|key| VALUES.map(|value| (key, value))) {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.edit(&two, |rs| {
            if key == names::TEMPLATE_DIGEST {
                rs.digest = value.to_owned();
            }
            rs.annotations.insert(key.to_owned(), value.to_owned());
        });
        model.wipe_status();
        assert!(model.settle(), "{key}={value}: it never rests");
        assert_active(&model, 1);
    }
}

#[test]
fn no_forged_mark_of_a_service_promotes_or_keeps_the_operator_from_rest() {
    for name in model::SERVICES {
        for mark in 0..4 {
            let mut model = serves_one(manual());
            model.push(2);
            model.work();
            let (one, two) = (model.hash(1), model.hash(2));
            model.edit_service(name, |service| match mark {
                0 => service.managed_by = Some("web".into()),
                1 => service.production = Some(two.clone()),
                2 => service.withdrawn = Some("x".repeat(100_000)),
                _ => (service.managed_by, service.production) = (Some("web".into()), Some(two.clone())),
            });
            assert!(model.settle(), "{name} {mark}: it never rests");
            assert_eq!(model.serving(), Some(one), "{name} {mark}: {}", model.status().message);
        }
    }
}

/// Of what stands on a Service no more is kept than there can be of the operator's own, and it would be written again and again.
#[test]
fn a_claim_that_somebody_writes_at_length_is_withdrawn_in_no_more_words_than_others() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    let long = format!("2026-01-01T00:00:00Z{}", "[a=b]".repeat(12_000));
    model.edit(&two, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), long)));
    assert!(model.settle(), "it never rests");
    let withdrawn = model.truth.services["active"].withdrawn.clone();
    assert_eq!(withdrawn, Some(format!("{two}@2026-01-01T00:00:00Z")));
}

#[test]
fn a_forged_label_of_a_template_is_not_taken_off_the_pods() {
    let mut model = serves_one(manual());
    model.ask_for_tier(true);
    model.push(6);
    model.work();
    let one = model.hash(1);
    // The spec's template does not have it any more, so it looks like one of the operator's own.
    model.edit(&one, |rs| {
        drop(rs.annotations.insert(names::ROLE_METADATA.into(), r#"{"labels":{"tier":"front"}}"#.into()))
    });
    model.work();
    assert!(model.rs(1).pod_labels.contains_key("tier"), "production has no endpoints: {}", model.status().message);
}

#[test]
fn replica_sets_that_cannot_go_do_not_make_ever_more_of_them() {
    let mut model = serves_one(manual());
    model.push(2);
    for _ in 0..30 {
        model.work();
        let digest = Template::from(&model::template(2)).digest.to_string();
        let up: Vec<String> =
            model.truth.existing().filter(|rs| rs.digest == digest).map(|rs| rs.hash.clone()).collect();
        for hash in up {
            // A finalizer of somebody else holds it.
            model.edit(&hash, |rs| rs.finalizers.push("example.com/forever".into()));
            model.delete_replica_set(&hash);
        }
    }
    assert!(model.truth.replica_sets.len() < 12, "{} ReplicaSets", model.truth.replica_sets.len());
    assert_serves(&model, 1);
    assert_eq!(model.status().phase, Phase::Degraded, "{}", model.status().message);
    model.truth.replica_sets.retain(|rs| !rs.deleting);
    for _ in 0..3 {
        model.work();
    }
    assert_eq!(model.status().phase, Phase::Paused, "it heals: {}", model.status().message);
}

#[test]
fn our_own_finalizer_on_any_replica_set_is_put_right() {
    for number in [1, 2, 3] {
        let mut model = promoted(manual(), &[2]);
        model.push(3);
        model.work();
        let hash = model.hash(number);
        let past = model.now - SignedDuration::from_hours(9);
        model.edit(&hash, |rs| {
            rs.finalizers.push(names::SCALE_DOWN_FINALIZER.into());
            rs.annotations.insert(names::SCALE_DOWN_AT.into(), past.to_string());
        });
        model.operate(None);
        model.scale_down();
        model.work();
        assert_serves(&model, 2);
        assert!(!model.rs(2).is_retired() && !model.rs(3).is_retired());
        assert_eq!(model.rs(3).replicas, 2);
    }
}

#[test]
fn a_run_of_a_forged_name_does_not_overflow_the_attempts() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let name = format!("{}-2-{}-pre", model.rs(2).name, u32::MAX);
    model.truth.runs.push(Run { name, ..Run::default() });
    model.wipe_status();
    model.work();
    let two = model.hash(2);
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    model.request(Verb::Retry, &two, "ann", None);
    model.work();
    assert!(answer(&model).0, "{:?}", answer(&model));
    assert_serves(&model, 1);
}

// The spec is edited at any moment.

type Edit = fn(&mut BlueGreen);

const EDITS: [Edit; 22] = [
    |it| it.active_service = None,
    |it| it.active_service = Some("other".into()),
    |it| it.additional_active_services = Some(vec!["extra".into()]),
    |it| it.preview_service = None,
    |it| (it.active_service, it.preview_service) = (Some("preview".into()), Some("active".into())),
    |it| it.preview_service_idle = Some(PreviewServiceIdle::None),
    |it| (it.switch_mode, it.overlap_seconds) = (Some(SwitchMode::Overlap), Some(i32::MAX)),
    |it| (it.switch_mode, it.overlap_seconds) = (Some(SwitchMode::Overlap), Some(1)),
    |it| it.preview_replica_count = Some(1),
    |it| it.preview_replica_count = Some(9),
    |it| it.auto_promotion_enabled = Some(true),
    |it| it.auto_promotion_seconds = Some(i32::MAX),
    |it| it.required_approvals = Some(3),
    |it| it.scale_down_delay_seconds = Some(0),
    |it| it.scale_down_delay_seconds = Some(i32::MAX),
    |it| it.scale_down_delay_revision_limit = Some(0),
    |it| it.retired_replica_count = Some(0),
    |it| it.abort_scale_down_delay_seconds = Some(0),
    |it| it.auto_rollback = Some(AutoRollback { unavailable_seconds: i32::MAX }),
    |it| it.pre_promotion_analysis = Some(RolloutAnalysis::default()),
    |it| it.post_promotion_analysis = Some(RolloutAnalysis::default()),
    |it| it.active_metadata = labels(&[("role", "active")]),
];

#[test]
fn any_edit_after_any_write_of_a_release_leaves_production_served() {
    for (number, edit) in EDITS.into_iter().enumerate() {
        for writes in [0, 1, 2, 3, 5] {
            let mut model = serves_one(manual());
            model.push(2);
            model.work();
            let two = model.hash(2);
            model.request(Verb::Promote, &two, "ann", None);
            model.operate(Some(writes));
            model.change_spec(|spec| edit(&mut spec.strategy.blue_green));
            assert!(model.settle(), "{number} after {writes}: it never rests");
            assert!(model.serves_something(), "{number} after {writes}: {:#?}", model.status());
            // And back again.
            model.change_spec(|spec| spec.strategy.blue_green = model::spec(manual()).strategy.blue_green);
            assert!(model.settle(), "{number} after {writes}: it never rests");
            assert!(model.serves_something(), "{number} after {writes}: {:#?}", model.status());
        }
    }
}

fn workload_ref(scale_down: WorkloadScaleDown) -> Option<WorkloadRef> {
    Some(WorkloadRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: "app".into(),
        scale_down: Some(scale_down),
    })
}

#[test]
fn a_deployment_that_is_named_and_not_there_stops_no_production() {
    for writes in 0..9 {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let two = model.hash(2);
        model.request(Verb::Promote, &two, "ann", None);
        model.operate(Some(writes));
        model.change_spec(|spec| spec.workload_ref = workload_ref(WorkloadScaleDown::Onsuccess));
        model.work();
        assert!(model.serves_something());
        assert_eq!(model.status().phase, Phase::Degraded);
        model.change_spec(|spec| spec.workload_ref = None);
        for _ in 0..3 {
            model.work();
        }
        assert_serves(&model, 2);
        assert_eq!(model.status().phase, Phase::Healthy, "{}", model.status().message);
    }
}

#[test]
fn a_replica_set_of_an_unknown_template_is_not_what_an_unknown_template_asks_for() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.edit(&two, |rs| {
        rs.digest.clear();
        rs.annotations.remove(names::TEMPLATE_DIGEST);
    });
    model.change_spec(|spec| spec.workload_ref = workload_ref(WorkloadScaleDown::Never));
    model.wipe_status();
    model.work();
    assert_eq!(model.status().updated_revision, "", "nobody knows what is asked for");
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(!answer(&model).0, "{:?}", answer(&model));
    assert_eq!(model.serving(), Some(one));
}

#[test]
fn a_deployment_whose_template_is_the_same_changes_nothing() {
    let mut model = promoted(manual(), &[2]);
    let before = model.truth.replica_sets.len();
    model.truth.workload = Some(Workload {
        name: "app".into(),
        resource_version: "1".into(),
        replicas: 0,
        template: Template::from(&model::template(2)),
    });
    model.change_spec(|spec| spec.workload_ref = workload_ref(WorkloadScaleDown::Onsuccess));
    model.work();
    assert_eq!(model.truth.replica_sets.len(), before);
    assert_serves(&model, 2);
    assert_eq!(model.status().phase, Phase::Healthy);
}

// It has a watch of its own, which may be behind that of the rollout with the request.
#[test]
fn a_revision_of_a_deployment_is_promoted_only_after_a_look_at_what_that_asks_for() {
    let workload = |number| {
        let template = Template::from(&model::template(number));
        Workload { name: "app".into(), resource_version: "1".into(), replicas: 0, template }
    };
    let mut model = serves_one(manual());
    model.push(2);
    model.truth.workload = Some(workload(2));
    model.change_spec(|spec| spec.workload_ref = workload_ref(WorkloadScaleDown::Never));
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    let mut world = model.seen();
    assert_eq!(plan(&world, model.now).doubt, Some(Doubt::TemplateMayHaveChanged));
    world.live = true;
    (world.workload, world.rollout.template) = (Some(workload(3)), Template::from(&model::template(3)));
    let answer = plan(&world, model.now).status.observed_request.expect("an answer");
    assert!(!answer.accepted && answer.answer.contains("but the spec has revision "), "{answer:?}");
    model.work();
    assert_serves(&model, 2);
}

// Times and numbers at their ends.

#[test]
fn no_time_and_no_number_of_a_spec_overflows() {
    for number in [i32::MIN, -1, 0, 1, i32::MAX] {
        let mut model = serves_one(automatic());
        for template in [2, 3] {
            model.push(template);
            model.work();
        }
        model.change_spec(|spec| {
            let it = &mut spec.strategy.blue_green;
            it.auto_promotion_seconds = Some(number);
            it.scale_down_delay_seconds = Some(number);
            it.abort_scale_down_delay_seconds = Some(number);
            it.scale_down_delay_revision_limit = Some(number);
            it.auto_rollback = Some(AutoRollback { unavailable_seconds: number });
            (it.switch_mode, it.overlap_seconds) = (Some(SwitchMode::Overlap), Some(number));
            it.required_approvals = Some(number);
            spec.progress_deadline_seconds = Some(number);
            spec.revision_history_limit = Some(number);
            spec.rollback_window = Some(RollbackWindow { revisions: number.into() });
            spec.restart_at = Some(if number > 0 { Timestamp::MAX } else { Timestamp::MIN });
        });
        model.operate(None);
        let three = model.hash(3);
        model.run_pods(&three, 0);
        for _ in 0..5 {
            model.operate(None);
            model.scale_down();
            model.pass(1);
        }
        assert!(model.serves_something());
    }
}

#[test]
fn at_the_end_of_time_plans_are_still_made() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let three = model.hash(3);
    for now in [Timestamp::MAX, Timestamp::MIN, Timestamp::UNIX_EPOCH] {
        for request in [Verb::Promote, Verb::Rollback, Verb::Abort, Verb::Restart, Verb::Retry] {
            let mut world = model.seen();
            let at = Timestamp::MAX;
            let request = greenlight_api::Request {
                action: request,
                revision: three.clone(),
                to: None,
                by: "ann".into(),
                at,
                reason: None,
            };
            world.rollout.request = Some(request.to_value());
            world.live = true;
            drop(plan(&world, now));
        }
    }
}

// Everything that can be refused, one at a time.

type Policy = fn(&Action) -> bool;

fn changes_size(action: &Action) -> bool {
    matches!(action, Action::ChangeReplicaSet { change: Change { replicas: Some(_), .. }, .. })
}

const POLICIES: [(&str, Policy); 13] = [
    ("finalizers", |action| matches!(action, Action::AddFinalizer)),
    ("requests", |action| matches!(action, Action::CompleteRequest { .. })),
    ("creation", |action| matches!(action, Action::CreateReplicaSet { .. })),
    ("sizes", changes_size),
    ("marks", |action| matches!(action, Action::ChangeReplicaSet { .. }) && !changes_size(action)),
    ("deletion", |action| matches!(action, Action::DeleteReplicaSet { .. })),
    ("active", |action| matches!(action, Action::SelectRevision { name, .. } if name == "active")),
    ("preview", |action| matches!(action, Action::SelectRevision { name, .. } if name == "preview")),
    ("notes", |action| matches!(action, Action::WithdrawClaims { .. })),
    ("metadata", |action| matches!(action, Action::ChangePodMetadata { .. })),
    ("begin", |action| matches!(action, Action::StartAnalysis { .. })),
    ("stop", |action| matches!(action, Action::StopAnalysis { .. })),
    ("evictions", |action| matches!(action, Action::EvictPod { .. })),
];

fn everything() -> BlueGreen {
    BlueGreen {
        preview_replica_count: Some(1),
        active_metadata: labels(&[("role", "active")]),
        preview_metadata: labels(&[("role", "preview")]),
        post_promotion_analysis: Some(RolloutAnalysis::default()),
        ..manual()
    }
}

#[test]
fn whatever_is_refused_for_ever_is_told_comes_to_rest_and_heals() {
    for (what, policy) in POLICIES {
        let mut model = serves_one(everything());
        model.change_spec(|spec| spec.revision_history_limit = Some(0));
        model.refuse(Some(policy));
        let mut told = false;
        for number in [2, 3] {
            model.push(number);
            for round in 0..4 {
                model.work();
                told |= model.status().message.contains("a policy says no")
                    || model.status().observed_request.iter().any(|it| it.answer.contains("a policy says no"));
                let verb = if round == 0 { Verb::Promote } else { Verb::Restart };
                let of = model.updated().unwrap_or_default();
                if round < 2 {
                    model.request(verb, &of, "ann", None);
                }
            }
            model.truth.rollout.request = Some("restart".into());
            model.change_spec(|_| {});
            model.work();
            told |= model.status().message.contains("a policy says no")
                || model.status().observed_request.iter().any(|it| it.answer.contains("a policy says no"));
        }
        let refused = model.seen().refused_writes.len();
        assert!(told || refused == 0, "{what}: {:?}", model.seen().refused_writes);
        assert!(model.serves_something(), "{what}: {:#?}", model.status());
        model.refuse(None);
        assert!(model.settle(), "{what}: it never rests");
        let three = model.hash(3);
        if model.serving() != Some(three.clone()) {
            model.request(Verb::Promote, &three, "ann", None);
        }
        assert!(model.settle(), "{what}: it never rests");
        assert_serves(&model, 3);
        assert_eq!(model.status().phase, Phase::Healthy, "{what}: {}", model.status().message);
    }
}

#[test]
fn undo_works_whatever_else_is_refused() {
    let essential = ["sizes", "marks", "active"];
    for (what, policy) in POLICIES.into_iter().filter(|(what, _)| !essential.contains(what)) {
        let mut model = serves_one(everything());
        push_and_promote(&mut model, 2);
        model.push(3);
        model.work();
        model.refuse(Some(policy));
        model.push(4);
        model.work();
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        for _ in 0..3 {
            model.work();
        }
        assert_serves(&model, 1);
        assert!(answer(&model).0, "{what}");
    }
}

#[test]
fn undo_works_while_sizes_are_refused() {
    let mut model = serves_one(manual());
    push_and_promote(&mut model, 2);
    model.refuse(Some(changes_size));
    undo(&mut model);
    assert_serves(&model, 1);
    assert!(!model.rs(1).is_retired());
}

// A status of any age, restored at any time.

#[test]
fn a_status_of_any_age_that_is_restored_at_any_time_takes_production_nowhere_new() {
    let steps: [fn(&mut Model); 8] = [
        |model| model.work(),
        |model| {
            model.push(2);
            model.work();
        },
        |model| {
            let two = model.hash(2);
            model.request(Verb::Promote, &two, "ann", None);
            model.work();
        },
        undo,
        |model| {
            model.push(3);
            model.work();
        },
        |model| {
            let three = model.hash(3);
            model.request(Verb::Promote, &three, "ann", None);
            model.work();
        },
        |model| {
            model.push(4);
            model.work();
        },
        |model| {
            let four = model.hash(4);
            model.request(Verb::Abort, &four, "ann", None);
            model.work();
        },
    ];
    for restored_at in 0..steps.len() {
        for taken_at in 0..=restored_at {
            let mut model = Model::new(manual());
            let mut backup = None;
            for (number, step) in steps.iter().enumerate().take(restored_at + 1) {
                if number == taken_at {
                    backup = model.truth.rollout.status.clone();
                }
                step(&mut model);
            }
            let before = model.serving();
            let Some(backup) = backup else { continue };
            model.restore_status(backup);
            for _ in 0..3 {
                model.work();
            }
            assert_eq!(model.serving(), before, "{taken_at} at {restored_at}: {:#?}", model.status());
            assert!(model.settle(), "{taken_at} at {restored_at}: it never rests");
            assert_eq!(model.serving(), before, "{taken_at} at {restored_at}: {:#?}", model.status());
        }
    }
}

#[test]
fn no_forged_mark_of_a_service_and_a_replica_set_keeps_an_undo_from_its_way() {
    for name in ["active", "preview", "other"] {
        for value in ["web", "other", ""] {
            let mut model = promoted(manual(), &[2]);
            model.edit_service(name, |service| service.managed_by = Some(value.into()));
            model.work();
            undo(&mut model);
            assert_serves(&model, 1);
        }
    }
}

#[test]
fn two_operators_that_work_by_turns_come_to_rest() {
    for (first, second) in (0..6).flat_map(|first| (0..6).map(move |second| (first, second))) {
        let mut model = serves_one(with_extra(BlueGreen { preview_replica_count: Some(1), ..manual() }));
        let mut other = model.second();
        model.push(2);
        for round in 0..12 {
            model.operate(Some(first));
            model.as_second(&mut other, &[], |model| {
                model.operate(Some(second));
            });
            model.run_all_pods();
            model.catch_up();
            model.pass(2);
            if round == 4 && model.has(2) {
                let two = model.hash(2);
                model.request(Verb::Promote, &two, "ann", None);
            }
        }
        model.work();
        assert!(model.serves_something());
        assert_eq!(model.truth.replica_sets.len(), 2);
        let version = model.truth.rollout.resource_version.clone();
        model.as_second(&mut other, &[], |model| {
            model.operate(None);
        });
        model.operate(None);
        assert_eq!(model.truth.rollout.resource_version, version, "{first} {second}: they undo each other's writes");
    }
}

#[test]
fn what_an_orphaning_leaves_in_preview_gets_no_traffic_where_production_was_lost() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let one = model.hash(1);
    model.delete_replica_set(&one);
    model.catch_up();
    // Nobody looks until the garbage collector has let everything go: then no ReplicaSet is ours any more.
    model.delete_rollout(None);
    model.truth.replica_sets.clear();
    assert!(!model.truth.endpoints["preview"].is_empty(), "the preview lives on");
    for _ in 0..90 {
        model.operate(None);
        model.pass(1);
    }
    assert!(!model.is_held());
    assert_eq!(model.truth.services["active"].hash(), Some(one.as_str()), "without its hash it selects the preview");
}

fn two_people() -> BlueGreen {
    BlueGreen { required_approvals: Some(2), pre_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() }
}

#[test]
fn one_of_two_people_does_not_stop_the_analysis() {
    let mut model = serves_one(two_people());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::PromoteFull, &two, "ann", None);
    model.work();
    let run = model.truth.runs.iter().find(|run| run.name.ends_with("-pre")).expect("it was started").clone();
    assert!(!run.terminating, "{run:?} {}", say(&model));
}

#[test]
fn who_promotes_in_full_and_then_once_more_has_no_analysis_asked_for_again() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::PromoteFull, &two, "ann", None);
    // There are more pods to come: production does not move yet.
    model.scale(4);
    model.operate(None);
    assert_active(&model, 1);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_failed_analysis_is_not_overruled_by_one_of_two_people() {
    let mut model = serves_one(two_people());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "bob", None);
    model.work();
    model.request(Verb::PromoteFull, &two, "ann", None);
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    assert!(model.serving() != Some(two), "bob asked for a promotion behind the analysis: {}", say(&model));
}

#[test]
fn an_analysis_without_a_conclusion_is_not_accepted_by_one_of_two_people() {
    let mut model = serves_one(two_people());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "bob", None);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Inconclusive);
    model.work();
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(model.serving() != Some(two.clone()), "bob asked for a promotion behind the analysis: {}", say(&model));
    model.request(Verb::Promote, &two, "bob", None);
    model.work();
    assert_serves(&model, 2);
}

fn analysed() -> BlueGreen {
    BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() }
}

/// The first revision serves, and the analysis of the second, whose hash this is, has begun.
fn being_analysed() -> (Model, String) {
    let mut model = serves_one(analysed());
    model.push(2);
    model.work();
    let two = model.hash(2);
    (model, two)
}

#[test]
fn nothing_is_measured_by_a_preview_whose_endpoints_are_still_those_of_what_it_showed_before() {
    let mut model = serves_one(analysed());
    model.push(2);
    assert!(model.operate(None), "it never rests");
    model.run_all_pods();
    assert!(model.operate(None), "it never rests");
    let two = model.hash(2);
    assert_eq!(model.truth.services["preview"].hash(), Some(two.as_str()), "{}", say(&model));
    assert!(model.truth.runs.is_empty(), "the first revision would be measured: {:?}", model.truth.runs);
    model.pass(3);
    assert!(model.operate(None), "it never rests");
    let told = &model.status().message;
    assert!(told.contains("to be analysed (Service preview still has 2 ready endpoints of other pods)"), "{told}");
    model.catch_up();
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.truth.runs.len(), 1, "{}", say(&model));
    assert!(model.seen().endpoints.is_empty(), "they are looked at no more");
}

/// Somebody else makes EndpointSlices for the preview Service, say, or their controller stands still.
#[test]
fn a_preview_whose_endpoints_do_not_follow_before_an_analysis_is_told_as_degraded_after_the_progress_deadline() {
    let mut model = serves_one(analysed());
    model.change_spec(|spec| spec.progress_deadline_seconds = Some(60));
    model.push(2);
    assert!(model.operate(None), "it never rests");
    model.run_all_pods();
    let look_after = |model: &mut Model, seconds: i64| {
        model.pass(seconds);
        assert!(model.operate(None), "it never rests");
    };
    look_after(&mut model, 0);
    look_after(&mut model, 45);
    assert_eq!(model.status().phase, Phase::Progressing, "{}", say(&model));
    let soon = model.now + SignedDuration::from_secs(15);
    assert!(model.plan().next.is_some_and(|next| next <= soon), "it looks again at the deadline");
    look_after(&mut model, 30);
    let late = status(&model);
    assert_eq!(late.phase, Phase::Degraded, "{}", say(&model));
    assert!(late.message.ends_with("still has 2 ready endpoints of other pods), for 60 s"), "{}", late.message);
    let stalled = late.conditions.iter().find(|condition| condition.type_ == conditions::STALLED);
    let reason = stalled.map(|stalled| stalled.reason.as_str());
    assert_eq!(reason, Some(conditions::REASON_PRE_PROMOTION_ANALYSIS));
    // The next operator has seen no endpoints yet: what was told stays told.
    let mut world = model.seen();
    world.endpoints.clear();
    assert_eq!(plan(&world, model.now).status.phase, Phase::Degraded);
    model.catch_up();
    look_after(&mut model, 3);
    assert_eq!((model.truth.runs.len(), model.status().phase), (1, Phase::Progressing), "{}", say(&model));
}

/// Revision 2 is in preview, and is promoted when its analysis, which is under way, is good.
fn being_analysed_by_itself() -> Model {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() });
    model.push(2);
    model.work();
    assert_eq!(model.truth.runs.len(), 1, "{}", say(&model));
    model
}

/// Flux takes it out every few minutes, where no policy keeps it.
#[test]
fn an_analysis_goes_on_that_takes_longer_than_it_is_until_a_tool_takes_the_hash_out_of_the_preview_again() {
    let mut model = being_analysed_by_itself();
    for _ in 0..3 {
        model.lose_hash("preview");
        model.catch_up();
        model.work();
    }
    let [run] = &model.truth.runs[..] else { panic!("another one: {:?}", model.truth.runs) };
    assert!(!run.terminating, "{run:?}");
    assert_serves(&model, 1);
    model.end_run(0, AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 2);
}

/// What it measures meanwhile is production, a mix, or nothing.
#[test]
fn an_analysis_under_way_decides_nothing_once_the_preview_has_led_elsewhere_and_another_one_is_made() {
    let ways: [fn(&mut Model); 4] = [
        |model| {
            let one = model.hash(1);
            model.point_by_hand("preview", &one);
        },
        // What it measures by is let go, and leads to production, too.
        |model| model.change_spec(|spec| spec.strategy.blue_green.preview_service = Some("other".into())),
        |model| {
            model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "preview")));
            model.lose_hash("preview");
        },
        |model| model.have_service("preview", false),
    ];
    for lead_elsewhere in ways {
        let mut model = being_analysed_by_itself();
        lead_elsewhere(&mut model);
        model.catch_up();
        assert!(model.operate(None), "it never rests");
        model.refuse(None);
        model.have_service("preview", true);
        model.work();
        let [first, second] = &model.truth.runs[..] else { panic!("two runs: {:?}", model.truth.runs) };
        assert!(first.terminating && !second.terminating && first.name != second.name, "{first:?} {second:?}");
        model.end_run(0, AnalysisPhase::Successful);
        model.work();
        assert_serves(&model, 1);
        model.end_run(1, AnalysisPhase::Successful);
        model.work();
        assert_serves(&model, 2);
    }
}

#[test]
fn who_asked_before_an_analysis_ended_does_not_accept_how_by_a_clock_that_is_ahead() {
    let (mut model, two) = being_analysed();
    // The clock of the operator that hears it is ten minutes ahead; another one takes over.
    model.now += SignedDuration::from_mins(10);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    model.now -= SignedDuration::from_mins(10);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Inconclusive);
    model.work();
    assert!(model.serving() != Some(two.clone()), "ann asked for a promotion behind the analysis: {}", say(&model));
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn an_analysis_that_ended_by_a_clock_that_is_ahead_can_be_accepted() {
    let (mut model, two) = being_analysed();
    model.now += SignedDuration::from_mins(10);
    end_runs(&mut model, "-pre", AnalysisPhase::Inconclusive);
    model.now -= SignedDuration::from_mins(10);
    model.work();
    assert!(model.serving() != Some(two.clone()), "{}", say(&model));
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn who_does_not_say_who_they_are_is_not_one_of_two_people() {
    let (mut model, two) = being_analysed();
    model.truth.rollout.request = Some("promote".into());
    model.change_spec(|_| ());
    model.work();
    // The team decides that it takes two.
    model.change_spec(|spec| spec.strategy.blue_green.required_approvals = Some(2));
    model.work();
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(answer(&model).1.contains("1 of 2"), "the answer counts as the gate does: {}", say(&model));
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert!(model.serving() != Some(two), "{}", say(&model));
}

#[test]
fn the_timer_begins_when_the_preview_can_be_looked_at() {
    let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(600), ..BlueGreen::default() });
    model.have_service("preview", false);
    model.push(2);
    model.work();
    model.pass(3600);
    model.work();
    assert_serves(&model, 1);
    model.have_service("preview", true);
    model.work();
    let two = model.hash(2);
    assert!(model.serving() != Some(two), "nobody could look at it for more than a moment: {}", say(&model));
}

#[test]
fn the_timer_begins_anew_when_the_preview_could_not_be_looked_at_for_a_while() {
    let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(600), ..BlueGreen::default() });
    model.push(2);
    model.work();
    model.have_service("preview", false);
    model.work();
    model.pass(3600);
    model.have_service("preview", true);
    model.work();
    assert_serves(&model, 1);
    // A hash that is put back at once makes no difference.
    model.pass(300);
    model.lose_hash("preview");
    model.work();
    model.pass(300);
    model.work();
    assert_serves(&model, 2);
}

fn auto_rollback() -> BlueGreen {
    BlueGreen { auto_rollback: Some(AutoRollback { unavailable_seconds: 10 }), ..manual() }
}

fn seconds(model: &mut Model, number: u8, ready: usize, seconds: usize) {
    let hash = model.hash(number);
    for _ in 0..seconds {
        model.run_pods(&hash, ready);
        model.catch_up();
        model.operate(None);
        model.pass(1);
    }
}

#[test]
fn production_goes_back_from_what_was_ready_once_for_a_moment_and_never_again() {
    let mut model = Model::new(auto_rollback());
    model.change_spec(|spec| spec.min_ready_seconds = Some(5));
    model.work();
    push_and_promote(&mut model, 2);
    seconds(&mut model, 2, 0, 4);
    seconds(&mut model, 2, 1, 2);
    // Dead for ten minutes.
    seconds(&mut model, 2, 0, 600);
    assert!(model.serving() == Some(model.hash(1)), "{}", say(&model));
}

#[test]
fn auto_rollback_that_is_switched_on_in_the_middle_of_an_outage_goes_back() {
    let mut model = promoted(manual(), &[2]);
    seconds(&mut model, 2, 0, 10);
    model.change_spec(|spec| spec.strategy.blue_green.auto_rollback = Some(AutoRollback { unavailable_seconds: 10 }));
    seconds(&mut model, 2, 0, 600);
    assert!(model.serving() == Some(model.hash(1)), "{}", say(&model));
}

#[test]
fn no_number_on_what_goes_rejects_what_is_made_in_its_place_or_has_it_wait() {
    for paused in [false, true] {
        let mut model = promoted(automatic(), &[]);
        model.change_spec(|spec| spec.paused = Some(paused));
        let one = model.hash(1);
        model.edit(&one, |rs| {
            rs.annotations.insert(names::REVISION.into(), "99".into());
            rs.finalizers.push("foregroundDeletion".into());
            rs.deleting = true;
        });
        model.truth.pods.insert(one.clone(), Vec::new());
        model.work();
        assert_eq!(model.status().rejected_revision, "", "{}", model.status().message);
        let serving = model.serving().expect("something serves");
        let made = model.truth.replica_sets.iter().find(|rs| rs.hash == serving).expect("it exists");
        assert!(serving != one && made.is_available(2), "paused {paused}: {made:?}");
    }
}

#[test]
fn a_restart_takes_no_pod_that_was_not_ready_when_it_was_last_heard_of() {
    let mut model = serves_one(manual());
    model.pass(60);
    let one = model.hash(1);
    model.run_pods(&one, 0);
    model.request(Verb::Restart, &one, "ann", None);
    model.operate(Some(1));
    model.operate(Some(0));
    model.happen(&Event::Behind(Kind::Pods, true));
    model.run_pods(&one, 2);
    for _ in 0..5 {
        model.operate(None);
        assert_eq!(model.rs(1).available, 2, "{}", model.status().message);
        model.run_pods(&one, 2);
        model.pass(1);
    }
    model.happen(&Event::Behind(Kind::Pods, false));
    for _ in 0..8 {
        model.work();
    }
    assert_eq!((model.rs(1).replicas, model.rs(1).annotation(names::RESTART_AT)), (2, None), "it goes on");
}

#[test]
fn what_failed_while_there_was_nothing_to_go_back_to_is_nothing_to_go_back_to() {
    let mut model =
        promoted(BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() }, &[2]);
    let one = model.hash(1);
    let run = model.truth.runs.iter().position(|run| run.name.ends_with("-post")).expect("it was started");
    model.end_run(run, AnalysisPhase::Failed);
    model.delete_replica_set(&one);
    model.work();
    assert_active(&model, 2);
    model.push(3);
    model.work();
    assert_active(&model, 3);
    let (two, three) = (model.hash(2), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", Some(two));
    model.work();
    assert!(!answer(&model).0, "{}", answer(&model).1);
    assert_active(&model, 3);
}

#[test]
fn an_undo_does_not_go_to_what_is_seen_at_the_same_time_to_have_failed() {
    let analysed = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() };
    let mut model = promoted(analysed, &[2, 3]);
    let (two, three) = (model.hash(2), model.hash(3));
    // It was bad before it was asked to stop.
    let run = model.truth.runs.iter_mut().find(|run| run.name.contains(&two)).expect("it was started");
    run.phase = AnalysisPhase::Failed;
    model.request(Verb::Rollback, &three, "ann", None);
    model.work();
    assert!(answer(&model).0, "{}", answer(&model).1);
    assert_active(&model, 1);
}

#[test]
fn it_is_told_which_revision_was_rejected_also_while_another_one_serves() {
    let analysed = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() };
    let mut model = promoted(analysed, &[2, 3]);
    let two = model.hash(2);
    let run = model.truth.runs.iter_mut().find(|run| run.name.contains(&two)).expect("it was started");
    run.phase = AnalysisPhase::Failed;
    model.work();
    assert_rejected(&model, 2, true);
    let told = model.ledger.events.iter().rfind(|event| event.reason == "RevisionRejected").expect("it is told");
    assert!(told.note.starts_with("revision 2 ") && told.note.contains("was rejected by greenlight"), "{told:?}");
}

#[test]
fn what_is_made_anew_in_an_overlap_joins_it_again_and_nothing_else_does() {
    let (mut model, [one, two]) = both_serve(overlapping());
    let rejoins = |model: &Model, hash: &str| {
        let decisions = status(model).decisions.expect("a record");
        let situation = Situation::new(&model.truth, &decisions, model.now);
        let home = situation.roles.home().expect("production is somewhere");
        assert_eq!(home.hash, hash);
        overlap::rejoin(&situation, home)
    };
    model.operate(None);
    assert_eq!(rejoins(&model, &two), None, "its pods carry the label");
    // One of this name was made anew, without the label.
    model.edit(&two, |rs| {
        rs.pod_labels.remove(names::SERVING_LABEL);
        rs.annotations.remove(names::ROLE_METADATA);
    });
    match rejoins(&model, &two) {
        Some(Action::ChangePodMetadata { hash, to, .. }) => {
            assert_eq!(hash, two);
            assert_eq!(to.labels.get(names::SERVING_LABEL).map(String::as_str), Some(model.truth.rollout.uid.as_str()));
        }
        other => panic!("{other:?}"),
    }
    // Outside an overlap the label is nobody's business.
    model.edit_service("active", |service| {
        service.selector.remove(names::SERVING_LABEL);
        service.selector.insert(names::HASH_LABEL.into(), two.clone());
    });
    assert_eq!(rejoins(&model, &two), None, "{one} is left");
}

#[test]
fn who_takes_over_in_an_overlap_and_has_not_seen_its_claim_looks_before_production_moves() {
    let (mut model, [one, two]) = both_serve(overlapping());
    let mut seen = model.seen();
    // The rollout and the new ReplicaSet are as they were before the promotion; the Service is as it is now, and another process was answered so.
    seen.services.values_mut().for_each(|service| service.answered = false);
    let record = seen.rollout.status.as_mut().and_then(|status| status.decisions.as_mut()).expect("a record");
    record.serving.clone_from(&one);
    record.revision_mut(&two).expect("it is known").claim = None;
    let new = seen.replica_sets.iter_mut().find(|rs| rs.hash == two).expect("it exists");
    for key in [names::PROMOTED_AT, names::PLANNED_FROM] {
        new.annotations.remove(key);
    }
    let plan = plan(&seen, model.now);
    assert!(plan.doubt.is_some(), "{:?}", plan.actions);
}

// Controllers of Kubernetes that see late what pods carry.

/// A change of what its pods carry has begun, with these labels in its template, which its controller has not seen yet.
fn begin_change(model: &mut Model, number: u8, labels: &[(&str, &str)]) {
    let hash = model.hash(number);
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let annotations = BTreeMap::from([(names::UNSETTLED.to_owned(), "true".to_owned())]);
    let note = PodMetadata { labels: labels.clone(), annotations };
    model.edit(&hash, |rs| {
        rs.annotations.insert(names::ROLE_METADATA.into(), serde_json::to_string(&note).expect("it is JSON"));
        rs.pod_labels.extend(labels);
        rs.settled = false;
    });
}

/// Revision 2 serves, and the pods of revision 1 are up inside their delay.
fn overlap_is_over() -> Model {
    let (mut model, _) = both_serve(overlapping());
    operate_for(&mut model, 70);
    assert_serves(&model, 2);
    assert!(model.rs(1).is_retired() && model.rs(1).current > 0, "{}", say(&model));
    model
}

/// It would be told as ready in preview once more, and production as not available.
#[test]
fn pods_that_are_to_carry_something_else_are_no_news() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let before = plan(&model.seen(), model.now).status;
    assert_eq!(before.phase, Phase::Paused);
    for number in [1, 2] {
        begin_change(&mut model, number, &[]);
    }
    let after = plan(&model.seen(), model.now);
    assert!(after.actions.is_empty(), "{:?}", after.actions);
    assert_eq!(after.status, before);
    assert_eq!(after.publish_at, None);
}

#[test]
fn production_is_available_while_it_is_scaled_down() {
    let mut model = serves_one(manual());
    model.scale(1);
    model.operate(None);
    assert!(model.rs(1).replicas == 1 && !model.rs(1).settled, "its controller has not seen that");
    assert!(is_true(&model, conditions::AVAILABLE), "{}", say(&model));
}

#[test]
fn a_candidate_is_not_given_up_for_a_template_that_is_not_seen() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| {
        spec.progress_deadline_abort = Some(true);
        spec.progress_deadline_seconds = Some(60);
    });
    model.push(2);
    model.work();
    begin_change(&mut model, 2, &[]);
    operate_for(&mut model, 200);
    assert_rejected(&model, 2, false);
}

#[test]
fn an_overlap_that_waits_for_kubernetes_says_so() {
    let mut model = serves_one(overlapping());
    model.push(2);
    model.work();
    let uid = model.truth.rollout.uid.clone();
    for number in [1, 2] {
        begin_change(&mut model, number, &[(names::SERVING_LABEL, uid.as_str())]);
    }
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Promote, &two, "ann", None);
    operate_for(&mut model, 5);
    assert_active(&model, 1);
    let waits = "moving production to revision 2 (web:v2); Kubernetes has not seen the last change of the ReplicaSet of revision 1";
    assert!(model.status().message.contains(waits), "{}", say(&model));
    for hash in [&one, &two] {
        model.edit(hash, |rs| rs.settled = true);
    }
    operate_for(&mut model, 1);
    assert!(model.truth.services["active"].is_overlapping(), "{}", say(&model));
}

#[test]
fn a_service_that_is_added_in_an_overlap_loses_no_pods_whose_label_is_not_seen() {
    let (mut model, [one, _]) = both_serve(overlapping());
    model.edit_service("extra", |service| drop(service.selector.insert(names::HASH_LABEL.into(), one.clone())));
    model.change_spec(|spec| spec.strategy.blue_green.additional_active_services = Some(vec!["extra".into()]));
    model.edit(&one, |rs| rs.fully_labeled = rs.current - 1);
    model.operate(None);
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{}", say(&model));
    let (seen, all) = (model.rs(1).fully_labeled, model.rs(1).current);
    let waits = format!("Kubernetes has seen the labels of the overlap on {seen} of {all} pods of revision 1");
    assert!(model.status().message.contains(&waits), "{}", say(&model));
    model.edit(&one, |rs| rs.fully_labeled = rs.current);
    model.operate(None);
    assert!(model.truth.services["extra"].is_overlapping(), "{}", say(&model));
}

#[test]
fn what_is_being_deleted_and_keeps_its_pods_for_its_delay_is_in_no_later_overlap() {
    let mut model = overlap_is_over();
    let one = model.hash(1);
    let uid = model.truth.rollout.uid.clone();
    // Somebody has deleted it before its pods had lost the label.
    model.edit(&one, |rs| {
        let note = format!(r#"{{"labels":{{"{}":"{uid}"}}}}"#, names::SERVING_LABEL);
        rs.annotations.insert(names::ROLE_METADATA.into(), note);
        rs.pod_labels.insert(names::SERVING_LABEL.into(), uid);
    });
    model.delete_replica_set(&one);
    model.push(3);
    model.work();
    assert!(model.rs(1).deleting && model.rs(1).current > 0, "its delay is not over");
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert!(model.truth.services["active"].is_overlapping(), "{}", say(&model));
    assert!(!model.rs(1).pod_labels.contains_key(names::SERVING_LABEL), "three revisions serve");
}

/// A claim that is not followed at once is withdrawn from each Service, and made once more.
#[test]
fn what_comes_back_by_way_of_an_overlap_is_claimed_once_its_pods_carry_the_label() {
    let mut model = overlap_is_over();
    model.change_spec(|spec| spec.strategy.blue_green.auto_promotion_enabled = Some(true));
    let before = model.rs(1).claimed_at();
    model.push(1);
    for writes in 1..20 {
        let mut copy = model.clone();
        copy.operate(Some(writes));
        if copy.truth.services["active"].is_overlapping() {
            return;
        }
        let rs = copy.rs(1);
        let is_labelled = rs.pod_labels.contains_key(names::SERVING_LABEL);
        assert!(is_labelled || rs.claimed_at() == before, "after {writes} writes: {rs:?}");
    }
    panic!("the overlap never began");
}

#[test]
fn a_change_of_pods_that_is_taken_back_on_its_way_begins_with_the_template() {
    let mut model = serves_one(overlapping());
    let uid = model.truth.rollout.uid.clone();
    begin_change(&mut model, 1, &[(names::SERVING_LABEL, uid.as_str())]);
    let one = model.hash(1);
    for has_begun in [false, true] {
        model.edit(&one, |rs| rs.settled = true);
        let rs = model.rs(1).clone();
        let action = Action::ChangePodMetadata {
            name: rs.name.clone(),
            resource_version: rs.resource_version.clone(),
            hash: rs.hash.clone(),
            from: metadata::carried(&rs),
            to: PodMetadata::default(),
        };
        let written = greenlight_core::simulate::apply(&mut model.truth, &action, "999999", model.now);
        assert_eq!(written, greenlight_core::simulate::Written::Done);
        let rs = model.rs(1);
        assert!(!rs.pod_labels.contains_key(names::SERVING_LABEL));
        assert_eq!((rs.settled, metadata::is_under_way(rs)), (has_begun, !has_begun), "{rs:?}");
    }
}

// Clocks and words of others.

/// Somebody asks for something by a clock that is a minute ahead.
fn request_ahead(model: &mut Model, action: Verb, revision: &str) {
    let now = model.now;
    model.now += SignedDuration::from_mins(1);
    model.request(action, revision, "ann", None);
    model.now = now;
}

#[test]
fn what_was_undone_goes_after_its_delay_also_when_the_clock_of_who_asked_is_ahead() {
    let delays = BlueGreen { scale_down_delay_seconds: Some(30), abort_scale_down_delay_seconds: Some(0), ..manual() };
    let mut model = promoted(delays, &[2]);
    let two = model.hash(2);
    request_ahead(&mut model, Verb::Rollback, &two);
    model.work();
    assert_active(&model, 1);
    for _ in 0..5 {
        model.pass(60);
        model.scale_down();
        model.work();
    }
    // Only what was aborted while it waited is kept up.
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn what_was_aborted_is_kept_as_the_spec_says_also_when_the_clock_of_who_asked_is_behind() {
    let delays = BlueGreen { scale_down_delay_seconds: Some(30), abort_scale_down_delay_seconds: Some(0), ..manual() };
    let mut model = promoted(delays, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    model.push(1);
    model.work();
    let one = model.hash(1);
    // By this clock revision 1 serves still.
    model.now -= SignedDuration::from_hours(2);
    model.request(Verb::Abort, &one, "ann", None);
    model.now += SignedDuration::from_hours(2);
    model.work();
    assert_rejected(&model, 1, true);
    for _ in 0..5 {
        model.pass(60);
        model.scale_down();
        model.work();
    }
    assert_active(&model, 2);
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

#[test]
fn a_forged_mirror_does_not_say_where_production_goes_back_to() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.post_promotion_analysis = Some(RolloutAnalysis::default()));
    push_and_promote(&mut model, 3);
    let (one, three) = (model.hash(1), model.hash(3));
    let forged = format!(r#"{{"by":"greenlight","at":"{}","reason":"forged","to":"{one}"}}"#, model.now);
    model.edit(&three, |rs| drop(rs.annotations.insert(names::REJECTED.to_owned(), forged)));
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert_rejected(&model, 3, true);
    assert_active(&model, 2);
}

#[test]
fn a_template_that_git_asks_for_anew_is_not_held_back_by_a_status_that_was_lost_before() {
    let mut model = serves_one(automatic());
    model.change_spec(|spec| spec.paused = Some(true));
    model.push(2);
    model.work();
    model.wipe_status();
    model.change_spec(|spec| spec.paused = Some(false));
    model.work();
    // It may have been rejected: it waits for a person, or for another commit.
    assert_active(&model, 1);
    model.push(3);
    model.work();
    assert_active(&model, 3);
    model.push(2);
    model.work();
    assert_active(&model, 2);
}

#[test]
fn an_analysis_that_has_no_pods_to_look_at_says_what_it_waits_for() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() });
    model.scale(0);
    model.work();
    model.push(2);
    model.work();
    assert!(is_true(&model, conditions::PAUSED), "{}", say(&model));
    assert!(status(&model).message.contains("Scale it up"), "{}", say(&model));
    // With pods it goes on by itself.
    model.scale(2);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_active(&model, 2);
}

#[test]
fn a_timer_does_not_count_while_there_are_no_pods_to_look_at() {
    for scaled_later in [false, true] {
        let mut model = serves_one(BlueGreen { auto_promotion_seconds: Some(600), ..BlueGreen::default() });
        if scaled_later {
            model.push(2);
            model.work();
            model.pass(10);
            model.scale(0);
        } else {
            model.scale(0);
            model.work();
            model.push(2);
        }
        model.work();
        assert!(status(&model).message.contains("Scale it up"), "{}", say(&model));
        model.pass(3600);
        model.work();
        assert_active(&model, 1);
        model.scale(2);
        model.work();
        model.pass(500);
        model.work();
        assert_active(&model, 1);
        model.pass(100);
        model.work();
        assert_active(&model, 2);
    }
}

#[test]
fn a_forged_deadline_does_not_end_the_delay_of_what_served() {
    for scale_down_delay_revision_limit in [None, Some(1)] {
        let delay = BlueGreen { scale_down_delay_seconds: Some(300), ..manual() };
        let mut model = promoted(BlueGreen { scale_down_delay_revision_limit, ..delay }, &[2]);
        let one = model.hash(1);
        let now = model.now;
        model.edit(&one, |rs| {
            rs.annotations.insert(names::SCALE_DOWN_AT.into(), (now - SignedDuration::from_secs(1)).to_string());
        });
        model.pass(100);
        model.scale_down();
        assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
        model.pass(300);
        model.scale_down();
        assert_eq!(model.rs(1).replicas, 0, "{}", say(&model));
    }
}

#[test]
fn who_promotes_by_a_clock_that_is_ahead_is_named() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.now += SignedDuration::from_secs(3);
    model.request(Verb::Promote, &two, "ann", None);
    model.now -= SignedDuration::from_secs(3);
    model.work();
    assert_active(&model, 2);
    let switch = status(&model).switch.clone().expect("a switch");
    assert_eq!(switch.requested_by, "ann", "{switch:?}");
    assert!(switch.requested_at.is_some_and(|at| at <= switch.switched_at), "{switch:?}");
}

#[test]
fn who_undoes_by_a_clock_that_is_ahead_is_named() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    request_ahead(&mut model, Verb::Rollback, &two);
    model.work();
    assert_active(&model, 1);
    let switch = status(&model).switch.expect("a switch");
    assert_eq!(switch.requested_by, "ann", "{switch:?}");
    assert!(switch.requested_at.is_some_and(|at| at <= switch.switched_at), "{switch:?}");
}

#[test]
fn what_a_rollout_of_this_name_left_behind_is_still_rejected_and_has_earned_nothing() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    for is_older in [true, false] {
        let mut world = model.truth.clone();
        let rs = world.replica_sets.iter_mut().find(|rs| rs.hash == two).expect("a ReplicaSet");
        let since = SignedDuration::from_secs(if is_older { 60 } else { -60 });
        world.rollout.created = rs.created + since;
        let rejection =
            Rejection { by: "ann".into(), at: model.now, reason: "bad".into(), to: None, of_attempt: false };
        rs.annotations.insert(names::REJECTED.into(), serde_json::to_string(&rejection).expect("JSON"));
        rs.annotations.insert(names::PROMOTED_AT.into(), model.now.to_string());
        world.runs =
            vec![Run { name: format!("{}-2-0-pre", rs.name), phase: AnalysisPhase::Successful, ..Run::default() }];
        let status = world.rollout.status.as_mut().and_then(|status| status.decisions.as_mut());
        status.expect("a record").revisions.retain(|revision| revision.hash != two);
        let read = decisions::read(&world, model.now).now;
        let record = read.revision(&two).expect("it is known");
        // A mirror that was not there before the rollout was made by somebody else.
        assert_eq!(record.rejection.is_some(), is_older);
        assert!(!is_older || record.attempt > 0, "its analysis is made anew");
        assert!(record.served_at.is_none() && record.claim.is_none() && record.approvals.is_empty(), "{record:?}");
    }
}

/// Production went on from it before its analysis was over, and comes back.
#[test]
fn what_production_comes_back_to_is_measured_until_it_is_known_to_be_good() {
    let mut model = serves_one(BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..automatic() });
    for number in [2, 3] {
        model.push(number);
        model.work();
    }
    let (two, three) = (model.hash(2), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", Some(two.clone()));
    model.work();
    assert_active(&model, 2);
    end_runs(&mut model, "-post", AnalysisPhase::Successful);
    model.work();
    let record = status(&model).decisions.clone().expect("a record");
    let verdict = record.revision(&two).and_then(|record| record.post_promotion);
    assert_eq!(verdict, Some(Verdict::Passed), "{}", say(&model));
}

/// A Service that an earlier rollout moved to pods that it left behind is nobody's to take with them who may not name it.
#[test]
fn pods_that_were_left_behind_go_only_with_the_services_that_lead_to_them() {
    let model = serves_one(manual());
    let (one, services) = (model.hash(1), model.truth.services.clone());
    let mut rollout = model.truth.rollout.clone();
    let kept = |rollout: &greenlight_core::world::Rollout| {
        rollout.may_not_adopt(&one, services.values()).map(|service| service.name.clone())
    };
    assert_eq!(kept(&rollout), None);
    rollout.spec.strategy.blue_green.active_service = None;
    assert_eq!(kept(&rollout).as_deref(), Some("active"));
    rollout.spec.strategy.blue_green.active_service = Some("active".into());
    rollout.spec.strategy.blue_green.preview_service = None;
    assert_eq!(kept(&rollout).as_deref(), Some("preview"), "it shows them, too");
    rollout.name = "other".into();
    assert_eq!(kept(&rollout), None, "these are not of its name");
}

#[test]
fn a_way_back_that_nobody_asked_for_is_nobodys_request() {
    let mut model = promoted(BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() }, &[]);
    for number in [2, 3] {
        push_and_promote(&mut model, number);
        let end = if number == 2 { AnalysisPhase::Successful } else { AnalysisPhase::Failed };
        end_runs(&mut model, "-post", end);
        model.work();
    }
    assert_active(&model, 2);
    let switch = status(&model).switch.clone().expect("a switch");
    assert_eq!((switch.requested_by.as_str(), switch.requested_at), ("", None), "{switch:?}");
}

/// A verb that is typed is for what the status said when somebody looked at it, however production has moved since.
#[test]
fn an_undo_that_is_typed_is_of_what_the_status_said() {
    let verb = Verb::ALL.iter().position(|verb| *verb == Verb::Rollback).expect("a verb");
    let typed = Event::Type(u8::try_from(verb).expect("there are few"));
    // Two is bad; somebody moves the Service to three by hand, and types the verb as well.
    let mut model = promoted(manual(), &[3, 2]);
    let three = model.hash(3);
    model.point_by_hand("active", &three);
    model.happen(&typed);
    model.work();
    assert_serves(&model, 3);
    assert_rejected(&model, 2, true);
    assert_rejected(&model, 3, false);
    // Two is bad, and three, the fix, is just being switched to.
    for writes in 1..6 {
        let mut model = promoted(manual(), &[2]);
        model.push(3);
        model.work();
        let three = model.hash(3);
        model.request(Verb::Promote, &three, "ann", None);
        model.operate(Some(writes));
        let serving = status(&model).decisions.expect("a record").serving;
        model.happen(&typed);
        model.work();
        let undone = if serving == three { 3 } else { 2 };
        assert_rejected(&model, 5 - undone, false);
        assert!(undone == 3 || model.serving() != Some(model.hash(2)), "after {writes} writes: {}", say(&model));
    }
}

/// A server-side apply takes the hash out of the Service in the moment in which production has no ready pods.
#[test]
fn a_service_that_lost_its_hash_does_not_lead_to_what_nobody_promoted() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.rs(2).name.clone());
    model.run_pods(&one, 0);
    model.lose_hash("active");
    model.catch_up();
    model.operate(None);
    model.catch_up();
    assert_eq!(model.serving(), Some(one), "{}", say(&model));
    let leads = model.truth.endpoints["active"].iter().filter(|endpoint| endpoint.pod.starts_with(&two)).count();
    assert_eq!(leads, 0, "{}", say(&model));
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn what_served_before_is_better_than_nothing_where_a_service_lost_its_hash() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    let one = model.hash(1);
    model.run_pods(&one, 0);
    model.lose_hash("active");
    model.operate(None);
    assert_eq!(model.serving(), None, "the pods of 2 are all that is ready: {}", say(&model));
    model.work();
    assert_serves(&model, 1);
}

/// A webhook of ReplicaSets is down, and a server-side apply takes the hash out of the Service.
#[test]
fn a_service_gets_its_hash_back_while_no_replica_set_may_be_written() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let one = model.hash(1);
    model.refuse(Some(|action| matches!(action, Action::ChangeReplicaSet { .. })));
    model.lose_hash("active");
    model.catch_up();
    for _ in 0..4 {
        model.operate(None);
        model.pass(1);
    }
    assert_eq!(model.serving(), Some(one), "{}", say(&model));
    // It is proven anew.
    for _ in 0..4 {
        model.catch_up();
        model.operate(None);
        model.pass(10);
    }
    let switch = status(&model).switch.expect("a switch");
    assert!(switch.proven_at.is_some(), "{switch:?} {}", say(&model));
}

/// The status is lost, and with it the rejection; nothing is left of what was undone, and the Service is made anew.
#[test]
fn what_was_undone_is_not_promoted_by_itself_after_a_lost_status_with_a_new_service() {
    let at_once = BlueGreen { scale_down_delay_seconds: Some(0), ..BlueGreen::default() };
    for undone in [true, false] {
        let mut model = serves_one(at_once.clone());
        model.push(2);
        model.work();
        assert_serves(&model, 2);
        let gone = if undone { 2 } else { 1 };
        if undone {
            undo(&mut model);
            assert_serves(&model, 1);
        }
        let gone = model.hash(gone);
        model.edit(&gone, |rs| rs.finalizers.clear());
        model.delete_replica_set(&gone);
        model.have_service("active", false);
        model.have_service("active", true);
        model.wipe_status();
        model.work();
        model.work();
        // What was claimed, and is asked for, comes back by itself.
        let serves = model.has(2) && model.serving() == Some(model.hash(2));
        assert_eq!(serves, !undone, "{}", say(&model));
    }
}

/// The first was refused, since the status was lost: the second is not that one once more.
#[test]
fn a_verb_that_is_typed_again_after_a_lost_status_is_heard() {
    let verb = Verb::ALL.iter().position(|verb| *verb == Verb::Rollback).expect("a verb");
    let typed = Event::Type(u8::try_from(verb).expect("there are few"));
    let mut model = serves_one(automatic());
    model.push(2);
    model.work();
    model.wipe_status();
    model.happen(&typed);
    model.work();
    assert!(!answer(&model).0, "{}", say(&model));
    assert_serves(&model, 2);
    model.push(3);
    model.work();
    assert_serves(&model, 3);
    model.happen(&typed);
    model.work();
    assert!(answer(&model).0, "{}", say(&model));
    assert_serves(&model, 2);
}

#[test]
fn a_scale_from_before_the_status_is_written_again_is_productions() {
    for replicas in [4, 1] {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        model.wipe_status();
        model.scale(replicas);
        model.work();
        assert_serves(&model, 1);
        assert_eq!(model.rs(1).replicas, replicas, "{}", say(&model));
    }
    // One that came with the template waits with it.
    let mut model = serves_one(manual());
    model.happen(&Event::TemplateAndReplicas(2, 4));
    model.work();
    model.wipe_status();
    model.work();
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (2, 4), "{}", say(&model));
}

#[test]
fn a_service_that_leads_to_any_revision_is_told() {
    let mut model = promoted(automatic(), &[2]);
    undo(&mut model);
    assert_serves(&model, 1);
    model.wipe_status();
    model.have_service("active", false);
    model.have_service("active", true);
    model.catch_up();
    model.operate(None);
    let message = status(&model).message;
    assert!(message.contains("Service active leads to the pods of any revision"), "{message}");
}

#[test]
fn an_abort_does_not_say_that_serves_what_production_goes_to() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    model.request(Verb::Abort, &two, "bob", None);
    model.operate(None);
    let (accepted, answer) = answer(&model);
    assert!(accepted && answer.contains("is where production goes"), "{answer}");
}

#[test]
fn trouble_is_told_of_the_spec_on_which_work_failed_and_nothing_else_of_it_is_new() {
    let mut model = promoted(manual(), &[]);
    let before = status(&model);
    model.push(2);
    let newest = model.truth.rollout.generation;
    assert!(before.observed_generation < newest);
    let told = |model: &Model, failed_on: i64| {
        let words = "nobody lists Services".to_owned();
        reported::of_trouble(&model.truth.rollout, failed_on, words, model.now).expect("there is a record")
    };
    let spoken_of = |status: &BlueGreenRolloutStatus| {
        status.conditions.iter().map(|condition| condition.observed_generation).collect::<BTreeSet<_>>()
    };
    let untried = spoken_of(&told(&model, 0));
    assert_eq!(untried, BTreeSet::from([Some(before.observed_generation)]), "the newest spec may be what mends it");
    let tried = told(&model, newest);
    assert_eq!((tried.phase, spoken_of(&tried)), (Phase::Degraded, BTreeSet::from([Some(newest)])));
    assert_eq!(tried.observed_generation, before.observed_generation, "what else it says is of the spec before");
    assert_eq!(tried.updated_revision, before.updated_revision);
    model.truth.rollout.status = Some(tried.clone());
    assert_eq!(told(&model, 0), tried, "another operator takes over");
}

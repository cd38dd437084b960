//! What one Service lacks holds up only that Service, and what is retired was left by all: the findings of an attack on what stands aside, stays
//! behind, or was given up.

mod model;

use greenlight_api::{
    AnalysisPhase, AutoRollback, BlueGreen, Rejection, RollbackWindow, RolloutAnalysis, SwitchMode, Verb, names,
};
use greenlight_core::Action;
use greenlight_core::world::{Rival, Selection};
use jiff::SignedDuration;
use model::Model;
use model::people::{assert_rejected, assert_serves, end_runs, manual, promoted, push_and_promote, serves_one, undo};

fn pre() -> Option<RolloutAnalysis> {
    Some(RolloutAnalysis::default())
}

fn say(model: &Model) -> String {
    let status = model.status();
    format!("{:?} {} | {:?} | {:?}", status.phase, status.message, status.observed_request, status.switch)
}

fn with_extra(blue_green: BlueGreen) -> BlueGreen {
    BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..blue_green }
}

fn at_once(blue_green: BlueGreen) -> BlueGreen {
    BlueGreen { scale_down_delay_seconds: Some(0), ..blue_green }
}

fn label(model: &mut Model, service: &str, value: Option<&str>) {
    model.edit_service(service, |service| {
        match value {
            Some(value) => service.selector.insert("tier".into(), value.into()),
            None => service.selector.remove("tier"),
        };
    });
}

fn days(model: &mut Model) {
    for _ in 0..20 {
        model.work();
        model.scale_down();
        model.pass(60);
    }
}

fn rival_takes(model: &mut Model, service: &str) {
    let created = model.truth.rollout.created + SignedDuration::from_hours(1);
    model.truth.rivals = vec![Rival { name: "rival".into(), created, services: vec![service.into()] }];
    model.edit_service(service, |extra| {
        extra.managed_by = Some("rival".into());
        extra.production = Some("theirs".into());
        extra.selector.insert(names::HASH_LABEL.into(), "theirs".into());
    });
}

// The hash stays in it, but by its own labels it leads to nobody.
#[test]
fn a_mislabelled_service_with_an_old_hash_leads_nowhere_and_holds_nothing_up() {
    let mut model = promoted(with_extra(at_once(manual())), &[2]);
    label(&mut model, "extra", Some("typo"));
    undo(&mut model);
    days(&mut model);
    assert_eq!(model.serving(), Some(model.hash(1)));
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn undo_to_a_named_revision_while_an_additional_service_fits_nothing() {
    let mut model = promoted(with_extra(manual()), &[2, 3]);
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    model.work();
    let (one, three) = (model.hash(1), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", Some(one.clone()));
    model.work();
    assert_eq!(model.serving(), Some(one), "{}", say(&model));
}

#[test]
fn undo_to_a_named_revision_while_an_additional_service_is_anothers() {
    let mut model = promoted(with_extra(manual()), &[2, 3]);
    rival_takes(&mut model, "extra");
    label(&mut model, "extra", Some("theirs"));
    model.work();
    let (one, three) = (model.hash(1), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", Some(one.clone()));
    model.work();
    assert_eq!(model.serving(), Some(one), "{}", say(&model));
}

#[test]
fn anothers_service_does_not_choose_where_undo_goes() {
    let mut model = promoted(with_extra(manual()), &[6, 2]);
    rival_takes(&mut model, "extra");
    label(&mut model, "extra", Some("front"));
    model.work();
    undo(&mut model);
    assert_eq!(model.serving(), Some(model.hash(6)), "{}", say(&model));
}

#[test]
fn an_additional_service_that_is_gone_holds_nothing_up() {
    let mut model = promoted(with_extra(at_once(manual())), &[2]);
    model.have_service("extra", false);
    undo(&mut model);
    days(&mut model);
    assert_eq!(model.serving(), Some(model.hash(1)));
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

// Endpoints of a Service that stands aside still lead to what is retired.
#[test]
fn a_service_that_stands_aside_still_leads_by_its_endpoints() {
    let mut model = Model::new(with_extra(at_once(manual())));
    label(&mut model, "extra", None);
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    label(&mut model, "extra", Some("front"));
    model.work();
    undo(&mut model);
    assert_eq!(model.serving(), Some(model.hash(6)), "{}", say(&model));
    // Somebody replaces its selector, wrongly; the EndpointSlices follow a moment later.
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    model.operate(None);
    model.scale_down();
    let two = model.rs(2).clone();
    let reached = model.truth.endpoints["extra"].iter().filter(|e| e.ready && e.pod.starts_with(&two.name)).count();
    assert!(reached > 0);
    assert_eq!(two.replicas, 2, "{}", say(&model));
}

#[test]
fn production_that_is_down_is_told_why_its_analysis_does_not_begin() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: pre(), ..BlueGreen::default() });
    let one = model.hash(1);
    model.have_service("preview", false);
    model.push(2);
    model.delete_replica_set(&one);
    for _ in 0..20 {
        model.work();
    }
    let begun = model.truth.runs.iter().any(|run| run.name.ends_with("-pre"));
    assert!(begun || model.status().message.contains("Service preview"), "{}", say(&model));
}

#[test]
fn production_that_is_down_is_told_why_its_timer_does_not_run() {
    let mut model = serves_one(BlueGreen {
        auto_promotion_enabled: Some(false),
        auto_promotion_seconds: Some(30),
        ..BlueGreen::default()
    });
    let one = model.hash(1);
    model.have_service("preview", false);
    model.push(2);
    model.delete_replica_set(&one);
    days(&mut model);
    let serves = model.serving() == Some(model.hash(2));
    assert!(serves || model.status().message.contains("Service preview"), "{}", say(&model));
}

// extra was production's, Git replaced its selector; then a candidate waits.
#[test]
fn what_nobody_promoted_gets_no_traffic_by_a_service_that_lost_its_hash_and_does_not_fit() {
    let mut model = Model::new(with_extra(manual()));
    model.push(6);
    model.work();
    assert_serves(&model, 6);
    // A tool that replaces the whole selector.
    label(&mut model, "extra", Some("front"));
    model.lose_hash("extra");
    model.work();
    model.push(2);
    model.work();
    model.catch_up();
    let two = model.rs(2).clone();
    let reached = model.truth.endpoints["extra"].iter().filter(|e| e.ready && e.pod.starts_with(&two.name)).count();
    assert_eq!(reached, 0, "{} {:?}", say(&model), model.truth.services["extra"]);
}

#[test]
fn who_is_asked_to_promote_is_told_while_a_service_stands_aside() {
    let mut model = Model::new(with_extra(manual()));
    model.push(6);
    model.work();
    assert_serves(&model, 6);
    label(&mut model, "extra", Some("front"));
    model.work();
    model.push(2);
    model.work();
    assert!(model.status().message.contains("promot"), "{}", say(&model));
}

#[test]
fn a_service_that_comes_back_is_moved_and_proven() {
    let mut model = promoted(with_extra(manual()), &[2]);
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    undo(&mut model);
    assert!(model.rs(2).is_retired(), "{}", say(&model));
    let before = model.status().switch.clone().and_then(|switch| switch.proven_at);
    model.pass(60);
    model.work();
    label(&mut model, "extra", None);
    model.work();
    let one = model.hash(1);
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{}", say(&model));
    let after = model.status().switch.clone().and_then(|switch| switch.proven_at);
    assert!(after > before, "{before:?} {after:?}");
}

#[test]
fn a_service_of_an_overlap_that_is_mislabelled_holds_nothing_up() {
    let overlapping = BlueGreen {
        switch_mode: Some(SwitchMode::Overlap),
        overlap_seconds: Some(10),
        scale_down_delay_seconds: Some(0),
        ..manual()
    };
    let (mut model, [_, two]) = model::people::both_serve(with_extra(overlapping));
    assert!(model.truth.services["extra"].is_overlapping());
    label(&mut model, "extra", Some("typo"));
    days(&mut model);
    assert_eq!(model.serving(), Some(two), "{}", say(&model));
    assert_eq!(model.rs(1).replicas, 0, "{}", say(&model));
}

// A mirror that anybody may write says that a rejection was only of an attempt.
#[test]
fn a_forged_mirror_opens_nothing() {
    let mut model = Model::new(BlueGreen { post_promotion_analysis: pre(), ..manual() });
    model.work();
    push_and_promote(&mut model, 2);
    let (one, two) = (model.hash(1), model.hash(2));
    let forged = Rejection { by: "greenlight".into(), at: model.now, reason: "x".into(), to: None, of_attempt: true };
    model.edit(&two, |rs| drop(rs.annotations.insert(names::REJECTED.into(), serde_json::to_string(&forged).unwrap())));
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert_eq!(model.serving(), Some(one.clone()), "{}", say(&model));
    let record = model.status().decisions.clone().unwrap();
    assert!(record.revision(&two).is_some_and(|two| !two.may_serve_again()), "{:?}", record.revision(&two));
}

#[test]
fn no_doubt_for_ever_while_anothers_service_stands_aside() {
    let mut model = promoted(with_extra(manual()), &[2]);
    rival_takes(&mut model, "extra");
    model.work();
    model.work();
    let mut seen = model.seen();
    seen.live = false;
    assert_eq!(greenlight_core::plan(&seen, model.now).doubt, None, "{}", say(&model));
}

#[test]
fn a_service_that_is_named_no_more_and_cannot_be_written_holds_no_promotion_up() {
    let mut model = promoted(manual(), &[2]);
    model.refuse(Some(|action| action.target("web") == "Service active"));
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.work();
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    for _ in 0..20 {
        model.work();
    }
    assert_eq!(model.truth.services["other"].hash(), Some(three.as_str()), "{}", say(&model));
}

#[test]
fn a_retired_set_that_is_selected_again_stays() {
    let mut model = Model::new(with_extra(BlueGreen { scale_down_delay_seconds: Some(100), ..manual() }));
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    undo(&mut model);
    assert!(model.rs(2).is_retired());
    label(&mut model, "extra", Some("front"));
    days(&mut model);
    assert_eq!(model.rs(2).replicas, 2, "{}", say(&model));
    assert!(model.status().message.contains("extra"), "{}", say(&model));
    // And when it is right again, all follow.
    label(&mut model, "extra", None);
    days(&mut model);
    assert_serves(&model, 6);
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn a_first_service_that_lost_its_hash_and_fits_nothing_is_no_reason_to_let_a_candidate_in() {
    let mut model = Model::new(manual());
    model.push(6);
    model.work();
    assert_serves(&model, 6);
    model.ask_for_tier(true);
    model.lose_hash("active");
    model.work();
    model.push(2);
    model.work();
    model.catch_up();
    let two = model.rs(2).clone();
    let reached = model.truth.endpoints["active"].iter().filter(|e| e.ready && e.pod.starts_with(&two.name)).count();
    assert_eq!(reached, 0, "{} {:?}", say(&model), model.truth.services["active"]);
}

#[test]
fn auto_rollback_and_window() {
    let auto_rollback = Some(AutoRollback { unavailable_seconds: 10 });
    let mut model = promoted(with_extra(BlueGreen { auto_rollback, ..manual() }), &[2]);
    label(&mut model, "extra", Some("typo"));
    let two = model.hash(2);
    for _ in 0..30 {
        model.run_pods(&two, 0);
        model.catch_up();
        model.operate(None);
        model.pass(1);
    }
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
    let _ = (Selection::Nothing, RollbackWindow { revisions: 1 });
    assert_rejected(&model, 2, true);
}

// Its hash is still that of home, and a label was added that home's pods do not carry: it has no endpoints.
#[test]
fn a_service_without_endpoints_is_told_while_a_candidate_waits_that_would_fit() {
    let mut model = Model::new(with_extra(manual()));
    model.push(6);
    model.work();
    label(&mut model, "extra", Some("front"));
    model.push(2);
    model.work();
    assert!(model.status().message.contains("extra"), "{}", say(&model));
}

#[test]
fn the_first_service_without_endpoints_is_told_while_a_candidate_waits_that_would_fit() {
    let mut model = Model::new(manual());
    model.push(6);
    model.work();
    assert_serves(&model, 6);
    model.ask_for_tier(true);
    model.push(2);
    model.work();
    model.catch_up();
    assert!(model.truth.endpoints["active"].is_empty());
    assert!(model.status().message.contains("Service active"), "{}", say(&model));
}

#[test]
fn the_first_service_without_endpoints_is_told_while_its_candidate_is_rejected() {
    let mut model = Model::new(manual());
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    undo(&mut model);
    assert_serves(&model, 6);
    model.ask_for_tier(true);
    model.work();
    model.catch_up();
    assert!(model.truth.endpoints["active"].is_empty());
    assert!(model.status().message.contains("Service active"), "{}", say(&model));
}

#[test]
fn what_a_service_that_stays_behind_leads_to_is_not_retired() {
    let mut model = promoted(manual(), &[2]);
    model.ask_for_tier(true);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    push_and_promote(&mut model, 6);
    for _ in 0..80 {
        model.work();
        model.scale_down();
        model.pass(60);
    }
    println!("{} {:?}", say(&model), model.truth.services["active"]);
}

#[test]
fn a_service_that_the_rival_gives_up_is_moved_and_proven() {
    let mut model = promoted(with_extra(manual()), &[2]);
    rival_takes(&mut model, "extra");
    model.work();
    undo(&mut model);
    model.truth.rivals.clear();
    model.work();
    assert_serves(&model, 1);
    assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_some()), "{}", say(&model));
}

#[test]
fn of_two_additional_services_only_one_stands_aside() {
    let two_more =
        BlueGreen { additional_active_services: Some(vec!["extra".into(), "other".into()]), ..at_once(manual()) };
    let mut model = promoted(two_more, &[2]);
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    undo(&mut model);
    days(&mut model);
    let one = model.hash(1);
    assert_eq!(model.truth.services["other"].hash(), Some(one.as_str()));
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
    model.scale(0);
    days(&mut model);
    label(&mut model, "extra", None);
    days(&mut model);
    model.scale(3);
    days(&mut model);
    assert_serves(&model, 1);
    assert_eq!(model.rs(1).available, 3);
}

// A rejection that was restored from its mirror opens nothing, whatever the mirror says.
#[test]
fn a_forged_mirror_and_a_restored_status_open_nothing() {
    let mut model = promoted(manual(), &[2]);
    let backup = model.status().clone();
    let (one, two) = (model.hash(1), model.hash(2));
    undo(&mut model);
    assert_serves(&model, 1);
    let forged = Rejection { by: "x".into(), at: model.now, reason: "x".into(), to: None, of_attempt: true };
    model.edit(&two, |rs| drop(rs.annotations.insert(names::REJECTED.into(), serde_json::to_string(&forged).unwrap())));
    model.restore_status(backup);
    model.work();
    assert_eq!(model.serving(), Some(one));
    let record = model.status().decisions.clone().unwrap();
    assert!(record.revision(&two).is_some_and(|two| !two.may_serve_again()), "{:?}", record.revision(&two));
}

// The mirror says of an attempt what is of more: it is put right.
#[test]
fn a_mirror_that_says_less_than_the_record_is_put_right() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    undo(&mut model);
    let mut mirrored = model.rs(2).mirrored_rejection().expect("it is mirrored");
    assert!(!mirrored.of_attempt);
    mirrored.of_attempt = true;
    model.edit(&two, |rs| {
        drop(rs.annotations.insert(names::REJECTED.into(), serde_json::to_string(&mirrored).unwrap()))
    });
    model.work();
    assert!(model.rs(2).mirrored_rejection().is_some_and(|it| !it.of_attempt));
}

// Also the post-promotion analysis, the notes and the workload wait for a proof.
#[test]
fn a_revision_is_proven_although_an_additional_service_was_deleted_at_the_switch() {
    let mut model = serves_one(with_extra(at_once(manual())));
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_eq!(model.serving(), Some(two.clone()));
    // In the same moment the Service goes for good: Git names it no more a commit later.
    model.have_service("extra", false);
    for _ in 0..20 {
        model.work();
    }
    let served = model.status().decisions.as_ref().and_then(|it| it.revision(&two)).and_then(|it| it.served_at);
    assert!(served.is_some(), "{}", say(&model));
}

// Production is down, and there is nothing to go back to: one additional Service holds up the first.
#[test]
fn production_that_is_down_does_not_wait_for_an_additional_service() {
    let mut model = serves_one(with_extra(BlueGreen::default()));
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    let one = model.hash(1);
    model.push(2);
    model.delete_replica_set(&one);
    for _ in 0..20 {
        model.work();
    }
    assert_eq!(model.serving(), Some(model.hash(2)), "{}", say(&model));
}

#[test]
fn production_that_is_down_does_not_wait_for_anothers_additional_service() {
    let mut model = serves_one(with_extra(BlueGreen::default()));
    rival_takes(&mut model, "extra");
    let one = model.hash(1);
    model.push(2);
    model.delete_replica_set(&one);
    for _ in 0..20 {
        model.work();
    }
    assert_eq!(model.serving(), Some(model.hash(2)), "{}", say(&model));
}

#[test]
fn an_aborted_revert_is_kept_as_long_as_the_spec_says() {
    let kept = BlueGreen { abort_scale_down_delay_seconds: Some(0), scale_down_delay_seconds: Some(30), ..manual() };
    let mut model = promoted(kept, &[2]);
    model.push(1);
    model.work();
    let one = model.hash(1);
    model.request(Verb::Abort, &one, "ann", None);
    days(&mut model);
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

#[test]
fn undo_to_what_was_given_up_without_services() {
    let mut model = Model::new(BlueGreen { ..manual() });
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
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    let record = model.status().decisions.clone().unwrap();
    assert_eq!(record.serving, two, "{}", say(&model));
    model.request(Verb::Rollback, &two, "ann", None);
    for _ in 0..5 {
        model.work();
    }
    let record = model.status().decisions.clone().unwrap();
    assert_eq!(record.serving, one, "{}", say(&model));
    assert!(record.rejection(&one).is_none());
}

// An overlap is under way, and the Service is named no more and does not fit.
#[test]
fn an_overlap_that_stays_behind_does_not_keep_the_next_switch_from_overlapping() {
    let overlapping =
        BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(10), ..at_once(manual()) };
    let (mut model, _) = model::people::both_serve(overlapping);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    label(&mut model, "active", Some("typo"));
    days(&mut model);
    assert_eq!(model.serving(), Some(model.hash(2)), "{}", say(&model));
    assert_eq!(model.rs(1).replicas, 0, "{} {:?}", say(&model), model.truth.services["active"]);
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert!(model.truth.services["other"].is_overlapping(), "{}", say(&model));
}

// Nobody is asked, it came back, then people are asked: one of them promotes it.
#[test]
fn what_came_back_unasked_is_promoted_by_people() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(3600), ..BlueGreen::default() });
    model.work();
    model.push(2);
    model.work();
    model.change_spec(|spec| spec.paused = Some(true));
    model.push(1);
    model.work();
    model.change_spec(|spec| {
        spec.strategy.blue_green.auto_promotion_enabled = Some(false);
        spec.strategy.blue_green.pre_promotion_analysis = pre();
        spec.paused = None;
    });
    model.work();
    assert_serves(&model, 2);
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 2);
    let one = model.hash(1);
    model.request(Verb::Promote, &one, "ann", None);
    model.work();
    assert_serves(&model, 1);
}

// An older operator reads and writes what the new one decided.
#[test]
fn a_record_without_the_new_fields_closes() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    let mut json = serde_json::to_value(model.status()).unwrap();
    for revision in json["decisions"]["revisions"].as_array_mut().unwrap() {
        revision.as_object_mut().unwrap().remove("returnedUnasked");
        if let Some(rejection) = revision.get_mut("rejection").and_then(|it| it.as_object_mut()) {
            rejection.remove("ofAttempt");
        }
    }
    if let Some(progress) = json.get_mut("progress").and_then(|it| it.as_object_mut()) {
        progress.remove("readyReplicas");
    }
    model.restore_status(serde_json::from_value(json).unwrap());
    days(&mut model);
    assert_serves(&model, 2);
    assert_rejected(&model, 1, true);
    assert!(model.settle());
}

// The additional Service has its first proof later than the first one; and what is to be kept meanwhile is.
#[test]
fn what_production_left_is_kept_while_a_service_that_came_back_is_proven() {
    let mut model = promoted(with_extra(at_once(manual())), &[2]);
    rival_takes(&mut model, "extra");
    undo(&mut model);
    days(&mut model);
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
    model.truth.rivals.clear();
    days(&mut model);
    assert_serves(&model, 1);
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    rival_takes(&mut model, "extra");
    days(&mut model);
    assert_eq!(model.serving(), Some(three), "{}", say(&model));
}

// Of an additional Service that fits only the candidate, the candidate's promotion is the way out; what it is asked for has to be said.
#[test]
fn a_waiting_candidate_is_told_while_a_service_is_mislabelled() {
    let mut model = Model::new(with_extra(manual()));
    model.push(6);
    model.work();
    // The commit that brings template 2 and a Service that asks for its label, which had no hash.
    label(&mut model, "extra", Some("front"));
    model.lose_hash("extra");
    model.push(2);
    model.work();
    assert!(model.status().message.contains("waits for promotion"), "{}", say(&model));
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_deployment_that_runs_and_a_service_that_is_anothers() {
    use greenlight_api::WorkloadRef;
    use greenlight_core::world::{Template, Workload};
    let mut model = Model::new(with_extra(BlueGreen::default()));
    model.change_spec(|spec| {
        spec.workload_ref = Some(WorkloadRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "app".into(),
            scale_down: None,
        });
    });
    let template = Template::from(&model::template(1));
    model.truth.workload = Some(Workload { name: "app".into(), resource_version: "1".into(), replicas: 2, template });
    model.work();
    assert_serves(&model, 1);
    rival_takes(&mut model, "extra");
    days(&mut model);
    // The rival has let it go, and it leads to the Deployment as well.
    model.truth.rivals.clear();
    model.edit_service("extra", |extra| {
        extra.managed_by = None;
        extra.production = None;
        drop(extra.selector.remove(names::HASH_LABEL));
    });
    days(&mut model);
    assert_serves(&model, 1);
}

// Somebody writes a hash into the active Service that is none, while one of two pods cannot be scheduled.
#[test]
fn a_service_that_leads_nowhere_goes_to_the_pods_that_there_are() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    model.run_pods(&two, 1);
    model.edit_service("active", |active| {
        active.selector.insert(names::HASH_LABEL.into(), "garbage".into());
        active.moved_by = Some("kubectl-edit".into());
    });
    for _ in 0..60 {
        model.catch_up();
        model.operate(None);
        model.run_pods(&two, 1);
        model.pass(10);
    }
    model.catch_up();
    let reached = model.truth.endpoints["active"].iter().filter(|it| it.ready).count();
    assert!(reached > 0, "{} {:?}", say(&model), model.truth.services["active"].selector);
}

// The same with a retired revision that has no pods any more: the old Git commit of the Service is applied.
#[test]
fn a_service_that_leads_to_no_pods_goes_to_the_pods_that_there_are() {
    let mut model = promoted(at_once(manual()), &[2]);
    days(&mut model);
    assert_eq!(model.rs(1).replicas, 0);
    let (one, two) = (model.hash(1), model.hash(2));
    model.run_pods(&two, 1);
    model.point_by_hand("active", &one);
    for _ in 0..60 {
        model.catch_up();
        model.operate(None);
        model.run_pods(&two, 1);
        model.pass(10);
    }
    model.catch_up();
    let reached = model.truth.endpoints["active"].iter().filter(|it| it.ready).count();
    assert!(reached > 0, "{} {:?}", say(&model), model.truth.services["active"].selector);
}

// With the record of what it led to went all that tells whose it is: it led nowhere, and then to whatever was made of that template again.
#[test]
fn a_service_that_is_named_no_more_is_let_go_although_what_it_leads_to_was_deleted() {
    let mut model = serves_one(at_once(BlueGreen::default()));
    let one = model.hash(1);
    model.delete_replica_set(&one);
    model.push(2);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = None);
    days(&mut model);
    assert_eq!(model.status().active_revision, model.hash(2), "{}", say(&model));
    assert_eq!(model.truth.services["active"].selection(), Selection::Unmanaged, "{}", say(&model));
}

// A Service that the spec names no more still shows what production left, for an hour.
#[test]
fn a_service_that_stays_behind_is_told() {
    let mut model = promoted(manual(), &[2]);
    model.ask_for_tier(true);
    model.push(6);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.work();
    let six = model.hash(6);
    model.request(Verb::Promote, &six, "ann", None);
    model.operate(None);
    model.operate(None);
    assert_eq!(model.truth.services["other"].hash(), Some(six.as_str()));
    assert_eq!(model.truth.services["active"].hash(), Some(model.hash(2).as_str()));
    model.catch_up();
    model.pass(2);
    let message = model.plan().status.message;
    assert!(message.contains("Service active"), "{message}");
}

// Nothing but the promotion can put right what it says.
#[test]
fn what_a_service_that_stayed_behind_leads_to_is_promoted_when_that_is_named_again() {
    let mut model = promoted(manual(), &[2]);
    model.ask_for_tier(true);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    push_and_promote(&mut model, 6);
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("active".into()));
    push_and_promote(&mut model, 2);
    let serving = model.status().decisions.as_ref().map(|decisions| decisions.serving.clone());
    assert_eq!(serving, Some(model.hash(2)), "{}", say(&model));
}

// Between two looks of the operator the analysis failed, and the way back was deleted.
#[test]
fn a_failed_analysis_is_told_when_the_way_back_was_deleted() {
    let mut model = Model::new(BlueGreen { post_promotion_analysis: pre(), ..manual() });
    model.work();
    push_and_promote(&mut model, 2);
    let one = model.hash(1);
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.delete_replica_set(&one);
    model.work();
    assert!(!model.has(1), "it has a finalizer");
    assert!(model.status().message.to_lowercase().contains("failed"), "{}", say(&model));
}

// Two stalls: what production lacks comes before what the preview lacks.
#[test]
fn a_missing_preview_does_not_hide_that_a_service_of_production_leads_nowhere() {
    let mut model = promoted(with_extra(manual()), &[2]);
    model.have_service("preview", false);
    label(&mut model, "extra", Some("typo"));
    model.lose_hash("extra");
    model.work();
    assert!(model.status().message.contains("extra"), "{}", say(&model));
}

// What served before is asked for again, inside its delay and outside: the abort of that attempt by a deadline leaves it a way back, twice.
#[test]
fn an_attempt_that_is_given_up_twice_stays_a_way_back() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    for _ in 0..3 {
        model.push(1);
        model.work();
        end_runs(&mut model, "-pre", AnalysisPhase::Failed);
        model.work();
        assert_rejected(&model, 1, true);
        let one = model.hash(1);
        model.request(Verb::Retry, &one, "ann", None);
        model.work();
        end_runs(&mut model, "-pre", AnalysisPhase::Failed);
        model.work();
        model.push(2);
        model.work();
        assert_serves(&model, 2);
        days(&mut model);
    }
    undo(&mut model);
    for _ in 0..5 {
        model.work();
    }
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
}

// No pods are asked for at night; an additional Service stands aside; in the morning all is as it was.
#[test]
fn a_night_without_pods() {
    let mut model = promoted(with_extra(at_once(manual())), &[2]);
    label(&mut model, "extra", Some("typo"));
    model.scale(0);
    days(&mut model);
    undo(&mut model);
    days(&mut model);
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
    label(&mut model, "extra", None);
    model.scale(2);
    days(&mut model);
    assert_serves(&model, 1);
    assert_eq!(model.rs(2).replicas, 0);
}

// The operator may not write the additional Service while production loses its hash.
#[test]
fn a_refused_additional_service_does_not_keep_the_first_from_getting_its_hash_back() {
    let mut model = promoted(with_extra(manual()), &[2]);
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "extra")));
    let two = model.hash(2);
    model.run_pods(&two, 1);
    model.lose_hash("extra");
    model.lose_hash("active");
    for _ in 0..10 {
        model.operate(None);
        model.catch_up();
        model.pass(2);
    }
    assert_eq!(model.serving(), Some(two), "{}", say(&model));
}

// The first Service goes back, and the operator may not write the additional one until later.
#[test]
fn an_undo_that_one_service_follows_late_is_told_as_one_and_names_who_asked() {
    let mut model = promoted(with_extra(manual()), &[2]);
    let two = model.hash(2);
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "extra")));
    undo(&mut model);
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
    model.refuse(None);
    model.work();
    assert_serves(&model, 1);
    let switch = model.status().switch.clone().expect("a switch");
    assert_eq!((switch.from, switch.requested_by.as_str()), (two, "ann"), "{}", say(&model));
    let told = model.ledger.events.iter().rfind(|event| event.action == "Switch").expect("it is told");
    assert_eq!(told.reason, "RolledBack", "{told:?}");
}

// An overlap ends late by one Service, and GitOps takes the hash out of the other while one pod is missing.
#[test]
fn one_service_in_an_overlap_does_not_keep_the_other_from_getting_its_hash_back() {
    let overlapping = BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(10), ..manual() };
    let (mut model, [_, two]) = model::people::both_serve(with_extra(overlapping));
    model.refuse(Some(|action| matches!(action, Action::SelectRevision { name, .. } if name == "extra")));
    for _ in 0..10 {
        model.operate(None);
        model.run_all_pods();
        model.catch_up();
        model.pass(5);
    }
    assert_eq!(model.serving(), Some(two.clone()), "{}", say(&model));
    assert!(model.truth.services["extra"].is_overlapping());
    model.run_pods(&two, 1);
    model.lose_hash("active");
    for _ in 0..20 {
        model.operate(None);
        model.run_pods(&two, 1);
        model.catch_up();
        model.pass(5);
    }
    assert_eq!(model.serving(), Some(two), "{}", say(&model));
}

// Its selector is taken out: its endpoints are made by hand from now on, as far as there are any.
#[test]
fn an_additional_service_without_a_selector_holds_nothing_up() {
    let mut model = promoted(with_extra(at_once(manual())), &[2]);
    model.edit_service("extra", |extra| extra.selector.clear());
    undo(&mut model);
    for _ in 0..20 {
        model.work();
        // Without a selector it has no endpoints of anybody's.
        model.truth.endpoints.insert("extra".into(), Vec::new());
        model.operate(None);
        model.scale_down();
        model.pass(60);
    }
    assert_eq!(model.serving(), Some(model.hash(1)));
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

// The clean-up of its load balancer hangs, and traffic still comes.
#[test]
fn undo_works_while_the_active_service_is_being_deleted() {
    let mut model = promoted(manual(), &[2]);
    model.edit_service("active", |active| active.deleting = true);
    undo(&mut model);
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
}

#[test]
fn undo_takes_an_additional_service_along_that_is_being_deleted() {
    let mut model = promoted(with_extra(manual()), &[2]);
    model.edit_service("extra", |extra| extra.deleting = true);
    undo(&mut model);
    let one = model.hash(1);
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{}", say(&model));
}

// A revert waits for people; its pre-promotion analysis fails; the way back is still there with all pods, and undo needs no restart of pods.
#[test]
fn what_was_given_up_is_still_up_for_an_undo_inside_its_delay() {
    let mut model = promoted(BlueGreen { abort_scale_down_delay_seconds: Some(5), ..manual() }, &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    days(&mut model);
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

// Nobody approves of the revert, and a newer commit supersedes it, inside the delay.
#[test]
fn a_way_back_that_was_asked_for_and_superseded_is_up_inside_its_delay() {
    let mut model = promoted(manual(), &[2]);
    model.push(1);
    model.work();
    model.push(3);
    model.work();
    model.pass(600);
    model.work();
    model.scale_down();
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
    undo(&mut model);
    assert_serves(&model, 1);
}

// The status is lost after an attempt was given up: nothing opens.
#[test]
fn a_lost_status_after_an_attempt_was_given_up_opens_nothing() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    model.wipe_status();
    days(&mut model);
    assert_serves(&model, 2);
    assert_rejected(&model, 1, true);
    undo(&mut model);
    assert_serves(&model, 2);
}

// Production is down and the preview Service is another rollout's.
#[test]
fn production_that_is_down_is_told_that_its_preview_is_anothers() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: pre(), ..BlueGreen::default() });
    let one = model.hash(1);
    rival_takes(&mut model, "preview");
    model.push(2);
    model.delete_replica_set(&one);
    for _ in 0..20 {
        model.work();
    }
    let begun = model.truth.runs.iter().any(|run| run.name.ends_with("-pre"));
    assert!(begun || model.status().message.contains("preview is moved"), "{}", say(&model));
}

// With a preview all goes on: the analysis begins, and production comes back.
#[test]
fn production_that_is_down_is_analysed_where_there_is_a_preview() {
    let mut model = serves_one(BlueGreen { pre_promotion_analysis: pre(), ..BlueGreen::default() });
    let one = model.hash(1);
    model.push(2);
    model.delete_replica_set(&one);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert_serves(&model, 2);
}

fn operate_without_the_book(model: &mut Model, rounds: usize) {
    for _ in 0..rounds {
        model.catch_up();
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.operate(None))));
        model.run_all_pods();
        model.catch_up();
        model.scale_down();
        model.pass(10);
    }
}

// The Service that carried production is the preview now, and does not fit: it stays with what it had, for ever.
#[test]
fn a_preview_that_still_carries_production_is_told() {
    let mut model = promoted(manual(), &[2]);
    model.ask_for_tier(true);
    model.push(6);
    model.change_spec(|spec| {
        spec.strategy.blue_green.active_service = Some("other".into());
        spec.strategy.blue_green.preview_service = None;
    });
    model.work();
    let six = model.hash(6);
    model.request(Verb::Promote, &six, "ann", None);
    // Before the move is seen to be complete Git names it as the preview.
    model.operate(None);
    model.change_spec(|spec| spec.strategy.blue_green.preview_service = Some("active".into()));
    operate_without_the_book(&mut model, 600);
    assert_eq!(model.truth.services["other"].hash(), Some(six.as_str()), "{}", say(&model));
    let two = model.hash(2);
    assert_eq!(model.truth.services["active"].hash(), Some(two.as_str()), "{}", say(&model));
    println!("pods of 2: {}", model.rs(2).replicas);
    assert!(model.status().message.contains("Service active"), "{}", say(&model));
}

// What came back while nobody was asked is a candidate like any other when people are: it is measured anew.
#[test]
fn what_came_back_unasked_is_measured_anew_when_people_are_asked() {
    let auto =
        BlueGreen { scale_down_delay_seconds: Some(3600), pre_promotion_analysis: pre(), ..BlueGreen::default() };
    let mut model = Model::new(auto);
    model.work();
    for number in [2, 3] {
        model.push(number);
        model.work();
        end_runs(&mut model, "-pre", AnalysisPhase::Successful);
        model.work();
        assert_serves(&model, number);
    }
    let before = model.truth.runs.len();
    model.change_spec(|spec| spec.paused = Some(true));
    model.push(2);
    model.work();
    model.pass(7 * 86_400);
    model.work();
    model.change_spec(|spec| {
        spec.strategy.blue_green.auto_promotion_enabled = Some(false);
        spec.paused = None;
    });
    model.work();
    assert_serves(&model, 3);
    assert!(model.truth.runs.len() > before, "{} {:?}", say(&model), model.truth.runs);
}

fn failed_without_a_way_back() -> Model {
    let mut model =
        Model::new(BlueGreen { post_promotion_analysis: pre(), scale_down_delay_seconds: Some(0), ..manual() });
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    model.ask_for_tier(true);
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    assert!(model.status().message.to_lowercase().contains("failed"), "{}", say(&model));
    // Who is on call decides that the analysis was wrong, and takes it out of the spec.
    model.change_spec(|spec| spec.strategy.blue_green.post_promotion_analysis = None);
    days(&mut model);
    model
}

#[test]
fn what_is_not_analysed_any_more_keeps_nothing_up() {
    let mut model = failed_without_a_way_back();
    model.ask_for_tier(false);
    days(&mut model);
    assert_serves(&model, 2);
    assert_eq!(model.rs(6).replicas, 0, "{}", say(&model));
}

#[test]
fn an_analysis_that_failed_long_ago_moves_nothing() {
    let mut model = failed_without_a_way_back();
    model.ask_for_tier(false);
    model.pass(7 * 86_400);
    days(&mut model);
    assert_serves(&model, 2);
    // The next release is to be analysed again.
    model.change_spec(|spec| spec.strategy.blue_green.post_promotion_analysis = pre());
    days(&mut model);
    assert_serves(&model, 2);
}

// The same without any failure: a record of a run that was stopped.
#[test]
fn a_post_analysis_that_failed_and_was_taken_out_in_one_moment() {
    let mut model =
        Model::new(BlueGreen { post_promotion_analysis: pre(), scale_down_delay_seconds: Some(0), ..manual() });
    model.work();
    push_and_promote(&mut model, 2);
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.change_spec(|spec| spec.strategy.blue_green.post_promotion_analysis = None);
    days(&mut model);
    assert_serves(&model, 2);
    assert_eq!(model.rs(1).replicas, 0, "{}", say(&model));
    model.change_spec(|spec| spec.strategy.blue_green.post_promotion_analysis = pre());
    days(&mut model);
    assert_serves(&model, 2);
}

// In an overlap one Service is mislabelled; the old ReplicaSet is deleted by hand. The status is not written again and again.
#[test]
fn a_mislabelled_service_of_an_overlap_comes_to_rest() {
    let overlapping = BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(10), ..manual() };
    let (mut model, [one, _]) = model::people::both_serve(with_extra(overlapping));
    label(&mut model, "extra", Some("typo"));
    model.work();
    model.delete_replica_set(&one);
    for _ in 0..5 {
        model.work();
    }
}

// The same, and a rival takes the Service over without having moved it yet.
#[test]
fn a_service_of_an_overlap_that_a_rival_takes_comes_to_rest() {
    let overlapping = BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(10), ..manual() };
    let (mut model, [one, _]) = model::people::both_serve(with_extra(overlapping));
    let created = model.truth.rollout.created + SignedDuration::from_hours(1);
    model.truth.rivals = vec![Rival { name: "rival".into(), created, services: vec!["extra".into()] }];
    model.edit_service("extra", |extra| extra.managed_by = Some("rival".into()));
    model.work();
    model.delete_replica_set(&one);
    for _ in 0..5 {
        model.work();
    }
}

// No pods are asked for in an overlap.
#[test]
fn a_mislabelled_service_of_an_overlap_comes_to_rest_without_pods() {
    let overlapping = BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(10), ..manual() };
    let (mut model, [one, _]) = model::people::both_serve(with_extra(overlapping));
    label(&mut model, "extra", Some("typo"));
    model.work();
    model.edit(&one, |rs| rs.replicas = 0);
    for _ in 0..5 {
        model.work();
    }
}

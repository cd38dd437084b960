//! What is wrong with one thing holds up nothing else, and no decision outlives its reason: the findings of an attack on the core by a reader
//! with fresh eyes.

mod model;

use greenlight_api::{AnalysisPhase, AutoRollback, BlueGreen, Phase, RolloutAnalysis, Verb, WorkloadRef, names};
use greenlight_core::Action;
use greenlight_core::world::{Rival, Template, Workload};
use jiff::SignedDuration;
use model::people::{
    assert_rejected, assert_serves, end_runs, manual, operate_for, promoted, push_and_promote, say, serves_one, undo,
};
use model::{Event, Model};

fn pre() -> Option<RolloutAnalysis> {
    Some(RolloutAnalysis::default())
}

#[test]
fn a_service_that_is_named_no_more_and_selects_other_pods_holds_no_promotion_up() {
    let mut model = Model::new(manual());
    model.ask_for_tier(true);
    model.work();
    assert_serves(&model, 1);
    // One commit: template 6 has no label tier any more, so production gets a Service that does not ask for it.
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.push(6);
    model.work();
    let six = model.hash(6);
    model.request(Verb::Promote, &six, "ann", None);
    for _ in 0..20 {
        model.work();
    }
    assert!(model.truth.services["other"].hash() == Some(six.as_str()), "{}", say(&model));
}

#[test]
fn a_service_that_is_named_no_more_is_let_go_when_it_selects_one_revision_only() {
    let mut model = Model::new(manual());
    model.ask_for_tier(true);
    model.work();
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.push(6);
    for _ in 0..20 {
        model.work();
    }
    let mut after = model.truth.services["active"].clone();
    after.selector.remove(names::HASH_LABEL);
    let reached =
        model.truth.replica_sets.iter().filter(|rs| rs.replicas > 0 && model::pods::selects(&after, rs)).count();
    assert_eq!(reached, 1);
    assert!(model.truth.services["active"].production.is_none(), "{}", say(&model));
}

#[test]
fn what_was_undone_is_retired_while_a_service_that_is_named_no_more_selects_it() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() });
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    model.ask_for_tier(true);
    // Production gets a Service that does not ask for the label, in the same moment as somebody undoes.
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    let two = model.hash(2);
    model.request(Verb::Rollback, &two, "ann", None);
    for _ in 0..20 {
        model.work();
        model.scale_down();
        model.pass(60);
    }
    assert!(model.serving() == Some(model.hash(6)), "{}", say(&model));
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn a_service_that_is_let_go_does_not_lead_back_to_the_deployment() {
    let mut model = Model::new(manual());
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
    // The Deployment's own pods stay as they are, and run.
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    for _ in 0..5 {
        model.work();
    }
    assert_eq!(model.truth.workload.as_ref().map(|workload| workload.replicas), Some(2));
    assert!(model.truth.services["active"].hash().is_some(), "it leads to both: {}", say(&model));
}

#[test]
fn a_restart_is_done_while_one_additional_service_fits_nothing() {
    let extra = BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..manual() };
    let mut model = promoted(extra, &[2]);
    model.edit_service("extra", |service| drop(service.selector.insert("tier".into(), "typo".into())));
    // Somebody's tool takes the hash out with it.
    model.lose_hash("extra");
    model.pass(60);
    model.work();
    let two = model.hash(2);
    let before: Vec<_> = model.truth.pods[&two].iter().map(|pod| pod.name.clone()).collect();
    model.request(Verb::Restart, &two, "ann", None);
    for _ in 0..20 {
        model.work();
    }
    assert!(model.status().observed_request.as_ref().is_some_and(|answer| answer.accepted));
    let old = model.truth.pods[&two].iter().filter(|pod| before.contains(&pod.name)).count();
    assert_eq!(old, 0, "{}", say(&model));
}

#[test]
fn what_production_left_is_retired_while_one_additional_service_is_anothers() {
    let extra = BlueGreen {
        additional_active_services: Some(vec!["extra".into()]),
        scale_down_delay_seconds: Some(0),
        ..manual()
    };
    let mut model = serves_one(extra);
    push_and_promote(&mut model, 2);
    assert!(model.settle());
    let created = model.truth.rollout.created + SignedDuration::from_hours(1);
    model.truth.rivals = vec![Rival { name: "rival".into(), created, services: vec!["extra".into()] }];
    model.edit_service("extra", |extra| {
        extra.managed_by = Some("rival".into());
        extra.production = Some("theirs".into());
        extra.selector.insert(names::HASH_LABEL.into(), "theirs".into());
    });
    undo(&mut model);
    for _ in 0..20 {
        model.work();
        model.scale_down();
        model.pass(60);
    }
    assert_eq!(model.rs(2).replicas, 0, "{}", say(&model));
}

#[test]
fn production_that_is_down_does_not_wait_for_the_preview_service() {
    let mut model = serves_one(BlueGreen::default());
    let one = model.hash(1);
    model.have_service("preview", false);
    model.push(2);
    model.delete_replica_set(&one);
    for _ in 0..20 {
        model.work();
    }
    assert_serves(&model, 2);
}

#[test]
fn a_failed_analysis_of_what_serves_is_told_also_where_there_is_no_way_back() {
    let mut model = Model::new(BlueGreen { post_promotion_analysis: pre(), ..manual() });
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    model.ask_for_tier(true);
    end_runs(&mut model, "-post", AnalysisPhase::Failed);
    model.work();
    let status = model.status().clone();
    assert!(status.message.contains("Failed") || status.message.contains("failed"), "{}", say(&model));
}

fn failed_before_anything_serves() -> Model {
    let mut model = Model::new(BlueGreen { pre_promotion_analysis: pre(), ..BlueGreen::default() });
    let created = model.truth.rollout.created - SignedDuration::from_hours(1);
    model.truth.rivals = vec![Rival { name: "rival".into(), created, services: vec!["active".into()] }];
    model.work();
    model.truth.rivals.clear();
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    model
}

#[test]
fn a_failed_analysis_of_the_first_revision_is_told() {
    let model = failed_before_anything_serves();
    assert!(model.status().message.to_lowercase().contains("failed"), "{}", say(&model));
}

#[test]
fn a_failed_analysis_of_the_first_revision_can_be_retried() {
    let mut model = failed_before_anything_serves();
    let one = model.hash(1);
    model.request(Verb::Retry, &one, "ann", None);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    model.work();
    assert!(model.serving() == Some(one), "{}", say(&model));
}

#[test]
fn undo_goes_to_what_served_also_when_a_revert_to_it_made_no_progress() {
    let mut model = promoted(manual(), &[2]);
    assert!(model.settle());
    model.pass(7200);
    model.scale_down();
    model.work();
    model.change_spec(|spec| {
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    model.work();
    assert_eq!(model.rs(1).replicas, 0);
    // Git goes back, and there is no room for its pods, for a while.
    model.push(1);
    for _ in 0..40 {
        model.operate(None);
        let one = model.hash(1);
        model.run_pods(&one, 0);
        model.catch_up();
        model.pass(5);
    }
    // There is room again, and somebody undoes what serves.
    undo(&mut model);
    for _ in 0..10 {
        model.work();
    }
    assert!(model.serving() == Some(model.hash(1)), "{}", say(&model));
}

#[test]
fn auto_rollback_goes_to_what_served_also_when_a_revert_to_it_failed_its_analysis() {
    let auto_rollback = Some(AutoRollback { unavailable_seconds: 10 });
    let kept = BlueGreen { abort_scale_down_delay_seconds: Some(0), auto_rollback, ..manual() };
    let mut model = promoted(kept, &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Error);
    model.work();
    assert_eq!(model.rs(1).available, 2, "{}", say(&model));
    let two = model.hash(2);
    for _ in 0..60 {
        model.run_pods(&two, 0);
        model.catch_up();
        model.operate(None);
        model.pass(1);
    }
    assert!(model.serving() == Some(model.hash(1)), "{}", say(&model));
}

#[test]
fn pods_that_are_ready_and_only_have_to_stay_so_are_progress() {
    let mut model = Model::new(BlueGreen::default());
    model.change_spec(|spec| {
        spec.min_ready_seconds = Some(50);
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    let run = |model: &mut Model, number: u8, starts: usize| {
        for second in 0..120 {
            model.operate(None);
            let hash = model.hash(number);
            if second == starts {
                model.run_pods(&hash, usize::MAX);
            }
            model.catch_up();
            model.pass(1);
        }
    };
    run(&mut model, 1, 5);
    assert_serves(&model, 1);
    model.push(2);
    // It takes them 20 s to start, and then they are ready for good.
    run(&mut model, 2, 20);
    assert_rejected(&model, 2, false);
    assert_serves(&model, 2);
}

#[test]
fn what_came_back_without_a_gate_waits_for_the_people_that_the_spec_asks_for_now() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(3600), ..BlueGreen::default() });
    model.work();
    model.push(2);
    model.work();
    assert_serves(&model, 2);
    // The freeze begins, and Git goes back to template 1.
    model.change_spec(|spec| spec.paused = Some(true));
    model.push(1);
    model.work();
    // A week later: two people have to agree from now on, and the freeze is over.
    model.pass(7 * 86_400);
    model.work();
    model.change_spec(|spec| {
        spec.strategy.blue_green.auto_promotion_enabled = Some(false);
        spec.strategy.blue_green.required_approvals = Some(2);
    });
    model.work();
    model.change_spec(|spec| spec.paused = None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn what_was_retried_and_aborted_is_kept_as_long_as_the_spec_says() {
    let mut model = promoted(
        BlueGreen { abort_scale_down_delay_seconds: Some(0), scale_down_delay_seconds: Some(30), ..manual() },
        &[2],
    );
    let two = model.hash(2);
    undo(&mut model);
    model.request(Verb::Retry, &two, "ann", None);
    model.work();
    model.request(Verb::Abort, &two, "ann", None);
    for _ in 0..20 {
        model.work();
        model.scale_down();
        model.pass(10);
    }
    assert_eq!(model.rs(2).replicas, 2, "{}", say(&model));
}

#[test]
fn a_longer_delay_keeps_what_is_still_up() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(60), ..manual() }, &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.scale_down_delay_seconds = Some(3600));
    for _ in 0..20 {
        model.work();
        model.scale_down();
    }
    assert_eq!(model.rs(1).replicas, 2, "{}", say(&model));
}

/// Template 1 is pushed again while revision 2 serves, its attempt is given up, and revision 2 goes on serving.
fn gave_up_going_back_by_git() -> Model {
    let mut model = promoted(BlueGreen { pre_promotion_analysis: pre(), ..manual() }, &[]);
    model.push(2);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Successful);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
    model.push(1);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    assert_rejected(&model, 1, true);
    assert_serves(&model, 2);
    model
}

#[test]
fn what_was_given_up_waits_for_a_retry_or_a_way_back() {
    let mut model = gave_up_going_back_by_git();
    let one = model.hash(1);
    model.request(Verb::Promote, &one, "ann", None);
    model.work();
    assert_serves(&model, 2);
    assert!(model.status().observed_request.as_ref().is_some_and(|answer| !answer.accepted), "{}", say(&model));
}

#[test]
fn what_was_given_up_and_serves_again_is_not_left_for_what_served_before_it() {
    let mut model = gave_up_going_back_by_git();
    undo(&mut model);
    assert_serves(&model, 1);
    assert_rejected(&model, 1, false);
    assert_rejected(&model, 2, true);
    assert!(model.truth.replica_sets.iter().all(|rs| rs.hash != model.hash(1) || rs.mirrored_rejection().is_none()));
    for _ in 0..5 {
        model.pass(600);
        model.scale_down();
        model.work();
        assert_serves(&model, 1);
    }
}

#[test]
fn what_was_given_up_can_be_named_for_an_undo_and_moved_to_by_hand() {
    let mut model = gave_up_going_back_by_git();
    let (one, two) = (model.hash(1), model.hash(2));
    let mut by_hand = model.clone();
    model.request(Verb::Rollback, &two, "ann", Some(one.clone()));
    model.work();
    assert_serves(&model, 1);
    by_hand.point_by_hand("active", &one);
    by_hand.work();
    assert_serves(&by_hand, 1);
    assert_rejected(&by_hand, 2, true);
}

#[test]
fn a_retry_of_what_was_given_up_keeps_it_as_a_way_back() {
    let mut model = gave_up_going_back_by_git();
    let one = model.hash(1);
    model.request(Verb::Retry, &one, "ann", None);
    model.work();
    assert_serves(&model, 2);
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn what_a_person_aborted_is_no_way_back() {
    let mut model = promoted(manual(), &[2]);
    model.push(1);
    model.work();
    let one = model.hash(1);
    model.request(Verb::Abort, &one, "ann", None);
    model.work();
    undo(&mut model);
    assert_serves(&model, 2);
}

#[test]
fn what_served_without_being_rejected_comes_before_what_was_given_up() {
    let mut model = promoted(manual(), &[2, 3]);
    model.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = pre());
    model.push(2);
    model.work();
    end_runs(&mut model, "-pre", AnalysisPhase::Failed);
    model.work();
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn pods_that_crash_again_and_again_are_no_progress() {
    let mut model = serves_one(BlueGreen::default());
    model.change_spec(|spec| {
        spec.min_ready_seconds = Some(50);
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    for second in 0..200 {
        model.run_pods(&two, usize::from(second % 10 > 4));
        model.catch_up();
        model.operate(None);
        model.pass(1);
    }
    assert_rejected(&model, 2, true);
}

#[test]
fn what_came_back_without_a_gate_goes_live_when_nobody_is_asked_after_all() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(3600), ..BlueGreen::default() });
    model.work();
    model.push(2);
    model.work();
    model.change_spec(|spec| spec.paused = Some(true));
    model.push(1);
    model.work();
    model.change_spec(|spec| spec.paused = None);
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn what_git_asks_for_inside_its_delay_keeps_its_pods_until_that_is_over() {
    let blue_green = BlueGreen { preview_replica_count: Some(1), scale_down_delay_seconds: Some(600), ..manual() };
    let mut model = promoted(blue_green, &[2]);
    let pods = model.rs(1).replicas;
    assert!(pods > 1);
    model.push(1);
    model.work();
    assert_eq!(model.rs(1).replicas, pods, "an undo would have to start pods: {}", say(&model));
    model.pass(600);
    model.work();
    assert_eq!(model.rs(1).replicas, 1, "{}", say(&model));
}

#[test]
fn what_git_asks_for_with_fewer_pods_keeps_those_of_a_way_back_inside_its_delay() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(600), ..manual() }, &[2]);
    model.happen(&Event::TemplateAndReplicas(1, 1));
    model.work();
    assert_eq!(model.rs(1).replicas, 2, "an undo would have to start pods: {}", say(&model));
    assert_eq!(model.rs(2).replicas, 2, "{}", say(&model));
    model.pass(600);
    model.work();
    assert_eq!(model.rs(1).replicas, 1, "{}", say(&model));
}

#[test]
fn what_git_asks_for_keeps_the_pods_of_a_way_back_until_what_serves_was_found_good() {
    let post_promotion_analysis = Some(RolloutAnalysis::default());
    let blue_green = BlueGreen {
        preview_replica_count: Some(1),
        scale_down_delay_seconds: Some(30),
        post_promotion_analysis,
        ..manual()
    };
    let mut model = promoted(blue_green, &[2]);
    model.push(1);
    model.work();
    model.pass(600);
    model.work();
    assert_eq!(model.rs(1).replicas, 2, "an undo would have to start pods: {}", say(&model));
    // Those of a preview are enough to be shown.
    let one = model.hash(1);
    model.run_pods(&one, 1);
    operate_for(&mut model, 5);
    assert!(model.status().message.contains("waits for promotion"), "{}", say(&model));
    model.run_all_pods();
    end_runs(&mut model, "-post", AnalysisPhase::Successful);
    model.work();
    assert_eq!(model.rs(1).replicas, 1, "{}", say(&model));
}

#[test]
fn a_restart_of_what_is_kept_for_a_way_back_adds_no_pods_that_stay() {
    let blue_green = BlueGreen { preview_replica_count: Some(1), scale_down_delay_seconds: Some(600), ..manual() };
    let mut model = promoted(blue_green, &[2]);
    model.push(1);
    model.work();
    // An autoscaler gives production more than revision 1 ever had.
    model.scale(4);
    model.work();
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (2, 4), "{}", say(&model));
    model.pass(60);
    let one = model.hash(1);
    let before: Vec<_> = model.truth.pods[&one].iter().map(|pod| pod.name.clone()).collect();
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..10 {
        model.work();
        assert_eq!(model.rs(1).replicas, 2, "it grows by being restarted: {}", say(&model));
    }
    let old = model.truth.pods[&one].iter().filter(|pod| before.contains(&pod.name)).count();
    assert_eq!(old, 0, "{}", say(&model));
}

#[test]
fn a_preview_that_cannot_be_written_holds_nothing_up_while_production_is_down() {
    let mut model = serves_one(manual());
    let shows = |action: &Action| matches!(action, Action::SelectRevision { name, .. } if name == "preview");
    model.refuse(Some(shows));
    let one = model.hash(1);
    model.push(2);
    model.delete_replica_set(&one);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_deletion_that_may_not_see_where_services_lead_says_so_and_goes_on_when_it_may() {
    let mut model = Model::new(manual());
    model.work();
    model.truth.replica_sets.clear();
    model.delete_rollout(None);
    let mut world = model.truth.clone();
    world.endpoints.clear();
    let words = "the operator may not see endpointslices: forbidden";
    world.troubles = vec![words.to_owned()];
    let plan = greenlight_core::plan(&world, model.now);
    let is_stalled = |status: &greenlight_api::BlueGreenRolloutStatus| {
        status.conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.status == "True")
    };
    assert!(plan.actions.is_empty() && plan.publish_at.is_some());
    assert!(is_stalled(&plan.status) && plan.status.message.contains(words), "{}", plan.status.message);
    assert_eq!(plan.events.iter().filter(|event| event.warning && event.note.contains(words)).count(), 1);
    world.rollout.status = Some(plan.status);
    let again = greenlight_core::plan(&world, model.now);
    assert!(again.publish_at.is_none() && again.events.is_empty(), "once");
    world.troubles.clear();
    let mended = greenlight_core::plan(&world, model.now);
    let message = &mended.status.message;
    assert!(
        !is_stalled(&mended.status) && message.ends_with("looks at which pods its Services still lead to"),
        "{message}"
    );
    world.endpoints = world.services.keys().map(|name| (name.clone(), Vec::new())).collect();
    assert!(!greenlight_core::plan(&world, model.now).actions.is_empty());
    // Somebody else's finalizer holds it still.
    world.rollout.finalizers = vec!["example.com/audit".to_owned()];
    let over = greenlight_core::plan(&world, model.now);
    assert!(over.actions.is_empty() && over.status.message.ends_with("has let it go"), "{}", over.status.message);
}

/// Production has moved to revision 2, and the EndpointSlices stay as they were. The progress deadline is 60 s.
fn moved_but_unproven() -> Model {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.progress_deadline_seconds = Some(60));
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    assert!(model.operate(None), "it never rests");
    model
}

#[test]
fn a_proof_that_does_not_come_is_told_as_degraded_after_the_progress_deadline_and_nothing_is_undone() {
    let mut model = moved_but_unproven();
    let look_after = |model: &mut Model, seconds: i64| {
        model.pass(seconds);
        assert!(model.operate(None), "it never rests");
    };
    look_after(&mut model, 5);
    look_after(&mut model, 50);
    assert_eq!(model.status().phase, Phase::Progressing, "{}", say(&model));
    let soon = model.now + SignedDuration::from_secs(10);
    assert!(model.plan().next.is_some_and(|next| next <= soon), "it looks again at the deadline");
    look_after(&mut model, 30);
    let late = model.status();
    assert_eq!(late.phase, Phase::Degraded, "{}", say(&model));
    assert!(late.message.ends_with("still has 2 ready endpoints of other pods, for 60 s"), "{}", late.message);
    let stalled = late.conditions.iter().find(|condition| condition.type_ == "Stalled");
    assert_eq!(stalled.map(|stalled| stalled.reason.as_str()), Some("ProvingSwitch"));
    assert!(!model.rs(1).is_retired());
    assert_serves(&model, 2);
    model.work();
    assert_eq!(model.status().phase, Phase::Healthy, "{}", say(&model));
    assert!(model.rs(1).is_retired(), "the delay begins with the proof");
}

#[test]
fn what_a_service_showed_is_retired_only_when_its_endpoints_have_followed_also_if_it_is_called_active_since() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Abort, &two, "ann", None);
    // The operator dies after each write, until the preview shows production again. Its EndpointSlices stay as they are.
    for _ in 0..3 {
        model.operate(Some(1));
    }
    assert_eq!(model.truth.services["preview"].hash(), Some(one.as_str()));
    assert!(!model.rs(2).is_retired());
    // One commit exchanges the names of both Services.
    model.happen(&Event::Names(2));
    assert!(model.operate(None), "it never rests");
    assert!(!model.rs(2).is_retired(), "production reaches it: {}", say(&model));
    model.catch_up();
    assert!(model.operate(None), "it never rests");
    assert!(model.rs(2).is_retired(), "{}", say(&model));
    assert_serves(&model, 1);
    assert!(model.status().switch.as_ref().is_some_and(|switch| switch.proven_at.is_some()), "{}", say(&model));
}

#[test]
fn a_scale_that_comes_with_the_next_template_is_not_for_what_a_person_has_made_serve_first() {
    let mut model = Model::new(manual());
    model.change_spec(|spec| spec.min_ready_seconds = Some(30));
    assert!(model.operate(None), "it never rests");
    model.run_all_pods();
    let one = model.hash(1);
    // Its pods are ready, and not available yet: until they are the move does not count.
    model.point_by_hand("active", &one);
    assert!(model.operate(None), "it never rests");
    model.happen(&Event::TemplateAndReplicas(2, 5));
    assert!(model.operate(None), "it never rests");
    model.pass(31);
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.status().active_revision, one, "{}", say(&model));
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (2, 5), "{}", say(&model));
}

#[test]
fn a_claim_from_the_future_does_not_keep_it_quiet_that_a_proof_does_not_come() {
    let mut model = moved_but_unproven();
    let two = model.hash(2);
    model.edit(&two, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), "2100-01-01T00:00:00Z".into())));
    model.pass(5);
    assert!(model.operate(None), "it never rests");
    assert!(model.status().message.starts_with("moved to revision 2 (web:v2); Service active"), "{}", say(&model));
}

#[test]
fn an_operator_that_has_just_begun_does_not_call_a_proof_late_before_it_has_looked() {
    let mut model = moved_but_unproven();
    model.pass(5);
    assert!(model.operate(None), "it never rests");
    assert!(model.status().message.starts_with("moved to revision 2 (web:v2); Service active"), "{}", say(&model));
    // No operator works for longer than the deadline, and the next one has seen no endpoints yet.
    let begin = |model: &mut Model| {
        let mut world = model.seen();
        world.endpoints.clear();
        let plan = greenlight_core::plan(&world, model.now);
        assert!(plan.doubt.is_none(), "{:?}", plan.doubt);
        (plan.status.phase, plan.status.message, plan.events.len())
    };
    model.pass(100);
    let (phase, message, _) = begin(&mut model);
    assert_eq!((phase, message.contains("60 s")), (Phase::Progressing, false), "{message}");
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.status().phase, Phase::Degraded, "{}", say(&model));
    // What was told stays told.
    let (phase, message, events) = begin(&mut model);
    assert_eq!((phase, events), (Phase::Degraded, 0), "{message}");
}

#[test]
fn an_attempt_at_a_first_deployment_that_another_one_follows_keeps_only_the_pods_that_are_ready() {
    let mut model = Model::new(manual());
    assert!(model.operate(None), "it never rests");
    let one = model.hash(1);
    model.run_pods(&one, 1);
    model.push(2);
    assert!(model.operate(None), "it never rests");
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (1, 2), "{}", say(&model));
    model.run_pods(&one, 0);
    assert!(model.operate(None), "it never rests");
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (0, 2), "{}", say(&model));
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn an_attempt_at_a_first_deployment_keeps_its_ready_pods_while_the_others_are_on_their_way_out() {
    let mut model = Model::new(manual());
    model.scale(5);
    assert!(model.operate(None), "it never rests");
    let one = model.hash(1);
    model.run_pods(&one, 3);
    model.push(2);
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
    // Its controller has begun to delete the other two, and counts them still.
    model.edit(&one, |rs| {
        (rs.settled, rs.current, rs.ready, rs.available) = (true, 5, 3, 3);
        rs.count_out_what_leaves();
    });
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.rs(1).replicas, 3, "{}", say(&model));
}

#[test]
fn a_first_deployment_that_finds_no_room_for_all_its_pods_can_be_made_smaller() {
    let mut model = Model::new(manual());
    assert!(model.operate(None), "it never rests");
    let one = model.hash(1);
    model.run_pods(&one, 1);
    assert!(model.operate(None), "it never rests");
    assert_eq!((model.rs(1).replicas, model.rs(1).ready), (2, 1));
    model.scale(1);
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.rs(1).replicas, 1, "{}", say(&model));
    model.run_pods(&one, 1);
    assert!(model.operate(None), "it never rests");
    assert_eq!(model.truth.services["active"].hash(), Some(one.as_str()), "{}", say(&model));
}

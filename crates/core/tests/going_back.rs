//! Going back on a bad day: what serves is deleted, refused, starved or half moved, a Service is somebody else's, the status is lost. Each
//! was found by an attack on promise 4, and failed before its mend.

mod model;

use greenlight_api::{AnalysisPhase, AutoRollback, BlueGreen, BlueGreenRolloutSpec, RolloutAnalysis, Verb, names};
use greenlight_core::world::{RefusedWrite, Rival, Template};
use greenlight_core::{Action, plan};
use jiff::SignedDuration;
use model::Model;
use model::people::{assert_rejected, both_serve, end_runs, manual, promoted, push_and_promote, say, serves_one, undo};

fn with_extra(blue_green: BlueGreen) -> BlueGreen {
    BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..blue_green }
}

fn auto_rollback() -> Option<AutoRollback> {
    Some(AutoRollback { unavailable_seconds: 10 })
}

#[track_caller]
fn assert_active(model: &Model, number: u8) {
    let hash = model.hash(number);
    assert_eq!(model.serving().as_deref(), Some(hash.as_str()), "not {number}: {:#?}", model.status());
}

/// The operator works for a while; the pods of one revision stay as they are.
fn operate_for(model: &mut Model, seconds: usize) {
    for _ in 0..seconds {
        assert!(model.operate(None));
        model.catch_up();
        model.pass(1);
    }
    assert!(model.operate(None));
}

/// Revision 1 serves with three pods; the next one has one until its gate is open.
fn three_and_one_in_preview() -> Model {
    let mut model = Model::new(BlueGreen { preview_replica_count: Some(1), ..manual() });
    model.change_spec(|spec| spec.replicas = Some(3));
    model.work();
    model
}

fn without_services(spec: &mut BlueGreenRolloutSpec) {
    spec.strategy.blue_green.active_service = None;
    spec.strategy.blue_green.preview_service = None;
}

/// Asks for the revision of the spec by the name that the plugin takes, which is that of the status, and is not refused.
#[track_caller]
fn ask_as_the_status_names_it(model: &mut Model, verb: Verb) {
    let updated = model.status().updated_revision.clone();
    model.request(verb, &updated, "ann", None);
    model.work();
    let answer = model.status().observed_request.clone().expect("an answer");
    assert!(answer.accepted, "{answer:?}");
}

fn rival_of_extra(model: &mut Model) {
    let created = model.truth.rollout.created + SignedDuration::from_hours(1);
    model.truth.rivals = vec![Rival { name: "rival".into(), created, services: vec!["extra".into()] }];
    let extra = model.truth.services.get_mut("extra").expect("it exists");
    extra.managed_by = Some("rival".into());
    extra.production = Some("theirs".into());
    extra.selector.insert(names::HASH_LABEL.into(), "theirs".into());
    extra.resource_version = "900000".into();
}

// Production is not "at home" where one Service is stuck, and then nothing goes back by itself.

#[test]
fn auto_rollback_works_while_one_additional_service_is_anothers() {
    let mut model = promoted(with_extra(BlueGreen { auto_rollback: auto_rollback(), ..manual() }), &[2]);
    rival_of_extra(&mut model);
    model.work();
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 30);
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn a_failed_post_promotion_analysis_goes_back_while_one_additional_service_is_anothers() {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(with_extra(post), &[2]);
    let run = model.truth.runs.iter().position(|run| run.name.ends_with("-post")).expect("it was started");
    rival_of_extra(&mut model);
    model.work();
    model.end_run(run, AnalysisPhase::Failed);
    model.work();
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn auto_rollback_works_while_gitops_takes_the_hash_out() {
    let mut model = promoted(BlueGreen { auto_rollback: auto_rollback(), ..manual() }, &[2]);
    let two = model.hash(2);
    model.run_pods(&two, 0);
    model.lose_hash("active");
    operate_for(&mut model, 30);
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn auto_rollback_works_while_the_first_service_is_missing() {
    let mut model = promoted(with_extra(BlueGreen { auto_rollback: auto_rollback(), ..manual() }), &[2]);
    model.have_service("active", false);
    let (one, two) = (model.hash(1), model.hash(2));
    model.run_pods(&two, 0);
    operate_for(&mut model, 30);
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{:#?}", model.status());
}

// An additional Service that fits nothing, or only the new revision, forbids every way back.

#[test]
fn undo_works_while_an_additional_service_selects_a_label_that_nothing_carries() {
    let mut model = promoted(with_extra(manual()), &[2]);
    let extra = model.truth.services.get_mut("extra").expect("it exists");
    extra.selector.insert("tier".into(), "typo".into());
    extra.resource_version = "900000".into();
    undo(&mut model);
    assert_active(&model, 1);
}

#[test]
fn undo_works_when_the_release_brought_a_service_that_only_its_pods_fit() {
    let mut model = Model::new(manual());
    model.push(6);
    model.work();
    model.change_spec(|spec| spec.strategy.blue_green.additional_active_services = Some(vec!["extra".into()]));
    model.truth.services.get_mut("extra").expect("it exists").selector.insert("tier".into(), "front".into());
    push_and_promote(&mut model, 2);
    undo(&mut model);
    assert_active(&model, 6);
}

#[test]
fn auto_rollback_works_when_the_release_brought_a_service_that_only_its_pods_fit() {
    let mut model = Model::new(BlueGreen { auto_rollback: auto_rollback(), ..manual() });
    model.push(6);
    model.work();
    model.change_spec(|spec| spec.strategy.blue_green.additional_active_services = Some(vec!["extra".into()]));
    model.truth.services.get_mut("extra").expect("it exists").selector.insert("tier".into(), "front".into());
    push_and_promote(&mut model, 2);
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 30);
    assert_active(&model, 6);
}

// What serves is deleted in the foreground (the default of Argo CD's delete button).

fn delete_in_the_foreground(model: &mut Model, number: u8) {
    let hash = model.hash(number);
    model.edit(&hash, |rs| rs.finalizers.push("foregroundDeletion".into()));
    model.delete_replica_set(&hash);
    operate_for(model, 3);
    model.run_pods(&hash, 0);
    operate_for(model, 3);
    // Its pods are gone, and so is it.
    model.truth.replica_sets.retain(|rs| rs.hash != hash);
    model.truth.pods.remove(&hash);
    model.work();
    model.work();
}

#[test]
fn what_serves_comes_back_when_it_is_deleted_in_the_foreground() {
    let mut model = serves_one(manual());
    delete_in_the_foreground(&mut model, 1);
    assert_active(&model, 1);
}

#[test]
fn what_serves_comes_back_when_it_is_deleted_in_the_foreground_and_the_one_before_is_down() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    delete_in_the_foreground(&mut model, 2);
    let serving = model.serving().expect("it selects something");
    let serves = model.truth.replica_sets.iter().any(|rs| rs.hash == serving && rs.available > 0);
    assert!(serves, "{:#?} {:#?}", model.truth.services["active"], model.status());
}

#[test]
fn what_is_made_anew_is_not_rejected_because_only_an_additional_service_is_there() {
    let analysed = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(analysed, &[2]);
    model.change_spec(|spec| spec.strategy.blue_green.additional_active_services = Some(vec!["extra".into()]));
    model.have_service("active", false);
    delete_in_the_foreground(&mut model, 2);
    assert_rejected(&model, 2, false);
}

#[test]
fn what_comes_back_after_a_foreground_deletion_can_be_named_as_the_status_names_it() {
    let mut model = serves_one(manual());
    delete_in_the_foreground(&mut model, 1);
    ask_as_the_status_names_it(&mut model, Verb::Promote);
}

#[test]
fn what_comes_back_after_a_foreground_deletion_can_be_retried() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    delete_in_the_foreground(&mut model, 2);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    undo(&mut model);
    assert_active(&model, 1);
    ask_as_the_status_names_it(&mut model, Verb::Retry);
}

// A lost status, and the preview count is what production gets.

#[test]
fn a_lost_status_takes_no_pods_from_production_without_a_service() {
    let mut model = Model::new(BlueGreen { preview_replica_count: Some(1), ..manual() });
    model.change_spec(|spec| {
        spec.replicas = Some(3);
        spec.strategy.blue_green.active_service = None;
        spec.strategy.blue_green.preview_service = None;
    });
    model.work();
    assert_eq!((model.rs(1).replicas, model.rs(1).available), (3, 3));
    model.pass(120);
    model.wipe_status();
    model.work();
    assert_eq!(model.rs(1).replicas, 3, "{:#?}", model.status());
}

#[test]
fn a_lost_status_takes_no_pods_from_what_a_service_that_was_made_anew_leads_to() {
    let mut model = three_and_one_in_preview();
    assert_eq!(model.rs(1).replicas, 3);
    model.pass(120);
    model.have_service("active", false);
    model.have_service("active", true);
    model.wipe_status();
    model.work();
    assert_eq!(model.rs(1).replicas, 3, "{:#?}", model.status());
}

// Retry right after the move away: what just left production is shrunk before that is proven.

#[test]
fn a_retry_takes_no_pods_before_the_way_back_is_proven() {
    let mut model = three_and_one_in_preview();
    push_and_promote(&mut model, 2);
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    assert_eq!(model.serving(), Some(one));
    // The EndpointSlices have not followed.
    model.request(Verb::Retry, &two, "bob", None);
    model.operate(None);
    let rs = model.rs(2).clone();
    let leads = model.truth.endpoints["active"].iter().filter(|e| e.ready && e.pod.starts_with(&rs.name)).count();
    assert!(leads == 0 || rs.replicas == 3, "{leads} endpoints are still of it: {rs:?}");
}

#[test]
fn a_template_pushed_again_takes_no_pods_before_the_way_back_is_proven() {
    let mut model = three_and_one_in_preview();
    push_and_promote(&mut model, 2);
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    assert_eq!(model.serving(), Some(one));
    model.push(1);
    model.operate(None);
    model.push(2);
    model.operate(None);
    let rs = model.rs(2).clone();
    let leads = model.truth.endpoints["active"].iter().filter(|e| e.ready && e.pod.starts_with(&rs.name)).count();
    assert!(leads == 0 || rs.replicas == 3, "{leads} endpoints are still of it: {rs:?}");
}

// Rejected, deleted, and the status lost.

#[test]
fn an_aborted_template_stays_away_without_a_service_when_set_and_status_are_lost() {
    let mut model = Model::new(BlueGreen { auto_promotion_seconds: Some(60), ..BlueGreen::default() });
    model.change_spec(without_services);
    model.work();
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert_rejected(&model, 2, true);
    model.pass(120);
    model.delete_replica_set(&two);
    model.wipe_status();
    assert!(model.settle());
    let serving = model.status().decisions.as_ref().map(|decisions| decisions.serving.clone());
    assert!(!model.has(2) || serving != Some(model.hash(2)), "{:#?}", model.status());
}

#[test]
fn an_undone_template_stays_away_when_all_sets_and_the_status_are_lost() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(3600), ..BlueGreen::default() });
    model.work();
    model.push(2);
    model.work();
    assert_active(&model, 2);
    undo(&mut model);
    assert_active(&model, 1);
    let (one, two) = (model.hash(1), model.hash(2));
    model.delete_replica_set(&two);
    model.delete_replica_set(&one);
    model.wipe_status();
    model.work();
    model.work();
    assert!(!model.has(2) || model.serving() != Some(model.hash(2)), "{:#?}", model.status());
}

// Scaled by hand, and the status lost.

#[test]
fn production_that_was_scaled_to_nothing_by_hand_comes_back_after_a_lost_status() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    let one = model.hash(1);
    model.edit(&one, |rs| {
        rs.replicas = 0;
        rs.settled = false;
    });
    model.run_pods(&one, 0);
    model.wipe_status();
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 2, "{:#?}", model.status());
}

// Clocks apart.

#[test]
fn undo_goes_to_the_one_before_also_when_the_last_operators_clock_was_ahead() {
    let mut model = promoted(manual(), &[2]);
    // The next operator's clock is an hour behind the one before.
    model.now -= SignedDuration::from_hours(1);
    model.operate(Some(0));
    push_and_promote(&mut model, 3);
    push_and_promote(&mut model, 4);
    undo(&mut model);
    assert_active(&model, 3);
}

// The old set is taken away while the outage is being counted.

#[test]
fn the_old_set_stays_while_production_has_no_pods_and_the_time_runs() {
    let settings = BlueGreen { auto_rollback: auto_rollback(), scale_down_delay_seconds: Some(30), ..manual() };
    let mut model = promoted(settings, &[2]);
    let deadline = model.rs(1).scale_down_at().expect("it is retired");
    let two = model.hash(2);
    let wait = deadline.duration_since(model.now).as_secs() - 5;
    assert!(wait > 0);
    model.pass(wait);
    model.run_pods(&two, 0);
    for _ in 0..20 {
        model.operate(None);
        model.scale_down();
        model.catch_up();
        model.pass(1);
    }
    model.operate(None);
    assert_active(&model, 1);
}

// Starting from zero is no outage.

#[test]
fn starting_from_nothing_is_no_outage() {
    let mut model = promoted(BlueGreen { auto_rollback: auto_rollback(), ..manual() }, &[2]);
    model.scale(0);
    model.work();
    model.scale(3);
    let two = model.hash(2);
    operate_for(&mut model, 1);
    model.run_pods(&two, 0);
    operate_for(&mut model, 15);
    assert_active(&model, 2);
    assert_rejected(&model, 2, false);
}

// The completion of a bare verb is refused.

#[test]
fn a_bare_verb_that_cannot_be_written_out_does_not_keep_production_from_its_hash() {
    let mut model = promoted(manual(), &[2]);
    model.truth.rollout.request = Some("restart".into());
    model.truth.rollout.resource_version = "900001".into();
    model.lose_hash("active");
    let now = model.now;
    let mut world = model.seen();
    world.refused_writes.push(RefusedWrite {
        target: "BlueGreenRollout web".into(),
        message: "a policy says no".into(),
        retry_at: now + SignedDuration::from_secs(5),
    });
    world.live = true;
    let plan = plan(&world, now);
    let again = plan.actions.iter().any(|action| matches!(action, Action::CompleteRequest { .. }));
    assert!(!again, "it is refused, and planned all the same: {:?}", plan.actions);
}

// What may be pruned.

#[test]
fn what_undo_would_go_to_is_not_pruned_for_what_it_cannot_go_to() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[6, 2]);
    assert!(model.settle());
    model.ask_for_tier(true);
    model.change_spec(|spec| spec.revision_history_limit = Some(0));
    model.work();
    undo(&mut model);
    assert_active(&model, 1);
}

// A lost status prunes the only way back.

#[test]
fn a_lost_status_does_not_prune_what_served() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    model.change_spec(|spec| spec.revision_history_limit = Some(0));
    assert!(model.settle());
    assert!(model.has(1));
    model.wipe_status();
    model.work();
    assert!(model.has(1), "what production could be moved back to by hand is deleted");
}

// A lost status forgets what is rejected and on its way out.

#[test]
fn a_lost_status_knows_the_rejection_of_what_is_being_deleted() {
    let mut model = promoted(BlueGreen::default(), &[2]);
    undo(&mut model);
    assert_active(&model, 1);
    for hash in [model.hash(1), model.hash(2)] {
        model.delete_replica_set(&hash);
    }
    assert!(model.truth.replica_sets.iter().any(|rs| rs.deleting), "its delay holds it");
    model.wipe_status();
    assert!(model.settle());
    let digest = Template::from(&model::template(2)).digest.to_string();
    assert!(
        model.truth.existing().all(|rs| rs.digest != digest),
        "what was undone is back: {}",
        model.status().message
    );
    assert!(model.status().message.contains("rejected"), "{}", model.status().message);
}

#[test]
fn a_lost_status_does_not_prune_what_served_for_what_never_did() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    model.change_spec(|spec| spec.revision_history_limit = Some(2));
    for number in [3, 4, 5] {
        model.push(number);
        assert!(model.settle());
    }
    assert!(model.has(1));
    model.push(2);
    assert!(model.settle());
    model.wipe_status();
    assert!(model.settle());
    assert!(model.has(1), "what served is deleted, and what never did is kept");
}

// A restart, and the status lost.

#[test]
fn a_restart_and_a_lost_status_do_not_change_the_size_of_production() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    model.pass(60);
    let one = model.hash(1);
    model.request(Verb::Restart, &one, "ann", None);
    model.operate(None);
    model.operate(None);
    assert_eq!(model.rs(1).replicas, 3, "it is being restarted");
    model.wipe_status();
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 2, "{:#?}", model.status());
}

// Taking over from a Deployment.

fn adopting() -> Model {
    use greenlight_api::{WorkloadRef, WorkloadScaleDown};
    let mut model = Model::new(BlueGreen { preview_replica_count: Some(1), ..manual() });
    model.change_spec(|spec| {
        spec.replicas = Some(3);
        spec.workload_ref = Some(WorkloadRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "app".into(),
            scale_down: Some(WorkloadScaleDown::Progressively),
        });
    });
    let template = Template::from(&model::template(1));
    model.truth.workload = Some(greenlight_core::world::Workload {
        name: "app".into(),
        resource_version: "1".into(),
        replicas: 3,
        template,
    });
    model.operate(None);
    let one = model.hash(1);
    model.run_pods(&one, 2);
    model.operate(None);
    model.operate(None);
    assert_eq!(model.truth.workload.as_ref().map(|w| w.replicas), Some(1), "two of ours stand in");
    assert_eq!(model.rs(1).replicas, 3);
    model
}

fn assert_all_pods(model: &Model) {
    let theirs = model.truth.workload.as_ref().map_or(0, |workload| workload.replicas);
    let ours = model.rs(1).replicas;
    assert!(theirs + ours >= 3, "production has {theirs} + {ours} of 3: {}", model.status().message);
}

#[test]
fn a_pause_in_the_middle_of_an_adoption_takes_no_pods_from_production() {
    let mut model = adopting();
    model.change_spec(|spec| spec.paused = Some(true));
    model.operate(None);
    model.operate(None);
    assert_all_pods(&model);
}

#[test]
fn a_lost_status_in_the_middle_of_an_adoption_takes_no_pods_from_production() {
    let mut model = adopting();
    model.pass(90);
    model.wipe_status();
    model.operate(None);
    model.operate(None);
    assert_all_pods(&model);
}

// A gate that closes between a claim and the move of an operator that sleeps.

#[test]
fn what_was_claimed_is_not_shrunk_before_the_claim_is_withdrawn() {
    for writes in 0..6 {
        for dies in 0..4 {
            let mut model = Model::new(BlueGreen { preview_replica_count: Some(1), ..manual() });
            model.change_spec(|spec| spec.replicas = Some(3));
            model.work();
            model.push(2);
            model.work();
            let two = model.hash(2);
            model.request(Verb::Promote, &two, "ann", None);
            model.operate(None);
            model.run_pods(&two, 3);
            model.happen(&model::Event::Sleep { writes });
            if model.serving() == Some(two.clone()) || model.rs(2).claimed_at().is_none() {
                continue;
            }
            model.change_spec(|spec| spec.paused = Some(true));
            model.operate(Some(dies));
            model.happen(&model::Event::Wake);
            let serves = model.serving() == Some(two.clone());
            assert!(!serves || model.rs(2).replicas == 3, "{writes} {dies}: {:?}", model.rs(2));
        }
    }
}

// Variants in which it should work.

#[test]
fn a_foreground_deletion_with_the_one_before_still_up_moves_there() {
    let mut model = promoted(manual(), &[2]);
    delete_in_the_foreground(&mut model, 2);
    assert_active(&model, 1);
    ask_as_the_status_names_it(&mut model, Verb::Promote);
    assert_active(&model, 2);
}

#[test]
fn a_foreground_deletion_with_the_one_before_half_up_can_be_promoted_again() {
    let settings = BlueGreen { retired_replica_count: Some(1), ..manual() };
    let mut model = promoted(settings, &[2]);
    model.pass(30);
    model.scale_down();
    model.work();
    assert_eq!(model.rs(1).replicas, 1);
    delete_in_the_foreground(&mut model, 2);
    ask_as_the_status_names_it(&mut model, Verb::Promote);
    assert_active(&model, 2);
}

#[test]
fn with_auto_promotion_a_foreground_deletion_heals() {
    let mut model = serves_one(BlueGreen::default());
    delete_in_the_foreground(&mut model, 1);
    assert_active(&model, 1);
}

#[test]
fn with_required_analysis_a_foreground_deletion_heals() {
    let pre = BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..BlueGreen::default() };
    let mut model = serves_one(pre);
    delete_in_the_foreground(&mut model, 1);
    assert_active(&model, 1);
}

// A deletion goes around the analysis after the promotion.

#[test]
fn a_deleted_replica_set_does_not_go_around_the_analysis_after_the_promotion() {
    for up in [true, false] {
        let post = BlueGreen {
            post_promotion_analysis: Some(RolloutAnalysis::default()),
            scale_down_delay_seconds: Some(if up { 3600 } else { 0 }),
            ..manual()
        };
        let mut model = promoted(post, &[2]);
        let running = model.truth.runs.iter().any(|run| run.name.ends_with("-post") && !run.phase.is_completed());
        assert!(running, "{:?}", model.truth.runs);
        let two = model.hash(2);
        // The run goes with it.
        model.truth.runs.clear();
        model.delete_replica_set(&two);
        model.work();
        model.work();
        let measured = model.truth.runs.iter().any(|run| run.name.ends_with("-post"));
        let serves = model.serving() == Some(model.hash(2));
        assert!(!serves || measured, "{up}: it serves, and nobody measures it: {}", model.status().message);
    }
}

// A rejected revision that has to go on, and a Service that is made anew.

#[test]
fn what_goes_on_although_rejected_is_not_mixed_with_what_nobody_promoted() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    let (one, two) = (model.hash(1), model.hash(2));
    model.request(Verb::Rollback, &two, "ann", None);
    model.operate(None);
    model.delete_replica_set(&one);
    model.push(3);
    model.work();
    assert_eq!(model.serving(), Some(two.clone()));
    model.have_service("active", false);
    model.have_service("active", true);
    model.work();
    let three = model.rs(3).clone();
    let leads = model.truth.endpoints["active"].iter().filter(|e| e.pod.starts_with(&three.name)).count();
    assert_eq!(leads, 0, "production leads to what nobody promoted: {}", model.status().message);
}

// Nothing is left of what serves, and something of what served before.

#[test]
fn undo_does_not_wait_for_the_last_pod_when_nothing_else_serves() {
    let mut model = promoted(manual(), &[2]);
    let (one, two) = (model.hash(1), model.hash(2));
    model.run_pods(&one, 1);
    model.run_pods(&two, 0);
    model.request(Verb::Rollback, &two, "ann", None);
    operate_for(&mut model, 60);
    assert_active(&model, 1);
}

#[test]
fn auto_rollback_does_not_wait_for_the_last_pod_when_nothing_else_serves() {
    let mut model = promoted(BlueGreen { auto_rollback: auto_rollback(), ..manual() }, &[2]);
    let (one, two) = (model.hash(1), model.hash(2));
    model.run_pods(&one, 1);
    model.run_pods(&two, 0);
    operate_for(&mut model, 60);
    assert_active(&model, 1);
}

// The autoscaler has grown production since.

#[test]
fn undo_is_one_move_also_when_production_was_scaled_up_since() {
    let mut model = promoted(manual(), &[2]);
    model.scale(3);
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    assert_eq!((model.rs(1).available, model.rs(2).available), (2, 3));
    model.run_pods(&two, 0);
    model.request(Verb::Rollback, &two, "ann", None);
    // There is no room for a third pod.
    for _ in 0..60 {
        model.operate(None);
        model.run_pods(&one, 2);
        model.catch_up();
        model.pass(1);
    }
    assert_active(&model, 1);
}

// The completion of what the record says while a Service is being deleted.

#[test]
fn undo_with_the_first_service_in_deletion_is_recorded() {
    let mut model = promoted(with_extra(manual()), &[2]);
    let (one, two) = (model.hash(1), model.hash(2));
    // A load balancer's finalizer holds it.
    let active = model.truth.services.get_mut("active").expect("it exists");
    active.deleting = true;
    active.resource_version = "900003".into();
    model.request(Verb::Rollback, &two, "ann", None);
    model.work();
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()));
    model.have_service("active", false);
    model.have_service("active", true);
    model.work();
    assert_active(&model, 1);
    model.wipe_status();
    model.work();
    assert_active(&model, 1);
}

// By hand, with several Services.

#[test]
fn a_move_by_hand_with_the_first_service_missing_counts() {
    let mut model = promoted(with_extra(manual()), &[2]);
    model.have_service("active", false);
    model.work();
    let one = model.hash(1);
    model.point_by_hand("extra", &one);
    model.work();
    assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{}", model.status().message);
}

#[test]
fn a_move_by_hand_while_the_first_service_selects_both_counts() {
    use greenlight_api::SwitchMode;
    let settings = BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(60), ..manual() };
    let (mut model, [one, _]) = both_serve(settings);
    model.point_by_hand("active", &one);
    assert!(model.settle());
    assert_active(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn what_production_lost_comes_back_and_is_still_measured() {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(post, &[2]);
    let running = model.truth.runs.iter().any(|run| run.name.ends_with("-post") && !run.phase.is_completed());
    assert!(running, "{:?}", model.truth.runs);
    let (one, two) = (model.hash(1), model.hash(2));
    // The old ones have no ready pod for a moment, so production waits for its own to be made anew.
    model.run_pods(&one, 0);
    model.truth.runs.clear();
    model.delete_replica_set(&two);
    model.operate(None);
    model.work();
    model.work();
    assert_active(&model, 2);
    let measured = model.truth.runs.iter().any(|run| run.name.ends_with("-post"));
    assert!(measured, "it serves, and nobody measures it: {}", model.status().message);
}

#[test]
fn what_production_fled_from_is_measured_when_it_comes_back() {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(post, &[2]);
    let two = model.hash(2);
    model.truth.runs.clear();
    model.delete_replica_set(&two);
    model.work();
    model.work();
    let measured = model.truth.runs.iter().any(|run| run.name.ends_with("-post"));
    assert!(model.serving() != Some(model.hash(2)) || measured);
}

// What production lost cannot be made anew, and what served before is down.

fn assert_some_pods_serve(model: &Model) {
    let serving = model.serving().expect("it selects something");
    let serves = model.truth.replica_sets.iter().any(|rs| rs.hash == serving && rs.available > 0);
    assert!(serves, "production has no endpoints: {}", model.status().message);
}

fn one_is_down_and_two_serves() -> Model {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2]);
    assert!(model.settle());
    assert_eq!(model.rs(1).replicas, 0);
    model
}

#[test]
fn production_goes_back_when_what_it_lost_is_refused_by_the_api_server() {
    let mut model = one_is_down_and_two_serves();
    let two = model.hash(2);
    model.happen(&model::Event::Refuse { template: 2, refused: true });
    model.delete_replica_set(&two);
    for _ in 0..20 {
        model.work();
    }
    assert_some_pods_serve(&model);
}

#[test]
fn production_goes_back_when_the_deployment_of_what_it_lost_is_missing() {
    use greenlight_api::{WorkloadRef, WorkloadScaleDown};
    let mut model = one_is_down_and_two_serves();
    model.change_spec(|spec| {
        spec.workload_ref = Some(WorkloadRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "app".into(),
            scale_down: Some(WorkloadScaleDown::Onsuccess),
        });
    });
    let two = model.hash(2);
    model.work();
    model.delete_replica_set(&two);
    for _ in 0..20 {
        model.work();
    }
    assert_some_pods_serve(&model);
}

#[test]
fn production_goes_back_when_the_pods_of_what_it_lost_do_not_start() {
    let mut model =
        promoted(BlueGreen { scale_down_delay_seconds: Some(3600), auto_rollback: auto_rollback(), ..manual() }, &[2]);
    let two = model.hash(2);
    model.delete_replica_set(&two);
    for _ in 0..40 {
        model.operate(None);
        let one = model.hash(1);
        model.run_pods(&one, usize::MAX);
        model.catch_up();
        model.pass(2);
    }
    assert_some_pods_serve(&model);
}

// A lost status while production goes back, with the old set still up.

#[test]
fn an_undo_that_moved_one_of_two_services_is_finished_after_a_lost_status() {
    for writes in 0..12 {
        let mut model = promoted(with_extra(manual()), &[2]);
        let (one, two) = (model.hash(1), model.hash(2));
        model.request(Verb::Rollback, &two, "ann", None);
        model.operate(Some(writes));
        if model.serving() != Some(one.clone()) {
            continue;
        }
        model.wipe_status();
        model.work();
        assert_eq!(model.truth.services["active"].hash(), Some(one.as_str()), "{writes}");
        assert_eq!(model.truth.services["extra"].hash(), Some(one.as_str()), "{writes}");
        assert_rejected(&model, 2, true);
    }
}

#[test]
fn a_deletion_of_home_during_an_undo_leads_on_to_the_one_before() {
    let mut model = promoted(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() }, &[2, 3]);
    assert!(model.settle());
    let (two, three) = (model.hash(2), model.hash(3));
    model.request(Verb::Rollback, &three, "ann", None);
    model.operate(None);
    model.delete_replica_set(&two);
    model.work();
    model.work();
    assert_active(&model, 1);
}

// A restart that is planned, and an annotation that says it is due.

#[test]
fn a_forged_annotation_does_not_begin_a_restart_that_is_still_to_come() {
    let mut model = serves_one(manual());
    let at = model.now + SignedDuration::from_hours(24);
    model.change_spec(|spec| spec.restart_at = Some(at));
    model.work();
    let one = model.hash(1);
    let before: Vec<_> = model.truth.pods[&one].iter().map(|pod| pod.name.clone()).collect();
    model.edit(&one, |rs| drop(rs.annotations.insert(names::RESTART_AT.into(), at.to_string())));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        model.work();
        seen.extend(model.truth.pods[&one].iter().map(|pod| pod.name.clone()));
    }
    let new = seen.iter().filter(|name| !before.contains(name)).count();
    assert_eq!(
        new,
        0,
        "{new} pods were made in the place of 2, a day too early, and it goes on: {}",
        model.status().message
    );
}

// The same by way of the switch without Services.

#[test]
fn a_restart_does_not_keep_production_without_a_service_from_its_way_back() {
    let mut model = Model::new(manual());
    model.change_spec(without_services);
    model.work();
    let one = model.hash(1);
    model.pass(60);
    model.request(Verb::Restart, &one, "ann", None);
    model.operate(None);
    model.operate(None);
    assert_eq!(model.rs(1).replicas, 3);
    // There is no room for the additional pod.
    model.run_pods(&one, 2);
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.run_pods(&two, 2);
    model.request(Verb::Promote, &two, "ann", None);
    for _ in 0..4 {
        model.operate(None);
        model.run_pods(&two, 2);
        model.run_pods(&one, 2);
        model.pass(2);
    }
    let serving = |model: &Model| model.status().decisions.as_ref().map(|d| d.serving.clone()).unwrap_or_default();
    assert_eq!(serving(&model), two);
    model.request(Verb::Rollback, &two, "ann", None);
    for _ in 0..20 {
        model.operate(None);
        model.run_pods(&one, 2);
        model.pass(2);
    }
    assert_eq!(serving(&model), one, "{}", model.status().message);
}

#[test]
fn undo_goes_back_whatever_the_spec_asks_of_pods_by_now() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| {
        spec.min_ready_seconds = Some(86_400);
        spec.progress_deadline_seconds = Some(90_000);
    });
    model.work();
    undo(&mut model);
    model.work();
    assert_eq!(model.serving(), Some(model.hash(1)), "{}", say(&model));
    assert_eq!(model.rs(1).min_ready_seconds, 86_400, "production is what the spec says, once it is there");
}

#[test]
fn undo_goes_back_whatever_somebody_asks_of_the_pods_that_production_left() {
    let mut model = promoted(manual(), &[2]);
    let one = model.hash(1);
    model.edit(&one, |rs| rs.min_ready_seconds = 86_400);
    model.work();
    assert_eq!(model.rs(1).available, 0, "its pods count as available after a day");
    undo(&mut model);
    model.work();
    assert_eq!(model.serving(), Some(one), "{}", say(&model));
    assert_eq!(model.rs(1).min_ready_seconds, 0, "as it served");
}

// The worked examples of the core's documents.

#[test]
fn a_way_back_by_itself_goes_as_its_example_says() {
    let auto_rollback = Some(AutoRollback { unavailable_seconds: 30 });
    let mut model = promoted(BlueGreen { auto_rollback, ..manual() }, &[2]);
    let two = model.hash(2);
    let noted = |model: &Model| model.status().decisions.as_ref().and_then(|record| record.unavailable_since);
    model.run_pods(&two, 0);
    operate_for(&mut model, 20);
    assert!(noted(&model).is_some());
    model.run_pods(&two, 1);
    operate_for(&mut model, 40);
    assert_eq!(noted(&model), None);
    model.run_pods(&two, 0);
    operate_for(&mut model, 29);
    assert_active(&model, 2);
    operate_for(&mut model, 3);
    assert_active(&model, 1);
}

/// The spec comes to ask for an hour of readiness, and the pods that serve have not had that; then no pod is ready for some seconds.
#[test]
fn a_longer_min_ready_seconds_is_no_outage_that_a_moment_without_pods_would_end_at_once() {
    let mut model = promoted(BlueGreen { auto_rollback: auto_rollback(), ..manual() }, &[2]);
    model.change_spec(|spec| spec.min_ready_seconds = Some(3600));
    operate_for(&mut model, 30);
    let two = model.hash(2);
    assert_eq!((model.rs(2).ready, model.rs(2).available), (2, 0), "{}", say(&model));
    model.run_pods(&two, 0);
    operate_for(&mut model, 5);
    assert_active(&model, 2);
    // What is ready for a moment, and is lost again, does not put that off.
    model.run_pods(&two, 1);
    operate_for(&mut model, 5);
    assert_active(&model, 2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 5);
    assert_active(&model, 1);
}

/// One of the pods that serve is not ready, and fewer are asked for. The controller of ReplicaSets stands still, or is about to take that one.
#[test]
fn a_smaller_size_is_no_outage_while_pods_are_on_their_way_out() {
    let mut model = promoted(BlueGreen { auto_rollback: auto_rollback(), ..manual() }, &[2]);
    let two = model.hash(2);
    model.run_pods(&two, 1);
    operate_for(&mut model, 5);
    model.scale(1);
    assert!(model.operate(None));
    for settled in [false, true] {
        model.edit(&two, |rs| {
            (rs.settled, rs.current, rs.ready, rs.available) = (settled, 2, 1, 1);
            rs.count_out_what_leaves();
        });
        assert!(model.operate(None));
        let recorded = model.status().decisions.as_ref().and_then(|record| record.unavailable_since);
        assert_eq!((recorded, model.status().available_replicas), (None, 1), "{}", say(&model));
    }
}

#[test]
fn a_restart_goes_as_its_example_says() {
    let mut model = serves_one(manual());
    let one = model.hash(1);
    let first: Vec<String> = model.truth.pods[&one].iter().map(|pod| pod.name.clone()).collect();
    let old_and_new = |model: &Model| {
        let pods = &model.truth.pods[&one];
        let old = pods.iter().filter(|pod| first.contains(&pod.name)).count();
        (old, pods.len() - old)
    };
    let mut seen = vec![old_and_new(&model)];
    model.request(Verb::Restart, &one, "ann", None);
    for _ in 0..4 {
        assert!(model.operate(None));
        seen.push(old_and_new(&model));
        model.run_all_pods();
        seen.push(old_and_new(&model));
    }
    seen.dedup();
    assert_eq!(seen, [(2, 0), (2, 1), (1, 1), (1, 2), (0, 2), (0, 3), (0, 2)]);
}

// What Git comes to ask for while production is elsewhere says nothing of where that goes back to.

/// Revision 2 was good after its promotion, revision 3 serves and is being analysed, and somebody has reverted to 2 in Git, which waits.
fn reverted_in_git() -> Model {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(post, &[2]);
    end_runs(&mut model, "-post", AnalysisPhase::Successful);
    model.work();
    push_and_promote(&mut model, 3);
    model.push(2);
    model.work();
    assert_active(&model, 3);
    model
}

fn under_way(model: &Model) -> usize {
    model.truth.runs.iter().filter(|run| !run.phase.is_completed() && !run.terminating).count()
}

#[test]
fn what_was_good_is_not_measured_again_when_production_goes_back_after_a_revert_in_git() {
    let mut model = reverted_in_git();
    undo(&mut model);
    assert_active(&model, 2);
    assert_eq!(under_way(&model), 0, "{:#?}", model.truth.runs);
}

#[test]
fn what_is_promoted_again_after_a_revert_in_git_is_measured_again() {
    let mut model = reverted_in_git();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_active(&model, 2);
    assert_eq!(under_way(&model), 1, "{:#?}", model.truth.runs);
}

#[test]
fn it_is_told_why_production_does_not_go_back_by_itself() {
    let blue_green = BlueGreen { auto_rollback: auto_rollback(), scale_down_delay_seconds: Some(1), ..manual() };
    let mut model = promoted(blue_green, &[2]);
    model.pass(60);
    model.scale_down();
    model.work();
    assert_eq!(model.rs(1).replicas, 0);
    let two = model.hash(2);
    model.run_pods(&two, 0);
    operate_for(&mut model, 30);
    assert_active(&model, 2);
    assert!(model.status().message.contains("does not go back by itself: revision 1"), "{}", say(&model));
    undo(&mut model);
    assert_active(&model, 1);
    assert!(!model.status().message.contains("by itself"), "{}", say(&model));
}

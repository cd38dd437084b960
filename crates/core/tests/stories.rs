//! The stories that must end well, on the pure core: a world, plans, and what the simulation makes of them.

mod model;

use greenlight_api::{
    AnalysisPhase, AutoRollback, BlueGreen, Phase, PreviewServiceIdle, RolloutAnalysis, SwitchMode, Verb, WorkloadRef,
    WorkloadScaleDown, names,
};
use greenlight_core::world::{Rival, Service, Template, Workload};
use model::people::{
    assert_rejected, assert_serves, manual, operate_for, promoted, push_and_promote, serves_one, undo,
};
use model::{Event, Kind, Model, SERVICES};

fn answer(model: &Model) -> (bool, String) {
    let request = model.status().observed_request.as_ref().expect("an answer");
    (request.accepted, request.answer.clone())
}

fn created(model: &Model) -> usize {
    model.ledger.events.iter().filter(|event| event.reason == "RevisionCreated").count()
}

// 1

#[test]
fn a_rejection_outlives_its_replica_set() {
    let mut model = promoted(BlueGreen::default(), &[]);
    model.push(2);
    model.work();
    assert_serves(&model, 2);
    undo(&mut model);
    assert!(model.settle());
    let two = model.hash(2);
    model.delete_replica_set(&two);
    assert!(model.settle());
    assert_serves(&model, 1);
    assert!(!model.has(2), "a rejected template gets no ReplicaSet");
    assert_rejected(&model, 2, true);
    assert_eq!(model.status().rejected_revision, two);
}

#[test]
fn a_rejection_outlives_the_status_by_its_mirror() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    model.wipe_status();
    assert!(model.settle());
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn the_mirror_of_a_rejection_comes_back_when_a_tenant_removes_it() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    let two = model.hash(2);
    model.edit(&two, |rs| drop(rs.annotations.remove(names::REJECTED)));
    model.work();
    assert!(model.rs(2).mirrored_rejection().is_some());
}

#[test]
fn asking_for_a_rejected_template_anew_is_a_new_attempt_and_passes_the_gate() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    model.push(1);
    model.work();
    model.push(2);
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, false);
    assert_eq!(model.status().phase.as_str(), "Paused", "{}", model.status().message);
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "bob", None);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_rejected_revision_is_nothing_to_go_back_to() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    push_and_promote(&mut model, 3);
    undo(&mut model);
    assert_serves(&model, 1);
    // 1 serves, 2 and 3 are rejected.
    undo(&mut model);
    assert!(!answer(&model).0, "{:?}", answer(&model));
    assert_serves(&model, 1);
}

// 2

#[test]
fn undo_rejects_what_serves_while_another_waits_and_that_one_goes_on_waiting() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    undo(&mut model);
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
    assert_rejected(&model, 3, false);
    assert!(answer(&model).0);
    assert_eq!(model.status().phase.as_str(), "Paused", "{}", model.status().message);
    assert!(model.rs(3).replicas > 0 && !model.rs(3).is_retired());
    let three = model.hash(3);
    model.request(Verb::Promote, &three, "ann", None);
    model.work();
    assert_serves(&model, 3);
}

#[test]
fn auto_rollback_goes_back_while_another_waits() {
    let mut model =
        promoted(BlueGreen { auto_rollback: Some(AutoRollback { unavailable_seconds: 10 }), ..manual() }, &[2]);
    model.push(3);
    model.work();
    let two = model.hash(2);
    model.run_pods(&two, 0);
    model.operate(None);
    model.pass(11);
    model.operate(None);
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn a_post_promotion_analysis_that_runs_when_another_is_pushed_still_decides() {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(post, &[2]);
    model.push(3);
    model.work();
    let run = model.truth.runs.iter().position(|run| run.name.ends_with("-post")).expect("it was started");
    assert!(!model.truth.runs[run].terminating, "a commit must not stop it");
    model.end_run(run, AnalysisPhase::Failed);
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
    assert_rejected(&model, 3, false);
}

// 3

#[test]
fn production_is_scaled_and_undone_while_the_next_template_is_refused() {
    let mut model = promoted(manual(), &[2]);
    model.happen(&Event::Refuse { template: 3, refused: true });
    model.push(3);
    model.work();
    assert!(!model.has(3));
    model.scale(4);
    model.work();
    assert_eq!(model.rs(2).replicas, 4);
    undo(&mut model);
    assert_serves(&model, 1);
    assert_eq!(model.rs(1).replicas, 4);
    assert!(answer(&model).0);
    assert_eq!(model.status().conditions.iter().filter(|c| c.reason == "TemplateRefused").count(), 3);
}

#[test]
fn production_is_scaled_and_undone_while_the_workload_does_not_match() {
    let mut model = promoted(manual(), &[2]);
    model.change_spec(|spec| {
        spec.workload_ref = Some(WorkloadRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "app".into(),
            scale_down: Some(WorkloadScaleDown::Never),
        });
    });
    let mut template = Template::from(&model::template(3));
    template.labels.clear();
    model.truth.rollout.template = template.clone();
    model.truth.workload = Some(Workload { name: "app".into(), resource_version: "1".into(), replicas: 2, template });
    model.work();
    model.scale(3);
    model.work();
    assert_eq!(model.rs(2).replicas, 3);
    undo(&mut model);
    assert_serves(&model, 1);
}

// 4

#[test]
fn production_follows_the_scale_there_and_back_after_an_undo() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    for replicas in [4, 2, 3, 2] {
        model.scale(replicas);
        model.work();
        assert_eq!(model.rs(1).replicas, replicas);
    }
}

#[test]
fn production_follows_the_scale_there_and_back_after_an_abort() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert_rejected(&model, 2, true);
    for replicas in [4, 2] {
        model.scale(replicas);
        model.work();
        assert_eq!(model.rs(1).replicas, replicas);
    }
}

#[test]
fn a_scale_that_comes_with_a_template_waits_for_its_promotion() {
    let mut model = serves_one(manual());
    model.happen(&Event::TemplateAndReplicas(2, 5));
    model.work();
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (2, 5));
    model.scale(4);
    model.work();
    assert_eq!((model.rs(1).replicas, model.rs(2).replicas), (4, 4));
}

#[test]
fn the_next_template_takes_no_scale_back_that_production_has_got() {
    for writes in 0..6 {
        let mut model = serves_one(manual());
        model.scale(4);
        model.operate(Some(writes));
        let got = model.rs(1).replicas;
        model.push(2);
        model.work();
        assert!(model.rs(1).replicas >= got, "after {writes} writes: {got}, then {}", model.rs(1).replicas);
    }
}

#[test]
fn a_promotion_waits_for_the_replica_set_that_is_made_next() {
    let mut model = serves_one(manual());
    model.push(2);
    let two = model.truth.rollout.template.digest.hash(&model.truth.rollout.name, 0);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(answer(&model).0, "{}", answer(&model).1);
    assert_serves(&model, 2);
}

#[test]
fn a_promotion_of_what_cannot_be_made_is_refused() {
    let mut model = serves_one(manual());
    model.happen(&Event::Refuse { template: 2, refused: true });
    model.push(2);
    let two = model.truth.rollout.template.digest.hash(&model.truth.rollout.name, 0);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    let (accepted, why) = answer(&model);
    assert!(!accepted && why.contains("has no ReplicaSet yet: "), "{why}");
}

// 5

#[test]
fn undo_works_while_the_preview_service_is_missing() {
    let mut model = promoted(manual(), &[2]);
    model.have_service("preview", false);
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn undo_works_while_the_preview_service_is_anothers() {
    let mut model = promoted(manual(), &[2]);
    model.have_service("preview", false);
    model.have_service("preview", true);
    model.truth.services.get_mut("preview").expect("it is there").managed_by = Some("rival".into());
    model.truth.rivals = vec![rival("preview", -1)];
    undo(&mut model);
    assert_serves(&model, 1);
    assert_eq!(model.truth.services["preview"].managed_by.as_deref(), Some("rival"));
}

#[test]
fn undo_works_while_the_next_template_lacks_a_label_that_the_service_selects() {
    let mut model = promoted(manual(), &[2]);
    model.ask_for_tier(true);
    model.push(6);
    model.work();
    let six = model.hash(6);
    model.request(Verb::Promote, &six, "ann", None);
    model.work();
    assert_serves(&model, 2);
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn undo_passes_over_what_lacks_a_label_that_the_service_selects() {
    let mut model = promoted(manual(), &[6, 2]);
    model.ask_for_tier(true);
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn undo_is_refused_when_all_there_is_to_go_back_to_lacks_a_label_that_the_service_selects() {
    let mut model = Model::new(manual());
    model.push(6);
    model.work();
    push_and_promote(&mut model, 2);
    model.ask_for_tier(true);
    undo(&mut model);
    assert_serves(&model, 2);
    let (accepted, words) = answer(&model);
    assert!(!accepted && words.contains("tier=front"), "{words}");
    assert_rejected(&model, 2, false);
    model.ask_for_tier(false);
    model.work();
    undo(&mut model);
    assert_serves(&model, 6);
}

#[test]
fn one_additional_service_that_is_missing_does_not_hold_the_others_back() {
    let settings = BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..manual() };
    let mut model = promoted(settings, &[2]);
    model.have_service("extra", false);
    undo(&mut model);
    assert_serves(&model, 1);
    model.have_service("extra", true);
    model.work();
    assert_serves(&model, 1);
}

// 6

#[test]
fn the_last_revision_that_served_is_never_pruned() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() });
    model.change_spec(|spec| spec.revision_history_limit = Some(2));
    assert!(model.settle());
    for number in 2..6 {
        model.push(number);
        assert!(model.settle());
    }
    push_and_promote(&mut model, 6);
    assert!(model.settle());
    assert!(model.has(1), "it served");
    assert!(model.truth.replica_sets.len() <= 4, "{:?}", model.truth.replica_sets.len());
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn even_a_history_of_none_keeps_what_there_is_to_go_back_to() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(0), ..BlueGreen::default() });
    model.change_spec(|spec| spec.revision_history_limit = Some(0));
    for number in 1..5 {
        model.push(number);
        assert!(model.settle());
    }
    assert_eq!(model.truth.replica_sets.len(), 2);
    undo(&mut model);
    assert_serves(&model, 3);
}

#[test]
fn what_waits_for_a_first_deployment_is_pruned_too() {
    let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(0), ..BlueGreen::default() });
    model.change_spec(|spec| spec.revision_history_limit = Some(1));
    model.have_service("active", false);
    for number in 1..6 {
        model.push(number);
        model.work();
        model.pass(60);
        model.scale_down();
        model.work();
    }
    assert_eq!(model.truth.replica_sets.len(), 2, "the one that waits, and one of those before");
    model.have_service("active", true);
    model.work();
    assert_serves(&model, 5);
}

// 7

#[test]
fn scaled_to_nothing_is_no_outage() {
    let settings = BlueGreen { auto_rollback: Some(AutoRollback { unavailable_seconds: 10 }), ..manual() };
    let mut model = promoted(settings, &[2]);
    model.scale(0);
    assert!(model.settle());
    assert_serves(&model, 2);
    assert_rejected(&model, 2, false);
    assert_eq!(model.rs(2).replicas, 0);
    model.scale(3);
    assert!(model.settle());
    assert_eq!(model.rs(2).replicas, 3);
    assert_serves(&model, 2);
}

#[test]
fn a_lost_hash_comes_back_also_to_no_pods_and_promotes_nobody() {
    let mut model = serves_one(manual());
    model.scale(0);
    model.work();
    model.push(2);
    model.work();
    model.lose_hash("active");
    model.work();
    assert_serves(&model, 1);
}

// 8

#[test]
fn a_retry_needs_its_own_approvals_and_its_own_analyses() {
    let analysis = || Some(RolloutAnalysis::default());
    let settings = BlueGreen {
        required_approvals: Some(2),
        pre_promotion_analysis: analysis(),
        post_promotion_analysis: analysis(),
        ..manual()
    };
    let mut model = serves_one(settings);
    model.push(2);
    model.work();
    let two = model.hash(2);
    let last = |model: &mut Model, phase| {
        let run = model.truth.runs.len() - 1;
        model.end_run(run, phase);
        model.work();
    };
    last(&mut model, AnalysisPhase::Successful);
    for by in ["ann", "bob"] {
        assert_serves(&model, 1);
        model.request(Verb::Promote, &two, by, None);
        model.work();
    }
    assert_serves(&model, 2);
    last(&mut model, AnalysisPhase::Failed);
    assert_serves(&model, 1);
    assert!(model.rs(2).replicas > 0, "it is still up");
    let runs = model.truth.runs.len();
    model.request(Verb::Retry, &two, "eve", None);
    model.work();
    assert_serves(&model, 1);
    assert_eq!(model.truth.runs.len(), runs + 1, "it is analysed anew");
    last(&mut model, AnalysisPhase::Successful);
    assert_serves(&model, 1);
    model.request(Verb::Promote, &two, "eve", None);
    model.work();
    assert_serves(&model, 1);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 2);
    assert_eq!(model.truth.runs.len(), runs + 2, "and after the promotion, too");
}

#[test]
fn what_is_called_ready_in_preview_can_be_looked_at_there() {
    let mut model = promoted(manual(), &[2]);
    let two = model.hash(2);
    undo(&mut model);
    assert_eq!(model.truth.services["preview"].hash(), Some(model.hash(1).as_str()));
    model.request(Verb::Retry, &two, "ann", None);
    for _ in 0..20 {
        model.operate(Some(1));
        let shows = model.truth.services["preview"].hash() == Some(two.as_str());
        let said = model.status();
        assert!(shows || !said.message.contains("ready in preview"), "{}", said.message);
        model.run_all_pods();
        model.catch_up();
        model.pass(1);
    }
    assert_eq!(model.status().phase, Phase::Paused);
}

#[test]
fn one_person_is_not_two_approvals() {
    let mut model = serves_one(BlueGreen { required_approvals: Some(2), ..manual() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    for _ in 0..3 {
        model.request(Verb::Promote, &two, "ann", None);
        model.work();
    }
    assert_serves(&model, 1);
}

#[test]
fn why_somebody_asked_stands_in_the_record_and_in_the_answer() {
    let mut model = serves_one(BlueGreen { required_approvals: Some(2), ..manual() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    let record = |model: &Model| {
        let decisions = model.status().decisions.as_ref().expect("a record");
        decisions.revision(&two).cloned().expect("an entry")
    };
    model.request_because(Verb::Promote, &two, "ann", None, Some("the dashboards are calm"));
    model.work();
    assert_eq!(record(&model).approvals[0].reason.as_deref(), Some("the dashboards are calm"));
    model.request_because(Verb::Abort, &two, "ann", None, Some("wrong \"by\":\"price\""));
    model.work();
    assert_eq!(record(&model).rejection.expect("rejected").reason, "aborted: wrong \"by\":\"price\"");
    assert!(answer(&model).1.ends_with("serves: wrong \"by\":\"price\""), "{}", answer(&model).1);
    model.request_because(Verb::Retry, &two, "ann", None, Some("  "));
    model.work();
    assert!(answer(&model).1.ends_with("over"), "no reason is no reason: {}", answer(&model).1);
}

// 9

#[test]
fn what_serves_and_was_good_is_not_analysed_again_because_git_went_back_to_it() {
    let post = BlueGreen { post_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let mut model = promoted(post, &[2]);
    let good = model.truth.runs.len() - 1;
    model.end_run(good, AnalysisPhase::Successful);
    model.work();
    push_and_promote(&mut model, 3);
    undo(&mut model);
    assert_serves(&model, 2);
    let runs = model.truth.runs.len();
    model.push(2);
    model.work();
    assert!(model.settle());
    assert_eq!(model.truth.runs.len(), runs, "{:?}", model.truth.runs);
    assert_serves(&model, 2);
    assert_eq!(model.status().phase.as_str(), "Healthy");
}

// 10

#[test]
fn a_move_by_hand_while_the_operator_is_down_is_a_decision() {
    let mut model = promoted(manual(), &[2]);
    let one = model.hash(1);
    model.point_by_hand("active", &one);
    assert!(model.settle());
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
    let decisions = model.status().decisions.as_ref().expect("a record");
    // The name of a tool, and whoever uses it may call it by somebody's.
    assert_eq!(decisions.rejection(&model.hash(2)).expect("rejected").by, r#"field manager "kubectl-edit""#);
}

/// Revision 2 waits for two people, and one of them approves of it. Returns its hash, too.
fn one_of_two_approves() -> (Model, String) {
    let mut model = serves_one(BlueGreen { required_approvals: Some(2), ..manual() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_serves(&model, 1);
    (model, two)
}

#[test]
fn a_promotion_by_hand_is_by_nobody_who_approved_before() {
    let (mut model, two) = one_of_two_approves();
    model.point_by_hand("active", &two);
    assert!(model.settle());
    assert_serves(&model, 2);
    let switch = model.status().switch.clone().expect("a switch");
    assert_eq!(switch.requested_by, r#"field manager "kubectl-edit""#, "{switch:?}");
    let promoted = model.ledger.events.iter().rfind(|event| event.reason == "Promoted").expect("it is told");
    assert!(promoted.note.contains(r#"promoted by field manager "kubectl-edit""#), "{}", promoted.note);
}

/// Whoever moves it may write our mark, too: then nobody is named.
#[test]
fn one_of_two_who_approve_has_not_promoted_what_somebody_moved_and_marked() {
    let (mut model, two) = one_of_two_approves();
    model.point_by_hand("active", &two);
    model.edit_service("active", |active| active.production = Some(two.clone()));
    model.catch_up();
    assert!(model.settle());
    assert_serves(&model, 2);
    let switch = model.status().switch.clone().expect("a switch");
    assert_eq!((switch.requested_by.as_str(), switch.requested_at), ("", None), "{switch:?}");
}

/// Whoever may annotate Services and ReplicaSets can say there that we have moved production.
#[test]
fn a_mark_and_a_claim_that_somebody_else_wrote_move_nothing() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let (two, now) = (model.hash(2), model.now);
    model.edit(&two, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), now.to_string())));
    model.edit_service("active", |active| active.production = Some(two.clone()));
    model.catch_up();
    model.work();
    assert_serves(&model, 1);
    let record = model.status().decisions.as_ref().and_then(|decisions| decisions.revision(&two)).expect("a record");
    assert!(record.served_at.is_none() && record.approvals.is_empty(), "{record:?}");
}

#[test]
fn a_move_by_hand_to_what_was_rejected_is_put_back() {
    let mut model = promoted(manual(), &[2]);
    undo(&mut model);
    let two = model.hash(2);
    model.point_by_hand("active", &two);
    model.work();
    assert_serves(&model, 1);
    let told = moved_back(&model);
    assert!(told.contains("which was rejected by ann: it is back at revision 1"), "{told}");
}

/// What is told of a Service that was moved back.
fn moved_back(model: &Model) -> &str {
    let told: Vec<_> = model.ledger.events.iter().filter(|event| event.reason == "MovedBack").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    &told[0].note
}

#[test]
fn a_move_by_hand_to_nothing_is_put_back_and_told() {
    let mut model = promoted(manual(), &[2]);
    model.point_by_hand("active", "nonsense");
    model.work();
    assert_serves(&model, 2);
    assert_rejected(&model, 2, false);
    let expected = "field manager \"kubectl-edit\" moved Service active to revision nonsense, which has no ReplicaSet";
    let told = moved_back(&model);
    assert!(told.starts_with(expected), "{told}");
}

// 11

/// The second revision was claimed, and whoever claimed it died; then the third was promoted.
fn claimed_in_vain() -> Model {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(Some(1));
    assert!(model.rs(2).claimed_at().is_some(), "it was claimed: {:?}", model.rs(2));
    assert_serves(&model, 1);
    push_and_promote(&mut model, 3);
    model
}

#[test]
fn a_claim_is_not_service() {
    let mut model = claimed_in_vain();
    undo(&mut model);
    assert_serves(&model, 1);
}

#[test]
fn a_claim_is_nothing_to_go_back_to_where_nothing_else_is() {
    let mut model = claimed_in_vain();
    let (one, three) = (model.hash(1), model.hash(3));
    model.delete_replica_set(&one);
    model.request(Verb::Rollback, &three, "ann", None);
    model.work();
    let (accepted, words) = answer(&model);
    assert!(!accepted, "{words}");
    assert_serves(&model, 3);
}

// 12

#[test]
fn a_promotion_that_a_newer_commit_overtook_is_refused_and_says_so() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.push(3);
    model.work();
    let (accepted, words) = answer(&model);
    assert!(!accepted && words.contains(&model.hash(3)), "{words}");
    assert_serves(&model, 1);
    // Nor is it carried out when the commit goes away again.
    model.push(2);
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn who_names_a_revision_by_its_number_is_told_its_hash() {
    let mut model = promoted(manual(), &[2]);
    let (one, two) = (model.hash(1), model.hash(2));
    for verb in [Verb::Rollback, Verb::Abort, Verb::Promote, Verb::Retry] {
        model.request(verb, "2", "ann", None);
        model.work();
        let (accepted, why) = answer(&model);
        assert!(!accepted && why.contains(&format!("revision 2 is {two}")), "{}: {why}", verb.as_str());
    }
    model.request(Verb::Rollback, &two, "ann", Some("1".to_owned()));
    model.work();
    let (accepted, why) = answer(&model);
    assert!(!accepted && why.contains(&format!("revision 1 is {one}")), "{why}");
    assert_serves(&model, 2);
}

#[test]
fn a_refused_request_is_not_carried_out_when_the_status_is_lost() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.push(3);
    model.work();
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert!(!answer(&model).0);
    model.push(2);
    model.wipe_status();
    assert!(model.settle());
    assert_serves(&model, 1);
}

#[test]
fn what_was_approved_before_the_status_was_lost_does_not_go_live() {
    let (mut model, two) = one_of_two_approves();
    model.wipe_status();
    model.work();
    model.request(Verb::Promote, &two, "bob", None);
    model.work();
    assert_serves(&model, 1);
}

// 13

#[test]
fn a_refused_analysis_is_forgotten_with_the_analysis() {
    let analysis = || BlueGreen { pre_promotion_analysis: Some(RolloutAnalysis::default()), ..manual() };
    let begins = |model: &mut Model| {
        model.push(2);
        model.refuses_analyses = true;
        model.work();
        assert_eq!(reason(model), "AnalysisRefused", "{}", model.status().message);
    };
    let mut removed = serves_one(analysis());
    begins(&mut removed);
    removed.change_spec(|spec| spec.strategy.blue_green.pre_promotion_analysis = None);
    removed.work();
    assert_eq!(reason(&removed), "AwaitingPromotion");

    let mut aborted = serves_one(analysis());
    begins(&mut aborted);
    let two = aborted.hash(2);
    aborted.request(Verb::Abort, &two, "ann", None);
    aborted.work();
    assert_eq!(reason(&aborted), "RevisionRejected");

    let mut skipped = serves_one(analysis());
    begins(&mut skipped);
    let two = skipped.hash(2);
    skipped.request(Verb::PromoteFull, &two, "ann", None);
    skipped.work();
    assert_serves(&skipped, 2);
    assert_eq!(reason(&skipped), "Healthy");
}

#[test]
fn a_refused_template_is_not_told_of_any_more_when_it_was_aborted() {
    let mut model = serves_one(manual());
    model.happen(&Event::Refuse { template: 2, refused: true });
    model.push(2);
    model.work();
    assert_eq!(reason(&model), "TemplateRefused");
    let two = model.status().updated_revision.clone();
    model.request(Verb::Abort, &two, "ann", None);
    model.work();
    assert_eq!(reason(&model), "RevisionRejected", "{}", model.status().message);
    assert!(model.status().message.contains("was rejected by ann (aborted)"), "{}", model.status().message);
    // Who retries it hears why it cannot be made.
    model.request(Verb::Retry, &two, "ann", None);
    model.work();
    assert_eq!(reason(&model), "TemplateRefused", "{}", model.status().message);
}

#[test]
fn what_an_aborted_template_lacks_is_not_told_of_any_more() {
    let mut model = serves_one(manual());
    model.ask_for_tier(true);
    model.push(6);
    model.work();
    assert_eq!(reason(&model), "ServiceSelectorMismatch");
    let six = model.hash(6);
    model.request(Verb::Abort, &six, "ann", None);
    model.work();
    assert_eq!(reason(&model), "RevisionRejected", "{}", model.status().message);
    model.request(Verb::Retry, &six, "ann", None);
    model.work();
    assert_eq!(reason(&model), "ServiceSelectorMismatch", "{}", model.status().message);
}

fn reason(model: &Model) -> &str {
    let ready =
        model.status().conditions.iter().find(|condition| condition.type_ == "Ready").expect("it is always there");
    &ready.reason
}

#[test]
fn a_revision_is_told_when_it_is_created_and_once() {
    let mut model = serves_one(manual());
    assert_eq!(created(&model), 1);
    model.happen(&Event::Refuse { template: 2, refused: true });
    model.push(2);
    for _ in 0..10 {
        model.pass(11);
        model.work();
    }
    assert_eq!(created(&model), 1);
    model.happen(&Event::Refuse { template: 2, refused: false });
    model.pass(11);
    model.work();
    assert_eq!(created(&model), 2);
}

// 14

#[test]
fn renaming_the_active_service_in_the_middle_of_a_release_promotes_nobody() {
    for naming in 0..model::NAMINGS.len() {
        let mut model = promoted(manual(), &[2]);
        model.push(3);
        model.work();
        model.happen(&Event::Names(naming));
        model.work();
        model.happen(&Event::Names(0));
        model.work();
        let (two, three) = (model.hash(2), model.hash(3));
        for name in SERVICES {
            let service = &model.truth.services[name];
            if service.production.is_some() {
                assert_eq!(service.hash(), Some(two.as_str()), "{naming}: {service:?}");
            } else {
                assert!(service.hash() != Some(&three) || name == "preview", "{naming}: {service:?}");
            }
        }
        undo(&mut model);
        assert_serves(&model, 1);
    }
}

#[test]
fn a_service_that_carried_production_shows_no_preview_after_an_exchange() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    model.happen(&Event::Names(2));
    model.work();
    let (one, two) = (model.hash(1), model.hash(2));
    for name in ["active", "preview"] {
        assert_eq!(model.truth.services[name].hash(), Some(one.as_str()));
    }
    model.request(Verb::Promote, &two, "ann", None);
    model.work();
    assert_eq!(model.truth.services["preview"].hash(), Some(one.as_str()), "{}", model.status().message);
    assert_eq!(model.status().phase.as_str(), "Degraded");
}

#[test]
fn a_service_that_carried_production_of_a_rollout_that_is_gone_shows_no_preview_and_that_is_told() {
    let mut model = serves_one(manual());
    model.edit_service("preview", |preview| {
        (preview.managed_by, preview.production) = (Some("gone".into()), Some("theirs".into()));
        preview.selector.insert(names::HASH_LABEL.into(), "theirs".into());
    });
    model.push(2);
    model.work();
    let message = &model.status().message;
    assert!(message.contains("Service preview carried production"), "{message}");
    // As the message says.
    model.edit_service("preview", |preview| preview.production = None);
    model.work();
    let two = model.hash(2);
    assert_eq!(model.truth.services["preview"].hash(), Some(two.as_str()), "{}", model.status().message);
}

#[test]
fn a_removed_active_service_keeps_its_endpoints() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    model.change_spec(|spec| spec.strategy.blue_green.active_service = None);
    assert!(model.settle());
    let one = model.hash(1);
    assert_eq!(model.truth.services["active"].hash(), Some(one.as_str()), "2 is up, so the hash stays");
    assert!(model.rs(1).replicas > 0);
}

#[test]
fn a_rename_between_the_move_and_its_record_loses_nothing() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    // The move is made; the record of it is not written yet.
    let moved_after = |writes: &usize| {
        let mut model = model.clone();
        model.operate(Some(*writes));
        model.serving().as_deref() == Some(two.as_str())
    };
    let writes = (1..10).find(moved_after).expect("it moves");
    model.operate(Some(writes));
    model.happen(&Event::Names(3));
    model.work();
    assert_serves(&model, 2);
}

// 15

#[test]
fn deletion_lets_the_services_go_and_orphans_keep_the_hash() {
    for (finalizer, keeps) in [(None, false), (Some("foregroundDeletion"), false), (Some("orphan"), true)] {
        let mut model = serves_one(manual());
        model.push(2);
        model.work();
        let one = model.hash(1);
        model.delete_rollout(finalizer);
        model.work();
        assert!(!model.is_held(), "{finalizer:?}");
        let service = &model.truth.services["active"];
        assert_eq!(service.hash() == Some(&one), keeps, "{finalizer:?}: {service:?}");
    }
}

fn rival(service: &str, hours: i64) -> Rival {
    let created = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().expect("a time");
    let created = created + jiff::SignedDuration::from_hours(hours);
    Rival { name: "rival".into(), created, services: vec![service.to_owned()] }
}

#[test]
fn a_second_rollout_does_not_take_a_service_over_by_being_new() {
    let mut model = Model::new(manual());
    let active = model.truth.services.get_mut("active").expect("it exists");
    active.managed_by = Some("rival".into());
    active.production = Some("theirs".into());
    active.selector.insert(names::HASH_LABEL.into(), "theirs".into());
    model.truth.rivals = vec![rival("active", 1)];
    model.work();
    assert_eq!(reason(&model), "ServiceClaimed");
    // The other one goes away: what served is still not ours to replace without a person.
    model.truth.rivals.clear();
    model.work();
    assert_eq!(model.truth.services["active"].hash(), Some("theirs"), "{}", model.status().message);
    assert_eq!(reason(&model), "AwaitingPromotion");
    let one = model.hash(1);
    model.request(Verb::Promote, &one, "ann", None);
    model.work();
    assert_serves(&model, 1);
}

// 16

#[test]
fn a_pod_with_two_addresses_is_one_pod() {
    let mut model = serves_one(manual());
    model.dual_stack = true;
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    // Production has moved, and one of the two pods is lost right then.
    assert_eq!(model.serving(), Some(two.clone()));
    model.run_pods(&two, 1);
    model.catch_up();
    model.pass(5);
    model.operate(None);
    assert_eq!(model.truth.endpoints["active"].iter().filter(|endpoint| endpoint.ready).count(), 2);
    let switch = model.status().switch.as_ref().expect("it moved");
    assert!(switch.proven_at.is_none(), "{switch:?}");
    assert!(!model.rs(1).is_retired());
    model.work();
    assert!(model.status().switch.as_ref().expect("it moved").proven_at.is_some());
}

#[test]
fn endpoints_that_somebody_else_keeps_neither_prove_nor_hinder() {
    let mut model = serves_one(manual());
    model.hand_made_endpoint = true;
    push_and_promote(&mut model, 2);
    assert!(model.status().switch.as_ref().expect("it moved").proven_at.is_some());
}

// Promise 1: available means all of them, as read at that moment.

#[test]
fn some_of_the_pods_are_not_enough() {
    let mut model = serves_one(manual());
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.run_pods(&two, 1);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_serves(&model, 1);
    model.run_pods(&two, 2);
    model.operate(None);
    assert_eq!(model.serving(), Some(two));
}

#[test]
fn pods_have_to_be_ready_for_as_long_as_the_spec_says() {
    let mut model = serves_one(manual());
    model.change_spec(|spec| spec.min_ready_seconds = Some(10));
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.run_pods(&two, 2);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_serves(&model, 1);
    model.pass(10);
    model.operate(None);
    assert_eq!(model.serving(), Some(two));
}

#[test]
fn an_old_picture_of_the_pods_moves_nothing() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.happen(&Event::Behind(Kind::ReplicaSets, true));
    model.run_pods(&two, 1);
    model.request(Verb::Promote, &two, "ann", None);
    model.operate(None);
    assert_serves(&model, 1);
}

#[test]
fn an_old_picture_of_a_service_moves_nothing() {
    let mut model = promoted(manual(), &[2]);
    model.happen(&Event::Behind(Kind::Services, true));
    let one = model.hash(1);
    model.point_by_hand("active", &one);
    model.push(3);
    model.operate(None);
    let three = model.hash(3);
    model.run_pods(&three, 2);
    model.request(Verb::Promote, &three, "ann", None);
    model.operate(None);
    assert_serves(&model, 1);
}

#[test]
fn an_old_picture_of_the_rollout_does_not_undo_a_decision() {
    let mut model = promoted(manual(), &[2]);
    model.happen(&Event::Behind(Kind::Rollouts, true));
    undo(&mut model);
    assert_serves(&model, 2);
    model.happen(&Event::Behind(Kind::Rollouts, false));
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

// Promise 3, 4 and 7, and what else a gate is made of.

#[test]
fn paused_holds_a_promotion_back_and_no_rollback() {
    let mut model = promoted(manual(), &[2]);
    model.happen(&Event::Paused(true));
    model.push(3);
    model.work();
    let three = model.hash(3);
    model.request(Verb::PromoteFull, &three, "ann", None);
    model.work();
    assert_serves(&model, 2);
    undo(&mut model);
    assert_serves(&model, 1);
    model.happen(&Event::Paused(false));
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn no_progress_within_the_deadline_rejects_the_candidate_and_nothing_else() {
    let mut model = serves_one(BlueGreen::default());
    model.change_spec(|spec| {
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    model.push(2);
    model.operate(None);
    model.pass(61);
    model.operate(None);
    assert_rejected(&model, 2, true);
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn a_template_within_the_rollback_window_comes_back_without_a_gate_and_an_older_one_does_not() {
    for (window, back) in [(2, true), (1, false)] {
        let mut model = Model::new(BlueGreen { scale_down_delay_seconds: Some(0), ..manual() });
        model.change_spec(|spec| spec.rollback_window = Some(greenlight_api::RollbackWindow { revisions: window }));
        model.work();
        push_and_promote(&mut model, 2);
        push_and_promote(&mut model, 3);
        assert!(model.settle());
        assert_eq!(model.rs(1).replicas, 0);
        model.push(1);
        model.work();
        assert_serves(&model, if back { 1 } else { 3 });
    }
}

#[test]
fn no_progress_within_the_deadline_rejects_nothing_while_nothing_serves() {
    let mut model = serves_one(BlueGreen::default());
    model.change_spec(|spec| {
        spec.progress_deadline_seconds = Some(60);
        spec.progress_deadline_abort = Some(true);
    });
    let one = model.hash(1);
    model.run_pods(&one, 0);
    // The way out, and its image takes its time.
    model.push(2);
    operate_for(&mut model, 100);
    assert_rejected(&model, 2, false);
    assert_eq!(model.status().phase, Phase::Degraded);
    let two = model.hash(2);
    model.run_pods(&two, usize::MAX);
    operate_for(&mut model, 10);
    assert_serves(&model, 2);
}

#[test]
fn a_template_that_is_still_up_inside_its_delay_comes_back_at_once_unless_people_are_asked() {
    let timer = BlueGreen { auto_promotion_seconds: Some(3600), ..BlueGreen::default() };
    for (blue_green, back) in [(timer, true), (manual(), false)] {
        let mut model = promoted(blue_green, &[2]);
        model.push(1);
        model.work();
        assert_serves(&model, if back { 1 } else { 2 });
        let two = model.hash(2);
        model.request(Verb::Rollback, &two, "ann", None);
        model.work();
        assert_serves(&model, 1);
    }
}

#[test]
fn a_forged_replica_set_is_not_something_to_go_back_to() {
    let mut model = serves_one(manual());
    model.push(2);
    model.work();
    let two = model.hash(2);
    let now = model.now;
    model.edit(&two, |rs| drop(rs.annotations.insert(names::PROMOTED_AT.into(), now.to_string())));
    model.push(3);
    model.work();
    let one = model.hash(1);
    model.request(Verb::Rollback, &one, "ann", Some(two));
    model.work();
    assert!(!answer(&model).0);
    assert_serves(&model, 1);
}

#[test]
fn a_lost_status_opens_nothing() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    model.wipe_status();
    assert!(model.settle());
    assert_serves(&model, 2);
    assert!(model.settle());
    assert_serves(&model, 2);
}

#[test]
fn overlap_goes_by_way_of_both_and_ends() {
    let settings =
        BlueGreen { switch_mode: Some(SwitchMode::Overlap), overlap_seconds: Some(20), ..BlueGreen::default() };
    let mut model = serves_one(settings);
    model.push(2);
    model.work();
    assert!(model.active().is_some_and(Service::is_overlapping));
    model.pass(20);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn an_idle_preview_shows_nothing_or_what_serves() {
    for (idle, shown) in [(None, true), (Some(PreviewServiceIdle::None), false)] {
        let mut model = serves_one(BlueGreen { preview_service_idle: idle, ..manual() });
        let one = model.hash(1);
        assert_eq!(model.truth.services["preview"].hash() == Some(&one), shown);
        push_and_promote(&mut model, 2);
        assert_ne!(model.truth.services["preview"].hash(), Some(one.as_str()));
    }
}

// Promise 6: a second copy that slept.

/// The move carries the Service's resourceVersion, and before the abort is answered the claim is noted there.
#[test]
fn an_operator_that_slept_between_claim_and_move_does_not_move_to_what_was_aborted_meanwhile() {
    let mut model = serves_one(BlueGreen { scale_down_delay_seconds: Some(5), ..manual() });
    model.push(2);
    model.work();
    let two = model.hash(2);
    model.request(Verb::Promote, &two, "ann", None);
    model.happen(&Event::Sleep { writes: 1 });
    assert!(model.rs(2).claimed_at().is_some());
    model.request(Verb::Abort, &two, "bob", None);
    assert!(model.settle());
    assert_rejected(&model, 2, true);
    assert_eq!(model.rs(2).replicas, 0, "it was scaled down");
    model.happen(&Event::Wake);
    assert_serves(&model, 1);
}

/// The first switch is made, and its record waits for the proof: whoever takes the hash out within that second takes it out of
/// all that knows of it.
#[test]
fn a_hash_that_is_lost_before_the_first_switch_is_recorded_comes_back() {
    let mut model = Model::new(manual());
    model.operate(None);
    let one = model.hash(1);
    model.run_pods(&one, 2);
    model.operate(None);
    assert_eq!(model.serving(), Some(one));
    model.lose_hash("active");
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn after_a_lost_status_what_serves_is_something_to_go_back_to() {
    let mut model = serves_one(manual());
    model.push(2);
    model.wipe_status();
    assert!(model.settle());
    let two = model.hash(2);
    model.point_by_hand("active", &two);
    assert!(model.settle());
    undo(&mut model);
    assert_serves(&model, 1);
}

/// The first Service selects both, the operator dies: whoever goes on does the same with the second, and not at once.
#[test]
fn an_overlap_that_was_begun_with_one_service_goes_on_with_all() {
    let mut model = serves_one(BlueGreen {
        additional_active_services: Some(vec!["extra".into()]),
        switch_mode: Some(SwitchMode::Overlap),
        overlap_seconds: Some(20),
        ..BlueGreen::default()
    });
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    model.run_pods(&two, 2);
    let overlaps = |model: &Model, name: &str| model.truth.services[name].is_overlapping();
    for writes in 1.. {
        let mut copy = model.clone();
        copy.operate(Some(writes));
        if overlaps(&copy, "active") {
            model = copy;
            break;
        }
        assert!(writes < 19, "it never began");
    }
    assert!(!overlaps(&model, "extra"), "the operator died in between");
    model.operate(None);
    assert!(overlaps(&model, "extra"), "{:?}", model.truth.services["extra"]);
}

/// An operator died while it took the label off the pods, and then the revision comes back: some of them carry it, and others not.
#[test]
fn an_overlap_does_not_begin_before_all_pods_carry_the_label() {
    let mut model = serves_one(BlueGreen {
        switch_mode: Some(SwitchMode::Overlap),
        overlap_seconds: Some(20),
        ..BlueGreen::default()
    });
    model.push(2);
    model.operate(None);
    let two = model.hash(2);
    let half_done = format!(
        r#"{{"labels":{{"{}":"true"}},"annotations":{{"{}":"true"}}}}"#,
        names::SERVING_LABEL,
        names::UNSETTLED
    );
    for rs in model.truth.replica_sets.iter_mut().filter(|rs| rs.hash == two) {
        rs.annotations.insert(names::ROLE_METADATA.to_owned(), half_done.clone());
    }
    model.run_pods(&two, 2);
    for writes in 1.. {
        let mut copy = model.clone();
        copy.operate(Some(writes));
        if copy.truth.services["active"].is_overlapping() {
            let noted = copy.rs(2).annotation(names::ROLE_METADATA).unwrap_or_default().to_owned();
            assert!(noted.contains(names::SERVING_LABEL) && !noted.contains(names::UNSETTLED), "{noted}");
            return;
        }
        assert!(writes < 19, "it never began");
    }
}

#[test]
fn an_abort_that_names_where_to_go_is_refused() {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    let (one, three) = (model.hash(1), model.hash(3));
    model.request(Verb::Abort, &three, "ann", Some(one));
    model.work();
    let (accepted, why) = answer(&model);
    assert!(!accepted && why.contains("leave to out"), "{why}");
    assert_serves(&model, 2);
    assert_rejected(&model, 3, false);
}

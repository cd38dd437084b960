//! A Service that an Argo Rollout moves: Argo Rollouts' controller writes the Rollout's name on it with its first move, and takes the
//! name and its hash away when the Rollout is gone or names another Service.
//!
//! | what happens | what follows |
//! |---|---|
//! | the name was there before us | nothing of the Service is touched; the first revision comes up |
//! | it is taken away | production moves, as it does from a Deployment |
//! | only one of several Services has it | production waits for that one |
//! | it is written on a Service of ours, by a tenant or with a backup | nothing: releases and undo go on |
//! | Argo's controller moves a Service of ours to its own pods | ours stay up, and we do not move it back: that would be a fight |
//! | it cleans that Service, or a person lets it go | production comes home |
//! | meanwhile the status is lost, the rollout is deleted, or it names another Service | what the Service selects stays |
//! | the name is empty | nobody claims the Service |

mod model;

use std::collections::BTreeMap;

use greenlight_api::{BlueGreen, names};
use greenlight_core::from_api;
use greenlight_core::world::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use model::people::{assert_rejected, assert_serves, manual, promoted, push_and_promote, serves_one, undo};
use model::{ARGOS_HASH, Argo, Model};

fn claimed_from_the_beginning() -> Model {
    let mut model = Model::new(manual());
    model.argo("active", Argo::Takes);
    model.argo("preview", Argo::Takes);
    model.work();
    model
}

#[track_caller]
fn assert_stalled(model: &Model) {
    let stalled = model.status().conditions.iter().find(|condition| condition.type_ == "Stalled").expect("a condition");
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "ServiceClaimed"), "{}", stalled.message);
    assert!(stalled.message.contains("is moved by the Argo Rollout shop."), "{}", stalled.message);
    assert!(stalled.message.contains(names::MANAGED_BY_ARGO), "it says what to do: {}", stalled.message);
}

/// The Service is as Argo's controller left it.
#[track_caller]
fn assert_untouched(service: &Service) {
    assert_eq!(service.hash(), Some(ARGOS_HASH));
    assert_eq!(service.argo_rollout.as_deref(), Some("shop"));
    assert_eq!((&service.managed_by, &service.production, &service.withdrawn), (&None, &None, &None));
}

#[test]
fn it_is_left_alone_and_the_first_revision_comes_up() {
    let model = claimed_from_the_beginning();
    assert_stalled(&model);
    assert!(model.rs(1).is_available(2), "production can move at once");
    assert_untouched(&model.truth.services["active"]);
    assert_untouched(&model.truth.services["preview"]);
}

#[test]
fn let_go_it_is_taken_over_without_a_promotion_like_that_of_a_deployment() {
    let mut model = claimed_from_the_beginning();
    model.argo("active", Argo::LetsGo);
    model.work();
    assert_stalled(&model);
    assert_eq!(model.truth.services["active"].hash(), Some(ARGOS_HASH), "the other Service is still claimed");
    model.argo("preview", Argo::LetsGo);
    model.work();
    assert_serves(&model, 1);
    assert!(model.status().conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True"));
}

#[test]
fn cleaned_by_argo_it_is_taken_over() {
    let mut model = claimed_from_the_beginning();
    model.argo("active", Argo::Cleans);
    model.argo("preview", Argo::Cleans);
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn let_go_before_the_pods_are_up_it_waits_for_them() {
    let mut model = Model::new(manual());
    model.argo("active", Argo::Takes);
    model.operate(None);
    model.argo("active", Argo::LetsGo);
    model.operate(None);
    assert_eq!(model.truth.services["active"].hash(), Some(ARGOS_HASH), "it leads to pods, and ours are not there");
    model.work();
    assert_serves(&model, 1);
}

#[test]
fn the_newest_template_is_taken_when_it_is_let_go_later() {
    let mut model = claimed_from_the_beginning();
    model.push(2);
    model.work();
    assert_stalled(&model);
    model.argo("active", Argo::LetsGo);
    model.argo("preview", Argo::LetsGo);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_rollout_that_is_deleted_before_it_got_anything_touches_nothing() {
    let mut model = claimed_from_the_beginning();
    model.delete_rollout(None);
    model.work();
    assert!(!model.is_held());
    assert_untouched(&model.truth.services["active"]);
}

#[test]
fn a_name_on_a_service_of_ours_stops_neither_a_release_nor_an_undo() {
    let mut model = promoted(manual(), &[2]);
    for service in ["active", "preview"] {
        model.argo(service, Argo::Named);
    }
    model.work();
    undo(&mut model);
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
    push_and_promote(&mut model, 3);
    // Neither does it where the hash was lost, too.
    model.lose_hash("active");
    model.work();
    assert_serves(&model, 3);
}

#[test]
fn what_argo_has_moved_to_its_own_pods_is_not_moved_back() {
    let mut model = promoted(manual(), &[2]);
    model.argo("active", Argo::Takes);
    model.work();
    assert_stalled(&model);
    assert_eq!(model.truth.services["active"].hash(), Some(ARGOS_HASH), "that would be a fight");
    model.pass(4000);
    model.scale_down();
    model.work();
    assert!(model.rs(2).is_available(2), "what it comes home to stays up");
    model.argo("active", Argo::LetsGo);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn what_argo_has_cleaned_comes_home() {
    let mut model = promoted(manual(), &[2]);
    model.argo("active", Argo::Takes);
    model.work();
    model.argo("active", Argo::Cleans);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn what_was_undone_meanwhile_comes_home_to_the_one_before() {
    let mut model = promoted(manual(), &[2]);
    model.argo("active", Argo::Takes);
    model.work();
    let two = model.hash(2);
    model.request(greenlight_api::Verb::Rollback, &two, "ann", None);
    model.work();
    assert_eq!(model.truth.services["active"].hash(), Some(ARGOS_HASH));
    model.argo("active", Argo::LetsGo);
    model.work();
    assert_serves(&model, 1);
    assert_rejected(&model, 2, true);
}

#[test]
fn a_lost_status_moves_nothing_of_argos_and_it_comes_home_all_the_same() {
    let mut model = promoted(manual(), &[2]);
    model.argo("active", Argo::Takes);
    model.work();
    model.wipe_status();
    model.work();
    assert_stalled(&model);
    assert_eq!(model.truth.services["active"].hash(), Some(ARGOS_HASH));
    model.argo("active", Argo::LetsGo);
    model.work();
    assert_serves(&model, 2);
}

#[test]
fn a_deleted_rollout_takes_its_marks_off_what_argo_has_moved_and_leaves_the_hash() {
    let mut model = serves_one(manual());
    model.argo("active", Argo::Takes);
    model.work();
    model.delete_rollout(None);
    model.work();
    assert!(!model.is_held());
    assert_untouched(&model.truth.services["active"]);
    assert_eq!(model.truth.services["preview"].hash(), None, "the other one is let go as ever");
}

#[test]
fn a_rollout_that_names_another_service_takes_its_marks_off_what_argo_has_moved() {
    let mut model = serves_one(manual());
    model.argo("active", Argo::Takes);
    model.work();
    model.change_spec(|spec| spec.strategy.blue_green.active_service = Some("other".into()));
    model.work();
    assert_serves(&model, 1);
    assert_untouched(&model.truth.services["active"]);
}

#[test]
fn undo_moves_the_other_services_while_argo_has_one() {
    let with_extra = BlueGreen { additional_active_services: Some(vec!["extra".into()]), ..manual() };
    let mut model = promoted(with_extra, &[2]);
    model.argo("extra", Argo::Takes);
    model.work();
    undo(&mut model);
    let one = model.hash(1);
    assert_eq!(model.truth.services["active"].hash(), Some(one.as_str()));
    assert_eq!(model.truth.services["extra"].hash(), Some(ARGOS_HASH));
}

#[test]
fn undo_works_while_argo_has_the_preview_service() {
    let mut model = promoted(manual(), &[2]);
    model.argo("preview", Argo::Takes);
    model.work();
    undo(&mut model);
    assert_serves(&model, 1);
    assert_eq!(model.truth.services["preview"].hash(), Some(ARGOS_HASH));
}

#[test]
fn an_empty_name_claims_nothing_and_a_long_one_is_cut() {
    let named = |name: &str| {
        let annotations = BTreeMap::from([(names::MANAGED_BY_ARGO.to_owned(), name.to_owned())]);
        let meta = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
        from_api::service(meta, BTreeMap::new()).argo_rollout
    };
    assert_eq!(named(""), None);
    assert_eq!(named("shop").as_deref(), Some("shop"));
    assert!(named(&"x".repeat(100_000)).is_some_and(|name| name.len() <= 253));
}

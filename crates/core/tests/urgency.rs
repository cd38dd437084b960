//! What moves traffic is carried out before what follows, among thousands of rollouts: from the request, or the event, until production
//! has moved, each plan says so.

mod model;

use greenlight_api::{AutoRollback, BlueGreen, Verb};
use greenlight_core::{Urgency, World, plan};
use model::Model;
use model::people::{assert_serves, manual, promoted, serves_one};

/// Works write by write until production is where it should be. Returns how urgent each write was.
#[track_caller]
fn urgencies_until(model: &mut Model, is_there: impl Fn(&Model) -> bool) -> Vec<Urgency> {
    let mut urgencies = Vec::new();
    for _ in 0..20 {
        if is_there(model) {
            return urgencies;
        }
        model.run_all_pods();
        model.catch_up();
        model.pass(1);
        urgencies.push(model.plan().urgency);
        // It makes one write, and another operator goes on. A claim that it was to act upon is made anew then, so it makes two.
        model.operate(Some(urgencies.len()));
    }
    panic!("production has not moved: {urgencies:?}");
}

fn serves(number: u8) -> impl Fn(&Model) -> bool {
    move |model| model.serving() == Some(model.hash(number))
}

#[test]
fn an_undo_and_a_promotion_are_urgent_until_production_has_moved() {
    let mut model = promoted(manual(), &[2]);
    let second = model.hash(2);
    model.request(Verb::Rollback, &second, "ann", None);
    let urgencies = urgencies_until(&mut model, serves(1));
    assert!(urgencies.iter().all(|urgency| *urgency == Urgency::Traffic), "{urgencies:?}");
    assert_eq!(model.plan().urgency, Urgency::Follow, "what is left can wait");

    model.work();
    model.push(3);
    model.work();
    let third = model.hash(3);
    model.request(Verb::Promote, &third, "ann", None);
    let urgencies = urgencies_until(&mut model, serves(3));
    assert!(urgencies.iter().all(|urgency| *urgency == Urgency::Traffic), "{urgencies:?}");
    assert_eq!(model.plan().urgency, Urgency::Follow);
}

#[test]
fn the_pods_that_a_promotion_waits_for_are_urgent() {
    let mut model = serves_one(BlueGreen { preview_replica_count: Some(1), ..manual() });
    model.push(2);
    model.work();
    let second = model.hash(2);
    model.request(Verb::Promote, &second, "ann", None);
    let is_whole = |model: &Model| model.rs(2).replicas == 2;
    let urgencies = urgencies_until(&mut model, is_whole);
    assert!(urgencies.iter().all(|urgency| *urgency == Urgency::Traffic), "{urgencies:?}");
}

#[test]
fn a_lost_hash_is_urgent() {
    let mut model = serves_one(manual());
    model.lose_hash("active");
    let urgencies = urgencies_until(&mut model, serves(1));
    assert!(!urgencies.is_empty());
    assert!(urgencies.iter().all(|urgency| *urgency == Urgency::Traffic), "{urgencies:?}");
}

#[test]
fn what_begins_can_wait_and_what_has_begun_comes_first() {
    let mut model = Model::new(manual());
    assert_eq!(model.plan().urgency, Urgency::FirstDeployment, "the finalizer");
    model.operate(Some(1));
    model.catch_up();
    assert_eq!(model.plan().urgency, Urgency::FirstDeployment, "the ReplicaSet");
    let urgencies = urgencies_until(&mut model, |model| model.serving().is_some());
    assert!(!urgencies.contains(&Urgency::Traffic), "nothing serves yet: {urgencies:?}");
    model.work();
    assert_serves(&model, 1);
    model.push(2);
    assert_eq!(model.plan().urgency, Urgency::Begin, "the next one");
    model.operate(None);
    model.catch_up();
    assert_eq!(model.plan().urgency, Urgency::Follow, "its preview");
}

#[test]
fn what_the_controllers_of_kubernetes_have_to_do_is_in_flight_and_what_pods_and_people_take_is_not() {
    let mut model = Model::new(manual());
    assert!(!model.plan().in_flight, "nothing was asked of anybody");
    model.operate(None);
    model.catch_up();
    assert!(model.plan().in_flight, "its pods do not exist");
    let first = model.hash(1);
    model.run_pods(&first, 0);
    assert!(!model.plan().in_flight, "its pods start");
    model.run_pods(&first, 2);
    model.operate(None);
    assert!(model.plan().in_flight, "the endpoints do not show them");
    model.work();
    assert_serves(&model, 1);
    assert!(!model.plan().in_flight);
    model.push(2);
    model.work();
    assert!(!model.plan().in_flight, "it waits for a person");
    model.edit(&first, |rs| rs.current = 1);
    assert!(model.plan().in_flight, "a pod has gone");
    model.edit(&first, |rs| rs.failure = Some("exceeded quota: pods".to_owned()));
    assert!(!model.plan().in_flight, "nobody makes it");
}

#[test]
fn an_undo_that_was_typed_by_hand_is_urgent_before_it_is_written_out() {
    let mut model = promoted(manual(), &[2]);
    model.truth.rollout.request = Some("rollback".into());
    assert_eq!(model.plan().urgency, Urgency::Traffic);
}

#[test]
fn production_that_is_down_is_urgent() {
    let automatic = BlueGreen { auto_rollback: Some(AutoRollback { unavailable_seconds: 20 }), ..manual() };
    let mut model = promoted(automatic, &[2]);
    let second = model.hash(2);
    model.run_pods(&second, 0);
    assert_eq!(model.plan().urgency, Urgency::Traffic, "the clock begins when it is on record");
    let mut model = serves_one(manual());
    let first = model.hash(1);
    model.delete_replica_set(&first);
    let looked_at = World { live: true, ..model.seen() };
    let plan = plan(&looked_at, model.now);
    assert_eq!(plan.urgency, Urgency::Traffic, "{:?}", plan.actions);
}

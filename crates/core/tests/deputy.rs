//! The operator does nothing for a rollout that whoever made it was not asked about.
//!
//! A rollout that names a Deployment scales it only as far as its own pods stand in: never while something is wrong, never for a rollout
//! that is to have no pods. One that names no Service gets none because another rollout of its name had one.

mod model;

use greenlight_api::{BlueGreen, WorkloadRef, WorkloadScaleDown, names};
use greenlight_core::world::{Template, Workload};
use model::{Event, Model};

/// A rollout that takes over from a Deployment with three pods; not looked at yet.
fn taking_over(scale_down: WorkloadScaleDown, replicas: i32) -> Model {
    let mut model = Model::new(BlueGreen::default());
    model.change_spec(|spec| {
        spec.replicas = Some(replicas);
        spec.workload_ref = Some(WorkloadRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "app".into(),
            scale_down: Some(scale_down),
        });
    });
    let template = Template::from(&model::template(1));
    model.truth.workload = Some(Workload { name: "app".into(), resource_version: "1".into(), replicas: 3, template });
    model
}

fn theirs(model: &Model) -> i32 {
    model.truth.workload.as_ref().map_or(0, |workload| workload.replicas)
}

#[test]
fn the_deployment_goes_when_the_rollout_serves() {
    for scale_down in [WorkloadScaleDown::Onsuccess, WorkloadScaleDown::Progressively] {
        let mut model = taking_over(scale_down, 3);
        assert!(model.settle());
        assert_eq!(theirs(&model), 0, "{scale_down:?}: {}", model.status().message);
    }
}

#[test]
fn the_deployment_keeps_its_pods_while_the_rollout_is_stalled() {
    for scale_down in [WorkloadScaleDown::Onsuccess, WorkloadScaleDown::Progressively] {
        let mut model = taking_over(scale_down, 3);
        model.have_service("active", false);
        model.work();
        model.everything_runs();
        model.work();
        assert_eq!(theirs(&model), 3, "{scale_down:?}: {}", model.status().message);
        assert_eq!(model.status().phase.as_str(), "Degraded", "{}", model.status().message);
    }
}

#[test]
fn the_deployment_keeps_its_pods_when_the_rollout_is_to_have_none() {
    for scale_down in [WorkloadScaleDown::Onsuccess, WorkloadScaleDown::Progressively] {
        let mut model = taking_over(scale_down, 0);
        for _ in 0..5 {
            model.happen(&Event::Replicas(0));
            model.work();
            model.everything_runs();
        }
        assert_eq!(theirs(&model), 3, "{scale_down:?}: {}", model.status().message);
    }
}

/// A Service that a rollout of this name left behind (`kubectl delete --cascade=orphan`), and a new one that names none.
fn after_an_orphaned_one() -> Model {
    let mut model = Model::new(BlueGreen::default());
    model.change_spec(|spec| {
        spec.strategy.blue_green.active_service = None;
        spec.strategy.blue_green.preview_service = None;
    });
    model.edit_service("active", |service| {
        service.managed_by = Some("web".into());
        service.production = Some("b2c4d6f8g2".into());
        service.selector.insert(names::HASH_LABEL.into(), "b2c4d6f8g2".into());
    });
    model
}

#[test]
fn a_service_that_an_earlier_rollout_of_this_name_left_behind_is_not_moved_for_one_that_does_not_name_it() {
    let mut model = after_an_orphaned_one();
    let before = model.truth.services["active"].clone();
    for number in [1, 2, 3] {
        model.push(number);
        model.work();
        assert_eq!(model.truth.services["active"], before, "template {number}: {}", model.status().message);
    }
}

#[test]
fn nor_is_it_let_go_when_that_one_is_deleted() {
    let mut model = after_an_orphaned_one();
    model.work();
    let before = model.truth.services["active"].clone();
    model.truth.rollout.deleting_since = Some(model.now);
    model.change_spec(|_| {});
    model.operate(None);
    assert_eq!(model.truth.services["active"], before);
}

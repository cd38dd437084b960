//! A rollout that names a Deployment scales it only as far as its own pods stand in: never while something is wrong, never for a rollout
//! that is to have no pods.

mod model;

use greenlight_api::{BlueGreen, WorkloadRef, WorkloadScaleDown};
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

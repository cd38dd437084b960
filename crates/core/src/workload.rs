//! A rollout that takes its template from a Deployment, and takes over from it (`workloadRef`).
//!
//! Until the first switch the active Services have no hash, so they serve the Deployment's pods and ours: there is no moment
//! without endpoints. The Deployment is scaled down as `scaleDown` says.

use greenlight_api::WorkloadScaleDown;

use crate::actions::Action;
use crate::switch::Proof;
use crate::target::Target;
use crate::world::World;

/// The change of the Deployment's size that is due.
pub fn scale(world: &World, target: &Target, proof: &Proof) -> Option<Action> {
    let mode = world.rollout.spec.workload_ref.as_ref()?.scale_down.unwrap_or_default();
    let workload = world.workload.as_ref()?;
    let taken_over = target.active_selected && matches!(proof, Proof::Proven(_)) && target.candidate().is_none();
    let replicas = match mode {
        WorkloadScaleDown::Never => return None,
        WorkloadScaleDown::Onsuccess | WorkloadScaleDown::Progressively if taken_over => 0,
        WorkloadScaleDown::Onsuccess => return None,
        // Production still reaches both: each of our pods that is available stands in for one of the Deployment's.
        WorkloadScaleDown::Progressively if target.active.is_none() => {
            let ours = target.desired.map_or(0, |set| set.available);
            (world.rollout.spec.replicas() - ours).clamp(0, workload.replicas)
        }
        WorkloadScaleDown::Progressively => return None,
    };
    let (name, resource_version) = (workload.name.clone(), workload.resource_version.clone());
    (replicas != workload.replicas).then_some(Action::ScaleWorkload { name, resource_version, replicas })
}

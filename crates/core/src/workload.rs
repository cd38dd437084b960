//! A rollout that takes its template from a Deployment, and takes over from it (`workloadRef`).
//!
//! Until the first switch the active Services have no hash, so they serve the Deployment's pods and ours: there is no moment
//! without endpoints. The Deployment is scaled down as `scaleDown` says.

use greenlight_api::WorkloadScaleDown;

use crate::actions::Action;
use crate::situation::Situation;

/// The change of the Deployment's size that is due. None while nothing of ours is meant to run: its pods are all there is.
pub fn scale(situation: &Situation, proven: bool) -> Option<Action> {
    let Situation { world, roles, .. } = situation;
    let mode = world.rollout.spec.workload_ref.as_ref()?.scale_down.unwrap_or_default();
    let workload = world.workload.as_ref()?;
    let taken_over = roles.at_home().is_some_and(|home| home.replicas > 0) && proven && roles.candidate.is_none();
    let may_begin =
        roles.home().is_none() && world.rollout.spec.replicas() > 0 && world.rollout.spec.paused != Some(true);
    let replicas = match mode {
        WorkloadScaleDown::Never => return None,
        WorkloadScaleDown::Onsuccess | WorkloadScaleDown::Progressively if taken_over => 0,
        WorkloadScaleDown::Onsuccess => return None,
        // Production still reaches both: each of our pods that is available stands in for one of the Deployment's.
        WorkloadScaleDown::Progressively if may_begin => {
            let ours = roles.candidate.map_or(0, |rs| rs.available);
            // One stays until the switch is proven: what is known of ours may be old.
            let least = workload.replicas.min(1);
            world.rollout.spec.replicas().saturating_sub(ours).clamp(least, workload.replicas.max(least))
        }
        WorkloadScaleDown::Progressively => return None,
    };
    let (name, resource_version) = (workload.name.clone(), workload.resource_version.clone());
    (replicas != workload.replicas).then_some(Action::ScaleWorkload { name, resource_version, replicas })
}

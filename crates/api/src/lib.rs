//! What users of Greenlight write and read: the `BlueGreenRollout` type, and every label, annotation, finalizer, condition
//! and reason that is part of the product's contract. No client, no IO, no decision.

pub mod analysis;
pub mod conditions;
pub mod events;
pub mod names;
mod patterns;
mod request;
mod rollout;
mod status;
mod template;
pub mod text;

pub use analysis::{AnalysisPhase, RolloutAnalysis};
pub use request::{Request, Verb};
pub use rollout::{
    AntiAffinity, AutoRollback, BlueGreen, BlueGreenRollout, BlueGreenRolloutSpec, PodMetadata, PreviewServiceIdle,
    RollbackWindow, Strategy, SwitchMode, WorkloadRef, WorkloadScaleDown,
};
pub use status::{
    Approval, BlueGreenRolloutStatus, Decisions, ObservedRequest, Phase, Progress, Rejection, Release, RevisionRecord,
    Switch, Verdict,
};
pub use template::PodTemplate;

/// The CustomResourceDefinitions that the operator needs, in the order in which to apply them.
pub fn crds() -> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::core::crd::CustomResourceExt;
    vec![
        rollout::crd(),
        analysis::AnalysisTemplate::crd(),
        analysis::ClusterAnalysisTemplate::crd(),
        analysis::AnalysisRun::crd(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn schema(of: usize) -> Value {
        let crd = serde_json::to_value(&super::crds()[of]).expect("JSON");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// The schema of a field that may be left out has the words of its type, where that is an enum.
    #[test]
    fn people_who_ask_kubectl_are_told_what_an_overlap_is_for() {
        let schema = schema(0);
        let blue_green = &schema["properties"]["spec"]["properties"]["strategy"]["properties"]["blueGreen"];
        let told = blue_green["properties"]["switchMode"]["description"].as_str().unwrap_or_default();
        assert!(told.contains("load balancers") && told.ends_with("Default Swap."), "{told}");
    }
}

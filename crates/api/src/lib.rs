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

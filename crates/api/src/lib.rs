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
    use serde_json::{Value, json};

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
        let idle = &blue_green["properties"]["previewServiceIdle"]["description"];
        assert!(idle.as_str().is_some_and(|told| told.ends_with("Default Active.")), "{idle}");
    }

    /// The names of all fields below a schema.
    fn names(schema: &Value) -> Vec<String> {
        let fields = schema["properties"].as_object().into_iter().flatten();
        let below = fields.flat_map(|(name, field)| std::iter::once(name.clone()).chain(names(field)));
        let items = schema["items"].as_object().map(|_| names(&schema["items"]));
        below.chain(items.into_iter().flatten()).collect()
    }

    #[test]
    fn every_field_has_a_name_as_kubernetes_writes_them() {
        let fields: Vec<String> = (0..super::crds().len()).flat_map(|of| names(&schema(of))).collect();
        assert!(fields.iter().any(|name| name == "heardAt"), "the fields of an approval are among them");
        let others: Vec<_> = fields.iter().filter(|name| name.contains(['_', '-'])).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// What was heard by an earlier build still counts.
    #[test]
    fn an_approval_is_read_as_it_is_written_and_as_earlier_builds_wrote_it() {
        let of = |name: &str| json!({"by": "ann", "at": "2026-11-23T23:04:43Z", name: "2026-11-23T23:04:44Z"});
        let read = |name: &str| serde_json::from_value::<super::Approval>(of(name)).expect("an approval");
        assert_eq!(read("heard_at"), read("heardAt"));
        assert!(read("heard_at").heard_at.is_some());
        assert_eq!(serde_json::to_value(read("heard_at")).expect("JSON"), of("heardAt"));
    }
}

//! What is kept of the watched objects. Each view decodes only what decisions need, and is turned into the core's type as
//! it arrives. This, and the packing in the cache, is why ten thousand rollouts fit into little memory.

use std::collections::BTreeMap;

use greenlight_api::{BlueGreenRollout, PodTemplate, names};
use greenlight_core::from_api;
use greenlight_core::world::{ReplicaSet, Rollout, Service, Template, Workload};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::arrived::Watched;
use crate::cache::{Cached, Key};

/// Implements [`Resource`] for a view of a namespaced kind.
macro_rules! view_of {
    ($view:ident, $group:literal, $version:literal, $kind:literal, $plural:literal) => {
        impl kube::Resource for $view {
            type DynamicType = ();
            type Scope = k8s_openapi::NamespaceResourceScope;
            fn kind(_: &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }
            fn group(_: &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use view_of;

view_of!(RolloutView, "greenlight.dev", "v1alpha1", "BlueGreenRollout", "bluegreenrollouts");
view_of!(ReplicaSetView, "apps", "v1", "ReplicaSet", "replicasets");
view_of!(ServiceView, "", "v1", "Service", "services");
view_of!(JobView, "batch", "v1", "Job", "jobs");
view_of!(DeploymentView, "apps", "v1", "Deployment", "deployments");

/// Metadata without what takes most of its room and says nothing here: who manages which field.
pub fn narrow_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let narrow = NarrowMetadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        namespace: narrow.namespace,
        name: narrow.name,
        uid: narrow.uid,
        resource_version: narrow.resource_version,
        generation: narrow.generation,
        creation_timestamp: narrow.creation_timestamp,
        deletion_timestamp: narrow.deletion_timestamp,
        labels: narrow.labels,
        annotations: narrow.annotations,
        owner_references: narrow.owner_references,
        finalizers: narrow.finalizers,
        ..ObjectMeta::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NarrowMetadata {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

/// A rollout as it arrives. Its template is reduced to a digest before anything is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "BlueGreenRollout")]
pub struct RolloutView {
    metadata: ObjectMeta,
    rollout: Box<Rollout>,
}

impl From<BlueGreenRollout> for RolloutView {
    fn from(object: BlueGreenRollout) -> RolloutView {
        // The watch needs to know which object this is; the rest of the metadata is in the rollout, or not kept.
        let metadata = ObjectMeta {
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone(),
            uid: object.metadata.uid.clone(),
            resource_version: object.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        };
        RolloutView { metadata, rollout: Box::new(from_api::rollout(object)) }
    }
}

impl Watched for ReplicaSetView {}
impl Watched for ServiceView {}
impl Watched for DeploymentView {}
impl Watched for JobView {}

impl Watched for RolloutView {
    /// Which Services it names, so that nobody else takes them, and what was decided, so that it is not written over.
    fn outline(json: &str) -> Option<RolloutView> {
        let mut outline: Outline = serde_json::from_str(json).ok()?;
        outline.metadata.remove("managedFields");
        let blue_green = outline.spec.strategy.blue_green;
        let object = json!({
            "metadata": outline.metadata,
            "spec": {"selector": outline.spec.selector, "strategy": {"blueGreen": blue_green}},
            "status": outline.status,
        });
        serde_json::from_value(object).ok()
    }
}

/// What is read of a rollout that cannot be read as a whole.
#[derive(Deserialize)]
struct Outline {
    metadata: Map<String, Value>,
    spec: OutlineSpec,
    status: Option<Value>,
}

#[derive(Deserialize)]
struct OutlineSpec {
    selector: Value,
    strategy: OutlineStrategy,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutlineStrategy {
    blue_green: OutlineServices,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutlineServices {
    active_service: Option<Value>,
    additional_active_services: Option<Value>,
    preview_service: Option<Value>,
}

/// A ReplicaSet as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplicaSetView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ReplicaSetSpec,
    #[serde(default)]
    status: ReplicaSetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicaSetSpec {
    replicas: Option<i32>,
    min_ready_seconds: i32,
    template: TemplateView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateView {
    metadata: TemplateMetadata,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateMetadata {
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicaSetStatus {
    replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    observed_generation: i64,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    message: String,
}

/// A Service as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct ServiceView {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    selector: BTreeMap<String, String>,
}

/// A ReplicaSet of a rollout, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnedSet {
    /// The rollout that controls it; without a name if none does (any more).
    pub owner: Key,
    /// UID of that rollout.
    pub owner_uid: String,
    /// The rest.
    pub set: ReplicaSet,
}

/// A Service, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptService {
    /// Its namespace.
    pub namespace: String,
    /// The rest.
    pub service: Service,
}

/// The Job of an analysis as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct JobView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: JobStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JobStatus {
    conditions: Vec<Condition>,
}

/// The Job of an analysis, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptJob {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version.
    pub resource_version: String,
    /// UID.
    pub uid: String,
    /// The AnalysisRun that it is for.
    pub run: Option<String>,
    /// How it ended, if it has.
    pub outcome: Option<JobOutcome>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Well.
    Complete,
    /// Not, and why.
    Failed(String),
}

impl JobView {
    /// What is kept of it.
    pub fn keep(self) -> KeptJob {
        let holds = |type_: &str| {
            self.status.conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
        };
        let failed = || Some(JobOutcome::Failed(holds("Failed")?.message.clone()));
        let outcome = holds("Complete").map(|_| JobOutcome::Complete).or_else(failed);
        let mut owners = self.metadata.owner_references.into_iter().flatten();
        KeptJob {
            run: owners.find(|owner| owner.kind == "AnalysisRun").map(|owner| owner.name),
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            uid: self.metadata.uid.unwrap_or_default(),
            resource_version: self.metadata.resource_version.unwrap_or_default(),
            outcome,
        }
    }
}

impl Cached for KeptJob {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.resource_version
    }
    /// Its run.
    fn groups(&self) -> Vec<Key> {
        self.run.iter().map(|run| self.key().sibling(run)).collect()
    }
}

/// A Deployment as it arrives.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawDeployment")]
pub struct DeploymentView {
    metadata: ObjectMeta,
    workload: Workload,
}

#[derive(Clone, Debug, Deserialize)]
struct RawDeployment {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    spec: DeploymentSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct DeploymentSpec {
    replicas: Option<i32>,
    template: PodTemplate,
}

impl From<RawDeployment> for DeploymentView {
    fn from(raw: RawDeployment) -> DeploymentView {
        let workload = Workload {
            name: raw.metadata.name.clone().unwrap_or_default(),
            resource_version: raw.metadata.resource_version.clone().unwrap_or_default(),
            replicas: raw.spec.replicas.unwrap_or(1),
            template: Template::from(&raw.spec.template),
        };
        DeploymentView { metadata: raw.metadata, workload }
    }
}

/// A Deployment, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptWorkload {
    /// Namespace.
    pub namespace: String,
    /// The rest.
    pub workload: Workload,
}

impl DeploymentView {
    /// What is kept of it.
    pub fn keep(self) -> KeptWorkload {
        KeptWorkload { namespace: self.metadata.namespace.unwrap_or_default(), workload: self.workload }
    }
}

impl Cached for KeptWorkload {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.workload.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.workload.resource_version
    }
    fn groups(&self) -> Vec<Key> {
        Vec::new()
    }
}

impl ReplicaSetView {
    /// What is kept of it; `None` if no rollout controls it. One that was left behind (`--cascade=orphan`) is kept as long as
    /// it carries the scale-down finalizer: nobody else takes that off.
    pub fn keep(self) -> Option<OwnedSet> {
        let meta = self.metadata;
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let is_ours = |kind: &str, version: &str| kind == "BlueGreenRollout" && version.starts_with("greenlight.dev/");
        let held = meta.finalizers.iter().flatten().any(|finalizer| finalizer == names::SCALE_DOWN_FINALIZER);
        let (owner, owner_uid) = match controller {
            Some(owner) if is_ours(&owner.kind, &owner.api_version) => (owner.name.clone(), owner.uid.clone()),
            None if held => (String::new(), String::new()),
            _ => return None,
        };
        let namespace = meta.namespace.unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.retain(|key, _| key.starts_with("greenlight.dev/"));
        let digest = annotations.remove(names::TEMPLATE_DIGEST).unwrap_or_default();
        // What its pods carry, and its selector, which cannot be changed; its own labels can.
        let mut pod_labels = self.spec.template.metadata.labels;
        let hash = pod_labels.remove(names::HASH_LABEL).unwrap_or_default();
        let failure = self.status.conditions.into_iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        let set = ReplicaSet {
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            hash,
            digest,
            resource_version: meta.resource_version.unwrap_or_default(),
            created: from_api::time(meta.creation_timestamp.as_ref()),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
            annotations,
            pod_labels,
            replicas: self.spec.replicas.unwrap_or(1),
            min_ready_seconds: self.spec.min_ready_seconds,
            settled: self.status.observed_generation >= meta.generation.unwrap_or_default(),
            current: self.status.replicas,
            ready: self.status.ready_replicas,
            available: self.status.available_replicas,
            failure: failure.map(|condition| condition.message),
            fresh: false,
        };
        Some(OwnedSet { owner: Key { namespace, name: owner }, owner_uid, set })
    }
}

impl ServiceView {
    /// What is kept of it.
    pub fn keep(self) -> KeptService {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        KeptService { namespace, service: from_api::service(self.metadata, self.spec.selector) }
    }
}

impl RolloutView {
    /// What is kept of it.
    pub fn keep(self) -> Rollout {
        *self.rollout
    }
}

impl Cached for Rollout {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.resource_version
    }
    /// The Services that it names, and the workload.
    fn groups(&self) -> Vec<Key> {
        let services = self.spec.blue_green().services().map(|name| self.key().sibling(name));
        let workload =
            self.spec.workload_ref.iter().map(|workload| workload_group(&self.key().sibling(&workload.name)));
        services.chain(workload).collect()
    }
}

/// The group of the rollouts that refer to a workload. A Service of the same name is another group.
pub fn workload_group(workload: &Key) -> Key {
    workload.sibling(&format!("workload/{}", workload.name))
}

impl Cached for OwnedSet {
    fn key(&self) -> Key {
        self.owner.sibling(&self.set.name)
    }
    fn resource_version(&self) -> &str {
        &self.set.resource_version
    }
    /// Its rollout.
    fn groups(&self) -> Vec<Key> {
        vec![self.owner.clone()]
    }
}

impl Cached for KeptService {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.service.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.service.resource_version
    }
    /// The rollout whose mark it carries.
    fn groups(&self) -> Vec<Key> {
        self.service.managed_by.iter().map(|name| self.key().sibling(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use greenlight_api::AnalysisPhase;
    use greenlight_api::analysis::AnalysisRun;

    use super::*;
    use crate::analysis::KeptRun;
    use crate::metrics::Metrics;
    use crate::world::Caches;

    /// What the API server sends of a rollout that has been released twice: itself, two Services, three ReplicaSets.
    fn keep_one(caches: &Caches, number: usize) {
        let name = format!("web-{number}");
        let meta = |kind: &str, labels: Value, annotations: Value| {
            json!({
                "name": kind, "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e", "generation": 3,
                "resourceVersion": "1234567890", "creationTimestamp": "2026-11-23T23:04:43Z",
                "labels": labels, "annotations": annotations,
                "managedFields": [{"manager": "greenlight", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
            })
        };
        let labels = json!({"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"});
        let env: Vec<Value> =
            (0..40).map(|n| json!({"name": format!("SETTING_{n}"), "value": "x".repeat(40)})).collect();
        let template = json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "shop/web:1.2.3", "env": env}]},
        });
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "Healthy", "observedGeneration": 3,
                "lastTransitionTime": "2026-11-23T23:04:43Z", "message": "revision 3 (web:v1) is active",
            })
        };
        let rollout: RolloutView = serde_json::from_value(json!({
            "metadata": meta(&name, labels.clone(), json!({
                "greenlight.dev/request": json!({
                    "action": "promote", "revision": "5shpm7h2q6", "by": "ann@example.com", "at": "2026-11-23T23:04:43Z",
                }).to_string(),
                "kubectl.kubernetes.io/last-applied-configuration": template.to_string(),
            })),
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
                "template": template,
                "strategy": {"blueGreen": {
                    "activeService": format!("{name}-active"), "previewService": format!("{name}-preview"),
                    "autoPromotionEnabled": false, "scaleDownDelaySeconds": 600,
                }},
            },
            "status": {
                "activeRevision": "5shpm7h2q6", "previewRevision": "5shpm7h2q6", "stableRevision": "5shpm7h2q6",
                "updatedRevision": "5shpm7h2q6", "currentRevision": 3, "phase": "Healthy", "ready": "2/2",
                "message": "revision 3 (web:v1) is active", "selector": "app=web,rollouts-pod-template-hash=5shpm7h2q6",
                "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 3,
                "conditions": [condition("Ready"), condition("Available"), condition("Paused")],
                "release": {"revision": "5shpm7h2q6", "seenAt": "2026-11-23T23:04:43.409591091Z"},
                "switch": {
                    "from": "hq2r5shpm7", "to": "5shpm7h2q6", "requestedBy": "ann@example.com",
                    "requestedAt": "2026-11-23T23:04:43Z", "switchedAt": "2026-11-23T23:04:43.494356903Z",
                    "provenAt": "2026-11-23T23:04:43.512243719Z",
                },
            },
        }))
        .expect("a rollout");
        let mut rollout = rollout.keep();
        let record = |number: i32| {
            json!({
                "hash": format!("5shpm7h2q{number}"), "digest": "9f86d081884c7d659a2feaa0c55ad015".repeat(2), "number": number,
                "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e", "servedAt": "2026-11-23T23:04:43.512243719Z",
                "leftAt": "2026-11-23T23:04:43.512243719Z", "prePromotion": "NotNeeded", "postPromotion": "NotNeeded",
                "approvals": [{"by": "ann@example.com", "at": "2026-11-23T23:04:43Z"}],
            })
        };
        let decisions = json!({
            "serving": "5shpm7h2q3", "replicas": 2, "specReplicas": 2,
            "template": "9f86d081884c7d659a2feaa0c55ad015".repeat(2), "revisions": [record(1), record(2), record(3)],
        });
        let status = rollout.status.as_mut().expect("a status");
        status.decisions = Some(serde_json::from_value(decisions).expect("decisions"));
        caches.rollouts.put(rollout);
        for service in ["active", "preview"] {
            let mut metadata = meta(
                &format!("{name}-{service}"),
                labels.clone(),
                json!({names::MANAGED_BY: name, names::PRODUCTION: "5shpm7h2q6"}),
            );
            metadata["labels"]["greenlight.dev/managed"] = "true".into();
            let selector = json!({"app.kubernetes.io/name": "web", "rollouts-pod-template-hash": "5shpm7h2q6"});
            let view =
                serde_json::from_value::<ServiceView>(json!({"metadata": metadata, "spec": {"selector": selector}}));
            caches.services.put(view.expect("a Service").keep());
        }
        for revision in 1..=3 {
            let mut metadata = meta(
                &format!("{name}-5shpm7h2q{revision}"),
                json!({names::HASH_LABEL: format!("5shpm7h2q{revision}"), "app.kubernetes.io/name": "web"}),
                json!({
                    names::REVISION: revision.to_string(), names::TEMPLATE_DIGEST: "9f86d081884c7d659a2feaa0c55ad015".repeat(2),
                    names::PROMOTED_AT: "2026-11-23T23:04:43.494356903Z",
                }),
            );
            metadata["ownerReferences"] = json!([{
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": name, "controller": true,
                "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
            }]);
            let view = serde_json::from_value::<ReplicaSetView>(json!({
                "metadata": metadata,
                "spec": {"replicas": 2, "template": template},
                "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 3},
            }));
            caches.sets.put(view.expect("a ReplicaSet").keep().expect("a rollout's"));
            for kind in ["pre", "post"] {
                keep_run(caches, &name, &format!("{name}-5shpm7h2q{revision}-{kind}-1"));
            }
        }
        let deployment = json!({
            "metadata": meta(&name, labels, json!({"deployment.kubernetes.io/revision": "3"})),
            "spec": {"replicas": 0, "template": template},
        });
        caches.workloads.put(serde_json::from_value::<DeploymentView>(deployment).expect("a Deployment").keep());
    }

    /// An analysis that is over, by an address and by a Job, and its Job.
    fn keep_run(caches: &Caches, rollout: &str, name: &str) {
        let managed =
            json!([{"manager": "greenlight", "operation": "Update", "fieldsV1": {"f:spec": {"f:metrics": {}}}}]);
        let time = "2026-11-23T23:04:43.512243719Z";
        let measurement = |number: usize, metadata: Value| json!({"phase": "Successful", "value": number.to_string(), "startedAt": time, "finishedAt": time, "metadata": metadata});
        let job_spec = json!({"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "smoke", "image": "smoke:1", "args": vec!["x".repeat(40); 40]}],
        }}});
        let spec = json!({"metrics": [
            {"name": "errors", "interval": "10s", "count": 10, "successCondition": "result < 1",
                "provider": {"prometheus": {"address": "http://prometheus", "query": "q".repeat(300)}}},
            {"name": "smoke", "provider": {"job": {"spec": job_spec}}},
        ]});
        let digest = from_api::spec_digest(&serde_json::from_value(spec.clone()).expect("a spec"));
        let many: Vec<Value> = (0..10).map(|number| measurement(number, json!({}))).collect();
        let one = [measurement(
            1,
            json!({"job-name": format!("{name}-smoke"), "job-uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e"}),
        )];
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {
                "name": name, "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                "resourceVersion": "1234567890", "annotations": {names::ROLLOUT: rollout}, "managedFields": managed,
            },
            "spec": spec,
            "status": {
                "phase": "Successful", "startedAt": time, "completedAt": time, "specDigest": digest,
                "metricResults": [
                    {"name": "errors", "phase": "Successful", "successful": 10, "count": 10, "measurements": many},
                    {"name": "smoke", "phase": "Successful", "successful": 1, "count": 1, "measurements": one},
                ],
            },
        });
        let run: AnalysisRun = serde_json::from_value(run).expect("an AnalysisRun");
        let kept = KeptRun::from(run);
        assert_eq!(kept.says.as_ref().map(|run| run.phase), Some(AnalysisPhase::Successful));
        caches.runs.put(kept);
        let job = json!({
            "metadata": {
                "name": format!("{name}-smoke"), "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                "resourceVersion": "1234567890", "managedFields": managed,
                "ownerReferences": [{
                    "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "name": name, "controller": true,
                    "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                }],
            },
            "spec": job_spec,
            "status": {"conditions": [{"type": "Complete", "status": "True", "message": "Reached expected number of succeeded pods"}]},
        });
        caches.jobs.put(serde_json::from_value::<JobView>(job).expect("a Job").keep());
    }

    /// What this thread holds at this moment.
    fn held() -> u64 {
        let allocated = tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics").get();
        allocated - tikv_jemalloc_ctl::thread::deallocatedp::read().expect("statistics").get()
    }

    #[test]
    fn ten_thousand_rollouts_with_their_analyses_fit_into_a_hundred_megabytes() {
        let before = held();
        let caches = Arc::new(Caches::default());
        let rollouts = 2_000;
        (0..rollouts).for_each(|number| keep_one(&caches, number));
        let each = (held() - before) / rollouts as u64;
        let sizes = [caches.sets.len(), caches.services.len(), caches.runs.len(), caches.jobs.len()];
        assert_eq!(sizes, [3, 2, 6, 6].map(|of_one| of_one * rollouts));
        assert_eq!([caches.rollouts.len(), caches.workloads.len()], [rollouts; 2]);
        // The program itself takes twenty.
        println!("{each} bytes each");
        assert!(each < 8_000, "{each} bytes each");
        // A scrape makes text, and nothing else that counts.
        let metrics = Metrics::new(caches);
        metrics.leads(true);
        let allocated = || tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics").get();
        let (before, allocated_before) = (held(), allocated());
        let text = metrics.text();
        println!(
            "a scrape: {} bytes of text for each, {} allocated in all",
            text.len() / rollouts,
            (allocated() - allocated_before) / rollouts as u64
        );
        assert!(text.len() / rollouts < 700);
        drop(text);
        assert!(held() - before < 100_000, "nothing of it stays");
    }
}

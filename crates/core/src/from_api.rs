//! Objects of the API, reduced to what decisions need. The operator and the plugin read them by the same rules, so what the plugin
//! says of a rollout is what the operator decides. (A ReplicaSet the operator decodes narrowly, by itself: it keeps thousands.)

use std::collections::BTreeMap;

use greenlight_api::analysis::{AnalysisRun, AnalysisRunSpec};
use greenlight_api::{BlueGreenRollout, PodTemplate, Rejection, names};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta, Time};

use crate::hash::Digest;
use crate::words::{beginning_in_json, cut};
use crate::world::{Rollout, Run, Service, Template, mirror_of};

/// No object has a longer name. Anybody who may write to a Service can put any text where a name belongs.
const LONGEST_NAME: usize = 253;
/// Of the claims that were withdrawn no more is kept, in bytes of JSON. Those of a thousand revisions take less.
const LONGEST_CLAIMS: usize = 48 << 10;
/// In bytes of JSON. What somebody asked for is no longer than a request, and a reason of the operator's own is one of 2 KiB: this is more than twice as
/// much. With the claims beside it the Service can still be kept.
const LONGEST_REJECTIONS: usize = 8 << 10;

/// A rollout. Its template is reduced to a digest, and not kept.
pub fn rollout(object: BlueGreenRollout) -> Rollout {
    rollout_and_template(object).0
}

/// A rollout, and its template.
pub fn rollout_and_template(object: BlueGreenRollout) -> (Rollout, Option<PodTemplate>) {
    let BlueGreenRollout { metadata: meta, mut spec, status } = object;
    let template = Template::from(&*spec.template());
    let whole = spec.template.take();
    let rollout = Rollout {
        namespace: meta.namespace.unwrap_or_default(),
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        labels: meta.labels.unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
        created: time(meta.creation_timestamp.as_ref()),
        deleting_since: meta.deletion_timestamp.map(|at| at.0),
        finalizers: meta.finalizers.unwrap_or_default(),
        request: meta.annotations.and_then(|mut annotations| annotations.remove(names::REQUEST)),
        template,
        status,
        spec,
    };
    (rollout, whole)
}

/// A Service.
pub fn service(mut meta: ObjectMeta, selector: BTreeMap<String, String>) -> Service {
    let selects_ours = [names::HASH_LABEL, names::SERVING_LABEL].iter().any(|key| selector.contains_key(*key));
    let moved_by = if selects_ours { mover(&meta) } else { None };
    let mut annotation = |key: &str| meta.annotations.as_mut().and_then(|annotations| annotations.remove(key));
    let [managed_by, production] =
        [names::MANAGED_BY, names::PRODUCTION].map(|key| annotation(key).map(|name| cut(name, LONGEST_NAME)));
    let withdrawn = annotation(names::WITHDRAWN).map(|claims| beginning_in_json(&claims, LONGEST_CLAIMS).to_owned());
    let rejections = annotation(names::REJECTED).filter(|it| it.len() <= LONGEST_REJECTIONS);
    let rejections = rejections.and_then(|it| serde_json::from_str::<BTreeMap<String, Rejection>>(&it).ok());
    let argo_rollout = annotation(names::MANAGED_BY_ARGO).filter(|name| !name.is_empty());
    Service {
        name: meta.name.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
        deleting: meta.deletion_timestamp.is_some(),
        selector,
        managed_by,
        production,
        moved_by,
        withdrawn,
        rejections: rejections.into_iter().flatten().map(|(hash, rejection)| (hash, mirror_of(rejection))).collect(),
        argo_rollout: argo_rollout.map(|name| cut(name, LONGEST_NAME)),
        answered: false,
    }
}

/// The field manager that wrote a Service's selector last, if it was not the operator. A selector is an atomic map: a manager
/// that changes its value owns it alone, and one that applies the same value again owns it, too.
fn mover(meta: &ObjectMeta) -> Option<String> {
    let has_selector = |fields: &FieldsV1| fields.0.get("f:spec").is_some_and(|spec| spec.get("f:selector").is_some());
    let entries = meta.managed_fields.iter().flatten();
    let owners: Vec<_> = entries.filter(|entry| entry.fields_v1.as_ref().is_some_and(has_selector)).collect();
    let manager = |entry: &&ManagedFieldsEntry| entry.manager.clone().unwrap_or_default();
    if owners.iter().any(|entry| manager(entry) == names::FIELD_MANAGER) {
        return None;
    }
    owners.iter().max_by_key(|entry| entry.time.as_ref().map(|time| time.0)).map(manager)
}

/// An analysis run; none if it decides nothing, because somebody else made it or has edited it. Whoever may write AnalysisRuns may
/// make one under any name; but only the operator writes their status, and there is what it asked for.
pub fn run(run: &AnalysisRun) -> Option<Run> {
    let status = run.status.clone().unwrap_or_default();
    (status.spec_digest == spec_digest(&run.spec)).then(|| Run {
        name: run.metadata.name.clone().unwrap_or_default(),
        phase: status.phase,
        message: status.message,
        created: run.metadata.creation_timestamp.as_ref().map(|created| created.0),
        completed_at: status.completed_at,
        terminating: run.spec.terminate == Some(true),
    })
}

/// The digest of what a run measures. That somebody stops it is no change of that.
pub fn spec_digest(spec: &AnalysisRunSpec) -> String {
    let measures = AnalysisRunSpec { terminate: None, ..spec.clone() };
    Digest::of_json(&serde_json::json!(measures)).to_string()
}

/// Whether a pod whose `status.phase` this is has ended.
pub fn is_over(phase: Option<&str>) -> bool {
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// A time of the API; the beginning of time where there is none.
pub fn time(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

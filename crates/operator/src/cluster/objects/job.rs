//! The Job of an analysis.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::narrow::{Condition, narrow_metadata, view_of};
use crate::cluster::arrived::Watched;
use crate::cluster::cache::{Cached, Key};

view_of!(JobView, "batch", "v1", "Job", "jobs");

impl Watched for JobView {}

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
    /// It has no pods until somebody lets it: a queue of Jobs, say.
    pub suspended: bool,
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
        let suspended = holds("Suspended").is_some();
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
            suspended,
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

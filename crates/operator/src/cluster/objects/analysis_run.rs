//! What is kept of an analysis run. Each revision of the history has its runs, so of one that is over hardly anything is: how it ended.

use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus};
use greenlight_api::names;
use greenlight_core::from_api;
use greenlight_core::world::Run;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::cluster::cache::{Cached, Key};

/// Key of a measurement's metadata: the name of its Job.
pub const JOB: &str = "job-name";

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    namespace: String,
    name: String,
    resource_version: String,
    rollout: Option<String>,
    /// What it says to its rollout; nothing if it was made or edited by somebody else.
    pub says: Option<Run>,
    /// How far it is.
    pub state: State,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// There is something to measure.
    UnderWay(Box<AnalysisRun>),
    /// There is not.
    Over {
        /// The Jobs that have to be ended.
        jobs: Vec<String>,
    },
}

impl From<AnalysisRun> for KeptRun {
    fn from(mut run: AnalysisRun) -> KeptRun {
        run.metadata.managed_fields = None;
        KeptRun {
            namespace: run.namespace().unwrap_or_default(),
            name: run.name_any(),
            resource_version: run.resource_version().unwrap_or_default(),
            rollout: run.annotations().get(names::ROLLOUT).cloned(),
            says: from_api::run(&run),
            state: match &run.status {
                Some(status) if status.phase.is_completed() => State::Over { jobs: unfinished_jobs(status) },
                _ => State::UnderWay(Box::new(run)),
            },
        }
    }
}

/// The Jobs whose measurements are not over.
pub fn unfinished_jobs(status: &AnalysisRunStatus) -> Vec<String> {
    let measurements = status.metric_results.iter().flat_map(|result| &result.measurements);
    let unfinished = measurements.filter(|measurement| measurement.finished_at.is_none());
    unfinished.filter_map(|measurement| measurement.metadata.get(JOB).cloned()).collect()
}

impl Cached for KeptRun {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
    fn resource_version(&self) -> &str {
        &self.resource_version
    }
    /// The rollout that it is for.
    fn groups(&self) -> Vec<Key> {
        self.rollout.iter().map(|name| self.key().sibling(name)).collect()
    }
}

//! An analysis run: as it arrives, and what is kept of it. Each revision of the history has its runs, so of one that is over hardly
//! anything is: how it ended. Of one that is under way everything is, unless it is large: then it is read when it is measured.
//!
//! | what a tenant can do | what comes of it |
//! |---|---|
//! | make hundreds of runs of a megabyte each | nothing of them is read ([`LARGEST_ANALYSIS_RUN`]), which is told on each |
//! | make hundreds that are just small enough | nothing but their names is kept, and one of a namespace is measured at a time |
//! | edit one that is measured until it is too large | it decides nothing any more, and its rollout says so |
//! | write long names and messages into it | they are cut, or not kept |

use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus, Measurement};
use greenlight_api::names;
use greenlight_core::from_api;
use greenlight_core::words::beginning;
use greenlight_core::world::Run;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::narrow::{narrow_metadata, view_of};
use crate::cluster::arrived::{LARGEST_ANALYSIS_RUN, Watched};
use crate::cluster::cache::{Cached, Key};

/// Key of a measurement's metadata: the name of its Job.
pub const JOB: &str = "job-name";
/// Key of a measurement's metadata: the UID of the Job that was made, or was found to be what would be made. No other counts.
pub const JOB_UID: &str = "job-uid";

/// A run that has more bytes than this is not kept. Few have.
const MOST_KEPT: usize = 16 << 10;
/// What is kept of what a run says, in bytes.
const LONGEST_MESSAGE: usize = 1024;
/// No object has a longer name.
const LONGEST_NAME: usize = 253;
/// A run has fifty metrics at most, and each has one Job under way.
const MOST_JOBS: usize = 50;

view_of!(RunView, "greenlight.dev", "v1alpha1", "AnalysisRun", "analysisruns");

/// A run as it arrives: what is not kept of it is forgotten before the next of a list is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "AnalysisRun")]
pub struct RunView {
    metadata: ObjectMeta,
    kept: KeptRun,
}

impl From<AnalysisRun> for RunView {
    fn from(run: AnalysisRun) -> RunView {
        let metadata = label(&run.metadata);
        RunView { metadata, kept: KeptRun::from(run) }
    }
}

impl RunView {
    /// What is kept of it.
    pub fn keep(self) -> KeptRun {
        self.kept
    }
}

impl Watched for RunView {
    const LARGEST: usize = LARGEST_ANALYSIS_RUN;

    /// It decides nothing, whatever it said before.
    fn outline(json: &str) -> Option<RunView> {
        let Outline { metadata } = serde_json::from_str(json).ok()?;
        let kept = KeptRun::new(&metadata, None, State::Over { jobs: Vec::new() });
        Some(RunView { metadata: label(&metadata), kept })
    }
}

#[derive(Deserialize)]
struct Outline {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
}

/// As little as it takes to say which object it is.
fn label(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    namespace: String,
    name: String,
    /// UID.
    pub uid: String,
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
    /// There is something to measure. Without the run it has to be read: it is too large to be kept.
    UnderWay(Option<Box<AnalysisRun>>),
    /// There is not.
    Over {
        /// The Jobs that have to be ended.
        jobs: Vec<JobToEnd>,
    },
}

/// A Job that has to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobToEnd {
    /// Its name.
    pub name: String,
    /// Its UID, if the measurement has it: between its creation and that note it has none.
    pub uid: Option<String>,
}

impl JobToEnd {
    /// That of a measurement, if it has one.
    pub fn of(measurement: &Measurement) -> Option<JobToEnd> {
        let is_kept = |text: &&String| text.len() <= LONGEST_NAME;
        let name = measurement.metadata.get(JOB).filter(is_kept)?.clone();
        Some(JobToEnd { name, uid: measurement.metadata.get(JOB_UID).filter(is_kept).cloned() })
    }
}

impl KeptRun {
    fn new(metadata: &ObjectMeta, says: Option<Run>, state: State) -> KeptRun {
        let annotation = metadata.annotations.as_ref().and_then(|annotations| annotations.get(names::ROLLOUT));
        KeptRun {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            rollout: annotation.filter(|name| name.len() <= LONGEST_NAME).cloned(),
            says: says.map(|run| Run { message: beginning(&run.message, LONGEST_MESSAGE).to_owned(), ..run }),
            state,
        }
    }
}

impl From<AnalysisRun> for KeptRun {
    fn from(mut run: AnalysisRun) -> KeptRun {
        run.metadata.managed_fields = None;
        let (metadata, says) = (run.metadata.clone(), from_api::run(&run));
        let state = match &run.status {
            Some(status) if status.phase.is_completed() => State::Over { jobs: unfinished_jobs(status) },
            _ => State::UnderWay(Some(Box::new(run)).filter(|run| is_kept(run))),
        };
        KeptRun::new(&metadata, says, state)
    }
}

/// Counts bytes, and gives up beyond the limit.
fn is_kept(run: &AnalysisRun) -> bool {
    struct Within(usize);
    impl std::io::Write for Within {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    serde_json::to_writer(Within(MOST_KEPT), run).is_ok()
}

/// The Jobs whose measurements are not over.
pub fn unfinished_jobs(status: &AnalysisRunStatus) -> Vec<JobToEnd> {
    let measurements = status.metric_results.iter().flat_map(|result| &result.measurements);
    let unfinished = measurements.filter(|measurement| measurement.finished_at.is_none());
    unfinished.filter_map(JobToEnd::of).take(MOST_JOBS).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(length: usize, phase: &str) -> KeptRun {
        let run = json!({
            "metadata": {
                "name": "large", "namespace": "shop", "resourceVersion": "7", "annotations": {names::ROLLOUT: "web"},
            },
            "spec": {"args": [{"name": "a", "value": "x".repeat(length)}]},
            "status": {"phase": phase, "message": "x".repeat(length)},
        });
        serde_json::from_value::<RunView>(run).expect("a run").keep()
    }

    #[test]
    fn what_is_kept_of_a_run_is_bounded_however_large_it_is() {
        assert!(matches!(run(100, "Running").state, State::UnderWay(Some(_))));
        for phase in ["Running", "Successful"] {
            let kept = run(400_000, phase);
            assert!(json!(kept).to_string().len() < 1000, "{phase}");
            assert!(matches!(kept.state, State::UnderWay(None) | State::Over { .. }), "{phase}");
            assert_eq!(kept.groups(), [kept.key().sibling("web")], "it wakes its rollout up all the same");
        }
    }

    #[test]
    fn one_that_is_too_large_decides_nothing_whatever_it_said_before() {
        let text = "x".repeat(LARGEST_ANALYSIS_RUN);
        let run = json!({
            "metadata": {"name": "large", "namespace": "shop", "annotations": {names::ROLLOUT: "web"}},
            "spec": {"args": [{"name": "a", "value": text}]}, "status": {"phase": "Successful"},
        });
        let outline = RunView::outline(&run.to_string()).expect("an outline").keep();
        assert_eq!((outline.says.clone(), outline.groups()), (None, vec![outline.key().sibling("web")]));
    }
}

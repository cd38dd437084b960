//! The provider `job`: a real Job, good when it completes.

use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus, Measurement};
use greenlight_api::{AnalysisPhase, names};
use greenlight_core::hash;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::{Context, arguments};
use crate::api_server::error::{Doing, Error};
use crate::cluster::cache::Key;
use crate::cluster::objects::{JOB, JobOutcome, JobView};

/// Key of a measurement's metadata: the UID of the Job that was made, or was found to be what would be made. No other counts.
const UID: &str = "job-uid";
/// A running Job's end wakes its run up. One that an earlier version made has no label by which it is watched, and is looked at so often.
pub const POLL: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_STEM: usize = 40;

/// The name of the Job for the next measurement of this metric, if it is one of a Job.
pub fn name(run: &AnalysisRun, position: usize, status: &AnalysisRunStatus) -> Option<String> {
    let metric = &run.spec.metrics[position];
    metric.provider.job.as_ref()?;
    let result = status.metric_results.iter().find(|result| result.name == metric.name);
    let taken = result.map_or(0, |result| result.count + result.error);
    let run_name = run.name_any();
    let stem = run_name.get(..LONGEST_STEM).unwrap_or(&run_name).trim_end_matches('-');
    // Names of Jobs are short; what was cut off still tells two apart.
    let mark = hash::short_name(&format!("{run_name}/{}", metric.name));
    Some(format!("{stem}-{}-{taken}", &mark[..6]))
}

/// Creates the Job, or looks how far it is. Returns the measurement when it is over.
pub async fn go_on(
    context: &Context,
    run: &AnalysisRun,
    position: usize,
    begun: &Measurement,
) -> Result<Option<Measurement>, Error> {
    let client = &context.client;
    let Some(name) = begun.metadata.get(JOB) else { return Ok(None) };
    let namespace = run.namespace().unwrap_or_default();
    let done = |phase, message: String| {
        Some(Measurement { phase, message, finished_at: Some(Timestamp::now()), ..begun.clone() })
    };
    if let Some(uid) = begun.metadata.get(UID) {
        let key = Key { namespace: namespace.clone(), name: name.clone() };
        let known = match context.caches.jobs.get(&key) {
            Some(job) => Some(job),
            // Just created, or not watched.
            None => {
                let jobs: Api<JobView> = Api::namespaced(client.clone(), &namespace);
                jobs.get_opt(name).await.doing(|| format!("read Job {name}"))?.map(JobView::keep)
            }
        };
        return Ok(match known {
            Some(job) if job.uid == *uid => match job.outcome {
                None => None,
                Some(JobOutcome::Complete) => done(AnalysisPhase::Successful, String::new()),
                Some(JobOutcome::Failed(why)) => done(AnalysisPhase::Failed, format!("Job {name} failed: {why}")),
            },
            Some(_) => {
                done(AnalysisPhase::Error, format!("Job {name} is not the one that was made: somebody replaced it"))
            }
            None => done(AnalysisPhase::Error, format!("Job {name} was deleted before it was over")),
        });
    }
    let metric = &run.spec.metrics[position];
    let provider = json!(metric.provider.job);
    // Who may read Jobs would read it.
    if arguments::asks_for_secrets(&run.spec.args, &provider) {
        let message = "a Job would show the value of a secret argument. Give its container env with valueFrom.secretKeyRef instead";
        return Ok(done(AnalysisPhase::Error, message.to_owned()));
    }
    let job = manifest(run, name, &provider);
    let job: Job = match serde_json::from_value(job) {
        Ok(job) => job,
        Err(error) => return Ok(done(AnalysisPhase::Error, format!("the Job is not one: {error}"))),
    };
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let made = match jobs.create(&PostParams::default(), &job).await {
        Ok(made) => made,
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // Made by an operator that died right after, or by somebody who knew the name.
            let found = jobs.get(name).await.doing(|| format!("read Job {name}"))?;
            if measured_by(&found) != measured_by(&as_it_would_be(&jobs, job).await?) {
                let message =
                    format!("Job {name} exists and is not what the metric asks for: somebody else made it. Delete it");
                return Ok(done(AnalysisPhase::Error, message));
            }
            found
        }
        Err(kube::Error::Api(status)) if (400..=422).contains(&status.code) => {
            return Ok(done(AnalysisPhase::Error, format!("the API server refuses the Job: {}", status.message)));
        }
        Err(error) => return Err(error).doing(|| format!("create Job {name}")),
    };
    let mut under_way = begun.clone();
    under_way.metadata.insert(UID.to_owned(), made.uid().unwrap_or_default());
    Ok(Some(under_way))
}

/// A Job with the server's defaults, which is not made.
async fn as_it_would_be(jobs: &Api<Job>, mut job: Job) -> Result<Job, Error> {
    let name = job.metadata.name.take().unwrap_or_default();
    job.metadata.generate_name = Some(format!("{}-", name.get(..LONGEST_STEM).unwrap_or(&name)));
    let post = PostParams { dry_run: true, ..PostParams::default() };
    jobs.create(&post, &job).await.doing(|| format!("compare Job {name}"))
}

/// What a Job does, without what the server makes of its own name and UID.
fn measured_by(job: &Job) -> Value {
    let mut spec = json!(job.spec);
    spec["selector"] = Value::Null;
    if let Some(labels) = spec.pointer_mut("/template/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !["controller-uid", "job-name"].contains(&key.rsplit('/').next().unwrap_or_default()));
    }
    spec
}

/// Ends these Jobs of a run that is over.
pub async fn end_all(client: &Client, run: &Key, names: &[String]) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &run.namespace);
    for name in names {
        match jobs.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => drop(answer.doing(|| format!("end Job {name}"))?),
        }
    }
    Ok(())
}

fn manifest(run: &AnalysisRun, name: &str, provider: &Value) -> Value {
    let mut metadata = match &provider["metadata"] {
        Value::Object(_) => provider["metadata"].clone(),
        _ => json!({}),
    };
    metadata["name"] = name.into();
    // What else stands there is the API server's to refuse.
    if metadata["labels"].is_null() || metadata["labels"].is_object() {
        metadata["labels"][names::ANALYSIS_JOB] = "true".into();
    }
    metadata["ownerReferences"] = json!([run.controller_owner_ref(&())]);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": provider["spec"]})
}

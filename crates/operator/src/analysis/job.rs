//! The provider `job`: a real Job, good when it completes.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus, Measurement};
use greenlight_core::hash::Digest;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::arguments;
use crate::cache::Key;
use crate::error::{Doing, Error};

/// Key of a measurement's metadata: the Job's name.
pub const NAME: &str = "job-name";
/// How often a running Job is looked at.
pub const POLL: SignedDuration = SignedDuration::from_secs(2);
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
    let mark = Digest::of_text(&format!("{run_name}/{}", metric.name)).hash(0);
    Some(format!("{stem}-{}-{taken}", &mark[..6]))
}

/// Creates the Job, or looks how far it is. Returns the measurement when it is over.
pub async fn go_on(
    client: &Client,
    run: &AnalysisRun,
    position: usize,
    begun: &Measurement,
) -> Result<Option<Measurement>, Error> {
    let Some(name) = begun.metadata.get(NAME) else { return Ok(None) };
    let namespace = run.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let done = |phase, message: String| {
        Some(Measurement { phase, message, finished_at: Some(Timestamp::now()), ..begun.clone() })
    };
    let Some(job) = jobs.get_opt(name).await.doing(|| format!("read Job {name}"))? else {
        let metric = &run.spec.metrics[position];
        let job = match arguments::with_secrets(client, &namespace, &run.spec.args, metric).await {
            Ok(metric) => manifest(run, name, &json!(metric.provider.job)),
            Err(message) => return Ok(done(AnalysisPhase::Error, message)),
        };
        let job: Job = match serde_json::from_value(job) {
            Ok(job) => job,
            Err(error) => return Ok(done(AnalysisPhase::Error, format!("the Job is not one: {error}"))),
        };
        return match jobs.create(&PostParams::default(), &job).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(None),
            Err(kube::Error::Api(status)) if (400..=422).contains(&status.code) => {
                Ok(done(AnalysisPhase::Error, format!("the API server refuses the Job: {}", status.message)))
            }
            Err(error) => Err(error).doing(|| format!("create Job {name}")),
        };
    };
    let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
    let is = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True");
    if is("Complete").is_some() {
        return Ok(done(AnalysisPhase::Successful, String::new()));
    }
    Ok(is("Failed").and_then(|failed| {
        let why = failed.message.clone().unwrap_or_default();
        done(AnalysisPhase::Failed, format!("Job {name} failed: {why}"))
    }))
}

/// Ends the Jobs of a run that is over.
pub async fn end_all(client: &Client, run: &Key, status: &AnalysisRunStatus) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &run.namespace);
    let measurements = status.metric_results.iter().flat_map(|result| &result.measurements);
    for name in measurements.filter(|m| m.finished_at.is_none()).filter_map(|m| m.metadata.get(NAME)) {
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
    metadata["ownerReferences"] = json!([run.controller_owner_ref(&())]);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": provider["spec"]})
}

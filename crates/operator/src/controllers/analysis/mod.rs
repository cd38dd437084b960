//! The analysis controller: takes the measurements that a run asks for. What comes next in a run is decided by
//! `greenlight_core::analysis::run`.

mod arguments;
pub mod evaluation;
mod job;
mod prometheus;
mod start;
mod web;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus, Measurement, Metric};
use greenlight_api::names::{self, FIELD_MANAGER};
use greenlight_core::analysis::run;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::api_server::error::{Doing, Error};
use crate::cluster::arrived::Arrived;
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::objects::{JOB, KeptRun, State, unfinished_jobs};
use crate::web::client::WebClient;

pub use arguments::Readable;
use evaluation::{Evaluator, Measured, Question};
pub use start::{Start, start, stop};

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub caches: Arc<Caches>,
    /// The way to metric servers.
    pub http: WebClient,
    /// Where conditions are evaluated.
    pub evaluator: Evaluator,
    /// Which Secrets may be read.
    pub secrets: Readable,
    /// Who measures what is too large to be kept.
    pub large: Large,
}

/// Runs that are too large to be kept are in memory while they are measured: of each namespace one at a time, and so many in all.
#[derive(Debug, Default)]
pub struct Large(Mutex<BTreeSet<String>>);

const MOST_LARGE: usize = 16;
/// Whoever finds no place looks again.
const NO_PLACE: SignedDuration = SignedDuration::from_secs(1);

impl Large {
    /// The place of a namespace, if it is free. It is given back when this is dropped.
    fn place(&self, namespace: &str) -> Option<Place<'_>> {
        let mut taken = self.0.lock().expect("no panic while locked");
        let is_free = taken.len() < MOST_LARGE && taken.insert(namespace.to_owned());
        is_free.then(|| Place { large: self, namespace: namespace.to_owned() })
    }
}

struct Place<'a> {
    large: &'a Large,
    namespace: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.large.0.lock().expect("no panic while locked").remove(&self.namespace);
    }
}

/// So many measurements of one run at a time.
const PARALLEL: usize = 8;

/// Takes the measurements of one run that are due. Returns when to look again.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Option<Timestamp>, Error> {
    if context.caches.runs.unreadable(&key).is_some() {
        return Ok(None);
    }
    let mut _place = None;
    let Some(kept) = context.caches.runs.get(&key) else { return Ok(None) };
    let mut run = match kept.state {
        State::Over { jobs } => {
            job::end_all(&context.client, &key, &kept.uid, &jobs).await?;
            return Ok(None);
        }
        State::UnderWay(Some(run)) => *run,
        State::UnderWay(None) => {
            _place = context.large.place(&key.namespace);
            if _place.is_none() {
                return Ok(Some(Timestamp::now() + NO_PLACE));
            }
            match read(&context.client, &key).await? {
                Some(run) if !run.status.as_ref().is_some_and(|status| status.phase.is_completed()) => run,
                // The watch will tell.
                _ => return Ok(None),
            }
        }
    };
    let mut before = run.status.clone().unwrap_or_default();
    // Nothing is measured before the operator has written down what for: by then its spec could be another one.
    let is_ours = run.annotations().contains_key(names::ROLLOUT);
    if is_ours && before.spec_digest.is_empty() && before.started_at.is_none() {
        return Ok(None);
    }
    let mut step = run::step(&run.spec, &before, Timestamp::now());
    let mut status = step.status.clone();
    // A measurement that may not be taken twice is noted before it begins.
    for position in &step.begin {
        if let Some(name) = job::name(&run, *position, &status) {
            let metadata = [(JOB.to_owned(), name)].into();
            let begun = Measurement {
                phase: AnalysisPhase::Running,
                started_at: Some(Timestamp::now()),
                metadata,
                ..Measurement::default()
            };
            run::record(&run.spec, &mut status, *position, begun);
            step.under_way.push(*position);
        }
    }
    if status != before {
        run = publish(&context.client, &run, &status).await?;
        context.caches.runs.put_answer(KeptRun::from(run.clone()));
        before = status.clone();
    }
    let is_quick = |position: &usize| run.spec.metrics[*position].provider.job.is_none();
    let quick: Vec<usize> = step.begin.iter().copied().filter(is_quick).collect();
    let mut measured = Vec::new();
    for some in quick.chunks(PARALLEL) {
        let metrics = some.iter().map(|position| measure_now(&context, &run, &run.spec.metrics[*position]));
        measured.extend(some.iter().copied().zip(futures::future::join_all(metrics).await));
    }
    for position in step.under_way {
        let result = status.metric_results.iter().find(|result| result.name == run.spec.metrics[position].name);
        let Some(last) = result.and_then(|result| result.measurements.last()).cloned() else { continue };
        let went_on = job::go_on(&context, &run, position, &last).await?;
        measured.extend(went_on.map(|measurement| (position, measurement)));
    }
    let took_any = !measured.is_empty();
    for (position, measurement) in measured {
        run::record(&run.spec, &mut status, position, measurement);
    }
    let after = run::step(&run.spec, &status, Timestamp::now());
    let mut status = after.status;
    if !status.phase.is_completed() {
        status.message = progress(&status);
    }
    if status != before {
        let view = publish(&context.client, &run, &status).await?;
        context.caches.runs.put_answer(KeptRun::from(view));
    }
    if status.phase.is_completed() {
        job::end_all(&context.client, &key, &kept.uid, &unfinished_jobs(&status)).await?;
        return Ok(None);
    }
    let at_once = took_any && !after.begin.is_empty();
    let poll = (!after.under_way.is_empty()).then(|| Timestamp::now() + job::POLL);
    Ok([after.next, poll, at_once.then(Timestamp::now)].into_iter().flatten().min())
}

/// A run as it is now, if it can be read.
async fn read(client: &Client, key: &Key) -> Result<Option<AnalysisRun>, Error> {
    let api: Api<Arrived<AnalysisRun>> = Api::namespaced(client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await.doing(|| format!("read AnalysisRun {key}"))?;
    Ok(found.and_then(|found| found.readable().ok()))
}

async fn publish(client: &Client, run: &AnalysisRun, status: &AnalysisRunStatus) -> Result<AnalysisRun, Error> {
    let api: Api<AnalysisRun> = Api::namespaced(client.clone(), &run.namespace().unwrap_or_default());
    // With the resourceVersion: two operators do not count the same measurement twice.
    let mut body = run.clone();
    body.metadata.managed_fields = None;
    body.status = Some(status.clone());
    let params = kube::api::PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
    api.replace_status(&run.name_any(), &params, &body)
        .await
        .doing(|| format!("publish AnalysisRun {}", run.name_any()))
}

/// `smoke 3 good; latency 1 good, 1 bad`.
fn progress(status: &AnalysisRunStatus) -> String {
    let of_metric = |result: &greenlight_api::analysis::MetricResult| {
        let counts = [
            (result.successful, "good"),
            (result.failed, "bad"),
            (result.inconclusive, "open"),
            (result.error, "errors"),
        ];
        let told: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        format!("{} {}", result.name, if told.is_empty() { "not measured yet".to_owned() } else { told.join(", ") })
    };
    status.metric_results.iter().map(of_metric).collect::<Vec<_>>().join("; ")
}

async fn measure_now(context: &Context, run: &AnalysisRun, metric: &Metric) -> Measurement {
    let started_at = Some(Timestamp::now());
    let outcome = take(context, run, metric).await;
    let finished_at = Some(Timestamp::now());
    match outcome {
        Ok((value, phase)) => {
            let message = match phase {
                AnalysisPhase::Successful => String::new(),
                _ => format!("result was {}", shortened(&value)),
            };
            let value = shortened(&value);
            Measurement { phase, message, value, started_at, finished_at, ..Measurement::default() }
        }
        Err(message) => {
            let message = shortened(&message);
            Measurement { phase: AnalysisPhase::Error, message, started_at, finished_at, ..Measurement::default() }
        }
    }
}

/// The result, as it may be told, and what it means.
async fn take(context: &Context, run: &AnalysisRun, metric: &Metric) -> Result<(String, AnalysisPhase), String> {
    let namespace = run.namespace().unwrap_or_default();
    let written = &metric.provider;
    let (metric, secrets) =
        arguments::with_secrets(&context.client, &context.secrets, &namespace, &run.spec.args, metric).await?;
    let http = context.http.of_namespace(&namespace);
    let measured = match (&metric.provider.web, &metric.provider.prometheus) {
        (Some(web), _) => {
            // A message names the address as it is written, in which a secret is a name.
            let shown = written.web.as_ref().map_or(web.url.as_str(), |web| web.url.as_str());
            web::measure(&http, web, shown).await.map(|body| Measured::Answer(body, web.json_path.clone()))
        }
        (_, Some(prometheus)) => {
            let shown = written.prometheus.as_ref().map_or(prometheus, |written| written);
            prometheus::measure(&http, prometheus, shown, &secrets).await.map(Measured::Result)
        }
        _ => Err("the metric has no provider".to_owned()),
    };
    let measured = measured.map_err(|message| secrets.masked(message))?;
    let (success, failure) = (metric.success_condition.clone(), metric.failure_condition.clone());
    match context.evaluator.evaluate(&namespace, Question { measured, success, failure }).await {
        Ok((value, phase)) => Ok((secrets.shown(value).to_string(), phase)),
        // It would quote the answer, or a condition with the secret in it.
        Err(_) if !secrets.is_empty() => Err(
            "the conditions or the jsonPath do not fit the answer, or take too long. Neither is shown, since the question has a secret in it: try it \
             without one"
                .to_owned(),
        ),
        Err(message) => Err(message),
    }
}

/// What is kept in a status is bounded.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A patch of a run by the rollouts controller.
async fn patch_run(client: &Client, key: &Key, patch: Value) -> Result<AnalysisRun, Error> {
    let api: Api<AnalysisRun> = Api::namespaced(client.clone(), &key.namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&key.name, &params, &Patch::Merge(json!(patch))).await.doing(|| format!("change AnalysisRun {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_namespace_one_large_run_is_measured_at_a_time() {
        let large = Large::default();
        let place = large.place("shop").expect("nobody measures");
        assert!(large.place("shop").is_none());
        let others: Vec<Place<'_>> = (0..100).filter_map(|number| large.place(&format!("shop-{number}"))).collect();
        assert_eq!(others.len() + 1, MOST_LARGE);
        drop(place);
        assert!(large.place("shop").is_some());
    }
}

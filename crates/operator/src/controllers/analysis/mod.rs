//! The analysis controller: takes the measurements that a run asks for. What comes next in a run is decided by
//! `greenlight_core::analysis::run`.

mod arguments;
pub mod evaluation;
mod job;
mod large;
mod prometheus;
mod start;
mod web;

use std::sync::Arc;

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
use crate::cluster::objects::{JOB, JOB_UID, JobToEnd, KeptRun, State, unfinished_jobs};
use crate::web::client::WebClient;

pub use arguments::Readable;
use evaluation::{Evaluator, Measured, Question};
use large::Large;
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

/// How many measurements of one run are taken at a time.
const PARALLEL: usize = 8;
/// How long until a large run that finds no place is looked at again.
const NO_PLACE: SignedDuration = SignedDuration::from_secs(1);

/// Takes the measurements of one run that are due. Returns when to look again.
pub async fn reconcile(context: Arc<Context>, key: Key) -> Result<Option<Timestamp>, Error> {
    if context.caches.runs.unreadable(&key).is_some() {
        return Ok(None);
    }
    let mut place = None;
    let Some(kept) = context.caches.runs.get(&key) else { return Ok(None) };
    let mut run = match kept.state {
        State::Over { jobs } => {
            job::end_all(&context.client, &key, &kept.uid, &jobs).await?;
            return Ok(None);
        }
        State::UnderWay(Some(run)) => *run,
        State::UnderWay(None) => {
            place = context.large.place(&key);
            if place.is_none() {
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
    step.under_way.extend(note_jobs(&run, &step.begin, &mut step.status));
    let mut status = step.status;
    if status != before {
        run = publish(&context.client, &run, &status).await?;
        context.caches.runs.put_answer(KeptRun::from(run.clone()));
        before = status.clone();
    }
    // One that has one of the few places takes what it can at a time, and then it is another's turn.
    let most = if place.is_some() { PARALLEL } else { usize::MAX };
    let mut measured = measure_due(&context, &run, &step.begin, most).await;
    // What was measured besides is written all the same: it would be measured again at each try otherwise, and never count.
    let held_up = look_at_jobs(&context, &run, &step.under_way, &status, &mut measured).await.err();
    let took_any = !measured.is_empty();
    let not_to_stay = |(position, measurement): &Taken| job::not_to_stay(&run.spec.metrics[*position], measurement);
    let mut to_end: Vec<JobToEnd> = measured.iter().filter_map(not_to_stay).collect();
    for (position, measurement) in measured {
        run::record(&run.spec, &mut status, position, measurement);
    }
    let after = run::step(&run.spec, &status, Timestamp::now());
    let mut status = after.status;
    // Also when it was good: what was told before is one measurement behind. Whatever else ends it has said why.
    if status.phase <= AnalysisPhase::Successful {
        status.message = progress(&status);
    }
    if status != before {
        let view = publish(&context.client, &run, &status).await?;
        context.caches.runs.put_answer(KeptRun::from(view));
    }
    if status.phase.is_completed() {
        to_end.extend(unfinished_jobs(&status));
    }
    // How those ended that are not to stay is on record by now. If one of them cannot be deleted, Kubernetes does it later.
    job::end_all(&context.client, &key, &kept.uid, &to_end).await?;
    if status.phase.is_completed() {
        return Ok(None);
    }
    if let Some(error) = held_up {
        return Err(error);
    }
    let at_once = took_any && !after.begin.is_empty();
    let poll = (!after.under_way.is_empty()).then(|| Timestamp::now() + job::POLL);
    Ok([after.next, poll, at_once.then(Timestamp::now)].into_iter().flatten().min())
}

/// The place of a metric in the spec, and a measurement of it.
type Taken = (usize, Measurement);

/// Notes the Jobs that are about to begin, so that none is made twice. Returns the places of their metrics.
fn note_jobs(run: &AnalysisRun, due: &[usize], status: &mut AnalysisRunStatus) -> Vec<usize> {
    let mut noted = Vec::new();
    for position in due {
        let Some(name) = job::name(run, *position, status) else { continue };
        let begun = Measurement {
            phase: AnalysisPhase::Running,
            started_at: Some(Timestamp::now()),
            metadata: [(JOB.to_owned(), name)].into(),
            ..Measurement::default()
        };
        run::record(&run.spec, status, *position, begun);
        noted.push(*position);
    }
    noted
}

/// Takes `most` at most of the measurements that are due and are not by Jobs, some at a time.
async fn measure_due(context: &Context, run: &AnalysisRun, due: &[usize], most: usize) -> Vec<Taken> {
    let is_quick = |position: &usize| run.spec.metrics[*position].provider.job.is_none();
    let quick: Vec<usize> = due.iter().copied().filter(is_quick).take(most).collect();
    let mut measured = Vec::new();
    for some in quick.chunks(PARALLEL) {
        let metrics = some.iter().map(|position| measure_now(context, run, &run.spec.metrics[*position]));
        measured.extend(some.iter().copied().zip(futures::future::join_all(metrics).await));
    }
    measured
}

/// Goes on with the Jobs that are under way, and adds what came of them.
///
/// # Errors
/// One cannot be made, or looked at. Those before it are added.
async fn look_at_jobs(
    context: &Context,
    run: &AnalysisRun,
    under_way: &[usize],
    status: &AnalysisRunStatus,
    measured: &mut Vec<Taken>,
) -> Result<(), Error> {
    let last_of = |position: &usize| {
        let result = status.metric_results.iter().find(|result| result.name == run.spec.metrics[*position].name);
        Some((*position, result?.measurements.last()?))
    };
    let mut lasts: Vec<_> = under_way.iter().filter_map(last_of).collect();
    // How a Job ended does not wait for another one that cannot be made: it is deleted some time after its end.
    lasts.sort_by_key(|(_, last)| !last.metadata.contains_key(JOB_UID));
    for (position, last) in lasts {
        let went_on = job::go_on(context, run, position, last).await?;
        measured.extend(went_on.map(|measurement| (position, measurement)));
    }
    Ok(())
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

/// `smoke 3 good; latency 1 good, 1 bad`, and what the measurement that is under way waits for.
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
        let told = if told.is_empty() { "not measured yet".to_owned() } else { told.join(", ") };
        let under_way = result.measurements.last().filter(|last| last.finished_at.is_none());
        let waits = under_way.map(|last| &last.message).filter(|message| !message.is_empty());
        let waits = waits.map(|message| format!(" ({message})")).unwrap_or_default();
        format!("{} {told}{waits}", result.name)
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
    use std::sync::Mutex;

    use greenlight_api::analysis::BY_HAND;
    use http::Method;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};
    use crate::cluster::objects::{JobOutcome, KeptJob};

    fn run_in(namespace: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: "web".to_owned() }
    }

    #[tokio::test]
    async fn of_a_large_run_so_much_is_measured_in_a_turn_as_is_measured_at_a_time() {
        let metrics: Vec<Value> =
            (0..3 * PARALLEL).map(|number| json!({"name": format!("m{number}"), "provider": {}})).collect();
        let spec = json!({"args": [{"name": "a", "value": "x".repeat(100_000)}], "metrics": metrics});
        let (object, context) = server_of_run(&spec);
        let kept = context.caches.runs.get(&run_in("shop")).expect("it is kept");
        assert!(matches!(kept.state, State::UnderWay(None)), "it is large");
        for turn in 1..=3 {
            let again = reconcile(context.clone(), run_in("shop")).await.expect("it is measured");
            assert_eq!(measured(&object).len(), turn * PARALLEL);
            assert!(again.is_some(), "there is more to do, now or later");
        }
    }

    #[test]
    fn how_far_a_run_is_says_what_it_waits_for() {
        let status = json!({"metricResults": [
            {"name": "smoke", "measurements": [{"phase": "Running", "message": "Job smoke-1 is suspended"}]},
            {"name": "latency", "successful": 1, "failed": 1},
        ]});
        let status: AnalysisRunStatus = serde_json::from_value(status).expect("a status");
        assert_eq!(progress(&status), "smoke not measured yet (Job smoke-1 is suspended); latency 1 good, 1 bad");
    }

    #[tokio::test]
    async fn what_was_measured_is_written_also_if_the_job_of_another_metric_cannot_be_made() {
        let job = json!({"spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}}});
        let metrics = json!([{"name": "nothing", "provider": {}}, {"name": "job", "provider": {"job": job}}]);
        let (object, context) = server_of_run(&json!({"metrics": metrics}));
        let held_up = reconcile(context, run_in("shop")).await.expect_err("it is tried again");
        assert!(held_up.to_string().starts_with("cannot create Job"), "{held_up}");
        assert_eq!(measured(&object), ["nothing"]);
    }

    /// Its Job is deleted some time after its end, and then nobody knows any more that it was bad.
    #[tokio::test]
    async fn how_a_job_ended_does_not_wait_for_another_one_that_cannot_be_made() {
        let job = json!({"spec": {"template": {"spec": {"containers": [], "restartPolicy": "Never"}}}});
        let metrics = json!([{"name": "new", "provider": {"job": job}}, {"name": "old", "provider": {"job": job}}]);
        let begun =
            |metadata: Value| json!({"phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "metadata": metadata});
        let results = json!([
            {"name": "new", "phase": "Running", "measurements": [begun(json!({JOB: "web-new"}))]},
            {"name": "old", "phase": "Running", "measurements": [begun(json!({JOB: "web-old", JOB_UID: "1"}))]},
        ]);
        let (object, context) = server_of_run(&json!({"metrics": metrics}));
        let mut run = object.lock().expect("no panic while locked").clone();
        run["metadata"]["resourceVersion"] = "2".into();
        run["status"] = json!({
            "phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "specDigest": BY_HAND, "metricResults": results,
        });
        context.caches.runs.put(KeptRun::from(serde_json::from_value::<AnalysisRun>(run).expect("a run")));
        context.caches.jobs.put(ended("web-old", JobOutcome::Failed("exit code 1".to_owned())));
        reconcile(context, run_in("shop")).await.expect_err("the other one is not made");
        assert_eq!(measured(&object), ["old"]);
    }

    /// As many as are left fill a quota, and then no other is made.
    #[tokio::test]
    async fn a_job_that_is_not_to_stay_is_deleted_as_soon_as_its_end_is_on_record_and_no_other_is() {
        for (ttl, is_deleted) in [(json!(0), true), (json!(60), false), (Value::Null, false)] {
            let job = json!({"spec": {"ttlSecondsAfterFinished": ttl, "template": {}}});
            let begun = json!({
                "phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "metadata": {JOB: "web-smoke", JOB_UID: "1"},
            });
            let run = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
                "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
                "spec": {"metrics": [{"name": "smoke", "interval": "10s", "count": 2, "provider": {"job": job}}]},
                "status": {
                    "phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "specDigest": BY_HAND,
                    "metricResults": [{"name": "smoke", "phase": "Running", "measurements": [begun]}],
                },
            });
            let written: Arc<Mutex<Vec<(Method, Value)>>> = Arc::default();
            let seen = written.clone();
            let client = api_server(move |Asked { method, body, .. }| {
                seen.lock().expect("no panic while locked").push((method.clone(), body.clone()));
                let deleted = json!({"apiVersion": "v1", "kind": "Status", "status": "Success"});
                std::future::ready((200, if method == Method::DELETE { deleted } else { body }))
            });
            let context = context(client, run);
            context.caches.jobs.put(ended("web-smoke", JobOutcome::Complete));
            let again = reconcile(context, run_in("shop")).await.expect("it is measured");
            assert!(again.is_some(), "there is another measurement to come");
            let written = written.lock().expect("no panic while locked");
            let (last, body) = written.last().expect("that it ended");
            assert_eq!(*last == Method::DELETE, is_deleted, "{ttl}");
            assert!(!is_deleted || body["preconditions"]["uid"] == "1", "{body}");
            let on_record = written.iter().rev().find(|(method, _)| *method == Method::PUT).expect("that it ended");
            let last = &on_record.1["status"]["metricResults"][0]["measurements"][0];
            assert_eq!(last["phase"], "Successful", "{ttl}: first");
        }
    }

    /// The Job of this name, of the run `web` in `shop`, after its end.
    fn ended(name: &str, outcome: JobOutcome) -> KeptJob {
        KeptJob {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            resource_version: "1".to_owned(),
            uid: "1".to_owned(),
            run: Some("web".to_owned()),
            outcome: Some(outcome),
            suspended: false,
        }
    }

    /// The metrics of this run that a measurement of is over.
    fn measured(object: &Mutex<Value>) -> Vec<String> {
        let status = object.lock().expect("no panic while locked")["status"].clone();
        let status: AnalysisRunStatus = serde_json::from_value(status).expect("a status");
        let is_over = |measurement: &Measurement| measurement.finished_at.is_some();
        let measured = status.metric_results.into_iter().filter(|result| result.measurements.iter().any(is_over));
        measured.map(|result| result.name).collect()
    }

    /// What measures the run `web` in `shop` with this spec, and its API server's object. That makes no Job.
    fn server_of_run(spec: &Value) -> (Arc<Mutex<Value>>, Arc<Context>) {
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"}, "spec": spec,
        });
        let object = Arc::new(Mutex::new(run.clone()));
        let written = object.clone();
        let client = api_server(move |Asked { method, path, body, .. }| {
            if path.contains("/jobs") {
                return std::future::ready(failure(500, "InternalError"));
            }
            let mut object = written.lock().expect("no panic while locked");
            if method == Method::PUT {
                *object = body;
                let version = object["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse::<u64>().ok());
                object["metadata"]["resourceVersion"] = (version.unwrap_or(0) + 1).to_string().into();
            }
            std::future::ready((200, object.clone()))
        });
        (object, context(client, run))
    }

    /// What measures this run by this API server.
    fn context(client: Client, run: Value) -> Arc<Context> {
        let caches = Arc::new(Caches::default());
        caches.runs.put(KeptRun::from(serde_json::from_value::<AnalysisRun>(run).expect("a run")));
        Arc::new(Context {
            client,
            caches,
            http: WebClient::default(),
            evaluator: Evaluator::default(),
            secrets: Readable { labelled: false, names: Vec::new() },
            large: Large::default(),
        })
    }
}

//! The provider `job`: a real Job, good when it completes.

use greenlight_api::analysis::{AnalysisRun, AnalysisRunStatus, Measurement, Metric};
use greenlight_api::{AnalysisPhase, names};
use greenlight_core::hash;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::{Context, arguments, shortened};
use crate::api_server::error::{Doing, Error, is_refusal};
use crate::cluster::cache::Key;
use crate::cluster::live::read_metadata;
use crate::cluster::objects::{JOB, JOB_UID, JobOutcome, JobToEnd, JobView};

/// A running Job's end wakes its run up. One that an earlier version made has no label by which it is watched, and is looked at so often.
pub const POLL: SignedDuration = SignedDuration::from_secs(60);
const LONGEST_STEM: usize = 40;
/// In seconds. Kubernetes deletes no Job sooner after its end: the operator has to see how it ended, also if it is just being upgraded, or waits for
/// another server of the same namespace. One that is to be gone right after its end the operator deletes itself, once that is on record.
const SHORTEST_TTL: i64 = 600;
const TTL: &str = "ttlSecondsAfterFinished";

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

/// Creates the Job, or looks how far it is. Returns the measurement when there is something new about it.
pub async fn go_on(
    context: &Context,
    run: &AnalysisRun,
    position: usize,
    begun: &Measurement,
) -> Result<Option<Measurement>, Error> {
    let client = &context.client;
    let Some(name) = begun.metadata.get(JOB) else { return Ok(None) };
    let namespace = run.namespace().unwrap_or_default();
    // Others' words: of the API server, of who wrote the Job's status.
    let done = |phase, message: String| {
        let message = shortened(&message);
        Some(Measurement { phase, message, finished_at: Some(Timestamp::now()), ..begun.clone() })
    };
    if let Some(uid) = begun.metadata.get(JOB_UID) {
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
                None if job.suspended => under_way(begun, format!("Job {name} is suspended")),
                None => under_way(begun, String::new()),
                Some(JobOutcome::Complete) => done(AnalysisPhase::Successful, String::new()),
                Some(JobOutcome::Failed(why)) => done(AnalysisPhase::Failed, format!("Job {name} failed: {why}")),
            },
            Some(_) => {
                done(AnalysisPhase::Error, format!("Job {name} is not the one that was made: somebody replaced it"))
            }
            None => done(AnalysisPhase::Error, format!("Job {name} was deleted before the operator saw how it ended")),
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
    let made = match create(client, &namespace, &PostParams::default(), &job).await {
        Ok(made) => made,
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // Made by an operator that died right after, or by somebody who knew the name: before there was anything to measure, if it is not this run's.
            let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
            let found = jobs.get(name).await.doing(|| format!("read Job {name}"))?;
            let is_ours = is_of(&found.metadata, &run.uid().unwrap_or_default());
            let has_just_begun = begun.started_at.is_some_and(|at| Timestamp::now().duration_since(at) < POLL);
            if !is_ours && has_just_begun && is_left_behind(&found.metadata, &run.name_any()) {
                return Ok(under_way(begun, format!("Job {name} of an earlier run is being deleted")));
            }
            if !is_ours || measured_by(&found) != measured_by(&as_it_would_be(client, &namespace, job).await?) {
                let message =
                    format!("Job {name} exists, and is not what this run would make: somebody else made it. Delete it");
                return Ok(done(AnalysisPhase::Error, message));
            }
            found
        }
        // Not what passes: a quota that others change at that moment is a conflict.
        Err(kube::Error::Api(status)) if (400..=422).contains(&status.code) && is_refusal(&status) => {
            return Ok(done(AnalysisPhase::Error, format!("the API server refuses the Job: {}", status.message)));
        }
        Err(error) => return Err(error).doing(|| format!("create Job {name}")),
    };
    let mut with_job = Measurement { message: String::new(), ..begun.clone() };
    with_job.metadata.insert(JOB_UID.to_owned(), made.uid().unwrap_or_default());
    Ok(Some(with_job))
}

/// The measurement, if something else than this was said of it.
fn under_way(begun: &Measurement, message: String) -> Option<Measurement> {
    if begun.message == message { None } else { Some(Measurement { message, ..begun.clone() }) }
}

/// Makes a Job as it is written, and nothing else: of a field that the API server does not know nobody would hear, neither of one that this operator does
/// not know, and the Job would run without its deadline, say.
async fn create(client: &Client, namespace: &str, post: &PostParams, job: &Value) -> kube::Result<Job> {
    let body = serde_json::to_vec(job).expect("JSON can be written");
    let request = Request::new(Job::url_path(&(), Some(namespace))).create(post, body);
    let mut request = request.expect("the URL is made of valid names");
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().expect("it has a query already");
    request.extensions_mut().insert("create");
    client.request(request).await
}

/// A Job with the server's defaults, which is not made.
async fn as_it_would_be(client: &Client, namespace: &str, mut job: Value) -> Result<Job, Error> {
    let name = job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    job["metadata"]["generateName"] = format!("{}-", name.get(..LONGEST_STEM).unwrap_or(&name)).into();
    job["metadata"].as_object_mut().expect("it was made as an object").remove("name");
    let post = PostParams { dry_run: true, ..PostParams::default() };
    create(client, namespace, &post, &job).await.doing(|| format!("compare Job {name}"))
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

/// The Job of a measurement, if that is over, and the Job is not to stay after its end: it may stand in the way of the next one, where there is a quota.
pub fn not_to_stay(metric: &Metric, measurement: &Measurement) -> Option<JobToEnd> {
    let ttl = metric.provider.job.as_ref()?.spec.get(TTL)?.as_i64();
    let is_over = measurement.finished_at.is_some() && measurement.metadata.contains_key(JOB_UID);
    if is_over && ttl == Some(0) { JobToEnd::of(measurement) } else { None }
}

/// Ends these Jobs of a run: those that it made, and not what has their names by now.
pub async fn end_all(client: &Client, run: &Key, run_uid: &str, to_end: &[JobToEnd]) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &run.namespace);
    for JobToEnd { name, uid } in to_end {
        let uid = match uid {
            Some(uid) => Some(uid.clone()),
            // Noted before it was made, and perhaps made: then it has its run as owner.
            None => {
                let found = read_metadata::<Job>(client, &run.sibling(name)).await?;
                found.filter(|job| is_of(job, run_uid)).and_then(|job| job.uid)
            }
        };
        let Some(uid) = uid else { continue };
        let preconditions = Preconditions { uid: Some(uid), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match jobs.delete(name, &params).await {
            // It is gone, or another one has its name.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            answer => drop(answer.doing(|| format!("end Job {name}"))?),
        }
    }
    Ok(())
}

/// Whether this run has the Job: nobody could write its UID there before there was the run.
fn is_of(job: &ObjectMeta, run_uid: &str) -> bool {
    job.owner_references.iter().flatten().any(|owner| owner.uid == run_uid)
}

/// Whether a run of this name has the Job, if that is not the run that is there: then it is gone, and Kubernetes deletes the Job within seconds, whoever
/// made it. That wakes up the run.
fn is_left_behind(job: &ObjectMeta, run_name: &str) -> bool {
    let (api_version, kind) = (AnalysisRun::api_version(&()), AnalysisRun::kind(&()));
    let is_run = |owner: &OwnerReference| owner.api_version == api_version && owner.kind == kind;
    job.owner_references.iter().flatten().any(|owner| is_run(owner) && owner.name == run_name)
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
    let mut spec = provider["spec"].clone();
    if let Some(seconds) = spec[TTL].as_i64() {
        spec[TTL] = seconds.max(SHORTEST_TTL).into();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};
    use crate::controllers::analysis::{Evaluator, Large, Readable};
    use crate::web::client::WebClient;

    /// An API server that has Jobs, by name: their UIDs and their owners'.
    fn server(jobs: &Arc<Mutex<BTreeMap<String, (&'static str, &'static str)>>>) -> Client {
        let jobs = jobs.clone();
        api_server(move |Asked { method, path, body, .. }| {
            let name = path.rsplit('/').next().expect("a name").to_owned();
            let mut jobs = jobs.lock().expect("no panic while locked");
            let answer = match jobs.get(&name).copied() {
                None => failure(404, "NotFound"),
                Some((uid, owner)) => {
                    let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "name": "smoke", "uid": owner});
                    let metadata = json!({"name": name, "uid": uid, "ownerReferences": [owner]});
                    let wanted = &body["preconditions"]["uid"];
                    if method == "DELETE" && !wanted.is_null() && wanted != uid {
                        failure(409, "Conflict")
                    } else {
                        if method == "DELETE" {
                            jobs.remove(&name);
                        }
                        (200, json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}))
                    }
                }
            };
            std::future::ready(answer)
        })
    }

    #[tokio::test]
    async fn a_run_that_is_over_ends_the_jobs_that_it_made_and_no_others_of_their_names() {
        let jobs = [
            ("made", ("1", "run")),
            ("replaced", ("2", "run")),
            ("just-made", ("3", "run")),
            ("somebody-elses", ("4", "another run")),
        ];
        let jobs = Arc::new(Mutex::new(BTreeMap::from(jobs.map(|(name, job)| (name.to_owned(), job)))));
        let unfinished = [
            ("made", Some("1")),
            ("replaced", Some("1")),
            ("just-made", None),
            ("somebody-elses", None),
            ("gone", Some("5")),
            ("never-made", None),
        ];
        let unfinished = unfinished.map(|(name, uid)| JobToEnd { name: name.to_owned(), uid: uid.map(str::to_owned) });
        let run = Key { namespace: "shop".to_owned(), name: "smoke".to_owned() };
        end_all(&server(&jobs), &run, "run", &unfinished).await.expect("nothing failed");
        let left: Vec<String> = jobs.lock().expect("no panic while locked").keys().cloned().collect();
        assert_eq!(left, ["replaced", "somebody-elses"]);
    }

    /// What the Job of the metric is to do.
    fn wanted() -> Value {
        json!({"template": {"spec": {"containers": [], "restartPolicy": "Never"}}})
    }

    /// A measurement that has begun, with the UID of its Job if that is known.
    fn begun(uid: Option<&str>) -> Measurement {
        let known = uid.map(|uid| (JOB_UID.to_owned(), uid.to_owned()));
        let metadata = [(JOB.to_owned(), "smoke-1".to_owned())].into_iter().chain(known).collect();
        Measurement { metadata, ..Measurement::default() }
    }

    /// What becomes of a measurement by this API server.
    async fn measured(client: Client, begun: &Measurement) -> Result<Option<Measurement>, Error> {
        let context = Context {
            client,
            caches: Arc::default(),
            http: WebClient::default(),
            evaluator: Evaluator::default(),
            secrets: Readable::default(),
            large: Large::default(),
        };
        go_on(&context, &run(), 0, begun).await
    }

    /// A run whose metric is this Job.
    fn run() -> AnalysisRun {
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "smoke", "namespace": "shop", "uid": "u"},
            "spec": {"metrics": [{"name": "m", "provider": {"job": {"spec": wanted()}}}]},
        });
        serde_json::from_value(run).expect("a run")
    }

    /// What becomes of a measurement whose Job the API server does not make, by this code and in these words.
    async fn not_made(code: u16, words: String) -> Result<Option<Measurement>, Error> {
        let client = api_server(move |_| std::future::ready(failure(code, &words)));
        measured(client, &begun(None)).await
    }

    /// A Job of the run as an API server has it, which gives it labels of its own UID. It is complete.
    fn job(uid: &str, mut spec: Value) -> Value {
        spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        spec["template"]["metadata"] = json!({"labels": {"batch.kubernetes.io/controller-uid": uid}});
        let status = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let owner = run().controller_owner_ref(&());
        let metadata = json!({"name": "smoke-1", "namespace": "shop", "uid": uid, "ownerReferences": [owner]});
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec, "status": status})
    }

    /// An API server that has this Job under the expected name.
    fn has(found: Value) -> Client {
        api_server(move |Asked { method, query, body, .. }| {
            let answer = match (method.as_str(), query.contains("dryRun=All")) {
                ("POST", true) => (201, job("would-be", body["spec"].clone())),
                ("POST", false) => failure(409, "AlreadyExists"),
                _ => (200, found.clone()),
            };
            std::future::ready(answer)
        })
    }

    #[tokio::test]
    async fn a_job_under_the_expected_name_counts_only_if_it_does_what_the_metric_asks_for() {
        let ours = measured(has(job("found", wanted())), &begun(None)).await.expect("an answer");
        let ours = ours.expect("it goes on");
        assert_eq!(ours.metadata.get(JOB_UID).map(String::as_str), Some("found"), "of an operator that died: {ours:?}");
        assert_eq!(ours.finished_at, None);
        let mut forged = wanted();
        forged["template"]["spec"]["containers"] = json!([{"name": "smoke", "image": "true"}]);
        let forged = measured(has(job("found", forged)), &begun(None)).await.expect("an answer");
        let forged = forged.expect("a measurement");
        assert_eq!(forged.phase, AnalysisPhase::Error);
        assert!(forged.message.contains("somebody else made it. Delete it"), "{}", forged.message);
    }

    /// It would run without a deadline, and nobody would have been told.
    #[tokio::test]
    async fn a_field_that_jobs_do_not_have_is_for_the_api_server_to_refuse_and_is_not_left_out() {
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let seen = asked.clone();
        let client = api_server(move |Asked { query, body, .. }| {
            seen.lock().expect("no panic while locked").push((query, body));
            std::future::ready((201, job("made", wanted())))
        });
        let mut written = wanted();
        written["activeDeadlineSecond"] = 60.into();
        let written = manifest(&run(), "smoke-1", &json!({"spec": written}));
        for dry_run in [false, true] {
            let post = PostParams { dry_run, ..PostParams::default() };
            create(&client, "shop", &post, &written).await.expect("it is made");
        }
        let asked = asked.lock().expect("no panic while locked");
        assert!(asked.iter().all(|(query, body)| query.contains("fieldValidation=Strict") && *body == written));
        assert!(asked[1].0.contains("dryRun=All"), "{}", asked[1].0);
    }

    /// Whoever knows the name could have made it while the preview Service still showed another revision.
    #[tokio::test]
    async fn a_job_that_was_there_before_its_run_is_no_measurement_whatever_it_does() {
        let mut earlier = job("found", wanted());
        earlier["metadata"]["ownerReferences"][0]["uid"] = "an earlier run".into();
        let earlier = measured(has(earlier), &begun(None)).await.expect("an answer");
        let earlier = earlier.expect("a measurement");
        assert_eq!(earlier.phase, AnalysisPhase::Error);
        assert!(earlier.message.contains("not what this run would make"), "{}", earlier.message);
    }

    /// A run that somebody deletes is made anew at once, under the same name.
    #[tokio::test]
    async fn what_is_left_of_a_run_that_was_deleted_is_waited_for_and_is_no_error() {
        let begun = Measurement { started_at: Some(Timestamp::now()), ..begun(None) };
        let mut left = job("found", wanted());
        left["metadata"]["ownerReferences"][0]["uid"] = "an earlier run".into();
        let waits = measured(has(left.clone()), &begun).await.expect("an answer").expect("it is told");
        assert_eq!(waits.message, "Job smoke-1 of an earlier run is being deleted");
        assert_eq!(waits.finished_at, None);
        assert_eq!(measured(has(left.clone()), &waits).await.expect("an answer"), None, "once");
        let made = measured(has(job("made", wanted())), &waits).await.expect("an answer").expect("it goes on");
        assert_eq!((made.message.as_str(), made.metadata.get(JOB_UID).map(String::as_str)), ("", Some("made")));
        // Kubernetes deletes nothing that something has which is there.
        left["metadata"]["ownerReferences"][0]["name"] = "another".into();
        let another = measured(has(left), &begun).await.expect("an answer").expect("a measurement");
        assert_eq!(another.phase, AnalysisPhase::Error);
    }

    #[test]
    fn a_job_stays_for_ten_minutes_after_its_end_or_longer_so_that_the_end_is_seen() {
        for (wished, made) in [(json!(0), json!(600)), (json!(3600), json!(3600)), (Value::Null, Value::Null)] {
            let mut spec = wanted();
            spec["ttlSecondsAfterFinished"] = wished;
            let job = manifest(&run(), "smoke-1", &json!({"spec": spec}));
            assert_eq!(job["spec"]["ttlSecondsAfterFinished"], made);
        }
    }

    #[tokio::test]
    async fn a_job_that_was_replaced_is_no_measurement_although_it_is_complete() {
        let replaced = measured(has(job("another", wanted())), &begun(Some("made"))).await.expect("an answer");
        let replaced = replaced.expect("a measurement");
        assert_eq!(replaced.phase, AnalysisPhase::Error);
        assert!(replaced.message.contains("somebody replaced it"), "{}", replaced.message);
        let ours = measured(has(job("made", wanted())), &begun(Some("made"))).await.expect("an answer");
        assert_eq!(ours.map(|ours| ours.phase), Some(AnalysisPhase::Successful));
    }

    #[tokio::test]
    async fn a_job_that_somebody_has_suspended_is_told_until_it_goes_on() {
        let with = |suspended: &str| {
            let mut job = job("made", wanted());
            job["status"]["conditions"] = json!([{"type": "Suspended", "status": suspended}]);
            has(job)
        };
        let suspended = measured(with("True"), &begun(Some("made"))).await.expect("an answer");
        let suspended = suspended.expect("it is told");
        assert_eq!((suspended.message.as_str(), suspended.finished_at), ("Job smoke-1 is suspended", None));
        assert_eq!(measured(with("True"), &suspended).await.expect("an answer"), None, "once");
        let goes_on = measured(with("False"), &suspended).await.expect("an answer");
        assert_eq!(goes_on, Some(begun(Some("made"))));
    }

    #[tokio::test]
    async fn however_much_is_wrong_with_a_job_its_run_can_be_written() {
        let refused = not_made(422, "spec.template is wrong; ".repeat(10_000)).await;
        let refused = refused.expect("it is an answer").expect("a measurement");
        assert_eq!(refused.phase, AnalysisPhase::Error);
        assert!(refused.message.starts_with("the API server refuses the Job: spec.template is wrong"));
        assert!(refused.message.len() < 2000, "{} bytes", refused.message.len());
    }

    #[tokio::test]
    async fn a_quota_that_others_change_meanwhile_is_no_measurement() {
        let words = "Operation cannot be fulfilled on resourcequotas \"jobs\": the object has been modified";
        let tried_again = not_made(409, words.to_owned()).await;
        assert!(tried_again.as_ref().is_err_and(Error::is_conflict), "{tried_again:?}");
    }
}

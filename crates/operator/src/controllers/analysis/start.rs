//! Making an analysis run of templates and arguments.

use greenlight_api::analysis::{
    AnalysisRun, AnalysisTemplate, AnalysisTemplateSpec, Argument, BY_HAND, ClusterAnalysisTemplate, Metric,
    PodTemplateHashValue, TemplateRef, duration,
};
use greenlight_api::{RolloutAnalysis, names};
use greenlight_core::analysis::expression;
use greenlight_core::from_api;
use greenlight_core::words::cut;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::{arguments, patch_run};
use crate::api_server::error::{Doing, Error};
use crate::cluster::arrived::{Arrived, LARGEST_ANALYSIS_RUN};
use crate::cluster::cache::Key;
use crate::cluster::live::read_rollout;
use crate::cluster::objects::ReplicaSetView;

/// What the templates and arguments of a run may have together, in bytes. It is counted as they are put together: whoever writes many large ones
/// has the operator hold no more than one at a time.
const LARGEST: usize = LARGEST_ANALYSIS_RUN / 2;
/// How much of a name is told, in bytes: it may be any text.
const LONGEST_NAME: usize = 253;
/// The most templates that a run is made of. Each is a request.
const MOST_TEMPLATES: usize = 50;

/// What a run is made of.
#[derive(Debug)]
pub struct Start<'a> {
    /// Namespace and name of the rollout.
    pub rollout: &'a Key,
    /// Name of the run.
    pub name: &'a str,
    /// What the spec asks for.
    pub analysis: &'a RolloutAnalysis,
    /// The ReplicaSet that it is of.
    pub set: &'a str,
    /// Its hash.
    pub latest: &'a str,
    /// The hash of the one before.
    pub stable: &'a str,
}

/// Creates the run; [`Error::Refused`] says what it lacks.
pub async fn start(client: &Client, start: &Start<'_>) -> Result<AnalysisRun, Error> {
    let templates = put_together(client, start).await?;
    let run = with_arguments(client, start, templates).await?;
    let made = create_or_find(client, start, &run).await?;
    let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    // As it was read: who edits it in between gets no mark for what it has become.
    let mark = Patch::Merge(json!({
        "metadata": {"resourceVersion": made.metadata.resource_version},
        "status": {"specDigest": from_api::spec_digest(&made.spec)},
    }));
    let api: Api<AnalysisRun> = Api::namespaced(client.clone(), &start.rollout.namespace);
    api.patch_status(start.name, &params, &mark).await.doing(|| format!("mark AnalysisRun {}", start.name))
}

/// What the templates of the analysis have together, with those that they refer to.
async fn put_together(client: &Client, start: &Start<'_>) -> Result<AnalysisTemplateSpec, Error> {
    let namespace = &start.rollout.namespace;
    let mut spec = AnalysisTemplateSpec::default();
    let mut wanted: Vec<TemplateRef> = start.analysis.templates.clone();
    let mut read = Vec::new();
    let mut size = Size::default();
    let is_given = |name: &str| start.analysis.args.iter().any(|given| given.name == name);
    while let Some(reference) = wanted.pop() {
        if read.contains(&reference) {
            continue;
        }
        if read.len() == MOST_TEMPLATES {
            return Err(Error::Refused(format!(
                "the analysis has more than {MOST_TEMPLATES} templates, with those that they refer to. Use fewer"
            )));
        }
        let kind = if reference.cluster_scope == Some(true) { "ClusterAnalysisTemplate" } else { "AnalysisTemplate" };
        let name = &reference.template_name;
        let template = match template(client, namespace, &reference).await? {
            None => return Err(Error::Refused(format!("{kind} {name} does not exist. Create it"))),
            Some(Err(error)) => return Err(Error::Refused(format!("{kind} {name} cannot be read. Correct {error}"))),
            Some(Ok(template)) => template,
        };
        size.add(json!(template).to_string().len()).map_err(Error::Refused)?;
        wanted.extend(template.templates.clone());
        read.push(reference);
        spec.metrics.extend(template.metrics);
        spec.dry_run.extend(template.dry_run);
        spec.measurement_retention.extend(template.measurement_retention);
        for argument in template.args {
            let has_value = argument.value.is_some() || argument.value_from.is_some();
            match spec.args.iter_mut().find(|known| known.name == argument.name) {
                Some(known) if known.value.is_none() && known.value_from.is_none() => *known = argument,
                // One of the templates would measure something else than it says.
                Some(known) if has_value && *known != argument && !is_given(&argument.name) => {
                    return Err(Error::Refused(format!(
                        "the templates give the argument {} of the analysis different values. Give it one in args of the rollout, or rename one",
                        argument.name
                    )));
                }
                Some(_) => {}
                None => spec.args.push(argument),
            }
        }
    }
    Ok(spec)
}

/// The run that is to be made, as the API server would have it.
async fn with_arguments(
    client: &Client,
    start: &Start<'_>,
    templates: AnalysisTemplateSpec,
) -> Result<AnalysisRun, Error> {
    let sets: Api<ReplicaSetView> = Api::namespaced(client.clone(), &start.rollout.namespace);
    let set = sets.get(start.set).await.doing(|| format!("read ReplicaSet {}", start.set))?;
    let mut rollout = json!(read_rollout(client, start.rollout).await?);
    if asks_for_template(start, &templates) {
        rollout["spec"]["template"] = template_of_set(client, start).await?;
    }
    let spec = compose(start, templates, &rollout).map_err(Error::Refused)?;
    let metadata = start.analysis.analysis_run_metadata.clone().unwrap_or_default();
    let mut annotations = metadata.annotations;
    annotations.insert(names::ROLLOUT.to_owned(), start.rollout.name.clone());
    let owner = set.owner_ref(&()).expect("an object of the API server has a name and a UID");
    let run = json!({
        "apiVersion": AnalysisRun::api_version(&()), "kind": AnalysisRun::kind(&()),
        "metadata": {"name": start.name, "labels": metadata.labels, "annotations": annotations, "ownerReferences": [owner]},
        "spec": spec,
    });
    let misfit = |error: serde_json::Error| Error::Refused(format!("the arguments do not fit the templates: {error}"));
    let run: AnalysisRun = serde_json::from_value(run).map_err(misfit)?;
    Size::default().add(json!(run).to_string().len()).map_err(Error::Refused)?;
    Ok(run)
}

/// Whether an argument is a field of the pod template.
fn asks_for_template(start: &Start<'_>, templates: &AnalysisTemplateSpec) -> bool {
    let mut args = start.analysis.args.iter().chain(&templates.args);
    args.any(|argument| {
        let field = argument.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| field.field_path.contains("template"))
    })
}

/// The pod template of the revision that is measured. The spec may ask for another one by now, or have it in a Deployment.
async fn template_of_set(client: &Client, start: &Start<'_>) -> Result<Value, Error> {
    let request = Request::new(ReplicaSetView::url_path(&(), Some(&start.rollout.namespace)));
    let request = request.get(start.set, &GetParams::default()).expect("the URL is made of valid names");
    let mut set: Value = client.request(request).await.doing(|| format!("read ReplicaSet {}", start.set))?;
    Ok(set["spec"]["template"].take())
}

/// Creates the run, and returns it as the API server stores it; or the one that there is already, if it measures the same.
async fn create_or_find(client: &Client, start: &Start<'_>, run: &AnalysisRun) -> Result<AnalysisRun, Error> {
    let namespace = &start.rollout.namespace;
    let api: Api<AnalysisRun> = Api::namespaced(client.clone(), namespace);
    let post = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&post, run).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // One of ours that was not marked yet, or of somebody who knew the name.
            let found: Api<Arrived<AnalysisRun>> = Api::namespaced(client.clone(), namespace);
            let found = found.get(start.name).await.doing(|| format!("read AnalysisRun {}", start.name))?;
            let found = found.readable().map_err(|error| {
                Error::Refused(format!("AnalysisRun {} exists and cannot be read ({error}). Delete it", start.name))
            })?;
            // Without it nobody would hear how it ends.
            if found.annotations().get(names::ROLLOUT) != Some(&start.rollout.name) {
                return Err(Error::Refused(format!(
                    "AnalysisRun {} has no annotation {} with the name of this rollout: somebody else made it, or took that away. Delete it",
                    start.name,
                    names::ROLLOUT
                )));
            }
            if from_api::spec_digest(&found.spec) != from_api::spec_digest(&run.spec) {
                return Err(Error::Refused(format!(
                    "AnalysisRun {} measures something else than the templates: somebody else made it, or has edited it, or the \
                     templates have changed since. Delete it",
                    start.name
                )));
            }
            // What it measured before it had this spec would count for this spec.
            if found.status.as_ref().is_some_and(|status| status.spec_digest == BY_HAND) {
                return Err(Error::Refused(format!(
                    "AnalysisRun {} was begun by somebody else, and what it measured decides nothing. Delete it",
                    start.name
                )));
            }
            Ok(found)
        }
        Err(error) => Err(error).doing(|| format!("create AnalysisRun {}", start.name)),
    }
}

/// How much has been put together, in bytes.
#[derive(Default)]
struct Size(usize);

impl Size {
    /// Counts this many bytes more.
    ///
    /// # Errors
    /// It is too much.
    fn add(&mut self, more: usize) -> Result<(), String> {
        self.0 += more;
        if self.0 <= LARGEST {
            return Ok(());
        }
        Err(format!(
            "the analysis is too large: its templates and arguments have {} bytes or more, and {LARGEST} are allowed. Make it smaller",
            self.0
        ))
    }
}

/// Asks a run to stop, if it still is as it was read: one of the same name may be another rollout's by now.
pub async fn stop(client: &Client, key: &Key, version: &str) -> Result<AnalysisRun, Error> {
    patch_run(client, key, json!({"metadata": {"resourceVersion": version}, "spec": {"terminate": true}})).await
}

/// The template, or what is wrong with it; none if it does not exist.
async fn template(
    client: &Client,
    namespace: &str,
    wanted: &TemplateRef,
) -> Result<Option<Result<AnalysisTemplateSpec, String>>, Error> {
    let name = &wanted.template_name;
    let what = || format!("read the analysis template {name}");
    if wanted.cluster_scope == Some(true) {
        let api: Api<Arrived<ClusterAnalysisTemplate>> = Api::all(client.clone());
        let arrived = api.get_opt(name).await.doing(what)?;
        return Ok(arrived.map(|arrived| arrived.readable().map(|template| template.spec.template)));
    }
    let api: Api<Arrived<AnalysisTemplate>> = Api::namespaced(client.clone(), namespace);
    Ok(api.get_opt(name).await.doing(what)?.map(|arrived| arrived.readable().map(|template| template.spec)))
}

/// Everything that can be known now is put in: values, and what is wrong with the metrics.
fn compose(start: &Start<'_>, mut spec: AnalysisTemplateSpec, rollout: &Value) -> Result<Value, String> {
    let mut size = Size::default();
    for given in &start.analysis.args {
        let value = value_of(given, start, rollout)?;
        size.add(value.value.as_ref().map_or(0, String::len))?;
        match spec.args.iter_mut().find(|known| known.name == given.name) {
            Some(known) => *known = value,
            // Argo Rollouts takes it too: one list of arguments for several templates.
            None => spec.args.push(value),
        }
    }
    for argument in &mut spec.args {
        if argument.value_from.is_some() {
            *argument = value_of(argument, start, rollout)?;
            size.add(argument.value.as_ref().map_or(0, String::len))?;
        }
        let secret = argument.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
        if argument.value.is_none() && !secret {
            return Err(format!("the argument {} of the analysis has no value. Give it one in args", argument.name));
        }
    }
    let values: Vec<(String, String)> =
        spec.args.iter().filter_map(|argument| Some((argument.name.clone(), argument.value.clone()?))).collect();
    let as_written = json!(spec.metrics);
    if let Some(name) = arguments::unknown(&as_written, &spec.args) {
        let name = cut(name.to_owned(), LONGEST_NAME);
        return Err(format!(
            "a metric asks for {{{{args.{name}}}}}, and the analysis has no such argument. Add it to args, or correct its name"
        ));
    }
    let mut metrics = as_written.clone();
    arguments::fill(&mut metrics, &values)?;
    let secrets: Vec<&str> =
        spec.args.iter().filter(|argument| argument.value.is_none()).map(|argument| argument.name.as_str()).collect();
    if !arguments::stay_in_their_places(&as_written, &metrics, &values, &secrets)? {
        return Err(
            "the value of an argument refers to a secret argument, as {{args.…}} does. Change that value".to_owned()
        );
    }
    let filled: Vec<Metric> = serde_json::from_value(metrics.clone()).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for metric in &filled {
        let of_metric = |why: String| format!("metric {}: {why}", metric.name);
        if names.contains(&&metric.name) {
            return Err(of_metric("the name is used twice. Rename one".into()));
        }
        names.push(&metric.name);
        for text in [&metric.success_condition, &metric.failure_condition].into_iter().flatten() {
            expression::check(text).map_err(of_metric)?;
        }
        for text in [&metric.interval, &metric.initial_delay].into_iter().flatten() {
            duration(text).map_err(of_metric)?;
        }
        check_limits(metric).map_err(of_metric)?;
    }
    if filled.is_empty() {
        return Err("the analysis has no metric. Add one to its template".to_owned());
    }
    let dry_run = [spec.dry_run, start.analysis.dry_run.clone()].concat();
    // The first rule that fits a metric counts: the rollout's before the template's.
    let retention = [start.analysis.measurement_retention.clone(), spec.measurement_retention].concat();
    Ok(json!({"metrics": metrics, "args": spec.args, "dryRun": dry_run, "measurementRetention": retention}))
}

/// In the schema a limit may be a text, for `{{args.name}}`. By now it is what the argument brought along.
fn check_limits(metric: &Metric) -> Result<(), String> {
    let limits = [
        ("count", &metric.count),
        ("failureLimit", &metric.failure_limit),
        ("inconclusiveLimit", &metric.inconclusive_limit),
        ("consecutiveErrorLimit", &metric.consecutive_error_limit),
    ];
    for (field, limit) in limits {
        let number = match limit {
            None => continue,
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(text)) => text.trim().parse().ok(),
        };
        if number.is_none_or(|number| number < 0) {
            return Err(format!("{field} is {}. Write a whole number from 0 to {}", json!(limit), i32::MAX));
        }
    }
    Ok(())
}

fn value_of(argument: &Argument, start: &Start<'_>, rollout: &Value) -> Result<Argument, String> {
    let Some(from) = &argument.value_from else { return Ok(argument.clone()) };
    let known = |value: String| Ok(Argument { name: argument.name.clone(), value: Some(value), value_from: None });
    if let Some(which) = from.pod_template_hash_value {
        return known(match which {
            PodTemplateHashValue::Latest => start.latest.to_owned(),
            PodTemplateHashValue::Stable => start.stable.to_owned(),
        });
    }
    if let Some(field) = &from.field_ref {
        let path = &field.field_path;
        let found = field_at(rollout, path).ok_or_else(|| format!("the rollout has no field {path}"))?;
        return known(found.as_str().map_or_else(|| found.to_string(), str::to_owned));
    }
    Ok(argument.clone())
}

/// `metadata.labels['app']`, `spec.replicas`, `spec.template.spec.containers[0].image`.
fn field_at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let dotted = path.replace("['", "\u{0}").replace("']", "\u{0}");
    let mut at = object;
    for (number, part) in dotted.split('\u{0}').enumerate() {
        if number % 2 == 1 {
            at = at.get(part)?;
            continue;
        }
        for key in part.split(['.', '[', ']']).filter(|key| !key.is_empty()) {
            at = match at {
                Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                other => other.get(key)?,
            };
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use greenlight_api::RolloutAnalysis;
    use http::Method;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};

    fn analysis(args: &Value) -> RolloutAnalysis {
        serde_json::from_value(json!({"templates": [{"templateName": "t-0"}], "args": args})).expect("an analysis")
    }

    fn start_of<'a>(rollout: &'a Key, analysis: &'a RolloutAnalysis) -> Start<'a> {
        Start { rollout, name: "run", analysis, set: "web-a", latest: "a", stable: "b" }
    }

    #[test]
    fn arguments_that_each_quote_a_large_rollout_are_refused_before_they_are_all_there() {
        let rollout = json!({"metadata": {"annotations": {"note": "x".repeat(LARGEST / 2)}}});
        let field =
            |number: usize| json!({"name": format!("a{number}"), "valueFrom": {"fieldRef": {"fieldPath": "metadata"}}});
        let many = json!((0..50).map(field).collect::<Vec<Value>>());
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let of_rollout = analysis(&many);
        let told = compose(&start_of(&key, &of_rollout), AnalysisTemplateSpec::default(), &rollout);
        assert!(told.expect_err("too large").contains("the analysis is too large"));
        let of_template = AnalysisTemplateSpec {
            args: serde_json::from_value(many).expect("arguments"),
            ..AnalysisTemplateSpec::default()
        };
        let nothing = analysis(&json!([]));
        let told = compose(&start_of(&key, &nothing), of_template, &rollout);
        assert!(told.expect_err("too large").contains("the analysis is too large"));
    }

    /// Secrets are put in when a metric is measured. What a value brings along is not looked at again, then neither: whoever may write an annotation
    /// of the rollout would send the Secret of a template that they may not write wherever that sends the annotation.
    #[test]
    fn no_value_of_an_argument_puts_a_secret_where_the_template_has_none() {
        let template: AnalysisTemplateSpec = serde_json::from_value(json!({
            "args": [
                {"name": "note", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}},
                {"name": "brace", "value": "{"},
                {"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
            ],
            "metrics": [
                {"name": "public", "provider": {"web": {"url": "http://public/{{args.note}}"}}},
                {"name": "pieces", "provider": {"web": {"url": "http://public/{{args.brace}}{{args.note}}"}}},
                {"name": "private", "provider": {"web": {
                    "url": "http://private/", "headers": [{"key": "authorization", "value": "{{args.brace}}}{{args.token}}"}],
                }}},
            ],
        }))
        .expect("a template");
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let nothing = analysis(&json!([]));
        let with = |note: &str| {
            let rollout = json!({"metadata": {"annotations": {"note": note}}});
            compose(&start_of(&key, &nothing), template.clone(), &rollout)
        };
        for note in ["{{args.token}}", "x{{ args.token }}y", "{args.token}}"] {
            let told = with(note).expect_err(note);
            assert!(told.contains("refers to a secret argument"), "{told}");
        }
        for note in ["v1", "{app=\"web\"}", "{{args.other}}", "args.token"] {
            let metrics = with(note).expect(note);
            assert!(metrics.to_string().contains("{{args.token}}"), "it is put in later: {metrics}");
        }
    }

    /// A query for it finds nothing, and `len(result) == 0 ||` is good of nothing.
    #[test]
    fn a_metric_that_asks_for_an_argument_that_there_is_not_is_refused() {
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let nothing = analysis(&json!([]));
        let template: AnalysisTemplateSpec = serde_json::from_value(json!({
            "args": [{"name": "service", "value": "web"}],
            "metrics": [{"name": "m", "provider": {"prometheus": {"address": "http://a", "query": "errors{service=\"{{args.sevice}}\"}"}}}],
        }))
        .expect("a template");
        let told = compose(&start_of(&key, &nothing), template, &json!({})).expect_err("there is none");
        assert!(told.contains("asks for {{args.sevice}}, and the analysis has no such argument"), "{told}");
    }

    #[test]
    fn a_limit_that_is_no_number_is_refused_before_anything_is_measured() {
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let nothing = analysis(&json!([]));
        let with = |field: &str, limit: &str| {
            let template: AnalysisTemplateSpec = serde_json::from_value(json!({
                "args": [{"name": "limit", "value": limit}],
                "metrics": [{"name": "m", field: "{{args.limit}}", "provider": {"web": {"url": "http://a"}}}],
            }))
            .expect("a template");
            compose(&start_of(&key, &nothing), template, &json!({}))
        };
        for field in ["count", "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit"] {
            with(field, "3").expect(field);
            for limit in ["-1", "", "five", "1.5"] {
                let told = with(field, limit).expect_err(limit);
                assert!(told.contains(&format!("metric m: {field} is \"{limit}\"")), "{told}");
            }
        }
    }

    /// What a server has on which this analysis begins: its template, the ReplicaSet of revision a, the rollout that asks for b by now, and the run, if
    /// somebody made that before.
    fn server(run: &Arc<Mutex<Value>>) -> Client {
        let run = run.clone();
        api_server(move |Asked { method, path, body, .. }| {
            let pods = |image: &str| json!({"spec": {"containers": [{"name": "web", "image": image}]}});
            let mut run = run.lock().expect("no panic while locked");
            let answer = if path.contains("/analysistemplates/") {
                let metric = json!({"name": "m", "provider": {"web": {"url": "http://web/{{args.image}}"}}});
                let spec = json!({"args": [{"name": "image"}], "metrics": [metric]});
                let (version, kind) = ("greenlight.dev/v1alpha1", "AnalysisTemplate");
                (200, json!({"apiVersion": version, "kind": kind, "metadata": {"name": "t-0"}, "spec": spec}))
            } else if path.contains("/replicasets/") {
                let metadata = json!({"name": "web-a", "namespace": "shop", "uid": "a", "resourceVersion": "1"});
                (200, json!({"metadata": metadata, "spec": {"selector": {}, "template": pods("web:a")}}))
            } else if path.contains("/bluegreenrollouts/") {
                let spec = json!({"selector": {}, "strategy": {"blueGreen": {}}, "template": pods("web:b")});
                (200, json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": spec}))
            } else if method == Method::POST && run.is_null() {
                *run = body;
                (201, run.clone())
            } else if method == Method::POST {
                failure(409, "AlreadyExists")
            } else {
                (200, run.clone())
            };
            std::future::ready(answer)
        })
    }

    /// An argument that is the image of the revision.
    fn of_image() -> RolloutAnalysis {
        let path = json!({"fieldPath": "spec.template.spec.containers[0].image"});
        analysis(&json!([{"name": "image", "valueFrom": {"fieldRef": path}}]))
    }

    /// A newer commit, or an undo.
    #[tokio::test]
    async fn a_field_of_the_template_is_that_of_the_revision_which_is_measured_whatever_the_spec_asks_for_by_now() {
        let run: Arc<Mutex<Value>> = Arc::default();
        let key = Key { namespace: "shop".into(), name: "web".into() };
        start(&server(&run), &start_of(&key, &of_image())).await.expect("it begins");
        let made = run.lock().expect("no panic while locked");
        assert_eq!(made["spec"]["args"][0]["value"], "web:a", "{made}");
        assert_eq!(made["spec"]["metrics"][0]["provider"]["web"]["url"], "http://web/web:a", "{made}");
    }

    #[tokio::test]
    async fn a_run_whose_end_nobody_would_hear_of_is_refused_and_that_is_told() {
        let run: Arc<Mutex<Value>> = Arc::default();
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let analysis = of_image();
        start(&server(&run), &start_of(&key, &analysis)).await.expect("it begins");
        start(&server(&run), &start_of(&key, &analysis)).await.expect("it is found");
        run.lock().expect("no panic while locked")["metadata"]["annotations"] = json!({});
        let refused = start(&server(&run), &start_of(&key, &analysis)).await;
        let Err(Error::Refused(why)) = refused else { panic!("it is refused: {refused:?}") };
        assert!(why.contains("has no annotation greenlight.dev/rollout"), "{why}");
    }

    #[test]
    fn a_field_of_the_rollout_is_found_by_the_paths_that_argo_rollouts_takes() {
        let rollout = json!({
            "metadata": {"labels": {"team.example/name": "shop"}},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "web:v1"}]}}},
        });
        for (path, value) in [
            ("metadata.labels['team.example/name']", json!("shop")),
            ("spec.replicas", json!(3)),
            ("spec.template.spec.containers[0].image", json!("web:v1")),
        ] {
            assert_eq!(field_at(&rollout, path), Some(&value), "{path}");
        }
        assert_eq!(field_at(&rollout, "spec.template.spec.containers[1].image"), None);
    }

    /// Each template refers to the next one, and has this many bytes of metrics.
    async fn chained(bytes: usize) -> (String, usize) {
        let asked: Arc<AtomicUsize> = Arc::default();
        let counted = asked.clone();
        let client = api_server(move |_| {
            let next = counted.fetch_add(1, Ordering::Relaxed) + 1;
            let template = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "t"},
                "spec": {"dryRun": [{"metricName": "x".repeat(bytes)}], "templates": [{"templateName": format!("t-{next}")}]},
            });
            std::future::ready((200, template))
        });
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let analysis = analysis(&json!([]));
        let refused = start(&client, &start_of(&key, &analysis)).await;
        let Err(Error::Refused(why)) = refused else { panic!("it has an end: {refused:?}") };
        (why, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn templates_that_give_an_argument_different_values_are_refused_unless_the_rollout_gives_it() {
        let client = api_server(|Asked { path, .. }| {
            let name = path.rsplit('/').next().expect("a name").to_owned();
            let metric = json!({"name": name, "provider": {"web": {"url": "http://{{args.service}}"}}});
            let spec = json!({"args": [{"name": "service", "value": name}], "metrics": [metric]});
            let (version, kind) = ("greenlight.dev/v1alpha1", "AnalysisTemplate");
            let template = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
            std::future::ready((200, template))
        });
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let with = |args: Value| -> RolloutAnalysis {
            let both = json!({"templates": [{"templateName": "orders"}, {"templateName": "stock"}], "args": args});
            serde_json::from_value(both).expect("an analysis")
        };
        let refused = put_together(&client, &start_of(&key, &with(json!([])))).await;
        let Err(Error::Refused(why)) = refused else { panic!("it is refused: {refused:?}") };
        assert!(why.contains("the argument service of the analysis different values"), "{why}");
        let given = with(json!([{"name": "service", "value": "shop"}]));
        let together = put_together(&client, &start_of(&key, &given)).await.expect("the rollout gives it");
        assert_eq!(together.metrics.len(), 2);
    }

    #[tokio::test]
    async fn templates_that_refer_to_ever_more_templates_come_to_an_end() {
        let (why, asked) = chained(1).await;
        assert!(why.contains("more than 50 templates"), "{why}");
        assert_eq!(asked, MOST_TEMPLATES);
        let (why, asked) = chained(LARGEST / 4).await;
        assert!(why.contains("the analysis is too large"), "{why}");
        assert_eq!(asked, 4);
    }
}

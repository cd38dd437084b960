//! Analysis: real Jobs, a real web server, a real Prometheus.

use std::time::Duration;

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::{Lab, Prometheus, Web};
use greenlight_test_cluster::BEHAVIOUR;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

fn template(name: &str, args: Value, metrics: Value) -> Value {
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name},
        "spec": {"args": args, "metrics": metrics},
    })
}

fn job_metric(behaviour: Option<&str>) -> Value {
    let annotations = behaviour.map(|behaviour| json!({BEHAVIOUR: behaviour})).unwrap_or_default();
    let pod = json!({
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "test", "image": "test-preview:v1"}]},
    });
    json!({"name": "smoke", "provider": {"job": {"spec": {"backoffLimit": 0, "template": pod}}}})
}

fn analysis(kind: &str, template: &str) -> Value {
    json!({"strategy": {"blueGreen": {
        kind: {"templates": [{"templateName": template}]}, "scaleDownDelaySeconds": 600, "autoPromotionEnabled": true,
    }}})
}

async fn only_run(lab: &Lab) -> AnalysisRun {
    let mut runs = lab.runs().await;
    assert_eq!(runs.len(), 1, "{:?}", runs.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    runs.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_job_gates_the_promotion_and_a_dead_operator_changes_nothing() {
    let mut lab = Lab::new("jobgate").await;
    lab.apply(&template("test-preview", json!([]), json!([job_metric(Some("late"))]))).expect("applied");
    lab.deploy(analysis("prePromotionAnalysis", "test-preview")).await;
    assert!(lab.runs().await.is_empty(), "there is nothing to compare the first deployment with");
    let (audit, mark) = lab.audit();
    lab.set_image("web:v2").await;
    let analysed = lab.until("analysed", |now| now.condition("Reconciling") == "True/PrePromotionAnalysis").await;
    assert_eq!((analysed.image_of("web-active"), analysed.image_of("web-preview")), ("web:v1".into(), "web:v2".into()));
    lab.kill_operator();
    lab.start_operator();
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    let run = only_run(&lab).await;
    let result = &run.status.expect("a status").metric_results[0];
    assert_eq!((result.phase, result.successful, result.measurements.len()), (AnalysisPhase::Successful, 1, 1));
    let jobs: Api<k8s_openapi::api::batch::v1::Job> = lab.api();
    let jobs = jobs.list(&Default::default()).await.expect("jobs").items;
    assert_eq!(jobs.len(), 1, "the Job ran once");
    let completed = jobs[0].status.as_ref().and_then(|status| status.completion_time.as_ref()).expect("it completed").0;
    let noticed = result.measurements[0].finished_at.expect("it is over").duration_since(completed);
    assert!(noticed.as_secs() < 20, "its end wakes the analysis up: {noticed:?}");
    let counts = audit.counts(mark, "greenlight/", Some("jobgate")).expect("the audit log");
    let reads = counts.get("get jobs").copied().unwrap_or_default();
    assert!(reads <= 2, "it is watched, and only looked for before it is created: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_rejects_the_preview_and_retry_measures_again() {
    let lab = Lab::new("jobfails").await;
    lab.apply(&template("test-preview", json!([]), json!([job_metric(Some("fail"))]))).expect("applied");
    lab.deploy(analysis("prePromotionAnalysis", "test-preview")).await;
    lab.set_image("web:v2").await;
    let rejected = lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert!(rejected.message().contains("pre-promotion analysis failed: metric smoke"), "{}", rejected.message());
    assert_eq!(rejected.image_of("web-active"), "web:v1");
    lab.apply(&template("test-preview", json!([]), json!([job_metric(None)]))).expect("applied");
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    assert_eq!(lab.runs().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_web_metric_after_the_switch_moves_traffic_back_whoever_dies() {
    let mut lab = Lab::new("webback").await;
    let web = Web::start(r#"{"data": {"ok": true, "rate": 0.99}}"#).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "labels": {"greenlight.dev/analysis": "true"}},
        "stringData": {"token": "s3cret"},
    });
    lab.apply(&secret).expect("applied");
    let args = json!([
        {"name": "url"},
        {"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}},
    ]);
    let metric = json!({
        "name": "success-rate", "interval": "300ms", "count": 40, "failureLimit": 1,
        "successCondition": "result.ok && result.rate >= 0.95",
        "provider": {"web": {
            "url": "{{args.url}}/check", "jsonPath": "{$.data}",
            "headers": [{"key": "x-token", "value": "{{ args.token }}"}],
        }},
    });
    lab.apply(&template("rate", args, json!([metric]))).expect("applied");
    let mut spec = analysis("postPromotionAnalysis", "rate");
    spec["strategy"]["blueGreen"]["postPromotionAnalysis"]["args"] = json!([{"name": "url", "value": web.url()}]);
    spec["strategy"]["blueGreen"]["scaleDownDelaySeconds"] = 0.into();
    let pods = lab.deploy(spec).await.pod_uids_of_image("web:v1");
    lab.set_image("web:v2").await;
    lab.until("serves, being analysed", |now| {
        now.image_of("web-active") == "web:v2" && now.condition("Reconciling") == "True/PostPromotionAnalysis"
    })
    .await;
    lab.until("measured", |now| now.message().contains("success-rate")).await;
    assert_eq!(lab.now().await.replicas_of_image("web:v1"), 2, "the old set stays while it is measured");
    lab.kill_operator();
    web.answer(r#"{"data": {"ok": true, "rate": 0.42}}"#);
    lab.start_operator();
    let back = lab.until("back", |now| now.image_of("web-active") == "web:v1" && now.phase() == "Degraded").await;
    assert!(
        back.message().contains("post-promotion analysis failed: metric success-rate: 2 bad"),
        "{}",
        back.message()
    );
    assert_eq!(back.pod_uids_of_image("web:v1"), pods, "no pod was restarted");
    let run = only_run(&lab).await;
    let result = &run.status.as_ref().expect("a status").metric_results[0];
    assert_eq!(result.failed, 2);
    assert!(usize::try_from(result.count).expect("few") <= web.questions(), "no measurement is counted twice");
    assert_eq!(web.token(), "s3cret");
    assert!(!json!(run).to_string().contains("s3cret"), "a secret is written nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inconclusive_analysis_waits_for_a_person() {
    let lab = Lab::new("inconclusive").await;
    let web = Web::start("5").await;
    let metric = json!({
        "name": "errors", "successCondition": "result < 3", "failureCondition": "result > 10",
        "provider": {"web": {"url": web.url()}},
    });
    lab.apply(&template("errors", json!([]), json!([metric]))).expect("applied");
    lab.deploy(analysis("prePromotionAnalysis", "errors")).await;
    lab.set_image("web:v2").await;
    let waits = lab.until("waits", |now| now.condition("Paused") == "True/AnalysisInconclusive").await;
    assert!(waits.message().contains("no conclusion"), "{}", waits.message());
    lab.throughout(Duration::from_secs(1), "stays", |now| now.image_of("web-active") == "web:v1").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_stops_the_analysis_of_the_older_and_full_skips_it() {
    let lab = Lab::new("stopped").await;
    let web = Web::start("1").await;
    let metric = json!({"name": "errors", "interval": "1h", "count": 2, "provider": {"web": {"url": web.url()}}});
    lab.apply(&template("errors", json!([]), json!([metric]))).expect("applied");
    lab.deploy(analysis("prePromotionAnalysis", "errors")).await;
    lab.set_image("web:v2").await;
    lab.until("analysed", |now| now.message().contains("is being analysed")).await;
    let first = only_run(&lab).await.name_any();
    lab.set_image("web:v3").await;
    lab.until("v3 analysed", |now| now.image_of("web-preview") == "web:v3" && now.message().contains("analysed")).await;
    let first = lab.api::<AnalysisRun>().get(&first).await.expect("it is kept");
    assert_eq!(first.spec.terminate, Some(true));
    lab.greenlight(&["promote", "web", "--full"]).expect("promoted");
    lab.until("promoted", |now| now.image_of("web-active") == "web:v3" && now.phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_analysis_is_said_and_heals() {
    let lab = Lab::new("refusedanalysis").await;
    lab.deploy(analysis("prePromotionAnalysis", "later")).await;
    lab.set_image("web:v2").await;
    let missing = lab.until("says so", |now| now.condition("Stalled") == "True/AnalysisRefused").await;
    assert!(missing.message().contains("AnalysisTemplate later does not exist"), "{}", missing.message());
    let metric = |condition: &str| json!([{"name": "up", "successCondition": condition, "provider": {"web": {"url": "http://127.0.0.1:1"}}}]);
    lab.apply(&template("later", json!([]), metric("all(result, {# > 1})"))).expect("applied");
    lab.until("says what to write", |now| now.message().contains("write result.all(x, x > 1)")).await;
    // An unreachable server is an error, and after five in a row the revision is rejected.
    let quick = json!([{
        "name": "up", "interval": "100ms", "count": 1, "provider": {"web": {"url": "http://127.0.0.1:1"}}
    }]);
    lab.apply(&template("later", json!([]), quick)).expect("applied");
    let rejected = lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert!(rejected.message().contains("could not be made: metric up: 5 errors in a row"), "{}", rejected.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_gates_the_promotion() {
    if !Prometheus::is_there() {
        return;
    }
    let mut lab = Lab::new("prometheus").await;
    let web = Web::start("app_errors 0\napp_success_rate 0.99\n").await;
    let target = web.url().trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    let prometheus = Prometheus::start("prometheus", &config).expect("it starts");
    lab.until("scraped", |_| web.questions() >= 2).await;
    let metric = json!({
        "name": "success-rate", "interval": "500ms", "count": 3, "initialDelay": "1s",
        "successCondition": "len(result) == 1 && !isNaN(result[0]) && result[0] >= 0.95",
        "provider": {"prometheus": {"address": prometheus.url(), "query": "app_success_rate{job=\"app\"}"}},
    });
    lab.apply(&template("rate", json!([]), json!([metric]))).expect("applied");
    lab.deploy(analysis("prePromotionAnalysis", "rate")).await;
    lab.set_image("web:v2").await;
    lab.until("in the middle", |now| now.condition("Reconciling") == "True/PrePromotionAnalysis").await;
    lab.kill_operator();
    lab.start_operator();
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    assert_eq!(only_run(&lab).await.status.expect("a status").metric_results[0].successful, 3);
    web.answer("app_success_rate 0.5\n");
    tokio::time::sleep(Duration::from_millis(700)).await;
    lab.set_image("web:v3").await;
    let rejected = lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert_eq!(rejected.image_of("web-active"), "web:v2");
}

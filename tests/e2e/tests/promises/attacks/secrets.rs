//! Secrets of analyses never leave: they are looked for in everything that the API server holds, and in what the operator says.

use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, Uri};
use axum::routing::any;
use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::AnalysisRun;
use greenlight_e2e::{Lab, cluster, http_get};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// It looks different in an address, and in base64.
const SECRET: &str = "Tr0ub4dor+3/zq=";
/// The forms in which it would be a leak.
const FORMS: [&str; 5] = [SECRET, "Tr0ub4dor", "Tr0ub4dor%2B3%2Fzq%3D", "VHIwdWI0ZG9yKzMvenE9", "=qz/3+rod4bu0rT"];

/// A server that answers with all that it was asked, forwards, backwards, and as Prometheus complains.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = |uri: Uri, headers: HeaderMap| async move {
        let token = headers.get("x-token").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let backwards: String = token.chars().rev().collect();
        if uri.path().starts_with("/api/v1/query") {
            return json!({"status": "error", "error": format!("{token} {backwards} {uri}")}).to_string();
        }
        json!({"token": token, "backwards": backwards, "asked": uri.to_string(), "rate": 0.5, &token: 1}).to_string()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(answer))).await.expect("it serves") });
    url
}

fn metrics(url: &str) -> Vec<(&'static str, Value)> {
    let headers = json!([{"key": "x-token", "value": "{{args.token}}"}]);
    let web = |more: Value| {
        let mut web = json!({"url": url, "headers": headers});
        greenlight_e2e::merge(&mut web, &more);
        json!({"web": web})
    };
    let container =
        |value: Value| json!({"restartPolicy": "Never", "containers": [{"name": "x", "image": "x", "env": [value]}]});
    let job = |value: Value| json!({"job": {"spec": {"backoffLimit": 0, "template": {"spec": container(value)}}}});
    let metric = |provider: Value, condition: &str| json!({"provider": provider, "successCondition": condition});
    vec![
        ("answered", metric(web(json!({})), "result.rate > 0.9")),
        ("number", metric(web(json!({"jsonPath": "{$.rate}"})), "result > 0.9")),
        ("text", metric(web(json!({"jsonPath": "{$.backwards}"})), "result == 'x'")),
        ("nothing-there", metric(web(json!({"jsonPath": "{$.nothing}"})), "true")),
        ("no-fit", metric(web(json!({})), "result.rate.nothing")),
        ("in-condition", metric(web(json!({})), "result.token + 'x' == '{{args.token}}'")),
        ("no-condition", metric(web(json!({})), "'{{args.token}}")),
        ("in-path", metric(web(json!({"jsonPath": "$.{{args.token}}["})), "true")),
        ("in-address", metric(web(json!({"url": format!("{url}/{{{{args.token}}}}?{{{{args.token}}}}")})), "false")),
        ("no-server", metric(web(json!({"url": "http://127.0.0.1:1/{{args.token}}"})), "true")),
        ("no-address", metric(web(json!({"url": "http://127.0.0.1:1/ {{args.token}}"})), "true")),
        ("as-host", metric(web(json!({"url": "http://{{args.token}}.invalid/"})), "true")),
        (
            "prometheus",
            metric(
                json!({"prometheus": {"address": url, "query": "up{x=\"{{args.token}}\"}", "headers": headers}}),
                "true",
            ),
        ),
        ("job", json!({"provider": job(json!({"name": "TOKEN", "value": "{{args.token}}"}))})),
        (
            "job-of-env",
            json!({"provider": job(json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}))}),
        ),
    ]
}

fn args() -> Value {
    json!([{"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_value_of_a_secret_is_nowhere_but_in_the_secret() {
    let mut lab = Lab::new("leaks").await;
    let url = echo().await;
    let secret = |name: &str, labels: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels},
            "stringData": {"token": SECRET},
        })
    };
    // Not by kubectl apply, which notes what it applied.
    lab.create_raw("/api/v1/namespaces/leaks/secrets", &secret("token", json!({"greenlight.dev/analysis": "true"})));
    lab.create_raw("/api/v1/namespaces/leaks/secrets", &secret("other", json!({"greenlight.dev/analysis": "false"})));
    let metrics = metrics(&url);
    let mut names = Vec::new();
    for (name, metric) in &metrics {
        let mut metric = metric.clone();
        metric["name"] = (*name).into();
        metric["consecutiveErrorLimit"] = 0.into();
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name},
            "spec": {"args": args(), "metrics": [metric]},
        });
        lab.create_raw("/apis/greenlight.dev/v1alpha1/namespaces/leaks/analysisruns", &run);
        names.push((*name).to_owned());
    }
    let mut unlabelled = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "unlabelled"},
        "spec": {"args": args(), "metrics": [{
            "name": "x", "consecutiveErrorLimit": 0, "provider": {"web": {"url": format!("{url}/{{{{args.token}}}}")}},
        }]},
    });
    unlabelled["spec"]["args"][0]["valueFrom"]["secretKeyRef"]["name"] = "other".into();
    lab.create_raw("/apis/greenlight.dev/v1alpha1/namespaces/leaks/analysisruns", &unlabelled);

    // And one that stops a release, so that its words are told in the rollout's status and in events.
    let mut stops = metrics[0].1.clone();
    stops["name"] = "stops".into();
    lab.apply(&json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "stops"},
        "spec": {"args": args(), "metrics": [stops]},
    }))
    .expect("applied");
    lab.deploy(json!({"strategy": {"blueGreen": {
        "autoPromotionEnabled": true, "prePromotionAnalysis": {"templates": [{"templateName": "stops"}]},
    }}}))
    .await;
    lab.set_image("web:v2").await;
    let rejected = lab.until("rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert!(rejected.message().contains("***"), "{}", rejected.message());

    let started = Instant::now();
    let runs = loop {
        let runs = lab.runs().await;
        let status = |run: &AnalysisRun| run.status.clone().unwrap_or_default();
        let open: Vec<String> =
            runs.iter().filter(|run| !status(run).phase.is_completed()).map(ResourceExt::name_any).collect();
        if open.is_empty() {
            break runs;
        }
        assert!(started.elapsed() < Duration::from_secs(90), "not over: {open:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let of = |name: &str| {
        let run = runs.iter().find(|run| run.name_any() == name).expect("a run");
        let status = run.status.clone().expect("a status");
        println!("{name:<14} {:?}: {}", status.phase, status.message);
        (status.phase, status.message)
    };
    names.iter().for_each(|name| drop(of(name)));
    assert!(of("number").1.contains("result was 0.5"), "what is no text is told");
    assert!(of("unlabelled").1.contains("analyses may not read Secret other. Label it greenlight.dev/analysis=true"));
    assert!(of("job").1.contains("valueFrom.secretKeyRef"), "it says what to write");
    assert_eq!(of("job-of-env").0, AnalysisPhase::Successful);
    assert!(of("in-address").1.starts_with("metric in-address"), "{}", of("in-address").1);
    assert!(
        of("no-server").1.contains("{{args.token}} does not answer"),
        "messages are made from what is written: {}",
        of("no-server").1
    );

    let kinds = cluster().kubectl(&["api-resources", "--verbs=list", "-o", "name"]).expect("kinds");
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !["secrets", "componentstatuses"].contains(kind)).collect();
    assert!(kinds.len() > 40 && kinds.contains(&"events.events.k8s.io") && kinds.contains(&"jobs.batch"), "{kinds:?}");
    let everything =
        cluster().kubectl(&["get", &kinds.join(","), "-n", "leaks", "-o", "json", "--show-managed-fields"]);
    let everything = everything.expect("read");
    assert!(everything.contains("\"kind\": \"Job\"") && everything.contains("AnalysisRun"), "that is not everything");
    let address = lab.address();
    let said = [
        ("the API server", everything),
        ("the log", lab.operator().log()),
        ("the metrics", http_get(&address, "/metrics").expect("metrics")),
    ];
    for (place, text) in &said {
        for form in FORMS {
            let found = text.find(form).map(|at| text[..at].lines().count()).map(|line| text.lines().nth(line - 1));
            assert_eq!(found, None, "{form} in {place}");
        }
    }
}

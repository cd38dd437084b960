//! What the server takes and Rust does not. Of rollouts see the suite `servers`: today's CRD refuses what is known.

use greenlight_e2e::{Lab, http_get};
use serde_json::{Value, json};

/// An analysis whose web request has a body that is nested deeper than anybody reads.
fn nested_too_deep(kind: &str) -> Value {
    let body = (0..300).fold(json!(1), |inner, _| json!({"a": inner}));
    let provider = json!({"web": {"url": "http://127.0.0.1:1", "jsonBody": body}});
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": kind, "metadata": {"name": "deep"},
        "spec": {"metrics": [{"name": "m", "provider": provider}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_nested_too_deep_holds_back_only_who_uses_it() {
    let lab = Lab::new("deeptemplate").await;
    let path = "/apis/greenlight.dev/v1alpha1/namespaces/deeptemplate/analysistemplates";
    lab.create_raw(path, &nested_too_deep("AnalysisTemplate"));
    lab.deploy(json!({})).await;
    let analysis = json!({"templates": [{"templateName": "deep"}]});
    lab.patch_spec(json!({"strategy": {"blueGreen": {"prePromotionAnalysis": analysis}}})).await;
    lab.set_image("web:v2").await;
    lab.until("it is told", |now| now.message().contains("AnalysisTemplate deep cannot be read")).await;
    lab.patch_spec(json!({"strategy": {"blueGreen": {"prePromotionAnalysis": null}}})).await;
    lab.until("it goes on", |now| now.phase() == "Paused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_run_that_is_nested_too_deep_is_told_so_and_stops_nobody() {
    let mut lab = Lab::new("deep").await;
    lab.deploy(json!({})).await;
    lab.create_raw("/apis/greenlight.dev/v1alpha1/namespaces/deep/analysisruns", &nested_too_deep("AnalysisRun"));
    lab.release("web:v2").await;
    lab.kill_operator();
    lab.start_operator();
    lab.is_ready().await;
    lab.release("web:v3").await;
    let events = lab.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
    let events: Value = serde_json::from_str(&events).expect("JSON");
    let mut notes = events["items"].as_array().into_iter().flatten().filter(|event| event["reason"] == "Unreadable");
    let event = notes.next().expect("an event");
    assert_eq!(event["regarding"]["kind"], "AnalysisRun");
    assert!(event["note"].as_str().unwrap_or_default().contains("recursion limit"), "{event}");
    let address = lab.address();
    let unreadable = r#"greenlight_unreadable_objects{kind="AnalysisRun"} "#;
    let count =
        |count: u32| http_get(&address, "/metrics").expect("it answers").contains(&format!("{unreadable}{count}"));
    assert!(count(1));
    lab.kubectl(&["delete", "bgar", "deep"]);
    lab.until("it is forgotten", |_| count(0)).await;
}

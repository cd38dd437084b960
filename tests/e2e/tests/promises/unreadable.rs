//! What the server takes and Rust does not. Of rollouts see the suite `servers`: today's CRD refuses what is known.

use greenlight_e2e::{Lab, http_get};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
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

/// The operator's library takes this field for one of its own, and reads the text in it as JSON. Kept like that, the run could not be unpacked any more, and
/// its next change would end the operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_operator_would_read_as_something_else_is_told_and_ends_nobody() {
    let lab = Lab::new("rawfield").await;
    lab.deploy(json!({})).await;
    let field = "$serde_json::private::RawValue";
    let text = format!(r#"{{"b":1,"{field}":"no JSON"}}"#);
    let web = json!({"url": "http://127.0.0.1:1", "jsonBody": {"a": {field: text}}});
    let run = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": "odd"},
        "spec": {"metrics": [{"name": "m", "provider": {"web": web}}]},
    });
    lab.create_raw("/apis/greenlight.dev/v1alpha1/namespaces/rawfield/analysisruns", &run);
    for number in 0..3 {
        lab.kubectl(&["annotate", "bgar", "odd", "--overwrite", &format!("number={number}")]);
    }
    lab.release("web:v2").await;
    let events = lab.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
    assert!(events.contains("would not read what is in the field"), "{events}");
}

/// Whoever may patch an object may write what is too deep for most readers into who manages which field of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_who_manages_which_field_keeps_nobody_from_looking_pausing_or_releasing() {
    let lab = Lab::new("deepfields").await;
    let web = lab.deploy(json!({})).await;
    let set = format!("replicaset/web-{}", web.status().active_revision);
    let pods: Api<Pod> = lab.api();
    let pod = pods.list(&Default::default()).await.expect("pods").items.first().map(ResourceExt::name_any);
    let pod = format!("pod/{}", pod.expect("one"));
    let objects =
        [("bgr/web", "greenlight.dev/v1alpha1"), (set.as_str(), "apps/v1"), (&pod, "v1"), ("service/web-active", "v1")];
    for (object, api_version) in objects {
        let fields = (0..200).fold(json!({}), |fields, _| json!({"f:a": fields}));
        let patch = json!({"metadata": {"managedFields": [{
            "manager": "someone", "operation": "Update", "apiVersion": api_version, "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": fields}},
        }]}});
        lab.kubectl(&["patch", object, "--type=merge", "--patch", &patch.to_string()]);
        let written = lab.kubectl(&["get", object, "-o", "json", "--show-managed-fields"]);
        assert!(written.matches("\"f:a\"").count() >= 200, "{object}: the API server keeps it");
    }
    for args in [
        ["get", "rollout", "web"].as_slice(),
        &["history", "web"],
        &["pause", "web"],
        &["resume", "web"],
        &["set", "image", "web", "web=web:v2"],
    ] {
        lab.greenlight(args).unwrap_or_else(|(code, said)| panic!("{args:?} ends with {code}: {said}"));
    }
    // Forgotten, so that this test can read them, too.
    for (object, _) in objects {
        lab.kubectl(&["patch", object, "--type=merge", "--patch", r#"{"metadata": {"managedFields": [{}]}}"#]);
    }
    lab.until("the new image waits", |now| now.phase() == "Paused").await;
}

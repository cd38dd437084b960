//! Telling others: every event, in order, once it can be told; nobody who is down delays anything.

use greenlight_e2e::{Lab, Receiver, cluster, eventually, operator_kubeconfig};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn sinks_get_every_event_of_a_release_in_order_and_one_that_is_down_delays_nothing() {
    // It refuses the first three requests: what it gets then is still complete and in order.
    let all = Receiver::start(3).await;
    let chosen = Receiver::start(0).await;
    let teams = Receiver::start(0).await;
    let elsewhere = Receiver::start(0).await;
    let mut lab = Lab::without_operator("notifications").await;
    let token = cluster().dir().join("notifications-token");
    std::fs::write(&token, "s3cret\n").expect("written");
    let config = json!({"dashboard": "https://releases.example.com/", "sinks": [
        {"name": "down", "url": "http://127.0.0.1:9/"},
        {"name": "all", "url": all.url(), "tokenFile": token},
        {"name": "chosen", "url": chosen.url(), "format": "slack", "events": ["Promoted", "RolledBack"],
         "namespaces": ["notif*"]},
        {"name": "teams", "url": teams.url(), "format": "teams", "events": ["RolledBack"], "labels": {"team": "shop"}},
        {"name": "elsewhere", "url": elsewhere.url(), "namespaces": ["other"]},
    ]});
    let file = cluster().dir().join("notifications.yaml");
    std::fs::write(&file, config.to_string()).expect("written");
    lab.start_operator_with(&operator_kubeconfig(), &["--notifications", file.to_str().expect("a path in UTF-8")]);

    lab.deploy(json!({})).await;
    cluster().kubectl(&["-n", "notifications", "label", "bgr", "web", "team=shop"]).expect("labelled");
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.preview("web:v3").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");

    // Events follow the status that the plugin waits for.
    let last = async || lab.event_reasons().await.pop().unwrap_or_default();
    eventually("the last event", async || last().await == "RevisionRejected").await;
    let happened = lab.event_reasons().await;
    assert!(happened.contains(&"RolledBack".to_owned()), "{happened:?}");
    let told = all.wait_for(happened.len()).await;
    let reasons: Vec<&str> =
        told.iter().map(|(_, event)| event["data"]["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, happened, "all of them, in order, once");
    let (headers, promoted) = told.iter().find(|(_, event)| event["data"]["reason"] == "Promoted").expect("one");
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(promoted["specversion"], "1.0");
    assert_eq!(promoted["subject"], "notifications/web");
    assert_eq!(promoted["data"]["dashboard"], "https://releases.example.com/n/notifications/web");
    let ids: std::collections::BTreeSet<_> = told.iter().map(|(_, event)| event["id"].to_string()).collect();
    assert_eq!(ids.len(), told.len(), "each with an id of its own");
    let by_admin =
        |event: &Value| event["data"]["by"] == "admin" && event["data"]["message"].to_string().contains("admin");
    let second = told.iter().filter(|(_, event)| event["data"]["reason"] == "Promoted").nth(1);
    assert!(by_admin(&second.expect("the one of v2").1), "{second:?}");

    let told = chosen.wait_for(3).await;
    let texts: Vec<String> = told.iter().map(|(_, message)| message["text"].to_string()).collect();
    assert_eq!(
        texts,
        ["Promoted", "Promoted", "RolledBack"].map(|reason| {
            format!("\"*<https://releases.example.com/n/notifications/web|notifications/web: {reason}>*\"")
        })
    );
    let card = &teams.wait_for(1).await[0].1["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["actions"][0]["url"], "https://releases.example.com/n/notifications/web");
    assert!(elsewhere.wait_for(0).await.is_empty());
}

/// A sink that asks for time gets it, and everything else, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_has_too_much_to_do_loses_nothing() {
    let busy = Receiver::start_busy(10, 1).await;
    let mut lab = Lab::without_operator("busysink").await;
    let file = cluster().dir().join("busysink.yaml");
    let config = json!({"sinks": [{"name": "busy", "url": busy.url()}]});
    std::fs::write(&file, config.to_string()).expect("written");
    lab.start_operator_with(&operator_kubeconfig(), &["--notifications", file.to_str().expect("a path in UTF-8")]);
    lab.deploy(json!({})).await;
    lab.release("web:v2").await;
    let told = busy.wait_for(4).await;
    let reasons: Vec<&str> =
        told.iter().map(|(_, event)| event["data"]["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons[..4], ["RevisionCreated", "Promoted", "RevisionCreated", "PreviewReady"]);
}

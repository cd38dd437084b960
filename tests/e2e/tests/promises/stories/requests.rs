//! An answer says what happened, and losing it opens nothing. (12)

use greenlight_api::names::{self, before_the_record};
use greenlight_api::{Request, Verb};
use greenlight_e2e::{Course, Lab};
use serde_json::json;

use super::{blue_green, hash_of, long_delay};

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_came_too_late_is_not_said_to_be_carried_out() {
    let mut lab = Lab::new("toolate").await;
    lab.deploy(json!({})).await;
    let v2 = hash_of(&lab.preview("web:v2").await, "web:v2");
    let course = Course::start(&lab, "web-active").await;
    lab.kill_operator();
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.set_image("web:v3").await;
    lab.start_operator();
    let answer = lab.answered().await;
    assert!(!answer.accepted, "{}", answer.answer);
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    let now = lab.settled().await;
    let answer = lab.answered().await.answer;
    let v3 = hash_of(&now, "web:v3");
    assert!(answer.contains(&v2) && answer.contains(&v3), "names both: {answer}");
    assert_eq!(course.images().await, ["web:v1"]);
    // Nor when the spec comes back to it.
    lab.set_image("web:v2").await;
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1"]);
    assert!(!lab.answered().await.accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_not_carried_out_when_the_status_is_lost() {
    let mut lab = Lab::new("refusedlost").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["pause", "web"]).expect("paused");
    let (code, output) = lab.greenlight(&["promote", "web"]).expect_err("refused");
    assert_eq!(code, 2, "{output}");
    lab.greenlight(&["resume", "web"]).expect("resumed");
    lab.until("v2 waits", |now| now.condition("Paused") == "True/AwaitingPromotion").await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1"]);
    for operator_is_down in [false, true] {
        if operator_is_down {
            lab.kill_operator();
        }
        lab.wipe_status().await;
        if operator_is_down {
            lab.start_operator();
        }
        let answer = lab.answered().await;
        assert!(!answer.accepted && answer.answer.contains("Ask again"), "{}", answer.answer);
        assert!(lab.settled().await.waits_in_preview("web:v2"));
        assert_eq!(course.images().await, ["web:v1"]);
    }
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_saw_is_not_carried_out_when_the_status_is_lost() {
    let mut lab = Lab::new("unseenlost").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.kill_operator();
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.wipe_status().await;
    lab.start_operator();
    let answer = lab.answered().await;
    assert!(!answer.accepted && answer.answer.contains("Ask again"), "{}", answer.answer);
    assert!(lab.settled().await.waits_in_preview("web:v2"));
    assert_eq!(course.images().await, ["web:v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_came_with_another_template_is_refused() {
    let lab = Lab::new("verbandtemplate").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    // Which one is meant? The one that was looked at, or the one that nobody has seen?
    let patch = json!([
        {"op": "add", "path": "/metadata/annotations/greenlight.dev~1request", "value": "promote"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:v3"},
    ]);
    lab.kubectl(&["patch", "bgr", "web", "--type=json", "-p", &patch.to_string()]);
    let answer = lab.answered().await;
    assert!(!answer.accepted && answer.answer.contains("make the request again for it"), "{}", answer.answer);
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_wrote_on_a_replica_set_opens_no_gate() {
    let lab = Lab::new("forgedmarks").await;
    lab.deploy(blue_green(json!({"requiredApprovals": 2, "scaleDownDelaySeconds": 600}))).await;
    let v2 = hash_of(&lab.preview("web:v2").await, "web:v2");
    let course = Course::start(&lab, "web-active").await;
    let set = format!("replicaset/web-{v2}");
    let now = jiff::Timestamp::now();
    let approvals = json!([{"by": "ann", "at": now}, {"by": "bob", "at": now}]);
    for (key, value) in [
        (before_the_record::APPROVALS, approvals.to_string()),
        (before_the_record::RETURNED, "true".to_owned()),
        (names::PROMOTED_AT, now.to_string()),
    ] {
        lab.kubectl(&["annotate", &set, "--overwrite", &format!("{key}={value}")]);
        let now = lab.settled().await;
        assert_eq!(course.images().await, ["web:v1"], "by {key}");
        assert!(now.waits_in_preview("web:v2"), "by {key}: {}", now.message());
        assert!(now.message().contains("(0 of 2 approvals)"), "by {key}: {}", now.message());
    }
    // Approvals of one person do not count with those that nobody gave.
    let answer = lab.ask(Verb::Promote, &v2, "cid").await.answer;
    assert!(answer.contains("1 of 2"), "{answer}");
    // Going back passes no gate, so it does not lead where production never was.
    let v3 = hash_of(&lab.preview("web:v3").await, "web:v3");
    lab.ask(Verb::Promote, &v3, "ann").await;
    lab.ask(Verb::Promote, &v3, "bob").await;
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    let stamp = format!("{}={}", names::PROMOTED_AT, jiff::Timestamp::now());
    lab.kubectl(&["annotate", &set, "--overwrite", &stamp]);
    let request = Request {
        action: Verb::Rollback,
        revision: v3.clone(),
        to: Some(v2),
        by: "ann".to_owned(),
        at: jiff::Timestamp::now(),
        reason: None,
    };
    lab.annotate_request(&request.to_value()).await;
    let answer = lab.answered().await;
    assert!(!answer.accepted, "{}", answer.answer);
    lab.ask(Verb::Rollback, &v3, "ann").await;
    lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    assert_eq!(course.images().await, ["web:v1", "web:v3", "web:v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_that_was_carried_out_is_not_carried_out_again_when_the_status_is_lost() {
    let lab = Lab::new("undolost").await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    let course = Course::start(&lab, "web-active").await;
    lab.wipe_status().await;
    let answer = lab.answered().await;
    assert!(!answer.accepted && answer.answer.contains("Ask again"), "{}", answer.answer);
    let now = lab.settled().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected");
    assert_eq!(course.images().await, ["web:v1"]);
    course.assert_only("web:v1", 2).await;
    // Somebody asks for what serves, and nothing moves.
    lab.set_image("web:v1").await;
    lab.until("healthy", |now| now.is_healthy_on("web:v1")).await;
    assert_eq!(course.images().await, ["web:v1"]);
}

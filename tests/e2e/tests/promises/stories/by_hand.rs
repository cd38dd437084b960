//! A move of the active Service by hand is a decision, if it leads to something that can serve. (10)

use greenlight_e2e::{Course, Lab};

use super::{hash_of, long_delay};

/// v2 was promoted on request and turns out bad, v1 is still up. Somebody moves the Service back, as the runbook says, while the
/// operator is there or not.
async fn moved_back(name: &str, is_down: bool) {
    let mut lab = Lab::new(name).await;
    lab.deploy(long_delay()).await;
    let now = lab.release("web:v2").await;
    let (v1, v2) = (hash_of(&now, "web:v1"), hash_of(&now, "web:v2"));
    let course = Course::start(&lab, "web-active").await;
    if is_down {
        lab.kill_operator();
    }
    lab.point_by_hand("web-active", &v1);
    if is_down {
        lab.start_operator();
    }
    let stays = lab.until("v2 is rejected", |now| now.condition("Stalled") == "True/RevisionRejected").await;
    assert!(
        stays.message().contains(r#"rejected by field manager "kubectl-patch" (moved by hand"#),
        "{}",
        stays.message()
    );
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, r#"field manager "kubectl-patch""#);
    assert_eq!(now.status().active_revision, v1);

    // What is rejected is not served, whoever moves the Service there.
    lab.point_by_hand("web-active", &v2);
    lab.until("moved back", |now| now.image_of("web-active") == "web:v1").await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v2", "web:v1"]);
    assert!(lab.now().await.rejection_of_image("web:v1").is_none(), "v1 is as good as before");

    // It can be tried again, and then waits like any other.
    lab.greenlight(&["retry", "web", "--timeout", "20s"]).expect("retried");
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_was_moved_back_by_hand_while_the_operator_was_down_stays_there() {
    moved_back("handdown", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_was_moved_back_by_hand_under_the_operators_eyes_stays_there() {
    moved_back("handup", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_active_services_follow_the_first_that_was_moved_by_hand() {
    let lab = Lab::new("handseveral").await;
    lab.create_service("web-internal").await;
    let mut spec = long_delay();
    spec["strategy"]["blueGreen"]["additionalActiveServices"] = serde_json::json!(["web-internal"]);
    lab.deploy(spec).await;
    let v1 = hash_of(&lab.release("web:v2").await, "web:v1");
    let [first, second] = [Course::start(&lab, "web-active").await, Course::start(&lab, "web-internal").await];
    // Of those beside the first, nobody can tell which one is meant: they are put back.
    lab.point_by_hand("web-internal", &v1);
    lab.until("put back", |now| now.image_of("web-internal") == "web:v2").await;
    lab.settled().await;
    lab.point_by_hand("web-active", &v1);
    lab.until("it follows", |now| now.image_of("web-internal") == "web:v1").await;
    let now = lab.settled().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected");
    assert_eq!(first.images().await, ["web:v2", "web:v1"]);
    assert_eq!(second.images().await, ["web:v2", "web:v1", "web:v2", "web:v1"]);
    first.assert_never_below(2).await;
    second.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_was_moved_by_hand_to_the_preview_stays_there() {
    let mut lab = Lab::new("handforward").await;
    lab.deploy(long_delay()).await;
    let now = lab.preview("web:v2").await;
    let v2 = hash_of(&now, "web:v2");
    let course = Course::start(&lab, "web-active").await;
    lab.kill_operator();
    lab.point_by_hand("web-active", &v2);
    lab.start_operator();
    lab.until("it is known to serve", |now| now.status().active_revision == v2).await;
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
    // A promotion by hand: what it left is there to go back to.
    assert_eq!(now.rejection_of_image("web:v1"), None);
    lab.greenlight(&["undo", "web"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_was_moved_by_hand_to_where_nothing_can_serve_is_moved_back() {
    let lab = Lab::new("handnopods").await;
    lab.deploy(super::blue_green(serde_json::json!({"scaleDownDelaySeconds": 0}))).await;
    let now = lab.release("web:v2").await;
    let v1 = hash_of(&now, "web:v1");
    lab.until("v1 is down", |now| now.is_down("web:v1")).await;
    // The request that promoted v2 is not what brings it back.
    lab.annotate_request("nonsense").await;
    lab.answered().await;
    let course = Course::start(&lab, "web-active").await;
    lab.point_by_hand("web-active", &v1);
    lab.until("moved back", |now| now.image_of("web-active") == "web:v2").await;
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v2"]);
    assert!(now.is_healthy_on("web:v2"), "{}", now.message());
    assert!(now.rejection_of_image("web:v1").is_none() && now.rejection_of_image("web:v2").is_none());
}

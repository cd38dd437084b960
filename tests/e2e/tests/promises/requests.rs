//! What people ask for: undo, abort, retry, and what is answered.

use std::time::Duration;

use greenlight_e2e::{Course, Lab, Witness, cluster, rollout};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn undo_inside_the_delay_moves_traffic_at_once_and_restarts_no_pod() {
    let lab = Lab::new("undo").await;
    let spec = json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}});
    let first = lab.deploy(spec.clone()).await;
    let pods = first.pod_uids_of_image("web:v1");
    let promoted = lab.release("web:v2").await;
    let witness = Witness::start(lab.client.clone(), "undo", "web-active");

    lab.greenlight(&["undo", "web"]).expect("undone");
    let undone = lab.now().await;
    assert_eq!(undone.image_of("web-active"), "web:v1");
    assert_eq!(undone.pod_uids_of_image("web:v1"), pods, "the same pods as before");
    let switch = undone.status().switch.expect("a switch");
    let took = switch.switched_at.duration_since(switch.requested_at.expect("asked by a person"));
    assert!(took.as_secs_f64() < 30.0, "the selector moved {took:?} after the request");
    let spec_of = |now: &greenlight_e2e::Snapshot| now.rollout.as_ref().map(|rollout| rollout.spec.clone());
    assert_eq!(spec_of(&undone), spec_of(&promoted), "the spec is as Git wants it");
    assert_eq!(undone.condition("Stalled"), "True/RevisionRejected");
    assert!(undone.message().contains("rejected by admin"), "{}", undone.message());
    witness.assert_never_below(2);

    // What self-heal does: the same manifest again.
    let mut manifest = rollout(spec);
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "web:v2".into();
    lab.apply(&manifest).expect("applied");
    lab.throughout(Duration::from_secs(2), "stays undone", |now| now.image_of("web-active") == "web:v1").await;

    // Git goes back to what serves: nothing moves, and the rejection is over.
    lab.set_image("web:v1").await;
    let healthy = lab.until("healthy", |now| now.phase() == "Healthy").await;
    assert_eq!(healthy.pod_uids_of_image("web:v1"), pods);
    assert_eq!(healthy.annotation_of_image("web:v2", "greenlight.dev/rejected"), None);
    assert_eq!(healthy.status().current_revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_is_not_held_back_by_a_pause() {
    let lab = Lab::new("undopaused").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    lab.release("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["pause", "web"]).expect("paused");
    lab.set_image("web:v3").await;
    lab.until("v3 is held back", |now| now.condition("Paused") == "True/PausedBySpec").await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    lab.greenlight(&["abort", "web", "--timeout", "20s"]).expect("aborted");
    lab.greenlight(&["resume", "web"]).expect("resumed");
    assert_eq!(lab.settled().await.condition("Stalled"), "True/RevisionRejected");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_while_both_revisions_serve_goes_straight_back() {
    let lab = Lab::new("undooverlap").await;
    let settings = json!({"switchMode": "Overlap", "overlapSeconds": 600, "scaleDownDelaySeconds": 600});
    lab.deploy(json!({"strategy": {"blueGreen": settings}})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.until_endpoints("web-active", 4).await;
    lab.until("v2 is what production is about to be", |now| !now.status().active_revision.is_empty()).await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    let now = lab.settled().await;
    assert_eq!(now.image_of("web-active"), "web:v1");
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, "admin");
    assert_eq!(course.images().await, ["web:v1", "both revisions", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_after_the_old_set_has_gone_scales_it_up_first() {
    let lab = Lab::new("undolate").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}})).await;
    lab.release("web:v2").await;
    lab.until("the old set is down", |now| {
        now.replicas_of_image("web:v1") == 0 && now.ready_pods_of_image("web:v1").is_empty()
    })
    .await;
    let witness = Witness::start(lab.client.clone(), "undolate", "web-active");
    lab.greenlight(&["undo", "web"]).expect("undone");
    let undone = lab.now().await;
    assert_eq!(undone.image_of("web-active"), "web:v1");
    assert_eq!(undone.ready_pods_of_image("web:v1").len(), 2);
    witness.assert_never_below(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_to_a_named_revision_goes_there() {
    let lab = Lab::new("undoto").await;
    lab.deploy(json!({})).await;
    lab.release("web:v2").await;
    lab.release("web:v3").await;
    lab.greenlight(&["undo", "web", "--to-revision", "1"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    // And from there to another one, still without touching the spec.
    lab.greenlight(&["undo", "web", "--to-revision", "2"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
    let (code, output) = lab.greenlight(&["undo", "web", "--to-revision", "9"]).expect_err("there is none");
    assert_eq!(code, 1);
    assert!(output.contains("has no revision 9"), "{output}");
    // Going back passes no gate, so what never passed one cannot be gone back to.
    lab.preview("web:v4").await;
    lab.preview("web:v5").await;
    let (code, output) = lab.greenlight(&["undo", "web", "--to-revision", "4"]).expect_err("v4 was never promoted");
    assert_eq!(code, 2);
    assert!(output.contains("was never promoted"), "{output}");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_revision_goes_away_and_comes_back_with_retry() {
    let lab = Lab::new("abort").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"abortScaleDownDelaySeconds": 1}}})).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    let aborted = lab.until("the aborted set is down", |now| now.replicas_of_image("web:v2") == 0).await;
    assert_eq!(aborted.image_of("web-active"), "web:v1");
    assert_eq!(aborted.image_of("web-preview"), "web:v1");
    assert_eq!(aborted.condition("Stalled"), "True/RevisionRejected");
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("in preview again", |now| now.phase() == "Paused" && now.image_of("web-preview") == "web:v2").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_revision_can_be_kept_up() {
    let lab = Lab::new("abortkeep").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"abortScaleDownDelaySeconds": 0}}})).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    lab.throughout(Duration::from_secs(3), "still up", |now| now.replicas_of_image("web:v2") == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_deployment_cannot_be_aborted_and_nonsense_is_answered() {
    let lab = Lab::new("nonsense").await;
    lab.deploy(json!({})).await;
    for (args, words) in [
        (vec!["abort", "web"], "active already"),
        (vec!["undo", "web"], "no earlier revision"),
        (vec!["retry", "web"], "nothing to retry"),
    ] {
        let (code, output) = lab.greenlight(&args).expect_err("refused");
        assert_eq!(code, 2, "{args:?}: {output}");
        assert!(output.contains(words), "{args:?}: {output}");
    }
    lab.annotate_request("promte").await;
    let answered =
        lab.until("answered", |now| now.status().observed_request.is_some_and(|r| r.value == "promte")).await;
    let answer = answered.status().observed_request.expect("there");
    assert!(!answer.accepted && answer.answer.contains("promote-full"), "lists the verbs: {}", answer.answer);
    lab.annotate_request("{\"action\":\"promote\"}").await;
    let unreadable =
        lab.until("answered", |now| now.status().observed_request.is_some_and(|r| r.value.starts_with('{'))).await;
    let answer = unreadable.status().observed_request.expect("there").answer;
    assert!(answer.contains("revision"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_typed_by_hand_speaks_of_the_revision_that_it_was_meant_for() {
    let lab = Lab::new("bare").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    lab.annotate_request("promote").await;
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2").await;
    // It is still written there, and must not promote the next one.
    lab.preview("web:v3").await;
    lab.throughout(Duration::from_secs(2), "v3 waits", |now| now.image_of("web-active") == "web:v2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_comes_back_inside_its_delay_needs_no_gate() {
    let lab = Lab::new("comeback").await;
    // By a timer: where people are asked, it waits for them.
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600, "autoPromotionSeconds": 3600}}})).await;
    lab.release("web:v2").await;
    lab.set_image("web:v1").await;
    let back =
        lab.until("v1 serves again", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v1").await;
    assert_eq!(back.status().current_revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_can_take_the_approval_of_several_people() {
    let lab = Lab::new("approvals").await;
    let refused = lab
        .apply(&rollout(json!({"strategy": {"blueGreen": {"requiredApprovals": 2, "autoPromotionEnabled": true}}})))
        .expect_err("a timer and people");
    assert!(refused.to_string().contains("people decide then, not a timer"), "{refused}");
    lab.deploy(json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}})).await;
    let ask = async |action: &str, by: &str| {
        let now = lab.now().await;
        let revision = now.status().updated_revision;
        let request = json!({"action": action, "revision": revision, "by": by, "at": jiff::Timestamp::now()});
        lab.annotate_request(&request.to_string()).await;
        let value = request.to_string();
        let answered = lab
            .until("answered", |now| now.status().observed_request.is_some_and(|request| request.value == value))
            .await;
        answered.status().observed_request.expect("there").answer
    };
    lab.preview("web:v2").await;
    assert!(ask("promote", "").await.contains("2 people have to approve"), "one that is not signed");
    assert!(ask("promote-full", "ann").await.contains("ann approves of revision 2"));
    lab.until("one of two", |now| now.message().contains("(1 of 2 approvals: ann)")).await;
    assert!(ask("promote", "ann").await.contains("1 of 2"), "the same again counts once");
    // It stands in the status, which nobody else may write. Lost with it, it has to be given again: losing it opens nothing.
    lab.wipe_status().await;
    lab.until("none of two", |now| now.message().contains("(0 of 2 approvals)")).await;
    assert!(ask("promote", "ann").await.contains("1 of 2"));
    let (code, output) = lab.greenlight(&["promote", "web", "--revision", "nonsense"]).expect_err("refused");
    assert_eq!(code, 2, "{output}");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    lab.greenlight(&["promote", "web"]).expect("the second, by admin");
    let promoted = lab.until("promoted", |now| now.image_of("web-active") == "web:v2").await;
    assert_eq!(promoted.status().switch.expect("a switch").requested_by, "admin");
    // Another revision needs approvals of its own.
    lab.preview("web:v3").await;
    let (code, output) = lab.greenlight(&["promote", "web"]).expect_err("not enough");
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("1 of 2"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_learns_that_another_request_took_the_place_of_theirs() {
    let mut lab = Lab::new("replaced").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    lab.kill_operator();
    let kubectl = |args: &[&str]| cluster().kubectl(&[&["-n", "replaced"], args].concat()).expect("kubectl");
    let (code, output) = std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.greenlight(&["promote", "web"]));
        while !kubectl(&["get", "bgr", "web", "-o", "jsonpath={.metadata.annotations}"]).contains("promote") {
            assert!(!asked.is_finished(), "it waits for the operator");
        }
        kubectl(&["annotate", "bgr", "web", "greenlight.dev/request=abort", "--overwrite"]);
        asked.join().expect("no panic").expect_err("not carried out")
    });
    assert_eq!(code, 2, "{output}");
    assert!(
        output.contains("Another request took the place of this one. The operator may have begun with it"),
        "{output}"
    );
    lab.start_operator();
    lab.until("what was asked last holds", |now| now.phase() == "Degraded" && now.image_of("web-active") == "web:v1")
        .await;
}

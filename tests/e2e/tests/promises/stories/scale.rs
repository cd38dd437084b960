//! The scale of production follows the spec, whatever was rejected; and no pods is a size like any other. (4, 7)

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Course, Lab};
use serde_json::json;

use super::{blue_green, hash_of, long_delay};

/// Production, v1, follows the scale up and back again to what the rejected revision remembers.
async fn scales(lab: &Lab) {
    for replicas in [4, 2, 3, 2] {
        lab.scale(replicas);
        let wanted = usize::try_from(replicas).expect("a few");
        let what = format!("{replicas} pods serve");
        lab.until(&what, |now| {
            now.replicas_of_image("web:v1") == replicas
                && now.ready_pods_of_image("web:v1").len() == wanted
                && now.status().ready == format!("{replicas}/{replicas}")
        })
        .await;
    }
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_follows_the_scale_after_an_undo() {
    let lab = Lab::new("scaleundone").await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    scales(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_follows_the_scale_after_an_abort() {
    let lab = Lab::new("scaleaborted").await;
    lab.deploy(long_delay()).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    scales(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_was_scaled_to_zero_has_not_failed() {
    let lab = Lab::new("zero").await;
    let settings = json!({"scaleDownDelaySeconds": 600, "autoRollback": {"unavailableSeconds": 1}});
    lab.deploy(blue_green(settings)).await;
    lab.release("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    lab.scale(0);
    lab.until("nothing serves", |now| now.ready_pods_of_image("web:v2").is_empty()).await;
    // Several times what an outage may last.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v2"]);
    assert!(now.rejection_of_image("web:v2").is_none(), "{}", now.message());
    lab.scale(3);
    lab.until("three serve", |now| now.status().ready == "3/3" && now.is_healthy_on("web:v2")).await;
    assert_eq!(course.images().await, ["web:v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_lost_its_hash_at_scale_zero_gets_it_back_and_nothing_is_promoted() {
    let lab = Lab::new("zerolost").await;
    lab.deploy(blue_green(json!({"previewReplicaCount": 1}))).await;
    let v1 = hash_of(&lab.now().await, "web:v1");
    lab.scale(0);
    lab.until("nothing serves", |now| now.is_down("web:v1")).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    let patch = json!([{"op": "remove", "path": format!("/spec/selector/{}", names::HASH_LABEL)}]).to_string();
    lab.kubectl(&["patch", "service", "web-active", "--type=json", "-p", &patch]);
    lab.until("it has a hash again", |now| now.hash_of("web-active").is_some()).await;
    let now = lab.settled().await;
    assert_eq!(now.hash_of("web-active"), Some(v1));
    assert_eq!(course.images().await, ["web:v1", "every revision", "web:v1"]);
    assert!(now.waits_in_preview("web:v2"), "{}", now.message());
    // Recreated while nobody looks, too.
    let mut lab = lab;
    lab.kill_operator();
    lab.delete_service("web-active").await;
    lab.create_service("web-active").await;
    lab.start_operator();
    lab.until("it has a hash again", |now| now.hash_of("web-active").is_some()).await;
    assert!(lab.settled().await.waits_in_preview("web:v2"));
    let all = ["web:v1", "every revision", "web:v1", "no Service", "every revision", "web:v1"];
    assert_eq!(course.images().await, all);
}

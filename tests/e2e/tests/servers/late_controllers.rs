//! Promise 1: controllers of Kubernetes that hear of changes late.

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Course, Lab, cluster};
use serde_json::json;

use crate::ALONE;

/// For less than until they lose their lease.
const ASLEEP: Duration = Duration::from_secs(4);

fn put_controllers_to_sleep(asleep: bool) {
    cluster().put_to_sleep("kube-controller-manager", asleep).expect("they run");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_waits_for_controllers_that_have_not_seen_the_label_of_its_pods() {
    let _alone = ALONE.lock().await;
    let lab = Lab::new("late-overlap").await;
    let settings = json!({"switchMode": "Overlap", "overlapSeconds": 600});
    lab.deploy(json!({"strategy": {"blueGreen": settings}})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    put_controllers_to_sleep(true);
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    let begun = |image| {
        move |now: &greenlight_e2e::Snapshot| {
            let note = now.annotation_of_image(image, names::ROLE_METADATA);
            note.is_some_and(|note| note.contains(names::SERVING_LABEL))
        }
    };
    lab.until("the templates have the label", begun("web:v1")).await;
    lab.until("the templates have the label", begun("web:v2")).await;
    let serves = |now: &greenlight_e2e::Snapshot| {
        now.image_of("web-active") == "web:v1" && now.condition("Available") == "True/PodsAvailable"
    };
    lab.throughout(ASLEEP, "v1 serves, and is called available", serves).await;
    let says = |now: &greenlight_e2e::Snapshot| now.message().contains("Kubernetes has not seen the last change");
    lab.until("it says what it waits for", says).await;
    put_controllers_to_sleep(false);
    lab.until_endpoints("web-active", 4).await;
    course.assert_never_below(2).await;
    assert_eq!(course.images().await, ["web:v1", "both revisions"]);
}

//! `plan` says what applying a manifest will do, and then applying it does that.

use greenlight_e2e::{Lab, cluster, rollout};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_what_then_happens_and_changes_nothing_itself() {
    let lab = Lab::new("plan").await;
    let settings = json!({"replicas": 3, "strategy": {"blueGreen": {"previewReplicaCount": 1}}});
    let before = lab.deploy(settings.clone()).await;
    let mut manifest = rollout(settings);
    let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
    container["image"] = "web:v2".into();
    container["resources"] = json!({"requests": {"cpu": "500m", "memory": "1Gi"}});
    let file = cluster().dir().join("plan.json");
    std::fs::write(&file, manifest.to_string()).expect("written");
    let plan = |auto: bool| {
        let mut manifest = manifest.clone();
        manifest["spec"]["strategy"]["blueGreen"]["autoPromotionEnabled"] = auto.into();
        std::fs::write(&file, manifest.to_string()).expect("written");
        lab.greenlight(&["plan", "-f", &file.display().to_string()]).expect("planned")
    };
    let by_hand = plan(false);
    assert!(by_hand.contains("(web:v2) with 1 pod\n"), "{by_hand}");
    assert!(by_hand.contains("waits for promotion"), "{by_hand}");
    assert!(by_hand.contains("3 now, 4 at the peak, 4 in the end"), "{by_hand}");
    let by_itself = plan(true);
    for step in ["from 1 to 3", "point Service web-active at", "for 5 s more", "from 3 to 0"] {
        assert!(by_itself.contains(step), "{step:?} is missing in\n{by_itself}");
    }
    assert!(by_itself.contains("3 now, 6 at the peak, 3 in the end"), "{by_itself}");
    assert!(by_itself.contains("At the peak they request 3.00 CPU and 6.00 GiB"), "{by_itself}");
    let now = lab.now().await;
    assert_eq!((now.sets.len(), now.pods.len()), (before.sets.len(), before.pods.len()), "nothing was changed");
    // And now for real.
    cluster().kubectl(&["apply", "-n", "plan", "-f", &file.display().to_string()]).expect("applied");
    let after = lab.until("released", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
    let hash = after.hash_of_image("web:v2").expect("a set");
    assert!(by_itself.contains(&hash), "it named the revision before it was there");
    manifest["spec"]["replicas"] = (-1).into();
    std::fs::write(&file, manifest.to_string()).expect("written");
    let (_, refused) = lab.greenlight(&["plan", "-f", &file.display().to_string()]).expect_err("refused");
    assert!(refused.contains("would refuse") && refused.contains("spec.replicas"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_manifest_any_more_is_gone_in_the_plan_too() {
    for (namespace, how) in [("plangone", None), ("plangoneserver", Some("--server-side"))] {
        let lab = Lab::new(namespace).await;
        let file = cluster().dir().join(format!("{namespace}.json")).display().to_string();
        let apply = [&["apply", "-f", &file], how.as_slice()].concat();
        let mut manifest = rollout(json!({}));
        std::fs::write(&file, manifest.to_string()).expect("written");
        lab.kubectl(&apply);
        lab.until("deployed", |now| now.is_healthy_on("web:v1")).await;
        manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "web:v2".into();
        // Without this field nobody is waited for.
        let blue_green = manifest["spec"]["strategy"]["blueGreen"].as_object_mut().expect("an object");
        blue_green.remove("autoPromotionEnabled").expect("it was there");
        std::fs::write(&file, manifest.to_string()).expect("written");
        let planned = lab.greenlight(&["plan", "-f", &file]).expect("planned");
        assert!(planned.contains("point Service web-active at"), "{namespace}: {planned}");
        lab.kubectl(&apply);
        lab.until("released", |now| now.is_healthy_on("web:v2")).await;
    }
}

//! The status can be rebuilt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Fate, Lab, Snapshot, Write, WriteCountingProxy};
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

/// Wipes the status and waits for it to come back; nothing else may move.
async fn wipe(lab: &Lab, phase: &str) -> Snapshot {
    // An event follows its status: let the last one arrive.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = lab.now().await;
    let events = lab.event_reasons().await;
    lab.wipe_status().await;
    let after = lab
        .until("the status is back", |now| {
            now.phase() == phase && now.rollout.as_ref().is_some_and(|r| r.status.is_some())
        })
        .await;
    lab.throughout(Duration::from_millis(700), "nothing moves", |now| {
        now.hash_of("web-active") == before.hash_of("web-active")
            && now.hash_of("web-preview") == before.hash_of("web-preview")
            && now.sets.len() == before.sets.len()
    })
    .await;
    assert_eq!(lab.event_reasons().await, events, "nothing is announced twice");
    let (old, new) = (before.status(), after.status());
    assert_eq!(new.active_revision, old.active_revision);
    assert_eq!(new.preview_revision, old.preview_revision);
    assert_eq!(new.stable_revision, old.stable_revision);
    assert_eq!(new.current_revision, old.current_revision);
    assert_eq!(new.rejected_revision, old.rejected_revision);
    assert_eq!(new.message, old.message);
    assert_eq!(
        new.switch.map(|switch| (switch.to, switch.switched_at)),
        old.switch.map(|switch| (switch.to, switch.switched_at))
    );
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_status_comes_back_in_every_phase_and_nothing_is_repeated() {
    let lab = Lab::new("wipe").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    wipe(&lab, "Healthy").await;
    lab.preview("web:v2").await;
    wipe(&lab, "Paused").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    wipe(&lab, "Healthy").await;
    // The request to promote v2 still stands while v3 waits.
    lab.preview("web:v3").await;
    wipe(&lab, "Paused").await;
    lab.greenlight(&["abort", "web"]).expect("aborted");
    wipe(&lab, "Degraded").await;
    lab.greenlight(&["retry", "web"]).expect("retried");
    lab.until("waits again", |now| now.phase() == "Paused").await;
    wipe(&lab, "Paused").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.greenlight(&["undo", "web"]).expect("undone");
    let undone = wipe(&lab, "Degraded").await;
    assert_eq!(undone.image_of("web-active"), "web:v2");
    lab.set_template("web:v4", &[(greenlight_test_cluster::BEHAVIOUR, "hang")]).await;
    lab.until("progressing", |now| now.phase() == "Progressing").await;
    wipe(&lab, "Progressing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_lost_during_the_first_deployment_comes_back() {
    let mut lab = Lab::new("wipefirst").await;
    let template = json!({"metadata": {"annotations": {greenlight_test_cluster::BEHAVIOUR: "late"}}});
    lab.apply(&greenlight_e2e::rollout(json!({"template": template}))).expect("applied");
    lab.until("its pods start", |now| now.phase() == "Progressing").await;
    lab.kill_operator();
    lab.wipe_status().await;
    lab.start_operator();
    lab.until("healthy", |now| now.is_healthy_on("web:v1")).await;
}

/// Server-side apply takes away what its manager does not write any more, by managedFields; whoever may patch a rollout can empty those.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_proof_does_not_stand_beside_a_new_switch_although_nobody_knows_any_more_who_wrote_it() {
    let mut lab = Lab::without_operator("ownerless").await;
    let armed = Arc::new(AtomicBool::new(false));
    let is_held = armed.clone();
    let fate = move |write: &Write| {
        let is_move = write.path.ends_with("/services/web-active");
        if is_move && is_held.swap(false, Ordering::Relaxed) { Fate::Held } else { Fate::Passed }
    };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("ownerless").expect("a kubeconfig"), &[]);
    lab.deploy(json!({})).await;
    let before = lab.until("proven", |now| now.status().switch.is_some_and(|it| it.proven_at.is_some())).await;
    let old = before.status().switch.expect("it is proven");
    lab.preview("web:v2").await;
    armed.store(true, Ordering::Relaxed);
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    proxy.withheld().await;
    // After the last status that has the old proof, and before the first one that has the new switch.
    let rollouts: Api<BlueGreenRollout> = lab.api();
    let patch = Patch::Merge(json!({"metadata": {"managedFields": [{}]}}));
    let rollout = rollouts.patch("web", &PatchParams::default(), &patch).await.expect("whoever may patch it may");
    assert!(rollout.managed_fields().iter().all(|fields| fields.subresource.is_none()));
    let version = rollout.resource_version().expect("a version");
    let mut changes = std::pin::pin!(rollouts.watch(&WatchParams::default(), &version).await.expect("a watch"));
    proxy.release();
    let until_proven = async {
        while let Some(change) = changes.try_next().await.expect("the watch goes on") {
            let WatchEvent::Modified(rollout) = change else { continue };
            let switch = rollout.status.and_then(|status| status.switch).filter(|switch| switch.to != old.to);
            let Some(switch) = switch else { continue };
            match switch.proven_at {
                Some(proven_at) if proven_at >= switch.switched_at => return,
                proven_at => assert_eq!(proven_at, None, "proven before it moved: {switch:?}"),
            }
        }
        panic!("the watch ended before the switch was proven");
    };
    tokio::time::timeout(Duration::from_secs(90), until_proven).await.expect("it is proven");
}

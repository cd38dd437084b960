//! The operator dies after every single write of a plain cycle, and after each kind of write of one that has everything. Whatever
//! the write was, the next operator finishes the work, and production was served all the time. So it is when answers are lost,
//! and when somebody who fell asleep on a write wakes up.
//!
//! Each single write is a cycle of its own, some twenty in all: `cargo xtask test --all` does that. In every run there is a crash after each kind of
//! write here, after writes that a seed chooses in the storm, and between any two writes of the same plans in the search.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::hash::Digest;
use greenlight_e2e::{
    Course, Fate, Lab, Snapshot, Web, Witness, Write, WriteCountingProxy, cluster, operator_kubeconfig, rollout,
};
use greenlight_test_cluster::Process;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

const AT_ONCE: usize = 4;
/// More writes than a cycle has: reached only if it never comes to rest.
const TOO_MANY: usize = 80;

/// The facts of the end that must not depend on when the operator died.
#[derive(Debug, PartialEq)]
struct End {
    images: [String; 2],
    replicas: [i32; 3],
    revisions: Vec<Option<String>>,
    phase: String,
    rejected_is_v3: bool,
    finalizers: usize,
}

fn end(now: &Snapshot) -> End {
    let images = ["web:v1", "web:v2", "web:v3"];
    End {
        images: ["web-active", "web-preview"].map(|service| now.image_of(service)),
        replicas: images.map(|image| now.replicas_of_image(image)),
        revisions: images.iter().map(|image| now.annotation_of_image(image, "greenlight.dev/revision")).collect(),
        phase: now.phase().to_owned(),
        rejected_is_v3: Some(now.status().rejected_revision) == now.hash_of_image("web:v3"),
        finalizers: now.sets.iter().map(|set| set.metadata.finalizers.as_ref().map_or(0, Vec::len)).sum(),
    }
}

fn wanted_end() -> End {
    End {
        images: ["web:v2".to_owned(), "web:v2".to_owned()],
        replicas: [0, 2, 0],
        revisions: ["1", "2", "3"].map(|number| Some(number.to_owned())).to_vec(),
        phase: "Degraded".to_owned(),
        rejected_is_v3: true,
        finalizers: 0,
    }
}

/// Runs a cycle (deploy, release, old set away, release, undo, rejected set away) and kills the operator once, after write
/// number `kill_after`. Returns the number of writes before the kill or the end.
async fn cycle(kill_after: usize) -> usize {
    let name = format!("crash-{kill_after}");
    let lab = Lab::without_operator(&name).await;
    let proxy = WriteCountingProxy::start(move |write| write.number == kill_after).await.expect("a proxy");
    let mut operator = lab.operator_process("first", &proxy.kubeconfig(&name).expect("a kubeconfig"), &[]);
    let witness = Witness::start(lab.client.clone(), &name, "web-active");
    let mut work = pin!(person(&lab));
    tokio::select! {
        () = &mut work => {}
        () = proxy.withheld() => {
            operator.kill();
            operator = lab.operator_process("second", &operator_kubeconfig(), &[]);
            // The person does not know of it, and goes on.
            work.await;
        }
    }
    witness.assert_never_below(2);
    drop(operator);
    cluster().kubectl(&["delete", "namespace", &name, "--wait=false"]).expect("deleted");
    proxy.writes()
}

/// What the person does, whatever happens to the operator.
async fn person(lab: &Lab) {
    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 1}}}))).expect("applied");
    lab.until("v1 healthy", |now| now.phase() == "Healthy").await;
    lab.preview("web:v2").await;
    request(lab, "web:v2", "promote").await;
    lab.until("v2 active", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
    lab.until("v1 down", |now| now.replicas_of_image("web:v1") == 0).await;
    lab.preview("web:v3").await;
    request(lab, "web:v3", "promote").await;
    lab.until("v3 active", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v3").await;
    request(lab, "web:v3", "rollback").await;
    lab.until("at the end", |now| end(now) == wanted_end()).await;
}

async fn request(lab: &Lab, image: &str, action: &str) {
    let revision = lab.now().await.hash_of_image(image).expect("a set");
    let at = jiff::Timestamp::now();
    lab.annotate_request(&json!({"action": action, "revision": revision, "by": "test", "at": at}).to_string()).await;
}

/// The same cycle, and of every so many writes the answer is lost; the operator lives, sees an error, and goes on.
async fn answers_are_lost(every: usize) {
    let name = format!("lostanswers-{every}");
    let lab = Lab::without_operator(&name).await;
    let lost = move |write: &Write| if write.number.is_multiple_of(every) { Fate::Broken } else { Fate::Passed };
    let proxy = WriteCountingProxy::start_with(lost).await.expect("a proxy");
    let operator = lab.operator_process("first", &proxy.kubeconfig(&name).expect("a kubeconfig"), &[]);
    let witness = Witness::start(lab.client.clone(), &name, "web-active");
    person(&lab).await;
    assert_eq!(lab.now().await.sets.len(), 3, "nothing was created twice");
    witness.assert_never_below(2);
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_change_nothing_about_the_end() {
    tokio::join!(answers_are_lost(2), answers_are_lost(3));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "twenty cycles: cargo xtask test --all runs it"]
async fn a_crash_after_any_write_changes_nothing_about_the_end() {
    let next = Arc::new(AtomicUsize::new(1));
    let longest = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, longest) = (next.clone(), longest.clone());
        workers.spawn(async move {
            loop {
                let kill_after = next.fetch_add(1, Ordering::SeqCst);
                assert!(kill_after < TOO_MANY, "the cycle has no end");
                let writes = cycle(kill_after).await;
                if writes < kill_after {
                    longest.fetch_max(writes, Ordering::SeqCst);
                    return;
                }
            }
        });
    }
    while let Some(result) = workers.join_next().await {
        result.expect("every run ends well");
    }
    let writes = longest.load(Ordering::SeqCst);
    println!("a cycle has {writes} writes; the operator was killed after each of them");
    assert!(writes >= 15, "only {writes} writes: the cycle was not what it should be");
}

/// An operator whose next write to this path, once it is armed, is held until it is released.
struct Sleeper {
    proxy: WriteCountingProxy,
    armed: Arc<Mutex<Option<String>>>,
    _operator: Process,
}

impl Sleeper {
    async fn start(lab: &Lab) -> Sleeper {
        let armed: Arc<Mutex<Option<String>>> = Arc::default();
        let path = armed.clone();
        let fate = move |write: &Write| {
            let mut path = path.lock().expect("no panic while locked");
            let is_it = path.as_ref().is_some_and(|path| write.path.ends_with(path));
            if is_it { path.take().map_or(Fate::Passed, |_| Fate::Held) } else { Fate::Passed }
        };
        let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
        let kubeconfig = proxy.kubeconfig(&lab.namespace).expect("a kubeconfig");
        let _operator = lab.operator_process("sleeper", &kubeconfig, &[]);
        Sleeper { proxy, armed, _operator }
    }

    fn arm(&self, path: String) {
        *self.armed.lock().expect("no panic while locked") = Some(path);
    }

    /// It wakes up, and its write is refused, because the object has changed since.
    async fn wakes_up_too_late(&self, lab: &Lab, resource: &str, name: &str) {
        let (_, mark) = lab.audit();
        self.proxy.release();
        let started = std::time::Instant::now();
        loop {
            let writes = lab.operator_writes(mark, resource).await;
            if writes.iter().any(|write| write.name == name && write.code == 409) {
                return;
            }
            assert!(started.elapsed().as_secs() < 60, "its write was not refused: {writes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_somebody_fell_asleep_on_does_not_happen_later() {
    let mut lab = Lab::without_operator("sleptswitch").await;
    let sleeper = Sleeper::start(&lab).await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    lab.preview("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    sleeper.arm("/services/web-active".to_owned());
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    sleeper.proxy.withheld().await;
    // Another one takes over, moves, and goes back again.
    lab.start_operator();
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    sleeper.wakes_up_too_late(&lab, "services", "web-active").await;
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaling_down_that_somebody_fell_asleep_on_takes_no_pod_of_what_serves_again() {
    let lab = Lab::without_operator("sleptscale").await;
    let sleeper = Sleeper::start(&lab).await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 4}}})).await;
    let now = lab.release("web:v2").await;
    let old = format!("web-{}", now.hash_of_image("web:v1").expect("a set"));
    lab.until("v1 retires", |now| now.annotation_of_image("web:v1", names::SCALE_DOWN_AT).is_some()).await;
    // Its next write to the old set is the one that takes the pods away.
    sleeper.arm(format!("/replicasets/{old}"));
    let course = Course::start(&lab, "web-active").await;
    sleeper.proxy.withheld().await;
    assert_eq!(lab.now().await.replicas_of_image("web:v1"), 2, "it is about to");
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    sleeper.wakes_up_too_late(&lab, "replicasets", &old).await;
    let now = lab.settled().await;
    assert_eq!(now.ready_pods_of_image("web:v1").len(), 2);
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

/// Everything that a rollout can have at once: a preview count, an overlap, metadata of the roles, both analyses, two active
/// Services.
fn everything(web: &Web, lab: &Lab) -> serde_json::Value {
    let metric =
        json!({"name": "errors", "provider": {"web": {"url": web.url()}}, "successCondition": "result == true"});
    let template = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "good"},
        "spec": {"metrics": [metric]},
    });
    lab.apply(&template).expect("applied");
    let analysis = json!({"templates": [{"templateName": "good"}]});
    json!({"strategy": {"blueGreen": {
        "additionalActiveServices": ["web-internal"], "previewReplicaCount": 1, "previewServiceIdle": "None",
        "switchMode": "Overlap", "overlapSeconds": 3, "scaleDownDelaySeconds": 1, "abortScaleDownDelaySeconds": 1,
        "prePromotionAnalysis": analysis, "postPromotionAnalysis": analysis,
        "activeMetadata": {"labels": {"role": "active"}}, "previewMetadata": {"labels": {"role": "preview"}},
    }}})
}

/// Deploys, releases with all of that, restarts, releases, goes back, and deletes the rollout.
async fn everything_happens(lab: &Lab, web: &Web) {
    lab.apply(&rollout(everything(web, lab))).expect("applied");
    lab.until("v1 serves", |now| now.is_healthy_on("web:v1")).await;
    lab.until_endpoints("web-active", 2).await;
    lab.until_endpoints("web-internal", 2).await;
    let courses = [Course::start(lab, "web-active").await, Course::start(lab, "web-internal").await];
    lab.preview("web:v2").await;
    request(lab, "web:v2", "promote").await;
    lab.until("v2 serves, v1 is down", |now| now.is_healthy_on("web:v2") && now.is_down("web:v1")).await;
    let pods = lab.now().await.pod_uids_of_image("web:v2");
    request(lab, "web:v2", "restart").await;
    lab.until("restarted", |now| {
        let new = now.pod_uids_of_image("web:v2");
        now.status().restarted_at.is_some() && new.is_disjoint(&pods) && new.len() == 2 && now.phase() == "Healthy"
    })
    .await;
    lab.preview("web:v3").await;
    request(lab, "web:v3", "promote").await;
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    request(lab, "web:v3", "rollback").await;
    lab.until("v2 serves, v3 is down", |now| {
        now.image_of("web-active") == "web:v2" && now.phase() == "Degraded" && now.is_down("web:v3")
    })
    .await;
    for course in &courses {
        assert_eq!(course.images().await, EVERYTHING);
        course.assert_never_below(2).await;
    }
    lab.kubectl(&["delete", "bgr", "web", "--timeout=60s"]);
    let end = lab.until("nothing is left", |now| now.rollout.is_none() && now.pods.is_empty()).await;
    for service in ["web-active", "web-internal", "web-preview"] {
        assert_eq!(end.hash_of(service), None, "{service}");
    }
}

/// The way of production through all of that.
const EVERYTHING: [&str; 6] = ["web:v1", "both revisions", "web:v2", "both revisions", "web:v3", "web:v2"];

/// Runs it once. If a kind of write is named, the operator dies after the first of that kind, and another one goes on. Returns the
/// kinds that there were until then.
async fn all_at_once(number: usize, dies_after: Option<String>) -> BTreeSet<String> {
    let name = format!("crashkind-{number}");
    let lab = Lab::without_operator(&name).await;
    lab.create_service("web-internal").await;
    let web = Web::start("true").await;
    let has_died = AtomicBool::new(false);
    let wanted = dies_after.clone();
    let fate = move |write: &Write| {
        let is_it = wanted.as_deref() == Some(write.kind().as_str());
        if is_it && !has_died.swap(true, Ordering::SeqCst) { Fate::Unanswered } else { Fate::Passed }
    };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    let mut operator = lab.operator_process("first", &proxy.kubeconfig(&name).expect("a kubeconfig"), &[]);
    let mut work = pin!(everything_happens(&lab, &web));
    tokio::select! {
        () = &mut work => assert_eq!(dies_after, None, "there was no such write"),
        () = proxy.withheld() => {
            operator.kill();
            operator = lab.operator_process("second", &operator_kubeconfig(), &[]);
            work.await;
        }
    }
    drop(operator);
    cluster().kubectl(&["delete", "namespace", &name, "--wait=false"]).expect("deleted");
    proxy.seen().iter().map(Write::kind).collect()
}

/// An older version made hashes of the template alone. It died before its last ReplicaSet was on record, and this version goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_that_an_older_version_made_last_is_taken_over() {
    let mut lab = Lab::new("older-version").await;
    lab.deploy(json!({})).await;
    let status = lab.preview("web:v2").await.status();
    lab.kill_operator();
    let sets: Api<ReplicaSet> = lab.api();
    let hash = &status.preview_revision;
    let made = sets.get(&format!("web-{hash}")).await.expect("it is there");
    let older = Digest::read(&made.annotations()[names::TEMPLATE_DIGEST]).hash_of_older_version(0);
    let mut as_it_was = serde_json::to_value(&made).expect("JSON");
    let metadata = as_it_was["metadata"].as_object_mut().expect("an object");
    metadata.retain(|key, _| ["name", "labels", "annotations", "ownerReferences"].contains(&key.as_str()));
    let as_it_was = as_it_was.to_string().replace(hash, &older);
    sets.delete(&made.name_any(), &DeleteParams::default()).await.expect("deleted");
    let as_it_was = serde_json::from_str(&as_it_was).expect("a ReplicaSet");
    sets.create(&PostParams::default(), &as_it_was).await.expect("created");
    let mut decisions = status.decisions.expect("there is a record");
    decisions.revisions.retain(|revision| revision.hash != *hash);
    let patch = Patch::Merge(json!({"status": {"decisions": {"revisions": decisions.revisions}}}));
    lab.api::<BlueGreenRollout>().patch_status("web", &PatchParams::default(), &patch).await.expect("patched");
    lab.start_operator();
    lab.until("it is shown", |now| now.phase() == "Paused" && now.status().preview_revision == older).await;
    let hashes: BTreeSet<String> = sets
        .list(&ListParams::default())
        .await
        .expect("ReplicaSets")
        .into_iter()
        .filter_map(|set| set.labels().get(names::HASH_LABEL).cloned())
        .collect();
    assert_eq!(hashes, BTreeSet::from([status.active_revision, older]), "and no other one is made beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_kind_of_write_changes_nothing_about_the_end() {
    let kinds = all_at_once(0, None).await;
    println!("the kinds of writes: {kinds:?}");
    let known = [
        "PATCH bluegreenrollouts",
        "PATCH bluegreenrollouts/status",
        "PATCH pods",
        "PATCH replicasets",
        "PATCH services/web-active",
        "PATCH services/web-internal",
        "PATCH services/web-preview",
        "PATCH analysisruns/status",
        "POST analysisruns",
        "POST events",
        "POST pods/eviction",
        "POST replicasets",
        "PUT analysisruns/status",
    ];
    assert_eq!(kinds, known.map(str::to_owned).into(), "not more and not fewer: each is tried");
    let next = Arc::new(Mutex::new(kinds.into_iter().enumerate()));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let next = next.clone();
        workers.spawn(async move {
            loop {
                let kind = next.lock().expect("no panic while locked").next();
                let Some((number, kind)) = kind else { return };
                all_at_once(number + 1, Some(kind)).await;
            }
        });
    }
    while let Some(result) = workers.join_next().await {
        result.expect("every run ends well");
    }
}

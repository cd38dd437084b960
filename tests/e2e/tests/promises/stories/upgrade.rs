//! What an earlier version wrote, and the operator of today goes on with.
//!
//! `tests/e2e/upgrades/<version>/<phase>.json` is what the operator of that version had left in the API server when it was
//! stopped in that phase: rollout, ReplicaSets and Services, as they were. `write_down_what_this_version_leaves` makes such
//! files. They are put into a namespace as if it had just happened: all times are moved by the same span, and UIDs are those
//! of the day.

use std::path::{Path, PathBuf};
use std::time::Duration;

use greenlight_api::analysis::AnalysisRun;
use greenlight_api::names::{self, before_the_record};
use greenlight_api::{BlueGreenRollout, Verb};
use greenlight_e2e::{Course, Lab, Snapshot, Web, binary, eventually, rollout};
use greenlight_test_cluster::{Cluster, Process};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{apply_analysis, blue_green, good, hash_of};

/// The version that kept its decisions on ReplicaSets.
const BEFORE_DECISIONS: &str = "before-decisions";
/// The name of the version that is written down.
const RECORD_AS: &str = "GREENLIGHT_RECORD_AS";

const PHASES: [&str; 8] = ["healthy", "preview", "retiring", "released", "aborted", "undone", "approved", "analysed"];
/// In the files, the address of the web server that an analysis asks.
const WEB: &str = "http://web.example";

/// Brings a lab into a phase; the web server is what an analysis asks.
async fn bring(lab: &Lab, phase: &str, web: &Web) {
    let mut settings = json!({"scaleDownDelaySeconds": 600, "abortScaleDownDelaySeconds": 600});
    if phase == "released" {
        settings["scaleDownDelaySeconds"] = 0.into();
    }
    if phase == "approved" {
        settings["requiredApprovals"] = 2.into();
    }
    if phase == "analysed" {
        apply_analysis(lab, "after", web.url(), 1000);
        settings["postPromotionAnalysis"] = json!({"templates": [{"templateName": "after"}]});
    }
    lab.deploy(blue_green(settings)).await;
    match phase {
        "healthy" => {}
        "preview" => drop(lab.preview("web:v2").await),
        "retiring" => drop(lab.release("web:v2").await),
        "released" => {
            // v2 was only looked at.
            lab.preview("web:v2").await;
            lab.release("web:v3").await;
            lab.until("the others are down", |now| now.is_down("web:v1") && now.is_down("web:v2")).await;
        }
        "aborted" => {
            lab.preview("web:v2").await;
            lab.greenlight(&["abort", "web"]).expect("aborted");
        }
        "undone" => {
            lab.release("web:v2").await;
            lab.greenlight(&["undo", "web"]).expect("undone");
        }
        "approved" => {
            let v2 = hash_of(&lab.preview("web:v2").await, "web:v2");
            let answer = lab.ask(Verb::Promote, &v2, "ann").await;
            assert!(answer.answer.contains("1 of 2"), "{}", answer.answer);
        }
        "analysed" => {
            lab.preview("web:v2").await;
            lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
            lab.until("measured", |now| now.message().contains("is being analysed") && web.questions() > 3).await;
        }
        phase => panic!("there is no phase {phase}"),
    }
}

fn file(version: &str, phase: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrades").join(version).join(format!("{phase}.json"))
}

/// With whatever operator is built: `GREENLIGHT_RECORD_AS=<version> cargo test -p greenlight-e2e --test promises -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the files that the other tests read; once a version"]
async fn write_down_what_this_version_leaves() {
    let version = std::env::var(RECORD_AS).expect("the name of the version");
    for phase in PHASES {
        let mut lab = Lab::new(&format!("leaves-{phase}")).await;
        let web = Web::start(&good(true)).await;
        bring(&lab, phase, &web).await;
        if phase != "analysed" {
            lab.settled().await;
        }
        lab.kill_operator();
        let now = lab.now().await;
        let left = json!({
            "recordedAt": Timestamp::now(),
            "rollout": without_identity(json!(now.rollout)),
            "replicaSets": now.sets.iter().map(|set| without_identity(json!(set))).collect::<Vec<_>>(),
            "services": now.services.values().map(|service| without_identity(json!(service))).collect::<Vec<_>>(),
            "analysisRuns": lab.runs().await.iter().map(|run| without_identity(json!(run))).collect::<Vec<_>>(),
        });
        let left = format!("{left:#}\n").replace(web.url(), WEB);
        let file = file(&version, phase);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, left).expect("written");
    }
}

/// An object without what the API server and other controllers give it.
fn without_identity(mut object: Value) -> Value {
    let remove = |object: &mut Value, keys: &[&str]| {
        for key in keys {
            object.as_object_mut().expect("an object").remove(*key);
        }
    };
    let given = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace"];
    remove(&mut object["metadata"], &given);
    match object["kind"].as_str() {
        Some("BlueGreenRollout" | "AnalysisRun") => {}
        _ => remove(&mut object, &["status"]),
    }
    if object["spec"].get("clusterIP").is_some() {
        remove(&mut object["spec"], &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    object
}

/// What was left in this phase, as if it had been recorded now: every time in it is moved.
fn left_behind(version: &str, phase: &str) -> Value {
    let text = std::fs::read_to_string(file(version, phase)).expect("a recorded phase");
    let recorded: Value = serde_json::from_str(&text).expect("JSON");
    let recorded: Timestamp = recorded["recordedAt"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    // Whole seconds, so that what was equal stays equal and no digit is lost.
    let moved = jiff::SignedDuration::from_secs(Timestamp::now().as_second() - recorded.as_second());
    // Also those inside of annotations that are JSON themselves: their quotes are escaped.
    let parts = text.split('"').map(|part| {
        let (time, escape) = part.strip_suffix('\\').map_or((part, ""), |time| (time, "\\"));
        time.parse::<Timestamp>().map_or(part.to_owned(), |time| format!("{}{escape}", time + moved))
    });
    serde_json::from_str(&parts.collect::<Vec<_>>().join("\"")).expect("JSON")
}

/// A namespace as the version left it in this phase, with its pods, and no operator.
async fn restored(version: &str, phase: &str, web: &str) -> Lab {
    let lab = Lab::without_operator(&format!("upgrade-{phase}")).await;
    let left = left_behind(version, phase).to_string().replace(WEB, web);
    let left: Value = serde_json::from_str(&left).expect("JSON");
    let by_us = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    for service in left["services"].as_array().expect("Services") {
        let name = service["metadata"]["name"].as_str().expect("a name");
        let patch = json!({
            "metadata": {"annotations": service["metadata"]["annotations"]},
            "spec": {"selector": service["spec"]["selector"]},
        });
        lab.api::<Service>().patch(name, &by_us, &Patch::Merge(patch)).await.expect("a Service");
    }
    let rollouts = lab.api::<BlueGreenRollout>();
    let mut rollout = left["rollout"].clone();
    let mut status = rollout["status"].take();
    let created: BlueGreenRollout = serde_json::from_value(rollout.clone()).expect("a rollout");
    let created = rollouts.create(&PostParams::default(), &created).await.expect("a rollout");
    // The spec was changed before, so its generation was higher.
    status["observedGeneration"] = json!(created.metadata.generation);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = json!(created.metadata.generation);
    }
    let body = json!({
        "apiVersion": rollout["apiVersion"], "kind": rollout["kind"], "metadata": {"name": "web"}, "status": status,
    });
    let apply = PatchParams::apply(names::FIELD_MANAGER).force();
    rollouts.patch_status("web", &apply, &Patch::Apply(body)).await.expect("a status");
    for set in left["replicaSets"].as_array().expect("ReplicaSets") {
        let mut set = set.clone();
        set["metadata"]["ownerReferences"][0]["uid"] = json!(created.uid());
        let set: ReplicaSet = serde_json::from_value(set).expect("a ReplicaSet");
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        lab.api().create(&params, &set).await.expect("a ReplicaSet");
    }
    let sets = lab.now().await.sets;
    for run in left["analysisRuns"].as_array().into_iter().flatten() {
        let mut run = run.clone();
        let owner = run["metadata"]["ownerReferences"][0]["name"].clone();
        let owner = sets.iter().find(|set| owner == set.name_any()).expect("its ReplicaSet");
        run["metadata"]["ownerReferences"][0]["uid"] = json!(owner.uid());
        let status = json!({"status": run["status"].take()});
        let run: AnalysisRun = serde_json::from_value(run).expect("a run");
        let runs = lab.api::<AnalysisRun>();
        runs.create(&PostParams::default(), &run).await.expect("a run");
        runs.patch_status(&run.name_any(), &by_us, &Patch::Merge(status)).await.expect("a status");
    }
    let is_up = |set: &ReplicaSet| {
        let ready = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
        set.spec.as_ref().and_then(|spec| spec.replicas) == Some(ready)
    };
    lab.until("its pods are there", |now| !now.sets.is_empty() && now.sets.iter().all(is_up)).await;
    lab.until_endpoints("web-active", 2).await;
    lab
}

/// What a person sees, and what must not change by an upgrade.
#[derive(Debug, PartialEq)]
struct Seen {
    phase: &'static str,
    revisions: [String; 4],
    switched_at: Option<Timestamp>,
    proven_at: Option<Timestamp>,
    selected: [Option<String>; 2],
    pods: [std::collections::BTreeSet<String>; 3],
    deadlines: [Option<String>; 3],
    numbers: [Option<String>; 3],
}

fn seen(now: &Snapshot) -> Seen {
    let status = now.status();
    let images = ["web:v1", "web:v2", "web:v3"];
    Seen {
        phase: now.phase(),
        revisions: [status.active_revision, status.preview_revision, status.updated_revision, status.stable_revision],
        switched_at: status.switch.as_ref().map(|switch| switch.switched_at),
        proven_at: status.switch.and_then(|switch| switch.proven_at),
        selected: ["web-active", "web-preview"].map(|service| now.hash_of(service)),
        pods: images.map(|image| now.pod_uids_of_image(image)),
        deadlines: images.map(|image| now.annotation_of_image(image, names::SCALE_DOWN_AT)),
        numbers: images.map(|image| now.annotation_of_image(image, names::REVISION)),
    }
}

/// The operator of today takes over in this phase, and nothing moves.
async fn upgraded(phase: &str) -> (Lab, Course) {
    let mut lab = restored(BEFORE_DECISIONS, phase, WEB).await;
    let course = Course::start(&lab, "web-active").await;
    let before = seen(&lab.now().await);
    let (_, mark) = lab.audit();
    lab.start_operator();
    let now = lab.settled().await;
    assert_eq!(seen(&now), before);
    let writes = lab.operator_writes(mark, "services").await;
    assert!(writes.is_empty(), "no Service is touched: {writes:?}");
    let writes = lab.operator_writes(mark, "replicasets").await;
    assert!(writes.iter().all(|write| write.verb == "patch"), "no ReplicaSet comes or goes: {writes:?}");
    assert_eq!(lab.event_reasons().await, [""; 0], "nothing is announced again");
    (lab, course)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_moves_nothing_that_is_healthy_and_releases_go_on() {
    let (lab, course) = upgraded("healthy").await;
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_a_preview_goes_on_waiting() {
    let (lab, course) = upgraded("preview").await;
    assert!(lab.now().await.waits_in_preview("web:v2"));
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v1", "web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_undo_goes_back_to_what_retires() {
    let (lab, course) = upgraded("retiring").await;
    let pods = lab.now().await.pod_uids_of_image("web:v1");
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    let now = lab.now().await;
    assert_eq!((now.pod_uids_of_image("web:v1"), pods.len()), (pods, 2));
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_undo_goes_back_to_what_served_and_was_taken_down() {
    let (lab, course) = upgraded("released").await;
    lab.greenlight(&["undo", "web", "--timeout", "30s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v3", "web:v1"], "v2 was only looked at");
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_what_was_aborted_stays_rejected() {
    let (lab, course) = upgraded("aborted").await;
    still_rejected(&lab, &course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_what_was_undone_stays_rejected() {
    let (lab, course) = upgraded("undone").await;
    still_rejected(&lab, &course).await;
}

/// v2 was rejected by the version before. The rejection is the operator's own now: it outlives the mark that it was read from.
async fn still_rejected(lab: &Lab, course: &Course) {
    let now = lab.now().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected");
    lab.annotate_request("nonsense").await;
    lab.answered().await;
    lab.patch_spec(blue_green(json!({"autoPromotionEnabled": true}))).await;
    let set = format!("web-{}", hash_of(&now, "web:v2"));
    lab.kubectl(&["annotate", "replicaset", &set, &format!("{}-", names::REJECTED)]);
    let now = lab.settled().await;
    assert_eq!(now.condition("Stalled"), "True/RevisionRejected", "{}", now.message());
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, "admin");
    course.assert_only("web:v1", 2).await;
    lab.greenlight(&["retry", "web", "--timeout", "20s"]).expect("retried");
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_approvals_count_on() {
    let (lab, course) = upgraded("approved").await;
    let v2 = hash_of(&lab.now().await, "web:v2");
    assert!(lab.ask(Verb::Promote, &v2, "ann").await.answer.contains("1 of 2"), "the same again counts once");
    // Those were believed once. Whoever writes more of them on the ReplicaSet is not.
    let forged = json!([{"by": "bob", "at": Timestamp::now()}, {"by": "cid", "at": Timestamp::now()}]);
    let forged = format!("{}={forged}", before_the_record::APPROVALS);
    lab.kubectl(&["annotate", "--overwrite", &format!("replicaset/web-{v2}"), &forged]);
    let now = lab.settled().await;
    assert!(now.message().contains("(1 of 2 approvals: ann)"), "{}", now.message());
    assert_eq!(course.images().await, ["web:v1"]);
    lab.ask(Verb::Promote, &v2, "dan").await;
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    assert_eq!(course.images().await, ["web:v1", "web:v2"]);
    course.assert_never_below(2).await;
}

/// The CRDs without the record.
fn crds_before_decisions() -> String {
    let crds = greenlight_api::crds().into_iter().map(|crd| {
        let mut crd = serde_json::to_value(crd).expect("JSON");
        let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
        if let Some(properties) = crd.pointer_mut(status).and_then(Value::as_object_mut) {
            properties.remove("decisions");
        }
        crd.to_string()
    });
    crds.collect::<Vec<_>>().join("\n")
}

/// The operator's pods may be there before the CRD is: then it has nowhere to write its record, and must not act without.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_newer_than_its_crd_moves_nothing_until_that_comes() {
    // CRDs are the whole cluster's.
    let cluster = Cluster::start().await.expect("a cluster");
    cluster.install_crds(&crds_before_decisions()).expect("installed");
    let kubectl = |args: &[&str]| cluster.kubectl(args).expect("kubectl");
    let apply = |manifest: &Value| {
        let file = cluster.dir().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).expect("written");
        kubectl(&["apply", "-f", file.to_str().expect("a path in UTF-8")]);
    };
    for name in ["web-active", "web-preview"] {
        apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }));
    }
    let mark = cluster.audit().mark();
    let args = ["controller", "--namespace", "default", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let kubeconfig = cluster.kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let _operator = Process::start(cluster.dir(), "operator", &binary("greenlight"), &args, &env).expect("it starts");
    apply(&rollout(json!({})));
    let requests = |resource: &str| {
        let requests = cluster.audit().since(mark).expect("the audit log");
        let by_operator = requests.into_iter().filter(|request| request.user_agent.starts_with("greenlight/"));
        by_operator.filter(|request| request.resource == resource && request.verb == "patch").collect::<Vec<_>>()
    };
    eventually("it tries again", async || requests("bluegreenrollouts/status").len() >= 6).await;
    let tried = requests("bluegreenrollouts/status").len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let refused = requests("bluegreenrollouts/status");
    assert!(refused.iter().all(|request| request.code >= 400), "{refused:?}");
    assert!(refused.len() <= tried + 3, "it tries ever more seldom: {tried}, {}", refused.len());
    assert!(requests("services").is_empty(), "no Service was touched");

    let crds = greenlight_api::crds().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    cluster.install_crds(&crds.expect("JSON").join("\n")).expect("installed");
    let phase = || kubectl(&["get", "bgr", "web", "-o", "jsonpath={.status.phase}"]);
    eventually("healthy with the new CRD", async || phase() == "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_upgrade_the_analysis_of_what_serves_goes_on() {
    let web = Web::start(&good(true)).await;
    let mut lab = restored(BEFORE_DECISIONS, "analysed", web.url()).await;
    // The versions before did not note what a run measures: it is looked up, and is the same.
    apply_analysis(&lab, "after", web.url(), 1000);
    let course = Course::start(&lab, "web-active").await;
    let pods = lab.now().await.pod_uids_of_image("web:v1");
    lab.start_operator();
    lab.until("it is measured", |now| now.message().contains("is being analysed") && web.questions() > 3).await;
    let runs = lab.runs().await;
    assert_eq!(runs.len(), 1, "the same run goes on");
    assert_eq!(runs[0].spec.terminate, None);
    assert_eq!(course.images().await, ["web:v2"]);
    web.answer(&good(false));
    let back = lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    assert_eq!(back.pod_uids_of_image("web:v1"), pods);
    let rejection = back.rejection_of_image("web:v2").expect("rejected");
    assert!(rejection.reason.contains("post-promotion analysis failed"), "{}", rejection.reason);
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

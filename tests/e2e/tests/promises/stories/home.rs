//! Production goes home whatever else is in a bad way: a newer commit that waits, the next template, the preview Service, the
//! history, an operator that died. (2, 3, 5, 6, 11)

use greenlight_api::Verb;
use greenlight_e2e::{Course, Fate, Lab, Write, WriteCountingProxy, eventually, operator_kubeconfig, rollout};
use serde_json::{Value, json};

use super::{apply_analysis, blue_green, good, hash_of, long_delay};

#[tokio::test(flavor = "multi_thread")]
async fn undo_goes_back_from_what_serves_while_a_newer_commit_waits() {
    let lab = Lab::new("undowaiting").await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    let pods = lab.preview("web:v3").await.pod_uids_of_image("web:v3");
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    let now = lab.settled().await;
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, "admin");
    assert!(now.rejection_of_image("web:v3").is_none(), "nobody said anything of v3");
    assert!(now.waits_in_preview("web:v3"), "{}", now.message());
    assert_eq!(now.pod_uids_of_image("web:v3"), pods, "v3 goes on waiting as it was");

    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    // From there it is not the bad one that is gone back to.
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v3", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_that_lost_its_pods_goes_back_while_a_newer_commit_waits() {
    let lab = Lab::new("lostwaiting").await;
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 600, "autoRollback": {"unavailableSeconds": 2}}))).await;
    let pods = lab.release("web:v2").await.ready_pods_of_image("web:v2");
    lab.preview("web:v3").await;
    let course = Course::start(&lab, "web-active").await;
    lab.set_readiness(pods, false).await;
    lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    let now = lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, "greenlight");
    assert!(now.waits_in_preview("web:v3"), "{}", now.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_does_not_switch_off_the_analysis_of_what_serves() {
    let lab = Lab::new("stillanalysed").await;
    let web = greenlight_e2e::Web::start(&good(true)).await;
    apply_analysis(&lab, "after", web.url(), 1000);
    let analysis = json!({"templates": [{"templateName": "after"}]});
    let settings = json!({"scaleDownDelaySeconds": 0, "postPromotionAnalysis": analysis});
    let first = lab.deploy(blue_green(settings)).await;
    lab.preview("web:v2").await;
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    lab.until("v2 is measured in production", |now| {
        now.image_of("web-active") == "web:v2" && now.condition("Reconciling") == "True/PostPromotionAnalysis"
    })
    .await;
    lab.set_image("web:v3").await;
    lab.until("v3 is shown", |now| now.image_of("web-preview") == "web:v3").await;
    // It goes on measuring, and v1 stays up for as long.
    let questions = web.questions();
    lab.until("measured on", |_| web.questions() >= questions + 5).await;
    assert_eq!(lab.runs().await[0].spec.terminate, None, "nobody stopped it");
    let now = lab.now().await;
    assert_eq!(now.pod_uids_of_image("web:v1"), first.pod_uids_of_image("web:v1"), "the same pods as ever");

    let course = Course::start(&lab, "web-active").await;
    web.answer(&good(false));
    let back = lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    assert_eq!(back.pod_uids_of_image("web:v1"), first.pod_uids_of_image("web:v1"), "no pod was started for it");
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    let reason = lab.now().await.rejection_of_image("web:v2").expect("rejected").reason;
    assert!(reason.contains("post-promotion analysis failed"), "{reason}");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

/// v2 serves, v1 is still up, and the next template cannot be had. Production is scaled all the same, and undo goes back.
async fn goes_on_without_the_next_template(lab: &Lab, course: &Course, says: &str) {
    lab.until("says what is wrong", |now| now.phase() == "Degraded" && now.message().contains(says)).await;
    let serves = async |image: &str, replicas: i32| {
        lab.scale(replicas);
        let wanted = usize::try_from(replicas).expect("a few");
        let ready = format!("{replicas}/{replicas}");
        lab.until(&format!("{image} serves with {replicas} pods"), |now| {
            now.ready_pods_of_image(image).len() == wanted && now.status().ready == ready
        })
        .await;
    };
    serves("web:v2", 4).await;
    serves("web:v2", 3).await;
    lab.greenlight(&["undo", "web", "--timeout", "30s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    serves("web:v1", 2).await;
    serves("web:v1", 4).await;
    course.assert_never_below(2).await;
    let now = lab.now().await;
    assert_eq!(now.rejection_of_image("web:v2").expect("rejected").by, "admin");
    assert!(now.message().contains(says), "it is still said: {}", now.message());
}

/// There is nothing to promote, and whoever wants to is told.
async fn has_nothing_to_promote(lab: &Lab) {
    lab.annotate_request("promote").await;
    let answer = lab.answered().await;
    assert!(!answer.accepted, "{}", answer.answer);
}

/// v2 serves and v1 is still up; then `spoil` sees to it that v3 cannot be created.
async fn refused(name: &str, says: &str, spoil: impl AsyncFn(&Lab), mend: impl AsyncFn(&Lab)) {
    let lab = Lab::new(name).await;
    lab.deploy(long_delay()).await;
    lab.release("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    spoil(&lab).await;
    goes_on_without_the_next_template(&lab, &course, says).await;
    has_nothing_to_promote(&lab).await;
    mend(&lab).await;
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
}

async fn set_container(lab: &Lab, container: Value) {
    lab.patch_spec(json!({"template": {"spec": {"containers": [container]}}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_on_while_the_api_server_refuses_the_next_template() {
    let spoil = async |lab: &Lab| {
        set_container(lab, json!({"name": "web", "image": "web:v3", "imagePullPolicy": "Sometimes"})).await;
    };
    let mend = async |lab: &Lab| set_container(lab, json!({"name": "web", "image": "web:v3"})).await;
    refused("refusedtemplate", "imagePullPolicy", spoil, mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_on_while_a_quota_refuses_the_next_template() {
    let quota = "count/replicasets.apps";
    let spoil = async |lab: &Lab| {
        let limit = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "sets"}, "spec": {"hard": {quota: "2"}},
        });
        lab.apply(&limit).expect("applied");
        let used = ["get", "resourcequota", "sets", "-o", "jsonpath={.status.used}"];
        lab.until("the quota is in force", |_| lab.kubectl(&used).contains('2')).await;
        lab.set_image("web:v3").await;
    };
    let mend = async |lab: &Lab| drop(lab.kubectl(&["delete", "resourcequota", "sets"]));
    refused("refusedquota", "exceeded quota", spoil, mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_on_while_a_webhook_that_is_down_refuses_the_next_template() {
    let name = "refusedwebhook";
    let spoil = async |lab: &Lab| {
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "down.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:9/"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "rules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["replicasets"],
                }],
            }],
        });
        lab.apply(&webhook).expect("applied");
        // The API server takes note of it a moment later.
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"generateName": "try-"},
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": "try"}},
                "template": {
                    "metadata": {"labels": {"app": "try"}}, "spec": {"containers": [{"name": "try", "image": "try"}]},
                },
            },
        });
        let set: k8s_openapi::api::apps::v1::ReplicaSet = serde_json::from_value(set).expect("a ReplicaSet");
        let dry = kube::api::PostParams { dry_run: true, ..Default::default() };
        eventually("the webhook is asked", async || lab.api().create(&dry, &set).await.is_err()).await;
        lab.set_image("web:v3").await;
    };
    let mend = async |lab: &Lab| drop(lab.kubectl(&["delete", "validatingwebhookconfiguration", name]));
    refused(name, "down.example.com", spoil, mend).await;
}

/// A rollout that follows a Deployment; v2 serves and v1 is still up.
async fn following_a_deployment(name: &str) -> Lab {
    let lab = Lab::new(name).await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "source"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}},
                "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
            },
        },
    });
    lab.apply(&deployment).expect("applied");
    let mut spec = long_delay();
    spec["selector"] = json!({"matchLabels": {"app": "web", "tier": "front"}});
    spec["template"] = Value::Null;
    spec["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "source"});
    lab.deploy(spec).await;
    lab.kubectl(&["set", "image", "deployment/source", "web=web:v2"]);
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_on_while_the_labels_of_the_workload_do_not_match() {
    let lab = following_a_deployment("workloadmismatch").await;
    let course = Course::start(&lab, "web-active").await;
    let template = |tier: &str| {
        let container = json!({"name": "web", "image": "web:v3"});
        json!({"spec": {"template": {"metadata": {"labels": {"tier": tier}}, "spec": {"containers": [container]}}}})
            .to_string()
    };
    lab.kubectl(&["patch", "deployment", "source", "-p", &template("back")]);
    goes_on_without_the_next_template(&lab, &course, "tier=front").await;
    has_nothing_to_promote(&lab).await;
    lab.kubectl(&["patch", "deployment", "source", "-p", &template("front")]);
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_goes_on_without_the_workload() {
    let lab = following_a_deployment("workloadmissing").await;
    let course = Course::start(&lab, "web-active").await;
    lab.kubectl(&["delete", "deployment", "source"]);
    goes_on_without_the_next_template(&lab, &course, "Deployment source does not exist").await;
}

/// Something is wrong with the preview Service, as the status says. Production is scaled, goes back and cleans up all the
/// same; only what would have to be shown first is not promoted.
async fn goes_on_without_a_preview(lab: &Lab, reason: &str, mend: impl AsyncFnOnce()) {
    let stalled = format!("True/{reason}");
    lab.until("says what is wrong", |now| now.condition("Stalled") == stalled).await;
    let course = Course::start(lab, "web-active").await;
    lab.scale(3);
    lab.until("three serve", |now| now.ready_pods_of_image("web:v2").len() == 3 && now.status().ready == "3/3").await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    lab.until("the rejected revision is taken down", |now| now.is_down("web:v2")).await;

    lab.set_image("web:v3").await;
    lab.until("v3 is there", |now| now.ready_pods_of_image("web:v3").len() == 3 && now.phase() == "Degraded").await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "5s"]).expect_err("nobody could look at it");
    assert!([2, 4].contains(&code), "{output}");
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    mend().await;
    lab.until("v3 is shown", |now| now.image_of("web-preview") == "web:v3").await;
    // Whether or not that request still stands, this one is carried out.
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    assert_eq!(course.images().await, ["web:v2", "web:v1", "web:v3"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_needs_no_preview_service() {
    let lab = Lab::new("undonopreview").await;
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 3}))).await;
    lab.release("web:v2").await;
    lab.delete_service("web-preview").await;
    goes_on_without_a_preview(&lab, "ServiceMissing", async || lab.create_service("web-preview").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_does_not_need_a_preview_service_that_another_rollout_has() {
    let lab = Lab::new("undoclaimed").await;
    lab.create_service("other-active").await;
    lab.create_service("other-preview").await;
    let mut other = rollout(blue_green(json!({"activeService": "other-active", "previewService": "other-preview"})));
    // The same template would have the same hash.
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "other:v1".into();
    other["metadata"]["name"] = "other".into();
    lab.apply(&other).expect("applied");
    lab.deploy(blue_green(json!({"scaleDownDelaySeconds": 3}))).await;
    lab.release("web:v2").await;
    let preview = |name: &str| blue_green(json!({"previewService": name}));
    lab.patch_spec(preview("other-preview")).await;
    let mend = async || lab.patch_spec(preview("web-preview")).await;
    goes_on_without_a_preview(&lab, "ServiceClaimed", mend).await;
}

/// The labels of the template's pods, by a JSON patch so that one can be taken away.
async fn set_labels(lab: &Lab, labels: Value, image: &str) {
    let patch = json!([
        {"op": "replace", "path": "/spec/template/metadata/labels", "value": labels},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
    ]);
    lab.kubectl(&["patch", "bgr", "web", "--type=json", "-p", &patch.to_string()]);
}

fn select(lab: &Lab, service: &str, tier: Value) {
    let patch = json!({"spec": {"selector": {"tier": tier}}}).to_string();
    lab.kubectl(&["patch", "service", service, "--type=merge", "-p", &patch]);
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_does_not_need_the_next_template_to_carry_what_the_service_selects() {
    let lab = Lab::new("undonextlabels").await;
    select(&lab, "web-active", "front".into());
    let mut spec = long_delay();
    spec["template"] = json!({"metadata": {"labels": {"tier": "front"}}});
    lab.deploy(spec).await;
    lab.release("web:v2").await;
    let course = Course::start(&lab, "web-active").await;
    set_labels(&lab, json!({"app": "web"}), "web:v3").await;
    lab.until("says so", |now| now.message().contains("tier=front")).await;
    lab.scale(3);
    lab.until("three serve", |now| now.ready_pods_of_image("web:v2").len() == 3 && now.status().ready == "3/3").await;
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    // What would have no endpoints is not promoted.
    lab.until("v3 is there", |now| now.ready_pods_of_image("web:v3").len() == 3).await;
    let (code, output) = lab.greenlight(&["promote", "web", "--timeout", "5s"]).expect_err("it would serve nobody");
    assert!([2, 4].contains(&code), "{output}");
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    select(&lab, "web-active", Value::Null);
    lab.until("v3 is shown", |now| now.image_of("web-preview") == "web:v3").await;
    lab.greenlight(&["promote", "web", "--timeout", "20s"]).expect("promoted");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undo_to_what_the_service_does_not_select_is_refused() {
    let lab = Lab::new("undooldlabels").await;
    lab.deploy(long_delay()).await;
    set_labels(&lab, json!({"app": "web", "tier": "front"}), "web:v2").await;
    lab.until("v2 waits", |now| now.waits_in_preview("web:v2")).await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    // Only v2 carries this.
    select(&lab, "web-active", "front".into());
    let course = Course::start(&lab, "web-active").await;
    let (code, output) = lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect_err("v1 would serve nobody");
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("tier=front"), "says why: {output}");
    lab.settled().await;
    course.assert_only("web:v2", 2).await;
    assert_eq!(course.images().await, ["web:v2"]);
    // With that mended, it can be undone.
    select(&lab, "web-active", Value::Null);
    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v2", "web:v1"]);
    course.assert_never_below(2).await;
}

/// v1 serves, v2 to v6 go through the preview, v6 is promoted; then v1 is gone back to, whatever the history may hold.
async fn much_was_only_looked_at(name: &str, limit: i32) {
    let lab = Lab::new(name).await;
    let mut spec = blue_green(json!({"scaleDownDelaySeconds": 0}));
    spec["revisionHistoryLimit"] = limit.into();
    lab.deploy(spec).await;
    for version in 2..=6 {
        lab.preview(&format!("web:v{version}")).await;
    }
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("v6 serves, v1 is down", |now| now.is_healthy_on("web:v6") && now.replicas_of_image("web:v1") <= 0).await;
    let most = 1 + usize::try_from(limit.max(1)).expect("a few");
    let kept = lab.until("history is pruned", |now| now.sets.len() <= most).await;
    assert!(kept.hash_of_image("web:v1").is_some(), "what served last is kept");
    let course = Course::start(&lab, "web-active").await;
    lab.greenlight(&["undo", "web", "--timeout", "30s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v6", "web:v1"]);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_served_is_kept_before_what_was_only_looked_at() {
    much_was_only_looked_at("historyserved", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_served_last_is_kept_even_without_a_history() {
    much_was_only_looked_at("historynone", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_about_to_serve_when_the_operator_died_is_not_gone_back_to() {
    let mut lab = Lab::new("neverserved").await;
    lab.deploy(long_delay()).await;
    let v2 = hash_of(&lab.preview("web:v2").await, "web:v2");
    let course = Course::start(&lab, "web-active").await;
    // It does all that comes before the switch, and dies.
    lab.kill_operator();
    let fate = |write: &Write| if write.path.ends_with("/services/web-active") { Fate::Lost } else { Fate::Passed };
    let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
    lab.start_operator_with(&proxy.kubeconfig("neverserved").expect("a kubeconfig"), &[]);
    lab.greenlight(&["promote", "web", "--no-wait"]).expect("asked");
    proxy.withheld().await;
    lab.kill_operator();
    lab.set_image("web:v3").await;
    lab.start_operator_with(&operator_kubeconfig(), &[]);
    lab.until("v3 waits", |now| now.waits_in_preview("web:v3")).await;
    assert_eq!(course.images().await, ["web:v1"]);
    lab.greenlight(&["promote", "web"]).expect("promoted");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;

    lab.greenlight(&["undo", "web", "--timeout", "20s"]).expect("undone");
    assert_eq!(course.images().await, ["web:v1", "web:v3", "web:v1"]);
    course.assert_never_below(2).await;
    // Nor if it is asked for by name.
    let request = greenlight_api::Request {
        action: Verb::Rollback,
        revision: lab.now().await.status().active_revision,
        to: Some(v2),
        by: "ann".to_owned(),
        at: jiff::Timestamp::now(),
        reason: None,
    };
    lab.annotate_request(&request.to_value()).await;
    let answer = lab.answered().await;
    assert!(!answer.accepted && answer.answer.contains("never"), "{}", answer.answer);
    lab.settled().await;
    assert_eq!(course.images().await, ["web:v1", "web:v3", "web:v1"]);
}

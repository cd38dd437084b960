//! Beside a real Argo Rollouts controller: each leaves alone what is the other's, and production moves from one to the other and
//! back under a watch of its endpoints, which are always there and always of one version.

mod argo_rollouts;
mod fifty;
mod production;

use std::time::Duration;

use greenlight_api::names;
use greenlight_e2e::{Lab, Snapshot, cluster, eventually, rollout};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use production::Production;
use serde_json::json;

/// So long nothing may happen where nothing is to happen.
const QUIET: Duration = Duration::from_secs(3);

/// The ReplicaSet that a Service leads to.
fn set_behind(now: &Snapshot, service: &str) -> String {
    let hash = now.hash_of(service).expect("a hash");
    now.set(&hash).unwrap_or_else(|| panic!("no ReplicaSet of {hash}")).name_any()
}

/// The Argo Rollout whose name stands on a Service.
fn argo_on(now: &Snapshot, service: &str) -> Option<String> {
    now.services[service].annotations().get(names::MANAGED_BY_ARGO).cloned()
}

/// Lets the Services of a lab go by hand, as docs/migrating.md says.
fn let_go(lab: &Lab) {
    lab.kubectl(&["annotate", "services", "web-active", "web-preview", &format!("{}-", names::MANAGED_BY_ARGO)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_an_argo_rollout_is_left_alone_until_it_is_let_go() {
    let lab = Lab::new("handover").await;
    let _argo = argo_rollouts::start(&lab);
    argo_rollouts::deploy(&lab, json!({})).await;
    lab.until_endpoints("web-active", 2).await;
    let theirs = set_behind(&lab.now().await, "web-active");
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    let (_, mark) = lab.audit();

    let file = cluster().dir().join("handover.json");
    std::fs::write(&file, rollout(json!({})).to_string()).expect("written");
    let plan = lab.greenlight(&["plan", "--file", &file.display().to_string()]).expect("planned");
    assert!(plan.contains("Service web-active is moved by the Argo Rollout web."), "{plan}");
    lab.apply(&rollout(json!({}))).expect("applied");
    let claimed = lab.until("says so", |now| now.condition("Stalled") == "True/ServiceClaimed").await;
    assert!(
        claimed.message().contains("Service web-active is moved by the Argo Rollout web."),
        "{}",
        claimed.message()
    );
    let (code, doctor) = lab.greenlight(&["doctor", "web"]).expect_err("something is to be done");
    assert!(code == 2 && doctor.contains("remove the annotation"), "{doctor}");
    lab.until("the first revision is ready", |now| now.ready_pods_of_image("web:v1").len() == 4).await;
    lab.throughout(QUIET, "nothing moves", |now| set_behind(now, "web-active") == theirs).await;
    let writes = lab.operator_writes(mark, "services").await;
    assert!(writes.is_empty(), "it touches nothing: {writes:#?}");

    argo_rollouts::pause(&lab, "web", true);
    let_go(&lab);
    let moved = lab.until("production moves", |now| now.phase() == "Healthy").await;
    let ours = set_behind(&moved, "web-active");
    assert_ne!(ours, theirs);
    lab.throughout(QUIET, "Argo's controller leaves it alone", |now| {
        set_behind(now, "web-active") == ours && argo_on(now, "web-active").is_none()
    })
    .await;
    lab.kubectl(&["delete", "rollouts.argoproj.io", "web"]);
    lab.until("its pods go", |now| now.pods.len() == 2).await;
    lab.throughout(QUIET, "nothing moves", |now| set_behind(now, "web-active") == ours).await;
    assert_eq!(production.course("web-active").await, [theirs, ours]);
    lab.release("web:v2").await;
    assert_eq!(production.course("web-active").await.len(), 3);
}

/// The simple way, by hand: Argo's controller is stopped, and comes back while its Rollout still names the Service.
#[tokio::test(flavor = "multi_thread")]
async fn an_argo_rollout_that_is_not_paused_takes_its_service_back_once_and_there_is_no_fight() {
    let lab = Lab::new("comeback").await;
    let mut argo = argo_rollouts::start(&lab);
    let auto = json!({"strategy": {"blueGreen": {"autoPromotionEnabled": true}}});
    argo_rollouts::deploy(&lab, auto).await;
    lab.until_endpoints("web-active", 2).await;
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    let theirs = set_behind(&lab.now().await, "web-active");
    argo.kill();
    let_go(&lab);
    lab.deploy(json!({})).await;
    let ours = set_behind(&lab.now().await, "web-active");
    assert_ne!(ours, theirs);

    let _argo = argo_rollouts::start(&lab);
    let taken = lab.until("taken back", |now| argo_on(now, "web-active").is_some()).await;
    assert_eq!(set_behind(&taken, "web-active"), theirs);
    lab.until("says so", |now| now.condition("Stalled") == "True/ServiceClaimed").await;
    lab.throughout(QUIET, "no fight", |now| set_behind(now, "web-active") == theirs).await;
    let settled = lab.now().await;
    assert_eq!(settled.ready_pods_of_image("web:v1").len(), 4, "our pods stay");

    // Let go properly, it comes home at once.
    argo_rollouts::pause(&lab, "web", true);
    let_go(&lab);
    lab.until("home again", |now| now.phase() == "Healthy" && set_behind(now, "web-active") == ours).await;
    lab.throughout(QUIET, "and stays", |now| set_behind(now, "web-active") == ours).await;
    assert_eq!(production.course("web-active").await, [theirs.clone(), ours.clone(), theirs, ours]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_to_an_argo_rollout() {
    let lab = Lab::new("wayback").await;
    let _argo = argo_rollouts::start(&lab);
    argo_rollouts::deploy(&lab, json!({})).await;
    lab.until_endpoints("web-active", 2).await;
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    let theirs = set_behind(&lab.now().await, "web-active");
    argo_rollouts::pause(&lab, "web", true);
    let_go(&lab);
    lab.deploy(json!({})).await;
    let ours = set_behind(&lab.now().await, "web-active");

    // As long as the Argo Rollout is there: it is resumed.
    argo_rollouts::pause(&lab, "web", false);
    lab.until("taken", |now| argo_on(now, "web-active").is_some() && set_behind(now, "web-active") == theirs).await;
    lab.until("says so", |now| now.condition("Stalled") == "True/ServiceClaimed").await;
    // And there again.
    argo_rollouts::pause(&lab, "web", true);
    let_go(&lab);
    lab.until("home again", |now| now.phase() == "Healthy" && set_behind(now, "web-active") == ours).await;
    lab.kubectl(&["delete", "rollouts.argoproj.io", "web"]);
    lab.until("its pods go", |now| now.pods.len() == 2).await;

    // Once it is gone, it is added again. It takes the Service when its pods are available.
    argo_rollouts::deploy(&lab, json!({})).await;
    let taken = lab.now().await;
    assert_eq!(argo_on(&taken, "web-active").as_deref(), Some("web"));
    lab.until("says so", |now| now.condition("Stalled") == "True/ServiceClaimed").await;
    lab.kubectl(&["delete", "bgr", "web"]);
    let after = lab.until("its pods go", |now| now.pods.len() == 2).await;
    assert!(!after.services["web-active"].annotations().contains_key(names::MANAGED_BY), "no mark of ours is left");
    lab.throughout(QUIET, "it stays", |now| set_behind(now, "web-active") == theirs).await;
    let course = production.course("web-active").await;
    assert_eq!(course, [&theirs, &ours, &theirs, &ours, &theirs].map(String::clone));
}

/// Argo's controller cleans a Service that names an Argo Rollout which is not there: ours loses its hash, and has it back at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_forged_on_a_service_of_ours_holds_nothing_up() {
    let lab = Lab::new("forged").await;
    let argo = argo_rollouts::start(&lab);
    lab.deploy(json!({})).await;
    lab.until_endpoints("web-active", 2).await;
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    lab.kubectl(&["annotate", "service", "web-active", &format!("{}=ghost", names::MANAGED_BY_ARGO)]);
    lab.until("Argo's controller has cleaned it", |now| argo_on(now, "web-active").is_none()).await;
    lab.until("the hash is back", |now| now.image_of("web-active") == "web:v1").await;
    // With Argo's controller stopped the name stays.
    drop(argo);
    lab.kubectl(&["annotate", "service", "web-active", &format!("{}=ghost", names::MANAGED_BY_ARGO)]);
    lab.release("web:v2").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    lab.until("undone", |now| now.image_of("web-active") == "web:v1").await;
    assert_eq!(argo_on(&lab.now().await, "web-active").as_deref(), Some("ghost"), "it is not ours to take away");
    assert_eq!(production.course("web-active").await.len(), 3, "v1, v2, v1");
}

/// Both in one namespace, under one label of the hash: neither touches what is the other's.
#[tokio::test(flavor = "multi_thread")]
async fn each_leaves_alone_what_is_the_others() {
    let lab = Lab::new("beside").await;
    let argo = argo_rollouts::start(&lab);
    for name in ["shop-active", "shop-preview", "cart-stable", "cart-canary"] {
        let app = name.split_once('-').expect("it has two parts").0;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        lab.apply(&service).expect("applied");
    }
    lab.apply(&theirs(
        "shop",
        json!({"blueGreen": {"activeService": "shop-active", "previewService": "shop-preview"}}),
    ))
    .expect("applied");
    let steps = json!([{"setWeight": 50}, {"pause": {}}]);
    let canary = json!({"canary": {"stableService": "cart-stable", "canaryService": "cart-canary", "steps": steps}});
    lab.apply(&theirs("cart", canary)).expect("applied");
    lab.deploy(json!({})).await;
    argo_rollouts::until_healthy(&lab, "shop").await;
    argo_rollouts::until_healthy(&lab, "cart").await;
    let production = Production::watch(lab.api::<EndpointSlice>()).await;
    let before = lab.now().await;
    let (_, mark) = lab.audit();

    // Each releases.
    for name in ["shop", "cart"] {
        let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "theirs:v2"}]);
        lab.kubectl(&["patch", "rollouts.argoproj.io", name, "--type=json", "-p", &patch.to_string()]);
    }
    lab.release("web:v2").await;
    let cart = |now: &Snapshot| now.hash_of("cart-canary") != now.hash_of("cart-stable");
    lab.until("theirs moved", |now| cart(now) && now.hash_of("shop-active") != before.hash_of("shop-active")).await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    // Argo's controller looks at every Service that selects a hash, and cleans those that no Rollout names: of ours it takes away an
    // annotation that is not there.
    eventually("it looked at ours", async || {
        argo.log().contains("cleaned service") && argo.log().contains("service=web-active")
    })
    .await;
    lab.throughout(QUIET, "ours has its hash", |now| now.image_of("web-active") == "web:v1").await;

    let of = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let writes = cluster().audit().since(mark).expect("the audit log");
    let is_write = |verb: &str| !["get", "list", "watch"].contains(&verb);
    for write in writes.iter().filter(|write| write.namespace == "beside" && is_write(&write.verb)) {
        let objects = ["services", "replicasets", "pods"].contains(&write.resource.as_str());
        let ours = write.user_agent.starts_with("greenlight/");
        assert!(!objects || !ours || of(&write.name) == "web" || write.name.is_empty(), "ours wrote to {write:?}");
        let cleaned = write.resource == "services" && write.verb == "patch";
        let theirs = write.user_agent.starts_with("argo-rollouts/");
        assert!(!objects || !theirs || of(&write.name) != "web" || cleaned, "Argo Rollouts wrote to {write:?}");
    }
    let after = lab.now().await;
    let versions: Vec<_> = ["web-active", "web-preview"].map(|name| after.hash_of(name)).into();
    assert!(versions.iter().all(Option::is_some), "the hash was never lost: {versions:?}");
    assert_eq!(production.course("web-active").await.len(), 3, "there and back");
    production.course("shop-active").await;
    drop(argo);
}

/// An Argo Rollout of another name.
fn theirs(name: &str, strategy: serde_json::Value) -> serde_json::Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}}, "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "theirs:v1"}]},
            },
        },
    })
}

//! What `doctor` finds stands beside the thing that it is about, in the same words. What it finds of each fault is shown in the suite
//! promises, `doctor`. A rollout that nobody can read is in the list, too.

use std::time::Duration;

use greenlight_e2e::{Door, Lab, cluster, ingress, rollout};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// The symptoms that `doctor` tells.
fn symptoms(lab: &Lab) -> Vec<String> {
    let told = match lab.greenlight(&["doctor", "web", "-o", "json"]) {
        Ok(told) | Err((2, told)) => told,
        Err((code, told)) => panic!("{code}: {told}"),
    };
    let told: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    told.iter().filter_map(|finding| finding["symptom"].as_str().map(str::to_lowercase)).collect()
}

/// The symptoms that the page shows in a part of it.
fn shown(browser: &Browser, part: &str) -> Vec<String> {
    let all =
        format!("return [...document.querySelectorAll('{part} .finding strong')].map(found => found.textContent)");
    let all: Vec<String> = serde_json::from_value(browser.run(&all)).expect("texts");
    all.iter().map(|symptom| symptom.trim_end_matches('.').to_lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_doctor_finds_stands_beside_what_it_is_about() {
    let lab = Lab::new("found").await;
    lab.apply(&crate::release::ingress()).expect("applied");
    lab.deploy(json!({})).await;
    // A command that is copied acts on the cluster that is on the page, whichever is the current one by then.
    let dashboard = Dashboard::local("found-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("found-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/found/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    assert_eq!(shown(&browser, "#rollout"), [""; 0], "nothing is wrong");

    // A pod that does not start, a port that no pod has, an Ingress that leads nowhere, a request that was refused.
    lab.set_target_port("web-active", "https");
    lab.apply(&ingress(&[("shop.example.com", "web-active", 80), ("preview.shop.example.com", "web-preview", 8081)]))
        .expect("applied");
    lab.annotate_request("retry").await;
    lab.set_template("web:v2", &[(BEHAVIOUR, "image")]).await;
    let beside = [
        ("#head", "the last request was refused"),
        (".lane[aria-label=Production] .service", "service web-active does not answer on port 80"),
        (".lane[aria-label=Preview] .service", "ingress web does not reach service web-preview"),
        (".lane[aria-label=Starting] .podlist", "cannot pull web:v2"),
    ];
    for (part, symptom) in beside {
        let is_there = || shown(&browser, part).iter().any(|found| found.contains(symptom));
        browser.until(&format!("{symptom:?} in {part}"), is_there);
    }
    let command = "kubectl greenlight set image web web=IMAGE -n found --context greenlight-test";
    assert!(browser.text().contains(command), "and what mends it: {}", browser.text());
    browser.fit(1280, "#picture", false);
    browser.picture("findings");
    let same = || {
        let (mut doctor, mut page) = (symptoms(&lab), shown(&browser, "#rollout"));
        doctor.sort();
        page.sort();
        doctor == page
    };
    browser.until("doctor says the same", same);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_cannot_be_read_hides_no_other() {
    let lab = Lab::without_operator("hidden").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    // The CRD takes no such object; an older one did.
    let path = format!("/apis/greenlight.dev/v1alpha1/namespaces/{}/bluegreenrollouts", lab.namespace);
    let mut listed: Value = serde_json::from_str(&lab.kubectl(&["get", "--raw", &path])).expect("JSON");
    let mut bad = listed["items"][0].clone();
    bad["metadata"]["name"] = "bad".into();
    bad["spec"]["restartAt"] = "9999-12-31T23:59:59Z".into();
    listed["items"].as_array_mut().expect("a list").push(bad);
    let listed = listed.to_string();
    let is_list = |uri: &str| uri.split('?').next().is_some_and(|path| path.ends_with("/bluegreenrollouts"));
    let instead = move |uri: &str| (is_list(uri) && !uri.contains("watch=true")).then(|| (200, listed.clone()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let dashboard = Dashboard::local("hidden-dashboard", &cluster().kubeconfig(), &["--server", &door.url()]);
    let browser = Browser::start("hidden-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/?namespace=hidden"));
    browser.reads("It cannot be read: spec.restartAt");
    assert!(browser.has("a.name[href='/n/hidden/web']"), "{}", browser.text());
}

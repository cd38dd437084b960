//! What `doctor` finds stands beside the thing that it is about, in the same words.

use greenlight_e2e::{Lab, cluster};
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
    let dashboard = Dashboard::local("found-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("found-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/found/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    assert_eq!(shown(&browser, "#rollout"), [""; 0], "nothing is wrong");

    // A pod that does not start, a port that no pod has, an Ingress that leads nowhere, a request that was refused.
    lab.kubectl(&[
        "patch",
        "service",
        "web-active",
        "--type=json",
        "-p",
        r#"[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "https"}]"#,
    ]);
    let mut lost = crate::release::ingress();
    lost["spec"]["rules"][1]["http"]["paths"][0]["backend"]["service"]["port"]["number"] = json!(8081);
    lab.apply(&lost).expect("applied");
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
    assert!(browser.text().contains("kubectl greenlight set image web"), "and what mends it");
    browser.shape(1280, 900, false);
    browser.picture("findings");
    let same = || {
        let (mut doctor, mut page) = (symptoms(&lab), shown(&browser, "#rollout"));
        doctor.sort();
        page.sort();
        doctor == page
    };
    browser.until("doctor says the same", same);
}

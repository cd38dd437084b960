//! A release by clicks.

use greenlight_e2e::{Lab, cluster, rollout};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// The hosts of the guide.
pub fn ingress() -> Value {
    greenlight_e2e::ingress(&[("shop.example.com", "web-active", 80), ("preview.shop.example.com", "web-preview", 80)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_release_is_driven_by_clicks_from_the_first_deployment_to_the_undo() {
    let lab = Lab::new("clicked").await;
    lab.apply(&ingress()).expect("applied");
    let dashboard = Dashboard::local("clicked-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("clicked-browser");
    browser.open(&dashboard.printed);
    browser.until("the list", || browser.has("#list"));
    assert!(!browser.url().contains("key="), "the key does not stay in the address: {}", browser.url());
    browser.open(&dashboard.url("/?namespace=clicked"));
    browser.reads("Rollouts: 0");

    // The list is live: the rollout comes, and is healthy.
    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}}))).expect("applied");
    browser.until("healthy", || browser.has(".row .phase.healthy"));
    browser.click(".row a.name");
    browser.until("the hosts", || browser.text().contains("shop.example.com"));
    assert!(browser.url().ends_with("/n/clicked/web"));

    // A second page, which nobody touches.
    let first = browser.window();
    let second = browser.open_window();
    browser.open(&dashboard.url("/n/clicked/web"));
    browser.go_to_window(&first);

    lab.set_image("web:v2").await;
    browser.until("it waits", || browser.has("a.button.promote") && browser.has("#head .phase.paused"));
    browser.until("what is new", || browser.text().contains("spec.containers[web].image"));
    browser.picture("waiting");
    browser.click("a.button.promote");
    browser.until("the forecast", || browser.text().contains("point Service web-active at"));
    browser.picture("confirm");
    browser.write("#reason", "tested with the team");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    browser.click("dialog [data-close]");
    browser.until("promoted", || browser.has("#head .phase.healthy") && browser.has("[aria-label='Kept for a while']"));
    let now = lab.now().await;
    assert_eq!(now.image_of("web-active"), "web:v2");
    browser.reads("tested with the team");
    browser.picture("promoted");

    browser.go_to_window(&second);
    browser.until("the second page followed", || browser.has("[aria-label='Kept for a while']"));
    browser.go_to_window(&first);

    browser.click("#head a.button.undo");
    browser.until("the forecast", || browser.text().contains("What will happen"));
    browser.write("#reason", "the basket is empty");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    browser.click("dialog [data-close]");
    browser.until("undone", || browser.text().contains("the basket is empty") && browser.has("#head .phase.degraded"));
    let now = lab.until("undone", |now| now.image_of("web-active") == "web:v1").await;
    let rejection = now.rejection_of_image("web:v2").expect("rejected");
    assert!(rejection.reason.contains("the basket is empty"), "{}", rejection.reason);
    let steps = browser
        .run("return [...document.querySelectorAll('.steps .done .label')].map(step => step.textContent)")
        .to_string();
    assert!(steps.contains("Traffic is moved") && steps.contains("The move is proven"), "it did serve: {steps}");
    browser.until("the way back is over", || browser.has("[aria-label='Kept for a while']"));
    assert!(!browser.has("#head .finding"), "what was wanted is no fault: {}", browser.text());
    browser.fit(1280, "#steps", false);
    browser.picture("undone");

    browser.click("#head a.button.retry");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    browser.click("dialog [data-close]");
    browser.until("it waits again", || browser.has("#head a.button.promote"));
    browser.click("#head a.button.pause");
    browser.until("the forecast", || browser.has("dialog .forecast"));
    browser.write("#reason", "the sale has begun");
    browser.click("dialog .go");
    browser.reads("holds back every promotion");
    browser.click("dialog [data-close]");
    browser.until("it can be resumed", || browser.has("#head a.button.resume"));
    browser.reads("paused by admin: the sale has begun");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

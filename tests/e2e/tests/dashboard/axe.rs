//! What axe-core finds in each page, in the light and in the dark: nothing.

use greenlight_e2e::{Lab, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// The script of axe-core. `None`: it cannot be fetched, and what takes it may be skipped.
pub fn script() -> Option<String> {
    match greenlight_test_cluster::axe_core() {
        Ok(script) => Some(std::fs::read_to_string(script).expect("the script")),
        Err(error) if std::env::var_os("GREENLIGHT_SKIP_NOTHING").is_none() => {
            eprintln!("skipped: axe-core cannot be fetched: {error:#}");
            None
        }
        Err(error) => panic!("axe-core cannot be fetched: {error:#}"),
    }
}

/// Runs axe-core in the page that is open, in both schemes of colours.
pub fn finds_nothing(browser: &Browser, axe: &str, page: &str) {
    for dark in [false, true] {
        browser.shape(1280, 900, dark);
        // Not by the page itself, whose policy runs no script of others.
        browser.run(axe);
        let found = browser.run_async(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then( \
             found => done(found.violations.map(v => v.id + ': ' + v.help + '\\n' + \
             v.nodes.map(n => n.html + '\\n' + n.failureSummary).join('\\n'))), \
             error => done(['' + error]))",
        );
        assert_eq!(found, json!([]), "{page}, {}", if dark { "in the dark" } else { "in the light" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_on_any_page() {
    let Some(axe) = script() else { return };
    let lab = Lab::new("axe").await;
    lab.apply(&crate::release::ingress()).expect("applied");
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let dashboard = Dashboard::local("axe-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("axe-browser");
    browser.open(&dashboard.printed);
    let look = |page: &str, path: &str, is_there: &str| {
        browser.open(&dashboard.url(path));
        browser.until(page, || browser.has(is_there));
        finds_nothing(&browser, &axe, page);
    };
    look("healthy", "/n/axe/web", "#head .phase.healthy");
    lab.preview("web:v2").await;
    look("the list", "/?namespace=axe", ".row .phase.paused");
    look("an empty list", "/?q=nothing-like-this", "#none:not([hidden])");
    look("waiting", "/n/axe/web", "#head a.button.promote");
    browser.click("#head a.button.promote");
    browser.until("the dialog", || browser.has("dialog[open] .forecast"));
    finds_nothing(&browser, &axe, "the dialog");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    finds_nothing(&browser, &axe, "the answer");
    look("promoted", "/n/axe/web", "[aria-label='Kept for a while']");
    lab.set_template("web:v3", &[(BEHAVIOUR, "image")]).await;
    look("in trouble", "/n/axe/web", ".podlist .finding");
    let pod = lab.now().await.ready_pods_of_image("web:v2").into_iter().next().expect("a pod");
    look("logs", &format!("/n/axe/web/logs/{pod}"), "#log");
    look("YAML", "/n/axe/web/yaml", "#yaml-text");
    look("not there", "/n/axe/nothing", ".notice.bad");
    let shared = Dashboard::shared("axe-shared", &[]);
    browser.open(&shared.url("/"));
    browser.reads("Sign in with a token");
    finds_nothing(&browser, &axe, "signing in");
}

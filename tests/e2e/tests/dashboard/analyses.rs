//! Analyses on the page of a rollout: while they run, when they are good, and when they are bad, with what was measured and where the limit
//! is.

use greenlight_e2e::{Lab, Web, cluster};
use serde_json::{Value, json};

use crate::axe::{finds_nothing, script};
use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// A template that measures so often, and is good with less than five errors.
fn template(web: &Web, count: u32) -> Value {
    let metric = json!({
        "name": "errors", "interval": "1s", "count": count, "successCondition": "result < 5",
        "provider": {"web": {"url": web.url()}},
    });
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "errors"},
        "spec": {"metrics": [metric], "measurementRetention": [{"metricName": "errors", "limit": 1000}]},
    })
}

/// What the page shows of the analysis of a revision: its outcome, what its chart is called, where in it the line of the limit is, and where
/// the last measurement. Counted from the top, and null as long as it is not there.
fn shown(browser: &Browser, hash: &str) -> (String, String, f64, f64) {
    let found = browser.run(&format!(
        "const run = [...document.querySelectorAll('.run')].find(run => run.querySelector('h3').textContent.includes('{hash}')); \
         const chart = run?.querySelector('.chart'); \
         const last = chart?.querySelector('polyline').getAttribute('points').split(' ').pop().split(',')[1]; \
         return [run?.querySelector('.phase').textContent ?? '', chart?.getAttribute('aria-label') ?? '', \
                 Number(chart?.querySelector('.limit')?.getAttribute('y1') ?? -1), Number(last ?? -1)]"
    ));
    serde_json::from_value(found).expect("four of them")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_is_seen_while_it_runs_when_it_is_good_and_when_it_is_bad() {
    let lab = Lab::new("charted").await;
    let web = Web::start("2").await;
    lab.apply(&template(&web, 3)).expect("applied");
    let analysis = json!({"templates": [{"templateName": "errors"}]});
    lab.deploy(json!({"strategy": {"blueGreen": {"prePromotionAnalysis": analysis, "scaleDownDelaySeconds": 600}}}))
        .await;
    let dashboard = Dashboard::local("charted-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("charted-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/charted/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    let axe = script();
    let look = |page: &str| {
        if let Some(axe) = &axe {
            finds_nothing(&browser, axe, page);
        }
    };

    // Good: what was measured is below the limit.
    lab.set_image("web:v2").await;
    browser.until("it waits for a person", || browser.has("#head .phase.paused"));
    let hash = lab.now().await.hash_of("web-preview").expect("it is there");
    browser.until("it was good", || shown(&browser, &hash).0 == "Successful");
    let (_, label, limit, last) = shown(&browser, &hash);
    assert_eq!(label, "errors: 3 measurements from 2 to 2, limit 5");
    assert!(0.0 <= limit && limit < last && last <= 48.0, "limit at {limit}, last at {last}");
    browser.reads("3 good, 0 bad");
    let step = "return [...document.querySelectorAll('.steps li')].map(step => step.textContent) \
                .find(step => step.includes('Analysis before the promotion'))";
    assert!(browser.run(step).to_string().contains("passed"), "{}", browser.text());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    look("an analysis that was good");

    // Running: the page follows, and whoever cannot wait for its end does not.
    lab.apply(&template(&web, 1000)).expect("applied");
    lab.set_image("web:v3").await;
    let now = lab.until("v3 in preview", |now| now.image_of("web-preview") == "web:v3").await;
    let hash = now.hash_of("web-preview").expect("it is there");
    browser.until("it runs", || shown(&browser, &hash).0 == "Running");
    let first = || shown(&browser, &hash).1;
    browser.until("there is a chart", || first().contains("limit 5"));
    let before = first();
    browser.until("it grows", || first() != before);
    assert!(browser.run(step).to_string().contains("running"), "{}", browser.text());
    // What axe looks at is not to change under its eyes.
    let looks_away = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true}); \
                      document.dispatchEvent(new Event('visibilitychange'))";
    browser.run(looks_away);
    look("an analysis that runs");
    browser.open(&dashboard.url("/n/charted/web"));
    browser.click("#head a.button.promote-full");
    browser.until("the forecast", || browser.has("dialog[open] .forecast"));
    browser.write("#reason", "the old one is down");
    browser.click("dialog .go");
    browser.reads("Promote without waiting: the operator does it");
    // "Promoting revision 3 (…)", or that it is active by now.
    browser.reads("evision 3 (");
    browser.click("dialog [data-close]");
    lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    browser.reads("without waiting: “the old one is down”");

    // Bad: the last measurement is above the limit, and that is why nobody is asked to promote it.
    lab.set_image("web:v4").await;
    let now = lab.until("v4 in preview", |now| now.image_of("web-preview") == "web:v4").await;
    let hash = now.hash_of("web-preview").expect("it is there");
    browser.until("there is a chart", || shown(&browser, &hash).1.contains("limit 5"));
    web.answer("9");
    browser.until("it was bad", || shown(&browser, &hash).0 == "Failed");
    let (_, label, limit, last) = shown(&browser, &hash);
    assert!(label.ends_with("measurements from 2 to 9, limit 5"), "{label}");
    assert!(0.0 <= last && last < limit && limit <= 48.0, "limit at {limit}, last at {last}");
    browser.until("it is rejected", || browser.has("#head .phase.degraded") && browser.has("#head a.button.retry"));
    browser.reads("pre-promotion analysis failed: metric errors");
    assert!(!browser.has("#head a.button.promote"), "{}", browser.text());
    look("an analysis that was bad");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v3");
}

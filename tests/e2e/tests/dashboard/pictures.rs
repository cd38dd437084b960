//! The pictures of the documents, and that each page can be read by everybody: `GREENLIGHT_PICTURES=1` keeps them in docs/pictures.

use std::time::Duration;

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Door, Lab, Web, cluster, eventually, rollout};
use greenlight_test_cluster::BEHAVIOUR;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// A rollout of its own name, of the team that has its namespace.
fn new(team: &str, name: &str, image: &str, spec: Value) -> Value {
    let mut object = rollout(spec);
    object["metadata"]["name"] = json!(name);
    object["metadata"]["labels"] = json!({"team": team});
    object["spec"]["selector"]["matchLabels"]["app"] = json!(name);
    object["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    object
}

/// Workers have no Service.
fn worker(more: Value) -> Value {
    let mut spec = json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}});
    greenlight_e2e::merge(&mut spec, &more);
    spec
}

/// Asks for another image of a rollout, whose pods behave so.
async fn set_image(lab: &Lab, name: &str, image: &str, behaviour: Option<&str>) {
    let annotations = behaviour.map_or_else(|| json!({}), |behaviour| json!({BEHAVIOUR: behaviour}));
    let patch = json!([
        {"op": "add", "path": "/spec/template/metadata/annotations", "value": annotations},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
    lab.api::<BlueGreenRollout>().patch(name, &PatchParams::default(), &patch).await.expect("patched");
}

/// In the pictures of the documents not everything has happened within one minute.
async fn pass(seconds: u64) {
    if std::env::var_os("GREENLIGHT_PICTURES").is_some() {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// What a Service leads to now, written once more by another hand: until this slice is deleted, two of these endpoints stay, wherever the
/// Service is moved to.
async fn keep_endpoints(lab: &Lab, service: &str) {
    let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = lab.api::<EndpointSlice>().list(&labelled).await.expect("slices").items;
    let slice = serde_json::to_value(slices.first().expect("a slice")).expect("JSON");
    let endpoints: Vec<Value> = slice["endpoints"].as_array().into_iter().flatten().take(2).cloned().collect();
    assert_eq!(endpoints.len(), 2, "{slice}");
    let labels = json!({"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "slow"});
    let kept = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "kept", "labels": labels},
        "addressType": slice["addressType"], "ports": slice["ports"], "endpoints": endpoints,
    });
    lab.apply(&kept).expect("applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_the_documents_are_of_real_releases() {
    let (lab, payments) = (Lab::new("shop").await, Lab::new("payments").await);
    lab.apply(&crate::release::ingress()).expect("applied");
    // Its release is not given pods, and does not wait for them long.
    let impatient = worker(json!({"progressDeadlineSeconds": 5}));
    for (team, name, image, spec) in [
        (&lab, "billing", "billing:v7", worker(json!({}))),
        (&lab, "mailer", "mailer:v3", worker(json!({}))),
        (&lab, "search", "search:v12", impatient),
        (&payments, "invoices", "invoices:v2", worker(json!({}))),
        (&payments, "ledger", "ledger:v4", worker(json!({}))),
    ] {
        team.apply(&new(&team.namespace, name, image, spec)).expect("applied");
    }
    let web = json!({"replicas": 4, "strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}});
    lab.apply(&new("shop", "web", "web:v1", web)).expect("applied");

    let dashboard = Dashboard::local("pictures-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("pictures-browser");
    browser.open(&dashboard.printed);
    let of_both_teams = dashboard.url("/?label=team+in+%28shop%2Cpayments%29");
    let number = |selector: &str| browser.run(&format!("return document.querySelectorAll(\"{selector}\").length"));
    browser.open(&of_both_teams);
    browser.until("all are there", || number(".row .phase.healthy") == 6);
    pass(80).await;
    set_image(&lab, "billing", "billing:v8", None).await;
    set_image(&payments, "ledger", "ledger:v5", None).await;
    browser.until("two wait", || number(".row.turn0") == 2);
    payments
        .greenlight(&["abort", "ledger", "--no-wait", "--reason", "the totals of the dry run are wrong"])
        .expect("asked for");
    lab.preview("web:v2").await;
    // What cannot start: a quota leaves no room for more pods than there are.
    lab.limit_pods(16).await;
    let used = ["get", "resourcequota", "pods", "-o", "jsonpath={.status.used.pods}"];
    eventually("the quota is counted", async || lab.kubectl(&used) == "16").await;
    set_image(&lab, "search", "search:v13", None).await;
    set_image(&payments, "invoices", "invoices:v3", Some("hang")).await;
    pass(65).await;
    let states = || ["0", "1", "2", "3"].map(|turn| number(&format!(".row.turn{turn}")).as_u64().unwrap_or_default());
    browser.until("all states", || states() == [2, 2, 1, 1]);
    let namespaces =
        "return [...new Set([...document.querySelectorAll('.row .namespace')].map(e => e.textContent))].sort()";
    assert_eq!(browser.run(namespaces), json!(["payments", "shop"]), "both namespaces are in one list");
    browser.fit(1280, "#list", false);
    browser.picture("list");

    browser.shape(1280, 860, false);
    browser.open(&dashboard.url("/n/shop/web"));
    browser.until("it waits", || browser.has("a.button.promote"));
    browser.fit(1280, "#steps", false);
    browser.picture("rollout");
    browser.fit(1280, "#steps", true);
    browser.picture("dark");
    browser.shape(390, 844, false);
    browser.run("scrollTo(0, 0)");
    browser.picture("phone");
    let wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
    assert_eq!(wide, false, "nothing is wider than a phone");

    // The switch, while its endpoints are not yet all of the new revision.
    keep_endpoints(&lab, "web-active").await;
    browser.shape(1280, 860, false);
    browser.click("a.button.promote");
    browser.until("the forecast", || browser.has("dialog .forecast"));
    browser.write("#reason", "tested with the team");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    browser.click("dialog [data-close]");
    let dots = |colour: &str| number(&format!(".lane[aria-label=Production] .dot.{colour}"));
    let now = "return document.querySelector('.steps .now .label')?.textContent ?? ''";
    browser.until("it is being proven", || {
        dots("green") == 4
            && dots("blue") == 2
            && browser.text().contains("Moved to revision 2")
            && browser.run(now) == "The move is proven by the endpoints"
    });
    browser.fit(1280, "#steps", false);
    browser.picture("switched");
    lab.kubectl(&["delete", "endpointslice", "kept"]);
    browser.until("proven", || browser.has("#head .phase.healthy") && dots("blue") == 0);
    // A pod of production that is not ready is no health, as soon as the operator has heard of it.
    let pods = lab.now().await.ready_pods_of_image("web:v2");
    lab.set_readiness(pods.iter().take(1).cloned(), false).await;
    browser.until("it is told", || browser.has(".dot.hollow") && browser.has("#head .phase.moving"));
    browser.reads("3 of 4 pods of revision 2");
    lab.set_readiness(pods.iter().take(1).cloned(), true).await;
    browser.until("healthy again", || browser.has("#head .phase.healthy"));

    browser.open(&dashboard.url("/n/shop/search"));
    browser.reads("requested: pods=1, used: pods=16, limited: pods=16");
    browser.until("it has waited long enough", || browser.has("#head .phase.degraded"));
    browser.fit(1280, "#steps", false);
    browser.picture("failing");

    // Who did what, and why.
    pass(30).await;
    lab.greenlight(&["undo", "web", "--reason", "the basket is empty", "--timeout", "90s"]).expect("undone");
    browser.open(&dashboard.url("/n/shop/web"));
    browser.until("the record", || {
        let text = browser.text();
        text.contains("tested with the team") && text.contains("rolled back: the basket is empty")
    });
    browser.fit(1280, "#history", false);
    browser.picture_of("#history", "history");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_of_an_analysis_is_of_what_was_measured() {
    let lab = Lab::new("measured").await;
    let web = Web::start("0.011").await;
    let metric = json!({
        "name": "error-rate", "interval": "1s", "count": 18, "failureLimit": 3,
        "successCondition": "result < 0.05", "provider": {"web": {"url": web.url()}},
    });
    let template = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "errors"},
        "spec": {"metrics": [metric], "measurementRetention": [{"metricName": "error-rate", "limit": 100}]},
    });
    lab.apply(&template).expect("applied");
    let before = json!({"templates": [{"templateName": "errors"}]});
    lab.deploy(json!({"strategy": {"blueGreen": {"prePromotionAnalysis": before}}})).await;
    lab.set_image("web:v2").await;
    let dashboard = Dashboard::local("measured-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("measured-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/measured/web"));
    // One of them is bad, which may be.
    let rates = ["0.012", "0.009", "0.014", "0.021", "0.032", "0.058", "0.027", "0.018", "0.013"];
    for (number, rate) in rates.into_iter().enumerate() {
        web.answer(rate);
        let asked = web.questions();
        eventually("it is measured", async || web.questions() > asked + usize::from(number % 2 == 0)).await;
    }
    browser.until("it passed", || browser.text().contains("Successful"));
    browser.reads("17 good, 1 bad · good if result < 0.05");
    let message = lab.kubectl(&["get", "analysisruns", "-o", "jsonpath={.items[*].status.message}"]);
    assert_eq!(message, "error-rate 17 good, 1 bad", "the run counts what its metric counts");
    browser.until("the chart, with its limit", || browser.has("svg.chart polyline") && browser.has("svg.chart .limit"));
    browser.fit(1280, "#analyses", false);
    browser.picture_of("#analyses", "analysis");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_pod_is_a_page() {
    let lab = Lab::new("logged").await;
    let pod = lab.deploy(json!({})).await.ready_pods_of_image("web:v1").into_iter().next().expect("a pod");
    // No kubelet runs here.
    let line = |number: usize| {
        let (second, took) = (number * 3 % 60, 7 + number * 5 % 23);
        let path = ["/basket", "/", "/article/17", "/search?q=lamp"][number % 4];
        format!("2026-11-29T10:{:02}:{second:02}Z INFO  GET {path} 200 {took}ms", 12 + number * 3 / 60)
    };
    let start = "2026-11-29T10:12:00Z INFO  listening on :8080, version v1".to_owned();
    let lines: Vec<String> = std::iter::once(start).chain((1..=18).map(line)).collect();
    let text = lines.join("\n") + "\n";
    let instead = move |uri: &str| uri.split('?').next()?.ends_with("/log").then(|| (200, text.clone()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let dashboard = Dashboard::local("logged-dashboard", &cluster().kubeconfig(), &["--server", &door.url()]);
    let browser = Browser::start("logged-browser");
    browser.open(&dashboard.printed);
    browser.shape(1280, 720, false);
    browser.open(&dashboard.url(&format!("/n/logged/web/logs/{pod}")));
    browser.reads("listening on :8080");
    browser.reads("The log ends here.");
    browser.picture("logs");
}

/// What a screen reader and a keyboard need, as far as a script can tell.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_without_a_mouse_and_without_eyes() {
    let lab = Lab::new("everybody").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let dashboard = Dashboard::local("everybody-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("everybody-browser");
    browser.open(&dashboard.printed);
    let nameless = "const named = e => (e.getAttribute('aria-label') || e.textContent || (e.labels && [...e.labels].map(l => l.innerText).join('')) || '').trim(); \
                    return [...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary, [role=img], dialog')].filter(e => !named(e)).map(e => e.outerHTML)";
    let doubled = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((id, at) => ids.indexOf(id) !== at)";
    for page in ["/?q=everybody", "/?namespace=everybody", "/n/everybody/web"] {
        browser.open(&dashboard.url(page));
        browser.until("it is there", || browser.has(".row, #head h1"));
        assert_eq!(browser.run(nameless), json!([]), "{page}: everything has a name");
        assert_eq!(browser.run(doubled), json!([]), "{page}: an identity is one thing's");
        assert_eq!(browser.run("return document.querySelectorAll('h1').length"), 1, "{page}");
        assert_eq!(browser.run("return document.documentElement.lang"), "en", "{page}");
        assert_eq!(browser.run(CONTRAST), json!([]), "{page}: everything can be read");
        let loaded = browser.run(LOADED);
        assert_eq!(loaded["elsewhere"], json!([]), "{page}: nothing comes from anywhere else");
        // The script and the style are among it.
        let bytes = loaded["bytes"].as_u64().unwrap_or_default();
        assert!((20_000..MOST_BYTES).contains(&bytes), "{page}: {loaded}");
    }
    for dark in [false, true] {
        browser.shape(1280, 900, dark);
        assert_eq!(
            browser.run(ARROWS),
            json!([]),
            "arrows are seen, {}",
            if dark { "in the dark" } else { "in the light" }
        );
    }
    // By keys alone.
    browser.run("document.querySelector('#head a.promote').focus()");
    browser.press(" ");
    browser.reads("Promote revision 2 of web?");
    assert_eq!(browser.run("return document.activeElement.id"), "reason", "the focus goes into the dialog");
    browser.press("\u{e00c}");
    browser.until("closed", || !browser.has("dialog[open]"));
    browser.open(&dashboard.url("/"));
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.name"), "q");
}

/// All that a browser loads for a page: the page itself, its script and its style. Less than is allowed for the last two alone.
const MOST_BYTES: u64 = 200_000;
const LOADED: &str = "const all = performance.getEntries().filter(entry => 'encodedBodySize' in entry); \
                      const names = all.map(entry => entry.name); \
                      return {names, bytes: all.reduce((sum, entry) => sum + entry.encodedBodySize, 0), \
                              elsewhere: names.filter(name => !name.startsWith(location.origin + '/'))}";

/// The texts whose contrast with what is behind them is below 4.5, as WCAG counts it.
const CONTRAST: &str = r"
const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
const parts = c => c.match(/[\d.]+/g).map(Number);
const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > .99) return c.slice(0, 3) } return [255, 255, 255] };
const poor = [];
for (const e of document.querySelectorAll('main *, .top *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || e.closest('[disabled], option')) continue;
  const [a, b] = [light(parts(getComputedStyle(e).color).slice(0, 3)), light(behind(e))].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05);
  if (ratio < 4.5) poor.push(e.className + ' ' + e.textContent.slice(0, 30) + ' ' + ratio.toFixed(2));
}
return poor;";

/// The arrows whose contrast with what is behind them is below 3, which is what WCAG asks of what is no text; or that there are none.
const ARROWS: &str = r"
const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b };
const colour = e => getComputedStyle(e).backgroundColor.match(/[\d.]+/g).map(Number).slice(0, 3);
const arrows = [...document.querySelectorAll('.arrow')];
if (!arrows.length) return ['none'];
return arrows.map(e => [colour(e), colour(e.closest('.lane'))].map(light).sort((x, y) => y - x)).map(([a, b]) => (a + .05) / (b + .05)).filter(ratio => ratio < 3);";

//! The pictures of the documents, and that each page can be read by everybody: `GREENLIGHT_PICTURES=1` keeps them in docs/pictures.

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Lab, cluster, rollout};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::Dashboard;

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_the_documents_are_of_real_releases() {
    let lab = Lab::new("shop").await;
    lab.apply(&crate::release::ingress()).expect("applied");
    let new = |name: &str, image: &str, spec: serde_json::Value| {
        let mut object = rollout(spec);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"] = json!({"team": "shop"});
        object["spec"]["selector"]["matchLabels"]["app"] = json!(name);
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        object
    };
    // Workers have no Service.
    let worker = json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}});
    for (name, image) in [("billing", "billing:v7"), ("mailer", "mailer:v3"), ("search", "search:v12")] {
        lab.apply(&new(name, image, worker.clone())).expect("applied");
    }
    let api: Api<BlueGreenRollout> = lab.api();
    let set_image = async |name: &str, image: &str| {
        let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a patch"));
        api.patch(name, &PatchParams::default(), &patch).await.expect("patched");
    };
    lab.deploy(json!({"replicas": 4, "strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    set_image("billing", "billing:v8").await;

    let dashboard = Dashboard::local("pictures-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("pictures-browser");
    browser.open(&dashboard.printed);
    lab.preview("web:v2").await;
    // What cannot start: a quota leaves no room for its pods.
    lab.limit_pods(13).await;
    set_image("search", "search:v13").await;
    browser.shape(1280, 480, false);
    browser.open(&dashboard.url("/?namespace=shop"));
    browser.until("all states", || [".turn0", ".turn2", ".turn3"].into_iter().all(|state| browser.has(state)));
    browser.picture("list");
    browser.shape(1280, 860, false);
    browser.open(&dashboard.url("/n/shop/web"));
    browser.until("it waits", || browser.has("a.button.promote"));
    browser.picture("rollout");
    browser.shape(1280, 860, true);
    browser.picture("dark");
    browser.shape(390, 844, false);
    browser.run("scrollTo(0, 0)");
    browser.picture("phone");
    let wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
    assert_eq!(wide, false, "nothing is wider than a phone");

    // The switch, while its endpoints are not yet all of the new revision: some of the new pods have just lost their readiness.
    browser.shape(1280, 860, false);
    let pods = lab.now().await.ready_pods_of_image("web:v2");
    browser.click("a.button.promote");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    browser.click("dialog [data-close]");
    browser.until("switched", || browser.has("[aria-label='Kept for a while']"));
    lab.set_readiness(pods.into_iter().take(1), false).await;
    browser.until("an endpoint is not ready", || browser.has(".dot.hollow"));
    browser.picture("switched");

    browser.open(&dashboard.url("/n/shop/search"));
    browser.until("it says why", || browser.text().contains("quota"));
    browser.picture("failing");
    assert_eq!(browser.complaints(), Vec::<String>::new());
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

//! Every field that others write holds markup, what turns the direction of reading, what a terminal would obey, and a word that is wider than
//! a phone: it is all on the page, as text, and nothing of it runs. Names and the values of labels are not among these fields, nor is the host
//! of an Ingress: the API server lets nothing but letters, digits and a few signs be in them.

use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRollout, names};
use greenlight_e2e::{Lab, cluster};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// As long as others' names are.
const NAMESPACE: &str = "fields-of-a-team-with-a-very-long-name-in-production";
/// So many pixels of CSS are a phone's width.
const PHONE: u32 = 390;
/// The fields of a rollout, and of what belongs to it, that anybody writes.
const FIELDS: [&str; 20] = [
    "Message",
    "Answer",
    "Cause",
    "By",
    "Reason",
    "Rejecter",
    "Rejection",
    "Image",
    "Waiting",
    "Pulled",
    "Back-off",
    "Path",
    "Run",
    "Metric",
    "Condition",
    "Verdict",
    "Value",
    "Measured",
    "Noted",
    "Target",
];
/// What is in the page for somebody who reads or hears it.
const TEXTS: &str = r"
const texts = [document.title, document.body.textContent];
for (const e of document.querySelectorAll('*'))
  for (const name of ['title', 'aria-label', 'placeholder']) texts.push(e.getAttribute(name) ?? '');
";
/// What of it would be obeyed instead of read.
const OBEYED: &str = r"
const obeyed = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f]/;
return texts.filter(text => obeyed.test(text)).map(text => text.slice(0, 300));";
/// What others made of the page: whether they ran something, and each element of theirs.
const MADE: &str = r"
const made = [...document.querySelectorAll('main *, dialog *')].filter(e => e.matches('img, script, iframe, object, style')
  || [...e.attributes].some(a => a.name.startsWith('on')) || e.matches('a') && !/^https?:$/.test(e.protocol));
return [window.hacked ?? null, made.map(e => e.outerHTML)];";

/// What somebody writes into a field.
fn hostile(field: &str) -> String {
    let wide = "x".repeat(100);
    format!("{field}<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>'&\u{202e}\u{200b}{wide}")
}

/// The same, with what a terminal obeys, where the API server lets it pass.
fn worse(field: &str) -> String {
    format!("{}\u{1b}[2J\u{7}", hostile(field))
}

/// Waits until all of these fields can be read, and looks whether they are nothing but text.
fn is_only_text(browser: &Browser, page: &str, fields: &[&str]) {
    let missing = format!(
        "{TEXTS} return {}.filter(f => !texts.some(t => t.includes(f + '<img src=x onerror=')))",
        json!(fields)
    );
    browser.until(&format!("{page}: all of {fields:?}"), || browser.run(&missing) == json!([]));
    assert_eq!(browser.run(MADE), json!([null, []]), "{page}");
    assert_eq!(browser.run(&format!("{TEXTS}{OBEYED}")), json!([]), "{page}");
}

/// Has the window be that of a phone.
fn hold_a_phone(browser: &Browser) {
    browser.shape(PHONE, 844, false);
    let narrow = format!("return matchMedia('(max-width: {PHONE}px)').matches");
    browser.until("a phone", || browser.run(&narrow) == true);
}

/// Looks at the page that is open on a phone.
fn fits_a_phone(browser: &Browser, page: &str) {
    hold_a_phone(browser);
    let width = browser.run("return document.documentElement.scrollWidth").as_u64().expect("a number");
    assert!(width <= u64::from(PHONE), "{page} is {width} wide");
    browser.shape(1280, 900, false);
}

/// An object of the lab's, changed in a way that only its status or a JSON merge patch takes.
async fn forge_status<K>(lab: &Lab, name: &str, status: Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"status": status}));
    lab.api::<K>().patch_status(name, &PatchParams::default(), &patch).await.expect("patched");
}

/// A status with this message, which speaks of whatever spec is there: what is said of an older one is not shown.
fn of_newest(message: &str) -> Value {
    json!({"message": worse(message), "observedGeneration": 1_000_000})
}

/// Writes into every field of the rollout web, whose second revision is in preview; nobody looks after it any more.
async fn forge(lab: &Lab) {
    let now = lab.now().await;
    let [first, second] = ["web-active", "web-preview"].map(|service| now.hash_of(service).expect("it is there"));
    let at = jiff::Timestamp::now().to_string();
    let mut status = serde_json::to_value(now.status()).expect("JSON");
    status["phase"] = json!("Degraded");
    status["message"] = json!(worse("Message"));
    status["observedRequest"] = json!({"value": "{}", "accepted": false, "answer": worse("Answer")});
    for record in status["decisions"]["revisions"].as_array_mut().expect("records") {
        if record["hash"] == second.as_str() {
            record["approvals"] = json!([{"by": worse("By"), "at": at, "reason": worse("Reason")}]);
            record["rejection"] = json!({"by": worse("Rejecter"), "at": at, "reason": worse("Rejection")});
        }
    }
    forge_status::<BlueGreenRollout>(lab, "web", status).await;
    let annotated = Patch::Merge(json!({"metadata": {"annotations": {names::CHANGE_CAUSE: worse("Cause")}}}));
    lab.api::<BlueGreenRollout>().patch("web", &PatchParams::default(), &annotated).await.expect("patched");

    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": hostile("Image")}]);
    let image: Patch<()> = Patch::Json(serde_json::from_value(image).expect("a patch"));
    let replica_set = format!("web-{first}");
    lab.api::<ReplicaSet>().patch(&replica_set, &PatchParams::default(), &image).await.expect("patched");

    let pods: Vec<String> = now.ready_pods_of_image("web:v2").into_iter().collect();
    lab.set_readiness(pods.clone(), false).await;
    lab.until("not ready", |now| now.ready_pods_of_image("web:v2").is_empty()).await;
    let waits = |image: &str, reason: &str| {
        let waiting = json!({"reason": reason, "message": worse("Back-off")});
        let state = json!({"waiting": waiting});
        json!({"containerStatuses": [
            {"name": "web", "image": image, "imageID": "", "ready": false, "restartCount": 3, "state": state},
        ]})
    };
    forge_status::<Pod>(lab, &pods[0], waits("web:v2", &worse("Waiting"))).await;
    forge_status::<Pod>(lab, &pods[1], waits(&worse("Pulled"), "ImagePullBackOff")).await;

    let backend = json!({"service": {"name": "web-active", "port": {"number": 80}}});
    let path =
        json!({"path": format!("/{}", hostile("Path")), "pathType": "ImplementationSpecific", "backend": backend});
    let run = json!({
        "name": hostile("Metric"), "successCondition": worse("Condition"),
        "provider": {"web": {"url": "http://127.0.0.1:1"}},
    });
    let target = json!({"kind": "Pod", "namespace": NAMESPACE, "name": worse("Target")});
    for object in [
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
            "spec": {"rules": [{"host": "shop.example.com", "http": {"paths": [path]}}]},
        }),
        json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "forged", "annotations": {names::ROLLOUT: "web"}}, "spec": {"metrics": [run]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "forged", "labels": {
                "kubernetes.io/service-name": "web-active", "endpointslice.kubernetes.io/managed-by": "somebody",
            }},
            "endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": true}, "targetRef": target}],
            "ports": [{"port": 8080}],
        }),
    ] {
        lab.apply(&object).expect("applied");
    }
    let measured = json!([
        {"phase": "Successful", "value": "1"}, {"phase": "Successful", "value": "2"},
        {"phase": "Failed", "value": worse("Value"), "message": worse("Measured")},
    ]);
    let result = json!({
        "name": hostile("Metric"), "phase": "Failed", "message": worse("Verdict"), "measurements": measured,
        "count": 3, "successful": 2, "failed": 1,
    });
    let status = json!({"phase": "Failed", "message": worse("Run"), "metricResults": [result]});
    forge_status::<AnalysisRun>(lab, "forged", status).await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "forged", "namespace": NAMESPACE},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "Forged", "action": "x", "type": "Warning",
        "note": worse("Noted"), "reportingController": "somebody", "reportingInstance": "x",
        "regarding": {
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "namespace": NAMESPACE,
        },
    });
    lab.create_raw(&format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"), &event);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_any_field_is_text_and_fits_a_phone() {
    let mut lab = Lab::new(NAMESPACE).await;
    lab.deploy(json!({})).await;
    let pod = lab.preview("web:v2").await.ready_pods_of_image("web:v2").into_iter().next().expect("a pod");
    lab.kill_operator();
    forge(&lab).await;
    let dashboard = Dashboard::local("fields-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("fields-browser");
    browser.open(&dashboard.printed);
    let at = format!("/n/{NAMESPACE}/web");

    browser.open(&dashboard.url(&at));
    is_only_text(&browser, "the rollout", &FIELDS);
    browser.reads("2 of 2 pods of revision 1 are ready endpoints, and 1 of others");
    browser.until("a chart", || browser.has(".chart[aria-label^='Metric<img']"));
    fits_a_phone(&browser, "the rollout");

    // The dialog has all of its words within it, and none of it is beside the phone.
    browser.click("#head a.button.pause");
    browser.until("the forecast", || browser.has("dialog[open] .forecast"));
    is_only_text(&browser, "the dialog", &[]);
    hold_a_phone(&browser);
    let dialog = browser.run(
        "const dialog = document.querySelector('dialog'), place = dialog.getBoundingClientRect(); \
         return [dialog.scrollWidth - dialog.clientWidth, place.left >= 0 && place.right <= 390]",
    );
    assert_eq!(dialog, json!([0, true]), "the dialog: {}", browser.text());
    browser.picture("fields-dialog");
    browser.click("dialog [data-close]");
    browser.picture("fields-phone");
    browser.shape(1280, 900, false);

    // Links that somebody sends.
    let serving = lab.now().await.hash_of("web-active").expect("it is there");
    let undo = format!("{at}/ask/undo?revision={serving}&to=");
    for (field, address) in [("Filter", "/?label="), ("To", undo.as_str())] {
        browser.run(&format!("location.href = '{address}' + encodeURIComponent({})", json!(worse(field))));
        is_only_text(&browser, address, &[field]);
    }

    // Again, by the stream and the script that puts it there.
    browser.open(&dashboard.url(&at));
    browser.until("the rollout", || browser.has("#head h1"));
    forge_status::<BlueGreenRollout>(&lab, "web", of_newest("Again")).await;
    lab.set_image(&hostile("Asked")).await;
    is_only_text(&browser, "the rollout, which is alive", &["Again"]);
    browser.open(&dashboard.url(&format!("/?namespace={NAMESPACE}")));
    is_only_text(&browser, "the list", &["Again", "Asked"]);
    forge_status::<BlueGreenRollout>(&lab, "web", of_newest("Once more")).await;
    is_only_text(&browser, "the list, which is alive", &["Once more", "Asked"]);
    fits_a_phone(&browser, "the list");
    hold_a_phone(&browser);
    let name = browser.run("return document.querySelector('.row .name').getBoundingClientRect().width");
    assert!(name.as_f64().expect("a number") > 100.0, "the name is {name} wide beside its namespace");
    browser.shape(1280, 900, false);
    assert_eq!(browser.complaints(), Vec::<String>::new());

    browser.open(&dashboard.url(&format!("{at}/yaml")));
    browser.until("YAML", || browser.has("#yaml-text:not(:empty)"));
    is_only_text(&browser, "YAML", &[]);
    fits_a_phone(&browser, "YAML");
    browser.open(&dashboard.url(&format!("{at}/logs/{pod}")));
    is_only_text(&browser, "logs", &[]);
    fits_a_phone(&browser, "logs");
}

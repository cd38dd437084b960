//! Several people behind one proxy: a release that takes two of them, the namespaces that each may see, and what is told of them elsewhere.

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Lab, SignInProxy, rollout};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::{Dashboard, account};
use crate::rights::roles;

/// What the list shows, in its order, as `namespace/name`.
fn rows(browser: &Browser) -> Vec<String> {
    let rows = browser.run(
        "return [...document.querySelectorAll('#rows .row')] \
         .map(row => row.querySelector('.namespace').textContent + '/' + row.querySelector('.name').textContent)",
    );
    serde_json::from_value(rows).expect("texts")
}

/// Waits until the list shows these, and these alone.
fn lists(browser: &Browser, expected: &[&str]) {
    browser.until(&format!("{expected:?} in the list"), || rows(browser) == expected);
}

/// Waits until the address has all of these.
fn address_has(browser: &Browser, parts: &[&str]) {
    browser.until(&format!("{parts:?} in the address"), || parts.iter().all(|part| browser.url().contains(part)));
}

/// Empties a field of the filter, as its cross does.
fn empty(browser: &Browser, field: &str) {
    browser.run(&format!(
        "const field = document.querySelector('#filter [name={field}]'); field.value = ''; \
         for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, {{bubbles: true}}))"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_approve_a_release_and_each_sees_the_namespaces_that_are_theirs() {
    roles();
    let lab = Lab::new("approved").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"requiredApprovals": 2}}})).await;
    lab.kubectl(&["label", "bgr", "web", "crew=blue"]);
    let hash = lab.preview("web:v2").await.hash_of("web-preview").expect("it is there");
    // A second namespace, whose rollouts nobody looks after: what they say stands in their status.
    let other = Lab::without_operator("approved-too").await;
    let say = async |name: &str, phase: &str, message: &str| {
        let status = Patch::Merge(json!({"status": {"phase": phase, "message": message}}));
        other.api::<BlueGreenRollout>().patch_status(name, &PatchParams::default(), &status).await.expect("patched");
    };
    for (name, crew) in [("cart", "blue"), ("till", "red")] {
        let mut object = rollout(json!({}));
        object["metadata"] = json!({"name": name, "labels": {"crew": crew}});
        other.apply(&object).expect("applied");
    }
    say("cart", "Healthy", "revision 7 serves").await;
    say("till", "Degraded", "revision 9 was rejected").await;

    let (_, ann) = account(&lab.namespace, "ann", &["may-look", "may-release"]);
    let (_, bob) = account(&lab.namespace, "bob", &["may-look", "may-release"]);
    lab.give_rights("ann", "may-look");
    let dashboard = Dashboard::shared("approved-dashboard", &[]);
    let proxy = SignInProxy::before(&dashboard.url(""), &[("ann", &ann), ("bob", &bob)]).await;
    let (audit, mark) = lab.audit();
    let browser = Browser::start("approved-browser");

    // Ann may see every namespace. What needs a person comes first.
    browser.open(&proxy.url("/sign-in/ann"));
    browser.open(&proxy.url("/?label=crew"));
    let (web, cart, till) = ("approved/web", "approved-too/cart", "approved-too/till");
    lists(&browser, &[web, till, cart]);
    // By phase: in the address, after the page is loaded again, and while it lives.
    browser.click("#filter option[value=Degraded]");
    lists(&browser, &[till]);
    address_has(&browser, &["label=crew", "phase=Degraded"]);
    browser.open(&browser.url());
    lists(&browser, &[till]);
    let fields =
        "return [...new FormData(document.getElementById('filter'))].map(([name, value]) => name + '=' + value)";
    assert_eq!(browser.run(fields), json!(["q=", "namespace=", "phase=Degraded", "label=crew"]));
    say("cart", "Degraded", "revision 8 has no pods").await;
    lists(&browser, &[cart, till]);
    say("till", "Healthy", "revision 8 serves").await;
    lists(&browser, &[cart]);
    browser.click("#filter option[value='']");
    lists(&browser, &[web, cart, till]);
    // By text, of which every word has to be somewhere.
    browser.write("#filter input[name=q]", "revision NO pods");
    lists(&browser, &[cart]);
    address_has(&browser, &["label=crew", "q=revision+NO+pods"]);
    browser.open(&browser.url());
    lists(&browser, &[cart]);
    empty(&browser, "q");
    lists(&browser, &[web, cart, till]);
    // By labels, as kubectl reads them.
    browser.write("#filter input[name=label]", " notin (red),crew");
    lists(&browser, &[web, cart]);
    browser.open(&browser.url());
    lists(&browser, &[web, cart]);
    // By namespace, which is looked for when its name is whole.
    browser.write("#filter input[name=namespace]", "approved-too\u{e007}");
    lists(&browser, &[cart]);
    address_has(&browser, &["namespace=approved-too", "label=crew+notin"]);
    browser.open(&browser.url());
    lists(&browser, &[cart]);
    assert!(!browser.has("#list .notice"), "all of it is shown: {}", browser.text());

    // Ann is one person, however often she asks.
    let approves = |label: &str, answer: &str, reason: &str| {
        browser.until(label, || {
            browser.run("return document.querySelector('#head a.button.promote')?.textContent ?? ''") == label
        });
        browser.click("#head a.button.promote");
        browser.until("the forecast", || browser.has("dialog[open] .forecast"));
        browser.write("#reason", reason);
        browser.click("dialog .go");
        browser.reads("Promote: the operator does it");
        browser.reads(answer);
        browser.click("dialog [data-close]");
    };
    browser.open(&proxy.url("/n/approved/web"));
    browser.reads("takes 2 people");
    approves("Approve revision 2 (1 of 2)", "approved:ann approves of revision 2", "seen on the preview");
    approves("Approve revision 2 again (1 of 2)", "1 of 2: seen once more", "seen once more");
    browser.reads("by system:serviceaccount:approved:ann: “seen once more”");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");

    // Bob may see one namespace. He is told that there may be more, and of the other one nothing.
    browser.open(&proxy.url("/sign-in/bob"));
    browser.open(&proxy.url("/?namespace=approved"));
    lists(&browser, &[web]);
    browser.open(&proxy.url("/?label=crew"));
    lists(&browser, &[web]);
    browser.reads("there may be namespaces of yours that are not shown here");
    for path in ["/?namespace=approved-too", "/n/approved-too/cart", "/n/approved-too/cart/yaml"] {
        browser.open(&proxy.url(path));
        browser.reads("is forbidden");
        assert!(!browser.text().contains("revision 8"), "{path}: {}", browser.text());
    }
    browser.open(&proxy.url("/n/approved/web"));
    approves("Approve revision 2 (2 of 2)", "evision 2 (", "so have I");
    lab.until("promoted", |now| now.is_healthy_on("web:v2")).await;
    browser.until("the page has followed", || browser.has("#head .phase.healthy"));
    browser.reads("by system:serviceaccount:approved:bob: “so have I”");

    // Who asked is on record, and each asked as themselves. Their tokens are told to nobody.
    let now = lab.now().await;
    let decisions = now.status().decisions.expect("a record");
    let approved: Vec<&str> =
        decisions.revision(&hash).expect("on record").approvals.iter().map(|approval| approval.by.as_str()).collect();
    let people = ["system:serviceaccount:approved:ann", "system:serviceaccount:approved:bob"];
    assert_eq!(approved, people);
    let asked = audit.since(mark).expect("the audit log");
    let asked: Vec<_> =
        asked.iter().filter(|request| request.user_agent.starts_with("greenlight-dashboard/")).collect();
    assert!(asked.iter().all(|request| request.acts_as.is_empty()), "no dashboard impersonates anybody");
    let here: Vec<_> = asked.iter().filter(|request| request.namespace.starts_with("approved")).collect();
    for person in people {
        assert!(here.iter().any(|request| request.user == person && request.verb == "patch"), "{person} has asked");
    }
    assert!(here.iter().all(|request| people.contains(&request.user.as_str())), "nobody else");
    for token in [&ann, &bob] {
        assert!(!dashboard.log().contains(token.as_str()), "{}", dashboard.log());
    }
    let shown: Value = browser.run("return document.documentElement.outerHTML + document.cookie");
    assert!([&ann, &bob].iter().all(|token| !shown.to_string().contains(token.as_str())), "nor to the browser");
}

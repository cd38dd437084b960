//! Who may not cannot, and is told what would let them. The dashboard has no rights of its own, so this is shown in the way in which it
//! runs in a cluster: behind an authenticating proxy that forwards tokens, and with a token that somebody pasted.

use std::sync::atomic::{AtomicBool, Ordering};

use greenlight_e2e::{Lab, SignInProxy, cluster, http};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::dashboard::{Dashboard, account};

/// Roles as the chart gives them to people, without the policy on requests.
pub fn roles() {
    static MADE: AtomicBool = AtomicBool::new(false);
    if MADE.swap(true, Ordering::SeqCst) {
        return;
    }
    let verbs = "--verb=get,list,watch";
    let resources = "--resource=bluegreenrollouts.greenlight.dev,analysisruns.greenlight.dev,pods,services,\
                     replicasets.apps,ingresses.networking.k8s.io,endpointslices.discovery.k8s.io,events.events.k8s.io";
    cluster().kubectl(&["create", "clusterrole", "may-look", verbs, resources]).expect("created");
    let verbs = "--verb=get,list,watch,patch,update,promote,abort,rollback,restart";
    cluster()
        .kubectl(&["create", "clusterrole", "may-release", verbs, "--resource=bluegreenrollouts.greenlight.dev"])
        .expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_behind_a_proxy_see_and_do_what_their_own_roles_allow() {
    roles();
    let lab = Lab::new("two-people").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let (_, viewer) = account(&lab.namespace, "viewer", &["may-look"]);
    let (_, releaser) = account(&lab.namespace, "releaser", &["may-look", "may-release"]);
    let dashboard = Dashboard::shared("two-people-dashboard", &[]);
    let proxy = SignInProxy::before(&dashboard.url(""), &[("vera", &viewer), ("rob", &releaser)]).await;

    let browser = Browser::start("two-people-viewer");
    browser.open(&dashboard.url("/n/two-people/web"));
    browser.reads("Sign in with a token");
    browser.open(&proxy.url("/n/two-people/web"));
    browser.reads("The proxy does not know you");
    browser.open(&proxy.url("/sign-in/vera"));
    browser.open(&proxy.url("/n/two-people/web"));
    browser.reads("system:serviceaccount:two-people:viewer");
    assert!(!browser.has(".top form"), "the token is the proxy's, and nothing to be forgotten here");
    assert!(browser.has("#head button.promote[disabled]"), "grey: {}", browser.text());
    assert!(!browser.has("#head a.button"), "all of them are grey");
    browser.click("#why-not summary");
    browser.reads("--clusterrole=greenlight-promoter --serviceaccount=two-people:viewer");
    assert_eq!(browser.text().matches("do not have the verb patch").count(), 1, "one reason: {}", browser.text());
    browser.fit(1280, "#steps", false);
    browser.picture("viewer");

    // A forged form: with everything that the viewer's pages know, straight to the address. The API server refuses it.
    let hash = lab.now().await.hash_of("web-preview").expect("it is there");
    let path = format!("/n/two-people/web/ask/promote?revision={hash}");
    let bearer = format!("Bearer {viewer}");
    let form = http(&dashboard.address, "GET", &path, &[("Authorization", &bearer)], "").body;
    let csrf = form.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
    let origin = dashboard.url("");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Origin", &origin),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let body = format!("csrf={csrf}&revision={hash}");
    let answer = http(&dashboard.address, "POST", "/n/two-people/web/ask/promote", &headers, &body);
    assert_eq!(answer.status, 403, "{}", answer.body);
    let shown = answer.body;
    assert!(shown.contains("cannot patch resource"), "in the API server's words: {shown}");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");

    // The other one may. The request is signed with their name, and the page that they look at is alive behind the proxy.
    browser.open(&proxy.url("/sign-in/rob"));
    browser.open(&proxy.url("/n/two-people/web"));
    browser.click("#head a.button.promote");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    let now = lab.until("promoted", |now| now.is_healthy_on("web:v2")).await;
    let request: Value = serde_json::from_str(&now.status().observed_request.expect("one").value).expect("JSON");
    assert_eq!(request["by"], "system:serviceaccount:two-people:releaser");
    browser.until("the page has followed", || browser.has("#head .phase.healthy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_token_is_kept_by_the_browser_alone_and_is_in_no_log() {
    roles();
    let lab = Lab::new("pasted").await;
    lab.deploy(json!({})).await;
    let (_, token) = account(&lab.namespace, "viewer", &["may-look"]);
    let dashboard = Dashboard::shared("pasted-dashboard", &[]);
    let browser = Browser::start("pasted-browser");
    browser.sign_in(&dashboard.url("/n/pasted/web"), "a-wrong-one");
    browser.reads("does not take this token");
    browser.give_token(&token);
    browser.until("back where it wanted to be", || browser.url().ends_with("/n/pasted/web"));
    browser.reads("system:serviceaccount:pasted:viewer");
    assert_eq!(browser.run("return document.cookie"), "", "no script can read it");
    // Somebody who may see one namespace sees that one.
    browser.open(&dashboard.url("/?namespace=pasted"));
    browser.reads("Rollouts: 1");
    // Without a name, they are told that there may be more, and who may see none of it can name another one.
    browser.open(&dashboard.url("/"));
    browser.reads("there may be namespaces of yours that are not shown here");
    // The name may be written slowly: half of it is another namespace, and not to be asked for.
    browser.write("#filter input[name=namespace]", "pas");
    std::thread::sleep(std::time::Duration::from_secs(1));
    browser.write("#filter input[name=namespace]", "ted");
    browser.run("document.getElementById('filter').requestSubmit()");
    browser.until("it is in the address", || browser.url().ends_with("/?namespace=pasted"));
    browser.open(&dashboard.url("/?namespace=somebody-elses"));
    browser.reads("is forbidden");
    browser.run("document.getElementById('namespace').value = ''");
    browser.write("#namespace", "pasted");
    browser.click("main .go");
    browser.reads("Rollouts: 1");
    browser.click(".top form button");
    browser.reads("Sign in with a token");
    assert!(!dashboard.log().contains(&token), "{}", dashboard.log());
    assert!(!dashboard.log().contains("a-wrong-one"), "{}", dashboard.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_release_and_see_nothing_else_has_a_page_and_can_release() {
    roles();
    let lab = Lab::new("only-releases").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let (_, token) = account(&lab.namespace, "releaser", &["may-release"]);
    let dashboard = Dashboard::shared("only-releases-dashboard", &[]);
    let browser = Browser::start("only-releases-browser");
    browser.sign_in(&dashboard.url("/n/only-releases/web"), &token);
    browser.reads("waits for promotion");
    browser.reads("Not shown, because you lack the right: ReplicaSets; pods; Services");
    browser.reads("--clusterrole=view --serviceaccount=only-releases:releaser");
    assert!(!browser.has("#picture .bad"), "what is not shown is not said to be missing: {}", browser.text());
    browser.click("#head a.button.promote");
    browser.reads("What will happen is not known here");
    browser.click("dialog .go");
    browser.reads("the operator does it");
    lab.until("promoted", |now| now.is_healthy_on("web:v2")).await;
    browser.until("the page has followed", || browser.has("#head .phase.healthy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_a_revision_that_was_superseded_does_nothing_and_says_so() {
    let lab = Lab::new("superseded").await;
    lab.deploy(json!({})).await;
    lab.preview("web:v2").await;
    let dashboard = Dashboard::local("superseded-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("superseded-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/superseded/web"));
    browser.click("#head a.button.promote");
    browser.reads("Promote revision 2 of web?");
    lab.preview("web:v3").await;
    let (audit, mark) = lab.audit();
    browser.click("dialog .go");
    browser.reads("Nothing was done: you looked at revision 2");
    browser.reads("now revision 3");
    browser.picture("superseded");
    let asked = audit.of_namespace(mark, &lab.namespace).expect("the audit log");
    let mut asked = asked.iter().filter(|request| request.user_agent.starts_with("kubectl-greenlight/"));
    assert!(asked.clone().any(|request| request.verb == "get"), "it has looked");
    assert!(asked.all(|request| request.verb != "patch"), "nothing is asked of the API server");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_dashboard_shows_everything_and_does_nothing() {
    let lab = Lab::new("only-looks").await;
    lab.deploy(json!({})).await;
    let hash = lab.preview("web:v2").await.hash_of("web-preview").expect("it is there");
    let dashboard = Dashboard::local("only-looks-dashboard", &cluster().kubeconfig(), &["--read-only"]);
    let browser = Browser::start("only-looks-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/only-looks/web"));
    browser.reads("waits for promotion");
    assert!(!browser.has("#rollout .button"), "{}", browser.text());
    let script = format!(
        "const done = arguments[0]; fetch('/n/only-looks/web/ask/promote', {{method: 'POST', \
         body: new URLSearchParams({{revision: '{hash}'}})}}).then(answer => done(answer.status));"
    );
    assert_eq!(browser.run_async(&script), 403);
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
}

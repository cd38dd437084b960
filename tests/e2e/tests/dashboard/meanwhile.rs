//! What changes while a page is open: rights, tokens, the rollout itself, what others ask for; and pages without number.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenlight_e2e::{Door, Lab, cluster, http};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::{Dashboard, account};
use crate::rights::roles;

/// The API server looks at rights when a watch begins, and none lasts longer than half a minute.
const RIGHTS_WITHIN: Duration = Duration::from_secs(60);

fn within(limit: Duration, what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn kubectl(lab: &Lab, args: &[&str]) {
    lab.kubectl(args);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_any_more_sees_no_more() {
    roles();
    let lab = Lab::new("dismissed").await;
    lab.deploy(json!({})).await;
    let (_, token) = account(&lab.namespace, "leaver", &["may-look"]);
    let dashboard = Dashboard::shared("dismissed-dashboard", &[]);
    let browser = Browser::start("dismissed-browser");
    browser.sign_in(&dashboard.url("/"), &token);
    // Only then their token is in the browser.
    browser.reads("Forget my token");
    // The first page that they open is of a namespace that nobody told the dashboard of.
    browser.open(&dashboard.url("/?namespace=dismissed"));
    browser.until("the list", || browser.has(".row"));
    browser.open(&dashboard.url("/?namespace=somebody-elses"));
    browser.reads("is forbidden");
    browser.open(&dashboard.url("/?namespace=dismissed"));
    browser.until("the list", || browser.has(".row"));

    // Their role goes: the page that is open shows nothing of it any more, and says why.
    kubectl(&lab, &["delete", "rolebinding", "leaver-may-look"]);
    within(RIGHTS_WITHIN, "the list is taken away", || !browser.has(".row") && browser.text().contains("forbidden"));
    browser.open(&dashboard.url("/n/dismissed/web"));
    browser.reads("forbidden");
    // It comes back: so does the page, by itself.
    kubectl(&lab, &["create", "rolebinding", "again", "--clusterrole=may-look", "--serviceaccount=dismissed:leaver"]);
    within(RIGHTS_WITHIN, "the page is there again", || browser.has("#head .phase.healthy"));

    // Their account is deleted, and with it their token is worth nothing.
    kubectl(&lab, &["delete", "serviceaccount", "leaver"]);
    within(RIGHTS_WITHIN, "they have to sign in again", || {
        lab.kubectl(&["annotate", "bgr", "web", &format!("now={}", jiff::Timestamp::now()), "--overwrite"]);
        browser.text().contains("Sign in with a token")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_deleted_while_somebody_looks_is_gone_and_comes_back() {
    let lab = Lab::new("vanished").await;
    lab.deploy(json!({})).await;
    let dashboard = Dashboard::local("vanished-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("vanished-browser");
    browser.open(&dashboard.printed);
    let list = browser.window();
    browser.open(&dashboard.url("/?namespace=vanished"));
    browser.until("the list", || browser.has(".row"));
    browser.open_window();
    browser.open(&dashboard.url("/n/vanished/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    kubectl(&lab, &["delete", "bgr", "web"]);
    browser.reads("no rollout web in namespace vanished");
    lab.deploy(json!({})).await;
    browser.until("it is there again", || browser.has("#head .phase.healthy"));
    browser.go_to_window(&list);
    browser.until("in the list, too", || browser.has(".row .phase.healthy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_connection_died_without_a_word_begins_anew() {
    let lab = Lab::new("slept").await;
    lab.deploy(json!({})).await;
    let dashboard = Dashboard::local("slept-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("slept-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/slept/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    // As after a laptop has slept: for a minute nothing was heard, and nobody has said that the connection is over. The server may be heard
    // between the sleep and the page's next look, which is no silence: so it sleeps until the page has noticed.
    browser.run(
        "window.opened = 0; const Real = EventSource; \
         window.EventSource = class extends Real { constructor(address) { super(address); window.opened += 1; } }; \
         window.slept = 0; const now = Date.now; Date.now = () => now() + window.slept;",
    );
    browser.until("another connection", || {
        browser.run("if (window.opened === 0) window.slept += 60000; return window.opened") == 1
    });
    browser.until("which is heard", || browser.has("#lost[hidden]"));
    lab.set_image("web:v2").await;
    browser.until("the page is alive", || browser.text().contains("web:v2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_is_not_lost_when_the_page_has_to_be_read_anew() {
    let lab = Lab::new("unlost").await;
    lab.deploy(json!({})).await;
    let dashboard = Dashboard::local("unlost-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("unlost-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/unlost/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    browser.click("#head a.button.pause");
    browser.until("the forecast", || browser.has("dialog[open] .forecast"));
    browser.write("#reason", "the sale has begun");
    kubectl(&lab, &["delete", "bgr", "web"]);
    // The page is told, and would be read anew at once.
    std::thread::sleep(Duration::from_secs(3));
    let written = "return document.querySelector('dialog[open] #reason')?.value ?? ''";
    assert_eq!(browser.run(written), "the sale has begun");
    browser.click("dialog [data-close]");
    browser.reads("no rollout web in namespace unlost");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_yet_comes_by_itself() {
    let lab = Lab::new("later").await;
    lab.deploy(json!({})).await;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let instead =
        move |_: &str| down.load(Ordering::SeqCst).then(|| (503, "the API server is being upgraded".to_owned()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let dashboard = Dashboard::local("later-dashboard", &cluster().kubeconfig(), &["--server", &door.url()]);
    let browser = Browser::start("later-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/later/web"));
    browser.reads("Cannot ask the API server who you are: the API server is too busy; try again in");
    assert!(!browser.text().contains("Not open to this browser"), "{}", browser.text());
    is_down.store(false, Ordering::SeqCst);
    browser.until("the rollout", || browser.has("#head .phase.healthy"));
    // The cluster is called what it was chosen by.
    browser.reads(&door.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_overtaken_by_somebody_else_is_told_so() {
    let mut lab = Lab::new("crossed").await;
    lab.deploy(json!({})).await;
    let hash = lab.preview("web:v2").await.hash_of("web-preview").expect("it is there");
    let dashboard = Dashboard::local("crossed-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("crossed-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/crossed/web"));
    browser.click("#head a.button.promote");
    browser.until("the forecast", || browser.has("dialog .forecast"));
    lab.operator().put_to_sleep(true).expect("asleep");
    browser.click("dialog .go");
    let asked = || lab_request(&lab).contains("promote");
    within(Duration::from_secs(10), "it is asked for", asked);
    let abort = json!({"action": "abort", "revision": hash, "by": "bob", "at": jiff::Timestamp::now()});
    lab.annotate_request(&abort.to_string()).await;
    browser.reads("Somebody else asked for something");
    lab.operator().put_to_sleep(false).expect("awake");
    let now = lab.until("aborted", |now| now.phase() == "Degraded").await;
    assert_eq!(now.image_of("web-active"), "web:v1", "nothing was promoted");
}

fn lab_request(lab: &Lab) -> String {
    lab.kubectl(&["get", "bgr", "web", "-o", "jsonpath={.metadata.annotations.greenlight\\.dev/request}"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_as_large_as_the_api_server_takes_is_a_small_page() {
    let lab = Lab::new("large").await;
    lab.deploy(json!({})).await;
    let long = "x".repeat(200_000);
    lab.set_template("web:v2", &[("long", &long)]).await;
    lab.until("waits", |now| now.waits_in_preview("web:v2")).await;
    let dashboard = Dashboard::local("large-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("large-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/large/web"));
    browser.reads("more bytes");
    let size = browser.run("return document.documentElement.outerHTML.length").as_u64().expect("a number");
    assert!(size < 60_000, "{size} bytes");
    browser.open(&dashboard.url("/n/large/web/yaml"));
    browser.until("all of it is there", || browser.text().contains(&long));
    let cookie = browser.cookies().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<String>();
    let list =
        http(&dashboard.address, "GET", "/?namespace=large", &[("Cookie", &cookie), ("x-part", "rows")], "").body;
    assert!(list.len() < 3_000, "{list}");
    // What is no name is no part of a path to the API server.
    for path in
        ["/n/large/..%2Fweb", "/n/large/web%3Fwatch=true", "/n/..%2F..%2Fapi/web", "/n/large/web/logs/x%2F..%2Fy"]
    {
        assert_eq!(http(&dashboard.address, "GET", path, &[("Cookie", &cookie)], "").status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_keep_nobody_out() {
    let lab = Lab::new("besieged").await;
    lab.deploy(json!({})).await;
    let dashboard = Dashboard::local("besieged-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("besieged-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/besieged/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    let cookie = browser.cookies().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<String>();
    let before = dashboard.memory();
    // Pages of one person that never end, and connections of nobody in particular that never begin.
    let request =
        format!("GET /live?namespace=besieged HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", dashboard.address);
    let open = |say: &str| {
        let mut stream = TcpStream::connect(&dashboard.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        stream.write_all(say.as_bytes()).expect("sent");
        stream
    };
    let mut pages: Vec<TcpStream> = (0..1000).map(|_| open(&request)).collect();
    let silent: Vec<TcpStream> = (0..500).map(|_| open("GET / HTTP/1.1\r\n")).collect();
    let answers: Vec<String> = pages
        .iter_mut()
        .map(|page| {
            let mut start = [0; 12];
            page.read_exact(&mut start).expect("an answer");
            String::from_utf8_lossy(&start).into_owned()
        })
        .collect();
    let served = answers.iter().filter(|answer| answer.ends_with("200")).count();
    assert!((200..=256).contains(&served), "{served} of a thousand are kept alive");
    assert!(answers.iter().all(|answer| answer.ends_with("200") || answer.ends_with("429")));
    let get = || http(&dashboard.address, "GET", "/n/besieged/web", &[("Cookie", &cookie)], "").status;
    assert_eq!(get(), 200, "pages are served all the same");
    lab.set_image("web:v2").await;
    browser.until("and the one that was open is alive", || browser.text().contains("web:v2"));
    let under_siege = dashboard.memory();
    assert!(under_siege < before + 60, "{before} MB, then {under_siege} MB");
    // Who keeps silent is shown out, and what was closed makes room.
    for mut stream in silent {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it was closed");
    }
    drop(pages);
    within(Duration::from_secs(30), "there is room again", || {
        let mut page = open(&request);
        let mut start = [0; 12];
        page.read_exact(&mut start).expect("an answer");
        start.ends_with(b"200")
    });
}

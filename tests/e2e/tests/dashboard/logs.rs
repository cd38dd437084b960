//! The logs of a pod, as the API server gives them. No kubelet runs here, so a door before the API server answers in its place.

use std::time::Duration;

use greenlight_e2e::{Door, Lab, cluster};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::Dashboard;

/// Behind this door every log says whose it is, and what was asked for.
async fn with_logs() -> Door {
    let long = "x".repeat(50_000);
    let instead = move |uri: &str| {
        let (path, query) = uri.split_once('?')?;
        let pod = path.strip_suffix("/log")?.rsplit('/').next()?;
        Some((200, format!("{pod} says hello\nasked for {query}\n<b>bold</b>\u{1b}[2J\u{202e}\n{long}\n")))
    };
    Door::open(Duration::ZERO, instead).await.expect("a door")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_writes_while_somebody_looks_is_on_the_page_at_once() {
    let lab = Lab::new("followed").await;
    let pod = lab.deploy(json!({})).await.ready_pods_of_image("web:v1").into_iter().next().expect("a pod");
    let instead = |uri: &str| {
        let (path, query) = uri.split_once('?')?;
        if !path.ends_with("/log") {
            return None;
        }
        let is_previous = query.contains("previous=true");
        let (status, body) = if is_previous { (200, "panicked\n") } else { (Door::GOES_ON, "started\n") };
        Some((status, body.to_owned()))
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let dashboard = Dashboard::local("followed-dashboard", &cluster().kubeconfig(), &["--server", &door.url()]);
    let browser = Browser::start("followed-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url(&format!("/n/followed/web/logs/{pod}")));
    let lines = || browser.run("return document.getElementById('log').textContent");
    browser.until("what was written before", || lines() == "started\n");
    // Half a line is none; what the next one begins with does not end it.
    door.say("listening on ");
    door.say("port 8080\nfirst ");
    browser.until("a whole line", || lines() == "started\nlistening on port 8080\n");
    door.say("request\n");
    browser.until("the next one", || lines() == "started\nlistening on port 8080\nfirst request\n");
    // Whoever has scrolled to the end stays there, whoever reads further up stays there.
    let scroll = "const log = document.getElementById('log'); return [log.scrollTop > 0, log.scrollHeight - log.scrollTop - log.clientHeight < 40]";
    door.say(&(0..200).map(|number| format!("request {number}\n")).collect::<String>());
    browser.reads("request 199");
    assert_eq!(browser.run(scroll), json!([true, true]), "it follows");
    browser.run("document.getElementById('log').scrollTop = 0");
    door.say("the last one\n");
    browser.reads("the last one");
    assert_eq!(browser.run(scroll), json!([false, false]), "it leaves the reader where they are");
    // What it wrote before it was started anew ends.
    browser.click("a.button.quiet");
    browser.until("the one before", || lines() == "panicked\n— The log ends here.\n");
    assert!(browser.has("a.button.quiet[aria-current=page]") && !browser.has("a.button:not(.quiet)[aria-current]"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_each_pod_are_shown_those_of_before_its_restart_too() {
    let lab = Lab::new("loglines").await;
    let pod = lab.deploy(json!({})).await.ready_pods_of_image("web:v1").into_iter().next().expect("a pod");
    let door = with_logs().await;
    let dashboard = Dashboard::local("loglines-dashboard", &cluster().kubeconfig(), &["--server", &door.url()]);
    let browser = Browser::start("loglines-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/loglines/web"));
    browser.click(&format!("a[href$='/logs/{pod}']"));
    browser.reads(&format!("{pod} says hello"));
    browser.reads("The log ends here.");
    let text = browser.text();
    assert!(text.contains("follow=true") && text.contains("container=web"), "{text}");
    assert!(
        text.contains("<b>bold</b>") && !text.contains(['\u{1b}', '\u{202e}']),
        "what others write is shown: {text}"
    );
    assert_eq!(browser.run("return document.querySelectorAll('#log b').length"), 0);
    assert_eq!(text.matches('x').count() / 50_000, 1, "all of a long line is there");
    // Somebody looks at another tab, and comes back: the log is told anew, and not once more.
    let other_tab = "window.away = arguments[0]; Object.defineProperty(document, 'hidden', {configurable: true, get: () => window.away}); \
                     document.dispatchEvent(new Event('visibilitychange'));";
    browser.run(&other_tab.replace("arguments[0]", "true"));
    browser.run(&format!(
        "document.getElementById('log').append('stale'); {}",
        other_tab.replace("arguments[0]", "false")
    ));
    browser.until("it is told anew", || {
        let text = browser.text();
        !text.contains("stale") && text.contains("The log ends here.")
    });
    assert_eq!(browser.text().matches("says hello").count(), 1, "{}", browser.text());
    browser.click("a.button.quiet");
    browser.reads("previous=true");
    assert!(!browser.text().contains("follow=true"), "what has ended is not followed");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

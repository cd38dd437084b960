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

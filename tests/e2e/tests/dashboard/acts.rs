//! What a person does beside a plain release, by clicks and by keys: each with what the operator says to it, on the page.

use greenlight_e2e::{Lab, cluster};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::Dashboard;

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
/// Keeps the next question about a restart until `held` is called; `came` says that the page has its answer and has done with it what it does.
const HOLD_RESTART: &str = "
    const real = window.fetch;
    window.fetch = (address, options) => {
        if (!String(address).includes('/ask/restart')) return real(address, options);
        window.fetch = real;
        return new Promise(go => window.held = () => go(real(address, options).then(answer => {
            const read = answer.text.bind(answer);
            answer.text = () => read().then(text => { setTimeout(() => window.came = true); return text; });
            return answer;
        })));
    };";

/// Confirms what the open dialog asks, with a reason; what is answered then, until the dialog is closed.
fn confirm(browser: &Browser, reason: &str) -> String {
    browser.until("the forecast", || browser.has("dialog[open] .confirm"));
    if !reason.is_empty() {
        browser.write("#reason", reason);
    }
    browser.click("dialog .go");
    answered(browser)
}

/// What the open dialog answers.
fn answered(browser: &Browser) -> String {
    browser.until("an answer", || browser.has("dialog[open] .answer"));
    browser.run("return document.querySelector('dialog .answer').innerText").as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_asked_for_is_asked_by_clicks_and_the_operator_answers_on_the_page() {
    let lab = Lab::new("acted").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let first = lab.now().await.hash_of("web-active").expect("it serves");
    let dashboard = Dashboard::local("acted-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("acted-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/n/acted/web"));
    browser.until("healthy", || browser.has("#head .phase.healthy"));

    // What the endpoints prove is counted against the pods that there should be.
    browser.reads("2 of 2 pods of revision 1 are ready endpoints");
    let lost: Vec<String> = lab.now().await.ready_pods_of_image("web:v1").into_iter().take(1).collect();
    lab.set_readiness(lost.clone(), false).await;
    browser.reads("1 of 2 pods of revision 1 are ready endpoints");
    lab.set_readiness(lost, true).await;
    browser.reads("2 of 2 pods of revision 1 are ready endpoints");
    browser.until("healthy again", || browser.has("#head .phase.healthy"));

    // Of two questions the first one's answer comes last. It does not take the place of the other one, under the pointer.
    browser.run(HOLD_RESTART);
    browser.click("#head a.restart");
    browser.click("#head a.pause");
    browser.reads("Pause web?");
    browser.run("window.held()");
    browser.until("the late answer has come", || browser.run("return window.came") == true);
    assert_eq!(browser.run("return document.querySelector('dialog h2').textContent"), "Pause web?");
    browser.click("dialog [data-close]");
    browser.until("closed", || !browser.has("dialog[open]"));

    // A restart, by keys alone. The page changes behind the dialog, and the focus is not lost.
    let before = lab.now().await.pod_uids_of_image("web:v1");
    browser
        .run("const restart = document.querySelector('#head a.restart'); restart.dataset.old = 'yes'; restart.focus()");
    browser.press(" ");
    browser.until("the forecast", || browser.has("dialog[open] .confirm"));
    browser.write("#reason", "a new certificate");
    browser.press(ENTER);
    let answer = answered(&browser);
    assert!(answer.contains("Restart: the operator does it"), "{answer}");
    assert!(answer.contains("Replacing the pods from before") && answer.contains("a new certificate"), "{answer}");
    assert_eq!(browser.run("return document.activeElement.className"), "button go", "the answer has the focus");
    browser.until("the page has changed", || !browser.has("#head a.restart[data-old]"));
    browser.press(ENTER);
    browser.until("closed", || !browser.has("dialog[open]"));
    let has_focus = "return document.activeElement.matches('#head a.restart, #main')";
    browser.until("the focus is on the page", || browser.run(has_focus) == true);
    let now = lab
        .until("other pods serve", |now| {
            now.is_healthy_on("web:v1")
                && now.ready_pods_of_image("web:v1").len() == 2
                && now.pod_uids_of_image("web:v1").is_disjoint(&before)
        })
        .await;
    for pod in now.ready_pods_of_image("web:v1") {
        browser.until("the new pods are shown", || browser.has(&format!("a[href$='/logs/{pod}']")));
    }

    // Back to the one before the last, from the history.
    lab.release("web:v2").await;
    lab.release("web:v3").await;
    let second = lab.now().await.hash_of_image("web:v2").expect("it is there");
    let back_to = |hash: &str| format!(".history a.undo[href*='to={hash}']");
    browser.until("it can go back to each", || browser.has(&back_to(&first)) && browser.has(&back_to(&second)));
    browser.until("healthy", || browser.has("#head .phase.healthy"));
    browser.click(&back_to(&first));
    browser.reads("Go back from revision 3 to revision 1 of web?");
    browser.until("the forecast", || browser.has("dialog .forecast"));
    let answer = confirm(&browser, "the basket is empty");
    assert!(answer.contains("Undo: the operator does it"), "{answer}");
    assert!(answer.contains("Rejecting revision 3") && answer.contains("serving revision 1"), "{answer}");
    assert!(answer.contains("the basket is empty"), "{answer}");
    browser.click("dialog [data-close]");
    let back = lab.until("v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    assert_eq!(back.rejection_of_image("web:v3").expect("rejected").to.as_deref(), Some(first.as_str()));
    let production = "return document.querySelector('.lane[aria-label=Production] .set')?.innerText ?? ''";
    browser.until("it is in production", || {
        browser.has("#head .phase.degraded") && browser.run(production).to_string().contains("web:v1")
    });
    browser.until("the next way back", || browser.has(&back_to(&second)) && !browser.has(&back_to(&first)));

    // The operator refuses: while somebody reads what will happen, a colleague holds everything back.
    lab.preview("web:v4").await;
    browser.click("#head a.button.promote");
    browser.reads("Promote revision 4 of web?");
    browser.until("the forecast", || browser.has("dialog .forecast"));
    lab.greenlight(&["pause", "web"]).expect("paused");
    let answer = confirm(&browser, "");
    assert!(answer.contains("Promote: refused"), "{answer}");
    assert!(answer.contains("The rollout is paused by spec.paused. Resume it, then promote."), "{answer}");
    browser.click("dialog [data-close]");
    browser.until("it can be resumed", || browser.has("#head a.button.resume"));
    browser.click("#head a.button.promote");
    browser.reads("The operator would refuse it: The rollout is paused by spec.paused.");
    browser.write("#reason", "tested with the team");
    browser.press(ESCAPE);
    browser.until("closed", || !browser.has("dialog[open]"));
    // What somebody has written is not lost with the dialog.
    browser.click("#head a.button.promote");
    browser.until("the dialog", || browser.has("dialog[open] .confirm"));
    assert_eq!(browser.run("return document.getElementById('reason').value"), "tested with the team");
    browser.press(ESCAPE);
    browser.until("closed again", || !browser.has("dialog[open]"));
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");

    browser.click("#head a.button.resume");
    let answer = confirm(&browser, "the sale is over");
    assert!(answer.contains("Resume: the operator does it"), "{answer}");
    assert!(answer.contains("Rollout web lets promotions go on."), "{answer}");
    browser.click("dialog [data-close]");
    browser.until("it can be paused", || browser.has("#head a.button.pause"));
    browser.reads("resumed by admin: the sale is over");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1", "and nobody has promoted it");

    browser.click("#head a.button.abort");
    let answer = confirm(&browser, "not this week");
    assert!(answer.contains("Abort: the operator does it"), "{answer}");
    assert!(answer.contains("Rejecting revision 4") && answer.contains("not this week"), "{answer}");
    browser.click("dialog [data-close]");
    browser.until("it can be tried again", || browser.has("#head a.button.retry"));
    browser.reads("aborted: not this week");
    let now = lab.until("rejected", |now| now.rejection_of_image("web:v4").is_some()).await;
    assert_eq!(now.image_of("web-active"), "web:v1");
    // The refusal was one by its status, too, which the console tells.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|complaint| complaint.contains("409")), "{complaints:?}");
}

//! Nobody else gets in, and nothing that others write does anything. docs/dashboard.md has the table.

use greenlight_e2e::{Lab, cluster, http, rollout};
use serde_json::json;

use crate::browser::Browser;
use crate::dashboard::Dashboard;

#[tokio::test(flavor = "multi_thread")]
async fn other_users_other_origins_and_other_names_are_not_let_in() {
    let lab = Lab::new("attacked").await;
    lab.deploy(json!({})).await;
    let hash = lab.preview("web:v2").await.hash_of("web-preview").expect("it is there");
    let dashboard = Dashboard::local("attacked-dashboard", &cluster().kubeconfig(), &[]);
    let at = &dashboard.address;
    let status =
        |method: &str, path: &str, headers: &[(&str, &str)], body: &str| http(at, method, path, headers, body).status;

    // Another user of the machine: no key, or a guessed one.
    for path in ["/", "/n/attacked/web", "/live", "/n/attacked/web/live", "/n/attacked/web/logs/x"] {
        assert_eq!(status("GET", path, &[], ""), 401, "{path}");
    }
    assert_eq!(status("GET", "/?key=guessed", &[], ""), 403);
    let port = at.rsplit(':').next().expect("a port");
    assert_eq!(status("GET", "/", &[("Cookie", &format!("greenlight-{port}=guessed"))], ""), 401);

    // The person's own browser. The key is good once.
    let browser = Browser::start("attacked-browser");
    browser.open(&dashboard.printed);
    browser.reads("Rollouts:");
    let key = dashboard.printed.split_once('?').expect("a key").1;
    assert_eq!(status("GET", &format!("/?{key}"), &[], ""), 403, "whoever finds the address later is not let in");

    // A name that somebody points at loopback.
    browser.open(&format!("http://evil.test:{port}/"));
    browser.reads("This dashboard is not called evil.test");
    assert_eq!(status("GET", "/", &[("Host", "evil.test")], ""), 403);

    // A page of another origin, which is open in the same browser: another port of this machine.
    let evil = evil_page(&format!(
        "<!doctype html><title>evil</title><p id=out>evil</p><iframe id=frame src=\"http://{at}/\"></iframe>\
         <form id=form method=post action=\"http://{at}/n/attacked/web/ask/promote\">\
         <input name=revision value={hash}></form>"
    ))
    .await;
    browser.open(&evil);
    let read = format!(
        "const done = arguments[0]; fetch('http://{at}/', {{credentials: 'include'}})\
         .then(() => done('read'), () => done('not read'));"
    );
    assert_eq!(browser.run_async(&read), "not read");
    let write = format!(
        "const done = arguments[0]; fetch('http://{at}/n/attacked/web/ask/promote', {{method: 'POST', mode: 'no-cors', \
         credentials: 'include', body: new URLSearchParams({{revision: '{hash}'}})}}).then(() => done(1), () => done(2));"
    );
    browser.run_async(&write);
    let framed = "try { return document.getElementById('frame').contentDocument === null ? 'foreign' : 'ours' } catch (e) { return 'foreign' }";
    assert_eq!(browser.run(framed), "foreign");
    assert!(
        browser
            .complaints()
            .iter()
            .any(|complaint| complaint.contains("frame-ancestors") || complaint.contains("X-Frame-Options")),
        "the browser does not show it in a frame"
    );
    browser.run("document.getElementById('form').submit()");
    browser.until("the form was answered", || !browser.text().contains("evil"));
    browser.reads("of another origin");
    let headers = http(at, "GET", "/healthz", &[], "").head.to_lowercase();
    for header in
        ["x-frame-options: deny", "frame-ancestors 'none'", "script-src 'self'", "nosniff", "cache-control: no-store"]
    {
        assert!(headers.contains(header), "{header} is missing in {headers}");
    }
    assert!(!headers.contains("access-control-allow"), "{headers}");

    // The right cookie and origin, and no form that was made for this person.
    browser.open(&dashboard.url("/n/attacked/web"));
    let forged = format!(
        "const done = arguments[0]; fetch('/n/attacked/web/ask/promote', {{method: 'POST', \
         body: new URLSearchParams({{revision: '{hash}', csrf: 'guessed'}})}}).then(answer => done(answer.status));"
    );
    assert_eq!(browser.run_async(&forged), 403);
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1", "nobody promoted anything");
    // A link in a chat, though, leads there.
    browser.open(&evil);
    browser.run(&format!("location.href = '{}'", dashboard.url("/n/attacked/web")));
    browser.reads("waits for promotion");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_is_shown_and_not_run() {
    const SCRIPT: &str = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>'\"&\u{202e}";
    let lab = Lab::new("scripted").await;
    let mut object = rollout(json!({"template": {
        "metadata": {"annotations": {"note": SCRIPT}},
        "spec": {"containers": [{"name": "web", "image": "web:v1", "env": [{"name": "GREETING", "value": SCRIPT}]}]},
    }}));
    object["metadata"]["annotations"] = json!({"note": SCRIPT});
    lab.apply(&object).expect("applied");
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    lab.set_template("web:v2", &[("note", "<script>window.hacked=2</script>")]).await;
    lab.until("waits", |now| now.waits_in_preview("web:v2")).await;
    // Its author is a script, and so is its reason.
    let hash = lab.now().await.hash_of("web-preview").expect("it is there");
    let request =
        json!({"action": "abort", "revision": hash, "by": SCRIPT, "at": jiff::Timestamp::now(), "reason": SCRIPT});
    lab.annotate_request(&request.to_string()).await;
    lab.until("rejected", |now| now.phase() == "Degraded").await;
    // An Ingress whose host is fine and whose path is not, and an event that nobody of ours wrote.
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "forged", "namespace": "scripted"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "<b>x</b>", "action": "x", "type": "Warning", "note": SCRIPT,
        "reportingController": "somebody", "reportingInstance": "x",
        "regarding": {"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "namespace": "scripted"},
    });
    lab.create_raw("/apis/events.k8s.io/v1/namespaces/scripted/events", &event);

    let dashboard = Dashboard::local("scripted-dashboard", &cluster().kubeconfig(), &[]);
    let browser = Browser::start("scripted-browser");
    browser.open(&dashboard.printed);
    browser.open(&dashboard.url("/?q=scripted"));
    browser.until("the row", || browser.has(".row"));
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
    browser.open(&dashboard.url("/n/scripted/web"));
    browser.reads("rejected by <img src=x onerror=");
    browser.until("the event", || browser.text().contains("<b>x</b>"));
    // Again, by the stream and the script that puts it there.
    lab.set_template("web:v3", &[("note", SCRIPT)]).await;
    browser.until("it follows", || browser.text().contains("web:v3"));
    browser.open(&dashboard.url("/n/scripted/web/yaml"));
    browser.reads("web:v3");
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
    browser.open(&dashboard.url("/n/scripted/web"));
    browser.reads("rejected by <img src=x onerror=");
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
    assert_eq!(browser.run("return document.querySelectorAll('main img, main script').length"), 0);
    assert!(!browser.run("return document.querySelector('#head').innerText").to_string().contains('\u{202e}'));
    // The search, too.
    browser.open(&dashboard.url("/?q=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E"));
    browser.reads("None is like this");
    assert_eq!(browser.run("return window.hacked ?? null"), json!(null));
}

/// A page of somebody else's, on loopback.
async fn evil_page(page: &str) -> String {
    use axum::response::Html;
    use axum::routing::get;
    let page = page.to_owned();
    let app = axum::Router::new().route("/", get(move || async move { Html(page) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    // Another site, and not only another port: that is what `localhost` is to `127.0.0.1`.
    let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

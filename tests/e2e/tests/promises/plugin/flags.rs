//! kubectl's flags, and what is said when one of them leads nowhere.

use std::time::{Duration, Instant};

use greenlight_e2e::{Lab, cluster, rollout};
use serde_json::json;

use super::{admin, bare, ended};

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_which_role_would_let_them_and_it_does() {
    let lab = Lab::without_operator("flagsas").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let refused = ended(admin(&["list", "-n", "flagsas", "--as", "ann"])).with(1);
    assert!(refused.contains(r#"User "ann" cannot list"#), "{refused}");
    assert!(refused.contains("ClusterRole greenlight-viewer (it is part of view)"), "{refused}");
    let (_, command) = refused.trim().split_once("what this makes: kubectl ").expect("a command");
    lab.kubectl(&command.replace("NAME", "reader").split(' ').collect::<Vec<_>>());
    lab.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=ann", "--group=team"]);
    for who in [
        ["--as", "ann"].as_slice(),
        &["--as", "bob", "--as-group", "team"],
        &["--as", "cy", "--as-group", "x", "--as-group", "team", "--as-uid", "7"],
    ] {
        let args = [&["list", "-n", "flagsas"], who].concat();
        assert!(ended(admin(&args)).well().contains("web"), "{args:?}");
    }
    ended(admin(&["list", "-n", "flagsas", "--as", "bob"])).with(1);
    let alone = ended(admin(&["list", "--as-group", "team"])).with(1);
    assert!(alone.contains("--as <USER>"), "{alone}");

    // One may be looked at, and not asked for anything: it is the API server that says so, and what is missing.
    lab.kubectl(&["create", "role", "one", "--verb=get", "--resource=bluegreenrollouts.greenlight.dev"]);
    lab.kubectl(&["create", "rolebinding", "one", "--role=one", "--user=dan"]);
    let refused = ended(admin(&["pause", "web", "-n", "flagsas", "--as", "dan"])).with(1);
    assert!(refused.contains("cannot pause rollout web") && refused.contains("--verb=patch"), "{refused}");
    let unknown = ended(admin(&["pause", "wbe", "-n", "flagsas", "--as", "dan"])).with(1);
    assert!(unknown.contains("no rollout wbe in namespace flagsas: and you may not list"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_kubeconfig_the_flags_say_everything() {
    let lab = Lab::without_operator("flagsserver").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let (server, token) = cluster().endpoint();
    let certificate = cluster().dir().join("certs/apiserver.crt").display().to_string();
    let list = |more: &[&str]| ended(bare(&[&["list", "-n", "flagsserver", "--server", server], more].concat()));
    assert!(list(&["--token", token, "--insecure-skip-tls-verify"]).well().contains("web"));
    assert!(list(&["--token", token, "--certificate-authority", &certificate]).well().contains("web"));
    let untrusted = list(&["--token", token]).with(1);
    assert!(untrusted.contains("cannot be trusted") && untrusted.contains("--certificate-authority"), "{untrusted}");
    let unnamed =
        list(&["--token", token, "--certificate-authority", &certificate, "--tls-server-name", "other"]).with(1);
    assert!(unnamed.contains("certificate"), "{unnamed}");
    let expired = list(&["--token", "of yesterday", "--insecure-skip-tls-verify"]).with(1);
    assert!(expired.contains("does not know who you are (401)") && expired.contains("expired"), "{expired}");
    let both = list(&["--insecure-skip-tls-verify", "--certificate-authority", &certificate]).with(1);
    assert!(both.contains("cannot be used with"), "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_is_chosen_from_by_name() {
    let lab = Lab::without_operator("flagschoice").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let (server, token) = cluster().endpoint();
    let file = cluster().dir().join("choice.kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "elsewhere",
        "clusters": [
            {"name": "elsewhere", "cluster": {"server": "https://127.0.0.1:1"}},
            {"name": "here", "cluster": {"server": server, "insecure-skip-tls-verify": true}},
        ],
        "users": [{"name": "nobody", "user": {}}, {"name": "somebody", "user": {"token": token}}],
        "contexts": [
            {"name": "elsewhere", "context": {"cluster": "elsewhere", "user": "nobody"}},
            {"name": "here", "context": {"cluster": "here", "user": "somebody", "namespace": "flagschoice"}},
        ],
    });
    std::fs::write(&file, text.to_string()).expect("written");
    let file = file.display().to_string();
    let list = |more: &[&str]| ended(bare(&[&["list", "--kubeconfig", &file], more].concat()));
    let unreachable = list(&[]).with(1);
    assert!(unreachable.contains("the API server cannot be reached"), "{unreachable}");
    assert!(list(&["--context", "here"]).well().contains("web"), "and its namespace");
    assert!(list(&["--cluster", "here", "--user", "somebody", "-n", "flagschoice"]).well().contains("web"));
    let mut several = bare(&["list", "--context", "here"]);
    several.env("KUBECONFIG", format!("/nowhere/kubeconfig:{file}"));
    assert!(ended(several).well().contains("web"), "a file that does not exist hides no other");
    let none = list(&["--context", "nowhere"]).with(1);
    assert!(none.contains("has no context nowhere. Its contexts: elsewhere, here"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_shown_from_level_six_on_and_never_a_token() {
    let lab = Lab::without_operator("flagsv").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let (_, token) = cluster().endpoint();
    for level in ["-v6", "-v=6", "--v=9"] {
        let shown = ended(admin(&["get", "rollout", "web", "-n", "flagsv", level]));
        assert!(shown.err.contains("/bluegreenrollouts/web 200 OK in "), "{level}: {}", shown.err);
        assert!(!shown.err.contains(token) && !shown.out.contains("200 OK"), "{level}: {}", shown.err);
    }
    let quiet = ended(admin(&["get", "rollout", "web", "-n", "flagsv", "-v", "5"]));
    assert_eq!(quiet.err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_given_up_after_the_time_that_was_given() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", silent.local_addr().expect("an address"));
    let started = Instant::now();
    let given_up = ended(bare(&["list", "--server", &server, "--request-timeout", "1s"])).with(1);
    assert!(given_up.contains("no answer within 1 s (--request-timeout)"), "{given_up}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // Whoever waits for a rollout waits as long as they say, also for the first answer.
    let waited = ["status", "web", "--server", &server, "--timeout", "1s", "--request-timeout", "30s"];
    let waited = ended(bare(&waited)).with(4);
    assert!(waited.contains("The API server has not answered."), "{waited}");
}

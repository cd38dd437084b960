//! What is said when something is wrong around the plugin, or with what it is given.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::IntoResponse;
use greenlight_e2e::{Door, Lab, binary, cluster, rollout};
use http::StatusCode;
use serde_json::{Value, json};

use super::{admin, bare, ended};

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_trouble_says_what_it_is_and_what_to_do() {
    let nothing = ended(bare(&["list"])).with(1);
    assert!(nothing.contains("no cluster: there is no kubeconfig") && nothing.contains("--server"), "{nothing}");
    let mut elsewhere = bare(&["list"]);
    elsewhere.env("KUBECONFIG", "/nowhere/kubeconfig");
    assert!(ended(elsewhere).with(1).contains("no cluster: there is no kubeconfig"));
    let missing = ended(bare(&["list", "--kubeconfig", "/nowhere/kubeconfig"])).with(1);
    assert!(
        missing.contains("cannot read /nowhere/kubeconfig") && missing.matches("No such file").count() == 1,
        "{missing}"
    );
    let broken = cluster().dir().join("broken.kubeconfig");
    std::fs::write(&broken, "clusters: {").expect("written");
    let broken = ended(bare(&["list", "--kubeconfig", &broken.display().to_string()])).with(1);
    assert!(broken.contains("cannot read") && broken.contains("broken.kubeconfig"), "{broken}");
    let unreachable = ended(bare(&["get", "rollout", "web", "--server", "https://127.0.0.1:1"])).with(1);
    assert!(
        unreachable.contains("the API server cannot be reached") && unreachable.contains("--server"),
        "{unreachable}"
    );
    let unreachable = ended(admin(&["list", "--server", "not an address"])).with(1);
    assert!(unreachable.contains("cluster url"), "{unreachable}");
    let mut watching = Command::new("timeout");
    watching.arg("60").arg(binary("kubectl-greenlight")).args(["list", "--watch", "--server", "https://127.0.0.1:1"]);
    let unreachable = ended(watching).with(1);
    assert!(unreachable.contains("the API server cannot be reached"), "also to whoever watches: {unreachable}");
    let no_namespace = ended(admin(&["get", "rollout", "web", "-n", "nowhere"])).with(1);
    assert!(no_namespace.contains("no rollout web in namespace nowhere: there is no such namespace"), "{no_namespace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_busy_api_server_asks_for_is_told_with_its_length() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move || {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let list = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRolloutList", "metadata": {}, "items": [],
            });
            if is_first {
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3")], "busy").into_response()
            } else {
                ([("content-type", "application/json")], list.to_string()).into_response()
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let listed = ended(bare(&["list", "--server", &server]));
    assert_eq!((listed.code, asked.load(Ordering::SeqCst)), (0, 2), "{listed:?}");
    assert!(listed.err.starts_with("The API server is too busy. It is asked again in 3 s.\n"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_object_has_are_told_at_once_and_ask_nobody() {
    for (name, wanted) in [
        ("Web", "there is a 'W' in it"),
        ("wéb", "there is a 'é' in it"),
        ("pod/web", "there are only rollouts here"),
        ("../secrets", "write NAME, or bgr/NAME"),
        ("a,b", "there is a ',' in it"),
        ("", "write the name of a rollout"),
    ] {
        for command in [["status"].as_slice(), &["get", "rollout"], &["promote"], &["logs"], &["doctor"]] {
            let told = ended(bare(&[command, &[name]].concat())).with(1);
            assert!(told.contains(wanted), "{command:?} {name:?}: {told}");
        }
    }
    let flag = ended(bare(&["promote", "--now"])).with(1);
    assert!(flag.contains("unexpected argument '--now'"), "{flag}");
    let flag = ended(bare(&["promote", "--", "--now"])).with(1);
    assert!(flag.contains("it begins with neither a letter nor a digit"), "after -- it is a name: {flag}");
    for (args, wanted) in [
        (["status", "web", "--timeout", "soon"].as_slice(), "write a number and a unit, such as 30s, 5m or 1h30m"),
        (&["status", "web", "--timeout", "9999999999999999999h"], "write a shorter time"),
        (&["set", "image", "web", "web"], "write CONTAINER=IMAGE"),
        (&["undo", "web", "--to-revision", "last"], "invalid digit"),
        (&["get", "pods"], "unrecognized subcommand"),
    ] {
        let told = ended(bare(args)).with(1);
        assert!(told.contains(wanted), "{args:?}: {told}");
    }
    assert_eq!((ended(bare(&["--help"])).code, ended(bare(&["--version"])).code), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_crds_it_says_what_to_install() {
    let instead = |uri: &str| uri.contains("greenlight.dev").then(|| (404, "404 page not found\n".to_owned()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    for args in
        [["list"].as_slice(), &["get", "rollout", "web"], &["promote", "web"], &["doctor", "web"], &["list", "--watch"]]
    {
        let told = ended(bare(&[args, &["--server", &door.url()]].concat())).with(1);
        assert!(told.contains("install Greenlight first"), "{args:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_which_half_is_missing_are_shown_as_far_as_they_go() {
    let _lab = Lab::without_operator("halfthere").await;
    let owner =
        json!([{"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u"}]);
    let mut object = rollout(json!({}));
    object["metadata"] = json!({"name": "web", "namespace": "halfthere", "uid": "u"});
    object["status"] = json!({"phase": "Paused", "message": "half of it \u{1b}[2J", "activeRevision": "gone"});
    let rs = json!({"metadata": {"name": "web-x", "uid": "r", "ownerReferences": owner}});
    let pods = json!([{"metadata": {"name": "web-x-1", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-x", "uid": "r"}]}}]);
    let list = |kind: &str, items: &Value| {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": items}).to_string()
    };
    let (sets, pods, none) = (list("ReplicaSetList", &json!([rs])), list("PodList", &pods), list("List", &json!([])));
    let (one, all) = (object.to_string(), list("BlueGreenRolloutList", &json!([object])));
    let instead = move |uri: &str| {
        let path = uri.split('?').next().unwrap_or(uri);
        let resource = path.rsplit('/').next().unwrap_or_default();
        Some(match resource {
            "web" => (200, one.clone()),
            "bluegreenrollouts" => (200, all.clone()),
            "replicasets" => (200, sets.clone()),
            "pods" => (200, pods.clone()),
            "services" | "ingresses" | "endpointslices" => (200, none.clone()),
            _ => (404, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "none", "details": {"kind": "services"}}).to_string()),
        })
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let plugin = |args: &[&str]| ended(bare(&[args, &["-n", "halfthere", "--server", &door.url()]].concat()));
    let tree = plugin(&["get", "rollout", "web"]).well();
    assert!(tree.contains("Half of it �[2J") && tree.contains("does not exist") && tree.contains("└─ …-1"), "{tree}");
    plugin(&["history", "web"]).well();
    plugin(&["list", "-o", "wide"]).well();
    assert_eq!(plugin(&["status", "web"]).code, 3);
    assert_eq!(plugin(&["doctor", "web"]).code, 2);
    let diff = plugin(&["diff", "web"]).with(1);
    assert!(diff.contains("nothing of rollout web serves"), "{diff}");
    let logs = plugin(&["logs", "web"]);
    assert!(logs.code == 0 && logs.err.contains("No pod of revision 0"), "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_view_sees_what_there_is_to_see() {
    let lab = Lab::new("viewer").await;
    lab.deploy(json!({})).await;
    lab.kubectl(&[
        "create",
        "role",
        "viewer",
        "--verb=get,list,watch",
        "--resource=bluegreenrollouts.greenlight.dev,replicasets.apps,pods,services",
    ]);
    lab.kubectl(&["create", "rolebinding", "viewer", "--role=viewer", "--user=vera"]);
    let plugin = |args: &[&str]| ended(admin(&[args, &["-n", "viewer", "--as", "vera"]].concat()));
    for args in
        [["get", "rollout", "web"].as_slice(), &["list"], &["history", "web"], &["status", "web"], &["doctor", "web"]]
    {
        plugin(args).well();
    }
    let doctor = plugin(&["doctor", "web"]);
    let missing =
        "Not shown, because you lack the right: EndpointSlices, so what gets traffic; Ingresses, so the hosts.";
    assert!(doctor.err.contains(missing) && doctor.out.contains("is in order, as far as it is shown."), "{doctor:?}");
    for (args, verb) in [
        (["promote", "web"].as_slice(), "promote"),
        (&["abort", "web"], "abort"),
        (&["undo", "web"], "rollback"),
        (&["restart", "web"], "restart"),
    ] {
        let refused = plugin(args).with(1);
        assert!(refused.contains(&format!("cannot ask rollout web to {verb}: ")), "{refused}");
        assert!(
            refused.contains(r#"User "vera" cannot patch"#) && refused.contains("greenlight-operator"),
            "{refused}"
        );
    }
    for args in [["pause", "web"].as_slice(), &["set", "image", "web", "web=web:v2"]] {
        assert!(plugin(args).with(1).contains("--verb=patch --resource=bluegreenrollouts.greenlight.dev -n viewer"));
    }
    let logs = plugin(&["logs", "web"]).with(1);
    assert!(logs.contains("--verb=get --resource=pods/log -n viewer") || logs.contains("--resource=pods"), "{logs}");
    let everywhere = plugin(&["list", "-A"]).with(1);
    assert!(everywhere.contains("kubectl create clusterrole NAME --verb=list"), "{everywhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_nothing_but_rollouts_is_shown_those_and_told_what_is_missing() {
    let lab = Lab::new("onlyrollouts").await;
    lab.deploy(json!({})).await;
    let verbs = "--verb=get,list,watch,patch,promote,abort,rollback,restart";
    lab.kubectl(&["create", "role", "few", verbs, "--resource=bluegreenrollouts.greenlight.dev"]);
    lab.kubectl(&["create", "rolebinding", "few", "--role=few", "--user=finn"]);
    let as_finn = |args: &[&str]| admin(&[args, &["-n", "onlyrollouts", "--as", "finn"]].concat());
    let plugin = |args: &[&str]| ended(as_finn(args));
    for args in [["get", "rollout", "web"].as_slice(), &["get", "rollout", "web", "-o", "wide"]] {
        let tree = plugin(args).well();
        let missing = "Not shown, because you lack the right: ReplicaSets; pods; Services; Ingresses, so the hosts.";
        assert!(tree.contains(missing) && tree.contains("-n onlyrollouts --clusterrole=view --user=finn"), "{tree}");
        assert!(tree.contains("Healthy") && !tree.contains("does not exist"), "{tree}");
    }
    let facts: Value = serde_json::from_str(&plugin(&["get", "rollout", "web", "-o", "json"]).well()).expect("JSON");
    assert_eq!((&facts["unseen"][1]["what"], &facts["unseen"][1]["denied"]), (&json!("pods"), &json!(true)));
    let yaml: Value = serde_saphyr::from_str(&plugin(&["get", "rollout", "web", "-o", "yaml"]).well()).expect("YAML");
    assert_eq!(yaml["unseen"], facts["unseen"]);
    let history = plugin(&["history", "web"]);
    assert!(history.code == 0 && history.err.contains("Not shown, because you lack the right"), "{history:?}");
    assert!(history.out.lines().nth(1).is_some_and(|line| line.contains("active")), "the record tells: {history:?}");
    let history: Value = serde_json::from_str(&plugin(&["history", "web", "-o", "json"]).out).expect("JSON");
    assert_eq!((&history[0]["number"], &history[0]["role"]), (&json!(1), &json!("active")));
    assert!(plugin(&["status", "web"]).well().contains("Healthy"));
    let mut watching = as_finn(&["get", "rollout", "web", "--watch"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    assert!(line.contains("Healthy"), "{line}");
    watching.kill().expect("it ends");
    watching.wait().expect("it ends");
    // What would come of a change is not known without the pods; that the API server would take it is.
    let tried = plugin(&["undo", "web", "--to-revision", "1", "--dry-run"]).well();
    assert!(tried.contains("is allowed. Nothing was changed. What would come of it is not known here"), "{tried}");
    // Without these objects there is nothing to print.
    for (args, what) in
        [(["logs", "web"].as_slice(), "cannot list pods"), (&["diff", "web"], "cannot list ReplicaSets")]
    {
        let told = plugin(args).with(1);
        assert!(told.contains(what) && told.contains("What would allow it: a binding of what this makes"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_told_with_the_reason_and_not_as_a_missing_right() {
    let lab = Lab::new("halfread").await;
    lab.deploy(json!({})).await;
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "etcd timed out"});
    let instead = move |uri: &str| uri.contains("/ingresses").then(|| (500, status.to_string()));
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let tree = ended(bare(&["get", "rollout", "web", "-n", "halfread", "--server", &door.url()])).well();
    let told = "Not shown, because it could not be read just now: Ingresses, so the hosts (etcd timed out).";
    assert!(tree.contains(told) && !tree.contains("lack the right"), "{tree}");
    assert!(tree.contains("→ revision 1"), "the rest is there: {tree}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_not_blamed_for_an_api_server_that_is_not_heard() {
    let lab = Lab::without_operator("unheard").await;
    lab.apply(&rollout(json!({}))).expect("applied");
    let promote = |server: &str| {
        let args = ["promote", "web", "--revision", "v2", "-n", "unheard", "--timeout", "2s", "--server", server];
        ended(bare(&args))
    };
    let asked = AtomicBool::new(false);
    let silent = Door::open(Duration::ZERO, move |uri: &str| {
        let was_asked = asked.fetch_or(uri.contains("fieldManager="), Ordering::SeqCst);
        was_asked.then(|| (Door::SILENCE, String::new()))
    });
    let silent = silent.await.expect("a door");
    let told = promote(&silent.url()).with(4);
    assert!(told.contains("What came of the request is not known: the API server does not answer"), "{told}");
    assert!(told.contains("kubectl greenlight status web -n unheard") && !told.contains("Is it running?"), "{told}");
    // A watch that has been cut says nothing, either; a look does.
    let is_watched = |uri: &str| uri.contains("fieldSelector=").then(|| (Door::SILENCE, String::new()));
    let cut = Door::open(Duration::ZERO, is_watched).await.expect("a door");
    let told = promote(&cut.url()).with(4);
    assert!(told.contains("The operator has not answered. Is it running?"), "{told}");
    let mut waiting = bare(&["status", "web", "-n", "unheard", "--timeout", "10s", "--server", &cut.url()]);
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(waiting.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.starts_with("Pending: "), "{first}");
    let healthy = r#"{"status": {"phase": "Healthy", "message": "it serves", "observedGeneration": 1}}"#;
    lab.kubectl(&["patch", "bgr", "web", "--subresource=status", "--type=merge", "-p", healthy]);
    assert!(waiting.wait().expect("it ends").success(), "what is so in the end counts");
    let finalizers = |finalizers: Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        lab.kubectl(&["patch", "bgr", "web", "--type=merge", "-p", &patch]);
    };
    finalizers(json!(["example.com/held"]));
    let requested = || lab.kubectl(&["get", "bgr", "web", "-o", "jsonpath={.metadata.annotations}"]);
    let before = requested();
    let url = cut.url();
    let promotes =
        ["promote", "web", "--revision", "v2", "-n", "unheard", "--timeout", "10s", "--server", url.as_str()];
    let waiting = bare(&promotes).stderr(Stdio::piped()).spawn().expect("it runs");
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if requested() != before {
            break;
        }
    }
    lab.kubectl(&["delete", "bgr", "web", "--wait=false"]);
    let waited = waiting.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&waited.stderr);
    assert!(told.contains("is being deleted since") && !told.contains("Is it running?"), "{told}");
    let told = promote(&cut.url()).with(1);
    assert!(told.contains("rollout web is being deleted"), "{told}");
    finalizers(Value::Null);
}

#[test]
fn a_browser_that_leaves_does_not_end_the_dashboard() {
    const SIGPIPE: u32 = 13;
    let mut child = admin(&["dashboard", "--no-open"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    assert!(line.starts_with("The dashboard is at http://127.0.0.1:"), "{line}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("Linux says so").trim();
    let ignored = u64::from_str_radix(ignored, 16).expect("a number");
    child.kill().expect("it ends");
    child.wait().expect("it ends");
    assert_ne!(
        ignored & (1 << (SIGPIPE - 1)),
        0,
        "writing to a connection that was closed is an error, and not the end: {status}"
    );
}

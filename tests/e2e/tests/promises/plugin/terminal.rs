//! What is printed, on terminals of all kinds and on none. `script` gives a command a terminal.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenlight_e2e::{Door, Lab, binary, cluster, rollout};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

/// What the plugin prints on a terminal of so many columns.
pub(super) fn on_terminal(columns: usize, env: &[(&str, &str)], args: &str) -> String {
    let line = format!("stty cols {columns} rows 40; exec {} {args}", binary("kubectl-greenlight").display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear().stdin(Stdio::null());
    command.env("KUBECONFIG", cluster().kubeconfig()).env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color");
    command.envs(env.iter().copied());
    String::from_utf8_lossy(&command.output().expect("script runs").stdout).into_owned()
}

/// Without what colours and links it.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\u{1b}', Some('[')) => drop(letters.by_ref().find(char::is_ascii_alphabetic)),
            ('\u{1b}', Some(']')) => drop(letters.by_ref().find(|letter| *letter == '\\')),
            _ => out.push(letter),
        }
    }
    out
}

async fn with_address(name: &str) -> Lab {
    let lab = Lab::new(name).await;
    let backend = json!({"service": {"name": "web-active", "port": {"number": 80}}});
    let rule = |host: &str| json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"rules": [rule("web.local")]},
    });
    lab.apply(&ingress).expect("applied");
    lab.deploy(json!({})).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_links_are_for_terminals_that_have_them() {
    let _lab = with_address("colours").await;
    let tree = "get rollout web -n colours";
    let link = "\u{1b}]8;;http://web.local\u{1b}\\http://web.local\u{1b}]8;;\u{1b}\\";
    let with = on_terminal(120, &[("FORCE_HYPERLINK", "1")], tree);
    assert!(with.contains(link) && with.contains("\u{1b}[32m✔ Healthy"), "{with:?}");
    let known = on_terminal(120, &[("VTE_VERSION", "7000")], tree);
    assert!(known.contains(link), "{known:?}");
    let unknown = on_terminal(120, &[], tree);
    assert!(!unknown.contains("\u{1b}]8") && unknown.contains("http://web.local"), "{unknown:?}");
    let plain = on_terminal(120, &[("NO_COLOR", "1")], tree);
    assert!(!plain.contains("\u{1b}[3"), "{plain:?}");
    let dumb = on_terminal(120, &[("TERM", "dumb"), ("FORCE_HYPERLINK", "1")], tree);
    assert!(!dumb.contains('\u{1b}') && dumb.contains("✔ Healthy"), "{dumb:?}");
    let mut piped = super::admin(&["get", "rollout", "web", "-n", "colours"]);
    piped.env("FORCE_HYPERLINK", "1").env("TERM", "xterm-256color").env("CLICOLOR_FORCE", "1");
    assert!(!super::ended(piped).well().contains('\u{1b}'), "into a pipe goes plain text");
}

/// How many columns of a terminal the widest line takes.
fn widest(text: &str) -> usize {
    text.lines().map(|line| line.trim_end_matches('\r').width()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_eighty_columns_nothing_runs_over_and_a_pipe_has_everything() {
    let lab = with_address("narrow").await;
    let image = "registry.example.com/a/rather/long/path/of/an/image/web:v2";
    let note =
        "this is told of every pod, in more words than one line of a terminal has room for: 網站網站 cafe\u{301}";
    lab.set_template(image, &[("note", note)]).await;
    lab.until("waits", |now| now.waits_in_preview(image)).await;
    let why = "because of what was seen in the numbers of last night, which nobody can explain yet, 網站 cafe\u{301}";
    super::ended(super::admin(&["abort", "web", "-n", "narrow", "--reason", why])).well();
    let manifest = cluster().dir().join("narrow.json");
    let next = rollout(json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:v3"}]}}}));
    std::fs::write(&manifest, next.to_string()).expect("written");
    let plan = format!("plan -f {}", manifest.display());
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Of all namespaces some have long names, and what cannot be read there is told beside the list.
    let tables = [
        "list",
        "list -o wide",
        "list -A 2>/dev/null",
        "list -A -o wide 2>/dev/null",
        "get rollout web",
        "history web",
    ];
    let others =
        ["get rollout web -o wide", "doctor web", "diff web", "status web --timeout 0s 2>/dev/null", plan.as_str()];
    for (columns, commands) in [(80, [&tables[..], &others].concat()), (64, tables.to_vec())] {
        for command in commands {
            let text = visible(&on_terminal(columns, &[], &format!("-n narrow {command}")));
            // What somebody copies stays on one line.
            let told: String = text.lines().filter(|line| !line.contains(" fix: ")).map(|l| format!("{l}\n")).collect();
            assert!(widest(&told) <= columns, "{command} on {columns}: {}\n{text}", widest(&told));
            assert!(text.contains("web"), "{command}: {text}");
        }
    }
    let tree = visible(&on_terminal(80, &[], "get rollout web -n narrow"));
    assert!(words(&tree).contains(&words(why)), "it goes on in the next line, whole: {tree}");
    for command in ["get rollout web", "history web", "diff web", "list -o wide"] {
        let text = visible(&on_terminal(80, &[], &format!("-n narrow {command}")));
        assert!(text.contains(image), "{command}: an image is in no pieces: {text}");
    }
    assert!(tree.contains("http://web.local"), "nor is an address: {tree}");
    let piped = super::ended(super::admin(&["list", "-n", "narrow"])).well();
    assert!(piped.lines().nth(1).is_some_and(|line| line.contains("rejected") && !line.contains('…')), "{piped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_a_terminal_sees_that_it_does_and_a_pipe_does_not() {
    let lab = with_address("patient").await;
    lab.set_template("web:v2", &[(greenlight_test_cluster::BEHAVIOUR, "hang")]).await;
    let shown = on_terminal(80, &[], "status web -n patient --timeout 3s");
    assert!(shown.contains("waiting for rollout web"), "{shown:?}");
    assert!(visible(&shown).contains("Progressing: "), "{shown:?}");
    let piped = super::ended(super::admin(&["status", "web", "-n", "patient", "--timeout", "2s"]));
    assert_eq!((piped.code, piped.err.as_str()), (4, ""), "{piped:?}");
    let watched = on_terminal(80, &[], "get rollout web -n patient --watch & sleep 3; kill -INT $!; wait");
    assert!(
        watched.contains("\u{1b}[?1049h") && watched.contains("\u{1b}[?1049l"),
        "the screen comes back: {watched:?}"
    );
}

/// Whether this is how `get` lists the pods of a rollout; whoever watches lists them by pages.
fn reads_pods(uri: &str) -> bool {
    uri.contains("/pods?") && !uri.contains("limit=") && !uri.contains("watch=")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_what_passes_and_says_how_old_its_picture_is() {
    let _lab = with_address("outlives").await;
    let reads = AtomicUsize::new(0);
    let failure =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "etcd"}).to_string();
    let over = cluster().dir().join("outlives.over");
    let is_over = over.clone();
    // The first look is good, and two after it are not.
    let instead = move |uri: &str| {
        let read = reads_pods(uri).then(|| reads.fetch_add(1, Ordering::SeqCst))?;
        if read > 2 {
            std::fs::write(&is_over, "").expect("written");
        }
        (1..=2).contains(&read).then(|| (500, failure.clone()))
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    let line = format!(
        "get rollout web -n outlives --server {} --watch & p=$!; until [ -e {} ] || ! kill -0 $p; do sleep 0.1; done; sleep 3; \
         kill -INT $p; wait $p; echo code=$?",
        door.url(),
        over.display()
    );
    let shown = on_terminal(120, &[], &line);
    assert!(shown.contains("The API server does not answer. What you see was read "), "{shown:?}");
    let (_, end) = shown.rsplit_once("\u{1b}[?1049l").expect("the screen comes back");
    assert!(end.contains("code=0") && end.contains("Healthy") && !end.contains("does not answer"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_can_be_ended_while_the_api_server_keeps_silent() {
    let _lab = with_address("endsit").await;
    let reads = AtomicUsize::new(0);
    let asked = cluster().dir().join("endsit.asked");
    let asks = asked.clone();
    let instead = move |uri: &str| {
        let is_second = reads_pods(uri) && reads.fetch_add(1, Ordering::SeqCst) == 1;
        is_second.then(|| {
            std::fs::write(&asks, "").expect("written");
            (Door::SILENCE, String::new())
        })
    };
    let door = Door::open(Duration::ZERO, instead).await.expect("a door");
    // Whoever does not end by that is ended in the end.
    let line = format!(
        "get rollout web -n endsit --server {} --watch & p=$!; (sleep 60; kill -9 $p) & until [ -e {} ]; do sleep 0.1; done; \
         kill -INT $p; wait $p; echo code=$?; kill $(jobs -p) 2>/dev/null",
        door.url(),
        asked.display()
    );
    let shown = on_terminal(80, &[], &line);
    assert!(shown.contains("code=0") && shown.contains("\u{1b}[?1049l"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_is_watched_in_lines() {
    let _lab = with_address("dumbwatch").await;
    for command in ["get rollout web", "list"] {
        let line = format!("{command} -n dumbwatch --watch & p=$!; sleep 5; kill -INT $p; wait $p");
        let shown = on_terminal(80, &[("TERM", "dumb")], &line);
        assert!(shown.contains("Healthy") && !shown.contains('\u{1b}'), "{command}: {shown:?}");
    }
}

//! The person's side: what the plugin prints, and its exit codes.
//!
//! | question | file |
//! |---|---|
//! | Does it take kubectl's flags, and mean by them what kubectl does? | [`flags`] |
//! | Are lists what they should be, of one and of very many? | [`lists`] |
//! | What does it ask of the API server, and how often? | [`frugal`] |
//! | Does it wait for what is named, say why, and only try when told so? | [`asking`] |
//! | Do logs and differences come from the right revision? | [`looking`] |
//! | Is what it prints fit for a terminal, narrow, dumb or none? | [`terminal`] |
//! | How does a release look in a terminal? | [`recording`] |
//! | What does it say when something is wrong around it? | [`trouble`] |
//! | Does it open a browser for its dashboard, and end with Ctrl-C? | [`opening`] |
//! | Does it complete names, has it manual pages, and can krew install it? | [`installed`] |

mod asking;
mod flags;
mod frugal;
mod installed;
mod lists;
mod looking;
mod opening;
mod recording;
mod terminal;
mod trouble;

use std::process::{Command, Stdio};

use greenlight_e2e::{Lab, binary, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::{Value, json};

/// How a run of the plugin ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// What it printed, if it ended well.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// What it said, if it ended with this code.
    #[track_caller]
    fn with(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.err
    }
}

/// The plugin with these arguments and nothing around it: no kubeconfig, no terminal, no home.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(binary("kubectl-greenlight"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

/// The plugin as the administrator.
fn admin(args: &[&str]) -> Command {
    let mut command = bare(args);
    command.env("KUBECONFIG", cluster().kubeconfig());
    command
}

fn ended(mut command: Command) -> Ended {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_says_what_it_does_and_what_it_wants() {
    let lab = Lab::new("tree").await;
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    let text = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(text.contains("✔ Healthy") && text.contains("Revision 1 (web:v1) is active."), "{text}");
    assert!(!text.contains('\x1b'), "no colours when it is not a terminal: {text:?}");
    lab.preview("web:v2").await;
    let text = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(text.contains("kubectl greenlight promote web -n tree"), "{text}");
    assert!(text.contains("web-active   → revision 1") && text.contains("web-preview  → revision 2"), "{text}");
    lab.greenlight(&["promote", "web"]).expect("promoted");
    let text = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(text.contains("retiring, 5"), "{text}");
    lab.greenlight(&["undo", "web"]).expect("undone");
    let text = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(text.contains("rejected by admin: rolled back"), "{text}");
    lab.set_template("web:v3", &[(BEHAVIOUR, "image")]).await;
    lab.until("says why", |now| now.message().contains("ImagePullBackOff")).await;
    let text = lab.greenlight(&["get", "rollout", "web"]).expect("shown");
    assert!(
        text.lines().nth(1).is_some_and(|line| line.contains("ImagePullBackOff")),
        "the cause is in the second line: {text}"
    );

    let facts: Value =
        serde_json::from_str(&lab.greenlight(&["get", "rollout", "web", "-o", "json"]).expect("shown")).expect("JSON");
    assert_eq!(facts["revisions"][0]["pods"][0]["state"], "ImagePullBackOff");
    let yaml = lab.greenlight(&["history", "web", "-o", "yaml"]).expect("shown");
    let history: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(history.as_array().map(Vec::len), Some(3));
    let listed = lab.greenlight(&["list"]).expect("listed");
    assert!(listed.contains("web") && listed.contains("Progressing"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_its_output_may_stop_reading() {
    let lab = Lab::new("piped").await;
    lab.deploy(json!({})).await;
    for command in ["list", "get rollout web", "completion bash"] {
        let line =
            format!("{} {command} -n piped | true; echo ${{PIPESTATUS[0]}}", binary("kubectl-greenlight").display());
        let output = Command::new("bash")
            .args(["-c", &line])
            .env("KUBECONFIG", cluster().kubeconfig())
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told, "", "{command}");
        // 141: SIGPIPE, as with any other program; 0: it was quicker.
        let code = String::from_utf8_lossy(&output.stdout);
        assert!(["0", "141"].contains(&code.trim()), "{command}: {code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_to_do() {
    let lab = Lab::without_operator("errors").await;
    let (code, output) = lab.greenlight(&["get", "rollout", "nothing"]).expect_err("there is none");
    assert_eq!(code, 1);
    assert!(output.contains("there are none"), "{output}");
    lab.apply(&greenlight_e2e::rollout(json!({}))).expect("applied");
    let (_, output) = lab.greenlight(&["get", "rollout", "wbe"]).expect_err("there is none");
    assert!(output.contains("there are: web"), "{output}");
    let (_, output) = lab.greenlight(&["set", "image", "web", "app=x"]).expect_err("there is none");
    assert!(output.contains("has no container app; there are: web"), "{output}");
    let (_, output) = lab.greenlight(&["promote", "web"]).expect_err("no operator");
    assert!(output.contains("is the operator running?"), "{output}");
    let (code, output) = lab.greenlight(&["status", "web", "--timeout", "0s"]).expect_err("no operator");
    assert_eq!((code, output.trim()), (4, "Pending: The operator has not looked at it yet."));
    let completion = lab.greenlight(&["completion", "bash"]).expect("printed");
    assert!(completion.contains("_kubectl__greenlight"), "{completion}");
}

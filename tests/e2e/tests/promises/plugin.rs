//! The person's side: what the plugin prints, and its exit codes.

use greenlight_e2e::{Lab, binary, cluster};
use greenlight_test_cluster::BEHAVIOUR;
use serde_json::{Value, json};

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
        let output = std::process::Command::new("bash")
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

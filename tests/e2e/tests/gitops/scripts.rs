//! Argo CD's own engine runs our scripts on objects as the operator left them; the same objects are the test data beside the
//! scripts, in the layout of Argo CD's repository.

use std::collections::BTreeMap;
use std::path::PathBuf;

use greenlight_e2e::{Lab, cluster};
use serde_json::{Value, json};

use greenlight_e2e::argo_cd::{overrides, repository};

/// With this set, the test writes the test data anew.
const WRITE: &str = "GREENLIGHT_WRITE_TESTDATA";

fn folder() -> PathBuf {
    repository().join("deploy/argocd/greenlight.dev/BlueGreenRollout")
}

/// Health and message, and the actions that are enabled.
fn judge(file: &std::path::Path) -> (String, String, Vec<String>) {
    let file = file.to_str().expect("a path in UTF-8");
    let health = overrides(&["health", file]).expect("health");
    let line = |name: &str| {
        let line = health.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let actions = overrides(&["list-actions", file]).expect("actions");
    let enabled = actions.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        words.any(|word| word == "false").then(|| name.to_owned())
    });
    (line("STATUS:"), line("MESSAGE:"), enabled.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_judge_what_the_operator_really_wrote() {
    let mut lab = Lab::without_operator("scripts").await;
    let check = |state: &str, health: &str, says: &str, actions: &[&str]| {
        let live = cluster().kubectl(&["-n", "scripts", "get", "bgr", "web", "-o", "json"]).expect("there");
        let mut object: Value = serde_json::from_str(&live).expect("JSON");
        simplify(&mut object);
        let path = folder().join(format!("testdata/{state}.yaml"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, serde_saphyr::to_string(&object).expect("YAML")).expect("written");
        }
        let file = cluster().dir().join(format!("scripts-{state}.json"));
        std::fs::write(&file, object.to_string()).expect("written");
        let (status, message, enabled) = judge(&file);
        assert_eq!(status, health, "{state}: {message}");
        assert!(message.contains(says), "{state}: {message}");
        assert_eq!(enabled, actions, "{state}");
        let waits = match health {
            "Healthy" => "Current",
            "Degraded" => "Failed",
            _ => "InProgress",
        };
        // It takes an object without a status for one that has nothing to report.
        if state != "progressing_new" {
            assert_eq!(kstatus(&object), waits, "{state}: what Flux waits by");
        }
    };
    lab.apply(&greenlight_e2e::rollout(json!({}))).expect("applied");
    check("progressing_new", "Progressing", "has not seen this change", &["pause"]);
    lab.start_operator();
    lab.until("healthy", |now| now.phase() == "Healthy").await;
    check("healthy", "Healthy", "is active", &["pause", "restart"]);
    lab.preview("web:v2").await;
    check("suspended", "Suspended", "waits for promotion", &["abort", "pause", "promote", "promote-full", "restart"]);
    lab.patch_spec(json!({"paused": true})).await;
    lab.until("held back", |now| now.condition("Paused") == "True/PausedBySpec").await;
    check("suspended_paused", "Suspended", "held back by spec.paused", &["abort", "restart", "resume"]);
    lab.patch_spec(json!({"paused": null})).await;
    lab.until("waits", |now| now.condition("Paused") == "True/AwaitingPromotion").await;
    lab.greenlight(&["promote", "web"]).expect("promoted");
    check("healthy_promoted", "Healthy", "is active", &["pause", "restart", "rollback"]);
    // What is bad may be noticed while something newer waits already.
    lab.preview("web:v2.1").await;
    let actions = ["abort", "pause", "promote", "promote-full", "restart", "rollback"];
    check("suspended_promoted", "Suspended", "waits for promotion", &actions);
    lab.set_image("web:v2").await;
    lab.until("v2 serves, and nothing waits", |now| now.phase() == "Healthy").await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    check("degraded_rejected", "Degraded", "was rejected by admin", &["pause", "restart", "retry"]);
    lab.set_template("web:v3", &[(greenlight_test_cluster::BEHAVIOUR, "hang")]).await;
    lab.until("starting", |now| now.phase() == "Progressing").await;
    check("progressing", "Progressing", "pods of revision", &["abort", "pause", "promote-full", "restart"]);
    lab.patch_spec(json!({"progressDeadlineSeconds": 1})).await;
    lab.until("stuck", |now| now.phase() == "Degraded").await;
    check("degraded_stuck", "Degraded", "no progress for 1 s", &["abort", "pause", "promote-full", "restart"]);
    lab.kill_operator();
    lab.set_image("web:v4").await;
    check("progressing_new_generation", "Progressing", "has not seen", &["abort", "pause", "promote-full", "restart"]);
}

/// The files beside the scripts say what Argo CD's own tests would check.
#[test]
fn the_test_data_beside_the_scripts_holds() {
    let read = |path: &str| -> Value {
        let text = std::fs::read_to_string(folder().join(path)).expect("a file");
        serde_saphyr::from_str(&text).expect("YAML")
    };
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    for test in read("health_test.yaml")["tests"].as_array().expect("tests") {
        let (status, message, _) = judge(&folder().join(text(&test["inputPath"])));
        assert_eq!(json!({"status": status, "message": message}), test["healthStatus"], "{}", test["inputPath"]);
    }
    let actions = read("actions/action_test.yaml");
    for test in actions["discoveryTests"].as_array().expect("tests") {
        let (_, _, enabled) = judge(&folder().join("actions").join(text(&test["inputPath"])));
        let wanted: BTreeMap<String, bool> = test["result"]
            .as_array()
            .expect("actions")
            .iter()
            .map(|action| (text(&action["name"]), !action["disabled"].as_bool().unwrap_or(false)))
            .collect();
        let wanted: Vec<String> = wanted.into_iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name).collect();
        assert_eq!(enabled, wanted, "{}", test["inputPath"]);
    }
    for test in actions["actionTests"].as_array().expect("tests") {
        let path = |key: &str| folder().join("actions").join(text(&test[key]));
        let input = path("inputPath");
        let after =
            overrides(&["run-action", input.to_str().expect("UTF-8"), &text(&test["action"])]).expect("it runs");
        let after = after.split_once("\n\n").map_or(after.as_str(), |(_, after)| after).to_owned();
        let after: Value = serde_saphyr::from_str(&after).expect("YAML");
        let wanted = std::fs::read_to_string(path("expectedOutputPath")).expect("a file");
        let wanted: Value = serde_saphyr::from_str(&wanted).expect("YAML");
        assert_eq!(after, wanted, "{}", test["action"]);
    }
}

/// What Flux and others make of an object that they know nothing about: the generic rules of kstatus.
fn kstatus(object: &Value) -> &'static str {
    let status = &object["status"];
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return "InProgress";
    }
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let is = |type_: &str, value: &str| {
        conditions.iter().any(|condition| condition["type"] == type_ && condition["status"] == value)
    };
    if is("Stalled", "True") {
        "Failed"
    } else if is("Reconciling", "True") || is("Ready", "False") {
        "InProgress"
    } else {
        "Current"
    }
}

/// Takes out what differs from run to run and says nothing.
fn simplify(object: &mut Value) {
    let metadata = object["metadata"].as_object_mut().expect("an object");
    metadata.retain(|key, _| ["name", "namespace", "generation"].contains(&key.as_str()));
}

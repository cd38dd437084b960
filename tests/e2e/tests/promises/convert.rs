//! Varied blue-green manifests of Argo Rollouts go through `convert`, and then through a whole release. And what `lint` says.

use std::path::{Path, PathBuf};

use greenlight_e2e::{Lab, cluster};
use serde_json::json;
use tokio::task::JoinSet;

const AT_ONCE: usize = 4;

fn manifests() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("argo");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Converts, applies, releases v2, and goes back.
async fn release(file: PathBuf) {
    let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    let lab = Lab::new(&format!("argo-{name}")).await;
    let path = file.display().to_string();
    let converted = match lab.greenlight(&["convert", &path]) {
        Ok(text) => text,
        Err((2, text)) => {
            assert!(text.contains("is not carried over"), "{name}: {text}");
            // The manifests come first, then the notes, each of which names the file.
            text.split(&path).next().expect("a first part").to_owned()
        }
        Err((code, text)) => panic!("{name}: exit code {code}: {text}"),
    };
    let original = std::fs::read_to_string(&file).expect("the manifest");
    for comment in original.lines().filter_map(|line| line.split_once('#')).map(|(_, comment)| comment) {
        assert!(converted.contains(comment), "{name}: the comment {comment:?} is lost");
    }
    let out = cluster().dir().join(format!("{name}.yaml"));
    std::fs::write(&out, converted).expect("written");
    // Strict: an unknown field would be refused.
    let args = ["apply", "--validate=strict", "-n", &lab.namespace, "-f", &out.display().to_string()];
    cluster().kubectl(&args).unwrap_or_else(|error| panic!("{name}: {error}"));
    lab.until("healthy", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v1").await;
    if original.contains("workloadRef") {
        let args = ["-n", &lab.namespace, "set", "image", "deployment/old-web", "web=web:v2"];
        cluster().kubectl(&args).expect("set");
    } else {
        lab.greenlight(&["set", "image", "web", "web=web:v2"]).expect("set");
    }
    let released = |now: &greenlight_e2e::Snapshot| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2";
    let now = lab
        .until("v2 waits or serves", |now| {
            now.status().current_revision == 2 && (now.phase() == "Paused" || released(now))
        })
        .await;
    if now.phase() == "Paused" {
        lab.greenlight(&["promote", "web"]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    lab.until("v2 serves", released).await;
    lab.greenlight(&["undo", "web"]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1", "{name}");
    cluster().kubectl(&["delete", "namespace", &lab.namespace, "--wait=false"]).expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn argos_manifests_are_converted_and_released() {
    let mut files = manifests();
    assert!(files.len() >= 20, "there are {}", files.len());
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE {
            let Some(file) = files.pop() else { break };
            running.spawn(release(file));
        }
        match running.join_next().await {
            Some(done) => done.expect("no panic"),
            None => break,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_and_an_expr_condition_are_named_and_a_deployment_becomes_blue_green() {
    let lab = Lab::without_operator("convertnotes").await;
    let write = |name: &str, text: &str| {
        let path = cluster().dir().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let canary = write(
        "canary.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: web\nspec:\n  strategy:\n    canary: {}\n",
    );
    let (code, output) = lab.greenlight(&["convert", &canary]).expect_err("not blue-green");
    assert!(code == 2 && output.contains("canary.yaml:7: Rollout web: spec.strategy.canary"), "{output}");
    let metrics = write(
        "metrics.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata:\n  name: m\nspec:\n  metrics:\n  - name: rate\n    \
         successCondition: result[0] > 1 and true\n    provider:\n      datadog:\n        query: q\n",
    );
    let (_, output) = lab.greenlight(&["convert", &metrics]).expect_err("two things");
    assert!(output.contains("write && in the place of and"), "{output}");
    assert!(output.contains("datadog: is not carried over"), "{output}");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:v1"}]}},
    }});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80}],
    }});
    let file = write("deployment.yaml", &format!("{deployment}\n---\n{service}\n"));
    let converted = lab.greenlight(&["convert", &file]).expect("converted");
    assert!(converted.contains("shop-preview") && converted.contains("activeService: shop"), "{converted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lint_finds_what_would_go_wrong_and_says_where() {
    let lab = Lab::without_operator("lint").await;
    let text = "\
apiVersion: greenlight.dev/v1alpha1
kind: BlueGreenRollout
metadata:
  name: web
spec:
  replica: 2
  replicas: 120
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: shop
    spec:
      containers:
        - name: web
          image: web:v1
          lifecycle:
            preStop:
              sleep:
                seconds: 60
  strategy:
    blueGreen:
      activeService: web-active
      previewService: web-active
      scaleDownDelaySeconds: 2
---
apiVersion: v1
kind: Service
metadata:
  name: web-active
spec:
  selector:
    app: other
";
    let file = cluster().dir().join("wrong.yaml");
    std::fs::write(&file, text).expect("written");
    let (code, output) = lab.greenlight(&["lint", &file.display().to_string()]).expect_err("wrong");
    assert_eq!(code, 2, "{output}");
    for said in [
        "wrong.yaml:6: error: spec.replica: there is no field replica",
        "template.metadata.labels must contain every label of selector.matchLabels",
        "previewService must be another Service than activeService",
        "wrong.yaml:35: error: spec.selector.app: selects app=other",
        "wrong.yaml:7: warning: spec.replicas: the endpoints of 120 pods are in several EndpointSlices",
        "readinessProbe: container web has none",
        "resources: container web requests none",
        "preStop waits 60 s, but the pod is killed after 30",
        "wrong.yaml:27: warning: spec.strategy.blueGreen.scaleDownDelaySeconds: the old pods go 2 s after the switch",
    ] {
        assert!(output.contains(said), "{said:?} is missing in\n{output}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/blue-green");
    lab.greenlight(&["lint", "--strict", &example.display().to_string()]).expect("our own example is in order");
}

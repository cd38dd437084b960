//! Varied blue-green manifests of Argo Rollouts go through `convert`, and then through a whole release. And what `lint` says.

use std::path::{Path, PathBuf};

use greenlight_e2e::{Lab, cluster};
use serde_json::{Value, json};
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
async fn what_stays_beside_the_converted_is_the_same_and_paused() {
    let lab = Lab::without_operator("convertpause").await;
    let documents = |text: &str| -> Vec<Value> { serde_saphyr::from_multiple(text).expect("YAML") };
    for file in manifests() {
        let path = file.display().to_string();
        let original = std::fs::read_to_string(&file).expect("the manifest");
        let is_argos = |value: &Value| value["apiVersion"].as_str().is_some_and(|it| it.starts_with("argoproj.io/"));
        let mut wanted: Vec<Value> = documents(&original).into_iter().filter(is_argos).collect();
        for rollout in wanted.iter_mut().filter(|value| value["kind"] == "Rollout") {
            rollout["spec"]["paused"] = true.into();
        }
        let beside = lab.greenlight(&["convert", &path, "--pause"]).expect("converted");
        assert_eq!(documents(&beside), wanted, "{path}");
        // The original beside what it becomes would be a fight, and the paused one is none.
        let write = |name: &str, text: &str| {
            let path = cluster().dir().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let converted = lab
            .greenlight(&["convert", &path])
            .unwrap_or_else(|(_, text)| text.split(&path).next().expect("a part").into());
        let (converted, beside) = (write("pause-ours.yaml", &converted), write("pause-theirs.yaml", &beside));
        let lint = |theirs: &str| match lab.greenlight(&["lint", &converted, theirs]) {
            Ok(text) | Err((_, text)) => text.contains("Rollout web's, too"),
        };
        assert!(lint(&path) && !lint(&beside), "{path}");
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
async fn what_belongs_to_a_rollout_follows_it_or_is_named() {
    let lab = Lab::without_operator("convertaround").await;
    let file = cluster().dir().join("around.yaml");
    let target = |kind: &str, name: &str, version: &str| {
        format!(
            "spec:\n  scaleTargetRef:\n    apiVersion: {version} # target\n    kind: {kind}\n    name: {name}\n  maxReplicas: 5\n"
        )
    };
    let text = [
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: web\nspec:\n  selector: {matchLabels: {app: web}}\n  \
         strategy:\n    blueGreen:\n      activeService: web\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: \
         [{name: web, image: \"web:v1\"}]}\n"
            .to_owned(),
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\n{}",
            target("Rollout", "web", "argoproj.io/v1alpha1")
        ),
        format!(
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: web\n{}",
            target("Rollout", "web", "argoproj.io/v1alpha1")
        ),
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: cron\n{}",
            target("Deployment", "cron", "apps/v1")
        ),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: cron\nspec:\n  selector: {matchLabels: {app: cron}}\n  \
         template:\n    metadata: {labels: {app: cron}}\n    spec: {containers: [{name: c, image: c}]}\n"
            .to_owned(),
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: releaser\nrules:\n- apiGroups: [argoproj.io]\n  \
         resources: [rollouts]\n  verbs: [patch]\n"
            .to_owned(),
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamePrefix: eu-\nreplicas:\n- name: web\n  count: 3\n\
         patches:\n- target: {kind: Rollout}\n  path: p.yaml\n"
            .to_owned(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: dashboard\ndata:\n  d: rollout_info_replicas_available\n".to_owned(),
    ]
    .join("---\n");
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let (code, output) = lab.greenlight(&["convert", &file]).expect_err("things are named");
    assert_eq!(code, 2);
    let retargeted = "apiVersion: greenlight.dev/v1alpha1 # target\n    kind: BlueGreenRollout\n    name: web\n";
    assert_eq!(output.matches(retargeted).count(), 2, "{output}");
    assert!(output.contains("kind: Deployment\n    name: cron"), "{output}");
    assert_eq!(output.matches("\nkind: BlueGreenRollout\n").count(), 1, "{output}");
    for named in [
        "Deployment cron: : stays a Deployment beside Argo Rollouts",
        "Role releaser: rules: grants rights on argoproj.io",
        "Kustomization : namePrefix: does not reach",
        "Kustomization : replicas: does not change",
        "Kustomization : patches.0: is for kind Rollout",
        "ConfigMap dashboard: : names Argo Rollouts' metrics",
    ] {
        assert!(output.contains(named), "{named}: {output}");
    }
    let (_, output) = lab.greenlight(&["convert", "--only", "cron", &file]).expect_err("no Service selects it");
    assert!(output.contains("kind: Rollout\n") && output.matches("kind: BlueGreenRollout").count() == 2, "{output}");
    let (code, output) = lab.greenlight(&["convert", "--only", "nobody", &file]).expect_err("there is none");
    assert!(code == 1 && output.contains("nothing among the files is named nobody"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_is_as_blind_to_rollouts_as_convert_says() {
    let folder = cluster().dir().join("kustomized");
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write(
        "kustomization.yaml",
        "namePrefix: eu-\nresources: [web.yaml]\nreplicas: [{name: web, count: 7}]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n",
    );
    let container = json!({"name": "web", "image": "web:v1", "envFrom": [{"configMapRef": {"name": "settings"}}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-active"}});
    let rollout = greenlight_e2e::rollout(json!({"template": {"spec": {"containers": [container]}}}));
    write("web.yaml", &format!("{service}\n---\n{rollout}\n"));
    let built = cluster().kubectl(&["kustomize", &folder.display().to_string()]);
    match built {
        // Some versions refuse `replicas` that match nothing.
        Err(error) => assert!(error.to_string().contains("replicas") || error.to_string().contains("web"), "{error}"),
        Ok(text) => assert!(!text.contains("replicas: 7"), "{text}"),
    }
    write(
        "kustomization.yaml",
        "namePrefix: eu-\nresources: [web.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n",
    );
    let text = cluster().kubectl(&["kustomize", &folder.display().to_string()]).expect("built");
    assert!(text.contains("name: eu-web-active") && text.contains("activeService: web-active"), "{text}");
    assert!(text.contains("name: eu-settings-") && text.contains("name: settings\n"), "{text}");
    let labelled = "resources: [web.yaml]\ncommonLabels: {team: shop}\nimages: [{name: web, newTag: v2}]\n";
    write("kustomization.yaml", labelled);
    let text = cluster().kubectl(&["kustomize", &folder.display().to_string()]).expect("built");
    let built: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let of_kind = |kind: &str| built.iter().find(|value| value["kind"] == kind).expect(kind);
    assert_eq!(of_kind("Service")["spec"]["selector"]["team"], "shop", "{text}");
    let template = &of_kind("BlueGreenRollout")["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["team"], Value::Null, "{text}");
    assert_eq!(template["spec"]["containers"][0]["image"], "web:v2", "{text}");
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

//! The Helm chart: real Helm lints, installs, upgrades and uninstalls it, and the operator works with just its permissions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use greenlight_api::names;
use greenlight_e2e::{Lab, cluster, eventually};
use greenlight_test_cluster::{HELM, has_mutating_policies};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/greenlight")
}

pub(crate) fn helm(args: &[&str]) -> Result<String> {
    let tools = greenlight_test_cluster::ensure(&HELM)?;
    let home = cluster().dir().join("helm");
    let output = Command::new(tools.path("helm"))
        .args(args)
        .env("KUBECONFIG", cluster().kubeconfig())
        .envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.join(name))))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("helm {}: {text}{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// A kubeconfig of the chart's ServiceAccount, with no other permission.
pub(crate) fn kubeconfig_of(namespace: &str, account: &str) -> PathBuf {
    let path = cluster().dir().join(format!("{namespace}-{account}.kubeconfig"));
    let kubeconfig = greenlight_e2e::kubeconfig_of(cluster(), namespace, account).expect("a token");
    std::fs::write(&path, kubeconfig).expect("written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_installs_the_operator_works_with_its_permissions_and_nothing_is_left() {
    let mut lab = Lab::without_operator("chart").await;
    let chart = chart().display().to_string();
    helm(&["lint", "--strict", &chart]).expect("lint");
    let wrong = helm(&["template", "x", &chart, "--set", "replica=2"]).expect_err("a typo").to_string();
    assert!(wrong.contains("replica"), "{wrong}");
    // Other tests share the CRDs of this control plane, so the chart does not bring its own here.
    let common = ["--namespace", "chart", "--set", "crds.install=false", "--set", "watchNamespace=chart"];
    helm(&[&["install", "gl", &chart], &common[..]].concat()).expect("installed");
    lab.start_operator_with(&kubeconfig_of("chart", "gl"), &["--leader-elect", "--lease-namespace", "chart"]);

    lab.deploy(
        json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 1, "previewMetadata": {"labels": {"role": "p"}}}}}),
    )
    .await;
    lab.release("web:v2").await;
    lab.until("v1 down", |now| now.replicas_of_image("web:v1") == 0).await;
    lab.greenlight(&["undo", "web"]).expect("undone");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    lab.greenlight(&["restart", "web"]).expect("restarted");
    assert!(!lab.operator().log_tail().contains("orbidden"), "{}", lab.operator().log_tail());

    // A tool that replaces the whole selector by server-side apply does not take the hash out, not for a moment.
    let before = lab.now().await.hash_of("web-active");
    lab.kill_operator();
    let manifest = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-active"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let mut kept = false;
    // A policy takes a moment until it is in force.
    for _ in 0..if has_mutating_policies() { 100 } else { 1 } {
        let params = PatchParams { dry_run: true, ..PatchParams::apply("argocd-controller").force() };
        let applied =
            lab.api::<Service>().patch("web-active", &params, &Patch::Apply(&manifest)).await.expect("applied");
        let selector = applied.spec.and_then(|spec| spec.selector).unwrap_or_default();
        kept = before.is_some() && selector.get(names::HASH_LABEL) == before.as_ref();
        if kept {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(kept, has_mutating_policies(), "whether server-side apply takes the hash out of the selector");
    let params = PatchParams::apply("argocd-controller").force();
    lab.api::<Service>().patch("web-active", &params, &Patch::Apply(&manifest)).await.expect("applied");
    if kept {
        assert_eq!(lab.now().await.hash_of("web-active"), before, "the hash stays");
        assert_overlap_stays(&lab).await;
    }

    lab.start_operator_with(&kubeconfig_of("chart", "gl"), &[]);
    lab.until("the hash is there", |now| now.hash_of("web-active") == before).await;
    let reads_secrets = || {
        let account = "system:serviceaccount:chart:gl";
        let may =
            |secret: &str| cluster().kubectl(&["-n", "chart", "auth", "can-i", "get", secret, "--as", account]).is_ok();
        assert!(!may("secrets") && !may("secrets/other"), "not all of them");
        may("secrets/token")
    };
    assert!(!reads_secrets(), "only where analyses need it");
    let token = json!({"name": "token", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}});
    let template = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "secret"},
        "spec": {"args": [token], "metrics": [{
            "name": "web", "consecutiveErrorLimit": 0,
            "provider": {"web": {"url": "http://127.0.0.1:9/", "headers": [{"key": "x", "value": "{{args.token}}"}]}},
        }]},
    });
    lab.apply(&template).expect("applied");
    let analysis = json!({"templates": [{"templateName": "secret"}]});
    lab.patch_spec(json!({"strategy": {"blueGreen": {"prePromotionAnalysis": analysis}}})).await;
    lab.set_image("web:v3").await;
    lab.until("it says what to set", |now| {
        now.message().contains("may not read Secret token. Install its chart with analysis.secrets.names={token}")
    })
    .await;
    helm(&[&["upgrade", "gl", &chart, "--set", "analysis.secrets.names={token}"], &common[..]].concat())
        .expect("upgraded");
    assert!(reads_secrets());
    cluster().kubectl(&["-n", "chart", "delete", "bgr", "web"]).expect("deleted");
    lab.until("its pods are gone", |now| now.rollout.is_none() && now.hash_of("web-active").is_none()).await;
    helm(&["uninstall", "gl", "--namespace", "chart"]).expect("uninstalled");
    let policies = if has_mutating_policies() { ",mutatingadmissionpolicy" } else { "" };
    let kinds = format!("deployment,serviceaccount,role,rolebinding,clusterrole,validatingadmissionpolicy{policies}");
    let left = ["get", &kinds];
    let selector = ["-n", "chart", "-l", "app.kubernetes.io/instance=gl", "-o", "name"];
    assert_eq!(cluster().kubectl(&[&left[..], &selector[..]].concat()).expect("listed"), "");
}

/// In an overlap a Service selects the two revisions that serve by another label. Without it, production would get what waits in preview, too.
async fn assert_overlap_stays(lab: &Lab) {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "both", "annotations": {names::MANAGED_BY: "other"}},
        "spec": {"selector": {"app": "both", names::SERVING_LABEL: "uid"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    lab.apply(&service).expect("applied");
    service["spec"]["selector"] = json!({"app": "both"});
    let params = PatchParams { dry_run: true, ..PatchParams::apply("argocd-controller").force() };
    let applied = lab.api::<Service>().patch("both", &params, &Patch::Apply(&service)).await.expect("applied");
    let selector = applied.spec.and_then(|spec| spec.selector).unwrap_or_default();
    assert_eq!(selector.get(names::SERVING_LABEL).map(String::as_str), Some("uid"), "{selector:?}");
    assert!(!selector.contains_key(names::HASH_LABEL), "{selector:?}");
    cluster().kubectl(&["-n", &lab.namespace, "delete", "service", "both"]).expect("deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_promote_may_not_edit_and_the_other_way_round() {
    let mut lab = Lab::without_operator("permissions").await;
    let chart = chart().display().to_string();
    let args = ["install", "perm", &chart, "--namespace", "permissions", "--set", "crds.install=false"];
    helm(&[&args[..], &["--set", "watchNamespace=permissions", "--set", "selectorPolicy.enabled=false"]].concat())
        .expect("installed");
    lab.start_operator_with(&kubeconfig_of("permissions", "perm"), &[]);
    lab.deploy(json!({})).await;
    let preview = lab.preview("web:v2").await;
    let editor = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "editor"},
        "rules": [{"apiGroups": ["greenlight.dev"], "resources": ["bluegreenrollouts"], "verbs": ["get", "update", "patch"]}],
    });
    lab.apply(&editor).expect("applied");
    let kubectl =
        |args: &[&str]| cluster().kubectl(&[&["-n", "permissions"], args].concat()).map_err(|e| e.to_string());
    kubectl(&["create", "rolebinding", "promoters", "--clusterrole=permissions.perm-promoter", "--user=paula"])
        .expect("bound");
    kubectl(&["create", "rolebinding", "editors", "--role=editor", "--user=ed"]).expect("bound");
    let hash = preview.hash_of_image("web:v2").expect("a set");
    let ask = |user: &str, by: &str| {
        let request = json!({"action": "promote", "revision": hash, "by": by, "at": "2026-01-01T00:00:00Z"});
        let annotation = format!("greenlight.dev/request={request}");
        kubectl(&["annotate", "bgr", "web", "--overwrite", &annotation, "--as", user])
    };
    let replicas = std::cell::Cell::new(2);
    let edit = |user: &str| {
        replicas.set(replicas.get() % 3 + 1);
        let patch = json!({"spec": {"replicas": replicas.get()}}).to_string();
        kubectl(&["patch", "bgr", "web", "--type=merge", "-p", &patch, "--as", user])
    };
    // A policy takes a moment until it is in force.
    let mut refused = Ok(String::new());
    for _ in 0..100 {
        refused = edit("paula");
        if refused.is_err() {
            break;
        }
        edit("ed").expect("may edit");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let refused = refused.expect_err("a promoter does not edit");
    assert!(refused.contains("paula may make requests of this rollout, but not change it"), "{refused}");
    for metadata in [
        json!({"finalizers": null}),
        json!({"labels": {"tier": "web"}}),
        json!({"annotations": {"note": "x"}}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}]}),
    ] {
        let patch = json!({"metadata": metadata}).to_string();
        let refused = kubectl(&["patch", "bgr", "web", "--type=merge", "-p", &patch, "--as", "paula"]);
        assert!(refused.expect_err(&patch).contains("but not change it"), "{patch}");
    }
    edit("ed").expect("may edit");
    for blue_green in [
        json!({"autoPromotionEnabled": true}),
        json!({"autoPromotionEnabled": null}),
        json!({"autoPromotionSeconds": 1}),
    ] {
        let patch = json!({"spec": {"strategy": {"blueGreen": blue_green}}}).to_string();
        let patch = ["patch", "bgr", "web", "--type=merge", "-p", &patch, "--as", "ed"];
        let refused = kubectl(&patch).expect_err("to open a gate is to promote");
        assert!(refused.contains("not what its promotion depends on"), "{refused}");
    }
    let approvals = |count: i32| {
        let patch = json!({"spec": {"strategy": {"blueGreen": {"requiredApprovals": count}}}}).to_string();
        kubectl(&["patch", "bgr", "web", "--type=merge", "-p", &patch, "--as", "ed"])
    };
    let refused = approvals(2).expect_err("another gate");
    assert!(refused.contains("not what its promotion depends on (requiredApprovals)"), "{refused}");
    let refused = ask("ed", "ed").expect_err("an editor does not promote");
    assert!(refused.contains("ed may not ask to promote here"), "{refused}");
    // The short form, and forms that only look like another.
    let annotate = |user: &str, value: &str| {
        let annotation = format!("greenlight.dev/request={value}");
        kubectl(&["annotate", "bgr", "web", "--overwrite", &annotation, "--as", user])
    };
    let escaped = format!(r#"{{"\u0061ction":"promote","revision":"{hash}","by":"ed","at":"2026-01-01T00:00:00Z"}}"#);
    for value in ["promote", &format!("promote {hash}"), "promote\tnow", &escaped, "restart"] {
        annotate("ed", value).expect_err(value);
    }
    // Who is on call may go back, not forward.
    kubectl(&["create", "rolebinding", "on-call", "--clusterrole=permissions.perm-operator", "--user=olga"])
        .expect("bound");
    let refused = annotate("olga", "promote").expect_err("not forward");
    assert!(refused.contains("olga may not ask to promote here"), "{refused}");
    edit("olga").expect_err("nor change anything");
    annotate("olga", "restart").expect("may restart");
    let refused = ask("paula", "ed").expect_err("not with another's name");
    assert!(refused.contains("signed with the name of who makes it"), "{refused}");
    assert_eq!(lab.now().await.image_of("web-active"), "web:v1");
    // Nor with a space before it; the administrator may do anything else.
    let forged = format!(
        r#"greenlight.dev/request= {{"action":"promote","revision":"{hash}","by":"paula","at":"2026-01-01T00:00:00Z"}}"#
    );
    let refused = kubectl(&["annotate", "bgr", "web", "--overwrite", &forged]).expect_err("not with another's name");
    assert!(refused.contains("signed with the name of who makes it"), "{refused}");
    // A name that JSON writes in another way.
    let domain_user = r"SHOP\paula";
    kubectl(&["create", "rolebinding", "shop", "--clusterrole=permissions.perm-promoter", "--user", domain_user])
        .expect("bound");
    ask(domain_user, "paula").expect_err("not with another's name");
    ask(domain_user, domain_user).expect("signed");
    ask("paula", "paula").expect("may promote");
    lab.until("promoted", |now| now.image_of("web-active") == "web:v2" && now.phase() == "Healthy").await;
    lab.kill_operator();
    helm(&["uninstall", "perm", "--namespace", "permissions"]).expect("uninstalled");
}

/// What the quick start has for people without an administrator's rights.
#[tokio::test(flavor = "multi_thread")]
async fn with_two_roles_in_one_namespace_somebody_follows_the_quick_start() {
    let namespace = "canary-blue-green";
    let mut lab = Lab::without_operator(namespace).await;
    let path = chart().display().to_string();
    let args = ["install", "few", &path, "--namespace", namespace, "--set", "crds.install=false"];
    helm(
        &[&args[..], &["--set", "watchNamespace=canary-blue-green", "--set", "selectorPolicy.enabled=false"]].concat(),
    )
    .expect("installed");
    lab.start_operator_with(&kubeconfig_of(namespace, "few"), &[]);
    let example = |of: &str| chart().join("../../deploy/examples").join(of).display().to_string();
    let kubectl = |args: &[&str]| cluster().kubectl(args).map_err(|error| error.to_string());
    kubectl(&["apply", "-f", &example("blue-green/namespace.yaml")]).expect("the administrator makes it");
    for (name, role) in [("edits", "edit"), ("promotes", "canary-blue-green.few-promoter")] {
        lab.kubectl(&["create", "rolebinding", name, &format!("--clusterrole={role}"), "--user=paula"]);
    }
    let as_paula = |verb: &str, of: &str| kubectl(&[verb, "-k", &example(of), "--as", "paula"]);
    let plugin = |command: &str| {
        lab.greenlight(&["--as", "paula", command, "blue-green-app", "--timeout", "60s"]).map_err(|(code, text)| {
            println!("{text}");
            code
        })
    };
    // A role that is aggregated into another takes a moment.
    eventually("the example is there", async || as_paula("apply", "blue-green").is_ok()).await;
    plugin("status").expect("healthy");
    as_paula("apply", "blue-green-v2").expect("applied");
    assert_eq!(plugin("status"), Err(3), "it waits for a person");
    plugin("promote").expect("promoted");
    plugin("undo").expect("undone");
    let left = as_paula("delete", "blue-green").expect_err("the namespace is the administrator's");
    assert!(left.contains("namespaces \"canary-blue-green\" is forbidden"), "{left}");
    assert_eq!(lab.kubectl(&["get", "bgr,ingresses", "-o", "name"]), "");
    lab.kill_operator();
    helm(&["uninstall", "few", "--namespace", namespace]).expect("uninstalled");
}

#[test]
fn the_charts_crds_are_the_generated_ones() {
    let generated = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds/greenlight.yaml");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let crds = read(&chart().join("crds.yaml"));
    assert_eq!(crds, read(&generated), "run cargo xtask generate");
    let kept = crds.matches("helm.sh/resource-policy: keep").count();
    assert_eq!(kept, greenlight_api::crds().len(), "uninstalling must not delete every rollout with its kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_manifests_are_valid_and_so_is_everything_optional() {
    let deploy = chart().join("../../deploy");
    // By dry run: other tests share the CRDs. The namespace is not there then, so what is in it is looked at elsewhere.
    cluster().kubectl(&["create", "namespace", "greenlight"]).expect("created");
    // The second has a kind that Kubernetes has from 1.36 on.
    for (file, is_known) in [("install.yaml", true), ("selector-policy.yaml", has_mutating_policies())] {
        let file = deploy.join(file).display().to_string();
        let args =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", &file];
        let applied = cluster().kubectl(&args);
        assert_eq!(applied.is_ok(), is_known, "{applied:?}");
    }
    let chart = chart().display().to_string();
    let values = cluster().dir().join("everything.yaml");
    // Volumes may not be called so.
    let secret = json!({"name": "team.events", "key": "token"});
    let digest = format!("sha256:{}", "0".repeat(64));
    let everything = json!({
        "crds": {"install": false},
        "networkPolicy": {"enabled": true, "egress": [{"ports": [{"port": 9090}]}], "apiServer": {"cidrs": ["192.0.2.10/32"]}},
        "metrics": {"tokenSecret": secret}, "image": {"digest": digest},
        "analysis": {"secrets": {"names": ["token"], "labelled": true}},
        "serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}, "grafanaDashboard": {"enabled": true},
        "dashboard": {
            "enabled": true, "hosts": ["releases.example.com"], "url": "https://Web.example.com:8443", "readOnly": true,
            "image": {"digest": digest},
        },
        "notifications": {"sinks": [
            {"name": "a", "url": "https://a.example/", "tokenSecret": secret, "events": ["Promoted"]},
            {"name": "b", "urlSecret": secret, "format": "slack", "labels": {"tier": "web"}},
        ]},
    });
    std::fs::write(&values, everything.to_string()).expect("written");
    let args =
        ["template", "everything", &chart, "--namespace", "greenlight", "--values", &values.display().to_string()];
    let rendered = helm(&args).expect("rendered");
    let images = rendered.lines().filter_map(|line| line.trim_start().strip_prefix("image: ")).collect::<Vec<_>>();
    let (operators, dashboards): (Vec<&str>, Vec<&str>) =
        images.into_iter().partition(|image| *image == format!("greenlight@{digest}"));
    assert!(operators.len() >= 3, "the operator, the hook and the test run exactly this image: {operators:?}");
    assert_eq!(dashboards, [format!("greenlight-dashboard@{digest}")], "and nothing runs another one");
    let documents = rendered.split("\n---").filter(|document| document.contains("kind:"));
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        documents.partition(|document| !document.contains("monitoring.coreos.com"));
    let file = cluster().dir().join("everything-rendered.yaml");
    std::fs::write(&file, ours.join("\n---\n")).expect("written");
    let file = file.display().to_string();
    let args = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", "greenlight", "-f", &file];
    cluster().kubectl(&args).unwrap_or_else(|error| panic!("{error:#}"));
    // The Prometheus operator's kinds are not here; the rules in them are those that promtool has tested.
    assert_eq!(theirs.len(), 2, "a ServiceMonitor and a PrometheusRule");
    let rule = theirs.iter().find(|document| document.contains("kind: PrometheusRule")).expect("one");
    let rule: Value = serde_saphyr::from_str(rule).expect("YAML");
    let alerts = std::fs::read_to_string(deploy.join("monitoring/alerts.yaml")).expect("the alerts");
    let alerts: Value = serde_saphyr::from_str(&alerts).expect("YAML");
    assert_eq!(rule["spec"], alerts);
    assert!(
        rendered.contains("dashboard: \"https://Web.example.com:8443\""),
        "the operator knows where the dashboard is"
    );
    assert!(rendered.contains("- --host=web.example.com"), "and the dashboard its own name");
    for url in ["releases.example.com", "javascript:alert(1)", "https://a.example/path", "https://me@a.example"] {
        let wrong = ["template", "x", &chart, "--set", &format!("dashboard.url={url}")];
        let wrong = helm(&wrong).expect_err("no web address").to_string();
        assert!(wrong.contains("dashboard") && wrong.contains("url"), "{wrong}");
    }
    let wrong = ["template", "x", &chart, "--set", "notifications.sinks[0].name=a"];
    let wrong = helm(&wrong).expect_err("a sink without an address").to_string();
    assert!(wrong.contains("url"), "{wrong}");
}

/// What the chart makes with these values: each document.
fn rendered(release: &str, set: &[&str]) -> Vec<Value> {
    rendered_in(release, "system", set)
}

fn rendered_in(release: &str, namespace: &str, set: &[&str]) -> Vec<Value> {
    rendered_with(release, namespace, &set.iter().flat_map(|set| ["--set", *set]).collect::<Vec<_>>())
}

fn rendered_with(release: &str, namespace: &str, set: &[&str]) -> Vec<Value> {
    let chart = chart().display().to_string();
    let args = ["template", release, &chart, "--namespace", namespace, "--set", "crds.install=false"];
    let api = ["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];
    let text = helm(&[&args[..], &api, set].concat()).expect("rendered");
    let documents = text.split("\n---").filter(|document| document.contains("kind:"));
    documents.map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|document| document["kind"].as_str().is_some_and(|found| found.ends_with(kind))).collect()
}

fn names_of(documents: &[&Value]) -> BTreeSet<String> {
    documents.iter().map(|document| document["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// It is off unless somebody asks for it; then nothing gives it a right, and no token is in its pod.
#[test]
fn the_dashboard_has_no_rights() {
    let (without, with) = (rendered("r", &[]), rendered("r", &["dashboard.enabled=true"]));
    let more: Vec<&Value> = with.iter().filter(|document| !without.contains(document)).collect();
    let kinds: BTreeSet<_> = more.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["Deployment", "Service"]), "no account, no role, no binding");
    let deployment = more.iter().find(|document| document["kind"] == "Deployment").expect("a Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!((&pod["serviceAccountName"], &pod["automountServiceAccountToken"]), (&"default".into(), &false.into()));
    assert_eq!(pod["volumes"], json!([{"name": "cluster", "configMap": {"name": "kube-root-ca.crt"}}]));
    // The operator's Service does not lead to it.
    let operator = of_kind(&without, "Service").into_iter().find(|service| service["metadata"]["name"] == "r");
    let selector = operator.expect("one")["spec"]["selector"].clone();
    assert_ne!(selector, more[1]["spec"]["selector"]);
}

#[test]
fn the_policies_and_roles_of_two_installs_do_not_meet() {
    let (a, b) = (rendered("b-c", &["watchNamespace=a"]), rendered("c", &["watchNamespace=a-b"]));
    let of_the_same_name = rendered("c", &["watchNamespace=a"]);
    for (a, b) in [(&a, &b), (&of_the_same_name, &b)] {
        for kind in ["AdmissionPolicy", "AdmissionPolicyBinding", "ClusterRole"] {
            let (of_a, of_b) = (names_of(&of_kind(a, kind)), names_of(&of_kind(b, kind)));
            assert!(of_a.len() >= 4 && of_a.len() == of_b.len(), "{of_a:?}");
            assert!(of_a.is_disjoint(&of_b), "{of_a:?} {of_b:?}");
        }
    }
    for (documents, namespace, account) in [(&a, "a", "b-c"), (&b, "a-b", "c")] {
        for binding in of_kind(documents, "AdmissionPolicyBinding") {
            let name = binding["metadata"]["name"].as_str().unwrap_or_default();
            // That one holds for an account, and not for a namespace.
            if name.ends_with("-operator") {
                continue;
            }
            let selected =
                &binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
            assert_eq!(selected, namespace, "{name}");
        }
        let policies = of_kind(documents, "AdmissionPolicy");
        let own = policies.iter().find(|policy| names_of(&[policy]).iter().any(|name| name.ends_with("-operator")));
        let condition =
            own.expect("it is confined")["spec"]["matchConditions"][0]["expression"].as_str().unwrap_or_default();
        assert!(condition.contains(&format!("== 'system:serviceaccount:system:{account}'")), "{condition}");
    }
}

/// Namespaces may be called so. To YAML these are numbers, a truth value and nothing, and a policy that is bound to nothing keeps nobody from anything.
#[test]
fn a_namespace_with_the_name_of_a_number_or_of_nothing_is_guarded_like_any_other() {
    for namespace in ["2026", "1e3", "true", "null"] {
        let documents = rendered_with("gl", "system", &["--set-string", &format!("watchNamespace={namespace}")]);
        let mut bindings = 0;
        for binding in of_kind(&documents, "AdmissionPolicyBinding") {
            let labels = &binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"];
            if names_of(&[binding]).iter().any(|name| name.ends_with("-operator")) {
                continue;
            }
            assert_eq!(labels["kubernetes.io/metadata.name"], namespace, "{binding}");
            bindings += 1;
        }
        assert_eq!(bindings, 5);
        for kind in ["Role", "RoleBinding"] {
            let there = |document: &&&Value| document["metadata"]["namespace"] == namespace;
            assert_eq!(
                of_kind(&documents, kind).iter().filter(there).count(),
                2,
                "the operator's, and the hook's: {kind}"
            );
        }
        // It may be installed into such a one, too.
        for document in rendered_with("gl", namespace, &[]) {
            for found in [&document["metadata"]["namespace"], &document["subjects"][0]["namespace"]] {
                assert!(found.is_null() || found == namespace, "{document}");
            }
        }
    }
    let chart = chart().display().to_string();
    let wrong =
        helm(&["template", "gl", &chart, "--set-string", "watchNamespace=shop\\,bank"]).expect_err("two namespaces");
    assert!(wrong.to_string().contains("watchNamespace"), "{wrong}");
}

#[test]
fn roles_that_are_only_safe_with_the_policy_are_not_there_without_it() {
    let roles = |set: &[&str]| names_of(&of_kind(&rendered("gl", set), "ClusterRole"));
    let with = roles(&[]);
    assert!(with.contains("gl-promoter") && with.contains("gl-operator"), "{with:?}");
    let without = roles(&["requestPolicy.enabled=false"]);
    assert!(
        !without.contains("gl-promoter") && !without.contains("gl-operator") && without.contains("gl-editor"),
        "{without:?}"
    );
}

/// Two teams with a namespace each, who both call their release `twin`.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_installs_of_one_name_either_works_without_the_other() {
    let chart = chart().display().to_string();
    let mut labs = Vec::new();
    for namespace in ["twin-a", "twin-b"] {
        let lab = Lab::without_operator(namespace).await;
        let watched = format!("watchNamespace={namespace}");
        let args = ["install", "twin", &chart, "--namespace", namespace, "--set", "crds.install=false"];
        helm(&[&args[..], &["--set", &watched]].concat()).unwrap_or_else(|error| panic!("{namespace}: {error}"));
        let role = format!("--clusterrole={namespace}.twin-promoter");
        cluster().kubectl(&["-n", namespace, "create", "rolebinding", "paula", &role, "--user=paula"]).expect("bound");
        labs.push(lab);
    }
    let mut stays = labs.pop().expect("the second");
    stays.start_operator_with(&kubeconfig_of("twin-b", "twin"), &["--leader-elect", "--lease-namespace", "twin-b"]);
    stays.deploy(json!({})).await;
    helm(&["uninstall", "twin", "--namespace", "twin-a"]).expect("uninstalled");
    let kinds = "clusterrole,validatingadmissionpolicy,validatingadmissionpolicybinding";
    let left = |namespace: &str| {
        let named = cluster().kubectl(&["get", kinds, "-l", "app.kubernetes.io/instance=twin", "-o", "name"]);
        let named = named.expect("listed");
        named.lines().filter(|name| name.contains(&format!("/{namespace}.twin-"))).count()
    };
    assert_eq!((left("twin-a"), left("twin-b")), (0, 4 + 2 * 5), "four roles, five policies and what binds them");
    // Who promotes still may, and still may do nothing else; and what she asks for is done.
    let hash = stays.preview("web:v2").await.hash_of_image("web:v2").expect("a revision");
    let edit = ["-n", "twin-b", "patch", "bgr", "web", "--type=merge", "-p", r#"{"spec":{"replicas":1}}"#];
    let refused = cluster().kubectl(&[&edit[..], &["--as=paula"]].concat()).expect_err("not hers to change");
    assert!(refused.to_string().contains("but not change it"), "{refused}");
    let request = format!("greenlight.dev/request=promote {hash}");
    cluster().kubectl(&["-n", "twin-b", "annotate", "bgr", "web", &request, "--as=paula"]).expect("she may");
    stays.until("promoted", |now| now.image_of("web-active") == "web:v2").await;
    stays.kill_operator();
    helm(&["uninstall", "twin", "--namespace", "twin-b"]).expect("uninstalled");
    assert_eq!(left("twin-b"), 0);
}

/// Their operators would wait for one lease: one of the two namespaces would have no operator.
#[tokio::test(flavor = "multi_thread")]
async fn two_releases_that_elect_a_leader_are_not_installed_into_one_namespace() {
    let _lab = Lab::without_operator("sharing").await;
    let chart = chart().display().to_string();
    let install = |release: &str, set: &[&str]| {
        let args = ["install", release, &chart, "--namespace", "sharing", "--set", "crds.install=false"];
        let watched = format!("watchNamespace=sharing-{release}");
        cluster().kubectl(&["create", "namespace", &format!("sharing-{release}")]).expect("created");
        helm(&[&args[..], &["--set", &watched], set].concat())
    };
    install("shop", &[]).expect("installed");
    let refused = install("bank", &[]).expect_err("one lease for two").to_string();
    assert!(refused.contains("release shop is in namespace sharing already"), "{refused}");
    assert!(refused.contains("a namespace of its own"), "{refused}");
    // One that elects nobody waits for nobody; and the first may be upgraded.
    install("mill", &["--set", "replicas=1"]).expect("installed");
    let upgrade = ["upgrade", "shop", &chart, "--namespace", "sharing", "--set", "crds.install=false"];
    helm(&[&upgrade[..], &["--set", "watchNamespace=sharing-shop"]].concat()).expect("upgraded");
    for release in ["shop", "mill"] {
        helm(&["uninstall", release, "--namespace", "sharing"]).expect("uninstalled");
    }
}

/// What an earlier version named without the namespace.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_keeps_the_roles_that_people_are_bound_to() {
    let _lab = Lab::without_operator("earlier").await;
    let chart = chart().display().to_string();
    let common = ["--namespace", "earlier", "--set", "crds.install=false", "--set", "watchNamespace=earlier"];
    helm(&[&["install", "old", &chart], &common[..]].concat()).expect("installed");
    let role_of = |role: &str| {
        let editor = format!("{role}-editor");
        cluster().kubectl(&["get", "clusterrole", &editor, "-o", "jsonpath={.rules[0].verbs}"])
    };
    assert!(role_of("earlier.old").is_ok() && role_of("old").is_err());
    // As the version before had it: the same release, and its role under the release's name.
    let owned = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "old-editor", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {
            "meta.helm.sh/release-name": "old", "meta.helm.sh/release-namespace": "earlier",
        }},
        "rules": [{"apiGroups": ["greenlight.dev"], "resources": ["bluegreenrollouts"], "verbs": ["get"]}],
    });
    apply_everywhere(&owned);
    helm(&[&["upgrade", "old", &chart], &common[..]].concat()).expect("upgraded");
    assert!(role_of("old").expect("it is kept").contains("update"), "with the rules of today");
    assert!(role_of("earlier.old").is_err());
    // One of the same name that is another release's is left alone.
    helm(&["uninstall", "old", "--namespace", "earlier"]).expect("uninstalled");
    let mut of_others = owned;
    of_others["metadata"]["annotations"]["meta.helm.sh/release-namespace"] = "default".into();
    apply_everywhere(&of_others);
    helm(&[&["install", "old", &chart], &common[..]].concat()).expect("installed beside it");
    assert!(role_of("earlier.old").is_ok());
    assert!(!role_of("old").expect("theirs").contains("update"), "it is not ours to change");
    helm(&["uninstall", "old", "--namespace", "earlier"]).expect("uninstalled");
    cluster().kubectl(&["delete", "clusterrole", "old-editor"]).expect("deleted");
}

/// Applies what belongs to no namespace.
fn apply_everywhere(object: &Value) {
    let name = format!(
        "{}-{}.json",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default()
    );
    let file = cluster().dir().join(name);
    std::fs::write(&file, object.to_string()).expect("written");
    let args = ["apply", "--server-side", "--field-manager=helm", "-f", &file.display().to_string()];
    cluster().kubectl(&args).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Everything that is labelled as of this release.
fn of_release(namespace: &str, release: &str) -> String {
    let kinds =
        "deployment,job,pod,serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,validatingadmissionpolicy";
    let selector = format!("app.kubernetes.io/instance={release}");
    cluster().kubectl(&["-n", namespace, "get", kinds, "-l", &selector, "-o", "name"]).expect("listed")
}

/// Somebody's policy refuses every change of one rollout; the hook takes the finalizers off all others, says what is left and why, and a
/// second try is all it takes when the policy is gone. Helm itself leaves nothing of the hook, also when its Job does not come to an end.
#[tokio::test(flavor = "multi_thread")]
async fn an_uninstall_hook_that_fails_leaves_nothing_of_itself_and_can_be_run_again() {
    let mut lab = Lab::without_operator("leaving").await;
    let chart = chart().display().to_string();
    let common = ["--namespace", "leaving", "--set", "crds.install=false", "--set", "watchNamespace=leaving"];
    helm(&[&["install", "gone", &chart], &common[..]].concat()).expect("installed");
    lab.start_operator_with(&kubeconfig_of("leaving", "gone"), &["--leader-elect", "--lease-namespace", "leaving"]);
    let mut other = greenlight_e2e::rollout(json!({"strategy": {"blueGreen": {"activeService": "other"}}}));
    lab.create_service("other").await;
    other["metadata"]["name"] = "other".into();
    other["spec"]["strategy"]["blueGreen"].as_object_mut().expect("an object").remove("previewService");
    // Pods of the same template would be production's of both.
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "other:v1".into();
    lab.apply(&other).expect("applied");
    lab.deploy(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 600}}})).await;
    lab.release("web:v2").await;
    let finalizers = |kind: &str| {
        let path = "jsonpath={range .items[*]}{.metadata.name}={.metadata.finalizers}{\"\\n\"}{end}";
        cluster().kubectl(&["-n", "leaving", "get", kind, "-o", path]).expect("listed")
    };
    let held = |kind: &str| finalizers(kind).matches("greenlight.dev/").count();
    eventually("both hold their Services", async || held("bgr") == 2 && held("rs") == 1).await;
    lab.kill_operator();

    // Its Job gets no pod, and so never comes to an end.
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-more-pods"}, "spec": {"hard": {"pods": "0"}},
    }))
    .expect("applied");
    let failed = helm(&["uninstall", "gone", "--namespace", "leaving", "--timeout", "8s"]).expect_err("no pod runs");
    println!("helm uninstall, when the hook does not end: {failed:#}");
    assert_eq!(of_release("leaving", "gone"), "", "of the hook and the release nothing is left");
    let again = helm(&["uninstall", "gone", "--namespace", "leaving", "--timeout", "8s"]);
    println!("helm uninstall, once more: {again:?}");
    lab.kubectl(&["delete", "resourcequota", "no-more-pods"]);
    assert_eq!((held("bgr"), held("rs")), (2, 1), "nobody took them away");

    // What the hook is allowed, and what it runs.
    let hook = rendered_in("gone", "leaving", &["watchNamespace=leaving"])
        .into_iter()
        .filter(|document| document["metadata"]["annotations"]["helm.sh/hook"] == "post-delete");
    let (job, hook): (Vec<Value>, Vec<Value>) = hook.partition(|document| document["kind"] == "Job");
    let log_policy = &job[0]["metadata"]["annotations"]["helm.sh/hook-output-log-policy"];
    assert_eq!(log_policy, "hook-failed", "the log names what is left, and Helm deletes it");
    hook.iter().for_each(|document| drop(lab.apply(document).expect("applied")));
    let policy = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "leaving-frozen"}, "spec": spec,
        })
    };
    let frozen = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["leaving"]});
    let rule = json!({"apiGroups": ["greenlight.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["bluegreenrollouts"]});
    let of_web = json!({
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": {"matchExpressions": [frozen]}},
        "validations": [{"expression": "object.metadata.name != 'web'", "message": "web is frozen until Monday"}],
    });
    apply_everywhere(&policy("ValidatingAdmissionPolicy", of_web));
    let binding = json!({"policyName": "leaving-frozen", "validationActions": ["Deny"]});
    apply_everywhere(&policy("ValidatingAdmissionPolicyBinding", binding));
    eventually("the policy is in force", async || {
        let touch = ["-n", "leaving", "annotate", "bgr", "web", "--overwrite", "--dry-run=server", "x=y"];
        cluster().kubectl(&touch).is_err()
    })
    .await;
    let kubeconfig = kubeconfig_of("leaving", "gone-uninstall");
    let let_go = || {
        let output = Command::new(greenlight_e2e::binary("greenlight"))
            .args(["let-go", "--namespace=leaving"])
            .env("KUBECONFIG", &kubeconfig)
            .output()
            .expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = let_go();
    println!("let-go, with one that is refused: {said}");
    assert!(
        !done && said.contains("BlueGreenRollout leaving/web") && said.contains("web is frozen until Monday"),
        "{said}"
    );
    assert!(said.contains("1 objects keep a finalizer"), "{said}");
    assert_eq!((held("bgr"), held("rs")), (1, 0), "only what was refused: {}", finalizers("bgr"));
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        cluster().kubectl(&["delete", kind, "leaving-frozen"]).expect("deleted");
    }
    eventually("a second try is all it takes", async || let_go().0).await;
    assert_eq!((held("bgr"), held("rs")), (0, 0));
    let now = lab.now().await;
    assert_eq!(
        (now.image_of("web-active").as_str(), now.replicas_of_image("web:v1")),
        ("web:v2", 2),
        "what serves stays"
    );
}

#[test]
fn the_uninstall_hook_leaves_nothing_whether_it_succeeds_or_fails() {
    let documents = rendered("gl", &[]);
    let hooks: Vec<&Value> = documents
        .iter()
        .filter(|document| document["metadata"]["annotations"]["helm.sh/hook"] == "post-delete")
        .collect();
    assert_eq!(hooks.len(), 4, "an account, a role, a binding, a Job");
    for hook in hooks {
        let policy = hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap_or_default();
        assert!(policy.contains("hook-succeeded") && policy.contains("hook-failed"), "{policy}");
    }
}

/// Where only some of the nodes are for this, a pod that may go to others only waits for ever, and `helm uninstall` with it.
#[test]
fn each_pod_of_the_chart_goes_to_the_nodes_that_are_named() {
    let documents = rendered("gl", &["dashboard.enabled=true", "nodeSelector.pool=system", "tolerations[0].key=pool"]);
    let pod = |document: &Value| match document["kind"].as_str() {
        Some("Pod") => Some(document["spec"].clone()),
        Some("Deployment" | "Job") => Some(document["spec"]["template"]["spec"].clone()),
        _ => None,
    };
    let pods: Vec<Value> = documents.iter().filter_map(pod).collect();
    assert_eq!(pods.len(), 4, "the operator's, the dashboard's, the test's, the hook's");
    for pod in pods {
        assert_eq!(pod["nodeSelector"], json!({"pool": "system"}), "{pod}");
        assert_eq!(pod["tolerations"], json!([{"key": "pool"}]), "{pod}");
    }
}

#[test]
fn the_operator_may_read_the_secrets_that_are_named_and_no_other() {
    let secrets = |set: &[&str]| -> Vec<Value> {
        let documents = rendered("gl", set);
        let role =
            documents.iter().find(|document| document["kind"] == "ClusterRole" && document["metadata"]["name"] == "gl");
        let rules = role.expect("a role")["rules"].as_array().expect("rules").clone();
        rules.into_iter().filter(|rule| rule["resources"] == json!(["secrets"])).collect()
    };
    assert!(secrets(&[]).is_empty(), "none by default");
    let named = secrets(&["analysis.secrets.names={token,other}"]);
    assert_eq!(
        named,
        [json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["token", "other"], "verbs": ["get"]})]
    );
    let labelled = secrets(&["analysis.secrets.labelled=true"]);
    assert_eq!(labelled, [json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})]);
}

#[test]
fn analyses_reach_what_the_values_of_the_chart_say() {
    let flags = |set: &[&str]| -> Vec<String> {
        let documents = rendered("gl", set);
        let operator = documents.iter().find(|document| document["kind"] == "Deployment").expect("the operator");
        let args = operator["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments");
        args.iter().filter_map(Value::as_str).filter(|arg| arg.contains("analys")).map(str::to_owned).collect()
    };
    assert!(flags(&[]).is_empty(), "what leads back is closed without a word");
    assert_eq!(flags(&["analysis.web.enabled=false"]), ["--web-analyses=false"]);
    let some = ["analysis.web.allow={10.0.0.0/8}", "analysis.web.deny={10.1.0.0/16,10.2.0.0/16}"];
    assert_eq!(flags(&some), ["--analysis-allow=10.0.0.0/8", "--analysis-deny=10.1.0.0/16,10.2.0.0/16"]);
    let documents = rendered("gl", &[]);
    let operator = of_kind(&documents, "Deployment")[0];
    let own = json!([{"name": "POD_IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}]);
    assert_eq!(operator["spec"]["template"]["spec"]["containers"][0]["env"], own, "it knows which pod it is in");
    // The network keeps to the same, if it is told.
    let documents = rendered("gl", &["networkPolicy.enabled=true", "networkPolicy.egress[0].ports[0].port=9090"]);
    let policy = of_kind(&documents, "NetworkPolicy")[0];
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let egress = policy["spec"]["egress"].as_array().expect("rules");
    assert_eq!(egress.last(), Some(&json!({"ports": [{"port": 9090}]})));
    assert_eq!(egress.len(), 3, "beside DNS and the API server");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_metrics_are_for_who_sends_it_and_probes_for_everybody() {
    let mut lab = Lab::without_operator("scraped").await;
    let file = cluster().dir().join("metrics-token");
    std::fs::write(&file, "t0ken\n").expect("written");
    let kubeconfig = greenlight_e2e::operator_kubeconfig();
    lab.start_operator_with(&kubeconfig, &["--metrics-token-file", &file.display().to_string()]);
    let address = lab.address();
    let answer = |path: &str| greenlight_e2e::http_get(&address, path).expect("it answers");
    assert!(answer("/metrics").starts_with("send the token"), "{}", answer("/metrics"));
    let ask = "/metrics HTTP/1.1\r\nAuthorization: Bearer t0ken\r\nX: ";
    assert!(answer(ask).contains("process_resident_memory_bytes"), "with the token");
    assert_eq!(answer("/healthz"), "ok");
}

use std::path::Path;

use serde_json::Value;

use super::draft::API_VERSION;
use super::*;

/// Every field of Argo Rollouts 1.10's `RolloutSpec` and `BlueGreenStrategy` (`pkg/apis/rollouts/v1alpha1/types.go`) that a Rollout with a
/// template has.
const EVERY_FIELD: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: web
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: web:v1
  minReadySeconds: 5
  rollbackWindow:
    revisions: 3
  revisionHistoryLimit: 4
  paused: false
  progressDeadlineSeconds: 300
  progressDeadlineAbort: true
  restartAt: "2026-11-01T00:00:00Z"
  analysis:
    successfulRunHistoryLimit: 3
    unsuccessfulRunHistoryLimit: 3
  strategy:
    blueGreen:
      activeService: web-active
      previewService: web-preview
      previewReplicaCount: 1
      autoPromotionEnabled: true
      autoPromotionSeconds: 60
      maxUnavailable: 1 # of a restart
      scaleDownDelaySeconds: 60
      scaleDownDelayRevisionLimit: 2
      prePromotionAnalysis:
        templates:
          - templateName: smoke
          - templateName: all
            clusterScope: true
        args:
          - {name: url, value: http://web-preview}
          - name: hash
            valueFrom: {podTemplateHashValue: Latest}
          - name: place
            valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
        dryRun:
          - metricName: slow
        measurementRetention:
          - {metricName: slow, limit: 20}
        analysisRunMetadata:
          labels: {team: shop}
          annotations: {note: a}
      antiAffinity:
        preferredDuringSchedulingIgnoredDuringExecution: {weight: 10}
      postPromotionAnalysis:
        templates:
          - templateName: smoke
      previewMetadata:
        labels: {role: preview}
      activeMetadata:
        annotations: {role: active}
      abortScaleDownDelaySeconds: 45
"#;

fn of(text: &str) -> Converted {
    convert(&manifests::documents(Path::new("f.yaml"), text).expect("YAML"), &[])
}

fn value(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("YAML")
}

fn told(converted: &Converted, what: &str) {
    assert!(converted.notes.iter().any(|note| note.contains(what)), "{what:?} is missing in {:#?}", converted.notes);
}

#[test]
fn every_field_of_argos_is_carried_over_or_named() {
    let converted = of(EVERY_FIELD);
    assert_eq!(converted.notes.len(), 2, "{:#?}", converted.notes);
    told(
        &converted,
        "f.yaml:24: Rollout web: spec.analysis: is not carried over; it stays as a comment. AnalysisRuns are kept",
    );
    told(&converted, "f.yaml:34: Rollout web: spec.strategy.blueGreen.maxUnavailable: is not carried over");
    told(&converted, "A restart replaces one pod at a time here");
    let mut wanted = value(EVERY_FIELD);
    wanted["apiVersion"] = API_VERSION.into();
    wanted["kind"] = "BlueGreenRollout".into();
    text::remove(&mut wanted, &["spec", "analysis"]);
    text::remove(&mut wanted, &["spec", "strategy", "blueGreen", "maxUnavailable"]);
    let [document] = &converted.documents[..] else { panic!("{converted:?}") };
    assert_eq!(value(document), wanted);
    assert!(document.contains("# not carried over:       maxUnavailable: 1 # of a restart\n"), "{document}");
}

#[test]
fn a_timer_that_argo_ignores_promotes_nothing_here_either() {
    let waits = EVERY_FIELD.replace("autoPromotionEnabled: true", "autoPromotionEnabled: false");
    let converted = of(&waits);
    told(
        &converted,
        "autoPromotionSeconds: is not carried over; it stays as a comment. Argo Rollouts ignores it while",
    );
    let blue_green = &value(&converted.documents[0])["spec"]["strategy"]["blueGreen"];
    assert_eq!(blue_green["autoPromotionEnabled"], false);
    assert_eq!(blue_green["autoPromotionSeconds"], Value::Null);
}

#[test]
fn a_pause_is_carried_over_and_named() {
    let converted = of(&EVERY_FIELD.replace("paused: false", "paused: true"));
    told(&converted, "Rollout web: spec.paused: holds back the first revision, too");
    assert_eq!(value(&converted.documents[0])["spec"]["paused"], true);
}

#[test]
fn a_rollout_that_refers_to_a_deployment_has_the_selector_of_that() {
    let rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web}\nspec:\n    # ours\n    workloadRef: {apiVersion: \
                   apps/v1, kind: Deployment, name: old}\n    strategy: {blueGreen: {activeService: web}}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: old}\nspec: {selector: {matchLabels: {app: web}}, template: \
                      {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}\n";
    let converted = of(&format!("{rollout}---\n{deployment}"));
    assert_eq!(converted.notes, [""; 0]);
    let document = &converted.documents[0];
    assert_eq!(value(document)["spec"]["selector"], json!({"matchLabels": {"app": "web"}}));
    assert!(document.contains("    # ours\n"), "{document}");
    told(&of(rollout), "selector is missing: add it");
}

#[test]
fn what_an_analysis_means_otherwise_here_is_named() {
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: smoke}\nspec:\n  metrics:\n  - name: \
                    very-slow\n    provider:\n      prometheus: {query: up}\n  - name: fast\n    successCondition: max(result) < 5\n    \
                    provider:\n      prometheus: {address: \"http://p\", query: up}\n  measurementRetention:\n  - {metricName: \
                    (a|b), limit: 20}\n";
    let rollout = EVERY_FIELD.replace("fieldPath: metadata.namespace", "fieldPath: status.stableRS");
    let converted = of(&[rollout.as_str(), template].join("---\n"));
    for what in [
        "AnalysisTemplate smoke: spec.metrics.0.provider.prometheus: has no address",
        "AnalysisTemplate smoke: spec.metrics.1.successCondition: the condition \"max(result) < 5\" is not CEL: there is no",
        "AnalysisTemplate smoke: spec.measurementRetention.0.metricName: is a regular expression",
        "Rollout web: spec.strategy.blueGreen.prePromotionAnalysis.dryRun.0.metricName: is for metric very-slow, too",
        "Rollout web: spec.strategy.blueGreen.prePromotionAnalysis.args.2.valueFrom.fieldRef.fieldPath: is of Argo's status",
    ] {
        told(&converted, what);
    }
    assert!(!converted.notes.iter().any(|note| note.contains("metrics.1.provider")), "{:#?}", converted.notes);
}

#[test]
fn what_argos_controller_wrote_into_a_service_does_not_come_into_git() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  annotations:\n    argo-rollouts.argoproj.io/managed-by-rollouts: web\n  \
                   name: web-active\n  resourceVersion: \"7\"\n  uid: a-b\nspec:\n  clusterIP: None\n  selector:\n    app: web # \
                   ours\n    rollouts-pod-template-hash: 6c7f9d8b54\nstatus:\n  loadBalancer: {}\n";
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\n  uid: c-d\nspec:\n  \
                  scaleTargetRef:\n    apiVersion: argoproj.io/v1alpha1\n    kind: Rollout\n    name: web\nstatus: {}\n";
    let converted = of(&[EVERY_FIELD, service, scaler].join("---\n"));
    let [_, service, scaler] = &converted.documents[..] else { panic!("{converted:?}") };
    assert!(service.contains("    app: web # ours\n"), "{service}");
    let service = value(service);
    assert_eq!(service["spec"], json!({"clusterIP": "None", "selector": {"app": "web"}}));
    assert_eq!((&service["metadata"]["uid"], &service["status"]), (&Value::Null, &Value::Null));
    let scaler = value(scaler);
    assert_eq!(scaler["metadata"], json!({"name": "web"}));
    assert_eq!(scaler["spec"]["scaleTargetRef"]["kind"], "BlueGreenRollout");
    told(
        &converted,
        "Service web-active: metadata.annotations.argo-rollouts.argoproj.io/managed-by-rollouts: claims the",
    );
}

#[test]
fn a_canary_keeps_its_autoscaler() {
    let canary =
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: slow}\nspec:\n  strategy:\n    canary: {}\n";
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: slow}\nspec:\n  scaleTargetRef:\n    \
                  apiVersion: argoproj.io/v1alpha1\n    kind: Rollout\n    name: slow\n";
    let converted = of(&[EVERY_FIELD, canary, scaler].join("---\n"));
    told(&converted, "Rollout slow: spec.strategy.canary: a canary cannot become blue-green");
    assert_eq!(converted.documents[1..], [canary, scaler]);
}

#[test]
fn a_rollout_that_stays_with_argo_keeps_its_services() {
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: slow\n  annotations:\n    \
                   argo-rollouts.argoproj.io/managed-by-rollouts: slow\n";
    let rollout = |strategy: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{name: slow}}\nspec:\n  strategy:\n    {strategy}: {{}}\n"
        )
    };
    let claims = |strategy: &str, only: &[String]| {
        let text = [EVERY_FIELD, rollout(strategy).as_str(), service].join("---\n");
        let converted = convert(&manifests::documents(Path::new("f.yaml"), &text).expect("YAML"), only);
        converted.notes.iter().any(|note| note.contains("Service slow") && note.contains("claims the"))
    };
    assert!(claims("blueGreen", &[]) && !claims("canary", &[]));
    assert!(!claims("blueGreen", &["web".to_owned()]), "it is not its turn");
}

#[test]
fn a_field_in_one_line_with_others_takes_nothing_else_with_it() {
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {name: m}\nspec:\n  metrics:\n    - {name: a, \
                    count: 1, consecutiveSuccessLimit: 3, provider: {web: {url: \"http://a\"}}}\n    - name: b\n      count: 1\n      \
                    provider:\n        web: {url: \"http://b\"}\n";
    let converted = of(template);
    told(&converted, "spec.metrics.0.consecutiveSuccessLimit: is not carried over; it stays as a comment. Write count");
    let document = value(&converted.documents[0]);
    let names: Vec<&Value> =
        document["spec"]["metrics"].as_array().expect("metrics").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["a", "b"], "{}", converted.documents[0]);
    assert!(converted.documents[0].contains("# not carried over: spec.metrics.0.consecutiveSuccessLimit: 3"));
}

#[test]
fn what_names_a_rollout_follows_it_or_is_named() {
    let around = [
        "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: web}\nspec:\n  targetRef:\n    apiVersion: \
         argoproj.io/v1alpha1\n    kind: Rollout\n    name: web\n",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec:\n  healthChecks:\n    - \
         apiVersion: argoproj.io/v1alpha1\n      kind: Rollout\n      name: web\n      namespace: shop\n  patches:\n    - target: {kind: \
         Rollout}\n      patch: x\n",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop}\nspec:\n  ignoreDifferences:\n    - group: \
         argoproj.io\n      kind: Rollout\n      jsonPointers: [/spec/replicas]\n",
        "apiVersion: argoproj.io/v1alpha1\nkind: Experiment\nmetadata: {name: try}\nspec: {}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata:\n  resource.customizations.health.argoproj.io_Rollout: x\n",
    ];
    let subscribed = EVERY_FIELD.replace(
        "  name: web\nspec",
        "  name: web\n  annotations:\n    notifications.argoproj.io/subscribe.on-rollout-completed.slack: shop\n    \
         argocd.argoproj.io/sync-wave: \"1\"\n  labels:\n    argo-rollouts.argoproj.io/controller-instance-id: a\nspec",
    );
    let converted = of(&[&[&*subscribed][..], &around[..]].concat().join("---\n"));
    let scaler = &converted.documents[1];
    assert!(
        scaler.contains("apiVersion: greenlight.dev/v1alpha1\n    kind: BlueGreenRollout\n    name: web"),
        "{scaler}"
    );
    for what in [
        "Kustomization apps: spec.healthChecks.0: names an Argo Rollout",
        "Kustomization apps: spec.patches.0.target: names an Argo Rollout",
        "Application shop: spec.ignoreDifferences.0: names an Argo Rollout",
        "Experiment try: : has no counterpart",
        "ConfigMap argocd-cm: : names Argo Rollouts' metrics or resources",
        "slack: subscribes to Argo Rollouts' notifications",
        "controller-instance-id: means something to Argo Rollouts alone",
    ] {
        told(&converted, what);
    }
    assert!(!converted.notes.iter().any(|note| note.contains("sync-wave")), "{:#?}", converted.notes);
}

#[test]
fn an_application_of_argo_cd_keeps_no_deployment_from_becoming_a_rollout() {
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME}\nspec:\n  selector: {matchLabels: {app: a}}\n  \
                      template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}\n";
    let [a, b] = ["a", "b"].map(|name| deployment.replace("NAME", name));
    let all =
        manifests::documents(Path::new("f.yaml"), &[application, a.as_str(), b.as_str()].join("---\n")).expect("YAML");
    let converted = convert(&all, &["a".to_owned()]);
    assert!(!converted.notes.iter().any(|note| note.contains("beside Argo Rollouts")), "{:#?}", converted.notes);
}

#[test]
fn a_deployment_that_an_autoscaler_scales_does_not_become_a_rollout_with_one_pod_unsaid() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
                      template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}\n";
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let scaler = "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: load}\nspec:\n  scaleTargetRef:\n    name: web\n";
    let converted = of(&[deployment, service, scaler].join("---\n"));
    told(&converted, "f.yaml:4: Deployment web: spec.replicas: is set by ScaledObject load: write the number of pods");
    assert_eq!(of(&[deployment, service].join("---\n")).notes, [""; 0]);
}

#[test]
fn the_preview_of_a_public_service_is_not_public() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n    selector: {matchLabels: {app: web}}\n    \
                      template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}\n";
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\n  labels: {team: shop}\n  annotations: \
                   {external-dns.alpha.kubernetes.io/hostname: shop.example.com}\nspec:\n  type: LoadBalancer\n  loadBalancerIP: \
                   1.2.3.4\n  externalTrafficPolicy: Local\n  selector: {app: web}\n  ports: [{port: 80, targetPort: 8080, nodePort: \
                   30080}]\n";
    let deployment = deployment.replace("{name: web}\nspec", "{name: web, namespace: shop}\nspec");
    let converted = of(&format!("{deployment}---\n{service}"));
    let wanted = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web-preview", "namespace": "shop", "labels": {"team": "shop"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    assert_eq!(value(&converted.documents[0]), wanted);
    // As deep as the rest of it.
    assert!(converted.documents[1].contains("spec:\n    strategy:\n"), "{}", converted.documents[1]);
    // A preview Service that is there is not one more for production.
    let preview = service.replace("  name: web\n", "  name: web-preview\n");
    let converted = of(&format!("{deployment}---\n{service}---\n{preview}"));
    let blue_green = &value(&converted.documents[0])["spec"]["strategy"]["blueGreen"];
    assert_eq!(blue_green, &json!({"activeService": "web", "previewService": "web-preview"}));
}

#[test]
fn what_kubectl_prints_is_converted_item_by_item_without_what_the_server_wrote() {
    let list = "apiVersion: v1\nitems:\n- apiVersion: argoproj.io/v1alpha1\n  kind: Rollout\n  metadata:\n    annotations:\n      \
                kubectl.kubernetes.io/last-applied-configuration: |\n        {\"kind\":\"Rollout\"}\n    creationTimestamp: \
                \"2026-11-01T00:00:00Z\"\n    # the shop\n    name: web\n    resourceVersion: \"7\"\n    uid: a-b\n  spec:\n    \
                selector: {matchLabels: {app: web}}\n    strategy:\n      blueGreen:\n        activeService: web\n        \
                maxUnavailable: 1\n    template:\n      metadata: {labels: {app: web}}\n      spec: {containers: [{name: web, \
                image: web}]}\n  status:\n    phase: Healthy\n- apiVersion: v1\n  kind: Service\n  metadata: {name: web}\nkind: \
                List\nmetadata:\n  resourceVersion: \"\"\n";
    let converted = of(list);
    let [rollout, service] = &converted.documents[..] else { panic!("{converted:?}") };
    assert_eq!(value(service)["kind"], "Service");
    let rollout_value = value(rollout);
    assert_eq!(rollout_value["kind"], "BlueGreenRollout");
    assert_eq!(rollout_value["metadata"], json!({"annotations": null, "name": "web"}));
    assert_eq!(rollout_value["status"], Value::Null);
    assert!(rollout.contains("  # the shop\n"), "{rollout}");
    // The line is that of the file.
    told(&converted, "f.yaml:19: Rollout web: spec.strategy.blueGreen.maxUnavailable: is not carried over");
}

#[test]
fn each_namespace_has_its_preview_and_a_service_of_two_deployments_is_named() {
    let of_namespace = |namespace: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{matchLabels: \
             {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: web}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{app: web}}, ports: \
             [{{port: 80}}]}}\n"
        )
    };
    let preview =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web-preview, namespace: test}\nspec: {selector: {app: web}}\n";
    let converted = of(&[of_namespace("shop"), of_namespace("test"), preview.to_owned()].join("---\n"));
    let previews: Vec<Value> = converted.documents.iter().map(|document| value(document)["metadata"].clone()).collect();
    for namespace in ["shop", "test"] {
        let wanted = json!({"name": "web-preview", "namespace": namespace});
        assert_eq!(previews.iter().filter(|metadata| **metadata == wanted).count(), 1, "{previews:#?}");
    }
    let beside = of_namespace("shop").replacen("name: web,", "name: web-canary,", 1);
    let both = of(&[of_namespace("shop"), beside.split("---").next().unwrap_or_default().to_owned()].join("---\n"));
    told(
        &both,
        "Deployment web: spec.template.metadata.labels: Service web leads to the pods of Deployment web-canary too",
    );
    assert_eq!(
        both.documents
            .iter()
            .filter(|document| document.contains("web-preview") && document.contains("kind: Service"))
            .count(),
        1
    );
}

#[test]
fn what_kustomize_and_flux_do_to_what_is_converted_is_named() {
    let kustomization = "resources: [web.yaml]\npatches:\n- patch: |\n    apiVersion: argoproj.io/v1alpha1\n    kind: Rollout\n    \
                         metadata: {name: web}\n    spec: {replicas: 3}\npatchesJson6902:\n- target: {group: argoproj.io, version: \
                         v1alpha1, kind: Rollout, name: web}\n  path: p.yaml\n";
    let read = |name: &str, text: &str| manifests::documents(Path::new(name), text).expect("YAML");
    let converted = convert(&read("base/kustomization.yaml", kustomization), &[]);
    told(&converted, "patches.0: is for kind Rollout");
    told(&converted, "patchesJson6902.0: is for kind Rollout");
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {selector: {matchLabels: {app: web}}, \
                      template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}\n";
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n- target: {kind: Deployment, name: \
                     web}\n  path: p.yaml\n- target: {kind: Deployment, name: cron}\n  path: q.yaml\n";
    let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec:\n  healthChecks:\n  - \
                {apiVersion: apps/v1, kind: Deployment, name: web}\n  - {apiVersion: apps/v1, kind: Deployment, name: cron}\n";
    let converted = of(&[deployment, component, flux].join("---\n"));
    told(&converted, "patches.0: is for kind Deployment");
    told(&converted, "Kustomization apps: spec.healthChecks.0: names a Deployment that is converted");
    assert!(!converted.notes.iter().any(|note| note.contains("patches.1") || note.contains("healthChecks.1")));
}

#[test]
fn what_kustomize_does_to_an_argo_rollout_and_not_to_ours_is_named() {
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\ncommonLabels: {team: shop}\nlabels:\n- pairs: \
                         {a: b}\n  includeSelectors: SELECTORS\nconfigurations: [\"https://a/rollout-transform.yaml\"]\nopenapi: {path: \
                         argo.json}\nimages: [{name: web, newTag: v2}]\n";
    let converted = of(&kustomization.replace("SELECTORS", "true"));
    for what in [
        "commonLabels: reaches the selector of a Service",
        "labels: reaches the selector of a Service",
        "configurations: may be for kind Rollout",
        "openapi: does not know a BlueGreenRollout",
    ] {
        told(&converted, &format!("Kustomization : {what}"));
    }
    // Kustomize looks for images in objects of every kind, and these labels are of the objects alone.
    let converted = of(&kustomization.replace("SELECTORS", "false"));
    assert!(!converted.notes.iter().any(|note| note.contains(": labels") || note.contains(": images")));
}

#[test]
fn what_takes_the_hash_out_of_a_service_while_both_run_is_named_and_so_is_a_patch_that_flux_makes() {
    let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec:\n  patches:\n  - patch: \
                |\n      apiVersion: argoproj.io/v1alpha1\n      kind: Rollout\n      metadata: {name: web}\n      spec: {replicas: 3}\n";
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop}\nspec:\n  syncPolicy:\n    \
                       syncOptions: [CreateNamespace=true, OPTION]\n";
    let server_side = application.replace("OPTION", "ServerSideApply=true");
    let converted = of(&[EVERY_FIELD, flux, server_side.as_str()].join("---\n"));
    told(&converted, "Kustomization apps: spec: applies server-side");
    told(&converted, "Kustomization apps: spec.patches.0: names an Argo Rollout");
    told(&converted, "Application shop: spec.syncPolicy.syncOptions: applies server-side");
    let client_side = application.replace("OPTION", "PruneLast=true");
    for quiet in
        [of(&[EVERY_FIELD, client_side.as_str()].join("---\n")), of(&[flux, server_side.as_str()].join("---\n"))]
    {
        assert!(!quiet.notes.iter().any(|note| note.contains("server-side")), "{:#?}", quiet.notes);
    }
}

#[test]
fn with_only_the_analyses_of_the_whole_cluster_are_converted_too() {
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: ClusterAnalysisTemplate\nmetadata: {name: m}\nspec:\n  metrics:\n  - name: \
                    a\n    count: 1\n    provider: {web: {url: \"http://a\"}}\n";
    let all = manifests::documents(Path::new("f.yaml"), &[EVERY_FIELD, template].join("---\n")).expect("YAML");
    let converted = convert(&all, &["web".to_owned()]);
    assert!(converted.documents[1].starts_with("apiVersion: greenlight.dev/v1alpha1\n"), "{}", converted.documents[1]);
}

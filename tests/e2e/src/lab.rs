//! A namespace with an operator of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRollout, ObservedRequest, Request, Verb, names};
use greenlight_overview::Whole;
use greenlight_test_cluster::{Audit, Cluster, Process};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::changes::Changes;
use crate::course::ready_endpoints;
use crate::rights;
use crate::snapshot::Snapshot;
use crate::web::http_get;

/// How long a test waits for anything. Nothing here takes more than a few seconds on a free machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Who waits looks again after this at the soonest, if something has changed.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// And after this in any case: what else a test looks at changes, too.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The control plane of this test process, with the CRDs. It ends with the process.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
        let start = || -> Result<Cluster> {
            let runtime = tokio::runtime::Runtime::new()?;
            let cluster = runtime.block_on(Cluster::start())?;
            let crds = greenlight_api::crds().iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            cluster.install_crds(&crds.join("\n"))?;
            rights::install(&cluster)?;
            Ok(cluster)
        };
        // A runtime cannot be started within another one.
        let cluster = std::thread::spawn(start).join().expect("the thread does not panic");
        cluster.unwrap_or_else(|error| panic!("the test cluster did not start: {error:#}"))
    });
    &CLUSTER
}

/// Until it is time to look again.
async fn pause(changed: &mut watch::Receiver<()>) {
    tokio::time::sleep(SHORTEST_PAUSE).await;
    drop(tokio::time::timeout(LONGEST_PAUSE, changed.changed()).await);
}

/// Waits until something is so, and fails with `what` if it does not become so.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is().await {
        assert!(started.elapsed() < PATIENCE, "{what}: not after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An operator for all namespaces. What it may not do in the namespace of a lab, the lab complains of.
pub fn operator_of_all(name: &str, kubeconfig: &Path, more: &[&str]) -> Process {
    let args = ["controller", "--listen", "127.0.0.1:0"];
    let args: Vec<String> = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let dir = cluster().dir();
    rights::works_on_all(dir.join(format!("{name}.log")));
    Process::start(dir, name, &binary("greenlight"), &args, &env).expect("it starts")
}

/// A rollout named `web` with Services `web-active` and `web-preview`, two replicas, and `spec` merged into it.
pub fn rollout(spec: Value) -> Value {
    let mut rollout = json!({
        "apiVersion": "greenlight.dev/v1alpha1",
        "kind": "BlueGreenRollout",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"blueGreen": {
                "activeService": "web-active",
                "previewService": "web-preview",
                "autoPromotionEnabled": false,
                "scaleDownDelaySeconds": 5,
            }},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
            },
        },
    });
    merge(&mut rollout["spec"], &spec);
    rollout
}

/// An Ingress named `web`, of hosts that lead to a Service and a port each.
pub fn ingress(hosts: &[(&str, &str, i32)]) -> Value {
    let rule = |&(host, service, port): &(&str, &str, i32)| {
        let backend = json!({"service": {"name": service, "port": {"number": port}}});
        json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}})
    };
    let rules: Vec<Value> = hosts.iter().map(rule).collect();
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": {"rules": rules}})
}

/// Merges a JSON merge patch into a value.
pub fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// A namespace with Services `web-active` and `web-preview`, and an operator that watches only it.
pub struct Lab {
    /// A client of an administrator.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// So often an operator was denied something by an API server that had not read the roles yet.
    forgiven: usize,
    operator: Option<Process>,
    starts: usize,
    changes: OnceLock<Changes>,
}

impl Lab {
    /// A new lab with a running operator.
    pub async fn new(name: &str) -> Lab {
        let mut lab = Lab::without_operator(name).await;
        lab.start_operator();
        lab
    }

    /// A new lab without an operator.
    pub async fn without_operator(name: &str) -> Lab {
        let client = cluster().client().await.expect("a client");
        let (namespace, changes) = (name.to_owned(), OnceLock::new());
        let lab = Lab { client, namespace, forgiven: 0, operator: None, starts: 0, changes };
        let namespaces: Api<Namespace> = Api::all(lab.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        namespaces.create(&PostParams::default(), &namespace).await.expect("a fresh namespace");
        lab.create_service("web-active").await;
        lab.create_service("web-preview").await;
        lab
    }

    /// Starts the operator (again).
    pub fn start_operator(&mut self) {
        self.start_operator_with(&rights::operator_kubeconfig(), &[]);
    }

    /// Starts the operator with a kubeconfig and more arguments.
    pub fn start_operator_with(&mut self, kubeconfig: &Path, more: &[&str]) {
        assert!(self.operator.is_none(), "it runs already");
        self.starts += 1;
        self.operator = Some(self.operator_process(&format!("operator-{}", self.starts), kubeconfig, more));
    }

    /// Another operator process for this namespace, on its own.
    pub fn operator_process(&self, name: &str, kubeconfig: &Path, more: &[&str]) -> Process {
        // Analyses in tests ask servers on loopback, and with Secrets.
        let own_servers = ["--analysis-allow", "127.0.0.0/8", "--analysis-labelled-secrets"];
        self.operator_process_with(name, kubeconfig, &[&own_servers, more].concat())
    }

    /// The same, with these arguments and no others.
    pub fn operator_process_with(&self, name: &str, kubeconfig: &Path, more: &[&str]) -> Process {
        let mut args: Vec<String> =
            ["controller", "--namespace", &self.namespace, "--listen", "127.0.0.1:0", "--log", "greenlight=debug,warn"]
                .map(str::to_owned)
                .to_vec();
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
        let dir = cluster().dir().to_owned();
        Process::start(&dir, &format!("{}-{name}", self.namespace), &binary("greenlight"), &args, &env)
            .expect("it starts")
    }

    /// An operator of this namespace by an account of its own, which has the chart's rights as `change` leaves their rules. Its log has not the
    /// lab's name: what is denied to it is meant to be.
    pub fn operator_with_rights(&self, account: &str, change: impl FnOnce(&mut Vec<Value>)) -> Process {
        let role = cluster().kubectl(&["get", "clusterrole", "greenlight", "-o", "json"]).expect("the chart's role");
        let role: Value = serde_json::from_str(&role).expect("JSON");
        let mut rules = role["rules"].as_array().cloned().expect("rules");
        change(&mut rules);
        assert_ne!(json!(rules), role["rules"], "nothing was changed");
        let made = [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": account}, "rules": rules,
            }),
        ];
        made.iter().for_each(|object| drop(self.apply(object).expect("applied")));
        self.give_rights(account, account);
        let kubeconfig = cluster().dir().join(format!("{account}.kubeconfig"));
        let text = rights::kubeconfig_of(cluster(), &self.namespace, account).expect("a token");
        std::fs::write(&kubeconfig, text).expect("written");
        let args = ["controller", "--namespace", &self.namespace, "--listen", "127.0.0.1:0"].map(str::to_owned);
        let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
        let name = format!("{account}-operator");
        Process::start(cluster().dir(), &name, &binary("greenlight"), &args, &env).expect("it starts")
    }

    /// Gives an account of this namespace what a ClusterRole allows.
    pub fn give_rights(&self, account: &str, role: &str) {
        let (name, role) = (format!("{account}-{role}"), format!("--clusterrole={role}"));
        let account = format!("--serviceaccount={}:{account}", self.namespace);
        cluster().kubectl(&["create", "clusterrolebinding", &name, &role, &account]).expect("bound");
    }

    /// The API server has started anew, and denied what roles give until it had read them. It has by now: whatever was denied counts no more.
    pub fn forgive_denials(&mut self) {
        self.forgiven = rights::denied(&self.namespace).len();
    }

    /// Kills the operator without a chance to clean up.
    pub fn kill_operator(&mut self) {
        self.operator.take().expect("it runs").kill();
    }

    /// The running operator.
    pub fn operator(&mut self) -> &mut Process {
        self.operator.as_mut().expect("it runs")
    }

    /// Where the running operator serves health and metrics.
    pub fn address(&mut self) -> String {
        for _ in 0..100 {
            let log = self.operator().log();
            // JSON, because it is not a terminal.
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let line = lines.into_iter().find(|line| line["message"] == "serving health and metrics");
            if let Some(address) = line.as_ref().and_then(|line| line["address"].as_str()) {
                return address.to_owned();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not say where it serves: {}", self.operator().log_tail());
    }

    /// Waits until the running operator says that it is ready.
    pub async fn is_ready(&mut self) {
        let address = self.address();
        let started = Instant::now();
        while http_get(&address, "/readyz").ok().as_deref() != Some("ok") {
            assert!(started.elapsed() < PATIENCE, "it does not become ready: {}", self.operator().log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Creates a Service that selects `app: web`.
    pub async fn create_service(&self, name: &str) {
        let service = json!({
            "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        let service: Service = serde_json::from_value(service).expect("a Service");
        self.api::<Service>().create(&PostParams::default(), &service).await.expect("created");
    }

    /// Deletes a Service.
    pub async fn delete_service(&self, name: &str) {
        self.api::<Service>().delete(name, &Default::default()).await.expect("deleted");
    }

    /// An API in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a manifest by `kubectl apply`, as a person would. Also several, as a list.
    pub fn apply(&self, manifest: &Value) -> Result<String> {
        let file = tempfile(&manifest.to_string())?;
        cluster().kubectl(&["apply", "-n", &self.namespace, "-f", &file.display().to_string()])
    }

    /// Creates an object as it is, by its URL: `kubectl apply` looks into what it sends, and gives up on some things.
    pub fn create_raw(&self, path: &str, object: &Value) {
        let file = tempfile(&object.to_string()).expect("a file");
        self.kubectl(&["create", "--raw", path, "-f", &file.display().to_string()]);
    }

    /// `kubectl` in the namespace; its standard output.
    pub fn kubectl(&self, args: &[&str]) -> String {
        cluster().kubectl(&[&["-n", self.namespace.as_str()], args].concat()).expect("kubectl")
    }

    /// Changes the rollout's scale alone, as an autoscaler does.
    pub fn scale(&self, replicas: i32) {
        self.kubectl(&["scale", "bgr/web", &format!("--replicas={replicas}")]);
    }

    /// Points a Service at a revision by hand, as the runbook says: by `kubectl patch`.
    pub fn point_by_hand(&self, service: &str, hash: &str) {
        self.patch_service(service, &json!({"selector": {names::HASH_LABEL: hash}}));
    }

    /// Changes a part of a Service's spec by `kubectl patch`.
    pub fn patch_service(&self, service: &str, spec: &Value) {
        self.kubectl(&["patch", "service", service, "--type=merge", "-p", &json!({"spec": spec}).to_string()]);
    }

    /// Points the only port of a Service at another port of the pods, a name or a number.
    pub fn set_target_port(&self, service: &str, port: impl Into<Value>) {
        self.patch_service(service, &json!({"ports": [{"port": 80, "targetPort": port.into()}]}));
    }

    /// Creates a rollout from [`rollout`] with these settings, and waits until it is healthy.
    pub async fn deploy(&self, spec: Value) -> Snapshot {
        self.apply(&rollout(spec)).expect("applied");
        self.until("healthy", |now| now.phase() == "Healthy").await
    }

    /// Merges into the rollout's spec.
    pub async fn patch_spec(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api::<BlueGreenRollout>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Asks for another image.
    pub async fn set_image(&self, image: &str) {
        self.set_template(image, &[]).await;
    }

    /// Asks for another image, with annotations on its pods.
    pub async fn set_template(&self, image: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        // A merge patch keeps old annotations, so this replaces them.
        let patch = json!([
            {"op": "add", "path": "/spec/template/metadata/annotations", "value": annotations},
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
        ]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).expect("a JSON patch"));
        self.api::<BlueGreenRollout>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Asks for another image and waits until its preview waits for promotion.
    pub async fn preview(&self, image: &str) -> Snapshot {
        self.set_image(image).await;
        let shown = |now: &Snapshot| now.phase() == "Paused" && now.image_of("web-preview") == image;
        self.until(&format!("{image} in preview"), shown).await
    }

    /// Asks for another image and promotes it.
    pub async fn release(&self, image: &str) -> Snapshot {
        self.preview(image).await;
        self.greenlight(&["promote", "web", "--timeout", "90s"]).expect("promoted");
        self.until(&format!("{image} active"), |now| now.phase() == "Healthy" && now.image_of("web-active") == image)
            .await
    }

    /// Writes the request annotation, as typed by hand.
    pub async fn annotate_request(&self, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: value}}}));
        self.api::<BlueGreenRollout>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Makes a request of a revision, as the plugin does, and waits for the answer.
    pub async fn ask(&self, action: Verb, revision: &str, by: &str) -> ObservedRequest {
        let revision = revision.to_owned();
        let request =
            Request { action, revision, to: None, by: by.to_owned(), at: jiff::Timestamp::now(), reason: None };
        self.annotate_request(&request.to_value()).await;
        self.answered().await
    }

    /// Waits until the request that stands in the annotation is answered.
    pub async fn answered(&self) -> ObservedRequest {
        let answer = |now: &Snapshot| {
            let stands = now.rollout.as_ref()?.annotations().get(names::REQUEST).cloned();
            now.status().observed_request.filter(|observed| Some(&observed.value) == stands.as_ref())
        };
        let now = self.until("the request is answered", |now| answer(now).is_some()).await;
        answer(&now).expect("it is there")
    }

    /// Marks pods so that kwok takes their readiness away, or gives it back.
    pub async fn set_readiness(&self, pods: impl IntoIterator<Item = String>, ready: bool) {
        let value = if ready { Value::Null } else { "lost".into() };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {greenlight_test_cluster::READINESS: value}}}));
        for pod in pods {
            let api: Api<k8s_openapi::api::core::v1::Pod> = self.api();
            api.patch(&pod, &PatchParams::default(), &patch).await.expect("patched");
        }
    }

    /// Sets an annotation of a pod.
    pub async fn annotate_pod(&self, pod: &str, key: &str, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        let api: Api<k8s_openapi::api::core::v1::Pod> = self.api();
        api.patch(pod, &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Lets the namespace have only so many pods.
    pub async fn limit_pods(&self, pods: i32) {
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "pods"}, "spec": {"hard": {"pods": pods.to_string()}},
        });
        self.apply(&quota).expect("applied");
    }

    /// Takes the rollout's status away.
    pub async fn wipe_status(&self) {
        let patch: Patch<()> =
            Patch::Json(serde_json::from_value(json!([{"op": "remove", "path": "/status"}])).expect("a patch"));
        self.api::<BlueGreenRollout>().patch_status("web", &PatchParams::default(), &patch).await.expect("wiped");
    }

    /// Runs `kubectl greenlight` in the namespace; its standard output, or exit code and both outputs.
    pub fn greenlight(&self, args: &[&str]) -> Result<String, (i32, String)> {
        let output = Command::new(binary("kubectl-greenlight"))
            .env("KUBECONFIG", cluster().kubeconfig())
            .args(["-n", &self.namespace])
            .args(args)
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err((output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr)))
        }
    }

    /// The state now.
    pub async fn now(&self) -> Snapshot {
        Snapshot::read(&self.client, &self.namespace, "web").await.expect("the namespace can be read")
    }

    /// Waits until `is` holds.
    pub async fn until(&self, what: &str, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let started = Instant::now();
        let mut changed = self.changed();
        loop {
            changed.mark_unchanged();
            let now = self.now().await;
            if is(&now) {
                return now;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{}: waited in vain for: {what}\n{}",
                self.namespace,
                self.describe(&now)
            );
            pause(&mut changed).await;
        }
    }

    /// Hears of everything that changes from now on, or did so before.
    fn changed(&self) -> watch::Receiver<()> {
        self.changes.get_or_init(|| Changes::of(&self.client, &self.namespace)).changed()
    }

    /// Checks that `is` holds all the time, for so long.
    pub async fn throughout(&self, duration: Duration, what: &str, is: impl Fn(&Snapshot) -> bool) {
        let started = Instant::now();
        let mut changed = self.changed();
        while started.elapsed() < duration {
            changed.mark_unchanged();
            let now = self.now().await;
            assert!(is(&now), "{}: did not hold: {what}\n{}", self.namespace, self.describe(&now));
            let left = duration.saturating_sub(started.elapsed());
            drop(tokio::time::timeout(left, pause(&mut changed)).await);
        }
    }

    /// Waits until the operator is at rest: twice, with a pause in between, a setting is changed that moves nothing, and has
    /// to show in a status that waits for no pods. So whatever happened before this call has been looked at, and whatever
    /// was to be done about it is done.
    pub async fn settled(&self) -> Snapshot {
        let mut now = self.now().await;
        for _ in 0..2 {
            let spec = now.rollout.as_ref().map(|rollout| rollout.spec.clone()).expect("a rollout");
            self.patch_spec(json!({"progressDeadlineSeconds": spec.progress_deadline_seconds() + 1})).await;
            let rests = |now: &Snapshot| !["", "Pending", "Progressing"].contains(&now.phase());
            self.until("the operator is at rest", rests).await;
            tokio::time::sleep(Duration::from_millis(700)).await;
            now = self.until("the operator is at rest", rests).await;
        }
        now
    }

    /// Ready endpoints in the slices of a Service.
    pub async fn endpoints(&self, service: &str) -> usize {
        let labelled = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let slices = self.api::<EndpointSlice>().list(&labelled).await.expect("slices").items;
        slices.iter().flat_map(ready_endpoints).count()
    }

    /// Waits until a Service has so many ready endpoints.
    pub async fn until_endpoints(&self, service: &str, count: usize) {
        let started = Instant::now();
        while self.endpoints(service).await != count {
            assert!(started.elapsed() < PATIENCE, "{}: {service} has not {count} endpoints", self.namespace);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The analysis runs, oldest first. One that is nested too deep to be read is left out.
    pub async fn runs(&self) -> Vec<AnalysisRun> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Box<RawValue>>,
        }
        let path = AnalysisRun::url_path(&(), Some(&self.namespace));
        let request = kube::core::Request::new(path).list(&ListParams::default()).expect("a path");
        let list: List = self.client.request(request).await.expect("runs");
        let read = |run: &RawValue| serde_json::from_str(run.get()).ok().map(|Whole(run)| run);
        let mut runs: Vec<AnalysisRun> = list.items.iter().filter_map(|run| read(run)).collect();
        runs.sort_by_key(ResourceExt::creation_timestamp);
        runs
    }

    /// What the operator asked of these objects (plural, as in `services`; or `bluegreenrollouts/status`) since the mark, reads
    /// aside. All that was answered before this call is in it.
    pub async fn operator_writes(&self, mark: u64, resource: &str) -> Vec<greenlight_test_cluster::Request> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // The log has one writer: once a question that is asked now stands there, so does everything before.
        let barrier = format!("barrier-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.api::<ConfigMap>().get_opt(&barrier).await.expect("an answer");
        let started = Instant::now();
        loop {
            let requests = cluster().audit().of_namespace(mark, &self.namespace).expect("the audit log");
            if requests.iter().any(|request| request.name == barrier) {
                let is_write = |request: &greenlight_test_cluster::Request| {
                    request.user_agent.starts_with("greenlight/")
                        && request.resource == resource
                        && !["get", "list", "watch"].contains(&request.verb.as_str())
                };
                return requests.into_iter().filter(is_write).collect();
            }
            assert!(started.elapsed() < PATIENCE, "the audit log does not show what was asked");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reasons of the events of the rollout, oldest first.
    pub async fn event_reasons(&self) -> Vec<String> {
        self.events().await.into_iter().filter_map(|event| event.reason).collect()
    }

    /// What the events of this reason say, oldest first.
    pub async fn event_notes(&self, reason: &str) -> Vec<String> {
        let events = self.events().await.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
        events.filter_map(|event| event.note).collect()
    }

    async fn events(&self) -> Vec<Event> {
        let mut events = self.api::<Event>().list(&Default::default()).await.expect("events").items;
        events.retain(|event| {
            event.regarding.as_ref().is_some_and(|object| object.kind.as_deref() == Some("BlueGreenRollout"))
        });
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        events
    }

    /// The audit log, and a mark to count from.
    pub fn audit(&self) -> (Audit, u64) {
        let audit = cluster().audit();
        let mark = audit.mark();
        (audit, mark)
    }

    fn describe(&self, now: &Snapshot) -> String {
        let status = now.rollout.as_ref().map(|rollout| json!(rollout.status)).unwrap_or_default();
        let sets: Vec<String> = now
            .sets
            .iter()
            .map(|set| {
                format!(
                    "{} {:?} {:?} {:?}",
                    set.name_any(),
                    set.spec.as_ref().map(|s| s.replicas),
                    set.status,
                    set.annotations()
                )
            })
            .collect();
        let log = self.operator.as_ref().map(Process::log_tail).unwrap_or_default();
        let services: Vec<String> =
            now.services.keys().map(|name| format!("{name} → {:?}", now.hash_of(name))).collect();
        format!("status: {status:#}\nsets: {}\nservices: {services:?}\n{log}", sets.join("\n"))
    }
}

/// Whatever the chart does not give and an operator asked for is a fault of the chart, or of the operator.
impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let denied = rights::denied(&self.namespace);
            let (count, last) = (denied.len(), denied.last());
            assert!(count <= self.forgiven, "{}: an operator was denied: {last:#?}", self.namespace);
        }
    }
}

/// A binary of this workspace, next to the test's own.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a path");
    let path = exe.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins`, or `cargo xtask test`",
        path.display()
    );
    path
}

fn tempfile(text: &str) -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = cluster().dir().join(format!("manifest-{}.json", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::write(&path, text).context("cannot write a manifest")?;
    Ok(path)
}

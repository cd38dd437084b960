//! What is measured: how it is started, what its rollouts look like, and how one sees that a phase of a release is over.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use greenlight_api::{Request, Verb, names};
use greenlight_test_cluster::{ARGO_ROLLOUTS, Cluster, Process, ensure, free_ports, source};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Phase, active_service, name, namespace, preview_service, template};
use crate::generate;
use crate::shell::build_binaries;

/// A controller that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// This project's operator.
    Greenlight,
    /// Argo Rollouts, its client's limits lifted (`--qps 2000 --burst 4000`), else as it is by default.
    ArgoRollouts,
}

/// Where its program is.
pub(super) struct Program {
    path: PathBuf,
    /// What serves its metrics.
    pub port: u16,
}

impl Subject {
    /// As it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Greenlight => "Greenlight",
            Subject::ArgoRollouts => "Argo Rollouts",
        }
    }

    /// How its requests begin to name it.
    pub fn user_agent(self) -> &'static str {
        match self {
            Subject::Greenlight => "greenlight/",
            Subject::ArgoRollouts => "argo-rollouts/",
        }
    }

    /// The label that its Services select a revision by.
    pub fn hash_label(self) -> &'static str {
        match self {
            Subject::Greenlight => names::HASH_LABEL,
            Subject::ArgoRollouts => "rollouts-pod-template-hash",
        }
    }

    /// Builds the program, unless one is given, and installs what the API server has to know.
    pub async fn prepare(self, cluster: &Cluster, given: Option<&Path>) -> Result<Program> {
        let port = free_ports::<1>()?[0];
        let path = match (self, given) {
            (_, Some(given)) => given.to_owned(),
            (Subject::Greenlight, None) => build_binaries(true)?.join("greenlight"),
            (Subject::ArgoRollouts, None) => ensure(&ARGO_ROLLOUTS)?.path("argo-rollouts"),
        };
        match self {
            Subject::Greenlight => cluster.install_crds(&generate::crds()?)?,
            Subject::ArgoRollouts => {
                let module = source(&ARGO_ROLLOUTS, "github.com/argoproj/argo-rollouts")?;
                for kind in ["rollout", "experiment", "analysis-run", "analysis-template", "cluster-analysis-template"]
                {
                    let file = module.join(format!("manifests/crds/{kind}-crd.yaml"));
                    let file = file.to_str().context("a path in UTF-8")?;
                    cluster.kubectl(&["apply", "--server-side", "-f", file])?;
                }
                cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"])?;
            }
        }
        Ok(Program { path, port })
    }

    /// Starts it.
    pub fn start(self, cluster: &Cluster, program: &Program) -> Result<Process> {
        let kubeconfig = cluster.kubeconfig();
        let kubeconfig = kubeconfig.to_str().context("a path in UTF-8")?;
        let port = program.port;
        let args: Vec<String> = match self {
            Subject::Greenlight => {
                vec!["controller".into(), "--listen".into(), format!("127.0.0.1:{port}"), "--log".into(), "warn".into()]
            }
            Subject::ArgoRollouts => vec![
                format!("--kubeconfig={kubeconfig}"),
                format!("--metricsport={port}"),
                format!("--healthzPort={}", free_ports::<1>()?[0]),
                "--leader-elect=false".into(),
                "--loglevel=warn".into(),
                "--qps=2000".into(),
                "--burst=4000".into(),
            ],
        };
        Process::start(
            cluster.dir(),
            self.user_agent().trim_end_matches('/'),
            &program.path,
            &args,
            &[("KUBECONFIG", kubeconfig)],
        )
    }

    /// The rollouts of this one's namespace.
    pub fn api(self, client: &Client, number: usize) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &namespace(number), &self.resource())
    }

    /// All of its rollouts.
    pub fn all(self, client: &Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Subject::Greenlight => ("greenlight.dev", "v1alpha1", "BlueGreenRollout", "bluegreenrollouts"),
            Subject::ArgoRollouts => ("argoproj.io", "v1alpha1", "Rollout", "rollouts"),
        };
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: format!("{group}/{version}"),
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// A rollout whose promotions wait for somebody.
    pub fn rollout(self, number: usize, replicas: usize) -> Value {
        let (api_version, kind) = match self {
            Subject::Greenlight => ("greenlight.dev/v1alpha1", "BlueGreenRollout"),
            Subject::ArgoRollouts => ("argoproj.io/v1alpha1", "Rollout"),
        };
        json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": name(number)},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": format!("app-{number}")}},
                "strategy": {"blueGreen": {
                    "activeService": active_service(number),
                    "previewService": preview_service(number),
                    "autoPromotionEnabled": false,
                    "scaleDownDelaySeconds": 600,
                }},
                "template": template(number, "app:v1"),
            },
        })
    }

    /// Promotes what waits, as the subject's own plugin does.
    pub async fn promote(self, client: &Client, number: usize) -> Result<()> {
        match self {
            Subject::Greenlight => self.ask(client, number, Verb::Promote).await,
            Subject::ArgoRollouts => {
                let patch = Patch::Merge(json!({"status": {"pauseConditions": null}}));
                self.api(client, number).patch_status(&name(number), &PatchParams::default(), &patch).await?;
                Ok(())
            }
        }
    }

    /// Takes back what was promoted last, as the subject's own plugin does. `image` was there before.
    pub async fn undo(self, client: &Client, number: usize, image: &str) -> Result<()> {
        match self {
            Subject::Greenlight => self.ask(client, number, Verb::Rollback).await,
            Subject::ArgoRollouts => self.update(client, number, image).await,
        }
    }

    /// Gives it another template.
    pub async fn update(self, client: &Client, number: usize, image: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"template": template(number, image)}}));
        self.api(client, number).patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn ask(self, client: &Client, number: usize, action: Verb) -> Result<()> {
        // Which revision that is says the status: the hash is not known here.
        let rollout = self.api(client, number).get_status(&name(number)).await?;
        let request = Request {
            action,
            revision: rollout.data["status"]["updatedRevision"].as_str().unwrap_or_default().to_owned(),
            to: None,
            by: "bench".into(),
            at: jiff::Timestamp::now(),
            reason: None,
        };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: request.to_value()}}}));
        self.api(client, number).patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Whether this rollout has come to the end of that phase, as far as its status says.
    pub fn is_over(self, phase: Phase, rollout: &DynamicObject) -> bool {
        let status = &rollout.data["status"];
        let generation = rollout.metadata.generation.unwrap_or_default();
        let says = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
        match self {
            Subject::Greenlight => {
                let request =
                    rollout.metadata.annotations.as_ref().and_then(|annotations| annotations.get(names::REQUEST));
                let answered = request.map(String::as_str) == status["observedRequest"]["value"].as_str();
                let proven = !status["switch"]["provenAt"].is_null();
                let wanted = match phase {
                    Phase::Create | Phase::Promote => "Healthy",
                    Phase::Update => "Paused",
                    Phase::Undo => "Degraded",
                };
                let went_back = says("activeRevision") != says("updatedRevision");
                status["observedGeneration"].as_i64() == Some(generation)
                    && answered
                    && proven
                    && says("phase") == wanted
                    && (phase != Phase::Undo || went_back)
            }
            Subject::ArgoRollouts => {
                let current = says("currentPodHash");
                let blue_green = |field: &str| status["blueGreen"][field].as_str().unwrap_or_default().to_owned();
                let wanted = if phase == Phase::Update { "Paused" } else { "Healthy" };
                let selected = blue_green(if phase == Phase::Update { "previewSelector" } else { "activeSelector" });
                says("observedGeneration") == generation.to_string()
                    && says("phase") == wanted
                    && !current.is_empty()
                    && selected == current
            }
        }
    }
}

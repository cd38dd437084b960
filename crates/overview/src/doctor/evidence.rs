//! What the checks look at, and what they find.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use greenlight_api::{BlueGreenRollout, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use crate::observe::replica_sets_and_pods;
use crate::session::Session;

/// An operator that runs has seen a change by then.
pub(super) const OPERATOR_ANSWERS_WITHIN: SignedDuration = SignedDuration::from_secs(15);
/// By this label a slice says whose endpoints are in it.
const OF_SERVICE: &str = "kubernetes.io/service-name";

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "name")]
pub enum About {
    /// The rollout itself.
    Rollout,
    /// The Service of this name.
    Service(String),
    /// The ReplicaSet of this name.
    ReplicaSet(String),
    /// The pod of this name.
    Pod(String),
    /// The Ingress of this name.
    Ingress(String),
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// What is seen.
    pub symptom: String,
    /// Why.
    pub cause: String,
    /// What to do, usually a command.
    pub fix: String,
}

/// Everything that was looked at.
pub struct Evidence {
    /// The rollout.
    pub rollout: BlueGreenRollout,
    /// Its namespace.
    pub namespace: String,
    /// Its ReplicaSets.
    pub replica_sets: Vec<ReplicaSet>,
    /// The pods of these.
    pub pods: Vec<Pod>,
    /// Every Service of the namespace.
    pub services: Vec<Service>,
    /// The EndpointSlices of its Services.
    /// `None` for who may not read them: that is not the same as none.
    pub slices: Option<Vec<EndpointSlice>>,
    /// Every Ingress of the namespace.
    pub ingresses: Vec<Ingress>,
    /// When all this was so.
    pub now: Timestamp,
}

impl Evidence {
    /// Reads the rollout, and then at once what belongs to it.
    ///
    /// # Errors
    /// It does not exist, or the caller may not read what belongs to it.
    pub async fn gather(session: &Session, name: &str) -> Result<Evidence> {
        let rollout = session.rollout(name).await?;
        let all = ListParams::default();
        let ours: BTreeSet<&str> = rollout.spec.blue_green().services().collect();
        let ours = ours.into_iter().collect::<Vec<_>>().join(",");
        let of_ours = all.clone().labels(&format!("{OF_SERVICE} in ({ours})"));
        let (services, slices, ingresses) =
            (session.api::<Service>(), session.api::<EndpointSlice>(), session.api::<Ingress>());
        let services = async { services.list(&all).await.context("cannot list Services") };
        let needed = async { tokio::try_join!(replica_sets_and_pods(session, &rollout), services) };
        let (needed, slices, ingresses) = tokio::join!(needed, slices.list(&of_ours), ingresses.list(&all));
        let ((replica_sets, pods), services) = needed?;
        Ok(Evidence {
            rollout,
            namespace: session.namespace.clone(),
            replica_sets,
            pods,
            services: services.items,
            // Some people may not read these; the rest can be told without.
            slices: slices.ok().map(|list| list.items),
            ingresses: ingresses.map(|list| list.items).unwrap_or_default(),
            now: Timestamp::now(),
        })
    }

    pub(super) fn name(&self) -> String {
        self.rollout.name_any()
    }

    pub(super) fn command(&self, verb: &str) -> String {
        format!("kubectl greenlight {verb} {} -n {}", self.name(), self.namespace)
    }

    pub(super) fn of_hash(&self, hash: &str) -> Option<&ReplicaSet> {
        self.replica_sets.iter().find(|rs| rs.labels().get(names::HASH_LABEL).map(String::as_str) == Some(hash))
    }
}

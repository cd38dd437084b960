//! What the checks look at, and what they find.

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
use crate::session::{Flags, Session};
use crate::status::trouble_of;
use crate::surroundings::Surroundings;
use crate::unseen::Unseen;

/// An operator that runs has seen a change by then.
pub(super) const OPERATOR_ANSWERS_WITHIN: SignedDuration = SignedDuration::from_secs(15);

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
    /// What a command of a fix ends with.
    pub flags: Flags,
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
    /// Of a rollout of namespace `shop` to which nothing belongs, at the beginning of 1970.
    #[cfg(test)]
    pub(super) fn of_rollout_alone(rollout: serde_json::Value) -> Evidence {
        Evidence {
            rollout: serde_json::from_value(rollout).expect("a rollout"),
            namespace: "shop".to_owned(),
            flags: Flags::default(),
            replica_sets: Vec::new(),
            pods: Vec::new(),
            services: Vec::new(),
            slices: None,
            ingresses: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// Reads the rollout, and then at once what belongs to it; and what of it could not be looked at.
    ///
    /// # Errors
    /// It does not exist, or the caller may not read what belongs to it.
    pub async fn gather(session: &Session, name: &str) -> Result<(Evidence, Vec<Unseen>)> {
        let rollout = session.rollout(name).await?;
        let newest = ListParams::default();
        let (own, around) =
            tokio::join!(replica_sets_and_pods(session, &rollout), Surroundings::read(session, &rollout.spec, &newest));
        let (replica_sets, pods) = own?;
        // Some people may not read these; the rest can be told without.
        let slices = Unseen::of("EndpointSlices, so what gets traffic", &around.slices);
        let ingresses = Unseen::of(Unseen::INGRESSES, &around.ingresses);
        let unseen = slices.into_iter().chain(ingresses).collect();
        let evidence = Evidence {
            namespace: session.namespace.clone(),
            flags: session.flags.clone(),
            replica_sets,
            pods,
            services: around.services.context("cannot list Services")?,
            slices: around.slices.ok(),
            ingresses: around.ingresses.unwrap_or_default(),
            now: Timestamp::now(),
            rollout,
        };
        Ok((evidence, unseen))
    }

    pub(super) fn name(&self) -> String {
        self.rollout.name_any()
    }

    /// A command of the plugin, about the rollout.
    pub(super) fn command(&self, verb: &str) -> String {
        self.kubectl(&format!("greenlight {verb} {}", self.name()))
    }

    /// A command of kubectl, in the namespace of the rollout and the cluster that was looked at.
    pub(super) fn kubectl(&self, words: &str) -> String {
        format!("kubectl {words} -n {}{}", self.namespace, self.flags)
    }

    /// The command that shows the operator's pods.
    pub(super) fn find_operator(&self) -> String {
        format!("kubectl get pods -A -l app.kubernetes.io/name=greenlight{}", self.flags)
    }

    /// What the operator says that keeps it from its work on this spec.
    pub(super) fn trouble(&self) -> Option<&str> {
        trouble_of(self.rollout.status.as_ref()?, self.rollout.metadata.generation?)
    }

    pub(super) fn of_hash(&self, hash: &str) -> Option<&ReplicaSet> {
        self.replica_sets.iter().find(|rs| rs.labels().get(names::HASH_LABEL).map(String::as_str) == Some(hash))
    }
}

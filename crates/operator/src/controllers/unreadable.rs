//! Telling of objects that cannot be read, on the objects themselves: an event on each, and the status of a rollout. Without that
//! its owner would see a rollout that does nothing, and no reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, conditions, names};
use greenlight_core::events::Event;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::api_server::leadership::Leadership;
use crate::cluster::arrived::{Arrived, Unreadable};
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::objects::{DeploymentView, JobView, ReplicaSetView, RolloutView, ServiceView, workload_group};
use crate::telemetry::recorder::{Recorder, reference};

/// How often to look whether there are any. Nothing is written for those that were told of.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait until a refused status is tried again.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// Kinds, as [`Caches::unreadable`] names them.
pub type Kind = &'static str;

const ROLLOUT: Kind = "BlueGreenRollout";
const REPLICA_SET: Kind = "ReplicaSet";
const SERVICE: Kind = "Service";
const DEPLOYMENT: Kind = "Deployment";
const RUN: Kind = "AnalysisRun";
const JOB: Kind = "Job";

impl Caches {
    /// What cannot be read, by kind. Services and Deployments count if a rollout names them: others are nobody's business here.
    pub fn unreadable(&self) -> [(Kind, Vec<Unreadable>); 6] {
        let named = |group: Key| !self.rollouts.group_keys(&group).is_empty();
        let mut services = self.services.all_unreadable();
        services.retain(|service| named(service.key()));
        let mut deployments = self.workloads.all_unreadable();
        deployments.retain(|deployment| named(workload_group(&deployment.key())));
        [
            (ROLLOUT, self.rollouts.all_unreadable()),
            (REPLICA_SET, self.sets.all_unreadable()),
            (SERVICE, services),
            (DEPLOYMENT, deployments),
            (RUN, self.runs.all_unreadable()),
            (JOB, self.jobs.all_unreadable()),
        ]
    }
}

/// What was told of one object.
struct Told {
    error: String,
    /// When to try the status again, if it was refused.
    again_at: Instant,
}

/// Tells of everything that cannot be read where this instance works, once, until cancelled.
pub async fn tell(
    client: Client,
    caches: Arc<Caches>,
    leadership: Leadership,
    recorder: Recorder,
    stop: CancellationToken,
) {
    let mut told: HashMap<(Kind, Key), Told> = HashMap::new();
    loop {
        let mut still = HashMap::new();
        for (kind, objects) in caches.unreadable() {
            for object in objects.into_iter().filter(|object| leadership.takes_work(&object.key().namespace)) {
                let place = (kind, object.key());
                let before = told.remove(&place).filter(|before| before.error == object.error);
                if before.is_none() {
                    recorder.warn(regarding(kind, &object), &event(&object)).await;
                }
                let now = Instant::now();
                let mut again_at = before.map_or(now, |before| before.again_at);
                if kind == ROLLOUT
                    && now >= again_at
                    && let Err(error) = publish(&client, &caches, &object).await
                {
                    tracing::warn!(rollout = %object.key(), %error, "cannot publish that it cannot be read");
                    again_at = now + REFUSAL_PAUSE;
                }
                still.insert(place, Told { error: object.error, again_at });
            }
        }
        told = still;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn event(object: &Unreadable) -> Event {
    let note = message(object);
    Event { warning: true, reason: conditions::REASON_UNREADABLE, action: "Read", note, by: String::new() }
}

fn message(object: &Unreadable) -> String {
    format!("greenlight cannot read this object and leaves it alone. Correct what it stumbles over: {}", object.error)
}

fn regarding(kind: Kind, object: &Unreadable) -> ObjectReference {
    let Key { namespace, name } = object.key();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let reference = match kind {
        ROLLOUT => reference::<BlueGreenRollout>,
        REPLICA_SET => reference::<ReplicaSetView>,
        SERVICE => reference::<ServiceView>,
        DEPLOYMENT => reference::<DeploymentView>,
        JOB => reference::<JobView>,
        _ => reference::<greenlight_api::analysis::AnalysisRun>,
    };
    reference(&namespace, &name, uid)
}

/// Says it in the status, if the status itself can be read: what was decided stands there, and must not be lost.
async fn publish(client: &Client, caches: &Caches, object: &Unreadable) -> kube::Result<()> {
    let outline = caches.rollouts.outline(&object.key());
    let Some(rollout) = outline.filter(|outline| outline.resource_version == object.resource_version()) else {
        return Ok(());
    };
    let before = rollout.status.clone().unwrap_or_default();
    if before.conditions.iter().any(|condition| condition.message == message(object)) {
        return Ok(());
    }
    // All of it and by the usual manager, so that the next status takes these words away again.
    let body = json!({
        "apiVersion": BlueGreenRollout::api_version(&()),
        "kind": BlueGreenRollout::kind(&()),
        "metadata": {"uid": rollout.uid, "resourceVersion": rollout.resource_version},
        "status": status(before, message(object), rollout.generation),
    });
    let api: Api<Arrived<RolloutView>> = Api::namespaced(client.clone(), &rollout.namespace);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    api.patch_status(&rollout.name, &params, &Patch::Apply(body)).await.map(drop)
}

fn status(mut status: BlueGreenRolloutStatus, message: String, generation: i64) -> BlueGreenRolloutStatus {
    status.conditions.retain(|condition| {
        ![conditions::READY, conditions::STALLED, conditions::RECONCILING].contains(&condition.type_.as_str())
    });
    let now = Timestamp::now();
    status.conditions.extend([(conditions::READY, "False"), (conditions::STALLED, "True")].map(|(type_, value)| {
        Condition {
            type_: type_.to_owned(),
            status: value.to_owned(),
            reason: conditions::REASON_UNREADABLE.to_owned(),
            message: message.clone(),
            last_transition_time: Time(now),
            observed_generation: Some(generation),
        }
    }));
    BlueGreenRolloutStatus { phase: Phase::Degraded, message, observed_generation: generation, ..status }
}

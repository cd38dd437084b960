//! Recording events. Each is an object of its own: the client library's recorder folds equal reasons of one object into a
//! series and drops what later ones say.

use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};

use crate::metrics::Metrics;
use crate::notify::{Notification, Tell};

/// The API cuts notes at this length.
const MAX_NOTE: usize = 1024;

/// Writes events.
pub struct Recorder {
    client: Client,
    instance: String,
    metrics: Metrics,
    tell: Tell,
}

impl Recorder {
    /// Writes in the name of this instance of the operator.
    pub fn new(client: Client, instance: String, metrics: Metrics, tell: Tell) -> Recorder {
        Recorder { client, instance, metrics, tell }
    }

    /// Records an event of a rollout, counts it, and notifies of it. A release does not depend on events: if one cannot be
    /// written, that is logged.
    pub async fn record(&self, rollout: &Rollout, event: &Event) {
        let now = Timestamp::now();
        tracing::info!(rollout = %format!("{}/{}", rollout.namespace, rollout.name), reason = event.reason, "{}", event.note);
        self.metrics.happened(rollout, event);
        let id = format!("{}.{:x}", rollout.name, now.as_nanosecond());
        self.tell.tell(&Notification { id: id.clone(), at: now, rollout: rollout.clone(), event: event.clone() });
        let object = KubeEvent {
            metadata: ObjectMeta {
                name: Some(id),
                namespace: Some(rollout.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            action: Some(event.action.to_owned()),
            reason: Some(event.reason.to_owned()),
            note: Some(event.note.chars().take(MAX_NOTE).collect()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(BlueGreenRollout::api_version(&()).into_owned()),
                kind: Some(BlueGreenRollout::kind(&()).into_owned()),
                name: Some(rollout.name.clone()),
                namespace: Some(rollout.namespace.clone()),
                uid: Some(rollout.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(format!("greenlight.dev/{}", names::FIELD_MANAGER)),
            reporting_instance: Some(self.instance.clone()),
            ..KubeEvent::default()
        };
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &rollout.namespace);
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            tracing::warn!(rollout = rollout.name, reason = event.reason, %error, "cannot record event");
        }
    }
}

//! Recording events. Each is an object of its own: the client library's recorder folds equal reasons of one object into a
//! series and drops what later ones say.

use greenlight_api::text::one_line;
use greenlight_api::{BlueGreenRollout, names};
use greenlight_core::events::Event;
use greenlight_core::words::beginning;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};

use crate::telemetry::metrics::Metrics;
use crate::telemetry::notify::{Notification, Tell};

/// The API refuses longer notes; in bytes.
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
        let event = &shown(event);
        tracing::info!(rollout = %format!("{}/{}", rollout.namespace, rollout.name), reason = event.reason, "{}", event.note);
        self.metrics.happened(rollout, event);
        let id = format!("{}.{:x}", rollout.name, now.as_nanosecond());
        self.tell.tell(&Notification { id: id.clone(), at: now, rollout: rollout.clone(), event: event.clone() });
        let regarding = reference::<BlueGreenRollout>(&rollout.namespace, &rollout.name, &rollout.uid);
        self.write(id, regarding, event).await;
    }

    /// Warns of an object that is not a rollout, or not one that can be read.
    pub async fn warn(&self, regarding: ObjectReference, event: &Event) {
        let id = format!("{}.{:x}", regarding.name.as_deref().unwrap_or_default(), Timestamp::now().as_nanosecond());
        self.write(id, regarding, &shown(event)).await;
    }

    async fn write(&self, name: String, regarding: ObjectReference, event: &Event) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let object = KubeEvent {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            event_time: Some(MicroTime(Timestamp::now())),
            action: Some(event.action.to_owned()),
            reason: Some(event.reason.to_owned()),
            note: Some(beginning(&event.note, MAX_NOTE).to_owned()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            reporting_controller: Some(format!("greenlight.dev/{}", names::FIELD_MANAGER)),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(regarding),
            ..KubeEvent::default()
        };
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            let about = object.regarding.and_then(|about| about.name).unwrap_or_default();
            tracing::warn!(object = format!("{namespace}/{about}"), reason = event.reason, %error, "cannot record event");
        }
    }
}

/// An event as it may be shown: others' words are in its note.
fn shown(event: &Event) -> Event {
    let (note, by) = (one_line(&event.note).into_owned(), one_line(&event.by).into_owned());
    Event { note, by, ..event.clone() }
}

/// A reference to an object, for an event.
pub fn reference<K: Resource<DynamicType = ()>>(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_by_bytes_and_between_characters() {
        assert_eq!(beginning("short", MAX_NOTE), "short");
        assert_eq!(beginning(&"a".repeat(2000), MAX_NOTE).len(), 1024);
        let euros = "€".repeat(1000);
        assert_eq!(beginning(&euros, MAX_NOTE).len(), 1023, "three bytes each");
        assert_eq!(beginning("€", 2), "");
    }
}

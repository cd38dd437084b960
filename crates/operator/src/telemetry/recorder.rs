//! Recording events. Each is an object of its own: the client library's recorder folds equal reasons of one object into a
//! series and drops what later ones say.
//!
//! What is recorded waits in a line of its namespace until it is written ([`crate::telemetry::lines`]), and nobody waits for it.

use std::time::Duration;

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
use tokio::time::Instant;

use crate::api_server::backoff::pause;
use crate::telemetry::lines::{Carrier, First, Lines, Lost, Workers};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::notify::{Notification, Tell};

/// The API refuses longer notes; in bytes.
const MAX_NOTE: usize = 1024;
/// The API refuses longer names.
const MAX_NAME: usize = 253;

/// How many events are written at a time. Each namespace may have one of these places, and those that have more to tell share what is left.
const AT_ONCE: usize = 72;
/// How many of these places may be taken by events beside another one of their namespace.
const BESIDE: usize = 8;
/// How long one event is tried: an API server that restarts loses none.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many events of a namespace may wait to be written before those that tell of many objects at a time wait for them.
const BEHIND: usize = 100;

/// The way to the API server. What a reconcile records is written after it: an admission webhook that is slow to take an event must not
/// delay a release. It was recorded by who led, and is true; so it is written also when somebody else leads by then.
pub struct Events {
    lines: Lines<KubeEvent>,
    workers: Workers,
}

impl Events {
    /// Starts to write what is recorded.
    pub fn start(client: &Client, metrics: &Metrics) -> Events {
        let (lines, mut workers) = (Lines::new(BESIDE), Workers::default());
        let writer = || Writer { client: client.clone(), metrics: metrics.clone() };
        (0..AT_ONCE).for_each(|_| workers.spawn(lines.clone(), writer()));
        Events { lines, workers }
    }

    /// Who records in the name of this instance of the operator.
    pub fn recorder(&self, instance: String, metrics: Metrics, tell: Tell) -> Recorder {
        Recorder { instance, metrics, tell, lines: self.lines.clone() }
    }

    /// Writes what waits, for a few seconds, and ends.
    pub async fn finish(self) {
        self.lines.close();
        self.workers.finish().await;
    }
}

/// Records events.
#[derive(Clone)]
pub struct Recorder {
    instance: String,
    metrics: Metrics,
    tell: Tell,
    lines: Lines<KubeEvent>,
}

impl Recorder {
    /// Records an event of a rollout, counts it, and notifies of it. Never waits. A release does not depend on events: if one cannot be
    /// written, that is logged and counted.
    pub fn record(&self, rollout: &Rollout, event: &Event) {
        let now = Timestamp::now();
        let event = &shown(event);
        tracing::info!(rollout = %format!("{}/{}", rollout.namespace, rollout.name), reason = event.reason, "{}", event.note);
        self.metrics.happened(rollout, event);
        let id = name_of(&rollout.name, now);
        self.tell.tell(&Notification { id: id.clone(), at: now, rollout: rollout.clone(), event: event.clone() });
        let regarding = reference::<BlueGreenRollout>(&rollout.namespace, &rollout.name, &rollout.uid);
        self.push(id, now, regarding, event);
    }

    /// Warns of an object that is not a rollout, or not one that can be read. Never waits.
    pub fn warn(&self, regarding: ObjectReference, event: &Event) {
        let now = Timestamp::now();
        let id = name_of(regarding.name.as_deref().unwrap_or_default(), now);
        self.push(id, now, regarding, &shown(event));
    }

    /// Whether much of this namespace still waits to be written.
    pub fn is_behind(&self, namespace: &str) -> bool {
        self.lines.len(namespace) >= BEHIND
    }

    fn push(&self, name: String, at: Timestamp, regarding: ObjectReference, event: &Event) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let about = regarding.name.clone().unwrap_or_default();
        let object = KubeEvent {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            event_time: Some(MicroTime(at)),
            action: Some(event.action.to_owned()),
            reason: Some(event.reason.to_owned()),
            note: Some(beginning(&event.note, MAX_NOTE).to_owned()),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            reporting_controller: Some(format!("greenlight.dev/{}", names::FIELD_MANAGER)),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(regarding),
            ..KubeEvent::default()
        };
        if let Err(Lost { message, why }) = self.lines.push(&namespace, &about, object) {
            lose(&self.metrics, &message, why);
        }
    }
}

/// The name of an event about this object. Nothing of the object's name counts in it but that people find it there.
fn name_of(object: &str, at: Timestamp) -> String {
    let when = format!(".{:x}", at.as_nanosecond());
    let stem = beginning(object, MAX_NAME - when.len()).trim_end_matches(['-', '.']);
    format!("{stem}{when}")
}

fn lose(metrics: &Metrics, event: &KubeEvent, cause: &str) {
    let about = event.regarding.clone().unwrap_or_default();
    let object = format!("{}/{}", about.namespace.unwrap_or_default(), about.name.unwrap_or_default());
    tracing::warn!(object, reason = event.reason.as_deref().unwrap_or_default(), cause, "cannot record event");
    metrics.lost_event();
}

struct Writer {
    client: Client,
    metrics: Metrics,
}

impl Carrier<KubeEvent> for Writer {
    async fn deliver(&self, lines: &Lines<KubeEvent>, first: First<KubeEvent>) {
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &first.namespace);
        match api.create(&PostParams::default(), &first.message).await {
            Ok(_) => {}
            // It was written before, and the answer was lost.
            Err(kube::Error::Api(status)) if status.code == 409 && first.failures > 0 => {}
            Err(error) if may_pass(&error) && first.since.elapsed() < PATIENCE => {
                let wait = pause(first.failures + 1, FIRST_PAUSE, LONGEST_PAUSE);
                return lines.failed(&first, Instant::now() + wait);
            }
            Err(error) => lose(&self.metrics, &first.message, &error.to_string()),
        }
        lines.done(&first);
    }

    fn lose(&self, event: &KubeEvent, why: &str) {
        lose(&self.metrics, event, why);
    }
}

/// The API server is out of reach, or has too much to do; or its etcd is, of which it repeats the words ("etcdserver: leader changed") and gives no
/// reason. What it cannot do for another cause, such as a webhook that is down, has one.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) if status.code == 500 => status.reason.is_empty(),
        kube::Error::Api(status) => [429, 503, 504].contains(&status.code),
        _ => true,
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, event_written, failure, takes_events_or_hangs};
    use crate::api_server::leadership::Leadership;
    use crate::cluster::fake;
    use crate::telemetry::notify::{Config, Notifier};
    use crate::web::client::WebClient;

    #[test]
    fn a_note_is_cut_by_bytes_and_between_characters() {
        assert_eq!(beginning("short", MAX_NOTE), "short");
        assert_eq!(beginning(&"a".repeat(2000), MAX_NOTE).len(), 1024);
        let euros = "€".repeat(1000);
        assert_eq!(beginning(&euros, MAX_NOTE).len(), 1023, "three bytes each");
        assert_eq!(beginning("€", 2), "");
    }

    fn stalled() -> Event {
        Event { warning: true, reason: "Stalled", action: "x", note: "x".to_owned(), by: String::new() }
    }

    #[tokio::test]
    async fn events_of_an_object_with_the_longest_name_are_written_and_one_that_is_refused_is_counted() {
        // As an API server does it.
        let client = api_server(|Asked { body, .. }| {
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let is_name = name.len() <= 253 && name.split('.').all(|label| !label.is_empty() && !label.ends_with('-'));
            std::future::ready(if is_name { event_written() } else { failure(422, "Invalid") })
        });
        let lost_of = async |name: &str| {
            let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
            let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
            let events = Events::start(&client, &metrics);
            let recorder = events.recorder("test".to_owned(), metrics.clone(), tell);
            recorder.warn(reference::<BlueGreenRollout>("shop", name, "uid"), &stalled());
            events.finish().await;
            let text = metrics.text();
            let line = text.lines().find_map(|line| line.strip_prefix("greenlight_events_lost_total "));
            line.expect("it is counted").to_owned()
        };
        for name in ["web", &"a".repeat(253), &format!("{}-{}", "a".repeat(235), "b".repeat(17)), &"a.".repeat(126)] {
            assert_eq!(lost_of(name.trim_end_matches('.')).await, "0", "{name}");
        }
        assert_eq!(lost_of("no..name").await, "1");
    }

    #[tokio::test(start_paused = true)]
    async fn events_wait_for_an_api_server_that_is_away_and_keep_their_order() {
        let written: Arc<Mutex<Vec<String>>> = Arc::default();
        let (hears, asked) = (written.clone(), Arc::new(AtomicUsize::new(0)));
        let client = api_server(move |Asked { body, .. }| {
            std::future::ready(match asked.fetch_add(1, Ordering::Relaxed) {
                0..3 => failure(503, "ServiceUnavailable"),
                3..5 => (500, json!({"kind": "Status", "message": "etcdserver: leader changed", "code": 500})),
                _ => {
                    let note = body["note"].as_str().unwrap_or_default().to_owned();
                    hears.lock().expect("no panic while locked").push(note);
                    event_written()
                }
            })
        });
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics.clone(), tell);
        for note in ["one", "two"] {
            let event = Event { note: note.to_owned(), ..stalled() };
            recorder.warn(reference::<BlueGreenRollout>("shop", "web", "uid"), &event);
        }
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(*written.lock().expect("no panic while locked"), ["one", "two"]);
        assert!(metrics.text().contains("greenlight_events_lost_total 0"));
        events.finish().await;
    }

    #[tokio::test]
    async fn what_others_wrote_moves_no_cursor_and_begins_no_line_in_an_event() {
        let written: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = written.clone();
        let client = api_server(move |Asked { body, .. }| {
            let note = body["note"].as_str().unwrap_or_default().to_owned();
            hears.lock().expect("no panic while locked").push(note);
            std::future::ready(event_written())
        });
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics.clone(), tell);
        let event = Event { note: "pod x: \u{1b}[2J\nSwitched".to_owned(), ..stalled() };
        recorder.warn(reference::<BlueGreenRollout>("shop", "web", "uid"), &event);
        recorder.record(&fake::rollout("shop", "web", "web", &serde_json::Value::Null), &event);
        events.finish().await;
        assert_eq!(*written.lock().expect("no panic while locked"), ["pod x: \u{fffd}[2J Switched"; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_hang_in_many_namespaces_hold_up_none_in_another_and_nobody_who_records() {
        let (client, paths) = takes_events_or_hangs();
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics, tell);
        let event = stalled();
        for namespace in 0..AT_ONCE - BESIDE - 1 {
            for number in 0..15 {
                let about =
                    reference::<BlueGreenRollout>(&format!("hangs-{namespace}"), &format!("web-{number}"), "uid");
                recorder.warn(about, &event);
            }
        }
        for number in 0..20 {
            recorder.warn(reference::<BlueGreenRollout>("other", &format!("web-{number}"), "uid"), &event);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(paths.in_namespace("other"), 20);
        assert!((1..=1 + BESIDE).contains(&paths.in_namespace("hangs-7")));
        let ends = tokio::time::timeout(Duration::from_secs(60), events.finish());
        ends.await.expect("what hangs does not hold up the end");
    }
}

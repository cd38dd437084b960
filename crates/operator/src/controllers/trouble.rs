//! Telling of work that fails again and again, on the rollout that it is about: by an event, and in its status. What that says comes from plans
//! otherwise, and these got no further. Where there is no rollout any more, an event on the object itself has to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use greenlight_api::BlueGreenRollout;
use greenlight_api::events::STALLED;
use greenlight_core::events::Event;
use greenlight_core::words::brief;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use crate::api_server::error::{Error, in_full};
use crate::cluster::cache::Key;
use crate::telemetry::recorder::Recorder;

/// After so many answers that will not change by themselves, somebody has to know.
const MANY_REFUSALS: u32 = 3;
/// So many answers that somebody else has too much to do, or too little time, are no moment's any more: with their pauses they take three seconds. One that
/// says when to come back counts as several. A proxy gives up one write again and again, whose webhooks take their time, say.
pub const MANY_DELAYS: u32 = 7;
/// So many conflicts are more than watches that lag: somebody else writes all the time, or answers for the API server.
pub const MANY_CONFLICTS: u32 = 10;

/// Who is told, and of what rollout.
#[derive(Clone)]
pub struct Trouble {
    recorder: Recorder,
    about: Arc<About>,
    status: Option<InStatus>,
}

type About = dyn Fn(&Key) -> Option<ObjectReference> + Send + Sync;

type Tells = dyn Fn(&Key, &Key, Option<String>) + Send + Sync;

/// What is told in the status.
#[derive(Clone)]
struct InStatus {
    /// Takes the words for a rollout about what was worked on; `None` takes them back.
    tells: Arc<Tells>,
    /// The rollout whose status tells of what was worked on, and the words.
    told: Arc<Mutex<HashMap<Key, (Key, String)>>>,
}

impl Trouble {
    /// Events go there, about the rollout that this finds.
    pub fn new(recorder: Recorder, about: impl Fn(&Key) -> Option<ObjectReference> + Send + Sync + 'static) -> Trouble {
        Trouble { recorder, about: Arc::new(about), status: None }
    }

    /// It is told in the status of that rollout, too, by whoever takes the words: the rollout, what was worked on, and `None` when that is over.
    pub fn in_status(self, tells: impl Fn(&Key, &Key, Option<String>) + Send + Sync + 'static) -> Trouble {
        Trouble { status: Some(InStatus { tells: Arc::new(tells), told: Arc::default() }), ..self }
    }

    /// Tells of it, once the failures of its kind are as many as that. That the API server is out of reach is told by metrics: it is nobody's object.
    pub fn tell(&self, key: &Key, error: &Error, failures: u32) {
        let is_time = is_time(error, failures);
        let is_told = || self.status.as_ref().is_some_and(|status| status.tells_of(key));
        // Somebody else may refuse it by now.
        if !(is_time || error.lasts() && is_told()) {
            return;
        }
        let Some(about) = (self.about)(key) else { return };
        let note = brief(format!("the operator cannot go on here, and tries again: {}", in_full(error)));
        // What is nobody's any more has no rollout whose status could tell of it.
        let is_rollout = about.kind.as_deref() == Some(&*BlueGreenRollout::kind(&()));
        if let (Some(status), Some(name), true) = (&self.status, &about.name, is_rollout) {
            status.tell(key, key.sibling(name), note.clone(), is_time);
        }
        if is_time {
            let event = Event { warning: true, reason: STALLED, action: "Reconcile", note, by: String::new() };
            self.recorder.warn(about, &event);
        }
    }

    /// The work on this key was done after all, or there is none here any more.
    pub fn is_over(&self, key: &Key) {
        if let Some(status) = &self.status {
            status.is_over(key);
        }
    }
}

impl InStatus {
    fn tells_of(&self, key: &Key) -> bool {
        self.told.lock().expect("no panic while locked").contains_key(key)
    }

    /// Tells it, if it is other than what was told; or anew, since whoever was told may have forgotten it.
    fn tell(&self, key: &Key, rollout: Key, note: String, anew: bool) {
        let told = (rollout.clone(), note.clone());
        let before = self.told.lock().expect("no panic while locked").insert(key.clone(), told.clone());
        if anew || before != Some(told) {
            (self.tells)(&rollout, key, Some(note));
        }
    }

    fn is_over(&self, key: &Key) {
        let Some((rollout, _)) = self.told.lock().expect("no panic while locked").remove(key) else { return };
        (self.tells)(&rollout, key, None);
    }
}

fn is_time(error: &Error, failures: u32) -> bool {
    if error.is_conflict() {
        failures == MANY_CONFLICTS
    } else if error.lasts() {
        failures == MANY_REFUSALS
    } else {
        failures == MANY_DELAYS && error.is_answer()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, event_written};
    use crate::api_server::leadership::Leadership;
    use crate::cluster::objects::ReplicaSetView;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::notify::{Config, Notifier};
    use crate::telemetry::recorder::{Events, reference};
    use crate::web::client::WebClient;

    #[tokio::test]
    async fn the_status_has_the_words_of_whoever_refuses_it_by_now() {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "eventTime": null});
        let client = api_server(move |_| std::future::ready((200, event.clone())));
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics, tell);
        let words: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = words.clone();
        let trouble = Trouble::new(recorder, |key| Some(reference::<BlueGreenRollout>(&key.namespace, "web", "uid")))
            .in_status(move |_, _, told| hears.lock().expect("no panic while locked").push(told.unwrap_or_default()));
        let key = Key { namespace: "shop".to_owned(), name: "web-abc".to_owned() };
        for (failures, by) in (1..).zip(["a policy", "a policy", "a policy", "a policy", "a quota", "a quota"]) {
            trouble.tell(&key, &Error::Refused(by.to_owned()), failures);
        }
        trouble.is_over(&key);
        trouble.is_over(&key);
        let words = words.lock().expect("no panic while locked");
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[0].ends_with("a policy") && words[1].ends_with("a quota") && words[2].is_empty(), "{words:?}");
    }

    #[tokio::test]
    async fn of_what_is_nobodys_any_more_an_event_tells_and_no_status() {
        let (written, mut events_of) = mpsc::unbounded_channel();
        let client = api_server(move |Asked { body, .. }| {
            drop(written.send(body["regarding"]["kind"].as_str().unwrap_or_default().to_owned()));
            std::future::ready(event_written())
        });
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics, tell);
        let itself = |key: &Key| Some(reference::<ReplicaSetView>(&key.namespace, &key.name, "uid"));
        let trouble = Trouble::new(recorder, itself).in_status(|_, _, told| panic!("there is no rollout: {told:?}"));
        let key = Key { namespace: "shop".to_owned(), name: "web-abc".to_owned() };
        (1..=MANY_REFUSALS).for_each(|failures| trouble.tell(&key, &Error::answered(403), failures));
        trouble.is_over(&key);
        assert_eq!(events_of.recv().await.as_deref(), Some("ReplicaSet"));
    }

    #[test]
    fn whatever_is_answered_again_and_again_is_told_once_and_that_nobody_answers_is_not() {
        let times = |error: &Error| (1..100).filter(|failures| is_time(error, *failures)).count();
        let answers = [403, 422, 500, 409, 404, 410, 429, 503, 504].map(Error::answered);
        for error in answers.into_iter().chain([Error::Panicked]) {
            assert_eq!(times(&error), 1, "{error:?}");
        }
        let cause = kube::Error::Service("connection refused".into());
        assert_eq!(times(&Error::Api { what: "change it".to_owned(), source: cause }), 0);
    }
}

//! Telling of objects that cannot be read, on the objects themselves: an event on each, and the status of a rollout. Without that
//! its owner would see a rollout that does nothing, and no reason.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, conditions, names};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api_server::leadership::Leadership;
use crate::cluster::arrived::{Arrived, Unreadable};
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::objects::{DeploymentView, JobView, ReplicaSetView, RolloutView, ServiceView, workload_group};
use crate::controllers::lanes::{Lanes, Places, SLOW};
use crate::telemetry::recorder::{Recorder, reference};

/// How often to look at them while there are any. Nothing is written for those that were told of.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait until a refused status is tried again.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// In so many namespaces at the same time, and those beside whose statuses a webhook holds up.
const AT_ONCE: usize = 32;
/// Of so many objects of a namespace in a turn, if they take no time.
const IN_A_TURN: usize = 8;

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

    /// Whether everything can be read.
    fn are_readable(&self) -> bool {
        let Caches { rollouts, sets, services, runs, workloads, jobs, templates: _ } = self;
        rollouts.is_readable()
            && sets.is_readable()
            && services.is_readable()
            && runs.is_readable()
            && workloads.is_readable()
            && jobs.is_readable()
    }

    /// Returns when something is new about what cannot be read.
    async fn until_unreadable(&self) {
        let Caches { rollouts, sets, services, runs, workloads, jobs, templates: _ } = self;
        tokio::select! {
            () = rollouts.until_unreadable() => {}
            () = sets.until_unreadable() => {}
            () = services.until_unreadable() => {}
            () = runs.until_unreadable() => {}
            () = workloads.until_unreadable() => {}
            () = jobs.until_unreadable() => {}
        }
    }
}

/// What was told of one object.
#[derive(Clone)]
struct Told {
    error: String,
    /// There is an event of it.
    by_event: bool,
    /// When to look at the status again.
    again_at: Instant,
    /// The version of the object whose status says it, or was just written to say so, or cannot say it.
    looked_at: Option<String>,
}

impl Told {
    /// Whether to look at the status of this rollout now. What is as it was is not looked at again: a tenant makes as many as they like.
    fn lacks_status(&self, rollout: &Unreadable, now: Instant) -> bool {
        self.again_at <= now && self.looked_at.as_deref() != Some(rollout.resource_version())
    }
}

/// Whether there is something to do about this object now, by what was told of it before. `is_behind`: much of its namespace waits to be written, and
/// no event is put on top of that. A status waits for no event.
fn is_due(told: Option<&Told>, kind: Kind, object: &Unreadable, is_behind: bool, now: Instant) -> bool {
    let told = told.filter(|told| told.error == object.error);
    let lacks_event = !told.is_some_and(|told| told.by_event);
    let lacks_status = kind == ROLLOUT && told.is_none_or(|told| told.lacks_status(object, now));
    lacks_event && !is_behind || lacks_status
}

type Place = (Kind, Key);

/// What is to be told, by namespace.
type Waiting = BTreeMap<String, VecDeque<(Kind, Unreadable)>>;

/// Who tells.
struct Teller {
    client: Client,
    caches: Arc<Caches>,
    leadership: Leadership,
    recorder: Recorder,
}

/// Tells of everything that cannot be read where this instance works, once, until cancelled. Of several namespaces at the same time: what holds up events in one
/// holds up nothing in others.
pub async fn tell(
    client: Client,
    caches: Arc<Caches>,
    leadership: Leadership,
    recorder: Recorder,
    stop: CancellationToken,
) {
    let teller = Arc::new(Teller { client, caches, leadership, recorder });
    let mut told: HashMap<Place, Told> = HashMap::new();
    let mut waiting = Waiting::new();
    let mut look_at = Instant::now();
    let mut lanes = Lanes::new(Places { parallel: AT_ONCE, share: Some(1) });
    let mut tasks = JoinSet::new();
    // After whom the next ones have their turn.
    let mut last = String::new();
    loop {
        let now = Instant::now();
        // A tenant makes as many as they like: all of them are not looked through for each few that are told.
        if look_at <= now {
            waiting = teller.look(&mut told, now);
            look_at = now + PAUSE;
        }
        lanes.look(now);
        while !lanes.is_full() {
            let next = next_after(&last, &waiting, |namespace| lanes.may_begin(namespace, now));
            let Some(namespace) = next.cloned() else { break };
            let mut objects = waiting.remove(&namespace).unwrap_or_default();
            let is_behind = teller.recorder.is_behind(&namespace);
            let mut work = Vec::new();
            while work.len() < IN_A_TURN {
                let Some((kind, object)) = objects.pop_front() else { break };
                // It may have been told since it was looked for.
                let before = told.get(&(kind, object.key()));
                if is_due(before, kind, &object, is_behind, now) {
                    work.push((before.cloned(), (kind, object)));
                }
            }
            if !objects.is_empty() {
                waiting.insert(namespace.clone(), objects);
            }
            if work.is_empty() {
                continue;
            }
            let place = Key { namespace: namespace.clone(), name: String::new() };
            lanes.begin(place.clone(), now);
            last = namespace;
            let teller = teller.clone();
            tasks.spawn(async move { (place, teller.tell_of(work).await) });
        }
        // Most operators never have anything to tell, and are not to look for it every second.
        let is_over = told.is_empty() && teller.caches.are_readable();
        tokio::select! {
            () = stop.cancelled() => return,
            () = teller.caches.until_unreadable(), if is_over => {}
            () = tokio::time::sleep_until(look_at), if !is_over => {}
            Some(done) = tasks.join_next() => {
                let (place, of_namespace): (Key, Vec<(Place, Told)>) = done.expect("it does not panic");
                lanes.end(&place, Instant::now());
                told.extend(of_namespace);
            }
        }
    }
}

/// The first namespace after this one that has anything to tell and may begin; after the last one comes the first.
fn next_after<'a>(last: &str, waiting: &'a Waiting, may_begin: impl Fn(&str) -> bool) -> Option<&'a String> {
    let after = waiting.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
    let until = waiting.range::<str, _>((Bound::Unbounded, Bound::Included(last)));
    after.chain(until).map(|(namespace, _)| namespace).find(|namespace| may_begin(namespace))
}

impl Teller {
    /// Everything that is to be told now. What was told of objects that are there no more, or can be read, is forgotten.
    fn look(&self, told: &mut HashMap<Place, Told>, now: Instant) -> Waiting {
        let mut there = HashSet::new();
        let mut due = Waiting::new();
        for (kind, objects) in self.caches.unreadable() {
            for object in objects.into_iter().filter(|object| self.leadership.takes_work(&object.key().namespace)) {
                let place = (kind, object.key());
                if is_due(told.get(&place), kind, &object, false, now) {
                    due.entry(object.key().namespace).or_default().push_back((kind, object));
                }
                there.insert(place);
            }
        }
        told.retain(|place, _| there.contains(place));
        for objects in due.values_mut() {
            // Of those that take their time none is first again and again.
            let again_at =
                |(kind, object): &(Kind, Unreadable)| told.get(&(*kind, object.key())).map(|told| told.again_at);
            objects.make_contiguous().sort_by_cached_key(again_at);
        }
        due
    }

    /// Tells of these, one after the other. Of each is known what was told of it before.
    async fn tell_of(&self, objects: Vec<(Option<Told>, (Kind, Unreadable))>) -> Vec<(Place, Told)> {
        let mut done = Vec::new();
        let began = Instant::now();
        for (before, (kind, object)) in objects {
            let now = Instant::now();
            // The rest has another turn: others wait for this one.
            if began + SLOW <= now {
                break;
            }
            let nothing = || Told { error: object.error.clone(), by_event: false, again_at: now, looked_at: None };
            let mut told = before.filter(|before| before.error == object.error).unwrap_or_else(nothing);
            if !told.by_event && !self.recorder.is_behind(&object.key().namespace) {
                self.recorder.warn(regarding(kind, &object), &event(&object));
                told.by_event = true;
            }
            if kind == ROLLOUT && told.lacks_status(&object, now) {
                told.again_at = now + PAUSE;
                match publish(&self.client, &self.caches, &object).await {
                    Ok(()) => told.looked_at = Some(object.resource_version().to_owned()),
                    Err(error) => {
                        tracing::warn!(rollout = %object.key(), %error, "cannot publish that it cannot be read");
                        told.again_at = Instant::now() + REFUSAL_PAUSE;
                    }
                }
            }
            done.push(((kind, object.key()), told));
        }
        done
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
    // One that is being deleted is no more asked what it cannot say, and its status tells what keeps it from going.
    let is_to_be_told =
        |outline: &Rollout| outline.resource_version == object.resource_version() && !outline.is_deleting();
    let Some(rollout) = caches.rollouts.glance(&object.key()).filter(is_to_be_told) else { return Ok(()) };
    let before = rollout.status.clone().unwrap_or_default();
    let says_it = |condition: &Condition| {
        condition.message == message(object) && condition.observed_generation == Some(rollout.generation)
    };
    if before.conditions.iter().any(says_it) {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, event_written, failure, takes_events_or_hangs};
    use crate::cluster::fake;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::notify::{Config, Notifier};
    use crate::telemetry::recorder::Events;
    use crate::web::client::WebClient;

    fn unreadable(namespace: &str, name: &str) -> Unreadable {
        let metadata = ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        };
        Unreadable { metadata, error: "spec: it is nested too deep".to_owned() }
    }

    /// Who writes events, as long as the first is there.
    fn recorder(client: &Client, caches: &Arc<Caches>) -> (Events, Recorder) {
        let metrics = Metrics::new(caches.clone(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics, tell);
        (events, recorder)
    }

    #[tokio::test]
    async fn a_namespace_whose_events_are_held_up_holds_up_no_other_and_each_is_told_once() {
        let (client, asked) = takes_events_or_hangs();
        let caches = Arc::new(Caches::default());
        for namespace in 0..AT_ONCE - 1 {
            for number in 0..20 {
                caches.runs.put_unreadable(unreadable(&format!("hangs-{namespace}"), &format!("run-{number}")), None);
            }
        }
        for number in 0..20 {
            caches.runs.put_unreadable(unreadable("other", &format!("run-{number}")), None);
        }
        let (_events, recorder) = recorder(&client, &caches);
        let stop = CancellationToken::new();
        let telling = tokio::spawn(tell(client, caches, Leadership::undisputed(), recorder, stop.clone()));
        let told = || asked.in_namespace("other");
        let started = Instant::now();
        while told() < 20 {
            assert!(started.elapsed() < Duration::from_secs(10), "{} of 20", told());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(PAUSE * 2).await;
        assert_eq!(told(), 20, "once");
        stop.cancel();
        telling.await.expect("it ends");
    }

    /// What it takes to tell of so many objects of one namespace, in bytes that are allocated for that.
    async fn allocated_for(objects: usize) -> u64 {
        let allocated = || tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics").get();
        let told = Arc::new(AtomicUsize::new(0));
        let counted = told.clone();
        let client = api_server(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(event_written())
        });
        let caches = Arc::new(Caches::default());
        (0..objects).for_each(|number| {
            caches.runs.put_unreadable(unreadable("shop", &format!("run-{number}")), None);
        });
        let (_events, recorder) = recorder(&client, &caches);
        let stop = CancellationToken::new();
        let before = allocated();
        let telling = tokio::spawn(tell(client, caches, Leadership::undisputed(), recorder, stop.clone()));
        while told.load(Ordering::Relaxed) < objects {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let allocated = allocated() - before;
        stop.cancel();
        telling.await.expect("it ends");
        allocated
    }

    /// Whoever makes thousands would have all of them looked through for each few that are told.
    #[tokio::test(start_paused = true)]
    async fn telling_of_eight_times_as_many_takes_about_eight_times_as_much() {
        let (few, many) = (allocated_for(100).await, allocated_for(800).await);
        assert!(many < few * 16, "{few} bytes for 100, {many} for 800");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_told_at_once_after_a_time_without_any() {
        let (written, mut says) = tokio::sync::mpsc::unbounded_channel();
        let client = api_server(move |_| {
            written.send(()).ok();
            std::future::ready(event_written())
        });
        let caches = Arc::new(Caches::default());
        let (_events, recorder) = recorder(&client, &caches);
        let stop = CancellationToken::new();
        let telling = tokio::spawn(tell(client, caches.clone(), Leadership::undisputed(), recorder, stop.clone()));
        for name in ["run", "another"] {
            // In between two looks of whoever looks every so often.
            tokio::time::sleep(PAUSE * 7 / 2).await;
            caches.runs.put_unreadable(unreadable("shop", name), None);
            let told = tokio::time::timeout(PAUSE / 4, says.recv()).await;
            assert_eq!(told, Ok(Some(())), "{name}");
            caches.runs.remove(&unreadable("shop", name).key(), "8");
            tokio::time::sleep(PAUSE * 2).await;
        }
        stop.cancel();
        telling.await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn statuses_that_a_webhook_holds_up_in_many_namespaces_hold_up_none_in_another() {
        let (written, mut says) = tokio::sync::mpsc::unbounded_channel();
        let client = api_server(move |Asked { path, .. }| {
            let written = written.clone();
            async move {
                if path.ends_with("/events") {
                    return event_written();
                }
                if path.contains("/hangs-") {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                } else {
                    written.send(()).ok();
                }
                failure(409, "Conflict")
            }
        });
        let caches = Arc::new(Caches::default());
        let put = |namespace: &str, number: usize| {
            let name = format!("web-{number}");
            let mut outline = fake::rollout(namespace, &name, "web", &serde_json::Value::Null);
            outline.resource_version = "7".to_owned();
            caches.rollouts.put_unreadable(unreadable(namespace, &name), Some(outline));
        };
        for namespace in 0..AT_ONCE + 8 {
            (0..IN_A_TURN).for_each(|number| put(&format!("hangs-{namespace}"), number));
        }
        let (_events, recorder) = recorder(&client, &caches);
        let stop = CancellationToken::new();
        let telling = tokio::spawn(tell(client, caches.clone(), Leadership::undisputed(), recorder, stop.clone()));
        tokio::time::sleep(PAUSE * 3).await;
        put("other", 0);
        let told = tokio::time::timeout(PAUSE * 5, says.recv()).await;
        assert_eq!(told, Ok(Some(())), "it waits for others' webhooks");
        stop.cancel();
        telling.await.expect("it ends");
    }

    /// Of thousands there would be hundreds of turns a second for nothing, each of which looks through all of them.
    #[tokio::test]
    async fn a_rollout_whose_status_says_it_is_looked_at_again_when_it_has_changed_and_not_before() {
        let client = api_server(|_| std::future::ready(event_written()));
        let caches = Arc::new(Caches::default());
        let (_events, recorder) = recorder(&client, &caches);
        let mut object = unreadable("shop", "web");
        // As it comes from the API server, which knows whole seconds.
        let told = serde_json::json!(status(BlueGreenRolloutStatus::default(), message(&object), 1));
        let outline = Rollout {
            resource_version: object.resource_version().to_owned(),
            ..fake::rollout("shop", "web", "web", &told)
        };
        caches.rollouts.put_unreadable(object.clone(), Some(outline));
        let teller = Teller { client, caches, leadership: Leadership::undisputed(), recorder };
        let told = teller.tell_of(vec![(None, (ROLLOUT, object.clone()))]).await;
        let [(_, told)] = &told[..] else { panic!("it is told") };
        let later = Instant::now() + REFUSAL_PAUSE * 2;
        assert!(!is_due(Some(told), ROLLOUT, &object, false, later), "it is as it was");
        object.metadata.resource_version = Some("8".to_owned());
        assert!(is_due(Some(told), ROLLOUT, &object, false, later), "somebody may have written over it");
    }

    /// Nobody would be told more than that the spec has changed, and that the operator has not looked at it yet.
    #[tokio::test]
    async fn a_spec_that_was_changed_and_cannot_be_read_either_is_told_of() {
        for generation in [1, 2] {
            let (written, mut says) = tokio::sync::mpsc::unbounded_channel();
            let client = api_server(move |Asked { path, body, .. }| {
                let is_status = path.ends_with("/status");
                if is_status {
                    written.send(body["status"]["observedGeneration"].clone()).ok();
                }
                std::future::ready(if is_status { failure(409, "Conflict") } else { event_written() })
            });
            let caches = Arc::new(Caches::default());
            let (_events, recorder) = recorder(&client, &caches);
            let object = unreadable("shop", "web");
            let told = serde_json::json!(status(BlueGreenRolloutStatus::default(), message(&object), 1));
            let resource_version = object.resource_version().to_owned();
            let outline = Rollout { resource_version, generation, ..fake::rollout("shop", "web", "web", &told) };
            caches.rollouts.put_unreadable(object.clone(), Some(outline));
            let teller = Teller { client, caches, leadership: Leadership::undisputed(), recorder };
            teller.tell_of(vec![(None, (ROLLOUT, object))]).await;
            let written = says.try_recv().ok();
            assert_eq!(written, if generation == 1 { None } else { Some(serde_json::json!(2)) });
        }
    }

    #[tokio::test]
    async fn a_status_is_told_although_the_events_of_its_namespace_are_held_up() {
        let (written, mut says) = tokio::sync::mpsc::unbounded_channel();
        let client = api_server(move |Asked { path, body, .. }| {
            let written = written.clone();
            async move {
                if path.ends_with("/events") {
                    std::future::pending::<()>().await;
                }
                drop(written.send(body["status"]["message"].as_str().unwrap_or_default().to_owned()));
                failure(409, "Conflict")
            }
        });
        let caches = Arc::new(Caches::default());
        let (_events, recorder) = recorder(&client, &caches);
        let run = unreadable("shop", "run");
        while !recorder.is_behind("shop") {
            recorder.warn(regarding(RUN, &run), &event(&run));
        }
        let mut outline = fake::rollout("shop", "web", "web", &serde_json::Value::Null);
        outline.resource_version = "7".to_owned();
        caches.rollouts.put_unreadable(unreadable("shop", "web"), Some(outline));
        let stop = CancellationToken::new();
        let telling = tokio::spawn(tell(client, caches, Leadership::undisputed(), recorder, stop.clone()));
        let says = tokio::time::timeout(Duration::from_secs(10), says.recv()).await;
        let says = says.expect("it waits for no event").expect("it is told");
        assert!(says.contains("nested too deep"), "{says}");
        stop.cancel();
        telling.await.expect("it ends");
    }
}

//! The rollouts controller: observe, plan, carry out, until a plan has nothing to do; then publish.

mod adopt;
mod affinity;
mod execute;
mod memory;
mod observe;
mod older_crd;

pub use execute::change_replica_set;

use std::sync::Arc;

use greenlight_core::world::Rollout;
use greenlight_core::{Action, Urgency, Watches, World, events, status};
use jiff::Timestamp;
use kube::Client;

use crate::api_server::error::{Error, in_full};
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::live::read_live;
use crate::cluster::on_demand::OnDemand;
use crate::controllers::queue::Outcome;
use crate::controllers::schedule::Turn;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recorder::Recorder;
use execute::{Executor, Whole, is_of};

use memory::OwnTrouble;
pub use memory::{Memories, Memory};
use observe::{Fresh, Observed, observe};

/// How many plans in a row one reconcile may make. A release needs a handful.
const MOST_PLANS: usize = 30;

/// After how many conflicts in a row everything is read again: by then it is not a watch that is a little behind, since the pauses grow.
const MANY_CONFLICTS: u32 = 3;

/// What a reconcile works with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is watched.
    pub caches: Arc<Caches>,
    /// What is remembered.
    pub memories: Arc<Memories>,
    /// What is watched when asked for.
    pub on_demand: Arc<OnDemand>,
    /// Where events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
}

impl Context {
    /// What carries out the plans of a rollout.
    fn executor<'a>(&'a self, rollout: &'a Rollout, whole: &'a Whole) -> Executor<'a> {
        let Context { client, caches, memories, on_demand, recorder, .. } = self;
        Executor { client, caches, memories, on_demand, recorder, rollout, whole }
    }

    /// Keeps nothing of a rollout that does not exist any more, or is another instance's.
    pub fn forget(&self, key: &Key) {
        self.memories.forget(key);
        self.metrics.forget(key);
        self.on_demand.set(key, &Watches::default());
    }
}

/// Brings one rollout as far as it can go now, and as others let it.
pub async fn reconcile(context: Arc<Context>, key: Key, turn: Turn) -> Result<Outcome, Error> {
    let in_trouble = begin(&context, &key).await;
    let result = work_on(&context, &key, &turn).await;
    if let Some(generation) = in_trouble {
        context.memories.end(&key, generation, result.as_ref().err());
        if result.is_err() {
            tell_of_trouble(&context, &key).await;
        }
    }
    let before = context.memories.of(&key).conflicts;
    let conflicts = match &result {
        Err(error) if error.is_conflict() => before + 1,
        // Whatever else went wrong says nothing of the watches; nor does it that others come first.
        Err(_) | Ok(Outcome::Yields(..)) => before,
        Ok(Outcome::Rests(_)) => 0,
    };
    if conflicts != before {
        context.memories.update(&key, |memory| memory.conflicts = conflicts % MANY_CONFLICTS);
    }
    if conflicts == MANY_CONFLICTS {
        look_again(&context, &key).await;
    }
    result
}

/// Returns the generation of a rollout that is in trouble. What that was may be over by now, so it is told when it has failed once more: an API server
/// that was out for a moment took no status, either. But nobody can tell of work after it has hung or panicked, and it may do so again.
async fn begin(context: &Context, key: &Key) -> Option<i64> {
    let never_ended = context.memories.begin(key)?;
    let generation = context.caches.rollouts.get(key)?.generation;
    if never_ended {
        tell_of_trouble(context, key).await;
    }
    Some(generation)
}

/// Reads what the watches should have brought: one of them hangs, and without its news each plan would conflict as the last did.
async fn look_again(context: &Context, key: &Key) {
    let Context { client, caches, memories, on_demand, .. } = context;
    let Some(Observed { world, .. }) =
        observe(caches, memories, on_demand, key, &Fresh::new(), false, Timestamp::now())
    else {
        return;
    };
    tracing::info!(rollout = %key, "several conflicts in a row: reading the rollout and what it works with again");
    if let Err(error) = read_live(client, caches, &world).await {
        tracing::warn!(rollout = %key, error = %in_full(&error), "cannot read it");
    }
}

/// Says in the status what has kept work on it from its end, again and again: no plan got so far that it could. The next one that does takes it back.
/// A newer generation of the rollout than work failed on is told of after it has failed on that, too: its spec may be what mends it.
async fn tell_of_trouble(context: &Context, key: &Key) {
    let (Some(trouble), Some(rollout)) = (context.memories.own_trouble(key), context.caches.rollouts.get(key)) else {
        return;
    };
    let OwnTrouble { words, failed_on, .. } = trouble;
    let told = status::of_trouble(&rollout, failed_on, words, Timestamp::now());
    let Some(told) = told.filter(|told| rollout.status.as_ref() != Some(told)) else { return };
    let whole = &Whole::default();
    if let Err(error) = context.executor(&rollout, whole).publish(&told).await {
        tracing::warn!(rollout = %key, error = %in_full(&error), "cannot publish what it cannot go on for");
        return;
    }
    // Nothing has moved, whatever is there.
    let events = events::between(rollout.status.as_ref(), &told, |_| true);
    context.metrics.published(&rollout, &told, &events);
    let rollout = Rollout { status: Some(told), ..rollout };
    events.iter().for_each(|event| context.recorder.record(&rollout, event));
}

async fn work_on(context: &Context, key: &Key, turn: &Turn) -> Result<Outcome, Error> {
    let Context { client, caches, memories, on_demand, recorder, metrics } = context;
    let mut fresh = Fresh::new();
    let whole = &Whole::default();
    let mut live = false;
    let mut last = Vec::new();
    for _ in 0..MOST_PLANS {
        turn.looks();
        let now = Timestamp::now();
        let Some(Observed { world, unknown }) = observe(caches, memories, on_demand, key, &fresh, live, now) else {
            // What it asks for is not known: everything stays as it is, and [`crate::controllers::unreadable`] tells why.
            if caches.rollouts.unreadable(key).is_some() {
                turn.note_landed();
                return Ok(Outcome::Rests(None));
            }
            if caches.rollouts.knows(key) {
                continue;
            }
            context.forget(key);
            turn.note_landed();
            return Ok(Outcome::Rests(None));
        };
        let plan = greenlight_core::plan(&world, now);
        let is_to_be_read = plan.doubt.is_some() || !unknown.is_empty() && !live;
        if !is_to_be_read {
            on_demand.set(key, &plan.watches);
        }
        let due = plan.publish_at.is_some_and(|at| at <= now) && !memories.is_cut(&world.rollout, &plan.status);
        let has_its_template = creates_replica_set(&plan.actions) && is_of(whole, &world.rollout);
        let may_yield = fresh.is_empty() && !live && !has_its_template;
        // Not between a claim and the move that rests on its answer, nor between an answer with the template and the ReplicaSet that is made of it; and not
        // after reading, which would be for nothing.
        if may_yield && (is_to_be_read || due || !plan.actions.is_empty()) {
            // What is not believed yet is as urgent as if it were.
            let believed = is_to_be_read.then(|| greenlight_core::plan(&World { live: true, ..world.clone() }, now));
            let plan = believed.as_ref().unwrap_or(&plan);
            if let Some(urgency) = turn.gives_way(plan.urgency) {
                return Ok(Outcome::Yields(urgency, plan.next));
            }
        }
        if !unknown.is_empty() {
            if live {
                let some: Vec<&String> = unknown.iter().take(5).collect();
                tracing::warn!(rollout = %key, count = unknown.len(), ?some, "ReplicaSets say that they are this rollout's, and its record does not");
                let there = caches.sets.group(key).into_iter().map(|owned| owned.set.uid).collect();
                memories.update(key, |memory| memory.note_strangers(unknown, &there));
            } else {
                read_live(client, caches, &world).await?;
                live = true;
            }
            continue;
        }
        if let Some(doubt) = plan.doubt {
            tracing::info!(rollout = %key, doubt = doubt.as_str(), "reading the rollout and what it works with again");
            read_live(client, caches, &world).await?;
            live = true;
            continue;
        }
        turn.note_flight(plan.in_flight || plan.urgency == Urgency::FirstDeployment, plan.is_first_deployment);
        let executor = context.executor(&world.rollout, whole);
        if plan.actions.is_empty() {
            if due {
                executor.publish(&plan.status).await?;
                metrics.published(&world.rollout, &plan.status, &plan.events);
                let rollout = Rollout { status: Some(plan.status), ..world.rollout };
                plan.events.iter().for_each(|event| recorder.record(&rollout, event));
            }
            // What was decided stands in the status now, and can be acted upon.
            if due && plan.replan {
                if caches.rollouts.get(key).is_some_and(|kept| kept.status.is_none_or(|kept| kept.decisions.is_none()))
                {
                    return Err(Error::RecordNotKept);
                }
                last.clear();
                continue;
            }
            return Ok(Outcome::Rests(plan.next));
        }
        fresh.clear();
        carry_out(&executor, key, &plan.actions, &mut fresh).await?;
        last = plan.actions;
    }
    Err(Error::DidNotConverge(MOST_PLANS, format!("{last:?}")))
}

fn creates_replica_set(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::CreateReplicaSet { .. }))
}

/// Carries out the actions of a plan in order, up to the first that the API server refuses, or that was planned for another state of the rollout.
async fn carry_out(executor: &Executor<'_>, key: &Key, actions: &[Action], fresh: &mut Fresh) -> Result<(), Error> {
    for (number, action) in actions.iter().enumerate() {
        tracing::debug!(rollout = %key, ?action, "carrying out");
        // An action on the rollout itself changes its resourceVersion: what follows is planned anew.
        let rollout_changed =
            number > 0 && executor.caches.rollouts.get(key).is_none_or(|now| now != *executor.rollout);
        if rollout_changed || !executor.execute_unless_refused(action, fresh).await? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
    use std::time::Duration;

    use greenlight_api::analysis::AnalysisRun;
    use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, PodMetadata, names};
    use http::Method;
    use serde_json::{Value, json};
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, event_written, failure};
    use crate::api_server::leadership::Leadership;
    use crate::cluster::arrived::Arrived;
    use crate::cluster::fake;
    use crate::cluster::objects::{KeptRun, ReplicaSetView, RolloutView};
    use crate::cluster::scope::Scope;
    use crate::controllers::lanes::{MOST, Places};
    use crate::controllers::queue::{Limits, Queue};
    use crate::controllers::triggers::{self, Observers};
    use crate::controllers::trouble::Trouble;
    use crate::telemetry::health::Health;
    use crate::telemetry::notify::{Config, Notifier};
    use crate::telemetry::recorder::{Events, reference};
    use crate::web::client::WebClient;

    const WORDS: &str = "nobody lists these";

    const LIMITS: Limits = Limits {
        places: Places { parallel: 1, share: None },
        span: |_| tracing::Span::none(),
        deadline: Duration::from_secs(300),
    };

    fn rollout() -> Value {
        json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"blueGreen": {"activeService": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "web", "image": "web:v1"}]},
                },
            },
            "status": {"message": "revision 1 is active", "decisions": {"serving": "bcdfghjklm", "replicas": 1, "specReplicas": 1}},
        })
    }

    /// A ReplicaSet that says that it is the rollout's, and of which its record knows nothing: that is a reason to read everything again.
    fn stranger() -> Value {
        let owner = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u", "controller": true,
        });
        json!({
            "metadata": {
                "name": "web-stranger", "namespace": "shop", "uid": "s", "resourceVersion": "5", "ownerReferences": [owner],
            },
            "spec": {"selector": {}, "template": {}},
        })
    }

    /// The pods of [`stranger`] are to get a label.
    fn label_pods() -> Action {
        let labels = [("role".to_owned(), "active".to_owned())].into();
        Action::ChangePodMetadata {
            name: "web-stranger".to_owned(),
            resource_version: "5".to_owned(),
            hash: "abc".to_owned(),
            from: PodMetadata::default(),
            to: PodMetadata { labels, ..PodMetadata::default() },
        }
    }

    /// One that has this rollout, takes its status and no other write, and answers the list of ReplicaSets by this code. It counts how often it is told of
    /// that in the status.
    fn server(object: &Arc<Mutex<Value>>, code: &Arc<AtomicU16>, told: &Arc<AtomicUsize>) -> Client {
        let (object, code, told) = (object.clone(), code.clone(), told.clone());
        api_server(move |Asked { method, path, body, .. }| {
            let mut object = object.lock().expect("no panic while locked");
            let is_read = method == Method::GET;
            std::future::ready(if path.ends_with("/events") {
                event_written()
            } else if path.ends_with("/bluegreenrollouts/web/status") {
                let version = object["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse::<u64>().ok());
                object["metadata"]["resourceVersion"] = (version.unwrap_or(0) + 1).to_string().into();
                object["status"] = body["status"].clone();
                let is_told = object["status"]["message"].as_str().is_some_and(|message| message.contains(WORDS));
                told.fetch_add(usize::from(is_told), Ordering::Relaxed);
                (200, object.clone())
            } else if is_read && path.ends_with("/bluegreenrollouts/web") {
                (200, object.clone())
            } else if is_read && path.ends_with("/replicasets") {
                match code.load(Ordering::Relaxed) {
                    200 => (200, json!({"metadata": {"resourceVersion": "9"}, "items": []})),
                    code => failure(code, WORDS),
                }
            } else if is_read {
                // The ReplicaSet that only the cache knows, and the Service.
                failure(404, "NotFound")
            } else {
                failure(403, "nobody writes")
            })
        })
    }

    /// The status, once it is so.
    async fn until(object: &Mutex<Value>, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..10_000 {
            let status = object.lock().expect("no panic while locked")["status"].clone();
            if is(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:#}", object.lock().expect("no panic while locked"));
    }

    /// What a reconcile works with, and what has to live as long.
    fn context(client: Client, caches: Arc<Caches>, queue: &Queue) -> (Context, Health, Events) {
        let metrics = Metrics::new(caches.clone(), Leadership::undisputed());
        let tell = Notifier::start(Config::default(), &WebClient::default(), &metrics).tell();
        let events = Events::start(&client, &metrics);
        let recorder = events.recorder("test".to_owned(), metrics.clone(), tell);
        let (health, failed) = (Health::default(), CancellationToken::new());
        let observers = Observers { health: health.clone(), metrics: metrics.clone(), failed };
        let on_demand = Arc::new(OnDemand::new(&client, &Scope::default(), triggers::asked(queue, &observers)));
        (Context { client, caches, memories: Arc::default(), on_demand, recorder, metrics }, health, events)
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_refused_or_conflicts_for_ever_is_told_in_the_status_and_heals() {
        for refusal in [403, 409, 503] {
            let (object, code) = (Arc::new(Mutex::new(rollout())), Arc::new(AtomicU16::new(refusal)));
            let caches = Arc::new(Caches::default());
            caches.rollouts.put(serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep());
            let stranger = serde_json::from_value::<ReplicaSetView>(stranger()).expect("a ReplicaSet").keep();
            caches.sets.put(stranger.expect("it has an owner"));
            let queue = Queue::new(Leadership::undisputed());
            let (context, health, _events) = context(server(&object, &code, &Arc::default()), caches, &queue);
            let hears = context.memories.clone();
            let trouble = Trouble::new(context.recorder.clone(), |key| {
                Some(reference::<BlueGreenRollout>(&key.namespace, &key.name, "u"))
            });
            let trouble = trouble.in_status(move |rollout, about, words| {
                hears.update(rollout, |memory| memory.tell_own(about, words));
            });
            let watched = (context.metrics.clone(), health, Some(trouble));
            let context = Arc::new(context);
            let web = || vec![Key { namespace: "shop".to_owned(), name: "web".to_owned() }];
            let work = move |key: Key, turn: Turn| reconcile(context.clone(), key, turn);
            let stop = CancellationToken::new();
            let running = tokio::spawn(queue.run("test", LIMITS, watched, stop.clone(), web, work));
            let is_told = |status: &Value| status["message"].as_str().is_some_and(|message| message.contains(WORDS));
            let told = until(&object, is_told).await;
            assert_eq!(told["phase"], "Degraded", "{refusal}: {told:#}");
            assert_eq!(told["decisions"], rollout()["status"]["decisions"], "{refusal}: nothing was decided");
            // A conflict says nothing of a spec.
            if refusal != 409 {
                let of_this_spec =
                    |status: &Value| is_told(status) && status["conditions"][0]["observedGeneration"] == 1;
                let told = until(&object, of_this_spec).await;
                assert_eq!(told["observedGeneration"], 0, "no plan of it is told");
            }
            code.store(200, Ordering::Relaxed);
            until(&object, |status| !is_told(status)).await;
            stop.cancel();
            running.await.expect("it ends");
        }
    }

    /// An API server that was out for a while takes no status until that is over.
    #[tokio::test(start_paused = true)]
    async fn what_is_over_by_the_time_that_it_can_be_told_is_not_told_but_for_what_hung() {
        for (hung, code, is_told) in [(false, 200, false), (false, 503, true), (true, 200, true)] {
            let (object, code) = (Arc::new(Mutex::new(rollout())), Arc::new(AtomicU16::new(code)));
            let caches = Arc::new(Caches::default());
            caches.rollouts.put(serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep());
            let stranger = serde_json::from_value::<ReplicaSetView>(stranger()).expect("a ReplicaSet").keep();
            caches.sets.put(stranger.expect("it has an owner"));
            let (queue, told) = (Queue::new(Leadership::undisputed()), Arc::default());
            let (context, health, _events) = context(server(&object, &code, &told), caches, &queue);
            let web = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
            context.memories.update(&web, |memory| memory.tell_own(&web, Some(WORDS.to_owned())));
            if hung {
                assert_eq!(context.memories.begin(&web), Some(false), "that it will hang is not known");
            }
            let watched = (context.metrics.clone(), health, None);
            let context = Arc::new(context);
            let work = move |key: Key, turn: Turn| reconcile(context.clone(), key, turn);
            let stop = CancellationToken::new();
            let running = tokio::spawn(queue.run("test", LIMITS, watched, stop.clone(), || vec![web], work));
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
            running.await.expect("it ends");
            assert_eq!(told.load(Ordering::Relaxed) > 0, is_told, "{hung} {code:?}");
        }
    }

    /// Neither it nor its namespace could be deleted otherwise.
    #[tokio::test(start_paused = true)]
    async fn a_rollout_that_cannot_be_read_is_let_go_when_it_is_deleted_and_left_alone_before() {
        for is_deleted in [false, true] {
            let mut object = rollout();
            object["spec"]["restartAt"] = "9999-12-31T23:59:59Z".into();
            object["metadata"]["finalizers"] = json!([names::SERVICES_FINALIZER]);
            if is_deleted {
                object["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
            }
            let arrived = serde_json::from_str::<Arrived<RolloutView>>(&object.to_string()).expect("an object");
            let Arrived::Unreadable(unreadable, outline) = arrived else { panic!("it can be read") };
            let caches = Arc::new(Caches::default());
            caches.rollouts.put_unreadable(*unreadable, outline.map(RolloutView::keep));
            let let_go = Arc::new(AtomicUsize::new(0));
            let counted = let_go.clone();
            let client = api_server(move |Asked { method, body, .. }| {
                if method == Method::PATCH && body["metadata"]["finalizers"] == json!([]) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                std::future::ready((200, object.clone()))
            });
            let queue = Queue::new(Leadership::undisputed());
            let (context, health, _events) = context(client, caches, &queue);
            let watched = (context.metrics.clone(), health, None);
            let context = Arc::new(context);
            let web = || vec![Key { namespace: "shop".to_owned(), name: "web".to_owned() }];
            let work = move |key: Key, turn: Turn| reconcile(context.clone(), key, turn);
            let stop = CancellationToken::new();
            let running = tokio::spawn(queue.run("test", LIMITS, watched, stop.clone(), web, work));
            tokio::time::sleep(Duration::from_millis(20)).await;
            stop.cancel();
            running.await.expect("it ends");
            assert_eq!(let_go.load(Ordering::Relaxed) > 0, is_deleted);
        }
    }

    /// What is applied by force takes the place of whatever is there: of what another operator has decided since, too.
    #[tokio::test]
    async fn a_status_is_written_only_over_the_one_that_it_was_decided_from() {
        let written: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = written.clone();
        let client = api_server(move |Asked { body, .. }| {
            let metadata = &body["metadata"];
            seen.lock().expect("no panic while locked").push(json!([metadata["uid"], metadata["resourceVersion"]]));
            std::future::ready((200, rollout()))
        });
        let (context, _, _events) = context(client, Arc::default(), &Queue::new(Leadership::undisputed()));
        let rollout = serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep();
        let (status, whole) = (BlueGreenRolloutStatus::default(), Whole::default());
        context.executor(&rollout, &whole).publish(&status).await.expect("written");
        assert_eq!(*written.lock().expect("no panic while locked"), [json!(["u", "1"])]);
    }

    /// A watch that began before its CRD was changed brings a rollout without the fields that only the new one has, and brings it once.
    #[tokio::test]
    async fn what_a_watch_has_left_out_of_a_new_template_is_seen_in_the_answer_to_the_status() {
        let arrived = serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep();
        let mut whole = rollout();
        whole["metadata"]["resourceVersion"] = "2".into();
        whole["spec"]["template"]["spec"]["containers"][0]["stopSignal"] = "SIGINT".into();
        let client = api_server(move |_| std::future::ready((200, whole.clone())));
        for (template, sees) in [("", false), ("new", true)] {
            let caches = Arc::new(Caches::default());
            let queue = Queue::new(Leadership::undisputed());
            let (context, _, _events) = context(client.clone(), caches.clone(), &queue);
            caches.rollouts.put_answer(arrived.clone());
            let mut status = arrived.status.clone().expect("a status");
            status.decisions.as_mut().expect("a record").template = template.to_owned();
            context.executor(&arrived, &Whole::default()).publish(&status).await.expect("written");
            let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
            let known = caches.rollouts.get(&key).expect("it is known");
            assert_eq!((known.resource_version.as_str(), known.template != arrived.template), ("2", sees));
        }
    }

    /// Pods of two ReplicaSets of the same hash, and one that nobody made.
    #[tokio::test]
    async fn a_pod_that_another_rollout_made_gets_no_labels_although_the_hash_is_the_same() {
        let labelled = Arc::new(Mutex::new(Vec::new()));
        let seen = labelled.clone();
        let client = api_server(move |Asked { method, path, .. }| {
            let pod = path.split_once("/pods/").filter(|_| method == Method::PATCH);
            seen.lock().expect("no panic while locked").extend(pod.map(|(_, name)| name.to_owned()));
            let owner = |uid: &str| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "controller": true}]);
            let pods = json!([
                {"metadata": {"name": "ours", "ownerReferences": owner("s")}},
                {"metadata": {"name": "theirs", "ownerReferences": owner("theirs")}},
                {"metadata": {"name": "of-nobody"}},
            ]);
            std::future::ready(if path.ends_with("/pods") {
                (200, json!({"metadata": {"resourceVersion": "9"}, "items": pods}))
            } else {
                (200, stranger())
            })
        });
        execute(client, Arc::default(), &label_pods()).await.expect("carried out");
        assert_eq!(*labelled.lock().expect("no panic while locked"), ["ours"]);
    }

    /// Carries out one action for a rollout, as if the caches had nothing but this.
    async fn execute(client: Client, caches: Arc<Caches>, action: &Action) -> Result<(), Error> {
        let (context, _, _events) = context(client, caches, &Queue::new(Leadership::undisputed()));
        let (rollout, whole) = (fake::rollout("shop", "web", "web", &Value::Null), Whole::default());
        context.executor(&rollout, &whole).execute(action, &mut Fresh::new()).await
    }

    /// One with so many pods of [`stranger`], `web-0` of version 10 and on. It takes what is written to a pod, unless `refuses` answers otherwise.
    fn server_of_pods(
        count: usize,
        refuses: impl Fn(&str, &Value) -> Option<(u16, Value)> + Clone + Send + 'static,
    ) -> Client {
        api_server(move |Asked { method, path, body, .. }| {
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-stranger", "uid": "s"});
            let pod = |number: usize| {
                let (name, version) = (format!("web-{number}"), (10 + number).to_string());
                json!({"metadata": {"name": name, "resourceVersion": version, "ownerReferences": [owner]}})
            };
            let of_pod = path.rsplit_once("/pods/").map(|(_, name)| name).filter(|_| method == Method::PATCH);
            std::future::ready(if let Some(name) = of_pod {
                refuses(name, &body).unwrap_or_else(|| (200, pod(0)))
            } else if path.ends_with("/pods") {
                let pods: Vec<Value> = (0..count).map(pod).collect();
                (200, json!({"metadata": {"resourceVersion": "9"}, "items": pods}))
            } else {
                (200, stranger())
            })
        })
    }

    /// Labels of pods decide who gets traffic in an overlap. A patch that is late must not take back what another operator has settled since.
    #[tokio::test]
    async fn pods_are_changed_only_as_they_were_read_and_one_that_has_changed_holds_up_no_other() {
        let written: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let seen = written.clone();
        let client = server_of_pods(3, move |name, body| {
            let version = body["metadata"]["resourceVersion"].clone();
            seen.lock().expect("no panic while locked").push((name.to_owned(), version));
            (name == "web-0").then(|| failure(409, "Conflict"))
        });
        execute(client, Arc::default(), &label_pods()).await.expect("the next plan looks at it again");
        let mut written = written.lock().expect("no panic while locked").clone();
        written.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [("web-0", "10"), ("web-1", "11"), ("web-2", "12")];
        assert_eq!(written, expected.map(|(name, version)| (name.to_owned(), json!(version))));
    }

    /// While pods start each of them changes every moment. Whoever rests for that has others wait for it, a person who undoes, say.
    #[tokio::test]
    async fn a_pod_that_has_changed_is_looked_at_again_at_once_unless_there_is_no_other() {
        let (notes, patches) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let pods = Arc::new(AtomicUsize::new(2));
        let (seen, counted, there) = (notes.clone(), patches.clone(), pods.clone());
        let client = api_server(move |Asked { method, path, body, .. }| {
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-stranger", "uid": "s"});
            let pod =
                |number: usize| json!({"metadata": {"name": format!("web-{number}"), "ownerReferences": [owner]}});
            let note = body["metadata"]["annotations"][names::ROLE_METADATA].as_str();
            let note = note.map(|note| note.contains(names::UNSETTLED));
            seen.lock().expect("no panic while locked").extend(note);
            std::future::ready(if path.ends_with("/pods") {
                let pods: Vec<Value> = (0..there.load(Ordering::Relaxed)).map(pod).collect();
                (200, json!({"metadata": {"resourceVersion": "9"}, "items": pods}))
            } else if method == Method::PATCH && path.ends_with("/pods/web-0") {
                match counted.fetch_add(1, Ordering::Relaxed) {
                    0 | 2 => failure(409, "Conflict"),
                    _ => (200, pod(0)),
                }
            } else {
                (200, stranger())
            })
        });
        let label = async || execute(client.clone(), Arc::default(), &label_pods()).await;
        label().await.expect("the other one is done");
        assert_eq!(*notes.lock().expect("no panic while locked"), [true], "its pods are on the way");
        label().await.expect("both are done");
        assert_eq!(*notes.lock().expect("no panic while locked"), [true, true, false], "they are settled");
        pods.store(1, Ordering::Relaxed);
        assert!(label().await.is_err_and(|error| error.is_conflict()), "it would come no further");
    }

    /// Until then it may make pods of the template before, which nobody would change any more.
    #[tokio::test]
    async fn pods_are_changed_only_once_the_controller_of_replica_sets_has_seen_their_template() {
        for (seen, is_seen) in [(1, false), (2, true)] {
            let listed = Arc::new(AtomicBool::new(false));
            let lists = listed.clone();
            let client = api_server(move |Asked { path, .. }| {
                let is_list = path.ends_with("/pods");
                lists.fetch_or(is_list, Ordering::Relaxed);
                let mut set = stranger();
                set["metadata"]["generation"] = 2.into();
                set["status"] = json!({"observedGeneration": seen});
                let no_pods = json!({"metadata": {"resourceVersion": "9"}, "items": []});
                std::future::ready((200, if is_list { no_pods } else { set }))
            });
            let caches = Arc::new(Caches::default());
            execute(client, caches.clone(), &label_pods()).await.expect("carried out");
            assert_eq!(listed.load(Ordering::Relaxed), is_seen);
            let key = Key { namespace: "shop".to_owned(), name: "web-stranger".to_owned() };
            let kept = caches.sets.get(&key).map(|owned| owned.set.settled);
            assert_eq!(kept, Some(is_seen), "the next plan is made from the answer");
        }
    }

    /// Of a hundred pods these are refused. Returns how many patches were asked for.
    async fn labelled_while_refused(is_refused: fn(&str) -> bool) -> usize {
        let patches = Arc::new(AtomicUsize::new(0));
        let counted = patches.clone();
        let client = server_of_pods(100, move |name, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            is_refused(name).then(|| failure(403, "Forbidden"))
        });
        let changed = execute(client, Arc::default(), &label_pods()).await;
        assert!(changed.is_err_and(|error| error.lasts()), "it is told");
        patches.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_pod_that_is_refused_holds_up_no_other_and_where_all_are_few_are_tried() {
        assert_eq!(labelled_while_refused(|name| name == "web-0").await, 100);
        let tried = labelled_while_refused(|_| true).await;
        assert!(tried < 50, "{tried} again and again");
    }

    /// They are listed in the same order each time: those behind them would never have their turn.
    #[tokio::test]
    async fn many_pods_that_are_refused_hold_up_no_other_for_long() {
        let labelled = Arc::new(AtomicUsize::new(0));
        let counted = labelled.clone();
        let client = server_of_pods(32, move |name, _| {
            let is_last = name == "web-31";
            counted.fetch_add(is_last.into(), Ordering::Relaxed);
            (!is_last).then(|| failure(403, "Forbidden"))
        });
        let mut tries = 0;
        while labelled.load(Ordering::Relaxed) == 0 {
            tries += 1;
            assert!(tries < 200, "it waits for those that are refused");
            let tried = execute(client.clone(), Arc::default(), &label_pods()).await;
            assert!(tried.is_err_and(|error| error.lasts()), "it is told");
        }
    }

    /// An operator with an old picture would take one that is ready by now, beside another that is down.
    #[tokio::test]
    async fn a_pod_is_evicted_only_as_it_was_seen() {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let evict = Action::EvictPod {
            hash: "abc".to_owned(),
            name: "web-0".to_owned(),
            uid: "p".to_owned(),
            resource_version: "7".to_owned(),
        };
        for (code, reason) in [(201, ""), (404, "NotFound"), (409, "Conflict")] {
            let seen = asked.clone();
            let client = api_server(move |Asked { body, .. }| {
                seen.lock().expect("no panic while locked").push(body["deleteOptions"]["preconditions"].clone());
                let evicted = json!({"apiVersion": "v1", "kind": "Status", "status": "Success"});
                std::future::ready(if code == 201 { (code, evicted) } else { failure(code, reason) })
            });
            let answer = execute(client, Arc::default(), &evict).await;
            assert_eq!(answer.is_err_and(|error| error.is_conflict()), code == 409, "{code}");
        }
        let as_seen = json!({"uid": "p", "resourceVersion": "7"});
        assert_eq!(*asked.lock().expect("no panic while locked"), vec![as_seen; 3]);
    }

    /// One that is made anew has the same name.
    #[tokio::test]
    async fn a_run_is_stopped_only_as_it_was_read() {
        let written: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = written.clone();
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "web-abc-pre-1", "namespace": "shop", "uid": "r", "resourceVersion": "7"},
            "spec": {"metrics": []},
        });
        let answer = run.clone();
        let client = api_server(move |Asked { body, .. }| {
            seen.lock().expect("no panic while locked").push(body);
            std::future::ready((200, answer.clone()))
        });
        let caches = Arc::new(Caches::default());
        let stop = Action::StopAnalysis { name: "web-abc-pre-1".to_owned() };
        execute(client.clone(), caches.clone(), &stop).await.expect("it has gone since");
        caches.runs.put(KeptRun::from(serde_json::from_value::<AnalysisRun>(run).expect("a run")));
        execute(client, caches, &stop).await.expect("it is stopped");
        let written = written.lock().expect("no panic while locked").clone();
        assert_eq!(written, [json!({"metadata": {"resourceVersion": "7"}, "spec": {"terminate": true}})]);
    }

    /// The ReplicaSet of [`rollout`] is to be made.
    fn create() -> Action {
        let template = serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep().template;
        Action::CreateReplicaSet {
            name: "web-abc".to_owned(),
            hash: "abc".to_owned(),
            digest: template.digest.to_string(),
            replicas: 1,
            annotations: [].into(),
            pod_metadata: PodMetadata::default(),
            event: events::revision_created(1, "abc", "web:v1"),
        }
    }

    /// Somebody has deleted the rollout since the plan was made, and made another one: with a ReplicaSet of an earlier one's number it would be taken for one
    /// that has lost its status.
    #[tokio::test]
    async fn no_replica_set_is_made_for_another_rollout_that_has_the_name_by_now() {
        for (uid, expected) in [("u", true), ("another", false)] {
            let made = Arc::new(AtomicBool::new(false));
            let seen = made.clone();
            let client = api_server(move |Asked { method, path, .. }| {
                let mut object = rollout();
                object["metadata"]["uid"] = uid.into();
                let is_creation = method == Method::POST && path.ends_with("/replicasets");
                seen.fetch_or(is_creation, Ordering::Relaxed);
                std::future::ready(if is_creation { (201, stranger()) } else { (200, object) })
            });
            execute(client, Arc::default(), &create()).await.expect("the next plan is another one");
            assert_eq!(made.load(Ordering::Relaxed), expected, "{uid}");
        }
    }

    #[tokio::test]
    async fn a_template_is_read_at_its_creation_unless_the_answer_before_had_it() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let of_version = |version: &str| {
            let mut object = rollout();
            object["metadata"]["resourceVersion"] = version.into();
            object
        };
        let client = api_server(move |Asked { method, path, .. }| {
            if method == Method::GET {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            std::future::ready(if path.ends_with("/events") {
                event_written()
            } else if path.ends_with("/replicasets") {
                (201, stranger())
            } else {
                (200, of_version("2"))
            })
        });
        let (context, _, _events) = context(client, Arc::default(), &Queue::new(Leadership::undisputed()));
        let whole = Whole::default();
        let carry_out = async |version: &str, action: &Action| {
            let rollout = serde_json::from_value::<RolloutView>(of_version(version)).expect("a rollout").keep();
            context.executor(&rollout, &whole).execute(action, &mut Fresh::new()).await.expect("carried out");
            reads.load(Ordering::Relaxed)
        };
        let create = create();
        assert_eq!(carry_out("1", &Action::AddFinalizer).await, 0);
        assert_eq!(carry_out("2", &create).await, 0, "it was just answered");
        assert_eq!(carry_out("2", &create).await, 1, "that was some time ago");
        assert_eq!(carry_out("1", &Action::AddFinalizer).await, 1);
        assert_eq!(carry_out("3", &create).await, 2, "the rollout has changed since");
    }

    #[tokio::test]
    async fn a_template_that_a_watch_has_brought_is_not_read_again_and_one_that_is_not_kept_is() {
        let asked: Arc<Mutex<Vec<(Method, Value)>>> = Arc::default();
        let seen = asked.clone();
        let client = api_server(move |Asked { method, path, body, .. }| {
            let is_creation = method == Method::POST;
            std::future::ready(if path.ends_with("/events") {
                event_written()
            } else {
                seen.lock().expect("no panic while locked").push((method, body));
                if is_creation { (201, stranger()) } else { (200, rollout()) }
            })
        });
        let caches = Arc::new(Caches::default());
        let arrived = serde_json::from_value::<RolloutView>(rollout()).expect("a rollout");
        caches.rollouts.put(arrived.keep_with_template(&caches.templates));
        for expected in [vec![Method::POST], vec![Method::GET, Method::POST]] {
            execute(client.clone(), caches.clone(), &create()).await.expect("carried out");
            let asked = std::mem::take(&mut *asked.lock().expect("no panic while locked"));
            let methods: Vec<Method> = asked.iter().map(|(method, _)| method.clone()).collect();
            assert_eq!(methods, expected);
            let (_, made) = asked.last().expect("it is made");
            assert_eq!(made["spec"]["template"]["spec"], rollout()["spec"]["template"]["spec"]);
        }
    }

    /// Who gave way there would read the template once more, and count as begun while there is nothing that anybody could act upon.
    #[tokio::test(start_paused = true)]
    async fn nobody_comes_between_the_finalizer_of_a_first_deployment_and_its_replica_set() {
        let key = |name: &str| Key { namespace: "shop".to_owned(), name: name.to_owned() };
        let mut object = rollout();
        object.as_object_mut().expect("an object").remove("status");
        let caches = Arc::new(Caches::default());
        caches.rollouts.put(serde_json::from_value::<RolloutView>(object.clone()).expect("a rollout").keep());
        object["metadata"]["resourceVersion"] = "2".into();
        object["metadata"]["finalizers"] = json!([names::SERVICES_FINALIZER]);
        let (queue, made) = (Queue::new(Leadership::undisputed()), CancellationToken::new());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (wakes, is_made, seen) = (queue.clone(), made.clone(), asked.clone());
        let client = api_server(move |Asked { method, path, .. }| {
            let what = format!("{method} {}", path.rsplit('/').next().unwrap_or_default());
            seen.lock().expect("no panic while locked").push(what.clone());
            std::future::ready(match what.as_str() {
                "PATCH web" => {
                    wakes.now(key("another"));
                    (200, object.clone())
                }
                "POST replicasets" => {
                    is_made.cancel();
                    (201, stranger())
                }
                "POST events" => event_written(),
                _ => (200, object.clone()),
            })
        });
        let (context, health, _events) = context(client, caches, &queue);
        let watched = (context.metrics.clone(), health, None);
        let context = Arc::new(context);
        let work = move |key: Key, turn: Turn| reconcile(context.clone(), key, turn);
        queue.run("test", LIMITS, watched, made, || vec![key("web")], work).await;
        let asked = asked.lock().expect("no panic while locked").clone();
        let made = asked.iter().position(|what| what == "POST replicasets").expect("it is made");
        assert_eq!(asked[..made], ["PATCH web"]);
    }

    #[tokio::test]
    async fn of_the_answer_to_a_status_that_is_read_and_all_else_stays_as_it_was_decided_from() {
        let mut answer = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "2"}});
        answer["spec"] = "nobody reads this".into();
        answer["status"] = json!({"message": "done"});
        let client = api_server(move |_| std::future::ready((200, answer.clone())));
        let caches = Arc::<Caches>::default();
        let before = serde_json::from_value::<RolloutView>(rollout()).expect("a rollout").keep();
        caches.rollouts.put(before.clone());
        let (context, _, _events) = context(client, caches.clone(), &Queue::new(Leadership::undisputed()));
        let status = BlueGreenRolloutStatus { message: "done".to_owned(), ..BlueGreenRolloutStatus::default() };
        context.executor(&before, &Whole::default()).publish(&status).await.expect("published");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let after = caches.rollouts.get(&key).expect("it is there");
        assert_eq!(after, Rollout { resource_version: "2".to_owned(), status: Some(status), ..before });
    }

    #[tokio::test]
    async fn however_many_pods_a_webhook_holds_up_there_are_streams_left_for_other_namespaces() {
        let held_up = Arc::new(AtomicUsize::new(0));
        let counted = held_up.clone();
        let client = api_server(move |Asked { method, path, .. }| {
            let counted = counted.clone();
            async move {
                if method == Method::PATCH && path.contains("/pods/") {
                    counted.fetch_add(1, Ordering::Relaxed);
                    std::future::pending::<()>().await;
                }
                if !path.ends_with("/pods") {
                    return (200, stranger());
                }
                let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-stranger", "uid": "s"});
                let pod =
                    |number: usize| json!({"metadata": {"name": format!("web-{number}"), "ownerReferences": [owner]}});
                let pods: Vec<Value> = (0..16).map(pod).collect();
                (200, json!({"metadata": {"resourceVersion": "9"}, "items": pods}))
            }
        });
        let (context, _, _events) = context(client, Arc::default(), &Queue::new(Leadership::undisputed()));
        let context = Arc::new(context);
        let mut work = JoinSet::new();
        for number in 0..MOST {
            let context = context.clone();
            work.spawn(async move {
                let rollout = fake::rollout("shop", &format!("web-{number}"), "web", &Value::Null);
                let whole = Whole::default();
                context.executor(&rollout, &whole).execute(&label_pods(), &mut Fresh::new()).await
            });
        }
        for _ in 0..1_000 {
            if held_up.load(Ordering::Relaxed) >= MOST {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Whoever would make more does so right away.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let held_up = held_up.load(Ordering::Relaxed);
        assert!((MOST..100).contains(&held_up), "{held_up} streams of a hundred");
    }
}

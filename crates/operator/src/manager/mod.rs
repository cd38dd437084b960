//! Putting the operator together and taking it apart.

mod division;
mod election;
mod lease;
mod options;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use greenlight_api::BlueGreenRollout;
use greenlight_api::analysis::AnalysisRun;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};

use crate::api_server::client;
use crate::api_server::client::Protocol;
use crate::api_server::connections::Connections;
use crate::api_server::leadership::Leadership;
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::objects::ReplicaSetView;
use crate::cluster::on_demand::OnDemand;
use crate::cluster::scope::Scope;
use crate::controllers::clock::Clock;
use crate::controllers::lanes::Places;
use crate::controllers::queue::{Limits, Queue};
use crate::controllers::rollouts::{Memories, Memory};
use crate::controllers::triggers::{self, Observers};
use crate::controllers::trouble::Trouble;
use crate::controllers::{analysis, rollouts, scale_down, unreadable};
use crate::shutdown::stop_on_signal;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::notify::{self, Notifier};
use crate::telemetry::recorder::{Events, Recorder, reference};
use crate::telemetry::server;
use crate::web::client::WebClient;
use crate::web::reach::{Network, Reach};
pub use election::LEASE;
use election::{Change, Elector};
pub use lease::Lease;
pub use options::ControllerOptions;

/// How long work on one object may take. Every request has a deadline that is much shorter.
const RECONCILE: Duration = Duration::from_secs(300);
/// How long the measurements of a run that are due at the same time may take: 50 that wait for a minute, 8 at a time.
const MEASUREMENTS: Duration = Duration::from_secs(600);
/// Of this many workers one is reserved for other namespaces than the one that has all the others, see [`crate::controllers::lanes`].
const RESERVED: usize = 8;
/// How many runs are measured at the same time.
const MEASURING: usize = 64;
/// How many of them in one namespace.
const SHARE: usize = 4;
/// How long until a name that could not be looked up is tried again.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);
/// How long what is under way may take when the operator is asked to end.
const LAST_WORK: Duration = Duration::from_secs(5);
/// How long a reader of metrics may take then.
const LAST_SCRAPE: Duration = Duration::from_secs(1);

/// Notes the words about what was worked on for a rollout, or that there is nothing to say of it any more.
type Notes = fn(&mut Memory, &Key, Option<String>);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or go on: the lease is lost, say. The kubelet restarts it, and it starts clean.
pub async fn run(options: ControllerOptions) -> Result<()> {
    ensure!(
        options.leader_elect || options.shards == 1,
        "--shards takes --leader-elect: a shard is whose lease one holds"
    );
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let config = client::config().await?;
    let caches = Arc::new(Caches::default());
    let (terms, leadership) = if options.leader_elect {
        Leadership::by_terms(options.shards)
    } else {
        (Vec::new(), Leadership::undisputed())
    };
    let metrics = Metrics::new(caches.clone(), leadership.clone());
    let instance = options::instance();
    let health = Health::default();
    let connect = |protocol, leadership: &Leadership| client::connect(&config, protocol, &metrics, &health, leadership);
    // Its writes are those of the lease, which come before this instance leads.
    let client = connect(Protocol::Http1, &Leadership::undisputed())?;
    let electors = Elector::all(&client, &options.lease_namespace, &instance, terms, &leadership);
    let went_back = electors.first().map(Elector::went_back).unwrap_or_default();
    let connections = Connections::new(&leadership, |leadership| connect(Protocol::Http2, leadership))?;
    let notifications = options.notifications.as_deref().map(notify::Config::read).transpose()?.unwrap_or_default();
    let mut server = tokio::spawn(server::serve(
        options.listen,
        options.metrics_token_file.clone(),
        metrics.clone(),
        health.clone(),
        stop.clone(),
    ));

    let scope = Scope { namespace: options.namespace.clone(), ..Scope::default() };
    let queues = Queues::new(&leadership);
    triggers::connect(&caches, &queues.rollouts, &queues.scale_down, &queues.analyses);
    let ends = Ends { stop: stop.clone(), failed: CancellationToken::new(), went_back };
    let observers = Observers { health: health.clone(), metrics: metrics.clone(), failed: ends.failed.clone() };
    for mut listed in triggers::start(&connections.watches, &scope, &caches, &observers) {
        tokio::select! {
            biased;
            ended = ends.come() => return ended,
            ended = &mut server => return Err(not_serving(ended)),
            result = listed.wait_for(|listed| *listed) => drop(result?),
        }
    }
    tracing::info!(
        rollouts = caches.rollouts.len(),
        replica_sets = caches.sets.len(),
        services = caches.services.len(),
        version = env!("CARGO_PKG_VERSION"),
        instance,
        "ready"
    );

    let release = CancellationToken::new();
    let (changes, mut changed) = mpsc::unbounded_channel();
    let mut leases = JoinSet::new();
    let elects = !electors.is_empty();
    for elector in electors {
        leases.spawn(elector.lead(changes.clone(), release.clone()));
    }
    let mut held = BTreeSet::new();
    if elects {
        tracing::info!(lease = LEASE, namespace = options.lease_namespace, shards = options.shards, "waiting to lead");
        let Some(first) = first_lease(&mut changed, &ends, &mut server).await? else {
            release.cancel();
            while leases.join_next().await.is_some() {}
            return Ok(());
        };
        first.note(&mut held);
    } else {
        // There are no others who could have it.
        held.insert(0);
    }
    metrics.leads(held.len());
    let web_client = WebClient::default();
    let notifier = Notifier::start(notifications, &web_client, &metrics);
    let events = Events::start(&connections.events, &metrics);
    let recorder = events.recorder(instance.clone(), metrics.clone(), notifier.tell());
    let parts = Parts {
        options: &options,
        config: &config,
        connections: &connections,
        scope: &scope,
        caches: &caches,
        queues: &queues,
        observers: &observers,
        leadership: &leadership,
        recorder: &recorder,
        stop: &stop,
    };
    let Work { tasks: mut work, analyses, rollouts: of_rollouts } = start(&parts);
    let mut clock = Clock::read();
    let ended = loop {
        let change = tokio::select! {
            // First: once this is so, the others end as they should.
            biased;
            ended = ends.come() => break ended,
            Some(_) = leases.join_next() => break Err(anyhow!("the lease is lost")),
            ended = &mut server => break Err(not_serving(ended)),
            ended = work.join_next() => break Err(anyhow!("a controller has ended: {ended:?}")),
            Some(change) = changed.recv() => change,
            step = clock.is_set() => {
                let seconds = step.as_secs();
                tracing::warn!(seconds, "somebody has set the clock forth by so many seconds: looking at everything again");
                queues.look_again(&caches, |_| true);
                continue;
            }
        };
        change.note(&mut held);
        metrics.leads(held.len());
        let (shard, gained) = match change {
            Change::Gained(shard) => (shard, true),
            Change::Given(shard) => (shard, false),
        };
        let is_of_shard = |key: &Key| leadership.shard(&key.namespace) == shard;
        if gained {
            queues.look_again(&caches, is_of_shard);
        } else {
            // Others decide there from now on: what was remembered would be old by the time that it comes back.
            for key in all_rollouts(&caches).into_iter().filter(is_of_shard) {
                of_rollouts.forget(&key);
            }
        }
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "cannot go on");
    }
    // The order matters: no new work; what is under way, for a while; no write any more; and then others may.
    stop.cancel();
    // A measurement waits for somebody else's server; one that was not written is made again.
    analyses.abort();
    if ended.is_ok() {
        let all = async { while work.join_next().await.is_some() {} };
        drop(tokio::time::timeout(LAST_WORK, all).await);
    }
    work.abort_all();
    metrics.leads(0);
    release.cancel();
    while leases.join_next().await.is_some() {}
    drop(work);
    tokio::join!(events.finish(), notifier.finish());
    if !server.is_finished() {
        drop(tokio::time::timeout(LAST_SCRAPE, server).await);
    }
    tracing::info!("stopped");
    ended
}

/// What the controllers are made of.
struct Parts<'a> {
    options: &'a ControllerOptions,
    config: &'a kube::Config,
    connections: &'a Connections,
    scope: &'a Scope,
    caches: &'a Arc<Caches>,
    queues: &'a Queues,
    observers: &'a Observers,
    leadership: &'a Leadership,
    recorder: &'a Recorder,
    stop: &'a CancellationToken,
}

/// The controllers at work.
struct Work {
    tasks: JoinSet<()>,
    /// Ends the measurements, which are not waited for at the end.
    analyses: AbortHandle,
    /// What the controller of rollouts works with.
    rollouts: Arc<rollouts::Context>,
}

/// Starts the controllers. They work until [`Parts::stop`] is cancelled.
fn start(parts: &Parts<'_>) -> Work {
    let Parts { options, config, connections, scope, caches, queues, observers, leadership, recorder, stop } = *parts;
    let Observers { health, metrics, .. } = observers;
    let mut tasks = JoinSet::new();
    let (trouble, tells) = (connections.trouble.clone(), recorder.clone());
    tasks.spawn(unreadable::tell(trouble, caches.clone(), leadership.clone(), tells, stop.clone()));
    let memories = Arc::new(Memories::default());
    let on_demand = OnDemand::new(&connections.watches, scope, triggers::asked(&queues.rollouts, observers));
    let of_rollouts = Arc::new(rollouts::Context {
        client: connections.rollouts.clone(),
        caches: caches.clone(),
        memories: memories.clone(),
        on_demand: Arc::new(on_demand),
        recorder: recorder.clone(),
        metrics: metrics.clone(),
    });
    let telling_of = |about: fn(&Caches, &Key) -> Option<ObjectReference>| {
        let caches = caches.clone();
        let trouble = Trouble::new(recorder.clone(), move |failing| about(&caches, failing));
        (metrics.clone(), health.clone(), trouble)
    };
    let told_in_status = |(metrics, health, trouble): (Metrics, Health, Trouble), note: Notes| {
        let (memories, queue, leadership) = (memories.clone(), queues.rollouts.clone(), leadership.clone());
        let tells = move |rollout: &Key, about: &Key, words: Option<String>| {
            // Nothing is remembered of a rollout that is another instance's.
            if leadership.takes_work(&rollout.namespace) {
                memories.update(rollout, |memory| note(memory, about, words));
                queue.now(rollout.clone());
            }
        };
        (metrics, health, Some(trouble.in_status(tells)))
    };
    let share = options.parallel - options.parallel / RESERVED;
    let places = Places { parallel: options.parallel, share: Some(share) };
    let limits = |span: fn(&Key) -> Span| Limits { places, span, deadline: RECONCILE };
    let everything = keys(caches, all_rollouts);
    let context = of_rollouts.clone();
    tasks.spawn(queues.rollouts.clone().run(
        "rollouts",
        limits(on_rollout),
        told_in_status(telling_of(of_rollout), Memory::tell_own),
        stop.clone(),
        everything,
        move |key, turn| rollouts::reconcile(context.clone(), key, turn),
    ));
    let context = Arc::new(scale_down::Context { client: connections.scale_down.clone(), caches: caches.clone() });
    let retired = keys(caches, all_retired);
    tasks.spawn(queues.scale_down.clone().run(
        "scale-down",
        limits(on_replica_set),
        told_in_status(telling_of(of_replica_set), Memory::tell),
        stop.clone(),
        retired,
        move |key, _| scale_down::reconcile(context.clone(), key),
    ));
    let secrets =
        analysis::Readable { labelled: options.analysis_labelled_secrets, names: options.analysis_secrets.clone() };
    let everything = keys(caches, all_runs);
    // Measurements wait for others' servers. So there are many at a time, and each namespace has its share of them.
    let measuring = Limits {
        places: Places { parallel: MEASURING, share: Some(options.parallel.min(SHARE)) },
        deadline: MEASUREMENTS,
        ..limits(on_analysis_run)
    };
    let analyses = {
        let (queue, watched) = (queues.analyses.clone(), told_in_status(telling_of(of_run), Memory::tell));
        let (client, caches) = (connections.analyses.clone(), caches.clone());
        let (leadership, stop, reach) = (leadership.clone(), stop.clone(), reach(options, config));
        tasks.spawn(async move {
            let http = WebClient::for_analyses(leadership, reach.await);
            let (evaluator, large) = (Default::default(), Default::default());
            let context = Arc::new(analysis::Context { client, caches, http, evaluator, large, secrets });
            let measure = move |key, _| analysis::reconcile(context.clone(), key);
            queue.run("analysis", measuring, watched, stop, everything, measure).await;
        })
    };
    Work { tasks, analyses, rollouts: of_rollouts }
}

/// Waits until this instance has its first lease. `None`: it is asked to end before.
async fn first_lease(
    changed: &mut mpsc::UnboundedReceiver<Change>,
    ends: &Ends,
    server: &mut JoinHandle<Result<()>>,
) -> Result<Option<Change>> {
    tokio::select! {
        biased;
        ended = ends.come() => ended.map(|()| None),
        ended = server => Err(not_serving(ended)),
        first = changed.recv() => Ok(first),
    }
}

/// What the controllers work on.
struct Queues {
    /// Rollouts.
    rollouts: Queue,
    /// ReplicaSets that retire.
    scale_down: Queue,
    /// AnalysisRuns.
    analyses: Queue,
}

impl Queues {
    fn new(leadership: &Leadership) -> Queues {
        let queue = || Queue::new(leadership.clone());
        Queues { rollouts: queue(), scale_down: queue(), analyses: queue() }
    }

    /// Has each controller look again at what this concerns of all that there is for it.
    fn look_again(&self, caches: &Caches, concerns: impl Fn(&Key) -> bool) {
        let all = [
            (&self.rollouts, all_rollouts(caches)),
            (&self.scale_down, all_retired(caches)),
            (&self.analyses, all_runs(caches)),
        ];
        for (queue, keys) in all {
            keys.into_iter().filter(|key| concerns(key)).for_each(|key| queue.now(key));
        }
    }
}

/// What everything ends for.
struct Ends {
    /// Somebody asks for it.
    stop: CancellationToken,
    /// A task has broken without which the others know nothing any more.
    failed: CancellationToken,
    /// What is known is of a time that was taken back.
    went_back: CancellationToken,
}

impl Ends {
    /// Waits for one of them. To be asked to is no error.
    async fn come(&self) -> Result<()> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Ok(()),
            () = self.failed.cancelled() => Err(broken()),
            () = self.went_back.cancelled() => Err(anew()),
        }
    }
}

/// Where analyses may go: neither to the API server, which trusts the operator more than whoever wrote them, nor back into this pod. It is known once
/// their names have been looked up.
fn reach(options: &ControllerOptions, config: &kube::Config) -> impl Future<Output = Reach> + Send + use<> {
    let is_open = options.web_analyses;
    let (allow, mut deny) = (options.analysis_allow.clone(), options.analysis_deny.clone());
    let hosts = if allow.is_empty() { inside(config, |name| std::env::var(name).ok()) } else { Vec::new() };
    // A proxy finds the API server by itself, which may have no name here.
    let has_proxy = config.proxy_url.is_some();
    async move {
        if !is_open {
            return Reach::Nowhere;
        }
        for host in hosts {
            deny.extend(addresses(&host, !has_proxy, look_up).await.into_iter().map(Network::from));
        }
        Reach::Within { allow, deny }
    }
}

/// The addresses of a host. As long as they are not known, an analysis could name one of them: so they are waited for, if this host `has_a_name` that
/// the operator can look up.
async fn addresses<F: Future<Output = io::Result<Vec<IpAddr>>>>(
    host: &str,
    has_a_name: bool,
    look_up: impl Fn(String) -> F,
) -> Vec<IpAddr> {
    loop {
        match look_up(host.to_owned()).await {
            Ok(found) => return found,
            Err(error) => tracing::warn!(host, %error, "cannot look up where analyses must not go"),
        }
        if !has_a_name {
            return Vec::new();
        }
        tokio::time::sleep(LOOK_UP_AGAIN).await;
    }
}

async fn look_up(host: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 443)).await?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

/// Where the API server and this pod are, as far as the operator is told: by its kubeconfig, by the cluster, and by the chart (`POD_IPS`).
fn inside(config: &kube::Config, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let service = variable("KUBERNETES_SERVICE_HOST").unwrap_or_default();
    let pod = variable("POD_IPS").unwrap_or_default();
    let hosts = [host, service].into_iter().chain(pod.split(',').map(str::to_owned));
    hosts.filter(|host| !host.is_empty()).collect()
}

fn not_serving(ended: Result<Result<()>, JoinError>) -> anyhow::Error {
    let why = match ended {
        Ok(Ok(())) => "its server has ended".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    anyhow!("health and metrics are not served (--listen): {why}")
}

fn anew() -> anyhow::Error {
    anyhow!("the API server went back in time, as when a backup of etcd is restored: everything has to be read anew")
}

fn broken() -> anyhow::Error {
    anyhow!("a task that everything depends on has broken")
}

impl Change {
    fn note(self, held: &mut BTreeSet<usize>) {
        match self {
            Change::Gained(shard) => drop(held.insert(shard)),
            Change::Given(shard) => drop(held.remove(&shard)),
        }
    }
}

// What is told of trouble with a key: on its rollout, or on the object itself if it is no rollout's, or not any more.

fn of_rollout(caches: &Caches, key: &Key) -> Option<ObjectReference> {
    let rollout = caches.rollouts.outline(key)?;
    Some(reference::<BlueGreenRollout>(&rollout.namespace, &rollout.name, &rollout.uid))
}

fn of_replica_set(caches: &Caches, key: &Key) -> Option<ObjectReference> {
    let owned = caches.sets.outline(key)?;
    let itself = || reference::<ReplicaSetView>(&key.namespace, &key.name, &owned.set.uid);
    Some(of_rollout(caches, &owned.owner).unwrap_or_else(itself))
}

fn of_run(caches: &Caches, key: &Key) -> Option<ObjectReference> {
    let run = caches.runs.get(key)?;
    let itself = || reference::<AnalysisRun>(&key.namespace, &key.name, &run.uid);
    let rollout = run.groups().pop().and_then(|rollout| of_rollout(caches, &rollout));
    Some(rollout.unwrap_or_else(itself))
}

// What the log says of work on a key.

fn on_rollout(key: &Key) -> Span {
    info_span!("reconcile", rollout = %key)
}

fn on_replica_set(key: &Key) -> Span {
    info_span!("reconcile", replica_set = %key)
}

fn on_analysis_run(key: &Key) -> Span {
    info_span!("reconcile", analysis_run = %key)
}

fn all_rollouts(caches: &Caches) -> Vec<Key> {
    caches.rollouts.keys()
}

fn all_retired(caches: &Caches) -> Vec<Key> {
    caches.sets.all_marked()
}

fn all_runs(caches: &Caches) -> Vec<Key> {
    caches.runs.keys()
}

fn keys(caches: &Arc<Caches>, of: fn(&Caches) -> Vec<Key>) -> impl FnOnce() -> Vec<Key> + Send + 'static {
    let caches = caches.clone();
    move || of(&caches)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use greenlight_api::names;
    use serde_json::{Value, json};

    use super::*;
    use crate::api_server::error::Error;
    use crate::cluster::fake;
    use crate::cluster::objects::KeptRun;
    use crate::controllers::queue::Outcome;
    use crate::controllers::schedule::Turn;
    use crate::telemetry::log;

    /// What was written of a log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while locked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_breaks_ends_the_process_and_so_does_a_restored_backup_and_both_are_errors() {
        let ends = || [(); 3].map(|()| CancellationToken::new());
        for (number, is_error) in [(0, false), (1, true), (2, true)] {
            let tokens = ends();
            tokens[number].cancel();
            let [stop, failed, went_back] = tokens;
            let ended = tokio::time::timeout(Duration::from_secs(1), Ends { stop, failed, went_back }.come()).await;
            assert_eq!(ended.expect("it ends").is_err(), is_error, "{number}");
        }
        let [stop, failed, went_back] = ends();
        let ended = tokio::time::timeout(Duration::from_secs(1), Ends { stop, failed, went_back }.come()).await;
        assert!(ended.is_err(), "nothing is to be ended for");
    }

    #[test]
    fn trouble_is_told_on_the_rollout_or_on_what_is_nobodys() {
        let caches = Caches::default();
        let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u", "controller": true});
        let set = json!({
            "metadata": {"name": "web-abc", "namespace": "shop", "uid": "s", "resourceVersion": "1", "ownerReferences": [owner]},
            "spec": {"selector": {}, "template": {}},
        });
        let set = serde_json::from_value::<ReplicaSetView>(set).expect("a ReplicaSet").keep();
        caches.sets.put(set.expect("it has an owner"));
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {
                "name": "web-abc", "namespace": "shop", "uid": "r", "resourceVersion": "1", "annotations": {names::ROLLOUT: "web"},
            },
            "spec": {"metrics": []},
        });
        caches.runs.put(KeptRun::from(serde_json::from_value::<AnalysisRun>(run).expect("a run")));
        let key = Key { namespace: "shop".to_owned(), name: "web-abc".to_owned() };
        let told =
            |about: fn(&Caches, &Key) -> Option<ObjectReference>| about(&caches, &key).and_then(|about| about.uid);
        assert_eq!([of_replica_set, of_run].map(told), ["s", "r"].map(|uid| Some(uid.to_owned())));
        caches.rollouts.put(fake::rollout("shop", "web", "web", &Value::Null));
        assert_eq!([of_replica_set, of_run].map(told), ["u", "u"].map(|uid| Some(uid.to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn each_line_about_work_says_what_it_is_about_by_its_kind() {
        type Spans = fn(&Key) -> Span;
        let kinds =
            [(on_rollout as Spans, "rollout"), (on_replica_set, "replica_set"), (on_analysis_run, "analysis_run")];
        for (span, kind) in kinds {
            let written = Log::default();
            let log_of = written.clone();
            let _log =
                tracing::subscriber::set_default(log::in_json("info", move || log_of.clone()).expect("a filter"));
            let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
            let limits = Limits { places: Places { parallel: 1, share: None }, span, deadline: RECONCILE };
            let work = |_: Key, _: Turn| async {
                tracing::info!("works");
                Err::<Outcome, Error>(Error::answered(403))
            };
            let watched = (Metrics::new(Arc::default(), Leadership::undisputed()), Health::default(), None);
            let stop = CancellationToken::new();
            let queue = Queue::new(Leadership::undisputed());
            let running = tokio::spawn(queue.run("test", limits, watched, stop.clone(), || vec![key], work));
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.cancel();
            running.await.expect("it ends");
            let log = String::from_utf8(written.0.lock().expect("no panic while locked").clone()).expect("UTF-8");
            for message in ["works", "reconcile failed"] {
                let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                let line = lines.into_iter().find(|line| line["message"] == message).expect("it is told");
                assert_eq!(line["span"], json!({"name": "reconcile", kind: "shop/web"}), "{line}");
            }
        }
    }

    /// While the cluster's name server starts, say. The operator leads meanwhile, and goes on with everything but analyses.
    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_before_it_is_known_where_the_api_server_is_unless_a_proxy_finds_it() {
        let address = IpAddr::from([192, 0, 2, 1]);
        for (has_a_name, tries, expected) in [(true, 4, vec![address]), (false, 1, Vec::new())] {
            let tried = AtomicUsize::new(0);
            let look_up = |_: String| {
                let is_late = tried.fetch_add(1, Ordering::Relaxed) < 3;
                let answer = if is_late { Err(io::Error::other("no name server answers")) } else { Ok(vec![address]) };
                std::future::ready(answer)
            };
            assert_eq!(addresses("api.example.com", has_a_name, look_up).await, expected);
            assert_eq!(tried.load(Ordering::Relaxed), tries);
        }
    }

    #[test]
    fn analyses_are_kept_from_the_api_server_and_from_the_operators_own_pod() {
        let config = kube::Config::new("https://[2001:db8::1]:6443".parse().expect("an address"));
        let variable = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.96.0.1".to_owned()),
            "POD_IPS" => Some("10.1.2.3,fd00::3".to_owned()),
            _ => None,
        };
        assert_eq!(inside(&config, variable), ["2001:db8::1", "10.96.0.1", "10.1.2.3", "fd00::3"]);
        assert_eq!(inside(&config, |_| None), ["2001:db8::1"], "as when it is started by hand");
    }
}

//! The watches that run all the time, and what they wake up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use greenlight_api::names;
use greenlight_core::world::Rollout;

use crate::api_server::error::in_full;
use crate::cluster::arrived::{Arrived, Watched};
use crate::cluster::cache::{Cache, Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::objects::{
    DeploymentView, JobView, ReplicaSetView, RolloutView, RunView, ServiceView, workload_group,
};
use crate::cluster::on_demand::Observer;
use crate::cluster::scope::Scope;
use crate::cluster::supervise;
use crate::cluster::watch::Watch;
use crate::controllers::queue::Queue;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// Wakes up the controllers when something changes that their decisions depend on.
pub fn connect(caches: &Arc<Caches>, rollouts: &Queue, scale_down: &Queue, analysis: &Queue) {
    let sender = rollouts.clone();
    let weak = Arc::downgrade(caches);
    caches.rollouts.listen_to_changes(move |before, after| {
        let both = || before.into_iter().chain(after);
        both().for_each(|rollout| sender.now(rollout.key()));
        // A rollout that leaves a Service frees it for another one that names it. All else that happens to it is nothing to them: of a
        // thousand that name one Service each would wake all of them with whatever is told of it.
        let (Some(caches), true) = (weak.upgrade(), before.map(claim) != after.map(claim)) else { return };
        for service in both().flat_map(|rollout| rollout.groups()) {
            caches.rollouts.group_keys(&service).into_iter().for_each(|other| sender.now(other));
        }
    });
    let sender = rollouts.clone();
    let retired = scale_down.clone();
    caches.sets.listen(move |owned| {
        sender.now(owned.owner.clone());
        if owned.set.has_scale_down_finalizer() {
            retired.now(owned.key());
        }
    });
    let sender = rollouts.clone();
    let retired = scale_down.clone();
    let weak = Arc::downgrade(caches);
    caches.services.listen(move |service| {
        let Some(caches) = weak.upgrade() else { return };
        let key = service.key();
        let marked_for = service.service.managed_by.iter().map(|name| key.sibling(name));
        let named_by = caches.rollouts.group_keys(&key);
        let concerned: BTreeSet<Key> = marked_for.chain(named_by).collect();
        for rollout in concerned {
            caches.sets.marked(&rollout).into_iter().for_each(|set| retired.now(set));
            sender.now(rollout);
        }
    });
    let sender = rollouts.clone();
    let weak = Arc::downgrade(caches);
    caches.workloads.listen(move |workload| {
        let Some(caches) = weak.upgrade() else { return };
        caches
            .rollouts
            .group_keys(&workload_group(&workload.key()))
            .into_iter()
            .for_each(|rollout| sender.now(rollout));
    });
    let (sender, runs) = (rollouts.clone(), analysis.clone());
    caches.runs.listen(move |run| {
        runs.now(run.key());
        run.groups().into_iter().for_each(|rollout| sender.now(rollout));
    });
    let runs = analysis.clone();
    caches.jobs.listen(move |job| job.groups().into_iter().for_each(|run| runs.now(run)));
    // The sets of a rollout that leaves are let go.
    let retired = scale_down.clone();
    let weak = Arc::downgrade(caches);
    caches.rollouts.listen(move |rollout| {
        let Some(caches) = weak.upgrade() else { return };
        caches.sets.marked(&rollout.key()).into_iter().for_each(|set| retired.now(set));
    });
}

/// What a rollout is to others that name its Services.
fn claim(rollout: &Rollout) -> (&str, bool, Vec<Key>) {
    (&rollout.uid, rollout.is_deleting(), rollout.groups())
}

/// What a watch tells of itself, and whom.
#[derive(Clone)]
pub struct Observers {
    /// Whether it goes on.
    pub health: Health,
    /// How often it fails.
    pub metrics: Metrics,
    /// Cancelled when it breaks: nobody can go on then.
    pub failed: CancellationToken,
}

/// What was asked for wakes up the rollout that has asked.
pub fn asked(rollouts: &Queue, observers: &Observers) -> Arc<dyn Observer> {
    Arc::new(Asked { rollouts: rollouts.clone(), observers: observers.clone() })
}

struct Asked {
    rollouts: Queue,
    observers: Observers,
}

impl Observer for Asked {
    fn seen(&self, rollout: Key) {
        self.rollouts.now(rollout);
    }

    fn interrupted(&self, resource: &str) {
        self.observers.metrics.watch_failed(resource);
    }

    fn broken(&self) -> &CancellationToken {
        &self.observers.failed
    }
}

/// Starts the watches. The returned channels turn true when everything was listed once.
pub fn start(
    client: &Client,
    scope: &Scope,
    caches: &Arc<Caches>,
    observers: &Observers,
) -> [watch::Receiver<bool>; 6] {
    let labelled = watcher::Config::default().labels(names::HASH_LABEL);
    let rollouts = all(client, scope);
    let sets = scope.watch(scope.api(client.clone()), labelled);
    let of_analyses = watcher::Config::default().labels(names::ANALYSIS_JOB);
    let jobs = scope.watch(scope.api(client.clone()), of_analyses);
    [
        feed(
            rollouts,
            caches,
            observers,
            |caches| &caches.rollouts,
            |caches, view: RolloutView| Some(view.keep_with_template(&caches.templates)),
        ),
        feed(sets, caches, observers, |caches| &caches.sets, |_, view: ReplicaSetView| view.keep()),
        feed(
            all(client, scope),
            caches,
            observers,
            |caches| &caches.services,
            |_, view: ServiceView| Some(view.keep()),
        ),
        feed(
            all(client, scope),
            caches,
            observers,
            |caches| &caches.workloads,
            |_, view: DeploymentView| Some(view.keep()),
        ),
        feed(all(client, scope), caches, observers, |caches| &caches.runs, |_, view: RunView| Some(view.keep())),
        feed(jobs, caches, observers, |caches| &caches.jobs, |_, view: JobView| Some(view.keep())),
    ]
}

fn all<V>(client: &Client, scope: &Scope) -> Watch<V>
where
    V: Watched + Resource<Scope = k8s_openapi::NamespaceResourceScope>,
{
    scope.watch(scope.api(client.clone()), watcher::Config::default())
}

fn feed<V, T>(
    mut watch: Watch<V>,
    caches: &Arc<Caches>,
    observers: &Observers,
    cache: fn(&Caches) -> &Cache<T>,
    keep: fn(&Caches, V) -> Option<T>,
) -> watch::Receiver<bool>
where
    V: Watched,
    T: Cached + Send + Sync + 'static,
{
    let (listed, is_listed) = watch::channel(false);
    let (caches, observers) = (caches.clone(), observers.clone());
    let (failed, resource) = (observers.failed.clone(), V::plural(&()).into_owned());
    observers.health.depends_on(&resource);
    let task = async move {
        let cache = cache(&caches);
        let mut seen = BTreeSet::new();
        let mut listing_since = Instant::now();
        loop {
            match watch.next().await {
                Ok(Event::Init) => {
                    seen.clear();
                    listing_since = Instant::now();
                }
                Ok(Event::InitApply(arrived)) => {
                    seen.insert(arrived.key());
                    take(&caches, cache, arrived, keep);
                }
                Ok(Event::InitDone) => {
                    cache.retain(&seen, listing_since);
                    seen.clear();
                    observers.health.listed(&resource);
                    listed.send_replace(true);
                }
                Ok(Event::Apply(arrived)) => take(&caches, cache, arrived, keep),
                Ok(Event::Delete(arrived)) => {
                    let version = arrived.meta().resource_version.clone().unwrap_or_default();
                    cache.remove(&arrived.key(), &version);
                }
                Err(error) => {
                    observers.health.failed(&resource);
                    observers.metrics.watch_failed(&resource);
                    tracing::warn!(kind = %V::kind(&()), error = in_full(&error), "watch interrupted, reconnecting");
                }
            }
        }
    };
    drop(supervise::forever(&failed, format!("the watch of {}", V::plural(&())), task));
    is_listed
}

fn take<V: Watched, T: Cached>(
    caches: &Caches,
    cache: &Cache<T>,
    arrived: Arrived<V>,
    keep: fn(&Caches, V) -> Option<T>,
) {
    let key = arrived.key();
    match arrived {
        Arrived::Readable(view) => {
            let version = view.meta().resource_version.clone().unwrap_or_default();
            match keep(caches, view) {
                Some(object) => cache.put(object),
                // It is not ours any more: its owner was taken away.
                None if cache.knows(&key) => cache.remove(&key, &version),
                None => {}
            }
        }
        Arrived::Unreadable(unreadable, outline) => {
            let error = unreadable.error.clone();
            if cache.put_unreadable(*unreadable, outline.and_then(|outline| keep(caches, outline))) {
                tracing::warn!(kind = %V::kind(&()), object = %key, error, "cannot be read, and is left alone until it can");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};
    use crate::api_server::leadership::Leadership;
    use crate::cluster::objects::KeptService;
    use crate::controllers::lanes::Places;
    use crate::controllers::queue::{Limits, Outcome};
    use crate::controllers::schedule::Turn;

    /// A watch whose cache nobody fills any more would go unseen: every probe is green.
    #[tokio::test]
    async fn a_watch_task_that_breaks_is_the_end_of_everything() {
        fn broken(_: &Caches, _: ServiceView) -> Option<KeptService> {
            panic!("a bug")
        }
        let client = api_server(|Asked { query, .. }| {
            let service = json!({"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "1"}, "spec": {}});
            let list = json!({"metadata": {"resourceVersion": "9"}, "items": [service]});
            let streams = query.contains("sendInitialEvents");
            std::future::ready(if streams { failure(400, "BadRequest") } else { (200, list) })
        });
        let (metrics, failed) = (Metrics::new(Arc::default(), Leadership::undisputed()), CancellationToken::new());
        let observers = Observers { health: Health::default(), metrics, failed: failed.clone() };
        let services = all(&client, &Scope::default());
        let _listed = feed(services, &Arc::default(), &observers, |caches| &caches.services, broken);
        tokio::time::timeout(Duration::from_secs(60), failed.cancelled()).await.expect("it is told");
    }

    fn rollout(name: &str, version: u64, service: &str, message: &str) -> Rollout {
        let rollout = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string()},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": []}},
                "strategy": {"blueGreen": {"activeService": service}},
            },
            "status": {"message": message},
        });
        serde_json::from_value::<RolloutView>(rollout).expect("a rollout").keep()
    }

    /// Lets a queue work, with `begins` in it: who is woken, what ends it, and the work itself.
    fn run(
        queue: &Queue,
        caches: &Arc<Caches>,
    ) -> (mpsc::UnboundedReceiver<String>, CancellationToken, JoinHandle<()>) {
        let (woken, names) = mpsc::unbounded_channel();
        let work = move |key: Key, _: Turn| {
            woken.send(key.name).expect("the test listens");
            std::future::ready(Ok(Outcome::Rests(None)))
        };
        let watched = (Metrics::new(caches.clone(), Leadership::undisputed()), Health::default(), None);
        let limits = Limits {
            places: Places { parallel: 1, share: None },
            span: |_| tracing::Span::none(),
            deadline: Duration::from_secs(300),
        };
        let stop = CancellationToken::new();
        let begins = || vec![Key { namespace: "shop".to_owned(), name: "begins".to_owned() }];
        let running = tokio::spawn(queue.clone().run("test", limits, watched, stop.clone(), begins, work));
        (names, stop, running)
    }

    #[tokio::test]
    async fn what_is_told_of_a_rollout_wakes_none_that_names_its_service_and_one_that_leaves_it_does() {
        let caches = Arc::new(Caches::default());
        let [rollouts, sets, runs] = [(); 3].map(|()| Queue::new(Leadership::undisputed()));
        connect(&caches, &rollouts, &sets, &runs);
        let (mut names, stop, running) = run(&rollouts, &caches);
        // Who is woken until this one is.
        let mut until = async |last: &str| {
            let mut woken: Vec<String> = Vec::new();
            while woken.last().is_none_or(|name| name != last) {
                woken.push(names.recv().await.expect("it works"));
            }
            woken
        };
        until("begins").await;
        for name in ["a", "b"] {
            caches.rollouts.put(rollout(name, 1, "web", ""));
        }
        caches.rollouts.put(rollout("last", 1, "other", ""));
        until("last").await;
        caches.rollouts.put(rollout("a", 2, "web", "told"));
        caches.rollouts.put(rollout("last", 2, "other", "told"));
        assert_eq!(until("last").await, ["a", "last"]);
        caches.rollouts.put(rollout("a", 3, "another", "told"));
        caches.rollouts.put(rollout("last", 3, "other", "told"));
        assert_eq!(until("last").await, ["a", "b", "last"]);
        stop.cancel();
        running.await.expect("it ends");
    }

    /// Nobody asks every few seconds how far a Job is.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_job_wakes_its_run_at_once() {
        let caches = Arc::new(Caches::default());
        let [rollouts, sets, runs] = [(); 3].map(|()| Queue::new(Leadership::undisputed()));
        connect(&caches, &rollouts, &sets, &runs);
        let (mut names, stop, running) = run(&runs, &caches);
        assert_eq!(names.recv().await.as_deref(), Some("begins"));
        let job = |version: &str, conditions: serde_json::Value| {
            let owner =
                json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "name": "run", "uid": "r"});
            let job = json!({
                "metadata": {"name": "job", "namespace": "shop", "uid": "j", "resourceVersion": version, "ownerReferences": [owner]},
                "status": {"conditions": conditions},
            });
            serde_json::from_value::<JobView>(job).expect("a Job").keep()
        };
        let complete = json!([{"type": "Complete", "status": "True"}]);
        for job in [job("1", json!([])), job("2", complete)] {
            caches.jobs.put(job);
            let woken = tokio::time::timeout(Duration::from_secs(1), names.recv()).await;
            assert_eq!(woken.expect("at once").as_deref(), Some("run"));
        }
        stop.cancel();
        running.await.expect("it ends");
    }
}

//! Putting the operator together and taking it apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::events::Recorder;
use crate::feed::{self, Scope};
use crate::metrics::Metrics;
use crate::notify::{self, Notifier};
use crate::on_demand::OnDemand;
use crate::options::ControllerOptions;
use crate::queue::queue;
use crate::web_client::WebClient;
use crate::world::{Caches, Memories};
use crate::{analysis, client, rollouts, scale_down, server, unreadable};

/// Name of the lease of the leader.
pub const LEASE: &str = "greenlight";
const LEASE_SECONDS: u64 = 15;
const LEASE_GRACE_SECONDS: u64 = 5;

/// Runs until SIGTERM or SIGINT, or until the lease is lost.
pub async fn run(options: ControllerOptions) -> Result<()> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let config = client::config().await?;
    let caches = Arc::new(Caches::default());
    let metrics = Metrics::new(caches.clone());
    let client = client::connect(&config, &metrics)?;
    let web_client = WebClient::default();
    let notifications = options.notifications.as_deref().map(notify::Config::read).transpose()?.unwrap_or_default();
    let instance = options.instance();
    let ready = Arc::new(AtomicBool::new(false));
    let server = tokio::spawn(server::serve(options.listen, metrics.clone(), ready.clone(), stop.clone()));

    let scope = Scope { namespace: options.namespace.clone(), ..Scope::default() };
    let (rollouts_sender, rollouts_queue) = queue();
    let (sets_sender, sets_queue) = queue();
    let (runs_sender, runs_queue) = queue();
    feed::wire(&caches, &rollouts_sender, &sets_sender, &runs_sender);
    for mut listed in feed::start(&client, &scope, &caches, &stop) {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            result = listed.wait_for(|listed| *listed) => drop(result?),
        }
    }
    ready.store(true, Ordering::Relaxed);
    tracing::info!(
        rollouts = caches.rollouts.len(),
        replica_sets = caches.sets.len(),
        services = caches.services.len(),
        version = env!("CARGO_PKG_VERSION"),
        instance,
        "ready"
    );

    let lease = if options.leader_elect { Some(lead(&client, &options, &instance, &stop).await?) } else { None };
    metrics.leads(true);
    let notifier = Notifier::start(notifications, &web_client, &metrics);
    let recorder = || Recorder::new(client.clone(), instance.clone(), metrics.clone(), notifier.tell());
    let tell_unreadable = unreadable::tell(client.clone(), caches.clone(), recorder(), stop.clone());
    let context = Arc::new(rollouts::Context {
        client: client.clone(),
        caches: caches.clone(),
        memories: Memories::default(),
        // A connection of its own: however many watches are asked for, they do not keep a write waiting.
        on_demand: OnDemand::new(client::connect(&config, &metrics)?, scope, rollouts_sender),
        recorder: recorder(),
        metrics: metrics.clone(),
    });
    let parallel = options.parallel;
    let rollouts_work = rollouts_queue.run(
        "rollouts",
        parallel,
        metrics.clone(),
        stop.clone(),
        || caches.rollouts.keys_where(|_| true),
        move |key| rollouts::reconcile(context.clone(), key),
    );
    let context = Arc::new(scale_down::Context { client: client.clone(), caches: caches.clone() });
    let retired = || caches.sets.keys_where(|owned| owned.set.has_scale_down_finalizer());
    let sets_work = sets_queue.run("scale-down", parallel, metrics.clone(), stop.clone(), retired, move |key| {
        scale_down::reconcile(context.clone(), key)
    });
    let context = Arc::new(analysis::Context { client: client.clone(), caches: caches.clone(), http: web_client });
    let runs_work = runs_queue.run(
        "analysis",
        parallel,
        metrics.clone(),
        stop.clone(),
        || caches.runs.keys_where(|_| true),
        move |key| analysis::reconcile(context.clone(), key),
    );
    tokio::join!(rollouts_work, sets_work, runs_work, tell_unreadable);
    if let Some(lease) = lease {
        lease.release().await;
    }
    notifier.finish().await;
    server.await??;
    tracing::info!("stopped");
    Ok(())
}

/// Cancels at SIGTERM or SIGINT.
pub fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

/// The lease, while this instance holds it.
struct Lease {
    state: tokio::sync::watch::Receiver<bool>,
    task: tokio::task::JoinHandle<kube_lease_manager::Result<kube_lease_manager::LeaseManager>>,
}

impl Lease {
    /// Hands the lease to whoever waits for it.
    async fn release(self) {
        // The manager releases it when nobody listens any more.
        drop(self.state);
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "the lease was not released, it expires in {LEASE_SECONDS} s");
        }
    }
}

/// Waits until this instance leads. When it loses the lease later, everything stops: whoever restarts it starts clean.
async fn lead(client: &Client, options: &ControllerOptions, instance: &str, stop: &CancellationToken) -> Result<Lease> {
    let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
        .with_namespace(&options.lease_namespace)
        .with_identity(instance)
        .with_duration(LEASE_SECONDS)
        .with_grace(LEASE_GRACE_SECONDS)
        .build()
        .await
        .with_context(|| format!("cannot use the lease {}/{LEASE}", options.lease_namespace))?;
    let (mut state, task) = manager.watch().await;
    tracing::info!(lease = LEASE, namespace = options.lease_namespace, "waiting to lead");
    tokio::select! {
        () = stop.cancelled() => {}
        leads = state.wait_for(|leads| *leads) => drop(leads?),
    }
    if stop.is_cancelled() {
        return Ok(Lease { state, task });
    }
    tracing::info!("leading");
    let mut watched = state.clone();
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = watched.wait_for(|leads| !*leads) => {
                tracing::error!("lost the lease");
                stop.cancel();
            }
        }
    });
    Ok(Lease { state, task })
}

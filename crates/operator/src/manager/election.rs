//! Who may write: the holder of a lease, until a deadline on its own clock.
//!
//! | second | the leader | a standby |
//! |---|---|---|
//! | 0 | sends a renewal that arrives; its term ends at 10 | sees the lease change |
//! | 2, 4, … | cannot renew | sees no change |
//! | 10 | writes nothing any more, gives up what is under way, and ends | |
//! | 15 | | takes the lease, and begins |
//!
//! Both count from what they saw themselves on clocks that nobody sets, so clocks that disagree change nothing. A renewal counts from the
//! moment it was sent. This is a courtesy to the API server and to people who read logs: what makes two at once safe are the versions
//! that every write carries.
//!
//! Not one of the ready-made managers: they keep leading while renewals hang, over the connection that hangs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::api_server::leadership::{Leadership, Term};

/// Name of the lease of the leader.
pub const LEASE: &str = "greenlight";
/// After so long without a renewal others take it.
const DURATION: Duration = Duration::from_secs(15);
/// After so long without a renewal the holder stops by itself: well before, because clocks do not run at the same speed, and a write
/// that was just sent takes its time.
const TERM: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(2);
/// How often others look: a handover takes so long.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request about it may take. Several fit into a term.
const REQUEST: Duration = Duration::from_secs(3);

/// Takes the lease, renews it, and gives it back.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    term: watch::Sender<Term>,
    /// The lease as it was last seen, and when it was seen to change.
    seen: Option<(Lease, Instant)>,
    went_back: CancellationToken,
}

impl Elector {
    /// Works on the lease of this namespace in the name of `identity`. Nobody else should use the client: its requests are on a deadline.
    pub fn new(client: Client, namespace: &str, identity: &str) -> (Elector, Leadership) {
        let (term, leadership) = Leadership::by_terms();
        let api = Api::namespaced(client, namespace);
        let went_back = CancellationToken::new();
        (Elector { api, identity: identity.to_owned(), term, seen: None, went_back }, leadership)
    }

    /// Cancelled when the API server has an older lease than before: a backup was restored. What is cached is from a time that never was,
    /// and the watches of it wait for versions that come in days.
    pub fn went_back(&self) -> CancellationToken {
        self.went_back.clone()
    }

    /// Waits until this instance leads.
    pub async fn acquire(&mut self) {
        loop {
            let sent = Instant::now();
            match self.try_to_acquire().await {
                Ok(true) => {
                    self.term.send_replace(Term::Until(sent + TERM));
                    return;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot use the lease"),
            }
            sleep(LOOK).await;
        }
    }

    /// Leads until the term ends, or until `release` is cancelled; then the lease is given to whoever waits for it.
    pub async fn hold(mut self, release: CancellationToken) {
        loop {
            let Term::Until(deadline) = *self.term.borrow() else { break };
            let sent = Instant::now();
            let renewed = tokio::select! {
                () = release.cancelled() => break,
                () = sleep_until(deadline) => Err(anyhow::anyhow!("its term is over")),
                renewed = self.renew() => renewed,
            };
            let pause = match renewed {
                Ok(()) => {
                    self.term.send_replace(Term::Until(sent + TERM));
                    RENEWAL
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the lease is not renewed");
                    if Instant::now() >= deadline || self.holder().is_some_and(|holder| holder != self.identity) {
                        self.term.send_replace(Term::None);
                        return;
                    }
                    LOOK / 2
                }
            };
            tokio::select! {
                () = release.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        // First the writes, then the lease.
        self.term.send_replace(Term::None);
        match self.release().await {
            Ok(()) => tracing::info!("released the lease"),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "the lease was not released, it expires in {} s",
                DURATION.as_secs()
            ),
        }
    }

    async fn try_to_acquire(&mut self) -> Result<bool> {
        let Some(lease) = self.look().await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.record(None)) };
            let created = within(self.api.create(&PostParams::default(), &lease)).await?;
            self.seen = Some((created, Instant::now()));
            return Ok(true);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let since = self.seen.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let expired = since.elapsed() >= duration.map_or(DURATION, Duration::from_secs);
        let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
        if holder.is_some_and(|holder| holder != self.identity) && !expired {
            return Ok(false);
        }
        match self.replace(Lease { spec: Some(self.record(Some(&spec))), ..lease }).await {
            // Another one was quicker.
            Err(error) if is_conflict(&error) => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    async fn renew(&mut self) -> Result<()> {
        let (mut lease, _) = self.seen.clone().context("it was acquired")?;
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        let Err(error) = self.replace(lease).await else { return Ok(()) };
        // Perhaps an answer was lost: then the lease has another version, and is still ours.
        self.look().await.context(error)?;
        let Some((mut lease, _)) = self.seen.clone().filter(|_| self.holder() == Some(&self.identity)) else {
            bail!("it is held by {}", self.holder().unwrap_or("nobody"));
        };
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        self.replace(lease).await
    }

    async fn release(&mut self) -> Result<()> {
        let Err(error) = self.let_go().await else { return Ok(()) };
        // A renewal that was under way may have arrived.
        self.look().await.context(error)?;
        if self.holder() == Some(&self.identity) { self.let_go().await } else { Ok(()) }
    }

    async fn let_go(&mut self) -> Result<()> {
        let (mut lease, _) = self.seen.clone().context("it was acquired")?;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.replace(lease).await
    }

    async fn look(&mut self) -> Result<Option<Lease>> {
        let lease = within(self.api.get_opt(LEASE)).await?;
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let number = |lease: &Lease| version(lease).and_then(|version| version.parse::<u64>().ok());
        let before = self.seen.as_ref().and_then(|(seen, _)| number(seen));
        if lease.as_ref().map_or(before.is_some(), |lease| number(lease) < before) {
            tracing::error!("the lease is older than before, or gone: was a backup restored?");
            self.went_back.cancel();
        }
        let since = self.seen.as_ref().filter(|(seen, _)| Some(version(seen)) == lease.as_ref().map(version));
        let since = since.map_or_else(Instant::now, |(_, since)| *since);
        self.seen = lease.clone().map(|lease| (lease, since));
        Ok(lease)
    }

    /// Writes the lease, if it still has the version that it was read at.
    async fn replace(&mut self, lease: Lease) -> Result<()> {
        let lease = within(self.api.replace(LEASE, &PostParams::default(), &lease)).await?;
        self.seen = Some((lease, Instant::now()));
        Ok(())
    }

    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: Some(before.and_then(|spec| spec.lease_transitions).map_or(0, |number| number + 1)),
            ..LeaseSpec::default()
        }
    }

    fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.0.spec.as_ref()?.holder_identity.as_deref()
    }
}

impl Drop for Elector {
    /// However it ends, nobody believes afterwards that this instance leads.
    fn drop(&mut self) {
        self.term.send_replace(Term::None);
    }
}

fn is_conflict(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 409)
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    let answer = timeout(REQUEST, request).await;
    Ok(answer.with_context(|| format!("the API server has not answered within {} s", REQUEST.as_secs()))??)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::{BoxError, service_fn};

    use super::*;

    /// An elector of an API server whose lease, held by somebody else, has this version; with none there is no lease.
    fn elector(version: &Arc<AtomicU64>) -> Elector {
        let version = version.clone();
        let service = service_fn(move |_: Request<Body>| {
            let version = version.load(Ordering::Relaxed);
            async move {
                let (code, answer) = match version {
                    0 => (404, json!({"status": "Failure", "reason": "NotFound", "message": "not found", "code": 404})),
                    _ => (
                        200,
                        json!({
                            "metadata": {"name": LEASE, "resourceVersion": version.to_string()},
                            "spec": {"holderIdentity": "another"},
                        }),
                    ),
                };
                let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, BoxError>(answer.expect("a response"))
            }
        });
        Elector::new(Client::new(service, "default"), "default", "me").0
    }

    #[tokio::test]
    async fn a_lease_that_goes_back_tells_that_a_backup_was_restored() {
        for (versions, went_back) in [
            (vec![10, 10, 11], false),
            (vec![9, 10], false),
            (vec![10, 9], true),
            (vec![10, 0], true),
            (vec![0, 10], false),
        ] {
            let version = Arc::new(AtomicU64::new(0));
            let mut elector = elector(&version);
            for next in &versions {
                version.store(*next, Ordering::Relaxed);
                elector.look().await.expect("it answers");
            }
            assert_eq!(elector.went_back().is_cancelled(), went_back, "{versions:?}");
        }
    }
}

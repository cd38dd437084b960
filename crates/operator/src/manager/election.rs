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
//! With several shards each has a lease, and an instance holds some of them ([`super::division`]):
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | the holder of a shard dies, hangs, or is cut off | as above: it writes nothing after 10 s, another one has it after 15 s |
//! | it sleeps, and wakes up | its terms are over: it writes nothing, and ends |
//! | it is asked to end | it finishes what is under way, writes nothing more, gives its leases back; others look every second |
//! | another one comes, and asks for a shard | its holder begins nothing more there, finishes what is under way, writes nothing more, and makes the lease the other's |
//! | who has asked is gone by then | anybody takes the lease after [`HANDOVER`] |
//! | who has asked for it writes on the lease of one that is dead | only the holder's own renewals count: it is taken no later for that |
//! | a lease is deleted | its holder and whoever knew it see that within seconds, and begin anew, as after a backup |
//! | a lease is forged | its holder finds another one's name, or none, at its next renewal, and ends; whatever it says, it lasts for [`LONGEST_DURATION`] |
//! | its times are no times, or the number of its holders is the last one there is | nobody counts with the first ([`super::lease`]), and the other one stays |
//! | what it says about the number of shards is forged, or taken away | its holder gives it back; whoever takes it writes what is so |
//! | the number of shards is changed while others run, or from one to several and back | whoever takes the first lease writes what there will be; whoever counts otherwise gives its shards back, or its leases run out; only then there are as many, and anybody takes one |
//! | it is asked to end while it waits for those | it gives back what it has taken |
//! | another one has its host name and its process number, as in containers | that is another instance all the same ([`super::options::instance`]) |
//! | somebody takes a shard of the old number in that moment | it looks at the first lease afterwards, and gives it back: one of the two sees the other |
//!
//! Not one of the ready-made managers: they keep leading while renewals hang, over the connection that hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::division::{Division, SHARDS, SHARDS_TO_BE, WANTED_BY, shards_of};
use super::lease::{Lease, LeaseSpec, now};
use crate::api_server::leadership::{Leadership, Term};

/// Name of the lease of the leader, or of who has the first shard.
pub const LEASE: &str = "greenlight";
/// The lease's `leaseDurationSeconds`: how long it may go without a renewal before another instance takes it.
const DURATION: Duration = Duration::from_secs(15);
/// The longest duration of a lease that is believed.
const LONGEST_DURATION: Duration = Duration::from_secs(60);
/// How long the holder goes on without a renewal. It is less than the duration, because clocks do not run at the same speed, and a write
/// that was just sent takes its time.
const TERM: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(2);
/// How often others look: a handover takes so long.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request about it may take. Several fit into a term.
const REQUEST: Duration = Duration::from_secs(3);

/// How long a lease that is handed over is kept for the instance that it was given to. After that any may take it.
const HANDOVER: Duration = Duration::from_secs(5);
/// How long what is under way in a shard may take when it is given away. It is less than a term.
const LAST_WORK: Duration = Duration::from_secs(5);

/// What becomes of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This instance works on it from now on.
    Gained(usize),
    /// It does not any more.
    Given(usize),
}

/// How holding a lease ends.
enum End {
    Given,
    Released,
    Lost,
}

/// Takes the lease of a shard, renews it, and gives it back.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    shard: usize,
    name: String,
    division: Arc<Division>,
    leadership: Leadership,
    term: watch::Sender<Term>,
    /// The lease as it was last seen, and when it was last seen to be renewed.
    seen: Option<(Lease, Instant)>,
    /// The shards that there were: their leases' specs, and since when they are like that.
    before: BTreeMap<usize, (Option<LeaseSpec>, Instant)>,
    went_back: CancellationToken,
}

impl Elector {
    /// One for each shard, in the name of `identity`; their leases are in this namespace. Nobody else should use the client: its requests are
    /// on a deadline.
    pub fn all(
        client: &Client,
        namespace: &str,
        identity: &str,
        terms: Vec<watch::Sender<Term>>,
        leadership: &Leadership,
    ) -> Vec<Elector> {
        let division = Arc::new(Division::new(identity, terms.len()));
        let went_back = CancellationToken::new();
        let elector = |(shard, term)| Elector {
            api: Api::namespaced(client.clone(), namespace),
            identity: identity.to_owned(),
            shard,
            name: lease_of(shard),
            division: division.clone(),
            leadership: leadership.clone(),
            term,
            seen: None,
            before: BTreeMap::new(),
            went_back: went_back.clone(),
        };
        terms.into_iter().enumerate().map(elector).collect()
    }

    /// Cancelled when the API server has an older lease than before: a backup was restored. What is cached is from a time that never was,
    /// and the watches of it wait for versions that come in days.
    pub fn went_back(&self) -> CancellationToken {
        self.went_back.clone()
    }

    /// Leads whenever it can, and tells of it, until `release` is cancelled, or a term has ended that was not to end.
    pub async fn lead(mut self, changes: mpsc::UnboundedSender<Change>, release: CancellationToken) {
        loop {
            tokio::select! {
                () = release.cancelled() => return self.give_back().await,
                () = self.acquire() => {}
            }
            tracing::info!(lease = self.name, "leading");
            // Whoever listens has ended if it does not listen.
            let _ = changes.send(Change::Gained(self.shard));
            match self.hold(&release).await {
                End::Given => drop(changes.send(Change::Given(self.shard))),
                End::Released | End::Lost => return,
            }
        }
    }

    /// Waits until this instance leads.
    async fn acquire(&mut self) {
        loop {
            let sent = Instant::now();
            match self.try_to_acquire().await {
                Ok(true) if sent.elapsed() < TERM => {
                    self.term.send_replace(Term::Until(sent + TERM));
                    return;
                }
                // Or it took too long to find out that it has it.
                Ok(_) => {}
                Err(error) => tracing::warn!(lease = self.name, error = format!("{error:#}"), "cannot use the lease"),
            }
            sleep(LOOK).await;
        }
    }

    /// Leads until the term ends, until `release` is cancelled, or somebody else is to have it; then the lease is given to that one, or to
    /// whoever waits for it.
    async fn hold(&mut self, release: &CancellationToken) -> End {
        let mut to = None;
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
                    to = self.wanted_by();
                    // Who has the first shard says how many there are: if its lease says something else by now, it has to be taken anew.
                    if to.is_some() || !self.division.is_in_force() {
                        self.finish(sent + TERM).await;
                        break;
                    }
                    RENEWAL
                }
                Err(error) => {
                    tracing::warn!(lease = self.name, error = format!("{error:#}"), "the lease is not renewed");
                    if Instant::now() >= deadline || !self.is_mine() {
                        self.term.send_replace(Term::None);
                        return End::Lost;
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
        match self.release(to.as_deref()).await {
            Ok(()) => tracing::info!(lease = self.name, to, "released the lease"),
            Err(error) => tracing::warn!(
                lease = self.name,
                error = format!("{error:#}"),
                "the lease was not released, it expires in {} s",
                DURATION.as_secs()
            ),
        }
        if release.is_cancelled() { End::Released } else { End::Given }
    }

    /// Who asks for this shard, of which there are others.
    fn wanted_by(&self) -> Option<String> {
        let (lease, _) = self.seen.as_ref()?;
        lease.annotations().get(WANTED_BY).filter(|by| self.division.shards() > 1 && **by != self.identity).cloned()
    }

    /// The lease was being taken, or is held until others have given back theirs: whoever comes next does not wait for it to run out.
    async fn give_back(&mut self) {
        if self.seen.is_some() && self.look().await.is_ok() && self.is_mine() {
            drop(self.release(None).await);
        }
    }

    /// Whoever has the first shard counts otherwise.
    fn is_out_of_force(&self) -> bool {
        self.shard > 0 && !self.division.is_in_force()
    }

    /// Nothing is begun any more, and what is under way is waited for.
    async fn finish(&self, deadline: Instant) {
        self.term.send_replace(Term::Ending(deadline));
        drop(timeout(LAST_WORK, self.leadership.idle(self.shard)).await);
    }

    async fn try_to_acquire(&mut self) -> Result<bool> {
        let Some(lease) = self.look().await? else {
            if self.is_out_of_force() {
                return Ok(false);
            }
            let mut metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            if self.shard == 0 && self.division.shards() > 1 {
                metadata.annotations = Some([(SHARDS.to_owned(), self.division.shards().to_string())].into());
            }
            let lease = Lease { metadata, spec: Some(self.record(None)) };
            let created = within(self.api.create(&PostParams::default(), &lease)).await?;
            self.see(created);
            return self.may_keep().await;
        };
        let others = self.holder().is_some_and(|holder| holder != self.identity);
        if others && !self.is_expired() {
            if self.division.asks_for(self.shard) {
                self.ask(lease).await?;
            }
            return Ok(false);
        }
        if self.is_out_of_force() {
            return Ok(false);
        }
        let mut taken = Lease { spec: Some(self.record(lease.spec.as_ref())), ..lease };
        taken.annotations_mut().remove(WANTED_BY);
        let mine = self.division.shards();
        if self.shard == 0 && shards_of(&taken) != mine {
            taken.annotations_mut().insert(SHARDS_TO_BE.to_owned(), mine.to_string());
        } else {
            taken.annotations_mut().remove(SHARDS_TO_BE);
        }
        match self.replace(taken).await {
            // Another one was quicker.
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => self.may_keep().await,
        }
    }

    /// The lease is this instance's. Whether the shard is, too: nobody may hold one of another number of shards.
    async fn may_keep(&mut self) -> Result<bool> {
        let (lease, _) = self.seen.clone().context("it was acquired")?;
        if self.shard == 0 {
            return if self.division.is_settled(&lease) { Ok(true) } else { self.settle(lease).await };
        }
        let first = within(self.api.get_opt(LEASE)).await?;
        if first.is_some_and(|first| self.division.is_settled(&first)) {
            return Ok(true);
        }
        self.let_go(None).await?;
        Ok(false)
    }

    /// There will be another number of shards. Whether there is: as soon as nobody holds one of those that there were.
    async fn settle(&mut self, mut lease: Lease) -> Result<bool> {
        for shard in 1..shards_of(&lease) {
            let spec = within(self.api.get_opt(&lease_of(shard))).await?.map(|lease| lease.spec.unwrap_or_default());
            let since = self.before.get(&shard).filter(|(before, _)| *before == spec).map(|(_, since)| *since);
            let since = since.unwrap_or_else(Instant::now);
            let is_held =
                spec.as_ref().is_some_and(|spec| holder_of(spec).is_some() && since.elapsed() < duration_of(spec));
            self.before.insert(shard, (spec, since));
            if is_held {
                tracing::info!(lease = lease_of(shard), "there is another number of shards: waiting for who holds one");
                return Ok(false);
            }
        }
        let mine = self.division.shards();
        lease.annotations_mut().remove(SHARDS_TO_BE);
        match mine {
            1 => drop(lease.annotations_mut().remove(SHARDS)),
            _ => drop(lease.annotations_mut().insert(SHARDS.to_owned(), mine.to_string())),
        }
        self.before.clear();
        self.replace(lease).await?;
        Ok(true)
    }

    /// Asks the holder of a lease for it. It finds that at its next renewal.
    async fn ask(&mut self, mut lease: Lease) -> Result<()> {
        tracing::info!(lease = self.name, holder = self.holder(), "asking for a shard");
        lease.annotations_mut().insert(WANTED_BY.to_owned(), self.identity.clone());
        match self.replace(lease).await {
            // It was just renewed.
            Err(error) if is_conflict(&error) => self.look().await.map(drop),
            answer => answer,
        }
    }

    async fn renew(&mut self) -> Result<()> {
        let (mut lease, _) = self.seen.clone().context("it was acquired")?;
        lease.spec.get_or_insert_default().renew_time = Some(now());
        let Err(error) = self.replace(lease).await else { return Ok(()) };
        // Perhaps an answer was lost: then the lease has another version, and is still ours.
        self.look().await.context(error)?;
        ensure!(self.is_mine(), "it is held by {}", self.holder().unwrap_or("nobody"));
        let (mut lease, _) = self.seen.clone().context("it was acquired")?;
        lease.spec.get_or_insert_default().renew_time = Some(now());
        self.replace(lease).await
    }

    async fn release(&mut self, to: Option<&str>) -> Result<()> {
        let Err(error) = self.let_go(to).await else { return Ok(()) };
        // A renewal that was under way may have arrived.
        self.look().await.context(error)?;
        if self.is_mine() { self.let_go(to).await } else { Ok(()) }
    }

    async fn let_go(&mut self, to: Option<&str>) -> Result<()> {
        let (mut lease, _) = self.seen.clone().context("it was acquired")?;
        lease.annotations_mut().remove(WANTED_BY);
        let spec = lease.spec.get_or_insert_default();
        let duration = if to.is_some() { HANDOVER } else { Duration::from_secs(1) };
        spec.holder_identity = to.map(str::to_owned);
        spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
        spec.renew_time = Some(now());
        self.replace(lease).await
    }

    async fn look(&mut self) -> Result<Option<Lease>> {
        let lease = within(self.api.get_opt(&self.name)).await?;
        let number = |lease: &Lease| lease.metadata.resource_version.as_ref()?.parse::<u64>().ok();
        let before = self.seen.as_ref().and_then(|(seen, _)| number(seen));
        if lease.as_ref().map_or(before.is_some(), |lease| number(lease) < before) {
            tracing::error!(lease = self.name, "the lease is older than before, or gone: was a backup restored?");
            self.went_back.cancel();
        }
        match lease.clone() {
            Some(lease) => self.see(lease),
            None => {
                self.seen = None;
                self.division.saw(self.shard, None, false);
            }
        }
        Ok(lease)
    }

    /// Writes the lease, if it still has the version that it was read at.
    async fn replace(&mut self, lease: Lease) -> Result<()> {
        let lease = within(self.api.replace(&self.name, &PostParams::default(), &lease)).await?;
        self.see(lease);
        Ok(())
    }

    /// This is how it is now. What others write on it is no sign of life of its holder.
    fn see(&mut self, lease: Lease) {
        let since = self.seen.as_ref().filter(|(seen, _)| seen.spec == lease.spec);
        let since = since.map_or_else(Instant::now, |(_, since)| *since);
        self.seen = Some((lease, since));
        let is_held = self.holder().is_some() && !self.is_expired();
        let lease = self.seen.as_ref().map(|(lease, _)| lease);
        self.division.saw(self.shard, lease, is_held);
    }

    fn is_expired(&self) -> bool {
        let spec = self.seen.as_ref().and_then(|(lease, since)| Some((lease.spec.as_ref()?, since)));
        spec.is_none_or(|(spec, since)| since.elapsed() >= duration_of(spec))
    }

    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(now());
        let transitions = before.and_then(|spec| spec.lease_transitions).map_or(0, |number| number.saturating_add(1));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: now.clone(),
            renew_time: now,
            lease_transitions: Some(transitions),
        }
    }

    fn is_mine(&self) -> bool {
        self.holder() == Some(&self.identity)
    }

    fn holder(&self) -> Option<&str> {
        holder_of(self.seen.as_ref()?.0.spec.as_ref()?)
    }
}

impl Drop for Elector {
    /// However it ends, nobody believes afterwards that this instance leads.
    fn drop(&mut self) {
        self.term.send_replace(Term::None);
    }
}

/// Name of the lease of a shard.
fn lease_of(shard: usize) -> String {
    if shard == 0 { LEASE.to_owned() } else { format!("{LEASE}-{shard}") }
}

fn holder_of(spec: &LeaseSpec) -> Option<&str> {
    spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// How long it is its holder's if nobody renews it. What is longer than any version writes was written by somebody else, who renews nothing.
fn duration_of(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(DURATION, Duration::from_secs).min(LONGEST_DURATION)
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
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::super::options::instance;
    use super::*;
    use crate::api_server::fake::{Asked, api_server, failure};

    /// An elector of an API server whose lease, held by somebody else, has this version; with none there is no lease.
    fn elector(version: &Arc<AtomicU64>) -> Elector {
        let version = version.clone();
        let client = api_server(move |_| {
            std::future::ready(match version.load(Ordering::Relaxed) {
                0 => failure(404, "NotFound"),
                version => (
                    200,
                    json!({
                        "metadata": {"name": LEASE, "resourceVersion": version.to_string()},
                        "spec": {"holderIdentity": "another"},
                    }),
                ),
            })
        });
        let (terms, leadership) = Leadership::by_terms(1);
        let electors = Elector::all(&client, "default", "me", terms, &leadership);
        electors.into_iter().next().expect("one for each shard")
    }

    /// An API server that has leases and nothing else, and takes its time for each request.
    #[derive(Clone, Default)]
    struct Leases {
        kept: Arc<Mutex<BTreeMap<String, Value>>>,
        versions: Arc<AtomicU64>,
        takes: Duration,
    }

    impl Leases {
        fn client(&self) -> Client {
            let leases = self.clone();
            api_server(move |Asked { method, path, body, .. }| {
                let leases = leases.clone();
                async move {
                    sleep(leases.takes).await;
                    let named = body["metadata"]["name"].as_str();
                    let name = named.unwrap_or_else(|| path.rsplit('/').next().expect("a name"));
                    leases.answer(method.as_str(), name, &body)
                }
            })
        }

        fn answer(&self, method: &str, name: &str, sent: &Value) -> (u16, Value) {
            let known = self.kept.lock().expect("no panic while locked").get(name).cloned();
            match (method, known) {
                ("GET", Some(known)) => (200, known),
                ("POST", Some(_)) => failure(409, "AlreadyExists"),
                ("PUT", Some(known)) if known["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] => {
                    failure(409, "Conflict")
                }
                ("POST", None) | ("PUT", Some(_)) => (200, self.keep(name, sent.clone())),
                _ => failure(404, "NotFound"),
            }
        }

        fn keep(&self, name: &str, mut lease: Value) -> Value {
            lease["metadata"]["name"] = name.into();
            let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
            lease["metadata"]["resourceVersion"] = version.to_string().into();
            self.kept.lock().expect("no panic while locked").insert(name.to_owned(), lease.clone());
            lease
        }

        /// Somebody changes a lease by hand.
        fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
            let mut lease = self.kept.lock().expect("no panic while locked").get(name).cloned().unwrap_or(json!({}));
            edit(&mut lease);
            self.keep(name, lease);
        }

        fn holder(&self, name: &str) -> String {
            let kept = self.kept.lock().expect("no panic while locked");
            let holder = kept.get(name).and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned));
            holder.unwrap_or_default()
        }

        fn shards(&self) -> Option<String> {
            let kept = self.kept.lock().expect("no panic while locked");
            kept[LEASE]["metadata"]["annotations"][SHARDS].as_str().map(str::to_owned)
        }
    }

    /// One that competes for so many shards.
    struct Instance {
        leadership: Leadership,
        release: CancellationToken,
        electors: tokio::task::JoinSet<()>,
        changes: mpsc::UnboundedReceiver<Change>,
    }

    impl Instance {
        fn start(name: &str, leases: &Leases, shards: usize) -> Instance {
            let (terms, leadership) = Leadership::by_terms(shards);
            let (sender, changes) = mpsc::unbounded_channel();
            let (release, mut electors) = (CancellationToken::new(), tokio::task::JoinSet::new());
            for elector in Elector::all(&leases.client(), "default", name, terms, &leadership) {
                electors.spawn(elector.lead(sender.clone(), release.clone()));
            }
            Instance { leadership, release, electors, changes }
        }

        /// Whether it may write in each of these shards.
        fn leads(&self, shards: usize) -> bool {
            let namespace = |shard| {
                let names = (0..).map(|number| format!("team-{number}"));
                names.into_iter().find(|name| self.leadership.shard(name) == shard).expect("there is one")
            };
            (0..shards).all(|shard| self.leadership.may_write(&namespace(shard)))
        }

        /// None of its electors has given up.
        fn goes_on(&mut self) -> bool {
            self.electors.try_join_next().is_none()
        }
    }

    async fn within_seconds(seconds: u64, what: &str, is: impl Fn() -> bool) {
        for _ in 0..seconds * 10 {
            if is() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert!(is(), "{what}: not within {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_somebody_writes_about_the_number_of_shards_none_is_left_without_an_operator() {
        for (annotation, forged) in [
            (SHARDS, Value::Null),
            (SHARDS, "2".into()),
            (SHARDS, "0".into()),
            (SHARDS, "many".into()),
            (SHARDS, "4000000000".into()),
            (SHARDS_TO_BE, "5".into()),
        ] {
            let leases = Leases::default();
            let mut instances = ["a", "b"].map(|name| Instance::start(name, &leases, 3));
            let held = |leases: &Leases| (0..3).all(|shard| !leases.holder(&lease_of(shard)).is_empty());
            within_seconds(10, "at first", || held(&leases)).await;
            sleep(Duration::from_secs(20)).await;
            leases.edit(LEASE, |lease| match &forged {
                Value::Null => drop(lease["metadata"]["annotations"].as_object_mut().expect("some").remove(annotation)),
                forged => lease["metadata"]["annotations"][annotation] = forged.clone(),
            });
            sleep(Duration::from_secs(40)).await;
            let is_restored = || leases.shards().as_deref() == Some("3") && held(&leases);
            within_seconds(1, &format!("{annotation}: {forged}"), is_restored).await;
            let written_by = (0..3).filter(|shard| {
                let name = (0..)
                    .map(|number| format!("team-{number}"))
                    .find(|name| instances[0].leadership.shard(name) == *shard);
                let name = name.expect("there is one");
                instances.iter().filter(|instance| instance.leadership.may_write(&name)).count() == 1
            });
            assert_eq!(written_by.count(), 3, "{annotation}: {forged}");
            assert!(instances.iter_mut().all(Instance::goes_on), "{annotation}: {forged}");
        }
    }

    /// As the only processes of two containers, on hosts of one name.
    #[tokio::test(start_paused = true)]
    async fn two_processes_of_the_same_host_name_and_number_do_not_lead_together() {
        let leases = Leases::default();
        let two = [(); 2].map(|()| Instance::start(&instance(), &leases, 1));
        within_seconds(10, "one leads", || two.iter().any(|one| one.leads(1))).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(two.iter().filter(|one| one.leads(1)).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_said_to_last_for_years_is_taken_all_the_same_when_nobody_renews_it() {
        let leases = Leases::default();
        let spec = json!({"holderIdentity": "ghost", "leaseDurationSeconds": i32::MAX});
        leases.edit(LEASE, |lease| lease["spec"] = spec);
        let me = Instance::start("me", &leases, 1);
        within_seconds(90, "it is taken", || me.leads(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_somebody_writes_into_a_lease_by_hand_it_is_taken_when_its_holder_is_dead() {
        let leases = Leases::default();
        let spec = json!({
            "holderIdentity": "ghost", "renewTime": "9999-12-31T23:59:59.999999Z", "acquireTime": "9999-12-31T23:59:59.999999Z",
            "leaseTransitions": i32::MAX,
        });
        leases.edit(LEASE, |lease| lease["spec"] = spec);
        let mut me = Instance::start("me", &leases, 1);
        within_seconds(30, "it is taken", || me.leads(1)).await;
        sleep(Duration::from_secs(30)).await;
        assert!(me.leads(1) && me.goes_on());
        let taken = leases.kept.lock().expect("no panic while locked")[LEASE]["spec"].clone();
        // The API server takes no number that is less than nothing.
        assert_eq!((&taken["holderIdentity"], &taken["leaseTransitions"]), (&json!("me"), &json!(i32::MAX)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_to_end_while_it_waits_for_another_number_of_shards_leaves_no_lease_behind() {
        let leases = Leases::default();
        leases.edit(LEASE, |lease| lease["metadata"]["annotations"][SHARDS] = "2".into());
        let lives = leases.clone();
        tokio::spawn(async move {
            for renewal in 0.. {
                let spec = json!({"holderIdentity": "ghost", "leaseDurationSeconds": 15, "leaseTransitions": renewal});
                lives.edit("greenlight-1", |lease| lease["spec"] = spec);
                sleep(RENEWAL).await;
            }
        });
        let mut me = Instance::start("me", &leases, 1);
        within_seconds(5, "it has the first lease", || leases.holder(LEASE) == "me").await;
        sleep(Duration::from_secs(30)).await;
        assert!(!me.leads(1), "another one has a shard");
        me.release.cancel();
        while me.electors.join_next().await.is_some() {}
        assert_eq!(leases.holder(LEASE), "");
    }

    #[tokio::test(start_paused = true)]
    async fn however_long_it_takes_to_look_for_other_shards_whoever_leads_then_goes_on() {
        let leases = Leases { takes: Duration::from_millis(400), ..Leases::default() };
        leases.edit(LEASE, |lease| lease["metadata"]["annotations"][SHARDS] = "32".into());
        let mut me = Instance::start("me", &leases, 1);
        assert_eq!(me.changes.recv().await, Some(Change::Gained(0)));
        assert!(me.leads(1), "its term has begun");
        sleep(Duration::from_secs(30)).await;
        assert!(me.leads(1) && me.goes_on());
    }

    #[tokio::test(start_paused = true)]
    async fn whose_lease_is_nobodys_writes_no_more() {
        let leases = Leases::default();
        let mut me = Instance::start("me", &leases, 1);
        within_seconds(5, "it leads", || me.leads(1)).await;
        leases.edit(LEASE, |lease| lease["spec"]["holderIdentity"] = "".into());
        sleep(RENEWAL + LOOK).await;
        assert!(!me.leads(1) && !me.goes_on());
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

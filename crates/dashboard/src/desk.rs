//! What one caller sees: one watch of all rollouts, however many pages are open, and a room for each rollout that is looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::{StreamExt, stream};
use greenlight_api::BlueGreenRollout;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::kept::Kept;
use crate::rights;
use crate::room::Room;
use crate::row::{Key, Row};

/// A page that is so many changes behind begins anew.
const CHANGES_KEPT: usize = 4096;
/// So many namespaces are tried for somebody who may not see all of them.
const MOST_NAMESPACES: usize = 200;
const AT_A_TIME: usize = 16;

/// What one caller sees.
pub struct Desk {
    /// Asks the API server as the caller.
    pub client: Client,
    /// The caller's name, as the API server knows it.
    pub user: String,
    /// When the API server last said so.
    pub verified: Mutex<Instant>,
    /// The list.
    pub rows: Arc<Rows>,
    /// The rollouts that are looked at.
    pub rooms: Kept<Key, Room>,
    watches: Mutex<JoinSet<()>>,
}

/// The list, and what changes in it.
pub struct Rows {
    known: Mutex<Known>,
    changes: broadcast::Sender<Key>,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct Known {
    rows: BTreeMap<Key, (Arc<Row>, u64)>,
    /// What was deleted lately, and when in the count of versions.
    gone: VecDeque<(Key, u64)>,
    /// Counts the changes.
    version: u64,
    /// What was deleted before this is not known any more.
    since: u64,
    /// The namespaces that are watched; empty: all.
    namespaces: BTreeSet<String>,
}

/// A row that is new or says something new; `None`: it is gone.
pub type Changed = (Key, Option<Arc<Row>>);

/// How far the list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The first answer has not come.
    #[default]
    Reading,
    /// It is all there.
    Ready,
    /// The API server gives no list, and why.
    Failed(String),
}

impl Desk {
    /// Begins to watch. Somebody who may not see every namespace sees those that they may, and at least `namespace`.
    pub fn open(client: Client, user: String, namespace: String) -> Desk {
        let rows = Arc::new(Rows {
            known: Mutex::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            state: watch::channel(State::Reading).0,
        });
        let mut watches = JoinSet::new();
        watches.spawn(look(client.clone(), rows.clone(), namespace));
        let (rooms, watches) = (Kept::default(), Mutex::new(watches));
        Desk { client, user, verified: Mutex::new(Instant::now()), rows, rooms, watches }
    }

    /// Watches a namespace, too, if the caller sees only some.
    pub fn include(&self, namespace: &str) {
        if self.rows.lock().namespaces.is_empty() || !self.rows.lock().namespaces.insert(namespace.to_owned()) {
            return;
        }
        let (client, rows, namespace) = (self.client.clone(), self.rows.clone(), namespace.to_owned());
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.spawn(async move {
            follow(Api::namespaced(client, &namespace), &rows, Some(&namespace)).await;
        });
    }
}

impl Rows {
    /// Waits until there is a list, or it is known that there is none. Says why.
    pub async fn ready(&self) -> Result<(), String> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| *state != State::Reading).await.map(|state| state.clone());
        match state {
            Ok(State::Failed(why)) => Err(why),
            _ => Ok(()),
        }
    }

    /// Every row in the order of the list, and the version that this is.
    pub fn all(&self) -> (Vec<Arc<Row>>, u64) {
        let known = self.lock();
        let mut rows: Vec<_> = known.rows.values().map(|(row, _)| row.clone()).collect();
        rows.sort_by(|a, b| a.order().cmp(&b.order()));
        (rows, known.version)
    }

    /// What has changed since a version: rows, or that they are gone. `None`: too much to say.
    pub fn since(&self, version: u64) -> Option<(Vec<Changed>, u64)> {
        let known = self.lock();
        if version < known.since || version > known.version {
            return None;
        }
        let gone = known.gone.iter().filter(|(_, at)| *at > version).map(|(key, _)| (key.clone(), None));
        let there = known.rows.values().filter(|(_, at)| *at > version);
        let there = there.map(|(row, _)| (row.key.clone(), Some(row.clone())));
        Some((gone.chain(there).collect(), known.version))
    }

    /// One row.
    pub fn get(&self, key: &Key) -> Option<Arc<Row>> {
        self.lock().rows.get(key).map(|(row, _)| row.clone())
    }

    /// The keys of what changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Key> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a row, if it says something new.
    fn put(&self, row: Row) {
        let key = row.key.clone();
        {
            let mut known = self.lock();
            if known.rows.get(&key).is_some_and(|(now, _)| **now == row) {
                drop(known);
                // What the list does not show may be on a page of its own.
                let _ = self.changes.send(key);
                return;
            }
            known.version += 1;
            let version = known.version;
            known.rows.insert(key.clone(), (Arc::new(row), version));
        }
        let _ = self.changes.send(key);
    }

    fn remove(&self, key: &Key) {
        {
            let mut known = self.lock();
            if known.rows.remove(key).is_none() {
                return;
            }
            known.version += 1;
            let version = known.version;
            known.gone.push_back((key.clone(), version));
            if known.gone.len() > CHANGES_KEPT {
                known.since = known.gone.pop_front().map_or(known.since, |(_, at)| at);
            }
        }
        let _ = self.changes.send(key.clone());
    }

    fn keys_in(&self, namespace: Option<&str>) -> BTreeSet<Key> {
        let is_in = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        self.lock().rows.keys().filter(is_in).cloned().collect()
    }
}

/// Watches everything; or, for somebody who may not, the namespaces that they may.
async fn look(client: Client, rows: Arc<Rows>, namespace: String) {
    if rights::may(&client, "list", None, None).await.unwrap_or(true) {
        follow(Api::all(client), &rows, None).await;
        return;
    }
    let mut namespaces = seen_by(&client).await;
    namespaces.insert(namespace);
    rows.lock().namespaces.clone_from(&namespaces);
    let follow_one = |namespace: String| {
        let (client, rows) = (client.clone(), rows.clone());
        async move { follow(Api::namespaced(client, &namespace), &rows, Some(&namespace)).await }
    };
    stream::iter(namespaces).for_each_concurrent(None, follow_one).await;
}

/// The namespaces whose rollouts a caller may list, if they may list namespaces.
async fn seen_by(client: &Client) -> BTreeSet<String> {
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let names = namespaces.map(|list| list.items).unwrap_or_default().into_iter().map(|namespace| namespace.name_any());
    let asked = stream::iter(names.take(MOST_NAMESPACES)).map(|namespace| async move {
        let may = rights::may(client, "list", Some(&namespace), None).await.unwrap_or(false);
        may.then_some(namespace)
    });
    asked.buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await
}

/// Keeps the rows of a scope as the API server has them.
async fn follow(api: Api<BlueGreenRollout>, rows: &Rows, namespace: Option<&str>) {
    use kube::runtime::WatchStreamExt;
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(rollout)) => {
                let row = Row::of(&rollout);
                listed.insert(row.key.clone());
                rows.put(row);
            }
            Ok(Event::InitDone) => {
                rows.keys_in(namespace).difference(&listed).for_each(|key| rows.remove(key));
                listed.clear();
                rows.state.send_replace(State::Ready);
            }
            Ok(Event::Apply(rollout)) => rows.put(Row::of(&rollout)),
            Ok(Event::Delete(rollout)) => rows.remove(&Row::of(&rollout).key),
            Err(error) => {
                let why = format!("The API server gives no list of rollouts: {error}");
                let reading = |state: &mut State| {
                    let first = *state != State::Ready;
                    if first {
                        *state = State::Failed(why);
                    }
                    first
                };
                rows.state.send_if_modified(reading);
            }
        }
    }
}

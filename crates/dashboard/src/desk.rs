//! What one caller sees: one watch of all rollouts, however many pages are open, and a room for each rollout that is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use greenlight_overview::Found;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::kept::Kept;
use crate::rights;
use crate::room::Room;
use crate::row::{Key, Row};
use crate::silence::{self, Silence, said};

/// How many changes a page may be behind before it begins anew.
const CHANGES_KEPT: usize = 4096;
/// How many namespaces are tried for somebody who may not see all of them.
const MOST_NAMESPACES: usize = 200;
const TOO_MANY_NAMESPACES: &str = "You look at more namespaces than are watched for one person. Try again in a minute.";
/// How many namespaces are tried at a time.
const AT_A_TIME: usize = 16;
/// How many pages of one caller are kept alive.
const MOST_STREAMS: usize = 256;
/// How many rollouts one caller can look at in the same half minute.
const MOST_ROOMS: usize = 128;
/// The API server looks at a caller's rights and at the age of their token when a watch begins, so none lasts longer.
const WATCH_SECONDS: u32 = 30;
/// Who may not see something is told again whether they may by now.
const DENIED_FOR: Duration = Duration::from_secs(10);
/// A watch that has failed is tried again after this,
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
/// and, if it fails again and again, after this.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// An API server that has not answered by then does not answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// What one caller sees.
pub struct Desk {
    /// Asks the API server as the caller.
    pub client: Client,
    /// The caller's name, as the API server knows it.
    pub user: String,
    /// When the API server last said so, unless there is reason to ask again.
    verified: Mutex<Option<Instant>>,
    /// The list.
    pub rows: Arc<Rows>,
    /// One for each page that is alive.
    pub streams: Arc<Semaphore>,
    rooms: Kept<Key, Room>,
    watches: Mutex<Watches>,
}

/// What is at work for a desk.
#[derive(Default)]
struct Watches {
    tasks: JoinSet<()>,
    /// The watch of each namespace.
    of: BTreeMap<String, AbortHandle>,
}

/// The list, and what changes in it.
pub struct Rows {
    known: Mutex<Known>,
    changes: broadcast::Sender<Key>,
    /// Counts what happens to the scopes.
    scopes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    rows: BTreeMap<Key, (Arc<Row>, u64)>,
    /// The last change of each row that is there, or was lately: by its version.
    versions: BTreeMap<u64, Key>,
    /// When what was deleted lately was deleted.
    gone: BTreeMap<Key, u64>,
    /// Counts the changes.
    version: u64,
    /// What was deleted before this is not known any more.
    since: u64,
    scope: Scope,
    /// The caller may see more than was looked for.
    is_partial: bool,
    /// How far each namespace is; all of them are the one without a name.
    states: BTreeMap<Option<String>, State>,
    /// Those of which nothing new is heard.
    silent: BTreeMap<Option<String>, Silence>,
}

/// What a caller may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scope {
    /// The API server has not been asked.
    #[default]
    Unknown,
    /// Every namespace.
    All,
    /// Those that are in the states.
    Some,
}

/// What becomes of a namespace that somebody asks for.
#[derive(Debug, Default, PartialEq)]
struct Included {
    /// It is new, and what the caller may see is known.
    is_to_be_watched: bool,
    /// This one is not looked after any more.
    instead_of: Option<String>,
}

/// A row that is new or says something new; `None`: it is gone.
pub type Changed = (Key, Option<Arc<Row>>);

/// How far the list of a namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The first answer has not come.
    Reading,
    /// It is all there.
    Ready,
    /// The API server gives no list, and why.
    Failed(String),
}

impl Desk {
    /// Begins to watch. Somebody who may not see every namespace sees those that they may, and at least `namespace`.
    pub fn open(client: Client, user: String, namespace: &str) -> Arc<Desk> {
        let rows = Arc::new(Rows::new());
        let desk = Arc::new(Desk {
            client: client.clone(),
            user,
            verified: Mutex::new(Some(Instant::now())),
            rows: rows.clone(),
            streams: Arc::new(Semaphore::new(MOST_STREAMS)),
            rooms: Kept::default(),
            watches: Mutex::default(),
        });
        desk.include(namespace);
        let (weak, own) = (Arc::downgrade(&desk), namespace.to_owned());
        desk.watches().tasks.spawn(async move {
            let mut was_denied = false;
            // Who may not see every namespace any more sees those that they may.
            while rights::may(&client, "list", None, None).await.unwrap_or(true) {
                if was_denied {
                    tokio::time::sleep(DENIED_FOR).await;
                } else {
                    rows.begin(Scope::All, None);
                }
                let why = follow_while_allowed(Api::all(client.clone()), &rows, None).await;
                rows.deny(None, why);
                was_denied = true;
            }
            let (mut namespaces, is_all) = seen_by(&client).await;
            namespaces.insert(own);
            rows.lock().is_partial = !is_all;
            let asked_for = rows.begin(Scope::Some, Some(namespaces));
            if let Some(desk) = weak.upgrade() {
                asked_for.into_iter().for_each(|namespace| desk.watch(namespace));
            }
        });
        desk
    }

    /// Whether the API server has said of late who the caller is.
    pub fn is_verified(&self, lately: Duration) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.is_some_and(|at| at.elapsed() < lately)
    }

    /// Takes note of what the API server has said: that this is the caller, or something that a caller is not told.
    pub fn verify(&self, is_so: bool) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = is_so.then(Instant::now);
    }

    /// Watches a namespace, too, if the caller sees only some.
    pub fn include(&self, namespace: &str) {
        let Included { is_to_be_watched, instead_of } = self.rows.include(namespace);
        if let Some(watch) = instead_of.and_then(|denied| self.watches().of.remove(&denied)) {
            watch.abort();
        }
        if is_to_be_watched {
            self.watch(namespace.to_owned());
        }
    }

    /// The room of a rollout. `None`: the caller looks at too many.
    pub fn room(&self, key: &Key, open: impl FnOnce() -> Room) -> Option<Arc<Room>> {
        self.include(&key.namespace);
        self.rooms.get_or(key.clone(), MOST_ROOMS, || Arc::new(open()))
    }

    /// Forgets the rollouts that nobody looks at any more.
    pub fn sweep(&self) {
        self.rooms.sweep();
    }

    fn watch(&self, namespace: String) {
        let (client, rows, watched) = (self.client.clone(), self.rows.clone(), namespace.clone());
        let mut watches = self.watches();
        while watches.tasks.try_join_next().is_some() {}
        let watch = watches.tasks.spawn(async move {
            follow(Api::namespaced(client, &watched), &rows, &watched).await;
        });
        watches.of.insert(namespace, watch);
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn new() -> Rows {
        Rows { known: Mutex::default(), changes: broadcast::channel(CHANGES_KEPT).0, scopes: watch::channel(0).0 }
    }

    /// Waits until there is a list, of one namespace or of all, or it is known that there is none. Says why.
    ///
    /// # Errors
    /// The caller may not see it.
    pub async fn ready(&self, namespace: Option<&str>) -> Result<(), String> {
        let mut scopes = self.scopes.subscribe();
        loop {
            if let Some(answer) = self.lock().answer(namespace) {
                return answer;
            }
            if scopes.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Whether the caller may not see the list any more, of one namespace or of all.
    pub fn is_denied(&self, namespace: Option<&str>) -> bool {
        matches!(self.lock().answer(namespace), Some(Err(_)))
    }

    /// Every row in the order of the list, and the version that this is.
    pub fn all(&self) -> (Vec<Arc<Row>>, u64) {
        let known = self.lock();
        let mut rows: Vec<_> = known.rows.values().map(|(row, _)| row.clone()).collect();
        rows.sort_by(|a, b| a.order().cmp(&b.order()));
        (rows, known.version)
    }

    /// Whether the caller may be able to see more than the list shows.
    pub fn is_partial(&self) -> bool {
        self.lock().is_partial
    }

    /// That the list, of one namespace or of all, may not be that of now.
    pub fn silence(&self, namespace: Option<&str>) -> Option<Silence> {
        let known = self.lock();
        match (known.scope, namespace) {
            (Scope::Some, Some(namespace)) => known.silent.get(&Some(namespace.to_owned())).cloned(),
            _ => known.silent.values().min_by_key(|silence| silence.since).cloned(),
        }
    }

    /// Tells that there may be something else to say of the list as a whole.
    pub fn signals(&self) -> watch::Receiver<u64> {
        self.scopes.subscribe()
    }

    /// The version of the list.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// What has changed since a version: rows, or that they are gone. `None`: too much to say.
    pub fn since(&self, version: u64) -> Option<(Vec<Changed>, u64)> {
        let known = self.lock();
        if version < known.since || version > known.version {
            return None;
        }
        let changed = known.versions.range(version + 1..).map(|(_, key)| key);
        let changed = changed.map(|key| (key.clone(), known.rows.get(key).map(|(row, _)| row.clone())));
        Some((changed.collect(), known.version))
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
            // What the list does not show may be on a page of its own, which is told below.
            if known.rows.get(&key).is_none_or(|(now, _)| **now != row) {
                let version = known.change(&key);
                known.gone.remove(&key);
                known.rows.insert(key.clone(), (Arc::new(row), version));
            }
        }
        let _ = self.changes.send(key);
    }

    fn remove(&self, key: &Key) {
        {
            let mut known = self.lock();
            if !known.rows.contains_key(key) {
                return;
            }
            let version = known.change(key);
            known.rows.remove(key);
            known.gone.insert(key.clone(), version);
            known.forget_the_oldest();
        }
        let _ = self.changes.send(key.clone());
    }

    /// Removes what is there of a scope, but for what was listed.
    fn keep_only(&self, namespace: Option<&str>, listed: &BTreeSet<Key>) {
        let is_in = |key: &&Key| namespace.is_none_or(|namespace| key.namespace == namespace);
        let there: BTreeSet<Key> = self.lock().rows.keys().filter(is_in).cloned().collect();
        there.difference(listed).for_each(|key| self.remove(key));
    }

    /// Takes note of a namespace that somebody asks for. One that the caller may not see makes room for it.
    fn include(&self, namespace: &str) -> Included {
        let mut known = self.lock();
        if known.scope == Scope::All || known.states.contains_key(&Some(namespace.to_owned())) {
            return Included::default();
        }
        let mut instead_of = None;
        if known.states.len() >= MOST_NAMESPACES {
            let mut denied = known.states.iter().filter(|(_, state)| matches!(state, State::Failed(_)));
            let Some(denied) = denied.find_map(|(namespace, _)| namespace.clone()) else { return Included::default() };
            known.states.remove(&Some(denied.clone()));
            known.silent.remove(&Some(denied.clone()));
            instead_of = Some(denied);
        }
        known.states.insert(Some(namespace.to_owned()), State::Reading);
        Included { is_to_be_watched: known.scope == Scope::Some, instead_of }
    }

    /// Takes note of what the caller may see; the namespaces that have to be watched, with those that were asked for before that was known.
    fn begin(&self, scope: Scope, namespaces: Option<BTreeSet<String>>) -> Vec<String> {
        let mut known = self.lock();
        known.scope = scope;
        known.silent.clear();
        match namespaces {
            None => known.states = BTreeMap::from([(None, State::Reading)]),
            Some(seen) => {
                known.states.remove(&None::<String>);
                known.states.extend(seen.into_iter().map(|namespace| (Some(namespace), State::Reading)));
            }
        }
        let watched = known.states.keys().flatten().cloned().collect();
        drop(known);
        self.scopes.send_modify(|count| *count += 1);
        watched
    }

    fn set(&self, namespace: Option<&str>, state: State) {
        // One that has made room for another is not told of any more.
        if let Some(now) = self.lock().states.get_mut(&namespace.map(str::to_owned)) {
            *now = state;
        }
        self.scopes.send_modify(|count| *count += 1);
    }

    /// Takes note that nothing new is heard of the API server.
    fn hush(&self, namespace: Option<&str>, silence: &Silence) {
        self.lock().silent.insert(namespace.map(str::to_owned), silence.clone());
        self.scopes.send_modify(|count| *count += 1);
    }

    /// Takes note that the API server is heard.
    fn hear(&self, namespace: Option<&str>) {
        if self.lock().silent.remove(&namespace.map(str::to_owned)).is_some() {
            self.scopes.send_modify(|count| *count += 1);
        }
    }

    /// Takes note that the API server gives no list, and why, and forgets what was there.
    fn deny(&self, namespace: Option<&str>, why: String) {
        self.hear(namespace);
        // In this order: who is told of what is gone sees why.
        self.set(namespace, State::Failed(why));
        self.keep_only(namespace, &BTreeSet::new());
    }

    fn is_ready(&self, namespace: Option<&str>) -> bool {
        self.lock().states.get(&namespace.map(str::to_owned)) == Some(&State::Ready)
    }
}

impl Known {
    /// Counts a change of a row; its version.
    fn change(&mut self, key: &Key) -> u64 {
        let before = self.rows.get(key).map(|(_, version)| version).or(self.gone.get(key)).copied();
        if let Some(before) = before {
            self.versions.remove(&before);
        }
        self.version += 1;
        self.versions.insert(self.version, key.clone());
        self.version
    }

    fn forget_the_oldest(&mut self) {
        while self.gone.len() > CHANGES_KEPT {
            let oldest = self.gone.iter().min_by_key(|(_, version)| **version);
            let Some((key, version)) = oldest.map(|(key, version)| (key.clone(), *version)) else { return };
            self.gone.remove(&key);
            self.versions.remove(&version);
            self.since = version;
        }
    }

    /// Whether there is a list; `None`: that is not known yet.
    fn answer(&self, namespace: Option<&str>) -> Option<Result<(), String>> {
        let states: Vec<&State> = match (self.scope, namespace) {
            (Scope::Unknown, _) => return None,
            (Scope::Some, Some(namespace)) => match self.states.get(&Some(namespace.to_owned())) {
                Some(state) => vec![state],
                // There were too many before it.
                None => return Some(Err(TOO_MANY_NAMESPACES.to_owned())),
            },
            _ => self.states.values().collect(),
        };
        if states.contains(&&State::Reading) {
            return None;
        }
        let failed = states.iter().find_map(|state| match state {
            State::Failed(why) => Some(why.clone()),
            _ => None,
        });
        // Of several namespaces those are shown that may be seen.
        let is_there = states.contains(&&State::Ready);
        Some(match failed {
            Some(why) if !is_there => Err(why),
            _ => Ok(()),
        })
    }
}

/// The namespaces whose rollouts a caller may list, if they may list namespaces; and whether these are all.
async fn seen_by(client: &Client) -> (BTreeSet<String>, bool) {
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let is_all = namespaces.as_ref().is_ok_and(|list| list.items.len() <= MOST_NAMESPACES);
    let names = namespaces.map(|list| list.items).unwrap_or_default().into_iter().map(|namespace| namespace.name_any());
    let asked = stream::iter(names.take(MOST_NAMESPACES)).map(|namespace| async move {
        let may = rights::may(client, "list", Some(&namespace), None).await.unwrap_or(false);
        may.then_some(namespace)
    });
    (asked.buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await, is_all)
}

/// Keeps the rows of a namespace as the API server has them, for as long as the caller may see them.
async fn follow(api: Api<Found>, rows: &Rows, namespace: &str) {
    loop {
        let why = follow_while_allowed(api.clone(), rows, Some(namespace)).await;
        rows.deny(Some(namespace), why);
        tokio::time::sleep(DENIED_FOR).await;
    }
}

/// Keeps the rows of a scope until the API server denies it; why it does.
async fn follow_while_allowed(api: Api<Found>, rows: &Rows, namespace: Option<&str>) -> String {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let mut events = pin!(watcher(api.clone(), config).backoff(Patience(SHORTEST_PATIENCE)));
    let mut listed = BTreeSet::new();
    // When something went wrong of which it is not known yet whether it was more than a hitch.
    let mut in_doubt: Option<Silence> = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            answers = answers(&api), if in_doubt.is_some() => {
                if answers {
                    rows.hear(namespace);
                    in_doubt = None;
                } else if let Some(silence) = &in_doubt {
                    rows.hush(namespace, silence);
                }
                continue;
            }
        };
        let Some(event) = event else { break };
        // That a list begins is said before the API server is asked for it.
        if in_doubt.is_some() && event.as_ref().is_ok_and(|event| !matches!(event, Event::Init)) {
            rows.hear(namespace);
            in_doubt = None;
        }
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(found)) => {
                let row = Row::of(&found);
                listed.insert(row.key.clone());
                rows.put(row);
            }
            Ok(Event::InitDone) => {
                rows.keep_only(namespace, &listed);
                listed.clear();
                rows.set(namespace, State::Ready);
            }
            Ok(Event::Apply(found)) => rows.put(Row::of(&found)),
            Ok(Event::Delete(found)) => rows.remove(&Row::of(&found).key),
            Err(error) => {
                let why = format!("The API server gives no list of rollouts: {}", said(&error));
                if is_denied(&error) {
                    return why;
                }
                // It comes back by itself; what is known till then is better than nothing. It may be old, and says so.
                if !rows.is_ready(namespace) {
                    rows.set(namespace, State::Failed(why));
                } else if code(&error).is_none_or(|code| code >= 500 || code == 429) {
                    match &mut in_doubt {
                        Some(silence) => {
                            silence.why = silence::why(&error);
                            rows.hush(namespace, silence);
                        }
                        None => in_doubt = Some(Silence::new(Timestamp::now(), &error)),
                    }
                }
            }
        }
    }
    "The watch ended.".to_owned()
}

/// Whether the API server answers, some time after a watch has failed. By then it has been tried again, and would have said so.
async fn answers(api: &Api<Found>) -> bool {
    tokio::time::sleep(LONGEST_PATIENCE + SHORTEST_PATIENCE).await;
    lists(api).await
}

/// Whether the API server lists at the moment. One rollout is asked for, as the list reads it: whatever is in it, it is an answer.
async fn lists(api: &Api<Found>) -> bool {
    let one = ListParams::default().limit(1);
    timeout(ANSWERED_WITHIN, api.list(&one)).await.is_ok_and(|answer| answer.is_ok())
}

/// How long a watch that has failed waits before it is tried again: each time twice as long, up to a limit.
struct Patience(Duration);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST_PATIENCE);
        Some(now)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = SHORTEST_PATIENCE;
    }
}

fn is_denied(error: &watcher::Error) -> bool {
    matches!(code(error), Some(401 | 403))
}

/// What the API server has answered, if it has.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::fake::{Asked, allowed, api_server, failure, nothing};

    fn row(name: &str, message: &str) -> Row {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}}, "status": {"message": message},
        });
        Row::of(&serde_json::from_value(rollout).expect("a rollout"))
    }

    fn names(changed: &[Changed]) -> Vec<(&str, bool)> {
        changed.iter().map(|(key, row)| (key.name.as_str(), row.is_some())).collect()
    }

    #[tokio::test]
    async fn an_api_server_lists_also_if_nobody_can_read_what_is_said_of_who_manages_which_field() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let managed =
            json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": deep}]);
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": "web", "namespace": "shop", "managedFields": managed},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
        });
        let list =
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": [rollout]});
        let client = api_server(move |_: Asked| std::future::ready((200, list.clone())));
        assert!(lists(&Api::all(client)).await);
        let down = api_server(|_: Asked| std::future::ready(failure(503, "too busy")));
        assert!(!lists(&Api::all(down)).await);
    }

    #[tokio::test]
    async fn who_may_not_see_every_namespace_any_more_sees_one_that_they_name() {
        let asked = Arc::new(AtomicUsize::new(0));
        let client = api_server(move |call: Asked| {
            let asked = asked.clone();
            async move {
                if call.is_watch() {
                    std::future::pending::<()>().await;
                }
                if call.path.ends_with("/selfsubjectaccessreviews") {
                    allowed(asked.fetch_add(1, Ordering::SeqCst) == 0)
                } else if call.path.ends_with("/namespaces/shop/bluegreenrollouts") {
                    nothing()
                } else {
                    failure(403, "no")
                }
            }
        });
        let desk = Desk::open(client, "ann".to_owned(), "default");
        let seen = async {
            loop {
                desk.include("shop");
                if desk.rows.ready(Some("shop")).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), seen).await.expect("in time");
    }

    #[test]
    fn what_changed_since_a_version_is_told_once_and_what_is_gone_too() {
        let rows = Rows::new();
        ["a", "b", "c"].into_iter().for_each(|name| rows.put(row(name, "")));
        let (changed, version) = rows.since(0).expect("known");
        assert_eq!(names(&changed), [("a", true), ("b", true), ("c", true)]);
        rows.put(row("a", "new"));
        rows.put(row("a", "newer"));
        rows.put(row("b", ""));
        rows.remove(&row("c", "").key);
        let (changed, version) = rows.since(version).expect("known");
        assert_eq!(names(&changed), [("a", true), ("c", false)], "b says nothing new");
        rows.put(row("c", "again"));
        assert_eq!(names(&rows.since(version).expect("known").0), [("c", true)]);
        assert!(rows.since(version + 2).is_none(), "a version that has not been");
    }

    #[test]
    fn an_hour_of_changes_leaves_nothing_behind() {
        let rows = Rows::new();
        for round in 0..3 * CHANGES_KEPT {
            let row = row(&format!("r{round}"), "");
            rows.put(row.clone());
            rows.remove(&row.key);
            rows.put(self::row("stays", &round.to_string()));
        }
        let known = rows.lock();
        assert_eq!((known.rows.len(), known.gone.len(), known.versions.len()), (1, CHANGES_KEPT, CHANGES_KEPT + 1));
        drop(known);
        assert!(rows.since(1).is_none(), "too long ago");
    }

    #[test]
    fn a_namespace_that_is_asked_for_before_it_is_known_what_may_be_seen_is_watched() {
        let rows = Rows::new();
        assert!(!rows.include("shop").is_to_be_watched, "not yet");
        assert_eq!(rows.lock().answer(Some("shop")), None);
        assert_eq!(rows.begin(Scope::Some, Some(BTreeSet::new())), ["shop"]);
        assert!(!rows.include("shop").is_to_be_watched && rows.include("other").is_to_be_watched);
        rows.set(Some("other"), State::Failed("no".to_owned()));
        rows.set(Some("shop"), State::Ready);
        assert_eq!(rows.lock().answer(Some("other")), Some(Err("no".to_owned())));
        assert_eq!(rows.lock().answer(None), Some(Ok(())), "what may be seen is shown");
        let unwatched = rows.lock().answer(Some("one-too-many"));
        assert_eq!(unwatched, Some(Err(TOO_MANY_NAMESPACES.to_owned())), "nobody is told that there is nothing");
        let rows = Rows::new();
        rows.include("shop");
        assert_eq!(rows.begin(Scope::All, None), [""; 0], "all of them are one watch");
        assert!(!rows.include("other").is_to_be_watched);
    }

    #[test]
    fn a_namespace_that_may_not_be_seen_makes_room_for_one_that_may() {
        let rows = Rows::new();
        rows.begin(Scope::Some, Some(BTreeSet::new()));
        let names: Vec<String> = (0..MOST_NAMESPACES).map(|number| format!("n{number:03}")).collect();
        assert!(names.iter().all(|name| rows.include(name).is_to_be_watched));
        assert_eq!(rows.include("shop"), Included::default(), "all of them may be seen, as far as is known");
        rows.deny(Some("n007"), "no".to_owned());
        let instead_of = Some("n007".to_owned());
        assert_eq!(rows.include("shop"), Included { is_to_be_watched: true, instead_of });
        assert_eq!(rows.lock().answer(Some("shop")), None, "it is being read");
        // What its watch still says does not bring it back.
        rows.deny(Some("n007"), "no".to_owned());
        assert_eq!(rows.lock().states.len(), MOST_NAMESPACES);
        assert_eq!(rows.lock().answer(Some("n007")), Some(Err(TOO_MANY_NAMESPACES.to_owned())));
    }
}

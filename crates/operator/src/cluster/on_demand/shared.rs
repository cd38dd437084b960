//! One watch for all who ask for objects of a kind, by the value of a label. An API server gives a hundred streams to a connection, so
//! with a watch for each question, the hundred and first waits until another one is over.
//!
//! An answer is never older than its question: for a question that has come since it began, the watch begins anew, with a list. While many
//! come, they wait for each other: a release by itself is answered at once, and three hundred at once with a handful of lists.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | the watch fails, or its history is gone | [`Watch`] tries again, with a list where it has to; what was answered stays answered |
//! | it is not allowed | each that has asked is told, in the server's words, until it is |
//! | it hangs, or lags | it lasts for one [`TURN`], and the next one begins with a list |
//! | its list takes longer than that | the next one may take twice as long |
//! | there are more questions than places | those that were looked at longest ago have the next turn, as soon as one leaves; what was seen of the others stays |
//! | one namespace has that many | each namespace has its first place before any has another one, and whose has none begins a turn |
//! | somebody asks for what cannot be a label | it is not asked for: the server would refuse the question of all |
//! | it does not begin, however often it is tried | the server's words are in the status of each rollout that has asked, until it begins |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::api_server::error::in_full;
use crate::cluster::arrived::{Arrived, Watched};
use crate::cluster::cache::Key;
use crate::cluster::scope::Scope;
use crate::cluster::supervise;

/// How long a watch goes on before newcomers are let in: twice as long each time, as long as there are any.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A watch that began and was over sooner than this after the one before had newcomers behind it.
const BUSY: Duration = Duration::from_secs(4);
/// How long a watch lasts.
const TURN: Duration = Duration::from_secs(30);
/// How long a watch lasts that is still at its list.
const LONGEST_TURN: Duration = Duration::from_secs(600);
/// A selector is part of the URL: one for more values than this asks for all that have the label.
pub const LONGEST_SELECTOR: usize = 300;
/// What all questions have to be looked through for is not looked for more often than this.
const AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// The longest value of a label.
const LONGEST_VALUE: usize = 63;
/// So many failures in a row are no moment's any more: with their pauses they take three seconds.
const MANY_FAILURES: u32 = 5;

/// What can be asked for.
pub trait Sought: Watched + Resource<Scope = NamespaceResourceScope> {
    /// The label that it is asked for by.
    const LABEL: &'static str;
    /// What is kept of it.
    type Item: Clone + PartialEq + Send + 'static;

    /// What is kept of it.
    fn items(self) -> Vec<Self::Item>;
}

/// Who is told of a watch that others have asked for.
pub trait Observer: Send + Sync {
    /// Something was seen that this rollout has asked for.
    fn seen(&self, rollout: Key);
    /// The watch of this resource has failed, and is tried again.
    fn interrupted(&self, resource: &str);
    /// Cancelled when the watch is broken for good.
    fn broken(&self) -> &CancellationToken;
}

/// A watch that is shared; it runs as long as anybody asks for anything.
pub struct Shared<K: Sought>(Arc<Inner<K::Item>>);

struct Inner<T> {
    state: Mutex<State<T>>,
    /// Something was asked for, or answered.
    changed: Notify,
}

impl<K: Sought> Shared<K> {
    /// Asks for at most so many values at a time.
    pub fn start(client: Client, scope: Scope, observer: Arc<dyn Observer>, places: usize) -> Shared<K> {
        let inner = Arc::new(Inner { state: Mutex::new(State::new(places)), changed: Notify::new() });
        let what = format!("the shared watch of {}", K::plural(&()));
        let task = run::<K>(inner.clone(), client, scope, observer.clone());
        drop(supervise::forever(observer.broken(), what, task));
        Shared(inner)
    }

    /// From now on this rollout asks for the objects of its namespace whose label has one of these values, and for nothing else.
    pub fn ask(&self, rollout: &Key, values: &BTreeSet<String>) {
        if self.0.state().ask(rollout, values) {
            self.0.changed.notify_one();
        }
    }

    /// What was answered to this rollout so far, by value.
    pub fn seen(&self, rollout: &Key) -> BTreeMap<String, Vec<K::Item>> {
        self.0.state().seen(rollout)
    }

    /// What keeps this rollout from seeing what it has asked for, if somebody has to do something about it.
    pub fn trouble(&self, rollout: &Key) -> Option<String> {
        self.0.state().trouble_of(rollout)
    }

    /// Changes what was seen of an object, as a request of our own was answered: the watch will say the same a little later.
    pub fn amend(&self, topic: &Key, object: &str, change: impl FnMut(&mut K::Item)) {
        let mut state = self.0.state();
        let items = state.topics.get_mut(topic).and_then(|topic| topic.objects.items_of(object));
        items.into_iter().flatten().for_each(change);
    }
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no panic while locked")
    }
}

async fn run<K: Sought>(
    inner: Arc<Inner<K::Item>>,
    client: Client,
    scope: Scope,
    observer: Arc<dyn Observer>,
) -> Infallible {
    let (mut pause, mut lasts, mut failures) = (FIRST_PAUSE, TURN, 0_u32);
    loop {
        // From the end of the one before: after a time of rest nobody waits for anybody.
        let (began, at_least) = (Instant::now(), pause);
        if inner.state().topics.is_empty() {
            // What fails for whoever asks next has not failed in a row with what was before.
            failures = 0;
        }
        inner.until(|state| !state.topics.is_empty()).await;
        let asked = inner.state().begin();
        let api: Api<Arrived<K>> = match the_only_namespace(&asked) {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => scope.api(client.clone()),
        };
        let mut watch = scope.watch(api, watcher::Config::default().labels(&selector(K::LABEL, &asked)));
        let mut turn = Turn { asked, list: Some(HashMap::new()) };
        let asked = turn.asked.clone();
        let is_over = async {
            tokio::time::sleep(at_least).await;
            inner.until(|state| state.topics.is_empty() || state.somebody_waits(&asked)).await;
        };
        let mut is_over = std::pin::pin!(tokio::time::timeout(lasts, is_over));
        loop {
            tokio::select! {
                biased;
                _ = &mut is_over => break,
                event = watch.next() => match event {
                    Ok(event) => {
                        // The beginning of a list is said before anything is asked for.
                        if !matches!(event, Event::Init) {
                            failures = 0;
                        }
                        let woken = inner.state().take(&mut turn, event);
                        woken.into_iter().for_each(|rollout| observer.seen(rollout));
                        inner.changed.notify_one();
                    }
                    Err(error) => {
                        observer.interrupted(&K::plural(&()));
                        tracing::warn!(kind = %K::kind(&()), error = in_full(&error), "watch interrupted");
                        failures = failures.saturating_add(1);
                        if let Some(trouble) = trouble::<K>(&error, failures) {
                            let asking = inner.state().note_trouble(trouble);
                            asking.into_iter().for_each(|rollout| observer.seen(rollout));
                        }
                    }
                },
            }
        }
        // Only a list that nobody waits for may be broken off: the next one would come no further.
        lasts = if turn.list.is_some() { LONGEST_TURN.min(lasts * 2) } else { TURN };
        pause = if began.elapsed() < BUSY { LONGEST_PAUSE.min(pause * 2) } else { FIRST_PAUSE };
    }
}

impl<T> Inner<T> {
    async fn until(&self, is: impl Fn(&State<T>) -> bool) {
        while !is(&self.state()) {
            self.changed.notified().await;
            tokio::time::sleep(AT_MOST_EVERY).await;
        }
    }
}

/// What keeps the operator from seeing these, in the server's words: it does not let it, or has failed so often in a row.
fn trouble<K: Sought>(error: &watcher::Error, failures: u32) -> Option<String> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return None;
    };
    let kind = K::plural(&());
    if [401, 403].contains(&status.code) {
        return Some(format!("the operator may not see {kind}: {}", status.message));
    }
    (failures >= MANY_FAILURES).then(|| format!("the operator cannot see {kind}: {}", status.message))
}

fn the_only_namespace(topics: &BTreeSet<Key>) -> Option<&str> {
    // They are sorted.
    let (first, last) = (topics.first()?, topics.last()?);
    (first.namespace == last.namespace).then_some(&first.namespace)
}

fn selector(label: &str, topics: &BTreeSet<Key>) -> String {
    let values: BTreeSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    if values.len() > LONGEST_SELECTOR {
        return label.to_owned();
    }
    let values: Vec<&str> = values.into_iter().collect();
    format!("{label} in ({})", values.join(","))
}

/// What is asked for, and what was seen of it.
struct State<T> {
    /// By namespace and value.
    topics: HashMap<Key, Topic<T>>,
    /// The values that each rollout asks for.
    by_rollout: HashMap<Key, Box<[String]>>,
    /// The topic that each object is kept in.
    places_of: HashMap<Key, Key>,
    /// How many topics a watch may have.
    places: usize,
    /// What keeps the watch from beginning, until it has.
    trouble: Option<String>,
}

/// The objects that have one value of the label, and who asks for them. There may be thousands of topics at a time, so each is small: most have one
/// asker and one or two objects, and a B-tree takes half a kilobyte for its first entry.
struct Topic<T> {
    askers: Vec<(Key, Answer)>,
    objects: Objects<T>,
    /// How many turns it has waited since it last had one.
    waited: u32,
}

/// The objects of a topic, with what is kept of each, in the order of their names.
#[derive(PartialEq)]
struct Objects<T>(Vec<(String, Vec<T>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No list that has begun since is under way.
    Waits,
    /// A list is.
    Listing,
    /// What was seen is not older than the question.
    Given,
}

/// A watch from its beginning.
struct Turn<T> {
    /// What it is about.
    asked: BTreeSet<Key>,
    /// The list that is under way.
    list: Option<HashMap<Key, Objects<T>>>,
}

impl<T: Clone + PartialEq> State<T> {
    fn new(places: usize) -> State<T> {
        let (topics, by_rollout, places_of) = (HashMap::new(), HashMap::new(), HashMap::new());
        State { topics, by_rollout, places_of, places, trouble: None }
    }

    /// The watch cannot begin. Returns who has asked for anything and does not know of that: of what was answered before no change is seen either.
    fn note_trouble(&mut self, trouble: String) -> BTreeSet<Key> {
        if self.trouble.as_ref() == Some(&trouble) {
            return BTreeSet::new();
        }
        self.trouble = Some(trouble);
        self.by_rollout.keys().cloned().collect()
    }

    fn trouble_of(&self, rollout: &Key) -> Option<String> {
        if self.by_rollout.contains_key(rollout) { self.trouble.clone() } else { None }
    }

    /// Returns whether anything was changed by that.
    fn ask(&mut self, rollout: &Key, values: &BTreeSet<String>) -> bool {
        if self.by_rollout.is_empty() {
            // Nobody has asked until now: what was in the way then, maybe long ago, is not told.
            self.trouble = None;
        }
        let before = self.by_rollout.remove(rollout).unwrap_or_default();
        let values: Box<[String]> = values.iter().filter(|value| is_value(value)).cloned().collect();
        for value in before.iter().filter(|value| !values.contains(value)) {
            let topic = rollout.sibling(value);
            let Some(left) = self.topics.get_mut(&topic) else { continue };
            left.askers.retain(|(asker, _)| asker != rollout);
            if left.askers.is_empty() {
                let left = self.topics.remove(&topic);
                left.iter().flat_map(|left| left.objects.names()).for_each(|object| {
                    self.places_of.remove(&topic.sibling(object));
                });
            }
        }
        for value in values.iter().filter(|value| !before.contains(value)) {
            // Who is new has the next turn.
            let new = || Topic { askers: Vec::with_capacity(1), objects: Objects::default(), waited: u32::MAX };
            let topic = self.topics.entry(rollout.sibling(value)).or_insert_with(new);
            topic.askers.push((rollout.clone(), Answer::Waits));
        }
        let changed = before != values;
        if !values.is_empty() {
            self.by_rollout.insert(rollout.clone(), values);
        }
        changed
    }

    fn seen(&self, rollout: &Key) -> BTreeMap<String, Vec<T>> {
        let values = self.by_rollout.get(rollout).into_iter().flatten();
        let seen = values.filter_map(|value| {
            let topic = self.topics.get(&rollout.sibling(value))?;
            let is_given = topic.answered().any(|asker| asker == rollout);
            is_given.then(|| (value.clone(), topic.objects.items().cloned().collect()))
        });
        seen.collect()
    }

    /// Begins a turn. Returns what it is about.
    fn begin(&mut self) -> BTreeSet<Key> {
        let mut queue: Vec<(u32, Key)> =
            self.topics.iter().map(|(key, topic)| (u32::MAX - topic.waited, key.clone())).collect();
        queue.sort();
        let mut of_namespace: HashMap<String, usize> = HashMap::new();
        let mut queue: Vec<(usize, Key)> = queue
            .into_iter()
            .map(|(_, key)| {
                let number = of_namespace.entry(key.namespace.clone()).or_default();
                *number += 1;
                (*number, key)
            })
            .collect();
        // Among those with the same number the order is as it was.
        queue.sort_by_key(|(number, _)| *number);
        let asked: BTreeSet<Key> = queue.into_iter().take(self.places).map(|(_, key)| key).collect();
        for (key, topic) in &mut self.topics {
            let has_a_place = asked.contains(key);
            topic.waited = if has_a_place { 0 } else { topic.waited.saturating_add(1) };
            let next = if has_a_place { Answer::Listing } else { Answer::Waits };
            for (_, answer) in topic.askers.iter_mut().filter(|(_, answer)| *answer != Answer::Given) {
                *answer = next;
            }
        }
        asked
    }

    /// Somebody came after the list of this turn, which is over, and there is a place.
    fn somebody_waits(&self, asked: &BTreeSet<Key>) -> bool {
        let is_listing = |topic: &Topic<T>| topic.askers.iter().any(|(_, answer)| *answer == Answer::Listing);
        // Whoever knows enough has left, and made room.
        let is_room = asked.iter().filter(|key| self.topics.contains_key(key)).count() < self.places;
        let namespaces: BTreeSet<&str> = asked.iter().map(|key| key.namespace.as_str()).collect();
        let may_have_one = |key: &Key| namespaces.len() < self.places && !namespaces.contains(key.namespace.as_str());
        let waits = |(key, topic): (&Key, &Topic<T>)| {
            let has_a_place = asked.contains(key) || is_room || may_have_one(key);
            has_a_place && topic.askers.iter().any(|(_, answer)| *answer == Answer::Waits)
        };
        !self.topics.values().any(is_listing) && self.topics.iter().any(waits)
    }

    /// Takes note of what a watch says. Returns who is to know of it.
    fn take<K: Sought<Item = T>>(&mut self, turn: &mut Turn<T>, event: Event<Arrived<K>>) -> BTreeSet<Key> {
        // The beginning of a list is said before anything is asked for.
        let is_seen_again = !matches!(event, Event::Init) && self.trouble.take().is_some();
        let mut woken = match event {
            Event::Init => {
                turn.list = Some(HashMap::new());
                BTreeSet::new()
            }
            Event::InitApply(arrived) => {
                if let (Some(list), Some((topic, name, items))) = (&mut turn.list, place(arrived))
                    && turn.asked.contains(&topic)
                {
                    list.entry(topic).or_default().put(name, items);
                }
                BTreeSet::new()
            }
            Event::InitDone => self.listed(&turn.asked, turn.list.take().unwrap_or_default()),
            Event::Apply(arrived) => {
                let (key, placed) = (arrived.key(), place(arrived));
                let topic = placed.as_ref().map(|(topic, ..)| topic.clone());
                // It may have had another value before.
                let mut woken = self.remove(&key, topic.as_ref());
                if let Some((at, name, items)) = placed
                    && let Some(topic) = self.topics.get_mut(&at)
                    && topic.objects.put(name, items)
                {
                    woken.extend(topic.answered().cloned());
                    self.places_of.insert(key.clone(), at.clone());
                }
                woken
            }
            Event::Delete(arrived) => self.remove(&arrived.key(), None),
        };
        if is_seen_again {
            woken.extend(self.by_rollout.keys().cloned());
        }
        woken
    }

    fn listed(&mut self, asked: &BTreeSet<Key>, mut list: HashMap<Key, Objects<T>>) -> BTreeSet<Key> {
        let mut woken = BTreeSet::new();
        for key in asked {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            let objects = list.remove(key).unwrap_or_default();
            for gone in topic.objects.names().filter(|name| objects.place(name).is_err()) {
                self.places_of.remove(&key.sibling(gone));
            }
            self.places_of.extend(objects.names().map(|name| (key.sibling(name), key.clone())));
            if topic.objects != objects {
                topic.objects = objects;
                woken.extend(topic.answered().cloned());
            }
            for (rollout, answer) in topic.askers.iter_mut().filter(|(_, answer)| *answer == Answer::Listing) {
                *answer = Answer::Given;
                woken.insert(rollout.clone());
            }
        }
        woken
    }

    /// Forgets an object, but not in this topic.
    fn remove(&mut self, object: &Key, except: Option<&Key>) -> BTreeSet<Key> {
        let Some(at) = self.places_of.get(object).filter(|at| Some(*at) != except).cloned() else {
            return BTreeSet::new();
        };
        self.places_of.remove(object);
        if let Some(topic) = self.topics.get_mut(&at)
            && topic.objects.remove(&object.name)
        {
            return topic.answered().cloned().collect();
        }
        BTreeSet::new()
    }
}

impl<T> Topic<T> {
    /// Those that know the answer, and are told when it changes.
    fn answered(&self) -> impl Iterator<Item = &Key> {
        self.askers.iter().filter(|(_, answer)| *answer == Answer::Given).map(|(rollout, _)| rollout)
    }
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Objects(Vec::new())
    }
}

impl<T> Objects<T> {
    /// Where the object of this name is, or would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn items(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|(_, items)| items)
    }

    fn items_of(&mut self, name: &str) -> Option<&mut Vec<T>> {
        let place = self.place(name).ok()?;
        Some(&mut self.0[place].1)
    }

    /// Puts an object there, or what is new of it. Returns whether anything is.
    fn put(&mut self, name: String, items: Vec<T>) -> bool
    where
        T: PartialEq,
    {
        match self.place(&name) {
            Ok(place) if self.0[place].1 == items => return false,
            Ok(place) => self.0[place].1 = items,
            Err(place) => {
                // A list has room for four with its first element.
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(place, (name, items));
            }
        }
        true
    }

    /// Takes the object of this name away. Returns whether it was there.
    fn remove(&mut self, name: &str) -> bool {
        let Ok(place) = self.place(name) else { return false };
        self.0.remove(place);
        true
    }
}

/// The topic of an object, its name, and what is kept of it. One that cannot be read at all has no topic.
fn place<K: Sought>(arrived: Arrived<K>) -> Option<(Key, String, Vec<K::Item>)> {
    let key = arrived.key();
    let object = match arrived {
        Arrived::Readable(object) => object,
        Arrived::Unreadable(unreadable, outline) => {
            tracing::warn!(kind = %K::kind(&()), object = %key, unreadable.error, "cannot be read");
            outline?
        }
    };
    let topic = key.sibling(object.labels().get(K::LABEL)?);
    Some((topic, key.name, object.items()))
}

/// What Kubernetes takes for the value of a label, and more strictly so: each of these is the name of something, too.
fn is_value(value: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = [value.chars().next(), value.chars().next_back()];
    value.len() <= LONGEST_VALUE
        && ends.iter().all(|end| end.is_some_and(is_part))
        && value.chars().all(|c| is_part(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::super::pod::PodView;
    use super::super::slice::SliceView;
    use super::*;
    use crate::allocated::held;
    use crate::api_server::fake::{Asked, api_server, failure};
    use greenlight_core::world::Endpoint;

    fn key(name: &str) -> Key {
        Key { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn values(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn state(places: usize) -> State<Endpoint> {
        State::new(places)
    }

    fn turn(state: &mut State<Endpoint>) -> Turn<Endpoint> {
        Turn { asked: state.begin(), list: None }
    }

    fn slice(service: &str, pod: &str) -> Arrived<SliceView> {
        let object = json!({
            "metadata": {
                "name": format!("{service}-abc"), "namespace": "shop", "resourceVersion": "1",
                "labels": {"kubernetes.io/service-name": service},
            },
            "endpoints": [{"conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": pod}}],
        });
        read(&object)
    }

    fn read(object: &Value) -> Arrived<SliceView> {
        serde_json::from_str(&object.to_string()).expect("arrived")
    }

    /// A list with these slices; who is woken by it.
    fn list(state: &mut State<Endpoint>, turn: &mut Turn<Endpoint>, slices: &[Arrived<SliceView>]) -> BTreeSet<Key> {
        state.take::<SliceView>(turn, Event::Init);
        for slice in slices {
            state.take(turn, Event::InitApply(slice.clone()));
        }
        state.take::<SliceView>(turn, Event::InitDone)
    }

    fn pods(state: &State<Endpoint>, rollout: &str) -> Option<Vec<String>> {
        let seen = state.seen(&key(rollout)).into_values().next()?;
        Some(seen.into_iter().map(|endpoint| endpoint.pod).collect())
    }

    /// Bytes that are kept of each of many objects, with the question that each has to itself; and how many arrived.
    fn kept_of_each<K: Sought>(rest: &Value) -> (u64, usize) {
        const OBJECTS: usize = 1_000;
        let value = |number: usize| format!("v{number}");
        let text = |number: usize| {
            let mut object = rest.clone();
            object["metadata"] = json!({
                "name": format!("web-{number}-abcde"), "namespace": "shop", "resourceVersion": "1234567890",
                "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e", "creationTimestamp": "2026-11-23T23:04:43Z",
                "labels": {K::LABEL: value(number), "app.kubernetes.io/name": "web"},
                "annotations": {"note": "x".repeat(2_000)},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": true,
                    "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                }],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:note": "x".repeat(2_000)}}}],
            });
            object.to_string()
        };
        let length = text(0).len();
        let before = held();
        let mut state = State::<K::Item>::new(usize::MAX);
        for number in 0..OBJECTS {
            state.ask(&key(&format!("web-{number}")), &values(&[&value(number)]));
        }
        let mut turn = Turn { asked: state.begin(), list: None };
        state.take::<K>(&mut turn, Event::Init);
        for number in 0..OBJECTS {
            let arrived: Arrived<K> = serde_json::from_str(&text(number)).expect("arrived");
            state.take(&mut turn, Event::InitApply(arrived));
        }
        state.take::<K>(&mut turn, Event::InitDone);
        drop(turn);
        let kept = (held() - before) / OBJECTS as u64;
        assert_eq!(state.seen(&key("web-7"))[&value(7)].len(), 1, "it is there");
        println!("{}: {kept} bytes of {length}", K::kind(&()));
        (kept, length)
    }

    #[test]
    fn of_pods_and_endpoints_no_more_is_kept_than_a_plan_asks_for() {
        let containers: Vec<Value> = (0..2)
            .map(|number| json!({"name": format!("c{number}"), "image": "shop/web:1.2.3", "args": ["x".repeat(1_000)]}))
            .collect();
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image shop/web"}});
        let pod = json!({
            "spec": {"containers": containers, "nodeName": "node-1"},
            "status": {
                "phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "web", "ready": false, "state": waiting, "imageID": "x".repeat(500)}],
            },
        });
        let endpoint = json!({
            "addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "node-1", "zone": "x".repeat(500),
            "targetRef": {"kind": "Pod", "name": "web-abcde", "namespace": "shop", "uid": "x".repeat(36)},
        });
        let slice = json!({"addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [endpoint]});
        for (kept, length) in [kept_of_each::<PodView>(&pod), kept_of_each::<SliceView>(&slice)] {
            assert!(length > 4_500 && kept < 2_000, "{kept} bytes of {length}");
        }
    }

    /// Ten thousand may be promoted at once, and each waits for its proof.
    #[test]
    fn of_whoever_waits_for_an_answer_little_is_kept() {
        let (waiting, before) = (1_000, held());
        let mut state = state(300);
        for number in 0..waiting {
            state.ask(&key(&format!("web-{number}")), &values(&[&format!("active-{number}")]));
        }
        let each = (held() - before) / waiting;
        println!("{each} bytes each");
        assert!(each < 900, "{each} bytes each");
    }

    #[test]
    fn no_answer_is_older_than_its_question() {
        let mut state = state(usize::MAX);
        state.ask(&key("a"), &values(&["active"]));
        let mut first = turn(&mut state);
        // Another one asks for the same while the list is under way, and after it.
        state.ask(&key("b"), &values(&["active"]));
        assert!(!state.somebody_waits(&first.asked), "first the list");
        assert_eq!(list(&mut state, &mut first, &[slice("active", "v1")]), [key("a")].into());
        assert_eq!((pods(&state, "a"), pods(&state, "b")), (Some(vec!["v1".to_owned()]), None));
        // It moves, and moves back: what is asked a second time is another question.
        state.ask(&key("a"), &values(&[]));
        state.ask(&key("a"), &values(&["active"]));
        assert_eq!(pods(&state, "a"), None);
        assert!(state.take(&mut first, Event::Apply(slice("active", "v2"))).is_empty(), "nobody is to know of it yet");
        assert!(state.somebody_waits(&first.asked));
        let mut second = turn(&mut state);
        assert_eq!(list(&mut state, &mut second, &[slice("active", "v3")]), [key("a"), key("b")].into());
        assert_eq!(pods(&state, "b"), Some(vec!["v3".to_owned()]));
        assert!(!state.somebody_waits(&second.asked));
    }

    #[test]
    fn what_is_not_there_is_an_answer_and_what_goes_is_told() {
        let mut state = state(usize::MAX);
        state.ask(&key("a"), &values(&["active"]));
        let mut turn = turn(&mut state);
        assert_eq!(list(&mut state, &mut turn, &[]), [key("a")].into());
        assert_eq!(pods(&state, "a"), Some(vec![]));
        assert_eq!(state.take(&mut turn, Event::Apply(slice("active", "v1"))), [key("a")].into());
        assert!(state.take(&mut turn, Event::Apply(slice("active", "v1"))).is_empty(), "the same again");
        assert_eq!(state.take(&mut turn, Event::Delete(slice("active", "v1"))), [key("a")].into());
        assert_eq!(pods(&state, "a"), Some(vec![]));
        // The history was gone, and the list shows what is.
        assert_eq!(list(&mut state, &mut turn, &[slice("active", "v2")]), [key("a")].into());
        // It is another Service's now.
        let mut moved = slice("active", "v2");
        moved.meta_mut().labels = Some([("kubernetes.io/service-name".to_owned(), "other".to_owned())].into());
        assert_eq!(state.take(&mut turn, Event::Apply(moved)), [key("a")].into());
        assert_eq!(pods(&state, "a"), Some(vec![]));
    }

    #[test]
    fn where_there_are_more_questions_than_places_each_has_its_turn() {
        let mut state = state(2);
        for number in 0..5 {
            state.ask(&key(&format!("web-{number}")), &values(&[&format!("hash-{number}")]));
        }
        let mut looked_at = BTreeSet::new();
        for _ in 0..3 {
            let mut turn = turn(&mut state);
            assert_eq!(turn.asked.len(), 2);
            looked_at.extend(turn.asked.clone());
            list(&mut state, &mut turn, &[]);
            assert!(!state.somebody_waits(&turn.asked), "those without a place wait for the end of the turn");
        }
        assert_eq!(looked_at.len(), 5);
        assert!((0..5).all(|number| pods(&state, &format!("web-{number}")).is_some()), "what was seen stays");
        state.ask(&key("new"), &values(&["new"]));
        assert!(state.begin().contains(&key("new")), "who is new is first");
    }

    #[test]
    fn a_namespace_that_has_all_places_keeps_no_other_waiting() {
        let mut state = state(3);
        for number in 0..10 {
            state.ask(&key(&format!("web-{number}")), &values(&[&format!("hash-{number}")]));
        }
        let mut first = turn(&mut state);
        list(&mut state, &mut first, &[]);
        let other = Key { namespace: "bank".to_owned(), name: "web".to_owned() };
        state.ask(&other, &values(&["hash"]));
        assert!(state.somebody_waits(&first.asked), "it has the next turn, and at once");
        for _ in 0..4 {
            let mut turn = turn(&mut state);
            assert!(turn.asked.contains(&other.sibling("hash")) && turn.asked.len() == 3, "{:?}", turn.asked);
            list(&mut state, &mut turn, &[]);
            assert!(!state.somebody_waits(&turn.asked), "and nobody else interrupts it");
        }
        assert!((0..10).all(|number| pods(&state, &format!("web-{number}")).is_some()), "each had its turn");
    }

    #[test]
    fn who_knows_enough_makes_room_within_the_turn() {
        let mut state = state(2);
        for name in ["a", "b", "c"] {
            state.ask(&key(name), &values(&[name]));
        }
        let mut first = turn(&mut state);
        list(&mut state, &mut first, &[slice("a", "v1"), slice("b", "v1")]);
        assert!(!state.somebody_waits(&first.asked), "both places are taken");
        state.ask(&key("a"), &values(&[]));
        assert!(state.somebody_waits(&first.asked), "c has a place");
        let mut second = turn(&mut state);
        assert_eq!(second.asked, [key("b"), key("c")].into());
        list(&mut state, &mut second, &[slice("c", "v1")]);
        assert_eq!(pods(&state, "c"), Some(vec!["v1".to_owned()]));
        assert_eq!(pods(&state, "b"), Some(vec![]), "its slice is gone");
        state.ask(&key("b"), &values(&[]));
        state.ask(&key("c"), &values(&[]));
        assert!(state.places_of.is_empty(), "{:?}", state.places_of);
    }

    #[test]
    fn what_may_not_be_seen_is_told_to_whoever_waits_until_it_may() {
        let mut state = state(usize::MAX);
        state.ask(&key("a"), &values(&["a"]));
        let mut first = turn(&mut state);
        list(&mut state, &mut first, &[]);
        state.ask(&key("b"), &values(&["b"]));
        let mut second = turn(&mut state);
        state.take::<SliceView>(&mut second, Event::Init);
        let both: BTreeSet<Key> = [key("a"), key("b")].into();
        assert_eq!(state.note_trouble("forbidden".to_owned()), both, "a had an answer, and sees no change of it");
        assert_eq!(state.note_trouble("forbidden".to_owned()), [].into(), "once");
        state.take::<SliceView>(&mut second, Event::Init);
        let told = ["a", "b", "c"].map(|name| state.trouble_of(&key(name)).is_some());
        assert_eq!(told, [true, true, false], "c asks for nothing");
        assert_eq!(list(&mut state, &mut second, &[]), both, "it is over for both");
        assert_eq!((state.trouble_of(&key("b")), state.trouble.clone()), (None, None));
    }

    #[test]
    fn nobody_spoils_the_question_of_all() {
        let mut state = state(usize::MAX);
        let long = "x".repeat(64);
        state.ask(&key("a"), &values(&["web", "Web", "a,b", "a) b", "", "-a", "a-", "a.b", &long]));
        assert_eq!(selector("label", &state.begin()), "label in (web)");
        assert_eq!(the_only_namespace(&state.begin()), Some("shop"));
        let many: Vec<String> = (0..=LONGEST_SELECTOR).map(|number| format!("web-{number}")).collect();
        state.ask(&key("a"), &many.into_iter().collect());
        let other = Key { namespace: "bank".to_owned(), name: "b".to_owned() };
        state.ask(&other, &values(&["web"]));
        assert_eq!(selector("label", &state.begin()), "label");
        assert_eq!(the_only_namespace(&state.begin()), None);
    }

    #[test]
    fn a_slice_that_cannot_be_read_proves_nothing() {
        let mut state = state(usize::MAX);
        state.ask(&key("a"), &values(&["active"]));
        let mut turn = turn(&mut state);
        let mut object = json!({
            "metadata": {
                "name": "forged", "namespace": "shop", "resourceVersion": "1",
                "labels": {"kubernetes.io/service-name": "active"},
            },
            "endpoints": [{"conditions": {"ready": "perhaps"}}],
        });
        list(&mut state, &mut turn, &[read(&object), slice("active", "v1")]);
        let seen = pods(&state, "a").expect("seen");
        assert_eq!(seen, ["v1", "of EndpointSlice forged, which cannot be read"]);
        object["endpoints"] = Value::Null;
        state.take(&mut turn, Event::Apply(read(&object)));
        assert_eq!(pods(&state, "a"), Some(vec!["v1".to_owned()]));
    }

    #[test]
    fn what_failed_when_the_last_asker_had_left_is_not_told_to_the_next_one() {
        let mut state = state(10);
        state.ask(&key("a"), &values(&["active"]));
        state.ask(&key("a"), &BTreeSet::new());
        assert!(state.note_trouble("no time for this".to_owned()).is_empty(), "nobody asks");
        state.ask(&key("b"), &values(&["active"]));
        assert_eq!(state.trouble_of(&key("b")), None, "it was not tried since");
        state.note_trouble("no time for this".to_owned());
        state.ask(&key("b"), &values(&["active", "preview"]));
        assert!(state.trouble_of(&key("b")).is_some(), "it was");
    }

    struct Nobody(CancellationToken);

    impl Observer for Nobody {
        fn seen(&self, _: Key) {}
        fn interrupted(&self, _: &str) {}
        fn broken(&self) -> &CancellationToken {
            &self.0
        }
    }

    /// A proxy that has no time for watches, say. No switch is proven meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_again_and_again_is_told_within_seconds_and_until_it_begins() {
        let is_busy = Arc::new(AtomicBool::new(true));
        let busy = is_busy.clone();
        let client = api_server(move |Asked { query, .. }| {
            std::future::ready(if busy.load(Ordering::Relaxed) {
                failure(503, "no time for this")
            } else if query.contains("sendInitialEvents") {
                failure(400, "sendInitialEvents is forbidden")
            } else if query.contains("watch=true") {
                failure(410, "Expired")
            } else {
                (200, json!({"metadata": {"resourceVersion": "9"}, "items": []}))
            })
        });
        let observer = Arc::new(Nobody(CancellationToken::new()));
        let shared = Shared::<SliceView>::start(client, Scope::default(), observer, 10);
        shared.ask(&key("a"), &values(&["active"]));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(shared.trouble(&key("a")), None, "it may be over soon");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let told = shared.trouble(&key("a")).expect("it is told");
        assert_eq!(told, "the operator cannot see endpointslices: no time for this");
        shared.ask(&key("a"), &BTreeSet::new());
        shared.ask(&key("a"), &values(&["active"]));
        assert_eq!(shared.trouble(&key("a")), None, "it was not tried since");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(shared.trouble(&key("a")).is_some(), "it was");
        is_busy.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(shared.seen(&key("a")).contains_key("active"), "it is answered");
        assert_eq!(shared.trouble(&key("a")), None);
    }

    /// An API server that is slow, and does not stream lists.
    #[tokio::test(start_paused = true)]
    async fn a_list_that_takes_longer_than_a_turn_is_finished_all_the_same() {
        const PAGES: usize = 100;
        let client = api_server(|Asked { query, .. }| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if query.contains("sendInitialEvents") {
                return failure(400, "sendInitialEvents is forbidden");
            }
            if query.contains("watch=true") {
                std::future::pending::<()>().await;
            }
            let page = query.split('&').find_map(|part| part.strip_prefix("continue=")?.parse().ok()).unwrap_or(1);
            let next = if page < PAGES { (page + 1).to_string() } else { String::new() };
            let metadata = json!({
                "name": format!("active-{page}"), "namespace": "shop", "resourceVersion": "1",
                "labels": {"kubernetes.io/service-name": "active"},
            });
            let items = json!([{"metadata": metadata, "endpoints": [{"targetRef": {"kind": "Pod", "name": "v1"}}]}]);
            (200, json!({"metadata": {"resourceVersion": "9", "continue": next}, "items": items}))
        });
        let observer = Arc::new(Nobody(CancellationToken::new()));
        let shared = Shared::<SliceView>::start(client, Scope::default(), observer, 10);
        shared.ask(&key("a"), &values(&["active"]));
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Some(seen) = shared.seen(&key("a")).get("active") {
                assert_eq!(seen.len(), PAGES);
                return;
            }
        }
        panic!("it is never answered");
    }
}

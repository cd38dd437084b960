//! Who is next: what moves traffic before what follows it, both before what begins something, and nobody waits for ever.
//!
//! What wakes a key up cannot tell how urgent it is; only a plan can. So each key that is woken is taken for one that moves traffic, and
//! looked at, which takes no request; and whoever finds that others come first lets them ([`Turn::gives_way`]). What does move traffic
//! gives way to nobody once it has its turn.
//!
//! Namespaces take turns: the first key of each comes before the second of any.
//!
//! First deployments that have begun are finished before more are begun: when the controllers of Kubernetes have [`IN_FLIGHT`] of them
//! before them, the next one waits until one of these has landed. Of ten thousand that are begun at once, all would be finished last.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | a key is woken a thousand times while it waits | it waits once, and is looked at anew |
//! | it has let others go first, and is woken | it is looked at anew: it may be urgent now. If it is not, it has the place that it had |
//! | it has let others go first, and its time comes | the same |
//! | it is woken while it is worked on | it waits when that is over, unless that work has looked at it once more since ([`Turn::looks`]) |
//! | what is urgent never ends | one of eight pieces of work goes to the class that has waited longest, and that one gives way to nobody; who only looks counts as an eighth of one ([`OLDEST`]) |
//! | a namespace has thousands of keys | another one's come in between |
//! | a namespace has its share of what is under way | what else it has waits, and nobody gives way to that |
//! | what has begun never lands | it counts for [`LONGEST_FLIGHT`] |
//! | a hundred never land | others begin all the same, one every [`TRICKLE`] |
//! | its pods take their time to start | it does not count meanwhile |
//! | nobody works | nothing is kept: who begins to work looks at everything |
//! | its namespace is another instance's from now on | it is dropped when its turn comes |

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use greenlight_core::Urgency;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api_server::leadership::Leadership;
use crate::cluster::cache::Key;

/// A turn goes by age alone when it and those since the last one that did weigh so much.
const OLDEST: u64 = 8 * WORK;
/// What a turn weighs.
const WORK: u64 = 8;
/// What one weighs that only found that others come first. It takes no request. There are two or three for each piece of work, so if they counted as much,
/// every third piece of work would go by age.
const LOOK: u64 = 1;
/// How many first deployments may wait for the controllers of Kubernetes before no more are begun. These create some ten to a hundred
/// pods a second: a hundred rollouts keep them busy, and land within seconds.
const IN_FLIGHT: usize = 100;
/// Who does not land within this time is not waited for any more.
const LONGEST_FLIGHT: Duration = Duration::from_secs(60);
/// How long until another one is begun, however many are in flight.
const TRICKLE: Duration = Duration::from_millis(500);

/// The order of keys that wait, or will.
#[derive(Clone, Debug)]
pub struct Schedule(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    leadership: Leadership,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// Counts keys as they come, so that among equals the first is first.
    arrivals: u64,
    /// What the turns since the last one that went by age weigh.
    weight: u64,
    places: HashMap<Key, Place>,
    /// Those that wait, each namespace's in a line of its own for each urgency.
    lines: HashMap<(Urgency, String), BTreeMap<Rank, Key>>,
    /// The first of each line, with its namespace.
    firsts: BTreeMap<Rank, String>,
    /// The round that each urgency is in.
    rounds: HashMap<Urgency, u64>,
    waiting: usize,
    later: BTreeMap<(Instant, u64), Key>,
    flights: Flights,
    /// When something may be begun that could not be at the last look.
    held_until: Option<Instant>,
}

/// Who comes first: the first of these, of equals the first of the next, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    urgency: Urgency,
    /// In which round of all namespaces it has its turn.
    round: u64,
    arrival: u64,
}

/// Where a key is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It waits: with this rank; to be looked at before its turn comes, perhaps; and with the rank that it had before it was woken.
    Waits {
        rank: Rank,
        later: Option<Later>,
        kept: Option<Rank>,
    },
    Rests(Later),
    /// It has its turn: to be looked at then, when that is over; with the rank that it had; and whether anything is done in this turn, which then is
    /// more than a look.
    Running {
        again: Option<Instant>,
        kept: Option<Rank>,
        works: bool,
    },
}

/// What became of a turn.
struct Turned {
    /// When to look at the key by now.
    woken: Option<Instant>,
    /// The rank that it had.
    kept: Option<Rank>,
    /// Something was done.
    worked: bool,
}

/// When to look at a key. Times may be equal.
type Later = (Instant, u64);

/// First deployments that have begun.
#[derive(Debug, Default)]
struct Flights {
    /// Since when.
    since: HashMap<Key, Instant>,
    /// Those that the controllers of Kubernetes have before them, and that are waited for; the first to take off first.
    awaited: BTreeSet<(Instant, Key)>,
    last_beginning: Option<Instant>,
}

impl Schedule {
    /// Of keys that this instance may work on.
    pub fn new(leadership: Leadership) -> Schedule {
        Schedule(Arc::new(Inner { leadership, state: Mutex::default(), changed: Notify::default() }))
    }

    /// Whose keys they are.
    pub fn leadership(&self) -> &Leadership {
        &self.0.leadership
    }

    /// From now on keys are kept.
    pub fn open(&self) {
        self.state().open = true;
    }

    /// Look at this key now, if this instance works on its namespace.
    pub fn now(&self, key: Key) {
        if !self.0.leadership.takes_work(&key.namespace) {
            return;
        }
        let mut state = self.state();
        if state.open {
            state.look_at(key, Instant::now());
            self.0.changed.notify_one();
        }
    }

    /// Returns when something has changed that [`Schedule::take`] may answer otherwise to, or the time of a key has come.
    pub async fn changed(&self) {
        let next = self.state().next_time();
        let time = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.0.changed.notified() => {}
            () = time => {}
        }
    }

    /// Takes who is next, of the namespaces that may be worked on. It is worked on until it is [`Schedule::done`].
    pub fn take(&self, may: impl Fn(&str) -> bool) -> Option<(Key, Turn)> {
        let mut state = self.state();
        let now = Instant::now();
        state.come_of_time(now);
        let may_begin_at = state.flights.may_begin_at(now);
        let is_held = |urgency| urgency == Urgency::FirstDeployment && may_begin_at > now;
        let by_age = state.weight + WORK >= OLDEST;
        let first = |urgency: Urgency| {
            let mut firsts = state.firsts.range(Rank::all_of(urgency));
            firsts.find(|(_, namespace)| may(namespace)).map(|(rank, _)| *rank)
        };
        let held = Urgency::ALL.into_iter().filter(|urgency| is_held(*urgency)).find_map(first);
        let mut firsts = Urgency::ALL.into_iter().filter(|urgency| !is_held(*urgency)).filter_map(first);
        let next = if by_age { firsts.min_by_key(|rank| rank.arrival) } else { firsts.next() };
        state.held_until = held.map(|_| may_begin_at);
        let rank = next?;
        let passed_over = if by_age {
            HashSet::new()
        } else {
            let before = state.firsts.range(..rank).map(|(_, namespace)| namespace);
            before.filter(|namespace| !may(namespace)).cloned().collect()
        };
        let namespace = state.firsts[&rank].clone();
        let key = state.leave(rank, &namespace);
        let round = state.rounds.entry(rank.urgency).or_default();
        *round = (*round).max(rank.round);
        let may_begin = rank.urgency == Urgency::FirstDeployment;
        if may_begin {
            state.flights.last_beginning = Some(now);
        }
        let (later, kept) = match state.places.get(&key) {
            Some(Place::Waits { later, kept, .. }) => (*later, *kept),
            _ => (None, None),
        };
        later.map(|later| state.later.remove(&later));
        state.places.insert(key.clone(), Place::Running { again: None, kept: kept.or(Some(rank)), works: false });
        state.weight = if by_age { 0 } else { state.weight + WORK };
        Some((key.clone(), Turn { schedule: self.clone(), key, by_age, may_begin, passed_over }))
    }

    /// Work on a key is over, and it is to be looked at again then, if it was not woken meanwhile.
    pub fn done(&self, key: Key, again: Option<Instant>) {
        let mut state = self.state();
        let Turned { woken, .. } = state.release(&key);
        if let Some(at) = again.into_iter().chain(woken).min() {
            state.look_at(key, at);
        }
        self.0.changed.notify_one();
    }

    /// A key lets others go first. It is to be looked at again then, if its turn does not come before.
    pub fn yielded(&self, key: Key, urgency: Urgency, again: Option<Instant>) {
        let mut state = self.state();
        let Turned { woken, kept, worked } = state.release(&key);
        if !worked {
            state.weight = state.weight.saturating_sub(WORK - LOOK);
        }
        let rank = state.rank(urgency, &key.namespace, kept);
        state.enter(key.clone(), rank, None);
        if let Some(at) = again.into_iter().chain(woken).min() {
            state.look_at(key, at);
        }
        self.0.changed.notify_one();
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.state().waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while locked")
    }

    /// How many are kept, in whatever place.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.state().places.len()
    }
}

impl Rank {
    fn all_of(urgency: Urgency) -> RangeInclusive<Rank> {
        let end = |number| Rank { urgency, round: number, arrival: number };
        end(0)..=end(u64::MAX)
    }
}

impl State {
    /// A key is to be looked at then, or before.
    fn look_at(&mut self, key: Key, at: Instant) {
        let is_due = at <= Instant::now();
        let (before, kept) = match self.places.get(&key).copied() {
            None => (None, None),
            Some(Place::Running { again, kept, works }) => {
                let again = Some(again.map_or(at, |known| known.min(at)));
                self.places.insert(key, Place::Running { again, kept, works });
                return;
            }
            Some(Place::Waits { rank, .. }) if rank.urgency == Urgency::Traffic => return,
            Some(Place::Waits { rank, later, .. }) => (later, Some(rank)),
            Some(Place::Rests(later)) => (Some(later), None),
        };
        if let Some(before) = before {
            if before.0 <= at && !is_due {
                return;
            }
            self.later.remove(&before);
        }
        if is_due {
            if let Some(rank) = kept {
                self.leave(rank, &key.namespace);
            }
            let rank = self.rank(Urgency::Traffic, &key.namespace, None);
            self.enter(key, rank, kept);
            return;
        }
        self.arrivals += 1;
        let later = (at, self.arrivals);
        self.later.insert(later, key.clone());
        let waits = kept.map(|rank| Place::Waits { rank, later: Some(later), kept: None });
        self.places.insert(key, waits.unwrap_or(Place::Rests(later)));
    }

    /// Those whose time has come wait to be looked at.
    fn come_of_time(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.get().clone();
            self.look_at(key, now);
        }
    }

    /// When somebody can be taken who could not be taken at the last look, if nothing happens.
    fn next_time(&self) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        later.into_iter().chain(self.held_until).min()
    }

    /// The rank that was kept, if it is one of these, or that at the end of the line of its namespace.
    fn rank(&mut self, urgency: Urgency, namespace: &str, kept: Option<Rank>) -> Rank {
        kept.filter(|kept| kept.urgency == urgency).unwrap_or_else(|| {
            self.arrivals += 1;
            let length = self.lines.get(&(urgency, namespace.to_owned())).map_or(0, BTreeMap::len);
            let round = self.rounds.get(&urgency).copied().unwrap_or_default();
            Rank { urgency, round: round + 1 + u64::try_from(length).unwrap_or(u64::MAX / 2), arrival: self.arrivals }
        })
    }

    /// A key waits from now on.
    fn enter(&mut self, key: Key, rank: Rank, kept: Option<Rank>) {
        let line = self.lines.entry((rank.urgency, key.namespace.clone())).or_default();
        let first = line.first_key_value().map(|(first, _)| *first);
        if first.is_none_or(|first| rank < first) {
            first.map(|first| self.firsts.remove(&first));
            self.firsts.insert(rank, key.namespace.clone());
        }
        line.insert(rank, key.clone());
        self.waiting += 1;
        self.places.insert(key, Place::Waits { rank, later: None, kept });
    }

    /// Who waits with this rank waits no longer.
    fn leave(&mut self, rank: Rank, namespace: &str) -> Key {
        let place = (rank.urgency, namespace.to_owned());
        let line = self.lines.get_mut(&place).expect("each rank is in the line of its namespace");
        let key = line.remove(&rank).expect("each rank that is known waits");
        self.waiting -= 1;
        if self.firsts.remove(&rank).is_some()
            && let Some((next, _)) = line.first_key_value()
        {
            self.firsts.insert(*next, namespace.to_owned());
        }
        if line.is_empty() {
            self.lines.remove(&place);
        }
        key
    }

    /// The turn of a key is over.
    fn release(&mut self, key: &Key) -> Turned {
        match self.places.remove(key) {
            Some(Place::Running { again, kept, works }) => Turned { woken: again, kept, worked: works },
            _ => Turned { woken: None, kept: None, worked: false },
        }
    }
}

impl Flights {
    /// When something may be begun, if nothing lands before: now, or later.
    fn may_begin_at(&mut self, now: Instant) -> Instant {
        while self.awaited.first().is_some_and(|(since, _)| *since + LONGEST_FLIGHT <= now) {
            self.awaited.pop_first();
        }
        match self.last_beginning {
            Some(last) if self.awaited.len() >= IN_FLIGHT => last + TRICKLE,
            _ => now,
        }
    }

    fn begin(&mut self, key: &Key, now: Instant) {
        self.last_beginning = Some(now);
        self.since.insert(key.clone(), now);
        self.awaited.insert((now, key.clone()));
    }
}

/// The turn of a key.
#[derive(Clone, Debug)]
pub struct Turn {
    schedule: Schedule,
    key: Key,
    by_age: bool,
    may_begin: bool,
    /// Those that would have come first, and have no place: a key that gave way to them would be looked at again and again.
    passed_over: HashSet<String>,
}

impl Turn {
    /// Whether work of this urgency is to let others go first, and if so, how urgent it is: what has begun is no beginning any more.
    pub fn gives_way(&self, urgency: Urgency) -> Option<Urgency> {
        let mut state = self.schedule.state();
        let now = Instant::now();
        let begins = urgency == Urgency::FirstDeployment && !state.flights.since.contains_key(&self.key);
        let urgency = if begins { urgency } else { urgency.min(Urgency::Begin) };
        let kept = match state.places.get(&self.key) {
            Some(Place::Running { kept, .. }) => *kept,
            _ => None,
        };
        let rank = state.rank(urgency, &self.key.namespace, kept);
        let others_come_first = !self.by_age
            && urgency != Urgency::Traffic
            && state.firsts.range(..rank).any(|(_, namespace)| !self.passed_over.contains(namespace));
        if others_come_first || begins && !self.may_begin && state.flights.may_begin_at(now) > now {
            return Some(urgency);
        }
        if begins {
            state.flights.begin(&self.key, now);
        }
        if let Some(Place::Running { works, .. }) = state.places.get_mut(&self.key) {
            *works = true;
        }
        None
    }

    /// Tells that the key is about to be looked at: what has woken it until now is seen by that. Whatever wakes a key does so when its news can be seen,
    /// and most of that are the answers to the writes of this very work.
    pub fn looks(&self) {
        let now = Instant::now();
        if let Some(Place::Running { again, .. }) = self.schedule.state().places.get_mut(&self.key) {
            *again = again.filter(|again| *again > now);
        }
    }

    /// Notes that the controllers of Kubernetes have nothing to do for this key.
    pub fn note_landed(&self) {
        self.note_flight(false, false);
    }

    /// Notes whether the controllers of Kubernetes have the next word on what the key has begun, and whether it is a first deployment
    /// still.
    pub fn note_flight(&self, in_flight: bool, is_first_deployment: bool) {
        let mut state = self.schedule.state();
        let Flights { since, awaited, .. } = &mut state.flights;
        let Some(begun) = since.get(&self.key).copied() else { return };
        let flight = (begun, self.key.clone());
        if in_flight && begun.elapsed() < LONGEST_FLIGHT {
            awaited.insert(flight);
        } else if awaited.remove(&flight) {
            self.schedule.0.changed.notify_one();
        }
        if !in_flight && !is_first_deployment {
            since.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn schedule(names: &[&str]) -> Schedule {
        let schedule = Schedule::new(Leadership::undisputed());
        schedule.open();
        names.iter().for_each(|name| schedule.now(key(name)));
        schedule
    }

    fn next(schedule: &Schedule) -> Option<(String, Turn)> {
        schedule.take(|_| true).map(|(key, turn)| (key.name, turn))
    }

    #[test]
    fn what_moves_traffic_comes_before_what_follows_and_that_before_what_begins() {
        let schedule = schedule(&["begins", "follows", "moves"]);
        for (name, urgency) in [("begins", Urgency::Begin), ("follows", Urgency::Follow)] {
            let (taken, turn) = next(&schedule).expect("one waits");
            assert_eq!(taken, name, "nobody has looked at them: by arrival");
            assert_eq!(turn.gives_way(urgency), Some(urgency), "the last one may move traffic");
            schedule.yielded(key(name), urgency, None);
        }
        let order: Vec<String> = std::iter::from_fn(|| next(&schedule)).map(|(name, _)| name).collect();
        assert_eq!(order, ["moves", "follows", "begins"]);
    }

    #[test]
    fn what_moves_traffic_gives_way_to_nobody() {
        let schedule = schedule(&["a", "b"]);
        let (_, turn) = next(&schedule).expect("a");
        assert_eq!(turn.gives_way(Urgency::Traffic), None);
        assert_eq!(turn.gives_way(Urgency::Follow), Some(Urgency::Follow));
    }

    #[test]
    fn what_has_woken_a_key_before_it_is_looked_at_is_seen_by_that_and_nothing_else_is() {
        let schedule = schedule(&["a"]);
        let (_, turn) = next(&schedule).expect("a");
        schedule.now(key("a"));
        turn.looks();
        schedule.done(key("a"), None);
        assert_eq!(schedule.kept(), 0, "it was seen");
        schedule.now(key("a"));
        let (_, turn) = next(&schedule).expect("a");
        turn.looks();
        schedule.now(key("a"));
        schedule.done(key("a"), None);
        assert!(next(&schedule).is_some(), "that came after it had looked");
    }

    #[test]
    fn what_is_woken_is_looked_at_anew() {
        let schedule = schedule(&["a", "b"]);
        next(&schedule).expect("a");
        schedule.yielded(key("a"), Urgency::Begin, None);
        let (taken, turn) = next(&schedule).expect("b");
        assert_eq!(taken, "b");
        assert_eq!(turn.gives_way(Urgency::Begin), Some(Urgency::Begin), "a waits for the same, and was first");
        assert_eq!(turn.gives_way(Urgency::Follow), None, "a is no more urgent than that");
        schedule.now(key("a"));
        assert_eq!(turn.gives_way(Urgency::Begin), Some(Urgency::Begin), "it may be now");
        assert_eq!(next(&schedule).expect("a").0, "a");
        schedule.now(key("b"));
        assert!(next(&schedule).is_none(), "it is worked on");
        schedule.yielded(key("b"), Urgency::Begin, None);
        schedule.now(key("c"));
        assert_eq!(
            next(&schedule).expect("b").0,
            "b",
            "what it found is old: it is looked at before c, which came later"
        );
    }

    #[test]
    fn nobody_waits_for_ever() {
        let schedule = schedule(&["begins"]);
        next(&schedule);
        schedule.yielded(key("begins"), Urgency::Begin, None);
        let mut turns = 0;
        loop {
            schedule.now(key(&format!("urgent-{turns}")));
            turns += 1;
            let (name, turn) = next(&schedule).expect("there is always one");
            if name == "begins" {
                assert_eq!(turn.gives_way(Urgency::Begin), None, "it has waited long enough");
                break;
            }
            schedule.done(key(&name), None);
            assert!(turns < 20);
        }
    }

    #[test]
    fn looks_bring_the_turn_by_age_nearer_by_little() {
        let schedule = schedule(&["oldest", "urgent"]);
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("oldest".to_owned(), false));
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("urgent".to_owned(), true));
        // For each that moves, two are looked at: their endpoints are listed, and follow.
        for number in 0..20 {
            for name in ["listed", "followed", "urgent"] {
                schedule.now(key(&format!("{name}-{number}")));
            }
            for urgency in [Urgency::Follow, Urgency::Follow, Urgency::Traffic] {
                if looked_at(&schedule, urgency).0 == "oldest" {
                    assert!((4..8).contains(&number), "after {number} that moved");
                    return;
                }
            }
        }
        panic!("it waits for ever");
    }

    #[tokio::test]
    async fn each_key_has_one_place_and_comes_when_its_time_has_come() {
        let schedule = schedule(&["a"]);
        next(&schedule);
        let soon = Instant::now() + Duration::from_millis(30);
        schedule.done(key("a"), Some(soon));
        while next(&schedule).is_none() {
            schedule.changed().await;
        }
        assert!(Instant::now() >= soon);
        schedule.now(key("a"));
        schedule.done(key("a"), Some(soon + Duration::from_secs(60)));
        next(&schedule).expect("it was woken meanwhile");
        schedule.done(key("a"), None);
        assert_eq!(schedule.kept(), 0);
    }

    /// Who is next, what it finds is so urgent; whether it does it now.
    fn looked_at(schedule: &Schedule, urgency: Urgency) -> (String, bool) {
        let (name, turn) = next(schedule).expect("one waits");
        let others_first = turn.gives_way(urgency);
        match others_first {
            Some(urgency) => schedule.yielded(key(&name), urgency, None),
            None => schedule.done(key(&name), None),
        }
        (name, others_first.is_none())
    }

    /// A key that is looked at, and begins if it may.
    fn begins(schedule: &Schedule, name: &str) -> bool {
        schedule.now(key(name));
        let (taken, begins) = looked_at(schedule, Urgency::FirstDeployment);
        assert_eq!(taken, name);
        begins
    }

    /// How many are begun until one has to wait.
    fn fill(schedule: &Schedule) -> usize {
        (0..10 * IN_FLIGHT).take_while(|number| begins(schedule, &format!("web-{number}"))).count()
    }

    fn lands(schedule: &Schedule, name: &str) {
        schedule.now(key(name));
        let (taken, turn) = next(schedule).expect("it waits");
        assert_eq!(taken, name);
        turn.note_landed();
        schedule.done(key(name), None);
    }

    #[test]
    fn what_has_begun_is_finished_before_more_is_begun() {
        let schedule = schedule(&[]);
        assert_eq!(fill(&schedule), IN_FLIGHT);
        // The machine may be slow: nothing trickles during this test.
        schedule.state().flights.last_beginning = Some(Instant::now() + LONGEST_FLIGHT / 2);
        assert!(next(&schedule).is_none(), "what waits has to wait");
        assert!(!begins(&schedule, "another"));
        lands(&schedule, "web-7");
        let waited = format!("web-{IN_FLIGHT}");
        assert_eq!(looked_at(&schedule, Urgency::FirstDeployment), (waited, true), "the first of those that wait");
        schedule.state().flights.last_beginning = Some(Instant::now() + LONGEST_FLIGHT / 2);
        assert!(next(&schedule).is_none(), "and for no more");
        schedule.now(key("urgent"));
        let (taken, turn) = next(&schedule).expect("what does not begin anything never waits for that");
        assert_eq!((taken.as_str(), turn.gives_way(Urgency::Follow)), ("urgent", None));
    }

    #[test]
    fn what_never_lands_holds_up_nobody_for_ever() {
        let mut flights = Flights::default();
        let now = Instant::now();
        (0..IN_FLIGHT).for_each(|number| flights.begin(&key(&format!("web-{number}")), now));
        assert_eq!(flights.may_begin_at(now), now + TRICKLE, "one at a time");
        let later = now + LONGEST_FLIGHT;
        assert_eq!(flights.may_begin_at(later), later, "none is waited for any more");
    }

    #[tokio::test]
    async fn what_waits_to_begin_is_woken_when_its_time_has_come() {
        let schedule = schedule(&[]);
        fill(&schedule);
        let begun = schedule.state().flights.last_beginning.expect("they have begun");
        while next(&schedule).is_none() {
            schedule.changed().await;
        }
        assert!(Instant::now() >= begun + TRICKLE);
    }

    #[test]
    fn namespaces_take_turns() {
        let schedule = schedule(&["a", "b", "c", "d"]);
        let other = |name: &str| Key { namespace: "other".to_owned(), name: name.to_owned() };
        let order = |schedule: &Schedule, number| -> Vec<String> {
            (0..number).filter_map(|_| next(schedule)).map(|(name, _)| name).collect()
        };
        assert_eq!(order(&schedule, 2), ["a", "b"]);
        ["e", "f"].into_iter().for_each(|name| schedule.now(other(name)));
        assert_eq!(order(&schedule, 4), ["c", "e", "d", "f"]);
        assert!(schedule.state().lines.is_empty(), "nothing is kept of who is gone");
    }

    #[test]
    fn a_namespace_that_has_its_share_holds_up_nobody() {
        let schedule = schedule(&["web", "api"]);
        let other = Key { namespace: "other".to_owned(), name: "web".to_owned() };
        schedule.now(other.clone());
        let (taken, _) = schedule.take(|namespace| namespace != "shop").expect("other");
        assert_eq!(taken, other);
        assert!(schedule.take(|namespace| namespace != "shop").is_none());
    }

    #[test]
    fn nobody_gives_way_to_who_has_no_place() {
        let schedule = schedule(&["web", "api"]);
        let other = |name: &str| Key { namespace: "other".to_owned(), name: name.to_owned() };
        let has_a_place = |namespace: &str| namespace != "shop";
        schedule.now(other("web"));
        let (_, turn) = schedule.take(has_a_place).expect("other");
        assert_eq!(turn.gives_way(Urgency::Follow), None, "all that comes first has to wait");
        schedule.now(other("api"));
        assert_eq!(
            turn.gives_way(Urgency::Follow),
            Some(Urgency::Follow),
            "this one may move traffic, and has a place"
        );
    }

    #[test]
    fn who_is_woken_while_it_waits_keeps_its_place_if_it_is_no_more_urgent() {
        let schedule = schedule(&["a", "b", "c", "urgent"]);
        for name in ["a", "b", "c"] {
            assert_eq!(looked_at(&schedule, Urgency::Follow), (name.to_owned(), false));
        }
        schedule.now(key("a"));
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("urgent".to_owned(), true));
        schedule.now(key("urgent"));
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("a".to_owned(), false));
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("urgent".to_owned(), true));
        assert_eq!(
            looked_at(&schedule, Urgency::Follow),
            ("a".to_owned(), true),
            "it is first, however often it was woken"
        );
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("b".to_owned(), true));
    }

    #[test]
    fn who_is_woken_does_not_pass_those_that_wait_for_the_same() {
        let schedule = schedule(&["a", "urgent"]);
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("a".to_owned(), false));
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("urgent".to_owned(), true));
        schedule.now(key("new"));
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("new".to_owned(), false));
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("a".to_owned(), true));
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("new".to_owned(), true));
    }

    #[tokio::test]
    async fn the_time_of_who_waits_comes_before_its_turn() {
        let schedule = schedule(&["a", "b", "urgent"]);
        let (_, turn) = next(&schedule).expect("a");
        assert_eq!(turn.gives_way(Urgency::Begin), Some(Urgency::Begin));
        let soon = Instant::now() + Duration::from_millis(30);
        schedule.yielded(key("a"), Urgency::Begin, Some(soon));
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("b".to_owned(), false));
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("urgent".to_owned(), true));
        tokio::time::sleep_until(soon + Duration::from_millis(1)).await;
        assert_eq!(looked_at(&schedule, Urgency::Traffic), ("a".to_owned(), true), "it is urgent by now");
        assert_eq!(looked_at(&schedule, Urgency::Follow), ("b".to_owned(), true));
        assert_eq!(schedule.kept(), 0);
        assert!(schedule.state().later.is_empty() && schedule.state().lines.is_empty());
    }

    #[test]
    fn what_waits_for_its_pods_does_not_count_and_what_waits_for_its_proof_does_again() {
        let schedule = schedule(&[]);
        fill(&schedule);
        let awaited = || schedule.state().flights.awaited.len();
        let tell = |in_flight, is_first| {
            schedule.now(key("web-0"));
            let (_, turn) = schedule.take(|_| true).expect("it waits");
            turn.note_flight(in_flight, is_first);
            schedule.done(key("web-0"), None);
            awaited()
        };
        assert_eq!(awaited(), IN_FLIGHT);
        assert_eq!(tell(false, true), IN_FLIGHT - 1, "its pods start");
        assert_eq!(tell(true, true), IN_FLIGHT, "its endpoints are waited for");
        assert_eq!(tell(false, false), IN_FLIGHT - 1, "it serves");
        assert_eq!(tell(true, false), IN_FLIGHT - 1, "whatever comes later is no first deployment");
    }
}

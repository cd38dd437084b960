//! Who is next: what moves traffic before what follows it, both before what begins something, and nobody waits for ever.
//!
//! What wakes a key up cannot tell how urgent it is; only a plan can. So each key that is woken is taken for one that moves traffic, and
//! looked at, which takes no request; and whoever finds that others come first lets them ([`Turn::gives_way`]). What does move traffic
//! gives way to nobody once it has its turn.
//!
//! Namespaces take turns: the first key of each comes before the second of any.
//!
//! What has begun is finished before more is begun: when the controllers of Kubernetes have [`IN_FLIGHT`] rollouts before them, the
//! next one waits until one of these has landed. Ten thousand that are begun at once are all finished last.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | a key is woken a thousand times while it waits | it waits once, and is looked at anew |
//! | it has let others go first, and is woken | it is looked at anew: it may be urgent now |
//! | it is woken while it is worked on | it waits when that is over |
//! | what is urgent never ends | every [`OLDEST`]th turn goes to the class that has waited longest, and that one gives way to nobody |
//! | a namespace has thousands of keys | another one's come in between |
//! | what has begun never lands | it counts for [`LONGEST_FLIGHT`], and not again until it has landed |
//! | somebody's rollouts take off and land for ever | others begin all the same, one every [`TRICKLE`] |
//! | nobody works | nothing is kept: who begins to work looks at everything |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use greenlight_core::Urgency;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cluster::cache::Key;

/// One of so many turns goes by age alone.
const OLDEST: u64 = 8;
/// So many rollouts may wait for the controllers of Kubernetes before no more are begun. These create some ten to a hundred pods a
/// second: a hundred rollouts keep them busy, and land within seconds.
const IN_FLIGHT: usize = 100;
/// Who does not land within this time is not waited for any more.
const LONGEST_FLIGHT: Duration = Duration::from_secs(60);
/// However many are in flight, one is begun after so long.
const TRICKLE: Duration = Duration::from_millis(500);

/// The order of keys that wait, or will.
#[derive(Clone, Debug, Default)]
pub struct Schedule(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// Counts keys as they come, so that among equals the first is first.
    arrivals: u64,
    turns: u64,
    places: HashMap<Key, Place>,
    waiting: BTreeMap<Rank, Key>,
    lines: HashMap<Urgency, Lines>,
    later: BTreeMap<(Instant, u64), Key>,
    flights: Flights,
}

/// Who comes first: the first of these, of equals the first of the next, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    urgency: Urgency,
    /// In which round of all namespaces it has its turn.
    round: u64,
    arrival: u64,
}

/// Those that are equally urgent: each namespace has a line of its own, and in each round one of each line has its turn.
#[derive(Debug, Default)]
struct Lines {
    round: u64,
    /// How many wait in each line.
    lengths: HashMap<String, u64>,
}

/// What has begun and waits for the controllers of Kubernetes.
#[derive(Debug, Default)]
struct Flights {
    /// Since when.
    since: HashMap<Key, Instant>,
    /// Those that are waited for, the first to take off first.
    awaited: BTreeSet<(Instant, Key)>,
    last_beginning: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Waits(Rank),
    Later(Instant, u64),
    /// It is worked on, and when to look at it again.
    Running(Option<Instant>),
}

impl Schedule {
    /// From now on keys are kept.
    pub fn open(&self) {
        self.state().open = true;
    }

    /// Look at this key now.
    pub fn now(&self, key: Key) {
        let mut state = self.state();
        if state.open {
            state.put(key, Instant::now(), Urgency::Traffic);
            self.0.changed.notify_one();
        }
    }

    /// Returns when something has changed that [`Schedule::take`] may answer otherwise to, or the time of a key has come.
    pub async fn changed(&self) {
        let next = self.state().next_change(Instant::now());
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

    /// Takes who is next, of those that may be worked on. It is worked on until it is [`Schedule::done`].
    pub fn take(&self, may: impl Fn(&Key) -> bool) -> Option<(Key, Turn)> {
        let mut state = self.state();
        let now = Instant::now();
        state.come_of_time(now);
        let by_age = (state.turns + 1).is_multiple_of(OLDEST);
        let more_may_begin = state.flights.may_begin_at(now) <= now;
        let first = |urgency: Urgency| {
            let mut of_these = state.of(urgency).filter(|_| more_may_begin || !urgency.is_a_beginning());
            of_these.find(|(_, key)| may(key)).map(|(rank, _)| *rank)
        };
        let mut firsts = Urgency::ALL.into_iter().filter_map(first);
        let next = if by_age { firsts.min_by_key(|rank| rank.arrival) } else { firsts.next() };
        let rank = next?;
        let key = state.leave(rank);
        if let Some(lines) = state.lines.get_mut(&rank.urgency) {
            lines.round = lines.round.max(rank.round);
        }
        if rank.urgency.is_a_beginning() {
            state.flights.begin(&key, now);
        }
        state.turns += 1;
        state.places.insert(key.clone(), Place::Running(None));
        Some((key.clone(), Turn { schedule: self.clone(), key, by_age }))
    }

    /// Work on a key is over, and it is to be looked at again then, if it was not woken meanwhile.
    pub fn done(&self, key: Key, again: Option<Instant>) {
        let mut state = self.state();
        let woken = state.release(&key);
        if let Some(at) = again.into_iter().chain(woken).min() {
            state.put(key, at, Urgency::Traffic);
        }
        self.0.changed.notify_one();
    }

    /// A key lets others go first.
    pub fn yielded(&self, key: Key, urgency: Urgency) {
        let mut state = self.state();
        let urgency = if state.release(&key).is_some() { Urgency::Traffic } else { urgency };
        state.put(key, Instant::now(), urgency);
        self.0.changed.notify_one();
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
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

impl State {
    fn put(&mut self, key: Key, at: Instant, urgency: Urgency) {
        match self.places.get_mut(&key) {
            Some(Place::Running(again)) => {
                *again = Some(again.map_or(at, |known| known.min(at)));
                return;
            }
            Some(Place::Later(known, _)) if *known <= at => return,
            Some(Place::Waits(known)) if at > Instant::now() || known.urgency <= urgency => return,
            Some(Place::Waits(known)) => {
                let known = *known;
                self.leave(known);
            }
            Some(Place::Later(known, arrival)) => drop(self.later.remove(&(*known, *arrival))),
            None => {}
        }
        if at > Instant::now() {
            self.arrivals += 1;
            self.later.insert((at, self.arrivals), key.clone());
            self.places.insert(key, Place::Later(at, self.arrivals));
        } else {
            self.enter(key, urgency);
        }
    }

    /// Those whose time has come wait now.
    fn come_of_time(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.enter(key, Urgency::Traffic);
        }
    }

    /// A key waits from now on, at the end of the line of its namespace.
    fn enter(&mut self, key: Key, urgency: Urgency) {
        self.arrivals += 1;
        let lines = self.lines.entry(urgency).or_default();
        let length = lines.lengths.entry(key.namespace.clone()).or_default();
        *length += 1;
        let rank = Rank { urgency, round: lines.round + *length, arrival: self.arrivals };
        self.waiting.insert(rank, key.clone());
        self.places.insert(key, Place::Waits(rank));
    }

    /// Who waits with this rank waits no longer.
    fn leave(&mut self, rank: Rank) -> Key {
        let key = self.waiting.remove(&rank).expect("each rank that is known waits");
        let lengths = &mut self.lines.get_mut(&rank.urgency).expect("it was entered here").lengths;
        if let Some(length) = lengths.get_mut(&key.namespace) {
            *length -= 1;
            if *length == 0 {
                lengths.remove(&key.namespace);
            }
        }
        key
    }

    /// Those that wait and are so urgent.
    fn of(&self, urgency: Urgency) -> impl Iterator<Item = (&Rank, &Key)> {
        let end = |number| Rank { urgency, round: number, arrival: number };
        self.waiting.range(end(0)..=end(u64::MAX))
    }

    /// When somebody can be taken who cannot be taken now, though nothing happens.
    fn next_change(&mut self, now: Instant) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let waits = self.waiting.last_key_value().is_some_and(|(rank, _)| rank.urgency.is_a_beginning());
        let beginning = Some(self.flights.may_begin_at(now)).filter(|at| waits && *at > now);
        later.into_iter().chain(beginning).min()
    }

    /// It is not worked on any more. Returns when it was to be looked at by then.
    fn release(&mut self, key: &Key) -> Option<Instant> {
        match self.places.remove(key) {
            Some(Place::Running(again)) => again,
            _ => None,
        }
    }
}

impl Flights {
    /// When something may be begun, if nothing lands before: now, or later.
    fn may_begin_at(&mut self, now: Instant) -> Instant {
        while self.awaited.first().is_some_and(|(since, _)| *since + LONGEST_FLIGHT <= now) {
            self.awaited.pop_first();
        }
        let is_full = self.awaited.len() >= IN_FLIGHT;
        self.last_beginning.filter(|_| is_full).map_or(now, |last| last + TRICKLE)
    }

    fn begin(&mut self, key: &Key, now: Instant) {
        self.last_beginning = Some(now);
        self.take_off(key, now);
    }

    fn take_off(&mut self, key: &Key, now: Instant) {
        if !self.since.contains_key(key) {
            self.since.insert(key.clone(), now);
            self.awaited.insert((now, key.clone()));
        }
    }

    /// Whether it was in flight.
    fn land(&mut self, key: &Key) -> bool {
        let since = self.since.remove(key);
        since.is_some_and(|since| {
            self.awaited.remove(&(since, key.clone()));
            true
        })
    }
}

/// The turn of a key.
#[derive(Clone, Debug)]
pub struct Turn {
    schedule: Schedule,
    key: Key,
    by_age: bool,
}

impl Turn {
    /// Whether work of this urgency is to let others go first, and if so, how urgent it is: what has begun is no beginning any more.
    pub fn gives_way(&self, urgency: Urgency) -> Option<Urgency> {
        let mut state = self.schedule.state();
        let now = Instant::now();
        let begins = urgency.is_a_beginning() && !state.flights.since.contains_key(&self.key);
        let urgency = if begins { urgency } else { urgency.min(Urgency::Follow) };
        let first = state.waiting.first_key_value().map(|(rank, _)| rank.urgency);
        let others_come_first = !self.by_age && first.is_some_and(|first| first < urgency);
        if others_come_first || begins && state.flights.may_begin_at(now) > now {
            return Some(urgency);
        }
        if begins {
            state.flights.begin(&self.key, now);
        }
        None
    }

    /// Tells whether what the key has begun is with the controllers of Kubernetes now.
    pub fn is_in_flight(&self, in_flight: bool) {
        let mut state = self.schedule.state();
        if in_flight {
            state.flights.take_off(&self.key, Instant::now());
        } else if state.flights.land(&self.key) {
            self.schedule.0.changed.notify_one();
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
        let schedule = Schedule::default();
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
            schedule.yielded(key(name), urgency);
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
    fn what_is_woken_is_looked_at_anew() {
        let schedule = schedule(&["a", "b"]);
        next(&schedule).expect("a");
        schedule.yielded(key("a"), Urgency::Begin);
        let (taken, turn) = next(&schedule).expect("b");
        assert_eq!(taken, "b");
        assert_eq!(turn.gives_way(Urgency::Begin), None, "a is no more urgent than that");
        schedule.now(key("a"));
        assert_eq!(turn.gives_way(Urgency::Begin), Some(Urgency::Follow), "it may be now; and b has begun");
        assert_eq!(next(&schedule).expect("a").0, "a");
        schedule.now(key("b"));
        assert!(next(&schedule).is_none(), "it is worked on");
        schedule.yielded(key("b"), Urgency::Begin);
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
        schedule.yielded(key("begins"), Urgency::Begin);
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

    /// A key that is looked at, and begins something if it may.
    fn begins(schedule: &Schedule, name: &str) -> bool {
        schedule.now(key(name));
        let (taken, turn) = next(schedule).expect("it waits");
        assert_eq!(taken, name);
        match turn.gives_way(Urgency::FirstDeployment) {
            Some(urgency) => schedule.yielded(key(name), urgency),
            None => schedule.done(key(name), None),
        }
        turn.gives_way(Urgency::FirstDeployment).is_none()
    }

    /// How many are begun until one has to wait.
    fn fill(schedule: &Schedule) -> usize {
        (0..10 * IN_FLIGHT).take_while(|number| begins(schedule, &format!("web-{number}"))).count()
    }

    fn lands(schedule: &Schedule, name: &str) {
        schedule.now(key(name));
        let (taken, turn) = next(schedule).expect("it waits");
        assert_eq!(taken, name);
        turn.is_in_flight(false);
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
        assert_eq!(next(&schedule).expect("there is room for one").0, waited, "the first of those that wait");
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
        flights.take_off(&key("web-0"), later);
        assert_eq!(flights.awaited.len(), 0, "it is still in flight, and does not count anew");
        assert!(flights.land(&key("web-0")));
        flights.take_off(&key("web-0"), later);
        assert_eq!(flights.awaited.len(), 1);
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
        assert!(
            schedule.state().lines.values().all(|lines| lines.lengths.is_empty()),
            "nothing is kept of who is gone"
        );
    }

    #[test]
    fn who_may_not_be_worked_on_holds_up_nobody() {
        let schedule = schedule(&["full", "other"]);
        let (taken, _) = schedule.take(|key| key.name != "full").expect("other");
        assert_eq!(taken, key("other"));
        assert!(schedule.take(|key| key.name != "full").is_none());
    }
}

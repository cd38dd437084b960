//! Who is next: what moves traffic before what follows it, both before what begins something, and nobody waits for ever.
//!
//! What wakes a key up cannot tell how urgent it is; only a plan can. So each key that is woken is taken for one that moves traffic, and
//! looked at, which takes no request; and whoever finds that others are more urgent lets them go first ([`Turn::yields`]). What does
//! move traffic gives way to nobody once it has its turn.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | a key is woken a thousand times while it waits | it waits once, and is looked at anew |
//! | it has let others go first, and is woken | it is looked at anew: it may be urgent now |
//! | it is woken while it is worked on | it waits when that is over |
//! | what is urgent never ends | every [`OLDEST`]th turn goes to who has waited longest, and that one gives way to nobody |
//! | nobody works | nothing is kept: who begins to work looks at everything |

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use greenlight_core::Urgency;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cluster::cache::Key;

/// One of so many turns goes by age alone.
const OLDEST: u64 = 8;

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
    waiting: BTreeMap<(Urgency, u64), Key>,
    later: BTreeMap<(Instant, u64), Key>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Waits(Urgency, u64),
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
        let first = self.state().later.first_key_value().map(|((at, _), _)| *at);
        let time = async {
            match first {
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
        state.come_of_time(Instant::now());
        let by_age = (state.turns + 1).is_multiple_of(OLDEST);
        let first = |urgency: Urgency| {
            let mut of_these = state.waiting.range((urgency, 0)..=(urgency, u64::MAX));
            of_these.find(|(_, key)| may(key)).map(|(place, _)| *place)
        };
        let mut firsts = Urgency::ALL.into_iter().filter_map(first);
        let next = if by_age { firsts.min_by_key(|(_, arrival)| *arrival) } else { firsts.next() };
        let key = state.waiting.remove(&next?)?;
        state.turns += 1;
        state.places.insert(key.clone(), Place::Running(None));
        Some((key, Turn { schedule: self.clone(), by_age }))
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
            Some(Place::Waits(known, _)) if at > Instant::now() || *known <= urgency => return,
            Some(Place::Waits(known, arrival)) => drop(self.waiting.remove(&(*known, *arrival))),
            Some(Place::Later(known, arrival)) => drop(self.later.remove(&(*known, *arrival))),
            None => {}
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        let place = if at > Instant::now() {
            self.later.insert((at, arrival), key.clone());
            Place::Later(at, arrival)
        } else {
            self.waiting.insert((urgency, arrival), key.clone());
            Place::Waits(urgency, arrival)
        };
        self.places.insert(key, place);
    }

    /// Those whose time has come wait now.
    fn come_of_time(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, arrival), key) = first.remove_entry();
            self.waiting.insert((Urgency::Traffic, arrival), key.clone());
            self.places.insert(key, Place::Waits(Urgency::Traffic, arrival));
        }
    }

    /// It is not worked on any more. Returns when it was to be looked at by then.
    fn release(&mut self, key: &Key) -> Option<Instant> {
        match self.places.remove(key) {
            Some(Place::Running(again)) => again,
            _ => None,
        }
    }
}

/// The turn of a key.
#[derive(Clone, Debug)]
pub struct Turn {
    schedule: Schedule,
    by_age: bool,
}

impl Turn {
    /// Whether work of this urgency is to let somebody go first.
    pub fn yields(&self, urgency: Urgency) -> bool {
        let first = || self.schedule.state().waiting.first_key_value().map(|((urgency, _), _)| *urgency);
        !self.by_age && first().is_some_and(|first| first < urgency)
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
            assert!(turn.yields(urgency), "the last one may move traffic");
            schedule.yielded(key(name), urgency);
        }
        let order: Vec<String> = std::iter::from_fn(|| next(&schedule)).map(|(name, _)| name).collect();
        assert_eq!(order, ["moves", "follows", "begins"]);
    }

    #[test]
    fn what_moves_traffic_gives_way_to_nobody() {
        let schedule = schedule(&["a", "b"]);
        let (_, turn) = next(&schedule).expect("a");
        assert!(!turn.yields(Urgency::Traffic));
        assert!(turn.yields(Urgency::Follow));
    }

    #[test]
    fn what_is_woken_is_looked_at_anew() {
        let schedule = schedule(&["a", "b"]);
        next(&schedule).expect("a");
        schedule.yielded(key("a"), Urgency::Begin);
        let (taken, turn) = next(&schedule).expect("b");
        assert_eq!(taken, "b");
        assert!(!turn.yields(Urgency::Begin), "a is no more urgent than that");
        schedule.now(key("a"));
        assert!(turn.yields(Urgency::Begin), "it may be now");
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
                assert!(!turn.yields(Urgency::Begin), "it has waited long enough");
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

    #[test]
    fn who_may_not_be_worked_on_holds_up_nobody() {
        let schedule = schedule(&["full", "other"]);
        let (taken, _) = schedule.take(|key| key.name != "full").expect("other");
        assert_eq!(taken, key("other"));
        assert!(schedule.take(|key| key.name != "full").is_none());
    }
}

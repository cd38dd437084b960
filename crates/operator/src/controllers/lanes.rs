//! Who may have a worker: what takes its time holds up nobody else, whatever namespace it is in.
//!
//! Work that lasts longer than [`SLOW`] gives its place among the quick ones back, and goes on. Its namespace is on probation from then
//! on: what it begins, it begins in the slow lane, which has as many places, and of these nobody may have more than are left for others
//! that are slow, if there are any.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | a webhook hangs in two namespaces that have all workers | after [`SLOW`] all places are free, and these two share the slow lane |
//! | it hangs in twenty, one after the other | the same; while more hang than there are workers, each other has one worker |
//! | it hangs in hundreds at once | no more than [`MOST`] hang at a time; after one timeout all share the slow lane |
//! | it answers again | [`PROBATION`] later its namespaces are like all others |
//! | the API server is slow for everybody | everybody shares the slow lane, which is as wide as the other |
//! | a server that is measured takes its time by nature | its namespace measures in the slow lane, beside those whose servers are dead |
//! | a namespace is deleted | nothing is kept of it when its probation is over |

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::cache::Key;

/// Work that lasts longer than this waits for something.
pub const SLOW: Duration = Duration::from_secs(1);
/// How long a namespace begins in the slow lane after its last work that was slow.
pub const PROBATION: Duration = Duration::from_secs(300);
/// How many keys may be worked on in all: an API server gives a hundred streams to a connection, and watches take some.
pub const MOST: usize = 80;
/// How many of these places are for quick work: what hangs has room beside them.
pub const MOST_QUICK: usize = MOST / 5 * 4;

/// How many may be worked on at a time.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// How many keys in all, [`MOST_QUICK`] at most.
    pub parallel: usize,
    /// How many of them in one namespace; `None`: as many as in all.
    pub share: Option<usize>,
}

/// What is worked on.
#[derive(Debug)]
pub struct Lanes {
    places: Places,
    under_way: HashMap<Key, UnderWay>,
    /// Those that have something under way, or are on probation.
    namespaces: HashMap<String, InNamespace>,
    quick: usize,
    overdue: usize,
    slow: usize,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    since: Instant,
    lane: Lane,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Quick,
    /// It began as quick work, and was none.
    Overdue,
    Slow,
}

#[derive(Debug, Default)]
struct InNamespace {
    under_way: usize,
    /// As many of them in the slow lane.
    slow: usize,
    on_probation_until: Option<Instant>,
}

impl Lanes {
    /// Nothing is worked on yet.
    pub fn new(places: Places) -> Lanes {
        Lanes { places, under_way: HashMap::new(), namespaces: HashMap::new(), quick: 0, overdue: 0, slow: 0 }
    }

    /// How much is under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Since when the oldest work is under way.
    pub fn oldest(&self) -> Option<Instant> {
        self.under_way.values().map(|work| work.since).min()
    }

    /// Whether there is no place for anybody.
    pub fn is_full(&self) -> bool {
        let Places { parallel, .. } = self.places;
        self.len() >= MOST || self.quick >= parallel && self.slow >= parallel
    }

    /// Whether work in this namespace may begin.
    pub fn may_begin(&self, namespace: &str, now: Instant) -> bool {
        let Places { parallel, share } = self.places;
        let known = self.namespaces.get(namespace);
        let share = share.unwrap_or(usize::MAX);
        let under_way = known.map_or(0, |known| known.under_way);
        if self.len() >= MOST {
            false
        } else if known.is_some_and(|known| known.is_on_probation(now)) {
            // Alone in the lane it has all of its share: then it is perhaps the API server that is slow, and nobody is kept waiting.
            let left = parallel.saturating_sub(self.slow);
            let is_alone = known.is_some_and(|known| known.slow == self.slow);
            left > 0 && under_way < if is_alone { share } else { share.min(left) }
        } else {
            let share = if self.overdue >= parallel { 1 } else { share };
            self.quick < parallel && under_way < share
        }
    }

    /// Work on this key begins.
    pub fn begin(&mut self, key: Key, now: Instant) {
        let known = self.namespaces.entry(key.namespace.clone()).or_default();
        known.under_way += 1;
        let lane = if known.is_on_probation(now) { Lane::Slow } else { Lane::Quick };
        known.slow += usize::from(lane == Lane::Slow);
        *self.count(lane) += 1;
        self.under_way.insert(key, UnderWay { since: now, lane });
    }

    /// When work that is under way is found to be slow, if it does not end before, or the probation of a namespace ends: what waits there for others that
    /// hang need not do so any more.
    pub fn next_look(&self) -> Option<Instant> {
        let quick = self.under_way.values().filter(|work| work.lane == Lane::Quick);
        let ends_of_probation = self.namespaces.values().filter_map(|known| known.on_probation_until);
        quick.map(|work| work.since + SLOW).chain(ends_of_probation).min()
    }

    /// Looks for what is slow, and for whose probation is over.
    pub fn look(&mut self, now: Instant) {
        for known in self.namespaces.values_mut() {
            // What is over is not waited for again.
            known.on_probation_until = known.on_probation_until.filter(|until| now < *until);
        }
        self.namespaces.retain(|_, known| known.under_way > 0 || known.on_probation_until.is_some());
        let mut found = 0;
        for (key, work) in &mut self.under_way {
            if work.lane == Lane::Quick && work.since + SLOW <= now {
                work.lane = Lane::Overdue;
                found += 1;
                let known = self.namespaces.entry(key.namespace.clone()).or_default();
                known.on_probation_until = Some(now + PROBATION);
            }
        }
        self.quick -= found;
        self.overdue += found;
    }

    /// Work on this key is over.
    pub fn end(&mut self, key: &Key, now: Instant) {
        let Some(work) = self.under_way.remove(key) else { return };
        *self.count(work.lane) -= 1;
        if let Some(known) = self.namespaces.get_mut(&key.namespace) {
            known.under_way -= 1;
            known.slow -= usize::from(work.lane == Lane::Slow);
            if work.since + SLOW <= now {
                known.on_probation_until = Some(now + PROBATION);
            }
        }
    }

    fn count(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Quick => &mut self.quick,
            Lane::Overdue => &mut self.overdue,
            Lane::Slow => &mut self.slow,
        }
    }
}

impl InNamespace {
    fn is_on_probation(&self, now: Instant) -> bool {
        self.on_probation_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const PLACES: Places = Places { parallel: 16, share: Some(14) };
    /// After so long an API server gives up on a webhook.
    const HANGS: Duration = Duration::from_secs(30);

    fn key(namespace: &str, number: usize) -> Key {
        Key { namespace: namespace.to_owned(), name: format!("web-{number}") }
    }

    /// Begins as much as may begin in these namespaces, in turns.
    fn fill(lanes: &mut Lanes, namespaces: &[String], now: Instant) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let before = lanes.len();
        loop {
            let in_this_round = lanes.len();
            for namespace in namespaces {
                if lanes.may_begin(namespace, now) {
                    lanes.begin(key(namespace, NEXT.fetch_add(1, Ordering::Relaxed)), now);
                }
            }
            if lanes.len() == in_this_round {
                return lanes.len() - before;
            }
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("hangs-{number}")).collect()
    }

    /// Ends what was begun so long ago.
    fn time_out(lanes: &mut Lanes, now: Instant) {
        let over = lanes.under_way.iter().filter(|(_, work)| work.since + HANGS <= now).map(|(key, _)| key.clone());
        over.collect::<Vec<_>>().iter().for_each(|key| lanes.end(key, now));
    }

    #[test]
    fn two_namespaces_that_hang_keep_others_waiting_for_a_second() {
        let mut lanes = Lanes::new(PLACES);
        let now = Instant::now();
        assert_eq!(fill(&mut lanes, &names(2), now), 16);
        assert!(!lanes.may_begin("other", now));
        assert_eq!(lanes.next_look(), Some(now + SLOW));
        let now = now + SLOW;
        lanes.look(now);
        assert!(lanes.may_begin("other", now));
        assert_eq!((lanes.quick, lanes.next_look()), (0, Some(now + PROBATION)));
    }

    #[test]
    fn whoever_is_known_to_hang_shares_the_slow_lane_and_leaves_room_in_it() {
        let mut lanes = Lanes::new(PLACES);
        let mut now = Instant::now();
        let hanging = names(3);
        for _ in 0..120 {
            fill(&mut lanes, &hanging, now);
            now += SLOW;
            lanes.look(now);
            time_out(&mut lanes, now);
            assert!(lanes.may_begin("other", now), "at any time");
        }
        assert!(hanging.iter().all(|name| lanes.namespaces[name].under_way <= 4), "{lanes:?}");
        assert!(lanes.slow < PLACES.parallel, "another one that is slow has a place");
    }

    #[test]
    fn a_namespace_alone_that_is_slow_has_its_share_until_another_one_is() {
        let mut lanes = Lanes::new(PLACES);
        let now = Instant::now();
        fill(&mut lanes, &names(1), now);
        let now = now + SLOW;
        lanes.look(now);
        time_out(&mut lanes, now + HANGS);
        let now = now + HANGS;
        assert_eq!(fill(&mut lanes, &names(1), now), 14);
        let another = &names(2)[1..];
        lanes.begin(key(&another[0], 0), now - SLOW);
        lanes.look(now);
        assert_eq!(fill(&mut lanes, another, now), 1, "there is room for it");
        let now = now + HANGS;
        time_out(&mut lanes, now);
        fill(&mut lanes, &names(2), now);
        assert!(names(2).iter().all(|name| (5..=6).contains(&lanes.namespaces[name].under_way)), "{lanes:?}");
    }

    #[test]
    fn probation_ends_and_nothing_is_kept() {
        let mut lanes = Lanes::new(PLACES);
        let now = Instant::now();
        lanes.begin(key("shop", 0), now);
        lanes.end(&key("shop", 0), now + SLOW);
        let later = now + SLOW + PROBATION;
        assert_eq!(lanes.next_look(), Some(later));
        lanes.begin(key("shop", 0), later);
        assert_eq!((lanes.quick, lanes.slow), (1, 0), "like all others");
        lanes.end(&key("shop", 0), later);
        lanes.look(later);
        assert!(lanes.namespaces.is_empty() && lanes.under_way.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

        /// Namespaces that hang for good, as many as there are, beginning whenever they may; and one that does not.
        #[test]
        fn however_many_hang_it_is_bounded_and_soon_nobody_else_waits_for_them(
            hanging in 1_usize..200,
            starts in prop::collection::vec(0_u64..60, 200),
            parallel in 2_usize..40,
        ) {
            let mut lanes = Lanes::new(Places { parallel, share: Some(parallel - parallel.div_ceil(8)) });
            let begin = Instant::now();
            let mut waited_since_all_are_known = 0;
            for second in 0..240 {
                let now = begin + SLOW * second;
                time_out(&mut lanes, now);
                lanes.look(now);
                let all_places_hang = lanes.len() == MOST;
                prop_assert!(all_places_hang || lanes.may_begin("other", now), "{:?}", lanes);
                let hang = |number: &usize| starts[*number] <= u64::from(second);
                let names: Vec<String> = (0..hanging).filter(hang).map(|number| format!("hangs-{number}")).collect();
                // All have hung once, and what began before that has timed out.
                if second > 150 && !lanes.may_begin("other", now) {
                    waited_since_all_are_known += 1;
                }
                fill(&mut lanes, &names, now);
                prop_assert!(lanes.len() <= MOST);
                prop_assert!(lanes.quick <= parallel && lanes.slow <= parallel);
                prop_assert_eq!(lanes.quick + lanes.overdue + lanes.slow, lanes.len());
            }
            // Of hundreds some may not have had a turn yet.
            prop_assert!(hanging > 60 || waited_since_all_are_known == 0, "{} s", waited_since_all_are_known);
        }
    }
}

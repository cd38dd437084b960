//! How much else is done while production moves somewhere. An API server that has too much to do takes requests as they come. What waits here waits in
//! order of urgency: so the next move finds fewer requests of this operator before its own.
//!
//! Each lane goes at its own pace. Who is in the slow one for a webhook of its own moves no sooner when others wait; and where it is the API server that is
//! slow, all are in that one.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | hundreds of Services are moved | meanwhile what moves no traffic has half of the places of its lane, so the last one moves sooner |
//! | a single one is moved | nobody notices: less than that is under way |
//! | production moves somewhere all the time | half of the places are enough to follow; and one of eight pieces of work goes by age, and is not held |
//! | one namespace has all of them | the next that is free is another's, after [`SLOW`] at the latest |
//! | what is done in some namespaces takes its time | they begin in the slow lane, and hold up nobody in the other |
//! | a webhook hangs in what follows, or begins | who has worked for longer than [`SLOW`] counts no more |
//! | it hangs in a move | the same: nobody is held for it any longer |
//! | what follows is refused | it does not count until it is tried again |

use std::collections::HashMap;
use std::time::Duration;

use greenlight_core::Urgency;
use tokio::time::Instant;

use super::lanes::{Lane, SLOW};
use crate::cluster::cache::Key;

/// For so long after a move the next one may come: requests that were made at once arrive one after the other.
const CALM: Duration = Duration::from_millis(200);

/// What is under way.
#[derive(Debug, Default)]
pub struct Pace {
    /// For how many there is room in each lane.
    places: usize,
    /// What is done for each key now.
    working: HashMap<Key, Work>,
    /// Until when the next move may come after the last one that has ended in a lane.
    calm_at: HashMap<Lane, Instant>,
}

#[derive(Debug)]
struct Work {
    lane: Lane,
    urgency: Urgency,
    /// Until when it counts.
    until: Instant,
}

impl Pace {
    /// For so many at a time in each lane.
    pub fn of(places: usize) -> Pace {
        Pace { places, ..Pace::default() }
    }

    /// Work of this urgency begins in this lane, or goes on.
    pub fn works(&mut self, key: &Key, lane: Lane, urgency: Urgency, now: Instant) {
        let until = self.end(key, now).unwrap_or(now + SLOW);
        self.working.insert(key.clone(), Work { lane, urgency, until });
    }

    /// Nothing is done for this key any more. Returns whether anything was.
    pub fn rests(&mut self, key: &Key, now: Instant) -> bool {
        self.end(key, now).is_some()
    }

    /// Until when more of what moves no traffic has to wait in this lane, at the latest. What is done for `own` does not count.
    pub fn held_until(&self, lane: Lane, own: Option<&Key>, now: Instant) -> Option<Instant> {
        let counting = self.working.iter().filter(|(_, work)| work.lane == lane && work.until > now);
        let (moves, others): (Vec<_>, Vec<_>) = counting.partition(|(_, work)| work.urgency == Urgency::Traffic);
        let moves_end = moves.iter().map(|(_, work)| work.until).chain(self.calm_at.get(&lane).copied()).max();
        let moves_end = moves_end.filter(|end| *end > now)?;
        let others = others.iter().filter(|(key, _)| Some(*key) != own);
        let mut ends: Vec<Instant> = others.map(|(_, work)| work.until).collect();
        ends.sort_unstable();
        let too_many = ends.len().checked_sub(self.places.div_ceil(2))?;
        let room_at = *ends.get(too_many)?;
        Some(moves_end.min(room_at))
    }

    /// What is done for this key ends. Returns until when it counted, if there was anything.
    fn end(&mut self, key: &Key, now: Instant) -> Option<Instant> {
        let Work { lane, urgency, until } = self.working.remove(key)?;
        if urgency == Urgency::Traffic && until > now {
            self.calm_at.insert(lane, now + CALM);
        }
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Lane = Lane::Quick;

    fn key(number: usize) -> Key {
        Key { namespace: "shop".to_owned(), name: format!("web-{number}") }
    }

    /// One with four places, of which two are at work on what follows; and when they began.
    fn half_full() -> (Pace, Instant) {
        let (mut pace, now) = (Pace::of(4), Instant::now());
        (0..2).for_each(|number| pace.works(&key(number), QUICK, Urgency::Follow, now));
        (pace, now)
    }

    #[test]
    fn while_production_moves_somewhere_half_of_the_places_are_for_everything_else() {
        let (mut pace, now) = half_full();
        assert_eq!(pace.held_until(QUICK, None, now), None, "nothing moves");
        pace.works(&key(9), QUICK, Urgency::Traffic, now);
        assert_eq!(pace.held_until(QUICK, None, now), Some(now + SLOW));
        assert_eq!(pace.held_until(QUICK, Some(&key(0)), now), None, "what is under way goes on");
        pace.rests(&key(0), now);
        assert_eq!(pace.held_until(QUICK, None, now), None, "there is room");
        pace.works(&key(0), QUICK, Urgency::Begin, now);
        assert!(pace.held_until(QUICK, None, now).is_some(), "what begins counts, too");
    }

    #[test]
    fn moves_that_were_asked_for_at_once_come_one_after_the_other() {
        let (mut pace, now) = half_full();
        pace.works(&key(9), QUICK, Urgency::Traffic, now);
        let moved = now + CALM * 2;
        assert_eq!(pace.held_until(QUICK, None, moved), Some(now + SLOW), "it is not over");
        assert!(pace.rests(&key(9), moved) && !pace.rests(&key(9), moved));
        assert_eq!(pace.held_until(QUICK, None, moved), Some(moved + CALM));
        assert_eq!(pace.held_until(QUICK, None, moved + CALM), None);
    }

    #[test]
    fn who_has_moved_production_follows_as_others_do() {
        let (mut pace, now) = half_full();
        pace.works(&key(9), QUICK, Urgency::Traffic, now);
        assert!(pace.held_until(QUICK, Some(&key(9)), now).is_some(), "two others are at work");
        pace.rests(&key(1), now);
        assert_eq!(pace.held_until(QUICK, Some(&key(9)), now), None);
        pace.works(&key(9), QUICK, Urgency::Follow, now);
        assert!(pace.held_until(QUICK, None, now).is_some());
        assert_eq!(pace.held_until(QUICK, None, now + CALM), None, "nothing moves any more");
    }

    #[test]
    fn what_hangs_holds_up_nobody() {
        let (mut pace, now) = half_full();
        pace.works(&key(9), QUICK, Urgency::Traffic, now);
        pace.works(&key(0), QUICK, Urgency::Follow, now + SLOW);
        assert_eq!(pace.held_until(QUICK, None, now + SLOW), None, "neither what follows nor the move counts any more");
        pace.works(&key(8), QUICK, Urgency::Traffic, now + SLOW);
        assert_eq!(pace.held_until(QUICK, None, now + SLOW), None);
    }

    #[test]
    fn a_move_that_hangs_holds_up_nobody_after_that_and_nor_does_its_end() {
        let (mut pace, now) = (Pace::of(2), Instant::now());
        pace.works(&key(9), QUICK, Urgency::Traffic, now);
        pace.works(&key(0), QUICK, Urgency::Follow, now + SLOW / 2);
        assert_eq!(pace.held_until(QUICK, None, now + SLOW / 2), Some(now + SLOW));
        assert_eq!(pace.held_until(QUICK, None, now + SLOW), None);
        pace.rests(&key(9), now + SLOW);
        assert_eq!(pace.held_until(QUICK, None, now + SLOW), None);
    }

    #[test]
    fn each_lane_goes_at_its_own_pace() {
        let (mut pace, now) = half_full();
        pace.works(&key(9), Lane::Slow, Urgency::Traffic, now);
        assert_eq!(pace.held_until(QUICK, None, now), None, "what moves there may be slow by itself");
        pace.works(&key(8), QUICK, Urgency::Traffic, now);
        assert_eq!(pace.held_until(QUICK, None, now), Some(now + SLOW));
        assert_eq!(pace.held_until(Lane::Slow, None, now), None, "there is room in that one");
        pace.rests(&key(8), now);
        assert_eq!(pace.held_until(QUICK, None, now), Some(now + CALM));
        (2..4).for_each(|number| pace.works(&key(number), Lane::Slow, Urgency::Follow, now));
        assert_eq!(pace.held_until(Lane::Slow, None, now), Some(now + SLOW));
    }

    #[test]
    fn one_place_is_never_held_by_itself() {
        for places in [1, 2] {
            let (mut pace, now) = (Pace::of(places), Instant::now());
            pace.works(&key(9), QUICK, Urgency::Traffic, now);
            assert_eq!(pace.held_until(QUICK, None, now), None, "{places}");
            pace.works(&key(0), QUICK, Urgency::Follow, now);
            assert_eq!(pace.held_until(QUICK, None, now), Some(now + SLOW), "{places}");
        }
    }
}

//! Who may measure a run that is too large to be kept.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::cache::Key;

/// Runs that are too large to be kept are in memory while they are measured: of each namespace one at a time, and so many in all.
///
/// | what can happen | what comes of it |
/// |---|---|
/// | servers hang in as many namespaces as there are places | each place is given back when [`super::PARALLEL`] measurements have timed out, whatever is due then |
/// | they ask again at once | those whose turn took long leave [`MOST_LARGE`] less [`MOST_SLOW`] places to others |
/// | more wait than there are places | the namespace that has waited longest is first |
/// | a run has something to measure whenever its turn is over | another one of its namespace that has asked meanwhile is next |
/// | a run that waits asks no more | the others do not wait for it after [`FORGOTTEN`] |
#[derive(Debug, Default)]
pub struct Large(Mutex<LargePlaces>);

/// How many large runs are in memory at a time.
const MOST_LARGE: usize = 16;
/// How many of these places namespaces may have that take long.
const MOST_SLOW: usize = 12;
/// A namespace that keeps a place for this long takes long.
const SLOW: Duration = Duration::from_secs(5);
/// How long a namespace that took long counts as one that does.
const PROBATION: Duration = Duration::from_secs(300);
/// A run that has not asked for a place for this long does not wait for one any more. Each asks again every [`super::NO_PLACE`].
const FORGOTTEN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct LargePlaces {
    /// The namespaces that have one, and since when.
    taken: BTreeMap<String, Instant>,
    /// The namespaces that wait for one, and when each last asked. The first has waited longest.
    waiting: Vec<(String, Instant)>,
    /// The namespaces that took long, and when.
    slow: BTreeMap<String, Instant>,
    /// By namespace, the run that was first to ask since its last turn, and when it last asked.
    next: BTreeMap<String, (String, Instant)>,
}

impl LargePlaces {
    fn is_slow(&self, namespace: &str) -> bool {
        let holds_long = self.taken.get(namespace).is_some_and(|since| since.elapsed() >= SLOW);
        holds_long || self.slow.contains_key(namespace)
    }

    /// Whether there is a place for the namespace at this position of [`LargePlaces::waiting`].
    fn is_free_for(&self, position: usize) -> bool {
        let slow = |namespace: &String| self.is_slow(namespace);
        let free = MOST_LARGE.saturating_sub(self.taken.len());
        let free_for_slow = free.min(MOST_SLOW.saturating_sub(self.taken.keys().filter(|taken| slow(taken)).count()));
        let slow_before = self.waiting[..position].iter().filter(|(namespace, _)| slow(namespace)).count();
        if slow(&self.waiting[position].0) {
            return position < free && slow_before < free_for_slow;
        }
        // Those of the slow ones that get none are not waited for.
        position - slow_before + slow_before.min(free_for_slow) < free
    }
}

impl Large {
    /// The place of the namespace of this run, if there is one for it, and it is the run's turn. It is given back when this is dropped.
    pub(super) fn place(&self, Key { namespace, name }: &Key) -> Option<Place<'_>> {
        let mut places = self.0.lock().expect("no panic while locked");
        let now = Instant::now();
        places.next.retain(|_, (_, asked)| *asked + FORGOTTEN > now);
        let next = places.next.entry(namespace.clone()).or_insert_with(|| (name.clone(), now));
        if next.0 != *name {
            return None;
        }
        next.1 = now;
        if places.taken.contains_key(namespace) {
            return None;
        }
        places.slow.retain(|_, since| *since + PROBATION > now);
        places.waiting.retain(|(who, asked)| who == namespace || *asked + FORGOTTEN > now);
        let position = places.waiting.iter().position(|(who, _)| who == namespace).unwrap_or_else(|| {
            places.waiting.push((namespace.clone(), now));
            places.waiting.len() - 1
        });
        places.waiting[position].1 = now;
        if !places.is_free_for(position) {
            return None;
        }
        places.waiting.remove(position);
        places.next.remove(namespace);
        places.taken.insert(namespace.clone(), now);
        Some(Place { large: self, namespace: namespace.clone() })
    }
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    large: &'a Large,
    namespace: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.large.0.lock().expect("no panic while locked");
        let took_long = places.taken.remove(&self.namespace).is_some_and(|since| since.elapsed() >= SLOW);
        if took_long {
            places.slow.insert(self.namespace.clone(), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_in(namespace: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: "web".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_large_runs_of_a_namespace_that_always_have_something_to_measure_each_has_its_turn() {
        let large = Large::default();
        let [mut one, mut other] = ["one", "other"].map(|name| run_in("shop").sibling(name));
        let mut place = large.place(&one);
        for _ in 0..4 {
            assert!(place.is_some());
            assert!(large.place(&other).is_none(), "one at a time");
            // It asks again before the other one does.
            drop(place);
            assert!(large.place(&one).is_none(), "the other one has waited");
            place = large.place(&other);
            std::mem::swap(&mut one, &mut other);
        }
        drop(place);
        tokio::time::sleep(FORGOTTEN).await;
        assert!(large.place(&run_in("shop")).is_some(), "nobody waits any more");
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_namespace_one_large_run_is_measured_at_a_time() {
        let large = Large::default();
        let place = large.place(&run_in("shop")).expect("nobody measures");
        assert!(large.place(&run_in("shop")).is_none());
        let others: Vec<Place<'_>> =
            (0..100).filter_map(|number| large.place(&run_in(&format!("shop-{number}")))).collect();
        assert_eq!(others.len() + 1, MOST_LARGE);
        drop((place, others));
        assert!(large.place(&run_in("shop-15")).is_some(), "it has waited");
        tokio::time::sleep(FORGOTTEN).await;
        assert!(large.place(&run_in("shop")).is_some(), "nobody waits any more");
    }

    #[tokio::test(start_paused = true)]
    async fn large_runs_that_hang_in_many_namespaces_leave_places_to_others_and_take_turns() {
        const HANG: usize = 40;
        let large = Large::default();
        let mut held: Vec<(Instant, Place<'_>)> = Vec::new();
        let mut turns = [0; HANG];
        let mut refused_in_a_row = 0;
        for second in 0..1_200 {
            // A measurement of a dead server takes a minute, and is begun again at once, before anybody else looks.
            held.retain(|(since, _)| since.elapsed() < Duration::from_secs(60));
            for (number, turns) in turns.iter_mut().enumerate() {
                if let Some(place) = large.place(&run_in(&format!("hangs-{number}"))) {
                    *turns += 1;
                    held.push((Instant::now(), place));
                }
            }
            refused_in_a_row = if large.place(&run_in("other")).is_some() { 0 } else { refused_in_a_row + 1 };
            // At first nobody knows who hangs: all of them have a turn.
            let rounds = HANG.div_ceil(MOST_LARGE);
            assert!(refused_in_a_row <= 60 * rounds, "after {second} s");
            assert!(second < 60 * rounds || refused_in_a_row == 0, "after {second} s, who hangs is known");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(turns.iter().all(|turns| (4..=8).contains(turns)), "{turns:?}");
    }
}

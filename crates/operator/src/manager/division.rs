//! How the shards are divided among the instances, as far as this one has seen it on their leases.
//!
//! Whoever finds a lease that nobody holds takes it, however many it has: no shard is to wait. Then who has fewer asks, by an annotation on
//! the lease, and who has two more gives:
//!
//! | | a | b | c |
//! |---|---|---|---|
//! | a is alone, with four shards | 1 2 3 4 | | |
//! | b and c come, and ask for 1 and 2 | 3 4 | 1 | 2 |
//! | c dies, and a was quicker | 2 3 4 | 1 | |
//! | b asks for 2 | 3 4 | 1 2 | |
//!
//! How many shards there are has to be the same for all. The lease of the first shard, which is the only one if there is one, says it, and who
//! holds that decides. Who counts otherwise gives its shards back, and waits.

use std::sync::{Mutex, MutexGuard};

use kube::ResourceExt;

use super::lease::Lease;

/// Each instance looks after the leases of all shards: more would be many requests and no more work done at a time.
pub const MOST_SHARDS: usize = 32;
/// On the lease of the first shard: how many there are. Without it, one.
pub const SHARDS: &str = "greenlight.dev/shards";
/// On the lease of the first shard: how many there will be, once nobody holds one of those that there were.
pub const SHARDS_TO_BE: &str = "greenlight.dev/shards-to-be";
/// On any lease: who asks its holder for it.
pub const WANTED_BY: &str = "greenlight.dev/wanted-by";

/// What this instance has seen of all leases; what its electors see and do goes in here.
#[derive(Debug)]
pub struct Division {
    identity: String,
    shards: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    in_force: bool,
    /// By shard: who holds it, if anybody does.
    leases: Vec<Option<Held>>,
}

/// A lease that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who does.
    pub by: String,
    /// Who asks for it.
    pub wanted_by: Option<String>,
}

impl Division {
    /// Nothing is known yet.
    pub fn new(identity: &str, shards: usize) -> Division {
        let state = State { in_force: false, leases: vec![None; shards] };
        Division { identity: identity.to_owned(), shards, state: Mutex::new(state) }
    }

    /// How many shards this instance counts.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The lease of a shard was seen. `held`: somebody does hold it.
    pub fn saw(&self, shard: usize, lease: Option<&Lease>, held: bool) {
        let mut state = self.state();
        let of = |lease: &Lease| {
            let by = lease.spec.as_ref()?.holder_identity.clone()?;
            Some(Held { by, wanted_by: lease.annotations().get(WANTED_BY).cloned() })
        };
        state.leases[shard] = if held { lease.and_then(of) } else { None };
        if shard == 0 {
            state.in_force = lease.is_some_and(|lease| self.is_settled(lease));
        }
    }

    /// Whether this lease of the first shard says that there are as many shards as this instance counts, and will be.
    pub fn is_settled(&self, lease: &Lease) -> bool {
        shards_of(lease) == self.shards && !lease.annotations().contains_key(SHARDS_TO_BE)
    }

    /// Whether there are as many shards as this instance counts, as far as it knows.
    pub fn is_in_force(&self) -> bool {
        self.state().in_force
    }

    /// Whether to ask for this shard. Who asks for one asks for no other.
    pub fn asks_for(&self, shard: usize) -> bool {
        let mut state = self.state();
        if !state.in_force || !is_to_ask(&self.identity, shard, &state.leases) {
            return false;
        }
        if let Some(held) = &mut state.leases[shard] {
            held.wanted_by = Some(self.identity.clone());
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }
}

/// How many shards there are, as this lease of the first one says. What is no such number was forged: then there may be as many as there can be.
pub fn shards_of(lease: &Lease) -> usize {
    let read = |number: &String| number.parse().ok().filter(|number| (1..=MOST_SHARDS).contains(number));
    lease.annotations().get(SHARDS).map_or(1, |number| read(number).unwrap_or(MOST_SHARDS))
}

/// Its holder has two more, and nobody has more than that.
fn is_to_ask(me: &str, shard: usize, leases: &[Option<Held>]) -> bool {
    let held = || leases.iter().flatten();
    let number_of = |who: &str| held().filter(|lease| lease.by == who).count();
    let Some(lease) = &leases[shard] else { return false };
    let theirs = number_of(&lease.by);
    let asks_already = held().any(|lease| lease.wanted_by.as_deref() == Some(me));
    lease.wanted_by.is_none()
        && !asks_already
        && theirs >= number_of(me) + 2
        && held().all(|other| number_of(&other.by) <= theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives each lease that is asked for to who asks, all at once, until nobody asks.
    fn settle(mut holders: Vec<&'static str>, instances: &[&'static str]) -> Vec<&'static str> {
        for _ in 0..holders.len() {
            let mut leases: Vec<Option<Held>> =
                holders.iter().map(|by| Some(Held { by: (*by).to_owned(), wanted_by: None })).collect();
            for me in instances {
                let asked = (0..leases.len()).find(|shard| is_to_ask(me, *shard, &leases));
                if let Some(lease) = asked.and_then(|shard| leases[shard].as_mut()) {
                    lease.wanted_by = Some((*me).to_owned());
                }
            }
            for (holder, lease) in holders.iter_mut().zip(&leases) {
                let wanted_by = lease.as_ref().and_then(|lease| lease.wanted_by.as_deref());
                let wanted_by = wanted_by.and_then(|by| instances.iter().find(|instance| **instance == by));
                *holder = wanted_by.unwrap_or(holder);
            }
        }
        holders
    }

    #[test]
    fn whoever_has_what_in_the_end_nobody_has_two_more_than_another() {
        const INSTANCES: [&str; 4] = ["a", "b", "c", "d"];
        for instances in (1..=4).map(|number| &INSTANCES[..number]) {
            for shards in 1..=6 {
                // Every way to begin.
                for way in 0..instances.len().pow(shards) {
                    let first = |shard| instances[way / instances.len().pow(shard) % instances.len()];
                    let holders: Vec<&'static str> = (0..shards).map(first).collect();
                    let settled = settle(holders.clone(), instances);
                    let number_of = |who: &&str| settled.iter().filter(|holder| *holder == who).count();
                    let numbers: Vec<usize> = instances.iter().map(number_of).collect();
                    let [least, most] =
                        [numbers.iter().min(), numbers.iter().max()].map(|number| *number.expect("one"));
                    assert!(most - least <= 1, "{holders:?} among {instances:?}: {settled:?}");
                }
            }
        }
    }

    #[test]
    fn who_counts_otherwise_asks_for_nothing() {
        let mut lease = Lease::default();
        lease.spec.get_or_insert_default().holder_identity = Some("a".to_owned());
        let division = Division::new("b", 3);
        let see = |lease: &Lease| (0..3).for_each(|shard| division.saw(shard, Some(lease), true));
        see(&lease);
        assert!(!division.is_in_force() && !division.asks_for(1), "there is one shard");
        lease.annotations_mut().insert(SHARDS.to_owned(), "3".to_owned());
        see(&lease);
        assert!(division.is_in_force() && division.asks_for(1) && !division.asks_for(2), "one at a time");
        lease.annotations_mut().insert(SHARDS_TO_BE.to_owned(), "2".to_owned());
        see(&lease);
        assert!(!division.is_in_force() && !division.asks_for(1));
    }
}

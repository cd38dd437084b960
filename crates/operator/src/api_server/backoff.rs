//! How long to wait before something is tried again, and chance.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Whoever is told to come back later does, but not after more than so long: a proxy, or somebody's webhook, may say anything.
pub const LONGEST_RESPITE: Duration = Duration::from_secs(10);

/// Doubles with every failure up to `longest`. Up to a quarter is taken off at random, so that what failed together does not
/// come back together.
pub fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(longest);
    let chance = u32::try_from(chance() % 256).unwrap_or(0);
    doubled - doubled / 4 * chance / 256
}

/// Any number.
pub fn chance() -> u64 {
    // Every RandomState has keys of its own, and those of a process come from the system: no other source is needed.
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_and_is_bounded() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(5));
        let bounds = |failures| {
            let pauses: Vec<Duration> = (0..100).map(|_| pause(failures, first, longest)).collect();
            (*pauses.iter().min().expect("some"), *pauses.iter().max().expect("some"))
        };
        for (failures, full) in [(1, first), (3, first * 4), (20, longest), (u32::MAX, longest)] {
            let (least, most) = bounds(failures);
            assert!(most <= full && least >= full * 3 / 4, "{failures}: {least:?} to {most:?}");
            assert!(least < most, "{failures}: it is not always the same");
        }
    }
}

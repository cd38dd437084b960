//! Whether somebody has set the clock. A delay, a timer, an overlap ends at a time of day, which is written on an object of the cluster; whoever
//! waits for it waits by a clock that nobody sets, and looks at the time of day when it is over.
//!
//! | the time of day | what would come of it | what comes of it |
//! |---|---|---|
//! | is set back by an hour while a revision has 30 s left | it keeps its pods for an hour more, since nothing is planned meanwhile | a plan brings back what is too far ahead: the delay begins anew |
//! | is set forth by an hour, or the machine slept for one | what is over by now waits as long as it would have | it ends |

use std::time::Duration;

use greenlight_core::world::later;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How often to look.
const PAUSE: Duration = Duration::from_secs(5);

/// A clock may be put right by less than this in all.
const STEP: SignedDuration = SignedDuration::from_secs(2);

/// The time of day, and the clock that nobody sets, as they were when somebody set the first of them last.
pub struct Clock {
    set_at: Instant,
    time: Timestamp,
}

impl Clock {
    /// As they are now.
    pub fn read() -> Clock {
        Clock { set_at: Instant::now(), time: Timestamp::now() }
    }

    /// Waits until somebody sets the time of day. Returns by how much it was set forth; less than nothing is back. Whoever begins to wait anew misses nothing.
    pub async fn is_set(&mut self) -> SignedDuration {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Some(step) = self.look(Instant::now(), Timestamp::now()) {
                return step;
            }
        }
    }

    fn look(&mut self, now: Instant, time: Timestamp) -> Option<SignedDuration> {
        let passed = SignedDuration::try_from(now.duration_since(self.set_at)).unwrap_or(SignedDuration::MAX);
        let step = time.duration_since(later(self.time, passed));
        // Many little ones are one of their sum.
        if step.abs() < STEP {
            return None;
        }
        *self = Clock { set_at: now, time };
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_that_is_set_is_told_from_one_that_passes() {
        let mut clock = Clock::read();
        let (mut now, mut time) = (clock.set_at, clock.time);
        let hour = SignedDuration::from_hours(1);
        let a_little = SignedDuration::from_millis(1_500);
        for (set, expected) in [
            (a_little, None),
            (-a_little, None),
            (hour, Some(hour)),
            (-hour, Some(-hour)),
            (-a_little, None),
            (-a_little, Some(-a_little * 2)),
            (-a_little, None),
        ] {
            now += PAUSE;
            time = time + PAUSE + set;
            assert_eq!(clock.look(now, time), expected, "{set}");
        }
    }
}

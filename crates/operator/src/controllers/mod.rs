//! What the operator does when something changes.
//!
//! | question | file |
//! |---|---|
//! | who is next | `schedule` |
//! | how many at a time, and in which namespace | `lanes` |
//! | working, and what when it fails | `queue` |
//! | what wakes up whom | `triggers` |
//! | whether somebody has set the clock | `clock` |
//! | rollouts: observe, plan, carry out, publish | `rollouts/` |
//! | the end of a scale-down delay | `scale_down` |
//! | measuring | `analysis/` |
//! | telling of work that fails again and again | `trouble` |
//! | telling of objects that cannot be read | `unreadable` |

pub mod analysis;
pub mod clock;
pub mod lanes;
pub mod queue;
pub mod rollouts;
pub mod scale_down;
pub mod schedule;
pub mod triggers;
pub mod trouble;
pub mod unreadable;

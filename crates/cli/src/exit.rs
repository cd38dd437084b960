//! Exit codes. They are documented in the help, and do not change.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; for `status`, healthy, or what `--until` names |
//! | 1 | failed: a command line that cannot be understood, no answer, no right |
//! | 2 | refused by the operator; the rollout is degraded; `lint`, `doctor` and `convert` have something to say |
//! | 3 | it waits for a person |
//! | 4 | no answer in time |

use std::process::ExitCode;

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Refused by the operator, or the rollout is degraded.
    Refused,
    /// It waits for a person.
    Waits,
    /// No answer in time.
    TimedOut,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 2,
            Exit::Waits => 3,
            Exit::TimedOut => 4,
        })
    }
}

//! Waiting for a trouble that may pass by itself.

use std::time::Duration;

use greenlight_api::{BlueGreenRolloutStatus, conditions};
use tokio::time::Instant;

use crate::exit::Exit;

/// The operator tries a refused write again at least every five seconds. A webhook or the API server may have been away for a moment.
const PATIENCE: Duration = Duration::from_secs(15);

/// Since when a command has waited for the end of nothing but a refused write.
#[derive(Default)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// The end that this status means, unless it is one that may pass, and it is too early to say that it does not.
    pub fn with(&mut self, end: Option<Exit>, status: &BlueGreenRolloutStatus, now: Instant) -> Option<Exit> {
        let may_pass = end == Some(Exit::Refused) && is_refused(status);
        self.0 = if may_pass { self.0.or(Some(now)) } else { None };
        match self.until() {
            Some(until) if now < until => None,
            _ => end,
        }
    }

    /// When it is at its end, if it is asked for.
    pub fn until(&self) -> Option<Instant> {
        self.0.map(|since| since + PATIENCE)
    }
}

fn is_refused(status: &BlueGreenRolloutStatus) -> bool {
    let stalled = status.conditions.iter().find(|condition| condition.type_ == conditions::STALLED);
    stalled.is_some_and(|stalled| stalled.reason == conditions::REASON_WRITE_REFUSED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_write_is_waited_for_and_nothing_else_that_somebody_has_to_mend() {
        let status = |reason: &str| {
            let stalled = json!({
                "type": "Stalled", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            serde_json::from_value::<BlueGreenRolloutStatus>(json!({"phase": "Degraded", "conditions": [stalled]}))
                .expect("a status")
        };
        let (mut patience, began) = (Patience::default(), Instant::now());
        let mut after = |seconds: u64, end: Option<Exit>, reason: &str| {
            patience.with(end, &status(reason), began + Duration::from_secs(seconds))
        };
        let refused = Some(Exit::Refused);
        assert_eq!(after(0, refused, "WriteRefused"), None);
        assert_eq!(after(14, refused, "WriteRefused"), None);
        assert_eq!(after(15, refused, "WriteRefused"), refused, "nothing came of it");
        assert_eq!(after(16, None, "WriteRefused"), None);
        assert_eq!(after(17, refused, "WriteRefused"), None, "it was over meanwhile");
        assert_eq!(after(18, refused, "ServiceNotFound"), refused);
        assert_eq!(after(19, Some(Exit::Waits), "WriteRefused"), Some(Exit::Waits));
    }
}

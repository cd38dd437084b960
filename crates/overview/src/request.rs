//! What a request is about, when it was made, and whether it was heard.

use std::time::Duration;

use anyhow::{Result, bail};
use greenlight_api::{BlueGreenRolloutStatus, Verb};
use greenlight_core::hash;
use jiff::Timestamp;

use crate::session::Session;
use crate::status::trouble_of;
use crate::words::sentence;

/// What the operator has heard stands in the status by then.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(1);

/// The hash of the revision that a verb speaks of: what serves, or what the spec asks for. Each is known also while the other is
/// in trouble.
///
/// # Errors
/// There is no such revision: nothing serves, or the operator has not looked at the rollout.
pub fn revision_meant(name: &str, action: Verb, status: &BlueGreenRolloutStatus) -> Result<String> {
    let active = &status.active_revision;
    // Also if its ReplicaSet or its Service is gone at the moment.
    let serving = status.decisions.as_ref().map_or(active, |decisions| &decisions.serving);
    let (revision, lacks) = match action {
        Verb::Rollback => (serving, "nothing serves, so there is nothing to go back from"),
        Verb::Restart => (serving, "nothing serves, so there is nothing to restart"),
        Verb::Promote | Verb::PromoteFull | Verb::Abort | Verb::Retry => {
            (&status.updated_revision, "it has no revision yet")
        }
    };
    if revision.is_empty() {
        let why = if status.message.is_empty() { "is the operator running?" } else { &status.message };
        bail!("rollout {name}: {lacks}: {why}");
    }
    Ok(revision.clone())
}

/// The time of a request, by the clock of whoever asks and by that of the API server. By one that is behind, a restart would replace only what is
/// older than that. One that is ahead the operator corrects.
pub fn asked_at(ours: Timestamp, theirs: Option<Timestamp>) -> Timestamp {
    theirs.map_or(ours, |theirs| ours.max(theirs))
}

/// Whether the operator has heard a request in whose place another one stands by now. The answer to that one has taken the place of its
/// own, but what was heard lately is on record.
///
/// # Errors
/// The API server does not show the rollout.
pub async fn was_heard(session: &Session, name: &str, value: &str) -> Result<bool> {
    tokio::time::sleep(PUBLISHED_WITHIN).await;
    let status = session.rollout(name).await?.status.unwrap_or_default();
    let digest = hash::short_name(value);
    Ok(status.decisions.is_some_and(|decisions| decisions.heard.contains(&digest)))
}

/// What is told to whoever has waited for the operator's answer in vain: an operator that says what it fails at is not down. `status` is that of the
/// rollout when nobody waited any more, and `generation` is the rollout's.
pub fn unanswered(status: &BlueGreenRolloutStatus, generation: i64) -> String {
    let why = trouble_of(status, generation).map_or_else(|| "Is it running?".to_owned(), sentence);
    format!(
        "The operator has not answered. {why} The request stands: once the operator goes on, it carries the request out, or says why that does not fit any \
         more."
    )
}

#[cfg(test)]
mod tests {
    use greenlight_api::Decisions;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_that_says_what_it_fails_at_is_not_asked_whether_it_runs() {
        let stalled = json!({
            "type": "Stalled", "status": "True", "reason": "WriteRefused", "message": "cannot list Services: forbidden",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 4,
        });
        let status = json!({"phase": "Degraded", "observedGeneration": 3, "conditions": [stalled]});
        let status: BlueGreenRolloutStatus = serde_json::from_value(status).expect("a status");
        let told = unanswered(&status, 4);
        assert!(
            told.starts_with("The operator has not answered. Cannot list Services: forbidden. The request"),
            "{told}"
        );
        assert!(unanswered(&status, 5).contains("Is it running?"), "that was of an older spec");
    }

    #[test]
    fn a_request_is_not_older_than_the_clock_of_the_api_server_says() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        assert_eq!(asked_at(at(40), Some(at(100))), at(100));
        assert_eq!((asked_at(at(101), Some(at(100))), asked_at(at(101), None)), (at(101), at(101)));
    }

    #[test]
    fn each_verb_speaks_of_what_serves_or_of_what_the_spec_asks_for() {
        let status = BlueGreenRolloutStatus {
            updated_revision: "v3".into(),
            decisions: Some(Decisions { serving: "v2".into(), ..Decisions::default() }),
            ..BlueGreenRolloutStatus::default()
        };
        let meant = |verb| revision_meant("web", verb, &status).expect("there is one");
        for verb in [Verb::Rollback, Verb::Restart] {
            assert_eq!(meant(verb), "v2");
        }
        for verb in [Verb::Promote, Verb::PromoteFull, Verb::Abort, Verb::Retry] {
            assert_eq!(meant(verb), "v3");
        }
    }

    #[test]
    fn there_is_no_undo_where_nothing_serves() {
        let waits = BlueGreenRolloutStatus {
            updated_revision: "v1".into(),
            message: "0 of 2 pods of revision 1 available".into(),
            ..BlueGreenRolloutStatus::default()
        };
        let error = revision_meant("web", Verb::Rollback, &waits).expect_err("nothing serves").to_string();
        assert!(error.contains("nothing serves") && error.contains("0 of 2 pods"), "{error}");
        let error =
            revision_meant("web", Verb::Rollback, &BlueGreenRolloutStatus::default()).expect_err("none").to_string();
        assert!(error.contains("is the operator running?"), "{error}");
    }
}

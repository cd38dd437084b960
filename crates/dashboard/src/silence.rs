//! What is said when the API server is not heard: since when what is shown may be old, and why.

use std::error::Error;

use greenlight_overview::again::Busy;
use greenlight_overview::{denial, reason, sentence};
use jiff::Timestamp;
use kube::runtime::watcher;

/// Nothing new is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When what is shown was so.
    pub since: Timestamp,
    /// Why nothing newer is shown, in a sentence.
    pub why: String,
}

impl Silence {
    /// Since then, because of this.
    pub fn new(since: Timestamp, error: &(dyn Error + 'static)) -> Silence {
        Silence { since, why: why(error) }
    }
}

/// Why nothing is heard, in a sentence. Who is told how long it takes does not load the page again and again.
pub fn why(error: &(dyn Error + 'static)) -> String {
    match Busy::cause_of(error) {
        Some(busy) => sentence(&busy.to_string()),
        None => "The API server does not answer.".to_owned(),
    }
}

/// An error with what led to it, in the words of whoever refused.
pub fn said(error: &(dyn Error + 'static)) -> String {
    let mut words = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<kube::Error>() {
            words.push(reason(error));
            break;
        }
        // It says what the one below it says.
        if !error.is::<watcher::Error>() || error.source().is_none() {
            words.push(error.to_string());
        }
        cause = error.source();
    }
    denial(&words.join(": "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_denial_is_told_in_the_api_servers_words_and_in_no_others() {
        let message = "bluegreenrollouts is forbidden: User \"ann\" cannot list it";
        let status = json!({"status": "Failure", "reason": "Forbidden", "message": message, "code": 403});
        let denied = || kube::Error::Api(Box::new(serde_json::from_value(status.clone()).expect("a status")));
        assert_eq!(said(&watcher::Error::InitialListFailed(denied())), message);
        let error = anyhow::Error::from(denied()).context("cannot read rollout web");
        assert_eq!(said(&*error), format!("cannot read rollout web: {message}"));
        assert_eq!(why(&denied()), "The API server does not answer.");
    }

    #[test]
    fn who_waits_for_a_busy_api_server_is_told_for_how_long() {
        let busy = || kube::Error::Service(Box::new(Busy { pause: Duration::from_secs(30) }));
        let told = "The API server is too busy; try again in 30 s.";
        assert_eq!(why(&watcher::Error::WatchStartFailed(busy())), told);
        let error = anyhow::Error::from(busy()).context("cannot read rollout web");
        assert_eq!(why(&*error), told);
        assert_eq!(said(&*error).matches("try again in 30 s").count(), 1);
    }
}

//! What can go wrong while a plan is carried out.

use std::time::Duration;

use crate::api_server::backoff::LONGEST_RESPITE;

/// An error of a reconcile. All are tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not do what was asked.
    #[error("cannot {what}")]
    Api {
        /// What was asked.
        what: String,
        /// What it said.
        #[source]
        source: kube::Error,
    },
    /// Plan after plan had actions. This is a bug: it is reported, and tried again later instead of in a loop.
    #[error("did not come to rest after {0} plans, the last one wanted {1}")]
    DidNotConverge(usize, String),
    /// It was given up after so many seconds.
    #[error("the reconcile was not over after {0} s")]
    TookTooLong(u64),
    /// An eviction that is not allowed, or an analysis that lacks something; in words for the status.
    #[error("{0}")]
    Refused(String),
    /// The status was written, and came back without the record.
    #[error(
        "the API server does not keep status.decisions: apply the CRDs of this version (see the chart's crds.yaml)"
    )]
    RecordNotKept,
    /// A bug; its message is in the log.
    #[error("the reconcile panicked")]
    Panicked,
}

/// The API server has not answered within so many seconds, and its connection is alive: it waits for webhooks that hang, one after the other, say. What
/// is wrong with the connection shows sooner.
#[derive(Debug, thiserror::Error)]
#[error("the API server has not answered within {0} s")]
pub struct Unanswered(pub u64);

impl Error {
    /// It will be the same the next time, if nobody does anything.
    pub fn lasts(&self) -> bool {
        match self {
            Error::Api { source: kube::Error::Api(status), .. } => is_refusal(status),
            // Somebody wrote what cannot be read.
            Error::Api { source: kube::Error::SerdeError(_), .. } => true,
            Error::Api { source: kube::Error::Service(cause), .. } => cause.is::<Unanswered>(),
            Error::Api { .. } => false,
            _ => true,
        }
    }

    /// The API server, or who stands before it, has answered. Otherwise it is out of reach.
    pub fn is_answer(&self) -> bool {
        matches!(self, Error::Api { source: kube::Error::Api(_), .. })
    }

    /// For how long the API server, as it says, is not to be asked the same again.
    pub fn respite(&self) -> Duration {
        let Error::Api { source: kube::Error::Api(status), .. } = self else { return Duration::ZERO };
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        Duration::from_secs(seconds.into()).min(LONGEST_RESPITE)
    }

    /// Somebody else wrote in between, or the object is gone: the answer is another plan.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Api { source: kube::Error::Api(status), .. } if is_conflict(status))
    }
}

#[cfg(test)]
impl Error {
    /// The API server has answered with this code.
    pub fn answered(code: u16) -> Error {
        Error::put_off(code, 0)
    }

    /// The API server has answered with this code, and wants to be asked again after so many seconds.
    pub fn put_off(code: u16, seconds: u32) -> Error {
        let details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": seconds})).expect("details");
        let status = kube::core::Status { code, details: Some(details), ..kube::core::Status::default() };
        Error::Api { what: "change it".to_owned(), source: kube::Error::Api(Box::new(status)) }
    }
}

/// The API server says no, and will until somebody changes something: the template, a quota, or a webhook that is down (a 500 in
/// its words). That it has too much to do, that a namespace is not there yet, or that a list took too long and has to begin anew, is no answer
/// to the question.
pub fn is_refusal(status: &kube::core::Status) -> bool {
    let later = [404, 409, 410, 429, 503, 504].contains(&status.code);
    (400..=599).contains(&status.code) && (!later || is_denied(status))
}

/// Somebody else wrote in between, or the object is gone.
pub fn is_conflict(status: &kube::core::Status) -> bool {
    [404, 409].contains(&status.code) && !is_denied(status)
}

/// A webhook says no, by whatever code it likes: that of a conflict, say, or of a server that has too much to do. What it says begins with the API
/// server's words.
fn is_denied(status: &kube::core::Status) -> bool {
    status.message.starts_with("admission webhook ") && status.message.contains(" denied the request")
}

/// An error with its causes.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some say their cause themselves.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Says what was being done.
pub trait Doing<T> {
    /// Turns the error into ours.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, kube::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { what: what(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_will_be_so_the_next_time() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let source = serde_json::from_str::<serde_json::Value>(&deep).map_err(kube::Error::SerdeError);
        let error = source.doing(|| "read it".to_owned()).expect_err("it is nested too deep");
        assert!(error.lasts() && !error.is_conflict(), "{error:?}");
    }

    #[test]
    fn a_webhook_says_no_by_whatever_code_it_likes() {
        for code in [400, 403, 404, 409, 410, 429, 500, 503, 504] {
            let message = r#"admission webhook "freeze.example.com" denied the request: not on a Friday"#.to_owned();
            let status = kube::core::Status { code, message, ..kube::core::Status::default() };
            let denied = Error::Api { what: "change it".to_owned(), source: kube::Error::Api(Box::new(status)) };
            assert!(denied.lasts() && !denied.is_conflict(), "{code}");
            let answered = Error::answered(code);
            assert_eq!(answered.lasts(), [400, 403, 500].contains(&code), "{code}");
            assert_eq!(answered.is_conflict(), [404, 409].contains(&code), "{code}");
        }
    }
}

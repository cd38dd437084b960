//! What a person asks for, in the one annotation `greenlight.dev/request`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a person can ask of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Move the active Service to the revision that waits in preview.
    Promote,
    /// The same, skipping analyses and gates.
    PromoteFull,
    /// Reject the revision that waits for its promotion.
    Abort,
    /// Withdraw the rejection of the requested revision, and start it over.
    Retry,
    /// Reject the revision that serves, and move production to the one that served before. The spec is not changed.
    Rollback,
    /// Replace the serving pods one by one, without a new revision.
    Restart,
}

impl Verb {
    /// Every verb, in the order in which help lists them.
    pub const ALL: [Verb; 6] =
        [Verb::Promote, Verb::PromoteFull, Verb::Abort, Verb::Retry, Verb::Rollback, Verb::Restart];

    /// The word that is written in the annotation.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Promote => "promote",
            Verb::PromoteFull => "promote-full",
            Verb::Abort => "abort",
            Verb::Retry => "retry",
            Verb::Rollback => "rollback",
            Verb::Restart => "restart",
        }
    }

    /// The verb of RBAC on `bluegreenrollouts` that it takes, as the chart's policy on requests checks it.
    pub fn permission(self) -> &'static str {
        match self {
            Verb::Promote | Verb::PromoteFull | Verb::Retry => "promote",
            Verb::Abort | Verb::Rollback | Verb::Restart => self.as_str(),
        }
    }

    /// The command of `kubectl greenlight` that makes this request.
    pub fn command(self) -> &'static str {
        match self {
            Verb::PromoteFull => "promote --full",
            Verb::Rollback => "undo",
            Verb::Promote | Verb::Abort | Verb::Retry | Verb::Restart => self.as_str(),
        }
    }

    /// The verb of this word, if there is one.
    pub fn parse(word: &str) -> Option<Verb> {
        Verb::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

/// The value of `greenlight.dev/request`. One register, last writer wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is asked for.
    pub action: Verb,
    /// The hash of the revision that the asker had in mind: the one to promote, reject, retry or restart. If it does not have
    /// the role any more that the verb speaks of, the request is refused.
    pub revision: String,
    /// `rollback` only: the hash of the revision to serve instead; the last good one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who asks. Free text unless the admission policy of the chart is installed.
    #[serde(default)]
    pub by: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Why, in the asker's words. It goes into the record of what the request decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Request {
    /// A value has at most so many bytes; a longer one is refused.
    pub const LONGEST: usize = 1024;

    /// The annotation's value.
    pub fn to_value(&self) -> String {
        serde_json::to_string(self).expect("a request has only strings in it")
    }
}

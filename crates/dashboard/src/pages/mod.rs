//! How it looks. Everything that others wrote passes through `maud`, which escapes it, and through [`plain`].
//!
//! | page | file |
//! |---|---|
//! | what every page has | [`layout`] |
//! | the list | [`list`] |
//! | a rollout | [`rollout`], with its [`picture`] and the charts of its [`analyses`](analysis) |
//! | what will happen, and what came of it | [`confirm`] |
//! | the logs of a pod | [`logs`] |
//! | the object as it is | [`yaml`] |
//! | the way in | [`login`] |

pub mod analysis;
pub mod confirm;
pub mod layout;
pub mod list;
pub mod login;
pub mod logs;
pub mod picture;
pub mod rollout;
pub mod yaml;

use std::borrow::Cow;

use greenlight_api::Phase;
use greenlight_api::text::one_line;
use greenlight_overview::doctor::Finding;
use greenlight_overview::sentence;
use jiff::Timestamp;
use maud::{Markup, html};

/// Others' words, without what a reader would obey instead of see.
pub fn plain(text: &str) -> Cow<'_, str> {
    one_line(text)
}

/// A phase, as a word with a mark.
pub fn phase(phase: Phase) -> Markup {
    let (class, mark) = match phase {
        Phase::Healthy => ("healthy", "✔"),
        Phase::Progressing | Phase::Pending => ("moving", "◌"),
        Phase::Paused => ("paused", "‖"),
        Phase::Degraded => ("degraded", "✖"),
    };
    html! { span class={ "phase " (class) } { span aria-hidden="true" { (mark) } " " (phase.as_str()) } }
}

/// How long ago. The script counts; without it, the time stands there.
pub fn ago(at: Timestamp) -> Markup {
    html! { time data-ago datetime=(at) title=(at) { (at) } }
}

/// How long until.
pub fn left(at: Timestamp) -> Markup {
    html! { time data-left datetime=(at) title=(at) { (at) } }
}

/// What is wrong with the thing beside which it stands, and the command that fixes it.
pub fn findings(findings: &[&Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            ul class="findings" {
                @for finding in findings {
                    li class="finding" {
                        strong { (sentence(&finding.symptom)) }
                        @if !finding.cause.is_empty() { span class="cause" { (sentence(&finding.cause)) } }
                        span class="fix" { "To fix it: " code { (plain(&finding.fix)) } }
                    }
                }
            }
        }
    }
}

/// The path of a rollout's page.
pub fn path(key: &crate::row::Key) -> String {
    format!("/n/{}/{}", key.namespace, key.name)
}

/// The colour of a revision: one is blue, the next green. So that production and what comes next are told apart also if revisions between
/// them were rejected, two more colours come before it is blue again.
pub fn colour(number: i64) -> &'static str {
    match number.rem_euclid(4) {
        1 => "blue",
        2 => "green",
        3 => "violet",
        _ => "magenta",
    }
}

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
                        span class="fix" { "To fix it: " (coded(&finding.fix)) }
                    }
                }
            }
        }
    }
}

/// A way out as `doctor` tells it, with its commands and the names of fields as code.
pub fn coded(text: &str) -> Markup {
    let text = plain(text);
    html! { @for (is_code, part) in parts(&text) { @if is_code { code { (part) } } @else { (part) } } }
}

/// The parts of a text, in order, and whether each is code.
fn parts(text: &str) -> Vec<(bool, &str)> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((words, code, after)) = first_code(rest) {
        parts.extend([(false, words), (true, code)]);
        rest = after;
    }
    parts.push((false, rest));
    parts
}

/// The first code in a text, with what stands before and behind it.
fn first_code(text: &str) -> Option<(&str, &str, &str)> {
    let mut start = 0;
    for word in text.split(' ') {
        let bare = word.trim_end_matches([',', ';', ':', '.']);
        let length = if bare == "kubectl" { length_of_command(&text[start..]) } else { bare.len() };
        if bare == "kubectl" || is_field(bare) {
            let (words, rest) = text.split_at(start);
            let (code, after) = rest.split_at(length);
            return Some((words, code, after));
        }
        start += word.len() + 1;
    }
    None
}

/// How long the command is with which a text begins. What is quoted does not end it.
fn length_of_command(text: &str) -> usize {
    let mut is_quoted = false;
    for (at, letter) in text.char_indices() {
        is_quoted ^= letter == '\'';
        if !is_quoted && ["; ", ", or "].into_iter().any(|end| text[at..].starts_with(end)) {
            return at;
        }
    }
    text.len()
}

/// Whether a word is the name of a field: `spec.template`, `previewReplicaCount`.
fn is_field(word: &str) -> bool {
    let is_camel = word.starts_with(|first: char| first.is_ascii_lowercase()) && word.contains(char::is_uppercase);
    is_camel || word.starts_with("spec.")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_fields_are_code_and_what_is_said_around_them_is_not() {
        let told = |text: &str| coded(text).into_string();
        let retry = "kubectl greenlight retry web -n shop --context 'a; b'";
        assert_eq!(
            told(&format!("change spec.template, or {retry}")),
            format!("change <code>spec.template</code>, or <code>{retry}</code>")
        );
        assert_eq!(
            told("see why: kubectl get bgr; if for <nothing>, look: kubectl get pods"),
            "see why: <code>kubectl get bgr</code>; if for &lt;nothing&gt;, look: <code>kubectl get pods</code>"
        );
        assert_eq!(
            told("lower the requests or previewReplicaCount: kubectl describe pod web-1, or wait"),
            "lower the requests or <code>previewReplicaCount</code>: <code>kubectl describe pod web-1</code>, or wait"
        );
        let edit = "kubectl get services,pods -n shop";
        assert_eq!((told(edit), told("")), (format!("<code>{edit}</code>"), String::new()));
        assert_eq!(told("correct it\u{1b}"), "correct it\u{fffd}");
    }
}

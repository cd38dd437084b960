//! How facts are said, wherever they are shown.

use greenlight_api::text::one_line;
use jiff::{SignedDuration, Timestamp};

use crate::facts::{Facts, Revision, Role};

/// The role in a word or two.
pub fn role(facts: &Facts, revision: &Revision) -> String {
    let word = match revision.role {
        Role::Active => "active",
        Role::Preview => "next",
        Role::Returning => "returning",
        Role::Retiring => "retiring",
        Role::Old => "",
    };
    let shown =
        facts.services.iter().any(|service| service.role == "preview" && service.hash.as_ref() == Some(&revision.hash));
    if shown && revision.role != Role::Active { "preview".to_owned() } else { word.to_owned() }
}

/// `42s`, `3m10s`, `5h2m`, `4d`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).max(SignedDuration::ZERO).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86400),
    }
}

/// A message as a sentence, and nothing but text: it quotes what others wrote.
pub fn sentence(message: &str) -> String {
    if message.is_empty() {
        return "The operator has not looked at it yet.".to_owned();
    }
    let message = one_line(message);
    let mut chars = message.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

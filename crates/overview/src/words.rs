//! How facts are said, wherever they are shown.

use greenlight_api::text::one_line;
use jiff::{SignedDuration, Timestamp};

use crate::facts::{Facts, Revision, Role};

/// The role in a word or two.
pub fn role(facts: &Facts, revision: &Revision) -> String {
    role_of(facts, revision.role, &revision.hash)
}

/// The role of the revision with this hash, in a word or two.
pub fn role_of(facts: &Facts, role: Role, hash: &str) -> String {
    let word = match role {
        Role::Active => "active",
        Role::Preview => "next",
        Role::Returning => "returning",
        Role::Retiring => "retiring",
        Role::Old => "",
    };
    let shown = facts.services.iter().any(|service| service.role == "preview" && service.hash.as_deref() == Some(hash));
    if shown && role != Role::Active { "preview".to_owned() } else { word.to_owned() }
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

/// A denial by one of the policies of Greenlight's chart, without the names of that policy and its binding: they depend on how it was
/// installed, and the policy says itself what to do.
pub fn denial(message: &str) -> String {
    const POLICY: &str = "ValidatingAdmissionPolicy '";
    const DENIED: &str = " denied request: ";
    let named = message.split_once(POLICY).and_then(|(before, rest)| Some((before, rest.split_once(DENIED)?)));
    match named {
        Some((before, (names, why))) if names.split('\'').next().is_some_and(|name| name.contains("greenlight")) => {
            format!("{before}{why}")
        }
        _ => message.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_by_a_policy_of_ours_is_told_without_the_names_of_how_it_was_installed() {
        let of = |name: &str| {
            denial(&format!(
                "bluegreenrollouts \"web\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: ann may \
                 not promote"
            ))
        };
        for ours in ["greenlight-requests", "shop.greenlight-requests"] {
            assert_eq!(of(ours), "bluegreenrollouts \"web\" is forbidden: ann may not promote");
        }
        assert!(of("no-latest").contains("ValidatingAdmissionPolicy 'no-latest'"), "who wrote it has to be found");
        assert_eq!(denial("no"), "no");
    }
}

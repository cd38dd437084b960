//! What a person asked for, and what comes of it.
//!
//! The annotation is a register: it holds the last request, and keeps it after it was carried out. So a request must say by
//! itself, without the status, whether it is still meant. It is not when the set that it would act on says that it has seen
//! it ([`greenlight_api::names::SEEN_REQUEST`]): the set was asked for after the request was made, or the request was
//! carried out on it. Promotion and rejection need no such note: promoting the active and rejecting the rejected revision is
//! nothing.

use greenlight_api::{Approval, ObservedRequest, Rejection, Request, Verb, names};
use jiff::Timestamp;

use crate::target;
use crate::world::{ReplicaSet, World};

/// What the request in the register means now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The short request that was typed, written out.
    pub completed: Option<Request>,
    /// The asked-for revision may be promoted without waiting.
    pub promote: bool,
    /// The asked-for revision needs no gate and no analysis.
    pub full: bool,
    /// The asked-for revision is rejected by this request.
    pub reject: Option<Rejection>,
    /// The rejection of the asked-for revision is taken back by this request.
    pub retry: bool,
    /// Pods that were created before this time are to be replaced.
    pub restart: Option<Timestamp>,
    /// Somebody approves of the asked-for revision; this is not yet noted on it.
    pub approval: Option<Approval>,
    /// When it was made, if it was one that moves traffic.
    pub requested_at: Option<Timestamp>,
    /// Who made it, if it was one that moves traffic.
    pub requested_by: String,
    /// What to report about it.
    pub observed: Option<ObservedRequest>,
}

/// Reads the register.
pub fn read(world: &World, asked: Option<&ReplicaSet>, active: Option<&ReplicaSet>, now: Timestamp) -> Asked {
    let Some(value) = world.rollout.request.as_deref().filter(|value| !value.trim().is_empty()) else {
        return Asked::default();
    };
    let before = world.rollout.status.as_ref().and_then(|status| status.observed_request.as_ref());
    let before = before.filter(|observed| observed.value == value);
    if before.is_some_and(|observed| !observed.accepted) {
        return Asked { observed: before.cloned(), ..Asked::default() };
    }
    let observe = |accepted, answer: String| {
        // The first answer stands: a promotion that was accepted is not refused later because it has been done.
        Some(before.cloned().unwrap_or(ObservedRequest { value: value.to_owned(), accepted, answer }))
    };
    let refuse = |why: String| Asked { observed: observe(false, why), ..Asked::default() };

    let request = match parse(value) {
        Ok(Parsed::Full(request)) => request,
        // Until the revision exists, a bare verb cannot be meant for it.
        Ok(Parsed::Short(action, revision)) => {
            let unseen = asked.filter(|asked| asked.annotation(names::SEEN_REQUEST) != Some(value));
            let Some(asked) = unseen else { return Asked::default() };
            let revision = revision.unwrap_or_else(|| asked.hash.clone());
            let request = Request { action, revision, to: None, by: String::new(), at: now };
            return Asked { completed: Some(request), ..Asked::default() };
        }
        Err(why) => return refuse(why),
    };
    let Some(asked) = asked else { return Asked::default() };
    if asked.annotation(names::SEEN_REQUEST) == Some(value) {
        let answer = format!("{} of revision {} was carried out", request.action.as_str(), request.revision);
        return Asked { observed: observe(true, answer), ..Asked::default() };
    }
    if request.action == Verb::Restart {
        // Pods are replaced by their age, of whichever revision they are.
        return match active {
            Some(_) => Asked {
                restart: Some(request.at),
                observed: observe(true, "replacing the pods one by one".to_owned()),
                ..Asked::default()
            },
            None => refuse("nothing serves yet, so there is nothing to restart".to_owned()),
        };
    }
    if request.revision != asked.hash {
        return refuse(format!(
            "{} names revision {}, but the spec now asks for {}. Look at that one, and ask again for it",
            request.action.as_str(),
            request.revision,
            asked.hash,
        ));
    }
    let is_active = active.is_some_and(|active| active.name == asked.name);
    let accept = |answer: String| Asked { observed: observe(true, answer), ..Asked::default() };
    let revision = format!("revision {} ({})", asked.revision(), asked.hash);
    match request.action {
        Verb::Promote | Verb::PromoteFull if is_active => {
            let accepted = accept(format!("{revision} is active"));
            Asked { promote: true, requested_at: Some(request.at), requested_by: request.by, ..accepted }
        }
        Verb::Promote | Verb::PromoteFull => match asked.rejection() {
            Some(_) => refuse(format!("{revision} was rejected. Use retry to start it over")),
            None if world.rollout.spec.paused == Some(true) => {
                refuse("the rollout is paused by spec.paused. Resume it, then promote".to_owned())
            }
            None => approve(world, &request, asked, observe),
        },
        Verb::Abort | Verb::Rollback => reject(world, &request, asked, active, observe),
        Verb::Retry => match asked.rejection() {
            Some(_) => Asked { retry: true, ..accept(format!("starting {revision} over")) },
            None => refuse(format!("{revision} was not rejected, there is nothing to retry")),
        },
        Verb::Restart => unreachable!("answered above"),
    }
}

/// A promotion counts when enough people asked for it.
fn approve(
    world: &World,
    request: &Request,
    asked: &ReplicaSet,
    observe: impl Fn(bool, String) -> Option<ObservedRequest>,
) -> Asked {
    let revision = format!("revision {} ({})", asked.revision(), asked.hash);
    let needed = world.rollout.spec.blue_green().required_approvals();
    let mut approvals = asked.approvals();
    let known = approvals.iter().any(|approval| approval.by == request.by);
    let mut approval = None;
    if needed > 1 {
        if request.by.is_empty() {
            let why = format!(
                "{needed} people have to approve of {revision}, and this request does not say who asks. \
                 Use kubectl greenlight promote"
            );
            return Asked { observed: observe(false, why), ..Asked::default() };
        }
        if !known {
            let new = Approval { by: request.by.clone(), at: request.at };
            approvals.push(new.clone());
            approval = Some(new);
        }
        if approvals.len() < needed {
            let answer = format!("{} approves of {revision}, {} of {needed}", request.by, approvals.len());
            return Asked { approval, observed: observe(true, answer), ..Asked::default() };
        }
    }
    Asked {
        promote: true,
        full: request.action == Verb::PromoteFull,
        approval,
        requested_at: Some(request.at),
        requested_by: request.by.clone(),
        observed: observe(true, format!("promoting {revision}")),
        ..Asked::default()
    }
}

fn reject(
    world: &World,
    request: &Request,
    asked: &ReplicaSet,
    active: Option<&ReplicaSet>,
    observe: impl Fn(bool, String) -> Option<ObservedRequest>,
) -> Asked {
    let refuse = |why: String| Asked { observed: observe(false, why), ..Asked::default() };
    let is_active = active.is_some_and(|active| active.name == asked.name);
    let revision = format!("revision {} ({})", asked.revision(), asked.hash);
    if request.action == Verb::Abort && is_active && asked.rejection().is_none() {
        return refuse(format!("{revision} is active already. Use undo to go back to the revision before it"));
    }
    if let Some(hash) = &request.to {
        let Some(to) = target::living(world).find(|set| set.hash == *hash && set.name != asked.name) else {
            return refuse(format!("there is no revision {hash} to go back to: see history"));
        };
        // Going back passes no gate, so it leads only to where production has been.
        if to.promoted_at().is_none() {
            return refuse(format!(
                "revision {} ({hash}) was never promoted, so there is no going back to it. Ask for its template in the spec",
                to.revision()
            ));
        }
    }
    let Some(back_to) = target::fallback(world, asked, active, request.to.as_deref()) else {
        return refuse(format!("there is no earlier revision than {} to serve instead", asked.hash));
    };
    let rejection = Rejection {
        by: if request.by.is_empty() { "somebody".to_owned() } else { request.by.clone() },
        at: request.at,
        reason: if request.action == Verb::Abort { "aborted".to_owned() } else { "rolled back".to_owned() },
        to: request.to.clone(),
    };
    // A second undo of the same revision changes where to go back to; the same request again changes nothing.
    let standing = asked.rejection();
    let made = standing.as_ref() != Some(&rejection);
    Asked {
        reject: made.then_some(rejection),
        requested_at: Some(request.at),
        requested_by: request.by.clone(),
        observed: observe(
            true,
            format!("rejecting {revision}, serving revision {} ({})", back_to.revision(), back_to.hash),
        ),
        ..Asked::default()
    }
}

enum Parsed {
    Full(Request),
    /// `promote`, or `promote <hash>`.
    Short(Verb, Option<String>),
}

fn parse(value: &str) -> Result<Parsed, String> {
    let value = value.trim();
    let mut words = value.split_whitespace();
    if let (Some(verb), revision, None) = (words.next().and_then(Verb::parse), words.next(), words.next()) {
        return Ok(Parsed::Short(verb, revision.map(str::to_owned)));
    }
    if value.starts_with('{') {
        return serde_json::from_str(value)
            .map(Parsed::Full)
            .map_err(|error| format!("the request is not readable: {error}. Write a verb, or {EXAMPLE}"));
    }
    let verbs: Vec<_> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    Err(format!("there is no request {value:?}. Write one of {}, and the revision's hash after it", verbs.join(", ")))
}

const EXAMPLE: &str = r#"{"action":"promote","revision":"<hash>","by":"<you>","at":"<RFC 3339>"}"#;

//! The picture of a rollout: from the hosts by the Services to the pods, one lane for production and one for the preview, and one for
//! each revision that still runs beside them.

use std::collections::BTreeSet;

use greenlight_overview::doctor::About;
use greenlight_overview::{PodFact, Revision, Role, ServiceFact, Unseen};
use maud::{Markup, html};

use super::{ago, colour, findings, left, path, plain};
use crate::detail::{Detail, Endpoint};
use crate::row::Key;

/// How many pods of a revision, and how many endpoints of a Service, are shown one by one: a page is made anew with each change of one of them.
const MOST: usize = 60;

/// The picture.
pub fn picture(key: &Key, detail: &Detail) -> Markup {
    let facts = &detail.facts;
    let serving = |service: &&ServiceFact| service.role == "active";
    let active: Vec<_> = facts.services.iter().filter(serving).collect();
    let preview: Vec<_> = facts.services.iter().filter(|service| !serving(service)).collect();
    let of = |services: &[&ServiceFact]| {
        let hash = services.first().and_then(|service| service.hash.clone());
        facts.revisions.iter().find(|revision| Some(&revision.hash) == hash.as_ref())
    };
    // Workers have no Service, in an overlap it selects two, and not everybody may see it; production is with the revision that serves all
    // the same.
    let serves = facts.revisions.iter().find(|revision| revision.role == Role::Active);
    let (in_production, in_preview) = (of(&active).or(serves), of(&preview));
    let shown = [in_production, in_preview].map(|revision| revision.map(|revision| revision.hash.as_str()));
    let others: Vec<_> = facts
        .revisions
        .iter()
        .filter(|revision| !shown.contains(&Some(&revision.hash)))
        .filter(|revision| {
            let is_wrong = !detail.findings_about(&About::ReplicaSet(revision.replica_set.clone())).is_empty();
            revision.desired > 0 || !revision.pods.is_empty() || revision.role == Role::Preview || is_wrong
        })
        .collect();
    let same = in_production.is_some() && shown[0] == shown[1];
    html! {
        div class="picture" {
            (lane("Production", &active, in_production, key, detail))
            @if !preview.is_empty() && same {
                (lane("Preview", &preview, None, key, detail))
            } @else if !preview.is_empty() {
                (lane("Preview", &preview, in_preview, key, detail))
            }
            @for (number, revision) in others.iter().enumerate() {
                // Two of a name could not be told apart by who hears the page.
                @let again = others[..number].iter().any(|before| aside(before) == aside(revision));
                @let title = if again { format!("{}: revision {}", aside(revision), revision.number) } else { aside(revision).to_owned() };
                (lane(&title, &[], Some(revision), key, detail))
            }
        }
    }
}

/// What a revision is that no Service shows.
fn aside(revision: &Revision) -> &'static str {
    match revision.role {
        Role::Retiring => "Kept for a while",
        Role::Preview => "Starting",
        Role::Returning => "Coming back",
        Role::Active | Role::Old => "Still there",
    }
}

fn lane(title: &str, services: &[&ServiceFact], revision: Option<&Revision>, key: &Key, detail: &Detail) -> Markup {
    let hosts: Vec<&String> = services.iter().flat_map(|service| &service.urls).collect();
    html! {
        section class={ "lane " (revision.map_or("", |revision| colour(revision.number))) } aria-label=(title) {
            h2 { (title) }
            @if !services.is_empty() {
                div class="stop hosts" {
                    @for url in &hosts { (host(url)) }
                    @if hosts.is_empty() {
                        span class="dim" { (if detail.doors.is_some() { "inside the cluster" } else { "hosts unknown" }) }
                    }
                    @for door in doors_of(services, detail) { (findings(&detail.findings_about(&About::Ingress(door.clone())))) }
                }
                span class="arrow" aria-hidden="true" {}
                div class="stop" { @for service in services { (service_of(service, detail)) } }
                span class="arrow" aria-hidden="true" {}
            }
            div class="stop pods" {
                @match revision {
                    Some(revision) => (replica_set(revision, key, detail)),
                    None => p class="dim" { (nothing(services, detail)) },
                }
            }
        }
    }
}

/// The Ingresses that lead to any of these Services; those that also lead to production stand there.
fn doors_of<'a>(services: &[&ServiceFact], detail: &'a Detail) -> BTreeSet<&'a String> {
    let of = |role: &str| {
        let services = detail.facts.services.iter().filter(move |service| service.role == role);
        services.filter_map(|service| detail.doors.as_ref()?.get(&service.name)).flatten().collect::<BTreeSet<_>>()
    };
    if services.iter().any(|service| service.role == "active") { of("active") } else { &of("preview") - &of("active") }
}

fn nothing(services: &[&ServiceFact], detail: &Detail) -> String {
    let hash = services.first().and_then(|service| service.hash.as_ref());
    match detail.facts.revisions.iter().find(|revision| Some(&revision.hash) == hash) {
        Some(revision) => format!("the same as production: revision {}", revision.number),
        None if !detail.shows(Unseen::REPLICA_SETS) || !detail.shows(Unseen::SERVICES) => "revision unknown".to_owned(),
        None => "no revision yet".to_owned(),
    }
}

/// An address. Only what a browser can open is a link: others write it.
fn host(url: &str) -> Markup {
    let shown = url.split_once("://").map_or(url, |(_, shown)| shown);
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    html! {
        @if is_web { a class="host" href=(url) rel="noopener noreferrer" target="_blank" { (plain(shown)) } }
        @else { span class="host" { (plain(shown)) } }
    }
}

/// A Service with the proof of its endpoints: each is a dot in the colour of the revision that it leads to.
fn service_of(service: &ServiceFact, detail: &Detail) -> Markup {
    let of_service = detail.endpoints.as_ref().and_then(|endpoints| endpoints.get(&service.name));
    let endpoints = of_service.map_or(&[][..], Vec::as_slice);
    html! {
        div class="service" {
            span class="kind" { "Service" } " " strong { (service.name) }
            @if service.exists {
                @let (shown, left_out) = first(endpoints, |endpoint| {
                    endpoint.ready && revision_of(endpoint, detail).map(|revision| &revision.hash) == service.hash.as_ref()
                });
                p class="endpoints" {
                    @for endpoint in &shown { (dot(endpoint, detail)) }
                    @if left_out > 0 { span class="dim" { "and " (left_out) " more " } }
                    span class="dim" { " " (proof(service, endpoints, detail)) }
                }
            } @else if !detail.shows(Unseen::SERVICES) {
                p class="dim" { "not shown to you" }
            } @else { p class="bad" { "does not exist" } }
            (findings(&detail.findings_about(&About::Service(service.name.clone()))))
        }
    }
}

/// What the endpoints prove: a move is proven when all the pods of the revision are ready endpoints, and nobody else is.
fn proof(service: &ServiceFact, endpoints: &[Endpoint], detail: &Detail) -> String {
    if detail.endpoints.is_none() {
        return "endpoints unknown".to_owned();
    }
    let Some(hash) = &service.hash else { return "selects no single revision".to_owned() };
    let ready: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.ready).collect();
    // An endpoint is of a pod, and the pod of a ReplicaSet.
    if !detail.shows(Unseen::PODS) || !detail.shows(Unseen::REPLICA_SETS) {
        return format!("{} endpoints; whose they are is unknown", ready.len());
    }
    let is_wanted = |revision: &&Revision| revision.hash == *hash;
    let right = ready.iter().filter(|endpoint| revision_of(endpoint, detail).as_ref().is_some_and(is_wanted)).count();
    let others = match ready.len() - right {
        0 => String::new(),
        others => format!(", and {others} of others"),
    };
    match detail.facts.revisions.iter().find(is_wanted) {
        Some(revision) => {
            format!("{right} of {} pods of revision {} are ready endpoints{others}", revision.desired, revision.number)
        }
        None => format!("revision {hash} has no ReplicaSet; {} endpoints are ready", ready.len()),
    }
}

fn revision_of<'a>(endpoint: &Endpoint, detail: &'a Detail) -> Option<&'a Revision> {
    let pod = endpoint.pod.as_ref()?;
    detail.facts.revisions.iter().find(|revision| revision.pods.iter().any(|known| known.name == *pod))
}

fn dot(endpoint: &Endpoint, detail: &Detail) -> Markup {
    let revision = revision_of(endpoint, detail);
    let state = if endpoint.ready { "ready" } else { "not ready" };
    // Whoever writes slices by hand may write any name.
    let name = plain(endpoint.pod.as_ref().unwrap_or(&endpoint.address));
    let title = match revision {
        Some(revision) => format!("{name}: revision {}, {state}", revision.number),
        None if !detail.shows(Unseen::PODS) || !detail.shows(Unseen::REPLICA_SETS) => format!("{name}: {state}"),
        None => format!("{name}: no revision, {state}"),
    };
    let class =
        format!("dot {} {}", revision.map_or("", |r| colour(r.number)), if endpoint.ready { "" } else { "hollow" });
    html! { span class=(class) title=(title) role="img" aria-label=(title) {} }
}

fn replica_set(revision: &Revision, key: &Key, detail: &Detail) -> Markup {
    html! {
        p class="set" {
            span class={ "chip " (colour(revision.number)) } { (revision.number) }
            " " strong { (plain(&revision.title)) }
            " " span class="dim" { (revision.hash) }
        }
        p {
            meter min="0" max=(revision.desired.max(1)) value=(revision.ready) aria-label="ready pods" {}
            " " (revision.ready) " of " (revision.desired) " ready"
            @if let Some(at) = revision.scale_down_at { " · scaled down in " (left(at)) }
        }
        (findings(&detail.findings_about(&About::ReplicaSet(revision.replica_set.clone()))))
        @let (shown, left_out) = first(&revision.pods, is_well);
        ul class="podlist" {
            @for pod in &shown { (pod_of(pod, key, detail)) }
            @if left_out > 0 { li class="dim" { "and " (left_out) " more" } }
        }
    }
}

/// Of many things the first, and how many are left out. What is not as it should be comes before the others then.
fn first<T>(all: &[T], is_usual: impl Fn(&T) -> bool) -> (Vec<&T>, usize) {
    let mut shown: Vec<&T> = all.iter().collect();
    if shown.len() > MOST {
        shown.sort_by_cached_key(|&thing| is_usual(thing));
        shown.truncate(MOST);
    }
    (shown, all.len().saturating_sub(MOST))
}

fn is_well(pod: &PodFact) -> bool {
    pod.ready && pod.state == "Running"
}

fn pod_of(pod: &PodFact, key: &Key, detail: &Detail) -> Markup {
    html! {
        li class=(if pod.ready { "well" } else { "ill" }) {
            span aria-hidden="true" { (if pod.ready { "✔" } else { "✖" }) } " "
            a href={ (path(key)) "/logs/" (pod.name) } { (pod.name) }
            @if !is_well(pod) { " " span class="why" { (plain(&pod.state)) } }
            @if pod.restarts > 0 { " " span class="dim" { (pod.restarts) " restarts" } }
            @if let Some(created) = pod.created { " " span class="dim" { (ago(created)) } }
            (findings(&detail.findings_about(&About::Pod(pod.name.clone()))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_pods_those_that_are_not_well_are_shown_and_the_others_counted() {
        let pod = |number: usize| PodFact {
            name: format!("web-{number:03}"),
            ready: number != 498,
            state: "Running".to_owned(),
            restarts: 0,
            created: None,
        };
        let pods: Vec<PodFact> = (0..500).map(pod).collect();
        let (shown, left_out) = first(&pods, is_well);
        assert_eq!((shown.len(), left_out), (MOST, 440));
        assert_eq!((shown[0].name.as_str(), shown[1].name.as_str()), ("web-498", "web-000"));
        let (shown, left_out) = first(&pods[490..], is_well);
        assert_eq!((shown.len(), left_out, shown[0].name.as_str()), (10, 0, "web-490"), "a few stay where they are");
    }

    #[test]
    fn what_comes_next_has_another_colour_than_production_also_after_three_that_were_rejected() {
        for serving in 1..12 {
            let next: Vec<&str> = (1..4).map(|later| colour(serving + later)).collect();
            assert!(!next.contains(&colour(serving)), "{serving}: {next:?}");
        }
        assert_eq!((colour(1), colour(2)), ("blue", "green"));
    }
}

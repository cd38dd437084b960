//! A rollout. The page is made of sections, and only those that have changed are sent again.

use greenlight_api::{Approval, BlueGreen, RevisionRecord, Verdict};
use greenlight_core::analysis::Kind;
use greenlight_core::analysis::name::run_suffix;
use greenlight_core::approvals;
use greenlight_overview::doctor::About;
use greenlight_overview::unseen::failure;
use greenlight_overview::{Revision, Unseen, role, sentence};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{Frame, page};
use super::picture::picture;
use super::{ago, analysis, coded, colour, findings, left, path, phase, plain};
use crate::action::{Action, Offer, can_return, offers};
use crate::detail::{Detail, EVENTS};
use crate::rights::Rights;
use crate::row::Key;
use crate::silence::Silence;

/// Of a longer value only this much is shown.
const LONGEST_VALUE: usize = 2000;

/// A part of the page that changes as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its identity within the page.
    pub id: &'static str,
    /// What is in it.
    pub html: String,
}

/// The whole page.
pub fn rollout(frame: &Frame, key: &Key, sections: &[Section]) -> Markup {
    page(
        &key.name,
        Some(frame),
        &html! {
            nav class="crumbs" {
                a href="/" { "Rollouts" } " › "
                a href={ "/?namespace=" (key.namespace) } { (key.namespace) } " › " span { (key.name) }
            }
            div id="rollout" data-live={ (path(key)) "/live" } {
                @for section in sections { div id=(section.id) class="section" { (maud::PreEscaped(&section.html)) } }
            }
        },
    )
}

/// The page of a rollout that cannot be shown. It waits for it to come.
pub fn missing(frame: &Frame, key: &Key, why: &str) -> Markup {
    page(
        &key.name,
        Some(frame),
        &html! {
            nav class="crumbs" { a href="/" { "Rollouts" } " › " span { (key.name) } }
            section id="rollout" class="card" data-live={ (path(key)) "/live?missing=true" } {
                h1 { (key.name) } p class="notice bad" { (plain(why)) }
            }
        },
    )
}

/// The page of what cannot be shown.
pub fn failed(frame: &Frame, title: &str, why: &str) -> Markup {
    page(
        title,
        Some(frame),
        &html! {
            nav class="crumbs" { a href="/" { "Rollouts" } " › " span { (title) } }
            section class="card" { h1 { (title) } p class="notice bad" { (plain(why)) } }
        },
    )
}

/// The sections of a page, from top to bottom.
pub fn sections(key: &Key, detail: &Detail, rights: &Rights, read_only: bool) -> Vec<Section> {
    let sections = [
        ("head", head(key, detail, rights, read_only)),
        ("picture", html! { (picture(key, detail)) }),
        ("steps", steps_of(detail)),
        ("analyses", analyses(detail)),
        ("differences", differences(detail)),
        ("history", history(key, detail, rights, read_only)),
        ("events", events(detail)),
        ("yaml", html! { p { a href={ (path(key)) "/yaml" } { "YAML" } } }),
    ];
    let sections = sections.into_iter().map(|(id, html)| Section { id, html: html.into_string() });
    std::iter::once(silence_section(None)).chain(sections).collect()
}

/// That nothing is heard of the API server, and since when; `None`: it answers.
pub fn silence_section(silence: Option<&Silence>) -> Section {
    let html = html! {
        @if let Some(Silence { since, why }) = silence {
            p class="notice bad" role="status" { (plain(why)) " What you see was read " (ago(*since)) " ago." }
        }
    };
    Section { id: "silence", html: html.into_string() }
}

fn head(key: &Key, detail: &Detail, rights: &Rights, read_only: bool) -> Markup {
    let facts = &detail.facts;
    let offers = offers(facts, detail.spec.blue_green(), detail.spec.paused == Some(true), rights.user());
    html! {
        div class="title" {
            h1 { (facts.name) } (phase(facts.status.phase))
            @if let Some(since) = facts.since { span class="dim" { "for " (ago(since)) } }
        }
        p class="says" aria-live="polite" { (sentence(&facts.status.message)) }
        @if let Some(observed) = facts.status.observed_request.as_ref().filter(|observed| !observed.accepted && !is_told(detail, &observed.answer)) {
            p class="notice bad" { "The last request was refused: " (sentence(&observed.answer)) }
        }
        @if let Some(cause) = &facts.change_cause { p class="dim" { "Change cause: " (plain(cause)) } }
        (about_rollout(detail))
        (unseen(key, detail, rights))
        @if !read_only {
            div class="buttons" { @for offer in &offers { (button(key, offer, "", rights)) } }
            (why_not(key, &offers, rights))
        }
    }
}

/// What the page does not show, why, and what would let the caller see it.
fn unseen(key: &Key, detail: &Detail, rights: &Rights) -> Markup {
    let denied: Vec<_> = detail.unseen.iter().filter(|unseen| unseen.denied).map(|unseen| unseen.what).collect();
    let of_view = denied.iter().any(|what| *what != EVENTS);
    let of_events = denied.contains(&EVENTS);
    let failed: Vec<_> = detail.unseen.iter().filter_map(failure).collect();
    html! {
        @if !denied.is_empty() {
            div class="notice" {
                "Not shown, because you lack the right: " (denied.join("; ")) "."
                @if of_events { " The Events take a Role with the verbs get, list and watch on events.events.k8s.io." }
                @if of_view { " ClusterRole view lets people see " (if of_events { "the rest" } else { "it" }) ": " code { (rights.to_look(key)) } }
            }
        }
        @if !failed.is_empty() {
            div class="notice bad" { "Not shown, because it could not be read just now: " (plain(&failed.join("; "))) "." }
        }
    }
}

/// What is wrong with the rollout itself. Of what its message says already only the way out is told: a revision that somebody took back on
/// purpose is no fault.
fn about_rollout(detail: &Detail) -> Markup {
    let all = detail.findings_about(&About::Rollout);
    let (told, new): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|finding| finding.cause == detail.facts.status.message);
    html! {
        @for finding in told { p class="notice" { "What to do: " (coded(&finding.fix)) } }
        (findings(&new))
    }
}

/// Whether a finding says this.
fn is_told(detail: &Detail, answer: &str) -> bool {
    detail.findings.iter().any(|finding| finding.cause == answer)
}

fn button(key: &Key, offer: &Offer, to: &str, rights: &Rights) -> Markup {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("revision", &offer.revision).append_pair("to", to);
    let href = format!("{}/ask/{}?{}", path(key), offer.action.word(), query.finish());
    html! {
        @match rights.denial(offer.action, key) {
            Some(why) => button class={ "button " (offer.action.word()) } disabled title=(plain(&why)) aria-describedby="why-not" { (offer.label) },
            None => a class={ "button " (offer.action.word()) } role="button" data-dialog href=(href) { (offer.label) },
        }
    }
}

/// Why buttons are grey: each right that is missing, once.
fn why_not(key: &Key, offers: &[Offer], rights: &Rights) -> Markup {
    let denials = rights.denials(offers.iter().map(|offer| offer.action), key);
    let is_some_allowed = offers.iter().any(|offer| rights.allow(offer.action));
    html! {
        @if !denials.is_empty() {
            details id="why-not" class="why-not" {
                summary { (if is_some_allowed { "Why some of this is grey" } else { "Why this is grey" }) }
                ul {
                    @for denial in &denials {
                        li {
                            (plain(&denial.lack))
                            @for remedy in &denial.remedies { p { (plain(&remedy.words)) ": " code { (plain(&remedy.command)) } } }
                        }
                    }
                }
            }
        }
    }
}

/// A step of a release.
struct Step {
    label: String,
    at: Option<Timestamp>,
    note: Option<Markup>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Done,
    Ahead,
    Failed,
}

fn steps_of(detail: &Detail) -> Markup {
    let steps = steps(detail);
    let now = steps.iter().position(|step| step.state != State::Done);
    html! {
        @if !steps.is_empty() {
            section class="card" {
                h2 { "The release" }
                ol class="steps" {
                    @for (index, step) in steps.iter().enumerate() {
                        @let (class, mark) = match step.state {
                            State::Failed => ("failed", "✖"),
                            State::Done => ("done", "✔"),
                            State::Ahead if now == Some(index) => ("now", "●"),
                            State::Ahead => ("ahead", "○"),
                        };
                        li class=(class) aria-current=[(class == "now").then_some("step")] {
                            span class="mark" aria-hidden="true" { (mark) }
                            span class="label" { (step.label) }
                            @if let Some(at) = step.at { span class="dim" { (ago(at)) " ago" } }
                            @if let Some(note) = &step.note { span class="note" { (note) } }
                        }
                    }
                }
            }
        }
    }
}

/// The steps of the newest revision's release, with their times.
fn steps(detail: &Detail) -> Vec<Step> {
    let status = &detail.facts.status;
    let hash = &status.updated_revision;
    let Some(record) = status.decisions.as_ref().and_then(|decisions| decisions.revision(hash)) else {
        return Vec::new();
    };
    let blue_green = detail.spec.blue_green();
    let release = status.release.as_ref().filter(|release| release.revision == *hash);
    let switch = status.switch.as_ref().filter(|switch| switch.to == *hash);
    // What was undone has moved traffic, too, though the last switch is the way back.
    let undone =
        record.rejection.as_ref().is_some_and(|rejection| record.left_at.is_none_or(|left| left >= rejection.at));
    let undone = record.served_at.filter(|_| undone);
    let switched = switch.is_some() || undone.is_some();
    let revision = detail.facts.revisions.iter().find(|revision| revision.hash == *hash);
    let is_first = switch.is_some_and(|switch| switch.from.is_empty());
    let seen = release.map(|release| release.seen_at).or(revision.and_then(|revision| revision.created));
    let mut steps = vec![step(&format!("Revision {} is requested", record.number), seen, true, None)];
    let ready_at = record.preview_ready_at.or(release.and_then(|release| release.preview_ready_at));
    let pods = revision.map(|revision| html! { (revision.ready) " of " (revision.desired) " ready" });
    steps.push(step("Its pods are available", ready_at, switched || ready_at.is_some(), pods));
    if blue_green.pre_promotion_analysis.is_some() && !is_first {
        let (at, note) = analysed(detail, record, Kind::Pre);
        steps.push(step("Analysis before the promotion", at, record.pre_promotion.is_some(), note));
    }
    let waits = blue_green.awaits_people() && !is_first;
    let promoted_at = promoted_at(record, switch.map(|switch| switch.switched_at));
    if waits || promoted_at.is_some() {
        steps.push(promotion(blue_green, record, promoted_at, switched));
    }
    steps.push(step("Traffic is moved", switch.map(|switch| switch.switched_at), switched, None));
    let proven = switch.and_then(|switch| switch.proven_at).or(undone);
    steps.push(step("The move is proven by the endpoints", proven, proven.is_some(), None));
    if blue_green.post_promotion_analysis.is_some() && !is_first {
        let (at, note) = analysed(detail, record, Kind::Post);
        steps.push(step("Analysis after the promotion", at, record.post_promotion.is_some(), note));
    }
    // Whoever does not see the ReplicaSets is not told that there are none.
    if !is_first && undone.is_none() && detail.shows(Unseen::REPLICA_SETS) {
        let retires = detail.facts.revisions.iter().filter_map(|revision| revision.scale_down_at).max();
        let note = retires.map(|at| html! { "in " (left(at)) });
        // One whose end was not written down yet, since the API server refuses that say, has its pods all the same.
        let from = switch.map(|switch| switch.from.as_str()).unwrap_or_default();
        let is_there = detail.facts.revisions.iter().any(|revision| revision.hash == from && revision.desired > 0);
        let gone = proven.is_some() && retires.is_none() && !is_there;
        steps.push(step("The old pods are gone", None, gone, note));
    }
    if let Some(rejection) = &record.rejection {
        steps.retain(|step| step.state == State::Done);
        let note = html! { "by " (plain(&rejection.by)) ": " (plain(&rejection.reason)) };
        steps.push(Step {
            label: "It is rejected".to_owned(),
            at: Some(rejection.at),
            note: Some(note),
            state: State::Failed,
        });
    }
    level(&mut steps);
    steps
}

fn step(label: &str, at: Option<Timestamp>, done: bool, note: Option<Markup>) -> Step {
    Step { label: label.to_owned(), at, note, state: if done { State::Done } else { State::Ahead } }
}

/// When the last person promoted the revision before production moved to it. Who promotes it after that keeps it in spite of its analysis.
fn promoted_at(record: &RevisionRecord, moved_at: Option<Timestamp>) -> Option<Timestamp> {
    // Whoever asks may have a clock that is ahead, and what is on record may have been heard once more after the move.
    let asked = |approval: &Approval| approval.heard_at.map_or(approval.at, |heard| heard.min(approval.at));
    let is_before =
        |at: &Timestamp| moved_at.is_none_or(|moved| at.duration_since(moved) < SignedDuration::from_secs(1));
    record.approvals.iter().map(asked).rfind(is_before)
}

/// The step in which people promote the revision, which is done once they have, or production has moved.
fn promotion(blue_green: &BlueGreen, record: &RevisionRecord, at: Option<Timestamp>, switched: bool) -> Step {
    let needed = blue_green.required_approvals();
    let note = html! {
        @for approval in &record.approvals {
            span { "by " (plain(if approval.by.is_empty() { "somebody" } else { &approval.by }))
                @if let Some(reason) = &approval.reason { ": “" (plain(reason)) "”" } " " }
        }
        @if record.approvals.is_empty() && needed > 1 { "takes " (needed) " people" }
    };
    let label = if needed > 1 { "Approval" } else { "Promotion" };
    let given = approvals::counted(blue_green, record).len();
    step(label, at, given >= needed || switched, Some(note))
}

/// Makes no step seem to come after the next one by less than a second: some times are those of whoever asked, and others those at which
/// the operator began a round of its work. More than that is told as it is.
fn level(steps: &mut [Step]) {
    let mut next: Option<Timestamp> = None;
    for step in steps.iter_mut().rev() {
        let Some(at) = step.at else { continue };
        let is_level = next.is_some_and(|next| at > next && at.duration_since(next) < SignedDuration::from_secs(1));
        let at = next.filter(|_| is_level).unwrap_or(at);
        step.at = Some(at);
        next = Some(at);
    }
}

/// When an analysis of a revision was over, or when it began if it is not, and what came of it.
fn analysed(detail: &Detail, record: &RevisionRecord, kind: Kind) -> (Option<Timestamp>, Option<Markup>) {
    let suffix = run_suffix(record, kind);
    let run = detail.runs.iter().find(|run| run.name_any().ends_with(&suffix)).and_then(|run| run.status.as_ref());
    let at = run.and_then(|run| run.completed_at.or(run.started_at));
    let verdict = match kind {
        Kind::Pre => record.pre_promotion,
        Kind::Post => record.post_promotion,
    };
    let word = match verdict {
        Some(Verdict::Passed) => "passed",
        Some(Verdict::Accepted) => "accepted by a person",
        Some(Verdict::NotNeeded) => "not needed",
        None if run.is_some_and(|run| run.completed_at.is_none()) => "running",
        None => return (at, None),
    };
    (at, Some(html! { (word) }))
}

fn analyses(detail: &Detail) -> Markup {
    html! {
        @if !detail.runs.is_empty() {
            section class="card" { h2 { "Analyses" } @for run in detail.runs.iter().take(4) { (analysis::run(run)) } }
        }
    }
}

fn differences(detail: &Detail) -> Markup {
    html! {
        @if !detail.differences.is_empty() {
            section class="card" {
                h2 { "What is new" }
                div class="scroll" tabindex="0" role="region" aria-label="differences" {
                    table {
                        thead { tr { th scope="col" { "Field" } th scope="col" { "Serves" } th scope="col" { "Newest" } } }
                        tbody {
                            @for difference in &detail.differences {
                                tr {
                                    td { code { (plain(&difference.field)) } }
                                    td { @if let Some(before) = &difference.before { del { (plain(&text_of(before))) } } }
                                    td { @if let Some(after) = &difference.after { ins { (plain(&text_of(after))) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value as it is written in YAML, on one line.
fn text_of(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{} … and {} more bytes", &text[..end], text.len() - end),
        None => text,
    }
}

fn history(key: &Key, detail: &Detail, rights: &Rights, read_only: bool) -> Markup {
    let facts = &detail.facts;
    html! {
        section class="card" {
            h2 { "History" }
            @if !detail.shows(Unseen::REPLICA_SETS) { p class="dim" { "The ReplicaSets, which are the revisions, are not shown to you." } }
            ol class="history" { @for revision in &facts.revisions { li { (entry(key, detail, revision, rights, read_only)) } } }
        }
    }
}

fn entry(key: &Key, detail: &Detail, revision: &Revision, rights: &Rights, read_only: bool) -> Markup {
    let facts = &detail.facts;
    let decisions = facts.status.decisions.clone().unwrap_or_default();
    let record = decisions.revision(&revision.hash).cloned().unwrap_or_default();
    let serves = decisions.serving == revision.hash;
    let number = revision.number;
    html! {
        span class={ "chip " (colour(number)) } { (number) } " "
        strong { (plain(&revision.title)) } " " span class="dim" { (revision.hash) } " "
        @let role = role(facts, revision);
        @if !role.is_empty() { span class="tag" { (role) } }
        ul class="did" {
            @if let Some(created) = revision.created { li { "created " (ago(created)) " ago" } }
            @for approval in &record.approvals {
                li { "promotion asked for by " (plain(if approval.by.is_empty() { "somebody" } else { &approval.by }))
                    @if approval.full { ", without waiting" }
                    @if let Some(reason) = &approval.reason { ": “" (plain(reason)) "”" } }
            }
            @if let Some(served) = record.served_at {
                li {
                    @match record.left_at.filter(|left| *left > served) {
                        _ if serves => { "has served for " (ago(served)) },
                        Some(left) => { "served for " time data-span=(left) datetime=(served) { (served) " – " (left) } ", until " (ago(left)) " ago" },
                        None => { "began to serve " (ago(served)) " ago" },
                    }
                }
            }
            @if let Some(rejection) = &revision.rejected {
                li class="bad" { "rejected by " (plain(&rejection.by)) " " (ago(rejection.at)) " ago: " (plain(&rejection.reason)) }
            }
        }
        @if !read_only && can_return(&revision.hash, facts) {
            (button(key, &Offer { action: Action::Undo, revision: decisions.serving.clone(), label: format!("Go back to {number}") }, &revision.hash, rights))
        }
    }
}

fn events(detail: &Detail) -> Markup {
    html! {
        @if !detail.events.is_empty() {
            section class="card" {
                h2 { "Events" }
                ul class="events" {
                    @for event in &detail.events {
                        li class=(if event.kind == "Warning" { "bad" } else { "" }) {
                            span class="dim when" { @if let Some(at) = event.at { (ago(at)) } }
                            span { strong { (plain(&event.reason)) } " " (plain(&event.note)) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_keeps_what_serves_has_not_promoted_it_after_the_move() {
        let at = |second: &str| format!("2026-11-28T20:00:{second}Z").parse::<Timestamp>().expect("a time");
        let approval = |by: &str, second: &str| {
            let approval = json!({"by": by, "at": at(second), "heardAt": at(second)});
            serde_json::from_value::<Approval>(approval).expect("an approval")
        };
        let of = |approvals: Vec<Approval>, moved_at: Option<Timestamp>| {
            promoted_at(&RevisionRecord { approvals, ..RevisionRecord::default() }, moved_at)
        };
        let both = || vec![approval("ann", "10"), approval("bob", "40")];
        assert_eq!(of(both(), None), Some(at("40")), "two people may be needed");
        assert_eq!(of(both(), Some(at("11"))), Some(at("10")), "bob keeps it");
        assert_eq!(of(vec![approval("bob", "40")], Some(at("11"))), None, "a timer promoted it");
    }

    #[test]
    fn no_step_seems_younger_than_the_next_by_a_fraction_of_a_second() {
        let step = |at: Option<&str>| Step {
            label: String::new(),
            at: at.map(|at| format!("2026-11-28T{at}Z").parse().expect("a time")),
            note: None,
            state: State::Done,
        };
        let told = |times: &[Option<&str>]| {
            let mut steps: Vec<Step> = times.iter().copied().map(step).collect();
            level(&mut steps);
            steps.iter().map(|step| step.at.map(|at| at.to_string())).collect::<Vec<_>>()
        };
        let [requested, moved, proven] = ["20:00:09.700", "20:00:09", "20:00:09.900"];
        assert_eq!(
            told(&[Some(requested), None, Some(moved), Some(proven)]),
            told(&[Some(moved), None, Some(moved), Some(proven)])
        );
        let long_before = "19:00:00";
        let returned = told(&[Some(requested), Some(long_before)]);
        assert!(returned[0] > returned[1], "it was requested again: {returned:?}");
    }
}

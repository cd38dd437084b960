//! The list of rollouts.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenlight_overview::sentence;
use maud::{Markup, PreEscaped, html};

use super::layout::{Frame, page};
use super::rollout::silence_section;
use super::{ago, colour, path, phase, plain};
use crate::labels;
use crate::row::{Filter, Row, Turn};
use crate::silence::Silence;

/// How many rows come with the page; the script asks for the others when these are to be seen.
const FIRST: usize = 200;
/// How many namespaces are offered to complete the name of one.
const MOST_OFFERED: usize = 500;

/// The list as it is now, and how much of it is shown.
pub struct Listed<'a> {
    /// Every row, in order.
    pub rows: &'a [Arc<Row>],
    /// The version of the list.
    pub version: &'a str,
    /// There may be namespaces that the caller may see and that were not looked into.
    pub is_partial: bool,
    /// That nothing is heard of the API server; `None`: it answers.
    pub silence: Option<&'a Silence>,
    /// All rows are to come with the page.
    pub everything: bool,
}

/// The whole page.
pub fn list(frame: &Frame, filter: &Filter, listed: &Listed) -> Markup {
    let namespaces: BTreeSet<&str> = listed.rows.iter().map(|row| row.key.namespace.as_str()).collect();
    let namespaces = namespaces.into_iter().take(MOST_OFFERED);
    page(
        "Rollouts",
        Some(frame),
        &html! {
            form id="filter" class="filter" method="get" action="/" role="search" {
                label { span { "Search" } input name="q" type="search" value=(filter.q) placeholder="name, image, message" accesskey="s"; }
                label { span { "Namespace" } input name="namespace" value=(filter.namespace) placeholder="all" list="namespaces"; }
                datalist id="namespaces" { @for namespace in namespaces { option value=(namespace) {} } }
                label { span { "Phase" }
                    select name="phase" {
                        option value="" { "all" }
                        @for name in ["Paused", "Degraded", "Progressing", "Pending", "Healthy"] {
                            option value=(name) selected[filter.phase == name] { (name) }
                        }
                    }
                }
                label { span { "Label" } input name="label" value=(filter.label) placeholder="team in (a,b), !old"; }
                button { "Filter" }
            }
            (rows_of(filter, listed))
        },
    )
}

/// The page of somebody whom the API server gives no list. They may still see the rollouts of a namespace that they name.
pub fn denied(frame: &Frame, namespace: &str, why: &str) -> Markup {
    page(
        "Rollouts",
        Some(frame),
        &html! {
            section class="narrow card" data-again {
                h1 { "Rollouts" }
                p class="notice bad" { (plain(why)) }
                form method="get" action="/" {
                    label for="namespace" { "Name a namespace whose rollouts you may see" }
                    input id="namespace" name="namespace" value=(namespace) required;
                    button class="go" { "Show" }
                }
            }
        },
    )
}

/// The part of the page that a filter changes. Of thousands of rows only the first, unless everything is asked for.
pub fn rows_of(filter: &Filter, listed: &Listed) -> Markup {
    let Listed { rows, version, is_partial, silence, everything } = *listed;
    let silence = silence_section(silence);
    let wanted: Vec<_> = rows.iter().filter(|row| filter.wants(row)).collect();
    let live = format!("/live?version={version}&{}", filter.query());
    let first = if everything { &wanted[..] } else { &wanted[..wanted.len().min(FIRST)] };
    let query = filter.query();
    html! {
        div id="list" data-live=(live) {
            div id=(silence.id) { (PreEscaped(&silence.html)) }
            h1 class="count" aria-live="polite" { "Rollouts: " span id="count" { (wanted.len()) } }
            @if let Some(part) = labels::unreadable(&filter.label) {
                p class="notice" { "The label filter " code { (plain(part)) } " cannot be read. Write it as for kubectl: "
                    code { "team=shop,tier!=test,stage in (canary,beta),!old" } }
            }
            @if is_partial && filter.namespace.is_empty() {
                p class="notice" { "You may not list the rollouts of all namespaces, and there may be namespaces of yours that are not \
                                    shown here. Name one above to see it." }
            }
            p id="none" class="dim" hidden[!wanted.is_empty()] {
                @if *filter == Filter::default() {
                    "There are no rollouts that you may see. The quick start makes one: docs/quick-start.md."
                } @else { "None is like this." }
            }
            div id="rows" class="rows" role="list" { @for row in first { (one(row)) } }
            @if let Some(last) = first.last().filter(|_| first.len() < wanted.len()) {
                @let after: String = form_urlencoded::byte_serialize(last.place().as_bytes()).collect();
                p id="more" data-rest={ "/?" (query) "&after=" (after) } {
                    a href={ "/?" (query) "&everything=true" } { "Show all " (wanted.len()) }
                }
            }
        }
    }
}

/// The rows that come after a place in the list, one a line.
pub fn rest_of(filter: &Filter, rows: &[Arc<Row>], after: &str) -> String {
    let rest = rows.iter().filter(|row| filter.wants(row) && *row.place() > *after);
    rest.flat_map(|row| [one(row).into_string(), "\n".to_owned()]).collect()
}

/// The identity of a row within the page.
pub fn id(row: &crate::row::Key) -> String {
    format!("r.{}.{}", row.namespace, row.name)
}

/// One row.
pub fn one(row: &Row) -> Markup {
    let whose = match row.turn {
        Turn::Person => "waits for you",
        Turn::Trouble => "needs a look",
        Turn::Operator => "under way",
        Turn::Nobody => "",
    };
    html! {
        div class={ "row turn" (row.turn as u8) } role="listitem" id=(id(&row.key)) data-order=(row.place()) {
            a class="name" href=(path(&row.key)) { (row.key.name) }
            span class="namespace" { (row.key.namespace) }
            span class="state" { (phase(row.phase)) @if let Some(since) = row.since { " " span class="dim" { (ago(since)) } } }
            span class="revision" {
                @if row.serving > 0 { span class={ "chip " (colour(row.serving)) } { (row.serving) } }
                @if row.next != row.serving && row.serving > 0 {
                    span class="dim" { " → " } span class={ "chip " (colour(row.next)) } { (row.next) }
                }
                " " span class="image" { (plain(&row.image)) }
            }
            span class="ready" title="ready pods" { (row.ready) }
            span class="message" {
                @if !whose.is_empty() { span class="whose" { (whose) ": " } }
                (sentence(&row.message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(namespace: &str, name: &str) -> Arc<Row> {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": name, "namespace": namespace}, "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
        });
        Arc::new(Row::of(&serde_json::from_value(rollout).expect("a rollout")))
    }

    fn frame(cluster: &str) -> Frame<'_> {
        Frame { cluster, user: "ann", read_only: false, can_leave: None }
    }

    #[test]
    fn a_page_names_its_cluster_and_offers_each_namespace_once() {
        let rows = [row("shop", "web"), row("pay", "web"), row("pay", "ledger")];
        let listed = Listed { rows: &rows, version: "1", is_partial: false, silence: None, everything: false };
        let page = list(&frame("prod\u{202e}"), &Filter::default(), &listed).into_string();
        assert!(page.contains("<title>Rollouts · prod") && page.contains("title=\"the cluster\">prod"), "{page}");
        assert!(!page.contains('\u{202e}'), "its name is text");
        for namespace in ["pay", "shop"] {
            assert_eq!(page.matches(&format!("<option value=\"{namespace}\">")).count(), 1, "{page}");
        }
        let page = list(&frame(""), &Filter::default(), &listed).into_string();
        assert!(page.contains("<title>Rollouts · Greenlight") && !page.contains("the cluster"), "{page}");
    }

    #[test]
    fn who_is_given_no_list_is_told_why_and_need_not_load_the_page_again() {
        let page = denied(&frame(""), "shop", "The API server gives no list of rollouts: <no>").into_string();
        assert!(page.contains("gives no list of rollouts: &lt;no&gt;") && page.contains("data-again"), "{page}");
    }
}

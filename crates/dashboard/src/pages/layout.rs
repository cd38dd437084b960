//! What every page has.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::plain;

/// Who looks, and how.
pub struct Frame<'a> {
    /// What the caller calls the cluster; empty if that is not known.
    pub cluster: &'a str,
    /// The caller's name.
    pub user: &'a str,
    /// Nothing can be done here.
    pub read_only: bool,
    /// The caller pasted a token, and can have it forgotten.
    pub can_leave: Option<&'a str>,
}

/// A whole page.
pub fn page(title: &str, frame: Option<&Frame>, main: &Markup) -> Markup {
    let cluster = frame.map(|frame| plain(frame.cluster)).filter(|cluster| !cluster.is_empty());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) @if let Some(cluster) = &cluster { " · " (cluster) } " · Greenlight" }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/style.css";
                script src="/assets/app.js" defer {}
            }
            // Ages are counted by the clock that the times of the cluster are nearer to.
            body data-now=(Timestamp::now()) {
                a class="skip" href="#main" { "To the content" }
                header class="top" {
                    a class="brand" href="/" { span class="lamp" aria-hidden="true" {} "Greenlight" }
                    @if let Some(frame) = frame {
                        span class="who" {
                            @if let Some(cluster) = &cluster { span class="tag" title="the cluster" { (cluster) } " " }
                            @if frame.read_only { span class="tag" { "read-only" } " " }
                            span class="user" { (plain(frame.user)) }
                            @if let Some(csrf) = frame.can_leave {
                                form method="post" action="/leave" {
                                    input type="hidden" name="csrf" value=(csrf);
                                    button class="quiet" { "Forget my token" }
                                }
                            }
                        }
                    }
                }
                main id="main" tabindex="-1" { (main) }
                dialog id="dialog" aria-label="Confirm" {}
                p id="lost" role="status" hidden { "The connection is lost; what you see may be old. Trying again …" }
            }
        }
    }
}

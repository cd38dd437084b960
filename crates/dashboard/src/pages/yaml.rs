//! The object as it is. It may be as large as the API server takes, so it is on a page of its own, which is read once.

use maud::{Markup, html};

use super::path;
use crate::row::Key;

/// What is in the page.
pub fn yaml(key: &Key, text: &str) -> Markup {
    html! {
        nav class="crumbs" { a href="/" { "Rollouts" } " › " a href=(path(key)) { (key.name) } " › " span { "YAML" } }
        h1 { (key.name) }
        pre id="yaml-text" tabindex="0" role="region" aria-label="YAML" { (greenlight_api::text::printable(text)) }
    }
}

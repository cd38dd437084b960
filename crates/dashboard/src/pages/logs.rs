//! The logs of a pod.

use maud::{Markup, html};

use super::path;
use crate::row::Key;

/// The page, which fills itself.
pub fn logs(key: &Key, pod: &str, containers: &[String], container: &str, previous: bool) -> Markup {
    let at = format!("{}/logs/{pod}", path(key));
    let query = |container: &str, previous: bool| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("container", container);
        if previous {
            query.append_pair("previous", "true");
        }
        query.finish()
    };
    html! {
        nav class="crumbs" { a href=(path(key)) { (key.name) } " › " span { (pod) } }
        h1 { "Logs of " (pod) }
        p class="buttons" {
            @for name in containers {
                a class="button" href={ (at) "?" (query(name, false)) } aria-current=[(name == container && !previous).then_some("page")] { (name) }
                a class="button quiet" href={ (at) "?" (query(name, true)) } aria-current=[(name == container && previous).then_some("page")] { (name) ", before its restart" }
            }
        }
        pre id="log" tabindex="0" aria-label="log lines" data-live={ (at) "/live?" (query(container, previous)) } {}
    }
}

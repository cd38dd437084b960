//! The logs of a pod.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use maud::{Markup, html};

use super::path;
use crate::log::TAIL;
use crate::row::Key;

/// By this annotation a pod names the container that is meant if none is named, to kubectl as well: another one was put before it, say.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The containers that have a log, the one first that is shown if none is named: also those that ran before the others, since one of them may
/// be why a pod does not start.
pub fn containers(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.as_ref();
    let initial = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let containers = spec.into_iter().flat_map(|spec| &spec.containers);
    let mut names: Vec<String> = containers.chain(initial).map(|container| container.name.clone()).collect();
    let usual = pod.annotations().get(DEFAULT_CONTAINER);
    names.sort_by_key(|name| Some(name) != usual);
    names
}

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
        nav class="crumbs" { a href="/" { "Rollouts" } " › " a href=(path(key)) { (key.name) } " › " span { (pod) } }
        h1 { "Logs of " (pod) }
        p class="buttons" {
            @for name in containers {
                a class="button" href={ (at) "?" (query(name, false)) } aria-current=[(name == container && !previous).then_some("page")] { (name) }
                a class="button quiet" href={ (at) "?" (query(name, true)) } aria-current=[(name == container && previous).then_some("page")] { (name) ", before its restart" }
            }
        }
        p class="dim" { "The last " (TAIL) " lines" @if !previous { ", and those that come" } "." }
        pre id="log" tabindex="0" aria-label="log lines" data-live={ (at) "/live?" (query(container, previous)) } {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_before_the_others_has_a_log_too() {
        let metadata = json!({"name": "web-1", "annotations": {DEFAULT_CONTAINER: "proxy"}});
        let spec = json!({"initContainers": [{"name": "migrate"}], "containers": [{"name": "web"}, {"name": "proxy"}]});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "web-1"}, "spec": spec})).expect("a pod");
        assert_eq!(containers(&pod), ["web", "proxy", "migrate"]);
        let annotated = Pod { metadata: serde_json::from_value(metadata).expect("metadata"), ..pod };
        assert_eq!(containers(&annotated), ["proxy", "web", "migrate"], "as kubectl does");
    }
}

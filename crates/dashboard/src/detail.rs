//! What is known of the rollout that somebody looks at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRolloutSpec, names};
use greenlight_overview::doctor::{self, About, Evidence, Finding};
use greenlight_overview::surroundings::{OF_SERVICE, cached};
use greenlight_overview::{Difference, Facts, Session, Surroundings, Unseen, differences, facts, observe_visible};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

/// How many events are shown, the latest ones.
const MOST_EVENTS: usize = 30;
/// Of how many analyses that cannot be read it is told why: one that is mended makes room for the next.
const MOST_UNREADABLE: usize = 3;

/// A rollout with everything that its page shows.
pub struct Detail {
    /// The facts, as the plugin shows them.
    pub facts: Facts,
    /// Its spec.
    pub spec: BlueGreenRolloutSpec,
    /// The endpoints of each of its Services; `None`: EndpointSlices are not seen.
    pub endpoints: Option<BTreeMap<String, Vec<Endpoint>>>,
    /// Its analyses, the newest first.
    pub runs: Vec<AnalysisRun>,
    /// What happened to it, the newest first.
    pub events: Vec<Happened>,
    /// What the newest revision has that the serving one has not, and the other way round.
    pub differences: Vec<Difference>,
    /// What `doctor` finds.
    pub findings: Vec<Finding>,
    /// The Ingresses that lead to each Service; `None`: Ingresses are not seen.
    pub doors: Option<BTreeMap<String, BTreeSet<String>>>,
    /// What this caller does not see: that part of the page is empty, which is not the same as nothing.
    pub unseen: Vec<Unseen>,
}

/// What happened to a rollout. ClusterRole `view` does not have it.
pub const EVENTS: &str = "Events";

/// An endpoint of a Service.
pub struct Endpoint {
    /// The pod. Whoever writes slices by hand may leave it out.
    pub pod: Option<String>,
    /// Where it answers.
    pub address: String,
    /// It gets traffic.
    pub ready: bool,
}

/// An event.
pub struct Happened {
    /// When, the last time.
    pub at: Option<Timestamp>,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Its reason.
    pub reason: String,
    /// What it says.
    pub note: String,
}

/// Reads it all, as much of it at once as possible.
///
/// # Errors
/// The rollout is not there, or the caller may not read it, or the API server does not answer.
pub async fn gather(session: &Session, name: &str) -> Result<Detail> {
    let rollout = session.rollout(name).await?;
    let (examined, spec, uid) = (rollout.clone(), rollout.spec.clone(), rollout.metadata.uid.clone());
    let of_rollout = format!("regarding.kind=BlueGreenRollout,regarding.name={name}");
    let cached = cached();
    let events = ListParams::default().fields(&of_rollout);
    let (observed, around, events, runs) = tokio::join!(
        observe_visible(session, rollout),
        Surroundings::read(session, &spec, &cached),
        session.list::<Event>(&events),
        session.runs(),
    );
    let observed = observed?;
    let (replica_sets, pods) = (observed.replica_sets.clone(), observed.pods.clone());
    let Surroundings { services, slices, ingresses } = around;
    let facts = facts(observed, &ingresses);
    // Some people may read only some of these; then that part of the page is empty, and the page says so.
    let mut unseen = facts.unseen.clone();
    let is_whole = [Unseen::REPLICA_SETS, Unseen::PODS, Unseen::SERVICES].into_iter().all(|what| facts.shows(what));
    unseen.extend(Unseen::of("EndpointSlices, so the proof of the switch", &slices));
    unseen.extend(Unseen::of("AnalysisRuns", &runs));
    unseen.extend(Unseen::of(EVENTS, &events));
    if is_whole {
        unseen.extend(Unseen::of("all Services, so the findings of doctor", &services));
    } else {
        unseen.push(Unseen { what: "the findings of doctor", denied: true, why: String::new() });
    }
    let doors = ingresses.as_deref().ok().map(doors);
    let ingresses = ingresses.unwrap_or_default();
    let slices = slices.ok();
    let (mut runs, unreadable) = runs.unwrap_or_default();
    let unreadable = unreadable.into_iter().take(MOST_UNREADABLE);
    unseen.extend(unreadable.map(|why| Unseen { what: "an AnalysisRun", denied: false, why }));
    runs.retain(|run| run.annotations().get(names::ROLLOUT).is_some_and(|of| of == name));
    runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|time| time.0)));
    let templates: BTreeMap<String, Value> = replica_sets.iter().filter_map(template_of).collect();
    let serving = facts.status.decisions.as_ref().map(|decisions| decisions.serving.as_str()).unwrap_or_default();
    let updated = facts.status.updated_revision.as_str();
    let differences = match (templates.get(serving), templates.get(updated)) {
        (Some(before), Some(after)) if serving != updated => differences(before, after),
        _ => Vec::new(),
    };
    let endpoints = slices.as_deref().map(endpoints);
    // Who may not see them cannot be told what is wrong with them.
    let findings = services.ok().filter(|_| is_whole).map(|services| {
        doctor::findings(&Evidence {
            rollout: examined,
            namespace: session.namespace.clone(),
            flags: session.flags.clone(),
            replica_sets,
            pods,
            services,
            slices,
            ingresses,
            now: Timestamp::now(),
        })
    });
    let findings = findings.unwrap_or_default();
    let mut events = events.unwrap_or_default();
    // An earlier rollout of the same name had its own.
    events.retain(|event| {
        let of = event.regarding.as_ref().and_then(|regarding| regarding.uid.as_deref()).unwrap_or_default();
        of.is_empty() || Some(of) == uid.as_deref()
    });
    let events = happened(events);
    Ok(Detail { spec, endpoints, runs, events, differences, findings, doors, unseen, facts })
}

impl Detail {
    /// Whether the caller may see this, one of the kinds that belong to a rollout.
    pub fn shows(&self, what: &str) -> bool {
        self.unseen.iter().all(|unseen| unseen.what != what)
    }

    /// What is wrong with this.
    pub fn findings_about(&self, about: &About) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.about == *about).collect()
    }
}

/// By Service, the names of the Ingresses that lead to it.
fn doors(ingresses: &[Ingress]) -> BTreeMap<String, BTreeSet<String>> {
    let mut doors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ingress in ingresses {
        let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        let paths = rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths));
        for service in paths.filter_map(|path| path.backend.service.as_ref()) {
            doors.entry(service.name.clone()).or_default().insert(ingress.name_any());
        }
    }
    doors
}

/// A revision's hash and template, without the hash in it.
fn template_of(rs: &ReplicaSet) -> Option<(String, Value)> {
    let mut template = serde_json::to_value(rs.spec.as_ref()?.template.as_ref()?).ok()?;
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.retain(|key, _| key != names::HASH_LABEL && !key.starts_with("greenlight.dev/"));
    }
    Some((rs.labels().get(names::HASH_LABEL)?.clone(), template))
}

fn endpoints(slices: &[EndpointSlice]) -> BTreeMap<String, Vec<Endpoint>> {
    let mut endpoints: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for slice in slices {
        let service = slice.labels().get(OF_SERVICE).cloned().unwrap_or_default();
        let of_service = endpoints.entry(service).or_default();
        for endpoint in slice.endpoints.iter().flatten() {
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = pod.and_then(|pod| pod.name.clone());
            let address = endpoint.addresses.first().cloned().unwrap_or_default();
            let ready = endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false));
            // A pod with two addresses is in two slices, and so is, for a while, one that moves from a slice to another. For the operator it
            // gets traffic if one of them says so. What names no pod is told from others by where it answers.
            let is_same = |known: &&mut Endpoint| known.pod == pod && (pod.is_some() || known.address == address);
            match of_service.iter_mut().find(is_same) {
                Some(known) => known.ready |= ready,
                None => of_service.push(Endpoint { pod, address, ready }),
            }
        }
        of_service.sort_by(|a, b| (&a.pod, &a.address).cmp(&(&b.pod, &b.address)));
    }
    endpoints
}

fn happened(events: Vec<Event>) -> Vec<Happened> {
    let mut happened: Vec<_> = events
        .into_iter()
        .map(|event| Happened {
            at: event
                .series
                .map(|series| series.last_observed_time.0)
                .or(event.event_time.map(|time| time.0))
                .or(event.metadata.creation_timestamp.map(|time| time.0)),
            kind: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            note: event.note.unwrap_or_default(),
        })
        .collect();
    happened.sort_by_key(|event| std::cmp::Reverse(event.at));
    happened.truncate(MOST_EVENTS);
    happened
}

#[cfg(test)]
mod tests {
    use greenlight_overview::Flags;
    use serde_json::json;

    use super::*;
    use crate::fake::{Asked, api_server, failure, nothing, rollout, session};
    use crate::pages::rollout::sections;
    use crate::rights::Rights;
    use crate::row::Key;

    #[tokio::test]
    async fn who_may_read_nothing_but_rollouts_has_a_page_that_says_what_is_missing_and_what_would_show_it() {
        let client = api_server(|call: Asked| async move {
            if call.path.ends_with("/bluegreenrollouts/web") {
                let revision = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number});
                let revisions = json!([revision("v1", 1), revision("v2", 2)]);
                let switch = json!({
                    "to": "v2", "switchedAt": "2026-11-28T20:00:00Z", "provenAt": "2026-11-28T20:00:01Z", "from": "v1",
                });
                let status = json!({
                    "updatedRevision": "v2", "switch": switch, "decisions": {"serving": "v2", "revisions": revisions},
                });
                (200, rollout(json!({"activeService": "shop"}), status))
            } else {
                failure(403, &format!("{} is forbidden", call.path))
            }
        });
        let detail = gather(&session(client), "web").await.expect("it is shown");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let sections = sections(&key, &detail, &Rights::of("ann"), false);
        let page: String = sections.into_iter().map(|section| section.html).collect();
        for said in [
            "because you lack the right: ReplicaSets; pods; Services; Ingresses",
            "the findings of doctor",
            "-n shop --clusterrole=view --user=ann",
            "events.events.k8s.io",
        ] {
            assert!(page.contains(said), "{said:?} is missing in {page}");
        }
        for untrue in ["does not exist", "no revision yet", "are ready endpoints", "The old pods are gone"] {
            assert!(!page.contains(untrue), "{untrue:?} is not known: {page}");
        }
        assert!(page.contains("ask/restart"), "what they may ask for is offered: {page}");
    }

    #[tokio::test]
    async fn what_fails_is_not_told_as_a_right_that_is_missing() {
        let client = api_server(|call: Asked| async move {
            match call.path.rsplit('/').next() {
                Some("web") => (200, rollout(json!({}), json!({}))),
                Some("analysisruns" | "endpointslices") => failure(500, "etcd <timed out>"),
                _ => nothing(),
            }
        });
        let detail = gather(&session(client), "web").await.expect("it is shown");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let page: String = sections(&key, &detail, &Rights::of("ann"), false).into_iter().map(|s| s.html).collect();
        let told = "could not be read just now: EndpointSlices, so the proof of the switch (etcd &lt;timed out&gt;); AnalysisRuns (etcd";
        assert!(page.contains(told), "{page}");
        assert!(!page.contains("lack the right") && !page.contains("--clusterrole=view"), "{page}");
    }

    #[tokio::test]
    async fn an_analysis_that_cannot_be_read_is_told_and_hides_no_other() {
        let of = |name: &str, job: &Value| {
            let metadata = json!({"name": name, "namespace": "shop", "annotations": {names::ROLLOUT: "web"}});
            json!({"metadata": metadata, "spec": {"metrics": [{"name": "smoke", "provider": {"job": {"spec": job}}}]}})
        };
        let deep = (0..300).fold(json!({}), |inner, _| json!({"a": inner}));
        let items = json!([of("web-smoke", &json!({})), of("web-deep", &deep)]);
        let runs = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        let client = api_server(move |call: Asked| {
            let answer = match call.path.rsplit('/').next() {
                Some("web") => (200, rollout(json!({}), json!({}))),
                Some("analysisruns") => (200, runs.clone()),
                _ => nothing(),
            };
            async move { answer }
        });
        let detail = gather(&session(client), "web").await.expect("it is shown");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let page: String = sections(&key, &detail, &Rights::of("ann"), false).into_iter().map(|s| s.html).collect();
        assert!(page.contains("<h3>web-smoke "), "{page}");
        assert!(page.contains("could not be read just now: an AnalysisRun (web-deep: recursion limit"), "{page}");
    }

    #[tokio::test]
    async fn what_happened_to_an_earlier_rollout_of_the_same_name_is_not_told() {
        let event = |uid: Option<&str>, note: &str| {
            json!({
                "metadata": {"name": note, "namespace": "shop"}, "note": note, "reason": "Promoted", "type": "Normal",
                "regarding": {"kind": "BlueGreenRollout", "name": "web", "uid": uid}, "eventTime": null,
            })
        };
        let (_, mut events) = nothing();
        events["items"] = json!([event(Some("1"), "ours"), event(Some("0"), "theirs"), event(None, "anybodys")]);
        let client = api_server(move |call: Asked| {
            std::future::ready(match call.path.rsplit('/').next() {
                Some("web") => (200, rollout(json!({}), json!({}))),
                Some("events") => (200, events.clone()),
                _ => nothing(),
            })
        });
        let detail = gather(&session(client), "web").await.expect("it is shown");
        let mut notes: Vec<&str> = detail.events.iter().map(|event| event.note.as_str()).collect();
        notes.sort_unstable();
        assert_eq!(notes, ["anybodys", "ours"]);
    }

    #[tokio::test]
    async fn old_pods_that_run_are_not_said_to_be_gone() {
        let gone_with = |old: i32| async move {
            let replica_set = |hash: &str, replicas: i32| {
                let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "1"});
                json!({
                    "metadata": {
                        "name": format!("web-{hash}"), "namespace": "shop", "uid": hash,
                        "labels": {names::HASH_LABEL: hash}, "ownerReferences": [owner],
                    },
                    "spec": {"replicas": replicas, "selector": {}},
                })
            };
            let revision =
                |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number, "uid": hash});
            let revisions = json!([revision("v1", 1), revision("v2", 2)]);
            let at = "2026-11-28T20:00:00Z";
            let switch = json!({"from": "v1", "to": "v2", "switchedAt": at, "provenAt": at});
            let status = json!({
                "updatedRevision": "v2", "activeRevision": "v2", "observedGeneration": 1, "switch": switch,
                "decisions": {"serving": "v2", "revisions": revisions},
            });
            let rollout = rollout(json!({}), status);
            let (_, mut replica_sets) = nothing();
            replica_sets["items"] = json!([replica_set("v1", old), replica_set("v2", 2)]);
            let client = api_server(move |call: Asked| {
                std::future::ready(match call.path.rsplit('/').next() {
                    Some("web") => (200, rollout.clone()),
                    Some("replicasets") => (200, replica_sets.clone()),
                    _ => nothing(),
                })
            });
            let detail = gather(&session(client), "web").await.expect("it is shown");
            let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
            let page: String = sections(&key, &detail, &Rights::of("ann"), false).into_iter().map(|s| s.html).collect();
            let (before, _) = page.split_once("The old pods are gone").expect("the step is there");
            before.rsplit("<li class=\"").next().is_some_and(|step| step.starts_with("done"))
        };
        assert!(gone_with(0).await);
        assert!(!gone_with(2).await, "nobody has written down when they go");
    }

    #[tokio::test]
    async fn a_list_that_fails_is_no_list_that_may_not_be_seen() {
        let client = api_server(|call: Asked| async move {
            let is_rollout = call.path.ends_with("/bluegreenrollouts/web");
            if is_rollout { (200, rollout(json!({}), json!({}))) } else { failure(503, "too busy") }
        });
        assert!(gather(&session(client), "web").await.is_err());
    }

    #[tokio::test]
    async fn what_somebody_took_back_is_told_once_with_the_way_out_and_is_no_fault() {
        let message =
            "revision 2 (web:v2) was rejected by ann (rolled back: the basket is empty); revision 1 (web:v1) serves";
        let stalled = json!({
            "type": "Stalled", "status": "True", "reason": "RevisionRejected", "message": message,
            "lastTransitionTime": "2026-11-28T20:00:00Z",
        });
        let status = json!({"phase": "Degraded", "message": message, "observedGeneration": 1, "conditions": [stalled]});
        let client = api_server(move |call: Asked| {
            let is_rollout = call.path.ends_with("/bluegreenrollouts/web");
            let answer = if is_rollout { (200, rollout(json!({}), status.clone())) } else { nothing() };
            async move { answer }
        });
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: " --as ann".to_owned() };
        let session = Session { flags, ..session(client) };
        let detail = gather(&session, "web").await.expect("it is shown");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let page: String = sections(&key, &detail, &Rights::of("ann"), false).into_iter().map(|s| s.html).collect();
        assert_eq!(page.matches("the basket is empty").count(), 1, "{page}");
        let command = "kubectl greenlight retry web -n shop --context prod --as ann";
        let told = format!("What to do: change <code>spec.template</code>, or <code>{command}</code>");
        assert!(page.contains(&told), "{page}");
        assert!(!page.contains("stalled") && !page.contains("class=\"finding\""), "{page}");
    }

    #[test]
    fn an_endpoint_that_moves_from_a_slice_to_another_counts_once_and_as_the_operator_counts_it() {
        let slice = |ready: bool| {
            let metadata = json!({"name": format!("web-{ready}"), "labels": {OF_SERVICE: "web"}});
            let endpoint = json!({
                "addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": "web-x"},
            });
            let slice = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": [endpoint]});
            serde_json::from_value::<EndpointSlice>(slice).expect("a slice")
        };
        for order in [[true, false], [false, true]] {
            let of_web = &endpoints(&order.map(slice))["web"];
            assert!(of_web.len() == 1 && of_web[0].ready, "{order:?}");
        }
    }

    #[test]
    fn endpoints_that_name_no_pod_are_as_many_as_they_are() {
        let slice = |endpoints: Value| {
            let metadata = json!({"name": "web-1", "labels": {OF_SERVICE: "web"}});
            let slice = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints});
            serde_json::from_value::<EndpointSlice>(slice).expect("a slice")
        };
        let pod = |address: &str| json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": "web-x"}});
        let none = |address: &str| json!({"addresses": [address]});
        let both = json!([pod("10.0.0.1"), none("10.0.0.7"), none("10.0.0.8")]);
        let endpoints = endpoints(&[slice(both), slice(json!([pod("10.0.0.2"), none("10.0.0.8")]))]);
        let of_web = endpoints["web"].iter().map(|endpoint| (endpoint.pod.as_deref(), endpoint.address.as_str()));
        let told = [(None, "10.0.0.7"), (None, "10.0.0.8"), (Some("web-x"), "10.0.0.1")];
        assert_eq!(of_web.collect::<Vec<_>>(), told);
    }
}

//! What is known of the rollout that somebody looks at.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRolloutSpec, names};
use greenlight_overview::doctor::{self, About, Evidence, Finding};
use greenlight_overview::{Difference, Facts, Session, differences, facts, observe};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{ListParams, VersionMatch};
use serde_json::Value;

/// So many events are shown.
const EVENTS: usize = 30;

/// A rollout with everything that its page shows.
pub struct Detail {
    /// The facts, as the plugin shows them.
    pub facts: Facts,
    /// Its spec.
    pub spec: BlueGreenRolloutSpec,
    /// The endpoints of each of its Services; `None`: the API server gives no EndpointSlices.
    pub endpoints: Option<BTreeMap<String, Vec<Endpoint>>>,
    /// Its analyses, the newest first.
    pub runs: Vec<AnalysisRun>,
    /// What happened to it, the newest first.
    pub events: Vec<Happened>,
    /// What the newest revision has that the serving one has not, and the other way round.
    pub differences: Vec<Difference>,
    /// What `doctor` finds.
    pub findings: Vec<Finding>,
    /// The Ingresses that lead to each Service; `None`: the API server gives no Ingresses.
    pub doors: Option<BTreeMap<String, BTreeSet<String>>>,
    /// What the API server does not give this caller, in words: that part of the page is empty, which is not the same as nothing.
    pub unseen: Vec<&'static str>,
}

/// An endpoint of a Service.
pub struct Endpoint {
    /// The pod.
    pub pod: String,
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
/// The rollout is not there, or the caller may not read what belongs to it.
pub async fn gather(session: &Session, name: &str) -> Result<Detail> {
    let rollout = session.rollout(name).await?;
    let (examined, spec) = (rollout.clone(), rollout.spec.clone());
    let blue_green = spec.blue_green();
    let services: Vec<&str> = blue_green.services().collect();
    let of_services = format!("kubernetes.io/service-name in ({})", services.join(","));
    let of_rollout = format!("regarding.kind=BlueGreenRollout,regarding.name={name}");
    let everything = ListParams::default();
    // From the server's cache: there may be thousands of others among them.
    let cached = ListParams::default().at("0").matching(VersionMatch::NotOlderThan);
    let (slices, events) = (ListParams::default().labels(&of_services), ListParams::default().fields(&of_rollout));
    let (ingress_api, service_api, slice_api, event_api, run_api) = (
        session.api::<Ingress>(),
        session.api::<Service>(),
        session.api::<EndpointSlice>(),
        session.api::<Event>(),
        session.api::<AnalysisRun>(),
    );
    let (observed, ingresses, all_services, slices, events, runs) = tokio::join!(
        observe(session, rollout),
        ingress_api.list(&cached),
        service_api.list(&cached),
        slice_api.list(&slices),
        event_api.list(&events),
        run_api.list(&everything),
    );
    // Some people may read only some of these; then that part of the page is empty, and the page says so.
    let unseen = [
        (slices.is_err(), "EndpointSlices, so the proof of the switch"),
        (ingresses.is_err(), "Ingresses, so the hosts"),
        (all_services.is_err(), "all Services, so the findings of doctor"),
        (runs.is_err(), "AnalysisRuns"),
        (events.is_err(), "Events"),
    ];
    let unseen = unseen.into_iter().filter(|(is_unseen, _)| *is_unseen).map(|(_, what)| what).collect();
    let doors = ingresses.as_ref().ok().map(|list| doors(&list.items));
    let ingresses = ingresses.map(|list| list.items).unwrap_or_default();
    let slices = slices.map(|list| list.items).ok();
    let mut runs = runs.map(|list| list.items).unwrap_or_default();
    runs.retain(|run| run.annotations().get(names::ROLLOUT).is_some_and(|of| of == name));
    runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|time| time.0)));
    let observed = observed?;
    let (replica_sets, pods) = (observed.replica_sets.clone(), observed.pods.clone());
    let templates: BTreeMap<String, Value> = observed.replica_sets.iter().filter_map(template_of).collect();
    let facts = facts(observed, &ingresses);
    let serving = facts.status.decisions.as_ref().map(|decisions| decisions.serving.as_str()).unwrap_or_default();
    let updated = facts.status.updated_revision.as_str();
    let differences = match (templates.get(serving), templates.get(updated)) {
        (Some(before), Some(after)) if serving != updated => differences(before, after),
        _ => Vec::new(),
    };
    let endpoints = slices.as_deref().map(endpoints);
    // Who may not list Services cannot be told what is wrong with them.
    let findings = all_services.map(|services| {
        let (namespace, now) = (session.namespace.clone(), Timestamp::now());
        let services = services.items;
        let evidence = Evidence { rollout: examined, namespace, replica_sets, pods, services, slices, ingresses, now };
        doctor::findings(&evidence)
    });
    let findings = findings.unwrap_or_default();
    let events = happened(events.map(|list| list.items).unwrap_or_default());
    Ok(Detail { spec, endpoints, runs, events, differences, findings, doors, unseen, facts })
}

impl Detail {
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
        let service = slice.labels().get("kubernetes.io/service-name").cloned().unwrap_or_default();
        let of_service = endpoints.entry(service).or_default();
        for endpoint in slice.endpoints.iter().flatten() {
            let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone()).unwrap_or_default();
            let ready = endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false));
            // A pod with two addresses is in two slices.
            if !of_service.iter().any(|known| known.pod == pod) {
                of_service.push(Endpoint { pod, ready });
            }
        }
        of_service.sort_by(|a, b| a.pod.cmp(&b.pod));
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
    happened.truncate(EVENTS);
    happened
}

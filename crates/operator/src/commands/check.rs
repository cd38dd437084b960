//! `helm test`: is everything there that the operator needs, as seen with its own ServiceAccount?

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use greenlight_api::BlueGreenRollout;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};

use crate::manager::{LEASE, Lease};

/// What to check.
#[derive(Clone, Debug, Args)]
pub struct CheckOptions {
    /// The only namespace that the operator watches [default: all]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// Somebody must hold the lease
    #[arg(long)]
    pub leader_elect: bool,
    /// Namespace of that lease
    #[arg(long, default_value = "default")]
    pub lease_namespace: String,
}

/// What it cannot do without: group, resource, subresource, verb.
const NEEDED: [(&str, &str, &str, &str); 22] = [
    ("greenlight.dev", "bluegreenrollouts", "", "watch"),
    ("greenlight.dev", "bluegreenrollouts", "", "patch"),
    ("greenlight.dev", "bluegreenrollouts", "status", "patch"),
    ("greenlight.dev", "bluegreenrollouts", "finalizers", "update"),
    ("apps", "replicasets", "", "watch"),
    ("apps", "replicasets", "", "create"),
    ("apps", "replicasets", "", "patch"),
    ("apps", "replicasets", "", "delete"),
    ("", "services", "", "watch"),
    ("", "services", "", "patch"),
    ("discovery.k8s.io", "endpointslices", "", "watch"),
    ("", "pods", "", "watch"),
    ("", "pods", "", "patch"),
    ("", "pods", "eviction", "create"),
    ("apps", "deployments", "", "watch"),
    ("greenlight.dev", "analysisruns", "", "watch"),
    ("greenlight.dev", "analysisruns", "", "create"),
    ("greenlight.dev", "analysisruns", "status", "update"),
    ("batch", "jobs", "", "watch"),
    ("batch", "jobs", "", "create"),
    ("batch", "jobs", "", "delete"),
    ("events.k8s.io", "events", "", "create"),
];

/// Checks, and says what is missing.
///
/// # Errors
/// Something is missing.
pub async fn run(options: &CheckOptions) -> Result<()> {
    let client = Client::try_default().await?;
    let mut problems = Vec::new();
    let mut note = |what: &str, problem: Option<String>| match problem {
        None => println!("✔ {what}"),
        Some(problem) => {
            println!("✖ {what}: {problem}");
            problems.push(what.to_owned());
        }
    };
    let rollouts: Api<BlueGreenRollout> = match &options.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let listed = rollouts.list(&ListParams::default().limit(1)).await;
    note("the API server serves rollouts", listed.err().map(|error| error.to_string()));
    let mut forbidden = Vec::new();
    for needed in NEEDED {
        if !may(&client, options.namespace.as_deref(), needed).await? {
            let (group, resource, subresource, verb) = needed;
            let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
            forbidden.push(format!("{verb} {resource}{subresource} of group {group:?}"));
        }
    }
    let denied = (!forbidden.is_empty()).then(|| forbidden.join(", "));
    note("the ServiceAccount may do what it has to", denied);
    if options.leader_elect {
        note("an operator leads", leaderless(&client, &options.lease_namespace).await?);
    }
    if !problems.is_empty() {
        bail!("{} of the checks failed", problems.len());
    }
    Ok(())
}

async fn may(
    client: &Client,
    namespace: Option<&str>,
    (group, resource, subresource, verb): (&str, &str, &str, &str),
) -> Result<bool> {
    let text = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        group: text(group),
        resource: text(resource),
        subresource: text(subresource),
        verb: text(verb),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..SelfSubjectAccessReview::default()
    };
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(review.status.is_some_and(|status| status.allowed))
}

/// Why nobody leads, if nobody does. One that takes over has a minute. Whoever leads renews the lease every other second, by a clock that may be another
/// than the one here.
async fn leaderless(client: &Client, namespace: &str) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let (mut problem, mut before) = (String::new(), None);
    for _ in 0..60 {
        let spec = leases.get_opt(LEASE).await?.and_then(|lease| lease.spec);
        let holder = spec.as_ref().and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
        let renewed = spec.and_then(|spec| spec.renew_time);
        problem = match holder {
            Some(_) if before.as_ref().is_some_and(|before| *before != renewed) => return Ok(None),
            Some(holder) => format!("{holder} holds the lease {namespace}/{LEASE} and does not renew it"),
            None => format!("nobody holds the lease {namespace}/{LEASE}"),
        };
        before = Some(renewed);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    Ok(Some(problem))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::json;

    use super::*;
    use crate::api_server::fake::api_server;

    #[tokio::test(start_paused = true)]
    async fn whoever_renews_the_lease_leads_whatever_the_clocks_show() {
        for (is_renewed, expected) in [(true, None), (false, Some("greenlight-1 holds the lease"))] {
            let looks: Arc<AtomicU64> = Arc::default();
            let client = api_server(move |_| {
                let second = if is_renewed { looks.fetch_add(1, Ordering::Relaxed) } else { 0 };
                let renewed = format!("2026-01-01T00:00:{second:02}.000000Z");
                std::future::ready((
                    200,
                    json!({
                        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE},
                        "spec": {"holderIdentity": "greenlight-1", "renewTime": renewed},
                    }),
                ))
            });
            let why = leaderless(&client, "default").await.expect("an answer");
            assert_eq!(why.is_some(), expected.is_some(), "{why:?}");
            assert!(expected.is_none_or(|words| why.is_some_and(|why| why.starts_with(words))));
        }
    }
}

//! How the facts look. The first lines answer "what is it doing, and what does it want from me"; the tree answers "with what".

use std::fmt::Write;

use greenlight_api::text::one_line;
use greenlight_api::{Rejection, conditions};
use greenlight_overview::unseen::missing;
use greenlight_overview::{Facts, Flags, Known, PodFact, Revision, ServiceFact, Unseen, age, role, role_of, sentence};
use jiff::Timestamp;

use crate::output::style::Style;
use crate::output::table::{Long, table};

/// A rollout as a tree; `wide` names all the images. Commands in it have the flags that chose the cluster.
pub fn tree(facts: &Facts, flags: &Flags, wide: bool, style: Style, now: Timestamp) -> String {
    let mut out = String::new();
    let since = facts.since.map(|since| format!(" {}", age(since, now))).unwrap_or_default();
    let title = format!("{}  {}", style.bold(&facts.name), facts.namespace);
    let _ = writeln!(out, "{title}   {}{since}", style.phase(facts.status.phase));
    if !facts.status.message.is_empty() {
        let _ = writeln!(out, "{}", style.wrapped(&sentence(&facts.status.message)));
    }
    if let Some(cause) = &facts.change_cause {
        let _ = writeln!(out, "{}", style.wrapped(&format!("Change cause: {}", one_line(cause))));
    }
    if let Some(hint) = hint(facts, flags) {
        let _ = writeln!(out, "  {}", style.bold(&hint));
    }
    for missing in missing(&facts.unseen, &facts.namespace, flags) {
        let _ = writeln!(out, "{}", style.wrapped(&one_line(&missing)));
    }
    out.push('\n');
    let services: Vec<_> = facts.services.iter().map(|service| service_row(facts, service)).collect();
    let urls: Vec<String> = facts.services.iter().flat_map(|service| service.urls.clone()).collect();
    for line in table(&services, style.width, Long::Wrapped).lines() {
        let _ = writeln!(out, "{}", style.linked(line, &urls));
    }
    out.push('\n');
    let mut rows = vec![["REVISION", "ROLE", "READY", "AGE", "INFO"].map(str::to_owned).to_vec()];
    if !facts.shows(Unseen::REPLICA_SETS) {
        rows.extend(facts.known().iter().map(|known| known_row(facts, known, now)));
    }
    for revision in &facts.revisions {
        rows.push(revision_row(facts, revision, wide, now));
        let last = revision.pods.len().saturating_sub(1);
        for (number, pod) in revision.pods.iter().enumerate() {
            rows.push(pod_row(revision, pod, number == last, now));
        }
    }
    for line in table(&rows, style.width, Long::Wrapped).lines() {
        let painted = if line.starts_with(['├', '└']) { style.dim(line) } else { line.to_owned() };
        let _ = writeln!(out, "{painted}");
    }
    out
}

fn service_row(facts: &Facts, service: &ServiceFact) -> Vec<String> {
    let mut row = vec![service.role.to_owned(), service.name.clone()];
    let revision = facts.revisions.iter().find(|revision| Some(&revision.hash) == service.hash.as_ref());
    row.push(match (&service.hash, revision) {
        _ if !facts.shows(Unseen::SERVICES) => "not shown".to_owned(),
        _ if !service.exists => "does not exist".to_owned(),
        (None, _) => "→ no revision".to_owned(),
        (Some(hash), None) if !facts.shows(Unseen::REPLICA_SETS) => format!("→ {hash}"),
        (Some(hash), None) => format!("→ {hash}, which does not exist"),
        (Some(_), Some(revision)) => format!("→ revision {}", revision.number),
    });
    row.push(revision.map(|revision| revision.title.clone()).unwrap_or_default());
    row.push(revision.map(|revision| format!("{}/{} ready", revision.ready, revision.desired)).unwrap_or_default());
    row.push(service.urls.join(" "));
    row
}

fn revision_row(facts: &Facts, revision: &Revision, wide: bool, now: Timestamp) -> Vec<String> {
    let mut info = Vec::new();
    if let Some(at) = revision.scale_down_at {
        info.push(format!("retiring, {} s left", at.duration_since(now).as_secs().max(0)));
    }
    if let Some(rejection) = &revision.rejected {
        info.push(rejected(rejection, now));
    }
    if wide {
        info.extend(revision.images.iter().cloned());
    } else if !revision.title.is_empty() {
        info.push(revision.title.clone());
    }
    vec![
        format!("{}  {}", revision.number, revision.hash),
        role(facts, revision),
        format!("{}/{}", revision.ready, revision.desired),
        revision.created.map(|created| age(created, now)).unwrap_or_default(),
        info.join("; "),
    ]
}

/// A revision of which the caller sees no ReplicaSet.
fn known_row(facts: &Facts, known: &Known, now: Timestamp) -> Vec<String> {
    vec![
        format!("{}  {}", known.number, known.hash),
        role_of(facts, known.role, &known.hash),
        String::new(),
        String::new(),
        known.rejected.as_ref().map(|rejection| rejected(rejection, now)).unwrap_or_default(),
    ]
}

fn rejected(rejection: &Rejection, now: Timestamp) -> String {
    format!("rejected by {}: {}, {} ago", rejection.by, rejection.reason, age(rejection.at, now))
}

fn pod_row(revision: &Revision, pod: &PodFact, last: bool, now: Timestamp) -> Vec<String> {
    let branch = if last { "└─" } else { "├─" };
    let short = pod.name.strip_prefix(&revision.replica_set).map_or(pod.name.clone(), |suffix| format!("…{suffix}"));
    let mut info = if pod.ready && pod.state == "Running" { String::new() } else { pod.state.clone() };
    if pod.restarts > 0 {
        let _ = write!(info, "{}{} restarts", if info.is_empty() { "" } else { ", " }, pod.restarts);
    }
    vec![
        format!("{branch} {short}"),
        String::new(),
        if pod.ready { "✔" } else { "✖" }.to_owned(),
        pod.created.map(|created| age(created, now)).unwrap_or_default(),
        info,
    ]
}

/// What the person can do next, as a command line.
fn hint(facts: &Facts, flags: &Flags) -> Option<String> {
    let verb = match facts.reason.as_str() {
        conditions::REASON_AWAITING_PROMOTION | conditions::REASON_AWAITING_TIMER => "promote",
        conditions::REASON_PAUSED => "resume",
        conditions::REASON_REJECTED => "retry",
        _ => return None,
    };
    Some(format!("kubectl greenlight {verb} {} -n {}{flags}", facts.name, facts.namespace))
}

#[cfg(test)]
mod tests {
    use greenlight_overview::Role;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_can_be_done_next_is_told_of_the_cluster_that_was_looked_at() {
        let facts = Facts {
            name: "web".to_owned(),
            namespace: "shop".to_owned(),
            reason: conditions::REASON_AWAITING_PROMOTION.to_owned(),
            ..Facts::default()
        };
        assert_eq!(hint(&facts, &Flags::default()).as_deref(), Some("kubectl greenlight promote web -n shop"));
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: " --as ann".to_owned() };
        let of_prod = hint(&facts, &flags);
        assert_eq!(of_prod.as_deref(), Some("kubectl greenlight promote web -n shop --context prod --as ann"));
    }

    #[test]
    fn what_is_not_seen_is_named_and_nothing_untrue_is_told_in_its_place() {
        let revision = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number});
        let revisions = json!([revision("v1", 1), revision("v2", 2)]);
        let status = json!({"updatedRevision": "v2", "decisions": {"serving": "v1", "revisions": revisions}});
        let why = r#"pods is forbidden: User "ann" cannot list resource "pods""#.to_owned();
        let denied = |what: &'static str| Unseen { what, denied: true, why: why.clone() };
        let service = |role: &'static str, name: &str| {
            let (name, hash, urls) = (name.to_owned(), None, Vec::new());
            ServiceFact { role, name, exists: false, hash, urls }
        };
        let mut facts = Facts {
            name: "web".to_owned(),
            namespace: "shop".to_owned(),
            status: serde_json::from_value(status).expect("a status"),
            services: vec![service("active", "web")],
            unseen: [Unseen::REPLICA_SETS, Unseen::PODS, Unseen::SERVICES].map(denied).to_vec(),
            ..Facts::default()
        };
        let now = Timestamp::UNIX_EPOCH;
        let told = tree(&facts, &Flags::default(), false, Style::default(), now);
        let missing = "Not shown, because you lack the right: ReplicaSets; pods; Services. ClusterRole view would show it: \
                       kubectl create rolebinding NAME -n shop --clusterrole=view --user=ann\n";
        assert!(told.contains(missing), "{told}");
        assert!(told.contains("web  not shown\n") && !told.contains("does not exist"), "{told}");
        assert!(told.contains("\n2  v2     next\n") && told.contains("\n1  v1     active\n"), "{told}");
        // Of a Service the hash is seen.
        facts.unseen.retain(|unseen| unseen.what != Unseen::SERVICES);
        facts.services = vec![ServiceFact { exists: true, hash: Some("v1".to_owned()), ..service("active", "web") }];
        let told = tree(&facts, &Flags::default(), false, Style::default(), now);
        assert!(told.contains("→ v1\n") && !told.contains("which does not exist"), "{told}");
        assert_eq!(facts.known().first().map(|known| known.role), Some(Role::Preview));
    }
}

//! What an error of the API server means to a person, and what to do about it.

use anyhow::Error;
use greenlight_overview::{Flags, denial, quoted, reason};
use kube::runtime::watcher;

/// The rights that the ClusterRoles of the chart give, the smallest first.
const ROLES: [(&str, &[&str]); 4] = [
    ("greenlight-viewer (it is part of view)", &["get", "list", "watch"]),
    ("greenlight-operator (unless the chart's requestPolicy is off)", &["patch", "abort", "rollback", "restart"]),
    ("greenlight-promoter", &["promote"]),
    ("greenlight-editor (it is part of edit)", &["create", "update", "delete"]),
];

/// An error with what led to it, on one line or a few. A command that would help has the flags that chose the cluster.
pub fn explain(error: &Error, flags: &Flags) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<kube::Error>() {
            words.push(of_client(error, flags));
            break;
        }
        // Some errors say what the one below them says.
        let word = cause.to_string();
        if !cause.is::<watcher::Error>() && !words.last().is_some_and(|last: &String| last.ends_with(&word)) {
            words.push(word);
        }
    }
    words.join(": ")
}

fn of_client(error: &kube::Error, flags: &Flags) -> String {
    match error {
        kube::Error::Api(status) if status.code == 401 => format!("{}. Log in again, or give --token", reason(error)),
        kube::Error::Api(status) if status.code == 403 => forbidden(&status.message, flags),
        kube::Error::SerdeError(error) => format!("the answer cannot be read: {error}"),
        kube::Error::Service(_) => {
            let all = reason(error);
            if all.contains("--request-timeout") {
                return all;
            }
            if all.contains("certificate") {
                return format!(
                    "the API server cannot be trusted: {all}. Is it the right one? See --certificate-authority, --tls-server-name"
                );
            }
            format!(
                "the API server cannot be reached: {all}. Is it up, and is its address right? See --context, --server"
            )
        }
        other => reason(other),
    }
}

/// A denial, and the Role that would be an answer to it. A denial by a policy says that itself.
fn forbidden(message: &str, flags: &Flags) -> String {
    let Some(denied) = Denied::read(message) else { return denial(message) };
    let Denied { verb, resource, group, namespace } = &denied;
    let qualified = if group.is_empty() { (*resource).to_owned() } else { format!("{resource}.{group}") };
    let (kind, flag) = if namespace.is_empty() {
        ("clusterrole", String::new())
    } else {
        ("role", format!(" -n {}", quoted(namespace)))
    };
    let ours =
        (*resource == "bluegreenrollouts").then(|| ROLES.iter().find(|(_, verbs)| verbs.contains(verb))).flatten();
    let ours = ours.map(|(name, _)| {
        let of_namespace = "or NAMESPACE.greenlight-… where Greenlight is installed for one namespace";
        format!("the ClusterRole {name}, {of_namespace}, or of ")
    });
    let ours = ours.unwrap_or_default();
    format!(
        "{message}\nWhat would allow it: a binding of {ours}what this makes: kubectl create {kind} NAME --verb={} \
         --resource={}{flag}{}",
        quoted(verb),
        quoted(&qualified),
        flags.of_cluster
    )
}

/// `User "ann" cannot list resource "pods" in API group "" in the namespace "shop"`.
struct Denied<'a> {
    verb: &'a str,
    resource: &'a str,
    group: &'a str,
    namespace: &'a str,
}

impl Denied<'_> {
    fn read(message: &str) -> Option<Denied<'_>> {
        let word = |after: &str| message.split_once(after)?.1.split('"').next();
        let (_, rest) = message.split_once("\" cannot ")?;
        Some(Denied {
            verb: rest.split(' ').next()?,
            resource: word(" resource \"")?,
            group: word("in API group \"")?,
            namespace: word("in the namespace \"").unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn told(code: u16, message: &str, kind: &str) -> String {
        let status =
            json!({"status": "Failure", "message": message, "reason": "", "code": code, "details": {"kind": kind}});
        let status: Status = serde_json::from_value(status).expect("a status");
        let flags = Flags::default();
        explain(&Error::from(kube::Error::Api(Box::new(status))).context("cannot read rollout web"), &flags)
    }

    #[test]
    fn a_denial_is_told_with_the_role_that_would_allow_it() {
        let told_of = |resource: &str, group: &str, verb: &str, place: &str| {
            let denied = format!(
                r#"{resource}.{group} "web" is forbidden: User "ann" cannot {verb} resource "{resource}" in API group "{group}" {place}"#
            );
            told(403, &denied, resource)
        };
        let told_of_ours = told_of("bluegreenrollouts", "greenlight.dev", "get", r#"in the namespace "shop""#);
        assert!(told_of_ours.starts_with("cannot read rollout web: bluegreenrollouts"), "{told_of_ours}");
        assert!(told_of_ours.contains("ClusterRole greenlight-viewer"), "{told_of_ours}");
        let role = "kubectl create role NAME --verb=get --resource=bluegreenrollouts.greenlight.dev -n shop";
        assert!(told_of_ours.ends_with(role), "{told_of_ours}");
        let told_of_ours = told_of("bluegreenrollouts", "greenlight.dev", "patch", r#"in the namespace "shop""#);
        assert!(told_of_ours.contains("ClusterRole greenlight-operator (unless the chart's requestPolicy is off), or"));
        assert!(
            told_of_ours.ends_with("--verb=patch --resource=bluegreenrollouts.greenlight.dev -n shop"),
            "{told_of_ours}"
        );
        let of_pods = told_of("pods", "", "list", "at the cluster scope");
        assert!(
            of_pods
                .ends_with("binding of what this makes: kubectl create clusterrole NAME --verb=list --resource=pods"),
            "{of_pods}"
        );
        // A webhook writes what it likes.
        let of_webhook = told_of("pods", "", "$(reboot)", "at the cluster scope");
        assert!(of_webhook.ends_with("--verb='$(reboot)' --resource=pods"), "{of_webhook}");
        let policy = "ann may not ask to promote here: ask for a Role with the verb promote on bluegreenrollouts";
        assert_eq!(told(403, policy, "bluegreenrollouts"), format!("cannot read rollout web: {policy}"));
    }

    #[test]
    fn what_is_no_answer_about_an_object_says_what_it_is() {
        assert!(told(401, "Unauthorized", "").contains("has expired. Log in again"));
        assert!(told(404, "404 page not found", "").contains("install Greenlight first"));
        assert!(told(409, "it has changed", "bluegreenrollouts").ends_with(": it has changed"));
    }
}

//! What a caller does not see of a rollout. The rest is shown all the same, with what is missing, why, and the Role that would show it.

use serde::Serialize;

use crate::quoted::quoted;
use crate::session::{Flags, is_forbidden, reason};

/// A part of the facts that was not read. In them it seems to be empty, which is not the same as: there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unseen {
    /// What it is, in words.
    pub what: &'static str,
    /// The caller has no right to see it. If they have, it could not be read just now.
    pub denied: bool,
    /// The answer of the API server, or why there is none.
    pub why: String,
}

impl Unseen {
    /// The ReplicaSets of a rollout.
    pub const REPLICA_SETS: &'static str = "ReplicaSets";
    /// Their pods.
    pub const PODS: &'static str = "pods";
    /// The Services that the rollout names.
    pub const SERVICES: &'static str = "Services";
    /// Where the Services are shown to the world.
    pub const INGRESSES: &'static str = "Ingresses, so the hosts";

    /// That this was not read.
    pub fn new(what: &'static str, error: &kube::Error) -> Unseen {
        Unseen { what, denied: is_forbidden(error), why: reason(error) }
    }

    /// That this was not read, if it was not.
    pub fn of<T>(what: &'static str, read: &kube::Result<T>) -> Option<Unseen> {
        read.as_ref().err().map(|error| Unseen::new(what, error))
    }

    /// Who was denied, if the answer names them: `pods is forbidden: User "ann" cannot list resource …`.
    fn user(&self) -> Option<&str> {
        let (_, rest) = self.why.split_once("User \"")?;
        Some(rest.split_once("\" cannot ")?.0)
    }
}

/// What is missing, in sentences: first what the caller has no right to see, and what would show it.
pub fn missing(unseen: &[Unseen], namespace: &str, flags: &Flags) -> Vec<String> {
    let mut told = Vec::new();
    let denied: Vec<&Unseen> = unseen.iter().filter(|unseen| unseen.denied).collect();
    if !denied.is_empty() {
        let names: Vec<&str> = denied.iter().map(|unseen| unseen.what).collect();
        let user = denied.iter().find_map(|unseen| unseen.user()).unwrap_or("YOUR-NAME");
        let command = to_look(namespace, user, flags);
        let names = names.join("; ");
        told.push(format!("Not shown, because you lack the right: {names}. ClusterRole view would show it: {command}"));
    }
    let failed: Vec<String> = unseen.iter().filter_map(failure).collect();
    if !failed.is_empty() {
        told.push(format!("Not shown, because it could not be read just now: {}.", failed.join("; ")));
    }
    told
}

/// What could not be read though the caller may, and why not.
pub fn failure(unseen: &Unseen) -> Option<String> {
    (!unseen.denied).then(|| format!("{} ({})", unseen.what, unseen.why))
}

/// The command that lets a person see what belongs to the rollouts of a namespace.
pub fn to_look(namespace: &str, user: &str, flags: &Flags) -> String {
    to_bind("view", namespace, user, flags)
}

/// The command that gives a person a ClusterRole in a namespace. It is for somebody else, who may do that, so no flag chooses its user.
pub fn to_bind(role: &str, namespace: &str, user: &str, flags: &Flags) -> String {
    let (subject, of_cluster) = (subject(user), &flags.of_cluster);
    format!("kubectl create rolebinding NAME -n {namespace} --clusterrole={role} {subject}{of_cluster}")
}

/// A person, as `kubectl create rolebinding` takes them.
fn subject(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={}", quoted(account)),
        None => format!("--user={}", quoted(user)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn unseen(what: &'static str, code: u16, message: &str) -> Unseen {
        let status = json!({"status": "Failure", "reason": "", "message": message, "code": code});
        let status: Status = serde_json::from_value(status).expect("a status");
        Unseen::new(what, &kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_one_may_not_see_is_told_with_the_role_and_what_failed_with_its_reason() {
        let denial = r#"pods is forbidden: User "system:serviceaccount:shop:rob" cannot list resource "pods""#;
        let denied = [unseen(Unseen::PODS, 403, denial), unseen(Unseen::SERVICES, 403, "no")];
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: " --as rob".to_owned() };
        let told = missing(&denied, "shop", &Flags::default());
        let of_prod = missing(&denied, "shop", &flags);
        assert!(of_prod[0].ends_with("--serviceaccount=shop:rob --context prod"), "{of_prod:?}");
        let role = "kubectl create rolebinding NAME -n shop --clusterrole=view --serviceaccount=shop:rob";
        let wanted =
            format!("Not shown, because you lack the right: pods; Services. ClusterRole view would show it: {role}");
        assert_eq!(told, [wanted]);
        assert_eq!(subject("Ann; reboot"), "--user='Ann; reboot'", "a name is no command");
        let failed = [unseen(Unseen::INGRESSES, 503, "too busy"), unseen("Events", 500, "")];
        let wanted = "Not shown, because it could not be read just now: Ingresses, so the hosts (too busy); Events (status 500).";
        assert_eq!(missing(&failed, "shop", &flags), [wanted]);
        assert_eq!(missing(&[], "shop", &flags), [""; 0]);
    }
}

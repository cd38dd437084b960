//! Who may do what: asked of the API server, as whoever looks.

use futures::future::join_all;
use greenlight_api::{BlueGreenRollout, Request, Verb, names};
use greenlight_overview::unseen::{subject, to_look};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::action::Action;
use crate::row::Key;

/// Whether the caller may do this to rollouts, or to one.
///
/// # Errors
/// The API server does not answer.
pub async fn may(client: &Client, verb: &str, namespace: Option<&str>, name: Option<&str>) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        group: Some("greenlight.dev".into()),
        resource: Some("bluegreenrollouts".into()),
        verb: Some(verb.into()),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    is_allowed(client, attributes).await
}

/// Whether the caller may read the log of a pod.
///
/// # Errors
/// The API server does not answer, or does not know the caller any more.
pub async fn may_read_log(client: &Client, namespace: &str, pod: &str) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        resource: Some("pods".into()),
        subresource: Some("log".into()),
        verb: Some("get".into()),
        namespace: Some(namespace.into()),
        name: Some(pod.into()),
        ..ResourceAttributes::default()
    };
    is_allowed(client, attributes).await
}

async fn is_allowed(client: &Client, attributes: ResourceAttributes) -> kube::Result<bool> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    Ok(reviews.create(&PostParams::default(), &review).await?.status.is_some_and(|status| status.allowed))
}

/// What a caller may not do to a rollout, and what would let them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rights {
    /// The verbs that they have not got.
    lacking: Vec<&'static str>,
    /// The caller.
    user: String,
}

impl Rights {
    /// Asks for every verb at once.
    pub async fn read(client: &Client, user: &str, key: &Key) -> Rights {
        let verbs = ["patch", "update", "promote", "abort", "rollback", "restart"];
        let asked = verbs.map(|verb| async move {
            // Who cannot be asked about is let try: the API server has the last word anyway.
            may(client, verb, Some(&key.namespace), Some(&key.name)).await.unwrap_or(true)
        });
        let answers = join_all(asked).await;
        let mut lacking: Vec<_> =
            verbs.into_iter().zip(answers).filter(|(_, may)| !may).map(|(verb, _)| verb).collect();
        // Without the chart's policy on requests, whoever may patch may ask for anything.
        let own_verbs = lacking.iter().any(|verb| *verb != "patch");
        if own_verbs && !lacking.contains(&"patch") && !is_policed(client, user, key).await {
            lacking.clear();
        }
        Rights { lacking, user: user.to_owned() }
    }

    /// The caller.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What would let the caller see what belongs to rollouts.
    pub fn to_look(&self, key: &Key) -> String {
        to_look(&key.namespace, &self.user)
    }

    /// Somebody who may do everything.
    #[cfg(test)]
    pub fn of(user: &str) -> Rights {
        Rights { lacking: Vec::new(), user: user.to_owned() }
    }

    /// Why the caller may not do this, and what would let them; `None` if they may.
    pub fn denial(&self, action: Action, key: &Key) -> Option<String> {
        let needed = needed(action);
        let lacks = needed.iter().find(|verb| self.lacking.contains(verb))?;
        let (role, words) = match *lacks {
            "abort" | "rollback" | "restart" => ("greenlight-operator", "go back, abort and restart"),
            "update" | "patch" if matches!(action, Action::Pause | Action::Resume) => ("edit", "change rollouts"),
            _ => ("greenlight-promoter", "make requests of rollouts"),
        };
        let subject = subject(&self.user);
        let of_namespace = match role {
            "edit" => String::new(),
            role => format!(" If Greenlight is installed for one namespace, the role is called NAMESPACE.{role}."),
        };
        // Whether the policy is there shows only to those who may patch.
        let without_policy = if role != "edit" && *lacks == "patch" {
            " Where the chart's requestPolicy is off, this role does not exist: there, take --clusterrole=edit."
        } else {
            ""
        };
        Some(format!(
            "Your roles do not have the verb {lacks} on bluegreenrollouts in {0}. ClusterRole {role} lets people {words}: \
             kubectl create rolebinding NAME -n {0} --clusterrole={role} {subject}.{of_namespace}{without_policy}",
            key.namespace
        ))
    }
}

/// The verbs of the API that an action takes; those of requests as the chart's policy has them.
fn needed(action: Action) -> &'static [&'static str] {
    match action {
        Action::Promote | Action::PromoteFull | Action::Retry => &["patch", "promote"],
        Action::Abort => &["patch", "abort"],
        Action::Undo => &["patch", "rollback"],
        Action::Restart => &["patch", "restart"],
        Action::Pause => &["patch", "update"],
        Action::Resume => &["patch", "update", "promote"],
    }
}

/// Whether the API server refuses a request for which the caller has no verb. Nothing is written.
async fn is_policed(client: &Client, user: &str, key: &Key) -> bool {
    let (revision, by) = ("none".to_owned(), user.to_owned());
    let request = Request { action: Verb::Promote, revision, to: None, by, at: Timestamp::now(), reason: None };
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: request.to_value()}}}));
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let rollouts: Api<BlueGreenRollout> = Api::namespaced(client.clone(), &key.namespace);
    rollouts.patch(&key.name, &params, &patch).await.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_verb_and_the_role_that_has_it() {
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let rights =
            Rights { lacking: vec!["promote", "update"], user: "system:serviceaccount:shop:viewer".to_owned() };
        let why = rights.denial(Action::Promote, &key).expect("denied");
        for part in ["verb promote", "--clusterrole=greenlight-promoter", "--serviceaccount=shop:viewer", "-n shop"] {
            assert!(why.contains(part), "{part:?} is missing in {why}");
        }
        assert_eq!(rights.denial(Action::Undo, &key), None);
        assert!(rights.denial(Action::Pause, &key).expect("denied").contains("--clusterrole=edit"));
    }

    #[test]
    fn who_may_not_patch_is_also_told_what_would_allow_it_without_the_policy() {
        let key = Key { namespace: "shop".into(), name: "web".into() };
        let lacking = |verbs: &[&'static str]| Rights { lacking: verbs.to_vec(), user: "ann".to_owned() };
        let of_nobody = lacking(&["patch", "update", "promote", "abort", "rollback", "restart"]);
        for action in [Action::Promote, Action::Undo, Action::Abort] {
            let why = of_nobody.denial(action, &key).expect("denied");
            assert!(why.contains("requestPolicy is off") && why.contains("take --clusterrole=edit"), "{why}");
        }
        let of_editor = lacking(&["promote", "abort", "rollback", "restart"]).denial(Action::Promote, &key);
        let why = of_editor.expect("denied");
        assert!(!why.contains("requestPolicy"), "the policy is there, or nothing would be denied: {why}");
    }
}

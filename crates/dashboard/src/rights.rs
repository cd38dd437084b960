//! Who may do what: asked of the API server, as whoever looks.

use std::collections::BTreeSet;

use futures::future::join_all;
use greenlight_api::{BlueGreenRollout, Request, Verb, names};
use greenlight_overview::unseen::{to_bind, to_look};
use greenlight_overview::{Flags, Session, Whole, is_answer};
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
    /// What a command that they are told ends with.
    flags: Flags,
}

impl Rights {
    /// Asks for every verb at once.
    pub async fn read(session: &Session, user: &str, key: &Key) -> Rights {
        let client = &session.client;
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
        Rights { lacking, user: user.to_owned(), flags: session.flags.clone() }
    }

    /// The caller.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What would let the caller see what belongs to rollouts.
    pub fn to_look(&self, key: &Key) -> String {
        to_look(&key.namespace, &self.user, &self.flags)
    }

    /// Somebody who may do everything.
    #[cfg(test)]
    pub fn of(user: &str) -> Rights {
        Rights { user: user.to_owned(), ..Rights::default() }
    }

    /// Whether the caller may do this, as far as it is known.
    pub fn allow(&self, action: Action) -> bool {
        self.missing(action).is_none()
    }

    /// Why the caller may not do this, and what would let them; `None` if they may.
    pub fn denial(&self, action: Action, key: &Key) -> Option<String> {
        let denied = self.denials([action].into_iter(), key).into_iter().next()?;
        let remedies = denied.remedies.iter().map(|remedy| format!(" {}: {}", remedy.words, remedy.command));
        Some(std::iter::once(denied.lack).chain(remedies).collect())
    }

    /// Why the caller may not do these: each verb that they lack once, with all that would give it.
    pub fn denials(&self, actions: impl Iterator<Item = Action>, key: &Key) -> Vec<Denial> {
        let missing: BTreeSet<Missing> = actions.filter_map(|action| self.missing(action)).collect();
        let verbs: BTreeSet<&str> = missing.iter().map(|missing| missing.verb).collect();
        let told = verbs.into_iter().map(|verb| {
            let of_verb = missing.iter().filter(|missing| missing.verb == verb);
            Denial {
                lack: format!("Your roles do not have the verb {verb} on bluegreenrollouts in {}.", key.namespace),
                remedies: of_verb.map(|missing| self.remedy(*missing, key)).collect(),
            }
        });
        told.collect()
    }

    fn missing(&self, action: Action) -> Option<Missing> {
        let verb = *needed(action).iter().find(|verb| self.lacking.contains(verb))?;
        let role = match verb {
            "abort" | "rollback" | "restart" => "greenlight-operator",
            "update" | "patch" if matches!(action, Action::Pause | Action::Resume) => "edit",
            _ => "greenlight-promoter",
        };
        Some(Missing { verb, role })
    }

    fn remedy(&self, Missing { verb, role }: Missing, key: &Key) -> Remedy {
        let does = match role {
            "greenlight-operator" => "go back, abort and restart",
            "edit" => "change rollouts",
            _ => "make requests of rollouts",
        };
        let mut names = Vec::new();
        if role != "edit" {
            names.push(format!("NAMESPACE.{role} where Greenlight is installed for one namespace"));
        }
        // Whether the policy is there shows only to those who may patch.
        if role != "edit" && verb == "patch" {
            names.push("edit where the chart's requestPolicy is off".to_owned());
        }
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join("; ")) };
        Remedy {
            words: format!("ClusterRole {role}{names} lets people {does}"),
            command: to_bind(role, &key.namespace, &self.user, &self.flags),
        }
    }
}

/// Why a caller may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The verb that they lack, in a sentence.
    pub lack: String,
    /// What would give it to them.
    pub remedies: Vec<Remedy>,
}

/// A ClusterRole that would let a caller do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// What it is called, and lets people do.
    pub words: String,
    /// What gives it to the caller. It is copied as it is, so nothing comes after it.
    pub command: String,
}

/// A verb that a caller lacks, and the role that would give it to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Missing {
    verb: &'static str,
    role: &'static str,
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
    let rollouts: Api<Whole<BlueGreenRollout>> = Api::namespaced(client.clone(), &key.namespace);
    // Without an answer nobody has refused anything.
    rollouts.patch(&key.name, &params, &patch).await.is_err_and(|error| is_answer(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Asked, allowed, api_server, failure, session};

    #[tokio::test]
    async fn an_api_server_that_gives_no_answer_takes_no_right_away() {
        for (code, is_allowed) in [(422, false), (403, false), (503, true), (429, true)] {
            let client = api_server(move |call: Asked| async move {
                if call.path.ends_with("/selfsubjectaccessreviews") {
                    allowed(call.body["spec"]["resourceAttributes"]["verb"] == "patch")
                } else {
                    failure(code, "no")
                }
            });
            let rights = Rights::read(&session(client), "ann", &key()).await;
            assert_eq!(rights.allow(Action::Promote), is_allowed, "{code}");
        }
    }

    fn lacking(verbs: &[&'static str], user: &str) -> Rights {
        Rights { lacking: verbs.to_vec(), ..Rights::of(user) }
    }

    fn key() -> Key {
        Key { namespace: "shop".into(), name: "web".into() }
    }

    #[test]
    fn a_denial_names_the_verb_and_ends_with_the_command_that_gives_it() {
        let rights = lacking(&["promote", "update"], "system:serviceaccount:shop:viewer");
        let why = rights.denial(Action::Promote, &key()).expect("denied");
        assert!(why.contains("verb promote on bluegreenrollouts in shop."), "{why}");
        let command =
            "kubectl create rolebinding NAME -n shop --clusterrole=greenlight-promoter --serviceaccount=shop:viewer";
        assert!(why.ends_with(&format!(": {command}")), "it is copied as it is: {why}");
        assert!(rights.denial(Action::Undo, &key()).is_none() && rights.allow(Action::Undo));
        assert!(rights.denial(Action::Pause, &key()).expect("denied").contains("--clusterrole=edit"));
    }

    #[test]
    fn the_command_is_of_the_cluster_that_is_on_the_screen_and_of_a_user_who_may_do_more() {
        let flags = Flags { of_cluster: " --context prod".to_owned(), of_user: " --as ann".to_owned() };
        let rights = Rights { flags, ..lacking(&["abort"], "ann") };
        let why = rights.denial(Action::Abort, &key()).expect("denied");
        assert!(why.ends_with("--clusterrole=greenlight-operator --user=ann --context prod"), "{why}");
        assert!(rights.to_look(&key()).ends_with("--clusterrole=view --user=ann --context prod"));
    }

    #[test]
    fn a_verb_that_is_missing_is_told_once_with_every_role_that_has_it() {
        let of_viewer = lacking(&["patch", "update", "promote", "abort", "rollback", "restart"], "ann");
        let offered = [Action::Promote, Action::PromoteFull, Action::Abort, Action::Restart, Action::Pause];
        let told = of_viewer.denials(offered.into_iter(), &key());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].lack.contains("Your roles do not have the verb patch"), "{told:?}");
        let commands: Vec<&str> = told[0].remedies.iter().map(|remedy| remedy.command.as_str()).collect();
        for role in ["--clusterrole=greenlight-promoter ", "--clusterrole=edit "] {
            assert_eq!(commands.iter().filter(|command| command.contains(role)).count(), 1, "{commands:?}");
        }
        let half = lacking(&["promote", "abort"], "ann");
        assert_eq!(half.denials(offered.into_iter(), &key()).len(), 2, "two verbs, two roles");
        assert!(Rights::of("ann").denials(offered.into_iter(), &key()).is_empty());
    }

    #[test]
    fn who_may_not_patch_is_also_told_what_would_allow_it_without_the_policy() {
        let of_nobody = lacking(&["patch", "update", "promote", "abort", "rollback", "restart"], "ann");
        for action in [Action::Promote, Action::Undo, Action::Abort] {
            let why = of_nobody.denial(action, &key()).expect("denied");
            assert!(why.contains("; edit where the chart's requestPolicy is off)"), "{why}");
        }
        let of_editor = lacking(&["promote", "abort", "rollback", "restart"], "ann").denial(Action::Promote, &key());
        let why = of_editor.expect("denied");
        assert!(!why.contains("requestPolicy"), "the policy is there, or nothing would be denied: {why}");
    }
}

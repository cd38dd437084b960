//! Where the explorer meets the core: what the core plans becomes a [`Write`], and what the API server holds becomes a
//! `World`. When the core's types change, this is the file that changes with them, and [`crate::cluster`] a little.

use std::collections::BTreeMap;

use greenlight_api::{PodMetadata, PodTemplate};
use greenlight_core::analysis::Kind;
use greenlight_core::retire::{self, Owner, ScaleDown, Selected};
use greenlight_core::world::{self, ReplicaSet, Template};
use greenlight_core::{Action, Change, Plan, World, hash};
use jiff::Timestamp;
use serde_json::json;
use std::sync::LazyLock;

use crate::event::{VERSIONS, Version};

/// The status is written with the resourceVersion that the plan was made from.
pub const PUBLISH_IS_FENCED: bool = true;
/// What the spec asks for again after something else is a new attempt, also if it was rejected.
pub const RETURN_LIFTS_REJECTION: bool = true;

/// What the core knows of a template.
pub struct Facts {
    /// As the rollout carries it.
    pub template: Template,
    /// The hash of its first ReplicaSet.
    pub hash: String,
    /// The name of that.
    pub set_name: String,
}

static FACTS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let facts = |number: u8| {
        let labels = if Version(number) == Version::UNLABELLED {
            json!({"app": "web"})
        } else {
            json!({"app": "web", "tier": "front"})
        };
        let template: PodTemplate = serde_json::from_value(json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": format!("web:v{number}")}]},
        }))
        .expect("a template");
        let template = Template::from(&template);
        let hash = template.digest.hash(0);
        Facts { set_name: hash::replica_set_name("web", &hash), hash, template }
    };
    (1..=VERSIONS).map(facts).collect()
});

/// What the core knows of a version.
pub fn facts(version: Version) -> &'static Facts {
    &FACTS[usize::from(version.0) - 1]
}

/// The version of this hash.
pub fn version_of_hash(hash: &str) -> Option<Version> {
    // A hash that is taken is made anew, with a number.
    let of = |version: &Version| (0..3).any(|number| facts(*version).template.digest.hash(number) == hash);
    Version::all().find(|version| facts(*version).hash == hash).or_else(|| Version::all().find(of))
}

/// The version of this digest.
pub fn version_of_digest(digest: &str) -> Option<Version> {
    Version::all().find(|version| facts(*version).template.digest.as_str() == digest)
}

/// What a Service is made to select.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// The pods with this hash.
    Hash(String),
    /// The pods with the label of those that serve.
    Both,
    /// No pod.
    Nothing,
    /// The hash and our mark go out.
    Released,
}

/// One write, as the API server sees it. The fields are those of the core's actions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is that of the action")]
pub enum Write {
    /// The finalizer of the Services onto the rollout, or off it.
    Finalizer { hold: bool },
    /// A request written out.
    CompleteRequest(String),
    /// A new ReplicaSet.
    Create {
        name: String,
        hash: String,
        digest: String,
        replicas: i32,
        annotations: BTreeMap<&'static str, String>,
        metadata: PodMetadata,
    },
    /// A change of one.
    Change { name: String, resource_version: String, change: Change },
    /// Its deletion.
    Delete { name: String, resource_version: String },
    /// A Service's selector, and whether it carries production with it.
    Select { service: String, resource_version: String, selection: Selection, production: Option<String> },
    /// Claims that are not followed, noted on a Service.
    Withdraw { service: String, resource_version: String, claims: String },
    /// Labels and annotations of pods.
    Metadata { name: String, resource_version: String, to: PodMetadata },
    /// The start of an analysis.
    StartAnalysis { name: String, set: String, pre: bool },
    /// Its end.
    StopAnalysis { name: String },
    /// A pod goes.
    Evict { hash: String, name: String, uid: String },
    /// Something that this model does not have.
    Other,
}

/// What an action asks of the API server.
pub fn write_of(action: &Action) -> Write {
    match action.clone() {
        Action::AddFinalizer => Write::Finalizer { hold: true },
        Action::RemoveFinalizer => Write::Finalizer { hold: false },
        Action::CompleteRequest { value } => Write::CompleteRequest(value),
        Action::CreateReplicaSet { name, hash, digest, replicas, annotations, pod_metadata, .. } => {
            Write::Create { name, hash, digest, replicas, annotations, metadata: pod_metadata }
        }
        Action::ChangeReplicaSet { name, resource_version, change } => Write::Change { name, resource_version, change },
        Action::DeleteReplicaSet { name, resource_version } => Write::Delete { name, resource_version },
        Action::SelectRevision { name, resource_version, selection, production } => Write::Select {
            service: name,
            resource_version,
            selection: match selection {
                world::Selection::Revision(hash) => Selection::Hash(hash),
                world::Selection::Both => Selection::Both,
                world::Selection::Nothing => Selection::Nothing,
                world::Selection::Unmanaged => Selection::Released,
            },
            production,
        },
        Action::WithdrawClaims { name, resource_version, claims } => {
            Write::Withdraw { service: name, resource_version, claims }
        }
        Action::ChangePodMetadata { name, resource_version, to, .. } => Write::Metadata { name, resource_version, to },
        Action::StartAnalysis { name, kind, replica_set, .. } => {
            Write::StartAnalysis { name, set: replica_set, pre: kind == Kind::Pre }
        }
        Action::StopAnalysis { name } => Write::StopAnalysis { name },
        Action::EvictPod { hash, name, uid } => Write::Evict { hash, name, uid },
        Action::ScaleWorkload { .. } => Write::Other,
    }
}

/// The shipped planner.
pub fn plan(world: &World, now: Timestamp) -> Plan {
    greenlight_core::plan(world, now)
}

/// What the scale-down controller does next with a set.
pub enum Next {
    /// Nothing now.
    Rest,
    /// It reads the Services live and asks again.
    CheckServices,
    /// It writes.
    Write(Change),
}

/// The shipped scale-down controller. `checked`: it has read live that no Service selects the set.
pub fn scale_down(
    set: &ReplicaSet,
    rollout_leaves: bool,
    selected: Option<String>,
    checked: bool,
    now: Timestamp,
) -> Next {
    let owner = if rollout_leaves { Owner::Deleted } else { Owner::Exists };
    let selected = match selected {
        Some(service) => Selected::By(service),
        None if checked => Selected::No,
        None => Selected::Unverified,
    };
    match retire::scale_down(set, owner, &selected, now) {
        ScaleDown::Nothing | ScaleDown::Wait(_) => Next::Rest,
        ScaleDown::CheckServices => Next::CheckServices,
        ScaleDown::Shrink(change) | ScaleDown::Finish(change) | ScaleDown::RemoveFinalizer(change) => {
            Next::Write(change)
        }
    }
}

//! What is kept of a pod: whether it is ready, and if it is not, why.

use greenlight_api::names::HASH_LABEL;
use greenlight_core::from_api;
use greenlight_core::world::Pod;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde::Deserialize;

use super::shared::Sought;
use crate::cluster::arrived::Watched;
use crate::cluster::objects::narrow::{narrow_metadata, view_of};

/// How a kubelet says that a readiness gate of a pod is shut.
const GATES: &str = "ReadinessGatesNotReady";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod, and the UID of what controls it: labels anybody may write, and another rollout with the same template writes the same.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedPod {
    /// UID of its ReplicaSet.
    pub owner: String,
    /// The pod.
    pub pod: Pod,
}

/// A pod as it arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct PodView {
    #[serde(deserialize_with = "narrow_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    conditions: Vec<Condition>,
    init_container_statuses: Vec<Container>,
    container_statuses: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    ready: bool,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Deserialize)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Running {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: Option<String>,
    exit_code: i32,
}

view_of!(PodView, "", "v1", "Pod", "pods");

impl Watched for PodView {}

impl Sought for PodView {
    const LABEL: &'static str = HASH_LABEL;
    type Item = OwnedPod;

    fn items(self) -> Vec<OwnedPod> {
        let PodView { metadata, status } = self;
        let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
        let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
        let reason = if ready { None } else { status.why_not_ready() };
        let (reason, message) = reason.unwrap_or_default();
        let annotations = metadata.annotations.unwrap_or_default();
        let cost = annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok());
        let controller = metadata.owner_references.into_iter().flatten().find(|owner| owner.controller == Some(true));
        let pod = Pod {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            created: metadata.creation_timestamp.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deleting: metadata.deletion_timestamp.is_some(),
            over: from_api::is_over(status.phase.as_deref()),
            ready,
            deletion_cost: cost.unwrap_or(0),
            reason,
            message,
        };
        vec![OwnedPod { owner: controller.map(|owner| owner.uid).unwrap_or_default(), pod }]
    }
}

impl Status {
    /// The reason and the message of what says most.
    fn why_not_ready(&self) -> Option<(String, String)> {
        // An init container has no probe, unless it is a sidecar.
        let initial = self.init_container_statuses.iter().map(|container| (container, "and the pod waits for it"));
        let others = self.container_statuses.iter().map(|container| (container, "its readiness probe fails"));
        let unready = initial.chain(others).filter(|(container, _)| !container.ready);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let not_scheduled = || {
            let scheduled = self.conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
            (scheduled.status == "False").then(|| (text(&scheduled.reason), text(&scheduled.message)))
        };
        let of_the_pod = || Some((self.reason.clone()?, text(&self.message)));
        // All containers are ready, and something else has to say that the pod is: a load balancer that has to register it, say.
        let gated = || {
            let ready = self.conditions.iter().find(|condition| condition.type_ == "Ready")?;
            (ready.reason.as_deref() == Some(GATES)).then(|| (text(&ready.reason), text(&ready.message)))
        };
        let of_containers = unready.filter_map(|(container, it_lacks)| container.why_not_ready(it_lacks)).next();
        of_containers.or_else(not_scheduled).or_else(of_the_pod).or_else(gated)
    }
}

impl Container {
    /// The reason and the message, and `it_lacks` if it runs.
    fn why_not_ready(&self, it_lacks: &str) -> Option<(String, String)> {
        if let Some(waiting) = &self.state.waiting {
            let last = self.last_state.terminated.as_ref().map(Terminated::how);
            let message = waiting.message.clone().or(last).unwrap_or_default();
            return Some((waiting.reason.clone().unwrap_or_default(), message));
        }
        if let Some(terminated) = self.state.terminated.as_ref().filter(|terminated| terminated.exit_code != 0) {
            return Some((terminated.reason.clone().unwrap_or_default(), terminated.how()));
        }
        let running = self.state.running.as_ref()?;
        let Running {} = running;
        Some(("NotReady".to_owned(), format!("container {} runs, {it_lacks}", self.name)))
    }
}

impl Terminated {
    fn how(&self) -> String {
        format!("exit code {}", self.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_waits_for_a_readiness_gate_says_for_which() {
        let gate = r#"corresponding condition of pod readiness gate "example.com/registered" does not exist."#;
        let pod = json!({
            "metadata": {"name": "web"},
            "status": {
                "phase": "Running",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "ContainersReady", "status": "True"},
                    {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": gate},
                ],
                "containerStatuses": [{"name": "web", "ready": true, "state": {"running": {}}}],
            },
        });
        let view: PodView = serde_json::from_value(pod).expect("a pod");
        let [OwnedPod { pod, .. }] = &view.items()[..] else { panic!("one") };
        assert_eq!((pod.ready, pod.reason.as_str(), pod.message.as_str()), (false, GATES, gate));
    }

    /// A node was low on memory, say. Its ReplicaSet has made another one, and the object stays.
    #[test]
    fn a_pod_that_has_ended_is_told_apart_from_one_that_is_not_ready_and_says_why_it_ended() {
        let of_phase = |phase: &str| {
            let pod = json!({
                "metadata": {"name": "web"},
                "status": {"phase": phase, "reason": "Evicted", "message": "The node was low on resource: memory."},
            });
            let view: PodView = serde_json::from_value(pod).expect("a pod");
            let [OwnedPod { pod, .. }] = &view.items()[..] else { panic!("one") };
            assert_eq!(pod.reason, "Evicted");
            (pod.over, pod.counts())
        };
        assert_eq!(["Failed", "Succeeded"].map(of_phase), [(true, false); 2]);
        assert_eq!(["Pending", "Running", "Unknown"].map(of_phase), [(false, true); 3]);
    }

    #[test]
    fn an_init_container_that_runs_fails_no_probe() {
        let pod = json!({
            "metadata": {"name": "web"},
            "status": {
                "phase": "Pending",
                "initContainerStatuses": [{"name": "migrate", "ready": false, "state": {"running": {}}}],
                "containerStatuses": [{"name": "web", "ready": false, "state": {"waiting": {"reason": "PodInitializing"}}}],
            },
        });
        let view: PodView = serde_json::from_value(pod).expect("a pod");
        let [OwnedPod { pod, .. }] = &view.items()[..] else { panic!("one") };
        assert_eq!(pod.message, "container migrate runs, and the pod waits for it");
    }
}

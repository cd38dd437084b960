//! Why is a pod not ready?

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};

impl Evidence {
    pub(super) fn check_pods(&self, findings: &mut Vec<Finding>) {
        for pod in &self.pods {
            let status = pod.status.clone().unwrap_or_default();
            let name = pod.name_any();
            let describe = self.kubectl(&format!("describe pod {name}"));
            let pod_conditions = status.conditions.unwrap_or_default();
            let condition = |type_: &str| pod_conditions.iter().find(|condition| condition.type_ == type_);
            if pod.metadata.deletion_timestamp.is_some() || condition("Ready").is_some_and(|c| c.status == "True") {
                continue;
            }
            if let Some(unscheduled) = condition("PodScheduled").filter(|c| c.status == "False") {
                findings.push(Finding {
                    about: About::Pod(name.clone()),
                    symptom: format!("pod {name} finds no node"),
                    cause: unscheduled.message.clone().unwrap_or_default(),
                    fix: format!("add nodes, lower the requests or previewReplicaCount: {describe}"),
                });
                continue;
            }
            for container in status.init_container_statuses.into_iter().chain(status.container_statuses).flatten() {
                let state = container.state.unwrap_or_default();
                let (container, image) = (container.name, container.image);
                let waiting = state.waiting.unwrap_or_default();
                let told = waiting.message.unwrap_or_default();
                let (symptom, cause, fix) = match waiting.reason.as_deref().unwrap_or_default() {
                    "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => (
                        format!("pod {name} cannot pull {image}"),
                        format!("the image does not exist, or the registry needs a pull secret. {told}"),
                        self.kubectl(&format!("greenlight set image {} {container}=IMAGE", self.name())),
                    ),
                    "CrashLoopBackOff" => (
                        format!("pod {name}: container {container} crashes"),
                        told,
                        self.kubectl(&format!("logs {name} -c {container} --previous")),
                    ),
                    "CreateContainerConfigError" | "CreateContainerError" => {
                        (format!("pod {name}: container {container} cannot be made"), told, describe.clone())
                    }
                    "" if state.running.is_some() && self.is_old(pod) && !container_ready(pod, &container) => (
                        format!("pod {name}: container {container} runs, but is not ready"),
                        "its readiness probe fails".to_owned(),
                        format!("{}; {describe}", self.kubectl(&format!("logs {name} -c {container}"))),
                    ),
                    "ContainerCreating" if self.is_old(pod) => (
                        format!("pod {name}: container {container} is not made"),
                        "a volume, a secret or a config map is missing, or the node is stuck".to_owned(),
                        describe.clone(),
                    ),
                    _ => continue,
                };
                findings.push(Finding { about: About::Pod(name.clone()), symptom, cause, fix });
            }
        }
    }

    fn is_old(&self, pod: &Pod) -> bool {
        pod.creation_timestamp().is_some_and(|created| self.now.duration_since(created.0) > OPERATOR_ANSWERS_WITHIN)
    }
}

fn container_ready(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.into_iter().any(|status| status.name == container && status.ready)
}

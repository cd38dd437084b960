//! Why is a pod not ready?

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};
use crate::containers::{initial, is_sidecar};

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
                let runs_unready = state.running.is_some() && !container.ready && self.is_old(pod);
                let (container, image) = (container.name, container.image);
                let waiting = state.waiting.unwrap_or_default();
                let told = waiting.message.unwrap_or_default();
                let (symptom, cause, fix) = match waiting.reason.as_deref().unwrap_or_default() {
                    "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => (
                        format!("pod {name} cannot pull {image}"),
                        format!("the image does not exist, or the registry needs a pull secret. {told}"),
                        self.set_image(&container),
                    ),
                    "CrashLoopBackOff" => (
                        format!("pod {name}: container {container} crashes"),
                        told,
                        self.kubectl(&format!("logs {name} -c {container} --previous")),
                    ),
                    "CreateContainerConfigError" | "CreateContainerError" => {
                        (format!("pod {name}: container {container} cannot be made"), told, describe.clone())
                    }
                    "" if runs_unready && ends_before_the_others(pod, &container) => (
                        format!("pod {name} waits for its init container {container}"),
                        "the other containers begin when it has ended, and it runs".to_owned(),
                        self.kubectl(&format!("logs {name} -c {container}")),
                    ),
                    "" if runs_unready => (
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

    /// The command that sets another image, where the template is.
    fn set_image(&self, container: &str) -> String {
        match &self.rollout.spec.workload_ref {
            Some(workload) => self.kubectl(&format!("set image deployment/{} {container}=IMAGE", workload.name)),
            None => self.kubectl(&format!("greenlight set image {} {container}=IMAGE", self.name())),
        }
    }

    fn is_old(&self, pod: &Pod) -> bool {
        pod.creation_timestamp().is_some_and(|created| self.now.duration_since(created.0) > OPERATOR_ANSWERS_WITHIN)
    }
}

/// Whether this is an init container that has to end, which a sidecar has not.
fn ends_before_the_others(pod: &Pod, container: &str) -> bool {
    initial(pod).any(|initial| initial.name == container && !is_sidecar(initial))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::session::Flags;

    /// What is found of a pod, of a rollout with this spec.
    fn found(spec: Value, pod: Value) -> Vec<Finding> {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "web"},
            "spec": spec,
        });
        let evidence = Evidence {
            flags: Flags { of_cluster: " --context prod".to_owned(), of_user: String::new() },
            pods: vec![serde_json::from_value(pod).expect("a pod")],
            ..Evidence::of_rollout_alone(rollout)
        };
        let mut findings = Vec::new();
        evidence.check_pods(&mut findings);
        findings
    }

    fn container(name: &str, state: Value) -> Value {
        json!({"name": name, "image": "app:v2", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    #[test]
    fn another_image_is_set_where_the_template_is() {
        let fix = |spec: Value| {
            let container = container("app", json!({"waiting": {"reason": "ErrImagePull"}}));
            let pod = json!({"metadata": {"name": "web-1"}, "status": {"containerStatuses": [container]}});
            found(spec, pod).pop().expect("it is found").fix
        };
        let strategy = json!({"blueGreen": {}});
        let own = fix(json!({"selector": {}, "strategy": strategy}));
        assert_eq!(own, "kubectl greenlight set image web app=IMAGE -n shop --context prod");
        let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-web"});
        let of_deployment = fix(json!({"selector": {}, "strategy": strategy, "workloadRef": workload}));
        assert_eq!(of_deployment, "kubectl set image deployment/shop-web app=IMAGE -n shop --context prod");
    }

    #[test]
    fn an_init_container_that_runs_is_waited_for_and_fails_no_probe() {
        let symptoms = |policy: Value, state: Value| {
            let pod = json!({
                "metadata": {"name": "web-1", "creationTimestamp": "1969-12-31T23:00:00Z"},
                "spec": {"initContainers": [{"name": "migrate", "restartPolicy": policy}], "containers": []},
                "status": {"initContainerStatuses": [container("migrate", state)]},
            });
            let findings = found(json!({"selector": {}, "strategy": {"blueGreen": {}}}), pod);
            findings.into_iter().map(|finding| (finding.symptom, finding.cause)).collect::<Vec<_>>()
        };
        let of_init = symptoms(Value::Null, json!({"running": {}}));
        assert!(of_init.len() == 1 && of_init[0].0 == "pod web-1 waits for its init container migrate", "{of_init:?}");
        let of_sidecar = symptoms(json!("Always"), json!({"running": {}}));
        assert!(of_sidecar.len() == 1 && of_sidecar[0].1 == "its readiness probe fails", "{of_sidecar:?}");
        assert!(symptoms(Value::Null, json!({"terminated": {"exitCode": 0}})).is_empty());
    }
}

//! Do the Services lead to pods that answer?

use greenlight_api::{conditions, names};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};
use crate::containers::lasting;
use crate::surroundings::OF_SERVICE;

impl Evidence {
    pub(super) fn check_services(&self, findings: &mut Vec<Finding>) {
        for name in self.rollout.spec.blue_green().services() {
            match self.services.iter().find(|service| service.name_any() == name) {
                Some(service) => self.check_service(name, service, findings),
                None => findings.push(Finding {
                    about: About::Service(name.to_owned()),
                    symptom: format!("Service {name} is not there"),
                    cause: format!("the rollout names it, and there is none in namespace {}", self.namespace),
                    fix: format!(
                        "create it, and give it a selector of the pods' labels: {}",
                        self.kubectl(&format!("create service clusterip {name} --tcp=80:8080"))
                    ),
                }),
            }
        }
        self.check_proof(findings);
    }

    fn check_service(&self, name: &str, service: &Service, findings: &mut Vec<Finding>) {
        let spec = service.spec.clone().unwrap_or_default();
        let mut selector = spec.selector.unwrap_or_default();
        let hash = selector.remove(names::HASH_LABEL);
        selector.remove(names::SERVING_LABEL);
        // What it selects counts, and not what comes next: the operator itself says when that does not fit.
        let selected = hash.as_ref().and_then(|hash| self.of_hash(hash));
        let shown = selected.or_else(|| self.replica_sets.iter().max_by_key(|rs| shown_number(rs)));
        let labels = shown.and_then(|rs| rs.spec.as_ref()?.template.as_ref()?.metadata.as_ref()?.labels.clone());
        if let Some(labels) = labels {
            let wrong = selector.iter().filter(|(key, value)| labels.get(*key) != Some(value));
            let wrong: Vec<String> = wrong.map(|(key, value)| format!("{key}={value}")).collect();
            if !wrong.is_empty() {
                findings.push(Finding {
                    about: About::Service(name.to_owned()),
                    symptom: format!("Service {name} can have no endpoints"),
                    cause: format!("its selector requires {}, which the pods do not carry", wrong.join(", ")),
                    fix: self.kubectl(&format!("edit service {name}")),
                });
                return;
            }
        }
        if let Some(hash) = hash.as_ref().filter(|hash| *hash != names::NO_HASH && selected.is_none()) {
            findings.push(Finding {
                about: About::Service(name.to_owned()),
                symptom: format!("Service {name} selects the revision {hash}, which does not exist"),
                cause: "somebody edited the selector, or deleted the ReplicaSet. The operator points it at another \
                        revision as soon as one may be served and has available pods"
                    .to_owned(),
                fix: format!(
                    "see what it waits for: {}; if for nothing, look at the operator: {}",
                    self.command("get rollout"),
                    self.find_operator()
                ),
            });
        }
        self.endpoints(name, hash.as_deref(), findings);
        for port in spec.ports.iter().flatten() {
            self.check_port(name, port, findings);
        }
    }

    fn check_port(&self, service: &str, port: &ServicePort, findings: &mut Vec<Finding>) {
        let Some(IntOrString::String(wanted)) = &port.target_port else { return };
        let has_port = self.pods.iter().any(|pod| {
            let mut ports = lasting(pod).flat_map(|container| container.ports.iter().flatten());
            ports.any(|port| port.name.as_ref() == Some(wanted))
        });
        if !has_port && !self.pods.is_empty() {
            findings.push(Finding {
                about: About::Service(service.to_owned()),
                symptom: format!("Service {service} does not answer on port {}", port.port),
                cause: format!("its targetPort {wanted} is the name of no port of the pods"),
                fix: format!(
                    "name a containerPort, or write its number: {}",
                    self.kubectl(&format!("edit service {service}"))
                ),
            });
        }
    }

    /// Whether the move of production waits for its proof longer than the EndpointSlice controller takes.
    fn check_proof(&self, findings: &mut Vec<Finding>) {
        let Some(status) = &self.rollout.status else { return };
        let proving = status.conditions.iter().any(|condition| condition.reason == conditions::REASON_PROVING);
        let since = status.switch.as_ref().map(|switch| self.now.duration_since(switch.switched_at));
        if proving && since.is_some_and(|since| since > OPERATOR_ANSWERS_WITHIN) {
            findings.push(Finding {
                about: About::Rollout,
                symptom: "the switch is not proven".to_owned(),
                cause: status.message.clone(),
                fix: format!("see whether the EndpointSlice controller runs: {}", self.kubectl("get endpointslices")),
            });
        }
    }

    fn endpoints(&self, service: &str, hash: Option<&str>, findings: &mut Vec<Finding>) {
        let (Some(rs), Some(slices)) = (hash.and_then(|hash| self.of_hash(hash)), &self.slices) else { return };
        let wanted = rs.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let of_service = |slice: &&EndpointSlice| slice.labels().get(OF_SERVICE).map(String::as_str) == Some(service);
        let endpoints = slices.iter().filter(of_service).flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = endpoints.filter(|e| e.conditions.as_ref().and_then(|c| c.ready) != Some(false)).count();
        if ready == 0 && wanted > 0 {
            let are_ready = rs.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
            let (cause, what) = if are_ready > 0 {
                (
                    format!(
                        "{are_ready} of the {wanted} pods of ReplicaSet {} are ready, and its EndpointSlices have none of them: does \
                         the EndpointSlice controller run?",
                        rs.name_any()
                    ),
                    format!("get endpointslices -l {OF_SERVICE}={service}"),
                )
            } else {
                (
                    format!("none of the {wanted} pods of ReplicaSet {} is ready", rs.name_any()),
                    format!("get pods -l {}={}", names::HASH_LABEL, hash.unwrap_or_default()),
                )
            };
            findings.push(Finding {
                about: About::Service(service.to_owned()),
                symptom: format!("Service {service} has no ready endpoint"),
                cause,
                fix: self.kubectl(&what),
            });
        }
    }
}

fn shown_number(rs: &ReplicaSet) -> i64 {
    rs.annotations().get(names::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_of_a_sidecar_is_one_of_the_pods() {
        let found = |policy: Option<&str>| {
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "web"},
                "spec": {"selector": {}, "strategy": {"blueGreen": {"activeService": "web"}}},
            });
            let ports = json!([{"name": "http", "containerPort": 80}]);
            let mesh = json!({"name": "mesh", "restartPolicy": policy, "ports": ports});
            let pod = json!({"metadata": {"name": "web-1"}, "spec": {"initContainers": [mesh], "containers": []}});
            let port = json!({"port": 80, "targetPort": "http"});
            let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [port]}});
            let evidence = Evidence {
                pods: vec![serde_json::from_value(pod).expect("a pod")],
                services: vec![serde_json::from_value(service).expect("a Service")],
                ..Evidence::of_rollout_alone(rollout)
            };
            let mut findings = Vec::new();
            evidence.check_services(&mut findings);
            findings.into_iter().map(|finding| finding.symptom).collect::<Vec<_>>()
        };
        assert_eq!(found(Some("Always")), Vec::<String>::new());
        assert_eq!(found(None), ["Service web does not answer on port 80"], "what has ended listens no more");
    }

    #[test]
    fn pods_that_are_ready_are_not_blamed_for_a_service_without_endpoints() {
        let found = |ready: i32| {
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "web"},
                "spec": {"selector": {}, "strategy": {"blueGreen": {"activeService": "web"}}},
            });
            let labels = json!({names::HASH_LABEL: "v1"});
            let replica_set = json!({
                "metadata": {"name": "web-v1", "labels": labels}, "spec": {"replicas": 2, "selector": {}},
                "status": {"replicas": 2, "readyReplicas": ready},
            });
            let service = json!({"metadata": {"name": "web"}, "spec": {"selector": labels}});
            let evidence = Evidence {
                replica_sets: vec![serde_json::from_value(replica_set).expect("a ReplicaSet")],
                services: vec![serde_json::from_value(service).expect("a Service")],
                slices: Some(Vec::new()),
                ..Evidence::of_rollout_alone(rollout)
            };
            let mut findings = Vec::new();
            evidence.check_services(&mut findings);
            findings.pop().expect("it has none").cause
        };
        assert_eq!(found(0), "none of the 2 pods of ReplicaSet web-v1 is ready");
        assert!(found(2).starts_with("2 of the 2 pods of ReplicaSet web-v1 are ready, and its EndpointSlices"));
    }
}

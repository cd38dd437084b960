//! `doctor`: the troubleshooting guide as a command. Each finding has its cause and the command that mends it.

use anyhow::Result;
use greenlight_api::text::printable;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, RevisionRecord, conditions, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use crate::exit::Exit;
use crate::options::Format;
use crate::read::print_facts;
use crate::session::Session;

/// An operator that runs has seen a change by then.
const OPERATOR_ANSWERS_WITHIN: SignedDuration = SignedDuration::from_secs(15);
/// The pods of a retired ReplicaSet are gone this long after its deadline.
const RETIRES_WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What is seen.
    pub symptom: String,
    /// Why.
    pub cause: String,
    /// What to do, usually a command.
    pub fix: String,
}

/// Looks at everything that a release depends on. Exit code 2 when something is found.
pub async fn run(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
    let evidence = Evidence::gather(session, name).await?;
    let findings = evidence.findings();
    if let Some(format) = format {
        print_facts(&findings, format)?;
    } else if findings.is_empty() {
        println!("Rollout {name} is in order.");
    }
    for (number, finding) in findings.iter().enumerate().filter(|_| format.is_none()) {
        let [symptom, cause, fix] = [&finding.symptom, &finding.cause, &finding.fix].map(|text| printable(text));
        println!("{}. {symptom}\n   cause: {cause}\n   fix:   {fix}", number + 1);
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Everything that was looked at.
struct Evidence {
    rollout: BlueGreenRollout,
    namespace: String,
    replica_sets: Vec<ReplicaSet>,
    pods: Vec<Pod>,
    services: Vec<Service>,
    slices: Vec<EndpointSlice>,
    ingresses: Vec<Ingress>,
    now: Timestamp,
}

impl Evidence {
    async fn gather(session: &Session, name: &str) -> Result<Evidence> {
        let rollout = session.rollout(name).await?;
        let all = ListParams::default();
        let labelled = all.clone().labels(names::HASH_LABEL);
        let (replica_sets, pods, services, slices, ingresses) = (
            session.api::<ReplicaSet>(),
            session.api::<Pod>(),
            session.api::<Service>(),
            session.api::<EndpointSlice>(),
            session.api::<Ingress>(),
        );
        let (replica_sets, pods, services) =
            tokio::try_join!(replica_sets.list(&labelled), pods.list(&labelled), services.list(&all))?;
        // Some people may not read these; the rest can be told without.
        let slices = slices.list(&all).await.map(|list| list.items).unwrap_or_default();
        let ingresses = ingresses.list(&all).await.map(|list| list.items).unwrap_or_default();
        let mut replica_sets = replica_sets.items;
        replica_sets
            .retain(|rs| rs.owner_references().iter().any(|owner| Some(&owner.uid) == rollout.metadata.uid.as_ref()));
        let mut pods = pods.items;
        let is_ours = |pod: &Pod| {
            pod.owner_references()
                .iter()
                .any(|owner| replica_sets.iter().any(|rs| rs.metadata.uid.as_ref() == Some(&owner.uid)))
        };
        pods.retain(is_ours);
        let namespace = session.namespace.clone();
        Ok(Evidence {
            rollout,
            namespace,
            replica_sets,
            pods,
            services: services.items,
            slices,
            ingresses,
            now: Timestamp::now(),
        })
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.operator(&mut findings);
        self.waiting(&mut findings);
        self.moved_by_hand(&mut findings);
        self.services(&mut findings);
        self.pods(&mut findings);
        self.replica_sets(&mut findings);
        self.ingresses(&mut findings);
        findings
    }

    fn name(&self) -> String {
        self.rollout.name_any()
    }

    fn command(&self, verb: &str) -> String {
        format!("kubectl greenlight {verb} {} -n {}", self.name(), self.namespace)
    }

    fn of_hash(&self, hash: &str) -> Option<&ReplicaSet> {
        self.replica_sets.iter().find(|rs| rs.labels().get(names::HASH_LABEL).map(String::as_str) == Some(hash))
    }

    fn operator(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let cause = || "the operator is not running, or does not watch this namespace".to_owned();
        let fix = || "kubectl get pods -A -l app.kubernetes.io/name=greenlight; then look at its log".to_owned();
        let changed = self.rollout.metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
        let changed = changed.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
        let long_ago = changed.is_some_and(|at| self.now.duration_since(at) > OPERATOR_ANSWERS_WITHIN);
        if self.rollout.metadata.deletion_timestamp.is_some() {
            if long_ago
                || self
                    .rollout
                    .metadata
                    .deletion_timestamp
                    .as_ref()
                    .is_some_and(|at| self.now.duration_since(at.0) > OPERATOR_ANSWERS_WITHIN)
            {
                let symptom =
                    format!("the rollout is being deleted, and its finalizer {} holds it", names::SERVICES_FINALIZER);
                findings.push(Finding { symptom, cause: cause(), fix: fix() });
            }
            return;
        }
        if self.rollout.metadata.generation.unwrap_or_default() > status.observed_generation && long_ago {
            let symptom = "the spec was changed, and the status does not speak of it".to_owned();
            findings.push(Finding { symptom, cause: cause(), fix: fix() });
        }
        let request = self.rollout.annotations().get(names::REQUEST).filter(|value| !value.is_empty());
        let observed = status.observed_request.as_ref();
        match request {
            Some(request) if observed.is_none_or(|observed| observed.value != *request) && long_ago => {
                let symptom = "a request was made, and is not answered".to_owned();
                findings.push(Finding { symptom, cause: cause(), fix: fix() });
            }
            Some(_) => {
                if let Some(refused) = observed.filter(|observed| !observed.accepted) {
                    findings.push(Finding {
                        symptom: "the last request was refused".to_owned(),
                        cause: refused.answer.clone(),
                        fix: format!("{}, then ask for what it shows", self.command("get rollout")),
                    });
                }
            }
            None => {}
        }
    }

    /// What the operator itself says, where nothing below says it better.
    fn waiting(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let stalled = status.conditions.iter().find(|condition| condition.type_ == conditions::STALLED);
        let reason = stalled.map(|condition| condition.reason.as_str()).unwrap_or_default();
        let fix = match reason {
            conditions::REASON_REJECTED => format!("change spec.template, or {}", self.command("retry")),
            conditions::REASON_SERVICE_CLAIMED => {
                "kubectl get bgr -o custom-columns=NAME:.metadata.name,ACTIVE:.spec.strategy.blueGreen.activeService"
                    .to_owned()
            }
            conditions::REASON_SERVICE_MISMATCH => format!(
                "change the labels of spec.template, or the selector: kubectl get services -n {} -o wide",
                self.namespace
            ),
            conditions::REASON_TEMPLATE_REFUSED => "correct spec.template".to_owned(),
            conditions::REASON_WORKLOAD_MISSING | conditions::REASON_WORKLOAD_MISMATCH => {
                format!("kubectl get deployment -n {}", self.namespace)
            }
            conditions::REASON_ANALYSIS_REFUSED => {
                format!("kubectl get analysistemplates.greenlight.dev -n {}", self.namespace)
            }
            _ => String::new(),
        };
        if !fix.is_empty() {
            findings.push(Finding {
                symptom: format!("the rollout is stalled: {reason}"),
                cause: status.message.clone(),
                fix,
            });
        }
        let paused = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == conditions::PAUSED && condition.status == "True");
        let reason = paused.map(|condition| condition.reason.as_str()).unwrap_or_default();
        let fix = match reason {
            conditions::REASON_PAUSED => self.command("resume"),
            conditions::REASON_INCONCLUSIVE => {
                // What serves already is not aborted: production goes back from it.
                let serves = status.active_revision == status.updated_revision;
                let reject = if serves { "undo" } else { "abort" };
                format!("{}, or {}", self.command("promote"), self.command(reject))
            }
            _ => return,
        };
        findings.push(Finding { symptom: "the release is held back".to_owned(), cause: status.message.clone(), fix });
    }

    /// A move of an active Service by somebody else is taken for a decision, and may have been a slip.
    fn moved_by_hand(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let Some((left, by)) = left_by_hand(&status) else { return };
        let serving = status.decisions.as_ref().and_then(|decisions| decisions.revision(&decisions.serving));
        let serving = serving.map_or(0, |serving| serving.number);
        let asked_for = status.updated_revision == left.hash;
        let otherwise = if asked_for {
            format!("to try revision {} again: {}", left.number, self.command("retry"))
        } else {
            format!("to try revision {} again, ask for its template in the spec", left.number)
        };
        findings.push(Finding {
            symptom: format!("production was moved by hand from revision {} to revision {serving}", left.number),
            cause: format!(
                "{by} changed the selector of the active Service. That counts as a decision: revision {} is rejected",
                left.number
            ),
            fix: format!("nothing, if that was meant; {otherwise}"),
        });
    }

    fn services(&self, findings: &mut Vec<Finding>) {
        let blue_green = self.rollout.spec.blue_green();
        let status = self.rollout.status.clone().unwrap_or_default();
        for name in blue_green.services() {
            let Some(service) = self.services.iter().find(|service| service.name_any() == name) else {
                findings.push(Finding {
                    symptom: format!("Service {name} is not there"),
                    cause: format!("the rollout names it, and there is none in namespace {}", self.namespace),
                    fix: format!("kubectl create service clusterip {name} --tcp=80:8080 -n {}, with a selector of the pods' labels", self.namespace),
                });
                continue;
            };
            let spec = service.spec.clone().unwrap_or_default();
            let mut selector = spec.selector.unwrap_or_default();
            let hash = selector.remove(names::HASH_LABEL);
            selector.remove(names::SERVING_LABEL);
            // What it selects counts, and not what comes next: the operator itself says when that does not fit.
            let selected = hash.as_ref().and_then(|hash| self.of_hash(hash));
            let shown = selected.or_else(|| self.replica_sets.iter().max_by_key(|rs| shown_number(rs)));
            let labels = shown.and_then(|rs| rs.spec.as_ref()?.template.as_ref()?.metadata.as_ref()?.labels.clone());
            if let Some(labels) = labels {
                let wrong: Vec<String> = selector
                    .iter()
                    .filter(|(k, v)| labels.get(*k) != Some(v))
                    .map(|(k, v)| format!("{k}={v}"))
                    .collect();
                if !wrong.is_empty() {
                    findings.push(Finding {
                        symptom: format!("Service {name} can have no endpoints"),
                        cause: format!("its selector asks for {}, which the pods do not carry", wrong.join(", ")),
                        fix: format!("kubectl edit service {name} -n {}", self.namespace),
                    });
                    continue;
                }
            }
            if let Some(hash) = hash.as_ref().filter(|hash| *hash != names::NO_HASH && selected.is_none()) {
                findings.push(Finding {
                    symptom: format!("Service {name} selects the revision {hash}, which does not exist"),
                    cause:
                        "somebody edited the selector, or deleted the ReplicaSet. The operator points it at another \
                            revision as soon as one may be served and has available pods"
                            .to_owned(),
                    fix: format!(
                        "{} says what it waits for; if nothing, look at the operator: \
                         kubectl get pods -A -l app.kubernetes.io/name=greenlight",
                        self.command("get rollout")
                    ),
                });
            }
            self.endpoints(name, hash.as_deref(), findings);
            for port in spec.ports.iter().flatten() {
                let Some(IntOrString::String(wanted)) = &port.target_port else { continue };
                let has_port = self.pods.iter().any(|pod| {
                    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                    containers.flat_map(|c| c.ports.iter().flatten()).any(|port| port.name.as_ref() == Some(wanted))
                });
                if !has_port && !self.pods.is_empty() {
                    findings.push(Finding {
                        symptom: format!("Service {name} does not answer on port {}", port.port),
                        cause: format!("its targetPort {wanted} is the name of no port of the pods"),
                        fix: format!(
                            "kubectl edit service {name} -n {}: name a containerPort, or write its number",
                            self.namespace
                        ),
                    });
                }
            }
        }
        let proving = status.conditions.iter().any(|condition| condition.reason == conditions::REASON_PROVING);
        let since = status.switch.as_ref().map(|switch| self.now.duration_since(switch.switched_at));
        if proving && since.is_some_and(|since| since > OPERATOR_ANSWERS_WITHIN) {
            findings.push(Finding {
                symptom: "the switch is not proven".to_owned(),
                cause: status.message.clone(),
                fix: format!(
                    "kubectl get endpointslices -n {}; is the EndpointSlice controller running?",
                    self.namespace
                ),
            });
        }
    }

    fn endpoints(&self, service: &str, hash: Option<&str>, findings: &mut Vec<Finding>) {
        let Some(rs) = hash.and_then(|hash| self.of_hash(hash)) else { return };
        let wanted = rs.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let of_service = |slice: &&EndpointSlice| {
            slice.labels().get("kubernetes.io/service-name").map(String::as_str) == Some(service)
        };
        let endpoints = self.slices.iter().filter(of_service).flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = endpoints.filter(|e| e.conditions.as_ref().and_then(|c| c.ready) != Some(false)).count();
        if ready == 0 && wanted > 0 {
            findings.push(Finding {
                symptom: format!("Service {service} has no ready endpoint"),
                cause: format!("none of the {wanted} pods of ReplicaSet {} is ready", rs.name_any()),
                fix: format!(
                    "kubectl get pods -n {} -l {}={}",
                    self.namespace,
                    names::HASH_LABEL,
                    hash.unwrap_or_default()
                ),
            });
        }
    }

    fn pods(&self, findings: &mut Vec<Finding>) {
        for pod in &self.pods {
            let status = pod.status.clone().unwrap_or_default();
            let name = pod.name_any();
            let describe = format!("kubectl describe pod {name} -n {}", self.namespace);
            let pod_conditions = status.conditions.unwrap_or_default();
            let condition = |type_: &str| pod_conditions.iter().find(|condition| condition.type_ == type_);
            if pod.metadata.deletion_timestamp.is_some() || condition("Ready").is_some_and(|c| c.status == "True") {
                continue;
            }
            if let Some(unscheduled) = condition("PodScheduled").filter(|c| c.status == "False") {
                findings.push(Finding {
                    symptom: format!("pod {name} finds no node"),
                    cause: unscheduled.message.clone().unwrap_or_default(),
                    fix: format!("add nodes, lower the requests or previewReplicaCount; {describe}"),
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
                        format!("the image does not exist, or the registry asks for a secret. {told}"),
                        format!("kubectl greenlight set image {} {container}=IMAGE -n {}", self.name(), self.namespace),
                    ),
                    "CrashLoopBackOff" => (
                        format!("pod {name}: container {container} crashes"),
                        told,
                        format!("kubectl logs {name} -c {container} --previous -n {}", self.namespace),
                    ),
                    "CreateContainerConfigError" | "CreateContainerError" => {
                        (format!("pod {name}: container {container} cannot be made"), told, describe.clone())
                    }
                    "" if state.running.is_some() && !container_ready(pod, &container) => (
                        format!("pod {name}: container {container} runs, but is not ready"),
                        "its readiness probe fails".to_owned(),
                        format!("kubectl logs {name} -c {container} -n {}; {describe}", self.namespace),
                    ),
                    "ContainerCreating" if self.is_old(pod) => (
                        format!("pod {name}: container {container} is not made"),
                        "a volume, a secret or a config map is missing, or the node is stuck".to_owned(),
                        describe.clone(),
                    ),
                    _ => continue,
                };
                findings.push(Finding { symptom, cause, fix });
            }
        }
    }

    fn is_old(&self, pod: &Pod) -> bool {
        pod.creation_timestamp().is_some_and(|created| self.now.duration_since(created.0) > OPERATOR_ANSWERS_WITHIN)
    }

    fn replica_sets(&self, findings: &mut Vec<Finding>) {
        for rs in &self.replica_sets {
            let name = rs.name_any();
            let failure = rs.status.iter().flat_map(|status| status.conditions.iter().flatten());
            for failed in failure.filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            {
                findings.push(Finding {
                    symptom: format!("ReplicaSet {name} cannot create pods"),
                    cause: failed.message.clone().unwrap_or_default(),
                    fix: format!(
                        "kubectl get resourcequota,limitrange -n {}; raise the quota, or lower replicas",
                        self.namespace
                    ),
                });
            }
            let Some(deadline) = rs.annotations().get(names::SCALE_DOWN_AT) else { continue };
            let hash = rs.labels().get(names::HASH_LABEL).cloned().unwrap_or_default();
            let overdue = match deadline.parse::<Timestamp>() {
                Ok(at) => self.now.duration_since(at) > RETIRES_WITHIN,
                Err(_) => true,
            };
            if !overdue {
                continue;
            }
            let selecting = self.services.iter().find(|service| {
                let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                selector.and_then(|selector| selector.get(names::HASH_LABEL)) == Some(&hash)
            });
            let (cause, fix) = match selecting {
                Some(service) => (
                    format!("Service {} still selects it", service.name_any()),
                    format!("kubectl get service {} -n {} -o yaml", service.name_any(), self.namespace),
                ),
                None => (
                    format!("its deadline was {deadline}, and the operator has not acted: is it running?"),
                    "kubectl get pods -A -l app.kubernetes.io/name=greenlight".to_owned(),
                ),
            };
            findings.push(Finding { symptom: format!("the old pods of ReplicaSet {name} do not go away"), cause, fix });
        }
    }

    fn ingresses(&self, findings: &mut Vec<Finding>) {
        let ours: Vec<&str> = self.rollout.spec.blue_green().services().collect();
        for ingress in &self.ingresses {
            let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
            let backends =
                rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths)).map(|path| &path.backend);
            for backend in backends.filter_map(|backend| backend.service.as_ref()) {
                let Some(service) = self.services.iter().find(|service| service.name_any() == backend.name) else {
                    // Only an Ingress that also leads to us is our business.
                    let edit = format!("kubectl edit ingress {} -n {}", ingress.name_any(), self.namespace);
                    if leads_to(ingress, &ours) {
                        findings.push(Finding {
                            symptom: format!("Ingress {} leads nowhere", ingress.name_any()),
                            cause: format!("its backend Service {} does not exist", backend.name),
                            fix: edit,
                        });
                    }
                    continue;
                };
                if !ours.contains(&backend.name.as_str()) {
                    continue;
                }
                let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
                let Some(wanted) = &backend.port else { continue };
                let has_it = ports.iter().any(|port| {
                    wanted.number.is_some_and(|number| port.port == number)
                        || wanted.name.is_some() && port.name == wanted.name
                });
                if !has_it {
                    let port =
                        wanted.name.clone().or(wanted.number.map(|number| number.to_string())).unwrap_or_default();
                    let there: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
                    findings.push(Finding {
                        symptom: format!("Ingress {} does not reach Service {}", ingress.name_any(), backend.name),
                        cause: format!("it asks for port {port}; the Service has {}", there.join(", ")),
                        fix: format!("kubectl edit ingress {} -n {}", ingress.name_any(), self.namespace),
                    });
                }
            }
        }
    }
}

/// The revision that production was moved away from by hand to what serves now, and who moved it.
fn left_by_hand(status: &BlueGreenRolloutStatus) -> Option<(&RevisionRecord, &str)> {
    let decisions = status.decisions.as_ref()?;
    decisions.revisions.iter().find_map(|revision| {
        let rejection = revision.rejection.as_ref()?;
        let led_here = rejection.to.as_deref() == Some(decisions.serving.as_str());
        (led_here && rejection.reason.starts_with(greenlight_core::decisions::BY_HAND))
            .then_some((revision, rejection.by.as_str()))
    })
}

fn leads_to(ingress: &Ingress, services: &[&str]) -> bool {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    let paths = rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths));
    paths.filter_map(|path| path.backend.service.as_ref()).any(|backend| services.contains(&backend.name.as_str()))
}

fn shown_number(rs: &ReplicaSet) -> i64 {
    rs.annotations().get(names::REVISION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn container_ready(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.into_iter().any(|status| status.name == container && status.ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(serving: &str, reason: &str) -> BlueGreenRolloutStatus {
        let rejection = json!({"by": "kubectl-edit", "at": "2026-01-01T00:00:00Z", "reason": reason, "to": "v1"});
        let revisions = json!([
            {"hash": "v1", "digest": "1", "number": 1},
            {"hash": "v2", "digest": "2", "number": 2, "rejection": rejection},
        ]);
        serde_json::from_value(json!({"decisions": {"serving": serving, "revisions": revisions}})).expect("a status")
    }

    #[test]
    fn a_move_by_hand_is_told_as_long_as_what_it_led_to_serves() {
        let moved = status("v1", "moved by hand to revision 1");
        let (left, by) = left_by_hand(&moved).expect("it was");
        assert_eq!((left.number, by), (2, "kubectl-edit"));
        assert_eq!(left_by_hand(&status("v3", "moved by hand to revision 1")), None);
        assert_eq!(left_by_hand(&status("v1", "rolled back")), None);
    }
}

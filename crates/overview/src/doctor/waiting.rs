//! What the operator itself says, where no other check says it better.

use greenlight_api::{conditions, names};

use super::evidence::{About, Evidence, Finding};
use crate::status::status_of;

impl Evidence {
    /// What the operator itself says, where nothing below says it better.
    pub(super) fn check_waiting(&self, findings: &mut Vec<Finding>) {
        let status = status_of(&self.rollout);
        let stalled = status.conditions.iter().find(|condition| condition.type_ == conditions::STALLED);
        let reason = stalled.map(|condition| condition.reason.as_str()).unwrap_or_default();
        let fix = match reason {
            conditions::REASON_REJECTED => format!("change spec.template, or {}", self.command("retry")),
            conditions::REASON_SERVICE_CLAIMED if status.message.contains(names::MANAGED_BY_ARGO) => {
                let annotation = names::MANAGED_BY_ARGO.replace('.', "\\.");
                self.kubectl(&format!(
                    "get services -o custom-columns='NAME:.metadata.name,ARGO:.metadata.annotations.{annotation}'"
                ))
            }
            conditions::REASON_SERVICE_CLAIMED => self
                .kubectl("get bgr -o custom-columns=NAME:.metadata.name,ACTIVE:.spec.strategy.blueGreen.activeService"),
            conditions::REASON_SERVICE_MISMATCH => {
                format!("change the labels of spec.template, or the selector: {}", self.kubectl("get services -o wide"))
            }
            conditions::REASON_TEMPLATE_REFUSED => "correct spec.template".to_owned(),
            conditions::REASON_WORKLOAD_MISSING | conditions::REASON_WORKLOAD_MISMATCH => {
                self.kubectl("get deployment")
            }
            conditions::REASON_ANALYSIS_REFUSED => self.kubectl("get analysistemplates.greenlight.dev"),
            _ => String::new(),
        };
        if !fix.is_empty() {
            findings.push(Finding {
                about: About::Rollout,
                // Production is where somebody, or an analysis, wanted it.
                symptom: match reason {
                    conditions::REASON_REJECTED => "the spec has a revision that was rejected".to_owned(),
                    reason => format!("the rollout is stalled: {reason}"),
                },
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
        findings.push(Finding {
            about: About::Rollout,
            symptom: "the release is held back".to_owned(),
            cause: status.message.clone(),
            fix,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::Flags;

    /// What is found of a rollout that is stalled for this reason.
    fn found(reason: &str) -> Vec<Finding> {
        let stalled = json!({
            "type": "Stalled", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": {"name": "web"},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
            "status": {"phase": "Degraded", "message": "revision 2 was rejected by ann", "conditions": [stalled]},
        });
        let evidence = Evidence {
            flags: Flags { of_cluster: " --context prod".to_owned(), of_user: " --as ann".to_owned() },
            ..Evidence::of_rollout_alone(rollout)
        };
        let mut findings = Vec::new();
        evidence.check_waiting(&mut findings);
        findings
    }

    #[test]
    fn what_somebody_took_back_on_purpose_is_not_called_stalled() {
        let symptom = |reason: &str| found(reason).into_iter().map(|finding| finding.symptom).collect::<Vec<_>>();
        assert_eq!(symptom(conditions::REASON_REJECTED), ["the spec has a revision that was rejected"]);
        assert_eq!(symptom(conditions::REASON_TEMPLATE_REFUSED), ["the rollout is stalled: TemplateRefused"]);
    }

    #[test]
    fn a_command_that_fixes_something_is_of_the_cluster_and_the_namespace_that_were_looked_at() {
        for (reason, command) in [
            (conditions::REASON_REJECTED, "kubectl greenlight retry web -n shop --context prod --as ann"),
            (conditions::REASON_WORKLOAD_MISSING, "kubectl get deployment -n shop --context prod --as ann"),
            (conditions::REASON_SERVICE_CLAIMED, ".activeService -n shop --context prod --as ann"),
        ] {
            let fixes: Vec<String> = found(reason).into_iter().map(|finding| finding.fix).collect();
            assert!(fixes.len() == 1 && fixes[0].ends_with(command), "{reason}: {fixes:?}");
        }
    }
}

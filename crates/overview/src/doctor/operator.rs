//! Is the operator running, and does it answer?

use greenlight_api::names;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};

impl Evidence {
    pub(super) fn check_operator(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let fix = || format!("look at the log of the operator: {}", self.find_operator());
        let changed = self.rollout.metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
        let changed = changed.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
        let not_running = "the operator is not running, or does not watch this namespace";
        let cause = || self.trouble().unwrap_or(not_running).to_owned();
        let long_ago = changed.is_some_and(|at| self.now.duration_since(at) > OPERATOR_ANSWERS_WITHIN);
        if self.rollout.metadata.generation.unwrap_or_default() > status.observed_generation && long_ago {
            let symptom = "the spec was changed, and the status does not speak of it".to_owned();
            findings.push(Finding { about: About::Rollout, symptom, cause: cause(), fix: fix() });
        }
        let request = self.rollout.annotations().get(names::REQUEST).filter(|value| !value.is_empty());
        let observed = status.observed_request.as_ref();
        match request {
            Some(request) if observed.is_none_or(|observed| observed.value != *request) && long_ago => {
                let symptom = "a request was made, and is not answered".to_owned();
                findings.push(Finding { about: About::Rollout, symptom, cause: cause(), fix: fix() });
            }
            Some(_) => {
                if let Some(refused) = observed.filter(|observed| !observed.accepted) {
                    findings.push(Finding {
                        about: About::Rollout,
                        symptom: "the last request was refused".to_owned(),
                        cause: refused.answer.clone(),
                        fix: format!("ask for what is possible now: {}", self.command("get rollout")),
                    });
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_that_says_what_it_fails_at_is_not_said_to_be_down() {
        let cause = |told_of: i64| {
            let stalled = json!({
                "type": "Stalled", "status": "True", "reason": "WriteRefused", "message": "no Services can be listed",
                "lastTransitionTime": "1970-01-01T00:00:05Z", "observedGeneration": told_of,
            });
            let managed = json!([{"manager": "kubectl", "time": "1970-01-01T00:00:10Z"}]);
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": "web", "generation": 4, "managedFields": managed},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
                "status": {"phase": "Degraded", "observedGeneration": 3, "conditions": [stalled]},
            });
            let evidence = Evidence {
                now: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60),
                ..Evidence::of_rollout_alone(rollout)
            };
            let mut findings = Vec::new();
            evidence.check_operator(&mut findings);
            findings.pop().expect("the status is old").cause
        };
        assert_eq!(cause(4), "no Services can be listed", "also if it began before the change");
        let before = cause(3);
        assert!(before.starts_with("the operator is not running"), "it may have been so before: {before}");
    }
}

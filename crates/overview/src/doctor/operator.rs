//! Is the operator running, and does it answer?

use greenlight_api::names;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};

impl Evidence {
    pub(super) fn check_operator(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let cause = || "the operator is not running, or does not watch this namespace".to_owned();
        let fix = || format!("look at the log of the operator: {}", self.find_operator());
        let changed = self.rollout.metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
        let changed = changed.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
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

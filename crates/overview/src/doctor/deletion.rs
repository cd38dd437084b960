//! What holds a rollout that is being deleted?

use greenlight_api::names;
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding, OPERATOR_ANSWERS_WITHIN};
use crate::observe::selector;
use crate::quoted::quoted;

impl Evidence {
    /// A rollout goes when every finalizer is gone. The operator takes off its own; the others are somebody else's.
    pub(super) fn check_deletion(&self, findings: &mut Vec<Finding>) {
        let Some(deleted_at) = &self.rollout.metadata.deletion_timestamp else { return };
        if self.now.duration_since(deleted_at.0) <= OPERATOR_ANSWERS_WITHIN {
            return;
        }
        let finalizers = self.rollout.finalizers();
        let (symptom, cause, fix) = if finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER) {
            let status = self.rollout.status.clone().unwrap_or_default();
            let speaks_of_it = status.observed_generation >= self.rollout.metadata.generation.unwrap_or_default();
            let cause = if speaks_of_it {
                status.message
            } else if let Some(told) = self.trouble() {
                told.to_owned()
            } else {
                "the operator is not running, or does not watch this namespace; or it looks, for a minute at most, whether the \
                 pods stay"
                    .to_owned()
            };
            (
                format!("the rollout is being deleted, and its finalizer {} holds it", names::SERVICES_FINALIZER),
                cause,
                format!("look at the log of the operator: {}", self.find_operator()),
            )
        } else {
            let left = format!("get replicasets,pods -l {}", quoted(&selector(&self.rollout)));
            (
                format!("the rollout is being deleted, and is held by its finalizers: {}", finalizers.join(", ")),
                "the operator has let it go; foregroundDeletion waits until the ReplicaSets and their pods are gone, any other \
                 one for whoever wrote it"
                    .to_owned(),
                format!("see what is left: {}", self.kubectl(&left)),
            )
        };
        findings.push(Finding { about: About::Rollout, symptom, cause, fix });
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::super::findings;
    use super::*;

    /// What is found so many seconds after a deletion, with these finalizers, and a status that speaks of this generation; the newest is 4.
    fn found(seconds: i64, finalizers: &[&str], observed: i64) -> Vec<Finding> {
        let metadata = json!({
            "name": "web", "generation": 4, "deletionTimestamp": "1970-01-01T00:00:00Z", "finalizers": finalizers,
            "managedFields": [{"time": "1969-01-01T00:00:00Z"}],
        });
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": metadata,
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "strategy": {"blueGreen": {"activeService": "web"}}},
            "status": {"phase": "Degraded", "message": "the API server refuses it", "observedGeneration": observed},
        });
        findings(&Evidence {
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds),
            ..Evidence::of_rollout_alone(rollout)
        })
    }

    #[test]
    fn what_is_on_its_way_out_is_given_time_and_its_parts_are_not_missed() {
        assert_eq!(found(5, &[names::SERVICES_FINALIZER], 3), [], "also if nobody has changed it for long");
    }

    #[test]
    fn the_operator_is_not_blamed_for_the_finalizers_of_others() {
        let held = found(60, &["foregroundDeletion"], 3);
        assert_eq!(held.len(), 1, "that its Service is not there any more is no fault: {held:?}");
        assert!(held[0].symptom.ends_with("held by its finalizers: foregroundDeletion"), "{held:?}");
        assert!(!held[0].cause.contains("not running") && held[0].fix.contains("get replicasets,pods -l app=web,"));
        let silent = found(60, &["foregroundDeletion", names::SERVICES_FINALIZER], 3);
        assert!(silent[0].symptom.ends_with("greenlight.dev/services holds it"), "{silent:?}");
        assert!(silent[0].cause.starts_with("the operator is not running"), "{silent:?}");
        let told = found(60, &[names::SERVICES_FINALIZER], 4);
        assert_eq!(told[0].cause, "the API server refuses it", "it runs, and says what is in its way");
    }
}

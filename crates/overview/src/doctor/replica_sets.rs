//! Can a ReplicaSet create its pods, and do old ones go away?

use greenlight_api::names;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::evidence::{About, Evidence, Finding};

/// The pods of a retired ReplicaSet are gone this long after its deadline.
const RETIRES_WITHIN: SignedDuration = SignedDuration::from_secs(20);

impl Evidence {
    pub(super) fn check_replica_sets(&self, findings: &mut Vec<Finding>) {
        for rs in &self.replica_sets {
            let name = rs.name_any();
            let failure = rs.status.iter().flat_map(|status| status.conditions.iter().flatten());
            for failed in failure.filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            {
                findings.push(Finding {
                    about: About::ReplicaSet(name.clone()),
                    symptom: format!("ReplicaSet {name} cannot create pods"),
                    cause: failed.message.clone().unwrap_or_default(),
                    fix: format!(
                        "raise the quota, or lower replicas: {}",
                        self.kubectl("get resourcequota,limitrange")
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
                    self.kubectl(&format!("get service {} -o yaml", service.name_any())),
                ),
                None => (
                    format!("its deadline was {deadline}, and the operator has not acted: is it running?"),
                    self.find_operator(),
                ),
            };
            findings.push(Finding {
                about: About::ReplicaSet(name.clone()),
                symptom: format!("the old pods of ReplicaSet {name} do not go away"),
                cause,
                fix,
            });
        }
    }
}

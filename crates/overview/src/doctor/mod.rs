//! The troubleshooting guide as a program: what is wrong with a rollout, why, and the command that mends it. `doctor` and the dashboard
//! tell the same findings.
//!
//! | question | file |
//! |---|---|
//! | What is looked at, and what is a finding? | [`evidence`] |
//! | What holds a rollout that is being deleted? | [`deletion`] |
//! | Is the operator running, and does it answer? | [`operator`] |
//! | What does the operator itself say? | [`waiting`] |
//! | Did somebody move production by hand? | [`moved_by_hand`] |
//! | Do the Services lead to pods that answer? | [`services`] |
//! | Why is a pod not ready? | [`pods`] |
//! | Can a ReplicaSet create its pods, and do old ones go away? | [`replica_sets`] |
//! | Do the Ingresses lead to the Services? | [`ingresses`] |

mod deletion;
mod evidence;
mod ingresses;
mod moved_by_hand;
mod operator;
mod pods;
mod replica_sets;
mod services;
mod waiting;

pub use evidence::{About, Evidence, Finding};

/// A check: it looks at the evidence and adds what it finds.
type Check = fn(&Evidence, &mut Vec<Finding>);

/// The checks, in the order in which their findings are told.
const CHECKS: [Check; 7] = [
    Evidence::check_operator,
    Evidence::check_waiting,
    Evidence::check_moved_by_hand,
    Evidence::check_services,
    Evidence::check_pods,
    Evidence::check_replica_sets,
    Evidence::check_ingresses,
];

/// What is wrong, in the order of the checks.
pub fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if evidence.rollout.metadata.deletion_timestamp.is_some() {
        // What else is missing is on its way out.
        evidence.check_deletion(&mut findings);
    } else {
        CHECKS.iter().for_each(|check| check(evidence, &mut findings));
    }
    findings
}

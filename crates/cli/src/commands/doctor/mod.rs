//! `doctor`: the troubleshooting guide as a command. Each finding has its cause and the command that mends it.
//!
//! | question | file |
//! |---|---|
//! | What is looked at? | [`evidence`] |
//! | Is the operator running, and does it answer? | [`operator`] |
//! | What does the operator itself say? | [`waiting`] |
//! | Did somebody move production by hand? | [`moved_by_hand`] |
//! | Do the Services lead to pods that answer? | [`services`] |
//! | Why is a pod not ready? | [`pods`] |
//! | Can a ReplicaSet create its pods, and do old ones go away? | [`replica_sets`] |
//! | Do the Ingresses lead to the Services? | [`ingresses`] |

mod evidence;
mod ingresses;
mod moved_by_hand;
mod operator;
mod pods;
mod replica_sets;
mod services;
mod waiting;

use anyhow::Result;
use greenlight_api::text::printable;

use self::evidence::{Evidence, Finding};
use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use greenlight_overview::Session;

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

/// Looks at everything that a release depends on. Exit code 2 when something is found.
pub async fn run(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
    let evidence = Evidence::gather(session, name).await?;
    let mut findings = Vec::new();
    CHECKS.iter().for_each(|check| check(&evidence, &mut findings));
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

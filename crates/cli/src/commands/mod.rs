//! What can be asked for: one file a command, or a few that are one.
//!
//! | command | file |
//! |---|---|
//! | `get rollout NAME` | [`get`] |
//! | `get rollouts`, `list` | [`list`] |
//! | `status` | [`status`] |
//! | `history` | [`history`] |
//! | `diff` | [`diff`] |
//! | `logs` | [`logs`] |
//! | `promote`, `abort`, `retry`, `undo`, `restart` | [`request`] |
//! | `pause`, `resume` | [`pause`] |
//! | `set image` | [`set_image`] |
//! | `plan`, and what `--dry-run` tells | [`plan`] |
//! | `dashboard` | [`dashboard`] |
//! | `doctor` | [`doctor`]; the checks are those of the crate `overview` |
//! | `lint` | [`lint`], one file a check |
//! | `convert` | [`convert`] |
//! | `completion`, and the names that are completed | [`completion`] |
//! | `man` | [`man`] |

pub mod completion;
pub mod convert;
pub mod dashboard;
pub mod diff;
pub mod doctor;
pub mod get;
pub mod history;
pub mod lint;
pub mod list;
pub mod logs;
pub mod man;
pub mod pause;
pub mod plan;
pub mod request;
pub mod set_image;
pub mod status;

use anyhow::{Error, Result, anyhow};
use greenlight_api::BlueGreenRollout;
use greenlight_overview::{Flags, Session, SpecChange};
use kube::api::PatchParams;
use serde_json::Value;

use crate::options::Change;

/// The name under which the plugin writes.
const FIELD_MANAGER: &str = "kubectl-greenlight";

/// How the plugin writes, or has the API server only look at it.
fn params(dry_run: bool) -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run, ..PatchParams::default() }
}

/// What came of a write. It may have been done although the answer says that it could not be, or has not come.
fn written<T>(session: &Session, name: &str, what: &str, answer: kube::Result<T>) -> Result<T> {
    answer.map_err(|error| {
        let look = format!("kubectl greenlight status {name} -n {}{} --timeout 0s", session.namespace, session.flags);
        let known = if may_be_done(&error) {
            format!(", as far as is known: look at {look} before you ask again")
        } else {
            String::new()
        };
        Error::from(error).context(format!("cannot {what}{known}"))
    })
}

/// Whether a write may have been done of which the API server, or the way to it, says this.
fn may_be_done(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500,
        // The connection was lost after the request had gone out; one that was never made is `Connect`.
        kube::Error::Service(error) => {
            let told = error.to_string();
            told.contains("--request-timeout") || told.contains("(SendRequest)")
        }
        // There is an answer, which cannot be read.
        kube::Error::HyperError(_) | kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => true,
        _ => false,
    }
}

/// Says that a watch is not printed for machines, and what prints it: kubectl itself, of what these words choose.
fn only_for_people(chosen: &str, flags: &Flags) -> Error {
    anyhow!("--watch shows text for people: leave -o out, or use kubectl get bgr -o json --watch {chosen}{flags}")
}

/// What becomes of the annotation that says why the spec was changed. Who the caller is has to be known only for a reason.
async fn cause(
    session: &Session,
    of_spec: SpecChange,
    rollout: &BlueGreenRollout,
    change: &Change,
) -> Result<Option<Value>> {
    let by = if change.reason.is_some() { session.user().await? } else { String::new() };
    Ok(of_spec.cause(rollout, &by, change.reason.as_deref()))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_write_of_which_nobody_knows_what_came_is_not_said_to_have_failed() {
        let of_server = |code: u16| {
            let status = json!({"status": "Failure", "reason": "", "message": "", "code": code});
            kube::Error::Api(Box::new(serde_json::from_value::<Status>(status).expect("a status")))
        };
        let on_the_way = |told: &str| kube::Error::Service(told.into());
        let unread = serde_json::from_str::<Value>("<html>").expect_err("no JSON");
        assert!(may_be_done(&of_server(504)) && may_be_done(&on_the_way("client error (SendRequest)")));
        assert!(may_be_done(&on_the_way("no answer within 5 s (--request-timeout): PATCH /")));
        assert!(may_be_done(&kube::Error::SerdeError(unread)));
        assert!(!may_be_done(&of_server(409)) && !may_be_done(&on_the_way("client error (Connect)")));
    }
}

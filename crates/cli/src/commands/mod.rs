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

use anyhow::{Error, Result};
use greenlight_api::BlueGreenRollout;
use greenlight_overview::{Session, SpecChange};
use kube::api::PatchParams;
use serde_json::Value;

use crate::options::Change;
use crate::session::typed;

/// The name under which the plugin writes.
const FIELD_MANAGER: &str = "kubectl-greenlight";

/// How the plugin writes, or has the API server only look at it.
fn params(dry_run: bool) -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run, ..PatchParams::default() }
}

/// What came of a write. It may have been done although the answer says that it could not be, or has not come.
fn written<T>(session: &Session, name: &str, what: &str, answer: kube::Result<T>) -> Result<T> {
    answer.map_err(|error| {
        let may_be_done = match &error {
            kube::Error::Api(status) => status.code >= 500,
            kube::Error::Service(error) => error.to_string().contains("--request-timeout"),
            _ => false,
        };
        let look = format!("kubectl greenlight status {name} -n {}{} --timeout 0s", session.namespace, typed());
        let known = if may_be_done {
            format!(", as far as is known: look at {look} before you ask again")
        } else {
            String::new()
        };
        Error::from(error).context(format!("cannot {what}{known}"))
    })
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

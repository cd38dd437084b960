//! What changes while somebody looks.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::{Stream, StreamExt, stream};
use greenlight_api::{BlueGreenRollout, Phase};
use greenlight_overview::{Found, Session, Whole, selector, sentence, status_of};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watch_object, watcher};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::explain::explain;

/// An API server that has not answered by then is not heard.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// A rollout whenever it changes; `None` when it is gone. What passes by itself is waited out; a denial ends the wait.
pub fn of_rollout(session: &Session, name: &str) -> impl Stream<Item = Result<Option<BlueGreenRollout>>> + use<> {
    watch_object(session.api::<Found>(), name).default_backoff().filter_map(async |seen| match seen {
        Ok(None) => Some(Ok(None)),
        Ok(Some(found)) => Some(found.rollout.map(|rollout| Some(*rollout)).map_err(|error| anyhow!(error))),
        Err(error) if is_final(&error) => Some(Err(error.into())),
        Err(_) => None,
    })
}

/// A rollout as it is when somebody waits no longer: a watch that was cut says nothing.
///
/// # Errors
/// In words, why the API server does not show it: then nobody can tell what became of it.
pub async fn last_look(session: &Session, name: &str) -> Result<BlueGreenRollout, String> {
    match timeout(HEARD_WITHIN, session.rollout(name)).await {
        Ok(looked) => looked.map_err(|error| explain(&error, &session.flags)),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// The phase and the message of a rollout, if they are of the spec that is there.
pub fn state_of(rollout: &BlueGreenRollout) -> (Phase, String) {
    let status = status_of(rollout);
    (status.phase, sentence(&status.message))
}

/// The status is not of the newest spec yet.
pub fn is_outdated(rollout: &BlueGreenRollout) -> bool {
    let seen = rollout.status.as_ref().map_or(0, |status| status.observed_generation);
    rollout.metadata.generation.unwrap_or_default() > seen
}

/// Something that belongs to the rollout has changed.
pub fn around(session: &Session, rollout: &BlueGreenRollout) -> impl Stream<Item = ()> + use<> {
    let labelled = Config::default().labels(&selector(rollout));
    let itself = of_rollout(session, &rollout.name_any()).map(drop);
    stream::select_all([itself.boxed(), any::<ReplicaSet>(session, &labelled), any::<Pod>(session, &labelled)])
}

/// Waiting does not help against this.
pub fn is_final(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => [401, 403, 404].contains(&status.code),
        InitialListFailed(kube::Error::SerdeError(_)) => true,
        _ => false,
    }
}

fn any<K>(session: &Session, config: &Config) -> stream::BoxStream<'static, ()>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    // Who may not watch these sees the rollout itself all the same.
    let changes = watcher(session.api::<Whole<K>>(), config.clone()).default_backoff();
    changes.filter_map(async |event| matches!(event, Ok(Event::Apply(_) | Event::Delete(_))).then_some(())).boxed()
}

//! A rollout that somebody looks at: read again when something that belongs to it changes, and once for all the pages that show it.

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{SelectAll, select_all};
use futures::{Stream, StreamExt, stream};
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::names;
use greenlight_overview::Session;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::desk::Rows;
use crate::detail::{Detail, gather};
use crate::pages::rollout::{Section, sections};
use crate::rights::Rights;
use crate::row::Key;

/// Changes that come together are shown together.
const SETTLE: Duration = Duration::from_millis(200);
/// A rollout that is not there is looked for so often, unless the list says before that it has come.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// An API server that does not answer is asked again.
const UNREACHED_FOR: Duration = Duration::from_secs(2);
/// Roles change seldom.
const RIGHTS_FOR: Duration = Duration::from_secs(60);

/// The page of a rollout as it is now.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// Its sections.
    Sections(Vec<Section>),
    /// It cannot be shown, and why.
    Failed(String),
}

/// Keeps the page of a rollout as it is.
pub struct Room {
    page: watch::Receiver<Option<Arc<Page>>>,
    _task: JoinSet<()>,
}

impl Room {
    /// Begins to look at a rollout.
    pub fn open(session: Session, user: String, key: Key, rows: Arc<Rows>, read_only: bool) -> Room {
        let (sender, page) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(keep(session, user, key, rows, read_only, sender));
        Room { page, _task: task }
    }

    /// The page, now and whenever it changes.
    pub fn pages(&self) -> watch::Receiver<Option<Arc<Page>>> {
        self.page.clone()
    }
}

async fn keep(
    session: Session,
    user: String,
    key: Key,
    rows: Arc<Rows>,
    read_only: bool,
    sender: watch::Sender<Option<Arc<Page>>>,
) {
    let mut listed = rows.changes();
    let mut around = None;
    let mut rights = Rights::read(&session.client, &user, &key).await;
    let mut rights_at = Instant::now();
    loop {
        if rights_at.elapsed() > RIGHTS_FOR {
            rights = Rights::read(&session.client, &user, &key).await;
            rights_at = Instant::now();
        }
        let mut again = RIGHTS_FOR;
        let page = match gather(&session, &key.name).await {
            Ok(detail) => {
                if around.is_none() {
                    around = Some(changes_around(&session, &detail));
                }
                Page::Sections(sections(&key, &detail, &rights, read_only))
            }
            // What was to be seen is better than nothing, until the API server says that it is not so any more.
            Err(error) if around.is_some() && !is_answer(&error) => {
                tokio::time::sleep(UNREACHED_FOR).await;
                continue;
            }
            Err(error) => {
                around = None;
                again = MISSING_FOR;
                Page::Failed(format!("{error:#}"))
            }
        };
        let page = Some(Arc::new(page));
        sender.send_if_modified(|now| {
            let is_new = *now != page;
            *now = page;
            is_new
        });
        let of_rollout = async {
            loop {
                match listed.recv().await {
                    Ok(changed) if changed == key => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let of_others = async {
            match &mut around {
                Some(around) => drop(around.next().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = of_rollout => {}
            () = of_others => {}
            () = tokio::time::sleep(again) => {}
        }
        tokio::time::sleep(SETTLE).await;
        // What came meanwhile is in what is read next.
        if let Some(around) = &mut around {
            let mut ready = pin!(around.ready_chunks(1024));
            let _ = futures::FutureExt::now_or_never(ready.next());
        }
    }
}

/// Whether the API server has answered, as against: it cannot be reached, or has no time.
fn is_answer(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.code < 500 && status.code != 429,
        Some(_) => false,
        // There is no such rollout.
        None => true,
    }
}

type Change = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Something that belongs to the rollout has changed: a ReplicaSet, a pod, an endpoint, an analysis.
fn changes_around(session: &Session, detail: &Detail) -> SelectAll<Change> {
    let selector = detail.spec.selector.match_labels.iter().flatten();
    let mut labels: Vec<String> = selector.map(|(key, value)| format!("{key}={value}")).collect();
    labels.push(names::HASH_LABEL.to_owned());
    let ours = Config::default().labels(&labels.join(","));
    let blue_green = detail.spec.blue_green();
    let services: Vec<&str> = blue_green.services().collect();
    let slices = Config::default().labels(&format!("kubernetes.io/service-name in ({})", services.join(",")));
    let mut changes = vec![
        changes_of::<ReplicaSet>(session, ours.clone()),
        changes_of::<Pod>(session, ours),
        changes_of::<EndpointSlice>(session, slices),
        // Without any other, there would be no end but at once.
        stream::pending().boxed(),
    ];
    if blue_green.pre_promotion_analysis.is_some() || blue_green.post_promotion_analysis.is_some() {
        changes.push(changes_of::<AnalysisRun>(session, Config::default()));
    }
    select_all(changes)
}

/// That objects of a kind change. What is new in them is read once for all, so only their metadata is watched.
fn changes_of<K>(session: &Session, config: Config) -> Change
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(session.client.clone(), &session.namespace);
    watcher(api, config).default_backoff().map(drop).boxed()
}

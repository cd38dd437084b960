//! A rollout that somebody looks at: read again when something that belongs to it changes, and once for all the pages that show it.

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{SelectAll, select_all};
use futures::{Stream, StreamExt, stream};
use greenlight_api::analysis::AnalysisRun;
use greenlight_api::{BlueGreenRolloutSpec, names};
use greenlight_overview::again::Busy;
use greenlight_overview::surroundings::slices_of;
use greenlight_overview::{Named, Session};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::desk::Rows;
use crate::detail::gather;
use crate::pages::rollout::{Section, sections, silence_section};
use crate::rights::Rights;
use crate::row::Key;
use crate::silence::{Silence, said};

/// How long changes are gathered, so that those that come together are shown together.
const SETTLE: Duration = Duration::from_millis(200);
/// How often a rollout that is not there is looked for, unless the list says before that it has come.
const MISSING_FOR: Duration = Duration::from_secs(10);
/// How long until an API server that does not answer is asked again.
const UNREACHED_FOR: Duration = Duration::from_secs(2);
/// How long an answer of the API server is waited for: a connection that has been cut may keep silent for minutes.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// How often a rollout is read for callers who may look at it and list none: they are not told when it changes.
const UNLISTED_FOR: Duration = Duration::from_secs(5);
/// How often a caller's rights are read. Roles change seldom.
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
    let mut around: Option<(Around, SelectAll<Change>)> = None;
    let mut read_at = Timestamp::now();
    let mut rights = Rights::read(&session, &user, &key).await;
    let mut rights_at = Instant::now();
    loop {
        if rights_at.elapsed() > RIGHTS_FOR {
            if let Ok(read) = timeout(ANSWERED_WITHIN, Rights::read(&session, &user, &key)).await {
                rights = read;
            }
            rights_at = Instant::now();
        }
        let mut again = RIGHTS_FOR;
        let read = timeout(ANSWERED_WITHIN, gather(&session, &key.name)).await;
        let silent = |elapsed: Elapsed| Err(anyhow::Error::new(elapsed).context("The API server does not answer"));
        let page = match read.unwrap_or_else(silent) {
            Ok(detail) => {
                read_at = Timestamp::now();
                if rows.is_denied(Some(&key.namespace)) {
                    again = UNLISTED_FOR;
                }
                let now = Around::of(&detail.spec);
                if around.as_ref().is_none_or(|(watched, _)| *watched != now) {
                    let changes = now.changes(&session);
                    around = Some((now, changes));
                }
                Page::Sections(sections(&key, &detail, &rights, read_only))
            }
            // What was to be seen is better than nothing, until the API server says that it is not so any more. It may be old, and says so.
            Err(error) if around.is_some() && !is_answer(&error) => {
                sender.send_if_modified(|page| note_silence(page, &Silence::new(read_at, &*error)));
                let pause = Busy::cause_of(&*error).map_or(UNREACHED_FOR, |busy| busy.pause);
                tokio::time::sleep(pause).await;
                continue;
            }
            Err(error) => {
                around = None;
                again = MISSING_FOR;
                Page::Failed(said(&*error))
            }
        };
        let page = Some(Arc::new(page));
        sender.send_if_modified(|now| {
            let is_new = *now != page;
            *now = page;
            is_new
        });
        tokio::select! {
            () = rollout_changes(&mut listed, &key) => {}
            () = others_change(around.as_mut()) => {}
            () = tokio::time::sleep(again) => {}
        }
        tokio::time::sleep(SETTLE).await;
        // What came meanwhile is in what is read next.
        if let Some((_, changes)) = &mut around {
            let mut ready = pin!(changes.ready_chunks(1024));
            let _ = futures::FutureExt::now_or_never(ready.next());
        }
    }
}

/// Waits until the list tells of a change of this rollout, or has told too much meanwhile.
async fn rollout_changes(listed: &mut broadcast::Receiver<Key>, key: &Key) {
    loop {
        match listed.recv().await {
            Ok(changed) if changed == *key => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Waits until something around the rollout changes; for ever while nothing is watched.
async fn others_change(around: Option<&mut (Around, SelectAll<Change>)>) {
    match around {
        Some((_, changes)) => drop(changes.next().await),
        None => std::future::pending().await,
    }
}

/// Whether the API server has answered, as against: it cannot be reached, or has no time.
fn is_answer(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<kube::Error>() {
        Some(error) => greenlight_overview::is_answer(error),
        // There is no such rollout.
        None => !error.is::<Elapsed>(),
    }
}

/// Has a page say that nothing is heard of the API server. Whether it did not say so before.
fn note_silence(page: &mut Option<Arc<Page>>, silence: &Silence) -> bool {
    let Some(Page::Sections(sections)) = page.as_deref() else { return false };
    let silence = silence_section(Some(silence));
    if sections.contains(&silence) {
        return false;
    }
    let mut sections = sections.clone();
    sections.retain(|section| section.id != silence.id);
    sections.insert(0, silence);
    *page = Some(Arc::new(Page::Sections(sections)));
    true
}

type Change = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// What is watched beside the rollout itself. Its spec says it, and may say otherwise while somebody looks.
#[derive(Debug, PartialEq)]
struct Around {
    /// The labels of its ReplicaSets and pods.
    labels: String,
    /// The labels of the EndpointSlices of its Services.
    slices: String,
    /// It has analyses.
    is_analysed: bool,
}

impl Around {
    fn of(spec: &BlueGreenRolloutSpec) -> Around {
        let selector = spec.selector.match_labels.iter().flatten();
        let mut labels: Vec<String> = selector.map(|(key, value)| format!("{key}={value}")).collect();
        labels.push(names::HASH_LABEL.to_owned());
        let blue_green = spec.blue_green();
        Around {
            labels: labels.join(","),
            slices: slices_of(spec),
            is_analysed: blue_green.pre_promotion_analysis.is_some() || blue_green.post_promotion_analysis.is_some(),
        }
    }

    /// Something that belongs to the rollout has changed: a ReplicaSet, a pod, an endpoint, an analysis.
    fn changes(&self, session: &Session) -> SelectAll<Change> {
        let ours = Config::default().labels(&self.labels);
        let mut changes = vec![
            changes_of::<ReplicaSet>(session, ours.clone()),
            changes_of::<Pod>(session, ours),
            changes_of::<EndpointSlice>(session, Config::default().labels(&self.slices)),
            // Without any other, there would be no end but at once.
            stream::pending().boxed(),
        ];
        if self.is_analysed {
            changes.push(changes_of::<AnalysisRun>(session, Config::default()));
        }
        select_all(changes)
    }
}

/// That objects of a kind change. What is new in them is read once for all, so only their names are watched: with all of their metadata, one that
/// somebody nests too deep would keep the others from being seen.
fn changes_of<K>(session: &Session, config: Config) -> Change
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static,
{
    watcher(session.api::<Named<K>>(), config).default_backoff().map(drop).boxed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::desk::Desk;
    use crate::fake::{self, Asked, allowed, api_server, failure, nothing};

    const IN_TIME: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_watched_is_what_the_spec_says_by_now() {
        let of = |blue_green: Value| {
            let spec = json!({"selector": {}, "strategy": {"blueGreen": blue_green}});
            Around::of(&serde_json::from_value(spec).expect("a spec"))
        };
        let before = of(json!({"activeService": "web"}));
        assert_eq!(before, of(json!({"activeService": "web", "autoPromotionEnabled": false})));
        let analysis = json!({"templates": [{"templateName": "smoke"}]});
        for now in [
            json!({"activeService": "shop"}),
            json!({"activeService": "web", "previewService": "next"}),
            json!({"activeService": "web", "prePromotionAnalysis": analysis}),
        ] {
            assert_ne!(before, of(now));
        }
    }

    /// Otherwise the list would fail, again and again, and each time all that the page shows would be read anew.
    #[tokio::test]
    async fn what_somebody_nests_too_deep_is_watched_as_everything_else() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        let managed =
            json!([{"manager": "someone", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": deep}]);
        let metadata =
            json!({"name": "web-smoke", "namespace": "shop", "resourceVersion": "1", "managedFields": managed});
        let items = json!([{"metadata": metadata}]);
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        let client = api_server(move |call: Asked| {
            let list = list.clone();
            async move {
                if call.is_watch() {
                    std::future::pending::<()>().await;
                }
                (200, list)
            }
        });
        let mut changes = changes_of::<AnalysisRun>(&fake::session(client), Config::default());
        // A list begins, has one, and is over.
        for _ in 0..3 {
            timeout(IN_TIME, changes.next()).await.expect("in time").expect("it goes on");
        }
        assert!(timeout(Duration::from_secs(3), changes.next()).await.is_err(), "nothing has changed");
    }

    #[test]
    fn a_page_that_a_busy_api_server_gives_nothing_new_says_for_how_long() {
        let section = Section { id: "head", html: "web".to_owned() };
        let mut page = Some(Arc::new(Page::Sections(vec![silence_section(None), section])));
        let busy = kube::Error::Service(Box::new(Busy { pause: Duration::from_secs(30) }));
        let silence = Silence::new(Timestamp::UNIX_EPOCH, &busy);
        assert!(note_silence(&mut page, &silence) && !note_silence(&mut page, &silence), "it is said once");
        let Some(Page::Sections(sections)) = page.as_deref() else { panic!("{page:?}") };
        assert_eq!(sections.len(), 2);
        assert!(sections[0].html.contains("The API server is too busy; try again in 30 s."), "{sections:?}");
    }

    #[tokio::test]
    async fn who_may_look_at_a_rollout_and_list_none_sees_it_change() {
        let promoted = Arc::new(AtomicBool::new(false));
        let is_promoted = promoted.clone();
        let client = api_server(move |call: Asked| {
            let is_promoted = is_promoted.clone();
            async move {
                if call.is_watch() {
                    std::future::pending::<()>().await;
                }
                let message = if is_promoted.load(Ordering::SeqCst) { "it was promoted" } else { "it waits" };
                match call.path.rsplit('/').next() {
                    Some("selfsubjectaccessreviews") => allowed(false),
                    Some("bluegreenrollouts" | "namespaces") => failure(403, "no"),
                    Some("web") => (200, fake::rollout(json!({}), json!({"message": message}))),
                    _ => nothing(),
                }
            }
        });
        let desk = Desk::open(client.clone(), "ann".to_owned(), "shop");
        assert!(desk.rows.ready(Some("shop")).await.is_err());
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let room = Room::open(fake::session(client), "ann".to_owned(), key, desk.rows.clone(), false);
        let mut pages = room.pages();
        let says = |message: &'static str| {
            move |page: &Option<Arc<Page>>| match page.as_deref() {
                Some(Page::Sections(sections)) => sections.iter().any(|section| section.html.contains(message)),
                _ => false,
            }
        };
        drop(timeout(IN_TIME, pages.wait_for(says("It waits."))).await.expect("in time").expect("open"));
        // By then what is around it has been listed, after which it is read once more.
        tokio::time::sleep(10 * SETTLE).await;
        promoted.store(true, Ordering::SeqCst);
        let soon = RIGHTS_FOR / 2;
        drop(timeout(soon, pages.wait_for(says("It was promoted."))).await.expect("soon").expect("open"));
    }

    #[tokio::test]
    async fn a_page_does_not_look_new_while_the_api_server_does_not_answer() {
        let down = Arc::new(AtomicBool::new(false));
        let is_down = down.clone();
        let client = api_server(move |call: Asked| {
            let is_down = is_down.clone();
            async move {
                if is_down.load(Ordering::SeqCst) {
                    failure(503, "no")
                } else if call.path.ends_with("/selfsubjectaccessreviews") {
                    allowed(true)
                } else if call.path.ends_with("/bluegreenrollouts/web") {
                    (200, fake::rollout(json!({}), json!({})))
                } else if call.is_watch() {
                    // Whoever may not watch looks again after a while, which keeps this test going.
                    failure(403, "no")
                } else {
                    nothing()
                }
            }
        });
        let rows = Desk::open(client.clone(), "ann".to_owned(), "shop").rows.clone();
        let session = fake::session(client);
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let room = Room::open(session, "ann".to_owned(), key, rows, false);
        let mut pages = room.pages();
        let first = timeout(IN_TIME, pages.wait_for(Option::is_some)).await.expect("in time").expect("open").clone();
        assert!(matches!(first.as_deref(), Some(Page::Sections(_))), "{first:?}");
        let says_so = |page: &Option<Arc<Page>>| match page.as_deref() {
            Some(Page::Sections(sections)) => {
                sections.iter().any(|section| section.html.contains("The API server does not answer"))
            }
            _ => false,
        };
        assert!(!says_so(&first));
        down.store(true, Ordering::SeqCst);
        drop(timeout(IN_TIME, pages.wait_for(says_so)).await.expect("in time").expect("open"));
        down.store(false, Ordering::SeqCst);
        drop(timeout(IN_TIME, pages.wait_for(|page| !says_so(page))).await.expect("in time").expect("open"));
    }
}

//! A watch that goes on for ever, whatever the API server can do.
//!
//! Lists that are streamed cost a third of the memory of paged ones, but not every API server has them: on by default in 1.32, off
//! in 1.33, on from 1.34, and an upgrade may take them away under a running operator. So every listing begins as a stream, and
//! goes by pages if the server refuses that or does not finish it. kube's `watcher` does either, but cannot change its mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Api;
use kube::runtime::watcher::{Config, Error, Event, InitialListStrategy, watcher};
use tokio::time::{Instant, sleep_until};

use crate::api_server::backoff::pause;
use crate::cluster::arrived::{Arrived, Watched};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A list that is streamed does not pause: one that does will not be finished.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// A page is in memory as a whole, for a moment twice, and an object may have one and a half megabytes. All kinds are listed at a time: with forty to a page
/// a tenant's large objects of two kinds took more than the chart gives the operator.
const PAGE: u32 = 10;

/// The server ends a watch after so long, and it begins anew where it ended. So one that hangs is found out.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What is known of the API server's streaming lists; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StreamingLists {
    refused: Arc<AtomicBool>,
}

/// A watch of one kind. What it brings may be unreadable. It begins anew with [`Event::Init`] whenever it has to.
pub struct Watch<V> {
    api: Api<Arrived<V>>,
    config: Config,
    lists: StreamingLists,
    events: BoxStream<'static, Result<Event<Arrived<V>>, Error>>,
    /// This listing goes by pages.
    paged: bool,
    listing: Listing,
    failures: Failures,
}

/// How often it has failed in a row: without news in between, and one soon after the other. That a list came to its end is no news; a watch
/// may fail after every list, as when it takes longer than the server remembers.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    last: Option<Instant>,
    /// Nothing is asked before that.
    rests_until: Option<Instant>,
}

impl Failures {
    fn count(&mut self) {
        let now = Instant::now();
        let in_a_row = if self.last.is_some_and(|last| now < last + LONGEST) { self.in_a_row } else { 0 };
        self.in_a_row = in_a_row.saturating_add(1);
        self.last = Some(now);
        self.rests_until = Some(now + pause(self.in_a_row, FIRST_PAUSE, LONGEST_PAUSE));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    NotBegun,
    Begun,
    Done,
}

impl<V: Watched> Watch<V> {
    /// Begins with its first event.
    pub fn new(api: Api<Arrived<V>>, config: Config, lists: &StreamingLists) -> Watch<V> {
        let mut watch = Watch {
            api,
            config: config.timeout(u32::try_from(LONGEST.as_secs()).unwrap_or(u32::MAX)).page_size(PAGE),
            lists: lists.clone(),
            events: futures::stream::empty().boxed(),
            paged: false,
            listing: Listing::NotBegun,
            failures: Failures::default(),
        };
        watch.begin(lists.refused.load(Ordering::Relaxed));
        watch
    }

    /// The next event. After an error it waits a little once, longer and longer, and goes on.
    pub async fn next(&mut self) -> Result<Event<Arrived<V>>, Error> {
        if let Some(until) = self.failures.rests_until {
            sleep_until(until).await;
            self.failures.rests_until = None;
        }
        loop {
            let event = if self.listing == Listing::Begun && !self.paged {
                tokio::time::timeout(LONGEST_SILENCE, self.events.next()).await.unwrap_or_default()
            } else {
                self.events.next().await
            };
            match event {
                // It halted, or broke off and begins again.
                None | Some(Ok(Event::Init)) if self.listing == Listing::Begun && !self.paged => {
                    self.go_by_pages("the API server does not finish a list that it streams");
                }
                None => self.begin(self.paged),
                // Whatever kept it from streaming the last time may be over.
                Some(Ok(Event::Init)) if self.listing == Listing::Done && self.paged => self.begin(false),
                Some(Err(error)) if !self.paged && is_refusal(&error) => {
                    self.lists.refused.store(true, Ordering::Relaxed);
                    self.go_by_pages(&error.to_string());
                }
                Some(Ok(event)) => {
                    match &event {
                        Event::Init => self.listing = Listing::Begun,
                        Event::InitApply(_) => {}
                        Event::InitDone => {
                            self.listing = Listing::Done;
                            self.lists.refused.store(self.paged, Ordering::Relaxed);
                        }
                        Event::Apply(_) | Event::Delete(_) => self.failures = Failures::default(),
                    }
                    return Ok(event);
                }
                Some(Err(error)) => {
                    self.failures.count();
                    // kube lists again if that is an event, and not if it is an answer.
                    if is_gone(&error) {
                        self.begin(false);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn go_by_pages(&mut self, why: &str) {
        tracing::info!(kind = %V::kind(&()), why, "listing by pages");
        self.begin(true);
    }

    fn begin(&mut self, paged: bool) {
        let config = if paged { self.config.clone() } else { self.config.clone().streaming_lists() };
        debug_assert_eq!(paged, config.initial_list_strategy == InitialListStrategy::ListWatch);
        self.events = watcher(self.api.clone(), config).boxed();
        self.paged = paged;
        self.listing = Listing::NotBegun;
    }
}

/// The server does not know what a streamed list is, or has it switched off.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::WatchStartFailed(kube::Error::Api(status)) => {
            matches!(status.code, 400 | 422) || status.message.contains("sendInitialEvents")
        }
        _ => false,
    }
}

/// What the watch was to begin after is gone.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::{BoxError, service_fn};

    use super::*;
    use crate::cluster::objects::ServiceView;

    /// A watch of Services of an API server that gives one answer after the other, and the last one again and again.
    fn watch(answers: Vec<(u16, Vec<Value>)>) -> Watch<ServiceView> {
        let answers = Arc::new(Mutex::new(answers));
        let service = service_fn(move |_: Request<Body>| {
            let mut answers = answers.lock().expect("no panic while locked");
            let (code, lines) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            async move { Ok::<_, BoxError>(answer(code, &lines)) }
        });
        Watch::new(Api::all(Client::new(service, "default")), Config::default(), &StreamingLists::default())
    }

    fn answer(code: u16, lines: &[Value]) -> Response<Body> {
        // The type first, as an API server writes it.
        let line = |line: &Value| match (&line["type"], &line["object"]) {
            (Value::Null, _) => format!("{line}\n"),
            (of_type, object) => format!("{{\"type\":{of_type},\"object\":{object}}}\n"),
        };
        let body: String = lines.iter().map(line).collect();
        Response::builder().status(code).body(Body::from(body.into_bytes())).expect("a response")
    }

    fn busy() -> (u16, Vec<Value>) {
        (
            503,
            vec![
                json!({"kind": "Status", "status": "Failure", "code": 503, "message": "busy", "reason": "ServiceUnavailable"}),
            ],
        )
    }

    fn event(kind: &str, number: usize) -> Value {
        let metadata = json!({
            "name": format!("web-{number}"), "namespace": "shop", "resourceVersion": (number + 1).to_string(),
        });
        json!({"type": kind, "object": {"metadata": metadata, "spec": {}}})
    }

    fn all_listed() -> Value {
        let metadata = json!({"resourceVersion": "100000", "annotations": {"k8s.io/initial-events-end": "true"}});
        json!({"type": "BOOKMARK", "object": {"kind": "Service", "apiVersion": "v1", "metadata": metadata}})
    }

    async fn until_listed(watch: &mut Watch<ServiceView>) -> usize {
        let mut objects = 0;
        loop {
            match watch.next().await {
                Ok(Event::InitApply(_)) => objects += 1,
                Ok(Event::InitDone) => return objects,
                _ => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_after_failures_waits_once_and_not_before_each_object() {
        let list = (0..10_000).map(|number| event("ADDED", number)).chain([all_listed()]).collect();
        let mut watch = watch(vec![busy(), busy(), busy(), (200, list)]);
        let began = Instant::now();
        assert_eq!(until_listed(&mut watch).await, 10_000);
        let pauses: Duration = (0..3).map(|number| FIRST_PAUSE * 2_u32.pow(number)).sum();
        assert!(began.elapsed() <= pauses, "{:?}", began.elapsed());
    }

    /// What is asked for when lists are always answered, and whatever comes after them so; in a minute.
    async fn asked_in_a_minute(after: (u16, Vec<Value>)) -> Vec<String> {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let service = {
            let asked = asked.clone();
            service_fn(move |request: Request<Body>| {
                let query = request.uri().query().unwrap_or_default().to_owned();
                let is_list = query.contains("sendInitialEvents=true");
                asked.lock().expect("no panic while locked").push(query);
                let (code, lines) = if is_list { (200, vec![event("ADDED", 0), all_listed()]) } else { after.clone() };
                async move { Ok::<_, BoxError>(answer(code, &lines)) }
            })
        };
        let lists = StreamingLists::default();
        let mut watch = Watch::<ServiceView>::new(Api::all(Client::new(service, "default")), Config::default(), &lists);
        drop(
            tokio::time::timeout(Duration::from_secs(60), async {
                loop {
                    drop(watch.next().await)
                }
            })
            .await,
        );
        std::mem::take(&mut *asked.lock().expect("no panic while locked"))
    }

    #[tokio::test(start_paused = true)]
    async fn pages_of_the_largest_objects_of_all_kinds_fit_into_memory() {
        const KINDS: u32 = 6;
        const LARGEST_OBJECT: u32 = 1536 << 10;
        // The chart's limit, less what the operator has itself.
        const ROOM: u32 = 200 << 20;
        let limits: Arc<Mutex<Vec<u32>>> = Arc::default();
        let asked = limits.clone();
        let service = service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let limit = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "limit");
            asked.lock().expect("no panic while locked").extend(limit.and_then(|(_, limit)| limit.parse::<u32>().ok()));
            let refusal = json!({"kind": "Status", "status": "Failure", "code": 422, "message": "sendInitialEvents", "reason": "Invalid"});
            let list = json!({"metadata": {"resourceVersion": "9"}, "items": []});
            let (code, body) = if query.contains("sendInitialEvents") { (422, refusal) } else { (200, list) };
            async move { Ok::<_, BoxError>(answer(code, &[body])) }
        });
        let lists = StreamingLists::default();
        let mut watch = Watch::<ServiceView>::new(Api::all(Client::new(service, "default")), Config::default(), &lists);
        assert_eq!(until_listed(&mut watch).await, 0);
        let limits = limits.lock().expect("no panic while locked");
        assert!(
            !limits.is_empty() && limits.iter().all(|limit| 2 * limit * KINDS * LARGEST_OBJECT <= ROOM),
            "{limits:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whose_history_is_always_gone_lists_again_and_less_and_less_often() {
        let gone =
            json!({"kind": "Status", "status": "Failure", "code": 410, "message": "too old", "reason": "Expired"});
        for after in [(200, vec![json!({"type": "ERROR", "object": gone})]), (410, vec![gone])] {
            let code = after.0;
            let asked = asked_in_a_minute(after).await;
            let lists = asked.iter().filter(|query| query.contains("sendInitialEvents=true")).count();
            assert!((5..=30).contains(&lists), "{code}: {lists} lists in a minute");
        }
    }
}

//! Which requests are made again, and when: those that a busy API server did not look at, and those of which nothing can have come.
//!
//! kube would make a request again whatever it asks for. After a 503 or a 504 that may have been done already: a write that is made once more,
//! minutes later, takes back what somebody else has asked for since, and fails where it is no write that can be made twice.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::time::{sleep, timeout};
use tower::{BoxError, Layer, Service};

/// How often something is asked at most, as by kubectl.
const TRIES: u32 = 10;
/// The first pause before something is asked again; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An API server may ask for a pause. It is not given more.
const LONGEST_WANTED: Duration = Duration::from_secs(30);
/// A pause that somebody notices.
const NOTICED: Duration = Duration::from_secs(2);
/// A page waits for the beginning of an answer no longer: a connection that has been cut may keep silent for a quarter of an hour.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// A client that makes requests again as is said here, and not as kube does.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(mut config: Config, again: &Again) -> kube::Result<Client> {
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(again).build())
}

/// Makes requests again.
#[derive(Clone)]
pub struct Again {
    /// What is done about a pause that somebody notices.
    long_pauses: LongPauses,
}

/// What is done about a long pause.
#[derive(Clone)]
enum LongPauses {
    /// It is waited for. Whoever waits is told so, once for all requests that wait until about the same time.
    Told { tell: Arc<dyn Fn(Duration) + Send + Sync>, until: Arc<Mutex<Instant>> },
    /// Nobody waits: the request fails, as [`Busy`].
    Refused,
}

impl Again {
    /// For a person who waits for one answer: `tell` says how long the pause is.
    pub fn telling(tell: impl Fn(Duration) + Send + Sync + 'static) -> Again {
        Again { long_pauses: LongPauses::Told { tell: Arc::new(tell), until: Arc::new(Mutex::new(Instant::now())) } }
    }

    /// For pages, which show what is known, and since when. What changes nothing fails also if no answer begins in time.
    pub fn quick() -> Again {
        Again { long_pauses: LongPauses::Refused }
    }

    /// How long the beginning of an answer is waited for; `None`: for ever. What came of a change is better known late than never, and a
    /// log that is followed begins with its first line.
    fn patience(&self, request: &Request<Body>) -> Option<Duration> {
        let is_followed = request.uri().query().unwrap_or_default().split('&').any(|word| word == "follow=true");
        match self.long_pauses {
            LongPauses::Refused if changes_nothing(request) && !is_followed => Some(ANSWERED_WITHIN),
            _ => None,
        }
    }

    /// What is to be done before a pause.
    fn before(&self, pause: Duration) -> Result<(), Busy> {
        if pause < NOTICED {
            return Ok(());
        }
        match &self.long_pauses {
            LongPauses::Refused => Err(Busy { pause }),
            LongPauses::Told { tell, until } => {
                let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
                let end = Instant::now() + pause;
                if end >= *until + NOTICED {
                    *until = end;
                    tell(pause);
                }
                Ok(())
            }
        }
    }
}

/// The API server is too busy, and would have to be left alone for longer than a page waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// How long.
    pub pause: Duration,
}

impl Busy {
    /// What made something fail, if it is this.
    pub fn cause_of(error: &(dyn Error + 'static)) -> Option<Busy> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(busy) = error.downcast_ref::<Busy>() {
                return Some(*busy);
            }
            cause = error.source();
        }
        None
    }
}

impl Display for Busy {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "the API server is too busy; try again in {} s", self.pause.as_secs())
    }
}

impl Error for Busy {}

impl<S> Layer<S> for Again {
    type Service = AskedAgain<S>;

    fn layer(&self, inner: S) -> AskedAgain<S> {
        AskedAgain { inner: Arc::new(tokio::sync::Mutex::new(inner)), again: self.clone() }
    }
}

/// A service that is asked again while it is busy.
pub struct AskedAgain<S> {
    inner: Arc<tokio::sync::Mutex<S>>,
    again: Again,
}

impl<S, B> Service<Request<Body>> for AskedAgain<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    /// Each time that something is asked, the service below is waited for.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, again) = (Arc::clone(&self.inner), self.again.clone());
        async move { answered(&inner, &again, request).await }.boxed()
    }
}

/// What comes of a request. It is made again while the API server is busy, if nothing can have come of it.
async fn answered<S, B>(
    inner: &tokio::sync::Mutex<S>,
    again: &Again,
    mut request: Request<Body>,
) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
{
    let mut tries = 1;
    loop {
        let (copy, patience) = (copy_of(&request), again.patience(&request));
        let sent = {
            let mut inner = inner.lock().await;
            poll_fn(|context| inner.poll_ready(context)).await?;
            inner.call(request)
        };
        let answer = match patience {
            Some(patience) => {
                let late = |_| format!("the API server has not answered within {} s", patience.as_secs());
                timeout(patience, sent).await.map_err(late)??
            }
            None => sent.await?,
        };
        match copy.filter(|copy| tries < TRIES && may_be_asked_again(copy, answer.status())) {
            Some(copy) => {
                let pause = pause(tries, answer.headers());
                drop(answer);
                again.before(pause)?;
                sleep(pause).await;
                (request, tries) = (copy, tries + 1);
            }
            None => return Ok(answer),
        }
    }
}

fn copy_of(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// Whether nothing can have come of a request that was answered so.
fn may_be_asked_again(request: &Request<Body>, status: StatusCode) -> bool {
    match status {
        // It was not looked at.
        StatusCode::TOO_MANY_REQUESTS => true,
        // Whoever stands before the API server, or its own time-out, knows nothing of what it did.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => changes_nothing(request),
        _ => false,
    }
}

/// Whether a request changes nothing in the cluster.
fn changes_nothing(request: &Request<Body>) -> bool {
    let is_tried = request.uri().query().unwrap_or_default().split('&').any(|word| word.starts_with("dryRun="));
    // The last word of a path that is posted to is a kind's and no name, which somebody chose.
    let kind = request.uri().path().rsplit('/').next().unwrap_or_default();
    let is_question = request.method() == Method::POST && kind.starts_with("selfsubject");
    request.method() == Method::GET || is_tried || is_question
}

/// How long to wait after so many tries.
fn pause(tries: u32, headers: &HeaderMap) -> Duration {
    let wanted = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let own = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries - 1)).min(LONGEST_PAUSE);
    wanted.map_or(own, |wanted| own.max(wanted.min(LONGEST_WANTED)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use kube::Api;
    use kube::api::{LogParams, Patch, PatchParams, WatchParams};
    use serde_json::json;

    use super::*;

    /// An API server that answers the first request by this code, and those after it well; and how often it was asked.
    fn first_answers(code: u16) -> (Api<ConfigMap>, Arc<AtomicUsize>) {
        first_wants(code, 0, &Again::quick())
    }

    /// The same; with the first answer it asks for a pause of so many seconds.
    fn first_wants(code: u16, pause: u64, again: &Again) -> (Api<ConfigMap>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            let code = if count.fetch_add(1, Ordering::SeqCst) == 0 { code } else { 200 };
            let answer = match code {
                200 => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}),
                code => json!({"kind": "Status", "status": "Failure", "reason": "", "message": "busy", "code": code}),
            };
            let answer = Response::builder()
                .status(code)
                .header(RETRY_AFTER, pause)
                .body(Body::from(answer.to_string().into_bytes()));
            async move { Ok::<_, BoxError>(answer.expect("a response")) }
        });
        (Api::namespaced(Client::new(again.layer(service), "shop"), "shop"), asked)
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_not_done_again() {
        let patch = Patch::Merge(json!({"data": {"paused": "false"}}));
        let tried = PatchParams { dry_run: true, ..PatchParams::default() };
        for code in [503, 504] {
            let (api, asked) = first_answers(code);
            assert!(api.patch("web", &PatchParams::default(), &patch).await.is_err(), "nobody knows what came of it");
            assert_eq!(asked.load(Ordering::SeqCst), 1, "{code}: a write is made once");
            let (api, asked) = first_answers(code);
            assert!(api.get("web").await.is_ok() && asked.load(Ordering::SeqCst) == 2, "{code}: a read is made again");
            let (api, asked) = first_answers(code);
            assert!(api.patch("web", &tried, &patch).await.is_ok() && asked.load(Ordering::SeqCst) == 2);
        }
        let (api, asked) = first_answers(429);
        assert!(api.patch("web", &PatchParams::default(), &patch).await.is_ok(), "it was not looked at before");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        let (api, asked) = first_answers(500);
        assert!(api.get("web").await.is_err() && asked.load(Ordering::SeqCst) == 1);
    }

    #[tokio::test]
    async fn a_page_waits_for_no_long_pause_and_says_how_long_it_would_be() {
        for code in [429, 503] {
            let (api, asked) = first_wants(code, 30, &Again::quick());
            let error = api.get("web").await.expect_err("nobody waits");
            assert_eq!(Busy::cause_of(&error), Some(Busy { pause: Duration::from_secs(30) }), "{error}");
            assert!(error.to_string().ends_with("the API server is too busy; try again in 30 s"), "{error}");
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            let (api, asked) = first_wants(code, 1, &Again::quick());
            assert!(api.get("web").await.is_ok() && asked.load(Ordering::SeqCst) == 2, "a second is no long pause");
        }
        let (api, _) = first_answers(500);
        assert_eq!(Busy::cause_of(&api.get("web").await.expect_err("it fails")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_does_not_hang_on_a_connection_that_has_been_cut() {
        let silent = |again: &Again| {
            let service =
                tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
            Api::<Pod>::namespaced(Client::new(again.layer(service), "shop"), "shop")
        };
        let an_hour = Duration::from_secs(3600);
        let page = silent(&Again::quick());
        let read = timeout(an_hour, page.get("web")).await.expect("it ends");
        let error = read.expect_err("nobody answers").to_string();
        assert!(error.ends_with("the API server has not answered within 20 s"), "{error}");
        assert!(timeout(an_hour, page.watch(&WatchParams::default(), "0")).await.is_ok_and(|began| began.is_err()));
        let followed = LogParams { follow: true, ..LogParams::default() };
        assert!(timeout(an_hour, page.log_stream("web", &followed)).await.is_err(), "no line has come");
        let patch = Patch::Merge(json!({"metadata": {}}));
        let params = PatchParams::default();
        let change = page.patch("web", &params, &patch);
        assert!(timeout(an_hour, change).await.is_err(), "it may be done at any time");
        let person = silent(&Again::telling(|_| {}));
        assert!(timeout(an_hour, person.get("web")).await.is_err(), "who waits ends it when they like");
    }

    #[tokio::test]
    async fn who_waits_is_told_for_how_long_once_for_all_that_is_asked() {
        let told: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let seen = Arc::clone(&told);
        let again = Again::telling(move |pause| seen.lock().expect("nobody has panicked").push(pause));
        let [one, other] = [(); 2].map(|()| first_wants(429, 2, &again).0);
        let (one, other) = tokio::join!(one.get("web"), other.get("web"));
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(*told.lock().expect("nobody has panicked"), [Duration::from_secs(2)]);
    }

    #[test]
    fn who_waits_is_told_of_a_longer_pause_also_while_a_shorter_one_is_under_way() {
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let seen = Arc::clone(&told);
        let again = Again::telling(move |pause| seen.lock().expect("nobody has panicked").push(pause.as_secs()));
        for seconds in [2, 30, 3, 30] {
            again.before(Duration::from_secs(seconds)).expect("it is waited for");
        }
        assert_eq!(*told.lock().expect("nobody has panicked"), [2, 30]);
    }

    #[tokio::test]
    async fn a_write_to_what_is_named_like_a_question_is_none() {
        let patch = Patch::Merge(json!({"data": {"paused": "false"}}));
        let (api, asked) = first_answers(503);
        assert!(api.patch("selfsubject-web", &PatchParams::default(), &patch).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let is_again = |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
            may_be_asked_again(&request, StatusCode::SERVICE_UNAVAILABLE)
        };
        assert!(is_again(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"));
        assert!(!is_again(Method::POST, "/api/v1/namespaces/selfsubject/pods"));
        assert!(!is_again(Method::DELETE, "/api/v1/namespaces/shop/pods/selfsubject"));
    }

    #[test]
    fn pauses_grow_and_have_an_end_and_the_server_may_want_a_longer_one() {
        let own = |tries| pause(tries, &HeaderMap::new()).as_millis();
        assert_eq!([1, 2, 3, 9, 40].map(own), [50, 100, 200, 5000, 5000]);
        let wanted = |seconds: &str| {
            pause(1, &HeaderMap::from_iter([(RETRY_AFTER, seconds.parse().expect("a value"))])).as_millis()
        };
        assert_eq!(["0", "2", "86400", "tomorrow"].map(wanted), [50, 2000, 30_000, 50]);
    }
}

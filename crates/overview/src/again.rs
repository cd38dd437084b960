//! Which requests are made again, and when: those that a busy API server did not look at, and those of which nothing can have come.
//!
//! kube would make a request again whatever it asks for. After a 503 or a 504 that may have been done already: a write that is made once more,
//! minutes later, takes back what somebody else has asked for since, and fails where it is no write that can be made twice.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service};

/// How often something is asked at most, as by kubectl.
const TRIES: u32 = 10;
/// The first pause before something is asked again; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An API server may ask for a pause. It is not given more.
const LONGEST_WANTED: Duration = Duration::from_secs(30);

/// A client that makes requests again as is said here, and not as kube does.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Again).build())
}

/// Makes requests again.
#[derive(Clone, Copy, Debug)]
pub struct Again;

impl<S> Layer<S> for Again {
    type Service = AskedAgain<S>;

    fn layer(&self, inner: S) -> AskedAgain<S> {
        AskedAgain { inner: Arc::new(Mutex::new(inner)) }
    }
}

/// A service that is asked again while it is busy.
#[derive(Debug)]
pub struct AskedAgain<S> {
    inner: Arc<Mutex<S>>,
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
        let inner = Arc::clone(&self.inner);
        async move { answered(&inner, request).await }.boxed()
    }
}

/// What comes of a request. It is made again while the API server is busy, if nothing can have come of it.
async fn answered<S, B>(inner: &Mutex<S>, mut request: Request<Body>) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
{
    let mut tries = 1;
    loop {
        let again = copy_of(&request);
        let sent = {
            let mut inner = inner.lock().await;
            poll_fn(|context| inner.poll_ready(context)).await?;
            inner.call(request)
        };
        let answer = sent.await?;
        match again.filter(|again| tries < TRIES && may_be_asked_again(again, answer.status())) {
            Some(again) => {
                let pause = pause(tries, answer.headers());
                drop(answer);
                sleep(pause).await;
                (request, tries) = (again, tries + 1);
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
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let is_tried = request.uri().query().unwrap_or_default().split('&').any(|word| word.starts_with("dryRun="));
            // The last word of a path that is posted to is a kind's and no name, which somebody chose.
            let kind = request.uri().path().rsplit('/').next().unwrap_or_default();
            let is_question = request.method() == Method::POST && kind.starts_with("selfsubject");
            request.method() == Method::GET || is_tried || is_question
        }
        _ => false,
    }
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

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;

    use super::*;

    /// An API server that answers the first request by this code, and those after it well; and how often it was asked.
    fn first_answers(code: u16) -> (Api<ConfigMap>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            let code = if count.fetch_add(1, Ordering::SeqCst) == 0 { code } else { 200 };
            let answer = match code {
                200 => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}),
                code => json!({"kind": "Status", "status": "Failure", "reason": "", "message": "busy", "code": code}),
            };
            let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            async move { Ok::<_, BoxError>(answer.expect("a response")) }
        });
        (Api::namespaced(Client::new(Again.layer(service), "shop"), "shop"), asked)
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

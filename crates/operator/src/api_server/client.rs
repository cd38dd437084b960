//! The connections to the API server: HTTP/2, so that watches share one. An API server gives a hundred streams to a connection: who shares one
//! is in `connections`.
//!
//! `kube`'s own client speaks HTTP/1.1, where each watch is a TCP and TLS connection of its own. With a thousand switches
//! being proven at once that was most of the operator's memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use futures::{Stream, stream};
use greenlight_core::words::{self, beginning};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::rt::{Read, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::core::Status;
use kube::{Client, Config};
use rustls_pki_types::ServerName;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};
use tower::{BoxError, Service, ServiceBuilder, service_fn};

use crate::api_server::backoff::LONGEST_RESPITE;
use crate::api_server::error::Unanswered;
use crate::api_server::leadership::Leadership;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// How this operator signs its requests.
pub const USER_AGENT: &str = concat!("greenlight/", env!("CARGO_PKG_VERSION"));
/// A connection that does not answer a ping for so long is dead: a hung watch would otherwise look like a quiet one.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that is not answered, to its last byte, within this time failed: whoever answers pings and nothing else would keep a
/// worker for ever. A watch begins within this time. Admission webhooks may take 30 s by themselves, and then the server says so.
const REQUEST: Duration = Duration::from_secs(35);
/// A page of a list is large.
const LIST: Duration = Duration::from_secs(90);

/// In bytes. Of a refusal no more is read: the API server lists all that is wrong with an object, in hundreds of bytes for each field, twice; so one
/// template of a tenant would have tens of megabytes of it.
const LARGEST_REFUSAL: usize = 64 << 10;
/// In bytes. Of one that is larger so much is left.
const LONGEST_WORDS: usize = 16 << 10;
/// So many characters JSON may write for one.
const LONGEST_ESCAPE: usize = 12;

/// The cluster that KUBECONFIG or the pod's own ServiceAccount leads to.
pub async fn config() -> Result<Config> {
    let mut config = Config::infer().await.context("no cluster: set KUBECONFIG, or run inside a pod")?;
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    Ok(config)
}

/// How a client uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Many requests at a time.
    Http2,
    /// One after the other. Giving a request up closes the connection, so that the next one finds another.
    Http1,
}

/// A client with a connection of its own. Its requests are counted and have a deadline; only the leader's writes go out.
/// Failed requests are not repeated: that is the work queue's business.
pub fn connect(
    config: &Config,
    protocol: Protocol,
    metrics: &Metrics,
    health: &Health,
    leadership: &Leadership,
) -> Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    let uses = Uses { protocol, metrics, health, leadership };
    let Some(proxy) = &config.proxy_url else { return connect_over(tcp, config, uses) };
    // kube would send the password; nobody has asked for that yet.
    if proxy.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("proxy-url has a user in it: a proxy that needs a password is not supported");
    }
    match proxy.scheme_str() {
        Some("http") => connect_over(Tunnel::new(proxy.clone(), tcp), config, uses),
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            connect_over(Tunnel::new(proxy.clone(), tls), config, uses)
        }
        Some("socks5") => connect_over(SocksV5::new(proxy.clone(), tcp), config, uses),
        _ => bail!("proxy-url {proxy} is none: write http://host:port, https://host:port or socks5://host:port"),
    }
}

/// What a client is used for, and who is told of it.
struct Uses<'a> {
    protocol: Protocol,
    metrics: &'a Metrics,
    health: &'a Health,
    leadership: &'a Leadership,
}

fn connect_over<C>(connector: C, config: &Config, uses: Uses<'_>) -> Result<Client>
where
    C: Service<Uri, Error: Into<BoxError>> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
{
    let Uses { protocol, metrics, health, leadership } = uses;
    let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).with_context(|| format!("tls-server-name {name}"))?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = match protocol {
        Protocol::Http2 => tls.enable_all_versions().wrap_connector(connector),
        Protocol::Http1 => tls.enable_http1().wrap_connector(connector),
    };
    let client = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let asking = Asking {
        protocol,
        metrics: metrics.clone(),
        health: health.clone(),
        leadership: leadership.clone(),
        respite: Respite::default(),
        base: config.cluster_url.path().trim_end_matches('/').to_owned(),
    };
    let bounded = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        let answer = asking.clone().ask(request, move |request| client.request(request));
        async { answer.await.map(|(answer, reading)| read(answer, reading)) }
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(bounded);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// What all requests over a connection go through.
#[derive(Clone)]
struct Asking {
    protocol: Protocol,
    metrics: Metrics,
    health: Health,
    leadership: Leadership,
    respite: Respite,
    /// The API server is behind this path.
    base: String,
}

impl Asking {
    /// Sends a request once the API server is to be asked, if this instance may, and waits no longer for the answer than one of its kind may take.
    /// Says how its body is read, too.
    async fn ask<A, B, E>(
        self,
        request: Request<Body>,
        send: impl FnOnce(Request<Body>) -> A,
    ) -> Result<(Response<B>, Reading), BoxError>
    where
        A: Future<Output = Result<Response<B>, E>>,
        E: Into<BoxError>,
    {
        let Asking { protocol, metrics, health, leadership, respite, base } = self;
        let namespace = namespace(request.uri().path().strip_prefix(&base).unwrap_or_default()).to_owned();
        let hearing = Hearing { resource: resource(&request), health, metrics: metrics.clone() };
        let kind = Kind::of(&request);
        // The lease is one request every two seconds, and has no time.
        if protocol == Protocol::Http2 {
            respite.over().await;
        }
        let verb = request.method().as_str().to_lowercase();
        let started = Instant::now();
        let answer = async { within(kind.deadline(), send(request)).await?.map_err(Into::<BoxError>::into) };
        let answer = if kind == Kind::Write { leadership.guard(&namespace, answer).await? } else { answer.await };
        if let Ok(answer) = &answer {
            respite.read(kind, answer);
        }
        if kind != Kind::Watch {
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
            metrics.answered(&verb, code, started.elapsed());
        }
        let reading = match kind {
            Kind::Watch => Reading::Watch(hearing),
            _ => Reading::Until(started + kind.deadline()),
        };
        Ok((answer?, reading))
    }
}

/// Until when the API server wants to be left alone: it has said so by `Retry-After`. Clones share it. What only concerns the object of a
/// write, as that a pod may not be evicted now or a webhook's answer, comes as JSON, and only that object's work waits
/// ([`crate::api_server::error::Error::respite`]); that there are too many requests comes as text.
#[derive(Clone, Debug, Default)]
struct Respite(Arc<Mutex<Option<Instant>>>);

impl Respite {
    async fn over(&self) {
        let until = *self.0.lock().expect("no panic while locked");
        if let Some(until) = until.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }

    fn read<B>(&self, kind: Kind, answer: &Response<B>) {
        let is_text =
            answer.headers().get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(b"text/plain"));
        let is_asked_for = (kind != Kind::Write || is_text)
            && [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status());
        if !is_asked_for {
            return;
        }
        if let Some(seconds) = retry_after(answer) {
            let respite = Duration::from_secs(seconds).min(LONGEST_RESPITE);
            *self.0.lock().expect("no panic while locked") = Some(Instant::now() + respite);
        }
    }
}

/// In seconds. An API server writes no date.
fn retry_after<B>(answer: &Response<B>) -> Option<u64> {
    answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    List,
    Watch,
    Write,
}

impl Kind {
    fn of(request: &Request<Body>) -> Kind {
        let asks = |for_what| request.uri().query().is_some_and(|query| query.contains(for_what));
        match *request.method() {
            Method::GET | Method::HEAD if asks("watch=true") => Kind::Watch,
            Method::GET | Method::HEAD if asks("limit=") => Kind::List,
            Method::GET | Method::HEAD => Kind::Read,
            _ => Kind::Write,
        }
    }

    fn deadline(self) -> Duration {
        if self == Kind::List { LIST } else { REQUEST }
    }
}

async fn within<T>(deadline: Duration, request: impl Future<Output = T>) -> Result<T, BoxError> {
    timeout(deadline, request).await.map_err(|_| Unanswered(deadline.as_secs()).into())
}

/// How the body of an answer is read.
enum Reading {
    /// It is an error if it is not complete by then.
    Until(Instant),
    /// It has no end: its watcher minds it. Whoever wants to know hears of every piece.
    Watch(Hearing),
    /// It says why not: as much of it as somebody would read, by then; and after how many seconds to ask again, if it says that.
    Refusal(StatusCode, Option<u64>, Instant),
    /// All of it was.
    Done,
}

/// Who wants to know of signs of life on a watch.
struct Hearing {
    resource: String,
    health: Health,
    metrics: Metrics,
}

impl Hearing {
    fn heard(&self) {
        if self.health.heard(&self.resource) {
            self.metrics.watch_heard(&self.resource);
        }
    }
}

/// `shop`, of the path of a request for what is in this namespace.
fn namespace(path: &str) -> &str {
    path.split('/').skip_while(|segment| *segment != "namespaces").nth(1).unwrap_or_default()
}

/// `services`, of the URL of a list or a watch.
fn resource(request: &Request<Body>) -> String {
    request.uri().path().rsplit('/').next().unwrap_or_default().to_owned()
}

fn read<B>(
    answer: Response<B>,
    reading: Reading,
) -> Response<StreamBody<impl Stream<Item = Result<http_body::Frame<Bytes>, BoxError>>>>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let status = answer.status();
    let again = retry_after(&answer);
    let reading = match reading {
        Reading::Until(deadline) if is_refusal(status) => Reading::Refusal(status, again, deadline),
        Reading::Watch(_) if is_refusal(status) => Reading::Refusal(status, again, Instant::now() + REQUEST),
        reading => reading,
    };
    if let Reading::Watch(hearing) = &reading
        && status.is_success()
    {
        hearing.heard();
    }
    answer.map(|body| {
        StreamBody::new(stream::try_unfold((body, reading), |(mut body, reading)| async {
            let (frame, reading) = match reading {
                Reading::Until(deadline) => (timeout_at(deadline, body.frame()).await?, Reading::Until(deadline)),
                Reading::Watch(hearing) => {
                    let frame = body.frame().await.inspect(|_| hearing.heard());
                    (frame, Reading::Watch(hearing))
                }
                Reading::Refusal(status, again, deadline) => {
                    let words = timeout_at(deadline, refusal(&mut body, status)).await??;
                    (Some(Ok(http_body::Frame::data(with_respite(words, again)))), Reading::Done)
                }
                Reading::Done => (None, Reading::Done),
            };
            frame.transpose().map_err(Into::into).map(|frame| frame.map(|frame| (frame, (body, reading))))
        }))
    })
}

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// The body of a refusal, or one that says the beginning of the same.
async fn refusal<B>(body: &mut B, status: StatusCode) -> Result<Bytes, BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Into::<BoxError>::into)?.into_data() else { continue };
        if read.len() + data.len() > LARGEST_REFUSAL {
            read.extend_from_slice(&data[..LARGEST_REFUSAL - read.len()]);
            return Ok(abridged(&read, status));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// A refusal whose header says after how many seconds to ask again, and whose body does not: whoever has asked sees the body only.
fn with_respite(words: Bytes, again: Option<u64>) -> Bytes {
    let Some(seconds) = again else { return words };
    let Ok(mut status) = serde_json::from_slice::<Status>(&words) else { return words };
    let details =
        status.details.get_or_insert_with(|| serde_json::from_value(json!({})).expect("each may be left out"));
    if details.retry_after_seconds == 0 {
        details.retry_after_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    serde_json::to_vec(&status).map_or(words, Bytes::from)
}

/// A refusal of which this is the beginning, in fewer words.
fn abridged(begun: &[u8], status: StatusCode) -> Bytes {
    let text = String::from_utf8_lossy(begun);
    let message = text.split_once(r#""message":"#).map_or(&*text, |(_, message)| message);
    // A string of JSON, of which the end may be missing; and then perhaps one of a character, too.
    let whole = serde_json::Deserializer::from_str(message).into_iter::<String>().next().and_then(Result::ok);
    let cut = |less| serde_json::from_str::<String>(&format!("{}\"", beginning(message, LONGEST_WORDS - less))).ok();
    let words = whole.or_else(|| (0..LONGEST_ESCAPE).find_map(cut)).unwrap_or_else(|| message.to_owned());
    let words = words::cut(words, LONGEST_WORDS);
    let refusal =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": words, "code": status.as_u16()});
    refusal.to_string().into()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::api_server::error::Doing;

    #[tokio::test]
    async fn of_all_that_is_wrong_with_a_template_no_more_is_read_than_somebody_would_read() {
        let heard = async |said: String, code: u16| {
            let answer = Response::builder().status(code).body(Full::new(Bytes::from(said))).expect("an answer");
            let body = read(answer, Reading::Until(Instant::now() + REQUEST)).into_body();
            body.collect().await.expect("it is read").to_bytes()
        };
        // As the API server writes it.
        let refusal = |words: &str| {
            let words = json!(words);
            format!(
                r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{words},"reason":"Invalid","details":{{"causes":[{{"message":{words}}}]}},"code":422}}"#
            )
        };
        for wrong in ["env[7].name: \"=x\" is no name; ", "é", "\u{1}", "😀\\"] {
            let words = wrong.repeat(1_000_000);
            let answer = heard(refusal(&words), 422).await;
            assert!(answer.len() < 2 * LARGEST_REFUSAL, "{} bytes", answer.len());
            let status: Status = serde_json::from_slice(&answer).expect("it is one still");
            assert_eq!(status.code, 422);
            let length = status.message.len();
            assert!((LONGEST_WORDS / 8..=LONGEST_WORDS).contains(&length), "{length}");
            assert!(words.starts_with(status.message.trim_end_matches('…')), "its own words");
        }
        let status: Status =
            serde_json::from_slice(&heard("<html>".repeat(1_000_000), 502).await).expect("one of a proxy's words");
        assert!(status.message.starts_with("<html>") && status.code == 502);
        let usual = refusal("no");
        assert_eq!(heard(usual.clone(), 422).await, usual);
        assert_eq!(heard("x".repeat(1_000_000), 200).await.len(), 1_000_000, "what is no refusal");
    }

    #[tokio::test]
    async fn when_to_ask_again_is_heard_of_a_header_too_and_what_is_no_status_is_left_as_it_is() {
        let heard = async |said: String| {
            let answer = Response::builder().status(429).header(header::RETRY_AFTER, "5");
            let answer = answer.body(Full::new(Bytes::from(said))).expect("an answer");
            let body = read(answer, Reading::Until(Instant::now() + REQUEST)).into_body();
            body.collect().await.expect("it is read").to_bytes()
        };
        let status = json!({"kind": "Status", "status": "Failure", "message": "later", "reason": "TooManyRequests", "code": 429});
        let mut with_details = status.clone();
        with_details["details"] = json!({"name": "web", "retryAfterSeconds": 7});
        for (said, expected) in [(&status, 5), (&with_details, 7)] {
            let heard: Status = serde_json::from_slice(&heard(said.to_string()).await).expect("a status");
            assert_eq!(heard.details.map(|details| details.retry_after_seconds), Some(expected));
            assert_eq!((heard.message.as_str(), heard.code, heard.reason.as_str()), ("later", 429, "TooManyRequests"));
        }
        assert_eq!(
            heard("Too many requests, please try again later.".to_owned()).await,
            "Too many requests, please try again later."
        );
    }

    /// Of several webhooks that hang and may be left out, each takes its time, and the API server takes as long as all of them.
    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_is_told_and_an_api_server_that_is_out_of_reach_is_not() {
        let ask = async |is_out_of_reach: bool| {
            let service = service_fn(move |_: Request<Body>| async move {
                if is_out_of_reach {
                    return Err(BoxError::from("connection refused"));
                }
                within(REQUEST, std::future::pending::<Response<Body>>()).await
            });
            let request = Request::get("/version").body(Vec::new()).expect("a request");
            let answer = Client::new(service, "default").request_text(request).await;
            answer.doing(|| "ask".to_owned()).expect_err("there is no answer")
        };
        assert!(ask(false).await.lasts());
        assert!(!ask(true).await.lasts());
    }

    fn asking() -> Asking {
        let leadership = Leadership::undisputed();
        Asking {
            protocol: Protocol::Http2,
            metrics: Metrics::new(Arc::default(), leadership.clone()),
            health: Health::default(),
            leadership,
            respite: Respite::default(),
            base: String::new(),
        }
    }

    /// Pings are the connection's business: they are answered here, and nothing else is.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_does_not_begin_is_given_up_and_one_that_has_begun_goes_on() {
        let watch = || Request::get("/api/v1/services?watch=true").body(Body::empty()).expect("a request");
        let hangs = |_| std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>();
        let began = Instant::now();
        let given_up = timeout(REQUEST * 10, asking().ask(watch(), hangs)).await.expect("it is given up");
        assert!(given_up.is_err_and(|error| error.is::<Unanswered>()) && began.elapsed() <= REQUEST * 2);
        let quiet = |_| async {
            let events = stream::once(async {
                tokio::time::sleep(REQUEST * 3).await;
                Ok::<_, BoxError>(http_body::Frame::data(Bytes::from("late")))
            });
            Ok::<_, BoxError>(Response::new(StreamBody::new(Box::pin(events))))
        };
        let (answer, reading) = asking().ask(watch(), quiet).await.expect("it begins");
        let events = read(answer, reading).into_body();
        assert_eq!(events.collect().await.expect("it goes on").to_bytes(), "late");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_told_to_come_back_later_asks_nothing_before_and_no_later_than_that() {
        const SECONDS: u64 = 3;
        let asking = asking();
        let ask = async |code: u16| {
            let request = Request::get("/api/v1/services").body(Body::empty()).expect("a request");
            let answer = asking.clone().ask(request, |_| {
                let says = Response::builder().status(code).header(header::RETRY_AFTER, SECONDS);
                std::future::ready(Ok::<_, BoxError>(says.body(Full::new(Bytes::new())).expect("an answer")))
            });
            answer.await.expect("it answers");
            Instant::now()
        };
        let told = ask(429).await;
        let waited = ask(200).await - told;
        let respite = Duration::from_secs(SECONDS);
        assert!((respite..respite * 2).contains(&waited), "{waited:?}");
        assert!(ask(200).await - told < respite * 2, "it is over");
    }

    #[test]
    fn a_write_is_known_by_its_namespace_whatever_the_object_is_called() {
        let rollout = "/apis/greenlight.dev/v1alpha1/namespaces/shop/bluegreenrollouts/namespaces/status";
        assert_eq!([rollout, "/api/v1/namespaces/bank/services/web", "/version"].map(namespace), ["shop", "bank", ""]);
    }

    #[tokio::test]
    async fn a_server_that_has_too_much_to_do_is_left_alone_and_an_eviction_that_is_refused_holds_up_nobody() {
        let answer = |code: u16, content_type: &str| {
            let answer = Response::builder().status(code).header(header::CONTENT_TYPE, content_type);
            answer.header(header::RETRY_AFTER, "3600").body(()).expect("an answer")
        };
        let until = |kind, answer: Response<()>| {
            let respite = Respite::default();
            respite.read(kind, &answer);
            *respite.0.lock().expect("no panic while locked")
        };
        let (json, text) = ("application/json", "text/plain; charset=utf-8");
        for (kind, code, content_type) in [(Kind::Write, 429, text), (Kind::Read, 429, json), (Kind::List, 503, json)] {
            let until = until(kind, answer(code, content_type)).expect("it is asked for");
            assert!(until <= Instant::now() + LONGEST_RESPITE, "whatever it says");
        }
        for (kind, code, content_type) in [(Kind::Write, 429, json), (Kind::Write, 403, text), (Kind::Read, 200, text)]
        {
            assert_eq!(until(kind, answer(code, content_type)), None);
        }
    }
}

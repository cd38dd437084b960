//! The way of one operator to the API server, in bad weather. It speaks HTTP/2 over TLS, as an API server does, so that pings are
//! answered whatever else is not.
//!
//! A write that has arrived here goes on, whatever becomes of whoever sent it: it may come to the server when its sender has long
//! been killed, or leads no more.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use futures::{StreamExt, stream};
use greenlight_e2e::tls_server;
use greenlight_test_cluster::Cluster;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::Client;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

use crate::weather::{Fault, WatchEnd, WatchFate, Weather};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// So many old events may come again.
const REMEMBERED: usize = 8;

/// A proxy for one operator.
pub struct StormProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    who: String,
    weather: Arc<Weather>,
    client: Client,
    /// Nothing goes through in either direction, and pings are answered.
    silent: watch::Sender<bool>,
    /// There is no connection, and no new one.
    cut: watch::Sender<bool>,
    /// Nothing that concerns the lease goes through.
    no_lease: AtomicBool,
    /// When this comes to zero, the operator gets no answer any more.
    dies_in: AtomicU64,
    dying: Notify,
    dead: AtomicBool,
}

/// What a request is about.
#[derive(Clone)]
struct Call {
    method: Method,
    path: String,
    namespace: String,
    is_watch: bool,
    is_lease: bool,
}

impl Call {
    fn of<B>(request: &Request<B>) -> Call {
        let path = request.uri().path().to_owned();
        let mut segments = path.split('/').skip_while(|segment| *segment != "namespaces").skip(1);
        let namespace = segments.next().unwrap_or_default().to_owned();
        let is_lease = segments.next() == Some("leases");
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        Call { method: request.method().clone(), path, namespace, is_watch, is_lease }
    }

    fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// `PATCH services/web-active`.
    fn words(&self) -> String {
        let after = format!("/namespaces/{}/", self.namespace);
        let what = self.path.split_once(&after).map_or(self.path.as_str(), |(_, what)| what);
        format!("{} {what}", self.method)
    }
}

/// What the server answered.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    content_type: Option<header::HeaderValue>,
    body: Bytes,
}

impl StormProxy {
    /// Starts on a free port.
    pub async fn start(who: &str, weather: Arc<Weather>) -> Result<StormProxy> {
        let shared = Arc::new(Shared {
            who: who.to_owned(),
            weather,
            client: Cluster::client_of(&greenlight_e2e::operator_kubeconfig()).await?,
            silent: watch::channel(false).0,
            cut: watch::channel(false).0,
            no_lease: AtomicBool::new(false),
            dies_in: AtomicU64::new(u64::MAX),
            dying: Notify::new(),
            dead: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tls = TlsAcceptor::from(Arc::new(tls_server()?.0));
        let accepting = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), accepting.clone()));
            }
        });
        Ok(StormProxy { shared, address, task })
    }

    /// A kubeconfig that leads through it.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let path = greenlight_e2e::cluster().dir().join(format!("{}.storm-kubeconfig", self.shared.who));
        std::fs::write(
            &path,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: storm\n\
                 clusters: [{{name: storm, cluster: {{server: \"https://{}\", insecure-skip-tls-verify: true}}}}]\n\
                 users: [{{name: nobody, user: {{}}}}]\n\
                 contexts: [{{name: storm, context: {{cluster: storm, user: nobody}}}}]\n",
                self.address
            ),
        )?;
        Ok(path)
    }

    /// Nothing goes through any more, or everything that waits does.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// All connections end, and there are no new ones, until they may be made again.
    pub fn cut(&self, cut: bool) {
        self.shared.cut.send_replace(cut);
    }

    /// Nothing about the lease goes through.
    pub fn withhold_lease(&self, withheld: bool) {
        self.shared.no_lease.store(withheld, Ordering::SeqCst);
    }

    /// After so many more writes of the operator it gets no answer; waits for that. Whoever calls this kills it then.
    pub async fn dies_after(&self, writes: u64) {
        self.shared.dies_in.store(writes.max(1), Ordering::SeqCst);
        self.shared.dying.notified().await;
    }

    /// The next operator is answered.
    pub fn revive(&self) {
        self.shared.dies_in.store(u64::MAX, Ordering::SeqCst);
        self.shared.dead.store(false, Ordering::SeqCst);
    }
}

impl Drop for StormProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut cut = shared.cut.subscribe();
    if *cut.borrow() {
        return;
    }
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| pass(shared.clone(), request));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_concurrent_streams(100);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = cut.wait_for(|cut| *cut) => {}
        _ = serving => {}
    }
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Error> {
    let call = Call::of(&request);
    if call.is_watch {
        return follow(shared, call, request).await;
    }
    let (parts, body) = request.into_parts();
    let parts = to_the_server(parts)?;
    let body = body.collect().await?.to_bytes();
    let is_write = call.is_write();
    let carried = carry(shared, call, parts, body);
    // What was sent is under way, whoever waits for the answer.
    if is_write { tokio::spawn(carried).await? } else { carried.await }
}

async fn carry(
    shared: Arc<Shared>,
    call: Call,
    parts: http::request::Parts,
    body: Bytes,
) -> Result<Response<Body>, Error> {
    let weather = &shared.weather;
    let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
    if call.is_lease && shared.no_lease.load(Ordering::SeqCst) {
        weather.count("lease withheld");
        return Err("the lease is out of reach".into());
    }
    let fault = weather.of_request(&call.namespace, call.is_write(), call.is_lease);
    if let Some(fault) = fault {
        weather.count(&fault.kind());
    }
    match fault {
        Some(Fault::LostBefore) => {
            note(&shared, &call, "is lost before the server");
            return Err("the stream broke off".into());
        }
        Some(Fault::Refused(code)) => {
            note(&shared, &call, &format!("is answered {code}, and never reaches the server"));
            return Ok(refusal(code));
        }
        Some(Fault::LateRequest(late)) => {
            note(&shared, &call, &format!("is under way for {:.1} s", late.as_secs_f64()));
            sleep(late).await;
        }
        _ => {}
    }
    let first = send(&shared, &call, &parts, &body);
    let mut answer = match fault {
        Some(Fault::Twice) => {
            let (first, second) = tokio::join!(first, send(&shared, &call, &parts, &body));
            drop(first);
            note(&shared, &call, "arrived twice");
            second?
        }
        _ => first.await?,
    };
    if call.is_write()
        && shared.dies_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
    {
        note(&shared, &call, "is the last that the operator does: it dies before the answer");
        shared.dead.store(true, Ordering::SeqCst);
        shared.dying.notify_one();
    }
    if shared.dead.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    match fault {
        Some(Fault::LostAfter) => {
            note(&shared, &call, "was done, and the answer is lost");
            return Err("the stream broke off".into());
        }
        Some(Fault::LateAnswer(late)) => {
            note(&shared, &call, &format!("is answered {:.1} s late", late.as_secs_f64()));
            sleep(late).await;
        }
        Some(Fault::TimedOutAfter) => {
            note(&shared, &call, "was done, and is answered 504");
            return Ok(refusal(504));
        }
        Some(Fault::Again(later)) => {
            let (shared, call) = (shared.clone(), call.clone());
            tokio::spawn(async move {
                sleep(later).await;
                note(&shared, &call, "arrives again");
                drop(send(&shared, &call, &parts, &body).await);
            });
        }
        _ => {}
    }
    let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type.take() {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    Ok(response.body(full(answer.body))?)
}

/// The request as the client to the server takes it, which speaks HTTP/1.1 and knows where to go.
fn to_the_server(mut parts: http::request::Parts) -> Result<http::request::Parts, Error> {
    parts.headers.remove(header::HOST);
    parts.version = http::Version::HTTP_11;
    parts.uri = parts.uri.path_and_query().ok_or("a path")?.as_str().parse()?;
    Ok(parts)
}

/// That happens when the API server itself is hit.
fn out_of_reach(shared: &Shared, error: &kube::Error) {
    shared.weather.count("API server out of reach");
    shared.weather.note("", &shared.who, format!("the API server is out of reach: {error:?}"));
}

/// Asks the API server.
async fn send(shared: &Shared, call: &Call, parts: &http::request::Parts, body: &Bytes) -> Result<Answer, Error> {
    let request = Request::from_parts(parts.clone(), kube::client::Body::from(body.to_vec()));
    let response = shared.client.send(request).await.inspect_err(|error| out_of_reach(shared, error))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    if call.is_write() {
        if !call.is_lease {
            note(shared, call, head.status.as_str());
        }
        shared.weather.written(&call.namespace);
    }
    Ok(Answer { status: head.status, content_type: head.headers.get(header::CONTENT_TYPE).cloned(), body })
}

fn note(shared: &Shared, call: &Call, what: &str) {
    shared.weather.note(&call.namespace, &shared.who, format!("{} {what}", call.words()));
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An error in the API server's form.
fn status(code: u16) -> Bytes {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
        "message": format!("the storm says {code}"),
    });
    status.to_string().into()
}

fn refusal(code: u16) -> Response<Body> {
    let response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    let response = if code == 429 { response.header(header::RETRY_AFTER, "1") } else { response };
    response.body(full(status(code))).expect("a response")
}

/// Begins a watch.
async fn follow(shared: Arc<Shared>, call: Call, request: Request<Incoming>) -> Result<Response<Body>, Error> {
    let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
    let fate = shared.weather.of_watch();
    if let Some(code) = fate.refused {
        shared.weather.count(&format!("watch answered {code}"));
        return Ok(refusal(code));
    }
    let parts = to_the_server(request.into_parts().0)?;
    let request = Request::from_parts(parts, kube::client::Body::from(Vec::new()));
    let response = shared.client.send(request).await.inspect_err(|error| out_of_reach(&shared, error))?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let body = body.collect().await?.to_bytes();
        return Ok(Response::builder()
            .status(head.status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(full(body))?);
    }
    let (lines, arrived) = mpsc::unbounded_channel();
    tokio::spawn(read_lines(body, lines));
    let (client, events) = mpsc::channel(64);
    let resource = call.path.rsplit('/').next().unwrap_or_default().to_owned();
    tokio::spawn(deliver(shared, resource, fate, arrived, client));
    let events = stream::unfold(events, |mut events| async { events.recv().await.map(|event| (event, events)) });
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(BodyExt::boxed_unsync(StreamBody::new(events.boxed())))?)
}

/// Cuts the answer to a watch into its events, each with when it came.
async fn read_lines(mut body: kube::client::Body, lines: mpsc::UnboundedSender<(Instant, Bytes)>) {
    let mut rest = Vec::new();
    loop {
        let frame = tokio::select! {
            () = lines.closed() => return,
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else { return };
        let Ok(data) = frame.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if lines.send((Instant::now(), line.into())).is_err() {
                return;
            }
        }
    }
}

/// Passes events on, in their order, at the age of this watch; some come again; and it ends before its time.
async fn deliver(
    shared: Arc<Shared>,
    resource: String,
    mut fate: WatchFate,
    mut arrived: mpsc::UnboundedReceiver<(Instant, Bytes)>,
    client: mpsc::Sender<Result<Frame<Bytes>, Error>>,
) {
    let weather = &shared.weather;
    let mut seen: VecDeque<Bytes> = VecDeque::new();
    let began = Instant::now();
    if fate.age.as_millis() > 100 && weather.storms() {
        weather.count("watch that lags");
    }
    loop {
        let ends_at =
            fate.end.map_or_else(|| Instant::now() + std::time::Duration::from_secs(3600), |(after, _)| began + after);
        let (at, line) = tokio::select! {
            biased;
            () = client.closed() => return,
            () = sleep_until(ends_at) => {
                let Some((_, end)) = fate.end.take() else { continue };
                if weather.storms() && ended(&shared, &resource, end, &client).await {
                    return;
                }
                continue;
            }
            line = arrived.recv() => match line {
                Some(line) => line,
                None => return,
            },
        };
        if weather.storms() {
            tokio::select! {
                () = sleep_until(at + fate.age) => {}
                () = weather.over() => {}
            }
        }
        let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
        if client.send(Ok(Frame::data(line.clone()))).await.is_err() {
            return;
        }
        if line.windows(10).any(|part| part == b"\"BOOKMARK\"") {
            continue;
        }
        seen.push_back(line);
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
        if weather.storms() && fate.dice.chance(fate.replays) {
            weather.count("old events again");
            let from = usize::try_from(fate.dice.below(seen.len() as u64)).unwrap_or(0);
            for old in seen.iter().skip(from) {
                if client.send(Ok(Frame::data(old.clone()))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Ends a watch. Returns whether it is over.
async fn ended(
    shared: &Shared,
    resource: &str,
    end: WatchEnd,
    client: &mpsc::Sender<Result<Frame<Bytes>, Error>>,
) -> bool {
    let weather = &shared.weather;
    weather.count(match end {
        WatchEnd::Closed => "watch closed",
        WatchEnd::Broken => "watch broken off",
        WatchEnd::Gone => "watch says 410",
        WatchEnd::Frozen => "watch frozen",
    });
    weather.note("", &shared.who, format!("the watch of {resource}: {end:?}"));
    match end {
        WatchEnd::Closed => {}
        WatchEnd::Broken => drop(client.send(Err("the stream broke off".into())).await),
        WatchEnd::Gone => {
            let status: serde_json::Value = serde_json::from_slice(&status(410)).expect("JSON");
            let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
            drop(client.send(Ok(Frame::data(line.into()))).await);
        }
        WatchEnd::Frozen if weather.lingers => client.closed().await,
        WatchEnd::Frozen => tokio::select! {
            () = client.closed() => {}
            () = weather.over() => {}
        },
    }
    true
}

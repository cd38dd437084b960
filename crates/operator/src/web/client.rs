//! Asking web servers (for analyses, and to notify), with a bound on time and size.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use axum::body::Bytes;
use greenlight_api::analysis::{Header, WebMethod};
use http::header::RETRY_AFTER;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use jiff::Timestamp;
use kube::Config;
use kube::client::ConfigExt;
use tokio::task::JoinSet;
use tower::BoxError;

use crate::api_server::error::in_full;
use crate::api_server::leadership::Leadership;
use crate::web::reach::{ASKS_FOR, Reach, Resolver};

/// An answer is not read beyond this.
const LARGEST_ANSWER: usize = 256 << 10;

type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub code: u16,
    /// Its body.
    pub body: String,
    /// How long to wait before asking again, if it says so.
    pub retry_after: Option<Duration>,
}

/// The way to web servers: one that checks certificates by the system's authorities, one that does not check. Each is made when
/// it is first asked: the authorities alone take a megabyte, and most operators never ask anybody.
#[derive(Clone)]
pub struct WebClient {
    connectors: Arc<Connectors>,
    leadership: Leadership,
    /// Whose analyses ask.
    namespace: Arc<str>,
    reach: Arc<Reach>,
}

#[derive(Default)]
struct Connectors {
    secure: OnceLock<Connector>,
    insecure: OnceLock<Connector>,
}

/// What goes on on a connection beside its question, and ends with it: a server that takes nothing any more would keep it for ever.
#[derive(Clone)]
struct Beside(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Beside {
    fn execute(&self, work: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.lock().expect("no panic while locked").spawn(async { drop(work.await) });
        }
    }
}

/// A question.
#[derive(Debug)]
pub struct Question<'a> {
    /// How.
    pub method: WebMethod,
    /// Where.
    pub url: &'a str,
    /// Where, as a message may say it: without secrets.
    pub shown: &'a str,
    /// Headers.
    pub headers: &'a [Header],
    /// Body.
    pub body: String,
    /// Do not check the server's certificate.
    pub insecure: bool,
    /// How long to wait.
    pub timeout: Duration,
    /// Whether the body of the answer is read. Without it the code is all that is waited for.
    pub reads: bool,
}

impl Default for WebClient {
    fn default() -> Self {
        WebClient {
            connectors: Arc::default(),
            leadership: Leadership::undisputed(),
            namespace: "".into(),
            reach: Arc::new(Reach::Anywhere),
        }
    }
}

/// An answer takes no longer, whatever the question says: others wait for their turn.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl WebClient {
    /// One for analyses: it goes only where it may, and questions that may change something (all but GET) are only asked while this
    /// instance leads.
    pub fn for_analyses(leadership: Leadership, reach: Reach) -> WebClient {
        WebClient { connectors: Arc::default(), leadership, namespace: "".into(), reach: Arc::new(reach) }
    }

    /// The same, for analyses of this namespace.
    pub fn of_namespace(&self, namespace: &str) -> WebClient {
        WebClient { namespace: namespace.into(), ..self.clone() }
    }

    fn connector(&self, insecure: bool) -> Result<&Connector, String> {
        let made = if insecure { &self.connectors.insecure } else { &self.connectors.secure };
        if let Some(connector) = made.get() {
            return Ok(connector);
        }
        // The TLS settings of kube's client: the system's authorities, the same cryptography.
        let mut config = Config::new(Uri::from_static("https://localhost"));
        config.accept_invalid_certs = insecure;
        let tls = config.rustls_client_config().map_err(|error| in_full(&error))?;
        let mut http = HttpConnector::new_with_resolver(Resolver::new(self.reach.clone()));
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(made.get_or_init(|| connector))
    }

    /// Asks, and returns the answer.
    pub async fn ask(&self, question: &Question<'_>) -> Result<Answer, String> {
        let method = match question.method {
            WebMethod::Get => "GET",
            WebMethod::Post => "POST",
            WebMethod::Put => "PUT",
        };
        let mut request = Request::builder().method(method).uri(question.url);
        request = request.header(http::header::USER_AGENT, crate::api_server::client::USER_AGENT);
        for header in question.headers {
            request = request.header(&header.key, &header.value);
        }
        let request = request.body(Full::new(Bytes::from(question.body.clone())));
        let request = request.map_err(|error| format!("{} is not a request: {error}", question.shown))?;
        // A name is looked at when it is resolved; an address is not resolved.
        let host = request.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            self.reach.check(address)?;
        } else if matches!(*self.reach, Reach::Nowhere) {
            self.reach.check(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
        }
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        // Whoever writes analyses names as many servers as they like: none of the connections is kept.
        let mut client = Client::builder(Beside(Arc::downgrade(&tasks)));
        let client = client.pool_max_idle_per_host(0).build(self.connector(question.insecure)?.clone());
        let answer = async {
            let response = client.request(request).await;
            let response = response.map_err(|error| format!("does not answer: {}", in_full(&error)))?;
            let code = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| seconds(value.to_str().ok()?));
            if !question.reads {
                return Ok(Answer { code, body: String::new(), retry_after });
            }
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let why = |error: BoxError| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => format!("answers with more than {} KiB. Ask for less", LARGEST_ANSWER >> 10),
                None => format!("breaks its answer off: {error}"),
            };
            let body = body.map_err(why)?.to_bytes();
            Ok(Answer { code, body: String::from_utf8_lossy(&body).into_owned(), retry_after })
        };
        let patience = question.timeout.min(LONGEST_WAIT);
        let answer = tokio::time::timeout(patience, ASKS_FOR.scope(self.namespace.clone(), answer));
        let answer = match question.method {
            WebMethod::Get => answer.await,
            WebMethod::Post | WebMethod::Put => {
                self.leadership.guard(&self.namespace, answer).await.map_err(|error| error.to_string())?
            }
        };
        match answer {
            Ok(answer) => answer.map_err(|error: String| format!("{} {error}", question.shown)),
            Err(_) => Err(format!("{} has not answered within {} s", question.shown, patience.as_secs())),
        }
    }
}

/// Seconds, or a date as HTTP writes it.
fn seconds(retry_after: &str) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(retry_after).ok()?.timestamp();
    Duration::try_from(date.duration_since(Timestamp::now())).ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn question(url: &str) -> Question<'_> {
        Question {
            method: WebMethod::Get,
            url,
            shown: url,
            headers: &[],
            body: String::new(),
            insecure: false,
            timeout: LONGEST_WAIT,
            reads: true,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_connection_is_kept_after_its_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).await.expect("a question") > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("answered");
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut asked)).await
        });
        let client = WebClient::default();
        assert_eq!(client.ask(&question(&url)).await.expect("an answer").body, "ok");
        let ended = server.await.expect("it ends");
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "it is kept: {ended:?}");
    }

    /// What comes of a question to a server that answers so, once, and is gone then.
    async fn answered(answer: Vec<u8>) -> Result<Answer, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            drop(listener);
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).await.expect("a question") > 0);
            // Whoever has read enough hangs up.
            drop(stream.write_all(&answer).await);
            drop(stream.read(&mut asked).await);
        });
        let answer = WebClient::default().ask(&question(&url)).await;
        server.await.expect("it ends");
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_redirection_is_an_answer_and_is_not_followed() {
        let found = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answered(found.to_vec()).await.map(|answer| answer.code), Ok(302));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_not_read_beyond_256_kib() {
        let of = |length: usize| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            answered([head.into_bytes(), vec![b'x'; length]].concat())
        };
        assert_eq!(of(LARGEST_ANSWER).await.map(|answer| answer.body.len()), Ok(LARGEST_ANSWER));
        let refused = of(LARGEST_ANSWER + 1).await.expect_err("too large");
        assert!(refused.ends_with("answers with more than 256 KiB. Ask for less"), "{refused}");
    }

    /// Whatever a metric says. By a clock of its own: nobody waits for that minute.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_a_minute_for_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let question = Question { timeout: Duration::from_secs(3600), ..question(&url) };
        let refused = WebClient::default().ask(&question).await.expect_err("nobody answers");
        assert!(refused.ends_with("has not answered within 60 s"), "{refused}");
    }

    /// A POST may restart something, say, and whoever leads by now asks the same.
    #[tokio::test]
    async fn what_may_change_something_is_asked_by_who_leads_and_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let (_terms, leadership) = Leadership::by_terms(1);
        let client = WebClient::for_analyses(leadership, Reach::Anywhere);
        for method in [WebMethod::Post, WebMethod::Put] {
            let question = Question { method, timeout: Duration::from_millis(200), ..question(&url) };
            client.ask(&question).await.expect_err("it does not lead");
        }
        let asked = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(asked.is_err(), "it was asked all the same");
    }

    /// A frame of HTTP/2, on the connection as a whole.
    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, 0, 0, 0, 0, 0], payload].concat()
    }

    /// Speaks HTTP/2 for as long as it can be heard: settings, and then pings, whose answers it does not read.
    async fn pings_and_does_not_read(listener: TcpListener) -> std::io::Result<()> {
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("there are some").with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.cert.der().clone()], key).expect("a configuration");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        stream.write_all(&frame(4, &[])).await?;
        loop {
            stream.write_all(&frame(6, &[0; 8]).repeat(100)).await?;
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_question_to_a_server_that_takes_nothing_any_more() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let listener = socket.listen(1).expect("listening").into_std().expect("a listener");
        let url = format!("https://{}/", listener.local_addr().expect("an address"));
        // In a runtime of its own: what is alive in this one is the client's.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let serve = async { pings_and_does_not_read(TcpListener::from_std(listener)?).await };
            drop(runtime.block_on(serve));
        });
        let question = Question { insecure: true, timeout: Duration::from_secs(3), ..question(&url) };
        let refused = WebClient::default().ask(&question).await.expect_err("there is no answer");
        assert!(refused.contains("has not answered within 3 s"), "{refused}");
        // What was told to end does so when it has its turn.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    }

    #[test]
    fn a_server_says_how_long_to_wait_in_seconds_or_by_a_date() {
        assert_eq!(seconds("30"), Some(Duration::from_secs(30)));
        assert_eq!(seconds("soon"), None);
        let date = |text| seconds(text).map(|wait| wait > Duration::from_secs(3600));
        assert_eq!(date("Fri, 31 Dec 2100 23:59:59 GMT"), Some(true));
        assert_eq!(date("Fri, 31 Dec 1999 23:59:59 GMT"), None, "it is over");
    }
}

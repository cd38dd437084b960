//! Plain HTTP: a server to be measured by an analysis, a question to the operator, and requests that no browser makes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use tokio::net::TcpListener;

/// A web server whose answer can be changed, and which counts the questions.
pub struct Web {
    url: String,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    answer: String,
    questions: usize,
    /// The header `x-token` of the last question.
    token: String,
}

impl Web {
    /// Starts one with this answer; it ends when it is dropped.
    pub async fn start(answer: &str) -> Web {
        let shared = Shared { answer: answer.to_owned(), questions: 0, token: String::new() };
        let shared = Arc::new(Mutex::new(shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer = |State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap| async move {
            let mut shared = shared.lock().expect("no panic while locked");
            shared.questions += 1;
            shared.token = headers.get("x-token").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            shared.answer.clone()
        };
        let app = Router::new().fallback(get(answer)).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Web { url, shared, task }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers this from now on.
    pub fn answer(&self, answer: &str) {
        self.shared().answer = answer.to_owned();
    }

    /// How often it was asked.
    pub fn questions(&self) -> usize {
        self.shared().questions
    }

    /// The header `x-token` of the last question.
    pub fn token(&self) -> String {
        self.shared().token.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no panic while locked")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The body of an answer.
///
/// # Errors
/// Nobody answers there.
pub fn http_get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// An answer to a request that no browser made.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Sends a request that no browser would, byte for byte as given.
///
/// # Panics
/// Nobody listens there.
pub fn http(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let mut part = [0; 16384];
    // Not every server closes the connection because it is asked to.
    while !is_whole(&answer) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&part[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Whether an answer that says how long it is has come.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

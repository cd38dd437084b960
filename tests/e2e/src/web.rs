//! Plain HTTP on loopback: a server to be measured by an analysis, and a question to the operator.

use std::sync::{Arc, Mutex, MutexGuard};

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
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

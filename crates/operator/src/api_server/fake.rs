//! An API server for tests: a function that answers.

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

/// What it is asked.
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// What is behind the path.
    pub query: String,
    /// The body; null if there is none.
    pub body: Value,
}

/// A client of one that answers so: by a status code, and by JSON.
pub fn api_server<A: Future<Output = (u16, Value)> + Send + 'static>(
    answer: impl Fn(Asked) -> A + Clone + Send + 'static,
) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
            let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
            let answer = answer(Asked { method: head.method, path, query, body });
            let (code, answer) = answer.await;
            let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, BoxError>(answer.expect("a response"))
        }
    });
    Client::new(service, "default")
}

/// How it says no.
pub fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "reason": reason, "message": reason, "code": code}))
}

//! An API server for tests: a function that answers.

use std::sync::{Arc, Mutex};

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

/// How it takes an event.
pub fn event_written() -> (u16, Value) {
    (200, json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "eventTime": null}))
}

/// The paths that one was asked for.
#[derive(Clone, Default)]
pub struct Paths(Arc<Mutex<Vec<String>>>);

impl Paths {
    /// How many of them are in this namespace.
    pub fn in_namespace(&self, namespace: &str) -> usize {
        let paths = self.0.lock().expect("no panic while locked");
        paths.iter().filter(|path| path.contains(&format!("/{namespace}/"))).count()
    }
}

/// A client of one that takes events, but never answers in namespaces whose name begins with `hangs`; and what it is asked for.
pub fn takes_events_or_hangs() -> (Client, Paths) {
    let paths = Paths::default();
    let seen = paths.clone();
    let client = api_server(move |Asked { path, .. }| {
        seen.0.lock().expect("no panic while locked").push(path.clone());
        async move {
            if path.contains("/hangs") {
                std::future::pending::<()>().await;
            }
            event_written()
        }
    });
    (client, paths)
}

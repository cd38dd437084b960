//! An API server for tests: a function that answers.

use greenlight_overview::{Flags, Session};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

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

impl Asked {
    /// Whether it is to tell what changes from now on.
    pub fn is_watch(&self) -> bool {
        self.query.contains("watch=")
    }
}

/// A client of one that answers so: by a status code, and by JSON.
pub fn api_server<A: Future<Output = (u16, Value)> + Send + 'static>(
    answer: impl Fn(Asked) -> A + Clone + Send + 'static,
) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.expect("a body");
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
            let (code, answer) = answer(Asked { method: head.method, path, query, body }).await;
            let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, std::io::Error>(answer.expect("a response"))
        }
    });
    Client::new(service, "shop")
}

/// One that asks it, in the namespace `shop`.
pub fn session(client: Client) -> Session {
    Session { client, namespace: "shop".to_owned(), flags: Flags::default(), cluster: "prod".to_owned() }
}

/// How it says no.
pub fn failure(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "reason": "", "message": message, "code": code}))
}

/// How it lists nothing.
pub fn nothing() -> (u16, Value) {
    (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}))
}

/// How it says whether somebody may do something.
pub fn allowed(allowed: bool) -> (u16, Value) {
    (201, json!({"spec": {}, "status": {"allowed": allowed}}))
}

/// Rollout `web` in namespace `shop`, with this strategy and this status.
pub fn rollout(blue_green: Value, status: Value) -> Value {
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "1", "generation": 1},
        "spec": {"selector": {}, "strategy": {"blueGreen": blue_green}}, "status": status,
    })
}

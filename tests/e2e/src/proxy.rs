//! A door to the API server that can be shut after any write.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use greenlight_test_cluster::Cluster;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

/// A write, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Write {
    /// Counted from 1.
    pub number: usize,
    /// The method: `PATCH`, `POST`, `DELETE`.
    pub method: String,
    /// The path of its URL.
    pub path: String,
}

impl Write {
    /// What is written, without the names that differ from run to run: `PATCH services/web-active`, `PATCH replicasets`,
    /// `POST pods/eviction`.
    pub fn kind(&self) -> String {
        let segments: Vec<&str> = self.path.split('/').collect();
        let after = segments.iter().position(|segment| *segment == "namespaces").map_or(0, |at| at + 2);
        let what = match segments.get(after..) {
            Some(["services", name]) => format!("services/{name}"),
            Some([resource, _, subresource]) => format!("{resource}/{subresource}"),
            Some([resource, ..]) => (*resource).to_owned(),
            _ => self.path.clone(),
        };
        format!("{} {what}", self.method)
    }
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Passed,
    /// The server does it, but whoever asked will never know.
    Unanswered,
    /// The server does it, and the answer is lost on the way: whoever asked sees an error, and may ask again.
    Broken,
    /// It never reaches the server; the answer is that somebody else has written.
    Conflicting,
    /// It never reaches the server, and is not answered either.
    Lost,
    /// It reaches the server only when [`WriteCountingProxy::release`] is called: whoever asked fell asleep on it.
    Held,
}

type FateOf = Box<dyn Fn(&Write) -> Fate + Send + Sync>;

/// Passes requests on to the API server and counts the writes. Some of them get no answer; see [`Fate`].
pub struct WriteCountingProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: Client,
    writes: Mutex<Vec<Write>>,
    fate: FateOf,
    withheld: Notify,
    released: Semaphore,
}

impl WriteCountingProxy {
    /// Starts on a free port; withholds the answers to these writes.
    pub async fn start(withhold: impl Fn(&Write) -> bool + Send + Sync + 'static) -> Result<WriteCountingProxy> {
        let fate = move |write: &Write| if withhold(write) { Fate::Unanswered } else { Fate::Passed };
        WriteCountingProxy::start_with(fate).await
    }

    /// Starts on a free port; this says what becomes of each write.
    pub async fn start_with(fate: impl Fn(&Write) -> Fate + Send + Sync + 'static) -> Result<WriteCountingProxy> {
        let fate = Box::new(fate);
        let client = Cluster::client_of(&crate::operator_kubeconfig()).await?;
        let shared = Arc::new(Shared {
            client,
            writes: Mutex::default(),
            fate,
            withheld: Notify::new(),
            released: Semaphore::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(pass).with_state(shared.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(WriteCountingProxy { shared, address, task })
    }

    /// A kubeconfig that leads through it.
    pub fn kubeconfig(&self, name: &str) -> Result<PathBuf> {
        let path = crate::cluster().dir().join(format!("{name}.proxy-kubeconfig"));
        std::fs::write(
            &path,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
                 clusters: [{{name: proxy, cluster: {{server: \"http://{}\"}}}}]\n\
                 users: [{{name: nobody, user: {{}}}}]\n\
                 contexts: [{{name: proxy, context: {{cluster: proxy, user: nobody}}}}]\n",
                self.address
            ),
        )?;
        Ok(path)
    }

    /// How many writes there were so far.
    pub fn writes(&self) -> usize {
        self.seen().len()
    }

    /// The writes so far.
    pub fn seen(&self) -> Vec<Write> {
        self.shared.writes.lock().expect("no panic while locked").clone()
    }

    /// Lets one write that is held go on.
    pub fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// Waits until an answer was withheld, or a write is held.
    pub async fn withheld(&self) {
        self.shared.withheld.notified().await;
    }
}

impl Drop for WriteCountingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let fate = if matches!(method.as_str(), "GET" | "HEAD") {
        Fate::Passed
    } else {
        let mut writes = shared.writes.lock().expect("no panic while locked");
        let write = Write { number: writes.len() + 1, method, path };
        writes.push(write.clone());
        (shared.fate)(&write)
    };
    match fate {
        Fate::Lost => return no_answer(&shared).await,
        Fate::Conflicting => return conflict(),
        Fate::Held => {
            shared.withheld.notify_one();
            shared.released.acquire().await.expect("it is never closed").forget();
        }
        Fate::Passed | Fate::Unanswered | Fate::Broken => {}
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    let Ok(body) = to_bytes(body, 16 << 20).await else { return http::StatusCode::BAD_REQUEST.into_response() };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let response = match shared.client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => return (http::StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    match fate {
        Fate::Passed | Fate::Held => response,
        Fate::Broken => (http::StatusCode::BAD_GATEWAY, "the connection broke").into_response(),
        Fate::Unanswered | Fate::Lost | Fate::Conflicting => no_answer(&shared).await,
    }
}

fn conflict() -> Response {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "code": 409,
        "message": "the object has been modified; please apply your changes to the latest version and try again",
    });
    (http::StatusCode::CONFLICT, axum::Json(status)).into_response()
}

async fn no_answer(shared: &Shared) -> Response {
    shared.withheld.notify_one();
    std::future::pending().await
}

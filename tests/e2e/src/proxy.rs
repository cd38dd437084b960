//! A door to the API server that can be shut after any write.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A write, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Write {
    /// Counted from 1.
    pub number: usize,
    /// The path of its URL.
    pub path: String,
}

type IsWithheld = Box<dyn Fn(&Write) -> bool + Send + Sync>;

/// Passes requests on to the API server and counts the writes. The answer to some of them is withheld: the server has done it,
/// but whoever asked will never know.
pub struct WriteCountingProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: Client,
    writes: AtomicUsize,
    withhold: IsWithheld,
    withheld: Notify,
}

impl WriteCountingProxy {
    /// Starts on a free port; withholds the answers to these writes.
    pub async fn start(
        client: Client,
        withhold: impl Fn(&Write) -> bool + Send + Sync + 'static,
    ) -> Result<WriteCountingProxy> {
        let withhold = Box::new(withhold);
        let shared = Arc::new(Shared { client, writes: AtomicUsize::new(0), withhold, withheld: Notify::new() });
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

    /// Writes so far.
    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }

    /// Waits until the answer was withheld.
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
    let is_write = !matches!(request.method().as_str(), "GET" | "HEAD");
    let path = request.uri().path().to_owned();
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    let Ok(body) = to_bytes(body, 16 << 20).await else { return http::StatusCode::BAD_REQUEST.into_response() };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let response = match shared.client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => return (http::StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if !is_write {
        return response;
    }
    let number = shared.writes.fetch_add(1, Ordering::SeqCst) + 1;
    if (shared.withhold)(&Write { number, path }) {
        shared.withheld.notify_one();
        std::future::pending::<()>().await;
    }
    response
}

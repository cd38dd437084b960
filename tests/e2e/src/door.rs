//! A door to the API server that counts and may be slow, and behind which some answers are others than the server's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http::StatusCode;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// A request that came through.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Method and address: `GET /api/v1/…?…`.
    pub what: String,
    /// Bytes of the answer; of one that goes on, none.
    pub bytes: usize,
}

/// What is answered to an address instead of what the server would: a status and a body.
type Instead = Box<dyn Fn(&str) -> Option<(u16, String)> + Send + Sync>;

/// Passes requests on as an administrator.
pub struct Door {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    client: Client,
    delay: Duration,
    instead: Instead,
    said: broadcast::Sender<String>,
    passed: Mutex<Vec<Passed>>,
}

impl Door {
    /// As a status: there is no answer, ever.
    pub const SILENCE: u16 = 0;
    /// As a status: the answer is good, and goes on with what is said later, see [`Door::say`].
    pub const GOES_ON: u16 = 1;

    /// Opens one on a free port. Every answer takes so much longer, and some are these.
    ///
    /// # Errors
    /// There is no port, or no cluster.
    pub async fn open(
        delay: Duration,
        instead: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Result<Door> {
        let client = crate::cluster().client().await?;
        let (instead, said) = (Box::new(instead), broadcast::channel(16).0);
        let shared = Arc::new(Shared { client, delay, instead, said, passed: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(pass).with_state(shared.clone());
        let task = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Door { shared, address, task })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says this to everybody whose answer goes on.
    pub fn say(&self, text: &str) {
        // Nobody may listen.
        drop(self.shared.said.send(text.to_owned()));
    }

    /// What came through so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.passed.lock().expect("no panic while locked").clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let uri = request.uri().to_string();
    let what = format!("{} {uri}", request.method());
    tokio::time::sleep(shared.delay).await;
    let count = |bytes| shared.passed.lock().expect("no panic while locked").push(Passed { what: what.clone(), bytes });
    if let Some((status, body)) = (shared.instead)(&uri) {
        if status == Door::SILENCE {
            std::future::pending::<()>().await;
        }
        if status == Door::GOES_ON {
            count(0);
            let later = stream::unfold(shared.said.subscribe(), |mut said| async move {
                let text = said.recv().await.ok()?;
                Some((text, said))
            });
            let told = stream::once(async move { body }).chain(later).map(Ok::<_, Infallible>);
            return Body::from_stream(told).into_response();
        }
        count(body.len());
        return (StatusCode::from_u16(status).expect("a status"), body).into_response();
    }
    let (mut parts, body) = request.into_parts();
    // Who knocks does not matter here.
    parts.headers.remove("host");
    parts.headers.remove("authorization");
    let Ok(body) = to_bytes(body, 16 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let response = match shared.client.send(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if uri.contains("watch=true") {
        count(0);
        return response;
    }
    let (mut head, body) = response.into_parts();
    // It is whole from here on.
    head.headers.remove("transfer-encoding");
    head.headers.remove("content-length");
    let Ok(body) = to_bytes(body, 64 << 20).await else { return StatusCode::BAD_GATEWAY.into_response() };
    count(body.len());
    Response::from_parts(head, Body::from(body))
}

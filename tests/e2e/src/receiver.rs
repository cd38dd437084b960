//! A webhook receiver on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

/// What was received: headers and body.
pub type Received = (HeaderMap, Value);

/// Keeps whatever is posted to it.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    /// How many times it fails before it accepts.
    failures: Arc<Mutex<u32>>,
    /// It asks for time when it fails.
    retry_after: Option<u32>,
}

impl Receiver {
    /// Starts one on loopback that answers so many requests with 503 before it accepts any; it ends with the test.
    pub async fn start(failures: u32) -> Receiver {
        Receiver::start_at("127.0.0.1", failures).await
    }

    /// One that has too much to do so many times (429) and asks for these seconds each time.
    pub async fn start_busy(failures: u32, retry_after: u32) -> Receiver {
        Receiver::start_with("127.0.0.1", failures, Some(retry_after)).await
    }

    /// One that fails so often, on this address.
    pub async fn start_at(address: &str, failures: u32) -> Receiver {
        Receiver::start_with(address, failures, None).await
    }

    async fn start_with(address: &str, failures: u32, retry_after: Option<u32>) -> Receiver {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let receiver =
            Receiver { address, received: Arc::default(), failures: Arc::new(Mutex::new(failures)), retry_after };
        let app = Router::new().route("/", post(accept)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until it received so many.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        for _ in 0..600 {
            let received = self.received.lock().expect("not poisoned").clone();
            if received.len() >= count {
                return received;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {count}: {:?}", self.received.lock());
    }
}

async fn accept(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let mut failures = receiver.failures.lock().expect("not poisoned");
    if *failures > 0 {
        *failures -= 1;
        return match receiver.retry_after {
            Some(seconds) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response(),
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
    }
    let body = serde_json::from_str(&body).expect("JSON");
    receiver.received.lock().expect("not poisoned").push((headers, body));
    StatusCode::NO_CONTENT.into_response()
}

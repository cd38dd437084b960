//! A webhook receiver on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
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
}

impl Receiver {
    /// Starts one on loopback that answers so many requests with 503 before it accepts any; it ends with the test.
    pub async fn start(failures: u32) -> Receiver {
        Receiver::start_at("127.0.0.1", failures).await
    }

    /// The same, on this address.
    pub async fn start_at(address: &str, failures: u32) -> Receiver {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let receiver = Receiver { address, received: Arc::default(), failures: Arc::new(Mutex::new(failures)) };
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

async fn accept(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let mut failures = receiver.failures.lock().expect("not poisoned");
    if *failures > 0 {
        *failures -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let body = serde_json::from_str(&body).expect("JSON");
    receiver.received.lock().expect("not poisoned").push((headers, body));
    StatusCode::NO_CONTENT
}

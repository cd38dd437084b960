//! The example's application: a page that shows its version and colour, and what a well-behaved web server needs in a cluster:
//! health, readiness, metrics, and an end that loses no request. In the operator's binary, so that trying it takes no other image.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PAGE: &str = include_str!("page.html");
/// The body of a slow download.
const CHUNK: Bytes = Bytes::from_static(&[b'.'; 1024]);

/// How the example's application runs.
#[derive(Clone, Debug, Args)]
pub struct DemoAppOptions {
    /// What it calls itself
    #[arg(long, env = "VERSION", default_value = "v1")]
    version: String,
    /// Colour of its page: a CSS name, or #rrggbb
    #[arg(long, env = "COLOUR", default_value = "royalblue", value_parser = colour)]
    colour: String,
    /// Where to listen
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Seconds for which it still serves after SIGTERM, not ready any more, until nobody sends it new requests
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 5)]
    drain_seconds: u64,
    /// Start without being ready; see /fail and /recover
    #[arg(long, env = "UNREADY")]
    unready: bool,
}

fn colour(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('#');
    let hex = digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if hex || name { Ok(text.to_owned()) } else { Err("write a CSS colour: royalblue, seagreen, #1565c0".to_owned()) }
}

struct App {
    options: DemoAppOptions,
    pod: String,
    ready: AtomicBool,
    requests: AtomicU64,
}

/// Serves until SIGTERM or SIGINT; then finishes what it has begun.
pub async fn run(options: DemoAppOptions) -> Result<()> {
    let stop = CancellationToken::new();
    crate::shutdown::stop_on_signal(stop.clone())?;
    let listener = TcpListener::bind(options.listen).await?;
    let drain = Duration::from_secs(options.drain_seconds);
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "this machine".to_owned());
    let ready = AtomicBool::new(!options.unready);
    tracing::info!(version = options.version, address = %listener.local_addr()?, "serving");
    let app = Arc::new(App { options, pod, ready, requests: AtomicU64::new(0) });
    let drained = {
        let app = app.clone();
        async move {
            stop.cancelled().await;
            app.ready.store(false, Ordering::Relaxed);
            tokio::time::sleep(drain).await;
        }
    };
    axum::serve(listener, router(app)).with_graceful_shutdown(drained).await?;
    tracing::info!("stopped");
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    let set_ready = |ready: bool| {
        post(async move |State(app): State<Arc<App>>| {
            app.ready.store(ready, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        })
    };
    Router::new()
        .route("/", get(page))
        .route("/version", get(version))
        .route("/download", get(download))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/fail", set_ready(false))
        .route("/recover", set_ready(true))
        .with_state(app)
}

async fn page(State(app): State<Arc<App>>) -> impl IntoResponse {
    let page = PAGE.replace("{{version}}", &escape(&app.options.version)).replace("{{colour}}", &app.options.colour);
    Html(page.replace("{{pod}}", &escape(&app.pod)))
}

/// A connection that is kept would go on to the old pods after a switch: each answer ends its own.
async fn version(State(app): State<Arc<App>>) -> impl IntoResponse {
    app.requests.fetch_add(1, Ordering::Relaxed);
    let body = json!({"version": app.options.version, "colour": app.options.colour, "pod": app.pod});
    ([(header::CONNECTION, "close"), (header::CACHE_CONTROL, "no-store")], Json(body))
}

#[derive(Deserialize)]
struct Download {
    /// How long it takes, at most an hour.
    #[serde(default = "ten")]
    seconds: u64,
}

fn ten() -> u64 {
    10
}

/// Something that takes long: one that is under way when its pod ends is to arrive whole.
async fn download(Query(download): Query<Download>) -> impl IntoResponse {
    let left = download.seconds.min(3600) * 4;
    let chunks = futures::stream::unfold(left, async |left| {
        let left = left.checked_sub(1)?;
        tokio::time::sleep(Duration::from_millis(250)).await;
        Some((Ok::<_, std::convert::Infallible>(CHUNK), left))
    });
    Body::from_stream(chunks)
}

async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    }
}

async fn metrics(State(app): State<Arc<App>>) -> String {
    let requests = app.requests.load(Ordering::Relaxed);
    let version = app.options.version.replace(['\\', '"', '\n'], "_");
    format!(
        "# HELP demo_app_requests_total Answers of /version.\n# TYPE demo_app_requests_total counter\n\
         demo_app_requests_total{{version=\"{version}\"}} {requests}\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! The connection to the API server: HTTP/2, so that a thousand watches share one connection.
//!
//! `kube`'s own client speaks HTTP/1.1, where each watch is a TCP and TLS connection of its own. With a thousand switches
//! being proven at once that was most of the operator's memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::{HeaderValue, Request, header};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder, service_fn};

use crate::metrics::Metrics;

/// How this operator signs its requests.
pub const USER_AGENT: &str = concat!("greenlight/", env!("CARGO_PKG_VERSION"));
/// A connection that does not answer a ping for so long is dead: a hung watch would otherwise look like a quiet one.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster that KUBECONFIG or the pod's own ServiceAccount leads to.
pub async fn config() -> Result<Config> {
    let mut config = Config::infer().await.context("no cluster: set KUBECONFIG, or run inside a pod")?;
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    Ok(config)
}

/// A client with a connection of its own; its requests are counted. Failed requests are not repeated: that is the work queue's business.
pub fn connect(config: &Config, metrics: &Metrics) -> Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let client = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let metrics = metrics.clone();
    let counted = service_fn(move |request: Request<Body>| {
        let metrics = metrics.clone();
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let verb = request.method().as_str().to_lowercase();
        let started = Instant::now();
        let answer = client.request(request);
        async move {
            let answer = answer.await;
            if !is_watch {
                let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
                metrics.answered(&verb, code, started.elapsed());
            }
            answer
        }
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(counted);
    Ok(Client::new(service, config.default_namespace.clone()))
}

//! `greenlight-dashboard`: in a cluster, for everybody, with the token of whoever looks.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::http::{HeaderValue, header};
use clap::Parser;
use greenlight_dashboard::caller::Access;
use greenlight_dashboard::server::{Settings, serve};
use kube::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How the API server's audit log knows the dashboard.
const USER_AGENT: &str = concat!("greenlight-dashboard/", env!("CARGO_PKG_VERSION"));

/// Greenlight's dashboard in a cluster. It has no rights of its own: it uses the token of the person who looks.
#[derive(Debug, Parser)]
#[command(name = "greenlight-dashboard", version, about)]
struct Options {
    /// Address to serve on
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Address of the API server [default: that in the environment of every pod]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File with the certificate authority of the API server
    #[arg(long, value_name = "FILE")]
    certificate_authority: Option<PathBuf>,
    /// A host name that browsers use for it; can be repeated. The names of loopback are always among them
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Leave the buttons out
    #[arg(long)]
    read_only: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    // No credentials of any kind: not even if there were some to be found.
    let server = options.server.or_else(|| api_server(|name| std::env::var(name).ok()));
    let server = server.context("not in a pod of Kubernetes: write --server https://HOST:PORT")?;
    let mut cluster = Config::new(server.parse().context("--server: write https://HOST:PORT")?);
    cluster.root_cert_file = options.certificate_authority;
    cluster.headers.push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("cannot serve at {}", options.listen))?;
    println!("serving the dashboard at http://{}", listener.local_addr()?);
    let access = Access::Tokens { cluster: Box::new(cluster) };
    let mut ended = signal(SignalKind::terminate())?;
    let end = async move {
        tokio::select! {
            _ = ended.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    serve(listener, Settings { access, read_only: options.read_only, hosts: options.hosts }, end).await
}

/// The API server by the variables that the kubelet gives each pod. Unlike a name, they need no DNS.
fn api_server(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(format!("https://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::api_server;

    #[test]
    fn the_api_server_is_where_the_kubelet_says() {
        let at = |host: &str| {
            let host = host.to_owned();
            api_server(move |name| Some(if name.ends_with("HOST") { host.clone() } else { "443".to_owned() }))
        };
        assert_eq!(at("10.96.0.1").as_deref(), Some("https://10.96.0.1:443"));
        assert_eq!(at("fd00::1").as_deref(), Some("https://[fd00::1]:443"));
        assert_eq!(api_server(|_| None), None);
    }
}

//! `greenlight-dashboard`: in a cluster, for everybody, with the token of whoever looks.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use greenlight_dashboard::caller::Access;
use greenlight_dashboard::server::{Settings, serve};
use kube::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Greenlight's dashboard in a cluster. It has no rights: it asks with the token of whoever looks.
#[derive(Debug, Parser)]
#[command(name = "greenlight-dashboard", version, about)]
struct Options {
    /// Where to serve
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The API server
    #[arg(long, default_value = "https://kubernetes.default.svc")]
    server: String,
    /// The authority that signed the API server's certificate, a file
    #[arg(long)]
    certificate_authority: Option<PathBuf>,
    /// A name under which browsers call it; may be given several times. Loopback's names are always among them
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Only look
    #[arg(long)]
    read_only: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    // No credentials of any kind: not even if there were some to be found.
    let mut cluster = Config::new(options.server.parse().context("--server: write https://HOST:PORT")?);
    cluster.root_cert_file = options.certificate_authority;
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

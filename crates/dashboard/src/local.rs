//! `kubectl greenlight dashboard`: on a person's machine, with their kubeconfig.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context, Result};
use greenlight_overview::Session;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::caller::{Access, Secret};
use crate::row::Filter;
use crate::server::{Settings, serve};

/// How it is started.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LocalOptions {
    /// Port on 127.0.0.1 [default: a free one]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Only print the address
    #[arg(long)]
    pub no_open: bool,
    /// Leave the buttons out
    #[arg(long)]
    pub read_only: bool,
}

/// Serves on loopback until Ctrl-C. The first page is the list, of one namespace if somebody has chosen one.
///
/// # Errors
/// The port is taken.
pub async fn run(session: &Session, namespace: Option<&str>, options: LocalOptions) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
        .await
        .with_context(|| format!("cannot serve on port {}: choose another one with --port", options.port))?;
    let port = listener.local_addr()?.port();
    let secret = Secret::new(port)?;
    let address = format!("http://127.0.0.1:{port}/?key={}", secret.key());
    // Whoever does not read it has their browser opened all the same.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "The dashboard is at {address}");
    let _ = writeln!(out, "The key in it is good for one browser. Ctrl-C ends the dashboard.");
    if !options.no_open {
        open(&address);
    }
    let chosen = Filter { namespace: namespace.unwrap_or_default().to_owned(), ..Filter::default() }.query();
    let first = if chosen.is_empty() { "/".to_owned() } else { format!("/?{chosen}") };
    let access = Access::Own { session: Box::new(session.clone()), secret, first };
    let settings = Settings { access, read_only: options.read_only, hosts: Vec::new() };
    serve(listener, settings, async { drop(tokio::signal::ctrl_c().await) }).await
}

/// Opens the browser. Where there is none, the address that was printed has to do.
fn open(address: &str) {
    let (program, args): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        _ => ("xdg-open", &[]),
    };
    let mut opener = Command::new(program);
    opener.args(args).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A terminal sends Ctrl-C to everything that was started in it. The browser may have been started for this, and is not to end with it.
    #[cfg(unix)]
    opener.process_group(0);
    // The runtime hears of its end, so that it does not stay a zombie.
    drop(opener.spawn());
}

//! `kubectl greenlight dashboard`: on a person's machine, with their kubeconfig.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use greenlight_overview::Session;
use tokio::net::TcpListener;

use crate::caller::{Access, Secret};
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

/// Serves on loopback until Ctrl-C.
///
/// # Errors
/// The port is taken.
pub async fn run(session: &Session, options: LocalOptions) -> Result<()> {
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
    let opened = if options.no_open { None } else { open(&address) };
    let (client, namespace) = (session.client.clone(), session.namespace.clone());
    let access = Access::Own { client, namespace, secret };
    let settings = Settings { access, read_only: options.read_only, hosts: Vec::new() };
    let served = serve(listener, settings, async { drop(tokio::signal::ctrl_c().await) }).await;
    if let Some(mut browser) = opened {
        // What opens a browser has long ended; this keeps it from staying a zombie.
        let _ = browser.try_wait();
    }
    served
}

/// Opens the browser. Where there is none, the address that was printed has to do.
fn open(address: &str) -> Option<std::process::Child> {
    let (program, args): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        _ => ("xdg-open", &[]),
    };
    Command::new(program)
        .args(args)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

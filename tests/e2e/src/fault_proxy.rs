//! A wire to the API server that can break. It knows nothing of HTTP: TLS and HTTP/2 go through as they are.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the wire does to what comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// It goes through.
    Whole,
    /// It is swallowed, in both directions; connections stay open, and new ones are accepted.
    Frozen,
    /// Connections are closed, and new ones at once.
    Cut,
}

/// Passes bytes on to the API server, or does not.
pub struct FaultProxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    task: tokio::task::JoinHandle<()>,
}

impl FaultProxy {
    /// Starts on a free port, with a whole wire.
    pub async fn start() -> Result<FaultProxy> {
        FaultProxy::start_as(false).await
    }

    /// The same, but it is an HTTP proxy: clients have to ask for a tunnel first. Whatever they want to reach, it is the API server.
    pub async fn start_tunnel() -> Result<FaultProxy> {
        FaultProxy::start_as(true).await
    }

    async fn start_as(tunnel: bool) -> Result<FaultProxy> {
        let (server, _) = crate::cluster().endpoint();
        let server = server.strip_prefix("https://").context("the API server speaks TLS")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (wire, state) = watch::channel(Wire::Whole);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server.clone(), state.clone(), tunnel));
            }
        });
        Ok(FaultProxy { address, wire, task })
    }

    /// Changes what the wire does, also to the connections that there are.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// Its URL, if it is a proxy.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig that leads through it.
    pub fn kubeconfig(&self, name: &str) -> Result<PathBuf> {
        let path = crate::cluster().dir().join(format!("{name}.fault-kubeconfig"));
        let (server, _) = crate::cluster().endpoint();
        let direct = std::fs::read_to_string(crate::operator_kubeconfig())?;
        std::fs::write(&path, direct.replace(server, &format!("https://{}", self.address)))?;
        Ok(path)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(mut client: TcpStream, server: String, wire: watch::Receiver<Wire>, tunnel: bool) {
    if *wire.borrow() == Wire::Cut || tunnel && open_tunnel(&mut client).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut cut = wire.clone();
    tokio::select! {
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
        _ = pass(&mut from_client, &mut to_server, wire.clone()) => {}
        _ = pass(&mut from_server, &mut to_client, wire) => {}
    }
}

/// `CONNECT host:port HTTP/1.1`, headers, an empty line; and the answer.
async fn open_tunnel(client: &mut TcpStream) -> Result<()> {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        question.push(client.read_u8().await?);
    }
    anyhow::ensure!(question.starts_with(b"CONNECT "), "a proxy is asked for a tunnel");
    Ok(client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?)
}

/// Passes bytes on until there are no more. What was read when the wire freezes waits until it is whole again.
async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut wire: watch::Receiver<Wire>,
) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        wire.wait_for(|wire| *wire == Wire::Whole).await?;
        to.write_all(&buffer[..length]).await?;
    }
}

//! A steady load, a new connection for each request: a connection that is kept stays with its pod and proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The body of an answer with a status of 200.
pub async fn get(address: &str, host: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("write")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("read")?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        bail!("answered {status}");
    }
    Ok(answer.split_off(end + 4))
}

/// The version that answers there.
pub async fn version(address: &str, host: &str) -> Result<String> {
    let answer = tokio::time::timeout(TIMEOUT, get(address, host, "/version")).await.context("no answer in time")??;
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["version"].as_str().context("a version")?.to_owned())
}

#[derive(Default)]
struct Seen {
    answers: u64,
    failures: Vec<String>,
    /// When a request that was answered by this version last began.
    last: BTreeMap<String, Instant>,
}

/// A running load.
pub struct Traffic {
    seen: Arc<Mutex<Seen>>,
    began: Instant,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    /// So many requests a second to this address, until stopped, and for ten minutes at most.
    pub fn start(address: String, host: &'static str, per_second: u32) -> Traffic {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = CancellationToken::new();
        let task = tokio::spawn(load(address, host, per_second, seen.clone(), stop.clone()));
        Traffic { seen, began: Instant::now(), stop, task }
    }

    /// When a request that this version answered was last made.
    pub fn last_of(&self, version: &str) -> Option<Instant> {
        self.seen.lock().expect("not poisoned").last.get(version).copied()
    }

    /// How many requests a second were answered so far.
    pub fn rate(&self) -> f64 {
        self.seen.lock().expect("not poisoned").answers as f64 / self.began.elapsed().as_secs_f64()
    }

    /// Ends it; how many were answered, and why the others were not.
    pub async fn stop(self) -> (u64, Vec<String>) {
        self.stop.cancel();
        let _ = self.task.await;
        let seen = self.seen.lock().expect("not poisoned");
        (seen.answers, seen.failures.clone())
    }
}

async fn load(address: String, host: &'static str, per_second: u32, seen: Arc<Mutex<Seen>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let start = Instant::now();
    let end = start + Duration::from_secs(600);
    let mut requests = JoinSet::new();
    while Instant::now() < end {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = requests.join_next() => {}
            _ = ticks.tick() => {
                let (address, seen) = (address.clone(), seen.clone());
                requests.spawn(async move {
                    let began = Instant::now();
                    let answer = version(&address, host).await;
                    let mut seen = seen.lock().expect("not poisoned");
                    match answer {
                        Ok(version) => {
                            seen.answers += 1;
                            let last = seen.last.entry(version).or_insert(began);
                            *last = began.max(*last);
                        }
                        Err(error) => {
                            let at = began.duration_since(start).as_millis();
                            seen.failures.push(format!("{at} ms after the start: {error:#}"));
                        }
                    }
                });
            }
        }
    }
    while requests.join_next().await.is_some() {}
}

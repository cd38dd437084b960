//! The commands that only look.

use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, stream};
use greenlight_api::{BlueGreenRollout, Phase, names};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, ResourceExt};
use serde::Serialize;
use tokio::time::Instant;

use crate::exit::Exit;
use crate::options::Format;
use crate::render::{Style, table, tree};
use crate::session::Session;
use greenlight_overview::{Facts, age, gather, role, sentence};

/// Changes that come together are shown together.
const SETTLE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);

/// `get rollout`.
pub async fn get(session: &Session, name: &str, watch: bool, format: Option<Format>) -> Result<Exit> {
    let facts = gather(session, name).await?;
    if let Some(format) = format {
        print_facts(&facts, format)?;
        return Ok(Exit::Done);
    }
    if !watch {
        print!("{}", tree(&facts, Style::detect(), Timestamp::now()));
        return Ok(Exit::Done);
    }
    if std::io::stdout().is_terminal() { redraw(session, facts).await } else { follow(session, facts).await }
}

/// Draws the tree on a screen of its own, again at every change and every second. What was last drawn stays when it ends.
async fn redraw(session: &Session, mut facts: Facts) -> Result<Exit> {
    let mut changes = pin!(changes(session));
    let screen = Screen::open()?;
    let result = loop {
        screen.draw(&tree(&facts, Style::detect(), Timestamp::now()))?;
        tokio::select! {
            _ = changes.next() => {
                tokio::time::sleep(SETTLE).await;
                match gather(session, &facts.name).await {
                    Ok(now) => facts = now,
                    Err(error) => break Err(error),
                }
            }
            () = tokio::time::sleep(TICK) => {}
            _ = tokio::signal::ctrl_c() => break Ok(Exit::Done),
        }
    };
    drop(screen);
    print!("{}", tree(&facts, Style::detect(), Timestamp::now()));
    result
}

/// The terminal's other screen, where a long line may wrap without anybody having to count rows.
struct Screen;

impl Screen {
    fn open() -> Result<Screen> {
        print!("\x1b[?1049h\x1b[?25l");
        std::io::stdout().flush()?;
        Ok(Screen)
    }

    /// From the top, each line to its end, then nothing below: no flicker.
    fn draw(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        write!(out, "\x1b[H")?;
        for line in text.lines() {
            write!(out, "{line}\x1b[K\r\n")?;
        }
        write!(out, "\x1b[J")?;
        out.flush()?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        let _ = std::io::stdout().flush();
    }
}

/// Prints a line at every change of phase or message.
async fn follow(session: &Session, mut facts: Facts) -> Result<Exit> {
    let mut changes = pin!(changes(session));
    let mut last = String::new();
    loop {
        let status = &facts.status;
        let line = format!("{}  {}", status.phase.as_str(), sentence(&status.message));
        if line != last {
            println!("{}  {line}", Timestamp::now().strftime("%H:%M:%S"));
            last = line;
        }
        tokio::select! {
            _ = changes.next() => {
                tokio::time::sleep(SETTLE).await;
                facts = gather(session, &facts.name).await?;
            }
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
    }
}

/// Something in the namespace that may concern the rollout has changed.
fn changes(session: &Session) -> impl futures::Stream<Item = ()> {
    let labelled = Config::default().labels(names::HASH_LABEL);
    let rollouts = watcher(session.api::<BlueGreenRollout>(), Config::default()).map(drop);
    let replica_sets = watcher(session.api::<ReplicaSet>(), labelled.clone()).map(drop);
    let pods = watcher(session.api::<Pod>(), labelled).map(drop);
    stream::select_all([rollouts.boxed(), replica_sets.boxed(), pods.boxed()])
}

/// `list`.
pub async fn list(session: &Session, all: bool, format: Option<Format>) -> Result<Exit> {
    let api: Api<BlueGreenRollout> = if all { Api::all(session.client.clone()) } else { session.api() };
    let rollouts = api.list(&Default::default()).await?.items;
    if let Some(format) = format {
        print_facts(&rollouts, format)?;
        return Ok(Exit::Done);
    }
    if rollouts.is_empty() {
        let place = if all { "any namespace".to_owned() } else { format!("namespace {}", session.namespace) };
        eprintln!("No rollouts in {place}.");
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let mut rows = vec![
        ["NAMESPACE", "NAME", "PHASE", "ACTIVE", "PREVIEW", "READY", "AGE", "MESSAGE"].map(str::to_owned).to_vec(),
    ];
    rows.extend(rollouts.iter().map(|rollout| {
        let status = rollout.status.clone().unwrap_or_default();
        vec![
            rollout.namespace().unwrap_or_default(),
            rollout.name_any(),
            status.phase.as_str().to_owned(),
            status.active_revision,
            status.preview_revision,
            status.ready,
            rollout.creation_timestamp().map(|created| age(created.0, now)).unwrap_or_default(),
            status.message,
        ]
    }));
    if !all {
        rows.iter_mut().for_each(|row| drop(row.remove(0)));
    }
    print!("{}", table(&rows));
    Ok(Exit::Done)
}

/// `history`.
pub async fn history(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
    let facts = gather(session, name).await?;
    if let Some(format) = format {
        print_facts(&facts.revisions, format)?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let mut rows = vec![
        ["REVISION", "HASH", "ROLE", "IMAGE", "PODS", "CREATED", "PROMOTED", "REJECTED"].map(str::to_owned).to_vec(),
    ];
    let ago = |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| format!("{} ago", age(time, now)));
    rows.extend(facts.revisions.iter().map(|revision| {
        let rejected = revision.rejected.as_ref();
        vec![
            revision.number.to_string(),
            revision.hash.clone(),
            role(&facts, revision),
            revision.title.clone(),
            format!("{}/{}", revision.ready, revision.desired),
            ago(revision.created),
            ago(revision.promoted_at),
            rejected.map(|r| format!("by {}: {}", r.by, r.reason)).unwrap_or_default(),
        ]
    }));
    print!("{}", table(&rows));
    Ok(Exit::Done)
}

/// `status`.
pub async fn status(session: &Session, name: &str, timeout: Duration, format: Option<Format>) -> Result<Exit> {
    let deadline = Instant::now() + timeout;
    let mut changes = pin!(changes(session));
    let mut last = String::new();
    loop {
        let facts = gather(session, name).await?;
        let exit = match facts.status.phase {
            _ if facts.outdated => None,
            Phase::Healthy => Some(Exit::Done),
            Phase::Degraded => Some(Exit::Refused),
            Phase::Paused => Some(Exit::Waits),
            Phase::Pending | Phase::Progressing => None,
        };
        let exit = exit.or((Instant::now() >= deadline).then_some(Exit::TimedOut));
        if format.is_none() {
            let line = format!("{}: {}", facts.status.phase.as_str(), sentence(&facts.status.message));
            if line != last {
                println!("{line}");
                last = line;
            }
        }
        if let Some(exit) = exit {
            if let Some(format) = format {
                print_facts(&facts.status, format)?;
            }
            return Ok(exit);
        }
        tokio::select! {
            _ = changes.next() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

/// Prints anything for machines.
pub fn print_facts(facts: &impl Serialize, format: Format) -> Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(facts)?),
        // By way of JSON values, so that both formats have the same keys.
        Format::Yaml => print!("{}", serde_saphyr::to_string(&serde_json::to_value(facts)?)?),
    }
    Ok(())
}

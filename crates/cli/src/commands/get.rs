//! `get rollout NAME`: what it is doing, what it wants from somebody, and with what.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use greenlight_overview::{Facts, Session, gather, sentence};
use jiff::Timestamp;

use crate::exit::Exit;
use crate::options::{Format, ListFormat};
use crate::output::format::print_facts;
use crate::output::screen::Screen;
use crate::output::style::Style;
use crate::output::tree::tree;
use crate::session::around;

/// Changes that come together are shown together.
const SETTLE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);

/// Shows a rollout, once or for as long as somebody looks.
pub async fn run(session: &Session, name: &str, watch: bool, format: Option<ListFormat>) -> Result<Exit> {
    if watch && format.is_some_and(|format| format != ListFormat::Wide) {
        bail!("--watch shows text for people: leave -o out, or use kubectl get bgr {name} -o json --watch");
    }
    let facts = gather(session, name).await?;
    let wide = match format {
        Some(ListFormat::Json) => return print_facts(&facts, Format::Json).map(|()| Exit::Done),
        Some(ListFormat::Yaml) => return print_facts(&facts, Format::Yaml).map(|()| Exit::Done),
        Some(ListFormat::Name) => {
            println!("{}{name}", super::list::KIND_AND_GROUP);
            return Ok(Exit::Done);
        }
        Some(ListFormat::Wide) => true,
        None => false,
    };
    if !watch {
        print!("{}", tree(&facts, wide, Style::detect(), Timestamp::now()));
        return Ok(Exit::Done);
    }
    if std::io::stdout().is_terminal() { redraw(session, facts, wide).await } else { follow(session, facts).await }
}

/// Draws the tree on a screen of its own, again at every change and every second. What was last drawn stays when it ends.
async fn redraw(session: &Session, mut facts: Facts, wide: bool) -> Result<Exit> {
    let mut changes = pin!(around(session, &session.rollout(&facts.name).await?));
    let screen = Screen::open()?;
    let result = loop {
        screen.draw(&tree(&facts, wide, Style::detect(), Timestamp::now()))?;
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
    print!("{}", tree(&facts, wide, Style::detect(), Timestamp::now()));
    result
}

/// Prints a line at every change of phase or message.
async fn follow(session: &Session, facts: Facts) -> Result<Exit> {
    let mut changes = pin!(crate::session::of_rollout(session, &facts.name));
    let mut last = String::new();
    let mut status = facts.status;
    loop {
        let line = format!("{}  {}", status.phase.as_str(), sentence(&status.message));
        if line != last {
            println!("{}  {line}", Timestamp::now().strftime("%H:%M:%S"));
            last = line;
        }
        tokio::select! {
            seen = changes.next() => match seen {
                Some(Ok(Some(rollout))) => status = rollout.status.unwrap_or_default(),
                Some(Ok(None)) => bail!("rollout {} was deleted", facts.name),
                Some(Err(error)) => return Err(error),
                None => bail!("the watch ended"),
            },
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
    }
}

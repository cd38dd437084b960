//! `get rollout NAME`: what it is doing, what it wants from somebody, and with what.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use greenlight_overview::{Facts, Flags, Session, age, gather, is_answer, sentence};
use jiff::Timestamp;

use crate::commands::only_for_people;
use crate::exit::Exit;
use crate::options::{Format, ListFormat};
use crate::output::format::print_facts;
use crate::output::screen::Screen;
use crate::output::style::Style;
use crate::output::table::Long;
use crate::output::tree::tree;
use crate::session::{around, state_of};

/// Changes that come together are shown together.
const SETTLE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);

/// Shows a rollout, once or for as long as somebody looks.
pub async fn run(session: &Session, name: &str, watch: bool, format: Option<ListFormat>) -> Result<Exit> {
    if watch && format.is_some_and(|format| format != ListFormat::Wide) {
        return Err(only_for_people(&format!("{name} -n {}", session.namespace), &session.flags));
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
        print!("{}", tree(&facts, &session.flags, wide, Style::detect(), Timestamp::now()));
        return Ok(Exit::Done);
    }
    if Screen::is_there() { redraw(session, facts, wide).await } else { follow(session, facts).await }
}

/// Draws the tree on a screen of its own, again at every change and every second. What was last drawn stays when it ends.
async fn redraw(session: &Session, mut facts: Facts, wide: bool) -> Result<Exit> {
    let name = facts.name.clone();
    // One from the beginning to the end: also while something is read, which may take long.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut changes = pin!(around(session, &session.rollout(&name).await?));
    let screen = Screen::open()?;
    let mut read_at = Timestamp::now();
    let mut silent = false;
    let result = loop {
        // Cut commands and addresses lead nowhere.
        screen.draw(&drawn(&facts, &session.flags, wide, silent.then_some(read_at)), Long::Wrapped)?;
        let ticked = tokio::select! {
            _ = changes.next() => false,
            () = tokio::time::sleep(TICK) => true,
            _ = &mut interrupted => break Ok(Exit::Done),
        };
        if ticked && !silent {
            continue;
        }
        let read = async {
            tokio::time::sleep(SETTLE).await;
            gather(session, &name).await
        };
        tokio::select! {
            read = read => match read {
                Ok(now) => (facts, read_at, silent) = (now, Timestamp::now(), false),
                // It passes by itself, and until then the picture says how old it is.
                Err(error) if error.downcast_ref::<kube::Error>().is_some_and(|error| !is_answer(error)) => silent = true,
                Err(error) => break Err(error),
            },
            _ = &mut interrupted => break Ok(Exit::Done),
        }
    };
    drop(screen);
    print!("{}", drawn(&facts, &session.flags, wide, silent.then_some(read_at)));
    result
}

/// The tree, and before it that nothing was heard of the API server since, if that is so.
fn drawn(facts: &Facts, flags: &Flags, wide: bool, silent_since: Option<Timestamp>) -> String {
    let now = Timestamp::now();
    let silence = silent_since
        .map(|since| format!("The API server does not answer. What you see was read {} ago.\n", age(since, now)));
    silence.unwrap_or_default() + &tree(facts, flags, wide, Style::detect(), now)
}

/// Prints a line at every change of phase or message.
async fn follow(session: &Session, facts: Facts) -> Result<Exit> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut changes = pin!(crate::session::of_rollout(session, &facts.name));
    let mut last = String::new();
    let (mut phase, mut message) = (facts.status.phase, sentence(&facts.status.message));
    loop {
        let line = format!("{}  {message}", phase.as_str());
        if line != last {
            println!("{}  {line}", Timestamp::now().strftime("%H:%M:%S"));
            last = line;
        }
        tokio::select! {
            seen = changes.next() => match seen {
                Some(Ok(Some(rollout))) => (phase, message) = state_of(&rollout),
                Some(Ok(None)) => bail!("rollout {} was deleted", facts.name),
                Some(Err(error)) => return Err(error),
                None => bail!("the watch ended"),
            },
            _ = &mut interrupted => return Ok(Exit::Done),
        }
    }
}

//! The storm: whole releases on a real API server, while everything between it and the operator goes wrong. What really happened is
//! written down directly at the API server, and judged afterwards.
//!
//! | file | question |
//! |---|---|
//! | `weather` | what goes wrong, by which seed |
//! | `proxy` | how that is done to requests and watches |
//! | `operators` | what happens to processes, connections and the lease |
//! | `clock` | what time it is for an operator |
//! | `person` | what is asked for, and what has to come of it |
//! | `recorder`, `history` | what really happened |
//! | `judge` | whether that kept the promises; `judge_sees` shows that it can fail |
//! | `batch`, `table` | many seeds at once, and what came of them |
//! | `again` | how the test itself asks, where its own connection is cut |
//!
//! `cargo xtask storm --seeds 500` runs more of it.

mod again;
mod batch;
mod clock;
mod dice;
mod history;
mod judge;
mod judge_sees;
mod operators;
mod person;
mod proxy;
mod recorder;
mod table;
mod weather;

use std::time::{Duration, Instant};

use batch::SIZE;
use table::Table;

/// Runs seeds, batch by batch, for at most so long; fails if a promise was broken.
async fn storm(first: u64, seeds: u64, longest: Option<Duration>) {
    let started = Instant::now();
    let mut table = Table::default();
    let mut next = first;
    while next < first + seeds && longest.is_none_or(|longest| started.elapsed() < longest) {
        let end = (first + seeds).min((next / SIZE + 1) * SIZE);
        let numbers: Vec<u64> = (next..end).collect();
        let outcome = batch::run(&numbers).await.expect("the test itself works");
        eprintln!("seeds {next} to {}: {}", end - 1, table::line(&outcome));
        table.add(outcome);
        next = end;
    }
    table.print(started.elapsed());
    table.check();
}

/// The part that every test run has.
#[tokio::test(flavor = "multi_thread")]
async fn whole_releases_keep_every_promise_in_a_storm() {
    storm(0, 25, None).await;
}

/// As many as `cargo xtask storm` says.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask storm runs it"]
async fn soak() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let minutes = number("GREENLIGHT_STORM_MINUTES").map(|minutes| Duration::from_secs(minutes * 60));
    let first = number("GREENLIGHT_STORM_FIRST").unwrap_or(0);
    storm(first, number("GREENLIGHT_STORM_SEEDS").unwrap_or(500), minutes).await;
}

//! The log: text for people, JSON for machines.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// From now on everything of these levels goes to the standard error.
///
/// # Errors
/// The levels are none.
pub fn to_stderr(levels: &str) -> Result<()> {
    if stderr().is_terminal() {
        tracing_subscriber::fmt().with_env_filter(filter(levels)?).with_writer(stderr).init();
    } else {
        in_json(levels, stderr)?.init();
    }
    Ok(())
}

/// A log for machines.
///
/// # Errors
/// The levels are none.
pub fn in_json<W>(levels: &str, writer: W) -> Result<impl Subscriber + Send + Sync + 'static + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_env_filter(filter(levels)?).with_writer(writer);
    Ok(log.json().flatten_event(true).with_span_list(false).finish())
}

fn filter(levels: &str) -> Result<EnvFilter> {
    EnvFilter::try_new(levels).context("--log: write a level (info), or target=level pairs")
}

//! `history`: the revisions of a rollout, and what was decided about each.

use anyhow::Result;
use greenlight_overview::{Session, age, gather, role};
use jiff::Timestamp;

use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use crate::output::style::Style;
use crate::output::table::{Long, table};

/// Lists the revisions, the newest first.
pub async fn run(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
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
    print!("{}", table(&rows, Style::detect().width, Long::Wrapped));
    Ok(Exit::Done)
}

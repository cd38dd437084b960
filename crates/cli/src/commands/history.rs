//! `history`: the revisions of a rollout, and what was decided about each. To whoever does not see the ReplicaSets, the operator's record
//! tells of them.

use anyhow::Result;
use greenlight_api::text::printable;
use greenlight_overview::unseen::missing;
use greenlight_overview::{Facts, Known, Revision, Session, Unseen, age, gather, role_of};
use jiff::Timestamp;

use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use crate::output::style::Style;
use crate::output::table::{Long, table};

/// Lists the revisions, the newest first.
pub async fn run(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
    let facts = gather(session, name).await?;
    let mut unseen = facts.unseen.clone();
    // No revision has any.
    unseen.retain(|unseen| unseen.what != Unseen::INGRESSES);
    for missing in missing(&unseen, &facts.namespace, &session.flags) {
        eprintln!("{}", printable(&missing));
    }
    let shows = facts.shows(Unseen::REPLICA_SETS);
    match format {
        Some(format) if shows => print_facts(&facts.revisions, format)?,
        Some(format) => print_facts(&facts.known(), format)?,
        None => print!("{}", table(&rows(&facts, Timestamp::now()), Style::detect().width, Long::Wrapped)),
    }
    Ok(Exit::Done)
}

fn rows(facts: &Facts, now: Timestamp) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["REVISION", "HASH", "ROLE", "IMAGE", "PODS", "CREATED", "PROMOTED", "REJECTED"].map(str::to_owned).to_vec(),
    ];
    rows.extend(facts.known().iter().map(|known| {
        let revision = facts.revisions.iter().find(|revision| revision.hash == known.hash);
        row(facts, known, revision, now)
    }));
    rows
}

fn row(facts: &Facts, known: &Known, revision: Option<&Revision>, now: Timestamp) -> Vec<String> {
    let ago = |time: Timestamp| format!("{} ago", age(time, now));
    let rejected = known.rejected.as_ref();
    vec![
        known.number.to_string(),
        known.hash.clone(),
        role_of(facts, known.role, &known.hash),
        revision.map(|revision| revision.title.clone()).unwrap_or_default(),
        revision.map(|revision| format!("{}/{}", revision.ready, revision.desired)).unwrap_or_default(),
        revision.and_then(|revision| revision.created).map(ago).unwrap_or_default(),
        known.promoted_at.map_or("never".to_owned(), ago),
        rejected.map(|r| format!("by {}: {}", r.by, r.reason)).unwrap_or_default(),
    ]
}

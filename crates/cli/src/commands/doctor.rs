//! `doctor`: what is wrong with a rollout. Each finding has its cause and the command that mends it.

use anyhow::Result;
use greenlight_api::text::printable;
use greenlight_overview::Session;
use greenlight_overview::doctor::{Evidence, findings};
use greenlight_overview::unseen::missing;

use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use crate::output::style::Style;

/// Looks at everything that a release depends on. Exit code 2 when something is found.
pub async fn run(session: &Session, name: &str, format: Option<Format>) -> Result<Exit> {
    let (evidence, unseen) = Evidence::gather(session, name).await?;
    for missing in missing(&unseen, &session.namespace, &session.flags) {
        eprintln!("{}", printable(&missing));
    }
    let findings = findings(&evidence);
    if let Some(format) = format {
        print_facts(&findings, format)?;
    } else if findings.is_empty() {
        println!("Rollout {name} is in order{}.", if unseen.is_empty() { "" } else { ", as far as it is shown" });
    }
    let style = Style::detect();
    for (number, finding) in findings.iter().enumerate().filter(|_| format.is_none()) {
        let [symptom, cause, fix] = [&finding.symptom, &finding.cause, &finding.fix].map(|text| printable(text));
        println!("{}", style.hanging(&format!("{}. ", number + 1), "   ", &symptom));
        println!("{}", style.hanging("   cause: ", "          ", &cause));
        // It is copied as it is.
        println!("   fix:   {fix}");
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Refused })
}

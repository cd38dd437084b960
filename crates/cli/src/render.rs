//! How the facts look. The first lines answer "what is it doing, and what does it want from me"; the tree answers "with what".

use std::fmt::Write;
use std::io::IsTerminal;

use greenlight_api::text::one_line;
use greenlight_api::{Phase, conditions};
use jiff::Timestamp;

use greenlight_overview::{Facts, PodFact, Revision, ServiceFact, age, role, sentence};

/// Colours, on a terminal only.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// For standard output as it is. `NO_COLOR` is respected.
    pub fn detect() -> Style {
        Style { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn phase(self, phase: Phase) -> String {
        let (code, symbol) = match phase {
            Phase::Healthy => ("32", "✔"),
            Phase::Progressing | Phase::Pending => ("36", "◌"),
            Phase::Paused => ("33", "॥"),
            Phase::Degraded => ("31", "✖"),
        };
        self.paint(code, &format!("{symbol} {}", phase.as_str()))
    }
}

/// A rollout as a tree.
pub fn tree(facts: &Facts, style: Style, now: Timestamp) -> String {
    let mut out = String::new();
    let since = facts.since.map(|since| format!(" {}", age(since, now))).unwrap_or_default();
    let title = format!("{}  {}", style.bold(&facts.name), facts.namespace);
    let _ = writeln!(out, "{title}   {}{since}", style.phase(facts.status.phase));
    if facts.outdated {
        let _ = writeln!(out, "The spec has changed; the operator has not looked at it yet.");
    }
    if !facts.status.message.is_empty() {
        let _ = writeln!(out, "{}", sentence(&facts.status.message));
    }
    if let Some(hint) = hint(facts) {
        let _ = writeln!(out, "  {}", style.bold(&hint));
    }
    out.push('\n');
    out.push_str(&table(&facts.services.iter().map(|service| service_row(facts, service)).collect::<Vec<_>>()));
    out.push('\n');
    let mut rows = vec![["REVISION", "ROLE", "READY", "AGE", "INFO"].map(str::to_owned).to_vec()];
    for revision in &facts.revisions {
        rows.push(revision_row(facts, revision, now));
        let last = revision.pods.len().saturating_sub(1);
        for (number, pod) in revision.pods.iter().enumerate() {
            rows.push(pod_row(revision, pod, number == last, now));
        }
    }
    for line in table(&rows).lines() {
        let painted = if line.starts_with(['├', '└']) { style.dim(line) } else { line.to_owned() };
        let _ = writeln!(out, "{painted}");
    }
    out
}

fn service_row(facts: &Facts, service: &ServiceFact) -> Vec<String> {
    let mut row = vec![service.role.to_owned(), service.name.clone()];
    let revision = facts.revisions.iter().find(|revision| Some(&revision.hash) == service.hash.as_ref());
    row.push(match (&service.hash, revision) {
        _ if !service.exists => "does not exist".to_owned(),
        (None, _) => "→ no revision".to_owned(),
        (Some(hash), None) => format!("→ {hash}, which does not exist"),
        (Some(_), Some(revision)) => format!("→ revision {}", revision.number),
    });
    row.push(revision.map(|revision| revision.title.clone()).unwrap_or_default());
    row.push(revision.map(|revision| format!("{}/{} ready", revision.ready, revision.desired)).unwrap_or_default());
    row.push(service.urls.join(" "));
    row
}

fn revision_row(facts: &Facts, revision: &Revision, now: Timestamp) -> Vec<String> {
    let mut info = Vec::new();
    if let Some(at) = revision.scale_down_at {
        info.push(format!("retiring, {} s left", at.duration_since(now).as_secs().max(0)));
    }
    if let Some(rejection) = &revision.rejected {
        info.push(format!("rejected by {}: {}, {} ago", rejection.by, rejection.reason, age(rejection.at, now)));
    }
    if !revision.title.is_empty() {
        info.push(revision.title.clone());
    }
    vec![
        format!("{}  {}", revision.number, revision.hash),
        role(facts, revision),
        format!("{}/{}", revision.ready, revision.desired),
        revision.created.map(|created| age(created, now)).unwrap_or_default(),
        info.join("; "),
    ]
}

fn pod_row(revision: &Revision, pod: &PodFact, last: bool, now: Timestamp) -> Vec<String> {
    let branch = if last { "└─" } else { "├─" };
    let short = pod.name.strip_prefix(&revision.replica_set).map_or(pod.name.clone(), |suffix| format!("…{suffix}"));
    let mut info = if pod.ready && pod.state == "Running" { String::new() } else { pod.state.clone() };
    if pod.restarts > 0 {
        let _ = write!(info, "{}{} restarts", if info.is_empty() { "" } else { ", " }, pod.restarts);
    }
    vec![
        format!("{branch} {short}"),
        String::new(),
        if pod.ready { "✔" } else { "✖" }.to_owned(),
        pod.created.map(|created| age(created, now)).unwrap_or_default(),
        info,
    ]
}

/// What the person can do next, as a command line.
fn hint(facts: &Facts) -> Option<String> {
    let verb = match facts.reason.as_str() {
        conditions::REASON_AWAITING_PROMOTION | conditions::REASON_AWAITING_TIMER => "promote",
        conditions::REASON_PAUSED => "resume",
        conditions::REASON_REJECTED => "retry",
        _ => return None,
    };
    Some(format!("kubectl greenlight {verb} {} -n {}", facts.name, facts.namespace))
}

/// Columns as wide as they need to be, two spaces between them.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    // Names, images and messages are others' words.
    let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let line: String = cells.map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

//! `diff`: what differs between two revisions, field by field.

use anyhow::{Result, bail};
use greenlight_api::text::one_line;
use greenlight_overview::observe::replica_set_of;
use greenlight_overview::{Difference, Session, differences, observe_visible};
use serde_json::Value;

use crate::exit::Exit;
use crate::options::Format;
use crate::output::format::print_facts;
use crate::output::style::Style;

/// A template with its name.
struct Side {
    name: String,
    template: Value,
}

/// Prints what differs between two revisions; without numbers, between what serves and the template of the spec.
pub async fn run(session: &Session, name: &str, revisions: &[i64], format: Option<Format>) -> Result<Exit> {
    let (before, after) = sides(session, name, revisions).await?;
    let differences = differences(&before.template, &after.template);
    if let Some(format) = format {
        print_facts(&differences, format)?;
        return Ok(Exit::Done);
    }
    let style = Style::detect();
    if differences.is_empty() {
        println!("{} and {} are the same.", before.name, after.name);
        return Ok(Exit::Done);
    }
    println!("{}\n{}", style.red(&format!("--- {}", before.name)), style.green(&format!("+++ {}", after.name)));
    for Difference { field, before, after } in &differences {
        println!("{}", one_line(field));
        for line in before.iter().flat_map(lines) {
            println!("{}", style.red(&style.hanging("  - ", "    ", &line)));
        }
        for line in after.iter().flat_map(lines) {
            println!("{}", style.green(&style.hanging("  + ", "    ", &line)));
        }
    }
    Ok(Exit::Done)
}

async fn sides(session: &Session, name: &str, revisions: &[i64]) -> Result<(Side, Side)> {
    let rollout = session.rollout(name).await?;
    let status = rollout.status.clone().unwrap_or_default();
    let asked_for =
        rollout.spec.workload_ref.is_none().then(|| serde_json::to_value(rollout.spec.template())).transpose()?;
    let replica_sets = observe_visible(session, rollout).await?.into_replica_sets()?;
    let records = status.decisions.as_ref().map(|decisions| decisions.revisions.as_slice()).unwrap_or_default();
    let mut there = Vec::new();
    for object in &replica_sets {
        let rs = replica_set_of(object);
        let recorded = records.iter().find(|record| record.hash == rs.hash).map(|record| record.number);
        let number = recorded.unwrap_or_else(|| rs.shown_number());
        let template = serde_json::to_value(object.spec.as_ref().and_then(|spec| spec.template.as_ref()))?;
        let side = Side { name: format!("revision {number} ({})", rs.hash), template };
        there.push((number, rs.hash, side));
    }
    there.sort_by_key(|(number, ..)| *number);
    let numbers: Vec<String> = there.iter().map(|(number, ..)| number.to_string()).collect();
    let mut take = |is: &dyn Fn(i64, &str) -> bool| {
        let at = there.iter().position(|(number, hash, _)| is(*number, hash))?;
        Some(there.remove(at).2)
    };
    if let [before, after] = *revisions {
        let mut numbered = |wanted: i64| match take(&|number, _| number == wanted) {
            Some(side) => Ok(side),
            None => bail!("rollout {name} has no revision {wanted} to compare; there are: {}", numbers.join(", ")),
        };
        if before == after {
            bail!("revision {before} is the same as itself: name two different ones of {}", numbers.join(", "));
        }
        return Ok((numbered(before)?, numbered(after)?));
    }
    let Some(serving) = take(&|_, hash| hash == status.active_revision) else {
        bail!(
            "nothing of rollout {name} serves, so there is nothing to compare with: name two revisions of {}",
            numbers.join(", ")
        );
    };
    if status.updated_revision == status.active_revision {
        bail!("what serves is already the template of rollout {name}: name two revisions of {}", numbers.join(", "));
    }
    let after = take(&|_, hash| hash == status.updated_revision);
    let after = after.or_else(|| Some(Side { name: "the spec".to_owned(), template: asked_for? }));
    match after {
        Some(after) => Ok((serving, after)),
        None => {
            bail!("the template of rollout {name} has no ReplicaSet yet: name two revisions of {}", numbers.join(", "))
        }
    }
}

/// A value as lines of YAML, each without what a terminal would obey.
fn lines(value: &Value) -> Vec<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_saphyr::to_string(other).unwrap_or_default(),
    };
    text.lines().map(|line| one_line(line).into_owned()).collect()
}

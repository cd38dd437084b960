//! Promise 7: nobody goes around the gate. Each attack of [`table`] is tried by a person with one of the chart's or of Kubernetes' own
//! roles, on a rollout whose candidate waits, with production watched throughout. Each has a rollout of its own, but single requests that the
//! API server has to refuse, and that change nothing then: ten of these have one. `GREENLIGHT_ATTACKS_IN_FULL=1` tries each once more
//! without the chart's policies, to see what holds by itself, and prints both (with `-- --nocapture`).
//!
//! | file | what is in it |
//! |---|---|
//! | [`table`] | the attacks, a line each |
//! | [`attack`] | what an attack is: a role, requests, and what has to come of it |
//! | [`range`] | where they are tried |
//! | [`production`] | who looks meanwhile: what the Services select, and which endpoints are ready behind them |
//! | [`bombs`] | analyses that cost too much, or lead back inside |
//! | [`child`] | the process that evaluates what people write |
//! | [`confined`] | what somebody with the operator's token may do |
//! | [`neighbours`] | two rollouts with pods of the same hash |
//! | [`secrets`] | the value of a Secret, looked for everywhere |
//! | [`schema`] | every field of a rollout is either open to who may edit, or closed |
//! | [`summary`] | what stops the attacks of each group, for docs/security.md |

mod attack;
mod bombs;
mod child;
mod confined;
mod neighbours;
mod production;
mod range;
mod schema;
mod secrets;
mod summary;
mod table;

use attack::{Attack, Expected, Verdict, refused_by};
use greenlight_e2e::docs::folder;
use range::Range;
use summary::Row;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_around_the_gate_whatever_the_role_and_the_door() {
    let mut attacks = table::attacks();
    assert!(attacks.len() >= 60, "only {} attacks", attacks.len());
    // For whoever adds a line: GREENLIGHT_ATTACKS='a rollback' tries those whose words have this in them.
    let some = std::env::var("GREENLIGHT_ATTACKS").ok();
    if let Some(words) = &some {
        attacks.retain(|attack| words.split('|').any(|words| attack.what.contains(words)));
    }
    let guarded = Range::with_policies(range::GUARDED).await;
    let in_full = std::env::var_os("GREENLIGHT_ATTACKS_IN_FULL").is_some();
    // Nothing is expected of what holds by itself: it takes as much time again, and is for who wants to know.
    let without = async {
        if !in_full {
            return None;
        }
        let mut open = Range::without_policies("attacks-open").await;
        let verdicts = open.try_all(&attacks).await;
        open.forgive_denials();
        Some(verdicts)
    };
    let (with, without) = tokio::join!(guarded.try_all(&attacks), without);
    println!("\n{:<10} {:<72} {:<28} {:<22} without policies", "role", "attack", "door", "with policies");
    let mut wrong = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let with = &with[number];
        let without = without.as_ref().map(|without| &without[number]);
        let shown = without.map_or("(not tried)".to_owned(), Verdict::to_string);
        let line =
            format!("{:<10} {:<72} {:<28} {:<22} {shown}", attack.role, attack.what, attack.door(), with.to_string());
        println!("{line}");
        if let Some(without) = without {
            println!("  {}\n  {}", with.details(), without.details());
        }
        let as_expected = match attack.expected {
            Expected::Refused => is_refused(attack, with),
            Expected::Holds => is_refused(attack, with) || matches!(with, Verdict::WithoutEffect),
            Expected::Moves => matches!(with, Verdict::Moved(_)),
        };
        if !as_expected {
            wrong.push(format!("{line}\n  expected: {:?}; {}", attack.expected, with.details()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} attacks:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
    if some.is_some() {
        return;
    }
    let rows = summary::rows(&attacks, &with, without.as_deref());
    let document = std::fs::read_to_string(folder().join("security.md")).expect("a page");
    let missing: Vec<String> = rows.iter().filter(|row| !row.is_in(&document)).map(Row::to_string).collect();
    assert!(missing.is_empty(), "docs/security.md lacks these rows of its table of attacks:\n{}", missing.join("\n"));
}

/// Whether a policy or the roles refused it, or somebody in the words that the attack names. Any other refusal may be for a mistake in the line.
fn is_refused(attack: &Attack, with: &Verdict) -> bool {
    matches!(with, Verdict::Refused(why) if refused_by(why).is_some() || !attack.told.is_empty())
}

//! `status`: waits until a rollout has come to something, and says to what by its exit code.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, conditions};
use greenlight_overview::{Session, status_of};
use tokio::time::{Instant, timeout_at};

use crate::exit::Exit;
use crate::options::{Format, Until};
use crate::output::format::print_facts;
use crate::output::progress::Progress;
use crate::output::style::Style;
use crate::patience::Patience;
use crate::session::{is_outdated, last_look, of_rollout, state_of};

/// Waits for an end, or for what is named.
pub async fn run(
    session: &Session,
    name: &str,
    until: Option<Until>,
    timeout: Duration,
    format: Option<Format>,
) -> Result<Exit> {
    let deadline = Instant::now() + timeout;
    let read = session.rollout(name);
    // Whoever gives no time still wants it looked at.
    let mut rollout = if timeout.is_zero() {
        read.await?
    } else if let Ok(read) = timeout_at(deadline, read).await {
        read?
    } else {
        eprintln!("The API server has not answered.");
        return Ok(Exit::TimedOut);
    };
    let mut changes = pin!(of_rollout(session, name));
    let progress = Progress::start(&format!("waiting for rollout {name}"));
    let style = Style::detect();
    let mut last = String::new();
    let mut patience = Patience::default();
    loop {
        let (now, end) = (Instant::now(), exit(&rollout, until));
        let exit =
            if now < deadline { patience.with(end, &status_of(&rollout), now) } else { end.or(Some(Exit::TimedOut)) };
        let (phase, message) = state_of(&rollout);
        let line = format!("{}: {message}", phase.as_str());
        if format.is_none() && line != last {
            progress.aside(|| println!("{}", style.wrapped(&line)));
            last = line;
        }
        if let Some(exit) = exit {
            if let Some(format) = format {
                progress.aside(|| print_facts(&status_of(&rollout), format))?;
            }
            return Ok(exit);
        }
        let look_at = patience.until().map_or(deadline, |until| until.min(deadline));
        match timeout_at(look_at, changes.next()).await {
            Ok(Some(Ok(Some(now)))) => rollout = now,
            Ok(Some(Ok(None))) => bail!("rollout {name} was deleted"),
            Ok(Some(Err(error))) => return Err(error).with_context(|| format!("cannot watch rollout {name}")),
            Ok(None) => bail!("the watch ended"),
            Err(_) => match last_look(session, name).await {
                Ok(now) => rollout = now,
                Err(why) => progress.aside(|| eprintln!("What has come of it is not known: {why}")),
            },
        }
    }
}

/// What has come of it, if the status speaks of the newest spec, or the operator fails at that.
fn exit(rollout: &BlueGreenRollout, until: Option<Until>) -> Option<Exit> {
    let none = BlueGreenRolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&none);
    if is_outdated(rollout) {
        return (status_of(rollout).phase == Phase::Degraded).then_some(Exit::Refused);
    }
    match until {
        Some(until) if is_so(status, until) => Some(Exit::Done),
        Some(_) => (status.phase == Phase::Degraded).then_some(Exit::Refused),
        None => match status.phase {
            Phase::Healthy => Some(Exit::Done),
            Phase::Degraded => Some(Exit::Refused),
            // A timer promotes by itself: nobody is waited for.
            Phase::Paused if awaits_timer(status) => None,
            Phase::Paused => Some(Exit::Waits),
            Phase::Pending | Phase::Progressing => None,
        },
    }
}

fn awaits_timer(status: &BlueGreenRolloutStatus) -> bool {
    let paused = status.conditions.iter().find(|condition| condition.type_ == conditions::PAUSED);
    paused.is_some_and(|paused| paused.status == "True" && paused.reason == conditions::REASON_AWAITING_TIMER)
}

fn is_so(status: &BlueGreenRolloutStatus, until: Until) -> bool {
    match until {
        Until::Paused => status.phase == Phase::Paused,
        Until::Healthy => status.phase == Phase::Healthy,
        Until::Promoted => {
            let proven =
                status.switch.as_ref().is_some_and(|s| s.to == status.updated_revision && s.proven_at.is_some());
            !status.updated_revision.is_empty() && status.active_revision == status.updated_revision && proven
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(phase: &str, active: &str, proven: bool, generation: i64) -> BlueGreenRollout {
        let mut switch = json!({"to": active, "switchedAt": "2026-01-01T00:00:00Z"});
        if proven {
            switch["provenAt"] = "2026-01-01T00:00:01Z".into();
        }
        serde_json::from_value(json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": "web", "generation": generation},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
            "status": {"phase": phase, "observedGeneration": 3, "activeRevision": active, "updatedRevision": "v2", "switch": switch},
        }))
        .expect("a rollout")
    }

    #[test]
    fn without_a_wish_it_ends_with_what_comes_first() {
        for (phase, wanted) in [
            ("Healthy", Some(Exit::Done)),
            ("Degraded", Some(Exit::Refused)),
            ("Paused", Some(Exit::Waits)),
            ("Progressing", None),
        ] {
            assert_eq!(exit(&rollout(phase, "v2", true, 3), None), wanted, "{phase}");
            assert_eq!(exit(&rollout(phase, "v2", true, 4), None), None, "{phase}, of the spec before");
        }
    }

    #[test]
    fn what_was_said_of_an_older_spec_is_not_told_of_this_one() {
        let told = |generation: i64| state_of(&rollout("Healthy", "v2", true, generation));
        assert_eq!(told(3).0, Phase::Healthy);
        let outdated = "The spec has changed; the operator has not looked at it yet.";
        assert_eq!(told(4), (Phase::Pending, outdated.to_owned()));
    }

    #[test]
    fn what_the_operator_fails_at_is_told_of_this_spec_and_what_was_promoted_before_is_not() {
        let told = |told_of: i64| {
            let mut rollout = rollout("Degraded", "v2", true, 4);
            let stalled = json!({
                "type": "Stalled", "status": "True", "reason": "WriteRefused", "message": "nobody lists Services",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": told_of,
            });
            let status = rollout.status.as_mut().expect("a status");
            status.conditions = vec![serde_json::from_value(stalled).expect("a condition")];
            [None, Some(Until::Promoted)].map(|until| exit(&rollout, until))
        };
        assert_eq!(told(4), [Some(Exit::Refused), Some(Exit::Refused)]);
        assert_eq!(told(3), [None, None], "the spec may have been what was wrong");
    }

    #[test]
    fn a_timer_is_no_person() {
        let paused = |reason: &str| {
            let mut rollout = rollout("Paused", "v1", true, 3);
            let condition = json!({
                "type": "Paused", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            });
            let status = rollout.status.as_mut().expect("a status");
            status.conditions = vec![serde_json::from_value(condition).expect("a condition")];
            exit(&rollout, None)
        };
        assert_eq!(paused("AwaitingAutoPromotion"), None, "it promotes by itself");
        assert_eq!(paused("AwaitingPromotion"), Some(Exit::Waits));
    }

    #[test]
    fn with_a_wish_it_waits_through_everything_but_a_failure() {
        let of = |phase: &str, active: &str, proven, until| exit(&rollout(phase, active, proven, 3), Some(until));
        assert_eq!(of("Paused", "v1", true, Until::Paused), Some(Exit::Done));
        assert_eq!(of("Healthy", "v2", true, Until::Paused), None);
        assert_eq!(of("Paused", "v1", true, Until::Promoted), None, "a person may still come");
        assert_eq!(of("Progressing", "v2", false, Until::Promoted), None, "moved, and not proven");
        assert_eq!(of("Progressing", "v2", true, Until::Promoted), Some(Exit::Done));
        assert_eq!(of("Paused", "v2", true, Until::Healthy), None);
        assert_eq!(of("Healthy", "v2", true, Until::Healthy), Some(Exit::Done));
        for until in [Until::Paused, Until::Promoted, Until::Healthy] {
            assert_eq!(of("Degraded", "v1", true, until), Some(Exit::Refused));
        }
    }
}

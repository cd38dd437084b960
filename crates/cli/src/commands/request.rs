//! `promote`, `abort`, `retry`, `undo`, `restart`: they ask the operator for something, and wait for what comes of it.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, Request, Verb, names};
use greenlight_overview::{Found, Session, asked_at, gather, revision_meant, sentence, unanswered, was_heard};
use jiff::Timestamp;
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::commands::{params, plan, written};
use crate::exit::Exit;
use crate::options::Asking;
use crate::output::progress::Progress;
use crate::patience::Patience;
use crate::session::{last_look, of_rollout};

/// An operator that runs answers within a second; one that changes leaders, within half a minute.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What a shell says of a command that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// What is asked of which revision.
pub struct Wish {
    /// What for.
    pub action: Verb,
    /// The hash of the revision, if not that which the verb speaks of.
    pub revision: Option<String>,
    /// The number of the revision to serve instead.
    pub to: Option<i64>,
}

impl From<Verb> for Wish {
    fn from(action: Verb) -> Wish {
        Wish { action, revision: None, to: None }
    }
}

/// Makes a request, and waits for what comes of it.
pub async fn run(session: &Session, name: &str, wish: Wish, asking: Asking) -> Result<Exit> {
    let Wish { action, revision, to } = wish;
    let (rollout, (by, theirs)) = tokio::try_join!(session.rollout(name), session.user_and_time())?;
    if rollout.metadata.deletion_timestamp.is_some() {
        bail!("rollout {name} is being deleted: the operator answers no request any more");
    }
    let to = match to {
        Some(number) => Some(hash_of(session, name, number).await?),
        None => None,
    };
    let status = rollout.status.unwrap_or_default();
    let revision = match revision {
        Some(revision) => revision,
        None => revision_meant(name, action, &status)?,
    };
    let at = asked_at(Timestamp::now(), theirs);
    let request = Request { action, revision, to, by, at, reason: asking.change.reason };
    let value = request.to_value();
    if value.len() > Request::LONGEST {
        bail!("the request is too long by {} bytes: give a shorter --reason", value.len() - Request::LONGEST);
    }
    let api: Api<Found> = session.api();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: value}}}));
    let asked = api.patch(name, &params(asking.change.dry_run), &patch).await;
    let asked = written(session, name, &format!("ask rollout {name} to {}", action.as_str()), asked)?;
    if asking.change.dry_run {
        let asked = *asked.rollout.map_err(|error| anyhow!("rollout {name} cannot be read: {error}"))?;
        let change = format!("Asking rollout {name} to {}", action.as_str());
        return plan::tell_what_would_come_of(session, asked, &change, Some(&value)).await;
    }
    if asking.wait.no_wait {
        println!("Asked rollout {name} to {}.", action.as_str());
        return Ok(Exit::Done);
    }
    let waiting = Waiting {
        session,
        name,
        request: &request,
        value: &value,
        timeout: asking.wait.timeout,
        started: Instant::now(),
        look: format!("kubectl greenlight status {name} -n {}{}", session.namespace, session.flags),
        progress: Progress::start("waiting for the operator's answer"),
        answered: false,
        patience: Patience::default(),
    };
    waiting.outcome().await
}

/// The hash of a revision number.
async fn hash_of(session: &Session, name: &str, number: i64) -> Result<String> {
    let known = gather(session, name).await?.known();
    match known.iter().find(|known| known.number == number) {
        Some(known) => Ok(known.hash.clone()),
        None => {
            let there: Vec<_> = known.iter().map(|known| known.number.to_string()).collect();
            bail!("rollout {name} has no revision {number}; there are: {}", there.join(", "))
        }
    }
}

/// Whoever waits for what comes of a request: for the operator's answer, and then until what was asked has happened.
struct Waiting<'a> {
    session: &'a Session,
    /// The name of the rollout.
    name: &'a str,
    request: &'a Request,
    /// The request, as it stands in the register.
    value: &'a str,
    timeout: Duration,
    started: Instant,
    /// The command that shows the state.
    look: String,
    progress: Progress,
    answered: bool,
    patience: Patience,
}

impl Waiting<'_> {
    async fn outcome(mut self) -> Result<Exit> {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut changes = pin!(of_rollout(self.session, self.name));
        loop {
            let change = tokio::select! {
                change = timeout_at(self.deadline(), changes.next()) => change,
                _ = &mut interrupted => {
                    drop(self.progress);
                    eprintln!("Nobody waits any more. The request stands: {}", self.look);
                    std::process::exit(INTERRUPTED);
                }
            };
            let is_over = change.is_err();
            let rollout = match change {
                Ok(Some(Ok(Some(rollout)))) => rollout,
                Ok(Some(Ok(None))) => bail!("rollout {} was deleted", self.name),
                Ok(Some(Err(error))) => {
                    return Err(error)
                        .with_context(|| format!("the request was made, but rollout {} cannot be watched", self.name));
                }
                Ok(None) => bail!("the watch ended"),
                // A watch that is cut, or fails, says nothing: the operator is not blamed before somebody has looked.
                Err(_) => match last_look(self.session, self.name).await {
                    Ok(rollout) => rollout,
                    Err(why) => {
                        let look = &self.look;
                        self.aside(&format!("What came of the request is not known: {why}. It stands. Look at {look}"));
                        return Ok(Exit::TimedOut);
                    }
                },
            };
            let end = match self.answer(&rollout, is_over).await? {
                None if self.answered => self.happened(&rollout, is_over),
                end => end,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Until when the next change is waited for.
    fn deadline(&self) -> Instant {
        let deadline = self.started + if self.answered { self.timeout } else { self.timeout.min(ANSWER_WITHIN) };
        self.patience.until().map_or(deadline, |until| until.min(deadline))
    }

    /// Tells the operator's answer, once it is there. Returns how the command ends, if nothing can come of the request any more.
    async fn answer(&mut self, rollout: &BlueGreenRollout, is_over: bool) -> Result<Option<Exit>> {
        let Waiting { session, name, value, look, .. } = &*self;
        let none = BlueGreenRolloutStatus::default();
        let status = rollout.status.as_ref().unwrap_or(&none);
        let stands = rollout.annotations().get(names::REQUEST).is_some_and(|stands| stands == value);
        match status.observed_request.as_ref().filter(|observed| observed.value == *value) {
            Some(observed) if !observed.accepted => {
                self.aside(&format!("Refused: {}", sentence(&observed.answer)));
                Ok(Some(Exit::Refused))
            }
            Some(observed) => {
                if !self.answered {
                    self.progress.aside(|| println!("{}", sentence(&observed.answer)));
                    self.answered = true;
                }
                Ok(None)
            }
            None if self.answered => Ok(None),
            // The annotation holds one request: the last. What moves production is done before it is answered.
            None if !stands => {
                if was_heard(session, name, value).await? {
                    bail!("the operator heard the request, and answered another one since: look at {look}");
                }
                self.aside(&format!(
                    "Another request took the place of this one. The operator may have begun with it by then: look at {look}, and ask \
                     again if nothing came of it."
                ));
                Ok(Some(Exit::Refused))
            }
            None if rollout.metadata.deletion_timestamp.is_some() => {
                bail!("rollout {name} is being deleted since: the operator answers no request any more. Look at {look}")
            }
            None if is_over => {
                let generation = rollout.metadata.generation.unwrap_or_default();
                self.aside(&unanswered(status, generation));
                Ok(Some(Exit::TimedOut))
            }
            None => Ok(None),
        }
    }

    /// Tells what came of a request that was accepted. Returns how the command ends, unless it waits on.
    fn happened(&mut self, rollout: &BlueGreenRollout, is_over: bool) -> Option<Exit> {
        let none = BlueGreenRolloutStatus::default();
        let status = rollout.status.as_ref().unwrap_or(&none);
        let (request, message) = (self.request, sentence(&status.message));
        if is_superseded(request, status) {
            self.aside(&format!("Not done: the spec was changed since, and another revision is the newest. {message}"));
            return Some(Exit::Refused);
        }
        let end = settled(request, status, rollout.spec.blue_green().required_approvals());
        let has_time = self.started.elapsed() < self.timeout;
        let end = if has_time { self.patience.with(end, status, Instant::now()) } else { end };
        if let Some(exit) = end {
            self.progress.aside(|| println!("{message}"));
            if still_stands(request, status) && exit == Exit::Refused {
                let Session { namespace, flags, .. } = self.session;
                let abort = format!("kubectl greenlight abort {} -n {namespace}{flags}", self.name);
                self.aside(&format!("Your request stands, and continues when this is over. To take it back: {abort}"));
            }
            return Some(exit);
        }
        if is_over && !has_time {
            self.aside(&format!("Not done after {} s: {message}", self.timeout.as_secs()));
            return Some(Exit::TimedOut);
        }
        self.progress.say(&message);
        None
    }

    /// Tells something that is no result.
    fn aside(&self, told: &str) {
        self.progress.aside(|| eprintln!("{told}"));
    }
}

fn promotes(request: &Request) -> bool {
    matches!(request.action, Verb::Promote | Verb::PromoteFull)
}

/// Whether a promotion cannot happen any more: another revision is the newest by now, and production has not begun to move to this one.
/// Asked only of a status that accepts the request.
fn is_superseded(request: &Request, status: &BlueGreenRolloutStatus) -> bool {
    let (hash, newest) = (&request.revision, &status.updated_revision);
    let serves = status.decisions.as_ref().is_some_and(|decisions| decisions.serving == *hash);
    let moves = status.switch.as_ref().is_some_and(|switch| switch.to == *hash);
    let is_on_its_way = serves || moves || status.active_revision == *hash;
    promotes(request) && !newest.is_empty() && newest != hash && !is_on_its_way
}

/// Whether a promotion that was accepted goes on by itself when what keeps it is over: that the rollout is degraded takes nothing back.
fn still_stands(request: &Request, status: &BlueGreenRolloutStatus) -> bool {
    let Some(decisions) = &status.decisions else { return false };
    let waits = decisions.revision(&request.revision).is_some_and(|record| record.rejection.is_none());
    promotes(request) && waits && decisions.serving != request.revision
}

/// What has come of it, if nothing is waited for any more, or only the other people whom it takes: whose turn it is stands in the message.
fn settled(request: &Request, status: &BlueGreenRolloutStatus, required_approvals: usize) -> Option<Exit> {
    let waits = promotes(request) && required_approvals > 1 && status.phase == Phase::Paused;
    // It may serve already: as many people keep it after an analysis that came to no conclusion.
    if waits && status.updated_revision == request.revision {
        return Some(Exit::Waits);
    }
    finished(request, status).or_else(|| waits.then_some(Exit::Waits))
}

/// Whether what was asked has happened, or cannot happen any more. Asked only of a status that accepts the request.
fn finished(request: &Request, status: &BlueGreenRolloutStatus) -> Option<Exit> {
    let proven = |hash: &str| {
        let switch = status.switch.as_ref();
        status.active_revision == hash && switch.is_some_and(|switch| switch.to == hash && switch.proven_at.is_some())
    };
    let record = status.decisions.as_ref().and_then(|decisions| decisions.revision(&request.revision));
    let rejected = record.is_some_and(|record| record.rejection.is_some());
    match request.action {
        Verb::Promote | Verb::PromoteFull if proven(&request.revision) => Some(Exit::Done),
        Verb::Promote | Verb::PromoteFull => (status.phase == Phase::Degraded).then_some(Exit::Refused),
        // What was asked for is decided from the first moment; done is when something else serves, and provably.
        Verb::Rollback | Verb::Abort => {
            let serves_other = !status.active_revision.is_empty() && status.active_revision != request.revision;
            let serves_wanted = request.to.as_ref().is_none_or(|to| *to == status.active_revision);
            (rejected && serves_other && serves_wanted && proven(&status.active_revision)).then_some(Exit::Done)
        }
        // The answer takes the rejection away, in one write with it: one that stands after that is a new one.
        Verb::Retry => record.map(|_| if rejected { Exit::Refused } else { Exit::Done }),
        // By the operator's clock it was asked for earlier, if this one is ahead.
        Verb::Restart => {
            let requested_at = status.decisions.as_ref()?.restart_requested_at?;
            (status.restarted_at >= Some(requested_at)).then_some(Exit::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn request(action: Verb, revision: &str, to: Option<&str>) -> Request {
        let (revision, to) = (revision.into(), to.map(str::to_owned));
        Request { action, revision, to, by: "ann".into(), at: at(100), reason: None }
    }

    /// A status in which these revisions have entries, and the ones with a `!` are rejected.
    fn status(active: &str, proven: bool, revisions: &[&str]) -> BlueGreenRolloutStatus {
        let rejection = json!({"by": "ann", "at": at(100), "reason": "rolled back"});
        let entry = |revision: &&str| {
            let mut entry = json!({"hash": revision.trim_matches('!'), "digest": *revision, "number": 1});
            if revision.ends_with('!') {
                entry["rejection"] = rejection.clone();
            }
            entry
        };
        let revisions: Vec<_> = revisions.iter().map(entry).collect();
        let mut switch = json!({"to": active, "switchedAt": at(90)});
        if proven {
            switch["provenAt"] = json!(at(91));
        }
        serde_json::from_value(json!({
            "phase": "Degraded", "message": "Service preview does not exist", "activeRevision": active,
            "updatedRevision": "v3", "switch": switch, "decisions": {"serving": active, "revisions": revisions},
        }))
        .expect("a status")
    }

    #[test]
    fn a_promotion_of_what_is_not_the_newest_any_more_is_not_waited_for() {
        let promote = |revision: &str| request(Verb::Promote, revision, None);
        let mut status = status("v1", true, &["v1", "v2", "v3"]);
        assert!(is_superseded(&promote("v2"), &status), "v3 came before production moved");
        assert!(!is_superseded(&promote("v3"), &status) && !is_superseded(&promote("v1"), &status));
        assert!(!is_superseded(&request(Verb::Restart, "v2", None), &status));
        status.switch.as_mut().expect("a switch").to = "v2".to_owned();
        assert!(!is_superseded(&promote("v2"), &status), "production moves there");
        status.updated_revision.clear();
        assert!(!is_superseded(&promote("v4"), &status), "it is not known which one is the newest");
    }

    #[test]
    fn a_promotion_that_has_to_wait_for_what_is_broken_stands() {
        let promote = request(Verb::Promote, "v3", None);
        let waits = status("v2", true, &["v2", "v3"]);
        assert_eq!((finished(&promote, &waits), still_stands(&promote, &waits)), (Some(Exit::Refused), true));
        assert!(!still_stands(&promote, &status("v2", true, &["v2", "v3!"])), "it was rejected since");
        assert!(!still_stands(&promote, &status("v3", true, &["v2", "v3"])), "it serves, and something else is broken");
        assert!(!still_stands(&request(Verb::Rollback, "v2", None), &waits));
    }

    #[test]
    fn one_of_two_people_who_keep_what_serves_waits_for_the_other() {
        let promote = request(Verb::Promote, "v3", None);
        let mut inconclusive = status("v3", true, &["v2", "v3"]);
        inconclusive.phase = Phase::Paused;
        assert_eq!(settled(&promote, &inconclusive, 2), Some(Exit::Waits));
        assert_eq!(settled(&promote, &inconclusive, 1), Some(Exit::Done));
        let mut waits = status("v2", true, &["v2", "v3"]);
        waits.phase = Phase::Paused;
        assert_eq!(settled(&promote, &waits, 2), Some(Exit::Waits), "it is promoted by two, too");
        assert_eq!(settled(&promote, &waits, 1), None);
        let promoted = request(Verb::Promote, "v2", None);
        assert_eq!(settled(&promoted, &waits, 2), Some(Exit::Done), "it is a newer one that waits");
    }

    #[test]
    fn an_undo_is_done_when_the_other_one_serves_provably() {
        let undo = request(Verb::Rollback, "v2", None);
        assert_eq!(finished(&undo, &status("v2", true, &["v1", "v2!", "v3"])), None, "decided, and not moved");
        assert_eq!(finished(&undo, &status("v1", false, &["v1", "v2!", "v3"])), None, "moved, and not proven");
        assert_eq!(finished(&undo, &status("v1", true, &["v1", "v2!", "v3"])), Some(Exit::Done));
        assert_eq!(finished(&undo, &status("v1", true, &["v1", "v2", "v3"])), None, "nothing was rejected");
        assert_eq!(finished(&undo, &status("v1", true, &["v1"])), None, "nothing is known of it");
    }

    #[test]
    fn an_undo_to_a_revision_is_done_only_there() {
        let undo = request(Verb::Rollback, "v2", Some("v0"));
        assert_eq!(finished(&undo, &status("v1", true, &["v0", "v1", "v2!"])), None);
        assert_eq!(finished(&undo, &status("v0", true, &["v0", "v1", "v2!"])), Some(Exit::Done));
    }

    #[test]
    fn an_abort_is_done_when_production_is_where_it_was_provably() {
        let abort = request(Verb::Abort, "v3", None);
        assert_eq!(finished(&abort, &status("v2", true, &["v2", "v3!"])), Some(Exit::Done));
        assert_eq!(finished(&abort, &status("v2", false, &["v2", "v3!"])), None);
        assert_eq!(finished(&abort, &status("v2", true, &["v2", "v3"])), None);
    }

    #[test]
    fn a_restart_is_done_by_the_operators_clock_where_this_one_is_ahead() {
        let restart = request(Verb::Restart, "v1", None);
        let restarted = |at_second: Option<i64>| {
            let mut status = status("v1", true, &["v1"]);
            status.restarted_at = at_second.map(at);
            status.decisions.as_mut().expect("a record").restart_requested_at = Some(at(98));
            status
        };
        assert_eq!(finished(&restart, &restarted(None)), None);
        assert_eq!(finished(&restart, &restarted(Some(90))), None, "that was the one before");
        assert_eq!(finished(&restart, &restarted(Some(98))), Some(Exit::Done));
    }

    #[test]
    fn a_retry_is_done_when_the_rejection_is_gone_and_refused_when_there_is_a_new_one() {
        let retry = request(Verb::Retry, "v3", None);
        assert_eq!(finished(&retry, &status("v2", true, &["v2!", "v3"])), Some(Exit::Done));
        assert_eq!(finished(&retry, &status("v2", true, &["v2", "v3!"])), Some(Exit::Refused));
    }
}

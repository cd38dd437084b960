//! What a person may ask for: what is offered, what would come of it, and what came of it.

use std::time::Duration;

use anyhow::{Context, Result};
use greenlight_api::{
    BlueGreen, BlueGreenRollout, BlueGreenRolloutStatus, Phase, Request, RevisionRecord, Verb, conditions, names,
};
use greenlight_core::{World, approvals, roles};
use greenlight_overview::again::Busy;
use greenlight_overview::{
    Facts, Found, Session, Simulation, SpecChange, asked_at, is_forbidden, sentence, unanswered, was_heard,
};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::silence::said;

/// An operator that runs answers within a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// While a release is under way its status changes all the time.
const TRIES: usize = 10;
/// A person's form takes a reason of so many characters. A request has to hold more than that; one that is too long is refused.
pub const LONGEST_REASON: usize = 400;
const FIELD_MANAGER: &str = "greenlight-dashboard";

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Move production to the revision in preview.
    Promote,
    /// The same, without analyses and gates.
    PromoteFull,
    /// Reject the revision in preview.
    Abort,
    /// Reject what serves, and go back.
    Undo,
    /// Start a rejected revision over.
    Retry,
    /// Replace the serving pods one by one.
    Restart,
    /// Hold back every promotion.
    Pause,
    /// Let promotions go on.
    Resume,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 8] = [
        Action::Promote,
        Action::PromoteFull,
        Action::Abort,
        Action::Undo,
        Action::Retry,
        Action::Restart,
        Action::Pause,
        Action::Resume,
    ];

    /// As it stands in addresses; the plugin's word.
    pub fn word(self) -> &'static str {
        match self {
            Action::Promote => "promote",
            Action::PromoteFull => "promote-full",
            Action::Abort => "abort",
            Action::Undo => "undo",
            Action::Retry => "retry",
            Action::Restart => "restart",
            Action::Pause => "pause",
            Action::Resume => "resume",
        }
    }

    /// The action of a word.
    pub fn parse(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.word() == word)
    }

    /// What a button says.
    pub fn label(self) -> &'static str {
        match self {
            Action::Promote => "Promote",
            Action::PromoteFull => "Promote without waiting",
            Action::Abort => "Abort",
            Action::Undo => "Undo",
            Action::Retry => "Retry",
            Action::Restart => "Restart",
            Action::Pause => "Pause",
            Action::Resume => "Resume",
        }
    }

    /// The verb of the request; `pause` and `resume` change the spec.
    fn verb(self) -> Option<Verb> {
        match self {
            Action::Promote => Some(Verb::Promote),
            Action::PromoteFull => Some(Verb::PromoteFull),
            Action::Abort => Some(Verb::Abort),
            Action::Undo => Some(Verb::Rollback),
            Action::Retry => Some(Verb::Retry),
            Action::Restart => Some(Verb::Restart),
            Action::Pause | Action::Resume => None,
        }
    }
}

/// What is asked: an action, and the revision that was on the screen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// The revision that it is about, by its hash.
    pub revision: String,
    /// `undo` only: the revision to go back to, by its hash; empty: the one that served before.
    pub to: String,
    /// Why, in the person's words.
    pub reason: String,
    /// What only a page of ours knows.
    pub csrf: String,
}

/// An action that a rollout has use for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The action.
    pub action: Action,
    /// The revision that it is about, by its hash; empty where it is about none.
    pub revision: String,
    /// What the button says.
    pub label: String,
}

/// What a rollout has use for now, by a user. One that is being deleted has use for nothing.
pub fn offers(facts: &Facts, blue_green: &BlueGreen, paused: bool, user: &str) -> Vec<Offer> {
    if facts.deleting {
        return Vec::new();
    }
    let decisions = facts.status.decisions.clone().unwrap_or_default();
    let (serving, updated) = (decisions.serving.clone(), facts.status.updated_revision.clone());
    let record = decisions.revision(&updated);
    let number = |hash: &str| decisions.revision(hash).map_or(String::new(), |record| record.number.to_string());
    let offer = |action: Action, revision: &str, label: String| Offer { action, revision: revision.to_owned(), label };
    let mut offers = Vec::new();
    let rejected = record.is_some_and(|record| record.rejection.is_some());
    if !updated.is_empty() && updated != serving && !serving.is_empty() {
        if rejected {
            offers.push(offer(Action::Retry, &updated, format!("Retry revision {}", number(&updated))));
        } else {
            let approvals = record.map(|record| approvals::counted(blue_green, record)).unwrap_or_default();
            let (given, needed, newest) = (approvals.len(), blue_green.required_approvals(), number(&updated));
            let label = if needed < 2 || given >= needed {
                format!("Promote revision {newest}")
            } else if approvals.iter().any(|approval| approval.by == user) {
                // Nobody is two people. It counts once more after an analysis that came to no conclusion.
                format!("Approve revision {newest} again ({given} of {needed})")
            } else {
                format!("Approve revision {newest} ({} of {needed})", given + 1)
            };
            offers.push(offer(Action::Promote, &updated, label));
            offers.push(offer(Action::PromoteFull, &updated, Action::PromoteFull.label().to_owned()));
            offers.push(offer(Action::Abort, &updated, format!("Abort revision {}", number(&updated))));
        }
    }
    if !serving.is_empty() && updated == serving && !rejected {
        // Its analysis waits for a person, or one need not wait for it.
        let keep = format!("Keep revision {}", number(&serving));
        match facts.reason.as_str() {
            conditions::REASON_INCONCLUSIVE => offers.push(offer(Action::Promote, &serving, keep)),
            // One that failed, with nothing to go back to, is over.
            conditions::REASON_POST_PROMOTION_ANALYSIS if facts.status.phase == Phase::Degraded => {}
            conditions::REASON_POST_PROMOTION_ANALYSIS | conditions::REASON_ANALYSIS_REFUSED => {
                offers.push(offer(Action::PromoteFull, &serving, format!("{keep} without its analysis")));
            }
            _ => {}
        }
    }
    if !serving.is_empty() {
        // While production leaves a revision, it is still the one that serves; it was undone already.
        let is_left = decisions.rejection(&serving).is_some();
        if !is_left && decisions.revisions.iter().any(|record| can_return(&record.hash, facts)) {
            offers.push(offer(Action::Undo, &serving, format!("Undo revision {}", number(&serving))));
        }
        offers.push(offer(Action::Restart, &serving, Action::Restart.label().to_owned()));
    }
    // What goes on when the pause ends is what was looked at; holding it back needs no such look.
    offers.push(if paused {
        offer(Action::Resume, &updated, Action::Resume.label().to_owned())
    } else {
        offer(Action::Pause, "", Action::Pause.label().to_owned())
    });
    offers
}

/// Whether production can go back to this revision: it served, does not now, and is not barred.
pub fn can_return(hash: &str, facts: &Facts) -> bool {
    let Some(decisions) = &facts.status.decisions else { return false };
    let record = decisions.revision(hash);
    !facts.deleting && hash != decisions.serving && record.is_some_and(RevisionRecord::may_serve_again)
}

/// What would come of an action, by the operator's own core.
pub enum Forecast {
    /// The operator does it.
    Steps {
        /// The steps.
        steps: Vec<String>,
        /// How it ends.
        outcome: String,
        /// `undo` only: the revision that it goes back to, by its hash. It is to be named when this is confirmed.
        to: String,
    },
    /// The operator would refuse it, and why.
    Refused(String),
    /// It cannot be told, and why.
    Unknown(String),
}

/// Finds out what would come of it. Nothing is changed.
///
/// # Errors
/// The rollout is not there, or the caller may not read what belongs to it.
pub async fn forecast(session: &Session, name: &str, user: &str, action: Action, wish: &Wish) -> Result<Forecast> {
    let mut rollout = session.rollout(name).await?;
    if action.verb().is_none() {
        rollout.spec.paused = Some(action == Action::Pause);
    }
    if let Some(workload) = &rollout.spec.workload_ref {
        let name = &workload.name;
        return Ok(Forecast::Unknown(format!(
            "What will happen is not known here: the template is that of Deployment {name}."
        )));
    }
    let mut simulation = match Simulation::read(session, rollout).await {
        Ok(simulation) => simulation,
        // Whoever may ask need not be one who may see the pods.
        Err(error) if error.downcast_ref::<kube::Error>().is_some_and(is_forbidden) => {
            return Ok(Forecast::Unknown(format!("What will happen is not known here: {}.", said(&*error))));
        }
        Err(error) => return Err(error),
    };
    let mut wish = wish.clone();
    if action == Action::Undo && wish.to.is_empty() {
        wish.to = way_back(&simulation.world, &wish.revision).unwrap_or_default();
    }
    let asked = action.verb().map(|verb| request(verb, &wish, user, Timestamp::now()).to_value());
    if asked.is_some() {
        simulation.world.rollout.request.clone_from(&asked);
    }
    let outcome = sentence(&simulation.run());
    let observed = simulation.world.rollout.status.and_then(|status| status.observed_request);
    let refusal = observed.filter(|observed| Some(&observed.value) == asked.as_ref() && !observed.accepted);
    Ok(match refusal {
        Some(observed) => Forecast::Refused(sentence(&observed.answer)),
        None => Forecast::Steps { steps: simulation.steps, outcome, to: wish.to },
    })
}

/// Where the operator would go back to from this revision, by its hash, if it were asked now.
fn way_back(world: &World, revision: &str) -> Option<String> {
    roles::fallback(world, world.rollout.record()?, revision, None).map(|rs| rs.hash.clone())
}

/// What came of an action.
pub enum Outcome {
    /// The operator does it; its answer.
    Accepted(String),
    /// Nothing is done, and why.
    Refused(String),
    /// Somebody else has asked for something since, before it was answered. The operator may have begun with it.
    Overtaken,
    /// It was asked for, and nobody has answered, and why, as far as that is known.
    Unanswered(String),
    /// It was asked for, and what came of it could not be seen, and why.
    Unseen(String),
}

/// Asks for it, and waits for the answer. If the revision on the screen is not the one any more that the action is about, nothing
/// is asked.
///
/// # Errors
/// The API server refuses: the caller may not. Or the rollout is gone before the operator has answered.
pub async fn carry_out(session: &Session, name: &str, user: &str, action: Action, wish: &Wish) -> Result<Outcome> {
    let Some(verb) = action.verb() else { return hold(session, name, user, action, wish).await };
    let (rollout, theirs) = tokio::join!(session.rollout(name), session.user_and_time());
    let rollout = rollout?;
    let api = session.api::<Found>();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    if let Some(why) = superseded(&rollout, action, &wish.revision) {
        return Ok(Outcome::Refused(why));
    }
    // Whoever is not told the time by the API server has a clock of their own.
    let at = asked_at(Timestamp::now(), theirs.ok().and_then(|(_, time)| time));
    let value = request(verb, wish, user, at).to_value();
    if value.len() > Request::LONGEST {
        let over = value.len() - Request::LONGEST;
        return Ok(Outcome::Refused(format!(
            "Nothing was done: the request is too long by {over} bytes. Give a shorter reason."
        )));
    }
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::REQUEST: value}}}));
    api.patch(name, &params, &patch).await.with_context(|| format!("cannot ask rollout {name}"))?;
    let started = Instant::now();
    // By what the last look saw, or why it saw nothing.
    let mut in_vain = Outcome::Unanswered(unanswered(&BlueGreenRolloutStatus::default(), 0));
    while started.elapsed() < ANSWER_WITHIN {
        let rollout = match session.rollout(name).await {
            Ok(rollout) => rollout,
            // The request stands, whether or not the API server shows it now: that is no refusal.
            Err(error) if error.is::<kube::Error>() => {
                in_vain = Outcome::Unseen(said(&*error));
                // Who asks to be left alone is.
                let pause = Busy::cause_of(&*error).map_or(LOOK_EVERY, |busy| busy.pause);
                if pause > ANSWER_WITHIN.saturating_sub(started.elapsed()) {
                    break;
                }
                sleep(pause).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let stands = rollout.annotations().get(names::REQUEST).is_some_and(|stands| *stands == value);
        let is_deleting = rollout.metadata.deletion_timestamp.is_some();
        let generation = rollout.metadata.generation.unwrap_or_default();
        let status = rollout.status.unwrap_or_default();
        in_vain = Outcome::Unanswered(unanswered(&status, generation));
        match status.observed_request.filter(|observed| observed.value == value) {
            Some(observed) if observed.accepted => return Ok(Outcome::Accepted(sentence(&observed.answer))),
            Some(observed) => return Ok(Outcome::Refused(sentence(&observed.answer))),
            // The annotation holds one request: the last.
            None if !stands => {
                return Ok(match was_heard(session, name, &value).await {
                    Ok(false) => Outcome::Overtaken,
                    Ok(true) => {
                        Outcome::Unseen("The operator heard it, and answered another request since.".to_owned())
                    }
                    Err(error) => Outcome::Unseen(said(&*error)),
                });
            }
            None if is_deleting => {
                return Ok(Outcome::Unseen(
                    "The rollout is being deleted since, and no request is answered any more.".to_owned(),
                ));
            }
            None => sleep(LOOK_EVERY).await,
        }
    }
    Ok(in_vain)
}

/// Pauses or resumes, which changes the spec. What a resume lets go on has to be what was on the screen.
async fn hold(session: &Session, name: &str, user: &str, action: Action, wish: &Wish) -> Result<Outcome> {
    let api = session.api::<Found>();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let paused = action == Action::Pause;
    let change = if paused { SpecChange::Pause } else { SpecChange::Resume };
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let rollout = session.rollout(name).await?;
        let mut patch = json!({"metadata": {}, "spec": {"paused": paused}});
        if !paused {
            if let Some(why) = superseded(&rollout, action, &wish.revision).or_else(|| unseen(&rollout)) {
                return Ok(Outcome::Refused(why));
            }
            // Whatever comes between this look and the change is looked at first.
            patch["metadata"]["resourceVersion"] = json!(rollout.resource_version());
        }
        if let Some(cause) = change.cause(&rollout, user, reason(wish).as_deref()) {
            patch["metadata"]["annotations"] = json!({names::CHANGE_CAUSE: cause});
        }
        match api.patch(name, &params, &Patch::Merge(patch)).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if !paused && status.code == 409 && tries_left > 0 => {}
            Err(error) => return Err(error).with_context(|| format!("cannot change rollout {name}")),
        }
    }
    let what = if paused { "holds back every promotion" } else { "lets promotions go on" };
    Ok(Outcome::Accepted(format!("Rollout {name} {what}.")))
}

/// Why nobody can have seen on a screen what the spec asks for by now.
fn unseen(rollout: &BlueGreenRollout) -> Option<String> {
    let observed = rollout.status.as_ref().map_or(0, |status| status.observed_generation);
    (rollout.metadata.generation.unwrap_or_default() > observed).then(|| {
        "Nothing was done: the spec has changed, and the status does not speak of it yet. Look again, and ask again."
            .to_owned()
    })
}

/// Why, if the person said it.
fn reason(wish: &Wish) -> Option<String> {
    let reason: String = wish.reason.trim().chars().take(LONGEST_REASON).collect();
    Some(reason).filter(|reason| !reason.is_empty())
}

fn request(verb: Verb, wish: &Wish, user: &str, at: Timestamp) -> Request {
    Request {
        action: verb,
        revision: wish.revision.clone(),
        to: Some(wish.to.clone()).filter(|to| !to.is_empty()),
        by: user.to_owned(),
        at,
        reason: reason(wish),
    }
}

/// Why the revision that was on the screen is not the one any more that the action is about. The operator looks once more, at what
/// the request names; but at nothing of a rollout that is being deleted.
fn superseded(rollout: &BlueGreenRollout, action: Action, revision: &str) -> Option<String> {
    if rollout.metadata.deletion_timestamp.is_some() {
        return Some("Nothing was done: the rollout is being deleted, and no request is answered any more.".to_owned());
    }
    let status = rollout.status.clone().unwrap_or_default();
    let decisions = status.decisions.unwrap_or_default();
    let (now, what) = match action {
        Action::Undo | Action::Restart => (&decisions.serving, "serves"),
        _ => (&status.updated_revision, "is the newest"),
    };
    if now == revision {
        return None;
    }
    let name = |hash: &str| match decisions.revision(hash) {
        Some(record) => format!("revision {} ({hash})", record.number),
        None => format!("revision {hash}"),
    };
    Some(format!(
        "Nothing was done: you looked at {}, and now {} {what}. Look at that one, and ask again.",
        name(revision),
        name(now)
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use greenlight_core::hash;
    use greenlight_overview::again::Again;
    use kube::Client;
    use kube::client::Body;
    use tower::Layer as _;

    use super::*;
    use crate::fake::{Asked, api_server, failure, nothing, rollout, session};

    #[test]
    fn what_is_not_on_the_screen_any_more_is_not_asked_for() {
        let revisions = json!([{"hash": "v2", "digest": "2", "number": 2}, {"hash": "v3", "digest": "3", "number": 3}]);
        let status = json!({"updatedRevision": "v3", "decisions": {"serving": "v1", "revisions": revisions}});
        let rollout: BlueGreenRollout = serde_json::from_value(rollout(json!({}), status)).expect("a rollout");
        assert_eq!(superseded(&rollout, Action::Promote, "v3"), None);
        assert_eq!(superseded(&rollout, Action::Undo, "v1"), None);
        assert_eq!(superseded(&rollout, Action::Resume, "v3"), None);
        let why = superseded(&rollout, Action::Promote, "v2").expect("superseded");
        assert!(why.contains("looked at revision 2 (v2), and now revision 3 (v3) is the newest"), "{why}");
    }

    #[test]
    fn nothing_is_asked_of_a_rollout_that_is_being_deleted() {
        let served = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number, "servedAt": "2026-11-28T20:00:00Z"});
        let revisions = json!([served("v1", 1), served("v2", 2)]);
        let status = json!({"updatedRevision": "v2", "decisions": {"serving": "v2", "revisions": revisions}});
        let mut object = rollout(json!({}), status.clone());
        object["metadata"]["deletionTimestamp"] = json!("2026-11-28T20:10:00Z");
        let why = superseded(&serde_json::from_value(object).expect("a rollout"), Action::Undo, "v2");
        assert!(why.is_some_and(|why| why.contains("is being deleted")));
        let of = |deleting: bool| {
            let status = serde_json::from_value(status.clone()).expect("a status");
            let facts = Facts { status, deleting, ..Facts::default() };
            (offers(&facts, &BlueGreen::default(), false, "ann").len(), can_return("v1", &facts))
        };
        assert_eq!((of(false), of(true)), ((3, true), (0, false)));
    }

    #[test]
    fn what_was_undone_is_not_offered_to_be_undone_while_production_leaves_it() {
        let served = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number, "servedAt": "2026-11-28T20:00:00Z"});
        let offered = |rejection: serde_json::Value| {
            let mut second = served("v2", 2);
            second["rejection"] = rejection;
            let status = json!({"updatedRevision": "v2", "decisions": {"serving": "v2", "revisions": [served("v1", 1), second]}});
            let facts = Facts { status: serde_json::from_value(status).expect("a status"), ..Facts::default() };
            offers(&facts, &BlueGreen::default(), false, "ann")
                .into_iter()
                .map(|offer| offer.action)
                .collect::<Vec<_>>()
        };
        assert!(offered(serde_json::Value::Null).contains(&Action::Undo));
        let undone = json!({"by": "ann", "at": "2026-11-28T20:10:00Z", "reason": "rolled back"});
        assert!(!offered(undone).contains(&Action::Undo));
    }

    #[test]
    fn what_serves_is_offered_to_be_kept_while_its_analysis_is_not_over() {
        let served = |hash: &str, number: i64| json!({"hash": hash, "digest": hash, "number": number, "servedAt": "2026-11-28T20:00:00Z"});
        let offered = |reason: &str| {
            let decisions = json!({"serving": "v2", "revisions": [served("v1", 1), served("v2", 2)]});
            let status = json!({"updatedRevision": "v2", "decisions": decisions});
            let status = serde_json::from_value(status).expect("a status");
            let facts = Facts { status, reason: reason.to_owned(), ..Facts::default() };
            let offers = offers(&facts, &BlueGreen::default(), false, "ann").into_iter();
            let promotion = offers.filter(|offer| [Action::Promote, Action::PromoteFull].contains(&offer.action));
            promotion.map(|offer| offer.label).collect::<Vec<_>>()
        };
        assert_eq!(offered("AnalysisInconclusive"), ["Keep revision 2"]);
        assert_eq!(offered("PostPromotionAnalysis"), ["Keep revision 2 without its analysis"]);
        assert_eq!(offered("Healthy"), Vec::<String>::new());
    }

    #[test]
    fn nobody_is_two_of_the_people_who_have_to_approve() {
        let served = json!({"hash": "v1", "digest": "v1", "number": 1, "servedAt": "2026-11-28T20:00:00Z"});
        let approval = json!({"by": "ann", "at": "2026-11-28T20:10:00Z"});
        let waits = json!({"hash": "v2", "digest": "v2", "number": 2, "approvals": [approval]});
        let status = json!({"updatedRevision": "v2", "decisions": {"serving": "v1", "revisions": [served, waits]}});
        let facts = Facts { status: serde_json::from_value(status).expect("a status"), ..Facts::default() };
        let label = |needed, user: &str| {
            let blue_green = BlueGreen { required_approvals: Some(needed), ..BlueGreen::default() };
            let offers = offers(&facts, &blue_green, false, user);
            let promotion = offers.into_iter().find(|offer| offer.action == Action::Promote);
            promotion.expect("it is offered").label
        };
        assert_eq!(label(2, "ann"), "Approve revision 2 again (1 of 2)");
        assert_eq!(label(2, "bob"), "Approve revision 2 (2 of 2)");
        assert_eq!(label(1, "ann"), "Promote revision 2");
    }

    #[tokio::test]
    async fn a_resume_lets_go_on_what_was_on_the_screen_and_nothing_newer() {
        // What is there by now, its generation, and whether it is newer when the change arrives.
        for (newest, generation, comes_between) in
            [("v2", 1, false), ("v3", 1, false), ("v2", 2, false), ("v2", 1, true)]
        {
            let changed: Arc<Mutex<(usize, Vec<serde_json::Value>)>> = Arc::default();
            let seen = changed.clone();
            let client = api_server(move |call: Asked| {
                let seen = seen.clone();
                async move {
                    let mut seen = seen.lock().expect("nobody has panicked");
                    let (looks, patches) = &mut *seen;
                    if call.method == http::Method::PATCH {
                        let is_late = comes_between && call.body["metadata"]["resourceVersion"] == "1";
                        if is_late {
                            return failure(409, "the object has been modified");
                        }
                        patches.push(call.body);
                    } else {
                        *looks += 1;
                    }
                    let newest = if comes_between && *looks > 1 { "v3" } else { newest };
                    let status = json!({"updatedRevision": newest, "observedGeneration": 1});
                    let mut told = rollout(json!({}), status);
                    told["metadata"]["generation"] = json!(generation);
                    told["metadata"]["resourceVersion"] = json!(looks.to_string());
                    (200, told)
                }
            });
            let session = session(client);
            let wish = Wish { revision: "v2".to_owned(), ..Wish::default() };
            let outcome = carry_out(&session, "web", "ann", Action::Resume, &wish).await.expect("an answer");
            let is_asked = !changed.lock().expect("nobody has panicked").1.is_empty();
            let is_as_seen = newest == "v2" && generation == 1 && !comes_between;
            assert_eq!(
                (matches!(outcome, Outcome::Accepted(_)), is_asked),
                (is_as_seen, is_as_seen),
                "{newest} {generation}"
            );
        }
    }

    #[tokio::test]
    async fn an_undo_names_the_revision_that_the_forecast_goes_back_to() {
        let revision = |(hash, number): (&str, i64)| {
            let served_at = "2026-11-28T20:00:00Z";
            json!({"hash": hash, "digest": hash, "number": number, "turn": number, "uid": hash, "servedAt": served_at})
        };
        let replica_set = |(hash, _): (&str, i64)| {
            let version = "greenlight.dev/v1alpha1";
            let owner = json!({"apiVersion": version, "kind": "BlueGreenRollout", "name": "web", "uid": "1"});
            json!({
                "metadata": {
                    "name": format!("web-{hash}"), "namespace": "shop", "uid": hash,
                    "labels": {names::HASH_LABEL: hash}, "ownerReferences": [owner],
                },
                "spec": {"replicas": 1, "selector": {}},
                "status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1},
            })
        };
        let all = [("v1", 1), ("v2", 2), ("v3", 3)];
        let goes_back_to = |barred: Option<usize>| async move {
            let mut revisions = all.map(revision);
            if let Some(barred) = barred {
                revisions[barred]["rejection"] = json!({"by": "bob", "at": "2026-11-28T21:00:00Z", "reason": "bad"});
            }
            let decisions = json!({"serving": "v3", "replicas": 1, "specReplicas": 1, "revisions": revisions});
            let status = json!({"updatedRevision": "v3", "observedGeneration": 1, "decisions": decisions});
            let (rollout, (_, mut replica_sets)) = (rollout(json!({}), status), nothing());
            replica_sets["items"] = json!(all.map(replica_set));
            let client = api_server(move |call: Asked| {
                std::future::ready(match call.path.rsplit('/').next() {
                    Some("web") => (200, rollout.clone()),
                    Some("replicasets") => (200, replica_sets.clone()),
                    _ => nothing(),
                })
            });
            let wish = Wish { revision: "v3".to_owned(), ..Wish::default() };
            match forecast(&session(client), "web", "ann", Action::Undo, &wish).await.expect("it can be read") {
                Forecast::Steps { to, .. } => to,
                Forecast::Refused(why) | Forecast::Unknown(why) => panic!("{why}"),
            }
        };
        assert_eq!(goes_back_to(None).await, "v2");
        assert_eq!(goes_back_to(Some(1)).await, "v1", "the second is barred");
    }

    #[tokio::test]
    async fn a_look_that_fails_after_the_request_is_no_refusal() {
        // The value of the request, and how often somebody has looked since.
        let asked: Arc<Mutex<(Option<String>, usize)>> = Arc::default();
        let client = api_server(move |call: Asked| {
            let asked = asked.clone();
            async move {
                let mut told = rollout(json!({}), json!({"updatedRevision": "v2"}));
                let mut asked = asked.lock().expect("nobody has panicked");
                let (value, looks) = &mut *asked;
                if call.method == http::Method::PATCH {
                    *value = call.body["metadata"]["annotations"][names::REQUEST].as_str().map(str::to_owned);
                } else if let Some(value) = value {
                    *looks += 1;
                    if *looks == 1 {
                        return failure(503, "too busy");
                    }
                    told["metadata"]["annotations"] = json!({names::REQUEST: value});
                    told["status"]["observedRequest"] =
                        json!({"value": value, "accepted": true, "answer": "it is done"});
                }
                (200, told)
            }
        });
        let session = session(client);
        let wish = Wish { revision: "v2".to_owned(), ..Wish::default() };
        let outcome = carry_out(&session, "web", "ann", Action::Promote, &wish).await.expect("it was asked for");
        assert!(matches!(outcome, Outcome::Accepted(answer) if answer == "It is done."));
    }

    #[tokio::test]
    async fn a_request_is_not_older_than_the_clock_of_the_api_server_says() {
        let asked: Arc<Mutex<Option<String>>> = Arc::default();
        let seen = asked.clone();
        let client = api_server(move |call: Asked| {
            let asked = asked.clone();
            async move {
                if call.path.ends_with("/selfsubjectreviews") {
                    // This clock is behind by a thousand years.
                    return (201, json!({"metadata": {"creationTimestamp": "2999-01-01T00:00:00Z"}}));
                }
                if call.method == http::Method::PATCH {
                    let value = call.body["metadata"]["annotations"][names::REQUEST].as_str().map(str::to_owned);
                    *asked.lock().expect("nobody has panicked") = value;
                    return failure(403, "no");
                }
                (200, rollout(json!({}), json!({"decisions": {"serving": "v1"}})))
            }
        });
        let wish = Wish { revision: "v1".to_owned(), ..Wish::default() };
        assert!(carry_out(&session(client), "web", "ann", Action::Restart, &wish).await.is_err(), "it is refused");
        let value = seen.lock().expect("nobody has panicked").clone().expect("it was asked for");
        let request: serde_json::Value = serde_json::from_str(&value).expect("JSON");
        assert_eq!(request["at"], "2999-01-01T00:00:00Z");
    }

    /// What comes of a request if every look after it is answered by this code, and how often somebody looks.
    async fn asked_before(code: u16) -> (Outcome, usize) {
        // The value of the request, and how often somebody has looked since.
        let asked: Arc<Mutex<(Option<String>, usize)>> = Arc::default();
        let seen = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let asked = asked.clone();
            async move {
                let is_patch = request.method() == http::Method::PATCH;
                let body = request.into_body().collect_bytes().await?;
                let mut asked = asked.lock().expect("nobody has panicked");
                let (value, looks) = &mut *asked;
                let mut told = (200, rollout(json!({}), json!({"updatedRevision": "v2"})));
                if is_patch {
                    let body: serde_json::Value = serde_json::from_slice(&body)?;
                    *value = body["metadata"]["annotations"][names::REQUEST].as_str().map(str::to_owned);
                } else if let Some(value) = value {
                    *looks += 1;
                    told.1["metadata"]["annotations"] = json!({names::REQUEST: value});
                    if code != 200 {
                        told = failure(code, "not now");
                    }
                }
                let (code, told) = told;
                let answer = http::Response::builder().status(code).header(http::header::RETRY_AFTER, "30");
                Ok::<_, tower::BoxError>(answer.body(Body::from(told.to_string().into_bytes()))?)
            }
        });
        let session = session(Client::new(Again::quick().layer(service), "shop"));
        let wish = Wish { revision: "v2".to_owned(), ..Wish::default() };
        let outcome = carry_out(&session, "web", "ann", Action::Promote, &wish).await.expect("it was asked for");
        let looks = seen.lock().expect("nobody has panicked").1;
        (outcome, looks)
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_is_not_blamed_for_what_the_api_server_does_not_show() {
        let (outcome, looks) = asked_before(200).await;
        assert!(matches!(outcome, Outcome::Unanswered(why) if why.contains("Is it running?")) && looks > 1);
        let (outcome, looks) = asked_before(403).await;
        assert!(matches!(outcome, Outcome::Unseen(why) if why.contains("not now")) && looks > 1, "it may come back");
        let (outcome, looks) = asked_before(429).await;
        assert!(matches!(outcome, Outcome::Unseen(why) if why.contains("try again in 30 s")));
        assert_eq!(looks, 1, "who asks to be left alone is");
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_is_not_blamed_for_a_rollout_that_is_deleted_meanwhile() {
        let asked: Arc<Mutex<Option<String>>> = Arc::default();
        let client = api_server(move |call: Asked| {
            let asked = asked.clone();
            async move {
                let mut told = rollout(json!({}), json!({"updatedRevision": "v2"}));
                let mut asked = asked.lock().expect("nobody has panicked");
                if call.method == http::Method::PATCH {
                    *asked = call.body["metadata"]["annotations"][names::REQUEST].as_str().map(str::to_owned);
                } else if let Some(value) = &*asked {
                    told["metadata"]["annotations"] = json!({names::REQUEST: value});
                    told["metadata"]["deletionTimestamp"] = json!("2026-11-28T20:10:00Z");
                }
                (200, told)
            }
        });
        let wish = Wish { revision: "v2".to_owned(), ..Wish::default() };
        let outcome = carry_out(&session(client), "web", "ann", Action::Promote, &wish).await.expect("an answer");
        assert!(matches!(outcome, Outcome::Unseen(why) if why.contains("is being deleted")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_heard_before_somebody_else_asked_is_not_told_that_nothing_was_done() {
        for is_heard in [true, false] {
            let asked: Arc<Mutex<Option<String>>> = Arc::default();
            let client = api_server(move |call: Asked| {
                let asked = asked.clone();
                async move {
                    let mut told = rollout(json!({}), json!({"updatedRevision": "v2"}));
                    let mut asked = asked.lock().expect("nobody has panicked");
                    if call.method == http::Method::PATCH {
                        *asked = call.body["metadata"]["annotations"][names::REQUEST].as_str().map(str::to_owned);
                    } else if let Some(value) = &*asked {
                        let heard: Vec<String> = if is_heard { vec![hash::short_name(value)] } else { Vec::new() };
                        told["metadata"]["annotations"] = json!({names::REQUEST: "another"});
                        told["status"]["observedRequest"] =
                            json!({"value": "another", "accepted": true, "answer": "it is done"});
                        told["status"]["decisions"] = json!({"serving": "v1", "revisions": [], "heard": heard});
                    }
                    (200, told)
                }
            });
            let wish = Wish { revision: "v2".to_owned(), ..Wish::default() };
            let outcome = carry_out(&session(client), "web", "ann", Action::Promote, &wish).await.expect("an answer");
            assert_eq!(matches!(outcome, Outcome::Overtaken), !is_heard);
            assert_eq!(matches!(outcome, Outcome::Unseen(why) if why.contains("heard it")), is_heard);
        }
    }

    #[test]
    fn every_word_is_that_of_its_action() {
        Action::ALL.into_iter().for_each(|action| assert_eq!(Action::parse(action.word()), Some(action)));
        assert_eq!(Action::parse("delete"), None);
    }
}

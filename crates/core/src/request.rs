//! What a person asked for, and what comes of it.
//!
//! The annotation is a register: it holds the last request, and keeps it after it was carried out. So each value is heard once: what
//! it decides is entered in the record, and the answer is published with it, in one write of the status. A value that is answered
//! there has no effect any more, whatever else happens.
//!
//! | verb | names | decides |
//! |---|---|---|
//! | `promote`, `promote-full` | the candidate | an approval; enough of them open the gate |
//! | `promote` | what serves, if its analysis was inconclusive | that it is kept, if as many ask as for a promotion |
//! | `promote-full` | what serves, if its analysis is not over | the same, without the analysis |
//! | `abort` | the candidate | its rejection |
//! | `rollback` | what serves | its rejection, so that production goes back |
//! | `retry` | the rejected revision of the spec | a new attempt |
//! | `restart` | any | that pods older than the request are replaced |
//!
//! Why somebody asks goes into the record of what is decided, after it, and into the answer.
//!
//! A value that was there before the record was (a new rollout, a lost status) is answered and not carried out: nobody knows
//! whether it has been.

use greenlight_api::{Approval, Decisions, ObservedRequest, Rejection, Request, RevisionRecord, Verb, Verdict};

use crate::actions::Action;
use crate::analysis::{self, Kind, Outcome};
use crate::approvals;
use crate::decisions::{self, Read, Source};
use crate::hash;
use crate::roles;
use crate::situation::Situation;
use crate::stall;
use crate::words::{brief, cut};
use crate::world::{ReplicaSet, Run, World, just_after};

/// How many answered requests are remembered, so that one that comes again late is known.
const REMEMBERED: usize = 8;

/// How many approvals of a revision are remembered, the latest ones. No promotion needs more.
const MOST_APPROVALS: usize = 20;

/// What to do instead of a retry while production is still leaving a revision: where it goes back to may be what cannot start.
pub const INSTEAD_OF_WHAT_IS_LEFT: &str =
    "To have its template serve all the same, change an annotation of it in the spec, and promote that revision";

const EXAMPLE: &str = r#"{"action":"promote","revision":"<hash>","by":"<you>","at":"<RFC 3339>"}"#;

/// The reason of a rejection that was asked for by `rollback`.
const ROLLED_BACK: &str = "rolled back";

/// What comes of a request: an answer, or why it is refused and what to ask instead.
type Answer = Result<String, String>;

/// What became of the value in the register.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The bare verb that was typed, written out.
    pub completed: Option<Request>,
    /// The answer.
    pub answer: Option<ObservedRequest>,
}

/// What is in the register, if anything is: the value, as an answer to it keeps it, and the answer that it has.
fn register(world: &World) -> Option<(&str, String, Option<&ObservedRequest>)> {
    let value = world.rollout.request.as_deref().filter(|value| !value.trim().is_empty())?;
    // Of one that is too long only the beginning is kept.
    let kept = cut(value.to_owned(), Request::LONGEST);
    let last = world.rollout.status.as_ref().and_then(|status| status.observed_request.as_ref());
    let answer = last.filter(|last| last.value == kept);
    Some((value, kept, answer))
}

/// Whether a request has no answer yet.
pub fn is_unanswered(world: &World) -> bool {
    register(world).is_some_and(|(_, _, answer)| answer.is_none())
}

/// Hears the request in the register, if there is one that was not heard yet, and enters what it decides.
pub fn hear(situation: &Situation, read: &Read, decisions: &mut Decisions) -> Heard {
    let world = situation.world;
    let Some((value, kept, answer)) = register(world) else { return Heard::default() };
    if answer.is_some() {
        return Heard { completed: None, answer: answer.cloned() };
    }
    let answered = |answer: Answer| {
        let (accepted, answer) = match answer {
            Ok(answer) => (true, answer),
            Err(why) => (false, why),
        };
        let answer = ObservedRequest { value: kept.clone(), accepted, answer: brief(answer) };
        Heard { completed: None, answer: Some(answer) }
    };
    if read.source == Source::Nothing {
        // Written out, a bare verb is another value when somebody asks again by the same word.
        if let Ok(Parsed::Short(action, revision)) = parse(value)
            && refusal(situation).is_none()
            && let Some(revision) = revision.or_else(|| spoken_of(situation, read, action))
        {
            return written_out(situation, action, revision);
        }
        let why = "this request was there before the status was, so nobody knows whether it has been carried out. It is not \
                   carried out now. Ask again if it is still wanted";
        return answered(Err(why.to_owned()));
    }
    let digest = hash::short_name(value);
    let mut request = match parse(value) {
        Ok(Parsed::Full(_)) if decisions.heard.contains(&digest) => {
            let why = "this very request was answered before, and another one since. Ask anew if it is wanted again";
            return answered(Err(why.to_owned()));
        }
        Ok(Parsed::Full(request)) => request,
        Ok(Parsed::Short(action, revision)) => {
            // Written out, so that the answer is to this request, and the next one of the same word is another one.
            let Some(revision) = revision.or_else(|| meant(situation, read, action)) else {
                return answered(Err(format!("there is no revision to {} yet", action.as_str())));
            };
            if let Some(why) = refusal(situation) {
                return answered(Err(format!(
                    "the API server refuses to write it out in full: {why}. Ask by kubectl greenlight"
                )));
            }
            return written_out(situation, action, revision);
        }
        Err(why) => return answered(Err(why)),
    };
    // By a clock that is ahead it would be later than what comes of it: what was undone would look aborted, and a restart begin later, or never.
    request.at = request.at.min(situation.now);
    let of_candidate = [Verb::Promote, Verb::PromoteFull].contains(&request.action);
    if of_candidate && world.live && is_made_next(situation, &request.revision) {
        return Heard::default();
    }
    decisions.heard.push(digest);
    let forgotten = decisions.heard.len().saturating_sub(REMEMBERED);
    decisions.heard.drain(..forgotten);
    let hearing = Hearing { situation, request: &request };
    if let Some(why) = hearing.named_by_number() {
        return answered(Err(why));
    }
    let answer = match request.action {
        Verb::Promote | Verb::PromoteFull => hearing.promote(decisions),
        Verb::Abort => hearing.abort(decisions),
        Verb::Rollback => hearing.roll_back(decisions),
        Verb::Retry => hearing.retry(decisions),
        Verb::Restart => hearing.restart(decisions),
    };
    answered(answer.map(|answer| hearing.with_reason(&answer)))
}

/// Why a bare verb cannot be written out in full now.
fn refusal<'a>(situation: &Situation<'a>) -> Option<&'a str> {
    let Situation { world, now, .. } = *situation;
    let target = Action::CompleteRequest { value: String::new() }.target(&world.rollout.name);
    world.refused_write(&target, now).map(|refused| refused.message.as_str())
}

/// A bare verb, with the revision that it speaks of.
fn written_out(situation: &Situation, action: Verb, revision: String) -> Heard {
    let (by, at) = (String::new(), situation.now);
    let request = Request { action, revision, to: None, by, at, reason: None };
    Heard { completed: Some(request), answer: None }
}

/// The revision that a bare verb means. Where the template changed at the same time, that is the one that was looked at.
fn meant(situation: &Situation, read: &Read, action: Verb) -> Option<String> {
    let changed = !read.written.template.is_empty() && read.written.template != read.now.template;
    let of_template = [Verb::Promote, Verb::PromoteFull, Verb::Abort, Verb::Retry].contains(&action);
    let status = situation.world.rollout.status.as_ref();
    let looked_at = status.map(|status| status.updated_revision.clone()).filter(|hash| !hash.is_empty());
    match looked_at {
        None if of_template => None,
        Some(looked_at) if of_template && changed => Some(looked_at),
        _ => spoken_of(situation, read, action),
    }
}

/// The revision that a bare verb speaks of, as things are now.
fn spoken_of(situation: &Situation, read: &Read, action: Verb) -> Option<String> {
    let Situation { roles, decisions, .. } = situation;
    let rs = match action {
        // What serves by the record that was looked at, also if its ReplicaSet is gone: never what production took refuge with. Production
        // may have moved since, by us or by hand; under another hash what was looked at is made anew.
        Verb::Rollback => {
            let looked_at = &read.written.serving;
            let serving = if decisions.revision(looked_at).is_some() { looked_at } else { &decisions.serving };
            return Some(serving.clone()).filter(|serving| !serving.is_empty());
        }
        Verb::Restart => roles.serving().or(roles.home()).or(roles.candidate),
        Verb::Promote | Verb::PromoteFull | Verb::Abort => roles.candidate.or(roles.updated),
        Verb::Retry => roles.updated,
    };
    let updated = || (!situation.world.template_is_unknown()).then(|| updated_hash(situation));
    rs.map(|rs| rs.hash.clone()).or_else(updated)
}

/// The hash of the spec's template, also while it has no ReplicaSet.
pub fn updated_hash(situation: &Situation) -> String {
    let Situation { world, decisions, .. } = situation;
    let digest = roles::asked_for(world, decisions);
    match decisions.revisions.iter().find(|revision| revision.digest == digest) {
        Some(revision) => revision.hash.clone(),
        None => {
            let first = || world.rollout.template.digest.hash(&world.rollout.name, 0);
            situation.free_hash().unwrap_or_else(first)
        }
    }
}

/// The revision is the spec's, and its ReplicaSet is made before anything else can be said of it. It may be there already: the
/// operator that made it died before it was on record, and the person who asks has seen it.
fn is_made_next(situation: &Situation, revision: &str) -> bool {
    let Situation { world, decisions, roles, .. } = situation;
    let rejected = decisions.rejection_of_template(roles::asked_for(world, decisions)).is_some();
    let cannot_be_made = stall::workload(world).or_else(|| stall::template(world)).is_some();
    roles.updated.is_none() && !rejected && !cannot_be_made && revision == updated_hash(situation)
}

/// One request, in its situation.
struct Hearing<'a> {
    situation: &'a Situation<'a>,
    request: &'a Request,
}

impl<'a> Hearing<'a> {
    /// People read numbers, and a request names hashes: the same number may be another template's by the time it is heard.
    fn named_by_number(&self) -> Option<String> {
        let decisions = self.situation.decisions;
        let hash_of = |named: &str| {
            let number: i64 = named.parse().ok()?;
            let known = decisions.revisions.iter().find(|known| known.number == number)?;
            let is_hash = decisions.revision(named).is_some();
            (!is_hash).then(|| format!("a request names a revision by its hash: revision {number} is {}", known.hash))
        };
        let Request { action, revision, to, .. } = self.request;
        // Pods are replaced whichever revision is named.
        if *action == Verb::Restart { None } else { hash_of(revision).or_else(|| hash_of(to.as_deref()?)) }
    }

    fn promote(&self, decisions: &mut Decisions) -> Answer {
        let Situation { world, roles, .. } = self.situation;
        let hash = &self.request.revision;
        if let Some(rejection) = decisions.rejection(hash) {
            let todo = if self.is_being_left(decisions) {
                format!("Production is still leaving it. {INSTEAD_OF_WHAT_IS_LEFT}")
            } else {
                "Use retry to start it over".to_owned()
            };
            return Err(format!("{} was rejected by {}. {todo}", self.described(), rejection.by));
        }
        let of_production = [roles.home(), roles.serving()].into_iter().flatten().find(|rs| rs.hash == *hash);
        if let Some(serving) = of_production {
            // The Services may have been moved on this request, and that is not reported yet: then it is told who asked.
            let reported = world.rollout.status.as_ref().and_then(|status| status.switch.as_ref());
            let is_reported = reported.is_some_and(|switch| switch.to == *hash);
            match analysis::outcome(self.situation, serving, Kind::Post) {
                Outcome::Inconclusive(run) => return self.keep(decisions, run),
                // One that has failed meanwhile was not known to who asks.
                Outcome::NotStarted | Outcome::Running(_)
                    if is_reported && self.request.action == Verb::PromoteFull =>
                {
                    return self.skip_analysis(decisions);
                }
                Outcome::NotStarted | Outcome::Running(_) | Outcome::Good | Outcome::Failed(_) => {}
            }
            if !is_reported {
                drop(self.approve(decisions));
            }
            let arrived = roles.at_home().is_some_and(|home| home.hash == *hash);
            let state = if arrived { "is active" } else { "is where production goes" };
            return Ok(format!("{} {state}", self.described()));
        }
        if roles.candidate.is_none_or(|candidate| candidate.hash != *hash) {
            return Err(self.not_asked_for());
        }
        if world.rollout.spec.paused == Some(true) {
            return Err("the rollout is paused by spec.paused. Resume it, then promote".to_owned());
        }
        self.approve(decisions)
    }

    /// What serves is kept, although its analysis came to no conclusion, when as many people ask for that since as for a promotion.
    fn keep(&self, decisions: &mut Decisions, run: &Run) -> Answer {
        let blue_green = self.situation.world.rollout.spec.blue_green();
        let approved = if blue_green.required_approvals() > 1 { Some(self.approve(decisions)?) } else { None };
        let Some(revision) = decisions.revision_mut(&self.request.revision) else { return Err(self.not_asked_for()) };
        if let Some(so_far) = approved
            && !approvals::accept_analysis(blue_green, revision, run)
        {
            return Ok(so_far);
        }
        revision.post_promotion = Some(Verdict::Accepted);
        Ok(format!("keeping {}", self.described()))
    }

    /// What serves is kept without its analysis, when as many people ask for that as for a promotion.
    fn skip_analysis(&self, decisions: &mut Decisions) -> Answer {
        self.approve(decisions)?;
        let blue_green = self.situation.world.rollout.spec.blue_green();
        let Some(revision) = decisions.revision(&self.request.revision) else { return Err(self.not_asked_for()) };
        let described = self.described();
        if approvals::skip_analyses(blue_green, revision) {
            return Ok(format!("keeping {described} without its analysis"));
        }
        let (by, so_far) = (&self.request.by, approvals::in_full(blue_green, revision));
        let needed = blue_green.required_approvals();
        Ok(format!("{by} wants to keep {described} without its analysis, {so_far} of {needed}"))
    }

    /// A promotion counts when enough people asked for it.
    fn approve(&self, decisions: &mut Decisions) -> Answer {
        let Request { action, revision: hash, by, at, .. } = self.request;
        let described = self.described();
        let blue_green = self.situation.world.rollout.spec.blue_green();
        let needed = blue_green.required_approvals();
        if needed > 1 && by.is_empty() {
            return Err(format!(
                "{needed} people have to approve of {described}, and this request does not say who asks. \
                 Use kubectl greenlight promote"
            ));
        }
        let Some(revision) = decisions.revision_mut(hash) else { return Err(self.not_asked_for()) };
        let before = revision.approvals.iter().position(|approval| approval.by == *by);
        let full = *action == Verb::PromoteFull;
        let roles = self.situation.roles;
        let candidate = roles.candidate.map(|rs| (rs, Kind::Pre));
        let of_production = [roles.home(), roles.serving()].into_iter().flatten().map(|rs| (rs, Kind::Post));
        let named = candidate.into_iter().chain(of_production).find(|(rs, _)| rs.hash == *hash);
        let inconclusive = match named.map(|(rs, kind)| analysis::outcome(self.situation, rs, kind)) {
            Some(Outcome::Inconclusive(run)) => Some(run),
            _ => None,
        };
        // Whoever asks now asks after the end of the analysis, also where that was by a clock that is ahead of this one.
        let ended_at = inconclusive.and_then(|run| run.completed_at);
        let heard_at = ended_at.map(just_after).max(Some(self.situation.now));
        let approval = Approval { by: by.clone(), at: *at, heard_at, full, reason: self.reason().map(str::to_owned) };
        match before {
            // Asked again, after an analysis came to no conclusion. Who has asked for all of it goes on asking for that.
            Some(position) => {
                let full = full || revision.approvals[position].full;
                revision.approvals[position] = Approval { full, ..approval };
            }
            None => revision.approvals.push(approval),
        }
        let forgotten = revision.approvals.len().saturating_sub(MOST_APPROVALS);
        revision.approvals.drain(..forgotten);
        let given = approvals::counted(blue_green, revision).len();
        if given < needed {
            return Ok(format!("{by} approves of {described}, {given} of {needed}"));
        }
        if let Some(run) = inconclusive
            && !approvals::accept_analysis(blue_green, revision, run)
        {
            let since = approvals::given_since(blue_green, revision, run);
            return Ok(format!(
                "{by} approves of {described}, {since} of {needed} since its analysis came to no conclusion"
            ));
        }
        Ok(format!("promoting {described}"))
    }

    fn abort(&self, decisions: &mut Decisions) -> Answer {
        let Situation { roles, .. } = self.situation;
        if self.request.to.is_some() {
            return Err(
                "abort rejects what waits, and leaves production where it is: leave to out, or use rollback".to_owned()
            );
        }
        let hash = &self.request.revision;
        if decisions.rejection(hash).is_some() {
            return self.rejected_already(decisions);
        }
        if roles.home().is_some_and(|rs| rs.hash == *hash) && roles.at_home().is_none() {
            return Err(format!("production is on its way back to {}: there is nothing to abort", self.described()));
        }
        if roles.serving().is_some_and(|rs| rs.hash == *hash) {
            return Err(format!(
                "{} is active already. Use undo to go back to the revision before it",
                self.described()
            ));
        }
        if *hash != updated_hash(self.situation) {
            return Err(self.not_asked_for());
        }
        let Some(home) = roles.home() else {
            return Err(format!("there is no earlier revision than {hash} to serve instead"));
        };
        let answer = format!("rejecting {}, {}", self.described(), self.with_production(home));
        self.reject(decisions, "aborted", None);
        Ok(answer)
    }

    fn roll_back(&self, decisions: &mut Decisions) -> Answer {
        let Situation { world, roles, .. } = self.situation;
        let Request { revision: hash, to, .. } = self.request;
        let serving = roles.serving().map_or(decisions.serving.as_str(), |rs| rs.hash.as_str());
        // Production goes where whoever asked before has said, or for what it was found out; only who names another revision sends it there.
        let is_left = serving != hash || to.is_none() && roles.going_back();
        if is_left && decisions.rejection(hash).is_some() {
            if let Some(home) = roles.home()
                && let Some(rejection) = self.own_rejection(decisions)
            {
                // Whoever moved production may have died since. The request still tells who asked.
                rejection.by = brief(self.asker().to_owned());
                return Ok(self.going_back(home));
            }
            return self.rejected_already(decisions);
        }
        if serving != hash {
            let serves = match roles.serving() {
                Some(serving) => format!("{} does", self.describe(serving)),
                None => "nothing does".to_owned(),
            };
            return Err(format!("{} does not serve: {serves}. Use abort for one that waits", self.described()));
        }
        if let Some(to) = to {
            let Some(rs) = world.replica_set(to).filter(|rs| rs.hash != *hash) else {
                return Err(format!("there is no revision {to} to go back to: see history"));
            };
            if let Some(rejection) = decisions.bar(to) {
                return Err(format!("{} was rejected by {}: see history", self.describe(rs), rejection.by));
            }
            if let Some(why) = self.misfit(rs) {
                return Err(why);
            }
            // Going back passes no gate, so it leads only to where production has been.
            if !self.situation.served(rs) {
                return Err(format!(
                    "{} was never promoted, so there is no going back to it. Ask for its template in the spec",
                    self.describe(rs)
                ));
            }
        }
        let Some(back_to) = roles::fallback(world, decisions, hash, to.as_deref()) else {
            return Err(format!("there is no earlier revision than {hash} to serve instead{}", self.about_the_past()));
        };
        self.reject(decisions, ROLLED_BACK, to.clone());
        Ok(self.going_back(back_to))
    }

    fn going_back(&self, home: &ReplicaSet) -> String {
        format!("rejecting {}, serving {}", self.described(), self.describe(home))
    }

    /// The rejection of the revision by this very request, if production has left the revision for it, and it is not on record yet.
    fn own_rejection<'d>(&self, decisions: &'d mut Decisions) -> Option<&'d mut Rejection> {
        let Request { revision: hash, to, .. } = self.request;
        let by = brief(self.asker().to_owned());
        let is_on_record = self.situation.world.rollout.record().is_some_and(|record| record.rejection(hash).is_some());
        if is_on_record {
            return None;
        }
        let rejection = decisions.revision_mut(hash)?.rejection.as_mut()?;
        let is_own = decisions::name_of(&rejection.by) == by
            && rejection.to == *to
            && rejection.reason == brief(self.with_reason(ROLLED_BACK));
        if is_own { Some(rejection) } else { None }
    }

    fn asker(&self) -> &str {
        if self.request.by.is_empty() { "somebody" } else { &self.request.by }
    }

    fn retry(&self, decisions: &mut Decisions) -> Answer {
        let hash = &self.request.revision;
        if *hash != updated_hash(self.situation) {
            return Err(self.not_asked_for());
        }
        let described = self.described();
        if self.is_being_left(decisions) {
            return Err(format!(
                "production is still leaving {described}. Retry it when another revision serves. {INSTEAD_OF_WHAT_IS_LEFT}"
            ));
        }
        match decisions.revision_mut(hash).filter(|revision| revision.rejection.is_some()) {
            Some(revision) => {
                decisions::try_again(revision);
                decisions.held_template.clear();
                Ok(format!("starting {described} over"))
            }
            None => Err(format!("{described} was not rejected, there is nothing to retry")),
        }
    }

    /// Pods are replaced by their age, of whichever revision they are.
    fn restart(&self, decisions: &mut Decisions) -> Answer {
        if self.situation.roles.home().is_none() {
            return Err(format!("{}, so there is nothing to restart", self.situation.where_nowhere()));
        }
        // By a clock that is behind it is earlier than what somebody asked for before, which goes on. From the future that was by another
        // operator's clock.
        let before = decisions.restart_requested_at.filter(|before| *before <= self.situation.now);
        let at = before.map_or(self.request.at, |before| before.max(self.request.at));
        decisions.restart_requested_at = Some(at);
        Ok(format!("replacing the pods from before {} one by one", at.strftime("%F %H:%M:%S UTC")))
    }

    fn reject(&self, decisions: &mut Decisions, reason: &str, to: Option<String>) {
        let Situation { world, .. } = self.situation;
        let Request { revision: hash, at, .. } = self.request;
        if decisions.revision(hash).is_none() {
            // Its ReplicaSet was never created.
            let number = decisions::newest(decisions) + 1;
            let digest = roles::asked_for(world, decisions).to_owned();
            decisions.revisions.push(RevisionRecord {
                hash: hash.clone(),
                digest,
                number,
                ..RevisionRecord::default()
            });
        }
        let by = self.asker().to_owned();
        decisions::reject(
            decisions,
            hash,
            Rejection { by, at: *at, reason: self.with_reason(reason), to, of_attempt: false },
        );
    }

    /// Why it is asked, in the asker's words.
    fn reason(&self) -> Option<&str> {
        self.request.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty())
    }

    /// What was decided, and after it why.
    fn with_reason(&self, decided: &str) -> String {
        match self.reason() {
            Some(reason) => format!("{decided}: {reason}"),
            None => decided.to_owned(),
        }
    }

    /// Production is on its way back from it.
    fn is_being_left(&self, decisions: &Decisions) -> bool {
        self.situation.roles.going_back() && decisions.serving == self.request.revision
    }

    fn rejected_already(&self, decisions: &Decisions) -> Answer {
        let by = decisions.rejection(&self.request.revision).map_or("somebody", |rejection| &rejection.by);
        let serves = match self.situation.roles.home() {
            Some(home) => self.with_production(home),
            None => self.situation.where_nowhere(),
        };
        Ok(format!("{} was rejected already, by {by}; {serves}", self.described()))
    }

    /// That this revision has production, or is where that goes.
    fn with_production(&self, home: &ReplicaSet) -> String {
        let state = if self.situation.roles.at_home().is_some() { "serves" } else { "is where production goes" };
        format!("{} {state}", self.describe(home))
    }

    fn not_asked_for(&self) -> String {
        let Request { action, revision, .. } = self.request;
        if *revision == updated_hash(self.situation) && self.situation.roles.updated.is_none() {
            let refused = self.situation.world.refused.as_ref().map(|refused| format!(": {}", refused.message));
            return format!("revision {revision} has no ReplicaSet yet{}", refused.unwrap_or_default());
        }
        format!(
            "{} names revision {revision}, but the spec has revision {} now. Look at that one, and make the request again for it",
            action.as_str(),
            updated_hash(self.situation),
        )
    }

    /// Why there is nothing to go back to, where more can be said of it.
    fn about_the_past(&self) -> String {
        let hash = &self.request.revision;
        let others = || self.situation.world.existing().filter(|rs| rs.hash != *hash);
        let misfit = others().filter(|rs| self.situation.may_serve_again(rs)).find_map(|rs| self.misfit(rs));
        if let Some(misfit) = misfit {
            return format!(": {misfit}");
        }
        let was_about_to = |rs: &ReplicaSet| {
            rs.claimed_at().is_some() && !self.situation.served(rs) && !self.situation.is_rejected(rs)
        };
        if others().any(was_about_to) {
            return ". Others were about to serve once, but nobody knows whether they did: promote one of their templates".to_owned();
        }
        let decisions = self.situation.decisions;
        let barred =
            others().filter(|rs| self.situation.served(rs)).find_map(|rs| Some((rs, decisions.bar(&rs.hash)?)));
        barred.map_or_else(String::new, |(rs, rejection)| {
            let (it, by) = (self.describe(rs), &rejection.by);
            format!(". {it} served before and was rejected by {by}: to serve it again, ask for its template in the spec, retry it, and promote it")
        })
    }

    /// Why production would have no endpoints at this revision.
    fn misfit(&self, rs: &ReplicaSet) -> Option<String> {
        let Situation { world, .. } = self.situation;
        let left = world.replica_sets.iter().find(|left| left.hash == self.request.revision);
        roles::telling(world, left).next().and_then(|service| {
            let missing = service.missing_labels(rs);
            let (name, what) = (&service.name, missing.join(", "));
            (!missing.is_empty()).then(|| {
                format!(
                    "Service {name} selects {what}, which the pods of {} do not carry. Change its selector",
                    self.describe(rs)
                )
            })
        })
    }

    fn described(&self) -> String {
        let hash = &self.request.revision;
        match self.situation.decisions.revision(hash) {
            Some(revision) => format!("revision {} ({hash})", revision.number),
            None => format!("revision {hash}"),
        }
    }

    fn describe(&self, rs: &ReplicaSet) -> String {
        format!("revision {} ({})", self.situation.number(rs), rs.hash)
    }
}

enum Parsed {
    Full(Request),
    /// `promote`, or `promote <hash>`.
    Short(Verb, Option<String>),
}

fn parse(value: &str) -> Result<Parsed, String> {
    if value.len() > Request::LONGEST {
        return Err(format!(
            "a request has at most {} characters, and this one {}. Write a verb and a revision",
            Request::LONGEST,
            value.len()
        ));
    }
    let value = value.trim();
    let mut words = value.split_whitespace();
    if let (Some(verb), revision, None) = (words.next().and_then(Verb::parse), words.next(), words.next()) {
        return Ok(Parsed::Short(verb, revision.map(str::to_owned)));
    }
    if value.starts_with('{') {
        return serde_json::from_str(value)
            .map(Parsed::Full)
            .map_err(|error| format!("the request is not readable: {error}. Write a verb, or {EXAMPLE}"));
    }
    let verbs: Vec<_> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    Err(format!("there is no request {value:?}. Write one of {}, and the revision's hash after it", verbs.join(", ")))
}

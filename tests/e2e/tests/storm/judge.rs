//! Whether a history kept the promises. The judge keeps a book of its own of what people asked for and what came of it, and
//! believes the operator's record only where it closes something.
//!
//! | promise | broken by |
//! |---|---|
//! | `available` | an active Service moves to what is not fully available at that very version |
//! | `nothing` | an active Service that served selects nothing, or has fewer ready endpoints than production has pods |
//! | `taken` | who serves is scaled down or deleted, or loses a pod without a restart |
//! | `retired` | what served retires before the EndpointSlices of every active Service showed another |
//! | `gate` | what nobody promoted goes live; what was rejected comes back |
//! | `undo` | production goes elsewhere than where it was before, or over new pods within the delay |
//! | `answers` | a request has two answers, or in the end none |
//! | `truth` | a switch is called proven that the EndpointSlices did not show; the status in the end is not what is |
//! | `told` | an event is told more often than what it tells of happened |
//! | `once` | there are two ReplicaSets of one template |
//! | `preview` | the preview shows what has no available pods |

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{Request, Verb};

use crate::history::{Change, Kind, Pod, Rollout, Selection, Service, Set, Slice, What, World};

/// What holds in a namespace from the beginning.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Production has at least so many pods.
    pub replicas: i32,
    /// What served stays up for longer than any storm.
    pub stays_up: bool,
    /// The active Services.
    pub active: Vec<String>,
    /// The preview Service.
    pub preview: String,
    /// What it shows when there is nothing to preview: production, or nothing.
    pub idle_shows_active: bool,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub promise: &'static str,
    /// At which version of the world.
    pub version: u64,
    /// How.
    pub words: String,
}

/// How it has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The image that serves.
    pub production: String,
    /// The image that the spec asks for.
    pub asked_for: String,
    /// What is said of that.
    pub state: EndState,
}

/// What is said of what the spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// It serves.
    Healthy,
    /// It was rejected.
    Rejected,
    /// It waits in preview.
    Waits,
}

/// An undo that was accepted, and has not been seen to be done.
#[derive(Clone, Debug)]
struct Undo {
    of: String,
    to: String,
    /// UIDs of the pods that have to stay; none if they may be new.
    pods: Option<BTreeSet<String>>,
}

/// The judge's own book.
#[derive(Default)]
struct Book {
    /// Every image that the spec asked for while nobody had to promote.
    auto: BTreeSet<String>,
    /// Hashes whose promotion was asked for.
    approved: BTreeSet<String>,
    /// Hashes that were rejected.
    rejected: BTreeSet<String>,
    /// Hashes that production was proven to be with, the last one at the end.
    served: Vec<String>,
    /// Hashes that an active Service ever carried.
    carried: BTreeSet<String>,
    /// The active Services whose EndpointSlices have shown what they select.
    shown: BTreeSet<String>,
    /// Those that ever had.
    ever_shown: BTreeSet<String>,
    /// Every value that stood in the annotation.
    requests: Vec<String>,
    /// Every answer to each.
    answers: BTreeMap<String, BTreeSet<(bool, String)>>,
    /// The values that moves have carried out before they were answered.
    carried_out: BTreeSet<String>,
    undo: Option<Undo>,
    restarts: bool,
    moves: usize,
    undos: usize,
    /// Rejections by the operator itself.
    failed: BTreeSet<String>,
    aborts: usize,
    previews: usize,
    told: BTreeMap<String, Vec<String>>,
}

/// Goes through a history.
pub struct Judge<'a> {
    terms: &'a Terms,
    world: World,
    book: Book,
    version: u64,
    violations: Vec<Violation>,
}

/// What happened in a history, for the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Moves of the first active Service, the first deployment among them.
    pub moves: usize,
    /// Promotions that were asked for.
    pub promotions: usize,
    /// Undos that were accepted.
    pub undos: usize,
    /// Requests that were answered.
    pub answers: usize,
}

/// Judges a history, which is in the order of its versions, and how it ends. Of one with gaps only the end is known.
pub fn judge(history: &[Change], terms: &Terms, end: Option<&End>, has_gaps: bool) -> (Vec<Violation>, Deeds) {
    let mut judge = Judge { terms, world: World::default(), book: Book::default(), version: 0, violations: Vec::new() };
    for change in history {
        judge.version = change.version;
        judge.look_at(&change.what);
        judge.world.apply(&change.what);
        judge.look_after(&change.what);
    }
    if has_gaps {
        judge.violations.clear();
    } else {
        judge.count_events();
        judge.check_answers();
    }
    if let Some(end) = end {
        judge.check_end(end);
    }
    let deeds = Deeds {
        moves: judge.book.moves,
        promotions: judge.book.approved.len(),
        undos: judge.book.undos,
        answers: judge.book.answers.len(),
    };
    (judge.violations, deeds)
}

impl Judge<'_> {
    fn broken(&mut self, promise: &'static str, words: String) {
        self.violations.push(Violation { promise, version: self.version, words });
    }

    fn is_active(&self, service: &str) -> bool {
        self.terms.active.iter().any(|active| active == service)
    }

    /// What can be said of a change before it has happened.
    fn look_at(&mut self, what: &What) {
        match what {
            What::Service(it) if self.is_active(&it.name) => self.active_service(it),
            What::Service(it) if it.name == self.terms.preview => self.preview_service(it),
            What::Set(it) => self.set(it),
            What::Pod(it) => self.pod(it),
            What::Rollout(it) => self.rollout(it),
            What::Told(it) if !self.world.told.contains_key(&it.name) => {
                self.book.told.entry(it.reason.clone()).or_default().push(it.note.clone());
            }
            What::Gone(Kind::Service, name) if self.is_active(name) => self.lost(name, "is gone"),
            What::Gone(Kind::Set, name) => self.set_gone(name),
            What::Gone(Kind::Pod, name) => {
                if let Some(pod) = self.world.pods.get(name).cloned().filter(|pod| !pod.deleting) {
                    self.pod_goes(&pod);
                }
            }
            _ => {}
        }
    }

    /// And after it.
    fn look_after(&mut self, what: &What) {
        match what {
            What::Slice(Slice { service, .. }) if self.is_active(service) => self.endpoints(&service.clone()),
            // The endpoints may have been right before.
            What::Service(it) if self.is_active(&it.name) => self.endpoints(&it.name.clone()),
            What::Gone(Kind::Slice, _) => self.terms.active.clone().iter().for_each(|service| self.endpoints(service)),
            _ => {}
        }
    }

    fn lost(&mut self, service: &str, how: &str) {
        if self.book.ever_shown.contains(service) {
            self.broken("nothing", format!("Service {service} served, and {how}"));
        }
    }

    fn active_service(&mut self, it: &Service) {
        let was = self.world.services.get(&it.name).cloned().unwrap_or_default();
        if was.selection == it.selection {
            return;
        }
        let Some(hash) = it.carries().map(str::to_owned) else {
            return self.lost(&it.name, &format!("selects {:?}", it.selection));
        };
        self.book.shown.remove(&it.name);
        let image = self.world.image_of(&hash).to_owned();
        let set = self.world.set(&hash).cloned();
        let whole = set.as_ref().is_some_and(|set| {
            // A restart has one pod more than production needs, and that is not waited for.
            let needed = (set.replicas - i32::from(self.book.restarts)).max(self.terms.replicas);
            !set.deleting && set.replicas >= self.terms.replicas && set.available >= needed
        });
        if !whole {
            let has = set.map_or("no ReplicaSet".to_owned(), |set| {
                format!(
                    "{} of {} available{}",
                    set.available,
                    set.replicas,
                    if set.deleting { ", and is being deleted" } else { "" }
                )
            });
            self.broken("available", format!("Service {} moves to {image} ({hash}), which has {has}", it.name));
        }
        if let Some(from) = was.carries().filter(|from| it.rejected.iter().any(|rejected| rejected == from)) {
            self.undone_by_a_move(from);
        }
        if was.carries() != Some(&hash) {
            self.book.moves += usize::from(it.name == self.terms.active[0]);
            // Another active Service may have gone there before, or never have left.
            if !self.terms.active.iter().any(|other| self.world.carried_by(other) == Some(&hash)) {
                self.goes_live(&it.name, was.carries(), &hash);
            }
            self.goes_back(&hash);
        }
        self.book.carried.insert(hash);
    }

    /// Production begins to go to another revision.
    fn goes_live(&mut self, service: &str, from: Option<&str>, hash: &str) {
        let image = self.world.image_of(hash).to_owned();
        let first = self.book.carried.is_empty();
        let goes_back = from.is_some_and(|from| self.book.rejected.contains(from));
        let was_there = self.book.served.iter().any(|served| served == hash);
        let allowed =
            first || self.book.approved.contains(hash) || self.book.auto.contains(&image) || goes_back && was_there;
        if self.book.rejected.contains(hash) {
            self.broken("gate", format!("Service {service} moves to {image} ({hash}), which was rejected"));
        } else if !allowed {
            self.broken("gate", format!("Service {service} moves to {image} ({hash}), which nobody promoted"));
        }
    }

    /// If an undo was accepted, this is where it should go.
    fn goes_back(&mut self, hash: &str) {
        let image = self.world.image_of(hash).to_owned();
        let Some(undo) = self.book.undo.clone().filter(|undo| undo.of != hash) else { return };
        if undo.to != hash {
            let wanted = self.world.image_of(&undo.to).to_owned();
            self.broken("undo", format!("{image} ({hash}) serves, and before it was {wanted} ({})", undo.to));
        }
        if let Some(pods) = undo.pods.filter(|_| undo.to == hash) {
            let name = self.world.set(hash).map(|set| set.name.clone()).unwrap_or_default();
            if !pods.is_subset(&self.world.pods_of(&name)) {
                self.broken("undo", format!("pods of {image} ({hash}) were restarted on the way back to it"));
            }
        }
        self.book.undo = None;
    }

    fn preview_service(&mut self, it: &Service) {
        let was = self.world.services.get(&it.name).map(|was| was.selection.clone());
        let Selection::Hash(hash) = &it.selection else { return };
        if was.as_ref() == Some(&it.selection) {
            return;
        }
        let available = self.world.set(hash).map_or(0, |set| if set.deleting { 0 } else { set.available });
        if available == 0 {
            self.broken("preview", format!("Service {} shows {hash}, which has no available pods", it.name));
        }
    }

    /// Whether an active Service leads to this revision.
    fn serves(&self, hash: &str) -> bool {
        self.terms.active.iter().filter_map(|name| self.world.services.get(name)).any(|service| {
            match &service.selection {
                Selection::Hash(selected) => selected == hash,
                // It may be any of the two: whichever was carried before stays until the other one is alone.
                Selection::Both => {
                    service.production == hash || self.book.served.last().is_some_and(|last| last == hash)
                }
                Selection::Everything | Selection::Nothing => false,
            }
        })
    }

    fn set(&mut self, it: &Set) {
        let was = self.world.sets.get(&it.name).cloned().unwrap_or_default();
        let image = &it.image;
        if was.name.is_empty() {
            if let Some(other) = self.world.sets.values().find(|other| other.image == it.image).cloned() {
                self.broken("once", format!("there are two ReplicaSets of {image}: {} and {}", other.name, it.name));
            }
            return;
        }
        let shrinks = it.replicas < was.replicas && it.replicas < self.terms.replicas;
        let deleted = it.deleting && !was.deleting;
        if self.serves(&it.hash) && (shrinks || deleted) {
            let how = if deleted { "deleted".to_owned() } else { format!("scaled to {}", it.replicas) };
            self.broken("taken", format!("the ReplicaSet of {image} ({}) is {how} while it serves", it.hash));
        }
        // At the deadline of one that retires it does not matter any more where production goes meanwhile.
        let retires = !was.retires && (it.retires || shrinks || deleted);
        if self.book.carried.contains(&it.hash) && retires {
            let not_shown = self.terms.active.iter().find(|service| {
                let elsewhere = self.world.carried_by(service).is_some_and(|hash| hash != it.hash);
                !(elsewhere && self.book.shown.contains(*service))
            });
            if let Some(service) = not_shown {
                self.broken(
                    "retired",
                    format!("{image} ({}) retires before the endpoints of {service} showed another", it.hash),
                );
            }
        }
    }

    fn set_gone(&mut self, name: &str) {
        let Some(set) = self.world.sets.get(name).cloned() else { return };
        if self.serves(&set.hash) {
            self.broken("taken", format!("the ReplicaSet of {} ({}) is gone while it serves", set.image, set.hash));
        }
    }

    fn pod(&mut self, it: &Pod) {
        if it.deleting && self.world.pods.get(&it.name).is_some_and(|was| !was.deleting) {
            self.pod_goes(it);
        }
    }

    fn pod_goes(&mut self, pod: &Pod) {
        let set = self.world.sets.get(&pod.set).cloned().unwrap_or_default();
        let (hash, pods) = (set.hash, self.world.pods_of(&pod.set).len());
        // That production has fewer pods than it had is said of the ReplicaSet.
        let shrinks = i32::try_from(pods).is_ok_and(|pods| pods > set.replicas);
        if self.serves(&hash) && !self.book.restarts && !shrinks {
            self.broken("taken", format!("pod {} goes while its revision {hash} serves", pod.name));
        }
        let awaited = self.book.undo.as_ref().and_then(|undo| undo.pods.as_ref());
        if awaited.is_some_and(|pods| pods.contains(&pod.uid)) && !self.book.restarts {
            self.broken("undo", format!("pod {} goes on the way back to it", pod.name));
        }
    }

    fn endpoints(&mut self, service: &str) {
        let ready: Vec<String> = self.world.ready_behind(service).into_iter().map(str::to_owned).collect();
        let few = i32::try_from(ready.len()).unwrap_or(i32::MAX) < self.terms.replicas;
        if few && self.book.ever_shown.contains(service) {
            self.broken("nothing", format!("Service {service} has {} ready endpoints", ready.len()));
        }
        let Some(Selection::Hash(hash)) = self.world.services.get(service).map(|service| service.selection.clone())
        else {
            return;
        };
        let name = self.world.set(&hash).map(|set| set.name.clone()).unwrap_or_default();
        let ours = ready.iter().all(|pod| pod.rsplit_once('-').is_some_and(|(set, _)| set == name));
        if ours && !few {
            self.book.shown.insert(service.to_owned());
            self.book.ever_shown.insert(service.to_owned());
        }
    }

    fn rollout(&mut self, it: &Rollout) {
        let was = self.world.rollout.clone().unwrap_or_default();
        self.spec(&was, it);
        if it.request != was.request && !it.request.is_empty() {
            self.book.requests.push(it.request.clone());
            if let Ok(request) = serde_json::from_str::<Request>(&it.request) {
                match request.action {
                    Verb::Promote | Verb::PromoteFull => drop(self.book.approved.insert(request.revision)),
                    Verb::Restart => self.book.restarts = true,
                    _ => {}
                }
            }
        }
        let Some(status) = &it.status else { return };
        let before = was.status.clone().unwrap_or_default();
        if let Some((value, accepted, answer)) = &status.answer {
            let answers = self.book.answers.entry(value.clone()).or_default();
            let is_first = answers.is_empty();
            answers.insert((*accepted, answer.clone()));
            if is_first && *accepted && !self.book.carried_out.contains(value) {
                self.accepted(value);
            }
        }
        for (hash, by) in &status.rejected {
            if by == "greenlight" && !before.rejected.contains_key(hash) {
                self.book.rejected.insert(hash.clone());
                self.book.failed.insert(hash.clone());
            }
        }
        if let Some((to, Some(proven))) = &status.switch
            && before.switch.as_ref() != Some(&(to.clone(), Some(proven.clone())))
        {
            self.proven(to);
        }
        let waits = before.phase != "Paused" || before.updated != status.updated;
        if status.phase == "Paused" && waits {
            self.book.previews += 1;
        }
    }

    fn spec(&mut self, was: &Rollout, it: &Rollout) {
        if it.auto {
            self.book.auto.insert(it.image.clone());
        }
        if it.image == was.image || was.image.is_empty() {
            return;
        }
        // What is asked for again is a new attempt.
        let Some(set) = self.world.sets.values().find(|set| set.image == it.image).cloned() else { return };
        self.book.rejected.remove(&set.hash);
    }

    /// An undo that has nothing to wait for is carried out by the move, which carries the rejection, and answered after it.
    fn undone_by_a_move(&mut self, from: &str) {
        let asks = |value: &&String| {
            let request = serde_json::from_str::<Request>(value);
            request.is_ok_and(|request| request.action == Verb::Rollback && request.revision == from)
        };
        let value = self.book.requests.iter().rfind(asks).cloned();
        if let Some(value) = value.filter(|value| !self.book.answers.contains_key(value))
            && self.book.carried_out.insert(value.clone())
        {
            self.accepted(&value);
        }
    }

    /// A request has been accepted.
    fn accepted(&mut self, value: &str) {
        let Ok(request) = serde_json::from_str::<Request>(value) else { return };
        let hash = request.revision;
        match request.action {
            Verb::Rollback => {
                self.book.undos += 1;
                self.reject(&hash);
                let before =
                    self.book.served.iter().rfind(|served| **served != hash && !self.book.rejected.contains(*served));
                self.book.undo = before.cloned().map(|to| {
                    let set = self.world.set(&to).cloned().unwrap_or_default();
                    let whole = set.replicas >= self.terms.replicas && set.available >= set.replicas;
                    let pods =
                        (self.terms.stays_up && whole && !self.book.restarts).then(|| self.world.pods_of(&set.name));
                    Undo { of: hash, to, pods }
                });
            }
            Verb::Abort => {
                self.book.aborts += 1;
                self.reject(&hash);
            }
            Verb::Retry => {
                self.book.rejected.remove(&hash);
                self.book.approved.remove(&hash);
            }
            Verb::Promote | Verb::PromoteFull | Verb::Restart => {}
        }
    }

    fn reject(&mut self, hash: &str) {
        self.book.rejected.insert(hash.to_owned());
        self.book.approved.remove(hash);
    }

    /// The status calls a switch proven.
    fn proven(&mut self, to: &str) {
        let wrong = self
            .terms
            .active
            .iter()
            .find(|service| !(self.world.carried_by(service) == Some(to) && self.book.shown.contains(*service)));
        if let Some(service) = wrong {
            self.broken(
                "truth",
                format!("the move to {to} is called proven, and the endpoints of {service} have not shown it"),
            );
        }
        self.book.served.retain(|served| served != to);
        self.book.served.push(to.to_owned());
    }

    fn count_events(&mut self) {
        let told = std::mem::take(&mut self.book.told);
        let count = |reason: &str| told.get(reason).map_or(0, Vec::len);
        let created: BTreeSet<&String> = told.get("RevisionCreated").into_iter().flatten().collect();
        let refused = self.book.answers.values().flatten().filter(|(accepted, _)| !accepted).count();
        let (undos, failed, aborts) = (self.book.undos, self.book.failed.len(), self.book.aborts);
        let limits = [
            ("RevisionCreated", count("RevisionCreated"), created.len(), "ReplicaSets"),
            ("Promoted and RolledBack", count("Promoted") + count("RolledBack"), self.book.moves, "moves"),
            ("RolledBack", count("RolledBack"), undos + failed, "undos"),
            ("RevisionRejected", count("RevisionRejected"), undos + failed + aborts, "rejections"),
            ("RequestRefused", count("RequestRefused"), refused, "refusals"),
            ("PreviewReady", count("PreviewReady"), self.book.previews, "previews"),
        ];
        for (reason, times, limit, of) in limits {
            if times > limit {
                self.broken("told", format!("{reason} was told {times} times, and there were {limit} {of}"));
            }
        }
    }

    fn check_answers(&mut self) {
        for (value, answers) in self.book.answers.clone() {
            if answers.len() > 1 {
                self.broken("answers", format!("{value} has {} answers: {answers:?}", answers.len()));
            }
        }
        if let Some(last) = self.book.requests.last().filter(|last| !self.book.answers.contains_key(*last)).cloned() {
            self.broken("answers", format!("{last} was never answered"));
        }
    }

    fn check_end(&mut self, end: &End) {
        for words in not_at(&self.world, self.terms, end) {
            self.broken("truth", words);
        }
    }
}

/// What the world lacks to be as it has to be in the end.
pub fn not_at(world: &World, terms: &Terms, end: &End) -> Vec<String> {
    let mut lacks = Vec::new();
    let mut check = |holds: bool, words: String| {
        if !holds {
            lacks.push(words);
        }
    };
    let Some(rollout) = &world.rollout else { return vec!["there is no rollout".to_owned()] };
    let status = world.status();
    let home = world.hash_of(&end.production).unwrap_or("?");
    let asked_for = world.hash_of(&end.asked_for).unwrap_or("?");
    check(rollout.image == end.asked_for, format!("the spec asks for {}", rollout.image));
    for service in &terms.active {
        let selection = world.services.get(service).map(|service| service.selection.clone()).unwrap_or_default();
        let is_there = selection == Selection::Hash(home.to_owned());
        check(is_there, format!("{service} selects {selection:?} and not {} ({home})", end.production));
        let name = world.set(home).map(|set| set.name.clone()).unwrap_or_default();
        let ready = world.ready_behind(service);
        let ours = ready.iter().all(|pod| pod.rsplit_once('-').is_some_and(|(set, _)| set == name));
        let enough = i32::try_from(ready.len()).unwrap_or(0) >= rollout.replicas;
        check(ours && enough, format!("the endpoints of {service} are {ready:?}"));
    }
    let wanted = match end.state {
        EndState::Healthy => ("Healthy", "True/Healthy"),
        EndState::Rejected => ("Degraded", "False/RevisionRejected"),
        EndState::Waits => ("Paused", ""),
    };
    check(
        status.phase == wanted.0,
        format!("the status says {:?} and not {}: {}", status.phase, wanted.0, status.message),
    );
    let ready = wanted.1.is_empty() || status.ready == wanted.1;
    check(ready, format!("Ready is {} and not {}", status.ready, wanted.1));
    check(status.active == home, format!("the status calls {} active, and {home} is", status.active));
    check(status.updated == asked_for, format!("the status calls {} updated, and {asked_for} is", status.updated));
    let shown = match end.state {
        EndState::Waits => Selection::Hash(asked_for.to_owned()),
        _ if terms.idle_shows_active => Selection::Hash(home.to_owned()),
        _ => Selection::Nothing,
    };
    let preview = world.services.get(&terms.preview).map(|service| service.selection.clone()).unwrap_or_default();
    check(preview == shown, format!("{} selects {preview:?} and not {shown:?}", terms.preview));
    // See "what is known not to hold yet" in docs/proven.md.
    let left_behind = world.left_behind();
    for set in world.sets.values().filter(|set| !left_behind.contains(&set.name)) {
        let (hash, image) = (&set.hash, &set.image);
        if hash == home {
            let whole = set.replicas == rollout.replicas && set.available == set.replicas && !set.retires;
            check(
                whole,
                format!("{image} serves with {} of {}, retires: {}", set.available, set.replicas, set.retires),
            );
        } else if !(terms.stays_up || end.state == EndState::Waits && hash == asked_for) {
            let down = set.replicas == 0 && !set.retires;
            check(down, format!("{image} has {} pods, retires: {}", set.replicas, set.retires));
        }
    }
    let answered = status.answer.map(|(value, ..)| value).unwrap_or_default();
    check(answered == rollout.request, format!("the answer is to {answered:?} and not to {:?}", rollout.request));
    lacks
}

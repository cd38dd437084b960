//! The whole state of a history, and what each event makes of it.

use std::sync::Arc;

use greenlight_api::{BlueGreenRolloutStatus, Request};
use greenlight_core::world::{Refusal, RefusedWrite};
use greenlight_core::{Action, Change};
use jiff::{SignedDuration, Timestamp};

use crate::adapter::{self, Next, PUBLISH_IS_FENCED};
use crate::checks::{self, Moment};
use crate::cluster::{Cluster, Failure, ROLLOUT, RivalTruth};
use crate::event::{
    Event, Field, Forgery, Name, Operator, Outcome, Person, Refused, Rival, Room, VERSIONS, Verb, Version,
};
use crate::ghost::{Ghost, RequestTruth, is_reached};
use crate::operator::{Held, Process, Seen};
use crate::predicate::{Predicate, Report};

/// More plans in a row than this is a loop.
const MOST_PLANS: usize = 30;
/// How long an operator waits until it tries again what was refused.
const REFUSAL_PAUSE: SignedDuration = SignedDuration::from_secs(10);

fn pruned(action: &Action) -> Option<String> {
    match action {
        Action::DeleteReplicaSet { name, .. } => Some(name.clone()),
        _ => None,
    }
}

/// What a step of an operator came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A write was made, or a plan is at its end: there may be more.
    On,
    /// Nothing is left to do until this time, if there is one.
    Rest(Option<Timestamp>),
    /// A write failed: the operator tries again later.
    Failed,
}

/// A write that was made, for whoever counts them.
#[derive(Clone, Debug)]
pub struct Made {
    /// The write.
    pub write: Action,
    /// The replicas of its set before.
    pub replicas: Option<i32>,
}

/// A backup of the status, and what was true then.
#[derive(Clone, Debug)]
pub struct Backup {
    status: BlueGreenRolloutStatus,
    /// UID of the rollout.
    uid: String,
    /// The version that the spec asked for.
    version: Version,
    ghost: Ghost,
}

/// The state.
#[derive(Clone, Debug)]
pub struct State {
    /// What exists.
    pub cluster: Cluster,
    /// The two operators.
    pub operators: [Process; 2],
    /// A write that the scale-down controller is about to make: set, resourceVersion, change, and whether production
    /// reached the set when the controller looked.
    pub scaling: Option<(String, String, Change, bool)>,
    /// What was decided.
    pub ghost: Ghost,
    /// The last backup of the status.
    pub backup: Option<Arc<Backup>>,
    /// Writes are noted here while somebody asks for them.
    pub made: Option<Vec<Made>>,
    /// How often the status was written.
    pub published: u32,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// A rollout that was just created.
    pub fn new() -> State {
        State {
            cluster: Cluster::new(),
            operators: Default::default(),
            scaling: None,
            ghost: Ghost::default(),
            backup: None,
            made: None,
            published: 0,
        }
    }

    /// Lets something happen.
    pub fn happen(&mut self, event: Event, report: &mut Report) {
        let decides = match event {
            Event::Set(field, _) => matches!(field, Field::ActiveService | Field::Exchange),
            Event::Template(_)
            | Event::Release(..)
            | Event::Ask(..)
            | Event::UndoTo(..)
            | Event::DeleteSet(_)
            | Event::DrainSet(_)
            | Event::DeleteService(_)
            | Event::LoseStatus
            | Event::Restore => true,
            _ => false,
        };
        let goes_on = matches!(
            event,
            Event::Ask(..)
                | Event::UndoTo(..)
                | Event::Scale(_)
                | Event::Pods(..)
                | Event::Endpoints(_)
                | Event::Step(_)
                | Event::Unanswered(_)
                | Event::Run(_)
                | Event::Die(_)
                | Event::Freeze(..)
                | Event::Thaw(_)
                | Event::Skew(..)
                | Event::ScaleDown
                | Event::Seconds(_)
                | Event::Calm
        );
        if !goes_on {
            self.ghost.sent = None;
        }
        let removes = matches!(event, Event::DeleteSet(_) | Event::DrainSet(_) | Event::DeleteService(_));
        let moved = removes && !self.move_is_told();
        if decides && self.ghost.hand.is_some() || moved {
            self.ghost.muddle(&self.cluster);
        }
        let cluster = &mut self.cluster;
        match event {
            Event::Template(version) => self.ask_for(Some(version), None),
            Event::Scale(count) => self.ask_for(None, Some(count)),
            Event::Release(version, count) => self.ask_for(Some(version), Some(count)),
            Event::Set(field, value) => {
                self.change_spec(|cluster| cluster.set_field(field, value));
                if field == Field::Approvals {
                    self.ghost.on_rules();
                }
                if matches!(field, Field::ActiveService | Field::Exchange) {
                    self.name_what_was_moved();
                }
                let times = [Field::Delay, Field::DelayLimit, Field::Retired, Field::AutoSeconds, Field::AbortDelay];
                self.ghost.retimed |= times.contains(&field) && self.ghost.begun;
                if self.ghost.unseen.0 {
                    self.ghost.on_rules_of_return(&self.cluster);
                }
                self.ghost.restarted |= field == Field::RestartAt;
            }
            Event::Ask(verb, version, by) => self.ask(verb, version, None, by),
            Event::UndoTo(version, to) => self.ask(Verb::Undo, Some(version), Some(to), Person::Ann),
            Event::DeleteService(name) => {
                let carried: Vec<Version> = Version::all().filter(|it| cluster.is_rejection_carried(*it)).collect();
                cluster.delete_service(name);
                // Before it is on record nothing else tells of it.
                for version in carried.into_iter().filter(|it| !cluster.is_rejection_carried(*it)) {
                    self.ghost.on_rejection_taken_off(version, cluster);
                }
            }
            Event::CreateService(name) => cluster.create_service(name),
            Event::SelectTier(name, on) => cluster.select_tier(name, on),
            Event::MoveByHand(name, version) => self.move_by_hand(name, version),
            Event::LoseHash(name) => cluster.lose_hash(name),
            Event::DeleteSet(version) => {
                cluster.delete_set(version);
                self.ghost.on_set_gone(version);
            }
            Event::DrainSet(version) => {
                cluster.drain_set(version);
                self.ghost.on_set_gone(version);
            }
            Event::ScaleByHand(version, count) => {
                cluster.scale_by_hand(version, count);
                self.ghost.on_scale_by_hand(version, count);
            }
            Event::Forge(version, forgery) => {
                cluster.forge(version, forgery);
                if let Forgery::Rejected | Forgery::Carried = forgery {
                    self.ghost.on_forged_rejection(version);
                } else if forgery == Forgery::Uncarried {
                    self.ghost.on_rejection_taken_off(version, cluster);
                }
                self.ghost.forged |= matches!(
                    forgery,
                    Forgery::Digest | Forgery::NoDigest | Forgery::Nothing | Forgery::Rejected | Forgery::Carried
                );
            }
            Event::Pods(version, count) => cluster.run_pods(version, count),
            Event::PodsGone(version) => cluster.lose_pods(version),
            Event::Recount(version) => cluster.recount(version),
            Event::Endpoints(name) => cluster.catch_up(name.word(), false),
            Event::HalfEndpoints(name) => cluster.catch_up(name.word(), true),
            Event::Analyse(analysis, outcome) => {
                let ended = cluster.end_analysis(analysis, outcome);
                if outcome == Outcome::Deleted {
                    self.ghost.on_analysis_gone();
                }
                if let Some((name, phase)) = ended {
                    self.ghost.on_analysis(&name, phase, &self.cluster);
                }
            }
            Event::Step(operator) => drop(self.step(operator, report)),
            Event::Unanswered(operator) => self.step_unanswered(operator, report),
            Event::Run(operator) => drop(self.run(operator, report)),
            Event::Die(operator) => self.operators[operator as usize].die(),
            Event::Freeze(operator, cache) => self.operators[operator as usize].freeze(cluster, cache),
            Event::Thaw(operator) => self.operators[operator as usize].thaw(),
            Event::Skew(operator, seconds) => self.operators[operator as usize].skew = seconds,
            Event::ScaleDown => {
                for version in Version::all() {
                    self.scale_down_begins(version);
                    self.scale_down_ends(report);
                }
            }
            Event::ScaleDownBegins(version) => self.scale_down_begins(version),
            Event::ScaleDownEnds => self.scale_down_ends(report),
            Event::Refuse(refused) => cluster.refused = refused,
            Event::Room(room) => {
                cluster.set_room(room);
                self.ghost.crowded |= room != Room::Enough;
            }
            Event::LoseStatus => {
                cluster.change_rollout(false, |rollout| rollout.status = None);
                self.ghost.on_loss(&self.cluster);
            }
            Event::BackUp => self.back_up(),
            Event::Restore => self.restore(),
            Event::Upgrade => {
                cluster.forget_what_later_versions_keep();
                self.operators.iter_mut().for_each(Process::die);
                self.ghost.on_upgrade(&self.cluster);
            }
            Event::Seconds(seconds) => cluster.pass_until(cluster.now + SignedDuration::from_secs(seconds.into())),
            Event::Delete(deletion) => cluster.delete_rollout(deletion),
            Event::Rival(rival) => self.rival(rival),
            Event::Collect => cluster.collect_garbage(),
            Event::Recreate if cluster.gone => {
                cluster.recreate();
                self.operators.iter_mut().for_each(Process::die);
                self.ghost.on_recreation(&self.cluster);
            }
            Event::Recreate => {}
            Event::Plant(version) => cluster.plant(version),
            Event::CreateWorkload => {
                self.change_spec(Cluster::create_workload);
                if self.ghost.unseen.0 {
                    // The operator has not seen that template before: it is asked for with the Deployment.
                    self.ghost.on_template(&self.cluster, self.cluster.version);
                }
                self.ghost.unseen.0 = true;
            }
            Event::DeleteWorkload => self.change_spec(Cluster::delete_workload),
            Event::Calm => self.calm(report),
        }
        if decides && self.ghost.hand.is_some() {
            self.ghost.muddle(&self.cluster);
        }
        self.ghost.look(&self.cluster);
    }

    fn back_up(&mut self) {
        let rollout = &self.cluster.rollout;
        if let Some(status) = rollout.status.clone() {
            let (uid, version, ghost) = (rollout.uid.clone(), self.cluster.version, self.ghost.clone());
            self.backup = Some(Arc::new(Backup { status, uid, version, ghost }));
        }
    }

    /// Somebody writes the status of the backup into this very rollout.
    fn restore(&mut self) {
        let rollout = &self.cluster.rollout;
        let differs =
            |backup: &&Arc<Backup>| backup.uid == rollout.uid && rollout.status.as_ref() != Some(&backup.status);
        let Some(backup) = self.backup.as_ref().filter(differs).cloned() else { return };
        self.cluster.publish(&backup.status);
        self.ghost.on_restore(&backup.ghost, backup.version, &self.cluster);
    }

    fn ask_for(&mut self, version: Option<Version>, count: Option<u8>) {
        self.change_spec(|cluster| cluster.ask_for(version, count));
    }

    /// Something changes what the spec asks for.
    fn change_spec(&mut self, change: impl FnOnce(&mut Cluster)) {
        let (before, replicas) = (self.cluster.version, self.cluster.rollout.spec.replicas());
        change(&mut self.cluster);
        let retemplated = self.cluster.version != before;
        let unseen = self.ghost.unseen.0;
        if retemplated {
            self.ghost.on_template(&self.cluster, self.cluster.version);
        }
        if self.cluster.rollout.spec.replicas() != replicas {
            self.ghost.on_scale(&self.cluster, retemplated);
            if retemplated && unseen {
                // The operator may see the change of scale alone.
                self.ghost.size = None;
            }
        }
        if retemplated && self.cluster.rollout.spec.workload_ref.is_some() {
            // Deployment and rollout are two objects: nothing changes both at once.
            self.ghost.size = None;
        }
        if self.cluster.has_no_template() && (self.ghost.unseen.0 || self.ghost.unseen.1) {
            // The operator cannot know with which template a scale came.
            self.ghost.size = None;
        }
    }

    fn ask(&mut self, verb: Verb, version: Option<Version>, to: Option<Version>, by: Person) {
        // No two requests are made at the same moment.
        self.cluster.now += SignedDuration::from_millis(1);
        let action = greenlight_api::Verb::parse(verb.word()).expect("the words are the same");
        let value = match version {
            Some(version) => {
                let revision = self.cluster.hash_of(version).to_owned();
                let to = to.map(|to| self.cluster.hash_of(to).to_owned());
                Request { action, revision, to, by: by.word().into(), at: self.cluster.now, reason: None }.to_value()
            }
            None => verb.word().to_owned(),
        };
        let asked = self.cluster.version;
        let meant: Vec<Version> = match (version, verb) {
            (Some(_), _) => Vec::new(),
            // The one that was looked at, whatever serves when it is heard.
            (None, Verb::Undo) if self.told_serving().is_some() => self.told_serving().into_iter().collect(),
            (None, Verb::Undo) => {
                // What a request that is under way moves production to may serve by then.
                let pending = self.ghost.request.as_ref().filter(|request| request.answer.is_none());
                let about = pending.and_then(|request| request.version);
                let serving = self.ghost.home.into_iter().chain(self.cluster.production()).chain(about);
                serving.chain([asked]).collect()
            }
            (None, _) => {
                let status = self.cluster.rollout.status.as_ref();
                let told = status.and_then(|status| adapter::version_of_hash(&status.updated_revision));
                vec![asked].into_iter().chain(told.filter(|told| *told != asked)).collect()
            }
        };
        let about = version.or(meant.first().copied());
        let request = RequestTruth {
            verb,
            version,
            meant,
            by: version.map(|_| by),
            value: value.clone(),
            answer: None,
            to,
            was_rejected: about.map(|version| self.ghost.of(version).rejected).unwrap_or_default(),
        };
        self.cluster.change_rollout(false, |rollout| rollout.request = Some(value));
        self.ghost.on_request(request, &self.cluster);
    }

    /// The revision that serves, as whoever types a verb reads it.
    fn told_serving(&self) -> Option<Version> {
        let record = self.cluster.rollout.record()?;
        record.revision(&record.serving).and_then(|serving| adapter::version_of_hash(&serving.hash))
    }

    /// The status names what production was last moved to.
    fn move_is_told(&self) -> bool {
        let status = self.cluster.rollout.status.as_ref();
        status.and_then(|status| adapter::version_of_hash(&status.active_revision)) == self.ghost.home
    }

    fn move_by_hand(&mut self, name: Name, version: Option<Version>) {
        self.cluster.move_by_hand(name, version);
        let carries = self.cluster.services.get(name.word()).is_some_and(|service| service.production.is_some());
        let first = self.cluster.rollout.spec.blue_green().active_service.as_deref() == Some(name.word());
        let pending = self.ghost.request.as_ref().is_some_and(|request| request.answer.is_none());
        let moves = first || carries;
        if moves && let Some(version) = version {
            self.ghost.hand = Some((name, version));
            let renamed = first != carries;
            if pending || renamed || self.ghost.unseen.0 || self.ghost.lost || !self.move_is_told() {
                self.ghost.muddle(&self.cluster);
            }
            if let Some(request) = &mut self.ghost.request {
                // It may be heard before or after the move is seen.
                request.meant.push(version);
            }
        }
    }

    /// A Service that a person has moved is called active: who sees the two the other way round sees production moved.
    fn name_what_was_moved(&mut self) {
        let Some(service) = self.cluster.first_active().filter(|service| service.moved_by.is_some()) else { return };
        let name = Name::ALL.iter().copied().find(|name| name.word() == service.name);
        let version = service.hash().and_then(adapter::version_of_hash).filter(|to| self.ghost.home != Some(*to));
        if let Some(moved) = name.zip(version) {
            self.ghost.hand.get_or_insert(moved);
            self.ghost.muddle(&self.cluster);
        }
    }

    fn rival(&mut self, rival: Rival) {
        match rival {
            Rival::Appears | Rival::Precedes => {
                let rollout = &self.cluster.rollout;
                let created = match rival {
                    Rival::Precedes => rollout.created - SignedDuration::from_secs(1),
                    _ => self.cluster.now + SignedDuration::from_secs(1),
                };
                if let Some(service) = rollout.spec.blue_green().active_service.clone() {
                    self.cluster.rival.get_or_insert(RivalTruth { service, created });
                }
            }
            Rival::Moves => self.cluster.rival_moves(),
            Rival::Goes => self.cluster.rival_goes(),
        }
    }

    fn calm(&mut self, report: &mut Report) {
        for _ in 0..16 {
            let pods = self.cluster.run_all_pods();
            Name::ALL.iter().for_each(|name| self.cluster.catch_up(name.word(), false));
            self.ghost.look(&self.cluster);
            let before = self.cluster.rollout.resource_version.clone();
            let writes = self.writes_of_run(Operator::A, report);
            if !pods && !writes && self.cluster.rollout.resource_version == before {
                break;
            }
        }
    }

    fn writes_of_run(&mut self, operator: Operator, report: &mut Report) -> bool {
        let noted = self.made.is_some();
        self.made.get_or_insert_default();
        let before = self.made.as_ref().map_or(0, Vec::len);
        self.run(operator, report);
        let wrote = self.made.as_ref().map_or(0, Vec::len) > before;
        if !noted {
            self.made = None;
        }
        wrote
    }

    /// An operator works until it rests or fails.
    pub fn run(&mut self, operator: Operator, report: &mut Report) -> Progress {
        let mut plans = 0;
        loop {
            if self.operators[operator as usize].held.is_none() {
                plans += 1;
            }
            if plans > MOST_PLANS {
                report.check(Predicate::Rests, false, || {
                    let world = self.operators[operator as usize].observe(&self.cluster);
                    format!("plan after plan: {:?}", adapter::plan(&world, self.cluster.now).actions)
                });
                return Progress::Failed;
            }
            match self.step(operator, report) {
                Progress::On => {}
                end => {
                    report.check(Predicate::Rests, true, String::new);
                    if matches!(end, Progress::Rest(_)) && self.operators[operator as usize].is_fresh() {
                        self.ghost.on_rest(&self.cluster, report);
                    }
                    return end;
                }
            }
        }
    }

    /// An operator makes its next write.
    pub fn step(&mut self, operator: Operator, report: &mut Report) -> Progress {
        if self.cluster.gone {
            return Progress::Rest(None);
        }
        let process = &mut self.operators[operator as usize];
        if process.held.is_none() {
            // No two plans are made at the same moment.
            self.cluster.now += SignedDuration::from_millis(1);
            let now = process.now(&self.cluster);
            let world = process.observe(&self.cluster);
            let plan = adapter::plan(&world, now);
            if plan.doubt.is_some() {
                process.read_live(&self.cluster);
                return Progress::On;
            }
            // Without a status nothing is decided until one is written.
            if process.knows_production(&self.cluster) && self.cluster.rollout.status.is_some() {
                self.ghost.see_hand(&self.cluster);
                self.ghost.look(&self.cluster);
            }
            let watches_more = process.watches != plan.watches;
            process.watches = plan.watches;
            let seen = Seen {
                rollout: process.rollout(&self.cluster).clone(),
                version: adapter::version_of_digest(world.rollout.template.digest.as_str()),
                reached: std::array::from_fn(|number| {
                    let number = u8::try_from(number).unwrap_or(0);
                    (1..=VERSIONS).contains(&number) && is_reached(&self.cluster, Version(number))
                }),
                fresh: process.is_fresh(),
                rival: !world.rivals.is_empty(),
                creates: world.refused.is_none() && world.refused_writes.is_empty(),
                pruned: plan.actions.iter().filter_map(pruned).collect(),
                answers: std::mem::take(&mut process.answers),
            };
            process.live.clear();
            if plan.actions.is_empty() {
                let end = if plan.publish_at.is_some_and(|at| at <= now) {
                    self.publish(operator, &plan.status, &plan.events, &seen, plan.next, report)
                } else {
                    Progress::Rest(plan.next.into_iter().chain(plan.publish_at).min())
                };
                // What is watched from now on is heard at once; what was decided can be acted upon.
                let more = watches_more || plan.replan && plan.publish_at.is_some_and(|at| at <= now);
                self.operators[operator as usize].read_live &= more;
                return if more && end != Progress::Failed { Progress::On } else { end };
            }
            process.held = Some(Held { actions: Arc::new(plan.actions), next: 0, seen: Arc::new(seen) });
        }
        self.act(operator, report)
    }

    /// An operator makes its next write, and knows no more of it than its watches tell.
    fn step_unanswered(&mut self, operator: Operator, report: &mut Report) {
        let (before, writes) = (self.operators[operator as usize].clone(), self.cluster.writes());
        self.step(operator, report);
        let process = &mut self.operators[operator as usize];
        if self.cluster.writes() != writes {
            *process = Process { held: None, read_live: false, watches: process.watches.clone(), ..before };
        }
    }

    fn publish(
        &mut self,
        operator: Operator,
        status: &BlueGreenRolloutStatus,
        events: &[greenlight_core::events::Event],
        seen: &Seen,
        next: Option<Timestamp>,
        report: &mut Report,
    ) -> Progress {
        let process = &mut self.operators[operator as usize];
        let stale = seen.rollout.resource_version != self.cluster.rollout.resource_version;
        if self.cluster.refused == Refused::Status || PUBLISH_IS_FENCED && stale {
            return Progress::Failed;
        }
        let before = self.cluster.rollout.status.clone();
        if before.is_none() {
            self.ghost.see_hand(&self.cluster);
            self.ghost.look(&self.cluster);
        }
        self.ghost.on_publish(before.as_ref(), status, &self.cluster, seen, report);
        self.ghost.on_events(events, status, &self.cluster, seen, report);
        self.cluster.publish(status);
        self.published += 1;
        process.memory.published_at = Some(process.now(&self.cluster));
        process.hear_answer(&self.cluster, None, None, true);
        Progress::Rest(next)
    }

    /// The next action of the plan that is being carried out.
    fn act(&mut self, operator: Operator, report: &mut Report) -> Progress {
        let process = &mut self.operators[operator as usize];
        let Some(held) = process.held.clone() else { return Progress::On };
        // An action on the rollout itself changes its resourceVersion: what follows is planned anew.
        let overtaken = held.next > 0 && **process.rollout(&self.cluster) != *held.seen.rollout;
        let action = if overtaken { None } else { held.actions.get(held.next) };
        let Some(action) = action else {
            process.held = None;
            return Progress::On;
        };
        process.held = (held.next + 1 < held.actions.len()).then(|| Held { next: held.next + 1, ..held.clone() });
        self.execute(operator, action, &held.seen, report)
    }

    fn execute(&mut self, operator: Operator, action: &Action, seen: &Seen, report: &mut Report) -> Progress {
        if let Action::AddFinalizer | Action::RemoveFinalizer | Action::CompleteRequest { .. } = action
            && seen.rollout.resource_version != self.cluster.rollout.resource_version
        {
            self.operators[operator as usize].held = None;
            return Progress::Failed;
        }
        let target = action.target(ROLLOUT);
        let after = match self.cluster.after(action) {
            Err(failure)
                if failure == Failure::Forbidden
                    || failure == Failure::Invalid && matches!(action, Action::StartAnalysis { .. }) =>
            {
                let process = &mut self.operators[operator as usize];
                let retry_at = process.now(&self.cluster) + REFUSAL_PAUSE;
                let refused = &mut process.memory.refused_writes;
                refused.retain(|before| before.target != target);
                refused.push(RefusedWrite { target, message: "a policy denies it".to_owned(), retry_at });
                process.held = None;
                return Progress::On;
            }
            Err(failure) => return self.fail(operator, action, failure),
            Ok(after) => after,
        };
        self.operators[operator as usize].memory.refused_writes.retain(|before| before.target != target);
        Moment { cluster: &self.cluster, after: &after, ghost: &self.ghost, seen }.check(action, report);
        self.make(action, after);
        match action {
            Action::CompleteRequest { value } => self.ghost.on_completed(value, report),
            Action::SelectRevision { name, production: Some(hash), .. } => {
                let blue_green = seen.rollout.spec.blue_green();
                // Where the spec names none, those that carry production still follow the record.
                let tells =
                    blue_green.active_service.is_none() || blue_green.active_services().any(|service| service == name);
                let version = self.cluster.sets.iter().find(|set| set.object.hash == *hash).map(|set| set.version);
                if tells && let Some(version) = version {
                    self.ghost.on_move(version, &self.cluster);
                }
            }
            Action::ChangeReplicaSet { name, change: Change { replicas: Some(replicas), .. }, .. } => {
                if let Some(version) = adapter::version_of_named(name) {
                    self.ghost.on_resize(version, *replicas, &self.cluster, seen);
                }
            }
            _ => {}
        }
        self.ghost.look(&self.cluster);
        let process = &mut self.operators[operator as usize];
        let (mut set, mut service, mut rollout) = (None, None, false);
        match action {
            Action::ChangeReplicaSet { name, .. } | Action::ChangePodMetadata { name, .. } => {
                set = Some(name.as_str());
                if let Some(truth) = self.cluster.named(name) {
                    process.live.push((name.clone(), truth.object.resource_version.clone()));
                    process.answers.push((name.clone(), self.ghost.is_full(truth)));
                }
            }
            Action::CreateReplicaSet { name, .. } | Action::DeleteReplicaSet { name, .. } => set = Some(name.as_str()),
            Action::SelectRevision { name, .. }
            | Action::WithdrawClaims { name, .. }
            | Action::RemoveMarks { name, .. } => {
                service = Some(name.as_str());
                if let Some(truth) = self.cluster.services.get(name) {
                    process.memory.moved.insert(name.clone(), truth.resource_version.clone());
                }
            }
            Action::AddFinalizer | Action::RemoveFinalizer | Action::CompleteRequest { .. } => rollout = true,
            Action::StartAnalysis { .. } | Action::StopAnalysis { .. } => process.hear_runs(&self.cluster),
            Action::EvictPod { .. } => process.hear_pods(&self.cluster),
            Action::ScaleWorkload { .. } => process.hear_workload(&self.cluster),
        }
        process.hear_answer(&self.cluster, set, service, rollout);
        Progress::On
    }

    /// A write is made.
    fn make(&mut self, action: &Action, after: Cluster) {
        if let Some(made) = &mut self.made {
            let name = match action {
                // The name of what is created may be that of what is taken over.
                Action::ChangeReplicaSet { name, .. } | Action::CreateReplicaSet { name, .. } => Some(name),
                _ => None,
            };
            let replicas = name.and_then(|name| self.cluster.named(name)).map(|set| set.object.replicas);
            made.push(Made { write: action.clone(), replicas });
        }
        self.cluster = after;
    }

    fn fail(&mut self, operator: Operator, action: &Action, failure: Failure) -> Progress {
        let process = &mut self.operators[operator as usize];
        let retry_at = process.now(&self.cluster) + REFUSAL_PAUSE;
        match (failure, action) {
            (Failure::Overtaken, _) => {
                process.hear_answer(&self.cluster, None, None, true);
                process.hear_workload(&self.cluster);
                Progress::On
            }
            (Failure::Invalid, Action::CreateReplicaSet { digest, .. }) => {
                let message = "quota exceeded".to_owned();
                process.memory.refused = Some(Refusal { digest: digest.clone(), message, retry_at });
                Progress::On
            }
            (Failure::Conflict, Action::CreateReplicaSet { name, .. }) => {
                process.hear_answer(&self.cluster, Some(name), None, false);
                Progress::On
            }
            (Failure::Missing, Action::EvictPod { .. }) => {
                process.hear_pods(&self.cluster);
                Progress::On
            }
            (Failure::Missing, Action::ChangeReplicaSet { name, .. } | Action::DeleteReplicaSet { name, .. }) => {
                process.held = None;
                process.hear_answer(&self.cluster, Some(name), None, false);
                Progress::Failed
            }
            _ => {
                process.held = None;
                process.read_live = false;
                Progress::Failed
            }
        }
    }

    fn scale_down_begins(&mut self, version: Version) {
        self.scaling = None;
        let cluster = &self.cluster;
        let Some(set) = cluster.sets.iter().find(|set| set.version == version) else { return };
        let leaves = cluster.rollout.is_deleting() || cluster.gone || !set.owned;
        let rollout = (!leaves).then_some(&*cluster.rollout);
        let by = || {
            let named = |name: &str| cluster.rollout.spec.blue_green().services().any(|named| named == name);
            let mut ours = cluster.services.values().filter(|it| named(&it.name) || it.is_marked_for(ROLLOUT));
            ours.find(|service| service.selects(&set.object)).map(|service| service.name.clone())
        };
        let mut next = adapter::scale_down(&set.object, rollout, by(), false, cluster.now);
        if matches!(next, Next::CheckServices) {
            next = adapter::scale_down(&set.object, rollout, by(), true, cluster.now);
        }
        if let Next::Write(change) = next {
            let reached = checks::reaches(cluster, set);
            self.scaling = Some((set.object.name.clone(), set.object.resource_version.clone(), change, reached));
        }
    }

    fn scale_down_ends(&mut self, report: &mut Report) {
        let Some((name, resource_version, change, reached)) = self.scaling.take() else { return };
        let action = Action::ChangeReplicaSet { name: name.clone(), resource_version, change: change.clone() };
        let Ok(after) = self.cluster.after(&action) else { return };
        let Some(set) = self.cluster.named(&name).cloned() else { return };
        checks::check_scale_down((&self.cluster, &self.ghost), &set, &change, reached, report);
        self.make(&action, after);
        self.ghost.look(&self.cluster);
    }
}

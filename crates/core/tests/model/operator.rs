//! The operator: what it sees, and how it plans, writes, dies, and sleeps. The loop is that of the real one: after a write it
//! observes and plans again; a conflict ends it; what a write answers goes into its caches, also while a watch brings nothing.

use std::collections::BTreeSet;

#[cfg(debug_assertions)]
use greenlight_api::BlueGreenRolloutStatus;
use greenlight_api::names;
use greenlight_core::retire::{Owner, ScaleDown, Selected, scale_down};
use greenlight_core::simulate::{self, Written};
use greenlight_core::world::{Refusal, RefusedWrite, Service};
use greenlight_core::{Action, Change, Plan, Watches, World, plan};
use jiff::{SignedDuration, Timestamp};

use super::{Kind, Model, Second};

/// ReplicaSets whose state was just answered: name and resourceVersion.
type Live = BTreeSet<(String, String)>;

impl Model {
    /// The watches bring what they bring.
    pub(super) fn watch(&mut self) {
        let brings = |kind| !self.behind.contains(&kind);
        let (cache, truth) = (&mut self.cache, &self.truth);
        if brings(Kind::Rollouts) {
            cache.rollout.clone_from(&truth.rollout);
            cache.rivals.clone_from(&truth.rivals);
            cache.workload.clone_from(&truth.workload);
        }
        if brings(Kind::ReplicaSets) {
            cache.replica_sets.clone_from(&truth.replica_sets);
        }
        if brings(Kind::Services) {
            cache.services.clone_from(&truth.services);
        }
        if brings(Kind::Runs) {
            cache.runs.clone_from(&truth.runs);
        }
        // A watch that begins reads everything first; what is not watched any more is forgotten.
        if brings(Kind::Endpoints) {
            cache.endpoints.clear();
        }
        if brings(Kind::Pods) {
            cache.pods.clear();
        }
        cache.endpoints.retain(|name, _| self.watches.endpoints.contains(name));
        let watched: BTreeSet<&String> = self.watches.pods.union(&self.watches.stuck).collect();
        cache.pods.retain(|hash, _| watched.contains(hash));
        for name in &self.watches.endpoints {
            let endpoints = || truth.endpoints.get(name).cloned().unwrap_or_default();
            cache.endpoints.entry(name.clone()).or_insert_with(endpoints);
        }
        for hash in watched {
            let pods = || truth.pods.get(hash).cloned().unwrap_or_default();
            cache.pods.entry(hash.clone()).or_insert_with(pods);
        }
    }

    /// The time by the operator's clock.
    fn clock(&self) -> Timestamp {
        self.now + self.ahead
    }

    /// The world as the operator sees it: only what it names or what carries its mark.
    fn observe(&self, live: &Live) -> World {
        let mut world = self.cache.clone();
        for rs in &mut world.replica_sets {
            rs.fresh = live.contains(&(rs.name.clone(), rs.resource_version.clone()));
        }
        for service in world.services.values_mut() {
            service.answered = self.moved.get(&service.name) == Some(&service.resource_version);
        }
        let has = |hash: &str| self.cache.replica_sets.iter().any(|rs| rs.hash == hash);
        world.services.retain(|_, service| self.cache.rollout.looks_after(service, has));
        world
    }

    /// The plan of the moment, of an operator that has seen everything it asked to see.
    pub fn plan(&mut self) -> Plan {
        self.watch();
        plan(&self.observe(&Live::new()), self.clock())
    }

    /// The world as the operator sees it at the moment.
    pub fn seen(&mut self) -> World {
        self.watch();
        self.observe(&Live::new())
    }

    /// An operator works until it rests, meets a conflict, or dies. Returns false if it never rests.
    pub fn operate(&mut self, dies_after: Option<usize>) -> bool {
        self.run(dies_after, |model, _| model.die())
    }

    /// An operator works, and falls asleep before its next write after so many.
    pub(super) fn sleep(&mut self, writes: usize) {
        self.run(Some(writes), |model, rest| model.slept = (rest.to_vec(), Some(Box::new(model.cache.clone()))));
    }

    /// The operator that sleeps carries out what it was about to.
    pub(super) fn wake(&mut self) {
        let (Some(dreamt), actions) = (self.slept.1.take(), std::mem::take(&mut self.slept.0)) else { return };
        let awake = std::mem::replace(&mut self.cache, *dreamt);
        self.ledger.asleep = true;
        for action in actions {
            if self.carry_out(&action) == Written::Conflict {
                break;
            }
        }
        self.ledger.asleep = false;
        self.cache = awake;
    }

    /// An operator works; after so many writes the answer to one is lost, although it was carried out.
    pub fn operate_and_lose_an_answer(&mut self, after: usize) {
        self.loses_answer_after = Some(after);
        self.operate(None);
        self.loses_answer_after = None;
    }

    fn answer_is_lost(&mut self) -> bool {
        let lost = self.loses_answer_after == Some(0);
        self.loses_answer_after = self.loses_answer_after.and_then(|after| after.checked_sub(1));
        lost
    }

    /// A second operator that has seen what this one has.
    pub fn second(&mut self) -> Second {
        self.watch();
        Second {
            cache: self.cache.clone(),
            behind: self.behind.clone(),
            watches: self.watches.clone(),
            moved: self.moved.clone(),
        }
    }

    /// The second operator does something; it hears nothing of these kinds.
    pub fn as_second(&mut self, second: &mut Second, behind: &[Kind], work: impl FnOnce(&mut Model)) {
        second.behind = behind.iter().copied().collect();
        self.exchange(second);
        work(self);
        self.exchange(second);
    }

    fn exchange(&mut self, second: &mut Second) {
        std::mem::swap(&mut self.cache, &mut second.cache);
        std::mem::swap(&mut self.behind, &mut second.behind);
        std::mem::swap(&mut self.watches, &mut second.watches);
        std::mem::swap(&mut self.moved, &mut second.moved);
    }

    /// It reads the rollout, its ReplicaSets and its Services, and knows them until it rests.
    fn read_live(&mut self) {
        let (cache, truth) = (&mut self.cache, &self.truth);
        cache.rollout.clone_from(&truth.rollout);
        cache.replica_sets.clone_from(&truth.replica_sets);
        cache.services.clone_from(&truth.services);
        cache.workload.clone_from(&truth.workload);
        cache.live = true;
    }

    fn die(&mut self) {
        self.behind.clear();
        self.moved.clear();
        self.watches = Watches::default();
        self.cache.published_at = None;
        self.cache.refused = None;
        self.cache.refused_writes.clear();
    }

    /// An operator that fell asleep within a reconcile goes on where it was.
    pub fn go_on(&mut self) -> bool {
        self.reconcile(None, |model, _| model.die())
    }

    fn run(&mut self, stops_after: Option<usize>, stop: impl Fn(&mut Model, &[Action])) -> bool {
        self.cache.live = false;
        self.reconcile(stops_after, stop)
    }

    fn reconcile(&mut self, stops_after: Option<usize>, stop: impl Fn(&mut Model, &[Action])) -> bool {
        let mut live = Live::new();
        let mut writes = 0;
        for _ in 0..80 {
            self.now += SignedDuration::from_millis(3);
            self.watch();
            let plan = plan(&self.observe(&live), self.clock());
            if plan.doubt.is_some() {
                self.read_live();
                continue;
            }
            if std::env::var_os("TRACE").is_some() {
                eprintln!(
                    "{} {:?} publish {:?} replan {} {} | {}",
                    self.now,
                    plan.actions,
                    plan.publish_at,
                    plan.replan,
                    plan.status.phase.as_str(),
                    plan.status.message
                );
            }
            let sees_more = std::mem::replace(&mut self.watches, plan.watches.clone()) != plan.watches;
            live.clear();
            if plan.actions.is_empty() {
                let due = plan.publish_at.is_some_and(|at| at <= self.clock());
                if due && stops_after == Some(writes) {
                    stop(self, &[]);
                    return true;
                }
                if due && self.publish(&plan) == Written::Conflict {
                    return true;
                }
                writes += usize::from(due);
                if !due && !sees_more {
                    return true;
                }
                continue;
            }
            let seen = self.cache.rollout.resource_version.clone();
            for (number, action) in plan.actions.iter().enumerate() {
                if stops_after == Some(writes) {
                    stop(self, &plan.actions[number..]);
                    return true;
                }
                // An action on the rollout itself changes its resourceVersion: what follows is planned anew.
                if self.cache.rollout.resource_version != seen {
                    break;
                }
                if self.carry_out(action) == Written::Conflict {
                    return true;
                }
                let target = action.target(&self.cache.rollout.name);
                if self.cache.refused_writes.iter().any(|refused| refused.target == target) {
                    break;
                }
                writes += 1;
                if let Action::ChangeReplicaSet { name, .. } | Action::ChangePodMetadata { name, .. } = action {
                    let answer = self.cache.replica_sets.iter().find(|rs| rs.name == *name);
                    live.extend(answer.map(|rs| (rs.name.clone(), rs.resource_version.clone())));
                }
            }
        }
        false
    }

    /// Publishes a status, if the rollout is as it was read.
    fn publish(&mut self, plan: &Plan) -> Written {
        if self.cache.rollout.resource_version != self.truth.rollout.resource_version {
            return Written::Conflict;
        }
        // One that is another after it was written and read would be written again and again, and taken for one that the CRD does not keep.
        #[cfg(debug_assertions)]
        assert_eq!(kept(&plan.status), plan.status, "what is read back is what was written");
        let (seen, version) = (self.cache.rollout.clone(), self.bump());
        let endpoints = (!self.behind.contains(&Kind::Endpoints)).then_some(&self.truth.endpoints);
        self.ledger.published(&seen, &self.truth, plan, endpoints);
        simulate::publish(&mut self.truth, plan.status.clone(), &version);
        if self.answer_is_lost() {
            return Written::Conflict;
        }
        self.cache.rollout.clone_from(&self.truth.rollout);
        self.cache.published_at = Some(self.clock());
        Written::Done
    }

    /// Carries out a write, and puts the answer into the caches.
    fn carry_out(&mut self, action: &Action) -> Written {
        let on_rollout =
            matches!(action, Action::AddFinalizer | Action::RemoveFinalizer | Action::CompleteRequest { .. });
        if on_rollout && self.cache.rollout.resource_version != self.truth.rollout.resource_version {
            return Written::Conflict;
        }
        if let Action::CreateReplicaSet { digest, .. } = action
            && self.refused.contains(digest)
        {
            let retry_at = self.clock() + SignedDuration::from_secs(10);
            self.cache.refused = Some(Refusal { digest: digest.clone(), message: "quota".into(), retry_at });
            return Written::Done;
        }
        let target = action.target(&self.cache.rollout.name);
        self.cache.refused_writes.retain(|refused| refused.target != target);
        if matches!(action, Action::StartAnalysis { .. }) && self.refuses_analyses {
            let retry_at = self.clock() + SignedDuration::from_secs(10);
            let message = "there is no template".to_owned();
            self.cache.refused_writes.push(RefusedWrite { target, message, retry_at });
            return Written::Done;
        }
        if self.policy.is_some_and(|refuses| refuses(action)) {
            let retry_at = self.clock() + SignedDuration::from_secs(5);
            self.cache.refused_writes.push(RefusedWrite { target, message: "a policy says no".into(), retry_at });
            return Written::Done;
        }
        let version = self.bump();
        let before = self.truth.clone();
        let written = simulate::apply(&mut self.truth, action, &version, self.now);
        if written == Written::Conflict {
            return written;
        }
        if let Action::ChangePodMetadata { name, .. } = action {
            // Here its controller sees a new template at once; the explorer has those that are late.
            let settled = before.replica_sets.iter().any(|rs| rs.name == *name && rs.settled);
            self.truth.replica_sets.iter_mut().filter(|rs| rs.name == *name).for_each(|rs| rs.settled = settled);
        }
        let behind = self.behind.contains(&Kind::Endpoints);
        self.ledger.check(&before, &self.cache, action, behind, self.now);
        if let Action::ScaleWorkload { replicas, .. } = action {
            self.ledger.check_workload(&before, &self.cache, *replicas, !self.behind.is_empty());
        }
        let hash = match action {
            Action::ChangeReplicaSet { name, .. } | Action::ChangePodMetadata { name, .. } => {
                before.replica_sets.iter().find(|rs| rs.name == *name).map(|rs| rs.hash.clone())
            }
            Action::EvictPod { hash, .. } => Some(hash.clone()),
            Action::CreateReplicaSet { .. } => {
                self.cache.refused = None;
                None
            }
            Action::StartAnalysis { .. } => {
                self.cache.refused_writes.clear();
                None
            }
            Action::CompleteRequest { value } => {
                if let Ok(request) = serde_json::from_str(value) {
                    self.ledger.asked(&request);
                }
                None
            }
            _ => None,
        };
        if let Some(hash) = hash {
            self.count(&hash);
        }
        if self.answer_is_lost() {
            return Written::Conflict;
        }
        self.take_answer(action);
        Written::Done
    }

    fn take_answer(&mut self, action: &Action) {
        let (cache, truth) = (&mut self.cache, &self.truth);
        match action {
            Action::AddFinalizer | Action::RemoveFinalizer | Action::CompleteRequest { .. } => {
                cache.rollout.clone_from(&truth.rollout);
            }
            Action::CreateReplicaSet { name, .. }
            | Action::ChangeReplicaSet { name, .. }
            | Action::ChangePodMetadata { name, .. }
            | Action::DeleteReplicaSet { name, .. } => {
                cache.replica_sets.retain(|rs| rs.name != *name);
                cache.replica_sets.extend(truth.replica_sets.iter().find(|rs| rs.name == *name).cloned());
            }
            Action::SelectRevision { name, .. }
            | Action::WithdrawClaims { name, .. }
            | Action::RemoveMarks { name, .. } => {
                if let Some(service) = truth.services.get(name) {
                    cache.services.insert(name.clone(), service.clone());
                    self.moved.insert(name.clone(), service.resource_version.clone());
                }
            }
            Action::StartAnalysis { name, .. } | Action::StopAnalysis { name } => {
                cache.runs.retain(|run| run.name != *name);
                cache.runs.extend(truth.runs.iter().find(|run| run.name == *name).cloned());
            }
            Action::ScaleWorkload { .. } => cache.workload.clone_from(&truth.workload),
            Action::EvictPod { .. } => {}
        }
    }

    /// The scale-down controller looks at every ReplicaSet: in its cache, at the Services live.
    pub fn scale_down(&mut self) {
        self.watch();
        for rs in self.cache.replica_sets.clone() {
            let rollout = &self.truth.rollout;
            let owner = if rollout.is_deleting() { Owner::Deleted } else { Owner::Exists(rollout) };
            let named: Vec<&str> = rollout.spec.blue_green().services().collect();
            let ours =
                |service: &&Service| named.contains(&service.name.as_str()) || service.is_marked_for(&rollout.name);
            let by = self.truth.services.values().filter(ours).find(|service| service.selects(&rs));
            let selected = by.map_or(Selected::No, |service| Selected::By(service.name.clone()));
            match scale_down(&rs, owner, &selected, self.now) {
                ScaleDown::Finish(change) => {
                    let due = rs.deleting || rs.scale_down_at().is_some_and(|at| at <= self.now);
                    assert!(due, "scaled down before its time: {rs:?}");
                    self.take_pods(&rs.name, &rs.resource_version, change);
                }
                ScaleDown::Shrink(change) | ScaleDown::RemoveFinalizer(change) => {
                    self.take_pods(&rs.name, &rs.resource_version, change);
                }
                ScaleDown::Nothing | ScaleDown::Wait(_) | ScaleDown::CheckServices => {}
            }
        }
    }

    fn take_pods(&mut self, name: &str, resource_version: &str, change: Change) {
        let action =
            Action::ChangeReplicaSet { name: name.to_owned(), resource_version: resource_version.to_owned(), change };
        let version = self.bump();
        let before = self.truth.clone();
        if simulate::apply(&mut self.truth, &action, &version, self.now) == Written::Conflict {
            return;
        }
        self.ledger.check_scale_down(&before, name);
        let hash = before.replica_sets.iter().find(|rs| rs.name == *name).map(|rs| rs.hash.clone());
        if let Some(hash) = hash {
            match self.truth.replica_sets.iter().any(|rs| rs.hash == hash) {
                true => self.count(&hash),
                false => drop(self.truth.pods.remove(&hash)),
            }
        }
        self.take_answer(&action);
    }

    /// The rollout is deleted: in the background, or with what Kubernetes adds for the other ways.
    pub fn delete_rollout(&mut self, finalizer: Option<&str>) {
        let rollout = &mut self.truth.rollout;
        rollout.finalizers.extend(finalizer.map(str::to_owned));
        rollout.deleting_since = Some(self.now);
        self.touch_rollout(true);
    }

    /// The finalizer holds the rollout.
    pub fn is_held(&self) -> bool {
        self.truth.rollout.finalizers.iter().any(|finalizer| finalizer == names::SERVICES_FINALIZER)
    }
}

/// A status as the API server answers with it.
#[cfg(debug_assertions)]
fn kept(status: &BlueGreenRolloutStatus) -> BlueGreenRolloutStatus {
    let written = serde_json::to_string(status).expect("a status has a text");
    serde_json::from_str(&written).expect("what was written can be read")
}

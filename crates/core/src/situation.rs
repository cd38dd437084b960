//! What a question is asked in: the world, what was decided, the roles that follow from both, and the time.

use std::collections::BTreeSet;

use greenlight_api::{Decisions, RevisionRecord};
use jiff::Timestamp;

use crate::hash;
use crate::roles::{self, Roles};
use crate::world::{ReplicaSet, Selection, World, ready_pods};

/// The situation that a plan is made in.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What was observed.
    pub world: &'a World,
    /// What was decided, up to now.
    pub decisions: &'a Decisions,
    /// The roles that follow from both.
    pub roles: Roles<'a>,
    /// The time of this plan, by the operator's clock.
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    /// The situation that follows from what was observed and decided.
    pub fn new(world: &'a World, decisions: &'a Decisions, now: Timestamp) -> Situation<'a> {
        Situation { world, decisions, roles: Roles::read(world, decisions), now }
    }

    /// What was decided about a ReplicaSet.
    pub fn record(&self, rs: &ReplicaSet) -> Option<&'a RevisionRecord> {
        self.decisions.revision(&rs.hash)
    }

    /// The number of a revision; 0 if the record does not know it.
    pub fn number(&self, rs: &ReplicaSet) -> i64 {
        self.record(rs).map_or(0, |record| record.number)
    }

    /// Whether a revision is rejected.
    pub fn is_rejected(&self, rs: &ReplicaSet) -> bool {
        self.record(rs).is_some_and(|record| record.rejection.is_some())
    }

    /// Whether a revision carried production, provably.
    pub fn served(&self, rs: &ReplicaSet) -> bool {
        self.record(rs).is_some_and(|record| record.served_at.is_some())
    }

    /// Whether production may go back to a revision.
    pub fn may_serve_again(&self, rs: &ReplicaSet) -> bool {
        self.record(rs).is_some_and(RevisionRecord::may_serve_again)
    }

    /// Something served, and there is nothing left that could: nobody waits for a preview then. A ReplicaSet that is being deleted and has
    /// no pods left gets none any more, however long a finalizer holds it.
    pub fn is_down(&self) -> bool {
        let is_over = |home: &ReplicaSet| home.deleting && home.ready == 0 && home.available == 0;
        self.roles.home().is_none_or(is_over) && !self.world.is_first_deployment(self.decisions)
    }

    /// What is to be said of production that is with no revision. Something served, nobody knows what, and a Service without a hash leads to
    /// whatever pods there are; or the Service leads to what an earlier rollout of this name left behind, as far as its pods are still there
    /// (`--cascade=orphan`); or nothing serves.
    pub fn where_nowhere(&self) -> String {
        let served = !self.world.is_first_deployment(self.decisions);
        let active = if served { self.world.first_active_service() } else { None };
        match active.map(|service| (service.selection(), service)) {
            Some((Selection::Unmanaged, service)) if self.world.leads_to_others(service, None) => {
                format!("Service {} leads to the pods of any revision: point it at one of them", service.name)
            }
            Some((Selection::Revision(hash), service)) if self.is_unknown(&hash) => {
                format!("Service {} leads to revision {hash}, of which this rollout has no ReplicaSet", service.name)
            }
            _ => "nothing serves".to_owned(),
        }
    }

    /// Neither the record nor a ReplicaSet tells of this revision.
    fn is_unknown(&self, hash: &str) -> bool {
        self.decisions.revision(hash).is_none() && self.world.replica_sets.iter().all(|rs| rs.hash != hash)
    }

    /// The active Services that a promotion waits for: all that the spec names. Where production is down, the first one is better than none.
    pub fn needed_services(&self) -> impl Iterator<Item = &'a str> {
        let needed = if self.is_down() { 1 } else { usize::MAX };
        self.world.rollout.spec.blue_green().active_services().take(needed)
    }

    /// Whether people can look at a revision in preview; also if the spec names no preview Service, or production is down, so that nobody waits for a
    /// look.
    pub fn is_shown(&self, rs: &ReplicaSet) -> bool {
        if self.is_down() {
            return true;
        }
        let Some(preview) = &self.world.rollout.spec.blue_green().preview_service else { return true };
        self.world.services.get(preview).is_some_and(|service| service.hash() == Some(&rs.hash))
    }

    /// The preview Service, if it selects this revision. `None` also where production is down, so that nobody waits for a look.
    pub fn shown_by(&self, rs: &ReplicaSet) -> Option<&'a str> {
        let preview = self.world.rollout.spec.blue_green().preview_service.as_deref()?;
        if self.is_shown(rs) && !self.is_down() { Some(preview) } else { None }
    }

    /// What the EndpointSlices of the preview Service do not show yet, if it selects this revision: that it leads to pods of this revision, and to no
    /// others. Until they do, what it showed before may answer.
    pub fn preview_lacks(&self, rs: &ReplicaSet) -> Option<String> {
        let service = self.shown_by(rs)?;
        let Some(endpoints) = self.world.endpoints.get(service) else {
            return Some(format!("reading the endpoints of Service {service}"));
        };
        let (ours, others): (BTreeSet<&str>, BTreeSet<&str>) =
            ready_pods(endpoints).partition(|pod| hash::is_pod_of(pod, &rs.name));
        if !others.is_empty() {
            return Some(format!("Service {service} still has {} ready endpoints of other pods", others.len()));
        }
        ours.is_empty().then(|| format!("Service {service} has no ready endpoint of its pods"))
    }

    /// A hash for the spec's template that no revision has: neither on record, nor as a ReplicaSet, which may be on its way out. `None` if
    /// all are taken, see [`hash::free`].
    pub fn free_hash(&self) -> Option<String> {
        let Situation { world, decisions, .. } = self;
        let is_taken =
            |hash: &str| decisions.revision(hash).is_some() || world.replica_sets.iter().any(|rs| rs.hash == hash);
        hash::free(&world.rollout.template.digest, &world.rollout.name, is_taken)
    }

    /// The revision to go back to from the one that serves, if there is one.
    pub fn fallback(&self) -> Option<&'a ReplicaSet> {
        roles::fallback(self.world, self.decisions, &self.decisions.serving, None)
    }
}

//! One round of planning: the situation, and what several steps ask of it.

use greenlight_api::Progress;

use crate::actions::Action;
use crate::analysis::{self, Kind};
use crate::gate::{self, Gate};
use crate::metadata;
use crate::overlap;
use crate::progress;
use crate::request::Heard;
use crate::restart::Restart;
use crate::roles;
use crate::scale::{self, Size};
use crate::situation::Situation;
use crate::stall::{self, Stall};
use crate::status::Findings;
use crate::switch::{self, Proof};
use crate::world::{RefusedWrite, ReplicaSet};

/// The candidate with what was found out about it.
pub(super) struct Candidate<'a> {
    /// Its ReplicaSet.
    pub rs: &'a ReplicaSet,
    /// Whether it may be promoted.
    pub gate: Gate,
    /// How many pods it should have.
    pub size: Size,
    /// It has them, and they are available.
    pub is_ready: bool,
}

/// What the steps share.
pub(super) struct Round<'a> {
    /// The situation, with all decisions made.
    pub situation: Situation<'a>,
    /// What became of the request in the register.
    pub heard: &'a Heard,
    /// The candidate, if there is one.
    pub candidate: Option<Candidate<'a>>,
    /// How far the proof of the last move is.
    pub proof: Proof,
    /// What keeps the candidate from being promoted that only somebody outside can mend.
    pub stall: Option<Stall>,
}

impl<'a> Round<'a> {
    /// Finds out what the steps share.
    pub fn new(situation: Situation<'a>, heard: &'a Heard) -> Round<'a> {
        let candidate = situation.roles.candidate.map(|rs| {
            let gate = gate::check(&situation, rs);
            let size = scale::candidate_size(&situation, rs, gate.is_open());
            let is_ready = size.is_there(rs);
            Candidate { rs, gate, size, is_ready }
        });
        let proof = switch::proof(&situation);
        let world = situation.world;
        let misfit = || {
            let rs = situation.roles.candidate?;
            let mut needed = situation.needed_services().filter_map(|name| world.services.get(name));
            needed.find_map(|service| stall::keeps_from_moving(world, service, rs))
        };
        let stall = stall::workload(world).or_else(|| stall::services(&situation)).or_else(misfit);
        Round { situation, heard, candidate, proof, stall }
    }

    /// The revision that things wait for, and how many pods it should have: the one that production goes back to, else the
    /// candidate, else what serves.
    pub fn focus(&self) -> Option<(&'a ReplicaSet, Size)> {
        let roles = self.situation.roles;
        let home = roles.home().map(|home| (home, scale::home_size(&self.situation, home)));
        let candidate = self.candidate.as_ref().map(|candidate| (candidate.rs, candidate.size));
        if roles.going_back() { home.or(candidate) } else { candidate.or(home) }
    }

    /// The revision in focus and its size, if it is not available or its pods are being replaced.
    pub fn unfinished(&self) -> Option<(&'a ReplicaSet, Size)> {
        let (rs, size) = self.focus()?;
        let restarts = Restart::of(&self.situation, rs).is_some();
        let is_there = rs.replicas == size.replicas && metadata::is_available_meanwhile(rs, size.needed);
        if restarts || !is_there { Some((rs, size)) } else { None }
    }

    /// The progress of the revision in focus, if it is unfinished.
    pub fn progress(&self) -> Option<Progress> {
        let Situation { world, now, .. } = self.situation;
        self.unfinished().map(|(rs, _)| progress::read(world.rollout.status.as_ref(), rs, now))
    }

    /// The progress of the proof that production, or the preview before an analysis, is with the revision in focus, if nothing else is waited for. An
    /// overlap takes as long as the spec says.
    pub fn proving(&self) -> Option<Progress> {
        let Situation { world, roles, now, .. } = self.situation;
        let (rs, _) = self.focus()?;
        if self.unfinished().is_some() {
            return None;
        }
        let status = world.rollout.status.as_ref();
        if roles.is_candidate(rs) {
            return analysis::waits_for_preview(&self.situation, rs).then(|| progress::of_preview(status, rs, now));
        }
        let is_missing = matches!(self.proof, Proof::Missing(_)) && !overlap::is_under_way(&self.situation);
        (is_missing && roles.is_home(rs)).then(|| progress::of_proof(status, rs, now))
    }

    /// What the preview Service is to show instead of what it shows. The additional pod of a restart is not waited for.
    pub fn move_preview(&self) -> Option<Action> {
        switch::move_preview(&self.situation, self.candidate.as_ref().map(|candidate| candidate.size.needed))
    }

    /// The restarts that are under way.
    pub fn restarts(&self) -> impl Iterator<Item = Restart<'a>> {
        let roles = self.situation.roles;
        let with_role = self.situation.world.existing().filter(move |rs| roles.is_home(rs) || roles.is_candidate(rs));
        with_role.filter_map(|rs| Restart::of(&self.situation, rs))
    }

    /// What the status is made of, with the first refused write that something waits for.
    pub fn findings(&self, refused: Option<&RefusedWrite>) -> Findings<'a> {
        let situation = self.situation;
        let world = situation.world;
        let focus = self.focus();
        let lacking = stall::home(&situation);
        // While a candidate waits that is told beside what it waits for, which may be what mends it.
        let waits = self.candidate.is_some() && situation.roles.staying().is_some();
        // What was rejected is not tried any more, so nobody is kept waiting by why it could not be made.
        let asked_for = roles::asked_for(world, situation.decisions);
        let is_to_be_made =
            situation.roles.updated.is_none() && situation.decisions.rejection_of_template(asked_for).is_none();
        let template = || if is_to_be_made { stall::template(world) } else { None };
        Findings {
            situation,
            gate: self.candidate.as_ref().map(|candidate| candidate.gate.clone()),
            focus: focus.map(|(rs, _)| rs),
            wanted: focus.map_or(0, |(_, size)| size.needed),
            proof: self.proof.clone(),
            lacking: lacking.as_ref().map(|lacking| lacking.message.clone()),
            moves_preview: self.move_preview().is_some(),
            answer: self.heard.answer.clone(),
            stall: self
                .stall
                .clone()
                .or(if waits { None } else { lacking })
                .or_else(template)
                .or_else(|| refused.filter(|refused| !refused.is_eviction()).map(stall::write))
                .or_else(|| stall::trouble(world)),
            progress: self.progress(),
            proving: self.proving(),
            post: situation.roles.at_home().map(|home| analysis::outcome(&situation, home, Kind::Post)),
            restart: focus.and_then(|(rs, _)| Restart::of(&situation, rs)),
        }
    }
}

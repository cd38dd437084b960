//! What the record learns from the ReplicaSets that there are.

use greenlight_api::{AnalysisPhase, Decisions, RevisionRecord, Verdict};

use super::carried;
use super::record::{LARGEST_NUMBER, Source, digest_of, newest, start_over};
use crate::analysis::Kind;
use crate::analysis::name::{attempts, run_name};
use crate::world::{ReplicaSet, Run, Service, World};

/// Each ReplicaSet has an entry, and each template only one. A ReplicaSet that was made anew is another one: nothing that was
/// decided about the old one counts for it, except that its template is rejected, and except for what production lost.
pub(super) fn enter(world: &World, decisions: &mut Decisions, source: Source) {
    // Until a rejection is mirrored, the Service tells of it by which production left the revision.
    let carried = if source == Source::Nothing { carried(world, decisions).cloned() } else { None };
    let mirror = |rs: &ReplicaSet| rs.mirrored_rejection().or_else(|| carried.as_ref()?.get(&rs.hash).cloned());
    // What serves is known also while it goes, so that what is made in its place is known for that; and where the status is lost, so is
    // what carries the mirror of a rejection, unless it was made anew since.
    let is_all_that_tells = |rs: &ReplicaSet| {
        let of_template = |other: &ReplicaSet| digest_of(world, other) == digest_of(world, rs);
        source == Source::Nothing && mirror(rs).is_some() && !world.existing().any(of_template)
    };
    // Where one Service of production tells what serves, another that was given something else has not followed yet: that is no news.
    let is_given = |rs: &ReplicaSet| {
        let has_it = |service: &Service| service.production.as_ref() == Some(&rs.hash);
        source == Source::Nothing && world.production_services().any(has_it)
    };
    let is_known = |rs: &&ReplicaSet| !rs.deleting || rs.hash == decisions.serving || is_all_that_tells(rs);
    let mut existing: Vec<&ReplicaSet> = world.replica_sets.iter().filter(is_known).collect();
    // What goes comes before what was made in its place, whatever numbers anybody wrote on them.
    existing.sort_by_key(|rs| (!rs.deleting, rs.shown_number(), rs.created));
    for rs in existing {
        let newest = newest(decisions);
        let serving = decisions.serving.clone();
        if let Some(known) = decisions.revision_mut(&rs.hash) {
            if known.uid == rs.uid {
                if rs.deleting && found_good(world, rs, known) {
                    known.post_promotion = Some(Verdict::Passed);
                }
                continue;
            }
            let first = known.uid.is_empty();
            known.uid.clone_from(&rs.uid);
            if !first {
                make_anew(known, serving == rs.hash);
            }
            continue;
        }
        let digest = digest_of(world, rs);
        // The one before may still be there, on its way out; then this one has another hash.
        let left_behind = |revision: &&mut RevisionRecord| {
            let gone = world.replica_set(&revision.hash).is_none();
            gone && revision.digest == digest && !digest.is_empty()
        };
        if let Some(known) = decisions.revisions.iter_mut().find(left_behind) {
            let is_production = known.hash == serving;
            known.hash.clone_from(&rs.hash);
            known.uid.clone_from(&rs.uid);
            make_anew(known, is_production);
            if is_production {
                decisions.serving.clone_from(&rs.hash);
            }
            continue;
        }
        let shown = rs.shown_number();
        // What it carries is of before the record: the status was lost, or an earlier rollout of this name left it behind.
        let least = if source == Source::Record { newest + 1 } else { 1 };
        let is_older = source == Source::Nothing || rs.created < world.rollout.created;
        decisions.revisions.push(RevisionRecord {
            hash: rs.hash.clone(),
            digest,
            number: if (least..LARGEST_NUMBER).contains(&shown) { shown } else { newest + 1 },
            uid: rs.uid.clone(),
            rejection: if is_older { mirror(rs) } else { None },
            claim: if rs.hash == serving || is_given(rs) { rs.claimed_at() } else { None },
            // New ones are made, under names that nobody has had.
            attempt: attempts(world, rs, is_older),
            ..RevisionRecord::default()
        });
    }
}

/// The analysis after its promotion ended well. While its ReplicaSet goes nobody else looks at that any more, and what is made in its place
/// is the same revision.
fn found_good(world: &World, rs: &ReplicaSet, record: &RevisionRecord) -> bool {
    let name = run_name(rs, record, Kind::Post);
    let is_good = |run: &Run| run.phase == AnalysisPhase::Successful && !run.terminating;
    record.post_promotion.is_none() && world.runs.iter().any(|run| run.name == name && is_good(run))
}

/// The ReplicaSet of this revision is made anew. What production lost comes back without a gate, and counts as having served when it does,
/// provably. Everything else is started over, and stays rejected if it was.
fn make_anew(revision: &mut RevisionRecord, is_production: bool) {
    if is_production && revision.served_at.is_some() && revision.rejection.is_none() {
        (revision.returned, revision.returned_unasked) = (true, false);
        revision.served_at = None;
        revision.approvals.clear();
        return;
    }
    let rejection = revision.rejection.take();
    start_over(revision);
    revision.rejection = rejection;
}

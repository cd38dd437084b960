//! The changes of the record's entries that several decisions make.

use greenlight_api::{Decisions, Rejection, RevisionRecord, Verdict, names};
use jiff::Timestamp;

use crate::hash::Digest;
use crate::words::brief;
use crate::world::{ReplicaSet, World, just_after};

/// No honest revision number is larger; a forged one must not overflow the next.
pub(super) const LARGEST_NUMBER: i64 = 1 << 40;

/// How the reason of a rejection begins that was made by moving the active Service by hand.
pub const BY_HAND: &str = "moved by hand";

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `status.decisions`.
    Record,
    /// The status of a version without a record, and the annotations that it wrote.
    OlderVersion,
    /// There was no status.
    Nothing,
}

/// The rejection by an operator that nobody asked.
pub fn by_itself(now: Timestamp, reason: String, to: Option<String>) -> Rejection {
    Rejection { by: names::FIELD_MANAGER.to_owned(), at: now, reason: brief(reason), to, of_attempt: false }
}

/// A rejection that is made now.
pub fn reject(decisions: &mut Decisions, hash: &str, mut rejection: Rejection) {
    if let Some(revision) = decisions.revision_mut(hash) {
        // By a clock that is behind it would be from before production left this revision: an abort would look like an undo.
        if let Some(left_at) = revision.left_at {
            rejection.at = rejection.at.max(just_after(left_at));
        }
        revision.rejection = Some(rejection);
        (revision.returned, revision.returned_unasked) = (false, false);
    }
}

/// A new attempt of a revision: nothing counts for it that was decided about the ones before.
pub fn start_over(revision: &mut RevisionRecord) {
    let RevisionRecord { hash, digest, number, uid, claim, attempt, .. } = std::mem::take(revision);
    *revision = RevisionRecord {
        hash,
        digest,
        number,
        uid,
        claim,
        attempt: attempt.saturating_add(1),
        ..RevisionRecord::default()
    };
}

/// A new attempt of a revision in the ReplicaSet that it has: it is gated anew, and still something to go back to if it was.
pub fn try_again(revision: &mut RevisionRecord) {
    let may_serve_again = revision.may_serve_again();
    let served = (revision.served_at, revision.left_at, revision.turn, revision.served_with);
    let was_good = revision.was_good || revision.post_promotion.is_some();
    start_over(revision);
    if may_serve_again {
        (revision.served_at, revision.left_at, revision.turn, revision.served_with) = served;
        revision.was_good = was_good;
    }
}

/// The highest number of a revision so far.
pub fn newest(decisions: &Decisions) -> i64 {
    decisions.revisions.iter().map(|revision| revision.number).max().unwrap_or(0)
}

/// The digest of a ReplicaSet's template. Its annotation may be gone, or forged: one that does not make its hash is none.
pub(super) fn digest_of(world: &World, rs: &ReplicaSet) -> String {
    let makes_hash = |digest: &&Digest| digest.makes(&world.rollout.name, &rs.hash);
    let annotated = Digest::read(&rs.digest);
    let known = [&annotated, &world.rollout.template.digest].into_iter().find(makes_hash);
    known.map(ToString::to_string).unwrap_or_default()
}

/// Production is with the revision of this hash from now on.
pub fn serve(world: &World, decisions: &mut Decisions, hash: &str, now: Timestamp) {
    let left = std::mem::replace(&mut decisions.serving, hash.to_owned());
    let replicas = decisions.replicas;
    let mut goes_back = false;
    if let Some(left) = decisions.revision_mut(&left) {
        left.left_at = Some(now);
        let available = world.replica_sets.iter().find(|rs| rs.hash == left.hash).map_or(0, |rs| rs.available);
        left.served_with = left.served_with.max(available).min(replicas);
        goes_back = left.rejection.is_some();
    }
    let turn = decisions.revisions.iter().map(|revision| revision.turn).max().unwrap_or(0).saturating_add(1);
    if let Some(serving) = decisions.revision_mut(hash) {
        serving.left_at = None;
        // Whatever the spec came to ask for meanwhile, what it is gone back to has shown that it is good. A promotion has to show that anew.
        if std::mem::take(&mut serving.was_good) && goes_back {
            serving.post_promotion = Some(Verdict::NotNeeded);
        }
        // Its analysis was stopped when production left it before that was over: now there is to be another one.
        if serving.served_at.is_some() && serving.post_promotion.is_none() {
            serving.attempt = serving.attempt.saturating_add(1);
        }
        // Who gave an attempt up goes back to it all the same.
        serving.rejection = serving.rejection.take().filter(|rejection| !rejection.of_attempt);
        serving.turn = turn;
        serving.claim = world.replica_sets.iter().find(|rs| rs.hash == hash).and_then(ReplicaSet::claimed_at);
    }
    // It was promoted with the size that the spec had for it, whatever the spec has become since.
    if decisions.revision(hash).is_some_and(|serving| serving.digest == decisions.template) {
        decisions.replicas = decisions.spec_replicas;
    }
    let replicas = decisions.replicas;
    let available = world.replica_sets.iter().find(|rs| rs.hash == hash).map_or(0, |rs| rs.available);
    if let Some(serving) = decisions.revision_mut(hash) {
        // It comes to all of them, or goes back to as many as it served with before; if that were none, to those that it has.
        let before = if serving.served_with > 0 { serving.served_with } else { available };
        let before = Some(before).filter(|before| goes_back && *before > 0);
        serving.served_with = before.map_or(replicas, |before| before.min(replicas));
    }
}

//! The record of a rollout whose status was written by a version that kept none.

use greenlight_api::names::{self, before_the_record};
use greenlight_api::{Approval, BlueGreenRolloutStatus, Decisions, Rejection, Request, RevisionRecord, Verb, Verdict};

use super::record::{LARGEST_NUMBER, digest_of};
use crate::world::{ReplicaSet, Selection, World};

/// What a version without a record decided. Its claims count as service where the Services or its status say that it was not only
/// a claim.
pub(super) fn take_over(world: &World, status: &BlueGreenRolloutStatus) -> Decisions {
    let by_hash = |hash: &str| world.replica_sets.iter().find(|rs| rs.hash == hash);
    let selected = world.active_services().next().and_then(|service| match service.selection() {
        Selection::Revision(hash) => by_hash(&hash),
        Selection::Both(_) => world.existing().max_by_key(|rs| rs.claimed_at()),
        Selection::Nothing | Selection::Unmanaged => None,
    });
    let remembered = if status.active_revision.is_empty() { &status.stable_revision } else { &status.active_revision };
    let serving = selected.map_or(remembered, |rs| &rs.hash);
    let claimed = by_hash(serving).and_then(ReplicaSet::claimed_at);
    let proven = status.switch.as_ref().filter(|switch| switch.proven_at.is_some()).map(|switch| &switch.to);
    let served_at = |rs: &ReplicaSet| {
        let served = *serving == rs.hash && (proven == Some(serving) || status.stable_revision == *serving);
        rs.claimed_at().filter(|at| served || claimed.is_some_and(|serving| *at < serving))
    };
    let settled = status.updated_revision != status.active_revision || is_settled(status);
    let revisions = world.existing().map(|rs| {
        let (served_at, serves) = (served_at(rs), *serving == rs.hash);
        let is_asked_for = rs.hash == status.updated_revision;
        RevisionRecord {
            hash: rs.hash.clone(),
            digest: digest_of(world, rs),
            number: rs.shown_number().clamp(0, LARGEST_NUMBER),
            uid: rs.uid.clone(),
            served_at,
            claim: if serves { served_at.or(rs.claimed_at()) } else { served_at },
            confirmed_at: rs.timestamp(names::CONFIRMED_AT),
            left_at: if serves { None } else { served_at.and(claimed) },
            served_with: 0,
            turn: 0,
            // It counted for what the spec asked for, and for nothing else.
            rejection: if is_asked_for { rs.mirrored_rejection() } else { None },
            attempt: rs.annotation(before_the_record::ATTEMPT).and_then(|number| number.parse().ok()).unwrap_or(0),
            approvals: approvals(rs).into_iter().chain(accepted(world, status, rs)).collect(),
            returned_unasked: false,
            returned: rs.annotation(before_the_record::RETURNED).is_some(),
            preview_ready_at: rs.timestamp(names::PREVIEW_READY_AT),
            pre_promotion: served_at.map(|_| Verdict::NotNeeded),
            // The one that serves may be in the middle of it.
            post_promotion: if serves && !settled { None } else { served_at.map(|_| Verdict::NotNeeded) },
            was_good: false,
        }
    });
    let mut revisions: Vec<RevisionRecord> = revisions.collect();
    let asked_for = &world.rollout.template.digest;
    let rejected = &status.rejected_revision;
    if by_hash(rejected).is_none() && asked_for.makes(&world.rollout.name, rejected) {
        let reason = "rejected before the upgrade".to_owned();
        let rejection =
            Rejection { by: "somebody".to_owned(), at: world.rollout.created, reason, to: None, of_attempt: false };
        let (hash, digest, number) = (rejected.clone(), asked_for.to_string(), status.current_revision);
        let rejection = Some(rejection);
        revisions.push(RevisionRecord { hash, digest, number, rejection, ..RevisionRecord::default() });
    }
    let updated = by_hash(&status.updated_revision);
    Decisions {
        serving: serving.clone(),
        replicas: by_hash(serving).map_or_else(|| world.rollout.spec.replicas(), |rs| rs.replicas),
        spec_replicas: updated.map_or_else(|| world.rollout.spec.replicas(), ReplicaSet::shown_replicas),
        template: updated.map(|rs| digest_of(world, rs)).unwrap_or_default(),
        revisions,
        unavailable_since: by_hash(serving).and_then(|rs| rs.timestamp(before_the_record::UNAVAILABLE_SINCE)),
        ..Decisions::default()
    }
}

/// A promotion that was accepted and is still being carried out: the version without a record kept it in the register alone.
fn accepted(world: &World, status: &BlueGreenRolloutStatus, rs: &ReplicaSet) -> Option<Approval> {
    let answered = status.observed_request.as_ref().filter(|answered| answered.accepted)?;
    let request: Request = serde_json::from_str(&answered.value).ok()?;
    let stands = world.rollout.request.as_ref() == Some(&answered.value) && request.revision == rs.hash;
    let alone = world.rollout.spec.blue_green().required_approvals() < 2;
    let full = request.action == Verb::PromoteFull;
    let promotes = full || request.action == Verb::Promote;
    (stands && alone && promotes).then_some(Approval {
        by: request.by,
        at: request.at,
        heard_at: None,
        full,
        reason: None,
    })
}

/// Nothing was under way.
fn is_settled(status: &BlueGreenRolloutStatus) -> bool {
    use greenlight_api::conditions::{REASON_INCONCLUSIVE, REASON_POST_PROMOTION_ANALYSIS};
    let measuring = [REASON_INCONCLUSIVE, REASON_POST_PROMOTION_ANALYSIS];
    !status.conditions.iter().any(|condition| measuring.contains(&condition.reason.as_str()))
}

fn approvals(rs: &ReplicaSet) -> Vec<Approval> {
    rs.annotation(before_the_record::APPROVALS).and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default()
}

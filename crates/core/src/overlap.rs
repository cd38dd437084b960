//! `switchMode: Overlap`: on the way from one revision to the next, both are selected for a while.
//!
//! A Service selects by equality, so both must have a label in common that no other revision has: before the switch, the pods
//! of the old and of the new revision get [`greenlight_api::names::SERVING_LABEL`]. Once the controllers of Kubernetes have seen it there
//! ([`unseen`]) the Service moves from the old hash to that label, and after `overlapSeconds` from the label to the new hash. Nothing is proven,
//! and so nothing retired, before that. However late the EndpointSlices are, the overlap is not over before they show the pods of the new revision. Going back goes
//! straight to the hash, and the next promotion waits until the overlap is over. The label's value is the rollout's UID: pods of
//! another rollout that carry the Service's own labels, and are in an overlap of their own, are not selected. Worked example,
//! `overlapSeconds: 30`:
//!
//! | time | the active Service selects |
//! |---|---|
//! | before | `rollouts-pod-template-hash: <1>` |
//! | 12:00:00, revision 2 is promoted | `greenlight.dev/serving: <the rollout's UID>`, which the pods of 1 and 2 carry |
//! | 12:00:30 | `rollouts-pod-template-hash: <2>`; the label goes off the pods of 1 |

use greenlight_api::{PodMetadata, names};
use jiff::Timestamp;

use crate::actions::Action;
use crate::metadata;
use crate::situation::Situation;
use crate::world::{ReplicaSet, Selection, Service, World, seconds_after};

/// What is to be done before a Service may select both, a switch by way of both being due: `None` if nothing is, and no action at all while it is
/// the controllers of Kubernetes that are waited for.
pub fn prepare(situation: &Situation, candidate: &ReplicaSet) -> Option<Vec<Action>> {
    if !is_required(situation, candidate) {
        return None;
    }
    let serving = situation.roles.serving()?;
    // The label must select these two alone. Pods are seen in the order in which they were changed: who sees the label on the one that got it last
    // sees that these have lost it.
    let all = situation.world.replica_sets.iter();
    let others = all.filter(|rs| rs.name != serving.name && rs.name != candidate.name);
    // Also one without pods: those that it gets later would be selected, too. One that is being deleted gets none, but may keep some for its delay.
    let may_have_pods = others.filter(|rs| !rs.deleting || rs.current > 0);
    let labelled: Vec<_> = may_have_pods.filter(|rs| carries_label(rs)).collect();
    if !labelled.is_empty() {
        let unlabel = |rs: &ReplicaSet| metadata::change(situation, rs, metadata::of_role(situation, rs));
        return Some(labelled.into_iter().filter_map(unlabel).collect());
    }
    let unlabelled: Vec<_> = [serving, candidate].into_iter().filter(|rs| !is_labelled(situation, rs)).collect();
    if !unlabelled.is_empty() {
        return Some(unlabelled.into_iter().filter_map(|rs| label(situation, rs)).collect());
    }
    unseen(situation).map(|_| Vec::new())
}

/// A revision with ready pods on which the controllers of Kubernetes have not seen the label yet. That of EndpointSlices may hear of a Service
/// before it hears of pods: by a label that it has not seen there, the Service would lose these for a moment.
pub fn unseen<'a>(situation: &Situation<'a>) -> Option<&'a ReplicaSet> {
    let labelled = |rs: &&ReplicaSet| rs.pod_labels.contains_key(names::SERVING_LABEL);
    situation.world.replica_sets.iter().filter(labelled).find(|rs| rs.ready > 0 && !rs.are_labels_seen())
}

/// The ReplicaSet by which the controllers of Kubernetes keep the candidate, which is about to serve beside what serves, waiting: they have not seen
/// that its template has the label, or has lost it, or else have not seen the label on all its pods.
pub fn waits_for<'a>(situation: &Situation<'a>, candidate: &ReplicaSet) -> Option<&'a ReplicaSet> {
    if prepare(situation, candidate).is_none_or(|actions| !actions.is_empty()) {
        return None;
    }
    let is_unseen = |rs: &&ReplicaSet| carries_label(rs) && metadata::is_under_way(rs) && !rs.settled;
    situation.world.replica_sets.iter().find(is_unseen).or_else(|| unseen(situation))
}

/// This Service still leads to another revision than the one that is to stay, while others select both.
pub fn is_late(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let leads_on = matches!(service.selection(), Selection::Revision(hash) if hash != home.hash);
    is_under_way(situation) && leads_on
}

/// The same, and by the label it would lose pods for a moment: see [`unseen`].
pub fn would_lose_pods(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let has_pods = || situation.world.replica_sets.iter().any(|rs| rs.ready > 0 && service.selects(rs));
    is_late(situation, service, home) && has_pods() && unseen(situation).is_some()
}

/// The change of the pods of the revision that is to stay, if both are selected and they do not carry the label: a ReplicaSet that was
/// deleted meanwhile was made anew without it. Nothing would ever lead to it, and so the overlap never end.
pub fn rejoin(situation: &Situation, home: &ReplicaSet) -> Option<Action> {
    if is_under_way(situation) && !is_labelled(situation, home) { label(situation, home) } else { None }
}

/// The change of the pods that gives them the label. What else they carry becomes what their role asks for: of two changes that begin each
/// time the other is under way none would end.
fn label(situation: &Situation, rs: &ReplicaSet) -> Option<Action> {
    metadata::change(situation, rs, with_label(situation, metadata::of_role(situation, rs)))
}

/// All its pods carry the label. The note alone may be forged, and the label alone may not have reached all pods.
fn is_labelled(situation: &Situation, rs: &ReplicaSet) -> bool {
    let labelled = with_label(situation, metadata::carried(rs));
    let given = rs.pod_labels.get(names::SERVING_LABEL);
    metadata::noted(rs) == labelled && given == labelled.labels.get(names::SERVING_LABEL)
}

/// The metadata with the label, on all pods.
pub fn with_label(situation: &Situation, mut metadata: PodMetadata) -> PodMetadata {
    metadata.annotations.remove(names::UNSETTLED);
    metadata.labels.insert(names::SERVING_LABEL.to_owned(), label_value(situation.world));
    metadata
}

/// The value of the label: no other rollout's pods carry it. While a Service selects by another one (an older version's `true`), that
/// stays until the overlap is over: who relabels pods that serve takes them out of production.
pub fn label_value(world: &World) -> String {
    let mut selected = world.services.values().filter(|service| service.is_marked_for(&world.rollout.name));
    let selected = selected.find_map(|service| match service.selection() {
        Selection::Both(label) => Some(label),
        Selection::Revision(_) | Selection::Nothing | Selection::Unmanaged => None,
    });
    selected.unwrap_or_else(|| world.rollout.uid.clone())
}

/// Whether the revision keeps the label: it serves, or will, or does while both do.
pub fn keeps_label(situation: &Situation, rs: &ReplicaSet) -> bool {
    let roles = situation.roles;
    let has_role = roles.is_serving(rs) || roles.is_home(rs) || roles.is_candidate(rs);
    carries_label(rs) && (are_both_selected(situation) || is_asked_for(situation) && has_role)
}

/// Some of its pods may carry the label.
fn carries_label(rs: &ReplicaSet) -> bool {
    metadata::carried(rs).labels.contains_key(names::SERVING_LABEL)
}

/// Whether the promotion of this candidate goes by way of both: there is one that serves, with pods.
pub fn is_required(situation: &Situation, candidate: &ReplicaSet) -> bool {
    let roles = situation.roles;
    let from = roles.serving().filter(|serving| serving.replicas > 0 && serving.name != candidate.name);
    // Out of an overlap that cannot be waited for production goes straight on: three revisions are never selected.
    let is_free = !are_both_selected(situation);
    is_asked_for(situation) && from.is_some() && roles.is_candidate(candidate) && !roles.going_back() && is_free
}

/// Both serve, and the revision that is to stay has not been selected alone yet.
pub fn is_under_way(situation: &Situation) -> bool {
    let roles = situation.roles;
    roles.home().is_some() && !roles.going_back() && are_both_selected(situation)
}

/// The spec asks for overlaps.
fn is_asked_for(situation: &Situation) -> bool {
    situation.world.rollout.spec.blue_green().overlap_seconds().is_some()
}

/// A Service of production selects two revisions, whichever of them is to stay.
fn are_both_selected(situation: &Situation) -> bool {
    situation.world.production_services().any(Service::is_overlapping)
}

/// When the overlap with the revision before is over; `None` if it is over at once. It counts from the latest of what tells of its
/// begin: that production left the revision before (the record), that it went to this one (the status), and the claim by which a
/// Service came to select both. The claim alone may be long before the move that it announces, or from before a second Service
/// followed. A time in the future was written by a clock that is ahead, or forged, and does not count; the one in the status becomes one
/// of now ([`crate::switch::last`]).
pub fn ends_at(situation: &Situation, home: &ReplicaSet) -> Option<Timestamp> {
    let Situation { world, decisions, now, .. } = situation;
    // Of what is scaled to nothing no pod has to be registered, and the revision before would serve alone.
    if decisions.replicas == 0 {
        return None;
    }
    let left = decisions.revisions.iter().filter_map(|revision| revision.left_at);
    let switch = world.rollout.status.as_ref().and_then(|status| status.switch.as_ref());
    let switched = switch.filter(|switch| switch.to == home.hash).map(|switch| switch.switched_at);
    // Of one that was made anew, while the revision before went, nothing tells; and it would begin again at every moment.
    let told: Vec<Timestamp> = left.chain(switched).chain(home.claimed_at()).collect();
    if told.is_empty() {
        return None;
    }
    let begun = if switched.is_some_and(|at| at > *now) {
        // What is left to tell then is from before this overlap, which would be over at once.
        *now
    } else {
        told.into_iter().filter(|at| at <= now).max().unwrap_or(*now)
    };
    let seconds = world.rollout.spec.blue_green().overlap_seconds()?;
    Some(seconds_after(begun, seconds))
}

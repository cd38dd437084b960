//! What the record learns from the spec: another template, another scale.

use greenlight_api::Decisions;
use jiff::Timestamp;

use super::record::{newest, start_over, try_again};
use crate::roles;
use crate::world::{World, seconds_after};

/// A template that comes back gets the highest number. It returns without a gate if it served, was not rejected, and is within the rollback
/// window, or, where no person is asked for a promotion, still up inside its delay. Otherwise it is started over; also one that was rejected: to ask for it anew
/// is to ask for another attempt.
///
/// Returns whether the template changed.
pub(super) fn enter_template(world: &World, decisions: &mut Decisions, now: Timestamp) -> bool {
    let digest = roles::asked_for(world, decisions).to_owned();
    let before = std::mem::replace(&mut decisions.template, digest.clone());
    if before.is_empty() || before == digest {
        return false;
    }
    // Who asks for it anew asks for it whatever was decided about it, and forgotten.
    decisions.held_template.clear();
    let newest = newest(decisions);
    let spec = &world.rollout.spec;
    let delay = spec.blue_green().scale_down_delay_seconds();
    // Who may edit the template and not promote does not move production by it.
    let asks_people = spec.blue_green().awaits_people();
    let window = spec.rollback_window.as_ref().map_or(0, |window| window.revisions);
    let serving = decisions.serving.clone();
    let analysed = decisions.revision(&serving).is_some_and(|serving| serving.post_promotion.is_none());
    // The one that is kept up until what serves has shown that it is good.
    let kept = if analysed { roles::fallback(world, decisions, &serving, None) } else { None };
    let kept = kept.map(|rs| rs.hash.clone());
    let Some(revision) = decisions.revisions.iter_mut().find(|revision| revision.digest == digest) else { return true };
    let behind = newest - revision.number;
    let serves = revision.hash == serving;
    // The runs of an analysis are called by the number: one that goes on keeps it.
    if behind > 0 && !(serves && revision.post_promotion.is_none()) {
        revision.number = newest + 1;
    }
    // What serves, rejected or not, is not started over while production is with it.
    if serves {
        return true;
    }
    let same = world.replica_set(&revision.hash).filter(|rs| rs.uid == revision.uid);
    // Whether it has pods could be forged; when production left it cannot.
    let in_time = kept.as_ref() == Some(&revision.hash)
        || revision.left_at.is_some_and(|left_at| now < seconds_after(left_at, delay));
    let is_up = same.is_some_and(|rs| rs.replicas > 0) && in_time;
    let good = revision.served_at.is_some() && revision.rejection.is_none() && revision.post_promotion.is_some();
    // Without a window there is none, however near: after a lost status the numbers may not tell the order in which they served.
    let in_window = window > 0 && behind <= window;
    if good && same.is_some() && (is_up && !asks_people || in_window) {
        revision.returned = true;
        revision.returned_unasked = !in_window;
        revision.approvals.clear();
        revision.preview_ready_at = None;
    } else if same.is_some() {
        try_again(revision);
    } else {
        start_over(revision);
    }
    true
}

/// The pods that production is to have. Also before anything serves, a scale that comes with another template is not for the revisions before it:
/// a person may still move production to one of them by hand. Worked example: `replicas: 2`, revision 1 serves.
///
/// | the spec changes to | production has | because |
/// |---|---|---|
/// | replicas 4 | 4 | the scale was changed alone |
/// | template 2 and replicas 6, in one go | 4 | the 6 are revision 2's until it is promoted |
/// | replicas 5 (an autoscaler) | 5 | changed alone again |
/// | (revision 2 is promoted) | 5 | what serves is what the spec asks for |
/// | (undo) replicas 3 | 3 | changed alone; that the spec's template is rejected does not matter |
pub(super) fn enter_scale(world: &World, decisions: &mut Decisions, same_template: bool) {
    let spec = world.rollout.spec.replicas();
    let digest = roles::asked_for(world, decisions);
    let serves_updated = decisions.revision(&decisions.serving).is_some_and(|serving| serving.digest == digest);
    let scaled_alone = same_template && decisions.spec_replicas != spec;
    let is_first = decisions.serving.is_empty() && decisions.revisions.iter().all(|revision| revision.digest == digest);
    if is_first || serves_updated || scaled_alone {
        decisions.replicas = spec;
    }
    decisions.spec_replicas = spec;
}

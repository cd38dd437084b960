//! Moving the Services, and proving that traffic followed.
//!
//! The active Services move in three steps, each a write or a read of its own:
//!
//! 1. *claim*: the ReplicaSet is marked, with the resourceVersion it was read at. The answer is the ReplicaSet as the API
//!    server has it at that moment, and an operator that still holds an older picture of it (one about to scale it down)
//!    can no longer write to it;
//! 2. *move*: if that answer says that all pods are available, the selectors are patched, with the Services' resourceVersions, so
//!    a change by somebody else in between is a conflict and not a loss;
//! 3. *proof*: the Services' EndpointSlices are watched until every ready endpoint is a pod of the revision, and there are enough.
//!
//! The Services that carry production are those that the spec names, and those that it named before, until they can be let go
//! without showing two versions at once. One that carried production is never used as a preview: people who reach production by
//! it must not be shown what nobody promoted, whatever the spec calls it by now.

use std::collections::{BTreeMap, BTreeSet};

use greenlight_api::{Approval, PreviewServiceIdle, RevisionRecord, Switch, names};
use jiff::Timestamp;

use crate::actions::{Action, Change};
use crate::approvals;
use crate::events::{self, Event};
use crate::gate;
use crate::hash::is_pod_of;
use crate::overlap;
use crate::pods;
use crate::progress;
use crate::roles;
use crate::situation::Situation;
use crate::stall;
use crate::world::{ReplicaSet, Selection, Service, Workload, World, mirror_of, ready_pods};

/// The next writes on the way of production to where it should be; none if it is there or cannot go yet.
///
/// A hash that somebody took out of a Service is put back while any pod of that revision is available: that is better than a
/// mix of all. While none is, it is put back where only what never served would have production. From another revision that has
/// ready pods, a Service goes only when all pods of the one to go to are available.
pub fn move_home(situation: &Situation, needed: i32) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let Some(home) = roles.home().filter(|home| !home.deleting) else { return Vec::new() };
    let to_move: Vec<_> =
        services_to_move(situation, home).filter(|service| may_come_home(situation, service, home)).collect();
    // The additional pod of a restart is not waited for.
    let full = home.is_available(awaited(situation, home));
    if full && let Some(label) = overlap::rejoin(situation, home) {
        return vec![label];
    }
    let lost = !roles.going_back() && !to_move.iter().any(|service| service.is_overlapping());
    let some = lost && (home.ready > 0 || needed == 0);
    let rescued = world.live && roles.rescue().is_some();
    // In an overlap the other one may go on serving, whole, until home is.
    let goes_on = |service: &Service| {
        let others = || world.replica_sets.iter().filter(|rs| rs.name != home.name && rs.ready > 0);
        service.is_overlapping() && others().any(|rs| service.selects(rs))
    };
    let overlapping = overlap::is_under_way(situation);
    let mixed = world.existing().any(|rs| rs.name != home.name && rs.has_pods());
    // Where it leads there already, by a person's hand, only its mark moves: nothing else would tell of that without a status.
    let leads_here = |service: &Service| service.selection() == Selection::Revision(home.hash.clone());
    // What is about to be promoted may have production in the meantime: nothing is taken from that for a moment.
    let is_promoted = roles.candidate.is_some_and(|candidate| gate::check(situation, candidate).is_open());
    let may_move = |service: &&Service| {
        let rescued = rescued && !goes_on(service);
        let shut = lost && !is_promoted && lets_others_in(situation, service, home);
        full || rescued || leads_here(service) || shut || some && has_lost_it(world, service, home, mixed)
    };
    let to_move: Vec<_> = to_move.into_iter().filter(may_move).collect();
    let refused = refused(situation, &to_move);
    if !to_move.is_empty() && refused.len() == to_move.len() {
        return to_move.into_iter().map(|service| select_home(situation, service, home)).collect();
    }
    let only_claim = full && world.rollout.spec.blue_green().active_service.is_none() && roles.going_back();
    if to_move.is_empty() && !only_claim {
        return Vec::new();
    }
    // One that still leads to what served before goes by way of both, as the others did, and both last anew.
    let late: Vec<_> = to_move.iter().copied().filter(|service| overlap::is_late(situation, service, home)).collect();
    // One that a person moved here gets our mark with a claim of its own: a record from before that would take the mark for its own.
    let marked_for_another = |service: &Service| service.production.as_ref().is_some_and(|given| *given != home.hash);
    let by_hand = to_move.iter().any(|service| leads_here(service) && marked_for_another(service));
    if let Some(claim) = claim(situation, home, roles.going_back() || !late.is_empty() || by_hand) {
        // What is put back takes nothing over: its mark says that it carries home, which is not about to go. The claim may be refused then, once
        // no proof is noted that is older.
        let is_refused = world.refused_write(&claim.target(&world.rollout.name), situation.now).is_some();
        let is_dispensable = lost && !overlapping && !home.is_retired() && noted(world, home).is_none();
        if !is_refused || !is_dispensable {
            return vec![claim];
        }
        let carries = |service: &&Service| service.production.as_deref() == Some(&home.hash);
        let restored =
            to_move.into_iter().filter(carries).filter(|service| service.selection() == Selection::Unmanaged);
        return restored.map(|service| select(situation, service, home)).chain([claim]).collect();
    }
    if !late.is_empty() {
        return late.into_iter().map(|service| select_both(situation, service, home)).collect();
    }
    to_move.into_iter().map(|service| select_home(situation, service, home)).collect()
}

/// Whether this Service may be moved to home as soon as home has pods for it: it fits, no overlap keeps it, it loses no pods by way of both, and home
/// may serve there.
fn may_come_home(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let fits = stall::keeps_from_moving(situation.world, service, home).is_none();
    let overlapping = overlap::is_under_way(situation);
    let overlap_lasts = overlapping && overlap::ends_at(situation, home).is_some_and(|until| situation.now < until);
    let is_free = !service.is_overlapping() || !overlap_lasts && (!overlapping || shows(situation, service, home));
    let may_serve =
        !situation.is_rejected(home) || situation.may_serve_again(home) || may_keep(situation, service, home);
    let loses_nothing = !overlap::would_lose_pods(situation, service, home);
    (fits || lets_others_in(situation, service, home)) && is_free && may_serve && loses_nothing
}

/// With nothing to go back to, what was rejected goes on where it is: it is put back, also to a Service of production's that was made anew,
/// and it is better than what nobody promoted. It does not come back to a Service that was moved away from it and leads nowhere.
fn may_keep(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let leads_on = service.hash().and_then(|hash| situation.world.replica_set(hash)).is_some_and(|rs| rs.ready > 0);
    let is_known = situation.decisions.active_services.contains(&service.name);
    let was_made_anew = is_known && service.selection() == Selection::Unmanaged;
    let moved_away = matches!(service.selection(), Selection::Revision(hash) if hash != home.hash);
    service.production.as_ref().map_or(leads_on || was_made_anew, |given| *given == home.hash && !moved_away)
}

/// How many available pods of the revision that production goes to are waited for, before the move and in its proof: all that production
/// is to have. Where it was scaled up since, and there is no room for all, those that have room, and at least as many as it served with: the rest of the
/// room may be taken by what production leaves, which stays until then. Of one that served with none, or nobody knows with how many, at least as
/// many as what production leaves has.
pub fn awaited(situation: &Situation, home: &ReplicaSet) -> i32 {
    let all = situation.decisions.replicas;
    let Some(with_room) = pods::with_room(situation.world, home) else { return all };
    let served_with = situation.record(home).map(|record| record.served_with).filter(|served_with| *served_with > 0);
    let left = if situation.roles.going_back() { situation.roles.serving() } else { None };
    let left = left.map(|left| left.available).filter(|left| *left > 0);
    let least = served_with.or(left);
    least.map_or(all, |least| with_room.max(least).min(all))
}

/// It carried this revision and lost the hash, and these pods are not ready, or do not carry labels that it was given; others do, that never
/// served. With the hash it leads nowhere, and that is told; without, it would lead to what nobody promoted.
fn lets_others_in(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let world = situation.world;
    let carried = service.production.as_deref() == Some(&home.hash) && !world.is_anothers(service);
    let led_to = || world.replica_sets.iter().filter(|rs| service.selects(rs));
    // What served before is better than nothing; without a status only its claim tells.
    let served = |rs: &ReplicaSet| situation.served(rs) || rs.claimed_at().is_some();
    let strangers = led_to().any(|rs| rs.name != home.name && rs.has_pods() && !served(rs));
    let by_labels = |workload: &Workload| service.lacking(&workload.template.labels).is_empty();
    let of_workload = world.workload.as_ref().is_some_and(|workload| workload.replicas > 0 && by_labels(workload));
    let serves = of_workload || led_to().any(|rs| rs.ready > 0 && served(rs));
    carried && service.selection() == Selection::Unmanaged && strangers && !serves
}

/// The Service lost what it carried; it does not lead to pods of somebody else, who serve as long as home is not whole. One without
/// our mark may have been made anew; where there are pods of several revisions, any of home's alone are better than all of them.
fn has_lost_it(world: &World, service: &Service, home: &ReplicaSet, mixed: bool) -> bool {
    let selection = service.selection();
    let serves = |hash: &str| world.replica_sets.iter().any(|rs| rs.hash == hash && rs.ready > 0);
    let leads_on = matches!(&selection, Selection::Revision(hash) if *hash != home.hash && serves(hash));
    let carried = service.production.as_deref() == Some(&home.hash);
    !leads_on && (carried || mixed && selection == Selection::Unmanaged)
}

/// Whether the promotion of this candidate waits for the end of an overlap, at a time that is known: three revisions are never selected,
/// and straight on to a third there would be no overlap. One that is in this overlap goes on alone at once, and what is not whole keeps
/// nobody waiting.
pub fn waits_for_overlap(situation: &Situation, candidate: &ReplicaSet) -> bool {
    let home = if overlap::is_under_way(situation) { situation.roles.home() } else { None };
    let Some(home) = home else { return false };
    let lasts = overlap::ends_at(situation, home).is_some_and(|until| situation.now < until);
    let mut overlapping = situation.world.production_services().filter(|service| service.is_overlapping());
    let is_in_it = overlapping.any(|service| service.selects(candidate));
    lasts && !is_in_it && home.is_available(awaited(situation, home))
}

/// The next writes on the way of production to the candidate, whose gate is open and whose pods are all available.
pub fn promote(situation: &Situation, candidate: &ReplicaSet) -> Vec<Action> {
    if waits_for_overlap(situation, candidate) {
        return Vec::new();
    }
    let without_service = situation.world.rollout.spec.blue_green().active_service.is_none();
    let can_move = |service: &&Service| stall::keeps_from_moving(situation.world, service, candidate).is_none();
    let to_move: Vec<_> = services_to_move(situation, candidate).filter(can_move).collect();
    if to_move.is_empty() && !without_service {
        return Vec::new();
    }
    if !without_service && let Some(preparations) = overlap::prepare(situation, candidate) {
        return preparations;
    }
    let both = overlap::is_required(situation, candidate);
    let step = |service: &Service| {
        if both { select_both(situation, service, candidate) } else { select(situation, service, candidate) }
    };
    // All of them, or none.
    let refused = refused(situation, &to_move);
    if !refused.is_empty() {
        return refused.into_iter().map(step).collect();
    }
    if let Some(claim) = claim(situation, candidate, true) {
        return vec![claim];
    }
    to_move.into_iter().map(step).collect()
}

/// Those of which the API server refused the last move. They are not claimed for again and again: their moves alone are planned, and
/// left out until they are due.
fn refused<'a>(situation: &Situation, services: &[&'a Service]) -> Vec<&'a Service> {
    let is_refused = |service: &&&Service| {
        let target = format!("Service {}", service.name);
        situation.world.refused_write(&target, situation.now).is_some()
    };
    services.iter().filter(is_refused).copied().collect()
}

/// Whether a switch is due that no Service shows, because the spec names none: it is made by recording it.
pub fn is_claimed_without_service(situation: &Situation, rs: &ReplicaSet) -> bool {
    let without_service = situation.world.rollout.spec.blue_green().active_service.is_none();
    without_service && claim(situation, rs, true).is_none()
}

/// The write that claims a ReplicaSet, unless its answer was just read.
fn claim(situation: &Situation, rs: &ReplicaSet, takes_over: bool) -> Option<Action> {
    let mut change = Change::default();
    if takes_over && (!rs.fresh || !is_claimed(situation, rs)) {
        change.annotate(names::PROMOTED_AT, situation.now);
    } else if !rs.fresh || noted(situation.world, rs).is_some() {
        // What is moved now is proven anew.
        change.annotate(names::CONFIRMED_AT, situation.now);
    }
    change.into_action(rs)
}

/// It was claimed after all others, and not for an earlier move that the record knows: by such a claim nobody would see that it moved
/// again. A claim in the future was written by a clock that is ahead, or forged, and does not count.
fn is_claimed(situation: &Situation, rs: &ReplicaSet) -> bool {
    let known = situation.record(rs).and_then(|record| record.claim);
    if situation.decisions.serving != rs.hash && known.is_some() && known == rs.claimed_at() {
        return false;
    }
    let claims = situation.world.existing().filter(|other| other.name != rs.name).filter_map(ReplicaSet::claimed_at);
    let last = claims.filter(|at| *at <= situation.now).max();
    rs.claimed_at().is_some_and(|at| at <= situation.now && Some(at) > last)
}

fn services_to_move<'a>(situation: &Situation<'a>, rs: &'a ReplicaSet) -> impl Iterator<Item = &'a Service> {
    // One that is being deleted may have traffic for as long as somebody's finalizer holds it: it goes back, and nowhere else.
    let goes_back = situation.roles.going_back();
    let services = situation.world.production_services().filter(move |service| !service.deleting || goes_back);
    // One that the spec names no more, and that does not select these pods, stays where it is until it can be let go.
    let follows = services.filter(|service| !situation.world.stays_behind(service, rs));
    follows.filter(|service| {
        // One that somebody moved here by hand says that it carries another revision; one that was made anew says nothing.
        let says_another = service.production.as_deref().is_some_and(|production| production != rs.hash);
        let known = situation.decisions.active_services.contains(&service.name);
        let is_new = !service.is_marked_for(&situation.world.rollout.name) || service.production.is_none() && !known;
        service.hash() != Some(&rs.hash) || says_another || is_new
    })
}

/// The move of the preview Service, if it has to.
///
/// It shows the candidate once that is available at its preview size. Until then it keeps what it had, unless that takes the room of the
/// candidate's pods; when there is no candidate, it shows what serves, or nothing, as `previewServiceIdle` says.
pub fn move_preview(situation: &Situation, candidate_size: Option<i32>) -> Option<Action> {
    let Situation { world, roles, .. } = situation;
    let blue_green = world.rollout.spec.blue_green();
    let service = world.services.get(blue_green.preview_service.as_deref()?)?;
    if service.deleting || service.production.is_some() || stall::service_stall(world, &service.name).is_some() {
        return None;
    }
    let shown = service.selection();
    let wanted = match (roles.candidate, candidate_size) {
        (Some(candidate), Some(size))
            if size > 0
                && candidate.replicas > 0
                && candidate.is_available(size.min(candidate.replicas))
                && service.missing_labels(candidate).is_empty() =>
        {
            Selection::Revision(candidate.hash.clone())
        }
        // Showing a preview that was superseded, or that lost pods, is better than jumping to production and back.
        (Some(candidate), _) if is_up(situation, &shown) && !gives_way(situation, &shown, candidate) => return None,
        _ if blue_green.preview_service_idle == Some(PreviewServiceIdle::None) => Selection::Nothing,
        _ => {
            // On the way back what production leaves still serves.
            let serving = roles.serving().filter(|serving| roles.going_back() && serving.ready > 0);
            Selection::Revision(roles.at_home().or(serving)?.hash.clone())
        }
    };
    (shown != wanted).then(|| set_selection(service, wanted))
}

/// What is shown is kept up by that alone, and the candidate gets no pods by a quota that they count for, or since no node has room for them
/// beside these: neither would ever end. For as long as progress is waited for, a node may be on its way.
fn gives_way(situation: &Situation, shown: &Selection, candidate: &ReplicaSet) -> bool {
    let Situation { world, now, .. } = *situation;
    let is_its_own = *shown == Selection::Revision(candidate.hash.clone());
    let is_late = || {
        let progress = progress::read(world.rollout.status.as_ref(), candidate, now);
        now >= progress::deadline(world, &progress)
    };
    !is_its_own && (pods::are_over_quota(candidate) || pods::fit_on_no_node(world, candidate) && is_late())
}

fn is_up(situation: &Situation, shown: &Selection) -> bool {
    let Selection::Revision(hash) = shown else { return false };
    let shown = situation.world.replica_set(hash);
    shown.is_some_and(|rs| rs.replicas > 0 && !rs.is_retired() && !situation.is_rejected(rs))
}

/// Services that carry this rollout's mark but are not named by its spec any more: the hash goes out again. One that carried
/// production keeps it as long as production is away, or its own selector leads to other pods than those that it shows.
pub fn release_unnamed(situation: &Situation) -> Vec<Action> {
    let Situation { world, roles, .. } = situation;
    let named: BTreeSet<&str> = world.rollout.spec.blue_green().services().collect();
    let unnamed = world.services.values().filter(|service| {
        service.is_marked_for(&world.rollout.name) && !named.contains(service.name.as_str()) && !service.deleting
    });
    let is_free = |service: &&Service| {
        let shown = service.hash();
        let leads_on = || world.leads_to_others(&service.without_hash(), shown);
        // What an Argo Rollout moves by now goes on leading to its pods.
        let stays = world.argo_rollout(service).is_some();
        service.production.is_none() || stays || roles.at_home().is_some() && !leads_on()
    };
    unnamed.filter(is_free).map(|service| release(world, service)).collect()
}

/// Points a Service at a revision, as production.
pub fn select(situation: &Situation, service: &Service, rs: &ReplicaSet) -> Action {
    give_production(situation, service, Selection::Revision(rs.hash.clone()), rs, None)
}

/// The same, at where production should be.
fn select_home(situation: &Situation, service: &Service, home: &ReplicaSet) -> Action {
    let event = taken_back(situation, service, home);
    give_production(situation, service, Selection::Revision(home.hash.clone()), home, event)
}

/// What is told of a move by hand that does not count, and is taken back.
fn taken_back(situation: &Situation, service: &Service, home: &ReplicaSet) -> Option<Event> {
    let Situation { world, decisions, roles, .. } = *situation;
    let Selection::Revision(hash) = service.selection() else { return None };
    let carried = service.production.as_deref() == Some(&home.hash);
    if roles.going_back() || !carried || hash == home.hash {
        return None;
    }
    let by = service.moved_by_hand()?;
    let is_first = world.rollout.spec.blue_green().active_service.as_ref() == Some(&service.name);
    let why = match (decisions.bar(&hash), world.replica_set(&hash)) {
        (Some(rejection), _) => format!("was rejected by {}", rejection.by),
        (None, None) => "has no ReplicaSet".to_owned(),
        (None, Some(rs)) if rs.available == 0 => "has no available pod".to_owned(),
        (None, Some(_)) if is_first => "does not fit it".to_owned(),
        (None, Some(_)) => "does not have production".to_owned(),
    };
    let named = |hash: &str| events::name(Some(decisions), hash);
    let (name, to, back_to) = (&service.name, named(&hash), named(&home.hash));
    Some(events::moved_back(format!("{by} moved Service {name} to {to}, which {why}: it is back at {back_to}")))
}

/// Points a Service at both revisions, of which this one is to stay.
fn select_both(situation: &Situation, service: &Service, rs: &ReplicaSet) -> Action {
    give_production(situation, service, Selection::Both(overlap::label_value(situation.world)), rs, None)
}

/// Takes everything of ours out of a Service. What an Argo Rollout moves by now leads to its pods: there only our marks go.
pub fn release(world: &World, service: &Service) -> Action {
    if world.argo_rollout(service).is_some() {
        let (name, resource_version) = (service.name.clone(), service.resource_version.clone());
        return Action::RemoveMarks { name, resource_version };
    }
    set_selection(service, Selection::Unmanaged)
}

/// Has a Service select what is no production (any more).
fn set_selection(service: &Service, selection: Selection) -> Action {
    let (name, resource_version) = (service.name.clone(), service.resource_version.clone());
    Action::SelectRevision {
        name,
        resource_version,
        selection,
        production: None,
        rejections: BTreeMap::new(),
        event: None,
    }
}

/// Has a Service carry production. With it goes each rejection that is not on record yet, whatever the spec asks for by now, and those of what is left and
/// of what the spec asks for also until they are mirrored: whatever becomes of the operator or of the status, nobody takes the one for something to go
/// back to, or promotes the other.
fn give_production(
    situation: &Situation,
    service: &Service,
    selection: Selection,
    rs: &ReplicaSet,
    event: Option<Event>,
) -> Action {
    let Situation { world, decisions, roles, .. } = situation;
    let is_recorded = |hash: &str| world.rollout.record().is_some_and(|record| record.rejection(hash).is_some());
    let is_mirrored = |hash: &str| world.replica_set(hash).is_none_or(|rs| rs.mirrored_rejection().is_some());
    let is_asked_for = |hash: &str| roles.updated.is_some_and(|updated| updated.hash == hash);
    let has_mirror = |hash: &str| hash == decisions.serving || is_asked_for(hash);
    let is_told = |hash: &str| is_recorded(hash) && (is_mirrored(hash) || !has_mirror(hash));
    let untold = decisions.revisions.iter().filter(|revision| revision.hash != rs.hash && !is_told(&revision.hash));
    let rejections = untold.filter_map(|RevisionRecord { hash, rejection, .. }| {
        let mut rejection = mirror_of(rejection.clone()?);
        // Who asks by a clock that is ahead is heard later in each plan. The move is dated by its claim, and was asked for before that.
        if let Some(claimed_at) = rs.claimed_at()
            && *hash == decisions.serving
        {
            rejection.at = rejection.at.min(claimed_at);
        }
        Some((hash.clone(), rejection))
    });
    let (name, resource_version) = (service.name.clone(), service.resource_version.clone());
    let (production, rejections) = (Some(rs.hash.clone()), rejections.collect());
    Action::SelectRevision { name, resource_version, selection, production, rejections, event }
}

/// Puts right which rejections the Services of production tell of: a revision that was started over since is none of them.
pub fn correct_rejections(situation: &Situation) -> Vec<Action> {
    let Situation { world, decisions, roles, .. } = *situation;
    let Some(home) = roles.at_home() else { return Vec::new() };
    if world.services.values().all(|service| service.rejections.is_empty()) {
        return Vec::new();
    }
    let is_over = |hash: &String| decisions.revision(hash).is_some_and(|revision| revision.rejection.is_none());
    let is_here = |service: &&Service| {
        service.hash() == Some(&home.hash) && service.production.as_ref() == Some(&home.hash) && !service.deleting
    };
    let services = world.production_services().filter(is_here);
    let services = services.filter(|service| stall::service_stall(world, &service.name).is_none());
    let telling = services.filter(|service| service.rejections.keys().any(is_over));
    telling.map(|service| select(situation, service, home)).collect()
}

/// How far the proof is that production is at home.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// All ready endpoints are pods of the home revision, and there are enough of them; since when that is known.
    Proven(Timestamp),
    /// Not yet, and what is missing.
    Missing(String),
    /// Production is not at home.
    NotApplicable,
}

impl Proof {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        matches!(self, Proof::Proven(_))
    }
}

/// When the last move was proven, if the status says so of the revision that is at home.
pub fn noted(world: &World, home: &ReplicaSet) -> Option<Timestamp> {
    let switch = world.rollout.status.as_ref()?.switch.as_ref()?;
    let record = world.rollout.record();
    // A Service that was put on it later has to be proven, too.
    let confirmed_then = record.and_then(|record| record.revision(&home.hash)?.confirmed_at);
    let same = switch.to == home.hash && confirmed_then == home.timestamp(names::CONFIRMED_AT);
    // So has one that showed it as a preview, and that the spec came to call active since: its endpoints may be of what it showed before.
    let is_counted = |service: &Service| record.is_none_or(|record| record.active_services.contains(&service.name));
    let mut leading_here = world.active_services().filter(|service| service.hash() == Some(&home.hash));
    if same && leading_here.all(is_counted) { switch.proven_at } else { None }
}

/// Reads the proof: from the status if it was noted there, else from the endpoints.
pub fn proof(situation: &Situation) -> Proof {
    let Situation { world, now, .. } = situation;
    let Some(home) = situation.roles.at_home() else { return Proof::NotApplicable };
    let counts = |service: &&Service| !roles::stands_aside(world, service, home);
    let overlapping = world.active_services().filter(counts).any(Service::is_overlapping);
    if !overlapping && let Some(proven_at) = noted(world, home) {
        return Proof::Proven(proven_at);
    }
    let lacks = to_prove(world).into_iter().find_map(|service| missing(situation, service, home));
    lacks.map_or(Proof::Proven(*now), Proof::Missing)
}

/// Whether there are enough ready endpoints of this revision behind the Service, of whichever others too.
fn shows(situation: &Situation, service: &Service, home: &ReplicaSet) -> bool {
    let endpoints = situation.world.endpoints.get(&service.name).map_or(&[][..], Vec::as_slice);
    let ours: BTreeSet<&str> = ready_pods(endpoints).filter(|pod| is_pod_of(pod, &home.name)).collect();
    ours.len() >= enough(situation, home)
}

/// How many ready pods production has to have for a proof.
fn enough(situation: &Situation, home: &ReplicaSet) -> usize {
    usize::try_from(awaited(situation, home)).unwrap_or(0)
}

/// The names of the Services whose endpoints have to follow production: those that the spec names, and those that carry it still.
pub fn to_prove(world: &World) -> BTreeSet<&str> {
    let carrying = world.production_services().map(|service| service.name.as_str());
    world.rollout.spec.blue_green().active_services().chain(carrying).collect()
}

/// Whether the endpoints of all Services that have to follow production were seen, as far as these exist. An operator that has just begun has seen none.
pub fn sees_endpoints(world: &World) -> bool {
    let mut existing = to_prove(world).into_iter().filter(|service| world.services.contains_key(*service));
    existing.all(|service| world.endpoints.contains_key(service))
}

/// What this Service lacks until every ready endpoint of it is a pod of the revision, and there are enough pods. A pod counts
/// once, however many addresses it has; an endpoint that leads to no pod was made by somebody else and proves nothing.
fn missing(situation: &Situation, service: &str, home: &ReplicaSet) -> Option<String> {
    let world = situation.world;
    let known = world.services.get(service);
    let is_first = world.rollout.spec.blue_green().active_service.as_deref() == Some(service);
    if known.is_none() && !is_first {
        return None;
    }
    let Some(endpoints) = world.endpoints.get(service) else {
        return Some(format!("reading the endpoints of Service {service}"));
    };
    let (ours, mut others): (BTreeSet<&str>, BTreeSet<&str>) =
        ready_pods(endpoints).partition(|pod| is_pod_of(pod, &home.name));
    let cannot_follow =
        known.is_some_and(|service| world.stays_behind(service, home) || roles::stands_aside(world, service, home));
    if cannot_follow {
        // It may lead to whatever else; but until it is seen to have left the pods of other revisions, these are not for retirement.
        others.retain(|pod| world.replica_sets.iter().any(|rs| is_pod_of(pod, &rs.name)));
    } else if known.is_some_and(Service::is_overlapping) {
        return Some("both revisions serve for a while".to_owned());
    }
    if !others.is_empty() {
        return Some(format!("Service {service} still has {} ready endpoints of other pods", others.len()));
    }
    let enough = enough(situation, home);
    if !cannot_follow && ours.len() < enough {
        return Some(format!("Service {service} has {} of {enough} ready endpoints of the new pods", ours.len()));
    }
    None
}

/// When production moved to the revision that should have it.
fn switched_at(situation: &Situation, home: &ReplicaSet) -> Timestamp {
    let before = situation.world.rollout.status.as_ref().and_then(|status| status.switch.as_ref());
    match before.filter(|switch| switch.to == home.hash) {
        Some(switch) => switch.switched_at,
        None if is_claimed(situation, home) => home.claimed_at().unwrap_or(situation.now),
        None => situation.now,
    }
}

/// By whose hand the first active Service came to lead there, if the operator did not move it: a move of its own is marked in the same write. Who
/// approved of the revision before did not ask for this.
fn moved_by_hand(situation: &Situation, home: &ReplicaSet) -> Option<String> {
    let service = situation.world.first_active_service().filter(|service| service.hash() == Some(&home.hash))?;
    if service.production.as_deref() == Some(&home.hash) { None } else { service.moved_by_hand() }
}

/// The last move of production, as it is to be reported.
pub fn last(situation: &Situation, proof: &Proof) -> Option<Switch> {
    let Situation { world, decisions, .. } = situation;
    let status = world.rollout.status.as_ref();
    let before = status.and_then(|status| status.switch.clone());
    // What was proven holds as long as production is there, and has to be shown again when it was not.
    let Some(home) = situation.roles.at_home() else {
        return before.map(|before| Switch { proven_at: None, ..before });
    };
    let proven_at = match proof {
        Proof::Proven(at) => Some(*at),
        Proof::Missing(_) | Proof::NotApplicable => None,
    };
    if let Some(before) = before.as_ref().filter(|switch| switch.to == home.hash) {
        // From the future it is by another operator's clock, and an overlap would last until then: it becomes now, and is written down so.
        let is_late = overlap::is_under_way(situation) && before.switched_at > situation.now;
        let switched_at = if is_late { situation.now } else { before.switched_at };
        return Some(Switch { proven_at, switched_at, ..before.clone() });
    }
    let served = status.map(|status| status.decisions.as_ref().map_or(&status.active_revision, |d| &d.serving));
    // While one of several Services does not follow, the record has the move already, and the switch before is reported still.
    let reported = || before.as_ref().map(|before| &before.to);
    let from = served.filter(|served| **served != home.hash).or_else(reported).cloned().unwrap_or_default();
    let switched_at = switched_at(situation, home);
    let known = world.rollout.record().and_then(|record| record.revision(&home.hash));
    // What never served was promoted, whoever rejected what it takes over from.
    let is_back = known.is_none_or(|known| known.served_at.is_some());
    let rejected = decisions.rejection(&from).filter(|rejection| is_back && rejection.by != names::FIELD_MANAGER);
    // By a clock that is ahead somebody asked later than what came of it. Until the switch is reported the request is heard anew in each
    // plan; what is on record already, and was asked for later, is not what it was made for. Nor is what it was promoted for before.
    let left_at = known.and_then(|known| known.left_at);
    let is_known = |approval: &Approval| {
        let same = |other: &Approval| (&other.by, other.heard_at) == (&approval.by, approval.heard_at);
        known.is_some_and(|known| known.approvals.iter().any(same))
    };
    let in_time = |approval: &&Approval| {
        (approval.at <= switched_at || !is_known(approval))
            && left_at.is_none_or(|left_at| approval.heard_at.unwrap_or(approval.at) > left_at)
    };
    let approved = || {
        let (record, blue_green) = (decisions.revision(&home.hash)?, world.rollout.spec.blue_green());
        // One of two who have to approve has not promoted anything.
        if approvals::counted(blue_green, record).len() < blue_green.required_approvals() {
            return None;
        }
        record.approvals.last().filter(in_time)
    };
    let approved = || approved().map(|approval| (approval.at.min(switched_at), approval.by.clone()));
    let rejected = rejected.map(|rejection| (rejection.at, rejection.by.clone())).filter(|(at, _)| *at <= switched_at);
    let by_hand = moved_by_hand(situation, home).map(|by| (switched_at, by));
    let (requested_at, requested_by) = by_hand.or(rejected).or_else(approved).unzip();
    Some(Switch {
        from,
        to: home.hash.clone(),
        requested_at,
        requested_by: requested_by.unwrap_or_default(),
        switched_at,
        proven_at,
    })
}

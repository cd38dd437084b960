//! The fair continuation: faults stop, pods come up, endpoints follow, analyses end well, time passes. What spec and requests
//! ask for must be reached then, with no pod and no write more than that takes. Where there is no room for pods, it goes on twice: once
//! without room, and what needs none must be reached all the same; and once with room again.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenlight_api::{AnalysisPhase, Phase, WorkloadScaleDown, conditions, names};
use greenlight_core::world::{Run, Selection, Service};
use greenlight_core::{Action, Change, retire};
use jiff::{SignedDuration, Timestamp};

use crate::adapter;
use crate::cluster::{Cluster, ROLLOUT, SetTruth};
use crate::event::{Deletion, Event, Name, Operator, Refused, Room, Verb, Version};
use crate::ghost::{Ghost, Told, Verdict, promotes_by_itself};
use crate::predicate::{Predicate, Report};
use crate::state::{Made, Progress, State};

/// More rounds than this, and it will never be quiet.
const MOST_ROUNDS: usize = 80;

/// What was before everything went on.
struct Before {
    /// What production was last moved to.
    home: Option<Version>,
    /// Different things are asked for at once.
    twice: bool,
    /// The sets that are larger than the preview count.
    oversized: Vec<String>,
}

/// Continues a copy of the state without faults, and checks where that leads.
pub fn settle(state: &State, report: &mut Report) -> State {
    if state.cluster.room != Room::Enough {
        let mut state = state.clone();
        heal(&mut state);
        let quiet = go_on(&mut state, report);
        if report.violation.is_none() {
            check_end(&state, quiet, report);
        }
    }
    // A person and the spec ask for different things at once.
    let pending = state.ghost.request.as_ref().is_some_and(|request| request.answer.is_none());
    let changed = state.ghost.unseen.0 || state.ghost.unseen.1;
    let failed = state.ghost.home.is_some_and(|home| state.ghost.of(home).failed);
    let twice = changed && (pending || failed || state.ghost.hand.is_some());
    // What production goes back to first has as many pods as production; how many the spec wants of it is next.
    let undone = pending && state.ghost.request.as_ref().is_some_and(|request| request.verb == Verb::Undo);
    let preview = state.cluster.rollout.spec.blue_green().preview_replica_count;
    let oversized = |set: &&Arc<SetTruth>| preview.is_some_and(|count| set.object.replicas > count);
    let leaving = state.ghost.home.is_some_and(|home| {
        let revision = state.ghost.of(home);
        let goes_back = revision.out_since.is_some() && state.cluster.rollout.spec.blue_green().auto_rollback.is_some();
        revision.rejected != Verdict::No || revision.failed || goes_back
    });
    let before = Before {
        home: state.ghost.home,
        twice: twice || undone || leaving,
        oversized: state.cluster.sets.iter().filter(oversized).map(|set| set.object.name.clone()).collect(),
    };
    let mut state = state.clone();
    heal(&mut state);
    state.cluster.set_room(Room::Enough);
    let quiet = go_on(&mut state, report);
    let made = state.made.take().unwrap_or_default();
    if report.violation.is_none() {
        check_end(&state, quiet, report);
        check_economy(&state, &before, &made, report);
    }
    state.made = Some(made);
    state
}

fn heal(state: &mut State) {
    state.cluster.refused = Refused::Nothing;
    state.scaling = None;
    for process in &mut state.operators {
        process.thaw();
        // What it wrote with a clock that was ahead lies in the past by now.
        state.cluster.now += SignedDuration::from_secs(process.skew.into());
        process.skew = 0;
    }
    state.operators[Operator::B as usize].die();
}

/// Goes on until nothing is left to do. Returns whether it comes to that.
fn go_on(state: &mut State, report: &mut Report) -> bool {
    state.made = Some(Vec::new());
    (0..MOST_ROUNDS).any(|_| report.violation.is_some() || !round(state, report))
}

/// One round; false if nothing happened, and nothing will.
fn round(state: &mut State, report: &mut Report) -> bool {
    let made = |state: &State| state.made.as_ref().map_or(0, Vec::len);
    let before = (made(state), state.published);
    let end = state.run(Operator::A, report);
    let pods = state.cluster.run_all_pods();
    if pods {
        // It takes pods a while; an operator's clock may have been ahead.
        state.cluster.pass_until(state.cluster.now + SignedDuration::from_secs(1));
    }
    let slices = state.cluster.slices.clone();
    Name::ALL.iter().for_each(|name| state.cluster.catch_up(name.word(), false));
    let endpoints = state.cluster.slices != slices;
    state.ghost.look(&state.cluster);
    let running: Vec<String> = state
        .cluster
        .runs
        .iter()
        .filter(|run| !run.phase.is_completed() && !run.terminating)
        .map(|run| run.name.clone())
        .collect();
    let analyses = state.cluster.finish_analyses();
    running.iter().for_each(|run| state.ghost.on_analysis(run, AnalysisPhase::Successful, &state.cluster));
    state.happen(Event::ScaleDown, report);
    let sets = state.cluster.sets.len();
    let finalizers = state.cluster.rollout.finalizers.len();
    state.cluster.collect_garbage();
    let collected = (state.cluster.sets.len(), state.cluster.rollout.finalizers.len()) != (sets, finalizers);
    if (made(state), state.published) != before || pods || endpoints || analyses || collected {
        return true;
    }
    let deadlines = state.cluster.sets.iter().filter_map(|set| set.object.scale_down_at());
    let available = state.cluster.sets.iter().filter_map(|set| set.available_at(state.cluster.now));
    let (rollout, now) = (&state.cluster.rollout, state.cluster.now);
    let marked = state.cluster.sets.iter().filter(|set| set.object.has_scale_down_finalizer());
    let promised = marked.map(|set| retire::promised_until(rollout, &set.object, now));
    let deadlines = deadlines.chain(available).chain(promised);
    let next = match end {
        Progress::Rest(next) => next,
        Progress::On | Progress::Failed => Some(state.cluster.now + SignedDuration::from_secs(11)),
    };
    let next: Option<Timestamp> = next.into_iter().chain(deadlines).filter(|at| *at > state.cluster.now).min();
    if let Some(next) = next {
        state.cluster.pass_until(next);
    }
    next.is_some()
}

/// Whether a revision is to take production over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    Yes,
    No,
    Unclear,
}

fn check_end(state: &State, quiet: bool, report: &mut Report) {
    let cluster = &state.cluster;
    if cluster.rollout.is_deleting() || cluster.gone {
        report.check(Predicate::LetsGo, cluster.gone, || "the rollout does not go".to_owned());
        let ours = |hash: &str| adapter::version_of_hash(hash).is_some_and(|version| cluster.set(version).is_none());
        let known = |service: &Service| service.production.is_some() || service.managed_by.as_deref() == Some(ROLLOUT);
        let stay = cluster.deletion == Some(Deletion::Orphan);
        let dead = cluster.services.values().find(|service| known(service) && service.hash().is_some_and(ours));
        let stay = stay || state.ghost.home.is_some_and(|home| state.ghost.of(home).doubtful);
        // What an earlier rollout of the name left behind keeps every hash, and nobody was there who looks after that of one that went at once.
        let is_left = |set: &Arc<SetTruth>| !set.owned && set.object.has_pods();
        let stay = stay || cluster.sets.iter().any(is_left) || cluster.rollout.status.is_none();
        report.check(Predicate::LetsGo, stay || dead.is_none(), || format!("{dead:?} selects what is gone"));
        return;
    }
    let world = state.operators[Operator::A as usize].observe(cluster);
    let plan = adapter::plan(&world, cluster.now);
    let at_rest = plan.actions.is_empty() && plan.publish_at.is_none();
    // What is refused is tried again and again.
    let taken = cluster.sets.iter().any(|set| set.version == cluster.version && !set.owned);
    let tries = cluster.version == Version::REFUSED || taken;
    report.check(Predicate::Quiet, quiet && at_rest || tries, || {
        format!("it still plans {:?}, and to publish at {:?}", plan.actions, plan.publish_at)
    });
    check_request(state, report);
    if cluster.rollout.spec.blue_green().active_service.is_some() {
        check_what_services_show(state, report);
    }
    if quiet && at_rest {
        check_reason(state, report);
    }
}

/// What can be told where a Service shows where production is.
fn check_what_services_show(state: &State, report: &mut Report) {
    let cluster = &state.cluster;
    check_status(state, report);
    check_question(state, report);
    check_production(state, report);
    check_marks(state, report);
    check_workload(cluster, report);
    check_restart(state, report);
    check_history(state, report);
    check_services(state, report);
    check_leftovers(state, report);
    check_room_of_undo(state, report);
}

/// Every Service of production that can follow does, and the preview Service shows what it is there for.
fn check_services(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    let Some(home) = ghost.home.filter(|home| cluster.production() == Some(*home)) else { return };
    let Some(set) = cluster.set(home).filter(|set| set.owned && !set.object.deleting) else { return };
    if ghost.told_by(cluster) == Told::ByNobody
        || ghost.of(home).rejected != Verdict::No
        || ghost.is_record_silent(cluster)
        || ghost.second
        || ghost.forged
        || !ghost.has_enough(home, cluster)
    {
        return;
    }
    let can_follow = |service: &&Service| {
        let has_labels = service.own_selector().next().is_some();
        has_labels && !cluster.is_foreign(service) && service.missing_labels(&set.object).is_empty()
    };
    for service in cluster.active_services().filter(can_follow) {
        report.check(Predicate::AllFollow, service.hash() == Some(&set.object.hash), || {
            format!("{home} serves, and Service {} selects {:?}", service.name, service.selection())
        });
    }
    let Some(preview) = cluster.rollout.spec.blue_green().preview_service.as_ref() else { return };
    let Some(service) = cluster.services.get(preview).map(Arc::as_ref) else { return };
    if cluster.is_foreign(service) || service.production.is_some() || cluster.has_no_template() {
        return;
    }
    let shown = service.selection();
    let candidate = cluster.set(cluster.version).filter(|candidate| {
        let object = &candidate.object;
        let waits = candidate.version != home && ghost.of(candidate.version).rejected == Verdict::No;
        let comes_up = object.replicas > 0 && !candidate.lacks_room();
        waits && !ghost.of(candidate.version).failed && candidate.owned && !object.deleting && comes_up
    });
    if let Some(candidate) = candidate {
        let fits = service.missing_labels(&candidate.object).is_empty();
        if fits {
            let right = service.hash() == Some(&candidate.object.hash);
            report.check(Predicate::PreviewShows, right, || {
                format!("{} waits, and the preview shows {shown:?}", candidate.version)
            });
        }
    } else if cluster.version == home {
        let none = cluster.rollout.spec.blue_green().preview_service_idle.is_some();
        let right = if none { shown == Selection::Nothing } else { service.hash() == Some(&set.object.hash) };
        report.check(Predicate::PreviewShows, right, || format!("nothing waits, and the preview shows {shown:?}"));
    }
}

/// Nothing has pods that nobody needs.
fn check_leftovers(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // With a ReplicaSet that is nobody's, whatever its name, production is down: everything stays then.
    let is_ours = |home: &Version| cluster.set(*home).is_some_and(|set| set.owned);
    let home = ghost.home.filter(|home| cluster.production() == Some(*home)).filter(is_ours);
    let Some(home) = home else { return };
    // Before anything was moved, what a Service leads to that is only called active by now does not serve: it was a preview.
    let is_told = services_fit(cluster, home) && !ghost.second && ghost.told_by(cluster) != Told::ByNobody;
    if !is_told
        || ghost.forged
        || ghost.was_lost
        || cluster.has_no_template()
        || ghost.of(home).rejected != Verdict::No
        || !ghost.has_enough(home, cluster)
    {
        return;
    }
    // What serves still has to show that it is good, and nobody has said how it goes on.
    let is_open = |run: &Run| run.phase == AnalysisPhase::Inconclusive && run.name.ends_with("-post");
    if cluster.runs.iter().any(|run| is_open(run) && adapter::version_of_named(&run.name) == Some(home)) {
        return;
    }
    let kept = cluster.rollout.spec.blue_green().abort_scale_down_delay_seconds() == 0;
    // What waits for room gets that of the preview before it.
    let is_crowded = cluster.set(cluster.version).is_some_and(|candidate| {
        let waits = candidate.version != home && ghost.of(candidate.version).rejected == Verdict::No;
        let is_there = candidate.owned && !candidate.object.deleting && candidate.object.replicas > 0;
        waits && is_there && !ghost.of(candidate.version).failed && candidate.lacks_room()
    });
    let preview = if is_crowded { cluster.rollout.spec.blue_green().preview_service.as_ref() } else { None };
    let gives_way = |service: &Service| {
        preview == Some(&service.name) && service.production.is_none() && !cluster.is_foreign(service)
    };
    let predicate = if cluster.room == Room::Enough { Predicate::NoLeftovers } else { Predicate::GivesWay };
    for set in &cluster.sets {
        let waits = set.version == cluster.version && (ghost.of(set.version).rejected != Verdict::Yes || kept);
        // A Service that nobody names, and that leads to all that carries its labels, keeps nothing up.
        let shown = || cluster.services.values().any(|it| leads_there(cluster, it, set) && !gives_way(it));
        if set.version == home || waits || !set.owned || set.object.deleting || shown() {
            continue;
        }
        report.check(predicate, set.object.replicas == 0, || {
            format!("{} has {} pods, and {home} serves", set.version, set.object.replicas)
        });
    }
}

/// A Service leads to this set: by its hash; or the spec names it, and it has no hash, so nothing is taken from under it.
fn leads_there(cluster: &Cluster, service: &Service, set: &SetTruth) -> bool {
    let is_named = || cluster.rollout.spec.blue_green().services().any(|name| name == service.name);
    let by_its_labels = || is_named() && Cluster::selects(&service.selector, set) && set.ready() > 0;
    service.hash() == Some(&set.object.hash) || by_its_labels()
}

/// While an undo waits for room, nothing takes that which was never live, does not wait for its promotion, and is shown by no Service.
fn check_room_of_undo(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    let home = ghost.home.filter(|home| cluster.room != Room::Enough && cluster.production() == Some(*home));
    let Some(home) = home.filter(|home| ghost.of(*home).rejected == Verdict::Yes) else { return };
    if ghost.forged || ghost.was_lost || ghost.second || ghost.hand.is_some() || cluster.has_no_template() {
        return;
    }
    let arrives = |to: &Version| ghost.can_return(*to, cluster) && services_fit(cluster, *to);
    let Some(refuge) = ghost.earlier(home).find(arrives) else { return };
    let stays = cluster.rollout.spec.blue_green().abort_scale_down_delay_seconds() == 0;
    for set in &cluster.sets {
        let waits = set.version == cluster.version && (ghost.of(set.version).rejected == Verdict::No || stays);
        let muddled = ghost.of(set.version).rejected == Verdict::Either || ghost.of(set.version).went_live;
        let shown = || cluster.services.values().any(|service| leads_there(cluster, service, set));
        if [home, refuge].contains(&set.version) || waits || muddled || !set.owned || set.object.deleting || shown() {
            continue;
        }
        report.check(Predicate::GivesWay, set.object.replicas == 0, || {
            format!("{} has {} pods, and production is to leave {home} for {refuge}", set.version, set.object.replicas)
        });
    }
}

/// A mark that stays is taken for what it says by whoever retires, deletes or reads the set later.
fn check_marks(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    let serving = ghost.home.filter(|home| cluster.production() == Some(*home)).and_then(|home| cluster.set(home));
    // What was rejected, and serves by hand since nothing else is there, is nobody's home.
    let is_home = |set: &&Arc<SetTruth>| ghost.of(set.version).rejected == Verdict::No;
    if let Some(set) = serving.filter(is_home).filter(|set| set.owned && !set.object.deleting) {
        report.check(Predicate::Unmarked, !set.object.is_retired(), || {
            format!("{} serves and is marked as retired", set.version)
        });
    }
}

fn is_healthy(cluster: &Cluster) -> bool {
    cluster.rollout.status.as_ref().is_some_and(|status| status.phase == Phase::Healthy)
}

fn check_workload(cluster: &Cluster, report: &mut Report) {
    let Some(workload) = &cluster.workload else { return };
    let mode = cluster.rollout.spec.workload_ref.as_ref().and_then(|workload| workload.scale_down);
    let goes = mode.is_some_and(|mode| mode != WorkloadScaleDown::Never);
    if goes && is_healthy(cluster) && cluster.rollout.spec.replicas() > 0 {
        report.check(Predicate::WorkloadGoes, workload.replicas == 0, || {
            format!("the Deployment still has {} pods", workload.replicas)
        });
    }
}

fn check_restart(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // The clock of the operator that wrote a bare verb out may have been ahead.
    let by_person = if ghost.was_lost { None } else { ghost.restart_at };
    let by_person = by_person.map(|at| at - SignedDuration::from_secs(4));
    let in_spec = cluster.rollout.spec.restart_at;
    let asked_for = [by_person, in_spec].into_iter().flatten().filter(|at| *at <= cluster.now).max();
    let Some(at) = asked_for else { return };
    let serving = ghost.home.and_then(|home| cluster.set(home));
    if is_healthy(cluster)
        && let Some(set) = serving
    {
        let old = set.pods.iter().find(|pod| pod.created.as_second() < at.as_second());
        report.check(Predicate::Restarted, old.is_none(), || {
            format!("{old:?} of {} is older than the restart of {at}", set.version)
        });
    }
}

/// What is kept to go back to: so many as the spec says, and the last that served.
fn check_history(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // Where something served and nobody knows what, everything stays: so it is beside another rollout while only what was a preview until now leads to
    // anything.
    let is_told = !ghost.second || ghost.told_by(cluster) != Told::ByNobody;
    let is_known = match ghost.home {
        Some(home) => cluster.production() == Some(home) && is_told,
        None => !ghost.begun && !ghost.second && !ghost.was_lost,
    };
    if !is_known {
        return;
    }
    let old = cluster.sets.iter().filter(|set| {
        let has_role = Some(set.version) == ghost.home || set.version == cluster.version;
        set.owned && !set.object.deleting && !has_role && set.object.replicas == 0 && !set.object.is_retired()
    });
    let limit = usize::try_from(cluster.rollout.spec.revision_history_limit()).unwrap_or(0);
    let old: Vec<Version> = old.map(|set| set.version).collect();
    // Where a Service asks for a label that some lack, the last that served and the one to go back to are two.
    let unfit = old.iter().any(|version| !services_fit(cluster, *version));
    let most = limit + 1 + usize::from(unfit);
    if !old.is_empty() {
        report.check(Predicate::HistoryBound, old.len() <= most, || format!("{old:?} are kept, {limit} are to be"));
    }
}

fn check_request(state: &State, report: &mut Report) {
    let Some(request) = &state.ghost.request else { return };
    let observed = state.cluster.rollout.status.as_ref().and_then(|status| status.observed_request.as_ref());
    let answered = observed.is_some_and(|observed| observed.value == request.value);
    report.check(Predicate::Answered, answered, || format!("{} of {:?} has no answer", request.verb, request.version));
}

/// Whether production's Services are there, ours, and select what this version carries.
fn services_fit(cluster: &Cluster, version: Version) -> bool {
    let named = cluster.rollout.spec.blue_green().active_services();
    let labels = cluster.pod_labels(version);
    let ours = [names::HASH_LABEL, names::SERVING_LABEL];
    // Also those that carry it still, though the spec does not name them any more.
    let carrying = cluster.services.values().filter(|service| service.production.is_some()).map(Some);
    named.map(|name| cluster.services.get(name)).chain(carrying).all(|service| {
        service.is_some_and(|service| {
            let own = service.selector.iter().filter(|(key, _)| !ours.contains(&key.as_str()));
            !cluster.is_foreign(service) && own.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    })
}

fn preview_fits(cluster: &Cluster, version: Version) -> bool {
    let Some(name) = &cluster.rollout.spec.blue_green().preview_service else { return true };
    let labels = cluster.pod_labels(version);
    cluster.services.get(name).is_some_and(|service| {
        let tier = service.selector.get("tier");
        !cluster.is_foreign(service)
            && service.production.is_none()
            && tier.is_none_or(|tier| labels.get("tier") == Some(tier))
    })
}

fn forward(state: &State) -> Forward {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    let version = cluster.version;
    let revision = ghost.of(version);
    // What there is no room for does not come up.
    let lacks_room = cluster.room != Room::Enough && cluster.set(version).is_none_or(|set| set.lacks_room());
    if lacks_room && !(ghost.home == Some(version) && ghost.has_enough(version, cluster)) {
        return Forward::Unclear;
    }
    let blue_green = cluster.rollout.spec.blue_green();
    let by_itself = promotes_by_itself(&cluster.rollout.spec);
    let inconclusive = cluster
        .runs
        .iter()
        .any(|run| run.phase == AnalysisPhase::Inconclusive && adapter::version_of_named(&run.name) == Some(version));
    let home_exists = ghost.home.is_some_and(|home| cluster.set(home).is_some_and(|set| set.owned));
    if revision.rejected == Verdict::Yes || version == Version::REFUSED || !services_fit(cluster, version) {
        return Forward::No;
    }
    let unanalysable = blue_green.pre_promotion_analysis.is_some() && cluster.rollout.spec.replicas() == 0;
    if cluster.has_no_template() {
        return if ghost.home.is_some_and(|home| home != version) { Forward::No } else { Forward::Unclear };
    }
    if !ghost.begun && ghost.second && !by_itself {
        return Forward::Unclear;
    }
    if revision.rejected == Verdict::Either
        || unanalysable
        || ghost.forged
        || revision.failed
        || inconclusive
        || !preview_fits(cluster, version)
    {
        return Forward::Unclear;
    }
    if ghost.home != Some(version) && cluster.rollout.spec.replicas() == 0 {
        // Nothing is promoted that has no pods.
        return Forward::Unclear;
    }
    if ghost.home != Some(version) && ghost.was_lost {
        return Forward::Unclear;
    }
    if revision.undo_asked || revision.out_since.is_some() || ghost.lost {
        return Forward::Unclear;
    }
    if ghost.home == Some(version) || !ghost.begun {
        // Production that is lost comes back, also where it is made anew: a pause holds back what is promoted.
        let is_lost = revision.known && cluster.production().is_none();
        let may_be_held = cluster.rollout.spec.paused == Some(true) && !is_lost;
        return if may_be_held { Forward::Unclear } else { Forward::Yes };
    }
    if cluster.rollout.spec.paused == Some(true) || !home_exists {
        return Forward::Unclear;
    }
    if revision.left_by_hand {
        return Forward::No;
    }
    if revision.promoted && revision.doubtful && !by_itself {
        return Forward::Unclear;
    }
    if by_itself || revision.promoted {
        return Forward::Yes;
    }
    // What was let through once, and is held now, may have passed already.
    if revision.auto || revision.returned || revision.by_hand { Forward::Unclear } else { Forward::No }
}

/// What production can go back to from this revision. Without room there is something only where all that served have their pods: people
/// may name any of them.
fn refuge(cluster: &Cluster, ghost: &Ghost, from: Version) -> Option<Version> {
    let others = Version::all().filter(|other| *other != from && ghost.of(*other).served);
    let mut others = others.filter(|other| cluster.set(*other).is_some());
    if !others.all(|other| ghost.has_enough(other, cluster)) {
        return None;
    }
    ghost.earlier(from).find(|earlier| ghost.can_return(*earlier, cluster) && services_fit(cluster, *earlier))
}

/// What was undone, or failed its analysis after the switch, does not serve while something else that served can.
fn check_undone(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // Of a forged digest there may be two sets, and nobody knows of which one a person speaks.
    if ghost.forged {
        return;
    }
    for version in Version::all().filter(|version| cluster.set(*version).is_some()) {
        let analysed = cluster.rollout.spec.blue_green().post_promotion_analysis.is_some();
        let is_of = |name: &str| adapter::version_of_named(name) == Some(version) && name.ends_with("-post");
        let failed = cluster.runs.iter().rev().find(|run| is_of(&run.name));
        let failed = analysed
            && failed.is_some_and(|run| matches!(run.phase, AnalysisPhase::Failed | AnalysisPhase::Error))
            && ghost.of(version).failed
            && !ghost.was_lost;
        let undone = ghost.of(version).rejected == Verdict::Yes && !ghost.of(version).uid.is_empty();
        let refuge = refuge(cluster, ghost, version);
        // Where it is to be has no pods that the Services select: that is told.
        let can = ghost.home.is_none_or(|home| home == version || services_fit(cluster, home));
        if (failed || undone) && refuge.is_some() && can {
            report.check(Predicate::UndoArrives, cluster.production() != Some(version), || {
                format!("{version} was rejected or failed, and serves, although {refuge:?} served before")
            });
        }
    }
}

fn check_production(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // With the status the record is lost, and a rollout that comes second has moved nothing of what it finds.
    let record_is_silent = ghost.is_record_silent(cluster) || ghost.second;
    match ghost.told_by(cluster) {
        Told::ByNobody => return,
        Told::ByRecord if record_is_silent => return,
        Told::ByRecord | Told::ByService => {}
    }
    let production = cluster.production();
    if let Some(production) = production {
        let home_lives = ghost.home.is_some_and(|home| {
            services_fit(cluster, home)
                && cluster.set(home).is_some_and(|set| set.owned && !set.object.deleting && set.object.replicas > 0)
        });
        if home_lives {
            let permitted = ghost.home == Some(production) || ghost.permits(production, cluster, None);
            report.check(Predicate::ServesPermitted, permitted, || {
                format!("{production} serves, {:?} was promoted last", ghost.home)
            });
        }
    }
    let is_there = |version: Version| {
        services_fit(cluster, version) && cluster.set(version).is_some_and(|set| set.owned && !set.object.deleting)
    };
    check_undone(state, report);
    // Without a status and without a mark of what is there nothing tells what serves: everything stays as it is.
    let is_there_still = |hash: &str| cluster.sets.iter().any(|set| set.object.hash == hash);
    let is_marked = cluster.active_services().any(|service| service.production.as_deref().is_some_and(is_there_still));
    match forward(state) {
        Forward::Yes => report.check(Predicate::Arrives, production == Some(cluster.version), || {
            format!("{} is to serve, and {production:?} does", cluster.version)
        }),
        Forward::No => {
            let Some(home) = ghost.home else { return };
            if ghost.of(home).rejected == Verdict::Yes {
                let refuge = refuge(cluster, ghost, home);
                if refuge.is_some() {
                    report.check(Predicate::UndoArrives, production != Some(home), || {
                        format!("{home} was rejected and serves, although {refuge:?} served before")
                    });
                }
            } else if is_there(home)
                && ghost.of(home).rejected == Verdict::No
                && (!ghost.lost || is_marked)
                && ghost.has_enough(home, cluster)
            {
                report.check(Predicate::Arrives, production == Some(home), || {
                    format!("{home} is to go on serving, and {production:?} does")
                });
            }
        }
        Forward::Unclear => {}
    }
    let Some(home) = ghost.home.filter(|home| Some(*home) == production && services_fit(cluster, *home)) else {
        return;
    };
    let known = !cluster.has_no_template() && !ghost.forged;
    let asked = home == cluster.version && ghost.of(home).rejected == Verdict::No;
    let size = if asked { Some(cluster.rollout.spec.replicas()) } else { ghost.size };
    // What is to be left, and cannot be for want of room, follows the scale as far as that takes no room.
    let stays = cluster.room == Room::Enough || !ghost.has_cause(home, cluster);
    let is_clear = known && stays && !ghost.restarted;
    if is_clear && let (Some(size), Some(set)) = (size, cluster.set(home)) {
        report.check(Predicate::HomeSize, set.object.replicas == size || !set.owned, || {
            format!("{home} serves with {} pods, and is to have {size}", set.object.replicas)
        });
    }
}

fn check_status(state: &State, report: &mut Report) {
    let cluster = &state.cluster;
    let Some(status) = &cluster.rollout.status else {
        report.check(Predicate::StatusCurrent, false, || "there is no status".to_owned());
        return;
    };
    let production = cluster.production();
    let agree =
        cluster.active_services().all(|service| service.hash() == cluster.first_active().and_then(|s| s.hash()));
    let expected = production.map(|version| cluster.hash_of(version).to_owned()).unwrap_or_default();
    let agree = agree && !cluster.first_active().is_some_and(Service::is_overlapping);
    // Of what an earlier rollout left behind nothing is known until it is this one's.
    let is_ours = production.is_none_or(|version| cluster.set(version).is_some_and(|set| set.owned));
    let agree = agree && is_ours;
    if agree && cluster.first_active().is_some() && (production.is_none() || production == state.ghost.home) {
        let selected = cluster.first_active().and_then(|service| service.hash()).unwrap_or_default();
        let current = status.active_revision == expected || status.active_revision == selected;
        report.check(Predicate::StatusCurrent, current, || {
            format!("activeRevision is {:?}, and {production:?} serves", status.active_revision)
        });
    }
    let generation = cluster.rollout.generation;
    report.check(Predicate::StatusCurrent, status.observed_generation == generation, || {
        format!("observedGeneration is {} of {generation}", status.observed_generation)
    });
    // Nothing is refused any more.
    let blamed = status.conditions.iter().any(|condition| condition.reason == conditions::REASON_ANALYSIS_REFUSED);
    report.check(Predicate::StatusCurrent, !blamed, || "an analysis is blamed that is not refused".to_owned());
    let version = cluster.version;
    let full = cluster
        .set(version)
        .is_some_and(|set| set.object.available >= cluster.rollout.spec.replicas() && production == Some(version));
    if status.phase == Phase::Healthy {
        report.check(Predicate::SaysWhy, full || state.ghost.forged, || {
            format!("it is called healthy, and {production:?} serves")
        });
    } else {
        report.check(Predicate::SaysWhy, !status.message.is_empty(), || format!("{:?} without a word", status.phase));
    }
}

/// A person who is asked since the analysis of what serves came to no conclusion is told so, whatever else waits or was rejected.
fn check_question(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    let Some(home) = ghost.home.filter(|home| cluster.production() == Some(*home)) else { return };
    let leads_there = |service: &Service| service.hash() == Some(cluster.hash_of(home));
    let is_there = cluster.active_services().all(leads_there) && services_fit(cluster, home);
    let unclear = ghost.was_lost || ghost.forged || ghost.hand.is_some() || state.backup.is_some();
    // Somebody kept it, or the spec asked for no analysis for a while.
    let record = cluster.rollout.record().and_then(|record| record.revision(cluster.hash_of(home)));
    let is_decided = record.is_none_or(|record| record.post_promotion.is_some() || record.rejection.is_some());
    let is_asked_for = cluster.rollout.spec.blue_green().post_promotion_analysis.is_some() && !ghost.of(home).full;
    if !is_there || unclear || is_decided || !is_asked_for || refuge(cluster, ghost, home).is_none() {
        return;
    }
    let is_of_home = |run: &&Run| adapter::version_of_named(&run.name) == Some(home) && run.name.ends_with("-post");
    let last = cluster.runs.iter().rev().find(is_of_home);
    // Of an attempt before production came here anew nobody is asked any more: another analysis is made, as soon as there are pods.
    let came_at = Version::all().filter(|other| *other != home).filter_map(|other| ghost.of(other).left_at).max();
    let is_empty = cluster.set(home).is_some_and(|set| set.object.replicas == 0);
    let last = last.filter(|run| !is_empty || run.completed_at >= came_at);
    if last.is_some_and(|run| run.phase == AnalysisPhase::Inconclusive && !run.terminating)
        && let Some(status) = &cluster.rollout.status
    {
        report.check(Predicate::SaysWhy, status.message.contains("came to no conclusion"), || {
            format!("the analysis of {home} needs a person, and it says: {}", status.message)
        });
    }
}

/// What the status says that it waits for is so. Pods, endpoints, analyses and timers have had their time, and nothing is refused any more:
/// who still waits for one of them waits for ever.
fn check_reason(state: &State, report: &mut Report) {
    let (cluster, ghost) = (&state.cluster, &state.ghost);
    // A forged digest, and a status from a backup, say something else than what was decided.
    let is_clear = cluster.room == Room::Enough && !ghost.forged && state.backup.is_none();
    let Some(status) = cluster.rollout.status.as_ref().filter(|status| status.phase != Phase::Healthy) else { return };
    let ready = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
    let Some(reason) = ready.map(|condition| condition.reason.as_str()) else { return };
    if is_clear && !cluster.sets.iter().any(|set| set.object.deleting) {
        report.check(Predicate::ReasonTrue, is_so(cluster, ghost, reason), || {
            format!("nothing is left to do, and it says {reason}: {}", status.message)
        });
    }
}

/// Whether a rollout that rests waits for what this reason says.
fn is_so(cluster: &Cluster, ghost: &Ghost, reason: &str) -> bool {
    let spec = &cluster.rollout.spec;
    match reason {
        conditions::REASON_PROGRESSING
        | conditions::REASON_ROLLING_BACK
        | conditions::REASON_RESTARTING
        | conditions::REASON_AWAITING_TIMER
        | conditions::REASON_PRE_PROMOTION_ANALYSIS
        | conditions::REASON_ANALYSIS_REFUSED
        | conditions::REASON_WRITE_REFUSED => false,
        conditions::REASON_PAUSED => spec.paused == Some(true),
        conditions::REASON_AWAITING_PROMOTION => awaits_promotion(cluster, ghost),
        conditions::REASON_INCONCLUSIVE => has_no_conclusion(cluster, ghost),
        // With nothing to go back to it serves all the same.
        conditions::REASON_POST_PROMOTION_ANALYSIS => {
            let is_bad = |run: &Run| matches!(run.phase, AnalysisPhase::Failed | AnalysisPhase::Error);
            cluster.runs.iter().any(|run| is_bad(run) && run.name.ends_with("-post"))
        }
        conditions::REASON_DEADLINE => {
            cluster.sets.iter().any(|set| set.owned && set.object.available < set.object.replicas)
        }
        conditions::REASON_PROVING => is_unproven(cluster),
        conditions::REASON_SERVICE_MISSING => {
            spec.blue_green().services().any(|name| !cluster.services.contains_key(name))
        }
        conditions::REASON_SERVICE_CLAIMED => cluster.services.values().any(|service| cluster.is_foreign(service)),
        conditions::REASON_SERVICE_MISMATCH => cluster.services.values().any(|service| is_misfit(cluster, service)),
        conditions::REASON_WORKLOAD_MISSING | conditions::REASON_WORKLOAD_MISMATCH => cluster.has_no_template(),
        // Whether something is rejected others ask, and what is refused for good is planned again and again.
        _ => true,
    }
}

/// Nobody has promoted it, or there are no pods to promote.
fn awaits_promotion(cluster: &Cluster, ghost: &Ghost) -> bool {
    let spec = &cluster.rollout.spec;
    // What nobody can know any more, or what was done before there was a status, is not promoted by itself.
    let is_unknown = ghost.was_lost || ghost.was_worker || Version::all().any(|version| ghost.of(version).by_hand);
    let is_asked_for = !promotes_by_itself(spec) || is_unknown;
    spec.replicas() == 0 || is_asked_for && ghost.of(cluster.version).assured_at.is_none()
}

/// An analysis of what serves or waits came to no conclusion, and nobody has promoted what waits since.
fn has_no_conclusion(cluster: &Cluster, ghost: &Ghost) -> bool {
    let is_accepted = |run: &Run| run.name.ends_with("-pre") && ghost.of(cluster.version).assured_at > run.completed_at;
    let serves = |version: Version| ghost.home == Some(version) || cluster.production() == Some(version);
    let matters = |version: Version| version == cluster.version || serves(version);
    cluster.runs.iter().any(|run| {
        let is_open = run.phase == AnalysisPhase::Inconclusive || run.terminating;
        is_open && !is_accepted(run) && adapter::version_of_named(&run.name).is_some_and(matters)
    })
}

/// A Service of production leads to other pods than those of what serves, or to too few of these.
fn is_unproven(cluster: &Cluster) -> bool {
    let production = cluster.production();
    let needed = production.and_then(|version| cluster.set(version)).map_or(0, |set| set.object.replicas);
    let is_named = |service: &Service| cluster.active_services().any(|active| active.name == service.name);
    let carrying = cluster.services.values().filter(|service| service.production.is_some() || is_named(service));
    carrying.into_iter().any(|service| {
        let ready = || cluster.entries(&service.name).filter(|entry| entry.ready);
        let lacks = i32::try_from(ready().count()).is_ok_and(|ready| ready < needed);
        // One that the spec names no more may lead to both for as long as it does not fit the new one.
        let leads_to_both = service.is_overlapping() && !is_named(service);
        lacks || leads_to_both || ready().any(|entry| entry.version != production)
    })
}

/// A Service selects what some pods of ours, or those of the spec's template, do not carry; or it carried production and is to show a preview.
fn is_misfit(cluster: &Cluster, service: &Service) -> bool {
    let lacks_template = !service.lacking(&adapter::facts(cluster.version).template.labels).is_empty();
    let lacked = || cluster.sets.iter().any(|set| set.owned && !service.missing_labels(&set.object).is_empty());
    let is_preview = cluster.rollout.spec.blue_green().preview_service.as_ref() == Some(&service.name);
    service.own_selector().next().is_none() || lacks_template || lacked() || is_preview && service.production.is_some()
}

fn check_economy(state: &State, before: &Before, made: &[Made], report: &mut Report) {
    let Before { home, twice, oversized: shrinking } = before;
    let (home, twice) = (*home, *twice);
    if report.violation.is_some() {
        return;
    }
    let restarts = state.ghost.restarted;
    let mut turns: BTreeMap<&str, (i32, usize)> = BTreeMap::new();
    for made in made {
        let (name, delta) = match &made.write {
            Action::CreateReplicaSet { name, replicas, .. } if made.replicas.is_none() => {
                // One of its name may have gone before.
                turns.remove(name.as_str());
                (name, *replicas)
            }
            Action::ChangeReplicaSet { name, change, .. } => {
                let delta = change.replicas.zip(made.replicas).map_or(0, |(after, before)| after - before);
                (name, delta)
            }
            _ => continue,
        };
        let (last, count) = turns.entry(name).or_default();
        if delta != 0 && *last != 0 && delta.signum() != *last {
            *count += 1;
        }
        if delta != 0 {
            *last = delta.signum();
        }
    }
    let blue_green = state.cluster.rollout.spec.blue_green();
    let oversized = blue_green.preview_replica_count.is_some_and(|count| count > state.cluster.rollout.spec.replicas());
    if let Some(home) = home {
        // What served before may have had to grow until it was left.
        turns.retain(|name, _| adapter::version_of_named(name) != Some(home));
    }
    // What had its full size when a preview count was set shrinks to that, and grows when it is promoted.
    turns.retain(|name, _| !shrinking.iter().any(|shrinks| shrinks == name));
    for made in made {
        // So may what served in between.
        if let Action::SelectRevision { production: Some(hash), .. } = &made.write
            && let Some(version) = adapter::version_of_hash(hash).filter(|version| Some(*version) != state.ghost.home)
        {
            turns.retain(|name, _| adapter::version_of_named(name) != Some(version));
        }
    }
    // What is scaled to nothing while it is on its way to production has pods until it is there.
    let oversized = oversized || blue_green.active_service.is_none() || state.cluster.rollout.spec.replicas() == 0;
    let lost = home.is_some_and(|home| state.ghost.of(home).doubtful);
    if !restarts && !oversized && !lost && !twice && !turns.is_empty() {
        let wasted = turns.iter().find(|(_, (_, turns))| *turns > 0);
        report.check(Predicate::NoWaste, wasted.is_none(), || format!("{wasted:?} grows and shrinks"));
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for made in made {
        if matches!(made.write, Action::EvictPod { .. }) || restarts {
            continue;
        }
        let count = seen.entry(without_versions(&format!("{:?}", made.write))).or_default();
        *count += 1;
        // A delay that was put off, since production could have gone back there by itself, may be brought back, and be cut then.
        let is_deadline = |change: &Change| change.annotations.contains_key(names::SCALE_DOWN_AT);
        let marks = matches!(&made.write, Action::ChangeReplicaSet { change, .. } if is_deadline(change));
        let put_off = marks && state.cluster.rollout.spec.blue_green().auto_rollback.is_some();
        let repeated = *count > 2 + usize::from(put_off);
        report.check(Predicate::NoRepeat, !repeated, || format!("three times: {:?}", made.write));
    }
}

/// The text of a write without resourceVersions and times.
pub fn without_versions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("rv").into_iter().chain(rest.find("2026-")).min() {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        let end =
            tail[2..].find(|c: char| !(c.is_ascii_digit() || "-T:.Z".contains(c))).map_or(tail.len(), |end| end + 2);
        out.push('_');
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

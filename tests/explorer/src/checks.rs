//! Predicates that are checked at every write, before it happens.

use std::sync::Arc;

use greenlight_api::{AnalysisPhase, WorkloadScaleDown, names};
use greenlight_core::analysis::Kind;
use greenlight_core::world::{Rollout, Run, Selection, Service};
use greenlight_core::{Action, Change};
use jiff::SignedDuration;

use crate::adapter;
use crate::cluster::{Cluster, Entry, SetTruth};
use crate::event::{Deletion, Version};
use crate::ghost::{Ghost, Told, Verdict, is_reached};
use crate::operator::Seen;
use crate::predicate::{Predicate, Report};

/// What the predicates at a write look at.
pub struct Moment<'a> {
    /// The truth.
    pub cluster: &'a Cluster,
    /// What is true after the write.
    pub after: &'a Cluster,
    /// What was decided.
    pub ghost: &'a Ghost,
    /// What the plan was made from.
    pub seen: &'a Seen,
}

impl Moment<'_> {
    /// Checks a write of the rollouts controller.
    pub fn check(&self, write: &Action, report: &mut Report) {
        match write {
            Action::SelectRevision { name, selection, .. } => self.check_select(name, selection, report),
            Action::ChangeReplicaSet { name, change, .. } => self.check_change(name, change, report),
            Action::DeleteReplicaSet { name, .. } => self.check_delete(name, report),
            Action::StartAnalysis { replica_set, kind: Kind::Post, .. } => {
                self.check_second_analysis(replica_set, report);
                self.check_measured(report);
            }
            Action::StartAnalysis { replica_set, kind: Kind::Pre, .. } => self.check_shown(replica_set, report),
            Action::EvictPod { hash, name, .. } => self.check_eviction(hash, name, report),
            Action::ScaleWorkload { replicas, .. } => self.check_workload(*replicas, report),
            _ => {}
        }
    }

    /// A restart takes no pod that production needs.
    fn check_eviction(&self, hash: &str, pod: &str, report: &mut Report) {
        let Some(set) = self.cluster.sets.iter().find(|set| set.object.hash == hash) else { return };
        let was_ready = set.pods.iter().any(|one| set.pod_name(one) == pod && one.ready_since.is_some());
        // Of a Deployment that is gone nobody knows whether a scale came with another template.
        let reached = self.cluster.active_services().next().is_some();
        // Of one whose digest was forged another is made: the scale is that one's.
        let is_only = self.cluster.sets.iter().filter(|other| other.version == set.version).count() == 1;
        if self.ghost.home == Some(set.version) && was_ready && reached && is_only && !self.cluster.has_no_template() {
            let left = set.ready() - 1;
            // By a Service that is called active only now it is a preview still, and has its size: nobody has promoted it.
            let is_preview = self.ghost.told_by(self.cluster) == Told::ByNobody;
            let needed = match self.cluster.rollout.spec.blue_green().preview_replica_count {
                Some(preview) if is_preview => preview.min(self.needed_home()),
                _ => self.needed_home(),
            };
            let enough = usize::try_from(needed).unwrap_or(0);
            report.check(Predicate::RestartFull, left >= enough, || {
                format!("a pod of {} is evicted, and {left} of {enough} are left", set.version)
            });
        }
    }

    /// The Deployment that is taken over from keeps its pods until the switch away from it is proven, or, where the spec says
    /// so, until as many of ours stand in for them; and at least one.
    fn check_workload(&self, replicas: i32, report: &mut Report) {
        let Some(workload) = &self.cluster.workload else { return };
        let mode = self.seen.rollout.spec.workload_ref.as_ref().and_then(|workload| workload.scale_down);
        let reached = |service: &Service| {
            let leads_there = self.cluster.entries(&service.name).any(|entry| entry.version.is_none());
            leads_there || self.cluster.workload_behind(&service.selector) > 0
        };
        let home = self.ghost.home.filter(|home| self.ghost.of(*home).served);
        let left_behind = home.is_some() && !self.cluster.active_services().any(reached);
        let shrinks = replicas < workload.replicas;
        if !shrinks || left_behind || self.cluster.rollout.spec.blue_green().active_service.is_none() {
            report.check(Predicate::WorkloadStays, mode != Some(WorkloadScaleDown::Never), || {
                format!("the Deployment is scaled to {replicas}, and is to be left alone")
            });
            return;
        }
        let enough = usize::try_from(workload.replicas.min(self.needed())).unwrap_or(0);
        let left = usize::try_from(replicas).unwrap_or(0);
        // Where it serves nothing, nothing has to stand in for it.
        let serves = |service: &&Service| self.cluster.workload_behind(&service.selector) > 0;
        let stand_in = self.cluster.active_services().filter(serves).map(|service| {
            let all = self.cluster.ready_behind(&service.selector);
            all - self.cluster.workload_behind(&service.selector)
        });
        let ours = stand_in.min().unwrap_or(enough);
        let may = mode == Some(WorkloadScaleDown::Progressively) && left > 0;
        let stays = may && (left + ours >= enough || !self.seen.fresh);
        report.check(Predicate::WorkloadStays, stays || self.ghost.forged, || {
            format!("the Deployment is scaled to {replicas}, {ours} of ours stand in, {enough} are needed, and nothing is proven")
        });
    }

    /// The Service carries production, both now and as the operator saw it.
    fn is_active(&self, service: &str) -> bool {
        let names = |rollout: &Rollout| rollout.spec.blue_green().active_services().any(|name| name == service);
        let carried = self.cluster.services.get(service).is_some_and(|service| service.production.is_some());
        names(&self.cluster.rollout) && names(&self.seen.rollout) || carried
    }

    /// The pods that a revision needs to take production over.
    fn needed(&self) -> i32 {
        self.cluster.rollout.spec.replicas().min(self.seen.rollout.spec.replicas())
    }

    /// The pods that what serves is to have.
    fn needed_home(&self) -> i32 {
        if self.ghost.home.is_none_or(|home| home == self.cluster.version) {
            return self.needed();
        }
        self.ghost.size.unwrap_or(0).min(self.needed())
    }

    fn check_select(&self, service: &str, selection: &Selection, report: &mut Report) {
        let services = [self.cluster, self.after].map(|cluster| cluster.services.get(service));
        let [Some(before), Some(after)] = services else { return };
        if self.cluster.rival.is_some() && self.seen.rival {
            // Who goes takes a hash out that a person put there; nothing else tells whose that is.
            let ours = |hash: &str| self.cluster.sets.iter().any(|set| set.object.hash == hash);
            let goes =
                self.cluster.rollout.is_deleting() && before.managed_by.is_none() && before.hash().is_some_and(ours);
            let theirs = self.cluster.is_foreign(before) && !goes;
            report.check(Predicate::Foreign, !theirs, || {
                format!("Service {service}, which the other rollout moves, is made to select {selection:?}")
            });
        }
        if !self.is_active(service) {
            return;
        }
        if self.cluster.rollout.is_deleting() {
            self.check_letting_go([before, after], report);
            return;
        }
        let ready = |selector| self.cluster.ready_behind(selector);
        // How many pods production had by the record, from which it was moved without a trace, nobody knows.
        let traceless = matches!(selection, Selection::Revision(hash) if adapter::version_of_hash(hash).is_some_and(|version| {
            self.ghost.home != Some(version) && self.ghost.is_still_on_record(version, self.cluster)
        }));
        let strangers = self.lets_others_in(before);
        // That the pods of what serves are on their way out, because somebody wanted none a moment ago, nobody has seen yet.
        let leaving =
            self.ghost.home.and_then(|home| self.cluster.set(home)).is_some_and(|home| {
                home.are_pods_leaving() && *selection == Selection::Revision(home.object.hash.clone())
            });
        let strangers = strangers || leaving;
        if ready(&before.selector) > 0 && self.needed() > 0 && self.needed_home() > 0 && !traceless && !strangers {
            report.check(Predicate::NotEmptied, ready(&after.selector) > 0, || {
                format!("Service {service} loses all its ready endpoints to {selection:?}")
            });
        }
        match selection {
            Selection::Revision(hash) => {
                let lost =
                    before.hash().is_none_or(|hash| !self.cluster.sets.iter().any(|set| set.object.hash == hash));
                self.check_move(service, hash, lost && !before.is_overlapping(), report);
            }
            Selection::Both(_) => {
                let [before, after_it] = [before, after].map(|service| ready(&service.selector));
                report.check(Predicate::NothingLost, after_it >= before, || {
                    format!("Service {service} had {before} ready pods, and has {after_it} by the label of both")
                });
                // Also of one that is being deleted, and keeps its pods for its delay.
                let selected = |set: &&Arc<SetTruth>| set.owned && Cluster::ready_pods(&after.selector, set) > 0;
                let revisions = self.cluster.sets.iter().filter(selected).count();
                report.check(Predicate::OnlyTwo, revisions <= 2 || self.ghost.forged, || {
                    format!("Service {service} leads to ready pods of {revisions} revisions by the label of both")
                });
                // The other one is what serves.
                if let Some(version) = after.production.as_deref().and_then(adapter::version_of_hash) {
                    self.check_permission(version, false, report);
                }
            }
            Selection::Nothing => {
                report.check(Predicate::NotEmptied, false, || format!("Service {service} is made to select nothing"));
            }
            Selection::Unmanaged => self.check_letting_go([before, after], report),
        }
    }

    /// That the pods of what serves are on their way out, because somebody wanted none a moment ago, nobody has seen yet.
    fn is_leaving_unseen(&self, set: &SetTruth) -> bool {
        self.ghost.home == Some(set.version) && set.are_pods_leaving()
    }

    /// It lost its hash, and has labels by which it leads to what never served: what was made anew since production left it has not, either.
    fn lets_others_in(&self, service: &Service) -> bool {
        let led_to = |set: &&Arc<SetTruth>| Cluster::selects(&service.selector, set) && set.object.has_pods();
        let has_served = |set: &Arc<SetTruth>| {
            let revision = self.ghost.of(set.version);
            revision.known && (revision.uid == set.object.uid || self.ghost.home == Some(set.version))
        };
        let is_stranger = |set: &Arc<SetTruth>| !has_served(set);
        let serves = |set: &Arc<SetTruth>| set.ready() > 0 && has_served(set);
        let led_to = || self.cluster.sets.iter().filter(led_to);
        service.selection() == Selection::Unmanaged && led_to().any(is_stranger) && !led_to().any(serves)
    }

    fn check_move(&self, service: &str, hash: &str, lost: bool, report: &mut Report) {
        let set = self.cluster.sets.iter().find(|set| set.object.hash == hash);
        let Some(set) = set else {
            report.check(Predicate::ActiveFull, false, || {
                format!("Service {service} is moved to {hash}, which is no set")
            });
            return;
        };
        let (version, object) = (set.version, &set.object);
        let strays = self.ghost.home == Some(version) || self.ghost.of(version).by_hand;
        // Also where a person moved it, by a Service that carries production still.
        let carries = |service: &Service| service.hash() == Some(hash) && service.production.is_some();
        let served_here = self.ghost.of(version).uid == object.uid
            || self.cluster.first_active().is_some_and(|first| first.hash() == Some(hash))
            || self.cluster.services.values().any(|service| carries(service))
            || self.ghost.was_worker;
        // One that leads to pods of several revisions is better off with any of what serves.
        let lost = lost || self.cluster.services.get(service).is_some_and(|it| it.selection() == Selection::Unmanaged);
        // Nothing is lost where nothing serves: of what served, any pod is better than none.
        let left = self
            .cluster
            .services
            .get(service)
            .map_or(0, |it| self.cluster.ready_behind(&it.selector) - Cluster::ready_pods(&it.selector, set));
        let rescued = left == 0 && self.ghost.of(version).served && set.ready() > 0;
        // What leads there already only gets its mark.
        let selection = self.cluster.services.get(service).map(|service| service.selection());
        let marked = selection == Some(Selection::Revision(hash.to_owned()));
        // What the rollout before left behind is nobody's, and not seen: the Service carried this one, and leads elsewhere.
        let left_behind = self.cluster.services.get(service).is_some_and(|it| {
            let selected = self.cluster.sets.iter().find(|set| it.hash() == Some(&set.object.hash));
            it.production.as_deref() == Some(hash) && selected.is_some_and(|set| !set.owned) && set.ready() > 0
        });
        // What it lost it gets back, also without pods, where only what never served would have production, or nobody.
        let closes = self.cluster.services.get(service).is_some_and(|it| {
            let carried = it.production.as_deref() == Some(hash) && it.selection() == Selection::Unmanaged;
            self.ghost.home == Some(version) && carried && (left == 0 || self.lets_others_in(it))
        });
        let full = if rescued || marked || left_behind || closes || self.is_leaving_unseen(set) {
            true
        } else if (strays || served_here) && lost || strays && object.available > 0 {
            set.ready() > 0 || self.needed_home() == 0
        } else if object.replicas == 0 && self.needed_home() == 0 {
            true
        } else {
            let spec = [&self.cluster.rollout.spec, &self.seen.rollout.spec].map(|spec| spec.min_ready_seconds());
            let available = set.available(spec[0].min(spec[1]), self.cluster.now);
            // The additional pod of a restart is not waited for.
            let additional = i32::from(self.ghost.restarted);
            let available = i32::try_from(available).map_or(i32::MAX, |available| available + additional);
            let spared = self.ghost.is_spared(set, available, self.seen.fresh);
            let all = object.settled && (available >= object.replicas || spared);
            all && (version != self.cluster.version || object.replicas >= self.needed()) && !object.deleting
        };
        let answered = self.seen.answers.iter().any(|(name, full)| *name == object.name && *full);
        report.check(Predicate::ActiveFull, full || answered, || {
            let (available, replicas) = (object.available, object.replicas);
            format!(
                "Service {service} is moved to {version} with {available} of {replicas} pods, {} needed",
                self.needed()
            )
        });
        let labels = &adapter::facts(version).template.labels;
        let own = self.cluster.services[service].selector.iter();
        let mut own = own.filter(|(key, _)| ![names::HASH_LABEL, names::SERVING_LABEL].contains(&key.as_str()));
        let fits = own.all(|(key, value)| labels.get(key) == Some(value));
        report.check(Predicate::ActiveLabels, fits || closes, || {
            format!("Service {service} is moved to {version}, whose labels its own selector does not select")
        });
        // Where a person has moved it, it was that person who left.
        let by_person = marked && self.cluster.services.get(service).is_some_and(|it| it.moved_by.is_some());
        self.check_permission(version, by_person, report);
        // What a person has just moved to by hand is not ours to explain.
        let home = self.ghost.home.filter(|home| *home != version && !self.ghost.is_moved_to(version));
        let asked = version == self.cluster.version || Some(version) == self.seen.version;
        // Where no Service tells, a promotion that was carried out is in the record alone.
        let recorded = self.ghost.was_worker && self.ghost.of(version).promoted;
        if !asked && home.is_some() {
            // What carried production until a moment ago is better than what is gone.
            let lost = home.is_none_or(|home| self.cluster.set(home).is_none());
            let of = self.ghost.of(version);
            let served = of.served || of.by_hand || by_person || recorded || lost && of.went_live;
            report
                .check(Predicate::BackToServed, served, || format!("production goes to {version}, which never served"));
        }
        if let Some(home) = home {
            let alive = self.cluster.set(home).is_some_and(|set| set.owned && !set.object.deleting && set.ready() > 0);
            let forward = (asked || recorded) && self.ghost.permits(version, self.cluster, self.seen.version);
            if alive && !forward && !by_person {
                let cause =
                    self.ghost.has_cause(home, self.cluster) || self.ghost.is_still_on_record(version, self.cluster);
                report.check(Predicate::LeavesForReason, cause, || format!("production leaves {home} for {version}"));
            }
        }
        self.check_named(version, report);
    }

    /// An undo that named where to go leads there.
    fn check_named(&self, version: Version, report: &mut Report) {
        let (cluster, ghost) = (self.cluster, self.ghost);
        let leaves = |left: Version| ghost.home == Some(left) && version != left;
        let Some((left, to)) = ghost.sent.filter(|(left, _)| leaves(*left)) else { return };
        let is_there = ghost.can_return(to, cluster) && ghost.earlier(left).any(|earlier| earlier == to);
        let unclear = ghost.forged || ghost.was_lost || ghost.was_worker || ghost.hand.is_some();
        if is_there && !unclear && self.seen.fresh && ghost.goes_back(version, cluster) {
            report.check(Predicate::UndoNamed, version == to, || {
                format!("production leaves {left} for {version}, and was sent to {to}")
            });
        }
    }

    /// `by_person`: a person leads there already, and it only gets its mark.
    fn check_permission(&self, version: Version, by_person: bool, report: &mut Report) {
        let home = self.ghost.home == Some(version);
        let revision = self.ghost.of(version);
        let back = revision.given_up && self.ghost.home.is_none_or(|home| self.ghost.has_cause(home, self.cluster));
        report.check(Predicate::RejectedStays, home || back || revision.rejected != Verdict::Yes, || {
            format!("{version} was rejected and goes live")
        });
        if self.ghost.home.is_some() {
            report.check(Predicate::HandIsDecision, home || !revision.left_by_hand, || {
                format!("a person moved production away from {version} by hand, and it comes back")
            });
        }
        if self.ghost.begun {
            // What has no pods is with nobody.
            let empty = self.cluster.rollout.spec.replicas() == 0;
            let permitted = empty || by_person || self.ghost.permits(version, self.cluster, self.seen.version);
            let predicate = if self.ghost.lost { Predicate::LossOpensNothing } else { Predicate::GateHolds };
            report.check(predicate, permitted, || format!("{version} goes live: {revision:?}"));
            self.check_analysis(version, report);
            self.check_paused(version, report);
            self.check_people(version, report);
            self.check_timer(version, report);
        }
    }

    /// What nobody promoted goes live by a timer when that is over.
    fn check_timer(&self, version: Version, report: &mut Report) {
        let seconds = |rollout: &Rollout| rollout.spec.blue_green().auto_promotion_seconds.unwrap_or(0);
        let least = seconds(&self.cluster.rollout).min(seconds(&self.seen.rollout));
        let revision = self.ghost.of(version);
        let forward = self.ghost.home.is_some_and(|home| {
            home != version && self.cluster.stays(home) && !self.ghost.has_cause(home, self.cluster)
        });
        let otherwise = revision.promoted || revision.returned || revision.by_hand || revision.approvals > 0;
        let muddled = revision.rejected == Verdict::Either || self.ghost.is_moved_to(version) || self.ghost.was_lost;
        // Where nothing serves nobody waits for a preview.
        let muddled = muddled || self.ghost.second;
        if least == 0 || !forward || otherwise || muddled || !self.seen.fresh || self.ghost.retimed {
            return;
        }
        let due = revision.shown_since.map(|since| since + SignedDuration::from_secs(i64::from(least) - 5));
        report.check(Predicate::TimerHolds, due.is_some_and(|due| due <= self.cluster.now), || {
            format!("{version}, shown since {:?}, goes live by a timer of {least} s", revision.shown_since)
        });
    }

    /// `paused` holds back every promotion, and no way back.
    fn check_paused(&self, version: Version, report: &mut Report) {
        let paused = |rollout: &Rollout| rollout.spec.paused == Some(true);
        let forward = self.ghost.home.is_some_and(|home| {
            home != version && self.cluster.stays(home) && !self.ghost.has_cause(home, self.cluster)
        });
        let asked = version == self.cluster.version && self.ghost.hand.is_none();
        if forward && asked && paused(&self.cluster.rollout) && paused(&self.seen.rollout) && self.seen.fresh {
            report.check(Predicate::GateHolds, false, || format!("{version} goes live although the rollout is paused"));
        }
    }

    /// What nobody has promoted does not go live where people are asked by now, also if nobody was when the spec came to ask for it.
    fn check_people(&self, version: Version, report: &mut Report) {
        let (cluster, ghost, revision) = (self.cluster, self.ghost, self.ghost.of(version));
        let asks = |rollout: &Rollout| rollout.spec.blue_green().awaits_people();
        let forward = ghost.home.is_some_and(|home| {
            let is_sure = ghost.of(home).known && ghost.of(home).rejected == Verdict::No;
            home != version && is_sure && cluster.stays(home) && !ghost.has_cause(home, cluster)
        });
        let is_asked_for = version == cluster.version && Some(version) == self.seen.version;
        let is_told =
            ghost.told_by(cluster) == Told::ByService && !ghost.was_worker && !ghost.was_lost && !ghost.second;
        let is_clear = is_told && !ghost.forged && revision.rejected == Verdict::No && self.seen.fresh;
        let by_hand = ghost.hand.is_some() || revision.by_hand;
        // What production lost comes back when it is made anew.
        let has_been = revision.went_live || !revision.uid.is_empty();
        let is_anew = has_been && cluster.set(version).is_none_or(|set| set.object.uid != revision.uid);
        let by_people = revision.promoted || revision.approvals > 0 || revision.assured_at.is_some();
        let otherwise = by_people || revision.windowed || by_hand || is_anew;
        if forward && is_asked_for && is_clear && !otherwise && asks(&cluster.rollout) && asks(&self.seen.rollout) {
            report.check(Predicate::GateHolds, false, || {
                format!("{version} goes live, people are asked by now, and none has promoted it: {revision:?}")
            });
        }
    }

    fn check_analysis(&self, version: Version, report: &mut Report) {
        let wants = |rollout: &Rollout| rollout.spec.blue_green().pre_promotion_analysis.is_some();
        let revision = self.ghost.of(version);
        let forward = self.ghost.told_by(self.cluster) != Told::ByNobody
            && self.ghost.home.is_some_and(|home| home != version && self.cluster.stays(home));
        let back = revision.served && self.ghost.home.is_some_and(|home| self.ghost.has_cause(home, self.cluster));
        let by_hand = revision.by_hand || self.ghost.is_moved_to(version);
        let muddled = revision.rejected == Verdict::Either;
        let needed = !muddled && forward && !back && !revision.returned && !revision.full && !by_hand;
        if needed && wants(&self.cluster.rollout) && wants(&self.seen.rollout) {
            // With the status it may be forgotten that it was rejected since its analysis was good.
            let is_good = |run: &Run| {
                let of = adapter::version_of_named(&run.name) == Some(version) && run.name.ends_with("-pre");
                of && run.phase == AnalysisPhase::Successful
            };
            let once = self.ghost.was_lost && self.cluster.runs.iter().any(is_good);
            report.check(Predicate::AnalysisHolds, revision.passed || revision.promoted || once, || {
                format!("{version} goes live without its analysis: {revision:?}")
            });
        }
    }

    fn check_letting_go(&self, [before, after]: [&Arc<Service>; 2], report: &mut Report) {
        let worker = self.cluster.rollout.spec.blue_green().active_service.is_none();
        if worker || self.cluster.rollout.is_deleting() && self.cluster.deletion != Some(Deletion::Orphan) {
            return;
        }
        // Of what was left behind, and no Service of ours shows, nothing tells.
        let shown = |set: &SetTruth| {
            let shows =
                |service: &Arc<Service>| service.managed_by.is_some() && service.hash() == Some(&set.object.hash);
            self.cluster.services.values().any(shows)
        };
        let opened = self.cluster.sets.iter().find(|set| {
            let is_known = set.owned || shown(set);
            let permitted = match self.cluster.deletion {
                None => self.ghost.permits(set.version, self.cluster, self.seen.version),
                Some(_) => self.ghost.home == Some(set.version),
            };
            let opens = Cluster::selects(&after.selector, set) && !Cluster::selects(&before.selector, set);
            opens && set.ready() > 0 && is_known && !permitted
        });
        report.check(Predicate::LettingGo, opened.is_none(), || {
            format!("the rollout goes, its sets stay, and production serves {:?} too", opened.map(|set| set.version))
        });
    }

    fn check_change(&self, name: &str, change: &Change, report: &mut Report) {
        let Some(set) = self.cluster.named(name) else { return };
        let marked = change.annotations.get(names::SCALE_DOWN_AT).is_some_and(Option::is_some)
            || change.finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == names::SCALE_DOWN_FINALIZER));
        if marked && !set.object.is_retired() {
            let reached = self.seen.reached[usize::from(set.version.0)] && is_reached(self.cluster, set.version);
            // Where a person has pointed production at nothing, nothing that it leads to still is kept for it.
            let nowhere = self.cluster.first_active().is_some_and(|it| {
                it.hash().is_some_and(|hash| !self.cluster.sets.iter().any(|set| set.object.hash == hash))
            });
            // What never served has the delay, where nothing can be proven.
            let deadline = change.annotations.get(names::SCALE_DOWN_AT).and_then(|at| at.as_ref()?.parse().ok());
            let later = deadline.is_some_and(|at: jiff::Timestamp| at > self.cluster.now);
            let unserved = (later || !self.ghost.begun) && !self.ghost.of(set.version).served;
            let muddled = self.ghost.of(set.version).rejected == Verdict::Either;
            let reached = reached && !nowhere && !unserved && !muddled && !self.ghost.forged;
            report.check(Predicate::RetiredUnreached, !(reached && self.seen.fresh), || {
                format!("{} is retired, and production reaches it", set.version)
            });
        }
        self.check_pods(set, change, self.needed_home(), report);
        self.check_kept(set, change, report);
        self.check_way_back(set, change, report);
    }

    /// What waits for its promotion, and production may still go back to, keeps as many pods as production has: inside its delay, and while what
    /// serves is being analysed.
    fn check_kept(&self, set: &SetTruth, change: &Change, report: &mut Report) {
        let (cluster, ghost, version) = (self.cluster, self.ghost, set.version);
        let Some(replicas) = change.replicas.filter(|replicas| *replicas < set.object.replicas) else { return };
        let Some(home) = ghost.home.filter(|home| *home != version && cluster.production() == Some(*home)) else {
            return;
        };
        let Some(size) = ghost.size else { return };
        let revision = ghost.of(version);
        let is_promoted = revision.promoted || revision.full || revision.auto || revision.returned || revision.by_hand;
        let is_sure = revision.served && revision.rejected == Verdict::No && !revision.failed;
        let unclear = ghost.forged || ghost.was_lost || ghost.was_worker || ghost.retimed || ghost.hand.is_some();
        // Another operator may be about to write what it planned before.
        let is_current = self.seen.fresh && self.seen.rollout.resource_version == cluster.rollout.resource_version;
        let stays = set.owned && !set.object.deleting && revision.uid == set.object.uid;
        if is_promoted || !is_sure || unclear || !is_current || !stays || ghost.has_cause(home, cluster) {
            return;
        }
        let delay = SignedDuration::from_secs(i64::from(cluster.rollout.spec.blue_green().scale_down_delay_seconds()));
        // An operator's clock may be some seconds ahead.
        let until = revision.left_at.map(|left_at| left_at + delay - SignedDuration::from_secs(5));
        let is_of_home = |run: &Run| adapter::version_of_named(&run.name) == Some(home) && run.name.ends_with("-post");
        let is_open = |run: &Run| is_of_home(run) && !run.phase.is_completed() && !run.terminating;
        // Who keeps it in full ends its analysis.
        let is_analysed = !ghost.of(home).full && cluster.runs.iter().any(is_open);
        let is_refuge = ghost.earlier(home).find(|earlier| ghost.can_return(*earlier, cluster)) == Some(version);
        let is_kept = until.is_some_and(|until| cluster.now < until) || is_analysed && is_refuge;
        if is_kept && revision.known {
            report.check(Predicate::DelayKept, replicas >= size, || {
                format!("{version} goes to {replicas} pods, and production, which has {size}, may go back to it")
            });
        }
    }

    /// What production goes back to does not wait for longer than it did when it served.
    fn check_way_back(&self, set: &SetTruth, change: &Change, report: &mut Report) {
        let (cluster, ghost, version) = (self.cluster, self.ghost, set.version);
        let is_left = |home: Version| cluster.production() == Some(home) && ghost.has_cause(home, cluster);
        let goes_back = ghost.home.is_some_and(|home| home != version && is_left(home));
        let is_asked_for =
            version == cluster.version || Some(version) == self.seen.version || cluster.has_no_template();
        let is_told = ghost.told_by(cluster) == Told::ByService && !ghost.was_worker && !ghost.was_lost;
        let muddled = ghost.forged || ghost.hand.is_some() || ghost.of(version).rejected == Verdict::Either;
        // Another operator may be about to write what it planned before.
        let is_current = self.seen.rollout.resource_version == cluster.rollout.resource_version && self.seen.fresh;
        let is_claimed = change.annotations.get(names::PROMOTED_AT).is_some_and(Option::is_some);
        let begins = is_claimed || change.min_ready_seconds.is_some();
        if goes_back && begins && !is_asked_for && is_told && !muddled && is_current {
            let (before, after) = (set.object.min_ready_seconds, change.min_ready_seconds);
            report.check(Predicate::BackAtOnce, after.is_none_or(|after| after <= before), || {
                format!("production goes back to {version}, which gets minReadySeconds {after:?} instead of {before}")
            });
        }
    }

    /// A change of size does not take the last pod from production, nor, at the end of a restart, one for another that was evicted.
    fn check_pods(&self, set: &SetTruth, change: &Change, needed: i32, report: &mut Report) {
        let Some(replicas) = change.replicas.filter(|replicas| *replicas < set.object.replicas) else { return };
        let left = self.after.named(&set.object.name).map_or(0, |smaller| smaller.ready());
        let lost = set.ready().saturating_sub(left);
        let enough = usize::try_from(replicas.min(needed)).unwrap_or(0).min(set.ready());
        if self.ghost.home == Some(set.version) {
            report.check(Predicate::RestartFull, left >= enough, || {
                format!(
                    "{} goes to {replicas} pods, and {left} of {enough} are left, since not every eviction is seen",
                    set.version
                )
            });
        }
        for service in self.cluster.active_services().filter(|service| Cluster::selects(&service.selector, set)) {
            let before = self.cluster.ready_behind(&service.selector);
            if before > 0 && needed > 0 && self.is_active(&service.name) {
                report.check(Predicate::NotEmptied, before > lost, || {
                    format!("Service {} loses its last ready pods: {} goes to {replicas}", service.name, set.version)
                });
            }
        }
    }

    fn check_second_analysis(&self, name: &str, report: &mut Report) {
        let Some(version) = self.cluster.named(name).map(|set| set.version) else { return };
        let revision = self.ghost.of(version);
        if self.ghost.home == Some(version) && self.seen.fresh && !self.ghost.was_lost && self.ghost.hand.is_none() {
            let same = self.cluster.named(name).is_some_and(|set| set.object.uid == revision.uid);
            report.check(Predicate::AnalysedOnce, !revision.found_good || !same, || {
                format!("{version} serves and was found good, and is analysed again")
            });
        }
    }

    /// What is on record as scaled to nothing is not measured.
    fn check_measured(&self, report: &mut Report) {
        let is_empty = |rollout: &Rollout| {
            let recorded = rollout.record().is_some_and(|record| record.replicas == 0);
            recorded && rollout.spec.replicas() == 0
        };
        let nothing = is_empty(&self.cluster.rollout) && is_empty(&self.seen.rollout);
        report.check(Predicate::AnalysisHolds, !nothing, || "an analysis begins, and there are no pods".to_owned());
    }

    /// What is measured by the preview Service is what it is to show, as far as this operator can see. Where production is down nobody waits for that.
    fn check_shown(&self, name: &str, report: &mut Report) {
        let (cluster, ghost) = (self.cluster, self.ghost);
        let Some(set) = cluster.named(name) else { return };
        let Some(preview) = &cluster.rollout.spec.blue_green().preview_service else { return };
        let is_selected = cluster.services.get(preview).is_some_and(|it| it.hash() == Some(&set.object.hash));
        let ours = cluster.first_active().is_some_and(|first| !cluster.is_foreign(first));
        let home = ghost.home.filter(|_| ghost.told_by(cluster) == Told::ByService);
        let is_up = home
            .and_then(|home| cluster.set(home))
            .is_some_and(|home| home.owned && !home.drains() && home.ready() > 0);
        let serves = is_up && cluster.production() == ghost.home && ours;
        let is_current = self.seen.fresh && self.seen.rollout.resource_version == cluster.rollout.resource_version;
        if is_selected && serves && is_current && !ghost.was_lost && !ghost.forged {
            let is_other = |entry: &&Entry| entry.ready && entry.version != Some(set.version);
            let others = cluster.entries(preview).filter(is_other).count();
            report.check(Predicate::AnalysisHolds, others == 0, || {
                format!("{} is measured by Service {preview}, which leads to {others} other pods", set.version)
            });
        }
    }

    fn check_delete(&self, name: &str, report: &mut Report) {
        let Some(set) = self.cluster.named(name) else { return };
        let empty = set.object.replicas == 0 && set.pods.is_empty();
        report.check(Predicate::SetWithPods, empty, || format!("{} is deleted with its pods", set.version));
        if !self.seen.fresh {
            return;
        }
        let (ghost, version) = (self.ghost, set.version);
        let revision = ghost.of(version);
        let muddled = Version::all().any(|version| ghost.of(version).rejected == Verdict::Either);
        if !revision.served
            || muddled
            || ghost.was_lost
            || revision.rejected != Verdict::No
            || !revision.known
            || revision.uid != set.object.uid
            || revision.left_by_hand
            || revision.failed
        {
            return;
        }
        let exists = |other: &Version| self.cluster.set(*other).is_some_and(|set| set.owned && !set.object.deleting);
        let last = ghost.home.and_then(|home| ghost.earlier(home).find(exists)) == Some(version);
        let kept = self.cluster.sets.iter().filter(|other| !self.seen.pruned.contains(&other.object.name));
        let unserved = kept.into_iter().find(|other| {
            let unused = Some(other.version) != ghost.home && Some(other.version) != self.seen.version;
            let idle = other.object.replicas == 0 && other.pods.is_empty() && other.object.settled;
            unused && idle && !other.object.is_retired() && !ghost.of(other.version).served && other.version != version
        });
        let unserved = if self.seen.rollout.spec.revision_history_limit() > 0 { unserved } else { None };
        report.check(Predicate::HistoryServed, !last && unserved.is_none(), || match unserved {
            Some(unserved) => format!("{version} served and is pruned before {}", unserved.version),
            None => format!("{version}, the last that served, is pruned"),
        });
    }
}

/// Checks a write of the scale-down controller. `reached`: production reached the set when the controller looked.
pub fn check_scale_down(
    (cluster, ghost): (&Cluster, &Ghost),
    set: &SetTruth,
    change: &Change,
    reached: bool,
    report: &mut Report,
) {
    let shrinks = change.replicas.is_some_and(|replicas| replicas < set.object.replicas);
    let blue_green = cluster.rollout.spec.blue_green();
    let revision = ghost.of(set.version);
    // What is tried again is nothing to go back to.
    let is_promised = revision.served && revision.rejected == Verdict::No;
    // Others that served may have ended its delay.
    let others = || Version::all().filter(|other| Some(*other) != ghost.home && *other != set.version);
    let served = || others().filter(|other| ghost.of(*other).served || ghost.of(*other).left_at.is_some()).count();
    let limit = blue_green.scale_down_delay_revision_limit.and_then(|limit| usize::try_from(limit).ok());
    let cut = limit.is_some_and(|limit| served() >= limit) || blue_green.retired_replica_count.is_some();
    let is_another = revision.uid != set.object.uid;
    let unclear =
        cut || is_another || ghost.forged || ghost.was_lost || ghost.retimed || set.object.deleting || !set.owned;
    let is_gone = cluster.rollout.is_deleting() || cluster.gone;
    let is_kept = shrinks && !unclear && !is_gone && is_promised;
    if is_kept && let Some(left_at) = revision.left_at {
        let until = left_at + SignedDuration::from_secs(i64::from(blue_green.scale_down_delay_seconds()));
        report.check(Predicate::DelayKept, cluster.now >= until, || {
            format!("{}, which production left at {left_at}, loses its pods at {}", set.version, cluster.now)
        });
    }
    let lets_go = change.finalizers.is_some() && set.object.deleting;
    if (shrinks || lets_go) && !cluster.rollout.is_deleting() && !cluster.gone && set.owned {
        let still = reaches(cluster, set);
        report.check(Predicate::ScaledUnreached, !(reached && still), || {
            format!("the pods of {} are taken away, and production reaches them", set.version)
        });
    }
}

/// Production selects the set: by its hash, as one of two that serve for a while, or because it selects everything and this is
/// all there is. Other endpoints were gone when the set was retired.
pub fn reaches(cluster: &Cluster, set: &SetTruth) -> bool {
    let reached = |service: &Service| match service.selection() {
        Selection::Revision(hash) => hash == set.object.hash && service.missing_labels(&set.object).is_empty(),
        Selection::Both(_) => set.object.pod_labels.contains_key(names::SERVING_LABEL),
        Selection::Nothing => false,
        Selection::Unmanaged => {
            let selects = Cluster::selects(&service.selector, set);
            selects && cluster.rollout.spec.replicas() > 0 && cluster.ready_behind(&service.selector) <= set.ready()
        }
    };
    set.ready() > 0 && cluster.active_services().any(reached)
}

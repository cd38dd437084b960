//! What really was decided, kept beside the cluster and never read from the core's own notes: who asked for what, what
//! served, what was rejected. The only words of the operator that count here are those that it says to the world: the answer
//! to a request, and that a revision is rejected or proven.

use std::sync::Arc;

use greenlight_api::{AnalysisPhase, BlueGreenRolloutSpec, BlueGreenRolloutStatus, Phase, Progress, Switch, names};
use jiff::{SignedDuration, Timestamp};

use crate::adapter::{self, RETURN_LIFTS_REJECTION};
use crate::cluster::{Cluster, SetTruth};
use crate::event::{Name, Person, Refused, Verb, Version};
use crate::operator::Seen;
use crate::predicate::{Predicate, Report};
use greenlight_core::world::{ReplicaSet, Rollout, Selection, Service};

/// Whether something is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// No.
    #[default]
    No,
    /// Both would be right.
    Either,
    /// Yes.
    Yes,
}

/// Who can tell with which revision production is. A Service that was only just named active, or made anew, leads somewhere, and that
/// says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The first active Service, which has carried production; or the spec names none.
    ByService,
    /// The record alone: production was moved before this Service was there.
    ByRecord,
    /// Nobody: nothing was ever moved, and what the Service leads to was a preview.
    ByNobody,
}

/// What is known of one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revision {
    /// Who asked for its promotion since its latest attempt; a bit a person.
    pub approvals: u8,
    /// Enough people did.
    pub promoted: bool,
    /// One of them wants neither gate nor analysis.
    pub full: bool,
    /// The spec let it go live by itself.
    pub auto: bool,
    /// The spec came back to it while it was still up.
    pub returned: bool,
    /// It did so within the rollback window, or nobody knows whether it did: then nobody has to promote it, whoever is asked by now.
    pub windowed: bool,
    /// A person moved production to it.
    pub by_hand: bool,
    /// Production was moved to it in this attempt.
    pub went_live: bool,
    /// It provably served.
    pub served: bool,
    /// The UID of the ReplicaSet in which it did.
    pub uid: String,
    /// The operator said so, and can still know it.
    pub known: bool,
    /// Nobody knows whether the requests for it were heard.
    pub doubtful: bool,
    /// When the operator said last that it promotes it, where one person is enough, and nothing has happened since that takes that back.
    pub assured_at: Option<Timestamp>,
    /// It was rejected.
    pub rejected: Verdict,
    /// The operator gave it up when it was to serve again: production may only go back to it.
    pub given_up: bool,
    /// An undo of it was asked for.
    pub undo_asked: bool,
    /// A person moved production away from it.
    pub left_by_hand: bool,
    /// An analysis of it failed.
    pub failed: bool,
    /// Its analysis after the switch ended well.
    pub ended_good: bool,
    /// The operator saw that.
    pub found_good: bool,
    /// Its analysis before the promotion was good.
    pub passed: bool,
    /// Since when it serves without a ready pod.
    pub out_since: Option<Timestamp>,
    /// When production last left it, provably served.
    pub left_at: Option<Timestamp>,
    /// With how many pods it served, at least and at most, where that is clear.
    pub served_with: Option<(i32, i32)>,
    /// Since when people can look at it in this attempt.
    pub shown_since: Option<Timestamp>,
    /// The preview Service has led elsewhere while its analysis is under way: if an operator saw that, another one is made.
    pub strayed: bool,
    /// One of its sets was made beside another that was going, under another hash than the first.
    pub renamed: bool,
    /// When its set was last made or scaled: which, to how many pods, and when.
    pub sized: Option<(String, i32, Timestamp)>,
    /// It was rejected, and a status from before that was written back: the operator may know of it still, or not.
    pub forgotten: bool,
    /// A retry of it was accepted, it has not gone live since, and nothing has happened that may have made something else of that.
    pub retried: bool,
}

impl Revision {
    /// It has to earn everything again.
    fn close(&mut self) {
        self.approvals = 0;
        (self.promoted, self.full, self.auto, self.returned, self.by_hand) = (false, false, false, false, false);
        (self.doubtful, self.assured_at, self.windowed, self.retried) = (false, None, false, false);
    }

    /// Nobody knows any more whether what was asked for it was heard, and still counts.
    fn doubt(&mut self) {
        (self.doubtful, self.assured_at, self.retried) = (true, None, false);
    }

    /// A new attempt.
    fn start_over(&mut self) {
        self.close();
        (self.undo_asked, self.left_by_hand, self.failed, self.passed) = (false, false, false, false);
        self.given_up = false;
        self.went_live = false;
        self.shown_since = None;
        // What was started over is nothing to go back to until it has served again.
        (self.served, self.known, self.ended_good, self.found_good) = (false, false, false, false);
        self.served_with = None;
    }

    /// A new attempt. What was given up is still something to go back to.
    fn try_again(&mut self) {
        let served = (self.served, self.known);
        let given_up = self.given_up;
        self.start_over();
        if given_up {
            (self.served, self.known) = served;
        }
    }

    /// It is nothing to go to, until it is started over.
    pub fn is_barred(&self) -> bool {
        self.rejected == Verdict::Yes && !self.given_up
    }

    /// With so many pods production is with it now.
    fn serves_with(&mut self, size: Option<i32>) {
        let of_size = |size: i32| match self.served_with {
            Some((least, most)) => Some((least.min(size), most.max(size))),
            None => (!self.served).then_some((size, size)),
        };
        self.served_with = size.and_then(of_size);
    }

    /// Production leaves it, and has so many pods.
    fn is_left_with(&mut self, size: Option<i32>) {
        self.served_with = self.served_with.zip(size).map(|((least, _), size)| (least.min(size), size));
    }

    /// A status of a time when this was known of it is written back. `is_told`: the Services show that production left it since.
    fn restore(&mut self, then: &Revision, is_told: bool) {
        self.approvals |= then.approvals;
        self.promoted |= then.promoted;
        self.full |= then.full;
        self.auto |= then.auto;
        self.returned |= then.returned;
        self.by_hand |= then.by_hand;
        self.passed |= then.passed;
        self.doubt();
        self.served_with = None;
        self.known &= then.known && then.uid == self.uid;
        self.left_by_hand &= then.left_by_hand || is_told;
        self.rejected = match (then.rejected, self.rejected) {
            (Verdict::No, Verdict::Yes) if is_told => Verdict::Yes,
            (Verdict::No, Verdict::Yes) => {
                self.forgotten = true;
                Verdict::No
            }
            (then, now) if then == now => now,
            _ => Verdict::Either,
        };
    }

    fn reject(&mut self) {
        self.close();
        self.forgotten = false;
        self.passed = false;
        self.given_up = false;
        self.rejected = Verdict::Yes;
    }
}

/// The request that stands in the register.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTruth {
    /// What is asked for.
    pub verb: Verb,
    /// Of which revision; for a bare verb, once that is clear.
    pub version: Option<Version>,
    /// For a bare verb, those that it can be meant for.
    pub meant: Vec<Version>,
    /// Who asks.
    pub by: Option<Person>,
    /// The register's value.
    pub value: String,
    /// Where to go back to.
    pub to: Option<Version>,
    /// Whether it was answered, and how.
    pub answer: Option<bool>,
    /// Its revision was rejected before.
    pub was_rejected: Verdict,
}

/// What is being waited for at rest.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Slow {
    /// What is to come up.
    pub version: Version,
    /// The UID of its set.
    pub uid: String,
    /// Its available and its ready pods.
    pub up: i32,
    /// So many are to come up.
    pub replicas: i32,
    /// Where production was to be meanwhile. While it was on its way elsewhere nobody looked at what waits: the time of that begins anew.
    pub home: Option<Version>,
}

/// The ground truth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ghost {
    revisions: [Revision; 8],
    /// What served, as far as the operator can know it, in order; the last one last.
    pub order: Vec<Version>,
    /// What production was last moved to, by us or by hand.
    pub home: Option<Version>,
    /// A person moved this Service, which carried production, to this revision, and the operator has not seen it yet.
    pub hand: Option<(Name, Version)>,
    /// The active Services that the operator knows of.
    pub active_services: Vec<String>,
    /// There was no active Service once, so nobody but the operator knows what serves.
    pub was_worker: bool,
    /// Another rollout had our Service before anything of ours was live.
    pub second: bool,
    /// A person wants pods older than this to be replaced.
    pub restart_at: Option<Timestamp>,
    /// What is being waited for at rest, and since when.
    pub slow: Option<(Slow, Timestamp)>,
    /// Something has been live.
    pub begun: bool,
    /// The request in the register.
    pub request: Option<RequestTruth>,
    /// How many pods production is to have, where that is clear.
    pub size: Option<i32>,
    /// The spec asks for another template, or another scale, than the operator has written down.
    pub unseen: (bool, bool),
    /// The status was lost, and nothing was proven since.
    pub lost: bool,
    /// The status was lost once.
    pub was_lost: bool,
    /// Pods were to be replaced.
    pub restarted: bool,
    /// The spec changed a time that counts from something that has been.
    pub retimed: bool,
    /// Since when an operator that hears everything knows that this one has lost all its pods.
    pub outage: Option<(Version, Timestamp, bool)>,
    /// The revision that has production, once the status has said that it has pods.
    pub said_up: Option<Version>,
    /// A tenant forged the digest of a ReplicaSet.
    pub forged: bool,
    /// There was no room for more pods once.
    pub crowded: bool,
    /// Answers that were given, by value.
    pub refused: Vec<String>,
    /// An undo of the first was accepted that names the second, and nothing has happened since that may send production elsewhere.
    pub sent: Option<(Version, Version)>,
}

impl Ghost {
    /// What is known of a revision.
    pub fn of(&self, version: Version) -> &Revision {
        &self.revisions[usize::from(version.0)]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, version: Version) -> &mut Revision {
        &mut self.revisions[usize::from(version.0)]
    }

    /// The earlier revisions that served and were not rejected, the last one first.
    pub fn earlier(&self, than: Version) -> impl Iterator<Item = Version> {
        let good = move |version: &Version| {
            let revision = self.of(*version);
            *version != than && revision.rejected == Verdict::No && !revision.left_by_hand && !revision.failed
        };
        self.order.iter().rev().copied().filter(good)
    }

    /// Whether the operator can know that a revision served, and it is still there.
    pub fn can_return(&self, version: Version, cluster: &Cluster) -> bool {
        let revision = self.of(version);
        let same = |set: &Arc<SetTruth>| set.owned && !set.object.deleting && set.object.uid == revision.uid;
        let labels = cluster.pod_labels(version);
        let fits = cluster.active_services().all(|service| {
            service.own_selector().all(|(key, value)| labels.get(key).is_some_and(|label| label == value))
        });
        revision.known && fits && cluster.set(version).is_some_and(same)
    }

    /// Of so many pods at least it is clear that it served with them.
    fn least(&self, version: Version) -> i32 {
        self.of(version).served_with.map_or(1, |(least, _)| least.max(1))
    }

    /// All pods of this set are available; or where there is no room for all, those that have room, and as many as it served with.
    pub fn is_full(&self, set: &SetTruth) -> bool {
        let available = set.object.available;
        set.object.settled && (available >= set.object.replicas || self.is_spared(set, available, true))
    }

    /// Of what served before no more pods are waited for than these, since there is no room for the others. Who does not hear of the pods
    /// may not know yet that there is.
    pub fn is_spared(&self, set: &SetTruth, available: i32, hears: bool) -> bool {
        let with_room = || i32::try_from(set.on_nodes()).is_ok_and(|with_room| available >= with_room);
        let lacks_room = set.lacks_room() && with_room() || self.crowded && !hears;
        lacks_room && self.of(set.version).served && available >= self.least(set.version)
    }

    /// It surely has the pods that production needs of it: all; or where there is no room for all, those that have room, and as many as it
    /// may have served with.
    pub fn has_enough(&self, version: Version, cluster: &Cluster) -> bool {
        // What was left with none is to have as many as what it takes over from.
        let serving = self.home.and_then(|home| cluster.set(home)).map_or(0, |set| set.object.available);
        let most = self.of(version).served_with.map(|(_, most)| if most == 0 { serving } else { most });
        cluster.set(version).is_some_and(|set| {
            let enough = |most: i32| set.object.available >= most && self.is_full(set);
            !set.lacks_room() || most.is_some_and(enough)
        })
    }

    /// Whether there is a reason to leave this revision.
    pub fn has_cause(&self, version: Version, cluster: &Cluster) -> bool {
        let revision = self.of(version);
        let out = cluster.rollout.spec.blue_green().auto_rollback.as_ref().zip(revision.out_since);
        let out = out.is_some_and(|(auto, since)| {
            cluster.now >= since + SignedDuration::from_secs(i64::from(auto.unavailable_seconds) - 10)
        });
        revision.rejected != Verdict::No || revision.undo_asked || revision.left_by_hand || revision.failed || out
    }

    /// Whether a revision has had the time that is tolerated to make progress. An operator's clock may be some seconds ahead.
    fn had_its_time(&self, version: Version, cluster: &Cluster) -> bool {
        let spec = &cluster.rollout.spec;
        let deadline = SignedDuration::from_secs(i64::from(spec.progress_deadline_seconds()) - 4);
        let since = self.of(version).sized.as_ref().map(|(_, _, since)| *since);
        spec.progress_deadline_abort == Some(true) && since.is_some_and(|since| cluster.now >= since + deadline)
    }

    /// Whether moving this Service moves production: it is the first active one, or was until the spec named one of which the
    /// operator does not know yet.
    pub fn tells_production(&self, name: Name, cluster: &Cluster) -> bool {
        let carries = |service: &Service| service.production.is_some() || self.active_services.contains(&service.name);
        let named = cluster.rollout.spec.blue_green().active_service.as_deref() == Some(name.word());
        let carried = cluster.services.get(name.word()).is_some_and(|service| service.production.is_some());
        named || carried && !cluster.first_active().is_some_and(carries)
    }

    /// Somebody scaled a ReplicaSet: that gives it no more time.
    pub fn on_scale_by_hand(&mut self, version: Version, count: u8) {
        if let Some((_, replicas, _)) = &mut self.of_mut(version).sized {
            *replicas = count.into();
        }
    }

    /// A person moved production to this revision, and the operator has not seen it yet.
    pub fn is_moved_to(&self, version: Version) -> bool {
        self.hand.is_some_and(|(_, to)| to == version)
    }

    /// An operator that hears everything has come to rest.
    pub fn on_rest(&mut self, cluster: &Cluster, report: &mut Report) {
        self.check_outage(cluster, report);
        self.check_lost_hash(cluster, report);
        self.check_late_proof(cluster, report);
        let told = cluster.rollout.status.as_ref().and_then(|status| status.progress.as_ref());
        let set = cluster.set(cluster.version).filter(|set| set.owned && !set.object.deleting);
        let waits = self.home.is_some_and(|home| home != cluster.version && cluster.production() == Some(home));
        // Words and counts are told at most every few seconds: an operator that sleeps until then has told nothing.
        let is_told = |object: &ReplicaSet| {
            told.is_some_and(|told| told.revision == object.hash && told.available_replicas == object.available)
        };
        let lacks = |object: &ReplicaSet| object.replicas > 0 && object.available < object.replicas;
        let Some(set) = set.filter(|set| waits && lacks(&set.object) && is_told(&set.object)) else {
            self.slow = None;
            return;
        };
        let (version, object) = (set.version, &set.object);
        // Pods that are ready and wait for minReadySeconds are progress, too.
        let (up, replicas) = (object.available + object.ready, object.replicas);
        let slow = Slow { version, uid: object.uid.clone(), up, replicas, home: self.home };
        let same = self.slow.take().filter(|(before, _)| *before == slow);
        let since = same.map_or(cluster.now, |(_, since)| since);
        self.slow = Some((slow, since));
        let deadline = SignedDuration::from_secs(i64::from(cluster.rollout.spec.progress_deadline_seconds()) + 3);
        let status = cluster.rollout.status.as_ref();
        let degraded = status.is_some_and(|status| status.phase == Phase::Degraded);
        let preview = cluster.rollout.spec.blue_green().preview_replica_count.is_some();
        if cluster.now >= since + deadline && !preview && self.of(version).rejected == Verdict::No && !self.restarted {
            report.check(Predicate::DeadlineTold, degraded, || {
                format!("{version} has had {up} of {replicas} pods since {since}, and nobody says so")
            });
        }
    }

    /// A proof that the status says it waits for does not come: when the deadline is over that is told.
    fn check_late_proof(&self, cluster: &Cluster, report: &mut Report) {
        let Some(status) = &cluster.rollout.status else { return };
        let home = self.home.filter(|home| cluster.production() == Some(*home));
        let Some(set) = home.and_then(|home| cluster.set(home)).filter(|set| set.owned && !set.object.deleting) else {
            return;
        };
        let object = &set.object;
        let is_unproven = |switch: &Switch| switch.to == object.hash && switch.proven_at.is_none();
        let is_current = |told: &&Progress| told.revision == object.hash && told.available_replicas == object.available;
        let Some(told) = status.progress.as_ref().filter(is_current) else { return };
        let overlapping = cluster.services.values().any(|service| service.is_overlapping());
        let has_all = object.settled && object.available == object.replicas;
        if status.switch.as_ref().is_some_and(is_unproven) && has_all && !overlapping && !self.restarted {
            let deadline = SignedDuration::from_secs(i64::from(cluster.rollout.spec.progress_deadline_seconds()) + 3);
            let is_late = cluster.now >= told.since + deadline;
            report.check(Predicate::DeadlineTold, !is_late || status.phase == Phase::Degraded, || {
                format!("the switch to {} has not been proven since {}, and nobody says so", set.version, told.since)
            });
        }
    }

    /// A Service that lost the hash of what serves does not lead to what nobody promoted, and nothing else.
    fn check_lost_hash(&self, cluster: &Cluster, report: &mut Report) {
        let unclear = self.was_lost || self.forged || self.was_worker || self.second || self.hand.is_some();
        let goes = cluster.rollout.is_deleting() || cluster.gone;
        // On a way back, in an overlap, and where what waits is promoted by itself, others decide.
        let moves = cluster.rollout.spec.blue_green().auto_rollback.is_some()
            || promotes_by_itself(&cluster.rollout.spec)
            || cluster.active_services().any(Service::is_overlapping);
        if unclear || goes || moves || cluster.refused != Refused::Nothing || cluster.workload.is_some() {
            return;
        }
        let stays = |home: &Version| {
            let exists = |set: &Arc<SetTruth>| set.owned && !set.object.deleting;
            cluster.set(*home).is_some_and(exists) && !self.has_cause(*home, cluster)
        };
        let Some(home) = self.home.filter(stays) else { return };
        let is_stranger = |set: &Arc<SetTruth>| {
            let of = self.of(set.version);
            let decided = of.served || of.went_live || of.by_hand || of.approvals > 0 || of.promoted;
            // What is nobody's the operator does not know.
            set.owned && set.version != home && !decided && set.object.claimed_at().is_none()
        };
        for service in cluster.active_services().filter(|service| !service.deleting && !cluster.is_foreign(service)) {
            let carried = service.production.as_deref() == Some(cluster.hash_of(home));
            if carried && service.selection() == Selection::Unmanaged {
                let led_to =
                    cluster.sets.iter().filter(|set| set.ready() > 0 && Cluster::selects(&service.selector, set));
                let led_to: Vec<_> = led_to.collect();
                let strangers = !led_to.is_empty() && led_to.into_iter().all(is_stranger);
                report.check(Predicate::ServesPermitted, !strangers, || {
                    let name = &service.name;
                    format!("Service {name} lost the hash of {home}, and leads to what nobody promoted alone")
                });
            }
        }
    }

    /// Production without a ready pod goes back in time, where the spec says so and what served before is up.
    fn check_outage(&mut self, cluster: &Cluster, report: &mut Report) {
        // What was scaled to nothing since has lost none.
        let has_size = |version: &Version| cluster.set(*version).is_some_and(|set| set.object.replicas > 0);
        self.said_up = self.said_up.filter(|version| self.home == Some(*version) && has_size(version));
        if let Some(status) = cluster.rollout.status.as_ref().filter(|status| status.available_replicas > 0) {
            let active = |home: &Version| cluster.hash_of(*home) == status.active_revision;
            self.said_up = self.home.filter(active).or(self.said_up);
        }
        // What is to have no pods has lost none either, also while the API server does not let them be taken.
        if self.size == Some(0) {
            self.said_up = None;
        }
        let out = self.home.filter(|home| {
            let revision = self.of(*home);
            let lost = |set: &Arc<SetTruth>| {
                set.object.settled && set.object.available == 0 && set.object.ready == 0 && set.ready() == 0
            };
            let down = cluster.set(*home).is_some_and(|set| set.object.replicas > 0 && set.owned && lost(set));
            // What was never said to have pods has lost none.
            let clear = revision.rejected == Verdict::No
                && revision.known
                && self.hand.is_none()
                && self.said_up == Some(*home);
            down && clear && cluster.production() == Some(*home)
        });
        let same = self.outage.filter(|(version, ..)| Some(*version) == out);
        // What is seen first is told some seconds later, and counts from when it is told: from the second rest.
        let since = same.filter(|(.., told)| *told).map_or(cluster.now, |(_, since, _)| since);
        let is_told = cluster.rollout.status.as_ref().is_some_and(|status| status.available_replicas == 0);
        self.outage = out.map(|version| (version, since, same.is_some() && is_told));
        let Some((version, since, _)) = self.outage else { return };
        let Some(auto) = &cluster.rollout.spec.blue_green().auto_rollback else { return };
        let due = since + SignedDuration::from_secs(i64::from(auto.unavailable_seconds) + 5);
        // Where the last that served has no pods either, production does not look for others.
        let up = |set: &Arc<SetTruth>| set.object.replicas > 0 && set.object.ready > 0 && set.object.settled;
        let refuge = self.earlier(version).find(|earlier| self.can_return(*earlier, cluster));
        let refuge = refuge.filter(|refuge| cluster.set(*refuge).is_some_and(up));
        let foreign = cluster.active_services().any(|service| cluster.is_foreign(service));
        let goes = cluster.rollout.is_deleting() || cluster.gone;
        if refuge.is_some() && !foreign && !goes && !self.forged && !self.was_lost {
            report.check(Predicate::GoesBack, cluster.now < due, || {
                format!("{version} has had no pod since {since}, and {refuge:?} is up")
            });
        }
    }

    /// With the status the record was lost, and no Service carries our mark: nobody can know where production was.
    pub fn is_record_silent(&self, cluster: &Cluster) -> bool {
        self.was_lost && cluster.services.values().all(|service| service.production.is_none())
    }

    /// What the Service that is called active now can tell of production.
    pub fn told_by(&self, cluster: &Cluster) -> Told {
        let worker = cluster.rollout.spec.blue_green().active_service.is_none();
        if worker || cluster.first_active().is_some_and(|service| service.production.is_some()) {
            Told::ByService
        } else if Version::all().any(|version| self.of(version).went_live) {
            Told::ByRecord
        } else {
            Told::ByNobody
        }
    }

    /// Whether this revision carries production by the record, and nothing else may say so.
    pub fn is_still_on_record(&self, version: Version, cluster: &Cluster) -> bool {
        // While there is no active Service, the last whose switch was proven.
        let told = |status: &BlueGreenRolloutStatus| {
            let active = adapter::version_of_hash(&status.active_revision);
            active.or_else(|| adapter::version_of_hash(&status.stable_revision))
        };
        let on_record = cluster.rollout.status.as_ref().and_then(told);
        self.of(version).went_live && on_record == Some(version) && self.told_by(cluster) == Told::ByRecord
    }

    /// Whether a revision may go live now.
    pub fn permits(&self, version: Version, cluster: &Cluster, seen: Option<Version>) -> bool {
        let revision = self.of(version);
        let asked = version == cluster.version || Some(version) == seen;
        let first = (!self.begun || self.order.is_empty()) && !self.second;
        if first || self.home == Some(version) || self.is_moved_to(version) || revision.by_hand {
            return true;
        }
        let muddled = revision.rejected == Verdict::Either;
        if self.is_still_on_record(version, cluster) {
            return true;
        }
        // Where no Service tells, the promotion that was carried out is in the record alone.
        if self.was_worker && revision.promoted {
            return true;
        }
        if asked && (revision.promoted || revision.auto || revision.returned || muddled) {
            return true;
        }
        // What the Service was last given is all that tells what served.
        let given = |service: &Service| service.production.as_deref().and_then(adapter::version_of_hash);
        if self.lost && cluster.active_services().any(|service| given(service) == Some(version)) {
            return true;
        }
        // Where nothing is left of what served, nothing is left that knows of it.
        let marked = cluster.active_services().any(|service| service.production.is_some());
        let kept = |home: Version| cluster.set(home).is_some_and(|set| set.object.uid == self.of(home).uid);
        if self.lost && !marked && !self.home.is_some_and(kept) {
            return true;
        }
        let home_lost = self.home.is_none_or(|home| {
            self.has_cause(home, cluster) || cluster.set(home).is_none_or(|set| !set.owned || set.object.deleting)
        });
        (revision.served || revision.went_live) && !revision.is_barred() && home_lost
    }

    /// The spec changed to another template.
    pub fn on_template(&mut self, cluster: &Cluster, version: Version) {
        let pending = std::mem::replace(&mut self.unseen.0, true);
        // The time of what is asked for anew begins anew.
        self.slow = None;
        if self.home == Some(version) {
            self.size = Some(cluster.rollout.spec.replicas());
        } else if self.unseen.1 || pending {
            self.size = None;
        }
        self.of_mut(version).doubt();
        if let Some(request) = self.request.as_mut().filter(|request| request.version == Some(version)) {
            // Asking for a template newly starts it over, too.
            request.was_rejected = Verdict::Either;
        }
        let serves = self.home == Some(version);
        let revision = self.of_mut(version);
        // Until the operator sees that something else was asked for in between, it is the same attempt.
        if !pending {
            revision.shown_since = None;
        }
        // What failed was rejected as soon as the operator saw that; the status tells it only of what the spec asks for.
        let was_rejected = revision.rejected == Verdict::Yes || revision.left_by_hand && !serves;
        if RETURN_LIFTS_REJECTION && (was_rejected || revision.failed && !serves) {
            let before = revision.clone();
            revision.try_again();
            if !was_rejected {
                // Or it did not: then it is gated anew, and still something to go back to.
                (revision.served, revision.known) = (before.served, before.known);
            }
            revision.rejected = Verdict::Either;
        }
        revision.left_by_hand = false;
        self.on_rules_of_return(cluster);
    }

    /// The spec came back to a template, or changed what that takes before the operator has seen it.
    pub fn on_rules_of_return(&mut self, cluster: &Cluster) {
        let version = cluster.version;
        // Where people are asked for a promotion, being up still opens nothing.
        let asks_people = cluster.rollout.spec.blue_green().awaits_people();
        let up = !asks_people && cluster.set(version).is_some_and(|set| set.owned && set.object.replicas > 0);
        let window = cluster.rollout.spec.rollback_window.as_ref().is_some_and(|window| window.revisions > 0);
        let revision = self.of_mut(version);
        let may_return = revision.served && revision.rejected != Verdict::Yes;
        revision.returned |= may_return && (up || window);
        revision.windowed |= may_return && window;
    }

    /// The operator sees what a person has done to the first active Service: a decision, if there is something to decide for.
    pub fn see_hand(&mut self, cluster: &Cluster) {
        let Some((name, version)) = self.hand else { return };
        // If the spec names another one by now, it is the one that carried production until then.
        let service = cluster.services.get(name.word()).filter(|service| {
            let moved = service.hash() == Some(cluster.hash_of(version)) && service.moved_by.is_some();
            let is_news = moved && self.home != Some(version);
            is_news && self.tells_production(name, cluster) && !cluster.is_foreign(service)
        });
        let Some(service) = service else {
            self.hand = None;
            return;
        };
        let able = cluster.set(version).is_some_and(|set| {
            let has_pods = set.object.available > 0 || cluster.rollout.spec.replicas() == 0;
            set.owned && !set.object.deleting && has_pods && Cluster::selects(&service.selector, set)
        });
        let revision = self.of(version);
        if revision.failed {
            // It is rejected as soon as the operator sees that; until it has pods the move waits.
            if able {
                self.muddle(cluster);
                self.hand = None;
            }
            return;
        }
        if able && revision.rejected != Verdict::Yes && !revision.left_by_hand {
            self.hand = None;
            self.on_hand(version, cluster.version);
        }
    }

    /// Decisions that contradict each other were made in one breath: the operator may take them in any order.
    pub fn muddle(&mut self, cluster: &Cluster) {
        let asked = self.request.iter().flat_map(|request| request.version.into_iter().chain(request.meant.clone()));
        let concerned: Vec<Version> =
            asked.chain(self.home).chain(self.hand.map(|(_, version)| version)).chain([cluster.version]).collect();
        for version in concerned {
            let revision = self.of_mut(version);
            revision.doubt();
            (revision.by_hand, revision.known, revision.left_by_hand) = (true, false, false);
            revision.served_with = None;
            if revision.rejected == Verdict::No {
                revision.rejected = Verdict::Either;
            }
        }
        self.size = None;
    }

    /// The operator announces something.
    pub fn on_events(
        &self,
        events: &[greenlight_core::events::Event],
        status: &BlueGreenRolloutStatus,
        cluster: &Cluster,
        seen: &Seen,
        report: &mut Report,
    ) {
        for event in events.iter().filter(|event| matches!(event.reason, "Promoted" | "RolledBack")) {
            let to = status.switch.as_ref().and_then(|switch| adapter::version_of_hash(&switch.to));
            let worker = cluster.rollout.spec.blue_green().active_service.is_none();
            let unclear =
                self.lost || self.forged || !self.begun || to.is_some_and(|to| self.of(to).rejected != Verdict::No);
            let unclear = unclear || self.is_record_silent(cluster);
            let by_hand = to.is_some_and(|to| self.is_moved_to(to));
            let happened = !seen.fresh
                || worker
                || unclear
                || by_hand
                || to.is_some_and(|to| self.of(to).served && self.home == Some(to));
            report.check(Predicate::EventOnce, happened, || format!("{} is announced of {to:?}", event.reason));
        }
    }

    /// A person moves the first active Service.
    fn on_hand(&mut self, version: Version, asked: Version) {
        self.of_mut(version).left_at = None;
        let unclear = self.unseen.0 || self.was_lost || self.of(version).rejected == Verdict::Either;
        if let Some(left) = self.home.filter(|left| *left != version) {
            // The spec may have come back to it in the same moment.
            let returned = self.of(left).returned && unclear && left == asked;
            // Or it is where production is put back to.
            let by_hand = self.of(left).by_hand && unclear;
            self.of_mut(left).close();
            self.of_mut(left).served_with = None;
            (self.of_mut(left).returned, self.of_mut(left).by_hand) = (returned, by_hand);
            // Forward it is a promotion by hand, and what it left is there to go back to, unless the spec asks for that.
            let back = self.of(version).served && self.of(version).known || left == asked;
            self.of_mut(left).left_by_hand = back && !unclear;
            if back && unclear {
                self.of_mut(left).rejected = Verdict::Either;
            }
        }
        let revision = self.of_mut(version);
        // Whoever moves production to it overrules its analysis.
        revision.failed = false;
        revision.served_with = None;
        revision.by_hand = true;
        (revision.left_by_hand, revision.retried) = (false, false);
        self.home = Some(version);
        self.begun = true;
        self.size = None;
    }

    /// The spec changed the number of pods. What changes together with the template belongs to that.
    pub fn on_scale(&mut self, cluster: &Cluster, with_template: bool) {
        let pending = std::mem::replace(&mut self.unseen.1, true);
        if Some(cluster.version) == self.home {
            self.size = Some(cluster.rollout.spec.replicas());
        } else if !with_template {
            self.size = (!self.unseen.0 && !pending).then(|| cluster.rollout.spec.replicas());
        }
    }

    /// We give production another size. It can only be that of a scale that was changed alone, and nothing takes it back.
    pub fn on_resize(&mut self, version: Version, replicas: i32, cluster: &Cluster, seen: &Seen) {
        let whole = seen.rollout.generation == cluster.rollout.generation && seen.version == Some(cluster.version);
        let scaled_alone = self.unseen == (false, true) && replicas == cluster.rollout.spec.replicas();
        if self.home == Some(version) && whole && scaled_alone {
            (self.size, self.unseen.1) = (Some(replicas), false);
        }
    }

    /// The spec changed what a promotion takes.
    pub fn on_rules(&mut self) {
        Version::all().for_each(|version| self.of_mut(version).doubt());
    }

    /// A ReplicaSet was deleted: what is made under its name later has not served.
    pub fn on_set_gone(&mut self, version: Version) {
        let lost = self.lost;
        let revision = self.of_mut(version);
        revision.doubt();
        revision.served_with = None;
        // Of a failure that nobody has looked at yet nothing is left to look at.
        revision.failed &= revision.rejected != Verdict::No;
        if lost && revision.rejected == Verdict::Yes {
            revision.rejected = Verdict::Either;
        }
    }

    /// A person writes the register.
    pub fn on_request(&mut self, request: RequestTruth, cluster: &Cluster) {
        if let Some(before) = self.request.take().filter(|before| before.answer.is_none()) {
            for version in before.version.into_iter().chain(before.meant) {
                self.of_mut(version).doubt();
            }
        }
        let targets: Vec<Version> = request.version.into_iter().chain(request.meant.iter().copied()).collect();
        for version in targets {
            match request.verb {
                Verb::Promote | Verb::Full => self.approve(version, &request, cluster),
                Verb::Retry => {
                    // Until it is answered, nobody knows whether it was heard.
                    let revision = self.of_mut(version);
                    if revision.rejected == Verdict::Yes || revision.left_by_hand || revision.failed {
                        revision.rejected = Verdict::Either;
                    }
                }
                Verb::Undo => self.of_mut(version).undo_asked = true,
                Verb::Abort | Verb::Restart => {}
            }
        }
        self.restarted |= request.verb == Verb::Restart;
        self.request = Some(request);
    }

    fn approve(&mut self, version: Version, request: &RequestTruth, cluster: &Cluster) {
        let needed = cluster.rollout.spec.blue_green().required_approvals();
        let revision = self.of_mut(version);
        if revision.rejected == Verdict::Yes {
            return;
        }
        match request.by {
            Some(by) => revision.approvals |= 1 << (by as u8),
            None if needed == 1 => revision.approvals |= 1 << 7,
            None => {}
        }
        revision.full |= request.verb == Verb::Full;
    }

    /// The operator wrote a bare verb out.
    pub fn on_completed(&mut self, value: &str, report: &mut Report) {
        let named = serde_json::from_str::<greenlight_api::Request>(value).ok();
        let named = named.and_then(|request| adapter::version_of_hash(&request.revision));
        let Some(request) = &mut self.request else { return };
        if request.version.is_none() && request.verb != Verb::Restart && self.home.is_some() {
            let muddled =
                request.meant.iter().any(|version| self.revisions[usize::from(version.0)].rejected == Verdict::Either);
            // Without a status it is written out, and refused.
            let meant = muddled || self.lost || named.is_some_and(|named| request.meant.contains(&named));
            let (verb, told) = (request.verb, request.meant.clone());
            report.check(Predicate::BareVerb, meant, || {
                format!("{verb} was typed for {told:?}, and is carried out on {named:?}")
            });
        }
        request.version = named;
        value.clone_into(&mut request.value);
    }

    /// Production goes back to this revision: it leaves another one for a reason, and nobody has promoted this one since.
    pub fn goes_back(&self, version: Version, cluster: &Cluster) -> bool {
        let revision = self.of(version);
        let is_promoted = revision.promoted || revision.full || revision.auto || revision.returned || revision.by_hand;
        let is_left = |home: Version| home != version && self.has_cause(home, cluster);
        revision.known && !is_promoted && self.home.is_some_and(is_left)
    }

    /// Production is moved by us.
    pub fn on_move(&mut self, version: Version, cluster: &Cluster) {
        let goes_back = self.goes_back(version, cluster);
        // The others may follow when the spec asks for something else.
        let hash = Some(cluster.hash_of(version));
        let all = cluster.active_services().all(|service| service.hash() == hash);
        let is_asked = version == cluster.version && all;
        self.of_mut(version).left_at = None;
        // As far as the operator has written down what the spec asks for.
        let clear = self.unseen == (false, false) && !self.lost;
        let before = if clear { self.size } else { None };
        if self.home != Some(version) {
            let asked = clear.then(|| cluster.rollout.spec.replicas());
            self.of_mut(version).serves_with(if version == cluster.version { asked } else { before });
        }
        if let Some(left) = self.home.filter(|left| *left != version) {
            self.of_mut(left).is_left_with(before);
            // The move is where it is decided, if it was not on record before.
            if cluster.is_rejection_carried(left) && self.is_to_be_rejected(left) {
                self.of_mut(left).reject();
            }
            // Back from what had no pods it is a rejection, which the status tells only of what the spec asks for.
            let is_out = self.of(left).out_since.is_some() && cluster.rollout.spec.blue_green().auto_rollback.is_some();
            let may_go_back = version != cluster.version || self.of(version).served;
            if is_out && may_go_back && self.of(left).rejected == Verdict::No {
                self.of_mut(left).rejected = Verdict::Either;
            }
            let has_served = self.of(left).served && self.of(left).known;
            self.of_mut(left).left_at = has_served.then_some(cluster.now);
            if self.of(left).served {
                self.order.retain(|version| *version != left);
                self.order.push(left);
            }
            // What was lost may come back.
            if cluster.set(left).is_some_and(|set| set.object.uid == self.of(left).uid && !set.object.deleting) {
                self.of_mut(left).close();
            }
            self.size = is_asked.then(|| cluster.rollout.spec.replicas());
        } else if self.home.is_none() {
            self.size = is_asked.then(|| cluster.rollout.spec.replicas());
        }
        if self.of(version).rejected == Verdict::Either && self.home != Some(version) {
            // In another attempt, perhaps, which has to earn everything again.
            self.of_mut(version).rejected = Verdict::No;
            self.of_mut(version).known = false;
        }
        if self.of(version).given_up {
            let revision = self.of_mut(version);
            (revision.rejected, revision.given_up, revision.failed) = (Verdict::No, false, false);
        }
        let revision = self.of_mut(version);
        (revision.went_live, revision.retried) = (true, false);
        if self.home != Some(version) {
            let revision = self.of_mut(version);
            // Whoever promotes in full overrules the analysis before the promotion.
            revision.failed &= revision.served || !revision.full;
            // What was good before is good, whatever the spec came to ask for meanwhile. What is promoted again has to show that again.
            revision.ended_good &= goes_back;
            revision.found_good &= goes_back;
        }
        self.home = Some(version);
        self.sent = None;
        self.begun = true;
    }

    /// A run was deleted, perhaps before the operator had seen how it ended.
    pub fn on_run_gone(&mut self, cluster: &Cluster) {
        let settled = cluster.rollout.status.as_ref().is_some_and(|status| status.phase == Phase::Healthy);
        if !settled && let Some(home) = self.home {
            self.of_mut(home).found_good = false;
        }
    }

    /// A tenant writes that a revision was rejected: believed where there is no status.
    pub fn on_forged_rejection(&mut self, version: Version) {
        let lost = self.lost;
        let revision = self.of_mut(version);
        if lost && revision.rejected == Verdict::No {
            revision.rejected = Verdict::Either;
        }
    }

    /// Whoever may write Services takes a rejection off the one that carried it, or that one is deleted. Before it is on record it is told nowhere else.
    pub fn on_rejection_taken_off(&mut self, version: Version, cluster: &Cluster) {
        let record = cluster.rollout.record();
        let is_recorded = record.is_some_and(|record| record.rejection(cluster.hash_of(version)).is_some());
        if !is_recorded && self.of(version).rejected == Verdict::Yes {
            self.of_mut(version).rejected = Verdict::Either;
        }
    }

    /// The status is deleted: what the operator knew of what served before is gone with it.
    pub fn on_loss(&mut self, cluster: &Cluster) {
        for version in Version::all() {
            self.of_mut(version).known = false;
            self.of_mut(version).served_with = None;
            // What was rejected before it had a ReplicaSet has no mirror that outlives the status.
            let mirror = cluster.set(version).is_some_and(|set| {
                set.object.annotations.contains_key(names::REJECTED) || cluster.is_rejection_carried(version)
            });
            let revision = self.of_mut(version);
            revision.left_by_hand &= mirror;
            if (revision.rejected == Verdict::Yes) != mirror {
                revision.rejected = Verdict::Either;
            }
            // A request that is refused afterwards leaves it as it is by then, and not as it was when somebody asked.
            if let Some(request) = self.request.as_mut().filter(|request| request.version == Some(version))
                && !mirror
            {
                request.was_rejected = Verdict::Either;
            }
        }
        self.size = None;
        self.unseen = (true, true);
        Version::all().for_each(|version| self.of_mut(version).doubt());
        self.lost = true;
        self.was_lost = true;
        if let Some(request) = &mut self.request
            && request.answer.is_some()
        {
            request.answer = None;
        }
    }

    /// The status of a time when this was true, and the spec asked for that version, is written back. It is believed: what was decided since is
    /// forgotten, as far as the Services do not show it. The request in the register may be heard once more.
    pub fn on_restore(&mut self, then: &Ghost, asked_then: Version, cluster: &Cluster) {
        // Production left it for what is at home now, by our mark; and to leave what the spec asks for takes a rejection.
        let is_marked = |home: Version| {
            let given = cluster.first_active().and_then(|service| service.production.as_deref());
            given == Some(cluster.hash_of(home)) && then.of(home).known
        };
        let left = then.home.filter(|left| *left == asked_then && Some(*left) != self.home && cluster.stays(*left));
        let left = if self.home.is_some_and(is_marked) { left } else { None };
        for version in Version::all() {
            self.of_mut(version).restore(then.of(version), left == Some(version));
        }
        (self.size, self.unseen, self.lost, self.was_lost) = (None, (true, true), true, true);
        self.active_services.clone_from(&then.active_services);
        self.was_worker |= then.was_worker;
        self.refused.clear();
        let Some(request) = &mut self.request else { return };
        (request.answer, request.was_rejected) = (None, Verdict::Either);
        // Who typed a verb before may have looked at the one or the other.
        request.meant.extend(then.home.into_iter().chain(self.home));
        if let (Some(version), Verb::Promote | Verb::Full) = (request.version, request.verb) {
            let request = request.clone();
            self.approve(version, &request, cluster);
        }
    }

    /// The record is as an earlier version kept it: with how many pods something served, and what only an attempt was rejected for, it does
    /// not say.
    pub fn on_upgrade(&mut self, cluster: &Cluster) {
        if let Some(request) = &mut self.request {
            // What a Service leads to is taken for what is on record.
            request.meant.extend(self.home);
        }
        // Without its claim nobody knows of a move by hand whether the mark of the Service is older than the record.
        let home = self.home.map(|home| cluster.hash_of(home));
        let is_marked = cluster.first_active().is_none_or(|service| service.production.as_deref() == home);
        if !is_marked || self.hand.is_some() {
            self.muddle(cluster);
        }
        for version in Version::all() {
            let serves = self.home == Some(version);
            let revision = self.of_mut(version);
            revision.doubt();
            // That what was started again was good before, it does not say either.
            revision.ended_good &= serves;
            revision.found_good &= serves;
            (revision.served_with, revision.given_up) = (None, false);
            revision.windowed |= revision.returned;
        }
    }

    /// A rollout of the same name is made: it has no status, nobody has asked anything of it, and nothing that it finds has earned anything.
    pub fn on_recreation(&mut self, cluster: &Cluster) {
        if cluster.services.values().all(|service| service.production.is_none()) {
            // Nothing tells of the one before: this is the first deployment.
            let Ghost { forged, restarted, crowded, .. } = *self;
            *self = Ghost { forged, restarted, crowded, ..Ghost::default() };
            // What was left behind with the mirror of a rejection may be taken at that word: it only closes.
            let mirrors = |set: &SetTruth| !set.object.deleting && set.object.annotations.contains_key(names::REJECTED);
            for version in Version::all().filter(|version| cluster.set(*version).is_some_and(|set| mirrors(set))) {
                self.of_mut(version).rejected = Verdict::Either;
            }
            return;
        }
        self.on_loss(cluster);
        for version in Version::all() {
            // With what goes its mirror goes.
            let stays = cluster.set(version).is_some_and(|set| !set.object.deleting);
            let revision = self.of_mut(version);
            let rejected = if stays { revision.rejected } else { Verdict::No };
            revision.start_over();
            revision.rejected = rejected;
            (revision.left_at, revision.out_since) = (None, None);
        }
        (self.request, self.hand, self.restart_at, self.slow) = (None, None, None, None);
        self.refused.clear();
    }

    /// An analysis ended.
    pub fn on_analysis(&mut self, name: &str, phase: AnalysisPhase, cluster: &Cluster) {
        let is_there = |version: &Version| cluster.set(*version).is_some_and(|set| !set.object.deleting);
        let Some(version) = adapter::version_of_named(name).filter(is_there) else { return };
        let revision = self.of_mut(version);
        // Of what is scaled to nothing it decides if that was not seen before it ended; else another one is made when there are pods.
        let decides = cluster.rollout.spec.replicas() > 0 && !(revision.strayed && name.ends_with("-pre"));
        match phase {
            // What was promoted in full before nobody waits for.
            AnalysisPhase::Failed | AnalysisPhase::Error if name.ends_with("-pre") && revision.full => {}
            // Who kept it in full may have been heard before it ended, or not.
            AnalysisPhase::Failed | AnalysisPhase::Error if decides && !revision.full => revision.failed = true,
            AnalysisPhase::Failed | AnalysisPhase::Error if revision.rejected == Verdict::No => {
                revision.rejected = Verdict::Either;
            }
            AnalysisPhase::Successful if name.ends_with("-pre") => revision.passed = true,
            AnalysisPhase::Successful => revision.ended_good |= decides,
            _ => {}
        }
    }

    /// Somebody deletes the last analysis after a switch: what nobody saw of it is as if it had not been.
    pub fn on_analysis_gone(&mut self) {
        Version::all().for_each(|version| self.of_mut(version).ended_good = self.of(version).found_good);
    }

    /// Looks at the truth after anything happened.
    pub fn look(&mut self, cluster: &Cluster) {
        for version in Version::all() {
            // Its runs went with it: what nobody saw of them is as if it had not been.
            if !cluster.sets.iter().any(|set| set.version == version) {
                let revision = self.of_mut(version);
                revision.ended_good &= revision.found_good;
            }
            let preview = cluster.rollout.spec.blue_green().preview_service.as_ref();
            let shown = cluster.set(version).filter(|set| {
                let is_shown =
                    |name: &String| cluster.services.get(name).is_some_and(|it| it.hash() == Some(&set.object.hash));
                preview.is_none_or(is_shown)
            });
            let is_measured = cluster.runs.iter().any(|run| {
                let is_open = !run.phase.is_completed() && !run.terminating;
                is_open && run.name.ends_with("-pre") && adapter::version_of_named(&run.name) == Some(version)
            });
            let revision = self.of_mut(version);
            revision.strayed = is_measured && (revision.strayed || shown.is_none());
            let is_up = |set: &Arc<SetTruth>| set.object.replicas > 0 && set.object.available >= set.object.replicas;
            if shown.is_some_and(is_up) && version == cluster.version {
                revision.shown_since.get_or_insert(cluster.now);
            }
            let first = &adapter::facts(version).hash;
            self.of_mut(version).renamed |= cluster.set(version).is_some_and(|set| set.object.hash != *first);
            let size = cluster.set(version).map(|set| (&set.object.uid, set.object.replicas));
            let sized = &mut self.of_mut(version).sized;
            if sized.as_ref().map(|(uid, replicas, _)| (uid, *replicas)) != size {
                *sized = size.map(|(uid, replicas)| (uid.clone(), replicas, cluster.now));
            }
        }
        if let Some((Slow { version, up, replicas, .. }, _)) = &self.slow
            && cluster.set(*version).is_none_or(|set| (set.object.available, set.object.replicas) != (*up, *replicas))
        {
            self.slow = None;
        }
        let spec = &cluster.rollout.spec;
        let asked = cluster.version;
        let by_itself = promotes_by_itself(spec);
        let needed = u32::try_from(spec.blue_green().required_approvals()).unwrap_or(u32::MAX);
        for version in Version::all() {
            let revision = self.of_mut(version);
            if revision.rejected != Verdict::Yes {
                revision.auto |= by_itself && version == asked;
                revision.promoted |= revision.approvals.count_ones() >= needed;
            }
        }
        if let Some(selected) = cluster.production()
            && self.of(selected).served
            && self.home.is_none_or(|home| cluster.set(home).is_none())
            && !self.is_moved_to(selected)
        {
            self.home = Some(selected);
            self.of_mut(selected).served_with = None;
        }
        let serves = |version: &Version| cluster.set(*version).is_some_and(|set| set.ready() > 0);
        let proven = |version: &Version| serves(version) && is_proven(cluster, *version, None, i32::MAX);
        if let Some(selected) = cluster.production().filter(|selected| !self.begun && proven(selected)) {
            // A Service that selected it already became the active one.
            self.home = Some(selected);
            self.begun = true;
        }
        if let Some(home) = self.home {
            // Once it is out, a size of 0 that somebody gave its set is no way back.
            let was_out = self.of(home).out_since.is_some() && cluster.rollout.spec.replicas() > 0;
            let lacks = |set: &Arc<SetTruth>| set.ready() == 0 && (set.object.replicas > 0 || was_out);
            let out = cluster.set(home).is_none_or(lacks);
            let revision = self.of_mut(home);
            revision.out_since = out.then(|| revision.out_since.unwrap_or(cluster.now));
            if is_proven(cluster, home, self.size, self.least(home)) {
                let uid = cluster.set(home).map(|set| set.object.uid.clone()).unwrap_or_default();
                let revision = self.of_mut(home);
                revision.served = true;
                // One that was made anew has to be told of anew.
                revision.known &= revision.uid == uid;
                revision.uid = uid;
            }
        }
    }

    /// The operator publishes a status: what it says to the world is held against the truth.
    pub fn on_publish(
        &mut self,
        before: Option<&BlueGreenRolloutStatus>,
        after: &BlueGreenRolloutStatus,
        cluster: &Cluster,
        seen: &Seen,
        report: &mut Report,
    ) {
        // The template of a Deployment has a watch of its own.
        let same_template = seen.version.is_none_or(|version| version == cluster.version);
        if seen.rollout.generation == cluster.rollout.generation && same_template {
            self.unseen = (self.unseen.0 && seen.version.is_none(), false);
        }
        let named = seen.rollout.spec.blue_green().active_services();
        self.active_services = named.map(str::to_owned).collect();
        self.was_worker |= self.active_services.is_empty();
        let theirs = cluster.active_services().any(|service| cluster.is_foreign(service));
        self.second |= seen.rival && !self.begun && theirs;
        // While a Service does not lead there, or nothing is proven, the operator says nothing of that.
        let says_so = |home: &Version| {
            let record = after.decisions.as_ref().and_then(|record| record.revision(cluster.hash_of(*home)));
            record.is_some_and(|record| record.post_promotion.is_some())
        };
        if seen.fresh
            && let Some(home) = self.home.filter(says_so)
        {
            self.of_mut(home).found_good |= self.of(home).ended_good;
        }
        if let Some(observed) = &after.observed_request {
            self.on_answer(&observed.value, observed.accepted, &observed.answer, cluster, seen, report);
        }
        let worker = seen.rollout.spec.blue_green().active_service.is_none();
        if worker && let Some(serving) = adapter::version_of_hash(&after.active_revision) {
            // Without a Service nothing else tells.
            if self.home != Some(serving) {
                self.of_mut(serving).served_with = None;
            }
            self.home = Some(serving);
            self.begun = true;
            if after.stable_revision == after.active_revision {
                let uid = cluster.set(serving).map(|set| set.object.uid.clone()).unwrap_or_default();
                let revision = self.of_mut(serving);
                (revision.served, revision.uid) = (true, uid);
            }
        }
        let said = |status: &BlueGreenRolloutStatus| adapter::version_of_hash(&status.rejected_revision);
        self.check_retries(said(after), cluster, report);
        if let Some(version) = said(after).filter(|version| before.and_then(said) != Some(*version)) {
            self.on_rejected(version, cluster, report);
        }
        let proven = after.switch.as_ref().filter(|switch| switch.proven_at.is_some());
        let was_proven = before.and_then(|before| before.switch.as_ref()).filter(|switch| switch.proven_at.is_some());
        if let Some(switch) = proven.filter(|switch| was_proven != Some(switch))
            && let Some(version) = adapter::version_of_hash(&switch.to)
        {
            if seen.fresh && self.home == Some(version) {
                let served = self.forged
                    || self.of(version).served && is_proven(cluster, version, self.size, self.least(version))
                    || !seen.reached.iter().any(|r| *r);
                report.check(Predicate::ProofTrue, served, || format!("the switch to {version} is not proven"));
            }
            self.of_mut(version).known |= self.of(version).served;
            self.order.retain(|served| *served != version);
            self.order.push(version);
            self.lost = false;
        }
    }

    /// A person asks for its rejection.
    fn is_to_be_rejected(&self, version: Version) -> bool {
        self.request.as_ref().is_some_and(|request| {
            matches!(request.verb, Verb::Undo | Verb::Abort)
                && (request.version == Some(version) || request.meant.contains(&version))
        })
    }

    /// There is a reason to reject it.
    fn may_be_rejected(&self, version: Version, cluster: &Cluster) -> bool {
        let failed = |run: &greenlight_core::world::Run| {
            let bad = matches!(run.phase, AnalysisPhase::Failed | AnalysisPhase::Error);
            bad && adapter::version_of_named(&run.name) == Some(version)
        };
        let analysed = cluster.runs.iter().any(failed);
        let caused = self.is_to_be_rejected(version) || analysed || self.has_cause(version, cluster);
        // After a loss a mirror is believed that a tenant may have written: it only closes.
        caused || self.forged || self.had_its_time(version, cluster)
    }

    /// A retry that was told as accepted is not taken back.
    fn check_retries(&mut self, rejected: Option<Version>, cluster: &Cluster, report: &mut Report) {
        for version in Version::all() {
            if self.of(version).retried && !self.was_lost {
                let is_rejected = rejected == Some(version);
                report.check(Predicate::RetryStays, !is_rejected || self.may_be_rejected(version, cluster), || {
                    format!("the retry of {version} was accepted, and {version} is called rejected")
                });
                // What comes of a new cause is another story.
                self.of_mut(version).retried = !is_rejected;
            }
        }
    }

    fn on_rejected(&mut self, version: Version, cluster: &Cluster, report: &mut Report) {
        let asked = self.is_to_be_rejected(version);
        let retried = self.request.as_ref().is_some_and(|request| request.verb == Verb::Retry);
        let caused = retried || self.may_be_rejected(version, cluster);
        let of = self.of(version);
        let caused = caused || of.forgotten;
        report.check(Predicate::RejectsForCause, caused, || format!("{version} is called rejected: {of:?}"));
        let given_up = !asked && of.served && !of.left_by_hand && self.home != Some(version);
        self.of_mut(version).reject();
        self.of_mut(version).given_up = given_up;
    }

    fn on_answer(
        &mut self,
        value: &str,
        accepted: bool,
        answer: &str,
        cluster: &Cluster,
        seen: &Seen,
        report: &mut Report,
    ) {
        let Some(request) = self.request.clone().filter(|request| request.value == value) else { return };
        if accepted {
            let refused = self.refused.iter().any(|refused| refused == value);
            let harmless = request.verb == Verb::Restart;
            report.check(Predicate::AnswerOnce, !refused || harmless, || format!("refused before, and now: {answer}"));
        }
        if request.answer == Some(accepted) {
            return;
        }
        if let Some(standing) = &mut self.request {
            standing.answer = Some(accepted);
        }
        let Some(version) = request.version else {
            if !accepted {
                for version in request.meant {
                    let revision = self.of_mut(version);
                    revision.approvals &= !(1 << 7);
                    revision.promoted &= revision.approvals != 0;
                    revision.undo_asked &= request.verb != Verb::Undo;
                }
                self.refused.push(value.to_owned());
            }
            return;
        };
        if accepted {
            let is_undo = request.verb == Verb::Undo;
            let standing = self.sent.filter(|(left, _)| is_undo && *left == version);
            self.sent = request.to.map(|to| (version, to)).or(standing);
        }
        let asked = Some(version) == seen.version || version == cluster.version || cluster.has_no_template();
        let worker = cluster.rollout.spec.blue_green().active_service.is_none() || self.hand.is_some();
        let home_gone = self.home.is_none_or(|home| cluster.set(home).is_none());
        let serves = self.home == Some(version) || cluster.production() == Some(version) || worker || home_gone;
        match (request.verb, accepted) {
            (Verb::Promote | Verb::Full, true) => {
                report.check(Predicate::NotRefused, true, String::new);
                // In the middle of an undo, where production goes is not where it is yet.
                let muddled = self.of(version).rejected == Verdict::Either;
                let way_back = self.home.is_some_and(|home| self.has_cause(home, cluster) || !cluster.stays(home));
                let serves = serves || muddled || way_back && self.of(version).served;
                self.of_mut(version).left_by_hand = false;
                let suffices = |rollout: &Rollout| rollout.spec.blue_green().required_approvals() == 1;
                let waits = version == cluster.version && Some(version) == seen.version && !serves;
                if waits && seen.fresh && suffices(&seen.rollout) && suffices(&cluster.rollout) {
                    self.of_mut(version).assured_at = Some(cluster.now);
                }
                report.check(Predicate::AnswerTrue, asked || serves, || {
                    format!("the promotion of {version}, which neither serves nor is asked for, is answered: {answer}")
                });
            }
            (Verb::Promote | Verb::Full, false) => self.on_refused_promotion(&request, answer, cluster, seen, report),
            (Verb::Undo | Verb::Abort, true) => {
                report.check(Predicate::UndoNotRefused, true, String::new);
                self.of_mut(version).reject();
            }
            (Verb::Retry, true) => {
                // Where a person has moved production to it in the same breath, nothing speaks against that any more.
                let hash = Some(cluster.hash_of(version));
                let moved = cluster.first_active().is_some_and(|it| it.hash() == hash && it.moved_by.is_some());
                // What a Deployment asks for by now nobody may have heard yet: then this one goes by itself.
                let auto = Some(version) == seen.version && promotes_by_itself(&seen.rollout.spec);
                let revision = self.of_mut(version);
                let by_hand = revision.by_hand && moved;
                revision.try_again();
                (revision.rejected, revision.by_hand, revision.auto) = (Verdict::No, by_hand, auto);
                revision.retried = true;
            }
            (Verb::Undo, false) => {
                let refuge = self.earlier(version).find(|earlier| self.can_return(*earlier, cluster));
                let hash = Some(cluster.hash_of(version));
                let selected = cluster.first_active().is_some_and(|service| service.hash() == hash);
                let plain = request.to.is_none() && self.of(version).rejected == Verdict::No;
                let serves = self.home == Some(version) && self.hand.is_none();
                if serves && selected && self.of(version).known && plain && seen.fresh && seen.rollout.status.is_some()
                {
                    report.check(Predicate::UndoNotRefused, refuge.is_none(), || {
                        format!("undo of {version}, which serves, is refused although {refuge:?} served: {answer}")
                    });
                }
                self.of_mut(version).undo_asked = false;
            }
            (Verb::Retry, false) => {
                let was = request.was_rejected;
                let said = cluster.rollout.status.as_ref().is_some_and(|status| {
                    status.rejected_revision == cluster.hash_of(version)
                        && status.updated_revision == status.rejected_revision
                });
                let asked_for = version == cluster.version && Some(version) == seen.version && seen.fresh;
                let foreign = cluster.first_active().is_some_and(|service| cluster.is_foreign(service));
                let serves = self.home == Some(version) || cluster.production() == Some(version);
                // A Service that is gone tells nobody that production has left.
                let untold = cluster.first_active().is_none();
                let leaving = foreign || serves || untold || self.is_still_on_record(version, cluster);
                let is_told = cluster.rollout.spec.blue_green().active_service.is_some();
                if said && asked_for && !leaving && is_told && seen.rollout.status.is_some() {
                    report.check(Predicate::NotRefused, false, || format!("retry of rejected {version}: {answer}"));
                }
                if was == Verdict::Yes {
                    // It is as it was.
                    let revision = self.of_mut(version);
                    let given_up = revision.given_up;
                    revision.reject();
                    revision.given_up = given_up;
                }
            }
            (Verb::Restart, true) => {
                let asked = serde_json::from_str::<greenlight_api::Request>(value).ok();
                self.restart_at = self.restart_at.max(asked.map(|asked| asked.at));
            }
            (Verb::Abort | Verb::Restart, _) => {}
        }
        if !accepted {
            self.refused.push(value.to_owned());
        }
    }

    fn on_refused_promotion(
        &mut self,
        request: &RequestTruth,
        answer: &str,
        cluster: &Cluster,
        seen: &Seen,
        report: &mut Report,
    ) {
        let Some(version) = request.version else { return };
        let spec = &seen.rollout.spec;
        let asked = version == cluster.version && Some(version) == seen.version;
        // The very set that was named, and not one that was made anew while that one goes.
        let named = request.value.contains(cluster.hash_of(version));
        // What is not there yet is made, and then there. Under which hash nobody can know, once there was another than the first.
        let can_be_made = seen.creates && !cluster.has_no_template() && !self.of(version).renamed;
        let set = named && cluster.set(version).map_or(can_be_made, |set| set.owned && !set.object.deleting);
        let open = spec.paused != Some(true) && cluster.rollout.spec.paused != Some(true);
        let revision = self.of(version);
        let clean = revision.rejected == Verdict::No && !self.has_cause(version, cluster);
        let first_seen = seen.rollout.status.is_none();
        let forged = self.forged;
        let approvable = !forged && request.by.is_some() || spec.blue_green().required_approvals() == 1;
        if asked
            && !forged
            && set
            && open
            && clean
            && approvable
            && !first_seen
            && seen.fresh
            && self.home.is_some_and(|home| home != version)
        {
            report.check(Predicate::NotRefused, false, || format!("the promotion of {version} is refused: {answer}"));
        }
        let needed = cluster.rollout.spec.blue_green().required_approvals();
        let bit = 1_u8.checked_shl(request.by.map_or(7, |by| by as u32)).unwrap_or(0);
        let revision = self.of_mut(version);
        revision.approvals &= !bit;
        if usize::try_from(revision.approvals.count_ones()).unwrap_or(0) < needed {
            revision.promoted = false;
        }
    }
}

/// What the spec asks for needs nobody's promotion.
pub fn promotes_by_itself(spec: &BlueGreenRolloutSpec) -> bool {
    let blue_green = spec.blue_green();
    blue_green.auto_promotion_enabled() || blue_green.auto_promotion_seconds.unwrap_or(0) > 0
}

/// Every ready endpoint of every active Service is a pod of this version, and there are enough pods: where there is no room for all, those
/// that have room, and at least so many as it served with.
pub fn is_proven(cluster: &Cluster, version: Version, size: Option<i32>, served_with: i32) -> bool {
    let Some(set) = cluster.set(version) else { return false };
    // Without its Deployment nobody knows whether the spec asks for this one.
    let is_asked = version == cluster.version && !cluster.has_no_template();
    let size = if is_asked { cluster.rollout.spec.replicas() } else { size.unwrap_or(0) };
    let with_room = i32::try_from(set.on_nodes()).unwrap_or(i32::MAX);
    let awaited = if set.lacks_room() { with_room.max(served_with) } else { i32::MAX };
    let enough = usize::try_from(set.object.replicas.min(size).min(awaited)).unwrap_or(0);
    let first = cluster.first_active().map(|first| &first.name);
    // An additional Service that these pods do not fit, and that leads nowhere else, has no part in it.
    let stands_aside = |service: &Service| {
        let leads_on = || cluster.entries(&service.name).any(|entry| entry.ready && entry.version != Some(version));
        Some(&service.name) != first && !service.missing_labels(&set.object).is_empty() && !leads_on()
    };
    let mut services = cluster.active_services().filter(|service| !stands_aside(service)).peekable();
    if services.peek().is_none() {
        return false;
    }
    services.all(|service| {
        let mut pods: Vec<u32> = Vec::new();
        for entry in cluster.entries(&service.name).filter(|entry| entry.ready) {
            if entry.version != Some(version) {
                return false;
            }
            if !pods.contains(&entry.pod) {
                pods.push(entry.pod);
            }
        }
        service.selector.get(names::HASH_LABEL) == Some(&set.object.hash) && pods.len() >= enough
    })
}

/// Whether production can reach a pod of this version, as far as the endpoints say.
pub fn is_reached(cluster: &Cluster, version: Version) -> bool {
    cluster
        .active_services()
        .any(|service| cluster.entries(&service.name).any(|entry| entry.ready && entry.version == Some(version)))
}

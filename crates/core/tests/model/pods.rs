//! Pods, endpoints and measurements: what the controllers of Kubernetes do, as far as the core can tell.

use std::collections::BTreeMap;

use greenlight_api::{AnalysisPhase, names};
use greenlight_core::world::{Endpoint, Pod, ReplicaSet, Selection, Service};
use jiff::{SignedDuration, Timestamp};

use super::Model;

impl Model {
    /// All pods that are wanted run and are ready.
    pub fn run_all_pods(&mut self) {
        let hashes: Vec<_> = self.truth.replica_sets.iter().map(|rs| rs.hash.clone()).collect();
        hashes.iter().for_each(|hash| self.run_pods(hash, usize::MAX));
    }

    /// The ReplicaSet controller makes as many pods as there should be, and the first so many are ready.
    pub fn run_pods(&mut self, hash: &str, ready: usize) {
        let version = self.bump();
        let Some(rs) = self.truth.replica_sets.iter_mut().find(|rs| rs.hash == *hash) else { return };
        rs.settled = true;
        rs.resource_version = version;
        let pods = self.truth.pods.entry(hash.to_owned()).or_default();
        pods.retain(|pod| !pod.deleting);
        let wanted = usize::try_from(rs.replicas).expect("not negative");
        pods.truncate(wanted);
        while pods.len() < wanted {
            let uid = format!("{}x{}", rs.resource_version, pods.len());
            pods.push(Pod {
                name: format!("{}-p{uid}", rs.name),
                uid,
                // Always the same: what an eviction is kept from by that shows on a real API server alone.
                resource_version: String::new(),
                created: Timestamp::from_second(self.now.as_second()).expect("a time"),
                deleting: false,
                over: false,
                ready: false,
                deletion_cost: 0,
                reason: String::new(),
                message: String::new(),
            });
        }
        for (number, pod) in pods.iter_mut().enumerate() {
            pod.ready = number < ready;
            if pod.ready {
                self.ready_since.entry(pod.name.clone()).or_insert(self.now);
            } else {
                self.ready_since.remove(&pod.name);
            }
        }
        self.count(hash);
    }

    /// The ReplicaSet's counts follow its pods; those beyond its size have gone.
    pub(super) fn count(&mut self, hash: &str) {
        let version = self.bump();
        let Some(rs) = self.truth.replica_sets.iter_mut().find(|rs| rs.hash == *hash) else { return };
        let pods = self.truth.pods.entry(hash.to_owned()).or_default();
        pods.retain(|pod| !pod.deleting);
        pods.truncate(usize::try_from(rs.replicas).expect("not negative"));
        let patience = SignedDuration::from_secs(rs.min_ready_seconds.into());
        let is_available =
            |pod: &Pod| pod.ready && self.ready_since.get(&pod.name).is_some_and(|since| *since + patience <= self.now);
        let number = |n: usize| i32::try_from(n).expect("few");
        let before = rs.clone();
        rs.current = number(pods.len());
        rs.fully_labeled = rs.current;
        rs.ready = number(pods.iter().filter(|pod| pod.ready).count());
        rs.available = number(pods.iter().filter(|pod| is_available(pod)).count());
        if *rs != before {
            rs.resource_version = version;
        }
    }

    /// The EndpointSlices catch up with Services and pods.
    pub fn catch_up(&mut self) {
        let addresses = if self.dual_stack { 2 } else { 1 };
        let mut all = BTreeMap::new();
        for service in self.truth.services.values() {
            let selected = self.truth.replica_sets.iter().filter(|rs| selects(service, rs));
            let pods = selected.flat_map(|rs| self.truth.pods.get(&rs.hash).into_iter().flatten());
            let endpoint = |pod: &Pod| Endpoint { pod: pod.name.clone(), ready: pod.ready };
            let mut endpoints: Vec<_> = pods.flat_map(|pod| vec![endpoint(pod); addresses]).collect();
            endpoints.extend(self.of_workload(service));
            if self.hand_made_endpoint {
                endpoints.push(Endpoint { pod: String::new(), ready: true });
            }
            all.insert(service.name.clone(), endpoints);
        }
        self.truth.endpoints = all;
    }

    /// The endpoints of a Service that are pods of the Deployment that is taken over from.
    fn of_workload(&self, service: &Service) -> impl Iterator<Item = Endpoint> {
        let workload = self.truth.workload.as_ref().filter(|_| self.takes_over);
        let selected = workload.filter(|workload| {
            service.selection() == Selection::Unmanaged && service.lacking(&workload.template.labels).is_empty()
        });
        let pods = selected.map_or(0, |workload| workload.replicas);
        (0..pods).map(|number| Endpoint { pod: format!("app-{number}"), ready: true })
    }

    /// A measurement ends. One that is over stays as it is; one that was asked to stop is good.
    pub fn end_run(&mut self, place: usize, phase: AnalysisPhase) {
        let now = self.now;
        let Some(run) = self.truth.runs.get_mut(place).filter(|run| !run.phase.is_completed()) else { return };
        run.phase = if run.terminating { AnalysisPhase::Inconclusive } else { phase };
        run.completed_at = run.phase.is_completed().then_some(now);
        run.message = format!("{phase:?}");
        if run.phase == AnalysisPhase::Successful && !run.terminating {
            self.ledger.measured(&run.name);
        }
    }
}

/// Whether a Service selects the pods of a ReplicaSet.
pub fn selects(service: &Service, rs: &ReplicaSet) -> bool {
    let by_hash = match service.selection() {
        Selection::Revision(hash) => hash == rs.hash,
        Selection::Both(_) => carries_label(rs),
        Selection::Nothing => false,
        Selection::Unmanaged => true,
    };
    by_hash && service.missing_labels(rs).is_empty()
}

/// Whether the pods of a ReplicaSet carry the label that both revisions have in an overlap.
pub fn carries_label(rs: &ReplicaSet) -> bool {
    rs.annotation(names::ROLE_METADATA).is_some_and(|metadata| metadata.contains(names::SERVING_LABEL))
}

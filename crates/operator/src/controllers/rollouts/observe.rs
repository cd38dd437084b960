//! How a world for the core is made of what the operator knows.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use greenlight_core::World;
use greenlight_core::world::{Pod, ReplicaSet, Rival, Rollout};
use jiff::Timestamp;

use super::memory::{Memories, Memory};
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use crate::cluster::on_demand::{OnDemand, OwnedPod};

/// Where a ReplicaSet comes from that names the rollout as its owner: anybody may write that who may create ReplicaSets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The record knows it, or there is no record that could; or this operator made it or has looked into it.
    Ours,
    /// The record knew nothing of it. It counts for nothing until its template is found to be what is asked for.
    Stranger,
    /// Nothing is known yet.
    Unknown,
}

fn origin(rollout: &Rollout, memory: &Memory, uid: &str) -> Origin {
    let is_ours = memory.ours.iter().any(|known| known == uid);
    if rollout.record().is_none_or(|record| record.knows(uid)) || is_ours {
        Origin::Ours
    } else if memory.strangers.contains(uid) {
        Origin::Stranger
    } else {
        Origin::Unknown
    }
}

/// ReplicaSets whose state came from an answer of the API server within this reconcile: name and resourceVersion.
pub type Fresh = HashSet<(String, String)>;

/// What is known of one rollout.
pub struct Observed {
    /// Its world.
    pub world: World,
    /// UIDs of ReplicaSets that say that they are its own, and of which nothing is known yet. They are not in its world.
    pub unknown: Vec<String>,
}

/// What is known of one rollout at the time `now`; `None` if it does not exist (any more), or cannot be read. `live`: what is cached of it has just been
/// read.
pub fn observe(
    caches: &Caches,
    memories: &Memories,
    on_demand: &OnDemand,
    key: &Key,
    fresh: &Fresh,
    live: bool,
    now: Timestamp,
) -> Option<Observed> {
    let mut rollout = readable(caches, key)?;
    let memory = memories.of(key);
    let (mut replica_sets, mut unknown) = (Vec::new(), Vec::new());
    for owned in caches.sets.group(key).into_iter().filter(|owned| owned.owner_uid == rollout.uid) {
        match origin(&rollout, &memory, &owned.set.uid) {
            Origin::Ours => replica_sets.push(owned.set),
            Origin::Stranger => {}
            Origin::Unknown => unknown.push(owned.set.uid),
        }
    }
    replica_sets.sort_by(|a, b| a.name.cmp(&b.name));
    for rs in &mut replica_sets {
        rs.fresh = fresh.contains(&(rs.name.clone(), rs.resource_version.clone()));
    }
    let marked = caches.services.group_keys(key);
    let named = rollout.spec.blue_green().services().map(|name| key.sibling(name));
    let named = named.filter(|name| !marked.contains(name)).filter_map(|name| caches.services.get(&name));
    let has = |hash: &str| replica_sets.iter().any(|rs| rs.hash == hash);
    let marked = marked.iter().filter_map(|name| caches.services.outline(name));
    let marked = marked.filter(|kept| rollout.looks_after(&kept.service, has));
    let mut services: BTreeMap<_, _> =
        named.chain(marked).map(|kept| (kept.service.name.clone(), kept.service)).collect();
    for service in services.values_mut() {
        service.answered = memory.has_moved(&service.name, &service.resource_version);
    }
    let (endpoints, pods) = on_demand.seen(key);
    let own = |(hash, pods): (String, Vec<OwnedPod>)| {
        let own = own_pods(&replica_sets, &hash, pods);
        (hash, own)
    };
    let pods = pods.into_iter().map(own).collect();
    let rivals = rivals(caches, &rollout);
    let workload =
        rollout.spec.workload_ref.as_ref().and_then(|workload| caches.workloads.get(&key.sibling(&workload.name)));
    let workload = workload.map(|kept| kept.workload);
    if let Some(workload) = &workload {
        rollout.template = workload.template.clone();
    }
    let world = World {
        rivals,
        rollout,
        workload,
        replica_sets,
        services,
        endpoints,
        pods,
        refused: memory.refusal(now),
        runs: caches.runs.group(key).into_iter().filter_map(|run| run.says).collect(),
        refused_writes: memory.refused_writes(now),
        published_at: memory.published_at(now),
        troubles: memory.troubles.into_values().chain(on_demand.troubles(key)).collect(),
        blind: on_demand.is_blind(key),
        live,
    };
    Some(Observed { world, unknown })
}

/// The rollout, if what it asks for is known. One that is being deleted asks for nothing: which Services it has is enough to let it go.
fn readable(caches: &Caches, key: &Key) -> Option<Rollout> {
    let Some(unreadable) = caches.rollouts.unreadable(key) else { return caches.rollouts.get(key) };
    let outline = caches.rollouts.outline(key)?;
    let is_of_now = outline.resource_version == unreadable.resource_version();
    if is_of_now && outline.is_deleting() { Some(outline) } else { None }
}

/// Those of these pods with one hash that a ReplicaSet of the rollout made: others may carry the same hash, and are not its own to evict.
fn own_pods(replica_sets: &[ReplicaSet], hash: &str, pods: Vec<OwnedPod>) -> Vec<Pod> {
    let of_hash = || replica_sets.iter().filter(|rs| rs.hash == hash);
    let own = pods.into_iter().filter(|pod| of_hash().any(|rs| rs.uid == pod.owner));
    own.map(|pod| pod.pod).collect()
}

fn rivals(caches: &Caches, rollout: &Rollout) -> Vec<Rival> {
    let key = rollout.key();
    let names_the_same = rollout.groups().into_iter().flat_map(|group| caches.rollouts.group_keys(&group));
    let others: BTreeSet<Key> = names_the_same.filter(|other| *other != key).collect();
    let rival = |other: Rollout| Rival {
        created: other.created,
        services: other.spec.blue_green().services().map(str::to_owned).collect(),
        name: other.name,
    };
    let others = others.iter().filter_map(|other| caches.rollouts.outline(other));
    others.filter(|other| !other.is_deleting()).map(rival).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::fake;
    use crate::cluster::objects::ReplicaSetView;

    /// A rollout whose record has ReplicaSets of these UIDs.
    fn rollout(recorded: &[&str]) -> Rollout {
        let revision = |uid: &&str| json!({"hash": uid, "digest": "x", "number": 1, "uid": uid});
        let revisions: Vec<_> = recorded.iter().map(revision).collect();
        fake::rollout("shop", "web", "web", &json!({"decisions": {"serving": "", "revisions": revisions}}))
    }

    #[test]
    fn a_set_that_an_older_status_does_not_know_is_looked_at_anew_although_this_operator_made_it() {
        let mut memory = Memory::default();
        memory.note_ours("made".to_owned());
        assert_eq!(origin(&rollout(&["before"]), &memory, "made"), Origin::Ours, "it is not on record yet");
        let recorded = rollout(&["before", "made"]);
        memory.forget_recorded(|uid| recorded.record().is_some_and(|record| record.knows(uid)));
        assert_eq!(origin(&recorded, &memory, "made"), Origin::Ours);
        // Somebody restores a backup of the status.
        assert_eq!(origin(&rollout(&["before"]), &memory, "made"), Origin::Unknown);
        memory.note_strangers(vec!["made".to_owned()], &BTreeSet::new());
        assert_eq!(origin(&rollout(&["before"]), &memory, "made"), Origin::Stranger, "it counts for nothing");
        // Its template was compared, and is what is asked for.
        memory.note_ours("made".to_owned());
        assert_eq!(origin(&rollout(&["before"]), &memory, "made"), Origin::Ours);
    }

    /// Two ReplicaSets of the same hash, of two rollouts, as an older version made them of one template; and a pod of each, with the same labels.
    #[test]
    fn a_pod_that_another_rollout_made_is_not_its_own_to_evict_although_the_hash_is_the_same() {
        let set = json!({
            "metadata": {
                "name": "web-abc", "namespace": "shop", "uid": "ours",
                "ownerReferences": [{
                    "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "web", "uid": "u", "controller": true,
                }],
            },
            "spec": {"template": {"metadata": {"labels": {"app": "web", "rollouts-pod-template-hash": "abc"}}}},
        });
        let set =
            serde_json::from_value::<ReplicaSetView>(set).expect("a ReplicaSet").keep().expect("it has an owner").set;
        let pod = |name: &str, owner: &str| OwnedPod {
            owner: owner.to_owned(),
            pod: Pod {
                name: name.to_owned(),
                uid: name.to_owned(),
                resource_version: "1".to_owned(),
                created: Timestamp::UNIX_EPOCH,
                deleting: false,
                over: false,
                ready: true,
                deletion_cost: 0,
                reason: String::new(),
                message: String::new(),
            },
        };
        let pods = || vec![pod("ours", "ours"), pod("theirs", "theirs"), pod("of-nobody", "")];
        let names = |pods: Vec<Pod>| pods.into_iter().map(|pod| pod.name).collect::<Vec<_>>();
        assert_eq!(names(own_pods(std::slice::from_ref(&set), "abc", pods())), ["ours"]);
        assert!(own_pods(&[set], "bcd", pods()).is_empty(), "nor are those of another revision");
    }
}

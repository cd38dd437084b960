//! What is kept of the watched objects. Each view decodes only what decisions need, and is turned into the core's type as
//! it arrives. This, and the packing in the cache, is why ten thousand rollouts fit into little memory.
//!
//! | object | file |
//! |---|---|
//! | a rollout, and what is read of one that cannot be read as a whole | `rollout` |
//! | its ReplicaSets, Services, Deployment | `replica_set`, `service`, `deployment` |
//! | its analyses and their Jobs | `analysis_run`, `job` |
//! | what the views have in common | `narrow` |

mod analysis_run;
mod deployment;
mod job;
pub mod narrow;
mod replica_set;
mod rollout;
mod service;

pub use analysis_run::{JOB, JOB_UID, JobToEnd, KeptRun, RunView, State, unfinished_jobs};
pub use deployment::{DeploymentView, KeptWorkload};
pub use job::{JobOutcome, JobView, KeptJob};
pub use replica_set::{OwnedSet, ReplicaSetView};
pub use rollout::{PublishedView, RolloutView, WholeRollout, workload_group};
pub use service::{KeptService, ServiceView};

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::Arc;

    use greenlight_api::analysis::AnalysisRun;
    use greenlight_api::{AnalysisPhase, names};
    use greenlight_core::from_api;

    use serde_json::{Value, json};

    use super::*;
    use crate::allocated::held;
    use crate::api_server::leadership::Leadership;
    use crate::cluster::arrived::Arrived;
    use crate::cluster::cache::Cached;
    use crate::cluster::caches::Caches;
    use crate::cluster::objects::KeptRun;
    use crate::telemetry::metrics::Metrics;

    /// What an object of the API server begins with.
    fn meta(name: &str, labels: &Value, annotations: Value) -> Value {
        json!({
            "name": name, "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e", "generation": 3,
            "resourceVersion": "1234567890", "creationTimestamp": "2026-11-23T23:04:43Z",
            "labels": labels, "annotations": annotations,
            "managedFields": [{"manager": "greenlight", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
        })
    }

    fn labels() -> Value {
        json!({"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"})
    }

    /// Of some 3 KB.
    fn template() -> Value {
        let env: Vec<Value> =
            (0..40).map(|n| json!({"name": format!("SETTING_{n}"), "value": "x".repeat(40)})).collect();
        json!({
            "metadata": {"labels": labels()},
            "spec": {"containers": [{"name": "web", "image": "shop/web:1.2.3", "env": env}]},
        })
    }

    /// What the API server sends of a rollout that has been released twice.
    fn rollout(name: &str) -> Value {
        let (labels, template) = (labels(), template());
        let condition = |type_: &str| {
            json!({
                "type": type_, "status": "True", "reason": "Healthy", "observedGeneration": 3,
                "lastTransitionTime": "2026-11-23T23:04:43Z", "message": "revision 3 (web:v1) is active",
            })
        };
        json!({
            "metadata": meta(name, &labels, json!({
                "greenlight.dev/request": json!({
                    "action": "promote", "revision": "5shpm7h2q6", "by": "ann@example.com", "at": "2026-11-23T23:04:43Z",
                }).to_string(),
                "kubectl.kubernetes.io/last-applied-configuration": template.to_string(),
            })),
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
                "template": template,
                "strategy": {"blueGreen": {
                    "activeService": format!("{name}-active"), "previewService": format!("{name}-preview"),
                    "autoPromotionEnabled": false, "scaleDownDelaySeconds": 600,
                }},
            },
            "status": {
                "activeRevision": "5shpm7h2q6", "previewRevision": "5shpm7h2q6", "stableRevision": "5shpm7h2q6",
                "updatedRevision": "5shpm7h2q6", "currentRevision": 3, "phase": "Healthy", "ready": "2/2",
                "message": "revision 3 (web:v1) is active", "selector": "app=web,rollouts-pod-template-hash=5shpm7h2q6",
                "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 3,
                "conditions": [condition("Ready"), condition("Available"), condition("Paused")],
                "release": {"revision": "5shpm7h2q6", "seenAt": "2026-11-23T23:04:43.409591091Z"},
                "switch": {
                    "from": "hq2r5shpm7", "to": "5shpm7h2q6", "requestedBy": "ann@example.com",
                    "requestedAt": "2026-11-23T23:04:43Z", "switchedAt": "2026-11-23T23:04:43.494356903Z",
                    "provenAt": "2026-11-23T23:04:43.512243719Z",
                },
                "decisions": decisions(),
            },
        })
    }

    fn decisions() -> Value {
        let record = |number: i32| {
            json!({
                "hash": format!("5shpm7h2q{number}"), "digest": "9f86d081884c7d659a2feaa0c55ad015".repeat(2), "number": number,
                "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e", "servedAt": "2026-11-23T23:04:43.512243719Z",
                "leftAt": "2026-11-23T23:04:43.512243719Z", "prePromotion": "NotNeeded", "postPromotion": "NotNeeded",
                "approvals": [{"by": "ann@example.com", "at": "2026-11-23T23:04:43Z"}],
            })
        };
        json!({
            "serving": "5shpm7h2q3", "replicas": 2, "specReplicas": 2,
            "template": "9f86d081884c7d659a2feaa0c55ad015".repeat(2), "revisions": [record(1), record(2), record(3)],
        })
    }

    fn keep_rollout(caches: &Caches, number: usize) {
        let view: RolloutView = serde_json::from_value(rollout(&format!("web-{number}"))).expect("a rollout");
        caches.rollouts.put(view.keep());
    }

    fn keep_services(caches: &Caches, number: usize) {
        let name = format!("web-{number}");
        for service in ["active", "preview"] {
            let mut metadata = meta(
                &format!("{name}-{service}"),
                &labels(),
                json!({names::MANAGED_BY: name, names::PRODUCTION: "5shpm7h2q6"}),
            );
            metadata["labels"]["greenlight.dev/managed"] = "true".into();
            let selector = json!({"app.kubernetes.io/name": "web", "rollouts-pod-template-hash": "5shpm7h2q6"});
            let view =
                serde_json::from_value::<ServiceView>(json!({"metadata": metadata, "spec": {"selector": selector}}));
            caches.services.put(view.expect("a Service").keep());
        }
    }

    /// Each has a hash of its own.
    fn replica_set(name: &str, revision: usize) -> Value {
        let hash = format!("{name:q<9}{revision}");
        let labels = json!({names::HASH_LABEL: hash, "app.kubernetes.io/name": "web"});
        let mut template = template();
        template["metadata"]["labels"] = labels.clone();
        let mut metadata = meta(
            &format!("{name}-{hash}"),
            &labels,
            json!({
                names::REVISION: revision.to_string(), names::TEMPLATE_DIGEST: "9f86d081884c7d659a2feaa0c55ad015".repeat(2),
                names::PROMOTED_AT: "2026-11-23T23:04:43.494356903Z",
            }),
        );
        metadata["ownerReferences"] = json!([{
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": name, "controller": true,
            "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
        }]);
        json!({
            "metadata": metadata,
            "spec": {"replicas": 2, "template": template},
            "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 3},
        })
    }

    fn keep_replica_sets(caches: &Caches, number: usize) {
        for revision in 1..=3 {
            let view = serde_json::from_value::<ReplicaSetView>(replica_set(&format!("web-{number}"), revision));
            caches.sets.put(view.expect("a ReplicaSet").keep().expect("a rollout's"));
        }
    }

    fn keep_runs(caches: &Caches, number: usize) {
        let name = format!("web-{number}");
        for revision in 1..=3 {
            ["pre", "post"]
                .iter()
                .for_each(|kind| keep_run(caches, &name, &format!("{name}-5shpm7h2q{revision}-{kind}-1")));
        }
    }

    fn keep_jobs(caches: &Caches, number: usize) {
        let name = format!("web-{number}");
        for revision in 1..=3 {
            ["pre", "post"].iter().for_each(|kind| keep_job(caches, &format!("{name}-5shpm7h2q{revision}-{kind}-1")));
        }
    }

    fn keep_deployment(caches: &Caches, number: usize) {
        let deployment = json!({
            "metadata": meta(&format!("web-{number}"), &labels(), json!({"deployment.kubernetes.io/revision": "3"})),
            "spec": {"replicas": 0, "template": template()},
        });
        caches.workloads.put(serde_json::from_value::<DeploymentView>(deployment).expect("a Deployment").keep());
    }

    fn managed_fields() -> Value {
        json!([{"manager": "greenlight", "operation": "Update", "fieldsV1": {"f:spec": {"f:metrics": {}}}}])
    }

    fn job_spec() -> Value {
        json!({"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "smoke", "image": "smoke:1", "args": vec!["x".repeat(40); 40]}],
        }}})
    }

    /// An analysis that is over, by an address and by a Job.
    fn keep_run(caches: &Caches, rollout: &str, name: &str) {
        let time = "2026-11-23T23:04:43.512243719Z";
        let measurement = |number: usize, metadata: Value| json!({"phase": "Successful", "value": number.to_string(), "startedAt": time, "finishedAt": time, "metadata": metadata});
        let spec = json!({"metrics": [
            {"name": "errors", "interval": "10s", "count": 10, "successCondition": "result < 1",
                "provider": {"prometheus": {"address": "http://prometheus", "query": "q".repeat(300)}}},
            {"name": "smoke", "provider": {"job": {"spec": job_spec()}}},
        ]});
        let digest = from_api::spec_digest(&serde_json::from_value(spec.clone()).expect("a spec"));
        let many: Vec<Value> = (0..10).map(|number| measurement(number, json!({}))).collect();
        let one = [measurement(
            1,
            json!({"job-name": format!("{name}-smoke"), "job-uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e"}),
        )];
        let run = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun",
            "metadata": {
                "name": name, "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                "resourceVersion": "1234567890", "annotations": {names::ROLLOUT: rollout}, "managedFields": managed_fields(),
            },
            "spec": spec,
            "status": {
                "phase": "Successful", "startedAt": time, "completedAt": time, "specDigest": digest,
                "metricResults": [
                    {"name": "errors", "phase": "Successful", "successful": 10, "count": 10, "measurements": many},
                    {"name": "smoke", "phase": "Successful", "successful": 1, "count": 1, "measurements": one},
                ],
            },
        });
        let run: AnalysisRun = serde_json::from_value(run).expect("an AnalysisRun");
        let kept = KeptRun::from(run);
        assert_eq!(kept.says.as_ref().map(|run| run.phase), Some(AnalysisPhase::Successful));
        caches.runs.put(kept);
    }

    fn keep_job(caches: &Caches, name: &str) {
        let job = json!({
            "metadata": {
                "name": format!("{name}-smoke"), "namespace": "shop", "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                "resourceVersion": "1234567890", "managedFields": managed_fields(),
                "ownerReferences": [{
                    "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "name": name, "controller": true,
                    "uid": "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e",
                }],
            },
            "spec": job_spec(),
            "status": {"conditions": [{"type": "Complete", "status": "True", "message": "Reached expected number of succeeded pods"}]},
        });
        caches.jobs.put(serde_json::from_value::<JobView>(job).expect("a Job").keep());
    }

    type Keep = fn(&Caches, usize);

    /// What there is of a rollout that was released twice: a kind, how many, how many bytes of each may be kept: 15 % more than the figures of
    /// docs/performance.md.
    const KINDS: [(&str, u64, u64, Keep); 6] = [
        ("rollouts", 1, 723, keep_rollout),
        ("Services", 2, 392, keep_services),
        ("ReplicaSets", 3, 585, keep_replica_sets),
        ("analyses", 6, 312, keep_runs),
        ("Jobs", 6, 432, keep_jobs),
        ("Deployments", 1, 264, keep_deployment),
    ];

    /// Does it once, or as often as is asked for: `cargo xtask instructions` counts what once takes.
    fn again_and_again(work: impl FnMut(u64)) {
        let times = std::env::var("GREENLIGHT_TIMES").map_or(1, |times| times.parse().expect("a number"));
        (0..times).for_each(work);
    }

    #[test]
    fn what_a_watch_brings_of_a_rollout_is_decoded() {
        let json = rollout("web").to_string();
        again_and_again(|_| {
            let arrived: Arrived<RolloutView> = serde_json::from_str(black_box(&json)).expect("arrived");
            let Arrived::Readable(view) = arrived else { panic!("it can be read") };
            black_box(view.keep());
        });
    }

    #[test]
    fn what_a_watch_brings_of_a_replica_set_is_decoded() {
        let json = replica_set("web", 1).to_string();
        again_and_again(|_| {
            let arrived: Arrived<ReplicaSetView> = serde_json::from_str(black_box(&json)).expect("arrived");
            let Arrived::Readable(view) = arrived else { panic!("it can be read") };
            black_box(view.keep().expect("a rollout's"));
        });
    }

    #[test]
    fn a_rollout_is_packed_and_unpacked() {
        let caches = Caches::default();
        let view: RolloutView = serde_json::from_value(rollout("web")).expect("a rollout");
        let mut rollout = view.keep();
        let key = rollout.key();
        again_and_again(|time| {
            rollout.resource_version = time.to_string();
            caches.rollouts.put_answer(rollout.clone());
            black_box(caches.rollouts.glance(&key).expect("it is kept"));
        });
    }

    #[test]
    fn a_template_of_the_same_hash_is_looked_for_among_many() {
        let caches = Caches::default();
        (0..100).for_each(|number| keep_replica_sets(&caches, number));
        let taken = serde_json::from_value::<ReplicaSetView>(replica_set("shop", 7)).expect("a ReplicaSet").keep();
        let OwnedSet { set, .. } = taken.clone().expect("a rollout's");
        caches.sets.put(taken.expect("a rollout's"));
        let view: RolloutView = serde_json::from_value(rollout("other")).expect("a rollout");
        let mut rollout = view.keep();
        "of another rollout".clone_into(&mut rollout.uid);
        let other = |digest| caches.sets.other_template_of(&rollout, &set.hash, digest);
        assert_eq!([other("another"), other(&set.digest)], [Some("shop".to_owned()), None]);
        again_and_again(|_| drop(black_box(other("another"))));
    }

    #[test]
    fn a_status_is_encoded() {
        let view: RolloutView = serde_json::from_value(rollout("web")).expect("a rollout");
        let status = view.keep().status.expect("a status");
        again_and_again(|_| drop(black_box(serde_json::to_vec(black_box(&status)))));
    }

    #[test]
    fn ten_thousand_rollouts_with_their_analyses_fit_into_a_hundred_megabytes() {
        let caches = Arc::new(Caches::default());
        let rollouts = 2_000;
        let mut each = 0;
        let mut too_large = Vec::new();
        for (kind, of_one, most, keep) in KINDS {
            let before = held();
            (0..rollouts).for_each(|number| keep(&caches, number));
            let bytes = (held() - before) / rollouts as u64;
            each += bytes;
            println!("{kind}: {} bytes each, at most {most}; {of_one} of a rollout", bytes / of_one);
            if bytes / of_one > most {
                too_large.push(kind);
            }
        }
        assert!(too_large.is_empty(), "more is kept than may be of {too_large:?}");
        let sizes = [caches.sets.len(), caches.services.len(), caches.runs.len(), caches.jobs.len()];
        assert_eq!(sizes, [3, 2, 6, 6].map(|of_one| of_one * rollouts));
        assert_eq!([caches.rollouts.len(), caches.workloads.len()], [rollouts; 2]);
        // The program itself takes twenty.
        println!("{each} bytes each");
        assert!(each < 8_000, "{each} bytes each");
        // A scrape makes text, and nothing else that counts.
        let metrics = Metrics::new(caches, Leadership::undisputed());
        metrics.leads(1);
        let allocated = || tikv_jemalloc_ctl::thread::allocatedp::read().expect("statistics").get();
        let (before, allocated_before) = (held(), allocated());
        let text = metrics.text();
        println!(
            "a scrape: {} bytes of text for each, {} allocated in all",
            text.len() / rollouts,
            (allocated() - allocated_before) / rollouts as u64
        );
        assert!(text.len() / rollouts < 700);
        drop(text);
        assert!(held() - before < 100_000, "nothing of it stays");
    }
}

//! Whoever comes by the operator's token: it may do what the operator does, and nothing else that its Role would let it do. All operators of
//! these suites run under the same policy, so that it does everything that it has to is shown by all of them.

use greenlight_api::BlueGreenRollout;
use greenlight_e2e::{Lab, cluster, eventually, rollout};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use serde_json::{Value, json};

use super::attack::{How, Step};
use super::range::{EVIL, Words, send};
use super::table::many;

/// The account that operators of the tests run as.
const OPERATOR: &str = "system:serviceaccount:greenlight-rights:greenlight";

/// The name of a rollout that is longer than that of a ReplicaSet may be. The dash behind which it is cut is left out, too.
const LONG: &str = "a-team-with-many-words-for-what-we-look-after-in-production";
/// One that is cut within a word.
const CUT_IN_A_WORD: &str = "a-team-with-many-words-for-all-that-production-depends-on";

/// What is tried, and how the policy refuses it; nothing, if it is what the operator does.
type Attempt = (&'static str, How, &'static str, Value, Option<&'static str>);

fn attempts() -> Vec<Attempt> {
    let pods = Some("of pods, Greenlight changes only labels and annotations");
    let deployment = Some("of a Deployment, Greenlight changes only spec.replicas");
    let belongs = Some("only ReplicaSets that belong to a rollout");
    let set = Some("of a ReplicaSet, Greenlight changes only its size");
    let jobs = Some("only Jobs that belong to an AnalysisRun");
    let service = Some("of a Service, Greenlight changes only its selector");
    let selector = Some("of a Service's selector, Greenlight changes only the hash");
    let rollout = Some("of a rollout, Greenlight writes only its finalizer");
    let requests = Some("Greenlight makes no requests");
    let runs = Some("Greenlight creates AnalysisRuns for a rollout, and ends them");
    let namespace = Some("Greenlight does not work in the namespace kube-system");
    let image = |name: &str, image: &str| json!({"spec": {"containers": [{"name": name, "image": image}]}});
    let of_template = |template: Value| json!({"spec": {"template": template}});
    let request = |value: &str| json!({"metadata": {"annotations": {"greenlight.dev/request": value}}});
    let hash = |hash: &str| json!({"rollouts-pod-template-hash": hash});
    let managed = || json!({"annotations": {"greenlight.dev/managed-by": "web"}});
    vec![
        ("labels of a pod", How::Merge, "pods/{pod}", json!({"metadata": {"labels": {"role": "active"}}}), None),
        ("the image of a pod", How::Strategic, "pods/{pod}", image("web", EVIL), pods),
        ("the owner of a pod", How::Merge, "pods/{pod}", json!({"metadata": {"ownerReferences": null}}), pods),
        ("a finalizer of a pod", How::Merge, "pods/{pod}", json!({"metadata": {"finalizers": ["x.example/y"]}}), pods),
        ("another hash for a pod", How::Merge, "pods/{pod}", json!({"metadata": {"labels": hash("x")}}), pods),
        (
            "a pod of nobody for the active Service",
            How::Merge,
            "pods/bare",
            json!({"metadata": {"labels": {"app": "web", "rollouts-pod-template-hash": "{v1}"}}}),
            pods,
        ),
        ("evicting a pod", How::Create, "pods/{pod}/eviction", eviction("{pod}"), None),
        ("the replicas of a Deployment", How::Merge, "deployments/others", json!({"spec": {"replicas": 0}}), None),
        (
            "the image of a Deployment",
            How::Strategic,
            "deployments/others",
            of_template(image("web", EVIL)),
            deployment,
        ),
        ("a paused Deployment", How::Merge, "deployments/others", json!({"spec": {"paused": true}}), deployment),
        (
            "an annotation of a Deployment",
            How::Merge,
            "deployments/others",
            json!({"metadata": {"annotations": {"x": "y"}}}),
            deployment,
        ),
        ("the size of a ReplicaSet", How::Merge, "replicasets/{set}", json!({"spec": {"replicas": 3}}), None),
        ("the image of a ReplicaSet", How::Strategic, "replicasets/{set}", of_template(image("web", EVIL)), set),
        (
            "the account of a ReplicaSet's pods",
            How::Merge,
            "replicasets/{set}",
            of_template(json!({"spec": {"serviceAccountName": "admin"}})),
            set,
        ),
        (
            "another owner of a ReplicaSet",
            How::Merge,
            "replicasets/{set}",
            json!({"metadata": {"ownerReferences": null}}),
            set,
        ),
        (
            "a finalizer of others on a ReplicaSet",
            How::Merge,
            "replicasets/{set}",
            json!({"metadata": {"finalizers": ["x.example/y"]}}),
            set,
        ),
        (
            "the size of a ReplicaSet of others",
            How::Merge,
            "replicasets/foreign",
            json!({"spec": {"replicas": 0}}),
            belongs,
        ),
        ("deleting a ReplicaSet of others", How::Delete, "replicasets/foreign", Value::Null, belongs),
        (
            "taking a ReplicaSet of others",
            How::Merge,
            "replicasets/foreign",
            json!({"metadata": {"ownerReferences": [owner()]}}),
            belongs,
        ),
        ("a ReplicaSet of a rollout", How::Create, "replicasets", replica_set("web-other", Some(owner())), None),
        ("a ReplicaSet of nobody", How::Create, "replicasets", replica_set("web-other", None), belongs),
        (
            "a ReplicaSet of a rollout, under any name",
            How::Create,
            "replicasets",
            replica_set("anything", Some(owner())),
            Some("is named for its rollout"),
        ),
        (
            "a ReplicaSet of a rollout with a long name",
            How::Create,
            "replicasets",
            replica_set(&format!("{}-other", &LONG[..45]), Some(owner_named(LONG))),
            None,
        ),
        (
            "a ReplicaSet of a rollout with a long name, under another beginning",
            How::Create,
            "replicasets",
            replica_set(&format!("{}-other", &LONG[..44]), Some(owner_named(LONG))),
            Some("is named for its rollout"),
        ),
        (
            "a ReplicaSet of a rollout with a long name that is cut within a word",
            How::Create,
            "replicasets",
            replica_set(&format!("{}-other", "a".repeat(46)), Some(owner_named(&"a".repeat(60)))),
            None,
        ),
        (
            "the same, under more of the name than is used",
            How::Create,
            "replicasets",
            replica_set(&format!("{}-other", "a".repeat(47)), Some(owner_named(&"a".repeat(60)))),
            Some("is named for its rollout"),
        ),
        ("a Job of an AnalysisRun", How::Create, "jobs", job(true), None),
        ("a Job of nobody", How::Create, "jobs", job(false), jobs),
        ("deleting a Job of others", How::Delete, "jobs/foreign", Value::Null, jobs),
        ("the hash of a Service", How::Merge, "services/web-active", json!({"spec": {"selector": hash("x")}}), None),
        ("a port of a Service", How::Merge, "services/web-active", json!({"spec": {"ports": [{"port": 81}]}}), service),
        (
            "another address for a Service",
            How::Merge,
            "services/web-active",
            json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
            service,
        ),
        ("the type of a Service", How::Merge, "services/web-active", json!({"spec": {"type": "NodePort"}}), service),
        (
            "another app for a Service",
            How::Merge,
            "services/web-active",
            json!({"spec": {"selector": {"app": "evil"}}}),
            selector,
        ),
        (
            "a Service of others, unmarked",
            How::Merge,
            "services/others",
            json!({"spec": {"selector": hash("{v1}")}}),
            selector,
        ),
        (
            "nothing of its own in a Service that selects nothing",
            How::Merge,
            "services/manual",
            json!({"metadata": {"annotations": {"greenlight.dev/managed-by": null}}, "spec": {"selector": {"rollouts-pod-template-hash": null}}}),
            None,
        ),
        (
            "nothing of its own in a Service that selects nothing else",
            How::Merge,
            "services/hashed",
            json!({"metadata": {"annotations": {"greenlight.dev/managed-by": null}}, "spec": {"selector": {"rollouts-pod-template-hash": null}}}),
            None,
        ),
        (
            "nothing any more in a Service of others",
            How::Merge,
            "services/others",
            json!({"metadata": managed(), "spec": {"selector": null}}),
            selector,
        ),
        (
            "pods for a Service that selects none by itself",
            How::Merge,
            "services/manual",
            json!({"metadata": managed(), "spec": {"selector": hash("{v1}")}}),
            service,
        ),
        ("the template of a rollout", How::Merge, "bluegreenrollouts/web", json!({"spec": {"paused": true}}), rollout),
        (
            "a label of a rollout",
            How::Merge,
            "bluegreenrollouts/web",
            json!({"metadata": {"labels": {"x": "y"}}}),
            rollout,
        ),
        (
            "a request",
            How::Merge,
            "bluegreenrollouts/web",
            request(r#"{"action":"promote","revision":"{v2}"}"#),
            requests,
        ),
        (
            "a request that was typed, written out",
            How::Merge,
            "bluegreenrollouts/typed",
            request(r#"{"action":"restart","revision":"x","by":"","at":"2026-01-01T00:00:00Z"}"#),
            None,
        ),
        (
            "a request that was typed, written out in somebody's name",
            How::Merge,
            "bluegreenrollouts/typed",
            request(r#"{"action":"restart","revision":"x","by":"adam","at":"2026-01-01T00:00:00Z"}"#),
            requests,
        ),
        (
            "another request than was typed",
            How::Merge,
            "bluegreenrollouts/typed",
            request(r#"{"action":"promote","revision":"x","by":"","at":"2026-01-01T00:00:00Z"}"#),
            requests,
        ),
        ("an AnalysisRun of nobody", How::Create, "analysisruns", run("free"), runs),
        ("ending an AnalysisRun", How::Merge, "analysisruns/hand", json!({"spec": {"terminate": true}}), None),
        (
            "ending an AnalysisRun to which somebody gave very many annotations",
            How::Merge,
            "analysisruns/many",
            json!({"spec": {"terminate": true}}),
            None,
        ),
        ("other metrics of an AnalysisRun", How::Merge, "analysisruns/hand", json!({"spec": {"metrics": []}}), runs),
        ("its lease", How::Create, "leases", lease("greenlight"), None),
        ("the lease of a shard", How::Create, "leases", lease("greenlight-1"), None),
        ("the lease of another", How::Create, "leases", lease("others"), Some("only its leases")),
        (
            "the lease of another that sounds like its own",
            How::Create,
            "leases",
            lease("greenlight-dashboard"),
            Some("only its leases"),
        ),
        (
            "a Deployment in kube-system",
            How::Merge,
            "kube-system:deployments/confined",
            json!({"spec": {"replicas": 0}}),
            namespace,
        ),
        (
            "a Service in kube-system",
            How::Merge,
            "kube-system:services/confined",
            json!({"spec": {"selector": hash("x")}}),
            namespace,
        ),
        (
            "a ReplicaSet in kube-system",
            How::Create,
            "kube-system:replicasets",
            replica_set("web-other", Some(owner())),
            namespace,
        ),
        (
            "evicting a pod in kube-system",
            How::Create,
            "kube-system:pods/confined/eviction",
            eviction("confined"),
            namespace,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_operators_token_can_do_no_more_than_the_operator_does() {
    let lab = Lab::new("confined").await;
    let before = lab.deploy(json!({"replicas": 2})).await;
    let hash = before.hash_of_image("web:v1").expect("a set");
    let uid = before.rollout.as_ref().and_then(ResourceExt::uid).expect("a UID");
    let deployment = |name: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "x:v1"}]}},
            },
        })
    };
    let service = |name: &str, selector: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector, "ports": [{"port": 80}]}});
    let bare = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
        "spec": {"containers": [{"name": "web", "image": EVIL}]},
    });
    let mut job = job(false);
    job["metadata"]["name"] = "foreign".into();
    let mut typed = rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
    typed["metadata"] = json!({"name": "typed", "annotations": {"greenlight.dev/request": "restart"}});
    let mut hashed = service("hashed", json!({"rollouts-pod-template-hash": "x"}));
    hashed["metadata"]["annotations"] = json!({"greenlight.dev/managed-by": "other"});
    let mut theirs = [
        deployment("others"),
        replica_set("foreign", None),
        service("others", json!({"app": "others"})),
        service("manual", Value::Null),
        hashed,
        bare,
        job,
        run("hand"),
    ];
    theirs.iter_mut().for_each(|object| {
        if let Some(text) = object.to_string().contains("{v1}").then(|| object.to_string().replace("{v1}", &hash)) {
            *object = serde_json::from_str(&text).expect("JSON");
        }
    });
    theirs.iter().for_each(|object| drop(lab.apply(object).unwrap_or_else(|error| panic!("{error:#}"))));
    let mut crowded = run("many");
    crowded["metadata"]["annotations"] = many(40_000).into();
    lab.create_raw("/apis/greenlight.dev/v1alpha1/namespaces/confined/analysisruns", &crowded);
    let system = [deployment("confined"), service("confined", json!({"app": "confined"}))];
    for object in system {
        let file = cluster().dir().join("confined.json");
        std::fs::write(&file, object.to_string()).expect("written");
        cluster().kubectl(&["apply", "-n", "kube-system", "-f", &file.display().to_string()]).expect("applied");
    }
    let pods: Api<Pod> = lab.api();
    let ours = ListParams::default().labels(&format!("rollouts-pod-template-hash={hash}"));
    let pod = pods.list(&ours).await.expect("pods").items.first().expect("one").name_any();
    let mut lab = lab;
    // A request that was typed is seen as it was typed only while nobody works.
    lab.kill_operator();
    lab.apply(&typed).expect("applied");
    let run_uid = lab.runs().await.first().and_then(ResourceExt::uid).expect("a run");
    let words = Words::of(vec![
        ("{pod}", pod),
        ("{set}", format!("web-{hash}")),
        ("{v1}", hash),
        ("{uid}", uid),
        ("{run}", run_uid),
    ]);
    let mut wrong = Vec::new();
    let attempts = attempts();
    println!("\n{:<50} with the operator's token", "what");
    for (what, how, path, body, refusal) in &attempts {
        let path = format!("{path}{}dryRun=All", if path.contains('?') { '&' } else { '?' });
        let step = Step { how: *how, path, body: body.clone(), may_fail: false, by: None };
        let answer = send(&lab, OPERATOR, &step, &words).await;
        println!("{what:<50} {}", if answer.is_ok() { "may" } else { "refused" });
        let as_expected = match (&answer, refusal) {
            (Ok(()), None) => true,
            (Err(why), Some(refusal)) => why.contains(refusal),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!("{what}: {answer:?}, expected {refusal:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_whose_name_is_too_long_for_a_replica_set_is_released_under_the_policy() {
    let lab = Lab::new("longname").await;
    let api: Api<BlueGreenRollout> = lab.api();
    let is_healthy =
        |rollout: BlueGreenRollout| rollout.status.is_some_and(|status| status.phase.as_str() == "Healthy");
    let sets: Api<ReplicaSet> = lab.api();
    for name in [LONG, CUT_IN_A_WORD] {
        let mut long = rollout(json!({"strategy": {"blueGreen": {"activeService": null, "previewService": null}}}));
        long["metadata"]["name"] = name.into();
        lab.apply(&long).expect("applied");
        eventually("it is healthy", async || is_healthy(api.get(name).await.expect("it is there"))).await;
        let left = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        api.delete(name, &left).await.expect("deleted");
        eventually("it is gone", async || api.get_opt(name).await.expect("readable").is_none()).await;
        lab.apply(&long).expect("applied");
        let uid = api.get(name).await.expect("it is there").uid().expect("the API server gives one");
        eventually("what it left behind is taken over", async || {
            let sets = sets.list(&ListParams::default()).await.expect("ReplicaSets");
            sets.iter().any(|rs| rs.owner_references().iter().any(|owner| owner.uid == uid))
        })
        .await;
    }
}

fn owner() -> Value {
    owner_named("web")
}

fn owner_named(name: &str) -> Value {
    json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "name": name, "uid": "{uid}", "controller": true, "blockOwnerDeletion": true})
}

fn eviction(pod: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
}

fn replica_set(name: &str, owner: Option<Value>) -> Value {
    let labels = json!({"app": "other", "rollouts-pod-template-hash": "other"});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "labels": labels, "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": EVIL}]}}},
    })
}

fn job(of_run: bool) -> Value {
    let owner = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "name": "hand", "uid": "{run}", "controller": true, "blockOwnerDeletion": true});
    let owners = if of_run { vec![owner] } else { Vec::new() };
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "some", "ownerReferences": owners},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}},
    })
}

fn run(name: &str) -> Value {
    json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name},
        "spec": {"metrics": [{"name": "x", "provider": {"web": {"url": "http://127.0.0.1:1/"}}}]},
    })
}

fn lease(name: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {"holderIdentity": "x"}})
}

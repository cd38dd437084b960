//! The operator dies after every single write of a whole cycle, one run per write. Whatever the write was, the next operator
//! finishes the work, and production was served all the time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenlight_e2e::{Lab, Snapshot, Witness, WriteCountingProxy, cluster, rollout};
use serde_json::json;
use tokio::task::JoinSet;

const AT_ONCE: usize = 4;
/// More writes than a cycle has: reached only if it never comes to rest.
const TOO_MANY: usize = 80;

/// The facts of the end that must not depend on when the operator died.
#[derive(Debug, PartialEq)]
struct End {
    images: [String; 2],
    replicas: [i32; 3],
    revisions: Vec<Option<String>>,
    phase: String,
    rejected_is_v3: bool,
    finalizers: usize,
}

fn end(now: &Snapshot) -> End {
    let images = ["web:v1", "web:v2", "web:v3"];
    End {
        images: ["web-active", "web-preview"].map(|service| now.image_of(service)),
        replicas: images.map(|image| now.replicas_of_image(image)),
        revisions: images.iter().map(|image| now.annotation_of_image(image, "greenlight.dev/revision")).collect(),
        phase: now.phase().to_owned(),
        rejected_is_v3: Some(now.status().rejected_revision) == now.hash_of_image("web:v3"),
        finalizers: now.sets.iter().map(|set| set.metadata.finalizers.as_ref().map_or(0, Vec::len)).sum(),
    }
}

fn wanted_end() -> End {
    End {
        images: ["web:v2".to_owned(), "web:v2".to_owned()],
        replicas: [0, 2, 0],
        revisions: ["1", "2", "3"].map(|number| Some(number.to_owned())).to_vec(),
        phase: "Degraded".to_owned(),
        rejected_is_v3: true,
        finalizers: 0,
    }
}

/// Runs a cycle (deploy, release, old set away, release, undo, rejected set away) and kills the operator once, after write
/// number `kill_after`. Returns the number of writes before the kill or the end.
async fn cycle(kill_after: usize) -> usize {
    let name = format!("crash-{kill_after}");
    let lab = Lab::without_operator(&name).await;
    let proxy =
        WriteCountingProxy::start(lab.client.clone(), move |write| write.number == kill_after).await.expect("a proxy");
    let mut operator = lab.operator_process("first", &proxy.kubeconfig(&name).expect("a kubeconfig"), &[]);
    let witness = Witness::start(lab.client.clone(), &name, "web-active");
    let mut work = pin!(person(&lab));
    tokio::select! {
        () = &mut work => {}
        () = proxy.withheld() => {
            operator.kill();
            operator = lab.operator_process("second", &cluster().kubeconfig(), &[]);
            // The person does not know of it, and goes on.
            work.await;
        }
    }
    witness.assert_never_below(2);
    drop(operator);
    cluster().kubectl(&["delete", "namespace", &name, "--wait=false"]).expect("deleted");
    proxy.writes()
}

/// What the person does, whatever happens to the operator.
async fn person(lab: &Lab) {
    lab.apply(&rollout(json!({"strategy": {"blueGreen": {"scaleDownDelaySeconds": 1}}}))).expect("applied");
    lab.until("v1 healthy", |now| now.phase() == "Healthy").await;
    lab.preview("web:v2").await;
    request(lab, "web:v2", "promote").await;
    lab.until("v2 active", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v2").await;
    lab.until("v1 down", |now| now.replicas_of_image("web:v1") == 0).await;
    lab.preview("web:v3").await;
    request(lab, "web:v3", "promote").await;
    lab.until("v3 active", |now| now.phase() == "Healthy" && now.image_of("web-active") == "web:v3").await;
    request(lab, "web:v3", "rollback").await;
    lab.until("at the end", |now| end(now) == wanted_end()).await;
}

async fn request(lab: &Lab, image: &str, action: &str) {
    let revision = lab.now().await.hash_of_image(image).expect("a set");
    let at = jiff::Timestamp::now();
    lab.annotate_request(&json!({"action": action, "revision": revision, "by": "test", "at": at}).to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_changes_nothing_about_the_end() {
    let next = Arc::new(AtomicUsize::new(1));
    let longest = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, longest) = (next.clone(), longest.clone());
        workers.spawn(async move {
            loop {
                let kill_after = next.fetch_add(1, Ordering::SeqCst);
                assert!(kill_after < TOO_MANY, "the cycle has no end");
                let writes = cycle(kill_after).await;
                if writes < kill_after {
                    longest.fetch_max(writes, Ordering::SeqCst);
                    return;
                }
            }
        });
    }
    while let Some(result) = workers.join_next().await {
        result.expect("every run ends well");
    }
    let writes = longest.load(Ordering::SeqCst);
    println!("a cycle has {writes} writes; the operator was killed after each of them");
    assert!(writes >= 15, "only {writes} writes: the cycle was not what it should be");
}

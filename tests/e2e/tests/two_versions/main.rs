//! Operators of two versions on the same rollouts: for some seconds of each upgrade, and for as long as it takes to find out if somebody
//! installs another one beside. The earlier version is the one from which the suite `node` upgrades. Its account has the rights that
//! today's chart gives, and the CRDs are today's, as in an upgrade: the chart brings both before the first new pod leads.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greenlight_api::{Request, Verb};
use greenlight_e2e::{Course, Lab, Snapshot, cluster, earlier, eventually, operator_kubeconfig};
use greenlight_test_cluster::Process;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};

/// For so long nothing happens that nobody requested.
const WATCHED: Duration = Duration::from_secs(4);
/// After so long without effect a request is made again: while both write one status, the answer to it may be lost.
const AGAIN: Duration = Duration::from_secs(10);
/// What production was in each story, from its beginning to its end.
const COURSE: [&str; 4] = ["web:v1", "web:v2", "web:v1", "web:v3"];

/// The operator of the earlier version. Without it there is nothing to show.
fn earlier_program() -> Option<PathBuf> {
    let program = earlier::program();
    if program.is_none() {
        println!(
            "SKIPPED: operators of two versions: `cargo xtask test --all` builds the earlier one, and sets GREENLIGHT_EARLIER"
        );
    }
    program
}

/// Starts the earlier version in a lab. Its log has not the lab's name: an upgrade may deny it what it did before.
fn start_earlier(program: &Path, lab: &Lab, number: usize, more: &[&str]) -> Process {
    let args =
        ["controller", "--namespace", &lab.namespace, "--listen", "127.0.0.1:0", "--log", "greenlight=debug,warn"];
    let args: Vec<String> = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    let kubeconfig = operator_kubeconfig();
    let env = [("KUBECONFIG", kubeconfig.to_str().expect("a path in UTF-8"))];
    let name = format!("earlier-{}-{number}", lab.namespace);
    Process::start(cluster().dir(), &name, program, &args, &env).expect("it starts")
}

/// Blue-green settings, as a spec to merge.
fn blue_green(settings: Value) -> Value {
    json!({"strategy": {"blueGreen": settings}})
}

/// Nothing is scaled down while the test looks.
fn long_delays() -> Value {
    blue_green(json!({"scaleDownDelaySeconds": 600, "abortScaleDownDelaySeconds": 600}))
}

async fn request(lab: &Lab, action: Verb, revision: &str, by: &str) {
    let (revision, by) = (revision.to_owned(), by.to_owned());
    let request = Request { action, revision, to: None, by, at: jiff::Timestamp::now(), reason: None };
    lab.annotate_request(&request.to_value()).await;
}

/// These people make a request, in turn, until it has had its effect.
async fn requested(
    lab: &Lab,
    action: Verb,
    revision: impl Fn(&Snapshot) -> String,
    by: &[&str],
    is: impl Fn(&Snapshot) -> bool,
) {
    for person in by.iter().cycle().take(6) {
        let revision = revision(&lab.now().await);
        request(lab, action, &revision, person).await;
        let made = Instant::now();
        while made.elapsed() < AGAIN {
            if is(&lab.now().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    panic!("{action:?} has no effect: {:#}", json!(lab.now().await.status()));
}

fn updated(now: &Snapshot) -> String {
    now.status().updated_revision
}

/// Production stays what it is.
async fn stays(lab: &Lab, image: &str) {
    lab.throughout(WATCHED, &format!("production stays {image}"), |now| now.image_of("web-active") == image).await;
}

/// Today's operator is alone again: the third revision serves, the second one is rejected, production was never without pods, and
/// nobody writes any more.
async fn ends_well(lab: &Lab, course: &Course, rejected: &str) {
    let now = lab.settled().await;
    assert!(now.is_healthy_on("web:v3"), "{:#}", json!(now.status()));
    let record = now.status().decisions.unwrap_or_default();
    assert!(record.rejection(rejected).is_some(), "{rejected} was rejected: {:#}", json!(record));
    let (_, mark) = lab.audit();
    tokio::time::sleep(Duration::from_secs(6)).await;
    for resource in ["services", "replicasets", "bluegreenrollouts", "bluegreenrollouts/status"] {
        let written = lab.operator_writes(mark, resource).await;
        assert!(written.is_empty(), "everything is done, and it is written on: {written:?}");
    }
    assert_eq!(course.images().await, COURSE);
    course.assert_never_below(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_that_both_work_lose_nothing_and_promote_nothing_unasked() {
    let Some(program) = earlier_program() else { return };
    let mut lab = Lab::without_operator("two-at-once").await;
    let mut earlier = start_earlier(&program, &lab, 1, &[]);
    lab.deploy(long_delays()).await;
    let course = Course::start(&lab, "web-active").await;
    lab.start_operator();
    lab.is_ready().await;

    lab.preview("web:v2").await;
    stays(&lab, "web:v1").await;
    requested(&lab, Verb::Promote, updated, &["ann"], |now| now.is_healthy_on("web:v2")).await;
    let rejected = lab.now().await.hash_of("web-active").expect("a revision serves");

    requested(&lab, Verb::Rollback, |_| rejected.clone(), &["ann"], |now| now.image_of("web-active") == "web:v1").await;
    stays(&lab, "web:v1").await;
    // The spec has the template of the rejected one still, and now nobody has to promote it.
    lab.patch_spec(blue_green(json!({"autoPromotionEnabled": true}))).await;
    stays(&lab, "web:v1").await;
    lab.patch_spec(blue_green(json!({"autoPromotionEnabled": false, "requiredApprovals": 2}))).await;

    lab.preview("web:v3").await;
    request(&lab, Verb::Promote, &updated(&lab.now().await), "ann").await;
    stays(&lab, "web:v1").await;
    requested(&lab, Verb::Promote, updated, &["bob", "ann"], |now| now.is_healthy_on("web:v3")).await;

    assert_eq!(earlier.exit_code(), None, "{}", earlier.log_tail());
    assert_eq!(lab.operator().exit_code(), None, "{}", lab.operator().log_tail());
    earlier.terminate().expect("it ends");
    ends_well(&lab, &course, &rejected).await;
}

/// The one that leads ends, and the one that stood by leads.
async fn hand_over(lab: &Lab, mut leads: Process, next: Process) -> Process {
    leads.terminate().expect("it ends");
    let pid = next.pid().expect("it runs").to_string();
    let leases: Api<Lease> = lab.api();
    eventually("the next one leads", async || {
        let holder = leases.get("greenlight").await.ok().and_then(|lease| lease.spec?.holder_identity);
        holder.is_some_and(|holder| holder.split('_').any(|part| part == pid))
    })
    .await;
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_goes_to_and_fro_between_two_versions_decides_nothing() {
    let Some(program) = earlier_program() else { return };
    let lab = Lab::without_operator("to-and-fro").await;
    let elect = ["--leader-elect", "--lease-namespace", lab.namespace.as_str()];
    let earlier = |number: usize| start_earlier(&program, &lab, number, &elect);
    let today = |number: usize| lab.operator_process(&format!("today-{number}"), &operator_kubeconfig(), &elect);

    let leads = earlier(1);
    lab.deploy(long_delays()).await;
    let course = Course::start(&lab, "web-active").await;
    lab.preview("web:v2").await;
    let leads = hand_over(&lab, leads, today(1)).await;
    assert!(lab.settled().await.waits_in_preview("web:v2"), "what waits goes on waiting");
    stays(&lab, "web:v1").await;
    requested(&lab, Verb::Promote, updated, &["ann"], |now| now.is_healthy_on("web:v2")).await;
    let rejected = lab.now().await.hash_of("web-active").expect("a revision serves");

    let leads = hand_over(&lab, leads, earlier(2)).await;
    assert!(lab.settled().await.is_healthy_on("web:v2"));
    requested(&lab, Verb::Rollback, |_| rejected.clone(), &["ann"], |now| now.image_of("web-active") == "web:v1").await;

    let leads = hand_over(&lab, leads, today(2)).await;
    lab.patch_spec(blue_green(json!({"autoPromotionEnabled": true}))).await;
    lab.settled().await;
    stays(&lab, "web:v1").await;
    lab.patch_spec(blue_green(json!({"autoPromotionEnabled": false, "requiredApprovals": 2}))).await;
    lab.preview("web:v3").await;
    request(&lab, Verb::Promote, &updated(&lab.now().await), "ann").await;
    lab.answered().await;

    // The earlier version knows of one approval, and cannot write another one down: its name for a field is not in today's CRD.
    let leads = hand_over(&lab, leads, earlier(3)).await;
    assert!(lab.settled().await.waits_in_preview("web:v3"), "one of two");
    stays(&lab, "web:v1").await;
    request(&lab, Verb::Promote, &updated(&lab.now().await), "bob").await;

    let leads = hand_over(&lab, leads, today(3)).await;
    lab.until("two have approved", |now| now.is_healthy_on("web:v3")).await;
    ends_well(&lab, &course, &rejected).await;
    drop(leads);
}

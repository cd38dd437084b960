//! Several operators at a time, each with shards of its own: no rollout is without one for longer than a lease lasts, and none has two,
//! whatever becomes of whom. They work on all namespaces, so one test runs after the other; and most of the time they wait for a lease to run out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenlight_api::Verb;
use greenlight_e2e::{Fate, Lab, Witness, Write, WriteCountingProxy, eventually, operator_of_all};
use greenlight_test_cluster::Process;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::Mutex;

/// Who holds it has the control plane for itself.
static ALONE: Mutex<()> = Mutex::const_new(());
/// A lease that nobody renews is taken after this time, and whoever waits for it looks every second.
const LEASE: Duration = Duration::from_secs(15);
/// What a busy machine takes beyond that.
const SLACK: Duration = Duration::from_secs(5);

/// The shard of a namespace. It must never change: an operator of another version that runs at the same time has to agree.
fn shard_of(namespace: &str, shards: u64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in namespace.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash ^ (hash >> 33)) % shards
}

/// A lab in each of so many shards, in their order.
async fn labs(name: &str, shards: u64) -> Vec<Lab> {
    let mut labs = Vec::new();
    for shard in 0..shards {
        let names = ('a'..='z').map(|letter| format!("{name}-{letter}"));
        let name = names.into_iter().find(|name| shard_of(name, shards) == shard).expect("26 are enough");
        labs.push(Lab::without_operator(&name).await);
    }
    labs
}

/// An operator for all namespaces, and what it writes.
struct Operator {
    process: Process,
    proxy: WriteCountingProxy,
}

impl Operator {
    /// Its leases are in the namespace of this lab.
    async fn start(name: &str, leases: &Lab, shards: u64) -> Operator {
        Operator::start_with(name, leases, shards, |_| Fate::Passed).await
    }

    async fn start_with(
        name: &str,
        leases: &Lab,
        shards: u64,
        fate: impl Fn(&Write) -> Fate + Send + Sync + 'static,
    ) -> Operator {
        let proxy = WriteCountingProxy::start_with(fate).await.expect("a proxy");
        let name = format!("{}-{name}", leases.namespace);
        let kubeconfig = proxy.kubeconfig(&name).expect("a kubeconfig");
        let shards = shards.to_string();
        let log = ["--log", "greenlight=debug,warn", "--leader-elect"];
        let more = ["--lease-namespace", &leases.namespace, "--shards", &shards];
        let process = operator_of_all(&name, &kubeconfig, &[&log[..], &more[..]].concat());
        Operator { process, proxy }
    }

    /// The namespaces in which it has written since, leases aside: also those that earlier tests left behind, for it serves the whole cluster.
    fn wrote_in(&self, since: usize) -> BTreeSet<String> {
        let writes = self.proxy.seen().split_off(since);
        let segments = |write: Write| write.path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let paths = writes.into_iter().map(segments).filter(|path| !path.iter().any(|segment| segment == "leases"));
        paths
            .filter_map(|path| Some(path[path.iter().position(|segment| segment == "namespaces")? + 1].clone()))
            .collect()
    }

    /// It ends by itself, with this code.
    async fn ends_with(&mut self, code: i32) {
        let started = Instant::now();
        while self.process.exit_code().is_none() {
            assert!(started.elapsed() < Duration::from_secs(30), "it goes on: {}", self.process.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.process.exit_code(), Some(code), "{}", self.process.log_tail());
    }
}

fn lease_of(shard: u64) -> String {
    if shard == 0 { "greenlight".to_owned() } else { format!("greenlight-{shard}") }
}

/// Who holds each shard.
async fn holders(leases: &Lab, shards: u64) -> Vec<String> {
    let api: Api<Lease> = leases.api();
    let mut holders = Vec::new();
    for shard in 0..shards {
        let lease = api.get_opt(&lease_of(shard)).await.expect("an answer");
        let holder = lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity);
        holders.push(holder.unwrap_or_default());
    }
    holders
}

/// Each of these holds so many of the shards, and nobody else holds any.
async fn until_held(leases: &Lab, shards: u64, operators: &[(&Operator, usize)]) {
    let is_so = async || {
        let holders = holders(leases, shards).await;
        let number_of =
            |operator: &Operator| holders.iter().filter(|holder| operator.process.is_holder(holder)).count();
        let total: usize = operators.iter().map(|(_, number)| number).sum();
        operators.iter().all(|(operator, number)| number_of(operator) == *number) && total == holders.len()
    };
    eventually("each has its shards", is_so).await;
}

/// The shards that it holds.
async fn shards_of(operator: &Operator, leases: &Lab, shards: u64) -> Vec<usize> {
    let holders = holders(leases, shards).await;
    (0..holders.len()).filter(|shard| operator.process.is_holder(&holders[*shard])).collect()
}

/// Asks for the promotion of what is in preview.
async fn promote(lab: &Lab) {
    lab.annotate_request("promote").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_work_side_by_side_and_what_one_of_them_leaves_behind_is_taken_within_the_lease() {
    let _alone = ALONE.lock().await;
    let labs = labs("sharded", 3).await;
    let leases = &labs[0];
    let first = Operator::start("first", leases, 3).await;
    for lab in &labs {
        lab.deploy(json!({})).await;
    }
    until_held(leases, 3, &[(&first, 3)]).await;

    // Those who come ask for their part, and nobody's release notices.
    let second = Operator::start("second", leases, 3).await;
    let third = Operator::start("third", leases, 3).await;
    until_held(leases, 3, &[(&first, 1), (&second, 1), (&third, 1)]).await;
    let mut operators = [first, second, third];
    let namespaces: BTreeSet<String> = labs.iter().map(|lab| lab.namespace.clone()).collect();
    let marks: Vec<usize> = operators.iter().map(|operator| operator.proxy.writes()).collect();
    for lab in &labs {
        lab.preview("web:v2").await;
    }
    for (operator, mark) in operators.iter().zip(&marks) {
        let own: BTreeSet<String> =
            shards_of(operator, leases, 3).await.into_iter().map(|shard| labs[shard].namespace.clone()).collect();
        assert_eq!(&operator.wrote_in(*mark) & &namespaces, own);
    }

    // One dies. Nobody else's release waits for that.
    let shard = shards_of(&operators[1], leases, 3).await[0];
    operators[1].process.kill();
    let killed = Instant::now();
    for lab in &labs {
        promote(lab).await;
    }
    for (number, lab) in labs.iter().enumerate().filter(|(number, _)| *number != shard) {
        lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
        assert!(killed.elapsed() < LEASE / 2, "shard {number} waited for the dead");
    }
    labs[shard].until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    let took = killed.elapsed();
    println!("the shard of who was killed: promoted after {took:.1?}");
    assert!(took < LEASE + SLACK, "{took:?}");

    // It comes back, and has its part again; whoever is asked to end gives its part away at once.
    let again = Operator::start("again", leases, 3).await;
    until_held(leases, 3, &[(&operators[0], 1), (&again, 1), (&operators[2], 1)]).await;
    let shard = shards_of(&again, leases, 3).await[0];
    let [first, _, third] = &mut operators;
    labs[shard].preview("web:v3").await;
    let mut again = again;
    let asked = Instant::now();
    assert_eq!(again.process.terminate().expect("it ends"), 0, "{}", again.process.log_tail());
    promote(&labs[shard]).await;
    labs[shard].until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    println!("the shard of who was asked to end: promoted after {:.1?}", asked.elapsed());
    assert!(asked.elapsed() < LEASE / 2, "{:?}", asked.elapsed());
    let held = shards_of(first, leases, 3).await.len() + shards_of(third, leases, 3).await.len();
    assert_eq!(held, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_beyond_its_terms_writes_nothing_and_what_it_had_is_taken() {
    let _alone = ALONE.lock().await;
    let labs = labs("dozing", 2).await;
    let leases = &labs[0];
    let mut first = Operator::start("first", leases, 2).await;
    for lab in &labs {
        lab.deploy(json!({})).await;
        lab.preview("web:v2").await;
    }
    let second = Operator::start("second", leases, 2).await;
    until_held(leases, 2, &[(&first, 1), (&second, 1)]).await;
    let shard = shards_of(&first, leases, 2).await[0];
    first.process.put_to_sleep(true).expect("asleep");
    promote(&labs[shard]).await;
    labs[shard].until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    until_held(leases, 2, &[(&second, 2)]).await;
    let mark = first.proxy.writes();
    labs[shard].set_image("web:v3").await;
    first.process.put_to_sleep(false).expect("awake");
    first.ends_with(1).await;
    assert_eq!(first.wrote_in(mark), BTreeSet::new());
    labs[shard].until("v3 in preview", |now| now.image_of("web-preview") == "web:v3").await;
}

/// The write that production waits for is under way while the shard is given away, and arrives long after.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_given_away_in_the_middle_of_a_release_and_a_late_write_changes_nothing() {
    let _alone = ALONE.lock().await;
    let labs = labs("given", 2).await;
    let leases = &labs[0];
    let held: Arc<AtomicBool> = Arc::default();
    let fate = {
        let held = held.clone();
        move |write: &Write| {
            let is_held = write.path.ends_with("/services/web-active") && held.load(Ordering::SeqCst);
            if is_held { Fate::Held } else { Fate::Passed }
        }
    };
    let first = Operator::start_with("first", leases, 2, fate).await;
    for lab in &labs {
        lab.deploy(json!({})).await;
        lab.preview("web:v2").await;
    }
    held.store(true, Ordering::SeqCst);
    let witnesses: Vec<Witness> =
        labs.iter().map(|lab| Witness::start(lab.client.clone(), &lab.namespace, "web-active")).collect();
    for lab in &labs {
        promote(lab).await;
        first.proxy.withheld().await;
    }
    let second = Operator::start("second", leases, 2).await;
    until_held(leases, 2, &[(&first, 1), (&second, 1)]).await;
    let mark = first.proxy.writes();
    let shard = shards_of(&second, leases, 2).await[0];
    labs[shard].until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    let serving = labs[shard].now().await.status().active_revision;
    assert!(labs[shard].ask(Verb::Rollback, &serving, "ann").await.accepted);
    labs[shard].until("v1 serves again", |now| now.image_of("web-active") == "web:v1").await;
    held.store(false, Ordering::SeqCst);
    // Both that are held go on.
    first.proxy.release();
    first.proxy.release();
    labs[1 - shard].until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
    labs[shard].throughout(Duration::from_secs(2), "v1 serves", |now| now.image_of("web-active") == "web:v1").await;
    let not_its_own = &labs[shard].namespace;
    assert!(!first.wrote_in(mark).contains(not_its_own), "it wrote in what it had given away");
    witnesses.iter().for_each(|witness| witness.assert_never_below(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_to_several_and_back_nobody_begins_before_the_others_have_ended() {
    let _alone = ALONE.lock().await;
    let labs = labs("counted", 2).await;
    let leases = &labs[0];
    let mut one = Operator::start("one", leases, 1).await;
    for lab in &labs {
        lab.deploy(json!({})).await;
        lab.preview("web:v2").await;
    }
    // An upgrade: the new ones are there before the old one ends.
    let several = [Operator::start("a", leases, 2).await, Operator::start("b", leases, 2).await];
    tokio::time::sleep(Duration::from_secs(5)).await;
    for operator in &several {
        assert_eq!((operator.wrote_in(0), shards_of(operator, leases, 2).await), (BTreeSet::new(), vec![]));
    }
    assert_eq!(one.process.terminate().expect("it ends"), 0, "{}", one.process.log_tail());
    let [a, b] = &several;
    until_held(leases, 2, &[(a, 1), (b, 1)]).await;
    for lab in &labs {
        promote(lab).await;
        lab.until("v2 serves", |now| now.is_healthy_on("web:v2")).await;
        lab.preview("web:v3").await;
    }

    // And back: the one with the second shard sleeps, so its lease has to run out before anybody begins.
    let back = Operator::start("back", leases, 1).await;
    let [mut a, mut b] = several;
    let (first, second) = match shards_of(&a, leases, 2).await[..] {
        [0] => (&mut a, &mut b),
        _ => (&mut b, &mut a),
    };
    second.process.put_to_sleep(true).expect("asleep");
    let asleep = Instant::now();
    assert_eq!(first.process.terminate().expect("it ends"), 0, "{}", first.process.log_tail());
    let waits = async || back.process.is_holder(&holders(leases, 1).await[0]);
    eventually("the first lease is taken", waits).await;
    labs.iter().for_each(|lab| assert!(!back.wrote_in(0).contains(&lab.namespace)));
    for lab in &labs {
        promote(lab).await;
    }
    let mut begun_after = None;
    while begun_after.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(asleep.elapsed() < 3 * LEASE, "nobody begins: {}", back.process.log_tail());
        begun_after = (!back.wrote_in(0).is_empty()).then(|| asleep.elapsed());
    }
    let begun_after = begun_after.expect("begun");
    println!("with another number of shards, and one that sleeps: begun after {begun_after:.1?}");
    assert!(begun_after > LEASE - Duration::from_secs(5), "its term was not over: {begun_after:?}");
    assert!(begun_after < 2 * LEASE + SLACK, "{begun_after:?}");
    for lab in &labs {
        lab.until("v3 serves", |now| now.is_healthy_on("web:v3")).await;
    }
    let mark = second.proxy.writes();
    second.process.put_to_sleep(false).expect("awake");
    second.ends_with(1).await;
    assert_eq!(second.wrote_in(mark), BTreeSet::new());
}

/// Clocks that are wrong, leases that are forged or deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_counts_by_the_clock_of_who_looks_and_one_that_is_forged_or_deleted_ends_its_holder() {
    let _alone = ALONE.lock().await;
    let labs = labs("forged", 2).await;
    let leases = &labs[0];
    let api: Api<Lease> = leases.api();
    let an_hour = jiff::SignedDuration::from_hours(1);
    let renewed = |at: Timestamp| LeaseSpec {
        holder_identity: Some("ghost".to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(MicroTime(at)),
        ..LeaseSpec::default()
    };
    let metadata = serde_json::from_value(json!({"name": "greenlight-1"})).expect("metadata");
    let ghost = Lease { metadata, spec: Some(renewed(Timestamp::now() - an_hour)) };
    api.create(&PostParams::default(), &ghost).await.expect("created");
    let write = async |spec: LeaseSpec| {
        let patch = Patch::Merge(json!({"spec": spec}));
        api.patch("greenlight-1", &PatchParams::default(), &patch).await.expect("patched");
    };
    let mut operator = Operator::start("operator", leases, 2).await;
    labs[0].deploy(json!({})).await;
    labs[1].apply(&greenlight_e2e::rollout(json!({}))).expect("applied");
    // The ghost's clock is an hour late, and it lives.
    let started = Instant::now();
    while started.elapsed() < LEASE + Duration::from_secs(3) {
        write(renewed(Timestamp::now() - an_hour)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(shards_of(&operator, leases, 2).await, [0]);
    assert!(!operator.wrote_in(0).contains(&labs[1].namespace));
    // Its clock is an hour early, and it is dead. That somebody asks for its shard makes it no younger.
    write(renewed(Timestamp::now() + an_hour)).await;
    let died = Instant::now();
    tokio::time::sleep(LEASE / 3).await;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"greenlight.dev/wanted-by": "another"}}}));
    api.patch("greenlight-1", &PatchParams::default(), &patch).await.expect("patched");
    until_held(leases, 2, &[(&operator, 2)]).await;
    let took = died.elapsed();
    println!("what a ghost held was taken after {took:.1?}");
    assert!(took > LEASE - Duration::from_secs(2) && took < LEASE + SLACK, "{took:?}");
    labs[1].until("v1 serves", |now| now.is_healthy_on("web:v1")).await;

    write(renewed(Timestamp::now())).await;
    operator.ends_with(1).await;
    let mut operator = Operator::start("another", leases, 2).await;
    until_held(leases, 2, &[(&operator, 2)]).await;
    api.delete("greenlight", &Default::default()).await.expect("deleted");
    operator.ends_with(1).await;
    let _again = Operator::start("again", leases, 2).await;
    for lab in &labs {
        lab.release("web:v2").await;
    }
}

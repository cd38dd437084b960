//! Many seeds at once under one pair of operators.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use greenlight_e2e::{Web, binary, cluster, concerns, denials};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::again::{answered, create};
use crate::dice::Dice;
use crate::history::in_words;
use crate::judge::{Deeds, judge};
use crate::operators::Operators;
use crate::person::{Person, Story};
use crate::recorder::Recorder;
use crate::weather::Weather;

/// So many seeds have a batch number in common, and with it what happens to watches, lease and processes.
pub const SIZE: u64 = 50;
/// Every tenth batch is also one of the API server and etcd.
const OF_ALL: u64 = 10;
/// When all is done, nothing is written for so long.
const QUIET: Duration = Duration::from_secs(4);
/// After so long it has to be quiet.
const QUIET_AFTER: Duration = Duration::from_secs(25);

/// What came of one seed.
#[derive(Clone, Debug, Default)]
pub struct OfSeed {
    /// Its number.
    pub seed: u64,
    /// What was done.
    pub deeds: Deeds,
    /// What was broken, in words.
    pub violations: Vec<String>,
    /// Why it was not judged by its history.
    pub gaps: Vec<String>,
    /// ReplicaSets with pods that are not on record in the end.
    pub left_behind: Vec<String>,
    /// Requests that were refused though nobody had expected it.
    pub refusals: Vec<String>,
}

/// What came of a batch.
#[derive(Clone, Debug, Default)]
pub struct OfBatch {
    /// What came of its seeds.
    pub seeds: Vec<OfSeed>,
    /// How often what went wrong.
    pub faults: BTreeMap<String, u64>,
    /// How often one operator took over from another.
    pub takeovers: usize,
    /// How long it stormed.
    pub storm: Duration,
    /// How long it took until all stories were at their end.
    pub lived: Duration,
    /// How long it took altogether.
    pub took: Duration,
}

/// Whether the API server and etcd are hit, too.
pub fn is_of_all(batch: u64) -> bool {
    batch % OF_ALL == OF_ALL - 1
}

/// Runs these seeds, which are of one batch.
///
/// # Errors
/// The test itself failed.
pub async fn run(seeds: &[u64]) -> Result<OfBatch> {
    let started = Instant::now();
    let batch = seeds.first().context("there are seeds")? / SIZE;
    let of_all = is_of_all(batch);
    let client = cluster().client().await?;
    let weather = Weather::new(batch);
    let web = Web::start("true").await;
    let stories: Vec<Story> = seeds.iter().map(|seed| Story::of(*seed, web.url())).collect();
    let recorder = Arc::new(Recorder::start(&client, &weather, stories.iter().map(Story::namespace)).await?);
    let persons: Vec<Person> = stories
        .iter()
        .map(|story| Person::new(client.clone(), recorder.clone(), weather.clone(), story.clone()))
        .collect();
    futures::future::try_join_all(persons.iter().map(Person::prepare)).await?;
    let lease_namespace = format!("weather-{batch}");
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": lease_namespace}}))?;
    create(&Api::all(client.clone()), &namespace).await?;
    let operators = Operators::start(batch, &client, &weather, &lease_namespace).await?;
    let mut helpers = JoinSet::new();
    let supervised = operators.clone();
    helpers.spawn(async move { supervised.supervise().await });
    sleep(Duration::from_secs(1)).await;

    weather.set(true);
    let stormed = Instant::now();
    let suffering = operators.clone();
    let blows = tokio::spawn(async move { tokio::join!(suffering.suffer(of_all), suffering.clocks_jump()) });
    let mut lives = JoinSet::new();
    for (number, mut person) in persons.into_iter().enumerate() {
        lives.spawn(async move {
            let lived = person.live().await;
            (number, lived, person.refusals)
        });
    }
    let longest = Duration::from_secs_f64(Dice::new(&[batch, 30]).between(50.0, 80.0));
    let mut lived = Lived::new();
    let most = (seeds.len() * 7).div_ceil(10);
    drop(timeout(longest, collect(&mut lives, &mut lived, most)).await);
    weather.set(false);
    let storm = stormed.elapsed();
    blows.await?;
    collect(&mut lives, &mut lived, seeds.len()).await;
    let lived_for = stormed.elapsed();
    let restless = until_quiet(&weather, &stories).await;
    let takeovers = operators.terms().saturating_sub(1);
    recorder.catch_up().await?;

    // A server that was killed denies what roles give until it has read them.
    let logs = operators.logs().into_iter().filter(|_| !of_all).map(|(name, _)| cluster().dir().join(name));
    let denied: Vec<String> = logs.flat_map(|log| denials(&log)).collect();
    let mut outcome = OfBatch { faults: weather.faults(), takeovers, storm, lived: lived_for, ..OfBatch::default() };
    for (number, story) in stories.iter().enumerate() {
        let (result, refusals) = lived.remove(&number).context("everybody has lived")?;
        let namespace = story.namespace();
        let history = recorder.history(&namespace);
        let end = story.end();
        let gaps = recorder.gaps(&namespace);
        let left_behind = recorder.see(&namespace, |world| world.left_behind());
        let (violations, deeds) = judge(&history, &story.terms, result.is_ok().then_some(&end), !gaps.is_empty());
        let mut violations: Vec<String> = violations
            .into_iter()
            .map(|violation| format!("{} at {}: {}", violation.promise, violation.version, violation.words))
            .collect();
        violations.extend(result.err().map(|error| format!("converges: {error:#}")));
        let denied = denied.iter().find(|denial| concerns(denial, &namespace));
        violations.extend(denied.map(|denial| format!("rights: an operator was denied: {denial}")));
        if restless.contains(&namespace) {
            violations.push("rest: the operator goes on writing".to_owned());
        }
        let of_seed = OfSeed { seed: seeds[number], deeds, violations, gaps, left_behind, refusals };
        if !of_seed.violations.is_empty() {
            let path = report(&of_seed, story, &weather, &recorder, &operators)?;
            eprintln!(
                "seed {} broke promises:\n  {}\n  {}",
                of_seed.seed,
                of_seed.violations.join("\n  "),
                path.display()
            );
        }
        outcome.seeds.push(of_seed);
    }
    helpers.shutdown().await;
    operators.end().await;
    operators.forget_logs();
    clean_up(&client, &stories, &lease_namespace).await?;
    outcome.took = started.elapsed();
    Ok(outcome)
}

/// What came of each story: whether it went well, and what was refused.
type Lived = BTreeMap<usize, (Result<()>, Vec<String>)>;

/// Waits until so many have lived through their stories.
async fn collect(lives: &mut JoinSet<(usize, Result<()>, Vec<String>)>, lived: &mut Lived, wanted: usize) {
    while lived.len() < wanted
        && let Some(done) = lives.join_next().await
    {
        let (number, result, refusals) = done.expect("a person does not panic");
        lived.insert(number, (result, refusals));
    }
}

/// Waits until the operators write nothing any more. Returns the namespaces in which they still do.
async fn until_quiet(weather: &Weather, stories: &[Story]) -> Vec<String> {
    let started = Instant::now();
    loop {
        let writes = |namespace: &String| weather.last_write(namespace).is_some_and(|at| at.elapsed() < QUIET);
        let restless: Vec<String> = stories.iter().map(Story::namespace).filter(writes).collect();
        if restless.is_empty() || started.elapsed() > QUIET_AFTER {
            return restless;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Lets go of everything, and waits for nothing: what is deleted goes while the next batch begins.
async fn clean_up(client: &Client, stories: &[Story], lease_namespace: &str) -> Result<()> {
    let mut let_go = Command::new(binary("greenlight"));
    let_go.arg("let-go").env("KUBECONFIG", cluster().kubeconfig());
    let output = tokio::task::spawn_blocking(move || let_go.output()).await??;
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    anyhow::ensure!(output.status.success(), "let-go: {}", told.join(""));
    let (namespaces, params): (Api<Namespace>, _) = (Api::all(client.clone()), DeleteParams::default());
    for name in stories.iter().map(Story::namespace).chain([lease_namespace.to_owned()]) {
        match answered(|| namespaces.delete(&name, &params)).await {
            // A try whose answer was cut off has deleted it.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}

/// Where reports are kept.
pub fn reports() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("storm")
}

/// Writes down everything that is known of a seed that failed.
fn report(
    seed: &OfSeed,
    story: &Story,
    weather: &Weather,
    recorder: &Recorder,
    operators: &Operators,
) -> Result<PathBuf> {
    let batch = seed.seed / SIZE;
    let dir = reports();
    std::fs::create_dir_all(&dir)?;
    for (name, log) in operators.logs() {
        std::fs::write(dir.join(name), log)?;
    }
    let namespace = story.namespace();
    let mut lines = in_words(&recorder.history(&namespace));
    for (of, indent) in [(namespace.as_str(), "            "), ("", "        ")] {
        for note in weather.journal(of) {
            let who = note.who.rsplit('-').next().unwrap_or_default();
            lines.push((note.at, format!("{indent}[{who}] {}", note.words)));
        }
    }
    lines.sort_by(|one, other| one.0.total_cmp(&other.0));
    let lines: Vec<String> = lines.into_iter().map(|(at, words)| format!("{at:7.2} {words}")).collect();
    let text = format!(
        "seed {} of batch {batch}\n{}\n\nbroken:\n  {}\n\nrefused: {:?}\ngaps: {:?}\nrecorder resumed {} times\n\nby time: versions \
         of the world, [a] and [b] are the operators' requests and what became of them\n{}\n",
        seed.seed,
        story.words(),
        seed.violations.join("\n  "),
        seed.refusals,
        seed.gaps,
        recorder.resumed(),
        lines.join("\n")
    );
    let path = dir.join(format!("seed-{}.txt", seed.seed));
    std::fs::write(&path, text).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

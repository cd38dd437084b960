//! Searches for histories that break a promise: all of a few small scopes, and random ones over everything.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use greenlight_explorer::budget;
use greenlight_explorer::event::{read_trace, write_trace};
use greenlight_explorer::exhaustive::{scopes, search};
use greenlight_explorer::predicate::{Predicate, Report};
use greenlight_explorer::shrink::shrink;
use greenlight_explorer::walk::{Failure, replay_and_tell, walk};

/// Searches for histories that break a promise.
#[derive(Parser)]
#[command(name = "prove")]
struct Options {
    /// How long to search, half of it exhaustively
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The same in minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed of the random walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Replay one history and tell it
    #[arg(long)]
    replay: Option<String>,
    /// Tell every write of a replay
    #[arg(long)]
    verbose: bool,
    /// Only this scope, or `walks`
    #[arg(long)]
    scope: Option<String>,
    /// List promises and predicates
    #[arg(long)]
    list: bool,
    /// Predicates not to look at
    #[arg(long, value_delimiter = ',')]
    ignore: Vec<String>,
    /// Stop at the first failure, and print it in one line
    #[arg(long)]
    first: bool,
    /// Print every kind of failure that the walks find, not only the first of each predicate
    #[arg(long)]
    survey: bool,
}

type Failures = BTreeMap<String, Failure>;

fn main() -> ExitCode {
    let options = Options::parse();
    let ignored: Vec<Predicate> =
        Predicate::ALL.iter().copied().filter(|p| options.ignore.iter().any(|word| word == p.word())).collect();
    if options.list {
        Predicate::ALL.iter().for_each(|p| println!("{:<9} {:<20} {}", p.promise(), p.word(), p.sentence()));
        return ExitCode::SUCCESS;
    }
    if let Some(trace) = &options.replay {
        return tell_replay(trace, &ignored, options.verbose);
    }
    let seconds = options.minutes.map_or(options.seconds, |minutes| minutes * 60);
    let mut report = Report { ignored: ignored.clone(), ..Report::default() };
    let told: Vec<String> = budget::check(&mut report)
        .into_iter()
        .map(|(part, count, limit)| format!("{part} {count} of {limit}"))
        .collect();
    if !options.first {
        println!("writes of a release: {}", told.join(", "));
    }
    let mut failures = Failures::new();
    if let Some(violation) = report.violation.take() {
        failures.insert(violation.predicate.word().to_owned(), Failure { events: Vec::new(), violation });
    }
    let walks = options.scope.as_deref().is_none_or(|scope| scope == "walks");
    let scopes: Vec<_> = scopes()
        .into_iter()
        .filter(|scope| options.scope.as_deref().is_none_or(|wanted| wanted == scope.name))
        .collect();
    let share = if walks { seconds / 2 } else { seconds };
    let each = Duration::from_secs(share) / u32::try_from(scopes.len().max(1)).unwrap_or(1);
    for scope in &scopes {
        let found = search(scope, Instant::now() + each, options.threads, &mut report);
        println!(
            "scope {:<10} {:>9} states {:>9} steps, all histories of up to {} of {} events{}: {}",
            scope.name,
            found.states,
            found.steps,
            found.depth,
            scope.events.len(),
            if found.complete { "" } else { " (time was over)" },
            scope.about,
        );
        if options.first {
            for failure in found.failures.values() {
                println!("first: {} {}", failure.violation.predicate, write_trace(&failure.events));
            }
            continue;
        }
        for (predicate, failure) in found.failures {
            failures.entry(predicate.word().to_owned()).or_insert_with(|| shrink(&failure, &ignored));
        }
    }
    if walks {
        let left = Duration::from_secs(if scopes.is_empty() { seconds } else { seconds - share });
        random_walks(&options, &ignored, Instant::now() + left, &mut report, &mut failures);
    }
    print_table(&report, &failures);
    for failure in failures.values() {
        tell(failure);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random_walks(
    options: &Options,
    ignored: &[Predicate],
    until: Instant,
    report: &mut Report,
    failures: &mut Failures,
) {
    let began = Instant::now();
    let seed = AtomicU64::new(options.seed);
    let (steps, walks) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let shared = Mutex::new((Report::default(), std::mem::take(failures)));
    std::thread::scope(|threads| {
        for _ in 0..options.threads {
            threads.spawn(|| {
                let mut own = Report { ignored: ignored.to_vec(), ..Report::default() };
                while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                    let (length, failure) = walk(seed.fetch_add(1, Ordering::Relaxed), &mut own);
                    steps.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
                    walks.fetch_add(1, Ordering::Relaxed);
                    let Some(failure) = failure else { continue };
                    if options.first {
                        if !stop.swap(true, Ordering::Relaxed) {
                            let short = shrink(&failure, ignored);
                            println!("first: {} {}", short.violation.predicate, write_trace(&short.events));
                        }
                        break;
                    }
                    keep(options, ignored, failure, &shared);
                }
                shared.lock().expect("nobody panics").0.add(&own);
            });
        }
    });
    let (counted, found) = shared.into_inner().expect("nobody panics");
    report.add(&counted);
    *failures = found;
    let (steps, walks) = (steps.into_inner(), walks.into_inner());
    let per_second = steps as f64 / began.elapsed().as_secs_f64();
    println!("{walks} random walks, {steps} steps, {per_second:.0} a second, from seed {}", options.seed);
}

/// Keeps a failure if there is none of its kind, or if it is shorter.
fn keep(options: &Options, ignored: &[Predicate], failure: Failure, shared: &Mutex<(Report, Failures)>) {
    let word = failure.violation.predicate.word().to_owned();
    if !options.survey
        && shared.lock().expect("nobody panics").1.get(&word).is_some_and(|known| known.events.len() <= 6)
    {
        return;
    }
    let short = shrink(&failure, ignored);
    let key = if options.survey { format!("{word} {}", kind(&short)) } else { word };
    let mut shared = shared.lock().expect("nobody panics");
    if shared.1.get(&key).is_none_or(|known| known.events.len() > short.events.len()) {
        shared.1.insert(key, short);
    }
}

/// The kinds of events of a history, sorted: histories with the same are probably the same story.
fn kind(failure: &Failure) -> String {
    let mut words: Vec<String> = failure
        .events
        .iter()
        .map(|event| event.to_string().split(':').take(2).collect::<Vec<_>>().join(":"))
        .map(|word| word.split(":v").next().unwrap_or_default().to_owned())
        .collect();
    words.sort();
    words.dedup();
    words.join(" ")
}

fn print_table(report: &Report, failures: &Failures) {
    println!("{:<9} {:<20} {:>12}  {:<8} what holds", "promise", "predicate", "checked", "result");
    for predicate in Predicate::ALL {
        let checked = report.counts.get(*predicate as usize).copied().unwrap_or(0);
        let broken = failures.values().any(|failure| failure.violation.predicate == *predicate);
        let result = if broken {
            "BROKEN"
        } else if checked == 0 {
            "NEVER"
        } else {
            "holds"
        };
        println!(
            "{:<9} {:<20} {checked:>12}  {result:<8} {}",
            predicate.promise(),
            predicate.word(),
            predicate.sentence()
        );
    }
}

fn tell(failure: &Failure) {
    println!("\n{}: {}", failure.violation.predicate, failure.violation.predicate.sentence());
    for (number, event) in failure.events.iter().enumerate() {
        println!("  {:>2}. {}", number + 1, event.told());
    }
    println!("  => {}", failure.violation.detail);
    println!("  cargo xtask prove --replay '{}'", write_trace(&failure.events));
}

fn tell_replay(trace: &str, ignored: &[Predicate], verbose: bool) -> ExitCode {
    let events = match read_trace(trace) {
        Ok(events) => events,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut told = 0;
    let told_writes = replay_and_tell(&events, ignored, |event, state| {
        if verbose {
            println!("* {}", event.told());
            let made = state.made.as_deref().unwrap_or_default();
            made[told..].iter().for_each(|made| println!("    {:?}", made.write));
            told = made.len();
            let status = state.cluster.rollout.status.as_ref();
            println!("    {}", status.map_or("no status", |status| status.message.as_str()));
        }
    });
    match told_writes {
        Some((length, violation)) => {
            tell(&Failure { events: events[..length].to_vec(), violation });
            ExitCode::FAILURE
        }
        None => {
            println!("{} events, and everything holds", events.len());
            ExitCode::SUCCESS
        }
    }
}

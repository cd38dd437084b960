//! Searches for histories that break a promise: all of a few small scopes, and random ones over everything. What is searched
//! follows from the options alone; a time limit is only an emergency brake, unless one is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use greenlight_api::{BlueGreenRolloutStatus, ObservedRequest};
use greenlight_explorer::budget;
use greenlight_explorer::event::{Event, read_trace, write_trace};
use greenlight_explorer::exhaustive::{Limits, scopes, search};
use greenlight_explorer::histories;
use greenlight_explorer::predicate::{Predicate, Report};
use greenlight_explorer::shrink::shrink;
use greenlight_explorer::walk::{Counts, Failure, Walks, replay_and_tell};

/// So many seeds are walked from at a time in a search of some minutes.
const BATCH: u64 = 2000;
/// So many failures of a predicate are shrunk; the shortest of them is told.
const SHRUNK: usize = 12;

/// Searches for histories that break a promise.
#[derive(Parser)]
#[command(name = "prove")]
struct Options {
    /// The first seed of the random walks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random walks
    #[arg(long, default_value_t = 40_000)]
    walks: u64,
    /// How many states of each scope
    #[arg(long, default_value_t = 12_000)]
    states: usize,
    /// Search for so many minutes instead: half of the time the scopes, half of it walks
    #[arg(long)]
    minutes: Option<u64>,
    /// The emergency brake
    #[arg(long, default_value_t = 1800)]
    brake_seconds: u64,
    /// How many threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Replay one history and tell it
    #[arg(long)]
    replay: Option<String>,
    /// Tell every write of a replay
    #[arg(long)]
    verbose: bool,
    /// Only this scope, or `walks`, or `histories` that were found before
    #[arg(long)]
    scope: Option<String>,
    /// List promises and predicates
    #[arg(long)]
    list: bool,
    /// Only these predicates
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Predicates not to look at
    #[arg(long, value_delimiter = ',')]
    ignore: Vec<String>,
    /// Stop at the first failure, and print it in one line
    #[arg(long)]
    first: bool,
    /// A failure counts only if this `prove` of another core replays it without one
    #[arg(long)]
    against: Option<PathBuf>,
    /// Tell every kind of failure that the walks find, not only the shortest of each predicate
    #[arg(long)]
    survey: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_in = |words: &[String], predicate: &Predicate| words.iter().any(|word| word == predicate.word());
    let ignored: Vec<Predicate> = Predicate::ALL
        .iter()
        .copied()
        .filter(|p| is_in(&options.ignore, p) || !options.only.is_empty() && !is_in(&options.only, p))
        .collect();
    if options.list {
        Predicate::ALL.iter().for_each(|p| println!("{:<9} {:<20} {}", p.promise(), p.word(), p.sentence()));
        return ExitCode::SUCCESS;
    }
    if let Some(trace) = &options.replay {
        return tell_replay(trace, &ignored, options.verbose);
    }
    let counts = |events: &[Event]| options.against.as_ref().is_none_or(|other| passes(other, events));
    let searching = Searching { options: &options, ignored: &ignored, counts: &counts };
    if options.first { searching.first() } else { searching.all() }
}

/// Whether another core has nothing against this history.
fn passes(other: &PathBuf, events: &[Event]) -> bool {
    let mut command = Command::new(other);
    command.args(["--replay", &write_trace(events)]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

struct Searching<'a> {
    options: &'a Options,
    ignored: &'a [Predicate],
    counts: Counts<'a>,
}

impl Searching<'_> {
    fn report(&self) -> Report {
        Report { ignored: self.ignored.to_vec(), ..Report::default() }
    }

    fn is_wanted(&self, scope: &str) -> bool {
        self.options.scope.as_deref().is_none_or(|wanted| wanted == scope)
    }

    fn walks(&self, until: Instant) -> Walks<'_> {
        let Options { threads, first, .. } = *self.options;
        Walks { threads, until, ignored: self.ignored, first, counts: self.counts }
    }

    fn limits(&self, states: usize, until: Instant) -> Limits<'_> {
        Limits { states, until, threads: self.options.threads, counts: self.counts }
    }

    /// Until something fails: `first:`, the predicate, the steps it took, and the history. What was found before comes first, because it
    /// takes no search; then walks, because they are about everything.
    fn first(&self) -> ExitCode {
        let until = Instant::now() + Duration::from_secs(self.options.brake_seconds);
        let mut report = self.report();
        let mut steps = 0;
        let tell = |failure: &Failure, steps: usize| {
            let short = shrink(failure, self.ignored, self.counts);
            println!("first: {} {steps} {}", short.violation.predicate, write_trace(&short.events));
            ExitCode::FAILURE
        };
        if self.is_wanted("histories") {
            let broken = self.broken_histories();
            if let Some(failure) = broken.iter().min_by_key(|failure| failure.events.len()) {
                return tell(failure, steps);
            }
        }
        if self.is_wanted("walks") {
            let seeds = self.options.seed..self.options.seed + self.options.walks;
            let walked = self.walks(until).walk(seeds, &mut report);
            steps += walked.steps;
            if let Some((_, failure)) = walked.failures.first() {
                return tell(failure, steps);
            }
        }
        for scope in scopes().iter().filter(|scope| self.is_wanted(scope.name)) {
            let found = search(scope, self.limits(self.options.states, until), &mut report);
            steps += found.steps;
            if let Some(failure) = found.failures.values().min_by_key(|failure| failure.events.len()) {
                return tell(failure, steps);
            }
        }
        println!("nothing: {steps}");
        ExitCode::SUCCESS
    }

    fn broken_histories(&self) -> Vec<Failure> {
        let broken = histories::broken(self.ignored);
        broken.into_iter().filter(|failure| (self.counts)(&failure.events)).collect()
    }

    /// Everything, and a table of what was checked.
    fn all(&self) -> ExitCode {
        let options = self.options;
        let began = Instant::now();
        let mut report = self.report();
        let told: Vec<String> = budget::check(&mut report)
            .into_iter()
            .map(|(part, count, limit)| format!("{part} {count} of {limit}"))
            .collect();
        println!("writes of a release: {}", told.join(", "));
        let mut failures = Vec::new();
        if let Some(violation) = report.violation.take() {
            failures.push(Failure { events: Vec::new(), violation });
        }
        let seconds = options.minutes.map_or(options.brake_seconds, |minutes| minutes * 60);
        let end = began + Duration::from_secs(seconds);
        let scopes: Vec<_> = scopes().into_iter().filter(|scope| self.is_wanted(scope.name)).collect();
        let mut braked = false;
        for (number, scope) in scopes.iter().enumerate() {
            // A search of some minutes leaves half of them for the walks.
            let (states, until) = match options.minutes {
                Some(_) => {
                    let left = u32::try_from(scopes.len() - number).unwrap_or(1);
                    let share = end.saturating_duration_since(Instant::now()).saturating_sub(self.share_of_walks(end));
                    (usize::MAX, Instant::now() + share / left)
                }
                None => (options.states, end),
            };
            let found = search(scope, self.limits(states, until), &mut report);
            let all = if found.exhausted { "all histories" } else { "all histories of up to" };
            let depth = if found.exhausted { String::new() } else { format!(" {} events", found.depth) };
            println!(
                "scope {:<10} {:>9} states {:>9} steps, {all}{depth}: {}",
                scope.name, found.states, found.steps, scope.about,
            );
            braked |= found.braked;
            failures.extend(found.failures.into_values());
        }
        if self.is_wanted("histories") {
            println!("{} histories that were found before", histories::known().count());
            failures.extend(self.broken_histories());
        }
        if self.is_wanted("walks") {
            braked |= self.walk_all(end, &mut report, &mut failures);
        }
        let failures = self.shortest(failures);
        let whole = options.scope.is_none() && options.only.is_empty() && options.minutes.is_none();
        let never = print_table(&report, &failures);
        failures.iter().for_each(tell);
        println!("searched for {} s", began.elapsed().as_secs());
        let braked = braked && options.minutes.is_none();
        if braked {
            println!("the emergency brake ended the search after {seconds} s: it is not complete");
        }
        if whole && never > 0 {
            println!("{never} predicates had nothing to say: the search does not reach what they speak of");
        }
        if failures.is_empty() && !braked && !(whole && never > 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn share_of_walks(&self, end: Instant) -> Duration {
        let all = self.options.minutes.map_or(0, |minutes| minutes * 60);
        let share = Duration::from_secs(if self.is_wanted("walks") { all / 2 } else { 0 });
        share.min(end.saturating_duration_since(Instant::now()))
    }

    /// The random walks. Whether time was over.
    fn walk_all(&self, end: Instant, report: &mut Report, failures: &mut Vec<Failure>) -> bool {
        let began = Instant::now();
        let seed = self.options.seed;
        let (mut walks, mut steps, mut next) = (0, 0, seed);
        let braked = loop {
            let last = match self.options.minutes {
                Some(_) => next + BATCH,
                None => seed + self.options.walks,
            };
            let walked = self.walks(end).walk(next..last, report);
            walks += walked.walks;
            steps += walked.steps;
            failures.extend(walked.failures.into_iter().map(|(_, failure)| failure));
            next = last;
            if walked.braked || self.options.minutes.is_none() {
                break walked.braked;
            }
        };
        let rate = steps as f64 / began.elapsed().as_secs_f64();
        println!("{walks} random walks, {steps} steps, {rate:.0} a second, from seeds {seed} to {}", next - 1);
        braked
    }

    /// The shortest failure of each predicate; in a survey, of each kind.
    fn shortest(&self, mut failures: Vec<Failure>) -> Vec<Failure> {
        failures.sort_by_key(|failure| failure.events.len());
        let mut shrunk: BTreeMap<Predicate, usize> = BTreeMap::new();
        let mut shortest: BTreeMap<(Predicate, String), Failure> = BTreeMap::new();
        for failure in &failures {
            let count = shrunk.entry(failure.violation.predicate).or_default();
            *count += 1;
            if *count > SHRUNK && !self.options.survey {
                continue;
            }
            let short = shrink(failure, self.ignored, self.counts);
            let kind = if self.options.survey { kind(&short) } else { String::new() };
            let key = (short.violation.predicate, kind);
            if shortest.get(&key).is_none_or(|known| known.events.len() > short.events.len()) {
                shortest.insert(key, short);
            }
        }
        shortest.into_values().collect()
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

/// Prints what was checked, and returns how many predicates never had anything to say.
fn print_table(report: &Report, failures: &[Failure]) -> usize {
    println!("{:<9} {:<20} {:>12}  {:<8} what holds", "promise", "predicate", "checked", "result");
    let mut never = 0;
    for predicate in Predicate::ALL.iter().filter(|predicate| !report.ignored.contains(predicate)) {
        let checked = report.counts.get(*predicate as usize).copied().unwrap_or(0);
        let broken = failures.iter().any(|failure| failure.violation.predicate == *predicate);
        let result = if broken {
            "BROKEN"
        } else if checked == 0 {
            never += 1;
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
    never
}

fn tell(failure: &Failure) {
    println!("\n{}: {}", failure.violation.predicate, failure.violation.predicate.sentence());
    if failure.events.is_empty() {
        println!("   -. nothing happens: the first deployment by itself shows it");
    }
    for (number, event) in failure.events.iter().enumerate() {
        println!("  {:>2}. {}", number + 1, event.told());
    }
    println!("  => {}", failure.violation.detail);
    println!("  cargo xtask prove --replay '{}'", write_trace(&failure.events));
}

/// What a status says, and the answer to a request if it is not the one that was told before.
fn tell_status(status: &BlueGreenRolloutStatus, answered: &mut Option<ObservedRequest>) {
    if let Some(request) = &status.observed_request
        && status.observed_request != *answered
    {
        let heard = if request.accepted { "accepted" } else { "refused" };
        println!("    {heard}: {}", request.answer);
    }
    answered.clone_from(&status.observed_request);
    println!("    {}: {}", status.phase.as_str(), status.message);
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
    let mut answered = None;
    let told_writes = replay_and_tell(&events, ignored, |event, state| {
        if verbose {
            println!("* {}", event.map_or_else(|| "faults stop, and everything goes on".to_owned(), Event::told));
            let made = state.made.as_deref().unwrap_or_default();
            let from = if event.is_none() { 0 } else { told };
            made[from..].iter().for_each(|made| println!("    {:?}", made.write));
            told = made.len();
            match &state.cluster.rollout.status {
                Some(status) => tell_status(status, &mut answered),
                None => println!("    no status"),
            }
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

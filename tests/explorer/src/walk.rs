//! Long random walks over everything that can happen. A walk follows from its seed alone, so a number of them from a first seed on
//! is the same search everywhere, on any number of threads.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::event::{Analysis, Cache, Deletion, Event, Field, Forgery, Name, Operator, Outcome, Person, Refused, Rival};
use crate::event::{LATER_FIELDS, Room, Verb, Version};
use crate::predicate::{Predicate, Report, Violation};
use crate::random::Random;
use crate::settle::settle;
use crate::state::State;

/// One walk in so many knows that there may be no room for pods; 0 is none. Which they are does not depend on what is drawn, so the others
/// are as they were without.
const CROWDED: u64 = 8;
/// One walk in so many, beside those, knows what came to the search last: records of an earlier version, and [`LATER_FIELDS`]; 0 is none. Backups of
/// the status that are written back are in no walk: what a request, a rejection or a switch of the time between means then is not clear enough to be
/// judged by rules. Some histories have them.
const LATER: u64 = 8;
/// The fields that every walk draws.
const FIELDS: &[Field] = Field::ALL.split_at(Field::ALL.len() - LATER_FIELDS.len()).0;

/// A history that ended badly.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What happened.
    pub events: Vec<Event>,
    /// What did not hold.
    pub violation: Violation,
}

/// Whether a history that fails counts as a failure.
pub type Counts<'a> = &'a (dyn Fn(&[Event]) -> bool + Sync);

/// Walks once. The report counts what was checked.
pub fn walk(seed: u64, report: &mut Report) -> (usize, Option<Failure>) {
    let mut random = Random::new(seed);
    let mut state = State::new();
    let mut events = Vec::new();
    let crowded = seed.checked_rem(CROWDED) == Some(0);
    let later = seed.checked_rem(LATER) == Some(4);
    let profile = Profile { crowded, later, ..Profile::new(&mut random) };
    let mut prologue: Vec<Event> = profile.fields.iter().map(|(field, value)| Event::Set(*field, *value)).collect();
    if profile.workload {
        prologue.insert(0, Event::CreateWorkload);
    }
    if profile.rival && random.once_in(2) {
        prologue.push(Event::Rival(Rival::Precedes));
    }
    if !random.once_in(8) {
        prologue.push(Event::Calm);
    }
    let length = 8 + random.below(60);
    let checked_every = 4 + random.below(16);
    for step in 0..length {
        let event = if step < prologue.len() { prologue[step] } else { next(&mut random, &state, &profile) };
        events.push(event);
        state.happen(event, report);
        let looks_ahead = step + 1 == length || step >= prologue.len() && random.once_in(checked_every);
        if report.violation.is_none() && looks_ahead {
            settle(&state, report);
        }
        if let Some(violation) = report.violation.take() {
            return (step + 1, Some(Failure { events, violation }));
        }
    }
    (length, None)
}

/// Many walks.
#[derive(Clone, Copy)]
pub struct Walks<'a> {
    /// How many threads walk.
    pub threads: usize,
    /// When they stop, in an emergency.
    pub until: Instant,
    /// Predicates that are not looked at.
    pub ignored: &'a [Predicate],
    /// Nothing is walked beyond the first seed that fails.
    pub first: bool,
    /// Whether a failure counts.
    pub counts: Counts<'a>,
}

/// What many walks came to.
#[derive(Debug, Default)]
pub struct Walked {
    /// How many there were.
    pub walks: usize,
    /// Their events.
    pub steps: usize,
    /// What failed, by seed.
    pub failures: Vec<(u64, Failure)>,
    /// Time was over.
    pub braked: bool,
}

impl Walks<'_> {
    /// Walks from each of these seeds.
    pub fn walk(&self, seeds: Range<u64>, report: &mut Report) -> Walked {
        let next = AtomicU64::new(seeds.start);
        let end = AtomicU64::new(seeds.end);
        let walked = Mutex::new((Report::default(), Vec::new(), Walked::default()));
        std::thread::scope(|threads| {
            for _ in 0..self.threads {
                threads.spawn(|| {
                    let mut own = Report { ignored: self.ignored.to_vec(), ..Report::default() };
                    let (mut lengths, mut failures, mut braked) = (Vec::new(), Vec::new(), false);
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end.load(Ordering::Relaxed) {
                            break;
                        }
                        braked = Instant::now() >= self.until;
                        if braked {
                            break;
                        }
                        let (length, failure) = walk(seed, &mut own);
                        lengths.push((seed, length));
                        if let Some(failure) = failure.filter(|failure| (self.counts)(&failure.events)) {
                            failures.push((seed, failure));
                            if self.first {
                                end.fetch_min(seed + 1, Ordering::Relaxed);
                            }
                        }
                    }
                    let mut shared = walked.lock().expect("nobody panics");
                    shared.0.add(&own);
                    shared.1.extend(lengths);
                    shared.2.failures.extend(failures);
                    shared.2.braked |= braked;
                });
            }
        });
        let (counted, mut lengths, mut walked) = walked.into_inner().expect("nobody panics");
        report.add(&counted);
        // Another thread may have been further already.
        let end = end.into_inner();
        lengths.retain(|(seed, _)| *seed < end);
        walked.failures.retain(|(seed, _)| *seed < end);
        walked.failures.sort_by_key(|(seed, _)| *seed);
        walked.walks = lengths.len();
        walked.steps = lengths.iter().map(|(_, length)| length).sum();
        walked
    }
}

/// Replays a history, looking ahead after its last event if it comes that far. Returns the violation and the events up to it.
pub fn replay(events: &[Event], ignored: &[Predicate]) -> Option<(usize, Violation)> {
    replay_and_tell(events, ignored, |_, _| {})
}

/// The same, telling each event and the state after it; and the state at the end, with the writes that led there.
pub fn replay_and_tell(
    events: &[Event],
    ignored: &[Predicate],
    mut tell: impl FnMut(Option<&Event>, &State),
) -> Option<(usize, Violation)> {
    let mut report = Report { ignored: ignored.to_vec(), ..Report::default() };
    let mut state = State { made: Some(Vec::new()), ..State::new() };
    for (place, event) in events.iter().enumerate() {
        state.happen(*event, &mut report);
        tell(Some(event), &state);
        if let Some(violation) = report.violation.take() {
            return Some((place + 1, violation));
        }
    }
    let end = settle(&state, &mut report);
    tell(None, &end);
    report.violation.take().map(|violation| (events.len(), violation))
}

/// What a walk is about: all of it would drown the rest.
struct Profile {
    fields: Vec<(Field, u8)>,
    faults: bool,
    stale: bool,
    tenants: bool,
    hands: bool,
    spec: bool,
    deletion: bool,
    outages: bool,
    rival: bool,
    workload: bool,
    crowded: bool,
    later: bool,
}

impl Profile {
    fn new(random: &mut Random) -> Profile {
        let mut fields = Vec::new();
        if random.once_in(2) {
            fields.push((Field::Auto, 0));
        }
        if random.once_in(4) {
            fields.push((random.one_of(&[Field::Pre, Field::Post]), 1));
        }
        for _ in 0..random.below(4) {
            fields.push(setting(random));
        }
        // What is seldom combined is combined on purpose.
        if random.once_in(4) {
            for _ in 0..random.below(8) {
                fields.push(setting(random));
            }
        }
        let workload = random.once_in(8);
        if workload {
            fields.push((Field::WorkloadRef, random.one_of(&[1, 2, 2, 3, 3])));
        }
        let outages = random.once_in(16);
        if outages {
            fields.push((Field::AutoRollback, 10));
        }
        Profile {
            crowded: false,
            later: false,
            workload,
            outages,
            fields,
            faults: random.once_in(3),
            stale: random.once_in(3),
            tenants: random.once_in(4),
            hands: random.once_in(2),
            spec: random.once_in(3),
            deletion: random.once_in(12),
            rival: random.once_in(10),
        }
    }
}

fn setting(random: &mut Random) -> (Field, u8) {
    let field = random.one_of(FIELDS);
    let values: &[u8] = match field {
        Field::Auto | Field::Pre | Field::Post | Field::Paused | Field::Extra | Field::IdleNone | Field::DualStack => {
            &[0, 1]
        }
        Field::AutoSeconds => &[0, 5, 20],
        Field::PreviewCount => &[0, 1, 2, 3],
        Field::Delay | Field::AbortDelay => &[0, 20, 40],
        Field::DelayLimit | Field::Retired => &[9, 0, 1],
        Field::History => &[0, 1, 2, 10],
        Field::Overlap => &[0, 10],
        Field::AutoRollback => &[0, 10],
        Field::Approvals => &[0, 2],
        Field::ActiveService => &[0, 0, 3, 9],
        Field::PreviewService => &[1, 1, 3, 9],
        Field::Exchange => &[0],
        Field::Window => &[0, 3],
        Field::DeadlineAbort | Field::Deadline => &[0, 30],
        Field::MinReady => &[0, 5],
        Field::RestartAt => &[0, 0, 30],
        Field::WorkloadRef => &[0, 0, 0, 2],
        Field::ActiveMetadata | Field::PreviewMetadata | Field::AntiAffinity => &[0, 1, 2],
    };
    (field, random.one_of(values))
}

fn version(random: &mut Random) -> Version {
    if random.once_in(8) { random.one_of(&[Version::REFUSED, Version::UNLABELLED]) } else { some_version(random) }
}

fn some_version(random: &mut Random) -> Version {
    random.one_of(&[Version(1), Version(2), Version(2), Version(3), Version(4)])
}

/// One that exists, if there is one.
fn existing(random: &mut Random, state: &State) -> Version {
    let sets = &state.cluster.sets;
    if sets.is_empty() { Version(1) } else { sets[random.below(sets.len())].version }
}

fn request(random: &mut Random, state: &State) -> Event {
    let by = random.one_of(&[Person::Ann, Person::Ann, Person::Bob]);
    let verb = random.one_of(&[
        Verb::Promote,
        Verb::Promote,
        Verb::Promote,
        Verb::Full,
        Verb::Abort,
        Verb::Retry,
        Verb::Undo,
        Verb::Undo,
        Verb::Undo,
        Verb::Restart,
    ]);
    if random.once_in(8) {
        return Event::Ask(verb, None, by);
    }
    if random.once_in(6) {
        return Event::Ask(verb, Some(existing(random, state)), by);
    }
    let serving = state.cluster.production();
    let meant = if verb == Verb::Undo { serving } else { None };
    if verb == Verb::Undo && random.once_in(5) {
        return Event::UndoTo(meant.unwrap_or(state.cluster.version), existing(random, state));
    }
    Event::Ask(verb, Some(meant.unwrap_or(state.cluster.version)), by)
}

fn next(random: &mut Random, state: &State, profile: &Profile) -> Event {
    // What is being measured comes to an end sooner or later.
    if state.cluster.runs.iter().any(|run| !run.phase.is_completed()) && random.once_in(5) {
        return analysis(random);
    }
    // So does what is deleted in the foreground.
    if state.cluster.sets.iter().any(|set| set.drains()) && random.once_in(8) {
        return Event::Collect;
    }
    // Production loses all its pods, and the operator sees that.
    if profile.outages
        && let Some(set) = state.cluster.production().and_then(|serving| state.cluster.set(serving))
    {
        if set.ready() == 0 && random.once_in(2) {
            return random.one_of(&[Event::Run(Operator::A), Event::Run(Operator::A), Event::Seconds(20)]);
        }
        if random.once_in(8) {
            return Event::Pods(set.version, 0);
        }
    }
    // There is no room, and then there is again.
    if profile.crowded && random.once_in(8) {
        return Event::Room(random.one_of(&[Room::Nodes, Room::Nodes, Room::Quota, Room::Enough]));
    }
    if profile.later && random.once_in(8) {
        return later(random);
    }
    // What is deleted is gone sooner or later, and comes back.
    if state.cluster.rollout.is_deleting() && random.once_in(3) {
        return if state.cluster.gone {
            Event::Recreate
        } else {
            random.one_of(&[Event::Collect, Event::Run(Operator::A)])
        };
    }
    loop {
        let event = match random.below(100) {
            0..14 => Event::Template(version(random)),
            14..17 => Event::Scale(random.one_of(&[0, 1, 2, 3, 4])),
            17..18 => Event::Release(some_version(random), random.one_of(&[0, 1, 3, 4])),
            18..34 => request(random, state),
            34..52 => Event::Calm,
            52..58 => Event::Run(Operator::A),
            58..61 => Event::Seconds(random.one_of(&[1, 5, 20, 45])),
            61..65 => Event::ScaleDown,
            65..69 => Event::Pods(existing(random, state), random.one_of(&[0, 1, 2, 9, 9])),
            69..72 => Event::Endpoints(random.one_of(Name::ALL)),
            72..75 => analysis(random),
            75..77 if profile.workload => {
                random.one_of(&[Event::CreateWorkload, Event::DeleteWorkload, Event::Template(Version::MISFIT)])
            }
            75..79 if profile.stale || profile.faults => Event::Step(Operator::A),
            79..81 if profile.stale => staleness(random),
            81..83 if profile.faults => fault(random),
            83..89 if profile.hands => hand(random, state),
            89..91 => Event::DeleteSet(existing(random, state)),
            91..92 => Event::DrainSet(existing(random, state)),
            92..94 if profile.spec => {
                let (field, value) = setting(random);
                Event::Set(field, value)
            }
            94..96 if profile.tenants && random.once_in(8) => Event::Plant(some_version(random)),
            94..96 if profile.tenants => Event::Forge(existing(random, state), random.one_of(Forgery::ALL)),
            96..97 => Event::LoseStatus,
            97..98 if profile.faults && !profile.rival => Event::ScaleDownBegins(existing(random, state)),
            98..99 if profile.faults && !profile.deletion => Event::ScaleDownEnds,
            97..98 if profile.rival => Event::Rival(random.one_of(Rival::ALL)),
            98..100 if profile.deletion => Event::Delete(random.one_of(Deletion::ALL)),
            99..100 if profile.spec => Event::Set(Field::Paused, random.one_of(&[0, 0, 1])),
            _ => continue,
        };
        // A clean-up job takes only what is empty, nearly always.
        if let Event::DeleteSet(version) | Event::DrainSet(version) = event
            && state.cluster.set(version).is_none_or(|set| set.object.replicas > 0)
            && !random.once_in(8)
        {
            continue;
        }
        return event;
    }
}

fn analysis(random: &mut Random) -> Event {
    let outcome = random.one_of(&[
        Outcome::Good,
        Outcome::Good,
        Outcome::Bad,
        Outcome::Bad,
        Outcome::Inconclusive,
        Outcome::Error,
        Outcome::Deleted,
    ]);
    Event::Analyse(random.one_of(Analysis::ALL), outcome)
}

fn staleness(random: &mut Random) -> Event {
    match random.below(9) {
        8 => Event::Unanswered(random.one_of(Operator::ALL)),
        0 | 1 => Event::Freeze(random.one_of(Operator::ALL), random.one_of(Cache::ALL)),
        2 => Event::Thaw(random.one_of(Operator::ALL)),
        3 => Event::Skew(random.one_of(Operator::ALL), random.one_of(&[0, 3])),
        4 | 5 => Event::Step(Operator::B),
        6 => Event::Run(Operator::B),
        _ => Event::Thaw(Operator::A),
    }
}

fn later(random: &mut Random) -> Event {
    match random.below(2) {
        0 => Event::Upgrade,
        _ => Event::Set(random.one_of(&LATER_FIELDS), random.one_of(&[0, 1, 2])),
    }
}

fn fault(random: &mut Random) -> Event {
    match random.below(9) {
        8 => Event::Unanswered(Operator::A),
        0 => Event::Refuse(random.one_of(Refused::ALL)),
        1 => Event::Refuse(Refused::Nothing),
        2 | 3 => Event::Die(Operator::A),
        4 => Event::PodsGone(some_version(random)),
        5 if random.once_in(2) => Event::Recount(some_version(random)),
        5 => Event::HalfEndpoints(random.one_of(Name::ALL)),
        6 if random.once_in(3) => Event::Collect,
        6 => Event::Rival(random.one_of(Rival::ALL)),
        _ => Event::Step(Operator::A),
    }
}

fn hand(random: &mut Random, state: &State) -> Event {
    let name = random.one_of(&[Name::Active, Name::Active, Name::Active, Name::Preview, Name::Extra, Name::Other]);
    match random.below(11) {
        10 => Event::SelectTier(Name::Active, true),
        0 | 1 => Event::MoveByHand(name, Some(existing(random, state))),
        2 => Event::MoveByHand(name, None),
        3 | 4 => Event::LoseHash(name),
        5 => Event::DeleteService(name),
        6 | 7 => Event::CreateService(name),
        8 => Event::SelectTier(name, !random.once_in(3)),
        _ => Event::ScaleByHand(existing(random, state), random.one_of(&[0, 1, 3])),
    }
}

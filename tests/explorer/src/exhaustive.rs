//! All histories of a small scope: breadth first, so that what is found first is shortest. Two states are the same when they
//! differ only in names that nobody compares (resourceVersions, UIDs, pods) and in how long ago something was.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;

use crate::event::Event;
use crate::predicate::{Predicate, Report};
use crate::settle::settle;
use crate::state::State;
use crate::walk::Failure;

/// A small world: what has happened before, and what may happen.
pub struct Scope {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What happens first.
    pub prologue: Vec<Event>,
    /// What may happen then, in any order.
    pub events: Vec<Event>,
    /// How often, at most.
    pub depth: usize,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Found {
    /// Distinct states.
    pub states: usize,
    /// Events that were tried.
    pub steps: usize,
    /// To this depth, all of them.
    pub depth: usize,
    /// It ended by itself, not for want of time.
    pub complete: bool,
    /// The first failure of each predicate.
    pub failures: BTreeMap<Predicate, Failure>,
}

/// A history, shared with those that go on from it.
struct Past {
    event: Event,
    before: Option<Arc<Past>>,
}

struct Node {
    state: State,
    past: Option<Arc<Past>>,
}

const SHARDS: usize = 64;

/// Searches a scope, until it is done or time is over.
pub fn search(scope: &Scope, until: Instant, threads: usize, report: &mut Report) -> Found {
    let mut state = State::new();
    let mut found = Found::default();
    for event in &scope.prologue {
        state.happen(*event, report);
    }
    if let Some(violation) = report.violation.take() {
        let failure = Failure { events: scope.prologue.clone(), violation };
        found.failures.insert(failure.violation.predicate, failure);
        return found;
    }
    let seen: Vec<Mutex<HashSet<u64>>> = (0..SHARDS).map(|_| Mutex::default()).collect();
    fresh(&seen, fingerprint(&state, &mut String::new()));
    found.states = 1;
    let mut frontier = vec![Node { state, past: None }];
    for depth in 1..=scope.depth {
        let size = frontier.len().div_ceil(threads).max(1);
        let parts: Vec<(Vec<Node>, Found, Report)> = std::thread::scope(|threads| {
            let workers: Vec<_> = frontier
                .chunks(size)
                .map(|nodes| threads.spawn(|| expand(scope, nodes, &seen, until, &report.ignored)))
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
        });
        frontier = Vec::new();
        for (nodes, part, counted) in parts {
            frontier.extend(nodes);
            report.add(&counted);
            found.states += part.states;
            found.steps += part.steps;
            for (predicate, failure) in part.failures {
                found.failures.entry(predicate).or_insert(failure);
            }
        }
        if Instant::now() >= until {
            return found;
        }
        found.depth = depth;
        if frontier.is_empty() {
            break;
        }
    }
    found.complete = true;
    found
}

fn expand(
    scope: &Scope,
    nodes: &[Node],
    seen: &[Mutex<HashSet<u64>>],
    until: Instant,
    ignored: &[Predicate],
) -> (Vec<Node>, Found, Report) {
    let mut report = Report { ignored: ignored.to_vec(), ..Report::default() };
    let (mut found, mut next, mut text) = (Found::default(), Vec::new(), String::new());
    for node in nodes {
        if Instant::now() >= until {
            break;
        }
        for event in &scope.events {
            let mut state = node.state.clone();
            state.happen(*event, &mut report);
            found.steps += 1;
            let past = || Some(Arc::new(Past { event: *event, before: node.past.clone() }));
            if report.violation.is_none() {
                if !fresh(seen, fingerprint(&state, &mut text)) {
                    continue;
                }
                found.states += 1;
                settle(&state, &mut report);
            }
            match report.violation.take() {
                None => next.push(Node { state, past: past() }),
                Some(violation) => {
                    let events = history(scope, past().as_ref());
                    found.failures.entry(violation.predicate).or_insert(Failure { events, violation });
                }
            }
        }
    }
    (next, found, report)
}

fn history(scope: &Scope, past: Option<&Arc<Past>>) -> Vec<Event> {
    let mut events: Vec<Event> =
        std::iter::successors(past, |past| past.before.as_ref()).map(|past| past.event).collect();
    events.extend(scope.prologue.iter().rev());
    events.reverse();
    events
}

/// Whether this fingerprint was not there before.
fn fresh(seen: &[Mutex<HashSet<u64>>], fingerprint: u64) -> bool {
    let shard = usize::try_from(fingerprint % 64).unwrap_or(0);
    seen[shard].lock().expect("nobody panics while it is locked").insert(fingerprint)
}

/// A hash of what matters of a state.
pub fn fingerprint(state: &State, text: &mut String) -> u64 {
    text.clear();
    let cluster = &state.cluster;
    let written = write!(
        text,
        "{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
        cluster.rollout,
        cluster.gone,
        cluster.deletion,
        cluster.sets,
        cluster.services,
        cluster.slices,
        cluster.dual_stack,
        cluster.runs,
        cluster.rival,
        cluster.refused,
        state.operators,
        state.scaling,
        state.ghost,
    );
    debug_assert!(written.is_ok(), "a string takes everything");
    hash_canonical(text, cluster.now)
}

/// Times count by their order and by how near they are; names that are only compared count by where they come first.
fn hash_canonical(text: &str, now: Timestamp) -> u64 {
    let pieces = pieces(text);
    let mut times: Vec<Timestamp> = pieces.iter().filter_map(|piece| piece.time).collect();
    times.push(now);
    times.sort_unstable();
    times.dedup();
    // Which of two resourceVersions is newer counts, by how much does not.
    let mut versions: Vec<u64> = pieces.iter().filter_map(|piece| piece.version(text)).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut names: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let mut hasher = DefaultHasher::new();
    let mut done = 0;
    for piece in &pieces {
        text[done..piece.start].hash(&mut hasher);
        done = piece.end;
        match piece.time {
            Some(time) => {
                times.binary_search(&time).unwrap_or(0).hash(&mut hasher);
                time.duration_since(now).as_secs().clamp(-60, 60).hash(&mut hasher);
            }
            None if piece.kind == 0 => {
                piece.version(text).and_then(|version| versions.binary_search(&version).ok()).hash(&mut hasher);
            }
            None => {
                let number = names.len();
                names.entry((piece.kind, &text[piece.start..piece.end])).or_insert(number).hash(&mut hasher);
            }
        }
    }
    text[done..].hash(&mut hasher);
    hasher.finish()
}

struct Piece {
    start: usize,
    end: usize,
    kind: u8,
    time: Option<Timestamp>,
}

impl Piece {
    fn version(&self, text: &str) -> Option<u64> {
        if self.kind == 0 { text[self.start..self.end].parse().ok() } else { None }
    }
}

/// Where the text names a time, a resourceVersion, a pod or a generation.
fn pieces(text: &str) -> Vec<Piece> {
    const MARKS: [(&str, u8); 8] = [
        ("rv", 0),
        ("-p", 1),
        ("uid-", 1),
        ("number: ", 1),
        ("pod: ", 1),
        ("generation: Some(", 2),
        ("generation: ", 2),
        ("2026-", 3),
    ];
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let mark = match bytes[at] {
            b'r' | b'-' | b'u' | b'n' | b'p' | b'g' | b'2' => MARKS.iter().find(|(mark, _)| rest.starts_with(mark)),
            _ => None,
        };
        let Some((mark, kind)) = mark else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let start = if *kind == 3 { at } else { at + mark.len() };
        let ends = |byte: &u8| !(byte.is_ascii_digit() || *kind == 3 && b"-T:.Z".contains(byte));
        let end = bytes[start..].iter().position(ends).map_or(bytes.len(), |length| start + length);
        let time = if *kind == 3 { text[start..end].parse().ok() } else { None };
        if end > start && (*kind != 3 || time.is_some()) {
            pieces.push(Piece { start, end, kind: *kind, time });
        }
        at = end.max(at + mark.len());
    }
    pieces
}

/// The scopes of a default run.
pub fn scopes() -> Vec<Scope> {
    let trace = |text: &str| crate::event::read_trace(text).expect("a trace of ours is readable");
    vec![
        Scope {
            name: "decisions",
            about: "who decides what serves: promotions, undo, retry, deleted sets, a lost status",
            prologue: trace("set:auto:0,calm,template:v2,calm,ask:promote:v2:ann,calm"),
            events: trace(
                "template:v1,template:v2,template:v3,calm,ask:promote:v3:ann,ask:rollback:v2:ann,ask:retry:v2:ann,\
                 type:rollback:ann,delete-set:v2,delete-set:v1,lose-status,lose-hash:active,scale:0,seconds:45,scale-down",
            ),
            depth: 9,
        },
        Scope {
            name: "crashes",
            about: "an operator that dies between any two writes, and a second one with an old plan",
            prologue: trace("calm,template:v2"),
            events: trace(
                "step:a,die:a,step:b,pods:v2:9,pods:v2:1,pods:v1:0,endpoints:active,template:v3,template:v1,\
                 ask:rollback:v2:ann,scale-down,seconds:45",
            ),
            depth: 9,
        },
        Scope {
            name: "services",
            about: "Services that are deleted, renamed, exchanged, relabelled and moved by hand while a preview waits",
            prologue: trace("set:auto:0,calm,template:v2,calm"),
            events: trace(
                "calm,run:a,ask:promote:v2:ann,ask:rollback:v2:ann,delete-service:preview,delete-service:active,\
                 create-service:active,lose-hash:active,by-hand:active:v2,by-hand:active:v1,select-tier:active:1,\
                 set:exchange:0,set:activeService:3,set:activeService:0,template:v6,template:v5,scale:3,seconds:45,scale-down",
            ),
            depth: 6,
        },
        Scope {
            name: "proof",
            about: "endpoints that are late, in two families, with pods that come and go, down to the scale-down",
            prologue: trace("set:dualStack:1,set:delay:0,calm,template:v2"),
            events: trace(
                "run:a,pods:v2:9,pods:v2:1,pods:v1:0,endpoints:active,half-endpoints:active,scale-down-begins:v1,\
                 scale-down-ends,seconds:5,ask:rollback:v2:ann,lose-hash:active,scale:3,scale:0",
            ),
            depth: 9,
        },
        Scope {
            name: "analyses",
            about: "analyses that end in every way, with retries and people",
            prologue: trace("set:pre:1,set:post:1,calm,template:v2,calm"),
            events: trace(
                "analysis:pre:good,analysis:pre:bad,analysis:post:good,analysis:post:bad,analysis:post:inconclusive,\
                 analysis:pre:deleted,calm,ask:promote:v2:ann,ask:retry:v2:ann,ask:rollback:v2:ann,template:v3,\
                 template:v1,set:post:0,refuse:analyses,refuse:nothing,seconds:45,scale-down",
            ),
            depth: 7,
        },
    ]
}

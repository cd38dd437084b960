//! All histories of a small scope: breadth first, so that what is found first is shortest. Two states are the same when they
//! differ only in names that nobody compares (resourceVersions, UIDs, pods) and in how long ago something was. The order of
//! the search does not depend on the number of threads: the same scope has the same result everywhere.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::event::Event;
use crate::predicate::{Predicate, Report, Violation};
use crate::settle::settle;
use crate::state::State;
use crate::walk::{Counts, Failure};

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
}

/// How far a search goes.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// It ends after about so many distinct states.
    pub states: usize,
    /// Or at this time, which is an emergency brake.
    pub until: Instant,
    /// How many threads work.
    pub threads: usize,
    /// Whether a failure counts.
    pub counts: Counts<'a>,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Found {
    /// Distinct states.
    pub states: usize,
    /// Events that were tried.
    pub steps: usize,
    /// All histories of up to so many events were looked at.
    pub depth: usize,
    /// There are no others.
    pub exhausted: bool,
    /// The emergency brake ended it.
    pub braked: bool,
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

/// What an event made of a state: a fingerprint of the next one, unless a predicate did not hold.
struct Successor {
    node: Node,
    outcome: Result<u64, Violation>,
}

/// So many states are gone on from at a time.
const BLOCK: usize = 512;

/// Searches a scope as far as the limits allow.
pub fn search(scope: &Scope, limits: Limits<'_>, report: &mut Report) -> Found {
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
    let mut seen = HashSet::from([fingerprint(&state, &mut String::new())]);
    let mut frontier = vec![Node { state, past: None }];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for block in frontier.chunks(BLOCK) {
            found.braked = Instant::now() >= limits.until;
            if found.braked || seen.len() >= limits.states {
                found.states = seen.len();
                return found;
            }
            let successors = in_parallel(block.iter(), limits.threads, report, |node, text, report| {
                scope.events.iter().map(|event| follow(node, *event, text, report)).collect::<Vec<_>>()
            });
            let mut fresh = Vec::new();
            for Successor { node, outcome } in successors.into_iter().flatten() {
                found.steps += 1;
                match outcome {
                    Ok(fingerprint) if seen.insert(fingerprint) => fresh.push(node),
                    Ok(_) => {}
                    Err(violation) => found.note(scope, &node, violation, limits.counts),
                }
            }
            let settled = in_parallel(fresh.into_iter(), limits.threads, report, |node, _, report| {
                settle(&node.state, report);
                (node, report.violation.take())
            });
            for (node, violation) in settled {
                match violation {
                    None => next.push(node),
                    Some(violation) => found.note(scope, &node, violation, limits.counts),
                }
            }
        }
        found.depth += 1;
        frontier = next;
    }
    found.states = seen.len();
    found.exhausted = true;
    found
}

impl Found {
    fn note(&mut self, scope: &Scope, node: &Node, violation: Violation, counts: Counts<'_>) {
        if self.failures.contains_key(&violation.predicate) {
            return;
        }
        let events = history(scope, node.past.as_ref());
        if counts(&events) {
            self.failures.insert(violation.predicate, Failure { events, violation });
        }
    }
}

fn follow(node: &Node, event: Event, text: &mut String, report: &mut Report) -> Successor {
    let mut state = node.state.clone();
    state.happen(event, report);
    let outcome = report.violation.take().map_or_else(|| Ok(fingerprint(&state, text)), Err);
    Successor { node: Node { state, past: Some(Arc::new(Past { event, before: node.past.clone() })) }, outcome }
}

/// Does the same with each item, on several threads; the results are in the order of the items.
fn in_parallel<T: Send, R: Send>(
    items: impl ExactSizeIterator<Item = T>,
    threads: usize,
    report: &mut Report,
    work: impl Fn(T, &mut String, &mut Report) -> R + Sync,
) -> Vec<R> {
    let size = items.len().div_ceil(threads).max(1);
    let mut parts: Vec<Vec<T>> = Vec::new();
    for item in items {
        match parts.last_mut().filter(|part| part.len() < size) {
            Some(part) => part.push(item),
            None => parts.push(vec![item]),
        }
    }
    let ignored = &report.ignored;
    let done: Vec<(Vec<R>, Report)> = std::thread::scope(|threads| {
        let work = &work;
        let workers: Vec<_> = parts
            .into_iter()
            .map(|part| {
                threads.spawn(move || {
                    let mut own = Report { ignored: ignored.clone(), ..Report::default() };
                    let mut text = String::new();
                    let results = part.into_iter().map(|item| work(item, &mut text, &mut own)).collect();
                    (results, own)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    done.iter().for_each(|(_, own)| report.add(own));
    done.into_iter().flat_map(|(results, _)| results).collect()
}

fn history(scope: &Scope, past: Option<&Arc<Past>>) -> Vec<Event> {
    let mut events: Vec<Event> =
        std::iter::successors(past, |past| past.before.as_ref()).map(|past| past.event).collect();
    events.extend(scope.prologue.iter().rev());
    events.reverse();
    events
}

/// A hash of what matters of a state.
pub fn fingerprint(state: &State, text: &mut String) -> u64 {
    text.clear();
    let cluster = &state.cluster;
    let written = write!(
        text,
        "{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
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
        cluster.room,
        cluster.room_for,
        state.operators,
        state.scaling,
        state.ghost,
        state.backup,
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
                 type:rollback:ann,delete-set:v2,delete-set:v1,drain-set:v2,lose-status,lose-hash:active,scale:0,seconds:45,scale-down",
            ),
        },
        Scope {
            name: "crashes",
            about: "an operator that dies between any two writes, and a second one with an old plan",
            prologue: trace("calm,template:v2"),
            events: trace(
                "step:a,die:a,step:b,pods:v2:9,pods:v2:1,pods:v1:0,endpoints:active,template:v3,template:v1,\
                 ask:rollback:v2:ann,scale-down,seconds:45",
            ),
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
        },
        Scope {
            name: "labels",
            about: "Services whose own selectors ask for a label that not every revision carries",
            prologue: trace("calm,template:v6,calm"),
            events: trace(
                "calm,run:a,select-tier:active:1,select-tier:active:0,select-tier:preview:1,lose-hash:active,template:v1,template:v2,\
                 template:v6,ask:rollback:v6:ann,ask:rollback:v2:ann,by-hand:active:v6,by-hand:active:v1,delete-set:v1,\
                 set:activeService:3,lose-status",
            ),
        },
        Scope {
            name: "proof",
            about: "endpoints that are late, in two families, with pods that come and go, down to the scale-down",
            prologue: trace("set:dualStack:1,set:delay:0,calm,template:v2"),
            events: trace(
                "run:a,pods:v2:9,pods:v2:1,pods:v1:0,endpoints:active,half-endpoints:active,scale-down-begins:v1,\
                 scale-down-ends,seconds:5,ask:rollback:v2:ann,lose-hash:active,scale:3,scale:0,recount:v1",
            ),
        },
        Scope {
            name: "analyses",
            about: "analyses that end in every way, with retries and people",
            prologue: trace("set:pre:1,set:post:1,calm,template:v2,calm"),
            events: trace(
                "analysis:pre:good,analysis:pre:bad,analysis:post:good,analysis:post:bad,analysis:post:inconclusive,\
                 analysis:pre:deleted,calm,ask:promote:v2:ann,ask:retry:v2:ann,ask:rollback:v2:ann,template:v3,\
                 template:v1,set:pre:0,set:post:0,refuse:analyses,refuse:nothing,seconds:45,scale-down",
            ),
        },
        Scope {
            name: "progress",
            about: "pods that do not come up, or not for long enough, deadlines, and restarts with evictions that are refused",
            prologue: trace("set:deadline:30,calm,template:v2,run:a"),
            events: trace(
                "run:a,step:a,calm,pods:v2:9,pods:v2:1,pods:v1:1,recount:v1,seconds:5,seconds:45,set:deadlineAbort:30,set:minReady:5,\
                 set:restartAt:0,type:restart:ann,refuse:evictions,refuse:nothing,die:a,ask:abort:v2:ann,template:v1",
            ),
        },
        Scope {
            name: "room",
            about: "nodes or a quota without room, and with room again: undos, scales and previews that were superseded",
            prologue: trace("set:auto:0,set:deadline:30,calm,template:v2,calm,ask:promote:v2:ann,calm"),
            events: trace(
                "room:nodes-full,room:quota-full,room:enough,scale:3,scale:1,ask:rollback:v2:ann,template:v3,template:v4,\
                 ask:promote:v3:ann,ask:abort:v3:ann,pods:v1:1,calm,run:a,seconds:45,scale-down",
            ),
        },
        Scope {
            name: "overlap",
            about: "two revisions that serve for a while, by a label that the controllers of Kubernetes see late",
            prologue: trace("set:overlap:10,set:auto:0,calm,template:v2,calm,ask:promote:v2:ann"),
            events: trace(
                "step:a,run:a,die:a,step:b,pods:v1:9,pods:v2:9,pods:v1:1,pods-gone:v1,endpoints:active,scale:3,seconds:5,seconds:45,\
                 ask:rollback:v2:ann,delete-set:v2,set:extra:1,set:previewMetadata:1,set:overlap:0,calm",
            ),
        },
        Scope {
            name: "adoption",
            about: "a Deployment that the template comes from: taken over from, changed, scaled down, deleted",
            prologue: trace("create-workload,set:workloadRef:3"),
            events: trace(
                "run:a,step:a,calm,pods:v1:9,pods:v1:1,endpoints:active,template:v2,template:v7,delete-workload,\
                 create-workload,set:workloadRef:2,set:workloadRef:0,set:auto:0,ask:promote:v2:ann,ask:rollback:v2:ann,scale:3,scale:0,\
                 freeze:a:workload,thaw:a,lose-status,select-tier:active:1",
            ),
        },
        Scope {
            name: "rivals",
            about: "a second rollout, older or younger, that names the same Service, moves it and goes",
            prologue: trace("set:auto:0"),
            events: trace(
                "run:a,calm,rival:precedes,rival:appears,rival:moves,rival:goes,template:v2,ask:promote:v1:ann,ask:promote:v2:ann,\
                 ask:rollback:v2:ann,lose-hash:active,lose-status,delete-service:active,create-service:active,die:a,set:activeService:3",
            ),
        },
        Scope {
            name: "history",
            about: "a short history: what served is kept, what was rejected stays rejected",
            prologue: trace("set:history:1,set:delay:0,calm,template:v2,calm"),
            events: trace(
                "calm,run:a,template:v1,template:v2,template:v3,template:v4,ask:rollback:v2:ann,ask:rollback:v3:ann,ask:abort:v3:ann,\
                 set:history:0,set:history:2,set:auto:0,ask:promote:v3:ann,scale-down,delete-set:v1,lose-status,set:pre:1",
            ),
        },
    ]
}

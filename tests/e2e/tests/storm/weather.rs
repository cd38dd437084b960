//! What goes wrong, and when: decided by seeds alone.
//!
//! A request that names a namespace of a seed has the weather of that seed, so that many seeds share one operator. What has no
//! namespace (lists and watches of everything, the lease, the processes) has the weather of the batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::dice::Dice;

/// What a seed's namespace is called; its number comes after that.
pub const NAMESPACE: &str = "storm-";

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The stream breaks off before the server hears of it.
    LostBefore,
    /// The server does it, and the stream breaks off.
    LostAfter,
    /// It is under way for a while; also if whoever asked has gone by then.
    LateRequest(Duration),
    /// The answer is.
    LateAnswer(Duration),
    /// The server never hears of it, and this is the answer.
    Refused(u16),
    /// The server does it, and the answer is that it took too long.
    TimedOutAfter,
    /// It arrives twice at once.
    Twice,
    /// It arrives again after a while, when whoever asked has long had the answer.
    Again(Duration),
}

impl Fault {
    /// For the table.
    pub fn kind(self) -> String {
        match self {
            Fault::LostBefore => "lost before the server".to_owned(),
            Fault::LostAfter => "answer lost".to_owned(),
            Fault::LateRequest(_) => "request late".to_owned(),
            Fault::LateAnswer(_) => "answer late".to_owned(),
            Fault::Refused(code) => format!("answered {code}"),
            Fault::TimedOutAfter => "done, answered 504".to_owned(),
            Fault::Twice => "sent twice".to_owned(),
            Fault::Again(_) => "sent again later".to_owned(),
        }
    }
}

/// How a watch ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// It is closed, as the server does after its time.
    Closed,
    /// The stream breaks off.
    Broken,
    /// An event says that its history is gone.
    Gone,
    /// Nothing more comes, and it stays open.
    Frozen,
}

/// What becomes of one watch.
#[derive(Clone, Debug)]
pub struct WatchFate {
    /// It does not begin, and this is the answer.
    pub refused: Option<u16>,
    /// How old its news are: each watch has an age of its own, so that kinds are seen out of order.
    pub age: Duration,
    /// When and how it ends.
    pub end: Option<(Duration, WatchEnd)>,
    /// How likely an event is followed by old ones, again.
    pub replays: f64,
    /// For what is decided on the way.
    pub dice: Dice,
}

/// One line of the journal of what went wrong, and of every write.
#[derive(Clone, Debug)]
pub struct Note {
    /// Seconds since the storm's recorder began.
    pub at: f64,
    /// The operator whose request it was.
    pub who: String,
    /// What.
    pub words: String,
}

/// The weather over one batch.
pub struct Weather {
    batch: u64,
    began: Instant,
    storming: watch::Sender<bool>,
    /// Watches that froze stay so after the storm, until the operator gives them up.
    pub lingers: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    requests: BTreeMap<String, u64>,
    watches: u64,
    faults: BTreeMap<String, u64>,
    journal: BTreeMap<String, Vec<Note>>,
    last_write: BTreeMap<String, Instant>,
}

impl Weather {
    /// Fair weather, until it begins.
    pub fn new(batch: u64) -> Arc<Weather> {
        let lingers = Dice::new(&[batch, 77]).chance(0.2);
        Arc::new(Weather {
            batch,
            began: Instant::now(),
            storming: watch::channel(false).0,
            lingers,
            inner: Mutex::default(),
        })
    }

    /// Lets the storm begin, or end.
    pub fn set(&self, storming: bool) {
        self.storming.send_replace(storming);
    }

    /// Whether it storms.
    pub fn storms(&self) -> bool {
        *self.storming.borrow()
    }

    /// Waits until the storm is over.
    pub async fn over(&self) {
        // The sender is in here.
        let _ = self.storming.subscribe().wait_for(|storming| !storming).await;
    }

    /// Seconds since it was made.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What becomes of the next request of this namespace (empty: of none).
    pub fn of_request(&self, namespace: &str, writes: bool, is_lease: bool) -> Option<Fault> {
        if !self.storms() {
            return None;
        }
        let number = {
            let mut inner = self.inner();
            let number = inner.requests.entry(namespace.to_owned()).or_default();
            *number += 1;
            *number
        };
        let seed = namespace.strip_prefix(NAMESPACE).and_then(|seed| seed.parse().ok());
        // How bad it is, is of the seed; what happens, of the request.
        let mut climate = Dice::new(&[seed.unwrap_or(self.batch), 1]);
        let bad =
            if seed.is_none() || is_lease { 0.12 } else { climate.pick(&[(2, 0.08), (3, 0.2), (3, 0.35), (1, 0.55)]) };
        let mut dice = Dice::new(&[seed.unwrap_or(self.batch), 2, number]);
        if !dice.chance(if writes { bad } else { bad * 0.6 }) {
            return None;
        }
        let seconds = |dice: &mut Dice| {
            Duration::from_secs_f64(dice.pick(&[(3, 0.3), (3, 1.0), (1, 4.0)]) * dice.between(0.1, 1.0))
        };
        let late = seconds(&mut dice);
        let code = dice.pick(&[(2, 403), (3, 409), (1, 422), (2, 429), (3, 500), (1, 503)]);
        if writes {
            return Some(dice.pick(&[
                (3, Fault::LostBefore),
                (4, Fault::LostAfter),
                (4, Fault::LateRequest(late)),
                (3, Fault::LateAnswer(late)),
                (4, Fault::Refused(code)),
                (3, Fault::TimedOutAfter),
                (2, Fault::Twice),
                (2, Fault::Again(late)),
            ]));
        }
        let code = if code == 409 { 410 } else { code };
        Some(dice.pick(&[
            (2, Fault::LostBefore),
            (1, Fault::LostAfter),
            (3, Fault::LateAnswer(late)),
            (3, Fault::Refused(code)),
        ]))
    }

    /// What becomes of the next watch.
    pub fn of_watch(&self) -> WatchFate {
        let number = {
            let mut inner = self.inner();
            inner.watches += 1;
            inner.watches
        };
        let mut dice = Dice::new(&[self.batch, 3, number]);
        let mut fate = WatchFate { refused: None, age: Duration::ZERO, end: None, replays: 0.0, dice: dice.clone() };
        if !self.storms() {
            // It may begin before the storm, and have its weather all the same.
            fate.end = None;
        } else if dice.chance(0.12) {
            fate.refused = Some(dice.pick(&[(3, 410), (2, 429), (2, 500), (1, 403)]));
            return fate;
        }
        let ages = [(3, 0.0), (3, 0.4), (3, 2.0), (2, 6.0)];
        fate.age = Duration::from_secs_f64(dice.pick(&ages) * dice.between(0.3, 1.0));
        let after = Duration::from_secs_f64(dice.between(0.5, 16.0));
        let end =
            dice.pick(&[(3, WatchEnd::Closed), (3, WatchEnd::Broken), (3, WatchEnd::Gone), (2, WatchEnd::Frozen)]);
        fate.end = Some((after, end));
        fate.replays = dice.pick(&[(3, 0.0), (2, 0.05), (1, 0.3)]);
        fate
    }

    /// Counts what went wrong.
    pub fn count(&self, fault: &str) {
        *self.inner().faults.entry(fault.to_owned()).or_default() += 1;
    }

    /// Writes a line into the journal of a namespace (empty: of the batch).
    pub fn note(&self, namespace: &str, who: &str, words: String) {
        let note = Note { at: self.now(), who: who.to_owned(), words };
        self.inner().journal.entry(namespace.to_owned()).or_default().push(note);
    }

    /// Notes that a write of this namespace reached the server.
    pub fn written(&self, namespace: &str) {
        self.inner().last_write.insert(namespace.to_owned(), Instant::now());
    }

    /// When the last write of this namespace reached the server.
    pub fn last_write(&self, namespace: &str) -> Option<Instant> {
        self.inner().last_write.get(namespace).copied()
    }

    /// The journal of a namespace.
    pub fn journal(&self, namespace: &str) -> Vec<Note> {
        self.inner().journal.get(namespace).cloned().unwrap_or_default()
    }

    /// How often what went wrong.
    pub fn faults(&self) -> BTreeMap<String, u64> {
        self.inner().faults.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while locked")
    }
}

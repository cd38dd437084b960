//! What waits to be told, to a sink or to the API server: a line for each namespace. The lines take turns, so one that has much to tell, or something
//! that is not taken, keeps no other waiting; and nobody's work waits for what it has told.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | one namespace tells without end | it has all the room that nobody else needs; when there is none left, the longest line loses its last message |
//! | a sink does not take a message | its line waits and tries again, and the others go on |
//! | a sink is down, or the API server | each line tries by itself, at growing intervals |
//! | a webhook holds up the events of one namespace | so many of its messages are under way as have no other use, and each other namespace has one |
//! | the operator ends | what waits is told, for a few seconds; what comes then is lost, and its sender is told so |

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many messages may wait.
pub const MOST: usize = 1000;
/// How long the operator, when it ends, waits for what is still to be told.
pub const LAST_WORDS: Duration = Duration::from_secs(5);
const THE_END: &str = "the operator ends";

/// What waits for one sink, or for the API server. Clones share it.
pub struct Lines<T>(Arc<Inner<T>>);

struct Inner<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    lines: BTreeMap<String, Line<T>>,
    count: usize,
    /// How many messages may be under way beside another one of their namespace.
    beside: usize,
    /// Who had the last turn.
    last: String,
    closed: bool,
}

/// What one namespace tells, in its order.
struct Line<T> {
    under_way: Vec<Told<T>>,
    waiting: VecDeque<Told<T>>,
    /// When to try the first one again.
    again_at: Option<Instant>,
}

/// A message, the rollout that it is about, and how often it was tried, since when.
struct Told<T> {
    about: String,
    message: Arc<T>,
    failures: u32,
    since: Option<Instant>,
}

/// A message whose turn it is.
pub struct First<T> {
    /// Whose line it is.
    pub namespace: String,
    /// It.
    pub message: Arc<T>,
    /// How often it was tried in vain.
    pub failures: u32,
    /// When it was tried first.
    pub since: Instant,
}

/// A message for which there is no room, and why.
pub struct Lost<T> {
    /// It, or another one that made room for it.
    pub message: Arc<T>,
    /// Why.
    pub why: &'static str,
}

impl<T> Clone for Lines<T> {
    fn clone(&self) -> Lines<T> {
        Lines(self.0.clone())
    }
}

impl<T> Lines<T> {
    /// Lines in which nothing waits yet. `beside`: how many messages may be under way beside another one of their namespace, if they are about
    /// different rollouts.
    pub fn new(beside: usize) -> Lines<T> {
        let state = State { lines: BTreeMap::new(), count: 0, beside, last: String::new(), closed: false };
        Lines(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().expect("no panic while locked")
    }

    /// Puts a message about this rollout at the end of the line of its namespace. Never waits.
    pub fn push(&self, namespace: &str, about: &str, message: T) -> Result<(), Lost<T>> {
        let message = Arc::new(message);
        let mut state = self.state();
        if state.closed {
            return Err(Lost { message, why: THE_END });
        }
        let lost = if state.count < MOST { None } else { state.make_room(namespace, &message) };
        if !lost.as_ref().is_some_and(|lost| Arc::ptr_eq(lost, &message)) {
            let line = state.lines.entry(namespace.to_owned()).or_default();
            line.waiting.push_back(Told { about: about.to_owned(), message, failures: 0, since: None });
            state.count += 1;
        }
        drop(state);
        self.0.changed.notify_one();
        lost.map_or(Ok(()), |message| Err(Lost { message, why: "too many wait" }))
    }

    /// How much of this namespace is not told yet.
    pub fn len(&self, namespace: &str) -> usize {
        self.state().lines.get(namespace).map_or(0, Line::len)
    }

    /// The message whose turn it is; none when nothing waits and nothing will come any more. Whoever gets one says what became of it:
    /// [`Lines::done`] or [`Lines::failed`].
    pub async fn next(&self) -> Option<First<T>> {
        loop {
            let pause = {
                let (mut state, now) = (self.state(), Instant::now());
                let first = state.next(now);
                if first.is_some() || state.closed && state.count == 0 {
                    // Perhaps there is something for another one, too.
                    self.0.changed.notify_one();
                    return first;
                }
                // What is due waits for another one that is under way.
                state.lines.values().filter_map(|line| line.again_at).filter(|at| *at > now).min()
            };
            let over = async {
                match pause {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = over => {}
            }
        }
    }

    /// This message was delivered, or is given up.
    pub fn done(&self, first: &First<T>) {
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(&first.namespace) else { return };
        if line.end(first).is_none() {
            return;
        }
        if line.len() == 0 {
            state.lines.remove(&first.namespace);
        }
        state.count -= 1;
        drop(state);
        self.0.changed.notify_one();
    }

    /// This message was not delivered, and is tried again then.
    pub fn failed(&self, first: &First<T>, again_at: Instant) {
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(&first.namespace) else { return };
        let Some(told) = line.end(first) else { return };
        line.waiting.push_front(Told { failures: first.failures + 1, since: Some(first.since), ..told });
        line.again_at = Some(again_at);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.0.changed.notify_one();
    }

    /// All that is there; nothing is any more.
    fn take_all(&self) -> Vec<Arc<T>> {
        let mut state = self.state();
        state.count = 0;
        let lines = std::mem::take(&mut state.lines).into_values();
        lines.flat_map(|line| line.under_way.into_iter().chain(line.waiting)).map(|told| told.message).collect()
    }
}

impl<T> State<T> {
    /// Takes the last message of the longest line out, which is never one that is being delivered; or gives `message` back, if the line of its
    /// namespace would be as long as any.
    fn make_room(&mut self, namespace: &str, message: &Arc<T>) -> Option<Arc<T>> {
        let own = self.lines.get(namespace).map_or(0, Line::len);
        let longest = self.lines.values_mut().max_by_key(|line| line.len());
        let last = longest.filter(|longest| longest.len() > own + 1).and_then(|longest| longest.waiting.pop_back());
        let Some(last) = last else { return Some(message.clone()) };
        self.count -= 1;
        Some(last.message)
    }

    fn next(&mut self, now: Instant) -> Option<First<T>> {
        let after = self.lines.range::<str, _>((Excluded(self.last.as_str()), Unbounded));
        let in_turn = after.chain(&self.lines).filter_map(|(namespace, line)| Some((namespace, line, line.next(now)?)));
        let beside: usize = self.lines.values().map(|line| line.under_way.len().saturating_sub(1)).sum();
        let (first, second): (Vec<_>, Vec<_>) = in_turn.partition(|(_, line, _)| line.under_way.is_empty());
        let second = if beside < self.beside { second.first() } else { None };
        let (namespace, _, place) = *first.first().or(second)?;
        let namespace = namespace.clone();
        self.last.clone_from(&namespace);
        let line = self.lines.get_mut(&namespace)?;
        let told = line.waiting.remove(place)?;
        let (message, failures, since) = (told.message.clone(), told.failures, told.since.unwrap_or(now));
        line.under_way.push(told);
        line.again_at = None;
        Some(First { message, failures, since, namespace })
    }
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line { under_way: Vec::new(), waiting: VecDeque::new(), again_at: None }
    }
}

impl<T> Line<T> {
    fn len(&self) -> usize {
        self.under_way.len() + self.waiting.len()
    }

    /// Where the next one is: what is told of one rollout is told in its order.
    fn next(&self, now: Instant) -> Option<usize> {
        let is_due = self.again_at.is_none_or(|at| at <= now);
        let may_be_told = |told: &Told<T>| !self.under_way.iter().any(|other| other.about == told.about);
        if is_due { self.waiting.iter().position(may_be_told) } else { None }
    }

    fn end(&mut self, first: &First<T>) -> Option<Told<T>> {
        let place = self.under_way.iter().position(|told| Arc::ptr_eq(&told.message, &first.message))?;
        Some(self.under_way.swap_remove(place))
    }
}

/// Who brings messages to where they belong.
pub trait Carrier<T>: Send + Sync + 'static {
    /// Brings one, and says to the lines what became of it.
    fn deliver(&self, lines: &Lines<T>, first: First<T>) -> impl Future<Output = ()> + Send;
    /// This one cannot be brought any more.
    fn lose(&self, message: &T, why: &str);
}

/// Those who bring what waits.
#[derive(Default)]
pub struct Workers {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Workers {
    /// One more. What still waits when the operator ends is lost.
    pub fn spawn<T: Send + Sync + 'static>(&mut self, lines: Lines<T>, carrier: impl Carrier<T>) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let all = async {
                while let Some(first) = lines.next().await {
                    // There are many, and most wait: none has the room that a request takes before it makes one.
                    Box::pin(carrier.deliver(&lines, first)).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = all => {}
            }
            lines.take_all().iter().for_each(|message| carrier.lose(message, THE_END));
        });
    }

    /// Waits a few seconds until the lines are empty, which have to be closed, and ends.
    pub async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            self.stop.cancel();
            // They still count what is lost.
            while self.tasks.join_next().await.is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::allocated::held;

    impl Lines<String> {
        fn told(&self, namespace: &str, about: &str, message: &str) -> Option<String> {
            let lost = self.push(namespace, about, message.to_owned()).err();
            lost.map(|lost| lost.message.to_string())
        }

        /// The one whose turn it is, if there is one now.
        async fn now(&self) -> Option<First<String>> {
            tokio::time::timeout(Duration::ZERO, self.next()).await.ok().flatten()
        }
    }

    async fn next(lines: &Lines<String>) -> String {
        let first = lines.next().await.expect("one waits");
        lines.done(&first);
        first.message.to_string()
    }

    /// It takes so much room, as long as it delivers.
    struct Large;

    impl Carrier<String> for Large {
        async fn deliver(&self, lines: &Lines<String>, first: First<String>) {
            let room = [1_u8; 64 << 10];
            tokio::task::yield_now().await;
            std::hint::black_box(&room);
            lines.done(&first);
        }

        fn lose(&self, _: &String, _: &str) {}
    }

    #[tokio::test]
    async fn who_waits_for_a_message_has_no_room_yet_for_delivering_it() {
        let (lines, mut workers, before) = (Lines::<String>::new(0), Workers::default(), held());
        (0..10).for_each(|_| workers.spawn(lines.clone(), Large));
        tokio::task::yield_now().await;
        let each = (held() - before) / 10;
        assert!(each < 8 << 10, "{each} bytes each");
        assert_eq!(lines.told("shop", "web", "promoted"), None);
        lines.close();
        workers.finish().await;
        assert_eq!(lines.len("shop"), 0, "it was told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_tells_without_end_loses_its_own_and_keeps_no_other_waiting() {
        let lines = Lines::new(0);
        let mut lost = Vec::new();
        for number in 0..MOST + 5 {
            lost.extend(lines.told("loud", "web", &format!("loud-{number}")));
        }
        assert_eq!(lost.len(), 5, "it has all the room there is");
        for number in 0..10 {
            for namespace in ["bank", "shop"] {
                let made_room = lines.told(namespace, "web", &format!("{namespace}-{number}"));
                assert!(made_room.is_some_and(|lost| lost.starts_with("loud")));
            }
        }
        let mut told = Vec::new();
        for _ in 0..6 {
            told.push(next(&lines).await);
        }
        assert_eq!(told, ["bank-0", "loud-0", "shop-0", "bank-1", "loud-1", "shop-1"]);
        assert_eq!(lines.take_all().len(), MOST - told.len());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_lines_are_as_long_whoever_comes_last_loses() {
        let lines = Lines::new(0);
        for number in 0..MOST {
            assert_eq!(lines.told(&format!("team-{number}"), "web", "x"), None);
        }
        assert_eq!(lines.told("another", "web", "new").as_deref(), Some("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_sink_does_not_take_holds_up_its_own_line_only() {
        let lines = Lines::new(0);
        for id in ["a", "b"] {
            assert_eq!(lines.told("shop", "web", id), None);
        }
        let refused = lines.next().await.expect("one");
        let began = Instant::now();
        lines.failed(&refused, began + Duration::from_secs(60));
        assert_eq!(lines.told("bank", "web", "c"), None);
        assert_eq!((next(&lines).await.as_str(), began.elapsed()), ("c", Duration::ZERO));
        let again = lines.next().await.expect("it waits");
        assert_eq!((again.message.as_str(), again.failures, again.since), ("a", 1, refused.since), "before b");
        assert!(began.elapsed() >= Duration::from_secs(60));
        lines.done(&again);
        let second = lines.next().await.expect("it waits");
        assert_eq!((second.message.as_str(), second.failures), ("b", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_of_one_rollout_is_told_in_its_order_and_of_others_beside_it() {
        let lines = Lines::new(1);
        for (about, message) in [("web", "a"), ("web", "b"), ("api", "c"), ("cron", "d")] {
            assert_eq!(lines.told("shop", about, message), None);
        }
        let (web, api) = (lines.now().await.expect("the first"), lines.now().await.expect("another one's"));
        assert_eq!((web.message.as_str(), api.message.as_str()), ("a", "c"));
        assert!(lines.now().await.is_none(), "no more beside it");
        assert_eq!(lines.told("bank", "web", "e"), None);
        let other = lines.now().await.expect("another namespace has one under way in any case");
        assert_eq!(other.message.as_str(), "e");
        lines.done(&api);
        assert_eq!(lines.now().await.expect("one more").message.as_str(), "d");
        lines.done(&web);
        assert_eq!(lines.now().await.expect("the next of the first").message.as_str(), "b");
    }

    /// Counts what it brings, and what it loses.
    #[derive(Clone, Default)]
    struct Counts {
        told: Arc<AtomicUsize>,
        lost: Arc<AtomicUsize>,
    }

    impl Carrier<String> for Counts {
        async fn deliver(&self, lines: &Lines<String>, first: First<String>) {
            if first.message.as_str() == "hangs" {
                std::future::pending::<()>().await;
            }
            self.told.fetch_add(1, Ordering::Relaxed);
            lines.done(&first);
        }
        fn lose(&self, _: &String, _: &str) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_bring_it_end_when_nothing_waits_any_more_and_what_hangs_is_lost() {
        const WORKERS: usize = 4;
        for hangs in [0, WORKERS - 1, WORKERS + 5] {
            let (lines, mut workers, counts) = (Lines::new(0), Workers::default(), Counts::default());
            (0..WORKERS).for_each(|_| workers.spawn(lines.clone(), counts.clone()));
            for number in 0..20 {
                let message = if number < hangs { "hangs" } else { "comes" };
                assert_eq!(lines.told(&format!("team-{number}"), "web", message), None);
            }
            lines.close();
            let ends = tokio::time::timeout(LAST_WORDS * 2, workers.finish()).await;
            ends.expect("it ends");
            let (told, lost) = (counts.told.load(Ordering::Relaxed), counts.lost.load(Ordering::Relaxed));
            assert_eq!(told + lost, 20);
            assert!(lost >= hangs && (hangs >= WORKERS || lost == hangs), "{lost} of {hangs}");
        }
    }
}

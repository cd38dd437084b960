//! What waits for one sink: a line for each namespace. The lines take turns, so one that has much to tell, or something that the sink
//! does not take, keeps no other waiting.
//!
//! | what can happen | what comes of it |
//! |---|---|
//! | one namespace tells without end | it has all the room that nobody else needs; when there is none left, the longest line loses its last message |
//! | the sink does not take a message | its line waits and tries again, and the others go on |
//! | the sink is down | each line tries by itself, at growing intervals |
//! | the operator ends | what comes then is lost, and whoever brings it is told so; nobody has to be gone for the lines to end |

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::message::Message;

/// So many messages have room.
const MOST: usize = 1000;

/// The lines of one sink. Clones share them.
#[derive(Clone, Default)]
pub struct Lines(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    lines: BTreeMap<String, Line>,
    waiting: usize,
    /// Who had the last turn.
    last: String,
    closed: bool,
}

/// What one namespace tells, in its order.
#[derive(Default)]
struct Line {
    messages: VecDeque<Arc<Message>>,
    /// How often the first one was tried, since when, and when to try it again.
    failures: u32,
    since: Option<Instant>,
    again_at: Option<Instant>,
}

/// The first message of a line, which is still there.
pub struct First {
    /// Whose line it is.
    pub namespace: String,
    /// It.
    pub message: Arc<Message>,
    /// How often it was tried in vain.
    pub failures: u32,
    /// When it was tried first.
    pub since: Instant,
}

/// A message for which there is no room, and why.
pub struct Lost {
    /// It, or another one that made room for it.
    pub message: Arc<Message>,
    /// Why.
    pub why: &'static str,
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while locked")
    }

    /// Puts a message at the end of the line of its namespace. Never waits.
    pub fn push(&self, namespace: &str, message: Message) -> Result<(), Lost> {
        let message = Arc::new(message);
        let mut state = self.state();
        if state.closed {
            return Err(Lost { message, why: "the operator ends" });
        }
        let lost = if state.waiting < MOST { None } else { state.make_room(namespace, &message) };
        if !lost.as_ref().is_some_and(|lost| Arc::ptr_eq(lost, &message)) {
            state.lines.entry(namespace.to_owned()).or_default().messages.push_back(message);
            state.waiting += 1;
        }
        drop(state);
        self.0.changed.notify_one();
        lost.map_or(Ok(()), |message| Err(Lost { message, why: "too many wait" }))
    }

    /// The first message of the line whose turn it is; none when nothing waits and nothing will come any more. There is one that asks, and it says
    /// what became of the message: [`Lines::done`] or [`Lines::failed`].
    pub async fn next(&self) -> Option<First> {
        loop {
            let pause = {
                let mut state = self.state();
                if let Some(first) = state.next(Instant::now()) {
                    return Some(first);
                }
                if state.closed && state.waiting == 0 {
                    return None;
                }
                state.lines.values().filter_map(|line| line.again_at).min()
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

    /// The first message of this line was delivered, or is given up.
    pub fn done(&self, namespace: &str) {
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(namespace) else { return };
        let messages = std::mem::take(&mut line.messages);
        *line = Line { messages, ..Line::default() };
        line.messages.pop_front();
        if line.messages.is_empty() {
            state.lines.remove(namespace);
        }
        state.waiting -= 1;
    }

    /// The first message of this line was not delivered, and is tried again then.
    pub fn failed(&self, first: &First, again_at: Instant) {
        if let Some(line) = self.state().lines.get_mut(&first.namespace) {
            *line = Line {
                failures: first.failures + 1,
                since: Some(first.since),
                again_at: Some(again_at),
                messages: std::mem::take(&mut line.messages),
            };
        }
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.0.changed.notify_one();
    }

    /// All that waits; nothing does any more.
    pub fn take_all(&self) -> Vec<Arc<Message>> {
        let mut state = self.state();
        state.waiting = 0;
        std::mem::take(&mut state.lines).into_values().flat_map(|line| line.messages).collect()
    }
}

impl State {
    /// Takes the last message of the longest line out, which is never the one that is being delivered; or gives `message` back, if the line of its
    /// namespace would be as long as any.
    fn make_room(&mut self, namespace: &str, message: &Arc<Message>) -> Option<Arc<Message>> {
        let own = self.lines.get(namespace).map_or(0, |line| line.messages.len());
        let longest = self.lines.values_mut().max_by_key(|line| line.messages.len());
        let Some(longest) = longest.filter(|longest| longest.messages.len() > own + 1) else {
            return Some(message.clone());
        };
        self.waiting -= 1;
        longest.messages.pop_back()
    }

    fn next(&mut self, now: Instant) -> Option<First> {
        let is_due = |(_, line): &(&String, &Line)| line.again_at.is_none_or(|at| at <= now);
        let after =
            self.lines.range::<str, _>((std::ops::Bound::Excluded(self.last.as_str()), std::ops::Bound::Unbounded));
        let (namespace, line) = after.chain(&self.lines).find(is_due)?;
        let (namespace, message) = (namespace.clone(), line.messages.front()?.clone());
        self.last.clone_from(&namespace);
        Some(First { message, failures: line.failures, since: line.since.unwrap_or(now), namespace })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(id: &str) -> Message {
        Message { id: id.to_owned(), content_type: "application/json", body: String::new() }
    }

    async fn next(lines: &Lines) -> String {
        let first = lines.next().await.expect("one waits");
        lines.done(&first.namespace);
        first.message.id.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_tells_without_end_loses_its_own_and_keeps_no_other_waiting() {
        let lines = Lines::default();
        let mut lost = Vec::new();
        for number in 0..MOST + 5 {
            lost.extend(lines.push("loud", message(&format!("loud-{number}"))).err());
        }
        assert_eq!(lost.len(), 5, "it has all the room there is");
        for number in 0..10 {
            for namespace in ["bank", "shop"] {
                let made_room = lines.push(namespace, message(&format!("{namespace}-{number}"))).err();
                assert!(made_room.is_some_and(|lost| lost.message.id.starts_with("loud")));
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
        let lines = Lines::default();
        for number in 0..MOST {
            assert!(lines.push(&format!("team-{number}"), message("x")).is_ok());
        }
        assert!(lines.push("another", message("new")).is_err_and(|lost| lost.message.id == "new"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_sink_does_not_take_holds_up_its_own_line_only() {
        let lines = Lines::default();
        for id in ["a", "b"] {
            lines.push("shop", message(id)).ok().expect("there is room");
        }
        let refused = lines.next().await.expect("one");
        let began = Instant::now();
        lines.failed(&refused, began + Duration::from_secs(60));
        lines.push("bank", message("c")).ok().expect("there is room");
        assert_eq!((next(&lines).await.as_str(), began.elapsed()), ("c", Duration::ZERO));
        let again = lines.next().await.expect("it waits");
        assert_eq!((again.message.id.as_str(), again.failures, again.since), ("a", 1, refused.since), "before b");
        assert!(began.elapsed() >= Duration::from_secs(60));
        lines.done("shop");
        let second = lines.next().await.expect("it waits");
        assert_eq!((second.message.id.as_str(), second.failures), ("b", 0));
    }
}

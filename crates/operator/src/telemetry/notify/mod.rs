//! Telling others what happens. Each sink has lines and a worker of its own: the events of a namespace reach it in their order, one that is
//! down delays neither the others nor a release, and what it misses is bounded and counted.

mod config;
mod message;

use std::sync::Arc;
use std::time::Duration;

use greenlight_api::analysis::{Header, WebMethod};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::api_server::backoff::pause;
use crate::telemetry::lines::{Carrier, First, Lines, Lost, Workers};
use crate::telemetry::metrics::Metrics;
use crate::web::client::{Answer, Question, WebClient};

pub use config::{Config, Sink};
use message::Message;

/// How long one message is tried: a sink that is down for longer loses it.
const PATIENCE: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A sink that asks for more time is asked again all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Something that happened to a rollout.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Name of the event object; the same if it is sent again.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// To which rollout, as it was known then.
    pub rollout: Rollout,
    /// What.
    pub event: Event,
}

/// The way to all sinks.
pub struct Notifier {
    lines: Vec<(Sink, Lines<Message>)>,
    dashboard: Option<Arc<str>>,
    workers: Workers,
    metrics: Metrics,
}

/// The end where notifications go in.
#[derive(Clone)]
pub struct Tell {
    lines: Vec<(Sink, Lines<Message>)>,
    dashboard: Option<Arc<str>>,
    metrics: Metrics,
}

impl Notifier {
    /// Starts a worker for each sink.
    pub fn start(config: Config, client: &WebClient, metrics: &Metrics) -> Notifier {
        let dashboard = config.dashboard.map(Arc::from);
        let mut notifier =
            Notifier { lines: Vec::new(), dashboard, workers: Workers::default(), metrics: metrics.clone() };
        for sink in config.sinks {
            let lines = Lines::new(0);
            notifier.lines.push((sink.clone(), lines.clone()));
            let worker = Worker { sink, client: client.clone(), metrics: metrics.clone() };
            notifier.workers.spawn(lines, worker);
        }
        notifier
    }

    /// Where notifications go in.
    pub fn tell(&self) -> Tell {
        Tell { lines: self.lines.clone(), dashboard: self.dashboard.clone(), metrics: self.metrics.clone() }
    }

    /// Sends what waits, for a few seconds, and ends. What is told from now on is lost, and counted.
    pub async fn finish(self) {
        self.lines.iter().for_each(|(_, lines)| lines.close());
        self.workers.finish().await;
    }
}

impl Tell {
    /// Tells every sink that wants to know. Never waits.
    pub fn tell(&self, notification: &Notification) {
        for (sink, lines) in &self.lines {
            if !sink.wants(notification) {
                continue;
            }
            let message = Message::of(notification, sink.format, self.dashboard.as_deref());
            let Rollout { namespace, name, .. } = &notification.rollout;
            if let Err(Lost { message, why }) = lines.push(namespace, name, message) {
                lose(&self.metrics, &sink.name, &message, why);
            }
        }
    }
}

fn lose(metrics: &Metrics, sink: &str, message: &Message, cause: &str) {
    tracing::warn!(sink, id = message.id, cause, "notification dropped");
    metrics.notified(sink, "dropped");
}

struct Worker {
    sink: Sink,
    client: WebClient,
    metrics: Metrics,
}

impl Carrier<Message> for Worker {
    async fn deliver(&self, lines: &Lines<Message>, first: First<Message>) {
        let (sink, First { message, failures, since, .. }) = (&self.sink.name, &first);
        let Failure { again, cause } = match self.attempt(message).await {
            Ok(()) => {
                self.metrics.notified(sink, "delivered");
                return lines.done(&first);
            }
            Err(failure) => failure,
        };
        let own = pause(failures + 1, FIRST_PAUSE, LONGEST_PAUSE);
        let wait = match again {
            Again::Never => None,
            // A sink that says "in 0 s" is not asked again at once, for ever.
            Again::Later | Again::After(Duration::ZERO) => Some(own),
            Again::After(wait) => Some(wait.min(LONGEST_RETRY_AFTER)),
        };
        let Some(wait) = wait.filter(|wait| since.elapsed() + *wait <= PATIENCE) else {
            self.lose(message, &cause);
            return lines.done(&first);
        };
        tracing::debug!(sink, id = message.id, failures, cause, "notification failed");
        lines.failed(&first, Instant::now() + wait);
        // That is said of the sink, and not of a message.
        if matches!(again, Again::After(_)) {
            tokio::time::sleep(wait).await;
        }
    }

    fn lose(&self, message: &Message, why: &str) {
        lose(&self.metrics, &self.sink.name, message, why);
    }
}

impl Worker {
    async fn attempt(&self, message: &Message) -> Result<(), Failure> {
        // Read anew each time: a mounted Secret changes when it is rotated.
        let read = |what| move |error| Failure { again: Again::Later, cause: format!("{what}: {error}") };
        let url = self.sink.url().map_err(read("url"))?;
        let token = self.sink.token().map_err(read("token"))?;
        let mut headers = vec![Header { key: "content-type".into(), value: message.content_type.into() }];
        headers.extend(token.map(|token| Header { key: "authorization".into(), value: format!("Bearer {token}") }));
        let question = Question {
            method: WebMethod::Post,
            url: &url,
            shown: &self.sink.name,
            headers: &headers,
            body: message.body.clone(),
            insecure: false,
            timeout: TIMEOUT,
            // Whoever has said that it took a message took it, whatever it goes on to say.
            reads: false,
        };
        // A webhook's address may be a secret: it is not repeated in messages, nor in what a library says of it.
        let hidden = |cause: String| cause.replace(&url, &self.sink.name);
        match self.client.ask(&question).await {
            Ok(Answer { code: 200..=299, .. }) => Ok(()),
            Ok(Answer { code, retry_after, .. }) => {
                let is_final = (400..500).contains(&code) && code != 408 && code != 429;
                let again = match retry_after {
                    _ if is_final => Again::Never,
                    Some(wait) => Again::After(wait),
                    None => Again::Later,
                };
                Err(Failure { again, cause: format!("it answers {code}") })
            }
            Err(cause) => Err(Failure { again: Again::Later, cause: hidden(cause) }),
        }
    }
}

/// Why a notification was not delivered, and when to try again.
struct Failure {
    again: Again,
    cause: String,
}

enum Again {
    /// It would fail again.
    Never,
    Later,
    /// The sink says when.
    After(Duration),
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::api_server::leadership::Leadership;
    use crate::cluster::fake;
    use crate::telemetry::lines::LAST_WORDS;

    fn notification(namespace: &str, id: &str) -> Notification {
        let rollout = fake::rollout(namespace, "web", "web", &json!(null));
        let event = Event {
            warning: false,
            reason: "Promoted",
            action: "Promote",
            note: "it serves".to_owned(),
            by: String::new(),
        };
        Notification { id: id.to_owned(), at: "2026-01-01T00:00:00Z".parse().expect("a time"), rollout, event }
    }

    fn notifier(url: &str) -> (Notifier, Metrics) {
        let metrics = Metrics::new(Arc::default(), Leadership::undisputed());
        let config = serde_json::from_value(json!({"sinks": [{"name": "all", "url": url}]})).expect("a config");
        (Notifier::start(config, &WebClient::default(), &metrics), metrics)
    }

    fn counted(metrics: &Metrics, result: &str) -> bool {
        metrics.text().contains(&format!("greenlight_notifications_total{{result=\"{result}\",sink=\"all\"}} 1"))
    }

    /// As a write of an event that hangs holds the way to the sinks, or a task that is not gone yet.
    #[tokio::test(start_paused = true)]
    async fn whoever_still_holds_the_way_to_the_sinks_does_not_hold_up_the_end_and_what_it_tells_then_is_counted() {
        let (notifier, metrics) = notifier("http://127.0.0.1:9/");
        let tell = notifier.tell();
        let ends = tokio::time::timeout(LAST_WORDS * 100, notifier.finish());
        ends.await.expect("it ends");
        tell.tell(&notification("shop", "late"));
        assert!(counted(&metrics, "dropped"));
    }

    /// It would get the message again and again for an hour, and those after it would wait.
    #[tokio::test]
    async fn a_sink_that_takes_a_message_and_does_not_come_to_the_end_of_its_answer_has_taken_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (notifier, metrics) = notifier(&format!("http://{}/", listener.local_addr().expect("an address")));
        notifier.tell().tell(&notification("shop", "once"));
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 16 << 10];
        let _ = stream.read(&mut request).await.expect("a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n<html>").await.expect("sent");
        let is_delivered = async {
            while !counted(&metrics, "delivered") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TIMEOUT / 2, is_delivered).await.expect("it was taken");
    }

    #[tokio::test]
    async fn a_sink_that_can_be_asked_again_at_once_is_asked_less_and_less_often_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (notifier, _) = notifier(&format!("http://{}/", listener.local_addr().expect("an address")));
        notifier.tell().tell(&notification("shop", "busy"));
        let mut asked = 0;
        let answers = async {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = vec![0; 16 << 10];
                let _ = stream.read(&mut request).await.expect("a request");
                let busy = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(busy).await.expect("sent");
                asked += 1;
            }
        };
        drop(tokio::time::timeout(FIRST_PAUSE * 2, answers).await);
        assert!((1..=3).contains(&asked), "{asked} times");
    }

    #[tokio::test]
    async fn what_waits_when_the_operator_ends_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (notifier, metrics) = notifier(&format!("http://{}/", listener.local_addr().expect("an address")));
        let tell = notifier.tell();
        tell.tell(&notification("shop", "last"));
        let answers = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 16 << 10];
            let _ = stream.read(&mut request).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("sent");
        });
        notifier.finish().await;
        answers.await.expect("it was asked");
        assert!(counted(&metrics, "delivered"));
    }
}

//! Telling others what happens. Each sink has a queue and a worker of its own: events reach it in their order, one that is down
//! delays neither the others nor a release, and what it misses is bounded and counted.

mod config;
mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use greenlight_api::analysis::{Header, WebMethod};
use greenlight_core::events::Event;
use greenlight_core::world::Rollout;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api_server::backoff::pause;
use crate::telemetry::metrics::Metrics;
use crate::web::client::{Answer, Question, WebClient};

pub use config::{Config, Sink};
use message::Message;

/// Beyond so many that wait for one sink, new ones are dropped.
const QUEUE_LENGTH: usize = 1000;
/// How long one message is tried: a sink that is down for longer loses it.
const PATIENCE: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A sink that asks for more time is asked again all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the operator, when it ends, waits for what is still to be told.
const LAST_WORDS: Duration = Duration::from_secs(5);

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
    queues: Vec<(Sink, mpsc::Sender<Message>)>,
    dashboard: Option<Arc<str>>,
    workers: JoinSet<()>,
    metrics: Metrics,
    stop: CancellationToken,
}

/// The end where notifications go in.
#[derive(Clone)]
pub struct Tell {
    queues: Vec<(Sink, mpsc::Sender<Message>)>,
    dashboard: Option<Arc<str>>,
    metrics: Metrics,
}

impl Notifier {
    /// Starts a worker for each sink.
    pub fn start(config: Config, client: &WebClient, metrics: &Metrics) -> Notifier {
        let stop = CancellationToken::new();
        let dashboard = config.dashboard.map(Arc::from);
        let mut notifier =
            Notifier { queues: Vec::new(), dashboard, workers: JoinSet::new(), metrics: metrics.clone(), stop };
        for sink in config.sinks {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            notifier.queues.push((sink.clone(), sender));
            let worker = Worker { sink, client: client.clone(), metrics: metrics.clone(), stop: notifier.stop.clone() };
            notifier.workers.spawn(worker.run(receiver));
        }
        notifier
    }

    /// Where notifications go in.
    pub fn tell(&self) -> Tell {
        Tell { queues: self.queues.clone(), dashboard: self.dashboard.clone(), metrics: self.metrics.clone() }
    }

    /// Sends what waits, for a few seconds, and ends. Every [`Tell`] must be gone by then.
    pub async fn finish(mut self) {
        self.queues.clear();
        let all = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            self.stop.cancel();
            // They still count what is lost.
            while self.workers.join_next().await.is_some() {}
        }
    }
}

impl Tell {
    /// Tells every sink that wants to know. Never waits.
    pub fn tell(&self, notification: &Notification) {
        for (sink, queue) in &self.queues {
            if !sink.wants(notification) {
                continue;
            }
            let message = Message::of(notification, sink.format, self.dashboard.as_deref());
            if queue.try_send(message).is_err() {
                tracing::warn!(sink = sink.name, id = notification.id, "notification dropped: too many wait");
                self.metrics.notified(&sink.name, "dropped");
            }
        }
    }
}

struct Worker {
    sink: Sink,
    client: WebClient,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Worker {
    async fn run(self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.recv().await {
            tokio::select! {
                () = self.stop.cancelled() => {
                    self.drop(&message, "the operator ends");
                    while let Ok(message) = queue.try_recv() {
                        self.drop(&message, "the operator ends");
                    }
                    return;
                }
                () = self.deliver(&message) => {}
            }
        }
    }

    async fn deliver(&self, message: &Message) {
        let (sink, id) = (&self.sink.name, &message.id);
        let started = Instant::now();
        for attempt in 1.. {
            let Failure { again, cause } = match self.attempt(message).await {
                Ok(()) => return self.metrics.notified(sink, "delivered"),
                Err(failure) => failure,
            };
            let wait = match again {
                Again::Never => return self.drop(message, &cause),
                Again::Later => pause(attempt, FIRST_PAUSE, LONGEST_PAUSE),
                Again::After(wait) => wait.min(LONGEST_RETRY_AFTER),
            };
            if started.elapsed() + wait > PATIENCE {
                return self.drop(message, &cause);
            }
            tracing::debug!(sink, id, attempt, cause, "notification failed");
            tokio::time::sleep(wait).await;
        }
    }

    fn drop(&self, message: &Message, cause: &str) {
        let (sink, id) = (&self.sink.name, &message.id);
        tracing::warn!(sink, id, cause, "notification dropped");
        self.metrics.notified(sink, "dropped");
    }

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

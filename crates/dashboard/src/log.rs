//! The log of a pod as it is told to a page. It goes on for as long as the container does; so that it does not go on when the right to
//! read it is gone, the API server is asked now and then whether the caller still may.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use futures::{Stream, StreamExt, stream};
use greenlight_overview::Session;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;

use crate::lines::lines;
use crate::rights;

/// How many lines are shown of what was written before.
pub const TAIL: i64 = 1000;
/// A right that is taken away ends the log within this time.
const ASKED_EVERY: Duration = Duration::from_secs(30);

/// What a page is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A line of the log.
    Line(String),
    /// Nothing comes any more, and why.
    End(String),
}

/// The lines of a container's log until it ends, or until the caller may not read it any more.
///
/// # Errors
/// The API server gives no log.
pub async fn told(
    session: &Session,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<impl Stream<Item = Told> + Send + 'static> {
    let params = LogParams {
        container: Some(container.to_owned()).filter(|container| !container.is_empty()),
        follow: !previous,
        previous,
        tail_lines: Some(TAIL),
        ..LogParams::default()
    };
    let log = lines(session.api::<Pod>().log_stream(pod, &params).await?);
    Ok(until(log, denied(session.clone(), pod.to_owned(), ASKED_EVERY)))
}

/// Ends when the API server says that the caller may not read the log; how it says so.
async fn denied(session: Session, pod: String, every: Duration) -> String {
    loop {
        tokio::time::sleep(every).await;
        match rights::may_read_log(&session.client, &session.namespace, &pod).await {
            Ok(true) => {}
            Ok(false) => return "Your roles do not let you read this log any more.".to_owned(),
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => return status.message.clone(),
            // Whether they may is not known; as long as it is so, the log is as good as it was.
            Err(_) => {}
        }
    }
}

/// The lines, and in the end why there are no more.
fn until(
    log: impl Stream<Item = std::io::Result<String>> + Send + 'static,
    denied: impl Future<Output = String> + Send + 'static,
) -> impl Stream<Item = Told> + Send + 'static {
    type Log = Pin<Box<dyn Stream<Item = std::io::Result<String>> + Send>>;
    type Denied = Pin<Box<dyn Future<Output = String> + Send>>;
    let begun: Option<(Log, Denied)> = Some((Box::pin(log), Box::pin(denied)));
    stream::unfold(begun, |going_on| async move {
        let (mut log, mut denied) = going_on?;
        let end = tokio::select! {
            // Who has no right any more is told nothing more, however much there is to tell.
            biased;
            why = &mut denied => why,
            line = log.next() => match line {
                Some(Ok(line)) => return Some((Told::Line(line), Some((log, denied)))),
                Some(Err(error)) => error.to_string(),
                None => "The log ends here.".to_owned(),
            },
        };
        Some((Told::End(end), None))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::fake::{Asked, allowed, api_server, failure, session};
    use futures::channel::mpsc;

    /// An API server that answers the questions after a right like this, one after the other, and counts them.
    fn answering(answers: &'static [(u16, bool)]) -> (Session, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let client = api_server(move |call: Asked| {
            assert!(call.path.ends_with("/selfsubjectaccessreviews"), "{}", call.path);
            let answer = match answers[counted.fetch_add(1, Ordering::SeqCst)] {
                (200, may) => allowed(may),
                (code, _) => failure(code, "Unauthorized"),
            };
            async { answer }
        });
        (session(client), asked)
    }

    #[tokio::test]
    async fn the_api_server_says_when_the_log_is_over_for_somebody() {
        for (answers, end) in [
            (&[(200, true), (503, false), (200, true), (200, false)][..], "do not let you read this log"),
            (&[(200, true), (401, false)], "Unauthorized"),
        ] {
            let (session, asked) = answering(answers);
            let why = denied(session, "web-1".to_owned(), Duration::from_millis(1)).await;
            assert!(why.contains(end), "{why}");
            assert_eq!(asked.load(Ordering::SeqCst), answers.len());
        }
    }

    #[tokio::test]
    async fn a_log_ends_where_it_ends_and_says_so() {
        let log = stream::iter(["a", "b"].map(|line| Ok(line.to_owned())));
        let told: Vec<Told> = until(log, std::future::pending()).collect().await;
        let [a, b] = ["a", "b"].map(|line| Told::Line(line.to_owned()));
        assert_eq!(told, [a, b, Told::End("The log ends here.".to_owned())]);
    }

    #[tokio::test]
    async fn who_may_not_read_it_any_more_reads_nothing_more() {
        let (writer, log) = mpsc::unbounded();
        let (deny, denied) = futures::channel::oneshot::channel();
        let mut told = Box::pin(until(log, async move { denied.await.unwrap_or_default() }));
        writer.unbounded_send(Ok("before".to_owned())).expect("sent");
        assert_eq!(told.next().await, Some(Told::Line("before".to_owned())));
        writer.unbounded_send(Ok("after".to_owned())).expect("sent");
        deny.send("no more".to_owned()).expect("sent");
        assert_eq!(told.next().await, Some(Told::End("no more".to_owned())));
        assert_eq!(told.next().await, None);
        assert!(writer.is_closed(), "the API server is not read any more");
    }
}

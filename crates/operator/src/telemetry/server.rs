//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::telemetry::connections;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// How many requests may wait for the metrics at once.
const SCRAPERS: usize = 16;
/// How long the text of the metrics is kept: a reader that asks within this time gets what the one before got.
const SAME_TEXT: Duration = Duration::from_millis(200);

/// Serves until stopped. A standby that waits for its lease is ready too. With a file, the metrics are for who sends the token in it.
pub async fn serve(
    address: SocketAddr,
    token: Option<PathBuf>,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = router(token, metrics, health);
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    connections::serve(listener, app, stop).await;
    Ok(())
}

fn router(token: Option<PathBuf>, metrics: Metrics, health: Health) -> Router {
    let alive = health.clone();
    let scraped = Scraped::new(metrics);
    Router::new()
        .route("/healthz", get(move || async move { answer(alive.alive()) }))
        .route("/readyz", get(move || async move { answer(health.in_step()) }))
        .route(
            "/metrics",
            get(async move |headers: HeaderMap| {
                match &token {
                    // Read anew each time: tokens are rotated.
                    Some(file) if !sends_token(&headers, std::fs::read(file).ok().as_deref()) => (
                        StatusCode::UNAUTHORIZED,
                        Bytes::from_static(b"send the token of --metrics-token-file as a bearer token\n"),
                    ),
                    _ => match scraped.text().await {
                        Some(text) => (StatusCode::OK, text),
                        None => (StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(b"too many ask at once\n")),
                    },
                }
            }),
        )
}

/// The metrics as text. It is made for one reader at a time, away from the workers, and kept for [`SAME_TEXT`].
#[derive(Clone)]
struct Scraped {
    metrics: Metrics,
    last: Arc<Mutex<Option<(Instant, Bytes)>>>,
    places: Arc<Semaphore>,
}

impl Scraped {
    fn new(metrics: Metrics) -> Scraped {
        Scraped { metrics, last: Arc::default(), places: Arc::new(Semaphore::new(SCRAPERS)) }
    }

    /// Nothing if too many wait for it.
    async fn text(&self) -> Option<Bytes> {
        let _place = self.places.try_acquire().ok()?;
        let mut last = self.last.lock().await;
        if let Some((_, text)) = last.as_ref().filter(|(made_at, _)| made_at.elapsed() < SAME_TEXT) {
            return Some(text.clone());
        }
        let metrics = self.metrics.clone();
        let text = Bytes::from(tokio::task::spawn_blocking(move || metrics.text()).await.ok()?);
        *last = Some((Instant::now(), text.clone()));
        // Of ten thousand rollouts it has megabytes.
        let last = self.last.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SAME_TEXT).await;
            let mut last = last.lock().await;
            if last.as_ref().is_some_and(|(made_at, _)| made_at.elapsed() >= SAME_TEXT) {
                *last = None;
            }
        });
        Some(text)
    }
}

/// Whether a request carries this token. An empty one, or one that cannot be read, lets nobody in.
fn sends_token(headers: &HeaderMap, token: Option<&[u8]>) -> bool {
    let token = token.unwrap_or_default().trim_ascii();
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    sent.is_some_and(|sent| !token.is_empty() && is_equal(sent.trim_ascii(), token))
}

/// Takes the same time wherever they differ, so that a token cannot be guessed byte by byte.
fn is_equal(sent: &[u8], token: &[u8]) -> bool {
    let differences = sent.iter().zip(token).fold(0, |differences, (a, b)| differences | (a ^ b));
    sent.len() == token.len() && std::hint::black_box(differences) == 0
}

fn answer(well: Result<(), String>) -> (StatusCode, String) {
    match well {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn scrapes_at_the_same_time_share_their_text_and_too_many_are_sent_away() {
        let scraped =
            Scraped::new(Metrics::new(Arc::default(), crate::api_server::leadership::Leadership::undisputed()));
        let (first, second) = tokio::join!(scraped.text(), scraped.text());
        let (first, second) = (first.expect("a text"), second.expect("a text"));
        assert_eq!(first.as_ptr(), second.as_ptr(), "made once");
        tokio::time::sleep(SAME_TEXT * 2).await;
        assert_ne!(scraped.text().await.expect("a text").as_ptr(), first.as_ptr(), "and not for ever");
        // Whoever makes it takes long.
        let making = scraped.last.lock().await;
        let waiting: Vec<_> = (0..SCRAPERS)
            .map(|_| {
                let scraped = scraped.clone();
                tokio::spawn(async move { scraped.text().await })
            })
            .collect();
        while scraped.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(scraped.text().await, None);
        drop(making);
        for waiting in waiting {
            assert!(waiting.await.expect("it ends").is_some());
        }
    }

    #[tokio::test]
    async fn what_was_scraped_is_not_kept_until_somebody_scrapes_again() {
        let leadership = crate::api_server::leadership::Leadership::undisputed();
        let scraped = Scraped::new(Metrics::new(Arc::default(), leadership));
        drop(scraped.text().await.expect("a text"));
        let is_gone = async {
            while scraped.last.lock().await.is_some() {
                tokio::time::sleep(SAME_TEXT / 4).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_gone).await.expect("it is let go");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_fails_when_a_queue_stands_still() {
        let health = Health::default();
        let leadership = crate::api_server::leadership::Leadership::undisputed();
        let router = router(None, Metrics::new(Arc::default(), leadership), health.clone());
        let probe = async || {
            let request = Request::get("/healthz").body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("it never fails");
            (answer.status(), answer.into_body().collect().await.expect("words").to_bytes())
        };
        health.beat("rollouts", None);
        assert_eq!(probe().await.0, StatusCode::OK);
        tokio::time::sleep(Duration::from_secs(61)).await;
        let (status, words) = probe().await;
        assert_eq!((status, &*words), (StatusCode::SERVICE_UNAVAILABLE, &b"the queue rollouts stands still"[..]));
    }

    #[test]
    fn metrics_are_for_who_sends_the_token_and_for_nobody_if_there_is_none() {
        let with = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))]);
        assert!(sends_token(&with("Bearer t0ken"), Some(b"t0ken\n")));
        for wrong in ["Bearer t0kex", "Bearer t0ken2", "Bearer t0ke", "Bearer ", "Basic t0ken", "t0ken"] {
            assert!(!sends_token(&with(wrong), Some(b"t0ken")), "{wrong}");
        }
        assert!(!sends_token(&HeaderMap::new(), Some(b"t0ken")));
        assert!(!sends_token(&with("Bearer "), Some(b"")), "an empty token lets nobody in");
        assert!(!sends_token(&with("Bearer t0ken"), None), "nor does one that cannot be read");
    }
}

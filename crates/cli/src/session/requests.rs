//! What every request to the API server goes through: `-v` shows it, and `--request-timeout` bounds it, with all the times that it is made.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// kubectl shows requests from this level on, and so does the plugin.
const SHOWS_REQUESTS: u8 = 6;

/// What comes back.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// How requests are treated.
#[derive(Clone, Debug)]
pub struct Treatment {
    /// `-v`. Method, address, answer and time are shown: never a header, a token or a body.
    pub verbosity: u8,
    /// `--request-timeout`.
    pub timeout: Option<Duration>,
    /// The server's address, as it is shown.
    pub server: String,
}

impl<S> Layer<S> for Treatment {
    type Service = Treated<S>;

    fn layer(&self, inner: S) -> Treated<S> {
        Treated { inner, treatment: self.clone() }
    }
}

/// A service whose requests are treated so.
#[derive(Clone, Debug)]
pub struct Treated<S> {
    inner: S,
    treatment: Treatment,
}

impl<S, B> Service<Request<Body>> for Treated<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Treatment { verbosity, timeout, server } = self.treatment.clone();
        let asked = format!("{} {}{}", request.method(), server.trim_end_matches('/'), request.uri());
        let query = request.uri().query().unwrap_or_default();
        // A watch, and a log: that may be longer than fits into memory.
        let goes_on = query.split('&').any(|word| word == "watch=true") || request.uri().path().ends_with("/log");
        let started = Instant::now();
        let answer = self.inner.call(request);
        async move {
            let answer = async {
                let (head, body) = answer.await?.into_parts();
                if goes_on {
                    return Ok(Response::from_parts(head, body.map_err(Into::into).boxed_unsync()));
                }
                let body = Full::new(body.collect().await.map_err(Into::into)?.to_bytes());
                Ok::<_, BoxError>(Response::from_parts(head, body.map_err(|never| match never {}).boxed_unsync()))
            };
            // Of what goes on, only the beginning: the rest is bounded by whoever waits for it.
            let answer = match timeout {
                Some(timeout) => tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| {
                    Err(format!("no answer within {} s (--request-timeout): {asked}", timeout.as_secs_f64()).into())
                }),
                None => answer.await,
            };
            if verbosity >= SHOWS_REQUESTS {
                let came = answer.as_ref().map_or("no answer".to_owned(), |answer| answer.status().to_string());
                eprintln!("{asked} {came} in {} ms", started.elapsed().as_millis());
            }
            answer
        }
        .boxed()
    }
}

//! Who shares a connection. An API server gives a hundred streams to one, first come first served, and a request that hangs (in a webhook,
//! say) keeps its stream until its deadline: what hangs must not keep watches from beginning, nor one controller's writes another's.
//!
//! | connection | streams at a time |
//! |---|---|
//! | watches | one for each kind, and one for each question that is watched on demand |
//! | each controller | what it works on ([`crate::controllers::lanes`]) |
//! | events | one for each rollout that is worked on |
//! | trouble | what tells of objects that cannot be read ([`crate::controllers::unreadable`]), and of work that fails ([`crate::controllers::trouble`]) |
//! | the lease | one after the other, of its own kind ([`super::client::Protocol::Http1`]) |

use anyhow::Result;
use kube::Client;

/// A client for each purpose, with a connection of its own.
pub struct Connections {
    /// The caches are filled by these.
    pub watches: Client,
    /// The controller of rollouts.
    pub rollouts: Client,
    /// The controller of ReplicaSets that retire.
    pub scale_down: Client,
    /// The controller of analyses.
    pub analyses: Client,
    /// What happened to rollouts.
    pub events: Client,
    /// What cannot be done, or read.
    pub trouble: Client,
}

impl Connections {
    /// Makes them.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn new(connect: impl Fn() -> Result<Client>) -> Result<Connections> {
        Ok(Connections {
            watches: connect()?,
            rollouts: connect()?,
            scale_down: connect()?,
            analyses: connect()?,
            events: connect()?,
            trouble: connect()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::{Request, Response};
    use kube::client::Body;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;
    use tower::{BoxError, service_fn};

    use super::*;

    /// So many streams an API server gives to a connection.
    const STREAMS: usize = 100;

    /// A connection to an API server that answers whatever is read, and never what is written.
    fn connection() -> Client {
        let streams = Arc::new(Semaphore::new(STREAMS));
        let service = service_fn(move |request: Request<Body>| {
            let streams = streams.clone();
            async move {
                let _stream = streams.acquire_owned().await?;
                if request.method() != "GET" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, BoxError>(Response::new(Body::from(br#"{"major": "1"}"#.to_vec())))
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_requests_of_one_purpose_hang_the_others_go_through() {
        let all = |connections: &Connections| {
            let Connections { watches, rollouts, scale_down, analyses, events, trouble } = connections;
            [watches, rollouts, scale_down, analyses, events, trouble].map(Clone::clone)
        };
        for hangs in 0..6 {
            let connections = all(&Connections::new(|| Ok(connection())).expect("connections"));
            let mut writes = tokio::task::JoinSet::new();
            for _ in 0..2 * STREAMS {
                let client = connections[hangs].clone();
                let write = Request::post("/api/v1/namespaces/shop/events").body(Vec::new()).expect("a request");
                writes.spawn(async move { client.request::<serde_json::Value>(write).await.is_ok() });
            }
            drop(timeout(Duration::from_secs(1), writes.join_next()).await);
            for (other, client) in connections.iter().enumerate() {
                let read = timeout(Duration::from_secs(60), client.apiserver_version()).await;
                assert_eq!(read.is_ok(), other != hangs, "{hangs} hangs, {other} reads");
            }
        }
    }
}

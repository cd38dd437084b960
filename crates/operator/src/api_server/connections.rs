//! Who shares a connection. An API server gives a hundred streams to one, first come first served, and a request that hangs (in a webhook,
//! say) keeps its stream until its deadline: what hangs must not keep watches from beginning, nor one controller's writes another's.
//!
//! | connection | streams at a time |
//! |---|---|
//! | watches | one for each kind, and one for each question that is watched on demand |
//! | each controller | what it works on ([`crate::controllers::lanes`]), and a few pods beside that |
//! | events | fewer than a hundred ([`crate::telemetry::recorder`]) |
//! | trouble | the statuses of objects that cannot be read ([`crate::controllers::unreadable`]) |
//! | the lease | one after the other, of its own kind ([`super::client::Protocol::Http1`]) |

use anyhow::Result;
use kube::Client;

use crate::api_server::leadership::Leadership;

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
    /// What happened, and what cannot be done. Who led when it was recorded may write it later.
    pub events: Client,
    /// What cannot be read.
    pub trouble: Client,
}

impl Connections {
    /// Makes them.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn new(leadership: &Leadership, connect: impl Fn(&Leadership) -> Result<Client>) -> Result<Connections> {
        Ok(Connections {
            watches: connect(leadership)?,
            rollouts: connect(leadership)?,
            scale_down: connect(leadership)?,
            analyses: connect(leadership)?,
            events: connect(&Leadership::undisputed())?,
            trouble: connect(leadership)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::Request;
    use serde_json::json;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;
    use crate::api_server::fake::{Asked, api_server};

    /// How many streams an API server gives to a connection.
    const STREAMS: usize = 100;

    /// A connection to an API server that answers whatever is read, and never what is written.
    fn connection() -> Client {
        let streams = Arc::new(Semaphore::new(STREAMS));
        api_server(move |Asked { method, .. }| {
            let streams = streams.clone();
            async move {
                let _stream = streams.acquire_owned().await;
                if method != "GET" {
                    std::future::pending::<()>().await;
                }
                (200, json!({"major": "1"}))
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_requests_of_one_purpose_hang_the_others_go_through() {
        let all = |connections: &Connections| {
            let Connections { watches, rollouts, scale_down, analyses, events, trouble } = connections;
            [watches, rollouts, scale_down, analyses, events, trouble].map(Clone::clone)
        };
        for hangs in 0..6 {
            let connections = Connections::new(&Leadership::undisputed(), |_| Ok(connection()));
            let connections = all(&connections.expect("connections"));
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

//! The connections to probes and metrics. Every pod that reaches the port may open some, so there is a bound to how many there are, to what one
//! may hold, and to how long one may keep silent. Where there are more, the oldest goes: so a probe is answered, however many others hang.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// How many connections there may be at the same time.
const MOST: usize = 256;
/// How long a connection may be idle before it is closed.
const SILENT_FOR: Duration = Duration::from_secs(20);
/// What is read of a request at a time, in bytes: its head has to fit.
const LARGEST_HEAD: usize = 16 << 10;
/// How long no connection is taken after an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves every connection, until stopped.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut open = VecDeque::<AbortHandle>::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if open.len() == MOST {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() == MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(router.clone());
        let connection = tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(SILENT_FOR).max_buf_size(LARGEST_HEAD);
            // What breaks off is the asker's business.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
        open.push_back(connection.abort_handle());
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    async fn serving() -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Router::new().route("/healthz", get(async || "ok")), stop.clone()));
        (address, stop)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_probe_is_answered_however_many_connections_hang() {
        let (address, stop) = serving().await;
        let mut hanging = Vec::new();
        for _ in 0..MOST * 2 {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ").await.expect("sent");
            hanging.push(stream);
        }
        let mut probe = TcpStream::connect(address).await.expect("connected");
        probe.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        // The oldest had to go, and not because it kept silent.
        let ended = timeout(SILENT_FOR / 2, hanging[0].read(&mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
        stop.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_without_end_is_refused_before_it_has_taken_much() {
        let (address, stop) = serving().await;
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let endless = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(LARGEST_HEAD * 2));
        stream.write_all(endless.as_bytes()).await.expect("sent");
        let answer = timeout(SILENT_FOR / 2, stream.read(&mut [0; 1024])).await;
        assert!(answer.is_ok(), "it is kept, and more is waited for");
        stop.cancel();
    }
}

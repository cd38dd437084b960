//! The connections of browsers. Whoever opens them need not have shown anything yet, so there is a bound to how many there are, and to how
//! long one may keep silent.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::ends::Ends;

/// How many connections there may be at the same time; a browser has six.
const MOST: usize = 2000;
/// How long a connection may be idle before it is closed.
const SILENT_FOR: Duration = Duration::from_secs(20);
/// What is read of a request at a time, in bytes: its head has to fit, with the tokens of those whose tokens are long.
const LARGEST_HEAD: usize = 64 << 10;
/// After an error such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves every connection, until it is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, theirs) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(ours) = stream.local_addr() else { continue };
        let service = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request| {
            request.extensions_mut().insert(Ends { ours, theirs });
            service.call(request)
        });
        tokio::spawn(async move {
            let _place = place;
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(SILENT_FOR).max_buf_size(LARGEST_HEAD);
            // What breaks off is the browser's business.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

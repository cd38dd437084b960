//! Tasks that the process must not outlive: who reads a cache does not see that nobody fills it any more.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts a task that has no end. If it panics, `failed` is cancelled; if it is aborted, that was meant.
pub fn forever(
    failed: &CancellationToken,
    what: String,
    task: impl Future<Output = Infallible> + Send + 'static,
) -> JoinHandle<()> {
    let failed = failed.clone();
    tokio::spawn(async move {
        let Err(_) = AssertUnwindSafe(task).catch_unwind().await;
        tracing::error!(what, "a task has panicked");
        failed.cancel();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_everybodys_business_and_an_abort_is_not() {
        let failed = CancellationToken::new();
        let aborted = forever(&failed, "aborted".to_owned(), std::future::pending());
        aborted.abort();
        drop(aborted.await);
        assert!(!failed.is_cancelled());
        drop(forever(&failed, "broken".to_owned(), async { panic!("a bug") }).await);
        assert!(failed.is_cancelled());
    }
}

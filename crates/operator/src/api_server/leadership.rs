//! Whether this instance may write: as long as its term lasts, by its own clock. Who says so is the holder of the lease (`manager::election`).

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Whether this instance may write; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Term>);

/// How long an instance leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// Not yet, or not any more.
    None,
    /// Until then.
    Until(Instant),
    /// There is nobody else.
    Always,
}

/// A write was not made, or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead: it writes nothing")]
pub struct NotLeading;

impl Leadership {
    /// That of an instance whose terms are said there.
    pub fn by_terms() -> (watch::Sender<Term>, Leadership) {
        let (term, leadership) = watch::channel(Term::None);
        (term, Leadership(leadership))
    }

    /// That of an instance without others.
    pub fn undisputed() -> Leadership {
        // The value outlives its sender.
        Leadership(watch::channel(Term::Always).1)
    }

    /// Whether a write may begin now.
    pub fn may_write(&self) -> bool {
        match *self.0.borrow() {
            Term::None => false,
            Term::Until(deadline) => Instant::now() < deadline,
            Term::Always => true,
        }
    }

    /// Writes, as long as this instance leads. What has begun is given up when it does not any more.
    pub async fn guard<T>(&self, write: impl Future<Output = T>) -> Result<T, NotLeading> {
        if !self.may_write() {
            return Err(NotLeading);
        }
        tokio::select! {
            biased;
            () = self.ended() => Err(NotLeading),
            answer = write => Ok(answer),
        }
    }

    /// Waits until no write may begin any more, and what has begun is to be given up.
    pub async fn ended(&self) {
        let mut term = self.0.clone();
        loop {
            let now = *term.borrow_and_update();
            match now {
                Term::None => return,
                Term::Always => std::future::pending().await,
                Term::Until(deadline) => tokio::select! {
                    () = sleep_until(deadline) => {
                        // It may have been renewed in the same moment.
                        if *term.borrow() == now {
                            return;
                        }
                    }
                    changed = term.changed() => {
                        if changed.is_err() {
                            return sleep_until(deadline).await;
                        }
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_sleeps_beyond_its_term_begins_no_write() {
        let (_term, leadership) = leading(Duration::from_millis(20));
        // Timers do not know yet how late it is.
        std::thread::sleep(Duration::from_millis(40));
        let mut begun = false;
        let answer = leadership.guard(async { begun = true }).await;
        assert_eq!((answer, begun), (Err(NotLeading), false));
    }

    #[tokio::test]
    async fn a_write_that_is_under_way_when_the_term_ends_is_given_up() {
        let (_term, leadership) = leading(Duration::from_millis(20));
        let write = leadership.guard(std::future::pending::<()>());
        let answer = tokio::time::timeout(Duration::from_secs(5), write).await;
        assert_eq!(answer, Ok(Err(NotLeading)));
    }

    #[tokio::test]
    async fn a_term_that_is_renewed_goes_on() {
        let (term, leadership) = leading(Duration::from_millis(20));
        term.send_replace(Term::Until(Instant::now() + Duration::from_secs(60)));
        let write = leadership.guard(tokio::time::sleep(Duration::from_millis(40)));
        assert_eq!(write.await, Ok(()));
    }

    fn leading(term: Duration) -> (watch::Sender<Term>, Leadership) {
        let (sender, leadership) = Leadership::by_terms();
        sender.send_replace(Term::Until(Instant::now() + term));
        (sender, leadership)
    }
}

//! Whether this instance may write: as long as its term lasts, by its own clock. Who says so is the holder of the lease (`manager::election`).
//!
//! Namespaces may be divided into shards, each with terms of its own. All that concerns a rollout is in its namespace: its ReplicaSets,
//! Services, analyses and events, and the rollouts that name the same Service. So it is in one shard.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Whether this instance may write; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<[Shard]>);

#[derive(Debug)]
struct Shard {
    term: watch::Receiver<Term>,
    /// What is under way.
    work: TaskTracker,
}

/// How long an instance leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// Not yet, or not any more.
    None,
    /// Until then.
    Until(Instant),
    /// What is under way may be finished until then, and nothing is begun.
    Ending(Instant),
    /// There is nobody else.
    Always,
}

/// A write was not made, or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead: it writes nothing")]
pub struct NotLeading;

/// The shard of a namespace, of so many. It is the same in every version: two instances that run at a time have to agree.
pub fn shard_of(namespace: &str, shards: usize) -> usize {
    // FNV-1a. What Rust hashes with may change with it.
    let hash = namespace
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // Names that differ in their last letter do not differ in all bits yet.
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let shard = (hash ^ (hash >> 33)) % u64::try_from(shards).unwrap_or(u64::MAX);
    usize::try_from(shard).expect("it is less than a number of this type")
}

impl Leadership {
    /// That of an instance whose terms are said there, one for each shard.
    pub fn by_terms(shards: usize) -> (Vec<watch::Sender<Term>>, Leadership) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..shards).map(|_| watch::channel(Term::None)).unzip();
        let shards = receivers.into_iter().map(|term| Shard { term, work: TaskTracker::new() });
        (senders, Leadership(shards.collect()))
    }

    /// That of an instance without others.
    pub fn undisputed() -> Leadership {
        // The value outlives its sender.
        Leadership([Shard { term: watch::channel(Term::Always).1, work: TaskTracker::new() }].into())
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.0.len()
    }

    /// The shard of a namespace.
    pub fn shard(&self, namespace: &str) -> usize {
        shard_of(namespace, self.0.len())
    }

    /// Whether a write in this namespace may begin now.
    pub fn may_write(&self, namespace: &str) -> bool {
        self.of(namespace).may_write()
    }

    /// Whether work on what is in this namespace may begin now.
    pub fn takes_work(&self, namespace: &str) -> bool {
        let shard = self.of(namespace);
        shard.may_write() && !matches!(*shard.term.borrow(), Term::Ending(_))
    }

    /// Work on what is in this namespace begins, if it may, and ends when what this returns is dropped.
    pub fn begin(&self, namespace: &str) -> Option<TaskTrackerToken> {
        // First it is there, then it is asked for: who ends the term sees one of them.
        let token = self.of(namespace).work.token();
        self.takes_work(namespace).then_some(token)
    }

    /// Waits until nothing in this shard is under way. Nothing may be begun meanwhile.
    pub async fn idle(&self, shard: usize) {
        let work = &self.0[shard].work;
        work.close();
        work.wait().await;
        work.reopen();
    }

    /// Writes in this namespace, as long as this instance leads. What has begun is given up when it does not any more.
    pub async fn guard<T>(&self, namespace: &str, write: impl Future<Output = T>) -> Result<T, NotLeading> {
        let shard = self.of(namespace);
        if !shard.may_write() {
            return Err(NotLeading);
        }
        tokio::select! {
            biased;
            () = shard.ended() => Err(NotLeading),
            answer = write => Ok(answer),
        }
    }

    fn of(&self, namespace: &str) -> &Shard {
        &self.0[self.shard(namespace)]
    }
}

impl Shard {
    fn may_write(&self) -> bool {
        match *self.term.borrow() {
            Term::None => false,
            Term::Until(deadline) | Term::Ending(deadline) => Instant::now() < deadline,
            Term::Always => true,
        }
    }

    /// Waits until no write may begin any more, and what has begun is to be given up.
    async fn ended(&self) {
        let mut term = self.term.clone();
        loop {
            let now = *term.borrow_and_update();
            match now {
                Term::None => return,
                Term::Always => std::future::pending().await,
                Term::Until(deadline) | Term::Ending(deadline) => tokio::select! {
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
        let answer = leadership.guard("shop", async { begun = true }).await;
        assert_eq!((answer, begun), (Err(NotLeading), false));
    }

    #[tokio::test]
    async fn a_write_that_is_under_way_when_the_term_ends_is_given_up() {
        let (_term, leadership) = leading(Duration::from_millis(20));
        let write = leadership.guard("shop", std::future::pending::<()>());
        let answer = tokio::time::timeout(Duration::from_secs(5), write).await;
        assert_eq!(answer, Ok(Err(NotLeading)));
    }

    #[tokio::test]
    async fn a_term_that_is_renewed_goes_on() {
        let (term, leadership) = leading(Duration::from_millis(20));
        term.send_replace(Term::Until(Instant::now() + Duration::from_secs(60)));
        let write = leadership.guard("shop", tokio::time::sleep(Duration::from_millis(40)));
        assert_eq!(write.await, Ok(()));
    }

    #[tokio::test]
    async fn a_shard_that_is_given_away_finishes_what_is_under_way_and_begins_nothing_and_others_go_on() {
        let (terms, leadership) = Leadership::by_terms(2);
        let later = Instant::now() + Duration::from_secs(60);
        for term in &terms {
            term.send_replace(Term::Until(later));
        }
        let (given, kept) = namespaces();
        let work = leadership.begin(given).expect("it leads");
        terms[0].send_replace(Term::Ending(later));
        assert!(leadership.begin(given).is_none() && leadership.begin(kept).is_some());
        assert_eq!(leadership.guard(given, async {}).await, Ok(()), "what is under way writes");
        let idle = leadership.clone();
        let idle = tokio::spawn(async move { idle.idle(0).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!idle.is_finished());
        drop(work);
        idle.await.expect("nothing is under way");
        terms[0].send_replace(Term::None);
        assert_eq!(leadership.guard(given, async {}).await, Err(NotLeading));
        assert_eq!(leadership.guard(kept, async {}).await, Ok(()));
    }

    #[test]
    fn a_namespace_has_the_same_shard_in_every_version_and_shards_are_of_a_size() {
        assert_eq!(["shop", "bank", "default"].map(|namespace| shard_of(namespace, 3)), [2, 1, 0]);
        assert_eq!(shard_of("anything", 1), 0);
        for shards in 2..9 {
            let mut sizes = vec![0; shards];
            (0..1000).for_each(|number| sizes[shard_of(&format!("team-{number}"), shards)] += 1);
            let expected = 1000 / shards;
            assert!(sizes.iter().all(|size| (expected * 3 / 4..=expected * 5 / 4).contains(size)), "{sizes:?}");
        }
    }

    /// Namespaces of the first and the second of two shards.
    fn namespaces() -> (&'static str, &'static str) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let of = |shard| names.into_iter().find(|name| shard_of(name, 2) == shard).expect("there are enough");
        (of(0), of(1))
    }

    fn leading(term: Duration) -> (watch::Sender<Term>, Leadership) {
        let (mut senders, leadership) = Leadership::by_terms(1);
        let sender = senders.remove(0);
        sender.send_replace(Term::Until(Instant::now() + term));
        (sender, leadership)
    }
}

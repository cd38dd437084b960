//! What the operator remembers of rollouts, and may forget.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use greenlight_api::BlueGreenRolloutStatus;
use greenlight_core::words::brief;
use greenlight_core::world::{Refusal, RefusedWrite, Rollout};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::api_server::error::Error;
use crate::cluster::cache::{Cached, Key};

/// A write that was refused so long ago, and is not tried any more, is not planned any more: the pod is gone that was to be evicted, say.
const LONG_AGO: Duration = Duration::from_secs(600);

/// What the operator remembers of a rollout and may forget: after a restart it does a little more work, and nothing else. Its times are of
/// a clock that nobody sets: with the time of day, a clock that is set back by an hour would hold up for an hour what waits for them.
///
/// There is one of each rollout, so it is small where nothing is wrong: a B-tree takes half a kilobyte for its first entry, and a hash table has room for
/// four with its first.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// When it last wrote the status.
    pub published: Option<Instant>,
    /// The status that it wrote last, and the version of the rollout since, if the API server has cut it: its CRD is older than the operator.
    pub cut: Option<Box<(String, BlueGreenRolloutStatus)>>,
    /// How often in a row somebody else had written in between.
    pub conflicts: u32,
    /// The template that the API server refused.
    pub refused: Option<Box<RefusedTemplate>>,
    /// Other writes that it refused, and analyses that could not begin, by what they were to change.
    pub refused_writes: BTreeMap<String, Refused>,
    /// What other controllers of the operator cannot do for it, in words, by the object that they work on.
    pub troubles: BTreeMap<Key, String>,
    /// What has kept the rollouts controller itself from the end of a plan, again and again.
    pub own_trouble: Option<Box<OwnTrouble>>,
    /// The Services that it moved itself, as they were then: name and resourceVersion.
    pub moved: Vec<(String, String)>,
    /// UIDs of ReplicaSets that it created itself, or whose template it has compared with what it would create, until they are on record.
    pub ours: Vec<String>,
    /// UIDs of ReplicaSets that name the rollout as their owner and of which the record, read live, knows nothing.
    pub strangers: BTreeSet<String>,
}

impl Memory {
    /// Another controller has, or no longer has, trouble with this object.
    pub fn tell(&mut self, about: &Key, words: Option<String>) {
        match words {
            Some(words) => drop(self.troubles.insert(about.clone(), words)),
            None => drop(self.troubles.remove(about)),
        }
    }

    /// The rollouts controller has, or no longer has, trouble with the rollout.
    pub fn tell_own(&mut self, _: &Key, words: Option<String>) {
        let before = self.own_trouble.take().map(|before| *before).unwrap_or_default();
        self.own_trouble = words.map(|words| Box::new(OwnTrouble { words, ..before }));
    }

    /// It has moved this Service, which is as `version` by now. Of others only those are remembered that are as it left them.
    pub fn note_moved(&mut self, name: String, version: String, is_as_it_was: impl Fn(&str, &str) -> bool) {
        self.moved.retain(|(other, version)| *other != name && is_as_it_was(other, version));
        self.moved.reserve_exact(1);
        self.moved.push((name, version));
    }

    /// Whether it moved this Service itself, and nothing has changed it since.
    pub fn has_moved(&self, name: &str, version: &str) -> bool {
        self.moved.iter().any(|(moved, at)| moved == name && at == version)
    }

    /// The API server refused to change this, and is asked again after a pause, which depends on how often it did in a row.
    pub fn note_refused(&mut self, target: String, message: String, pause: impl Fn(u32) -> Duration) {
        let now = Instant::now();
        self.refused_writes.retain(|_, refused| now < refused.retry + LONG_AGO);
        let times = self.refused_writes.get(&target).map_or(0, |before| before.times) + 1;
        self.refused_writes.insert(target, Refused { message: brief(message), retry: now + pause(times), times });
    }

    /// The record, read live, knows nothing of these ReplicaSets. Whoever makes one after the other, and deletes it, is not remembered for ever:
    /// `there` are all that there are.
    pub fn note_strangers(&mut self, uids: Vec<String>, there: &BTreeSet<String>) {
        self.strangers.retain(|stranger| there.contains(stranger));
        self.strangers.extend(uids);
    }

    /// This ReplicaSet is the rollout's own.
    pub fn note_ours(&mut self, uid: String) {
        self.strangers.remove(&uid);
        if !self.ours.contains(&uid) {
            self.ours.push(uid);
        }
    }

    /// What is on record needs no memory.
    pub fn forget_recorded(&mut self, is_recorded: impl Fn(&str) -> bool) {
        self.ours.retain(|uid| !is_recorded(uid));
        self.ours.shrink_to_fit();
    }

    /// When it last wrote the status, if it is `now`.
    pub fn published_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.published.map(|published| time_of_day(published, now))
    }

    /// The template that was refused, if it is `now`.
    pub fn refusal(&self, now: Timestamp) -> Option<Refusal> {
        let RefusedTemplate { digest, message, retry } = *self.refused.clone()?;
        Some(Refusal { digest, message, retry_at: time_of_day(retry, now) })
    }

    /// The other writes that were refused, if it is `now`.
    pub fn refused_writes(&self, now: Timestamp) -> Vec<RefusedWrite> {
        let write = |(target, refused): (&String, &Refused)| RefusedWrite {
            target: target.clone(),
            message: refused.message.clone(),
            retry_at: time_of_day(refused.retry, now),
        };
        self.refused_writes.iter().map(write).collect()
    }
}

/// A moment by the time of day, if it is `now`. Before the beginning or after the end of times it is as far as that.
fn time_of_day(moment: Instant, now: Timestamp) -> Timestamp {
    let since = SignedDuration::try_from(moment.elapsed()).unwrap_or(SignedDuration::MAX);
    let until = SignedDuration::try_from(moment.saturating_duration_since(Instant::now())).unwrap_or_default();
    now.saturating_add(until).and_then(|at| at.saturating_sub(since)).unwrap_or(now)
}

/// What keeps the rollouts controller from the end of a plan.
#[derive(Clone, Debug, Default)]
pub struct OwnTrouble {
    /// In words.
    pub words: String,
    /// The generation of the rollout on which it has failed last; 0 if that is not known yet.
    pub failed_on: i64,
    /// The generation of the rollout on which it was last put off; 0 if it was not yet.
    put_off_on: i64,
    /// Work has begun since, and has not come to an end.
    is_under_way: bool,
}

impl OwnTrouble {
    /// Work on this generation of the rollout has failed once more. A conflict, and that nobody answers, say nothing of its spec. Nor does the first answer
    /// that somebody has no time: that may be a moment's.
    fn note(&mut self, generation: i64, error: &Error) {
        if error.lasts() {
            self.failed_on = generation;
        } else if error.is_answer() && !error.is_conflict() {
            if self.put_off_on == generation {
                self.failed_on = generation;
            }
            self.put_off_on = generation;
        }
    }
}

/// A template that was refused.
#[derive(Clone, Debug)]
pub struct RefusedTemplate {
    /// Of the template.
    pub digest: String,
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry: Instant,
}

/// A write that was refused, and how often in a row.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The server's words.
    pub message: String,
    /// When to try again.
    pub retry: Instant,
    /// How often in a row.
    pub times: u32,
}

/// Memories by rollout.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<Key, Memory>>);

impl Memories {
    /// The memory of one rollout.
    pub fn of(&self, key: &Key) -> Memory {
        self.0.lock().expect("no panic while locked").get(key).cloned().unwrap_or_default()
    }

    /// What has kept the rollouts controller from the end of a plan for this rollout, again and again.
    pub fn own_trouble(&self, key: &Key) -> Option<OwnTrouble> {
        self.0.lock().expect("no panic while locked").get(key)?.own_trouble.as_deref().cloned()
    }

    /// Work on this rollout begins. If it is in trouble: whether the last work never came to an end, because it hung or panicked.
    pub fn begin(&self, key: &Key) -> Option<bool> {
        let mut memories = self.0.lock().expect("no panic while locked");
        let trouble = memories.get_mut(key)?.own_trouble.as_mut()?;
        Some(std::mem::replace(&mut trouble.is_under_way, true))
    }

    /// Work on this generation of the rollout has come to an end; by what error, if it has failed.
    pub fn end(&self, key: &Key, generation: i64, error: Option<&Error>) {
        let mut memories = self.0.lock().expect("no panic while locked");
        let Some(trouble) = memories.get_mut(key).and_then(|memory| memory.own_trouble.as_mut()) else { return };
        trouble.is_under_way = false;
        if let Some(error) = error {
            trouble.note(generation, error);
        }
    }

    /// This status was written already, and is what the API server has by now, as far as its CRD lets it.
    pub fn is_cut(&self, rollout: &Rollout, status: &BlueGreenRolloutStatus) -> bool {
        let memories = self.0.lock().expect("no panic while locked");
        let cut = memories.get(&rollout.key()).and_then(|memory| memory.cut.as_ref());
        cut.is_some_and(|cut| cut.0 == rollout.resource_version && cut.1 == *status)
    }

    /// Changes the memory of one rollout.
    pub fn update(&self, key: &Key, change: impl FnOnce(&mut Memory)) {
        change(self.0.lock().expect("no panic while locked").entry(key.clone()).or_default());
    }

    /// Forgets a rollout.
    pub fn forget(&self, key: &Key) {
        self.0.lock().expect("no panic while locked").remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocated::held;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_or_forth_puts_nothing_off_and_nothing_forward() {
        let soon = Instant::now() + Duration::from_secs(5);
        let refused = Refused { message: "no".to_owned(), retry: soon, times: 3 };
        let memory = Memory {
            published: Some(Instant::now()),
            refused: Some(Box::new(RefusedTemplate { digest: "x".to_owned(), message: "no".to_owned(), retry: soon })),
            refused_writes: [("Service web".to_owned(), refused)].into(),
            ..Memory::default()
        };
        let began = Timestamp::now();
        tokio::time::advance(Duration::from_secs(2)).await;
        for set in [SignedDuration::ZERO, SignedDuration::from_hours(-1), SignedDuration::from_hours(1)] {
            let now = began + set + SignedDuration::from_secs(2);
            let until = |at: Timestamp| at.duration_since(now).as_secs();
            assert_eq!(memory.published_at(now).map(until), Some(-2));
            assert_eq!(memory.refusal(now).map(|refusal| until(refusal.retry_at)), Some(3));
            assert_eq!(memory.refused_writes(now).iter().map(|write| until(write.retry_at)).collect::<Vec<_>>(), [3]);
        }
    }

    #[test]
    fn what_is_remembered_of_a_rollout_where_nothing_is_wrong_takes_less_than_its_cache() {
        let memories = Memories::default();
        let (rollouts, before) = (2_000, held());
        for number in 0..rollouts {
            let key = Key { namespace: "shop".to_owned(), name: format!("web-{number}") };
            memories.update(&key, |memory| {
                let uid = "0f9a8f7e-3a52-4d6c-9d7f-2a1f4f1f9b3e";
                memory.published = Some(Instant::now());
                memory.note_ours(uid.to_owned());
                memory.forget_recorded(|recorded| recorded == uid);
                for service in ["active", "preview"] {
                    memory.note_moved(format!("{service}-{number}"), "1234567890".to_owned(), |_, _| true);
                }
            });
        }
        let each = (held() - before) / rollouts;
        println!("{each} bytes each");
        assert!(each < 720, "{each} bytes each");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_tried_or_not_so_any_more_is_not_remembered_for_ever() {
        let mut memory = Memory::default();
        let pause = |times: u32| Duration::from_secs(times.into());
        for number in 0..1000 {
            memory.note_refused(format!("Pod web-{number}"), "a budget".to_owned(), pause);
            memory.note_moved(format!("web-{number}"), "7".to_owned(), |name, _| name == "web-3");
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        assert!(memory.refused_writes.len() <= 20, "{}", memory.refused_writes.len());
        assert_eq!(memory.moved.len(), 2, "one is as it was left, and one was just moved");
        for times in 1..=3 {
            memory.note_refused("Service web".to_owned(), "no".to_owned(), pause);
            let refused = &memory.refused_writes["Service web"];
            assert_eq!((refused.times, refused.retry), (times, Instant::now() + pause(times)));
            tokio::time::advance(Duration::from_secs(5)).await;
        }
    }
}

//! A watch that goes on for ever, whatever the API server can do.
//!
//! Lists that are streamed cost a third of the memory of paged ones, but not every API server has them: on by default in 1.32, off
//! in 1.33, on from 1.34, and an upgrade may take them away under a running operator. So every listing begins as a stream, and
//! goes by pages if the server refuses that or does not finish it. kube's `watcher` does either, but cannot change its mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Api;
use kube::runtime::watcher::{Config, Error, Event, InitialListStrategy, watcher};

use crate::api_server::backoff::pause;
use crate::cluster::arrived::{Arrived, Watched};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A list that is streamed does not pause: one that does will not be finished.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// A page is in memory as a whole, and an object may have one and a half megabytes.
const PAGE: u32 = 40;

/// The server ends a watch after so long, and it begins anew where it ended. So one that hangs is found out.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What is known of the API server's streaming lists; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StreamingLists {
    refused: Arc<AtomicBool>,
}

/// A watch of one kind. What it brings may be unreadable. It begins anew with [`Event::Init`] whenever it has to.
pub struct Watch<V> {
    api: Api<Arrived<V>>,
    config: Config,
    lists: StreamingLists,
    events: BoxStream<'static, Result<Event<Arrived<V>>, Error>>,
    /// This listing goes by pages.
    paged: bool,
    listing: Listing,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    NotBegun,
    Begun,
    Done,
}

impl<V: Watched> Watch<V> {
    /// Begins with its first event.
    pub fn new(api: Api<Arrived<V>>, config: Config, lists: &StreamingLists) -> Watch<V> {
        let mut watch = Watch {
            api,
            config: config.timeout(u32::try_from(LONGEST.as_secs()).unwrap_or(u32::MAX)).page_size(PAGE),
            lists: lists.clone(),
            events: futures::stream::empty().boxed(),
            paged: false,
            listing: Listing::NotBegun,
            failures: 0,
        };
        watch.begin(lists.refused.load(Ordering::Relaxed));
        watch
    }

    /// The next event. After an error it waits a little, longer and longer, and goes on.
    pub async fn next(&mut self) -> Result<Event<Arrived<V>>, Error> {
        if self.failures > 0 {
            tokio::time::sleep(pause(self.failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
        }
        loop {
            let event = if self.listing == Listing::Begun && !self.paged {
                tokio::time::timeout(LONGEST_SILENCE, self.events.next()).await.unwrap_or_default()
            } else {
                self.events.next().await
            };
            match event {
                // It halted, or broke off and begins again.
                None | Some(Ok(Event::Init)) if self.listing == Listing::Begun && !self.paged => {
                    self.go_by_pages("the API server does not finish a list that it streams");
                }
                None => self.begin(self.paged),
                // Whatever kept it from streaming the last time may be over.
                Some(Ok(Event::Init)) if self.listing == Listing::Done && self.paged => self.begin(false),
                Some(Err(error)) if !self.paged && is_refusal(&error) => {
                    self.lists.refused.store(true, Ordering::Relaxed);
                    self.go_by_pages(&error.to_string());
                }
                Some(Ok(event)) => {
                    // The beginning of a list is said before anything is asked for, and a page is not the list.
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
                        self.failures = 0;
                    }
                    match &event {
                        Event::Init => self.listing = Listing::Begun,
                        Event::InitDone => {
                            self.listing = Listing::Done;
                            self.lists.refused.store(self.paged, Ordering::Relaxed);
                        }
                        _ => {}
                    }
                    return Ok(event);
                }
                Some(Err(error)) => {
                    self.failures = self.failures.saturating_add(1);
                    return Err(error);
                }
            }
        }
    }

    fn go_by_pages(&mut self, why: &str) {
        tracing::info!(kind = %V::kind(&()), why, "listing by pages");
        self.begin(true);
    }

    fn begin(&mut self, paged: bool) {
        let config = if paged { self.config.clone() } else { self.config.clone().streaming_lists() };
        debug_assert_eq!(paged, config.initial_list_strategy == InitialListStrategy::ListWatch);
        self.events = watcher(self.api.clone(), config).boxed();
        self.paged = paged;
        self.listing = Listing::NotBegun;
    }
}

/// The server does not know what a streamed list is, or has it switched off.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::WatchStartFailed(kube::Error::Api(status)) => {
            matches!(status.code, 400 | 422) || status.message.contains("sendInitialEvents")
        }
        _ => false,
    }
}

//! Lists by pages. A tenant makes as many objects as they like, each of a megabyte and more, and a list is all in memory before it is read: so no more
//! than a few pages of them are at a time, for all readers; and of one namespace no more than half of these, so that another one need not wait for it.

use std::sync::LazyLock;

use kube::api::{ListParams, ObjectList};
use tokio::sync::Semaphore;

use crate::shares::Shares;

/// How many objects a page has: what a rollout has usually fits.
const PAGE: u32 = 16;
/// How many pages are in memory at a time.
const AT_ONCE: usize = 4;
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
static SHARES: LazyLock<Shares> = LazyLock::new(|| Shares::new(AT_ONCE / 2));

/// Reads a list of what is in this namespace page by page, and gives up each object before the next page is read. Returns the version of the list.
///
/// # Errors
/// A page cannot be read.
pub async fn by_pages<K: Clone, L: Future<Output = kube::Result<ObjectList<K>>>>(
    namespace: &str,
    params: ListParams,
    list: impl Fn(ListParams) -> L,
    mut take: impl FnMut(K),
) -> kube::Result<String> {
    let mut params = params.limit(PAGE);
    loop {
        // First the share: a list that waits for it keeps no place from others.
        let _share = SHARES.of(namespace).acquire_owned().await.expect("it is never closed");
        let _place = PLACES.acquire().await.expect("it is never closed");
        let page = list(params.clone()).await?;
        page.items.into_iter().for_each(&mut take);
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(page.metadata.resource_version.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_namespace_whose_lists_take_their_time_keeps_no_other_from_reading() {
        let mut lists = JoinSet::new();
        for _ in 0..2 * AT_ONCE {
            let hangs = |_: ListParams| std::future::pending::<kube::Result<ObjectList<Value>>>();
            lists.spawn(by_pages("hangs", ListParams::default(), hangs, drop::<Value>));
        }
        let listed = timeout(Duration::from_millis(50), lists.join_next()).await;
        assert!(listed.is_err(), "all of them have begun, and none ends");
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": [1]});
        let answers = |_: ListParams| {
            std::future::ready(Ok(serde_json::from_value::<ObjectList<Value>>(list.clone()).expect("a list")))
        };
        let read = by_pages("other", ListParams::default(), answers, drop::<Value>);
        let read = timeout(Duration::from_secs(20), read).await.expect("nobody waits for others' lists");
        assert_eq!(read.expect("a list"), "9");
    }
}

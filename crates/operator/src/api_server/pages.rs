//! Lists by pages. A tenant makes as many objects as they like, each of a megabyte and more, and a list is all in memory before it is read: so no more
//! than a few pages of them are at a time, whoever asks.

use kube::api::{ListParams, ObjectList};
use tokio::sync::Semaphore;

/// So many objects: what a rollout has usually fits.
const PAGE: u32 = 16;
/// So many pages in memory at a time.
static PLACES: Semaphore = Semaphore::const_new(4);

/// Reads a list page by page, and gives up each object before the next page is read. Returns the version of the list.
///
/// # Errors
/// A page cannot be read.
pub async fn by_pages<K: Clone, L: Future<Output = kube::Result<ObjectList<K>>>>(
    params: ListParams,
    list: impl Fn(ListParams) -> L,
    mut take: impl FnMut(K),
) -> kube::Result<String> {
    let mut params = params.limit(PAGE);
    loop {
        let _place = PLACES.acquire().await.expect("it is never closed");
        let page = list(params.clone()).await?;
        page.items.into_iter().for_each(&mut take);
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(page.metadata.resource_version.unwrap_or_default()),
        }
    }
}

//! What the test itself asks the API server for, not through a proxy. Its connection may be cut all the same, by an API server that is killed or has too
//! much to do: that breaks no promise, and ends no batch.

use std::fmt::Debug;
use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

/// So often it asks.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(500);

/// Asks until there is an answer, whatever it is.
///
/// # Errors
/// The API server says no, or has not answered in any try.
pub async fn answered<T, A: Future<Output = kube::Result<T>>>(ask: impl Fn() -> A) -> kube::Result<T> {
    let mut tries = 1;
    loop {
        match ask().await {
            answer @ (Ok(_) | Err(kube::Error::Api(_))) => return answer,
            cut if tries == TRIES => return cut,
            _ => tries += 1,
        }
        sleep(PAUSE).await;
    }
}

/// Creates an object. If it is there, it was made by a try whose answer was cut off.
///
/// # Errors
/// The API server does not want it.
pub async fn create<K: Clone + Debug + DeserializeOwned + Serialize>(api: &Api<K>, object: &K) -> kube::Result<()> {
    let params = PostParams::default();
    match answered(|| api.create(&params, object)).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        answer => answer.map(drop),
    }
}

#[tokio::test]
async fn what_was_cut_is_asked_again_and_an_answer_is_taken() {
    let asked = std::cell::Cell::new(0);
    let conflict = || kube::Error::Api(Box::new(kube::core::Status { code: 409, ..kube::core::Status::default() }));
    let answer = answered(|| {
        asked.set(asked.get() + 1);
        let cut = asked.get() == 1;
        std::future::ready(Err::<(), _>(if cut { kube::Error::Service("it was cut".into()) } else { conflict() }))
    });
    assert!(matches!(answer.await, Err(kube::Error::Api(status)) if status.code == 409));
    assert_eq!(asked.get(), 2);
}

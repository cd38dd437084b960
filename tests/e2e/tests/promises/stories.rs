//! Stories that must end well. Each was once seen to end badly on a real API server.
//!
//! | story | tests |
//! |---|---|
//! | 1. the set of a rejected revision is deleted | [`rejected`] |
//! | 2. what serves turns out bad while a newer commit waits | [`home`] |
//! | 3. the next template is refused | [`home`] |
//! | 4. the scale is changed after an undo or an abort | [`scale`] |
//! | 5. something is wrong with the preview Service, or with labels | [`home`] |
//! | 6. many revisions were only looked at | [`home`] |
//! | 7. production is scaled to zero | [`scale`] |
//! | 8. a revision that failed is tried again | [`rejected`] |
//! | 9. Git goes back to what serves, and the metrics are still red | [`rejected`] |
//! | 10. a person moves the Service by hand | [`by_hand`] |
//! | 11. the operator dies before the switch | [`home`] |
//! | 12. requests that were made too early, or whose answer is lost | [`requests`] |
//! | 13. what is said must be so | [`told`] |
//! | 14. Services are renamed, removed and exchanged in the middle of a release | [`services`] |
//! | 15. a rollout is deleted and its pods stay | [`services`] |
//! | 16. a pod has two addresses | [`services`] |
//! | what the version before wrote | [`upgrade`] |

mod by_hand;
mod home;
mod rejected;
mod requests;
mod scale;
mod services;
mod told;
mod upgrade;

use greenlight_e2e::{Lab, Snapshot};
use serde_json::{Value, json};

/// Blue-green settings, as a spec to merge.
fn blue_green(settings: Value) -> Value {
    json!({"strategy": {"blueGreen": settings}})
}

/// A rollout whose old revisions stay up, so that going back starts no pod.
fn long_delay() -> Value {
    blue_green(json!({"scaleDownDelaySeconds": 600}))
}

/// The hash of the revision of this image.
fn hash_of(now: &Snapshot, image: &str) -> String {
    now.hash_of_image(image).unwrap_or_else(|| panic!("there is no revision of {image}"))
}

/// An AnalysisTemplate of this name: the web server answers `true`, every 300 ms, so many times; a single `false` is too much.
fn apply_analysis(lab: &Lab, name: &str, url: &str, count: usize) {
    let metric = json!({
        "name": "errors", "interval": "300ms", "count": count, "successCondition": "result == true",
        "provider": {"web": {"url": url, "jsonPath": "{$.good}"}},
    });
    let template = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": name},
        "spec": {"metrics": [metric]},
    });
    lab.apply(&template).expect("applied");
}

/// What the web server of [`apply_analysis`] answers.
fn good(good: bool) -> String {
    json!({"good": good}).to_string()
}

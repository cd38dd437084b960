//! A rollout for tests.

use greenlight_core::world::Rollout;
use serde_json::{Value, json};

/// One that has this name, this image, and this status.
pub fn rollout(namespace: &str, name: &str, image: &str, status: &Value) -> Rollout {
    let rollout = json!({
        "namespace": namespace, "name": name, "uid": "u", "labels": {}, "generation": 1, "resource_version": "1",
        "created": "2026-01-01T00:00:00Z", "deleting": false, "finalizers": [], "request": null,
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "strategy": {"blueGreen": {}}},
        "template": {"digest": "x", "labels": {}, "image": image},
        "status": status,
    });
    serde_json::from_value(rollout).expect("a rollout")
}

//! What is said of each rollout when somebody scrapes: its state, read off the cache, so that it cannot be stale, and what
//! happened to it while this instance leads.
//!
//! A rollout that nothing has happened to has a zero, so that the first thing that does is seen as a rise. Nothing is kept
//! for it.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::api_server::leadership::Leadership;
use crate::cluster::cache::{Cached, Key};
use crate::cluster::caches::Caches;
use greenlight_api::{BlueGreenRolloutStatus, Phase, conditions};
use greenlight_core::world::Rollout;
use jiff::Timestamp;

/// A metric, and by what it is told apart.
#[derive(Clone, Copy)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
}

const OF_ROLLOUT: &[&str] = &["namespace", "rollout"];
const INFO: Family = Family {
    name: "greenlight_rollout_info",
    help: "1 for each rollout, with its phase and the reason of its condition Ready.",
    kind: "gauge",
    labels: &["namespace", "phase", "reason", "rollout"],
};
const PREVIEW_READY: Family = Family {
    name: "greenlight_rollout_preview_ready_timestamp_seconds",
    help: "Since when a preview waits for its promotion, for each rollout that waits.",
    kind: "gauge",
    labels: OF_ROLLOUT,
};
const DEPLOYMENTS: Family =
    Family { name: "greenlight_deployments_total", help: "Revisions created.", kind: "counter", labels: OF_ROLLOUT };
const PROMOTIONS: Family = Family {
    name: "greenlight_promotions_total",
    help: "Promotions whose switch was proven.",
    kind: "counter",
    labels: OF_ROLLOUT,
};
const ROLLBACKS: Family = Family {
    name: "greenlight_rollbacks_total",
    help: "Switches back that were proven.",
    kind: "counter",
    labels: OF_ROLLOUT,
};
const UNREADABLE: Family = Family {
    name: "greenlight_unreadable_objects",
    help: "Objects that the operator cannot read, and leaves alone; an event of each has the reason.",
    kind: "gauge",
    labels: &["kind"],
};

/// What happened to one rollout.
#[derive(Clone, Copy, Default)]
struct Counts {
    deployments: u32,
    promotions: u32,
    rollbacks: u32,
}

/// What is said of them; clones share what they know.
#[derive(Clone)]
pub struct Rollouts(Arc<Inner>);

struct Inner {
    caches: Arc<Caches>,
    counts: Mutex<HashMap<Key, Counts>>,
    leadership: Leadership,
}

impl Rollouts {
    /// Reads the state of rollouts from these caches. Who does not lead counts nothing.
    pub fn new(caches: Arc<Caches>, leadership: Leadership) -> Rollouts {
        Rollouts(Arc::new(Inner { caches, counts: Mutex::default(), leadership }))
    }

    /// Counts an event, if it is one that is counted.
    pub fn happened(&self, rollout: &Rollout, reason: &str) {
        let count: fn(&mut Counts) -> &mut u32 = match reason {
            "RevisionCreated" => |counts| &mut counts.deployments,
            "Promoted" => |counts| &mut counts.promotions,
            "RolledBack" => |counts| &mut counts.rollbacks,
            _ => return,
        };
        *count(self.counts().entry(rollout.key()).or_default()) += 1;
    }

    /// A rollout is gone.
    pub fn forget(&self, key: &Key) {
        self.counts().remove(key);
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, Counts>> {
        self.0.counts.lock().expect("no panic while locked")
    }
}

impl Rollouts {
    /// Appends all of it as the text that Prometheus scrapes. Rollouts are unpacked one by one, and nothing but the text is made of them:
    /// there may be ten thousand.
    pub fn write(&self, text: &mut String) {
        let Inner { caches, leadership, .. } = &*self.0;
        let [mut unreadable, mut info, mut ready, mut deployments, mut promotions, mut rollbacks] =
            [UNREADABLE, INFO, PREVIEW_READY, DEPLOYMENTS, PROMOTIONS, ROLLBACKS].map(Text::new);
        for (kind, objects) in caches.unreadable() {
            unreadable.add(&[kind], objects.len());
        }
        for key in caches.rollouts.keys() {
            let Some(rollout) = caches.rollouts.glance(&key) else { continue };
            let status = rollout.status.unwrap_or_default();
            let condition = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
            let reason = condition.map_or("", |condition| condition.reason.as_str());
            let labels = [key.namespace.as_str(), key.name.as_str()];
            info.add(&[labels[0], status.phase.as_str(), reason, labels[1]], 1);
            if let Some(ready_at) = waits_since(&status) {
                ready.add(&labels, ready_at.as_duration().as_secs_f64());
            }
            if leadership.may_write(&key.namespace) {
                let counts = self.counts().get(&key).copied().unwrap_or_default();
                deployments.add(&labels, counts.deployments);
                promotions.add(&labels, counts.promotions);
                rollbacks.add(&labels, counts.rollbacks);
            }
        }
        for family in [unreadable, info, ready, deployments, promotions, rollbacks] {
            text.push_str(&family.text);
        }
    }
}

/// Since when a preview has waited for its promotion, if one waits. Where what the spec asks for serves, a person decides about that, and nothing
/// waits in preview.
fn waits_since(status: &BlueGreenRolloutStatus) -> Option<Timestamp> {
    let serves = status.decisions.as_ref().is_some_and(|decisions| decisions.serving == status.updated_revision);
    if status.phase != Phase::Paused || serves {
        return None;
    }
    status.release.as_ref()?.preview_ready_at
}

/// A family as text. Without any series it is empty.
struct Text {
    family: Family,
    text: String,
}

impl Text {
    fn new(family: Family) -> Text {
        Text { family, text: String::new() }
    }

    fn add(&mut self, values: &[&str], value: impl Display) {
        let Family { name, help, kind, labels } = self.family;
        let text = &mut self.text;
        if text.is_empty() {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        text.push_str(name);
        for (number, (label, value)) in labels.iter().zip(values).enumerate() {
            text.push(if number == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str(r"\\"),
                    '"' => text.push_str(r#"\""#),
                    '\n' => text.push_str(r"\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        text.push_str(&format!("}} {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_serves_and_waits_for_a_person_is_no_preview_that_waits() {
        let waits = |phase: &str, serving: &str| {
            let status = json!({
                "phase": phase, "updatedRevision": "v2", "decisions": {"serving": serving, "revisions": []},
                "release": {"revision": "v2", "seenAt": "2026-11-30T01:00:00Z", "previewReadyAt": "2026-11-30T01:00:05Z"},
            });
            waits_since(&serde_json::from_value(status).expect("a status")).is_some()
        };
        assert!(waits("Paused", "v1"));
        assert!(!waits("Paused", "v2"), "its analysis came to no conclusion");
        assert!(!waits("Healthy", "v1"));
    }

    #[test]
    fn text_is_what_prometheus_reads() {
        let mut text = Text::new(PREVIEW_READY);
        assert_eq!(text.text, "", "without series nothing is said");
        text.add(&["shop", r#"a "quoted" \ name"#], 1.5);
        text.add(&["shop", "web"], 2);
        let lines: Vec<&str> = text.text.lines().collect();
        assert_eq!(
            lines[1..],
            [
                "# TYPE greenlight_rollout_preview_ready_timestamp_seconds gauge",
                r#"greenlight_rollout_preview_ready_timestamp_seconds{namespace="shop",rollout="a \"quoted\" \\ name"} 1.5"#,
                r#"greenlight_rollout_preview_ready_timestamp_seconds{namespace="shop",rollout="web"} 2"#,
            ]
        );
    }
}

//! The status of a rollout, as far as it speaks of the spec that is there.

use greenlight_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, conditions};

/// The status of a rollout, without what it says of an older spec than the one that is there, or of the time before its deletion.
pub fn status_of(rollout: &BlueGreenRollout) -> BlueGreenRolloutStatus {
    let generation = rollout.metadata.generation.unwrap_or_default();
    let is_deleting = rollout.metadata.deletion_timestamp.is_some();
    of_newest_spec(rollout.status.clone().unwrap_or_default(), generation, is_deleting)
}

/// A status without what it says of an older spec than that of this generation: the phase, the message and the conditions. A script that
/// looks for `Ready` finds none, which is not the same as what was so before. `Available` stays: it speaks of the pods that serve.
/// A deletion counts as a change of the spec, for the API server as well; the operator writes of one only if something holds it up.
/// What keeps the operator from its work on this spec it tells first, and that stays, too.
pub(crate) fn of_newest_spec(
    mut status: BlueGreenRolloutStatus,
    generation: i64,
    is_deleting: bool,
) -> BlueGreenRolloutStatus {
    let is_older = generation > status.observed_generation && status.observed_generation > 0;
    if is_older && trouble_of(&status, generation).is_none() {
        let (phase, message) = if is_deleting {
            (Phase::Progressing, "it is being deleted")
        } else {
            (Phase::Pending, "the spec has changed; the operator has not looked at it yet")
        };
        (status.phase, status.message) = (phase, message.to_owned());
        status.conditions.retain(|condition| condition.type_ == conditions::AVAILABLE);
    }
    status
}

/// What keeps the operator, again and again, from its work on the spec of this generation. It says so before the rest of the status speaks of that spec:
/// no plan got so far.
pub(crate) fn trouble_of(status: &BlueGreenRolloutStatus, generation: i64) -> Option<&str> {
    let told = status.conditions.iter().find(|condition| {
        condition.type_ == conditions::STALLED
            && condition.reason == conditions::REASON_WRITE_REFUSED
            && condition.observed_generation >= Some(generation)
    });
    told.map(|told| told.message.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_said_of_a_spec_that_the_operator_has_not_looked_at() {
        let of = |generation: i64, observed: i64| {
            let condition = |type_: &str| {
                json!({
                    "type": type_, "status": "True", "reason": "Healthy", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                })
            };
            let conditions = ["Ready", "Available", "Stalled", "Paused"].map(condition);
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": "web", "generation": generation},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
                "status": {
                    "phase": "Healthy", "message": "revision 1 is active", "observedGeneration": observed,
                    "activeRevision": "v1", "conditions": conditions,
                },
            });
            status_of(&serde_json::from_value(rollout).expect("a rollout"))
        };
        let types = |status: &BlueGreenRolloutStatus| {
            status.conditions.iter().map(|condition| condition.type_.clone()).collect::<Vec<_>>()
        };
        let looked_at = of(3, 3);
        assert_eq!((looked_at.phase, types(&looked_at).len()), (Phase::Healthy, 4));
        let outdated = of(4, 3);
        assert_eq!((outdated.phase, types(&outdated)), (Phase::Pending, vec!["Available".to_owned()]));
        assert!(outdated.message.contains("has not looked at it yet"), "{}", outdated.message);
        assert_eq!((outdated.active_revision.as_str(), outdated.observed_generation), ("v1", 3), "what is so stays");
        assert_eq!(of(4, 0).phase, Phase::Healthy, "who writes no generation speaks of no other spec");
    }

    #[test]
    fn an_operator_that_says_what_it_fails_at_has_looked() {
        for is_deleting in [false, true] {
            let phase = |told_of: i64| {
                let stalled = json!({
                    "type": "Stalled", "status": "True", "reason": "WriteRefused", "message": "nobody lists Services",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": told_of,
                });
                let status = json!({
                    "phase": "Degraded", "message": "nobody lists Services", "observedGeneration": 3, "conditions": [stalled],
                });
                let status = of_newest_spec(serde_json::from_value(status).expect("a status"), 4, is_deleting);
                (status.phase, status.conditions.len())
            };
            assert_eq!(phase(4), (Phase::Degraded, 1));
            assert_eq!(phase(3).1, 0, "the spec may have been what was wrong");
            assert_ne!(phase(3).0, Phase::Degraded);
        }
    }

    #[test]
    fn a_rollout_that_is_being_deleted_is_neither_healthy_nor_changed() {
        let of = |observed: i64| {
            let metadata = json!({"name": "web", "generation": 4, "deletionTimestamp": "2026-01-01T00:00:00Z"});
            let held_up =
                json!({"phase": "Degraded", "message": "the write is refused", "observedGeneration": observed});
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": metadata,
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}}, "status": held_up,
            });
            let status = status_of(&serde_json::from_value(rollout).expect("a rollout"));
            (status.phase, status.message)
        };
        assert_eq!(of(3), (Phase::Progressing, "it is being deleted".to_owned()));
        assert_eq!(of(4), (Phase::Degraded, "the write is refused".to_owned()), "the operator speaks of the deletion");
    }
}

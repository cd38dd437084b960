//! Did somebody move production by hand?

use greenlight_api::{BlueGreenRolloutStatus, RevisionRecord};

use super::evidence::{About, Evidence, Finding};

impl Evidence {
    /// A move of an active Service by somebody else is taken for a decision, and may have been a slip.
    pub(super) fn check_moved_by_hand(&self, findings: &mut Vec<Finding>) {
        let status = self.rollout.status.clone().unwrap_or_default();
        let Some((left, by)) = left_by_hand(&status) else { return };
        let serving = status.decisions.as_ref().and_then(|decisions| decisions.revision(&decisions.serving));
        let serving = serving.map_or(0, |serving| serving.number);
        let asked_for = status.updated_revision == left.hash;
        let otherwise = if asked_for {
            format!("to try revision {} again: {}", left.number, self.command("retry"))
        } else {
            format!("to try revision {} again, ask for its template in the spec", left.number)
        };
        findings.push(Finding {
            about: About::Rollout,
            symptom: format!("production was moved by hand from revision {} to revision {serving}", left.number),
            cause: format!(
                "{by} changed the selector of the active Service. That counts as a decision: revision {} is rejected",
                left.number
            ),
            fix: format!("nothing, if that was meant; {otherwise}"),
        });
    }
}

/// The revision that production was moved away from by hand to what serves now, and who moved it.
fn left_by_hand(status: &BlueGreenRolloutStatus) -> Option<(&RevisionRecord, &str)> {
    let decisions = status.decisions.as_ref()?;
    decisions.revisions.iter().find_map(|revision| {
        let rejection = revision.rejection.as_ref()?;
        let led_here = rejection.to.as_deref() == Some(decisions.serving.as_str());
        (led_here && rejection.reason.starts_with(greenlight_core::decisions::BY_HAND))
            .then_some((revision, rejection.by.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(serving: &str, reason: &str) -> BlueGreenRolloutStatus {
        let rejection =
            json!({"by": "field manager \"kubectl-edit\"", "at": "2026-01-01T00:00:00Z", "reason": reason, "to": "v1"});
        let revisions = json!([
            {"hash": "v1", "digest": "1", "number": 1},
            {"hash": "v2", "digest": "2", "number": 2, "rejection": rejection},
        ]);
        serde_json::from_value(json!({"decisions": {"serving": serving, "revisions": revisions}})).expect("a status")
    }

    #[test]
    fn a_move_by_hand_is_told_as_long_as_what_it_led_to_serves() {
        let moved = status("v1", "moved by hand to revision 1");
        let (left, by) = left_by_hand(&moved).expect("it was");
        assert_eq!((left.number, by), (2, "field manager \"kubectl-edit\""));
        assert_eq!(left_by_hand(&status("v3", "moved by hand to revision 1")), None);
        assert_eq!(left_by_hand(&status("v1", "rolled back")), None);
    }
}

//! Why the spec was changed. A change of the spec is no request, and only the operator writes the record; so the reason stands in the
//! annotation in which kubectl has kept such reasons, and is gone with the next change that this plugin or the dashboard makes.

use greenlight_api::BlueGreenRollout;
use greenlight_api::names::CHANGE_CAUSE;
use kube::ResourceExt;
use serde_json::Value;

/// A change of the spec that a person can give a reason for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecChange {
    /// `pause`.
    Pause,
    /// `resume`.
    Resume,
    /// `set image`.
    SetImage,
}

impl SpecChange {
    const ALL: [SpecChange; 3] = [SpecChange::Pause, SpecChange::Resume, SpecChange::SetImage];

    /// How a cause begins that speaks of this change.
    fn beginning(self) -> &'static str {
        match self {
            SpecChange::Pause => "paused by ",
            SpecChange::Resume => "resumed by ",
            SpecChange::SetImage => "image set by ",
        }
    }

    /// What becomes of the annotation with this change: a text, `null` to remove it, or `None` to leave it alone. A reason that was
    /// given for an earlier change says nothing of this one. What others wrote there stays.
    pub fn cause(self, rollout: &BlueGreenRollout, by: &str, reason: Option<&str>) -> Option<Value> {
        if let Some(reason) = reason {
            return Some(format!("{}{by}: {reason}", self.beginning()).into());
        }
        let before = rollout.annotations().get(CHANGE_CAUSE)?;
        let is_ours = SpecChange::ALL.iter().any(|change| before.starts_with(change.beginning()));
        is_ours.then_some(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(cause: &str) -> BlueGreenRollout {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": "web", "annotations": {CHANGE_CAUSE: cause}},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
        });
        serde_json::from_value(rollout).expect("a rollout")
    }

    #[test]
    fn a_reason_speaks_of_one_change_and_what_others_wrote_stays() {
        let bare = &BlueGreenRollout { metadata: kube::core::ObjectMeta::default(), ..with("") };
        let pause = |rollout: &BlueGreenRollout, reason| SpecChange::Pause.cause(rollout, "ann", reason);
        assert_eq!(pause(bare, Some("load test")), Some(json!("paused by ann: load test")));
        assert_eq!(pause(bare, None), None);
        assert_eq!(pause(&with("image set by ann: CVE"), None), Some(Value::Null));
        assert_eq!(pause(&with("release 4.2"), None), None);
        assert_eq!(pause(&with("release 4.2"), Some("load test")), Some(json!("paused by ann: load test")));
    }
}

//! A rollout as the list shows it: what is kept of each of thousands.

use std::collections::BTreeMap;

use greenlight_api::{BlueGreenRollout, Phase, conditions};
use greenlight_overview::{Found, status_of};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;

use crate::labels;

/// More of an image than this is told on the page of its rollout, and not kept of each of thousands.
const LONGEST_IMAGE: usize = 200;

/// Where a rollout is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// Whether Kubernetes would take this for the name of an object. What is none is not asked for: a name is a part of the API server's path.
pub fn is_name(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter);
    text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit()) && text.chars().all(is_plain)
}

/// What the list says of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where it is.
    pub key: Key,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its phase.
    pub phase: Phase,
    /// What it is doing, or what it waits for, in the operator's words.
    pub message: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Number of the revision that serves; 0 while none does.
    pub serving: i64,
    /// Number of the revision that is to serve next, or of the one that serves.
    pub next: i64,
    /// The image that the spec asks for.
    pub image: String,
    /// Ready pods of those that there should be: `2/2`.
    pub ready: String,
    /// Who has to do something next.
    pub turn: Turn,
}

/// Whose turn it is. What needs a person comes first in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It waits for somebody's word.
    Person,
    /// It is in trouble, which somebody has to look at.
    Trouble,
    /// It is under way.
    Operator,
    /// Nobody's.
    Nobody,
}

impl Row {
    /// What is kept of a rollout. One that cannot be read has a row that says so, and hides no other.
    pub fn of(found: &Found) -> Row {
        let error = match &found.rollout {
            Ok(rollout) => return Row::read(rollout),
            Err(error) => error,
        };
        Row {
            key: Key { namespace: found.namespace().unwrap_or_default(), name: found.name_any() },
            labels: found.labels().clone(),
            phase: Phase::Degraded,
            message: format!("it cannot be read: {error}"),
            since: None,
            serving: 0,
            next: 0,
            image: String::new(),
            ready: String::new(),
            turn: Turn::Trouble,
        }
    }

    fn read(rollout: &BlueGreenRollout) -> Row {
        let status = status_of(rollout);
        let decisions = status.decisions.unwrap_or_default();
        let serving = decisions.revision(&decisions.serving).map_or(0, |revision| revision.number);
        let next = match decisions.revision(&status.updated_revision) {
            Some(rejected) if rejected.rejection.is_some() => serving,
            Some(updated) => updated.number,
            None if status.current_revision == 0 => serving,
            None => status.current_revision,
        };
        let explains = [conditions::STALLED, conditions::PAUSED, conditions::RECONCILING, conditions::READY];
        let is_so = |type_: &str| {
            status.conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
        };
        let condition = explains.into_iter().find_map(is_so);
        let turn = match status.phase {
            // A timer and an analysis end by themselves.
            Phase::Paused if condition.is_some_and(|c| c.reason == conditions::REASON_AWAITING_TIMER) => Turn::Operator,
            Phase::Paused => Turn::Person,
            Phase::Degraded => Turn::Trouble,
            Phase::Progressing | Phase::Pending => Turn::Operator,
            Phase::Healthy => Turn::Nobody,
        };
        let image = match &rollout.spec.workload_ref {
            Some(workload) => format!("of Deployment {}", workload.name),
            None => rollout.spec.template().title().chars().take(LONGEST_IMAGE).collect(),
        };
        Row {
            key: Key { namespace: rollout.namespace().unwrap_or_default(), name: rollout.name_any() },
            labels: rollout.labels().clone(),
            phase: status.phase,
            message: status.message,
            since: condition.map(|condition| condition.last_transition_time.0),
            serving,
            next,
            image,
            ready: status.ready,
            turn,
        }
    }

    /// The same as a text, which pages compare.
    pub fn place(&self) -> String {
        let Key { namespace, name } = &self.key;
        format!("{} {namespace} {name}", self.turn as u8)
    }

    /// Where it stands in the list.
    pub fn order(&self) -> (Turn, &Key) {
        (self.turn, &self.key)
    }
}

/// What of the list somebody wants to see; it stands in the address.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Words that all have to be in the name, the namespace, the image or the message.
    pub q: String,
    /// A namespace.
    pub namespace: String,
    /// A phase.
    pub phase: String,
    /// Labels as kubectl takes them, see [`labels`].
    pub label: String,
}

impl Filter {
    /// Whether a row is wanted.
    pub fn wants(&self, row: &Row) -> bool {
        let has = |word: &str| {
            let Row { key: Key { namespace, name }, image, message, .. } = row;
            [namespace, name, image, message].iter().any(|text| text.to_lowercase().contains(word))
        };
        self.q.to_lowercase().split_whitespace().all(has)
            && (self.namespace.is_empty() || self.namespace == row.key.namespace)
            && (self.phase.is_empty() || self.phase.eq_ignore_ascii_case(row.phase.as_str()))
            && labels::fit(&self.label, &row.labels)
    }

    /// The namespace that it is about, if there can be one of that name.
    pub fn seen(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| is_name(namespace))
    }

    /// As it stands in the address.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [("q", &self.q), ("namespace", &self.namespace), ("phase", &self.phase), ("label", &self.label)];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Row {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": "cart", "namespace": "shop", "labels": {"team": "blue"}},
            "spec": {
                "selector": {}, "strategy": {"blueGreen": {}},
                "template": {"spec": {"containers": [{"name": "web", "image": "cart:v2"}]}},
            },
            "status": {"phase": "Paused", "message": "revision 2 waits for its promotion"},
        });
        Row::of(&serde_json::from_value(rollout).expect("a rollout"))
    }

    fn filter(query: &str) -> Filter {
        let mut filter = Filter::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => filter.q = value.into_owned(),
                "namespace" => filter.namespace = value.into_owned(),
                "phase" => filter.phase = value.into_owned(),
                _ => filter.label = value.into_owned(),
            }
        }
        filter
    }

    #[test]
    fn every_word_of_a_filter_has_to_fit() {
        for fits in [
            "",
            "q=CART+waits",
            "q=v2",
            "namespace=shop",
            "phase=paused",
            "label=team%3Dblue",
            "label=team",
            "label=team%3D%3Dblue",
            "label=tier!%3Dtest,!tier",
            "label=team+in+(red,blue)",
        ] {
            assert!(filter(fits).wants(&row()), "{fits}");
            assert_eq!(filter(&filter(fits).query()), filter(fits));
        }
        for not in [
            "q=cart+healthy",
            "namespace=sho",
            "phase=Healthy",
            "label=team%3Dred",
            "label=team,tier",
            "label=team!%3Dblue",
            "label=!team",
        ] {
            assert!(!filter(not).wants(&row()), "{not}");
        }
    }

    #[test]
    fn a_spec_that_the_operator_has_not_looked_at_is_not_called_healthy() {
        let rollout = json!({
            "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
            "metadata": {"name": "cart", "namespace": "shop", "generation": 2},
            "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
            "status": {"phase": "Healthy", "message": "revision 1 is active", "observedGeneration": 1},
        });
        let row = Row::of(&serde_json::from_value(rollout).expect("a rollout"));
        assert_eq!((row.phase, row.turn), (Phase::Pending, Turn::Operator));
        assert!(row.message.contains("has not looked at it yet"), "{}", row.message);
    }

    #[test]
    fn a_revision_that_was_rejected_is_not_shown_as_the_next_one() {
        let shown = |updated: &str| {
            let rejection = json!({"by": "ann", "at": "2026-11-28T20:00:00Z", "reason": "aborted"});
            let revisions = json!([
                {"hash": "v1", "digest": "1", "number": 1},
                {"hash": "v2", "digest": "2", "number": 2},
                {"hash": "v3", "digest": "3", "number": 3, "rejection": rejection},
            ]);
            let rollout = json!({
                "apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout",
                "metadata": {"name": "cart", "namespace": "shop"},
                "spec": {"selector": {}, "strategy": {"blueGreen": {}}},
                "status": {
                    "updatedRevision": updated, "currentRevision": 3,
                    "decisions": {"serving": "v2", "revisions": revisions},
                },
            });
            let row = Row::of(&serde_json::from_value(rollout).expect("a rollout"));
            (row.serving, row.next)
        };
        assert_eq!((shown("v3"), shown("v2")), ((2, 2), (2, 2)));
        assert_eq!(shown("v1"), (2, 1), "the spec asks for an earlier one again");
        assert_eq!(shown("v4"), (2, 3), "it is not on record yet");
    }

    #[test]
    fn one_that_cannot_be_read_has_a_row_that_says_so() {
        let metadata = json!({"name": "late", "namespace": "shop", "labels": {"team": "blue"}});
        let spec = json!({"selector": {}, "strategy": {"blueGreen": {}}, "restartAt": "9999-12-31T23:59:59Z"});
        let late = json!({"apiVersion": "greenlight.dev/v1alpha1", "kind": "BlueGreenRollout", "metadata": metadata, "spec": spec});
        let row = Row::of(&serde_json::from_value(late).expect("it is found"));
        assert_eq!((row.key.name.as_str(), row.turn, row.phase), ("late", Turn::Trouble, Phase::Degraded));
        assert!(row.message.starts_with("it cannot be read: spec.restartAt: "), "{}", row.message);
    }

    #[test]
    fn a_name_is_no_path() {
        assert!(["web", "web-2", "web.v1", "0"].into_iter().all(is_name));
        assert!(!["", ".", "..", "../x", "web/log", "web?x", "web%2f", "Web", "-x", "é"].into_iter().any(is_name));
    }

    #[test]
    fn what_waits_for_a_person_comes_first() {
        let mut healthy = row();
        (healthy.turn, healthy.key.name) = (Turn::Nobody, "a".into());
        assert!(row().order() < healthy.order() && row().place() < healthy.place());
        let of = |namespace: &str| Row { key: Key { namespace: namespace.into(), name: "x".into() }, ..row() };
        assert!(of("a").order() < of("a-b").order() && of("a").place() < of("a-b").place(), "the same order");
    }
}

//! What others write onto the objects that a plan is made from: any text as a request, any annotation on ReplicaSets, any mark on Services.
//! A plan is made all the same, without a panic and in a few milliseconds, and nobody is promoted by it.

mod model;

use std::time::{Duration, Instant};

use greenlight_api::names;
use greenlight_core::world::Selection;
use greenlight_core::{Action, World, plan};
use jiff::Timestamp;
use model::people::{manual, promoted};
use proptest::prelude::*;

/// Nothing takes longer on a machine that has time. A build that is not optimised is several times slower.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

/// Pieces of what is usually there, so that many values are nearly right.
fn value() -> impl Strategy<Value = String> {
    let pieces = [
        "0",
        "-1",
        "9223372036854775807",
        "99999999999999999999",
        "1e9",
        "NaN",
        "true",
        "null",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\\u0061",
        "{\"by\":\"x\",\"at\":\"2026-01-01T00:00:00Z\",\"reason\":\"y\"}",
        "{\"labels\":{\"app\":\"y\"}}",
        "-9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-11-27T00:00:00+25:00",
        "2026-02-30T00:00:00Z",
        " ",
        "\n",
        "\u{0}",
        "\u{202e}",
        "é",
    ];
    let nearly = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..8).prop_map(|pieces| pieces.concat());
    let deep = (1_usize..2000).prop_map(|depth| "[".repeat(depth));
    prop_oneof![4 => nearly, 2 => "(\\PC|[\\p{Cc}\\p{Cf}]){0,200}", 1 => deep]
}

/// Requests, nearly: none of them is one to promote.
fn request() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "\"action\"",
        ":",
        ",",
        "\"restart\"",
        "\"abort\"",
        "\"by\"",
        "\"x\"",
        "\"at\"",
        "\"2026-01-01T00:00:00Z\"",
        "\"revision\"",
        "\"to\"",
        "null",
        "1e999",
        "\\u0070romote",
        " ",
        "\t",
        "\n",
        "abort",
        "rollback",
        "retry",
        "{\"a\":",
        "\u{b}",
        "\u{a0}",
        "PROMOTE",
    ];
    let nearly = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..20).prop_map(|pieces| pieces.concat());
    let deep = (1_usize..1024).prop_map(|depth| "{\"a\":".repeat(depth / 5));
    prop_oneof![4 => nearly, 2 => "[^p]{0,1200}", 1 => deep]
}

/// A release that waits for a person.
fn waiting() -> (World, Timestamp) {
    let mut model = promoted(manual(), &[2]);
    model.push(3);
    model.work();
    (model.seen(), model.now)
}

fn plans_quickly(what: &str, world: &World, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    let took = (0..3).map(|_| {
        let started = Instant::now();
        actions = plan(world, now).actions;
        started.elapsed()
    });
    let least = took.min().unwrap_or_default();
    assert!(least < LONGEST, "{what:?} takes {least:?}");
    actions
}

/// The active Service is moved to the revision that waits.
fn promotes(world: &World, actions: &[Action]) -> bool {
    let waits = world.rollout.status.as_ref().map(|status| status.preview_revision.clone()).unwrap_or_default();
    actions.iter().any(|action| {
        matches!(action, Action::SelectRevision { selection: Selection::Revision(hash), production: Some(_), .. } if *hash == waits)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_a_request_is_answered_and_promotes_nobody(text in request()) {
        let (mut world, now) = waiting();
        world.rollout.request = Some(text.clone());
        let actions = plans_quickly(&text, &world, now);
        prop_assert!(!promotes(&world, &actions), "{text:?}: {actions:?}");
    }

    #[test]
    fn any_annotations_of_replica_sets_and_marks_of_services_promote_nobody(
        annotations in prop::collection::vec((0_usize..3, 0_usize..names::ON_REPLICA_SETS.len(), value()), 0..12),
        marks in prop::collection::vec(prop::option::of(value()), 3),
    ) {
        let (mut world, now) = waiting();
        for (which, key, value) in &annotations {
            let count = world.replica_sets.len();
            world.replica_sets[which % count].annotations.insert(names::ON_REPLICA_SETS[*key].to_owned(), value.clone());
        }
        for service in world.services.values_mut() {
            let [managed_by, production, withdrawn] = &marks[..] else { unreachable!("there are three") };
            service.managed_by.clone_from(managed_by);
            service.production.clone_from(production);
            service.withdrawn.clone_from(withdrawn);
        }
        let what = format!("{annotations:?} {marks:?}");
        let actions = plans_quickly(&what, &world, now);
        prop_assert!(!promotes(&world, &actions), "{what}: {actions:?}");
    }
}

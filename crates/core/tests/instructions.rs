//! Plans of a rollout that was released twice, as often as is asked for: `cargo xtask instructions` counts what one takes.

mod model;

use std::hint::black_box;

use greenlight_api::Verb;
use greenlight_core::{World, plan};
use jiff::Timestamp;
use model::Model;
use model::people::{manual, promoted};

/// Makes the plan once, or as often as is asked for.
fn again_and_again(world: &World, now: Timestamp) {
    let times = std::env::var("GREENLIGHT_TIMES").map_or(1, |times| times.parse().expect("a number"));
    for _ in 0..times {
        black_box(plan(black_box(world), now));
    }
}

fn released_twice() -> Model {
    promoted(manual(), &[2])
}

#[test]
fn a_plan_at_rest() {
    let mut model = released_twice();
    let world = model.seen();
    assert!(plan(&world, model.now).actions.is_empty());
    again_and_again(&world, model.now);
}

#[test]
fn a_plan_with_a_preview() {
    let mut model = released_twice();
    model.push(3);
    model.work();
    let world = model.seen();
    assert!(plan(&world, model.now).status.preview_revision != plan(&world, model.now).status.active_revision);
    again_and_again(&world, model.now);
}

#[test]
fn a_plan_that_moves_production() {
    let mut model = released_twice();
    model.push(3);
    model.work();
    let third = model.hash(3);
    model.request(Verb::Promote, &third, "ann", None);
    model.operate(Some(1));
    let world = model.seen();
    assert!(!plan(&world, model.now).actions.is_empty());
    again_and_again(&world, model.now);
}

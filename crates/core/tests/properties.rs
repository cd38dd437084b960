//! What holds in every world. A failure prints the shortest history that proptest found, and is kept in
//! `properties.proptest-regressions`, so that `cargo test -p greenlight-core` replays it.

mod model;

use greenlight_api::{AutoRollback, BlueGreen, PreviewServiceIdle, SwitchMode};
use model::{Event, Model};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..4u8).prop_map(Event::Template),
        1 => (1..4i32).prop_map(Event::Replicas),
        3 => (0..6u8).prop_map(Event::Ask),
        4 => (0..4usize, prop::bool::weighted(0.75)).prop_map(|(set, up)| Event::Pods { set, up }),
        3 => Just(Event::Endpoints),
        2 => (1..60u32).prop_map(Event::Seconds),
        8 => prop::option::weighted(0.4, 0..6usize).prop_map(|dies_after| Event::Operator { dies_after }),
        2 => Just(Event::ScaleDown),
        1 => Just(Event::WipeStatus),
        1 => any::<bool>().prop_map(|active| Event::LoseHash { active }),
        1 => (0..4usize).prop_map(|set| Event::PointByHand { set }),
        1 => Just(Event::Sleeper),
    ]
}

fn event_without_promotion() -> impl Strategy<Value = Event> {
    let promotes = |event: &Event| matches!(event, Event::Ask(0 | 1) | Event::PointByHand { .. });
    prop_oneof![
        9 => event().prop_filter("it promotes", move |event| !promotes(event)),
        1 => (0..4usize).prop_map(|set| Event::UndoTo { set }),
    ]
}

fn settings() -> impl Strategy<Value = BlueGreen> {
    (
        prop::option::of(1..3i32),
        prop::option::of(any::<bool>()),
        prop::option::of(prop_oneof![Just(0), Just(5)]),
        prop::option::of(prop_oneof![Just(0), Just(20)]),
        prop::option::of(0..2i32),
        prop::option::of(prop_oneof![Just(0), Just(20)]),
        prop::option::of(Just(PreviewServiceIdle::None)),
        prop::option::of(0..2i32),
        prop::option::of((1..30i32).prop_map(|unavailable_seconds| AutoRollback { unavailable_seconds })),
        (prop::option::of(Just(vec!["extra".to_owned()])), prop::option::of(1..20i32)),
    )
        .prop_map(
            |(
                preview,
                auto,
                seconds,
                delay,
                limit,
                abort_delay,
                idle,
                retired,
                auto_rollback,
                (additional, overlap),
            )| BlueGreen {
                switch_mode: overlap.map(|_| SwitchMode::Overlap),
                overlap_seconds: overlap,
                preview_service_idle: idle,
                retired_replica_count: retired,
                auto_rollback,
                additional_active_services: additional,
                preview_replica_count: preview,
                auto_promotion_enabled: auto,
                auto_promotion_seconds: seconds,
                scale_down_delay_seconds: delay,
                scale_down_delay_revision_limit: limit,
                abort_scale_down_delay_seconds: abort_delay,
                ..BlueGreen::default()
            },
        )
}

fn history(settings: BlueGreen, events: &[Event]) -> Model {
    let mut model = Model::new(settings);
    events.iter().for_each(|event| model.happen(event));
    model
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// The model checks promise 1 at every write of every history, and that no selected set loses its pods. Here: whatever
    /// happened, it comes to rest, and then planning again gives no action.
    #[test]
    fn every_history_is_safe_and_comes_to_rest(settings in settings(), events in prop::collection::vec(event(), 1..40)) {
        let mut model = history(settings, &events);
        prop_assert!(model.settle(), "plan after plan has actions: {:?}", model.plan().actions);
        let plan = model.plan();
        prop_assert_eq!(plan.actions, vec![]);
        prop_assert!(model.serves_something(), "nothing serves in the end: {:?}", model.end());
        prop_assert!(!model.overlaps(), "two revisions serve in the end");
    }

    /// Stopping after any prefix of the actions and planning again ends in the same place.
    #[test]
    fn a_crash_does_not_change_the_end(
        settings in settings(),
        events in prop::collection::vec(event(), 1..25),
        dies_after in 0..8usize,
    ) {
        let before = history(settings, &events);
        let mut whole = before.clone();
        prop_assert!(whole.settle());
        let mut crashed = before;
        crashed.operate(Some(dies_after));
        prop_assert!(crashed.settle());
        prop_assert_eq!(crashed.end(), whole.end());
    }

    /// While a good set exists, production is not left on nothing, even if nothing else ever changes.
    #[test]
    fn production_is_not_left_on_nothing(settings in settings(), events in prop::collection::vec(event(), 1..40)) {
        let mut model = history(settings, &events);
        prop_assert!(model.operate(None));
        prop_assert!(model.serves_something() || !model.has_good_set(), "{:?}", model.end());
    }

    /// Where a person has to promote, only what was promoted serves: aborting, going back anywhere and restarting do not.
    #[test]
    fn what_nobody_promotes_does_not_serve(
        settings in settings(),
        events in prop::collection::vec(event_without_promotion(), 1..40),
    ) {
        let manual = BlueGreen { auto_promotion_enabled: Some(false), auto_promotion_seconds: None, ..settings };
        let mut model = Model::new(manual);
        prop_assert!(model.settle());
        let first = model.served().expect("the first one waits for nobody").to_owned();
        for event in &events {
            model.happen(event);
            prop_assert!(model.served().is_none_or(|hash| hash == first), "{event:?}: {:?}", model.end());
        }
        prop_assert!(model.settle());
        prop_assert_eq!(model.served(), Some(first.as_str()));
    }

    /// The operator keeps what it observed as JSON; nothing is lost by it.
    #[test]
    fn what_was_observed_reads_back_as_it_was(settings in settings(), events in prop::collection::vec(event(), 1..40)) {
        let mut world = history(settings, &events).observe(&[]);
        // Kubernetes' own type, whose times are whole seconds; those of the model are not.
        world.rollout.status.iter_mut().for_each(|status| status.conditions.clear());
        prop_assert_eq!(&read_back(&world.rollout), &world.rollout);
        prop_assert_eq!(&read_back(&world.sets), &world.sets);
        prop_assert_eq!(&read_back(&world.services), &world.services);
    }
}

fn read_back<T: Serialize + DeserializeOwned>(object: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(object).expect("it is written")).expect("it is read")
}

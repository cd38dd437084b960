//! What holds in every world. A failure prints the shortest history that proptest found, and is kept in
//! `properties.proptest-regressions`, so that `cargo test -p greenlight-core` replays it.

mod model;

use greenlight_api::{
    AnalysisPhase, AutoRollback, BlueGreen, BlueGreenRolloutSpec, PreviewServiceIdle, RollbackWindow, RolloutAnalysis,
    SwitchMode, WorkloadScaleDown,
};
use model::{ARGOS_HASH, Argo, Event, Kind, Model, Setting};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What happens in every rollout's life.
fn daily() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..7u8).prop_map(Event::Template),
        1 => (0..4i32).prop_map(Event::Replicas),
        1 => (1..7u8, 1..4i32).prop_map(|(number, replicas)| Event::TemplateAndReplicas(number, replicas)),
        4 => (0..6u8, 0..3u8, prop::option::weighted(0.2, 0..6usize))
            .prop_map(|(verb, by, of)| Event::Ask { verb, by, of }),
        1 => (0..6u8).prop_map(Event::Type),
        1 => (0..6usize).prop_map(|rs| Event::UndoTo { rs }),
        5 => (0..6usize, prop_oneof![1 => Just(0), 1 => Just(1), 4 => Just(9)])
            .prop_map(|(rs, ready)| Event::Pods { rs, ready }),
        3 => Just(Event::Endpoints),
        2 => (1..60u32).prop_map(Event::Seconds),
        9 => prop::option::weighted(0.3, 0..6usize).prop_map(|dies_after| Event::Operator { dies_after }),
        2 => Just(Event::ScaleDown),
        2 => (0..4usize, phase()).prop_map(|(run, phase)| Event::Run { run, phase }),
        1 => prop::bool::weighted(0.3).prop_map(Event::Paused),
    ]
}

/// What goes wrong, and what people do in their need.
fn mishap() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::WipeStatus),
        2 => (0..4usize).prop_map(|service| Event::LoseHash { service }),
        1 => (0..6usize).prop_map(|rs| Event::PointByHand { rs }),
        2 => (0..8usize).prop_map(|writes| Event::Sleep { writes }),
        2 => Just(Event::Wake),
        4 => (prop::sample::select(Kind::ALL.to_vec()), prop::bool::weighted(0.6))
            .prop_map(|(kind, behind)| Event::Behind(kind, behind)),
        1 => (0..6usize).prop_map(|rs| Event::DeleteReplicaSet { rs }),
        1 => (0..6usize, 0..4i32).prop_map(|(rs, replicas)| Event::ScaleByHand { rs, replicas }),
        1 => (0..6usize, 0..8usize, prop::option::of(0..4u8))
            .prop_map(|(rs, key, value)| Event::Annotate { rs, key, value }),
        1 => (0..4usize).prop_map(|run| Event::DeleteRun { run }),
        2 => (0..4usize, any::<bool>()).prop_map(|(service, exists)| Event::Service { service, exists }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(exists, older)| Event::Rival { exists, older }),
        2 => (0..4usize, prop::sample::select(Argo::ALL.to_vec())).prop_map(|(service, what)| Event::Argo { service, what }),
        2 => (0..6usize).prop_map(Event::Names),
        1 => any::<bool>().prop_map(Event::AsksForTier),
        1 => any::<bool>().prop_map(Event::RefuseAnalyses),
        1 => (1..7u8, any::<bool>()).prop_map(|(template, refused)| Event::Refuse { template, refused }),
    ]
}

fn phase() -> impl Strategy<Value = AnalysisPhase> {
    use AnalysisPhase::{Error, Failed, Inconclusive, Successful};
    prop_oneof![4 => Just(Successful), 1 => Just(Failed), 1 => Just(Inconclusive), 1 => Just(Error)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => daily(), 1 => mishap()]
}

fn event_without_promotion() -> impl Strategy<Value = Event> {
    let promotes = |event: &Event| match event {
        Event::Ask { verb, .. } | Event::Type(verb) => *verb < 2,
        Event::PointByHand { .. } => true,
        _ => false,
    };
    event().prop_filter("it promotes", move |event| !promotes(event))
}

/// A spec that changes at any moment, where no gate looks at it.
fn setting() -> impl Strategy<Value = Setting> {
    let few = || prop::option::of(0..3i32);
    let seconds = || prop::option::of(prop_oneof![Just(0), Just(20)]);
    prop_oneof![
        few().prop_map(Setting::PreviewCount),
        seconds().prop_map(Setting::Delay),
        few().prop_map(Setting::DelayLimit),
        seconds().prop_map(Setting::AbortDelay),
        few().prop_map(Setting::Retired),
        few().prop_map(Setting::History),
        prop::option::of(0..3i64).prop_map(Setting::Window),
        prop::option::of(Just(10)).prop_map(Setting::MinReady),
        prop::option::of(Just(40)).prop_map(Setting::Deadline),
        prop::option::of(1..20i32).prop_map(Setting::Overlap),
        prop::option::of(1..30i32).prop_map(Setting::AutoRollback),
        any::<bool>().prop_map(Setting::IdleNone),
        prop::option::of(0..2u8).prop_map(Setting::Metadata),
        scale_down().prop_map(Setting::ScaleDown),
    ]
}

fn scale_down() -> impl Strategy<Value = WorkloadScaleDown> {
    use WorkloadScaleDown::{Never, Onsuccess, Progressively};
    prop::sample::select(vec![Never, Onsuccess, Progressively])
}

/// What happens beside all that: to the Deployment that is taken over from, to the operator's clock, and to the spec.
fn event_of_any_kind() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => event(),
        1 => prop::bool::weighted(0.7).prop_map(Event::Workload),
        1 => (0..6u32).prop_map(Event::ClockAhead),
        2 => setting().prop_map(Event::Set),
    ]
}

/// Settings of the switch.
fn blue_green() -> impl Strategy<Value = BlueGreen> {
    let sizes = (prop::option::of(1..3i32), prop::option::of(0..2i32));
    let gate = (
        prop::option::of(any::<bool>()),
        prop::option::of(prop_oneof![Just(0), Just(5)]),
        prop::option::weighted(0.2, Just(2)),
        prop::option::weighted(0.25, Just(RolloutAnalysis::default())),
        prop::option::weighted(0.25, Just(RolloutAnalysis::default())),
    );
    let delays = (
        prop::option::of(prop_oneof![Just(0), Just(20)]),
        prop::option::of(0..2i32),
        prop::option::of(prop_oneof![Just(0), Just(20)]),
    );
    let services = (
        prop::option::of(Just(PreviewServiceIdle::None)),
        prop::option::of(Just(vec!["extra".to_owned()])),
        prop::option::of(1..20i32),
        prop::option::of((1..30i32).prop_map(|unavailable_seconds| AutoRollback { unavailable_seconds })),
    );
    (sizes, gate, delays, services).prop_map(|(sizes, gate, delays, services)| {
        let manual = gate.2.is_some();
        BlueGreen {
            preview_replica_count: sizes.0,
            retired_replica_count: sizes.1,
            auto_promotion_enabled: if manual { Some(false) } else { gate.0 },
            auto_promotion_seconds: gate.1.filter(|_| !manual),
            required_approvals: gate.2,
            pre_promotion_analysis: gate.3,
            post_promotion_analysis: gate.4,
            scale_down_delay_seconds: delays.0,
            scale_down_delay_revision_limit: delays.1,
            abort_scale_down_delay_seconds: delays.2,
            preview_service_idle: services.0,
            additional_active_services: services.1,
            switch_mode: services.2.map(|_| SwitchMode::Overlap),
            overlap_seconds: services.2,
            auto_rollback: services.3,
            ..BlueGreen::default()
        }
    })
}

fn spec() -> impl Strategy<Value = BlueGreenRolloutSpec> {
    let history = prop::option::of(0..3i32);
    let window = prop::option::of((0..3i64).prop_map(|revisions| RollbackWindow { revisions }));
    let ready = prop::option::of(Just(10));
    let deadline = prop::option::of(Just(40));
    (blue_green(), history, window, ready, deadline).prop_map(|(blue_green, history, window, ready, deadline)| {
        BlueGreenRolloutSpec {
            revision_history_limit: history,
            rollback_window: window,
            min_ready_seconds: ready,
            progress_deadline_seconds: deadline,
            progress_deadline_abort: deadline.map(|_| true),
            ..model::spec(blue_green)
        }
    })
}

/// A cluster in which each pod has one address or two, and somebody may keep endpoints of their own.
fn cluster() -> impl Strategy<Value = Model> {
    (spec(), any::<bool>(), any::<bool>()).prop_map(|(spec, dual_stack, hand_made_endpoint)| {
        let mut model = Model::with(spec);
        (model.dual_stack, model.hand_made_endpoint) = (dual_stack, hand_made_endpoint);
        model
    })
}

/// One in which the template may come from a Deployment that serves already.
fn cluster_of_any_kind() -> impl Strategy<Value = Model> {
    (cluster(), prop::option::of(scale_down())).prop_map(|(mut model, scale_down)| {
        if let Some(scale_down) = scale_down {
            model.take_over(scale_down);
        }
        model
    })
}

fn history(mut model: Model, events: &[Event]) -> Model {
    events.iter().for_each(|event| model.happen(event));
    model
}

/// Whether what served is gone or nobody knows what it was, so that it waits for a person, and says so.
fn waits_for_a_person(model: &Model) -> bool {
    let status = model.truth.rollout.status.as_ref().expect("it has settled");
    let decisions = status.decisions.as_ref().expect("a status has a record");
    let exists = |hash: &str| model.truth.replica_sets.iter().any(|rs| rs.hash == hash);
    let unknown = decisions.not_the_first && decisions.serving.is_empty();
    let carried = model.truth.services.values().filter_map(|service| service.production.as_ref());
    let gone = [&decisions.serving].into_iter().chain(carried).any(|hash| !hash.is_empty() && !exists(hash));
    // Somebody forged the mirror of a rejection, and the status that knew better was lost: that closes, and opens nothing.
    let closed = decisions.serving.is_empty() && !status.rejected_revision.is_empty();
    (unknown || gone || closed) && matches!(status.phase.as_str(), "Paused" | "Degraded")
}

/// Planning again gives no action in the end, and something serves, unless that is for a person to decide.
fn comes_to_rest(mut model: Model) -> Result<(), TestCaseError> {
    prop_assert!(model.settle(), "plan after plan has actions: {:?}", model.plan().actions);
    let plan = model.plan();
    prop_assert_eq!(plan.actions, vec![]);
    // With no pods asked for, a first deployment waits for some.
    let empty = model.truth.rollout.spec.replicas == Some(0);
    prop_assert!(model.serves_something() || waits_for_a_person(&model) || empty, "nothing serves: {:?}", model.end());
    prop_assert!(!model.truth.active_services().any(|s| s.is_overlapping()), "two revisions serve in the end");
    Ok(())
}

// The same histories every time: what is searched for anew is `cargo xtask prove`.
proptest! {
    #![proptest_config(ProptestConfig { cases: 500, rng_seed: RngSeed::Fixed(14), ..ProptestConfig::default() })]

    /// The model checks the promises at every write of every history. Here: whatever happened, it comes to rest, and then
    /// planning again gives no action.
    #[test]
    fn every_history_is_safe_and_comes_to_rest(model in cluster(), events in prop::collection::vec(event(), 1..40)) {
        comes_to_rest(history(model, &events))?;
    }

    /// Stopping after any prefix of the actions and planning again ends in the same place.
    #[test]
    fn a_crash_does_not_change_the_end(
        model in cluster(),
        events in prop::collection::vec(daily(), 1..25),
        dies_after in 0..8usize,
    ) {
        let before = history(model, &events);
        let mut whole = before.clone();
        prop_assert!(whole.settle());
        let mut crashed = before;
        crashed.operate(Some(dies_after));
        prop_assert!(crashed.settle());
        prop_assert_eq!(crashed.end(), whole.end());
    }

    /// Where a person has to promote, only what was promoted serves: aborting, going back anywhere, restarting, deleting,
    /// renaming, tampering and losing things do not.
    #[test]
    fn what_nobody_promotes_does_not_serve(
        model in cluster(),
        events in prop::collection::vec(event_without_promotion(), 1..40),
    ) {
        let mut spec = model.truth.rollout.spec.clone();
        spec.strategy.blue_green.auto_promotion_enabled = Some(false);
        spec.strategy.blue_green.auto_promotion_seconds = None;
        let mut model = Model::with(spec);
        prop_assert!(model.settle());
        let first = model.serving().expect("the first one waits for nobody");
        for event in &events {
            model.happen(event);
            let told = model.truth.rollout.status.is_some() || !model.truth.replica_sets.is_empty();
            if !told && !model.truth.services.values().any(|service| service.production.is_some()) {
                // Status, ReplicaSets and Services were all deleted: nothing is left that could tell that something served.
                return Ok(());
            }
            let moved = model.truth.services.values().filter(|service| service.production.is_some());
            for service in moved {
                // What Argo Rollouts' controller does with its own rights is not ours.
                let may_be = |hash: &str| hash == first || hash == ARGOS_HASH;
                prop_assert!(service.hash().is_none_or(may_be), "{event:?}: {service:?}");
            }
        }
    }

    /// While what serves has available pods, every Service that is there and ours leads to it, even if nothing else ever changes.
    #[test]
    fn production_is_not_left_on_nothing(model in cluster(), events in prop::collection::vec(event(), 1..40)) {
        let mut model = history(model, &events);
        model.mend();
        prop_assert!(model.operate(None));
        let decisions = model.status().decisions.clone().expect("a status has a record");
        let rs = model.truth.existing().find(|rs| rs.hash == decisions.serving);
        if rs.is_some_and(|rs| rs.available > 0 && rs.is_available(rs.replicas)) {
            prop_assert!(model.serves_something(), "{:?}", model.end());
        }
    }

    /// However the rollout is deleted, and whatever was under way: the finalizer goes, and no Service selects what goes with it.
    #[test]
    fn a_deleted_rollout_leaves_nothing_behind(
        model in cluster(),
        events in prop::collection::vec(event(), 1..25),
        orphans in any::<bool>(),
        dies_after in 0..4usize,
    ) {
        let mut model = history(model, &events);
        model.mend();
        // Late endpoints of pods that a person deleted look like those of orphans, which keep the hash.
        model.catch_up();
        let before = model.truth.services.clone();
        model.delete_rollout(orphans.then_some("orphan"));
        model.operate(Some(dies_after));
        model.work();
        model.scale_down();
        prop_assert!(!model.is_held());
        for service in model.truth.services.values().filter(|service| service.is_marked_for("web")) {
            prop_assert!(orphans, "it is still marked: {service:?}");
            prop_assert_eq!(&service.selector, &before[&service.name].selector);
        }
        for rs in &model.truth.replica_sets {
            prop_assert!(!rs.has_scale_down_finalizer(), "it cannot be deleted: {rs:?}");
        }
    }

    /// The operator keeps what it observed as JSON; nothing is lost by it.
    #[test]
    fn what_was_observed_reads_back_as_it_was(model in cluster(), events in prop::collection::vec(event(), 1..40)) {
        let mut world = history(model, &events).seen();
        // Kubernetes' own type, whose times are whole seconds; those of the model are not.
        world.rollout.status.iter_mut().for_each(|status| status.conditions.clear());
        prop_assert_eq!(&read_back(&world.rollout), &world.rollout);
        prop_assert_eq!(&read_back(&world.replica_sets), &world.replica_sets);
        prop_assert_eq!(&read_back(&world.services), &world.services);
    }
}

// The others stay what they are, whatever is added here.
proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(15), ..ProptestConfig::default() })]

    /// The same with a Deployment that is taken over from, an operator whose clock is ahead, and a spec that changes at any moment.
    #[test]
    fn a_history_of_any_kind_is_safe_and_comes_to_rest(
        model in cluster_of_any_kind(),
        events in prop::collection::vec(event_of_any_kind(), 1..40),
    ) {
        comes_to_rest(history(model, &events))?;
    }
}

fn read_back<T: Serialize + DeserializeOwned>(object: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(object).expect("it is written")).expect("it is read")
}

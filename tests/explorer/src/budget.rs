//! How many writes a release takes, from the first deployment to the undo, when nothing goes wrong.

use crate::event::{Event, Field, Person, Verb, Version};
use crate::predicate::{Predicate, Report};
use crate::state::State;

/// What each part of a release may take at most, the status included.
const LIMITS: [(&str, usize); 4] = [("create", 7), ("update", 4), ("promote", 4), ("undo", 5)];

/// Goes through one release and counts.
pub fn check(report: &mut Report) -> Vec<(&'static str, usize, usize)> {
    let mut state = State { made: Some(Vec::new()), ..State::new() };
    state.happen(Event::Set(Field::Auto, 0), report);
    let parts: [Option<Event>; 4] = [
        None,
        Some(Event::Template(Version(2))),
        Some(Event::Ask(Verb::Promote, Some(Version(2)), Person::Ann)),
        Some(Event::Ask(Verb::Undo, Some(Version(2)), Person::Ann)),
    ];
    let mut counted = Vec::new();
    for (event, (part, limit)) in parts.into_iter().zip(LIMITS) {
        let before = writes(&state);
        event.into_iter().for_each(|event| state.happen(event, report));
        // Words and counts are published after a while.
        for _ in 0..3 {
            state.happen(Event::Calm, report);
            state.happen(Event::Seconds(3), report);
        }
        let count = writes(&state) - before;
        report.check(Predicate::Budget, count <= limit, || format!("{part} takes {count} writes, {limit} are allowed"));
        counted.push((part, count, limit));
    }
    counted
}

fn writes(state: &State) -> usize {
    state.made.as_ref().map_or(0, Vec::len) + usize::try_from(state.published).unwrap_or(0)
}

//! Histories in which the search once found a fault, of the core or of its own book. What is rare among random walks is looked at in
//! every run, once it is known.

use crate::event::{Event, read_trace};
use crate::predicate::Predicate;
use crate::walk::{Failure, replay};

/// One history a line.
const HISTORIES: &str = include_str!("../histories.txt");

/// All of them.
pub fn known() -> impl Iterator<Item = Vec<Event>> {
    HISTORIES.lines().map(|line| read_trace(line).expect("each line is a history"))
}

/// Those that break a promise.
pub fn broken(ignored: &[Predicate]) -> Vec<Failure> {
    let failure = |events: Vec<Event>| {
        let (length, violation) = replay(&events, ignored)?;
        Some(Failure { events: events[..length].to_vec(), violation })
    };
    known().filter_map(failure).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_line_is_a_history_of_its_own() {
        let histories: Vec<_> = super::known().collect();
        assert!(histories.iter().all(|history| !history.is_empty()), "an empty line");
        for (number, history) in histories.iter().enumerate() {
            assert!(!histories[..number].contains(history), "line {} stands twice", number + 1);
        }
    }
}

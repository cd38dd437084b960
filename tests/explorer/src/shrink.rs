//! From a long history that ends badly to a short one that ends in the same way.

use crate::event::{Event, Operator};
use crate::predicate::{Predicate, Violation};
use crate::walk::{Counts, Failure, replay};

/// The shortest history found that violates the same predicate, among those that count.
pub fn shrink(failure: &Failure, ignored: &[Predicate], counts: Counts<'_>) -> Failure {
    let wanted = failure.violation.predicate;
    let fails = |events: &[Event]| {
        replay(events, ignored)
            .filter(|(length, violation)| violation.predicate == wanted && counts(&events[..*length]))
    };
    let mut best = failure.clone();
    if let Some((length, violation)) = fails(&best.events) {
        best = cut(&best.events, length, violation);
    } else {
        // It only fails when it is looked at in between.
        return best;
    }
    loop {
        let before = best.events.clone();
        let mut chunk = best.events.len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < best.events.len() {
                let mut candidate = best.events.clone();
                candidate.drain(start..(start + chunk).min(candidate.len()));
                match fails(&candidate) {
                    Some((length, violation)) => best = cut(&candidate, length, violation),
                    None => start += chunk,
                }
            }
            chunk /= 2;
        }
        for place in 0..before.len() {
            let Some(event) = best.events.get(place).copied() else { break };
            for simpler in simpler(event) {
                let mut candidate = best.events.clone();
                candidate[place] = simpler;
                if let Some((length, violation)) = fails(&candidate).filter(|(length, _)| *length > place) {
                    best = cut(&candidate, length, violation);
                    break;
                }
            }
        }
        if best.events == before {
            return best;
        }
    }
}

fn cut(events: &[Event], length: usize, violation: Violation) -> Failure {
    Failure { events: events[..length].to_vec(), violation }
}

/// Events that are easier to understand than this one.
fn simpler(event: Event) -> Vec<Event> {
    match event {
        Event::Run(Operator::B) => vec![Event::Run(Operator::A)],
        Event::Step(Operator::B) => vec![Event::Step(Operator::A)],
        Event::Release(version, _) => vec![Event::Template(version)],
        Event::Run(Operator::A) => vec![Event::Calm],
        _ => Vec::new(),
    }
}

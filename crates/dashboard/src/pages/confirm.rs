//! What will happen before it does, and what came of it. Shown in a dialog of the rollout's page; without a script, as a page.

use greenlight_api::Decisions;
use maud::{Markup, html};

use super::{path, plain};
use crate::action::{Action, Forecast, LONGEST_REASON, Outcome, Wish};
use crate::row::Key;

/// Asks for a confirmation.
pub fn ask(key: &Key, action: Action, decisions: &Decisions, wish: &Wish, forecast: &Forecast, csrf: &str) -> Markup {
    let to = format!("{}/ask/{}", path(key), action.word());
    html! {
        form class="confirm" method="post" action=(to) data-in-dialog {
            h2 { (heading(key, action, decisions, wish)) }
            @match forecast {
                Forecast::Refused(why) => p class="notice bad" { "The operator would refuse it: " (plain(why)) },
                Forecast::Unknown(why) => p class="notice" { (plain(why)) },
                Forecast::Steps { steps, outcome, .. } => {
                    p class="dim" { "What will happen, by the operator's own rules:" }
                    ol class="forecast" {
                        @for step in steps { li { (plain(step)) } }
                        @if steps.is_empty() { li { "nothing is written in the cluster" } }
                    }
                    p { "In the end: " (plain(outcome)) }
                }
            }
            input type="hidden" name="csrf" value=(csrf);
            input type="hidden" name="revision" value=(wish.revision);
            input type="hidden" name="to" value=(wish.to);
            label for="reason" { "Why? " span class="dim" { "It is kept with the rollout." } }
            input id="reason" name="reason" maxlength=(LONGEST_REASON) autocomplete="off";
            p class="buttons" {
                button class={ "go " (action.word()) } { (action.label()) }
                a class="button quiet" data-close href=(path(key)) { "Cancel" }
            }
        }
    }
}

/// What a click would do. Who goes back to a revision that they chose reads which one it is.
fn heading(key: &Key, action: Action, decisions: &Decisions, wish: &Wish) -> String {
    let name = |hash: &str| match decisions.revision(hash) {
        Some(record) => format!("revision {}", record.number),
        None => format!("revision {}", plain(hash)),
    };
    let rollout = &key.name;
    if action == Action::Undo && !wish.to.is_empty() {
        return format!("Go back from {} to {} of {rollout}?", name(&wish.revision), name(&wish.to));
    }
    match decisions.revision(&wish.revision) {
        Some(record) => format!("{} revision {} of {rollout}?", action.label(), record.number),
        None => format!("{} {rollout}?", action.label()),
    }
}

/// Says what came of it.
pub fn answer(key: &Key, action: Action, outcome: &Outcome) -> Markup {
    let (class, title, text) = match outcome {
        Outcome::Accepted(text) => ("good", format!("{}: the operator does it", action.label()), text.as_str()),
        Outcome::Refused(text) => ("bad", format!("{}: refused", action.label()), text.as_str()),
        Outcome::Overtaken => (
            "bad",
            format!("{}: another request took its place", action.label()),
            "Somebody else asked for something. The operator may have begun with yours by then: look at what came of both, and ask again if \
             nothing came of it.",
        ),
        Outcome::Unanswered(text) => ("bad", format!("{}: no answer yet", action.label()), text.as_str()),
        Outcome::Unseen(why) => {
            let title = format!(
                "{}: asked for, and what came of it could not be seen. Look before you ask again",
                action.label()
            );
            ("bad", title, why.as_str())
        }
    };
    html! {
        div class="answer" role="alert" {
            h2 { (title) }
            p class={ "notice " (class) } { (plain(text)) }
            p class="buttons" { a class="button go" data-close href=(path(key)) { "To the rollout" } }
        }
    }
}

/// Says that nothing came of it, or that nobody knows what did, and why.
pub fn failed(key: &Key, title: &str, why: &str) -> Markup {
    html! {
        div class="answer" role="alert" {
            h2 { (title) }
            p class="notice bad" { (plain(why)) }
            p class="buttons" { a class="button go" data-close href=(path(key)) { "To the rollout" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_goes_back_to_a_revision_reads_to_which_one() {
        let revisions = [1, 3].map(|number| json!({"hash": format!("v{number}"), "digest": "", "number": number}));
        let decisions: Decisions =
            serde_json::from_value(json!({"serving": "v3", "revisions": revisions})).expect("decisions");
        let key = Key { namespace: "shop".to_owned(), name: "web".to_owned() };
        let headed = |action: Action, revision: &str, to: &str| {
            let wish = Wish { revision: revision.to_owned(), to: to.to_owned(), ..Wish::default() };
            heading(&key, action, &decisions, &wish)
        };
        assert_eq!(headed(Action::Undo, "v3", "v1"), "Go back from revision 3 to revision 1 of web?");
        assert_eq!(headed(Action::Undo, "v3", "v0"), "Go back from revision 3 to revision v0 of web?");
        assert_eq!(headed(Action::Undo, "v3", ""), "Undo revision 3 of web?");
        assert_eq!(headed(Action::Pause, "", ""), "Pause web?");
    }
}

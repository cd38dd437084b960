//! Histories made by hand, each of which breaks a promise: the judge has to see it, and nothing else. One that keeps them all comes
//! first.

use std::collections::BTreeMap;

use greenlight_api::{Request, Verb};
use jiff::Timestamp;

use crate::history::{Change, Kind, Pod, Rollout, Selection, Service, Set, Slice, Status, Told, What};
use crate::judge::{End, EndState, Terms, judge};

/// A history that is being written. Revision `v1` has the hash `h1`, and two pods.
#[derive(Clone)]
struct Tale {
    changes: Vec<Change>,
    rollout: Rollout,
    terms: Terms,
}

fn image(version: u32) -> String {
    format!("web:v{version}")
}

fn request(action: Verb, hash: &str) -> String {
    let at = Timestamp::UNIX_EPOCH;
    Request { action, revision: hash.to_owned(), to: None, by: "ann".to_owned(), at, reason: None }.to_value()
}

impl Tale {
    fn new() -> Tale {
        let terms = Terms {
            replicas: 2,
            stays_up: true,
            active: vec!["web-active".to_owned()],
            preview: "web-preview".to_owned(),
            idle_shows_active: true,
        };
        Tale { changes: Vec::new(), rollout: Rollout::default(), terms }
    }

    fn then(&mut self, what: What) -> &mut Tale {
        let version = self.changes.len() as u64 + 1;
        self.changes.push(Change { version, at: version as f64, what });
        self
    }

    fn asks_for(&mut self, version: u32) -> &mut Tale {
        self.rollout.image = image(version);
        self.rollout.replicas = 2;
        self.rollout.generation += 1;
        self.then(What::Rollout(self.rollout.clone()))
    }

    fn set(&mut self, version: u32, replicas: i32, available: i32, retires: bool) -> &mut Tale {
        let (name, hash) = (format!("web-h{version}"), format!("h{version}"));
        self.then(What::Set(Set { name, hash, image: image(version), replicas, available, deleting: false, retires }))
    }

    fn pods(&mut self, version: u32) -> &mut Tale {
        for pod in ["a", "b"] {
            self.pod(version, pod, false);
        }
        self
    }

    fn pod(&mut self, version: u32, letter: &str, deleting: bool) -> &mut Tale {
        let (set, name) = (format!("web-h{version}"), format!("web-h{version}-{letter}"));
        self.then(What::Pod(Pod { uid: name.clone(), name, set, deleting }))
    }

    fn made(&mut self, version: u32) -> &mut Tale {
        self.set(version, 2, 0, false).pods(version).set(version, 2, 2, false)
    }

    fn selects(&mut self, service: &str, version: u32) -> &mut Tale {
        let hash = format!("h{version}");
        let selection = Selection::Hash(hash.clone());
        let service = Service { name: service.to_owned(), selection, production: hash, ..Service::default() };
        self.then(What::Service(service))
    }

    fn shows(&mut self, version: u32) -> &mut Tale {
        let ready = ["a", "b"].map(|pod| format!("web-h{version}-{pod}")).into();
        self.then(What::Slice(Slice { name: "slice".to_owned(), service: "web-active".to_owned(), ready }))
    }

    fn moves(&mut self, version: u32) -> &mut Tale {
        self.selects("web-active", version).shows(version)
    }

    fn says(&mut self, phase: &str, version: u32) -> &mut Tale {
        let proven = Some(format!("{}", self.changes.len()));
        let before = self.rollout.status.clone().unwrap_or_default();
        let again = before.switch.clone().filter(|(to, _)| *to == format!("h{version}"));
        self.rollout.status = Some(Status {
            observed_generation: self.rollout.generation,
            phase: phase.to_owned(),
            ready: if phase == "Healthy" { "True/Healthy".to_owned() } else { "False/RevisionRejected".to_owned() },
            active: format!("h{version}"),
            recorded: ["h1", "h2", "h3"].map(str::to_owned).into(),
            updated: format!("h{}", self.rollout.image.trim_start_matches("web:v")),
            switch: again.or(Some((format!("h{version}"), proven))),
            ..before
        });
        self.then(What::Rollout(self.rollout.clone()))
    }

    fn asked(&mut self, value: &str) -> &mut Tale {
        self.rollout.request = value.to_owned();
        self.then(What::Rollout(self.rollout.clone()))
    }

    fn answers(&mut self, accepted: bool, answer: &str) -> &mut Tale {
        let value = self.rollout.request.clone();
        self.rollout.status.get_or_insert_default().answer = Some((value, accepted, answer.to_owned()));
        self.then(What::Rollout(self.rollout.clone()))
    }

    fn told(&mut self, reason: &str, note: &str) -> &mut Tale {
        let name = format!("event-{}", self.changes.len());
        self.then(What::Told(Told { name, reason: reason.to_owned(), note: note.to_owned() }))
    }

    /// The first deployment.
    fn first(&mut self) -> &mut Tale {
        self.asks_for(1).made(1).moves(1).selects("web-preview", 1).says("Healthy", 1)
    }

    /// The second revision is available, and nobody has asked for its promotion.
    fn second(&mut self) -> &mut Tale {
        self.first().asks_for(2).made(2).selects("web-preview", 2)
    }

    fn promoted(&mut self) -> &mut Tale {
        self.second().asked(&request(Verb::Promote, "h2")).answers(true, "promoting")
    }

    /// The second revision serves.
    fn released(&mut self) -> &mut Tale {
        self.promoted().moves(2).set(1, 2, 2, true).says("Healthy", 2)
    }

    /// And goes.
    fn undone(&mut self) -> &mut Tale {
        self.released().asked(&request(Verb::Rollback, "h2")).answers(true, "rejecting").set(1, 2, 2, false)
    }

    fn end(&mut self) -> &mut Tale {
        self.undone().moves(1).selects("web-preview", 1).set(2, 2, 2, true).says("Degraded", 1)
    }

    fn broken(&self) -> Vec<&'static str> {
        let mut promises: Vec<_> =
            judge(&self.changes, &self.terms, None, false).0.into_iter().map(|violation| violation.promise).collect();
        promises.dedup();
        promises
    }

    fn broken_in_the_end(&self, production: u32, state: EndState) -> Vec<&'static str> {
        let end = End { production: image(production), asked_for: self.rollout.image.clone(), state };
        let mut promises: Vec<_> = judge(&self.changes, &self.terms, Some(&end), false)
            .0
            .into_iter()
            .map(|violation| violation.promise)
            .collect();
        promises.dedup();
        promises
    }
}

fn tale(write: impl FnOnce(&mut Tale) -> &mut Tale) -> Tale {
    let mut tale = Tale::new();
    write(&mut tale);
    tale
}

#[test]
fn a_release_and_an_undo_break_nothing() {
    let tale = tale(Tale::end);
    assert_eq!(tale.broken_in_the_end(1, EndState::Rejected), Vec::<&str>::new());
    let (_, deeds) = judge(&tale.changes, &tale.terms, None, false);
    assert_eq!((deeds.moves, deeds.undos, deeds.answers), (3, 1, 2));
}

#[test]
fn a_move_to_what_is_not_whole() {
    assert_eq!(tale(|tale| tale.promoted().set(2, 2, 1, false).moves(2)).broken(), ["available"]);
    assert_eq!(tale(|tale| tale.promoted().set(2, 1, 1, false).moves(2)).broken(), ["available"], "at preview size");
}

#[test]
fn a_service_that_served_and_selects_nothing_or_has_too_few_endpoints() {
    let lost = |selection: Selection| {
        tale(|tale| {
            let name = "web-active".to_owned();
            let service = Service { name, selection, production: "h1".to_owned(), ..Service::default() };
            tale.first().then(What::Service(service))
        })
    };
    assert_eq!(lost(Selection::Nothing).broken(), ["nothing"]);
    assert_eq!(lost(Selection::Everything).broken(), ["nothing"]);
    assert_eq!(
        tale(|tale| tale.first().then(What::Gone(Kind::Service, "web-active".to_owned()))).broken(),
        ["nothing"]
    );
    let slice =
        Slice { name: "slice".to_owned(), service: "web-active".to_owned(), ready: ["web-h1-a".to_owned()].into() };
    assert_eq!(tale(|tale| tale.first().then(What::Slice(slice))).broken(), ["nothing"]);
    assert_eq!(tale(|tale| tale.first().then(What::Gone(Kind::Slice, "slice".to_owned()))).broken(), ["nothing"]);
}

#[test]
fn who_serves_loses_pods_or_is_deleted() {
    assert!(tale(|tale| tale.first().set(1, 1, 2, false)).broken().contains(&"taken"));
    assert!(tale(|tale| tale.first().then(What::Gone(Kind::Set, "web-h1".to_owned()))).broken().contains(&"taken"));
    assert_eq!(tale(|tale| tale.first().pod(1, "a", true)).broken(), ["taken"]);
    assert_eq!(tale(|tale| tale.first().then(What::Gone(Kind::Pod, "web-h1-a".to_owned()))).broken(), ["taken"]);
    let restarted = tale(|tale| tale.first().asked(&request(Verb::Restart, "h1")).answers(true, "").pod(1, "a", true));
    assert_eq!(restarted.broken(), Vec::<&str>::new());
}

#[test]
fn what_served_retires_before_another_is_shown() {
    assert_eq!(tale(|tale| tale.promoted().selects("web-active", 2).set(1, 2, 2, true)).broken(), ["retired"]);
    assert_eq!(tale(|tale| tale.promoted().selects("web-active", 2).set(1, 0, 2, false)).broken(), ["retired"]);
}

#[test]
fn what_nobody_promoted_or_what_was_rejected_goes_live() {
    assert_eq!(tale(|tale| tale.second().moves(2)).broken(), ["gate"]);
    assert_eq!(tale(|tale| tale.end().moves(2)).broken(), ["gate"]);
    let other = tale(|tale| tale.second().asked(&request(Verb::Promote, "h3")).answers(false, "no").moves(2));
    assert_eq!(other.broken(), ["gate"]);
    let aborted = tale(|tale| {
        let tale = tale.promoted().asked(&request(Verb::Abort, "h2")).answers(true, "rejecting");
        tale.moves(2)
    });
    assert_eq!(aborted.broken(), ["gate"]);
}

#[test]
fn what_failed_its_analysis_goes_live() {
    let failed = tale(|tale| {
        tale.promoted();
        tale.rollout.status.get_or_insert_default().rejected =
            BTreeMap::from([("h2".to_owned(), "greenlight".to_owned())]);
        tale.then(What::Rollout(tale.rollout.clone())).moves(2)
    });
    assert_eq!(failed.broken(), ["gate"]);
}

#[test]
fn an_undo_that_goes_elsewhere_or_over_new_pods() {
    let elsewhere = tale(|tale| tale.undone().made(3).asked(&request(Verb::Promote, "h3")).answers(true, "").moves(3));
    assert_eq!(elsewhere.broken(), ["undo"]);
    let half = tale(|tale| {
        tale.terms.active.push("web-internal".to_owned());
        let tale = tale.asks_for(1).made(1).moves(1).selects("web-internal", 1);
        let slice = Slice {
            name: "slice2".to_owned(),
            service: "web-internal".to_owned(),
            ready: ["a", "b"].map(|pod| format!("web-h1-{pod}")).into(),
        };
        let tale = tale.then(What::Slice(slice)).says("Healthy", 1).asks_for(2).made(2);
        let tale = tale.asked(&request(Verb::Promote, "h2")).answers(true, "promoting").moves(2);
        // The other Service never got there.
        let tale = tale.asked(&request(Verb::Rollback, "h2")).answers(true, "rejecting").moves(1);
        tale.asks_for(3).made(3).asked(&request(Verb::Promote, "h3")).answers(true, "promoting").moves(3)
    });
    assert_eq!(half.broken(), Vec::<&str>::new());
    let restarted = tale(|tale| {
        let tale = tale.undone().pod(1, "a", true).then(What::Gone(Kind::Pod, "web-h1-a".to_owned()));
        tale.moves(1)
    });
    assert_eq!(restarted.broken(), ["undo"]);
}

#[test]
fn a_request_with_two_answers_or_none() {
    assert_eq!(tale(|tale| tale.promoted().answers(false, "no")).broken(), ["answers"]);
    assert_eq!(tale(|tale| tale.promoted().answers(true, "in other words")).broken(), ["answers"]);
    assert_eq!(tale(|tale| tale.second().asked(&request(Verb::Promote, "h2"))).broken(), ["answers"]);
}

#[test]
fn a_proof_of_what_was_not_shown() {
    assert_eq!(tale(|tale| tale.promoted().selects("web-active", 2).says("Healthy", 2)).broken(), ["truth"]);
    let shown_before = tale(|tale| {
        let everything = Service { name: "web-active".to_owned(), ..Service::default() };
        tale.asks_for(1).then(What::Service(everything)).made(1).shows(1).selects("web-active", 1).says("Healthy", 1)
    });
    assert_eq!(shown_before.broken(), Vec::<&str>::new());
}

#[test]
fn an_end_that_is_not_what_is_said() {
    let end = tale(Tale::end);
    assert_eq!(end.broken_in_the_end(2, EndState::Healthy), ["truth"]);
    let healthy = tale(|tale| tale.end().says("Healthy", 1));
    assert_eq!(healthy.broken_in_the_end(1, EndState::Rejected), ["truth"]);
    let small = tale(|tale| tale.end().set(1, 3, 2, false));
    assert_eq!(small.broken_in_the_end(1, EndState::Rejected), ["truth"]);
    let mut stays = tale(Tale::end);
    stays.terms.stays_up = false;
    assert_eq!(stays.broken_in_the_end(1, EndState::Rejected), ["truth"], "revision 2 is up, and should be down");
}

#[test]
fn an_event_that_is_told_twice() {
    let created = "created revision 1 (h1) of web:v1";
    let twice = tale(|tale| tale.first().told("RevisionCreated", created).told("RevisionCreated", created));
    assert_eq!(twice.broken(), ["told"]);
    let once = tale(|tale| tale.released().told("Promoted", "revision 1").told("Promoted", "revision 2"));
    assert_eq!(once.broken(), Vec::<&str>::new());
    let again = tale(|tale| {
        let tale = tale.released().told("Promoted", "revision 1").told("Promoted", "revision 2");
        tale.told("Promoted", "revision 2")
    });
    assert_eq!(again.broken(), ["told"]);
    for reason in ["RolledBack", "RevisionRejected", "RequestRefused", "PreviewReady"] {
        assert_eq!(tale(|tale| tale.first().told(reason, "")).broken(), ["told"], "{reason}");
    }
}

#[test]
fn what_may_have_been_missed_is_not_judged_and_the_end_is() {
    let tale = tale(|tale| tale.first().told("PreviewReady", ""));
    let broken = |end: Option<&End>| judge(&tale.changes, &tale.terms, end, true).0;
    assert_eq!(broken(None), []);
    let end = End { production: image(2), asked_for: image(2), state: EndState::Healthy };
    assert!(!broken(Some(&end)).is_empty());
}

#[test]
fn two_replica_sets_of_one_template() {
    let twin = Set { name: "web-h1x".to_owned(), hash: "h1x".to_owned(), image: image(1), ..Set::default() };
    assert_eq!(tale(|tale| tale.first().then(What::Set(twin))).broken(), ["once"]);
}

#[test]
fn a_preview_of_what_has_no_pods() {
    assert_eq!(
        tale(|tale| tale.first().asks_for(2).set(2, 2, 0, false).selects("web-preview", 2)).broken(),
        ["preview"]
    );
}

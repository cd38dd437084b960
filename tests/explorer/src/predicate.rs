//! What must hold: every predicate is a sentence, and belongs to a promise of the design.

use std::fmt;

macro_rules! predicates {
    ($($name:ident = $promise:literal, $word:literal, $sentence:literal;)+) => {
        /// A predicate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Predicate {
            $(#[doc = $sentence] $name,)+
        }

        impl Predicate {
            /// All of them, by promise.
            pub const ALL: &[Predicate] = &[$(Predicate::$name,)+];

            /// The promise that it belongs to.
            pub fn promise(self) -> &'static str {
                match self { $(Predicate::$name => $promise,)+ }
            }

            /// Its name on command lines.
            pub fn word(self) -> &'static str {
                match self { $(Predicate::$name => $word,)+ }
            }

            /// What it says.
            pub fn sentence(self) -> &'static str {
                match self { $(Predicate::$name => $sentence,)+ }
            }
        }
    };
}

predicates! {
    ActiveFull = "1", "active-full", "production moves only to a set whose pods are all available";
    ActiveLabels = "1", "active-labels", "production moves only to pods that the Service's own selector selects";
    NotEmptied = "1", "not-emptied", "no write of ours takes the last ready endpoint from production";
    NothingLost = "1", "nothing-lost", "an overlap begins with every pod that served, as far as the controllers of Kubernetes have seen its label";
    OnlyTwo = "1", "only-two", "an overlap selects ready pods of two revisions of the rollout at most";
    AllFollow = "1", "all-follow", "at rest every active Service that can leads to what serves";
    RestartFull = "1", "restart-full", "a restart takes no pod that production needs";
    WorkloadStays = "1", "workload-stays", "a Deployment that is taken over from keeps its pods until the switch is proven, or as many of ours stand in for them";
    RetiredUnreached = "2", "retired-unreached", "no set is retired while production may still reach it";
    ScaledUnreached = "2", "scaled-unreached", "no set loses its pods while production may still reach it";
    DelayKept = "4", "delay-kept", "what served keeps its pods for the delay, so that going back starts none";
    GoesBack = "4", "goes-back", "production that lost all its pods goes back by itself where the spec says so";
    Unmarked = "2", "unmarked", "at rest what serves carries no mark of what is retired";
    ProofTrue = "2", "proof-true", "a switch is reported proven only when every ready endpoint is a pod of the new set and there are enough pods";
    AnswerTrue = "3", "answer-true", "an answer says what happened, and never that an overtaken promotion was carried out";
    AnswerOnce = "3", "answer-once", "a request that was refused is not accepted later";
    Answered = "3", "answered", "every request is answered";
    NotRefused = "3", "not-refused", "what can be done is not refused";
    BareVerb = "3", "bare-verb", "a bare verb is carried out on the revision that it was typed for";
    RejectedStays = "4", "rejected-stays", "what was rejected does not go live until it is started over";
    RetryStays = "4", "retry-stays", "what was started over is not rejected again without a new cause";
    BackToServed = "4", "back-to-served", "production goes back only to what has served";
    UndoNotRefused = "4", "undo-not-refused", "an undo of what serves is not refused while an earlier revision has served";
    UndoArrives = "4", "undo-arrives", "after an undo production goes to the revision that served before";
    UndoNamed = "4", "undo-named", "an undo that names where to go leads there, whoever asks for one that names nothing meanwhile";
    BackAtOnce = "4", "back-at-once", "what production goes back to waits for no longer than it did when it served";
    LeavesForReason = "4", "leaves-for-reason", "production leaves a revision only for a reason";
    HandIsDecision = "4", "hand-is-decision", "what a person moved production away from does not come back out of an old request";
    RejectsForCause = "4", "rejects-for-cause", "nothing is rejected that nobody rejected and that did not fail";
    AnalysedOnce = "4", "analysed-once", "what serves and was found good is not analysed again";
    LossOpensNothing = "5", "loss-opens-nothing", "after the loss of the status nothing goes live that nobody promoted";
    GateHolds = "7", "gate-holds", "what goes live was promoted by enough people, or came back in time, or is the first";
    TimerHolds = "7", "timer-holds", "what goes live by a timer has been in preview for that long";
    AnalysisHolds = "7", "analysis-holds", "what goes live has passed the analysis that the spec asks for; neither what has no pods nor what the preview showed before is measured";
    ServesPermitted = "7", "serves-permitted", "what serves at rest is a revision that was allowed to go live";
    Foreign = "7", "foreign", "a Service that another rollout moves is not touched";
    LettingGo = "7", "letting-go", "a rollout that goes does not open production to what nobody promoted";
    StatusCurrent = "9", "status-current", "at rest the status tells the present";
    PreviewShows = "9", "preview-shows", "at rest the preview Service shows what waits, or what the spec says for when nothing does";
    SaysWhy = "9", "says-why", "what does not move is not called healthy, and a sentence says why";
    ReasonTrue = "9", "reason-true", "at rest what the status waits for is so: nothing that was promoted, and has its pods, is left standing";
    DeadlineTold = "9", "deadline-told", "what makes no progress for progressDeadlineSeconds, a proof too, is said to, or rejected where the spec wants that";
    EventOnce = "9", "event-once", "nothing is announced that did not happen";
    HomeSize = "scale", "home-size", "the pods of what serves follow a change of scale alone";
    HistoryServed = "history", "history-served", "what served is kept before what did not, and the last that served is never pruned";
    HistoryBound = "history", "history-bound", "at rest no more old sets are kept than revisionHistoryLimit, and one to go back to";
    SetWithPods = "history", "set-with-pods", "a set with pods is never deleted";
    Rests = "liveness", "rests", "an operator that works comes to rest";
    Arrives = "liveness", "arrives", "when faults stop, production gets what spec and requests ask for";
    WorkloadGoes = "liveness", "workload-goes", "a Deployment that was taken over from is scaled to 0 where the spec says so";
    Restarted = "liveness", "restarted", "when faults stop, pods older than a restart that was asked for are replaced";
    Quiet = "liveness", "quiet", "when nothing is left to do, nothing is planned and nothing is published";
    LetsGo = "liveness", "lets-go", "a deleted rollout goes, and leaves no hash behind that selects nothing";
    NoWaste = "economy", "no-waste", "without faults no pod is started and stopped again, or stopped and started";
    NoLeftovers = "economy", "no-leftovers", "at rest nothing has pods that neither serves nor waits nor is to be kept";
    GivesWay = "economy", "gives-way", "where there is no room, nothing has pods that neither serves nor waits nor is to be kept, though the preview showed it";
    NoRepeat = "economy", "no-repeat", "without faults no write is repeated";
    Budget = "economy", "budget", "a release takes at most 7, 4, 4 and 5 writes beside its events";
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A predicate that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub predicate: Predicate,
    /// In which way.
    pub detail: String,
}

/// What was checked, and the first thing that did not hold.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each predicate had something to say.
    pub counts: Vec<u64>,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Predicates that are not looked at.
    pub ignored: Vec<Predicate>,
}

impl Report {
    /// Checks one predicate whose antecedent holds.
    pub fn check(&mut self, predicate: Predicate, holds: bool, detail: impl FnOnce() -> String) {
        if self.counts.is_empty() {
            self.counts = vec![0; Predicate::ALL.len()];
        }
        self.counts[predicate as usize] += 1;
        if !holds && self.violation.is_none() && !self.ignored.contains(&predicate) {
            self.violation = Some(Violation { predicate, detail: detail() });
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Report) {
        if self.counts.is_empty() {
            self.counts = vec![0; Predicate::ALL.len()];
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }
}

//! What can happen. An event is small, is told in words, and is written as one word of a trace, so that a history can be
//! shrunk, printed and replayed.

use std::fmt;
use std::str::FromStr;

/// An enum whose variants each have a word, in traces and on the command line.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// Its word.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<$name, String> {
                $name::ALL.iter().copied().find(|one| one.word() == word).ok_or_else(|| format!("{word:?} is unknown"))
            }
        }
    };
}

/// How many templates there are.
pub const VERSIONS: u8 = 7;

/// A template, and the revision of it. Up to `v4` nothing is wrong with it; the API server refuses `v5`; `v6` lacks a label of a
/// Service; `v7` lacks that of the rollout's selector, so only a Deployment can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u8);

impl Version {
    /// The one that no ReplicaSet can be made of.
    pub const REFUSED: Version = Version(5);
    /// The one whose pods do not carry the label `tier`.
    pub const UNLABELLED: Version = Version(6);
    /// The one whose pods the rollout's own selector does not select.
    pub const MISFIT: Version = Version(7);

    /// All of them.
    pub fn all() -> impl Iterator<Item = Version> {
        (1..=VERSIONS).map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(word: &str) -> Result<Version, String> {
        let number = word.strip_prefix('v').and_then(|number| number.parse().ok());
        number.filter(|n| (1..=VERSIONS).contains(n)).map(Version).ok_or_else(|| format!("{word:?} is no version"))
    }
}

words! {
    /// A Service of the namespace.
    Name {
        /// The one that carries production unless the spec is changed.
        Active = "active",
        /// The one that shows the preview unless the spec is changed.
        Preview = "preview",
        /// An additional one that carries production where the spec says so.
        Extra = "extra",
        /// One to rename `activeService` to.
        Other = "other",
    }
}

words! {
    /// A field of the spec, changed to a small number.
    Field {
        /// `autoPromotionEnabled`
        Auto = "auto",
        /// `autoPromotionSeconds`
        AutoSeconds = "autoSeconds",
        /// `previewReplicaCount`; 0 is none.
        PreviewCount = "previewCount",
        /// `scaleDownDelaySeconds`
        Delay = "delay",
        /// `abortScaleDownDelaySeconds`
        AbortDelay = "abortDelay",
        /// `scaleDownDelayRevisionLimit`; 9 is none.
        DelayLimit = "delayLimit",
        /// `revisionHistoryLimit`
        History = "history",
        /// `overlapSeconds` with `switchMode: Overlap`; 0 is `Swap`.
        Overlap = "overlap",
        /// `autoRollback.unavailableSeconds`; 0 is none.
        AutoRollback = "autoRollback",
        /// `prePromotionAnalysis`
        Pre = "pre",
        /// `postPromotionAnalysis`
        Post = "post",
        /// `requiredApprovals`
        Approvals = "approvals",
        /// `paused`
        Paused = "paused",
        /// `activeService`: the number of a [`Name`]; 9 is none.
        ActiveService = "activeService",
        /// `previewService`: the number of a [`Name`]; 9 is none.
        PreviewService = "previewService",
        /// `activeService` and `previewService` exchanged.
        Exchange = "exchange",
        /// `additionalActiveServices`
        Extra = "extra",
        /// `previewServiceIdle: None`
        IdleNone = "idleNone",
        /// `rollbackWindow.revisions`
        Window = "window",
        /// `progressDeadlineAbort`, with a deadline of so many seconds; 0 is false.
        DeadlineAbort = "deadlineAbort",
        /// `progressDeadlineSeconds`; 0 is the default.
        Deadline = "deadline",
        /// `minReadySeconds`
        MinReady = "minReady",
        /// `restartAt`: so many seconds from now.
        RestartAt = "restartAt",
        /// `workloadRef`, with `scaleDown` 1: never, 2: onsuccess, 3: progressively; 0 is a template of its own.
        WorkloadRef = "workloadRef",
        /// `retiredReplicaCount`; 9 is none.
        Retired = "retired",
        /// Endpoints of two IP families, which is the cluster's and not the spec's.
        DualStack = "dualStack",
        /// `activeMetadata`: one label of so many values; 0 is none.
        ActiveMetadata = "activeMetadata",
        /// `previewMetadata`, of the same label.
        PreviewMetadata = "previewMetadata",
        /// `antiAffinity` 1: preferred, 2: required; 0 is none.
        AntiAffinity = "antiAffinity",
    }
}

/// The fields that came to the search last. Only some of the random walks draw them, so that all others are as they were without.
pub const LATER_FIELDS: [Field; 3] = [Field::ActiveMetadata, Field::PreviewMetadata, Field::AntiAffinity];

words! {
    /// What a person asks for.
    Verb {
        /// Promote.
        Promote = "promote",
        /// Promote, whatever gate and analysis say.
        Full = "promote-full",
        /// Reject what waits.
        Abort = "abort",
        /// Start a rejected revision over.
        Retry = "retry",
        /// Reject what serves.
        Undo = "rollback",
        /// Replace the pods.
        Restart = "restart",
    }
}

words! {
    /// Who asks.
    Person {
        /// The first.
        Ann = "ann",
        /// The second.
        Bob = "bob",
    }
}

words! {
    /// A forged annotation on a ReplicaSet.
    Forgery {
        /// It was promoted, long after everything else.
        Promoted = "promoted-at",
        /// It was not promoted.
        Unpromoted = "no-promoted-at",
        /// It needs no gate.
        Returned = "returned",
        /// Ann and Bob approve.
        Approvals = "approvals",
        /// Its number is the highest.
        Revision = "revision",
        /// Somebody rejected it.
        Rejected = "rejected",
        /// It was not rejected.
        Unrejected = "no-rejected",
        /// The Services of production say that it was rejected.
        Carried = "carried",
        /// They do not.
        Uncarried = "not-carried",
        /// Its template is another one.
        Digest = "template-digest",
        /// Its template is not known.
        NoDigest = "no-template-digest",
        /// Its time is over.
        ScaleDownAt = "scale-down-at",
        /// It is to have other pods.
        Desired = "desired-replicas",
        /// It was ready for tests long ago.
        PreviewReady = "preview-ready-at",
        /// It was planned from a state of the rollout that is yet to come.
        PlannedFrom = "planned-from",
        /// Its pods carry the label of an overlap, and one that they have from their template.
        Role = "role-metadata",
        /// It has no annotation of ours.
        Nothing = "none",
        /// It is another attempt.
        Attempt = "attempt",
    }
}

words! {
    /// Which of the two operators.
    Operator {
        /// The one that leads.
        A = "a",
        /// The one that led before, or thinks that it leads.
        B = "b",
    }
}

words! {
    /// What an operator watches.
    Cache {
        /// Its rollout.
        Rollout = "rollout",
        /// Its ReplicaSets.
        Sets = "sets",
        /// The Services.
        Services = "services",
        /// The analysis runs.
        Runs = "runs",
        /// The endpoints.
        Endpoints = "endpoints",
        /// The pods.
        Pods = "pods",
        /// The Deployment.
        Workload = "workload",
    }
}

words! {
    /// Which analysis.
    Analysis {
        /// Before the promotion.
        Pre = "pre",
        /// After the switch.
        Post = "post",
    }
}

words! {
    /// What comes of an analysis.
    Outcome {
        /// Good.
        Good = "good",
        /// Bad.
        Bad = "bad",
        /// Neither.
        Inconclusive = "inconclusive",
        /// Could not be made.
        Error = "error",
        /// Somebody deleted it.
        Deleted = "deleted",
    }
}

words! {
    /// Writes that the API server refuses for a while.
    Refused {
        /// Of Services.
        Services = "services",
        /// Of the Service [`Name::Active`] alone.
        ActiveService = "active-service",
        /// Of the Service [`Name::Preview`] alone.
        PreviewService = "preview-service",
        /// Of ReplicaSets.
        Sets = "sets",
        /// Of the size of ReplicaSets.
        Sizes = "sizes",
        /// New ReplicaSets.
        Creation = "creation",
        /// Analyses that cannot begin.
        Analyses = "analyses",
        /// Evictions, which a PodDisruptionBudget does not allow.
        Evictions = "evictions",
        /// The status.
        Status = "status",
        /// Nothing.
        Nothing = "nothing",
    }
}

words! {
    /// Whether there is room for more pods than there are.
    Room {
        /// For all.
        Enough = "enough",
        /// The nodes are full: what is made waits for one.
        Nodes = "nodes-full",
        /// A quota is used up: nothing is made.
        Quota = "quota-full",
    }
}

words! {
    /// How a rollout is deleted.
    Deletion {
        /// The sets go after the rollout.
        Background = "background",
        /// The sets go before the rollout.
        Foreground = "foreground",
        /// The sets stay.
        Orphan = "orphan",
    }
}

words! {
    /// What a second rollout does.
    Rival {
        /// It is created, younger than ours, and names our active Service.
        Appears = "appears",
        /// It was there before ours, and names our active Service.
        Precedes = "precedes",
        /// Its operator moves that Service.
        Moves = "moves",
        /// It is deleted, and its operator takes its hash out.
        Goes = "goes",
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The spec asks for another template.
    Template(Version),
    /// The spec asks for so many pods.
    Scale(u8),
    /// The spec asks for both at once.
    Release(Version, u8),
    /// A field of the spec changes.
    Set(Field, u8),
    /// A person asks, naming a revision, or with the bare verb.
    Ask(Verb, Option<Version>, Person),
    /// A person wants to go back to this very revision.
    UndoTo(Version, Version),
    /// A Service is deleted.
    DeleteService(Name),
    /// It is created again, as it was at first.
    CreateService(Name),
    /// Its own selector asks for the label `tier`, or no longer does.
    SelectTier(Name, bool),
    /// A person moves it to this revision, or with `None` to one that does not exist.
    MoveByHand(Name, Option<Version>),
    /// A server-side apply replaces its selector: the hash is gone.
    LoseHash(Name),
    /// A ReplicaSet is deleted.
    DeleteSet(Version),
    /// Somebody deletes a ReplicaSet in the foreground: its pods go first, and it is there until they are collected.
    DrainSet(Version),
    /// A ReplicaSet is scaled by hand.
    ScaleByHand(Version, u8),
    /// A tenant writes annotations of ours on a ReplicaSet.
    Forge(Version, Forgery),
    /// So many pods of a revision are ready, as far as there are to be so many.
    Pods(Version, u8),
    /// The pods of a revision are gone.
    PodsGone(Version),
    /// The controller of a ReplicaSet sees its spec, and counts its pods as it saw them before.
    Recount(Version),
    /// The EndpointSlices of a Service catch up.
    Endpoints(Name),
    /// Those of one of its two families do.
    HalfEndpoints(Name),
    /// The analysis under way, or the last one, comes to this.
    Analyse(Analysis, Outcome),
    /// An operator makes its next write; planning, if it has to.
    Step(Operator),
    /// An operator makes its next write, and its answer is lost.
    Unanswered(Operator),
    /// An operator works until it rests.
    Run(Operator),
    /// An operator dies, with all that it remembers.
    Die(Operator),
    /// A watch of an operator stands still.
    Freeze(Operator, Cache),
    /// All its watches catch up.
    Thaw(Operator),
    /// An operator's clock is so many seconds ahead.
    Skew(Operator, u8),
    /// The scale-down controller looks at all sets.
    ScaleDown,
    /// It looks at one, reads the Services, and is about to write.
    ScaleDownBegins(Version),
    /// It makes that write.
    ScaleDownEnds,
    /// The API server refuses writes.
    Refuse(Refused),
    /// There is no room for more pods, or there is again.
    Room(Room),
    /// The status is deleted.
    LoseStatus,
    /// Somebody makes a backup of the status.
    BackUp,
    /// Somebody writes the status of the last backup back.
    Restore,
    /// The operators are those of an earlier version until now, which kept less in the record, and are of this one from now on.
    Upgrade,
    /// Time passes.
    Seconds(u8),
    /// The rollout is deleted.
    Delete(Deletion),
    /// A rollout of the same name is made, after the one before is gone.
    Recreate,
    /// A tenant makes a ReplicaSet that looks as if it were this version's, without an owner.
    Plant(Version),
    /// The garbage collector works.
    Collect,
    /// A second rollout wants our active Service.
    Rival(Rival),
    /// The Deployment of `workloadRef` is created, with two pods.
    CreateWorkload,
    /// It is deleted, with its pods.
    DeleteWorkload,
    /// All pods come up, the endpoints follow and operator A works, until nothing is left to do at this moment.
    Calm,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Template(version) => write!(f, "template:{version}"),
            Event::Scale(count) => write!(f, "scale:{count}"),
            Event::Release(version, count) => write!(f, "release:{version}:{count}"),
            Event::Set(field, value) => write!(f, "set:{field}:{value}"),
            Event::Ask(verb, Some(version), by) => write!(f, "ask:{verb}:{version}:{by}"),
            Event::Ask(verb, None, by) => write!(f, "type:{verb}:{by}"),
            Event::UndoTo(version, to) => write!(f, "undo-to:{version}:{to}"),
            Event::DeleteService(name) => write!(f, "delete-service:{name}"),
            Event::CreateService(name) => write!(f, "create-service:{name}"),
            Event::SelectTier(name, on) => write!(f, "select-tier:{name}:{}", u8::from(*on)),
            Event::MoveByHand(name, Some(version)) => write!(f, "by-hand:{name}:{version}"),
            Event::MoveByHand(name, None) => write!(f, "by-hand-nonsense:{name}"),
            Event::LoseHash(name) => write!(f, "lose-hash:{name}"),
            Event::DeleteSet(version) => write!(f, "delete-set:{version}"),
            Event::DrainSet(version) => write!(f, "drain-set:{version}"),
            Event::ScaleByHand(version, count) => write!(f, "scale-by-hand:{version}:{count}"),
            Event::Forge(version, forgery) => write!(f, "forge:{version}:{forgery}"),
            Event::Pods(version, count) => write!(f, "pods:{version}:{count}"),
            Event::PodsGone(version) => write!(f, "pods-gone:{version}"),
            Event::Recount(version) => write!(f, "recount:{version}"),
            Event::Endpoints(name) => write!(f, "endpoints:{name}"),
            Event::HalfEndpoints(name) => write!(f, "half-endpoints:{name}"),
            Event::Analyse(analysis, outcome) => write!(f, "analysis:{analysis}:{outcome}"),
            Event::Step(operator) => write!(f, "step:{operator}"),
            Event::Unanswered(operator) => write!(f, "unanswered:{operator}"),
            Event::Run(operator) => write!(f, "run:{operator}"),
            Event::Die(operator) => write!(f, "die:{operator}"),
            Event::Freeze(operator, cache) => write!(f, "freeze:{operator}:{cache}"),
            Event::Thaw(operator) => write!(f, "thaw:{operator}"),
            Event::Skew(operator, seconds) => write!(f, "skew:{operator}:{seconds}"),
            Event::ScaleDown => f.write_str("scale-down"),
            Event::ScaleDownBegins(version) => write!(f, "scale-down-begins:{version}"),
            Event::ScaleDownEnds => f.write_str("scale-down-ends"),
            Event::Refuse(refused) => write!(f, "refuse:{refused}"),
            Event::Room(room) => write!(f, "room:{room}"),
            Event::LoseStatus => f.write_str("lose-status"),
            Event::BackUp => f.write_str("back-up"),
            Event::Restore => f.write_str("restore"),
            Event::Upgrade => f.write_str("upgrade"),
            Event::Seconds(seconds) => write!(f, "seconds:{seconds}"),
            Event::Delete(deletion) => write!(f, "delete:{deletion}"),
            Event::Rival(rival) => write!(f, "rival:{rival}"),
            Event::Recreate => f.write_str("recreate"),
            Event::Plant(version) => write!(f, "plant:{version}"),
            Event::Collect => f.write_str("collect"),
            Event::CreateWorkload => f.write_str("create-workload"),
            Event::DeleteWorkload => f.write_str("delete-workload"),
            Event::Calm => f.write_str("calm"),
        }
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Event, String> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let number = |word: &str| word.parse::<u8>().map_err(|_| format!("{word:?} in {text:?} is no small number"));
        let event = match parts.as_slice() {
            ["template", version] => Event::Template(version.parse()?),
            ["scale", count] => Event::Scale(number(count)?),
            ["release", version, count] => Event::Release(version.parse()?, number(count)?),
            ["set", field, value] => Event::Set(field.parse()?, number(value)?),
            ["ask", verb, version, by] => Event::Ask(verb.parse()?, Some(version.parse()?), by.parse()?),
            ["type", verb, by] => Event::Ask(verb.parse()?, None, by.parse()?),
            ["undo-to", version, to] => Event::UndoTo(version.parse()?, to.parse()?),
            ["delete-service", name] => Event::DeleteService(name.parse()?),
            ["create-service", name] => Event::CreateService(name.parse()?),
            ["select-tier", name, on] => Event::SelectTier(name.parse()?, number(on)? > 0),
            ["by-hand", name, version] => Event::MoveByHand(name.parse()?, Some(version.parse()?)),
            ["by-hand-nonsense", name] => Event::MoveByHand(name.parse()?, None),
            ["lose-hash", name] => Event::LoseHash(name.parse()?),
            ["delete-set", version] => Event::DeleteSet(version.parse()?),
            ["drain-set", version] => Event::DrainSet(version.parse()?),
            ["scale-by-hand", version, count] => Event::ScaleByHand(version.parse()?, number(count)?),
            ["forge", version, forgery] => Event::Forge(version.parse()?, forgery.parse()?),
            ["pods", version, count] => Event::Pods(version.parse()?, number(count)?),
            ["pods-gone", version] => Event::PodsGone(version.parse()?),
            ["recount", version] => Event::Recount(version.parse()?),
            ["endpoints", name] => Event::Endpoints(name.parse()?),
            ["half-endpoints", name] => Event::HalfEndpoints(name.parse()?),
            ["analysis", analysis, outcome] => Event::Analyse(analysis.parse()?, outcome.parse()?),
            ["step", operator] => Event::Step(operator.parse()?),
            ["unanswered", operator] => Event::Unanswered(operator.parse()?),
            ["run", operator] => Event::Run(operator.parse()?),
            ["die", operator] => Event::Die(operator.parse()?),
            ["freeze", operator, cache] => Event::Freeze(operator.parse()?, cache.parse()?),
            ["thaw", operator] => Event::Thaw(operator.parse()?),
            ["skew", operator, seconds] => Event::Skew(operator.parse()?, number(seconds)?),
            ["scale-down"] => Event::ScaleDown,
            ["scale-down-begins", version] => Event::ScaleDownBegins(version.parse()?),
            ["scale-down-ends"] => Event::ScaleDownEnds,
            ["refuse", refused] => Event::Refuse(refused.parse()?),
            ["room", room] => Event::Room(room.parse()?),
            ["lose-status"] => Event::LoseStatus,
            ["back-up"] => Event::BackUp,
            ["restore"] => Event::Restore,
            ["upgrade"] => Event::Upgrade,
            ["seconds", seconds] => Event::Seconds(number(seconds)?),
            ["delete", deletion] => Event::Delete(deletion.parse()?),
            ["rival", rival] => Event::Rival(rival.parse()?),
            ["recreate"] => Event::Recreate,
            ["plant", version] => Event::Plant(version.parse()?),
            ["collect"] => Event::Collect,
            ["create-workload"] => Event::CreateWorkload,
            ["delete-workload"] => Event::DeleteWorkload,
            ["calm"] => Event::Calm,
            _ => return Err(format!("{text:?} is no event")),
        };
        Ok(event)
    }
}

impl Event {
    /// The event in words.
    pub fn told(&self) -> String {
        match self {
            Event::Template(Version::REFUSED) => "the spec asks for v5, which the API server refuses".to_owned(),
            Event::Template(Version::UNLABELLED) => "the spec asks for v6, which lacks the label tier".to_owned(),
            Event::Template(Version::MISFIT) => "the Deployment has v7, which lacks the label app".to_owned(),
            Event::Template(version) => format!("the spec asks for {version}"),
            Event::Scale(count) => format!("the spec asks for {count} pods"),
            Event::Release(version, count) => format!("the spec asks for {version} and {count} pods at once"),
            Event::Set(Field::Exchange, _) => "the spec exchanges activeService and previewService".to_owned(),
            Event::Set(field @ (Field::ActiveService | Field::PreviewService), number) => {
                let name = Name::ALL.get(usize::from(*number)).map_or("nothing", |name| name.word());
                format!("the spec sets {field} to {name}")
            }
            Event::Set(Field::RestartAt, seconds) => format!("the spec asks for a restart {seconds} s from now"),
            Event::Set(Field::WorkloadRef, value) => {
                let modes = ["no Deployment", "scaleDown: never", "scaleDown: onsuccess", "scaleDown: progressively"];
                format!("the spec names a Deployment for its template ({})", modes[usize::from(*value).min(3)])
            }
            Event::Set(Field::DualStack, value) => format!("the Services have {} IP families", value + 1),
            Event::Set(field, value) => format!("the spec sets {field} to {value}"),
            Event::Ask(verb, Some(version), by) => format!("{by} asks for {verb} of {version}"),
            Event::Ask(verb, None, by) => format!("{by} types {verb}"),
            Event::UndoTo(version, to) => format!("ann asks for rollback of {version} to {to}"),
            Event::DeleteService(name) => format!("Service {name} is deleted"),
            Event::CreateService(name) => format!("Service {name} is created, without a hash"),
            Event::SelectTier(name, true) => format!("Service {name} asks for the label tier too"),
            Event::SelectTier(name, false) => format!("Service {name} does not ask for the label tier any more"),
            Event::MoveByHand(name, Some(version)) => format!("a person moves Service {name} to {version} by hand"),
            Event::MoveByHand(name, None) => format!("a person points Service {name} at a hash that does not exist"),
            Event::LoseHash(name) => format!("a server-side apply takes the hash out of Service {name}"),
            Event::DeleteSet(version) => format!("somebody deletes the ReplicaSet of {version}"),
            Event::DrainSet(version) => format!("somebody deletes the ReplicaSet of {version} in the foreground"),
            Event::ScaleByHand(version, count) => format!("somebody scales the ReplicaSet of {version} to {count}"),
            Event::Forge(version, forgery) => format!("a tenant forges {forgery} on the ReplicaSet of {version}"),
            Event::Pods(version, count) => format!("at most {count} pods of {version} are ready"),
            Event::PodsGone(version) => format!("the pods of {version} are gone"),
            Event::Recount(version) => format!("the pods of {version} are counted as they were before"),
            Event::Endpoints(name) => format!("the endpoints of Service {name} catch up"),
            Event::HalfEndpoints(name) => format!("the endpoints of Service {name} catch up in one IP family"),
            Event::Analyse(analysis, Outcome::Deleted) => format!("somebody deletes the {analysis}-promotion analysis"),
            Event::Analyse(analysis, outcome) => format!("the {analysis}-promotion analysis ends: {outcome}"),
            Event::Step(operator) => format!("operator {operator} makes its next write"),
            Event::Unanswered(operator) => format!("operator {operator} makes its next write, whose answer is lost"),
            Event::Run(operator) => format!("operator {operator} works until it rests"),
            Event::Die(operator) => format!("operator {operator} dies"),
            Event::Freeze(operator, cache) => format!("operator {operator} hears nothing of {cache} any more"),
            Event::Thaw(operator) => format!("operator {operator} hears of everything again"),
            Event::Skew(operator, seconds) => format!("the clock of operator {operator} is {seconds} s ahead"),
            Event::ScaleDown => "the scale-down controller looks at every ReplicaSet".to_owned(),
            Event::ScaleDownBegins(version) => {
                format!("the scale-down controller has looked at {version} and the Services, and is about to write")
            }
            Event::ScaleDownEnds => "the scale-down controller makes that write".to_owned(),
            Event::Refuse(Refused::Nothing) => "the API server refuses nothing any more".to_owned(),
            Event::Refuse(refused) => format!("the API server refuses writes: {refused}"),
            Event::Room(Room::Nodes) => "the nodes are full: there is room for the pods that there are".to_owned(),
            Event::Room(Room::Quota) => "a quota is used up by the pods that there are".to_owned(),
            Event::Room(Room::Enough) => "there is room for all pods again".to_owned(),
            Event::LoseStatus => "the status is deleted".to_owned(),
            Event::BackUp => "somebody makes a backup of the status".to_owned(),
            Event::Restore => "somebody writes the status of that backup back".to_owned(),
            Event::Upgrade => "the operators are replaced: those of before kept less in the record".to_owned(),
            Event::Seconds(seconds) => format!("{seconds} s pass"),
            Event::Delete(deletion) => format!("the rollout is deleted ({deletion})"),
            Event::Rival(Rival::Precedes) => "an older rollout names our active Service".to_owned(),
            Event::CreateWorkload => "the Deployment is created, with two pods".to_owned(),
            Event::DeleteWorkload => "the Deployment is deleted".to_owned(),
            Event::Rival(Rival::Appears) => "a second rollout names our active Service".to_owned(),
            Event::Rival(Rival::Moves) => "the operator of the second rollout moves that Service".to_owned(),
            Event::Rival(Rival::Goes) => "the second rollout is deleted".to_owned(),
            Event::Recreate => "a rollout of the same name is made, if the one before is gone".to_owned(),
            Event::Plant(version) => format!("a tenant makes a ReplicaSet of {version} that is nobody's"),
            Event::Collect => "the garbage collector works".to_owned(),
            Event::Calm => {
                "pods come up, endpoints follow and the operator works, until nothing is left to do".to_owned()
            }
        }
    }
}

/// A history as one word for the command line.
pub fn write_trace(events: &[Event]) -> String {
    events.iter().map(Event::to_string).collect::<Vec<_>>().join(",")
}

/// Reads a history back.
///
/// # Errors
/// When one of its words is no event.
pub fn read_trace(text: &str) -> Result<Vec<Event>, String> {
    text.split(',').filter(|word| !word.trim().is_empty()).map(Event::from_str).collect()
}

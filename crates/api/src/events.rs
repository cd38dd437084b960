//! Reasons of the events of a rollout, besides those of `Stalled` in [`crate::conditions`]. They are API: they do not change within a
//! version.

/// The operator created a ReplicaSet for a new template.
pub const REVISION_CREATED: &str = "RevisionCreated";
/// A revision is available in preview and waits for its promotion.
pub const PREVIEW_READY: &str = "PreviewReady";
/// A promotion is complete: the EndpointSlices confirm the switch.
pub const PROMOTED: &str = "Promoted";
/// Production is back on an earlier revision: the EndpointSlices confirm it. The revision that it left is rejected, or somebody deleted its ReplicaSet.
pub const ROLLED_BACK: &str = "RolledBack";
/// Somebody moved an active Service by hand to where production cannot be, and the operator moved it back; the note says why.
pub const MOVED_BACK: &str = "MovedBack";
/// A person or an analysis rejected a revision that does not serve.
pub const REVISION_REJECTED: &str = "RevisionRejected";
/// The operator cannot do what a person requested; the note names the reason.
pub const REQUEST_REFUSED: &str = "RequestRefused";
/// The rollout stalled for a reason that has no event of its own; the note names it.
pub const STALLED: &str = "Stalled";

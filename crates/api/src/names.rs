//! The names by which Greenlight marks the objects that it works on. All are public: tools may read them.

/// Label that tells the pods of one revision from another's; on ReplicaSets, pods and Service selectors. The same name as in
/// Argo Rollouts, so that dashboards and network policies keep working.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// The field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "greenlight";

/// On a rollout: what a person asked for last, see [`crate::Request`].
pub const REQUEST: &str = "greenlight.dev/request";

/// On a ReplicaSet: the revision number, counted from 1. A template that comes back gets a new number.
pub const REVISION: &str = "greenlight.dev/revision";

/// On a ReplicaSet: the full digest of its pod template; [`HASH_LABEL`] is a short form of it that could collide.
pub const TEMPLATE_DIGEST: &str = "greenlight.dev/template-digest";

/// On a ReplicaSet: `spec.replicas` of the rollout that this set was last meant to serve. A revision keeps its own number until
/// it is promoted, so that a release that changes template and scale together does not touch production before its time.
pub const DESIRED_REPLICAS: &str = "greenlight.dev/desired-replicas";

/// On a ReplicaSet: when the operator last changed its size (RFC 3339). The progress deadline counts from here.
pub const SCALED_AT: &str = "greenlight.dev/scaled-at";

/// On a ReplicaSet: when its preview became available (RFC 3339). `autoPromotionSeconds` counts from here.
pub const PREVIEW_READY_AT: &str = "greenlight.dev/preview-ready-at";

/// On a ReplicaSet: when it last passed the gate and was given the active Service (RFC 3339). Only a set that has this is
/// something to roll back to.
pub const PROMOTED_AT: &str = "greenlight.dev/promoted-at";

/// On a ReplicaSet: pods created before this time (RFC 3339) are being replaced.
pub const RESTART_AT: &str = "greenlight.dev/restart-at";

/// On a ReplicaSet: no pod is older than the restart asked for at this time (RFC 3339).
pub const RESTARTED_AT: &str = "greenlight.dev/restarted-at";

/// On a ReplicaSet: the pod that a restart evicts next. The one after it is chosen when this one has gone.
pub const EVICTING: &str = "greenlight.dev/evicting";

/// On a ReplicaSet: it needs no gate and no analysis: it came back while it was still up, or a person said so.
pub const RETURNED: &str = "greenlight.dev/returned";

/// On a ReplicaSet: who approves of its promotion so far; a JSON list of [`crate::Approval`].
pub const APPROVALS: &str = "greenlight.dev/approvals";

/// On a ReplicaSet: a person or the operator rejected this revision; the value is a JSON [`crate::Rejection`].
pub const REJECTED: &str = "greenlight.dev/rejected";

/// On a ReplicaSet: the request that stood in [`REQUEST`] when this revision was asked for or last acted on. It was meant
/// for something else, or is done: it is not carried out on this revision (again), even when `status` is lost.
pub const SEEN_REQUEST: &str = "greenlight.dev/seen-request";

/// On a retired ReplicaSet: when it is to be scaled down (RFC 3339).
pub const SCALE_DOWN_AT: &str = "greenlight.dev/scale-down-at";

/// On a retired ReplicaSet: how many pods it keeps until then; all of them if absent.
pub const RETIRED_REPLICAS: &str = "greenlight.dev/retired-replicas";

/// On the active ReplicaSet: since when none of its pods is available, while the one before still runs (RFC 3339).
pub const UNAVAILABLE_SINCE: &str = "greenlight.dev/unavailable-since";

/// On a ReplicaSet: the labels and annotations that its pods carry only for their role; a JSON [`crate::PodMetadata`].
pub const ROLE_METADATA: &str = "greenlight.dev/role-metadata";

/// Label, on pods and for a time on Service selectors: these pods serve, or are about to. With `switchMode: Overlap` the active
/// Services select it, in the place of a hash, while both revisions serve.
pub const SERVING_LABEL: &str = "greenlight.dev/serving";

/// On the active ReplicaSet: when its overlap with the one before was over (RFC 3339).
pub const OVERLAPPED_AT: &str = "greenlight.dev/overlapped-at";

/// What a Service selects in the place of a hash when it is to select nothing.
pub const NO_HASH: &str = "none";

/// On a ReplicaSet: how often its revision was started over. Each attempt has analysis runs of its own.
pub const ATTEMPT: &str = "greenlight.dev/attempt";

/// On an AnalysisRun: the rollout that it is for.
pub const ROLLOUT: &str = "greenlight.dev/rollout";

/// Finalizer on a retired ReplicaSet: keeps its pods until [`SCALE_DOWN_AT`] even when the set is deleted by hand.
pub const SCALE_DOWN_FINALIZER: &str = "greenlight.dev/scale-down-delay";

/// Finalizer on a rollout: its Services still select a hash that dies with it.
pub const SERVICES_FINALIZER: &str = "greenlight.dev/services";

/// On a Service: the rollout that moves its selector.
pub const MANAGED_BY: &str = "greenlight.dev/managed-by";

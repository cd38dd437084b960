//! The names by which Greenlight marks the objects that it works on. All are public: tools may read them.

/// Label that tells the pods of one revision from another's; on ReplicaSets, pods and Service selectors. The same name as in
/// Argo Rollouts, so that dashboards and network policies keep working.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// The field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "greenlight";

/// On a rollout: the last request of a person, a verb and a hash, or a JSON [`crate::Request`].
pub const REQUEST: &str = "greenlight.dev/request";

/// On a ReplicaSet: the revision number, counted from 1. A template that comes back gets a new number.
pub const REVISION: &str = "greenlight.dev/revision";

/// On a ReplicaSet: the full digest of its pod template; [`HASH_LABEL`] is a short form of it and of the rollout's name that could collide.
pub const TEMPLATE_DIGEST: &str = "greenlight.dev/template-digest";

/// On a ReplicaSet: `spec.replicas` of the rollout that this set was last meant to serve. A revision keeps its own number until
/// it is promoted, so that a release that changes template and scale together does not touch production before its time.
pub const DESIRED_REPLICAS: &str = "greenlight.dev/desired-replicas";

/// On a ReplicaSet: when the operator last changed its size (RFC 3339). The progress deadline counts from here.
pub const SCALED_AT: &str = "greenlight.dev/scaled-at";

/// On a ReplicaSet: when its preview became available (RFC 3339), where `autoPromotionSeconds` counts from there. A note for people:
/// what counts stands in `status.decisions`.
pub const PREVIEW_READY_AT: &str = "greenlight.dev/preview-ready-at";

/// On a ReplicaSet: when it was last about to be given the active Services (RFC 3339). A note for people: that it really served
/// stands in `status.decisions`.
pub const PROMOTED_AT: &str = "greenlight.dev/promoted-at";

/// On a ReplicaSet: pods created before this time (RFC 3339) are being replaced.
pub const RESTART_AT: &str = "greenlight.dev/restart-at";

/// On a ReplicaSet: no pod is older than the restart asked for at this time (RFC 3339).
pub const RESTARTED_AT: &str = "greenlight.dev/restarted-at";

/// On a ReplicaSet: the pod that a restart evicts next. The one after it is chosen when this one has gone.
pub const EVICTING: &str = "greenlight.dev/evicting";

/// On a ReplicaSet: a person or the operator rejected this revision; the value is a JSON [`crate::Rejection`]. A mirror of what
/// stands in `status.decisions`, for the case that the status is lost; otherwise it is not read.
pub const REJECTED: &str = "greenlight.dev/rejected";

/// On a retired ReplicaSet: when it is to be scaled down (RFC 3339).
pub const SCALE_DOWN_AT: &str = "greenlight.dev/scale-down-at";

/// On a retired ReplicaSet: how many pods it keeps until then; all of them if absent.
pub const RETIRED_REPLICAS: &str = "greenlight.dev/retired-replicas";

/// On a ReplicaSet: the labels and annotations that its pods carry only for their role; a JSON [`crate::PodMetadata`].
pub const ROLE_METADATA: &str = "greenlight.dev/role-metadata";

/// In the annotations of [`ROLE_METADATA`]: the pods are being changed. Some of them may carry what is noted, and others not.
pub const UNSETTLED: &str = "greenlight.dev/unsettled";

/// Label, on pods and for a time on Service selectors: these pods serve, or are about to. With `switchMode: Overlap` the active
/// Services select it, in the place of a hash, while both revisions serve.
pub const SERVING_LABEL: &str = "greenlight.dev/serving";

/// On a ReplicaSet: when it was last confirmed to be as it was read, before a Service was put back on it (RFC 3339).
pub const CONFIRMED_AT: &str = "greenlight.dev/confirmed-at";

/// On a ReplicaSet: the resourceVersion of the rollout that its last change was planned from. An operator whose picture of the
/// rollout is older plans nothing before it has read it again, so that it never acts on what another one has decided against since.
pub const PLANNED_FROM: &str = "greenlight.dev/planned-from";

/// What a Service selects in the place of a hash when it is to select nothing.
pub const NO_HASH: &str = "none";

/// On an AnalysisRun: the rollout that it is for.
pub const ROLLOUT: &str = "greenlight.dev/rollout";

/// Label of the Secrets that analyses may read, where the chart says that a label decides: `true`.
pub const READABLE_SECRET: &str = "greenlight.dev/analysis";

/// Label of the Jobs of analyses, by which they are watched.
pub const ANALYSIS_JOB: &str = "greenlight.dev/analysis-job";
/// Finalizer on a retired ReplicaSet: keeps its pods until [`SCALE_DOWN_AT`] even when the set is deleted by hand.
pub const SCALE_DOWN_FINALIZER: &str = "greenlight.dev/scale-down-delay";

/// Finalizer on a rollout: its Services still select a hash that dies with it.
pub const SERVICES_FINALIZER: &str = "greenlight.dev/services";

/// On a Service: the rollout that moves its selector.
pub const MANAGED_BY: &str = "greenlight.dev/managed-by";

/// On a Service: the Argo Rollout that moves its selector. Argo Rollouts' controller writes it with the first move and takes it away
/// together with its hash.
pub const MANAGED_BY_ARGO: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";

/// On a Service that carries production: the hash of the revision that the operator gave it last. So a move by somebody else is
/// told from one of the operator's own that was not recorded before it died, and a Service that carried production is never used
/// as a preview.
pub const PRODUCTION: &str = "greenlight.dev/production";

/// On an active Service: the claims ([`PROMOTED_AT`]) that nobody follows any more, as `<hash>@<time>`. Written so that whoever still
/// holds the Service as it was when one of them was made can no longer move it there.
pub const WITHDRAWN: &str = "greenlight.dev/withdrawn";

/// Annotations of ReplicaSets that versions without a record wrote. They are read once, when such a version's status is taken over;
/// since then their meaning stands in `status.decisions`.
pub mod before_the_record {
    /// It needs no gate and no analysis.
    pub const RETURNED: &str = "greenlight.dev/returned";
    /// Who approves of its promotion; a JSON list of [`crate::Approval`].
    pub const APPROVALS: &str = "greenlight.dev/approvals";
    /// Since when none of its pods is available.
    pub const UNAVAILABLE_SINCE: &str = "greenlight.dev/unavailable-since";
    /// How often its revision was started over.
    pub const ATTEMPT: &str = "greenlight.dev/attempt";
}

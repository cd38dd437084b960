//! The names by which Greenlight marks the objects that it works on. All are public: tools may read them.

/// Label that tells the pods of one revision from another's; on ReplicaSets, pods and Service selectors. The same name as in
/// Argo Rollouts, so that dashboards and network policies keep working.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// The field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "greenlight";

/// On a rollout: the last request of a person. It is a verb and a hash, or a JSON [`crate::Request`].
pub const REQUEST: &str = "greenlight.dev/request";

/// On a rollout: the reason that somebody gave for `pause`, `resume` or `set image`, and who it was. Only people read it.
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// On a ReplicaSet: the revision number, counted from 1. A template that returns gets a new number.
pub const REVISION: &str = "greenlight.dev/revision";

/// On a ReplicaSet: the full digest of its pod template. [`HASH_LABEL`] is a short form of the digest and the rollout's name.
pub const TEMPLATE_DIGEST: &str = "greenlight.dev/template-digest";

/// On a ReplicaSet: the number of pods that its revision should have when it serves. If the template and `spec.replicas` change
/// together, the new number belongs to the new revision, and production keeps its own until the promotion.
pub const DESIRED_REPLICAS: &str = "greenlight.dev/desired-replicas";

/// On a ReplicaSet: when the operator last changed its size (RFC 3339). The progress deadline counts from here.
pub const SCALED_AT: &str = "greenlight.dev/scaled-at";

/// On a ReplicaSet: when its preview became ready (RFC 3339), if `autoPromotionSeconds` is set. It is for people: the operator uses
/// `status.decisions`.
pub const PREVIEW_READY_AT: &str = "greenlight.dev/preview-ready-at";

/// On a ReplicaSet: when the operator was last about to point the active Services at it (RFC 3339). Whether it served is in
/// `status.decisions`.
pub const PROMOTED_AT: &str = "greenlight.dev/promoted-at";

/// On a ReplicaSet: the operator replaces pods that were created before this time (RFC 3339).
pub const RESTART_AT: &str = "greenlight.dev/restart-at";

/// On a ReplicaSet: the restart that was requested at this time (RFC 3339) is complete.
pub const RESTARTED_AT: &str = "greenlight.dev/restarted-at";

/// On a ReplicaSet: the pod that a restart evicts next. When it is gone, or may not go, the operator chooses another one.
pub const EVICTING: &str = "greenlight.dev/evicting";

/// On a ReplicaSet: a person or the operator rejected this revision. The value is a JSON [`crate::Rejection`], a copy of the one in
/// `status.decisions`. The operator reads it only if the status was lost. On an active Service: the rejections that were not in
/// `status.decisions` before the last move, such as the reason for that move. The value is a JSON map from hashes to rejections, and is written
/// with the move: so an undo moves production before it writes anything else. The operator reads it until the status shows that move, and
/// if the status was lost.
pub const REJECTED: &str = "greenlight.dev/rejected";

/// On a retired ReplicaSet: when the operator scales it down (RFC 3339).
pub const SCALE_DOWN_AT: &str = "greenlight.dev/scale-down-at";

/// On a retired ReplicaSet: the number of pods that it keeps until then. Without it, all of them.
pub const RETIRED_REPLICAS: &str = "greenlight.dev/retired-replicas";

/// On a ReplicaSet: the labels and annotations that its pods have only because of their role. The value is a JSON [`crate::PodMetadata`].
pub const ROLE_METADATA: &str = "greenlight.dev/role-metadata";

/// In the annotations of [`ROLE_METADATA`]: the operator changes the pods. Some of them have the new labels and others do not yet.
pub const UNSETTLED: &str = "greenlight.dev/unsettled";

/// Label on pods: they serve, or are about to. With `switchMode: Overlap` the active Services select this label instead of a hash
/// while both revisions serve.
pub const SERVING_LABEL: &str = "greenlight.dev/serving";

/// On a ReplicaSet: when the operator last checked it before it pointed a Service at it again (RFC 3339).
pub const CONFIRMED_AT: &str = "greenlight.dev/confirmed-at";

/// On a ReplicaSet: the resourceVersion of the rollout from which its last change was planned. An operator that knows only an older
/// version of the rollout reads it again before it plans. So it does not act against a later decision of another operator.
pub const PLANNED_FROM: &str = "greenlight.dev/planned-from";

/// The value of the hash in a Service's selector if the Service should select no pods.
pub const NO_HASH: &str = "none";

/// On an AnalysisRun: the rollout that it belongs to.
pub const ROLLOUT: &str = "greenlight.dev/rollout";

/// Label of Secrets that analyses may read, with the value `true`. The chart's value `analysis.secrets` decides whether it counts.
pub const READABLE_SECRET: &str = "greenlight.dev/analysis";

/// Label of the Jobs of analyses. The operator watches Jobs with this label.
pub const ANALYSIS_JOB: &str = "greenlight.dev/analysis-job";
/// Finalizer on a retired ReplicaSet: its pods stay until [`SCALE_DOWN_AT`], even if somebody deletes the ReplicaSet.
pub const SCALE_DOWN_FINALIZER: &str = "greenlight.dev/scale-down-delay";

/// Finalizer on a rollout: before the rollout is deleted, the operator takes its hash out of the Services.
pub const SERVICES_FINALIZER: &str = "greenlight.dev/services";

/// On a Service: the rollout that controls its selector.
pub const MANAGED_BY: &str = "greenlight.dev/managed-by";

/// On a Service: the Argo Rollout that controls its selector. Argo Rollouts' controller writes it with the first move, and removes it
/// together with its hash.
pub const MANAGED_BY_ARGO: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";

/// On a Service that carries production: the hash that the operator last wrote into its selector. So the operator can tell a move by
/// somebody else from a move of its own that it did not record before it stopped. A Service with this annotation is never used as a
/// preview.
pub const PRODUCTION: &str = "greenlight.dev/production";

/// On an active Service: claims ([`PROMOTED_AT`]) that do not count any more, as `<hash>@<time>`. Writing it changes the Service, so an
/// operator with an older copy of the Service can no longer move it to one of these revisions.
pub const WITHDRAWN: &str = "greenlight.dev/withdrawn";

/// Every annotation that the operator writes on ReplicaSets, or that a version without a record wrote there.
pub const ON_REPLICA_SETS: [&str; 19] = [
    REVISION,
    TEMPLATE_DIGEST,
    DESIRED_REPLICAS,
    SCALED_AT,
    PREVIEW_READY_AT,
    PROMOTED_AT,
    RESTART_AT,
    RESTARTED_AT,
    EVICTING,
    REJECTED,
    SCALE_DOWN_AT,
    RETIRED_REPLICAS,
    ROLE_METADATA,
    CONFIRMED_AT,
    PLANNED_FROM,
    before_the_record::RETURNED,
    before_the_record::APPROVALS,
    before_the_record::UNAVAILABLE_SINCE,
    before_the_record::ATTEMPT,
];

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

//! Condition types and reasons of a `BlueGreenRollout`. `Ready`, `Reconciling` and `Stalled` follow kstatus, so that
//! `kubectl wait`, Flux and others understand them without being taught. Reasons are API: they do not change within a version.

/// True when the active Service provably serves what the spec asks for, at full size.
pub const READY: &str = "Ready";
/// True while the operator works or waits for pods, a timer or a person. Absent otherwise (kstatus: abnormal-true).
pub const RECONCILING: &str = "Reconciling";
/// True when nothing will move until somebody acts. Absent otherwise (kstatus: abnormal-true).
pub const STALLED: &str = "Stalled";
/// True when the active ReplicaSet has as many available pods as it should.
pub const AVAILABLE: &str = "Available";
/// True while a revision is ready in preview and waits for a person or a timer.
pub const PAUSED: &str = "Paused";

/// Everything asked for is served, and proven so.
pub const REASON_HEALTHY: &str = "Healthy";
/// Pods of a revision are starting.
pub const REASON_PROGRESSING: &str = "Progressing";
/// The active Service was moved, its EndpointSlices do not show it yet. If it lasts: is the EndpointSlice controller running,
/// and does the Service's own selector match the pods?
pub const REASON_PROVING: &str = "ProvingSwitch";
/// A revision is ready in preview and waits for `promote`.
pub const REASON_AWAITING_PROMOTION: &str = "AwaitingPromotion";
/// A revision is ready in preview and will be promoted when `autoPromotionSeconds` have passed.
pub const REASON_AWAITING_TIMER: &str = "AwaitingAutoPromotion";
/// `spec.paused` holds the promotion back.
pub const REASON_PAUSED: &str = "PausedBySpec";
/// The pre-promotion analysis of a revision is under way.
pub const REASON_PRE_PROMOTION_ANALYSIS: &str = "PrePromotionAnalysis";
/// The post-promotion analysis of the active revision is under way.
pub const REASON_POST_PROMOTION_ANALYSIS: &str = "PostPromotionAnalysis";
/// An analysis came to no conclusion: a person says promote, abort or undo.
pub const REASON_INCONCLUSIVE: &str = "AnalysisInconclusive";
/// An analysis cannot begin: a template does not exist, or an argument has no value. Heals when that is mended.
pub const REASON_ANALYSIS_REFUSED: &str = "AnalysisRefused";
/// The pods of the active revision are replaced one by one.
pub const REASON_RESTARTING: &str = "Restarting";
/// Traffic is moving back to an earlier revision.
pub const REASON_ROLLING_BACK: &str = "RollingBack";
/// The spec asks for a revision that was rejected. Ends with a new template, with `retry`, or when the spec goes back to the
/// revision that is serving.
pub const REASON_REJECTED: &str = "RevisionRejected";
/// A revision made no progress for `progressDeadlineSeconds`. The message names the pod and its own reason. Heals by itself
/// when the pods become available.
pub const REASON_DEADLINE: &str = "ProgressDeadlineExceeded";
/// A Service that the spec names does not exist. Heals when it is created.
pub const REASON_SERVICE_MISSING: &str = "ServiceMissing";
/// A Service that the spec names is moved by another rollout. Give each rollout Services of its own.
pub const REASON_SERVICE_CLAIMED: &str = "ServiceClaimed";
/// A Service's selector asks for labels that the pod template does not have, so it would select nothing.
pub const REASON_SERVICE_MISMATCH: &str = "ServiceSelectorMismatch";
/// The Deployment that `workloadRef` names does not exist. Heals when it is created.
pub const REASON_WORKLOAD_MISSING: &str = "WorkloadMissing";
/// The labels of the Deployment's template do not match `spec.selector`.
pub const REASON_WORKLOAD_MISMATCH: &str = "WorkloadSelectorMismatch";
/// The API server refuses a write that something waits for (a policy, a webhook, a missing right); the message is the server's.
/// It is tried again every few seconds, and heals with the first that succeeds.
pub const REASON_WRITE_REFUSED: &str = "WriteRefused";
/// The API server refused the ReplicaSet of this template; the message is the server's. Heals with a corrected template.
pub const REASON_TEMPLATE_REFUSED: &str = "TemplateRefused";
/// The operator cannot read this object, and leaves it as it is; the message names the field. Heals when the field is corrected.
pub const REASON_UNREADABLE: &str = "Unreadable";

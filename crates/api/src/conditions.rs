//! Condition types and reasons of a `BlueGreenRollout`. `Ready`, `Reconciling` and `Stalled` follow kstatus, so that
//! `kubectl wait`, Flux and others understand them without being taught. Reasons are API: they do not change within a version.

/// True when the requested revision serves traffic at full size, confirmed by EndpointSlices.
pub const READY: &str = "Ready";
/// True while the operator works or waits for pods, a timer or a person. Absent otherwise (kstatus: abnormal-true).
pub const RECONCILING: &str = "Reconciling";
/// True when nothing changes until somebody acts. Absent otherwise (kstatus: abnormal-true).
pub const STALLED: &str = "Stalled";
/// True when the active ReplicaSet has as many available pods as it should.
pub const AVAILABLE: &str = "Available";
/// True while a revision is ready in preview and waits for a person or a timer.
pub const PAUSED: &str = "Paused";

/// The requested revision serves traffic, confirmed by EndpointSlices.
pub const REASON_HEALTHY: &str = "Healthy";
/// Pods of a revision are starting.
pub const REASON_PROGRESSING: &str = "Progressing";
/// The operator moved the active Service, and its EndpointSlices do not confirm it yet; with the phase `Degraded`, not for
/// `progressDeadlineSeconds`. If it lasts, check that the EndpointSlice controller runs and that the Service's own selector matches the pods.
pub const REASON_PROVING: &str = "ProvingSwitch";
/// A revision is ready in preview and waits for `promote`.
pub const REASON_AWAITING_PROMOTION: &str = "AwaitingPromotion";
/// A revision is ready in preview; the operator promotes it when `autoPromotionSeconds` have passed.
pub const REASON_AWAITING_TIMER: &str = "AwaitingAutoPromotion";
/// `spec.paused` holds the promotion back.
pub const REASON_PAUSED: &str = "PausedBySpec";
/// The pre-promotion analysis of a revision is under way, or waits for the EndpointSlices of the preview Service; with the phase `Degraded`,
/// these have not followed for `progressDeadlineSeconds`.
pub const REASON_PRE_PROMOTION_ANALYSIS: &str = "PrePromotionAnalysis";
/// The post-promotion analysis of the active revision is under way; with the phase `Degraded`, it failed, and no earlier revision served.
pub const REASON_POST_PROMOTION_ANALYSIS: &str = "PostPromotionAnalysis";
/// An analysis came to no conclusion: a person has to promote, abort or undo.
pub const REASON_INCONCLUSIVE: &str = "AnalysisInconclusive";
/// An analysis cannot start: a template does not exist, or an argument has no value. Heals when that is fixed.
pub const REASON_ANALYSIS_REFUSED: &str = "AnalysisRefused";
/// The operator replaces the pods of the active revision one by one.
pub const REASON_RESTARTING: &str = "Restarting";
/// Traffic is moving back to an earlier revision.
pub const REASON_ROLLING_BACK: &str = "RollingBack";
/// The spec has the template of a rejected revision. It ends with a new template, with `retry`, or when the spec has the template of
/// the serving revision again.
pub const REASON_REJECTED: &str = "RevisionRejected";
/// A revision made no progress for `progressDeadlineSeconds`. The message names the pod and its own reason. Heals by itself
/// when the pods become available.
pub const REASON_DEADLINE: &str = "ProgressDeadlineExceeded";
/// A Service that the spec names does not exist. Heals when it is created.
pub const REASON_SERVICE_MISSING: &str = "ServiceMissing";
/// A Service that the spec names is moved by another rollout, or by an Argo Rollout. Give each rollout Services of its own; a Service that
/// moves over from an Argo Rollout has to be let go there: see "Migrating one application".
pub const REASON_SERVICE_CLAIMED: &str = "ServiceClaimed";
/// A Service's selector has labels that the pod template does not have, so it would select nothing.
pub const REASON_SERVICE_MISMATCH: &str = "ServiceSelectorMismatch";
/// The Deployment that `workloadRef` names does not exist. Heals when it is created.
pub const REASON_WORKLOAD_MISSING: &str = "WorkloadMissing";
/// The labels of the Deployment's template do not match `spec.selector`.
pub const REASON_WORKLOAD_MISMATCH: &str = "WorkloadSelectorMismatch";
/// The API server refuses a write that something waits for, or a read (a policy, a webhook, a missing right); the message is the server's.
/// The operator retries every few seconds; it heals with the first one that succeeds.
pub const REASON_WRITE_REFUSED: &str = "WriteRefused";
/// The API server refused the ReplicaSet of this template; the message is the server's. Heals with a corrected template.
pub const REASON_TEMPLATE_REFUSED: &str = "TemplateRefused";
/// The operator cannot read this object, and leaves it as it is; the message names the field. Heals when the field is corrected.
pub const REASON_UNREADABLE: &str = "Unreadable";

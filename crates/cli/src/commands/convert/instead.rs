//! What there is here instead of what Argo Rollouts has.

/// What there is here instead of fields of Argo's that have no counterpart, by the field's name.
const INSTEAD: [(&[&str], &str); 6] = [
    (&["maxUnavailable"], "A restart replaces one pod at a time here, and starts the new one first"),
    (&["successfulRunHistoryLimit", "unsuccessfulRunHistoryLimit", "analysis"], KEPT_RUNS),
    (&["consecutiveSuccessLimit"], "Write count instead: without it the measurement does not end"),
    (&["authentication"], "Write the header Authorization instead, with an argument that is read from a Secret"),
    (&["rangeQuery"], "Write one query instead, for example max_over_time(QUERY[5m])"),
    (
        &["cloudWatch", "datadog", "graphite", "influxdb", "kayenta", "newRelic", "plugin", "skywalking", "wavefront"],
        "Ask its API by the provider web, or by a Job",
    ),
];
const KEPT_RUNS: &str = "AnalysisRuns are kept as long as the ReplicaSet of their revision: see revisionHistoryLimit";

/// What there is here instead of a field of Argo's, as it follows what is said of it.
pub(super) fn instead_of(path: &[&str]) -> String {
    let known = INSTEAD.iter().find(|(fields, _)| path.last().is_some_and(|field| fields.contains(field)));
    known.map(|(_, instead)| format!(". {instead}")).unwrap_or_default()
}

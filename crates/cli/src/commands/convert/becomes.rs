//! What each manifest becomes.

use crate::manifests::Manifest;

/// What a manifest becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// Argo's becomes the kind of this name.
    Ours(&'static str),
    /// A Deployment becomes a rollout.
    Rollout,
    /// It stays.
    Same,
}

/// Beside Argo Rollouts a Deployment stays one, unless it is named.
pub(super) fn becomes(manifest: &Manifest, all: &[Manifest], only: &[String]) -> Becomes {
    let is_named = only.iter().any(|name| name == manifest.name());
    let is_analysis = ["AnalysisTemplate", "ClusterAnalysisTemplate"].contains(&manifest.kind());
    if !only.is_empty() && !is_named && !is_analysis {
        return Becomes::Same;
    }
    match manifest.kind() {
        "Rollout" if is_argos(manifest) => Becomes::Ours("BlueGreenRollout"),
        "AnalysisTemplate" if is_argos(manifest) => Becomes::Ours("AnalysisTemplate"),
        "ClusterAnalysisTemplate" if is_argos(manifest) => Becomes::Ours("ClusterAnalysisTemplate"),
        "Deployment" if is_referred_to(manifest, all) => Becomes::Same,
        "Deployment" if is_named || !has_argo_rollouts(all) => Becomes::Rollout,
        _ => Becomes::Same,
    }
}

/// Of Argo Rollouts, or of another of Argo's projects: they share the group.
pub(super) fn is_argos(manifest: &Manifest) -> bool {
    manifest.api_version().starts_with("argoproj.io/")
}

pub(super) fn has_argo_rollouts(all: &[Manifest]) -> bool {
    all.iter().any(|manifest| manifest.kind() == "Rollout" && is_argos(manifest))
}

/// A rollout takes its template from this Deployment, which therefore stays one.
pub(super) fn is_referred_to(deployment: &Manifest, all: &[Manifest]) -> bool {
    all.iter().any(|other| {
        other.value["spec"]["workloadRef"]["name"] == deployment.name() && other.namespace() == deployment.namespace()
    })
}

/// It moves traffic step by step, so no switch can do its work.
pub(super) fn is_canary(manifest: &Manifest) -> bool {
    manifest.value["spec"]["strategy"].get("canary").is_some()
}

//! Everything that is watched all the time.

use greenlight_core::world::Rollout;

use super::cache::Cache;
use super::objects::{KeptJob, KeptRun, KeptService, KeptWorkload, OwnedSet};
use super::templates::Templates;

/// Everything that is watched all the time.
#[derive(Default)]
pub struct Caches {
    /// The rollouts; grouped by the Services that they name.
    pub rollouts: Cache<Rollout>,
    /// The templates of those that ask for another one than is on record.
    pub templates: Templates,
    /// Their ReplicaSets; grouped by rollout.
    pub sets: Cache<OwnedSet>,
    /// All Services; grouped by the rollout whose mark they carry.
    pub services: Cache<KeptService>,
    /// Analysis runs; grouped by rollout.
    pub runs: Cache<KeptRun>,
    /// All Deployments, reduced to a digest and a size: which of them a rollout refers to is only known later.
    pub workloads: Cache<KeptWorkload>,
    /// The Jobs of analysis runs; grouped by run.
    pub jobs: Cache<KeptJob>,
}

//! A real Kubernetes control plane on loopback, for tests and chores: etcd, kube-apiserver, kube-controller-manager and
//! kube-scheduler as they are, and kwok for the kubelet's part, or a real node. Several can run side by side; each lives in a folder of its
//! own, and everything it started ends with it, also when the owner panics or is killed.

mod audit;
mod cluster;
mod image;
mod node;
mod process;
mod tools;

pub use audit::{Audit, Request};
pub use cluster::{Cluster, free_ports, sweep};
pub use image::write_archive;
pub use node::{NODE_ADDRESS, RealNode, enter_namespaces, missing as missing_for_real_node};
pub use process::Process;
pub use tools::{
    ACTIONLINT, ARGO_CD, ARGO_ROLLOUTS, CONTROL_PLANE, FLUX, HELM, KREW, KUBERNETES_VARIABLE, Module, NODE,
    OTHER_KUBERNETES, TRAEFIK, Tools, axe_core, cache_dir, can_stream_lists, ensure, ensure_control_plane,
    has_mutating_policies, source, streams_lists,
};

/// Annotation on a pod template that tells kwok how its pods behave; see `stages.yaml`. Without it they become ready at once.
///
/// * `late`: ready after five to seven seconds, one after the other
/// * `gated`: ready once its condition `example.com/registered` is true, as by a readiness gate
/// * `hang`: the container never starts
/// * `image`: ImagePullBackOff
/// * `crash`: CrashLoopBackOff
/// * `fail`: ends with exit code 1; for Jobs
/// * `unready`: runs, but its readiness probe fails
pub const BEHAVIOUR: &str = "test.greenlight.dev/behaviour";

/// Annotation on a running pod: with the value `lost` it stops being ready, until the annotation goes.
pub const READINESS: &str = "test.greenlight.dev/readiness";

/// Annotation on a pod template: its pods get an IPv6 address beside the other one. Services have two if they ask for them.
pub const DUAL_STACK: &str = "test.greenlight.dev/dual-stack";

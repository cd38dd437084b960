//! The containers that a pod begins with.

use k8s_openapi::api::core::v1::{Container, Pod};

/// The init containers of a pod, sidecars included.
pub fn initial(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten())
}

/// Whether an init container is a sidecar: it does not end before the others begin, but runs beside them.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

//! The containers that a pod begins with, and those that it has as long as it runs.

use k8s_openapi::api::core::v1::{Container, Pod};

/// The init containers of a pod, sidecars included.
pub fn initial(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten())
}

/// Whether an init container is a sidecar: it does not end before the others begin, but runs beside them.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The containers that run as long as the pod does, and whose ports and requests therefore count: sidecars are among them.
pub fn lasting(pod: &Pod) -> impl Iterator<Item = &Container> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.chain(initial(pod).filter(|container| is_sidecar(container)))
}

//! What is around a rollout in its namespace: what its Services are beside, where their endpoints are, and which doors lead to them.

use std::collections::BTreeSet;

use greenlight_api::BlueGreenRolloutSpec;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ListParams, VersionMatch};

use crate::session::Session;

/// By this label a slice says whose endpoints are in it.
pub const OF_SERVICE: &str = "kubernetes.io/service-name";

/// What is around a rollout, each kind as far as the API server gives it.
pub struct Surroundings {
    /// Every Service of the namespace.
    pub services: kube::Result<Vec<Service>>,
    /// The EndpointSlices of the rollout's Services.
    pub slices: kube::Result<Vec<EndpointSlice>>,
    /// Every Ingress of the namespace.
    pub ingresses: kube::Result<Vec<Ingress>>,
}

impl Surroundings {
    /// Reads it all at once. `all` says how new the lists of all Services and of all Ingresses have to be: they may be long.
    pub async fn read(session: &Session, spec: &BlueGreenRolloutSpec, all: &ListParams) -> Surroundings {
        let of_ours = ListParams::default().labels(&slices_of(spec));
        let (services, slices, ingresses) = tokio::join!(
            session.list::<Service>(all),
            session.list::<EndpointSlice>(&of_ours),
            ingresses(session, all)
        );
        Surroundings { services, slices, ingresses }
    }
}

/// Every Ingress of the namespace. `all` says how new the list has to be.
pub async fn ingresses(session: &Session, all: &ListParams) -> kube::Result<Vec<Ingress>> {
    session.list::<Ingress>(all).await
}

/// From the server's cache: there may be thousands, and what is shown of them need not be the newest.
pub fn cached() -> ListParams {
    ListParams::default().at("0").matching(VersionMatch::NotOlderThan)
}

/// The labels of the EndpointSlices of a rollout's Services.
pub fn slices_of(spec: &BlueGreenRolloutSpec) -> String {
    let blue_green = spec.blue_green();
    let ours: BTreeSet<&str> = blue_green.services().collect();
    format!("{OF_SERVICE} in ({})", ours.into_iter().collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_are_those_of_every_service_once() {
        let of = |blue_green: serde_json::Value| {
            let spec = serde_json::json!({"selector": {}, "strategy": {"blueGreen": blue_green}});
            slices_of(&serde_json::from_value(spec).expect("a spec"))
        };
        let two =
            serde_json::json!({"activeService": "web", "previewService": "next", "additionalActiveServices": ["api"]});
        assert_eq!(of(two), "kubernetes.io/service-name in (api,next,web)");
    }
}

//! A lease, as much of it as counts. Whoever edits one by hand writes what no client reads, such as a time of the last day of the year 9999, and nobody
//! would lead any more until somebody corrects it. So its times are texts: they are compared, and nobody counts with them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::cluster::objects::narrow::{narrow_metadata, view_of};

view_of!(Lease, "coordination.k8s.io", "v1", "Lease", "leases");

/// A lease.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Lease {
    /// Its metadata, without who manages which field: the API server keeps what is not sent of that.
    #[serde(deserialize_with = "narrow_metadata")]
    pub metadata: ObjectMeta,
    /// Whose it is.
    pub spec: Option<LeaseSpec>,
}

/// Whose a lease is. What else stands there is somebody else's, and is not written back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSpec {
    /// Who holds it. Nobody does if this is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<String>,
    /// For how many seconds after it was last seen to be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<i32>,
    /// Since when, by the holder's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<String>,
    /// When its holder last renewed it, by the holder's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<String>,
    /// How often it was taken. It counts no further than its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<i32>,
}

/// As it is written.
impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Lease { metadata, spec } = self;
        let (api_version, kind) = (Lease::api_version(&()), Lease::kind(&()));
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}).serialize(serializer)
    }
}

/// This moment, as the API server takes it: with six digits of a second.
pub fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::Lease as WholeLease;

    use super::*;

    #[test]
    fn a_lease_is_written_as_the_client_library_writes_it() {
        let time = now();
        let metadata = json!({"name": "greenlight", "namespace": "default", "resourceVersion": "7", "uid": "u"});
        let spec = json!({
            "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 3, "acquireTime": time, "renewTime": time,
        });
        let lease =
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
        let ours: Lease = serde_json::from_value(lease.clone()).expect("a lease");
        let theirs: WholeLease = serde_json::from_value(lease.clone()).expect("a lease");
        assert_eq!((json!(ours), json!(theirs)), (lease.clone(), lease), "each of its six digits of a second, too");
    }

    #[test]
    fn a_lease_can_be_read_whatever_somebody_has_written_by_hand() {
        let deep = (0..300).fold(json!({}), |inner, _| json!({"f:a": inner}));
        for odd in ["9999-12-31T23:59:59.999999Z", "-001-12-31T10:00:00.000000Z", ""] {
            let managed = json!([{"manager": "someone", "operation": "Update", "time": odd, "fieldsV1": deep}]);
            let lease = json!({
                "metadata": {"name": "greenlight", "managedFields": managed},
                "spec": {"holderIdentity": "ghost", "acquireTime": odd, "renewTime": odd, "strategy": "OldestEmulationVersion"},
            });
            let lease: Lease = serde_json::from_str(&lease.to_string()).expect("a lease");
            let spec = lease.spec.expect("it is somebody's");
            assert_eq!((spec.holder_identity.as_deref(), spec.renew_time.as_deref()), (Some("ghost"), Some(odd)));
        }
    }
}

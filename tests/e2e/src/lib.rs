//! What the end-to-end tests share: one control plane for all, a namespace and an operator of its own for each.

pub mod argo_cd;
pub mod bombs;
mod changes;
mod course;
pub mod docs;
mod door;
pub mod earlier;
mod fault_proxy;
pub mod git;
mod lab;
mod prometheus;
mod proxy;
mod receiver;
mod rights;
mod sign_in;
mod snapshot;
mod tls;
mod web;
mod witness;

pub use course::{Course, ready_endpoints};
pub use door::{Door, Passed};
pub use fault_proxy::{FaultProxy, Wire};
pub use lab::{Lab, binary, cluster, eventually, ingress, merge, operator_of_all, rollout};
pub use prometheus::Prometheus;
pub use proxy::{Fate, Write, WriteCountingProxy};
pub use receiver::{Received, Receiver};
pub use rights::{concerns, denials, kubeconfig_of, operator_kubeconfig};
pub use sign_in::{SESSION, SignInProxy};
pub use snapshot::{MIRROR, Snapshot};
pub use tls::tls_server;
pub use web::{Answer, Web, http, http_get};
pub use witness::Witness;

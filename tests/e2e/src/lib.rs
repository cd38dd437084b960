//! What the end-to-end tests share: one control plane for all, a namespace and an operator of its own for each.

pub mod docs;
mod lab;
mod prometheus;
mod proxy;
mod receiver;
mod snapshot;
mod witness;

pub use lab::{Lab, binary, cluster, rollout};
pub use prometheus::Prometheus;
pub use proxy::{Write, WriteCountingProxy};
pub use receiver::{Received, Receiver};
pub use snapshot::Snapshot;
pub use witness::Witness;

//! What is known of the cluster. Nothing here knows of queues or metrics.
//!
//! | question | file |
//! |---|---|
//! | an object as a watch brings it, readable or not | `arrived` |
//! | what is kept of it | `objects/` |
//! | what an object is known by | `key` |
//! | the newest known state of each object | `cache` |
//! | all that is watched all the time | `caches` |
//! | what a ReplicaSet is made of, until it is made | `templates` |
//! | where to look | `scope` |
//! | a watch that goes on | `watch` |
//! | what is watched only as long as a plan asks for it | `on_demand/` |
//! | what is read at once, where a plan is in doubt | `live` |
//! | tasks that the process must not outlive | `supervise` |
//! | one for tests | `fake` |

pub mod arrived;
pub mod cache;
pub mod caches;
#[cfg(test)]
pub mod fake;
pub mod key;
pub mod live;
pub mod objects;
pub mod on_demand;
pub mod scope;
pub mod supervise;
pub mod templates;
pub mod watch;

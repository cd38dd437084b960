//! What is told.
//!
//! | question | file |
//! |---|---|
//! | events | `recorder` |
//! | metrics | `metrics/` |
//! | the log | `log` |
//! | messages to people and chats | `notify/` |
//! | how events and messages wait | `lines` |
//! | whether the operator is alive and in step | `health` |
//! | the server of metrics and health, and its connections | `server`, `connections` |

mod connections;
pub mod health;
mod lines;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod recorder;
pub mod server;

//! How the operator talks to the API server.
//!
//! | question | file |
//! |---|---|
//! | the connections, their deadlines | `client` |
//! | who shares one | `connections` |
//! | whether this instance may write | `leadership` |
//! | what can go wrong | `error` |
//! | lists by pages | `pages` |
//! | how long to wait after a failure | `backoff` |
//! | one for tests | `fake` |

pub mod backoff;
pub mod client;
pub mod connections;
pub mod error;
#[cfg(test)]
pub mod fake;
pub mod leadership;
pub mod pages;

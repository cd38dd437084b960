//! The way to others' servers.
//!
//! | question | file |
//! |---|---|
//! | asking | `client` |
//! | whom one may ask | `reach` |

pub mod client;
pub mod reach;

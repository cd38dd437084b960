//! The dashboard: rollouts in a browser. It has no rights of its own: what is read and written is read and written with the
//! credentials of whoever looks, and the API server decides.
//!
//! | question | file |
//! |---|---|
//! | how many connections, and for how long? | [`connections`] |
//! | is it another user of the machine? | [`ends`] |
//! | who may come in, from where, and with what in hand? | [`guard`] |
//! | with whose credentials is the cluster asked? | [`caller`] |
//! | what is in the list, and what changes in it? | [`row`], [`desk`] |
//! | what is known of the rollout that somebody looks at? | [`detail`], [`room`] |
//! | what is said when the API server is not heard? | [`silence`] |
//! | what is told of a log, and for how long? | [`log`] |
//! | where does a line of a log end? | [`lines`] |
//! | who may do what, and what comes of it? | [`rights`], [`action`] |
//! | how does that look? | [`pages`] |
//! | which address leads where? | [`server`] |
//! | how is it started on a person's machine? | [`local`] |

pub mod action;
pub mod caller;
pub mod connections;
pub mod desk;
pub mod detail;
pub mod ends;
#[cfg(test)]
mod fake;
pub mod guard;
pub mod kept;
pub mod labels;
pub mod lines;
pub mod local;
pub mod log;
pub mod pages;
pub mod rights;
pub mod room;
pub mod row;
pub mod server;
pub mod silence;

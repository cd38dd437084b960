//! What there is to say about a rollout. The plugin's tree and JSON and the dashboard's pages show these facts and no others, so that they
//! never differ.
//!
//! | question | file |
//! |---|---|
//! | what is known of a rollout, its Services, revisions and pods? | [`mod@facts`] |
//! | what does its status say of the spec that is there? | [`mod@status`] |
//! | what does the core see of it? | [`mod@observe`] |
//! | what is around it? | [`surroundings`] |
//! | which containers does a pod begin with, and which does it keep? | [`containers`] |
//! | what will happen? | [`simulation`] |
//! | what is wrong, and what mends it? | [`doctor`], one file a check |
//! | what of it does the caller not see? | [`unseen`] |
//! | what differs between two revisions? | [`mod@differences`] |
//! | which revision does a verb speak of, and was a request heard? | [`request`] |
//! | why was the spec changed? | [`cause`] |
//! | how is that said? | [`words`] |
//! | how is a word of a command written that people copy? | [`mod@quoted`] |
//! | which rollouts are there, also those that cannot be read? | [`found`] |
//! | how is an object read that somebody keeps from being read? | [`whole`] |
//! | whose eyes does it see with? | [`session`] |
//! | which requests are made again? | [`again`] |

pub mod again;
pub mod cause;
pub mod containers;
pub mod differences;
pub mod doctor;
pub mod facts;
pub mod found;
pub mod observe;
pub mod quoted;
pub mod request;
pub mod session;
pub mod simulation;
pub mod status;
pub mod surroundings;
pub mod unseen;
pub mod whole;
pub mod words;

pub use cause::SpecChange;
pub use differences::{Difference, differences};
pub use facts::{Facts, Known, PodFact, Revision, Role, ServiceFact, facts, gather, gather_of};
pub use found::{Found, Place};
pub use observe::{Denied, Observed, hash_of, observe, observe_visible, selector};
pub use quoted::quoted;
pub use request::{asked_at, revision_meant, unanswered, was_heard};
pub use session::{Flags, Session, is_answer, is_forbidden, reason};
pub use simulation::{Simulation, quantity};
pub use status::status_of;
pub use surroundings::Surroundings;
pub use unseen::Unseen;
pub use whole::{Named, Whole};
pub use words::{age, denial, role, role_of, sentence};

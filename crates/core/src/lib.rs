//! What should happen next in a blue-green release. Observed world in, plan out: no async, no client, no clock.
//!
//! [`plan`] is the whole interface. The rest is one file per idea:
//!
//! | question | file |
//! |---|---|
//! | what was observed | [`world`] |
//! | what can be done, and in which order it is safe | [`actions`] |
//! | which name does a template get | [`hash`] |
//! | which revision is asked for, which one serves, which is next | [`target`] |
//! | what did a person ask for, and may it be done | [`request`] |
//! | how many pods should each revision have | [`scale`] |
//! | may the next revision be promoted, and if not what is it waiting for | [`gate`] |
//! | both revisions serving for a while | [`overlap`] |
//! | measuring a revision before and after the promotion | [`analysis`], [`measure`], [`condition`] |
//! | moving the Services, and proving that traffic followed | [`switch`] |
//! | labels and annotations of a role | [`metadata`] |
//! | replacing pods without a new revision | [`restart`] |
//! | when does an old revision go away | [`retire`] |
//! | which old revisions are kept to roll back to | [`history`] |
//! | what happens when the rollout is deleted | [`leave`] |
//! | when does it give up | [`progress`] |
//! | when does production go back without being asked | [`rollback`] |
//! | why do the pods not start | [`pods`] |
//! | what is wrong that only a person can mend | [`stall`] |
//! | taking over from a Deployment | [`workload`] |
//! | what is reported | [`status`], [`events`] |

pub mod actions;
pub mod analysis;
pub mod condition;
pub mod events;
pub mod gate;
pub mod hash;
pub mod history;
pub mod leave;
pub mod measure;
pub mod metadata;
pub mod overlap;
mod plan;
pub mod pods;
pub mod progress;
pub mod request;
pub mod restart;
pub mod retire;
pub mod rollback;
pub mod scale;
pub mod stall;
pub mod status;
pub mod switch;
pub mod target;
pub mod workload;
pub mod world;

pub use actions::{Action, Change, Plan, Watches};
pub use plan::plan;
pub use world::World;

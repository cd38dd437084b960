//! What should happen next in a blue-green release. Observed world in, plan out: no async, no client, no clock.
//!
//! [`plan()`] is the whole interface. The rest is one file per idea:
//!
//! | question | file |
//! |---|---|
//! | what was observed | [`world`], [`from_api`] |
//! | what was decided, and where that is written | [`decisions`] |
//! | which revision serves, which one should, and which one waits | [`roles`] |
//! | the three of them together | [`situation`] |
//! | what did a person ask for, and may it be done | [`request`] |
//! | what can be done | [`actions`] |
//! | in which order it is done, and why that is safe | [`plan()`], [`steps`] |
//! | which name does a template get | [`hash`] |
//! | how many pods should each revision have | [`scale`] |
//! | may the candidate be promoted, and if not what is it waiting for | [`gate`] |
//! | whose approval counts, and for what | [`approvals`] |
//! | both revisions serving for a while | [`overlap`] |
//! | measuring a revision before and after the promotion | [`analysis`] |
//! | moving the Services, and proving that traffic followed | [`switch`] |
//! | what keeps an operator with an old picture from acting on it | [`fence`] |
//! | labels and annotations of a role | [`metadata`] |
//! | replacing pods without a new revision | [`restart`] |
//! | when does an old revision go away | [`retire`] |
//! | which old revisions are kept to roll back to | [`history`] |
//! | what happens when the rollout is deleted | [`finalize`] |
//! | when does it give up | [`progress`] |
//! | when does production go back without being asked | [`rollback`] |
//! | why do the pods not start | [`pods`] |
//! | what is wrong that only a person can mend | [`stall`] |
//! | taking over from a Deployment | [`workload`] |
//! | what is reported | [`status`], [`events`] |
//! | how much is repeated of what others say | [`words`] |
//! | what does an action do to a world | [`simulate`] |

pub mod actions;
pub mod analysis;
pub mod approvals;
pub mod decisions;
pub mod events;
pub mod fence;
pub mod finalize;
pub mod from_api;
pub mod gate;
pub mod hash;
pub mod history;
pub mod metadata;
pub mod overlap;
mod plan;
pub mod pods;
pub mod progress;
pub mod request;
pub mod restart;
pub mod retire;
pub mod roles;
pub mod rollback;
pub mod scale;
pub mod simulate;
pub mod situation;
pub mod stall;
pub mod status;
pub mod switch;
pub mod words;
pub mod workload;
pub mod world;

pub use actions::{Action, Change, Plan, Urgency, Watches};
pub use plan::{plan, steps};
pub use world::World;

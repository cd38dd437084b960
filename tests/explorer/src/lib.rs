//! A search through everything that can happen to a rollout, with the shipped planner and the shipped scale-down decision in
//! the middle. What must hold is written down as predicates; whatever breaks one is shrunk and told in words.
//!
//! | question | file |
//! |---|---|
//! | what can happen | [`event`] |
//! | what must hold | [`predicate`] |
//! | what is true of the cluster | [`cluster`] |
//! | how the core is asked | [`adapter`] |
//! | what an operator knows and does | [`operator`] |
//! | what was really decided | [`ghost`] |
//! | how an event changes the state | [`state`] |
//! | what is checked at a write | [`checks`] |
//! | what is checked when faults stop | [`settle`] |
//! | random walks | [`walk`], [`random`] |
//! | all histories of a small scope | [`exhaustive`] |
//! | histories that were found before | [`histories`] |
//! | the shortest history | [`shrink`] |
//! | how many writes a release takes | [`budget`] |
//! | planted faults | [`mutants`] |

pub mod adapter;
pub mod budget;
pub mod checks;
pub mod cluster;
pub mod event;
pub mod exhaustive;
pub mod ghost;
pub mod histories;
pub mod mutants;
pub mod operator;
pub mod predicate;
pub mod random;
pub mod settle;
pub mod shrink;
pub mod state;
pub mod walk;

//! The dashboard, in a real Chromium, on a real control plane.
//!
//! | promise | file |
//! |---|---|
//! | a release is driven by clicks, and every page is live | [`release`] |
//! | what else can be asked for, and what the operator says to it | [`acts`] |
//! | analyses, with what was measured | [`analyses`] |
//! | several people, and the namespaces that each may see | [`people`] |
//! | who may not cannot, and is told what would let them, behind a proxy and without | [`rights`] |
//! | nobody else gets in, and nothing that others write does anything | [`attacks`] |
//! | every field that others write is text, on a phone too | [`fields`] |
//! | what is wrong stands beside what it is about | [`findings`] |
//! | what is open while something changes ends well | [`meanwhile`] |
//! | the logs of a pod | [`logs`] |
//! | axe finds nothing | [`axe`] |
//! | thousands of rollouts | [`crowd`] |
//! | everybody can use it, and what it looks like | [`pictures`] |

mod acts;
mod analyses;
mod attacks;
mod axe;
mod browser;
mod crowd;
mod dashboard;
mod fields;
mod findings;
mod logs;
mod meanwhile;
mod people;
mod pictures;
mod release;
mod rights;

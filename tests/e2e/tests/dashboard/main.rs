//! The dashboard, in a real Chromium, on a real control plane.
//!
//! | promise | file |
//! |---|---|
//! | a release is driven by clicks, and every page is live | [`release`] |
//! | who may not cannot, and is told what would let them | [`rights`] |
//! | nobody else gets in, and nothing that others write does anything | [`attacks`] |
//! | thousands of rollouts | [`crowd`] |
//! | everybody can use it, and what it looks like | [`pictures`] |

mod attacks;
mod browser;
mod crowd;
mod dashboard;
mod pictures;
mod release;
mod rights;

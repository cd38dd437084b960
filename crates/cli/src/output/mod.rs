//! How things look.
//!
//! | question | file |
//! |---|---|
//! | What can this terminal show? | [`style`] |
//! | How is a rollout drawn? | [`tree`] |
//! | How are columns set? | [`table`] |
//! | How are facts printed for machines? | [`format`] |
//! | How is a picture kept up to date in its place? | [`screen`] |
//! | What is shown while a command waits? | [`progress`] |

pub mod format;
pub mod progress;
pub mod screen;
pub mod style;
pub mod table;
pub mod tree;

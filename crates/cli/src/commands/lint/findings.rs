//! What is found, and where.

use crate::manifests::Manifest;

/// How long Kubernetes waits for a pod to end, in seconds.
pub(super) const DEFAULT_GRACE: i64 = 30;

/// Something to mend.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// It will not work; otherwise it may go wrong later.
    pub error: bool,
    /// `file:line`.
    pub place: String,
    /// The field.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Manifests that belong together, and what is found in them.
pub(super) struct Lint<'a> {
    pub manifests: &'a [Manifest],
    pub findings: Vec<Finding>,
}

impl Lint<'_> {
    /// Adds what will not work.
    pub(super) fn error(&mut self, manifest: &Manifest, path: &[&str], message: impl Into<String>) {
        self.findings.push(Finding { error: true, ..warning(manifest, path, message) });
    }

    /// Adds what may go wrong later.
    pub(super) fn warn(&mut self, manifest: &Manifest, path: &[&str], message: impl Into<String>) {
        self.findings.push(warning(manifest, path, message));
    }
}

fn warning(manifest: &Manifest, path: &[&str], message: impl Into<String>) -> Finding {
    let place = format!("{}:{}", manifest.file.display(), manifest.line_of(path));
    Finding { error: false, place, field: path.join("."), message: message.into() }
}

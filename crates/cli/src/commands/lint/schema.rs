//! What would the API server refuse?

use crate::manifests::{Manifest, schema};

use super::findings::Lint;

impl Lint<'_> {
    /// A manifest that was moved by one of its two lines alone is of a kind that no cluster has.
    pub(super) fn check_api_version(&mut self, manifest: &Manifest) {
        let versions = schema::versions_of(manifest.kind());
        if !versions.is_empty() && versions.iter().all(|version| version != manifest.api_version()) {
            let message = format!("kind {} is one of {}: write that", manifest.kind(), versions.join(" or "));
            self.error(manifest, &["apiVersion"], message);
        }
    }

    pub(super) fn check_schema(&mut self, manifest: &Manifest) {
        let Some(schema) = schema::of_kind(manifest.kind()) else {
            return self.error(manifest, &["kind"], format!("there is no kind {} in greenlight.dev", manifest.kind()));
        };
        for violation in schema::check(&schema, &manifest.value) {
            let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
            self.error(manifest, &path, violation.message);
        }
    }
}

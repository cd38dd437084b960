//! What would the API server refuse?

use crate::manifests::{Manifest, schema};

use super::findings::Lint;

impl Lint<'_> {
    pub(super) fn check_schema(&mut self, manifest: &Manifest) {
        let Some(schema) = schema::of_kind(manifest.kind()) else {
            return self.say(
                true,
                manifest,
                &["kind"],
                format!("there is no kind {} in greenlight.dev", manifest.kind()),
            );
        };
        for violation in schema::check(&schema, &manifest.value) {
            let path: Vec<&str> = violation.path.iter().map(String::as_str).collect();
            self.say(true, manifest, &path, violation.message);
        }
    }
}

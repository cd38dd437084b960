//! What names look like. They become parts of addresses of the API server, of selectors and of messages, so nothing else may be in them.

/// Of a Service.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Of most other objects.
pub(crate) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Of a key in a Secret, and of an argument.
pub(crate) const KEY: &str = "^[-._a-zA-Z0-9]+$";
/// Of what is only shown: no control characters.
pub(crate) const TEXT: &str = r"^[^\p{Cc}]+$";

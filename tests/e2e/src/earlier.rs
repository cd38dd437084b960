//! The version from which upgrades are tried.

use std::path::PathBuf;

/// A folder with `rootfs`, the root file system of that version's image, and `charts/greenlight`.
const VARIABLE: &str = "GREENLIGHT_EARLIER";

/// Where the earlier version is. `cargo xtask test --all` builds it.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Its operator.
pub fn program() -> Option<PathBuf> {
    folder().map(|folder| folder.join("rootfs/greenlight"))
}

//! The image, without a container engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run};

/// Builds the image's root file system by the steps of the Dockerfile; the folder that it is in. Optimised dependencies take
/// minutes to compile and rarely change, so they are kept beside the tools, for every checkout.
pub(crate) fn rootfs() -> Result<PathBuf> {
    let rootfs = root().join("target/image/rootfs");
    let cache = greenlight_test_cluster::cache_dir()?;
    eprintln!("Building the image's static binary, optimised (7 minutes when cold).");
    let mut build = Command::new(root().join("deploy/image/rootfs.sh"));
    build.arg(&rootfs).env("IMAGE_TOOLS", cache.join("image-tools"));
    run(build.env("CARGO_TARGET_DIR", cache.join("image-target")))?;
    Ok(rootfs)
}

/// Writes the image as an OCI archive.
pub(crate) fn archive(name: &str, to: &Path) -> Result<()> {
    greenlight_test_cluster::write_archive(&rootfs()?, name, &["/greenlight"], to)?;
    println!("wrote {}: docker load, podman load, ctr images import", to.display());
    Ok(())
}

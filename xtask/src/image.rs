//! The image, without a container engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell::{root, run};

/// Builds the image's root file system by the steps of the Dockerfile; the folder that it is in.
pub(crate) fn rootfs() -> Result<PathBuf> {
    let rootfs = root().join("target/image/rootfs");
    let tools = greenlight_test_cluster::cache_dir()?.join("image-tools");
    eprintln!("Building the image's static binary, optimised (5 minutes when cold).");
    run(Command::new(root().join("deploy/image/rootfs.sh")).arg(&rootfs).env("IMAGE_TOOLS", tools))?;
    Ok(rootfs)
}

/// Writes the image as an OCI archive.
pub(crate) fn archive(name: &str, to: &Path) -> Result<()> {
    greenlight_test_cluster::write_archive(&rootfs()?, name, &["/greenlight"], to)?;
    println!("wrote {}: docker load, podman load, ctr images import", to.display());
    Ok(())
}

//! The image, without a container engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{forget_package, root, run};

/// The programs that have images.
const PROGRAMS: [&str; 2] = ["greenlight", "greenlight-dashboard"];
/// The version from which the test upgrades: the last commit of 25 November 2026. Once there is a release, it is the last one.
const EARLIER: &str = "a848fee9952c21cad0cab2153e5fb3a4cee6df3e";

/// Variables of cargo by which to build what is only tested. To optimise across crates takes most of the time, and changes nothing but size and
/// speed.
const QUICKLY: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];

/// Builds the root file system of the operator's image for a kind of machine; the folder that it is in.
fn rootfs(arch: &str) -> Result<PathBuf> {
    let folder = root().join("target/image").join(arch);
    eprintln!("Building the static binary for {arch}, optimised (7 minutes when cold).");
    build(root(), &folder, &PROGRAMS[..1], &[("IMAGE_ARCH", arch)])?;
    Ok(folder)
}

/// Builds the root file systems of all images, for tests; the folder in which each is, by the name of its program.
pub(crate) fn all() -> Result<PathBuf> {
    let folder = root().join("target/image");
    for program in PROGRAMS {
        eprintln!("Building the static binary of {program}, optimised (7 minutes when cold).");
        build(root(), &folder.join(program), &[program], &QUICKLY)?;
    }
    Ok(folder)
}

/// Builds the operator's image of an earlier version, by that version's own steps. The folder has `rootfs` and `charts`.
pub(crate) fn earlier() -> Result<PathBuf> {
    let folder = greenlight_test_cluster::cache_dir()?.join(format!("earlier-{}", &EARLIER[..12]));
    if folder.join("rootfs").exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    let archive = folder.join("source.tar");
    let mut git = Command::new("git");
    git.current_dir(root()).args(["archive", "--output"]).arg(&archive).arg(EARLIER);
    run(&mut git).context("the clone has no history: git fetch --unshallow")?;
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&folder))?;
    eprintln!("Building the static binary of an earlier version, optimised (7 minutes when cold).");
    // Only what is complete has the name.
    let unfinished = folder.join("rootfs.unfinished");
    build(&folder, &unfinished, &[], &[])?;
    std::fs::rename(unfinished, folder.join("rootfs"))?;
    Ok(folder)
}

/// Runs the steps of the Dockerfile in a checkout. Optimised dependencies take minutes to compile and rarely change, so they are kept
/// beside the tools, for every checkout.
fn build(checkout: &Path, to: &Path, program: &[&str], settings: &[(&str, &str)]) -> Result<()> {
    let cache = greenlight_test_cluster::cache_dir()?;
    let mut build = Command::new(checkout.join("deploy/image/rootfs.sh"));
    forget_package(&mut build);
    build.arg(to).args(program).envs(settings.iter().copied()).env("IMAGE_TOOLS", cache.join("image-tools"));
    run(build.env("CARGO_TARGET_DIR", cache.join("image-target")))
}

/// Writes the image as an OCI archive, for this kind of machine or for another one.
pub(crate) fn archive(name: &str, to: &Path, arch: Option<&str>) -> Result<()> {
    let rootfs = rootfs(arch.unwrap_or(std::env::consts::ARCH))?;
    greenlight_test_cluster::write_archive(&rootfs, name, &["/greenlight"], to)?;
    println!("wrote {}: docker load, podman load, ctr images import", to.display());
    Ok(())
}

//! Images without a container engine: one layer, a configuration and an index make an OCI archive, which containerd imports.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Writes an OCI archive of a root file system: `name` is the reference that pods use, `entrypoint` what they run. The image is for the kind of
/// machine that the program is for.
///
/// # Errors
/// A file cannot be written, `tar` fails, or the program is none for amd64 or arm64.
pub fn write_archive(rootfs: &Path, name: &str, entrypoint: &[&str], archive: &Path) -> Result<()> {
    let layout = archive.with_extension("layout");
    let _ = std::fs::remove_dir_all(&layout);
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let layer = layout.join("layer.tar");
    tar(rootfs, &layer)?;
    let layer_digest = digest(&std::fs::read(&layer)?);
    let size = std::fs::metadata(&layer)?.len();
    std::fs::rename(&layer, blobs.join(&layer_digest))?;

    let write = |value: &Value| -> Result<(String, usize)> {
        let bytes = serde_json::to_vec(value)?;
        let digest = digest(&bytes);
        std::fs::write(blobs.join(&digest), &bytes)?;
        Ok((digest, bytes.len()))
    };
    let program = entrypoint.first().context("an image runs a program")?;
    let architecture = architecture(&rootfs.join(program.trim_start_matches('/')))?;
    let (config, config_size) = write(&json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"User": "65532:65532", "Entrypoint": entrypoint, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    }))?;
    let (manifest, manifest_size) = write(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config}"), "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_digest}"), "size": size,
        }],
    }))?;
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest}"), "size": manifest_size,
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            "platform": {"architecture": architecture, "os": "linux"},
        }],
    });
    std::fs::write(layout.join("index.json"), index.to_string())?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar(&layout, archive)?;
    std::fs::remove_dir_all(&layout)?;
    Ok(())
}

/// Builds the image that pods' network namespaces are kept open by, which does nothing.
///
/// # Errors
/// `rustc` cannot build a static program.
pub fn write_pause_archive(name: &str, dir: &Path) -> Result<PathBuf> {
    let rootfs = dir.join("pause");
    std::fs::create_dir_all(&rootfs)?;
    let source = dir.join("pause.rs");
    std::fs::write(&source, "fn main() { loop { std::thread::park(); } }\n")?;
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let output = Command::new("rustc")
        .args(["--edition=2024", "-O", "--target", &target, "-o"])
        .arg(rootfs.join("pause"))
        .arg(&source)
        .output()
        .context("cannot run rustc")?;
    if !output.status.success() {
        bail!("rustc --target {target}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let archive = dir.join("pause.tar");
    write_archive(&rootfs, name, &["/pause"], &archive)?;
    Ok(archive)
}

/// The kind of machine that a program is for, as images name it: it stands in the head of an ELF file.
fn architecture(program: &Path) -> Result<&'static str> {
    let mut head = [0; 20];
    let read = std::fs::File::open(program).and_then(|mut file| file.read_exact(&mut head));
    read.with_context(|| program.display().to_string())?;
    match head[18..] {
        [0x3e, 0] => Ok("amd64"),
        [0xb7, 0] => Ok("arm64"),
        _ => bail!("{} is no program for amd64 or arm64", program.display()),
    }
}

/// Writes a tar archive of what is in a folder: the same content makes the same bytes. The folder itself has no entry, since Syft refuses an
/// archive with an entry `./`.
fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries.iter().map(std::fs::DirEntry::file_name).collect();
    names.sort();
    let status = Command::new("tar")
        .args(["--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--mtime=@0", "-cf"])
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg("--")
        .args(&names)
        .status()?;
    if !status.success() {
        bail!("tar of {} failed: {status}", folder.display());
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_for_the_machine_that_its_program_is_for() {
        let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let this = std::env::current_exe().expect("this program");
        assert_eq!(architecture(&this).expect("a program"), here);
        let other = std::env::temp_dir().join(format!("greenlight-program-{}", std::process::id()));
        std::fs::write(&other, [&[0_u8; 18][..], &[0xb7, 0]].concat()).expect("written");
        assert_eq!(architecture(&other).expect("the head of a program"), "arm64");
        std::fs::write(&other, "#!/bin/sh\necho this is no program of a machine\n").expect("written");
        assert!(architecture(&other).is_err());
        std::fs::remove_file(&other).expect("removed");
    }

    #[test]
    fn an_archive_has_entries_for_what_is_in_its_folder_and_none_for_the_folder() {
        let dir = std::env::temp_dir().join(format!("greenlight-archive-{}", std::process::id()));
        let rootfs = dir.join("rootfs");
        std::fs::create_dir_all(rootfs.join("etc")).expect("created");
        std::fs::write(rootfs.join("etc/passwd"), "nobody\n").expect("written");
        std::fs::write(rootfs.join("program"), [&[0_u8; 18][..], &[0x3e, 0]].concat()).expect("written");
        let archive = dir.join("image.tar");
        write_archive(&rootfs, "image:1", &["/program"], &archive).expect("an archive");

        let names = entries(&archive);
        let (blobs, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.len() == "blobs/sha256/".len() + 64);
        assert_eq!(others, ["blobs/", "blobs/sha256/", "index.json", "oci-layout"]);
        assert_eq!(blobs.len(), 3, "a layer, a configuration and a manifest: {blobs:?}");

        let unpacked = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&dir).status().expect("tar");
        assert!(unpacked.success());
        let layers = blobs.iter().filter(|blob| std::fs::read(dir.join(blob)).expect("a blob")[0] != b'{');
        let layers: Vec<_> = layers.map(|layer| entries(&dir.join(layer))).collect();
        assert_eq!(layers, [["etc/", "etc/passwd", "program"]]);
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    fn entries(archive: &Path) -> Vec<String> {
        let output = Command::new("tar").arg("-tf").arg(archive).output().expect("tar");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("names").lines().map(str::to_owned).collect()
    }
}

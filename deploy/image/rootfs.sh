#!/bin/sh
# Builds the root file system of the image into a folder: the static binary, the authorities that https needs, the user, and the
# bill of materials. The Dockerfile runs it in a container; without a container engine it runs as it is (`cargo xtask image`).
#
#   deploy/image/rootfs.sh FOLDER
#
# Needs Rust and a C compiler for musl: Debian's musl-tools (installed if root), Alpine's build-base.
set -eu
out=${1:?usage: deploy/image/rootfs.sh FOLDER}
cd "$(dirname "$0")/../.."
target="$(uname -m)-unknown-linux-musl"
cyclonedx=0.5.9

if command -v rustup >/dev/null; then
    rustup target add "$target"
fi
if ! command -v musl-gcc >/dev/null && command -v apt-get >/dev/null; then
    { apt-get update && apt-get install --yes --no-install-recommends musl-tools ca-certificates; } >/dev/null
fi
cargo build --locked --release --package greenlight-operator --target "$target"

# The bill of materials; CycloneDX writes one beside each crate's manifest.
tools=${IMAGE_TOOLS:-$PWD/target/image-tools}
if ! "$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -q "$cyclonedx"; then
    cargo install --locked --quiet --root "$tools" --version "$cyclonedx" cargo-cyclonedx
fi
PATH="$tools/bin:$PATH" cargo cyclonedx --quiet --quiet --format json --describe binaries \
    --manifest-path crates/operator/Cargo.toml --target "$target"

rm -rf "$out"
mkdir -p "$out/etc/ssl/certs" "$out/usr/share/sbom" "$out/tmp"
cp "${CARGO_TARGET_DIR:-target}/$target/release/greenlight" "$out/greenlight"
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
mv crates/operator/greenlight_bin.cdx.json "$out/usr/share/sbom/"
find crates tests xtask -name '*.cdx.json' -delete
echo 'greenlight:x:65532:65532::/:/greenlight' > "$out/etc/passwd"
echo 'greenlight:x:65532:' > "$out/etc/group"

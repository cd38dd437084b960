#!/bin/sh
# Builds the root file system of an image into a folder: the static binary, the authorities that https needs, the user, and the
# bill of materials. The Dockerfile runs it in a container; without a container engine it runs as it is (`cargo xtask image`).
#
#   deploy/image/rootfs.sh FOLDER [greenlight|greenlight-dashboard]
#
# Needs Rust and a C compiler for musl: Debian's musl-tools (installed if root), Alpine's build-base. With IMAGE_ARCH=aarch64 it builds for
# that kind of machine on another one, which takes cargo-zigbuild in the place of the compiler. Exit code 2: something is missing.
set -eu
out=${1:?usage: deploy/image/rootfs.sh FOLDER [greenlight|greenlight-dashboard]}
program=${2:-greenlight}
case $program in
    greenlight) crate=operator ;;
    greenlight-dashboard) crate=dashboard ;;
    *) echo "no such program: $program; write greenlight or greenlight-dashboard" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/../.."
arch=${IMAGE_ARCH:-$(uname -m)}
target="$arch-unknown-linux-musl"
cyclonedx=0.5.9

build=build
if [ "$arch" != "$(uname -m)" ]; then
    build=zigbuild
    command -v cargo-zigbuild >/dev/null || {
        echo "for $arch this takes cargo-zigbuild; in a virtual environment of Python: pip install cargo-zigbuild" >&2
        exit 2
    }
fi
# jemalloc allows for pages as large as those of the machine that builds it. Kernels for arm64 have pages of 4, 16 or 64 KiB.
if [ "$arch" = aarch64 ]; then
    export JEMALLOC_SYS_WITH_LG_PAGE=16
fi

if command -v rustup >/dev/null; then
    rustup target add "$target"
fi
if [ "$build" = build ] && ! command -v musl-gcc >/dev/null && command -v apt-get >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "this takes a C compiler for musl: sudo apt-get install musl-tools" >&2; exit 2; }
    { apt-get update && apt-get install --yes --no-install-recommends musl-tools ca-certificates; } >/dev/null
fi
cargo "$build" --locked --release --package "greenlight-$crate" --target "$target"

# The bill of materials; CycloneDX writes one beside each crate's manifest.
tools=${IMAGE_TOOLS:-$PWD/target/image-tools}
if ! "$tools/bin/cargo-cyclonedx" cyclonedx --version 2>/dev/null | grep -q "$cyclonedx"; then
    cargo install --locked --quiet --root "$tools" --version "$cyclonedx" cargo-cyclonedx
fi
PATH="$tools/bin:$PATH" cargo cyclonedx --quiet --quiet --format json --describe binaries \
    --manifest-path "crates/$crate/Cargo.toml" --target "$target"

rm -rf "$out"
mkdir -p "$out/etc/ssl/certs" "$out/usr/share/sbom" "$out/tmp"
cp "${CARGO_TARGET_DIR:-target}/$target/release/$program" "$out/$program"
cp /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
mv "crates/$crate/${program}_bin.cdx.json" "$out/usr/share/sbom/"
find crates tests xtask -name '*.cdx.json' -delete
echo "greenlight:x:65532:65532::/:/$program" > "$out/etc/passwd"
echo 'greenlight:x:65532:' > "$out/etc/group"
# The user of the image is not the one who builds, whose new files may be for nobody else.
chmod -R go=rX "$out"

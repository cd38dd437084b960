#!/bin/sh
# Packs the plugin as krew installs it: an archive of a binary that runs on this machine, and a manifest of all the archives in the folder.
# On a release each kind of machine packs its own; they are put into one folder then, and manifest.sh names them all.
#
#   deploy/krew/pack.sh BINARY FOLDER [KIND]     KIND: the binary's, such as darwin_amd64; default: this machine's
set -eu
binary=$1 folder=$2 kind=${3:-}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

if [ -z "$kind" ]; then
	case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) echo "name the kind on $(uname -s): windows_amd64" >&2; exit 64 ;; esac
	case $(uname -m) in x86_64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
	kind=${os}_$arch
fi
name=kubectl-greenlight
case $kind in windows_*) name=kubectl-greenlight.exe ;; esac
version=v$("$binary" version | cut -d' ' -f2)

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
cp "$binary" "$staging/$name"
cp "$top/LICENSE" "$staging/"
"$binary" completion kubectl > "$staging/kubectl_complete-greenlight"
chmod 755 "$staging/$name" "$staging/kubectl_complete-greenlight"
"$binary" man "$staging/man"
mkdir -p "$folder"
# Without this, macOS' tar adds a file ._NAME beside each.
export COPYFILE_DISABLE=1
tar -C "$staging" -czf "$folder/kubectl-greenlight_${version}_$kind.tar.gz" .

"$top/deploy/krew/manifest.sh" "$folder" "$version"
echo "wrote $folder/greenlight.yaml and $folder/kubectl-greenlight_${version}_$kind.tar.gz"

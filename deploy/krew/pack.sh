#!/bin/sh
# Packs the plugin as krew installs it: an archive of a binary of this machine's kind, and a manifest of all the archives in the folder.
# On a release each kind of machine packs its own into one folder; the manifest that the last one writes names them all.
#
#   deploy/krew/pack.sh BINARY FOLDER
set -eu
binary=$1 folder=$2
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' "$top/Cargo.toml")

case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) echo "no archive is made on $(uname -s)" >&2; exit 1 ;; esac
case $(uname -m) in x86_64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
version=v$("$binary" version | cut -d' ' -f2)

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
cp "$binary" "$staging/kubectl-greenlight"
cp "$top/LICENSE" "$staging/"
"$binary" completion kubectl > "$staging/kubectl_complete-greenlight"
chmod 755 "$staging/kubectl-greenlight" "$staging/kubectl_complete-greenlight"
"$binary" man "$staging/man"
mkdir -p "$folder"
tar -C "$staging" -czf "$folder/kubectl-greenlight_${version}_${os}_${arch}.tar.gz" .

sum() { if command -v sha256sum > /dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }
{
	cat <<- END
		apiVersion: krew.googlecontainertools.github.com/v1alpha2
		kind: Plugin
		metadata:
		  name: greenlight
		spec:
		  version: $version
		  homepage: $repository
		  shortDescription: See and drive blue-green rollouts
		  description: |
		    Shows what the rollouts of the Greenlight operator are doing and what they want from you; promotes, aborts
		    and rolls back; says what applying a manifest would do, and what is wrong with a release that stands still.
		  caveats: |
		    The operator has to be installed in the cluster: see $repository
		    To complete names in the shell, put the script into a folder on the PATH:
		      kubectl greenlight completion kubectl > ~/.local/bin/kubectl_complete-greenlight
		      chmod +x ~/.local/bin/kubectl_complete-greenlight
		  platforms:
	END
	for archive in "$folder"/kubectl-greenlight_"$version"_*.tar.gz; do
		name=$(basename "$archive")
		kind=${name#kubectl-greenlight_"$version"_}
		kind=${kind%.tar.gz}
		cat <<- END
			  - selector:
			      matchLabels:
			        os: ${kind%_*}
			        arch: ${kind#*_}
			    uri: $repository/releases/download/$version/$name
			    sha256: $(sum "$archive")
			    bin: kubectl-greenlight
		END
	done
} > "$folder/greenlight.yaml"
echo "wrote $folder/greenlight.yaml and $folder/kubectl-greenlight_${version}_${os}_${arch}.tar.gz"

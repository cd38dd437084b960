#!/bin/sh
# Writes the manifest by which krew installs the plugin: it names every archive in the folder, with its sum.
#
#   deploy/krew/manifest.sh FOLDER VERSION
set -eu
folder=$1 version=$2
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' "$top/Cargo.toml")

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
		    Shows what the rollouts of the Greenlight operator are doing and what they need from you; promotes, aborts
		    and rolls back; lists what applying a manifest would do, and what is wrong with a release that is stuck.
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
			    bin: kubectl-greenlight$(case $kind in (windows_*) echo .exe ;; esac)
		END
	done
} > "$folder/greenlight.yaml"

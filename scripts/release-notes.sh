#!/bin/sh
# Prints the section of a version from the changelog, with links to the pages of that version. Exit code 1: there is none, or it has the
# words "not released yet".
#
#   scripts/release-notes.sh 0.1.0
set -eu
[ $# -eq 1 ] || { sed -n '2,/^set -eu/{/^# \{0,1\}/s/^# \{0,1\}//p;}' "$0" >&2; exit 64; }
top=$(dirname "$0")/..
# A link within the repository leads nowhere from the page of a release.
pages=$(sed -n 's/^repository = "\(.*\)"/\1/p' "$top/Cargo.toml")/blob/v$1/docs/
notes=$(awk -v version="$1" -v pages="$pages" '
    /^## / { inside = $2 == version || $2 == version "," ; if (inside && /not released/) { inside = 0 } ; next }
    inside { gsub(/\]\(docs\//, "](" pages); print }
' "$top/CHANGELOG.md")
[ -n "$notes" ] || { echo "the changelog has no released section $1" >&2; exit 1; }
printf '%s\n' "$notes"

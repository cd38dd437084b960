#!/bin/sh
# Prints the section of a version from the changelog. Exit code 1: there is none, or it says "not released yet".
#
#   scripts/release-notes.sh 0.1.0
set -eu
[ $# -eq 1 ] || { sed -n '2,/^set -eu/{/^# \{0,1\}/s/^# \{0,1\}//p;}' "$0" >&2; exit 64; }
notes=$(awk -v version="$1" '
    /^## / { inside = $2 == version || $2 == version "," ; if (inside && /not released/) { inside = 0 } ; next }
    inside { print }
' "$(dirname "$0")/../CHANGELOG.md")
[ -n "$notes" ] || { echo "the changelog has no released section $1" >&2; exit 1; }
printf '%s\n' "$notes"

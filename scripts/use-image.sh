#!/bin/sh
# Writes the name of Greenlight's image wherever this checkout names it: the chart and its values, deploy/install.yaml, the examples and
# their Job. The dashboard's image, in the chart, gets the same name with -dashboard. It can be run again with another name. Exit
# code 64: called wrongly.
#
#   scripts/use-image.sh registry.example.com/team/greenlight:0.1.0
set -eu
usage() {
    sed -n '2,/^set -eu/{/^# \{0,1\}/s/^# \{0,1\}//p;}' "$0" >&2
    exit 64
}
[ $# -eq 1 ] || usage
image=$1
# A tag is what comes after the last colon, unless that is a port.
case ${image##*/} in
    ?*:?*) ;;
    *) echo "an image has a tag: $image:0.1.0" >&2; usage ;;
esac
case $image in
    *[!A-Za-z0-9./_:-]*) echo "this is not the name of an image: $image" >&2; usage ;;
esac
cd "$(dirname "$0")/.."
before=$(sed -n 's/^ *image: //p' deploy/examples/blue-green/rollout.yaml)

replace() {
    file=$1
    shift
    sed "$@" "$file" >"$file.new"
    cmp -s "$file.new" "$file" || cat "$file.new" >"$file"
    rm "$file.new"
}
grep -rlF "image: $before" deploy | while read -r file; do
    replace "$file" "s|image: $before\$|image: $image|"
done
tag=${image##*:}
replace charts/greenlight/Chart.yaml -e "/- name: greenlight\$/{n;s|image: .*|image: $image|;}" \
    -e "/- name: greenlight-dashboard\$/{n;s|image: .*|image: ${image%:*}-dashboard:$tag|;}"
# The chart's default is its own version.
[ "$tag" != "$(sed -n 's/^appVersion: "\(.*\)"/\1/p' charts/greenlight/Chart.yaml)" ] || tag=''
replace charts/greenlight/values.yaml -e "/^image:/,/pullPolicy:/s|^  repository: .*|  repository: ${image%:*}|" \
    -e "/^image:/,/pullPolicy:/s|^  tag: .*|  tag: \"$tag\"|" \
    -e "/^dashboard:/,/resources:/s|^    repository: .*|    repository: ${image%:*}-dashboard|" \
    -e "/^dashboard:/,/resources:/s|^    tag: .*|    tag: \"$tag\"|"
echo "The checkout names $image."

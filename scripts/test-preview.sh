#!/bin/sh
# Smoke-tests the preview of a rollout, by its host name or through a port-forward. Exit code 0: every check passed; 1: one failed;
# 64: called wrongly.
#
#   scripts/test-preview.sh --url http://blue-green-preview.local
#   scripts/test-preview.sh --rollout blue-green-app --namespace canary-blue-green
#
#   --path PATH        to ask for; can be repeated                                     [/]
#   --contains TEXT    that every answer must have in it
#   --requests N       for each path                                                   [20]
#   --timeout SECONDS  for each request                                                [5]
set -u

url='' rollout='' namespace='' paths='' contains='' requests=20 timeout=5
usage() {
    sed -n '2,/^set -u/{/^# \{0,1\}/s/^# \{0,1\}//p;}' "$0" >&2
    exit 64
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --url) url=${2%/} ;;
        --rollout) rollout=$2 ;;
        --namespace | -n) namespace=$2 ;;
        --path) paths="$paths $2" ;;
        --contains) contains=$2 ;;
        --requests) requests=$2 ;;
        --timeout) timeout=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[ -n "$url" ] || [ -n "$rollout" ] || usage
# Without a request nothing is tested.
[ "$requests" -gt 0 ] 2>/dev/null || usage
[ -n "$paths" ] || paths=/
command -v curl >/dev/null || { echo "this needs curl" >&2; exit 64; }

work=$(mktemp -d)
forward=''
finish() {
    [ -z "$forward" ] || kill "$forward" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

if [ -z "$url" ]; then
    set -- ${namespace:+-n "$namespace"}
    service=$(kubectl get bluegreenrollout "$rollout" "$@" -o jsonpath='{.spec.strategy.blueGreen.previewService}') || exit 1
    [ -n "$service" ] || { echo "rollout $rollout has no previewService" >&2; exit 1; }
    port=$(kubectl get service "$service" "$@" -o jsonpath='{.spec.ports[0].port}') || exit 1
    kubectl port-forward "service/$service" ":$port" "$@" >"$work/forward" 2>&1 &
    forward=$!
    tries=0
    until local_port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p' "$work/forward") && [ -n "$local_port" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$forward" 2>/dev/null; then
            cat "$work/forward" >&2
            exit 1
        fi
        sleep 0.1
    done
    url=http://127.0.0.1:$local_port
    echo "testing Service $service by a port-forward"
fi

failed=0
for path in $paths; do
    passed=0 number=0
    while [ $number -lt "$requests" ]; do
        number=$((number + 1))
        code=$(curl --silent --show-error --max-time "$timeout" --header 'Connection: close' --output "$work/body" \
            --write-out '%{http_code}' "$url$path" 2>"$work/error") || code=none
        case $code in
            2??)
                if [ -z "$contains" ] || grep -qF -- "$contains" "$work/body"; then
                    passed=$((passed + 1))
                else
                    echo "✖ $url$path: \"$contains\" is not in the answer" >&2
                fi
                ;;
            none) echo "✖ $url$path: $(cat "$work/error")" >&2 ;;
            *) echo "✖ $url$path: answered $code" >&2 ;;
        esac
    done
    mark=✔
    [ $passed -eq "$requests" ] || { mark=✖ failed=1; }
    echo "$mark $url$path: $passed of $requests passed"
done
[ $failed -eq 0 ] && echo "The preview is good." || echo "The preview is not good." >&2
exit $failed

#!/bin/sh
# A release from a pipeline: check the manifests, apply them, wait for the preview, test it, promote it, and watch production for a
# while; a preview that fails is aborted, production that fails is rolled back. Exit code 0: the new version serves. The manifests have one
# rollout, with a template of its own, and nothing of another namespace.
#
#   scripts/release.sh FILE-OR-FOLDER ROLLOUT NAMESPACE
#
#   PREVIEW_TEST   command that tests the preview         [scripts/test-preview.sh by a port-forward]
#   ALARM          command that fails while production is unwell; asked every five seconds     [none]
#   WATCH_SECONDS  how long to ask it after the promotion                                      [60]
#   TIMEOUT        for the preview to become ready, and for the promotion                      [10m]
set -eu
[ $# -eq 3 ] || { sed -n '2,/^set -eu/{/^# \{0,1\}/s/^# \{0,1\}//p;}' "$0" >&2; exit 64; }
manifests=$1 rollout=$2 namespace=$3
here=$(dirname "$0")
: "${PREVIEW_TEST:=$here/test-preview.sh --rollout $rollout --namespace $namespace}"
: "${ALARM:=}" "${WATCH_SECONDS:=60}" "${TIMEOUT:=10m}"

rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
if [ -f "$manifests/kustomization.yaml" ] || [ -f "$manifests/kustomization.yml" ]; then
    kubectl kustomize "$manifests" >"$rendered"
else
    find "$manifests" \( -name '*.yaml' -o -name '*.yml' \) -exec sh -c 'for file; do echo ---; cat "$file"; echo; done' sh {} + >"$rendered"
fi

echo "== lint and plan"
kubectl greenlight lint "$rendered"
# The API server tries nothing in a namespace that only these manifests make.
if kubectl get namespace "$namespace" 2>&1 | grep -q NotFound; then
    echo "Namespace $namespace does not exist yet: nothing to plan."
else
    kubectl greenlight plan --file "$rendered" --namespace "$namespace"
fi

echo "== apply"
kubectl apply --filename "$rendered" --namespace "$namespace"

echo "== wait for the preview"
code=0
kubectl greenlight status "$rollout" --namespace "$namespace" --timeout "$TIMEOUT" || code=$?
case $code in
    0) echo "Nothing waits for a promotion."; exit 0 ;;
    3) ;;
    *) kubectl greenlight doctor "$rollout" --namespace "$namespace" || true; exit "$code" ;;
esac
reason=$(kubectl get bluegreenrollout "$rollout" --namespace "$namespace" --output jsonpath='{.status.conditions[?(@.type=="Paused")].reason}')
if [ "$reason" = AnalysisInconclusive ]; then
    echo "An analysis came to no conclusion. A person looks at it, and promotes or aborts." >&2
    exit 3
fi
# What is tested is what is promoted or aborted. A newer commit may arrive at any moment, and the preview shows it a while later.
revisions() {
    kubectl get bluegreenrollout "$rollout" --namespace "$namespace" --output jsonpath='{.status.updatedRevision} {.status.previewRevision}'
}
newer() {
    echo "A newer revision has arrived. Nothing is promoted or aborted: run this again." >&2
    exit 1
}
tested=$(revisions)
revision=${tested%% *}
# Without a preview Service it shows none.
if [ "$tested" != "$revision $revision" ] && [ "$tested" != "$revision " ]; then
    echo "The preview does not show revision $revision: a newer one has arrived, or it has no pods (spec.replicas: 0). Nothing is promoted or aborted." >&2
    exit 1
fi

echo "== test the preview"
good=true
sh -c "$PREVIEW_TEST" || good=false
now=$(revisions)
[ "${now%% *}" = "$revision" ] || newer
if [ $good = false ]; then
    kubectl greenlight abort "$rollout" --revision "$revision" --namespace "$namespace"
    exit 1
fi

echo "== promote"
kubectl greenlight promote "$rollout" --revision "$revision" --namespace "$namespace" --timeout "$TIMEOUT"

[ -n "$ALARM" ] || exit 0
echo "== watch production for $WATCH_SECONDS s"
end=$(($(date +%s) + WATCH_SECONDS))
while [ "$(date +%s)" -lt "$end" ]; do
    if ! sh -c "$ALARM"; then
        echo "Production is unwell."
        kubectl greenlight undo "$rollout" --namespace "$namespace"
        exit 1
    fi
    sleep 5
done

#!/bin/bash
# The chart on a real Kubernetes: installs it, puts, gets, deletes a pod, all
# pods, and finds the data again. A namespace of its own, removed at the end.
#   KUBECONFIG   the cluster; without one that answers this is skipped
#   IMAGE        an image that the cluster can pull; else it is built here and
#   K8S_LOAD     is the command that brings it there: $K8S_LOAD NAME
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
[[ $BUILD == /* ]] || BUILD=$here/$BUILD
export BUILD

skip() {
    echo "test-k8s: SKIPPED: $*"
    echo "test-k8s: 0 passed, 0 failed"
    exit 0
}
[[ -n ${KUBECONFIG:-} ]] || skip "KUBECONFIG names no cluster"
command -v kubectl >/dev/null || skip "no kubectl here"
timeout 20 kubectl get --raw /readyz >/dev/null 2>&1 ||
    skip "the cluster of $KUBECONFIG does not answer"
helm=${HELM:-$(command -v helm || "$here/deploy/peers.sh" helm)}
[[ -n $helm ]] || skip "no helm here"
if [[ -z ${IMAGE:-} ]]; then
    [[ -n ${K8S_LOAD:-} ]] ||
        skip "neither IMAGE nor K8S_LOAD says how the image gets there"
    IMAGE=cofre:k8s-$$
    "$here/deploy/image.sh" "$IMAGE"
    # shellcheck disable=SC2086 # a command with its words
    $K8S_LOAD "$IMAGE"
    built=yes
fi

ns=cofre-test-$$
passed=0 failed=0
finish() {
    status=$?
    if [[ $status != 0 ]]; then
        failed=1
        kubectl -n "$ns" get pods,pvc -o wide || true
        kubectl -n "$ns" get events --sort-by=.lastTimestamp | tail -15 || true
        for i in 0 1 2; do
            kubectl -n "$ns" logs --tail=10 "t-cofre-$i" || true
        done
    fi
    kubectl delete ns "$ns" --wait=false >/dev/null 2>&1 || true
    [[ -z ${built:-} ]] || docker rmi -f "$IMAGE" >/dev/null 2>&1 || true
    echo "test-k8s: $passed passed, $failed failed"
    exit "$status"
}
trap finish EXIT
ok() {
    passed=$((passed + 1))
    echo "ok $passed $*"
}
ctl() { # pod arg...
    local pod=$1
    shift
    kubectl -n "$ns" exec "t-cofre-$pod" -- etcdctl "$@"
}
wait_ready() {
    kubectl -n "$ns" rollout status --timeout=180s statefulset/t-cofre
}
wait_gone() { # a pod's uid
    for _ in $(seq 300); do
        [[ $(kubectl -n "$ns" get pod "$1" -o jsonpath='{.metadata.uid}' \
            2>/dev/null) == "$2" ]] || return 0
        sleep 0.2
    done
    return 1
}

kubectl create ns "$ns" >/dev/null
# Pods that break the strictest of the standard rules are refused.
kubectl label ns "$ns" pod-security.kubernetes.io/enforce=restricted >/dev/null
"$helm" -n "$ns" install t "$here/helm/cofre" --set persistence.size=64Mi \
    --set image.repository="${IMAGE%:*}" --set image.tag="${IMAGE##*:}"
wait_ready
ok "three nodes are ready"
[[ $(ctl 0 member list -w table | grep -c started) == 3 ]]
ok "member list"
ctl 0 put /k8s value
[[ $(ctl 1 get /k8s --print-value-only) == value ]]
ok "put on one node, get on another"

uid=$(kubectl -n "$ns" get pod t-cofre-1 -o jsonpath='{.metadata.uid}')
kubectl -n "$ns" delete pod t-cofre-1 --wait=false
wait_gone t-cofre-1 "$uid"
[[ $(ctl 0 put /meanwhile 1) == OK ]]
wait_ready
[[ $(ctl 1 get /k8s --print-value-only) == value ]]
[[ $(ctl 1 get /meanwhile --print-value-only) == 1 ]]
ok "a deleted pod comes back with its data"

kubectl -n "$ns" delete pods --all --grace-period=0 --force >/dev/null 2>&1
for _ in $(seq 100); do
    ready=$(kubectl -n "$ns" get statefulset t-cofre \
        -o jsonpath='{.status.readyReplicas}')
    [[ ${ready:-0} -lt 3 ]] && break
    sleep 0.1
done
wait_ready
[[ $(ctl 2 get /k8s --print-value-only) == value ]]
ok "all pods killed: the cluster comes back by itself"
[[ $(kubectl -n "$ns" run probe --image="$IMAGE" --restart=Never --rm -i \
    --quiet --overrides='{"spec":{"securityContext":{"runAsNonRoot":true,
    "seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"probe",
    "image":"'"$IMAGE"'","command":["etcdctl","--endpoints=t-cofre:2379",
    "get","/k8s","--print-value-only"],"securityContext":{
    "allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}') \
    == value* ]]
ok "another pod reads through the service"
"$helm" -n "$ns" uninstall t >/dev/null
[[ $(kubectl -n "$ns" get pvc -o name | wc -l) == 3 ]]
ok "uninstalling keeps the volumes"

#!/usr/bin/env bats
# The Helm chart without a cluster: what it renders. make test-k8s installs it.
load helper

setup_file() {
    HELM=${HELM:-$(command -v helm || "$ROOT/deploy/peers.sh" helm)}
    export HELM
}

setup() {
    [ -n "$HELM" ] || skip "no helm here"
    CHART=$ROOT/helm/cofre
}

render() {
    "$HELM" template t "$CHART" --namespace ns --kube-version 1.30.0 "$@"
}

@test "helm lint --strict" {
    "$HELM" lint --strict "$CHART"
}

@test "values that make no sense are refused" {
    run render --set replicas=2
    [ "$status" != 0 ]
    has "$output" replicas
    run render --set nonsense=1
    [ "$status" != 0 ]
    run render --set persistence.size=big
    [ "$status" != 0 ]
    run render --set 'extraArgs={word}'
    [ "$status" != 0 ]
}

@test "the nodes are hardened, and start together" {
    local all
    all=$(render)
    for line in "runAsNonRoot: true" "readOnlyRootFilesystem: true" \
        "drop: [ALL]" "type: RuntimeDefault" \
        "allowPrivilegeEscalation: false" \
        "automountServiceAccountToken: false" \
        "podManagementPolicy: Parallel" "publishNotReadyAddresses: true" \
        "path: /livez" "path: /readyz" "maxUnavailable: 1" "clusterIP: None"; do
        has "$all" "$line"
    done
}

@test "each node is told of all nodes, by the names that they will have" {
    local i url
    for i in 0 1 2; do
        url=http://t-cofre-$i.t-cofre-peers.ns.svc.cluster.local:2380
        has "$(render | grep -- --initial-cluster=)" "t-cofre-$i=$url"
    done
    is 5 "$(render --set replicas=5 | grep -- --initial-cluster= |
        grep -o ':2380' | wc -l)"
    has "$(render)" "serviceName: t-cofre-peers"
}

@test "the chart's version is the program's" {
    has "$(cat "$CHART/Chart.yaml")" "appVersion: \"$(cat "$ROOT/VERSION")\""
}

@test "kubeconform finds every object valid" {
    local kubeconform
    kubeconform=$(command -v kubeconform ||
        "$ROOT/deploy/peers.sh" kubeconform)
    [ -n "$kubeconform" ] || skip "no kubeconform here"
    run bash -c "'$HELM' template t '$CHART' --kube-version 1.30.0 |
        timeout 60 '$kubeconform' -strict -summary ${KUBECONFORM_ARGS:-}"
    [[ $output != *"failed downloading schema"* ]] ||
        skip "the schemas cannot be fetched here"
    is 0 "$status"
    has "$output" "Invalid: 0, Errors: 0, Skipped: 0"
}

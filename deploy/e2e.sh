#!/bin/bash
# The end-to-end tests on the built binaries.
#   deploy/e2e.sh [BATS-FILE...]        (default: all of tests/e2e)
# BUILD, COFRE and COFRECTL as everywhere; ETCD, ETCDCTL34, ETCDCTL37, ETCDUTL
# may name stock programs, else they are looked for and built (peers.sh).
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
[[ $BUILD == /* ]] || BUILD=$here/$BUILD
: "${COFRE:=$BUILD/cofre}" "${COFRECTL:=$BUILD/cofrectl}"
[[ -x $COFRE && -x $COFRECTL ]] || {
    echo "e2e: $COFRE or $COFRECTL is missing: run make first" >&2
    exit 1
}
"$here/deploy/deps.sh" test

debian=$(command -v etcdctl || true)
[[ -n $debian && $("$debian" version) == *"version: 3.4."* ]] || debian=
: "${ETCDCTL34:=$debian}"
[[ -n $ETCDCTL34 ]] || echo "e2e: no etcdctl 3.4 here: done without"
for name in etcd etcdctl etcdutl; do
    case $name in
    etcd) : "${ETCD:=$("$here/deploy/peers.sh" etcd)}" ;;
    etcdctl) : "${ETCDCTL37:=$("$here/deploy/peers.sh" etcdctl)}" ;;
    etcdutl) : "${ETCDUTL:=$("$here/deploy/peers.sh" etcdutl)}" ;;
    esac
done
# The plug-in that docker runs as `docker compose`, where it is lacking: for
# these tests only, in a configuration of their own.
if docker info >/dev/null 2>&1 && ! docker compose version >/dev/null 2>&1
then
    compose=$("$here/deploy/peers.sh" compose)
    if [[ -n $compose ]]; then
        config=$(mktemp -d)
        trap 'rm -rf "$config"' EXIT
        [[ ! -d ${DOCKER_CONFIG:-$HOME/.docker} ]] ||
            cp -R "${DOCKER_CONFIG:-$HOME/.docker}/." "$config/"
        mkdir -p "$config/cli-plugins"
        ln -sf "$compose" "$config/cli-plugins/docker-compose"
        export DOCKER_CONFIG=$config
    fi
fi
export BUILD COFRE COFRECTL ETCD ETCDCTL34 ETCDCTL37 ETCDUTL

[[ $# -gt 0 ]] || set -- "$here"/tests/e2e/*.bats
log=$(mktemp)
bats --timing --tap "$@" </dev/null 2>&1 | tee "$log" || true
passed=$(grep -c '^ok ' "$log" || true)
skipped=$(grep -c '^ok .*# skip' "$log" || true)
failed=$(grep -c '^not ok ' "$log" || true)
# Tests that bats announced and never ran count as failed.
planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$log" | tail -n1)
[[ -z $planned || $((passed + failed)) -ge $planned ]] ||
    failed=$((planned - passed))
rm -f "$log"
echo "e2e: $((passed - skipped)) passed, $failed failed, $skipped skipped"
[[ $failed == 0 && $passed -gt 0 ]]

#!/usr/bin/env bash
# What the API promises: build/conformance/* against cofre, and against an
# etcd where there is one, so that the tests are right.
#   tests/conformance/conformance.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
# shellcheck source=tests/servers.bash
. "$top/tests/servers.bash"

passed=0 failed=0
# run PROGRAM ARG...: its last line is "N passed, M failed".
run() {
    foreground "$BUILD/conformance/$1" "${@:2}" >"$work/out" 2>&1 || true
    cat "$work/out"
    if [[ $(tail -n 1 "$work/out") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
    then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
        tail -n 5 "$work"/*.log
    fi
}

# on KIND BINARY: everything on one node, the table on three as well.
on() {
    start "$1" "$2" 1
    echo "-- $1, one node"
    run table "$urls"
    run watch "$urls" "${started[0]}"
    stop_servers
    start "$1" "$2" 3
    echo "-- $1, three nodes"
    run table "$urls"
    stop_servers
}

if [ -n "$ETCD" ]; then
    on etcd "$ETCD"
else
    echo "conformance: no etcd here: cofre alone"
fi
on cofre "$BUILD/cofre"
echo "conformance: $passed passed, $failed failed"
[ $failed = 0 ]

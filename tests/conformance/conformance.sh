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
    foreground "$BUILD/conformance/$1" "${@:2}" >"$work/out" \
        2>"$work/err" || true
    cat "$work/out"
    # bash's own word on a server that a row has killed
    grep -v ': line [0-9]*: .* Killed ' "$work/err" || true
    if [[ $(tail -n 1 "$work/out") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
    then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
        tail -n 5 "$work"/*.log
    fi
}

# on KIND BINARY: everything on one node, the table on three as well; last of
# all the rows after which there are but two.
on() {
    start "$1" "$2" 1 "${flags[@]}"
    echo "-- $1, one node"
    run table "$1" "$urls" "$here"/rows/*.rows
    run watch "$urls" "${started[0]}"
    stop_servers
    start "$1" "$2" 3 "${flags[@]}"
    echo "-- $1, three nodes"
    run table "$1" "$urls" "$here"/rows/*.rows
    PIDS="${started[*]}" run table "$1" "$urls" "$here/rows/last/killed.rows"
    stop_servers
}

flags=(--watch-progress-notify-interval 200ms)
run table --coverage "$top/README.md" "$here"/rows/*.rows
if [ -n "$ETCD" ]; then
    on etcd "$ETCD"
else
    echo "conformance: no etcd here: cofre alone"
fi
on cofre "$BUILD/cofre"
echo "conformance: $passed passed, $failed failed"
[ $failed = 0 ]

#!/usr/bin/env bash
# What the API promises: build/conformance/* against cofre, and against an
# etcd where there is one, so that the tests are right.
#   tests/conformance/conformance.sh [FILE...]    FILE: only these of rows/own
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

# own KIND BINARY FILE...: rows that want servers of their own: fresh ones for
# each file, started as its line "servers N FLAG..." says.
own() {
    local file n more
    passed=0 failed=0
    trap 'stop_servers; exit 1' TERM
    for file in "${@:3}"; do
        read -r n more < <(sed -n 's/^servers //p' "$file")
        # shellcheck disable=SC2086 # a list of words
        start "$1" "$2" "$n" $more
        echo "-- $1, ${file##*/}"
        PIDS="${started[*]}" SPARE_CLIENT=http://127.0.0.1:$(free_port) \
            SPARE_PEER=http://127.0.0.1:$(free_port) \
            run table "$1" "$urls" "$file"
        stop_servers
    done
    echo "$passed passed, $failed failed"
}

# They wait most of the time, so that some run at once: lanes.
lanes=()
lane() { # FUNCTION ARG...: its last line is "N passed, M failed"
    local folder=$work/lane${#lanes[@]}
    mkdir "$folder"
    (work=$folder && "$@") >"$folder.out" 2>&1 &
    lanes+=($!)
}
begin_own() { # KIND BINARY FILE...
    local i first=() second=()
    for ((i = 3; i <= $#; i += 2)); do first+=("${!i}"); done
    for ((i = 4; i <= $#; i += 2)); do second+=("${!i}"); done
    lane own "$1" "$2" "${first[@]}"
    [ ${#second[@]} = 0 ] || lane own "$1" "$2" "${second[@]}"
}
# The table through cofre's gRPC proxies, one before each member.
proxied() { # N
    trap 'stop_servers; exit 1' TERM
    passed=0 failed=0
    start cofre "$BUILD/cofre" "$1" "${flags[@]}"
    front "$urls"
    echo "-- cofre behind its proxy, $1 of each"
    run table proxy "$fronts" "$here"/rows/*.rows
    stop_servers
    echo "$passed passed, $failed failed"
}
end_lanes() {
    local pid file
    for pid in "${lanes[@]}"; do wait "$pid" || true; done
    lanes=()
    for file in "$work"/lane*.out; do
        sed '$d' "$file"
        if [[ $(tail -n 1 "$file") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
        then
            passed=$((passed + BASH_REMATCH[1]))
            failed=$((failed + BASH_REMATCH[2]))
        else
            failed=$((failed + 1))
        fi
    done
}
trap 'kill "${lanes[@]}" 2>/dev/null || true; wait || true; cleanup' EXIT

flags=(--watch-progress-notify-interval 200ms)
if [ $# = 0 ]; then
    run table --coverage "$top/README.md" "$here"/rows/*.rows
    [ -z "$ETCD" ] || on etcd "$ETCD"
    on cofre "$BUILD/cofre"
    lane proxied 1
    lane proxied 3
    set -- "$here"/rows/own/*.rows
fi
[ -z "$ETCD" ] || begin_own etcd "$ETCD" "$@"
begin_own cofre "$BUILD/cofre" "$@"
end_lanes
[ -n "$ETCD" ] || echo "conformance: no etcd here: cofre alone"
echo "conformance: $passed passed, $failed failed"
[ $failed = 0 ]

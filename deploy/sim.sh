#!/bin/bash
# The simulator, started by make.
#   deploy/sim.sh runs BUILD RUNS SEED JOBS
#   deploy/sim.sh bugs BUILD JOBS
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
BUGS_RUNS=500 # seeds within which each mistake must be found
SAME_RUNS=10  # seeds run in both builds
SAN_RUNS=400  # of the runs, again under the sanitizers

# A seed is the same run in each build: its trace has the same hash.
same() { # BUILD FIRST_SEED
    local seed a b
    for ((seed = $2; seed < $2 + SAME_RUNS; seed++)); do
        a=$("$1/sim.rel" --seed "$seed" | sed -n 1p)
        b=$("$1/sim.san" --seed "$seed" | sed -n 1p)
        if [[ $a != "$b" || $a != *" hash "* ]]; then
            printf 'sim: seed %s is two runs:\n%s\n%s\n' "$seed" "$a" "$b" >&2
            exit 1
        fi
    done
    echo "sim: $SAME_RUNS seeds have the same trace in both builds"
}

runs() {
    local build=$1 runs=$2 seed=$3 jobs=$4
    local passed=0 failed=0 line status=0
    one() {
        echo "== $*"
        "$@" 2>&1 | tee "$log" || status=1
        line=$(grep '^sim: ' "$log" | tail -n1)
        [[ $line =~ ^sim:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] || {
            echo "sim: $1 ended without a count" >&2
            exit 1
        }
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    }
    same "$build" "$seed"
    one "$build/sim.rel" --runs "$runs" --from "$seed" --jobs "$jobs"
    one "$build/sim.san" --runs $((runs < SAN_RUNS ? runs : SAN_RUNS)) \
        --from "$seed" --jobs "$jobs"
    echo "sim: $passed passed, $failed failed"
    [[ $failed == 0 && $status == 0 ]]
}

bugs() {
    local build=$1 jobs=$2 bug found=0 missed=0
    for bug in $("$build/sim.bug" --list-bugs); do
        if "$build/sim.bug" --bug "$bug" --runs $BUGS_RUNS --jobs "$jobs" \
            --until-failure --no-shrinking >"$log" 2>&1; then
            echo "$bug: not found in $BUGS_RUNS seeds"
            missed=$((missed + 1))
        else
            echo "$bug: $(grep -m1 -E 'seed [0-9]+( FAILED|: ended)' "$log" |
                sed 's/ hash .* expired [0-9]*//')"
            found=$((found + 1))
        fi
    done
    echo "sim-bugs: $found passed, $missed failed"
    [[ $missed == 0 && $found -gt 0 ]]
}

case ${1:-} in
runs | bugs) "$@" ;;
*)
    echo "usage: deploy/sim.sh runs|bugs ..." >&2
    exit 2
    ;;
esac

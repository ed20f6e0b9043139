#!/bin/bash
# Every test: what it lacks is installed, each suite prints its count, and the
# last line is the sum: "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 summary=

# suite NAME COMMAND...: closes with "...N passed, M failed...".
suite() {
    local name=$1 start=$SECONDS status=0 count p=0 f=0
    shift
    echo "== $name"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    count=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n1)
    if [[ $count =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    fi
    # A suite that broke off, or ran nothing without saying why, has failed.
    if [[ $f == 0 ]] && { [[ $status != 0 ]] ||
        { [[ $p == 0 ]] && ! grep -q "^$name: SKIPPED: " "$log"; }; }; then
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    summary+="$name: $p passed, $f failed ($((SECONDS - start)) s)"$'\n'
}

# build: one "test" that everything else stands on.
build() {
    make -s all && echo "build: 1 passed, 0 failed"
}

deploy/deps.sh || exit 1
deploy/deps.sh test || exit 1
suite build build
suite lint deploy/lint.sh
suite unit make -s unit
suite sim make -s sim
suite sim-bugs make -s sim-bugs
if [[ -x $BUILD/cofre && -x $BUILD/cofrectl ]]; then
    suite diff make -s diff RUNS=250
    suite conformance make -s conformance
    suite e2e deploy/e2e.sh
else
    suite diff false
    suite conformance false
    suite e2e false
fi
echo
printf '%s' "$summary"
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]

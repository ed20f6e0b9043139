#!/bin/sh
# Runs unit test programs, each in a temporary folder of its own, and closes with a count.
passed=0 failed=0
for test; do
    case $test in /*) ;; *) test=$PWD/$test ;; esac
    dir=$(mktemp -d) || exit 1
    if (cd "$dir" && "$test" >"$dir/log" 2>&1); then
        passed=$((passed + $(grep -c '^\[       OK \]' "$dir/log")))
    else
        cat "$dir/log"
        echo "FAILED: $test"
        failed=$((failed + 1))
        passed=$((passed + $(grep -c '^\[       OK \]' "$dir/log")))
    fi
    rm -rf "$dir"
done
echo "unit: $passed passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/bash
# Writes PREFIX<n> = n for n = 1, 2, ... until it is told to stop (TERM), and
# notes each write that was acknowledged, with the time: "<ms> PREFIX<n> <n>".
#   writer.sh CLIENT ENDPOINTS PREFIX ACKNOWLEDGED-FILE
# A write that got no answer may have happened or not: it is never repeated.
client=$1 endpoints=$2 prefix=$3 acked=$4
n=0
trap 'exit 0' TERM
while :; do
    n=$((n + 1))
    if "$client" --endpoints="$endpoints" --command-timeout=1s \
        put "$prefix$n" "$n" >/dev/null 2>&1; then
        echo "$((${EPOCHREALTIME/./} / 1000)) $prefix$n $n" >>"$acked"
    fi
done

#!/usr/bin/env bats
# ARCHITECTURE.md tells the life of a Put by file and function: each one must
# be defined there, or the page lies.

@test "the life of a Put names functions that exist where it says" {
    cd "$BATS_TEST_DIRNAME/../.."
    rows=0
    while IFS='|' read -r _ hop file function _; do
        file=$(tr -d ' `' <<<"$file")
        function=$(tr -d ' `' <<<"$function")
        rows=$((rows + 1))
        [ -f "$file" ] || {
            echo "$hop: no file $file"
            return 1
        }
        grep -qE "^[a-z].*[ *]$function\(" "$file" || {
            echo "$hop: $file defines no $function()"
            return 1
        }
    done < <(grep -E '^\| .* \| `node/[^`]*\.c` \| `[a-z_]+` \|$' ARCHITECTURE.md)
    echo "$rows rows"
    [ "$rows" -ge 20 ]
}

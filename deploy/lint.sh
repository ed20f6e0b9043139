#!/bin/sh
# Checks the tree against its own rules; each finding is file:line and why.
#   deploy/lint.sh [RULE...]
# Rules: layers, pure, format, size, shell, cppcheck, paths (default: all).
set -u

cd "$(dirname "$0")/.." || exit 2
lines_max=600
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

list_files() {
    if [ -e .git ] && command -v git >/dev/null; then
        git ls-files -co --exclude-standard | while read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
    else
        find . -path ./build -prune -o -type f -print | sed 's,^\./,,'
    fi | LC_ALL=C sort -u
}
list_files >"$work/files"
grep -E '^(node|client)/.*\.[ch]$' "$work/files" >"$work/sources"
grep -E '\.[ch]$' "$work/files" >"$work/c"

need() {
    command -v "$1" >/dev/null && return
    echo "lint: $1 is not installed: deploy/deps.sh test"
    return 1
}

# The #include lines with quotes against the USES_ lines of the Makefile:
# a module includes headers of its own folder, any of base, and the doors of
# the modules it may use; what protoc generates is proto's door.
lint_layers() {
    make -s --no-print-directory layers >"$work/layers" || return 1
    xargs grep -Hn '^[ 	]*#[ 	]*include[ 	]*"' <"$work/sources" |
        awk -v layers="$work/layers" '
        function fail(why) { printf "%s:%s: %s\n", file, line, why; bad = 1 }
        BEGIN {
            while ((getline text < layers) > 0) {
                n = split(text, word, /[: ]+/)
                module[word[1]] = 1
                for (i = 2; i <= n; i++) uses[word[1], word[i]] = 1
            }
        }
        {
            split($0, part, ":"); file = part[1]; line = part[2]
            match($0, /"[^"]*"/); inc = substr($0, RSTART + 1, RLENGTH - 2)
            split(file, path, "/")
            if (path[1] == "node") me = path[2]
            else me = path[2] == "cli" ? "cli" : "client"
            if (!(me in module)) { fail("folder is no module of MODULES"); next }
            n = split(inc, to, "/")
            if (inc ~ /\.pb-c\.h$/) {
                if (me != "proto" && !((me, "proto") in uses))
                    fail(me " may not use proto (" inc ")")
                next
            }
            if (path[1] == "client" && (inc == "cofre.h")) next
            if (n == 1) {
                own = file; sub(/[^\/]*$/, inc, own)
                if ((getline text < own) < 0)
                    fail("\"" inc "\" is not in this folder: a door is" \
                         " included as \"module/module.h\"")
                close(own)
                next
            }
            other = to[1]
            if (path[1] == "client" && (other == "lib" || other == "cli")) {
                if (path[2] != other)
                    fail(me " may not include " other "/, only cofre.h")
                next
            }
            if (!(other in module)) { fail(inc " is of no module"); next }
            if (other == me || other == "base") next
            if (!((me, other) in uses))
                fail(me " may not use " other " (see USES_" me ")")
            else if (inc != other "/" other ".h")
                fail(inc " is private to " other ": its door is " \
                     other "/" other ".h")
        }
        END { exit bad }'
}

# Pure cores do no I/O and read no clock: none of the system's headers for it.
lint_pure() {
    grep -E '^node/(raft|replica|h2|lease|watch|apply)/' "$work/sources" \
        >"$work/pure" || return 0
    banned='unistd|fcntl|poll|time|pthread|signal|dirent|netdb|uv|lmdb|sys/.*'
    banned="$banned|arpa/.*|netinet/.*|microhttpd"
    if xargs grep -HnE "^ *# *include *<($banned)\.h>" <"$work/pure" |
        grep -v '<sys/types\.h>' >"$work/out"; then
        sed 's/$/   a pure core does no I\/O and reads no clock/' "$work/out"
        return 1
    fi
}

lint_format() {
    need clang-format || return 1
    [ ! -s "$work/c" ] ||
        xargs clang-format --dry-run -Werror <"$work/c" 2>"$work/out" ||
        {
            # The first place of each file: clang-format -i mends them all.
            awk -F: '/: error:/ && !seen[$1]++ {
                print $1 ":" $2 ": not as .clang-format has it" }' "$work/out"
            return 1
        }
}

lint_size() {
    grep -E '\.([ch]|sh|bats|bash|proto)$' "$work/files" | xargs wc -l |
        awk -v max=$lines_max '$2 != "total" && $1 > max {
            printf "%s:%d: more than %d lines: it holds two ideas\n", \
                $2, $1, max
            bad = 1 } END { exit bad }'
}

lint_shell() {
    need shellcheck || return 1
    while read -r file; do
        case $file in
        *.sh | *.bash | *.bats) echo "$file" ;;
        *.*) ;;
        *) ! head -n1 "$file" | grep -qE '^#!.*[/ ](ba)?sh$' || echo "$file" ;;
        esac
    done <"$work/files" >"$work/scripts"
    xargs shellcheck -x -S warning -f gcc <"$work/scripts"
}

lint_cppcheck() {
    need cppcheck || return 1
    grep '\.c$' "$work/sources" >"$work/units" || return 0
    # What needs the whole program or the libraries' headers is left to gcc,
    # the sanitizers and the tests. Suppressed: what cppcheck 2.10 gets wrong
    # (va_copy, qsort of an array, a call that does not return, initializers
    # with ?:) and what it would forbid (a local's address in a message that
    # does not outlive it).
    cppcheck --quiet --std=c11 --language=c -j2 --inline-suppr \
        --enable=warning,portability --error-exitcode=1 \
        --suppress=missingInclude --suppress=unknownMacro \
        --suppress=va_list_usedBeforeStarted --suppress=uninitvar \
        --suppress=nullPointerRedundantCheck --suppress=internalAstError \
        --suppress=autoVariables \
        --template='{file}:{line}: {message} [{id}]' \
        --max-configs=1 -D__linux__ -D__x86_64__ -D__GNUC__=12 \
        -Inode -Iclient -Iclient/include --file-list="$work/units" 2>&1
}

# Paths of one machine have no place in a tree that runs on any. Temporary
# folders come from mktemp.
lint_paths() {
    if xargs -d '\n' grep -HnIE \
        '(^|[^A-Za-z0-9_./~$}*])/(work|home|root|tmp)/[A-Za-z0-9._-]' \
        <"$work/files" | grep -v 'unix:/' >"$work/out"; then
        sed 's/$/   a path of one machine/' "$work/out"
        return 1
    fi
}

[ $# -gt 0 ] || set -- layers pure format size shell cppcheck paths
passed=0 failed=0
for rule; do
    if "lint_$rule"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "lint: $rule: FAILED"
    fi
done
echo "lint: $passed passed, $failed failed"
[ "$failed" = 0 ]

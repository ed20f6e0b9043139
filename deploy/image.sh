#!/bin/sh
# Builds the image from the binaries of the host: no registry, no network.
#   deploy/image.sh [NAME...]       (default: $COFRE_IMAGE, else
#                               cofre:latest, and cofre:<version>)
# BUILD, COFRE, COFRECTL as for deploy/rootfs.sh.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] ||
    set -- "${COFRE_IMAGE:-cofre:latest}" "cofre:$(cat "$here/VERSION")"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
"$here/deploy/rootfs.sh" "$context"
# The second stage of the Dockerfile, copying from here instead of the first.
sed -n '/^FROM scratch/,$p' "$here/Dockerfile" |
    sed 's,--from=build ,,; s, /out/, ,' >"$context/Dockerfile"
for name; do
    tags="${tags:-} -t $name"
done
# shellcheck disable=SC2086 # words
docker build -q $tags "$context" >"$context/id" 2>"$context/log" || {
    cat "$context/log" >&2
    exit 1
}
echo "image: $* ($(docker image inspect -f '{{.Size}}' "$1" |
    awk '{ printf "%.1f MB", $1 / 1e6 }'))"

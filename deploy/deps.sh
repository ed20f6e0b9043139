#!/bin/sh
# Installs or builds what the build needs, and only what is missing.
#   deploy/deps.sh          what `make` needs, and the unit tests
#   deploy/deps.sh test     what `make test` needs beside that
# BUILD names the build folder (default: build). COFRE_SOURCES may name a
# folder that holds the pinned source archives, for machines off the net.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/cofre/deps

BUILD_PACKAGES="gcc make libc6-dev binutils dpkg-dev patch xz-utils
    libnghttp2-dev protobuf-c-compiler libprotobuf-c-dev libssl-dev
    liblmdb-dev libuv1-dev libjansson-dev libyaml-dev zlib1g-dev
    libcrypt-dev node-llhttp busybox-static ca-certificates libcmocka-dev"
TEST_PACKAGES="bats etcd-client nghttp2-client jq curl debootstrap cppcheck
    clang-format shellcheck procps iproute2 nftables dnsmasq-base"

# Debian's own static libmicrohttpd drags GnuTLS in, so it is built here from
# Debian's source package, without HTTPS.
MHD_VERSION=0.9.75-6
MHD_ORIG=libmicrohttpd_0.9.75.orig.tar.xz
MHD_ORIG_SHA256=796e7e217a4802679fcac667a4e98501c53185dcf50ca0583870e84192620131
MHD_DEBIAN=libmicrohttpd_0.9.75-6.debian.tar.xz
MHD_DEBIAN_SHA256=566c247bfbf67e20858705ae695f58db747d50ed8512f2bc46a28bef9086e5af
# The hardened flags of the Makefile, so that no archive weakens the binary.
LIB_CFLAGS="-O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
    -fcf-protection -ffunction-sections -fdata-sections"

say() { echo "deps: $*"; }
die() {
    echo "deps: $*" >&2
    exit 1
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null
    then
        die "this needs Debian (dpkg and apt-get): install these by hand: $*"
    fi
    missing=
    for package; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "deps: packages are missing; as root, type:" >&2
        echo "    apt-get update && apt-get install --no-install-recommends" \
            "$missing" >&2
        exit 1
    fi
    say "installing:$missing"
    apt-get -q update ||
        say "could not refresh the package lists, trying with those at hand"
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
        --no-install-recommends $missing </dev/null
}

checksum() {
    echo "$2  $1" | sha256sum -c --status -
}

# The machine's own package sources, asked for source packages: in a
# configuration of our own, so that nothing on the machine changes.
fetch_mhd() { # folder
    if [ -n "${COFRE_SOURCES:-}" ]; then
        cp "$COFRE_SOURCES/$MHD_ORIG" "$COFRE_SOURCES/$MHD_DEBIAN" "$1"
        return
    fi
    mkdir -p "$1/apt/parts" "$1/apt/lists/partial" \
        "$1/apt/cache/archives/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n 's/^deb[[:space:]]/deb-src /p' "$file" \
            >"$1/apt/parts/$(basename "$file" .list).list"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        sed 's/^Types:.*/Types: deb-src/' "$file" \
            >"$1/apt/parts/$(basename "$file")"
    done
    cat >"$1/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$1/apt/parts";
Dir::State::lists "$1/apt/lists";
Dir::Cache "$1/apt/cache";
APT::Sandbox::User "";
CONF
    # A third party's source without source packages fails this, harmlessly:
    # what is fetched below is held against its checksum.
    APT_CONFIG=$1/apt/apt.conf apt-get -q update >"$1/apt/log" 2>&1 || true
    (cd "$1" && APT_CONFIG=$1/apt/apt.conf apt-get -q source \
        --download-only "libmicrohttpd=$MHD_VERSION") >>"$1/apt/log" 2>&1 || {
        cat "$1/apt/log" >&2
        die "Debian's source package libmicrohttpd $MHD_VERSION was not" \
            "found in this machine's package sources. It is of Debian 12." \
            "COFRE_SOURCES=<folder with $MHD_ORIG and $MHD_DEBIAN> also does."
    }
}

build_mhd() { # folder for the results
    work=$(mktemp -d)
    say "building libmicrohttpd $MHD_VERSION without HTTPS"
    fetch_mhd "$work"
    checksum "$work/$MHD_ORIG" "$MHD_ORIG_SHA256" ||
        die "$MHD_ORIG does not have the pinned SHA-256"
    checksum "$work/$MHD_DEBIAN" "$MHD_DEBIAN_SHA256" ||
        die "$MHD_DEBIAN does not have the pinned SHA-256"
    mkdir "$work/src"
    tar -C "$work/src" --strip-components=1 -xJf "$work/$MHD_ORIG"
    tar -C "$work/src" -xJf "$work/$MHD_DEBIAN"
    if [ -f "$work/src/debian/patches/series" ]; then
        sed 's/#.*//' "$work/src/debian/patches/series" |
            while read -r patch _; do
                [ -z "$patch" ] ||
                    patch -s -d "$work/src" -p1 \
                        <"$work/src/debian/patches/$patch"
            done
    fi
    (
        cd "$work/src"
        # On one line: configure keeps CFLAGS as it stands.
        # shellcheck disable=SC2086,SC2116
        ./configure --quiet --disable-https --disable-shared --enable-static \
            --disable-doc --disable-examples --disable-curl --disable-dauth \
            --disable-bauth --disable-postprocessor \
            --disable-dependency-tracking --prefix=/usr \
            CFLAGS="$(echo $LIB_CFLAGS)"
        make -s -C src/microhttpd libmicrohttpd.la
    ) >"$work/log" 2>&1 || {
        tail -30 "$work/log" >&2
        die "libmicrohttpd did not build"
    }
    cp "$work/src/src/microhttpd/.libs/libmicrohttpd.a" "$1/lib/"
    cp "$work/src/src/include/microhttpd.h" "$1/include/"
    rm -rf "$work"
}

build_llhttp() { # folder for the results
    work=$(mktemp -d)
    say "building llhttp from the sources of Debian's node-llhttp"
    for file in /usr/share/llhttp/*.c; do
        # shellcheck disable=SC2086 # words
        "${CC:-gcc}" $LIB_CFLAGS -w -I/usr/share/include/llhttp -c "$file" \
            -o "$work/$(basename "$file" .c).o"
    done
    ar rcs "$1/lib/libllhttp.a" "$work"/*.o
    cp /usr/share/include/llhttp/llhttp.h "$1/include/"
    rm -rf "$work"
}

# What went into the archives: another compiler, another version, other flags
# or another way to build them means other archives.
cache_key() {
    {
        "${CC:-gcc}" --version
        dpkg-query -W -f='${Version} ${Architecture}\n' node-llhttp
        echo "$MHD_VERSION $LIB_CFLAGS"
        sed -n '/^build_mhd/,/^}/p' "$0"
    } | sha256sum | cut -c1-16
}

build_archives() {
    key=$(cache_key)
    [ ! -f "$BUILD/deps/.key" ] || [ "$(cat "$BUILD/deps/.key")" != "$key" ] ||
        return 0
    out=$(mktemp -d)
    mkdir -p "$out/lib" "$out/include"
    if [ -f "$cache/$key/.done" ]; then
        cp -R "$cache/$key/lib" "$cache/$key/include" "$out/"
    else
        build_mhd "$out"
        build_llhttp "$out"
        # The cache is a convenience: a machine without one works as well.
        if rm -rf "${cache:?}/$key" && mkdir -p "$cache/$key"; then
            cp -R "$out/lib" "$out/include" "$cache/$key/" &&
                touch "$cache/$key/.done"
        fi 2>/dev/null || true
    fi
    mkdir -p "$BUILD/deps/lib" "$BUILD/deps/include"
    cp -f "$out"/lib/*.a "$BUILD/deps/lib/"
    cp -f "$out"/include/*.h "$BUILD/deps/include/"
    echo "$key" >"$BUILD/deps/.key"
    rm -rf "$out"
}

case ${1:-build} in
build)
    # shellcheck disable=SC2086 # words
    install_packages $BUILD_PACKAGES
    build_archives
    touch "$BUILD/deps/.stamp"
    ;;
test)
    # shellcheck disable=SC2086 # words
    install_packages $TEST_PACKAGES
    ;;
*) die "unknown word '$1': nothing, or test" ;;
esac

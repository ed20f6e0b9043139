#!/bin/sh
# Finds the real programs that the tests hold ours against, or builds them,
# each pinned by version, from its Go module, into a cache outside the tree.
#   deploy/peers.sh NAME...     prints one line for each: its path, or an
#                               empty line (and why, on stderr)
# Names: etcd etcdctl etcdutl helm kubeconform compose. COFRE_PEERS names the
# cache. Go's own checksum database verifies what is fetched.
set -u

cache=${COFRE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/cofre-peers}

build() { # name module version package
    command -v go >/dev/null || {
        echo "peers: $1 $3 is not here, and no go to build it" >&2
        return 1
    }
    mkdir -p "$cache" || return 1
    work=$(mktemp -d) || return 1
    echo "peers: building $1 $3" >&2
    (
        cd "$work" &&
            go mod init "peer/$1" &&
            go get "$2@$3" &&
            GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=0 \
                go build -trimpath -ldflags '-s -w' -o "$work/out" "$4" &&
            mv "$work/out" "$cache/$1"
    ) >"$work/log" 2>&1 || {
        tail -5 "$work/log" >&2
        echo "peers: $1 $3 could not be built" >&2
    }
    chmod -R u+w "$work"
    rm -rf "$work"
    [ -x "$cache/$1" ]
}

for name; do
    path=$cache/$name
    [ "$name" != compose ] || path=$cache/docker-compose
    if [ ! -x "$path" ]; then
        etcd=go.etcd.io/etcd
        case $name in
        etcd) build etcd $etcd/server/v3 v3.7.1 $etcd/server/v3 ;;
        etcdctl) build etcdctl $etcd/etcdctl/v3 v3.7.1 $etcd/etcdctl/v3 ;;
        etcdutl) build etcdutl $etcd/etcdutl/v3 v3.7.1 $etcd/etcdutl/v3 ;;
        helm) build helm helm.sh/helm/v3 v3.22.0 helm.sh/helm/v3/cmd/helm ;;
        kubeconform)
            build kubeconform github.com/yannh/kubeconform v0.8.0 \
                github.com/yannh/kubeconform/cmd/kubeconform
            ;;
        compose)
            build docker-compose github.com/docker/compose/v2 v2.40.3 \
                github.com/docker/compose/v2/cmd
            ;;
        *) echo "peers: unknown peer $name" >&2 ;;
        esac || path=
    fi
    [ -x "$path" ] || path=
    echo "$path"
done

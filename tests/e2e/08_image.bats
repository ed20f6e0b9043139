#!/usr/bin/env bats
# The image: as etcd's is used, by HostIP, and built from the Dockerfile.
load helper
load docker

setup_file() {
    docker info >/dev/null 2>&1 || return 0
    DIR=$(mktemp -d "$BATS_FILE_TMPDIR/image.XXXXXX")
    TAG=${DIR##*.}
    TAG=e2e${TAG,,}
    export DIR TAG COFRE_IMAGE=cofre-e2e:$TAG
    "$ROOT/deploy/image.sh" "$COFRE_IMAGE"
}

teardown_file() {
    [ -n "${TAG:-}" ] || return 0
    docker rmi -f "$COFRE_IMAGE" >/dev/null 2>&1 || true
}

setup() {
    need_docker
    NAME=$TAG-$BATS_TEST_NUMBER
}

teardown() {
    local id
    for id in $(docker ps -aq --filter "name=$NAME"); do
        [ -n "${BATS_TEST_COMPLETED:-}${BATS_TEST_SKIPPED:-}" ] ||
            docker logs --tail 15 "$id" 2>&1 | cut -c1-300
        docker rm -fv "$id" >/dev/null
    done
    docker volume ls -q --filter "name=$NAME" | xargs -r docker volume rm -f \
        >/dev/null
    docker network ls -q --filter "name=$NAME" | xargs -r docker network rm \
        >/dev/null
}

answers() { # container
    docker exec "$1" etcdctl --command-timeout=2s get x
}

@test "both binaries under all their names, a shell, a named user" {
    local names="/usr/local/bin/cofre /usr/local/bin/cofrectl \
/usr/local/bin/etcd /usr/local/bin/etcdctl /usr/local/bin/etcdutl /bin/sh"
    is "$names" "$(docker run --rm --name "$NAME" "$COFRE_IMAGE" /bin/sh -c \
        "for f in $names; do [ -x \$f ] && echo \$f; done" | xargs)"
    is "cofre 10001 /var/lib/cofre" "$(docker run --rm --name "$NAME" \
        "$COFRE_IMAGE" /bin/sh -c 'echo $(id -un) $(id -u) $(pwd)')"
    has "$(docker run --rm --name "$NAME" "$COFRE_IMAGE" \
        etcd --version)" "etcd Version: 3."
    is '{"2379/tcp":{},"2380/tcp":{}}' "$(docker image inspect \
        -f '{{json .Config.ExposedPorts}}' "$COFRE_IMAGE")"
    [ "$(docker run --rm --name "$NAME" "$COFRE_IMAGE" /bin/sh -c \
        'wc -l </etc/ssl/certs/ca-certificates.crt')" -gt 1000 ]
}

@test "without rights, without flags, without --data-dir" {
    docker run -d --name "$NAME" --read-only --cap-drop ALL \
        --security-opt no-new-privileges "$COFRE_IMAGE"
    wait_for 15 answers "$NAME"
    docker exec "$NAME" etcdctl put /kept 1
    docker restart -t 5 "$NAME"
    wait_for 15 answers "$NAME"
    is 1 "$(docker exec "$NAME" etcdctl get /kept --print-value-only)"
    is /var/lib/cofre "$(docker inspect \
        -f '{{range .Mounts}}{{.Destination}}{{end}}' "$NAME")"
    # As process 1, a node asked to stop ends with 0.
    docker stop -t 10 "$NAME"
    is 0 "$(docker inspect -f '{{.State.ExitCode}}' "$NAME")"
}

@test "a named volume at a place that etcd's users name" {
    for dir in /etcd-data /var/lib/etcd; do
        docker run -d --name "$NAME" -v "$NAME-v:$dir" "$COFRE_IMAGE" \
            etcd --data-dir "$dir"
        wait_for 15 answers "$NAME"
        docker rm -fv "$NAME"
        docker volume rm "$NAME-v"
    done
}

@test "a compose file written for etcd's image, only its image: changed" {
    need_compose
    export HostIP
    HostIP=$(host_ip)
    local client peer
    client=$(free_port)
    peer=$(free_port)
    cat >"$DIR/etcd.yml" <<YML
services:
  etcd:
    container_name: $NAME
    restart: unless-stopped
    image: $COFRE_IMAGE
    ports:
      - "$client:2379"
      - "$peer:2380"
    volumes:
      - /etc/ssl/certs:/etc/ssl/certs
    environment:
      - HostIP=\${HostIP}
    command: >
      /usr/local/bin/etcd
      --name etcd0
      --advertise-client-urls http://\${HostIP}:$client
      --listen-client-urls http://0.0.0.0:2379
      --initial-advertise-peer-urls http://\${HostIP}:$peer
      --listen-peer-urls http://0.0.0.0:2380
      --initial-cluster-token etcd-cluster-1
      --initial-cluster etcd0=http://\${HostIP}:$peer
      --initial-cluster-state new
YML
    compose() {
        $(compose_command) -p "$NAME" -f "$DIR/etcd.yml" "$@"
    }
    compose up -d
    wait_for 15 answers "$NAME"
    has "$(compose exec -T etcd etcdctl member list -w table)" \
        "http://$HostIP:$client"
    compose exec -T etcd etcdctl put /kept 1
    compose restart -t 5
    wait_for 15 answers "$NAME"
    is 1 "$(compose exec -T etcd etcdctl get /kept --print-value-only)"
    is OK "$("$COFRECTL" --endpoints="$HostIP:$client" put /from outside)"
    compose down -v -t 5
}

hostip() { # compose command for one of the machines
    $(compose_command) -p "$NAME-$NodeName" \
        -f "$ROOT/deploy/compose/hostip.yml" "$@"
}

@test "hostip.yml: one node, every URL from HostIP" {
    need_compose
    export HostIP NodeName=etcd ClientPort PeerPort
    HostIP=$(host_ip)
    ClientPort=$(free_port)
    PeerPort=$(free_port)
    hostip up -d --no-build
    wait_for 15 hostip exec -T etcd etcdctl get x
    has "$(hostip exec -T etcd etcdctl member list -w table)" \
        "http://$HostIP:$PeerPort"
    is 1 "$(hostip exec -T etcd etcdctl member list -w table |
        grep -c started)"
    hostip down -v -t 5
    unset HostIP
    run hostip config
    [ "$status" != 0 ]
    has "$output" "set HostIP"
}

@test "hostip.yml: the same file on each of three machines" {
    need_compose
    export HostIP NodeName ClientPort PeerPort OtherNodes
    local names=(a b c) ports=() i j
    HostIP=$(host_ip)
    for i in 0 1 2; do ports[i]=$(free_port); done
    for i in 0 1 2; do
        NodeName=${names[i]}
        PeerPort=${ports[i]}
        ClientPort=$(free_port)
        OtherNodes=
        for j in 0 1 2; do
            [ "$j" = "$i" ] ||
                OtherNodes+=,${names[j]}=http://$HostIP:${ports[j]}
        done
        OtherNodes=${OtherNodes#,}
        hostip up -d --no-build
    done
    wait_for 30 hostip exec -T etcd etcdctl get x
    is 3 "$(hostip exec -T etcd etcdctl member list -w table | grep -c started)"
    is OK "$(hostip exec -T etcd etcdctl put /x 1)"
    for NodeName in a b c; do hostip down -v -t 5; done
}

# Debian in an image, from the package mirror that this machine uses.
base_image() {
    if docker pull -q debian:bookworm-slim >/dev/null 2>&1; then
        echo debian:bookworm-slim
        return
    fi
    local base=cofre-base:bookworm site
    if ! docker image inspect "$base" >/dev/null 2>&1; then
        command -v debootstrap >/dev/null && [ "$(id -u)" = 0 ] || return 1
        site=$(apt-get indextargets --format '$(SITE)' | head -n1)
        debootstrap --variant=minbase bookworm "$DIR/base" "$site" \
            >"$DIR/debootstrap.log" 2>&1 || return 1
        rm -f "$DIR/base"/var/cache/apt/archives/*.deb
        tar -C "$DIR/base" -c . | docker import - "$base" >/dev/null
        rm -rf "$DIR/base"
    fi
    echo "$base"
}

@test "the multi-stage Dockerfile" {
    local base image=$COFRE_IMAGE-full
    base=$(base_image) || skip "no base image, no registry, no debootstrap"
    docker build --network host --force-rm --build-arg BASE="$base" -t "$image" "$ROOT" \
        >"$DIR/build.log" 2>&1 || {
        tail -n 30 "$DIR/build.log"
        return 1
    }
    docker run -d --name "$NAME" --read-only --cap-drop ALL "$image"
    wait_for 15 answers "$NAME"
    is OK "$(docker exec "$NAME" etcdctl put /built 1)"
    # The same files as those of the image built on the host.
    files() {
        docker export "$1" | tar -t |
            grep -E '^(bin|etc|usr|var/lib)/.*[^/]$' |
            grep -vE '^etc/(hostname|hosts|mtab|resolv.conf)$' | sort
    }
    docker create --name "$NAME-host" "$COFRE_IMAGE"
    is "$(files "$NAME-host")" "$(files "$NAME")"
    docker rm -fv "$NAME"
    docker rmi -f "$image"
}

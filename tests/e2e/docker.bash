# For the tests in containers: everything has a name of its own, which ends in
# $TAG, and is removed by that name.

need_docker() {
    docker info >/dev/null 2>&1 || skip "no Docker engine here"
}

need_compose() {
    need_docker
    [ -n "$(compose_command)" ] || skip "no compose here"
}

# Compose v2, else docker-compose.
compose_command() {
    if docker compose version >/dev/null 2>&1; then
        echo docker compose
    elif command -v docker-compose >/dev/null; then
        echo docker-compose
    fi
}

healthy() { # container
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]
}

# The address of this machine that its containers reach it by.
host_ip() {
    docker network inspect bridge -f '{{(index .IPAM.Config 0).Gateway}}' |
        grep . || docker network inspect bridge \
        -f '{{(index .IPAM.Config 0).Subnet}}' | sed 's,\.[0-9]*/.*,.1,'
}

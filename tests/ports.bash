# Free ports, for scripts that start servers.
port_is_free() {
    ! grep -qsi "$(printf ':%04X [0-9A-F]*:0000 0A' "$1")" \
        /proc/net/tcp /proc/net/tcp6
}

# Below the range that the kernel hands out itself.
free_port() {
    local port
    while :; do
        port=$((12000 + (RANDOM * 32768 + RANDOM) % 20000))
        port_is_free "$port" && break
    done
    echo "$port"
}

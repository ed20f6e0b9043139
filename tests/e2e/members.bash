# Clusters whose membership changes: $DIR/set names who is in, and $DIR/I.as
# the program that member I is run by (ours when it is not there).

members() {
    cat "$DIR/set"
}

run_member() { # I FLAG...
    local i=$1 program=$COFRE
    [ ! -f "$DIR/$i.as" ] || program=$(<"$DIR/$i.as")
    COFRE=$program node_start "$@"
}

# start_cluster COUNT FLAG...
start_cluster() {
    local i
    cluster_init "$@"
    seq 1 "$1" >"$DIR/set"
    [ -z "${PROGRAM:-}" ] ||
        for i in $(members); do echo "$PROGRAM" >"$DIR/$i.as"; done
    for i in $(members); do run_member "$i"; done
    for i in $(members); do wait_for 15 node_healthy "$i"; done
    all_connected
}

id_of() { # member
    ctl member list | grep "127.0.0.1:$(<"$DIR/$1.peer")" | cut -d, -f1
}

is_leader() {
    [ "$(leader)" = "$1" ]
}

# Strict checks count who has been connected for five seconds, so they have
# to pass; a cluster of one has nobody to wait for.
all_connected() {
    [ "$(members | wc -l)" -gt 1 ] || return 0
    sleep 5.5
}

# member_add I [FLAG...]: as an operator does it, by the words of the answer.
member_add() {
    local i=$1 out
    shift
    free_port >"$DIR/$i.client"
    free_port >"$DIR/$i.peer"
    out=$(ctl member add "m$i" --peer-urls="$(peer_url "$i")" "$@") || return 1
    sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"/\1/p' <<<"$out" >"$DIR/initial"
}

member_join() { # I FLAG...
    local i=$1
    shift
    run_member "$i" --initial-cluster-state existing "$@"
    echo "$i" >>"$DIR/set"
    wait_for 20 node_healthy "$i"
}

member_drop() { # I: removed, and stops by itself
    local i=$1 id
    id=$(id_of "$i")
    # Through another: it may be gone before it can answer.
    ctl_on "$(members | grep -vx "$i" | head -n 1)" member remove "$id"
    sed -i "/^$i\$/d" "$DIR/set"
    wait_for 10 node_dead "$i"
    has "$(cat "$DIR/$i.log")" \
        "the member has been permanently removed from the cluster"
    has "$(cat "$DIR/$i.log")" "data-dir used by this member must be removed"
}

# ---- writes all the time; what was acknowledged is in $DIR/acked

writer_start() {
    : >"$DIR/acked"
    (
        n=0
        while [ ! -e "$DIR/stop" ]; do
            n=$((n + 1))
            if ctl --command-timeout=3s put "/w/$n" "$n" >/dev/null 2>&1; then
                echo "$n" >>"$DIR/acked"
            fi
        done
    ) 3>&- &
    echo $! >"$DIR/writer"
}

writer_stop() {
    [ -n "${DIR:-}" ] && [ -f "$DIR/writer" ] || return 0
    touch "$DIR/stop"
    wait "$(<"$DIR/writer")" 2>/dev/null || true
    rm -f "$DIR/writer"
}

writes_beyond() {
    [ "$(wc -l <"$DIR/acked")" -gt "$1" ]
}

writes_go_on() {
    wait_for 15 writes_beyond $(($(wc -l <"$DIR/acked") + 3))
}

nothing_lost() {
    ctl get /w/ --prefix --print-value-only | sort >"$DIR/found"
    sort "$DIR/acked" >"$DIR/wanted"
    is "" "$(comm -13 "$DIR/found" "$DIR/wanted" | head -n 5)"
    [ "$(wc -l <"$DIR/wanted")" -gt 3 ]
}

members_agree() {
    local i
    for i in $(members); do
        wait_for 15 same_contents "$i" "$(members | head -n 1)" || return 1
    done
}

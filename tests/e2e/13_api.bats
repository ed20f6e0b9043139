#!/usr/bin/env bats
# The rest of the API, driven by the stock etcdctl: RangeStream, lock and
# elect, Defragment, Hash, Downgrade, automatic compaction; beside a stock
# etcd where the same history has to give the same answer.
load helper

setup_file() {
    cluster_init 3
    OURS=$DIR
    cluster_start
    if [ -n "${ETCD:-}" ]; then
        local cofre=$COFRE
        COFRE=$ETCD
        cluster_init 1
        THEIRS=$DIR
        cluster_start
        COFRE=$cofre
    fi
    export OURS THEIRS
}

teardown_file() {
    local dir
    for dir in "$OURS" "${THEIRS:-}"; do
        DIR=$dir
        [ -z "$dir" ] || cluster_stop
    done
}

setup() {
    DIR=$OURS
    [ -n "$ETCDCTL37" ] || skip "no etcdctl 3.7"
}

teardown() {
    show_logs
    [ "$DIR" = "$OURS" ] || cluster_stop
}

# at DIR ARG...: the stock client on all members of that cluster.
at() {
    local dir=$1 list
    shift
    list=$(DIR=$dir endpoints)
    "$ETCDCTL37" --endpoints="$list" "$@"
}

# both ARG...: on ours and on theirs; the same output and status.
both() {
    local ours theirs a=0 b=0
    ours=$(at "$OURS" "$@" 2>&1) || a=$?
    theirs=$(at "$THEIRS" "$@" 2>&1) || b=$?
    # Log lines carry times, and the answers' headers ids.
    is "$(plain <<<"$theirs")" "$(plain <<<"$ours")"
    is "$b" "$a"
}

plain() {
    sed -E '/^\{"level"/d; s/"(cluster_id|member_id|raft_term)":[0-9]+,?//g'
}

# "hash compact-revision revision" as each member tells it, once for all.
hashes() {
    at "$1" endpoint hashkv --rev="${2:-0}" -w json | jq -r '.[].HashKV |
        "\(.hash) \(.compact_revision) \(.hash_revision)"' | sort -u
}

same_hashes() {
    [ "$(hashes "$OURS" "$@")" = "$(hashes "$THEIRS" "$@")" ]
}

last_revision() {
    at "$1" get nothing -w json | jq .header.revision
}

@test "the same history has the same HashKV as etcd, on each member" {
    [ -n "${THEIRS:-}" ] || skip "no stock etcd"
    local n rev
    for n in 1 2 3; do
        both put "h/$n" "v$n"
        both put h/again "$n"
    done
    both del h/2
    both put h/empty ""
    wait_for 5 same_hashes
    rev=$(last_revision "$OURS")
    is "$rev" "$(last_revision "$THEIRS")"
    for ((n = 2; n <= rev; n++)); do wait_for 5 same_hashes "$n"; done
    # Compacted in the middle, at a deletion, and at the end.
    both compaction --physical 4
    # Revision 4 too: its hash was kept as it was before.
    for ((n = 4; n <= rev; n++)); do wait_for 5 same_hashes "$n"; done
    both compaction --physical $((rev - 1))
    both put h/3 "after"
    wait_for 5 same_hashes
    both del h/ --prefix
    wait_for 5 same_hashes
    rev=$(last_revision "$OURS")
    both compaction --physical "$rev"
    wait_for 5 same_hashes
    wait_for 5 same_hashes "$rev"
    both put h/new 1
    wait_for 5 same_hashes
    both compaction --physical $((rev + 1))
    for n in 4 "$rev" $((rev + 1)) 0; do wait_for 5 same_hashes "$n"; done
    run at "$OURS" endpoint hashkv --rev 2
    has "$output" "etcdserver: mvcc: required revision has been compacted"
    run at "$OURS" endpoint hashkv --rev 1000000
    has "$output" "etcdserver: mvcc: required revision is a future revision"
}

@test "get --stream is get, and what etcd answers" {
    local n
    {
        echo
        for n in $(seq -w 1 90); do echo "put s/$n value-$n"; done
        printf '\n\n'
    } >"$BATS_TEST_TMPDIR/txn"
    at "$OURS" txn <"$BATS_TEST_TMPDIR/txn"
    for n in "" --limit=3 --limit=10 --limit=70 --limit=200 --keys-only; do
        is "$(at "$OURS" get s/ --prefix $n)" \
            "$(at "$OURS" get s/ --prefix $n --stream)"
    done
    is "$(at "$OURS" get s/01 s/50 --print-value-only)" \
        "$(at "$OURS" get s/01 s/50 --print-value-only --stream)"
    [ -n "${THEIRS:-}" ] || skip "no stock etcd: not compared"
    at "$THEIRS" txn <"$BATS_TEST_TMPDIR/txn"
    both get s/ --prefix --stream
    both get s/ --prefix --stream --limit=7 -w simple
    both get s/ --prefix --stream --order=DESCEND --sort-by=KEY
    both get nothing --stream
    both get s/ --prefix --stream --rev=1000000
}

@test "a range of many keys comes whole, while others are served" {
    local n
    for n in $(seq 1 60); do
        { echo && seq -f "put many/$n-%03g x" 1 100 && printf '\n\n'; } |
            at "$OURS" txn >/dev/null
    done
    has "$(at "$OURS" get many/ --prefix --count-only -w fields)" \
        '"Count" : 6000'
    is 6000 "$(at "$OURS" get many/ --prefix --keys-only | grep -c many)"
    is 6000 "$(at "$OURS" get many/ --prefix --keys-only --stream |
        grep -c many)"
    is '[5,6000,true]' "$(at "$OURS" get many/ --prefix --limit=5 -w json |
        jq -c '[(.kvs | length), .count, .more]')"
}

held_by() { # name: who runs inside the lock
    cat "$BATS_TEST_TMPDIR/holder" 2>/dev/null | grep -qx "$1"
}

@test "etcdctl lock: one after the other" {
    local out=$BATS_TEST_TMPDIR first second
    at "$OURS" lock mutex -- sh -c "echo 1 >$out/holder; cat $out/go" \
        >"$out/first" 2>&1 3>&- &
    first=$!
    mkfifo "$out/go" || true
    wait_for 5 held_by 1
    at "$OURS" lock mutex -- sh -c "echo 2 >$out/holder" \
        >"$out/second" 2>&1 3>&- &
    second=$!
    wait_for 5 has_keys mutex/ 2
    held_by 1
    echo >"$out/go" || true
    wait "$first" || true
    wait "$second"
    held_by 2
    wait_for 5 has_keys mutex/ 0
}

has_keys() { # prefix count
    [ "$(at "$OURS" get "$1" --prefix --keys-only | grep -c .)" = "$2" ]
}

@test "etcdctl elect: a leader, and who follows it" {
    local out=$BATS_TEST_TMPDIR/listen leader other
    local client=("$ETCDCTL37" --endpoints="$(endpoints)")
    "${client[@]}" elect --listen vote >"$out" 2>&1 3>&- &
    other=$!
    "${client[@]}" elect vote first >/dev/null 2>&1 3>&- &
    leader=$!
    wait_for 5 grep -qx first "$out"
    "${client[@]}" elect vote second >/dev/null 2>&1 3>&- &
    other+=" $!"
    wait_for 5 has_keys vote/ 2
    kill "$leader"
    wait_for 10 grep -qx second "$out" || {
        kill $other
        return 1
    }
    kill $other
    wait $other "$leader" || true
}

size_of() {
    ctl_on "$1" endpoint status -w json | jq .[0].Status.dbSize
}

smaller_than() { # member bytes
    [ "$(size_of "$1")" -lt "$2" ]
}

larger_than() { # member bytes
    [ "$(size_of "$1")" -gt "$2" ]
}

@test "defrag gives space back while writes go on, and survives a kill" {
    local n before hash writer
    head -c 400000 /dev/zero | tr '\0' v >"$BATS_TEST_TMPDIR/value"
    for n in $(seq 1 30); do
        at "$OURS" put d/big <"$BATS_TEST_TMPDIR/value" >/dev/null
    done
    at "$OURS" put d/small 1
    wait_for 20 larger_than 1 10000000
    at "$OURS" compaction --physical "$(last_revision "$OURS")"
    before=$(size_of 1)
    (while at "$OURS" put d/meanwhile "$((++n))"; do :; done) \
        >/dev/null 2>&1 3>&- &
    writer=$!
    has "$(at "$OURS" defrag 2>&1)" "Finished defragmenting etcd member"
    has "$(at "$OURS" defrag 2>&1)" "Finished defragmenting etcd member"
    kill "$writer"
    wait "$writer" || true
    for n in 1 2 3; do wait_for 10 smaller_than "$n" $((before / 2)); done
    hash=$(hashes "$OURS")
    is 1 "$(wc -l <<<"$hash")"
    for n in 1 2 3; do node_kill "$n"; done
    for n in 1 2 3; do node_start "$n"; done
    for n in 1 2 3; do wait_for 15 node_healthy "$n"; done
    is "$hash" "$(hashes "$OURS")"
    is 1 "$(at "$OURS" get d/small --print-value-only)"
    is 400000 "$(at "$OURS" get d/big --print-value-only | tr -d '\n' | wc -c)"
    for n in 1 2 3; do
        [ -z "$(find "$DIR/$n.data" -name '*.defrag*')" ]
    done
}

@test "downgrade: validate answers, enable is refused, cancel is fine" {
    local version
    is "Downgrade validate success, cluster version 3.7" \
        "$(at "$OURS" downgrade validate 3.6)"
    run at "$OURS" downgrade enable 3.6
    is 1 "$status"
    has "$output" "etcdserver: invalid downgrade target version"
    has "$(at "$OURS" downgrade cancel)" "Downgrade cancel success"
    [ -n "${THEIRS:-}" ] || skip "no stock etcd: not compared"
    for version in 3.6 3.6.4 3.5 3.7 3.8 4.6 x 3 3.x v3.6 3.6-rc ""; do
        both downgrade validate "$version"
    done
    both downgrade cancel
}

compacted() {
    at "$DIR" get first --rev=2 2>&1 | grep -q "has been compacted"
}

@test "automatic compaction by period" {
    cluster_init 1
    cluster_start --auto-compaction-retention=1s
    at "$DIR" put first 1
    at "$DIR" get first --rev=2
    at "$DIR" put first 2
    wait_for 10 compacted
    is 2 "$(at "$DIR" get first --print-value-only)"
}

@test "a retention that is none is refused as etcd refuses it" {
    cluster_init 1
    refused() { # text flag...
        local text=$1
        shift
        run timeout 10 "$COFRE" --data-dir "$DIR/x" "$@"
        is 1 "$status"
        has "$output" "$text"
    }
    refused 'unknown auto-compaction-mode \"weekly\"' \
        --auto-compaction-mode=weekly
    refused 'undefined auto-compaction-mode' --auto-compaction-mode=
    refused 'error parsing CompactionRetention: time: missing unit in duration \"-1\"' \
        --auto-compaction-retention=-1
    refused 'error parsing CompactionRetention: time: invalid duration \"soon\"' \
        --auto-compaction-retention=soon
    refused 'error parsing CompactionRetention: time: invalid duration' \
        --auto-compaction-retention=-5m
}

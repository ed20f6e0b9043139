#!/usr/bin/env bats
# Backups that move both ways: what was saved from one cluster is another's
# beginning, ours or etcd's.
load helper

setup_file() {
    export SAVED_DIR=$BATS_FILE_TMPDIR/saved
    mkdir "$SAVED_DIR"
    ln -s "$COFRECTL" "$SAVED_DIR/etcdutl"
}

setup() {
    UTL=$SAVED_DIR/etcdutl
}

teardown() {
    show_logs
    cluster_stop
}

# History with all there is: versions, deletions, transactions of several
# keys, a compaction, a lease.
fill() {
    local n id
    { printf '\n' && for n in $(seq 1 100); do
        echo "put /k$n $(printf '%0200d' "$n")"
    done && printf '\n\n'; } | ctl txn >/dev/null
    for n in 1 2 3 4; do ctl put /k7 "$n"; done >/dev/null
    ctl del /k8
    ctl del /k90 /k99 --range
    ctl put /k8 again
    ctl compaction --physical "$(($(revision) - 3))"
    id=$(ctl lease grant 600 | awk '{ print $2 }')
    ctl put --lease="$id" /leased 1
    printf '\nput /t1 1\nput /t2 2\ndel /k1\n\n\n' | ctl txn
}

revision() {
    ctl get / -w json | jq .header.revision
}

kvs() {
    ctl get "" --prefix -w json | jq -c .kvs | md5sum
}

hash_of() { # member
    ctl_on "$1" endpoint hashkv -w json | jq -c '.[0].HashKV |
        [.hash, .hash_revision, .compact_revision]'
}

# restore_all UTL FILE: into the folders of all members of a new cluster.
restore_all() {
    local i
    for i in $(members); do
        "$1" snapshot restore "$2" --data-dir "$DIR/$i.data" --name "m$i" \
            --initial-cluster "$(<"$DIR/initial")" \
            --initial-cluster-token "$(<"$DIR/token")" \
            --initial-advertise-peer-urls "$(peer_url "$i")" "${@:3}" \
            2>>"$DIR/$i.restore" || {
            cat "$DIR/$i.restore"
            return 1
        }
    done
}

# there_and_back PROGRAM PROGRAM UTL: a cluster of the first is saved, three
# members of the second begin with it.
there_and_back() {
    local file=$BATS_TEST_TMPDIR/image before kvs_before leases i
    COFRE=$1
    cluster_init 1
    cluster_start
    fill >/dev/null
    before=$(hash_of 1)
    kvs_before=$(kvs)
    leases=$(ctl lease list)
    ctl_on 1 snapshot save "$file" 2>/dev/null
    cluster_stop
    COFRE=$2
    cluster_init 3
    restore_all "$3" "$file"
    cluster_start
    for i in $(members); do is "$before" "$(hash_of "$i")"; done
    is "$kvs_before" "$(kvs)"
    is "$leases" "$(ctl lease list)"
    is 3 "$(ctl member list | grep -c started)"
    is OK "$(ctl put /after 1)"
    is 1 "$(ctl_on 3 get /after --print-value-only)"
    is 3.7.0 "$(ctl_on 2 endpoint status -w json |
        jq -r '.[0].Status.storageVersion')"
    # Again after a restart, and on disk by then.
    node_kill 2
    node_start 2
    wait_for 15 node_healthy 2
    is "$(hash_of 1)" "$(hash_of 2)"
}

@test "ours to ours: three members, the same hash" {
    there_and_back "$COFRE" "$COFRE" "$COFRECTL"
}

@test "etcd to ours" {
    [ -n "${ETCD:-}" ] || skip "no stock etcd"
    there_and_back "$ETCD" "$COFRE" "$UTL"
}

@test "ours to etcd, restored by its own etcdutl" {
    [ -n "${ETCD:-}" ] && [ -n "$ETCDUTL" ] || skip "no stock etcd"
    there_and_back "$COFRE" "$ETCD" "$ETCDUTL"
}

@test "saved by the stock etcdctl as well" {
    [ -n "${ETCD:-}" ] && [ -n "$ETCDUTL" ] && [ -n "$ETCDCTL37" ] ||
        skip "no stock etcd"
    local file=$BATS_TEST_TMPDIR/image before
    cluster_init 1
    cluster_start
    fill >/dev/null
    before=$(hash_of 1)
    "$ETCDCTL37" --endpoints="$(endpoints)" snapshot save "$file" 2>/dev/null
    cluster_stop
    cluster_init 1
    restore_all "$ETCDUTL" "$file"
    COFRE=$ETCD
    cluster_start
    is "$before" "$(hash_of 1)"
}

@test "a raised revision: the same from both tools" {
    [ -n "${ETCD:-}" ] && [ -n "$ETCDUTL" ] || skip "no stock etcd"
    local file=$BATS_TEST_TMPDIR/image raised
    cluster_init 1
    cluster_start
    fill >/dev/null
    raised=$(($(revision) + 1000))
    ctl_on 1 snapshot save "$file" 2>/dev/null
    cluster_stop
    local ours=$COFRE theirs
    COFRE=$ETCD
    cluster_init 1
    restore_all "$ETCDUTL" "$file" --bump-revision 1000 --mark-compacted
    cluster_start
    theirs=$(hash_of 1)
    cluster_stop
    COFRE=$ours
    cluster_init 1
    restore_all "$UTL" "$file" --bump-revision 1000 --mark-compacted
    cluster_start
    is "$raised" "$(revision)"
    is "$theirs" "$(hash_of 1)"
    run ctl get /k7 --rev "$((raised - 1))"
    has "$output" "required revision has been compacted"
}

@test "status and hashkv print what etcdutl prints" {
    [ -n "$ETCDUTL" ] || skip "no stock etcdutl"
    local file=$BATS_TEST_TMPDIR/image format
    cluster_init 1
    cluster_start
    fill >/dev/null
    ctl_on 1 snapshot save "$file" 2>/dev/null
    for format in simple fields json table; do
        is "$("$ETCDUTL" snapshot status "$file" -w $format 2>/dev/null)" \
            "$("$UTL" snapshot status "$file" -w $format)"
        # Theirs writes into the file.
        cp "$file" "$file.copy"
        is "$("$ETCDUTL" hashkv "$file.copy" -w $format 2>/dev/null)" \
            "$("$UTL" hashkv "$file" -w $format)"
    done
    is "$(sha256sum <"$file")" "$(
        "$COFRECTL" snapshot hashkv "$file" >/dev/null
        sha256sum <"$file"
    )"
    is "$("$ETCDUTL" version | tail -n1)" "$("$UTL" version | tail -n1)"
}

@test "what cannot be restored leaves nothing behind" {
    local file=$BATS_TEST_TMPDIR/image dir=$BATS_TEST_TMPDIR/d
    cluster_init 1
    cluster_start
    ctl put /a 1
    ctl_on 1 snapshot save "$file" 2>/dev/null
    head -c -32 "$file" >"$file.bare"
    { head -c 9000 "$file" && printf X && tail -c +9002 "$file"; } >"$file.bad"
    run "$UTL" snapshot restore "$file.bare" --data-dir "$dir"
    is 1 "$status"
    has "$output" "Error: snapshot missing hash but --skip-hash-check=false"
    run "$UTL" snapshot restore "$file.bad" --data-dir "$dir"
    is 1 "$status"
    has "$output" "Error: expected sha256 ["
    run "$UTL" snapshot restore "$file" --data-dir "$dir" --name other
    is 1 "$status"
    has "$output" "Error: couldn't find local name \"other\" in the initial"
    run "$UTL" snapshot restore "$file" --data-dir "$dir" --bump-revision 9
    is 128 "$status"
    has "$output" "Error: --mark-compacted required if --revision-bump > 0"
    run "$UTL" snapshot restore "$file.none" --data-dir "$dir"
    is 1 "$status"
    run "$UTL" snapshot restore "$file" "$file" --data-dir "$dir"
    is 128 "$status"
    [ ! -e "$dir" ]
    "$UTL" snapshot restore "$file.bare" --data-dir "$dir" --skip-hash-check
    run "$UTL" snapshot restore "$file" --data-dir "$dir"
    is 1 "$status"
    has "$output" "Error: data-dir \"$dir\" not empty or could not be read"
}

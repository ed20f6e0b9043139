#!/usr/bin/env bats
# Three members, and the clients that people have: ours and two stock ones.
load helper

setup_file() {
    cluster_init 3
    cluster_start
}

teardown_file() {
    cluster_stop
}

teardown() {
    show_logs
}

put_get() {
    is OK "$("${CTL[@]}" put "${PREFIX}a" 1)"
    is "$(printf '%s\n1' "${PREFIX}a")" "$("${CTL[@]}" get "${PREFIX}a")"
    is "" "$("${CTL[@]}" get "${PREFIX}absent")"
    is "$(printf 'OK\n%s\n1' "${PREFIX}a")" \
        "$("${CTL[@]}" put --prev-kv "${PREFIX}a" 2)"
    "${CTL[@]}" put "${PREFIX}b" 3
    "${CTL[@]}" put "${PREFIX}c" 4
    is "2 3 4" "$("${CTL[@]}" get --prefix --print-value-only "$PREFIX" |
        xargs)"
    is "4 3" "$("${CTL[@]}" get --prefix --print-value-only --limit=2 \
        --order=DESCEND --sort-by=KEY "$PREFIX" | xargs)"
    is "2 3" "$("${CTL[@]}" get --print-value-only "${PREFIX}a" "${PREFIX}c" |
        xargs)"
    is "${PREFIX}b ${PREFIX}c" \
        "$("${CTL[@]}" get --from-key --keys-only "${PREFIX}b" --limit=2 |
            xargs)"
    is 1 "$("${CTL[@]}" del "${PREFIX}b")"
    is 2 "$("${CTL[@]}" del "$PREFIX" --prefix)"
}

@test "put, get and del through each client" {
    each_client put_get
}

old_revision() {
    local revision
    "${CTL[@]}" put "${PREFIX}k" old
    revision=$("${CTL[@]}" get "${PREFIX}k" -w json | jq .header.revision)
    "${CTL[@]}" put "${PREFIX}k" new
    is old "$("${CTL[@]}" get "${PREFIX}k" --rev="$revision" \
        --print-value-only)"
    is '[1,2]' "$("${CTL[@]}" get "${PREFIX}k" -w json | jq -c \
        "[.kvs[0].create_revision - $revision + 1, .kvs[0].version]")"
}

@test "an older revision is still there" {
    each_client old_revision
}

transaction() {
    "${CTL[@]}" put "${PREFIX}t" 1
    is "SUCCESS OK ${PREFIX}t yes" "$(printf '%s\n' \
        "value(\"${PREFIX}t\") = \"1\"" "" \
        "put ${PREFIX}t yes" "get ${PREFIX}t" "" "put ${PREFIX}t no" "" |
        "${CTL[@]}" txn | xargs)"
    is "FAILURE 1" "$(printf '%s\n' \
        "value(\"${PREFIX}t\") = \"1\"" "" \
        "put ${PREFIX}t yes" "" "del ${PREFIX}t" "" |
        "${CTL[@]}" txn | xargs)"
    is "" "$("${CTL[@]}" get "${PREFIX}t")"
}

@test "a transaction takes one branch or the other" {
    each_client transaction
}

watching() {
    local out=$BATS_TEST_TMPDIR/watch revision pid
    "${CTL[@]}" put "${PREFIX}w" past
    revision=$("${CTL[@]}" get "${PREFIX}w" -w json | jq .header.revision)
    "${CTL[@]}" watch --prefix --prev-kv --rev="$revision" "$PREFIX" \
        >"$out" 2>&1 3>&- &
    pid=$!
    wait_for 5 grep -q past "$out"
    "${CTL[@]}" put "${PREFIX}w" live
    "${CTL[@]}" del "${PREFIX}w"
    wait_for 5 grep -q DELETE "$out"
    kill "$pid"
    wait "$pid" || true
    is "PUT ${PREFIX}w past PUT ${PREFIX}w past ${PREFIX}w live \
DELETE ${PREFIX}w live ${PREFIX}w" "$(xargs <"$out")"
}

@test "a watch tells the past and the present" {
    each_client watching
}

leasing() {
    local id
    id=$("${CTL[@]}" lease grant 60 | awk '{ print $2 }')
    "${CTL[@]}" put --lease="$id" "${PREFIX}l" leased
    has "$("${CTL[@]}" lease timetolive "$id" --keys)" "[${PREFIX}l]"
    has "$("${CTL[@]}" lease list)" "$id"
    has "$("${CTL[@]}" lease keep-alive --once "$id")" \
        "lease $id keepalived with TTL(60)"
    is "lease $id revoked" "$("${CTL[@]}" lease revoke "$id")"
    is "" "$("${CTL[@]}" get "${PREFIX}l")"
    run "${CTL[@]}" put --lease="$id" "${PREFIX}l" late
    is 1 "$status"
    has "$output" "requested lease not found"
}

@test "a lease holds its keys and takes them along" {
    each_client leasing
}

no_key() {
    [ -z "$(ctl get "$1")" ]
}

@test "a lease that nobody renews expires" {
    local id
    id=$(ctl lease grant 2 | awk '{ print $2 }')
    ctl put --lease="$id" /expiring soon
    is soon "$(ctl get /expiring --print-value-only)"
    wait_for 8 no_key /expiring
    run ctl lease timetolive "$id"
    has "$output" "already expired"
}

compacting() {
    local revision
    "${CTL[@]}" put "${PREFIX}c" 1
    "${CTL[@]}" put "${PREFIX}c" 2
    revision=$("${CTL[@]}" get "${PREFIX}c" -w json | jq .header.revision)
    is "compacted revision $revision" "$("${CTL[@]}" compaction "$revision")"
    run "${CTL[@]}" get "${PREFIX}c" --rev=$((revision - 1))
    is 1 "$status"
    has "$output" "etcdserver: mvcc: required revision has been compacted"
    run "${CTL[@]}" compaction "$revision"
    is 1 "$status"
    has "$output" "etcdserver: mvcc: required revision has been compacted"
    run "${CTL[@]}" get "${PREFIX}c" --rev=$((revision + 1000000))
    is 1 "$status"
    has "$output" "etcdserver: mvcc: required revision is a future revision"
}

@test "compaction forgets, and says so" {
    each_client compacting
}

@test "what one member acknowledged, each other reads" {
    local round i from value
    for round in 1 2 3; do
        for from in 1 2 3; do
            value=$round-$from
            ctl_on "$from" put /seen "$value"
            for i in 1 2 3; do
                is "$value" "$(ctl_on "$i" get /seen --print-value-only)"
            done
        done
    done
}

cluster_lists() {
    is 3 "$("${CTL[@]}" member list | grep -c started)"
    is 3 "$("${CTL[@]}" endpoint health 2>&1 | grep -c 'is healthy')"
    is 1 "$("${CTL[@]}" endpoint status -w json |
        jq '[.[] | select(.Status.leader == .Status.header.member_id)] |
            length')"
    has "$("${CTL[@]}" member list -w table)" \
        "http://127.0.0.1:$(<"$DIR/1.peer")"
}

@test "member list, endpoint health and endpoint status" {
    each_client cluster_lists
}

@test "a member's id is derived from its URL and the token" {
    local i want
    for i in 1 2 3; do
        want=$(printf '%s%s' "$(peer_url "$i")" "$(<"$DIR/token")" |
            sha1sum | cut -c1-16 | sed 's/^0*//')
        has "$(ctl member list)" "$want, started, m$i"
    done
}

@test "values up to the request limit, and not beyond" {
    local big=$BATS_TEST_TMPDIR/big
    head -c 1400000 /dev/zero | tr '\0' x >"$big"
    is OK "$(ctl put /big <"$big")"
    is 1400001 "$(ctl get /big --print-value-only | wc -c)"
    head -c 1600000 /dev/zero | tr '\0' x >"$big"
    run ctl put /big <"$big"
    is 1 "$status"
    has "$output" "etcdserver: request is too large"
    is 1400001 "$(ctl get /big --print-value-only | wc -c)"
}

@test "keys of any bytes and of any length, in order" {
    local long
    long=$(head -c 3000 /dev/zero | tr '\0' k)
    ctl put "/order/$long" 2
    ctl put "/order/${long}a" 3
    ctl put "/order/${long%k}" 1
    ctl put "/order/"$'\x01\x7f' 0
    is "0 1 2 3" "$(ctl get /order/ --prefix --print-value-only | xargs)"
    is 2 "$(ctl get "/order/$long" --print-value-only)"
    run ctl put "" x
    is 1 "$status"
    has "$output" "etcdserver: key is not provided"
}

@test "the client behaves the same when it is called etcdctl" {
    ln -s "$COFRECTL" "$BATS_TEST_TMPDIR/etcdctl"
    is OK "$(ETCDCTL_ENDPOINTS=$(endpoints) "$BATS_TEST_TMPDIR/etcdctl" \
        put /called etcdctl)"
    is etcdctl "$(ETCDCTL_ENDPOINTS=$(endpoints) "$BATS_TEST_TMPDIR/etcdctl" \
        get /called --print-value-only)"
}

@test "the client passes over an endpoint that is down" {
    local dead
    dead=$(free_port)
    is OK "$("$COFRECTL" --endpoints="127.0.0.1:$dead,$(endpoints)" \
        put /passed over)"
    run "$COFRECTL" --endpoints="127.0.0.1:$dead" --command-timeout=1s \
        get /passed
    is 1 "$status"
    has "$output" "context deadline exceeded"
}

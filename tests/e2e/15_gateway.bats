#!/usr/bin/env bats
# The JSON gateway on the client port: every kind of route, by curl and jq.
load helper

setup_file() {
    cluster_init 3
    cluster_start
}

teardown_file() {
    cluster_stop
}

teardown() {
    if [ -n "${STREAM:-}" ]; then kill "$STREAM" 2>/dev/null || true; fi
    show_logs
}

# post MEMBER PATH JSON [CURL-ARG...]: status in $code, body in $body, the
# head in $BATS_TEST_TMPDIR/head.
post() {
    local url
    url=$(node_url "$1")$2
    code=$(curl -s --max-time 20 -o "$BATS_TEST_TMPDIR/body" \
        -D "$BATS_TEST_TMPDIR/head" -w '%{http_code}' "${@:4}" -d "$3" "$url")
    body=$(cat "$BATS_TEST_TMPDIR/body")
}

b64() {
    printf %s "$1" | base64 -w0
}

# stream MEMBER PATH JSON: a request that goes on, its answer in $OUT.
stream() {
    OUT=$BATS_TEST_TMPDIR/stream.$RANDOM
    curl -sN --max-time 60 -d "$3" "$(node_url "$1")$2" >"$OUT" 3>&- &
    STREAM=$!
}

lines_are() {
    [ "$(wc -l <"$OUT")" -ge "$1" ]
}

metric() { # member name-and-labels
    curl -s "$(node_url "$1")/metrics" | awk -v n="$2" '$1 == n { print $2 }'
}

@test "put, range, delete, on leader and follower" {
    local i key value
    for i in 1 2 3; do
        key=$(b64 "/gw/$i")
        value=$(b64 "v$i")
        post "$i" /v3/kv/put "{\"key\":\"$key\",\"value\":\"$value\"}"
        is 200 "$code"
        jq -e '.header.revision | tonumber > 1' <<<"$body"
        jq -e '.header | has("cluster_id") and has("member_id") and
            has("raft_term")' <<<"$body"
        post "$i" /v3/kv/range "{\"key\":\"$key\"}"
        is "$value" "$(jq -r '.kvs[0].value' <<<"$body")"
        is '"1"' "$(jq -c .count <<<"$body")"
        jq -e '.kvs[0].version == "1"' <<<"$body"
    done
    is v2 "$(ctl get /gw/2 --print-value-only)"
    post 1 /v3/kv/range "{\"key\":\"$(b64 /gw/)\",\"rangeEnd\":\"$(b64 /gw0)\",
        \"sort_order\":\"DESCEND\",\"sort_target\":\"KEY\",\"limit\":2}"
    is '["L2d3LzM=","L2d3LzI="]' "$(jq -c '[.kvs[].key]' <<<"$body")"
    is 'true "3"' "$(jq -cr '"\(.more) \(.count|tojson)"' <<<"$body")"
    post 2 /v3/kv/deleterange \
        "{\"key\":\"$(b64 /gw/)\",\"range_end\":\"$(b64 /gw0)\",\"prev_kv\":true}"
    is '"3"' "$(jq -c .deleted <<<"$body")"
    is 3 "$(jq '.prev_kvs | length' <<<"$body")"
    # zero fields are left out
    post 3 /v3/kv/range "{\"key\":\"$(b64 /gw/1)\"}"
    is '["header"]' "$(jq -c keys <<<"$body")"
}

@test "heads: type, metadata, length" {
    post 1 /v3/kv/range '{"key":"YQ=="}'
    grep -qi '^content-type: application/json' "$BATS_TEST_TMPDIR/head"
    grep -qi '^grpc-metadata-content-type: application/grpc' \
        "$BATS_TEST_TMPDIR/head"
    grep -qi '^content-length: ' "$BATS_TEST_TMPDIR/head"
    grep -qi '^access-control-allow-origin: \*' "$BATS_TEST_TMPDIR/head"
    post 1 /v3/kv/range '{'
    run ! grep -qi '^grpc-metadata' "$BATS_TEST_TMPDIR/head"
    grep -qi '^access-control-allow-origin: \*' "$BATS_TEST_TMPDIR/head"
}

@test "txn: compares, both branches, nested" {
    local k
    k=$(b64 /gw/txn)
    local txn="{\"compare\":[{\"key\":\"$k\",\"target\":\"CREATE\",
        \"create_revision\":\"0\",\"result\":\"EQUAL\"}],
        \"success\":[{\"request_put\":{\"key\":\"$k\",\"value\":\"MQ==\"}}],
        \"failure\":[{\"requestRange\":{\"key\":\"$k\"}},
            {\"request_txn\":{\"success\":[{\"request_range\":
                {\"key\":\"$k\",\"count_only\":true}}]}}]}"
    post 1 /v3/kv/txn "$txn"
    is 200 "$code"
    is true "$(jq .succeeded <<<"$body")"
    jq -e '.responses[0].response_put.header.revision' <<<"$body"
    post 2 /v3/kv/txn "$txn"
    is false "$(jq 'has("succeeded")' <<<"$body")"
    is '"MQ=="' \
        "$(jq -c '.responses[0].response_range.kvs[0].value' <<<"$body")"
    is '"1"' "$(jq -c '.responses[1].response_txn.responses[0] |
        .response_range.count' <<<"$body")"
}

@test "errors: status, code and text" {
    local path request want
    while IFS='|' read -r path request want; do
        post 1 "$path" "$request"
        is "$want" "$code $(jq -c '[.code,.message]' <<<"$body")"
    done <<'END'
/v3/kv/range|{}|400 [3,"etcdserver: key is not provided"]
/v3/kv/range||400 [3,"etcdserver: key is not provided"]
/v3/kv/range|[]|400 [3,"proto: syntax error (line 1:1): unexpected token ["]
/v3/kv/range|{"key":"Zm9v"|400 [3,"unexpected EOF"]
/v3/kv/range|{"limit":"x"}|400 [3,"proto: (line 1:10): invalid value for int64 field limit: \"x\""]
/v3/kv/range|{"key":"Zm9v","key":"Zm9v"}|400 [3,"proto: (line 1:15): duplicate field \"key\""]
/v3/kv/range|{"key":"YQ==","sort_order":7}|400 [3,"etcdserver: invalid sort option"]
/v3/kv/range|{"key":"YQ==","revision":"999999"}|400 [11,"etcdserver: mvcc: required revision is a future revision"]
/v3/kv/put|{"key":"YQ==","lease":"404"}|404 [5,"etcdserver: requested lease not found"]
/v3/lease/revoke|{"ID":"404"}|404 [5,"etcdserver: requested lease not found"]
/v3/lease/grant|{"TTL":"9000000001"}|400 [11,"etcdserver: too large lease TTL"]
/v3/kv/txn|{"compare":[{"version":"1","value":"eA=="}]}|400 [3,"proto: (line 1:28): error parsing \"value\", oneof etcdserverpb.Compare.target_union is already set"]
/v3/nope|{}|404 [5,"Not Found"]
/v3/kv/range/|{}|404 [5,"Not Found"]
END
    code=$(curl -s -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' \
        "$(node_url 1)/v3/kv/range")
    is '501 {"code":12,"message":"Method Not Allowed"}' \
        "$code $(jq -c . "$BATS_TEST_TMPDIR/body")"
    post 1 /v3/kv/range '{"key":"YQ=="}' -H 'Grpc-Timeout: 1n'
    is '504 [4,"context deadline exceeded"]' \
        "$code $(jq -c '[.code,.message]' <<<"$body")"
    post 1 /v3/kv/range '{"key":"YQ=="}' -H 'Grpc-Timeout: soon'
    is '400 [3,"invalid grpc-timeout: soon"]' \
        "$code $(jq -c '[.code,.message]' <<<"$body")"
    post 1 /v3/kv/range '{"key":"YQ=="}' -H 'Grpc-Timeout: 5S'
    is 200 "$code"
}

@test "a request over the limit" {
    head -c 3000000 /dev/zero | base64 -w0 >"$BATS_TEST_TMPDIR/value"
    {
        printf '{"key":"YQ==","value":"'
        cat "$BATS_TEST_TMPDIR/value"
        printf '"}'
    } >"$BATS_TEST_TMPDIR/request"
    post 1 /v3/kv/put "@$BATS_TEST_TMPDIR/request"
    is '429 8' "$code $(jq .code <<<"$body")"
    # and one just below it
    head -c 1500000 /dev/zero | base64 -w0 >"$BATS_TEST_TMPDIR/value"
    {
        printf '{"key":"YmlnLg==","value":"'
        cat "$BATS_TEST_TMPDIR/value"
        printf '"}'
    } >"$BATS_TEST_TMPDIR/request"
    post 1 /v3/kv/put "@$BATS_TEST_TMPDIR/request"
    is 200 "$code"
    post 2 /v3/kv/range '{"key":"YmlnLg=="}'
    is 2000000 "$(jq -r '.kvs[0].value' <<<"$body" | tr -d '\n' | wc -c)"
}

@test "lease: grant, keep alive, time to live, revoke" {
    local id
    post 1 /v3/lease/grant '{"TTL":"60"}'
    id=$(jq -r .ID <<<"$body")
    is '"60"' "$(jq -c .TTL <<<"$body")"
    post 2 /v3/lease/keepalive "{\"ID\":\"$id\"}{\"ID\":$id}"
    is 200 "$code"
    is "$(printf '"%s" "60"\n' "$id" "$id")" \
        "$(jq -r '.result | "\(.ID|tojson) \(.TTL|tojson)"' <<<"$body")"
    post 1 /v3/lease/keepalive '{"ID":"404"}'
    is '["ID","header"]' "$(jq -c '.result | keys' <<<"$body")"
    post 1 /v3/lease/keepalive '{"ID":['
    is '200 ' "$code $body"
    post 1 /v3/lease/keepalive ''
    is '200 ' "$code $body"
    post 3 /v3/kv/lease/timetolive "{\"ID\":\"$id\",\"keys\":true}"
    is '"60"' "$(jq -c .grantedTTL <<<"$body")"
    post 1 /v3/lease/leases '{}'
    has "$(jq -c '[.leases[].ID]' <<<"$body")" "\"$id\""
    post 1 /v3/kv/lease/revoke "{\"ID\":\"$id\"}"
    is 200 "$code"
}

@test "watch: events as they come, several watchers, a cancel" {
    local k
    k=$(b64 /gw/watched)
    stream 2 /v3/watch "{\"create_request\":{\"key\":\"$k\"}}
        {\"create_request\":{\"key\":\"$k\",\"watch_id\":\"7\"}}
        {\"cancel_request\":{\"watch_id\":\"7\"}}"
    wait_for 10 lines_are 3
    post 1 /v3/kv/put "{\"key\":\"$k\",\"value\":\"MQ==\"}"
    wait_for 10 lines_are 4
    post 3 /v3/kv/deleterange "{\"key\":\"$k\"}"
    wait_for 10 lines_are 5
    is 'true null' "$(jq -r '"\(.result.created) \(.result.watch_id)"' \
        <<<"$(sed -n 1p "$OUT")")"
    is '7 true' "$(sed -n 3p "$OUT" |
        jq -r '"\(.result.watch_id) \(.result.canceled)"')"
    is 'MQ==' "$(sed -n 4p "$OUT" | jq -r '.result.events[0].kv.value')"
    is 'DELETE' "$(sed -n 5p "$OUT" | jq -r '.result.events[0].type')"
}

@test "watch: a refused one, a compacted one, bad JSON" {
    local rev
    post 1 /v3/watch '['
    is '400 3' "$code $(jq .code <<<"$body")"
    post 1 /v3/watch '{"create_request":5}'
    is '400 3' "$code $(jq .code <<<"$body")"
    post 1 /v3/kv/put '{"key":"YQ=="}'
    rev=$(jq -r .header.revision <<<"$body")
    post 1 /v3/kv/compaction "{\"revision\":\"$rev\"}"
    is 200 "$code"
    stream 1 /v3/watch '{"create_request":{"key":"YQ==","start_revision":"1"}}'
    wait_for 10 lines_are 2
    is "true $rev" "$(sed -n 2p "$OUT" |
        jq -r '"\(.result.canceled) \(.result.compact_revision)"')"
}

streams_open() {
    local labels='grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch"'
    labels+=',grpc_method="Watch"'
    local started handled
    started=$(metric 1 "grpc_server_started_total{$labels}")
    handled=$(curl -s "$(node_url 1)/metrics" | grep -F 'handled_total{' |
        grep -F "$labels" | awk '{ n += $2 } END { print n }')
    echo $((started - handled))
}

streams_are() {
    [ "$(streams_open)" = "$1" ]
}

@test "watch: who hangs up is forgotten" {
    wait_for 10 streams_are 0
    stream 1 /v3/watch '{"create_request":{"key":"YQ=="}}'
    wait_for 10 lines_are 1
    wait_for 5 streams_are 1
    kill "$STREAM"
    wait_for 5 streams_are 0
}

@test "watch: a reader that does not read loses nothing" {
    local k i value
    k=$(b64 /gw/flood)
    value=$(head -c 100000 /dev/zero | base64 -w0)
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    # curl's own buffers fill, then the sockets.
    curl -sN --max-time 60 -d "{\"create_request\":{\"key\":\"$k\"}}" \
        "$(node_url 1)/v3/watch" >"$BATS_TEST_TMPDIR/fifo" 3>&- &
    STREAM=$!
    exec 7<"$BATS_TEST_TMPDIR/fifo"
    read -r -u 7 _
    for ((i = 0; i < 200; i++)); do
        printf '{"key":"%s","value":"%s"}' "$k" "$value" |
            curl -sf -o /dev/null -d @- "$(node_url 1)/v3/kv/put"
    done
    # Behind, it gets many events in an answer.
    is 200 "$(timeout 30 jq -n 'first(foreach inputs as $r (0;
        . + ($r.result.events | length); if . >= 200 then . else empty end))' \
        <&7)"
    exec 7<&-
}

@test "snapshot: an image in pieces" {
    post 1 /v3/maintenance/snapshot '{}'
    is 200 "$code"
    jq -r '.result.blob' <<<"$body" | while read -r blob; do
        base64 -d <<<"$blob"
    done >"$BATS_TEST_TMPDIR/image"
    is 0 "$(jq -r '.result.remaining_bytes // 0' <<<"$body" | tail -n1)"
    # pages and a SHA-256 behind them
    is 32 "$(($(wc -c <"$BATS_TEST_TMPDIR/image") % 512))"
    if [ -n "$ETCDUTL" ]; then
        "$ETCDUTL" snapshot status "$BATS_TEST_TMPDIR/image"
    fi
}

@test "maintenance and cluster" {
    post 1 /v3/maintenance/status '{}'
    is 3.7.1 "$(jq -r .version <<<"$body")"
    jq -e '.dbSize and .leader and .raftIndex and
        .downgradeInfo == {}' <<<"$body"
    post 2 /v3/cluster/member/list '{}'
    is '["m1","m2","m3"]' "$(jq -c '[.members[].name] | sort' <<<"$body")"
    post 1 /v3/maintenance/alarm '{"action":"GET"}'
    is 200 "$code"
    post 1 /v3/maintenance/hashkv '{}'
    jq -e '.hash | type == "number"' <<<"$body"
}

@test "paths spelled otherwise, OPTIONS" {
    local url
    url=$(node_url 1)
    post 1 /v3beta/kv/range '{"key":"YQ=="}'
    is 200 "$code"
    is '307 /v3/kv/range' "$(curl -s -o /dev/null -d '{}' \
        -w '%{http_code} %header{location}' "$url/v3//kv/range" |
        sed "s,$url,,")"
    is 307 "$(curl -s -o /dev/null -w '%{http_code}' "$url/v3")"
    is 200 "$(curl -s -o /dev/null -X OPTIONS -w '%{http_code}' \
        "$url/v3/watch")"
}

@test "many at once" {
    local pids=() pid i
    for i in {1..20}; do
        curl -sf --max-time 20 -o /dev/null -d "{\"key\":\"$(b64 "/m/$i")\"}" \
            "$(node_url $((i % 3 + 1)))/v3/kv/put" 3>&- &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    is 20 "$(ctl get /m/ --prefix --count-only --write-out=fields |
        sed -n 's/^"Count" : //p')"
}

@test "a node that stops ends its streams and does not hang" {
    stream 3 /v3/watch '{"create_request":{"key":"YQ=="}}'
    wait_for 10 lines_are 1
    node_stop 3
    wait "$STREAM" || true
    STREAM=
    is 14 "$(tail -n1 "$OUT" | jq -r '.error.code')"
    node_start 3
    wait_for 15 node_healthy 3
}

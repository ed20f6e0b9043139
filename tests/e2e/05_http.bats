#!/usr/bin/env bats
# What people and their monitoring ask of the client port over HTTP/1.1.
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

# get PATH [CURL-ARG...]: status, content type and body in $code, $type, $body.
get() {
    local path=$1
    shift
    code=$(curl -s --max-time 20 -o "$BATS_TEST_TMPDIR/body" \
        -w '%{http_code} %{content_type}' "$@" "$(node_url 1)$path")
    type=${code#* }
    code=${code%% *}
    body=$(cat "$BATS_TEST_TMPDIR/body")
}

@test "/health" {
    get /health
    is "200" "$code"
    is '{"health":"true","reason":""}' "$body"
    get '/health?serializable=true&exclude=NOSPACE'
    is '{"health":"true","reason":""}' "$body"
    get /health -X POST
    is 405 "$code"
}

@test "/livez and /readyz" {
    for path in /livez /readyz; do
        get "$path"
        is "200 ok" "$code $body"
        has "$type" "text/plain"
    done
    get '/livez?verbose'
    is "$(printf '[+]serializable_read ok\nok')" "$body"
    get '/readyz?verbose'
    is "$(printf '[+]%s ok\n' data_corruption linearizable_read non_learner \
        serializable_read)" "$(grep '^\[' <<<"$body" | sort)"
    get '/readyz?verbose&exclude=non_learner'
    [ -z "$(grep non_learner <<<"$body")" ]
    get /readyz/linearizable_read
    is "200 ok" "$code $body"
    get /readyz/nonsense
    is 404 "$code"
    get /livez -X PUT
    is 405 "$code"
}

@test "/version" {
    get /version
    is 200 "$code"
    has "$type" application/json
    # Clients parse three numbers out of these.
    jq -e '.etcdserver | test("^3\\.[0-9]+\\.[0-9]+$")' <<<"$body"
    jq -e '.etcdcluster | test("^3\\.[0-9]+\\.[0-9]+$")' <<<"$body"
}

@test "/metrics" {
    local name
    ctl put /measured 1
    get /metrics
    is 200 "$code"
    has "$type" "text/plain; version=0.0.4"
    for name in etcd_server_has_leader etcd_server_is_leader \
        etcd_server_leader_changes_seen_total \
        etcd_server_proposals_committed_total \
        etcd_server_proposals_applied_total \
        etcd_server_proposals_pending etcd_server_proposals_failed_total \
        etcd_mvcc_db_total_size_in_bytes \
        etcd_disk_wal_fsync_duration_seconds_count \
        etcd_disk_backend_commit_duration_seconds_count \
        process_resident_memory_bytes; do
        grep -q "^${name}[ {]" <<<"$body" || {
            echo "no metric $name"
            return 1
        }
    done
    has "$body" "# TYPE etcd_server_has_leader gauge"
    is 1 "$(awk '$1 == "etcd_server_has_leader" { print $2 }' <<<"$body")"
    # Each name is described once, and every line is a comment or a sample.
    is "" "$(grep '^# TYPE' <<<"$body" | sort | uniq -d)"
    is "" "$(grep -vE '^#|^[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [0-9eE.+-]+(Inf|NaN)?$' \
        <<<"$body" | grep -vE ' (NaN|\+Inf)$')"
}

@test "other paths do not exist" {
    for path in / /v2/keys /healthz /members; do
        get "$path"
        is 404 "$code"
        is "404 page not found" "$body"
    done
}

@test "a connection is kept for the next request" {
    is "200 200 1" "$(curl -s -o /dev/null -o /dev/null \
        -w '%{http_code} ' "$(node_url 1)/health" "$(node_url 1)/version")$(
        curl -sv "$(node_url 1)/health" "$(node_url 1)/version" 2>&1 |
            grep -c 'Connected to')"
}

@test "HTTP/1.1 and gRPC at the same time on one port" {
    local pids=() pid
    for _ in 1 2 3 4 5 6 7 8; do
        curl -sf --max-time 10 "$(node_url 1)/readyz" >/dev/null 3>&- &
        pids+=("$!")
        ctl_on 1 put /mixed 1 >/dev/null 3>&- &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

@test "the peer port: /version, /members and the probe" {
    local url
    url=$(peer_url 1)
    curl -sf "$url/version" | jq -e .etcdserver
    is '["m1","m2","m3"]' \
        "$(curl -sf "$url/members" | jq -c 'map(.name) | sort')"
    is "$(ctl member list -w json | jq -r '.header.cluster_id' | wc -l)" \
        "$(curl -sfi "$url/members" | grep -ci '^x-etcd-cluster-id: ')"
    has "$(curl -sf "$url/raft/probing")" '"OK":true'
}

# Last: it leaves the cluster without a quorum.
@test "without a leader: alive, not ready, and saying why" {
    node_kill 2
    node_kill 3
    wait_for 10 no_leader
    get /health
    is 503 "$code"
    has "$body" 'RAFT NO LEADER'
    get /livez
    is "200 ok" "$code $body"
    get /readyz
    is 503 "$code"
    has "$body" "[-]linearizable_read failed: "
    get '/health?serializable=true'
    is 200 "$code"
}

no_leader() {
    curl -s --max-time 2 "$(node_url 1)/health" | grep -q "NO LEADER"
}

#!/usr/bin/env bats
# What HTTP shows where: metrics by name, ports of their own, who may ask.
load helper

teardown() {
    show_logs
    cluster_stop
}

status() { # URL [CURL-ARG...]
    curl -s -o "$BATS_TEST_TMPDIR/body" -D "$BATS_TEST_TMPDIR/head" \
        --max-time 10 -w '%{http_code}' "${@:2}" "$1"
}

header() {
    tr -d '\r' <"$BATS_TEST_TMPDIR/head" |
        sed -n "s/^$1: //Ip"
}

metric() { # text name-and-labels
    awk -v n="$2" '$1 == n { print $2 }' <<<"$1"
}

rtt_measured() {
    curl -s "$(node_url 1)/metrics" |
        grep -q '^etcd_network_peer_round_trip_time_seconds_count{.*} [1-9]'
}

@test "each metric of the dashboard and the alerts" {
    local name text put
    cluster_init 3 --metrics=extensive
    cluster_start
    ctl put a 1
    wait_for 15 rtt_measured
    text=$(curl -s "$(node_url 1)/metrics")
    for name in etcd_server_has_leader etcd_server_leader_changes_seen_total \
        etcd_server_proposals_failed_total etcd_server_quota_backend_bytes \
        etcd_mvcc_db_total_size_in_bytes \
        etcd_mvcc_db_total_size_in_use_in_bytes \
        etcd_disk_wal_fsync_duration_seconds_bucket \
        etcd_disk_backend_commit_duration_seconds_bucket \
        etcd_network_peer_round_trip_time_seconds_bucket \
        etcd_network_peer_sent_failures_total \
        etcd_network_peer_sent_bytes_total \
        etcd_network_peer_received_bytes_total \
        etcd_network_client_grpc_received_bytes_total \
        etcd_network_client_grpc_sent_bytes_total \
        grpc_server_started_total grpc_server_handled_total \
        grpc_server_handling_seconds_bucket grpc_server_msg_received_total \
        grpc_server_msg_sent_total process_resident_memory_bytes \
        process_open_fds process_start_time_seconds os_fd_used os_fd_limit \
        etcd_server_health_success etcd_server_client_requests_total \
        etcd_debugging_mvcc_watcher_total; do
        grep -q "^${name}[ {]" <<<"$text" || {
            echo "no metric $name"
            return 1
        }
    done
    # 45 methods with 17 codes each, the services on demand apart.
    is 765 "$(grep '^grpc_server_handled_total{' <<<"$text" |
        grep -cv 'service="v3')"
    is 45 "$(grep '^grpc_server_started_total{' <<<"$text" |
        grep -cv 'service="v3')"
    # What they count: a put on each member in turn.
    put='grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"'
    local before after
    before=$(metric "$text" "grpc_server_msg_received_total{$put}")
    ctl_on 1 put b 1
    ctl_on 1 put b 2
    text=$(curl -s "$(node_url 1)/metrics")
    after=$(metric "$text" "grpc_server_msg_received_total{$put}")
    is 2 "$((after - before))"
    is "$after" "$(metric "$text" "grpc_server_msg_sent_total{$put}")"
    is "$after" "$(metric "$text" "grpc_server_handling_seconds_count{$put}")"
    is "$after" \
        "$(metric "$text" "grpc_server_handled_total{grpc_code=\"OK\",$put}")"
    # Buckets never fall, and the last is the count.
    grep -E '^[a-z_]+_bucket\{' <<<"$text" | awk '
        { key = $1; sub(/,?le="[^"]*"/, "", key)
          if (key in last && $2 < last[key]) { print "falls: " $0; bad = 1 }
          last[key] = $2 } END { exit bad }'
    # Each name is described once.
    is "" "$(grep '^# TYPE' <<<"$text" | awk '{ print $3 }' | sort | uniq -d)"
    # So are the checks of health.
    local check
    curl -s "$(node_url 1)/readyz" >/dev/null
    text=$(curl -s "$(node_url 1)/metrics")
    check='type="readyz",name="linearizable_read",status="success"'
    is 1 "$(metric "$text" "etcd_server_healthchecks_total{$check}")"
}

@test "--metrics=basic: no latencies" {
    cluster_init 1
    cluster_start
    run ! grep -q handling_seconds <(curl -s "$(node_url 1)/metrics")
}

@test "--listen-metrics-urls: metrics and health, nothing else" {
    local port url path
    port=$(free_port)
    url=http://127.0.0.1:$port
    cluster_init 1 --listen-metrics-urls "$url"
    cluster_start
    for path in /metrics /health /livez /readyz '/readyz?verbose'; do
        is 200 "$(status "$url$path")"
    done
    for path in /version /debug/vars /v3/kv/range /; do
        is 404 "$(status "$url$path")"
        is "404 page not found" "$(cat "$BATS_TEST_TMPDIR/body")"
    done
    is 404 "$(status "$url/v3/kv/put" -d '{"key":"YQ=="}')"
    is 200 "$(status "$(node_url 1)/metrics")"
}

@test "--listen-client-http-urls: HTTP there, gRPC alone here" {
    local url
    url=http://127.0.0.1:$(free_port)
    cluster_init 1 --listen-client-http-urls "$url"
    node_start 1
    wait_for 10 curl -sf "$url/health"
    is 200 "$(status "$url/v3/kv/put" -d '{"key":"YQ=="}')"
    is 200 "$(status "$url/version")"
    ctl put b 1
    is 000 "$(status "$(node_url 1)/health" || true)"
    is 000 "$(status "$url/version" --http2-prior-knowledge || true)"
    # and it lives
    is 200 "$(status "$url/health")"
}

@test "--enable-grpc-gateway=false" {
    cluster_init 1 --enable-grpc-gateway=false
    cluster_start
    is 404 "$(status "$(node_url 1)/v3/kv/range" -d '{"key":"YQ=="}')"
    is "404 page not found" "$(cat "$BATS_TEST_TMPDIR/body")"
    is 200 "$(status "$(node_url 1)/version")"
}

@test "--cors: listed origins only" {
    cluster_init 1 --cors "http://ok.example:80,https://also.example:443"
    cluster_start
    local url
    url=$(node_url 1)
    status "$url/version" -H 'Origin: http://ok.example:80'
    is http://ok.example:80 "$(header Access-Control-Allow-Origin)"
    is "POST, GET, OPTIONS, PUT, DELETE" \
        "$(header Access-Control-Allow-Methods)"
    status "$url/v3/kv/range" -d '{' -H 'Origin: https://also.example:443'
    is https://also.example:443 "$(header Access-Control-Allow-Origin)"
    status "$url/version" -H 'Origin: http://other.example:80'
    is "" "$(header Access-Control-Allow-Origin)"
    status "$url/version"
    is "" "$(header Access-Control-Allow-Origin)"
}

@test "--host-whitelist: other names are refused before anything" {
    cluster_init 1 --host-whitelist "localhost,127.0.0.1"
    cluster_start
    local url
    url=$(node_url 1)
    is 200 "$(status "$url/version" -H 'Host: localhost:2379')"
    is 421 "$(status "$url/version" -H 'Host: evil.example')"
    has "$(cat "$BATS_TEST_TMPDIR/body")" \
        'the Host header was unrecognized'
    is 421 "$(status "$url/v3/kv/put" -H 'Host: evil.example' \
        -d '{"key":"eA=="}')"
    is 421 "$(status "$url/v3/watch" -X OPTIONS -H 'Host: evil.example')"
    is 0 "$(ctl get x -w json | jq '.count // 0')"
}

@test "/debug/vars" {
    cluster_init 1
    cluster_start
    curl -sf "$(node_url 1)/debug/vars" |
        jq -e '."raft.status".raftState == "StateLeader" and
            .file_descriptor_limit > 0 and (.cmdline | length > 1)'
    is 405 "$(status "$(node_url 1)/debug/vars" -X POST)"
}

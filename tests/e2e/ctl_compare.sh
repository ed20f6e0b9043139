#!/usr/bin/env bash
# Runs the same calls with two command lines against one endpoint and shows
# where exit code, standard output or standard error differ.
#   ctl_compare.sh <command> <other command> <host:port>
# The endpoint's keys below "cmp/", its leases and its users cmp* are used
# and left empty. What cannot be the same twice (revisions, times, lease ids)
# is masked; log lines and usage texts are left out.
set -u
[ $# = 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
endpoint=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mask() {
    sed -E \
        -e '/^\{"level"/d' \
        -e 's/\b(etcdctl|cofrectl)\b/CTL/g' \
        -e 's/("(revision|raft_term|create_revision|mod_revision|version|raftIndex|raftTerm|raftAppliedIndex|dbSize|dbSizeInUse|hash|hash_revision|compact_revision|CompactRevision|authRevision|ID|id|ttl|lease)":)-?[0-9]+/\1N/g' \
        -e 's/("(Revision|RaftTerm|(Prev)?CreateRevision|(Prev)?ModRevision|(Prev)?Version|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|Hash|HashRevision|ID|TTL|(Prev)?Lease)" : )-?[0-9a-f]+$/\1N/' \
        -e 's/\b(lease |^)[0-9a-f]{16}\b/\1LEASE/g' \
        -e 's/remaining\([0-9]+s\)/remaining(Ns)/' \
        -e 's/(took = |took |"took":"|"Took" : )[0-9.]+(ns|µs|ms|s)/\1T/' \
        -e 's/, [0-9]+ [kM]?B, [0-9]+ [kM]?B, [0-9]+%/, S, S, P/' \
        -e 's/, [0-9]+, [0-9]+, [0-9]+, , , false$/, N, N, N, , , false/' \
        -e 's/^([^,]+:[0-9]+), [0-9]+, [0-9]+$/\1, N, N/' \
        -e 's/(compacted revision |progress notify: |AuthRevision: )[0-9]+/\1N/' \
        -e '/^(Usage:|Flags:|  +-.*|  CTL .*|)$/d' -e '/^ +(-h|--|-[a-z],)/d' \
        -e '/^   ?(get|put|del) \[options\]/d' \
        -e 's/(ETCD_WATCH_REVISION=)[0-9]+/\1N/'
}

# try <text>: one call, written as shell with $ctl for the command line.
try() {
    ctl_out=$(eval "timeout 10 env $1" 2>"$work/err" </dev/null; echo "exit $?")
    printf '=== %s\n%s\n--- stderr\n%s\n' "$(printf %s "$1" | sed -E 's/[0-9a-f]{15,16}/ID/; s/--rev [0-9]+/--rev R/')" "$(printf '%s\n' "$ctl_out" | mask)" "$(mask <"$work/err")"
}

# pipe <input> <text>: the same with standard input.
pipe() {
    if [ "$1" = - ]; then
        ctl_out=$(eval "timeout 10 $2" 2>"$work/err"; echo "exit $?")
    else
        printf '%b' "$1" >"$work/in"
        ctl_out=$(eval "timeout 10 $2" 2>"$work/err" <"$work/in"; echo "exit $?")
    fi
    printf '=== %q | %s\n%s\n--- stderr\n%s\n' "$1" "$2" "$(printf '%s\n' "$ctl_out" | mask)" "$(mask <"$work/err")"
}

# slowly <line> ...: lines with time between them for answers to come.
slowly() {
    for line; do printf '%s\n' "$line"; sleep 0.7; done
}

cases() {
    local w lease id rev
    $ctl del cmp/ --prefix >/dev/null

    try '$ctl put cmp/a 1'; try '$ctl put cmp/a 2 --prev-kv'; try '$ctl put cmp/b 3 4'
    try '$ctl put cmp/a'; try '$ctl put'; try '$ctl put cmp/a --ignore-value'; try '$ctl put cmp/none --ignore-value'
    try '$ctl put cmp/a x --ignore-value'; try '$ctl put cmp/a x --ignore-lease'; try '$ctl put "" x'
    try '$ctl put cmp/a x --lease=zz'; try '$ctl put cmp/a x --lease=1234abcd'
    try '$ctl put cmp/a -- -1'; try '$ctl put cmp/a -1'; try '$ctl put --nosuch'
    pipe 'from stdin\n' '$ctl put cmp/stdin'; try '$ctl get cmp/stdin'
    try '$ctl put cmp/bin "$(printf "\\001\\x7f\\xc3\\xa9\\xff<&>\"\\\\\\t")"'
    try '$ctl get'; try '$ctl get cmp/a'; try '$ctl get cmp/none'; try '$ctl get cmp/ --prefix'
    try '$ctl get cmp/a cmp/c'; try '$ctl get cmp/a --keys-only'; try '$ctl get cmp/a --print-value-only'
    try '$ctl get cmp/ --prefix --limit 1'; try '$ctl get cmp/ --prefix --order DESCEND --sort-by MODIFY'
    try '$ctl get cmp/ --prefix --order ascend --sort-by value'; try '$ctl get cmp/ --prefix --consistency s'
    try '$ctl get cmp/b --from-key --limit 1'; try '$ctl get cmp/a b --prefix'; try '$ctl get cmp/a --prefix --from-key'
    try '$ctl get cmp/a --rev 99999999'; try '$ctl get cmp/a --rev -1'; try '$ctl get cmp/a --consistency x'
    try '$ctl get cmp/a --order foo'; try '$ctl get cmp/a --sort-by foo'; try '$ctl get cmp/a --limit x'
    try '$ctl get cmp/a --count-only'; try '$ctl get cmp/a --count-only -w fields'; try '$ctl get cmp/a --keys-only --count-only'
    try '$ctl get cmp/a --print-value-only -w json'; try '$ctl get cmp/ --prefix --hex'; try '$ctl get cmp/ --prefix --stream'
    try '$ctl get cmp/ --prefix --stream --order DESCEND'
    try '$ctl get cmp/ --prefix --min-mod-rev 1 --max-mod-rev 99999999 --min-create-rev 1 --max-create-rev 99999999'
    for w in fields json protobuf table foo; do
        [ $w = protobuf ] && { try "\$ctl get cmp/ --prefix -w $w | wc -c"; continue; }
        try "\$ctl get cmp/ --prefix -w $w"
        [ $w = table ] || try "\$ctl get cmp/a --print-value-only -w $w >/dev/null"
        [ $w = table ] || try "\$ctl get cmp/ --prefix -w $w --hex"
        [ $w = table ] || { try "\$ctl put cmp/a 1 -w $w"; try "\$ctl put cmp/a 1 --prev-kv -w $w"; try "\$ctl del cmp/none -w $w"; }
    done
    try '$ctl del'; try '$ctl del cmp/none'; try '$ctl del cmp/a --prev-kv'; try '$ctl del cmp/a cmp/z --prefix'
    try '$ctl del cmp/b cmp/c'; try '$ctl del cmp/b cmp/c --range'; try '$ctl del a b c'; try '$ctl del cmp/ --prefix --prev-kv -w json'
    try '$ctl del cmp/zz --prefix --from-key'

    pipe '\nput cmp/a b\nget cmp/a\ndel cmp/zz\n\n\n' '$ctl txn'
    pipe '\nput cmp/a b\nget cmp/a\ndel cmp/zz\n\n\n' '$ctl txn -w fields'
    pipe '\nput cmp/a b --prev-kv\nget cmp/a\ndel cmp/a --prev-kv\n\n\n' '$ctl txn -w json'
    pipe '\nput cmp/a b\n\n\n' '$ctl txn -w protobuf >/dev/null'
    pipe 'ver("cmp/a") = "0"\nval("cmp/a") != "x y"\n\nput cmp/a "q \\"z\\""\nget cmp/a --print-value-only\n\nget cmp/a --keys-only\n\n' '$ctl txn -i'
    pipe 'ver("cmp/a") = "0"\n\nput cmp/a 1\n\nget cmp/a --keys-only\ndel cmp/a --prev-kv\n\n' '$ctl txn'
    pipe 'c("cmp/a") < "1"\nm("cmp/a") < "1"\ncreate("cmp/a") = "0"\n\n\n\n' '$ctl txn'
    for line in foo 'mod("a") > "x"' 'mod("a")>"1"' 'mod( "a") > "1"' 'ver("a") = 3' 'foo("a") > "1"' 'ver("a") = "0x1"' 'get'; do
        pipe "$line\n\n\n\n" '$ctl txn'
    done
    for line in foo 'foo a' get put 'put a' 'put a b --foo' 'get a -w json' 'del a b c' 'put --lease=zz a b' 'get a --prefix --from-key' 'get a --consistency=x' 'put "" b'; do
        pipe "\n$line\n\n\n" '$ctl txn'
    done
    pipe '\n\n' '$ctl txn'; try '$ctl txn a'

    try '$ctl compaction'; try '$ctl compaction x'; try '$ctl compaction 99999999'; try '$ctl compaction 1 2'
    try '$ctl lease >/dev/null'; try '$ctl lease grant'; try '$ctl lease grant x'; try '$ctl lease revoke xx'; try '$ctl lease revoke 77'
    try '$ctl lease timetolive 77'; try '$ctl lease timetolive 77 -w json'; try '$ctl lease timetolive 77 -w fields'
    try '$ctl lease timetolive zz'; try '$ctl lease keep-alive 77'; try '$ctl lease keep-alive 77 --once'; try '$ctl lease keep-alive'
    try '$ctl lease grant 99999999999'; try '$ctl lease list'; try '$ctl lease list -w json'; try '$ctl lease list -w fields'
    for w in simple fields json; do
        try "\$ctl lease grant 60 -w $w"
    done
    lease=$($ctl lease grant 60 | sed -E 's/lease ([0-9a-f]+) .*/\1/')
    $ctl put cmp/l 1 --lease="$lease" >/dev/null
    try '$ctl get cmp/l -w fields'; try '$ctl get cmp/l -w fields --hex'; try '$ctl get cmp/l -w json'
    for w in simple fields json; do
        try "\$ctl lease timetolive $lease --keys -w $w"; try "\$ctl lease timetolive $lease -w $w"
        try "\$ctl lease keep-alive $lease --once -w $w"
    done
    try "\$ctl lease list | tail -n +2"; try "\$ctl lease list -w json"; try "\$ctl lease list -w fields"
    try "timeout 1 \$ctl lease keep-alive $lease"
    try "\$ctl lease revoke $lease"; try "\$ctl lease revoke $lease -w json"
    for lease in $($ctl lease list | tail -n +2); do $ctl lease revoke "$lease" >/dev/null; done

    rev=$($ctl put cmp/w 1 -w json | sed -E 's/.*"revision":([0-9]+).*/\1/')
    $ctl put cmp/w 2 >/dev/null; $ctl del cmp/w >/dev/null
    for w in simple fields json; do
        try "timeout 1 \$ctl watch cmp/w --rev $rev -w $w"; try "timeout 1 \$ctl watch cmp/ --prefix --rev $rev --prev-kv -w $w"
    done
    try "timeout 1 \$ctl watch cmp/w --rev $rev --hex"
    try "timeout 1 \$ctl watch cmp/w --rev $rev -w table"
    try "timeout 1 \$ctl watch cmp/w --rev $rev -- sh -c 'echo got \$ETCD_WATCH_KEY \$ETCD_WATCH_EVENT_TYPE \$ETCD_WATCH_VALUE'"
    try "timeout 1 \$ctl watch cmp/w --rev $rev -- false"; try "timeout 1 \$ctl watch cmp/w --rev $rev -- nosuchcommand"
    try '$ctl watch'; try '$ctl watch a b --prefix'; try '$ctl watch a --'; try '$ctl watch -- echo'; try '$ctl watch a --foo'
    try "ETCDCTL_WATCH_KEY=cmp/w timeout 1 \$ctl watch --rev $rev"; try 'ETCDCTL_WATCH_KEY=cmp/w $ctl watch a'
    pipe 'foo\nwatch\nwatch a b --prefix\n' '$ctl watch -i'
    slowly "watch cmp/w --rev $rev -- echo hi \$HOME" progress | pipe - '$ctl watch -i'
    slowly 'watch cmp/w' progress | pipe - '$ctl watch -i -w json'
    $ctl compaction "$rev" >/dev/null
    for w in simple fields json; do try "timeout 1 \$ctl watch cmp/w --rev 1 -w $w"; done
    try '$ctl get cmp/w --rev 1'; try '$ctl compaction 1'

    for w in simple fields json table; do
        try "\$ctl member list -w $w"; try "\$ctl endpoint hashkv -w $w | sed -E 's/[0-9]+/N/g; s/[─ ]+/ /g'"
        try "\$ctl endpoint status -w $w | sed -E 's/[0-9.]+ ?[kMG]?B?%?/N/g; s/[─ ]+/ /g'"
        try "\$ctl endpoint health -w $w | sed -E 's/[─ ]+/ /g; s/[0-9.]+(ms|µs)/T/'"
        try "\$ctl member list -w $w --hex"; try "\$ctl alarm list -w $w"; try "\$ctl alarm disarm -w $w"
        try "\$ctl endpoint health --cluster -w $w >/dev/null"
    done
    try '$ctl member list --consistency s'
    id=$($ctl member list | sed -E 's/,.*//' | head -1)
    try '$ctl member add'; try '$ctl member add n'; try '$ctl member add n --peer-urls=foo'; try '$ctl member add n --peer-urls=http://foo'
    try '$ctl member add n --peer-urls=http://foo:1/a'; try '$ctl member add a b'; try '$ctl member remove'; try '$ctl member remove zz'
    try '$ctl member remove 77'; try '$ctl member update'; try '$ctl member update 77'; try '$ctl member promote 77'; try '$ctl member promote zz'
    try '$ctl member >/dev/null'; try '$ctl member nosuch >/dev/null'; try '$ctl move-leader'; try '$ctl move-leader zz'; try '$ctl move-leader 77'
    try "\$ctl move-leader $id"; try "\$ctl member promote $id"
    try '$ctl defrag'; try '$ctl endpoint hashkv --rev 99999999'; try '$ctl alarm list a'
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1 \$ctl --command-timeout 300ms put a b"
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1,$endpoint \$ctl put cmp/a b"; try "ETCDCTL_ENDPOINTS=$endpoint,127.0.0.1:1 \$ctl get cmp/a"
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1 \$ctl --command-timeout 300ms endpoint health"
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1 \$ctl --command-timeout 300ms endpoint status -w json"
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1 \$ctl --command-timeout 300ms defrag"
    try "ETCDCTL_ENDPOINTS=127.0.0.1:1,$endpoint \$ctl --command-timeout 300ms endpoint status -w fields | head -1"
    try "ETCDCTL_ENDPOINTS=http://$endpoint \$ctl get cmp/a"
    try "\$ctl --endpoints $endpoint get a"; try 'ETCDCTL_FOO=1 $ctl get cmp/a'; try 'ETCDCTL_COMMAND_TIMEOUT=x $ctl get cmp/a'
    try '$ctl gett'; try '$ctl me l'; try '$ctl --dial-timeout x get a | head -1'; try '$ctl -w json get cmp/a'
    try '$ctl --write-out=json get cmp/a'; try '$ctl -wjson get cmp/a'; try '$ctl get cmp/a -w'; try '$ctl get --user'; try '$ctl get -1'
    try '$ctl get cmp/a --dial-timeout 5'; try '$ctl get cmp/a --hex=maybe'

    $ctl user delete cmpu >/dev/null 2>&1; $ctl role delete cmpr >/dev/null 2>&1
    try '$ctl user add cmpu:pw'; try '$ctl user add cmpu:pw'; try '$ctl user get cmpu'; try '$ctl user get cmpu --detail'; try '$ctl user get nosuch'
    try '$ctl role add cmpr'; try '$ctl role grant-permission cmpr read a'; try '$ctl role grant-permission cmpr readwrite b --prefix'
    try '$ctl role grant-permission cmpr write "" --from-key'; try '$ctl role grant-permission cmpr read x z'; try '$ctl role grant-permission cmpr foo x'
    for w in simple fields json; do try "\$ctl role get cmpr -w $w"; try "\$ctl role list -w $w"; try "\$ctl user list -w $w"; try "\$ctl auth status -w $w"; done
    try '$ctl user grant-role cmpu cmpr'; try '$ctl user get cmpu'; try '$ctl user get cmpu --detail'; try '$ctl user get cmpu -w json'
    try '$ctl user grant-role cmpu'; try '$ctl user revoke-role cmpu'; try '$ctl role get nosuch'; try '$ctl role grant-permission cmpr read b c --prefix'
    try '$ctl role revoke-permission cmpr a'; try '$ctl role revoke-permission cmpr x z'; try '$ctl role revoke-permission cmpr b --prefix'
    try '$ctl role revoke-permission cmpr "" --from-key'; try '$ctl role revoke-permission cmpr q'; try '$ctl role revoke-permission cmpr'
    try '$ctl user revoke-role cmpu cmpr'; pipe 'new\n' '$ctl user passwd cmpu --interactive=false'; pipe 'new\nnew\n' '$ctl user passwd cmpu 2>/dev/null'
    pipe 'new\nold\n' '$ctl user passwd cmpu 2>/dev/null'; pipe '\n' '$ctl user passwd cmpu 2>/dev/null'
    try '$ctl user delete cmpu'; try '$ctl role delete cmpr'; try '$ctl user delete cmpu'; try '$ctl auth enable'; try '$ctl auth enable a'
    try '$ctl put cmp/a b --user u:p'; try '$ctl put cmp/a b --user u --password p'
    try '$ctl downgrade validate'; try '$ctl downgrade validate x'; try '$ctl downgrade cancel'
    try "\$ctl snapshot save $work/snap.db | sed 's,$work,W,'"; try "stat -c %a $work/snap.db"; try '$ctl snapshot save'; try '$ctl snapshot save /nosuch/x'
    try "ETCDCTL_ENDPOINTS=a:1,b:2 \$ctl snapshot save $work/x 2>/dev/null"
    rm -f "$work/snap.db"
    $ctl del cmp/ --prefix >/dev/null
}

export ETCDCTL_ENDPOINTS=$endpoint
ctl=$1; cases >"$work/one" 2>&1
ctl=$2; cases >"$work/two" 2>&1
calls=$(grep -ac '^===' "$work/one")
if diff -a -U 4 "$work/one" "$work/two" >"$work/diff"; then
    echo "ctl_compare: $calls calls, no difference"
else
    cat "$work/diff"
    echo "ctl_compare: $calls calls, $(grep -ac '^[-+][^-+]' "$work/diff") lines differ"
    exit 1
fi

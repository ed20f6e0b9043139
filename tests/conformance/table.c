/*
 * Rules of the API, a row each:
 *   table URL,...
 * asks each member, the leader first, and compares the answer with what the
 * rule says. Revisions are counted from the first of the table. Closes with
 * "N passed, M failed".
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/diff/diff.h"

#define KV "/etcdserverpb.KV/"
#define LEASE "/etcdserverpb.Lease/"
#define MAINTENANCE "/etcdserverpb.Maintenance/"
#define CLUSTER "/etcdserverpb.Cluster/"

static struct {
    struct side side;
    int role;
    int passed, failed;
} t;

/* ---- answers as text ---- */

static void count_from_first(void *ctx, const struct field *f)
{
    const char *name = f->desc->name;
    int64_t *v = f->value;
    if (message_is(f->message, "ResponseHeader") &&
        strcmp(name, "revision") != 0) {
        *v = 0; /* ids and terms are not what the rules are about */
    } else if (strstr(name, "revision") && *v >= t.side.base) {
        *v += MARK_REVISION - t.side.base;
    }
}

static void expect(const char *rule, const char *path, const void *request,
                   const ProtobufCMessageDescriptor *type, const char *wanted)
{
    struct answer a;
    struct buf text = BUF_INIT(1 << 20);
    int member = t.side.roles[t.role % t.side.member_count];
    side_barrier(&t.side, t.side.roles[0]);
    side_barrier(&t.side, member);
    side_call(&t.side, member, path, side_request(&t.side, request), &a);
    for (int i = 0; i < a.count; i++) {
        ProtobufCMessage *m = side_message(&t.side, &a, i, type);
        rules_apply(&t.side, NULL, m);
        message_walk(m, count_from_first, NULL);
        message_print(&text, m);
    }
    if (a.code != GRPC_OK) {
        buf_printf(&text, "%s: %s", grpc_code_name(a.code), a.text);
    }
    while (text.size && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    buf_append_byte(&text, 0);
    bool holds = strcmp((char *)text.data, wanted) == 0;
    printf("%s %s, role %d\n", holds ? "ok    " : "not ok", rule, t.role);
    if (!holds) {
        printf("  expected: %s\n  actual:   %s\n", wanted, text.data);
    }
    t.passed += holds;
    t.failed += !holds;
    buf_release(&text);
    buf_release(&a.bytes);
}

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void put(const char *rule, Pb__PutRequest p, const char *wanted)
{
    expect(rule, KV "Put", &p, &pb__put_response__descriptor, wanted);
}

static void range(const char *rule, Pb__RangeRequest r, const char *wanted)
{
    expect(rule, KV "Range", &r, &pb__range_response__descriptor, wanted);
}

#define PUT(...)                                                          \
    (Pb__PutRequest)                                                      \
    {                                                                     \
        .base = {.descriptor = &pb__put_request__descriptor}, __VA_ARGS__ \
    }
#define RANGE(...)                                                          \
    (Pb__RangeRequest)                                                      \
    {                                                                       \
        .base = {.descriptor = &pb__range_request__descriptor}, __VA_ARGS__ \
    }
#define NEW(type, d, ...)                       \
    &(type)                                     \
    {                                           \
        .base = {.descriptor = &d}, __VA_ARGS__ \
    }

/* ---- the rows ---- */

static void puts_and_ranges(void)
{
    put("errors.md 1: a put without a key", PUT(.lease = 0),
        "InvalidArgument: etcdserver: key is not provided");
    put("errors.md 1: ignore_value with a value",
        PUT(.key = bytes("a"), .value = bytes("x"), .ignore_value = true),
        "InvalidArgument: etcdserver: value is provided");
    put("errors.md 1: ignore_lease with a lease",
        PUT(.key = bytes("a"), .lease = 1, .ignore_lease = true),
        "InvalidArgument: etcdserver: lease is provided");
    put("errors.md 1: ignore_value of a key that is not there",
        PUT(.key = bytes("a"), .ignore_value = true),
        "InvalidArgument: etcdserver: key not found");
    put("errors.md 1: a lease that is not there",
        PUT(.key = bytes("a"), .lease = 77),
        "NotFound: etcdserver: requested lease not found");
    put("semantics-kv.md 1: a put has the next revision",
        PUT(.key = bytes("a"), .value = bytes("1"), .prev_kv = true),
        "header: { revision: <first+1> }");
    put("semantics-kv.md 2: the version before the write",
        PUT(.key = bytes("a"), .value = bytes("2"), .prev_kv = true),
        "header: { revision: <first+2> } prev_kv: { key: \"a\" "
        "create_revision: <first+1> mod_revision: <first+1> version: 1 "
        "value: \"1\" }");
    range("semantics-kv.md 4: keys_only leaves the value out",
          RANGE(.key = bytes("a"), .keys_only = true),
          "header: { revision: <first+2> } kvs: { key: \"a\" create_revision: "
          "<first+1> mod_revision: <first+2> version: 2 } count: 1");
    range("semantics-kv.md 4: header.revision is that of the store",
          RANGE(.key = bytes("a"), .revision = MARK_REVISION + 1),
          "header: { revision: <first+2> } kvs: { key: \"a\" create_revision: "
          "<first+1> mod_revision: <first+1> version: 1 value: \"1\" } "
          "count: 1");
    range("semantics-kv.md 3: an end before the key is an empty range",
          RANGE(.key = bytes("b"), .range_end = bytes("a")),
          "header: { revision: <first+2> }");
    range("semantics-kv.md 4: count_only ignores the limit",
          RANGE(.key = bytes("a"), .range_end = bytes("z"), .limit = -1,
                .count_only = true),
          "header: { revision: <first+2> } count: 1");
    range("errors.md 1: a range without a key", RANGE(.limit = 1),
          "InvalidArgument: etcdserver: key is not provided");
    range("errors.md 1: a sort order that is none",
          RANGE(.key = bytes("a"), .sort_order = 7),
          "InvalidArgument: etcdserver: invalid sort option");
    range("errors.md 1: a revision to come",
          RANGE(.key = bytes("a"), .revision = MARK_REVISION + 1000),
          "OutOfRange: etcdserver: mvcc: required revision is a future "
          "revision");
    range("errors.md 1: a compacted revision",
          RANGE(.key = bytes("a"), .revision = MARK_REVISION - 1),
          "OutOfRange: etcdserver: mvcc: required revision has been "
          "compacted");
}

static void others(void)
{
    expect("errors.md 2: RangeStream knows no sort", KV "RangeStream",
           &RANGE(.key = bytes("a"), .sort_order = 2),
           &pb__range_stream_response__descriptor,
           "Unimplemented: RangeStream does not support custom sort orders");
    expect("semantics-kv.md 6: deleting nothing keeps the revision",
           KV "DeleteRange",
           NEW(Pb__DeleteRangeRequest, pb__delete_range_request__descriptor,
               .key = bytes("none")),
           &pb__delete_range_response__descriptor,
           "header: { revision: <first+2> }");
    expect("semantics-kv.md 7: no compares hold", KV "Txn",
           NEW(Pb__TxnRequest, pb__txn_request__descriptor, .n_compare = 0),
           &pb__txn_response__descriptor,
           "header: { revision: <first+2> } succeeded: 1");
    expect("semantics-watch-lease.md 2: a TTL that is too large",
           LEASE "LeaseGrant",
           NEW(Pb__LeaseGrantRequest, pb__lease_grant_request__descriptor,
               .id = 9, .ttl = 9000000001),
           &pb__lease_grant_response__descriptor,
           "OutOfRange: etcdserver: too large lease TTL");
    expect("semantics-watch-lease.md 2: revoking what is not there",
           LEASE "LeaseRevoke",
           NEW(Pb__LeaseRevokeRequest, pb__lease_revoke_request__descriptor,
               .id = 9),
           &pb__lease_revoke_response__descriptor,
           "NotFound: etcdserver: requested lease not found");
    expect("semantics-watch-lease.md 2: the time of what is not there",
           LEASE "LeaseTimeToLive",
           NEW(Pb__LeaseTimeToLiveRequest,
               pb__lease_time_to_live_request__descriptor, .id = 9),
           &pb__lease_time_to_live_response__descriptor,
           "header: { revision: <first+2> } ID: 9 TTL: -1");
    expect("errors.md 1: removing a member that is none",
           CLUSTER "MemberRemove",
           NEW(Pb__MemberRemoveRequest, pb__member_remove_request__descriptor,
               .id = 9),
           &pb__member_remove_response__descriptor,
           "NotFound: etcdserver: member not found");
    expect("errors.md 2: an action that is none", MAINTENANCE "Downgrade",
           NEW(Pb__DowngradeRequest, pb__downgrade_request__descriptor,
               .action = 9, .version = (char *)(uintptr_t) "3.6"),
           &pb__downgrade_response__descriptor,
           "Unknown: etcdserver: unknown method");
    expect("errors.md 1: a version in no format", MAINTENANCE "Downgrade",
           NEW(Pb__DowngradeRequest, pb__downgrade_request__descriptor,
               .version = (char *)(uintptr_t) "x"),
           &pb__downgrade_response__descriptor,
           "InvalidArgument: etcdserver: wrong downgrade target version "
           "format");
    expect("errors.md 2: no such method", KV "Nothing",
           &RANGE(.key = bytes("a")), &pb__range_response__descriptor,
           "Unimplemented: unknown method Nothing for service "
           "etcdserverpb.KV");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: table URL,...\n", stderr);
        return 2;
    }
    side_open(&t.side, "server", argv[1]);
    for (t.role = 0; t.role < t.side.member_count && t.role < 2; t.role++) {
        side_clean(&t.side);
        side_level(&t.side, t.side.revision + LEVEL_REVISIONS);
        puts_and_ranges();
        others();
    }
    printf("%d passed, %d failed\n", t.passed, t.failed);
    side_close(&t.side);
    return t.failed != 0;
}

/*
 * What may differ between the two, and nothing else: names for what a
 * server draws, an order for what has none, and the rows of defects.md.
 */
#include <stdlib.h>

#include "diff.h"

/* ---- what a server draws ---- */

enum action {
    DRAWN_CLUSTER, /* 1 for the cluster's own id */
    DRAWN_MEMBER,  /* the role of the member */
    SOME_NUMBER,   /* 1 if there is one */
    SOME_TEXT,     /* "some" if there is one */
    SOME_URL,      /* it was set when the process was started */
    RIGHT_VERSION, /* the row "Status storageVersion 3.5.0" of defects.md */
    HASHED_IDS,    /* 1 where the hash is of ids that the server drew */
};

static const struct rule {
    const char *message;
    const char *field;
    enum action action;
    const char *reason;
} rules[] = {
    {"ResponseHeader", "cluster_id", DRAWN_CLUSTER, "drawn from URLs"},
    {"ResponseHeader", "member_id", DRAWN_MEMBER, "drawn from URLs"},
    {"ResponseHeader", "raft_term", SOME_NUMBER, "raft's term"},
    {"StatusResponse", "version", SOME_TEXT, "version of the binary"},
    {"StatusResponse", "dbSize", SOME_NUMBER, "size of the file"},
    {"StatusResponse", "dbSizeInUse", SOME_NUMBER, "size of the file"},
    {"StatusResponse", "leader", DRAWN_MEMBER, "drawn from URLs"},
    {"StatusResponse", "raftIndex", SOME_NUMBER, "raft's index"},
    {"StatusResponse", "raftTerm", SOME_NUMBER, "raft's term"},
    {"StatusResponse", "raftAppliedIndex", SOME_NUMBER, "raft's index"},
    {"StatusResponse", "storageVersion", RIGHT_VERSION, "3.5.0 at first"},
    {"Member", "ID", DRAWN_MEMBER, "drawn from URLs"},
    {"Member", "name", SOME_TEXT, "the leader is another"},
    {"Member", "peerURLs", SOME_URL, "ports"},
    {"Member", "clientURLs", SOME_URL, "ports"},
    {"AlarmMember", "memberID", DRAWN_MEMBER, "drawn from URLs"},
    {"HashResponse", "hash", SOME_NUMBER, "checksum of the file"},
    {"HashKVResponse", "hash", HASHED_IDS, "drawn lease ids are hashed"},
};

static void name_member(const struct side *s, int64_t *v)
{
    for (int i = 0; i < s->member_count; i++) {
        if (s->members[s->roles[i]].id == (uint64_t)*v) {
            *v = MARK_MEMBER + i;
            return;
        }
    }
}

static void act(struct side *s, enum action action, const struct field *f)
{
    int64_t *v = f->value;
    static char some[] = "some", right[] = "3.7.0";
    switch (action) {
    case DRAWN_CLUSTER:
        *v = (uint64_t)*v == s->cluster_id ? 1 : *v;
        break;
    case DRAWN_MEMBER:
        name_member(s, v);
        break;
    case SOME_NUMBER:
        if (f->desc->type == PROTOBUF_C_TYPE_UINT32) {
            *(uint32_t *)f->value = 1;
        } else {
            *v = 1;
        }
        break;
    case RIGHT_VERSION:
        if (strcmp(*(char **)f->value, "3.5.0") == 0) {
            *(char **)f->value = right;
        }
        break;
    case HASHED_IDS:
        if (s->drawn_count) {
            *(uint32_t *)f->value = 1;
        }
        break;
    case SOME_TEXT:
    case SOME_URL:
        *(char **)f->value = some;
        break;
    }
}

static void name_leases(const struct side *s, const struct field *f)
{
    int64_t *v = f->value;
    if (f->desc->type != PROTOBUF_C_TYPE_INT64) {
        return;
    }
    for (int i = 0; i < s->drawn_count; i++) {
        if (*v == s->drawn[i]) {
            *v = MARK_LEASE + i;
        }
    }
}

static void each_field(void *ctx, const struct field *f)
{
    struct side *s = ctx;
    name_leases(s, f);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(rules[i].field, f->desc->name) == 0 &&
            message_is(f->message, rules[i].message)) {
            act(s, rules[i].action, f);
        }
    }
}

/* ---- what has no order, or depends on the clock ---- */

static int by_lease(const void *a, const void *b)
{
    int64_t x = (*(Pb__LeaseStatus *const *)a)->id;
    int64_t y = (*(Pb__LeaseStatus *const *)b)->id;
    return x < y ? -1 : x > y;
}

static int by_member(const void *a, const void *b)
{
    uint64_t x = (*(Pb__Member *const *)a)->id;
    uint64_t y = (*(Pb__Member *const *)b)->id;
    return x < y ? -1 : x > y;
}

static int by_alarm(const void *a, const void *b)
{
    const Pb__AlarmMember *x = *(Pb__AlarmMember *const *)a;
    const Pb__AlarmMember *y = *(Pb__AlarmMember *const *)b;
    if (x->memberid != y->memberid) {
        return x->memberid < y->memberid ? -1 : 1;
    }
    return (int)x->alarm - (int)y->alarm;
}

static int by_bytes(const void *a, const void *b)
{
    const ProtobufCBinaryData *x = a, *y = b;
    return slice_cmp(slice_of(x->data, x->len), slice_of(y->data, y->len));
}

static void sort(void *first, size_t n, size_t size,
                 int (*compare)(const void *, const void *))
{
    if (n > 1) {
        qsort(first, n, size, compare);
    }
}

/* Up to half a minute may have passed since the grant or the renewal. */
static void settle_ttl(Pb__LeaseTimeToLiveResponse *r)
{
    if (r->ttl >= 0 && r->ttl <= r->grantedttl && r->grantedttl - r->ttl < 30) {
        r->ttl = r->grantedttl;
    }
}

void rules_apply(struct side *s, const struct step *step, ProtobufCMessage *m)
{
    void *p = m;
    message_walk(m, each_field, s);
    if (message_is(m, "LeaseLeasesResponse")) {
        Pb__LeaseLeasesResponse *r = p;
        sort(r->leases, r->n_leases, sizeof(void *), by_lease);
    } else if (message_is(m, "MemberListResponse")) {
        Pb__MemberListResponse *r = p;
        sort(r->members, r->n_members, sizeof(void *), by_member);
    } else if (message_is(m, "AlarmResponse")) {
        Pb__AlarmResponse *r = p;
        sort(r->alarms, r->n_alarms, sizeof(void *), by_alarm);
    } else if (message_is(m, "LeaseTimeToLiveResponse")) {
        Pb__LeaseTimeToLiveResponse *r = p;
        settle_ttl(r);
        sort(r->keys, r->n_keys, sizeof *r->keys, by_bytes);
    }
}

/* ---- rows of defects.md that a drawn call can meet ---- */

static bool hashes_negative(const struct step *step)
{
    const void *p = step->request;
    return message_is(step->request, "HashKVRequest") &&
           ((const Pb__HashKVRequest *)p)->revision < 0;
}

static bool streams_sorted_oddly(const struct step *step)
{
    const void *p = step->request;
    const Pb__RangeRequest *r = p;
    return strcmp(step->path, "/etcdserverpb.KV/RangeStream") == 0 &&
           r->sort_order == 0 && r->sort_target > 0 && r->sort_target < 5;
}

/* Rows without a function concern calls that would end the etcd, or leave
 * in it what we refuse: they are never drawn. */
static const struct exemption {
    const char *row;
    bool (*applies)(const struct step *step);
} exemptions[] = {
    {"HashKV with a negative revision", hashes_negative},
    {"RangeStream, sort NONE with a target other than KEY",
     streams_sorted_oddly},
    {"Alarm with an action outside the enum; unknown alarm types", NULL},
    {"MemberUpdate with an unparsable or empty URL list", NULL},
    /* found by this run: it ends the etcd, again at each restart */
    {"a Put with ignore_value or ignore_lease of a key that the same Txn has "
     "deleted (by a sibling, or by a range without an end)",
     NULL},
    /* watch.c cancels such a watcher on both sides, and hears nothing */
    {"a watcher cancelled by compaction keeps its id", NULL},
};

const char *rules_exempt(const struct step *step)
{
    for (size_t i = 0; i < sizeof exemptions / sizeof *exemptions; i++) {
        if (step->request && exemptions[i].applies &&
            exemptions[i].applies(step)) {
            return exemptions[i].row;
        }
    }
    return proxy_exempt_step(step);
}

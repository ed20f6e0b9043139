/* An apply over a real store, and short ways to build entries for it. */
#ifndef TESTS_UNIT_APPLY_FIXTURE_H
#define TESTS_UNIT_APPLY_FIXTURE_H

#include "../store.h"
#include "apply/apply.h"

struct fixture {
    struct store store;
    struct lessor *lessor;
    struct apply *apply;
    struct apply_out out;
    uint64_t index;
    char seen[256]; /* what the hooks got */
};

static inline void fx_version(void *ctx, const char *version)
{
    struct fixture *f = ctx;
    snprintf(f->seen, sizeof f->seen, "version %s", version);
}

static inline void fx_attributes(void *ctx, uint64_t id,
                                 const Pbm__Attributes *a)
{
    struct fixture *f = ctx;
    snprintf(f->seen, sizeof f->seen, "member %llu %s %zu %s",
             (unsigned long long)id, a->name, a->n_client_urls,
             a->n_client_urls ? a->client_urls[0] : "");
}

static inline void fx_downgrade(void *ctx, bool enabled, const char *version)
{
    struct fixture *f = ctx;
    snprintf(f->seen, sizeof f->seen, "downgrade %d %s", enabled, version);
}

static inline void fx_start(struct fixture *f)
{
    struct lessor_config lc = {.db = f->store.db, .ttl_min_s = 2};
    f->lessor = lease_new(&lc);
    assert_int_equal(lease_load(f->lessor, f->store.db), 0);
    assert_int_equal(
        mvcc_each_leased(f->store.mvcc, lease_attach_row, f->lessor), 0);
    struct apply_config ac = {
        .mvcc = f->store.mvcc,
        .db = f->store.db,
        .lessor = f->lessor,
        .quota_bytes = 1 << 20,
        .hooks = {fx_version, fx_attributes, fx_downgrade, f},
    };
    assert_int_equal(apply_new(&ac, &f->apply), 0);
}

static inline void fx_open(struct fixture *f)
{
    *f = (struct fixture){0};
    apply_out_init(&f->out);
    store_new(&f->store);
    fx_start(f);
}

static inline void fx_stop(struct fixture *f)
{
    apply_out_release(&f->out);
    apply_free(f->apply);
    lease_free(f->lessor);
    store_close(&f->store);
}

static inline int fx_bytes(struct fixture *f, struct slice data,
                           struct apply_out *out)
{
    return apply_entry(f->apply, 0, ++f->index, 1, data, out);
}

/* Applies; what the client is told. The answer stays in f->out. */
static inline int fx_run(struct fixture *f, Pb__InternalRaftRequest *r)
{
    Pb__RequestHeader header = PB__REQUEST_HEADER__INIT;
    header.id = 77;
    r->header = &header;
    size_t size = pb__internal_raft_request__get_packed_size(r);
    uint8_t *data = mem_alloc(size);
    pb__internal_raft_request__pack(r, data);
    assert_int_equal(apply_request_id(slice_of(data, size)), 77);
    apply_out_release(&f->out);
    apply_out_init(&f->out);
    assert_int_equal(fx_bytes(f, slice_of(data, size), &f->out), 0);
    free(data);
    return f->out.err;
}

static inline ProtobufCBinaryData fx_data(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* range_end of "\0" is written as "@". */
static inline ProtobufCBinaryData fx_end(const char *text)
{
    static uint8_t zero[1];
    if (strcmp(text, "@") == 0) {
        return (ProtobufCBinaryData){1, zero};
    }
    return fx_data(text);
}

static inline int fx_put(struct fixture *f, const char *key, const char *value,
                         int64_t lease)
{
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = fx_data(key);
    put.value = fx_data(value);
    put.lease = lease;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.put = &put;
    return fx_run(f, &r);
}

static inline int fx_delete(struct fixture *f, const char *key, const char *end)
{
    Pb__DeleteRangeRequest del = PB__DELETE_RANGE_REQUEST__INIT;
    del.key = fx_data(key);
    del.range_end = fx_end(end);
    del.prev_kv = true;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.delete_range = &del;
    return fx_run(f, &r);
}

static inline int fx_grant(struct fixture *f, int64_t id, int64_t ttl)
{
    Pb__LeaseGrantRequest grant = PB__LEASE_GRANT_REQUEST__INIT;
    grant.id = id;
    grant.ttl = ttl;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.lease_grant = &grant;
    return fx_run(f, &r);
}

static inline int fx_revoke(struct fixture *f, int64_t id)
{
    Pb__LeaseRevokeRequest revoke = PB__LEASE_REVOKE_REQUEST__INIT;
    revoke.id = id;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.lease_revoke = &revoke;
    return fx_run(f, &r);
}

static inline int fx_compact(struct fixture *f, int64_t revision)
{
    Pb__CompactionRequest compaction = PB__COMPACTION_REQUEST__INIT;
    compaction.revision = revision;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.compaction = &compaction;
    return fx_run(f, &r);
}

static inline int fx_alarm(struct fixture *f, int action, uint64_t member,
                           int type)
{
    Pb__AlarmRequest alarm = PB__ALARM_REQUEST__INIT;
    alarm.action = (Pb__AlarmRequest__AlarmAction)action;
    alarm.memberid = member;
    alarm.alarm = (Pb__AlarmType)type;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.alarm = &alarm;
    return fx_run(f, &r);
}

static inline int64_t fx_revision(const struct fixture *f)
{
    return mvcc_revision(f->store.mvcc);
}

/* "key=value/create,mod,version,lease" */
static inline void fx_print_kv(struct buf *b, const Pb__KeyValue *kv)
{
    buf_printf(b, "%.*s=%.*s/%lld,%lld,%lld,%lld", (int)kv->key.len,
               (const char *)kv->key.data, (int)kv->value.len,
               (const char *)kv->value.data, (long long)kv->create_revision,
               (long long)kv->mod_revision, (long long)kv->version,
               (long long)kv->lease);
}

static inline void fx_print_range(struct buf *b, const Pb__RangeResponse *r)
{
    for (size_t i = 0; i < r->n_kvs; i++) {
        fx_print_kv(b, r->kvs[i]);
        buf_append_str(b, " ");
    }
    buf_printf(b, "count=%lld%s", (long long)r->count, r->more ? " more" : "");
}

/* The answer, as text; borrowed until the next call. */
static inline const char *fx_text(struct buf *b)
{
    buf_append_byte(b, 0);
    static char text[4096];
    snprintf(text, sizeof text, "%s", (const char *)b->data);
    buf_release(b);
    return text;
}

static inline const char *fx_range(struct fixture *f,
                                   const struct proto_range *range)
{
    struct buf body = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    int err = apply_range(f->apply, range, &body);
    if (err) {
        buf_append_str(&text, err_name(err));
    } else {
        Pb__RangeResponse *r = pb__range_response__unpack(
            NULL, body.size, body.data ? body.data : (const uint8_t *)"");
        assert_non_null(r);
        fx_print_range(&text, r);
        pb__range_response__free_unpacked(r, NULL);
    }
    buf_release(&body);
    return fx_text(&text);
}

static inline const char *fx_all(struct fixture *f)
{
    struct proto_range all = {.key = slice_of("\0", 1),
                              .end = slice_of("\0", 1)};
    return fx_range(f, &all);
}

#endif

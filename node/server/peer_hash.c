/*
 * HashKV between members: what the others answer for one revision, and what
 * this one answers them. The body of both is small JSON.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "corruption.h"

enum { BODY_MAX = 1024, ASK_TIMEOUT_MS = 60000 };

static const char path[] = "/members/hashkv";

/* ---- asking ---- */

struct ask {
    struct peer_hash_round *round;
    struct peer_hash_answer *answer;
    struct peer_exchange *exchange;
};

struct peer_hash_round {
    struct node *node;
    int64_t revision;
    uint32_t waiting;
    struct peer_hashes hashes;
    struct ask asks[MEMBERS_MAX];
    struct timer *none; /* nobody to ask: done is not called from inside */
    void (*done)(void *ctx, const struct peer_hashes *hashes);
    void *ctx;
};

static void finish(void *ctx)
{
    struct peer_hash_round *r = ctx;
    r->done(r->ctx, &r->hashes);
    timer_free(r->none);
    free(r);
}

static int read_answer(struct slice body, struct peer_hash_answer *ret)
{
    json_t *root = json_loadb((const char *)body.data, body.size, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return ERR_PROTOCOL;
    }
    json_t *header = json_object_get(root, "header");
    ret->revision = json_integer_value(json_object_get(header, "revision"));
    ret->hash.hash =
        (uint32_t)json_integer_value(json_object_get(root, "hash"));
    ret->hash.compact_revision =
        json_integer_value(json_object_get(root, "compact_revision"));
    ret->hash.hash_revision =
        json_integer_value(json_object_get(root, "hash_revision"));
    json_decref(root);
    return 0;
}

static void answered(void *ctx, int err, int status, const char *cluster_id,
                     struct slice body)
{
    struct ask *a = ctx;
    struct peer_hash_round *r = a->round;
    a->exchange = NULL;
    if (err == 0 && status != 200) {
        err = body.size && memmem(body.data, body.size, "future", 6)
                  ? ERR_FUTURE
                  : ERR_UNAVAILABLE;
    }
    a->answer->err = err ? err : read_answer(body, a->answer);
    if (--r->waiting == 0) {
        finish(r);
    }
}

static void ask_one(struct peer_hash_round *r, const struct member *m)
{
    struct peer_hash_answer *answer = &r->hashes.list[r->hashes.count];
    struct ask *a = &r->asks[r->hashes.count++];
    struct url url;
    *answer = (struct peer_hash_answer){.id = m->id, .err = ERR_UNAVAILABLE};
    if (m->peer_url_count == 0 || url_parse(m->peer_urls[0], &url)) {
        return;
    }
    char body[64], cluster[32];
    int size =
        snprintf(body, sizeof body, "{\"revision\":%" PRId64 "}", r->revision);
    snprintf(cluster, sizeof cluster, "%" PRIx64, r->node->cluster_id);
    *a = (struct ask){.round = r, .answer = answer};
    a->exchange =
        peer_fetch(r->node->loop, &url, "GET", path, "application/json",
                   slice_of(body, (size_t)size), ASK_TIMEOUT_MS, answered, a);
    peer_fetch_field(a->exchange, "X-Etcd-Cluster-ID", cluster);
    r->waiting++;
}

struct peer_hash_round *
peer_hash_ask(struct node *n, int64_t revision,
              void (*done)(void *ctx, const struct peer_hashes *hashes),
              void *ctx)
{
    struct peer_hash_round *r = mem_zalloc(sizeof *r);
    r->node = n;
    r->revision = revision;
    r->done = done;
    r->ctx = ctx;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct member *m = &n->members.list[i];
        if (m->id != n->id) {
            ask_one(r, m);
        }
    }
    if (r->waiting == 0) {
        r->none = timer_new(n->loop, finish, r);
        timer_start(r->none, 0, 0);
    }
    return r;
}

void peer_hash_cancel(struct peer_hash_round *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < r->hashes.count; i++) {
        peer_fetch_cancel(r->asks[i].exchange);
    }
    timer_free(r->none);
    free(r);
}

/* ---- answering ---- */

struct hash_request {
    struct node *node;
    struct peer_request *rq;
};

static void put_number(struct buf *out, const char *name, int64_t value)
{
    if (value) { /* zero fields are left out */
        buf_printf(out, ",\"%s\":%" PRId64, name, value);
    }
}

static void hashed(void *ctx, int err, const struct mvcc_hash *hash)
{
    struct hash_request *h = ctx;
    struct buf body = BUF_INIT(BODY_MAX);
    if (err == 0) {
        buf_printf(&body, "{\"header\":{\"revision\":%" PRId64 "}",
                   mvcc_revision(h->node->mvcc));
        put_number(&body, "hash", hash->hash);
        put_number(&body, "compact_revision", hash->compact_revision);
        put_number(&body, "hash_revision", hash->hash_revision);
        buf_append_str(&body, "}\n");
        peer_answer(h->rq, 200, "application/json", buf_slice(&body));
    } else if (err == ERR_COMPACTED || err == ERR_FUTURE) {
        buf_printf(&body, "mvcc: required revision %s\n",
                   err == ERR_COMPACTED ? "has been compacted"
                                        : "is a future revision");
        peer_answer(h->rq, 400, "text/plain; charset=utf-8", buf_slice(&body));
    } else {
        buf_printf(&body, "%s\n", err_text(err));
        peer_answer(h->rq, 500, "text/plain; charset=utf-8", buf_slice(&body));
    }
    buf_release(&body);
    free(h);
}

void peer_hash_answer(struct node *n, struct slice body,
                      struct peer_request *rq)
{
    json_t *root = json_loadb((const char *)body.data, body.size, 0, NULL);
    json_t *revision = json_object_get(root, "revision");
    if (!json_is_object(root) || (revision && !json_is_integer(revision))) {
        json_decref(root);
        peer_answer(rq, 400, "text/plain; charset=utf-8",
                    slice_str("error unmarshalling request\n"));
        return;
    }
    int64_t asked = json_integer_value(revision);
    json_decref(root);
    struct hash_request *h = mem_alloc(sizeof *h);
    *h = (struct hash_request){n, rq};
    int err = asked < 0 ? ERR_FUTURE : mvcc_hash_kv(n->mvcc, asked, hashed, h);
    if (err) {
        hashed(h, err, NULL);
    }
}

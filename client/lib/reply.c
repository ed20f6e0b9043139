#include <stdlib.h>

#include "base/mem.h"
#include "client.h"

#define INDEX_TYPE(r, pb_type, pb_descriptor, body)     \
    if ((r)->message->descriptor == &(pb_descriptor)) { \
        pb_type *m = (pb_type *)(void *)(r)->message;   \
        (r)->header = m->header;                        \
        body                                            \
    }

/* The pairs of all gets of a transaction, in order. */
static void index_txn(struct cofre_reply *r, const Pb__TxnResponse *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->n_responses; i++) {
        const Pb__ResponseOp *op = m->responses[i];
        if (op->response_case == PB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE) {
            count += op->response_range->n_kvs;
        }
    }
    r->kvs = arena_alloc(&r->arena, (count + 1) * sizeof *r->kvs);
    for (size_t i = 0; i < m->n_responses; i++) {
        const Pb__ResponseOp *op = m->responses[i];
        if (op->response_case != PB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE) {
            continue;
        }
        for (size_t k = 0; k < op->response_range->n_kvs; k++) {
            r->kvs[r->kv_count++] = op->response_range->kvs[k];
        }
    }
}

void client_reply_index(struct cofre_reply *r)
{
    INDEX_TYPE(r, Pb__RangeResponse, pb__range_response__descriptor, {
        r->kvs = m->kvs;
        r->kv_count = m->n_kvs;
    })
    INDEX_TYPE(r, Pb__PutResponse, pb__put_response__descriptor, {
        r->kvs = &m->prev_kv;
        r->kv_count = m->prev_kv ? 1 : 0;
    })
    INDEX_TYPE(r, Pb__DeleteRangeResponse,
               pb__delete_range_response__descriptor, {
                   r->kvs = m->prev_kvs;
                   r->kv_count = m->n_prev_kvs;
               })
    INDEX_TYPE(r, Pb__TxnResponse, pb__txn_response__descriptor,
               { index_txn(r, m); })
    INDEX_TYPE(r, Pb__MemberListResponse, pb__member_list_response__descriptor,
               {
                   r->members = m->members;
                   r->member_count = m->n_members;
               })
}

void cofre_reply_free(struct cofre_reply *r)
{
    if (r) {
        arena_release(&r->arena);
        free(r);
    }
}

const ProtobufCMessage *cofre_reply_message(const struct cofre_reply *r)
{
    return r->message;
}

struct cofre_header client_header(const Pb__ResponseHeader *h)
{
    if (!h) {
        return (struct cofre_header){0};
    }
    return (struct cofre_header){
        .cluster_id = h->cluster_id,
        .member_id = h->member_id,
        .revision = h->revision,
        .raft_term = h->raft_term,
    };
}

struct cofre_header cofre_reply_header(const struct cofre_reply *r)
{
    return client_header(r->header);
}

struct cofre_kv client_kv(const Pb__KeyValue *kv)
{
    return (struct cofre_kv){
        .key = {kv->key.data, kv->key.len},
        .value = {kv->value.data, kv->value.len},
        .create_revision = kv->create_revision,
        .mod_revision = kv->mod_revision,
        .version = kv->version,
        .lease = kv->lease,
    };
}

size_t cofre_reply_kv_count(const struct cofre_reply *r)
{
    return r->kv_count;
}

struct cofre_kv cofre_reply_kv(const struct cofre_reply *r, size_t index)
{
    return client_kv(r->kvs[index]);
}

size_t cofre_reply_member_count(const struct cofre_reply *r)
{
    return r->member_count;
}

struct cofre_member cofre_reply_member(const struct cofre_reply *r,
                                       size_t index)
{
    const Pb__Member *m = r->members[index];
    return (struct cofre_member){
        .id = m->id,
        .name = m->name,
        .peer_url_count = m->n_peerurls,
        .peer_urls = m->peerurls,
        .client_url_count = m->n_clienturls,
        .client_urls = m->clienturls,
        .is_learner = m->islearner,
    };
}

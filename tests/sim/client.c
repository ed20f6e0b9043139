/*
 * Clients: writes of all kinds, each encoded as api/ would, and reads. What
 * is acknowledged must be what the model says; a read must not be older
 * than anything that was acknowledged or read before it was asked.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "sim.h"

enum {
    PROMOTE_LAG_MAX = 10, /* entries, of a learner that becomes a voter */
    HEALTHY_MS = 60000,
    LEASES = 6,
};

struct slice sim_key(uint8_t key, char text[8])
{
    snprintf(text, 8, "k%02u", key % 100u);
    return slice_str(text);
}

uint8_t sim_key_number(struct slice key)
{
    if (key.size != 3 || key.data[0] != 'k') {
        return SIM_KEYS;
    }
    int number = (key.data[1] - '0') * 10 + key.data[2] - '0';
    return number >= 0 && number < SIM_KEYS ? (uint8_t)number : SIM_KEYS;
}

/* Some long, so that segments fill and pages split. */
struct bytes *sim_value(uint32_t number)
{
    size_t size = number % 13 == 0 ? 3000 : number % 5 == 0 ? 300 : 12;
    struct bytes *b = bytes_new(size);
    memset(b->data, 'a' + (int)(number % 26), size);
    b->data[0] = (uint8_t)number;
    b->data[1] = (uint8_t)(number >> 8);
    b->data[2] = (uint8_t)(number >> 16);
    return b;
}

struct sim_op *sim_op_of(struct sim *s, uint64_t id)
{
    return id >= 1 && id <= s->op_count ? s->ops[id - 1] : NULL;
}

static struct sim_op *op_new(struct sim *s, enum sim_kind kind)
{
    if (s->op_count == s->op_capacity) {
        s->op_capacity = s->op_capacity ? s->op_capacity * 2 : 256;
        s->ops = mem_realloc(s->ops, s->op_capacity * sizeof(struct sim_op *));
    }
    struct sim_op *op = mem_zalloc(sizeof *op);
    s->ops[s->op_count++] = op;
    op->kind = kind;
    op->proposal.id = s->op_count;
    op->value = (uint32_t)s->op_count * SIM_TXN_PUTS_MAX;
    return op;
}

/* ---- the entry ---- */

static void bytes_field(ProtobufCBinaryData *to, struct slice from)
{
    *to = (ProtobufCBinaryData){from.size, (uint8_t *)(uintptr_t)from.data};
}

struct scratch {
    char key[8], end[8], keys[SIM_TXN_PUTS_MAX][8];
    struct bytes *values[SIM_TXN_PUTS_MAX];
    Pb__PutRequest puts[SIM_TXN_PUTS_MAX];
    Pb__DeleteRangeRequest del;
    Pb__RequestOp ops[SIM_TXN_PUTS_MAX], otherwise;
    Pb__RequestOp *success[SIM_TXN_PUTS_MAX], *failure;
    Pb__Compare compare, *compares;
};

static void fill_put(struct scratch *x, uint32_t i, uint8_t key, uint32_t value)
{
    pb__put_request__init(&x->puts[i]);
    x->values[i] = sim_value(value);
    bytes_field(&x->puts[i].key, sim_key(key, x->keys[i]));
    bytes_field(&x->puts[i].value, bytes_slice(x->values[i]));
}

static void fill_delete(struct scratch *x, const struct sim_op *op)
{
    pb__delete_range_request__init(&x->del);
    bytes_field(&x->del.key, sim_key(op->key, x->key));
    if (op->end) {
        bytes_field(&x->del.range_end, sim_key(op->end, x->end));
    }
}

static void fill_txn(struct scratch *x, const struct sim_op *op,
                     Pb__TxnRequest *txn)
{
    for (uint32_t i = 0; i < op->put_count; i++) {
        fill_put(x, i, op->put_keys[i], op->value + i);
        pb__request_op__init(&x->ops[i]);
        x->ops[i].request_case = PB__REQUEST_OP__REQUEST_REQUEST_PUT;
        x->ops[i].request_put = &x->puts[i];
        x->success[i] = &x->ops[i];
    }
    fill_delete(x, op);
    pb__request_op__init(&x->otherwise);
    x->otherwise.request_case = PB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    x->otherwise.request_delete_range = &x->del;
    x->failure = &x->otherwise;
    pb__compare__init(&x->compare);
    x->compare.target = PB__COMPARE__COMPARE_TARGET__VERSION;
    x->compare.result = PB__COMPARE__COMPARE_RESULT__EQUAL;
    bytes_field(&x->compare.key, sim_key(op->key, x->key));
    x->compare.target_union_case = PB__COMPARE__TARGET_UNION_VERSION;
    x->compare.version = op->number;
    x->compares = &x->compare;
    txn->compare = &x->compares;
    txn->n_compare = 1;
    txn->success = x->success;
    txn->n_success = op->put_count;
    txn->failure = &x->failure;
    txn->n_failure = 1;
}

static struct bytes *pack(const struct sim_op *op)
{
    struct scratch x = {0};
    Pb__RequestHeader header = PB__REQUEST_HEADER__INIT;
    Pb__InternalRaftRequest rq = PB__INTERNAL_RAFT_REQUEST__INIT;
    Pb__TxnRequest txn = PB__TXN_REQUEST__INIT;
    Pb__CompactionRequest compaction = PB__COMPACTION_REQUEST__INIT;
    Pb__LeaseGrantRequest grant = PB__LEASE_GRANT_REQUEST__INIT;
    Pb__LeaseRevokeRequest revoke = PB__LEASE_REVOKE_REQUEST__INIT;
    header.id = op->proposal.id;
    rq.header = &header;
    compaction.revision = op->number;
    grant.id = revoke.id = op->lease;
    grant.ttl = op->number;
    switch (op->kind) {
    case SIM_PUT:
        fill_put(&x, 0, op->key, op->value);
        x.puts[0].lease = op->lease;
        rq.put = &x.puts[0];
        break;
    case SIM_DELETE:
        fill_delete(&x, op);
        rq.delete_range = &x.del;
        break;
    case SIM_TXN:
        fill_txn(&x, op, &txn);
        rq.txn = &txn;
        break;
    case SIM_COMPACT:
        rq.compaction = &compaction;
        break;
    case SIM_GRANT:
        rq.lease_grant = &grant;
        break;
    case SIM_REVOKE:
        rq.lease_revoke = &revoke;
        break;
    case SIM_CONF:
        break;
    }
    struct bytes *data =
        bytes_new(pb__internal_raft_request__get_packed_size(&rq));
    pb__internal_raft_request__pack(&rq, data->data);
    for (int i = 0; i < SIM_TXN_PUTS_MAX; i++) {
        bytes_unref(x.values[i]);
    }
    return data;
}

/* ---- answers ---- */

static void check_body(struct sim *s, const struct sim_op *op)
{
    struct slice body = buf_slice(&op->out.body);
    if (op->kind == SIM_DELETE) {
        Pb__DeleteRangeResponse *r = pb__delete_range_response__unpack(
            NULL, body.size, body.data ? body.data : (const uint8_t *)"");
        if (r == NULL || r->deleted != op->deleted) {
            sim_fail(s, "op %" PRIu64 " deleted %" PRIi64 ", must be %" PRIi64,
                     op->proposal.id, r ? r->deleted : -1, op->deleted);
        }
        if (r) {
            pb__delete_range_response__free_unpacked(r, NULL);
        }
    } else if (op->kind == SIM_TXN) {
        Pb__TxnResponse *r = pb__txn_response__unpack(
            NULL, body.size, body.data ? body.data : (const uint8_t *)"");
        if (r == NULL || r->succeeded != op->succeeded) {
            sim_fail(s, "op %" PRIu64 " took the other branch",
                     op->proposal.id);
        }
        if (r) {
            pb__txn_response__free_unpacked(r, NULL);
        }
    }
}

static void check_answer(struct sim *s, const struct sim_op *op)
{
    if (op->out.err != op->err ||
        (op->err == 0 && op->out.revision != op->revision)) {
        sim_fail(s,
                 "op %" PRIu64 " is answered %s, revision %" PRIi64
                 "; must be %s, %" PRIi64,
                 op->proposal.id, err_name(op->out.err), op->out.revision,
                 err_name(op->err), op->revision);
    } else if (op->err == 0) {
        check_body(s, op);
    }
}

static void answered(struct replica_proposal *p, int err)
{
    struct sim *s = sim_world();
    struct sim_op *op = container_of(p, struct sim_op, proposal);
    s->waiting--;
    sim_trace(s, "op %" PRIu64 " %s", p->id, err_name(err));
    if (err == 0 && !s->failure[0]) {
        if (op->index == 0) {
            sim_fail(s, "op %" PRIu64 " is acknowledged and not applied",
                     p->id);
        } else if (op->kind != SIM_CONF) {
            check_answer(s, op);
        }
        s->floor = op->index > s->floor ? op->index : s->floor;
        s->acked++;
    }
    apply_out_release(&op->out);
}

static void propose(struct sim *s, struct sim_member *m, struct sim_op *op)
{
    apply_out_init(&op->out);
    op->proposal.type = RAFT_ENTRY_NORMAL;
    op->proposal.out = &op->out;
    op->proposal.done = answered;
    if (op->kind == SIM_CONF) {
        op->proposal.type = RAFT_ENTRY_CONF_CHANGE;
        op->proposal.repeats = true;
    } else {
        op->proposal.data = pack(op);
    }
    s->waiting++;
    sim_trace(s, "op %" PRIu64 " kind %d at m%" PRIu32, op->proposal.id,
              (int)op->kind, m->place);
    replica_propose(m->node.replica, &op->proposal);
}

/* ---- writes ---- */

static uint8_t pick_end(struct sim *s, uint8_t key)
{
    return sim_chance(&s->clients, 500)
               ? 0
               : (uint8_t)(key + 1 + sim_pick(&s->clients, SIM_KEYS - key));
}

static void draw_txn(struct sim *s, struct sim_op *op)
{
    const struct sim_event *e = sim_model_get(&s->model, op->key, INT64_MAX);
    op->number = e ? e->version : 0;
    if (sim_chance(&s->clients, 200)) {
        op->number++;
    }
    op->put_count = 1 + (uint32_t)sim_pick(&s->clients, SIM_TXN_PUTS_MAX);
    uint8_t first = (uint8_t)sim_pick(&s->clients, SIM_KEYS);
    for (uint32_t i = 0; i < op->put_count; i++) {
        op->put_keys[i] = (uint8_t)((first + 3 * i) % SIM_KEYS);
    }
}

static enum sim_kind draw_kind(struct sim *s)
{
    uint64_t dice = sim_pick(&s->clients, 100);
    bool leases = !(s->no_faults & SIM_NO_LEASE);
    if (dice < 3) {
        return s->no_faults & SIM_NO_COMPACT ? SIM_PUT : SIM_COMPACT;
    }
    return dice < 7 && leases    ? SIM_GRANT
           : dice < 10 && leases ? SIM_REVOKE
           : dice < 22           ? SIM_DELETE
           : dice < 45           ? SIM_TXN
                                 : SIM_PUT;
}

void sim_client_write(struct sim *s, struct sim_member *m)
{
    struct sim_op *op = op_new(s, draw_kind(s));
    op->key = (uint8_t)sim_pick(&s->clients, SIM_KEYS);
    op->end = pick_end(s, op->key);
    bool leased = op->kind == SIM_GRANT || op->kind == SIM_REVOKE ||
                  (op->kind == SIM_PUT && sim_chance(&s->clients, 150));
    if (leased && !(s->no_faults & SIM_NO_LEASE)) {
        op->lease = 1 + (int64_t)sim_pick(&s->clients, LEASES);
    }
    if (op->kind == SIM_GRANT) {
        op->number = 1 + (int64_t)sim_pick(&s->clients, 3);
    } else if (op->kind == SIM_COMPACT) {
        int64_t back = (int64_t)sim_pick(&s->clients, 60);
        op->number = s->model.revision > back ? s->model.revision - back : 1;
    } else if (op->kind == SIM_TXN) {
        draw_txn(s, op);
    }
    propose(s, m, op);
}

void sim_client_expire(struct sim *s, struct sim_member *m)
{
    int64_t ids[2];
    size_t count = lease_expired(m->node.lessor, s->now, ids, 2);
    for (size_t i = 0; i < count; i++) {
        struct sim_op *op = op_new(s, SIM_REVOKE);
        op->lease = ids[i];
        s->expiries++;
        propose(s, m, op);
    }
}

/* ---- membership ---- */

static uint64_t connected_ms(void *ctx, uint64_t id)
{
    return peer_is_active(ctx, id) ? HEALTHY_MS : 0;
}

static struct member new_member(struct sim_member *m, bool is_learner)
{
    char **urls = mem_alloc(sizeof *urls);
    urls[0] = m->url;
    m->id = member_id_of(urls, 1, m->url);
    return (struct member){
        .id = m->id,
        .name = mem_strdup(""),
        .peer_urls = urls,
        .peer_url_count = 1,
        .is_learner = is_learner,
    };
}

static bool is_ready(struct sim_member *m, uint64_t learner)
{
    struct raft_progress all[MEMBERS_MAX];
    uint64_t last = replica_status(m->node.replica)->last_index;
    uint32_t count = replica_progress(m->node.replica, all, MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].id == learner) {
            return all[i].match + PROMOTE_LAG_MAX > last;
        }
    }
    return false;
}

/* False: there is nothing that may be asked for. */
static bool draw_change(struct sim *s, struct sim_member *m, struct sim_op *op)
{
    const struct members *ms = &m->node.members;
    struct member_change *c = &op->change;
    if (ms->count == 0) {
        return false;
    }
    const struct member *one = &ms->list[sim_pick(&s->faults, ms->count)];
    if (one->is_learner && is_ready(m, one->id)) {
        c->type = RAFT_CONF_ADD_NODE;
        c->promote = true;
        c->member.id = one->id;
    } else if (sim_chance(&s->faults, 500) && ms->count > 1) {
        c->type = RAFT_CONF_REMOVE_NODE;
        c->member.id = one->id;
    } else if (s->member_count < SIM_MEMBERS_MAX && ms->count < 7) {
        struct sim_member *added = sim_member_new(s);
        bool learns = sim_chance(&s->faults, 600);
        c->type = learns ? RAFT_CONF_ADD_LEARNER : RAFT_CONF_ADD_NODE;
        c->member = new_member(added, learns);
    } else {
        return false;
    }
    return !m->config.strict_reconfig_check ||
           member_change_check_strict(ms, c, m->id, connected_ms, &m->hub) == 0;
}

static struct bytes *pack_change(const struct sim_op *op)
{
    const struct member_change *c = &op->change;
    struct buf json = BUF_INIT(1 << 16);
    if (c->promote) {
        buf_printf(&json,
                   "{\"id\":%" PRIu64 ",\"peerURLs\":null,"
                   "\"isPromote\":true}",
                   c->member.id);
    } else if (c->type != RAFT_CONF_REMOVE_NODE) {
        member_to_json(&c->member, false, &json);
    }
    struct bytes *data = proto_conf_change(op->proposal.id, (int)c->type,
                                           c->member.id, buf_slice(&json));
    buf_release(&json);
    return data;
}

void sim_client_conf(struct sim *s)
{
    struct sim_member *m = sim_member_random(s, &s->faults);
    if (m == NULL || s->waiting >= SIM_OPS_WAITING_MAX) {
        return;
    }
    struct sim_op *op = op_new(s, SIM_CONF);
    if (!draw_change(s, m, op)) {
        return;
    }
    s->confs++;
    op->proposal.data = pack_change(op);
    sim_trace(s, "conf type %d of %" PRIx64 "%s", (int)op->change.type,
              op->change.member.id, op->change.promote ? " promoted" : "");
    propose(s, m, op);
}

/* Added members are started by the operator when he sees them listed. */
static void start_added(struct sim *s)
{
    for (uint32_t i = 0; i < s->member_count; i++) {
        struct sim_member *m = &s->members[i];
        for (uint32_t j = 0; j < s->member_count && !m->exists; j++) {
            const struct sim_member *other = &s->members[j];
            if (other->alive && m->id &&
                members_find(&other->node.members, m->id)) {
                sim_member_join(s, m);
            }
        }
    }
}

/* ---- reads ---- */

struct sim_reading {
    struct replica_read base;
    struct sim_member *member;
    uint64_t floor;
    uint8_t key, end;
    int64_t back;
};

static void read_now(struct sim *s, struct sim_member *m, uint8_t key,
                     uint8_t end, int64_t back)
{
    int64_t revision = mvcc_revision(m->node.mvcc) - back;
    sim_model_compare_range(s, m, key, end,
                            back && revision > 0 ? revision : 0);
}

static void read_done(struct replica_read *base, int err)
{
    struct sim *s = sim_world();
    struct sim_reading *r = container_of(base, struct sim_reading, base);
    if (err == 0 && !s->failure[0]) {
        uint64_t at = mvcc_applied_index(r->member->node.mvcc);
        if (at < r->floor) {
            sim_fail(s,
                     "m%" PRIu32 " reads at %" PRIu64 " what was at %" PRIu64
                     " when it was asked",
                     r->member->place, at, r->floor);
        }
        read_now(s, r->member, r->key, r->end, r->back);
        s->floor = at > s->floor ? at : s->floor;
        s->reads++;
    }
    sim_trace(s, "read at m%" PRIu32 " %s", r->member->place, err_name(err));
    free(r);
}

static void read_some(struct sim *s, struct sim_member *m)
{
    uint8_t key = (uint8_t)sim_pick(&s->clients, SIM_KEYS);
    uint8_t end = pick_end(s, key);
    int64_t back =
        sim_chance(&s->clients, 300) ? (int64_t)sim_pick(&s->clients, 40) : 0;
    if (sim_chance(&s->clients, 200)) {
        read_now(s, m, key, end, back); /* serializable */
        return;
    }
    struct sim_reading *r = mem_zalloc(sizeof *r);
    *r = (struct sim_reading){
        .member = m, .floor = s->floor, .key = key, .end = end, .back = back};
    r->base.done = read_done;
    replica_read(m->node.replica, &r->base);
}

void sim_client_step(struct sim *s)
{
    start_added(s);
    struct sim_member *m = sim_member_random(s, &s->clients);
    if (m == NULL || s->failure[0]) {
        return;
    }
    if (sim_chance(&s->clients, s->weather.write_permille) &&
        s->waiting < SIM_OPS_WAITING_MAX) {
        sim_client_write(s, m);
    }
    if (sim_chance(&s->clients, s->weather.read_permille)) {
        read_some(s, m);
    }
}

/* What unary calls have in common: propose, read, wait, answer. */
#include <stdlib.h>

#include "proto/proto.h"
#include "state.h"

enum { ENTRY_HEADER = 100, HEADER_ID = 1 };

struct api_call *api_call_new(struct grpc_call *call)
{
    struct api_call *c =
        arena_zalloc(grpc_call_arena(call), sizeof(struct api_call));
    c->api = api_of(call);
    c->call = call;
    list_init(&c->wait.link);
    apply_out_init(&c->out);
    grpc_call_set_ctx(call, c);
    return c;
}

void api_call_end(struct grpc_call *call)
{
    struct api_call *c = grpc_call_ctx(call);
    if (!c) {
        return;
    }
    if (c->waiting == API_PROPOSED) {
        replica_propose_cancel(c->api->config.replica, &c->proposal);
    } else if (c->waiting == API_READING) {
        replica_read_cancel(c->api->config.replica, &c->read);
    }
    c->waiting = API_IDLE;
    list_remove(&c->wait.link);
    if (c->has_job) {
        apply_range_end(&c->job);
    }
    api_parts_release(&c->parts);
    apply_out_release(&c->out);
}

bool api_is_leader(const struct api *a)
{
    return replica_status(a->config.replica)->role == RAFT_LEADER;
}

uint64_t api_request_timeout_ms(const struct api *a)
{
    return 5000 + 2 * a->config.election_timeout_ms;
}

static void fail(struct api_call *c, int err)
{
    if (c->failed) {
        c->failed(c, err);
    } else {
        api_fail(c->call, err);
    }
}

/* ---- entries ---- */
struct bytes *api_entry(uint32_t field, struct slice message, uint64_t id)
{
    uint8_t header[2 * PROTO_VARINT_MAX];
    size_t header_size = (size_t)(proto_u64(header, HEADER_ID, id) - header);
    size_t size = proto_head_size(field, message.size) + message.size +
                  proto_head_size(ENTRY_HEADER, header_size) + header_size;
    struct bytes *b = bytes_new(size);
    uint8_t *to = proto_head(b->data, field, message.size);
    to = proto_copy(to, message);
    to = proto_head(to, ENTRY_HEADER, header_size);
    proto_copy(to, slice_of(header, header_size));
    return b;
}

static bool backlogged(const struct api *a)
{
    const struct raft_status *s = replica_status(a->config.replica);
    return s->commit > s->applied && s->commit - s->applied > API_BACKLOG_MAX;
}

/* API_* when the entry may not be proposed. */
static int prepare(struct api *a, struct replica_proposal *p, uint32_t field,
                   struct slice message)
{
    if (backlogged(a)) {
        return API_TOO_MANY_REQUESTS;
    }
    p->id = a->config.rim.next_request_id(a->config.rim.ctx);
    p->type = RAFT_ENTRY_NORMAL;
    struct bytes *data = api_entry(field, message, p->id);
    if (data->size > a->config.request_bytes_max) {
        bytes_unref(data);
        return API_REQUEST_TOO_LARGE;
    }
    p->data = data;
    return 0;
}

static void proposal_done(struct replica_proposal *p, int err)
{
    struct api_call *c = container_of(p, struct api_call, proposal);
    c->waiting = API_IDLE;
    if (err == ERR_NO_LEADER) {
        /* The proposer's own deadline passes while it waits for one. */
        err = API_NO_LEADER_DEADLINE;
    }
    if (err == 0 && !c->own_errors) {
        err = c->out.err;
    }
    if (err) {
        fail(c, err);
    } else {
        c->proceed(c);
    }
}

void api_propose(struct api_call *c, uint32_t field, struct slice message,
                 void (*proceed)(struct api_call *c))
{
    int err = prepare(c->api, &c->proposal, field, message);
    if (err) {
        fail(c, err);
        return;
    }
    c->proposal.out = &c->out;
    c->proposal.done = proposal_done;
    c->proceed = proceed;
    c->waiting = API_PROPOSED;
    replica_propose(c->api->config.replica, &c->proposal);
}

int api_propose_own(struct api *a, struct replica_proposal *p, uint32_t field,
                    struct slice message,
                    void (*done)(struct replica_proposal *p, int err))
{
    *p = (struct replica_proposal){.done = done, .out = p->out};
    int err = prepare(a, p, field, message);
    if (err == 0) {
        replica_propose(a->config.replica, p);
    }
    return err;
}

int api_propose_leading(struct api *a, struct replica_proposal *p,
                        uint32_t field, struct slice message,
                        void (*done)(struct replica_proposal *p, int err))
{
    *p = (struct replica_proposal){.done = done, .out = p->out};
    int err = prepare(a, p, field, message);
    return err ? err : replica_propose_leading(a->config.replica, p);
}

struct alone {
    struct list link;
    struct replica_proposal proposal;
};

static void alone_done(struct replica_proposal *p, int err)
{
    struct alone *o = container_of(p, struct alone, proposal);
    list_remove(&o->link);
    free(o);
}

void api_propose_alone(struct api *a, uint32_t field, struct slice message)
{
    struct alone *o = mem_zalloc(sizeof *o);
    list_append(&a->alone, &o->link);
    if (api_propose_own(a, &o->proposal, field, message, alone_done)) {
        list_remove(&o->link);
        free(o);
    }
}

void api_propose_alone_stop(struct api *a)
{
    list_each(it, next, &a->alone)
    {
        struct alone *o = container_of(it, struct alone, link);
        replica_propose_cancel(a->config.replica, &o->proposal);
        list_remove(it);
        free(o);
    }
}

/* ---- reads and waits ---- */
static void read_done(struct replica_read *rd, int err)
{
    struct api_call *c = container_of(rd, struct api_call, read);
    c->waiting = API_IDLE;
    if (err) {
        fail(c, err);
    } else {
        c->proceed(c);
    }
}

void api_read(struct api_call *c, void (*proceed)(struct api_call *c))
{
    c->read.done = read_done;
    c->proceed = proceed;
    c->waiting = API_READING;
    replica_read(c->api->config.replica, &c->read);
}

void api_wait_for(struct api *a, struct api_wait *w,
                  bool (*poll)(struct api_wait *w))
{
    w->poll = poll;
    list_append(&a->waits, &w->link);
}

/* ---- answers ---- */
size_t api_header(const struct api *a, int64_t revision,
                  uint8_t to[API_HEADER_BYTES_MAX])
{
    uint8_t fields[4 * (1 + PROTO_VARINT_MAX)];
    uint8_t *end = proto_u64(fields, 1, a->config.members->cluster_id);
    end = proto_u64(end, 2, a->config.member_id);
    end = proto_u64(end, 3, (uint64_t)revision);
    end = proto_u64(end, 4, replica_status(a->config.replica)->term);
    struct slice s = slice_of(fields, (size_t)(end - fields));
    return (size_t)(proto_copy(proto_head(to, 1, s.size), s) - to);
}

void api_header_pb(const struct api *a, int64_t revision,
                   Pb__ResponseHeader *ret_header)
{
    pb__response_header__init(ret_header);
    ret_header->cluster_id = a->config.members->cluster_id;
    ret_header->member_id = a->config.member_id;
    ret_header->revision = revision;
    ret_header->raft_term = replica_status(a->config.replica)->term;
}

void api_respond(struct api *a, struct grpc_call *call, int64_t revision,
                 struct slice body)
{
    uint8_t head[API_HEADER_BYTES_MAX + API_SMALL_BODY];
    size_t size = api_header(a, revision, head);
    if (body.size <= API_SMALL_BODY) {
        proto_copy(head + size, body);
        grpc_send_bytes(call, slice_of(head, size + body.size), NULL);
    } else {
        struct bytes *tail = bytes_copy(body);
        grpc_send_bytes(call, slice_of(head, size), tail);
        bytes_unref(tail);
    }
    grpc_finish(call, GRPC_OK, NULL);
}

void api_respond_body(struct api *a, struct grpc_call *call, int64_t revision,
                      struct buf *body)
{
    struct slice content = slice_from(buf_slice(body), API_BODY_ROOM);
    if (content.size <= API_SCRATCH_KEEP) {
        api_respond(a, call, revision, content);
        return;
    }
    uint8_t head[API_HEADER_BYTES_MAX];
    size_t size = api_header(a, revision, head);
    struct bytes *tail = api_body_detach(body);
    grpc_send_bytes(call, slice_of(head, size), tail);
    bytes_unref(tail);
    grpc_finish(call, GRPC_OK, NULL);
}

void api_respond_applied(struct api_call *c)
{
    api_respond(c->api, c->call, c->out.revision, buf_slice(&c->out.body));
}

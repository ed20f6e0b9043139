#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "diff.h"

enum { CALL_DEADLINE_MS = 40000, SETTLE_TRIES = 300 };

static void on_tick(void *ctx)
{
    struct side *s = ctx;
    s->ticked = true;
}

void side_open(struct side *s, const char *name, const char *urls)
{
    *s = (struct side){.name = name, .patience_ms = PATIENCE_MS};
    char *list = mem_strdup(urls), *rest = list, *text;
    loop_new(&s->loop);
    s->tick = timer_new(s->loop, on_tick, s);
    arena_init(&s->scratch);
    while ((text = strtok_r(rest, ",", &rest)) &&
           s->member_count < MEMBERS_MAX) {
        struct member *m = &s->members[s->member_count];
        s->roles[s->member_count] = s->member_count;
        s->member_count++;
        struct url url;
        snprintf(m->url, sizeof m->url, "%s", text);
        if (url_parse(text, &url) != 0) {
            fprintf(stderr, "diff: bad address %s\n", text);
            exit(2);
        }
        m->channel = grpc_channel_new(s->loop, &url.address, 5000);
    }
    free(list);
}

void side_drop_results(struct side *s)
{
    for (int i = 0; s->results && i < STEPS_MAX; i++) {
        free(s->results[i]);
    }
    free(s->results);
    s->results = NULL;
}

void side_close(struct side *s)
{
    side_drop_results(s);
    for (int i = 0; i <= GUEST; i++) {
        if (s->members[i].channel) {
            grpc_channel_free(s->members[i].channel);
        }
    }
    timer_free(s->tick);
    arena_release(&s->scratch);
    loop_free(s->loop);
}

void side_spin(struct side *s, uint64_t ms)
{
    /* Again and again: the first may be due before the loop polls. */
    timer_start(s->tick, ms, ms);
    uv_run(loop_uv(s->loop), UV_RUN_ONCE);
    timer_stop(s->tick);
}

/* ---- calls ---- */

static void on_message(void *ctx, struct slice message)
{
    struct answer *a = ctx;
    uint64_t size = message.size;
    buf_append(&a->bytes, &size, sizeof size);
    buf_append_slice(&a->bytes, message);
    a->count++;
}

static void on_status(void *ctx, enum grpc_code code, const char *text)
{
    struct answer *a = ctx;
    a->code = code;
    snprintf(a->text, sizeof a->text, "%s", text ? text : "");
    a->done = true;
}

struct grpc_client_call *side_begin(struct side *s, int member,
                                    const char *path,
                                    const ProtobufCMessage *request,
                                    struct answer *ret)
{
    static const struct grpc_client_handler handler = {on_message, on_status};
    *ret = (struct answer){.bytes = BUF_INIT(ANSWER_BYTES_MAX)};
    struct grpc_client_call *c =
        grpc_client_start(s->members[member].channel, path, NULL,
                          CALL_DEADLINE_MS, &handler, ret);
    s->last_member = member;
    if (request) {
        grpc_client_send(c, request);
    }
    return c;
}

void side_wait(struct side *s, const struct answer *a)
{
    while (!a->done) {
        uv_run(loop_uv(s->loop), UV_RUN_ONCE);
    }
    if (a->code == GRPC_UNAVAILABLE && strstr(a->text, "etcdserver") == NULL) {
        s->is_lost = true;
    }
}

void side_call(struct side *s, int member, const char *path,
               const ProtobufCMessage *request, struct answer *ret)
{
    grpc_client_half_close(side_begin(s, member, path, request, ret));
    side_wait(s, ret);
}

ProtobufCMessage *side_message(struct side *s, const struct answer *a, int i,
                               const ProtobufCMessageDescriptor *type)
{
    ProtobufCAllocator allocator = grpc_arena_allocator(&s->scratch);
    const uint8_t *at = a->bytes.data;
    uint64_t size;
    for (;; i--) {
        memcpy(&size, at, sizeof size);
        at += sizeof size;
        if (i == 0) {
            return protobuf_c_message_unpack(type, &allocator, size, at);
        }
        at += size;
    }
}

/* One call and its first answer; NULL when it failed. */
static void *ask(struct side *s, int member, const char *path,
                 const void *request, const ProtobufCMessageDescriptor *type)
{
    struct answer a;
    void *m = NULL;
    side_call(s, member, path, request, &a);
    if (a.code == GRPC_OK && a.count == 1) {
        m = side_message(s, &a, 0, type);
    }
    buf_release(&a.bytes);
    return m;
}

/* ---- marks ---- */

static void replace(void *ctx, const struct field *f)
{
    struct side *s = ctx;
    if (f->desc->type != PROTOBUF_C_TYPE_INT64 &&
        f->desc->type != PROTOBUF_C_TYPE_UINT64) {
        return;
    }
    int64_t *v = f->value;
    if (*v > MARK_REVISION - MARK_SPAN && *v < MARK_REVISION + MARK_SPAN) {
        *v += s->base - MARK_REVISION;
    } else if (*v >= MARK_LEASE && *v < MARK_LEASE + MARK_SPAN) {
        int64_t i = *v - MARK_LEASE;
        *v = i < s->drawn_count ? s->drawn[i] : 4711;
    } else if (*v >= MARK_MEMBER && *v < MARK_MEMBER + MARK_SPAN) {
        int role = (int)(*v - MARK_MEMBER) % s->member_count;
        *v = (int64_t)s->members[s->roles[role]].id;
    }
}

ProtobufCMessage *side_request(struct side *s, const ProtobufCMessage *m)
{
    ProtobufCAllocator allocator = grpc_arena_allocator(&s->scratch);
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = arena_alloc(&s->scratch, size + 1);
    protobuf_c_message_pack(m, bytes);
    ProtobufCMessage *copy =
        protobuf_c_message_unpack(m->descriptor, &allocator, size, bytes);
    message_walk(copy, replace, s);
    return copy;
}

/* ---- the state of a cluster ---- */

/* The old leader takes the new one's role: what stays connected to it then
 * has the same role on both sides. */
static void take_roles(struct side *s, int leader)
{
    for (int i = 0; i < s->member_count; i++) {
        if (s->roles[i] == leader) {
            s->roles[i] = s->roles[0];
            s->roles[0] = leader;
            return;
        }
    }
}

bool side_settle(struct side *s)
{
    const Pb__StatusRequest request = PB__STATUS_REQUEST__INIT;
    for (int try = 0; try < SETTLE_TRIES; try++) {
        uint64_t leader = 0;
        int agree = 0, at = -1;
        for (int i = 0; i < s->member_count; i++) {
            Pb__StatusResponse *r =
                ask(s, i, "/etcdserverpb.Maintenance/Status", &request,
                    &pb__status_response__descriptor);
            if (!r || !r->header || !r->leader) {
                break;
            }
            s->members[i].id = r->header->member_id;
            s->cluster_id = r->header->cluster_id;
            leader = i == 0 ? r->leader : leader;
            agree += leader == r->leader;
            at = r->leader == r->header->member_id ? i : at;
        }
        if (agree == s->member_count && at >= 0) {
            take_roles(s, at);
            return true;
        }
        s->ticked = false;
        timer_start(s->tick, 100, 0);
        while (!s->ticked) {
            uv_run(loop_uv(s->loop), UV_RUN_ONCE);
        }
    }
    return false;
}

void side_barrier(struct side *s, int member)
{
    Pb__RangeRequest range = PB__RANGE_REQUEST__INIT;
    range.key = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "-"};
    Pb__RangeResponse *r = ask(s, member, "/etcdserverpb.KV/Range", &range,
                               &pb__range_response__descriptor);
    if (r && r->header) {
        s->revision = r->header->revision;
    }
}

void side_meet(struct side *s, int member, const char *path)
{
    if (s->is_apart || member == GUEST) {
        return;
    }
    if (member != s->roles[0] && strstr(path, ".Lease/")) {
        side_barrier(s, s->roles[0]);
    }
    if (s->member_count > 1 && s->last_member != member) {
        side_barrier(s, member);
    }
}

static void drop_leases(struct side *s, int leader)
{
    const Pb__LeaseLeasesRequest list = PB__LEASE_LEASES_REQUEST__INIT;
    Pb__LeaseLeasesResponse *r =
        ask(s, leader, "/etcdserverpb.Lease/LeaseLeases", &list,
            &pb__lease_leases_response__descriptor);
    for (size_t i = 0; r && i < r->n_leases; i++) {
        Pb__LeaseRevokeRequest revoke = PB__LEASE_REVOKE_REQUEST__INIT;
        revoke.id = r->leases[i]->id;
        ask(s, leader, "/etcdserverpb.Lease/LeaseRevoke", &revoke,
            &pb__lease_revoke_response__descriptor);
    }
}

static void drop_alarms(struct side *s, int leader)
{
    Pb__AlarmRequest request = PB__ALARM_REQUEST__INIT;
    Pb__AlarmResponse *r = ask(s, leader, "/etcdserverpb.Maintenance/Alarm",
                               &request, &pb__alarm_response__descriptor);
    for (size_t i = 0; r && i < r->n_alarms; i++) {
        request.action = PB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
        request.memberid = r->alarms[i]->memberid;
        request.alarm = r->alarms[i]->alarm;
        ask(s, leader, "/etcdserverpb.Maintenance/Alarm", &request,
            &pb__alarm_response__descriptor);
    }
}

void side_clean(struct side *s)
{
    s->is_lost |= !side_settle(s);
    if (s->is_lost) {
        return;
    }
    int leader = s->roles[0];
    uint8_t zero[1] = {0};
    Pb__DeleteRangeRequest all = PB__DELETE_RANGE_REQUEST__INIT;
    all.key = all.range_end = (ProtobufCBinaryData){1, zero};
    drop_alarms(s, leader);
    ask(s, leader, "/etcdserverpb.KV/DeleteRange", &all,
        &pb__delete_range_response__descriptor);
    drop_leases(s, leader);
    side_barrier(s, leader);
    s->drawn_count = 0;
    arena_reset(&s->scratch);
}

static void compact_at(struct side *s, int64_t revision)
{
    Pb__CompactionRequest compact = PB__COMPACTION_REQUEST__INIT;
    compact.revision = revision;
    compact.physical = true;
    ask(s, s->roles[0], "/etcdserverpb.KV/Compact", &compact,
        &pb__compaction_response__descriptor);
}

static void put_until(struct side *s, int64_t revision)
{
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "level"};
    while (s->revision < revision && !s->is_lost) {
        Pb__PutResponse *r = ask(s, s->roles[0], "/etcdserverpb.KV/Put", &put,
                                 &pb__put_response__descriptor);
        s->is_lost = !r;
        s->revision = r ? r->header->revision : 0;
    }
}

/* Two compactions: the second is hashed, with the history since the first,
 * and answered by HashKV; that must not be the history of another run. */
void side_level(struct side *s, int64_t revision)
{
    Pb__DeleteRangeRequest delete = PB__DELETE_RANGE_REQUEST__INIT;
    delete.key = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "level"};
    put_until(s, revision - LEVEL_REVISIONS / 2);
    compact_at(s, s->revision);
    put_until(s, revision - 1);
    ask(s, s->roles[0], "/etcdserverpb.KV/DeleteRange", &delete,
        &pb__delete_range_response__descriptor);
    compact_at(s, revision);
    for (int i = 0; i < s->member_count; i++) {
        side_barrier(s, i);
    }
    s->base = s->revision;
}

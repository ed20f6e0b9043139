#include "namespace.h"

#include "base/err.h"
#include "proto/proto.h"

/* What a field is; those not named are copied. */
enum role { ROLE_KEY, ROLE_END, ROLE_MESSAGE, ROLE_OWN_KEY };

struct field_role {
    uint32_t number;
    enum role role;
    const struct shape *shape; /* ROLE_MESSAGE */
};

struct shape {
    bool adds;       /* a request: the prefix is added */
    bool needs_key;  /* refused without one */
    bool always_key; /* the prefix alone where there is none */
    uint32_t count;
    const struct field_role *fields;
};

#define SHAPE(name, adds_, needs_, always_)                    \
    static const struct shape name = {                         \
        .adds = (adds_),                                       \
        .needs_key = (needs_),                                 \
        .always_key = (always_),                               \
        .count = sizeof name##_fields / sizeof *name##_fields, \
        .fields = name##_fields,                               \
    }

/* ---- requests ---- */
static const struct field_role ranged_fields[] = {{1, ROLE_KEY, NULL},
                                                  {2, ROLE_END, NULL}};
SHAPE(ranged, true, true, false);
static const struct field_role put_fields[] = {{1, ROLE_KEY, NULL}};
SHAPE(put, true, true, false);
static const struct field_role compare_fields[] = {{3, ROLE_KEY, NULL},
                                                   {64, ROLE_END, NULL}};
SHAPE(compare, true, false, true);
static const struct shape txn;
static const struct field_role request_op_fields[] = {
    {1, ROLE_MESSAGE, &ranged},
    {2, ROLE_MESSAGE, &put},
    {3, ROLE_MESSAGE, &ranged},
    {4, ROLE_MESSAGE, &txn}};
SHAPE(request_op, true, false, false);
static const struct field_role txn_fields[] = {{1, ROLE_MESSAGE, &compare},
                                               {2, ROLE_MESSAGE, &request_op},
                                               {3, ROLE_MESSAGE, &request_op}};
SHAPE(txn, true, false, false);

/* ---- answers ---- */
static const struct field_role kv_fields[] = {{1, ROLE_KEY, NULL}};
SHAPE(kv, false, false, false);
/* Of Range and Put field 2, of DeleteRange field 3, are KeyValues. */
static const struct field_role kvs2_fields[] = {{2, ROLE_MESSAGE, &kv}};
SHAPE(kvs2, false, false, false);
static const struct field_role kvs3_fields[] = {{3, ROLE_MESSAGE, &kv}};
SHAPE(kvs3, false, false, false);
static const struct field_role range_stream_fields[] = {
    {1, ROLE_MESSAGE, &kvs2}};
SHAPE(range_stream, false, false, false);
static const struct shape txn_answer;
static const struct field_role answer_op_fields[] = {
    {1, ROLE_MESSAGE, &kvs2},
    {2, ROLE_MESSAGE, &kvs2},
    {3, ROLE_MESSAGE, &kvs3},
    {4, ROLE_MESSAGE, &txn_answer}};
SHAPE(answer_op, false, false, false);
static const struct field_role txn_answer_fields[] = {
    {3, ROLE_MESSAGE, &answer_op}};
SHAPE(txn_answer, false, false, false);
static const struct field_role ttl_fields[] = {{5, ROLE_OWN_KEY, NULL}};
SHAPE(ttl, false, false, false);

static const struct shape *const shapes[] = {
    [NAME_SPACE_RANGE] = &ranged,
    [NAME_SPACE_PUT] = &put,
    [NAME_SPACE_DELETE] = &ranged,
    [NAME_SPACE_TXN] = &txn,
    [NAME_SPACE_RANGE_ANSWER] = &kvs2,
    [NAME_SPACE_RANGE_STREAM_ANSWER] = &range_stream,
    [NAME_SPACE_PUT_ANSWER] = &kvs2,
    [NAME_SPACE_DELETE_ANSWER] = &kvs3,
    [NAME_SPACE_TXN_ANSWER] = &txn_answer,
    [NAME_SPACE_KEY_VALUE] = &kv,
    [NAME_SPACE_TTL_ANSWER] = &ttl,
};

/* ---- the prefix ---- */

void name_space_init(struct name_space *ns, struct slice prefix)
{
    ns->prefix = prefix;
    buf_init(&ns->end, prefix.size + 1);
    buf_append_slice(&ns->end, prefix);
    while (ns->end.size && ns->end.data[ns->end.size - 1] == 0xff) {
        ns->end.size--;
    }
    if (ns->end.size) {
        ns->end.data[ns->end.size - 1]++;
    } else {
        buf_append_byte(&ns->end, 0);
    }
}

void name_space_release(struct name_space *ns)
{
    buf_release(&ns->end);
}

int name_space_key(const struct name_space *ns, struct slice key,
                   struct buf *out)
{
    int err = buf_append_slice(out, ns->prefix);
    return err ? err : buf_append_slice(out, key);
}

int name_space_range_end(const struct name_space *ns, struct slice end,
                         struct buf *out)
{
    bool is_open = end.size == 1 && end.data[0] == 0;
    if (!name_space_is_set(ns) || end.size == 0) {
        return buf_append_slice(out, end);
    }
    return is_open ? buf_append_slice(out, buf_slice(&ns->end))
                   : name_space_key(ns, end, out);
}

/* ---- rewriting ---- */

static int add_prefixed(const struct name_space *ns, uint32_t number,
                        struct slice key, struct buf *out)
{
    size_t size = ns->prefix.size + key.size;
    int err = buf_reserve(out, proto_head_size(number, size) + size);
    if (err == 0) {
        uint8_t *to = proto_head(out->data + out->size, number, size);
        to = proto_copy(proto_copy(to, ns->prefix), key);
        out->size = (size_t)(to - out->data);
    }
    return err;
}

static int add_key(const struct name_space *ns, const struct shape *s,
                   const struct field_role *r, struct slice key,
                   struct buf *out)
{
    if (s->adds) {
        return add_prefixed(ns, r->number, key, out);
    }
    bool is_below = slice_starts(key, ns->prefix);
    if (!is_below && r->role == ROLE_OWN_KEY) {
        return 0;
    }
    return proto_add_message(out, r->number,
                             is_below ? slice_from(key, ns->prefix.size) : key);
}

static int add_end(const struct name_space *ns, const struct field_role *r,
                   struct slice end, struct buf *out)
{
    if (end.size == 0) {
        return 0;
    }
    if (end.size == 1 && end.data[0] == 0) {
        return proto_add_message(out, r->number, buf_slice(&ns->end));
    }
    return add_prefixed(ns, r->number, end, out);
}

static int rewrite(const struct name_space *ns, const struct shape *s,
                   struct slice message, uint32_t depth, struct buf *out);

static int add_field(const struct name_space *ns, const struct shape *s,
                     const struct field_role *r, struct slice value,
                     uint32_t depth, struct buf *out)
{
    size_t mark;
    int err;
    switch (r->role) {
    case ROLE_KEY:
    case ROLE_OWN_KEY:
        return add_key(ns, s, r, value, out);
    case ROLE_END:
        return add_end(ns, r, value, out);
    case ROLE_MESSAGE:
        err = proto_begin(out, r->number, &mark);
        err = err ? err : rewrite(ns, r->shape, value, depth + 1, out);
        return err ? err : proto_end(out, mark);
    }
    return ERR_INVALID;
}

static const struct field_role *role_of(const struct shape *s,
                                        const struct proto_field *f)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (f->wire == PROTO_BYTES && f->number == s->fields[i].number) {
            return &s->fields[i];
        }
    }
    return NULL;
}

static int rewrite(const struct name_space *ns, const struct shape *s,
                   struct slice message, uint32_t depth, struct buf *out)
{
    struct proto_field f;
    struct slice rest = message;
    bool has_key = false;
    int more = depth > NAME_SPACE_DEPTH_MAX ? ERR_INVALID : 1;
    while (more > 0) {
        const uint8_t *start = rest.data;
        more = proto_next(&rest, &f);
        if (more <= 0) {
            break;
        }
        const struct field_role *r = role_of(s, &f);
        int err = r ? add_field(ns, s, r, f.bytes, depth, out)
                    : buf_append(out, start, (size_t)(rest.data - start));
        if (err) {
            return err;
        }
        if (r && r->role == ROLE_KEY) {
            has_key = f.bytes.size > 0; /* the last one counts */
        }
    }
    if (more == 0 && s->needs_key && !has_key) {
        return ERR_KEY_NOT_FOUND;
    }
    if (more == 0 && s->always_key && !has_key) {
        return add_prefixed(ns, s->fields[0].number, slice_of(NULL, 0), out);
    }
    return more;
}

int name_space_rewrite(const struct name_space *ns,
                       enum name_space_message what, struct slice message,
                       struct buf *out)
{
    return rewrite(ns, shapes[what], message, 0, out);
}

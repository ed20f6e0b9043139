/* A message out of JSON: fields, lists, messages in messages. */
#include <stdio.h>

#include "internal.h"

enum { FIELDS_MAX = 64 };

/* What is known of the message being read: a bit a field. */
struct seen {
    uint64_t named;
    uint64_t set; /* of a oneof */
};

/* protobuf-c's descriptors do not name oneofs. */
static const char *oneof_name(const ProtobufCMessageDescriptor *d)
{
    static const char *const names[][2] = {
        {"Compare", "etcdserverpb.Compare.target_union"},
        {"RequestOp", "etcdserverpb.RequestOp.request"},
        {"ResponseOp", "etcdserverpb.ResponseOp.response"},
        {"WatchRequest", "etcdserverpb.WatchRequest.request_union"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(d->short_name, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return d->short_name;
}

static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessageDescriptor *d, struct slice name)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (slice_eq_str(name, f->name) || pbjson_is_camel(f->name, name)) {
            return f;
        }
    }
    return NULL;
}

static int unexpected(struct pbjson_reader *r, struct pbjson_token t)
{
    return pbjson_fail_syntax(r, t, "unexpected token %.*s", (int)t.raw.size,
                              (const char *)t.raw.data);
}

static int put_message(struct pbjson_reader *r,
                       const ProtobufCMessageDescriptor *d);

static int put_value(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f,
                     bool keep_zero)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
        return pbjson_scalar(r, f, pbjson_next(r), keep_zero);
    }
    size_t mark = 0;
    int err = proto_begin(r->out, f->id, &mark);
    if (err == 0) {
        err = put_message(r, f->descriptor);
    }
    return err ? err : proto_end(r->out, mark);
}

static int put_list(struct pbjson_reader *r, const ProtobufCFieldDescriptor *f)
{
    struct pbjson_token t = pbjson_next(r);
    if (t.kind != PBJSON_ARRAY) {
        return unexpected(r, t);
    }
    int err = 0;
    while (err == 0) {
        t = pbjson_peek(r);
        if (t.kind == PBJSON_CLOSE) {
            pbjson_next(r);
            return 0;
        }
        if (t.kind == PBJSON_COMMA) {
            pbjson_next(r);
        } else {
            err = put_value(r, f, true);
        }
    }
    return err;
}

/* `key` is the token of the field's name. */
static int put_field(struct pbjson_reader *r,
                     const ProtobufCMessageDescriptor *d,
                     const ProtobufCFieldDescriptor *f, struct pbjson_token key,
                     struct seen *seen)
{
    uint64_t bit = UINT64_C(1) << (f - d->fields);
    if (seen->named & bit) {
        return pbjson_fail(r, key, "duplicate field %.*s", (int)key.raw.size,
                           (const char *)key.raw.data);
    }
    seen->named |= bit;
    if (pbjson_peek(r).kind == PBJSON_NULL) {
        pbjson_next(r);
        return 0;
    }
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        return put_list(r, f);
    }
    bool is_oneof = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
    for (unsigned i = 0; is_oneof && i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &d->fields[i];
        if ((seen->set >> i & 1) &&
            other->quantifier_offset == f->quantifier_offset) {
            return pbjson_fail(r, key,
                               "error parsing %.*s, oneof %s is already "
                               "set",
                               (int)key.raw.size, (const char *)key.raw.data,
                               oneof_name(d));
        }
    }
    seen->set |= is_oneof ? bit : 0;
    return put_value(r, f, is_oneof);
}

static int put_members(struct pbjson_reader *r,
                       const ProtobufCMessageDescriptor *d, struct buf *name)
{
    struct seen seen = {0};
    for (;;) {
        struct pbjson_token key = pbjson_next(r);
        if (key.kind == PBJSON_CLOSE) {
            return 0;
        }
        if (key.kind == PBJSON_COMMA) {
            continue;
        }
        name->size = 0;
        int err = pbjson_string(r, key, name);
        if (err) {
            return err;
        }
        pbjson_next(r); /* the colon */
        const ProtobufCFieldDescriptor *f = find_field(d, buf_slice(name));
        if (f == NULL) {
            pbjson_skip(r);
        } else {
            err = put_field(r, d, f, key, &seen);
        }
        if (err) {
            return err;
        }
    }
}

static int put_message(struct pbjson_reader *r,
                       const ProtobufCMessageDescriptor *d)
{
    struct pbjson_token t = pbjson_next(r);
    if (t.kind != PBJSON_OBJECT) {
        return unexpected(r, t);
    }
    if (d->n_fields > FIELDS_MAX) {
        return ERR_UNSUPPORTED; /* none of ours */
    }
    if (r->depth == PBJSON_MESSAGES_MAX) {
        buf_append_str(r->why, "proto: exceeded max recursion depth");
        return ERR_INVALID;
    }
    struct buf name = BUF_INIT((size_t)(r->end - r->begin));
    r->depth++;
    int err = put_members(r, d, &name);
    r->depth--;
    buf_release(&name);
    return err;
}

int pbjson_to_proto(const ProtobufCMessageDescriptor *d, struct slice value,
                    struct buf *out, struct buf *why)
{
    size_t next = 0;
    struct slice text;
    int rc = pbjson_scan(value, true, &text, &next, why);
    if (rc == 0) {
        buf_append_str(why, "unexpected EOF");
        rc = ERR_INVALID;
    }
    if (rc < 0) {
        return rc;
    }
    struct pbjson_reader r = {.begin = text.data,
                              .at = text.data,
                              .end = text.data + text.size,
                              .out = out,
                              .why = why};
    return put_message(&r, d);
}

/* WatchCreateRequest, for whoever hands the watch on: hub and proxy. */
#include "base/err.h"
#include "proto.h"

enum { FILTER_NO_PUT = 0, FILTER_NO_DELETE = 1 };

static void add_filter(struct proto_watch_create *c, uint64_t filter)
{
    c->no_put = c->no_put || filter == FILTER_NO_PUT;
    c->no_delete = c->no_delete || filter == FILTER_NO_DELETE;
}

/* Packed, as most write them, or one by one. */
static int add_filters(struct proto_watch_create *c,
                       const struct proto_field *f)
{
    if (f->wire == PROTO_VARINT) {
        add_filter(c, f->value);
        return 0;
    }
    struct slice rest = f->bytes;
    while (rest.size) {
        uint64_t v = 0;
        unsigned shift = 0;
        bool more = true;
        while (more) {
            if (rest.size == 0 || shift > 63) {
                return ERR_INVALID;
            }
            v |= (uint64_t)(rest.data[0] & 0x7f) << shift;
            more = rest.data[0] & 0x80;
            shift += 7;
            rest = slice_from(rest, 1);
        }
        add_filter(c, v);
    }
    return 0;
}

static void set_number(struct proto_watch_create *c,
                       const struct proto_field *f)
{
    switch (f->number) {
    case 3:
        c->start_revision = (int64_t)f->value;
        break;
    case 4:
        c->progress_notify = f->value != 0;
        break;
    case 6:
        c->prev_kv = f->value != 0;
        break;
    case 7:
        c->watch_id = (int64_t)f->value;
        break;
    case 8:
        c->fragment = f->value != 0;
        break;
    default:
        break;
    }
}

int proto_decode_watch_create(struct slice message,
                              struct proto_watch_create *ret)
{
    struct proto_watch_create c = {0};
    struct proto_field f;
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        int err = 0;
        if (f.number == 5 &&
            (f.wire == PROTO_VARINT || f.wire == PROTO_BYTES)) {
            err = add_filters(&c, &f);
        } else if (f.wire == PROTO_VARINT) {
            set_number(&c, &f);
        } else if (f.wire == PROTO_BYTES && f.number == 1) {
            c.key = f.bytes;
        } else if (f.wire == PROTO_BYTES && f.number == 2) {
            c.end = f.bytes;
        }
        if (err) {
            return err;
        }
    }
    if (more == 0) {
        *ret = c;
    }
    return more;
}

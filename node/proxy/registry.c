#include "registry.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/proto.h"

struct entry {
    struct slice key; /* in memory of its own */
    char *address;
    char *name;
};

struct registry {
    struct entry *entries[REGISTRY_COUNT_MAX]; /* by key */
    uint32_t count;
    int64_t next;
};

/* ---- entries ---- */

static void entry_free(struct entry *e)
{
    free((void *)(uintptr_t)e->key.data);
    free(e->address);
    free(e->name);
    free(e);
}

/* Where the key is, or would be. */
static uint32_t find(const struct registry *r, struct slice key, bool *ret_is)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_cmp(r->entries[middle]->key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_is = low < r->count && slice_eq(r->entries[low]->key, key);
    return low;
}

static void take_out(struct registry *r, struct slice key)
{
    bool is_there;
    uint32_t at = find(r, key, &is_there);
    if (is_there) {
        entry_free(r->entries[at]);
        r->count--;
        memmove(&r->entries[at], &r->entries[at + 1],
                (r->count - at) * sizeof *r->entries);
    }
}

static void put_in(struct registry *r, struct entry *e)
{
    bool is_there;
    uint32_t at = find(r, e->key, &is_there);
    if (r->count == REGISTRY_COUNT_MAX) {
        entry_free(e);
        return;
    }
    memmove(&r->entries[at + 1], &r->entries[at],
            (r->count - at) * sizeof *r->entries);
    r->entries[at] = e;
    r->count++;
}

static void clear(struct registry *r)
{
    while (r->count) {
        entry_free(r->entries[--r->count]);
    }
}

/* ---- values ---- */

/* The metadata is JSON inside a JSON string. */
static char *name_of(const json_t *metadata)
{
    const char *text = json_string_value(metadata);
    json_t *inner = text ? json_loads(text, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(inner, "name"));
    char *copy = mem_strdup(name ? name : "");
    json_decref(inner);
    return copy;
}

/* NULL: names no address. */
static struct entry *entry_of(struct slice key, struct slice value)
{
    if (key.size > REGISTRY_KEY_BYTES_MAX ||
        value.size > REGISTRY_VALUE_BYTES_MAX) {
        return NULL;
    }
    json_t *root = json_loadb((const char *)value.data, value.size, 0, NULL);
    const char *address = json_string_value(json_object_get(root, "Addr"));
    struct entry *e = NULL;
    if (address && address[0]) {
        e = mem_zalloc(sizeof *e);
        e->key = slice_of(mem_dup(key.data, key.size), key.size);
        e->address = mem_strdup(address);
        e->name = name_of(json_object_get(root, "Metadata"));
    }
    json_decref(root);
    return e;
}

int registry_value(const char *address, const char *name, struct buf *out)
{
    struct buf inner = BUF_INIT(UINT32_MAX), whole = BUF_INIT(UINT32_MAX);
    buf_append_str(&inner, "{\"name\":");
    text_json_string(&inner, slice_str(name));
    buf_append_str(&inner, "}");
    buf_append_str(&whole, "{\"Op\":0,\"Addr\":");
    text_json_string(&whole, slice_str(address));
    buf_append_str(&whole, ",\"Metadata\":");
    text_json_string(&whole, buf_slice(&inner));
    buf_append_str(&whole, "}");
    int err = buf_append_slice(out, buf_slice(&whole));
    buf_release(&inner);
    buf_release(&whole);
    return err;
}

/* ---- messages ---- */

struct key_value {
    struct slice key;
    struct slice value;
    int64_t mod_revision;
};

static int read_kv(struct slice message, struct key_value *ret)
{
    struct proto_field f;
    struct key_value kv = {0};
    int more;
    while ((more = proto_next(&message, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            kv.key = f.bytes;
        } else if (f.number == 3 && f.wire == PROTO_VARINT) {
            kv.mod_revision = (int64_t)f.value;
        } else if (f.number == 5 && f.wire == PROTO_BYTES) {
            kv.value = f.bytes;
        }
    }
    *ret = kv;
    return more;
}

static int read_revision(struct slice header, int64_t *ret)
{
    struct proto_field f;
    int more;
    while ((more = proto_next(&header, &f)) > 0) {
        if (f.number == 3 && f.wire == PROTO_VARINT) {
            *ret = (int64_t)f.value;
        }
    }
    return more;
}

static void apply(struct registry *r, const struct key_value *kv, bool is_put)
{
    struct entry *e = is_put ? entry_of(kv->key, kv->value) : NULL;
    take_out(r, kv->key);
    if (e) {
        put_in(r, e);
    }
}

/* Of a RangeResponse; `r` NULL: only whether it is one. */
static int walk_range(struct registry *r, struct slice response,
                      int64_t *ret_revision)
{
    struct proto_field f;
    struct key_value kv;
    int more;
    while ((more = proto_next(&response, &f)) > 0) {
        int err = 0;
        if (f.number == 1 && f.wire == PROTO_BYTES) {
            err = read_revision(f.bytes, ret_revision);
        } else if (f.number == 2 && f.wire == PROTO_BYTES) {
            err = read_kv(f.bytes, &kv);
            if (err == 0 && r) {
                apply(r, &kv, true);
            }
        }
        if (err) {
            return err;
        }
    }
    return more;
}

int registry_load(struct registry *r, struct slice response)
{
    int64_t revision = 0;
    int err = walk_range(NULL, response, &revision);
    if (err == 0) {
        clear(r);
        walk_range(r, response, &revision);
        r->next = revision + 1;
    }
    return err;
}

/* Raises *newest to the event's revision. */
static int take_event(struct registry *r, struct slice event, int64_t *newest)
{
    struct proto_field f;
    struct key_value kv = {0};
    bool is_delete = false;
    int more;
    while ((more = proto_next(&event, &f)) > 0) {
        if (f.number == 1 && f.wire == PROTO_VARINT) {
            is_delete = f.value == 1;
        } else if (f.number == 2 && f.wire == PROTO_BYTES &&
                   read_kv(f.bytes, &kv) != 0) {
            return ERR_INVALID;
        }
    }
    if (more == 0 && kv.mod_revision >= r->next) { /* else seen already */
        apply(r, &kv, !is_delete);
    }
    if (more == 0 && kv.mod_revision > *newest) {
        *newest = kv.mod_revision;
    }
    return more;
}

int registry_watch(struct registry *r, struct slice response)
{
    struct proto_field f;
    bool is_canceled = false;
    int64_t newest = 0;
    int more;
    while ((more = proto_next(&response, &f)) > 0) {
        if (f.number == 4 && f.wire == PROTO_VARINT) {
            is_canceled = f.value != 0;
        }
        if (f.number != 11 || f.wire != PROTO_BYTES) {
            continue;
        }
        int err = take_event(r, f.bytes, &newest);
        if (err) {
            return err;
        }
    }
    if (more == 0 && newest >= r->next) {
        r->next = newest + 1;
    }
    return more == 0 && is_canceled ? ERR_CANCELED : more;
}

/* ---- the door ---- */

struct registry *registry_new(void)
{
    return mem_zalloc(sizeof(struct registry));
}

void registry_free(struct registry *r)
{
    if (r) {
        clear(r);
        free(r);
    }
}

int64_t registry_next(const struct registry *r)
{
    return r->next;
}

uint32_t registry_count(const struct registry *r)
{
    return r->count;
}

struct registry_entry registry_get(const struct registry *r, uint32_t i)
{
    const struct entry *e = r->entries[i];
    return (struct registry_entry){e->address, e->name};
}

/*
 * The proxies that have registered themselves below a prefix. Pure: a
 * RangeResponse and WatchResponses in, the list out. A registration is
 *   key    PREFIX/ADDRESS
 *   value  {"Op":0,"Addr":"ADDRESS","Metadata":"{\"name\":\"HOST\"}"}
 * as the naming package of the reference's client has it.
 *
 * A value that names no address is not listed; one whose metadata names no
 * host is, without a name.
 */
#ifndef PROXY_REGISTRY_H
#define PROXY_REGISTRY_H

#include "base/buf.h"

enum {
    REGISTRY_COUNT_MAX = 1024,     /* what is beyond is not listed */
    REGISTRY_KEY_BYTES_MAX = 2048, /* a longer key or value is not listed */
    REGISTRY_VALUE_BYTES_MAX = 4096,
};

struct registry;

struct registry *registry_new(void);
void registry_free(struct registry *r); /* NULL is fine */

/* A RangeResponse: all there is. ERR_INVALID: no protobuf; then nothing has
 * changed. */
int registry_load(struct registry *r, struct slice response);
/* A WatchResponse. ERR_CANCELED: the watch is over, load anew; ERR_INVALID:
 * no protobuf. */
int registry_watch(struct registry *r, struct slice response);
/* The first revision that is not in the list. */
int64_t registry_next(const struct registry *r);

/* The list, in the order of the keys. */
struct registry_entry {
    const char *address;
    const char *name; /* "": none */
};
uint32_t registry_count(const struct registry *r);
/* `i` < count; the texts live until the registry changes. */
struct registry_entry registry_get(const struct registry *r, uint32_t i);

/* Appends the value of a registration. ERR_TOO_LARGE past out's maximum. */
int registry_value(const char *address, const char *name, struct buf *out);

#endif

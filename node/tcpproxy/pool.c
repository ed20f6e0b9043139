#include "pool.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

static int add(struct pool *p, struct slice text)
{
    struct url url;
    const uint8_t *scheme = memmem(text.data, text.size, "://", 3);
    struct slice bare =
        scheme ? slice_from(text, (size_t)(scheme - text.data) + 3) : text;
    const uint8_t *slash = memchr(bare.data, '/', bare.size);
    if (slash) {
        bare.size = (size_t)(slash - bare.data);
    }
    char full[300];
    int size = snprintf(full, sizeof full, "http://%.*s", (int)bare.size,
                        (const char *)bare.data);
    if (size >= (int)sizeof full || url_parse(full, &url) != 0 ||
        url.address.host[0] == '\0') {
        return ERR_INVALID;
    }
    if (p->count == POOL_COUNT_MAX) {
        return ERR_TOO_LARGE;
    }
    struct pool_endpoint *e = &p->list[p->count++];
    e->address = url.address;
    snprintf(e->text, sizeof e->text, "%.*s", (int)bare.size,
             (const char *)bare.data);
    return 0;
}

int pool_parse(struct pool *p, const char *endpoints, char *bad, size_t room)
{
    while (*endpoints) {
        size_t size = strcspn(endpoints, ",");
        int err = add(p, slice_of(endpoints, size));
        if (err) {
            snprintf(bad, room, "%.*s", (int)size, endpoints);
            return err;
        }
        endpoints += size + (endpoints[size] == ',');
    }
    return p->count ? 0 : ERR_NOT_FOUND;
}

struct pool_endpoint *pool_next(struct pool *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct pool_endpoint *e = &p->list[(p->next + i) % p->count];
        if (!e->is_inactive) {
            p->next = (p->next + i + 1) % p->count;
            return e;
        }
    }
    return NULL;
}

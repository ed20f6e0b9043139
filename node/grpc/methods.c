#include <stdlib.h>

#include "grpc/internal.h"

static uint32_t hash(struct slice s)
{
    uint64_t h = s.size;
    while (s.size >= 8) {
        uint64_t w;
        memcpy(&w, s.data, 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
        s = slice_from(s, 8);
    }
    uint64_t w = 0;
    memcpy(&w, s.data, s.size);
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

void grpc_methods_build(struct grpc_server *s)
{
    uint32_t size = 16;
    while (size < 4 * s->config.method_count) {
        size *= 2;
    }
    s->slots = mem_zalloc(size * sizeof *s->slots);
    s->slot_mask = size - 1;
    for (uint32_t i = 0; i < s->config.method_count; i++) {
        const struct grpc_method *m = &s->config.methods[i];
        uint32_t at = hash(slice_str(m->path)) & s->slot_mask;
        while (s->slots[at]) {
            at = (at + 1) & s->slot_mask;
        }
        s->slots[at] = m;
    }
}

const struct grpc_method *grpc_methods_find(const struct grpc_server *s,
                                            struct slice path)
{
    if (path.size == 0) {
        return NULL;
    }
    uint32_t at = hash(path) & s->slot_mask;
    while (s->slots[at]) {
        if (slice_eq_str(path, s->slots[at]->path)) {
            return s->slots[at];
        }
        at = (at + 1) & s->slot_mask;
    }
    return NULL;
}

/* The service of "/service/method", up to the last slash. */
static bool has_service(const struct grpc_server *s, struct slice service)
{
    for (uint32_t i = 0; i < s->config.method_count; i++) {
        const char *path = s->config.methods[i].path;
        size_t size = (size_t)(strrchr(path, '/') - path);
        if (slice_eq(slice_of(path, size), service)) {
            return true;
        }
    }
    return false;
}

const char *grpc_methods_missing(const struct grpc_server *s, struct arena *a,
                                 struct slice path)
{
    const uint8_t *slash =
        path.size ? memrchr(path.data, '/', path.size) : NULL;
    if (!slash || slash == path.data || path.data[0] != '/') {
        return arena_printf(a, "malformed method name: %s",
                            grpc_status_quote(a, path));
    }
    struct slice service = slice_of(path.data, (size_t)(slash - path.data));
    struct slice name = slice_from(path, service.size + 1);
    if (has_service(s, service)) {
        return arena_printf(a, "unknown method %.*s for service %.*s",
                            (int)name.size, name.data, (int)service.size - 1,
                            service.data + 1);
    }
    return arena_printf(a, "unknown service %.*s", (int)service.size - 1,
                        service.data + 1);
}

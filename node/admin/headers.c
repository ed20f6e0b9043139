/* A request's headers, copied for the loop. HTTP thread. */
#include "internal.h"

void admin_headers_init(struct admin_headers *h)
{
    *h = (struct admin_headers){.count = 0};
    arena_init(&h->arena);
}

void admin_headers_release(struct admin_headers *h)
{
    arena_release(&h->arena);
}

void admin_headers_add(struct admin_headers *h, const char *name,
                       const char *value)
{
    if (h->count < 2 * ADMIN_HEADERS_MAX &&
        h->arena.used + strlen(name) + strlen(value) < ADMIN_HEADER_BYTES_MAX) {
        h->list[h->count++] = arena_strdup(&h->arena, name);
        h->list[h->count++] = arena_strdup(&h->arena, value);
        h->list[h->count] = NULL;
    }
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind,
                                 const char *name, const char *value)
{
    admin_headers_add(cls, name, value ? value : "");
    return MHD_YES;
}

void admin_headers_read(struct admin_headers *h, struct MHD_Connection *conn)
{
    MHD_get_connection_values(conn, MHD_HEADER_KIND, on_header, h);
}

#include "pool.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

_Static_assert((int)POOL_COUNT_MAX >= (int)SRV_RECORDS_MAX, "all records fit");

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

void pool_take_records(struct pool *p, const struct srv_list *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct srv_record *r = &l->list[i];
        struct pool_endpoint *e = &p->list[p->count++];
        snprintf(e->address.host, sizeof e->address.host, "%s", r->target);
        e->address.port = r->port;
        snprintf(e->text, sizeof e->text, "%s:%u", r->target, r->port);
        e->priority = r->priority;
        e->weight = r->weight;
    }
}

/* What the choice is made among. */
struct best {
    uint32_t count;  /* active ones of the lowest priority; 0: none at all */
    uint32_t light;  /* of these, those of weight 0 */
    uint64_t weight; /* of all of these */
    uint16_t priority;
};

static struct best find_best(const struct pool *p)
{
    struct best b = {.count = 0};
    for (uint32_t i = 0; i < p->count; i++) {
        const struct pool_endpoint *e = &p->list[i];
        if (e->is_inactive || (b.count && e->priority > b.priority)) {
            continue;
        }
        if (b.count == 0 || e->priority < b.priority) {
            b = (struct best){.priority = e->priority};
        }
        b.count++;
        b.light += e->weight == 0;
        b.weight += e->weight;
    }
    return b;
}

/* The next active one; `only` narrows it to the best of weight 0. */
static struct pool_endpoint *in_turn(struct pool *p, const struct best *only)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct pool_endpoint *e = &p->list[(p->next + i) % p->count];
        bool fits = !only || (e->priority == only->priority && e->weight == 0);
        if (!e->is_inactive && fits) {
            p->next = (p->next + i + 1) % p->count;
            return e;
        }
    }
    return NULL;
}

static struct pool_endpoint *by_weight(struct pool *p, const struct best *b)
{
    uint64_t number = rng_below(&p->rng, b->weight);
    for (uint32_t i = 0; i < p->count; i++) {
        struct pool_endpoint *e = &p->list[i];
        if (e->is_inactive || e->priority != b->priority) {
            continue;
        }
        if (number < e->weight) {
            return e;
        }
        number -= e->weight;
    }
    return NULL;
}

struct pool_endpoint *pool_next(struct pool *p)
{
    struct best b = find_best(p);
    if (b.weight == 0) {
        return in_turn(p, NULL);
    }
    if (b.light && rng_below(&p->rng, 100) == 0) {
        return in_turn(p, &b);
    }
    return by_weight(p, &b);
}

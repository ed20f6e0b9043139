/* Runs from seeds: the words that calls are made of, and the mix. */
#include <stdio.h>

#include "diff.h"

uint64_t gen_below(struct gen *g, uint64_t n)
{
    return rng_below(&g->rng, n);
}

bool gen_chance(struct gen *g, unsigned percent)
{
    return gen_below(g, 100) < percent;
}

enum {
    LIMIT = 1572864, /* --max-request-bytes */
    /* What a server puts around a KV request in its log: the header with the
     * id it gives it, 9 or 10 bytes long by the member's own id, tag, size. */
    WRAPPED = 17,
    WRAPPED_OTHER_MAX = 200, /* around a lock's, an election's */
};

/* Whether it fits is up to the length of an id, which may differ. */
static bool is_on_the_edge(const char *path, const ProtobufCMessage *request)
{
    if (path == NULL || request == NULL) {
        return false;
    }
    size_t size = protobuf_c_message_get_packed_size(request);
    static const char kv[] = "/etcdserverpb.KV/";
    if (strncmp(path, kv, sizeof kv - 1) == 0) {
        return size + WRAPPED == LIMIT;
    }
    return size <= LIMIT && size + WRAPPED_OTHER_MAX >= LIMIT;
}

struct step *gen_add(struct gen *g, enum step_kind kind, const char *path,
                     const void *request,
                     const ProtobufCMessageDescriptor *answer)
{
    static struct step spare;
    if (g->run->count == STEPS_MAX || is_on_the_edge(path, request)) {
        return &spare;
    }
    struct step *s = &g->run->steps[g->run->count++];
    *s = (struct step){.kind = kind,
                       .path = path,
                       .request = request,
                       .answer = answer,
                       .repeat = 1};
    s->role = (int)gen_below(g, (uint64_t)g->members);
    return s;
}

/* ---- keys: few, so that calls meet; odd ones among them ---- */

ProtobufCBinaryData gen_bytes(struct gen *g, const void *data, size_t size)
{
    uint8_t *copy = arena_alloc(&g->run->arena, size + 1);
    if (size) {
        memcpy(copy, data, size);
    }
    return (ProtobufCBinaryData){size, copy};
}

enum { LONG_KEY = 700 }; /* more than LMDB takes at once */

static ProtobufCBinaryData word(struct gen *g, unsigned i)
{
    static const struct {
        const char *data;
        size_t size;
    } words[] = {
        {"a", 1},   {"ab", 2}, {"b", 1},    {"b\0", 2},   {"c/1", 3},
        {"c/2", 3}, {"\0", 1}, {"\xff", 1}, {"z\xff", 2}, {"\xc3\xa9", 2},
    };
    enum { WORDS = sizeof words / sizeof *words };
    if (i < WORDS) {
        return gen_bytes(g, words[i].data, words[i].size);
    }
    uint8_t *key = arena_alloc(&g->run->arena, LONG_KEY);
    memset(key, 'l', LONG_KEY);
    key[LONG_KEY - 1] = (uint8_t)('0' + i % 2);
    return (ProtobufCBinaryData){LONG_KEY, key};
}

ProtobufCBinaryData gen_key(struct gen *g)
{
    if (g->bulk && gen_chance(g, 70)) {
        char text[16];
        int n =
            snprintf(text, sizeof text, "k%03u", (unsigned)gen_below(g, 150));
        return gen_bytes(g, text, (size_t)n);
    }
    if (gen_chance(g, 2)) {
        return (ProtobufCBinaryData){0, NULL};
    }
    return word(g, (unsigned)gen_below(g, gen_chance(g, 10) ? 12 : 8));
}

/* The next word of a cycle: keys of one transaction that do not collide. */
ProtobufCBinaryData gen_next_key(struct gen *g)
{
    return word(g, g->next_word++ % 12);
}

ProtobufCBinaryData gen_end(struct gen *g, ProtobufCBinaryData key)
{
    static uint8_t zero[1] = {0}, top[2] = {0xff, 0xff};
    switch (gen_below(g, 8)) {
    case 0:
        return (ProtobufCBinaryData){1, zero};
    case 1:
        return gen_key(g); /* may be below, equal, empty */
    case 2:
        return (ProtobufCBinaryData){2, top};
    case 3: {
        ProtobufCBinaryData end = gen_bytes(g, key.data, key.len);
        if (end.len) {
            end.data[end.len - 1]++;
        }
        return end;
    }
    default:
        return (ProtobufCBinaryData){0, NULL};
    }
}

ProtobufCBinaryData gen_value(struct gen *g)
{
    uint64_t dice = gen_below(g, 1000);
    size_t size = dice < 100    ? 0
                  : dice < 980  ? 1 + gen_below(g, 12)
                  : dice < 997  ? gen_below(g, 5000)
                  : dice < 999  ? 100000
                  : g->has_huge ? 0
                                : 1572864 - 40 + gen_below(g, 80);
    if (size > 1000000) {
        g->has_huge = true; /* one a run: they cost time */
        size = gen_chance(g, 20) ? (size_t)3 << 20 : size;
    }
    uint8_t *data = arena_alloc(&g->run->arena, size + 1);
    memset(data, 'v', size);
    for (size_t i = 0; i < size && i < 2; i++) {
        data[i] = (uint8_t)('a' + gen_below(g, 3));
    }
    return (ProtobufCBinaryData){size, data};
}

/* ---- numbers ---- */

int64_t gen_number(struct gen *g)
{
    static const int64_t odd[] = {-1, 1, 2, -2, INT64_MAX, INT64_MIN, 1000};
    return gen_chance(g, 50) ? (int64_t)gen_below(g, 5)
                             : odd[gen_below(g, sizeof odd / sizeof *odd)];
}

int64_t gen_revision(struct gen *g)
{
    uint64_t dice = gen_below(g, 100);
    int64_t made = g->revisions;
    if (dice < 35) {
        return 0;
    }
    if (dice < 75) {
        return MARK_REVISION + (int64_t)gen_below(g, (uint64_t)made + 2);
    }
    if (dice < 90) {
        return MARK_REVISION + made - (int64_t)gen_below(g, 4);
    }
    if (dice < 95) {
        return MARK_REVISION - (int64_t)gen_below(g, 3);
    }
    return gen_number(g);
}

int64_t gen_lease(struct gen *g)
{
    uint64_t dice = gen_below(g, 10);
    if (dice < 7 || g->drawn == 0) {
        return 1 + (int64_t)gen_below(g, 5);
    }
    if (dice < 8) {
        return -7;
    }
    return MARK_LEASE + (int64_t)gen_below(g, (uint64_t)g->drawn);
}

/* ---- the mix ---- */

static void step_of(struct gen *g, const unsigned *weights)
{
    static void (*const makers[])(struct gen * g) = {
        gen_kv, gen_txn, gen_lease_call, gen_watch, gen_admin};
    unsigned sum = 0;
    for (int i = 0; i < 5; i++) {
        sum += weights[i];
    }
    unsigned dice = (unsigned)gen_below(g, sum);
    for (int i = 0;; i++) {
        if (dice < weights[i]) {
            makers[i](g);
            return;
        }
        dice -= weights[i];
    }
}

void gen_run(struct run *r, uint64_t seed, int members)
{
    static const unsigned mixes[][5] = {
        {50, 25, 12, 5, 3}, {80, 5, 10, 3, 1},   {20, 70, 5, 3, 1},
        {35, 10, 45, 4, 2}, {55, 15, 10, 18, 1}, {40, 10, 10, 5, 30},
    };
    struct gen g = {.rng = {seed},
                    .run = r,
                    .members = members,
                    .compacted = MARK_REVISION};
    arena_init(&r->arena);
    r->count = 0;
    for (int i = 0; i < 4; i++) {
        rng_next(&g.rng);
    }
    const unsigned *mix = mixes[gen_below(&g, sizeof mixes / sizeof *mixes)];
    g.bulk = gen_chance(&g, 15);
    g.draws = gen_chance(&g, 25);
    int want = 250 + (int)gen_below(&g, 200);
    bool expires = gen_chance(&g, 2);
    bool locks = gen_chance(&g, 15);
    for (; r->count < want;) {
        step_of(&g, mix);
        if (locks && r->count > want / 2) {
            gen_lock(&g);
            locks = false;
        }
        if (expires && r->count > want * 2 / 3) {
            gen_expiry(&g);
            expires = false;
        }
    }
    gen_watch_end(&g);
    r->calls = 0;
    for (int i = 0; i < r->count; i++) {
        enum step_kind k = r->steps[i].kind;
        r->calls += k == STEP_CALL || k == STEP_KEEP_ALIVE || k == STEP_WATCH ||
                    k == STEP_BEGIN;
    }
}

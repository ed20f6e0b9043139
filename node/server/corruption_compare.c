#include "base/err.h"
#include "corruption.h"

static bool same_state(const struct mvcc_hash *a, const struct mvcc_hash *b)
{
    return a->hash_revision == b->hash_revision &&
           a->compact_revision == b->compact_revision;
}

static bool differs(const struct mvcc_hash *own, const struct mvcc_hash *now,
                    const struct peer_hash_answer *p)
{
    if (p->err) {
        return false;
    }
    /* The leader has read its own state after them: nobody is ahead. */
    return p->revision > now->hash_revision ||
           p->hash.compact_revision > now->compact_revision ||
           (p->hash.compact_revision == own->compact_revision &&
            p->hash.hash != own->hash);
}

uint32_t corruption_compare(uint64_t self, const struct mvcc_hash *own,
                            const struct mvcc_hash *now,
                            const struct peer_hashes *others, uint64_t *ret_ids)
{
    uint32_t count = 0;
    if (same_state(own, now) && own->hash != now->hash) {
        ret_ids[count++] = self;
    }
    for (uint32_t i = 0; i < others->count; i++) {
        if (differs(own, now, &others->list[i])) {
            ret_ids[count++] = others->list[i].id;
        }
    }
    return count;
}

static bool is_comparable(const struct mvcc_hash *own,
                          const struct peer_hash_answer *p)
{
    return p->err == 0 && p->hash.compact_revision == own->compact_revision;
}

/* Members whose comparable hash is that one. */
static uint32_t holders(const struct mvcc_hash *own,
                        const struct peer_hashes *others, uint32_t hash)
{
    uint32_t count = own->hash == hash;
    for (uint32_t i = 0; i < others->count; i++) {
        const struct peer_hash_answer *p = &others->list[i];
        count += is_comparable(own, p) && p->hash.hash == hash;
    }
    return count;
}

uint32_t corruption_compare_compaction(uint64_t self,
                                       const struct mvcc_hash *own,
                                       const struct peer_hashes *others,
                                       uint64_t *ret_ids, bool *ret_all)
{
    uint32_t quorum = (others->count + 1) / 2 + 1, compared = 0, count = 0;
    bool has_right = holders(own, others, own->hash) >= quorum;
    bool differ = false;
    uint32_t right = own->hash;
    for (uint32_t i = 0; i < others->count; i++) {
        const struct peer_hash_answer *p = &others->list[i];
        if (is_comparable(own, p)) {
            compared++;
            differ = differ || p->hash.hash != own->hash;
            if (holders(own, others, p->hash.hash) >= quorum) {
                has_right = true;
                right = p->hash.hash;
            }
        }
    }
    *ret_all = compared == others->count;
    if (differ && !has_right) {
        ret_ids[count++] = 0;
        return count;
    }
    if (differ && own->hash != right) {
        ret_ids[count++] = self;
    }
    for (uint32_t i = 0; differ && i < others->count; i++) {
        const struct peer_hash_answer *p = &others->list[i];
        if (is_comparable(own, p) && p->hash.hash != right) {
            ret_ids[count++] = p->id;
        }
    }
    return count;
}

/*
 * One change of the membership: whether it may be, and what it makes of the
 * members. Pure, so that every member comes to the same conclusion.
 */
#include "base/err.h"
#include "replica.h"

static bool url_in_use(const struct members *ms, const struct member *m)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *o = &ms->list[i];
        for (uint32_t a = 0; o->id != m->id && a < o->peer_url_count; a++) {
            for (uint32_t b = 0; b < m->peer_url_count; b++) {
                if (strcmp(o->peer_urls[a], m->peer_urls[b]) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool is_started(const struct member *m)
{
    return m->name && m->name[0];
}

/* Of the voters but `without` (0: of all). */
struct counts {
    uint32_t voters;
    uint32_t started;
    uint32_t learners;
};

static struct counts count(const struct members *ms, uint64_t without)
{
    struct counts c = {0};
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *m = &ms->list[i];
        if (m->id == without) {
            continue;
        }
        c.learners += m->is_learner;
        c.voters += !m->is_learner;
        c.started += !m->is_learner && is_started(m);
    }
    return c;
}

static int check_add(const struct members *ms, const struct member_change *c,
                     int64_t learners_max)
{
    if (members_find(ms, c->member.id)) {
        return ERR_EXISTS;
    }
    if (url_in_use(ms, &c->member)) {
        return ERR_REFUSED;
    }
    if (ms->count >= MEMBERS_MAX) {
        return ERR_NO_SPACE;
    }
    bool learns = c->type == RAFT_CONF_ADD_LEARNER;
    return learns && count(ms, 0).learners >= learners_max ? ERR_TOO_LARGE : 0;
}

static int check_remove(const struct members *ms, const struct member *known)
{
    /* Without a voter nothing could ever be decided again. */
    return !known->is_learner && count(ms, known->id).voters == 0 ? ERR_BUSY
                                                                  : 0;
}

int member_change_check(const struct members *ms, const struct member_change *c,
                        int64_t learners_max)
{
    const struct member *known = members_find(ms, c->member.id);
    if (members_is_removed(ms, c->member.id)) {
        return ERR_NOT_FOUND;
    }
    if (!c->promote &&
        (c->type == RAFT_CONF_ADD_NODE || c->type == RAFT_CONF_ADD_LEARNER)) {
        return check_add(ms, c, learners_max);
    }
    if (known == NULL) {
        return ERR_NOT_FOUND;
    }
    switch (c->type) {
    case RAFT_CONF_ADD_NODE:
        return known->is_learner ? 0 : ERR_INVALID;
    case RAFT_CONF_UPDATE_NODE:
        return url_in_use(ms, &c->member) ? ERR_REFUSED : 0;
    case RAFT_CONF_REMOVE_NODE:
        return check_remove(ms, known);
    case RAFT_CONF_ADD_LEARNER:
        break;
    }
    return ERR_UNSUPPORTED;
}

/* ---- strict rules ---- */

static uint32_t healthy(const struct members *ms, uint64_t self,
                        uint64_t (*connected_ms)(void *ctx, uint64_t id),
                        void *ctx)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ms->count; i++) {
        const struct member *m = &ms->list[i];
        n += !m->is_learner &&
             (m->id == self || connected_ms(ctx, m->id) >= MEMBER_HEALTHY_MS);
    }
    return n;
}

int member_change_check_strict(const struct members *ms,
                               const struct member_change *c, uint64_t self,
                               uint64_t (*connected_ms)(void *ctx, uint64_t id),
                               void *ctx)
{
    struct counts all = count(ms, 0);
    uint32_t quorum_after_add = (all.voters + 1) / 2 + 1;
    if (c->type == RAFT_CONF_ADD_NODE && c->promote) {
        return all.started + 1 < quorum_after_add ? ERR_BUSY : 0;
    }
    if (c->type == RAFT_CONF_ADD_NODE || c->type == RAFT_CONF_ADD_LEARNER) {
        /* From one to two is the way to give a lonely member company. */
        bool lonely = all.voters == 1 && all.started == 1;
        if (c->type == RAFT_CONF_ADD_NODE && !lonely &&
            all.started < quorum_after_add) {
            return ERR_BUSY;
        }
        return all.voters > 1 &&
                       healthy(ms, self, connected_ms, ctx) < quorum_after_add
                   ? ERR_UNAVAILABLE
                   : 0;
    }
    const struct member *known = members_find(ms, c->member.id);
    if (c->type != RAFT_CONF_REMOVE_NODE || (known && known->is_learner)) {
        return 0;
    }
    struct counts rest = count(ms, c->member.id);
    if (rest.started < rest.voters / 2 + 1) {
        return ERR_BUSY;
    }
    /* One that is away is not part of the quorum at work. */
    if (c->member.id != self && connected_ms(ctx, c->member.id) == 0) {
        return 0;
    }
    return healthy(ms, self, connected_ms, ctx) - 1 < 1 + (all.voters - 1) / 2
               ? ERR_UNAVAILABLE
               : 0;
}

/* ---- effect ---- */

void member_change_apply(struct members *ms, const struct member_change *c)
{
    struct member *known = members_find(ms, c->member.id);
    struct member next = c->member;
    if (c->type == RAFT_CONF_REMOVE_NODE) {
        members_remove(ms, c->member.id);
        return;
    }
    if (c->promote) {
        known->is_learner = false;
        return;
    }
    if (known) { /* new URLs; what it said of itself stays */
        next.name = known->name;
        next.client_urls = known->client_urls;
        next.client_url_count = known->client_url_count;
        next.is_learner = known->is_learner;
    } else {
        next.is_learner = c->type == RAFT_CONF_ADD_LEARNER;
    }
    members_put(ms, &next);
}

/* The leader ends expired leases through the log, a few at a time. */
#include "proto/proto.h"
#include "state.h"

enum { ENTRY_LEASE_REVOKE = 9 };

static void revoked(struct replica_proposal *p, int err)
{
    struct api_revoke *r = container_of(p, struct api_revoke, proposal);
    /* Not done: the lessor hands it out again after a while. The next one
     * is not proposed from here, in the middle of applying. */
    r->busy = false;
    if (err == 0) {
        api_later(r->api);
    }
}

static struct api_revoke *free_slot(struct api *a)
{
    for (uint32_t i = 0; i < API_REVOKES_MAX; i++) {
        if (!a->revokes[i].busy) {
            return &a->revokes[i];
        }
    }
    return NULL;
}

static bool revoke_one(struct api *a, struct api_revoke *r)
{
    int64_t id;
    if (lease_expired(a->config.lessor, api_now_ms(a), &id, 1) == 0) {
        return false;
    }
    uint8_t message[1 + PROTO_VARINT_MAX];
    uint8_t *end = proto_u64(message, 1, (uint64_t)id);
    r->api = a;
    r->busy = true;
    /* Cut off from the others, this member may be the only one that thinks
     * it leads: with the next leader the lease may have been renewed. */
    if (api_propose_leading(a, &r->proposal, ENTRY_LEASE_REVOKE,
                            slice_of(message, (size_t)(end - message)),
                            revoked)) {
        r->busy = false;
        return false;
    }
    return true;
}

void api_expire_leases(struct api *a)
{
    if (!lease_is_primary(a->config.lessor)) {
        return;
    }
    if (api_now_ms(a) >= a->revoke_refill_ms) {
        a->revoke_refill_ms = api_now_ms(a) + API_REVOKE_PERIOD_MS;
        a->revoke_budget = API_REVOKES_PER_TICK;
    }
    struct api_revoke *r;
    while (a->revoke_budget > 0 && (r = free_slot(a)) != NULL) {
        if (!revoke_one(a, r)) {
            return;
        }
        a->revoke_budget--;
    }
}

void api_expire_stop(struct api *a)
{
    for (uint32_t i = 0; i < API_REVOKES_MAX; i++) {
        if (a->revokes[i].busy) {
            replica_propose_cancel(a->config.replica, &a->revokes[i].proposal);
        }
    }
    if (a->nospace_busy) {
        replica_propose_cancel(a->config.replica, &a->nospace);
    }
}

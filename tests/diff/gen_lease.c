/* Calls of the Lease, Lock and Election services. */
#include <stdio.h>

#include "diff.h"

#define LEASE "/etcdserverpb.Lease/"

static void grant(struct gen *g, int64_t id, int64_t ttl)
{
    Pb__LeaseGrantRequest *r =
        GEN_NEW(g, Pb__LeaseGrantRequest, PB__LEASE_GRANT_REQUEST__INIT);
    r->id = id;
    r->ttl = ttl;
    gen_add(g, STEP_CALL, LEASE "LeaseGrant", r,
            &pb__lease_grant_response__descriptor);
}

static void drop_lease(struct gen *g, int64_t id)
{
    Pb__LeaseRevokeRequest *r =
        GEN_NEW(g, Pb__LeaseRevokeRequest, PB__LEASE_REVOKE_REQUEST__INIT);
    r->id = id;
    gen_add(g, STEP_CALL, LEASE "LeaseRevoke", r,
            &pb__lease_revoke_response__descriptor);
    g->revisions += gen_chance(g, 20);
}

static void random_grant(struct gen *g)
{
    static const int64_t odd[] = {9000000000, 9000000001, INT64_MAX, 8999999999,
                                  100000};
    int64_t ttl = gen_chance(g, 80) ? 600 + (int64_t)gen_below(g, 9000)
                                    : odd[gen_below(g, 5)];
    if (g->draws && gen_chance(g, 35) && g->drawn < DRAWN_MAX) {
        if (ttl <= 9000000000) {
            g->drawn++;
        }
        grant(g, 0, ttl);
    } else {
        grant(g, gen_lease(g), ttl);
    }
}

static void keep_alive(struct gen *g)
{
    Pb__LeaseKeepAliveRequest *r = GEN_NEW(g, Pb__LeaseKeepAliveRequest,
                                           PB__LEASE_KEEP_ALIVE_REQUEST__INIT);
    r->id = gen_chance(g, 90) ? gen_lease(g) : gen_number(g);
    gen_add(g, STEP_KEEP_ALIVE, LEASE "LeaseKeepAlive", r,
            &pb__lease_keep_alive_response__descriptor)
        ->repeat = 1 + (int)gen_below(g, 3);
}

void gen_lease_call(struct gen *g)
{
    uint64_t dice = gen_below(g, 100);
    if (dice < 35) {
        random_grant(g);
    } else if (dice < 55) {
        drop_lease(g, gen_chance(g, 90) ? gen_lease(g) : gen_number(g));
    } else if (dice < 75) {
        Pb__LeaseTimeToLiveRequest *r =
            GEN_NEW(g, Pb__LeaseTimeToLiveRequest,
                    PB__LEASE_TIME_TO_LIVE_REQUEST__INIT);
        r->id = gen_chance(g, 90) ? gen_lease(g) : gen_number(g);
        r->keys = gen_chance(g, 60);
        gen_add(g, STEP_CALL, LEASE "LeaseTimeToLive", r,
                &pb__lease_time_to_live_response__descriptor);
    } else if (dice < 85) {
        gen_add(
            g, STEP_CALL, LEASE "LeaseLeases",
            GEN_NEW(g, Pb__LeaseLeasesRequest, PB__LEASE_LEASES_REQUEST__INIT),
            &pb__lease_leases_response__descriptor);
    } else {
        keep_alive(g);
    }
}

/* ---- a lease that ends by itself, while nothing else is changed ---- */

static void put_with(struct gen *g, const char *key, int64_t lease)
{
    Pb__PutRequest *p = GEN_NEW(g, Pb__PutRequest, PB__PUT_REQUEST__INIT);
    p->key = gen_bytes(g, key, strlen(key));
    p->lease = lease;
    gen_add(g, STEP_CALL, "/etcdserverpb.KV/Put", p,
            &pb__put_response__descriptor);
    g->revisions++;
}

void gen_expiry(struct gen *g)
{
    enum { SHORT = 0x511 };
    Pb__LeaseTimeToLiveRequest *r = GEN_NEW(
        g, Pb__LeaseTimeToLiveRequest, PB__LEASE_TIME_TO_LIVE_REQUEST__INIT);
    grant(g, SHORT, (int64_t)gen_below(g, 4) - 1);
    put_with(g, "b", SHORT);
    put_with(g, "a", SHORT);
    put_with(g, "e", SHORT);
    r->id = SHORT;
    gen_add(g, STEP_EXPIRED, LEASE "LeaseTimeToLive", r, NULL);
    g->revisions++;
    gen_sync_all(g);
}

/* ---- locks ---- */

static void lock(struct gen *g, enum step_kind kind, const char *name,
                 int64_t lease)
{
    Pbl__LockRequest *r = GEN_NEW(g, Pbl__LockRequest, PBL__LOCK_REQUEST__INIT);
    r->name = gen_bytes(g, name, strlen(name));
    r->lease = lease;
    gen_add(g, kind, "/v3lockpb.Lock/Lock", r, &pbl__lock_response__descriptor);
    g->revisions++;
}

static void unlock(struct gen *g, const char *key)
{
    Pbl__UnlockRequest *r =
        GEN_NEW(g, Pbl__UnlockRequest, PBL__UNLOCK_REQUEST__INIT);
    r->key = gen_bytes(g, key, strlen(key));
    gen_add(g, STEP_CALL, "/v3lockpb.Lock/Unlock", r,
            &pbl__unlock_response__descriptor);
    g->revisions++;
}

static void appeared(struct gen *g, const char *prefix, int count)
{
    Pb__RangeRequest *r = GEN_NEW(g, Pb__RangeRequest, PB__RANGE_REQUEST__INIT);
    r->key = gen_bytes(g, prefix, strlen(prefix));
    r->range_end = gen_bytes(g, prefix, strlen(prefix));
    r->range_end.data[r->range_end.len - 1]++;
    gen_add(g, STEP_APPEARED, "/etcdserverpb.KV/Range", r, NULL)->repeat =
        count;
}

enum { HOLDER = 0x101, SECOND = 0x102 };

static void locks(struct gen *g)
{
    lock(g, STEP_CALL, "L", 0x999); /* no such lease */
    lock(g, STEP_CALL, "L", HOLDER);
    if (gen_chance(g, 50)) {
        lock(g, STEP_CALL, "L", HOLDER);
    }
    lock(g, STEP_BEGIN, "L", SECOND);
    appeared(g, "L/", 2);
    unlock(g, "");
    switch (gen_below(g, 3)) {
    case 0:
        unlock(g, "L/101");
        break;
    case 1:
        drop_lease(g, HOLDER);
        break;
    default:
        unlock(g, "L/102"); /* the one that waits loses its key */
        unlock(g, "L/101");
    }
    gen_add(g, STEP_AWAIT, "/v3lockpb.Lock/Lock", NULL, NULL);
    unlock(g, "L/102");
    unlock(g, "L/102");
}

/* ---- elections ---- */

#define ELECTION "/v3electionpb.Election/"

static void campaign(struct gen *g, enum step_kind kind, int64_t lease,
                     const char *value)
{
    Pbe__CampaignRequest *r =
        GEN_NEW(g, Pbe__CampaignRequest, PBE__CAMPAIGN_REQUEST__INIT);
    r->name = gen_bytes(g, "E", 1);
    r->lease = lease;
    r->value = gen_bytes(g, value, strlen(value));
    gen_add(g, kind, ELECTION "Campaign", r,
            &pbe__campaign_response__descriptor)
        ->stream = 1;
    g->revisions++;
}

static void leader(struct gen *g)
{
    Pbe__LeaderRequest *r =
        GEN_NEW(g, Pbe__LeaderRequest, PBE__LEADER_REQUEST__INIT);
    r->name = gen_bytes(g, "E", 1);
    gen_add(g, STEP_CALL, ELECTION "Leader", r,
            &pbe__leader_response__descriptor);
}

static Pbe__LeaderKey *leader_key(struct gen *g, int64_t lease, int64_t rev)
{
    char key[32];
    int n = snprintf(key, sizeof key, "E/%llx", (long long)lease);
    Pbe__LeaderKey *k = GEN_NEW(g, Pbe__LeaderKey, PBE__LEADER_KEY__INIT);
    k->name = gen_bytes(g, "E", 1);
    k->key = gen_bytes(g, key, gen_chance(g, 90) ? (size_t)n : 0);
    k->rev = rev;
    k->lease = lease;
    return k;
}

static void proclaim(struct gen *g, Pbe__LeaderKey *k, const char *value)
{
    Pbe__ProclaimRequest *r =
        GEN_NEW(g, Pbe__ProclaimRequest, PBE__PROCLAIM_REQUEST__INIT);
    r->leader = k;
    r->value = gen_bytes(g, value, strlen(value));
    gen_add(g, STEP_CALL, ELECTION "Proclaim", r,
            &pbe__proclaim_response__descriptor);
}

static void resign(struct gen *g, Pbe__LeaderKey *k)
{
    Pbe__ResignRequest *r =
        GEN_NEW(g, Pbe__ResignRequest, PBE__RESIGN_REQUEST__INIT);
    r->leader = k;
    gen_add(g, STEP_CALL, ELECTION "Resign", r,
            &pbe__resign_response__descriptor);
    g->revisions++;
}

/* The observer has got that many answers. */
static void heard(struct gen *g, enum step_kind kind, int count)
{
    struct step *s = gen_add(g, kind, ELECTION "Observe", NULL, NULL);
    s->stream = 2;
    s->repeat = count;
}

static void elections(struct gen *g)
{
    Pbe__LeaderRequest *r =
        GEN_NEW(g, Pbe__LeaderRequest, PBE__LEADER_REQUEST__INIT);
    r->name = gen_bytes(g, "E", 1);
    leader(g);
    campaign(g, STEP_CALL, HOLDER, "one");
    leader(g);
    gen_add(g, STEP_BEGIN, ELECTION "Observe", r,
            &pbe__leader_response__descriptor)
        ->stream = 2;
    heard(g, STEP_HEARD, 1);
    campaign(g, STEP_CALL, HOLDER, "two");
    heard(g, STEP_HEARD, 2);
    proclaim(g, NULL, "none");
    proclaim(g, leader_key(g, HOLDER, 1), "wrong revision");
    resign(g, NULL);
    resign(g, leader_key(g, HOLDER, 1));
    campaign(g, STEP_BEGIN, SECOND, "three");
    appeared(g, "E/", 2);
    drop_lease(g, HOLDER);
    gen_add(g, STEP_AWAIT, ELECTION "Campaign", NULL, NULL)->stream = 1;
    heard(g, STEP_CUT, 3);
    leader(g);
    resign(g, leader_key(g, SECOND, 1));
}

void gen_lock(struct gen *g)
{
    grant(g, HOLDER, 5000);
    grant(g, SECOND, 5000);
    if (gen_chance(g, 50)) {
        locks(g);
    } else {
        elections(g);
    }
    drop_lease(g, HOLDER);
    drop_lease(g, SECOND);
}

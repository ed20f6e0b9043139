/*
 * Leases kept alive, every answer checked:
 *   keepalive HOST:PORT PID LEASES COUNT LABEL [CONNECTIONS [IN_FLIGHT]]
 * Each connection has one LeaseKeepAlive stream and its share of the leases,
 * which it renews in turn, IN_FLIGHT at a time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "meter.h"
#include "proto/proto.h"
#include "proto/rpc.pb-c.h"

enum { TTL_S = 3600, FIRST_ID = 1000000 };

struct keeper {
    struct grpc_channel *channel;
    struct grpc_client_call *call;
    int64_t first_id;
    uint64_t leases, granted;
    uint64_t asked, answered; /* renewals, ever */
    uint64_t *started_ns;     /* of the last IN_FLIGHT */
};

static struct {
    struct loop *loop;
    struct meter *meter;
    uint64_t leases, granted;
    uint64_t to_start, to_end;
    uint64_t in_flight;
} keep;

/* ---- the leases ---- */
static void no_message(void *ctx, struct slice message)
{
}

static void grant(struct keeper *k);

static void granted(void *ctx, enum grpc_code code, const char *why)
{
    if (code != GRPC_OK) {
        bench_fail("grant: %s: %s", grpc_code_name(code), why);
    }
    if (++keep.granted == keep.leases) {
        loop_stop(keep.loop);
    } else {
        grant(ctx);
    }
}

static void grant(struct keeper *k)
{
    static const struct grpc_client_handler handler = {no_message, granted};
    if (k->granted == k->leases) {
        return;
    }
    Pb__LeaseGrantRequest request = PB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = TTL_S;
    request.id = k->first_id + (int64_t)k->granted++;
    struct grpc_client_call *c = grpc_client_start(
        k->channel, "/etcdserverpb.Lease/LeaseGrant", NULL, 0, &handler, k);
    grpc_client_send(c, &request.base);
    grpc_client_half_close(c);
}

/* ---- the renewals ---- */
static int64_t id_of(const struct keeper *k, uint64_t renewal)
{
    return k->first_id + (int64_t)(renewal % k->leases);
}

static void renew(struct keeper *k)
{
    if (keep.to_start == 0) {
        return;
    }
    keep.to_start--;
    Pb__LeaseKeepAliveRequest request = PB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = id_of(k, k->asked);
    k->started_ns[k->asked++ % keep.in_flight] = loop_now_ns(keep.loop);
    grpc_client_send(k->call, &request.base);
}

static void renewed(void *ctx, struct slice message)
{
    struct keeper *k = ctx;
    uint64_t now_ns = loop_now_ns(keep.loop);
    struct proto_field f;
    int64_t id = 0;
    uint64_t ttl_s = 0;
    while (proto_next(&message, &f) > 0) {
        if (f.number == 2) {
            id = (int64_t)f.value;
        } else if (f.number == 3) {
            ttl_s = f.value;
        }
    }
    if (id != id_of(k, k->answered) || ttl_s != TTL_S) {
        bench_fail("lease %ld instead of %ld, TTL %lu", (long)id,
                   (long)id_of(k, k->answered), (unsigned long)ttl_s);
    }
    meter_add(keep.meter,
              now_ns - k->started_ns[k->answered++ % keep.in_flight]);
    if (--keep.to_end == 0) {
        loop_stop(keep.loop);
    } else {
        renew(k);
    }
}

static void ended(void *ctx, enum grpc_code code, const char *why)
{
    bench_fail("keep-alive: %s: %s", grpc_code_name(code), why);
}

int main(int argc, char **argv)
{
    static const struct grpc_client_handler handler = {renewed, ended};
    if (argc < 6) {
        fputs("usage: keepalive HOST:PORT PID LEASES COUNT LABEL [CONNECTIONS "
              "[IN_FLIGHT]]\n",
              stderr);
        return 2;
    }
    struct net_address address = bench_address(argv[1]);
    size_t connections = argc > 6 ? bench_number(argv[6], 1) : 16;
    uint64_t each = bench_number(argv[3], connections) / connections;
    keep.in_flight = argc > 7 ? bench_number(argv[7], 1) : 32;
    keep.leases = each * connections;
    loop_new(&keep.loop);
    keep.meter = meter_new(keep.loop, (int)bench_number(argv[2], 1));
    struct keeper *keepers = mem_zalloc(connections * sizeof *keepers);
    for (size_t i = 0; i < connections; i++) {
        struct keeper *k = &keepers[i];
        k->channel = grpc_channel_new(keep.loop, &address, 5000);
        k->leases = each;
        k->first_id = FIRST_ID + (int64_t)(i * each);
        k->started_ns = mem_zalloc(keep.in_flight * sizeof *k->started_ns);
        for (uint64_t j = 0; j < keep.in_flight; j++) {
            grant(k);
        }
    }
    loop_run(keep.loop);
    keep.to_start = keep.to_end = bench_number(argv[4], 1);
    meter_begin(keep.meter);
    for (size_t i = 0; i < connections; i++) {
        keepers[i].call = grpc_client_start(
            keepers[i].channel, "/etcdserverpb.Lease/LeaseKeepAlive", NULL, 0,
            &handler, &keepers[i]);
        for (uint64_t j = 0; j < keep.in_flight; j++) {
            renew(&keepers[i]);
        }
    }
    loop_run(keep.loop);
    meter_end(keep.meter, argv[5], 1);
    return 0; /* the process's end closes what is open */
}

/* grpc.health.v1: one service, "", which serves from the start. */
#include "state.h"

static void fill(Pbh__HealthCheckResponse *r, bool known)
{
    pbh__health_check_response__init(r);
    r->status =
        known ? PBH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
              : PBH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
}

void api_health_check(struct grpc_call *call, struct slice message)
{
    const Pbh__HealthCheckRequest *request =
        grpc_unpack(call, &pbh__health_check_request__descriptor, message);
    if (!request) {
        return;
    }
    if (request->service[0]) {
        api_fail(call, API_UNKNOWN_SERVICE);
        return;
    }
    Pbh__HealthCheckResponse r;
    fill(&r, true);
    grpc_reply(call, &r.base);
}

/* Stays open; the answer never changes. */
void api_health_watch(struct grpc_call *call, struct slice message)
{
    const Pbh__HealthCheckRequest *request =
        grpc_unpack(call, &pbh__health_check_request__descriptor, message);
    if (request) {
        Pbh__HealthCheckResponse r;
        fill(&r, request->service[0] == 0);
        grpc_send(call, &r.base);
    }
}

/* A map's entry has its key on the wire also where that is empty: what
 * generated code, which knows no maps, would leave out. */
void api_health_list(struct grpc_call *call, struct slice message)
{
    if (!grpc_unpack(call, &pbh__health_list_request__descriptor, message)) {
        return;
    }
    static const uint8_t serving[] = {
        0x0a, 6, /* statuses, one entry */
        0x0a, 0, /* key: "" */
        0x12, 2, /* value */
        0x08, PBH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
    };
    grpc_send_bytes(call, slice_of(serving, sizeof serving), NULL);
    grpc_finish(call, GRPC_OK, NULL);
}

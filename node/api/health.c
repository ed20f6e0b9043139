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

void api_health_list(struct grpc_call *call, struct slice message)
{
    Pbh__HealthCheckResponse status;
    fill(&status, true);
    Pbh__HealthListResponse__StatusesEntry entry =
        PBH__HEALTH_LIST_RESPONSE__STATUSES_ENTRY__INIT;
    entry.value = &status;
    Pbh__HealthListResponse__StatusesEntry *entries[] = {&entry};
    Pbh__HealthListResponse r = PBH__HEALTH_LIST_RESPONSE__INIT;
    r.statuses = entries;
    r.n_statuses = 1;
    grpc_reply(call, &r.base);
}

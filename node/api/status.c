#include "status.h"

#include "base/err.h"

static const struct api_status table[API_ERROR_COUNT] = {
#define API_ERROR_ROW(name, code, text) [API_##name] = {GRPC_##code, text},
    API_ERROR_LIST(API_ERROR_ROW)
#undef API_ERROR_ROW
};

/* Where one ERR_* means two things to clients, the handler has already
 * turned it into the right API_*. */
static const struct {
    int err;
    enum api_error api;
} from_below[] = {
    {ERR_COMPACTED, API_COMPACTED},
    {ERR_FUTURE, API_FUTURE},
    {ERR_KEY_NOT_FOUND, API_KEY_NOT_FOUND},
    {ERR_LEASE_NOT_FOUND, API_LEASE_NOT_FOUND},
    {ERR_EXISTS, API_LEASE_EXISTS},
    {ERR_NO_SPACE, API_NO_SPACE},
    {ERR_TOO_LARGE, API_RESPONSE_TOO_LARGE},
    {ERR_CORRUPT, API_CORRUPT},
    {ERR_TIMEOUT, API_TIMEOUT},
    {ERR_NO_LEADER, API_NO_LEADER},
    {ERR_LEADER_CHANGED, API_LEADER_CHANGED},
    {ERR_NOT_LEADER, API_NOT_LEADER},
    {ERR_DROPPED, API_DROPPED},
    {ERR_CLOSED, API_STOPPED},
    {ERR_UNSUPPORTED, API_UNSUPPORTED},
};

struct api_status api_status_of(int err)
{
    if (err > 0 && err < API_ERROR_COUNT) {
        return table[err];
    }
    for (size_t i = 0; i < sizeof from_below / sizeof *from_below; i++) {
        if (from_below[i].err == err) {
            return table[from_below[i].api];
        }
    }
    return (struct api_status){GRPC_UNKNOWN, err_text(err)};
}

void api_fail(struct grpc_call *call, int err)
{
    struct api_status s = api_status_of(err);
    grpc_finish(call, s.code, s.text);
}

void api_fail_unmarshal(struct grpc_call *call)
{
    bool unary = grpc_call_method(call)->kind == GRPC_UNARY;
    const char *text =
        unary ? "grpc: error unmarshalling request: proto:\xc2\xa0"
                "cannot parse invalid wire-format data"
              : "grpc: failed to unmarshal the received message: proto:"
                "\xc2\xa0"
                "cannot parse invalid wire-format data";
    grpc_finish(call, GRPC_INTERNAL, text);
}

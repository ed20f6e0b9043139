/* The leader gives up history by itself, through the log. */
#include "proto/proto.h"
#include "state.h"

enum { ENTRY_COMPACTION = 7 };

static void compacted(struct replica_proposal *p, int err)
{
    struct api *a = container_of(p, struct api, compaction);
    int said = a->compaction_out.err;
    apply_out_release(&a->compaction_out);
    a->compaction_busy = false;
    api_compactor_done(&a->compactor, api_now_ms(a),
                       err == 0 && (said == 0 || said == ERR_COMPACTED));
}

void api_auto_compact(struct api *a)
{
    int64_t revision = api_compactor_due(
        &a->compactor, api_now_ms(a), api_is_leader(a), mvcc_revision(a->mvcc));
    if (revision == 0) {
        return;
    }
    uint8_t message[1 + PROTO_VARINT_MAX];
    uint8_t *end = proto_u64(message, 1, (uint64_t)revision);
    apply_out_init(&a->compaction_out);
    a->compaction.out = &a->compaction_out;
    a->compaction_busy = true;
    if (api_propose_own(a, &a->compaction, ENTRY_COMPACTION,
                        slice_of(message, (size_t)(end - message)),
                        compacted)) {
        a->compaction_busy = false;
        api_compactor_done(&a->compactor, api_now_ms(a), false);
    }
}

void api_auto_compact_stop(struct api *a)
{
    if (a->compaction_busy) {
        replica_propose_cancel(a->config.replica, &a->compaction);
        apply_out_release(&a->compaction_out);
        a->compaction_busy = false;
    }
    api_compactor_release(&a->compactor);
}

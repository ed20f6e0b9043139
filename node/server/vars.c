/* /debug/vars: the process and Raft's state as one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/text.h"
#include "node.h"

enum { CMDLINE_BYTES_MAX = 64 << 10 };

static void put_cmdline(struct buf *out)
{
    struct buf text = BUF_INIT(CMDLINE_BYTES_MAX);
    FILE *f = fopen("/proc/self/cmdline", "re");
    if (f && buf_reserve(&text, text.max) == 0) {
        text.size = fread(text.data, 1, text.max, f);
    }
    if (f) {
        fclose(f);
    }
    buf_append_str(out, "\"cmdline\": [");
    for (size_t at = 0; at < text.size;) {
        size_t n = strnlen((char *)text.data + at, text.size - at);
        buf_append_str(out, at ? "," : "");
        text_json_string(out, slice_of(text.data + at, n));
        at += n + 1;
    }
    buf_append_str(out, "]");
    buf_release(&text);
}

static void put_progress(struct node *n, struct buf *out)
{
    static const char *const states[] = {"StateProbe", "StateReplicate",
                                         "StateSnapshot"};
    struct raft_progress all[MEMBERS_MAX];
    bool leads = replica_status(n->replica)->role == RAFT_LEADER;
    uint32_t count =
        leads ? raft_get_progress(replica_raft(n->replica), all, MEMBERS_MAX)
              : 0;
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out,
                   "%s\"%" PRIx64 "\":{\"match\":%" PRIu64 ",\"next\":%" PRIu64
                   ",\"state\":\"%s\"}",
                   i ? "," : "", all[i].id, all[i].match, all[i].next,
                   states[all[i].state]);
    }
}

static void put_raft(struct node *n, struct buf *out)
{
    static const char *const roles[] = {"StateFollower", "StatePreCandidate",
                                        "StateCandidate", "StateLeader"};
    const struct raft_status *now = replica_status(n->replica);
    buf_printf(out,
               "\"raft.status\": {\"id\":\"%" PRIx64 "\",\"term\":%" PRIu64
               ",\"vote\":\"%" PRIx64 "\",\"commit\":%" PRIu64
               ",\"lead\":\"%" PRIx64 "\",\"raftState\":\"%s\","
               "\"applied\":%" PRIu64 ",\"progress\":{",
               n->id, now->term, now->vote, now->commit, now->leader,
               roles[now->role], now->applied);
    put_progress(n, out);
    buf_append_str(out, "},\"leadtransferee\":\"0\"}");
}

void node_vars_json(void *ctx, struct buf *out)
{
    struct node *n = ctx;
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    buf_append_str(out, "{\n");
    put_cmdline(out);
    buf_printf(out, ",\n\"file_descriptor_limit\": %" PRIu64 ",\n",
               (uint64_t)files.rlim_cur);
    buf_printf(out, "\"memstats\": {\"Sys\":%" PRIu64 "},\n",
               node_resident_bytes());
    put_raft(n, out);
    buf_append_str(out, "\n}\n");
}

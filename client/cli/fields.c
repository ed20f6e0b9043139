/* The "fields" format: one line a field, "Name" : value. */
#include <inttypes.h>

#include "base/text.h"
#include "cli.h"

void cli_field_i64(const char *name, int64_t v)
{
    printf("\"%s\" : %" PRId64 "\n", name, v);
}

void cli_field_u64(const char *name, uint64_t v)
{
    printf("\"%s\" : %" PRIu64 "\n", name, v);
}

void cli_field_id(struct cli *x, const char *name, uint64_t id)
{
    if (x->hex) {
        printf("\"%s\" : %" PRIx64 "\n", name, id);
    } else {
        cli_field_u64(name, id);
    }
}

void cli_field_bool(const char *name, bool v)
{
    printf("\"%s\" : %s\n", name, v ? "true" : "false");
}

void cli_field_quoted(const char *name, struct slice v)
{
    struct buf quoted = BUF_INIT(SIZE_MAX);
    text_quote(&quoted, v);
    printf("\"%s\" : ", name);
    fwrite(quoted.data, 1, quoted.size, stdout);
    putchar('\n');
    buf_release(&quoted);
}

void cli_fields_header(struct cli *x, const Pb__ResponseHeader *h)
{
    static const Pb__ResponseHeader none;
    h = h ? h : &none;
    cli_field_id(x, "ClusterID", h->cluster_id);
    cli_field_id(x, "MemberID", h->member_id);
    if (h->revision != 0) {
        cli_field_i64("Revision", h->revision);
    }
    cli_field_u64("RaftTerm", h->raft_term);
}

static const char *prefixed(char *out, size_t size, const char *prefix,
                            const char *name)
{
    snprintf(out, size, "%s%s", prefix, name);
    return out;
}

void cli_field_kv(struct cli *x, const char *prefix, const Pb__KeyValue *kv)
{
    char name[64];
    cli_field_quoted(prefixed(name, sizeof name, prefix, "Key"),
                     cli_bytes(kv->key));
    cli_field_i64(prefixed(name, sizeof name, prefix, "CreateRevision"),
                  kv->create_revision);
    cli_field_i64(prefixed(name, sizeof name, prefix, "ModRevision"),
                  kv->mod_revision);
    cli_field_i64(prefixed(name, sizeof name, prefix, "Version"), kv->version);
    cli_field_quoted(prefixed(name, sizeof name, prefix, "Value"),
                     cli_bytes(kv->value));
    if (x->hex) {
        printf("\"%sLease\" : %016" PRIx64 "\n", prefix, (uint64_t)kv->lease);
    } else {
        cli_field_i64(prefixed(name, sizeof name, prefix, "Lease"), kv->lease);
    }
}

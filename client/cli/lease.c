/* lease grant, revoke, timetolive, list, keep-alive. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"

enum { ALL_BUT_TABLE = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF };

static int64_t read_lease_id(struct cli *x, const char *text)
{
    int64_t id = 0;
    const char *error =
        pflag_parse_number(&x->flags.arena, text, 16, true, &id);
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "bad lease ID arg (%s), expecting ID in Hex", error);
    }
    return id;
}

static void run_grant(struct cli *x, int argc, char **argv)
{
    Pb__LeaseGrantRequest request;
    char rest[128];
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "lease grant command needs TTL argument");
    }
    pb__lease_grant_request__init(&request);
    const char *error =
        pflag_parse_number(&x->flags.arena, argv[0], 10, true, &request.ttl);
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS, "bad TTL (%s)", error);
    }
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply = cli_call(
        x, "/etcdserverpb.Lease/LeaseGrant", &request.base,
        &pb__lease_grant_response__descriptor, "failed to grant lease");
    const Pb__LeaseGrantResponse *m =
        (const Pb__LeaseGrantResponse *)(const void *)cofre_reply_message(
            reply);
    switch (x->format) {
    case CLI_FIELDS:
        cli_fields_header(x, m->header);
        cli_field_i64("ID", m->id);
        cli_field_i64("TTL", m->ttl);
        break;
    case CLI_JSON:
        snprintf(rest, sizeof rest,
                 "\"ID\":%" PRId64 ",\"TTL\":%" PRId64 ",\"Error\":\"\"", m->id,
                 m->ttl);
        cli_print_flat_json(m->header, rest);
        break;
    case CLI_PROTOBUF:
        cli_print_header_protobuf(m->header);
        break;
    default:
        printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n",
               (uint64_t)m->id, m->ttl);
    }
    cofre_reply_free(reply);
}

static void run_revoke(struct cli *x, int argc, char **argv)
{
    Pb__LeaseRevokeRequest request;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "lease revoke command needs 1 argument");
    }
    pb__lease_revoke_request__init(&request);
    request.id = read_lease_id(x, argv[0]);
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply = cli_call(
        x, "/etcdserverpb.Lease/LeaseRevoke", &request.base,
        &pb__lease_revoke_response__descriptor, "failed to revoke lease");
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (cli_print_raw(x, m)) {
        return;
    }
    if (x->format == CLI_FIELDS) {
        cli_fields_header(
            x, ((const Pb__LeaseRevokeResponse *)(const void *)m)->header);
    } else {
        printf("lease %016" PRIx64 " revoked\n", (uint64_t)request.id);
    }
    cofre_reply_free(reply);
}

static void print_ttl_simple(const Pb__LeaseTimeToLiveResponse *m,
                             bool with_keys)
{
    if (m->grantedttl == 0 && m->ttl == -1) {
        printf("lease %016" PRIx64 " already expired\n", (uint64_t)m->id);
        return;
    }
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64
           "s), remaining(%" PRId64 "s)",
           (uint64_t)m->id, m->grantedttl, m->ttl);
    if (with_keys) {
        fputs(", attached keys([", stdout);
        for (size_t i = 0; i < m->n_keys; i++) {
            fputs(i > 0 ? " " : "", stdout);
            fwrite(m->keys[i].data, 1, m->keys[i].len, stdout);
        }
        fputs("])", stdout);
    }
    putchar('\n');
}

static void print_ttl_json(const Pb__LeaseTimeToLiveResponse *m)
{
    struct buf rest = BUF_INIT(SIZE_MAX);
    buf_printf(&rest,
               "\"id\":%" PRId64 ",\"ttl\":%" PRId64 ",\"granted-ttl\":%" PRId64
               ",\"keys\":%s",
               m->id, m->ttl, m->grantedttl, m->n_keys ? "[" : "null");
    for (size_t i = 0; i < m->n_keys; i++) {
        buf_append_str(&rest, i > 0 ? ",\"" : "\"");
        text_base64(&rest, cli_bytes(m->keys[i]));
        buf_append_byte(&rest, '"');
    }
    buf_append_str(&rest, m->n_keys ? "]" : "");
    buf_append_byte(&rest, 0);
    cli_print_flat_json(m->header, (const char *)rest.data);
    buf_release(&rest);
}

static void run_time_to_live(struct cli *x, int argc, char **argv)
{
    Pb__LeaseTimeToLiveRequest request;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "lease timetolive command needs lease ID as argument");
    }
    pb__lease_time_to_live_request__init(&request);
    request.id = read_lease_id(x, argv[0]);
    request.keys = pflag_bool(&x->flags, "keys");
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Lease/LeaseTimeToLive", &request.base,
                 &pb__lease_time_to_live_response__descriptor, NULL);
    const Pb__LeaseTimeToLiveResponse *m =
        (const Pb__LeaseTimeToLiveResponse *)(const void *)cofre_reply_message(
            reply);
    switch (x->format) {
    case CLI_FIELDS:
        cli_fields_header(x, m->header);
        cli_field_i64("ID", m->id);
        cli_field_i64("TTL", m->ttl);
        cli_field_i64("GrantedTTL", m->grantedttl);
        for (size_t i = 0; i < m->n_keys; i++) {
            cli_field_quoted("Key", cli_bytes(m->keys[i]));
        }
        break;
    case CLI_JSON:
        print_ttl_json(m);
        break;
    case CLI_PROTOBUF:
        cli_print_header_protobuf(m->header);
        break;
    default:
        print_ttl_simple(m, request.keys);
    }
    cofre_reply_free(reply);
}

static void print_list_json(const Pb__LeaseLeasesResponse *m)
{
    struct buf rest = BUF_INIT(SIZE_MAX);
    buf_append_str(&rest, "\"leases\":[");
    for (size_t i = 0; i < m->n_leases; i++) {
        buf_printf(&rest, "%s{\"id\":%" PRId64 "}", i > 0 ? "," : "",
                   m->leases[i]->id);
    }
    buf_append_byte(&rest, ']');
    buf_append_byte(&rest, 0);
    cli_print_flat_json(m->header, (const char *)rest.data);
    buf_release(&rest);
}

static void run_list(struct cli *x, int argc, char **argv)
{
    Pb__LeaseLeasesRequest request;
    pb__lease_leases_request__init(&request);
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Lease/LeaseLeases", &request.base,
                 &pb__lease_leases_response__descriptor, NULL);
    const Pb__LeaseLeasesResponse *m =
        (const Pb__LeaseLeasesResponse *)(const void *)cofre_reply_message(
            reply);
    switch (x->format) {
    case CLI_JSON:
        print_list_json(m);
        break;
    case CLI_PROTOBUF:
        cli_print_header_protobuf(m->header);
        break;
    case CLI_FIELDS:
        cli_fields_header(x, m->header);
        for (size_t i = 0; i < m->n_leases; i++) {
            cli_field_i64("ID", m->leases[i]->id);
        }
        break;
    default:
        printf("found %zu leases\n", m->n_leases);
        for (size_t i = 0; i < m->n_leases; i++) {
            printf("%016" PRIx64 "\n", (uint64_t)m->leases[i]->id);
        }
    }
    cofre_reply_free(reply);
}

struct renewal {
    struct cli *x;
    int64_t ttl_s; /* of the last answer; 0: the lease is gone */
};

static void print_renewal(struct cli *x, const Pb__LeaseKeepAliveResponse *m)
{
    char rest[96];
    switch (x->format) {
    case CLI_FIELDS:
        cli_fields_header(x, m->header);
        cli_field_i64("ID", m->id);
        cli_field_i64("TTL", m->ttl);
        break;
    case CLI_JSON:
        snprintf(rest, sizeof rest, "\"ID\":%" PRId64 ",\"TTL\":%" PRId64,
                 m->id, m->ttl);
        cli_print_flat_json(m->header, rest);
        break;
    case CLI_PROTOBUF:
        cli_print_header_protobuf(m->header);
        break;
    default:
        printf("lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n",
               (uint64_t)m->id, m->ttl);
    }
    fflush(stdout);
}

/* --once */
static bool take_renewal(void *ctx, const ProtobufCMessage *message)
{
    struct renewal *r = ctx;
    const Pb__LeaseKeepAliveResponse *m =
        (const Pb__LeaseKeepAliveResponse *)(const void *)message;
    r->ttl_s = m->ttl;
    if (m->ttl > 0) {
        print_renewal(r->x, m);
    }
    return false;
}

static void renewed(void *ctx, const ProtobufCMessage *m, int64_t ttl_s)
{
    struct renewal *r = ctx;
    print_renewal(r->x, (const Pb__LeaseKeepAliveResponse *)(const void *)m);
}

static void not_renewed(void *ctx, int code, const char *text)
{
    struct renewal *r = ctx;
    cofre_stop(r->x->client);
}

static void renew_once(struct cli *x, int64_t id)
{
    struct renewal r = {.x = x};
    Pb__LeaseKeepAliveRequest request;
    pb__lease_keep_alive_request__init(&request);
    request.id = id;
    int code = cofre_stream(
        x->client, "/etcdserverpb.Lease/LeaseKeepAlive", &request.base, false,
        true, &pb__lease_keep_alive_response__descriptor, take_renewal, &r);
    if (code != COFRE_OK) {
        cli_exit(CLI_EXIT_BAD_CONNECTION, "%s",
                 cli_error_text(x->client, &x->flags.arena));
    }
    if (r.ttl_s <= 0) {
        cli_exit(CLI_EXIT_BAD_CONNECTION,
                 "etcdserver: requested lease not found");
    }
}

static void run_keep_alive(struct cli *x, int argc, char **argv)
{
    struct renewal r = {.x = x};
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "lease keep-alive command needs lease ID as argument");
    }
    int64_t id = read_lease_id(x, argv[0]);
    bool once = pflag_bool(&x->flags, "once");
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, once);
    if (once) {
        renew_once(x, id);
        return;
    }
    struct cofre_keeper *k =
        cofre_keeper_new(x->client, id, 0, renewed, not_renewed, &r);
    cofre_run(x->client);
    cofre_keeper_free(k);
    printf("lease %016" PRIx64 " expired or revoked.\n", (uint64_t)id);
}

static const struct pflag time_to_live_flags[] = {
    {"keys", PFLAG_BOOL, "false", "get the keys attached to the lease"},
    {NULL}};
static const struct pflag keep_alive_flags[] = {
    {"once", PFLAG_BOOL, "false", "renew it once and return"}, {NULL}};

static const struct cli_command grant = {
    .name = "grant",
    .arguments = "<ttl>",
    .summary = "Makes a lease",
    .parent = &cli_lease,
    .run = run_grant,
};
static const struct cli_command revoke_lease = {
    .name = "revoke",
    .arguments = "<leaseID>",
    .summary = "Ends a lease and deletes its keys",
    .parent = &cli_lease,
    .run = run_revoke,
};
static const struct cli_command time_to_live = {
    .name = "timetolive",
    .arguments = "<leaseID> [options]",
    .summary = "Shows what is left of a lease",
    .flags = time_to_live_flags,
    .parent = &cli_lease,
    .run = run_time_to_live,
};
static const struct cli_command list = {
    .name = "list",
    .summary = "Lists all leases",
    .parent = &cli_lease,
    .run = run_list,
};
static const struct cli_command keep_alive = {
    .name = "keep-alive",
    .arguments = "[options] <leaseID>",
    .summary = "Renews a lease again and again",
    .flags = keep_alive_flags,
    .parent = &cli_lease,
    .run = run_keep_alive,
};

const struct cli_command cli_lease = {
    .name = "lease",
    .summary = "Commands for leases",
    .group = "Key-value commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &grant, &revoke_lease, &time_to_live, &list, &keep_alive, NULL}};

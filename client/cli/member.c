/* member list, add, remove, update, promote. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli.h"
#include "net/net.h"

static uint64_t read_member_id(struct cli *x, int argc, char **argv)
{
    int64_t id = 0;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "member ID is not provided");
    }
    const char *error =
        pflag_parse_number(&x->flags.arena, argv[0], 16, false, &id);
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "bad member ID arg (%s), expecting ID in Hex", error);
    }
    return (uint64_t)id;
}

static void print_json(struct cli *x, const ProtobufCMessage *m)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    cli_json_message(&out, m, x->hex);
    buf_append_byte(&out, '\n');
    cli_print_buf(&out);
}

static char *join(struct arena *a, size_t count, char *const *parts)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s%s", i > 0 ? "," : "", parts[i]);
    }
    buf_append_byte(&out, 0);
    char *text = arena_strdup(a, (char *)out.data);
    buf_release(&out);
    return text;
}

enum { COLUMNS = 6 };

static void member_row(struct arena *a, const Pb__Member *m,
                       const char *row[COLUMNS])
{
    row[0] = arena_printf(a, "%" PRIx64, m->id);
    row[1] = *m->name ? "started" : "unstarted";
    row[2] = m->name;
    row[3] = join(a, m->n_peerurls, m->peerurls);
    row[4] = join(a, m->n_clienturls, m->clienturls);
    row[5] = m->islearner ? "true" : "false";
}

static void list_table(struct cli *x, const Pb__MemberListResponse *m)
{
    static const char *const heading[COLUMNS] = {
        "ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"};
    struct arena *a = &x->flags.arena;
    const char **cells =
        arena_alloc(a, (m->n_members + 1) * COLUMNS * sizeof *cells);
    struct buf out = BUF_INIT(SIZE_MAX);
    memcpy(cells, heading, sizeof heading);
    for (size_t i = 0; i < m->n_members; i++) {
        member_row(a, m->members[i], cells + (i + 1) * COLUMNS);
    }
    cli_table(&out, cells, COLUMNS, m->n_members + 1);
    cli_print_buf(&out);
}

static void list_simple(struct cli *x, const Pb__MemberListResponse *m)
{
    for (size_t i = 0; i < m->n_members; i++) {
        const char *row[COLUMNS];
        member_row(&x->flags.arena, m->members[i], row);
        for (size_t k = 0; k < COLUMNS; k++) {
            printf("%s%s", row[k], k + 1 < COLUMNS ? ", " : "\n");
        }
    }
}

static void list_fields(struct cli *x, const Pb__MemberListResponse *m)
{
    cli_fields_header(x, m->header);
    for (size_t i = 0; i < m->n_members; i++) {
        const Pb__Member *member = m->members[i];
        cli_field_id(x, "ID", member->id);
        cli_field_quoted("Name", slice_str(member->name));
        for (size_t k = 0; k < member->n_peerurls; k++) {
            cli_field_quoted("PeerURL", slice_str(member->peerurls[k]));
        }
        for (size_t k = 0; k < member->n_clienturls; k++) {
            cli_field_quoted("ClientURL", slice_str(member->clienturls[k]));
        }
        cli_field_bool("IsLearner", member->islearner);
        putchar('\n');
    }
}

static void run_list(struct cli *x, int argc, char **argv)
{
    const char *consistency = pflag_text(&x->flags, "consistency");
    Pb__MemberListRequest request;
    pb__member_list_request__init(&request);
    if (strcmp(consistency, "l") != 0 && strcmp(consistency, "s") != 0) {
        cli_exit(CLI_EXIT_BAD_FEATURE, "unknown consistency flag \"%s\"",
                 consistency);
    }
    request.linearizable = *consistency == 'l';
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF | CLI_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Cluster/MemberList", &request.base,
                 &pb__member_list_response__descriptor, NULL);
    const Pb__MemberListResponse *m =
        CLI_MESSAGE(Pb__MemberListResponse, reply);
    switch (x->format) {
    case CLI_JSON:
        print_json(x, &m->base);
        break;
    case CLI_FIELDS:
        list_fields(x, m);
        break;
    case CLI_TABLE:
        list_table(x, m);
        break;
    case CLI_SIMPLE:
        list_simple(x, m);
        break;
    case CLI_PROTOBUF:
        cli_print_raw(x, &m->base);
    }
    cofre_reply_free(reply);
}

/* Member URLs name a scheme, a host and a port, and no path. */
static void check_url(const char *text)
{
    struct url url;
    size_t scheme = strcspn(text, ":");
    bool known = (scheme == 4 && strncmp(text, "http", 4) == 0) ||
                 (scheme == 5 && strncmp(text, "https", 5) == 0) ||
                 (scheme == 4 && strncmp(text, "unix", 4) == 0) ||
                 (scheme == 5 && strncmp(text, "unixs", 5) == 0);
    if (!known) {
        cli_exit(CLI_EXIT_ERROR,
                 "URL scheme must be http, https, unix, or unixs: %s", text);
    }
    if (url_parse(text, &url) == 0) {
        return;
    }
    const char *rest = strstr(text, "://");
    const char *path = rest ? strchr(rest + 3, '/') : NULL;
    if (path && strchr(rest + 3, ':') && strchr(rest + 3, ':') < path) {
        cli_exit(CLI_EXIT_ERROR, "URL must not contain a path: %s", text);
    }
    cli_exit(CLI_EXIT_ERROR,
             "URL address does not have the form \"host:port\": %s", text);
}

static char **read_urls(struct cli *x, size_t *ret_count)
{
    const char *list = pflag_text(&x->flags, "peer-urls");
    struct arena *a = &x->flags.arena;
    if (*list == 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "member peer urls not provided");
    }
    char **urls = arena_alloc(a, (strlen(list) + 2) * sizeof *urls);
    size_t count = 0;
    for (const char *p = list;; p++) {
        size_t size = strcspn(p, ",");
        urls[count] = arena_printf(a, "%.*s", (int)size, p);
        check_url(urls[count++]);
        p += size;
        if (*p == 0) {
            *ret_count = count;
            return urls;
        }
    }
}

/* True for JSON and protobuf, printed. */
static bool print_raw(struct cli *x, const ProtobufCMessage *m)
{
    if (x->format == CLI_JSON) {
        print_json(x, m);
        return true;
    }
    return cli_print_raw(x, m);
}

static void print_added(const Pb__MemberAddResponse *m, const char *name,
                        const char *urls)
{
    struct buf cluster = BUF_INIT(SIZE_MAX);
    uint64_t cluster_id = m->header ? m->header->cluster_id : 0;
    uint64_t id = m->member ? m->member->id : 0;
    for (size_t i = 0; i < m->n_members; i++) {
        const Pb__Member *member = m->members[i];
        for (size_t k = 0; k < member->n_peerurls; k++) {
            buf_printf(&cluster, "%s%s=%s", cluster.size > 0 ? "," : "",
                       member->id == id ? name : member->name,
                       member->peerurls[k]);
        }
    }
    buf_append_byte(&cluster, 0);
    printf("Member %16" PRIx64 " added%s to cluster %16" PRIx64 "\n", id,
           m->member && m->member->islearner ? " as learner" : "", cluster_id);
    printf("\nETCD_NAME=\"%s\"\n"
           "ETCD_INITIAL_CLUSTER=\"%s\"\n"
           "ETCD_INITIAL_ADVERTISE_PEER_URLS=\"%s\"\n"
           "ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
           name, (char *)cluster.data, urls);
    buf_release(&cluster);
}

static void run_add(struct cli *x, int argc, char **argv)
{
    Pb__MemberAddRequest request;
    if (argc < 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "member name not provided");
    }
    if (argc > 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "too many arguments");
    }
    pb__member_add_request__init(&request);
    request.peerurls = read_urls(x, &request.n_peerurls);
    request.islearner = pflag_bool(&x->flags, "learner");
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    cli_connect(x, true);
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Cluster/MemberAdd", &request.base,
                 &pb__member_add_response__descriptor, NULL);
    if (!print_raw(x, cofre_reply_message(reply))) {
        print_added(CLI_MESSAGE(Pb__MemberAddResponse, reply), argv[0],
                    pflag_text(&x->flags, "peer-urls"));
    }
    cofre_reply_free(reply);
}

/* remove, update, promote: what happened to which member. */
static void change(struct cli *x, uint64_t id, const char *path,
                   const ProtobufCMessage *request,
                   const ProtobufCMessageDescriptor *answer, const char *done)
{
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    cli_connect(x, true);
    struct cofre_reply *reply = cli_call(x, path, request, answer, NULL);
    const ProtobufCMessage *m = cofre_reply_message(reply);
    if (!print_raw(x, m)) {
        const Pb__ResponseHeader *h = cli_header(m);
        printf("Member %16" PRIx64 " %s cluster %16" PRIx64 "\n", id, done,
               h ? h->cluster_id : 0);
    }
    cofre_reply_free(reply);
}

static void run_remove(struct cli *x, int argc, char **argv)
{
    Pb__MemberRemoveRequest request;
    pb__member_remove_request__init(&request);
    request.id = read_member_id(x, argc, argv);
    change(x, request.id, "/etcdserverpb.Cluster/MemberRemove", &request.base,
           &pb__member_remove_response__descriptor, "removed from");
}

static void run_update(struct cli *x, int argc, char **argv)
{
    Pb__MemberUpdateRequest request;
    pb__member_update_request__init(&request);
    request.id = read_member_id(x, argc, argv);
    request.peerurls = read_urls(x, &request.n_peerurls);
    change(x, request.id, "/etcdserverpb.Cluster/MemberUpdate", &request.base,
           &pb__member_update_response__descriptor, "updated in");
}

static void run_promote(struct cli *x, int argc, char **argv)
{
    Pb__MemberPromoteRequest request;
    pb__member_promote_request__init(&request);
    request.id = read_member_id(x, argc, argv);
    change(x, request.id, "/etcdserverpb.Cluster/MemberPromote", &request.base,
           &pb__member_promote_response__descriptor, "promoted in");
}

static const struct pflag list_flags[] = {
    {"consistency", PFLAG_STRING, "l", "linearizable (l) or serializable (s)"},
    {NULL}};
static const struct pflag add_flags[] = {
    {"learner", PFLAG_BOOL, "false", "add it without a vote"},
    {"peer-urls", PFLAG_STRING, "",
     "URLs for the other members, "
     "separated by commas"},
    {NULL}};
static const struct pflag update_flags[] = {{"peer-urls", PFLAG_STRING, "",
                                             "URLs for the other members, "
                                             "separated by commas"},
                                            {NULL}};

static const struct cli_command list = {
    .name = "list",
    .summary = "Lists the members of the cluster",
    .flags = list_flags,
    .parent = &cli_member,
    .run = run_list,
};
static const struct cli_command add = {
    .name = "add",
    .arguments = "<memberName> [options]",
    .summary = "Adds a member",
    .flags = add_flags,
    .parent = &cli_member,
    .run = run_add,
};
static const struct cli_command remove_member = {
    .name = "remove",
    .arguments = "<memberID>",
    .summary = "Removes a member",
    .parent = &cli_member,
    .run = run_remove,
};
static const struct cli_command update = {
    .name = "update",
    .arguments = "<memberID> [options]",
    .summary = "Changes a member's peer URLs",
    .flags = update_flags,
    .parent = &cli_member,
    .run = run_update,
};
static const struct cli_command promote = {
    .name = "promote",
    .arguments = "<memberID>",
    .summary = "Gives a learner its vote",
    .parent = &cli_member,
    .run = run_promote,
};

const struct cli_command cli_member = {
    .name = "member",
    .summary = "Commands for membership",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children = (const struct cli_command *const[]){
        &add, &remove_member, &update, &list, &promote, NULL}};

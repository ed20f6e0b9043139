/* endpoint health, status, hashkv: each endpoint asked by a client of its
 * own. */
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"

const struct pflag cli_cluster_flag[] = {
    {"cluster", PFLAG_BOOL, "false",
     "use all endpoints of the cluster's member list"},
    {NULL}};
static const struct pflag hashkv_flags[] = {
    {"cluster", PFLAG_BOOL, "false",
     "use all endpoints of the cluster's member list"},
    {"rev", PFLAG_INT, "0", "highest revision to hash (0: all)"},
    {NULL}};

static char **choose_endpoints(struct cli *x, size_t *ret_count)
{
    return pflag_bool(&x->flags, "cluster")
               ? cli_cluster_endpoints(x, ret_count)
               : cli_endpoints(x, ret_count);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- health ---- */

struct health {
    const char *endpoint;
    struct cofre *client;
    pthread_t thread;
    bool is_healthy;
    char took[40];
    char error[512];
};

/* Those that have answered, in the order in which they did. */
struct health_queue {
    pthread_mutex_t mutex;
    size_t count;
    struct health **done;
};

struct health_job {
    struct health *health;
    struct health_queue *queue;
};

static void add_alarms(struct health *h, const Pb__AlarmResponse *m)
{
    size_t used = 0;
    for (size_t i = 0; i < m->n_alarms && used < sizeof h->error / 2; i++) {
        const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
            &pb__alarm_type__descriptor, (int)m->alarms[i]->alarm);
        used += (size_t)snprintf(
            h->error + used, sizeof h->error - used, "%s%s ",
            i ? "" : "Active Alarm(s): ", v ? v->name : "UNKNOWN");
        h->is_healthy = false;
    }
}

static void check_alarms(struct health *h)
{
    struct cofre_reply *reply = NULL;
    Pb__AlarmRequest request;
    pb__alarm_request__init(&request);
    int code =
        cofre_call(h->client, "/etcdserverpb.Maintenance/Alarm", &request.base,
                   &pb__alarm_response__descriptor, &reply);
    if (code == COFRE_OK) {
        add_alarms(h, CLI_MESSAGE(Pb__AlarmResponse, reply));
    } else {
        h->is_healthy = false;
        snprintf(h->error, sizeof h->error, "Unable to fetch the alarm list");
    }
    cofre_reply_free(reply);
}

static void check_health(struct health *h)
{
    struct cofre_reply *reply = NULL;
    struct buf took = BUF_INIT(64);
    int64_t start = now_ns();
    int code = cofre_get(h->client, COFRE_STR("health"), NULL, &reply);
    text_duration(&took, now_ns() - start);
    snprintf(h->took, sizeof h->took, "%.*s", (int)took.size,
             (char *)took.data);
    buf_release(&took);
    cofre_reply_free(reply);
    /* A user without the right to read the key shows that all else works. */
    h->is_healthy = code == COFRE_OK || code == COFRE_PERMISSION_DENIED;
    if (!h->is_healthy) {
        snprintf(h->error, sizeof h->error, "%s", cofre_error_text(h->client));
    } else if (code == COFRE_OK) {
        check_alarms(h);
    }
}

static void *health_thread(void *ctx)
{
    struct health_job *job = ctx;
    check_health(job->health);
    pthread_mutex_lock(&job->queue->mutex);
    job->queue->done[job->queue->count++] = job->health;
    pthread_mutex_unlock(&job->queue->mutex);
    return NULL;
}

/* One endpoint needs no thread; that is the container's health check. */
static void check_all(struct health *all, size_t count,
                      struct health_queue *queue)
{
    struct health_job *jobs = mem_zalloc(count * sizeof *jobs);
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (struct health_job){&all[i], queue};
        if (count == 1) {
            health_thread(&jobs[i]);
        } else if (pthread_create(&all[i].thread, NULL, health_thread,
                                  &jobs[i]) != 0) {
            cli_exit(CLI_EXIT_ERROR, "no thread for an endpoint");
        }
    }
    for (size_t i = 0; count > 1 && i < count; i++) {
        pthread_join(all[i].thread, NULL);
    }
    free(jobs);
}

static void health_json(const struct health_queue *q)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    buf_append_byte(&out, '[');
    for (size_t i = 0; i < q->count; i++) {
        const struct health *h = q->done[i];
        buf_append_str(&out, i > 0 ? ",{\"endpoint\":" : "{\"endpoint\":");
        cli_json_string(&out, slice_str(h->endpoint));
        buf_printf(
            &out, ",\"health\":%s,\"took\":", h->is_healthy ? "true" : "false");
        cli_json_string(&out, slice_str(h->took));
        if (*h->error) {
            buf_append_str(&out, ",\"error\":");
            cli_json_string(&out, slice_str(h->error));
        }
        buf_append_byte(&out, '}');
    }
    buf_append_str(&out, "]\n");
    cli_print_buf(&out);
}

static void health_table(const struct health_queue *q)
{
    enum { COLUMNS = 4 };
    struct buf out = BUF_INIT(SIZE_MAX);
    const char **cells = mem_alloc((q->count + 1) * COLUMNS * sizeof *cells);
    const char *const heading[COLUMNS] = {"ENDPOINT", "HEALTH", "TOOK",
                                          "ERROR"};
    memcpy(cells, heading, sizeof heading);
    for (size_t i = 0; i < q->count; i++) {
        const char **row = cells + (i + 1) * COLUMNS;
        row[0] = q->done[i]->endpoint;
        row[1] = q->done[i]->is_healthy ? "true" : "false";
        row[2] = q->done[i]->took;
        row[3] = q->done[i]->error;
    }
    cli_table(&out, cells, COLUMNS, q->count + 1);
    cli_print_buf(&out);
    free(cells);
}

static void health_lines(struct cli *x, const struct health_queue *q)
{
    for (size_t i = 0; i < q->count; i++) {
        const struct health *h = q->done[i];
        if (x->format == CLI_FIELDS) {
            cli_field_quoted("Endpoint", slice_str(h->endpoint));
            cli_field_bool("Health", h->is_healthy);
            printf("\"Took\" : %s\n\"Error\" : %s\n\n", h->took, h->error);
        } else if (h->is_healthy) {
            printf("%s is healthy: successfully committed proposal: took = "
                   "%s\n",
                   h->endpoint, h->took);
        } else {
            fflush(stdout);
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n",
                    h->endpoint, h->error);
        }
    }
}

static void run_health(struct cli *x, int argc, char **argv)
{
    size_t count = 0;
    bool all_healthy = true;
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_TABLE);
    char **endpoints = choose_endpoints(x, &count);
    struct health *all = mem_zalloc((count + 1) * sizeof *all);
    struct health_queue queue = {
        .done = mem_zalloc((count + 1) * sizeof *queue.done)};
    pthread_mutex_init(&queue.mutex, NULL);
    for (size_t i = 0; i < count; i++) {
        all[i].endpoint = endpoints[i];
        all[i].client = cli_open_one(x, endpoints[i]);
    }
    check_all(all, count, &queue);
    if (x->format == CLI_JSON) {
        health_json(&queue);
    } else if (x->format == CLI_TABLE) {
        health_table(&queue);
    } else {
        health_lines(x, &queue);
    }
    for (size_t i = 0; i < count; i++) {
        all_healthy &= all[i].is_healthy;
        cofre_close(all[i].client);
    }
    free(all);
    free(queue.done);
    if (!all_healthy) {
        cli_exit(CLI_EXIT_ERROR, "unhealthy cluster");
    }
}

/* ---- status and hashkv ---- */

/* The answers of those endpoints that gave one. */
struct answers {
    size_t count;
    const char **endpoints;
    struct cofre_reply **replies;
    char *error; /* the last failure's text; NULL: none */
};

static void ask_all(struct cli *x, const char *path, const char *what,
                    const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *type, struct answers *ret)
{
    size_t count = 0;
    char **endpoints = choose_endpoints(x, &count);
    struct arena *a = &x->flags.arena;
    *ret = (struct answers){
        .endpoints = arena_alloc(a, (count + 1) * sizeof *ret->endpoints),
        .replies = arena_alloc(a, (count + 1) * sizeof *ret->replies),
    };
    for (size_t i = 0; i < count; i++) {
        struct cofre *c = cli_open_one(x, endpoints[i]);
        struct cofre_reply *reply = NULL;
        if (cofre_call(c, path, request, type, &reply) == COFRE_OK) {
            ret->endpoints[ret->count] = endpoints[i];
            ret->replies[ret->count++] = reply;
        } else {
            ret->error = arena_strdup(a, cli_error_text(c, a));
            fprintf(stderr, "Failed to get the %s of endpoint %s (%s)\n", what,
                    endpoints[i], ret->error);
        }
        cofre_close(c);
    }
}

static void answers_free(struct answers *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        cofre_reply_free(answers->replies[i]);
    }
}

static void answers_json(const struct answers *all, const char *name)
{
    struct buf out = BUF_INIT(SIZE_MAX);
    buf_append_str(&out, all->count ? "[" : "null");
    for (size_t i = 0; i < all->count; i++) {
        buf_append_str(&out, i > 0 ? ",{\"Endpoint\":" : "{\"Endpoint\":");
        cli_json_string(&out, slice_str(all->endpoints[i]));
        buf_printf(&out, ",\"%s\":", name);
        cli_json_message(&out, cofre_reply_message(all->replies[i]), false);
        buf_append_byte(&out, '}');
    }
    buf_append_str(&out, all->count ? "]\n" : "\n");
    cli_print_buf(&out);
}

static char *human(struct arena *a, int64_t size)
{
    struct buf text = BUF_INIT(64);
    cli_human_bytes(&text, (uint64_t)size);
    char *kept = arena_printf(a, "%.*s", (int)text.size, (char *)text.data);
    buf_release(&text);
    return kept;
}

static char *join_errors(struct arena *a, const Pb__StatusResponse *m,
                         const char *between)
{
    char *text = arena_strdup(a, "");
    for (size_t i = 0; i < m->n_errors; i++) {
        text = arena_printf(a, "%s%s%s", text, i ? between : "", m->errors[i]);
    }
    return text;
}

static const char *word(bool v)
{
    return v ? "true" : "false";
}

enum { STATUS_COLUMNS = 16 };

static void status_row(struct arena *a, const char *endpoint,
                       const Pb__StatusResponse *m,
                       const char *row[STATUS_COLUMNS])
{
    uint64_t id = m->header ? m->header->member_id : 0;
    int free_percent = m->dbsize > 0
                           ? (int)((double)(m->dbsize - m->dbsizeinuse) /
                                   (double)m->dbsize * 100)
                           : 0;
    row[0] = endpoint;
    row[1] = arena_printf(a, "%" PRIx64, id);
    row[2] = m->version;
    row[3] = m->storageversion;
    row[4] = human(a, m->dbsize);
    row[5] = human(a, m->dbsizeinuse);
    row[6] = arena_printf(a, "%d%%", free_percent);
    row[7] = human(a, m->dbsizequota);
    row[8] = word(m->leader == id);
    row[9] = word(m->islearner);
    row[10] = arena_printf(a, "%" PRIu64, m->raftterm);
    row[11] = arena_printf(a, "%" PRIu64, m->raftindex);
    row[12] = arena_printf(a, "%" PRIu64, m->raftappliedindex);
    row[13] = join_errors(a, m, ", ");
    row[14] = m->downgradeinfo ? m->downgradeinfo->targetversion : "";
    row[15] = word(m->downgradeinfo && m->downgradeinfo->enabled);
}

static void print_rows(struct cli *x, const char *const *cells, size_t columns,
                       size_t rows)
{
    if (x->format == CLI_TABLE) {
        struct buf out = BUF_INIT(SIZE_MAX);
        cli_table(&out, cells, columns, rows);
        cli_print_buf(&out);
        return;
    }
    for (size_t i = columns; i < columns * rows; i++) {
        printf("%s%s", cells[i], i % columns + 1 < columns ? ", " : "\n");
    }
}

static void status_rows(struct cli *x, const struct answers *all)
{
    static const char *const heading[STATUS_COLUMNS] = {
        "ENDPOINT",
        "ID",
        "VERSION",
        "STORAGE VERSION",
        "DB SIZE",
        "IN USE",
        "PERCENTAGE NOT IN USE",
        "QUOTA",
        "IS LEADER",
        "IS LEARNER",
        "RAFT TERM",
        "RAFT INDEX",
        "RAFT APPLIED INDEX",
        "ERRORS",
        "DOWNGRADE TARGET VERSION",
        "DOWNGRADE ENABLED"};
    struct arena *a = &x->flags.arena;
    const char **cells =
        arena_alloc(a, (all->count + 1) * STATUS_COLUMNS * sizeof *cells);
    memcpy(cells, heading, sizeof heading);
    for (size_t i = 0; i < all->count; i++) {
        status_row(a, all->endpoints[i],
                   CLI_MESSAGE(Pb__StatusResponse, all->replies[i]),
                   cells + (i + 1) * STATUS_COLUMNS);
    }
    print_rows(x, cells, STATUS_COLUMNS, all->count + 1);
}

static void status_fields(struct cli *x, const char *endpoint,
                          const Pb__StatusResponse *m)
{
    const Pb__DowngradeInfo *d = m->downgradeinfo;
    cli_fields_header(x, m->header);
    cli_field_quoted("Version", slice_str(m->version));
    cli_field_quoted("StorageVersion", slice_str(m->storageversion));
    cli_field_i64("DBSize", m->dbsize);
    cli_field_i64("DBSizeInUse", m->dbsizeinuse);
    cli_field_i64("DBSizeQuota", m->dbsizequota);
    cli_field_u64("Leader", m->leader);
    cli_field_bool("IsLearner", m->islearner);
    cli_field_u64("RaftIndex", m->raftindex);
    cli_field_u64("RaftTerm", m->raftterm);
    cli_field_u64("RaftAppliedIndex", m->raftappliedindex);
    printf("\"Errors\" : [%s]\n", join_errors(&x->flags.arena, m, " "));
    cli_field_quoted("Endpoint", slice_str(endpoint));
    cli_field_quoted("DowngradeTargetVersion",
                     slice_str(d ? d->targetversion : ""));
    cli_field_bool("DowngradeEnabled", d && d->enabled);
    putchar('\n');
}

static void run_status(struct cli *x, int argc, char **argv)
{
    struct answers all;
    Pb__StatusRequest request;
    pb__status_request__init(&request);
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_TABLE);
    ask_all(x, "/etcdserverpb.Maintenance/Status", "status", &request.base,
            &pb__status_response__descriptor, &all);
    if (x->format == CLI_JSON) {
        answers_json(&all, "Status");
    } else if (x->format == CLI_FIELDS) {
        for (size_t i = 0; i < all.count; i++) {
            status_fields(x, all.endpoints[i],
                          CLI_MESSAGE(Pb__StatusResponse, all.replies[i]));
        }
    } else {
        status_rows(x, &all);
    }
    answers_free(&all);
    if (all.error) {
        cli_quit(CLI_EXIT_ERROR);
    }
}

static void hash_rows(struct cli *x, const struct answers *all)
{
    enum { COLUMNS = 3 };
    static const char *const heading[COLUMNS] = {"ENDPOINT", "HASH",
                                                 "HASH REVISION"};
    struct arena *a = &x->flags.arena;
    const char **cells =
        arena_alloc(a, (all->count + 1) * COLUMNS * sizeof *cells);
    memcpy(cells, heading, sizeof heading);
    for (size_t i = 0; i < all->count; i++) {
        const char **row = cells + (i + 1) * COLUMNS;
        const Pb__HashKVResponse *m =
            CLI_MESSAGE(Pb__HashKVResponse, all->replies[i]);
        row[0] = all->endpoints[i];
        row[1] = arena_printf(a, "%u", m->hash);
        row[2] = arena_printf(a, "%" PRId64, m->hash_revision);
    }
    print_rows(x, cells, COLUMNS, all->count + 1);
}

static void run_hashkv(struct cli *x, int argc, char **argv)
{
    struct answers all;
    Pb__HashKVRequest request;
    pb__hash_kvrequest__init(&request);
    request.revision = pflag_int(&x->flags, "rev");
    cli_begin(x, CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_TABLE);
    ask_all(x, "/etcdserverpb.Maintenance/HashKV", "hash", &request.base,
            &pb__hash_kvresponse__descriptor, &all);
    if (x->format == CLI_JSON) {
        answers_json(&all, "HashKV");
    } else if (x->format == CLI_FIELDS) {
        for (size_t i = 0; i < all.count; i++) {
            const Pb__HashKVResponse *m =
                CLI_MESSAGE(Pb__HashKVResponse, all.replies[i]);
            cli_fields_header(x, m->header);
            cli_field_quoted("Endpoint", slice_str(all.endpoints[i]));
            cli_field_u64("Hash", m->hash);
            cli_field_i64("HashRevision", m->hash_revision);
            putchar('\n');
        }
    } else {
        hash_rows(x, &all);
    }
    answers_free(&all);
    if (all.error) {
        cli_exit(CLI_EXIT_ERROR, "%s", all.error);
    }
}

static const struct cli_command health = {
    .name = "health",
    .summary = "Tells whether the endpoints work",
    .flags = cli_cluster_flag,
    .parent = &cli_endpoint,
    .run = run_health,
};
static const struct cli_command status = {
    .name = "status",
    .summary = "Prints the state of the endpoints",
    .flags = cli_cluster_flag,
    .parent = &cli_endpoint,
    .run = run_status,
};
static const struct cli_command hashkv = {
    .name = "hashkv",
    .summary = "Prints the hash of the endpoints' key-value history",
    .flags = hashkv_flags,
    .parent = &cli_endpoint,
    .run = run_hashkv,
};

const struct cli_command cli_endpoint = {
    .name = "endpoint",
    .summary = "Commands for endpoints",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children =
        (const struct cli_command *const[]){&health, &status, &hashkv, NULL}};

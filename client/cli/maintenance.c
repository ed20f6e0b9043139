/* alarm, defrag, move-leader, downgrade. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli.h"

enum { ALL_BUT_TABLE = CLI_SIMPLE | CLI_FIELDS | CLI_JSON | CLI_PROTOBUF };

static const char *alarm_name(Pb__AlarmType type)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
        &pb__alarm_type__descriptor, (int)type);
    return v ? v->name : "UNKNOWN";
}

static void print_alarms(struct cli *x, const Pb__AlarmResponse *m)
{
    if (cli_print_raw(x, &m->base)) {
        return;
    }
    if (x->format == CLI_FIELDS) {
        cli_fields_header(x, m->header);
    }
    for (size_t i = 0; i < m->n_alarms; i++) {
        const Pb__AlarmMember *alarm = m->alarms[i];
        if (x->format == CLI_FIELDS) {
            cli_field_u64("MemberID", alarm->memberid);
            printf("\"AlarmType\" : %s\n\n", alarm_name(alarm->alarm));
        } else {
            printf("memberID:%" PRIu64 " alarm:%s\n", alarm->memberid,
                   alarm_name(alarm->alarm));
        }
    }
}

static struct cofre_reply *call_alarm(struct cli *x, int action,
                                      const Pb__AlarmMember *of)
{
    Pb__AlarmRequest request;
    pb__alarm_request__init(&request);
    request.action = (Pb__AlarmRequest__AlarmAction)action;
    if (of) {
        request.memberid = of->memberid;
        request.alarm = of->alarm;
    }
    return cli_call(x, "/etcdserverpb.Maintenance/Alarm", &request.base,
                    &pb__alarm_response__descriptor, NULL);
}

static void run_alarm_list(struct cli *x, int argc, char **argv)
{
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS, "alarm list command accepts no arguments");
    }
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *reply =
        call_alarm(x, PB__ALARM_REQUEST__ALARM_ACTION__GET, NULL);
    print_alarms(x, CLI_MESSAGE(Pb__AlarmResponse, reply));
    cofre_reply_free(reply);
}

/* Each alarm that is raised, one after the other; the answer that is
 * printed is put together here and so has no header. */
static void run_alarm_disarm(struct cli *x, int argc, char **argv)
{
    Pb__AlarmResponse all;
    if (argc > 0) {
        cli_exit(CLI_EXIT_BAD_ARGS,
                 "alarm disarm command accepts no arguments");
    }
    pb__alarm_response__init(&all);
    cli_begin(x, ALL_BUT_TABLE);
    cli_connect(x, true);
    struct cofre_reply *raised =
        call_alarm(x, PB__ALARM_REQUEST__ALARM_ACTION__GET, NULL);
    const Pb__AlarmResponse *m = CLI_MESSAGE(Pb__AlarmResponse, raised);
    for (size_t i = 0; i < m->n_alarms; i++) {
        struct cofre_reply *reply = call_alarm(
            x, PB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE, m->alarms[i]);
        const Pb__AlarmResponse *gone = CLI_MESSAGE(Pb__AlarmResponse, reply);
        all.alarms =
            mem_realloc(all.alarms, (all.n_alarms + gone->n_alarms + 1) *
                                        sizeof *all.alarms);
        for (size_t k = 0; k < gone->n_alarms; k++) {
            Pb__AlarmMember *copy =
                arena_dup(&x->flags.arena, gone->alarms[k], sizeof *copy);
            all.alarms[all.n_alarms++] = copy;
        }
        cofre_reply_free(reply);
    }
    print_alarms(x, &all);
    free(all.alarms);
    cofre_reply_free(raised);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool defrag_one(struct cli *x, const char *endpoint)
{
    Pb__DefragmentRequest request;
    struct cofre_reply *reply = NULL;
    struct buf took = BUF_INIT(64);
    struct cofre *c = cli_open_one(x, endpoint);
    int64_t start = now_ns();
    pb__defragment_request__init(&request);
    int code =
        cofre_call(c, "/etcdserverpb.Maintenance/Defragment", &request.base,
                   &pb__defragment_response__descriptor, &reply);
    text_duration(&took, now_ns() - start);
    if (code == COFRE_OK) {
        printf("Finished defragmenting etcd member[%s]. took %.*s\n", endpoint,
               (int)took.size, (char *)took.data);
        fflush(stdout);
    } else {
        fprintf(stderr,
                "Failed to defragment etcd member[%s]. took %.*s. (%s)\n",
                endpoint, (int)took.size, (char *)took.data,
                cli_error_text(c, &x->flags.arena));
    }
    buf_release(&took);
    cofre_reply_free(reply);
    cofre_close(c);
    return code == COFRE_OK;
}

void cli_run_defrag(struct cli *x, int argc, char **argv)
{
    size_t count = 0;
    bool ok = true;
    cli_begin(x, CLI_TEXT_ONLY);
    char **endpoints = pflag_bool(&x->flags, "cluster")
                           ? cli_cluster_endpoints(x, &count)
                           : cli_endpoints(x, &count);
    for (size_t i = 0; i < count; i++) {
        ok &= defrag_one(x, endpoints[i]);
    }
    if (!ok) {
        cli_quit(CLI_EXIT_ERROR);
    }
}

/* The endpoint that says it is the leader; the process ends without one. */
static const char *find_leader(struct cli *x, uint64_t *ret_id)
{
    size_t count = 0;
    char **endpoints = cli_endpoints(x, &count);
    struct buf list = BUF_INIT(SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct cofre_status s;
        struct cofre *c = cli_open_one(x, endpoints[i]);
        int code = cofre_status(c, &s);
        if (code != COFRE_OK) {
            cli_exit(CLI_EXIT_ERROR, "%s", cli_error_text(c, &x->flags.arena));
        }
        cofre_close(c);
        if (s.leader == s.member_id && s.leader != 0) {
            *ret_id = s.leader;
            buf_release(&list);
            return endpoints[i];
        }
        buf_printf(&list, "%s%s", i > 0 ? " " : "", endpoints[i]);
    }
    cli_exit(CLI_EXIT_BAD_ARGS, "no leader endpoint given at [%.*s]",
             (int)list.size, (char *)list.data);
}

void cli_run_move_leader(struct cli *x, int argc, char **argv)
{
    Pb__MoveLeaderRequest request;
    int64_t target = 0;
    uint64_t leader = 0;
    if (argc != 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "move-leader command needs 1 argument");
    }
    const char *error =
        pflag_parse_number(&x->flags.arena, argv[0], 16, false, &target);
    if (error) {
        cli_exit(CLI_EXIT_BAD_ARGS, "%s", error);
    }
    pb__move_leader_request__init(&request);
    request.targetid = (uint64_t)target;
    cli_begin(x, ALL_BUT_TABLE);
    x->client = cli_open_one(x, find_leader(x, &leader));
    struct cofre_reply *reply =
        cli_call(x, "/etcdserverpb.Maintenance/MoveLeader", &request.base,
                 &pb__move_leader_response__descriptor, NULL);
    if (!cli_print_raw(x, cofre_reply_message(reply))) {
        printf("Leadership transferred from %" PRIx64 " to %" PRIx64 "\n",
               leader, request.targetid);
    }
    cofre_reply_free(reply);
}

static void downgrade(struct cli *x, int argc, char **argv, int action,
                      const char *word)
{
    Pb__DowngradeRequest request;
    pb__downgrade_request__init(&request);
    request.action = (Pb__DowngradeRequest__DowngradeAction)action;
    bool needs_version =
        action != (int)PB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    if (needs_version && argc < 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "TARGET_VERSION not provided");
    }
    if (needs_version && argc > 1) {
        cli_exit(CLI_EXIT_BAD_ARGS, "too many arguments");
    }
    if (needs_version) {
        request.version = argv[0];
    }
    cli_begin(x, CLI_SIMPLE | CLI_JSON | CLI_PROTOBUF);
    struct cofre_reply *reply =
        cli_ask(x, "/etcdserverpb.Maintenance/Downgrade", &request.base,
                &pb__downgrade_response__descriptor);
    if (x->format == CLI_SIMPLE) {
        printf("Downgrade %s success, cluster version %s\n", word,
               CLI_MESSAGE(Pb__DowngradeResponse, reply)->version);
    }
    cofre_reply_free(reply);
}

static void run_validate(struct cli *x, int argc, char **argv)
{
    downgrade(x, argc, argv, PB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE,
              "validate");
}

static void run_enable(struct cli *x, int argc, char **argv)
{
    downgrade(x, argc, argv, PB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE,
              "enable");
}

static void run_cancel(struct cli *x, int argc, char **argv)
{
    downgrade(x, argc, argv, PB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL,
              "cancel");
}

static const struct cli_command alarm_list = {
    .name = "list",
    .summary = "Lists all alarms",
    .parent = &cli_alarm,
    .run = run_alarm_list,
};
static const struct cli_command alarm_disarm = {
    .name = "disarm",
    .summary = "Takes all alarms back",
    .parent = &cli_alarm,
    .run = run_alarm_disarm,
};
const struct cli_command cli_alarm = {
    .name = "alarm",
    .summary = "Commands for alarms",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children =
        (const struct cli_command *const[]){&alarm_disarm, &alarm_list, NULL}};

static const struct cli_command validate = {
    .name = "validate",
    .arguments = "<TARGET_VERSION>",
    .summary = "Checks whether the cluster can go back to a version",
    .parent = &cli_downgrade,
    .run = run_validate,
};
static const struct cli_command enable = {
    .name = "enable",
    .arguments = "<TARGET_VERSION>",
    .summary = "Begins going back to a version",
    .parent = &cli_downgrade,
    .run = run_enable,
};
static const struct cli_command cancel = {
    .name = "cancel",
    .summary = "Ends going back to a version",
    .parent = &cli_downgrade,
    .run = run_cancel,
};
const struct cli_command cli_downgrade = {
    .name = "downgrade",
    .summary = "Commands for going back to an older version",
    .group = "Cluster maintenance commands",
    .parent = &cli_root,
    .children =
        (const struct cli_command *const[]){&validate, &enable, &cancel, NULL}};

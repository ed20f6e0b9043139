/*
 * Plays scenarios/<name>.txt: a line at the margin is a command, the
 * indented lines below it are what it printed. The test plays the commands
 * and compares the whole text; with RAFT_SCENARIO_WRITE set it writes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "cluster.h"

enum { TEXT_MAX = 1 << 20, WORDS_MAX = 8 };

struct play {
    struct cluster *c;
    struct raft_config config;
    struct buf out; /* what the command printed */
};

static uint64_t number(const char *word)
{
    return word ? strtoull(word, NULL, 10) : 0;
}

static void print_status(struct play *p, uint64_t id)
{
    struct raft_status s = cluster_status(p->c, id);
    buf_printf(&p->out,
               "%" PRIu64 " %s term %" PRIu64 " leader %" PRIu64
               " commit %" PRIu64 " applied %" PRIu64 " log %" PRIu64
               "..%" PRIu64,
               id, cluster_role_names[s.role], s.term, s.leader, s.commit,
               s.applied, s.first_index, s.last_index);
    if (s.is_learner) {
        buf_append_str(&p->out, " learner");
    }
    if (s.transferee) {
        buf_printf(&p->out, " transferee %" PRIu64, s.transferee);
    }
    buf_append_str(&p->out, "\n");
}

static void print_progress(struct play *p, uint64_t id)
{
    static const char *const names[] = {"probe", "replicate", "snapshot"};
    struct raft_progress list[CLUSTER_MAX];
    uint32_t count = raft_get_progress(p->c->nodes[id].raft, list, CLUSTER_MAX);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&p->out,
                   "%" PRIu64 " %s match %" PRIu64 " next %" PRIu64 "%s%s\n",
                   list[i].id, names[list[i].state], list[i].match,
                   list[i].next, list[i].is_learner ? " learner" : "",
                   list[i].recent_active ? "" : " silent");
    }
}

static void print_reads(struct play *p, uint64_t id)
{
    struct cluster_node *n = &p->c->nodes[id];
    for (uint32_t i = 0; i < n->read_count; i++) {
        buf_printf(&p->out, "request %" PRIu64 " index %" PRIu64 "\n",
                   n->reads[i].request, n->reads[i].index);
    }
    n->read_count = 0;
}

static void print_failure(struct play *p, int err)
{
    if (err) {
        buf_printf(&p->out, "%s\n", err_name(err));
    }
}

/* ---- commands: what they look at, and what they do ---- */

static bool look(struct play *p, char **w)
{
    uint64_t id = number(w[1]);
    if (strcmp(w[0], "status") == 0) {
        for (uint64_t i = 1; i <= CLUSTER_MAX; i++) {
            if (p->c->nodes[i].raft && (id == 0 || id == i)) {
                print_status(p, i);
            }
        }
    } else if (strcmp(w[0], "progress") == 0) {
        print_progress(p, id);
    } else if (strcmp(w[0], "applied") == 0) {
        buf_append_str(&p->out, cluster_applied(p->c, id));
    } else if (strcmp(w[0], "reads") == 0) {
        print_reads(p, id);
    } else if (strcmp(w[0], "trace") == 0) {
        p->c->trace = strcmp(w[1], "off") == 0 ? NULL : &p->out;
        p->c->notes = strcmp(w[1], "notes") == 0;
    } else {
        return false;
    }
    return true;
}

static void option(struct play *p, const char *name, uint64_t value)
{
    if (strcmp(name, "pre_vote") == 0) {
        p->config.pre_vote = value;
    } else if (strcmp(name, "check_quorum") == 0) {
        p->config.check_quorum = value;
    } else if (strcmp(name, "inflight_max") == 0) {
        p->config.inflight_max = (uint32_t)value;
    } else if (strcmp(name, "message_bytes_max") == 0) {
        p->config.message_bytes_max = (uint32_t)value;
    } else if (strcmp(name, "uncommitted_bytes_max") == 0) {
        p->config.uncommitted_bytes_max = value;
    } else if (strcmp(name, "log_bytes_max") == 0) {
        p->config.log_bytes_max = value;
    } else if (strcmp(name, "log_bytes_waited_max") == 0) {
        p->config.log_bytes_waited_max = value;
    } else {
        fail_msg("unknown option %s", name);
    }
}

static bool set_up(struct play *p, char **w)
{
    uint64_t id = number(w[1]);
    if (strcmp(w[0], "option") == 0) {
        option(p, w[1], number(w[2]));
    } else if (strcmp(w[0], "cluster") == 0) {
        cluster_bootstrap(p->c, (uint32_t)id, (uint32_t)number(w[2]),
                          &p->config);
    } else if (strcmp(w[0], "start-empty") == 0) {
        cluster_start_empty(p->c, id);
    } else if (strcmp(w[0], "crash") == 0) {
        cluster_crash(p->c, id);
    } else if (strcmp(w[0], "restart") == 0) {
        cluster_restart(p->c, id);
    } else {
        return false;
    }
    return true;
}

static bool disturb(struct play *p, char **w)
{
    uint64_t id = number(w[1]);
    if (strcmp(w[0], "isolate") == 0) {
        cluster_isolate(p->c, id);
    } else if (strcmp(w[0], "cut") == 0) {
        p->c->cut[id][number(w[2])] = true; /* one way */
    } else if (strcmp(w[0], "heal") == 0) {
        cluster_heal(p->c);
    } else if (strcmp(w[0], "lose-images") == 0) {
        p->c->images_lost = id;
    } else if (strcmp(w[0], "hold-disk") == 0) {
        p->c->nodes[id].disk_held = true;
    } else if (strcmp(w[0], "free-disk") == 0) {
        p->c->nodes[id].disk_held = false;
    } else if (strcmp(w[0], "write-one") == 0) {
        cluster_write_one(p->c, id);
    } else {
        return false;
    }
    return true;
}

static enum raft_conf_change_type change_named(const char *name)
{
    if (strcmp(name, "add") == 0) {
        return RAFT_CONF_ADD_NODE;
    }
    if (strcmp(name, "add-learner") == 0) {
        return RAFT_CONF_ADD_LEARNER;
    }
    if (strcmp(name, "update") == 0) {
        return RAFT_CONF_UPDATE_NODE;
    }
    assert_string_equal(name, "remove");
    return RAFT_CONF_REMOVE_NODE;
}

/* say FROM TO TYPE TERM [INDEX LOG-TERM COMMIT]: a message from nowhere, as
 * an old one that comes late, or again. */
static void say(struct play *p, char **w)
{
    static const struct {
        const char *name;
        enum raft_message_type type;
    } types[] = {
        {"app", RAFT_MSG_APP},
        {"app-resp", RAFT_MSG_APP_RESP},
        {"vote", RAFT_MSG_VOTE},
        {"vote-resp", RAFT_MSG_VOTE_RESP},
        {"heartbeat", RAFT_MSG_HEARTBEAT},
        {"timeout-now", RAFT_MSG_TIMEOUT_NOW},
    };
    struct raft_message m = {
        .from = number(w[1]), .to = number(w[2]), .term = number(w[4])};
    size_t i = 0;
    while (i < sizeof types / sizeof *types &&
           strcmp(w[3], types[i].name) != 0) {
        i++;
    }
    assert_true(i < sizeof types / sizeof *types);
    m.type = types[i].type;
    m.index = number(w[5]);
    m.log_term = m.index ? number(w[6]) : 0;
    m.commit = m.index ? number(w[7]) : 0;
    print_failure(p, raft_step(p->c->nodes[m.to].raft, &m));
}

static bool act(struct play *p, char **w)
{
    uint64_t id = number(w[1]);
    struct raft *raft = id <= CLUSTER_MAX ? p->c->nodes[id].raft : NULL;
    if (strcmp(w[0], "tick") == 0) {
        cluster_tick(p->c, id, (uint32_t)number(w[2]));
    } else if (strcmp(w[0], "settle") == 0) {
        cluster_settle(p->c);
    } else if (strcmp(w[0], "pass") == 0) {
        cluster_pass(p->c, id);
    } else if (strcmp(w[0], "deliver") == 0) {
        cluster_deliver_one(p->c);
    } else if (strcmp(w[0], "campaign") == 0) {
        raft_campaign(raft);
    } else if (strcmp(w[0], "propose") == 0) {
        print_failure(p, cluster_propose(p->c, id, w[2]));
    } else if (strcmp(w[0], "conf") == 0) {
        print_failure(p, cluster_propose_conf(p->c, id, change_named(w[2]),
                                              number(w[3])));
    } else if (strcmp(w[0], "read") == 0) {
        print_failure(p, raft_read_index(raft, number(w[2])));
    } else if (strcmp(w[0], "say") == 0) {
        say(p, w);
    } else if (strcmp(w[0], "transfer") == 0) {
        raft_transfer_leader(raft, number(w[2]));
    } else if (strcmp(w[0], "unreachable") == 0) {
        raft_report_unreachable(raft, number(w[2]));
    } else if (strcmp(w[0], "compact") == 0) {
        raft_compact(raft, number(w[2]));
    } else if (strcmp(w[0], "snapshot") == 0) {
        cluster_snapshot(p->c, id);
    } else {
        return false;
    }
    return true;
}

static void run_command(struct play *p, char *line)
{
    char *words[WORDS_MAX + 1] = {NULL};
    char *rest = line;
    for (int i = 0; i < WORDS_MAX; i++) {
        words[i] = strtok_r(i ? NULL : line, " ", &rest);
        if (words[i] == NULL) {
            break;
        }
    }
    if (!look(p, words) && !set_up(p, words) && !disturb(p, words) &&
        !act(p, words)) {
        fail_msg("unknown command %s", words[0]);
    }
}

/* ---- the file ---- */

static void indent(struct buf *to, struct buf *from)
{
    buf_append_byte(from, 0);
    char *rest = (char *)from->data;
    for (char *line; (line = strtok_r(NULL, "\n", &rest));) {
        buf_printf(to, "  %s\n", line);
    }
    buf_reset(from, TEXT_MAX);
}

static void play_text(char *text, struct buf *played)
{
    struct play p = {.c = cluster_new(), .config = cluster_config(1)};
    buf_init(&p.out, TEXT_MAX);
    while (*text) {
        char *line = text;
        text = strchrnul(text, '\n');
        if (*text) {
            *text++ = 0;
        }
        if (line[0] == ' ') {
            continue; /* of the last play */
        }
        buf_printf(played, "%s\n", line);
        if (line[0] && line[0] != '#') {
            run_command(&p, line);
            indent(played, &p.out);
        }
    }
    cluster_free(p.c);
    buf_release(&p.out);
}

static void read_file(const char *path, struct buf *b)
{
    char piece[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) {
        assert_int_equal(buf_append(b, piece, n), 0);
    }
    fclose(f);
    buf_append_byte(b, 0);
}

static void test_scenario(void **state)
{
    const char *path = *state;
    struct buf text = BUF_INIT(TEXT_MAX);
    struct buf played = BUF_INIT(TEXT_MAX);
    read_file(path, &text);
    char *copy = mem_strdup((const char *)text.data);
    play_text(copy, &played);
    if (getenv("RAFT_SCENARIO_WRITE")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fwrite(played.data, 1, played.size, f);
        assert_int_equal(fclose(f), 0);
    } else {
        buf_append_byte(&played, 0);
        assert_string_equal((const char *)played.data, (const char *)text.data);
    }
    free(copy);
    buf_release(&text);
    buf_release(&played);
}

static int is_scenario(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 4 && strcmp(d->d_name + n - 4, ".txt") == 0;
}

int main(void)
{
    struct dirent **found;
    int count = scandir(SCENARIO_DIR, &found, is_scenario, alphasort);
    if (count <= 0) {
        fprintf(stderr, "no scenarios in " SCENARIO_DIR "\n");
        return 1;
    }
    struct CMUnitTest *tests = mem_zalloc((size_t)count * sizeof *tests);
    char **paths = mem_zalloc((size_t)count * sizeof *paths);
    for (int i = 0; i < count; i++) {
        paths[i] = mem_printf("%s/%s", SCENARIO_DIR, found[i]->d_name);
        tests[i] = (struct CMUnitTest){.name = found[i]->d_name,
                                       .test_func = test_scenario,
                                       .initial_state = paths[i]};
    }
    int failed =
        _cmocka_run_group_tests("scenarios", tests, (size_t)count, NULL, NULL);
    for (int i = 0; i < count; i++) {
        free(found[i]);
        free(paths[i]);
    }
    free(found);
    free(paths);
    free(tests);
    return failed;
}

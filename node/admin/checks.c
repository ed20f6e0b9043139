/*
 * The health paths. A check answers at once or after a read of the store;
 * they run one after the other, each leaving a line.
 */
#include <stdio.h>

#include "internal.h"

static const char text_plain[] = "text/plain; charset=utf-8";

enum check {
    CHECK_DATA_CORRUPTION = 1 << 0,
    CHECK_SERIALIZABLE_READ = 1 << 1,
    CHECK_LINEARIZABLE_READ = 1 << 2,
    CHECK_NON_LEARNER = 1 << 3,
    CHECK_END = 1 << 4,
    LIVEZ = CHECK_SERIALIZABLE_READ,
    READYZ = CHECK_END - 1,
};

static const char *check_name(uint32_t check)
{
    return check == CHECK_DATA_CORRUPTION     ? "data_corruption"
           : check == CHECK_SERIALIZABLE_READ ? "serializable_read"
           : check == CHECK_LINEARIZABLE_READ ? "linearizable_read"
                                              : "non_learner";
}

static void run_checks(struct admin_request *rq);

static void count_check(struct admin_request *rq, uint32_t check, bool is_ok)
{
    bool is_livez = strncmp(rq->path, "/livez", 6) == 0;
    struct admin_check_stats *s =
        &rq->admin->stats
             .checks[(is_livez ? 0 : ADMIN_CHECKS) + __builtin_ctz(check)];
    s->type = is_livez ? "livez" : "readyz";
    s->name = check_name(check);
    s->is_ok = is_ok;
    s->success += is_ok;
    s->errors += !is_ok;
}

static void conclude(struct admin_request *rq, uint32_t check,
                     const char *error)
{
    count_check(rq, check, error == NULL);
    if (error) {
        rq->failed = true;
        buf_printf(&rq->lines, "[-]%s failed: %s\n", check_name(check), error);
    } else {
        buf_printf(&rq->lines, "[+]%s ok\n", check_name(check));
    }
    rq->next_check = check << 1;
}

static void read_done(void *ctx, const char *error)
{
    struct admin_request *rq = ctx;
    conclude(rq, rq->next_check, error);
    run_checks(rq);
}

static void finish(struct admin_request *rq)
{
    struct buf lines = rq->lines;
    rq->no_sniff = true;
    if (rq->failed) {
        buf_append_byte(&lines, '\n');
        admin_answer(rq, 503, text_plain, buf_slice(&lines));
    } else if (rq->verbose) {
        buf_append_str(&lines, "ok\n");
        admin_answer(rq, 200, text_plain, buf_slice(&lines));
    } else {
        admin_answer(rq, 200, text_plain, slice_str("ok\n"));
    }
    buf_release(&lines);
}

static void run_checks(struct admin_request *rq)
{
    const struct admin_rim *rim = &rq->admin->rim;
    while (rq->next_check < CHECK_END) {
        uint32_t check = rq->next_check;
        if (!(rq->checks & check)) {
            rq->next_check = check << 1;
        } else if (check == CHECK_DATA_CORRUPTION) {
            conclude(rq, check,
                     rim->alarm_corrupt(rim->ctx) ? "alarm activated: CORRUPT"
                                                  : NULL);
        } else if (check == CHECK_NON_LEARNER) {
            conclude(rq, check,
                     rim->is_learner(rim->ctx) ? "not supported for learner"
                                               : NULL);
        } else {
            rim->read(rim->ctx, check == CHECK_LINEARIZABLE_READ, read_done,
                      rq);
            return;
        }
    }
    finish(rq);
}

static void start_checks(struct admin_request *rq, uint32_t checks)
{
    for (uint32_t i = 0; i < rq->exclude_count; i++) {
        for (uint32_t c = 1; c < CHECK_END; c <<= 1) {
            if (strcmp(rq->excludes[i], check_name(c)) == 0) {
                checks &= ~c;
            }
        }
    }
    rq->checks = checks;
    rq->next_check = 1;
    buf_init(&rq->lines, ADMIN_BODY_MAX);
    run_checks(rq);
}

/* The sub-path's check; 0: no such path. */
static uint32_t checks_of_path(const char *path)
{
    static const struct {
        const char *root;
        uint32_t checks;
    } roots[] = {{"/livez", LIVEZ}, {"/readyz", READYZ}};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(roots[i].root);
        if (strncmp(path, roots[i].root, n) != 0) {
            continue;
        }
        if (path[n] == '\0') {
            return roots[i].checks;
        }
        for (uint32_t c = 1; path[n] == '/' && c < CHECK_END; c <<= 1) {
            if ((roots[i].checks & c) &&
                strcmp(path + n + 1, check_name(c)) == 0) {
                return c;
            }
        }
    }
    return 0;
}

static void answer_health(struct admin_request *rq, const char *reason)
{
    struct buf b = BUF_INIT(ADMIN_BODY_MAX);
    rq->admin->stats.health_success += reason == NULL;
    rq->admin->stats.health_failures += reason != NULL;
    buf_printf(&b, "{\"health\":\"%s\",\"reason\":\"%s\"}%s",
               reason ? "false" : "true", reason ? reason : "",
               reason ? "\n" : "");
    rq->no_sniff = reason != NULL;
    admin_answer(rq, reason ? 503 : 200, text_plain, buf_slice(&b));
    buf_release(&b);
}

static void health_read_done(void *ctx, const char *error)
{
    char reason[512];
    snprintf(reason, sizeof reason, "RANGE ERROR:%s", error ? error : "");
    answer_health(ctx, error ? reason : NULL);
}

static bool excluded(const struct admin_request *rq, const char *name)
{
    for (uint32_t i = 0; i < rq->exclude_count; i++) {
        if (strcmp(rq->excludes[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Order: alarms, leader, one read. */
static void health(struct admin_request *rq)
{
    const struct admin_rim *rim = &rq->admin->rim;
    if (rim->alarm_no_space(rim->ctx) && !excluded(rq, "NOSPACE")) {
        answer_health(rq, "ALARM NOSPACE");
    } else if (rim->alarm_corrupt(rim->ctx) && !excluded(rq, "CORRUPT")) {
        answer_health(rq, "ALARM CORRUPT");
    } else if (!rq->serializable && !rim->has_leader(rim->ctx)) {
        answer_health(rq, "RAFT NO LEADER");
    } else {
        rim->read(rim->ctx, !rq->serializable, health_read_done, rq);
    }
}

void admin_get_stats(const struct admin *a, struct admin_stats *ret)
{
    *ret = a->stats;
}

bool admin_checks_route(struct admin_request *rq)
{
    bool is_health = strcmp(rq->path, "/health") == 0;
    uint32_t checks = checks_of_path(rq->path);
    if (!is_health && checks == 0) {
        return false;
    }
    if (strcmp(rq->method, "GET") != 0) {
        rq->no_sniff = true;
        admin_answer(rq, 405, text_plain, slice_str("Method Not Allowed\n"));
    } else if (is_health) {
        health(rq);
    } else {
        start_checks(rq, checks);
    }
    return true;
}

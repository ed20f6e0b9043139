#include <stdio.h>

#include "../test.h"
#include "base/err.h"
#include "replica/replica.h"

static char url_of_add[] = "http://new:1";
static char *urls_of_add[] = {url_of_add};

static struct member_change change_of(enum raft_conf_change_type type,
                                      uint64_t id)
{
    return (struct member_change){
        .type = type,
        .member = {.id = id,
                   .name = NULL,
                   .peer_urls = urls_of_add,
                   .peer_url_count = type == RAFT_CONF_REMOVE_NODE ? 0 : 1}};
}

/* Voters 1..voters, of them `started` with a name, then learners. */
static struct members members_of(uint32_t voters, uint32_t started,
                                 uint32_t learners)
{
    struct members ms = {.cluster_id = 1};
    for (uint32_t i = 1; i <= voters + learners; i++) {
        char url[32], name[8];
        char *urls[] = {url};
        snprintf(url, sizeof url, "http://h%u:1", i);
        snprintf(name, sizeof name, i <= started ? "n%u" : "", i);
        struct member m = {.id = i,
                           .name = name,
                           .peer_urls = urls,
                           .peer_url_count = 1,
                           .is_learner = i > voters};
        members_put(&ms, &m);
    }
    return ms;
}

static void rules_at_apply(void **state)
{
    struct members ms = members_of(2, 2, 1);
    struct member_change c = change_of(RAFT_CONF_ADD_NODE, 9);
    assert_int_equal(member_change_check(&ms, &c, 1), 0);
    c.member.id = 2;
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_EXISTS);
    c = change_of(RAFT_CONF_ADD_NODE, 9);
    c.member.peer_urls = ms.list[0].peer_urls;
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_REFUSED);
    c = change_of(RAFT_CONF_ADD_LEARNER, 9);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_TOO_LARGE);
    assert_int_equal(member_change_check(&ms, &c, 2), 0);
    c = change_of(RAFT_CONF_UPDATE_NODE, 9);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_NOT_FOUND);
    c.member.id = 1;
    assert_int_equal(member_change_check(&ms, &c, 1), 0);
    c.member.peer_urls = ms.list[0].peer_urls; /* its own */
    assert_int_equal(member_change_check(&ms, &c, 1), 0);
    c.member.peer_urls = ms.list[1].peer_urls;
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_REFUSED);
    c = change_of(RAFT_CONF_REMOVE_NODE, 9);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_NOT_FOUND);
    c = change_of(RAFT_CONF_ADD_NODE, 1);
    c.promote = true;
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_INVALID);
    c.member.id = 9;
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_NOT_FOUND);
    c.member.id = 3;
    assert_int_equal(member_change_check(&ms, &c, 1), 0);
    members_release(&ms);
}

static void a_removed_id_never_comes_back(void **state)
{
    struct members ms = members_of(2, 2, 0);
    struct member_change c = change_of(RAFT_CONF_REMOVE_NODE, 2);
    assert_int_equal(member_change_check(&ms, &c, 1), 0);
    member_change_apply(&ms, &c);
    assert_int_equal(ms.count, 1);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_NOT_FOUND);
    c = change_of(RAFT_CONF_ADD_NODE, 2);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_NOT_FOUND);
    /* And the last voter stays. */
    c = change_of(RAFT_CONF_REMOVE_NODE, 1);
    assert_int_equal(member_change_check(&ms, &c, 1), ERR_BUSY);
    members_release(&ms);
}

static void what_a_change_makes(void **state)
{
    struct members ms = members_of(1, 1, 0);
    struct member_change c = change_of(RAFT_CONF_ADD_LEARNER, 5);
    member_change_apply(&ms, &c);
    assert_true(members_find(&ms, 5)->is_learner);
    c = change_of(RAFT_CONF_ADD_NODE, 5);
    c.promote = true;
    c.member.peer_url_count = 0;
    member_change_apply(&ms, &c);
    assert_false(members_find(&ms, 5)->is_learner);
    assert_string_equal(members_find(&ms, 5)->peer_urls[0], "http://new:1");
    c = change_of(RAFT_CONF_UPDATE_NODE, 1);
    member_change_apply(&ms, &c);
    assert_string_equal(members_find(&ms, 1)->name, "n1");
    assert_string_equal(members_find(&ms, 1)->peer_urls[0], "http://new:1");
    members_release(&ms);
}

static uint64_t connected(void *ctx, uint64_t id)
{
    const uint64_t *ms = ctx;
    return ms[id];
}

/* Each row: the cluster, for how long member 1 is connected to the others,
 * the change, and what the strict rules say to it. */
static void strict_rules(void **state)
{
    enum { ADD, LEARN, PROMOTE, REMOVE };
    static const struct {
        uint32_t voters, started, learners;
        uint64_t connected_ms[8];
        int what;
        uint64_t id;
        int want;
    } rows[] = {
        /* one member: two is allowed, a third only when two have started */
        {1, 1, 0, {0}, ADD, 9, 0},
        {2, 1, 0, {0}, ADD, 9, ERR_BUSY},
        {2, 2, 0, {0, 0, 5000}, ADD, 9, 0},
        {2, 2, 0, {0, 0, 4999}, ADD, 9, ERR_UNAVAILABLE},
        {2, 2, 0, {0, 0, 4999}, LEARN, 9, ERR_UNAVAILABLE},
        {2, 1, 0, {0, 0, 9000}, LEARN, 9, 0},
        {3, 3, 0, {0, 0, 9000, 9000}, ADD, 9, 0},
        {3, 3, 0, {0, 0, 9000, 0}, ADD, 9, ERR_UNAVAILABLE},
        {1, 1, 0, {0}, LEARN, 9, 0},
        {3, 2, 0, {0, 0, 9000, 9000}, ADD, 9, ERR_BUSY},
        /* removing */
        {1, 1, 0, {0}, REMOVE, 1, ERR_BUSY},
        {2, 2, 0, {0, 0, 9000}, REMOVE, 2, 0},
        {2, 2, 0, {0, 0, 100}, REMOVE, 2, ERR_UNAVAILABLE},
        {2, 2, 0, {0, 0, 0}, REMOVE, 2, 0},
        {2, 2, 0, {0, 0, 0}, REMOVE, 1, ERR_UNAVAILABLE},
        {3, 3, 0, {0, 0, 9000, 0}, REMOVE, 3, 0},
        {3, 3, 0, {0, 0, 9000, 0}, REMOVE, 2, ERR_UNAVAILABLE},
        {3, 2, 0, {0, 0, 9000, 9000}, REMOVE, 2, ERR_BUSY},
        {3, 2, 0, {0, 0, 9000, 9000}, REMOVE, 3, 0},
        {1, 1, 1, {0}, REMOVE, 2, 0},
        {1, 1, 0, {0}, REMOVE, 7, 0}, /* not there: the log says so */
        /* promoting */
        {1, 1, 1, {0}, PROMOTE, 2, 0},
        {3, 2, 1, {0}, PROMOTE, 4, 0},
        {3, 1, 1, {0}, PROMOTE, 4, ERR_BUSY},
    };
    static const enum raft_conf_change_type types[] = {
        RAFT_CONF_ADD_NODE, RAFT_CONF_ADD_LEARNER, RAFT_CONF_ADD_NODE,
        RAFT_CONF_REMOVE_NODE};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct members ms =
            members_of(rows[i].voters, rows[i].started, rows[i].learners);
        struct member_change c = change_of(types[rows[i].what], rows[i].id);
        c.promote = rows[i].what == PROMOTE;
        int err = member_change_check_strict(
            &ms, &c, 1, connected, (void *)(uintptr_t)rows[i].connected_ms);
        if (err != rows[i].want) {
            print_error("row %zu: %d\n", i, err);
        }
        assert_int_equal(err, rows[i].want);
        members_release(&ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_at_apply),
        cmocka_unit_test(a_removed_id_never_comes_back),
        cmocka_unit_test(what_a_change_makes),
        cmocka_unit_test(strict_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../test.h"
#include "base/err.h"
#include "replica/replica.h"

/* Ids and cluster id as a running etcd v3.7.1 derives them. */
static void ids_of_a_new_cluster(void **state)
{
    struct members ms;
    const char *why = NULL;
    assert_int_equal(members_parse("default=http://localhost:2380",
                                   "etcd-cluster", &ms, &why),
                     0);
    assert_int_equal(ms.count, 1);
    assert_true(ms.list[0].id == 0x8e9e05c52164694d);
    assert_true(ms.cluster_id == 0xcdf818194e3a8c32);
    members_release(&ms);
}

static void urls_of_one_name_make_one_member(void **state)
{
    struct members ms;
    const char *why = NULL;
    assert_int_equal(members_parse("b=http://h2:1,a=http://h1:2,b=http://h2:0",
                                   "t", &ms, &why),
                     0);
    assert_int_equal(ms.count, 2);
    assert_true(ms.list[0].id < ms.list[1].id);
    struct member *b =
        strcmp(ms.list[0].name, "b") == 0 ? &ms.list[0] : &ms.list[1];
    assert_int_equal(b->peer_url_count, 2);
    assert_string_equal(b->peer_urls[0], "http://h2:0");
    members_release(&ms);
}

static void bad_configurations_are_refused(void **state)
{
    static const char *const rows[] = {"", "a", "a=", "=http://x:1",
                                       "a=http://x:1,b=http://x:1"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct members ms;
        const char *why = NULL;
        assert_int_equal(members_parse(rows[i], "t", &ms, &why), ERR_INVALID);
        assert_non_null(why);
    }
}

static void check_json(const char *json, bool ok)
{
    struct member m;
    bool promote = false;
    int err = member_from_json(slice_str(json), &m, &promote);
    assert_int_equal(err, ok ? 0 : ERR_INVALID);
    if (ok) {
        member_release(&m);
    }
}

static void json_keeps_all_64_bits_of_an_id(void **state)
{
    static const char json[] =
        "{\"id\":18446744073709551615,\"peerURLs\":[\"http://a:1\"],"
        "\"isLearner\":true,\"name\":\"n\",\"clientURLs\":[\"http://a:2\"]}";
    struct member m;
    struct buf out = BUF_INIT(1000);
    assert_int_equal(member_from_json(slice_str(json), &m, NULL), 0);
    assert_true(m.id == UINT64_MAX);
    assert_true(m.is_learner);
    member_to_json(&m, true, &out);
    assert_true(slice_eq_str(buf_slice(&out), json));
    member_release(&m);
    buf_release(&out);
    check_json("{\"id\":5,\"peerURLs\":null,\"isPromote\":true}", true);
    check_json("{\"id\":18446744073709551616,\"peerURLs\":[]}", false);
    check_json("{\"peerURLs\":[]}", false);
    check_json("[]", false);
    check_json("", false);
}

static void removed_ids_are_remembered(void **state)
{
    struct members ms = {0};
    char *urls[] = {(char[]){"http://a:1"}};
    char name[] = "n";
    for (uint64_t id = 5; id > 0; id--) {
        members_put(&ms, &(struct member){.id = id,
                                          .name = name,
                                          .peer_urls = urls,
                                          .peer_url_count = 1});
    }
    members_remove(&ms, 3);
    assert_int_equal(ms.count, 4);
    assert_null(members_find(&ms, 3));
    assert_true(members_is_removed(&ms, 3));
    assert_false(members_is_removed(&ms, 4));
    assert_int_equal(ms.list[2].id, 4);
    members_release(&ms);
}

/* As GET /members answers; ids beyond 2^63 keep every digit. */
static void members_of_another(void **state)
{
    static const char good[] =
        "[{\"id\":18446744073709551615,\"peerURLs\":[\"http://b:1\"],"
        "\"name\":\"}{\\\"\",\"clientURLs\":[\"http://b:2\"]},\n"
        "{\"id\":7,\"peerURLs\":[\"http://a:1\"],\"isLearner\":true}]\n";
    static const char *const bad[] = {
        "", "{}", "[", "[{}]", "[{\"id\":1}", "[{\"id\":-1}]", "7"};
    struct members ms;
    assert_int_equal(members_from_json(slice_str(good), &ms), 0);
    assert_int_equal(ms.count, 2);
    assert_true(ms.list[0].id == 7 && ms.list[0].is_learner);
    assert_true(ms.list[1].id == UINT64_MAX);
    assert_string_equal(ms.list[1].name, "}{\"");
    members_release(&ms);
    assert_int_equal(members_from_json(slice_str("[]"), &ms), 0);
    assert_int_equal(ms.count, 0);
    members_release(&ms);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(members_from_json(slice_str(bad[i]), &ms),
                         ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_another),
        cmocka_unit_test(ids_of_a_new_cluster),
        cmocka_unit_test(urls_of_one_name_make_one_member),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(json_keeps_all_64_bits_of_an_id),
        cmocka_unit_test(removed_ids_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

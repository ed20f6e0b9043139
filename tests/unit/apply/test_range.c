#include "fixture.h"

/* a: 3 versions, b c: one each, d: with a lease; e deleted. */
static void fill(struct fixture *f)
{
    fx_open(f);
    fx_grant(f, 9, 60);
    fx_put(f, "a", "9", 0); /* 2 */
    fx_put(f, "c", "5", 0); /* 3 */
    fx_put(f, "b", "7", 0); /* 4 */
    fx_put(f, "a", "8", 0); /* 5 */
    fx_put(f, "d", "6", 9); /* 6 */
    fx_put(f, "e", "0", 0); /* 7 */
    fx_delete(f, "e", "");  /* 8 */
    fx_put(f, "a", "4", 0); /* 9 */
}

#define A "a=4/2,9,3,0 "
#define B "b=7/4,4,1,0 "
#define C "c=5/3,3,1,0 "
#define D "d=6/6,6,1,9 "
#define ALL .key = {(const uint8_t *)"\0", 1}, .end = {(const uint8_t *)"\0", 1}
#define KEY(k) .key = {(const uint8_t *)(k), sizeof(k) - 1}
#define END(k) .end = {(const uint8_t *)(k), sizeof(k) - 1}

enum { NONE, ASCEND, DESCEND };
enum { BY_KEY, BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE };

static const struct {
    struct proto_range range;
    const char *want;
} rows[] = {
    /* range ends */
    {{KEY("a")}, A "count=1"},
    {{KEY("x")}, "count=0"},
    {{ALL}, A B C D "count=4"},
    {{KEY("b"), END("d")}, B C "count=2"},
    {{KEY("b"), END("\0")}, B C D "count=3"},
    {{KEY("d"), END("a")}, "count=0"},
    {{KEY("b"), END("b")}, "count=0"},
    {{KEY("aa"), END("zz")}, B C D "count=3"},
    /* revisions */
    {{ALL, .revision = 4}, "a=9/2,2,1,0 b=7/4,4,1,0 c=5/3,3,1,0 count=3"},
    {{ALL, .revision = 7},
     "a=8/2,5,2,0 b=7/4,4,1,0 c=5/3,3,1,0 d=6/6,6,1,9 e=0/7,7,1,0 count=5"},
    {{ALL, .revision = 9}, A B C D "count=4"},
    {{ALL, .revision = 10}, "FUTURE"},
    {{ALL, .revision = -1}, A B C D "count=4"},
    /* limit */
    {{ALL, .limit = 2}, A B "count=4 more"},
    {{ALL, .limit = 4}, A B C D "count=4"},
    {{ALL, .limit = 5}, A B C D "count=4"},
    {{ALL, .limit = -3}, A B C D "count=4"},
    {{ALL, .limit = INT64_MAX}, A B C D "count=4"},
    /* count only: everything else is ignored */
    {{ALL, .count_only = true, .limit = 1, .max_mod_revision = 3}, "count=4"},
    {{KEY("x"), .count_only = true}, "count=0"},
    /* keys only: from the index, no lease; by value: with it */
    {{ALL, .keys_only = true},
     "a=/2,9,3,0 b=/4,4,1,0 c=/3,3,1,0 d=/6,6,1,0 count=4"},
    {{ALL, .keys_only = true, .sort_target = BY_VALUE, .sort_order = ASCEND},
     "a=/2,9,3,0 c=/3,3,1,0 d=/6,6,1,9 b=/4,4,1,0 count=4"},
    {{ALL, .keys_only = true, .limit = 1}, "a=/2,9,3,0 count=4 more"},
    {{ALL, .keys_only = true, .sort_order = DESCEND},
     "d=/6,6,1,0 c=/3,3,1,0 b=/4,4,1,0 a=/2,9,3,0 count=4"},
    /* filters: inclusive, count without them */
    {{ALL, .min_mod_revision = 4}, A B D "count=4"},
    {{ALL, .max_mod_revision = 4}, B C "count=4"},
    {{ALL, .min_create_revision = 3, .max_create_revision = 4}, B C "count=4"},
    {{ALL, .max_mod_revision = -1}, "count=4"},
    {{ALL, .min_mod_revision = 4, .limit = 2}, A B "count=4 more"},
    {{ALL, .min_mod_revision = 4, .limit = 3}, A B D "count=4"},
    {{ALL, .max_mod_revision = 4, .keys_only = true},
     "b=/4,4,1,0 c=/3,3,1,0 count=4"},
    /* order */
    {{ALL, .sort_order = DESCEND}, D C B A "count=4"},
    {{ALL, .sort_order = DESCEND, .limit = 1}, D "count=4 more"},
    {{ALL, .sort_order = ASCEND, .limit = 1}, A "count=4 more"},
    {{ALL, .sort_order = ASCEND, .sort_target = BY_MOD}, C B D A "count=4"},
    {{ALL, .sort_order = DESCEND, .sort_target = BY_CREATE}, D B C A "count=4"},
    {{ALL, .sort_order = ASCEND, .sort_target = BY_VALUE}, A C D B "count=4"},
    {{ALL, .sort_order = DESCEND, .sort_target = BY_VALUE}, B D C A "count=4"},
    {{ALL, .sort_order = DESCEND, .sort_target = BY_VERSION, .limit = 1},
     A "count=4 more"},
    {{ALL, .sort_order = ASCEND, .sort_target = BY_MOD, .limit = 2},
     C B "count=4 more"},
    /* order NONE with a target: only limit + 1 keys are sorted */
    {{ALL, .sort_target = BY_VALUE}, A C D B "count=4"},
    {{ALL, .sort_target = BY_MOD, .limit = 1}, B "count=4 more"},
    {{ALL, .sort_target = BY_MOD, .limit = 2}, C B "count=4 more"},
    {{ALL, .sort_target = BY_MOD, .limit = 1, .min_mod_revision = 3},
     C "count=4 more"},
};

static void run_rows(struct fixture *f)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = fx_range(f, &rows[i].range);
        if (strcmp(got, rows[i].want) != 0) {
            fail_msg("row %zu: got '%s', want '%s'", i, got, rows[i].want);
        }
    }
}

static void table_in_memory(void **state)
{
    struct fixture f;
    fill(&f);
    run_rows(&f);
    fx_stop(&f);
}

static void table_on_disk(void **state)
{
    struct fixture f;
    fill(&f);
    store_flush(&f.store);
    run_rows(&f);
    fx_stop(&f);
}

static void answer_limit(void **state)
{
    struct fixture f;
    fill(&f);
    struct proto_range all = {ALL};
    struct buf body = BUF_INIT(20);
    assert_int_equal(apply_range(f.apply, &all, &body), ERR_TOO_LARGE);
    buf_release(&body);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_in_memory),
        cmocka_unit_test(table_on_disk),
        cmocka_unit_test(answer_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

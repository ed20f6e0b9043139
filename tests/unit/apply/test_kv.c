#include "fixture.h"

static void revisions(void **state)
{
    struct fixture f;
    fx_open(&f);
    assert_int_equal(fx_revision(&f), 1);
    assert_int_equal(mvcc_compact_revision(f.store.mvcc), -1);
    assert_int_equal(fx_put(&f, "a", "1", 0), 0);
    assert_int_equal(f.out.revision, 2);
    assert_int_equal(f.out.body.size, 0);
    assert_int_equal(fx_put(&f, "b", "1", 0), 0);
    assert_int_equal(f.out.revision, 3);
    /* nothing changed: the revision stays */
    assert_int_equal(fx_delete(&f, "x", ""), 0);
    assert_int_equal(f.out.revision, 3);
    assert_int_equal(f.out.body.size, 0);
    assert_int_equal(fx_grant(&f, 5, 60), 0);
    assert_int_equal(f.out.revision, 3);
    assert_int_equal(fx_revoke(&f, 5), 0);
    assert_int_equal(f.out.revision, 3);
    assert_int_equal(fx_alarm(&f, 1, 9, 1), 0);
    assert_int_equal(fx_alarm(&f, 2, 9, 1), 0);
    assert_int_equal(fx_compact(&f, 2), 0);
    assert_int_equal(f.out.revision, 3);
    /* several keys in one revision */
    assert_int_equal(fx_delete(&f, "a", "@"), 0);
    assert_int_equal(f.out.revision, 4);
    assert_int_equal(mvcc_applied_index(f.store.mvcc), f.index);
    fx_stop(&f);
}

static void key_fields(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_put(&f, "a", "1", 0);
    fx_put(&f, "a", "2", 0);
    assert_string_equal(fx_all(&f), "a=2/2,3,2,0 count=1");
    fx_delete(&f, "a", "");
    assert_string_equal(fx_all(&f), "count=0");
    fx_put(&f, "a", "3", 0);
    assert_string_equal(fx_all(&f), "a=3/5,5,1,0 count=1");
    fx_stop(&f);
}

static void put_with(struct fixture *f, const char *key, const char *value,
                     int64_t lease, bool ignore_value, bool ignore_lease,
                     int want_err, const char *want_prev)
{
    Pb__PutRequest put = PB__PUT_REQUEST__INIT;
    put.key = fx_data(key);
    put.value = fx_data(value);
    put.lease = lease;
    put.ignore_value = ignore_value;
    put.ignore_lease = ignore_lease;
    put.prev_kv = true;
    Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
    r.put = &put;
    assert_int_equal(fx_run(f, &r), want_err);
    Pb__PutResponse *answer = pb__put_response__unpack(
        NULL, f->out.body.size,
        f->out.body.data ? f->out.body.data : (const uint8_t *)"");
    assert_non_null(answer);
    struct buf text = BUF_INIT(4096);
    if (answer->prev_kv) {
        fx_print_kv(&text, answer->prev_kv);
    }
    assert_string_equal(fx_text(&text), want_prev);
    pb__put_response__free_unpacked(answer, NULL);
}

static void put_options(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_grant(&f, 5, 60);
    fx_grant(&f, 6, 60);
    put_with(&f, "a", "1", 99, false, false, ERR_LEASE_NOT_FOUND, "");
    put_with(&f, "a", "", 0, true, false, ERR_KEY_NOT_FOUND, "");
    put_with(&f, "a", "1", 0, false, true, ERR_KEY_NOT_FOUND, "");
    /* the lease is looked at first */
    put_with(&f, "a", "", 99, true, false, ERR_LEASE_NOT_FOUND, "");
    assert_int_equal(fx_revision(&f), 1);
    put_with(&f, "a", "1", 5, false, false, 0, "");
    put_with(&f, "a", "2", 0, false, true, 0, "a=1/2,2,1,5");
    put_with(&f, "a", "", 6, true, false, 0, "a=2/2,3,2,5");
    put_with(&f, "a", "", 0, true, true, 0, "a=2/2,4,3,6");
    assert_string_equal(fx_all(&f), "a=2/2,5,4,6 count=1");
    put_with(&f, "a", "3", 0, false, false, 0, "a=2/2,5,4,6");
    assert_string_equal(fx_all(&f), "a=3/2,6,5,0 count=1");
    fx_stop(&f);
}

static const char *keys_of(struct fixture *f, int64_t lease)
{
    static char text[256];
    struct slice *keys;
    size_t count;
    text[0] = 0;
    assert_int_equal(lease_keys(f->lessor, lease, &keys, &count), 0);
    for (size_t i = 0; i < count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s ",
                 (int)keys[i].size, (const char *)keys[i].data);
    }
    free(keys);
    return text;
}

static void leases_follow_keys(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_grant(&f, 5, 60);
    fx_grant(&f, 6, 60);
    fx_put(&f, "c", "", 5);
    fx_put(&f, "a", "", 5);
    fx_put(&f, "b", "", 5);
    assert_string_equal(keys_of(&f, 5), "a b c ");
    fx_put(&f, "b", "", 6);
    assert_string_equal(keys_of(&f, 5), "a c ");
    assert_string_equal(keys_of(&f, 6), "b ");
    fx_put(&f, "b", "", 0);
    assert_string_equal(keys_of(&f, 6), "");
    fx_put(&f, "a", "again", 5);
    assert_string_equal(keys_of(&f, 5), "a c ");
    fx_delete(&f, "a", "");
    assert_string_equal(keys_of(&f, 5), "c ");
    fx_put(&f, "a", "", 5);
    int64_t before = fx_revision(&f);
    assert_int_equal(fx_revoke(&f, 5), 0);
    assert_int_equal(f.out.revision, before + 1);
    assert_string_equal(fx_all(&f), "b=/4,6,3,0 count=1");
    assert_int_equal(fx_revoke(&f, 5), ERR_LEASE_NOT_FOUND);
    /* events of the revocation: ascending keys, one revision */
    fx_grant(&f, 7, 60);
    fx_put(&f, "z", "", 7);
    fx_put(&f, "y", "", 7);
    fx_revoke(&f, 7);
    uint32_t count;
    const struct mvcc_event *e = mvcc_events(f.store.mvcc, &count);
    assert_int_equal(count, 2);
    assert_true(slice_eq_str(e[0].key, "y") && e[0].tombstone);
    assert_true(slice_eq_str(e[1].key, "z") && e[1].tombstone);
    assert_int_equal(e[0].mod_revision, e[1].mod_revision);
    fx_stop(&f);
}

static void grants(void **state)
{
    struct fixture f;
    fx_open(&f);
    assert_int_equal(fx_grant(&f, 5, 1), 0);
    Pb__LeaseGrantResponse *r = pb__lease_grant_response__unpack(
        NULL, f.out.body.size, f.out.body.data);
    assert_non_null(r);
    assert_int_equal(r->id, 5);
    assert_int_equal(r->ttl, 2); /* raised to the least */
    pb__lease_grant_response__free_unpacked(r, NULL);
    assert_int_equal(fx_grant(&f, 5, 60), ERR_EXISTS);
    assert_int_equal(fx_grant(&f, 5, LEASE_TTL_MAX + 1), ERR_TOO_LARGE);
    assert_int_equal(fx_grant(&f, -3, 60), 0);
    fx_stop(&f);
}

static void deletes(void **state)
{
    static const struct {
        const char *key, *end, *want_left;
        int64_t want_deleted;
    } rows[] = {
        {"b", "", "a c d ", 1},    {"b", "d", "a d ", 2},
        {"b", "@", "a ", 3},       {"b", "b", "a b c d ", 0},
        {"d", "a", "a b c d ", 0}, {"bb", "", "a b c d ", 0},
        {"", "@", "", 4},          {"aa", "dd", "a ", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        fx_open(&f);
        for (const char *k = "abcd"; *k; k++) {
            fx_put(&f, (char[]){*k, 0}, "v", 0);
        }
        int64_t before = fx_revision(&f);
        if (rows[i].key[0]) {
            assert_int_equal(fx_delete(&f, rows[i].key, rows[i].end), 0);
        } else {
            Pb__DeleteRangeRequest del = PB__DELETE_RANGE_REQUEST__INIT;
            del.key = fx_end("@");
            del.range_end = fx_end("@");
            Pb__InternalRaftRequest r = PB__INTERNAL_RAFT_REQUEST__INIT;
            r.delete_range = &del;
            assert_int_equal(fx_run(&f, &r), 0);
        }
        Pb__DeleteRangeResponse *r = pb__delete_range_response__unpack(
            NULL, f.out.body.size,
            f.out.body.data ? f.out.body.data : (const uint8_t *)"");
        assert_non_null(r);
        assert_int_equal(r->deleted, rows[i].want_deleted);
        if (rows[i].key[0]) {
            assert_int_equal(r->n_prev_kvs, rows[i].want_deleted);
            for (size_t k = 1; k < r->n_prev_kvs; k++) {
                assert_true(r->prev_kvs[k - 1]->key.data[0] <
                            r->prev_kvs[k]->key.data[0]);
            }
        }
        pb__delete_range_response__free_unpacked(r, NULL);
        assert_int_equal(f.out.revision, before + (rows[i].want_deleted > 0));
        struct proto_range all = {.key = slice_of("\0", 1),
                                  .end = slice_of("\0", 1),
                                  .keys_only = true};
        char left[64] = "";
        const char *text = fx_range(&f, &all);
        for (const char *p = strchr(text, '='); p && p > text;
             p = strchr(p + 1, '=')) {
            if (p[1] == '/') {
                snprintf(left + strlen(left), sizeof left - strlen(left), "%c ",
                         p[-1]);
            }
        }
        assert_string_equal(left, rows[i].want_left);
        fx_stop(&f);
    }
}

static void compaction(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_put(&f, "a", "1", 0);
    fx_put(&f, "a", "2", 0);
    fx_put(&f, "a", "3", 0);
    assert_int_equal(fx_compact(&f, 5), ERR_FUTURE);
    assert_int_equal(fx_compact(&f, -1), ERR_COMPACTED);
    assert_int_equal(fx_compact(&f, 3), 0);
    assert_int_equal(f.out.revision, 4);
    assert_int_equal(fx_compact(&f, 3), ERR_COMPACTED);
    assert_int_equal(fx_compact(&f, 2), ERR_COMPACTED);
    struct proto_range at = {.key = slice_str("a"), .revision = 2};
    assert_string_equal(fx_range(&f, &at), "COMPACTED");
    at.revision = 3;
    assert_string_equal(fx_range(&f, &at), "a=2/2,3,2,0 count=1");
    at.revision = 5;
    assert_string_equal(fx_range(&f, &at), "FUTURE");
    at.revision = -4;
    assert_string_equal(fx_range(&f, &at), "a=3/2,4,3,0 count=1");
    fx_stop(&f);
}

static void gone(struct apply_out *out, int err)
{
    assert_int_equal(err, 0);
    out->err = 12345;
}

static void compaction_tells_when_gone(void **state)
{
    struct fixture f;
    fx_open(&f);
    fx_put(&f, "a", "1", 0);
    fx_put(&f, "a", "2", 0);
    struct apply_out out;
    apply_out_init(&out);
    out.compacted = gone;
    static const uint8_t entry[] = {0x3a, 2, 0x08, 3};
    assert_int_equal(fx_bytes(&f, slice_of(entry, sizeof entry), &out), 0);
    assert_int_equal(out.err, 0);
    for (int i = 0; i < 20000 && out.err == 0; i++) {
        kvdb_poll(f.store.db);
        usleep(200);
    }
    assert_int_equal(out.err, 12345);
    apply_out_release(&out);
    fx_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(revisions),
        cmocka_unit_test(key_fields),
        cmocka_unit_test(put_options),
        cmocka_unit_test(leases_follow_keys),
        cmocka_unit_test(grants),
        cmocka_unit_test(deletes),
        cmocka_unit_test(compaction),
        cmocka_unit_test(compaction_tells_when_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

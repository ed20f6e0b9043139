/* The store and what lives in it: opened at start, and again after an image
 * came in. */
#include <jansson.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "node.h"

static int read_member(void *ctx, struct slice key, struct slice value)
{
    struct node *n = ctx;
    struct member m;
    int err = member_from_json(value, &m, NULL);
    if (err == 0) {
        members_put(&n->members, &m);
        member_release(&m);
    }
    return err;
}

static int read_removed(void *ctx, struct slice key, struct slice value)
{
    struct node *n = ctx;
    char text[32];
    if (key.size >= sizeof text) {
        return ERR_CORRUPT;
    }
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    members_remove(&n->members, strtoull(text, NULL, 16));
    return 0;
}

static int read_members(struct node *n)
{
    members_release(&n->members);
    n->members.cluster_id = n->cluster_id;
    int err = kvdb_each(n->db, KVDB_MEMBERS, read_member, n);
    if (err == 0) {
        err = kvdb_each(n->db, KVDB_MEMBERS_REMOVED, read_removed, n);
    }
    struct slice version;
    if (err == 0 && kvdb_get(n->db, KVDB_CLUSTER, slice_str("clusterVersion"),
                             &version) == 0) {
        char *text =
            mem_printf("%.*s", (int)version.size, (const char *)version.data);
        free(n->cluster_version);
        n->cluster_version = text;
    }
    return err;
}

static void set_version(void *ctx, const char *version)
{
    struct node *n = ctx;
    kvdb_stage_put(n->db, KVDB_CLUSTER, slice_str("clusterVersion"),
                   slice_str(version));
    kvdb_stage_put(n->db, KVDB_META, slice_str("storageVersion"),
                   slice_str(version));
    node_set_cluster_version(n, version);
}

static void set_attributes(void *ctx, uint64_t id, const Pbm__Attributes *to)
{
    struct node *n = ctx;
    struct member *m = members_find(&n->members, id);
    if (m == NULL || to == NULL) {
        return;
    }
    struct member changed = *m;
    changed.name = to->name;
    changed.client_urls = to->client_urls;
    changed.client_url_count = (uint32_t)to->n_client_urls;
    struct member before = *m;
    *m = (struct member){.id = id};
    members_put(&n->members, &(struct member){
                                 .id = id,
                                 .name = changed.name,
                                 .peer_urls = before.peer_urls,
                                 .peer_url_count = before.peer_url_count,
                                 .client_urls = changed.client_urls,
                                 .client_url_count = changed.client_url_count,
                                 .is_learner = before.is_learner,
                             });
    member_release(&before);
    node_stage_member(n, members_find(&n->members, id));
}

static void remember_downgrade(struct node *n, bool enabled, const char *target)
{
    free(n->downgrade_target);
    n->downgrade_target = enabled ? mem_strdup(target) : NULL;
}

/* {"target-version":"3.6.0","enabled":true} */
static int read_downgrade(struct node *n)
{
    struct slice row;
    int err = kvdb_get(n->db, KVDB_CLUSTER, slice_str("downgrade"), &row);
    if (err) {
        remember_downgrade(n, false, "");
        return err == ERR_NOT_FOUND ? 0 : err;
    }
    json_t *json = json_loadb((const char *)row.data, row.size, 0, NULL);
    const char *target =
        json_string_value(json_object_get(json, "target-version"));
    bool enabled = json_is_true(json_object_get(json, "enabled"));
    remember_downgrade(n, enabled, target ? target : "");
    err = json ? 0 : ERR_CORRUPT;
    json_decref(json);
    return err;
}

static void set_downgrade(void *ctx, bool enabled, const char *version)
{
    struct node *n = ctx;
    char *json = mem_printf("{\"target-version\":\"%s\",\"enabled\":%s}",
                            version, enabled ? "true" : "false");
    kvdb_stage_put(n->db, KVDB_CLUSTER, slice_str("downgrade"),
                   slice_str(json));
    free(json);
    remember_downgrade(n, enabled, version);
}

bool node_downgrade(void *ctx, const char **ret_target)
{
    const struct node *n = ctx;
    *ret_target = n->downgrade_target ? n->downgrade_target : "";
    return n->downgrade_target != NULL;
}

static int wire(struct node *n)
{
    if (n->apply) {
        int err = apply_set_store(n->apply, n->mvcc, n->db);
        return err;
    }
    int64_t quota = n->config->quota_backend_bytes;
    struct apply_config ac = {
        .mvcc = n->mvcc,
        .db = n->db,
        .lessor = n->lessor,
        .quota_bytes = quota > 0 ? (uint64_t)quota : 0,
        .hooks = {.cluster_version_set = set_version,
                  .member_attributes_set = set_attributes,
                  .downgrade_set = set_downgrade,
                  .ctx = n},
    };
    return apply_new(&ac, &n->apply);
}

int node_store_open(struct node *n)
{
    struct kvdb_config kc = boot_kvdb_config(n);
    n->db_seen = (struct kvdb_stats){0};
    int err = kvdb_open(&kc, &n->db);
    if (err) {
        log_error("cannot open the store", LOG_STR("path", n->paths.store),
                  LOG_STR("error", kvdb_error_text()));
        return err;
    }
    err = boot_check_identity(n);
    if (err) {
        return err;
    }
    struct mvcc_config mc = {.db = n->db};
    err = mvcc_open(&mc, &n->mvcc);
    if (err == 0) {
        err = read_members(n);
    }
    if (err == 0) {
        err = read_downgrade(n);
    }
    if (err == 0 && n->lessor == NULL) {
        int64_t ticks = (int64_t)(n->config->election_timeout_ms /
                                  n->config->heartbeat_interval_ms);
        int64_t ms =
            (3 * ticks / 2) * (int64_t)n->config->heartbeat_interval_ms;
        struct lessor_config lc = {
            .db = n->db,
            .ttl_min_s = (ms + 999) / 1000,
            .retry_ms = 5000 + 2 * n->config->election_timeout_ms,
        };
        n->lessor = lease_new(&lc);
    }
    if (err == 0) {
        err = lease_load(n->lessor, n->db);
    }
    if (err == 0) {
        err = HAS_BUG(LEASE_KEYS_LOST)
                  ? 0
                  : mvcc_each_leased(n->mvcc, lease_attach_row, n->lessor);
    }
    if (err == 0) {
        err = wire(n);
    }
    if (err) {
        log_error("the store cannot be read; restore this member from a "
                  "snapshot, or remove it and add it again with an empty "
                  "data directory",
                  LOG_STR("path", n->paths.store), LOG_ERR(err));
    }
    return err;
}

void node_store_close(struct node *n)
{
    kvdb_defragment_stop(n->db);
    mvcc_close(n->mvcc);
    n->mvcc = NULL;
    kvdb_close(n->db);
    n->db = NULL;
}

/* ---- flush ---- */

static void flushed(void *ctx, int err)
{
    struct node *n = ctx;
    n->flushing = false;
    if (err || n->stopping) {
        return; /* a failed commit has ended the process */
    }
    uint64_t index = HAS_BUG(LOG_RELEASED_EARLY) ? mvcc_applied_index(n->mvcc)
                                                 : mvcc_durable_index(n->mvcc);
    uint64_t keep = n->config->snapshot_catchup_entries;
    const uint8_t mark = BOOT_MARK_FLUSH;
    wal_snapshot(n->wal, index, mvcc_durable_term(n->mvcc), slice_of(&mark, 1));
    wal_submit(n->wal, false);
    if (index > n->wal_released + keep) {
        n->wal_released = index - keep;
        wal_release(n->wal, n->wal_released);
    }
    struct kvdb_stats stats;
    kvdb_get_stats(n->db, &stats);
    apply_set_store_bytes(n->apply,
                          stats.file_bytes + mvcc_delta_bytes(n->mvcc));
}

void node_flush(struct node *n)
{
    if (n->flushing ||
        mvcc_durable_index(n->mvcc) == mvcc_applied_index(n->mvcc)) {
        return;
    }
    n->flushing = true;
    mvcc_flush(n->mvcc, flushed, n);
}

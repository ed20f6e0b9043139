/*
 * Membership changes: a committed conf change entry becomes members, rows,
 * peers and Raft's configuration. One that does not hold (unknown member,
 * URL in use ...) changes nothing, on every member alike.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "node.h"
#include "proto/raft.pb-c.h"

void node_conf_of_members(const struct node *n, struct raft_conf_state *ret)
{
    *ret = (struct raft_conf_state){0};
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct member *m = &n->members.list[i];
        if (m->is_learner) {
            ret->learners[ret->learner_count++] = m->id;
        } else {
            ret->voters[ret->voter_count++] = m->id;
        }
    }
}

void node_stage_member(struct node *n, const struct member *m)
{
    struct buf json = BUF_INIT(1 << 20);
    char key[24];
    snprintf(key, sizeof key, "%lx", (unsigned long)m->id);
    member_to_json(m, true, &json);
    kvdb_stage_put(n->db, KVDB_MEMBERS, slice_str(key), buf_slice(&json));
    buf_release(&json);
}

static char *join(char *const *urls, uint32_t count)
{
    struct buf b = BUF_INIT(1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&b, "%s%s", i ? "," : "", urls[i]);
    }
    buf_append_byte(&b, '\0');
    size_t size;
    return (char *)buf_detach(&b, &size);
}

static bool url_in_use(const struct node *n, const struct member *m)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct member *o = &n->members.list[i];
        for (uint32_t a = 0; o->id != m->id && a < o->peer_url_count; a++) {
            for (uint32_t b = 0; b < m->peer_url_count; b++) {
                if (strcmp(o->peer_urls[a], m->peer_urls[b]) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static uint32_t learners(const struct node *n)
{
    struct raft_conf_state conf;
    node_conf_of_members(n, &conf);
    return conf.learner_count;
}

/* The rules of membership at apply; false: the change is void. */
static bool holds(const struct node *n, const Pbr__ConfChange *cc,
                  const struct member *m, bool promote)
{
    const struct member *known = members_find(&n->members, cc->node_id);
    if (members_is_removed(&n->members, cc->node_id)) {
        return false;
    }
    switch (cc->type) {
    case PBR__CONF_CHANGE_TYPE__ConfChangeAddNode:
        return promote ? known && known->is_learner
                       : known == NULL && !url_in_use(n, m);
    case PBR__CONF_CHANGE_TYPE__ConfChangeAddLearnerNode:
        return known == NULL && !url_in_use(n, m) &&
               learners(n) < (uint64_t)n->config->max_learners;
    case PBR__CONF_CHANGE_TYPE__ConfChangeUpdateNode:
        return known != NULL && !url_in_use(n, m);
    case PBR__CONF_CHANGE_TYPE__ConfChangeRemoveNode:
        return known != NULL;
    default:
        return false;
    }
}

static void put_peer(struct node *n, const struct member *m)
{
    if (n->peers && m->id != n->id) {
        peer_hub_put(n->peers, m->id, m->peer_urls, m->peer_url_count);
    }
}

static void add(struct node *n, const struct member *m)
{
    members_put(&n->members, m);
    node_stage_member(n, m);
    put_peer(n, m);
    char *urls = join(m->peer_urls, m->peer_url_count);
    log_info("added member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id), LOG_ID("added-peer-id", m->id),
             LOG_STR("added-peer-peer-urls", urls),
             LOG_BOOL("added-peer-is-learner", m->is_learner));
    free(urls);
}

static void promote_member(struct node *n, uint64_t id)
{
    struct member *m = members_find(&n->members, id);
    m->is_learner = false;
    node_stage_member(n, m);
    log_info("promote member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id),
             LOG_ID("promoted-member-id", id));
}

static void update(struct node *n, const struct member *with)
{
    struct member *m = members_find(&n->members, with->id);
    struct member changed = *with;
    changed.name = m->name;
    changed.client_urls = m->client_urls;
    changed.client_url_count = m->client_url_count;
    changed.is_learner = m->is_learner;
    members_put(&n->members, &changed);
    m = members_find(&n->members, with->id);
    node_stage_member(n, m);
    put_peer(n, m);
    log_info("updated member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id),
             LOG_ID("updated-remote-peer-id", m->id));
}

static void drop(struct node *n, uint64_t id)
{
    char key[24];
    snprintf(key, sizeof key, "%lx", (unsigned long)id);
    kvdb_stage_del(n->db, KVDB_MEMBERS, slice_str(key));
    kvdb_stage_put(n->db, KVDB_MEMBERS_REMOVED, slice_str(key),
                   slice_str("removed"));
    members_remove(&n->members, id);
    if (n->peers && id != n->id) {
        peer_hub_remove(n->peers, id);
    }
    log_info("removed member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id),
             LOG_ID("removed-remote-peer-id", id));
}

static void change(struct node *n, const Pbr__ConfChange *cc,
                   const struct member *m, bool promote)
{
    switch (cc->type) {
    case PBR__CONF_CHANGE_TYPE__ConfChangeRemoveNode:
        drop(n, cc->node_id);
        break;
    case PBR__CONF_CHANGE_TYPE__ConfChangeUpdateNode:
        update(n, m);
        break;
    default:
        if (promote) {
            promote_member(n, cc->node_id);
        } else {
            add(n, m);
        }
    }
}

void node_apply_conf(struct node *n, const struct raft_entry *e)
{
    struct slice data = bytes_slice(e->data);
    Pbr__ConfChange *cc = pbr__conf_change__unpack(NULL, data.size, data.data);
    struct member m = {0};
    bool promote = false;
    if (cc == NULL || e->type != RAFT_ENTRY_CONF_CHANGE) {
        log_fatal("an entry of the log does not parse as a membership change",
                  LOG_UINT("index", e->index), LOG_INT("kind", e->type));
        return;
    }
    bool removes = cc->type == PBR__CONF_CHANGE_TYPE__ConfChangeRemoveNode;
    if (!removes &&
        (member_from_json(slice_of(cc->context.data, cc->context.len), &m,
                          &promote) != 0 ||
         m.id != cc->node_id)) {
        log_fatal("a membership change of the log names no member",
                  LOG_UINT("index", e->index));
        return;
    }
    m.is_learner = cc->type == PBR__CONF_CHANGE_TYPE__ConfChangeAddLearnerNode;
    struct raft_conf_state conf;
    bool valid = holds(n, cc, &m, promote);
    if (valid) {
        change(n, cc, &m, promote);
    }
    replica_conf_applied(n->replica, (enum raft_conf_change_type)cc->type,
                         valid ? cc->node_id : 0, &conf);
    member_release(&m);
    pbr__conf_change__free_unpacked(cc, NULL);
}

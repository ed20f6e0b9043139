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

static void put_peer(struct node *n, const struct member *m)
{
    if (n->peers && m->id != n->id) {
        peer_hub_put(n->peers, m->id, m->peer_urls, m->peer_url_count);
    }
}

void node_put_peers(struct node *n, const struct members *ms)
{
    for (uint32_t i = 0; i < ms->count; i++) {
        put_peer(n, &ms->list[i]);
    }
}

static void told(const struct node *n, const struct member_change *c)
{
    static const char *const names[] = {
        [RAFT_CONF_ADD_NODE] = "ConfChangeAddNode",
        [RAFT_CONF_REMOVE_NODE] = "ConfChangeRemoveNode",
        [RAFT_CONF_UPDATE_NODE] = "ConfChangeUpdateNode",
        [RAFT_CONF_ADD_LEARNER] = "ConfChangeAddLearnerNode",
    };
    log_info("applied a configuration change through raft",
             LOG_ID("local-member-id", n->id),
             LOG_STR("raft-conf-change", names[c->type]),
             LOG_ID("raft-conf-change-node-id", c->member.id));
}

static void log_added(const struct node *n, const struct member *m)
{
    char *urls = join(m->peer_urls, m->peer_url_count);
    log_info("added member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id), LOG_ID("added-peer-id", m->id),
             LOG_STR("added-peer-peer-urls", urls),
             LOG_BOOL("added-peer-is-learner", m->is_learner));
    free(urls);
}

static void log_updated(const struct node *n, const struct member *m)
{
    char *urls = join(m->peer_urls, m->peer_url_count);
    log_info("updated member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id),
             LOG_ID("updated-remote-peer-id", m->id),
             LOG_STR("updated-remote-peer-urls", urls),
             LOG_BOOL("updated-remote-peer-is-learner", m->is_learner));
    free(urls);
}

static void log_removed(const struct node *n, const struct member *m)
{
    char *urls = join(m->peer_urls, m->peer_url_count);
    log_info("removed member", LOG_ID("cluster-id", n->cluster_id),
             LOG_ID("local-member-id", n->id),
             LOG_ID("removed-remote-peer-id", m->id),
             LOG_STR("removed-remote-peer-urls", urls),
             LOG_BOOL("removed-remote-peer-is-learner", m->is_learner));
    free(urls);
}

static void drop(struct node *n, uint64_t id)
{
    char key[24];
    snprintf(key, sizeof key, "%lx", (unsigned long)id);
    kvdb_stage_del(n->db, KVDB_MEMBERS, slice_str(key));
    kvdb_stage_put(n->db, KVDB_MEMBERS_REMOVED, slice_str(key),
                   slice_str("removed"));
    log_removed(n, members_find(&n->members, id));
    if (n->peers && id != n->id) {
        peer_hub_remove(n->peers, id);
    }
}

static void change(struct node *n, const struct member_change *c)
{
    uint64_t id = c->member.id;
    bool is_new = members_find(&n->members, id) == NULL;
    if (c->type == RAFT_CONF_REMOVE_NODE) {
        drop(n, id);
        member_change_apply(&n->members, c);
        if (id == n->id) {
            node_removed_soon(n);
        }
        return;
    }
    member_change_apply(&n->members, c);
    const struct member *m = members_find(&n->members, id);
    node_stage_member(n, m);
    put_peer(n, m);
    if (is_new) {
        log_added(n, m);
    } else if (c->promote) {
        log_info("promote member", LOG_ID("cluster-id", n->cluster_id),
                 LOG_ID("local-member-id", n->id),
                 LOG_ID("promoted-member-id", id));
    } else {
        log_updated(n, m);
    }
}

/* What the entry says; it stops this member when it says nothing that can
 * be understood, since the others may have understood it. */
int node_conf_decode(const struct raft_entry *e, struct member_change *ret)
{
    struct slice data = bytes_slice(e->data);
    Pbr__ConfChange *cc = pbr__conf_change__unpack(NULL, data.size, data.data);
    if (cc == NULL || e->type != RAFT_ENTRY_CONF_CHANGE) {
        log_fatal("an entry of the log does not parse as a membership change",
                  LOG_UINT("index", e->index), LOG_INT("kind", e->type));
        return ERR_CORRUPT;
    }
    int err = 0;
    *ret = (struct member_change){
        .type = (enum raft_conf_change_type)cc->type,
    };
    if (cc->type != PBR__CONF_CHANGE_TYPE__ConfChangeRemoveNode) {
        err = member_from_json(slice_of(cc->context.data, cc->context.len),
                               &ret->member, &ret->promote);
    }
    if (err == 0 && cc->type != PBR__CONF_CHANGE_TYPE__ConfChangeRemoveNode &&
        ret->member.id != cc->node_id) {
        err = ERR_CORRUPT;
    }
    ret->member.id = cc->node_id;
    if (cc->type != PBR__CONF_CHANGE_TYPE__ConfChangeAddNode) {
        ret->promote = false;
    }
    pbr__conf_change__free_unpacked(cc, NULL);
    if (err) {
        log_fatal("a membership change of the log names no member",
                  LOG_UINT("index", e->index));
    }
    return err;
}

void node_apply_conf(struct node *n, const struct raft_entry *e,
                     struct replica_proposal *p)
{
    struct member_change c;
    struct raft_conf_state conf;
    if (node_conf_decode(e, &c) != 0) {
        return;
    }
    int err = member_change_check(&n->members, &c, n->config->max_learners);
    if (err == 0) {
        n->conf_index = e->index;
        change(n, &c);
    }
    replica_conf_applied(n->replica, c.type, err ? 0 : c.member.id, &conf);
    if (err == 0) {
        told(n, &c);
    }
    if (p && p->out) {
        ((struct apply_out *)p->out)->err = err;
    }
    member_release(&c.member);
}

#include "tree.h"

#include <assert.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/mem.h"
#include "delta.h"

static struct mvcc_node *node_new(struct mvcc_tree *t, bool leaf)
{
    size_t size = sizeof(struct mvcc_node);
    if (!leaf) {
        size += MVCC_NODE_SIZE * sizeof(struct mvcc_node *);
    }
    struct mvcc_node *n = mem_alloc(size);
    n->count = 0;
    n->leaf = leaf;
    n->skip = 0;
    n->next = NULL;
    n->all_next = t->all;
    t->all = n;
    t->bytes += size;
    return n;
}

void mvcc_tree_init(struct mvcc_tree *t)
{
    *t = (struct mvcc_tree){0};
    t->root = node_new(t, true);
}

void mvcc_tree_release(struct mvcc_tree *t)
{
    while (t->all) {
        struct mvcc_node *n = t->all;
        t->all = n->all_next;
        free(n);
    }
    t->root = NULL;
}

static uint64_t head_of(struct slice key, size_t skip)
{
    uint8_t bytes[8] = {0};
    size_t left = key.size > skip ? key.size - skip : 0;
    if (left >= sizeof bytes) {
        return get_be64(key.data + skip);
    }
    if (left) {
        memcpy(bytes, key.data + skip, left);
    }
    return get_be64(bytes);
}

static size_t common_size(struct slice a, struct slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    size_t i = 0;
    while (i < n && a.data[i] == b.data[i]) {
        i++;
    }
    return i;
}

/* After a change of the first or last key. */
static void refresh_skip(struct mvcc_node *n, bool always)
{
    struct slice first = mvcc_rec_key(n->rec[0]);
    struct slice last = mvcc_rec_key(n->rec[n->count - 1]);
    uint32_t skip = (uint32_t)common_size(first, last);
    if (skip == n->skip && !always) {
        return;
    }
    n->skip = skip;
    memcpy(n->common, first.data,
           skip < MVCC_NODE_COMMON_SIZE ? skip : MVCC_NODE_COMMON_SIZE);
    for (unsigned i = 0; i < n->count; i++) {
        n->head[i] = head_of(mvcc_rec_key(n->rec[i]), skip);
    }
}

/* <0, >0: below or above all keys of the node; 0: it begins like them. */
static int compare_common(const struct mvcc_node *n, struct slice key)
{
    size_t size = key.size < n->skip ? key.size : n->skip;
    size_t here = size < MVCC_NODE_COMMON_SIZE ? size : MVCC_NODE_COMMON_SIZE;
    int c = here ? memcmp(key.data, n->common, here) : 0;
    if (c == 0 && size > here) {
        const uint8_t *whole = mvcc_rec_key(n->rec[0]).data;
        c = memcmp(key.data + here, whole + here, size - here);
    }
    return c == 0 && key.size < n->skip ? -1 : c;
}

/* First position whose key is not below `key`. */
static unsigned node_search(const struct mvcc_node *n, struct slice key,
                            bool *ret_found)
{
    *ret_found = false;
    if (n->count == 0) {
        return 0;
    }
    if (n->skip) {
        int c = compare_common(n, key);
        if (c != 0) {
            return c < 0 ? 0 : n->count;
        }
    }
    uint64_t head = head_of(key, n->skip);
    unsigned low = 0;
    unsigned high = n->count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (n->head[mid] != head) {
            if (n->head[mid] < head) {
                low = mid + 1;
            } else {
                high = mid;
            }
            continue;
        }
        int c = slice_cmp(mvcc_rec_key(n->rec[mid]), key);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* A search reads the head and some of `head`: fetched together, their
 * cache misses are one. */
static void prefetch_node(const struct mvcc_node *n)
{
    __builtin_prefetch(n);
    for (unsigned i = 0; i < MVCC_NODE_SIZE; i += 8) {
        __builtin_prefetch(n->head + i);
    }
}

void mvcc_tree_find(const struct mvcc_tree *t, struct slice key,
                    struct mvcc_path *ret_path)
{
    struct mvcc_node *n = t->root;
    int depth = 0;
    for (;;) {
        bool found;
        unsigned pos = node_search(n, key, &found);
        if (!n->leaf && !found && pos > 0) {
            pos--;
        }
        assert(depth < MVCC_TREE_DEPTH_MAX);
        ret_path->node[depth] = n;
        ret_path->pos[depth] = (uint16_t)pos;
        depth++;
        if (n->leaf) {
            ret_path->depth = depth;
            ret_path->found = found;
            return;
        }
        n = n->kid[pos];
        prefetch_node(n);
    }
}

static void node_insert(struct mvcc_node *n, unsigned pos, struct mvcc_rec *rec,
                        struct mvcc_node *kid)
{
    unsigned tail = n->count - pos;
    memmove(n->head + pos + 1, n->head + pos, tail * sizeof n->head[0]);
    memmove(n->rec + pos + 1, n->rec + pos, tail * sizeof n->rec[0]);
    n->rec[pos] = rec;
    if (kid) {
        memmove(n->kid + pos + 1, n->kid + pos, tail * sizeof n->kid[0]);
        n->kid[pos] = kid;
    }
    n->count++;
    if (n->count == 1) {
        refresh_skip(n, true);
        return;
    }
    n->head[pos] = head_of(mvcc_rec_key(rec), n->skip);
    if (pos == 0 || pos + 1u == n->count) {
        refresh_skip(n, false);
    }
}

/* Moves the upper part of a full node to a new one on its right; all of the
 * room goes left when keys come in ascending order. */
static struct mvcc_node *node_split(struct mvcc_tree *t, struct mvcc_node *n,
                                    unsigned keep)
{
    struct mvcc_node *right = node_new(t, n->leaf);
    unsigned moved = n->count - keep;
    memcpy(right->rec, n->rec + keep, moved * sizeof n->rec[0]);
    if (!n->leaf) {
        memcpy(right->kid, n->kid + keep, moved * sizeof n->kid[0]);
    }
    right->count = (uint16_t)moved;
    n->count = (uint16_t)keep;
    right->next = n->next;
    n->next = right;
    if (moved) {
        refresh_skip(right, true);
    }
    refresh_skip(n, true);
    return right;
}

/* Inserts into the node of the path at `level`; returns the new node to its
 * right when it was full. */
static struct mvcc_node *insert_level(struct mvcc_tree *t, struct mvcc_node *n,
                                      unsigned pos, struct mvcc_rec *rec,
                                      struct mvcc_node *kid)
{
    if (n->count < MVCC_NODE_SIZE) {
        node_insert(n, pos, rec, kid);
        return NULL;
    }
    bool ascending = pos == n->count && n->next == NULL;
    unsigned keep = ascending ? MVCC_NODE_SIZE : MVCC_NODE_SIZE / 2;
    struct mvcc_node *right = node_split(t, n, keep);
    if (ascending || pos > keep) {
        node_insert(right, pos - keep, rec, kid);
    } else {
        node_insert(n, pos, rec, kid);
    }
    return right;
}

static void grow(struct mvcc_tree *t, struct mvcc_node *right)
{
    struct mvcc_node *root = node_new(t, false);
    struct mvcc_node *left = t->root;
    node_insert(root, 0, left->rec[0], left);
    node_insert(root, 1, right->rec[0], right);
    t->root = root;
}

/* A key below all others becomes the lower bound of the nodes above it, so
 * that the bounds in a node stay in order. */
static void lower_bounds(const struct mvcc_path *path, struct mvcc_rec *rec)
{
    struct slice key = mvcc_rec_key(rec);
    for (int level = 0; level < path->depth - 1; level++) {
        struct mvcc_node *n = path->node[level];
        if (path->pos[level] == 0 &&
            slice_cmp(key, mvcc_rec_key(n->rec[0])) < 0) {
            n->rec[0] = rec;
            n->head[0] = head_of(key, n->skip);
            refresh_skip(n, false);
        }
    }
}

void mvcc_tree_insert(struct mvcc_tree *t, const struct mvcc_path *path,
                      struct mvcc_rec *rec)
{
    int level = path->depth - 1;
    if (path->found) {
        path->node[level]->rec[path->pos[level]] = rec;
        return;
    }
    lower_bounds(path, rec);
    struct mvcc_node *right =
        insert_level(t, path->node[level], path->pos[level], rec, NULL);
    while (right && level > 0) {
        level--;
        right = insert_level(t, path->node[level], path->pos[level] + 1u,
                             right->rec[0], right);
    }
    if (right) {
        grow(t, right);
    }
}

void mvcc_tree_seek(const struct mvcc_tree *t, struct slice key,
                    struct mvcc_tree_cursor *ret_cursor)
{
    struct mvcc_path path;
    mvcc_tree_find(t, key, &path);
    const struct mvcc_node *leaf = path.node[path.depth - 1];
    unsigned pos = path.pos[path.depth - 1];
    if (pos == leaf->count) {
        leaf = leaf->next;
        pos = 0;
    }
    *ret_cursor = (struct mvcc_tree_cursor){leaf, pos};
}

void mvcc_tree_next(struct mvcc_tree_cursor *c)
{
    if (++c->pos == c->leaf->count) {
        c->leaf = c->leaf->next;
        c->pos = 0;
    }
}

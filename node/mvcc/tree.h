/*
 * The delta's order by key: a B+tree of 64-way nodes. A node keeps, beside
 * the pointers, eight bytes of each key taken behind what all its keys have
 * in common, so that a search touches the node and hardly any key:
 *
 *   keys  /registry/pods/a  /registry/pods/b1  /registry/pods/b2
 *   skip  15 (the common part)       head  a.......  b1......  b2......
 *
 * Entries are only added, or replaced by a newer record of the same key;
 * the tree owns its nodes and not the records.
 */
#ifndef MVCC_TREE_H
#define MVCC_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct mvcc_rec;

enum {
    MVCC_NODE_SIZE = 64, /* keys */
    MVCC_TREE_DEPTH_MAX = 12,
    MVCC_NODE_COMMON_SIZE = 44,
};

struct mvcc_node {
    uint16_t count;
    bool leaf;
    uint32_t skip; /* leading bytes that all keys share ... */
    uint8_t common[MVCC_NODE_COMMON_SIZE]; /* ... the first of them */
    struct mvcc_node *next;                /* node to the right */
    struct mvcc_node *all_next;            /* every node, for freeing */
    uint64_t head[MVCC_NODE_SIZE];
    struct mvcc_rec *rec[MVCC_NODE_SIZE];
    struct mvcc_node *kid[]; /* inner nodes only: kid[i] holds >= rec[i] */
};

struct mvcc_tree {
    struct mvcc_node *root;
    struct mvcc_node *all;
    uint64_t bytes;
};

/* The way to a key, or to the place where it would stand. */
struct mvcc_path {
    int depth;
    struct mvcc_node *node[MVCC_TREE_DEPTH_MAX];
    uint16_t pos[MVCC_TREE_DEPTH_MAX];
    bool found;
};

void mvcc_tree_init(struct mvcc_tree *t);
void mvcc_tree_release(struct mvcc_tree *t);
void mvcc_tree_find(const struct mvcc_tree *t, struct slice key,
                    struct mvcc_path *ret_path);
/* Puts `rec`, whose key the path was made for, at its place. */
void mvcc_tree_insert(struct mvcc_tree *t, const struct mvcc_path *path,
                      struct mvcc_rec *rec);

struct mvcc_tree_cursor {
    const struct mvcc_node *leaf; /* NULL: at the end */
    unsigned pos;
};

/* At the first key that is not below `key`. */
void mvcc_tree_seek(const struct mvcc_tree *t, struct slice key,
                    struct mvcc_tree_cursor *ret_cursor);
void mvcc_tree_next(struct mvcc_tree_cursor *c);

/* Newest record of the key here; NULL at the end. */
static inline struct mvcc_rec *mvcc_tree_at(const struct mvcc_tree_cursor *c)
{
    return c->leaf ? c->leaf->rec[c->pos] : NULL;
}

#endif

/*
 * Interval tree: an AVL tree of ranges in order of (key, end), each node
 * knowing the greatest end below it, so that a key finds the ranges over it
 * without a look at the others. Recursion is as deep as the tree: at most
 * 1.45 log2(n) levels.
 */
#include "state.h"

/* An end of "\0" is no end at all, greater than any. */
static bool endless(struct slice end)
{
    return end.size == 1 && end.data[0] == 0;
}

static int compare_ends(struct slice a, struct slice b)
{
    if (endless(a) || endless(b)) {
        return endless(a) - endless(b);
    }
    return slice_cmp(a, b);
}

static int compare(const struct watch_group *g, struct slice key,
                   struct slice end)
{
    int c = slice_cmp(key, g->key);
    return c ? c : compare_ends(end, g->end);
}

static int height(const struct watch_group *g)
{
    return g ? g->height : 0;
}

static void update(struct watch_group *g)
{
    int left = height(g->left), right = height(g->right);
    g->height = (left > right ? left : right) + 1;
    g->last = g;
    if (g->left && compare_ends(g->left->last->end, g->last->end) > 0) {
        g->last = g->left->last;
    }
    if (g->right && compare_ends(g->right->last->end, g->last->end) > 0) {
        g->last = g->right->last;
    }
}

static struct watch_group *rotate_right(struct watch_group *g)
{
    struct watch_group *top = g->left;
    g->left = top->right;
    top->right = g;
    update(g);
    update(top);
    return top;
}

static struct watch_group *rotate_left(struct watch_group *g)
{
    struct watch_group *top = g->right;
    g->right = top->left;
    top->left = g;
    update(g);
    update(top);
    return top;
}

static struct watch_group *balance(struct watch_group *g)
{
    update(g);
    int lean = height(g->left) - height(g->right);
    if (lean > 1) {
        if (height(g->left->left) < height(g->left->right)) {
            g->left = rotate_left(g->left);
        }
        return rotate_right(g);
    }
    if (lean < -1) {
        if (height(g->right->right) < height(g->right->left)) {
            g->right = rotate_right(g->right);
        }
        return rotate_left(g);
    }
    return g;
}

struct watch_group *watch_tree_find(struct watch_group *root, struct slice key,
                                    struct slice end)
{
    while (root) {
        int c = compare(root, key, end);
        if (c == 0) {
            return root;
        }
        root = c < 0 ? root->left : root->right;
    }
    return NULL;
}

struct watch_group *watch_tree_insert(struct watch_group *root,
                                      struct watch_group *g)
{
    if (!root) {
        g->left = g->right = NULL;
        update(g);
        return g;
    }
    if (compare(root, g->key, g->end) < 0) {
        root->left = watch_tree_insert(root->left, g);
    } else {
        root->right = watch_tree_insert(root->right, g);
    }
    return balance(root);
}

static struct watch_group *take_first(struct watch_group *root,
                                      struct watch_group **ret_first)
{
    if (!root->left) {
        *ret_first = root;
        return root->right;
    }
    root->left = take_first(root->left, ret_first);
    return balance(root);
}

struct watch_group *watch_tree_remove(struct watch_group *root,
                                      struct watch_group *g)
{
    int c = compare(root, g->key, g->end);
    if (c < 0) {
        root->left = watch_tree_remove(root->left, g);
        return balance(root);
    }
    if (c > 0) {
        root->right = watch_tree_remove(root->right, g);
        return balance(root);
    }
    if (!root->left || !root->right) {
        return root->left ? root->left : root->right;
    }
    struct watch_group *top;
    struct watch_group *right = take_first(root->right, &top);
    top->left = root->left;
    top->right = right;
    return balance(top);
}

void watch_tree_stab(struct watch_group *root, struct slice key,
                     void (*found)(void *ctx, struct watch_group *g), void *ctx)
{
    while (root) {
        struct slice greatest = root->last->end;
        if (!endless(greatest) && slice_cmp(key, greatest) >= 0) {
            return; /* all below end at or before the key */
        }
        watch_tree_stab(root->left, key, found, ctx);
        if (slice_cmp(key, root->key) < 0) {
            return; /* this and all to the right begin behind the key */
        }
        if (endless(root->end) || slice_cmp(key, root->end) < 0) {
            found(ctx, root);
        }
        root = root->right;
    }
}

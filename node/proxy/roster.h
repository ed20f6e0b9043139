/*
 * Keeps a registry (registry.h) up to date: a range of the prefix, then a
 * watch from there on; when the watch is over, both anew. What was known
 * stays known meanwhile. On the loop thread.
 */
#ifndef PROXY_ROSTER_H
#define PROXY_ROSTER_H

#include "namespace.h"
#include "registry.h"
#include "upstream.h"

struct roster;

/* Of the keys PREFIX/..., below the namespace. The upstream must outlive
 * it. */
struct roster *roster_new(struct upstream *u, const struct name_space *ns,
                          const char *prefix);
const struct registry *roster_registry(const struct roster *r);
void roster_free(struct roster *r); /* NULL is fine */

#endif

/*
 * Do the members hold the same? HashKV of this one beside those of the
 * others: now and then on the leader (--corrupt-check-time; of compactions,
 * by a feature gate), and once before a member serves (by another).
 * Who differs gets the CORRUPT alarm, under which nothing is written any
 * more. Loop thread only.
 */
#ifndef SERVER_CORRUPTION_H
#define SERVER_CORRUPTION_H

#include "node.h"

/* ---- peer_hash.c ---- */
struct peer_hash_answer {
    uint64_t id;
    int err; /* ERR_FUTURE: it is not that far; else: it did not answer */
    int64_t revision; /* where it stands */
    struct mvcc_hash hash;
};

struct peer_hashes {
    uint32_t count;
    struct peer_hash_answer list[MEMBERS_MAX];
};

struct peer_hash_round;
/* Asks every other member for its hash of a revision. `done` once, never
 * from inside, and then the round is gone. */
struct peer_hash_round *
peer_hash_ask(struct node *n, int64_t revision,
              void (*done)(void *ctx, const struct peer_hashes *hashes),
              void *ctx);
void peer_hash_cancel(struct peer_hash_round *r); /* NULL is fine */
/* GET /members/hashkv: {"revision":N}, 0: the present one. */
void peer_hash_answer(struct node *n, struct slice body,
                      struct peer_request *rq);

/* ---- corruption_compare.c: pure ---- */
/*
 * Members that hold something else than the leader, by its hash at the
 * beginning of a round and what the others said of that revision. `now`
 * is the leader's own of after the round. Writes at most MEMBERS_MAX + 1
 * ids; returns how many.
 */
uint32_t corruption_compare(uint64_t self, const struct mvcc_hash *own,
                            const struct mvcc_hash *now,
                            const struct peer_hashes *others,
                            uint64_t *ret_ids);
/*
 * The same of a compaction's hash, where the majority is right: those
 * outside it, or id 0 when no hash has one. *ret_all: everybody could be
 * compared.
 */
uint32_t corruption_compare_compaction(uint64_t self,
                                       const struct mvcc_hash *own,
                                       const struct peer_hashes *others,
                                       uint64_t *ret_ids, bool *ret_all);

/* ---- corruption.c ---- */
void node_corruption_new(struct node *n);
/* The rounds of the leader begin. */
void node_corruption_start(struct node *n);
/* No more rounds; a hash that is being computed is let go by the store's
 * close, and only then comes the other. */
void node_corruption_stop(struct node *n);
void node_corruption_free(struct node *n);
/* Before this member serves: `done`, possibly at once, with ERR_CORRUPT when
 * another one has a different hash of what is here. */
void node_corruption_first(struct node *n,
                           void (*done)(struct node *n, int err));

#endif

/*
 * The only way between threads: a queue of intrusive letters, posted by any
 * thread, taken whole by the one that owns the box. The owner either waits
 * here (WAL and store threads) or is woken by `wake` (the loop).
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

struct letter {
    struct letter *next;
};

struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct letter *first;
    struct letter **last;
    bool closed;
    void (*wake)(void *ctx); /* may be NULL; runs on the posting thread */
    void *wake_ctx;
};

void mailbox_init(struct mailbox *m, void (*wake)(void *ctx), void *ctx);
void mailbox_release(struct mailbox *m);

/* The letter belongs to the box until taken. */
void mailbox_post(struct mailbox *m, struct letter *l);

/* All letters in order of posting, or NULL when there are none. */
struct letter *mailbox_take(struct mailbox *m);

/* As mailbox_take, but waits for one; NULL only after mailbox_close. */
struct letter *mailbox_wait(struct mailbox *m);

void mailbox_close(struct mailbox *m);

#endif

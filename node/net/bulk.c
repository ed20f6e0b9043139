/*
 * Threads for what moves much and nobody waits for: they give way to those
 * on which requests are answered. Started with the first job.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "net/internal.h"

/* Two: a job that takes its time must not hold up those that come after. */
enum { THREADS = 2 };

struct bulk_job {
    struct bulk_job *next;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

struct bulk_queue {
    struct bulk_job *first;
    struct bulk_job **last;
};

struct net_bulk {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct bulk_queue waiting;
    struct bulk_queue worked;
    bool stopped;
    struct waker *waker;
    pthread_t threads[THREADS];
};

static void queue_put(struct bulk_queue *q, struct bulk_job *job)
{
    job->next = NULL;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    *q->last = job;
    q->last = &job->next;
}

static struct bulk_job *queue_take(struct bulk_queue *q)
{
    struct bulk_job *job = q->first;
    if (job) {
        q->first = job->next;
    }
    return job;
}

static void *run(void *ctx)
{
    struct net_bulk *b = ctx;
    thread_give_way();
    pthread_mutex_lock(&b->mutex);
    for (;;) {
        struct bulk_job *job = queue_take(&b->waiting);
        if (job) {
            pthread_mutex_unlock(&b->mutex);
            job->work(job->ctx);
            pthread_mutex_lock(&b->mutex);
            queue_put(&b->worked, job);
            waker_wake(b->waker);
        } else if (b->stopped) {
            break;
        } else {
            pthread_cond_wait(&b->filled, &b->mutex);
        }
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

static void on_worked(void *ctx)
{
    struct net_bulk *b = ctx;
    for (;;) {
        pthread_mutex_lock(&b->mutex);
        struct bulk_job *job = queue_take(&b->worked);
        pthread_mutex_unlock(&b->mutex);
        if (job == NULL) {
            return;
        }
        job->done(job->ctx);
        free(job);
    }
}

static struct net_bulk *start(struct loop *l)
{
    struct net_bulk *b = mem_zalloc(sizeof *b);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->filled, NULL);
    b->waker = waker_new(l, on_worked, b);
    for (int i = 0; i < THREADS; i++) {
        if (thread_start(&b->threads[i], "bulk", run, b) != 0) {
            abort(); /* as without memory */
        }
    }
    return b;
}

void loop_offload_bulk(struct loop *l, void (*work)(void *ctx),
                       void (*done)(void *ctx), void *ctx)
{
    if (l->bulk == NULL) {
        l->bulk = start(l);
    }
    struct bulk_job *job = mem_zalloc(sizeof *job);
    job->work = work;
    job->done = done;
    job->ctx = ctx;
    pthread_mutex_lock(&l->bulk->mutex);
    queue_put(&l->bulk->waiting, job);
    pthread_mutex_unlock(&l->bulk->mutex);
    pthread_cond_signal(&l->bulk->filled);
}

/* Every job is run to its end and done, as the pool's are. */
void net_bulk_free(struct net_bulk *b)
{
    if (b == NULL) {
        return;
    }
    pthread_mutex_lock(&b->mutex);
    b->stopped = true;
    pthread_mutex_unlock(&b->mutex);
    pthread_cond_broadcast(&b->filled);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(b->threads[i], NULL);
    }
    on_worked(b);
    waker_free(b->waker);
    pthread_cond_destroy(&b->filled);
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

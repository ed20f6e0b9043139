#include "mailbox.h"

#include <stddef.h>

void mailbox_init(struct mailbox *m, void (*wake)(void *ctx), void *ctx)
{
    *m = (struct mailbox){.wake = wake, .wake_ctx = ctx};
    m->last = &m->first;
    pthread_mutex_init(&m->mutex, NULL);
    pthread_cond_init(&m->filled, NULL);
}

void mailbox_release(struct mailbox *m)
{
    pthread_cond_destroy(&m->filled);
    pthread_mutex_destroy(&m->mutex);
}

void mailbox_post(struct mailbox *m, struct letter *l)
{
    l->next = NULL;
    pthread_mutex_lock(&m->mutex);
    bool was_empty = m->first == NULL;
    *m->last = l;
    m->last = &l->next;
    if (was_empty) {
        pthread_cond_signal(&m->filled);
    }
    pthread_mutex_unlock(&m->mutex);
    if (was_empty && m->wake) {
        m->wake(m->wake_ctx);
    }
}

static struct letter *take_locked(struct mailbox *m)
{
    struct letter *l = m->first;
    m->first = NULL;
    m->last = &m->first;
    return l;
}

struct letter *mailbox_take(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    struct letter *l = take_locked(m);
    pthread_mutex_unlock(&m->mutex);
    return l;
}

struct letter *mailbox_wait(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    while (m->first == NULL && !m->closed) {
        pthread_cond_wait(&m->filled, &m->mutex);
    }
    struct letter *l = take_locked(m);
    pthread_mutex_unlock(&m->mutex);
    return l;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    m->closed = true;
    pthread_cond_broadcast(&m->filled);
    pthread_mutex_unlock(&m->mutex);
}

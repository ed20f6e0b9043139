/*
 * The store thread: takes jobs from the inbox, runs one step of the first,
 * commits, puts it behind the others when it has more to do. Nothing else
 * writes to the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "private.h"

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* fsync is never retried and a failed one tells nothing about what is on
 * the disk: after the first failure nothing is written any more. */
void kvdb_store_fail(struct kvdb *db, int err, const char *what,
                     const char *why)
{
    db->failed = true;
    if (db->fatal) {
        char text[640];
        snprintf(text, sizeof text, "%s %s: %s", what, db->path, why);
        db->fatal(db->ctx, err, text);
    }
}

static int commit(struct kvdb *db, MDB_txn *txn)
{
    uint64_t start_ns = now_ns();
    int rc = mdb_txn_commit(txn);
    if (rc != 0) {
        kvdb_store_fail(db, kvdb_err(rc), "cannot commit to", mdb_strerror(rc));
        return kvdb_err(rc);
    }
    atomic_fetch_add(&db->commit_ns_total, now_ns() - start_ns);
    atomic_fetch_add(&db->commit_count, 1);
    return 0;
}

static int step_write(struct kvdb *db, struct kvdb_job *job)
{
    if (db->failed) {
        return ERR_IO;
    }
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc != 0) {
        kvdb_store_fail(db, kvdb_err(rc), "cannot write to", mdb_strerror(rc));
        return kvdb_err(rc);
    }
    int err = job->run(job, txn);
    if (err == 0 && job->stage) {
        err = kvdb_stage_write(db, job->stage, txn);
    }
    if (err != 0 && err != ERR_AGAIN) {
        mdb_txn_abort(txn);
        if (err != ERR_CANCELED) {
            kvdb_store_fail(db, err, "cannot write to", err_text(err));
        }
        return err;
    }
    int commit_err = commit(db, txn);
    return commit_err != 0 ? commit_err : err;
}

static int step_read(struct kvdb *db, struct kvdb_job *job)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return kvdb_err(rc);
    }
    int err = job->run(job, txn);
    mdb_txn_abort(txn);
    return err;
}

static struct kvdb_job *job_of(struct letter *l)
{
    return container_of(l, struct kvdb_job, letter);
}

static void enqueue(struct kvdb *db, struct letter *l)
{
    l->next = NULL;
    *db->last = l;
    db->last = &l->next;
}

static struct letter *dequeue(struct kvdb *db)
{
    struct letter *l = db->first;
    db->first = l->next;
    if (db->first == NULL) {
        db->last = &db->first;
    }
    return l;
}

static void hand_back(struct kvdb *db, struct kvdb_job *job, int err)
{
    job->err = err;
    mailbox_post(&db->outbox, &job->letter);
}

/* False when the box is closed and empty; with no_thread: when it is
 * empty. */
static bool take_letters(struct kvdb *db)
{
    struct letter *l = db->first || db->no_thread ? mailbox_take(&db->inbox)
                                                  : mailbox_wait(&db->inbox);
    while (l) {
        struct letter *next = l->next;
        enqueue(db, l);
        l = next;
    }
    return db->first != NULL;
}

static int step(struct kvdb *db, struct kvdb_job *job)
{
    if (job->alone) {
        return job->run(job, NULL);
    }
    return job->reads ? step_read(db, job) : step_write(db, job);
}

bool kvdb_run(struct kvdb *db)
{
    if (!take_letters(db)) {
        return false;
    }
    struct kvdb_job *job = job_of(dequeue(db));
    if (atomic_load(&db->closing)) {
        hand_back(db, job, ERR_CANCELED);
        return true;
    }
    int err = step(db, job);
    kvdb_reap(db); /* before the loop hears of it and may look */
    if (err == ERR_AGAIN) {
        enqueue(db, &job->letter);
    } else {
        hand_back(db, job, err);
    }
    if (db->notify) {
        db->notify(db->ctx);
    }
    return true;
}

void kvdb_cancel(struct kvdb *db)
{
    atomic_store(&db->closing, true);
}

static void *store_main(void *arg)
{
    while (kvdb_run(arg)) {
    }
    return NULL;
}

int kvdb_store_start(struct kvdb *db)
{
    mailbox_init(&db->inbox, NULL, NULL);
    mailbox_init(&db->outbox, NULL, NULL);
    if (db->no_thread) {
        return 0;
    }
    if (thread_start(&db->thread, "store", store_main, db) != 0) {
        mailbox_release(&db->inbox);
        mailbox_release(&db->outbox);
        return kvdb_fail(ERR_NOMEM, "no thread for %s", db->path);
    }
    return 0;
}

static void finish_all(struct kvdb *db, struct letter *l)
{
    while (l) {
        struct kvdb_job *job = job_of(l);
        l = l->next; /* done may free the job */
        if (job->stage) {
            db->staged_bytes -= job->stage->size;
            kvdb_stage_free(job->stage);
            job->stage = NULL;
        }
        db->job_count--;
        job->done(job, job->err);
    }
}

void kvdb_store_stop(struct kvdb *db)
{
    kvdb_cancel(db);
    mailbox_close(&db->inbox);
    if (db->no_thread) {
        while (kvdb_run(db)) {
        }
    } else {
        pthread_join(db->thread, NULL);
    }
    /* `done` may submit: those jobs are not run either. */
    for (;;) {
        struct letter *l = mailbox_take(&db->outbox);
        if (l == NULL && (l = mailbox_take(&db->inbox)) != NULL) {
            for (struct letter *it = l; it; it = it->next) {
                job_of(it)->err = ERR_CANCELED;
            }
        }
        if (l == NULL) {
            break;
        }
        finish_all(db, l);
    }
    mailbox_release(&db->inbox);
    mailbox_release(&db->outbox);
}

void kvdb_submit(struct kvdb *db, struct kvdb_job *job)
{
    job->stage = job->staged ? kvdb_stage_detach(db) : NULL;
    job->err = 0;
    db->job_count++;
    mailbox_post(&db->inbox, &job->letter);
}

/* True when the file has been replaced. */
static bool take_new_reader(struct kvdb *db)
{
    MDB_txn *reader = atomic_exchange(&db->new_reader, NULL);
    if (reader) {
        mdb_txn_abort(db->reader);
        db->reader = reader;
    }
    return reader != NULL;
}

/* The letters are taken first, so that the renewed reader sees at least
 * what they committed. It may see more: steps of jobs not yet done. */
static void renew_and_finish(struct kvdb *db, struct letter *letters)
{
    uint64_t commit_count = atomic_load(&db->commit_count);
    bool replaced = take_new_reader(db);
    if (replaced || commit_count != db->reader_commit) {
        mdb_txn_reset(db->reader);
        int rc = mdb_txn_renew(db->reader);
        if (rc != 0) {
            /* The slot is ours already, so only a broken lock file. */
            fprintf(stderr, "cofre: %s: %s\n", db->path, mdb_strerror(rc));
            abort();
        }
        db->reader_commit = commit_count;
    }
    finish_all(db, letters);
}

void kvdb_poll(struct kvdb *db)
{
    renew_and_finish(db, mailbox_take(&db->outbox));
}

void kvdb_drain(struct kvdb *db)
{
    while (db->job_count > 0) {
        if (db->no_thread) {
            kvdb_run(db);
            kvdb_poll(db);
        } else {
            renew_and_finish(db, mailbox_wait(&db->outbox));
        }
    }
}

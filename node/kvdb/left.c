/*
 * Files that were closed while others still read in them: an image that is
 * being sent goes on when its store has been replaced. LMDB's environment
 * must outlive its transactions, so it waits here.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "private.h"

static struct {
    pthread_mutex_t mutex;
    MDB_env **envs;
    uint32_t count;
} left = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int note_reader(const char *line, void *ctx)
{
    *(bool *)ctx = line[0] != '(';
    return 0;
}

bool kvdb_is_read(MDB_env *env)
{
    bool read = true;
    return mdb_reader_list(env, note_reader, &read) < 0 || read;
}

/* The next environment at this path must not share the lock file, and with it
 * the table of readers. */
static void leave(MDB_env *env, const char *path)
{
    char *lock = mem_printf("%s-lock", path);
    unlink(lock);
    free(lock);
    pthread_mutex_lock(&left.mutex);
    left.envs = mem_realloc(left.envs, (left.count + 1) * sizeof *left.envs);
    left.envs[left.count++] = env;
    pthread_mutex_unlock(&left.mutex);
}

void kvdb_close_env(MDB_env *env, const char *path)
{
    if (kvdb_is_read(env)) {
        leave(env, path);
    } else {
        mdb_env_close(env);
    }
}

uint32_t kvdb_sweep(void)
{
    pthread_mutex_lock(&left.mutex);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < left.count; i++) {
        if (kvdb_is_read(left.envs[i])) {
            left.envs[kept++] = left.envs[i];
        } else {
            mdb_env_close(left.envs[i]);
        }
    }
    left.count = kept;
    pthread_mutex_unlock(&left.mutex);
    return kept;
}

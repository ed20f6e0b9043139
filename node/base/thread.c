#include "base/thread.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { NICE_TO_OTHERS = 5 }; /* a third of what an equal would get */

int thread_start(pthread_t *ret_thread, const char *name,
                 void *(*run)(void *ctx), void *ctx)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(ret_thread, NULL, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) {
        pthread_setname_np(*ret_thread, name);
    }
    return failed;
}

void thread_give_way(void)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_TO_OTHERS);
}

/* Threads beside the loop's. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* Starts one that takes no signals (they are the loop's); the name is for who
 * looks at the process, at most 15 characters. 0 or an errno. */
int thread_start(pthread_t *ret_thread, const char *name,
                 void *(*run)(void *ctx), void *ctx);

/* The calling thread gives way to every other of the machine that waits for
 * a processor, but is not starved. For good: going back takes a privilege. */
void thread_give_way(void);

#endif

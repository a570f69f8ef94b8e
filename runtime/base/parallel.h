/* A loop over independent tasks on several threads. */
#ifndef VKFT_PARALLEL_H
#define VKFT_PARALLEL_H

#include <stdint.h>

#define VKFT_MAX_WORKERS 64

/* At least 1 and at most VKFT_MAX_WORKERS; wanted 0 means one per core. */
uint32_t vkft_worker_count(uint32_t wanted);

/* Calls run(context, task, worker) for task = 0 .. tasks-1, worker < workers saying who runs it, and returns when all
 * are done. The caller is worker 0; threads that cannot be started are done without. Tasks are handed out in ascending
 * order. */
void vkft_parallel(uint32_t workers, uint64_t tasks, void (*run)(void *context, uint64_t task, uint32_t worker),
                   void *context);

#endif

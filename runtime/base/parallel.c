/* Threads are started anew for each loop: that costs some ten microseconds against loops of milliseconds, and leaves no
 * pool to own. */
#include "runtime/base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/base/os/os.h"
#include "runtime/base/size.h"

typedef struct loop {
    void (*run)(void *context, uint64_t task, uint32_t worker);
    void *context;
    uint64_t tasks;
    atomic_uint_fast64_t next;
} loop;

typedef struct worker {
    loop *loop;
    uint32_t index;
} worker;

static void *work(void *argument)
{
    const worker *self = argument;
    loop *all = self->loop;
    for (uint64_t task; (task = atomic_fetch_add(&all->next, 1)) < all->tasks;)
        all->run(all->context, task, self->index);
    return NULL;
}

uint32_t vkft_worker_count(uint32_t wanted)
{
    if (!wanted)
        wanted = vkft_os_core_count();
    return min_u32(wanted, VKFT_MAX_WORKERS);
}

void vkft_parallel(uint32_t workers, uint64_t tasks, void (*run)(void *context, uint64_t task, uint32_t worker),
                   void *context)
{
    loop all = {.run = run, .context = context, .tasks = tasks};
    worker crew[VKFT_MAX_WORKERS];
    pthread_t threads[VKFT_MAX_WORKERS];
    uint32_t started = 0;
    atomic_init(&all.next, 0);
    if (workers > tasks)
        workers = (uint32_t)tasks;
    for (uint32_t i = 1; i < workers && i < VKFT_MAX_WORKERS; i++) {
        crew[i] = (worker){.loop = &all, .index = i};
        if (pthread_create(&threads[started], NULL, work, &crew[i]) != 0)
            break;
        started++;
    }
    crew[0] = (worker){.loop = &all, .index = 0};
    work(&crew[0]);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

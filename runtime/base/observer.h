/* What long work tells its caller while it goes on, and how the caller stops it. Any callback may be NULL. */
#ifndef VKFT_OBSERVER_H
#define VKFT_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_observer {
    void *context;
    void (*message)(void *context, const char *line); /* one line of information, without a newline */
    void (*work)(void *context, const char *what, uint64_t done, uint64_t total); /* "converting", "loading", ... */
    bool (*interrupted)(void *context);                                           /* save and stop, as after Ctrl-C */
    /* Work has failed. Said before what it used is given back, which a driver that has failed may not survive. */
    void (*failing)(void *context, vkft_err *err);
} vkft_observer;

/* One formatted line to `message`. */
void vkft_observer_say(const vkft_observer *observer, const char *format, ...) VKFT_PRINTF(2, 3);

static inline void vkft_observer_work(const vkft_observer *observer, const char *what, uint64_t done, uint64_t total)
{
    if (observer->work)
        observer->work(observer->context, what, done, total);
}

static inline void vkft_observer_failing(const vkft_observer *observer, vkft_err *err)
{
    if (observer->failing && err)
        observer->failing(observer->context, err);
}

static inline bool vkft_observer_interrupted(const vkft_observer *observer)
{
    return observer->interrupted && observer->interrupted(observer->context);
}

#endif

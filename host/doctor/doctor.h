/* vkft doctor: the system, then each device in a child process, because a driver may crash or never answer. */
#ifndef VKFT_DOCTOR_H
#define VKFT_DOCTOR_H

#include <stdint.h>

#include "host/doctor/line.h"

typedef struct vkft_doctor_options {
    const char *device; /* NULL: all */
    bool quick;         /* no training run */
    uint32_t timeout_s; /* without a word of a child, which is ended then */
} vkft_doctor_options;

static inline vkft_doctor_options vkft_doctor_defaults(void)
{
    return (vkft_doctor_options){.timeout_s = 120};
}

/* Tells the listener everything in the order in which it is found; the last lines are a "verdict" for each device: a
 * its number and name, b "ready", "ready with these kernels off: ..." or "not usable: why". True: one is ready. */
bool vkft_doctor_run(const vkft_doctor_options *options, const vkft_doctor_listener *to);

#endif

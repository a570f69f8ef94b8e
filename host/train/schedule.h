/* Learning rate schedules as transformers defines them, by its names: a row in schedules.def and one in schedule.c. */
#ifndef VKFT_SCHEDULE_H
#define VKFT_SCHEDULE_H

#include <stdint.h>

#include "runtime/base/error.h"

typedef enum vkft_scheduler {
#define SCHEDULE(name) VKFT_SCHEDULE_##name,
#include "host/train/schedules.def"
#undef SCHEDULE
    VKFT_SCHEDULES
} vkft_scheduler;

#define VKFT_SCHEDULE_ARGS 5u /* at most; raise it for a schedule that has more */

typedef struct vkft_schedule {
    vkft_scheduler type;
    double rate; /* the highest */
    double args[VKFT_SCHEDULE_ARGS];
    uint64_t warmup, total; /* steps */
} vkft_schedule;

/* Sets schedule->args from --lr-scheduler-kwargs, "name=value,..." (NULL: none), once type and rate are set. Error:
 * what the schedule has no such argument for, a value out of range, a missing one. */
bool vkft_schedule_parse_args(vkft_schedule *schedule, const char *text, vkft_err *err);

/* Rate of optimizer step `step`, from 0. Source: transformers, optimization.py. Test: test_schedule */
double vkft_learning_rate(const vkft_schedule *schedule, uint64_t step);

/* --warmup-steps: below 1 a ratio of total (rounded up), otherwise a number of steps. */
uint64_t vkft_warmup_steps(double warmup, uint64_t total);

#endif

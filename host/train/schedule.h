/* Learning rate schedules as transformers defines them. */
#ifndef VKFT_SCHEDULE_H
#define VKFT_SCHEDULE_H

#include "host/train/options.h"

/* Rate of optimizer step `step` (from 0) of `total`, after `warmup` linear steps from 0 (none for constant).
 * linear: falls to 0 at total; cosine: half a cosine to 0 at total. Source: transformers, optimization.py. Test:
 * test_schedule */
double vkft_learning_rate(vkft_scheduler schedule, double base, uint64_t step, uint64_t warmup, uint64_t total);

/* --warmup-steps: below 1 a ratio of total (rounded up), otherwise a number of steps. */
uint64_t vkft_warmup_steps(double warmup, uint64_t total);

#endif

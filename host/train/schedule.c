/* Learning rate schedules. */
#include "host/train/schedule.h"

#include <math.h>

#define PI 3.141592653589793

double vkft_learning_rate(vkft_scheduler schedule, double base, uint64_t step, uint64_t warmup, uint64_t total)
{
    if (schedule == VKFT_SCHEDULE_CONSTANT)
        return base;
    if (step < warmup)
        return base * (double)step / (double)warmup;
    if (schedule == VKFT_SCHEDULE_CONSTANT_WITH_WARMUP)
        return base;
    double length = total > warmup ? (double)(total - warmup) : 1.0;
    double progress = (double)(step - warmup) / length;
    if (schedule == VKFT_SCHEDULE_LINEAR)
        return base * fmax(0.0, 1.0 - progress);
    return base * fmax(0.0, 0.5 * (1.0 + cos(PI * progress)));
}

uint64_t vkft_warmup_steps(double warmup, uint64_t total)
{
    return (uint64_t)(warmup < 1.0 ? ceil(warmup * (double)total) : warmup);
}

/* See measure.h. */
#include "host/bench/measure.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/size.h"

#define AGREEMENT 0.02
#define MAX_RUNS 10000u

static int ascending(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return a < b ? -1 : a > b;
}

double vkft_bench_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double vkft_bench_deviation_percent(double *values, uint32_t count)
{
    const double median = vkft_bench_median(values, count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = fabs(values[i] - median);
    return median > 0 ? 100 * 1.4826 * vkft_bench_median(values, count) / median : 0;
}

/* So many runs, and the mean of one. */
static bool run_window(const vkft_bench_work *work, uint32_t runs, double *wall_ms, double *cpu_ms, vkft_err *err)
{
    *wall_ms = *cpu_ms = 0;
    for (uint32_t i = 0; i < runs; i++) {
        double wall = 0, cpu = 0;
        if (!work->run(work->context, &wall, &cpu, err))
            return false;
        *wall_ms += wall / runs;
        *cpu_ms += cpu / runs;
    }
    return true;
}

/* Windows until two agree. *last_ms: of a run at its end. */
static bool warm_up(const vkft_bench_plan *plan, const vkft_bench_work *work, vkft_bench_timing *t, double *last_ms,
                    vkft_err *err)
{
    double spent = 0, before = 0, cpu;
    t->runs = 1;
    while (true) {
        if (!run_window(work, t->runs, last_ms, &cpu, err))
            return false;
        t->warm_up_runs += t->runs;
        spent += *last_ms * t->runs;
        t->steady = before > 0 && fabs(*last_ms - before) <= AGREEMENT * before;
        if (t->steady || spent >= plan->warm_up_ms)
            return true;
        bool grows = *last_ms * t->runs < plan->window_ms && t->runs < MAX_RUNS;
        before = grows ? 0 : *last_ms;
        if (grows) /* too short a window says little */
            t->runs = (uint32_t)fmin(MAX_RUNS, fmax(2.0 * t->runs, ceil(plan->window_ms / fmax(*last_ms, 1e-6))));
    }
}

bool vkft_bench_measure(const vkft_bench_plan *plan, const vkft_bench_work *work, vkft_bench_timing *timing,
                        vkft_err *err)
{
    double wall[VKFT_BENCH_MAX_REPETITIONS], cpu[VKFT_BENCH_MAX_REPETITIONS], last_ms, spent = 0;
    const uint32_t wanted = min_u32(plan->repetitions, VKFT_BENCH_MAX_REPETITIONS);
    *timing = (vkft_bench_timing){0};
    if (!warm_up(plan, work, timing, &last_ms, err))
        return false;
    uint32_t n = 0;
    for (; n < wanted && (n < 2 || plan->limit_ms == 0 || spent < plan->limit_ms); n++) {
        if (!run_window(work, timing->runs, &wall[n], &cpu[n], err))
            return false;
        spent += wall[n] * timing->runs;
    }
    timing->repetitions = n;
    timing->cpu_ms = vkft_bench_median(cpu, n);
    timing->median_ms = vkft_bench_median(wall, n);
    timing->deviation_percent = vkft_bench_deviation_percent(wall, n);
    return true;
}

/* Repeating work until its speed is known: a warm-up, then repetitions, their median and their deviation. */
#ifndef VKFT_BENCH_MEASURE_H
#define VKFT_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

#define VKFT_BENCH_MAX_REPETITIONS 1000u

typedef struct vkft_bench_plan {
    uint32_t repetitions; /* at least 1 */
    double window_ms;     /* runs that are shorter are measured several at a time */
    double warm_up_ms;    /* the limit of the warm-up, which has at least one run */
    double limit_ms;      /* of the repetitions: no more of them once it has passed, but at least two; 0: none */
} vkft_bench_plan;

typedef struct vkft_bench_timing {
    double median_ms;                         /* of a run */
    double deviation_percent;                 /* of the repetitions: 1.4826 times the median distance to the median */
    double cpu_ms;                            /* median of a run, of all threads of this process */
    uint32_t warm_up_runs, repetitions, runs; /* runs in each repetition */
    bool steady; /* the warm-up ended because two windows agreed within 2 %, and not at its limit */
} vkft_bench_timing;

typedef struct vkft_bench_work {
    void *context;
    bool (*run)(void *context, double *wall_ms, double *cpu_ms, vkft_err *err);
} vkft_bench_work;

bool vkft_bench_measure(const vkft_bench_plan *plan, const vkft_bench_work *work, vkft_bench_timing *timing,
                        vkft_err *err);

/* The middle of the values, which are sorted by it. count > 0. */
double vkft_bench_median(double *values, uint32_t count);
/* 1.4826 times the median distance to the median: the standard deviation of normal noise, which a single outlier does
 * not move. In percent of the median. Changes the values. */
double vkft_bench_deviation_percent(double *values, uint32_t count);

#endif

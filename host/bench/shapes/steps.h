/* Training, evaluation and generation at one shape, as vkft train, eval and generate do them. */
#ifndef VKFT_BENCH_STEPS_H
#define VKFT_BENCH_STEPS_H

#include "host/bench/row.h"
#include "host/bench/measure.h"
#include "host/bench/shapes/shapes.h"
#include "host/bench/telemetry/telemetry.h"

typedef struct vkft_bench_steps_plan {
    uint32_t context, new_tokens;
    vkft_bench_plan measure;
    const vkft_telemetry *telemetry; /* of the device; NULL: none */
} vkft_bench_steps_plan;

/* Rows "eval" and "train", checked against the reference, then "generate". *train_ms: of a step; 0 where it failed its
 * check, after which nothing more is measured. Error: VKFT_ERR_MEMORY where the shape does not fit the device. */
bool vkft_bench_steps(const vkft_bench_options *options, const vkft_bench_shape *shape,
                      const vkft_bench_steps_plan *plan, const vkft_bench_observer *observer, double *train_ms,
                      vkft_err *err);

#endif

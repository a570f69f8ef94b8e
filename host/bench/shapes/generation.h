/* Generation of text at one shape, token by token, as vkft generate does it. */
#ifndef VKFT_BENCH_GENERATION_H
#define VKFT_BENCH_GENERATION_H

#include "host/bench/row.h"
#include "host/bench/shapes/shapes.h"
#include "host/session/options.h"

/* The shape with random weights; config is borrowed. */
vkft_model_options vkft_bench_model(const vkft_bench_options *options, const vkft_bench_shape *shape,
                                    const char *config);
/* A row that says what is measured, in tokens per second. */
vkft_bench_row vkft_bench_row_of(const vkft_bench_options *options, const vkft_bench_shape *shape);

/* The row "generate": a short prompt is continued greedily by so many tokens. */
bool vkft_bench_generation(const vkft_bench_options *options, const vkft_bench_shape *shape, uint32_t new_tokens,
                           const vkft_bench_observer *observer, vkft_err *err);

#endif

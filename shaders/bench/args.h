/* Arguments of the kernels that measure what a device can do at best; shaders/core/args.h says how to read them. */
#ifndef VKFT_BENCH_ARGS_H
#define VKFT_BENCH_ARGS_H

#include "shaders/core/args.h"

/* peak_fma_*: y[i] = the sum of PEAK_CHAINS * lanes numbers s, each of which went through s = a s + b PEAK_UNROLL *
 * iterations times from its own number on (0, 1, ...); y [invocations] f32. lanes: 4 in f32, 2 in f16. */
#define PEAK_CHAINS 4
#define PEAK_UNROLL 8
struct peak_args {
    ADDR(F32) y;
    uint iterations;
    float a, b;
};

/* peak_matrix_*: y[i] = the part of an invocation in the sum of the elements of PEAK_MATRICES matrices C [M,N], each of
 * which went through C = A B + C PEAK_UNROLL * iterations times from its number on (0, 1, ...). A [M,K] and B [K,N] f16
 * or s8, rows a multiple of 4 bytes; every subgroup computes the same. y [invocations] f32. */
#define PEAK_MATRICES 4
struct peak_matrix_args {
    ADDR(F32) y;
    ADDR(U32) a;
    ADDR(U32) b;
    uint iterations;
};

/* stream_copy: y[i] = x[i], n times four floats. */
struct stream_args {
    ADDR(F32x4) x;
    ADDR(F32x4) y;
    uint n;
};

#endif

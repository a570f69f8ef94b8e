/* y[w] = (add ? y[w] : 0) + sum of the w-th of `parts` equal slices of x (SQUARES: of x^2), n elements in all.
 * threads_x = parts * WIDTH: one workgroup a slice, in a fixed order. RUN elements per iteration, because of llvmpipe's limit
 * (common.glsl).
 * Test: test_kernels_training */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(sum_args)

#define RUN 8

void main()
{
    uint w = WORKGROUP, slice = (args.n + args.parts - 1) / args.parts;
    uint first = min(w * slice, args.n), end = min(first + slice, args.n);
    float sum = 0.0;
    for (uint at = first; at < end; at += RUN * WIDTH) {
        float part = 0.0;
        [[unroll]] for (uint q = 0; q < RUN; q++) {
            uint i = at + q * WIDTH + gl_LocalInvocationID.x;
            float x = i < end ? args.x.v[min(i, end - 1)] : 0.0;
#ifdef SQUARES
            part = fma(x, x, part);
#else
            part += x;
#endif
        }
        sum += part;
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.y.v[w] = args.add != 0 ? args.y.v[w] + sum : sum;
}

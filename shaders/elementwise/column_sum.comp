/* y[c] += scale * sum_t x[t,c], t ascending; x [T,C] f32. threads_x = C: one invocation a column. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

#define ROWS 8 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(column_sum_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.C)
        return;
    float sum = 0.0;
    for (uint t = 0; t < args.T; t += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++)
            sum += t + q < args.T ? args.x.v[min(t + q, args.T - 1) * args.C + c] : 0.0;
    args.y.v[c] = fma(args.scale, sum, args.y.v[c]);
}

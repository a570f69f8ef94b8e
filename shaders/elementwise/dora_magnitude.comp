/* dm[c] += scale * inverse[c] * sum_t dy[t,c] u[t,c], t ascending; dy, u [T,C] f32. threads_x = C: one invocation a column.
 * Source: Liu et al. 2024 (DoRA). Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

#define ROWS 8 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(dora_magnitude_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.C)
        return;
    float sum = 0.0;
    for (uint t = 0; t < args.T; t += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++)
            if (t + q < args.T)
                sum = fma(args.dy.v[(t + q) * args.C + c], args.u.v[(t + q) * args.C + c], sum);
    args.dm.v[c] = fma(args.scale * args.inverse.v[c], sum, args.dm.v[c]);
}

/* dg[c] += sum_t dy[t,c] (x[t,c] - m_t) s_t, t ascending; dy, x [T,C], stats [T,2] of (m, s), f32.
 * threads_x = C: one invocation a column. Source: Ba et al. 2016. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

#define ROWS 8 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(norm_gain_backward_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.C)
        return;
    float sum = 0.0;
    for (uint first = 0; first < args.T; first += ROWS)
        [[unroll]] for (uint q = 0; q < ROWS; q++) {
            uint t = first + q, i = t * args.C + c;
            if (t < args.T)
                sum = fma(args.dy.v[i], (args.x.v[i] - args.stats.v[2 * t]) * args.stats.v[2 * t + 1], sum);
        }
    args.dg.v[c] += sum;
}

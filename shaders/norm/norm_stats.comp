/* stats[t] = (m, s): m = 0, s = 1/sqrt(mean(x^2) + eps), or with layernorm != 0 m = mean(x), s = 1/sqrt(mean((x-m)^2) + eps).
 * threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

ARGS(norm_stats_args)

void main()
{
    uint row = WORKGROUP * args.C;
    float sum = 0.0, squares = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        sum += args.x.v[row + c];
    float mean = args.layernorm != 0 ? subgroupAdd(sum) / float(args.C) : 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float d = args.x.v[row + c] - mean;
        squares = fma(d, d, squares);
    }
    float s = 1.0 / sqrt(subgroupAdd(squares) / float(args.C) + args.eps);
    if (gl_LocalInvocationID.x == 0) {
        args.stats.v[2 * WORKGROUP] = mean;
        args.stats.v[2 * WORKGROUP + 1] = s;
    }
}

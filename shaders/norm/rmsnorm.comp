/* y = x * s * (g + gain_offset),  s = 1/sqrt(mean(x^2) + eps);  x, y [T,C], g [C] f32. threads_x = T * WIDTH: one workgroup a row.
 * Source: Zhang & Sennrich 2019. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

ARGS(rmsnorm_args)

void main()
{
    uint row = WORKGROUP * args.C;
    float sum = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float x = args.x.v[row + c];
        sum = fma(x, x, sum);
    }
    float s = 1.0 / sqrt(subgroupAdd(sum) / float(args.C) + args.eps);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        args.y.v[row + c] = args.x.v[row + c] * s * (args.g.v[c] + args.gain_offset);
}

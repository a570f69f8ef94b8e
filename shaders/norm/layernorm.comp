/* y = (x - m) * s * g + b,  m = mean(x), s = 1/sqrt(mean((x-m)^2) + eps);  x, y [T,C], g, b [C] f32. Variance in a second pass.
 * threads_x = T * WIDTH: one workgroup a row. Source: Ba et al. 2016. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

ARGS(layernorm_args)

void main()
{
    uint row = WORKGROUP * args.C;
    float sum = 0.0, squares = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        sum += args.x.v[row + c];
    float mean = subgroupAdd(sum) / float(args.C);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float d = args.x.v[row + c] - mean;
        squares = fma(d, d, squares);
    }
    float s = 1.0 / sqrt(subgroupAdd(squares) / float(args.C) + args.eps);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        args.y.v[row + c] = fma((args.x.v[row + c] - mean) * s, args.g.v[c], args.b.v[c]);
}

/* dx = s*g'*dy - x*s^3/C * sum(g'*dy*x), g' = g + gain_offset,  s = 1/sqrt(mean(x^2) + eps), added to dx when add != 0; all [T,C] f32, g [C].
 * threads_x = T * WIDTH: one workgroup a row. Source: Zhang & Sennrich 2019, eq. 4. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

ARGS(rmsnorm_backward_args)

void main()
{
    uint row = WORKGROUP * args.C;
    float squares = 0.0, product = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float x = args.x.v[row + c];
        squares = fma(x, x, squares);
        product = fma((args.g.v[c] + args.gain_offset) * args.dy.v[row + c], x, product);
    }
    float s = 1.0 / sqrt(subgroupAdd(squares) / float(args.C) + args.eps);
    float slope = subgroupAdd(product) * s * s * s / float(args.C);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float dx = s * (args.g.v[c] + args.gain_offset) * args.dy.v[row + c] - slope * args.x.v[row + c];
        args.dx.v[row + c] = args.add != 0 ? args.dx.v[row + c] + dx : dx;
    }
}

/* dx = s * (g*dy - mean(g*dy) - h * mean(g*dy*h)),  h = (x - m) * s, added to dx when add != 0; all [T,C] f32, g [C].
 * threads_x = T * WIDTH: one workgroup a row. Source: Ba et al. 2016. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

ARGS(layernorm_backward_args)

void main()
{
    uint row = WORKGROUP * args.C;
    float sum = 0.0, squares = 0.0, slope = 0.0, product = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        sum += args.x.v[row + c];
    float mean = subgroupAdd(sum) / float(args.C);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float d = args.x.v[row + c] - mean, dh = args.g.v[c] * args.dy.v[row + c];
        squares = fma(d, d, squares);
        slope += dh;
        product = fma(dh, d, product);
    }
    float s = 1.0 / sqrt(subgroupAdd(squares) / float(args.C) + args.eps);
    slope = subgroupAdd(slope) / float(args.C);
    product = subgroupAdd(product) * s * s / float(args.C);
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float dx = s * (args.g.v[c] * args.dy.v[row + c] - slope - (args.x.v[row + c] - mean) * product);
        args.dx.v[row + c] = args.add != 0 ? args.dx.v[row + c] + dx : dx;
    }
}

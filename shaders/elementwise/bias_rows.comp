/* y[t,c] = (add ? r[t,c] : 0) + scale * b[c]; f32. threads_x = T * C: one invocation an element. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

ARGS(bias_rows_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.T * args.C)
        return;
    float b = args.scale * args.b.v[i % args.C];
    args.y.v[i] = args.add != 0 ? args.r.v[i] + b : b;
}

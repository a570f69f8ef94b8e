/* y[i] = a[i] + b[i] for i < n; y may be a or b. One invocation an element. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

ARGS(add_args)

void main()
{
    uint i = INVOCATION;
    if (i < args.n)
        args.y.v[i] = args.a.v[i] + args.b.v[i];
}

/* y = f(x), or with BACKWARD y = dy * f'(x); n elements f32; y may be x or dy. One invocation an element.
 * Test: test_kernels_activation */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(activation_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n)
        return;
#ifdef BACKWARD
    args.y.v[i] = args.dy.v[i] * activation_slope(args.activation, args.x.v[i]);
#else
    args.y.v[i] = activate(args.activation, args.x.v[i]);
#endif
}

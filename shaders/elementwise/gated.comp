/* h = f(gate) * up, n elements f32. One invocation an element. Source: Shazeer 2020. Test: test_kernels_activation */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(gated_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n)
        return;
    args.h.v[i] = activate(args.activation, args.gate.v[i]) * args.up.v[i];
}

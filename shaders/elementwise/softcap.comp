/* x = cap * tanh(x / cap), n elements f32 in place. One invocation an element. Source: Gemma Team 2024. Test: test_kernels_activation */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"

ARGS(softcap_args)

void main()
{
    uint i = INVOCATION;
    if (i < args.n)
        args.x.v[i] = softcapped(args.x.v[i], args.cap);
}

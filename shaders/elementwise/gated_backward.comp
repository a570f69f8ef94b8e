/* dgate = dh * up * f'(gate), dup = dh * f(gate); n elements f32; dgate may be gate, dup may be up.
 * One invocation an element. Test: test_kernels_activation */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(gated_backward_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.n)
        return;
    float gate = args.gate.v[i], up = args.up.v[i], dh = args.dh.v[i];
    args.dgate.v[i] = dh * up * activation_slope(args.activation, gate);
    args.dup.v[i] = dh * activate(args.activation, gate);
}

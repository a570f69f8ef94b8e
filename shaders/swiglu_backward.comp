/* dgate = dh * up * s (1 + gate (1 - s)), dup = dh * gate * s, s = sigmoid(gate); n elements f32; dgate may be gate, dup may be up.
 * One invocation an element. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

ARGS(swiglu_backward_args)

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= args.n)
        return;
    float gate = args.gate.v[i], up = args.up.v[i], dh = args.dh.v[i];
    float s = sigmoid(gate);
    args.dgate.v[i] = dh * up * s * (1.0 + gate * (1.0 - s));
    args.dup.v[i] = dh * gate * s;
}

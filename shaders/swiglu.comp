/* h = gate * sigmoid(gate) * up, n elements f32. One invocation an element. Source: Shazeer 2020. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "math.glsl"

ARGS(swiglu_args)

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i >= args.n)
        return;
    float gate = args.gate.v[i];
    args.h.v[i] = gate * sigmoid(gate) * args.up.v[i];
}

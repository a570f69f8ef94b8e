/* h[i] = weight[assignment[i]] * f(gate[i]) * up[i], rows of F. threads_x = A * WIDTH: one workgroup a row.
 *
 * The router's weight is applied before the output projection, which is linear, so the backward needs no output of that.
 * Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"
#include "shaders/core/math.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(expert_gated_args)

void main()
{
    uint row = WORKGROUP * args.F;
    float weight = args.weight.v[args.assignment.v[WORKGROUP]];
    for (uint c = gl_LocalInvocationID.x; c < args.F; c += WIDTH)
        args.h.v[row + c] = weight * activate(args.activation, args.gate.v[row + c]) * args.up.v[row + c];
}

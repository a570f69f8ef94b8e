/* dgate = w dh up f'(gate), dup = w dh f(gate), in the place of gate and up; dweight[assignment] = sum_c dh f(gate) up.
 * threads_x = A * WIDTH: one workgroup a row. Test: test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/experts/args.h"
#include "shaders/core/math.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(expert_gated_args)

void main()
{
    uint row = WORKGROUP * args.F, assignment = args.assignment.v[WORKGROUP];
    float weight = args.weight.v[assignment], sum = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.F; c += WIDTH) {
        float gate = args.gate.v[row + c], up = args.up.v[row + c], dh = args.dh.v[row + c];
        float f = activate(args.activation, gate);
        sum = fma(dh, f * up, sum);
        args.gate.v[row + c] = weight * dh * up * activation_slope(args.activation, gate);
        args.up.v[row + c] = weight * dh * f;
    }
    sum = subgroupAdd(sum);
    if (args.with_weight != 0 && gl_LocalInvocationID.x == 0)
        args.dweight.v[assignment] = sum;
}

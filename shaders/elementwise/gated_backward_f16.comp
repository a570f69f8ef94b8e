/* dgate = dh * up * f'(gate), dup = dh * f(gate), T rows of n elements f32, both also in f16 for products on matrix cores (core/f16_rows.glsl); dgate may
 * be gate, dup may be up, and the rows in f16 may lie in dh. EXPERTS: dh * weight[assignment[t]] in place of dh, and dweight[assignment[t]] = the row's
 * sum of dh * f(gate) * up. threads_x = T * WIDTH: one workgroup a row. Test: test_kernels_activation, test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(gated_backward_f16_args)

F32_ref row_of(F32_ref x)
{
    return F32_ref(address_of(uvec2(x), WORKGROUP * args.n));
}

/* Rows in f16 of what this invocation wrote to x, if they are wanted. */
void convert(F32_ref x, uint largest, U32_ref rows, F32_ref inverse)
{
    if (uvec2(rows) == uvec2(0))
        return;
    uint runs = args.ld / 4, exponent = exponent_for(subgroupMax(largest));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        vec4 v = load_run(x, 4 * r, args.n);
        Halves_ref(uvec2(rows)).at[WORKGROUP * args.stride / 4 + r] = halves_of(v, factor_of(exponent));
    }
    if (gl_LocalInvocationID.x == 0)
        inverse.v[WORKGROUP] = inverse_of(exponent);
}

void main()
{
    F32_ref dh = row_of(args.dh), gate = row_of(args.gate), up = row_of(args.up), dgate = row_of(args.dgate), dup = row_of(args.dup);
    uint largest_gate = 0, largest_up = 0;
#ifdef EXPERTS
    uint assignment = args.assignment.v[WORKGROUP];
    float weight = args.weight.v[assignment], sum = 0.0;
#endif
    for (uint first = 4 * gl_LocalInvocationID.x; first < args.n; first += 4 * WIDTH) {
        vec4 value = load_run(gate, first, args.n), slope;
        [[unroll]] for (uint q = 0; q < 4; q++) {
            slope[q] = activation_slope(args.activation, value[q]);
            value[q] = activate(args.activation, value[q]);
        }
        vec4 d = load_run(dh, first, args.n), other = load_run(up, first, args.n);
#ifdef EXPERTS
        [[unroll]] for (uint q = 0; q < 4; q++)
            sum = fma(d[q], value[q] * other[q], sum);
        d *= weight;
#endif
        vec4 to_gate = d * other * slope, to_up = d * value;
        store_run(dgate, first, args.n, to_gate);
        store_run(dup, first, args.n, to_up);
        largest_gate = largest_of(largest_gate, to_gate);
        largest_up = largest_of(largest_up, to_up);
    }
#ifdef EXPERTS
    sum = subgroupAdd(sum);
    if (uvec2(args.dweight) != uvec2(0) && gl_LocalInvocationID.x == 0)
        args.dweight.v[assignment] = sum;
#endif
    subgroupMemoryBarrierBuffer(); /* all of dh's row has been read */
    convert(dgate, largest_gate, args.dgate_rows, args.dgate_inverse);
    convert(dup, largest_up, args.dup_rows, args.dup_inverse);
}

/* h = f(gate) * up, T rows of n elements f32, in f16 for products on matrix cores (core/f16_rows.glsl), and in f32 as well if h is not 0.
 * EXPERTS: h[t] = weight[assignment[t]] * f(gate[t]) * up[t].
 * threads_x = T * WIDTH: one workgroup a row. Source: Shazeer 2020. Test: test_kernels_activation, test_kernels_experts */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/math.glsl"
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"
#include "shaders/elementwise/activation.glsl"

ARGS(gated_f16_args)

#ifdef EXPERTS
float weight; /* of the row */
#endif

/* Of a row's h; zeros past its end. */
vec4 run_of(F32_ref gate, F32_ref up, uint r)
{
    vec4 h = load_run(gate, 4 * r, args.n);
    [[unroll]] for (uint q = 0; q < 4; q++)
        h[q] = activate(args.activation, h[q]);
#ifdef EXPERTS
    h *= weight;
#endif
    return h * load_run(up, 4 * r, args.n);
}

void main()
{
    uint row = WORKGROUP * args.n, runs = args.ld / 4, largest = 0;
    F32_ref gate = F32_ref(address_of(uvec2(args.gate), row)), up = F32_ref(address_of(uvec2(args.up), row)),
            h = F32_ref(address_of(uvec2(args.h), row));
#ifdef EXPERTS
    weight = args.weight.v[args.assignment.v[WORKGROUP]];
#endif
    bool has_h = uvec2(args.h) != uvec2(0);
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        vec4 v = run_of(gate, up, r);
        if (has_h)
            store_run(h, 4 * r, args.n, v);
        largest = largest_of(largest, v);
    }
    uint exponent = exponent_for(subgroupMax(largest));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        Halves_ref(uvec2(args.rows)).at[WORKGROUP * runs + r] = halves_of(run_of(gate, up, r), factor_of(exponent));
    }
    if (gl_LocalInvocationID.x == 0)
        args.inverse.v[WORKGROUP] = inverse_of(exponent);
}

/* attention_dq.comp for matrix cores (coop.glsl), without biases by distance. Workgroups along x: OWN_ROWS queries each; y: Hq.
 * Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"
#include "shaders/attention/coop/coop.glsl"

ARGS(attention_backward_args)

const uint AT_Q = 0, AT_DOUT = OWN_TILE, AT_K = 2 * OWN_TILE, AT_V = AT_K + OTHER_TILE, AT_FACTORS = AT_V + OTHER_TILE;
shared f16vec2 halves[AT_FACTORS + FACTORS];
shared float sums[2 * SUMS];

void main()
{
    uint h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk), first = WORKGROUP * OWN_ROWS, t = first + own_row();
    uint row = min(t, args.T - 1) * args.Hq + h;
    uvec2 range = t < args.T ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uvec2 mine = walk(with_range(NOTHING, range)), span = workgroup_span(mine);
    float lse = args.lse.v[row], delta = args.delta.v[row];
    float q_unit, dout_unit, k_unit, v_unit;
    LOAD_TILE(q_unit, uvec2(args.q), first, args.T - 1, args.Hq, h, OWN_ROWS, AT_Q)
    barrier();
    LOAD_TILE(dout_unit, uvec2(args.dout), first, args.T - 1, args.Hq, h, OWN_ROWS, AT_DOUT)
    barrier();

    MATRIX_C dq[HEAD / TN];
    [[unroll]] for (uint i = 0; i < HEAD / TN; i++)
        dq[i] = MATRIX_C(0.0);
    float unit = unit_for(0.0);
    for (uint s = span.x; s < span.y; s += OTHER_ROWS) {
        LOAD_TILE(k_unit, uvec2(args.k), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_K)
        barrier();
        LOAD_TILE(v_unit, uvec2(args.v), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_V)
        barrier();
        bool seen_by_any = mine.x < s + OTHER_ROWS && mine.y > s;
        if (seen_by_any) {
            PRODUCT_OF_ROWS(AT_Q, AT_K, 0)
            PRODUCT_OF_ROWS(AT_DOUT, AT_V, SUMS)
        }
        subgroupBarrier();
        if (seen_by_any) {
            float ds[EACH];
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                uint key = s + column_of(e), at = own_row() * LD_SUMS + column_of(e);
                float score = capped(sums[at] * (q_unit * k_unit * args.scale), args.softcap), dp = sums[SUMS + at] * (dout_unit * v_unit);
                bool seen = key >= range.x && key < range.y;
                ds[e] = seen ? exp_exact(score - lse) * (dp - delta) * cap_slope(score, args.softcap) * k_unit : 0.0;
            }
            PUT_FACTORS(ds, unit, dq, AT_FACTORS)
        }
        subgroupBarrier();
        if (seen_by_any)
            ADD_PRODUCT(dq, AT_FACTORS, AT_K)
    }
    STORE_TOTAL(dq, unit * args.scale, uvec2(args.dq), first, args.T, args.Hq, h)
}

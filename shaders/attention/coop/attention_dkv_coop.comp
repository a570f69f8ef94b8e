/* attention_dkv.comp for matrix cores (coop.glsl), without biases by distance. Workgroups along x: OWN_ROWS keys each; y: Hk.
 * Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"
#include "shaders/attention/coop/coop.glsl"

ARGS(attention_backward_args)

const uint AT_K = 0, AT_V = OWN_TILE, AT_Q = 2 * OWN_TILE, AT_DOUT = AT_Q + OTHER_TILE, AT_FACTORS = AT_DOUT + OTHER_TILE;
shared f16vec2 halves[AT_FACTORS + FACTORS]; /* of p, then of ds */
shared float sums[2 * SUMS];

void main()
{
    uint g = gl_WorkGroupID.y, heads = args.Hq / args.Hk, first = WORKGROUP * OWN_ROWS, s = first + own_row();
    uvec2 range = s < args.S ? uvec2(args.range.v[2 * s], args.range.v[2 * s + 1]) : uvec2(0);
    uvec2 mine = walk(with_range(NOTHING, range)), span = workgroup_span(mine);
    float k_unit, v_unit, q_unit, dout_unit;
    LOAD_TILE(k_unit, uvec2(args.k), first, args.S - 1, args.Hk, g, OWN_ROWS, AT_K)
    barrier();
    LOAD_TILE(v_unit, uvec2(args.v), first, args.S - 1, args.Hk, g, OWN_ROWS, AT_V)
    barrier();

    MATRIX_C dk[HEAD / TN], dv[HEAD / TN];
    [[unroll]] for (uint i = 0; i < HEAD / TN; i++) {
        dk[i] = MATRIX_C(0.0);
        dv[i] = MATRIX_C(0.0);
    }
    float p_unit = unit_for(0.0), ds_unit = p_unit;
    uint h = g * heads, t = span.x; /* all heads of the group, one after the other */
    if (span.x < span.y) do {
        LOAD_TILE(q_unit, uvec2(args.q), t, span.y - 1, args.Hq, h, OTHER_ROWS, AT_Q)
        barrier();
        LOAD_TILE(dout_unit, uvec2(args.dout), t, span.y - 1, args.Hq, h, OTHER_ROWS, AT_DOUT)
        barrier();
        bool seen_by_any = mine.x < t + OTHER_ROWS && mine.y > t;
        float p[EACH], ds[EACH];
        if (seen_by_any) {
            PRODUCT_OF_ROWS(AT_K, AT_Q, 0)
            PRODUCT_OF_ROWS(AT_V, AT_DOUT, SUMS)
        }
        subgroupBarrier();
        if (seen_by_any) {
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                uint query = t + column_of(e), at = own_row() * LD_SUMS + column_of(e), row = min(query, span.y - 1) * args.Hq + h;
                float score = capped(sums[at] * (q_unit * k_unit * args.scale), args.softcap), dp = sums[SUMS + at] * (dout_unit * v_unit);
                bool seen = query >= range.x && query < range.y;
                p[e] = seen ? exp_exact(score - args.lse.v[row]) : 0.0;
                ds[e] = p[e] * (dp - args.delta.v[row]) * cap_slope(score, args.softcap) * q_unit;
                p[e] *= dout_unit;
            }
            PUT_FACTORS(p, p_unit, dv, AT_FACTORS)
        }
        subgroupBarrier();
        if (seen_by_any)
            ADD_PRODUCT(dv, AT_FACTORS, AT_DOUT)
        subgroupBarrier();
        if (seen_by_any) {
            PUT_FACTORS(ds, ds_unit, dk, AT_FACTORS)
        }
        subgroupBarrier();
        if (seen_by_any)
            ADD_PRODUCT(dk, AT_FACTORS, AT_Q)
        t += OTHER_ROWS;
        if (t >= span.y) {
            t = span.x;
            h++;
        }
    } while (h < (g + 1) * heads);
    STORE_TOTAL(dk, ds_unit * args.scale, uvec2(args.dk), first, args.S, args.Hk, g)
    STORE_TOTAL(dv, p_unit, uvec2(args.dv), first, args.S, args.Hk, g)
}

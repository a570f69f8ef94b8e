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

const uint AT_K = 0, AT_V = OWN_TILE, AT_Q = 2 * OWN_TILE, AT_DOUT = AT_Q + OTHER_TILE, AT_P = AT_DOUT + OTHER_TILE, AT_DS = AT_P + FACTORS;
shared f16vec2 halves[AT_DS + FACTORS];
shared vec2 peaks[A_SUBGROUP]; /* largest factors: p, ds */

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

    MATRIX_C dk[OUTPUTS], dv[OUTPUTS];
    [[unroll]] for (uint i = 0; i < OUTPUTS; i++) {
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
        MATRIX_C scores[COLUMNS / TN], dps[COLUMNS / TN];
        float p[EACH], ds[EACH];
        vec2 high;
        if (seen_by_any) {
            PRODUCT_OF_ROWS(scores, AT_K, AT_Q)
            PRODUCT_OF_ROWS(dps, AT_V, AT_DOUT)
            PUT_SUMS(scores)
        }
        subgroupBarrier();
        if (seen_by_any)
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                uint query = t + column_of(e), row = min(query, span.y - 1) * args.Hq + h;
                float score = capped_near(sums[place_of(e)] * (q_unit * k_unit * args.scale), args.softcap);
                bool seen = query >= range.x && query < range.y;
                p[e] = seen ? exp_near(score - args.lse.v[row]) : 0.0;
                ds[e] = p[e] * cap_slope(score, args.softcap) * q_unit;
                p[e] *= dout_unit;
            }
        subgroupBarrier();
        if (seen_by_any)
            PUT_SUMS(dps)
        subgroupBarrier();
        if (seen_by_any) {
            [[unroll]] for (uint e = 0; e < EACH; e++)
                ds[e] *= sums[place_of(e)] * (dout_unit * v_unit) - args.delta.v[min(t + column_of(e), span.y - 1) * args.Hq + h];
            LARGEST_FACTOR(high.x, p)
            LARGEST_FACTOR(high.y, ds)
            peaks[gl_SubgroupID] = high;
        }
        rows_barrier();
        if (seen_by_any) {
            [[unroll]] for (uint i = 0; i < SPLIT; i++)
                high = max(high, peaks[gl_SubgroupID / SPLIT * SPLIT + i]);
            PUT_FACTORS(p, high.x, p_unit, dv, AT_P)
            PUT_FACTORS(ds, high.y, ds_unit, dk, AT_DS)
        }
        rows_barrier();
        if (seen_by_any) {
            ADD_PRODUCT(dv, AT_P, AT_DOUT)
            ADD_PRODUCT(dk, AT_DS, AT_Q)
        }
        t += OTHER_ROWS;
        if (t >= span.y) {
            t = span.x;
            h++;
        }
    } while (h < (g + 1) * heads);
    STORE_TOTAL(dk, ds_unit * args.scale, uvec2(args.dk), first, args.S, args.Hk, g)
    STORE_TOTAL(dv, p_unit, uvec2(args.dv), first, args.S, args.Hk, g)
}

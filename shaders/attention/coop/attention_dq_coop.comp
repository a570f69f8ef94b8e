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
shared float peaks[A_SUBGROUP]; /* largest factors */

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

    MATRIX_C dq[OUTPUTS];
    [[unroll]] for (uint i = 0; i < OUTPUTS; i++)
        dq[i] = MATRIX_C(0.0);
    float unit = unit_for(0.0);
    for (uint s = span.x; s < span.y; s += OTHER_ROWS) {
        LOAD_TILE(k_unit, uvec2(args.k), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_K)
        barrier();
        LOAD_TILE(v_unit, uvec2(args.v), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_V)
        barrier();
        bool seen_by_any = mine.x < s + OTHER_ROWS && mine.y > s;
        MATRIX_C scores[COLUMNS / TN], dps[COLUMNS / TN];
        float ds[EACH], high;
        if (seen_by_any) {
            PRODUCT_OF_ROWS(scores, AT_Q, AT_K)
            PRODUCT_OF_ROWS(dps, AT_DOUT, AT_V)
            PUT_SUMS(scores)
        }
        subgroupBarrier();
        if (seen_by_any)
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                uint key = s + column_of(e);
                float score = capped_near(sums[place_of(e)] * (q_unit * k_unit * args.scale), args.softcap);
                bool seen = key >= range.x && key < range.y;
                ds[e] = seen ? exp_near(score - lse) * cap_slope(score, args.softcap) * k_unit : 0.0;
            }
        subgroupBarrier();
        if (seen_by_any)
            PUT_SUMS(dps)
        subgroupBarrier();
        if (seen_by_any) {
            [[unroll]] for (uint e = 0; e < EACH; e++)
                ds[e] *= sums[place_of(e)] * (dout_unit * v_unit) - delta;
            LARGEST_FACTOR(high, ds)
            peaks[gl_SubgroupID] = high;
        }
        rows_barrier();
        if (seen_by_any) {
            [[unroll]] for (uint i = 0; i < SPLIT; i++)
                high = max(high, peaks[gl_SubgroupID / SPLIT * SPLIT + i]);
            PUT_FACTORS(ds, high, unit, dq, AT_FACTORS)
        }
        rows_barrier();
        if (seen_by_any)
            ADD_PRODUCT(dq, AT_FACTORS, AT_K)
    }
    STORE_TOTAL(dq, unit * args.scale, uvec2(args.dq), first, args.T, args.Hq, h)
}

/* attention.comp for matrix cores (coop.glsl), without biases by distance. Workgroups along x: OWN_ROWS queries each; y: Hq. When a row's maximum grows, its
 * sums are multiplied by the same for all of a row: a matrix that is loaded with stride 0. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"
#define SPLIT 1
#include "shaders/attention/coop/coop.glsl"

ARGS(attention_args)

const uint AT_OWN = 0, AT_OTHER = OWN_TILE, AT_FACTORS = OWN_TILE + OTHER_TILE; /* keys and values have one place */
shared f16vec2 halves[OWN_TILE + OTHER_TILE + FACTORS];
shared float by_rows[OWN_ROWS];

void main()
{
    uint h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk), first = WORKGROUP * OWN_ROWS, t = first + own_row();
    uvec2 range = t < args.T ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uvec2 mine = walk(with_range(NOTHING, range)), span = workgroup_span(mine);
    float q_unit, k_unit, v_unit;
    LOAD_TILE(q_unit, uvec2(args.q), first, args.T - 1, args.Hq, h, OWN_ROWS, AT_OWN)
    barrier(); /* `largest` is read */

    MATRIX_C o[OUTPUTS];
    [[unroll]] for (uint i = 0; i < OUTPUTS; i++)
        o[i] = MATRIX_C(0.0);
    float highest = MASKED, total = 0.0, unit = unit_for(0.0);
    for (uint s = span.x; s < span.y; s += OTHER_ROWS) {
        bool seen_by_any = mine.x < s + OTHER_ROWS && mine.y > s;
        LOAD_TILE(k_unit, uvec2(args.k), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_OTHER)
        barrier();
        if (seen_by_any) {
            MATRIX_C scores[COLUMNS / TN];
            PRODUCT_OF_ROWS(scores, AT_OWN, AT_OTHER)
            PUT_SUMS(scores)
        }
        LOAD_TILE(v_unit, uvec2(args.v), s, span.y - 1, args.Hk, g, OTHER_ROWS, AT_OTHER)
        barrier();
        float p[EACH], before = highest, factor = q_unit * k_unit * args.scale;
        if (seen_by_any) {
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                uint key = s + column_of(e);
                float z = capped_near(sums[place_of(e)] * factor, args.softcap);
                p[e] = key >= range.x && key < range.y ? z : MASKED;
                highest = max(highest, p[e]);
            }
            highest = over_row_max(highest);
            float shrink = exp_near(before - highest);
            total *= shrink;
            [[unroll]] for (uint e = 0; e < EACH; e++) {
                p[e] = p[e] > 0.5 * MASKED ? exp_near(p[e] - highest) : 0.0;
                total += p[e];
                p[e] *= v_unit;
            }
            float high;
            LARGEST_FACTOR(high, p)
            PUT_FACTORS(p, high, unit, o, AT_FACTORS)
            by_rows[own_row()] = shrink;
        }
        subgroupBarrier();
        if (seen_by_any) {
            if (subgroupMax(highest > before ? 1 : 0) != 0) {
                MATRIX_C by_row;
                coopMatLoad(by_row, by_rows, gl_SubgroupID * TM, 0, gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint i = 0; i < OUTPUTS; i++)
                    [[unroll]] for (uint e = 0; e < by_row.length(); e++)
                        o[i][e] *= by_row[e];
            }
            ADD_PRODUCT(o, AT_FACTORS, AT_OTHER)
        }
    }
    total = over_row_sum(total);
    float inverse = total > 0.0 ? unit / total : 0.0;
    if (t < args.T && gl_SubgroupInvocationID % LANES_A_ROW == 0)
        args.lse.v[t * args.Hq + h] = total > 0.0 ? highest + log_exact(total) : 0.0;
    subgroupBarrier();
    by_rows[own_row()] = inverse;
    STORE_TOTAL(o, by_rows[row], uvec2(args.o), first, args.T, args.Hq, h)
}

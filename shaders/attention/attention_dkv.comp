/* dv[s,g] = sum_{h in g} sum_t p dout[t,h];  dk[s,g] = scale * sum_{h in g} sum_t p (dout.v - delta[t,h]) q[t,h],  p = exp(scale q.k - lse[t,h]),
 * t in range[s]: the queries that see key s. threads_x = S / ROWS * LANES (LANES invocations for ROWS keys), threads_y = Hk.
 * Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

SHARED_COPIES(3) /* k, v, dk */

void main()
{
    uint g = gl_WorkGroupID.y, heads = args.Hq / args.Hk, first = INVOCATION / LANES * ROWS;
    uvec2 range[OWNED_ROWS];
    uvec2 all = NOTHING;
    [[unroll]] for (uint i = 0; i < OWNED_ROWS; i++) {
        uint s = first + row_of(i);
        range[i] = s < args.S ? uvec2(args.range.v[2 * s], args.range.v[2 * s + 1]) : uvec2(0);
        all = with_range(all, range[i]);
    }
    uvec2 span = walk(all);
    uvec2 queries = uvec2(args.q), gradients = uvec2(args.dout);

    COPIES(3)
    vec4 dv[ROWS * PART];
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        [[unroll]] for (uint d = 0; d < PART; d++) {
            uint row = min(first + r, args.S - 1) * args.Hk + g;
            SET_COPY(0, r, d, held(uvec2(args.k), row, d) * args.scale)
            SET_COPY(1, r, d, held(uvec2(args.v), row, d))
            SET_COPY(2, r, d, vec4(0.0))
            dv[r * PART + d] = vec4(0.0);
        }
    uint h = g * heads, t = span.x; /* all heads of the group, one after the other */
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[PAIRS], dp[PAIRS], p[OWNED], ds[OWNED];
        [[unroll]] for (uint j = 0; j < BLOCK; j++)
            at[j] = min(t + j, last_row(span)) * args.Hq + h;
        [[unroll]] for (uint i = 0; i < PAIRS; i++)
            score[i] = dp[i] = 0.0;
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                vec4 q = unit_of(queries, at[j], d), dout = unit_of(gradients, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    score[r * BLOCK + j] = dot_to(score[r * BLOCK + j], COPY(0, r, d), q);
                    dp[r * BLOCK + j] = dot_to(dp[r * BLOCK + j], COPY(1, r, d), dout);
                }
            }
        GATHER_PAIRS(score)
        GATHER_PAIRS(dp)
        [[unroll]] for (uint i = 0; i < OWNED; i++) {
            uint row = i / OWNED_KEYS, query = t + key_of(i % OWNED_KEYS), at_query = min(query, last_row(span)) * args.Hq + h;
            bool seen = query >= range[row].x && query < range[row].y;
            score[i] = capped(score[i], args.softcap);
            p[i] = seen ? exp_exact(score[i] + RELATIVE_BIAS(query, first + row_of(row), h) - args.lse.v[at_query]) : 0.0;
            ds[i] = p[i] * (dp[i] - args.delta.v[at_query]) * cap_slope(score[i], args.softcap);
        }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            float p_of[ROWS], ds_of[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                p_of[r] = PAIR_OF(p, r, j);
                ds_of[r] = PAIR_OF(ds, r, j);
            }
            [[unroll]] for (uint d = 0; d < PART; d++) {
                vec4 q = unit_again(queries, at[j], d), dout = unit_again(gradients, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    dv[r * PART + d] = fma(vec4(p_of[r]), dout, dv[r * PART + d]);
                    SET_COPY(2, r, d, fma(vec4(ds_of[r]), q, COPY(2, r, d)))
                }
            }
        }
        t += BLOCK;
        if (t >= span.y) {
            t = span.x;
            h++;
        }
    } while (h < (g + 1) * heads);
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        if (first + r < args.S)
            [[unroll]] for (uint d = 0; d < PART; d++) {
                store_unit(uvec2(args.dk), (first + r) * args.Hk + g, d, COPY(2, r, d) * args.scale);
                store_unit(uvec2(args.dv), (first + r) * args.Hk + g, d, dv[r * PART + d]);
            }
}

/* dq[t,h] = scale * sum_s p (dout[t,h].v[s,g] - delta[t,h]) k[s,g],  p = exp(scale q.k - lse[t,h]), s in range[t].
 * threads_x = T / ROWS * LANES (LANES invocations for ROWS queries), threads_y = Hq. Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

SHARED_COPIES(2) /* q, dout */

void main()
{
    uint h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk), first = INVOCATION / LANES * ROWS;
    uvec2 range[OWNED_ROWS];
    float lse[OWNED_ROWS], delta[OWNED_ROWS];
    uvec2 all = NOTHING;
    [[unroll]] for (uint i = 0; i < OWNED_ROWS; i++) {
        uint t = first + row_of(i), row = min(t, args.T - 1) * args.Hq + h;
        range[i] = t < args.T ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
        lse[i] = args.lse.v[row];
        delta[i] = args.delta.v[row];
        all = with_range(all, range[i]);
    }
    uvec2 span = walk(all);
    uvec2 keys = uvec2(args.k), values = uvec2(args.v);

    COPIES(2)
    vec4 dq[ROWS * PART];
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        [[unroll]] for (uint d = 0; d < PART; d++) {
            uint row = min(first + r, args.T - 1) * args.Hq + h;
            SET_COPY(0, r, d, held(uvec2(args.q), row, d) * args.scale)
            SET_COPY(1, r, d, held(uvec2(args.dout), row, d))
            dq[r * PART + d] = vec4(0.0);
        }
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[PAIRS], dp[PAIRS], ds[OWNED];
        [[unroll]] for (uint j = 0; j < BLOCK; j++)
            at[j] = min(s + j, last_row(span)) * args.Hk + g;
        [[unroll]] for (uint i = 0; i < PAIRS; i++)
            score[i] = dp[i] = 0.0;
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                vec4 k = unit_of(keys, at[j], d), v = unit_of(values, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    score[r * BLOCK + j] = dot_to(score[r * BLOCK + j], COPY(0, r, d), k);
                    dp[r * BLOCK + j] = dot_to(dp[r * BLOCK + j], COPY(1, r, d), v);
                }
            }
        GATHER_PAIRS(score)
        GATHER_PAIRS(dp)
        [[unroll]] for (uint i = 0; i < OWNED; i++) {
            uint row = i / OWNED_KEYS, key = s + key_of(i % OWNED_KEYS);
            bool seen = key >= range[row].x && key < range[row].y;
            score[i] = capped(score[i], args.softcap);
            float bias = RELATIVE_BIAS(first + row_of(row), key, h);
            ds[i] = seen ? exp_exact(score[i] + bias - lse[row]) * (dp[i] - delta[row]) * cap_slope(score[i], args.softcap) : 0.0;
        }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            float ds_of[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++)
                ds_of[r] = PAIR_OF(ds, r, j);
            [[unroll]] for (uint d = 0; d < PART; d++) {
                vec4 k = unit_again(keys, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    dq[r * PART + d] = fma(vec4(ds_of[r]), k, dq[r * PART + d]);
            }
        }
        s += BLOCK;
    } while (s < span.y);
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        if (first + r < args.T)
            [[unroll]] for (uint d = 0; d < PART; d++)
                store_unit(uvec2(args.dq), (first + r) * args.Hq + h, d, dq[r * PART + d] * args.scale);
}

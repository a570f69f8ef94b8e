/* dv[s,g] = sum_{h in g} sum_t p dout[t,h];  dk[s,g] = scale * sum_{h in g} sum_t p (dout.v - delta[t,h]) q[t,h],  p = exp(scale q.k - lse[t,h]),
 * t in range[s]: the queries that see key s. threads_x = S * LANES (LANES invocations a key), threads_y = Hk.
 * Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

void main()
{
    uint s = INVOCATION / LANES, g = gl_WorkGroupID.y, heads = args.Hq / args.Hk;
    bool live = s < args.S;
    uint row = min(s, args.S - 1) * args.Hk + g;
    uvec2 range = live ? uvec2(args.range.v[2 * s], args.range.v[2 * s + 1]) : uvec2(0);
    uvec2 span = walk(range);
    uvec2 queries = uvec2(args.q), gradients = uvec2(args.dout);

    vec4 k[PART], v[PART], dk[PART], dv[PART];
    [[unroll]] for (uint d = 0; d < PART; d++) {
        k[d] = held(uvec2(args.k), row, d) * args.scale;
        v[d] = held(uvec2(args.v), row, d);
        dk[d] = dv[d] = vec4(0.0);
    }
    uint h = g * heads, t = span.x; /* all heads of the group, one after the other */
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], dp[BLOCK], p[BLOCK], ds[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = min(t + j, last_row(span)) * args.Hq + h;
            score[j] = dp[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[j] = dot_to(score[j], k[d], unit_of(queries, at[j], d));
                dp[j] = dot_to(dp[j], v[d], unit_of(gradients, at[j], d));
            }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = t + j >= range.x && t + j < range.y;
            score[j] = capped(lanes_sum(score[j]), args.softcap);
            dp[j] = lanes_sum(dp[j]);
            p[j] = seen ? exp_exact(score[j] + RELATIVE_BIAS(t + j, s, h) - args.lse.v[at[j]]) : 0.0;
            ds[j] = p[j] * (dp[j] - args.delta.v[at[j]]) * cap_slope(score[j], args.softcap);
        }
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                dv[d] = fma(vec4(p[j]), unit_of(gradients, at[j], d), dv[d]);
                dk[d] = fma(vec4(ds[j]), unit_of(queries, at[j], d), dk[d]);
            }
        t += BLOCK;
        if (t >= span.y) {
            t = span.x;
            h++;
        }
    } while (h < (g + 1) * heads);
    if (live)
        [[unroll]] for (uint d = 0; d < PART; d++) {
            store_unit(uvec2(args.dk), row, d, dk[d] * args.scale);
            store_unit(uvec2(args.dv), row, d, dv[d]);
        }
}
